/* test_example_store.c - the store of the README's chapter "Write your own store" keeps the contract, what it was given
 * survives a restart, and it takes no other file for its own. */
#include "example_store.h"
#include "testutil.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wbstore/testkit.h>

typedef struct bench {
    char *dir;
    char path[200];
    blob_store *store;
} bench;

static int set_up(void **state)
{
    bench *b = calloc(1, sizeof *b);

    test_watchdog(120);
    assert_non_null(b);
    b->dir = test_dir_make();
    snprintf(b->path, sizeof b->path, "%s/blobs", b->dir);
    test_ok(example_store_open(&b->store, b->path));
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    bench *b = *state;

    if (b->store != NULL)
        test_ok(blob_store_close(b->store, NULL));
    test_dir_remove(b->dir);
    free(b);
    return 0;
}

static void reopen(bench *b)
{
    test_ok(blob_store_close(b->store, NULL));
    test_ok(example_store_open(&b->store, b->path));
}

static off_t file_size(const bench *b)
{
    struct stat st;

    assert_int_equal(stat(b->path, &st), 0);
    return st.st_size;
}

static void print(void *arg, const char *promise, const char *detail)
{
    (void)arg;
    print_error("%s: %s\n", promise, detail);
}

static void the_example_keeps_the_contract(void **state)
{
    bench *b = *state;

    assert_int_equal(blob_conform(b->store, print, NULL), 0);
    assert_int_equal(test_len(b->store), 0);
    reopen(b); /* with all that in its file */
    assert_int_equal(test_len(b->store), 0);
}

static void what_it_was_given_is_there_when_it_is_opened_again(void **state)
{
    bench *b = *state;

    test_put(b->store, test_key("kept"), "one");
    test_put(b->store, test_key(""), "");
    test_put(b->store, test_key("gone"), "two");
    test_ok(blob_store_delete(b->store, NULL, test_key("gone"), 0));
    test_ok(blob_store_put(b->store, NULL, test_key("kept"), blob_view_of("three", 5), BLOB_REPLACE));
    reopen(b);
    test_expect(b->store, test_key("kept"), "three");
    test_expect(b->store, test_key(""), "");
    test_expect_missing(b->store, test_key("gone"));
    assert_int_equal(test_len(b->store), 2);
}

/* At every length at which a crash may have cut the last record off. */
static void a_record_that_is_half_written_is_as_if_never_begun(void **state)
{
    bench *b = *state;
    off_t before, after;

    test_put(b->store, test_key("k"), "first");
    before = file_size(b);
    test_put(b->store, test_key("l"), "second");
    after = file_size(b);
    for (off_t size = after - 1; size >= before; size--) {
        assert_int_equal(truncate(b->path, size), 0);
        reopen(b);
        assert_int_equal(test_len(b->store), 1);
        test_expect(b->store, test_key("k"), "first");
        assert_int_equal(file_size(b), before);
        test_put(b->store, test_key("l"), "second");
        assert_int_equal(file_size(b), after);
    }
}

static void another_file_is_refused_and_left_as_it_is(void **state)
{
    static const char text[] = "not a store\n";
    bench *b = *state;
    FILE *f;

    test_ok(blob_store_close(b->store, NULL));
    assert_non_null(f = fopen(b->path, "w"));
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    test_status(example_store_open(&b->store, b->path), BLOB_CORRUPT);
    assert_null(b->store);
    assert_int_equal(file_size(b), sizeof text - 1);
}

static void a_folder_that_is_not_there_is_told(void **state)
{
    blob_store *s;

    (void)state;
    test_status(example_store_open(&s, "/nowhere/at/all"), -ENOENT);
    assert_null(s);
}

#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_example_keeps_the_contract),
        T(what_it_was_given_is_there_when_it_is_opened_again),
        T(a_record_that_is_half_written_is_as_if_never_begun),
        T(another_file_is_refused_and_left_as_it_is),
        cmocka_unit_test(a_folder_that_is_not_there_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
