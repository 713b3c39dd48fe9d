/* test_world_files.c - filestore and the world outside: a full disk, folders that may not be written, links, a folder that
 * goes and comes back. Errors name the path and what to do, nothing is lost, and it goes on when the cause is gone. */
#include "filestore_test.h"
#include "world.h"

static char big[8192]; /* more than what is left of a page on a full disk */

/* The path of a name beside the store's folder; good for four calls. */
static const char *t_base_path(const char *name)
{
    static char paths[4][1024];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", t_base, name);
    return path;
}

static void t_expect_file(const char *path, const char *text)
{
    char there[256] = "";
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    assert_non_null(fgets(there, sizeof there, f));
    assert_int_equal(fclose(f), 0);
    assert_string_equal(there, text);
}

static int put_big(blob_store *s, const char *key)
{
    return blob_store_put(s, NULL, test_key(key), blob_view_of(big, sizeof big), 0);
}

static void a_full_disk_stores_nothing_and_takes_again_once_it_is_emptied(void **state)
{
    blob_store *s = NULL;

    (void)state;
    if (!world_disk(t_base_path("disk"), 1 << 20))
        skip();
    test_ok(blob_filestore_open(&s, t_base_path("disk/store"), NULL));
    test_put(s, test_key("before"), "text");
    test_put(s, test_key("goes"), "text");
    world_fill(t_base_path("disk"));
    TELLS(put_big(s, "big"), -ENOSPC, t_base_path("disk/store"), "free space");
    TELLS(blob_store_put(s, NULL, test_key("before"), blob_view_of(big, sizeof big), BLOB_REPLACE), -ENOSPC,
          t_base_path("disk/store"), "free space");
    assert_int_equal(t_names(t_base_path("disk/store/tmp")), 0); /* nor anything half done */
    test_expect_missing(s, test_key("big"));
    test_expect(s, test_key("before"), "text");
    assert_int_equal(test_len(s), 2);
    test_ok(blob_store_delete(s, NULL, test_key("goes"), 0)); /* a full disk can be emptied */
    world_empty(t_base_path("disk"));
    test_ok(put_big(s, "big"));
    assert_int_equal(test_len(s), 2);
    test_ok(blob_store_close(s, NULL));
    world_disk_end(t_base_path("disk"));
}

static void a_full_disk_can_be_opened_once_it_is_emptied(void **state)
{
    blob_store *s = NULL;

    (void)state;
    if (!world_disk(t_base_path("disk"), 1 << 20))
        skip();
    test_ok(blob_filestore_open(&s, t_base_path("disk/store"), NULL));
    test_put(s, test_key("before"), "text");
    test_ok(blob_store_close(s, NULL));
    world_fill(t_base_path("disk"));
    test_ok(blob_filestore_open(&s, t_base_path("disk/store"), NULL));
    test_expect(s, test_key("before"), "text");
    TELLS(put_big(s, "big"), -ENOSPC, t_base_path("disk/store"), "free space");
    world_empty(t_base_path("disk"));
    test_ok(put_big(s, "big"));
    test_ok(blob_store_close(s, NULL));
    world_disk_end(t_base_path("disk"));
}

static void a_disk_that_is_read_only_is_named_until_it_is_not(void **state)
{
    blob_store *s = NULL;

    (void)state;
    if (!world_disk(t_base_path("disk"), 1 << 20))
        skip();
    world_disk_read_only(t_base_path("disk"), true);
    TELLS(blob_filestore_open(&s, t_base_path("disk/store"), NULL), BLOB_DENIED, t_base_path("disk/store"),
          "make the file system writable");
    world_disk_read_only(t_base_path("disk"), false);
    test_ok(blob_filestore_open(&s, t_base_path("disk/store"), NULL));
    test_put(s, test_key("k"), "v");
    test_ok(blob_store_close(s, NULL));
    world_disk_read_only(t_base_path("disk"), true);
    TELLS(blob_filestore_open(&s, t_base_path("disk/store"), NULL), BLOB_DENIED, t_base_path("disk/store"),
          "make the file system writable");
    world_disk_end(t_base_path("disk"));
}

