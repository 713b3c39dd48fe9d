/* test_logstore.c - the log as its callers know it: options, bounds, cache, numbers, reading only, segments turned over.
 * What outlives crashes and faults is in test_logstore_power, _faults and _rot; the contract in test_conform_stores. */
#include "simdisk.h"
#include "sleeper.h"
#include "testutil.h"
#include "logstore/logstore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEGMENT ((uint64_t)64 << 10)

typedef struct rig {
    simdisk *disk;
    blob_logstore_options options;
    blob_store *s;
} rig;

static void rig_open(rig *r)
{
    test_ok(wb_log_open(&r->s, simdisk_mount(r->disk), "log", &r->options, LOG_NO_KEEPER));
}

static void rig_start(rig *r)
{
    test_watchdog(120);
    *r = (rig){.disk = simdisk_new(1), .options = blob_logstore_options_default()};
    r->options.segment_bytes = SEGMENT;
    rig_open(r);
}

static void rig_reopen(rig *r)
{
    test_ok(blob_store_close(r->s, NULL));
    rig_open(r);
}

static void rig_end(rig *r)
{
    test_ok(blob_store_close(r->s, NULL));
    simdisk_free(r->disk);
}

/* The n-th key; good for eight calls. */
static blob_key key_of(unsigned n)
{
    static char names[8][16];
    static unsigned next;
    char *name = names[next++ % 8];

    snprintf(name, sizeof names[0], "key %06u", n);
    return test_key(name);
}

static int put(rig *r, unsigned n, size_t size, unsigned flags)
{
    void *payload = test_payload(n, size);
    int rc = blob_store_put(r->s, NULL, key_of(n), blob_view_of(payload, size), flags);

    free(payload);
    return rc;
}

static void expect_blob(rig *r, unsigned n, size_t size)
{
    void *payload = test_payload(n, size);
    blob *b = NULL;

    test_ok(blob_store_get(r->s, NULL, key_of(n), &b));
    assert_int_equal(b->size, size);
    assert_memory_equal(b->data, payload, size);
    blob_unref(b);
    free(payload);
}

static blob_logstore_info info_of(rig *r)
{
    blob_logstore_info info = {.struct_size = sizeof info};

    test_ok(blob_logstore_get_info(r->s, &info));
    return info;
}

