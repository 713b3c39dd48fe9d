/* faultstore_rules.c - the rules of a fault store: which calls they fit, what they do to them, gates.
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
#define FS_WRITES (BLOB_FAULT_PUT | BLOB_FAULT_DELETE | BLOB_FAULT_CAS_PUT)
#define FS_CAS (BLOB_FAULT_CAS_KEY | BLOB_FAULT_CAS_PUT)

/* What is wrong with it; NULL: nothing. */
static const char *fs_nonsense(const blob_faultstore_fault *fault)
{
    const unsigned changing = fault->when == BLOB_FAULT_AFTER ? BLOB_FAULT_GET : BLOB_FAULT_PUT;

    if (fault->ops == 0 || (fault->ops & ~BLOB_FAULT_ANY) != 0)
        return "a rule for no operation";
    if (fault->action > BLOB_FAULT_REPEAT || fault->when > BLOB_FAULT_DURING)
        return "a rule with no action known, or at no time known";
    if (fault->key != NULL && (fault->key->size > BLOB_KEY_MAX || (fault->key->size > 0 && fault->key->data == NULL)))
        return "a rule for a key that cannot be";
    if (fault->status > 0 || fault->delay_us < 0 || fault->delay_us > FS_DELAY_MAX_US)
        return "a rule with a status above 0, or a delay that is not 0 to an hour";
    if (fault->action == BLOB_FAULT_ANSWER && fault->status == 0 &&
        (fault->ops & (BLOB_FAULT_GET | BLOB_FAULT_CAS_KEY)) != 0)
        return "a rule that answers get or cas_key with success, and with nothing to hand out";
    if ((fault->action == BLOB_FAULT_LATE || fault->action == BLOB_FAULT_REPEAT) &&
        ((fault->ops & ~FS_WRITES) != 0 || fault->when != BLOB_FAULT_BEFORE))
        return "only a put, delete or cas_put can be late or come again, and only BEFORE";
    if ((fault->action == BLOB_FAULT_FLIP || fault->action == BLOB_FAULT_TRUNCATE) && (fault->ops & ~changing) != 0)
        return "only get (AFTER) and put (BEFORE) have bytes to change";
    if (fault->when == BLOB_FAULT_DURING && fault->ops != BLOB_FAULT_LIST)
        return "only a listing has a DURING";
    return NULL;
}

static void fs_free_rule(blob_faultstore_rule *rule)
{
    pthread_cond_destroy(&rule->go);
    free(rule->text);
    free(rule);
}

static int fs_new_rule(blob_faultstore_rule **out, blob_faultstore *f, const blob_faultstore_fault *fault)
{
    blob_faultstore_rule *rule = calloc(1, sizeof *rule);
    int rc;

    if (rule == NULL)
        return -ENOMEM;
    rc = blob_cond_init(&rule->go);
    if (rc != 0) {
        free(rule);
        return rc;
    }
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
        rule->text = malloc(size);
        if (rule->text == NULL) {
            fs_free_rule(rule);
            return -ENOMEM;
        }
        memcpy(rule->text, fault->text, size);
        rule->fault.text = rule->text;
    }
    *out = rule;
    return 0;
}

blob_faultstore_rule *blob_faultstore_add(blob_faultstore *f, const blob_faultstore_fault *fault)
{
    const char *nonsense = fault == NULL ? "no rule to add" : fs_nonsense(fault);
    blob_faultstore_rule *rule;
    int rc;

    if (!wb_fault_given(f))
        return NULL;
    if (nonsense != NULL) {
        wb_fault_wrong(f, -EINVAL, "%s", nonsense);
        return NULL;
    }
    rc = fs_new_rule(&rule, f, fault);
    if (rc != 0) {
        wb_fault_wrong(f, rc, "no memory, or no lock, for a rule");
        return NULL;
    }
    pthread_mutex_lock(&f->lock);
    *f->rules_end = rule;
    f->rules_end = &rule->next;
    if (fault->key != NULL && (fault->ops & FS_CAS) != 0)
        f->cas_keyed = true;
    pthread_mutex_unlock(&f->lock);
    return rule;
}

blob_faultstore_rule *blob_faultstore_fail(blob_faultstore *f, unsigned ops, int status, unsigned count)
{
    return blob_faultstore_add(f, &(blob_faultstore_fault){.ops = ops, .status = status, .count = count});
}

blob_faultstore_rule *blob_faultstore_hold(blob_faultstore *f, unsigned ops, const blob_key *key,
                                           blob_faultstore_when when)
{
    return blob_faultstore_add(
        f, &(blob_faultstore_fault){.ops = ops, .key = key, .action = BLOB_FAULT_HOLD, .when = when});
}

/* Lets up to count of those who stand there go, first come first. Returns how many that were. */
static uint64_t fs_release_locked(blob_faultstore_rule *rule, uint64_t count)
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

static void fs_lift_locked(blob_faultstore_rule *rule)
{
    rule->lifted = true;
    fs_release_locked(rule, UINT64_MAX);
}

void blob_faultstore_lift(blob_faultstore_rule *rule)
{
    if (rule == NULL)
        return;
    pthread_mutex_lock(&rule->store->lock);
    fs_lift_locked(rule);
    pthread_mutex_unlock(&rule->store->lock);
}

