/* test_pace.c - what the pace makes of bases of every kind, in a simulation: each base with service times that are
 * constant, spread and exponential, and with and without the noise of a busy machine. test_pace_rules.c has the rules
 * one by one. The figures are printed; these are the worst of their kind. */
#include "pacesim.h"
#include "wbrig.h" /* WBRIG_SLOW */

#include <stdio.h>
#include <stdlib.h>

#define CEILING 64
#define HABITS 4

/* One for each rig; PACE_SEEDS in the environment asks for more, which takes as much longer. */
static uint64_t seeds(void)
{
    const char *asked = getenv("PACE_SEEDS");

    return asked != NULL ? strtoull(asked, NULL, 10) : 1;
}

typedef struct rig {
    pacesim_spread spread;
    unsigned habit;       /* 1: one in twenty takes 10 ms longer; 2: pauses of 50 ms; 3: both */
    uint64_t seed, seeds; /* 0: as many as seeds() says */
    char name[160];
} rig;

static pacesim_base in_rig(const rig *r, pacesim_base base)
{
    base.spread = r->spread;
    if (r->habit & 1) {
        base.noise_in = 20;
        base.noise_ns = 10 * PACESIM_MS;
    }
    if (r->habit & 2) {
        base.pause_ns = 50 * PACESIM_MS;
        base.pause_every_ns = 2 * PACESIM_S;
    }
    return base;
}

/* The next rig; begins with all zeroes. */
static bool next_rig(rig *r)
{
    static const char *const spreads[] = {"constant", "uniform", "exponential"};

    if (r->seed == 0)
        test_watchdog(900);
    if (r->seeds < seeds())
        r->seeds = seeds();
    if (r->seed == r->seeds && ++r->habit == HABITS && r->spread++ == PACESIM_EXPONENTIAL)
        return false;
    r->habit %= HABITS;
    r->seed = r->seed < r->seeds ? r->seed + 1 : 1;
    snprintf(r->name, sizeof r->name, "%s, habit %u, seed %u", spreads[r->spread], r->habit, (unsigned)r->seed);
    return true;
}

static void at_least(double got, double want, const char *what, const rig *r)
{
    if (got < want)
        fail_msg("%s: %.3f, want at least %.3f (%s)", what, got, want, r->name);
}

static void at_most(double got, double want, const char *what, const rig *r)
{
    if (got > want)
        fail_msg("%s: %.3f, want at most %.3f (%s)", what, got, want, r->name);
}

static void lower(double *least, double value)
{
    *least = value < *least ? value : *least;
}

static void higher(double *most, double value)
{
    *most = value > *most ? value : *most;
}

/* ---- one kind of base ---- */

static void a_base_without_a_limit_gets_the_ceiling(void **state)
{
    double worst = CEILING, worst_later = CEILING;
    rig r = {.seed = 0};

    (void)state;
    while (next_rig(&r)) {
        pacesim_base base = in_rig(&r, (pacesim_base){.service_ns = 50 * PACESIM_MS});
        pacesim *s = pacesim_new(r.seed, CEILING, &base);
        pacesim_figures first = pacesim_run(s, PACESIM_S), then = pacesim_run(s, 30 * PACESIM_S),
                        later = pacesim_run(s, 60 * PACESIM_S);

        assert_int_equal(first.in_flight_max, CEILING);
        at_least(then.in_flight, 0.95 * CEILING, "in flight from the first second on", &r);
        at_least(later.in_flight, 0.97 * CEILING, "in flight later", &r);
        lower(&worst, then.in_flight);
        lower(&worst_later, later.in_flight);
        assert_int_equal(pacesim_pace(s)->reason, WB_PACE_CEILING);
        pacesim_free(s);
    }
    print_message("50 ms, no limit: %.1f of 64 in flight from 1 s on, %.1f from 31 s on\n", worst, worst_later);
}

