/* test_wbstore_turns.c - whose turn it is: blobs that dwell, blobs that somebody waits for, blobs that fail again and
 * again, and a host that wants a pause. */
#include "testclock.h"
#include "wbinside.h"

#include "wbstore/wrapper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static test_clock the_clock;

static int set_up(void **state)
{
    return inside_set_up_on(state, &the_clock);
}

static bool rests(const wbstore *w, const void *arg)
{
    (void)arg;
    return w->idle == w->writers && !w->resuming;
}

static uint64_t base_puts(wbrig *r)
{
    return blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls;
}

/* ---- dwelling ---- */

#define DWELL_MS 1000

static void start_dwelling(wbrig *r)
{
    r->options.dwell_ms = DWELL_MS;
    wbrig_start(r);
    inside_until(r->w, rests, NULL);
}

static void a_blob_is_sent_when_it_has_dwelt_and_not_before(void **state)
{
    wbrig *r = *state;

    start_dwelling(r);
    wbrig_put(r, "first");
    test_clock_move(&the_clock, DWELL_MS / 2);
    wbrig_put(r, "second");
    test_clock_move(&the_clock, DWELL_MS / 2 - 1);
    inside_until(r->w, rests, NULL);
    assert_int_equal(base_puts(r), 0);
    test_clock_move(&the_clock, 1);
    blob_faultstore_wait_calls(r->base, BLOB_FAULT_PUT, 1);
    inside_until(r->w, rests, NULL);
    assert_int_equal(base_puts(r), 1);
    test_clock_move(&the_clock, DWELL_MS / 2);
    blob_faultstore_wait_calls(r->base, BLOB_FAULT_PUT, 2);
}

/* The clock moves in no time, so this looks at what the writer waits for. */
static bool wakes_within_the_dwell(const wbstore *w, const void *arg)
{
    (void)arg;
    return w->timekeeper != NULL && w->timekeeper_ns <= wb_time_ns(w) + INT64_C(1000000) * DWELL_MS;
}

static void who_sleeps_until_something_later_is_due_is_told_of_what_dwells(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("fails");

    inside_fail_for_long(r->base, BLOB_FAULT_PUT, &a, BLOB_UNAVAILABLE);
    start_dwelling(r);
    wbrig_put(r, "fails");
    test_clock_move(&the_clock, DWELL_MS);
    inside_until_state(r->w, blob_address_key(&a), WBSTORE_WAITING);
    inside_until(r->w, rests, NULL);
    wbrig_put(r, "dwells");
    inside_until(r->w, wakes_within_the_dwell, NULL);
}

static void a_blob_that_dies_young_costs_no_upload(void **state)
{
    wbrig *r = *state;
    blob_address a;

    start_dwelling(r);
    a = wbrig_put(r, "short-lived");
    wbrig_put(r, "long-lived");
    test_status(wbstore_delete(r->w, NULL, blob_address_key(&a)), 0);
    test_clock_move(&the_clock, DWELL_MS);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(base_puts(r), 1);
    assert_int_equal(inside_stats(r).deleted, 1);
}

static void a_queued_blob_that_is_deleted_costs_no_upload_without_dwelling_either(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    blob_address a;

    r->options.writers_max = 1;
    wbrig_start(r);
    wbrig_put(r, "first");
    blob_faultstore_wait_held(gate, 1);
    a = wbrig_put(r, "deleted");
    test_status(wbstore_delete(r->w, NULL, blob_address_key(&a)), 0);
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(base_puts(r), 1);
}

static void sync_sends_at_once_what_dwells_but_not_what_comes_after_it(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    wbrig_call sync = {.call = wbrig_call_sync};

    start_dwelling(r);
    for (unsigned i = 0; i < 10; i++)
        wbrig_put_number(r, i);
    sync.w = r->w;
    wbrig_begin(&sync);
    blob_faultstore_wait_held(gate, 10);
    wbrig_put(r, "later");
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&sync));
    inside_until(r->w, rests, NULL);
    assert_int_equal(base_puts(r), 10);
    assert_int_equal(inside_stats(r).pending_blobs, 1);
}

