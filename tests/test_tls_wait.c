/* test_tls_wait.c - a TLS connection never waits longer than it may, and a server that does not read is waited for, but
 * its answer is not missed. */
#include "tls_test.h"

static void be_seen(void *arg, tlsrig_peer *p)
{
    /* The client's hello is here: it waits for an answer by now, or is about to. */
    blob_ctx *ctx = arg;
    char byte;

    (void)tlsrig_read(p, &byte, 1);
    blob_ctx_cancel(ctx);
    tlsrig_silent(NULL, p);
}

static void a_handshake_that_stalls_is_bounded(void **state)
{
    tlsrig *r = tlsrig_start(&(tlsrig_service){.bare = true, .serve = tlsrig_silent});
    blob_s3store_transport *t = t_open_on(NULL);
    blob_ctx *ctx;
    void *c;

    (void)state;
    test_status(tlsrig_dial(t, NULL, 50, "localhost", tlsrig_port(r), &c), -ETIMEDOUT);
    assert_null(c);
    test_status(tlsrig_dial(t, NULL, 0, "localhost", tlsrig_port(r), &c), -ETIMEDOUT);
    test_ok(blob_ctx_new_timeout(&ctx, NULL, 50));
    test_status(tlsrig_dial(t, ctx, INT64_MAX, "localhost", tlsrig_port(r), &c), -ETIMEDOUT);
    blob_ctx_free(ctx);
    tlsrig_stop(r);
    test_ok(blob_ctx_new(&ctx, NULL));
    r = tlsrig_start(&(tlsrig_service){.bare = true, .serve = be_seen, .arg = ctx});
    test_status(tlsrig_dial(t, ctx, INT64_MAX, "localhost", tlsrig_port(r), &c), -ECANCELED);
    assert_null(c);
    tlsrig_stop(r);
    blob_ctx_free(ctx);
    blob_tls_close(t);
}

/* A wire on which somebody asks for a handshake without end, as anybody on the way can before a certificate is seen. It never
 * has to wait, so that what ends it can only be the time. */
static int endless_connect(void *arg, blob_ctx *ctx, int64_t timeout_ms, const char *host,
                           const struct sockaddr *address, size_t address_size, void **connection)
{
    (void)ctx;
    (void)timeout_ms;
    (void)host;
    (void)address;
    (void)address_size;
    *connection = arg;
    return 0;
}

static int endless_read(void *connection, blob_ctx *ctx, int64_t timeout_ms, void *data, size_t size, size_t *done)
{
    static const unsigned char hello_request[] = {22, 3, 3, 0, 4, 0, 0, 0, 0};

    (void)connection;
    (void)timeout_ms;
    for (*done = 0; *done + sizeof hello_request <= size; *done += sizeof hello_request)
        memcpy((unsigned char *)data + *done, hello_request, sizeof hello_request);
    return blob_ctx_status(ctx);
}

static int endless_write(void *connection, blob_ctx *ctx, int64_t timeout_ms, const void *data, size_t size,
                         size_t *done)
{
    (void)connection;
    (void)timeout_ms;
    (void)data;
    *done = size;
    return blob_ctx_status(ctx);
}

static void endless_close(void *connection)
{
    (void)connection;
}

static void a_handshake_that_always_goes_on_is_bounded(void **state)
{
    tlsrig_wire wire;
    blob_s3store_transport *t;
    blob_error e;
    blob_ctx *ctx;
    void *c;

    (void)state;
    tlsrig_wire_init(&wire);
    wire.transport.arg = &wire;
    wire.transport.connect = endless_connect;
    wire.transport.read = endless_read;
    wire.transport.write = endless_write;
    wire.transport.close = endless_close;
    t = t_open_on(&wire);
    test_ok(blob_ctx_new_timeout(&ctx, NULL, 60000)); /* so that it ends in any case, but with other words */
    test_status(tlsrig_dial(t, ctx, 50, "localhost", 1, &c), -ETIMEDOUT);
    blob_last_error(&e);
    assert_non_null(strstr(e.text, "TLS takes too long"));
    test_status(blob_ctx_status(ctx), 0);
    blob_ctx_free(ctx);
    blob_tls_close(t);
}

static int (*slow_read_of)(void *, blob_ctx *, int64_t, void *, size_t, size_t *);

/* A millisecond for each read. */
static int slow_read(void *connection, blob_ctx *ctx, int64_t timeout_ms, void *data, size_t size, size_t *done)
{
    usleep(1000);
    return slow_read_of(connection, ctx, timeout_ms, data, size, done);
}

