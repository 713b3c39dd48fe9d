/* answer.c - what an answer means: from its status, its error code and what was asked to a status of ours, in one table.
 *
 * Two things decide what is what. A blob that is refused for good (BLOB_REJECTED, BLOB_CORRUPT) is given up by those who
 * upload it, so only a code that can mean nothing else leads there: a proxy gone mad answers 400 to everything. And "not
 * found" is an answer about a key, which a server that does not even have the bucket cannot give: where a 404 leaves that
 * open, the bucket is asked for first. That it was there a moment ago is enough only for what S3 itself answers to a HEAD,
 * which has no code: a gateway whose server is gone says 404 just when calls have gone well up to then. */
#include "s3store/s3store.h"
#include "blob/ctx.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ANSWER_BUCKET_SEEN_NS INT64_C(10000000000)
#define ANSWER_THROTTLED_MS 250

/* The first row that fits. code NULL: any. */
static const struct answer_row {
    unsigned status_min, status_max;
    const char *code;
    int means;
    const char *words; /* what can be done about it; NULL: the server's say enough */
} answer_rows[] = {
    {300, 399, NULL, BLOB_DENIED, NULL},
    {400, 400, "RequestTimeout", BLOB_UNAVAILABLE, NULL},
    {400, 400, "ExpiredToken", BLOB_DENIED, NULL},
    {400, 400, "InvalidToken", BLOB_DENIED, NULL},
    {400, 400, "TokenRefreshRequired", BLOB_DENIED, NULL},
    {400, 400, "AuthorizationHeaderMalformed", BLOB_DENIED, "is the region right?"},
    {400, 400, "InvalidBucketName", BLOB_DENIED, NULL},
    {400, 400, "EntityTooLarge", BLOB_REJECTED, NULL},
    {400, 400, "KeyTooLongError", BLOB_REJECTED, NULL},
    {400, 400, "XAmzContentSHA256Mismatch", BLOB_UNAVAILABLE, "the bytes changed on the way"},
    {400, 400, "BadDigest", BLOB_UNAVAILABLE, "the bytes changed on the way"},
    {400, 400, "XMinioAdminBucketQuotaExceeded", -ENOSPC, NULL},
    {403, 403, "QuotaExceeded", -ENOSPC, NULL},
    {403, 403, "RequestTimeTooSkewed", BLOB_DENIED, "this machine's clock and the server's differ"},
    {401, 401, NULL, BLOB_DENIED, NULL},
    {403, 403, "", BLOB_DENIED, "are the credentials right, and may they do this?"},
    {403, 403, NULL, BLOB_DENIED, NULL},
    {404, 404, "NoSuchBucket", BLOB_DENIED, "no such bucket"},
    {407, 407, NULL, BLOB_DENIED, "a proxy wants credentials of its own"},
    {408, 408, NULL, BLOB_UNAVAILABLE, NULL},
    {409, 409, NULL, BLOB_UNAVAILABLE, NULL},
    {413, 413, NULL, BLOB_REJECTED, NULL},
    {425, 425, NULL, BLOB_UNAVAILABLE, NULL},
    {429, 429, NULL, BLOB_UNAVAILABLE, NULL},
    {501, 501, NULL, BLOB_UNSUPPORTED, NULL},
    {507, 507, NULL, -ENOSPC, NULL},
    {500, 599, NULL, BLOB_UNAVAILABLE, NULL},
    {100, 599, NULL, -EIO, "an answer that was not expected"},
};

/* A server that throttles need not say for how long; that it does is said by a time that is not 0. */
static int64_t answer_retry_after_ms(const s3_call *c)
{
    bool throttles = c->head.status == 429 || strcmp(c->error.code, "SlowDown") == 0;

    return c->head.retry_after_ms == 0 && throttles ? ANSWER_THROTTLED_MS : c->head.retry_after_ms;
}

