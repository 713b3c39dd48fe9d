/* test_filestore_fail.c - what filestore says and leaves behind when a system call fails, and when it is killed at
 * one. */
#include "filestore_disk.h"

#include <sys/wait.h>

static size_t tmp_names(void)
{
    return t_names(t_path("tmp"));
}

static void a_put_that_cannot_write_stores_nothing(void **state)
{
    static const struct {
        const char *call;
        int error, status;
    } cases[] = {{"mkdir", EROFS, BLOB_DENIED},  {"mkdir", ENOSPC, -ENOSPC}, {"write", ENOSPC, -ENOSPC},
                 {"write", EDQUOT, -ENOSPC},     {"write", EIO, -EIO},       {"fdatasync", EIO, -EIO},
                 {"fdatasync", ENOSPC, -ENOSPC}, {"link", EIO, -EIO},        {"link", ENOSPC, -ENOSPC},
                 {"link", EACCES, BLOB_DENIED}};
    blob_store *s = t_open(0);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fail_next(cases[i].call, "", cases[i].error, 1);
        assert_int_equal(t_put(s, test_key("k"), "v", 0), cases[i].status);
        t_expect_words(cases[i].status, t_dir);
        assert_int_equal(failures[0].times, 0);
        test_status(t_get(s, test_key("k")), BLOB_NOT_FOUND);
        assert_int_equal(test_len(s), 0);
        assert_int_equal(tmp_names(), 0);
    }
    test_ok(t_put(s, test_key("k"), "v", 0));
    fail_next("rename", "", EIO, 1);
    test_status(t_put(s, test_key("k"), "w", BLOB_REPLACE), -EIO);
    test_expect(s, test_key("k"), "v");
    assert_int_equal(tmp_names(), 0);
    assert_int_equal(test_len(s), 1);
    fail_next("unlink", "6b", EIO, 1);
    test_status(blob_store_delete(s, NULL, test_key("k"), 0), -EIO);
    assert_int_equal(test_len(s), 1);
    t_close(s);
}

static void the_count_is_true_after_calls_that_failed_and_took_effect(void **state)
{
    blob_store *s = t_open(0);

    (void)state;
    assert_int_equal(test_len(s), 0);
    fail_next("link", "", EIO, 1);
    failures[0].late = true;
    test_status(t_put(s, test_key("k"), "v", 0), -EIO);
    test_expect(s, test_key("k"), "v");
    assert_int_equal(test_len(s), 1);
    fail_next("unlink", "6b", EIO, 1);
    failures[0].late = true;
    test_status(blob_store_delete(s, NULL, test_key("k"), 0), -EIO);
    assert_int_equal(test_len(s), 0);
    t_close(s);
}

static void a_failed_sync_of_a_folder_is_not_forgotten(void **state)
{
    blob_store *s = t_open(0);

    (void)state;
    test_ok(t_put(s, test_key("kk"), "v", 0));
    fail_next("fsync", "6b", ENOSPC, 1);
    test_status(t_put(s, test_key("k"), "v", 0), -EIO); /* -ENOSPC would say that nothing is stored */
    t_expect_words(-EIO, t_dir);
    assert_false(lasts(test_key("k")));
    test_status(t_put(s, test_key("k"), "v", 0), -EIO);
    t_expect_words(-EIO, "open the store again");
    test_status(t_put(s, test_key("k"), "v", BLOB_REPLACE), -EIO);
    test_status(t_put(s, test_key("k2"), "v", 0), -EIO);
    test_status(blob_store_delete(s, NULL, test_key("kk"), 0), -EIO);
    test_expect(s, test_key("kk"), "v");
    test_ok(blob_store_delete(s, NULL, test_key("kk"), BLOB_LAZY));
    test_ok(t_put(s, test_key("other"), "v", 0));
    t_close(s);
    s = t_open(0);
    test_status(t_put(s, test_key("k"), "v", 0), BLOB_EXISTS);
    assert_true(lasts(test_key("k")));
    t_close(s);
}

static void a_failed_sync_of_a_delete_is_not_forgotten(void **state)
{
    blob_store *s = t_open(0);

    (void)state;
    test_ok(t_put(s, test_key("k"), "v", 0));
    fail_next("fsync", "6b", EIO, 1);
    test_status(blob_store_delete(s, NULL, test_key("k"), 0), -EIO);
    test_status(blob_store_delete(s, NULL, test_key("k"), 0), -EIO);
    t_close(s);
}

