/* s3sim_list.c - ListObjectsV2 of s3sim. */
#include "s3sim_int.h"

#include "httpserver_int.h"

#include <wbstore/blob.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SL_TOKEN "t0" /* a token is this and the hex of the last name: opaque, but good for ever */

/* What was asked. */
typedef struct sl_query {
    bool v2, url, start_given, token_given;
    unsigned max;
    char prefix[3 * SIM_NAME_MAX], start[3 * SIM_NAME_MAX], token[3 * SIM_NAME_MAX], after[3 * SIM_NAME_MAX];
    size_t prefix_size, start_size, token_size, after_size;
} sl_query;

static bool sl_number(const char *text, size_t size, unsigned *out)
{
    *out = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9' || *out > 1000000)
            return false;
        *out = 10 * *out + (unsigned)(text[i] - '0');
    }
    return size > 0;
}

static bool sl_token(sl_query *q)
{
    size_t skip = strlen(SL_TOKEN);

    q->token_given = true;
    q->token[q->token_size] = '\0';
    return q->token_size > skip && memcmp(q->token, SL_TOKEN, skip) == 0 &&
           blob_key_from_hex(q->token + skip, q->after, sizeof q->after, &q->after_size) == 0;
}

static bool sl_parameter(sl_query *q, const char *text, size_t size)
{
    const char *equals = memchr(text, '=', size);
    size_t name = equals != NULL ? (size_t)(equals - text) : size, value_size = 0;
    char value[3 * SIM_NAME_MAX];

    if (equals == NULL || size - name - 1 >= sizeof value ||
        !sim_decode(equals + 1, size - name - 1, false, value, &value_size))
        return false;
#define SL_IS(literal) (name == sizeof(literal) - 1 && memcmp(text, literal, name) == 0)
    if (SL_IS("list-type"))
        return q->v2 = value_size == 1 && value[0] == '2';
    if (SL_IS("encoding-type"))
        return q->url = value_size == 3 && memcmp(value, "url", 3) == 0;
    if (SL_IS("max-keys"))
        return sl_number(value, value_size, &q->max);
    if (SL_IS("prefix")) {
        memcpy(q->prefix, value, q->prefix_size = value_size);
        return true;
    }
    if (SL_IS("start-after")) {
        q->start_given = true;
        memcpy(q->start, value, q->start_size = value_size);
        return true;
    }
    if (SL_IS("continuation-token")) {
        memcpy(q->token, value, q->token_size = value_size);
        return sl_token(q);
    }
#undef SL_IS
    return false;
}

static bool sl_parse(const char *query, sl_query *q)
{
    memset(q, 0, sizeof *q);
    q->max = 1000;
    for (const char *at = query; *at != '\0'; at += strcspn(at, "&"), at += *at == '&')
        if (!sl_parameter(q, at, strcspn(at, "&")))
            return false;
    return q->v2;
}

/* A name as the page has it: url-encoded, or with what XML does not take replaced. */
static void sl_name(FILE *out, const sl_query *q, bool plus, const char *name, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)name[i];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                     (c != '\0' && strchr("-._~/", c) != NULL);
        if (q->url && c == ' ' && plus)
            putc('+', out);
        else if (q->url && !plain)
            fprintf(out, "%%%02X", c);
        else if (c < ' ' || strchr("<>&\"'", c) != NULL)
            fprintf(out, "&#%u;", c);
        else
            putc(c, out);
    }
}

static void sl_text(FILE *out, const char *element, const sl_query *q, bool plus, const char *text, size_t size)
{
    fprintf(out, "<%s>", element);
    sl_name(out, q, plus, text, size);
    fprintf(out, "</%s>", element);
}

static void sl_entry(FILE *out, const sl_query *q, bool plus, const sim_object *o)
{
    char changed[32];

    sim_time_text(o->changed_s, changed);
    fputs("<Contents>", out);
    sl_text(out, "Key", q, plus, o->name, o->name_size);
    fprintf(out, "<LastModified>%s</LastModified><ETag>&quot;%.32s&quot;</ETag><Size>%zu</Size>", changed, o->etag + 1,
            o->size);
    fputs("<StorageClass>STANDARD</StorageClass></Contents>", out);
}

/* The objects of the page: they begin at *first; *more: others follow. How many. */
static unsigned sl_find_locked(const s3sim *sim, const sl_query *q, unsigned max, size_t *first, bool *more)
{
    const char *after = q->token_given ? q->after : q->start;
    size_t after_size = q->token_given ? q->after_size : q->start_size, at, end;
    bool found = false;

    at = sim_objects_find(&sim->objects, after, after_size, &found);
    at += found;
    end = sim_objects_find(&sim->objects, q->prefix, q->prefix_size, &found);
    *first = at > end ? at : end;
    for (end = *first; end < sim->objects.count; end++) {
        const sim_object *o = sim->objects.list[end];
        if (o->name_size < q->prefix_size || memcmp(o->name, q->prefix, q->prefix_size) != 0 || end - *first > max)
            break;
    }
    *more = end - *first > max && max > 0;
    return end - *first > max ? max : (unsigned)(end - *first);
}

static void sl_page_write(FILE *out, const sim_call *call, const sl_query *q)
{
    s3sim *sim = call->sim;
    bool more, plus = call->settings.plus;
    unsigned max = q->max < call->settings.page ? q->max : call->settings.page, count;
    size_t first;

    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
          "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
          out);
    fprintf(out, "<Name>%s</Name>", call->settings.bucket);
    sl_text(out, "Prefix", q, plus, q->prefix, q->prefix_size);
    if (q->start_given)
        sl_text(out, "StartAfter", q, plus, q->start, q->start_size);
    if (q->token_given)
        fprintf(out, "<ContinuationToken>%s</ContinuationToken>", q->token);
    if (q->url)
        fputs("<EncodingType>url</EncodingType>", out);
    pthread_mutex_lock(&sim->mutex);
    count = sl_find_locked(sim, q, max, &first, &more);
    fprintf(out, "<KeyCount>%u</KeyCount><MaxKeys>%u</MaxKeys><IsTruncated>%s</IsTruncated>", count, max,
            more ? "true" : "false");
    if (more) {
        const sim_object *last = sim->objects.list[first + count - 1];
        fputs("<NextContinuationToken>" SL_TOKEN, out);
        for (size_t i = 0; i < last->name_size; i++)
            fprintf(out, "%02x", (unsigned char)last->name[i]);
        fputs("</NextContinuationToken>", out);
    }
    for (size_t i = first; i < first + count; i++)
        sl_entry(out, q, plus, sim->objects.list[i]);
    pthread_mutex_unlock(&sim->mutex);
    fputs("</ListBucketResult>", out);
}

void sim_list(sim_call *call)
{
    sl_query *q = hs_need(malloc(sizeof *q));
    char *text = NULL;
    size_t size = 0;
    FILE *out;

    if (!sl_parse(call->request->query, q)) {
        sim_error(call, 400, "InvalidArgument", "Invalid Argument", "");
        free(q);
        return;
    }
    if (call->settings.not_encoded)
        q->url = false;
    out = hs_need(open_memstream(&text, &size));
    sl_page_write(out, call, q);
    if (fclose(out) != 0)
        hs_die("no memory");
    free(q);
    call->answer->status = 200;
    sim_common(call);
    sim_body(call, text, size);
}