/* "http://host/bucket: PUT 00ff: 503 SlowDown: Reduce your request rate" */
static int answer_fail(const s3store *s, const s3_call *c, int status, const char *words)
{
    const char *code = c->error.code, *message = c->error.message;

    words = words != NULL ? words : "";
    return blob_fail(status, answer_retry_after_ms(c), "%.80s: %s%s%.64s: %u%s%s%s%s%s%s", s->where, c->method,
                     c->name != NULL ? " " : "", c->name != NULL ? c->name : "", c->head.status,
                     code[0] != '\0' ? " " : "", code, words[0] != '\0' ? ": " : "", words,
                     message[0] != '\0' ? ": " : "", message);
}

/* Another place or another region, which a request that was corrected once did not come to. */
static int answer_elsewhere(const s3store *s, const s3_call *c)
{
    const char *region = c->head.region[0] != '\0' ? c->head.region : c->error.region;
    const char *place = c->error.endpoint[0] != '\0' ? c->error.endpoint : c->head.location;
    char words[200];

    (void)snprintf(words, sizeof words, "the bucket is elsewhere%s%.40s%s%.100s",
                   region[0] != '\0' ? ", in region " : "", region, place[0] != '\0' ? ": set the endpoint to " : "",
                   place);
    return answer_fail(s, c, BLOB_DENIED, words);
}

static int answer_by_table(const s3store *s, const s3_call *c)
{
    const struct answer_row *row = answer_rows;

    while (c->head.status < row->status_min || c->head.status > row->status_max ||
           (row->code != NULL && strcmp(row->code, c->error.code) != 0))
        row++;
    if (c->head.status / 100 == 3)
        return answer_elsewhere(s, c);
    /* Where it has no words, a bad request is one with an expired token or for another region: all else is ours. */
    if (c->head.status == 400 && strcmp(c->method, "HEAD") == 0 && c->error.code[0] == '\0')
        return answer_fail(s, c, BLOB_DENIED, "have the credentials expired, or is it another region?");
    return answer_fail(s, c, row->means, row->words);
}

static bool answer_saw_bucket(const s3store *s)
{
    int64_t seen_ns = atomic_load(&s->bucket_seen_ns);

    return seen_ns != 0 && wb_now_ns() - seen_ns < ANSWER_BUCKET_SEEN_NS;
}

/* 0: the bucket is there. */
static int answer_ask_bucket(s3store *s, blob_ctx *ctx)
{
    s3_call c = {.method = "HEAD"};
    int rc = s3_call_run(s, ctx, &c);

    if (rc == 0 && c.head.status == 404)
        rc = answer_fail(s, &c, BLOB_DENIED, "no such bucket");
    else if (rc == 0 && c.head.status != 200)
        rc = answer_by_table(s, &c);
    s3_call_end(&c);
    return rc;
}

static int answer_not_found(s3store *s, blob_ctx *ctx, const s3_call *c)
{
    bool own_head = strcmp(c->method, "HEAD") == 0 && c->head.named;
    int rc;

    if (strcmp(c->error.code, "NoSuchKey") != 0 && !(own_head && answer_saw_bucket(s)) &&
        (rc = answer_ask_bucket(s, ctx)) != 0)
        return rc;
    /* To put or to list nothing needs to be there but the bucket, and that is. */
    if (c->name == NULL || c->payload_hash != NULL)
        return answer_fail(s, c, -EIO, "yet the bucket is there");
    /* From something on the way, maybe: the blob may be back when the server is. */
    if (strcmp(c->method, "DELETE") == 0 && strcmp(c->error.code, "NoSuchKey") != 0)
        return answer_fail(s, c, BLOB_UNAVAILABLE, "not about the key, perhaps");
    return answer_fail(s, c, BLOB_NOT_FOUND, NULL);
}

int s3_answer(s3store *s, blob_ctx *ctx, const s3_call *c)
{
    if (c->head.status == 404 && strcmp(c->error.code, "NoSuchBucket") != 0)
        return answer_not_found(s, ctx, c);
    if (c->head.status != 412 || !c->if_none_match)
        return answer_by_table(s, c);
    if (c->repeated)
        return answer_fail(s, c, BLOB_UNAVAILABLE, "what is there may be our own, for it was sent twice");
    return answer_fail(s, c, BLOB_EXISTS, NULL);
}
