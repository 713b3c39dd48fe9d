/* conn.c - one connection: OpenSSL between two buffers in memory, and the wire that fills one and empties the other.
 *
 *     caller's bytes -> SSL_write -> out -> wire            wire -> in -> SSL_read -> caller's bytes
 *
 * OpenSSL never sees a socket, so every wait is one of the wire's, with ctx and a time limit. SSL_write always takes
 * what it is given. What of it the wire does not take at once stays in out, and goes before anything else at the next call, a
 * read too. */
#include "tls/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#define CONN_NAME_MAX 256 /* a DNS name is shorter, and so are digits */
/* Of a write, encrypted and sent in one; less where the wire does not take that at once. For a piece is no progress to the
 * caller until all of it has gone, and it may give up a wire that is slow for one that has fallen silent. */
#define CONN_PIECE 65536
#define CONN_PIECE_MIN 4096
/* A wire waits for bytes or for room, not for both: while it has no room, look for bytes this often. */
#define CONN_SLICE_MS 20
/* Bytes that have arrived are looked at even if no time is left, for they may be enough; but not for ever. */
#define CONN_ROUNDS 16

typedef struct wb_tls_conn {
    const wb_tls *tls;
    void *wire; /* the wire's connection */
    SSL *ssl;
    BIO *in, *out;            /* ssl's own */
    size_t sent;              /* bytes of out that the wire has already */
    size_t piece;             /* of the next write, at most */
    bool mute;                /* the wire takes nothing any more; there may still be something to read */
    bool broken;              /* OpenSSL gave up: no word of farewell */
    char host[CONN_NAME_MAX]; /* for messages */
    unsigned char buffer[32768];
} wb_tls_conn;

/* ---- Time ---- */

#define CONN_NEVER INT64_MAX

static int64_t conn_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t conn_until_ns(int64_t timeout_ms)
{
    int64_t now_ns;

    if (timeout_ms <= 0)
        return 0; /* has passed */
    now_ns = conn_now_ns();
    return timeout_ms < (INT64_MAX - now_ns) / 1000000 ? now_ns + timeout_ms * 1000000 : CONN_NEVER;
}

static int64_t conn_left_ms(int64_t until_ns)
{
    int64_t left_ns;

    if (until_ns == CONN_NEVER)
        return INT64_MAX;
    left_ns = until_ns == 0 ? 0 : until_ns - conn_now_ns();
    return left_ns <= 0 ? 0 : (left_ns + 999999) / 1000000;
}

/* A wire that always has bytes never lets a limit pass, so it is looked at here: OpenSSL has been given something so many
 * times, and still has nothing to hand out. */
static int conn_check_time(const wb_tls_conn *c, int64_t until_ns, unsigned rounds)
{
    if (rounds < CONN_ROUNDS || conn_left_ms(until_ns) > 0)
        return 0;
    return blob_fail(-ETIMEDOUT, 0, "%.100s: TLS takes too long", c->host);
}

/* ---- The wire ---- */

static size_t conn_owed(wb_tls_conn *c, const char **bytes)
{
    char *data = NULL;
    long size = c->tls->lib.BIO_ctrl(c->out, BIO_CTRL_INFO, 0, &data);

    if (c->mute || size <= 0)
        return 0;
    *bytes = data + c->sent;
    return (size_t)size - c->sent;
}

static int conn_ended(const wb_tls_conn *c, int status)
{
    return blob_fail(status, 0, "%.100s: %s", c->host, status == -ECANCELED ? "cancelled" : "the deadline passed");
}

/* Sends what is owed until all has gone, or the wire takes no more in time. */
static int conn_send(wb_tls_conn *c, blob_ctx *ctx, int64_t until_ns)
{
    const char *bytes;
    size_t owed, done;
    int rc;

    while ((owed = conn_owed(c, &bytes)) > 0) {
        rc = c->tls->wire->write(c->wire, ctx, conn_left_ms(until_ns), bytes, owed, &done);
        if (rc != 0)
            return rc;
        c->sent += done;
        if (done == owed) {
            (void)c->tls->lib.BIO_ctrl(c->out, BIO_CTRL_RESET, 0, NULL);
            c->sent = 0;
        }
    }
    return 0;
}

static int conn_receive(wb_tls_conn *c, blob_ctx *ctx, int64_t timeout_ms)
{
    size_t done;
    int rc = c->tls->wire->read(c->wire, ctx, timeout_ms, c->buffer, sizeof c->buffer, &done);

    if (rc != 0)
        return rc;
    if (done == 0)
        return blob_fail(BLOB_UNAVAILABLE, 0, "%.100s: cut off: the connection ended, but not as TLS ends it", c->host);
    if (c->tls->lib.BIO_write(c->in, c->buffer, (int)done) != (int)done)
        return blob_fail(-ENOMEM, 0, "no memory for what came from %.100s", c->host);
    return 0;
}

