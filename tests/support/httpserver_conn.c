/* httpserver_conn.c - what happens on one connection of httpserver: requests come in (httpserver_read.c), and answers go
 * out, as a script or a handler says. An answer is one call of the system where it can be: benchmarks measure the client,
 * not this. */
#include "httpserver_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* ---- sending ------------------------------------------------------------------------------------------------- */

/* count: msg_iovlen is a size_t in one libc and an int in another. */
static bool hc_send(const hs_conn *c, struct iovec *parts, uint8_t count)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t sent;

    while (message.msg_iovlen > 0) {
        if (message.msg_iov->iov_len == 0) {
            message.msg_iov++;
            message.msg_iovlen--;
            continue;
        }
        sent = sendmsg(c->fd, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            return false;
        while (sent > 0) {
            size_t step = message.msg_iov->iov_len < (size_t)sent ? message.msg_iov->iov_len : (size_t)sent;
            message.msg_iov->iov_base = (char *)message.msg_iov->iov_base + step;
            message.msg_iov->iov_len -= step;
            sent -= (ssize_t)step;
            if (message.msg_iov->iov_len == 0) {
                message.msg_iov++;
                message.msg_iovlen--;
            }
        }
    }
    return true;
}

/* A part of a message. It is only read, whatever its type says. */
static struct iovec hc_part(const void *bytes, size_t size)
{
    struct iovec part = {.iov_len = size};

    memcpy(&part.iov_base, &bytes, sizeof bytes);
    return part;
}

static bool hc_send_pieces(const hs_conn *c, const char *bytes, size_t size, size_t piece)
{
    for (size_t step; size > 0; bytes += step, size -= step) {
        struct iovec part;
        step = piece > 0 && piece < size ? piece : size;
        part = hc_part(bytes, step);
        if (!hc_send(c, &part, 1))
            return false;
    }
    return true;
}

static const char *hc_reason(unsigned status)
{
    static const struct {
        unsigned status;
        const char *words;
    } reasons[] = {{200, "OK"},
                   {204, "No Content"},
                   {301, "Moved Permanently"},
                   {307, "Temporary Redirect"},
                   {400, "Bad Request"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {409, "Conflict"},
                   {411, "Length Required"},
                   {412, "Precondition Failed"},
                   {429, "Too Many Requests"},
                   {500, "Internal Server Error"},
                   {501, "Not Implemented"},
                   {503, "Slow Down"}};

    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].words;
    return ""; /* which HTTP allows */
}

/* The body in chunks, the last one of no bytes behind them. */
static bool hc_send_chunks(const hs_conn *c, const http_answer *a, size_t size)
{
    const char *body = a->body;
    char length[24];

    for (size_t step, at = 0; at < size; at += step) {
        struct iovec parts[3];
        step = size - at < a->chunk ? size - at : a->chunk;
        parts[0] = hc_part(length, (size_t)snprintf(length, sizeof length, "%zx\r\n", step));
        parts[1] = hc_part(body + at, step);
        parts[2] = hc_part("\r\n", 2);
        if (!hc_send(c, parts, 3))
            return false;
    }
    return a->cut || hc_send_pieces(c, "0\r\n\r\n", 5, 0);
}

static bool hc_answer(hs_conn *c, const http_answer *a)
{
    size_t size = a->cut && a->cut_at < a->body_size ? a->cut_at : a->body_size, head_size;
    bool to_head = strcmp(c->request.method, "HEAD") == 0, empty = a->status == 204 || a->status == 304;
    bool chunked = a->chunk > 0 && !to_head && !empty;
    char head[2048], length[64] = "";
    struct iovec parts[2];

    if (a->delay_us > 0 && !http_server_wait_us(c->server, a->delay_us))
        return false;
    if (a->raw != NULL)
        return hc_send_pieces(c, a->raw, a->raw_size, 0);
    if (a->status == 0)
        return true;
    if (chunked)
        snprintf(length, sizeof length, "Transfer-Encoding: chunked\r\n");
    else if (!empty)
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", a->body_size);
    head_size =
        (size_t)snprintf(head, sizeof head, "HTTP/1.1 %u %s\r\n%s%s%s\r\n", a->status, hc_reason(a->status), a->fields,
                         length, a->after == HTTP_AFTER_KEEP || a->silent ? "" : "Connection: close\r\n");
    parts[0] = hc_part(head, head_size);
    parts[1] = hc_part(a->body, to_head || empty || chunked ? 0 : size);
    return hc_send(c, parts, 2) && (!chunked || hc_send_chunks(c, a, size));
}

/* ---- what a connection does ---------------------------------------------------------------------------------- */

/* Says that it has ended, and reads on until the client has, too. */
static void hc_finish(hs_conn *c)
{
    shutdown(c->fd, SHUT_WR);
    c->at = c->have = 0;
    while (hs_more(c, 2 * HTTP_HEAD_MAX))
        c->at = c->have;
}

