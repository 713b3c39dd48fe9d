/* test_pace_rules.c - how many may be in flight: the ceiling, the least limits, stragglers, stalls. test_pace_limits.c has
 * what refusals, time-outs and the host's limits do, test_pace.c what comes of it all. */
#include "pace_test.h"

/* ---- in flight ---- */

static void it_starts_wide_and_never_exceeds_the_ceiling(void **state)
{
    hand *h = *state;

    assert_int_equal(h->pace.reason, WB_PACE_STARTING);
    assert_int_equal(begin_all(h), 8);
    assert_true(h->until_ns == WB_NEVER);
    assert_int_equal(h->pace.reason, WB_PACE_STARTING);
    end(h, 3, WB_PACE_DONE);
    assert_int_equal(begin_all(h), 1);
    assert_int_equal(h->pace.in_flight, 8);
}

static void the_least_ceilings_work(void **state)
{
    (void)state;
    for (unsigned ceiling = 1; ceiling <= 3; ceiling++) {
        pacesim_base base = {.service_ns = 5 * MS, .spread = PACESIM_EXPONENTIAL};
        pacesim *s = pacesim_new(1, ceiling, &base);
        pacesim_figures f;

        pacesim_run(s, PACESIM_S);
        f = pacesim_run(s, 60 * PACESIM_S);
        assert_int_equal(f.in_flight_max, ceiling);
        assert_true(f.in_flight > 0.95 * ceiling);
        pacesim_free(s);
    }
}

static void a_base_with_one_place_gets_a_handful(void **state)
{
    pacesim_base base = {.places = 1, .service_ns = 20 * MS};
    pacesim *s = pacesim_new(1, 64, &base);
    pacesim_figures f;

    (void)state;
    pacesim_run(s, 30 * PACESIM_S);
    f = pacesim_run(s, 60 * PACESIM_S);
    assert_true(f.busy > 0.99);
    assert_true(f.in_flight >= 2 && f.in_flight < 5 && f.in_flight_max <= 6);
    pacesim_free(s);
}

/* With more in flight they only take turns; and that is what is told. */
static void a_base_that_answers_at_once_has_the_processors_for_its_bound(void **state)
{
    pacesim_base base = {.places = 4, .service_ns = 20000};
    pacesim *s = pacesim_new(1, 64, &base);
    pacesim_figures f;

    (void)state;
    pacesim_pace(s)->processors = 4;
    pacesim_run(s, PACESIM_S / 10);
    f = pacesim_run(s, PACESIM_S);
    assert_int_equal(f.in_flight_max, 4);
    assert_int_equal(pacesim_pace(s)->reason, WB_PACE_NARROWED);
    pacesim_free(s);
}

static void without_work_nothing_is_concluded(void **state)
{
    pacesim_base base = {.service_ns = 50 * MS, .spread = PACESIM_EXPONENTIAL};
    pacesim *s = pacesim_new(1, 64, &base);
    pacesim_figures f;

    (void)state;
    pacesim_work(s, 50);
    f = pacesim_run(s, 60 * PACESIM_S);
    assert_in_range(f.done, 2950, 3000); /* all that came */
    assert_int_equal(wb_pace_limit(pacesim_pace(s)), 64);
    assert_false(pacesim_pace(s)->width.found);
    pacesim_work(s, 0);
    pacesim_run(s, PACESIM_S);
    f = pacesim_run(s, 20 * PACESIM_S);
    assert_true(f.in_flight > 0.95 * 64);
    pacesim_free(s);
}

/* Fewer are tried as soon as they take longer. */
static void a_base_that_gets_a_tenth_of_its_places_gets_fewer_attempts(void **state)
{
    (void)state;
    for (pacesim_spread spread = PACESIM_CONSTANT; spread <= PACESIM_EXPONENTIAL; spread++) {
        pacesim_base base = {.places = 40, .service_ns = 50 * MS, .spread = spread};
        pacesim *s = pacesim_new(1, 64, &base);
        pacesim_figures f;

        pacesim_run(s, 60 * PACESIM_S);
        pacesim_base_of(s)->places = 4;
        pacesim_run(s, 10 * PACESIM_S);
        f = pacesim_run(s, 20 * PACESIM_S);
        assert_true(f.in_flight < 10 && f.busy > 3.7);
        pacesim_free(s);
    }
}

/* So slowly that no window differs much from those before it. */
static void a_base_that_gets_narrower_by_and_by_is_found_out(void **state)
{
    pacesim_base base = {.places = 32, .service_ns = 100 * MS};
    pacesim *s = pacesim_new(1, 64, &base);
    pacesim_figures f;

    (void)state;
    pacesim_run(s, 60 * PACESIM_S);
    for (; pacesim_base_of(s)->places > 8; pacesim_base_of(s)->places--)
        pacesim_run(s, 20 * PACESIM_S);
    pacesim_run(s, 60 * PACESIM_S);
    f = pacesim_run(s, 20 * PACESIM_S);
    assert_true(f.in_flight < 16 && f.busy > 7.6);
    pacesim_free(s);
}

/* Twice as many at a time, while it helps. */
static void a_thousand_places_are_found_in_seconds(void **state)
{
    pacesim_base base = {.places = 2, .service_ns = 50 * MS};
    pacesim *s = pacesim_new(1, 1000, &base);

    (void)state;
    pacesim_run(s, 600 * PACESIM_S);
    assert_true(wb_pace_limit(pacesim_pace(s)) < 8);
    pacesim_base_of(s)->places = 0;
    pacesim_run(s, 7 * PACESIM_S);
    assert_true(pacesim_run(s, PACESIM_S).in_flight > 900);
    pacesim_free(s);
}

/* ---- stragglers ---- */

