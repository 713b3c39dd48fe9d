/* httpserver_read.c - requests of httpserver, read and taken apart. Nothing is forgiven: it is the client that is tested. */
#include "httpserver_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

bool hs_more(hs_conn *c, size_t total)
{
    ssize_t got;

    if (c->at == c->have)
        c->at = c->have = 0;
    if (c->at > 0 && c->at + total > c->room) {
        memmove(c->buffer, c->buffer + c->at, c->have - c->at);
        c->have -= c->at;
        c->at = 0;
    }
    if (total > c->room) {
        c->buffer = hs_need(realloc(c->buffer, total));
        c->room = total;
    }
    do
        got = recv(c->fd, c->buffer + c->have, c->room - c->have, 0);
    while (got < 0 && errno == EINTR);
    if (got > 0)
        c->have += (size_t)got;
    return got > 0;
}

static bool hr_is_token(const char *text)
{
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++)
        if (*text <= ' ' || *text >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", *text) != NULL)
            return false;
    return true;
}

/* One line of a head, without its end, cut into r. */
static bool hr_field(http_request *r, char *line)
{
    char *colon = strchr(line, ':'), *end;
    http_field *f = &r->fields[r->fields_count];

    if (colon == NULL || r->fields_count == HTTP_FIELDS_MAX)
        return false;
    *colon = '\0';
    if (!hr_is_token(line))
        return false;
    f->name = line;
    f->value = colon + 1 + strspn(colon + 1, " \t");
    for (end = strchr(f->value, '\0'); end > f->value && (end[-1] == ' ' || end[-1] == '\t'); end--)
        continue;
    *end = '\0';
    r->fields_count++;
    return true;
}

/* METHOD TARGET HTTP/1.1 */
static bool hr_first_line(http_request *r, char *line)
{
    char *target = strchr(line, ' '), *version, *query;

    if (target == NULL)
        return false;
    *target++ = '\0';
    version = strchr(target, ' ');
    if (version == NULL || strcmp(version, " HTTP/1.1") != 0 || *target != '/')
        return false;
    *version = '\0';
    query = strchr(target, '?');
    r->method = line;
    r->path = target;
    r->query = query != NULL ? query + 1 : version;
    if (query != NULL)
        *query = '\0';
    return hr_is_token(line);
}

/* What the fields say about the body. */
static bool hr_framing(http_request *r)
{
    unsigned hosts = 0;

    for (unsigned i = 0; i < r->fields_count; i++) {
        const http_field *f = &r->fields[i];
        if (strcasecmp(f->name, "content-length") == 0) {
            if (r->has_length || *f->value == '\0' || f->value[strspn(f->value, "0123456789")] != '\0' ||
                strlen(f->value) > 18)
                return false;
            r->has_length = true;
            r->length = strtoull(f->value, NULL, 10);
        }
        if (strcasecmp(f->name, "transfer-encoding") == 0)
            return false;
        r->expects |= strcasecmp(f->name, "expect") == 0;
        hosts += strcasecmp(f->name, "host") == 0;
    }
    return hosts == 1;
}

/* Cuts the head that lies at c->at into strings. */
static bool hr_parse(hs_conn *c, size_t size)
{
    http_request *r = &c->request;
    char *line = c->split, *end;

    memset(r, 0, offsetof(http_request, fields));
    r->connection = c->number;
    r->number = c->requests;
    memcpy(c->split, c->buffer + c->at, size);
    for (size_t i = 0; i < size; i++)
        if (c->split[i] == '\0' || (c->split[i] == '\n' && (i == 0 || c->split[i - 1] != '\r')))
            return false;
    c->split[size - 2] = '\0';
    for (bool first = true; *line != '\0'; line = end + 2, first = false) {
        end = strstr(line, "\r\n");
        if (end == NULL)
            return false;
        *end = '\0';
        if (strchr(line, '\r') != NULL || !(first ? hr_first_line(r, line) : hr_field(r, line)))
            return false;
    }
    return r->method != NULL && hr_framing(r);
}

hs_read hs_read_head(hs_conn *c)
{
    const char *end;
    size_t size;

    for (;;) {
        size = c->have - c->at;
        end = size < 4 ? NULL : memmem(c->buffer + c->at, size, "\r\n\r\n", 4);
        if (end != NULL || size >= HTTP_HEAD_MAX)
            break;
        if (size == 0)
            hs_idle(c);
        if (!hs_more(c, 2 * HTTP_HEAD_MAX))
            return size == 0 ? HS_ENDED : HS_CUT;
        atomic_store(&c->idle, false);
    }
    if (end != NULL)
        size = (size_t)(end + 4 - (c->buffer + c->at));
    if (end == NULL || size > HTTP_HEAD_MAX || !hr_parse(c, size))
        return HS_MALFORMED;
    c->request.head = c->buffer + c->at;
    c->request.head_size = size;
    c->requests++;
    return HS_READ;
}

bool hs_read_body(hs_conn *c)
{
    http_request *r = &c->request;
    size_t total = r->head_size + (size_t)r->length;

    while (c->have - c->at < total)
        if (!hs_more(c, total))
            return false;
    r->head = c->buffer + c->at;
    r->body = r->head + r->head_size;
    r->body_size = (size_t)r->length;
    c->at += total;
    return true;
}

const char *http_request_field(const http_request *request, const char *name)
{
    for (unsigned i = 0; i < request->fields_count; i++)
        if (strcasecmp(request->fields[i].name, name) == 0)
            return request->fields[i].value;
    return NULL;
}
