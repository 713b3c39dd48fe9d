/* test_s3_again.c - a request of s3store that is to be sent once more, corrected: not when the call has ended meanwhile, and
 * what is kept of the correction. See test_s3_correct.c for the corrections. */
#include "s3_test.h"

/* ---- a network that answers everything alike, and whose user has had enough by then ---- */

static const char again_answer[] =
    "HTTP/1.1 403 No\r\nDate: Thu, 01 Jan 2015 00:00:00 GMT\r\nContent-Length: 48\r\n\r\n"
    "<Error><Code>RequestTimeTooSkewed</Code></Error>";

static int again_connect(void *arg, blob_ctx *ctx, int64_t timeout_ms, const char *host, const struct sockaddr *address,
                         size_t address_size, void **connection)
{
    (void)ctx;
    (void)timeout_ms;
    (void)host;
    (void)address;
    (void)address_size;
    *connection = arg;
    return 0;
}

static int again_write(void *connection, blob_ctx *ctx, int64_t timeout_ms, const void *data, size_t size, size_t *done)
{
    (void)ctx;
    (void)timeout_ms;
    (void)data;
    ++*(unsigned *)connection;
    *done = size;
    return 0;
}

static int again_read(void *connection, blob_ctx *ctx, int64_t timeout_ms, void *data, size_t size, size_t *done)
{
    (void)connection;
    *done = 0;
    if (timeout_ms == 0)
        return -ETIMEDOUT;
    assert_true(size >= sizeof again_answer);
    memcpy(data, again_answer, sizeof again_answer - 1);
    *done = sizeof again_answer - 1;
    blob_ctx_cancel(ctx);
    return 0;
}

static void again_close(void *connection)
{
    (void)connection;
}

static void a_call_that_ended_is_not_told_the_answer_that_was_to_be_corrected(void **state)
{
    unsigned writes = 0;
    blob_s3store_transport t = {
        .struct_size = sizeof t,
        .scheme = "http",
        .arg = &writes,
        .connect = again_connect,
        .read = again_read,
        .write = again_write,
        .close = again_close,
    };
    blob_s3store_options o = t_options();
    blob_store *s;
    blob_ctx *ctx;

    (void)state;
    o.transport = &t;
    s = t_open_as(&o);
    test_ok(blob_ctx_new(&ctx, NULL));
    test_status(blob_store_put(s, ctx, test_key("a"), blob_view_of("a", 1), BLOB_REPLACE), -ECANCELED);
    t_expect_words(-ECANCELED, "before it was sent once more");
    assert_int_equal(writes, 1);
    blob_ctx_free(ctx);
    t_close(s);
}

/* ---- the region ---- */

static void a_region_that_did_not_help_is_not_kept(void **state)
{
    static const unsigned answers[] = {400, 403, 307};
    blob_store *s = t_open();

    (void)state;
    T_SET(region_unsaid, true); /* nobody would ever name the right one */
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        T_FAIL(.act = S3SIM_ANSWER, .count = 2, .status = answers[i], .code = "Odd",
               .fields = "x-amz-bucket-region: eu-odd-1\r\n");
        assert_true(t_put(s, test_key("a"), "a", BLOB_REPLACE) < 0);
        t_expect_requests("PUT PUT");
        assert_string_equal(s3_of(s)->region, "us-east-1");
        test_ok(t_put(s, test_key("a"), "a", BLOB_REPLACE));
        t_expect_requests("PUT");
        s3sim_clear(t_sim);
    }
    /* One that did is. */
    T_SET(region, "eu-odd-1");
    T_SET(region_unsaid, false);
    test_ok(t_put(s, test_key("a"), "a", BLOB_REPLACE));
    t_expect_requests("PUT PUT");
    assert_string_equal(s3_of(s)->region, "eu-odd-1");
    t_close(s);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, t_setup, t_teardown)
    const struct CMUnitTest tests[] = {
        T(a_call_that_ended_is_not_told_the_answer_that_was_to_be_corrected),
        T(a_region_that_did_not_help_is_not_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