/* Byte by byte: each is something, and none is enough. */
static void a_read_that_gets_bytes_but_no_data_is_bounded(void **state)
{
    tlsrig *r = t_serve(tlsrig_echo, NULL, 0);
    const uint64_t size = 16000; /* one record of TLS */
    blob_s3store_transport *t;
    char bytes[16000] = {0};
    tlsrig_wire wire;
    uint64_t before;
    size_t done;
    void *c;

    (void)state;
    tlsrig_wire_init(&wire);
    slow_read_of = wire.transport.read;
    wire.transport.read = slow_read;
    t = t_open_on(&wire);
    c = t_dial(t, r);
    test_ok(tlsrig_send(t, c, &size, sizeof size));
    test_ok(tlsrig_send(t, c, bytes, sizeof bytes));
    wire.read_piece = 1;
    test_status(t->read(c, NULL, 20, bytes, sizeof bytes, &done), -ETIMEDOUT);
    assert_int_equal(done, 0);
    /* No time at all is not for ever either, and what came is not lost. */
    before = wire.read;
    test_status(t->read(c, NULL, 0, bytes, sizeof bytes, &done), -ETIMEDOUT);
    assert_in_range(wire.read - before, 0, 20);
    wire.read_piece = SIZE_MAX;
    for (size_t at = 0; at < sizeof bytes; at += done) {
        test_ok(t->read(c, NULL, T_LONG_MS, bytes, sizeof bytes - at, &done));
        assert_true(done > 0);
    }
    t->close(c);
    blob_tls_close(t);
    tlsrig_stop(r);
}

static void a_handshake_may_stall_at_any_byte(void **state)
{
    tlsrig *r = t_serve(tlsrig_echo, NULL, 0);
    blob_s3store_transport *t;
    tlsrig_wire wire;
    uint64_t shaken;
    void *c;

    (void)state;
    tlsrig_wire_init(&wire);
    t = t_open_on(&wire);
    c = t_dial(t, r);
    shaken = wire.read;
    t->close(c);
    wire.then = TLSRIG_STALLS;
    for (uint64_t n = 0; n + 80 < shaken; n += 61) {
        wire.read_left = n;
        test_status(tlsrig_dial(t, NULL, 20, "localhost", tlsrig_port(r), &c), -ETIMEDOUT);
        assert_int_equal(wire.open, 0);
    }
    blob_tls_close(t);
    tlsrig_stop(r);
}

static void what_has_come_is_not_read_once_the_ctx_ended(void **state)
{
    const uint64_t size = 2;
    tlsrig *r = t_serve(tlsrig_echo, NULL, 0);
    blob_s3store_transport *t = t_open_on(NULL);
    void *c = t_dial(t, r);
    blob_ctx *ctx;
    size_t done;
    char byte;

    (void)state;
    test_ok(tlsrig_send(t, c, &size, sizeof size));
    test_ok(tlsrig_send(t, c, "ab", 2));
    test_ok(t->read(c, NULL, T_LONG_MS, &byte, 1, &done));
    test_ok(blob_ctx_new(&ctx, NULL));
    blob_ctx_cancel(ctx);
    test_status(t->read(c, ctx, T_LONG_MS, &byte, 1, &done), -ECANCELED);
    assert_int_equal(done, 0);
    blob_ctx_free(ctx);
    test_ok(t->read(c, NULL, 0, &byte, 1, &done));
    assert_int_equal(byte, 'b');
    t->close(c);
    blob_tls_close(t);
    tlsrig_stop(r);
}

static void reading_and_writing_end_in_time(void **state)
{
    tlsrig *r = t_serve(tlsrig_silent, NULL, 0);
    blob_s3store_transport *t = t_open_on(NULL);
    void *c = t_dial(t, r);
    char bytes[64];
    blob_ctx *ctx;
    size_t done;

    (void)state;
    test_status(t->read(c, NULL, 0, bytes, sizeof bytes, &done), -ETIMEDOUT);
    test_status(t->read(c, NULL, 30, bytes, sizeof bytes, &done), -ETIMEDOUT);
    test_ok(blob_ctx_new_timeout(&ctx, NULL, 30));
    test_status(t->read(c, ctx, INT64_MAX, bytes, sizeof bytes, &done), -ETIMEDOUT);
    test_status(t->write(c, ctx, INT64_MAX, "x", 1, &done), -ETIMEDOUT);
    assert_int_equal(done, 0);
    blob_ctx_free(ctx);
    test_ok(blob_ctx_new(&ctx, NULL));
    blob_ctx_cancel(ctx);
    test_status(t->read(c, ctx, INT64_MAX, bytes, sizeof bytes, &done), -ECANCELED);
    test_status(t->write(c, ctx, INT64_MAX, "x", 1, &done), -ECANCELED);
    assert_int_equal(done, 0);
    blob_ctx_free(ctx);
    t->close(c);
    blob_tls_close(t);
    tlsrig_stop(r);
}

