/* test_cli_put.c - put and sync: lines as sha256sum prints them, bytes as they were, errors that name the file, and
 * what waits in the buffer gets to the base. */
#include "command.h"
#include "testutil.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wbstore/wbstore.h>

static void put_prints_address_and_name_as_sha256sum_does(void **state)
{
    static const char want[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  abc\n"
                               "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  two words \xc3\xa9\n"
                               "\\ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a\\nb\\\\c\\rd\n";
    command_end end = {0};

    (void)state;
    file_text("abc", "abc");
    file_text("two words \xc3\xa9", "");
    file_text("a\nb\\c\rd", "abc");
    RUN(&end, "put", "abc", "two words \xc3\xa9", "a\nb\\c\rd");
    EXPECT(&end, 0);
    assert_string_equal(end.out, want);
    assert_string_equal(end.err, "");
    RUN(&end, "put", "--no-sync", "abc", "two words \xc3\xa9", "a\nb\\c\rd");
    EXPECT(&end, 0);
    assert_string_equal(end.out, want);
    command_end_free(&end);
}

#define FILES_MAX 250

/* Paths of every second plain file of this folder, and last the command's own; after a verb and an option. */
static size_t real_files(const char *args[], size_t odd)
{
    static const char folder[] = WBSTORE_SOURCES;
    DIR *names = opendir(folder);
    size_t count = 2, seen = 0;

    assert_non_null(names);
    for (const struct dirent *entry; (entry = readdir(names)) != NULL;) {
        char path[4096];
        struct stat st;

        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || seen++ % 2 != odd)
            continue;
        assert_true(count < FILES_MAX);
        args[count] = strdup(path);
        assert_non_null(args[count++]);
    }
    closedir(names);
    args[count] = strdup(WBSTORE_COMMAND);
    assert_non_null(args[count++]);
    args[count] = NULL;
    return count - 2;
}

/* Each file goes in and comes out again, one half from the buffer and the other from the base. */
static void real_files_come_back_byte_for_byte(void **state)
{
    static const char *const options[] = {"--timeout=60", "--no-sync"};
    const char *args[FILES_MAX + 2];
    command_end put = {0}, got = {0};

    (void)state;
    for (size_t half = 0; half < 2; half++) {
        size_t files = real_files(args, half), seen = 0;
        char *line, *rest;

        assert_true(files > 10);
        args[0] = "put";
        args[1] = options[half];
        command_run(&put, NULL, 0, args);
        EXPECT(&put, 0);
        for (rest = put.out; (line = strtok_r(rest, "\n", &rest)) != NULL; seen++) {
            size_t size;
            char *want = file_read(args[2 + seen], &size);

            assert_non_null(want);
            line[64] = '\0';
            assert_string_equal(line + 66, args[2 + seen]);
            RUN(&got, "get", line);
            EXPECT(&got, 0);
            assert_int_equal(got.out_size, size);
            assert_memory_equal(got.out, want, size);
            free(want);
            free((char *)args[2 + seen]);
        }
        assert_int_equal(seen, files);
    }
    command_end_free(&put);
    command_end_free(&got);
}

static void standard_input_is_one_blob(void **state)
{
    const size_t size = 3145745;
    char *bytes = test_payload(7, size);
    command_end end = {0}, got = {0};

    (void)state;
    command_run(&end, bytes, size, (const char *const[]){"put", NULL});
    EXPECT(&end, 0);
    assert_string_equal(end.out + 64, "  -\n");
    end.out[64] = '\0';
    RUN(&got, "get", end.out);
    EXPECT(&got, 0);
    assert_int_equal(got.out_size, size);
    assert_memory_equal(got.out, bytes, size);

    file_text("f", "abc");
    command_run(&end, "xyz", 3, (const char *const[]){"put", "f", "-", NULL});
    EXPECT(&end, 0);
    assert_memory_equal(end.out, address_of("abc"), 64);
    assert_memory_equal(end.out + 68, address_of("xyz"), 64);
    command_run(&end, "", 0, (const char *const[]){"put", NULL});
    EXPECT(&end, 0);
    assert_memory_equal(end.out, address_of(""), 64);
    free(bytes);
    command_end_free(&end);
    command_end_free(&got);
}

