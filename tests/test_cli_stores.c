/* test_cli_stores.c - kinds of stores: what a plain folder is, and that no blob is overlooked because of its name. */
#include "command.h"
#include "testutil.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wbstore/wbstore.h>

static bool is_log(const char *dir)
{
    char path[256];
    size_t found = 0;

    for (unsigned i = 0; i < 64; i++) {
        snprintf(path, sizeof path, "%s/%016x.log", dir, i);
        found += file_exists(path);
    }
    return found > 0;
}

static bool is_files(const char *dir)
{
    char path[256];

    snprintf(path, sizeof path, "%s/tmp", dir);
    return file_exists(path);
}

static void a_new_plain_buffer_is_a_log_and_a_new_plain_base_is_files(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    RUN(&end, "put", "f");
    EXPECT(&end, 0);
    assert_true(is_log("buffer") && !is_files("buffer"));
    assert_true(is_files("base") && !is_log("base"));

    assert_int_equal(mkdir("empty", 0777), 0);
    assert_int_equal(mkdir("other", 0777), 0);
    RUN(&end, "put", "f", "--buffer=empty", "--base=other");
    EXPECT(&end, 0);
    assert_true(is_log("empty") && is_files("other"));
    command_end_free(&end);
}

static void a_scheme_says_what_a_new_folder_becomes(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    RUN(&end, "put", "f", "--buffer=file:u", "--base=log:b");
    EXPECT(&end, 0);
    assert_true(is_files("u") && !is_log("u"));
    assert_true(is_log("b") && !is_files("b"));
    assert_int_equal(blobs_in("b"), 1);
    RUN(&end, "get", address_of("abc"), "--buffer=file:u", "--base=log:b");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "abc");
    command_end_free(&end);
}

/* As an upgrade finds it: the buffer has blobs from when a plain folder was a file store. */
static void a_plain_folder_is_what_is_in_it(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    file_text("g", "xyz");
    RUN(&end, "put", "--no-sync", "f", "--buffer=file:u");
    EXPECT(&end, 0);
    RUN(&end, "put", "--no-sync", "g", "--buffer=u");
    EXPECT(&end, 0);
    assert_false(is_log("u"));
    assert_int_equal(blobs_in("u"), 2);
    RUN(&end, "sync", "--buffer=u", "--base=log:b");
    EXPECT(&end, 0);
    assert_true(file_exists("u/tmp"));
    assert_int_equal(blobs_in("u"), 0);

    RUN(&end, "ls", "--buffer=u", "--base=b"); /* empty by now, and still what it was */
    EXPECT(&end, 0);
    assert_int_equal(end.out_size, 2 * (64 + strlen("  3\n")));
    assert_false(is_log("u") || is_files("b"));
    command_end_free(&end);
}

/* It has no blob and no folder for one yet. */
static void a_file_store_that_was_never_used_is_recognised(void **state)
{
    blob_store *host = NULL;
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    test_ok(blob_filestore_open(&host, "u", NULL));
    RUN(&end, "status", "--buffer=u");
    EXPECT(&end, 3);
    SAYS(&end, "u: in use by another process");
    test_ok(blob_store_close(host, NULL));
    RUN(&end, "put", "--no-sync", "f", "--buffer=u");
    EXPECT(&end, 0);
    assert_true(file_exists(file_of("u", "abc")));
    assert_false(is_log("u"));
    command_end_free(&end);
}

/* Each sign alone tells: a file store may have been copied without its LOCK and its empty folders. */
static void a_store_is_recognised_by_any_of_its_files(void **state)
{
    static const struct {
        const char *name;
        bool folder;
        const char *owner; /* NULL: a name of somebody else's */
    } names[] = {{"ab", true, "file"},
                 {"0f", true, "file"},
                 {"empty-key", false, "file"},
                 {"0000000000000001.log", false, "log"},
                 {"00000000000000af.log", false, "log"},
                 {"spare-0000000000000001", false, "log"},
                 {"damaged-00000000000000af", false, "log"},
                 {"tmp", true, NULL},
                 {"AB", true, NULL},
                 {"abc", true, NULL},
                 {"ab", false, NULL},
                 {"empty-key", true, NULL},
                 {"0000000000000001.log", true, NULL},
                 {"1.log", false, NULL},
                 {"spare-", false, NULL},
                 {"damaged-1", false, NULL}};
    command_end end = {0};
    char dir[32], text[128];

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *owner = names[i].owner;

        snprintf(dir, sizeof dir, "d%zu", i);
        assert_int_equal(mkdir(dir, 0777), 0);
        snprintf(text, sizeof text, "%s/%s", dir, names[i].name);
        if (names[i].folder)
            assert_int_equal(mkdir(text, 0777), 0);
        else
            file_text(text, "");
        snprintf(text, sizeof text, "%s:%s", owner != NULL && strcmp(owner, "file") == 0 ? "log" : "file", dir);
        RUN(&end, "status", "--buffer", text);
        EXPECT(&end, owner != NULL ? 2 : 0);
        if (owner == NULL)
            continue;
        snprintf(text, sizeof text, "write %s:%s, or name another folder", owner, dir);
        SAYS(&end, text);
        assert_int_equal(folder_count(dir), 1); /* refused: not touched */
    }
    command_end_free(&end);
}

