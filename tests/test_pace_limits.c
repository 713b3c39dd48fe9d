/* test_pace_limits.c - what refusals, time-outs, outages and the host's limits do to the pace, and what does nothing. */
#include "pace_test.h"

/* ---- refused ---- */

static void a_refusal_sets_a_rate_and_spaces_attempts_evenly(void **state)
{
    hand *h = *state;
    int64_t begun_ns[5];

    work(h, 200, 10 * MS); /* 100 a second */
    end(h, begin(h), WB_PACE_REFUSED);
    assert_in_range(h->pace.rate.milli_per_s, 90000, 100000);
    for (unsigned i = 0; i < 5; i++) {
        assert_false(may(h));
        assert_int_equal(h->pace.reason, WB_PACE_THROTTLED);
        assert_true(h->until_ns > h->now_ns && h->until_ns <= h->now_ns + 12 * MS);
        h->now_ns = h->until_ns;
        assert_true(may(h));
        begun_ns[i] = h->now_ns;
        end(h, begin(h), WB_PACE_DONE);
    }
    for (unsigned i = 2; i < 5; i++)
        assert_int_equal(begun_ns[i] - begun_ns[i - 1], begun_ns[1] - begun_ns[0]);
}

static void refusals_of_what_began_before_the_cut_do_not_cut_again(void **state)
{
    hand *h = *state;
    uint64_t rate;

    work(h, 200, 10 * MS);
    begin_all(h);
    h->now_ns += MS;
    end(h, 0, WB_PACE_REFUSED);
    rate = h->pace.rate.milli_per_s;
    assert_true(rate > 0);
    h->now_ns += PACESIM_S;
    for (unsigned i = 1; i < 8; i++)
        end(h, i, WB_PACE_REFUSED);
    assert_int_equal(h->pace.rate.milli_per_s, rate);
    end(h, begin(h), WB_PACE_REFUSED); /* this one began after it */
    assert_true(h->pace.rate.milli_per_s < rate);
    rate = h->pace.rate.milli_per_s;
    end(h, begin(h), WB_PACE_REFUSED); /* but not right again */
    assert_int_equal(h->pace.rate.milli_per_s, rate);
}

static void what_says_nothing_of_the_base_changes_nothing(void **state)
{
    hand *h = *state;

    work(h, 20, MS);
    wb_pace_end(&h->pace, &h->nodes[begin(h)], WB_PACE_REFUSED, true, h->now_ns);
    wb_pace_end(&h->pace, &h->nodes[begin(h)], WB_PACE_TIMED_OUT, true, h->now_ns + PACESIM_S);
    wb_pace_end(&h->pace, &h->nodes[begin(h)], WB_PACE_OTHER, false, h->now_ns);
    wb_pace_end(&h->pace, &h->nodes[begin(h)], WB_PACE_CALLED_OFF, false, h->now_ns + 100 * PACESIM_S);
    assert_int_equal(h->pace.rate.milli_per_s, 0);
    assert_int_equal(wb_pace_limit(&h->pace), 8);
    assert_int_equal(h->pace.in_flight, 0);
    assert_true(h->pace.latency_ns <= 8 * MS);
}

/* It slows down to two seconds: at 20 a second 40 are in flight then, not the ceiling. */
static void a_throttled_base_that_slows_down_does_not_collect_the_ceiling(void **state)
{
    pacesim_base base = {.per_s = 20, .service_ns = 100 * MS};
    pacesim *s = pacesim_new(1, 500, &base);
    pacesim_figures f;

    (void)state;
    pacesim_run(s, 60 * PACESIM_S);
    f = pacesim_run(s, 60 * PACESIM_S);
    assert_true(f.in_flight < 4 && f.in_flight_max <= 12);
    pacesim_base_of(s)->places = 20; /* 10 a second */
    pacesim_base_of(s)->service_ns = 2 * PACESIM_S;
    f = pacesim_run(s, 20 * PACESIM_S);
    assert_true(f.in_flight_max < 250);
    pacesim_free(s);
}

