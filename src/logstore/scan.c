/* scan.c - the records of a segment: from its footer, or from its bytes.
 *
 * A footer is read whole and trusted if its checksum is right; then no record is read. Without one the headers are read,
 * from record to record past the payloads. Where no record stands - at the padding between batches, at damage, behind
 * the last one - the search goes on in steps of eight bytes: a record carries enough of its own (format.h) to be told
 * from everything else. What is missing shows by its LSN, so the search need not know padding from damage. */
#include "logstore/logstore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SCAN_WINDOW ((size_t)256 << 10)
#define SCAN_NEED (LOG_RECORD_HEADER + BLOB_KEY_MAX)

/* ---- payloads ---- */

/* As much as the disk gives, a block at a time where it fails; zeroes for the rest. */
static int load_salvage(logstore *l, const log_segment *s, unsigned char *to, size_t size, uint64_t offset)
{
    int rc = 0, one;

    for (size_t done = 0, some; done < size; done += some) {
        some = (size_t)(LOG_BLOCK - (offset + done) % LOG_BLOCK);
        if (some > size - done)
            some = size - done;
        if ((one = wb_log_read(l, s, to + done, some, offset + done)) != 0) {
            memset(to + done, 0, some);
            rc = one;
        }
    }
    return rc;
}

int wb_log_image_load(logstore *l, const log_segment *s, uint64_t offset, blob_key key, uint64_t size, uint32_t crc,
                      log_image **out)
{
    unsigned char *payload;
    int rc = wb_log_image_new(out, key, size);

    if (rc != 0)
        return rc;
    payload = wb_log_image_payload(*out);
    offset += LOG_RECORD_HEADER + key.size;
    rc = wb_log_read(l, s, payload, (size_t)size, offset);
    if (rc != 0)
        rc = load_salvage(l, s, payload, (size_t)size, offset);
    (*out)->crc = crc;
    (*out)->error = rc;
    (*out)->damaged = rc != 0 || wb_log_crc(payload, (size_t)size) != crc;
    return 0;
}

/* ---- footers ---- */

void wb_log_extent_read(logstore *l, const log_segment *s, log_extent *x)
{
    unsigned char bytes[LOG_TRAILER_BYTES];
    log_trailer t;

    *x = (log_extent){.sealed = false};
    if (s->size < LOG_BLOCK + LOG_TRAILER_BYTES ||
        wb_log_read(l, s, bytes, sizeof bytes, s->size - sizeof bytes) != 0 || !wb_log_trailer_decode(bytes, &t) ||
        t.segment != s->number)
        return;
    *x = (log_extent){.log_id = t.log_id,
                      .first_lsn = t.first_lsn,
                      .count = t.records,
                      .durable = t.durable,
                      .footer_offset = t.footer_offset,
                      .footer_bytes = t.footer_bytes,
                      .footer_crc = t.footer_crc,
                      .sealed = true,
                      .continued = t.continued};
}

static bool footer_entry_possible(const log_segment *s, const log_record *r)
{
    return r->type >= LOG_PUT && r->type <= LOG_NOTE && r->offset >= LOG_BLOCK && r->offset < s->size &&
           r->size <= s->size - r->offset;
}

int wb_log_scan_footer(logstore *l, const log_segment *s, const log_extent *x, log_record_fn *fn, void *arg, bool *good)
{
    unsigned char *footer;
    size_t at = 0;
    log_record r;
    int rc = 0;

    *good = false;
    if (!x->sealed || x->footer_bytes > s->size || x->footer_offset > s->size - x->footer_bytes)
        return 0;
    if ((footer = malloc((size_t)x->footer_bytes + 1)) == NULL)
        return blob_fail(-ENOMEM, 0, "no memory to read a segment of %.150s", l->dir);
    if (wb_log_read(l, s, footer, (size_t)x->footer_bytes, x->footer_offset) == 0 &&
        wb_log_crc(footer, (size_t)x->footer_bytes) == x->footer_crc)
        *good = true;
    for (uint64_t i = 0; *good && rc == 0 && i < x->count; i++) {
        if (!wb_log_footer_next(footer, (size_t)x->footer_bytes, &at, &r) || !footer_entry_possible(s, &r)) {
            rc = blob_fail(-EIO, 0, "the footer of a segment of %.150s is not what this library writes", l->dir);
            break;
        }
        r.lsn = x->first_lsn + i;
        rc = fn(arg, &r);
    }
    free(footer);
    return rc;
}

