/* test_world_log.c - logstore and the world outside: a full disk, a folder that may not be written, that is removed, that
 * holds things of others; links; two processes. Errors name the path and what to do, nothing is lost, and it goes on when
 * the cause is gone. */
#include "testutil.h"
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wbstore/stores.h>

static char big[16384];

static int set_up(void **state)
{
    test_watchdog(120);
    *state = test_dir_make();
    return *state == NULL || chdir(*state) != 0 || chmod(".", 0777) != 0;
}

static int tear_down(void **state)
{
    int rc = chdir("/");

    test_dir_remove(*state);
    test_watchdog(0);
    return rc;
}

/* Small segments, and no copy in memory: all is asked of the disk. */
static int log_open(blob_store **out, const char *dir)
{
    blob_logstore_options options = blob_logstore_options_default();

    options.segment_bytes = 64 << 10;
    options.cache_bytes = 1;
    return blob_logstore_open(out, dir, &options);
}

static int put_big(blob_store *s, unsigned n)
{
    char key[16];

    snprintf(key, sizeof key, "big%u", n);
    return blob_store_put(s, NULL, test_key(key), blob_view_of(big, sizeof big), 0);
}

static int delete_big(blob_store *s, unsigned n)
{
    char key[16];

    snprintf(key, sizeof key, "big%u", n);
    return blob_store_delete(s, NULL, test_key(key), 0);
}

static int get(blob_store *s, const char *key)
{
    blob *b = NULL;
    int rc = blob_store_get(s, NULL, test_key(key), &b);

    blob_unref(b);
    return rc;
}

/* Puts until there is no room; how many that were. */
static unsigned fill_up(blob_store *s)
{
    unsigned count = 0;
    int rc;

    while ((rc = put_big(s, count)) == 0)
        count++;
    TELLS(rc, -ENOSPC, "disk/log", "free space");
    return count;
}

static void a_full_disk_loses_nothing_and_takes_again_once_it_is_emptied(void **state)
{
    blob_store *s = NULL;
    unsigned count;

    (void)state;
    if (!world_disk("disk", 1 << 20))
        skip();
    test_ok(log_open(&s, "disk/log"));
    test_put(s, test_key("before"), "text");
    test_ok(put_big(s, 1000));
    world_fill("disk");
    count = fill_up(s); /* it has some space of its own */
    test_expect(s, test_key("before"), "text");
    test_ok(delete_big(s, 1000)); /* a full disk can be emptied */
    for (unsigned i = 0; i < count; i++)
        test_ok(delete_big(s, i));
    world_empty("disk");
    test_ok(put_big(s, 1001));
    count = fill_up(s);
    assert_true(count > 10);
    test_ok(blob_store_close(s, NULL));
    test_ok(log_open(&s, "disk/log")); /* on the full disk */
    assert_int_equal(test_len(s), count + 2);
    test_expect(s, test_key("before"), "text");
    test_ok(get(s, "big0"));
    test_ok(blob_store_close(s, NULL));
    world_disk_end("disk");
}

static void a_log_on_a_full_disk_takes_its_first_blob_once_it_is_emptied(void **state)
{
    blob_store *s = NULL;

    (void)state;
    if (!world_disk("disk", 1 << 20))
        skip();
    world_fill("disk");
    test_ok(log_open(&s, "disk/log"));
    TELLS(put_big(s, 0), -ENOSPC, "disk/log", "free space");
    world_empty("disk");
    test_ok(put_big(s, 0));
    test_ok(blob_store_close(s, NULL));
    world_disk_end("disk");
}

static void a_disk_that_is_read_only_is_named_and_can_be_read(void **state)
{
    blob_logstore_options options = blob_logstore_options_default();
    blob_store *s = NULL;

    (void)state;
    if (!world_disk("disk", 1 << 20))
        skip();
    test_ok(log_open(&s, "disk/log"));
    test_put(s, test_key("k"), "v");
    test_ok(blob_store_close(s, NULL));
    world_disk_read_only("disk", true);
    TELLS(log_open(&s, "disk/log"), BLOB_DENIED, "disk/log", "make the file system writable");
    options.read_only = 1;
    test_ok(blob_logstore_open(&s, "disk/log", &options));
    test_expect(s, test_key("k"), "v");
    test_ok(blob_store_close(s, NULL));
    world_disk_read_only("disk", false);
    test_ok(log_open(&s, "disk/log"));
    test_put(s, test_key("new"), "v");
    test_ok(blob_store_close(s, NULL));
    world_disk_end("disk");
}