/* Settled: after 5 s; with exponential service times, where two hundred answers are off by 7 %, after 10 s. */
static void eight_places_are_kept_busy_with_few_in_flight(void **state)
{
    double busy = 8, most = 0, most_exponential = 0, sum = 0, count = 0;
    rig r = {.seed = 0};

    (void)state;
    while (next_rig(&r)) {
        pacesim_base base = in_rig(&r, (pacesim_base){.places = 8, .service_ns = 50 * PACESIM_MS});
        bool exponential = r.spread == PACESIM_EXPONENTIAL;
        pacesim *s = pacesim_new(r.seed, CEILING, &base);
        pacesim_figures f;

        pacesim_run(s, (exponential ? 10 : 5) * PACESIM_S);
        f = pacesim_run(s, 60 * PACESIM_S);
        at_least(f.busy, 7.6, "busy places", &r);
        at_most(f.in_flight, exponential ? 20 : 14, "in flight on average", &r);
        at_most(f.in_flight_max, exponential ? 32 : 16, "in flight", &r);
        lower(&busy, f.busy);
        sum += f.in_flight;
        count++;
        higher(exponential ? &most_exponential : &most, f.in_flight_max);
        assert_int_equal(pacesim_pace(s)->reason, WB_PACE_NARROWED);
        pacesim_free(s);
    }
    print_message("8 places: %.2f busy, %.1f in flight on average, %.0f at most (exponential: %.0f)\n", busy,
                  sum / count, most, most_exponential);
    assert_true(sum / count < 12);
}

/* Its attempts take twenty microseconds and two processors; a delay of 10 ms for each twentieth would make it another
 * base, one that wants 50 in flight: here it is each thousandth. */
static void a_base_that_only_needs_the_processor_gets_a_handful(void **state)
{
    double mean = 0, most = 0, busy = 2;
    rig r = {.seed = 0};

    (void)state;
    while (next_rig(&r)) {
        pacesim_base base = in_rig(&r, (pacesim_base){.places = 2, .service_ns = 20000});
        pacesim_figures f;
        pacesim *s;

        if (r.seed > 1)
            continue;
        if (base.noise_in > 0)
            base.noise_in = 1000;
        s = pacesim_new(r.seed, CEILING, &base);
        pacesim_run(s, PACESIM_S / 2);
        f = pacesim_run(s, PACESIM_S);
        at_least(f.busy, base.noise_in > 0 ? 1.5 : 1.9, "busy processors", &r);
        at_most(f.in_flight, 6, "in flight on average", &r);
        at_most(f.in_flight_max, 8, "in flight", &r);
        lower(&busy, f.busy);
        higher(&mean, f.in_flight);
        higher(&most, f.in_flight_max);
        pacesim_free(s);
    }
    print_message("20 us on 2 processors, after 0.5 s: %.1f in flight, %.0f at most, %.2f busy\n", mean, most, busy);
}

/* ---- throttled ---- */

/* Else the ceiling is the bound. */
static bool throttles(uint64_t per_s, int64_t latency_ns)
{
    return CEILING * PACESIM_S / latency_ns * 2 > 3 * (int64_t)per_s;
}

typedef struct throttled {
    double delivered, refused, first_delivered; /* the worst share of all */
} throttled;

static void throttled_case(rig *r, pacesim_base base, bool health, throttled *worst)
{
    pacesim *s = pacesim_new(r->seed, CEILING, &base);
    double bears = (double)base.per_s;
    pacesim_figures first, f;

    if (health)
        pacesim_health(s);
    snprintf(r->name, sizeof r->name, "%u/s, %s, refused %s, %u ms, spread %d, habit %u, seed %u", (unsigned)base.per_s,
             base.throttle == PACESIM_WINDOW ? "window" : "bucket", base.refuses_late ? "late" : "at once",
             (unsigned)(base.service_ns / PACESIM_MS), (int)r->spread, r->habit, (unsigned)r->seed);
    first = pacesim_run(s, 10 * PACESIM_S);
    if (base.per_s < 50) /* it sees but five answers a second */
        pacesim_run(s, 20 * PACESIM_S);
    f = pacesim_run(s, (base.per_s < 50 ? 240 : base.per_s < 5000 ? 40 : 10) * PACESIM_S);
    at_least(f.done_per_s, 0.9 * bears, "delivered a second", r);
    at_most(f.refused_share, 0.05, "share refused", r);
    at_least(first.done_per_s, 0.25 * bears, "delivered a second, first ten seconds", r);
    at_most((double)first.refused, CEILING + 4 * bears, "refused in the first ten seconds", r);
    lower(&worst->delivered, f.done_per_s / bears);
    higher(&worst->refused, f.refused_share);
    lower(&worst->first_delivered, first.done_per_s / bears);
    if (pacesim_pace(s)->ramp == 0) /* else it was just taken for an outage */
        assert_int_equal(pacesim_pace(s)->reason, WB_PACE_THROTTLED);
    pacesim_free(s);
}

