/* tcp.c - the plain transport: bytes over a TCP socket, no longer than the caller has time.
 *
 * Sockets are non-blocking. Each call is tried first, and only where the system would block does it poll: on the socket
 * and on ctx's descriptor, for the smaller of the caller's time and ctx's. So what is ready costs one system call. */
#include "blob/ctx.h"
#include "s3store/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Without a descriptor for ctx, which a process may have too few of, a wait looks at ctx this often. */
#define TCP_SLICE_MS 50

/* The system takes no more than this of what it cannot send yet. It would take megabytes, which then go out with nothing to
 * be seen of it from here: on a slow way that looks like a far side that has fallen silent. */
#define TCP_UNSENT_MAX 65536

typedef struct tcp_conn {
    int fd;
    char where[176]; /* for messages: "host:port (address)" */
} tcp_conn;

static int tcp_fail(const tcp_conn *c, const char *doing, int error)
{
    bool scarce = error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;

    /* What the system has too little of is no word about the server. */
    return blob_fail(scarce ? -error : BLOB_UNAVAILABLE, 0, "%s: cannot %s: %s", c->where, doing,
                     blob_strerror(-error));
}

static int tcp_ended(const tcp_conn *c, const char *doing, int status)
{
    return blob_fail(status, 0, "%s: %s while it was to %s", c->where,
                     status == -ECANCELED ? "cancelled" : "the deadline passed", doing);
}

/* How long one poll may sleep. */
static int tcp_sleep_ms(blob_ctx *ctx, int64_t until_ns, bool watched)
{
    int64_t ms = blob_ctx_remaining_ms(ctx), left;

    if (until_ns != WB_NEVER) {
        left = (until_ns - wb_now_ns() + 999999) / 1000000;
        ms = left < ms ? left : ms;
    }
    if (!watched && ms > TCP_SLICE_MS)
        ms = TCP_SLICE_MS;
    if (ms == INT64_MAX)
        return -1;
    return ms < 0 ? 0 : ms > INT_MAX ? INT_MAX : (int)ms;
}

/* Waits until the socket can do what events say, or has failed: 0, ctx's status, or -ETIMEDOUT. */
static int tcp_wait(const tcp_conn *c, blob_ctx *ctx, short events, int64_t timeout_ms, const char *doing)
{
    int64_t until_ns = wb_after_ms(wb_now_ns(), timeout_ms);
    struct pollfd fds[2] = {{.fd = c->fd, .events = events}, {.fd = -1, .events = POLLIN}};
    bool watched;
    int rc;

    /* No wait, so no failure either that would need words: the caller only asked. */
    if (timeout_ms <= 0)
        return -ETIMEDOUT;
    fds[1].fd = blob_ctx_fd(ctx);
    watched = ctx == NULL || fds[1].fd >= 0;
    for (;;) {
        rc = poll(fds, 2, tcp_sleep_ms(ctx, until_ns, watched));
        if (rc < 0 && errno != EINTR)
            return tcp_fail(c, doing, errno);
        if (rc > 0 && fds[0].revents != 0)
            return 0;
        if ((rc = blob_ctx_status(ctx)) != 0)
            return tcp_ended(c, doing, rc);
        if (until_ns != WB_NEVER && wb_now_ns() >= until_ns)
            return blob_fail(-ETIMEDOUT, 0, "%s: could not %s within %lld ms", c->where, doing, (long long)timeout_ms);
    }
}

