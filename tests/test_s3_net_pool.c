/* test_s3_net_pool.c - connections of s3store: which are used again, which are not, and what is done about one that the
 * server has hung up. */
#include "s3net_test.h"

#include "blob/ctx.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define NO_CONTENT "HTTP/1.1 204 No Content\r\n\r\n"

static const http_step ok_once[] = {HTTP_READ, HTTP_SEND(OK), HTTP_STALL, HTTP_END};

static void answer_ok(void *arg, const http_request *request, http_answer *answer)
{
    (void)arg;
    (void)request;
    answer->status = 200;
    answer->body = "ok";
    answer->body_size = 2;
}

static http_server *ok_server(void)
{
    return http_server_start(&(http_handler){.handle = answer_ok}, false);
}

/* ---- Used again ---- */

static void a_connection_is_used_again(void **state)
{
    (void)state;
    t_open(ok_server());
    for (int i = 0; i < 20; i++)
        t_expect(200, "ok");
    assert_int_equal(t_connects, 1);
    assert_int_equal(http_server_counts(t_server).accepted, 1);
    assert_int_equal(t_kept(), 1);
}

/* Takes count connections out at once, each of which has been used. */
static void take(s3_conn **taken, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        test_ok(s3_conn_get(&t_net, NULL, false, &taken[i]));
}

static void the_one_used_last_goes_first(void **state)
{
    s3_conn *c[3], *again;

    (void)state;
    t_open(ok_server());
    take(c, 3);
    s3_conn_keep(&t_net, c[1]);
    s3_conn_keep(&t_net, c[0]);
    s3_conn_keep(&t_net, c[2]);
    test_ok(s3_conn_get(&t_net, NULL, false, &again));
    assert_ptr_equal(again, c[2]);
    assert_true(again->used);
    s3_conn_keep(&t_net, again);
    take(c, 3);
    assert_int_equal(t_connects, 3);
    for (unsigned i = 0; i < 3; i++)
        s3_conn_close(c[i]);
    assert_int_equal(t_closes, 3);
}

static void no_more_are_kept_than_wanted_and_the_oldest_goes(void **state)
{
    s3_conn *c[T_KEPT + 2], *again[T_KEPT];

    (void)state;
    t_open(ok_server());
    take(c, T_KEPT + 2);
    for (unsigned i = 0; i < T_KEPT + 2; i++) {
        assert_int_equal(t_closes, i > T_KEPT ? i - T_KEPT : 0);
        s3_conn_keep(&t_net, c[i]);
    }
    assert_int_equal(t_closes, 2);
    assert_int_equal(t_kept(), T_KEPT);
    take(again, T_KEPT);
    for (unsigned i = 0; i < T_KEPT; i++) {
        assert_ptr_equal(again[i], c[T_KEPT + 1 - i]);
        s3_conn_close(again[i]);
    }
}

static void one_that_lay_too_long_is_not_used(void **state)
{
    s3_conn *c[3], *again;

    (void)state;
    t_open(ok_server());
    take(c, 3);
    for (unsigned i = 0; i < 3; i++)
        s3_conn_keep(&t_net, c[i]);
    c[2]->kept_ns = wb_now_ns() - (S3_KEPT_MS - 20000) * INT64_C(1000000);
    c[1]->kept_ns = c[0]->kept_ns = wb_now_ns() - S3_KEPT_MS * INT64_C(1000000);
    test_ok(s3_conn_get(&t_net, NULL, false, &again));
    assert_ptr_equal(again, c[2]);
    assert_int_equal(t_closes, 2);
    assert_int_equal(t_kept(), 0);
    s3_conn_close(again);
}

static void answer_new_ones(void *arg, const http_request *request, http_answer *answer)
{
    answer_ok(arg, request, answer);
    if (request->connection >= 3)
        return;
    answer->status = 0;
    answer->after = HTTP_AFTER_STALL;
}

/* As when what is on the way has forgotten them: not even an end comes back. */
static void of_many_that_fell_silent_one_call_finds_out(void **state)
{
    s3_conn *c[3];
    t_call call;

    (void)state;
    t_open(http_server_start(&(http_handler){.handle = answer_new_ones}, false));
    t_net.limits.idle_ms = 1100;
    take(c, 3);
    http_server_accepted_await(t_server, 3);
    for (unsigned i = 0; i < 3; i++)
        s3_conn_keep(&t_net, c[i]);
    test_status(t_get(&call), -ETIMEDOUT);
    assert_int_equal(t_kept(), 0);
    t_net.limits.idle_ms = T_LONG_MS;
    t_expect(200, "ok");
    assert_int_equal(t_connects, 4);
}

static void closing_the_net_closes_what_is_kept(void **state)
{
    s3_conn *c[4];

    (void)state;
    t_open(ok_server());
    take(c, 4);
    for (unsigned i = 0; i < 4; i++)
        s3_conn_keep(&t_net, c[i]);
    http_server_connections_await(t_server, 4);
    s3_net_close(&t_net);
    http_server_connections_await(t_server, 0);
    assert_int_equal(t_closes, 4);
}

