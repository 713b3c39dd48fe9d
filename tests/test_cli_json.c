/* test_cli_json.c - --json of the verbs that print records: each line one JSON object, whatever the names of files are;
 * and the figures of sync, for people and for programs. */
#include "command.h"
#include "json.h"
#include "testutil.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Splits off the next line, which must be an object. */
static char *next_object(char **text)
{
    char *line = strtok_r(*text, "\n", text);

    assert_non_null(line);
    if (!json_valid(line, strlen(line)))
        print_error("no JSON: %s\n", line);
    assert_true(json_valid(line, strlen(line)));
    assert_int_equal(line[0], '{');
    return line;
}

static void expect_object(char **text, const char *want)
{
    assert_string_equal(next_object(text), want);
}

static void put_tells_address_size_and_name(void **state)
{
    command_end end = {0};
    char want[256], *rest;

    (void)state;
    file_text("f", "abc");
    file_text("g", "");
    RUN(&end, "put", "--json", "f", "g", "-");
    EXPECT(&end, 0);
    rest = end.out;
    snprintf(want, sizeof want, "{\"address\":\"%s\",\"size\":3,\"name\":\"f\"}", address_of("abc"));
    expect_object(&rest, want);
    snprintf(want, sizeof want, "{\"address\":\"%s\",\"size\":0,\"name\":\"g\"}", address_of(""));
    expect_object(&rest, want);
    snprintf(want, sizeof want, "{\"address\":\"%s\",\"size\":0,\"name\":\"-\"}", address_of(""));
    expect_object(&rest, want);
    assert_string_equal(rest, "");
    command_end_free(&end);
}

static void any_name_is_one_valid_line_and_its_bytes_are_told(void **state)
{
    static const struct {
        const char *name, *shown;
    } names[] = {
        {"quote\"back\\slash", "\"name\":\"quote\\\"back\\\\slash\"}"},
        {"line\nend\ttab\x01\x7f", "\"name\":\"line\\u000aend\\u0009tab\\u0001\\u007f\"}"},
        {"\xc3\xa9", "\"name\":\"\xc3\xa9\"}"},
        {"\xf0\x9f\x98\x80", "\"name\":\"\xf0\x9f\x98\x80\"}"},
        {"\xe9t\xe9", "\"name\":\"\\ufffdt\\ufffd\",\"name_hex\":\"e974e9\"}"},
        {"\xed\xa0\x80", "\"name\":\"\\ufffd\\ufffd\\ufffd\",\"name_hex\":\"eda080\"}"},
        {"end\xc3", "\"name\":\"end\\ufffd\",\"name_hex\":\"656e64c3\"}"},
    };
    command_end end = {0};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *rest, *line;

        file_text(names[i].name, "abc");
        RUN(&end, "put", "--no-sync", "--json", names[i].name);
        EXPECT(&end, 0);
        rest = end.out;
        line = next_object(&rest);
        if (strstr(line, names[i].shown) == NULL)
            print_error("not %s but: %s\n", names[i].shown, line);
        assert_non_null(strstr(line, names[i].shown));
        assert_string_equal(rest, "");
    }
    command_end_free(&end);
}

/* All bytes that a name may have, one file each. */
static void every_byte_in_a_name_is_valid_json(void **state)
{
    command_end end = {0};
    char *rest, *line;

    (void)state;
    assert_int_equal(system("mkdir t"), 0);
    for (int byte = 1; byte < 256; byte++) {
        char name[] = {'t', '/', 'x', (char)byte, '\0'};

        if (byte != '/')
            file_text(name, "abc");
    }
    RUN(&end, "put", "--no-sync", "--json", "-r", "t");
    EXPECT(&end, 0);
    rest = end.out;
    for (int byte = 1; byte < 256; byte++) {
        char hex[32];

        if (byte == '/')
            continue;
        line = next_object(&rest);
        snprintf(hex, sizeof hex, "\"name_hex\":\"742f78%02x\"", (unsigned)byte);
        assert_int_equal(strstr(line, hex) != NULL, byte >= 0x80);
    }
    assert_string_equal(rest, "");
    command_end_free(&end);
}

