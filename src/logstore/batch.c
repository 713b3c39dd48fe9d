/* batch.c - records into the active segment, and what happens when that fails.
 *
 *     | ... synced | tombstone put put ... put . | zeroes ahead
 *                  ^ block                       ^ block
 *
 * A batch that follows a sync begins on a fresh block, so that a torn write of it touches nothing that was acknowledged;
 * one that follows unsynced records goes on where they end, and writes their last block again. Records are copied into
 * the stage and written from there in whole blocks, so nothing has to be read for it. The stage is one large page, if the
 * system has one to give: a disk that takes its data piece by piece is told of one piece then instead of hundreds
 * (measured: direct writes of 1 MiB are twice as quick, and quicker than those through the page cache at every size).
 *
 * Small synced writes are quick into blocks that have been written before, and slow into others: so zeroes are written
 * ahead of them, some at a time, in the run that is synced anyhow. Large ones gain nothing by that.
 *
 * When writing or syncing fails the segment is given up (rule 8): all that is in it and not synced, tombstones too, and
 * the batch begin again in a new one, with the LSNs after the last synced one (rule 3). */
#include "logstore/logstore.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- gathering ---- */

void wb_log_batch_init(log_batch *b)
{
    *b = (log_batch){.first = NULL};
    b->end = &b->first;
}

static blob_key item_key(const log_item *i)
{
    return i->entry != NULL ? wb_log_entry_key(i->entry) : blob_key_of(NULL, 0);
}

static bool item_has_record(const log_item *i)
{
    return i->kind != LOG_ITEM_SYNC && i->kind != LOG_ITEM_VOUCH && i->kind != LOG_ITEM_ROTATE;
}

uint64_t wb_log_item_bytes(const log_item *i)
{
    return item_has_record(i) ? wb_log_record_bytes(item_key(i).size, i->image != NULL ? i->image->size : 0) : 0;
}

static uint64_t item_footer_bytes(const log_item *i)
{
    return item_has_record(i) ? LOG_FOOTER_ENTRY + item_key(i).size : 0;
}

void wb_log_batch_add(log_batch *b, log_item *i)
{
    i->next = NULL;
    *b->end = i;
    b->end = &i->next;
    if (b->bytes == 0 && item_has_record(i))
        b->bytes = LOG_BLOCK; /* the padding */
    b->bytes += wb_log_item_bytes(i);
    b->footer_bytes += item_footer_bytes(i);
    b->puts = b->puts || i->kind == LOG_ITEM_PUT;
    b->sync = b->sync || i->kind == LOG_ITEM_SYNC;
    b->vouch = b->vouch || i->kind == LOG_ITEM_VOUCH;
    b->rotate = b->rotate || i->kind == LOG_ITEM_ROTATE;
}

/* ---- writing ---- */

static void iov_advance(struct iovec **iov, int *count, size_t done)
{
    while (*count > 0 && done >= (*iov)->iov_len) {
        done -= (*iov)->iov_len;
        ++*iov;
        --*count;
    }
    if (*count > 0) {
        (*iov)->iov_base = (unsigned char *)(*iov)->iov_base + done;
        (*iov)->iov_len -= done;
    }
}

int wb_log_write_all(logstore *l, int fd, struct iovec *iov, int count, uint64_t offset)
{
    iov_advance(&iov, &count, 0);
    while (count > 0) {
        ssize_t put = l->disk->ops->write(l->disk, fd, iov, count, offset);
        if (put < 0)
            return (int)put;
        if (put == 0)
            return -EIO;
        offset += (uint64_t)put;
        iov_advance(&iov, &count, (size_t)put);
    }
    return 0;
}

/* Zeroes behind what is about to be written, so that the next small batches find written blocks. */
static uint64_t batch_ahead(const logstore *l, uint64_t end, uint64_t bytes)
{
    const log_segment *s = l->active;

    if (l->sync_mode != BLOB_LOGSTORE_SYNC_EACH || end <= s->written || bytes > LOG_AHEAD_FOR)
        return 0;
    return s->size - end < LOG_AHEAD ? s->size - end : (uint64_t)LOG_AHEAD;
}

