/* test_s3_answers.c - what every answer of a server means to s3store, in one table, and what it says about it; answers that
 * are no answers; a bucket that is not there; and no answer at all. */
#include "s3_test.h"
#include "blob/ctx.h"

/* ---- the table ---- */

typedef enum ask { GET, SIZE, PUT, REPLACE, DELETE, LIST, ASKS } ask;

static const char *const ask_method[ASKS] = {"GET", "HEAD", "PUT", "PUT", "DELETE", "GET"};

/* The key "a" is there for get, size and delete, so that the fault meets the request that it is for. */
static int do_ask(blob_store *s, ask what)
{
    switch (what) {
    case GET:
        return t_get(s, test_key("a"));
    case SIZE:
        return t_size(s, test_key("a"));
    case PUT:
        return t_put(s, test_key("b"), "bytes", 0);
    case REPLACE:
        return t_put(s, test_key("b"), "bytes", BLOB_REPLACE);
    case DELETE:
        return t_del(s, test_key("a"));
    default:
        return t_len(s);
    }
}

#define ALL_BUT(what) (((1u << ASKS) - 1) & ~(1u << (what)))
#define ALL ALL_BUT(ASKS)
#define ONLY(what) (1u << (what))
/* The answer to a HEAD has no body, so no code. */
#define TOLD ALL_BUT(SIZE)

static const struct row {
    unsigned status;
    const char *code; /* "": no body */
    int means;
    unsigned asks;
} rows[] = {
    {201, "", -EIO, ALL},
    {202, "", -EIO, ALL},
    {204, "", -EIO, ALL_BUT(DELETE)},
    {206, "", -EIO, ALL},
    {301, "PermanentRedirect", BLOB_DENIED, ALL},
    {302, "", BLOB_DENIED, ALL},
    {304, "", BLOB_DENIED, ALL},
    {307, "TemporaryRedirect", BLOB_DENIED, ALL},
    {400, "", -EIO, TOLD},
    {400, "InvalidArgument", -EIO, TOLD},
    {400, "", BLOB_DENIED, ONLY(SIZE)}, /* no words: the likeliest */
    {400, "ExpiredToken", BLOB_DENIED, ONLY(SIZE)},
    {400, "RequestTimeout", BLOB_UNAVAILABLE, TOLD},
    {400, "ExpiredToken", BLOB_DENIED, TOLD},
    {400, "InvalidToken", BLOB_DENIED, TOLD},
    {400, "TokenRefreshRequired", BLOB_DENIED, TOLD},
    {400, "AuthorizationHeaderMalformed", BLOB_DENIED, TOLD},
    {400, "InvalidBucketName", BLOB_DENIED, TOLD},
    {400, "EntityTooLarge", BLOB_REJECTED, ONLY(PUT) | ONLY(REPLACE)},
    {400, "KeyTooLongError", BLOB_REJECTED, ONLY(PUT) | ONLY(REPLACE)},
    {400, "XAmzContentSHA256Mismatch", BLOB_UNAVAILABLE, TOLD},
    {400, "BadDigest", BLOB_UNAVAILABLE, TOLD},
    {400, "XMinioAdminBucketQuotaExceeded", -ENOSPC, TOLD},
    {401, "", BLOB_DENIED, ALL},
    {402, "", -EIO, ALL},
    {403, "", BLOB_DENIED, ALL},
    {403, "AccessDenied", BLOB_DENIED, ALL},
    {403, "SignatureDoesNotMatch", BLOB_DENIED, ALL},
    {403, "InvalidAccessKeyId", BLOB_DENIED, ALL},
    {403, "RequestTimeTooSkewed", BLOB_DENIED, ALL},
    {403, "QuotaExceeded", -ENOSPC, TOLD},
    {404, "NoSuchKey", BLOB_NOT_FOUND, ONLY(GET) | ONLY(SIZE)},
    {404, "NoSuchKey", 0, ONLY(DELETE)}, /* it was there a moment ago */
    {404, "NoSuchKey", -EIO, ONLY(PUT) | ONLY(REPLACE) | ONLY(LIST)},
    {404, "NoSuchBucket", BLOB_DENIED, TOLD},
    {404, "", BLOB_NOT_FOUND, ONLY(GET) | ONLY(SIZE)}, /* for the bucket is there */
    {404, "", BLOB_UNAVAILABLE, ONLY(DELETE)},         /* but who has said so? */
    {404, "", -EIO, ONLY(PUT) | ONLY(REPLACE) | ONLY(LIST)},
    {405, "MethodNotAllowed", -EIO, ALL},
    {407, "", BLOB_DENIED, ALL},
    {408, "", BLOB_UNAVAILABLE, ALL},
    {409, "OperationAborted", BLOB_UNAVAILABLE, ALL},
    {411, "MissingContentLength", -EIO, ALL},
    {412, "PreconditionFailed", BLOB_EXISTS, ONLY(PUT)},
    {412, "PreconditionFailed", -EIO, ALL_BUT(PUT)}, /* nobody had set a condition */
    {413, "", BLOB_REJECTED, ONLY(PUT) | ONLY(REPLACE)},
    {416, "InvalidRange", -EIO, ALL},
    {418, "", -EIO, ALL},
    {429, "TooManyRequests", BLOB_UNAVAILABLE, ALL},
    {500, "InternalError", BLOB_UNAVAILABLE, ALL},
    {501, "NotImplemented", BLOB_UNSUPPORTED, ALL},
    {502, "", BLOB_UNAVAILABLE, ALL},
    {503, "SlowDown", BLOB_UNAVAILABLE, ALL},
    {504, "", BLOB_UNAVAILABLE, ALL},
    {507, "", -ENOSPC, ALL},
    {520, "", BLOB_UNAVAILABLE, ALL},
    {599, "", BLOB_UNAVAILABLE, ALL},
};

