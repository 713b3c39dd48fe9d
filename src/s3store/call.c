/* call.c - one request of S3: its fields, its signature, its answer, and the two things that an answer can correct.
 *
 * A clock that is off makes every signature bad, and so does a region that is not the bucket's. A server says so with
 * the right time or the right region beside it: the request is sent once more by that, and later calls go by it, too; by a
 * region only if it helped. It was refused the first time, so nothing was done twice. */
#include "s3store/s3store.h"
#include "blob/ctx.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define CALL_CLOCK_OFF_S 300 /* servers bear with 15 minutes at most, some with 5 */
#define CALL_FIELDS 6
#define CALL_SECRET_PART 16 /* bytes of a secret that must not be seen together */

/* What one attempt goes by, and what those before it have corrected. */
typedef struct call_try {
    s3_credentials *credentials;
    char region[64]; /* "" before the first: the store's */
    int64_t now_s;   /* as the server has it, as far as we know */
    bool clock_corrected, region_corrected;
} call_try;

static void call_try_begin(s3store *s, call_try *t)
{
    pthread_mutex_lock(&s->mutex);
    t->credentials = s3_credentials_ref(s->credentials);
    if (t->region[0] == '\0')
        memcpy(t->region, s->region, sizeof t->region);
    pthread_mutex_unlock(&s->mutex);
    t->now_s = (int64_t)time(NULL) + atomic_load(&s->clock_offset_s);
}

/* ---- The request ---- */

/* Sorted by name, as they are signed. Content-Length is not among them: something on the way may change how a body is framed. */
static size_t call_fields(const s3store *s, const s3_call *c, const call_try *t, const char *stamp,
                          s3_field fields[CALL_FIELDS])
{
    size_t count = 0;

    fields[count++] = (s3_field){"host", s->authority};
    if (c->if_none_match)
        fields[count++] = (s3_field){"if-none-match", "*"};
    if (c->first_byte)
        fields[count++] = (s3_field){"range", "bytes=0-0"};
    fields[count++] = (s3_field){"x-amz-content-sha256", c->payload_hash != NULL ? c->payload_hash : S3_EMPTY_HASH};
    fields[count++] = (s3_field){"x-amz-date", stamp};
    if (t->credentials->session_token != NULL)
        fields[count++] = (s3_field){"x-amz-security-token", t->credentials->session_token};
    return count;
}

static void call_add_field(s3_text *head, const char *name, const char *value)
{
    s3_text_add(head, name);
    s3_text_add(head, ": ");
    s3_text_add(head, value);
    s3_text_add(head, "\r\n");
}

static void call_path(const s3store *s, const s3_call *c, s3_text *path)
{
    s3_text_add(path, c->name != NULL ? s->base : s->bucket_path);
    if (c->name != NULL)
        s3_text_add(path, c->name);
}

/* The request line and all fields; a failure to grow shows in head. */
static void call_head(const s3store *s, const s3_call *c, const call_try *t, s3_text *head)
{
    const char *query = c->query != NULL ? c->query : "";
    s3_text path = {0}, authorization = {0}, length = {0};
    s3_field fields[CALL_FIELDS];
    s3_request request;
    char stamp[17];
    size_t count;

    call_path(s, c, &path);
    s3_sign_time(t->now_s, stamp);
    count = call_fields(s, c, t, stamp, fields);
    if (path.failed)
        goto out;
    request = (s3_request){
        .method = c->method,
        .path = path.data,
        .query = query,
        .fields = fields,
        .fields_count = count,
        .payload_hash = c->payload_hash != NULL ? c->payload_hash : S3_EMPTY_HASH,
    };
    s3_sign(&authorization, &request, t->credentials, t->region, t->now_s);
    s3_text_add_number(&length, c->body.size);
    if (authorization.failed || length.failed)
        goto out;
    s3_text_add(head, c->method);
    s3_text_add(head, " ");
    s3_text_add(head, path.data);
    if (query[0] != '\0')
        s3_text_add(head, "?");
    s3_text_add(head, query);
    s3_text_add(head, " HTTP/1.1\r\n");
    for (size_t i = 0; i < count; i++)
        call_add_field(head, fields[i].name, fields[i].value);
    call_add_field(head, "authorization", authorization.data);
    if (c->payload_hash != NULL)
        call_add_field(head, "content-length", length.data);
    s3_text_add(head, "\r\n");
out:
    head->failed |= path.failed || authorization.failed || length.failed;
    s3_text_free(&path);
    s3_text_free(&authorization);
    s3_text_free(&length);
}