/* In a folder that everybody may write to. */
static void forbidden(void *arg)
{
    blob_store *s = NULL;
    blob *b = NULL;

    (void)arg;
    WANT_STATUS(blob_filestore_open(&s, t_dir, NULL), 0);
    WANT_STATUS(blob_store_put(s, NULL, test_key("k"), blob_view_of("v", 1), 0), 0);
    WANT(chmod(t_path("6b"), 0500) == 0);
    WANT_TELLS(blob_store_put(s, NULL, test_key("kk"), blob_view_of("v", 1), 0), BLOB_DENIED, t_path("6b"), "right to");
    WANT_TELLS(blob_store_delete(s, NULL, test_key("k"), 0), BLOB_DENIED, t_path("6b"), "right to");
    WANT_STATUS(blob_store_get(s, NULL, test_key("k"), &b), 0);
    blob_unref(b);
    WANT(chmod(t_path("6b"), 0) == 0);
    WANT_TELLS(blob_store_get(s, NULL, test_key("k"), &b), BLOB_DENIED, t_path("6b"), "right to");
    WANT(chmod(t_path("6b"), 0700) == 0); /* and it goes on as it is */
    WANT_STATUS(blob_store_put(s, NULL, test_key("kk"), blob_view_of("v", 1), 0), 0);
    WANT_STATUS(blob_store_delete(s, NULL, test_key("k"), 0), 0);
    WANT_STATUS(blob_store_close(s, NULL), 0);

    WANT(chmod(t_dir, 0) == 0);
    WANT_TELLS(blob_filestore_open(&s, t_dir, NULL), BLOB_DENIED, t_dir, "right to");
    WANT(chmod(t_dir, 0500) == 0);
    WANT(chmod(t_path("LOCK"), 0400) == 0);
    WANT_TELLS(blob_filestore_open(&s, t_dir, NULL), BLOB_DENIED, t_path("LOCK"), "right to");
    WANT(chmod(t_dir, 0700) == 0 && chmod(t_path("LOCK"), 0600) == 0);
    WANT_STATUS(blob_filestore_open(&s, t_dir, NULL), 0);
    WANT_STATUS(blob_store_get(s, NULL, test_key("kk"), &b), 0);
    blob_unref(b);
    WANT_STATUS(blob_store_close(s, NULL), 0);
}

static void what_may_not_be_written_is_denied_by_its_path_until_it_may(void **state)
{
    (void)state;
    assert_int_equal(chmod(t_base, 0777), 0);
    world_as_nobody(forbidden, NULL);
}

static void a_folder_without_a_parent_that_may_be_written_is_denied(void *arg)
{
    blob_store *s = NULL;

    (void)arg;
    WANT(mkdir(t_dir, 0500) == 0);
    WANT_TELLS(blob_filestore_open(&s, t_path("in/side"), NULL), BLOB_DENIED, t_path("in/side"), "right to");
    WANT(chmod(t_dir, 0700) == 0);
    WANT_STATUS(blob_filestore_open(&s, t_path("in/side"), NULL), 0);
    WANT_STATUS(blob_store_close(s, NULL), 0);
}

static void a_folder_that_may_not_be_made_is_denied_by_its_path_until_it_may(void **state)
{
    (void)state;
    assert_int_equal(chmod(t_base, 0777), 0);
    world_as_nobody(a_folder_without_a_parent_that_may_be_written_is_denied, NULL);
}

