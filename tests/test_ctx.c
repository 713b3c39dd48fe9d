/* test_ctx.c - contexts: what ends them, what stays of it, whom else it reaches, and the file descriptor that tells. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>
#include <wbstore/blob.h>
#include <wbstore/blob_ctx.h>

#include "blob/ctx.h"
#include "sleeper.h"
#include "testutil.h"

#define HOUR_MS (3600 * 1000)

static bool readable(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};

    return poll(&poller, 1, 0) == 1 && (poller.revents & POLLIN) != 0;
}

/* Without a context, and with impossible arguments */

static void no_context_never_ends(void **state)
{
    sleeper s = {0};

    (void)state;
    assert_int_equal(blob_ctx_status(NULL), 0);
    assert_true(blob_ctx_remaining_ms(NULL) == INT64_MAX);
    assert_int_equal(blob_ctx_fd(NULL), -1);
    blob_ctx_cancel(NULL);
    blob_ctx_free(NULL);
    sleeper_start(&s, NULL, NULL, NULL, NULL);
    sleeper_go(&s);
    assert_int_equal(sleeper_end(&s), 0);
}

static void impossible_arguments_are_refused(void **state)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    blob_ctx *ctx = new_ctx(NULL);

    (void)state;
    assert_int_equal(blob_ctx_new(NULL, NULL), -EINVAL);
    assert_int_equal(blob_ctx_new_timeout(NULL, ctx, 1), -EINVAL);
    assert_int_equal(blob_cond_init(NULL), -EINVAL);
    assert_int_equal(blob_ctx_wait(ctx, NULL, &mutex), -EINVAL);
    assert_int_equal(blob_ctx_wait(ctx, &cond, NULL), -EINVAL);
    blob_ctx_free(ctx);
}

/* Cancel */

static void a_cancelled_context_is_not_waited_on(void **state)
{
    blob_ctx *ctx = new_ctx(NULL);
    blob_error error;

    (void)state;
    assert_int_equal(blob_ctx_status(ctx), 0);
    assert_true(blob_ctx_remaining_ms(ctx) == INT64_MAX);
    blob_ctx_cancel(ctx);
    blob_ctx_cancel(ctx);
    assert_int_equal(blob_ctx_status(ctx), -ECANCELED);
    assert_int_equal(blob_ctx_remaining_ms(ctx), 0);
    blob_fail(-EIO, 0, "an older reason");
    assert_int_equal(wait_for_end(ctx), -ECANCELED);
    blob_last_error(&error);
    assert_int_equal(error.status, -ECANCELED);
    assert_string_equal(error.text, "");
    blob_ctx_free(ctx);
}

static void cancel_wakes_a_waiter(void **state)
{
    blob_ctx *ctx = new_ctx(NULL), *bounded = new_timeout(NULL, HOUR_MS);
    sleeper s = {0}, t = {0};

    (void)state;
    sleeper_start(&s, ctx, NULL, NULL, NULL);
    blob_ctx_cancel(ctx);
    assert_int_equal(sleeper_end(&s), -ECANCELED);
    sleeper_start(&t, bounded, NULL, NULL, NULL);
    blob_ctx_cancel(bounded);
    assert_int_equal(sleeper_end(&t), -ECANCELED);
    blob_ctx_free(bounded);
    blob_ctx_free(ctx);
}

