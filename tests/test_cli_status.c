/* test_cli_status.c - status: counts, age, parked blobs with their reasons, as text and as JSON; and it changes
 * nothing. */
#include "command.h"
#include "json.h"
#include "testutil.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <wbstore/wbstore.h>

static void put_three(void)
{
    command_end end = {0};

    file_text("f", "abc");
    file_text("g", "four");
    file_text("h", "");
    RUN(&end, "put", "--no-sync", "f", "g", "h");
    EXPECT(&end, 0);
    command_end_free(&end);
}

/* As if written that long ago. */
static void age(const char *path, time_t seconds)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) - seconds}};

    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void the_checker_of_json_is_strict(void **state)
{
    static const char *const good[] = {"{}",   "[]", " [1, -0.5e+3, \"\\u00e9\xc3\xa9\\n\", null, true, {\"a\":{}}] ",
                                       "\"\"", "0",  "\"\xf4\x8f\xbf\xbf\""};
    static const char *const bad[] = {"",    "{",      "[1,]",    "{\"a\"}",     "{a:1}",        "01",
                                      "1 2", "\"\n\"", "\"\\x\"", "\"\xff\"",    "\"\xc0\x80\"", "\"\xed\xa0\x80\"",
                                      "nul", "'a'",    "+1",      "\"\\u12g4\"", "[1 2]",        "{\"a\":1,}",
                                      ".5",  "\""};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(json_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(json_valid(bad[i], strlen(bad[i])));
}

static void status_counts_blobs_and_bytes_and_the_age_of_the_oldest(void **state)
{
    command_end end = {0};

    (void)state;
    put_three();
    age(file_of("buffer", "four"), 7380); /* two hours and three minutes */
    RUN(&end, "status");
    EXPECT(&end, 0);
    assert_non_null(strstr(end.out, "buffer   file:buffer\n"));
    assert_non_null(strstr(end.out, "pending  3 blobs, 7 bytes\n"));
    assert_non_null(strstr(end.out, "oldest   2:03:0"));
    assert_non_null(strstr(end.out, "parked   0\n"));
    command_end_free(&end);
}

static void an_empty_buffer_has_no_oldest(void **state)
{
    command_end end = {0};

    (void)state;
    assert_int_equal(mkdir("buffer", 0777), 0);
    RUN(&end, "status");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "buffer   file:buffer\npending  0 blobs, 0 bytes\noldest   -\nparked   0\n");
    RUN(&end, "status", "--json");
    EXPECT(&end, 0);
    assert_string_equal(end.out,
                        "{\"buffer\":\"file:buffer\",\"pending_blobs\":0,\"pending_bytes\":0,\"oldest_age_ms\":null,"
                        "\"parked\":[],\"log\":null}\n");
    command_end_free(&end);
}

static void a_buffer_that_is_not_there_is_a_mistake(void **state)
{
    command_end end = {0};

    (void)state;
    RUN(&end, "status");
    EXPECT(&end, 3);
    assert_string_equal(end.out, "");
    SAYS(&end, of_buffer("", ": no such folder, so nothing waits there: check --buffer"));
    assert_false(file_exists("buffer"));
    command_end_free(&end);
}

static void status_needs_no_base_and_sends_nothing(void **state)
{
    command_end end = {0};

    (void)state;
    put_three();
    RUN(&end, "status");
    EXPECT(&end, 0);
    assert_false(file_exists("base"));
    unsetenv("WBSTORE_BASE");
    RUN(&end, "status");
    EXPECT(&end, 0);
    assert_int_equal(blobs_in("buffer"), 3);
    command_end_free(&end);
}

static void damaged_blobs_are_parked_with_their_reason(void **state)
{
    command_end end = {0};
    char line[256];

    (void)state;
    put_three();
    assert_int_equal(mkdir("base", 0777), 0);
    damage_in("buffer", "abc");
    RUN(&end, "status");
    EXPECT(&end, 1);
    assert_non_null(strstr(end.out, "pending  3 blobs, 7 bytes\n"));
    snprintf(line, sizeof line, "parked   1\n%s  3  %s", address_of("abc"),
             buffer_is_log() ? "" : "its bytes do not hash to its address\n");
    assert_non_null(strstr(end.out, line));
    RUN(&end, "status", "--json");
    EXPECT(&end, 1);
    assert_true(json_valid(end.out, end.out_size));
    snprintf(line, sizeof line, "\"parked\":[{\"address\":\"%s\",\"size\":3,\"status\":%d,\"reason\":\"%s",
             address_of("abc"), BLOB_CORRUPT, buffer_is_log() ? "" : "its bytes do");
    assert_non_null(strstr(end.out, line));
    damage_in("buffer", "four");
    RUN(&end, "status", "--json");
    EXPECT(&end, 1);
    assert_true(json_valid(end.out, end.out_size));
    RUN(&end, "rm", address_of("abc"));
    EXPECT(&end, 0);
    RUN(&end, "rm", address_of("four"));
    EXPECT(&end, 0);
    RUN(&end, "status");
    EXPECT(&end, 0);
    command_end_free(&end);
}