static void a_file_that_cannot_be_read_is_named_and_the_others_are_put(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    file_text("g", "xyz");
    assert_int_equal(mkdir("folder", 0777), 0);
    RUN(&end, "put", "f", "missing\nfile", "\033[2Jgone", "\302\2332Jalso\302\240gone", "folder", "g");
    EXPECT(&end, 3);
    SAYS(&end, "wbstore: put: missing\\nfile: No such file or directory: ");
    SAYS(&end, "wbstore: put: \\033[2Jgone: No such file or directory: "); /* no terminal obeys it */
    SAYS(&end, "wbstore: put: \\302\\2332Jalso\302\240gone: No such file or directory: ");
    SAYS(&end, "wbstore: put: folder: Is a directory: put -r puts all files in it");
    assert_int_equal(end.out_size, 2 * (strlen("  f\n") + 64));
    assert_true(file_exists(file_of("base", "abc")));
    assert_true(file_exists(file_of("base", "xyz")));
    command_end_free(&end);
}

/* The command waits for the FIFO's writer, which comes only after the line of the file before was seen. */
static void a_line_comes_as_soon_as_its_blob_is_accepted(void **state)
{
    char line[256];
    command_end end = {0};
    command c;
    int fifo;

    (void)state;
    file_text("f", "abc");
    assert_int_equal(mkfifo("fifo", 0666), 0);
    START(&c, "put", "f", "fifo");
    command_read_line(&c, line, sizeof line);
    assert_memory_equal(line, address_of("abc"), 64);
    assert_string_equal(line + 64, "  f");
    fifo = open("fifo", O_WRONLY | O_CLOEXEC);
    assert_true(fifo >= 0);
    assert_int_equal(write(fifo, "xy", 2), 2);
    assert_int_equal(write(fifo, "z", 1), 1);
    close(fifo);
    command_finish(&c, &end);
    EXPECT(&end, 0);
    assert_memory_equal(end.out, address_of("xyz"), 64);
    command_end_free(&end);
}

static void put_returns_when_the_base_has_it(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    RUN(&end, "put", "f");
    EXPECT(&end, 0);
    assert_true(file_exists(file_of("base", "abc")));
    assert_int_equal(blobs_in("buffer"), 0);
    command_end_free(&end);
}

static void no_sync_leaves_it_to_sync_and_needs_no_base(void **state)
{
    command_end end = {0};

    (void)state;
    unsetenv("WBSTORE_BASE");
    file_text("f", "abc");
    file_text("g", "xyz");
    RUN(&end, "put", "--no-sync", "f", "g", "f");
    EXPECT(&end, 0);
    assert_string_equal(end.err, "");
    assert_int_equal(blobs_in("buffer"), 2);

    RUN(&end, "sync", "--base=base");
    EXPECT(&end, 0);
    assert_memory_equal(end.out, "sent     2 blobs, ", 18);
    assert_string_equal(end.err, "");
    assert_int_equal(blobs_in("buffer"), 0);
    assert_true(file_exists(file_of("base", "abc")));
    assert_true(file_exists(file_of("base", "xyz")));
    RUN(&end, "sync", "--base=base");
    EXPECT(&end, 0);
    command_end_free(&end);
}

static void a_put_also_sends_what_waited(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    file_text("g", "xyz");
    RUN(&end, "put", "--no-sync", "f");
    EXPECT(&end, 0);
    RUN(&end, "put", "g");
    EXPECT(&end, 0);
    assert_true(file_exists(file_of("base", "abc")));
    assert_true(file_exists(file_of("base", "xyz")));
    assert_int_equal(blobs_in("buffer"), 0);
    command_end_free(&end);
}

static void sync_of_a_buffer_that_is_not_there_is_a_mistake(void **state)
{
    command_end end = {0};

    (void)state;
    RUN(&end, "sync");
    EXPECT(&end, 3);
    SAYS(&end, of_buffer("wbstore: sync: ", ": no such folder, so nothing waits there: check --buffer"));
    assert_false(file_exists("buffer"));
    assert_false(file_exists("base"));
    command_end_free(&end);
}