static void every_answer_means_one_thing(void **state)
{
    char name[100], number[8];
    blob_error e;
    blob_store *s = t_open();

    (void)state;
    t_warm(s);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (ask what = 0; what < ASKS; what++) {
            const struct row *r = &rows[i];
            int rc;

            if ((r->asks & (1u << what)) == 0)
                continue;
            s3sim_clear(t_sim);
            s3sim_put(t_sim, "61", "there", SIZE_MAX);
            (void)s3sim_remove(t_sim, "62");
            T_FAIL(.act = S3SIM_ANSWER, .method = ask_method[what], .status = r->status, .code = r->code,
                   .message = "in its own words", .fields = "Retry-After: 7\r\n",
                   .contains = what == LIST ? "list" : "6");
            rc = do_ask(s, what);
            if (rc != r->means)
                fail_msg("%s answered with %u %s: %d instead of %d", ask_method[what], r->status, r->code, rc,
                         r->means);
            if (rc == 0)
                continue;
            blob_last_error(&e);
            assert_int_equal(e.status, rc);
            assert_int_equal(e.retry_after_ms, 7000);
            snprintf(name, sizeof name, "%s/bucket: %s", s3sim_url(t_sim), ask_method[what]);
            snprintf(number, sizeof number, ": %u", r->status);
            if (strstr(e.text, name) == NULL || strstr(e.text, number) == NULL ||
                (what != SIZE && (strstr(e.text, r->code) == NULL ||
                                  (r->code[0] != '\0' && strstr(e.text, "in its own words") == NULL))))
                fail_msg("says too little: \"%s\"", e.text);
            assert_true(what == LIST || strstr(e.text, what == PUT || what == REPLACE ? " 62: " : " 61: ") != NULL);
        }
    }
    t_close(s);
}

