/* s3net_test.h - what the tests of s3store's net share: a net to a server of the test's, a transport that counts what is
 * asked of TCP, and requests in one line. */
#ifndef S3NET_TEST_H
#define S3NET_TEST_H

#include "httpserver.h"
#include "s3store/net.h"
#include "sleeper.h"
#include "testutil.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T_LONG_MS 100000 /* more than anything takes */
#define T_KEPT 8
#define T_ANSWER_MAX ((uint64_t)64 << 20)
#define T_ERROR_MAX 100

static s3_net t_net;
static http_server *t_server;

/* ---- TCP, counted ---- */

static atomic_uint t_connects, t_connected, t_reads, t_writes, t_closes;
static atomic_uint t_refused_from;                  /* connects from this one on, from 1, are refused; 0: none */
static atomic_size_t t_read_away;                   /* bytes that were read to somewhere else than these ... */
static char *_Atomic t_buffer;                      /* ... bytes, a connection's buffer */
static atomic_bool t_gated;                         /* gate 0 opens when a byte of an answer has been read */
static const blob_s3store_transport *t_tcp_or_none; /* NULL: blob_s3store_tcp() */

static inline const blob_s3store_transport *t_tcp(void)
{
    return t_tcp_or_none != NULL ? t_tcp_or_none : blob_s3store_tcp();
}

static inline int t_wire_connect(void *arg, blob_ctx *ctx, int64_t timeout_ms, const char *host,
                                 const struct sockaddr *address, size_t size, void **connection)
{
    int rc;

    if (atomic_fetch_add(&t_connects, 1) + 1 >= t_refused_from && t_refused_from > 0) {
        *connection = NULL;
        return blob_fail(BLOB_UNAVAILABLE, 0, "refused by the test");
    }
    rc = t_tcp()->connect(arg, ctx, timeout_ms, host, address, size, connection);
    atomic_fetch_add(&t_connected, rc == 0);
    return rc;
}

static inline int t_wire_read(void *connection, blob_ctx *ctx, int64_t timeout_ms, void *data, size_t size,
                              size_t *done)
{
    char *buffer = atomic_load(&t_buffer);
    int rc = t_tcp()->read(connection, ctx, timeout_ms, data, size, done);

    atomic_fetch_add(&t_reads, 1);
    if (buffer != NULL && ((char *)data < buffer || (char *)data > buffer + S3_HEAD_MAX))
        atomic_fetch_add(&t_read_away, *done);
    if (t_gated && rc == 0 && *done > 0)
        http_server_gate_open(t_server, 0);
    return rc;
}

static inline int t_wire_write(void *connection, blob_ctx *ctx, int64_t timeout_ms, const void *data, size_t size,
                               size_t *done)
{
    atomic_fetch_add(&t_writes, 1);
    return t_tcp()->write(connection, ctx, timeout_ms, data, size, done);
}

static inline void t_wire_close(void *connection)
{
    atomic_fetch_add(&t_closes, 1);
    t_tcp()->close(connection);
}

static const blob_s3store_transport t_wire = {
    .struct_size = sizeof(blob_s3store_transport),
    .scheme = "http",
    .connect = t_wire_connect,
    .read = t_wire_read,
    .write = t_wire_write,
    .close = t_wire_close,
};

/* ---- A net, one a test ---- */

static inline void t_open_at(const char *host, unsigned port, s3_limits limits)
{
    char text[12];

    snprintf(text, sizeof text, "%u", port);
    test_ok(s3_net_open(&t_net, &t_wire, host, text, &limits, T_KEPT));
}

static inline s3_limits t_limits(int64_t idle_ms, int64_t total_ms)
{
    return (s3_limits){.connect_ms = T_LONG_MS, .idle_ms = idle_ms, .total_ms = total_ms, .bytes_per_s_min = 65536};
}

/* A net to a server that was just started, with limits that nothing comes near. */
static inline void t_open(http_server *server)
{
    t_server = server;
    t_open_at("127.0.0.1", http_server_port(server), t_limits(T_LONG_MS, T_LONG_MS));
}

