/* read.c - get, size, list and len; and what can be saved of a damaged blob.
 *
 * Newest payloads come from the cache, others from their segment, which is pinned meanwhile: it is neither retired nor
 * used again before the read is done. A log that was opened read only cannot pin anything for the one who writes to it:
 * there a record that is not what was asked for any more is a blob that has gone. */
#include "logstore/logstore.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "blob/status.h"
#include "blob/store.h"

#define READ_PAGE 64 /* keys that a listing takes at a time */

/* The entry of a blob that is there for all to see. */
static log_entry *read_find_locked(logstore *l, blob_key key)
{
    log_entry *e = wb_log_find_locked(l, key);

    return e != NULL && (e->flags & LOG_PENDING) == 0 ? e : NULL;
}

/* Is the record still where the index says? A file that is used again gets its new header before anything else in it
 * changes; so the old header vouches for the rest, and where it is gone the record's own does not count any more. */
static bool read_is_there(logstore *l, const log_segment *s, uint64_t offset, blob_key key)
{
    unsigned char bytes[LOG_RECORD_HEADER + BLOB_KEY_MAX], block[LOG_BLOCK];
    size_t size = LOG_RECORD_HEADER + key.size;
    log_header h;
    log_record r;

    if (wb_log_read(l, s, block, sizeof block, 0) == 0 && wb_log_header_decode(block, &h))
        return h.segment == s->number; /* if so, whatever is wrong with the record is damage */
    return wb_log_read(l, s, bytes, size, offset) == 0 &&
           wb_log_record_decode(bytes, size, (log_where){l->log_id, s->number}, offset, &r, NULL) &&
           r.key_size == key.size && (key.size == 0 || memcmp(r.key, key.data, key.size) == 0);
}

static void read_found_locked(logstore *l, log_segment *s, uint64_t offset, blob_key key, const log_image *image)
{
    log_finding what = {.offset = offset,
                        .size = wb_log_record_bytes(key.size, image->size),
                        .what = image->error != 0 ? "the disk does not give the blob's bytes"
                                                  : "the blob's bytes fail their checksum"};

    wb_log_found_locked(l, s, &what, key, 1);
}

void wb_log_loaded_locked(logstore *l, log_segment *s, uint64_t offset, blob_key key, uint32_t time_s, log_image *image)
{
    image->time_ms = (int64_t)time_s * 1000;
    if (image->damaged)
        read_found_locked(l, s, offset, key, image);
}

static int read_damaged_locked(logstore *l, log_segment *s, uint64_t offset, blob_key key, const log_image *image)
{
    char hex[2 * BLOB_KEY_MAX + 1];

    read_found_locked(l, s, offset, key, image);
    if (image->error != 0 && image->error != -ENODATA)
        return wb_log_fail_name(l, image->error, "read", s->number); /* it may be better another time */
    blob_key_hex(key, hex);
    return blob_fail(BLOB_CORRUPT, 0, "%.40s in %.100s/%016" PRIx64 ".log at %" PRIu64 " fails its checksum", hex,
                     l->dir, s->number, offset);
}

/* The blob from the disk. A damaged one, if `salvage`, is given all the same. */
static int read_disk_locked(logstore *l, blob_key key, const log_entry *e, bool salvage, blob **out)
{
    uint64_t offset = wb_log_entry_offset(e), size = e->size;
    log_segment *s = e->segment;
    uint32_t crc = e->crc;
    log_image *image = NULL;
    bool there = true;
    int rc = wb_log_pin_locked(l, s);

    if (rc != 0)
        return rc;
    pthread_mutex_unlock(&l->lock);
    rc = wb_log_image_load(l, s, offset, key, size, crc, &image);
    if (rc == 0 && image->damaged && l->opened_read_only)
        there = read_is_there(l, s, offset, key);
    pthread_mutex_lock(&l->lock);
    if (rc == 0 && !there)
        rc = BLOB_NOT_FOUND;
    else if (rc == 0 && image->damaged && !salvage)
        rc = read_damaged_locked(l, s, offset, key, image);
    wb_log_unpin_locked(l, s);
    if (rc == 0)
        *out = wb_log_image_blob(image);
    else
        wb_log_image_drop(image);
    return rc;
}

typedef enum read_how { READ_GET, READ_VERIFY, READ_SALVAGE } read_how;