/* Where so many a second are granted much hangs on when in a second it begins and raises: many seeds, in a rig each. */
#define WINDOW_SEEDS (WBRIG_SLOW ? 1 : 20)

static void throttled_all(bool health)
{
    static const int64_t latencies_ms[] = {2, 20, 200};
    static const uint64_t rates[] = {5, 50, 500, 5000};
    throttled worst = {.delivered = 1, .first_delivered = 1};
    rig r = {.seeds = WINDOW_SEEDS};

    while (next_rig(&r)) {
        for (unsigned i = 0; i < 4 * 3 * 4; i++) {
            pacesim_base base = {.per_s = rates[i / 12],
                                 .service_ns = latencies_ms[i / 4 % 3] * PACESIM_MS,
                                 .throttle = (i & 2) != 0 ? PACESIM_WINDOW : PACESIM_BUCKET,
                                 .refuses_late = (i & 1) != 0};

            if ((r.seed <= seeds() || (base.throttle == PACESIM_WINDOW && r.habit == (r.seed + 3) % HABITS)) &&
                throttles(base.per_s, base.service_ns) && (!health || base.per_s == 50 || base.per_s == 500))
                throttled_case(&r, in_rig(&r, base), health, &worst);
        }
    }
    print_message("throttled%s: %.1f %% of what it bears, %.1f %% refused; in the first 10 s %.0f %%\n",
                  health ? ", and called down" : "", 100 * worst.delivered, 100 * worst.refused,
                  100 * worst.first_delivered);
}

static void a_base_that_throttles_gets_what_it_bears(void **state)
{
    (void)state;
    throttled_all(false);
}

/* The wrapper takes five refusals in a row for an outage. */
static void so_it_does_where_refusals_look_like_an_outage(void **state)
{
    (void)state;
    throttled_all(true);
}

/* ---- refusals that do not depend on the rate ---- */

/* By then it would be worn down; and what a refusal of the first attempts cost is made good. */
static double per_s_after_a_minute(const rig *r, pacesim_base base)
{
    pacesim_base made = in_rig(r, base);
    pacesim *s = pacesim_new(r->seed, CEILING, &made);
    double per_s;

    pacesim_run(s, 60 * PACESIM_S);
    per_s = pacesim_run(s, 120 * PACESIM_S).done_per_s;
    pacesim_free(s);
    return per_s;
}

static void stray_refusals_do_not_wear_the_rate_down(void **state)
{
    static const pacesim_base bases[] = {{.service_ns = 5 * PACESIM_MS},
                                         {.places = 8, .service_ns = 50 * PACESIM_MS},
                                         {.places = 1, .service_ns = 20 * PACESIM_MS},
                                         {.per_s = 500, .service_ns = 20 * PACESIM_MS},
                                         {.per_s = 500, .service_ns = 20 * PACESIM_MS, .throttle = PACESIM_WINDOW}};
    static const unsigned strays[] = {1000, 50};
    double worst[2] = {1, 1};
    rig r = {.seed = 0};

    (void)state;
    while (next_rig(&r)) {
        double without = 0, share;

        for (unsigned i = 0; i < 2 * sizeof bases / sizeof *bases; i++) {
            pacesim_base odd = bases[i / 2];

            if (i % 2 == 0)
                without = per_s_after_a_minute(&r, odd);
            odd.refusing_in = strays[i % 2];
            share = per_s_after_a_minute(&r, odd) / without;
            at_least(share, i % 2 == 0 ? 0.9 : 0.5, "with stray refusals, of what it is without", &r);
            lower(&worst[i % 2], share);
        }
    }
    print_message("1 in 1,000 refused, whatever the rate: %.1f %% of what it is without; 1 in 50: %.1f %%\n",
                  100 * worst[0], 100 * worst[1]);
}

