/* wbinside.c - see wbinside.h. */
#include "wbinside.h"

#include <errno.h>

#include "wbstore/wrapper.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int inside_set_up(void **state)
{
    wbrig *r;
    int rc = wbrig_set_up(state);

    r = *state;
    blob_faultstore_share_ticks(r->base, r->buf);
    return rc;
}

void inside_go_by(wbrig *r, test_clock *clock)
{
    test_clock_start(clock);
    blob_ctx_free(r->ctx);
    r->ctx = clock->ctx;
}

int inside_set_up_on(void **state, test_clock *clock)
{
    int rc = inside_set_up(state);

    if (rc == 0)
        inside_go_by(*state, clock);
    return rc;
}

/* ---- how far it has come ------------------------------------------------------------------------------------- */

void inside_until(wbstore *w, bool (*holds)(const wbstore *w, const void *arg), const void *arg)
{
    bool done = false;

    while (!done) {
        pthread_mutex_lock(&w->lock);
        done = holds(w, arg);
        pthread_mutex_unlock(&w->lock);
        if (!done)
            sched_yield();
    }
}

typedef struct about_key {
    blob_key key;
    unsigned number;
} about_key;

static bool key_in_state(const wbstore *w, const void *arg)
{
    const about_key *about = arg;
    const wb_entry *e = wb_ledger_find(&w->ledger, about->key);

    return (e != NULL ? e->state : (unsigned)WB_ABSENT) == about->number;
}

static bool key_has_removers(const wbstore *w, const void *arg)
{
    const about_key *about = arg;
    const wb_entry *e = wb_ledger_find(&w->ledger, about->key);

    return e != NULL && e->removers >= about->number;
}

static bool key_awaits_puts(const wbstore *w, const void *arg)
{
    const about_key *about = arg;
    const wb_entry *e = wb_ledger_find(&w->ledger, about->key);

    return e != NULL && e->hand == WB_HAND_CALLER && e->putters > 0;
}

static bool room_has_waiters(const wbstore *w, const void *arg)
{
    unsigned count = 0;

    for (const wb_room_waiter *at = w->room_head; at != NULL; at = at->next)
        count++;
    return count == *(const unsigned *)arg;
}

static bool is_resumed(const wbstore *w, const void *arg)
{
    (void)arg;
    return !w->resuming;
}

int inside_state(wbstore *w, blob_key key)
{
    const wb_entry *e;
    int state;

    pthread_mutex_lock(&w->lock);
    e = wb_ledger_find(&w->ledger, key);
    state = e != NULL ? e->state : WB_ABSENT;
    pthread_mutex_unlock(&w->lock);
    return state;
}

void inside_until_state(wbstore *w, blob_key key, int state)
{
    inside_until(w, key_in_state, &(about_key){key, (unsigned)state});
}

void inside_until_removers(wbstore *w, blob_key key, unsigned count)
{
    inside_until(w, key_has_removers, &(about_key){key, count});
}

void inside_until_turn_waited(wbstore *w, blob_key key)
{
    inside_until(w, key_awaits_puts, &(about_key){key, 0});
}

void inside_until_room_waiters(wbstore *w, unsigned count)
{
    inside_until(w, room_has_waiters, &count);
}

void inside_until_resumed(wbstore *w)
{
    inside_until(w, is_resumed, NULL);
}

bool inside_base_is_down(wbstore *w)
{
    bool down;

    pthread_mutex_lock(&w->lock);
    down = w->down;
    pthread_mutex_unlock(&w->lock);
    return down;
}

int64_t inside_probe_due_ms(wbstore *w)
{
    int64_t due_ns;

    pthread_mutex_lock(&w->lock);
    due_ns = w->probe_due_ns;
    pthread_mutex_unlock(&w->lock);
    return (due_ns - wb_now_ns()) / 1000000;
}

uint64_t inside_turns(wbstore *w)
{
    uint64_t turns;

    pthread_mutex_lock(&w->lock);
    turns = w->base_turns;
    pthread_mutex_unlock(&w->lock);
    return turns;
}

/* ---- what it says -------------------------------------------------------------------------------------------- */

typedef struct pending_search {
    blob_key key;
    inside_info *out;
    bool found;
} pending_search;

static int pending_look(void *arg, const wbstore_pending_info *info)
{
    pending_search *s = arg;

    if (blob_key_compare(info->key, s->key) != 0)
        return 0;
    s->found = true;
    *s->out = (inside_info){.size = info->size,
                            .state = info->state,
                            .age_ms = info->age_ms,
                            .attempts = info->attempts,
                            .status = info->status};
    strncpy(s->out->text, info->text, sizeof s->out->text - 1);
    return BLOB_LIST_STOP;
}

bool inside_pending(wbstore *w, blob_key key, inside_info *out)
{
    pending_search s = {.key = key, .out = out};

    test_ok(wbstore_pending(w, pending_look, &s));
    return s.found;
}

wbstore_stats inside_stats(wbrig *r)
{
    wbstore_stats stats = wbrig_stats(r);

    assert_int_equal(stats.accepted + stats.resumed, stats.sent + stats.deleted + stats.pending_blobs);
    return stats;
}

/* ---- calls on threads ---------------------------------------------------------------------------------------- */

static int call_put(wbrig_call *c)
{
    return wbstore_cas_put_ticket(c->w, c->ctx, c->arg, strlen(c->arg), NULL, &c->ticket);
}

static int call_put_to_sleep(wbrig_call *c)
{
    inside_sleeper *s = (inside_sleeper *)(void *)c;

    atomic_store(&s->tid, syscall(SYS_gettid));
    return call_put(c);
}

