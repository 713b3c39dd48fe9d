/* test_wbstore_law.c - the statistics balance at every snapshot, whatever goes on: many threads put, delete, replace and
 * sync over stores that are slow and fail, while others take snapshots as fast as they can. */
#include "wbrig.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { CALLERS = 4, LOOKERS = 2, BLOBS = 40, WRITERS = 8 };

typedef struct load {
    wbrig *r;
    unsigned calls;        /* of each caller */
    atomic_uint callers;   /* still at it */
    atomic_uint snapshots; /* taken meanwhile */
    atomic_uint broken;    /* of them, those that are not right */
} load;

static void call(load *l, test_rng *rng)
{
    char text[16];
    blob_address a;
    wbstore *w = l->r->w;

    snprintf(text, sizeof text, "%u", (unsigned)test_random_below(rng, BLOBS));
    a = wbrig_address(text);
    switch (test_random_below(rng, 8)) {
    case 0:
    case 1:
        (void)wbstore_delete(w, NULL, blob_address_key(&a));
        break;
    case 2:
        (void)wbstore_put(w, NULL, blob_address_key(&a), blob_view_of(text, strlen(text)), BLOB_REPLACE);
        break;
    case 3:
        (void)wbstore_retry_parked(w);
        break;
    default:
        (void)wbstore_cas_put(w, NULL, text, strlen(text), NULL);
    }
}

/* No count of what has happened ever goes back. */
static bool only_grows(const wbstore_stats *was, const wbstore_stats *is)
{
    return is->accepted >= was->accepted && is->deduplicated >= was->deduplicated && is->resumed >= was->resumed &&
           is->sent >= was->sent && is->deleted >= was->deleted && is->retries >= was->retries;
}

static bool is_right(const wbstore_stats *s)
{
    return s->accepted + s->resumed == s->sent + s->deleted + s->pending_blobs && s->parked <= s->pending_blobs &&
           s->in_flight + s->parked <= s->pending_blobs && s->in_flight <= WRITERS && s->concurrency <= WRITERS &&
           (s->pending_bytes > 0) == (s->pending_blobs > 0) && s->pending_blobs <= BLOBS + 1 &&
           s->base_p50_us <= s->base_p99_us;
}

static void look(load *l, wbstore_stats *was)
{
    wbstore_stats is = {.struct_size = sizeof is};

    wbstore_get_stats(l->r->w, &is);
    atomic_fetch_add(&l->snapshots, 1);
    if (!is_right(&is) || !only_grows(was, &is))
        atomic_fetch_add(&l->broken, 1);
    *was = is;
}

static void caller_or_looker(void *arg, unsigned index)
{
    load *l = arg;
    test_rng rng = {.state = index};
    wbstore_stats was = {.accepted = 0};

    if (index < CALLERS) {
        for (unsigned i = 0; i < l->calls; i++)
            call(l, &rng);
        atomic_fetch_sub(&l->callers, 1);
        return;
    }
    do
        look(l, &was);
    while (atomic_load(&l->callers) > 0);
}

static void add_faults(wbrig *r)
{
    static const int statuses[] = {BLOB_UNAVAILABLE, BLOB_REJECTED, -EIO};

    for (unsigned i = 0; i < 3; i++) {
        blob_faultstore_add(r->base, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT | BLOB_FAULT_DELETE,
                                                              .status = statuses[i],
                                                              .every = 5 + 2 * i});
        blob_faultstore_add(r->buf, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT | BLOB_FAULT_DELETE,
                                                             .status = statuses[i],
                                                             .every = 11 + 4 * i});
    }
    blob_faultstore_add(r->base, &(blob_faultstore_fault){
                                     .ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_DELAY, .every = 2, .delay_us = 200});
    blob_faultstore_add(
        r->buf, &(blob_faultstore_fault){
                    .ops = BLOB_FAULT_DELETE, .action = BLOB_FAULT_DELAY, .when = BLOB_FAULT_AFTER, .delay_us = 50});
}

static void the_statistics_balance_at_every_snapshot_under_load(void **state)
{
    wbrig *r = *state;
    load l = {.r = r, .calls = WBRIG_SLOW ? 500 : 2000, .callers = CALLERS};
    wbstore_stats stats;

    wbrig_buffer(r, "1");
    wbrig_buffer(r, "and one of another kind");
    r->options.writers_max = WRITERS;
    add_faults(r);
    blob_faultstore_keep_history(r->base, false);
    blob_faultstore_keep_history(r->buf, false);
    wbrig_start(r);
    test_threads_run(CALLERS + LOOKERS, caller_or_looker, &l);
    assert_int_equal(atomic_load(&l.broken), 0);
    assert_true(atomic_load(&l.snapshots) >= LOOKERS);
    stats = wbrig_stats(r);
    assert_true(stats.sent > 0 && stats.deleted > 0 && stats.retries > 0 && stats.deduplicated > 0);
    blob_faultstore_clear(r->base);
    blob_faultstore_clear(r->buf);
    test_ok(wbstore_retry_parked(r->w));
    test_ok(wbstore_sync(r->w, NULL));
    stats = wbrig_stats(r);
    assert_int_equal(stats.accepted + stats.resumed, stats.sent + stats.deleted);
    assert_int_equal(stats.pending_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_statistics_balance_at_every_snapshot_under_load, wbrig_set_up,
                                        wbrig_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
