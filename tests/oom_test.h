/* oom_test.h - what the tests share in which each thing that a call of a store asks the system for is refused, once, or from
 * there on: the call says so and nothing else, nothing has changed by it, nothing leaks, and the same call again works.
 *
 * One life of a store, from open to close, is lived again and again; each time the next allocation (thread, descriptor,
 * lock) is refused, until a life passes in which none was. What must be there is kept in a model. */
#ifndef OOM_TEST_H
#define OOM_TEST_H

#include "scarce.h"
#include "testutil.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wbstore/stores.h>

enum { KEYS = 9, ADDRESS = KEYS - 1, ADDRESSED = 25, LARGE = 70000 };

typedef struct life {
    const struct breed *breed;
    scarce_plan plan;
    char *dir;
    blob_store *inner, *s;
    size_t held[KEYS];             /* the version that a key has, and so its size; 0: it is not there */
    size_t lazy_key, lazy_version; /* deleted, but until a close has gone well that may be forgotten; 0: none is */
    char room[64];
} life;

typedef struct breed {
    const char *name;
    int (*open)(life *l, blob_store **out);
    bool lasting; /* opened again, it has what it had */
    bool has_cas;
    bool is_log;
    bool is_far;                       /* a call that was sent and not answered may be carried out */
    long at_least;                     /* allocations that a life must have, lest a test see nothing */
    void (*begin)(void), (*end)(void); /* of a life, if it needs something of its own */
} breed;

/* ---- what is put ---- */

static char large[LARGE];

static inline size_t size_of(size_t version);

/* The last one is the content address of a version. */
static inline blob_key key_of(life *l, size_t k)
{
    if (k == ADDRESS) {
        blob_hash_sha256()->digest(large, size_of(ADDRESSED), (unsigned char *)l->room);
        return blob_key_of(l->room, 32);
    }
    snprintf(l->room, sizeof l->room, "key %zu of eight", k);
    return test_key(l->room);
}

/* Every version has another size; some have one that does not fit beside others. */
static inline size_t size_of(size_t version)
{
    return version % 4 == 3 ? LARGE - version : version;
}

/* ---- what is refused, and what not ---- */

static inline bool is_want(int rc)
{
    return rc == -ENOMEM || rc == -EAGAIN || rc == -EMFILE || rc == -ENFILE;
}

static inline void look(life *l);

/* A call failed: for want of something, and something was refused meanwhile. */
static inline void wanted(life *l, int rc, long refused_before)
{
    blob_error error;

    blob_last_error(&error);
    if (!is_want(rc) || scarce_refused() == refused_before)
        fail_msg("%s, kinds %u, nth %ld: %s (%s) with %ld refused", l->breed->name, l->plan.kinds, l->plan.nth,
                 blob_strerror(rc), error.text, scarce_refused() - refused_before);
}

typedef int act(life *l, size_t k, size_t arg);

/* A far side may have done what it was asked for, though nobody heard its answer. */
static inline bool may_be_done(const life *l, int rc)
{
    blob_error error;

    blob_last_error(&error);
    return l->breed->is_far && rc == BLOB_UNAVAILABLE && strstr(error.text, "it was sent, and may be carried") != NULL;
}

static inline int act_put(life *l, size_t k, size_t version);
static inline int act_delete(life *l, size_t k, size_t flags);

/* Made again, with enough of all. */
static inline void does_again(life *l, act *call, size_t k, size_t arg, int want, bool maybe_done)
{
    int rc;

    scarce_end();
    if (!maybe_done)
        look(l);
    rc = call(l, k, arg);
    if (maybe_done && rc == BLOB_EXISTS && call == act_put)
        return;
    if (maybe_done && rc == BLOB_NOT_FOUND && call == act_delete)
        return;
    test_status(rc, want);
}

/* One call. Refused once, it works when it is made again; refused from there on, it has changed nothing. */
static inline bool does(life *l, act *call, size_t k, size_t arg, int want)
{
    long before = scarce_refused();
    int rc = SCARCE(call(l, k, arg));
    bool done = may_be_done(l, rc);

    if (rc == want)
        return true;
    if (!done)
        wanted(l, rc, before);
    if (!done && l->plan.count == SCARCE_FOR_GOOD)
        return false;
    does_again(l, call, k, arg, want, done);
    return true;
}

/* ---- the calls ---- */

static inline int act_put(life *l, size_t k, size_t version)
{
    return blob_store_put(l->s, NULL, key_of(l, k), blob_view_of(large, size_of(version)), 0);
}

static inline int act_replace(life *l, size_t k, size_t version)
{
    return blob_store_put(l->s, NULL, key_of(l, k), blob_view_of(large, size_of(version)), BLOB_REPLACE);
}

