/* test_s3_net_cut.c - what breaks off: an answer at each of its bytes, a request at each of its bytes, and servers that
 * answer before they have the whole request. */
#include "s3net_test.h"

#define LARGE ((size_t)24 << 20) /* more than sockets buffer */

/* ---- An answer that breaks off ---- */

#define CUTS_MAX 128

/* Each connection sends one byte more of the answer than the one before, then ends as said. */
static void cut_everywhere(const char *answer, http_step_kind end, size_t piece)
{
    size_t size = strlen(answer);
    static http_step steps[CUTS_MAX][4];
    static const http_step *scripts[CUTS_MAX];

    assert_true(size < CUTS_MAX);
    for (size_t i = 0; i <= size; i++) {
        steps[i][0] = (http_step)HTTP_READ;
        steps[i][1] = (http_step){HTTP_STEP_SEND, answer, i, piece};
        steps[i][2] = (http_step){end, NULL, 0, 0};
        steps[i][3] = (http_step)HTTP_END;
        scripts[i] = steps[i];
    }
    t_scripts(scripts, size + 1);
    for (size_t i = 0; i < size; i++) {
        t_expect_failure(BLOB_UNAVAILABLE);
        assert_int_equal(t_kept(), 0);
        assert_int_equal(t_connects, i + 1); /* tried once, for it was no kept one */
    }
    if (end != HTTP_STEP_RESET)
        t_expect(200, "hello"); /* or this would test nothing */
    (void)t_teardown(NULL);
    (void)t_setup(NULL);
}

static const char by_length[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
static const char by_chunks[] =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n";
static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

static void an_answer_cut_short_is_never_delivered(void **state)
{
    static const char *const answers[] = {by_length, by_chunks, interim};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        cut_everywhere(answers[i], HTTP_STEP_FINISH, 0);
        cut_everywhere(answers[i], HTTP_STEP_FINISH, 1);
        cut_everywhere(answers[i], HTTP_STEP_CLOSE, 0);
        cut_everywhere(answers[i], HTTP_STEP_RESET, 0);
    }
}

/* Of an answer whose end is the connection's, a reset is not the end. */
static void a_reset_is_no_end(void **state)
{
    static const http_step steps[] = {HTTP_READ, HTTP_SEND("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"),
                                      HTTP_RESET, HTTP_END};

    (void)state;
    t_script(steps);
    t_expect_failure(BLOB_UNAVAILABLE);
}

static void the_words_say_how_far_it_came(void **state)
{
    static const http_step nothing[] = {HTTP_READ, HTTP_FINISH, HTTP_END};
    static const http_step head[] = {HTTP_READ, HTTP_SEND("HTTP/1.1 2"), HTTP_FINISH, HTTP_END};
    static const http_step body[] = {HTTP_READ, HTTP_SEND("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"),
                                     HTTP_FINISH, HTTP_END};
    static const http_step *const scripts[] = {nothing, head, body};
    char where[32];

    (void)state;
    t_scripts(scripts, 3);
    snprintf(where, sizeof where, "127.0.0.1:%u: ", http_server_port(t_server));
    t_expect_failure(BLOB_UNAVAILABLE);
    t_says(where);
    t_says("without an answer");
    t_expect_failure(BLOB_UNAVAILABLE);
    t_says("amid the head");
    t_expect_failure(BLOB_UNAVAILABLE);
    t_says("3 of 5 bytes");
}

/* ---- A request that breaks off ---- */

static void a_request_may_break_off_anywhere(void **state)
{
    static const char body[] = "twenty bytes of body";
    size_t size = strlen("PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n") + 20;
    static http_step steps[CUTS_MAX][3];
    static const http_step *scripts[CUTS_MAX];
    t_call call;

    (void)state;
    assert_true(size < CUTS_MAX);
    for (size_t i = 0; i < size; i++) {
        steps[i][0] = (http_step)HTTP_READ_BYTES(i);
        steps[i][1] = (http_step)HTTP_RESET;
        steps[i][2] = (http_step)HTTP_END;
        scripts[i] = steps[i];
    }
    t_scripts(scripts, size);
    for (size_t i = 0; i < size; i++) {
        test_status(t_put(&call, body, 20), BLOB_UNAVAILABLE);
        assert_null(call.x.answer);
    }
    assert_int_equal(t_kept(), 0);
}

/* The peer is gone while we write, and write again: without a signal, for that would end this process. */
static void a_large_request_may_break_off(void **state)
{
    static const size_t cuts[] = {0, 100, 20000, 1000000};
    static const http_step *scripts[8];
    static http_step steps[8][3];
    char *body = test_payload(1, LARGE);
    t_call call;

    (void)state;
    for (size_t i = 0; i < 8; i++) {
        steps[i][0] = (http_step)HTTP_READ_BYTES(cuts[i % 4]);
        steps[i][1] = (http_step){i < 4 ? HTTP_STEP_RESET : HTTP_STEP_CLOSE, NULL, 0, 0};
        steps[i][2] = (http_step)HTTP_END;
        scripts[i] = steps[i];
    }
    t_scripts(scripts, 8);
    for (size_t i = 0; i < 8; i++) {
        test_status(t_put(&call, body, LARGE), BLOB_UNAVAILABLE);
        assert_null(call.x.answer);
        t_says("127.0.0.1:");
    }
    free(body);
}

/* ---- An answer before the request is whole ---- */

#define REFUSAL "HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge"