static void forbidden(void *arg)
{
    blob_store *s = NULL;
    unsigned n = 0;
    int rc;

    (void)arg;
    WANT_STATUS(log_open(&s, "log"), 0);
    WANT_STATUS(put_big(s, n++), 0);
    WANT(chmod("log", 0500) == 0);
    while (n < 100 && (rc = put_big(s, n)) == 0) /* what it has open it can write */
        n++;
    WANT_TELLS(rc, BLOB_DENIED, "log/", "right to");
    WANT_STATUS(get(s, "big0"), 0);
    WANT(chmod("log", 0700) == 0); /* and it goes on as it is */
    WANT_STATUS(put_big(s, n++), 0);
    WANT_STATUS(blob_store_close(s, NULL), 0);

    WANT(chmod("log", 0) == 0);
    WANT_TELLS(log_open(&s, "log"), BLOB_DENIED, "log/", "right to");
    WANT(chmod("log", 0700) == 0 && chmod("log/LOCK", 0) == 0);
    WANT_TELLS(log_open(&s, "log"), BLOB_DENIED, "log/LOCK", "right to");
    WANT(chmod("log/LOCK", 0600) == 0 && chmod("log/0000000000000001.log", 0) == 0);
    WANT_TELLS(log_open(&s, "log"), BLOB_DENIED, "log/0000000000000001.log", "right to");
    WANT(chmod("log/0000000000000001.log", 0600) == 0);
    WANT_STATUS(log_open(&s, "log"), 0);
    for (unsigned i = 0; i < n; i++)
        WANT_STATUS(delete_big(s, i), 0); /* all are there */
    WANT_STATUS(blob_store_close(s, NULL), 0);
}

static void what_may_not_be_written_is_denied_by_its_path_until_it_may(void **state)
{
    (void)state;
    world_as_nobody(forbidden, NULL);
}

static void reads_only(void *arg)
{
    blob_logstore_options options = blob_logstore_options_default();
    blob_store *s = NULL;

    (void)arg;
    WANT_TELLS(log_open(&s, "log"), BLOB_DENIED, "log/", "right to");
    options.read_only = 1;
    WANT_STATUS(blob_logstore_open(&s, "log", &options), 0);
    WANT_STATUS(get(s, "k"), 0);
    WANT_TELLS(put_big(s, 0), BLOB_DENIED, "log", "read only");
    WANT_STATUS(blob_store_close(s, NULL), 0);
}

static void a_log_that_may_be_read_only_is_read(void **state)
{
    blob_store *s = NULL;

    (void)state;
    if (geteuid() != 0)
        skip(); /* it takes two users */
    test_ok(log_open(&s, "log"));
    test_put(s, test_key("k"), "v");
    test_ok(blob_store_close(s, NULL));
    assert_int_equal(system("chmod -R a+rX,go-w log"), 0);
    world_as_nobody(reads_only, NULL);
}

static void a_folder_that_is_removed_takes_no_more_and_is_still_read(void **state)
{
    blob_store *s = NULL;

    (void)state;
    test_ok(log_open(&s, "log"));
    test_put(s, test_key("k"), "v");
    assert_int_equal(rename("log", "elsewhere"), 0);
    test_put(s, test_key("moved"), "v"); /* wherever it is */
    assert_int_equal(rename("elsewhere", "log"), 0);
    test_put(s, test_key("back"), "v");
    assert_int_equal(system("rm -r log"), 0);
    TELLS(put_big(s, 0), -EIO, "log", "open it again"); /* it would be in no folder */
    TELLS(put_big(s, 0), BLOB_DENIED, "log", "open it again");
    test_expect(s, test_key("k"), "v"); /* what it has open can still be saved */
    test_expect(s, test_key("back"), "v");
    test_ok(blob_store_delete(s, NULL, test_key("k"), BLOB_LAZY));
    assert_int_equal(test_len(s), 2);
    (void)blob_store_close(s, NULL);
    test_ok(log_open(&s, "log"));
    test_ok(put_big(s, 0));
    test_ok(blob_store_close(s, NULL));
}

