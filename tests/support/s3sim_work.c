/* s3sim_work.c - what the requests of s3sim do, one function for each, and how answers are made. */
#include "s3sim_int.h"

#include "httpserver_int.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- answers ------------------------------------------------------------------------------------------------- */

void sim_fields(sim_call *call, const char *format, ...)
{
    char *fields = call->answer->fields;
    size_t have = strlen(fields), room = sizeof call->answer->fields - have;
    va_list args;
    int size;

    va_start(args, format);
    /* clang-tidy 14 does not see that args was begun in the line before. NOLINTNEXTLINE(clang-analyzer-valist.*) */
    size = vsnprintf(fields + have, room, format, args);
    va_end(args);
    if (size < 0 || (size_t)size + 3 > room)
        hs_die("too many fields");
    memcpy(fields + have + size, "\r\n", 3);
}

void sim_time_text(int64_t now_s, char text[32])
{
    time_t now = (time_t)now_s;
    struct tm tm;

    gmtime_r(&now, &tm);
    if (strftime(text, 32, "%Y-%m-%dT%H:%M:%S.000Z", &tm) == 0)
        text[0] = '\0';
}

/* What every answer carries. strftime knows the names of the C locale, which no test leaves. */
void sim_common(sim_call *call)
{
    time_t now = (time_t)call->now_s;
    char date[40];
    struct tm tm;

    gmtime_r(&now, &tm);
    if (!call->settings.date_unsaid && strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
        sim_fields(call, "Date: %s", date);
    sim_fields(call, "Server: s3sim");
    sim_fields(call, "x-amz-request-id: %016" PRIX64, (uint64_t)call->log_index);
}

void sim_body(sim_call *call, char *text, size_t size)
{
    free(call->text);
    call->text = text;
    call->answer->body = text;
    call->answer->body_size = size;
    call->answer->chunk = call->settings.chunk;
    sim_fields(call, "Content-Type: application/xml");
}

/* Says what went wrong instead of whatever has been said. */
void sim_error(sim_call *call, unsigned status, const char *code, const char *message, const char *more)
{
    http_answer *a = call->answer;
    char *text = NULL;
    int size;

    if (a->status != 0) { /* there was another answer */
        a->body = NULL;
        a->body_size = a->chunk = 0;
        a->fields[0] = '\0';
    }
    a->status = status;
    sim_common(call);
    if (code[0] == '\0')
        return;
    size = asprintf(&text,
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message>%s"
                    "<RequestId>%016" PRIX64 "</RequestId><HostId>c2ltdWxhdGlvbg==</HostId></Error>",
                    code, message, more, (uint64_t)call->log_index);
    if (size < 0)
        hs_die("no memory");
    sim_body(call, text, (size_t)size);
    snprintf(call->code, sizeof call->code, "%s", code);
}

static void sw_missing(sim_call *call)
{
    char key[SIM_NAME_MAX * 3 + 16] = "<Key>";
    size_t at = 5;

    for (size_t i = 0; i < call->name_size && at < sizeof key - 16; i++)
        if (call->name[i] >= ' ' && strchr("<>&", call->name[i]) == NULL)
            key[at++] = call->name[i];
    memcpy(key + at, "</Key>", 7);
    sim_error(call, 404, "NoSuchKey", "The specified key does not exist.", key);
}

/* ---- changes ------------------------------------------------------------------------------------------------- */

static sim_change *sw_change_new(const sim_call *call, bool put)
{
    const http_request *r = call->request;
    sim_change *change = hs_need(malloc(sizeof *change));

    change->next = NULL;
    change->put = put ? sim_object_new(call->name, call->name_size, r->body, r->body_size, call->now_s) : NULL;
    change->conditional = http_request_field(r, "if-none-match") != NULL;
    change->name_size = call->name_size;
    memcpy(change->name, call->name, call->name_size);
    return change;
}

sim_change *sim_change_of(const sim_call *call)
{
    bool put = strcmp(call->request->method, "PUT") == 0;

    if ((!put && strcmp(call->request->method, "DELETE") != 0) || call->name_size == 0)
        return NULL;
    return sw_change_new(call, put);
}

void sim_change_free(sim_change *change)
{
    if (change != NULL)
        sim_object_unref(change->put);
    free(change);
}

static unsigned sw_put_locked(s3sim *sim, sim_change *change)
{
    const s3sim_settings *set = &sim->settings;
    bool found;
    size_t at = sim_objects_find(&sim->objects, change->name, change->name_size, &found);
    uint64_t bytes = sim->objects.bytes - (found ? sim->objects.list[at]->size : 0);

    if (change->conditional && set->conditional == S3SIM_REFUSES)
        return 501;
    if (change->conditional && set->conditional == S3SIM_HONOURS && found)
        return 412;
    if (bytes > set->quota || change->put->size > set->quota - bytes)
        return 403;
    sim->writes++;
    sim->overwrites += found;
    (void)sim_objects_set(&sim->objects, change->put);
    change->put = NULL;
    return 200;
}

unsigned sim_change_do_locked(s3sim *sim, sim_change *change)
{
    unsigned status = 204;
    bool found;
    size_t at;

    if (change->put != NULL) {
        status = sw_put_locked(sim, change);
    } else {
        at = sim_objects_find(&sim->objects, change->name, change->name_size, &found);
        if (found)
            sim_objects_remove(&sim->objects, at);
    }
    pthread_cond_broadcast(&sim->changed);
    sim_change_free(change);
    return status;
}

/* ---- requests ------------------------------------------------------------------------------------------------ */

static void sw_put(sim_call *call)
{
    const char *condition = http_request_field(call->request, "if-none-match");
    sim_change *change;
    char etag[sizeof change->put->etag];
    unsigned status;

    if (!call->request->has_length) {
        sim_error(call, 411, "MissingContentLength", "You must provide the Content-Length HTTP header.", "");
        return;
    }
    if (condition != NULL && strcmp(condition, "*") != 0) {
        sim_error(call, 501, "NotImplemented", "A header you provided implies functionality that is not implemented",
                  "");
        return;
    }
    if (call->request->body_size > call->settings.size_max) {
        sim_error(call, 400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size", "");
        return;
    }
    change = sw_change_new(call, true);
    memcpy(etag, change->put->etag, sizeof etag);
    pthread_mutex_lock(&call->sim->mutex);
    status = sim_change_do_locked(call->sim, change);
    pthread_mutex_unlock(&call->sim->mutex);
    if (status == 200) {
        call->answer->status = 200;
        sim_common(call);
        sim_fields(call, "ETag: %s", etag);
    } else if (status == 412) {
        sim_error(call, 412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold",
                  "<Condition>If-None-Match</Condition>");
    } else if (status == 501) {
        sim_error(call, 501, "NotImplemented", "A header you provided implies functionality that is not implemented",
                  "<Header>If-None-Match</Header>");
    } else {
        sim_error(call, 403, "QuotaExceeded", "The quota of this user is used up", "");
    }
}

static void sw_delete(sim_call *call)
{
    pthread_mutex_lock(&call->sim->mutex);
    call->answer->status = sim_change_do_locked(call->sim, sw_change_new(call, false));
    pthread_mutex_unlock(&call->sim->mutex);
    sim_common(call);
}

/* The one range that is known. */
bool sim_asks_first_byte(const http_request *r)
{
    const char *range = http_request_field(r, "range");

    return range != NULL && strcmp(range, "bytes=0-0") == 0;
}

/* GET and HEAD. */
static void sw_get(sim_call *call)
{
    bool first_byte = sim_asks_first_byte(call->request);
    s3sim *sim = call->sim;
    char changed[40];
    struct tm tm;
    time_t time;
    bool found;
    size_t at;

    pthread_mutex_lock(&sim->mutex);
    at = sim_objects_find(&sim->objects, call->name, call->name_size, &found);
    if (found) {
        call->object = sim->objects.list[at];
        atomic_fetch_add(&call->object->refs, 1);
    }
    pthread_mutex_unlock(&sim->mutex);
    if (!found) {
        sw_missing(call);
        return;
    }
    if (first_byte && call->object->size == 0) {
        sim_error(call, 416, "InvalidRange", "The requested range is not satisfiable", "");
        return;
    }
    call->answer->status = first_byte ? 206 : 200;
    call->answer->body = call->object->bytes;
    call->answer->body_size = first_byte ? 1 : call->object->size;
    call->answer->chunk = call->settings.objects_too ? call->settings.chunk : 0;
    sim_common(call);
    time = (time_t)call->object->changed_s;
    gmtime_r(&time, &tm);
    if (strftime(changed, sizeof changed, "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
        sim_fields(call, "Last-Modified: %s", changed);
    sim_fields(call, "ETag: %s", call->object->etag);
    sim_fields(call, "Accept-Ranges: bytes");
    sim_fields(call, "Content-Type: binary/octet-stream");
}

static void sw_head_bucket(sim_call *call)
{
    call->answer->status = 200;
    sim_common(call);
    sim_fields(call, "x-amz-bucket-region: %s", call->settings.region);
    sim_fields(call, "Content-Type: application/xml");
}

void sim_work(sim_call *call)
{
    const http_request *r = call->request;
    bool get = strcmp(r->method, "GET") == 0, head = strcmp(r->method, "HEAD") == 0;

    if (call->name_size == 0 && get)
        sim_list(call);
    else if (r->query[0] != '\0')
        sim_error(call, 501, "NotImplemented", "This subresource is not implemented", "");
    else if (call->name_size == 0 && head)
        sw_head_bucket(call);
    else if (call->name_size > 0 && (get || head))
        sw_get(call);
    else if (call->name_size > 0 && strcmp(r->method, "PUT") == 0)
        sw_put(call);
    else if (call->name_size > 0 && strcmp(r->method, "DELETE") == 0)
        sw_delete(call);
    else
        sim_error(call, 405, "MethodNotAllowed", "The specified method is not allowed against this resource.", "");
}
