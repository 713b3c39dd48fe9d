/* test_ctx_wait.c - waits on contexts: who wakes whom, under which locks, and that a wait neither polls nor misses. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <wbstore/blob.h>
#include <wbstore/blob_ctx.h>

#include "blob/ctx.h"
#include "sleeper.h"
#include "testutil.h"

#define HOUR_MS (3600 * 1000)

static void what_others_signal_wakes_a_waiter_and_a_later_cancel_finds_nobody(void **state)
{
    blob_ctx *ctx = new_timeout(NULL, HOUR_MS);
    sleeper s = {0};

    (void)state;
    sleeper_start(&s, ctx, NULL, NULL, NULL);
    sleeper_go(&s);
    assert_int_equal(sleeper_end(&s), 0);
    memset(&s, 0xff, sizeof s); /* nothing of the wait may be left where a cancel looks */
    blob_ctx_cancel(ctx);
    blob_ctx_free(ctx);
}

#define MANY 24

static void cancel_wakes_many_on_mutexes_of_their_own_and_shared(void **state)
{
    pthread_mutex_t shared = PTHREAD_MUTEX_INITIALIZER;
    blob_ctx *ctx = new_ctx(NULL), *child = new_timeout(ctx, HOUR_MS);
    sleeper sleepers[MANY] = {{0}};
    pthread_cond_t cond;

    (void)state;
    assert_int_equal(blob_cond_init(&cond), 0);
    for (int i = 0; i < MANY; i++)
        sleeper_start(&sleepers[i], i % 2 != 0 ? ctx : child, NULL, i % 3 != 0 ? NULL : &shared,
                      i % 6 != 0 ? NULL : &cond);
    blob_ctx_cancel(ctx);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(sleeper_end(&sleepers[i]), -ECANCELED);
    pthread_cond_destroy(&cond);
    blob_ctx_free(child);
    blob_ctx_free(ctx);
}

/* Waits on two contexts */

static void a_wait_on_two_contexts_ends_with_either(void **state)
{
    blob_ctx *top = new_ctx(NULL), *child = new_ctx(top), *stranger = new_timeout(NULL, HOUR_MS);
    const struct {
        blob_ctx *a, *b;
        bool by_a;
    } pairs[] = {{child, stranger, true}, {child, stranger, false}, {top, child, true},
                 {child, top, true},      {child, child, true},     {NULL, child, false}};

    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        blob_ctx *a = pairs[i].a != NULL ? new_ctx(pairs[i].a) : NULL;
        blob_ctx *b = pairs[i].a != pairs[i].b ? new_ctx(pairs[i].b) : a;
        sleeper s = {0};
        sleeper_start(&s, a, b, NULL, NULL);
        blob_ctx_cancel(pairs[i].by_a ? a : b);
        assert_int_equal(sleeper_end(&s), -ECANCELED);
        if (b != a)
            blob_ctx_free(b);
        blob_ctx_free(a);
    }
    blob_ctx_free(stranger);
    blob_ctx_free(child);
    blob_ctx_free(top);
}

static void a_wait_on_two_contexts_tells_the_first_ones_end_first(void **state)
{
    blob_ctx *late = new_timeout(NULL, 0), *cancelled = new_ctx(NULL), *soon = new_timeout(NULL, 10);
    sleeper s = {0}, t = {0}, u = {0};

    (void)state;
    blob_ctx_cancel(cancelled);
    sleeper_start(&s, late, cancelled, NULL, NULL);
    assert_int_equal(sleeper_end(&s), -ETIMEDOUT);
    sleeper_start(&t, cancelled, late, NULL, NULL);
    assert_int_equal(sleeper_end(&t), -ECANCELED);
    sleeper_start(&u, NULL, soon, NULL, NULL);
    assert_int_equal(sleeper_end(&u), -ETIMEDOUT);
    blob_ctx_free(soon);
    blob_ctx_free(cancelled);
    blob_ctx_free(late);
}

static void a_time_of_its_own_ends_a_wait_without_a_status(void **state)
{
    int64_t until_ns = wb_after_ms(wb_now_ns(), 10);
    blob_ctx *ctx = new_timeout(NULL, HOUR_MS);
    sleeper s = {.until_ns = until_ns};

    (void)state;
    sleeper_start(&s, ctx, NULL, NULL, NULL);
    assert_int_equal(sleeper_end(&s), 0);
    assert_true(wb_now_ns() >= until_ns);
    blob_ctx_free(ctx);
}

/* Locks */

typedef struct blocked {
    pthread_mutex_t *lock;
    pthread_t thread;
} blocked;

static void *blocked_run(void *arg)
{
    blocked *b = arg;

    pthread_mutex_lock(b->lock);
    pthread_mutex_unlock(b->lock);
    return NULL;
}

