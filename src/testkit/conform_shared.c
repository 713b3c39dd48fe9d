/* conform_shared.c - checks with sixteen threads at once: on keys of their own each is as if alone, on shared ones
 * every get returns one of the whole values that were put. */
#include "testkit/conform_int.h"

#include <errno.h>
#include <string.h>

/* ---- keys of their own: as if alone --------------------------------------------------------------------------- */

#define CX_OWN 4

/* The keys of all threads lie between each other in the order. */
static blob_key cx_own_key(unsigned thread, unsigned slot, unsigned char room[3])
{
    room[0] = (unsigned char)slot;
    room[1] = 'o';
    room[2] = (unsigned char)(thread * 16);
    return blob_key_of(room, 3);
}

static bool cx_own_is(wb_cf_thread *t, const char *what, int got, int want)
{
    return got == want || wb_cf_thread_broken(t, "%s of a key that only one thread uses returned %d (%s), not %d (%s)",
                                              what, got, blob_strerror(got), want, blob_strerror(want));
}

static bool cx_own_get(wb_cf_thread *t, blob_key key, unsigned slot, uint32_t version)
{
    uint32_t writer = 0, seen = 0;
    blob *b = NULL;
    int rc = wb_cf_get(t->c, NULL, key, version != 0, &b);
    bool good = cx_own_is(t, "get", rc, version == 0 ? BLOB_NOT_FOUND : 0);

    if (good && rc == 0 && !(wb_cf_whole(b, slot, &writer, &seen) && writer == t->index && seen == version))
        good = wb_cf_thread_broken(t, "get of a key that only one thread uses returned other bytes than it put last");
    blob_unref(b);
    return good;
}

static int cx_first(void *arg, blob_key key, uint64_t size)
{
    unsigned char *first = arg;

    (void)size;
    if (key.size == 3)
        memcpy(first, key.data, 3);
    return BLOB_LIST_STOP;
}

static bool cx_own_list(wb_cf_thread *t, blob_key key, uint32_t version)
{
    unsigned char first[3] = {0xff, 0xff, 0xff};
    int rc = blob_store_list(t->c->store, NULL, key, cx_first, first), order;

    if (!cx_own_is(t, "a listing", rc, 0))
        return false;
    order = blob_key_compare(blob_key_of(first, 3), key);
    if (order < 0 || (order == 0) != (version != 0))
        return wb_cf_thread_broken(t, "a listing from a key that only one thread uses %s",
                                   version != 0 ? "leaves it out" : "begins with it, deleted as it is");
    return true;
}

/* version: what the thread put last, 0: it deleted the key. */
static bool cx_own_step(wb_cf_thread *t, unsigned slot, uint32_t *version, uint32_t next)
{
    unsigned char room[3], bytes[WB_CF_TOLD_MAX];
    const blob_key key = cx_own_key(t->index, slot, room);
    const int if_there = *version != 0 ? 0 : BLOB_NOT_FOUND;
    blob_store *s = t->c->store;
    uint64_t size;
    bool good;

    switch (wb_cf_random(t, 8)) {
    case 0:
    case 1:
        good = cx_own_is(t, "put", blob_store_put(s, NULL, key, wb_cf_tell(slot, t->index, next, bytes), 0),
                         *version != 0 ? BLOB_EXISTS : 0);
        *version = *version != 0 ? *version : next;
        return good;
    case 2:
        *version = next;
        return cx_own_is(t, "put with replace",
                         blob_store_put(s, NULL, key, wb_cf_tell(slot, t->index, next, bytes), BLOB_REPLACE), 0);
    case 3:
        *version = 0;
        return cx_own_is(t, "delete", blob_store_delete(s, NULL, key, 0), if_there);
    case 4:
        *version = 0;
        return cx_own_is(t, "lazy delete", blob_store_delete(s, NULL, key, BLOB_LAZY), if_there);
    case 5:
        return cx_own_is(t, "size", blob_store_size(s, NULL, key, &size), if_there);
    case 6:
        return cx_own_list(t, key, *version);
    default:
        return cx_own_get(t, key, slot, *version);
    }
}

static void cx_own_body(wb_cf_thread *t)
{
    uint32_t versions[CX_OWN] = {0};

    for (unsigned step = 0; wb_cf_goes_on(t, step, 60, 1500); step++) {
        unsigned slot = (unsigned)wb_cf_random(t, CX_OWN);
        if (!cx_own_step(t, slot, &versions[slot], step + 1))
            return;
    }
}

