/* http.c - an answer's head.
 *
 * Strict about framing: where an answer ends decides what the next one on the connection seems to say, so what two
 * readers could take differently is refused. Lenient about the rest: what a field says that nobody needs is nobody's
 * business. When more has come the head is read again from its start, which its bound allows; nothing is kept between.
 * So more bytes never change what was answered before, but for -EAGAIN. */
#include "s3store/net.h"

#include <errno.h>
#include <string.h>

#define HTTP_DAY_MS INT64_C(86400000)

typedef struct http_text { /* a piece of the head */
    const char *data;
    size_t size;
} http_text;

/* What the fields say of framing, until all are read. */
typedef struct http_fields {
    bool old; /* HTTP/1.0 */
    bool close, keep_alive;
    bool coded; /* Transfer-Encoding is there */
    http_text retry_after;
} http_fields;

/* ---- Pieces of text ---- */

static bool http_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool http_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool http_is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || http_is_digit(c) ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static http_text http_trim(http_text t)
{
    while (t.size > 0 && http_is_blank(t.data[0])) {
        t.data++;
        t.size--;
    }
    while (t.size > 0 && http_is_blank(t.data[t.size - 1]))
        t.size--;
    return t;
}

/* Whatever the case, as names and tokens compare; word is in lower case. Not strcasecmp: it goes by the locale. */
static bool http_is(http_text t, const char *word)
{
    if (t.size != strlen(word))
        return false;
    for (size_t i = 0; i < t.size; i++)
        if ((t.data[i] >= 'A' && t.data[i] <= 'Z' ? t.data[i] - 'A' + 'a' : t.data[i]) != word[i])
            return false;
    return true;
}

/* Takes the next element off a list with commas, trimmed; false at its end. */
static bool http_next(http_text *list, http_text *element)
{
    const char *comma;

    if (list->data == NULL)
        return false;
    comma = memchr(list->data, ',', list->size);
    *element = (http_text){list->data, comma != NULL ? (size_t)(comma - list->data) : list->size};
    list->size -= element->size + (comma != NULL);
    list->data = comma != NULL ? comma + 1 : NULL;
    *element = http_trim(*element);
    return true;
}

/* Digits and nothing else. 1: a number; 0: none; -1: digits, but too many. */
static int http_number(http_text t, uint64_t *out)
{
    uint64_t n = 0;

    for (size_t i = 0; i < t.size; i++)
        if (!http_is_digit(t.data[i]))
            return 0;
    for (size_t i = 0; i < t.size; i++) {
        unsigned digit = (unsigned)(t.data[i] - '0');

        if (n > (UINT64_MAX - digit) / 10)
            return -1;
        n = n * 10 + digit;
    }
    *out = n;
    return t.size > 0;
}

/* Copies text for people, cut where it does not fit. */
static void http_copy(http_text t, char *out, size_t room)
{
    size_t size = t.size < room ? t.size : room - 1;

    for (size_t i = 0; i < size; i++)
        out[i] = (char)(t.data[i] < ' ' || t.data[i] > '~' ? '?' : t.data[i]);
    out[size] = '\0';
}

bool s3_http_region(const char *text, size_t size, char out[64])
{
    out[0] = '\0';
    if (size == 0 || size > 63)
        return false;
    for (size_t i = 0; i < size; i++)
        if (!http_is_digit(text[i]) && (text[i] < 'a' || text[i] > 'z') && (text[i] < 'A' || text[i] > 'Z') &&
            text[i] != '-' && text[i] != '_' && text[i] != '.')
            return false;
    memcpy(out, text, size);
    out[size] = '\0';
    return true;
}

/* ---- Fields ---- */

static int http_length(http_text value, s3_head *out)
{
    http_text element;
    uint64_t length;

    while (http_next(&value, &element)) {
        if (http_number(element, &length) != 1 || (out->has_length && out->length != length))
            return -EBADMSG;
        out->has_length = true;
        out->length = length;
    }
    return 0;
}

static int http_field(http_text name, http_text value, http_fields *fields, s3_head *out)
{
    http_text element;

    if (http_is(name, "content-length"))
        return http_length(value, out);
    if (http_is(name, "transfer-encoding")) {
        if (fields->coded || !http_is(value, "chunked"))
            return -EBADMSG;
        fields->coded = true;
    } else if (http_is(name, "connection")) {
        while (http_next(&value, &element)) {
            fields->close |= http_is(element, "close");
            fields->keep_alive |= http_is(element, "keep-alive");
        }
    } else if (http_is(name, "date")) {
        out->date_s = s3_http_date(value.data, value.size);
    } else if (http_is(name, "retry-after")) {
        fields->retry_after = value;
    } else if (http_is(name, "x-amz-bucket-region")) {
        (void)s3_http_region(value.data, value.size, out->region);
    } else if (http_is(name, "location")) {
        http_copy(value, out->location, sizeof out->location);
    } else if (http_is(name, "x-amz-request-id") || http_is(name, "etag")) {
        out->named = true;
    }
    return 0;
}

