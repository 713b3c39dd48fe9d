/* test_wbstore_pace.c - how many uploads are in flight and how fast they are begun, as the wrapper does it; what the
 * statistics say of it. What the control itself is worth is seen in test_pace.c. */
#include "testclock.h"
#include "wbinside.h"

#include "wbstore/wrapper.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

static test_clock the_clock;

static int set_up(void **state)
{
    return inside_set_up_on(state, &the_clock);
}

static void put_many(wbrig *r, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        wbrig_put_number(r, i);
}

/* Whoever could begin something has; the rest waits for an answer or the clock. */
static bool nobody_begins(const wbstore *w, const void *arg)
{
    (void)arg;
    return !w->resuming && w->ledger.sending + w->idle == w->writers && !w->signalled &&
           !wb_work_is_ready((wbstore *)(uintptr_t)w, wb_time_ns(w));
}

/* Whoever could begin something has, and the base, which holds nobody, has answered. */
static bool all_is_done(const wbstore *w, const void *arg)
{
    return w->ledger.sending == 0 && nobody_begins(w, arg);
}

static uint64_t base_puts(wbrig *r)
{
    return blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls;
}

/* ---- the host's limits ---- */

/* Lets some seconds pass in steps, and returns how many puts the base had in each at most. */
static uint64_t most_in_a_second(wbrig *r, unsigned seconds)
{
    uint64_t most = 0;

    for (unsigned s = 0; s < seconds; s++) {
        uint64_t before = base_puts(r);

        for (unsigned step = 0; step < 100; step++) {
            test_clock_move(&the_clock, 10);
            inside_until(r->w, all_is_done, NULL);
        }
        if (base_puts(r) - before > most)
            most = base_puts(r) - before;
    }
    return most;
}

static void no_more_puts_a_second_are_begun_than_the_host_allows(void **state)
{
    wbrig *r = *state;
    wbstore_stats stats;
    uint64_t most;

    r->options.base_puts_per_s_max = 20;
    wbrig_start(r);
    put_many(r, 200);
    most = most_in_a_second(r, 5);
    assert_in_range(most, 20, 22); /* what was late is made good */
    assert_in_range(base_puts(r), 98, 102);
    stats = inside_stats(r);
    assert_int_equal(stats.concurrency_reason, WBSTORE_CONCURRENCY_OPTIONS);
    assert_in_range(stats.sent_milliblobs_per_s, 19000, 21000);
}

static void no_more_bytes_a_second_are_begun_than_the_host_allows(void **state)
{
    wbrig *r = *state;
    char bytes[1000] = "";

    r->options.base_bytes_per_s_max = 10000;
    wbrig_start(r);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(bytes, sizeof bytes, "%u", i);
        test_ok(wbstore_cas_put(r->w, NULL, bytes, sizeof bytes, NULL));
    }
    assert_in_range(most_in_a_second(r, 5), 10, 11);
    assert_in_range(base_puts(r), 49, 52);
    assert_in_range(inside_stats(r).sent_bytes_per_s, 9500, 10500);
}

/* ---- a base that throttles ---- */

static void a_base_that_asks_for_time_gets_fewer_a_second_and_the_statistics_say_so(void **state)
{
    wbrig *r = *state;

    blob_faultstore_add(
        r->base,
        &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .status = BLOB_UNAVAILABLE, .retry_after_ms = 100, .count = 3});
    wbrig_start(r);
    put_many(r, 300);
    inside_until(r->w, all_is_done, NULL);
    assert_in_range(base_puts(r), 1, 200); /* it did not just go on */
    assert_int_equal(inside_stats(r).concurrency_reason, WBSTORE_CONCURRENCY_THROTTLED);
    for (unsigned i = 0; i < 60 && inside_stats(r).pending_blobs > 0; i++)
        (void)most_in_a_second(r, 1);
    assert_int_equal(inside_stats(r).sent, 300);
}