static void expect_words(int status, const char *words)
{
    blob_error error;

    blob_last_error(&error);
    assert_int_equal(error.status, status);
    if (strstr(error.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, words);
}

/* ---- opening ---- */

static int open_with(const blob_logstore_options *o)
{
    char *dir = test_dir_make();
    blob_store *s = NULL;
    int rc = blob_logstore_open(&s, dir, o);

    assert_true((s != NULL) == (rc == 0));
    if (s != NULL)
        test_ok(blob_store_close(s, NULL));
    test_dir_remove(dir);
    return rc;
}

static void options_that_cannot_be_are_refused(void **state)
{
    blob_logstore_options o = blob_logstore_options_default();
    blob_store *s = NULL;
    (void)state;

    test_status(blob_logstore_open(NULL, "x", NULL), -EINVAL);
    test_status(blob_logstore_open(&s, NULL, NULL), -EINVAL);
    test_status(blob_logstore_open(&s, "", NULL), -EINVAL);
    o.segment_bytes = SEGMENT - 4096;
    test_status(open_with(&o), -EINVAL);
    o.segment_bytes = SEGMENT + 1;
    test_status(open_with(&o), -EINVAL);
    o.segment_bytes = ((uint64_t)1 << 30) + 4096;
    test_status(open_with(&o), -EINVAL);
    o.segment_bytes = 0;
    o.sync = (blob_logstore_sync)3;
    test_status(open_with(&o), -EINVAL);
    o.sync = BLOB_LOGSTORE_SYNC_EACH;
    o.sync_interval_ms = -1;
    test_status(open_with(&o), -EINVAL);
    o.sync_interval_ms = 0;
    o.read_only = 2;
    test_status(open_with(&o), -EINVAL);
    o.read_only = 0;
    o.struct_size = 1;
    test_status(open_with(&o), -EINVAL);
    o.struct_size = SIZE_MAX;
    test_status(open_with(&o), -EINVAL);
    o.struct_size = sizeof o;
    test_status(open_with(&o), 0);
}

static void a_second_opener_is_told_where(void **state)
{
    char *dir = test_dir_make();
    blob_store *s, *other;
    (void)state;

    test_ok(blob_logstore_open(&s, dir, NULL));
    test_status(blob_logstore_open(&other, dir, NULL), -EBUSY);
    assert_null(other);
    expect_words(-EBUSY, dir);
    test_ok(blob_store_close(s, NULL));
    test_ok(blob_logstore_open(&s, dir, NULL));
    test_ok(blob_store_close(s, NULL));
    test_dir_remove(dir);
}

static void what_is_no_log_is_told_apart(void **state)
{
    blob_logstore_info info = {.struct_size = sizeof info};
    blob_store *s;
    blob *b;
    (void)state;

    test_ok(blob_memstore_new(&s));
    info.blobs = 99;
    test_status(blob_logstore_get_info(s, &info), -EINVAL);
    assert_int_equal(info.blobs, 0);
    assert_int_equal(info.struct_size, sizeof info);
    info.blobs = 99;
    test_status(blob_logstore_get_info(NULL, &info), -EINVAL);
    assert_int_equal(info.blobs, 0);
    test_status(blob_logstore_get_info(s, NULL), -EINVAL);
    test_status(blob_logstore_salvage(s, NULL, test_key("a"), &b), -EINVAL);
    assert_null(b);
    test_status(blob_logstore_findings(s, NULL, 0, NULL, NULL), -EINVAL);
    test_ok(blob_store_close(s, NULL));
}

/* A newer version in the header, with its checksum right. */
static void a_newer_format_is_refused(void **state)
{
    unsigned char block[LOG_BLOCK];
    log_header h;
    rig r;
    (void)state;

    rig_start(&r);
    test_ok(put(&r, 1, 10, 0));
    test_ok(blob_store_close(r.s, NULL));
    simdisk_peek(r.disk, "0000000000000001.log", 0, block, sizeof block);
    assert_true(wb_log_header_decode(block, &h));
    h.version = LOG_VERSION + 1;
    wb_log_header_encode(block, &h);
    simdisk_poke(r.disk, "0000000000000001.log", 0, block, sizeof block);
    test_status(wb_log_open(&r.s, simdisk_mount(r.disk), "log", &r.options, LOG_NO_KEEPER), BLOB_UNSUPPORTED);
    h.version = LOG_VERSION;
    h.features = 1;
    wb_log_header_encode(block, &h);
    simdisk_poke(r.disk, "0000000000000001.log", 0, block, sizeof block);
    test_status(wb_log_open(&r.s, simdisk_mount(r.disk), "log", &r.options, LOG_NO_KEEPER), BLOB_UNSUPPORTED);
    h.features = 0;
    wb_log_header_encode(block, &h);
    simdisk_poke(r.disk, "0000000000000001.log", 0, block, sizeof block);
    rig_open(&r);
    expect_blob(&r, 1, 10);
    rig_end(&r);
}

static void opening_and_closing_writes_nothing(void **state)
{
    uint64_t writes, creates;
    rig r;
    (void)state;

    rig_start(&r);
    test_ok(put(&r, 1, 100, 0));
    test_ok(blob_store_close(r.s, NULL));
    writes = simdisk_calls(r.disk, SIMDISK_WRITE);
    creates = simdisk_calls(r.disk, SIMDISK_CREATE);
    for (unsigned i = 0; i < 3; i++) {
        rig_open(&r);
        expect_blob(&r, 1, 100);
        test_ok(blob_store_close(r.s, NULL));
    }
    assert_int_equal(simdisk_calls(r.disk, SIMDISK_WRITE), writes);
    assert_int_equal(simdisk_calls(r.disk, SIMDISK_CREATE), creates);
    rig_open(&r);
    rig_end(&r);
}

/* ---- bounds ---- */

static void the_bound_in_bytes_is_kept(void **state)
{
    unsigned count = 0;
    rig r;
    (void)state;

    rig_start(&r);
    r.options.bytes_max = 40960;
    rig_reopen(&r);
    test_status(put(&r, 1000, 40960, 0), BLOB_REJECTED);
    while (put(&r, count, 3000, 0) == 0)
        count++;
    assert_int_equal(count, 10); /* a block each */
    test_status(put(&r, count, 3000, 0), BLOB_FULL);
    assert_true(info_of(&r).live_bytes <= r.options.bytes_max);
    test_status(put(&r, 0, 3000, 0), BLOB_EXISTS);
    test_ok(blob_store_delete(r.s, NULL, key_of(3), BLOB_LAZY));
    test_ok(put(&r, count, 3000, 0));
    test_status(put(&r, count + 1, 3000, 0), BLOB_FULL);
    /* The blobs that are there are there at the next start, whatever the bound is then. */
    r.options.bytes_max = 4096;
    rig_reopen(&r);
    assert_int_equal(test_len(r.s), 10);
    test_status(put(&r, count + 1, 1, 0), BLOB_FULL);
    rig_end(&r);
}

/* Sizes around everything that has a size: nothing, blocks, the stage, the segment. */
static void blobs_of_every_size_come_back(void **state)
{
    static const size_t around[] = {0, 4096, SEGMENT, LOG_STAGE, LOG_PAGE, 4 * SEGMENT + 77, LOG_BATCH_MAX};
    unsigned n = 0;
    rig r;
    (void)state;

    rig_start(&r);
    for (int cached = 1; cached >= 0; cached--) {
        n = 0;
        for (size_t i = 0; i < sizeof around / sizeof around[0]; i++)
            for (size_t below = around[i] < 200 ? around[i] : 200, size = around[i] - below; size <= around[i] + 9;
                 size += 19, n++) {
                if (cached)
                    test_ok(put(&r, n, size, 0));
                expect_blob(&r, n, size);
            }
        r.options.cache_bytes = 1;
        rig_reopen(&r);
        assert_int_equal(test_len(r.s), n);
    }
    assert_int_equal(info_of(&r).damaged_records, 0);
    rig_end(&r);
}

/* ---- the cache ---- */

static void the_newest_blobs_are_in_memory_and_shared(void **state)
{
    uint64_t reads;
    blob *a, *b;
    rig r;
    (void)state;

    rig_start(&r);
    r.options.cache_bytes = 10000;
    rig_reopen(&r);
    for (unsigned n = 0; n < 4; n++)
        test_ok(put(&r, n, 3000, 0));
    reads = simdisk_calls(r.disk, SIMDISK_READ);
    for (unsigned n = 1; n < 4; n++)
        expect_blob(&r, n, 3000);
    test_ok(blob_store_get(r.s, NULL, key_of(2), &a));
    test_ok(blob_store_get(r.s, NULL, key_of(2), &b));
    assert_ptr_equal(a, b);
    assert_int_equal(simdisk_calls(r.disk, SIMDISK_READ), reads);
    expect_blob(&r, 0, 3000); /* the oldest has made room */
    assert_true(simdisk_calls(r.disk, SIMDISK_READ) > reads);
    /* What was handed out outlives replacement, deletion and the store. */
    test_ok(put(&r, 2, 100, BLOB_REPLACE));
    expect_blob(&r, 2, 100);
    test_ok(blob_store_delete(r.s, NULL, key_of(2), 0));
    rig_end(&r);
    assert_int_equal(a->size, 3000);
    blob_unref(a);
    blob_unref(b);
}

/* Small blobs cost more than their bytes. */
static void the_cache_counts_what_it_takes(void **state)
{
    rig r;
    (void)state;

    rig_start(&r);
    r.options.cache_bytes = 1;
    rig_reopen(&r);
    for (unsigned n = 0; n < 10; n++)
        test_ok(put(&r, n, n % 2, 0));
    assert_null(wb_log_of(r.s)->cache_newest);
    r.options.cache_bytes = 2000;
    rig_reopen(&r);
    for (unsigned n = 10; n < 100; n++)
        test_ok(put(&r, n, 0, 0));
    assert_non_null(wb_log_of(r.s)->cache_newest);
    assert_true(wb_log_of(r.s)->cache_bytes <= 2000 && wb_log_of(r.s)->cache_bytes >= 1700);
    rig_end(&r);
}

/* ---- segments turned over ---- */

/* Puts and deletes like a buffer that drains: the steady state makes and removes no files. */
static void the_steady_state_makes_and_removes_no_files(void **state)
{
    uint64_t creates = 0, removes = 0;
    rig r;
    (void)state;

    rig_start(&r);
    for (unsigned n = 0; n < 600; n++) {
        test_ok(put(&r, n, 5000, 0));
        if (n >= 10)
            test_ok(blob_store_delete(r.s, NULL, key_of(n - 10), BLOB_LAZY));
        if (n % 8 == 0)
            test_ok(wb_log_keep(r.s));
        if (n == 100) {
            creates = simdisk_calls(r.disk, SIMDISK_CREATE);
            removes = simdisk_calls(r.disk, SIMDISK_REMOVE);
        }
    }
    assert_true(info_of(&r).segments > 0);
    assert_int_equal(simdisk_calls(r.disk, SIMDISK_CREATE), creates);
    assert_int_equal(simdisk_calls(r.disk, SIMDISK_REMOVE), removes);
    assert_int_equal(test_len(r.s), 10);
    rig_end(&r);
}

/* What the numbers say is what the folder has. */
static void expect_true_numbers(rig *r, const blob_logstore_info *info)
{
    char names[512][LOG_NAME_MAX];
    uint64_t bytes = 0, segments = 0, spares = 0, number;
    size_t count = simdisk_files(r->disk, names, 512);

    for (size_t i = 0; i < count; i++) {
        log_name kind = wb_log_name_parse(names[i], &number);
        assert_true(kind == LOG_NAME_SEGMENT || kind == LOG_NAME_SPARE);
        segments += kind == LOG_NAME_SEGMENT;
        spares += kind == LOG_NAME_SPARE;
        bytes += simdisk_file_size(r->disk, names[i]);
    }
    assert_int_equal(info->segments, segments);
    assert_int_equal(info->spare_segments, spares);
    assert_int_equal(info->disk_bytes, bytes);
}

static void expect_within_bound(rig *r, unsigned step)
{
    blob_logstore_info info = info_of(r);

    expect_true_numbers(r, &info);
    if (info.disk_bytes > 2 * info.live_bytes + 3 * SEGMENT)
        fail_msg("step %u: %llu bytes on the disk, %llu live, %llu segments and %llu spares", step,
                 (unsigned long long)info.disk_bytes, (unsigned long long)info.live_bytes,
                 (unsigned long long)info.segments, (unsigned long long)info.spare_segments);
}

static void a_log_is_never_larger_than_it_promises(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 20; seed++) {
        test_rng rng = {.state = seed};
        rig r;

        rig_start(&r);
        for (unsigned step = 0; step < 400; step++) {
            unsigned n = (unsigned)test_random_below(&rng, 40);
            size_t size = (size_t)test_random_below(&rng, test_random_below(&rng, 20) == 0 ? 3 * SEGMENT : 6000);
            uint64_t what = test_random_below(&rng, 10);

            if (what < 5 + seed % 3)
                test_ok(put(&r, n, size, BLOB_REPLACE));
            else
                (void)blob_store_delete(r.s, NULL, key_of(n), what == 9 ? 0 : BLOB_LAZY);
            if (step % 100 == 99)
                rig_reopen(&r);
            test_ok(wb_log_keep(r.s));
            expect_within_bound(&r, step);
        }
        assert_int_equal(info_of(&r).damaged_records, 0);
        rig_end(&r);
    }
}

