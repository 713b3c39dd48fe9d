/* logstore.c - put and delete; opening and closing a log. logstore.h has the rules and a map. */
#include "logstore/logstore.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "blob/ctx.h"
#include "blob/options.h"

/* ---- put ---- */

#define PUT_LARGE ((size_t)64 << 10)

uint64_t wb_log_room_needed(size_t key_size, uint64_t size)
{
    return wb_log_round(wb_log_record_bytes(key_size, size), LOG_BLOCK);
}

static int put_room_locked(const logstore *l, size_t key_size, uint64_t size)
{
    uint64_t needed = wb_log_room_needed(key_size, size);

    if (l->bytes_max == 0 || l->recovering)
        return 0;
    if (needed > l->bytes_max)
        return blob_fail(BLOB_REJECTED, 0, "a blob of %llu bytes is larger than bytes_max of %.120s allows",
                         (unsigned long long)size, l->dir);
    if (l->live_bytes + l->reserved_bytes + needed > l->bytes_max)
        return blob_fail(BLOB_FULL, 0, "%.150s holds as much as bytes_max allows", l->dir);
    return 0;
}

int wb_log_put_begin_locked(logstore *l, log_entry *e, log_entry *old, const log_image *image)
{
    int rc = 0;

    e->size = image->size;
    e->crc = image->crc;
    e->time_s = (uint32_t)(image->time_ms / 1000);
    e->flags = LOG_PENDING;
    if (old == NULL)
        rc = wb_log_insert_locked(l, e);
    else
        old->flags |= LOG_BUSY;
    if (rc == 0)
        l->reserved_bytes += wb_log_room_needed(e->key_size, e->size);
    return rc;
}

/* Takes item, e and image, and releases the lock. */
static int put_unlock(logstore *l, blob_ctx *ctx, log_item *item, log_entry *e, log_image *image, unsigned flags)
{
    log_entry *old;
    int rc;

    for (;;) {
        if ((rc = wb_log_read_only_locked(l)) != 0)
            break;
        old = wb_log_find_locked(l, wb_log_entry_key(e));
        if (old != NULL && (old->flags & (LOG_PENDING | LOG_BUSY)) != 0) {
            if ((rc = wb_log_settled_locked(l, ctx)) != 0)
                break;
            continue;
        }
        if (old != NULL && (flags & BLOB_REPLACE) == 0)
            rc = BLOB_EXISTS;
        else
            rc = put_room_locked(l, e->key_size, image->size);
        break;
    }
    if (rc == 0 && (rc = wb_log_put_begin_locked(l, e, old, image)) == 0) {
        item->entry = e;
        item->old = old;
        item->image = image;
        return wb_log_commit_unlock(l, ctx, item);
    }
    pthread_mutex_unlock(&l->lock);
    wb_log_image_drop(image);
    free(e);
    free(item);
    return rc;
}

/* Spares the copy of a large blob where it would be in vain. */
static int put_refused(logstore *l, blob_key key, uint64_t size, unsigned flags)
{
    const log_entry *e;
    int rc;

    pthread_mutex_lock(&l->lock);
    rc = wb_log_read_only_locked(l);
    e = wb_log_find_locked(l, key);
    if (rc == 0 && e != NULL && (e->flags & (LOG_PENDING | LOG_BUSY)) == 0 && (flags & BLOB_REPLACE) == 0)
        rc = BLOB_EXISTS;
    if (rc == 0 && e == NULL)
        rc = put_room_locked(l, key.size, size);
    pthread_mutex_unlock(&l->lock);
    return rc;
}

static int log_put(blob_store *s, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags)
{
    logstore *l = wb_log_of(s);
    log_image *image = NULL;
    log_item *item;
    log_entry *e;
    int rc;

    if (data.size >= PUT_LARGE && (rc = put_refused(l, key, data.size, flags)) != 0)
        return rc;
    if ((rc = wb_log_image_new(&image, key, data.size)) != 0)
        return rc;
    if (data.size > 0)
        memcpy(wb_log_image_payload(image), data.data, data.size);
    image->crc = wb_log_crc(wb_log_image_payload(image), data.size);
    image->time_ms = l->disk->ops->time_ms(l->disk);
    item = wb_log_item_new(LOG_ITEM_PUT);
    e = wb_log_entry_new(key);
    if (item == NULL || e == NULL) {
        wb_log_image_drop(image);
        free(item);
        free(e);
        return blob_fail(-ENOMEM, 0, "no memory for a blob of %zu bytes", data.size);
    }
    pthread_mutex_lock(&l->lock);
    return put_unlock(l, ctx, item, e, image, flags);
}

