/* exchange.c - one request and its answer.
 *
 * The request goes out in one write if it is small: its head and the beginning of its body are put together in the
 * connection's buffer, which nothing else is in before an answer comes; the rest of the body is written from where it
 * is. While that does not go on, the server is listened to: it may have answered already, and be waiting for us to stop.
 *
 * A connection is kept if both sides are sure where they are: the request was sent whole and the answer read to its exact
 * end, with not a byte behind it. */
#include "s3store/attempt.h"
#include "blob/ctx.h"

#include <errno.h>
#include <string.h>

/* Where nothing came back on a kept connection for so long, the way may have forgotten it, and the others that lay idle. */
#define EX_SILENT_NS INT64_C(1000000000)

/* How long a write that does not go on is waited for before the server is listened to. */
#define EX_LISTEN_MS 50

/* ---- The answer's head ---- */

/* From what is in the buffer: 0: it is there, and no 1xx; -EAGAIN: not yet. */
static int ex_find_head(s3_attempt *a)
{
    s3_exchange *x = a->x;
    size_t used;
    int rc;

    do {
        rc = s3_http_head(a->c->buffer + a->c->at, a->c->have, x->to_head, &x->answer_head, &used);
        if (rc == -EAGAIN)
            return rc;
        if (rc == -EMSGSIZE)
            return s3_attempt_fail(a, -EIO, "the head of its answer is longer than %d bytes", S3_HEAD_MAX);
        if (rc != 0)
            return s3_attempt_fail(a, -EIO, "what it answers is no HTTP, or makes no sense");
        s3_attempt_consume(a, used);
    } while (x->answer_head.status < 200);
    return 0;
}

static int ex_hung_up(const s3_attempt *a)
{
    return s3_attempt_fail(a, BLOB_UNAVAILABLE, "hung up %s",
                           a->heard ? "amid the head of its answer" : "without an answer");
}

static int ex_read_head(s3_attempt *a)
{
    size_t done;
    int rc;

    while ((rc = ex_find_head(a)) == -EAGAIN) {
        rc = s3_attempt_fill(a, false, &done);
        if (rc == 0 && done == 0)
            rc = ex_hung_up(a);
        if (rc != 0)
            return rc;
    }
    return rc;
}

/* ---- The request ---- */

/* Has the server answered, though the request is not sent yet? 1: yes; 0: no, or not all of the head is there. */
static int ex_listen(s3_attempt *a)
{
    size_t done;
    int rc = s3_attempt_fill(a, true, &done);

    if (rc == -ETIMEDOUT || rc == -ECANCELED) /* nothing; if ctx has ended the next write says so */
        return 0;
    if (rc == 0 && done == 0)
        return ex_hung_up(a);
    if (rc == 0)
        rc = ex_find_head(a);
    if (rc == -EAGAIN)
        return 0;
    return rc != 0 ? rc : 1;
}

/* 0: it is all sent; 1: an answer came before. listen: the buffer is free for it. */
static int ex_write(s3_attempt *a, const char *data, size_t size, bool listen)
{
    int64_t left_ms;
    size_t done;
    int rc;

    while (size > 0) {
        if ((left_ms = s3_attempt_left_ms(a)) == 0)
            return s3_attempt_over(a);
        if (listen && left_ms > EX_LISTEN_MS)
            left_ms = EX_LISTEN_MS;
        rc = a->c->transport->write(a->c->connection, a->ctx, left_ms, data, size, &done);
        if (rc == -ECANCELED || (rc == -ETIMEDOUT && blob_ctx_status(a->ctx) != 0))
            return s3_attempt_over(a);
        if (rc == -ETIMEDOUT)
            done = 0;
        else if (rc != 0)
            return rc;
        if (done > 0) {
            a->x->begun = true;
            a->bytes += done;
            s3_attempt_moved(a);
        }
        data += done;
        size -= done;
        /* Not all of it went: the way is blocked, and a reason may have come back. */
        if (listen && size > 0 && (rc = ex_listen(a)) != 0)
            return rc;
    }
    return 0;
}

