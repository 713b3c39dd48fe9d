/* faultstore_rules.c - the rules of a fault store: which calls they fit, what they do to them, gates, late effects.
 *
 * Rules stay in the list, lifted ones too, until the store is closed: a call that stands at a gate, and the test that
 * holds the rule, need no count of who uses it. */
#include "faultstore_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- adding and lifting ------------------------------------------------------------------------------------- */

#define FS_DELAY_MAX_US INT64_C(3600000000)
#define FS_CAS (FAULT_CAS_KEY | FAULT_CAS_PUT)

static void fs_check(const faultstore_fault *fault)
{
    const unsigned changing = fault->when == FAULT_AFTER ? FAULT_GET : FAULT_PUT;

    if (fault->ops == 0 || (fault->ops & ~FAULT_ANY) != 0)
        wb_fault_abort("a rule for no operation");
    if (fault->key != NULL && fault->key->size > BLOB_KEY_MAX)
        wb_fault_abort("a rule for a key that is too long");
    if (fault->status > 0 || fault->delay_us < 0 || fault->delay_us > FS_DELAY_MAX_US)
        wb_fault_abort("a rule with a status above 0, or a delay that is not 0 to an hour");
    if (fault->action == FAULT_ANSWER && fault->status == 0 && (fault->ops & (FAULT_GET | FAULT_CAS_KEY)) != 0)
        wb_fault_abort("a rule that answers %s with success, and with nothing to hand out",
                       (fault->ops & FAULT_GET) != 0 ? "get" : "cas_key");
    if (fault->action == FAULT_LATE &&
        ((fault->ops & ~(FAULT_PUT | FAULT_DELETE | FAULT_CAS_PUT)) != 0 || fault->when != FAULT_BEFORE))
        wb_fault_abort("only a put, delete or cas_put can be late, and only BEFORE");
    if ((fault->action == FAULT_FLIP || fault->action == FAULT_TRUNCATE) && (fault->ops & ~changing) != 0)
        wb_fault_abort("only get (AFTER) and put (BEFORE) have bytes to change");
    if (fault->when == FAULT_DURING && fault->ops != FAULT_LIST)
        wb_fault_abort("only a listing has a DURING");
}

faultstore_rule *faultstore_add(faultstore *f, const faultstore_fault *fault)
{
    faultstore_rule *rule;

    fs_check(fault);
    rule = wb_fault_alloc(sizeof *rule);
    if (blob_cond_init(&rule->go) != 0)
        wb_fault_abort("no condition variable for a rule");
    rule->store = f;
    rule->fault = *fault;
    if (fault->key != NULL) {
        if (fault->key->size > 0)
            memcpy(rule->bytes, fault->key->data, fault->key->size);
        rule->key = blob_key_of(rule->bytes, fault->key->size);
        rule->fault.key = &rule->key;
    }
    if (fault->text != NULL) {
        size_t size = strlen(fault->text) + 1;
        rule->text = wb_fault_alloc(size);
        memcpy(rule->text, fault->text, size);
        rule->fault.text = rule->text;
    }
    pthread_mutex_lock(&f->lock);
    rule->order = ++f->orders;
    *f->rules_end = rule;
    f->rules_end = &rule->next;
    if (fault->key != NULL && (fault->ops & FS_CAS) != 0)
        f->cas_keyed = true;
    pthread_mutex_unlock(&f->lock);
    return rule;
}

faultstore_rule *faultstore_fail(faultstore *f, unsigned ops, int status, unsigned count)
{
    return faultstore_add(f, &(faultstore_fault){.ops = ops, .status = status, .count = count});
}

faultstore_rule *faultstore_hold(faultstore *f, unsigned ops, const blob_key *key, faultstore_when when)
{
    return faultstore_add(f, &(faultstore_fault){.ops = ops, .key = key, .action = FAULT_HOLD, .when = when});
}

/* Lets up to count of those who stand there go, first come first. Returns how many that were. */
static uint64_t fs_release_locked(faultstore_rule *rule, uint64_t count)
{
    uint64_t gone = 0;

    while (rule->held != NULL && gone < count) {
        rule->held->released = true;
        rule->held = rule->held->next;
        rule->held_count--;
        gone++;
    }
    pthread_cond_broadcast(&rule->go);
    return gone;
}

static void fs_lift_locked(faultstore_rule *rule)
{
    rule->lifted = true;
    fs_release_locked(rule, UINT64_MAX);
}