/* Whoever sends must be able to tell a server that has too much to do from one that is not there. */
static void a_server_that_throttles_says_for_how_long_whatever_it_leaves_out(void **state)
{
    static const struct {
        unsigned status;
        const char *code, *fields;
        int64_t retry_after_ms;
    } cases[] = {
        {503, "SlowDown", "", 250},         {500, "SlowDown", "", 250},
        {429, "TooManyRequests", "", 250},  {503, "SlowDown", "Retry-After: 2\r\n", 2000},
        {503, "ServiceUnavailable", "", 0}, {500, "InternalError", "", 0},
    };
    blob_store *s = t_open();
    blob_error e;

    (void)state;
    t_warm(s);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        s3sim_clear(t_sim);
        T_FAIL(.act = S3SIM_ANSWER, .method = "GET", .status = cases[i].status, .code = cases[i].code,
               .message = "busy", .fields = cases[i].fields);
        test_status(do_ask(s, GET), BLOB_UNAVAILABLE);
        blob_last_error(&e);
        assert_int_equal(e.retry_after_ms, cases[i].retry_after_ms);
    }
    t_close(s);
}

static void a_refusal_without_words_says_what_it_may_be(void **state)
{
    blob_store *s = t_open();
    blob_error e;

    (void)state;
    t_warm(s);
    T_FAIL(.act = S3SIM_ANSWER, .method = "HEAD", .status = 403);
    test_status(do_ask(s, SIZE), BLOB_DENIED);
    blob_last_error(&e);
    assert_non_null(strstr(e.text, "credentials"));
    s3sim_clear(t_sim);
    T_FAIL(.act = S3SIM_ANSWER, .method = "HEAD", .status = 400);
    test_status(do_ask(s, SIZE), BLOB_DENIED);
    t_expect_words(BLOB_DENIED, "expired");
    test_status(do_ask(s, DELETE), BLOB_DENIED);
    t_close(s);
}

/* ---- answers that are none ---- */

static void answers_that_are_none_are_no_success(void **state)
{
    static const struct {
        const char *raw;
        int means;
    } bad[] = {
        {"", BLOB_UNAVAILABLE},
        {"HTTP/1.1 200", BLOB_UNAVAILABLE},
        {"HTTP/1.1 200 OK\r\n", BLOB_UNAVAILABLE},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfour", BLOB_UNAVAILABLE},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n", BLOB_UNAVAILABLE},
        {"HTTP/1.1 200 OK\r\n\r\nand then nothing", -EIO}, /* how much of it? */
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nbytes", -EIO},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk", -EIO},
        {"SSH-2.0-OpenSSH_9.2\r\n\r\n", -EIO},
        {"HTTP/1.1 99 Below\r\n\r\n", -EIO},
        {"HTTP/1.1 600 Above\r\n\r\n", -EIO},
    };
    blob_store *s = t_open();

    (void)state;
    t_warm(s);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        s3sim_clear(t_sim);
        T_FAIL(.act = S3SIM_RAW, .raw = bad[i].raw, .contains = "61");
        test_status(t_get(s, test_key("a")), bad[i].means);
        if (strncmp(bad[i].raw, "HTTP/1.1 200 OK\r\n\r\n", 19) != 0)
            assert_true(t_put(s, test_key("a"), "bytes", BLOB_REPLACE) < 0);
    }
    s3sim_clear(t_sim);
    T_FAIL(.act = S3SIM_RAW, .raw = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", .method = "HEAD");
    test_status(t_size(s, test_key("a")), -EIO); /* no length, no size */
    t_close(s);
}

/* A proxy's page instead of a code: its status counts, and the words are not taken from it. However long it is. */
static void an_error_need_not_be_xml(void **state)
{
    static const char head[] = "HTTP/1.1 503 No\r\nContent-Length: 200000\r\n\r\n";
    static char page[sizeof head - 1 + 200000];
    blob_store *s = t_open();
    blob_error e;

    (void)state;
    t_warm(s);
    T_FAIL(.act = S3SIM_RAW, .raw = "HTTP/1.1 503 No\r\nContent-Length: 14\r\n\r\n<html>no</html", .count = 1);
    test_status(t_get(s, test_key("a")), BLOB_UNAVAILABLE);
    blob_last_error(&e);
    assert_null(strstr(e.text, "html"));
    /* Not even one with a code, if it is larger than any error is: it is left unread. */
    memset(page, ' ', sizeof page);
    memcpy(page, head, sizeof head - 1);
    memcpy(page + sizeof head - 1, "<Error><Code>SlowDown</Code>", 28);
    memcpy(page + sizeof page - 8, "</Error>", 8);
    T_FAIL(.act = S3SIM_RAW, .raw = page, .raw_size = sizeof page);
    test_status(t_get(s, test_key("a")), BLOB_UNAVAILABLE);
    e = t_expect_words(BLOB_UNAVAILABLE, ": 503");
    assert_null(strstr(e.text, "SlowDown"));
    test_status(t_put(s, test_key("a"), "bytes", BLOB_REPLACE), BLOB_UNAVAILABLE);
    t_close(s);
}