/* One blob that stays must not hold on to the segments of all the others. */
static void a_straggler_is_copied_forward(void **state)
{
    rig r;
    (void)state;

    rig_start(&r);
    r.options.cache_bytes = 1;
    rig_reopen(&r);
    test_ok(put(&r, 100000, 777, 0));
    for (unsigned n = 0; n < 300; n++) {
        test_ok(put(&r, n, 5000, 0));
        test_ok(blob_store_delete(r.s, NULL, key_of(n), 0));
        test_ok(wb_log_keep(r.s));
    }
    assert_true(info_of(&r).segments <= 5);
    assert_false(simdisk_has_file(r.disk, "0000000000000001.log"));
    expect_blob(&r, 100000, 777);
    rig_reopen(&r);
    expect_blob(&r, 100000, 777);
    assert_int_equal(test_len(r.s), 1);
    rig_end(&r);
}

/* Blobs of which one goes into a segment: copying them forward would gain nothing. */
static void a_log_that_cannot_be_smaller_is_left_alone(void **state)
{
    uint64_t writes;
    rig r;
    (void)state;

    rig_start(&r);
    for (unsigned n = 0; n < 80; n++) {
        test_ok(put(&r, n, 28500, 0));
        test_ok(wb_log_keep(r.s));
        expect_within_bound(&r, n);
    }
    writes = simdisk_calls(r.disk, SIMDISK_WRITE);
    for (unsigned i = 0; i < 5; i++)
        test_ok(wb_log_keep(r.s));
    assert_int_equal(simdisk_calls(r.disk, SIMDISK_WRITE), writes);
    rig_end(&r);
}