/* No base that throttles, but the first moments are unlucky. What was delivered meanwhile tells where to go on. */
static void refusals_of_the_first_attempts_are_got_over_in_seconds(void **state)
{
    double worst = 1;

    (void)state;
    test_watchdog(900);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        pacesim_base base = {.service_ns = 50 * PACESIM_MS, .refusing_in = 8};
        pacesim *s = pacesim_new(seed, CEILING, &base);
        double share;

        assert_true(pacesim_run(s, 20 * PACESIM_MS).refused > 0);
        pacesim_base_of(s)->refusing_in = 0;
        pacesim_run(s, 2 * PACESIM_S);
        share = pacesim_run(s, PACESIM_S).done_per_s / (CEILING / 0.05);
        assert_true(share > 0.7);
        lower(&worst, share);
        pacesim_free(s);
    }
    print_message("some of the first refused: in the third second %.0f %% of what it can\n", 100 * worst);
}

/* ---- changes ---- */

/* 10 s after the change it has to be back at its figures. */
static void change(rig *r, const char *what, pacesim_base before, pacesim_base after, double before_per_s,
                   double after_per_s, double *worst)
{
    pacesim_base both[2] = {in_rig(r, before), in_rig(r, after)};
    double bears[2] = {before_per_s, after_per_s};
    pacesim *s = pacesim_new(r->seed, CEILING, &both[0]);

    pacesim_run(s, 30 * PACESIM_S);
    for (unsigned i = 1; i <= 2; i++) {
        pacesim_figures f;

        *pacesim_base_of(s) = both[i % 2];
        pacesim_run(s, 10 * PACESIM_S);
        f = pacesim_run(s, 40 * PACESIM_S);
        at_least(f.done_per_s / bears[i % 2], r->spread == PACESIM_EXPONENTIAL ? 0.85 : 0.9, what, r);
        at_most(f.refused_share, 0.05, what, r);
        lower(worst, f.done_per_s / bears[i % 2]);
    }
    pacesim_free(s);
}

static pacesim_base places(unsigned count, int64_t service_ms)
{
    return (pacesim_base){.places = count, .service_ns = service_ms * PACESIM_MS};
}

static pacesim_base throttle(uint64_t per_s, int64_t service_ms, pacesim_throttle kind)
{
    return (pacesim_base){.per_s = per_s, .service_ns = service_ms * PACESIM_MS, .throttle = kind};
}

static void a_tenfold_change_of_capacity_is_found_within_ten_seconds(void **state)
{
    double at_places = 1, at_service = 1, at_rates = 1;
    rig r = {.seed = 0};

    (void)state;
    while (next_rig(&r)) {
        double slot = (r.habit & 1) != 0 ? 0.0005 : 0; /* that much longer each takes on average */

        change(&r, "80 and 8 places", places(80, 50), places(8, 50), CEILING / (0.05 + slot), 160, &at_places);
        change(&r, "8 and 80 places", places(8, 50), places(80, 50), 160, CEILING / (0.05 + slot), &at_places);
        change(&r, "100 and 10 ms", places(8, 100), places(8, 10), 80, 800, &at_service);
        if (r.seed == 1)
            change(&r, "20 and 200 ms, no limit", places(0, 20), places(0, 200), CEILING / (0.02 + slot),
                   CEILING / (0.2 + slot), &at_service);
        for (pacesim_throttle kind = PACESIM_BUCKET; r.seed == 1 && kind <= PACESIM_WINDOW; kind++) {
            change(&r, "500 and 50 a second", throttle(500, 20, kind), throttle(50, 20, kind), 500, 50, &at_rates);
            if (r.habit == 3 && r.spread == PACESIM_UNIFORM)
                change(&r, "5000 and 500 a second", throttle(5000, 2, kind), throttle(500, 2, kind), 5000, 500,
                       &at_rates);
        }
    }
    print_message("tenfold changes, 10 s later: places %.1f %%, service time %.1f %%, rate %.1f %% of capacity\n",
                  100 * at_places, 100 * at_service, 100 * at_rates);
}