/* ---- The answer ---- */

/* Its beginning is looked for: text is cut, and a token is longer than what is left of it. */
static bool call_tells(const char *text, const char *secret)
{
    return secret != NULL && memmem(text, strlen(text), secret, strnlen(secret, CALL_SECRET_PART)) != NULL;
}

/* A far side may repeat in its words what it was sent; no message of ours does. */
static void call_hide(char *text, const s3_credentials *credentials)
{
    if (call_tells(text, credentials->access_key) || call_tells(text, credentials->secret_key) ||
        call_tells(text, credentials->session_token))
        text[0] = '\0';
}

static void call_read_error(s3_call *c, const s3_credentials *credentials)
{
    memset(&c->error, 0, sizeof c->error);
    c->error.server_time_s = -1;
    if (c->head.status / 100 == 2)
        return;
    if (c->answer != NULL)
        (void)s3_xml_error(blob_view_of(c->answer->data, c->answer->size), &c->error);
    blob_unref(c->answer);
    c->answer = NULL;
    call_hide(c->error.code, credentials);
    call_hide(c->error.message, credentials);
    call_hide(c->error.endpoint, credentials);
    call_hide(c->error.region, credentials);
    call_hide(c->head.location, credentials);
    call_hide(c->head.region, credentials);
}

/* The name was found, or only the name was not: the bucket is there. A 404 to a HEAD does not say which of them it means. */
static void call_see_bucket(s3store *s, const s3_call *c)
{
    if (!c->head.named)
        return;
    if (c->head.status == 200 || c->head.status == 204 || c->head.status == 412 ||
        (c->head.status == 404 && strcmp(c->error.code, "NoSuchKey") == 0))
        atomic_store(&s->bucket_seen_ns, wb_now_ns());
}

/* A login page or a proxy in the way says 200 to everything, and would empty a buffer into nothing. */
static int call_check_success(const s3store *s, const s3_call *c)
{
    if (c->head.status != 200 || c->name == NULL || c->head.named)
        return 0;
    return blob_fail(-EIO, 0,
                     "%.80s: %s %.64s: 200, but not as an S3 server answers (no ETag): is a proxy or a login page "
                     "in the way?",
                     s->where, c->method, c->name);
}

static int call_once(s3store *s, blob_ctx *ctx, s3_call *c, const call_try *t)
{
    s3_text head = {0};
    s3_exchange x;
    int rc;

    call_head(s, c, t, &head);
    if (head.failed) {
        rc = blob_fail(-ENOMEM, 0, "%s: no memory for a request", s->where);
        goto out;
    }
    x = (s3_exchange){
        .head = blob_view_of(head.data, head.size),
        .body = c->body,
        .to_head = strcmp(c->method, "HEAD") == 0,
        .answer_max = c->answer_max,
        .error_max = S3_ERROR_MAX,
    };
    rc = s3_exchange_run(&s->net, ctx, &x);
    c->head = x.answer_head;
    c->answer = x.answer;
    c->repeated |= x.repeated;
    c->open = c->repeated || (rc != 0 && x.begun);
    if (rc == 0) {
        call_read_error(c, t->credentials);
        call_see_bucket(s, c);
        rc = call_check_success(s, c);
    }
out:
    s3_text_free(&head);
    return rc;
}

/* The answer to a HEAD has no body: a refusal says neither why nor, often, which region it is. A GET of the same is
 * refused for the same reason and says it; of the bucket that is a listing, which needs the same right. */
static bool call_lacks_words(const s3_call *c)
{
    return strcmp(c->method, "HEAD") == 0 && (c->head.status == 400 || c->head.status == 401 || c->head.status == 403);
}