static void words_of_a_server_cannot_steer_a_terminal(void **state)
{
    blob_store *s = t_open();
    blob_error e;

    (void)state;
    T_FAIL(.act = S3SIM_ANSWER, .status = 503, .message = "one&#10;two &#27;[2J three");
    test_status(t_len(s), BLOB_UNAVAILABLE);
    blob_last_error(&e);
    for (const char *c = e.text; *c != '\0'; c++)
        assert_true((unsigned char)*c >= ' ');
    t_close(s);
}

static void an_elsewhere_is_named(void **state)
{
    blob_store *s = t_open();

    (void)state;
    T_FAIL(.act = S3SIM_ANSWER, .status = 301, .code = "PermanentRedirect", .count = 1,
           .fields = "Location: https://bucket.s3.eu-west-3.amazonaws.com/\r\n");
    test_status(t_len(s), BLOB_DENIED);
    t_expect_words(BLOB_DENIED, "set the endpoint to https://bucket.s3.eu-west-3.amazonaws.com/");
    t_close(s);
}

/* ---- the bucket ---- */

static void without_the_bucket_nothing_is_not_found(void **state)
{
    blob_s3store_options o = t_options();
    blob_store *s;

    (void)state;
    o.bucket = "another";
    s = t_open_as(&o);
    for (ask what = 0; what < ASKS; what++) {
        test_status(do_ask(s, what), BLOB_DENIED);
        t_expect_words(BLOB_DENIED, "no such bucket");
    }
    t_close(s);
}

static void whether_the_bucket_is_there_is_asked_where_it_matters(void **state)
{
    blob_store *s = t_open();

    (void)state;
    test_status(t_size(s, test_key("a")), BLOB_NOT_FOUND);
    t_expect_requests("HEAD HEAD"); /* the object, the bucket */
    test_status(t_size(s, test_key("a")), BLOB_NOT_FOUND);
    t_expect_requests("HEAD"); /* just seen */
    atomic_store(&s3_of(s)->bucket_seen_ns, wb_now_ns() - INT64_C(11000000000));
    test_status(t_size(s, test_key("a")), BLOB_NOT_FOUND);
    t_expect_requests("HEAD HEAD"); /* long ago */
    t_close(s);

    s = t_open();
    test_status(t_get(s, test_key("a")), BLOB_NOT_FOUND); /* NoSuchKey says it all */
    t_expect_requests("GET");
    t_close(s);

    /* Not if it cannot be told. */
    s = t_open();
    T_FAIL(.act = S3SIM_ANSWER, .method = "HEAD", .skip = 1, .count = 1, .status = 503);
    test_status(t_size(s, test_key("a")), BLOB_UNAVAILABLE);
    s3sim_clear(t_sim);
    T_FAIL(.act = S3SIM_ANSWER, .method = "HEAD", .skip = 1, .count = 1, .status = 403);
    test_status(t_size(s, test_key("a")), BLOB_DENIED);
    t_close(s);
}

