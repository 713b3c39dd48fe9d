/* test_filestore_open.c - the folder of a filestore: options, parents, the lock, leftovers of a crash; what becomes
 * of it when it is renamed, removed or forbidden. */
#include "filestore_test.h"

#include <signal.h>
#include <sys/wait.h>

static void leftovers_of_a_crash_go_at_open_and_nothing_else(void **state)
{
    static const char *const others[] = {"tmp/put-notes", "tmp/put-0000000000000100.bak", "tmp/put-00000000000000FF",
                                         "tmp/put-ff"};

    (void)state;
    t_close(t_open(0));
    t_write_file(t_path("tmp/put-00000000000000ff"), "half a blo");
    t_write_file(t_path("tmp/put-0000000000000100"), "");
    for (size_t i = 0; i < 4; i++)
        t_write_file(t_path(others[i]), "somebody's");
    assert_int_equal(symlink("/nowhere", t_path("tmp/put-0000000000000101")), 0);
    t_close(t_open(0));
    assert_int_equal(t_names(t_path("tmp")), 5);
    for (size_t i = 0; i < 4; i++)
        assert_true(t_is_there(t_path(others[i])));
}

static void a_second_opener_is_told_who_is_in_its_way(void **state)
{
    blob_store *s = t_open(0), *other = NULL;
    int status;
    pid_t child;

    (void)state;
    test_status(blob_filestore_open(&other, t_dir, NULL), -EBUSY);
    assert_null(other);
    t_expect_words(-EBUSY, t_dir);
    child = fork();
    if (child == 0)
        _exit(blob_filestore_open(&other, t_dir, NULL) == -EBUSY ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    t_close(s);
    t_close(t_open(0));
}

static void a_killed_opener_leaves_no_lock(void **state)
{
    int ready[2], status;
    blob_store *s = NULL;
    pid_t child;
    char c;

    (void)state;
    assert_int_equal(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        if (blob_filestore_open(&s, t_dir, NULL) == 0 && write(ready[1], "r", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &c, 1), 1);
    test_status(blob_filestore_open(&s, t_dir, NULL), -EBUSY);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    t_close(t_open(0));
    close(ready[0]);
    close(ready[1]);
}

static void close_frees_the_lock_though_a_child_inherited_it(void **state)
{
    blob_store *s = t_open(0), *again = NULL;
    int gate[2], status;
    pid_t child;
    char c;

    (void)state;
    assert_int_equal(pipe(gate), 0);
    child = fork();
    if (child == 0) {
        close(gate[1]);
        _exit(read(gate[0], &c, 1) == 0 ? 0 : 1);
    }
    t_close(s);
    test_ok(blob_filestore_open(&again, t_dir, NULL));
    close(gate[0]);
    close(gate[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    t_close(again);
}

static void a_child_that_closes_what_it_inherited_leaves_its_parent_the_lock(void **state)
{
    blob_store *s = t_open(0), *again = NULL;
    int status;
    pid_t child;

    (void)state;
    child = fork();
    if (child == 0)
        _exit(blob_store_close(s, NULL) == 0 ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    test_status(blob_filestore_open(&again, t_dir, NULL), -EBUSY);
    t_close(s);
    test_ok(blob_filestore_open(&again, t_dir, NULL));
    t_close(again);
}

static size_t open_descriptors(bool *all_cloexec)
{
    DIR *fds = opendir("/proc/self/fd");
    const struct dirent *entry;
    size_t count = 0;
    int fd;

    assert_non_null(fds);
    while ((entry = readdir(fds)) != NULL) {
        fd = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || fd == dirfd(fds))
            continue;
        count++;
        if (fd > 2 && all_cloexec != NULL && (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0)
            *all_cloexec = false;
    }
    closedir(fds);
    return count;
}

static void descriptors_do_not_leak(void **state)
{
    static const unsigned char deep[200];
    bool cloexec = true, inherited = true; /* what the test was started with need not be */
    size_t before = open_descriptors(&inherited);
    blob_store *s = t_open(0);

    (void)state;
    test_ok(t_put(s, test_key("k"), "v", 0));
    test_ok(t_put(s, blob_key_of(deep, sizeof deep), "v", 0));
    test_status(t_put(s, test_key("k"), "v", 0), BLOB_EXISTS);
    test_ok(t_get(s, test_key("k")));
    assert_int_equal(test_len(s), 2);
    test_ok(blob_store_delete(s, NULL, test_key("k"), 0));
    assert_int_equal(open_descriptors(&cloexec), before + 3);
    assert_true(cloexec || !inherited);
    t_close(s);
    assert_int_equal(open_descriptors(NULL), before);
}

static int list_nothing(void *arg, blob_key key, uint64_t size)
{
    (void)arg;
    (void)key;
    (void)size;
    return -EIO;
}

static void options_are_checked(void **state)
{
    struct {
        blob_filestore_options known;
        unsigned char more[16];
    } later = {.more = {0}};
    blob_filestore_options options = blob_filestore_options_default();
    blob_store *s = NULL;

    (void)state;
    test_status(blob_filestore_open(NULL, t_dir, NULL), -EINVAL);
    test_status(blob_filestore_open(&s, NULL, NULL), -EINVAL);
    test_status(blob_filestore_open(&s, "", NULL), -EINVAL);
    options.no_sync = 2;
    test_status(blob_filestore_open(&s, t_dir, &options), -EINVAL);
    options = blob_filestore_options_default();
    options.struct_size = 0;
    test_status(blob_filestore_open(&s, t_dir, &options), -EINVAL);
    options.struct_size = SIZE_MAX;
    test_status(blob_filestore_open(&s, t_dir, &options), -EINVAL);
    later.known = blob_filestore_options_default();
    later.known.struct_size = sizeof later;
    later.more[15] = 1;
    test_status(blob_filestore_open(&s, t_dir, &later.known), -EINVAL);
    assert_null(s);
    assert_false(t_is_there(t_dir));
    later.more[15] = 0;
    test_ok(blob_filestore_open(&s, t_dir, &later.known));
    t_close(s);
    options.struct_size = sizeof options.struct_size;
    options.no_sync = 77; /* not told */
    test_ok(blob_filestore_open(&s, t_dir, &options));
    t_close(s);
}

static void open_makes_missing_parents(void **state)
{
    blob_store *s = NULL;
    char before[1024];

    (void)state;
    assert_int_equal(mkdir(t_dir, 0777), 0);
    test_ok(blob_filestore_open(&s, t_path("a//b/../b/c/"), NULL));
    t_close(s);
    assert_true(t_is_there(t_path("a/b/c/LOCK")));
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(t_dir), 0);
    test_ok(blob_filestore_open(&s, "x/y", NULL));
    assert_int_equal(chdir(before), 0);
    test_put(s, test_key("k"), "v");
    t_close(s);
    assert_true(t_is_there(t_path("x/y/6b/6b")));
}

static void open_says_what_is_in_its_way(void **state)
{
    blob_store *s = NULL;

    (void)state;
    t_write_file(t_dir, "a file");
    test_status(blob_filestore_open(&s, t_dir, NULL), -ENOTDIR);
    t_expect_words(-ENOTDIR, t_dir);
    test_status(blob_filestore_open(&s, t_path("inside"), NULL), -ENOTDIR);
    assert_int_equal(remove(t_dir), 0);
    assert_int_equal(mkdir(t_dir, 0777), 0);
    t_write_file(t_path("tmp"), "not a folder");
    test_status(blob_filestore_open(&s, t_dir, NULL), -ENOTDIR);
    t_expect_words(-ENOTDIR, "move away");
    assert_null(s);
    assert_int_equal(remove(t_path("tmp")), 0);
    t_close(t_open(0)); /* the failed ones left no lock */
}

static void a_renamed_folder_goes_on_working(void **state)
{
    blob_store *s = t_open(0);
    char elsewhere[sizeof t_dir + 10];

    (void)state;
    test_put(s, test_key("k"), "v");
    snprintf(elsewhere, sizeof elsewhere, "%s.moved", t_dir);
    assert_int_equal(rename(t_dir, elsewhere), 0);
    test_expect(s, test_key("k"), "v");
    test_put(s, test_key("new"), "v");
    test_expect_missing(s, test_key("other"));
    test_ok(blob_store_delete(s, NULL, test_key("k"), 0));
    assert_int_equal(test_len(s), 1);
    t_close(s);
}

static void a_vanished_folder_is_an_outage_not_an_answer(void **state)
{
    blob_store *s = t_open(0);
    uint64_t len;

    (void)state;
    test_ok(t_put(s, test_key("k"), "v", 0));
    assert_int_equal(test_len(s), 1);
    t_remove(t_dir);
    test_status(t_get(s, test_key("k")), BLOB_UNAVAILABLE);
    t_expect_words(BLOB_UNAVAILABLE, t_dir);
    test_status(t_size(s, test_key("k")), BLOB_UNAVAILABLE);
    test_status(blob_store_delete(s, NULL, test_key("k"), 0), BLOB_UNAVAILABLE);
    test_status(blob_store_delete(s, NULL, test_key(""), 0), BLOB_UNAVAILABLE);
    test_status(t_put(s, test_key("k"), "v", 0), BLOB_UNAVAILABLE);
    test_status(blob_store_len(s, NULL, &len), BLOB_UNAVAILABLE);
    test_status(blob_store_list(s, NULL, test_key(""), list_nothing, NULL), BLOB_UNAVAILABLE);
    /* Another folder of the same name is not ours. */
    assert_int_equal(mkdir(t_dir, 0777), 0);
    test_status(t_get(s, test_key("k")), BLOB_UNAVAILABLE);
    t_close(s);
}

static void a_changed_lock_is_an_outage_too(void **state)
{
    blob_store *s = t_open(0);

    (void)state;
    t_write_file(t_path("other"), "");
    assert_int_equal(rename(t_path("other"), t_path("LOCK")), 0); /* now somebody else could open the store */
    test_status(t_get(s, test_key("k")), BLOB_UNAVAILABLE);
    t_expect_words(BLOB_UNAVAILABLE, t_path("LOCK"));
    t_close(s);
}

static void missing_rights_are_denied_with_the_path(void **state)
{
    const uid_t nobody = 65534;
    uid_t me = geteuid();
    blob_store *s, *other = NULL;

    (void)state;
    s = t_open(0);
    test_ok(t_put(s, test_key("k"), "v", 0));
    if (me == 0)
        assert_int_equal(seteuid(nobody), 0);
    else
        assert_int_equal(chmod(t_dir, 0), 0);
    test_status(t_put(s, test_key("new"), "v", 0), BLOB_DENIED);
    t_expect_words(BLOB_DENIED, t_dir);
    t_expect_words(BLOB_DENIED, "right");
    test_status(blob_filestore_open(&other, t_path("inside"), NULL), BLOB_DENIED);
    if (me == 0)
        assert_int_equal(seteuid(me), 0);
    else
        assert_int_equal(chmod(t_dir, 0700), 0);
    test_ok(t_put(s, test_key("new"), "v", 0));
    if (me == 0) {
        assert_int_equal(chmod(t_file(test_key("k")), 0), 0);
        assert_int_equal(chmod(t_dir, 0711), 0);
        assert_int_equal(seteuid(nobody), 0);
        test_status(t_get(s, test_key("k")), BLOB_DENIED);
        assert_int_equal(seteuid(me), 0);
    }
    t_close(s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, t_setup, t_teardown)
    const struct CMUnitTest tests[] = {
        T(leftovers_of_a_crash_go_at_open_and_nothing_else),
        T(a_second_opener_is_told_who_is_in_its_way),
        T(a_killed_opener_leaves_no_lock),
        T(close_frees_the_lock_though_a_child_inherited_it),
        T(a_child_that_closes_what_it_inherited_leaves_its_parent_the_lock),
        T(descriptors_do_not_leak),
        T(options_are_checked),
        T(open_makes_missing_parents),
        T(open_says_what_is_in_its_way),
        T(a_renamed_folder_goes_on_working),
        T(a_vanished_folder_is_an_outage_not_an_answer),
        T(a_changed_lock_is_an_outage_too),
        T(missing_rights_are_denied_with_the_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