/* Whole blocks from aligned memory, and behind them `ahead` bytes of zeroes. */
static int batch_write_blocks(logstore *l, unsigned char *from, size_t size, uint64_t offset, uint64_t ahead)
{
    struct iovec iov[2] = {{from, size}, {l->zeroes, (size_t)ahead}};
    log_segment *s = l->active;
    int rc = -EINVAL;

    if (s->direct >= 0)
        rc = wb_log_write_all(l, s->direct, iov, 2, offset);
    if (rc == -EINVAL && s->direct >= 0) { /* this file system takes it back */
        (void)l->disk->ops->close(l->disk, s->direct);
        s->direct = -1;
        return batch_write_blocks(l, from, size, offset, ahead);
    }
    if (s->direct < 0)
        rc = wb_log_write_all(l, s->fd, iov, 2, offset);
    if (rc == 0 && s->written < offset + size + ahead)
        s->written = offset + size + ahead;
    return rc;
}

/* What is being gathered: `used` bytes of the stage, which belong at `base`, a block; the first `old` of them are there
 * already. */
typedef struct batch_stage {
    uint64_t base;
    size_t used, old;
} batch_stage;

/* Whole blocks of the stage, or through the page cache what is new of them: their first page is in it. */
static int stage_write(logstore *l, batch_stage *g, size_t whole, uint64_t ahead)
{
    size_t skip = l->active->direct < 0 ? g->old : 0;

    g->old = 0;
    return batch_write_blocks(l, l->stage + skip, whole - skip, g->base + skip, ahead);
}

static int stage_append(logstore *l, batch_stage *g, const unsigned char *from, size_t size)
{
    int rc;

    while (size > 0) {
        size_t some = LOG_STAGE - g->used < size ? LOG_STAGE - g->used : size;

        memcpy(l->stage + g->used, from, some);
        g->used += some;
        from += some;
        size -= some;
        if (g->used < LOG_STAGE)
            continue;
        if ((rc = stage_write(l, g, LOG_STAGE, 0)) != 0)
            return rc;
        g->base += LOG_STAGE;
        g->used = 0;
    }
    return 0;
}

/* Writes what is left, padded with zeroes; the last block begins the stage afterwards. */
static int stage_flush(logstore *l, batch_stage *g, uint64_t bytes)
{
    size_t whole = (size_t)wb_log_round(g->used, LOG_BLOCK), kept = g->used % LOG_BLOCK;
    int rc;

    if (g->used == 0)
        return 0;
    memset(l->stage + g->used, 0, whole - g->used);
    rc = stage_write(l, g, whole, batch_ahead(l, g->base + whole, bytes));
    if (g->used > kept)
        memmove(l->stage, l->stage + g->used - kept, kept);
    return rc;
}

/* Numbers a record whose place is known: its header goes to `to`, where its key stands behind it, its entry to the
 * footer. */
static void batch_number(logstore *l, log_item *i, uint64_t offset, unsigned char *to)
{
    log_where where = {l->log_id, l->active->number};
    blob_key key = item_key(i);
    log_record r = {.offset = offset, .lsn = l->next_lsn, .durable = l->durable, .key = key.data};

    r.key_size = (uint8_t)key.size;
    r.type = i->image != NULL ? LOG_PUT : i->kind == LOG_ITEM_NOTE ? LOG_NOTE : LOG_TOMBSTONE;
    if (i->image != NULL) {
        r.size = i->image->size;
        r.crc = i->image->crc;
        r.time_ms = i->image->time_ms;
        r.flags = i->image->damaged ? LOG_FLAG_DAMAGED : 0;
    }
    wb_log_record_encode(to, where, &r);
    wb_log_footer_add(&l->footer, &r);
    l->footer_records++;
    l->next_lsn++;
    i->offset = offset;
    i->padding = 0;
}

