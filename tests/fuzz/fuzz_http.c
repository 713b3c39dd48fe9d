/* fuzz_http.c - whatever a server sends as an answer's head and chunks: it is taken apart within its bounds, what comes
 * out is what the header promises, and it makes no difference in which two pieces it came. An input is an answer as it
 * stands; its bytes are read as chunks, too. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "s3store/net.h"

#define ALL_CUTS_MAX 64 /* longer inputs are cut at some places only */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static int read_head(const char *bytes, size_t size, bool to_head, s3_head *out, size_t *used)
{
    char *exact = malloc(size > 0 ? size : 1); /* so that a byte too many is seen */
    int rc;

    check(exact != NULL);
    if (size > 0)
        memcpy(exact, bytes, size);
    memset(out, 0xa5, sizeof *out);
    rc = s3_http_head(exact, size, to_head, out, used);
    free(exact);
    return rc;
}

static void check_head(const s3_head *h, size_t size, size_t used, bool to_head)
{
    char region[64];

    check(used > 0 && used <= size && used <= S3_HEAD_MAX);
    check(h->status >= 100 && h->status <= 599 && h->status != 101);
    check(!h->chunked || (!h->has_length && !h->bodiless));
    check(h->has_length || h->length == 0);
    check(h->bodiless == (to_head || h->status < 200 || h->status == 204 || h->status == 304));
    check(!h->keep || h->bodiless || h->chunked || h->has_length);
    check(h->retry_after_ms >= 0 && h->retry_after_ms <= 86400000 && h->date_s >= -1);
    check(memchr(h->region, '\0', sizeof h->region) != NULL && memchr(h->location, '\0', sizeof h->location) != NULL);
    check(h->region[0] == '\0' || s3_http_region(h->region, strlen(h->region), region));
    for (size_t i = 0; h->location[i] != '\0'; i++)
        check(h->location[i] >= ' ' && h->location[i] <= '~');
}

static bool same_head(const s3_head *a, const s3_head *b)
{
    return a->status == b->status && a->keep == b->keep && a->bodiless == b->bodiless && a->chunked == b->chunked &&
           a->has_length == b->has_length && a->length == b->length && a->retry_after_ms == b->retry_after_ms &&
           a->date_s == b->date_s && strcmp(a->region, b->region) == 0 && strcmp(a->location, b->location) == 0;
}

typedef struct body {
    char *payload; /* room for all that came in */
    size_t size, used;
    int rc;
} body;

static void feed(s3_chunks *c, body *b, const char *bytes, size_t size)
{
    size_t at = 0, skip = 0, payload = 0;

    while (b->rc == 0 && at < size) {
        b->rc = s3_chunks_next(c, bytes + at, size - at, &skip, &payload);
        check(b->rc == 0 || b->rc == 1 || b->rc == -EBADMSG);
        check(skip <= size - at && payload <= size - at - skip && skip + payload > 0);
        check(b->rc == 0 || payload == 0);
        if (payload > 0)
            memcpy(b->payload + b->size, bytes + at + skip, payload);
        b->size += payload;
        b->used += skip + payload;
        at += skip + payload;
    }
}

static body read_body(const char *bytes, size_t size, size_t cut)
{
    s3_chunks c = {0};
    body b = {.payload = malloc(size + 1)};

    check(b.payload != NULL);
    feed(&c, &b, bytes, cut);
    feed(&c, &b, bytes + cut, size - cut);
    return b;
}

/* The places to cut at: all, or about eight, others for each size. */
static size_t next_cut(size_t cut, size_t size)
{
    return cut + 1 + (size <= ALL_CUTS_MAX ? 0 : (size * 31 + cut * 17) % (size / 4));
}

static void fuzz_body(const char *bytes, size_t size)
{
    body whole = read_body(bytes, size, 0);

    for (size_t cut = 1; cut < size; cut = next_cut(cut, size)) {
        body two = read_body(bytes, size, cut);

        check(two.rc == whole.rc && two.size == whole.size && two.used == whole.used);
        check(memcmp(two.payload, whole.payload, whole.size) == 0);
        free(two.payload);
    }
    free(whole.payload);
}

static void fuzz_head(const char *bytes, size_t size, bool to_head)
{
    s3_head whole, part;
    size_t used = 0, part_used = 0;
    int rc = read_head(bytes, size, to_head, &whole, &used), part_rc;

    check(rc == 0 || rc == -EAGAIN || rc == -EBADMSG || rc == -EMSGSIZE);
    check(rc != -EMSGSIZE || size >= S3_HEAD_MAX);
    check(rc != -EAGAIN || size < S3_HEAD_MAX);
    if (rc == 0)
        check_head(&whole, size, used, to_head);
    for (size_t cut = 0; cut < size; cut = next_cut(cut, size)) {
        part_rc = read_head(bytes, cut, to_head, &part, &part_used);
        check(part_rc == rc || part_rc == -EAGAIN);
        check(part_rc != 0 || (part_used == used && same_head(&part, &whole)));
        check(rc != 0 || (part_rc == 0) == (cut >= used));
    }
    if (rc == 0 && whole.chunked)
        fuzz_body(bytes + used, size - used);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char none[1] = "";
    const char *bytes = size > 0 ? (const char *)data : none;

    fuzz_head(bytes, size, false);
    fuzz_head(bytes, size, true);
    fuzz_body(bytes, size);
    (void)s3_http_date(bytes, size);
    (void)s3_iso_date(bytes, size);
    return 0;
}