static inline int act_get(life *l, size_t k, size_t version)
{
    blob *b = NULL;
    int rc = blob_store_get(l->s, NULL, key_of(l, k), &b);

    assert_true((rc == 0) == (b != NULL));
    if (b != NULL)
        assert_int_equal(b->size, size_of(version));
    blob_unref(b);
    return rc;
}

static inline int act_size(life *l, size_t k, size_t version)
{
    uint64_t size = 1;
    int rc = blob_store_size(l->s, NULL, key_of(l, k), &size);

    assert_int_equal(size, rc == 0 ? size_of(version) : 0);
    return rc;
}

static inline int act_delete(life *l, size_t k, size_t flags)
{
    return blob_store_delete(l->s, NULL, key_of(l, k), (unsigned)flags);
}

static inline int count_key(void *arg, blob_key key, uint64_t size)
{
    (void)key;
    (void)size;
    ++*(uint64_t *)arg;
    return 0;
}

static inline int act_list(life *l, size_t k, size_t count)
{
    uint64_t seen = 0;
    int rc = blob_store_list(l->s, NULL, test_key(""), count_key, &seen);

    (void)k;
    if (rc == 0)
        assert_int_equal(seen, count);
    return rc;
}

static inline int act_len(life *l, size_t k, size_t count)
{
    uint64_t len = 1;
    int rc = blob_store_len(l->s, NULL, &len);

    (void)k;
    assert_int_equal(len, rc == 0 ? count : 0);
    return rc;
}

static inline int act_cas(life *l, size_t k, size_t version)
{
    blob_view v = blob_view_of(large, size_of(version));
    blob_address a = {.size = 0}, again = {.size = 0};
    int rc = blob_store_cas_key(l->s, NULL, v, &a);

    if (rc == 0)
        rc = blob_store_cas_put(l->s, NULL, v, &again);
    if (rc == 0)
        assert_true(blob_key_compare(blob_address_key(&a), key_of(l, k)) == 0 &&
                    blob_key_compare(blob_address_key(&again), key_of(l, k)) == 0);
    return rc;
}

static inline int no_finding(void *arg, const blob_logstore_finding *finding)
{
    (void)arg;
    fail_msg("%s: %s", finding->file, finding->text);
    return 0;
}

static inline int act_verify(life *l, size_t k, size_t arg)
{
    blob_logstore_info info = {.struct_size = sizeof info};
    blob *b = NULL;
    int rc = blob_logstore_findings(l->s, NULL, 1, no_finding, NULL);

    (void)arg;
    if (rc == 0)
        rc = blob_logstore_get_info(l->s, &info);
    if (rc == 0)
        rc = blob_logstore_salvage(l->s, NULL, key_of(l, k), &b);
    blob_unref(b);
    return rc;
}

static inline int act_open(life *l, size_t k, size_t arg)
{
    int rc;

    (void)k;
    (void)arg;
    l->s = (blob_store *)(void *)large;
    rc = l->breed->open(l, &l->s);
    assert_true((rc == 0) == (l->s != NULL));
    return rc;
}

/* ---- the life ---- */

static inline size_t held(const life *l)
{
    size_t count = 0;

    for (size_t k = 0; k < KEYS; k++)
        count += l->held[k] > 0;
    return count;
}

/* All that must be there is, and nothing else. */
static inline void look(life *l)
{
    if (l->s == NULL)
        return;
    for (size_t k = 0; k < KEYS; k++)
        test_status(act_get(l, k, l->held[k]), l->held[k] > 0 ? 0 : BLOB_NOT_FOUND);
    test_ok(act_list(l, 0, held(l)));
    test_ok(act_len(l, 0, held(l)));
}

static inline void life_changes(life *l)
{
    for (size_t k = 0; k < 6; k++)
        if (does(l, act_put, k, k + 1, 0))
            l->held[k] = k + 1;
    for (size_t k = 0; k < 6; k += 2)
        if (does(l, act_replace, k, k + 11, 0))
            l->held[k] = k + 11;
    for (size_t k = 1; k < 6; k += 2)
        if (l->held[k] > 0 && does(l, act_delete, k, 0, 0))
            l->held[k] = 0;
    if (l->held[4] > 0 && does(l, act_delete, 4, BLOB_LAZY, 0)) {
        l->lazy_key = 4;
        l->lazy_version = l->held[4];
        l->held[4] = 0;
    }
    if (l->held[3] == 0 && does(l, act_put, 3, 23, 0))
        l->held[3] = 23;
    if (l->breed->has_cas && does(l, act_cas, ADDRESS, ADDRESSED, 0))
        l->held[ADDRESS] = ADDRESSED;
}

