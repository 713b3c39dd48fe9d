/* test_wbstore_clock.c - the wrapper on a clock that the test moves: long outages, backoff, time limits, ages. */
#include "testclock.h"
#include "wbinside.h"

#include "wbstore/wrapper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HOUR_MS (INT64_C(3600) * 1000)
#define DAY_NS (INT64_C(24) * 3600 * 1000000000)

static test_clock the_clock;

static int set_up(void **state)
{
    wbrig *r;
    int rc = inside_set_up_on(state, &the_clock);

    if (rc != 0)
        return rc;
    r = *state;
    r->options.retry_min_ms = 0; /* the library's own times */
    r->options.retry_max_ms = 0;
    r->options.attempt_timeout_ms = 0;
    return 0;
}

static int tear_down(void **state)
{
    return wbrig_tear_down(state); /* drops the clock's context, too */
}

/* It is down, the last probe is over, and the next one is still to come. */
static bool waits_for_probe(const wbstore *w, const void *arg)
{
    (void)arg;
    return w->down && !w->probing && w->ledger.sending == 0 && w->probe_due_ns > wb_time_ns(w);
}

static int64_t next_probe_ns(wbrig *r)
{
    int64_t due_ns;

    inside_until(r->w, waits_for_probe, NULL);
    pthread_mutex_lock(&r->w->lock);
    due_ns = r->w->probe_due_ns;
    pthread_mutex_unlock(&r->w->lock);
    return due_ns;
}

static void a_day_of_outage_costs_few_attempts_and_ends_at_the_first_answer(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *broken = blob_faultstore_fail(r->base, BLOB_FAULT_PUT, BLOB_UNAVAILABLE, 0);
    uint64_t probes = 0, before;
    int64_t begun_ns, due_ns;

    wbrig_start(r);
    for (unsigned i = 0; i < 200; i++)
        wbrig_put_number(r, i);
    due_ns = next_probe_ns(r);
    before = blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls;
    assert_true(before < 200); /* those that were in flight when it went down */
    for (begun_ns = due_ns; due_ns < begun_ns + DAY_NS; probes++) {
        test_clock_move_to(&the_clock, due_ns - 1);
        inside_until(r->w, waits_for_probe, NULL);
        assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls, before + probes); /* not sooner */
        test_clock_move_to(&the_clock, due_ns);
        blob_faultstore_wait_calls(r->base, BLOB_FAULT_PUT, before + probes + 1);
        due_ns = next_probe_ns(r);
    }
    print_message("    a day of outage: %llu attempts\n", (unsigned long long)probes);
    assert_in_range(blob_faultstore_count(r->base, BLOB_FAULT_PUT).in_flight_max, 1, 64);
    /* Full jitter below 20 s: one in 10 s, on average. */
    assert_in_range(probes, 24 * 3600 / 10 * 9 / 10, 24 * 3600 / 10 * 11 / 10);
    assert_int_equal(wbrig_event_count(r, WBSTORE_EVENT_BASE_DOWN), 1);
    assert_true(inside_stats(r).oldest_age_ms >= 23 * HOUR_MS);
    blob_faultstore_lift(broken);
    test_clock_move_to(&the_clock, due_ns); /* that probe brings them all, without another tick */
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(inside_stats(r).sent, 200);
}

static bool is_waiting(const wbstore *w, const void *arg)
{
    (void)arg;
    return w->ledger.waiting == 1 && w->ledger.sending == 0;
}

static void a_blob_that_failed_waits_for_its_time_and_no_longer(void **state)
{
    wbrig *r = *state;
    int64_t due_ns;

    blob_faultstore_add(r->base,
                        &(blob_faultstore_fault){
                            .ops = BLOB_FAULT_PUT, .status = BLOB_UNAVAILABLE, .retry_after_ms = HOUR_MS, .count = 1});
    wbrig_start(r);
    wbrig_put(r, "text");
    inside_until(r->w, is_waiting, NULL);
    pthread_mutex_lock(&r->w->lock);
    due_ns = wb_ledger_due_ns(&r->w->ledger);
    pthread_mutex_unlock(&r->w->lock);
    assert_int_equal(due_ns, wb_ctx_now_ns(the_clock.ctx) + HOUR_MS * 1000000);
    test_clock_move(&the_clock, HOUR_MS - 1);
    inside_until(r->w, is_waiting, NULL);
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls, 1);
    test_clock_move(&the_clock, 1);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls, 2);
}

