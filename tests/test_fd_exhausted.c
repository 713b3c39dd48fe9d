/* test_fd_exhausted.c - the process has no descriptor left, by the system's own limit: calls say so, what was accepted is
 * kept, and as soon as there are some again all goes on, with the same stores and the same wrapper. */
#include "s3sim.h"
#include "testutil.h"

#include "logstore/logstore.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <wbstore/wbstore.h>

/* ---- descriptors ---- */

enum { FDS_MAX = 64 };

static struct rlimit limit_before;
static int taken[FDS_MAX];

/* From here on none can be had below FDS_MAX, nor above. */
static void take_all(void)
{
    struct rlimit few = limit_before;

    few.rlim_cur = FDS_MAX;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    for (int i = 0; i < FDS_MAX; i++)
        taken[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(taken[FDS_MAX - 1], -1);
}

/* The limit first: closed one by one below it, they would go to the client of a server in this process, one by one, and none
 * would be left for the server to accept with. */
static void give_back(void)
{
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit_before), 0);
    for (int i = 0; i < FDS_MAX; i++)
        if (taken[i] >= 0)
            close(taken[i]);
    memset(taken, 0xff, sizeof taken);
}

/* ---- the tests' own ---- */

static char *dir;

static int set_up(void **state)
{
    (void)state;
    test_watchdog(120);
    if (access("/dev/shm", W_OK) == 0) /* hundreds of syncs say nothing here */
        setenv("TMPDIR", "/dev/shm", 0);
    memset(taken, 0xff, sizeof taken);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit_before), 0);
    dir = test_dir_make();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    give_back(); /* after a failure */
    test_dir_remove(dir);
    return 0;
}

static blob_key number(unsigned i)
{
    static char text[16];

    snprintf(text, sizeof text, "number %u", i);
    return test_key(text);
}

static int put(blob_store *s, unsigned i)
{
    return blob_store_put(s, NULL, number(i), blob_view_of("bytes", 5), 0);
}

static int get(blob_store *s, unsigned i)
{
    blob *b = NULL;
    int rc = blob_store_get(s, NULL, number(i), &b);

    blob_unref(b);
    return rc;
}

/* ---- stores ---- */

static void no_store_opens_and_each_does_later(void **state)
{
    blob_store *file = NULL, *log = NULL;
    char path[2][1024];

    (void)state;
    snprintf(path[0], sizeof path[0], "%s/file", dir);
    snprintf(path[1], sizeof path[1], "%s/log", dir);
    take_all();
    test_status(blob_filestore_open(&file, path[0], NULL), -EMFILE);
    test_status(blob_logstore_open(&log, path[1], NULL), -EMFILE);
    assert_true(file == NULL && log == NULL);
    give_back();
    test_ok(blob_filestore_open(&file, path[0], NULL));
    test_ok(blob_logstore_open(&log, path[1], NULL));
    test_ok(put(file, 1));
    test_ok(put(log, 1));
    test_ok(blob_store_close(file, NULL));
    test_ok(blob_store_close(log, NULL));
}

static int none(void *arg, blob_key key, uint64_t size)
{
    (void)arg;
    (void)key;
    (void)size;
    return 0;
}

static void a_folder_says_so_and_has_what_it_had(void **state)
{
    blob_store *s;
    uint64_t len;

    (void)state;
    test_ok(blob_filestore_open(&s, dir, NULL));
    test_ok(put(s, 1));
    take_all();
    test_status(put(s, 2), -EMFILE);
    test_status(get(s, 1), -EMFILE);
    test_status(blob_store_list(s, NULL, test_key(""), none, NULL), -EMFILE);
    test_status(blob_store_len(s, NULL, &len), -EMFILE);
    test_status(blob_store_delete(s, NULL, number(1), 0), -EMFILE);
    give_back();
    test_ok(get(s, 1));
    test_status(get(s, 2), BLOB_NOT_FOUND);
    test_ok(put(s, 2));
    assert_int_equal(test_len(s), 2);
    test_ok(blob_store_delete(s, NULL, number(1), 0));
    test_ok(blob_store_close(s, NULL));
}