/* It came while that one was still being written, and so had no place yet. */
static void who_waits_for_room_need_not_wait_for_what_dwells(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->buf, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    wbrig_call first, second;

    r->options.buffer_blobs_max = 1;
    start_dwelling(r);
    inside_put(&first, r, NULL, "first");
    blob_faultstore_wait_held(gate, 1);
    inside_put(&second, r, NULL, "second");
    inside_until_room_waiters(r->w, 1);
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&first));
    test_ok(wbrig_end(&second));
}

static void the_longest_dwelling_is_no_short_one(void **state)
{
    wbrig *r = *state;

    r->options.dwell_ms = INT64_MAX;
    wbrig_start(r);
    wbrig_put(r, "text");
    test_clock_move(&the_clock, INT64_C(1000) * 3600 * 24 * 365);
    inside_until(r->w, rests, NULL);
    assert_int_equal(base_puts(r), 0);
    test_ok(wbstore_sync(r->w, NULL));
}

static void a_wait_for_a_ticket_sends_what_is_as_old_and_no_more(void **state)
{
    wbrig *r = *state;
    uint64_t ticket;

    start_dwelling(r);
    wbrig_put(r, "first");
    ticket = wbrig_put_ticket(r, "second");
    wbrig_put(r, "third");
    test_ok(wbstore_wait(r->w, NULL, ticket));
    inside_until(r->w, rests, NULL);
    assert_int_equal(base_puts(r), 2);
}

static void a_wait_for_keys_sends_these_alone(void **state)
{
    wbrig *r = *state;
    blob_address a, b;
    blob_key keys[2];

    start_dwelling(r);
    a = wbrig_put(r, "first");
    wbrig_put(r, "second");
    b = wbrig_put(r, "third");
    keys[0] = blob_address_key(&b);
    keys[1] = blob_address_key(&a);
    test_ok(wbstore_wait_keys(r->w, NULL, keys, 2));
    inside_until(r->w, rests, NULL);
    assert_int_equal(base_puts(r), 2);
    assert_true(wbrig_in_base(r, &a) && wbrig_in_base(r, &b));
}

static void a_full_buffer_is_emptied_though_its_blobs_should_dwell(void **state)
{
    static const wbstore_when_full policies[] = {WBSTORE_FULL_WAIT, WBSTORE_FULL_FAIL};
    wbrig *r = *state;

    r->options.buffer_blobs_max = 2;
    for (unsigned i = 0; i < 2; i++) {
        blob_address a;
        int rc;

        r->options.when_full = policies[i];
        start_dwelling(r);
        wbrig_put(r, "first");
        wbrig_put(r, "second");
        rc = wbstore_cas_put(r->w, NULL, "third", 5, &a);
        test_status(rc, policies[i] == WBSTORE_FULL_WAIT ? 0 : BLOB_FULL);
        blob_faultstore_wait_calls(r->base, BLOB_FAULT_PUT, 2);
        test_ok(wbstore_sync(r->w, NULL));
        wbrig_stop(r);
        blob_store_delete(r->base_mem, NULL, blob_address_key(&a), 0);
    }
    wbrig_start(r);
}

static void what_was_resumed_has_dwelt_long_enough(void **state)
{
    wbrig *r = *state;

    wbrig_buffer(r, "old");
    r->options.dwell_ms = DWELL_MS;
    wbrig_start(r);
    blob_faultstore_wait_calls(r->base, BLOB_FAULT_PUT, 1);
}

static void a_time_to_dwell_below_zero_is_refused(void **state)
{
    wbrig *r = *state;
    wbstore *w;

    r->options.dwell_ms = -1;
    test_status(wbstore_new(&w, NULL, r->base_cas, r->buf_mem, &r->options), -EINVAL);
    assert_null(w);
}

/* ---- urgent keys ---- */

