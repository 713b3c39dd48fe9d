/* test_httpserver.c - the HTTP server that tests of s3store rely on does what it says, seen through plain sockets. */
#include "httpclient.h"

#include <poll.h>

/* ---- the script ---------------------------------------------------------------------------------------------- */

static void a_script_is_followed_to_the_byte(void **state)
{
    static const http_step first[] = {HTTP_READ,    HTTP_SEND("one"), HTTP_READ,  HTTP_PIECES("two and more", 5),
                                      HTTP_GATE(3), HTTP_SEND("!"),   HTTP_FINISH},
                           second[] = {HTTP_READ_HEAD, HTTP_SEND("no"), HTTP_RESET};
    static const http_step *const script[] = {first, second};
    http_server *s = http_server_start_script(script, 2);
    const http_request *r;
    char text[64];
    int fd;

    (void)state;
    test_watchdog(60);
    fd = c_connect(http_server_port(s));
    c_send(fd, "PUT /a%20b?c=d HTTP/1.1\r\nHost: h\r\ncontent-length: 4\r\n");
    c_send(fd, "\r\nbo");
    c_send(fd, "dyGET / HTTP/1.1\r\nHOST: h\r\n\r\n");
    c_expect(fd, "one");
    c_expect(fd, "two and more");
    http_server_gate_await(s, 3, 1);
    assert_int_equal(recv(fd, text, 1, MSG_DONTWAIT), -1);
    http_server_gate_open(s, 3);
    c_expect_all(fd, "!");

    r = http_server_request(s, 0);
    assert_string_equal(r->method, "PUT");
    assert_string_equal(r->path, "/a%20b");
    assert_string_equal(r->query, "c=d");
    assert_string_equal(http_request_field(r, "Content-Length"), "4");
    assert_null(http_request_field(r, "Content"));
    assert_int_equal(r->body_size, 4);
    assert_memory_equal(r->body, "body", 4);
    assert_memory_equal(r->head, "PUT /a%20b?c=d HTTP/1.1\r\nHost: h\r\ncontent-length: 4\r\n\r\n", r->head_size);
    assert_string_equal(http_server_request(s, 1)->method, "GET");
    assert_string_equal(http_server_request(s, 1)->query, "");

    fd = c_connect(http_server_port(s));
    c_send(fd, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 4000\r\n\r\n");
    assert_int_equal(c_read_all(fd, text, sizeof text), ECONNRESET);
    close(fd);
    assert_int_equal(http_server_request(s, 2)->length, 4000);
    fd = c_connect(http_server_port(s)); /* one too many */
    assert_int_equal(c_read_all(fd, text, sizeof text), ECONNRESET);
    close(fd);
    assert_int_equal(http_server_counts(s).accepted, 3);
    assert_int_equal(http_server_counts(s).requests, 3);
    assert_int_equal(http_server_counts(s).malformed, 0);
    http_server_stop(s);
}

static void what_is_no_request_is_not_taken_for_one(void **state)
{
    static const char *const malformed[] = {
        "GET / HTTP/1.1\r\n\r\n", /* no Host */
        "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n X: folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: h\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET a HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\ncontent-length: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        "\r\n\r\n"};
    static const http_step steps[] = {HTTP_READ, HTTP_SEND("taken"), HTTP_END};
    const http_step *script[sizeof malformed / sizeof *malformed];
    http_server *s;

    (void)state;
    test_watchdog(60);
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        script[i] = steps;
    s = http_server_start_script(script, sizeof script / sizeof *script);
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        int fd = c_connect(http_server_port(s));
        c_send(fd, malformed[i]);
        c_expect_all(fd, "");
        assert_int_equal(http_server_counts(s).malformed, i + 1);
    }
    http_server_stop(s);
}

/* ---- servers that do not serve ------------------------------------------------------------------------------- */

static void unwilling_servers_are_what_they_are_called(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    http_server *s = http_server_start_unwilling(HTTP_REFUSES);
    struct pollfd waits = {-1, POLLOUT, 0};

    (void)state;
    test_watchdog(60);
    assert_int_equal(c_connect(http_server_port(s)), -ECONNREFUSED);
    http_server_stop(s);

    s = http_server_start_unwilling(HTTP_DEAF);
    waits.fd = c_connect(http_server_port(s));
    assert_true(waits.fd >= 0);
    assert_int_equal(http_server_counts(s).accepted, 0);
    close(waits.fd);
    http_server_stop(s);

    s = http_server_start_unwilling(HTTP_FULL);
    waits.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    at.sin_port = htons((uint16_t)http_server_port(s));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(waits.fd, (struct sockaddr *)&at, sizeof at), -1);
    assert_int_equal(errno, EINPROGRESS);
    assert_int_equal(poll(&waits, 1, 50), 0);
    close(waits.fd);
    http_server_stop(s);
}

static void a_stop_ends_whatever_is_under_way(void **state)
{
    static const http_step stalls[] = {HTTP_STALL, HTTP_END}, waits[] = {HTTP_GATE(0), HTTP_END},
                           reads[] = {HTTP_READ, HTTP_END}, finishes[] = {HTTP_FINISH, HTTP_END};
    static const http_step *const script[] = {stalls, waits, reads, finishes};
    http_server *s = http_server_start_script(script, 4);
    int fds[4];

    (void)state;
    test_watchdog(60);
    for (int i = 0; i < 4; i++)
        fds[i] = c_connect(http_server_port(s));
    c_send(fds[2], "GET / HT");
    http_server_gate_await(s, 0, 1);
    http_server_accepted_await(s, 4);
    assert_int_equal(http_server_counts(s).connections, 4);
    http_server_stop(s);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_script_is_followed_to_the_byte),
        cmocka_unit_test(what_is_no_request_is_not_taken_for_one),
        cmocka_unit_test(unwilling_servers_are_what_they_are_called),
        cmocka_unit_test(a_stop_ends_whatever_is_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
