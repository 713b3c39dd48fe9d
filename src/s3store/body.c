/* body.c - an answer's body, into a blob.
 *
 * Where its length is announced, the blob is made at once and the rest of the body is read right into it. Else memory
 * grows as the body comes: what came into the connection's buffer along with framing is copied from there, and within a
 * chunk, or where the end is the connection's, reads go into that memory. It becomes the blob without another copy.
 *
 * A body that is too large makes the call fail, if the answer is a success; else it is left where it is, and the
 * connection closed, for the status alone says enough. */
#include "s3store/attempt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BODY_ROOM_MIN 4096

/* A body that grows. */
typedef struct body_memory {
    char *data;
    size_t size, room;
    uint64_t max;
} body_memory;

static bool body_is_success(const s3_attempt *a)
{
    return a->x->answer_head.status / 100 == 2;
}

static uint64_t body_max(const s3_attempt *a)
{
    uint64_t max = body_is_success(a) ? a->x->answer_max : a->x->error_max;

    return max < PTRDIFF_MAX ? max : PTRDIFF_MAX;
}

/* More than is wanted: 1: it is passed over; or -EFBIG, with words. */
static int body_too_large(const s3_attempt *a)
{
    if (!body_is_success(a))
        return 1;
    if (a->x->answer_head.has_length)
        return s3_attempt_fail(a, -EFBIG, "answers with %llu bytes, where %llu are the most that is read",
                               (unsigned long long)a->x->answer_head.length, (unsigned long long)body_max(a));
    return s3_attempt_fail(a, -EFBIG, "answers with more than the %llu bytes that are read at most",
                           (unsigned long long)body_max(a));
}

static int body_cut(const s3_attempt *a, uint64_t had)
{
    if (a->x->answer_head.has_length)
        return s3_attempt_fail(a, BLOB_UNAVAILABLE, "hung up after %llu of %llu bytes of its answer",
                               (unsigned long long)had, (unsigned long long)a->x->answer_head.length);
    return s3_attempt_fail(a, BLOB_UNAVAILABLE, "hung up after %llu bytes of its answer, before the end of it",
                           (unsigned long long)had);
}

/* ---- By length ---- */

static int body_by_length(s3_attempt *a)
{
    uint64_t length = a->x->answer_head.length;
    size_t at, done, size = (size_t)length;
    void *writable;
    blob *body;
    char *to;
    int rc;

    if (length > body_max(a))
        return body_too_large(a);
    if ((rc = blob_new_alloc(&body, size, &writable)) != 0)
        return rc;
    a->bytes += length;
    to = writable;
    at = a->c->have < size ? a->c->have : size;
    memcpy(to, a->c->buffer + a->c->at, at);
    s3_attempt_consume(a, at);
    for (; at < size; at += done) {
        rc = s3_attempt_read(a, to + at, size - at, &done);
        if (rc == 0 && done == 0)
            rc = body_cut(a, at);
        if (rc != 0) {
            blob_unref(body);
            return rc;
        }
    }
    a->x->answer = body;
    a->ended = true;
    return 0;
}

/* ---- By chunks, or up to the end ---- */