static inline void life_looks(life *l)
{
    for (size_t k = 0; k < KEYS; k++) {
        int want = l->held[k] > 0 ? 0 : BLOB_NOT_FOUND;
        does(l, act_get, k, l->held[k], want);
        does(l, act_size, k, l->held[k], want);
        if (want == 0)
            does(l, act_put, k, 5, BLOB_EXISTS);
        else
            does(l, act_delete, k, 0, BLOB_NOT_FOUND);
    }
    does(l, act_list, 0, held(l), 0);
    does(l, act_len, 0, held(l), 0);
    if (l->breed->is_log && l->held[0] > 0)
        does(l, act_verify, 0, 0, 0);
}

static inline void life_closes(life *l)
{
    long before = scarce_refused();
    int rc = SCARCE(blob_store_close(l->s, NULL));

    if (rc != 0)
        wanted(l, rc, before);
    else
        l->lazy_version = 0;
    l->s = NULL;
}

/* A reader of the log, once nobody writes: what it must show is what is there. */
static inline int act_open_read_only(life *l, size_t k, size_t arg)
{
    blob_logstore_options o = blob_logstore_options_default();

    (void)k;
    (void)arg;
    o.segment_bytes = 64 << 10;
    o.read_only = 1;
    l->s = (blob_store *)(void *)large;
    return blob_logstore_open(&l->s, l->dir, &o);
}

static inline void life_is_read(life *l)
{
    if (l->lazy_version > 0 || !does(l, act_open_read_only, 0, 0, 0))
        return;
    for (size_t k = 0; k < KEYS; k++)
        does(l, act_get, k, l->held[k], l->held[k] > 0 ? 0 : BLOB_NOT_FOUND);
    does(l, act_list, 0, held(l), 0);
    life_closes(l);
}

/* True: nothing was refused. */
static inline bool life_lives(const breed *b, const scarce_plan *plan)
{
    unsigned descriptors = scarce_descriptors();
    life l = {.breed = b, .plan = *plan, .dir = test_dir_make()};
    long refused;

    if (b->begin != NULL)
        b->begin();
    scarce_begin(plan);
    if (does(&l, act_open, 0, 0, 0)) {
        life_changes(&l);
        life_looks(&l);
        life_closes(&l);
        if (b->is_log)
            life_is_read(&l);
    }
    refused = scarce_end();
    if (l.inner != NULL || b->lasting) {
        test_ok(SCARCE(act_open(&l, 0, 0)));
        if (l.lazy_version > 0 && l.held[l.lazy_key] == 0 && test_has(l.s, key_of(&l, l.lazy_key)))
            l.held[l.lazy_key] = l.lazy_version;
        look(&l);
        life_closes(&l);
    }
    test_ok(l.inner != NULL ? blob_store_close(l.inner, NULL) : 0);
    test_dir_remove(l.dir);
    if (b->end != NULL)
        b->end();
    if (scarce_blocks() != 0 || scarce_descriptors() != descriptors)
        fail_msg("%s, kinds %u, nth %ld: %zu blocks and %d descriptors not given back", b->name, plan->kinds, plan->nth,
                 scarce_blocks(), (int)scarce_descriptors() - (int)descriptors);
    return refused == 0;
}

static inline void lives(const breed *b, scarce_plan plan)
{
    scarce_reset();
    while (!life_lives(b, &plan)) /* folders have hundreds of folders: from each of them on would be too much */
        plan.nth += plan.kinds == SCARCE_FILES && plan.count == SCARCE_FOR_GOOD ? 1 + plan.nth / 16 : 1;
    if (plan.kinds == SCARCE_MEMORY && plan.whose == SCARCE_CALLERS)
        assert_true(plan.nth >= b->at_least);
}

static inline void in_every_way(const breed *b)
{
    static const unsigned kinds[] = {SCARCE_MEMORY, SCARCE_THREADS, SCARCE_FILES, SCARCE_LOCKS};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        lives(b, (scarce_plan){.kinds = kinds[i]});
        lives(b, (scarce_plan){.kinds = kinds[i], .count = SCARCE_FOR_GOOD});
    }
    lives(b, (scarce_plan){.kinds = SCARCE_FILES, .count = SCARCE_FOR_GOOD, .system_wide = true});
}

static inline int set_up(void **state)
{
    (void)state;
    test_watchdog(250);
    if (access("/dev/shm", W_OK) == 0) /* so many lives wear out a disk, and patience */
        setenv("TMPDIR", "/dev/shm", 0);
    memset(large, 'L', sizeof large);
    return 0;
}

#endif
