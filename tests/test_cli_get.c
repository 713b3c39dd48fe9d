/* test_cli_get.c - get, ls and rm: over buffer and base as one, checked before anything goes out, and nothing is sent.
 * */
#include "command.h"
#include "testutil.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wbstore/wbstore.h>

/* "abc" in the base, "xyz" in the buffer, "both" in both. */
static void populate(void)
{
    command_end end = {0};

    file_text("abc", "abc");
    file_text("xyz", "xyz");
    file_text("both", "both");
    RUN(&end, "put", "abc", "both");
    EXPECT(&end, 0);
    RUN(&end, "put", "--no-sync", "xyz", "both");
    EXPECT(&end, 0);
    assert_int_equal(blobs_in("base"), 2);
    assert_int_equal(blobs_in("buffer"), 2);
    command_end_free(&end);
}

static void get_finds_it_in_the_buffer_or_in_the_base(void **state)
{
    static const char *const texts[] = {"abc", "xyz", "both"};
    command_end end = {0};

    (void)state;
    populate();
    for (size_t i = 0; i < 3; i++) {
        RUN(&end, "get", address_of(texts[i]));
        EXPECT(&end, 0);
        assert_string_equal(end.out, texts[i]);
        assert_string_equal(end.err, "");
    }
    command_end_free(&end);
}

static void an_empty_blob_is_a_blob(void **state)
{
    command_end end = {0};

    (void)state;
    populate();
    RUN(&end, "get", address_of(""));
    EXPECT(&end, 1);
    command_run(&end, "", 0, (const char *const[]){"put", NULL});
    EXPECT(&end, 0);
    RUN(&end, "get", address_of(""));
    EXPECT(&end, 0);
    assert_int_equal(end.out_size, 0);
    RUN(&end, "get", address_of(""), "-o", "empty");
    EXPECT(&end, 0);
    assert_true(file_exists("empty"));
    command_end_free(&end);
}

static void a_buffered_blob_is_read_without_its_base(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    file_text("base", "a file, no folder");
    RUN(&end, "put", "--no-sync", "f");
    EXPECT(&end, 0);
    RUN(&end, "get", address_of("abc"));
    EXPECT(&end, 0);
    assert_string_equal(end.out, "abc");

    /* But what is not there cannot be told from what the base has: an outage is no "not found". */
    RUN(&end, "get", address_of("xyz"));
    EXPECT(&end, 3);
    RUN(&end, "ls");
    EXPECT(&end, 3);
    RUN(&end, "rm", address_of("abc"));
    EXPECT(&end, 3);
    assert_int_equal(blobs_in("buffer"), 1);
    command_end_free(&end);
}

/* A mistyped store must not look like an empty one, nor be there afterwards. */
static void looking_at_a_store_that_is_not_there_is_3_and_makes_none(void **state)
{
    static const char *const verbs[] = {"ls", "get", "rm"};
    command_end end = {0};
    char abc[65];

    (void)state;
    populate();
    snprintf(abc, sizeof abc, "%s", address_of("abc"));
    for (size_t i = 0; i < 3; i++) {
        const char *operand = i > 0 ? abc : NULL;

        command_run(&end, NULL, 0, (const char *const[]){"--buffer=typo", verbs[i], operand, NULL});
        EXPECT(&end, 3);
        SAYS(&end, "typo: no such folder, so nothing waits there: check --buffer");
        command_run(&end, NULL, 0, (const char *const[]){"--base=typo", verbs[i], operand, NULL});
        EXPECT(&end, 3);
        SAYS(&end, "(the base typo: no such folder): check the name");
        assert_false(file_exists("typo"));
    }
    assert_int_equal(blobs_in("base"), 2);
    RUN(&end, "get", address_of("xyz"), "--base=typo"); /* what waits in the buffer needs no base */
    EXPECT(&end, 0);
    assert_string_equal(end.out, "xyz");
    assert_false(file_exists("typo"));
    RUN(&end, "sync", "--base=new"); /* but this one is meant to be made */
    EXPECT(&end, 0);
    assert_int_equal(blobs_in("new"), 2);
    command_end_free(&end);
}

static void get_of_a_missing_blob_is_1(void **state)
{
    command_end end = {0};

    (void)state;
    populate();
    RUN(&end, "get", address_of("missing"), "-o", "out");
    EXPECT(&end, 1);
    SAYS(&end, address_of("missing"));
    SAYS(&end, of_buffer("not found in ", " or base: `wbstore ls` lists what is there"));
    assert_false(file_exists("out"));
    RUN(&end, "get", "abcdef");
    EXPECT(&end, 1);
    SAYS(&end, "an address has 64 hexadecimal digits, this has 6");
    command_end_free(&end);
}