/* ---- Not used again ---- */

static void expect_not_kept(const http_step *steps, const char *method, unsigned status, const char *text)
{
    t_call call;

    t_script(steps);
    t_prepare(&call, method, NULL, 0);
    test_ok(s3_exchange_run(&t_net, NULL, &call.x));
    t_answered(&call, status, text);
    assert_int_equal(t_kept(), 0);
    assert_int_equal(t_closes, 1);
    (void)t_teardown(NULL);
    (void)t_setup(NULL);
}

static void one_whose_state_is_not_certain_is_not_kept(void **state)
{
    static const http_step close[] = {HTTP_READ,
                                      HTTP_SEND("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
                                      HTTP_STALL, HTTP_END};
    static const http_step old[] = {HTTP_READ, HTTP_SEND("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"), HTTP_STALL,
                                    HTTP_END};
    static const http_step behind_length[] = {HTTP_READ, HTTP_SEND(OK "more"), HTTP_STALL, HTTP_END};
    static const http_step behind_chunks[] = {
        HTTP_READ, HTTP_SEND("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nmore"),
        HTTP_STALL, HTTP_END};
    static const http_step behind_nothing[] = {HTTP_READ, HTTP_SEND(NO_CONTENT "more"), HTTP_STALL, HTTP_END};
    static const http_step behind_head[] = {HTTP_READ, HTTP_SEND(OK), HTTP_STALL, HTTP_END};

    (void)state;
    expect_not_kept(close, "GET", 200, "ok");
    expect_not_kept(old, "GET", 200, "ok");
    expect_not_kept(behind_length, "GET", 200, "ok");
    expect_not_kept(behind_chunks, "GET", 200, "ok");
    expect_not_kept(behind_nothing, "GET", 204, NULL);
    expect_not_kept(behind_head, "HEAD", 200, NULL);
}

/* What a server sends unasked, on an idle connection, must not be taken for an answer. */
static void what_comes_unasked_is_no_answer(void **state)
{
    static const char late[] = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
    static const http_step unasked[] = {
        HTTP_READ, HTTP_SEND(OK), HTTP_GATE(0), HTTP_SEND_BYTES(late, sizeof late - 1), HTTP_FINISH, HTTP_END};
    static const http_step *const scripts[] = {unasked, ok_once};
    char byte;
    size_t done;

    (void)state;
    t_scripts(scripts, 2);
    t_expect(200, "ok");
    http_server_gate_open(t_server, 0);
    /* It has come when this has read a byte of it; the rest is there too. */
    test_ok(t_tcp()->read(t_net.kept->connection, NULL, T_LONG_MS, &byte, 1, &done));
    t_expect(200, "ok");
    assert_int_equal(t_connects, 2);
    assert_int_equal(http_server_counts(t_server).requests, 2);
}

/* ---- Hung up ---- */

/* The kept connection number at (from the newest) has seen the end. */
static void await_end(unsigned at)
{
    s3_conn *c = t_net.kept;
    size_t done;
    char byte;

    while (at-- > 0)
        c = c->next;
    test_ok(t_tcp()->read(c->connection, NULL, T_LONG_MS, &byte, 1, &done));
    assert_int_equal(done, 0);
}

static void one_that_the_server_hung_up_while_idle_is_replaced(void **state)
{
    s3_conn *c[3];

    (void)state;
    t_open(ok_server());
    t_expect(200, "ok");
    take(c, 3);
    for (unsigned i = 0; i < 3; i++)
        s3_conn_keep(&t_net, c[i]);
    http_server_connections_await(t_server, 3);
    while (http_server_counts(t_server).connections > 0)
        (void)http_server_hang_up_idle(t_server);
    for (unsigned i = 0; i < 3; i++)
        await_end(i);
    t_expect(200, "ok"); /* and it was not begun twice */
    assert_int_equal(t_connects, 4);
    assert_int_equal(t_kept(), 1);
    assert_int_equal(http_server_counts(t_server).requests, 2);
}

/* One connection that carried an answer, and is reset when the next request comes. */
static const http_step resets_second[] = {HTTP_READ, HTTP_SEND(OK), HTTP_READ, HTTP_RESET, HTTP_END};
static const http_step ends_second[] = {HTTP_READ, HTTP_SEND(OK), HTTP_READ, HTTP_CLOSE, HTTP_END};
static const http_step resets_first[] = {HTTP_READ, HTTP_RESET, HTTP_END};

static void expect_repeated(const http_step *first)
{
    const http_step *const scripts[] = {first, ok_once};
    t_call call;

    t_scripts(scripts, 2);
    t_expect(200, "ok");
    test_ok(t_put(&call, "abc", 3));
    assert_true(call.x.begun);
    assert_true(call.x.repeated);
    assert_memory_equal(http_server_request(t_server, 2)->body, "abc", 3);
    t_answered(&call, 200, "ok");
    assert_int_equal(t_connects, 2);
    assert_int_equal(t_kept(), 1);
    (void)t_teardown(NULL);
    (void)t_setup(NULL);
}

static void a_request_that_a_kept_connection_lost_is_sent_once_more(void **state)
{
    (void)state;
    expect_repeated(resets_second);
    expect_repeated(ends_second);
}

static void but_not_a_third_time(void **state)
{
    static const http_step *const scripts[] = {resets_second, resets_first, ok_once};
    t_call call;

    (void)state;
    t_scripts(scripts, 3);
    t_expect(200, "ok");
    test_status(t_get(&call), BLOB_UNAVAILABLE);
    assert_true(call.x.begun);
    assert_true(call.x.repeated);
    assert_null(call.x.answer);
    assert_int_equal(t_connects, 2);
    t_expect(200, "ok");
}

/* Others that are kept may be as dead: the second time it is a new one. */
static void it_is_sent_again_on_a_fresh_connection(void **state)
{
    static const http_step *const scripts[] = {resets_second, resets_first, ok_once};
    s3_conn *used, *other;

    (void)state;
    t_scripts(scripts, 3);
    t_expect(200, "ok");
    test_ok(s3_conn_get(&t_net, NULL, false, &used));
    test_ok(s3_conn_get(&t_net, NULL, false, &other));
    http_server_accepted_await(t_server, 2);
    s3_conn_keep(&t_net, other);
    s3_conn_keep(&t_net, used);
    {
        t_call call;

        test_ok(t_get(&call));
        assert_true(call.x.repeated);
        t_answered(&call, 200, "ok");
    }
    assert_int_equal(t_connects, 3);
}

static void a_fresh_connection_that_fails_is_not_replaced(void **state)
{
    static const http_step *const scripts[] = {resets_first, ok_once};
    t_call call;

    (void)state;
    t_scripts(scripts, 2);
    test_status(t_get(&call), BLOB_UNAVAILABLE);
    assert_true(call.x.begun);
    assert_false(call.x.repeated);
    assert_int_equal(t_connects, 1);
    t_expect(200, "ok");
}

static void an_answer_that_began_is_not_asked_for_again(void **state)
{
    static const http_step amid[] = {HTTP_READ, HTTP_SEND(OK), HTTP_READ, HTTP_SEND("H"), HTTP_FINISH, HTTP_END};
    static const http_step interim[] = {
        HTTP_READ, HTTP_SEND(OK), HTTP_READ, HTTP_SEND("HTTP/1.1 100 Continue\r\n\r\n"), HTTP_FINISH, HTTP_END};
    static const http_step *const scripts[] = {amid, interim, ok_once};

    (void)state;
    t_scripts(scripts, 3);
    for (unsigned i = 0; i < 2; i++) {
        t_expect(200, "ok");
        t_expect_failure(BLOB_UNAVAILABLE);
        assert_int_equal(t_connects, i + 1);
    }
}

/* Likewise where it begins while the request is still being sent. */
static void an_early_answer_that_began_is_not_asked_for_again(void **state)
{
    static const http_step early[] = {HTTP_READ,   HTTP_SEND(OK), HTTP_READ_HEAD, HTTP_SEND("H"),
                                      HTTP_FINISH, HTTP_STALL,    HTTP_END};
    static const http_step *const scripts[] = {early, ok_once};
    const size_t size = (size_t)24 << 20; /* more than sockets buffer */
    char *body = test_payload(1, size);
    t_call call;

    (void)state;
    t_scripts(scripts, 2);
    t_expect(200, "ok");
    test_status(t_put(&call, body, size), BLOB_UNAVAILABLE);
    assert_true(call.x.begun && !call.x.repeated);
    assert_int_equal(t_connects, 1);
    free(body);
}

static void if_it_cannot_connect_again_it_says_so_and_that_it_began(void **state)
{
    static const http_step *const scripts[] = {resets_second};
    t_call call;

    (void)state;
    t_scripts(scripts, 1);
    t_expect(200, "ok");
    t_refused_from = 2;
    test_status(t_get(&call), BLOB_UNAVAILABLE);
    t_says("refused by the test");
    assert_true(call.x.begun); /* by the first */
    assert_false(call.x.repeated);
    assert_int_equal(t_connects, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_connection_is_used_again, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(the_one_used_last_goes_first, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(no_more_are_kept_than_wanted_and_the_oldest_goes, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(one_that_lay_too_long_is_not_used, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(of_many_that_fell_silent_one_call_finds_out, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(closing_the_net_closes_what_is_kept, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(one_whose_state_is_not_certain_is_not_kept, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(what_comes_unasked_is_no_answer, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(one_that_the_server_hung_up_while_idle_is_replaced, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(a_request_that_a_kept_connection_lost_is_sent_once_more, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(but_not_a_third_time, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(it_is_sent_again_on_a_fresh_connection, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(a_fresh_connection_that_fails_is_not_replaced, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(an_answer_that_began_is_not_asked_for_again, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(an_early_answer_that_began_is_not_asked_for_again, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(if_it_cannot_connect_again_it_says_so_and_that_it_began, t_setup, t_teardown),
    };

    return cmocka_run_group_tests_name("s3_net_pool", tests, NULL, NULL);
}