void blob_faultstore_clear(blob_faultstore *f)
{
    if (f == NULL)
        return;
    pthread_mutex_lock(&f->lock);
    for (blob_faultstore_rule *rule = f->rules; rule != NULL; rule = rule->next)
        fs_lift_locked(rule);
    pthread_mutex_unlock(&f->lock);
}

void wb_fault_free_rules(blob_faultstore *f)
{
    blob_faultstore_rule *rule = f->rules, *next_rule;

    for (; rule != NULL; rule = next_rule) {
        next_rule = rule->next;
        fs_free_rule(rule);
    }
}

/* ---- the test's side of gates and counts -------------------------------------------------------------------- */

void blob_faultstore_release(blob_faultstore_rule *rule, unsigned count)
{
    if (rule == NULL)
        return;
    pthread_mutex_lock(&rule->store->lock);
    rule->permits += count - fs_release_locked(rule, count);
    pthread_mutex_unlock(&rule->store->lock);
}

int blob_faultstore_wait_held(blob_faultstore_rule *rule, unsigned count)
{
    if (rule == NULL)
        return blob_fail(-EINVAL, 0, "no rule to wait for");
    return wb_fault_wait(rule->store, &rule->held_count, count, "a call stands at the gate");
}

int blob_faultstore_wait_hits(blob_faultstore_rule *rule, uint64_t count)
{
    if (rule == NULL)
        return blob_fail(-EINVAL, 0, "no rule to wait for");
    return wb_fault_wait(rule->store, &rule->hits, count, "the rule has acted");
}

static uint64_t fs_read(blob_faultstore_rule *rule, const uint64_t *value)
{
    uint64_t now;

    pthread_mutex_lock(&rule->store->lock);
    now = *value;
    pthread_mutex_unlock(&rule->store->lock);
    return now;
}

unsigned blob_faultstore_held(blob_faultstore_rule *rule)
{
    return rule == NULL ? 0 : (unsigned)fs_read(rule, &rule->held_count);
}

uint64_t blob_faultstore_hits(blob_faultstore_rule *rule)
{
    return rule == NULL ? 0 : fs_read(rule, &rule->hits);
}

/* ---- what rules do ------------------------------------------------------------------------------------------ */

static bool fs_answer(const blob_faultstore_rule *rule, int *status)
{
    const blob_faultstore_fault *fault = &rule->fault;

    *status = fault->status;
    if (fault->status != 0)
        blob_fail(fault->status, fault->retry_after_ms, "%s",
                  fault->text != NULL ? fault->text : "the fault store was told to answer so");
    return true;
}

static void fs_unhold_locked(blob_faultstore_rule *rule, wb_fault_waiter *waiter)
{
    wb_fault_waiter **at = &rule->held;

    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
    rule->held_count--;
}

static bool fs_hold_locked(blob_faultstore_rule *rule, wb_fault_call *call, int *status)
{
    blob_faultstore *f = rule->store;
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

static bool fs_delay(const blob_faultstore_rule *rule, const wb_fault_call *call, int *status)
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

static bool fs_act_locked(blob_faultstore_rule *rule, wb_fault_call *call, int *status)
{
    bool answered = false;

    switch (rule->fault.action) {
    case BLOB_FAULT_ANSWER:
        return fs_answer(rule, status);
    case BLOB_FAULT_HOLD:
        return fs_hold_locked(rule, call, status);
    case BLOB_FAULT_DELAY:
        pthread_mutex_unlock(&rule->store->lock);
        answered = fs_delay(rule, call, status);
        pthread_mutex_lock(&rule->store->lock);
        return answered;
    case BLOB_FAULT_LATE:
        if (wb_fault_keep_locked(rule->store, call, status))
            return true;
        if (rule->fault.status != 0)
            return fs_answer(rule, status);
        if (!fs_hold_locked(rule, call, status))
            *status = blob_fail(-ETIMEDOUT, 0, "the fault store gave this call up; it may still be carried out");
        return true;
    case BLOB_FAULT_FLIP:
    case BLOB_FAULT_TRUNCATE:
        call->changes |= wb_fault_bit(rule->fault.action);
        return false;
    case BLOB_FAULT_REPEAT:
        return wb_fault_keep_locked(rule->store, call, status);
    }
    return false; /* there are no others: fs_nonsense */
}

/* Does the rule fit the call? If so, it is counted, and skip, every and count say whether it acts. */
static bool fs_takes_locked(blob_faultstore_rule *rule, const wb_fault_call *call, blob_faultstore_when when,
                            uint64_t keys_seen)
{
    const blob_faultstore_fault *fault = &rule->fault;
    uint64_t nth;

    if (rule->lifted || fault->when != when || (fault->ops & call->op) == 0)
        return false;
    if (fault->key != NULL && !(call->has_key && blob_key_compare(*fault->key, call->key) == 0))
        return false;
    if (when == BLOB_FAULT_DURING && keys_seen != fault->after_keys)
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

bool wb_fault_apply(wb_fault_call *call, blob_faultstore_when when, uint64_t keys_seen, int *status)
{
    blob_faultstore *f = call->store;
    bool answered = false;

    pthread_mutex_lock(&f->lock);
    for (blob_faultstore_rule *rule = f->rules; rule != NULL && !answered; rule = rule->next) {
        if (fs_takes_locked(rule, call, when, keys_seen))
            answered = fs_act_locked(rule, call, status);
    }
    pthread_mutex_unlock(&f->lock);
    return answered;
}