static void cancel_reaches_all_below_and_none_beside_or_above(void **state)
{
    blob_ctx *top = new_ctx(NULL), *parent = new_ctx(top), *child = new_ctx(parent), *grandchild = new_ctx(child);
    blob_ctx *twin = new_timeout(parent, HOUR_MS), *aside = new_ctx(top), *nephew = new_ctx(aside);
    blob_ctx *ended[] = {parent, child, grandchild, twin}, *running[] = {top, aside, nephew};
    sleeper woken[4] = {{0}}, asleep[3] = {{0}};

    (void)state;
    for (int i = 0; i < 4; i++)
        sleeper_start(&woken[i], ended[i], NULL, NULL, NULL);
    for (int i = 0; i < 3; i++)
        sleeper_start(&asleep[i], running[i], NULL, NULL, NULL);
    blob_ctx_cancel(parent);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(blob_ctx_status(ended[i]), -ECANCELED);
        assert_int_equal(sleeper_end(&woken[i]), -ECANCELED);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(blob_ctx_status(running[i]), 0);
        sleeper_go(&asleep[i]);
        assert_int_equal(sleeper_end(&asleep[i]), 0);
    }
    for (int i = 0; i < 3; i++)
        blob_ctx_free(running[i]);
    for (int i = 0; i < 4; i++)
        blob_ctx_free(ended[i]);
}

static void a_child_of_an_ended_parent_has_ended(void **state)
{
    blob_ctx *cancelled = new_ctx(NULL), *late = new_timeout(NULL, 0), *child;

    (void)state;
    blob_ctx_cancel(cancelled);
    child = new_timeout(cancelled, HOUR_MS);
    assert_int_equal(blob_ctx_status(child), -ECANCELED);
    blob_ctx_free(child);
    child = new_ctx(late);
    assert_int_equal(blob_ctx_status(child), -ETIMEDOUT);
    blob_ctx_free(child);
    blob_ctx_free(late);
    blob_ctx_free(cancelled);
}

static void a_child_outlives_the_hold_on_its_parent(void **state)
{
    blob_ctx *top = new_ctx(NULL), *parent = new_ctx(top), *child = new_ctx(parent);

    (void)state;
    blob_ctx_free(parent);
    assert_int_equal(blob_ctx_status(child), 0); /* freeing does not cancel */
    blob_ctx_cancel(top);
    assert_int_equal(blob_ctx_status(child), -ECANCELED);
    blob_ctx_free(top);
    assert_int_equal(blob_ctx_status(child), -ECANCELED);
    blob_ctx_free(child);
}

/* Deadlines */

static void a_deadline_ends_a_wait_and_not_early(void **state)
{
    int64_t begin = wb_now_ns();
    blob_ctx *ctx = new_timeout(NULL, 20);

    (void)state;
    assert_int_equal(wait_for_end(ctx), -ETIMEDOUT);
    assert_true(wb_now_ns() - begin >= 20 * 1000000);
    assert_int_equal(blob_ctx_status(ctx), -ETIMEDOUT);
    assert_int_equal(blob_ctx_remaining_ms(ctx), 0);
    blob_ctx_free(ctx);
}

static void the_earlier_of_the_parents_and_its_own_deadline_counts(void **state)
{
    blob_ctx *parent = new_timeout(NULL, HOUR_MS), *hasty = new_timeout(parent, 10), *heir = new_ctx(hasty);
    blob_ctx *patient = new_timeout(parent, 2 * HOUR_MS), *plain = new_ctx(parent);

    (void)state;
    assert_true(blob_ctx_remaining_ms(patient) <= HOUR_MS);
    assert_true(blob_ctx_remaining_ms(plain) <= HOUR_MS);
    assert_int_equal(wait_for_end(heir), -ETIMEDOUT);
    assert_int_equal(wait_for_end(hasty), -ETIMEDOUT);
    assert_int_equal(blob_ctx_status(parent), 0);
    assert_int_equal(blob_ctx_status(patient), 0);
    blob_ctx_free(plain);
    blob_ctx_free(patient);
    blob_ctx_free(heir);
    blob_ctx_free(hasty);
    blob_ctx_free(parent);
}

