/* test_ctx_clock.c - contexts on a clock of their own: deadlines and waits go by it alone, and nobody misses a move. */
#include "sleeper.h"
#include "testclock.h"
#include "testutil.h"

#include <errno.h>
#include <sched.h>

#define DAY_MS (INT64_C(24) * 3600 * 1000)

static int set_up(void **state)
{
    static test_clock clock;

    test_watchdog(60);
    test_clock_start(&clock);
    *state = &clock;
    return 0;
}

static int tear_down(void **state)
{
    test_clock_stop(*state);
    return 0;
}

static void deadlines_go_by_the_clock_of_the_family(void **state)
{
    test_clock *clock = *state;
    blob_ctx *child = new_timeout(clock->ctx, DAY_MS), *below = new_ctx(child);

    assert_int_equal(blob_ctx_remaining_ms(below), DAY_MS);
    test_clock_move(clock, DAY_MS - 1);
    assert_int_equal(blob_ctx_status(below), 0);
    assert_int_equal(blob_ctx_remaining_ms(child), 1);
    test_clock_move(clock, 1);
    assert_int_equal(blob_ctx_status(below), -ETIMEDOUT);
    assert_int_equal(blob_ctx_remaining_ms(child), 0);
    assert_int_equal(blob_ctx_status(clock->ctx), 0);
    blob_ctx_free(below);
    blob_ctx_free(child);
}

static void a_sleeper_wakes_when_the_clock_comes_to_its_deadline(void **state)
{
    test_clock *clock = *state;
    blob_ctx *child = new_timeout(clock->ctx, DAY_MS);
    sleeper s = {0};

    sleeper_start(&s, child, NULL, NULL, NULL);
    test_clock_move(clock, DAY_MS);
    assert_int_equal(sleeper_end(&s), -ETIMEDOUT);
    blob_ctx_free(child);
}

static void of_two_contexts_each_goes_by_its_own_clock(void **state)
{
    test_clock *clock = *state;
    blob_ctx *child = new_timeout(clock->ctx, DAY_MS), *real = new_timeout(NULL, DAY_MS), *soon;
    sleeper s = {0}, t = {0};

    sleeper_start(&s, real, child, NULL, NULL);
    test_clock_move(clock, DAY_MS);
    assert_int_equal(sleeper_end(&s), -ETIMEDOUT);
    assert_int_equal(blob_ctx_status(real), 0);
    soon = new_timeout(NULL, 20);
    sleeper_start(&t, clock->ctx, soon, NULL, NULL);
    assert_int_equal(sleeper_end(&t), -ETIMEDOUT);
    blob_ctx_free(soon);
    blob_ctx_free(real);
    blob_ctx_free(child);
}

/* ---- nobody misses a move ---- */

typedef struct race {
    test_clock *clock;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    int64_t until_ns;
} race;

static void *race_wait(void *arg)
{
    race *r = arg;

    pthread_mutex_lock(&r->mutex);
    while (wb_ctx_now_ns(r->clock->ctx) < r->until_ns)
        wb_ctx_wait(r->clock->ctx, NULL, &r->cond, &r->mutex, r->until_ns);
    pthread_mutex_unlock(&r->mutex);
    return NULL;
}

/* Each round moves the clock while somebody is about to sleep; one that misses it sleeps on, and the watchdog barks. */
static void who_is_about_to_sleep_sees_the_move_too(void **state)
{
    race r = {.clock = *state, .mutex = PTHREAD_MUTEX_INITIALIZER};
    pthread_t thread;

    assert_int_equal(blob_cond_init(&r.cond), 0);
    for (unsigned i = 0; i < 2000; i++) {
        r.until_ns = wb_ctx_now_ns(r.clock->ctx) + 1000000;
        test_thread_start(&thread, race_wait, &r);
        for (unsigned spin = 0; spin < i % 50; spin++)
            sched_yield();
        test_clock_move(r.clock, 1);
        test_thread_join(thread);
    }
    pthread_cond_destroy(&r.cond);
}

/* Whoever comes back to sleep after a move is left alone: the move would never end. */
static void a_move_calls_each_sleeper_once(void **state)
{
    test_clock *clock = *state;
    sleeper s = {0};
    unsigned returns;

    sleeper_start(&s, clock->ctx, NULL, NULL, NULL); /* in a loop, until it is told to go */
    for (unsigned i = 0; i < 100; i++)
        test_clock_move(clock, 1);
    sleeper_go(&s);
    assert_int_equal(sleeper_end(&s), 0);
    returns = s.returns;
    assert_in_range(returns, 1, 101);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(deadlines_go_by_the_clock_of_the_family, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_sleeper_wakes_when_the_clock_comes_to_its_deadline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(of_two_contexts_each_goes_by_its_own_clock, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_is_about_to_sleep_sees_the_move_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_move_calls_each_sleeper_once, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