static void cancel_may_be_called_while_holding_another_lock(void **state)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    blocked other = {.lock = &lock};
    blob_ctx *ctx = new_ctx(NULL);
    sleeper s = {0};

    (void)state;
    sleeper_start(&s, ctx, NULL, NULL, NULL);
    pthread_mutex_lock(&lock);
    assert_int_equal(pthread_create(&other.thread, NULL, blocked_run, &other), 0);
    blob_ctx_cancel(ctx);
    assert_int_equal(sleeper_end(&s), -ECANCELED); /* it is awake while the lock is still held */
    pthread_mutex_unlock(&lock);
    pthread_join(other.thread, NULL);
    blob_ctx_free(ctx);
}

static void a_cancel_that_waits_for_a_mutex_holds_up_nothing_else_of_the_family(void **state)
{
    blob_ctx *top = new_ctx(NULL), *ctx = new_ctx(top), *beside;
    struct pollfd poller = {.fd = blob_ctx_fd(ctx), .events = POLLIN};
    sleeper s = {0}, t = {0};
    pthread_t canceller;

    (void)state;
    sleeper_start(&s, ctx, NULL, NULL, NULL);
    pthread_mutex_lock(s.mutex);
    assert_int_equal(pthread_create(&canceller, NULL, cancel_run, ctx), 0);
    assert_int_equal(poll(&poller, 1, -1), 1); /* it has begun, and cannot end */
    beside = new_ctx(top);
    sleeper_start(&t, beside, NULL, NULL, NULL);
    blob_ctx_cancel(beside);
    assert_int_equal(sleeper_end(&t), -ECANCELED);
    blob_ctx_free(beside);
    assert_int_equal(blob_ctx_status(top), 0);
    pthread_mutex_unlock(s.mutex);
    assert_int_equal(sleeper_end(&s), -ECANCELED);
    pthread_join(canceller, NULL);
    blob_ctx_free(ctx);
    blob_ctx_free(top);
}

/* Between a waiter's last look at its context and its sleep nothing but its mutex protects it. The linker has
 * pthread_cond_wait come by here: a cancel begins in that gap, and has time to do all that it can before the sleep. */
static _Thread_local blob_ctx *cancelled_in_the_gap;
static _Thread_local bool over_before_the_sleep;
static _Thread_local pthread_t gap_canceller;

int __real_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    blob_ctx *ctx = cancelled_in_the_gap;
    struct timespec until;

    if (ctx == NULL)
        return __real_pthread_cond_wait(cond, mutex);
    cancelled_in_the_gap = NULL;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 100 * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_create(&gap_canceller, NULL, cancel_run, ctx);
    while (blob_ctx_status(ctx) == 0)
        sched_yield();
    over_before_the_sleep = pthread_timedjoin_np(gap_canceller, NULL, &until) == 0;
    return over_before_the_sleep ? 0 : __real_pthread_cond_wait(cond, mutex);
}

static void a_cancel_as_a_waiter_falls_asleep_waits_to_wake_it(void **state)
{
    blob_ctx *ctx = new_ctx(NULL);

    (void)state;
    cancelled_in_the_gap = ctx;
    assert_int_equal(wait_for_end(ctx), -ECANCELED);
    assert_false(over_before_the_sleep);
    pthread_join(gap_canceller, NULL);
    blob_ctx_free(ctx);
}

/* Both waiters are up already and queue for their mutexes, before the cancels that come to wake them. */
static void two_cancels_at_once_let_go_of_both_their_waiters(void **state)
{
    (void)state;
    for (int round = 0; round < 100; round++) {
        blob_ctx *top = new_ctx(NULL);
        blob_ctx *ctx[2] = {new_ctx(top), new_ctx(top)};
        sleeper sleepers[2] = {{0}};
        pthread_t cancellers[2];
        for (int i = 0; i < 2; i++) {
            sleeper_start(&sleepers[i], ctx[i], NULL, NULL, NULL);
            pthread_mutex_lock(sleepers[i].mutex);
            pthread_cond_broadcast(sleepers[i].cond);
        }
        for (int i = 0; i < 2; i++) {
            struct pollfd poller = {.fd = blob_ctx_fd(ctx[i]), .events = POLLIN};
            assert_int_equal(pthread_create(&cancellers[i], NULL, cancel_run, ctx[i]), 0);
            assert_int_equal(poll(&poller, 1, -1), 1);
        }
        for (int i = 0; i < 2; i++)
            pthread_mutex_unlock(sleepers[i].mutex);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(sleeper_end(&sleepers[i]), -ECANCELED);
            pthread_join(cancellers[i], NULL);
            blob_ctx_free(ctx[i]);
        }
        blob_ctx_free(top);
    }
}

/* A host may hold the mutex of one wait while it cancels another context: of the same family, and though the first
 * wait is about to end by its deadline. */