static void a_rate_that_is_no_bound_goes(void **state)
{
    pacesim_base base = {.per_s = 100, .service_ns = 10 * MS};
    pacesim *s = pacesim_new(1, 8, &base);

    (void)state;
    pacesim_run(s, 10 * PACESIM_S);
    assert_true(pacesim_pace(s)->rate.milli_per_s > 0);
    pacesim_base_of(s)->per_s = 0;
    pacesim_run(s, 30 * PACESIM_S);
    assert_int_equal(pacesim_pace(s)->rate.milli_per_s, 0);
    assert_int_equal(pacesim_pace(s)->reason, WB_PACE_CEILING);
    pacesim_free(s);
}

static void the_more_was_refused_the_longer_the_rate_is_held(void **state)
{
    hand *h = *state;

    for (unsigned refused = 1; refused <= 8; refused += 7) {
        int64_t cut_ns;
        uint64_t rate;

        wb_pace_init(&h->pace, 8, 0, 0, h->now_ns);
        work(h, 200, 10 * MS);
        h->begun = 0;
        for (unsigned i = 0; i < refused; i++)
            begin(h);
        for (unsigned i = 0; i < refused; i++)
            end(h, i, WB_PACE_REFUSED);
        rate = h->pace.rate.milli_per_s;
        cut_ns = h->now_ns;
        while (h->pace.rate.milli_per_s == rate && h->now_ns < cut_ns + 10 * PACESIM_S) {
            work(h, 1, MS);
            if (!may(h))
                h->now_ns = h->until_ns;
        }
        if (refused == 1) /* two seconds; 30 attempts for each that was refused; at most five */
            assert_in_range(h->now_ns - cut_ns, 2000 * MS, 2300 * MS);
        else
            assert_in_range(h->now_ns - cut_ns, 2400 * MS, 2900 * MS);
    }
}

/* A base that counts by the second refuses all when it is through with it: that is no measure. */
static void what_is_believed_is_not_lowered_by_each_cut(void **state)
{
    hand *h = *state;
    uint64_t goal;

    work(h, 200, 10 * MS);
    end(h, begin(h), WB_PACE_REFUSED);
    goal = h->pace.rate.goal;
    for (unsigned i = 0; i < 5; i++) {
        h->now_ns += 110 * MS;
        end(h, begin(h), WB_PACE_REFUSED);
    }
    assert_true(h->pace.rate.milli_per_s < goal / 20);
    assert_int_equal(h->pace.rate.goal, goal);
    for (unsigned i = 0; i < 100 && h->pace.rate.milli_per_s < goal; i++) {
        work(h, 1, MS);
        if (!may(h))
            h->now_ns = h->until_ns;
    }
    assert_int_equal(h->pace.rate.milli_per_s, goal);
    for (unsigned i = 0; i < 5; i++) { /* some of it: what was delivered of late is the measure, not the rate */
        h->now_ns += 110 * MS;
        end(h, begin(h), WB_PACE_DONE);
        end(h, begin(h), WB_PACE_REFUSED);
    }
    assert_true(h->pace.rate.milli_per_s < goal && h->pace.rate.goal > h->pace.rate.milli_per_s);
}

/* What a host let through is no measure of what a base bears. */
static void a_rate_found_below_the_hosts_limit_is_a_guess(void **state)
{
    hand *h = *state;

    for (unsigned limited = 0; limited < 2; limited++) {
        wb_pace_init(&h->pace, 8, limited > 0 ? 20 : 0, 0, h->now_ns);
        work(h, 200, 10 * MS);
        end(h, begin(h), WB_PACE_REFUSED);
        assert_int_equal(h->pace.rate.known, limited == 0);
    }
}

static void the_last_of_all_limits_says_when_to_ask_again(void **state)
{
    hand *h = *state;

    for (unsigned last = 0; last < 3; last++) {
        wb_pace_init(&h->pace, 8, 1000, 1000000, h->now_ns);
        work(h, 200, 10 * MS);
        end(h, begin(h), WB_PACE_REFUSED);
        h->pace.rate.spacing.next_ns = h->now_ns + (last == 0 ? 90 : 30) * MS;
        h->pace.puts.next_ns = h->now_ns + (last == 1 ? 90 : 40) * MS;
        h->pace.bytes.next_ns = h->now_ns + (last == 2 ? 90 : 50) * MS;
        assert_false(may(h));
        assert_true(h->until_ns == h->now_ns + 90 * MS);
        assert_int_equal(h->pace.reason, last == 0 ? WB_PACE_THROTTLED : WB_PACE_HOST);
    }
}