/* ---- delete ---- */

/* The blob is gone at once; its tombstone is logged when something else is. */
static int delete_lazy_unlock(logstore *l, log_entry *e, log_item *item)
{
    bool kept = !l->read_only;

    wb_log_count_out_locked(l, e);
    wb_log_remove_locked(l, e);
    if (kept) {
        item->entry = e;
        item->kind = LOG_ITEM_LAZY;
        item->next = NULL;
        *l->lazy_end = item;
        l->lazy_end = &item->next;
        l->lazy_count++;
        if (l->lazy_count >= LOG_LAZY_MAX)
            wb_log_flush_lazy_locked(l);
        else
            wb_log_keeper_idle_locked(l);
    }
    pthread_mutex_unlock(&l->lock);
    if (!kept) {
        free(e);
        free(item);
    }
    return 0;
}

/* Nothing is there; but a tombstone of an earlier lazy delete may be on its way, and must not be forgotten from here on:
 * it is written, and synced where puts are. */
static int delete_absent_unlock(logstore *l, blob_ctx *ctx, log_item *item, bool lazy)
{
    bool logged = l->lazy == NULL && !l->writing;
    int rc;

    if (l->sync_mode == BLOB_LOGSTORE_SYNC_EACH)
        logged = logged && l->written_lsn == l->durable;
    if (lazy || logged) {
        pthread_mutex_unlock(&l->lock);
        free(item);
        return BLOB_NOT_FOUND;
    }
    item->kind = LOG_ITEM_SYNC;
    rc = wb_log_commit_unlock(l, ctx, item);
    return rc == 0 ? BLOB_NOT_FOUND : rc;
}

static int log_delete(blob_store *s, blob_ctx *ctx, blob_key key, unsigned flags)
{
    logstore *l = wb_log_of(s);
    log_item *item = wb_log_item_new(LOG_ITEM_DELETE);
    bool lazy = (flags & BLOB_LAZY) != 0;
    log_entry *e;
    int rc = 0;

    if (item == NULL)
        return blob_fail(-ENOMEM, 0, "no memory to delete from %.150s", l->dir);
    pthread_mutex_lock(&l->lock);
    while ((e = wb_log_find_locked(l, key)) != NULL && (e->flags & (LOG_PENDING | LOG_BUSY)) != 0 && rc == 0)
        rc = wb_log_settled_locked(l, ctx);
    if (rc == 0 && (l->opened_read_only || !lazy))
        rc = wb_log_read_only_locked(l);
    if (rc != 0) {
        pthread_mutex_unlock(&l->lock);
        free(item);
        return rc;
    }
    if (e == NULL)
        return delete_absent_unlock(l, ctx, item, lazy);
    if (lazy)
        return delete_lazy_unlock(l, e, item);
    e->flags |= LOG_BUSY;
    item->entry = e;
    return wb_log_commit_unlock(l, ctx, item);
}

/* ---- close ---- */

static void log_drop_entry(void *item)
{
    log_entry *e = item;

    wb_log_image_drop(e->image);
    free(e);
}

static void log_free(logstore *l)
{
    log_segment *newer;
    log_finding *f;
    log_item *i;

    for (size_t lane = 0; lane < LOG_LANES; lane++)
        wb_index_free(&l->lanes[lane], log_drop_entry);
    while ((i = l->lazy) != NULL) {
        l->lazy = i->next;
        free(i->entry);
        free(i);
    }
    while ((i = l->queue) != NULL) { /* the keeper's, when it had no memory to go on */
        l->queue = i->next;
        wb_log_image_drop(i->image);
        free(i);
    }
    for (log_segment *s = l->oldest; s != NULL; s = newer) {
        newer = s->newer;
        wb_log_segment_free(l, s);
    }
    while ((f = l->findings) != NULL) {
        l->findings = f->next;
        free(f);
    }
    free(l->footer.data);
    free(l->stage);
    if (l->disk != NULL)
        l->disk->ops->end(l->disk);
    pthread_cond_destroy(&l->keeper_wake);
    pthread_cond_destroy(&l->settled);
    pthread_cond_destroy(&l->committed[1]);
    pthread_cond_destroy(&l->committed[0]);
    pthread_mutex_destroy(&l->lock);
    free(l->dir);
    free(l);
}