static bool cx_own(wb_cf *c)
{
    unsigned char room[3];

    for (unsigned i = 0; i < WB_CF_THREADS * CX_OWN; i++) {
        if (!wb_cf_note(c, cx_own_key(i / CX_OWN, i % CX_OWN, room)))
            return false;
    }
    return wb_cf_together(c, cx_own_body, NULL, 300);
}

/* ---- one key, one winner -------------------------------------------------------------------------------------- */

typedef struct cx_race {
    wb_cf_rounds rounds;
    blob_key key;
    atomic_uint winners, winner;
} cx_race;

static void cx_race_put(wb_cf_thread *t, cx_race *race, unsigned round)
{
    unsigned char bytes[WB_CF_TOLD_MAX];
    uint32_t writer, version;
    blob *b = NULL;
    int rc = blob_store_put(t->c->store, NULL, race->key, wb_cf_tell(0, t->index, 3 * round, bytes), 0);

    if (rc == 0) {
        atomic_fetch_add(&race->winners, 1);
        atomic_store(&race->winner, t->index);
    } else if (rc != BLOB_EXISTS) {
        wb_cf_thread_broken(t, "one of many puts of a key at once returned %d (%s)", rc, blob_strerror(rc));
    }
    rc = wb_cf_get(t->c, NULL, race->key, true, &b);
    if (rc != 0 || !wb_cf_whole(b, 0, &writer, &version) || version != 3 * round)
        wb_cf_thread_broken(t, "a get after a put beside others returned %d (%s)%s", rc, blob_strerror(rc),
                            rc == 0 ? " and bytes that nobody put" : "");
    blob_unref(b);
}

static void cx_race_judge(wb_cf_thread *t, cx_race *race)
{
    uint32_t writer = 0, version = 0;
    unsigned winners = atomic_exchange(&race->winners, 0);
    blob *b = NULL;
    int rc = wb_cf_get(t->c, NULL, race->key, true, &b);

    if (winners != 1)
        wb_cf_thread_broken(t, "of %d puts of one key at once, without replace, %u returned 0", WB_CF_THREADS, winners);
    else if (rc != 0 || !wb_cf_whole(b, 0, &writer, &version) || writer != atomic_load(&race->winner))
        wb_cf_thread_broken(t, "of many puts of one key at once the store kept another than the one that returned 0");
    blob_unref(b);
    rc = blob_store_delete(t->c->store, NULL, race->key, 0);
    if (rc != 0)
        wb_cf_thread_broken(t, "delete after many puts at once returned %d (%s)", rc, blob_strerror(rc));
}

static void cx_race_body(wb_cf_thread *t)
{
    cx_race *race = t->arg;

    for (unsigned round = 0; wb_cf_round(t, &race->rounds, round, 4, 200); round++) {
        cx_race_put(t, race, round);
        pthread_barrier_wait(&race->rounds.barrier);
        if (t->index == 0)
            cx_race_judge(t, race);
    }
}

static bool cx_put_once(wb_cf *c)
{
    cx_race race = {.key = wb_cf_key("one key")};
    bool good;

    atomic_init(&race.winners, 0);
    atomic_init(&race.winner, 0);
    if (!wb_cf_note(c, race.key))
        return false;
    if (!wb_cf_rounds_init(&race.rounds))
        return wb_cf_fail(c, -ENOMEM);
    good = wb_cf_together(c, cx_race_body, &race, 200);
    pthread_barrier_destroy(&race.rounds.barrier);
    return good;
}

/* ---- shared keys, replaced: always there, always whole, never older than known --------------------------------- */

#define CX_SHARED 4

typedef struct cx_shared {
    atomic_uint begun[CX_SHARED], done[CX_SHARED]; /* versions that the key's only writer began to put, and has put */
} cx_shared;

static blob_key cx_shared_key(unsigned k)
{
    static const char names[] = "ABCD";

    return blob_key_of(names + k, 1);
}

static void cx_write_next(wb_cf_thread *t, cx_shared *shared, unsigned k)
{
    unsigned char bytes[WB_CF_TOLD_MAX];
    unsigned version = atomic_load(&shared->begun[k]) + 1;
    int rc;

    atomic_store(&shared->begun[k], version);
    rc = blob_store_put(t->c->store, NULL, cx_shared_key(k), wb_cf_tell(k, k, version, bytes), BLOB_REPLACE);
    if (rc != 0)
        wb_cf_thread_broken(t, "put with replace beside readers returned %d (%s)", rc, blob_strerror(rc));
    atomic_store(&shared->done[k], version);
}

