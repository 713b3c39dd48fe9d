/* test_s3_net.c - one request of s3store and its answer: what is sent, and every way in which an answer can come. The other
 * tests of the net: test_s3_net_bad.c (other answers), test_s3_net_pool.c and test_s3_net_many.c (connections), test_s3_net_cut.c (what
 * breaks off), test_s3_net_wait.c (limits), test_s3_net_names.c and test_s3_net_dial.c (addresses), test_s3_tcp.c. */
#include "s3net_test.h"

#define OK_HEAD "HTTP/1.1 200 OK\r\n"
#define HELLO_BY_LENGTH OK_HEAD "Content-Length: 5\r\n\r\nhello"
#define HELLO_BY_CHUNKS                                                                                                \
    OK_HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=\"y\"\r\nllo\r\n0\r\nTrailer: z\r\n\r\n"
#define HELLO_TO_END OK_HEAD "Connection: close\r\n\r\nhello"

/* ---- What is sent ---- */

static void expect_sent(size_t size)
{
    static const http_step steps[] = {HTTP_READ, HTTP_SEND("HTTP/1.1 204 No Content\r\n\r\n"), HTTP_STALL, HTTP_END};
    char *body = test_payload(size, size + 1);
    const http_request *request;
    t_call call;

    t_script(steps);
    test_ok(t_put(&call, body, size));
    assert_true(call.x.begun);
    assert_false(call.x.repeated);
    t_answered(&call, 204, NULL);
    request = http_server_request(t_server, 0);
    assert_int_equal(request->head_size, call.x.head.size);
    assert_memory_equal(request->head, call.head, call.x.head.size);
    assert_int_equal(request->body_size, size);
    if (size > 0)
        assert_memory_equal(request->body, body, size);
    free(body);
    (void)t_teardown(NULL);
    (void)t_setup(NULL);
}

static void the_server_gets_what_was_given(void **state)
{
    size_t head = strlen("PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 16000\r\n\r\n");

    (void)state;
    expect_sent(0);
    expect_sent(1);
    expect_sent(4096);
    /* Around what goes out with the head. */
    expect_sent(S3_HEAD_MAX - head);
    expect_sent(S3_HEAD_MAX + 1 - head);
    expect_sent(S3_HEAD_MAX + 2 - head);
    expect_sent((size_t)3 << 20);
}

static void a_head_longer_than_the_buffer_is_sent_too(void **state)
{
    static const http_step steps[] = {HTTP_READ_BYTES(S3_HEAD_MAX + 1004), HTTP_SEND(HELLO_BY_LENGTH), HTTP_STALL,
                                      HTTP_END};
    char *head = test_payload(1, S3_HEAD_MAX + 1000);
    t_call call;

    (void)state;
    t_script(steps);
    t_prepare(&call, "PUT", "abcd", 4);
    call.x.head = blob_view_of(head, S3_HEAD_MAX + 1000);
    test_ok(s3_exchange_run(&t_net, NULL, &call.x));
    t_answered(&call, 200, "hello");
    free(head);
}

static void a_small_put_is_one_write_and_one_read(void **state)
{
    static const http_step steps[] = {
        HTTP_READ, HTTP_SEND(HELLO_BY_LENGTH), HTTP_READ, HTTP_SEND(HELLO_BY_LENGTH), HTTP_STALL, HTTP_END};
    char *body = test_payload(1, 4096);
    t_call call;

    (void)state;
    t_script(steps);
    test_ok(t_put(&call, body, 4096));
    t_answered(&call, 200, "hello");
    assert_int_equal(t_writes, 1);
    assert_int_equal(t_reads, 1);
    test_ok(t_put(&call, body, 4096));
    t_answered(&call, 200, "hello");
    assert_int_equal(t_writes, 2);
    assert_int_equal(t_reads, 3); /* a kept connection is asked first whether there is something that should not */
    assert_int_equal(t_connects, 1);
    free(body);
}

/* ---- How answers come ---- */

static void expect_hello(const char *answer, size_t piece)
{
    const http_step steps[] = {HTTP_READ, {HTTP_STEP_SEND, answer, strlen(answer), piece}, HTTP_FINISH, HTTP_END};

    t_script(steps);
    t_expect(200, "hello");
    (void)t_teardown(NULL);
    (void)t_setup(NULL);
}

static void bodies_end_by_length_chunks_or_the_connection(void **state)
{
    (void)state;
    expect_hello(HELLO_BY_LENGTH, 0);
    expect_hello(HELLO_BY_CHUNKS, 0);
    expect_hello(HELLO_TO_END, 0);
    expect_hello("HTTP/1.0 200 OK\r\n\r\nhello", 0);
}

static void an_answer_may_come_byte_by_byte(void **state)
{
    (void)state;
    for (size_t piece = 1; piece <= 3; piece++) {
        expect_hello(HELLO_BY_LENGTH, piece);
        expect_hello(HELLO_BY_CHUNKS, piece);
        expect_hello(HELLO_TO_END, piece);
        expect_hello("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" HELLO_BY_LENGTH, piece);
    }
}

static void interim_answers_are_passed_over(void **state)
{
    (void)state;
    expect_hello("HTTP/1.1 100 Continue\r\n\r\n" HELLO_BY_LENGTH, 0);
    expect_hello("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" HELLO_BY_CHUNKS, 0);
}

