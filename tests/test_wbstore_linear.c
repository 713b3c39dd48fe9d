/* test_wbstore_linear.c - what the wrapper answers to many threads at once is what one store could have answered, and what
 * a sync promises is in the base: over stores that are slow and fail, through lives that end in the middle, and over a base
 * that carries out calls after it gave them up. Each round is a history, recorded and checked as a whole (linear.h,
 * history.h, lincheck.h). Through kills: test_kill_linear.c. */
#include "linear.h"
#include "wbinside.h"

#include "wbstore/wrapper.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>

static void add_failures(linear *l, blob_faultstore *f)
{
    static const int statuses[] = {-EIO, BLOB_UNAVAILABLE, -ETIMEDOUT};
    static const unsigned ops[] = {BLOB_FAULT_PUT, BLOB_FAULT_DELETE, BLOB_FAULT_GET, BLOB_FAULT_SIZE};

    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (linear_below(l, 2) == 0)
            blob_faultstore_add(
                f, &(blob_faultstore_fault){.ops = ops[i],
                                            .when = linear_below(l, 2) == 0 ? BLOB_FAULT_BEFORE : BLOB_FAULT_AFTER,
                                            .every = 3 + linear_below(l, 20),
                                            .skip = linear_below(l, 10),
                                            .status = statuses[linear_below(l, 3)]});
    if (linear_below(l, 4) == 0) /* an outage */
        blob_faultstore_add(f, &(blob_faultstore_fault){.ops = BLOB_FAULT_ANY &
                                                               ~(BLOB_FAULT_CAS_KEY | BLOB_FAULT_LIST | BLOB_FAULT_LEN),
                                                        .skip = linear_below(l, 100),
                                                        .count = 5 + linear_below(l, 20),
                                                        .status = BLOB_UNAVAILABLE});
}

static void life_options(linear *l, wbstore_options *o)
{
    o->writers_max = 1 + linear_below(l, 4);
    o->retry_max_ms = 1 + linear_below(l, 4);
    o->buffer_blobs_max = linear_below(l, 4) == 0 ? 2 : 0;
    o->when_full = linear_below(l, 2) == 0 ? WBSTORE_FULL_WRITE_THROUGH : WBSTORE_FULL_WAIT;
    o->no_verify = linear_below(l, 2);
}

static void one_life(linear *l, wbrig *r)
{
    l->seed = test_random(&l->seeds);
    l->calls = 20 + linear_below(l, 60);
    l->closes = linear_below(l, 4) == 0;
    l->patience_ms = linear_below(l, 2) == 0 ? 1 + linear_below(l, 4) : 0;
    life_options(l, &r->options);
    wbrig_start(r);
    l->w = r->w;
    test_threads_run(l->threads, linear_thread, l);
    wbrig_stop(r);
}

static void one_round(linear *l, wbrig *r)
{
    unsigned lives = 1 + linear_below(l, 3);

    linear_begin(l, 8192);
    l->base = r->base_mem;
    blob_faultstore_keep_history(r->base, false);
    blob_faultstore_keep_history(r->buf, false);
    for (unsigned life = 0; life < lives; life++) {
        blob_faultstore_clear(r->base);
        blob_faultstore_clear(r->buf);
        linear_add_delays(l, r->base);
        linear_add_delays(l, r->buf);
        if (linear_below(l, 2) == 0)
            add_failures(l, r->base);
        if (linear_below(l, 2) == 0)
            add_failures(l, r->buf);
        one_life(l, r);
    }
    history_look_at_the_end(l->h, r->buf_mem, r->base_mem);
}

static void what_it_answers_over_stores_that_are_slow_and_fail_is_linearizable(void **state)
{
    linear l = {0};
    unsigned long rounds = linear_rounds(120);
    void *rig;

    (void)state;
    linear_seed(&l);
    for (unsigned long round = 0; round < rounds; round++) {
        wbrig_set_up(&rig);
        one_round(&l, rig);
        linear_expect(&l, 0, "memory", round);
        wbrig_tear_down(&rig);
    }
    linear_tell(&l);
}

/* ---- a base that does late what it gave up ------------------------------------------------------------------- */

#define DOUBT_MS 1000

typedef struct lateness {
    linear l;
    wbrig *r;
    test_clock clock; /* which the wrapper goes by */
    atomic_uint callers;
} lateness;

/* The base is never later than it says: all that it still owes is done before the clock moves on. */
static void base_catches_up(lateness *late)
{
    while (blob_faultstore_deliver(late->r->base, NULL))
        continue;
    test_clock_move(&late->clock, DOUBT_MS / 4);
    sched_yield();
}

static void late_thread(void *arg, unsigned index)
{
    lateness *late = arg;

    if (index > 0) {
        linear_thread(&late->l, index - 1);
        atomic_fetch_sub(&late->callers, 1);
    }
    while (index == 0 && atomic_load(&late->callers) > 0)
        base_catches_up(late);
}

static bool has_doubts(wbstore *w)
{
    bool has;

    pthread_mutex_lock(&w->lock);
    has = w->ledger.keys.count > 0;
    pthread_mutex_unlock(&w->lock);
    return has;
}

static void one_late_round(lateness *late)
{
    linear *l = &late->l;
    wbrig *r = late->r;

    linear_begin(l, 8192);
    l->calls = 20 + linear_below(l, 60);
    l->seed = test_random(&l->seeds);
    blob_faultstore_keep_history(r->base, false);
    blob_faultstore_keep_history(r->buf, false);
    linear_add_delays(l, r->base);
    blob_faultstore_add(r->base, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT | BLOB_FAULT_DELETE,
                                                          .action = BLOB_FAULT_LATE,
                                                          .status = -ETIMEDOUT,
                                                          .every = 2 + linear_below(l, 5)});
    blob_faultstore_set_in_doubt_ms(r->base, DOUBT_MS);
    inside_go_by(r, &late->clock);
    wbrig_start(r);
    l->w = r->w;
    atomic_store(&late->callers, l->threads);
    test_threads_run(l->threads + 1, late_thread, late);
    blob_faultstore_clear(r->base);
    while (has_doubts(r->w))
        base_catches_up(late);
    wbrig_stop(r);
    history_look_at_the_end(l->h, r->buf_mem, r->base_mem);
}

static void what_it_answers_over_a_base_that_is_late_is_linearizable(void **state)
{
    lateness late = {.r = NULL};
    unsigned long rounds = linear_rounds(60);
    void *rig;

    (void)state;
    linear_seed(&late.l);
    for (unsigned long round = 0; round < rounds; round++) {
        wbrig_set_up(&rig);
        late.r = rig;
        one_late_round(&late);
        linear_expect(&late.l, LIN_NEVER, "late", round);
        late.r->ctx = NULL;
        wbrig_tear_down(&rig);
        test_clock_stop(&late.clock);
    }
    linear_tell(&late.l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_answers_over_stores_that_are_slow_and_fail_is_linearizable),
        cmocka_unit_test(what_it_answers_over_a_base_that_is_late_is_linearizable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