/* ---- odd blobs ---- */

static double done_per_s(uint64_t seed, pacesim_base base, pacesim_figures *f)
{
    pacesim *s = pacesim_new(seed, CEILING, &base);

    pacesim_run(s, 15 * PACESIM_S);
    *f = pacesim_run(s, 40 * PACESIM_S);
    pacesim_free(s);
    return f->done_per_s;
}

static pacesim_base some_base(unsigned i)
{
    if (i == 0)
        return places(8, 50);
    if (i == 1)
        return throttle(500, 20, PACESIM_BUCKET);
    return i == 2 ? places(2, 5) : places(0, 50);
}

/* What the others get of what they get without such blobs; all seeds together, for each has luck of its own. */
static double beside_stragglers(const rig *r, pacesim_base base, pacesim_base odd)
{
    double without = 0, with = 0;
    pacesim_figures f;

    for (uint64_t seed = 1; seed <= seeds(); seed++) {
        without += done_per_s(seed, in_rig(r, base), &f);
        with += done_per_s(seed, in_rig(r, odd), &f) * (base.places == 0 && base.per_s == 0
                                                            ? CEILING / (CEILING - f.stragglers) /* full: these need
                                                                                                      places, too */
                                                            : 1);
    }
    return with / without;
}

/* Slow ones that get there, and ones that never do and time out. */
static void stragglers_do_not_hold_up_the_others(void **state)
{
    double worst = 1;
    rig r = {.seed = 0};

    (void)state;
    while (next_rig(&r)) {
        for (unsigned i = 0; r.seed == 1 && r.habit % 3 == 0 && i < 8; i++) {
            pacesim_base odd = some_base(i / 2);
            double share;

            odd.straggler_in = i % 2 == 0 ? 1000 : 0;
            odd.timing_out_in = i % 2 == 1 ? 1000 : 0;
            odd.straggler_ns = odd.timeout_ns = 10 * PACESIM_S;
            share = beside_stragglers(&r, some_base(i / 2), odd);
            at_least(share, 0.97, "of what the others get without", &r);
            lower(&worst, share);
        }
    }
    print_message("1 in 1,000 takes 10 s: the others get %.1f %% of what they get without\n", 100 * worst);
}

static void failing_blobs_do_not_slow_the_others_down(void **state)
{
    static const double bears[] = {160, 500, 0, 1280};
    double worst = 1;
    rig r = {.seed = 0};

    (void)state;
    while (next_rig(&r)) {
        for (unsigned i = 0; r.seed == 1 && i < 16; i++) {
            pacesim_base base = in_rig(&r, some_base(i / 4));
            pacesim_figures f;
            double share;

            if (i / 4 == 2)
                continue;
            base.failing_percent = (i & 1) != 0 ? 50 : 10;
            base.fails_at_once = (i & 2) != 0;
            share = done_per_s(r.seed, base, &f);
            if (!base.fails_at_once || base.per_s > 0) /* then they are of the base's capacity */
                share += (double)f.failed / f.seconds;
            share /= bears[i / 4];
            at_least(share, 0.9, "of what the base can do", &r);
            lower(&worst, share);
        }
    }
    print_message("10 %% and 50 %% of the blobs fail: %.1f %% of what the base can do\n", 100 * worst);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_base_without_a_limit_gets_the_ceiling),
        cmocka_unit_test(eight_places_are_kept_busy_with_few_in_flight),
        cmocka_unit_test(a_base_that_only_needs_the_processor_gets_a_handful),
        cmocka_unit_test(a_base_that_throttles_gets_what_it_bears),
        cmocka_unit_test(so_it_does_where_refusals_look_like_an_outage),
        cmocka_unit_test(stray_refusals_do_not_wear_the_rate_down),
        cmocka_unit_test(refusals_of_the_first_attempts_are_got_over_in_seconds),
        cmocka_unit_test(a_tenfold_change_of_capacity_is_found_within_ten_seconds),
        cmocka_unit_test(stragglers_do_not_hold_up_the_others),
        cmocka_unit_test(failing_blobs_do_not_slow_the_others_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