static void expect_early(const http_step *steps, unsigned status, const char *text)
{
    char *body = test_payload(1, LARGE);
    t_call call;

    t_script(steps);
    test_ok(t_put(&call, body, LARGE));
    assert_true(call.x.begun);
    t_answered(&call, status, text);
    assert_int_equal(t_kept(), 0); /* the server waits for the rest of it */
    assert_int_equal(t_closes, 1);
    (void)t_teardown(NULL);
    (void)t_setup(NULL);
    free(body);
}

static void a_server_may_refuse_a_body_and_stop_reading(void **state)
{
    static const http_step stalls[] = {HTTP_READ_HEAD, HTTP_SEND(REFUSAL), HTTP_STALL, HTTP_END};
    static const http_step drips[] = {HTTP_READ_HEAD, HTTP_PIECES(REFUSAL, 1), HTTP_STALL, HTTP_END};
    static const http_step later[] = {HTTP_READ_HEAD, HTTP_READ_BYTES(1000000), HTTP_SEND(REFUSAL), HTTP_STALL,
                                      HTTP_END};

    (void)state;
    expect_early(stalls, 413, "large");
    expect_early(drips, 413, "large");
    expect_early(later, 413, "large");
}

static void a_server_may_refuse_a_body_and_hang_up(void **state)
{
    static const http_step finishes[] = {HTTP_READ_HEAD, HTTP_SEND(REFUSAL), HTTP_FINISH, HTTP_END};
    static const http_step closes[] = {HTTP_READ_HEAD, HTTP_SEND(REFUSAL), HTTP_CLOSE, HTTP_END};
    static const http_step to_end[] = {HTTP_READ_HEAD, HTTP_SEND("HTTP/1.0 413 Too Large\r\n\r\nlarge"), HTTP_FINISH,
                                       HTTP_END};

    (void)state;
    expect_early(finishes, 413, "large");
    expect_early(closes, 413, "large");
    expect_early(to_end, 413, "large");
}

/* It comes, and is heard, while the server reads nothing. */
static void a_go_on_is_no_answer(void **state)
{
    static const http_step steps[] = {HTTP_READ_HEAD,
                                      HTTP_SEND("HTTP/1.1 100 Continue\r\n\r\n"),
                                      HTTP_GATE(0),
                                      HTTP_READ_BYTES(LARGE),
                                      HTTP_SEND("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
                                      HTTP_STALL,
                                      HTTP_END};
    char *body = test_payload(1, LARGE);
    t_call call;

    (void)state;
    t_script(steps);
    t_gated = true;
    test_ok(t_put(&call, body, LARGE));
    t_answered(&call, 200, "ok");
    assert_int_equal(t_kept(), 1);
    free(body);
}

/* An early success claims what cannot be. */
static void nothing_is_stored_before_it_was_sent(void **state)
{
    static const http_step steps[] = {HTTP_READ_HEAD, HTTP_SEND("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
                                      HTTP_STALL, HTTP_END};
    char *body = test_payload(1, LARGE);
    t_call call;

    (void)state;
    t_script(steps);
    test_status(t_put(&call, body, LARGE), -EIO);
    assert_null(call.x.answer);
    assert_int_equal(t_kept(), 0);
    free(body);
}

static void an_early_answer_that_breaks_off_is_none(void **state)
{
    static const http_step amid[] = {HTTP_READ_HEAD, HTTP_SEND("HTTP/1.1 413 Too"), HTTP_FINISH, HTTP_END};
    static const http_step body[] = {
        HTTP_READ_HEAD, HTTP_SEND("HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlar"), HTTP_FINISH, HTTP_END};
    static const http_step *const scripts[] = {amid, body};
    char *large = test_payload(1, LARGE);
    t_call call;

    (void)state;
    t_scripts(scripts, 2);
    for (unsigned i = 0; i < 2; i++) {
        test_status(t_put(&call, large, LARGE), BLOB_UNAVAILABLE);
        assert_null(call.x.answer);
    }
    free(large);
}

/* A write may fail for reasons of our own side, and the server may wait for us: then it is not waited for in turn. */
static int broken_write(void *connection, blob_ctx *ctx, int64_t timeout_ms, const void *data, size_t size,
                        size_t *done)
{
    (void)connection;
    (void)ctx;
    (void)timeout_ms;
    (void)data;
    (void)size;
    *done = 0;
    return blob_fail(BLOB_UNAVAILABLE, 5000, "broken on this side");
}

static void a_write_that_fails_waits_for_no_answer(void **state)
{
    static const http_step steps[] = {HTTP_READ, HTTP_STALL, HTTP_END};
    blob_s3store_transport broken = *blob_s3store_tcp();
    blob_error error;
    t_call call;

    (void)state;
    broken.write = broken_write;
    t_tcp_or_none = &broken;
    t_script(steps);
    t_net.limits = t_limits(INT64_MAX, INT64_MAX);
    test_status(t_get(&call), BLOB_UNAVAILABLE);
    assert_false(call.x.begun);
    blob_last_error(&error);
    assert_string_equal(error.text, "broken on this side");
    assert_int_equal(error.retry_after_ms, 5000);
    s3_net_close(&t_net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_answer_cut_short_is_never_delivered, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(a_reset_is_no_end, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(the_words_say_how_far_it_came, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(a_request_may_break_off_anywhere, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(a_large_request_may_break_off, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(a_server_may_refuse_a_body_and_stop_reading, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(a_server_may_refuse_a_body_and_hang_up, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(a_go_on_is_no_answer, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(nothing_is_stored_before_it_was_sent, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(a_write_that_fails_waits_for_no_answer, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(an_early_answer_that_breaks_off_is_none, t_setup, t_teardown),
    };

    return cmocka_run_group_tests_name("s3_net_cut", tests, NULL, NULL);
}
