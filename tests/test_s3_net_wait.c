/* test_s3_net_wait.c - how long s3store's requests last: servers that stall at every point, and limits, deadlines and
 * cancels that end the wait. What a limit is to the millisecond shows in the timeouts that a transport is given. */
#include "s3net_test.h"

#include <poll.h>

#define LARGE ((size_t)24 << 20) /* more than sockets buffer */
#define SHORT_MS 60

/* ---- Servers that stall ---- */

static const http_step at_request[] = {HTTP_STALL, HTTP_END};
static const http_step in_request[] = {HTTP_READ_BYTES(100000), HTTP_STALL, HTTP_END};
static const http_step before_head[] = {HTTP_READ, HTTP_STALL, HTTP_END};
static const http_step in_head[] = {HTTP_READ, HTTP_SEND("HTTP/1.1 200 OK\r\nCont"), HTTP_STALL, HTTP_END};
static const http_step in_interim[] = {HTTP_READ, HTTP_SEND("HTTP/1.1 100 Continue\r\n\r\n"), HTTP_STALL, HTTP_END};
static const http_step in_body[] = {HTTP_READ, HTTP_SEND("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nhell"),
                                    HTTP_STALL, HTTP_END};
static const http_step in_chunk[] = {
    HTTP_READ, HTTP_SEND("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhell"), HTTP_STALL, HTTP_END};
static const http_step in_framing[] = {
    HTTP_READ, HTTP_SEND("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n"), HTTP_STALL, HTTP_END};
static const http_step at_end[] = {HTTP_READ, HTTP_SEND("HTTP/1.1 200 OK\r\n\r\nhello"), HTTP_STALL, HTTP_END};

typedef struct stall {
    const http_step *steps; /* NULL: a queue that is full */
    bool large;             /* of the request's body */
    const char *doing;      /* the words for it */
} stall;

static const stall stalls[] = {
    {NULL, false, "connect"},
    {at_request, true, "while the request was sent"},
    {in_request, true, "while the request was sent"},
    {before_head, false, "while its answer was awaited"},
    {before_head, true, "while its answer was awaited"},
    {in_head, false, "while its answer was awaited"},
    {in_interim, false, "while its answer was awaited"},
    {in_body, false, "while its answer was read"},
    {in_chunk, false, "while its answer was read"},
    {in_framing, false, "while its answer was read"},
    {at_end, false, "while its answer was read"},
};
#define STALLS (sizeof stalls / sizeof *stalls)

static char *large_body;

static void stall_open(const stall *s)
{
    if (s->steps != NULL)
        t_script(s->steps);
    else
        t_open(http_server_start_unwilling(HTTP_FULL));
}

static void stall_close(void)
{
    (void)t_teardown(NULL);
    (void)t_setup(NULL);
}

/* Asks, with some limit set to ms, and says whether that is what ended it, and where it had to. */
static bool stall_ask(const stall *s, void (*limit)(int64_t ms), int64_t ms, const char *words)
{
    blob_ctx *ctx = limit == NULL ? new_timeout(NULL, ms) : NULL;
    bool there;
    t_call call;

    stall_open(s);
    if (limit != NULL)
        limit(ms);
    test_status(t_put_by(ctx, &call, s->large ? large_body : "x", s->large ? LARGE : 1), -ETIMEDOUT);
    assert_null(call.x.answer);
    assert_false(call.x.repeated);
    assert_int_equal(t_kept(), 0);
    assert_int_equal(t_closes, t_connected); /* hung up at once: the server is not left waiting */
    t_says("127.0.0.1");
    there = t_said(s->doing);
    if (there) {
        t_says(words);
        assert_int_equal(call.x.begun, s->steps != NULL);
    }
    stall_close();
    blob_ctx_free(ctx);
    return there;
}

/* limit NULL: a context's deadline. On a machine that is too busy to get as far in so short a time it gets more. */
static void expect_ended(size_t first, void (*limit)(int64_t ms), const char *words)
{
    for (size_t i = first; i < STALLS; i++) {
        int64_t ms = SHORT_MS;

        while (!stall_ask(&stalls[i], limit, ms, words)) {
            assert_true(ms < 60000);
            ms *= 4;
        }
    }
}

static void limit_idle(int64_t ms)
{
    t_net.limits.idle_ms = t_net.limits.connect_ms = ms;
}

static void limit_total(int64_t ms)
{
    t_net.limits.total_ms = ms;
    t_net.limits.bytes_per_s_min = UINT64_MAX;
}

static void the_idle_limit_ends_every_wait(void **state)
{
    (void)state;
    expect_ended(0, limit_idle, "0 ms");
}

static void the_total_limit_ends_every_wait(void **state)
{
    (void)state;
    expect_ended(1, limit_total, "the limit for all of it"); /* but for connecting, which has one of its own */
}