/* Waits for bytes, while what is owed goes out. A server may well answer and not read on. */
static int conn_await(wb_tls_conn *c, blob_ctx *ctx, int64_t until_ns)
{
    const char *bytes;
    int64_t left_ms;
    int rc;

    while (conn_owed(c, &bytes) > 0) {
        rc = conn_send(c, ctx, 0);
        if (rc != 0 && rc != -ETIMEDOUT && blob_ctx_status(ctx) == 0)
            c->mute = true;
        if (rc == 0 || c->mute)
            break;
        if ((rc = conn_receive(c, ctx, 0)) != -ETIMEDOUT || blob_ctx_status(ctx) != 0)
            return rc;
        if ((left_ms = conn_left_ms(until_ns)) == 0)
            return blob_fail(-ETIMEDOUT, 0, "%.100s: it neither reads nor answers", c->host);
        rc = conn_send(c, ctx, conn_until_ns(left_ms < CONN_SLICE_MS ? left_ms : CONN_SLICE_MS));
        if (rc != 0 && blob_ctx_status(ctx) != 0)
            return rc;
    }
    return conn_receive(c, ctx, conn_left_ms(until_ns));
}

/* ---- TLS ---- */

/* What OpenSSL has just refused to go on with. */
static int conn_fail(wb_tls_conn *c, const char *doing)
{
    const wb_libssl *lib = &c->tls->lib;
    long verdict = lib->SSL_get_verify_result(c->ssl);

    c->broken = true;
    if (verdict == X509_V_OK)
        return blob_fail(BLOB_UNAVAILABLE, 0, "%.100s: %s: %s", c->host, doing, wb_libssl_reason(lib));
    lib->ERR_clear_error();
    return blob_fail(BLOB_DENIED, 0, "%.60s: its certificate is refused: %s (trusted: %s)", c->host,
                     lib->X509_verify_cert_error_string(verdict), c->tls->trusted);
}