/* ---- A wire that is slow ---- */

static size_t slow_room; /* bytes that it takes until there is room again */

static int slow_write(void *connection, blob_ctx *ctx, int64_t timeout_ms, const void *data, size_t size, size_t *done)
{
    int rc;

    *done = 0;
    if (slow_room == 0)
        return -ETIMEDOUT;
    rc = blob_s3store_tcp()->write(connection, ctx, timeout_ms, data, size < slow_room ? size : slow_room, done);
    slow_room -= *done;
    return rc;
}

/* Who hears of no progress for a while gives it up, though all the while bytes moved. */
static void a_slow_wire_is_no_silent_one(void **state)
{
    tlsrig *r = t_serve(tlsrig_silent, NULL, 0);
    unsigned waits = 0, waits_most = 0;
    blob_s3store_transport *t;
    size_t sent = 0, done = 0;
    char bytes[100000];
    tlsrig_wire wire;
    void *c;

    (void)state;
    tlsrig_wire_init(&wire);
    wire.transport = *blob_s3store_tcp();
    wire.transport.write = slow_write;
    slow_room = SIZE_MAX;
    t = t_open_on(&wire);
    c = t_dial(t, r);
    memset(bytes, 'x', sizeof bytes);
    /* A request begins with no more than that. */
    for (size_t most = 16384; sent < sizeof bytes; sent += done, most = sizeof bytes) {
        int rc;

        slow_room = 6000;
        rc = t->write(c, NULL, T_LONG_MS, bytes + sent, sizeof bytes - sent < most ? sizeof bytes - sent : most, &done);
        if (rc != 0)
            test_status(rc, -ETIMEDOUT);
        waits = rc != 0 ? waits + 1 : 0;
        waits_most = waits > waits_most ? waits : waits_most;
    }
    assert_in_range(waits_most, 1, 3);
    t->close(c);
    blob_tls_close(t);
    tlsrig_stop(r);
}

/* ---- A server that does not read ---- */

typedef struct busy {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool answer, read;    /* under lock: it may go on */
    bool ended, well;     /* set before it is served */
    size_t bytes;         /* likewise: what it has read */
    unsigned char *wants; /* and what it should have been; NULL: anything */
    bool same;
} busy;

static void busy_let(busy *b, bool *what)
{
    pthread_mutex_lock(&b->lock);
    *what = true;
    pthread_cond_broadcast(&b->cond);
    pthread_mutex_unlock(&b->lock);
}

static void busy_wait(busy *b, const bool *what)
{
    pthread_mutex_lock(&b->lock);
    while (!*what)
        pthread_cond_wait(&b->cond, &b->lock);
    pthread_mutex_unlock(&b->lock);
}

static void be_busy(void *arg, tlsrig_peer *p)
{
    unsigned char bytes[8192];
    busy *b = arg;
    size_t got;

    busy_wait(b, &b->answer);
    tlsrig_write(p, "early", 5);
    busy_wait(b, &b->read);
    b->same = true;
    while ((got = tlsrig_read(p, bytes, sizeof bytes)) > 0) {
        if (b->wants != NULL)
            b->same = b->same && memcmp(bytes, b->wants + b->bytes, got) == 0;
        b->bytes += got;
    }
    b->well = tlsrig_ended_well(p);
}

/* Writes until no more goes. */
static size_t fill_up(const blob_s3store_transport *t, void *c, const unsigned char *bytes, size_t size)
{
    size_t sent = 0, done;
    int rc;

    while ((rc = t->write(c, NULL, 0, bytes + sent, size - sent, &done)) == 0)
        sent += done;
    test_status(rc, -ETIMEDOUT);
    assert_int_equal(done, 0);
    return sent;
}

#define BUSY_BYTES (64u << 20) /* more than sockets hold */

static void what_a_busy_server_was_sent_arrives_in_order(void **state)
{
    busy b = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .answer = true};
    blob_s3store_transport *t = t_open_on(NULL);
    tlsrig *r = t_serve(be_busy, &b, 0);
    void *c = t_dial(t, r);
    char answer[5];
    size_t sent, done;

    (void)state;
    b.wants = test_payload(3, BUSY_BYTES);
    sent = fill_up(t, c, b.wants, BUSY_BYTES - 100);
    busy_let(&b, &b.read);
    test_ok(tlsrig_send(t, c, b.wants + sent, 100));
    sent += 100;
    test_ok(tlsrig_take(t, c, answer, 5, &done));
    t->close(c);
    tlsrig_await(r, 1);
    assert_int_equal(b.bytes, sent);
    assert_true(b.same);
    assert_true(b.well);
    tlsrig_stop(r);
    blob_tls_close(t);
    free(b.wants);
}