static void a_failed_sync_of_the_store_folder_concerns_all_new_folders(void **state)
{
    blob_store *s = t_open(0);

    (void)state;
    test_ok(t_put(s, test_key("old"), "v", 0));
    fail_next("fsync", "=.", EIO, 1);
    test_status(t_put(s, test_key("k"), "v", 0), -EIO);
    test_status(t_put(s, test_key("k"), "v", 0), -EIO);
    test_status(t_put(s, test_key("new"), "v", 0), -EIO);
    test_status(t_put(s, test_key(""), "v", 0), -EIO);
    test_ok(t_put(s, test_key("old2"), "v", 0));
    assert_true(lasts(test_key("old2")));
    t_close(s);
}

static void a_failed_sync_of_what_exists_is_not_forgotten(void **state)
{
    blob_store *s = t_open(1);

    (void)state;
    test_ok(t_put(s, test_key("k"), "v", 0));
    t_close(s);
    s = t_open(0);
    fail_next("fdatasync", "6b/6b", EIO, 1);
    test_status(t_put(s, test_key("k"), "v", 0), -EIO);
    test_status(t_put(s, test_key("k"), "v", 0), -EIO);
    t_close(s);
}

static void an_open_that_cannot_sync_fails(void **state)
{
    blob_store *s = NULL;

    (void)state;
    fail_next("fsync", "", EIO, 1);
    test_status(blob_filestore_open(&s, t_dir, NULL), -EIO);
    assert_null(s);
    fail_next("fsync", "=.", EIO, 1);
    test_status(blob_filestore_open(&s, t_dir, NULL), -EIO);
    assert_null(s);
    t_close(t_open(0));
}

static void short_and_interrupted_calls_are_gone_on_with(void **state)
{
    blob_store *s = t_open(0);

    (void)state;
    short_bytes = 3;
    interrupt_next = 2;
    test_ok(t_put(s, test_key("k"), "more than three bytes", 0));
    interrupt_next = 2;
    test_expect(s, test_key("k"), "more than three bytes");
    assert_int_equal(calls_of("write"), 7);
    fail_next("fsync", "", EINTR, 2);
    test_ok(t_put(s, test_key("l"), "v", 0));
    fail_next("fdatasync", "", EINTR, 2);
    test_ok(t_put(s, test_key("m"), "v", 0));
    assert_true(lasts(test_key("k")) && lasts(test_key("l")) && lasts(test_key("m")));
    t_close(s);
}

static void a_file_that_shrinks_is_no_short_blob(void **state)
{
    blob_store *s = t_open(0);

    (void)state;
    test_ok(t_put(s, test_key("k"), "more than three bytes", 0));
    short_bytes = 3;
    fail_next("read", "6b", 0, 1);
    failures[0].skip = 2;
    test_status(t_get(s, test_key("k")), BLOB_CORRUPT);
    fail_next("read", "6b", EIO, 1);
    test_status(t_get(s, test_key("k")), -EIO);
    t_expect_words(-EIO, t_dir);
    t_close(s);
}

/* Where the C library has no renameat2 the store asks the kernel itself, behind our back. */
#ifdef __GLIBC__
#define SEES_RENAME_NEW 1
#else
#define SEES_RENAME_NEW 0
#endif

static void without_hard_links_a_rename_does_it(void **state)
{
    static const int errors[] = {EPERM, EOPNOTSUPP, EMLINK, ENOSYS};
    blob_store *s = t_open(0);
    char key[2] = "a";

    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++, key[0]++) {
        forget_calls();
        fail_next("link", "", errors[i], 1);
        test_ok(t_put(s, test_key(key), "v", 0));
        assert_int_equal(calls_of("rename-new"), SEES_RENAME_NEW);
        assert_true(lasts(test_key(key)));
        test_expect(s, test_key(key), "v");
    }
    assert_int_equal(disk_unsynced_links, 0);
    assert_int_equal(test_len(s), 4);
    assert_int_equal(tmp_names(), 0);
    t_close(s);
}

