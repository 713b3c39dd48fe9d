/* test_cli_args.c - the command line of wbstore: help, options, names of stores, mistakes. */
#include "command.h"
#include "testutil.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wbstore/wbstore.h>

static const char *const verbs[] = {"put", "get", "ls", "rm", "sync", "status", "verify", "export"};
#define VERBS (sizeof verbs / sizeof verbs[0])

static void help_names_every_command_and_exit_code(void **state)
{
    static const char *const codes[] = {"\n  0  ", "\n  1  ", "\n  2  ", "\n  3  ", "\n  4  ", "\n  130, 143  "};
    command_end end = {0}, other = {0};
    char line[64];

    (void)state;
    RUN(&end, "--help");
    EXPECT(&end, 0);
    assert_string_equal(end.err, "");
    for (size_t i = 0; i < VERBS; i++) {
        snprintf(line, sizeof line, "  wbstore %s", verbs[i]);
        assert_non_null(strstr(end.out, line));
    }
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        assert_non_null(strstr(end.out, codes[i]));
    RUN(&other, "help");
    EXPECT(&other, 0);
    assert_string_equal(other.out, end.out);
    RUN(&other, "-h");
    assert_string_equal(other.out, end.out);
    command_end_free(&end);
    command_end_free(&other);
}

static void every_command_has_help_of_its_own(void **state)
{
    command_end end = {0}, other = {0};
    char line[64];

    (void)state;
    for (size_t i = 0; i < VERBS; i++) {
        snprintf(line, sizeof line, "wbstore %s", verbs[i]);
        RUN(&end, "help", verbs[i]);
        EXPECT(&end, 0);
        assert_memory_equal(end.out, line, strlen(line));
        RUN(&other, verbs[i], "--help");
        EXPECT(&other, 0);
        assert_string_equal(other.out, end.out);
        RUN(&other, "--help", verbs[i]);
        assert_string_equal(other.out, end.out);
    }
    command_end_free(&end);
    command_end_free(&other);
}

static void version_is_the_librarys(void **state)
{
    command_end end = {0};
    char line[64];

    (void)state;
    snprintf(line, sizeof line, "wbstore %s\n", wbstore_version());
    RUN(&end, "--version");
    EXPECT(&end, 0);
    assert_string_equal(end.out, line);
    command_end_free(&end);
}

static void a_wrong_command_line_is_2_says_why_and_does_nothing(void **state)
{
    static const struct {
        const char *args[5];
        const char *says;
    } wrong[] = {
        {{NULL}, "which command?"},
        {{"frobnicate"}, "frobnicate: no such command"},
        {{"help", "frobnicate"}, "frobnicate: no such command"},
        {{"--frobnicate", "ls"}, "--frobnicate: no such option"},
        {{"ls", "-x"}, "-x: no such option"},
        {{"get", "--json"}, "--json: not an option of this command"},
        {{"--json", "rm"}, "--json: not an option of this command"},
        {{"ls", "-r"}, "--recursive: not an option of this command"},
        {{"put", "-r"}, "-r: name a folder"},
        {{"status", "--base-too"}, "--base-too: not an option of this command"},
        {{"status", "--no-sync"}, "--no-sync: not an option of this command"},
        {{"ls", "-o", "x"}, "--output: not an option of this command"},
        {{"status", "--json=yes"}, "--json: takes no value"},
        {{"ls", "--base"}, "--base FOLDER: the value is missing"},
        {{"get", "abcd", "-o"}, "-o FILE: the value is missing"},
        {{"get"}, "address: missing"},
        {{"rm"}, "address: missing"},
        {{"get", "ab", "cd"}, "cd: one argument too many"},
        {{"ls", "x"}, "x: one argument too many"},
        {{"status", "x"}, "x: one argument too many"},
        {{"verify", "x"}, "x: one argument too many"},
        {{"verify", "-o", "x"}, "--output: not an option of this command"},
        {{"export", "--json"}, "--json: not an option of this command"},
        {{"export"}, "where to? give -o FOLDER"},
        {{"export", "-o", "-"}, "where to? give -o FOLDER"},
        {{"export", "-o", ""}, "where to? give -o FOLDER"},
        {{"export", "-ox", "abcd", "nothex"}, "nothex: not an address"},
        {{"sync", "x"}, "x: one argument too many"},
        {{"sync", "--timeout=soon"}, "soon: not a number of seconds"},
        {{"sync", "--timeout", "0"}, "0: not a number of seconds"},
        {{"sync", "--timeout=-1"}, "-1: not a number of seconds"},
        {{"sync", "--timeout=nan"}, "nan: not a number of seconds"},
        {{"sync", "--timeout=0x10"}, "0x10: not a number of seconds"},
        {{"sync", "--timeout=+5"}, "+5: not a number of seconds"},
        {{"sync", "--timeout= 5"}, " 5: not a number of seconds"},
        {{"put", "--no-sync", "--timeout=1"}, "--timeout: has nothing to bound"},
        {{"put", "-", "-"}, "standard input (-) is named 2 times"},
        {{"get", "xyz"}, "xyz: not an address"},
        {{"get", "abc"}, "abc: not an address"},
        {{"get", ""}, "not an address"},
        {{"rm", "abcd", "nothex"}, "nothex: not an address"},
    };
    command_end end = {0};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        command_run(&end, NULL, 0, wrong[i].args);
        SAYS(&end, wrong[i].says);
        EXPECT(&end, 2);
        assert_string_equal(end.out, "");
        assert_memory_equal(end.err, "wbstore: ", 9);
        assert_ptr_equal(strchr(end.err, '\n'), end.err + end.err_size - 1); /* one line */
    }
    assert_false(file_exists("base"));
    assert_false(file_exists("buffer"));
    command_end_free(&end);
}