/* What stands before a server that is gone says 404 to everything, and calls have gone well up to then. */
static void a_gateway_that_finds_no_server_has_found_no_blob_missing(void **state)
{
    static const char *const pages[] = {
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 19\r\n\r\n404 page not found\n",
        "HTTP/1.1 404 Not Found\r\nx-amz-request-id: 1\r\nContent-Length: 0\r\n\r\n",
    };
    static const ask asks[] = {GET, SIZE, DELETE};
    blob_store *s = t_open();

    (void)state;
    t_warm(s);
    test_ok(t_put(s, test_key("a"), "a", 0));
    for (size_t i = 0; i < 3; i++) {
        s3sim_clear(t_sim);
        assert_int_equal(test_len(s), 1);
        test_ok(t_size(s, test_key("a"))); /* the bucket was just seen */
        T_FAIL(.act = S3SIM_RAW, .raw = pages[0]);
        test_status(do_ask(s, asks[i]), BLOB_DENIED);
    }
    /* A body could have a code: without one nobody believes it, whatever it calls itself. */
    s3sim_clear(t_sim);
    test_ok(t_size(s, test_key("a")));
    T_FAIL(.act = S3SIM_RAW, .raw = pages[1]);
    test_status(t_get(s, test_key("a")), BLOB_DENIED);
    /* It goes away between a delete's two requests, and is back for the third. */
    s3sim_clear(t_sim);
    T_FAIL(.act = S3SIM_RAW, .raw = pages[0], .method = "DELETE");
    test_status(t_del(s, test_key("a")), BLOB_UNAVAILABLE);
    t_expect_words(BLOB_UNAVAILABLE, "not about the key");
    s3sim_clear(t_sim);
    test_expect(s, test_key("a"), "a");
    t_close(s);
}

/* ---- no answer ---- */

static void a_server_that_is_down_is_unavailable_until_it_is_up(void **state)
{
    blob_store *s = t_open();

    (void)state;
    t_warm(s);
    test_ok(t_put(s, test_key("a"), "a", 0));
    http_server_down(s3sim_http(t_sim));
    for (ask what = 0; what < ASKS; what++)
        test_status(do_ask(s, what), BLOB_UNAVAILABLE);
    http_server_up(s3sim_http(t_sim));
    for (ask what = 0; what < ASKS; what++)
        if (what != REPLACE)
            test_ok(do_ask(s, what));
    t_close(s);
}

static void every_call_ends_with_its_context(void **state)
{
    blob_store *s = t_open();
    test_later later;
    blob_ctx *ctx;
    uint64_t count;

    (void)state;
    t_warm(s);
    test_ok(blob_ctx_new(&ctx, NULL));
    T_FAIL(.act = S3SIM_STALL);
    test_put_later(&later, s, ctx, test_key("a"), "a");
    s3sim_stalled_await(t_sim, 1);
    blob_ctx_cancel(ctx);
    test_status(test_later_join(&later), -ECANCELED);
    blob_ctx_free(ctx);
    test_ok(blob_ctx_new_timeout(&ctx, NULL, 30));
    test_status(blob_store_len(s, ctx, &count), -ETIMEDOUT);
    blob_ctx_free(ctx);
    s3sim_release(t_sim);
    t_close(s);
}

static void an_attempt_has_limits_of_its_own(void **state)
{
    blob_s3store_options o = t_options();
    blob_store *s;

    (void)state;
    o.idle_timeout_ms = 30;
    s = t_open_as(&o);
    T_FAIL(.act = S3SIM_STALL);
    test_status(t_len(s), -ETIMEDOUT);
    t_close(s);
    o.idle_timeout_ms = 100000;
    o.total_timeout_ms = 30;
    s = t_open_as(&o);
    test_status(t_len(s), -ETIMEDOUT);
    s3sim_release(t_sim);
    t_close(s);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, t_setup, t_teardown)
    const struct CMUnitTest tests[] = {
        T(every_answer_means_one_thing),
        T(a_server_that_throttles_says_for_how_long_whatever_it_leaves_out),
        T(a_refusal_without_words_says_what_it_may_be),
        T(answers_that_are_none_are_no_success),
        T(an_error_need_not_be_xml),
        T(words_of_a_server_cannot_steer_a_terminal),
        T(an_elsewhere_is_named),
        T(without_the_bucket_nothing_is_not_found),
        T(whether_the_bucket_is_there_is_asked_where_it_matters),
        T(a_gateway_that_finds_no_server_has_found_no_blob_missing),
        T(a_server_that_is_down_is_unavailable_until_it_is_up),
        T(every_call_ends_with_its_context),
        T(an_attempt_has_limits_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