/* The n-th put that the base has answered. */
static void expect_base_put(wbrig *r, uint64_t n, const blob_address *a)
{
    blob_faultstore_call call;
    uint64_t seen = 0;

    for (size_t i = 0; blob_faultstore_history(r->base, i, &call); i++)
        if (call.op == BLOB_FAULT_PUT && seen++ == n) {
            assert_int_equal(blob_key_compare(blob_key_of(call.key, call.key_size), blob_address_key(a)), 0);
            return;
        }
    fail_msg("there was no put number %llu", (unsigned long long)n);
}

static void keys_that_are_waited_for_come_before_the_backlog_in_their_order(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    wbrig_call wait = {.call = wbrig_call_wait_keys};
    blob_address blobs[10];
    blob_key keys[3];

    r->options.writers_max = 1;
    wbrig_start(r);
    for (unsigned i = 0; i < 10; i++)
        blobs[i] = wbrig_put_number(r, i);
    blob_faultstore_wait_held(gate, 1);
    keys[0] = blob_address_key(&blobs[8]);
    keys[1] = blob_address_key(&blobs[0]); /* it is on its way already */
    keys[2] = blob_address_key(&blobs[6]);
    wait.w = r->w;
    wait.keys = keys;
    wait.count = 3;
    wbrig_begin_asleep(&wait);
    blob_faultstore_release(gate, 3);
    test_ok(wbrig_end(&wait));
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    expect_base_put(r, 0, &blobs[0]);
    expect_base_put(r, 1, &blobs[8]);
    expect_base_put(r, 2, &blobs[6]);
    expect_base_put(r, 3, &blobs[1]); /* and on in the old order */
    expect_base_put(r, 9, &blobs[9]);
}

static void two_who_wait_for_keys_are_served_one_after_the_other(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    wbrig_call waits[2];
    blob_address blobs[6];
    blob_key keys[2];

    r->options.writers_max = 1;
    wbrig_start(r);
    for (unsigned i = 0; i < 6; i++)
        blobs[i] = wbrig_put_number(r, i);
    blob_faultstore_wait_held(gate, 1);
    for (unsigned i = 0; i < 2; i++) {
        keys[i] = blob_address_key(&blobs[5 - i]);
        waits[i] = (wbrig_call){.call = wbrig_call_wait_keys, .w = r->w, .keys = &keys[i], .count = 1};
        wbrig_begin_asleep(&waits[i]);
        pthread_mutex_lock(&r->w->lock);
        wb_ledger_find(&r->w->ledger, keys[i])->awaited = false; /* begin_asleep wants to be alone */
        pthread_mutex_unlock(&r->w->lock);
    }
    pthread_mutex_lock(&r->w->lock);
    for (unsigned i = 0; i < 2; i++)
        wb_ledger_find(&r->w->ledger, keys[i])->awaited = true;
    pthread_mutex_unlock(&r->w->lock);
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&waits[0]));
    test_ok(wbrig_end(&waits[1]));
    test_ok(wbstore_sync(r->w, NULL));
    expect_base_put(r, 1, &blobs[5]);
    expect_base_put(r, 2, &blobs[4]);
    expect_base_put(r, 3, &blobs[1]);
}

/* What was passed over for a moment, because somebody's hand was on it, does not have to wait for its turn then. */
static void a_key_that_is_waited_for_keeps_its_turn_through_a_delete_that_fails(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_DELETE, NULL, BLOB_FAULT_BEFORE);
    wbrig_call wait = {.call = wbrig_call_wait_keys};
    blob_address a;
    blob_key key;
    test_later gone;

    start_dwelling(r);
    a = wbrig_put(r, "text");
    key = blob_address_key(&a);
    test_delete_later(&gone, wbstore_as_store(r->w), NULL, key);
    blob_faultstore_wait_held(gate, 1);
    wait.w = r->w;
    wait.keys = &key;
    wait.count = 1;
    wbrig_begin_asleep(&wait);
    blob_faultstore_fail(r->base, BLOB_FAULT_DELETE, BLOB_DENIED, 1);
    blob_faultstore_lift(gate);
    test_status(test_later_join(&gone), BLOB_DENIED);
    test_ok(wbrig_end(&wait));
}