static void a_base_that_is_only_not_there_now_and_then_is_not_slowed_down(void **state)
{
    wbrig *r = *state;

    blob_faultstore_add(r->base,
                        &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .status = BLOB_UNAVAILABLE, .every = 3});
    wbrig_start(r);
    put_many(r, 300);
    for (unsigned i = 0; i < 4; i++)
        (void)most_in_a_second(r, 1);
    assert_in_range(inside_stats(r).sent, 270, 300); /* the rest failed more than twice, and has its own times */
    for (unsigned i = 0; i < 600 && inside_stats(r).pending_blobs > 0; i++)
        (void)most_in_a_second(r, 1);
    assert_int_equal(inside_stats(r).sent, 300);
}

/* ---- after an outage ---- */

static bool is_down_between_probes(const wbstore *w, const void *arg)
{
    (void)arg;
    return w->down && !w->probing && w->ledger.sending == 0 && w->probe_due_ns > wb_time_ns(w);
}

static void a_base_that_comes_back_is_not_run_over(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *broken = blob_faultstore_fail(r->base, BLOB_FAULT_PUT, BLOB_UNAVAILABLE, 0), *gate;

    wbrig_start(r);
    put_many(r, 100);
    inside_until(r->w, is_down_between_probes, NULL);
    assert_int_equal(inside_stats(r).concurrency_reason, WBSTORE_CONCURRENCY_DOWN);
    assert_int_equal(inside_stats(r).concurrency, 1);
    gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    blob_faultstore_lift(broken);
    test_clock_move(&the_clock, 20000);
    blob_faultstore_wait_held(gate, 1);
    inside_until(r->w, nobody_begins, NULL);
    assert_int_equal(blob_faultstore_held(gate), 1);
    for (unsigned wave = 1; wave < 32; wave = wave == 1 ? 4 : 2 * wave) { /* each that succeeds brings one more */
        unsigned next = wave == 1 ? 4 : 2 * wave;

        blob_faultstore_release(gate, wave);
        blob_faultstore_wait_held(gate, next);
        inside_until(r->w, nobody_begins, NULL);
        assert_int_equal(blob_faultstore_held(gate), next);
    }
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
}

static void an_outage_does_not_overdraw_the_hosts_limits(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *broken = blob_faultstore_fail(r->base, BLOB_FAULT_PUT, BLOB_UNAVAILABLE, 0);
    uint64_t puts;

    r->options.base_puts_per_s_max = 1;
    r->options.retry_max_ms = 20;
    wbrig_start(r);
    put_many(r, 3);
    for (unsigned i = 0; i < 20; i++)
        (void)most_in_a_second(r, 1);
    assert_int_equal(inside_stats(r).concurrency_reason, WBSTORE_CONCURRENCY_DOWN);
    assert_in_range(base_puts(r), 10, 22);
    blob_faultstore_lift(broken);
    puts = base_puts(r);
    for (unsigned i = 0; i < 5; i++)
        (void)most_in_a_second(r, 1);
    assert_in_range(base_puts(r), puts + 3, puts + 5);
    assert_int_equal(inside_stats(r).sent, 3);
}

/* Probes ask no rate, and cost none. */
static void nor_the_rate_that_the_base_was_seen_to_bear(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *busy = blob_faultstore_add(
        r->base, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .status = BLOB_UNAVAILABLE, .retry_after_ms = 20});

    r->options.retry_max_ms = 20;
    wbrig_start(r);
    put_many(r, 3);
    for (unsigned i = 0; i < 60; i++)
        (void)most_in_a_second(r, 1);
    assert_int_equal(inside_stats(r).concurrency_reason, WBSTORE_CONCURRENCY_DOWN);
    assert_true(base_puts(r) > 1000); /* as often as it said */
    blob_faultstore_lift(busy);
    for (unsigned i = 0; i < 30 && inside_stats(r).sent < 3; i++)
        (void)most_in_a_second(r, 1);
    assert_int_equal(inside_stats(r).sent, 3);
}

/* ---- a stall ---- */

