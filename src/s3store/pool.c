/* pool.c - connections to one endpoint, and those that wait for the next request.
 *
 * The one used last goes first, so that under little load the rest grow old and are dropped. Before one is used again it
 * is asked for bytes without waiting: there must be none. An end means that the server has hung up; bytes were sent
 * without being asked for (a 408 before hanging up, say) and would be taken for the answer to what comes now. Whatever
 * the server does after that look is the exchange's to notice.
 *
 * Under the mutex the list is changed and nothing else: connecting, asking and closing happen outside. */
#include "blob/ctx.h"
#include "blob/status.h"
#include "s3store/net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Those that are kept ---- */

/* Cuts off what is too much or too old, and hands it out to be closed. The list is in the order of keeping, so from the
 * first that is too old all are. */
static s3_conn *pool_cut_locked(s3_net *n, int64_t now_ns)
{
    s3_conn **at = &n->kept, *rest;
    unsigned count = 0;

    while (*at != NULL && count < n->kept_max && now_ns < wb_after_ms((*at)->kept_ns, S3_KEPT_MS)) {
        at = &(*at)->next;
        count++;
    }
    rest = *at;
    *at = NULL;
    n->kept_count = count;
    return rest;
}

static void pool_close_all(s3_conn *list)
{
    s3_conn *next;

    for (; list != NULL; list = next) {
        next = list->next;
        s3_conn_close(list);
    }
}

static s3_conn *pool_take(s3_net *n)
{
    s3_conn *taken, *rest;

    pthread_mutex_lock(&n->mutex);
    rest = pool_cut_locked(n, wb_now_ns());
    taken = n->kept;
    if (taken != NULL) {
        n->kept = taken->next;
        n->kept_count--;
        taken->next = NULL;
    }
    pthread_mutex_unlock(&n->mutex);
    pool_close_all(rest);
    return taken;
}

/* Nothing to read, and no end of it. If it is ctx that ended, the exchange finds out at once. */
static bool pool_is_quiet(s3_conn *c, blob_ctx *ctx)
{
    size_t done;

    return c->transport->read(c->connection, ctx, 0, c->buffer, sizeof c->buffer, &done) == -ETIMEDOUT;
}

void s3_conn_keep(s3_net *n, s3_conn *c)
{
    s3_conn *rest;

    c->used = true;
    c->kept_ns = wb_now_ns();
    pthread_mutex_lock(&n->mutex);
    c->next = n->kept;
    n->kept = c;
    rest = pool_cut_locked(n, c->kept_ns);
    pthread_mutex_unlock(&n->mutex);
    pool_close_all(rest);
}

void s3_conn_distrust(s3_net *n, int64_t before_ns)
{
    s3_conn **at = &n->kept, *rest;
    unsigned count = 0;

    pthread_mutex_lock(&n->mutex);
    for (; *at != NULL && (*at)->kept_ns >= before_ns; at = &(*at)->next)
        count++;
    rest = *at;
    *at = NULL;
    n->kept_count = count;
    pthread_mutex_unlock(&n->mutex);
    pool_close_all(rest);
}

void s3_conn_close(s3_conn *c)
{
    if (c == NULL)
        return;
    if (c->connection != NULL)
        c->transport->close(c->connection);
    free(c);
}

/* ---- New ones ---- */

/* Whether another address may do better: not where ctx has ended or this process has too little of something. */
static bool pool_goes_on(int rc, blob_ctx *ctx)
{
    return (rc == BLOB_UNAVAILABLE || rc == -ETIMEDOUT) && blob_ctx_status(ctx) == 0;
}

/* A transport need not have words for a limit of ours, and TLS has none where reckoning used up the time. Older ones must
 * not be taken for its. */