/* So too where a second delete is in line, and gives up just when the first lets go. */
static void a_key_that_is_waited_for_keeps_its_turn_through_a_delete_that_gives_up(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate;
    wbrig_call wait = {.call = wbrig_call_wait_keys}, first, second;
    blob_address a;
    blob_key key;
    blob_ctx *ctx;

    start_dwelling(r);
    gate = blob_faultstore_add(
        r->base, &(blob_faultstore_fault){.ops = BLOB_FAULT_DELETE, .action = BLOB_FAULT_HOLD, .status = BLOB_DENIED});
    a = wbrig_put(r, "text");
    key = blob_address_key(&a);
    inside_delete(&first, r, NULL, &a);
    blob_faultstore_wait_held(gate, 1);
    test_ok(blob_ctx_new_timeout(&ctx, the_clock.ctx, DWELL_MS / 4));
    inside_delete(&second, r, ctx, &a);
    inside_until_removers(r->w, key, 2);
    wait.w = r->w;
    wait.keys = &key;
    wait.count = 1;
    wbrig_begin_asleep(&wait);
    atomic_fetch_add(&the_clock.now_ns, INT64_C(1000000) * DWELL_MS / 2); /* which nobody has noticed yet */
    blob_faultstore_lift(gate);
    test_status(wbrig_end(&first), BLOB_DENIED);
    test_status(wbrig_end(&second), -ETIMEDOUT);
    test_ok(wbrig_end(&wait));
    blob_ctx_free(ctx);
}

/* It was parked while they waited for another one, and is tried again: by wish, or because it was put again. */
static void a_key_that_is_waited_for_has_its_turn_when_it_is_parked_no_more(void **state)
{
    wbrig *r = *state;

    for (unsigned i = 0; i < 2; i++) {
        wbrig_call wait = {.call = wbrig_call_wait_keys};
        blob_faultstore_rule *gate;
        blob_address a, b;
        blob_key keys[2];

        start_dwelling(r);
        a = wbrig_put(r, i == 0 ? "a" : "c");
        b = wbrig_put(r, i == 0 ? "b" : "d");
        keys[0] = blob_address_key(&a);
        keys[1] = blob_address_key(&b);
        inside_fail(r->base, BLOB_FAULT_PUT, &a, BLOB_REJECTED, 1);
        gate = inside_hold(r->base, BLOB_FAULT_PUT, &b);
        wait.w = r->w;
        wait.keys = keys;
        wait.count = 2;
        wbrig_begin(&wait);
        inside_until_state(r->w, keys[0], WBSTORE_PARKED);
        blob_faultstore_wait_held(gate, 1);
        if (i == 0)
            test_ok(wbstore_retry_parked(r->w));
        else
            wbrig_put(r, "c");
        blob_faultstore_lift(gate);
        test_ok(wbrig_end(&wait));
        wbrig_stop(r);
    }
    wbrig_start(r);
}

static void what_was_parked_is_tried_again_at_once_and_need_not_dwell(void **state)
{
    wbrig *r = *state;
    blob_address a;
    blob_key key;

    start_dwelling(r);
    a = wbrig_put(r, "text");
    key = blob_address_key(&a);
    inside_fail(r->base, BLOB_FAULT_PUT, &a, BLOB_REJECTED, 1);
    test_status(wbstore_wait_keys(r->w, NULL, &key, 1), BLOB_REJECTED);
    test_ok(wbstore_retry_parked(r->w));
    blob_faultstore_wait_calls(r->base, BLOB_FAULT_PUT, 2);
}

/* The clock stands still: no attempt is under way, and none begins before it is moved. */
static bool is_down_and_rests(const wbstore *w, const void *arg)
{
    (void)arg;
    return w->down && !w->probing && w->ledger.sending == 0 && w->probe_due_ns > wb_time_ns(w);
}