/* ---- a log, which needs one for each segment ---- */

enum { BLOBS = 300, BLOB_SIZE = 4000 }; /* a dozen in a segment, which they fill */

/* Without its keeper, who does what he does when it suits him. */
static blob_store *open_log(void)
{
    blob_logstore_options o = blob_logstore_options_default();
    log_disk *disk;
    blob_store *s;

    o.segment_bytes = 64 << 10;
    o.cache_bytes = 1;
    test_ok(wb_log_disk_new(&disk, dir));
    test_ok(wb_log_open(&s, disk, dir, &o, LOG_NO_KEEPER));
    return s;
}

static uint64_t spare_segments(blob_store *s)
{
    blob_logstore_info info = {.struct_size = sizeof info};

    test_ok(blob_logstore_get_info(s, &info));
    return info.spare_segments;
}

/* Those from `from` up to `to`; returns how many there was a descriptor for. They are kept. */
static unsigned puts_blobs(blob_store *s, unsigned from, unsigned to, bool kept[BLOBS])
{
    void *bytes = test_payload(1, BLOB_SIZE);
    unsigned accepted = 0;

    for (unsigned i = from; i < to; i++) {
        int rc = blob_store_put(s, NULL, number(i), blob_view_of(bytes, BLOB_SIZE), 0);
        if (rc != 0)
            test_status(rc, -EMFILE);
        kept[i] = rc == 0;
        accepted += rc == 0;
    }
    free(bytes);
    return accepted;
}

/* Only what needs another segment is refused. */
static void a_log_refuses_what_needs_another_segment_and_goes_on(void **state)
{
    blob_store *s = open_log();
    unsigned accepted;
    bool kept[BLOBS];

    (void)state;
    test_ok(put(s, 0));
    kept[0] = true;
    take_all();
    accepted = puts_blobs(s, 1, BLOBS, kept);
    give_back();
    assert_in_range(accepted, 1, BLOBS - 2);
    for (unsigned i = 0; i < BLOBS; i++)
        test_status(get(s, i), kept[i] ? 0 : BLOB_NOT_FOUND);
    for (unsigned i = 0; i < BLOBS; i++)
        if (!kept[i])
            test_ok(put(s, i));
    assert_int_equal(test_len(s), BLOBS);
    test_ok(blob_store_close(s, NULL));
    s = open_log();
    for (unsigned i = 0; i < BLOBS; i++)
        test_ok(get(s, i));
    test_ok(blob_store_close(s, NULL));
}

/* Segments that wait to be used again are not forgotten for that: their space would be lost. */
static void a_log_keeps_the_spare_segments_that_it_cannot_open(void **state)
{
    blob_store *s = open_log();
    bool kept[BLOBS];
    uint64_t spares;

    (void)state;
    assert_int_equal(puts_blobs(s, 0, BLOBS, kept), BLOBS);
    for (unsigned i = 0; i < BLOBS / 4; i++)
        test_ok(blob_store_delete(s, NULL, number(i), i + 1 < BLOBS / 4 ? BLOB_LAZY : 0));
    test_ok(wb_log_keeper_round(wb_log_of(s), true));
    spares = spare_segments(s);
    assert_true(spares > 2);
    take_all();
    assert_true(puts_blobs(s, 0, BLOBS / 4, kept) < BLOBS / 4);
    give_back();
    assert_int_equal(spare_segments(s), spares);
    test_ok(blob_store_close(s, NULL));
}

/* ---- a wrapper ---- */

/* Until an upload has failed: the writers have met the limit. */
static void await_trouble(wbstore *w)
{
    wbstore_stats stats = {.struct_size = sizeof stats};

    while (stats.last_status == 0) {
        sched_yield();
        wbstore_get_stats(w, &stats);
    }
    test_status(stats.last_status, -EMFILE);
}