static void a_deadline_ends_every_wait(void **state)
{
    (void)state;
    expect_ended(0, NULL, "the deadline passed");
}

/* A cancel that comes when the server has done what it does, so that the wait has begun or will. */
typedef struct canceller {
    blob_ctx *ctx;
    const stall *stall;
} canceller;

static void *cancel_when_stalled(void *arg)
{
    canceller *c = arg;

    if (c->stall->steps != NULL)
        http_server_accepted_await(t_server, 1);
    if (c->stall->steps != NULL && c->stall->steps[0].kind == HTTP_STEP_READ)
        (void)http_server_request(t_server, 0);
    blob_ctx_cancel(c->ctx);
    return NULL;
}

static void a_cancel_ends_every_wait(void **state)
{
    pthread_t thread;

    (void)state;
    for (size_t i = 0; i < STALLS; i++) {
        canceller c = {.ctx = new_ctx(NULL), .stall = &stalls[i]};
        t_call call;

        stall_open(&stalls[i]);
        test_thread_start(&thread, cancel_when_stalled, &c);
        test_status(t_put_by(c.ctx, &call, stalls[i].large ? large_body : "x", stalls[i].large ? LARGE : 1),
                    -ECANCELED);
        assert_null(call.x.answer);
        test_thread_join(thread);
        stall_close();
        blob_ctx_free(c.ctx);
    }
}

static void what_has_ended_begins_nothing(void **state)
{
    blob_ctx *cancelled = new_ctx(NULL), *late = new_timeout(NULL, 0);
    static const http_step steps[] = {HTTP_READ, HTTP_SEND("HTTP/1.1 204 No Content\r\n\r\n"), HTTP_STALL, HTTP_END};
    t_call call;

    (void)state;
    blob_ctx_cancel(cancelled);
    t_script(steps);
    t_expect(204, NULL);
    test_status(t_get_by(cancelled, &call), -ECANCELED);
    assert_false(call.x.begun);
    test_status(t_get_by(late, &call), -ETIMEDOUT);
    assert_false(call.x.begun);
    assert_int_equal(t_kept(), 1); /* it costs no connection either */
    assert_int_equal(t_writes, 1);
    blob_ctx_free(cancelled);
    blob_ctx_free(late);
}

/* A limit is no sign that the server had hung up: it may be at work. */
static void a_kept_connection_that_is_slow_is_not_replaced(void **state)
{
    static const http_step steps[] = {HTTP_READ, HTTP_SEND("HTTP/1.1 204 No Content\r\n\r\n"), HTTP_READ, HTTP_STALL,
                                      HTTP_END};
    t_call call;

    (void)state;
    t_script(steps);
    t_expect(204, NULL);
    t_net.limits.idle_ms = SHORT_MS;
    test_status(t_get(&call), -ETIMEDOUT);
    assert_true(call.x.begun);
    assert_false(call.x.repeated);
    assert_int_equal(t_connects, 1);
}

/* ---- A transport that notes how long it may take ---- */

#define NOTES_MAX 64

typedef struct fake {
    int64_t read_ms[NOTES_MAX], write_ms[NOTES_MAX];
    unsigned reads, writes;
    size_t piece;       /* bytes a read gives at most; 0: no bound */
    size_t write_piece; /* likewise of a write */
    int sleep_ms;       /* before each */
    const char *answer; /* what is left of it; NULL: interim answers without end */
    int64_t connect_ms;
} fake;

static fake f;

static int fake_connect(void *arg, blob_ctx *ctx, int64_t timeout_ms, const char *host, const struct sockaddr *address,
                        size_t size, void **connection)
{
    assert_true(arg == NULL && ctx == NULL && host != NULL && address != NULL && size > 0);
    f.connect_ms = timeout_ms;
    *connection = &f;
    return 0;
}

static int fake_read(void *connection, blob_ctx *ctx, int64_t timeout_ms, void *data, size_t size, size_t *done)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";

    (void)connection;
    (void)ctx;
    if (f.reads < NOTES_MAX)
        f.read_ms[f.reads++] = timeout_ms;
    if (f.sleep_ms > 0)
        poll(NULL, 0, f.sleep_ms);
    if (f.answer == NULL) {
        *done = sizeof interim - 1 < size ? sizeof interim - 1 : size;
        memcpy(data, interim, *done);
        return 0;
    }
    *done = strlen(f.answer);
    *done = *done < size ? *done : size;
    *done = f.piece != 0 && f.piece < *done ? f.piece : *done;
    memcpy(data, f.answer, *done);
    f.answer += *done;
    return 0;
}

static int fake_write(void *connection, blob_ctx *ctx, int64_t timeout_ms, const void *data, size_t size, size_t *done)
{
    assert_true(connection == &f && ctx == NULL && data != NULL);
    if (f.writes < NOTES_MAX)
        f.write_ms[f.writes++] = timeout_ms;
    if (f.sleep_ms > 0)
        poll(NULL, 0, f.sleep_ms);
    *done = f.write_piece != 0 && f.write_piece < size ? f.write_piece : size;
    return 0;
}

