/* test_s3_conditional.c - puts of s3store that must not replace: what it finds out about If-None-Match, how many requests that
 * takes. */
#include "s3_test.h"

static void the_first_put_finds_out_that_it_is_honoured(void **state)
{
    blob_store *s = t_open();

    (void)state;
    assert_int_equal(test_len(s), 0); /* so the bucket is there */
    s3sim_forget(t_sim);
    test_ok(t_put(s, test_key("a"), "a", 0));
    t_expect_requests("HEAD PUT* PUT*");
    assert_int_equal(s3sim_overwrites(t_sim), 0);
    test_ok(t_put(s, test_key("b"), "b", 0));
    test_status(t_put(s, test_key("b"), "c", 0), BLOB_EXISTS);
    test_ok(t_put(s, test_key("b"), "c", BLOB_REPLACE));
    t_expect_requests("PUT* PUT* PUT");
    t_close(s);
}

static void the_first_put_finds_out_that_it_is_ignored(void **state)
{
    blob_store *s = t_open();

    (void)state;
    T_SET(conditional, S3SIM_IGNORES);
    assert_int_equal(test_len(s), 0);
    s3sim_forget(t_sim);
    test_ok(t_put(s, test_key("a"), "a", 0));
    t_expect_requests("HEAD PUT* PUT*");
    test_expect(s, test_key("a"), "a");
    s3sim_forget(t_sim);
    test_ok(t_put(s, test_key("b"), "b", 0));
    t_expect_requests("HEAD PUT* PUT*"); /* one is none: see below */
    test_ok(t_put(s, test_key("c"), "c", 0));
    t_expect_requests("HEAD PUT");
    test_status(t_put(s, test_key("b"), "c", 0), BLOB_EXISTS);
    t_expect_requests("HEAD");
    test_ok(t_put(s, test_key("b"), "c", BLOB_REPLACE));
    t_expect_requests("PUT");
    t_close(s);
}

static void a_server_that_refuses_it_is_not_asked_again(void **state)
{
    blob_store *s = t_open();

    (void)state;
    T_SET(conditional, S3SIM_REFUSES);
    assert_int_equal(test_len(s), 0);
    s3sim_forget(t_sim);
    test_ok(t_put(s, test_key("a"), "a", 0));
    t_expect_requests("HEAD PUT* PUT");
    (void)s3sim_remove(t_sim, "61");
    test_ok(t_put(s, test_key("a"), "a", 0)); /* it need not be different for another key */
    t_expect_requests("HEAD PUT* PUT");
    test_ok(t_put(s, test_key("b"), "b", 0));
    t_expect_requests("HEAD PUT* PUT");
    test_ok(t_put(s, test_key("c"), "c", 0));
    t_expect_requests("HEAD PUT");
    t_close(s);

    /* One that begins to. */
    T_SET(conditional, S3SIM_HONOURS);
    s = t_open();
    t_warm(s);
    T_SET(conditional, S3SIM_REFUSES);
    test_ok(t_put(s, test_key("d"), "d", 0));
    t_expect_requests("PUT* HEAD PUT* PUT");
    test_ok(t_put(s, test_key("e"), "e", 0));
    t_expect_requests("HEAD PUT* PUT");
    test_ok(t_put(s, test_key("f"), "f", 0));
    t_expect_requests("HEAD PUT");
    t_close(s);
}

static void a_put_that_finds_the_key_taken_leaves_it_open(void **state)
{
    blob_store *s = t_open();

    (void)state;
    s3sim_put(t_sim, "61", "theirs", SIZE_MAX);
    assert_int_equal(test_len(s), 1);
    s3sim_forget(t_sim);
    test_status(t_put(s, test_key("a"), "ours", 0), BLOB_EXISTS);
    t_expect_requests("HEAD");
    /* It appears between the look and the put: that, too, shows that the condition is honoured. */
    T_FAIL(.act = S3SIM_ANSWER, .method = "HEAD", .count = 1, .status = 404, .code = "");
    test_status(t_put(s, test_key("a"), "ours", 0), BLOB_EXISTS);
    t_expect_requests("HEAD PUT*");
    test_ok(t_put(s, test_key("b"), "b", 0));
    t_expect_requests("PUT*");
    test_expect(s, test_key("a"), "theirs");
    t_close(s);
}