/* Each opening makes a segment of its own: they are put together again. */
static void many_openings_make_no_large_log(void **state)
{
    rig r;
    (void)state;

    rig_start(&r);
    for (unsigned n = 0; n < 300; n++) {
        test_ok(put(&r, n, 3, 0));
        test_ok(wb_log_keep(r.s));
        expect_within_bound(&r, n);
        rig_reopen(&r);
    }
    assert_int_equal(test_len(r.s), 300);
    rig_end(&r);
}

/* More tombstones wait than go into one batch, and the last of them is of the key that is put. */
static void a_put_does_not_overtake_the_tombstone_of_its_key(void **state)
{
    char longest[BLOB_KEY_MAX];
    rig r;
    (void)state;

    rig_start(&r);
    memset(longest, 'x', sizeof longest);
    for (unsigned n = 0; n < 200; n++) {
        memcpy(longest, &n, sizeof n);
        test_ok(blob_store_put(r.s, NULL, blob_key_of(longest, sizeof longest), blob_view_of("", 0), 0));
    }
    test_ok(put(&r, 1, 10, 0));
    for (unsigned n = 0; n < 200; n++) {
        memcpy(longest, &n, sizeof n);
        test_ok(blob_store_delete(r.s, NULL, blob_key_of(longest, sizeof longest), BLOB_LAZY));
    }
    test_ok(blob_store_delete(r.s, NULL, key_of(1), BLOB_LAZY));
    for (unsigned n = 1; n < 5; n++)
        test_ok(put(&r, n, 10, 0));
    rig_reopen(&r);
    for (unsigned n = 1; n < 5; n++)
        expect_blob(&r, n, 10);
    assert_int_equal(test_len(r.s), 4);
    rig_end(&r);
}