static inline void t_script(const http_step *steps)
{
    static const http_step *one[1];

    one[0] = steps;
    t_open(http_server_start_script(one, 1));
}

static inline void t_scripts(const http_step *const *scripts, size_t count)
{
    t_open(http_server_start_script(scripts, count));
}

static inline int t_setup(void **state)
{
    (void)state;
    test_watchdog(240);
    memset(&t_net, 0, sizeof t_net);
    t_server = NULL;
    t_tcp_or_none = NULL;
    atomic_store(&t_buffer, NULL);
    t_connects = t_connected = t_reads = t_writes = t_closes = 0;
    t_read_away = 0;
    t_gated = false;
    t_refused_from = 0;
    return 0;
}

/* Whatever a test did, nothing of it stays: neither on our side nor on the server's. */
static inline int t_teardown(void **state)
{
    (void)state;
    s3_net_close(&t_net);
    if (t_server != NULL)
        http_server_stop(t_server);
    return t_connected == t_closes ? 0 : -1;
}

/* ---- Requests ---- */

typedef struct t_call {
    s3_exchange x;
    char head[256];
} t_call;

static inline void t_prepare(t_call *call, const char *method, const void *body, size_t size)
{
    int n = body != NULL ? snprintf(call->head, sizeof call->head,
                                    "%s /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", method, size)
                         : snprintf(call->head, sizeof call->head, "%s /b/k HTTP/1.1\r\nHost: h\r\n\r\n", method);

    call->x = (s3_exchange){
        .head = blob_view_of(call->head, (size_t)n),
        .body = blob_view_of(body, size),
        .to_head = strcmp(method, "HEAD") == 0,
        .answer_max = T_ANSWER_MAX,
        .error_max = T_ERROR_MAX,
        .answer = (blob *)(void *)&call->x, /* must be set to something else */
        .begun = true,
        .repeated = true,
    };
}

static inline int t_get_by(blob_ctx *ctx, t_call *call)
{
    t_prepare(call, "GET", NULL, 0);
    return s3_exchange_run(&t_net, ctx, &call->x);
}

static inline int t_get(t_call *call)
{
    return t_get_by(NULL, call);
}

static inline int t_put_by(blob_ctx *ctx, t_call *call, const void *body, size_t size)
{
    t_prepare(call, "PUT", body, size);
    return s3_exchange_run(&t_net, ctx, &call->x);
}

static inline int t_put(t_call *call, const void *body, size_t size)
{
    return t_put_by(NULL, call, body, size);
}

/* The answer, which is let go. text NULL: there is none. */
static inline void t_answered(t_call *call, unsigned status, const char *text)
{
    assert_int_equal(call->x.answer_head.status, status);
    assert_int_equal(call->x.answer != NULL, text != NULL);
    if (text != NULL && call->x.answer != NULL) {
        assert_int_equal(call->x.answer->size, strlen(text));
        if (strlen(text) > 0)
            assert_memory_equal(call->x.answer->data, text, strlen(text));
    }
    blob_unref(call->x.answer);
}

/* A GET that goes well. */
static inline void t_expect(unsigned status, const char *text)
{
    t_call call;

    test_ok(t_get(&call));
    assert_true(call.x.begun);
    assert_false(call.x.repeated);
    t_answered(&call, status, text);
}

/* One that goes wrong: nothing is handed out. */
static inline void t_expect_failure(int status)
{
    t_call call;

    test_status(t_get(&call), status);
    assert_null(call.x.answer);
}

/* What the thread's error detail says, and what it must say. */
static inline bool t_said(const char *words)
{
    blob_error error;

    blob_last_error(&error);
    return strstr(error.text, words) != NULL;
}

static inline void t_says(const char *words)
{
    blob_error error;

    blob_last_error(&error);
    if (!t_said(words))
        fail_msg("\"%s\" does not say \"%s\"", error.text, words);
}

/* ---- Kept connections, as the net has them ---- */

static inline unsigned t_kept(void)
{
    unsigned count;

    pthread_mutex_lock(&t_net.mutex);
    count = t_net.kept_count;
    pthread_mutex_unlock(&t_net.mutex);
    return count;
}

#endif