static void where_nothing_makes_a_new_name_safely_put_says_so(void **state)
{
    static const int errors[] = {EINVAL, ENOSYS};
    blob_store *s;

    (void)state;
    if (!SEES_RENAME_NEW)
        skip();
    s = t_open(0);
    for (size_t i = 0; i < 2; i++) {
        fail_next("link", "", EPERM, 1);
        failures[1] = (failure){.call = "rename-new", .path = "", .error = errors[i], .times = 1};
        test_status(t_put(s, test_key("k"), "v", 0), -EOPNOTSUPP);
        t_expect_words(-EOPNOTSUPP, "hard links");
        test_status(t_get(s, test_key("k")), BLOB_NOT_FOUND);
        assert_int_equal(tmp_names(), 0);
    }
    t_close(s);
}

static const char *const crash_keys[] = {"", "a", "ab", "b"};

/* Puts, replaces and deletes; tells through the pipe how far it got. */
static void crash_work(int tell)
{
    blob_store *s = t_open(0);

    for (unsigned step = 0; step < 12; step++) {
        const char *key = crash_keys[step % 4];
        int rc = step < 4   ? t_put(s, test_key(key), "first", 0)
                 : step < 8 ? t_put(s, test_key(key), "second", BLOB_REPLACE)
                            : blob_store_delete(s, NULL, test_key(key), 0);

        if (rc != 0 || syscall(SYS_write, tell, "s", 1) != 1)
            _exit(3);
    }
    t_close(s);
    _exit(0);
}

static void crash_check(unsigned done)
{
    blob_store *s = t_open(0);

    for (unsigned k = 0; k < 4; k++) {
        unsigned steps = (done + 3 - k) / 4; /* that returned for this key */
        bool under_way = done < 12 && done % 4 == k;
        const char *now = steps == 1 ? "first" : "second", *next = steps == 0 ? "first" : "second";
        blob *b = NULL;
        int rc = blob_store_get(s, NULL, test_key(crash_keys[k]), &b);

        if (rc == BLOB_NOT_FOUND) {
            assert_true(steps == 0 || steps == 3 || (steps == 2 && under_way));
            continue;
        }
        assert_int_equal(rc, 0);
        assert_true(steps == 1 || steps == 2 || (steps == 0 && under_way));
        assert_true((steps > 0 && b->size == strlen(now) && memcmp(b->data, now, b->size) == 0) ||
                    (under_way && b->size == strlen(next) && memcmp(b->data, next, b->size) == 0));
        blob_unref(b);
    }
    assert_int_equal(tmp_names(), 0);
    t_close(s);
}

static void a_crash_at_any_call_loses_nothing_that_returned(void **state)
{
    int status = 9 << 8, tell[2];
    unsigned at;
    char step;

    (void)state;
    for (at = 1; WEXITSTATUS(status) == 9; at++) {
        unsigned done = 0;
        pid_t child;

        assert_int_equal(pipe(tell), 0);
        child = fork();
        if (child == 0) {
            forget_calls();
            die_at = at;
            crash_work(tell[1]);
        }
        close(tell[1]);
        while (read(tell[0], &step, 1) == 1)
            done++;
        close(tell[0]);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 9 || WEXITSTATUS(status) == 0));
        crash_check(done);
        t_remove(t_dir);
    }
    assert_true(at > 12 * 4); /* every call of every step has been the last one once */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, reset, t_teardown)
    const struct CMUnitTest tests[] = {
        T(a_put_that_cannot_write_stores_nothing),
        T(the_count_is_true_after_calls_that_failed_and_took_effect),
        T(a_failed_sync_of_a_folder_is_not_forgotten),
        T(a_failed_sync_of_a_delete_is_not_forgotten),
        T(a_failed_sync_of_the_store_folder_concerns_all_new_folders),
        T(a_failed_sync_of_what_exists_is_not_forgotten),
        T(an_open_that_cannot_sync_fails),
        T(short_and_interrupted_calls_are_gone_on_with),
        T(a_file_that_shrinks_is_no_short_blob),
        T(without_hard_links_a_rename_does_it),
        T(where_nothing_makes_a_new_name_safely_put_says_so),
        T(a_crash_at_any_call_loses_nothing_that_returned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
