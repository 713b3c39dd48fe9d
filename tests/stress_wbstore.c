/* stress_wbstore.c - many threads do everything to a few keys, over stores that fail by chance, through many lives of the
 * wrapper; an oracle knows what must be there and what must not.
 *
 *     stress_wbstore [SECONDS [SEED]]      by default 5 seconds and a fixed seed
 *
 * A run is a row of lives on the same two stores, and an end where nothing fails any more and all must arrive. A life is
 * a wrapper with options of its own and a few phases; it ends with a close, or is cut off in the middle. In each phase
 * each key has a mode, and with it the oracle can tell, while the threads are at it:
 *
 *     PUTS      nobody deletes it: from the first put that returned 0 the blob is there, whole, for whoever asks;
 *               a sync or a wait that returns 0 means that the base has it
 *     DELETES   nobody puts it: from the first delete that returned 0 or BLOB_NOT_FOUND it is gone from everywhere
 *     MIXED     everything: what is known afterwards is what no overlapping calls could have undone
 *
 * Every call must return in time, and the statistics must balance at every moment. With the same seed the same calls are
 * made; how they interleave is the machine's choice. */
#include "chaosstore.h"
#include "testutil.h"

#include <wbstore/stores.h>
#include <wbstore/wbstore.h>

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define THREADS 6
#define KEYS 5
#define BYTES_MAX 300
#define PATIENCE_S 60

typedef enum mode { PUTS, DELETES, MIXED } mode;
typedef enum known { UNKNOWN, PRESENT, ABSENT } known;

/* Guarded by: - constant while threads run, a atomic, l lock */
typedef struct key_state {
    blob_address address; /* - */
    blob_key key;         /* - */
    blob_view data;       /* - */
    mode mode;            /* - */
    atomic_int known;     /* a */
    pthread_mutex_t lock;
    /* In ticks, of this phase; 0: none. */
    uint64_t put_begun_ok, put_ended, delete_begun_ok, delete_ended; /* l */
} key_state;

typedef struct worker {
    unsigned index;
    test_rng rng;
    uint64_t ticket;            /* of its last put that returned one, in this life */
    int ticket_key;             /* that put's key; -1: it was in an earlier phase */
    _Atomic(const char *) call; /* NULL: none */
    atomic_llong since_s;
} worker;

typedef struct stress {
    uint64_t seed;
    blob_store *mem, *cas, *buf_mem, *inner_mem;
    chaosstore *base, *buf, *inner_buf; /* inner: between an inner wrapper and its buffer */
    wbstore *w, *inner;                 /* inner: NULL where there is none */
    _Atomic(wbstore *) told;            /* w, once events may use it */
    bool nested;                        /* w's base is a wrapper too, in all lives of this run */
    blob_ctx *ctx;                      /* governs w */
    bool unified, patient;              /* patient: calls may be made without a time limit */
    bool bounded_life;                  /* somebody cuts it off in the middle */
    key_state keys[KEYS];
    worker workers[THREADS];
    atomic_bool sampling;
    atomic_uint_fast64_t ticks, calls, good, failed;
} stress;

static stress the;

