/* test_cli_verify.c - verify: every blob is looked at, what is damaged is named with its place, and nothing is changed;
 * a log also beside its host. */
#include "command.h"
#include "json.h"
#include "testutil.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wbstore/wbstore.h>

static const char first[] = "the first of the blobs", second[] = "the second of the blobs", third[] = "the third";

static void put_three(void)
{
    blob_store *buffer = buffer_open();

    put_text(buffer, first);
    put_text(buffer, second);
    put_text(buffer, third);
    test_ok(blob_store_close(buffer, NULL));
}

static void an_empty_buffer_is_sound(void **state)
{
    command_end end = {0};

    (void)state;
    test_ok(blob_store_close(buffer_open(), NULL));
    RUN(&end, "verify");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "0 blobs checked, 0 damaged\n");
    assert_string_equal(end.err, "");
    command_end_free(&end);
}

static void sound_blobs_are_counted(void **state)
{
    command_end end = {0};

    (void)state;
    put_three();
    unsetenv("WBSTORE_BASE"); /* needs none */
    RUN(&end, "verify");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "3 blobs checked, 0 damaged\n");
    assert_string_equal(end.err, "");
    RUN(&end, "verify", "--json");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "{\"blobs\":3,\"damaged\":0,\"other\":0}\n");
    assert_int_equal(blobs_in("buffer"), 3);
    command_end_free(&end);
}

static void a_buffer_that_is_not_there_is_a_mistake(void **state)
{
    command_end end = {0};

    (void)state;
    RUN(&end, "verify");
    EXPECT(&end, 3);
    SAYS(&end, of_buffer("wbstore: verify: ", ": no such folder"));
    assert_false(file_exists("buffer"));
    command_end_free(&end);
}

/* The start of a line about this blob: its address and where it lies. */
static const char *place_of(const char *text)
{
    static char line[256];

    if (buffer_is_log())
        snprintf(line, sizeof line, "%s  0000000000000001.log:", address_of(text));
    else
        snprintf(line, sizeof line, "%s  %.2s/%s  its bytes do not hash to its address\n", address_of(text),
                 address_of(text), address_of(text));
    return line;
}

static void a_damaged_blob_is_named_with_its_place(void **state)
{
    command_end end = {0};

    (void)state;
    put_three();
    damage_in("buffer", second);
    RUN(&end, "verify");
    EXPECT(&end, 1);
    assert_memory_equal(end.out, place_of(second), strlen(place_of(second)));
    assert_string_equal(strchr(end.out, '\n'), "\n3 blobs checked, 1 damaged\n");
    damage_in("buffer", first);
    RUN(&end, "verify");
    EXPECT(&end, 1);
    assert_non_null(strstr(end.out, place_of(first)));
    assert_non_null(strstr(end.out, place_of(second)));
    assert_null(strstr(end.out, address_of(third)));
    assert_non_null(strstr(end.out, "\n3 blobs checked, 2 damaged\n"));
    assert_int_equal(blobs_in("buffer"), 3); /* they stay */
    command_end_free(&end);
}

/* Splits off the next line. */
static char *next_line(char **text)
{
    char *line = strtok_r(*text, "\n", text);

    assert_non_null(line);
    return line;
}

static void json_has_an_object_for_each_and_a_last_one(void **state)
{
    command_end end = {0};
    char want[256], *rest, *line;

    (void)state;
    put_three();
    damage_in("buffer", second);
    RUN(&end, "verify", "--json");
    EXPECT(&end, 1);
    rest = end.out;
    line = next_line(&rest);
    assert_true(json_valid(line, strlen(line)));
    snprintf(want, sizeof want, "{\"address\":\"%s\",\"file\":\"", address_of(second));
    assert_memory_equal(line, want, strlen(want));
    if (buffer_is_log()) {
        const char *at = strstr(line, "\"file\":\"0000000000000001.log\",\"offset\":");

        assert_non_null(at);
        assert_true(strtol(at + strlen("\"file\":\"0000000000000001.log\",\"offset\":"), NULL, 10) > 0);
        assert_non_null(strstr(line, ",\"size\":"));
        assert_null(strstr(line, "\"size\":null"));
    } else {
        assert_non_null(
            strstr(line, ",\"offset\":null,\"size\":null,\"reason\":\"its bytes do not hash to its address\"}"));
    }
    line = next_line(&rest);
    assert_string_equal(line, "{\"blobs\":3,\"damaged\":1,\"other\":0}");
    command_end_free(&end);
}