static void the_time_that_remains_is_rounded_up_and_never_overflows(void **state)
{
    const int64_t past[] = {0, -1, INT64_MIN}, far[] = {INT64_MAX, INT64_MAX / 2, INT64_MAX / 1000000};
    blob_ctx *ctx = new_timeout(NULL, HOUR_MS);

    (void)state;
    assert_in_range(blob_ctx_remaining_ms(ctx), HOUR_MS - 60000, HOUR_MS);
    blob_ctx_free(ctx);
    for (int i = 0; i < 3; i++) {
        ctx = new_timeout(NULL, past[i]);
        assert_int_equal(blob_ctx_remaining_ms(ctx), 0);
        assert_int_equal(blob_ctx_status(ctx), -ETIMEDOUT);
        blob_ctx_free(ctx);
        ctx = new_timeout(NULL, far[i]);
        assert_int_equal(blob_ctx_status(ctx), 0);
        assert_true(blob_ctx_remaining_ms(ctx) > INT64_MAX / 1000000 - HOUR_MS);
        blob_ctx_free(ctx);
    }
    ctx = new_timeout(NULL, 1);
    assert_true(blob_ctx_remaining_ms(ctx) == 1 || blob_ctx_status(ctx) == -ETIMEDOUT);
    blob_ctx_free(ctx);
}

/* The first of cancel and deadline stays */

static void a_cancel_that_comes_first_stays_past_the_deadline(void **state)
{
    int64_t ms = 5;
    blob_ctx *ctx, *later;

    (void)state;
    for (;; ms *= 2) { /* a machine that stalls here is given more time */
        ctx = new_timeout(NULL, ms);
        blob_ctx_cancel(ctx);
        if (blob_ctx_status(ctx) == -ECANCELED)
            break;
        blob_ctx_free(ctx);
    }
    later = new_timeout(NULL, ms);
    assert_int_equal(wait_for_end(later), -ETIMEDOUT);
    assert_int_equal(blob_ctx_status(ctx), -ECANCELED);
    blob_ctx_free(later);
    blob_ctx_free(ctx);
}

static void a_deadline_that_was_seen_to_pass_stays_after_a_cancel(void **state)
{
    blob_ctx *ctx = new_timeout(NULL, 0);

    (void)state;
    assert_int_equal(blob_ctx_status(ctx), -ETIMEDOUT);
    blob_ctx_cancel(ctx);
    assert_int_equal(blob_ctx_status(ctx), -ETIMEDOUT);
    blob_ctx_free(ctx);
}

static void a_deadline_that_nobody_looked_at_stays_after_a_cancel_too(void **state)
{
    blob_ctx *parent = new_timeout(NULL, 0), *child = new_ctx(parent);

    (void)state;
    blob_ctx_cancel(parent);
    assert_int_equal(blob_ctx_status(child), -ETIMEDOUT);
    assert_int_equal(blob_ctx_status(parent), -ETIMEDOUT);
    blob_ctx_free(child);
    blob_ctx_free(parent);
}

/* The file descriptor */

static void the_fd_becomes_readable_by_a_cancel_and_stays_so(void **state)
{
    blob_ctx *top = new_ctx(NULL), *child = new_ctx(top), *grandchild = new_ctx(child), *aside = new_ctx(top);
    int early = blob_ctx_fd(child), below = blob_ctx_fd(grandchild), beside = blob_ctx_fd(aside);

    (void)state;
    assert_true(early >= 0 && below >= 0 && early != below);
    assert_int_equal(blob_ctx_fd(child), early);
    assert_false(readable(early) || readable(below) || readable(beside));
    blob_ctx_cancel(child);
    blob_ctx_cancel(child);
    assert_true(readable(early) && readable(below));
    assert_true(readable(early) && blob_ctx_fd(child) == early);
    assert_false(readable(beside) || readable(blob_ctx_fd(top)));
    blob_ctx_cancel(top);
    assert_true(readable(beside) && readable(blob_ctx_fd(top)));
    blob_ctx_free(aside);
    blob_ctx_free(grandchild);
    blob_ctx_free(child);
    blob_ctx_free(top);
}

static void the_fd_is_readable_when_asked_for_after_the_cancel(void **state)
{
    blob_ctx *top = new_ctx(NULL), *child = new_ctx(top), *born_late;

    (void)state;
    blob_ctx_cancel(top);
    born_late = new_ctx(child);
    assert_true(readable(blob_ctx_fd(child)));
    assert_true(readable(blob_ctx_fd(born_late)));
    blob_ctx_free(born_late);
    blob_ctx_free(child);
    blob_ctx_free(top);
}

