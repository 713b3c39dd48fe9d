/* test_oom_wbstore.c - each thing that a wrapper asks the system for is refused: once, from there on, or for a while and to
 * each of its threads. What was accepted is in the base when there is enough again, what was refused says so, nothing
 * hangs or leaks, and the same wrapper goes on.
 *
 * One life of a wrapper is lived again and again, each time with the next allocation (thread, descriptor, lock) refused,
 * until one passes in which none was. */
#include "scarce.h"
#include "testutil.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wbstore/wbstore.h>

enum { BLOBS = 6 };

/* What must have become of a blob. MAYBE: a call that is about it failed, and not with a clear refusal. */
typedef enum fate { GONE = 0, KEPT, MAYBE } fate;

typedef int open_fn(blob_store **out, const char *dir);

static uint64_t blobs_max; /* of the buffer, which overflows into the base; 0: no bound */

typedef struct life {
    const scarce_plan *plan;
    char *dir;
    blob_store *mem, *base, *buf;
    wbstore *w;
    blob_address keys[BLOBS];
    fate fates[BLOBS];
    uint64_t ticket; /* the last that was given */
} life;

static bool is_want(int rc)
{
    return rc == -ENOMEM || rc == -EAGAIN || rc == -EMFILE;
}

/* The status of a call that may fail for want of something, but for nothing else. */
static int maybe(const life *l, int rc, const char *what)
{
    if (rc != 0 && !is_want(rc))
        fail_msg("%s, kinds %u, nth %ld, count %ld: %d (%s)", what, l->plan->kinds, l->plan->nth, l->plan->count, rc,
                 blob_strerror(rc));
    return rc;
}
#define MAYBE_FAILS(l, call) maybe((l), SCARCE(call), #call)

static blob_view blob_of(unsigned i, char room[32])
{
    int size = snprintf(room, 32, "a life's %u", i);

    return blob_view_of(room, (size_t)size);
}

static blob_key key_of(const life *l, unsigned i)
{
    return blob_address_key(&l->keys[i]);
}

/* ---- what is there ---- */

/* In this order: it may be on its way. */
static bool is_there(const life *l, unsigned i)
{
    char room[32];
    blob_view want = blob_of(i, room);
    blob *b = NULL;

    if (blob_store_get(l->buf, NULL, key_of(l, i), &b) != 0 && blob_store_get(l->mem, NULL, key_of(l, i), &b) != 0)
        return false;
    assert_int_equal(b->size, want.size);
    assert_memory_equal(b->data, want.data, want.size);
    blob_unref(b);
    return true;
}

static void nothing_is_lost(const life *l, const char *when)
{
    for (unsigned i = 0; i < BLOBS; i++)
        if (l->fates[i] != MAYBE && is_there(l, i) != (l->fates[i] == KEPT))
            fail_msg("%s, kinds %u, nth %ld, count %ld: blob %u is %sthere", when, l->plan->kinds, l->plan->nth,
                     l->plan->count, i, l->fates[i] == KEPT ? "not " : "");
}

/* ---- the calls of a life ---- */

static void life_puts(life *l, unsigned i)
{
    char room[32];
    blob_view v = blob_of(i, room);
    uint64_t ticket = 1;
    int rc = MAYBE_FAILS(l, wbstore_cas_put_ticket(l->w, NULL, v.data, v.size, NULL, &ticket));

    assert_true((ticket > 0) == (rc == 0));
    if (rc == 0) {
        l->fates[i] = KEPT;
        l->ticket = ticket;
    } else if (rc != -ENOMEM && l->fates[i] == GONE) {
        l->fates[i] = MAYBE;
    }
}

/* Where the buffer's half fails, what was pending still is; what was in the base only may be gone. */
static void life_deletes(life *l, unsigned i, bool pending)
{
    int rc = SCARCE(wbstore_delete(l->w, NULL, key_of(l, i)));

    if (rc == BLOB_NOT_FOUND)
        assert_int_not_equal(l->fates[i], KEPT);
    else
        maybe(l, rc, "delete");
    if (rc == 0 || rc == BLOB_NOT_FOUND)
        l->fates[i] = GONE;
    else if (!pending || rc != -ENOMEM)
        l->fates[i] = MAYBE;
}

static void life_replaces(life *l, unsigned i)
{
    char room[32];
    int rc = MAYBE_FAILS(l, wbstore_put(l->w, NULL, key_of(l, i), blob_of(i, room), BLOB_REPLACE));

    if (rc == 0)
        l->fates[i] = KEPT;
    else if (l->fates[i] == GONE) /* the base may have it, and the call failed with what came after */
        l->fates[i] = MAYBE;
}

static int see_key(void *arg, blob_key key, uint64_t size)
{
    (void)key;
    (void)size;
    ++*(unsigned *)arg;
    return 0;
}

static int see_pending(void *arg, const wbstore_pending_info *info)
{
    (void)info;
    ++*(unsigned *)arg;
    return 0;
}