static void reading_sends_what_is_owed(void **state)
{
    busy b = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .read = true};
    unsigned char bytes[50000];
    blob_s3store_transport *t;
    size_t sent, done;
    tlsrig_wire wire;
    char answer[8];
    tlsrig *r;
    void *c;

    (void)state;
    tlsrig_wire_init(&wire);
    test_fill(4, bytes, sizeof bytes);
    b.wants = bytes;
    t = t_open_on(&wire);
    r = t_serve(be_busy, &b, 0);
    c = t_dial(t, r);
    wire.write_left = 1000;
    wire.then = TLSRIG_STALLS;
    test_ok(t->write(c, NULL, 0, bytes, sizeof bytes, &sent));
    assert_int_equal(sent, sizeof bytes);
    test_status(t->write(c, NULL, 0, bytes, 1, &done), -ETIMEDOUT);
    wire.write_left = UINT64_MAX;
    test_status(t->read(c, NULL, 0, answer, sizeof answer, &done), -ETIMEDOUT);
    busy_let(&b, &b.answer);
    test_ok(tlsrig_take(t, c, answer, 5, &done));
    t->close(c);
    tlsrig_await(r, 1);
    assert_int_equal(b.bytes, sizeof bytes);
    assert_true(b.same && b.well);
    tlsrig_stop(r);
    blob_tls_close(t);
}

static void an_answer_comes_through_while_the_server_reads_no_more(void **state)
{
    busy b = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    blob_s3store_transport *t;
    char bytes[50000] = "";
    size_t sent, done;
    tlsrig_wire wire;
    char answer[8];
    tlsrig *r;
    void *c;

    (void)state;
    tlsrig_wire_init(&wire);
    t = t_open_on(&wire);
    r = t_serve(be_busy, &b, 0);
    c = t_dial(t, r);
    wire.write_left = 1000;
    wire.then = TLSRIG_STALLS;
    test_ok(t->write(c, NULL, 0, bytes, sizeof bytes, &sent));
    test_status(t->read(c, NULL, 60, answer, sizeof answer, &done), -ETIMEDOUT);
    busy_let(&b, &b.answer);
    test_ok(tlsrig_take(t, c, answer, 5, &done));
    assert_memory_equal(answer, "early", 5);
    /* Called off, it is not completed: what is owed does not follow, and there is no farewell. */
    wire.write_left = UINT64_MAX;
    t->close(c);
    busy_let(&b, &b.read);
    tlsrig_await(r, 1);
    assert_true(b.bytes < sent);
    assert_false(b.well);
    tlsrig_stop(r);
    blob_tls_close(t);
}

static void an_answer_comes_through_after_writing_failed(void **state)
{
    busy b = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .answer = true};
    blob_s3store_transport *t;
    char bytes[50000] = "";
    tlsrig_wire wire;
    char answer[8];
    size_t done;
    tlsrig *r;
    void *c;

    (void)state;
    tlsrig_wire_init(&wire);
    t = t_open_on(&wire);
    r = t_serve(be_busy, &b, 0);
    c = t_dial(t, r);
    wire.write_left = 1000;
    wire.then = TLSRIG_BREAKS;
    test_status(t->write(c, NULL, 0, bytes, sizeof bytes, &done), BLOB_UNAVAILABLE);
    assert_int_equal(done, 0);
    test_ok(tlsrig_take(t, c, answer, 5, &done));
    assert_memory_equal(answer, "early", 5);
    wire.write_left = UINT64_MAX;
    test_status(t->write(c, NULL, 0, bytes, sizeof bytes, &done), BLOB_UNAVAILABLE);
    t->close(c);
    busy_let(&b, &b.read);
    tlsrig_stop(r);
    blob_tls_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handshake_that_stalls_is_bounded),
        cmocka_unit_test(a_handshake_that_always_goes_on_is_bounded),
        cmocka_unit_test(a_read_that_gets_bytes_but_no_data_is_bounded),
        cmocka_unit_test(a_handshake_may_stall_at_any_byte),
        cmocka_unit_test(what_has_come_is_not_read_once_the_ctx_ended),
        cmocka_unit_test(reading_and_writing_end_in_time),
        cmocka_unit_test(a_slow_wire_is_no_silent_one),
        cmocka_unit_test(what_a_busy_server_was_sent_arrives_in_order),
        cmocka_unit_test(reading_sends_what_is_owed),
        cmocka_unit_test(an_answer_comes_through_while_the_server_reads_no_more),
        cmocka_unit_test(an_answer_comes_through_after_writing_failed),
    };

    if (!tlsrig_load("TLSv1"))
        return TLSRIG_SKIP;
    return cmocka_run_group_tests(tests, t_setup, t_teardown);
}