static void the_fd_tells_of_cancels_only_and_of_one_after_the_deadline_too(void **state)
{
    blob_ctx *ctx = new_timeout(NULL, 0), *asked_late = new_ctx(ctx), *born_late, *below;
    int fd = blob_ctx_fd(ctx);

    (void)state;
    assert_int_equal(blob_ctx_status(ctx), -ETIMEDOUT);
    below = new_ctx(ctx);
    assert_int_equal(blob_ctx_status(below), -ETIMEDOUT);
    assert_false(readable(fd) || readable(blob_ctx_fd(below)));
    blob_ctx_cancel(ctx);
    born_late = new_ctx(ctx);
    assert_true(readable(fd));
    assert_true(readable(blob_ctx_fd(asked_late)));
    assert_true(readable(blob_ctx_fd(born_late)));
    assert_true(readable(blob_ctx_fd(below)));
    blob_ctx_free(born_late);
    blob_ctx_free(below);
    blob_ctx_free(asked_late);
    blob_ctx_free(ctx);
}

static void a_poller_is_woken_by_a_cancel(void **state)
{
    blob_ctx *ctx = new_ctx(NULL), *child = new_ctx(ctx);
    struct pollfd poller = {.fd = blob_ctx_fd(child), .events = POLLIN};
    pthread_t canceller;

    (void)state;
    assert_int_equal(pthread_create(&canceller, NULL, cancel_run, ctx), 0);
    assert_int_equal(poll(&poller, 1, -1), 1);
    assert_int_equal(blob_ctx_status(child), -ECANCELED);
    pthread_join(canceller, NULL);
    blob_ctx_free(child);
    blob_ctx_free(ctx);
}

static void no_fd_to_be_had_is_an_error_and_no_harm(void **state)
{
    struct rlimit limit, none;
    blob_ctx *ctx = new_ctx(NULL);
    blob_error error;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int fd = blob_ctx_fd(ctx);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(fd, -EMFILE);
    blob_last_error(&error);
    assert_int_equal(error.status, -EMFILE);
    fd = blob_ctx_fd(ctx);
    assert_true(fd >= 0);
    blob_ctx_cancel(ctx);
    assert_true(readable(fd));
    blob_ctx_free(ctx);
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* it went with its context */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_context_never_ends),
        cmocka_unit_test(impossible_arguments_are_refused),
        cmocka_unit_test(a_cancelled_context_is_not_waited_on),
        cmocka_unit_test(cancel_wakes_a_waiter),
        cmocka_unit_test(cancel_reaches_all_below_and_none_beside_or_above),
        cmocka_unit_test(a_child_of_an_ended_parent_has_ended),
        cmocka_unit_test(a_child_outlives_the_hold_on_its_parent),
        cmocka_unit_test(a_deadline_ends_a_wait_and_not_early),
        cmocka_unit_test(the_earlier_of_the_parents_and_its_own_deadline_counts),
        cmocka_unit_test(the_time_that_remains_is_rounded_up_and_never_overflows),
        cmocka_unit_test(a_cancel_that_comes_first_stays_past_the_deadline),
        cmocka_unit_test(a_deadline_that_was_seen_to_pass_stays_after_a_cancel),
        cmocka_unit_test(a_deadline_that_nobody_looked_at_stays_after_a_cancel_too),
        cmocka_unit_test(the_fd_becomes_readable_by_a_cancel_and_stays_so),
        cmocka_unit_test(the_fd_is_readable_when_asked_for_after_the_cancel),
        cmocka_unit_test(the_fd_tells_of_cancels_only_and_of_one_after_the_deadline_too),
        cmocka_unit_test(a_poller_is_woken_by_a_cancel),
        cmocka_unit_test(no_fd_to_be_had_is_an_error_and_no_harm),
    };

    test_watchdog(240);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