static int batch_write_record(logstore *l, batch_stage *g, log_item *i)
{
    static const unsigned char nothing[8] = {0};
    unsigned char small[LOG_RECORD_HEADER + BLOB_KEY_MAX];
    unsigned char *record = i->image != NULL ? i->image->record : small;
    size_t size = LOG_RECORD_HEADER + item_key(i).size;
    int rc;

    if (i->image == NULL && i->entry != NULL)
        memcpy(small + LOG_RECORD_HEADER, i->entry->key, i->entry->key_size);
    batch_number(l, i, g->base + g->used, record);
    size += i->image != NULL ? (size_t)i->image->size : 0;
    rc = stage_append(l, g, record, size);
    return rc == 0 ? stage_append(l, g, nothing, (size_t)wb_log_round(size, 8) - size) : rc;
}

/* The last record's padding belongs to it, in the footer too. */
static void batch_pad(logstore *l, log_item *last, uint64_t padding)
{
    last->padding = (uint16_t)padding;
    wb_log_footer_pad(&l->footer, item_key(last).size, last->padding);
}

static int batch_write_records(logstore *l, log_batch *b)
{
    batch_stage g = {.base = l->tail / LOG_BLOCK * LOG_BLOCK, .used = (size_t)(l->tail % LOG_BLOCK)};
    log_item *last = NULL;
    int rc;

    g.old = g.used;
    for (log_item *i = b->first; i != NULL; i = i->next) {
        if (!item_has_record(i))
            continue;
        if ((rc = batch_write_record(l, &g, i)) != 0)
            return rc;
        last = i;
    }
    if (last == NULL)
        return 0;
    if ((rc = stage_flush(l, &g, b->bytes)) != 0)
        return rc;
    l->tail = g.base + g.used;
    if (b->sync)
        batch_pad(l, last, wb_log_round(l->tail, LOG_BLOCK) - l->tail);
    return 0;
}

/* The voucher lies where the next batch will: it is overwritten once that says the same. Only after a crash it stays,
 * for it is what cuts off the old tail (rule 4). */
static int batch_write_vouch(logstore *l)
{
    log_where where = {l->log_id, l->active->number};
    unsigned char *block = l->stage + LOG_STAGE;
    log_record r = {.offset = wb_log_round(l->tail, LOG_BLOCK),
                    .lsn = l->durable,
                    .durable = l->durable,
                    .time_ms = l->disk->ops->time_ms(l->disk),
                    .type = LOG_VOUCH};
    int rc;

    if (l->durable + 1 != l->next_lsn)
        return 0;
    memset(block, 0, LOG_BLOCK);
    wb_log_record_encode(block, where, &r);
    /* Where there is no room the footer that is due next will say it. */
    rc = wb_log_fits(l, LOG_BLOCK, 0) ? batch_write_blocks(l, block, LOG_BLOCK, r.offset, 0) : 0;
    if (rc == 0 && l->recovering) {
        rc = l->sync_mode != BLOB_LOGSTORE_SYNC_NEVER ? l->disk->ops->sync(l->disk, l->active->fd) : 0;
        l->tail = r.offset + LOG_BLOCK;
    }
    if (rc == 0) {
        pthread_mutex_lock(&l->lock);
        l->vouched = l->durable;
        pthread_mutex_unlock(&l->lock);
    }
    return rc;
}

/* All up to the last LSN is on the disk. */
static void batch_lasts(logstore *l)
{
    l->footer_synced = l->footer.size;
    pthread_mutex_lock(&l->lock);
    /* What the records of a batch say of those before them counts once they are on the disk themselves. */
    l->vouched = l->durable;
    l->durable = l->next_lsn - 1;
    l->written_lsn = l->durable;
    pthread_mutex_unlock(&l->lock);
}