static void keys_that_are_waited_for_keep_their_turn_through_an_outage(void **state)
{
    enum { KEYS = 6 };
    wbrig *r = *state;
    wbrig_call wait = {.call = wbrig_call_wait_keys};
    blob_address blobs[KEYS];
    blob_key keys[KEYS];
    blob_faultstore_rule *broken = blob_faultstore_fail(r->base, BLOB_FAULT_PUT, BLOB_UNAVAILABLE, 0);

    r->options.dwell_ms = INT64_MAX;
    wbrig_start(r);
    for (unsigned i = 0; i < KEYS; i++) {
        blobs[i] = wbrig_put_number(r, i);
        keys[i] = blob_address_key(&blobs[i]);
    }
    wait.w = r->w;
    wait.keys = keys;
    wait.count = KEYS;
    wbrig_begin_asleep(&wait);
    while (!inside_base_is_down(r->w))
        test_clock_move(&the_clock, 10);
    inside_until(r->w, is_down_and_rests, NULL);
    blob_faultstore_lift(broken);
    test_clock_move(&the_clock, 60000); /* the next probe */
    test_ok(wbrig_end(&wait));
}

/* Nothing is left that failed in the outage, so nothing else would find out that it is over. */
static void a_base_that_is_down_is_tried_with_what_should_dwell_if_somebody_waits_for_it(void **state)
{
    wbrig *r = *state;
    wbrig_call wait = {.call = wbrig_call_wait_keys};
    blob_faultstore_rule *broken = blob_faultstore_fail(r->base, BLOB_FAULT_PUT, BLOB_UNAVAILABLE, 0);
    blob_address a;
    blob_key key;
    blob_ctx *ctx;

    r->options.dwell_ms = INT64_MAX;
    wbrig_start(r);
    a = wbrig_put(r, "first");
    key = blob_address_key(&a);
    test_ok(blob_ctx_new(&ctx, the_clock.ctx));
    wait = (wbrig_call){.call = wbrig_call_wait_keys, .w = r->w, .ctx = ctx, .keys = &key, .count = 1};
    wbrig_begin_asleep(&wait);
    while (!inside_base_is_down(r->w))
        test_clock_move(&the_clock, 10);
    blob_ctx_cancel(ctx);
    test_status(wbrig_end(&wait), -ECANCELED);
    blob_faultstore_lift(broken);
    inside_until(r->w, is_down_and_rests, NULL);
    test_ok(wbstore_delete(r->w, NULL, key));
    a = wbrig_put(r, "second");
    key = blob_address_key(&a);
    wait.ctx = NULL;
    wbrig_begin_asleep(&wait);
    test_clock_move(&the_clock, 60000); /* the next probe */
    test_ok(wbrig_end(&wait));
    blob_ctx_free(ctx);
}

/* ---- blobs that fail again and again ---- */

#define GOOD 80
#define BAD 40

/* All there are, and so many are there. */
static bool all_wait(const wbstore *w, const void *count)
{
    size_t all = *(const size_t *)count;

    return w->ledger.waiting == all && w->ledger.active_blobs == all && w->ledger.sending == 0 && w->idle == w->writers;
}

static bool has_sent(const wbstore *w, const void *count)
{
    return w->sent == *(const uint64_t *)count;
}

/* BAD blobs that failed once and whose time has come, each behind a gate of its own; and GOOD ones behind them. */
static void make_bad_ones(wbrig *r, blob_faultstore_rule **gates)
{
    for (unsigned i = 0; i < BAD; i++) {
        char text[32];
        blob_address a;
        blob_key key;

        snprintf(text, sizeof text, "bad %u", i);
        a = wbrig_address(text);
        key = blob_address_key(&a);
        blob_faultstore_add(r->base,
                            &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .key = &key, .status = -EIO, .count = 1});
        gates[i] = blob_faultstore_add(
            r->base,
            &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .key = &key, .action = BLOB_FAULT_HOLD, .status = -EIO});
        wbrig_put(r, text);
        inside_until_state(r->w, key, WBSTORE_WAITING);
        wbrig_put_number(r, 1000 + i);
        inside_until(r->w, has_sent, &(uint64_t){i + 1}); /* a success in between: no outage */
    }
}