/* Everything that others may have left in the folder under other names than its own. */
static void what_belongs_to_others_stays_and_is_in_nobodys_way(void **state)
{
    static const char *const files[] = {"notes.txt",
                                        "000000000000001.log",
                                        "00000000000000001.log",
                                        "000000000000000g.log",
                                        "0000000000000001.log~",
                                        "0000000000000001.LOG",
                                        "spare-1",
                                        "damaged-x",
                                        ".0000000000000001.log.swp",
                                        "\xff\n"};
    blob_store *s = NULL;
    char path[64];

    (void)state;
    assert_int_equal(mkdir("log", 0777), 0);
    assert_int_equal(mkdir("log/folder", 0777), 0);
    assert_int_equal(mkfifo("log/fifo", 0666), 0);
    assert_int_equal(symlink("nowhere", "log/link"), 0);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "log/%s", files[i]);
        assert_int_equal(close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0444)), 0);
    }
    for (unsigned round = 0; round < 2; round++) {
        test_ok(log_open(&s, "log"));
        assert_int_equal(test_len(s), 0);
        for (unsigned i = 0; i < 20; i++)
            test_ok(put_big(s, i));
        for (unsigned i = 0; i < 20; i++)
            test_ok(delete_big(s, i));
        test_ok(blob_store_close(s, NULL));
    }
    assert_int_equal(access("log/folder", F_OK) | access("log/fifo", F_OK), 0);
    assert_int_equal(unlink("log/link"), 0);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct stat st;

        snprintf(path, sizeof path, "log/%s", files[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, 0);
    }
}

/* Under a name of its own it must be told: were it passed over, blobs might be. */
static void what_has_a_name_of_ours_and_is_not_is_named(void **state)
{
    static const char *const names[] = {"log/0000000000000001.log", "log/spare-0000000000000001"};
    blob_store *s = NULL;

    (void)state;
    assert_int_equal(mkdir("log", 0777), 0);
    assert_int_equal(close(open("precious", O_WRONLY | O_CREAT | O_CLOEXEC, 0666)), 0);
    assert_int_equal(truncate("precious", 64 << 10), 0); /* as a segment's size: nobody may take it for one */
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(mkdir(names[i], 0777), 0);
        TELLS(log_open(&s, "log"), -ENOTSUP, names[i], "move it away");
        assert_int_equal(rmdir(names[i]), 0);
        assert_int_equal(mkfifo(names[i], 0666), 0); /* nobody writes to it: an open that waits would hang */
        TELLS(log_open(&s, "log"), -ENOTSUP, names[i], "move it away");
        assert_int_equal(unlink(names[i]), 0);
        assert_int_equal(symlink("../precious", names[i]), 0);
        TELLS(log_open(&s, "log"), -ELOOP, names[i], "move away");
        assert_int_equal(unlink(names[i]), 0);
    }
    assert_int_equal(unlink("log/LOCK"), 0);
    assert_int_equal(symlink("../precious", "log/LOCK"), 0);
    TELLS(log_open(&s, "log"), -ELOOP, "log/LOCK", "move away");
    assert_int_equal(unlink("log/LOCK"), 0);
    test_ok(log_open(&s, "log"));
    test_ok(blob_store_close(s, NULL));
    assert_int_equal(symlink("log", "link"), 0);
    test_ok(log_open(&s, "link")); /* the folder itself may be a link */
    test_ok(put_big(s, 0));
    test_ok(blob_store_close(s, NULL));
    assert_int_equal(symlink("nowhere", "dangling"), 0);
    TELLS(log_open(&s, "dangling"), BLOB_UNAVAILABLE, "dangling", "moved");
}

static void two_processes_cannot_have_it_and_the_second_is_told(void **state)
{
    blob_store *s = NULL;
    int ready[2], status;
    pid_t child;
    char c;

    (void)state;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    child = fork();
    if (child == 0) {
        if (log_open(&s, "log") == 0 && blob_store_put(s, NULL, test_key("k"), blob_view_of("v", 1), 0) == 0 &&
            write(ready[1], "r", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &c, 1), 1);
    TELLS(log_open(&s, "log"), -EBUSY, "log", "close it there first");
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    test_ok(log_open(&s, "log"));
    test_expect(s, test_key("k"), "v");
    test_ok(blob_store_close(s, NULL));
    close(ready[0]);
    close(ready[1]);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_full_disk_loses_nothing_and_takes_again_once_it_is_emptied),
        T(a_log_on_a_full_disk_takes_its_first_blob_once_it_is_emptied),
        T(a_disk_that_is_read_only_is_named_and_can_be_read),
        T(what_may_not_be_written_is_denied_by_its_path_until_it_may),
        T(a_log_that_may_be_read_only_is_read),
        T(a_folder_that_is_removed_takes_no_more_and_is_still_read),
        T(what_belongs_to_others_stays_and_is_in_nobodys_way),
        T(what_has_a_name_of_ours_and_is_not_is_named),
        T(two_processes_cannot_have_it_and_the_second_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
