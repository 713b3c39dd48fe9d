/* test_s3_correct.c - the two things that an answer can correct, once for each call: the clock and the region. */
#include "s3_test.h"

#include <time.h>

/* An error with one element more, as the next answer. */
static void answer_next(unsigned status, const char *code, const char *element, const char *value)
{
    static char answers[8][500]; /* one each: the server may still have the last one in hand */
    static size_t used;
    char body[300], *raw;

    assert_true(used < 8);
    raw = answers[used++];
    snprintf(body, sizeof body, "<Error><Code>%s</Code><%s>%s</%s></Error>", code, element, value, element);
    snprintf(raw, sizeof answers[0], "HTTP/1.1 %u No\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", status,
             strlen(body), body);
    T_FAIL(.act = S3SIM_RAW, .raw = raw, .count = 1);
}

static void answer_skewed(int64_t off_s)
{
    time_t then = time(NULL) + (time_t)off_s;
    char text[40];
    struct tm tm;

    assert_non_null(gmtime_r(&then, &tm));
    assert_true(strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0);
    answer_next(403, "RequestTimeTooSkewed", "ServerTime", text);
}

/* ---- the clock ---- */

static void a_wrong_clock_is_corrected_once(void **state)
{
    static const int64_t clocks_s[] = {3600, -3600, 86400 * 365 * 30, -86400 * 365 * 20};

    (void)state;
    for (size_t i = 0; i < 4 * 4; i++) {
        blob_store *s = t_open();

        T_SET(clock_s, clocks_s[i % 4]);
        T_SET(server_time_unsaid, i / 4 == 1);
        T_SET(date_unsaid, i / 4 == 2);
        s3sim_forget(t_sim);
        if (i / 4 == 3) { /* a HEAD has Date alone */
            test_status(t_size(s, test_key("a")), BLOB_NOT_FOUND);
            t_expect_requests("HEAD HEAD HEAD"); /* refused, corrected, and the bucket */
        } else {
            test_ok(t_put(s, test_key("a"), "a", BLOB_REPLACE));
            t_expect_requests("PUT PUT");
        }
        test_ok(t_put(s, test_key("a"), "a", BLOB_REPLACE));
        t_expect_requests("PUT");
        (void)s3sim_remove(t_sim, "61");
        t_close(s);
    }
}

static void a_clock_that_stays_wrong_is_told(void **state)
{
    blob_store *s = t_open();

    (void)state;
    T_FAIL(.act = S3SIM_ANSWER, .status = 403, .code = "RequestTimeTooSkewed");
    for (int i = 0; i < 3; i++)
        test_status(t_len(s), BLOB_DENIED);
    t_expect_words(BLOB_DENIED, "clock");
    assert_true(s3sim_requests(t_sim, NULL) <= 6);
    t_close(s);
}

/* ---- the region ---- */

static void a_wrong_region_is_corrected_once(void **state)
{
    blob_store *s = t_open();

    (void)state;
    T_SET(region, "eu-central-7");
    test_ok(t_put(s, test_key("a"), "a", BLOB_REPLACE));
    t_expect_requests("PUT PUT");
    test_ok(t_put(s, test_key("a"), "a", BLOB_REPLACE));
    t_expect_requests("PUT");
    t_close(s);
    s = t_open();
    test_ok(t_size(s, test_key("a"))); /* named in the head: a HEAD has no body */
    t_expect_requests("HEAD HEAD");
    t_close(s);
}

static void a_region_may_stand_in_the_error_alone(void **state)
{
    blob_store *s = t_open();

    (void)state;
    T_SET(region, "eu-central-7");
    answer_next(400, "AuthorizationHeaderMalformed", "Region", "eu-central-7");
    test_ok(t_put(s, test_key("a"), "a", BLOB_REPLACE));
    t_expect_requests("PUT PUT");
    t_close(s);
}

/* Some are stricter than others: whoever says that it is the clock is believed. */
static void a_clock_that_is_off_by_little_is_corrected_too(void **state)
{
    blob_store *s = t_open();

    (void)state;
    answer_skewed(100);
    test_ok(t_put(s, test_key("a"), "a", BLOB_REPLACE));
    t_expect_requests("PUT PUT");
    assert_in_range(s3_of(s)->clock_offset_s, 60, 100);
    t_close(s);
}

static void a_server_that_says_another_thing_each_time_is_not_followed(void **state)
{
    blob_store *s = t_open();

    (void)state;
    answer_next(400, "AuthorizationHeaderMalformed", "Region", "eu-central-7");
    answer_next(400, "AuthorizationHeaderMalformed", "Region", "eu-central-8");
    test_status(t_put(s, test_key("a"), "a", BLOB_REPLACE), BLOB_DENIED);
    t_expect_requests("PUT PUT");
    t_close(s);
    s = t_open();
    s3sim_clear(t_sim);
    answer_skewed(3600);
    answer_skewed(7200);
    test_status(t_put(s, test_key("a"), "a", BLOB_REPLACE), BLOB_DENIED);
    t_expect_requests("PUT PUT");
    t_close(s);
}

/* No server minds a clock that is off by so little, and the region is the one that it was. */
static void what_is_not_wrong_is_not_corrected(void **state)
{
    blob_store *s = t_open();

    (void)state;
    T_SET(clock_s, 100);
    T_FAIL(.act = S3SIM_ANSWER, .status = 403, .code = "AccessDenied", .fields = "x-amz-bucket-region: us-east-1\r\n");
    test_status(t_put(s, test_key("a"), "a", BLOB_REPLACE), BLOB_DENIED);
    t_expect_requests("PUT");
    assert_int_equal(s3_of(s)->clock_offset_s, 0);
    t_close(s);
}

static void clock_and_region_can_both_be_wrong(void **state)
{
    blob_store *s = t_open();

    (void)state;
    T_SET(region, "eu-central-7");
    T_SET(clock_s, -7200);
    test_ok(t_put(s, test_key("a"), "a", BLOB_REPLACE));
    t_expect_requests("PUT PUT PUT");
    t_close(s);
}

static void a_region_that_cannot_be_corrected_is_told(void **state)
{
    blob_store *s = t_open();

    (void)state;
    T_SET(region, "eu-central-7");
    T_SET(region_unsaid, true);
    test_status(t_len(s), BLOB_DENIED);
    t_expect_words(BLOB_DENIED, "region");
    t_expect_requests("GET");
    /* A region goes into requests: one that could bring lines along is none. */
    s3sim_clear(t_sim);
    T_SET(region_unsaid, false);
    T_SET(region, "eu west&#13;&#10;x: y");
    test_status(t_len(s), BLOB_DENIED);
    t_expect_requests("GET");
    t_close(s);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, t_setup, t_teardown)
    const struct CMUnitTest tests[] = {
        T(a_wrong_clock_is_corrected_once),
        T(a_clock_that_stays_wrong_is_told),
        T(a_wrong_region_is_corrected_once),
        T(a_region_may_stand_in_the_error_alone),
        T(a_clock_that_is_off_by_little_is_corrected_too),
        T(a_server_that_says_another_thing_each_time_is_not_followed),
        T(what_is_not_wrong_is_not_corrected),
        T(clock_and_region_can_both_be_wrong),
        T(a_region_that_cannot_be_corrected_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