static void fake_close(void *connection)
{
    assert_ptr_equal(connection, &f);
}

static const blob_s3store_transport fake_transport = {
    .struct_size = sizeof(blob_s3store_transport),
    .scheme = "http",
    .connect = fake_connect,
    .read = fake_read,
    .write = fake_write,
    .close = fake_close,
};

static void fake_open(int64_t idle_ms, int64_t total_ms, uint64_t per_s)
{
    s3_limits limits = {.connect_ms = 777, .idle_ms = idle_ms, .total_ms = total_ms, .bytes_per_s_min = per_s};

    memset(&f, 0, sizeof f);
    test_ok(s3_net_open(&t_net, &fake_transport, "127.0.0.1", "1", &limits, 0));
}

/* It lets so many bytes have their time, and some of that is gone already. */
static void expect_time_for(int64_t ms, uint64_t bytes)
{
    int64_t whole_ms = 10000 + 1000 * (int64_t)bytes;

    assert_in_range(ms, whole_ms - 9000, whole_ms);
}

static void the_total_limit_grows_with_the_bytes(void **state)
{
    t_call call;

    (void)state;
    fake_open(INT64_MAX, 10000, 1); /* a second for each byte */
    f.answer = "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nhello";
    f.piece = strlen(f.answer) - 5;
    test_status(t_put(&call, "0123456789", 10), BLOB_UNAVAILABLE);
    assert_int_equal(f.connect_ms, 777);
    assert_int_equal(f.writes, 1);
    expect_time_for(f.write_ms[0], 0);
    expect_time_for(f.read_ms[0], call.x.head.size + 10);
    expect_time_for(f.read_ms[1], call.x.head.size + 10 + 5000);
    s3_net_close(&t_net);
    /* Of an answer that says no length, what has come. */
    fake_open(INT64_MAX, 10000, 1);
    f.answer = "HTTP/1.1 200 OK\r\n\r\nthirty bytes with the head, and as many again after that ...";
    f.piece = strlen(f.answer) - 30;
    test_ok(t_get(&call));
    blob_unref(call.x.answer);
    expect_time_for(f.read_ms[0], call.x.head.size);
    expect_time_for(f.read_ms[1], call.x.head.size + 30);
    expect_time_for(f.read_ms[2], call.x.head.size + 60);
}

/* With each byte that moves its time begins anew; each takes ten milliseconds here. Only one of the last waits has to
 * come soon after the one before it: a busy machine does not break this. */
static void expect_anew(const int64_t *ms, unsigned count)
{
    int64_t most = 0;

    assert_in_range(count, 30, NOTES_MAX);
    for (unsigned i = count - 10; i < count; i++)
        most = ms[i] > most ? ms[i] : most;
    assert_in_range(most, 100000 - 100, 100000);
}

static void the_idle_limit_is_for_each_wait(void **state)
{
    t_call call;

    (void)state;
    fake_open(100000, INT64_MAX, 1);
    f.answer = "HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n";
    f.piece = f.write_piece = 1;
    f.sleep_ms = 10;
    test_ok(t_get(&call));
    expect_anew(f.read_ms, f.reads);
    expect_anew(f.write_ms, f.writes);
}

static void who_always_has_one_more_byte_is_ended_too(void **state)
{
    t_call call;

    (void)state;
    fake_open(INT64_MAX, 20, UINT64_MAX);
    test_status(t_get(&call), -ETIMEDOUT);
    t_says("the limit for all of it");
}

static void without_limits_a_wait_is_endless(void **state)
{
    t_call call;

    (void)state;
    fake_open(INT64_MAX, INT64_MAX, 0);
    f.answer = "HTTP/1.1 204 No Content\r\n\r\n";
    test_ok(t_get(&call));
    assert_true(f.read_ms[0] == INT64_MAX);
    assert_true(f.write_ms[0] == INT64_MAX);
}

static int make_large(void **state)
{
    (void)state;
    large_body = test_payload(1, LARGE);
    return 0;
}

static int free_large(void **state)
{
    (void)state;
    free(large_body);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_idle_limit_ends_every_wait, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(the_total_limit_ends_every_wait, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(a_deadline_ends_every_wait, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(a_cancel_ends_every_wait, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(what_has_ended_begins_nothing, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(a_kept_connection_that_is_slow_is_not_replaced, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(the_total_limit_grows_with_the_bytes, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(the_idle_limit_is_for_each_wait, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(who_always_has_one_more_byte_is_ended_too, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(without_limits_a_wait_is_endless, t_setup, t_teardown),
    };

    return cmocka_run_group_tests_name("s3_net_wait", tests, make_large, free_large);
}