static void options_stand_before_or_after_the_command(void **state)
{
    command_end end = {0};

    (void)state;
    unsetenv("WBSTORE_BASE");
    unsetenv("WBSTORE_BUFFER");
    file_text("f", "abc");
    RUN(&end, "--base", "b1", "--buffer=u1", "put", "f");
    EXPECT(&end, 0);
    RUN(&end, "put", "f", "--base=b1", "--buffer", "u1");
    EXPECT(&end, 0);
    RUN(&end, "--buffer", "u1", "get", address_of("abc"), "-ocopy", "--base", "b1");
    EXPECT(&end, 0);
    assert_true(file_exists("copy"));
    RUN(&end, "--base=b1", "get", "--output=copy2", address_of("abc"), "--buffer=u1");
    EXPECT(&end, 0);
    assert_true(file_exists("copy2"));
    assert_int_equal(blobs_in("b1"), 1);
    command_end_free(&end);
}

static void two_dashes_end_the_options(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("--json", "abc");
    RUN(&end, "put", "--no-sync", "--", "--json");
    EXPECT(&end, 0);
    assert_string_equal(end.out + strlen(address_of("abc")), "  --json\n");
    RUN(&end, "--", "put", "--json");
    EXPECT(&end, 0);
    command_end_free(&end);
}

static void stores_are_named_by_option_or_else_by_environment(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    RUN(&end, "put", "f", "--base", "other");
    EXPECT(&end, 0);
    assert_int_equal(blobs_in("other"), 1);
    assert_false(file_exists("base"));
    RUN(&end, "put", "f");
    EXPECT(&end, 0);
    assert_int_equal(blobs_in("base"), 1);

    setenv("WBSTORE_BASE", "", 1);
    RUN(&end, "ls");
    EXPECT(&end, 2);
    SAYS(&end, "no base named: give --base FOLDER, or set WBSTORE_BASE");
    unsetenv("WBSTORE_BUFFER");
    RUN(&end, "ls", "--base=base");
    EXPECT(&end, 2);
    SAYS(&end, "no buffer named: give --buffer FOLDER, or set WBSTORE_BUFFER");
    command_end_free(&end);
}

static void a_store_is_a_folder_or_file_and_no_unknown_scheme(void **state)
{
    command_end end = {0};
    char url[4200];

    (void)state;
    file_text("f", "abc");
    snprintf(url, sizeof url, "file:%s/deep/er", (char *)*state);
    RUN(&end, "put", "f", "--base", url);
    EXPECT(&end, 0);
    assert_int_equal(blobs_in("deep/er"), 1);
    snprintf(url, sizeof url, "file://%s/deep/er", (char *)*state);
    RUN(&end, "ls", "--base", url);
    EXPECT(&end, 0);
    assert_true(end.out_size > 0);
    RUN(&end, "put", "f", "--base", "./a:b");
    EXPECT(&end, 0);
    assert_int_equal(blobs_in("a:b"), 1);

    RUN(&end, "put", "f", "--base", "s4:bucket/x");
    EXPECT(&end, 2);
    SAYS(&end, "unknown scheme s4: known are a folder and log:DIR and file:DIR");
    SAYS(&end, "./s4:bucket/x");
    RUN(&end, "put", "f", "--buffer", "FILE:x");
    EXPECT(&end, 2);
    RUN(&end, "put", "f", "--buffer", "file:");
    EXPECT(&end, 2);
    RUN(&end, "put", "f", "--buffer", "file://host/x");
    EXPECT(&end, 2);
    command_end_free(&end);
}

static void base_and_buffer_must_be_two(void **state)
{
    command_end end = {0};

    (void)state;
    RUN(&end, "ls", "--base=x", "--buffer=file:x");
    EXPECT(&end, 2);
    SAYS(&end, "the same folder");
    assert_false(file_exists("x"));
    file_text("f", "abc");
    RUN(&end, "put", "f", "--base=y", "--buffer=./y"); /* when there is nothing yet that could be compared */
    EXPECT(&end, 2);
    SAYS(&end, "the same folder");
    assert_int_equal(mkdir("buffer", 0777), 0);
    assert_int_equal(symlink("buffer", "link"), 0);
    RUN(&end, "ls", "--base=./link");
    EXPECT(&end, 2);
    SAYS(&end, "the same folder");
    command_end_free(&end);
}

static void output_that_cannot_be_written_is_an_error(void **state)
{
    command_end end = {0};
    command c;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    (void)state;
    assert_true(full >= 0);
    command_start(&c, COMMAND_PIPE, full, COMMAND_PIPE, (const char *const[]){"help", NULL});
    command_finish(&c, &end);
    EXPECT(&end, 3);
    SAYS(&end, "standard output: No space left on device");

    START(&c, "--version");
    close(c.out);
    c.out = -1;
    command_finish(&c, &end);
    assert_true(end.code == 0 || end.code == 3); /* it may have written before the reader went */
    command_start(&c, COMMAND_PIPE, COMMAND_CLOSED, COMMAND_PIPE, (const char *const[]){"help", NULL});
    command_finish(&c, &end);
    EXPECT(&end, 3);
    close(full);
    command_end_free(&end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE(help_names_every_command_and_exit_code),
        PROMISE(every_command_has_help_of_its_own),
        PROMISE(version_is_the_librarys),
        PROMISE(a_wrong_command_line_is_2_says_why_and_does_nothing),
        PROMISE(options_stand_before_or_after_the_command),
        PROMISE(two_dashes_end_the_options),
        PROMISE(stores_are_named_by_option_or_else_by_environment),
        PROMISE(a_store_is_a_folder_or_file_and_no_unknown_scheme),
        PROMISE(base_and_buffer_must_be_two),
        PROMISE(output_that_cannot_be_written_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