static void a_large_blob_is_not_sent_twice_to_find_out(void **state)
{
    size_t size = ((size_t)16 << 20) + 1;
    void *payload = test_payload(1, size);
    blob_store *s = t_open();

    (void)state;
    assert_int_equal(test_len(s), 0);
    s3sim_forget(t_sim);
    test_ok(blob_store_put(s, NULL, test_key("a"), blob_view_of(payload, size), 0));
    t_expect_requests("HEAD PUT*");
    test_ok(t_put(s, test_key("b"), "b", 0));
    t_expect_requests("HEAD PUT* PUT*");
    free(payload);
    t_close(s);
}

static void a_trial_that_fails_changes_nothing(void **state)
{
    blob_store *s = t_open();

    (void)state;
    assert_int_equal(test_len(s), 0);
    s3sim_forget(t_sim);
    T_FAIL(.act = S3SIM_ANSWER, .method = "PUT", .skip = 1, .count = 1, .status = 403);
    test_ok(t_put(s, test_key("a"), "a", 0));
    t_expect_requests("HEAD PUT* PUT*");
    s3sim_clear(t_sim);
    T_FAIL(.act = S3SIM_ANSWER, .method = "PUT", .count = 1, .status = 503);
    test_status(t_put(s, test_key("b"), "b", 0), BLOB_UNAVAILABLE);
    t_expect_requests("HEAD PUT*");
    test_ok(t_put(s, test_key("c"), "c", 0)); /* finds out at last */
    t_expect_requests("HEAD PUT* PUT*");
    test_ok(t_put(s, test_key("d"), "d", 0));
    t_expect_requests("PUT*");
    t_close(s);
}

/* A proxy that gave up waiting says nothing of what the server behind it does yet. */
static void a_trial_that_may_still_be_carried_out_is_no_success(void **state)
{
    static const unsigned answers[] = {202, 500, 502, 503, 504};
    blob_store *s = t_open();

    (void)state;
    assert_int_equal(test_len(s), 0);
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        s3sim_clear(t_sim);
        (void)s3sim_remove(t_sim, "61");
        s3sim_forget(t_sim);
        T_FAIL(.act = S3SIM_ANSWER, .method = "PUT", .skip = 1, .count = 1, .status = answers[i]);
        test_status(t_put(s, test_key("a"), "a", 0), answers[i] == 202 ? -EIO : BLOB_UNAVAILABLE);
        t_expect_requests("HEAD PUT* PUT*");
    }
    t_close(s);
}

/* Somebody deletes the blob between the put and its trial, or a proxy knows no conditions: that is not how the server is. */
static void a_single_no_is_not_believed(void **state)
{
    blob_store *s = t_open();
    test_later later;

    (void)state;
    assert_int_equal(test_len(s), 0);
    s3sim_forget(t_sim);
    T_FAIL(.act = S3SIM_STALL, .method = "PUT", .skip = 1, .count = 1);
    test_put_later(&later, s, NULL, test_key("a"), "a");
    s3sim_stalled_await(t_sim, 1);
    assert_true(s3sim_remove(t_sim, "61"));
    s3sim_release(t_sim);
    test_ok(test_later_join(&later));
    t_expect_requests("HEAD PUT* PUT*");
    test_ok(t_put(s, test_key("b"), "b", 0)); /* asked once more */
    t_expect_requests("HEAD PUT* PUT*");
    test_ok(t_put(s, test_key("c"), "c", 0));
    t_expect_requests("PUT*");
    s3sim_clear(t_sim);
    for (int i = 0; i < 2; i++) { /* each time it has honoured it since */
        const char *name = i == 0 ? "d" : "e", *next = i == 0 ? "f" : "g";

        T_FAIL(.act = S3SIM_ANSWER, .method = "PUT", .count = 1, .status = 501);
        test_ok(t_put(s, test_key(name), name, 0));
        t_expect_requests("PUT* HEAD PUT* PUT*");
        test_ok(t_put(s, test_key(next), next, 0));
        t_expect_requests("PUT*");
        s3sim_clear(t_sim);
    }
    t_close(s);
}