static void call_ask_words(s3store *s, blob_ctx *ctx, s3_call *c, const call_try *t)
{
    s3_call get = {
        .method = "GET",
        .name = c->name,
        .query = c->name == NULL ? "list-type=2&max-keys=1" : NULL,
        .first_byte = c->name != NULL, /* should it be granted after all */
        .answer_max = S3_ERROR_MAX,
    };

    if (call_once(s, ctx, &get, t) == 0 && get.head.status == c->head.status)
        c->error = get.error;
    s3_call_end(&get);
}

/* ---- What it corrects ---- */

static bool call_corrects_clock(s3store *s, const s3_call *c, const call_try *t)
{
    int64_t server_s = c->error.server_time_s >= 0 ? c->error.server_time_s : c->head.date_s;
    int64_t off_s = server_s - t->now_s;

    if (c->head.status != 403 || server_s < 0 || off_s == 0)
        return false;
    if (off_s <= CALL_CLOCK_OFF_S && off_s >= -CALL_CLOCK_OFF_S && strcmp(c->error.code, "RequestTimeTooSkewed") != 0)
        return false;
    atomic_store(&s->clock_offset_s, server_s - (int64_t)time(NULL));
    return true;
}

static bool call_may_be_elsewhere(const s3_call *c)
{
    return c->head.status / 100 == 3 || c->head.status == 400 || c->head.status == 403;
}

static bool call_corrects_region(const s3_call *c, call_try *t)
{
    const char *said = c->head.region[0] != '\0' ? c->head.region : c->error.region;
    char region[64];

    if (!call_may_be_elsewhere(c) || !s3_http_region(said, strlen(said), region) || strcmp(region, t->region) == 0)
        return false;
    memcpy(t->region, region, sizeof t->region);
    return true;
}

/* Only one that helped: else a server that is wrong once, and never says what is right, would be denied for ever. */
static void call_keep_region(s3store *s, const s3_call *c, const call_try *t)
{
    if (call_may_be_elsewhere(c))
        return;
    pthread_mutex_lock(&s->mutex);
    memcpy(s->region, t->region, sizeof s->region);
    pthread_mutex_unlock(&s->mutex);
}

/* Each of them once. */
static bool call_corrects(s3store *s, const s3_call *c, call_try *t)
{
    bool region = !t->region_corrected && call_corrects_region(c, t);
    bool clock = !region && !t->clock_corrected && call_corrects_clock(s, c, t);

    t->region_corrected |= region;
    t->clock_corrected |= clock;
    return region || clock;
}

int s3_call_run(s3store *s, blob_ctx *ctx, s3_call *c)
{
    call_try t = {.region = ""};
    bool again;
    int rc;

    c->repeated = c->open = false;
    do {
        s3_call_end(c);
        call_try_begin(s, &t);
        rc = call_once(s, ctx, c, &t);
        again = rc == 0 && call_corrects(s, c, &t);
        if (rc == 0 && !again && call_lacks_words(c)) {
            call_ask_words(s, ctx, c, &t);
            again = call_corrects(s, c, &t);
        }
        s3_credentials_unref(t.credentials);
        /* What was answered is not the answer any more: it would have been corrected. */
        if (again && (rc = blob_ctx_status(ctx)) != 0)
            return blob_fail(rc, 0, "%s: %s: %s before it was sent once more", s->where, c->method,
                             rc == -ECANCELED ? "cancelled" : "the deadline passed");
    } while (again);
    if (rc == 0 && t.region_corrected)
        call_keep_region(s, c, &t);
    return rc;
}

/* What says itself that it is not known how it ended. */
static bool call_is_open(int rc)
{
    return rc == BLOB_UNAVAILABLE || rc == -ETIMEDOUT || rc == -ECANCELED || rc == -EIO;
}

int s3_call_settle(const s3store *s, const s3_call *c, int rc)
{
    blob_error why;

    if (!c->open || call_is_open(rc))
        return rc;
    blob_last_error(&why);
    return blob_fail(
        BLOB_UNAVAILABLE, rc != 0 ? why.retry_after_ms : 0, "%.80s: %s %.64s: %s%s%s", s->where, c->method, c->name,
        c->repeated ? "it was sent twice; the first may still be carried out" : "it was sent, and may be carried out",
        rc != 0 ? ": " : "", rc != 0 ? why.text : "");
}

void s3_call_end(s3_call *c)
{
    blob_unref(c->answer);
    c->answer = NULL;
}