/* A full disk without a reserve, and more tombstones than go into one batch: whoever waits is told so. */
static void nobody_waits_for_ever_on_a_full_disk(void **state)
{
    char longest[BLOB_KEY_MAX];
    logstore *l;
    rig r;
    (void)state;

    rig_start(&r);
    l = wb_log_of(r.s);
    memset(longest, 'x', sizeof longest);
    for (unsigned n = 0; n < 200; n++) {
        memcpy(longest, &n, sizeof n);
        test_ok(blob_store_put(r.s, NULL, blob_key_of(longest, sizeof longest), blob_view_of("", 0), 0));
    }
    simdisk_capacity(r.disk, simdisk_used(r.disk));
    l->spare_count = 0; /* as if it had been used up */
    for (unsigned n = 0; n < 200; n++) {
        memcpy(longest, &n, sizeof n);
        test_ok(blob_store_delete(r.s, NULL, blob_key_of(longest, sizeof longest), BLOB_LAZY));
    }
    while (wb_log_fits(l, LOG_SEGMENT_MIN / 4, 20000)) /* the active segment is full as well */
        l->tail += LOG_BLOCK;
    l->oldest->live_blobs++; /* and nothing can be retired */
    test_status(put(&r, 1, 10, 0), -ENOSPC);
    l->oldest->live_blobs--;
    simdisk_capacity(r.disk, 0);
    test_ok(put(&r, 1, 10, 0));
    assert_int_equal(test_len(r.s), 1);
    rig_end(&r);
}

/* ---- what two crashes left ---- */

typedef struct cutter {
    rig *r;
    unsigned names; /* the end comes after so many are changed, once the folder is synced */
    bool armed;
} cutter;

static void cutter_watch(void *arg, const simdisk_call *call)
{
    cutter *c = arg;

    if ((call->op == SIMDISK_RENAME || call->op == SIMDISK_REMOVE) && c->names > 0)
        c->armed = --c->names == 0;
    else if (c->armed && call->op != SIMDISK_SYNC_FOLDER)
        simdisk_off_at(c->r->disk, call->number, false);
}

static void rig_cut(rig *r)
{
    simdisk_watch(r->disk, NULL, NULL);
    simdisk_kill(r->disk);
    (void)blob_store_close(r->s, NULL); /* the process that is no more */
    rig_open(r);
}

/* The end comes once a new segment has its header and nothing else; the recovery cuts it off; the next end comes once the
 * segment before it has been retired, so it is the oldest one. */
static void an_empty_segment_that_was_cut_off_hides_nothing(void **state)
{
    cutter c;
    rig r;
    (void)state;

    rig_start(&r);
    r.options.sync = BLOB_LOGSTORE_SYNC_INTERVAL; /* so that two puts are in one tail */
    rig_reopen(&r);
    test_ok(put(&r, 1, 30000, 0));
    test_ok(put(&r, 2, 20000, 0));
    c = (cutter){.r = &r, .names = 1};
    simdisk_watch(r.disk, cutter_watch, &c);
    assert_int_not_equal(put(&r, 3, 30000, 0), 0); /* needs another segment */
    rig_cut(&r);
    expect_blob(&r, 1, 30000);
    c = (cutter){.r = &r, .names = 1};
    simdisk_watch(r.disk, cutter_watch, &c);
    (void)wb_log_keep(r.s);
    rig_cut(&r);
    assert_false(simdisk_has_file(r.disk, "0000000000000001.log"));
    assert_true(simdisk_has_file(r.disk, "0000000000000002.log"));
    expect_blob(&r, 1, 30000);
    expect_blob(&r, 2, 20000);
    assert_int_equal(info_of(&r).damaged_records, 0);
    rig_end(&r);
}

/* ---- reading only ---- */

static void a_log_can_be_read_beside_its_host(void **state)
{
    blob_logstore_options o = blob_logstore_options_default();
    char *dir = test_dir_make(), *none;
    blob_store *host, *reader;
    blob *b;
    (void)state;

    o.read_only = 1;
    none = test_dir_make();
    test_dir_remove(none);
    test_status(blob_logstore_open(&reader, "/nonexistent/log", &o), -ENOENT);
    test_ok(blob_logstore_open(&host, dir, NULL));
    test_ok(blob_store_put(host, NULL, test_key("a"), blob_view_of("bytes", 5), 0));
    test_ok(blob_logstore_open(&reader, dir, &o));
    test_ok(blob_store_put(host, NULL, test_key("b"), blob_view_of("later", 5), 0));
    test_ok(blob_store_get(reader, NULL, test_key("a"), &b));
    assert_memory_equal(b->data, "bytes", 5);
    blob_unref(b);
    test_status(blob_store_get(reader, NULL, test_key("b"), &b), BLOB_NOT_FOUND);
    test_status(blob_store_put(reader, NULL, test_key("c"), blob_view_of("x", 1), 0), BLOB_DENIED);
    test_status(blob_store_delete(reader, NULL, test_key("a"), 0), BLOB_DENIED);
    test_status(blob_store_delete(reader, NULL, test_key("a"), BLOB_LAZY), BLOB_DENIED);
    assert_int_equal(test_len(reader), 1);
    test_ok(blob_store_close(reader, NULL));
    test_ok(blob_store_close(host, NULL));
    test_dir_remove(dir);
}