static void json_is_one_valid_object_whatever_the_names(void **state)
{
    static const char *const names[] = {
        "quote\"back\\slash", "line\nend\ttab\x01\x7f", "latin1 \xe9t\xe9",     "\xc3\xa9",
        "\xed\xa0\x80",       "\xf0\x9f\x98\x80",       "\xf8\x88\x80\x80\x80", "\xc3"};
    command_end end = {0};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char url[64];

        snprintf(url, sizeof url, "./%s", names[i]);
        assert_int_equal(mkdir(names[i], 0777), 0);
        RUN(&end, "status", "--json", "--buffer", url);
        EXPECT(&end, 0);
        assert_true(json_valid(end.out, end.out_size));
        assert_int_equal(end.out[end.out_size - 1], '\n');
        RUN(&end, "status", "--buffer", url);
        EXPECT(&end, 0);
        assert_null(strchr(end.out, '\x01'));
    }
    RUN(&end, "status", "--json", "--buffer=./\xf0\x9f\x98\x80");
    assert_non_null(strstr(end.out, "\"./\xf0\x9f\x98\x80\""));
    RUN(&end, "status", "--json", "--buffer=./latin1 \xe9t\xe9");
    assert_non_null(strstr(end.out, "\"./latin1 \\ufffdt\\ufffd\""));
    command_end_free(&end);
}

static void json_says_the_age(void **state)
{
    command_end end = {0};
    const char *at;
    long long ms;

    (void)state;
    put_three();
    age(file_of("buffer", ""), 1000);
    RUN(&end, "status", "--json");
    EXPECT(&end, 0);
    assert_true(json_valid(end.out, end.out_size));
    assert_non_null(at = strstr(end.out, "\"oldest_age_ms\":"));
    ms = strtoll(at + strlen("\"oldest_age_ms\":"), NULL, 10);
    assert_true(ms >= 1000000 && ms < 1120000);
    assert_non_null(strstr(end.out, "\"pending_blobs\":3,\"pending_bytes\":7,"));
    command_end_free(&end);
}

/* What no address is cannot be checked, and is no reason to worry. */
static void keys_that_are_no_address_are_counted_and_not_parked(void **state)
{
    blob_store *buffer = buffer_open();
    command_end end = {0};

    (void)state;
    test_ok(blob_store_put(buffer, NULL, blob_key_of("k", 1), blob_view_of("any", 3), 0));
    test_ok(blob_store_put(buffer, NULL, blob_key_of(NULL, 0), blob_view_of("none", 4), 0));
    test_ok(blob_store_close(buffer, NULL));
    RUN(&end, "status");
    EXPECT(&end, 0);
    assert_non_null(strstr(end.out, "pending  2 blobs, 7 bytes\n"));
    command_end_free(&end);
}

/* The number of this name in a JSON object; there must be one. */
static long long number_of(const char *json, const char *name)
{
    char wanted[64], *end;
    const char *at;
    long long value;

    snprintf(wanted, sizeof wanted, "\"%s\":", name);
    at = strstr(json, wanted);
    if (at == NULL) {
        print_error("no %s in %s\n", name, json);
        fail();
        return -1;
    }
    value = strtoll(at + strlen(wanted), &end, 10);
    assert_true(end > at + strlen(wanted));
    return value;
}

static void a_logs_state_is_in_the_report(void **state)
{
    command_end end = {0};
    const char *log;

    (void)state;
    put_three();
    RUN(&end, "status", "--json");
    EXPECT(&end, 0);
    assert_true(json_valid(end.out, end.out_size));
    assert_int_equal(number_of(end.out, "pending_blobs"), 3);
    assert_in_range(number_of(end.out, "oldest_age_ms"), 0, 120000);
    log = strstr(end.out, ",\"log\":{");
    assert_non_null(log);
    assert_true(number_of(log, "segments") > 0);
    assert_true(number_of(log, "spare_segments") >= 0);
    assert_true(number_of(log, "live_bytes") >= 7);
    assert_int_equal(number_of(log, "live_bytes") + number_of(log, "dead_bytes"), number_of(log, "disk_bytes"));
    assert_int_equal(number_of(log, "damaged_records"), 0);
    assert_int_equal(number_of(log, "torn_records"), 0);
    assert_int_equal(number_of(log, "set_aside_segments"), 0);
    assert_int_equal(number_of(log, "set_aside_bytes"), 0);
    assert_non_null(strstr(log, ",\"read_only\":false,\"read_only_reason\":null}}\n"));
    RUN(&end, "status");
    EXPECT(&end, 0);
    assert_non_null(strstr(end.out, "\noldest   0:0"));
    assert_non_null(strstr(end.out, "\nlog      "));
    assert_non_null(strstr(end.out, " bytes on disk: "));
    assert_non_null(strstr(end.out, " live, "));
    assert_non_null(strstr(end.out, "\ndamage   0 records damaged, 0 torn; 0 segments set aside, 0 bytes\n"));
    assert_null(strstr(end.out, "read-only"));
    command_end_free(&end);
}

