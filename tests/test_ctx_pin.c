/* test_ctx_pin.c - a waiter does not leave while a cancel is about to wake it: its condition variable and its mutex, which
 * the cancel still has in hand, may be gone right after.
 *
 * The cancel is held up where it has just let go of the waiter's mutex, until the waiter either waits to be let go or has
 * left. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <wbstore/blob.h>
#include <wbstore/blob_ctx.h>

#include "sleeper.h"
#include "testutil.h"

enum { WAITER_ASLEEP, WAITER_WAITS_TO_BE_LET_GO, WAITER_LEFT };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond;
static bool ready; /* by mutex */
static atomic_int waiter;
static int seen; /* the canceller's, until it is joined: what became of the waiter meanwhile */
static _Thread_local bool is_canceller;

int __real_pthread_mutex_unlock(pthread_mutex_t *m);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);
int __real_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);

int __wrap_pthread_mutex_unlock(pthread_mutex_t *m)
{
    int rc = __real_pthread_mutex_unlock(m);

    while (is_canceller && m == &mutex && (seen = atomic_load(&waiter)) == WAITER_ASLEEP)
        sched_yield();
    return rc;
}

int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
    if (c != &cond)
        atomic_store(&waiter, WAITER_WAITS_TO_BE_LET_GO);
    return __real_pthread_cond_wait(c, m);
}

static void *wait_run(void *arg)
{
    int rc = 0;

    pthread_mutex_lock(&mutex);
    ready = true;
    while (rc == 0)
        rc = blob_ctx_wait(arg, &cond, &mutex);
    if (atomic_load(&waiter) == WAITER_ASLEEP)
        atomic_store(&waiter, WAITER_LEFT);
    pthread_mutex_unlock(&mutex);
    return (void *)(intptr_t)rc;
}

static void *cancel_in_hand(void *arg)
{
    is_canceller = true;
    blob_ctx_cancel(arg);
    return NULL;
}

static void a_waiter_does_not_leave_while_a_cancel_has_it_in_hand(void **state)
{
    pthread_t waiting, cancelling;
    blob_ctx *ctx = new_ctx(NULL);
    bool asleep;
    void *rc;

    (void)state;
    assert_int_equal(blob_cond_init(&cond), 0);
    assert_int_equal(pthread_create(&waiting, NULL, wait_run, ctx), 0);
    do {
        sched_yield();
        pthread_mutex_lock(&mutex);
        asleep = ready;
        pthread_mutex_unlock(&mutex);
    } while (!asleep);
    assert_int_equal(pthread_create(&cancelling, NULL, cancel_in_hand, ctx), 0);
    pthread_join(cancelling, NULL);
    pthread_join(waiting, &rc);
    assert_int_equal((intptr_t)rc, -ECANCELED);
    assert_int_not_equal(seen, WAITER_LEFT); /* woken for nothing just before, it was never in hand */
    pthread_cond_destroy(&cond);
    blob_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_waiter_does_not_leave_while_a_cancel_has_it_in_hand),
    };

    test_watchdog(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
