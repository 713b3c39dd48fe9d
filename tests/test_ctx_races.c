/* test_ctx_races.c - contexts under fire: cancels that race with waits, with one another and with frees.
 *
 * Crews of threads meet at a barrier, act at once on contexts made for the round, and meet again. What a lost wake-up
 * would hang, the test's time limit ends; what touched freed memory or raced, the sanitizers tell. */
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
#include <wbstore/blob_ctx.h>

#include "blob/ctx.h"
#include "sleeper.h"
#include "testutil.h"

#define ROUNDS 3000
#define DUELS 20000
#define CREW 4

typedef struct match match;
typedef void match_move(match *m, int who);

struct match {
    pthread_barrier_t barrier;
    match_move *move;
    blob_ctx *top, *child, *stranger; /* made for each round */
    int64_t finish_ns;                /* likewise, for a cancel at that time */
    bool over;                        /* set before the barrier opens */
    atomic_int odd;                   /* moves that saw what must not be */
};

typedef struct player {
    match *m;
    int number;
    pthread_t thread;
} player;

static void *player_run(void *arg)
{
    player *p = arg;

    for (;;) {
        pthread_barrier_wait(&p->m->barrier);
        if (p->m->over)
            return NULL;
        p->m->move(p->m, p->number);
        pthread_barrier_wait(&p->m->barrier);
    }
}

/* Waits with a mutex and a condition variable that are gone as soon as the wait has returned. */
static int wait_and_vanish(blob_ctx *a, blob_ctx *b)
{
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    int status;

    pthread_mutex_init(&mutex, NULL);
    if (blob_cond_init(&cond) != 0)
        return 1;
    pthread_mutex_lock(&mutex);
    do
        status = wb_ctx_wait(a, b, &cond, &mutex, WB_NEVER);
    while (status == 0);
    pthread_mutex_unlock(&mutex);
    pthread_cond_destroy(&cond);
    pthread_mutex_destroy(&mutex);
    return status;
}

static void play(int rounds, match_move *move, void (*set_up)(match *m, int round), void (*clear)(match *m))
{
    player crew[CREW];
    match m = {.move = move};

    assert_int_equal(pthread_barrier_init(&m.barrier, NULL, CREW + 1), 0);
    for (int i = 0; i < CREW; i++) {
        crew[i] = (player){.m = &m, .number = i};
        assert_int_equal(pthread_create(&crew[i].thread, NULL, player_run, &crew[i]), 0);
    }
    for (int round = 0; round < rounds; round++) {
        set_up(&m, round);
        pthread_barrier_wait(&m.barrier);
        pthread_barrier_wait(&m.barrier);
        clear(&m);
    }
    m.over = true;
    pthread_barrier_wait(&m.barrier);
    for (int i = 0; i < CREW; i++)
        pthread_join(crew[i].thread, NULL);
    pthread_barrier_destroy(&m.barrier);
    assert_int_equal(m.odd, 0);
}

/* One family and a stranger; all are freed when the round is over. */

static void set_up_family(match *m, int round)
{
    m->top = new_ctx(NULL);
    m->child = round % 3 != 0 ? new_ctx(m->top) : new_timeout(m->top, 3600 * 1000);
    m->stranger = new_ctx(NULL);
}

static void clear_family(match *m)
{
    blob_ctx_free(m->top);
    blob_ctx_free(m->stranger);
    blob_ctx_free(m->child);
}

static void wait_or_cancel(match *m, int who)
{
    switch (who) {
    case 0:
        m->odd += wait_and_vanish(m->child, m->stranger) != -ECANCELED;
        break;
    case 1:
        m->odd += wait_and_vanish(m->child, m->child) != -ECANCELED;
        break;
    case 2:
        blob_ctx_cancel(m->child);
        break;
    default:
        blob_ctx_cancel(m->stranger);
        blob_ctx_cancel(m->top);
    }
}

static void no_wait_misses_a_cancel_and_no_cancel_outlasts_a_wait(void **state)
{
    (void)state;
    play(ROUNDS, wait_or_cancel, set_up_family, clear_family);
}

