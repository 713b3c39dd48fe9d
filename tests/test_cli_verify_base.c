/* test_cli_verify_base.c - verify --base-too: the base's blobs are looked at as the buffer's are, what is damaged is
 * named with its store and its place, and nothing is changed. */
#include "command.h"
#include "json.h"
#include "testutil.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wbstore/stores.h>

static const char buffered[] = "this one waits", sent[] = "this one was sent", other[] = "and this one too";

/* Two in the base, one in the buffer. */
static void populate(void)
{
    command_end end = {0};

    file_text("f", sent);
    file_text("g", other);
    file_text("h", buffered);
    RUN(&end, "put", "f", "g");
    EXPECT(&end, 0);
    RUN(&end, "put", "--no-sync", "h");
    EXPECT(&end, 0);
    command_end_free(&end);
}

static void both_stores_are_counted(void **state)
{
    command_end end = {0};

    (void)state;
    populate();
    RUN(&end, "verify", "--base-too");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "buffer: 1 blob checked, 0 damaged\nbase: 2 blobs checked, 0 damaged\n");
    assert_string_equal(end.err, "");
    RUN(&end, "verify", "--base-too", "--json");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "{\"blobs\":1,\"damaged\":0,\"other\":0,\"store\":\"buffer\"}\n"
                                 "{\"blobs\":2,\"damaged\":0,\"other\":0,\"store\":\"base\"}\n");
    RUN(&end, "verify");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "1 blob checked, 0 damaged\n");
    assert_int_equal(blobs_in("buffer"), 1); /* nothing was sent */
    assert_int_equal(blobs_in("base"), 2);
    command_end_free(&end);
}

static void a_damaged_blob_of_the_base_is_named_with_its_place(void **state)
{
    command_end end = {0};
    char want[512];

    (void)state;
    populate();
    damage_in("base", sent);
    RUN(&end, "verify");
    EXPECT(&end, 0); /* it was not asked */
    RUN(&end, "verify", "--base-too");
    EXPECT(&end, 1);
    snprintf(want, sizeof want,
             "buffer: 1 blob checked, 0 damaged\n%s  base:%.2s/%s  its bytes do not hash to its address\n"
             "base: 2 blobs checked, 1 damaged\n",
             address_of(sent), address_of(sent), address_of(sent));
    assert_string_equal(end.out, want);
    damage_in("buffer", buffered);
    RUN(&end, "verify", "--base-too");
    EXPECT(&end, 1);
    snprintf(want, sizeof want, "%s  buffer:", address_of(buffered));
    assert_memory_equal(end.out, want, strlen(want));
    assert_non_null(strstr(end.out, "\nbuffer: 1 blob checked, 1 damaged\n"));
    assert_non_null(strstr(end.out, "\nbase: 2 blobs checked, 1 damaged\n"));
    RUN(&end, "verify", "--base-too", "--json");
    EXPECT(&end, 1);
    snprintf(want, sizeof want, "{\"address\":\"%s\",\"file\":\"%.2s/%s\",", address_of(sent), address_of(sent),
             address_of(sent));
    assert_non_null(strstr(end.out, want));
    assert_non_null(strstr(end.out, "its address\",\"store\":\"base\"}\n"));
    for (char *rest = end.out, *line; (line = strtok_r(rest, "\n", &rest)) != NULL;)
        assert_true(json_valid(line, strlen(line)));
    command_end_free(&end);
}

static void a_base_that_is_a_log_has_its_checksums_and_may_be_in_use(void **state)
{
    blob_store *base = NULL;
    command_end end = {0};

    (void)state;
    setenv("WBSTORE_BASE", "log:base", 1);
    populate();
    damage_in("base", sent);
    test_ok(blob_logstore_open(&base, "base", NULL));
    RUN(&end, "verify", "--base-too");
    EXPECT(&end, 1);
    assert_non_null(strstr(end.out, "  base:0000000000000001.log:"));
    assert_non_null(strstr(end.out, "\nbase: 2 blobs checked, 1 damaged\n"));
    test_ok(blob_store_close(base, NULL));
    command_end_free(&end);
}

static void a_base_that_cannot_be_opened_is_3_and_the_buffer_is_verified(void **state)
{
    blob_store *base = NULL;
    command_end end = {0};

    (void)state;
    populate();
    test_ok(blob_filestore_open(&base, "base", NULL));
    RUN(&end, "verify", "--base-too");
    EXPECT(&end, 3);
    assert_string_equal(end.out, "buffer: 1 blob checked, 0 damaged\n");
    SAYS(&end, "wbstore: verify: base: in use by another process: wait until that has ended, or stop it");
    test_ok(blob_store_close(base, NULL));
    RUN(&end, "verify", "--base-too", "--base=nowhere");
    EXPECT(&end, 3);
    SAYS(&end, "wbstore: verify: nowhere: no such folder: check --base");
    assert_false(file_exists("nowhere")); /* a verification makes none */
    unsetenv("WBSTORE_BASE");
    RUN(&end, "verify", "--base-too");
    EXPECT(&end, 2);
    SAYS(&end, "wbstore: verify: no base named: give --base FOLDER, or set WBSTORE_BASE");
    assert_string_equal(end.out, "");
    RUN(&end, "verify", "--base-too", "--base=./buffer");
    EXPECT(&end, 2);
    SAYS(&end, "--base and --buffer are the same folder");
    command_end_free(&end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE_BOTH(both_stores_are_counted),
        PROMISE_BOTH(a_damaged_blob_of_the_base_is_named_with_its_place),
        PROMISE(a_base_that_is_a_log_has_its_checksums_and_may_be_in_use),
        PROMISE_BOTH(a_base_that_cannot_be_opened_is_3_and_the_buffer_is_verified),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