static void one_that_many_overtook_gives_up_its_place(void **state)
{
    hand *h = *state;
    unsigned slow = begin(h), other;

    for (unsigned i = 0; i < 8 * 8; i++) {
        other = begin(h);
        h->now_ns += MS;
        end(h, other, WB_PACE_DONE);
        assert_int_equal(h->pace.stragglers, 0);
    }
    other = begin(h);
    h->now_ns += MS;
    end(h, other, WB_PACE_DONE);
    assert_true(h->nodes[slow].straggler);
    assert_int_equal(h->pace.stragglers, 1);
    assert_int_equal(h->pace.in_flight, 1);
    assert_int_equal(begin_all(h), 7); /* of the ceiling it still counts */
    assert_int_equal(h->pace.latency_ns, MS);
    h->now_ns += PACESIM_S;
    end(h, slow, WB_PACE_DONE);
    assert_int_equal(h->pace.stragglers, 0);
    assert_int_equal(h->pace.in_flight, 7);
    assert_int_equal(h->pace.latency_ns, MS); /* it was no measure */
}

static void below_the_ceiling_another_one_takes_a_stragglers_place(void **state)
{
    hand *h = *state;

    wb_width_timed_out(&h->pace.width, h->now_ns, h->now_ns); /* 4 */
    begin(h);
    for (unsigned i = 0; i < 8 * 4 + 1; i++) {
        unsigned other = begin(h);

        h->now_ns += MS;
        end(h, other, WB_PACE_DONE);
    }
    assert_int_equal(h->pace.stragglers, 1);
    assert_int_equal(begin_all(h), 4);
    assert_int_equal(h->pace.in_flight, 5);
}

static void into_a_stall_hardly_more_is_sent(void **state)
{
    hand *h = *state;
    int64_t stalled_ns, end_ns;
    unsigned more = 0;

    wb_pace_init(&h->pace, 64, 0, 0, h->now_ns);
    for (unsigned i = 0; i < 3; i++, h->now_ns++) /* 8 */
        wb_width_timed_out(&h->pace.width, h->now_ns, h->now_ns);
    for (unsigned i = 0; i < 40; i++) {
        unsigned other = begin(h);

        h->now_ns += 50 * MS;
        end(h, other, WB_PACE_DONE);
    }
    assert_int_equal(begin_all(h), 8);
    stalled_ns = h->now_ns;
    end_ns = stalled_ns + 25 * PACESIM_S;
    while (h->until_ns < end_ns) {
        h->now_ns = h->until_ns;
        more += begin_all(h);
    }
    /* After 0.4 s, then after 0.8, then each 1.6 s: the last come before the first would time out, by default. */
    assert_int_equal(more, 16);
    assert_int_equal(h->pace.in_flight, 24);
    end(h, 40, WB_PACE_DONE);
    assert_true(h->until_ns != WB_NEVER);
    assert_false(may(h)); /* what gave up its place has not got it back */
}

static void blobs_that_hang_do_not_stop_the_rest_even_if_they_are_all_that_is_in_flight(void **state)
{
    pacesim_base base = {.places = 2, .service_ns = 2 * MS, .straggler_in = 20, .straggler_ns = 600 * PACESIM_S};
    pacesim *s = pacesim_new(1, 4000, &base);

    (void)state;
    for (unsigned i = 0; i < 10; i++)
        assert_true(pacesim_run(s, PACESIM_S).done > 50);
    pacesim_free(s);
}

/* Two hang, and a base that answers at once has no more places than processors. */
static void blobs_that_hang_do_not_stop_the_rest_of_a_fast_base(void **state)
{
    hand *h = *state;
    unsigned other;

    wb_pace_init(&h->pace, 64, 0, 0, h->now_ns);
    h->pace.processors = 2;
    other = begin(h);
    h->now_ns += 1000;
    end(h, other, WB_PACE_DONE);
    assert_int_equal(wb_pace_limit(&h->pace), 2);
    begin(h);
    for (unsigned i = 0; i < 8 * 2 + 1; i++) { /* overtaken by eight times the places there are, not the ceiling */
        other = begin(h);
        h->now_ns += MS + MS / 2;
        end(h, other, WB_PACE_DONE);
        h->pace.latency_ns = 1000;
    }
    assert_int_equal(h->pace.stragglers, 1);
    assert_true(begin_all(h) > 32); /* one that hangs takes no processor: it is as wide as any base */
}

static void what_only_took_a_moment_is_no_straggler(void **state)
{
    hand *h = *state;

    begin(h);
    for (unsigned i = 0; i < 8 * 8 + 20; i++) {
        unsigned other = begin(h);

        h->now_ns += MS / 10;
        end(h, other, WB_PACE_DONE);
    }
    assert_int_equal(h->pace.stragglers, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(it_starts_wide_and_never_exceeds_the_ceiling),
        TEST(the_least_ceilings_work),
        TEST(a_base_with_one_place_gets_a_handful),
        TEST(a_base_that_answers_at_once_has_the_processors_for_its_bound),
        TEST(without_work_nothing_is_concluded),
        TEST(a_base_that_gets_a_tenth_of_its_places_gets_fewer_attempts),
        TEST(a_base_that_gets_narrower_by_and_by_is_found_out),
        TEST(a_thousand_places_are_found_in_seconds),
        TEST(one_that_many_overtook_gives_up_its_place),
        TEST(below_the_ceiling_another_one_takes_a_stragglers_place),
        TEST(into_a_stall_hardly_more_is_sent),
        TEST(blobs_that_hang_do_not_stop_the_rest_even_if_they_are_all_that_is_in_flight),
        TEST(blobs_that_hang_do_not_stop_the_rest_of_a_fast_base),
        TEST(what_only_took_a_moment_is_no_straggler),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
