/* test_s3_net_bad.c - answers to s3store's requests that are not taken as they come: those that are too large, and those
 * that make no sense. */
#include "s3net_test.h"

#define OK_HEAD "HTTP/1.1 200 OK\r\n"
#define HELLO_BY_LENGTH OK_HEAD "Content-Length: 5\r\n\r\nhello"
#define HELLO_BY_CHUNKS                                                                                                \
    OK_HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=\"y\"\r\nllo\r\n0\r\nTrailer: z\r\n\r\n"
#define HELLO_TO_END OK_HEAD "Connection: close\r\n\r\nhello"

/* ---- What is too large ---- */

static int ask_with_max(const char *answer, uint64_t answer_max, uint64_t error_max, t_call *call)
{
    const http_step steps[] = {HTTP_READ, HTTP_SEND_BYTES(answer, strlen(answer)), HTTP_FINISH, HTTP_END};
    int rc;

    t_script(steps);
    t_prepare(call, "GET", NULL, 0);
    call->x.answer_max = answer_max;
    call->x.error_max = error_max;
    rc = s3_exchange_run(&t_net, NULL, &call->x);
    if (rc != 0)
        assert_null(call->x.answer);
    if (rc != 0 || call->x.answer == NULL)
        assert_int_equal(t_kept(), 0);
    (void)t_teardown(NULL);
    (void)t_setup(NULL);
    return rc;
}

static void a_body_larger_than_asked_for_is_not_read(void **state)
{
    static const char *const hellos[] = {HELLO_BY_LENGTH, HELLO_BY_CHUNKS, HELLO_TO_END};
    t_call call;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        test_ok(ask_with_max(hellos[i], 5, 0, &call));
        t_answered(&call, 200, "hello");
        for (uint64_t max = 0; max < 5; max++)
            test_status(ask_with_max(hellos[i], max, 5, &call), -EFBIG);
    }
    test_status(ask_with_max(OK_HEAD "Content-Length: 18446744073709551615\r\n\r\n", 4, 0, &call), -EFBIG);
    t_says("18446744073709551615 bytes");
    t_says("4 are the most");
    test_status(ask_with_max(OK_HEAD "Content-Length: 18446744073709551615\r\n\r\n", UINT64_MAX, 0, &call), -EFBIG);
}