static void life_reads(life *l, unsigned i)
{
    uint64_t size = 0;
    blob *b = NULL;
    int rc = SCARCE(wbstore_get(l->w, NULL, key_of(l, i), &b));

    assert_true((b != NULL) == (rc == 0));
    blob_unref(b);
    if (rc != BLOB_NOT_FOUND || l->fates[i] == KEPT)
        maybe(l, rc, "get");
    rc = SCARCE(wbstore_size(l->w, NULL, key_of(l, i), &size));
    if (rc != BLOB_NOT_FOUND || l->fates[i] == KEPT)
        maybe(l, rc, "size");
}

static void life_looks(life *l)
{
    wbstore_stats stats = {.struct_size = sizeof stats};
    unsigned seen = 0, kept = 0;
    uint64_t len = 0;

    for (unsigned i = 0; i < BLOBS; i++) {
        life_reads(l, i);
        kept += l->fates[i] == KEPT;
    }
    if (MAYBE_FAILS(l, wbstore_list(l->w, NULL, test_key(""), see_key, &seen)) == 0)
        assert_true(seen >= kept);
    if (MAYBE_FAILS(l, blob_store_len(wbstore_as_store(l->w), NULL, &len)) == 0)
        assert_true(len >= kept);
    MAYBE_FAILS(l, wbstore_pending(l->w, see_pending, &seen));
    wbstore_get_stats(l->w, &stats);
    assert_int_equal(stats.accepted + stats.resumed, stats.sent + stats.deleted + stats.pending_blobs);
}

static void life_waits(life *l)
{
    blob_key keys[BLOBS];

    for (unsigned i = 0; i < BLOBS; i++)
        keys[i] = key_of(l, i);
    MAYBE_FAILS(l, wbstore_rescan(l->w, NULL));
    MAYBE_FAILS(l, wbstore_retry_parked(l->w));
    MAYBE_FAILS(l, wbstore_wait_keys(l->w, NULL, keys, BLOBS));
    MAYBE_FAILS(l, wbstore_wait(l->w, NULL, l->ticket));
    MAYBE_FAILS(l, wbstore_sync(l->w, NULL));
}

static void life_passes(life *l)
{
    MAYBE_FAILS(l, wbstore_pause(l->w));
    for (unsigned i = 0; i < BLOBS; i++)
        life_puts(l, i);
    life_deletes(l, 1, true);
    MAYBE_FAILS(l, wbstore_resume(l->w));
    life_replaces(l, 0);
    life_looks(l);
    life_waits(l);
    life_deletes(l, 4, false);
    life_puts(l, 4);
    life_replaces(l, 1);
    life_looks(l);
}

/* ---- from beginning to end ---- */

static void life_begins(life *l, open_fn *open)
{
    char room[32];

    *l = (life){.dir = test_dir_make()};
    test_ok(blob_memstore_new(&l->mem));
    test_ok(blob_hashcas_new(&l->base, l->mem, blob_hash_sha256()));
    test_ok(SCARCE(open(&l->buf, l->dir)));
    test_put(l->buf, test_key("left from before"), "old");
    for (unsigned i = 0; i < BLOBS; i++)
        test_ok(blob_store_cas_key(l->base, NULL, blob_of(i, room), &l->keys[i]));
}

/* There is enough of all again: the wrapper goes on as if nothing had been. */
static void life_goes_on(life *l)
{
    int rc;

    nothing_is_lost(l, "in need");
    life_puts(l, 5);
    assert_int_equal(l->fates[5], KEPT);
    while ((rc = SCARCE(wbstore_sync(l->w, NULL))) != 0 && is_want(rc)) /* the listing of the start is tried again */
        sched_yield();
    test_ok(rc);
    assert_int_equal(test_len(l->buf), 0);
    nothing_is_lost(l, "at the end");
    test_expect(l->mem, test_key("left from before"), "old");
    test_ok(SCARCE(wbstore_close(l->w, NULL)));
    wbstore_free(l->w);
}

static void life_ends(life *l, unsigned descriptors)
{
    test_ok(blob_store_close(l->base, NULL));
    test_ok(blob_store_close(l->mem, NULL));
    test_ok(SCARCE(blob_store_close(l->buf, NULL)));
    test_dir_remove(l->dir);
    if (scarce_blocks() != 0 || scarce_threads() != 0 || scarce_descriptors() != descriptors)
        fail_msg("kinds %u, nth %ld, count %ld: %zu blocks, %u threads, %d descriptors not given back", l->plan->kinds,
                 l->plan->nth, l->plan->count, scarce_blocks(), scarce_threads(),
                 (int)scarce_descriptors() - (int)descriptors);
}

/* How much was refused. */
static long life_lives(open_fn *open, const scarce_plan *plan)
{
    wbstore_options o = wbstore_options_default();
    unsigned descriptors = scarce_descriptors();
    long refused;
    life l;

    o.retry_min_ms = o.retry_max_ms = 1;
    o.unified_view = 1;
    o.buffer_blobs_max = blobs_max;
    o.when_full = WBSTORE_FULL_WRITE_THROUGH;
    life_begins(&l, open);
    l.plan = plan;
    scarce_begin(plan);
    if (MAYBE_FAILS(&l, wbstore_new(&l.w, NULL, l.base, l.buf, &o)) == 0)
        life_passes(&l);
    refused = scarce_end();
    assert_true((l.w != NULL) || refused > 0);
    if (l.w != NULL)
        life_goes_on(&l);
    life_ends(&l, descriptors);
    return refused;
}

