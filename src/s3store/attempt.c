/* attempt.c - the waits of one attempt, and what ends them.
 *
 * Three things do: ctx; the idle limit, while no byte moves; and the total limit, which grows with the bytes, so that a
 * large body has its time and a trickle has not. A wait is as long as the nearest of them, and before each wait the limits
 * are looked at, for a server that always has one more byte never lets one time out. */
#include "s3store/attempt.h"
#include "blob/ctx.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int s3_attempt_fail(const s3_attempt *a, int status, const char *format, ...)
{
    bool digits = strchr(a->net->host, ':') != NULL;
    char text[200];
    va_list args;

    va_start(args, format);
    if (vsnprintf(text, sizeof text, format, args) < 0)
        text[0] = '\0';
    va_end(args);
    return blob_fail(status, 0, "%s%.100s%s:%s: %s", digits ? "[" : "", a->net->host, digits ? "]" : "", a->net->port,
                     text);
}

/* What so many bytes take at the lowest rate. */
static int64_t attempt_bytes_ms(uint64_t bytes, uint64_t per_s)
{
    uint64_t seconds;

    if (per_s == 0 || per_s > UINT64_MAX / 1000)
        return 0;
    seconds = bytes / per_s;
    if (seconds >= INT64_MAX / 1000)
        return INT64_MAX;
    return (int64_t)(seconds * 1000 + bytes % per_s * 1000 / per_s);
}

static int64_t attempt_until_ns(const s3_attempt *a)
{
    const s3_limits *limits = &a->net->limits;

    return wb_after_ms(wb_after_ms(a->begun_ns, limits->total_ms), attempt_bytes_ms(a->bytes, limits->bytes_per_s_min));
}

int64_t s3_attempt_left_ms(const s3_attempt *a)
{
    int64_t until_ns = attempt_until_ns(a), idle_ns = wb_after_ms(a->moved_ns, a->net->limits.idle_ms), left_ns;

    if (idle_ns < until_ns)
        until_ns = idle_ns;
    if (until_ns == WB_NEVER)
        return INT64_MAX;
    left_ns = until_ns - wb_now_ns();
    return left_ns > 0 ? (left_ns - 1) / 1000000 + 1 : 0;
}

int s3_attempt_over(const s3_attempt *a)
{
    const s3_limits *limits = &a->net->limits;
    int status = blob_ctx_status(a->ctx);

    if (status != 0)
        return s3_attempt_fail(a, status, "%s while %s", status == -ECANCELED ? "cancelled" : "the deadline passed",
                               a->doing);
    if (wb_now_ns() >= attempt_until_ns(a))
        return s3_attempt_fail(a, -ETIMEDOUT,
                               "the limit for all of it, %lld ms and the time of %llu bytes, passed while %s",
                               (long long)limits->total_ms, (unsigned long long)a->bytes, a->doing);
    return s3_attempt_fail(a, -ETIMEDOUT, "no byte moved for %lld ms while %s", (long long)limits->idle_ms, a->doing);
}

void s3_attempt_moved(s3_attempt *a)
{
    a->moved_ns = wb_now_ns();
}

int s3_attempt_read(s3_attempt *a, void *data, size_t size, size_t *done)
{
    int64_t left_ms = s3_attempt_left_ms(a);
    int rc;

    *done = 0;
    if (left_ms == 0)
        return s3_attempt_over(a);
    rc = a->c->transport->read(a->c->connection, a->ctx, left_ms, data, size, done);
    if (rc == -ETIMEDOUT || rc == -ECANCELED)
        return s3_attempt_over(a);
    if (rc == 0 && *done > 0) {
        a->heard = true;
        s3_attempt_moved(a);
    }
    return rc;
}

int s3_attempt_fill(s3_attempt *a, bool no_wait, size_t *done)
{
    s3_conn *c = a->c;
    char *to;
    int rc;

    if (c->at > 0)
        memmove(c->buffer, c->buffer + c->at, c->have);
    c->at = 0;
    to = c->buffer + c->have;
    if (no_wait) {
        rc = c->transport->read(c->connection, a->ctx, 0, to, sizeof c->buffer - c->have, done);
        a->heard |= rc == 0 && *done > 0;
    } else {
        rc = s3_attempt_read(a, to, sizeof c->buffer - c->have, done);
    }
    if (rc == 0)
        c->have += *done;
    return rc;
}

void s3_attempt_consume(s3_attempt *a, size_t size)
{
    a->c->at += size;
    a->c->have -= size;
}