static void cx_read_some(wb_cf_thread *t, cx_shared *shared, unsigned k)
{
    unsigned least = atomic_load(&shared->done[k]), most;
    uint32_t writer = 0, version = 0;
    blob *b = NULL;
    int rc = wb_cf_get(t->c, NULL, cx_shared_key(k), true, &b);

    most = atomic_load(&shared->begun[k]);
    if (rc != 0)
        wb_cf_thread_broken(t, "get of a key that is only ever replaced returned %d (%s)", rc, blob_strerror(rc));
    else if (!wb_cf_whole(b, k, &writer, &version) || writer != k)
        wb_cf_thread_broken(t, "get beside a replace returned bytes that nobody put");
    else if (version < least || version > most)
        wb_cf_thread_broken(t, "get returned version %u where %u was put already and %u had begun", version, least,
                            most);
    blob_unref(b);
    rc = blob_store_put(t->c->store, NULL, cx_shared_key(k), blob_view_of("", 0), 0);
    if (rc != BLOB_EXISTS)
        wb_cf_thread_broken(t, "put without replace of a key that is there throughout returned %d (%s)", rc,
                            blob_strerror(rc));
}

static void cx_replace_body(wb_cf_thread *t)
{
    cx_shared *shared = t->arg;

    for (unsigned step = 0; wb_cf_goes_on(t, step, 30, 1000); step++) {
        if (t->index < CX_SHARED)
            cx_write_next(t, shared, t->index);
        else
            cx_read_some(t, shared, (unsigned)wb_cf_random(t, CX_SHARED));
    }
}

static bool cx_replace(wb_cf *c)
{
    unsigned char bytes[WB_CF_TOLD_MAX];
    cx_shared shared;

    for (unsigned k = 0; k < CX_SHARED; k++) {
        atomic_init(&shared.begun[k], 0);
        atomic_init(&shared.done[k], 0);
        if (!wb_cf_put(c, cx_shared_key(k), wb_cf_tell(k, k, 0, bytes), 0, 0))
            return false;
    }
    return wb_cf_together(c, cx_replace_body, &shared, 300) && wb_cf_len(c, CX_SHARED);
}

/* ---- shared keys, anything goes: what get returns is whole ----------------------------------------------------- */

static bool cx_any_is(wb_cf_thread *t, const char *what, int got, int other)
{
    return got == 0 || got == other ||
           wb_cf_thread_broken(t, "%s of a shared key returned %d (%s)", what, got, blob_strerror(got));
}

static bool cx_any_get(wb_cf_thread *t, unsigned k)
{
    uint32_t writer, version;
    blob *b = NULL;
    /* It may be there or not. If a missing key is known to be found hollow, it was missing. */
    int rc = wb_cf_get(t->c, NULL, cx_shared_key(k), !t->c->missing.told, &b);
    bool good = cx_any_is(t, "get", rc, BLOB_NOT_FOUND);

    if (good && rc == 0 && !wb_cf_whole(b, k, &writer, &version))
        good = wb_cf_thread_broken(t, "get of a shared key returned bytes that nobody put");
    blob_unref(b);
    return good;
}

static void cx_any_body(wb_cf_thread *t)
{
    blob_store *s = t->c->store;
    unsigned char bytes[WB_CF_TOLD_MAX];
    uint64_t size;

    for (unsigned step = 0; wb_cf_goes_on(t, step, 30, 1000); step++) {
        unsigned k = (unsigned)wb_cf_random(t, CX_SHARED);
        const blob_key key = cx_shared_key(k);
        const blob_view told = wb_cf_tell(k, t->index, step, bytes);
        switch (wb_cf_random(t, 6)) {
        case 0:
            cx_any_is(t, "put", blob_store_put(s, NULL, key, told, 0), BLOB_EXISTS);
            break;
        case 1:
            cx_any_is(t, "put with replace", blob_store_put(s, NULL, key, told, BLOB_REPLACE), 0);
            break;
        case 2:
            cx_any_is(t, "delete", blob_store_delete(s, NULL, key, step % 2 != 0 ? BLOB_LAZY : 0), BLOB_NOT_FOUND);
            break;
        case 3:
            cx_any_is(t, "size", blob_store_size(s, NULL, key, &size), BLOB_NOT_FOUND);
            break;
        default:
            cx_any_get(t, k);
        }
    }
}

static bool cx_any(wb_cf *c)
{
    for (unsigned k = 0; k < CX_SHARED; k++) {
        if (!wb_cf_note(c, cx_shared_key(k)))
            return false;
    }
    return wb_cf_together(c, cx_any_body, NULL, 300);
}

const wb_cf_check wb_cf_threads[] = {
    {"threads-own-keys", cx_own},
    {"threads-put-once", cx_put_once},
    {"threads-replace", cx_replace},
    {"threads-whole", cx_any},
    {NULL, NULL},
};
