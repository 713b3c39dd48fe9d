/* test_s3_net_dial.c - connecting of s3store: each address of the endpoint's name is tried, in order. */
#include "s3net_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* ---- What the name means ---- */

static s3_address found[S3_ADDRESSES_MAX];
static size_t found_count;
static atomic_uint lookups;

static int find(void *arg, const char *host, const char *port, s3_address *out, size_t *count)
{
    (void)arg;
    (void)host;
    (void)port;
    atomic_fetch_add(&lookups, 1);
    memcpy(out, found, found_count * sizeof *out);
    *count = found_count;
    return 0;
}

static void found_add(const char *digits, unsigned port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    assert_int_equal(inet_pton(AF_INET, digits, &in.sin_addr), 1);
    memcpy(&found[found_count].at, &in, sizeof in);
    found[found_count++].size = sizeof in;
}

static int set_up(void **state)
{
    (void)t_setup(state);
    found_count = 0;
    lookups = 0;
    t_open_at("some.name", 80, t_limits(T_LONG_MS, T_LONG_MS));
    t_net.resolver->lookup = find;
    return 0;
}

/* ---- Connecting ---- */

static const http_step ok_twice[] = {HTTP_READ, HTTP_SEND(OK), HTTP_READ, HTTP_SEND(OK), HTTP_STALL, HTTP_END};

static void each_address_is_tried(void **state)
{
    static const http_step *script[] = {ok_twice};
    http_server *refuses = http_server_start_unwilling(HTTP_REFUSES), *full = http_server_start_unwilling(HTTP_FULL);

    (void)state;
    t_server = http_server_start_script(script, 1);
    t_net.limits.connect_ms = 1000; /* it costs one of them, and the others must need less */
    found_add("127.0.0.1", http_server_port(refuses));
    found_add("127.0.0.1", http_server_port(full));
    found_add("127.0.0.1", http_server_port(t_server));
    t_expect(200, "ok");
    assert_int_equal(t_connects, 3);
    t_expect(200, "ok");
    assert_int_equal(t_connects, 3);
    assert_int_equal(lookups, 1);
    http_server_stop(refuses);
    http_server_stop(full);
}

static void if_none_can_be_reached_the_name_is_looked_up_anew(void **state)
{
    static const http_step *script[] = {ok_twice};
    http_server *refuses = http_server_start_unwilling(HTTP_REFUSES);
    t_call call;

    (void)state;
    t_server = http_server_start_script(script, 1);
    found_add("127.0.0.1", http_server_port(refuses));
    found_add("127.0.0.2", http_server_port(refuses));
    test_status(t_get(&call), BLOB_UNAVAILABLE);
    assert_false(call.x.begun);
    t_says("some.name:");
    t_says("127.0.0.2");
    t_says("2 addresses");
    t_says("refused");
    assert_int_equal(t_connects, 2);
    found_count = 0; /* it has moved */
    found_add("127.0.0.1", http_server_port(t_server));
    t_expect(200, "ok");
    assert_int_equal(lookups, 2);
    http_server_stop(refuses);
}

static void a_deadline_is_for_all_addresses(void **state)
{
    http_server *full = http_server_start_unwilling(HTTP_FULL);
    blob_ctx *ctx = new_timeout(NULL, 50);
    t_call call;

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        found_add("127.0.0.1", http_server_port(full));
    test_status(t_get_by(ctx, &call), -ETIMEDOUT);
    assert_true(t_connects <= 1);
    blob_ctx_free(ctx);
    http_server_stop(full);
}

/* Who has less time than one that is silent takes must come to the others nevertheless. */
static void addresses_that_failed_go_last(void **state)
{
    http_server *full = http_server_start_unwilling(HTTP_FULL), *other = http_server_start_unwilling(HTTP_FULL);
    static const http_step *script[] = {ok_twice, ok_twice};
    s3_conn *c;
    t_call call;

    (void)state;
    t_server = http_server_start_script(script, 2);
    t_net.limits.connect_ms = 3000;
    found_add("127.0.0.1", http_server_port(full));
    found_add("127.0.0.1", http_server_port(other));
    found_add("127.0.0.1", http_server_port(t_server));
    for (unsigned i = 0; i < 2; i++)
        while (t_connects <= i) {
            blob_ctx *ctx = new_timeout(NULL, 50);

            test_status(t_get_by(ctx, &call), -ETIMEDOUT);
            blob_ctx_free(ctx);
        }
    assert_int_equal(t_connects, 2);
    t_expect(200, "ok");
    assert_int_equal(t_connects, 3);
    s3_resolver_forget(t_net.resolver); /* the next lookup says the same, in the same order */
    test_ok(s3_conn_get(&t_net, NULL, true, &c));
    s3_conn_close(c);
    assert_int_equal(lookups, 2);
    assert_int_equal(t_connects, 4);
    http_server_stop(full);
    http_server_stop(other);
}

static int connect_in_silence(void *arg, blob_ctx *ctx, int64_t timeout_ms, const char *host,
                              const struct sockaddr *address, size_t size, void **connection)
{
    (void)arg;
    (void)ctx;
    (void)timeout_ms;
    (void)host;
    (void)address;
    (void)size;
    *connection = NULL;
    return -ETIMEDOUT;
}

/* A transport that says nothing of a limit that passed. */
static void a_limit_is_told_in_words_whoever_keeps_it(void **state)
{
    static const blob_s3store_transport silent = {.connect = connect_in_silence};
    blob_error e;

    (void)state;
    t_tcp_or_none = &silent;
    for (unsigned count = 1; count <= 2; count++) {
        found_add("127.0.0.1", count);
        (void)blob_fail(-EIO, 0, "of another call");
        t_expect_failure(-ETIMEDOUT);
        blob_last_error(&e);
        assert_int_equal(e.status, -ETIMEDOUT);
        t_says("some.name:80: not connected: ");
        assert_null(strstr(e.text, "another call"));
        assert_int_equal(t_connects, 2 * count - 1);
    }
    t_tcp_or_none = NULL;
}

static bool has_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&loopback, sizeof loopback) == 0;

    if (fd >= 0)
        close(fd);
    return has;
}

static void answer_ok(void *arg, const http_request *request, http_answer *answer)
{
    (void)arg;
    (void)request;
    answer->status = 200;
    answer->body = "ok";
    answer->body_size = 2;
}

static void ipv6_will_do(void **state)
{
    char where[32];

    (void)state;
    if (!has_ipv6())
        skip();
    s3_net_close(&t_net);
    t_server = http_server_start(&(http_handler){.handle = answer_ok}, true);
    t_open_at("::1", http_server_port(t_server), t_limits(T_LONG_MS, T_LONG_MS));
    t_expect(200, "ok");
    snprintf(where, sizeof where, "[::1]:%u", http_server_port(t_server));
    http_server_down(t_server);
    t_expect_failure(BLOB_UNAVAILABLE);
    t_says(where);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_address_is_tried, set_up, t_teardown),
        cmocka_unit_test_setup_teardown(if_none_can_be_reached_the_name_is_looked_up_anew, set_up, t_teardown),
        cmocka_unit_test_setup_teardown(a_deadline_is_for_all_addresses, set_up, t_teardown),
        cmocka_unit_test_setup_teardown(addresses_that_failed_go_last, set_up, t_teardown),
        cmocka_unit_test_setup_teardown(a_limit_is_told_in_words_whoever_keeps_it, set_up, t_teardown),
        cmocka_unit_test_setup_teardown(ipv6_will_do, set_up, t_teardown),
    };

    return cmocka_run_group_tests_name("s3_net_dial", tests, NULL, NULL);
}