/* Descriptors: test_oom_stores.c refuses each of those that a listing of a folder's hundreds of folders opens. Here some of
 * them will do. */
static void lives(open_fn *open, scarce_plan plan, long at_least)
{
    scarce_reset();
    while (life_lives(open, &plan) > 0)
        plan.nth += (plan.kinds & SCARCE_FILES) != 0 ? 1 + plan.nth / 16 : 1;
    if (plan.nth < at_least)
        fail_msg("kinds %u: refused %ld times only", plan.kinds, plan.nth);
}

static int open_mem(blob_store **out, const char *dir)
{
    (void)dir;
    return blob_memstore_new(out);
}

static int open_file(blob_store **out, const char *dir)
{
    return blob_filestore_open(out, dir, NULL);
}

static int open_log(blob_store **out, const char *dir)
{
    blob_logstore_options o = blob_logstore_options_default();

    o.segment_bytes = 64 << 10;
    o.cache_bytes = 1;
    return blob_logstore_open(out, dir, &o);
}

/* ---- the tests ---- */

static void what_a_call_lacks_it_says_and_nothing_is_lost(open_fn *open)
{
    static const long counts[] = {1, SCARCE_FOR_GOOD};

    for (size_t i = 0; i < 2; i++) {
        lives(open, (scarce_plan){.kinds = SCARCE_MEMORY, .count = counts[i]}, 12);
        lives(open, (scarce_plan){.kinds = SCARCE_LOCKS, .count = counts[i]}, 5);
        lives(open, (scarce_plan){.kinds = SCARCE_THREADS, .count = counts[i]}, 1);
        lives(open, (scarce_plan){.kinds = SCARCE_FILES, .count = counts[i]}, 0);
    }
}

static void calls_on_a_memory_buffer_fail_cleanly(void **state)
{
    (void)state;
    what_a_call_lacks_it_says_and_nothing_is_lost(open_mem);
}

static void calls_on_a_folder_fail_cleanly(void **state)
{
    (void)state;
    what_a_call_lacks_it_says_and_nothing_is_lost(open_file);
}

static void calls_on_a_log_fail_cleanly(void **state)
{
    (void)state;
    what_a_call_lacks_it_says_and_nothing_is_lost(open_log);
}

static void calls_that_write_through_fail_cleanly(void **state)
{
    (void)state;
    blobs_max = 3; /* what was left from before, and the first two, one of which is deleted while it is pending */
    what_a_call_lacks_it_says_and_nothing_is_lost(open_mem);
}

/* Housekeeper, writers and whoever tells of events; and the log's keeper, which were all of them are born there. */
static void what_the_threads_of_a_wrapper_lack_they_do_later(void **state)
{
    static const unsigned kinds[] = {SCARCE_MEMORY, SCARCE_THREADS, SCARCE_FILES, SCARCE_LOCKS};
    static open_fn *const opens[] = {open_mem, open_file, open_log};

    (void)state;
    for (size_t k = 0; k < 4; k++)
        for (size_t i = 0; i < 3; i++) {
            lives(opens[i], (scarce_plan){.kinds = kinds[k], .whose = SCARCE_LIBRARYS}, kinds[k] == SCARCE_MEMORY);
            lives(opens[i], (scarce_plan){.kinds = kinds[k], .whose = SCARCE_LIBRARYS, .count = 20}, 0);
        }
}

static void what_each_thread_of_a_wrapper_lacks_once_it_does_later(void **state)
{
    (void)state;
    lives(open_mem, (scarce_plan){.kinds = SCARCE_MEMORY, .whose = SCARCE_LIBRARYS, .each = true}, 1);
    lives(open_file, (scarce_plan){.kinds = SCARCE_MEMORY | SCARCE_FILES, .whose = SCARCE_LIBRARYS, .each = true}, 1);
    lives(open_log, (scarce_plan){.kinds = SCARCE_MEMORY | SCARCE_FILES, .whose = SCARCE_LIBRARYS, .each = true}, 1);
}

static int set_up(void **state)
{
    (void)state;
    test_watchdog(250);
    blobs_max = 0;
    if (access("/dev/shm", W_OK) == 0) /* so many lives wear out a disk, and patience */
        setenv("TMPDIR", "/dev/shm", 0);
    scarce_reset();
    return 0;
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(calls_on_a_memory_buffer_fail_cleanly),
        TEST(calls_that_write_through_fail_cleanly),
        TEST(calls_on_a_folder_fail_cleanly),
        TEST(calls_on_a_log_fail_cleanly),
        TEST(what_the_threads_of_a_wrapper_lack_they_do_later),
        TEST(what_each_thread_of_a_wrapper_lacks_once_it_does_later),
    };

    return cmocka_run_group_tests_name("a wrapper, and nothing to work with", tests, NULL, NULL);
}