/* How the upload's context stands; -ENOENT: there is none under way. Tells at once that its time is over, where the
 * writer may need a moment to hear of it. */
static int upload_status(wbstore *w, blob_key key)
{
    const wb_entry *e;
    int rc = -ENOENT;

    pthread_mutex_lock(&w->lock);
    e = wb_ledger_find(&w->ledger, key);
    if (e != NULL && e->attempt != NULL && e->attempt->ctx != NULL)
        rc = blob_ctx_status(e->attempt->ctx);
    pthread_mutex_unlock(&w->lock);
    return rc;
}

static void an_attempt_has_twenty_seconds_and_one_for_each_mebibyte(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *hang = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    blob_address a;

    wbrig_start(r);
    a = wbrig_put(r, "text");
    blob_faultstore_wait_held(hang, 1);
    test_clock_move(&the_clock, 20999);
    test_ok(upload_status(r->w, blob_address_key(&a)));
    test_clock_move(&the_clock, 1);
    inside_until(r->w, is_waiting, NULL);
    assert_int_equal(inside_stats(r).last_status, -ETIMEDOUT);
}

static bool the_housekeeper_is_left(const wbstore *w, const void *arg)
{
    (void)arg;
    return w->threads == 1 && w->writers == 0 && !w->telling;
}

/* The teller, who tells that all has drained, too: he is asleep if he has told it and holds no lock. */
static bool all_rest(const wbstore *w, const void *arg)
{
    (void)arg;
    return w->idle == w->writers && w->telling && !w->drained_untold && w->tell_rests;
}

static void writers_go_when_there_is_nothing_to_do(void **state)
{
    wbrig *r = *state;

    wbrig_start(r);
    for (unsigned i = 0; i < 100; i++)
        wbrig_put_number(r, i);
    test_ok(wbstore_sync(r->w, NULL));
    inside_until(r->w, all_rest, NULL);
    test_clock_move(&the_clock, 1000);
    inside_until(r->w, the_housekeeper_is_left, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* Somebody made room on the buffer's disk while the base is away: nobody tells the wrapper, so it asks. */
static bool nobody_writes(const wbstore *w, const void *arg)
{
    (void)arg;
    return w->writing == 0;
}

static void a_buffer_that_got_room_from_outside_is_asked_again(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE), *full;
    wbrig_call call, behind;

    r->options.attempt_timeout_ms = HOUR_MS;
    wbrig_start(r);
    wbrig_put(r, "pending");
    blob_faultstore_wait_held(gate, 1);
    full = blob_faultstore_fail(r->buf, BLOB_FAULT_PUT, -ENOSPC, 0);
    inside_put(&call, r, NULL, "text");
    inside_until_room_waiters(r->w, 1);
    assert_int_equal(blob_faultstore_hits(full), 1);
    test_clock_move(&the_clock, 10000); /* asked, and still full */
    blob_faultstore_wait_hits(full, 2);
    inside_until(r->w, nobody_writes, NULL);
    inside_put(&behind, r, NULL, "another");
    inside_until_room_waiters(r->w, 2);
    blob_faultstore_lift(full);
    test_clock_move(&the_clock, 10000);
    test_ok(wbrig_end(&call));
    test_ok(wbrig_end(&behind));
    assert_int_equal(inside_stats(r).pending_blobs, 3);
    blob_faultstore_lift(gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_day_of_outage_costs_few_attempts_and_ends_at_the_first_answer),
        TEST(a_blob_that_failed_waits_for_its_time_and_no_longer),
        TEST(an_attempt_has_twenty_seconds_and_one_for_each_mebibyte),
        TEST(writers_go_when_there_is_nothing_to_do),
        TEST(a_buffer_that_got_room_from_outside_is_asked_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