static void reading_only_changes_nothing(void **state)
{
    uint64_t before, changes;
    rig r;
    (void)state;

    rig_start(&r);
    for (unsigned n = 0; n < 40; n++)
        test_ok(put(&r, n, 5000, 0));
    simdisk_kill(r.disk);
    (void)blob_store_close(r.s, NULL);
    before = simdisk_hash(r.disk);
    changes = simdisk_changes(r.disk);
    r.options.read_only = 1;
    rig_open(&r);
    for (unsigned n = 0; n < 40; n++)
        expect_blob(&r, n, 5000);
    assert_int_equal(info_of(&r).read_only, 1);
    test_ok(blob_store_close(r.s, NULL));
    assert_int_equal(simdisk_changes(r.disk), changes);
    assert_int_equal(simdisk_hash(r.disk), before);
    r.options.read_only = 0;
    rig_open(&r);
    rig_end(&r);
}

/* ---- damage ---- */

static int count_finding(void *arg, const blob_logstore_finding *finding)
{
    assert_non_null(finding->file);
    assert_non_null(finding->text);
    ++*(unsigned *)arg;
    return 0;
}

static unsigned count_findings(rig *r)
{
    unsigned count = 0;

    test_ok(blob_logstore_findings(r->s, NULL, 1, count_finding, &count));
    return count;
}

/* Header and payload of one blob, gone with their block: whoever opens the log, for reading only too, is told so. */
static void a_damaged_blob_is_never_told_to_be_gone(void **state)
{
    static const unsigned char zeroes[LOG_BLOCK];
    blob *b;
    rig r;
    (void)state;

    rig_start(&r);
    test_ok(put(&r, 1, 100, 0));
    test_ok(put(&r, 2, 100, 0));
    test_ok(blob_store_close(r.s, NULL));
    simdisk_poke(r.disk, "0000000000000001.log", LOG_BLOCK, zeroes, sizeof zeroes);
    for (r.options.read_only = 0; r.options.read_only < 2; r.options.read_only++) {
        rig_open(&r);
        test_status(blob_store_get(r.s, NULL, key_of(1), &b), BLOB_CORRUPT);
        test_ok(blob_logstore_salvage(r.s, NULL, key_of(1), &b));
        assert_int_equal(b->size, 100);
        blob_unref(b);
        expect_blob(&r, 2, 100);
        assert_int_equal(count_findings(&r), 1);
        assert_int_equal(info_of(&r).damaged_records, 1);
        test_ok(blob_store_close(r.s, NULL));
    }
    r.options.read_only = 0;
    rig_open(&r);

    test_ok(blob_store_delete(r.s, NULL, key_of(1), 0));
    test_ok(blob_store_delete(r.s, NULL, key_of(2), 0));
    test_ok(wb_log_keep(r.s));

    rig_end(&r);
}

static void what_cannot_be_read_is_a_finding_and_stops_nothing(void **state)
{
    simdisk_fault fault = {.ops = SIMDISK_BIT(SIMDISK_READ), .count = 2, .status = -EIO};
    blob *b;
    rig r;
    (void)state;

    rig_start(&r);
    r.options.cache_bytes = 1;
    rig_reopen(&r);
    for (unsigned n = 0; n < 5; n++)
        test_ok(put(&r, n, 100, 0));
    simdisk_fail(r.disk, &fault); /* the first blob, and its salvage */
    assert_int_equal(count_findings(&r), 1);
    assert_int_equal(simdisk_failed(r.disk), 2);
    simdisk_mend(r.disk);
    test_ok(blob_store_get(r.s, NULL, key_of(0), &b)); /* it was the disk, not the blob */
    blob_unref(b);
    rig_end(&r);
}

static int refuse_finding(void *arg, const blob_logstore_finding *finding)
{
    (void)arg;
    (void)finding;
    return -EPIPE;
}

/* Whatever ends these calls, nobody is told an older call's reason for it. */
static void findings_and_salvage_fail_for_a_reason_of_their_own(void **state)
{
    blob_ctx *ctx = new_ctx(NULL);
    unsigned count = 0;
    blob *b;
    rig r;
    (void)state;

    rig_start(&r);
    test_ok(put(&r, 1, 100, 0));
    test_ok(blob_store_close(r.s, NULL));
    simdisk_poke(r.disk, "0000000000000001.log", LOG_BLOCK + 100, "", 1);
    rig_open(&r);
    assert_int_equal(count_findings(&r), 1);
    blob_ctx_cancel(ctx);
    for (unsigned verify = 0; verify < 2; verify++) {
        blob_fail(-EXDEV, 0, "an older reason");
        test_status(blob_logstore_findings(r.s, ctx, verify, count_finding, &count), -ECANCELED);
        expect_words(-ECANCELED, "");
    }
    assert_int_equal(count, 0);
    blob_fail(-EXDEV, 0, "an older reason");
    test_status(blob_logstore_findings(r.s, NULL, 0, refuse_finding, NULL), -EPIPE);
    expect_words(-EPIPE, "");
    blob_fail(-EXDEV, 0, "an older reason");
    test_status(blob_logstore_salvage(r.s, NULL, key_of(2), &b), BLOB_NOT_FOUND);
    expect_words(BLOB_NOT_FOUND, "");
    blob_fail(-EXDEV, 0, "an older reason");
    test_status(blob_logstore_salvage(r.s, ctx, key_of(1), &b), -ECANCELED);
    expect_words(-ECANCELED, "");
    assert_null(b);
    blob_ctx_free(ctx);
    rig_end(&r);
}