static int ex_send_pieces(s3_attempt *a)
{
    blob_view head = a->x->head, body = a->x->body;
    size_t along, room = sizeof a->c->buffer;
    int rc;

    if (head.size >= room) { /* nobody's heads are so long, but it would be no reason to fail */
        rc = ex_write(a, head.data, head.size, true);
        return rc == 0 && body.size > 0 ? ex_write(a, body.data, body.size, true) : rc;
    }
    along = body.size < room - head.size ? body.size : room - head.size;
    memcpy(a->c->buffer, head.data, head.size);
    if (along > 0)
        memcpy(a->c->buffer + head.size, body.data, along);
    rc = ex_write(a, a->c->buffer, head.size + along, false);
    explicit_bzero(a->c->buffer, head.size); /* a session token is in it, and the connection may be kept for long */
    if (rc == 0 && along < body.size)
        rc = ex_write(a, (const char *)body.data + along, body.size - along, true);
    return rc;
}

/* The way to the server is cut. What it said before that is here already, and no more comes: this waits for nothing, for a
 * write may have failed for another reason. True: an answer's head was found. */
static bool ex_hear_last_words(s3_attempt *a)
{
    size_t done;
    int rc;

    do {
        if (s3_attempt_left_ms(a) == 0 || s3_attempt_fill(a, true, &done) != 0 || done == 0)
            return false;
        rc = ex_find_head(a);
    } while (rc == -EAGAIN);
    return rc == 0;
}

/* Sends it; 0: all of it, 1: a final answer came before that. */
static int ex_send(s3_attempt *a)
{
    int rc = ex_send_pieces(a);
    blob_error why;

    if (rc != BLOB_UNAVAILABLE)
        return rc;
    /* A server that has had enough answers and hangs up. */
    blob_last_error(&why);
    if (ex_hear_last_words(a))
        return 1;
    return blob_fail(rc, why.retry_after_ms, "%s", why.text);
}

/* ---- The exchange ---- */

static int ex_carry_out(s3_attempt *a)
{
    int rc;

    a->doing = "the request was sent";
    rc = ex_send(a);
    a->sent = rc == 0;
    if (rc < 0)
        return rc;
    a->doing = "its answer was awaited";
    if (rc == 0 && (rc = ex_read_head(a)) != 0)
        return rc;
    /* Of what it has not got it cannot say that it has it. */
    if (!a->sent && a->x->answer_head.status < 300)
        return s3_attempt_fail(a, -EIO, "answered %u before it had the whole request", a->x->answer_head.status);
    return s3_body_read(a);
}

/* *stale: a kept connection that the server had hung up; nothing of an answer has come. */
static int ex_attempt(s3_net *n, blob_ctx *ctx, s3_exchange *x, bool fresh, bool *stale)
{
    s3_attempt a = {.net = n, .ctx = ctx, .x = x};
    int rc;

    *stale = false;
    if ((rc = s3_conn_get(n, ctx, fresh, &a.c)) != 0)
        return rc;
    a.begun_ns = a.moved_ns = wb_now_ns();
    rc = ex_carry_out(&a);
    *stale = rc == BLOB_UNAVAILABLE && a.c->used && !a.heard;
    /* Else each of them would cost a call all of its time. */
    if (rc == -ETIMEDOUT && a.c->used && !a.heard && wb_now_ns() - a.begun_ns >= EX_SILENT_NS)
        s3_conn_distrust(n, a.begun_ns);
    if (rc == 0 && a.sent && a.ended && a.c->have == 0 && x->answer_head.keep)
        s3_conn_keep(n, a.c);
    else
        s3_conn_close(a.c);
    return rc;
}

int s3_exchange_run(s3_net *n, blob_ctx *ctx, s3_exchange *x)
{
    bool stale, begun;
    int rc;

    memset(&x->answer_head, 0, sizeof x->answer_head);
    x->answer = NULL;
    x->begun = x->repeated = false;
    rc = ex_attempt(n, ctx, x, false, &stale);
    if (!stale)
        return rc;
    begun = x->begun;
    x->begun = false;
    rc = ex_attempt(n, ctx, x, true, &stale);
    x->repeated = begun && x->begun;
    x->begun |= begun;
    return rc;
}