static void puts_numbers(wbstore *w, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        char text[32];
        test_ok(wbstore_cas_put(w, NULL, text, (size_t)snprintf(text, sizeof text, "blob %u", i), NULL));
    }
}

static void uploads_wait(blob_store *base)
{
    wbstore_options o = wbstore_options_default();
    blob_store *buf;
    wbstore *w;

    o.retry_min_ms = o.retry_max_ms = 1;
    test_ok(blob_memstore_new(&buf));
    test_ok(wbstore_new(&w, NULL, base, buf, &o));
    take_all();
    puts_numbers(w, 0, 20);
    await_trouble(w);
    assert_int_equal(test_len(buf), 20);
    give_back();
    test_ok(wbstore_sync(w, NULL));
    assert_int_equal(test_len(base), 20);
    assert_int_equal(test_len(buf), 0);
    puts_numbers(w, 20, 30);
    test_ok(wbstore_sync(w, NULL));
    assert_int_equal(test_len(base), 30);
    wbstore_free(w);
    test_ok(blob_store_close(buf, NULL));
}

static void uploads_to_a_folder_wait_for_descriptors(void **state)
{
    blob_store *file, *base;

    (void)state;
    test_ok(blob_filestore_open(&file, dir, NULL));
    test_ok(blob_hashcas_new(&base, file, blob_hash_sha256()));
    uploads_wait(base);
    test_ok(blob_store_close(base, NULL));
    test_ok(blob_store_close(file, NULL));
}

static void uploads_to_a_server_wait_for_descriptors(void **state)
{
    blob_s3store_options o = blob_s3store_options_default();
    s3sim *sim = s3sim_start();
    blob_store *base;

    (void)state;
    o.endpoint = s3sim_url(sim);
    o.bucket = "bucket";
    o.access_key = "SIMACCESSKEY";
    o.secret_key = "secret";
    test_ok(blob_s3store_open(&base, &o));
    uploads_wait(base);
    test_ok(blob_store_close(base, NULL));
    s3sim_stop(sim);
}

/* Puts into the buffer fail instead: those that returned are sent, those that did not can be made again. */
static void puts_into_a_folder_are_refused_and_those_before_are_sent(void **state)
{
    wbstore_options o = wbstore_options_default();
    blob_store *mem, *base, *buf;
    wbstore *w;

    (void)state;
    o.retry_min_ms = o.retry_max_ms = 1;
    test_ok(blob_memstore_new(&mem));
    test_ok(blob_hashcas_new(&base, mem, blob_hash_sha256()));
    test_ok(blob_filestore_open(&buf, dir, NULL));
    test_ok(wbstore_new(&w, NULL, base, buf, &o));
    test_ok(wbstore_sync(w, NULL)); /* the listing of the start is through */
    test_ok(wbstore_pause(w));
    puts_numbers(w, 0, 10);
    take_all();
    test_status(wbstore_cas_put(w, NULL, "more", 4, NULL), -EMFILE);
    test_ok(wbstore_resume(w));
    await_trouble(w); /* nor can a writer read there */
    give_back();
    test_ok(wbstore_cas_put(w, NULL, "more", 4, NULL));
    test_ok(wbstore_sync(w, NULL));
    assert_int_equal(test_len(mem), 11);
    assert_int_equal(test_len(buf), 0);
    wbstore_free(w);
    test_ok(blob_store_close(buf, NULL));
    test_ok(blob_store_close(base, NULL));
    test_ok(blob_store_close(mem, NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_store_opens_and_each_does_later),
        TEST(a_folder_says_so_and_has_what_it_had),
        TEST(a_log_refuses_what_needs_another_segment_and_goes_on),
        TEST(a_log_keeps_the_spare_segments_that_it_cannot_open),
        TEST(uploads_to_a_folder_wait_for_descriptors),
        TEST(uploads_to_a_server_wait_for_descriptors),
        TEST(puts_into_a_folder_are_refused_and_those_before_are_sent),
    };

    return cmocka_run_group_tests_name("no descriptors left", tests, NULL, NULL);
}