static void cancel_takes_no_mutex_but_those_of_the_waits_it_ends(void **state)
{
    blob_ctx *top = new_ctx(NULL), *soon = new_timeout(top, 10), *other = new_ctx(top);
    pthread_mutexattr_t checking;
    pthread_mutex_t mutex;
    sleeper s = {0};

    (void)state;
    pthread_mutexattr_init(&checking);
    pthread_mutexattr_settype(&checking, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&mutex, &checking);
    pthread_mutexattr_destroy(&checking);
    sleeper_start(&s, soon, NULL, &mutex, NULL);
    pthread_mutex_lock(&mutex);
    assert_int_equal(wait_for_end(soon), -ETIMEDOUT); /* on a mutex of its own; the sleeper cannot leave */
    blob_ctx_cancel(other);
    assert_int_equal(pthread_mutex_unlock(&mutex), 0); /* still ours */
    assert_int_equal(sleeper_end(&s), -ETIMEDOUT);
    pthread_mutex_destroy(&mutex);
    blob_ctx_free(other);
    blob_ctx_free(soon);
    blob_ctx_free(top);
}

/* Sleep */

static long switches_of(const sleeper *s)
{
    static const char name[] = "voluntary_ctxt_switches:";
    char path[64], line[128];
    long count = -1;
    FILE *file;

    snprintf(path, sizeof path, "/proc/self/task/%ld/status", s->tid);
    file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, sizeof name - 1) == 0)
            count = strtol(line + sizeof name - 1, NULL, 10);
    fclose(file);
    assert_true(count >= 0);
    return count;
}

static unsigned returns_of(sleeper *s)
{
    unsigned returns;

    pthread_mutex_lock(s->mutex);
    returns = s->returns;
    pthread_mutex_unlock(s->mutex);
    return returns;
}

/* A waiter that polled would have run again and again by the time that another's deadline comes. */
static void a_waiter_sleeps_until_there_is_something_to_tell(void **state)
{
    blob_ctx *plain = new_ctx(NULL), *bounded = new_timeout(NULL, HOUR_MS), *clock;
    sleeper sleepers[3] = {{0}};
    long before[3];

    (void)state;
    sleeper_start(&sleepers[0], plain, NULL, NULL, NULL);
    sleeper_start(&sleepers[1], bounded, NULL, NULL, NULL);
    sleeper_start(&sleepers[2], plain, bounded, NULL, NULL);
    for (int i = 0; i < 3; i++)
        before[i] = switches_of(&sleepers[i]);
    clock = new_timeout(NULL, 200);
    assert_int_equal(wait_for_end(clock), -ETIMEDOUT);
    for (int i = 0; i < 3; i++) {
        assert_in_range(switches_of(&sleepers[i]) - before[i], 0, 1); /* one for going to sleep */
        assert_int_equal(returns_of(&sleepers[i]), 0);
    }
    blob_ctx_cancel(plain);
    blob_ctx_cancel(bounded);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sleeper_end(&sleepers[i]), -ECANCELED);
    blob_ctx_free(clock);
    blob_ctx_free(bounded);
    blob_ctx_free(plain);
}

/* Past 2^32 seconds: a time_t of 32 bits that took the deadline as it comes would see the past. */
static void a_deadline_too_far_for_the_systems_clock_type_does_not_cut_a_wait_short(void **state)
{
    blob_ctx *far = new_timeout(NULL, INT64_C(4294967296) * 1000), *clock;
    sleeper s = {0};

    (void)state;
    sleeper_start(&s, far, NULL, NULL, NULL);
    clock = new_timeout(NULL, 50);
    assert_int_equal(wait_for_end(clock), -ETIMEDOUT);
    assert_int_equal(returns_of(&s), 0);
    sleeper_go(&s);
    assert_int_equal(sleeper_end(&s), 0);
    blob_ctx_free(clock);
    blob_ctx_free(far);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_others_signal_wakes_a_waiter_and_a_later_cancel_finds_nobody),
        cmocka_unit_test(cancel_wakes_many_on_mutexes_of_their_own_and_shared),
        cmocka_unit_test(a_wait_on_two_contexts_ends_with_either),
        cmocka_unit_test(a_wait_on_two_contexts_tells_the_first_ones_end_first),
        cmocka_unit_test(a_time_of_its_own_ends_a_wait_without_a_status),
        cmocka_unit_test(cancel_may_be_called_while_holding_another_lock),
        cmocka_unit_test(a_cancel_that_waits_for_a_mutex_holds_up_nothing_else_of_the_family),
        cmocka_unit_test(a_cancel_as_a_waiter_falls_asleep_waits_to_wake_it),
        cmocka_unit_test(two_cancels_at_once_let_go_of_both_their_waiters),
        cmocka_unit_test(cancel_takes_no_mutex_but_those_of_the_waits_it_ends),
        cmocka_unit_test(a_waiter_sleeps_until_there_is_something_to_tell),
        cmocka_unit_test(a_deadline_too_far_for_the_systems_clock_type_does_not_cut_a_wait_short),
    };

    test_watchdog(240);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