static int read_blob(logstore *l, blob_key key, read_how how, blob **out)
{
    const log_entry *e;
    int rc = 0;

    pthread_mutex_lock(&l->lock);
    e = read_find_locked(l, key);
    if (e == NULL)
        rc = BLOB_NOT_FOUND;
    else if (e->image != NULL && !e->image->damaged && how == READ_GET)
        *out = blob_ref(wb_log_image_blob(e->image));
    else
        rc = read_disk_locked(l, key, e, how == READ_SALVAGE, out);
    pthread_mutex_unlock(&l->lock);
    return rc;
}

int wb_log_get(blob_store *s, blob_ctx *ctx, blob_key key, blob **out)
{
    (void)ctx;
    return read_blob(wb_log_of(s), key, READ_GET, out);
}

int wb_log_verify(logstore *l, blob_key key)
{
    blob *b = NULL;
    int rc = read_blob(l, key, READ_VERIFY, &b);

    blob_unref(b);
    return rc;
}

int blob_logstore_salvage(blob_store *s, blob_ctx *ctx, blob_key key, blob **out)
{
    uint64_t mark = wb_status_mark();
    int rc;

    if (out != NULL)
        *out = NULL;
    if (!wb_log_is(s) || out == NULL || key.size > BLOB_KEY_MAX || (key.data == NULL && key.size > 0))
        return blob_fail(-EINVAL, 0, "blob_logstore_salvage needs a log, a key and an out");
    if ((rc = blob_ctx_status(ctx)) == 0)
        rc = read_blob(wb_log_of(s), key, READ_SALVAGE, out);
    return wb_status_settle(mark, rc);
}

int wb_log_size(blob_store *s, blob_ctx *ctx, blob_key key, uint64_t *out)
{
    logstore *l = wb_log_of(s);
    const log_entry *e;

    (void)ctx;
    pthread_mutex_lock(&l->lock);
    if ((e = read_find_locked(l, key)) != NULL)
        *out = e->size;
    pthread_mutex_unlock(&l->lock);
    return e != NULL ? 0 : BLOB_NOT_FOUND;
}

int wb_log_len(blob_store *s, blob_ctx *ctx, uint64_t *out)
{
    logstore *l = wb_log_of(s);

    (void)ctx;
    pthread_mutex_lock(&l->lock);
    *out = l->blobs;
    pthread_mutex_unlock(&l->lock);
    return 0;
}

/* ---- list ---- */

typedef struct read_listed {
    uint64_t size;
    uint8_t key_size;
    unsigned char key[BLOB_KEY_MAX];
} read_listed;

/* Copies up to READ_PAGE blobs of a lane from key on, key itself only if `inclusive`. *more: there may be others. */
static size_t read_page(logstore *l, const wb_index *lane, blob_key key, bool inclusive, read_listed *page, bool *more)
{
    size_t count = 0;
    wb_place place;
    void **at = NULL;

    pthread_mutex_lock(&l->lock);
    if (wb_index_find(lane, key, &place) && !inclusive)
        place = wb_index_next(lane, place);
    for (; count < READ_PAGE && (at = wb_index_at(lane, place)) != NULL; place = wb_index_next(lane, place)) {
        const log_entry *e = *at;

        if ((e->flags & LOG_PENDING) != 0)
            continue;
        page[count].size = e->size;
        page[count].key_size = e->key_size;
        memcpy(page[count++].key, e->key, e->key_size);
    }
    *more = at != NULL;
    pthread_mutex_unlock(&l->lock);
    return count;
}

static int read_lane(logstore *l, const wb_index *lane, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg,
                     bool *stopped)
{
    read_listed page[READ_PAGE], last;
    bool inclusive = true, more;
    size_t count;
    int rc;

    do {
        count = read_page(l, lane, start, inclusive, page, &more);
        for (size_t i = 0; i < count; i++) {
            if ((rc = blob_ctx_status(ctx)) != 0)
                return rc;
            if ((rc = fn(arg, blob_key_of(page[i].key, page[i].key_size), page[i].size)) != 0) {
                *stopped = true;
                return wb_list_end(rc);
            }
        }
        if (count > 0) {
            last = page[count - 1];
            start = blob_key_of(last.key, last.key_size);
            inclusive = false;
        }
    } while (more && count > 0);
    return 0;
}

int wb_log_list(blob_store *s, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg)
{
    logstore *l = wb_log_of(s);
    bool stopped = false;
    int rc = 0;

    for (wb_index *lane = wb_log_lane(l, start); lane < l->lanes + LOG_LANES && rc == 0 && !stopped; lane++)
        rc = read_lane(l, lane, ctx, start, fn, arg, &stopped);
    return rc;
}