int wb_log_sync(logstore *l)
{
    log_segment *s = l->active;
    int rc;

    if (s == NULL || l->durable + 1 == l->next_lsn)
        return 0;
    if (l->sync_mode != BLOB_LOGSTORE_SYNC_NEVER) {
        if ((rc = l->disk->ops->sync(l->disk, s->fd)) != 0) {
            s->failed = true;
            return rc;
        }
        l->tail = wb_log_round(l->tail, LOG_BLOCK);
    }
    batch_lasts(l);
    return 0;
}

/* ---- when it fails ---- */

/* Is a change of the entry in the batch? Then that is what it comes to. */
static bool batch_changes(const log_batch *b, const log_entry *e)
{
    for (const log_item *i = b->first; i != NULL; i = i->next)
        if (i->entry == e || i->old == e)
            return true;
    return false;
}

static log_item *rescue_tombstone(blob_key key)
{
    log_item *i = wb_log_item_new(LOG_ITEM_LAZY);

    if (i != NULL && (i->entry = wb_log_entry_new(key)) == NULL) {
        free(i);
        i = NULL;
    }
    return i;
}

/* *out: a copy of a blob of the failed segment; NULL where it is dead. */
static int rescue_blob(logstore *l, const log_batch *b, log_segment *s, const log_record *r, log_item **out)
{
    blob_key key = blob_key_of(r->key, r->key_size);
    log_item *i = wb_log_item_new(LOG_ITEM_COPY);
    log_image *image = NULL;
    uint32_t time_s = 0;
    log_entry *e;
    int rc = i != NULL ? 0 : -ENOMEM;

    pthread_mutex_lock(&l->lock);
    e = wb_log_find_at_locked(l, key, s, r->offset);
    if (i == NULL || e == NULL || batch_changes(b, e)) {
        pthread_mutex_unlock(&l->lock);
        free(i);
        return rc;
    }
    i->busy = (e->flags & LOG_BUSY) != 0;
    e->flags |= LOG_BUSY;
    time_s = e->time_s;
    if ((image = e->image) != NULL)
        (void)blob_ref(wb_log_image_blob(image));
    pthread_mutex_unlock(&l->lock);
    if (image == NULL && (rc = wb_log_image_load(l, s, r->offset, key, r->size, r->crc, &image)) == 0) {
        pthread_mutex_lock(&l->lock);
        wb_log_loaded_locked(l, s, r->offset, key, time_s, image);
        pthread_mutex_unlock(&l->lock);
    }
    i->entry = e;
    i->image = image;
    *out = i;
    return rc;
}

/* An item that brings a record of the failed segment to the next one; NULL in *out: there is nothing to bring. */
static int rescue_one(logstore *l, const log_batch *b, log_segment *s, const log_record *r, log_item **out)
{
    *out = NULL;
    if (r->type == LOG_NOTE)
        return 0;
    if (r->type == LOG_PUT)
        return rescue_blob(l, b, s, r, out);
    *out = rescue_tombstone(blob_key_of(r->key, r->key_size));
    return *out != NULL ? 0 : -ENOMEM;
}

/* Puts what the failed segment has unsynced before what b has. */
static int rescue(logstore *l, log_batch *b)
{
    log_segment *s = l->active;
    size_t at = l->footer_synced;
    log_batch all;
    log_record r;
    log_item *i;
    int rc = 0;

    wb_log_batch_init(&all);
    while (rc == 0 && wb_log_footer_next(l->footer.data, l->footer_rescue, &at, &r)) {
        rc = rescue_one(l, b, s, &r, &i);
        if (i != NULL) {
            i->taken = i->abandoned = true; /* nobody waits for it */
            wb_log_batch_add(&all, i);
        }
    }
    all.sync = b->sync;
    for (log_item *next = b->first; (i = next) != NULL;) {
        next = i->next;
        wb_log_batch_add(&all, i);
    }
    all.sync = all.sync || l->sync_mode == BLOB_LOGSTORE_SYNC_EACH;
    *b = all;
    if (b->first == NULL)
        b->end = &b->first;
    return rc;
}