static void some_answers_have_no_body(void **state)
{
    static const http_step steps[] = {HTTP_READ,  HTTP_SEND(OK_HEAD "Content-Length: 12345\r\n\r\n"),
                                      HTTP_READ,  HTTP_SEND("HTTP/1.1 204 No Content\r\n\r\n"),
                                      HTTP_READ,  HTTP_SEND("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"),
                                      HTTP_READ,  HTTP_SEND(OK_HEAD "Content-Length: 0\r\n\r\n"),
                                      HTTP_READ,  HTTP_SEND(OK_HEAD "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
                                      HTTP_READ,  HTTP_SEND(HELLO_BY_LENGTH),
                                      HTTP_STALL, HTTP_END};
    t_call call;

    (void)state;
    t_script(steps);
    t_prepare(&call, "HEAD", NULL, 0);
    test_ok(s3_exchange_run(&t_net, NULL, &call.x));
    assert_true(call.x.answer_head.has_length);
    assert_int_equal(call.x.answer_head.length, 12345);
    t_answered(&call, 200, NULL);
    t_expect(204, NULL);
    t_expect(304, NULL);
    t_expect(200, "");
    t_expect(200, "");
    t_expect(200, "hello");
    assert_int_equal(t_connects, 1);
}

static void the_status_does_not_matter(void **state)
{
    static const http_step steps[] = {
        HTTP_READ,  HTTP_SEND("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"),
        HTTP_READ,  HTTP_SEND("HTTP/1.1 503 Slow Down\r\nRetry-After: 3\r\nContent-Length: 4\r\n\r\nslow"),
        HTTP_READ,  HTTP_SEND("HTTP/1.1 301 Elsewhere\r\nLocation: there\r\nContent-Length: 0\r\n\r\n"),
        HTTP_STALL, HTTP_END};
    t_call call;

    (void)state;
    t_script(steps);
    t_expect(404, "no");
    test_ok(t_get(&call));
    assert_int_equal(call.x.answer_head.retry_after_ms, 3000);
    t_answered(&call, 503, "slow");
    test_ok(t_get(&call));
    assert_string_equal(call.x.answer_head.location, "there");
    t_answered(&call, 301, "");
    assert_int_equal(t_connects, 1);
}

/* ---- Large ones ---- */

#define LARGE ((size_t)1000000)

/* Its head, and its body framed, into text; returns the size. */
static size_t make_large(char *text, const char *body, size_t chunk)
{
    int n = chunk > 0 ? sprintf(text, OK_HEAD "Transfer-Encoding: chunked\r\n\r\n")
                      : sprintf(text, OK_HEAD "Content-Length: %zu\r\n\r\n", LARGE);
    size_t size = (size_t)n, step;

    for (size_t at = 0; at < LARGE; at += step) {
        step = chunk > 0 && chunk < LARGE - at ? chunk : LARGE - at;
        if (chunk > 0)
            size += (size_t)sprintf(text + size, "%zx\r\n", step);
        memcpy(text + size, body + at, step);
        size += step;
        if (chunk > 0)
            size += (size_t)sprintf(text + size, "\r\n");
    }
    return chunk > 0 ? size + (size_t)sprintf(text + size, "0\r\n\r\n") : size;
}

/* chunk 0: by length. Returns how many bytes did not go through the connection's buffer. */
static size_t expect_large(size_t chunk)
{
    char *body = test_payload(7, LARGE), *text = malloc(8 * LARGE);
    const http_step steps[] = {HTTP_READ,  HTTP_SEND(HELLO_BY_LENGTH),
                               HTTP_READ,  HTTP_SEND_BYTES(text, make_large(text, body, chunk)),
                               HTTP_STALL, HTTP_END};
    size_t away;
    t_call call;

    t_script(steps);
    t_expect(200, "hello");
    atomic_store(&t_buffer, t_net.kept->buffer);
    test_ok(t_get(&call));
    assert_int_equal(call.x.answer->size, LARGE);
    assert_memory_equal(call.x.answer->data, body, LARGE);
    blob_unref(call.x.answer);
    assert_int_equal(t_kept(), 1);
    away = t_read_away;
    (void)t_teardown(NULL);
    (void)t_setup(NULL);
    free(body);
    free(text);
    return away;
}

static void large_bodies_are_read_right_into_the_blob(void **state)
{
    (void)state;
    assert_true(expect_large(0) >= LARGE - S3_HEAD_MAX);
    /* Each chunk but for what came along with its framing: at most a buffer. */
    assert_true(expect_large(LARGE) >= LARGE - S3_HEAD_MAX - 1);
    assert_true(expect_large(LARGE / 4) >= LARGE - 5 * (S3_HEAD_MAX + 1));
}

static void chunks_of_any_size_make_the_same_body(void **state)
{
    const size_t sizes[] = {1, 2, 3, 1000, 4096, 16384, 16385, 65537};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        (void)expect_large(sizes[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_server_gets_what_was_given, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(a_head_longer_than_the_buffer_is_sent_too, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(a_small_put_is_one_write_and_one_read, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(bodies_end_by_length_chunks_or_the_connection, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(an_answer_may_come_byte_by_byte, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(interim_answers_are_passed_over, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(some_answers_have_no_body, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(the_status_does_not_matter, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(large_bodies_are_read_right_into_the_blob, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(chunks_of_any_size_make_the_same_body, t_setup, t_teardown),
    };

    return cmocka_run_group_tests_name("s3_net", tests, NULL, NULL);
}