void faultstore_lift(faultstore_rule *rule)
{
    pthread_mutex_lock(&rule->store->lock);
    fs_lift_locked(rule);
    pthread_mutex_unlock(&rule->store->lock);
}

void faultstore_clear(faultstore *f)
{
    pthread_mutex_lock(&f->lock);
    for (faultstore_rule *rule = f->rules; rule != NULL; rule = rule->next)
        fs_lift_locked(rule);
    pthread_mutex_unlock(&f->lock);
}

void wb_fault_free_rules(faultstore *f)
{
    faultstore_rule *rule = f->rules, *next_rule;
    wb_fault_late *late = f->late, *next_late;

    for (; rule != NULL; rule = next_rule) {
        next_rule = rule->next;
        pthread_cond_destroy(&rule->go);
        free(rule->text);
        free(rule);
    }
    for (; late != NULL; late = next_late) {
        next_late = late->next;
        free(late);
    }
}

/* ---- the test's side of gates and counts -------------------------------------------------------------------- */

void faultstore_release(faultstore_rule *rule, unsigned count)
{
    pthread_mutex_lock(&rule->store->lock);
    rule->permits += count - fs_release_locked(rule, count);
    pthread_mutex_unlock(&rule->store->lock);
}

void faultstore_wait_held(faultstore_rule *rule, unsigned count)
{
    pthread_mutex_lock(&rule->store->lock);
    wb_fault_wait_locked(rule->store, &rule->held_count, count, "calls stand at the gate");
    pthread_mutex_unlock(&rule->store->lock);
}

void faultstore_wait_hits(faultstore_rule *rule, uint64_t count)
{
    pthread_mutex_lock(&rule->store->lock);
    wb_fault_wait_locked(rule->store, &rule->hits, count, "the rule has acted");
    pthread_mutex_unlock(&rule->store->lock);
}

unsigned faultstore_held(faultstore_rule *rule)
{
    unsigned held;

    pthread_mutex_lock(&rule->store->lock);
    held = (unsigned)rule->held_count;
    pthread_mutex_unlock(&rule->store->lock);
    return held;
}

uint64_t faultstore_hits(faultstore_rule *rule)
{
    uint64_t hits;

    pthread_mutex_lock(&rule->store->lock);
    hits = rule->hits;
    pthread_mutex_unlock(&rule->store->lock);
    return hits;
}

/* ---- what rules do ------------------------------------------------------------------------------------------ */

static bool fs_answer(const faultstore_rule *rule, int *status)
{
    const faultstore_fault *fault = &rule->fault;

    *status = fault->status;
    if (fault->status != 0)
        blob_fail(fault->status, fault->retry_after_ms, "%s",
                  fault->text != NULL ? fault->text : "the fault store was told to answer so");
    return true;
}

static void fs_unhold_locked(faultstore_rule *rule, wb_fault_waiter *waiter)
{
    wb_fault_waiter **at = &rule->held;

    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
    rule->held_count--;
}

static bool fs_hold_locked(faultstore_rule *rule, wb_fault_call *call, int *status)
{
    faultstore *f = rule->store;
    wb_fault_waiter waiter = {0}, **at = &rule->held;
    int ended = 0;

    if (rule->fault.ignore_ctx)
        call->ctx = NULL;
    if (rule->permits > 0) {
        rule->permits--;
    } else {
        while (*at != NULL)
            at = &(*at)->next;
        *at = &waiter;
        rule->held_count++;
        pthread_cond_broadcast(&f->changed);
        while (!waiter.released && ended == 0)
            ended = blob_ctx_wait(call->ctx, &rule->go, &f->lock);
        if (!waiter.released) {
            fs_unhold_locked(rule, &waiter);
            *status = blob_fail(ended, 0, "the context ended while the fault store held the call");
            return true;
        }
    }
    return rule->fault.status != 0 && fs_answer(rule, status);
}

static bool fs_delay(const faultstore_rule *rule, const wb_fault_call *call, int *status)
{
    int64_t ns = rule->fault.delay_us * 1000, left_ms = blob_ctx_remaining_ms(call->ctx);
    struct timespec until;
    int ended;

    if (left_ms < ns / 1000000 + 1)
        ns = left_ms * 1000000;
    clock_gettime(CLOCK_MONOTONIC, &until);
    ns += until.tv_nsec;
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        continue;
    ended = blob_ctx_status(call->ctx);
    if (ended == 0)
        return false;
    *status = blob_fail(ended, 0, "the context ended while the fault store delayed the call");
    return true;
}