/* ---- bytes ---- */

/* A part of the file in memory. */
typedef struct scan_window {
    unsigned char *bytes;
    uint64_t from;
    size_t size;
} scan_window;

/* Bytes at offset, as many as SCAN_NEED or as the file has: *room. What cannot be read is zeroes. */
static const unsigned char *scan_at(logstore *l, const log_segment *s, scan_window *w, uint64_t offset, size_t *room,
                                    log_scan *found)
{
    uint64_t left = s->size - offset;

    if (offset < w->from || offset + (left < SCAN_NEED ? left : SCAN_NEED) > w->from + w->size) {
        w->from = offset / LOG_BLOCK * LOG_BLOCK;
        left = s->size - w->from;
        w->size = left < SCAN_WINDOW ? (size_t)left : SCAN_WINDOW;
        if (wb_log_read(l, s, w->bytes, w->size, w->from) != 0 && load_salvage(l, s, w->bytes, w->size, w->from) != 0)
            found->unreadable = true;
    }
    *room = (size_t)(w->from + w->size - offset);
    return w->bytes + (offset - w->from);
}

static bool scan_possible(const log_segment *s, const log_record *r)
{
    return r->type >= LOG_PUT && r->type <= LOG_VOUCH && r->lsn >= (r->type == LOG_VOUCH ? 1 : s->first_lsn) &&
           r->durable <= r->lsn && r->size <= s->size - r->offset - LOG_RECORD_HEADER &&
           wb_log_record_bytes(r->key_size, r->size) <= s->size - r->offset;
}

/* Moves offset to the next place where a record's magic could be. */
static uint64_t scan_skip(const unsigned char *at, size_t room, uint64_t offset)
{
    size_t step = 8;

    while (step + 8 <= room && at[step] != 'w')
        step += 8;
    return offset + step;
}

int wb_log_scan_bytes(logstore *l, const log_segment *s, log_record_fn *fn, void *arg, log_scan *found)
{
    log_where where = {l->log_id, s->number};
    scan_window w = {.bytes = malloc(SCAN_WINDOW)};
    uint64_t offset = LOG_BLOCK;
    log_record r;
    bool like;
    int rc = 0;

    *found = (log_scan){.durable = 0};
    if (w.bytes == NULL)
        return blob_fail(-ENOMEM, 0, "no memory to read a segment of %.150s", l->dir);
    while (rc == 0 && offset + LOG_RECORD_HEADER <= s->size) {
        size_t room;
        const unsigned char *at = scan_at(l, s, &w, offset, &room, found);

        if (!wb_log_record_decode(at, room, where, offset, &r, &like) || !scan_possible(s, &r)) {
            found->broken += like;
            offset = scan_skip(at, room, offset);
            continue;
        }
        if (r.durable > found->durable)
            found->durable = r.durable;
        if (r.type != LOG_VOUCH)
            rc = fn(arg, &r);
        offset += wb_log_record_bytes(r.key_size, r.size);
    }
    free(w.bytes);
    return rc;
}

int wb_log_scan_any(logstore *l, const log_segment *s, log_record_fn *fn, void *arg)
{
    log_extent x;
    log_scan found;
    bool good;
    int rc;

    wb_log_extent_read(l, s, &x);
    rc = wb_log_scan_footer(l, s, &x, fn, arg, &good);
    return good || rc != 0 ? rc : wb_log_scan_bytes(l, s, fn, arg, &found);
}