/* Success means that nothing of the call is still on its way: else a delete that follows would not be lasting. */
static void a_trial_without_an_answer_is_no_success(void **state)
{
    blob_store *s = t_open();
    test_later later;
    blob_ctx *ctx;

    (void)state;
    assert_int_equal(test_len(s), 0);
    test_ok(blob_ctx_new(&ctx, NULL));
    T_FAIL(.act = S3SIM_STALL, .method = "PUT", .skip = 1, .count = 1);
    test_put_later(&later, s, ctx, test_key("a"), "a");
    s3sim_stalled_await(t_sim, 1);
    blob_ctx_cancel(ctx);
    test_status(test_later_join(&later), -ECANCELED);
    blob_ctx_free(ctx);
    s3sim_release(t_sim);
    t_close(s);
}

/* A network that is gone as soon as a second PUT is to be written. */
static int fading_connect(void *arg, blob_ctx *ctx, int64_t timeout_ms, const char *host,
                          const struct sockaddr *address, size_t address_size, void **connection)
{
    *connection = NULL;
    if (atomic_load((atomic_uint *)arg) > 1)
        return blob_fail(BLOB_UNAVAILABLE, 0, "gone");
    return blob_s3store_tcp()->connect(NULL, ctx, timeout_ms, host, address, address_size, connection);
}

static atomic_uint fading_puts;

static int fading_write(void *connection, blob_ctx *ctx, int64_t timeout_ms, const void *data, size_t size,
                        size_t *done)
{
    *done = 0;
    if (size > 4 && memcmp(data, "PUT ", 4) == 0 && atomic_fetch_add(&fading_puts, 1) > 0)
        return blob_fail(BLOB_UNAVAILABLE, 0, "gone");
    return blob_s3store_tcp()->write(connection, ctx, timeout_ms, data, size, done);
}

static int fading_read(void *connection, blob_ctx *ctx, int64_t timeout_ms, void *data, size_t size, size_t *done)
{
    *done = 0;
    if (atomic_load(&fading_puts) > 1)
        return blob_fail(BLOB_UNAVAILABLE, 0, "gone");
    return blob_s3store_tcp()->read(connection, ctx, timeout_ms, data, size, done);
}

static void a_trial_that_was_never_sent_is_no_failure(void **state)
{
    blob_s3store_transport t = *blob_s3store_tcp();
    blob_s3store_options o = t_options();
    blob_store *s;

    (void)state;
    atomic_store(&fading_puts, 0);
    t.arg = &fading_puts;
    t.connect = fading_connect;
    t.write = fading_write;
    t.read = fading_read;
    o.transport = &t;
    s = t_open_as(&o);
    test_ok(t_put(s, test_key("a"), "a", 0));
    assert_int_equal(atomic_load(&fading_puts), 2);
    assert_int_equal(s3sim_writes(t_sim), 1);
    test_status(t_put(s, test_key("b"), "b", 0), BLOB_UNAVAILABLE);
    t_close(s);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, t_setup, t_teardown)
    const struct CMUnitTest tests[] = {
        T(the_first_put_finds_out_that_it_is_honoured),
        T(the_first_put_finds_out_that_it_is_ignored),
        T(a_server_that_refuses_it_is_not_asked_again),
        T(a_put_that_finds_the_key_taken_leaves_it_open),
        T(a_large_blob_is_not_sent_twice_to_find_out),
        T(a_trial_that_fails_changes_nothing),
        T(a_trial_without_an_answer_is_no_success),
        T(a_trial_that_may_still_be_carried_out_is_no_success),
        T(a_single_no_is_not_believed),
        T(a_trial_that_was_never_sent_is_no_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
