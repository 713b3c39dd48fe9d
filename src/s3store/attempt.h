/* attempt.h - what exchange.c, attempt.c and body.c share: one request on one connection. */
#ifndef WB_S3STORE_ATTEMPT_H
#define WB_S3STORE_ATTEMPT_H

#include "s3store/net.h"

typedef struct s3_attempt {
    s3_net *net;
    blob_ctx *ctx;
    s3_exchange *x;
    s3_conn *c;
    int64_t begun_ns;  /* on wb_now_ns's clock, as all here */
    int64_t moved_ns;  /* when a byte last did */
    uint64_t bytes;    /* sent, received, and to be received where that is known: they have their time */
    const char *doing; /* for messages: "the request was sent" */
    bool sent;         /* whole */
    bool heard;        /* a byte of the answer has come */
    bool ended;        /* the answer was read to its exact end, and the connection may be used again */
} s3_attempt;

/* ---- Waiting, within the limits (attempt.c) ---- */

/* How long the next wait may be; 0: a limit has been reached. */
int64_t s3_attempt_left_ms(const s3_attempt *a);

/* Time is up: ctx's status or -ETIMEDOUT, with words on which it was. */
int s3_attempt_over(const s3_attempt *a);

void s3_attempt_moved(s3_attempt *a);

/* Sets the thread's error: "host:port: ...". */
int s3_attempt_fail(const s3_attempt *a, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Reads at least one byte; *done 0: the end. */
int s3_attempt_read(s3_attempt *a, void *data, size_t size, size_t *done);

/* Reads behind what is in the connection's buffer, which must not be full. no_wait: -ETIMEDOUT without words if nothing
 * is there. */
int s3_attempt_fill(s3_attempt *a, bool no_wait, size_t *done);

/* Takes bytes off the buffer's front. */
void s3_attempt_consume(s3_attempt *a, size_t size);

/* ---- The body (body.c) ---- */

/* Reads the body behind the head that x->answer_head is, into x->answer. */
int s3_body_read(s3_attempt *a);

#endif
