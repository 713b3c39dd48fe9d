/* test_close_races.c - forty threads call in while the wrapper is closed: each call gets its answer or BLOB_CLOSED, none hangs,
 * and what a put had accepted is there afterwards. */
#include "testutil.h"

#include "wbrig.h" /* WBRIG_SLOW */

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wbstore/wbstore.h>

enum { THREADS = 40, KEPT_MAX = 4096 };

/* What a thread has put and not deleted; nobody else touches these. */
typedef struct owned {
    blob_address keys[KEPT_MAX];
    size_t count;
    unsigned numbers; /* so that no two texts are the same */
} owned;

typedef struct race {
    blob_store *mem, *base, *buf;
    wbstore *w;
    wbstore_options options;
    uint64_t close_after; /* calls */
    blob_ctx *governs;    /* cancelled instead of a close; NULL: closed */
    atomic_uint_fast64_t calls;
    atomic_uint wrong;
    atomic_int wrong_status;
    owned *owned[THREADS];
} race;

/* True: go on. False: it is closed. What is neither an answer nor that is wrong. */
static bool answered(race *r, int rc, bool may_be_missing)
{
    atomic_fetch_add(&r->calls, 1);
    if (rc == 0 || (may_be_missing && rc == BLOB_NOT_FOUND))
        return true;
    if (rc != BLOB_CLOSED && atomic_fetch_add(&r->wrong, 1) == 0)
        atomic_store(&r->wrong_status, rc);
    return false;
}

static bool puts_one(race *r, unsigned index)
{
    owned *o = r->owned[index];
    char text[64];
    int size = snprintf(text, sizeof text, "%u of thread %u", o->numbers++, index);
    uint64_t ticket = 0;
    int rc = wbstore_cas_put_ticket(r->w, NULL, text, (size_t)size, &o->keys[o->count], &ticket);

    if (rc == 0 && o->count + 1 < KEPT_MAX)
        o->count++;
    return answered(r, rc, false) && answered(r, index % 3 == 0 ? wbstore_wait(r->w, NULL, ticket) : 0, false);
}

/* It is there throughout: "not found" would be wrong. */
static bool gets_one(race *r, unsigned index)
{
    owned *o = r->owned[index];
    blob *b = NULL;
    uint64_t size;

    if (o->count == 0 && !puts_one(r, index))
        return false;
    if (o->count == 0 || !answered(r, wbstore_get(r->w, NULL, blob_address_key(&o->keys[0]), &b), false))
        return false;
    blob_unref(b);
    return puts_one(r, index) && answered(r, wbstore_size(r->w, NULL, blob_address_key(&o->keys[0]), &size), false);
}

static bool deletes(race *r, unsigned index)
{
    owned *o = r->owned[index];
    int rc;

    if (!puts_one(r, index))
        return false;
    rc = wbstore_delete(r->w, NULL, blob_address_key(&o->keys[o->count - 1]));
    if (rc == 0)
        o->count--;
    return answered(r, rc, false);
}

static bool replaces(race *r, unsigned index)
{
    char text[64];
    blob_key key = blob_key_of(text, (size_t)snprintf(text, sizeof text, "key of thread %u", index));

    return answered(r, wbstore_put(r->w, NULL, key, blob_view_of("bytes", 5), BLOB_REPLACE), false) &&
           answered(r, wbstore_delete(r->w, NULL, key), true);
}

static int any_key(void *arg, blob_key key, uint64_t size)
{
    (void)arg;
    (void)key;
    (void)size;
    return 0;
}

static bool lists(race *r, unsigned index)
{
    uint64_t len;

    (void)index;
    return answered(r, wbstore_list(r->w, NULL, blob_key_of(NULL, 0), any_key, NULL), false) &&
           answered(r, wbstore_len(r->w, NULL, &len), false);
}

static bool syncs(race *r, unsigned index)
{
    return puts_one(r, index) && answered(r, wbstore_sync(r->w, NULL), false);
}

static bool waits_for_keys(race *r, unsigned index)
{
    owned *o = r->owned[index];
    blob_key keys[2];

    for (size_t i = 0; i < 2; i++)
        if (!puts_one(r, index))
            return false;
    for (size_t i = 0; i < 2; i++)
        keys[i] = blob_address_key(&o->keys[o->count - 1 - i]);
    return answered(r, wbstore_wait_keys(r->w, NULL, keys, 2), false);
}

static int any_pending(void *arg, const wbstore_pending_info *info)
{
    (void)arg;
    (void)info;
    return 0;
}