static long long now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void broken(const char *format, ...)
{
    va_list args;

    fprintf(stderr, "stress_wbstore: seed %" PRIu64 "%s: ", the.seed, the.nested ? " (nested)" : "");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

/* ---- the oracle ---------------------------------------------------------------------------------------------- */

static bool has(blob_store *s, const key_state *k)
{
    blob *b;
    int rc = blob_store_get(s, NULL, k->key, &b);

    if (rc == BLOB_NOT_FOUND)
        return false;
    if (rc != 0)
        broken("a store that cannot fail did: %s", blob_strerror(rc));
    if (b->size != k->data.size || (b->size > 0 && memcmp(b->data, k->data.data, b->size) != 0))
        broken("key %d: wrong bytes in a store", (int)(k - the.keys));
    blob_unref(b);
    return true;
}

/* What the wrapper calls its base, asked behind the faults; in the order in which blobs move. */
static bool base_has(const key_state *k)
{
    return has(the.inner_mem, k) || has(the.mem, k);
}

static bool anybody_has(const key_state *k)
{
    return has(the.buf_mem, k) || base_has(k);
}

static bool known_present(key_state *k)
{
    return k->mode == PUTS && atomic_load(&k->known) == PRESENT;
}

static bool known_absent(key_state *k)
{
    return k->mode == DELETES && atomic_load(&k->known) == ABSENT;
}

static uint64_t tick(void)
{
    return atomic_fetch_add(&the.ticks, 1) + 1;
}

static void put_was(key_state *k, uint64_t begun, bool ok)
{
    uint64_t ended = tick();

    pthread_mutex_lock(&k->lock);
    if (ok && begun > k->put_begun_ok)
        k->put_begun_ok = begun;
    if (ended > k->put_ended)
        k->put_ended = ended;
    pthread_mutex_unlock(&k->lock);
    if (ok && k->mode == PUTS)
        atomic_store(&k->known, PRESENT);
}

static void delete_was(key_state *k, uint64_t begun, bool ok)
{
    uint64_t ended = tick();

    pthread_mutex_lock(&k->lock);
    if (ok && begun > k->delete_begun_ok)
        k->delete_begun_ok = begun;
    if (ended > k->delete_ended)
        k->delete_ended = ended;
    pthread_mutex_unlock(&k->lock);
    if (ok && k->mode == DELETES)
        atomic_store(&k->known, ABSENT);
}

static void phase_begins(key_state *k, mode now)
{
    int before = atomic_load(&k->known);

    k->mode = now;
    k->put_begun_ok = k->put_ended = k->delete_begun_ok = k->delete_ended = 0;
    if ((now == PUTS && before == ABSENT) || (now == DELETES && before == PRESENT))
        atomic_store(&k->known, UNKNOWN);
}

static void phase_ends(key_state *k)
{
    if (k->mode != MIXED)
        return;
    if (k->put_begun_ok > k->delete_ended)
        atomic_store(&k->known, PRESENT);
    else if (k->delete_begun_ok > k->put_ended)
        atomic_store(&k->known, ABSENT);
    else if (k->put_ended > 0 || k->delete_ended > 0)
        atomic_store(&k->known, UNKNOWN);
}

static void check_at_rest(const char *when)
{
    for (unsigned i = 0; i < KEYS; i++) {
        key_state *k = &the.keys[i];
        bool there = anybody_has(k);
        if (there && atomic_load(&k->known) == ABSENT)
            broken("%s: key %u was deleted and is back", when, i);
        if (!there && atomic_load(&k->known) == PRESENT)
            broken("%s: key %u is lost", when, i);
    }
}

static void check_stats(wbstore *w)
{
    wbstore_stats s = {.struct_size = sizeof s};

    wbstore_get_stats(w, &s);
    if (s.accepted + s.resumed != s.sent + s.deleted + s.pending_blobs)
        broken("accepted %" PRIu64 " + resumed %" PRIu64 " is not sent %" PRIu64 " + deleted %" PRIu64
               " + pending %" PRIu64,
               s.accepted, s.resumed, s.sent, s.deleted, s.pending_blobs);
    if (s.parked + s.in_flight > s.pending_blobs || (s.pending_blobs == 0 && s.pending_bytes > 0))
        broken("parked %" PRIu64 ", in flight %" PRIu64 ", pending %" PRIu64 " of %" PRIu64 " bytes", s.parked,
               s.in_flight, s.pending_blobs, s.pending_bytes);
}

/* ---- calls --------------------------------------------------------------------------------------------------- */

static void begin(worker *me, const char *call)
{
    atomic_store(&me->since_s, now_s());
    atomic_store(&me->call, call);
}

static int end(worker *me, int rc)
{
    atomic_store(&me->call, NULL);
    atomic_fetch_add(&the.calls, 1);
    atomic_fetch_add(rc == 0 ? &the.good : &the.failed, 1);
    if (rc > 0)
        broken("a call returned %d", rc);
    return rc;
}

/* A context for one call: often none, if there is time; else one that ends soon. */
static blob_ctx *some_time(worker *me)
{
    blob_ctx *ctx = NULL;

    if (!the.patient || test_random_below(&me->rng, 3) == 0)
        if (blob_ctx_new_timeout(&ctx, NULL, (int64_t)test_random_below(&me->rng, 30)) != 0)
            broken("no context");
    return ctx;
}

static void do_cas_put(worker *me, key_state *k, blob_ctx *ctx)
{
    blob_address a;
    wbstore *w = the.nested && test_random_below(&me->rng, 3) == 0 ? the.inner : the.w;
    uint64_t ticket, begun = tick();
    int rc;

    begin(me, "cas_put");
    rc = end(me, wbstore_cas_put_ticket(w, ctx, k->data.data, k->data.size, &a, &ticket));
    if (a.size != k->address.size || memcmp(a.bytes, k->address.bytes, a.size) != 0)
        broken("cas_put: not the address");
    if ((rc == 0) != (ticket > 0))
        broken("cas_put returned %d and ticket %" PRIu64, rc, ticket);
    if (rc == 0 && w == the.w) {
        if (ticket <= me->ticket)
            broken("tickets fall");
        me->ticket = ticket;
        me->ticket_key = (int)(k - the.keys);
    }
    put_was(k, begun, rc == 0);
}

static void do_put(worker *me, key_state *k, blob_ctx *ctx)
{
    unsigned flags = test_random_below(&me->rng, 2) == 0 ? 0 : BLOB_REPLACE;
    bool present = known_present(k);
    uint64_t begun = tick();
    int rc;

    begin(me, flags == 0 ? "put" : "put with replace");
    rc = end(me, wbstore_put(the.w, ctx, k->key, k->data, flags));
    if (present && flags == 0 && rc == 0)
        broken("put without replace put a key that is there");
    put_was(k, begun, rc == 0);
}

static void do_delete(worker *me, key_state *k, blob_ctx *ctx)
{
    uint64_t begun = tick();
    int rc;

    begin(me, "delete");
    rc = end(me, wbstore_delete(the.w, ctx, k->key));
    if (k->mode == DELETES && (rc == 0 || rc == BLOB_NOT_FOUND) && anybody_has(k))
        broken("key %d: deleted and still there", (int)(k - the.keys));
    delete_was(k, begun, rc == 0 || rc == BLOB_NOT_FOUND);
}

static void do_get(worker *me, key_state *k, blob_ctx *ctx)
{
    bool present = known_present(k), absent = known_absent(k);
    uint64_t size;
    blob *b;
    int rc;

    begin(me, "get");
    rc = end(me, wbstore_get(the.w, ctx, k->key, &b));
    if (rc == 0 && (b->size != k->data.size || (b->size > 0 && memcmp(b->data, k->data.data, b->size) != 0)))
        broken("get: wrong bytes");
    blob_unref(b);
    if ((present && rc == BLOB_NOT_FOUND) || (absent && rc == 0))
        broken("get of a key that is %s: %d", present ? "there" : "deleted", rc);
    begin(me, "size");
    rc = end(me, wbstore_size(the.w, ctx, k->key, &size));
    if ((present && rc == BLOB_NOT_FOUND) || (absent && rc == 0) || (rc == 0 && size != k->data.size))
        broken("size of a key that is %s: %d", present ? "there" : "deleted", rc);
}

static void expect_in_base(const bool *present, const char *after)
{
    for (unsigned i = 0; i < KEYS; i++)
        if (present[i] && !base_has(&the.keys[i]))
            broken("%s returned 0, and key %u is not in the base", after, i);
}

static void do_sync(worker *me, blob_ctx *ctx)
{
    bool present[KEYS];
    int rc;

    for (unsigned i = 0; i < KEYS; i++)
        present[i] = known_present(&the.keys[i]);
    begin(me, "sync");
    rc = end(me, wbstore_sync(the.w, ctx));
    if (rc == 0)
        expect_in_base(present, "sync");
}

static void do_wait(worker *me, blob_ctx *ctx)
{
    bool present[KEYS] = {false};
    int rc;

    if (me->ticket_key >= 0)
        present[me->ticket_key] = known_present(&the.keys[me->ticket_key]);
    if (test_random_below(&me->rng, 2) == 0) {
        begin(me, "wait");
        rc = end(me, wbstore_wait(the.w, ctx, me->ticket));
        if (rc == 0)
            expect_in_base(present, "wait");
    } else if (wbstore_safe_ticket(the.w) >= me->ticket) {
        expect_in_base(present, "safe_ticket");
    }
}

static void do_wait_keys(worker *me, blob_ctx *ctx)
{
    bool present[KEYS] = {false};
    blob_key keys[3];
    int rc;

    for (unsigned i = 0; i < 3; i++) {
        unsigned n = (unsigned)test_random_below(&me->rng, KEYS);
        keys[i] = the.keys[n].key;
        present[n] = known_present(&the.keys[n]);
    }
    begin(me, "wait_keys");
    rc = end(me, wbstore_wait_keys(the.w, ctx, keys, 3));
    if (rc == 0)
        expect_in_base(present, "wait_keys");
}

static int count_key(void *arg, blob_key key, uint64_t size)
{
    unsigned *seen = arg;

    (void)size;
    for (unsigned i = 0; i < KEYS; i++)
        if (blob_key_compare(key, the.keys[i].key) == 0)
            seen[i]++;
    return 0;
}

static void do_list(worker *me, blob_ctx *ctx)
{
    bool present[KEYS], absent[KEYS];
    unsigned seen[KEYS] = {0};
    int rc;

    for (unsigned i = 0; i < KEYS; i++) {
        present[i] = known_present(&the.keys[i]);
        absent[i] = known_absent(&the.keys[i]);
    }
    begin(me, "list");
    rc = end(me, wbstore_list(the.w, ctx, blob_key_of(NULL, 0), count_key, seen));
    for (unsigned i = 0; i < KEYS; i++)
        if (seen[i] > 1 || (absent[i] && seen[i] > 0) || (rc == 0 && the.unified && present[i] && seen[i] == 0))
            broken("list has key %u, which is %s, %u times", i, present[i] ? "there" : "deleted or unknown", seen[i]);
}

static int look_at_pending(void *arg, const wbstore_pending_info *info)
{
    (void)arg;
    if (info->key.size == 0 || info->state < WBSTORE_QUEUED || info->state > WBSTORE_PARKED || info->age_ms < 0)
        broken("pending tells nonsense");
    return 0;
}

static void do_something_else(worker *me, blob_ctx *ctx)
{
    uint64_t len;

    switch (test_random_below(&me->rng, 4)) {
    case 0:
        begin(me, "rescan");
        end(me, wbstore_rescan(the.w, ctx));
        break;
    case 1:
        begin(me, "retry_parked");
        end(me, wbstore_retry_parked(the.w));
        break;
    case 2:
        begin(me, "pending");
        end(me, wbstore_pending(the.w, look_at_pending, NULL));
        break;
    default:
        begin(me, "len");
        end(me, wbstore_len(the.w, ctx, &len));
        break;
    }
}

static void do_one(worker *me)
{
    key_state *k = &the.keys[test_random_below(&me->rng, KEYS)];
    uint64_t dice = test_random_below(&me->rng, 100);
    blob_ctx *ctx = some_time(me);

    if (dice < 45) {
        bool may_put = k->mode != DELETES, may_delete = k->mode != PUTS;
        if (may_put && (!may_delete || test_random_below(&me->rng, 2) == 0))
            (test_random_below(&me->rng, 4) == 0 ? do_put : do_cas_put)(me, k, ctx);
        else
            do_delete(me, k, ctx);
    } else if (dice < 70) {
        do_get(me, k, ctx);
    } else if (dice < 76) {
        do_sync(me, ctx);
    } else if (dice < 82) {
        do_wait(me, ctx);
    } else if (dice < 88) {
        do_wait_keys(me, ctx);
    } else if (dice < 94) {
        do_list(me, ctx);
    } else {
        do_something_else(me, ctx);
    }
    blob_ctx_free(ctx);
}

/* ---- threads ------------------------------------------------------------------------------------------------- */

static void work(void *arg, unsigned index)
{
    worker *me = &the.workers[index];
    uint64_t count = 5 + test_random_below(&me->rng, 40), cut = UINT64_MAX;

    (void)arg;
    me->ticket_key = -1;
    if (the.bounded_life && index == 0)
        cut = test_random_below(&me->rng, count);
    for (uint64_t i = 0; i < count; i++) {
        do_one(me);
        if (i == cut) {
            if (test_random_below(&me->rng, 2) == 0) {
                blob_ctx_cancel(the.ctx);
            } else {
                begin(me, "close");
                end(me, wbstore_close(the.w, NULL));
            }
        }
    }
}

static void *sample(void *arg)
{
    (void)arg;
    while (atomic_load(&the.sampling)) {
        check_stats(the.w);
        if (the.inner != NULL)
            check_stats(the.inner);
        for (unsigned i = 0; i < THREADS; i++) {
            const char *call = atomic_load(&the.workers[i].call);
            if (call != NULL && now_s() - atomic_load(&the.workers[i].since_s) > PATIENCE_S)
                broken("%s does not return", call);
        }
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    return NULL;
}

/* ---- lives --------------------------------------------------------------------------------------------------- */

static void on_event(void *arg, const wbstore_event *event)
{
    wbstore *w = atomic_load(&the.told);

    (void)arg;
    if (w == NULL)
        return;
    check_stats(w);
    if (event->kind == WBSTORE_EVENT_PARKED && ((const unsigned char *)event->key.data)[0] % 2 == 0)
        wbstore_retry_parked(w);
    if (wbstore_sync(w, NULL) == 0)
        broken("sync in the event callback returned 0");
}

static wbstore_options some_options(test_rng *rng)
{
    static const unsigned writers[] = {1, 2, 3, 16};
    static const int64_t limits[] = {0, 1, 5, 50};
    wbstore_options o = wbstore_options_default();

    o.writers_max = writers[test_random_below(rng, 4)];
    o.attempt_timeout_ms = limits[test_random_below(rng, 4)];
    o.retry_min_ms = 1;
    o.retry_max_ms = 1 + (int64_t)test_random_below(rng, 4);
    if (test_random_below(rng, 2) == 0)
        o.buffer_blobs_max = 1 + test_random_below(rng, 4);
    if (test_random_below(rng, 3) == 0)
        o.buffer_bytes_max = BYTES_MAX + test_random_below(rng, 3 * BYTES_MAX);
    o.when_full = (wbstore_when_full)test_random_below(rng, 3);
    o.no_verify = test_random_below(rng, 4) == 0;
    o.unified_view = test_random_below(rng, 2) == 0;
    return o;
}

/* How bad it is in this phase. */
static chaos some_chaos(test_rng *rng, bool is_base)
{
    unsigned bad = test_random_below(rng, 3) == 0 ? 0 : (unsigned)test_random_below(rng, 150);
    chaos c = {.fail_before = bad, .fail_after = bad, .hang = bad / 4, .deaf = bad / 8, .hang_us = 4000};

    if (test_random_below(rng, 3) == 0)
        c.refuse = (unsigned)test_random_below(rng, 100);
    if (!is_base && test_random_below(rng, 3) == 0)
        c.full = (unsigned)test_random_below(rng, 300);
    if (is_base && test_random_below(rng, 10) == 0)
        c.fail_before = 1000;
    return c;
}

static void set_chaos(test_rng *rng)
{
    chaos base = some_chaos(rng, true), buf = some_chaos(rng, false), inner = some_chaos(rng, false);

    inner.full = 0;
    chaosstore_set(the.base, &base);
    chaosstore_set(the.buf, &buf);
    chaosstore_set(the.inner_buf, &inner);
    the.patient = base.fail_before < 1000;
}

static void no_chaos(void)
{
    chaosstore_set(the.base, NULL);
    chaosstore_set(the.buf, NULL);
    chaosstore_set(the.inner_buf, NULL);
}

static void wrapper_begins(const wbstore_options *options, const wbstore_options *inner)
{
    blob_store *base = chaosstore_store(the.base);

    test_ok(blob_ctx_new(&the.ctx, NULL));
    if (the.nested) {
        test_ok(wbstore_new(&the.inner, NULL, base, chaosstore_store(the.inner_buf), inner));
        base = wbstore_as_store(the.inner);
    }
    test_ok(wbstore_new(&the.w, the.ctx, base, chaosstore_store(the.buf), options));
    atomic_store(&the.told, the.w);
    the.unified = options->unified_view != 0 && (!the.nested || inner->unified_view != 0);
}

static void wrapper_ends(void)
{
    check_stats(the.w);
    wbstore_free(the.w);
    if (the.inner != NULL)
        check_stats(the.inner);
    wbstore_free(the.inner);
    the.w = the.inner = NULL;
    atomic_store(&the.told, NULL);
    blob_ctx_free(the.ctx);
}

static void live(test_rng *rng)
{
    wbstore_options o = some_options(rng), inner = some_options(rng);
    unsigned phases = 1 + (unsigned)test_random_below(rng, 5);
    pthread_t sampler;

    set_chaos(rng);
    the.bounded_life = false;
    for (unsigned i = 0; i < THREADS; i++)
        the.workers[i].ticket = 0;
    if (test_random_below(rng, 2) == 0)
        o.on_event = on_event;
    wrapper_begins(&o, &inner);
    atomic_store(&the.sampling, true);
    test_thread_start(&sampler, sample, NULL);
    while (phases-- > 0) {
        set_chaos(rng);
        the.bounded_life = phases == 0 && test_random_below(rng, 3) == 0;
        for (unsigned i = 0; i < KEYS; i++)
            phase_begins(&the.keys[i], (mode)test_random_below(rng, 3));
        test_threads_run(THREADS, work, NULL);
        for (unsigned i = 0; i < KEYS; i++)
            phase_ends(&the.keys[i]);
        check_at_rest("after a phase");
    }
    atomic_store(&the.sampling, false);
    test_thread_join(sampler);
    wrapper_ends();
    check_at_rest("after a life");
}

/* Nothing fails any more: everything arrives. */
static void arrive(test_rng *rng)
{
    wbstore_options o = some_options(rng), inner = wbstore_options_default();
    pthread_t sampler;

    no_chaos();
    o.attempt_timeout_ms = 0;
    wrapper_begins(&o, &inner);
    atomic_store(&the.sampling, true);
    test_thread_start(&sampler, sample, NULL);
    begin(&the.workers[0], "the last sync");
    if (end(&the.workers[0], wbstore_sync(the.w, NULL)) != 0 || (the.nested && wbstore_sync(the.inner, NULL) != 0))
        broken("the last sync failed");
    atomic_store(&the.sampling, false);
    test_thread_join(sampler);
    wrapper_ends();
    check_at_rest("at the end");
    if (test_len(the.buf_mem) != 0 || test_len(the.inner_mem) != 0)
        broken("at the end: something is left in a buffer");
}

/* ---- runs ---------------------------------------------------------------------------------------------------- */

static void run_begins(uint64_t seed)
{
    test_rng rng = {seed};

    the.seed = seed;
    the.nested = test_random_below(&rng, 3) == 0;
    test_ok(blob_memstore_new(&the.mem));
    test_ok(blob_memstore_new(&the.buf_mem));
    test_ok(blob_memstore_new(&the.inner_mem));
    test_ok(blob_hashcas_new(&the.cas, the.mem, blob_hash_sha256()));
    test_ok(chaosstore_new(&the.base, the.cas, test_random(&rng)));
    test_ok(chaosstore_new(&the.buf, the.buf_mem, test_random(&rng)));
    test_ok(chaosstore_new(&the.inner_buf, the.inner_mem, test_random(&rng)));
    for (unsigned i = 0; i < KEYS; i++) {
        key_state *k = &the.keys[i];
        size_t size = i == 0 ? 0 : 16 + (size_t)test_random_below(&rng, BYTES_MAX - 15); /* no two alike */
        k->data = blob_view_of(test_payload(seed + i, size), size);
        test_ok(blob_store_cas_key(the.cas, NULL, k->data, &k->address));
        k->key = blob_address_key(&k->address);
        atomic_store(&k->known, ABSENT);
        pthread_mutex_init(&k->lock, NULL);
    }
    for (unsigned i = 0; i < THREADS; i++)
        the.workers[i].rng.state = test_random(&rng);
}

static void run_ends(void)
{
    for (unsigned i = 0; i < KEYS; i++) {
        free((void *)(uintptr_t)the.keys[i].data.data);
        pthread_mutex_destroy(&the.keys[i].lock);
    }
    blob_store_close(chaosstore_store(the.base), NULL);
    blob_store_close(chaosstore_store(the.buf), NULL);
    blob_store_close(chaosstore_store(the.inner_buf), NULL);
    blob_store_close(the.cas, NULL);
    blob_store_close(the.mem, NULL);
    blob_store_close(the.buf_mem, NULL);
    blob_store_close(the.inner_mem, NULL);
}

static void run(uint64_t seed)
{
    test_rng rng = {~seed};
    unsigned lives = 1 + (unsigned)test_random_below(&rng, 4);

    run_begins(seed);
    while (lives-- > 0)
        live(&rng);
    arrive(&rng);
    run_ends();
}

int main(int argc, char **argv)
{
    long long seconds = argc > 1 ? atoll(argv[1]) : 5, until = now_s() + seconds;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1, runs = 0;

    do
        run(seed + runs++);
    while (now_s() < until);
    printf("%" PRIu64 " runs, %" PRIuFAST64 " calls, %" PRIuFAST64 " of them went well\n", runs,
           atomic_load(&the.calls), atomic_load(&the.good));
    return 0;
}