/* All that may be in flight hang; one more goes after them each tenth of a second. */
static void uploads_that_hang_do_not_hold_up_those_behind_them_for_ever(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate;

    r->options.writers_max = 8;
    wbrig_start(r);
    pthread_mutex_lock(&r->w->lock);
    r->w->pace.width.limit = 2;
    pthread_mutex_unlock(&r->w->lock);
    gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    put_many(r, 20);
    for (unsigned held = 0, steps = 0; held < 8; steps++) {
        test_clock_move(&the_clock, 5);
        sched_yield();
        held = blob_faultstore_held(gate);
        assert_true(held <= 2 + steps / 20 + 1);
    }
    test_clock_move(&the_clock, 1000);
    inside_until(r->w, nobody_begins, NULL);
    assert_int_equal(blob_faultstore_held(gate), 8); /* never more than the ceiling */
}

/* ---- statistics ---- */

static void they_tell_how_long_the_base_takes(void **state)
{
    wbrig *r = *state;
    wbstore_stats stats;

    r->options.writers_max = 1;
    wbrig_start(r);
    assert_int_equal(inside_stats(r).base_p50_us, 0);
    for (unsigned i = 0; i < 100; i++) {
        blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);

        wbrig_put_number(r, i);
        blob_faultstore_wait_held(gate, 1);
        test_clock_move(&the_clock, i < 97 ? 10 : 500);
        blob_faultstore_lift(gate);
        test_ok(wbstore_sync(r->w, NULL));
    }
    stats = inside_stats(r);
    assert_in_range(stats.base_p50_us, 10000, 11250);
    assert_in_range(stats.base_p99_us, 500000, 562500);
    assert_int_equal(stats.base_max_us, 500000);
    test_clock_move(&the_clock, 120000);
    assert_int_equal(inside_stats(r).base_max_us, 0);
    assert_int_equal(inside_stats(r).sent_milliblobs_per_s, 0);
}

static void they_tell_when_the_last_failure_was_and_who_waits_for_room(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate;
    wbrig_call put;

    r->options.buffer_blobs_max = 1;
    blob_faultstore_fail(r->base, BLOB_FAULT_PUT, BLOB_DENIED, 1);
    wbrig_start(r);
    assert_int_equal(inside_stats(r).last_age_ms, 0);
    wbrig_put(r, "first");
    while (inside_stats(r).last_status == 0)
        sched_yield();
    test_clock_move(&the_clock, 7000);
    assert_int_equal(inside_stats(r).last_age_ms, 7000);
    test_ok(wbstore_sync(r->w, NULL));
    gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    wbrig_put(r, "second");
    inside_put(&put, r, NULL, "third");
    inside_until_room_waiters(r->w, 1);
    assert_int_equal(inside_stats(r).room_waiters, 1);
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&put));
    assert_int_equal(inside_stats(r).room_waiters, 0);
}

static void they_tell_of_a_pause(void **state)
{
    wbrig *r = *state;

    wbrig_start(r);
    assert_int_equal(inside_stats(r).concurrency, 64);
    assert_int_equal(inside_stats(r).concurrency_reason, WBSTORE_CONCURRENCY_LEARNING);
    test_ok(wbstore_pause(r->w));
    assert_int_equal(inside_stats(r).concurrency, 0);
    assert_int_equal(inside_stats(r).concurrency_reason, WBSTORE_CONCURRENCY_PAUSED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_more_puts_a_second_are_begun_than_the_host_allows),
        TEST(no_more_bytes_a_second_are_begun_than_the_host_allows),
        TEST(a_base_that_asks_for_time_gets_fewer_a_second_and_the_statistics_say_so),
        TEST(a_base_that_is_only_not_there_now_and_then_is_not_slowed_down),
        TEST(a_base_that_comes_back_is_not_run_over),
        TEST(an_outage_does_not_overdraw_the_hosts_limits),
        TEST(nor_the_rate_that_the_base_was_seen_to_bear),
        TEST(uploads_that_hang_do_not_hold_up_those_behind_them_for_ever),
        TEST(they_tell_how_long_the_base_takes),
        TEST(they_tell_when_the_last_failure_was_and_who_waits_for_room),
        TEST(they_tell_of_a_pause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