static void a_base_that_cannot_be_opened_hinders_no_put(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    file_text("base", "a file, no folder");
    RUN(&end, "put", "f");
    EXPECT(&end, 4);
    assert_memory_equal(end.out, address_of("abc"), 64);
    SAYS(&end, "wbstore: put: base: Not a directory");
    SAYS(&end, of_buffer("1 blob waits in the buffer ", ": `wbstore sync` sends it"));
    RUN(&end, "sync");
    EXPECT(&end, 3);
    assert_int_equal(unlink("base"), 0);
    RUN(&end, "sync");
    EXPECT(&end, 0);
    assert_true(file_exists(file_of("base", "abc")));
    command_end_free(&end);
}

static void a_buffer_that_cannot_be_opened_is_3(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    file_text("buffer", "a file, no folder");
    RUN(&end, "put", "f");
    EXPECT(&end, 3);
    assert_string_equal(end.out, "");
    SAYS(&end, of_buffer("wbstore: put: ", ": Not a directory"));
    RUN(&end, "put", "f", "--no-sync");
    EXPECT(&end, 3);
    RUN(&end, "status");
    EXPECT(&end, 3);
    command_end_free(&end);
}

static void a_store_in_use_elsewhere_is_explained(void **state)
{
    static const char *const args[][3] = {{"put", "f"},         {"put", "--no-sync", "f"}, {"ls"},     {"sync"},
                                          {"rm", "abcd"},       {"get", "abcd"},           {"status"}, {"verify"},
                                          {"export", "-o", "x"}};
    blob_store *held = NULL;
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    held = buffer_open();
    for (size_t i = 0; i < sizeof args / sizeof args[0]; i++) {
        const char *const run[] = {args[i][0], args[i][1], args[i][2], NULL};

        command_run(&end, NULL, 0, run);
        if (i > 5 && buffer_is_log()) { /* these look at a log all the same */
            EXPECT(&end, 0);
            continue;
        }
        EXPECT(&end, 3);
        SAYS(&end, of_buffer("", ": in use by another process: wait until that has ended, or stop it"));
    }
    test_ok(blob_store_close(held, NULL));
    command_end_free(&end);
}

/* However short the time: there was nothing to wait for. */
static void a_timeout_is_kept_where_nothing_waits(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    RUN(&end, "put", "f");
    EXPECT(&end, 0);
    RUN(&end, "sync", "--timeout=1e-9");
    EXPECT(&end, 0);
    assert_string_equal(end.err, "");
    command_end_free(&end);
}

static void a_timeout_ends_the_wait_and_says_what_waits(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    block_base("abc");
    RUN(&end, "put", "f", "--timeout", "0.05");
    EXPECT(&end, 4);
    assert_memory_equal(end.out, address_of("abc"), 64);
    SAYS(&end, "not done within the time");
    SAYS(&end, of_buffer("1 blob waits in the buffer ", ": `wbstore sync` sends it"));
    RUN(&end, "sync", "--timeout=0.05");
    EXPECT(&end, 4);
    SAYS(&end, "wbstore: sync: not done within the time");
    RUN(&end, "put", "missing", "--timeout=0.05");
    EXPECT(&end, 3); /* what was not taken is graver than what waits */
    SAYS(&end, "wbstore: put: not done within the time");
    unblock_base("abc");
    RUN(&end, "sync", "--timeout=60");
    EXPECT(&end, 0);
    assert_true(file_exists(file_of("base", "abc")));
    command_end_free(&end);
}