/* Begins again in another segment. */
static int batch_again(logstore *l, log_batch *b, int rc)
{
    (void)wb_log_fail_name(l, rc, "write", l->active->number);
    if ((rc = rescue(l, b)) != 0)
        return rc;
    l->next_lsn = l->durable + 1;
    if ((rc = wb_log_rotate(l, b->bytes, b->footer_bytes, true)) != 0)
        return rc;
    if (!wb_log_bytes_reserve(&l->footer, (size_t)b->footer_bytes))
        return -ENOMEM;
    if ((rc = batch_write_records(l, b)) == 0 && b->sync)
        rc = wb_log_sync(l);
    return rc == 0 && b->vouch ? batch_write_vouch(l) : rc;
}

/* Sees to it that there is a segment with room. */
static int batch_room(logstore *l, const log_batch *b)
{
    bool behind;
    int rc = 0;

    /* Also where there is room: it may be that of the reserve, once that is in use. */
    if (b->puts && !l->recovering && wb_log_spare_reserve(l) == -ENOSPC && !wb_log_reclaim(l))
        return blob_fail(-ENOSPC, 0, "no room for a reserve of %.150s; free space or raise the quota", l->dir);
    if (!b->rotate && (b->bytes == 0 || wb_log_fits(l, b->bytes, b->footer_bytes)))
        return 0;
    /* The keeper may be behind. */
    pthread_mutex_lock(&l->lock);
    behind = wb_log_over_locked(l) || wb_log_spares_short_locked(l);
    pthread_mutex_unlock(&l->lock);
    if (behind)
        (void)wb_log_reclaim(l);
    do
        rc = l->active != NULL && l->active->failed ? -EIO : wb_log_rotate(l, b->bytes, b->footer_bytes, !b->puts);
    while (rc == -ENOSPC && wb_log_reclaim(l));
    return l->active != NULL && l->active->failed ? -EIO : rc; /* a sync on the way: not to be forgotten */
}

static int batch_write_first(logstore *l, log_batch *b)
{
    int rc = batch_room(l, b);

    if (rc != 0)
        return rc;
    if (!wb_log_bytes_reserve(&l->footer, (size_t)b->footer_bytes))
        return blob_fail(-ENOMEM, 0, "no memory to write to %.150s", l->dir);
    l->footer_rescue = l->footer.size;
    if ((rc = batch_write_records(l, b)) == 0 && b->sync)
        rc = wb_log_sync(l);
    else if (rc == 0 && l->sync_mode == BLOB_LOGSTORE_SYNC_NEVER && !l->recovering)
        batch_lasts(l); /* as much as it ever will */
    if (rc == 0 && b->vouch && l->active != NULL)
        rc = batch_write_vouch(l);
    if (rc != 0)
        l->active->failed = true;
    return rc;
}

int wb_log_batch_write(logstore *l, log_batch *b)
{
    uint64_t unsynced;
    int rc;

    l->footer_rescue = l->footer.size;
    rc = batch_write_first(l, b);
    if (rc == 0 || l->active == NULL || !l->active->failed)
        return rc; /* done, or nothing was written */
    pthread_mutex_lock(&l->lock);
    unsynced = l->written_lsn - l->durable;
    pthread_mutex_unlock(&l->lock);
    rc = batch_again(l, b, rc);
    if (rc != 0) {
        l->active->failed = true;
        pthread_mutex_lock(&l->lock);
        l->lost = unsynced;
        pthread_mutex_unlock(&l->lock);
        wb_log_turn_read_only(l, "neither the segment in use nor a new one could be written");
        rc = blob_fail(-EIO, 0, "%.150s cannot be written any more; see to the disk, then open it again", l->dir);
    }
    return rc;
}