static void damaged_bytes_never_go_out(void **state)
{
    static const struct {
        const char *store, *text;
    } places[] = {{"base", "abc"}, {"buffer", "xyz"}};
    command_end end = {0};
    size_t size;
    char *bytes;

    (void)state;
    populate();
    file_text("out", "as it was");
    for (size_t i = 0; i < 2; i++) {
        damage_in(places[i].store, places[i].text);
        RUN(&end, "get", address_of(places[i].text));
        EXPECT(&end, 1);
        assert_string_equal(end.out, "");
        SAYS(&end, "corrupt (");
        SAYS(&end, "): put its file again");
        RUN(&end, "get", address_of(places[i].text), "-o", "out");
        EXPECT(&end, 1);
        bytes = file_read("out", &size);
        assert_string_equal(bytes, "as it was");
        free(bytes);
    }
    command_end_free(&end);
}

static void get_into(const char *target, int want_code, const char *want)
{
    command_end end = {0};
    size_t size;
    char *bytes;

    RUN(&end, "get", address_of("abc"), "-o", target);
    EXPECT(&end, want_code);
    assert_string_equal(end.out, "");
    if (want != NULL) {
        bytes = file_read(target, &size);
        assert_non_null(bytes);
        assert_string_equal(bytes, want);
        free(bytes);
    }
    command_end_free(&end);
}

static void get_writes_a_file_whole_or_not_at_all(void **state)
{
    struct stat before, after;
    size_t entries;

    (void)state;
    populate();
    assert_int_equal(mkdir("dir", 0777), 0);
    get_into("dir/new", 0, "abc");
    file_text("dir/old", "the old and longer content");
    assert_int_equal(stat("dir/old", &before), 0);
    get_into("dir/old", 0, "abc");
    assert_int_equal(stat("dir/old", &after), 0);
    assert_true(before.st_ino != after.st_ino); /* a rename: who had it open reads the old one on */

    assert_int_equal(symlink("old", "dir/link"), 0);
    file_text("dir/old", "old again");
    get_into("dir/link", 0, "abc");
    assert_int_equal(lstat("dir/link", &after), 0);
    assert_true(S_ISLNK(after.st_mode));
    entries = folder_count("dir");
    get_into("dir", 3, NULL);
    get_into("dir/missing/x", 3, NULL);
    get_into("dir/old/x", 3, NULL);
    assert_int_equal(folder_count("dir"), entries); /* and no temporary stays */
}

static void a_name_may_be_as_long_as_names_can_be(void **state)
{
    char name[NAME_MAX + 1];

    (void)state;
    populate();
    memset(name, 'x', NAME_MAX);
    name[NAME_MAX] = '\0';
    get_into(name, 0, "abc");
    get_into(name, 0, "abc"); /* over the one that is there */
}

/* What only its owner may read is not for all the world after a restore. */
static void a_file_that_is_replaced_keeps_its_permissions(void **state)
{
    static const mode_t modes[] = {0600, 0640, 0666, 0444};
    mode_t before = umask(022);
    struct stat st;

    (void)state;
    populate();
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        file_text("old", "as it was");
        assert_int_equal(chmod("old", modes[i]), 0);
        get_into("old", 0, "abc");
        assert_int_equal(stat("old", &st), 0);
        assert_int_equal(st.st_mode & 07777, modes[i]);
        assert_int_equal(unlink("old"), 0);
    }
    get_into("new", 0, "abc");
    assert_int_equal(stat("new", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    umask(before);
}

/* Files may grow to two bytes: the third of the blob fails, as it does when a disk is full. */
static void a_failed_write_leaves_the_old_file_and_no_other(void **state)
{
    struct rlimit before, two;
    size_t entries, size;
    char *bytes;

    (void)state;
    populate();
    assert_int_equal(mkdir("dir", 0777), 0);
    file_text("dir/old", "as it was");
    entries = folder_count("dir");
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    two = before;
    two.rlim_cur = 2;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &two), 0);
    get_into("dir/old", 3, NULL);
    get_into("dir/new", 3, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(folder_count("dir"), entries);
    assert_non_null(bytes = file_read("dir/old", &size));
    assert_string_equal(bytes, "as it was");
    free(bytes);
}