static void those_that_hang_again_take_up_few_of_the_writers(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gates[BAD];
    unsigned held = 0;

    r->options.writers_max = 16;
    r->options.retry_min_ms = r->options.retry_max_ms = 1000;
    wbrig_start(r);
    make_bad_ones(r, gates);
    inside_until(r->w, all_wait, &(size_t){BAD});
    test_ok(wbstore_pause(r->w));
    for (unsigned i = 0; i < GOOD; i++)
        wbrig_put_number(r, i);
    test_clock_move(&the_clock, 2000); /* all the bad ones are due, and older */
    test_ok(wbstore_resume(r->w));
    inside_until(r->w, has_sent, &(uint64_t){BAD + GOOD}); /* they arrive past those that hang */
    for (unsigned i = 0; i < BAD; i++)
        held += blob_faultstore_held(gates[i]);
    assert_in_range(held, 0, 16); /* now that there is nothing else, they may */
}

static void those_that_fail_again_get_one_turn_in_eight(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gates[BAD];
    blob_faultstore_call call;
    unsigned good = 0, bad = 0;

    r->options.writers_max = 1;
    r->options.retry_min_ms = r->options.retry_max_ms = 1000;
    wbrig_start(r);
    make_bad_ones(r, gates);
    inside_until(r->w, all_wait, &(size_t){BAD});
    test_ok(wbstore_pause(r->w));
    for (unsigned i = 0; i < BAD; i++)
        blob_faultstore_release(gates[i], 1000000);
    for (unsigned i = 0; i < GOOD; i++)
        wbrig_put_number(r, i);
    test_clock_move(&the_clock, 2000);
    test_ok(wbstore_resume(r->w));
    inside_until(r->w, has_sent, &(uint64_t){BAD + GOOD});
    for (size_t i = 0, puts = 0; good < GOOD && blob_faultstore_history(r->base, i, &call); i++) {
        if (call.op != BLOB_FAULT_PUT || puts++ < 2 * BAD)
            continue;
        good += call.status == 0;
        bad += call.status != 0;
    }
    assert_int_equal(good, GOOD);
    assert_in_range(bad, GOOD / 8, GOOD / 6); /* nor are they forgotten */
}

/* It is tried again, when its time has come, before all that failed before it and before what was never tried. */
static void a_key_that_is_waited_for_comes_first_when_it_is_tried_again_too(void **state)
{
    wbrig *r = *state;
    wbrig_call wait = {.call = wbrig_call_wait_keys, .count = 1};
    blob_address a = wbrig_address("urgent");
    blob_key key = blob_address_key(&a);
    blob_faultstore_rule *gates[BAD], *gate;
    uint64_t puts;

    r->options.writers_max = 2;
    r->options.retry_min_ms = r->options.retry_max_ms = 1000;
    wbrig_start(r);
    make_bad_ones(r, gates);
    inside_fail(r->base, BLOB_FAULT_PUT, &a, -EIO, 2);
    wbrig_put(r, "urgent");
    inside_until(r->w, all_wait, &(size_t){BAD + 1});
    wait.w = r->w;
    wait.keys = &key;
    wbrig_begin_asleep(&wait);
    test_ok(wbstore_pause(r->w));
    for (unsigned i = 0; i < BAD; i++)
        blob_faultstore_lift(gates[i]);
    for (unsigned i = 0; i < GOOD; i++)
        wbrig_put_number(r, i);
    test_clock_move(&the_clock, 2000);
    puts = base_puts(r);
    gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    test_ok(wbstore_resume(r->w));
    blob_faultstore_wait_held(gate, 2); /* two others, after it */
    expect_base_put(r, puts, &a);
    test_clock_move(&the_clock, 2000);
    blob_faultstore_release(gate, 1);
    blob_faultstore_wait_calls(r->base, BLOB_FAULT_PUT, puts + 2);
    blob_faultstore_wait_held(gate, 2);
    assert_int_equal(inside_state(r->w, key), WBSTORE_SENDING);
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&wait));
}

/* ---- a pause ---- */