static char thread_state(long tid)
{
    char path[64], state = '?';
    FILE *file;

    snprintf(path, sizeof path, "/proc/self/task/%ld/stat", tid);
    file = fopen(path, "r");
    if (file != NULL) {
        if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
            state = '?';
        fclose(file);
    }
    return state;
}

void inside_put_to_sleep(inside_sleeper *s, wbrig *r, blob_ctx *ctx, const char *text)
{
    s->call = (wbrig_call){.call = call_put_to_sleep, .w = r->w, .ctx = ctx, .arg = (void *)(uintptr_t)text};
    atomic_init(&s->tid, 0);
    wbrig_begin(&s->call);
}

void inside_until_asleep(inside_sleeper *s)
{
    unsigned seen = 0;

    while (seen < 5) {
        long tid = atomic_load(&s->tid);
        seen = tid != 0 && thread_state(tid) == 'S' ? seen + 1 : 0;
        sched_yield();
    }
}

static int call_delete(wbrig_call *c)
{
    return wbstore_delete(c->w, c->ctx, c->key);
}

static int call_replace(wbrig_call *c)
{
    return wbstore_put(c->w, c->ctx, c->key, blob_view_of(c->arg, strlen(c->arg)), BLOB_REPLACE);
}

void inside_put(wbrig_call *c, wbrig *r, blob_ctx *ctx, const char *text)
{
    *c = (wbrig_call){.call = call_put, .w = r->w, .ctx = ctx, .arg = (void *)(uintptr_t)text};
    wbrig_begin(c);
}

void inside_delete(wbrig_call *c, wbrig *r, blob_ctx *ctx, const blob_address *a)
{
    *c = (wbrig_call){.call = call_delete, .w = r->w, .ctx = ctx, .key = blob_address_key(a)};
    wbrig_begin(c);
}

void inside_replace(wbrig_call *c, wbrig *r, blob_ctx *ctx, const blob_address *a, const char *text)
{
    *c = (wbrig_call){
        .call = call_replace, .w = r->w, .ctx = ctx, .key = blob_address_key(a), .arg = (void *)(uintptr_t)text};
    wbrig_begin(c);
}

void inside_sync(wbrig_call *c, wbrig *r, blob_ctx *ctx)
{
    *c = (wbrig_call){.call = wbrig_call_sync, .w = r->w, .ctx = ctx};
    wbrig_begin(c);
}

/* ---- faults of one address ----------------------------------------------------------------------------------- */

blob_faultstore_rule *inside_hold(blob_faultstore *f, unsigned op, const blob_address *a)
{
    blob_key key = blob_address_key(a);

    return blob_faultstore_hold(f, op, &key, BLOB_FAULT_BEFORE);
}

blob_faultstore_rule *inside_hold_stubbornly(blob_faultstore *f, unsigned op, const blob_address *a)
{
    blob_key key = blob_address_key(a);

    return blob_faultstore_add(
        f, &(blob_faultstore_fault){.ops = op, .key = &key, .action = BLOB_FAULT_HOLD, .ignore_ctx = true});
}

blob_faultstore_rule *inside_fail(blob_faultstore *f, unsigned op, const blob_address *a, int status, unsigned count)
{
    blob_key key = blob_address_key(a);

    return blob_faultstore_add(f, &(blob_faultstore_fault){.ops = op, .key = &key, .status = status, .count = count});
}

blob_faultstore_rule *inside_fail_for_long(blob_faultstore *f, unsigned op, const blob_address *a, int status)
{
    blob_key key = blob_address_key(a);

    return blob_faultstore_add(
        f, &(blob_faultstore_fault){
               .ops = op, .key = &key, .status = status, .retry_after_ms = 3600 * 1000, .text = "later"});
}

unsigned inside_ended(blob_faultstore *f, unsigned op, const blob_address *a, int status)
{
    blob_faultstore_call call;
    unsigned count = 0;

    for (size_t i = 0; blob_faultstore_history(f, i, &call); i++)
        if (call.op == op && call.status == status &&
            blob_key_compare(blob_key_of(call.key, call.key_size), blob_address_key(a)) == 0)
            count++;
    return count;
}

/* ---- a blob in each of the states ------------------------------------------------------------------------------ */

const wbstore_state inside_states[INSIDE_STATES] = {WBSTORE_QUEUED, WBSTORE_SENDING, WBSTORE_WAITING, WBSTORE_PARKED};

inside_staged inside_stage(wbrig *r, const char *text, wbstore_state state)
{
    inside_staged s = {.key = wbrig_address(text)};

    if (state == WBSTORE_QUEUED) {
        blob_address other = wbrig_address("the blocker");
        s.blocker = inside_hold(r->base, BLOB_FAULT_PUT, &other);
        wbrig_put(r, "the blocker");
        blob_faultstore_wait_held(s.blocker, 1);
    } else if (state == WBSTORE_SENDING) {
        s.rule = inside_hold(r->base, BLOB_FAULT_PUT, &s.key);
    } else if (state == WBSTORE_WAITING) {
        s.rule = inside_fail_for_long(r->base, BLOB_FAULT_PUT, &s.key, -EIO);
    } else {
        s.rule = inside_fail(r->base, BLOB_FAULT_PUT, &s.key, BLOB_REJECTED, 0);
    }
    wbrig_put(r, text);
    inside_until_state(r->w, blob_address_key(&s.key), (int)state);
    if (state == WBSTORE_SENDING)
        blob_faultstore_wait_held(s.rule, 1);
    return s;
}

void inside_unstage(const inside_staged *s)
{
    if (s->rule != NULL)
        blob_faultstore_lift(s->rule);
    if (s->blocker != NULL)
        blob_faultstore_lift(s->blocker);
}