/* The sync that comes before old segments are retired to make room fails: nothing of what it was for is lost. */
static void a_sync_that_fails_while_room_is_made_is_not_forgotten(void **state)
{
    simdisk_fault fault = {.ops = SIMDISK_BIT(SIMDISK_SYNC), .count = 1, .status = -EIO, .lost = SIMDISK_DROPPED};
    rig r;
    (void)state;

    rig_start(&r);
    r.options.sync = BLOB_LOGSTORE_SYNC_INTERVAL;
    r.options.cache_bytes = 1 << 20;
    rig_reopen(&r);
    test_ok(put(&r, 1, 40000, 0));
    test_ok(put(&r, 2, 20000, 0));
    test_ok(put(&r, 3, 20000, 0)); /* in the next segment */
    test_ok(blob_store_delete(r.s, NULL, key_of(1), 0));
    test_ok(blob_store_delete(r.s, NULL, key_of(2), 0));
    test_ok(put(&r, 4, 20000, 0));
    simdisk_fail(r.disk, &fault);
    test_ok(put(&r, 5, 40000, 0)); /* needs room: the first segment is empty */
    assert_int_equal(simdisk_failed(r.disk), 1);
    test_ok(blob_store_close(r.s, NULL));
    simdisk_power_cut(r.disk, &(simdisk_fate){.bytes = SIMDISK_DROPPED, .names = SIMDISK_DROPPED});
    rig_open(&r);
    for (unsigned n = 1; n < 6; n++)
        if (n < 3)
            test_status(blob_store_size(r.s, NULL, key_of(n), &(uint64_t){0}), BLOB_NOT_FOUND);
        else
            expect_blob(&r, n, n == 5 ? 40000 : 20000);
    assert_int_equal(info_of(&r).damaged_records, 0);
    rig_end(&r);
}

/* What a log that does not sync has taken is on no disk yet: one that does must not say "exists" of it, or take a delete
 * for logged, before it is. Closed or killed, with segments of its own or only the last one. */
static void what_was_never_synced_lasts_once_a_log_that_syncs_has_found_it(void **state)
{
    static const blob_logstore_sync then[] = {BLOB_LOGSTORE_SYNC_EACH, BLOB_LOGSTORE_SYNC_INTERVAL};
    rig r;
    (void)state;

    for (unsigned i = 0; i < 4; i++) {
        rig_start(&r);
        test_ok(blob_store_close(r.s, NULL));
        r.options.sync = BLOB_LOGSTORE_SYNC_NEVER;
        rig_open(&r);
        for (unsigned n = 0; n < 5; n++)
            test_ok(put(&r, n, 20000, 0));
        test_ok(blob_store_delete(r.s, NULL, key_of(4), 0));
        if (i < 2)
            test_ok(blob_store_close(r.s, NULL));
        else
            simdisk_kill(r.disk);
        if (i >= 2)
            (void)blob_store_close(r.s, NULL); /* a corpse */
        r.options.sync = then[i % 2];
        rig_open(&r);
        for (unsigned n = 0; n < 4; n++)
            test_status(put(&r, n, 20000, 0), BLOB_EXISTS);
        test_status(blob_store_delete(r.s, NULL, key_of(4), 0), BLOB_NOT_FOUND);
        simdisk_power_cut(r.disk, &(simdisk_fate){.bytes = SIMDISK_DROPPED, .names = SIMDISK_DROPPED});
        (void)blob_store_close(r.s, NULL); /* a corpse */
        rig_open(&r);
        for (unsigned n = 0; n < 4; n++)
            expect_blob(&r, n, 20000);
        test_status(blob_store_size(r.s, NULL, key_of(4), &(uint64_t){0}), BLOB_NOT_FOUND);
        assert_int_equal(info_of(&r).damaged_records, 0);
        rig_end(&r);
    }
}