/* Logs and syncs what is not yet, and seals the segment. Nobody else is there any more. */
static int log_finish(logstore *l)
{
    log_item *item;
    int rc = 0;

    if (l->read_only)
        return l->lost > 0 ? blob_fail(-EIO, 0, "%.100s: %llu records that were written may not last", l->dir,
                                       (unsigned long long)l->lost)
                           : 0;
    if (l->lazy != NULL || l->written_lsn != l->durable) {
        if ((item = wb_log_item_new(LOG_ITEM_SYNC)) == NULL)
            return blob_fail(-ENOMEM, 0, "no memory to close %.150s", l->dir);
        pthread_mutex_lock(&l->lock);
        rc = wb_log_commit_unlock(l, NULL, item);
    }
    if (rc == 0 && !l->read_only && l->active != NULL)
        wb_log_seal(l, l->active, false);
    return rc;
}

static int log_close(blob_store *s, blob_ctx *ctx)
{
    logstore *l = wb_log_of(s);
    int rc;

    (void)ctx;
    wb_log_keeper_stop(l);
    rc = l->opened_read_only ? 0 : log_finish(l);
    log_free(l);
    return rc;
}

/* A put or delete whose ctx ended while it was being written takes effect when the disk says so; one that takes longer
 * than this is as good as gone. */
static int64_t log_in_doubt_ms(blob_store *s)
{
    (void)s;
    return 60000;
}

static const blob_store_ops log_ops = {
    .struct_size = sizeof(blob_store_ops),
    .name = "logstore",
    .get = wb_log_get,
    .put = log_put,
    .del = log_delete,
    .size = wb_log_size,
    .list = wb_log_list,
    .len = wb_log_len,
    .close = log_close,
    .in_doubt_ms = log_in_doubt_ms,
};

bool wb_log_is(const blob_store *s)
{
    return s != NULL && s->ops == &log_ops;
}

logstore *wb_log_of(blob_store *s)
{
    assert(wb_log_is(s));
    return (logstore *)(void *)s;
}

/* ---- open ---- */

static int log_options_check(blob_logstore_options *o)
{
    if (o->segment_bytes == 0)
        o->segment_bytes = (uint64_t)64 << 20;
    if (o->cache_bytes == 0)
        o->cache_bytes = (uint64_t)64 << 20;
    if (o->sync_interval_ms == 0)
        o->sync_interval_ms = 1000;
    if (o->segment_bytes < LOG_SEGMENT_MIN || o->segment_bytes > LOG_SEGMENT_MAX || o->segment_bytes % LOG_BLOCK != 0)
        return blob_fail(-EINVAL, 0, "segment_bytes of a log is %llu; must be a multiple of 4096 from 64 KiB to 1 GiB",
                         (unsigned long long)o->segment_bytes);
    if ((int)o->sync < 0 || o->sync > BLOB_LOGSTORE_SYNC_NEVER)
        return blob_fail(-EINVAL, 0, "sync of a log is %d; there is no such way", (int)o->sync);
    if (o->sync_interval_ms < 0)
        return blob_fail(-EINVAL, 0, "sync_interval_ms of a log is below 0");
    if (o->read_only > 1)
        return blob_fail(-EINVAL, 0, "read_only of a log is %u; must be 0 or 1", o->read_only);
    return 0;
}

static int log_locks_init(logstore *l)
{
    int rc = pthread_mutex_init(&l->lock, NULL);

    if (rc != 0)
        return -rc;
    if ((rc = blob_cond_init(&l->committed[0])) != 0)
        goto no_first;
    if ((rc = blob_cond_init(&l->committed[1])) != 0)
        goto no_second;
    if ((rc = blob_cond_init(&l->settled)) != 0)
        goto no_settled;
    if ((rc = blob_cond_init(&l->keeper_wake)) == 0)
        return 0;
    pthread_cond_destroy(&l->settled);
no_settled:
    pthread_cond_destroy(&l->committed[1]);
no_second:
    pthread_cond_destroy(&l->committed[0]);
no_first:
    pthread_mutex_destroy(&l->lock);
    return rc;
}