static void in_a_pause_nothing_is_begun_and_what_is_under_way_ends(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    blob_address a;

    r->options.writers_max = 1;
    wbrig_start(r);
    wbrig_put(r, "under way");
    blob_faultstore_wait_held(gate, 1);
    test_ok(wbstore_pause(r->w));
    test_ok(wbstore_pause(r->w));
    a = wbrig_put(r, "later");
    blob_faultstore_lift(gate);
    blob_faultstore_wait_calls(r->base, BLOB_FAULT_PUT, 1);
    inside_until(r->w, rests, NULL);
    assert_int_equal(base_puts(r), 1);
    assert_int_equal(inside_stats(r).sent, 1);
    test_expect(wbstore_as_store(r->w), blob_address_key(&a), "later");
    test_ok(wbstore_resume(r->w));
    test_ok(wbstore_sync(r->w, NULL));
    test_ok(wbstore_resume(r->w));
    assert_int_equal(inside_stats(r).sent, 2);
}

static void a_sync_in_a_pause_waits_as_long_as_its_context_lets_it(void **state)
{
    wbrig *r = *state;
    wbrig_call sync = {.call = wbrig_call_sync};
    blob_ctx *ctx;

    wbrig_start(r);
    test_ok(wbstore_pause(r->w));
    wbrig_put(r, "text");
    test_ok(blob_ctx_new_timeout(&ctx, the_clock.ctx, 5000));
    sync.w = r->w;
    sync.ctx = ctx;
    wbrig_begin_asleep(&sync);
    test_clock_move(&the_clock, 5000);
    test_status(wbrig_end(&sync), -ETIMEDOUT);
    assert_int_equal(base_puts(r), 0);
    blob_ctx_free(ctx);
}

static void a_pause_is_refused_where_there_is_no_wrapper_or_its_time_is_over(void **state)
{
    wbrig *r = *state;

    test_status(wbstore_pause(NULL), -EINVAL);
    test_status(wbstore_resume(NULL), -EINVAL);
    wbrig_start(r);
    test_ok(wbstore_close(r->w, NULL));
    test_status(wbstore_pause(r->w), BLOB_CLOSED);
    test_status(wbstore_resume(r->w), BLOB_CLOSED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_blob_is_sent_when_it_has_dwelt_and_not_before),
        TEST(who_sleeps_until_something_later_is_due_is_told_of_what_dwells),
        TEST(a_blob_that_dies_young_costs_no_upload),
        TEST(a_queued_blob_that_is_deleted_costs_no_upload_without_dwelling_either),
        TEST(sync_sends_at_once_what_dwells_but_not_what_comes_after_it),
        TEST(who_waits_for_room_need_not_wait_for_what_dwells),
        TEST(the_longest_dwelling_is_no_short_one),
        TEST(a_wait_for_a_ticket_sends_what_is_as_old_and_no_more),
        TEST(a_wait_for_keys_sends_these_alone),
        TEST(a_full_buffer_is_emptied_though_its_blobs_should_dwell),
        TEST(what_was_resumed_has_dwelt_long_enough),
        TEST(a_time_to_dwell_below_zero_is_refused),
        TEST(keys_that_are_waited_for_come_before_the_backlog_in_their_order),
        TEST(two_who_wait_for_keys_are_served_one_after_the_other),
        TEST(a_key_that_is_waited_for_keeps_its_turn_through_a_delete_that_fails),
        TEST(a_key_that_is_waited_for_keeps_its_turn_through_a_delete_that_gives_up),
        TEST(a_key_that_is_waited_for_has_its_turn_when_it_is_parked_no_more),
        TEST(what_was_parked_is_tried_again_at_once_and_need_not_dwell),
        TEST(keys_that_are_waited_for_keep_their_turn_through_an_outage),
        TEST(a_base_that_is_down_is_tried_with_what_should_dwell_if_somebody_waits_for_it),
        TEST(those_that_hang_again_take_up_few_of_the_writers),
        TEST(those_that_fail_again_get_one_turn_in_eight),
        TEST(a_key_that_is_waited_for_comes_first_when_it_is_tried_again_too),
        TEST(in_a_pause_nothing_is_begun_and_what_is_under_way_ends),
        TEST(a_sync_in_a_pause_waits_as_long_as_its_context_lets_it),
        TEST(a_pause_is_refused_where_there_is_no_wrapper_or_its_time_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