static void a_scheme_that_does_not_fit_is_refused_with_the_one_that_does(void **state)
{
    static const char *const args[][4] = {
        {"put", "f"},    {"put", "--no-sync", "f"}, {"ls"}, {"sync"}, {"status"}, {"rm", "abcd"}, {"verify"},
        {"get", "abcd"}, {"export", "-o", "x"}};
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    RUN(&end, "put", "--no-sync", "f", "--buffer=file:u");
    EXPECT(&end, 0);
    RUN(&end, "put", "--no-sync", "f", "--buffer=log:v");
    EXPECT(&end, 0);
    for (size_t i = 0; i < 2 * (sizeof args / sizeof args[0]); i++) {
        const char *const *a = args[i / 2];
        const char *const run[] = {i % 2 == 0 ? "--buffer=log:u" : "--buffer=file:v", a[0], a[1], a[1] ? a[2] : NULL,
                                   NULL};

        command_run(&end, NULL, 0, run);
        EXPECT(&end, 2);
        SAYS(&end, i % 2 == 0 ? "--buffer log:u: a file store is in that folder: write file:u, or name another folder"
                              : "--buffer file:v: a log is in that folder: write log:v, or name another folder");
    }
    RUN(&end, "ls", "--base=file:v", "--buffer=u");
    EXPECT(&end, 2);
    SAYS(&end, "--base file:v: a log is in that folder: write log:v");
    assert_false(file_exists("base") || file_exists("x") || is_log("u") || is_files("v"));
    command_end_free(&end);
}

static void a_folder_with_two_stores_wants_a_scheme(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    RUN(&end, "put", "--no-sync", "f", "--buffer=log:u");
    EXPECT(&end, 0);
    assert_int_equal(mkdir("u/ab", 0777), 0);
    RUN(&end, "status", "--buffer=u");
    EXPECT(&end, 2);
    SAYS(&end, "--buffer u: more than one store is in that folder: write log:u or file:u");
    RUN(&end, "status", "--buffer=log:u");
    EXPECT(&end, 0);
    assert_non_null(strstr(end.out, "pending  1 blob, 3 bytes\n"));
    RUN(&end, "status", "--buffer=file:u");
    EXPECT(&end, 0);
    assert_non_null(strstr(end.out, "pending  0 blobs, 0 bytes\n"));
    command_end_free(&end);
}

/* It may have been made for a store that is yet to come; or the name is a mistake, and it is somebody's. */
static void a_folder_without_a_store_is_an_empty_one_and_left_alone(void **state)
{
    static const char *const kinds[] = {"", "log:", "file:"};
    static const struct {
        const char *args[4];
        int code;
        const char *out;
    } runs[] = {{{"ls"}, 0, ""},
                {{"get", "ab"}, 1, ""},
                {{"rm", "ab"}, 1, ""},
                {{"status"}, 0, NULL},
                {{"verify"}, 0, "0 blobs checked, 0 damaged\n"},
                {{"verify", "--base-too"}, 0, NULL},
                {{"export", "-o", "saved"}, 0, "0 blobs saved in saved, 0 damaged, 0 unreadable\n"}};
    blob_store *host = NULL;
    command_end end = {0};
    char buffer[32], base[32];

    (void)state;
    assert_int_equal(mkdir("u", 0777), 0);
    assert_int_equal(mkdir("b", 0777), 0);
    file_text("b/notes", "of somebody else");
    for (size_t i = 0; i < 2 * (sizeof kinds / sizeof kinds[0]); i++) {
        snprintf(buffer, sizeof buffer, "--buffer=%s%s", kinds[i / 2], i % 2 == 0 ? "u" : "b");
        snprintf(base, sizeof base, "--base=%s%s", kinds[i / 2], i % 2 == 0 ? "b" : "u");
        for (size_t k = 0; k < sizeof runs / sizeof runs[0]; k++) {
            const char *const *a = runs[k].args;

            command_run(&end, NULL, 0, (const char *const[]){buffer, base, a[0], a[1], a[1] ? a[2] : NULL, NULL});
            EXPECT(&end, runs[k].code);
            if (runs[k].out != NULL)
                assert_string_equal(end.out, runs[k].out);
        }
    }
    assert_int_equal(folder_count("u"), 0);
    assert_int_equal(folder_count("b"), 1);

    test_ok(blob_logstore_open(&host, "u", NULL)); /* of which there is only the LOCK yet */
    RUN(&end, "ls", "--buffer=u", "--base=b");
    EXPECT(&end, 3);
    SAYS(&end, "u: in use by another process");
    test_ok(blob_store_close(host, NULL));
    command_end_free(&end);
}

