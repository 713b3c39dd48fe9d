/* test_s3_words.c - why a HEAD was refused. Its answer has no body, so no words: they are asked for with a GET, whose answer
 * has them, and which corrects what the HEAD alone could not. */
#include "s3_test.h"

typedef enum ask { SIZE, DELETE, PUT, ASKS } ask;

/* Each begins with a HEAD of the object of "a". */
static int do_ask(blob_store *s, ask what)
{
    return what == SIZE     ? t_size(s, test_key("a"))
           : what == DELETE ? t_del(s, test_key("a"))
                            : t_put(s, test_key("a"), "a", 0);
}

static void a_refused_head_is_told_in_the_servers_own_words(void **state)
{
    static const struct {
        unsigned status;
        const char *code;
        int means;
    } cases[] = {
        {403, "SignatureDoesNotMatch", BLOB_DENIED},
        {403, "AccessDenied", BLOB_DENIED},
        {401, "Unauthorized", BLOB_DENIED},
        {400, "ExpiredToken", BLOB_DENIED},
        {400, "InvalidBucketName", BLOB_DENIED},
        {400, "KeyTooLongError", BLOB_REJECTED},
        {400, "InvalidArgument", -EIO},
    };
    s3sim_entry head, get;
    blob_error e;

    (void)state;
    for (size_t i = 0; i < ASKS * (sizeof cases / sizeof *cases); i++) {
        unsigned status = cases[i / ASKS].status;
        blob_store *s = t_open(); /* one that does not know yet whether a put needs to look first */

        s3sim_clear(t_sim);
        T_FAIL(.act = S3SIM_ANSWER, .status = status, .code = cases[i / ASKS].code, .message = "in its own words",
               .fields = "Retry-After: 7\r\n");
        test_status(do_ask(s, (ask)(i % ASKS)), cases[i / ASKS].means);
        e = t_expect_words(cases[i / ASKS].means, "in its own words");
        assert_non_null(strstr(e.text, cases[i / ASKS].code));
        assert_non_null(strstr(e.text, ": HEAD 61: 40")); /* it is what was asked */
        assert_int_equal(e.retry_after_ms, 7000);
        assert_true(s3sim_log(t_sim, 0, &head));
        assert_true(s3sim_log(t_sim, 1, &get));
        assert_string_equal(get.path, head.path);
        assert_true(get.first_byte); /* of a blob, should there be one after all, no more than that */
        t_expect_requests("HEAD GET");
        t_close(s);
    }
}

static void so_is_that_of_the_bucket(void **state)
{
    blob_store *s = t_open();
    s3sim_entry get;

    (void)state;
    T_FAIL(.act = S3SIM_ANSWER, .skip = 1, .status = 403, .code = "AccessDenied", .message = "in its own words");
    test_status(t_size(s, test_key("a")), BLOB_DENIED);
    t_expect_words(BLOB_DENIED, ": HEAD: 403 AccessDenied: in its own words");
    assert_true(s3sim_log(t_sim, 2, &get));
    assert_string_equal(get.path, "/bucket");
    assert_string_equal(get.query, "list-type=2&max-keys=1");
    t_expect_requests("HEAD HEAD GET");
    t_close(s);
}

/* A server that is busy is not asked a second time to say so; what a 404 leaves open is another question. */
static void other_answers_to_a_head_say_enough(void **state)
{
    static const unsigned answers[] = {301, 405, 408, 409, 429, 500, 503, 507};
    blob_store *s = t_open();

    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        s3sim_clear(t_sim);
        T_FAIL(.act = S3SIM_ANSWER, .status = answers[i], .code = "Odd");
        assert_true(t_size(s, test_key("a")) < 0);
        t_expect_requests("HEAD");
    }
    t_close(s);
}

/* Nothing is lost when the words are not to be had: the HEAD was answered. */
static void without_words_it_is_refused_all_the_same(void **state)
{
    blob_store *s = t_open();
    test_later later;
    blob_ctx *ctx;

    (void)state;
    test_ok(t_put(s, test_key("a"), "bytes", BLOB_REPLACE));
    s3sim_forget(t_sim);
    T_FAIL(.act = S3SIM_ANSWER, .method = "HEAD", .status = 403);
    for (int i = 0; i < 3; i++) {
        if (i == 1)
            T_FAIL(.act = S3SIM_ANSWER, .method = "GET", .status = 503, .code = "SlowDown", .count = 1);
        if (i == 2)
            T_FAIL(.act = S3SIM_RESET, .method = "GET", .count = 1);
        test_status(t_size(s, test_key("a")), BLOB_DENIED);
        t_expect_words(BLOB_DENIED, "HEAD 61: 403: are the credentials right");
        t_expect_requests(i < 2 ? "HEAD GET" : "HEAD GET GET"); /* a kept connection that broke */
    }
    test_ok(blob_ctx_new(&ctx, NULL));
    T_FAIL(.act = S3SIM_STALL, .method = "GET");
    test_delete_later(&later, s, ctx, test_key("a"));
    s3sim_stalled_await(t_sim, 1);
    blob_ctx_cancel(ctx);
    test_status(test_later_join(&later), BLOB_DENIED);
    blob_ctx_free(ctx);
    s3sim_release(t_sim);
    t_close(s);
}

/* A server may name the right region, or the right time, in the words alone. */
static void the_words_correct_what_the_head_could_not(void **state)
{
    static const char malformed[] =
        "HTTP/1.1 400 No\r\nConnection: close\r\nContent-Length: 85\r\n\r\n"
        "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-central-7</Region></Error>";

    (void)state;
    for (int i = 0; i < ASKS; i++) {
        blob_store *s = t_open();

        s3sim_put(t_sim, "61", "a", SIZE_MAX);
        T_SET(region, "eu-central-7");
        T_FAIL(.act = S3SIM_ANSWER, .method = "HEAD", .status = 400, .count = 1);
        T_FAIL(.act = S3SIM_RAW, .method = "GET", .raw = malformed, .count = 1);
        test_status(do_ask(s, (ask)i), i == PUT ? BLOB_EXISTS : 0);
        t_expect_requests(i == DELETE ? "HEAD GET HEAD DELETE" : "HEAD GET HEAD");
        test_ok(t_put(s, test_key("a"), "a", BLOB_REPLACE));
        t_expect_requests("PUT"); /* and it is kept */
        s3sim_clear(t_sim);
        t_close(s);
    }
    T_SET(region, "us-east-1");
    T_SET(clock_s, 3600);
    T_SET(date_unsaid, true);
    for (int i = 0; i < 2; i++) {
        blob_store *s = t_open();

        T_SET(server_time_unsaid, i == 1);
        test_status(t_size(s, test_key("a")), i == 0 ? 0 : BLOB_DENIED);
        t_expect_requests(i == 0 ? "HEAD GET HEAD" : "HEAD GET");
        t_close(s);
    }
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, t_setup, t_teardown)
    const struct CMUnitTest tests[] = {
        T(a_refused_head_is_told_in_the_servers_own_words),
        T(so_is_that_of_the_bucket),
        T(other_answers_to_a_head_say_enough),
        T(without_words_it_is_refused_all_the_same),
        T(the_words_correct_what_the_head_could_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