/* NULL: no memory or locks, and said so. */
static logstore *log_new(const char *dir, const blob_logstore_options *o)
{
    logstore *l = calloc(1, sizeof *l);

    if (l == NULL || (l->dir = strdup(dir)) == NULL || log_locks_init(l) != 0) {
        if (l != NULL)
            free(l->dir);
        free(l);
        (void)blob_fail(-ENOMEM, 0, "no memory to open %.200s", dir);
        return NULL;
    }
    l->store.ops = &log_ops;
    l->bytes_max = o->bytes_max;
    l->segment_bytes = o->segment_bytes;
    l->cache_max = o->cache_bytes;
    l->interval_ms = o->sync_interval_ms;
    l->sync_mode = o->sync;
    l->opened_read_only = l->read_only = o->read_only != 0;
    for (size_t lane = 0; lane < LOG_LANES; lane++)
        l->lanes[lane].kind = &wb_log_index_kind;
    l->queue_end = &l->queue;
    l->lazy_end = &l->lazy;
    l->findings_end = &l->findings;
    l->last_batch_ns = l->last_sync_ns = wb_now_ns();
    return l;
}

/* One large page, if there is one to give. */
static int log_stage_new(logstore *l)
{
    void *memory;

    if (posix_memalign(&memory, LOG_PAGE, LOG_PAGE) != 0)
        return blob_fail(-ENOMEM, 0, "no memory to open %.150s", l->dir);
#ifdef MADV_HUGEPAGE
    (void)madvise(memory, LOG_PAGE, MADV_HUGEPAGE);
#endif
    l->stage = memory;
    l->zeroes = l->stage + LOG_STAGE + LOG_BLOCK;
    memset(l->zeroes, 0, LOG_AHEAD);
    return 0;
}

static int log_begin(logstore *l)
{
    int rc = l->disk->ops->begin(l->disk, !l->opened_read_only);

    if (rc == -EBUSY)
        return blob_fail(-EBUSY, 0, "%.150s is open already, in this process or another; close it there first", l->dir);
    if (rc == -ENOENT && l->opened_read_only)
        return blob_fail(-ENOENT, 0, "%.150s: there is no such folder", l->dir);
    if (rc != 0)
        return wb_log_fail(l, rc, "open", l->disk->in_the_way != NULL ? l->disk->in_the_way : "");
    if (!l->opened_read_only && (rc = log_stage_new(l)) != 0)
        return rc;
    return wb_log_recover(l);
}

int wb_log_open(blob_store **out, log_disk *disk, const char *dir, const blob_logstore_options *options, unsigned flags)
{
    blob_logstore_options o = blob_logstore_options_default();
    logstore *l;
    int rc;

    *out = NULL;
    if ((rc = wb_options_copy(&o, sizeof o, options != NULL ? options : &o,
                              options != NULL ? options->struct_size : sizeof o)) != 0 ||
        (rc = log_options_check(&o)) != 0 || (l = log_new(dir, &o)) == NULL) {
        disk->ops->end(disk);
        return rc != 0 ? rc : -ENOMEM;
    }
    l->disk = disk;
    rc = log_begin(l);
    if (rc == 0 && !l->opened_read_only && (flags & LOG_NO_KEEPER) == 0)
        rc = wb_log_keeper_start(l);
    if (rc != 0)
        log_free(l);
    else
        *out = &l->store;
    return rc;
}

/* How often a log that is open for reading only begins again because the writer was faster. */
#define LOG_READ_TRIES 20

int blob_logstore_open(blob_store **out, const char *dir, const blob_logstore_options *options)
{
    log_disk *disk;
    int rc = 0;

    if (out == NULL)
        return blob_fail(-EINVAL, 0, "blob_logstore_open needs an out");
    *out = NULL;
    if (dir == NULL || dir[0] == '\0')
        return blob_fail(-EINVAL, 0, "blob_logstore_open needs a folder");
    for (unsigned i = 0; i < LOG_READ_TRIES; i++) {
        if (wb_log_disk_new(&disk, dir) != 0)
            return blob_fail(-ENOMEM, 0, "no memory to open %.200s", dir);
        rc = wb_log_open(out, disk, dir, options, 0);
        if (rc != -EAGAIN || options == NULL || options->read_only != 1)
            return rc;
    }
    return blob_fail(rc, 0, "%.150s changes faster than it can be read; try again", dir);
}