/* Makes room for at least one more byte. -EFBIG: there may not be more. */
static int body_grow(body_memory *m)
{
    size_t room = m->room < BODY_ROOM_MIN / 2 ? BODY_ROOM_MIN : 2 * m->room;
    char *data;

    if (m->data != NULL && m->size < m->room)
        return 0;
    if (m->size >= m->max)
        return -EFBIG;
    if (room > m->max)
        room = (size_t)m->max;
    if ((data = realloc(m->data, room)) == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for an answer of %zu bytes and more", m->size);
    m->data = data;
    m->room = room;
    return 0;
}

/* Takes payload off the buffer. */
static int body_take(s3_attempt *a, body_memory *m, size_t size)
{
    size_t piece;
    int rc;

    for (a->bytes += size; size > 0; size -= piece) {
        if ((rc = body_grow(m)) != 0)
            return rc;
        piece = size < m->room - m->size ? size : m->room - m->size;
        memcpy(m->data + m->size, a->c->buffer + a->c->at, piece);
        m->size += piece;
        s3_attempt_consume(a, piece);
    }
    return 0;
}

/* Reads payload where it belongs, up to most bytes. */
static int body_read_on(s3_attempt *a, body_memory *m, uint64_t most, size_t *done)
{
    size_t room;
    int rc = body_grow(m);

    *done = 0;
    if (rc != 0)
        return rc;
    room = m->room - m->size;
    rc = s3_attempt_read(a, m->data + m->size, most < room ? (size_t)most : room, done);
    m->size += *done;
    a->bytes += *done;
    return rc;
}

static int body_bad_chunks(const s3_attempt *a)
{
    return s3_attempt_fail(a, -EIO, "the chunks of its answer make no sense");
}

/* What is in the buffer. *within: it ends amid a chunk's payload. 0: there is more to come; 2: the body has ended. */
static int body_take_chunks(s3_attempt *a, body_memory *m, s3_chunks *chunks, bool *within)
{
    size_t skip, payload;
    int rc, taken;

    while (a->c->have > 0) {
        rc = s3_chunks_next(chunks, a->c->buffer + a->c->at, a->c->have, &skip, &payload);
        if (rc < 0)
            return body_bad_chunks(a);
        s3_attempt_consume(a, skip);
        if ((taken = body_take(a, m, payload)) != 0)
            return taken;
        if (rc == 1)
            return 2;
        *within = payload > 0 && chunks->left > 0;
    }
    return 0;
}

static int body_by_chunks(s3_attempt *a, body_memory *m)
{
    s3_chunks chunks = {0};
    size_t done, skip, payload;
    bool within = false;
    int rc;

    while ((rc = body_take_chunks(a, m, &chunks, &within)) == 0) {
        /* A chunk that is too large says so itself. */
        if (within && chunks.left > m->max - m->size)
            return -EFBIG;
        rc = within ? body_read_on(a, m, chunks.left, &done) : s3_attempt_fill(a, false, &done);
        if (rc == 0 && done == 0)
            rc = body_cut(a, m->size);
        if (rc != 0)
            return rc;
        if (within) { /* it must be told what it did not see */
            if (s3_chunks_next(&chunks, m->data + m->size - done, done, &skip, &payload) != 0 || payload != done)
                return body_bad_chunks(a);
            within = chunks.left > 0;
        }
    }
    if (rc != 2)
        return rc;
    a->ended = true;
    return 0;
}

static int body_to_end(s3_attempt *a, body_memory *m)
{
    size_t done;
    int rc = body_take(a, m, a->c->have);

    while (rc == 0) {
        if (m->size < m->max) {
            rc = body_read_on(a, m, UINT64_MAX, &done);
        } else if ((rc = s3_attempt_fill(a, false, &done)) == 0 && done > 0) { /* the end, or too much? */
            rc = -EFBIG;
        }
        if (rc == 0 && done == 0)
            return 0;
    }
    return rc;
}

static void body_release(void *data, void *arg)
{
    (void)arg;
    free(data);
}

static int body_growing(s3_attempt *a)
{
    body_memory m = {.max = body_max(a)};
    int rc = a->x->answer_head.chunked ? body_by_chunks(a, &m) : body_to_end(a, &m);

    if (rc == -EFBIG)
        rc = body_too_large(a);
    if (rc == 0)
        rc = blob_new_adopt(&a->x->answer, m.data, m.size, body_release, NULL);
    if (rc != 0)
        free(m.data);
    return rc;
}

int s3_body_read(s3_attempt *a)
{
    const s3_head *head = &a->x->answer_head;
    int rc;

    a->doing = "its answer was read";
    a->ended = head->bodiless;
    if (head->bodiless)
        return 0;
    rc = head->has_length ? body_by_length(a) : body_growing(a);
    return rc > 0 ? 0 : rc; /* passed over: neither an answer nor its end */
}
