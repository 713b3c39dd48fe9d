/* tlswire.c - the client's side of tlsrig.h: wires that fail to the byte, and calls of a transport until they are done. */
#include "tlsrig.h"
#include "testutil.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>

typedef struct wire_conn {
    tlsrig_wire *wire;
    void *tcp;
} wire_conn;

static int wire_connect(void *arg, blob_ctx *ctx, int64_t timeout_ms, const char *host, const struct sockaddr *address,
                        size_t address_size, void **connection)
{
    const blob_s3store_transport *tcp = blob_s3store_tcp();
    wire_conn *c = calloc(1, sizeof *c);
    int rc;

    assert_non_null(c);
    c->wire = arg;
    *connection = NULL;
    rc = tcp->connect(tcp->arg, ctx, timeout_ms, host, address, address_size, &c->tcp);
    if (rc != 0) {
        free(c);
        return rc;
    }
    c->wire->open++;
    *connection = c;
    return 0;
}

static int wire_stop(const tlsrig_wire *w, blob_ctx *ctx, int64_t timeout_ms, bool reading)
{
    struct pollfd fd = {.fd = blob_ctx_fd(ctx), .events = POLLIN};
    int64_t ms = blob_ctx_remaining_ms(ctx);

    if (w->then == TLSRIG_BREAKS || (w->then == TLSRIG_ENDS && !reading))
        return blob_fail(BLOB_UNAVAILABLE, 0, "the wire broke");
    if (w->then == TLSRIG_ENDS)
        return 0;
    ms = timeout_ms < ms ? timeout_ms : ms;
    poll(&fd, 1, ms > 60000 ? 60000 : (int)ms);
    return blob_ctx_status(ctx) != 0 ? blob_ctx_status(ctx) : -ETIMEDOUT;
}

static int wire_read(void *connection, blob_ctx *ctx, int64_t timeout_ms, void *data, size_t size, size_t *done)
{
    wire_conn *c = connection;
    tlsrig_wire *w = c->wire;
    int rc;

    *done = 0;
    if (w->read_left == 0)
        return wire_stop(w, ctx, timeout_ms, true);
    size = size < w->read_piece ? size : w->read_piece;
    size = size < w->read_left ? size : (size_t)w->read_left;
    if (w->patience_ms > 0 && w->patience_ms < timeout_ms)
        timeout_ms = w->patience_ms;
    rc = blob_s3store_tcp()->read(c->tcp, ctx, timeout_ms, data, size, done);
    if (w->flip < *done)
        ((char *)data)[w->flip] ^= 1;
    if (w->flip != UINT64_MAX)
        w->flip = w->flip < *done ? UINT64_MAX : w->flip - *done;
    w->read += *done;
    if (w->read_left != UINT64_MAX)
        w->read_left -= *done;
    return rc;
}

static int wire_write(void *connection, blob_ctx *ctx, int64_t timeout_ms, const void *data, size_t size, size_t *done)
{
    wire_conn *c = connection;
    tlsrig_wire *w = c->wire;
    int rc;

    *done = 0;
    if (w->write_left == 0)
        return wire_stop(w, ctx, timeout_ms, false);
    size = size < w->write_piece ? size : w->write_piece;
    size = size < w->write_left ? size : (size_t)w->write_left;
    rc = blob_s3store_tcp()->write(c->tcp, ctx, timeout_ms, data, size, done);
    w->wrote += *done;
    w->writes += *done > 0;
    if (w->write_left != UINT64_MAX)
        w->write_left -= *done;
    return rc;
}

static void wire_close(void *connection)
{
    wire_conn *c = connection;

    c->wire->open--;
    blob_s3store_tcp()->close(c->tcp);
    free(c);
}

void tlsrig_wire_init(tlsrig_wire *w)
{
    *w = (tlsrig_wire){
        .transport = {.struct_size = sizeof w->transport,
                      .scheme = "http",
                      .arg = w,
                      .connect = wire_connect,
                      .read = wire_read,
                      .write = wire_write,
                      .close = wire_close},
        .read_piece = SIZE_MAX,
        .write_piece = SIZE_MAX,
        .read_left = UINT64_MAX,
        .write_left = UINT64_MAX,
        .flip = UINT64_MAX,
    };
}

/* ---- Calls ---- */

#define WIRE_PATIENCE_MS 300000 /* more than a test takes */

int tlsrig_dial(const blob_s3store_transport *t, blob_ctx *ctx, int64_t timeout_ms, const char *host, unsigned port,
                void **connection)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};

    return t->connect(t->arg, ctx, timeout_ms, host, (const struct sockaddr *)(const void *)&at, sizeof at, connection);
}

int tlsrig_send(const blob_s3store_transport *t, void *connection, const void *data, size_t size)
{
    const char *bytes = data;
    size_t sent = 0, done;
    int rc = 0;

    for (; rc == 0 && sent < size; sent += done)
        rc = t->write(connection, NULL, WIRE_PATIENCE_MS, bytes + sent, size - sent, &done);
    return rc;
}

int tlsrig_take(const blob_s3store_transport *t, void *connection, void *data, size_t size, size_t *done)
{
    size_t got = 1;
    int rc = 0;

    for (*done = 0; rc == 0 && got > 0 && *done < size; *done += got)
        rc = t->read(connection, NULL, WIRE_PATIENCE_MS, (char *)data + *done, size - *done, &got);
    return rc;
}

int tlsrig_round_trip(const blob_s3store_transport *t, void *connection, uint64_t seed, size_t size)
{
    char *bytes = malloc(sizeof(uint64_t) + 2 * size), *payload, *back;
    uint64_t announced = size;
    size_t done;
    int rc;

    if (bytes == NULL)
        return -ENOMEM;
    payload = bytes + sizeof announced;
    back = payload + size;
    memcpy(bytes, &announced, sizeof announced);
    test_fill(seed, payload, size);
    rc = tlsrig_send(t, connection, bytes, sizeof announced + size);
    if (rc == 0 && (rc = tlsrig_take(t, connection, back, size, &done)) == 0 &&
        (done != size || memcmp(payload, back, size) != 0))
        rc = -EIO;
    free(bytes);
    return rc;
}