/* One of the two has a store: what is in it is found, and can be removed. */
static void beside_a_folder_without_a_store_the_other_is_read(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    assert_int_equal(mkdir("none", 0777), 0);
    RUN(&end, "put", "f", "--buffer=u", "--base=b");
    EXPECT(&end, 0);
    for (size_t i = 0; i < 2; i++) {
        const char *buffer = i == 0 ? "--buffer=none" : "--buffer=b", *base = i == 0 ? "--base=b" : "--base=none";

        RUN(&end, buffer, base, "ls");
        EXPECT(&end, 0);
        assert_int_equal(end.out_size, 64 + strlen("  3\n"));
        RUN(&end, buffer, base, "get", address_of("abc"));
        EXPECT(&end, 0);
        assert_string_equal(end.out, "abc");
    }
    RUN(&end, "--buffer=none", "--base=b", "rm", address_of("abc"));
    EXPECT(&end, 0);
    assert_int_equal(blobs_in("b"), 0);
    assert_int_equal(folder_count("none"), 0);
    command_end_free(&end);
}

static void a_log_is_named_as_a_folder_is(void **state)
{
    command_end end = {0};
    char url[4200];

    (void)state;
    file_text("f", "abc");
    snprintf(url, sizeof url, "log:%s/deep/er", (char *)*state);
    RUN(&end, "put", "--no-sync", "f", "--buffer", url);
    EXPECT(&end, 0);
    assert_int_equal(blobs_in("deep/er"), 1);
    RUN(&end, "put", "--no-sync", "f", "--buffer", "log:");
    EXPECT(&end, 2);
    SAYS(&end, "no folder named: give a folder or log:DIR");
    RUN(&end, "put", "--no-sync", "f", "--buffer", "log://host/x");
    EXPECT(&end, 2);
    SAYS(&end, "log: takes a folder, no host");
    assert_int_equal(mkdir("u", 0777), 0);
    RUN(&end, "ls", "--base=log:u", "--buffer=file:./u/../u");
    EXPECT(&end, 2);
    SAYS(&end, "the same folder");
    command_end_free(&end);
}

static void the_help_lists_the_schemes(void **state)
{
    command_end end = {0};

    (void)state;
    RUN(&end, "help");
    EXPECT(&end, 0);
    assert_non_null(strstr(end.out, "\n  log:DIR  "));
    assert_non_null(strstr(end.out, "\n  file:DIR  "));
    command_end_free(&end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE(a_new_plain_buffer_is_a_log_and_a_new_plain_base_is_files),
        PROMISE(a_scheme_says_what_a_new_folder_becomes),
        PROMISE(a_plain_folder_is_what_is_in_it),
        PROMISE(a_file_store_that_was_never_used_is_recognised),
        PROMISE(a_store_is_recognised_by_any_of_its_files),
        PROMISE(a_scheme_that_does_not_fit_is_refused_with_the_one_that_does),
        PROMISE(a_folder_with_two_stores_wants_a_scheme),
        PROMISE(a_folder_without_a_store_is_an_empty_one_and_left_alone),
        PROMISE(beside_a_folder_without_a_store_the_other_is_read),
        PROMISE(a_log_is_named_as_a_folder_is),
        PROMISE(the_help_lists_the_schemes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