/* Where that sync fails nothing is opened, nor left open, and nothing is taken for lasting. */
static void what_was_never_synced_and_cannot_be_is_not_opened(void **state)
{
    simdisk_fault fault = {.ops = SIMDISK_BIT(SIMDISK_SYNC), .status = -EIO, .lost = SIMDISK_KEPT};
    blob_store *s = (blob_store *)&fault;
    rig r;
    (void)state;

    rig_start(&r);
    r.options.sync = BLOB_LOGSTORE_SYNC_NEVER;
    rig_reopen(&r);
    test_ok(put(&r, 1, 100, 0));
    test_ok(blob_store_close(r.s, NULL));
    r.options.sync = BLOB_LOGSTORE_SYNC_EACH;
    simdisk_fail(r.disk, &fault);
    test_status(wb_log_open(&s, simdisk_mount(r.disk), "log", &r.options, LOG_NO_KEEPER), -EIO);
    assert_null(s);
    expect_words(-EIO, "cannot sync log/0000000000000001.log");
    assert_int_equal(simdisk_open_files(r.disk), 0);
    r.options.sync = BLOB_LOGSTORE_SYNC_NEVER; /* who wants no syncs is not held up by one */
    rig_open(&r);
    expect_blob(&r, 1, 100);
    test_ok(blob_store_close(r.s, NULL));
    r.options.read_only = 1;
    r.options.sync = BLOB_LOGSTORE_SYNC_EACH;
    rig_open(&r);
    expect_blob(&r, 1, 100);
    simdisk_mend(r.disk);
    rig_end(&r);
}

/* ---- numbers ---- */

static void the_numbers_are_true(void **state)
{
    blob_logstore_info info, young;
    rig r;
    (void)state;

    rig_start(&r);
    simdisk_set_time(r.disk, 1000000);
    test_ok(put(&r, 1, 1000, 0));
    simdisk_set_time(r.disk, 5000000);
    test_ok(put(&r, 2, 5000, 0));
    info = info_of(&r);
    assert_int_equal(info.blobs, 2);
    assert_int_equal(info.payload_bytes, 6000);
    assert_int_equal(info.live_bytes, 3 * 4096);
    assert_int_equal(info.segments, 1);
    assert_int_equal(info.disk_bytes, (info.segments + info.spare_segments) * SEGMENT);
    assert_int_equal(info.oldest_age_ms, 4000000);
    assert_int_equal(info.unsynced_records, 0);
    test_ok(blob_store_delete(r.s, NULL, key_of(1), BLOB_LAZY));
    assert_int_equal(info_of(&r).live_bytes, 2 * 4096);
    assert_int_equal(info_of(&r).oldest_age_ms, 0);
    rig_reopen(&r);
    assert_int_equal(info_of(&r).live_bytes, 2 * 4096);
    assert_int_equal(info_of(&r).blobs, 1);
    /* An older caller's struct is filled as far as it goes. */
    memset(&young, 0x5a, sizeof young);
    young.struct_size = offsetof(blob_logstore_info, payload_bytes);
    test_ok(blob_logstore_get_info(r.s, &young));
    assert_int_equal(young.blobs, 1);
    assert_int_equal(young.payload_bytes, 0x5a5a5a5a5a5a5a5a);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_that_cannot_be_are_refused),
        cmocka_unit_test(a_second_opener_is_told_where),
        cmocka_unit_test(what_is_no_log_is_told_apart),
        cmocka_unit_test(a_newer_format_is_refused),
        cmocka_unit_test(opening_and_closing_writes_nothing),
        cmocka_unit_test(the_bound_in_bytes_is_kept),
        cmocka_unit_test(blobs_of_every_size_come_back),
        cmocka_unit_test(the_newest_blobs_are_in_memory_and_shared),
        cmocka_unit_test(the_cache_counts_what_it_takes),
        cmocka_unit_test(the_steady_state_makes_and_removes_no_files),
        cmocka_unit_test(a_log_is_never_larger_than_it_promises),
        cmocka_unit_test(a_straggler_is_copied_forward),
        cmocka_unit_test(a_log_that_cannot_be_smaller_is_left_alone),
        cmocka_unit_test(many_openings_make_no_large_log),
        cmocka_unit_test(a_put_does_not_overtake_the_tombstone_of_its_key),
        cmocka_unit_test(nobody_waits_for_ever_on_a_full_disk),
        cmocka_unit_test(an_empty_segment_that_was_cut_off_hides_nothing),
        cmocka_unit_test(a_log_can_be_read_beside_its_host),
        cmocka_unit_test(reading_only_changes_nothing),
        cmocka_unit_test(a_damaged_blob_is_never_told_to_be_gone),
        cmocka_unit_test(what_cannot_be_read_is_a_finding_and_stops_nothing),
        cmocka_unit_test(findings_and_salvage_fail_for_a_reason_of_their_own),
        cmocka_unit_test(a_sync_that_fails_while_room_is_made_is_not_forgotten),
        cmocka_unit_test(what_was_never_synced_lasts_once_a_log_that_syncs_has_found_it),
        cmocka_unit_test(what_was_never_synced_and_cannot_be_is_not_opened),
        cmocka_unit_test(the_numbers_are_true),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
