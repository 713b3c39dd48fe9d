/* test_meter.c - what goes to the base a second, and how long it takes: right figures, that forget in time. */
#include "testutil.h"
#include "wbstore/meter.h"

#include <stdlib.h>

#define MS INT64_C(1000000)
#define S (1000 * MS)
#define START (1000 * S)

static int set_up(void **state)
{
    (void)state;
    test_watchdog(120);
    return 0;
}

/* ---- flow ---- */

static void flow_is(const wb_flow *f, int64_t window_ns, int64_t now_ns, uint64_t blobs, uint64_t milli, uint64_t bytes)
{
    wb_flow_rate rate;

    wb_flow_look(f, window_ns, now_ns, &rate);
    assert_int_equal(rate.blobs, blobs);
    assert_int_equal(rate.milliblobs_per_s, milli);
    assert_int_equal(rate.bytes_per_s, bytes);
}

static void a_flow_is_that_of_its_window(void **state)
{
    wb_flow f = {.newest = 0};
    int64_t now_ns = START;

    (void)state;
    flow_is(&f, S, now_ns, 0, 0, 0);
    for (unsigned i = 0; i < 1000; i++, now_ns += 10 * MS) /* ten seconds, 100 a second */
        wb_flow_add(&f, 300, now_ns);
    flow_is(&f, S, now_ns, 100, 100000, 30000);
    flow_is(&f, 3 * S, now_ns, 300, 100000, 30000);
    flow_is(&f, 3600 * S, now_ns, 490, 100000, 30000); /* it remembers less than five seconds */
    flow_is(&f, S, now_ns + 500 * MS, 50, 50000, 15000);
    flow_is(&f, S, now_ns + 2 * S, 0, 0, 0);
    flow_is(&f, S, now_ns + 86400 * S, 0, 0, 0);
}

static void what_a_flow_has_forgotten_does_not_come_back(void **state)
{
    static const int64_t gaps_ns[] = {S, 4 * S, 4900 * MS, 5 * S, 5100 * MS, 10 * S, 3600 * S};

    (void)state;
    for (unsigned i = 0; i < sizeof gaps_ns / sizeof *gaps_ns; i++) {
        wb_flow f = {.newest = 0};
        uint64_t before;

        for (unsigned j = 0; j < 100; j++)
            wb_flow_add(&f, 1, START + j * 100 * MS);
        wb_flow_add(&f, 1000, START + 9900 * MS + gaps_ns[i]);
        /* Of the 49 tenths of a second before this one, so many had a blob. */
        before = gaps_ns[i] < 5 * S ? 50 - (uint64_t)gaps_ns[i] / (100 * MS) : 0;
        flow_is(&f, 4900 * MS, START + 9900 * MS + gaps_ns[i], before + 1, (before + 1) * 1000000 / 4900,
                (before + 1000) * 1000 / 4900);
    }
}

static void the_slot_that_has_begun_counts_for_what_it_has_lasted(void **state)
{
    wb_flow f = {.newest = 0};

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        wb_flow_add(&f, 0, START + i * 10 * MS);
    flow_is(&f, 0, START + 50 * MS, 5, 100000, 0);
    flow_is(&f, S, START + 50 * MS, 5, 4761, 0); /* nothing before that: 5 in 1,050 ms */
}

static void flows_of_the_largest_blobs_do_not_overflow(void **state)
{
    wb_flow f = {.newest = 0};

    (void)state;
    for (unsigned i = 0; i < 10; i++)
        wb_flow_add(&f, UINT64_C(1) << 55, START + i * 100 * MS);
    flow_is(&f, 900 * MS, START + S - 100 * MS, 10, 11111, (UINT64_C(100) << 55) / 9);
}

/* ---- latency ---- */

static wb_latency_figures figures(const wb_latency *l, int64_t now_ns)
{
    wb_latency_figures f;

    wb_latency_look(l, now_ns, &f);
    return f;
}

/* At most an eighth too high, never too low. */
static void near(int64_t got_ns, int64_t want_ns)
{
    if (got_ns < want_ns || got_ns > want_ns + want_ns / 8 + 1000)
        fail_msg("%lld ns, want %lld", (long long)got_ns, (long long)want_ns);
}

