/* test_s3_twice.c - puts and deletes of s3store that went out twice, or whose answer was lost on this side: something of them
 * may still be carried out, so they are neither done nor refused. */
#include "s3_test.h"

/* The request was sent twice, since the connection broke: what the second one finds may be the first one's work. */
static void our_own_blob_is_not_taken_for_anothers(void **state)
{
    blob_store *s = t_open();

    (void)state;
    t_warm(s);
    T_FAIL(.act = S3SIM_DONE_RESET, .method = "PUT", .count = 1);
    test_status(t_put(s, test_key("a"), "a", 0), BLOB_UNAVAILABLE);
    t_expect_words(BLOB_UNAVAILABLE, "may be our own");
    t_expect_requests("PUT* PUT*");
    test_expect(s, test_key("a"), "a");
    t_close(s);
}

/* The connection broke, yet something behind it goes on with the first: a success would be followed by other calls, which
 * that then undoes, and a refusal would say that nothing has changed. */
static void what_was_sent_twice_is_neither_done_nor_refused(void **state)
{
    static const unsigned answers[] = {0, 403, 413, 501, 507}; /* the second's; 0: it is done */
    blob_store *s = t_open();

    (void)state;
    for (size_t i = 0; i < 3 * sizeof answers / sizeof *answers; i++) {
        const char *method = i % 3 < 2 ? "PUT" : "DELETE";
        int rc;

        t_warm(s);
        test_ok(t_put(s, test_key("b"), "old", BLOB_REPLACE));
        (void)s3sim_remove(t_sim, "61");
        s3sim_forget(t_sim);
        T_FAIL(.act = S3SIM_LATE, .method = method, .count = 1);
        if (answers[i / 3] != 0)
            T_FAIL(.act = S3SIM_ANSWER, .method = method, .status = answers[i / 3], .code = "Odd");
        if (i % 3 == 0)
            rc = t_put(s, test_key("a"), "late", 0);
        else
            rc = i % 3 == 1 ? t_put(s, test_key("b"), "late", BLOB_REPLACE) : t_del(s, test_key("b"));
        test_status(rc, BLOB_UNAVAILABLE);
        t_expect_words(BLOB_UNAVAILABLE, "sent twice; the first may still be carried out");
        if (answers[i / 3] != 0)
            t_expect_words(BLOB_UNAVAILABLE, "Odd");
        t_expect_requests(i % 3 == 0 ? "PUT* PUT*" : i % 3 == 1 ? "PUT PUT" : "HEAD DELETE DELETE");
        s3sim_clear(t_sim);
        assert_int_equal(s3sim_carry_out(t_sim), 1);
    }
    t_close(s);
}

/* ---- what fails here, when the request is on its way ---- */

enum { READ_FAILS = 1, REDIAL_FAILS };

static atomic_int failing_how;
static atomic_bool failing_sent;

static int failing_connect(void *arg, blob_ctx *ctx, int64_t timeout_ms, const char *host,
                           const struct sockaddr *address, size_t address_size, void **connection)
{
    *connection = NULL;
    if (atomic_load(&failing_sent) && atomic_load(&failing_how) == REDIAL_FAILS)
        return blob_fail(BLOB_DENIED, 0, "a certificate that has expired");
    return blob_s3store_tcp()->connect(arg, ctx, timeout_ms, host, address, address_size, connection);
}

static int failing_write(void *connection, blob_ctx *ctx, int64_t timeout_ms, const void *data, size_t size,
                         size_t *done)
{
    if (size > 4 && (memcmp(data, "PUT ", 4) == 0 || memcmp(data, "DELE", 4) == 0))
        atomic_store(&failing_sent, atomic_load(&failing_how) != 0);
    return blob_s3store_tcp()->write(connection, ctx, timeout_ms, data, size, done);
}

static int failing_read(void *connection, blob_ctx *ctx, int64_t timeout_ms, void *data, size_t size, size_t *done)
{
    *done = 0;
    if (!atomic_load(&failing_sent))
        return blob_s3store_tcp()->read(connection, ctx, timeout_ms, data, size, done);
    if (atomic_load(&failing_how) == READ_FAILS)
        return blob_fail(-ENOMEM, 0, "no memory for the answer");
    return blob_fail(BLOB_UNAVAILABLE, 0, "cut off");
}

/* A refusal says that nothing has changed. */
static void what_fails_here_once_it_was_sent_is_no_refusal(void **state)
{
    blob_s3store_transport t = *blob_s3store_tcp();
    blob_s3store_options o = t_options();
    blob_store *s;

    (void)state;
    t.connect = failing_connect;
    t.write = failing_write;
    t.read = failing_read;
    o.transport = &t;
    atomic_store(&failing_how, 0);
    atomic_store(&failing_sent, false);
    s = t_open_as(&o);
    t_warm(s);
    s3sim_put(t_sim, "7761726d", "warm", SIZE_MAX);
    for (int i = 0; i < 6; i++) {
        const char *words = i % 2 == 0 ? "no memory for the answer" : "has expired";
        char text[] = {(char)('a' + i), '\0'}, name[] = {'6', (char)('1' + i), '\0'};
        int rc;

        if (i / 2 == 2)
            s3sim_put(t_sim, name, text, SIZE_MAX);
        atomic_store(&failing_how, i % 2 == 0 ? READ_FAILS : REDIAL_FAILS);
        if (i / 2 == 0)
            rc = t_put(s, test_key(text), text, 0);
        else
            rc = i / 2 == 1 ? t_put(s, test_key(text), text, BLOB_REPLACE) : t_del(s, test_key(text));
        atomic_store(&failing_how, 0);
        atomic_store(&failing_sent, false);
        test_status(rc, BLOB_UNAVAILABLE);
        t_expect_words(BLOB_UNAVAILABLE, "may be carried out");
        t_expect_words(BLOB_UNAVAILABLE, words);
        test_ok(t_size(s, test_key("warm"))); /* so that there is a connection to break */
    }
    t_close(s);
}

static void a_trial_that_was_sent_twice_is_no_success(void **state)
{
    blob_store *s = t_open();

    (void)state;
    T_SET(conditional, S3SIM_IGNORES);
    assert_int_equal(test_len(s), 0);
    T_FAIL(.act = S3SIM_LATE, .method = "PUT", .skip = 1, .count = 1);
    test_status(t_put(s, test_key("a"), "a", 0), BLOB_UNAVAILABLE);
    assert_true(s3sim_remove(t_sim, "61"));
    assert_int_equal(s3sim_carry_out(t_sim), 1);
    test_expect(s, test_key("a"), "a"); /* back again */
    t_close(s);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, t_setup, t_teardown)
    const struct CMUnitTest tests[] = {
        T(our_own_blob_is_not_taken_for_anothers),
        T(what_was_sent_twice_is_neither_done_nor_refused),
        T(what_fails_here_once_it_was_sent_is_no_refusal),
        T(a_trial_that_was_sent_twice_is_no_success),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