static bool looks(race *r, unsigned index)
{
    wbstore_stats stats = {.struct_size = sizeof stats};

    (void)index;
    wbstore_get_stats(r->w, &stats);
    if (stats.accepted + stats.resumed != stats.sent + stats.deleted + stats.pending_blobs)
        atomic_fetch_add(&r->wrong, 1);
    (void)wbstore_safe_ticket(r->w);
    if (wbstore_pending(r->w, any_pending, NULL) != 0)
        atomic_fetch_add(&r->wrong, 1); /* it still answers */
    return answered(r, wbstore_retry_parked(r->w), false);
}

static bool rescans(race *r, unsigned index)
{
    (void)index;
    return answered(r, wbstore_rescan(r->w, NULL), false);
}

static bool pauses(race *r, unsigned index)
{
    (void)index;
    return answered(r, wbstore_pause(r->w), false) && answered(r, wbstore_resume(r->w), false);
}

static bool (*const acts[])(race *r, unsigned index) = {
    puts_one, gets_one, deletes, replaces, lists, syncs, waits_for_keys, looks, rescans, pauses,
};
enum { ACTS = sizeof acts / sizeof *acts };

static void closes(race *r)
{
    while (atomic_load(&r->calls) < r->close_after)
        sched_yield();
    if (r->governs != NULL)
        blob_ctx_cancel(r->governs);
    else if (wbstore_close(r->w, NULL) != 0)
        atomic_fetch_add(&r->wrong, 1);
}

static void call_in(void *arg, unsigned index)
{
    race *r = arg;

    if (index == THREADS) {
        closes(r);
        return;
    }
    while (acts[index % ACTS](r, index))
        ;
}

/* ---- rounds ---- */

static void race_begins(race *r, bool cancelled)
{
    test_ok(blob_memstore_new(&r->mem));
    test_ok(blob_hashcas_new(&r->base, r->mem, blob_hash_sha256()));
    test_ok(blob_memstore_new(&r->buf));
    for (unsigned i = 0; i < THREADS; i++) {
        r->owned[i] = calloc(1, sizeof *r->owned[i]);
        assert_non_null(r->owned[i]);
    }
    if (cancelled)
        test_ok(blob_ctx_new(&r->governs, NULL));
    test_ok(wbstore_new(&r->w, r->governs, r->base, r->buf, &r->options));
}

static void everything_is_there(race *r)
{
    for (unsigned i = 0; i < THREADS; i++)
        for (size_t k = 0; k < r->owned[i]->count; k++) {
            blob_key key = blob_address_key(&r->owned[i]->keys[k]);
            assert_true(test_has(r->buf, key) || test_has(r->mem, key));
        }
}

static void race_ends(race *r)
{
    wbstore_free(r->w);
    blob_ctx_free(r->governs);
    for (unsigned i = 0; i < THREADS; i++)
        free(r->owned[i]);
    test_ok(blob_store_close(r->buf, NULL));
    test_ok(blob_store_close(r->base, NULL));
    test_ok(blob_store_close(r->mem, NULL));
}

static void run_race(const wbstore_options *o, uint64_t close_after, bool cancelled)
{
    race r = {.options = *o, .close_after = close_after};

    race_begins(&r, cancelled);
    test_threads_run(THREADS + 1, call_in, &r);
    if (atomic_load(&r.wrong) != 0)
        fail_msg("%u wrong answers, the first %s", atomic_load(&r.wrong), blob_strerror(atomic_load(&r.wrong_status)));
    test_ok(wbstore_close(r.w, NULL));
    everything_is_there(&r);
    race_ends(&r);
}

static const uint64_t moments[] = {0, 10, 40, 100, 400, 2000};

static void run_races(const wbstore_options *o)
{
    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++)
        for (unsigned again = 0; again < 2; again++)
            run_race(o, moments[i], again == 1);
}

static void each_of_forty_threads_gets_its_answer_or_closed(void **state)
{
    wbstore_options o = wbstore_options_default();

    (void)state;
    run_races(&o);
    o.unified_view = 1;
    run_races(&o);
}

/* Many of them wait for room when the close comes. */
static void each_gets_its_answer_or_closed_where_room_is_short(void **state)
{
    wbstore_options o = wbstore_options_default();

    (void)state;
    o.buffer_blobs_max = 4;
    o.writers_max = 2;
    run_races(&o);
}

static int set_up(void **state)
{
    (void)state;
    test_watchdog(250);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_of_forty_threads_gets_its_answer_or_closed),
        TEST(each_gets_its_answer_or_closed_where_room_is_short),
    };

    return cmocka_run_group_tests_name("closed while many call in", tests, NULL, NULL);
}