static void fs_keep_late_locked(faultstore *f, const wb_fault_call *call)
{
    wb_fault_late *late = wb_fault_alloc(sizeof *late + call->key.size + call->data.size);

    late->op = call->op;
    late->flags = call->flags;
    late->key = blob_key_of(late->bytes, call->op == FAULT_CAS_PUT ? 0 : call->key.size);
    late->data = blob_view_of(late->bytes + late->key.size, call->data.size);
    if (late->key.size > 0)
        memcpy(late->bytes, call->key.data, late->key.size);
    if (call->data.size > 0)
        memcpy(late->bytes + late->key.size, call->data.data, call->data.size);
    *f->late_end = late;
    f->late_end = &late->next;
    pthread_cond_broadcast(&f->changed);
}

static bool fs_act_locked(faultstore_rule *rule, wb_fault_call *call, int *status)
{
    bool answered = false;

    switch (rule->fault.action) {
    case FAULT_ANSWER:
        return fs_answer(rule, status);
    case FAULT_HOLD:
        return fs_hold_locked(rule, call, status);
    case FAULT_DELAY:
        pthread_mutex_unlock(&rule->store->lock);
        answered = fs_delay(rule, call, status);
        pthread_mutex_lock(&rule->store->lock);
        return answered;
    case FAULT_LATE:
        fs_keep_late_locked(rule->store, call);
        if (rule->fault.status != 0)
            return fs_answer(rule, status);
        if (!fs_hold_locked(rule, call, status))
            *status = blob_fail(-ETIMEDOUT, 0, "the fault store gave this call up; it may still be carried out");
        return true;
    case FAULT_FLIP:
    case FAULT_TRUNCATE:
        call->changes |= wb_fault_bit(rule->fault.action);
        return false;
    }
    wb_fault_abort("a rule with no action known");
}

/* Does the rule fit the call? If so, it is counted, and skip, every and count say whether it acts. */
static bool fs_takes_locked(faultstore_rule *rule, const wb_fault_call *call, faultstore_when when, uint64_t keys_seen)
{
    const faultstore_fault *fault = &rule->fault;
    uint64_t nth;

    if (rule->lifted || fault->when != when || (fault->ops & call->op) == 0)
        return false;
    if (fault->key != NULL && !(call->has_key && blob_key_compare(*fault->key, call->key) == 0))
        return false;
    if (when == FAULT_DURING && keys_seen != fault->after_keys)
        return false;
    if (fault->count != 0 && rule->hits == fault->count)
        return false;
    nth = ++rule->fits;
    if (nth <= fault->skip || (fault->every > 1 && (nth - fault->skip) % fault->every != 0))
        return false;
    rule->hits++;
    pthread_cond_broadcast(&rule->store->changed);
    return true;
}

bool wb_fault_apply(wb_fault_call *call, faultstore_when when, uint64_t keys_seen, int *status)
{
    faultstore *f = call->store;
    bool answered = false;

    pthread_mutex_lock(&f->lock);
    for (faultstore_rule *rule = f->rules; rule != NULL && !answered; rule = rule->next) {
        if (fs_takes_locked(rule, call, when, keys_seen))
            answered = fs_act_locked(rule, call, status);
    }
    pthread_mutex_unlock(&f->lock);
    return answered;
}

/* ---- late effects ------------------------------------------------------------------------------------------- */

size_t faultstore_late(faultstore *f)
{
    size_t count = 0;

    pthread_mutex_lock(&f->lock);
    for (const wb_fault_late *late = f->late; late != NULL; late = late->next)
        count++;
    pthread_mutex_unlock(&f->lock);
    return count;
}

bool faultstore_deliver(faultstore *f, int *status)
{
    wb_fault_late *late;
    blob_address address;
    int rc = 0;

    pthread_mutex_lock(&f->lock);
    late = f->late;
    if (late != NULL) {
        f->late = late->next;
        if (f->late == NULL)
            f->late_end = &f->late;
    }
    pthread_mutex_unlock(&f->lock);
    if (late != NULL && late->op == FAULT_PUT)
        rc = blob_store_put(f->inner, NULL, late->key, late->data, late->flags);
    else if (late != NULL && late->op == FAULT_DELETE)
        rc = blob_store_delete(f->inner, NULL, late->key, late->flags);
    else if (late != NULL)
        rc = blob_store_cas_put(f->inner, NULL, late->data, &address);
    if (status != NULL)
        *status = rc;
    free(late);
    return late != NULL;
}