static void ls_tells_address_and_size(void **state)
{
    blob_store *buffer = buffer_open();
    command_end end = {0};
    char want[256], *rest;

    (void)state;
    put_text(buffer, "abc");
    test_ok(blob_store_put(buffer, NULL, blob_key_of(NULL, 0), blob_view_of("under none", 10), 0));
    test_ok(blob_store_close(buffer, NULL));
    assert_int_equal(mkdir("base", 0777), 0);
    RUN(&end, "ls", "--json");
    EXPECT(&end, 0);
    rest = end.out;
    expect_object(&rest, "{\"address\":\"\",\"size\":10}");
    snprintf(want, sizeof want, "{\"address\":\"%s\",\"size\":3}", address_of("abc"));
    expect_object(&rest, want);
    assert_string_equal(rest, "");
    command_end_free(&end);
}

static void sync_shows_how_it_went(void **state)
{
    command_end end = {0};
    char *rest, *line;

    (void)state;
    file_text("f", "abc");
    file_text("g", "defg");
    RUN(&end, "put", "--no-sync", "f", "g");
    EXPECT(&end, 0);
    RUN(&end, "sync");
    EXPECT(&end, 0);
    assert_memory_equal(end.out, "sent     2 blobs, 0 retries\nlatency  p50 ", 41);
    assert_non_null(strstr(end.out, " ms, p99 "));
    assert_non_null(strstr(end.out, "\nat once  "));
    assert_non_null(strstr(end.out, "\nfailure  -\nwaiting  0 blobs, 0 bytes; 0 parked\n"));
    RUN(&end, "sync", "--json"); /* there is nothing to send: nothing is known of the base */
    EXPECT(&end, 0);
    rest = end.out;
    line = next_object(&rest);
    assert_memory_equal(line, "{\"sent\":0,\"retries\":0,", 22);
    assert_non_null(strstr(line, "\"base_p50_us\":null,\"base_p99_us\":null,\"base_max_us\":null,"));
    assert_non_null(strstr(line, "\"last_status\":null,\"last_reason\":null,\"last_age_ms\":null,"));
    assert_non_null(strstr(line, ",\"pending_blobs\":0,\"pending_bytes\":0,\"parked\":0}"));
    assert_string_equal(rest, "");
    command_end_free(&end);
}

/* A sync of a base that refuses, stopped when it is known to be down. */
static void sync_refused(command_end *end, const char *how)
{
    char seen[4096] = "";
    size_t used = 0;
    command c;

    START(&c, "sync", how);
    while (strstr(seen, "still trying; Ctrl-C stops") == NULL) {
        ssize_t got = read(c.err, seen + used, sizeof seen - used - 1);

        assert_true(got > 0);
        used += (size_t)got;
        seen[used] = '\0';
    }
    assert_int_equal(kill(c.pid, SIGINT), 0);
    command_finish(&c, end);
    EXPECT(end, 130);
}

static void sync_shows_what_failed_last_and_what_bounds_it(void **state)
{
    command_end end = {0};
    char *rest, *line;

    (void)state;
    file_text("f", "abc");
    block_base("abc");
    RUN(&end, "put", "--no-sync", "f");
    sync_refused(&end, "--json");
    rest = end.out;
    line = next_object(&rest);
    assert_memory_equal(line, "{\"sent\":0,\"retries\":", 20);
    assert_non_null(strstr(line, "\"pending_blobs\":1,\"pending_bytes\":3,\"parked\":0}"));
    assert_non_null(strstr(line, "\"concurrency_reason\":\"down\""));
    assert_null(strstr(line, "\"last_status\":null"));
    assert_null(strstr(line, "\"last_reason\":null"));
    assert_null(strstr(line, "\"last_age_ms\":null"));
    sync_refused(&end, "--timeout=1000");
    assert_non_null(strstr(end.out, "\nwaiting  1 blob, 3 bytes; 0 parked\n"));
    assert_non_null(strstr(end.out, ": the base is down\n"));
    assert_null(strstr(end.out, "\nfailure  -\n"));
    assert_non_null(strstr(end.out, "\nfailure  "));
    assert_non_null(strstr(end.out, " s ago\n"));
    command_end_free(&end);
}