static void hc_part_with(hs_conn *c, http_after after)
{
    if (after == HTTP_AFTER_FINISH)
        hc_finish(c);
    if (after == HTTP_AFTER_RESET)
        hs_set_reset(c->fd);
    if (after == HTTP_AFTER_STALL)
        hs_await_end(c);
}

static void hc_handle(hs_conn *c)
{
    http_server *s = c->server;
    http_answer answer;
    hs_read read;
    bool early, sent;

    do {
        if ((read = hs_read_head(c)) != HS_READ) {
            hs_unread(s, read);
            return;
        }
        memset(&answer, 0, sizeof answer);
        early = s->handler.early != NULL && s->handler.early(s->handler.arg, &c->request, &answer);
        if (early && c->request.length > 0 && answer.after == HTTP_AFTER_KEEP)
            answer.after = HTTP_AFTER_FINISH;
        if (early && answer.after == HTTP_AFTER_KEEP)
            c->at += c->request.head_size;
        if (!early && !hs_read_body(c)) {
            hs_unread(s, HS_CUT);
            if (answer.release != NULL)
                answer.release(answer.release_arg);
            return;
        }
        atomic_fetch_add(&s->requests, 1);
        if (!early)
            s->handler.handle(s->handler.arg, &c->request, &answer);
        sent = hc_answer(c, &answer);
        if (answer.release != NULL)
            answer.release(answer.release_arg);
    } while (sent && answer.after == HTTP_AFTER_KEEP);
    hc_part_with(c, answer.after);
}

/* The same place in another copy of a head. */
static const char *hc_moved(const char *at, const char *from, const char *to)
{
    return to + (at - from);
}

/* Keeps a copy of the request for the test. */
static void hc_keep(hs_conn *c)
{
    http_server *s = c->server;
    hs_kept *k = hs_need(malloc(sizeof *k));
    http_request *r = &k->request;

    memcpy(k->split, c->split, sizeof k->split);
    k->next = NULL;
    *r = c->request;
    k->bytes = hs_need(malloc(r->head_size + r->body_size));
    memcpy(k->bytes, r->head, r->head_size);
    if (r->body_size > 0)
        memcpy(k->bytes + r->head_size, r->body, r->body_size);
    r->head = k->bytes;
    r->body = r->body != NULL ? k->bytes + r->head_size : NULL;
    r->method = hc_moved(r->method, c->split, k->split);
    r->path = hc_moved(r->path, c->split, k->split);
    r->query = hc_moved(r->query, c->split, k->split);
    for (unsigned i = 0; i < r->fields_count; i++) {
        r->fields[i].name = hc_moved(r->fields[i].name, c->split, k->split);
        r->fields[i].value = hc_moved(r->fields[i].value, c->split, k->split);
    }
    atomic_fetch_add(&s->requests, 1);
    pthread_mutex_lock(&s->mutex);
    *s->kept_end = k;
    s->kept_end = &k->next;
    s->kept_count++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

static bool hc_read_step(hs_conn *c, bool whole)
{
    hs_read read = hs_read_head(c);

    if (read == HS_READ && whole && !hs_read_body(c))
        read = HS_CUT;
    if (read != HS_READ) {
        hs_unread(c->server, read);
        return false;
    }
    if (!whole)
        c->at += c->request.head_size;
    hc_keep(c);
    return true;
}

static bool hc_read_bytes(hs_conn *c, size_t count)
{
    while (c->have - c->at < count)
        if (!hs_more(c, count))
            return false;
    c->at += count;
    return true;
}

static bool hc_step(hs_conn *c, const http_step *step)
{
    switch (step->kind) {
    case HTTP_STEP_READ:
    case HTTP_STEP_READ_HEAD:
        return hc_read_step(c, step->kind == HTTP_STEP_READ);
    case HTTP_STEP_READ_BYTES:
        return hc_read_bytes(c, step->number);
    case HTTP_STEP_SEND:
        return hc_send_pieces(c, step->bytes, step->size, step->number);
    case HTTP_STEP_GATE:
        return http_server_pass(c->server, (unsigned)step->number);
    case HTTP_STEP_STALL:
        hs_await_stop(c->server);
        return false;
    case HTTP_STEP_FINISH:
        hc_finish(c);
        return false;
    case HTTP_STEP_RESET:
        hs_set_reset(c->fd);
        return false;
    case HTTP_STEP_CLOSE:
    case HTTP_STEP_END:
    default:
        return false;
    }
}

void hs_serve(hs_conn *c)
{
    const http_server *s = c->server;
    const http_step *step;

    if (s->script == NULL) {
        hc_handle(c);
    } else if (c->number >= s->script_count) {
        hs_set_reset(c->fd);
    } else {
        for (step = s->script[c->number]; hc_step(c, step); step++)
            continue;
    }
}