/* ---- timed out ---- */

static void one_that_times_out_alone_is_a_sign_even_if_its_place_was_given_up(void **state)
{
    hand *h = *state;

    wb_width_timed_out(&h->pace.width, h->now_ns, h->now_ns); /* 4 */
    assert_int_equal(begin_all(h), 4);
    h->now_ns = h->until_ns;
    assert_true(may(h));
    assert_true(h->nodes[0].straggler);
    h->now_ns += PACESIM_S;
    end(h, 0, WB_PACE_TIMED_OUT);
    assert_int_equal(wb_pace_limit(&h->pace), 2);
}

static void a_time_out_halves_the_limit_once_for_all_that_were_in_flight(void **state)
{
    hand *h = *state;

    begin_all(h);
    h->now_ns += 20 * PACESIM_S;
    for (unsigned i = 0; i < 8; i++)
        end(h, i, WB_PACE_TIMED_OUT);
    assert_int_equal(wb_pace_limit(&h->pace), 4);
    assert_int_equal(begin_all(h), 4);
    assert_int_equal(h->pace.reason, WB_PACE_NARROWED_TIMED_OUT);
    for (unsigned round = 0; round < 3; round++) {
        h->now_ns += 20 * PACESIM_S;
        for (unsigned i = h->begun - h->pace.in_flight; h->pace.in_flight > 0; i++)
            end(h, i, WB_PACE_TIMED_OUT);
        assert_int_equal(wb_pace_limit(&h->pace), 2); /* never less */
        begin_all(h);
    }
}

static void a_time_out_is_made_good_when_more_helps_again(void **state)
{
    pacesim_base base = {.service_ns = 50 * MS};
    pacesim *s = pacesim_new(1, 64, &base);
    pacesim_figures f;

    (void)state;
    pacesim_run(s, 10 * PACESIM_S);
    wb_width_timed_out(&pacesim_pace(s)->width, INT64_MAX, 1020 * PACESIM_S);
    assert_int_equal(wb_pace_limit(pacesim_pace(s)), 32);
    pacesim_run(s, 10 * PACESIM_S);
    f = pacesim_run(s, 20 * PACESIM_S);
    assert_true(f.in_flight > 0.95 * 64);
    pacesim_free(s);
}

/* ---- outages ---- */

static void after_an_outage_it_goes_on_with_what_it_knew(void **state)
{
    static const pacesim_base bases[] = {{.service_ns = 50 * MS},
                                         {.places = 8, .service_ns = 50 * MS},
                                         {.per_s = 200, .service_ns = 20 * MS},
                                         {.per_s = 200, .service_ns = 20 * MS, .throttle = PACESIM_WINDOW}};

    (void)state;
    for (unsigned i = 0; i < 2 * sizeof bases / sizeof *bases; i++) {
        pacesim *s = pacesim_new(1, 64, &bases[i / 2]);
        pacesim_figures before, during, after;

        pacesim_health(s);
        pacesim_run(s, 20 * PACESIM_S);
        before = pacesim_run(s, 20 * PACESIM_S);
        pacesim_base_of(s)->out = true;
        pacesim_base_of(s)->refuses_late = i % 2 == 1;
        during = pacesim_run(s, 60 * PACESIM_S);
        assert_true(during.begun < 64 + 60);
        pacesim_base_of(s)->out = false;
        do /* until a probe has found it out */
            pacesim_run(s, 100 * MS);
        while (pacesim_is_down(s));
        pacesim_run(s, 3 * PACESIM_S);
        after = pacesim_run(s, 20 * PACESIM_S);
        if (after.done_per_s < 0.9 * before.done_per_s)
            fail_msg("base %u: %.1f a second before, %.1f after", i, before.done_per_s, after.done_per_s);
        pacesim_free(s);
    }
}

static void who_comes_back_is_not_run_over(void **state)
{
    hand *h = *state;

    wb_pace_restart(&h->pace, h->now_ns);
    assert_int_equal(begin_all(h), 4);
    end(h, 0, WB_PACE_DONE);
    assert_int_equal(begin_all(h), 2);
    for (unsigned i = 1; i < 4; i++)
        end(h, i, WB_PACE_DONE);
    begin_all(h);
    assert_int_equal(h->pace.in_flight, 8);
}