static void status_shows_how_the_last_sending_went(void **state)
{
    command_end end = {0};
    char *rest, *line;

    (void)state;
    file_text("f", "abc");
    block_base("abc");
    RUN(&end, "put", "--no-sync", "f");
    RUN(&end, "status");
    EXPECT(&end, 0);
    assert_null(strstr(end.out, "\nsent ")); /* nobody has sent */
    RUN(&end, "status", "--json");
    assert_null(strstr(end.out, "last_sending"));
    sync_refused(&end, "--timeout=1000");
    RUN(&end, "status");
    EXPECT(&end, 0);
    assert_non_null(strstr(end.out, "\nsending  0:0"));
    assert_non_null(strstr(end.out, " ago; it ended so:\nsent     0 blobs, "));
    assert_non_null(strstr(end.out, ": the base is down\nfailure  "));
    assert_null(strstr(end.out, "failure  -"));
    assert_non_null(strstr(end.out, "base/")); /* the reason, with its path */
    RUN(&end, "status", "--json");
    EXPECT(&end, 0);
    rest = end.out;
    line = next_object(&rest);
    assert_non_null(strstr(line, ",\"last_sending\":{\"age_ms\":"));
    assert_non_null(strstr(line, ",\"concurrency_reason\":\"down\",\"last_status\":-"));
    unblock_base("abc");
    RUN(&end, "sync");
    EXPECT(&end, 0);
    RUN(&end, "status");
    EXPECT(&end, 0);
    assert_non_null(strstr(end.out, "\nsent     1 blob, 0 retries\n"));
    assert_non_null(strstr(end.out, "\nfailure  -\n"));
    command_end_free(&end);
}

/* Somebody may have written anything there: it is shown as nothing, and hinders nothing. */
static void a_record_that_makes_no_sense_is_none(void **state)
{
    static const char *const texts[] = {"", "wbstore sending 1\n", "wbstore sending 2\n1 2 3 4 5 6 7 8 9 0 0 0\n=\n",
                                        "\x01\xff\"}", "wbstore sending 1\n1 2 3 4 x 6 7 8 9 0 0 0\n=\n"};
    command_end end = {0};
    const char *at, *age;

    (void)state;
    test_ok(blob_store_close(buffer_open(), NULL));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        file_text("buffer/last-sending", texts[i]);
        RUN(&end, "status", "--json");
        EXPECT(&end, 0);
        assert_true(json_valid(end.out, end.out_size));
        assert_null(strstr(end.out, "last_sending"));
    }
    file_text("buffer/last-sending", "wbstore sending 1\n1 2 3 4 5 6 7 8 9 99 -5 0\n=\xff\"\x1b[2J\n");
    RUN(&end, "status", "--json");
    EXPECT(&end, 0);
    assert_true(json_valid(end.out, end.out_size));
    assert_non_null(at = strstr(end.out, "\"last_sending\":{\"age_ms\":"));
    assert_non_null(age = strstr(at, "\"last_age_ms\":"));
    assert_true(strtoll(age + 14, NULL, 10) > INT64_C(1000000000000)); /* it failed when it ended: in 1970 */
    assert_int_equal(strtoll(age + 14, NULL, 10), strtoll(at + 25, NULL, 10));
    RUN(&end, "status");
    EXPECT(&end, 0);
    assert_null(strchr(end.out, '\x1b'));
    assert_int_equal(rename("buffer/last-sending", "record"), 0);
    assert_int_equal(symlink("../record", "buffer/last-sending"), 0);
    RUN(&end, "status");
    EXPECT(&end, 0);
    assert_null(strstr(end.out, "\nsent "));
    assert_int_equal(unlink("buffer/last-sending"), 0);
    assert_int_equal(system("mkdir buffer/last-sending"), 0);
    RUN(&end, "status");
    EXPECT(&end, 0);
    RUN(&end, "sync");
    EXPECT(&end, 0);
    assert_false(file_exists("buffer/last-sending.new"));
    command_end_free(&end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE_BOTH(put_tells_address_size_and_name),
        PROMISE(any_name_is_one_valid_line_and_its_bytes_are_told),
        PROMISE(every_byte_in_a_name_is_valid_json),
        PROMISE_BOTH(ls_tells_address_and_size),
        PROMISE_BOTH(sync_shows_how_it_went),
        PROMISE(sync_shows_what_failed_last_and_what_bounds_it),
        PROMISE_BOTH(status_shows_how_the_last_sending_went),
        PROMISE_BOTH(a_record_that_makes_no_sense_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