/* Whom the certificate must be for. */
static int conn_expect(wb_tls_conn *c, const char *host)
{
    const wb_libssl *lib = &c->tls->lib;
    size_t size = strlen(host);
    X509_VERIFY_PARAM *param = lib->SSL_get0_param(c->ssl);
    unsigned char digits[sizeof(struct in6_addr)];
    char *name = c->host;

    /* The root's dot stands in no certificate. */
    if (size > 1 && host[size - 1] == '.')
        size--;
    if (size == 0 || size >= sizeof c->host)
        return blob_fail(-EINVAL, 0, "no name of a host: %.60s", host);
    memcpy(name, host, size);
    if (strchr(name, ':') != NULL)
        name[strcspn(name, "%")] = '\0'; /* which interface leads there is not in it either */
    /* Not in the context, which hands these flags on only along with a name. */
    lib->X509_VERIFY_PARAM_set_hostflags(param,
                                         X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (inet_pton(AF_INET, name, digits) == 1 || inet_pton(AF_INET6, name, digits) == 1) {
        if (lib->X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1)
            return 0;
    } else if (lib->SSL_set1_host(c->ssl, name) == 1 &&
               lib->SSL_ctrl(c->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name) == 1) {
        return 0;
    }
    return blob_fail(-EINVAL, 0, "%.100s: no name for TLS: %s", name, wb_libssl_reason(lib));
}

static int conn_prepare(wb_tls_conn *c, const char *host)
{
    const wb_libssl *lib = &c->tls->lib;

    lib->ERR_clear_error();
    c->ssl = lib->SSL_new(c->tls->ctx);
    c->in = lib->BIO_new(lib->BIO_s_mem());
    c->out = lib->BIO_new(lib->BIO_s_mem());
    if (c->ssl == NULL || c->in == NULL || c->out == NULL) {
        lib->BIO_free(c->in);
        lib->BIO_free(c->out);
        return blob_fail(-ENOMEM, 0, "no memory for a TLS connection: %s", wb_libssl_reason(lib));
    }
    lib->SSL_set_bio(c->ssl, c->in, c->out);
    return conn_expect(c, host);
}

static int conn_shake_hands(wb_tls_conn *c, blob_ctx *ctx, int64_t until_ns)
{
    const wb_libssl *lib = &c->tls->lib;
    int did, rc;

    for (unsigned rounds = 0;; rounds++) {
        lib->ERR_clear_error();
        did = lib->SSL_connect(c->ssl);
        if (did == 1)
            return conn_send(c, ctx, until_ns);
        if (lib->SSL_get_error(c->ssl, did) != SSL_ERROR_WANT_READ) {
            rc = conn_fail(c, "TLS handshake");
            /* So that the server knows why. Words of the wire would hide ours. */
            (void)conn_send(c, ctx, 0);
            return rc;
        }
        if ((rc = conn_check_time(c, until_ns, rounds)) != 0 || (rc = conn_send(c, ctx, until_ns)) != 0 ||
            (rc = conn_receive(c, ctx, conn_left_ms(until_ns))) != 0)
            return rc;
    }
}

int wb_tls_connect(void *arg, blob_ctx *ctx, int64_t timeout_ms, const char *host, const struct sockaddr *address,
                   size_t address_size, void **connection)
{
    int64_t until_ns = conn_until_ns(timeout_ms);
    const wb_tls *tls = arg;
    wb_tls_conn *c;
    int rc;

    *connection = NULL;
    if ((c = calloc(1, sizeof *c)) == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for a connection");
    c->tls = tls;
    c->piece = CONN_PIECE;
    rc = tls->wire->connect(tls->wire->arg, ctx, timeout_ms, host, address, address_size, &c->wire);
    if (rc == 0 && (rc = conn_prepare(c, host)) == 0)
        rc = conn_shake_hands(c, ctx, until_ns);
    if (rc == 0) {
        *connection = c;
        return 0;
    }
    c->broken = true;
    wb_tls_close(c);
    return rc;
}

int wb_tls_read(void *connection, blob_ctx *ctx, int64_t timeout_ms, void *data, size_t size, size_t *done)
{
    int64_t until_ns = conn_until_ns(timeout_ms);
    wb_tls_conn *c = connection;
    const wb_libssl *lib = &c->tls->lib;
    int rc;

    for (unsigned rounds = 0;; rounds++) {
        *done = 0;
        if ((rc = blob_ctx_status(ctx)) != 0)
            return conn_ended(c, rc);
        lib->ERR_clear_error();
        if (lib->SSL_read_ex(c->ssl, data, size, done) == 1)
            return 0;
        *done = 0;
        switch (lib->SSL_get_error(c->ssl, 0)) {
        case SSL_ERROR_WANT_READ:
            break;
        case SSL_ERROR_ZERO_RETURN:
            return 0;
        default:
            return conn_fail(c, "TLS");
        }
        if ((rc = conn_check_time(c, until_ns, rounds)) != 0 || (rc = conn_await(c, ctx, until_ns)) != 0)
            return rc;
    }
}

int wb_tls_write(void *connection, blob_ctx *ctx, int64_t timeout_ms, const void *data, size_t size, size_t *done)
{
    wb_tls_conn *c = connection;
    const wb_libssl *lib = &c->tls->lib;
    int rc;

    *done = 0;
    if ((rc = blob_ctx_status(ctx)) != 0)
        return conn_ended(c, rc);
    if (c->mute)
        return blob_fail(BLOB_UNAVAILABLE, 0, "%.100s: it takes no more", c->host);
    if ((rc = conn_send(c, ctx, conn_until_ns(timeout_ms))) != 0)
        return rc;
    lib->ERR_clear_error();
    if (lib->SSL_write_ex(c->ssl, data, size < c->piece ? size : c->piece, done) != 1) {
        *done = 0;
        return conn_fail(c, "TLS");
    }
    /* Taken is taken: what finds no room now goes with the next call. */
    rc = conn_send(c, ctx, 0);
    if (rc != 0)
        c->piece = CONN_PIECE_MIN;
    else if (c->piece < CONN_PIECE)
        c->piece *= 2;
    if (rc == 0 || (rc == -ETIMEDOUT && blob_ctx_status(ctx) == 0))
        return 0;
    *done = 0;
    return rc;
}

void wb_tls_close(void *connection)
{
    wb_tls_conn *c = connection;
    const char *bytes;

    if (c == NULL)
        return;
    /* Says farewell where that costs nothing. Not behind bytes that are still owed: a request that was called off is not
     * to be completed now. */
    if (c->ssl != NULL && !c->broken && conn_owed(c, &bytes) == 0) {
        c->tls->lib.ERR_clear_error();
        (void)c->tls->lib.SSL_shutdown(c->ssl);
        (void)conn_send(c, NULL, 0);
        c->tls->lib.ERR_clear_error();
    }
    c->tls->lib.SSL_free(c->ssl);
    if (c->wire != NULL)
        c->tls->wire->close(c->wire);
    free(c);
}