/* Whole as it lies there, with a good checksum in a log; but it was never what its address says. */
static void bytes_under_a_wrong_address_are_found(void **state)
{
    blob_store *buffer = buffer_open();
    unsigned char address[BLOB_ADDRESS_MAX];
    command_end end = {0};
    char want[256];

    (void)state;
    blob_hash_sha256()->digest(first, strlen(first), address);
    test_ok(blob_store_put(buffer, NULL, blob_key_of(address, blob_hash_sha256()->size), blob_view_of("other", 5), 0));
    test_ok(blob_store_close(buffer, NULL));
    RUN(&end, "verify");
    EXPECT(&end, 1);
    if (buffer_is_log())
        snprintf(want, sizeof want, "%s  -  its bytes do not hash to its address\n1 blob checked, 1 damaged\n",
                 address_of(first));
    else
        snprintf(want, sizeof want, "%s1 blob checked, 1 damaged\n", place_of(first));
    assert_string_equal(end.out, want);
    command_end_free(&end);
}

/* Keys that are no address have no hash; in a log, a checksum. */
static void other_keys_have_their_checksum_only(void **state)
{
    blob_store *buffer = buffer_open();
    command_end end = {0};

    (void)state;
    test_ok(blob_store_put(buffer, NULL, blob_key_of("k", 1), blob_view_of("under a key", 11), 0));
    test_ok(blob_store_put(buffer, NULL, blob_key_of(NULL, 0), blob_view_of("under none", 10), 0));
    test_ok(blob_store_close(buffer, NULL));
    RUN(&end, "verify");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "2 blobs checked, 0 damaged\n");
    if (buffer_is_log()) {
        assert_int_equal(damage_log("buffer", "under none", 10), 1);
        RUN(&end, "verify");
        EXPECT(&end, 1);
        assert_memory_equal(end.out, "empty-key  0000000000000001.log:", 32);
        assert_non_null(strstr(end.out, "\n2 blobs checked, 1 damaged\n"));
        RUN(&end, "verify", "--json");
        EXPECT(&end, 1);
        assert_memory_equal(end.out, "{\"address\":\"\",\"file\":\"0", 23);
    }
    command_end_free(&end);
}

/* A flaw where the record says whose it is: no blob may be named, but the damage is told. */
static void damage_of_no_known_blob_is_told(void **state)
{
    unsigned char address[BLOB_ADDRESS_MAX];
    command_end end = {0};

    (void)state;
    put_three();
    blob_hash_sha256()->digest(second, strlen(second), address);
    assert_true(damage_log("buffer", address, blob_hash_sha256()->size) > 0);
    RUN(&end, "verify");
    EXPECT(&end, 1);
    assert_non_null(strstr(end.out, "  0000000000000001.log:"));
    assert_non_null(strstr(end.out, " damaged"));
    RUN(&end, "verify", "--json");
    EXPECT(&end, 1);
    assert_null(strstr(end.out, "\"damaged\":0,\"other\":0}"));
    command_end_free(&end);
}

static void verify_looks_at_a_log_beside_its_host(void **state)
{
    blob_store *host = buffer_open();
    command_end end = {0};

    (void)state;
    put_text(host, first);
    RUN(&end, "verify");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "1 blob checked, 0 damaged\n");
    put_text(host, second);
    put_text(host, third);
    RUN(&end, "verify");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "3 blobs checked, 0 damaged\n");
    damage_in("buffer", second);
    RUN(&end, "verify");
    EXPECT(&end, 1);
    assert_memory_equal(end.out, address_of(second), 64);
    put_text(host, "one more"); /* nothing was locked or changed */
    assert_int_equal(test_len(host), 4);
    test_ok(blob_store_close(host, NULL));
    command_end_free(&end);
}

static void a_report_that_cannot_be_written_is_3(void **state)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    command_end end = {0};
    command c;

    (void)state;
    put_three();
    assert_true(full >= 0);
    command_start(&c, COMMAND_PIPE, full, COMMAND_PIPE, (const char *const[]){"verify", NULL});
    command_finish(&c, &end);
    EXPECT(&end, 3);
    SAYS(&end, "wbstore: verify: standard output: No space left on device");
    close(full);
    command_end_free(&end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE_BOTH(an_empty_buffer_is_sound),
        PROMISE_BOTH(sound_blobs_are_counted),
        PROMISE_BOTH(a_buffer_that_is_not_there_is_a_mistake),
        PROMISE_BOTH(a_damaged_blob_is_named_with_its_place),
        PROMISE_BOTH(json_has_an_object_for_each_and_a_last_one),
        PROMISE_BOTH(bytes_under_a_wrong_address_are_found),
        PROMISE_BOTH(other_keys_have_their_checksum_only),
        PROMISE(damage_of_no_known_blob_is_told),
        PROMISE(verify_looks_at_a_log_beside_its_host),
        PROMISE_BOTH(a_report_that_cannot_be_written_is_3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