static void get_writes_to_what_is_no_plain_file_as_it_is(void **state)
{
    struct stat st;
    command_end end = {0};

    (void)state;
    populate();
    get_into("/dev/full", 3, NULL);
    get_into("/dev/null", 0, NULL);
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
    RUN(&end, "get", address_of("abc"), "-o", "-");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "abc");
    RUN(&end, "get", address_of("abc"), "-o", "");
    EXPECT(&end, 3);
    command_end_free(&end);
}

static void get_of_a_large_blob_to_a_reader_that_goes_away_is_3(void **state)
{
    const size_t size = (size_t)1 << 20;
    char *bytes = test_payload(3, size), address[65];
    command_end end = {0};
    command c;

    (void)state;
    file_make("f", bytes, size);
    RUN(&end, "put", "f");
    EXPECT(&end, 0);
    memcpy(address, end.out, 64);
    address[64] = '\0';
    START(&c, "get", address);
    close(c.out);
    c.out = -1;
    command_finish(&c, &end);
    EXPECT(&end, 3);
    SAYS(&end, "wbstore: get: standard output: Broken pipe");
    free(bytes);
    command_end_free(&end);
}

static void ls_shows_buffer_and_base_as_one_in_order(void **state)
{
    static const char *const texts[] = {"abc", "both", "xyz"};
    char want[512] = "", addresses[3][65];
    command_end end = {0};

    (void)state;
    assert_int_equal(mkdir("buffer", 0777), 0);
    assert_int_equal(mkdir("base", 0777), 0);
    RUN(&end, "ls");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "");
    populate();
    for (size_t i = 0; i < 3; i++)
        snprintf(addresses[i], sizeof addresses[i], "%s", address_of(texts[i]));
    for (size_t round = 0; round < 3; round++) { /* the address that has `round` smaller ones */
        for (size_t i = 0; i < 3; i++) {
            size_t smaller = 0;

            for (size_t k = 0; k < 3; k++)
                smaller += strcmp(addresses[k], addresses[i]) < 0;
            if (smaller == round)
                snprintf(want + strlen(want), sizeof want - strlen(want), "%s  %zu\n", addresses[i], strlen(texts[i]));
        }
    }
    RUN(&end, "ls");
    EXPECT(&end, 0);
    assert_string_equal(end.out, want);
    command_end_free(&end);
}

static void rm_removes_from_the_base_and_from_the_buffer(void **state)
{
    char abc[65], both[65], xyz[65];
    command_end end = {0};

    (void)state;
    populate();
    snprintf(abc, sizeof abc, "%s", address_of("abc"));
    snprintf(both, sizeof both, "%s", address_of("both"));
    snprintf(xyz, sizeof xyz, "%s", address_of("xyz"));
    RUN(&end, "rm", abc, "not-hex", both);
    EXPECT(&end, 2);
    assert_int_equal(blobs_in("base"), 2); /* a mistyped address removes nothing */
    RUN(&end, "rm", abc, both);
    EXPECT(&end, 0);
    assert_string_equal(end.out, "");
    assert_int_equal(blobs_in("base"), 0);
    assert_int_equal(blobs_in("buffer"), 1);
    RUN(&end, "rm", abc, xyz);
    EXPECT(&end, 1);
    SAYS(&end, abc);
    SAYS(&end, of_buffer("not found in ", " or base"));
    assert_int_equal(blobs_in("buffer"), 0);
    RUN(&end, "sync");
    EXPECT(&end, 0);
    assert_int_equal(blobs_in("base"), 0); /* and no pending upload brings it back */
    command_end_free(&end);
}

static void reading_and_removing_send_nothing(void **state)
{
    command_end end = {0};
    char name[16], abc[65];

    (void)state;
    populate();
    for (unsigned i = 0; i < 30; i++) {
        snprintf(name, sizeof name, "f%u", i);
        file_text(name, name);
        RUN(&end, "put", "--no-sync", name);
        EXPECT(&end, 0);
    }
    snprintf(abc, sizeof abc, "%s", address_of("abc"));
    for (unsigned i = 0; i < 5; i++) {
        RUN(&end, "get", address_of("f7"));
        EXPECT(&end, 0);
        RUN(&end, "get", abc);
        EXPECT(&end, 0);
        RUN(&end, "ls");
        EXPECT(&end, 0);
        RUN(&end, "status");
        EXPECT(&end, 0);
        RUN(&end, "rm", address_of("nothing"));
        EXPECT(&end, 1);
    }
    assert_int_equal(blobs_in("base"), 2);
    assert_int_equal(blobs_in("buffer"), 32);
    command_end_free(&end);
}