static int tcp_read(void *connection, blob_ctx *ctx, int64_t timeout_ms, void *data, size_t size, size_t *done)
{
    const tcp_conn *c = connection;
    ssize_t got;
    int rc;

    *done = 0;
    for (;;) {
        /* Even where bytes are always ready, ctx ends it. */
        if ((rc = blob_ctx_status(ctx)) != 0)
            return tcp_ended(c, "read", rc);
        got = recv(c->fd, data, size, 0);
        if (got >= 0) {
            *done = (size_t)got;
            return 0;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return tcp_fail(c, "read", errno);
        if ((rc = tcp_wait(c, ctx, POLLIN, timeout_ms, "read")) != 0)
            return rc;
    }
}

static int tcp_write(void *connection, blob_ctx *ctx, int64_t timeout_ms, const void *data, size_t size, size_t *done)
{
    const tcp_conn *c = connection;
    ssize_t put;
    int rc;

    *done = 0;
    for (;;) {
        if ((rc = blob_ctx_status(ctx)) != 0)
            return tcp_ended(c, "write", rc);
        put = send(c->fd, data, size, MSG_NOSIGNAL);
        if (put > 0) {
            *done = (size_t)put;
            return 0;
        }
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
            return tcp_fail(c, "write", errno);
        if ((rc = tcp_wait(c, ctx, POLLOUT, timeout_ms, "write")) != 0)
            return rc;
    }
}

static void tcp_close(void *connection)
{
    tcp_conn *c = connection;

    if (c == NULL)
        return;
    if (c->fd >= 0)
        close(c->fd);
    free(c);
}

static void tcp_name(tcp_conn *c, const char *host, const struct sockaddr *address)
{
    char digits[INET6_ADDRSTRLEN] = "";
    unsigned port = 0;

    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        inet_ntop(AF_INET, &in->sin_addr, digits, sizeof digits);
        port = ntohs(in->sin_port);
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)address;
        inet_ntop(AF_INET6, &in->sin6_addr, digits, sizeof digits);
        port = ntohs(in->sin6_port);
    }
    if (strchr(host, ':') != NULL)
        snprintf(c->where, sizeof c->where, "[%.100s]:%u", host, port);
    else if (strcmp(host, digits) == 0)
        snprintf(c->where, sizeof c->where, "%s:%u", digits, port);
    else
        snprintf(c->where, sizeof c->where, "%.100s:%u (%s)", host, port, digits);
}

/* A connection to a port of this machine that nobody listens on can meet itself there, if the system happens to give it
 * that very port: it would talk to itself, and keep the port from the server that is to come back. */
static bool tcp_is_own(const tcp_conn *c)
{
    struct sockaddr_storage here, there;
    socklen_t here_size = sizeof here, there_size = sizeof there;

    memset(&here, 0, sizeof here);
    memset(&there, 0, sizeof there);
    return getsockname(c->fd, (struct sockaddr *)&here, &here_size) == 0 &&
           getpeername(c->fd, (struct sockaddr *)&there, &there_size) == 0 && here_size == there_size &&
           memcmp(&here, &there, here_size) == 0;
}

static int tcp_dial(tcp_conn *c, blob_ctx *ctx, int64_t timeout_ms, const struct sockaddr *address, size_t address_size)
{
    int on = 1, unsent = TCP_UNSENT_MAX, error = 0, rc;
    socklen_t size = sizeof error;

    if ((rc = blob_ctx_status(ctx)) != 0)
        return tcp_ended(c, "connect", rc);
    c->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        return tcp_fail(c, "make a socket", errno);
    /* Requests go out in as few writes as can be; the last piece of one must not wait for an acknowledgement. */
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    if (connect(c->fd, address, (socklen_t)address_size) != 0) {
        /* One that a signal interrupts goes on by itself, just so. */
        if (errno != EINPROGRESS && errno != EINTR)
            return tcp_fail(c, "connect", errno);
        if ((rc = tcp_wait(c, ctx, POLLOUT, timeout_ms, "connect")) != 0)
            return rc == -ETIMEDOUT && timeout_ms <= 0 ? blob_fail(rc, 0, "%s: no time to connect", c->where) : rc;
        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
            error = errno;
        if (error != 0)
            return tcp_fail(c, "connect", error);
    }
    return tcp_is_own(c) ? tcp_fail(c, "connect", ECONNREFUSED) : 0;
}

static int tcp_connect(void *arg, blob_ctx *ctx, int64_t timeout_ms, const char *host, const struct sockaddr *address,
                       size_t address_size, void **connection)
{
    tcp_conn *c = calloc(1, sizeof *c);
    int rc;

    (void)arg;
    *connection = NULL;
    if (c == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for a connection");
    c->fd = -1;
    tcp_name(c, host, address);
    rc = tcp_dial(c, ctx, timeout_ms, address, address_size);
    if (rc == 0)
        *connection = c;
    else
        tcp_close(c);
    return rc;
}

static const blob_s3store_transport tcp_transport = {
    .struct_size = sizeof(blob_s3store_transport),
    .scheme = "http",
    .connect = tcp_connect,
    .read = tcp_read,
    .write = tcp_write,
    .close = tcp_close,
};

const blob_s3store_transport *blob_s3store_tcp(void)
{
    return &tcp_transport;
}