static void a_link_to_the_folder_is_as_good_as_the_folder(void **state)
{
    blob_store *s = NULL, *other = NULL;

    (void)state;
    assert_int_equal(mkdir(t_dir, 0777), 0);
    assert_int_equal(symlink("store", t_base_path("link")), 0);
    test_ok(blob_filestore_open(&s, t_base_path("link"), NULL));
    TELLS(blob_filestore_open(&other, t_dir, NULL), -EBUSY, t_dir, "close it"); /* it is one store by both names */
    test_put(s, test_key("k"), "v");
    assert_true(t_is_there(t_path("6b/6b")));
    test_ok(blob_store_close(s, NULL));
    assert_int_equal(symlink("nowhere", t_base_path("dangling")), 0);
    TELLS(blob_filestore_open(&s, t_base_path("dangling"), NULL), BLOB_UNAVAILABLE, t_base_path("dangling"), "moved");
    assert_int_equal(symlink("circle", t_base_path("circle")), 0);
    TELLS(blob_filestore_open(&s, t_base_path("circle"), NULL), -ELOOP, t_base_path("circle"), "move away");
}

/* A link in the store's folder may lead anywhere: it is not followed to a file, which somebody else has. */
static void links_in_the_folder_lead_nowhere(void **state)
{
    static const char *const names[] = {"LOCK", "tmp"};
    blob_store *s = NULL;

    (void)state;
    assert_int_equal(mkdir(t_dir, 0777), 0);
    t_write_file(t_base_path("precious"), "of somebody else");
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(symlink("../precious", t_path(names[i])), 0);
        TELLS(blob_filestore_open(&s, t_dir, NULL), i == 0 ? -ELOOP : -ENOTDIR, t_path(names[i]), "move away");
        assert_int_equal(unlink(t_path(names[i])), 0);
    }
    s = t_open(0);
    assert_int_equal(mkdir(t_path("6b"), 0777), 0);
    assert_int_equal(symlink("../../precious", t_path("6b/6b")), 0);
    test_expect_missing(s, test_key("k"));
    TELLS(t_put(s, test_key("k"), "v", 0), -EEXIST, t_path("6b/6b"), "move it away");
    TELLS(t_put(s, test_key("k"), "v", BLOB_REPLACE), -EEXIST, t_path("6b/6b"), "move it away");
    test_status(blob_store_delete(s, NULL, test_key("k"), 0), BLOB_NOT_FOUND);
    assert_int_equal(test_len(s), 0);
    assert_int_equal(unlink(t_path("6b/6b")), 0);
    test_ok(t_put(s, test_key("k"), "v", 0)); /* without another opening */
    t_close(s);
    t_expect_file(t_base_path("precious"), "of somebody else");
}

/* What was in the folder is elsewhere for a while. */
static void a_store_that_goes_and_comes_back_goes_on(void **state)
{
    blob_store *s = t_open(0);
    uint64_t len;

    (void)state;
    test_put(s, test_key("k"), "v");
    assert_int_equal(rename(t_path("LOCK"), t_base_path("LOCK")), 0);
    assert_int_equal(rename(t_path("6b"), t_base_path("6b")), 0);
    TELLS(t_get(s, test_key("k")), BLOB_UNAVAILABLE, t_dir, "moved, removed or unmounted?"); /* and no "not found" */
    TELLS(t_size(s, test_key("k")), BLOB_UNAVAILABLE, t_dir, "moved, removed or unmounted?");
    test_status(blob_store_len(s, NULL, &len), BLOB_UNAVAILABLE);
    assert_int_equal(rename(t_base_path("6b"), t_path("6b")), 0);
    assert_int_equal(rename(t_base_path("LOCK"), t_path("LOCK")), 0);
    test_expect(s, test_key("k"), "v");
    test_put(s, test_key("new"), "v");
    assert_int_equal(test_len(s), 2);
    t_close(s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, t_setup, t_teardown)
    const struct CMUnitTest tests[] = {
        T(a_full_disk_stores_nothing_and_takes_again_once_it_is_emptied),
        T(a_full_disk_can_be_opened_once_it_is_emptied),
        T(a_disk_that_is_read_only_is_named_until_it_is_not),
        T(what_may_not_be_written_is_denied_by_its_path_until_it_may),
        T(a_folder_that_may_not_be_made_is_denied_by_its_path_until_it_may),
        T(a_link_to_the_folder_is_as_good_as_the_folder),
        T(links_in_the_folder_lead_nowhere),
        T(a_store_that_goes_and_comes_back_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