static int http_field_line(http_text line, http_fields *fields, s3_head *out)
{
    const char *colon = memchr(line.data, ':', line.size);
    http_text name, value;

    if (colon == NULL || colon == line.data)
        return -EBADMSG;
    /* A blank before the colon, or at the start, which would continue the line before: either may hide a length. */
    name = (http_text){line.data, (size_t)(colon - line.data)};
    for (size_t i = 0; i < name.size; i++)
        if (!http_is_token_char(name.data[i]))
            return -EBADMSG;
    value = (http_text){colon + 1, line.size - name.size - 1};
    return http_field(name, http_trim(value), fields, out);
}

static int http_status_line(http_text line, http_fields *fields, s3_head *out)
{
    size_t at = sizeof "HTTP/1." - 1;

    if (line.size < at + 1 || !http_is_digit(line.data[at])) /* what stands before was looked at already */
        return -EBADMSG;
    fields->old = line.data[at++] == '0';
    if (at == line.size || !http_is_blank(line.data[at]))
        return -EBADMSG;
    while (at < line.size && http_is_blank(line.data[at]))
        at++;
    if (line.size - at < 3 || (line.size - at > 3 && !http_is_blank(line.data[at + 3])))
        return -EBADMSG;
    for (size_t end = at + 3; at < end; at++) {
        if (!http_is_digit(line.data[at]))
            return -EBADMSG;
        out->status = out->status * 10 + (unsigned)(line.data[at] - '0');
    }
    /* Nobody asked for another protocol. */
    return out->status < 100 || out->status > 599 || out->status == 101 ? -EBADMSG : 0;
}

static int64_t http_retry_after(http_text value, int64_t date_s)
{
    uint64_t seconds = 0;
    int64_t until_s;
    int number = http_number(value, &seconds);

    if (number != 0)
        return number < 0 || seconds > HTTP_DAY_MS / 1000 ? HTTP_DAY_MS : (int64_t)seconds * 1000;
    until_s = value.size > 0 ? s3_http_date(value.data, value.size) : -1;
    if (until_s < 0 || date_s < 0 || until_s <= date_s)
        return 0;
    return until_s - date_s > HTTP_DAY_MS / 1000 ? HTTP_DAY_MS : (until_s - date_s) * 1000;
}

/* All fields are read: where does the answer end? */
static int http_frame(const http_fields *fields, bool to_head, s3_head *out)
{
    if (fields->coded && (out->has_length || fields->old))
        return -EBADMSG;
    if (out->status < 200 && (fields->coded || out->length > 0))
        return -EBADMSG;
    out->bodiless = to_head || out->status < 200 || out->status == 204 || out->status == 304;
    out->chunked = fields->coded && !out->bodiless;
    out->keep = !fields->close && (!fields->old || fields->keep_alive);
    if (!out->bodiless && !out->chunked && !out->has_length)
        out->keep = false; /* its end is the connection's */
    if (out->status == 204 && (fields->coded || out->length > 0))
        out->keep = false; /* it announces what it must not have: there is no telling whether that follows */
    out->retry_after_ms = http_retry_after(fields->retry_after, out->date_s);
    return 0;
}

/* ---- The head ---- */

/* Takes the next line off what is there. 0: without its end; -EAGAIN: it has none yet; -EBADMSG. */
static int http_line(const char *bytes, size_t size, size_t *at, http_text *line)
{
    for (size_t i = *at; i < size; i++) {
        if (bytes[i] == '\0' || (bytes[i] == '\r' && i + 1 < size && bytes[i + 1] != '\n'))
            return -EBADMSG;
        if (bytes[i] == '\n') {
            *line = (http_text){bytes + *at, i - *at};
            if (line->size > 0 && bytes[i - 1] == '\r')
                line->size--;
            *at = i + 1;
            return 0;
        }
    }
    return -EAGAIN;
}

static int http_lines(const char *bytes, size_t size, bool to_head, s3_head *out, size_t *used)
{
    http_fields fields = {0};
    http_text line;
    size_t at = 0;
    int rc;

    if ((rc = http_line(bytes, size, &at, &line)) != 0 || (rc = http_status_line(line, &fields, out)) != 0)
        return rc;
    while ((rc = http_line(bytes, size, &at, &line)) == 0 && line.size > 0)
        if ((rc = http_field_line(line, &fields, out)) != 0)
            return rc;
    if (rc == 0)
        rc = http_frame(&fields, to_head, out);
    if (rc == 0)
        *used = at;
    return rc;
}

int s3_http_head(const char *bytes, size_t size, bool to_head, s3_head *out, size_t *used)
{
    static const char start[] = "HTTP/1.";
    const size_t room = size < S3_HEAD_MAX ? size : S3_HEAD_MAX;
    int rc = -EBADMSG;

    *out = (s3_head){.date_s = -1};
    *used = 0;
    /* At once: who speaks another protocol may wait for us now, and send no line's end. */
    if (room == 0 || memcmp(bytes, start, room < sizeof start - 1 ? room : sizeof start - 1) == 0)
        rc = http_lines(bytes, room, to_head, out, used);
    if (rc == -EAGAIN && size >= S3_HEAD_MAX)
        rc = -EMSGSIZE;
    if (rc != 0)
        *out = (s3_head){.date_s = -1};
    return rc;
}