static void an_empty_log_has_no_oldest(void **state)
{
    command_end end = {0};

    (void)state;
    assert_int_equal(mkdir("buffer", 0777), 0); /* where nobody has made a log yet */
    RUN(&end, "status");
    EXPECT(&end, 0);
    assert_non_null(strstr(end.out, "buffer   buffer\npending  0 blobs, 0 bytes\noldest   -\nlog      "));
    assert_int_equal(folder_count("buffer"), 0); /* and a look makes none */
    test_ok(blob_store_close(buffer_open(), NULL));
    RUN(&end, "status", "--json");
    EXPECT(&end, 0);
    assert_non_null(strstr(end.out, "\"oldest_age_ms\":null,\"parked\":[],\"log\":{"));
    command_end_free(&end);
}

static void a_logs_damage_is_in_the_report(void **state)
{
    command_end end = {0};
    const char *log;

    (void)state;
    put_three();
    assert_int_equal(mkdir("base", 0777), 0);
    damage_in("buffer", "four");
    RUN(&end, "status", "--json");
    EXPECT(&end, 1);
    assert_non_null(log = strstr(end.out, "\"log\":{"));
    assert_int_equal(number_of(log, "damaged_records"), 1);
    RUN(&end, "status");
    EXPECT(&end, 1);
    assert_non_null(strstr(end.out, "\ndamage   1 record damaged, 0 torn; "));

    /* Its next host finds it too, and puts the segment by. */
    RUN(&end, "get", address_of("four"));
    EXPECT(&end, 1);
    RUN(&end, "rm", address_of("four"));
    EXPECT(&end, 0);
    RUN(&end, "sync");
    EXPECT(&end, 0);
    assert_true(file_exists(file_of("base", "abc")));
    RUN(&end, "status", "--json");
    assert_non_null(log = strstr(end.out, "\"log\":{"));
    assert_int_equal(number_of(end.out, "pending_blobs"), 0);
    command_end_free(&end);
}

/* A record that does not say whose it is: no blob can be parked for it, but it is told. */
static void damage_of_no_known_blob_is_in_the_report(void **state)
{
    unsigned char address[BLOB_ADDRESS_MAX];
    command_end end = {0};

    (void)state;
    put_three();
    blob_hash_sha256()->digest("four", 4, address);
    assert_true(damage_log("buffer", address, blob_hash_sha256()->size) > 0);
    RUN(&end, "status", "--json");
    EXPECT(&end, 1);
    assert_non_null(strstr(end.out, "\"parked\":[],"));
    assert_true(number_of(end.out, "damaged_records") > 0);
    command_end_free(&end);
}

/* Until somebody has looked at it and removes it. */
static void a_segment_set_aside_is_in_the_report(void **state)
{
    command_end end = {0};

    (void)state;
    put_three();
    file_text("buffer/damaged-0000000000000009", "twenty-two bytes of it");
    RUN(&end, "status", "--json");
    EXPECT(&end, 0);
    assert_int_equal(number_of(end.out, "set_aside_segments"), 1);
    assert_int_equal(number_of(end.out, "set_aside_bytes"), 22);
    RUN(&end, "status");
    EXPECT(&end, 0);
    assert_non_null(strstr(end.out, "; 1 segment set aside, 22 bytes\n"));
    command_end_free(&end);
}

static void status_looks_at_a_log_beside_its_host(void **state)
{
    blob_store *host = buffer_open();
    command_end end = {0};

    (void)state;
    put_text(host, "abc");
    RUN(&end, "status");
    EXPECT(&end, 0);
    assert_non_null(strstr(end.out, "pending  1 blob, 3 bytes\n"));
    put_text(host, "four");
    RUN(&end, "status", "--json");
    EXPECT(&end, 0);
    assert_int_equal(number_of(end.out, "pending_blobs"), 2);
    assert_int_equal(number_of(end.out, "pending_bytes"), 7);
    put_text(host, ""); /* nothing was locked or changed */
    assert_int_equal(test_len(host), 3);
    test_ok(blob_store_close(host, NULL));
    command_end_free(&end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checker_of_json_is_strict),
        PROMISE_FILES(status_counts_blobs_and_bytes_and_the_age_of_the_oldest),
        PROMISE_FILES(an_empty_buffer_has_no_oldest),
        PROMISE_BOTH(a_buffer_that_is_not_there_is_a_mistake),
        PROMISE_BOTH(status_needs_no_base_and_sends_nothing),
        PROMISE_BOTH(damaged_blobs_are_parked_with_their_reason),
        PROMISE(json_is_one_valid_object_whatever_the_names),
        PROMISE_FILES(json_says_the_age),
        PROMISE_BOTH(keys_that_are_no_address_are_counted_and_not_parked),
        PROMISE(a_logs_state_is_in_the_report),
        PROMISE(an_empty_log_has_no_oldest),
        PROMISE(a_logs_damage_is_in_the_report),
        PROMISE(damage_of_no_known_blob_is_in_the_report),
        PROMISE(a_segment_set_aside_is_in_the_report),
        PROMISE(status_looks_at_a_log_beside_its_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