/* ---- the host's limits ---- */

static void the_hosts_limits_are_kept_evenly(void **state)
{
    pacesim_base base = {.service_ns = 5 * MS, .spread = PACESIM_EXPONENTIAL};

    (void)state;
    for (unsigned i = 0; i < 3; i++) { /* 100 puts, 100 blobs of 5,000 bytes, both and the bytes are less */
        pacesim *s = pacesim_new_limited(1, 64, &base, i != 1 ? 100 : 0, i == 0 ? 0 : i == 1 ? 500000 : 400000, 5000);
        uint64_t want = i == 2 ? 80 : 100, all = 0;

        for (unsigned tenth = 0; tenth < 100; tenth++) {
            pacesim_figures f = pacesim_run(s, 100 * MS);

            assert_in_range(f.begun, want / 10 - 1, want / 10 + 2);
            all += f.begun;
            assert_int_equal(pacesim_pace(s)->reason, WB_PACE_HOST);
        }
        assert_in_range(all, 10 * want - 2, 10 * want + 2);
        assert_int_equal(wb_pace_limit(pacesim_pace(s)), 64);
        assert_false(pacesim_pace(s)->width.found); /* nothing is concluded from it */
        pacesim_free(s);
    }
}

static void what_was_late_is_made_good_for_a_hundredth_of_a_second_only(void **state)
{
    hand *h = *state;

    wb_pace_init(&h->pace, 64, 1000, 0, h->now_ns);
    h->now_ns += 60 * PACESIM_S;
    assert_int_equal(begin_all(h), 11);
    assert_true(h->until_ns == h->now_ns + MS);
    h->now_ns += 5 * MS;
    assert_int_equal(begin_all(h), 5);
}

static void a_blob_larger_than_a_seconds_bytes_passes_and_is_paid_for(void **state)
{
    hand *h = *state;

    wb_pace_init(&h->pace, 64, 0, 1000, h->now_ns);
    assert_true(may(h));
    wb_pace_begin(&h->pace, &h->nodes[0], 60000, h->now_ns);
    assert_false(may(h));
    assert_int_equal((h->until_ns - h->now_ns) / PACESIM_S, 60);
    h->now_ns = h->until_ns;
    assert_true(may(h));
    wb_pace_begin(&h->pace, &h->nodes[1], UINT64_MAX, h->now_ns); /* no overflow */
    assert_false(may(h));
    assert_true(h->until_ns > h->now_ns + 86400 * PACESIM_S && h->until_ns < WB_NEVER);
    wb_pace_init(&h->pace, 64, 0, UINT64_MAX, h->now_ns);
    wb_pace_begin(&h->pace, &h->nodes[2], UINT64_MAX / 4 * 3, h->now_ns);
    assert_false(may(h));
    assert_int_equal((h->until_ns - h->now_ns) / (100 * MS), 7);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_refusal_sets_a_rate_and_spaces_attempts_evenly),
        TEST(refusals_of_what_began_before_the_cut_do_not_cut_again),
        TEST(what_says_nothing_of_the_base_changes_nothing),
        TEST(a_throttled_base_that_slows_down_does_not_collect_the_ceiling),
        TEST(a_rate_that_is_no_bound_goes),
        TEST(the_more_was_refused_the_longer_the_rate_is_held),
        TEST(what_is_believed_is_not_lowered_by_each_cut),
        TEST(a_rate_found_below_the_hosts_limit_is_a_guess),
        TEST(the_last_of_all_limits_says_when_to_ask_again),
        TEST(one_that_times_out_alone_is_a_sign_even_if_its_place_was_given_up),
        TEST(a_time_out_halves_the_limit_once_for_all_that_were_in_flight),
        TEST(a_time_out_is_made_good_when_more_helps_again),
        TEST(after_an_outage_it_goes_on_with_what_it_knew),
        TEST(who_comes_back_is_not_run_over),
        TEST(the_hosts_limits_are_kept_evenly),
        TEST(what_was_late_is_made_good_for_a_hundredth_of_a_second_only),
        TEST(a_blob_larger_than_a_seconds_bytes_passes_and_is_paid_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