static int pool_try(s3_net *n, blob_ctx *ctx, s3_conn *c, const s3_address *address)
{
    uint64_t mark = wb_status_mark();
    int rc = n->transport->connect(n->transport->arg, ctx, n->limits.connect_ms, n->host,
                                   (const struct sockaddr *)&address->at, address->size, &c->connection);

    if (rc == 0 || wb_status_mark() != mark)
        return rc;
    return blob_fail(rc, 0, "%.100s:%s: not connected: %s", n->host, n->port, blob_strerror(rc));
}

static int pool_dial(s3_net *n, blob_ctx *ctx, s3_conn *c)
{
    s3_address addresses[S3_ADDRESSES_MAX];
    size_t count, i = 0;
    blob_error last;
    int rc;

    rc = s3_resolve(n->resolver, ctx, wb_after_ms(wb_ctx_now_ns(ctx), n->limits.connect_ms), addresses, &count);
    if (rc != 0)
        return rc;
    do {
        rc = pool_try(n, ctx, c, &addresses[i]);
        /* By ctx's deadline, too: it was not reached in that time, and the next call may have no more of it. */
        if (rc == 0 || rc == BLOB_UNAVAILABLE || rc == -ETIMEDOUT)
            s3_resolver_tell(n->resolver, &addresses[i], rc != 0);
        i++;
    } while (i < count && pool_goes_on(rc, ctx));
    if (!pool_goes_on(rc, ctx))
        return rc;
    /* The name may mean other addresses by now. */
    s3_resolver_forget(n->resolver);
    if (count == 1)
        return rc;
    blob_last_error(&last);
    return blob_fail(rc, last.retry_after_ms, "%s (the last of %zu addresses)", last.text, count);
}

static int pool_connect(s3_net *n, blob_ctx *ctx, s3_conn **out)
{
    s3_conn *c = malloc(sizeof *c);
    int rc;

    if (c == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for a connection");
    /* All but the buffer. */
    memset(c, 0, offsetof(s3_conn, buffer));
    c->transport = n->transport;
    rc = pool_dial(n, ctx, c);
    if (rc == 0)
        *out = c;
    else
        s3_conn_close(c);
    return rc;
}

int s3_conn_get(s3_net *n, blob_ctx *ctx, bool fresh, s3_conn **out)
{
    int rc = blob_ctx_status(ctx);
    s3_conn *c;

    *out = NULL;
    if (rc != 0)
        return blob_fail(rc, 0, "%.100s: no time to ask it", n->host);
    while (!fresh && (c = pool_take(n)) != NULL) {
        if (pool_is_quiet(c, ctx)) {
            *out = c;
            return 0;
        }
        s3_conn_close(c);
        if ((rc = blob_ctx_status(ctx)) != 0)
            return blob_fail(rc, 0, "%.100s: no time to ask it", n->host);
    }
    return pool_connect(n, ctx, out);
}

/* ---- The net ---- */

int s3_net_open(s3_net *n, const blob_s3store_transport *transport, const char *host, const char *port,
                const s3_limits *limits, unsigned kept_max)
{
    int rc;

    memset(n, 0, sizeof *n);
    if (strlen(port) >= sizeof n->port)
        return blob_fail(-EINVAL, 0, "%.20s is no port", port);
    memcpy(n->port, port, strlen(port) + 1);
    n->transport = transport;
    n->limits = *limits;
    n->kept_max = kept_max;
    n->host = strdup(host);
    if (n->host == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for an endpoint");
    if ((rc = pthread_mutex_init(&n->mutex, NULL)) != 0) {
        rc = blob_fail(-rc, 0, "cannot make a lock");
        goto fail;
    }
    if ((rc = s3_resolver_new(&n->resolver, host, port)) == 0)
        return 0;
    pthread_mutex_destroy(&n->mutex);
fail:
    free(n->host);
    memset(n, 0, sizeof *n);
    return rc;
}

void s3_net_close(s3_net *n)
{
    if (n->host == NULL)
        return;
    pool_close_all(n->kept);
    s3_resolver_free(n->resolver);
    pthread_mutex_destroy(&n->mutex);
    free(n->host);
    memset(n, 0, sizeof *n);
}