static void an_errors_body_that_is_too_large_is_passed_over(void **state)
{
    t_call call;

    (void)state;
    test_ok(ask_with_max("HTTP/1.1 502 Bad\r\nContent-Length: 5\r\n\r\nhello", 0, 5, &call));
    t_answered(&call, 502, "hello");
    test_ok(ask_with_max("HTTP/1.1 502 Bad\r\nContent-Length: 5\r\n\r\nhello", 9, 4, &call));
    t_answered(&call, 502, NULL);
    test_ok(ask_with_max("HTTP/1.1 502 Bad\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 9, 4, &call));
    t_answered(&call, 502, NULL);
    test_ok(ask_with_max("HTTP/1.1 502 Bad\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", 9, 4,
                         &call));
    t_answered(&call, 502, NULL);
    test_ok(ask_with_max("HTTP/1.0 502 Bad\r\n\r\nhello", 9, 4, &call));
    t_answered(&call, 502, NULL);
}

/* Likewise where the body comes by itself, when the head has been read. */
static int ask_with_max_apart(const char *head, const char *body, uint64_t max, t_call *call)
{
    const http_step steps[] = {HTTP_READ,    HTTP_SEND_BYTES(head, strlen(head)),
                               HTTP_GATE(0), HTTP_SEND_BYTES(body, strlen(body)),
                               HTTP_FINISH,  HTTP_END};
    int rc;

    t_script(steps);
    t_gated = true;
    t_prepare(call, "GET", NULL, 0);
    call->x.answer_max = call->x.error_max = max;
    rc = s3_exchange_run(&t_net, NULL, &call->x);
    if (call->x.answer == NULL)
        assert_int_equal(t_kept(), 0);
    (void)t_teardown(NULL);
    (void)t_setup(NULL);
    return rc;
}

static void what_is_too_large_may_come_later(void **state)
{
    static const char *const framings[][2] = {
        {"Content-Length: 5\r\n\r\n", "hello"},
        {"Transfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"},
        {"Connection: close\r\n\r\n", "hello"},
    };
    char head[100];
    t_call call;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        for (uint64_t max = 0; max <= 5; max++) {
            snprintf(head, sizeof head, OK_HEAD "%s", framings[i][0]);
            test_status(ask_with_max_apart(head, framings[i][1], max, &call), max < 5 ? -EFBIG : 0);
            if (max == 5)
                t_answered(&call, 200, "hello");
            assert_true(max == 5 || call.x.answer == NULL);
            snprintf(head, sizeof head, "HTTP/1.1 500 Oh\r\n%s", framings[i][0]);
            test_ok(ask_with_max_apart(head, framings[i][1], max, &call));
            t_answered(&call, 500, max == 5 ? "hello" : NULL);
        }
    }
}

/* It does not take all of it to know. */
static void a_chunk_that_is_too_large_is_not_waited_for(void **state)
{
    static const http_step steps[] = {
        HTTP_READ, HTTP_SEND(OK_HEAD "Transfer-Encoding: chunked\r\n\r\nffffffff\r\nhello"), HTTP_STALL, HTTP_END};

    (void)state;
    t_script(steps);
    t_expect_failure(-EFBIG);
}

static void an_announced_size_takes_no_memory(void **state)
{
    t_call call;

    (void)state;
    test_status(ask_with_max(OK_HEAD "Transfer-Encoding: chunked\r\n\r\nffffffffffffff\r\nhello", UINT64_MAX, 0, &call),
                SIZE_MAX > UINT32_MAX ? BLOB_UNAVAILABLE : -EFBIG);
}

/* Not even where the caller would take it; and never the part of it that fits. */
static void what_no_blob_can_hold_is_refused(void **state)
{
    static const char *const bodies[] = {
        "Content-Length: 9223372036854775813\r\n\r\nhello",
#if SIZE_MAX == UINT32_MAX
        "Content-Length: 4294967301\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n100000005\r\nhello\r\n0\r\n\r\n",
#endif
    };
    char answer[200];
    t_call call;

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        snprintf(answer, sizeof answer, OK_HEAD "%s", bodies[i]);
        test_status(ask_with_max(answer, UINT64_MAX, 0, &call), -EFBIG);
        assert_null(call.x.answer);
    }
}

/* ---- What is no answer ---- */

static void what_makes_no_sense_is_an_io_error(void **state)
{
    static const char *const bad[] = {
        "SSH-2.0-something\r\n",
        "HTTP/2 200\r\n\r\n",
        OK_HEAD "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        OK_HEAD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        OK_HEAD "Transfer-Encoding: gzip\r\n\r\nhello",
        OK_HEAD "Transfer-Encoding: chunked\r\n\r\nhello",
        OK_HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    };
    t_call call;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        test_status(ask_with_max(bad[i], T_ANSWER_MAX, T_ERROR_MAX, &call), -EIO);
        t_says("127.0.0.1:");
    }
}

static void an_endless_head_is_an_io_error(void **state)
{
    char *text = malloc(2 * S3_HEAD_MAX + 1);
    t_call call;

    (void)state;
    memset(text, 'x', 2 * S3_HEAD_MAX);
    memcpy(text, OK_HEAD, strlen(OK_HEAD));
    text[2 * S3_HEAD_MAX] = '\0';
    test_status(ask_with_max(text, T_ANSWER_MAX, T_ERROR_MAX, &call), -EIO);
    t_says("16384 bytes");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_body_larger_than_asked_for_is_not_read, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(an_errors_body_that_is_too_large_is_passed_over, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(what_is_too_large_may_come_later, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(a_chunk_that_is_too_large_is_not_waited_for, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(an_announced_size_takes_no_memory, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(what_no_blob_can_hold_is_refused, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(what_makes_no_sense_is_an_io_error, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(an_endless_head_is_an_io_error, t_setup, t_teardown),
    };

    return cmocka_run_group_tests_name("s3_net_bad", tests, NULL, NULL);
}