static void breed_or_cancel(match *m, int who)
{
    if (who == 0) {
        blob_ctx_cancel(m->top);
        return;
    }
    for (int i = 0; i < 8; i++) {
        blob_ctx *parent = NULL, *child = NULL;
        m->odd += blob_ctx_new(&parent, who == 1 ? m->top : m->child) != 0;
        m->odd += blob_ctx_new(&child, parent) != 0;
        m->odd += blob_ctx_fd(child) < 0;
        blob_ctx_free(parent);
        blob_ctx_free(child);
    }
}

static void contexts_are_made_and_freed_while_a_cancel_of_their_parent_runs(void **state)
{
    (void)state;
    play(ROUNDS, breed_or_cancel, set_up_family, clear_family);
}

/* The waiter has the only hold and drops it as soon as it is woken, or sees the status: cancel is still under way. */

static void set_up_orphan(match *m, int round)
{
    m->top = new_ctx(NULL);
    m->child = new_ctx(round % 2 != 0 ? m->top : NULL);
}

static void clear_orphan(match *m)
{
    blob_ctx_free(m->top);
}

static void free_or_cancel(match *m, int who)
{
    if (who == 0)
        blob_ctx_cancel(m->child);
    if (who == 1) {
        m->odd += wait_and_vanish(m->child, NULL) != -ECANCELED;
        blob_ctx_free(m->child);
    }
}

static void who_a_cancel_woke_may_free_the_context_at_once(void **state)
{
    (void)state;
    play(ROUNDS, free_or_cancel, set_up_orphan, clear_orphan);
}

/* Cancel and deadline at the same moment, or nearly: all who look see the same winner. */

static void set_up_photo_finish(match *m, int round)
{
    m->top = new_ctx(NULL);
    m->child = new_timeout(m->top, 1);
    m->finish_ns = wb_now_ns() + 1000000 - round % 64 * 20;
    m->stranger = new_ctx(NULL);
}

static void look_or_cancel(match *m, int who)
{
    int first = 0;

    if (who > 1) /* two are as many as surely run at the same time */
        return;
    if (who == 0) {
        while (wb_now_ns() < m->finish_ns)
            continue;
        blob_ctx_cancel(m->top);
    }
    while (first == 0)
        first = blob_ctx_status(m->child);
    for (int i = 0; i < 20; i++)
        m->odd += blob_ctx_status(m->child) != first;
    m->odd += blob_ctx_remaining_ms(m->child) != 0;
}

static void cancel_and_deadline_have_one_winner(void **state)
{
    (void)state;
    play(500, look_or_cancel, set_up_photo_finish, clear_family);
}

/* The narrow gap between a waiter's last look at its context and its sleep: one waiter and one cancel that meet without
 * any system call in between, the cancel a little later each time. */

typedef struct duel {
    atomic_int round, done;
    blob_ctx *ctx;
    int odd;
} duel;

static void spin_until(atomic_int *counter, int value)
{
    for (int spins = 0; atomic_load(counter) != value; spins++)
        if (spins > 2000)
            sched_yield();
}

static void *duel_run(void *arg)
{
    duel *d = arg;

    for (int round = 1; round <= DUELS; round++) {
        spin_until(&d->round, round);
        d->odd += wait_and_vanish(d->ctx, NULL) != -ECANCELED;
        atomic_store(&d->done, round);
    }
    return NULL;
}

static void no_wait_misses_a_cancel_that_comes_as_it_falls_asleep(void **state)
{
    pthread_t waiter;
    duel d = {0};

    (void)state;
    assert_int_equal(pthread_create(&waiter, NULL, duel_run, &d), 0);
    for (int round = 1; round <= DUELS; round++) {
        d.ctx = new_ctx(NULL);
        atomic_store(&d.round, round);
        for (volatile int delay = 0; delay < round % 1000; delay++)
            continue;
        blob_ctx_cancel(d.ctx);
        spin_until(&d.done, round);
        blob_ctx_free(d.ctx);
    }
    pthread_join(waiter, NULL);
    assert_int_equal(d.odd, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_wait_misses_a_cancel_and_no_cancel_outlasts_a_wait),
        cmocka_unit_test(contexts_are_made_and_freed_while_a_cancel_of_their_parent_runs),
        cmocka_unit_test(who_a_cancel_woke_may_free_the_context_at_once),
        cmocka_unit_test(cancel_and_deadline_have_one_winner),
        cmocka_unit_test(no_wait_misses_a_cancel_that_comes_as_it_falls_asleep),
    };

    test_watchdog(240);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