static void percentiles_are_right_to_an_eighth_from_microseconds_to_an_hour(void **state)
{
    (void)state;
    for (int64_t ns = 1000; ns < 3600 * S; ns = ns / 10 * 11 + 1) {
        wb_latency *l = calloc(1, sizeof *l);
        wb_latency_figures f;

        assert_non_null(l);
        wb_latency_add(l, 1, START); /* so that the maximum is not what is near */
        for (unsigned i = 0; i < 150; i++)
            wb_latency_add(l, ns, START);
        wb_latency_add(l, 2 * ns, START);
        f = figures(l, START);
        assert_int_equal(f.count, 152);
        near(f.p50_ns, ns);
        near(f.p99_ns, ns);
        assert_int_equal(f.max_ns, 2 * ns);
        free(l);
    }
}

static void half_are_faster_than_the_median_and_one_in_a_hundred_slower_than_the_99th(void **state)
{
    wb_latency *l = calloc(1, sizeof *l);
    wb_latency_figures f;

    (void)state;
    assert_non_null(l);
    f = figures(l, START);
    assert_true(f.count == 0 && f.p50_ns == 0 && f.p99_ns == 0 && f.max_ns == 0);
    for (unsigned i = 1; i <= 1000; i++)
        wb_latency_add(l, i * MS, START);
    f = figures(l, START);
    near(f.p50_ns, 500 * MS);
    near(f.p99_ns, 990 * MS);
    assert_int_equal(f.max_ns, S);
    assert_true(f.p99_ns <= f.max_ns);
    free(l);
}

static void one_attempt_is_all_of_the_figures(void **state)
{
    static const int64_t takes_ns[] = {0, 1, 999, 1000, 7999, 8000, 16000, 123456789, INT64_MAX};

    (void)state;
    for (unsigned i = 0; i < sizeof takes_ns / sizeof *takes_ns; i++) {
        wb_latency *l = calloc(1, sizeof *l);
        wb_latency_figures f;

        assert_non_null(l);
        wb_latency_add(l, takes_ns[i], START);
        f = figures(l, START);
        assert_int_equal(f.count, 1);
        assert_true(f.p50_ns == takes_ns[i] && f.p99_ns == takes_ns[i] && f.max_ns == takes_ns[i]);
        free(l);
    }
}

static void latency_is_that_of_the_last_minute(void **state)
{
    wb_latency *l = calloc(1, sizeof *l);
    int64_t now_ns = 1020 * S; /* a half begins */
    wb_latency_figures f;

    (void)state;
    assert_non_null(l);
    wb_latency_add(l, S, now_ns);
    wb_latency_add(l, MS, now_ns + 29 * S);
    assert_int_equal(figures(l, now_ns + 29 * S).count, 2);
    assert_int_equal(figures(l, now_ns + 59 * S).count, 2); /* nothing came, but it is not old yet */
    assert_int_equal(figures(l, now_ns + 60 * S).count, 0);
    wb_latency_add(l, MS, now_ns + 31 * S);
    f = figures(l, now_ns + 31 * S);
    assert_int_equal(f.count, 3);
    assert_int_equal(f.max_ns, S);
    wb_latency_add(l, MS, now_ns + 60 * S); /* the half with the slow one goes */
    f = figures(l, now_ns + 60 * S);
    assert_int_equal(f.count, 2);
    assert_int_equal(f.max_ns, MS);
    assert_int_equal(figures(l, now_ns + 90 * S).count, 1); /* so it does if nothing comes */
    wb_latency_add(l, 2 * MS, now_ns + 3600 * S);           /* and both, after a rest */
    f = figures(l, now_ns + 3600 * S);
    assert_int_equal(f.count, 1);
    assert_int_equal(f.max_ns, 2 * MS);
    wb_latency_add(l, 3 * MS, now_ns + 3690 * S); /* three halves: the same place, another time */
    assert_int_equal(figures(l, now_ns + 3690 * S).count, 1);
    free(l);
}

static void it_takes_less_than_two_kilobytes(void **state)
{
    (void)state;
    assert_true(sizeof(wb_latency) <= 2048);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flow_is_that_of_its_window),
        cmocka_unit_test(what_a_flow_has_forgotten_does_not_come_back),
        cmocka_unit_test(the_slot_that_has_begun_counts_for_what_it_has_lasted),
        cmocka_unit_test(flows_of_the_largest_blobs_do_not_overflow),
        cmocka_unit_test(percentiles_are_right_to_an_eighth_from_microseconds_to_an_hour),
        cmocka_unit_test(half_are_faster_than_the_median_and_one_in_a_hundred_slower_than_the_99th),
        cmocka_unit_test(one_attempt_is_all_of_the_figures),
        cmocka_unit_test(latency_is_that_of_the_last_minute),
        cmocka_unit_test(it_takes_less_than_two_kilobytes),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