static void what_cannot_be_sent_is_named_and_put_again_heals_it(void **state)
{
    command_end end = {0};
    char line[256];

    (void)state;
    file_text("f", "abc");
    file_text("g", "xyz");
    RUN(&end, "put", "--no-sync", "f", "g");
    EXPECT(&end, 0);
    damage_in("buffer", "abc");
    RUN(&end, "sync");
    EXPECT(&end, 4);
    snprintf(line, sizeof line, "wbstore: sync: %s: corrupt", address_of("abc"));
    SAYS(&end, line);
    SAYS(&end, "`wbstore put --no-sync` its file again");
    SAYS(&end, of_buffer("1 blob waits in the buffer ", ": `wbstore sync` tries again to send it"));
    assert_false(file_exists(file_of("base", "abc")));
    assert_true(file_exists(file_of("base", "xyz")));

    RUN(&end, "put", "--no-sync", "f");
    EXPECT(&end, 0);
    RUN(&end, "sync");
    EXPECT(&end, 0);
    assert_true(file_exists(file_of("base", "abc")));
    command_end_free(&end);
}

static void a_reader_that_goes_away_loses_no_blob(void **state)
{
    command_end end = {0};
    command c;

    (void)state;
    file_text("f", "abc");
    file_text("g", "xyz");
    file_text("h", "uvw");
    START(&c, "put", "-", "f", "g", "h");
    close(c.out); /* before the first line, for the input is still open */
    c.out = -1;
    command_finish(&c, &end);
    EXPECT(&end, 3);
    SAYS(&end, "wbstore: put: standard output: Broken pipe");
    SAYS(&end, "wbstore: put: stopped: f and 2 more were not put");
    assert_true(file_exists(file_of("base", "")));
    assert_int_equal(blobs_in("base"), 1);
    assert_int_equal(blobs_in("buffer"), 0);
    command_end_free(&end);
}

/* A closed stream's number must not go to the next file opened: lines would be written into it. */
static void closed_streams_harm_no_store(void **state)
{
    command_end end = {0};
    command c;
    size_t size;
    char *bytes;

    (void)state;
    file_text("f", "abc");
    command_start(&c, COMMAND_CLOSED, COMMAND_CLOSED, COMMAND_CLOSED, (const char *const[]){"put", "f", NULL});
    command_finish(&c, &end);
    EXPECT(&end, 3);
    bytes = file_read(file_of("base", "abc"), &size);
    assert_non_null(bytes);
    assert_string_equal(bytes, "abc");
    free(bytes);
    command_start(&c, COMMAND_CLOSED, COMMAND_CLOSED, COMMAND_PIPE, (const char *const[]){"put", "f", NULL});
    command_finish(&c, &end);
    EXPECT(&end, 3);
    SAYS(&end, "wbstore: put: standard output: Bad file descriptor");
    command_start(&c, COMMAND_CLOSED, COMMAND_PIPE, COMMAND_PIPE, (const char *const[]){"put", "-", NULL});
    command_finish(&c, &end);
    EXPECT(&end, 3);
    SAYS(&end, "wbstore: put: -: Bad file descriptor");
    command_end_free(&end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE_BOTH(put_prints_address_and_name_as_sha256sum_does),
        PROMISE(real_files_come_back_byte_for_byte),
        PROMISE_BOTH(standard_input_is_one_blob),
        PROMISE_BOTH(a_file_that_cannot_be_read_is_named_and_the_others_are_put),
        PROMISE_BOTH(a_line_comes_as_soon_as_its_blob_is_accepted),
        PROMISE_BOTH(put_returns_when_the_base_has_it),
        PROMISE_BOTH(no_sync_leaves_it_to_sync_and_needs_no_base),
        PROMISE_BOTH(a_put_also_sends_what_waited),
        PROMISE_BOTH(sync_of_a_buffer_that_is_not_there_is_a_mistake),
        PROMISE_BOTH(a_base_that_cannot_be_opened_hinders_no_put),
        PROMISE_BOTH(a_buffer_that_cannot_be_opened_is_3),
        PROMISE_BOTH(a_store_in_use_elsewhere_is_explained),
        PROMISE_BOTH(a_timeout_is_kept_where_nothing_waits),
        PROMISE_BOTH(a_timeout_ends_the_wait_and_says_what_waits),
        PROMISE_BOTH(what_cannot_be_sent_is_named_and_put_again_heals_it),
        PROMISE_BOTH(a_reader_that_goes_away_loses_no_blob),
        PROMISE_BOTH(closed_streams_harm_no_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