/* Other programs may put what is no address; ls shows it, get and rm take it. */
static void keys_that_are_no_address_can_be_read_and_removed(void **state)
{
    blob_store *base = NULL;
    command_end end = {0};

    (void)state;
    test_ok(blob_filestore_open(&base, "base", NULL));
    test_ok(blob_store_put(base, NULL, blob_key_of("\x01\xff", 2), blob_view_of("any", 3), 0));
    test_ok(blob_store_close(base, NULL));
    assert_int_equal(mkdir("buffer", 0777), 0);
    RUN(&end, "ls");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "01ff  3\n");
    RUN(&end, "get", "01FF");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "any");
    RUN(&end, "rm", "01ff");
    EXPECT(&end, 0);
    RUN(&end, "ls");
    assert_string_equal(end.out, "");
    command_end_free(&end);
}

/* It has no digits; what ls calls it, get and rm take. */
static void the_empty_key_has_a_name(void **state)
{
    blob_store *buffer = buffer_open();
    command_end end = {0};

    (void)state;
    test_ok(blob_store_put(buffer, NULL, blob_key_of(NULL, 0), blob_view_of("none", 4), 0));
    test_ok(blob_store_close(buffer, NULL));
    assert_int_equal(mkdir("base", 0777), 0);
    RUN(&end, "ls");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "empty-key  4\n");
    RUN(&end, "get", "empty-key");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "none");
    RUN(&end, "rm", "empty-key");
    EXPECT(&end, 0);
    RUN(&end, "get", "empty-key");
    EXPECT(&end, 1);
    SAYS(&end, of_buffer("empty-key: not found in ", " or base"));
    command_end_free(&end);
}

static void a_list_that_cannot_be_written_is_3(void **state)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    command_end end = {0};
    command c;

    (void)state;
    populate();
    assert_true(full >= 0);
    command_start(&c, COMMAND_PIPE, full, COMMAND_PIPE, (const char *const[]){"ls", NULL});
    command_finish(&c, &end);
    EXPECT(&end, 3);
    SAYS(&end, "wbstore: ls: standard output: No space left on device");
    close(full);
    command_end_free(&end);
}

/* As `wbstore ls | head -1`: it ends, by itself, and says so. */
static void ls_to_a_reader_that_goes_away_is_3(void **state)
{
    blob_store *buffer = buffer_open();
    command_end end = {0};
    char line[256];
    command c;

    (void)state;
    for (unsigned i = 0; i < 1100; i++) { /* more than a pipe holds */
        snprintf(line, sizeof line, "blob %u", i);
        put_text(buffer, line);
    }
    test_ok(blob_store_close(buffer, NULL));
    assert_int_equal(mkdir("base", 0777), 0);
    START(&c, "ls");
    command_read_line(&c, line, sizeof line);
    close(c.out);
    c.out = -1;
    command_finish(&c, &end);
    EXPECT(&end, 3);
    SAYS(&end, "wbstore: ls: standard output: Broken pipe: what it was to show is incomplete");
    command_end_free(&end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE_BOTH(get_finds_it_in_the_buffer_or_in_the_base),
        PROMISE_BOTH(an_empty_blob_is_a_blob),
        PROMISE_BOTH(a_buffered_blob_is_read_without_its_base),
        PROMISE_BOTH(looking_at_a_store_that_is_not_there_is_3_and_makes_none),
        PROMISE_BOTH(get_of_a_missing_blob_is_1),
        PROMISE_BOTH(damaged_bytes_never_go_out),
        PROMISE_BOTH(get_writes_a_file_whole_or_not_at_all),
        PROMISE(a_name_may_be_as_long_as_names_can_be),
        PROMISE_BOTH(a_file_that_is_replaced_keeps_its_permissions),
        PROMISE_BOTH(a_failed_write_leaves_the_old_file_and_no_other),
        PROMISE_BOTH(get_writes_to_what_is_no_plain_file_as_it_is),
        PROMISE_BOTH(get_of_a_large_blob_to_a_reader_that_goes_away_is_3),
        PROMISE_BOTH(ls_shows_buffer_and_base_as_one_in_order),
        PROMISE_BOTH(rm_removes_from_the_base_and_from_the_buffer),
        PROMISE_BOTH(reading_and_removing_send_nothing),
        PROMISE_BOTH(keys_that_are_no_address_can_be_read_and_removed),
        PROMISE_BOTH(the_empty_key_has_a_name),
        PROMISE_BOTH(a_list_that_cannot_be_written_is_3),
        PROMISE(ls_to_a_reader_that_goes_away_is_3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
