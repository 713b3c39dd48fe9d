/* segment.c - the files of a log: made, opened, sealed, retired.
 *
 *     spare-N  --- header written and synced, renamed, folder synced --->  N.log  (active)
 *        ^                                                                   |
 *        |                                                       footer and trailer: sealed
 *        |                                                                   |
 *        +--- renamed, folder synced, once it is the oldest and empty -------+---> damaged-N, or removed
 *
 * A new file is made under the name of a spare too: so what has a segment's name has a header, or is damaged. A spare
 * holds whatever its earlier life left in it; no record of that passes for one of the new segment (format.h). */
#include "logstore/logstore.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT_DIGITS 16

/* ---- names ---- */

void wb_log_segment_name_spare(char name[LOG_NAME_MAX], uint64_t number)
{
    snprintf(name, LOG_NAME_MAX, "spare-%016" PRIx64, number);
}

void wb_log_segment_name_aside(char name[LOG_NAME_MAX], uint64_t number)
{
    snprintf(name, LOG_NAME_MAX, "damaged-%016" PRIx64, number);
}

void wb_log_segment_name(char name[LOG_NAME_MAX], uint64_t number)
{
    snprintf(name, LOG_NAME_MAX, "%016" PRIx64 ".log", number);
}

static bool segment_digits(const char *text, const char *behind, uint64_t *number)
{
    if (strspn(text, "0123456789abcdef") != SEGMENT_DIGITS || strcmp(text + SEGMENT_DIGITS, behind) != 0)
        return false;
    *number = strtoull(text, NULL, 16);
    return *number > 0 && *number < UINT64_MAX;
}

log_name wb_log_name_parse(const char *name, uint64_t *number)
{
    if (strncmp(name, "spare-", 6) == 0)
        return segment_digits(name + 6, "", number) ? LOG_NAME_SPARE : LOG_NAME_FOREIGN;
    if (strncmp(name, "damaged-", 8) == 0)
        return segment_digits(name + 8, "", number) ? LOG_NAME_DAMAGED : LOG_NAME_FOREIGN;
    return segment_digits(name, ".log", number) ? LOG_NAME_SEGMENT : LOG_NAME_FOREIGN;
}

/* ---- structs ---- */

log_segment *wb_log_segment_new(uint64_t number)
{
    log_segment *s = calloc(1, sizeof *s);

    if (s == NULL)
        return NULL;
    s->number = number;
    s->fd = s->direct = -1;
    return s;
}

static void segment_close_direct(logstore *l, log_segment *s)
{
    if (s->direct >= 0)
        (void)l->disk->ops->close(l->disk, s->direct);
    s->direct = -1;
}

void wb_log_segment_close(logstore *l, log_segment *s)
{
    segment_close_direct(l, s);
    if (s->fd >= 0)
        (void)l->disk->ops->close(l->disk, s->fd);
    s->fd = -1;
}

void wb_log_segment_free(logstore *l, log_segment *s)
{
    if (s == NULL)
        return;
    wb_log_segment_close(l, s);
    free(s);
}

void wb_log_segment_add_locked(logstore *l, log_segment *s)
{
    s->newer = NULL;
    *(l->newest != NULL ? &l->newest->newer : &l->oldest) = s;
    l->newest = s;
    l->segments++;
    l->segment_total += s->size;
}

/* ---- reading ---- */

/* Closes the descriptor that nobody has wanted for the longest time. */
static void segment_close_one_locked(logstore *l)
{
    log_segment *idle = NULL;

    for (log_segment *s = l->oldest; s != NULL; s = s->newer)
        if (s->fd >= 0 && s->pins == 0 && s != l->active && (idle == NULL || s->used_at < idle->used_at))
            idle = s;
    if (idle == NULL)
        return;
    wb_log_segment_close(l, idle);
    l->open_files--;
}

int wb_log_pin_locked(logstore *l, log_segment *s)
{
    char name[LOG_NAME_MAX];
    int rc;

    s->used_at = ++l->use_clock;
    if (s->fd < 0) {
        if (l->open_files >= LOG_OPEN_FILES && !l->opened_read_only)
            segment_close_one_locked(l);
        wb_log_segment_name(name, s->number);
        rc = l->disk->ops->open(l->disk, name, LOG_OPEN_READ, &s->fd);
        if ((rc == -EMFILE || rc == -ENFILE) && l->open_files > 0 && !l->opened_read_only) {
            segment_close_one_locked(l);
            rc = l->disk->ops->open(l->disk, name, LOG_OPEN_READ, &s->fd);
        }
        if (rc != 0) {
            s->fd = -1;
            return wb_log_fail(l, rc, "open", name);
        }
        l->open_files++;
    }
    s->pins++;
    return 0;
}

void wb_log_unpin_locked(logstore *l, log_segment *s)
{
    if (--s->pins == 0 && s->live_blobs == 0 && s == l->oldest)
        wb_log_keeper_wake_locked(l);
}

int wb_log_read(logstore *l, const log_segment *s, void *to, size_t size, uint64_t offset)
{
    unsigned char *at = to;

    while (size > 0) {
        ssize_t got = l->disk->ops->read(l->disk, s->fd, at, size, offset);
        if (got < 0)
            return (int)got;
        if (got == 0)
            return -ENODATA; /* the file is shorter than it was */
        at += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return 0;
}

/* ---- making ---- */

int wb_log_segment_create(logstore *l, log_segment *s, uint64_t *spare)
{
    char name[LOG_NAME_MAX];
    int rc;

    do {
        *spare = wb_log_spare_number(l);
        wb_log_segment_name_spare(name, *spare);
        rc = l->disk->ops->create(l->disk, name, s->size, &s->fd);
    } while (rc == -EEXIST);
    s->written = 0;
    return rc == 0 ? 0 : wb_log_fail(l, rc, "make", name);
}

static int segment_find_file(logstore *l, log_segment *s, bool reserve, uint64_t *spare)
{
    bool usual = s->size == l->segment_bytes;
    int rc = usual ? wb_log_spare_take(l, s, 2, spare) : -ENOSPC;

    if (rc == -ENOSPC)
        rc = wb_log_segment_create(l, s, spare);
    if (rc == -ENOSPC && reserve && usual)
        rc = wb_log_spare_take(l, s, 1, spare);
    if (rc == -ENOSPC)
        (void)blob_fail(rc, 0, "no room for a new segment of %.150s; free space or raise the quota", l->dir);
    return rc;
}

/* Writes the header, lastingly, then gives the file its name, lastingly. */
static int segment_begin(logstore *l, log_segment *s, uint64_t spare)
{
    log_header h = {.log_id = l->log_id,
                    .segment = s->number,
                    .first_lsn = s->first_lsn,
                    .features = LOG_FEATURES,
                    .time_ms = l->disk->ops->time_ms(l->disk),
                    .version = LOG_VERSION,
                    .recovery = s->recovery,
                    .unsynced = l->sync_mode == BLOB_LOGSTORE_SYNC_NEVER};
    const log_disk_ops *ops = l->disk->ops;
    char from[LOG_NAME_MAX], to[LOG_NAME_MAX];
    unsigned char block[LOG_BLOCK];
    struct iovec iov = {block, sizeof block};
    int rc;

    wb_log_segment_name_spare(from, spare);
    wb_log_segment_name(to, s->number);
    wb_log_header_encode(block, &h);
    if ((rc = wb_log_write_all(l, s->fd, &iov, 1, 0)) != 0)
        return wb_log_fail(l, rc, "write", from);
    if (l->sync_mode != BLOB_LOGSTORE_SYNC_NEVER && (rc = ops->sync(l->disk, s->fd)) != 0)
        return wb_log_fail(l, rc, "sync", from);
    if ((rc = ops->rename(l->disk, from, to)) != 0) {
        /* It may have its name all the same, and cut off what others write from here on. */
        rc = wb_log_fail(l, rc, "name", to);
        wb_log_turn_read_only(l, "a segment could not be given its name");
        return rc == -ENOSPC ? -EIO : rc;
    }
    if ((rc = wb_log_sync_folder(l, to)) != 0)
        return rc;
    if (l->sync_mode == BLOB_LOGSTORE_SYNC_EACH && ops->open(l->disk, to, LOG_OPEN_DIRECT, &s->direct) != 0)
        s->direct = -1;
    if (s->written < LOG_BLOCK)
        s->written = LOG_BLOCK;
    return 0;
}

static int segment_make(logstore *l, log_segment *s, bool reserve)
{
    char name[LOG_NAME_MAX];
    uint64_t spare = 0;
    int rc = segment_find_file(l, s, reserve, &spare);

    if (rc == 0 && s->written == UINT64_MAX)
        rc = l->disk->ops->written(l->disk, s->fd, &s->written);
    if (rc == 0)
        rc = segment_begin(l, s, spare);
    if (rc != 0 && s->fd >= 0) {
        wb_log_segment_close(l, s);
        wb_log_segment_name_spare(name, spare);
        (void)l->disk->ops->remove(l->disk, name); /* not there if it has its name already: a segment without records */
    }
    return rc;
}

static bool segment_read_only(logstore *l)
{
    bool read_only;

    pthread_mutex_lock(&l->lock);
    read_only = l->read_only;
    pthread_mutex_unlock(&l->lock);
    return read_only;
}

bool wb_log_fits(const logstore *l, uint64_t bytes, uint64_t footer_bytes)
{
    const log_segment *s = l->active;

    return s != NULL && !s->sealed && !s->failed && l->tail <= LOG_SEGMENT_MAX &&
           wb_log_round(l->tail, LOG_BLOCK) + bytes + l->footer.size + footer_bytes + LOG_TRAILER_BYTES <= s->size;
}

static void segment_retire_writer(logstore *l, log_segment *old)
{
    wb_log_seal(l, old, true);
    segment_close_direct(l, old);
    pthread_mutex_lock(&l->lock);
    l->open_files++; /* its descriptor is one of those for reading now */
    pthread_mutex_unlock(&l->lock);
}

int wb_log_rotate(logstore *l, uint64_t bytes, uint64_t footer_bytes, bool reserve)
{
    uint64_t size = wb_log_round(2 * LOG_BLOCK + bytes + footer_bytes + LOG_TRAILER_BYTES, LOG_BLOCK);
    log_segment *old = l->active, *s;
    int rc;

    if (old != NULL && !old->failed && (rc = wb_log_sync(l)) != 0)
        return rc;
    if (!reserve && (rc = wb_log_spare_reserve(l)) != 0)
        return rc;
    s = wb_log_segment_new(l->next_number);
    if (s == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for a segment of %.150s", l->dir);
    s->first_lsn = l->next_lsn;
    s->size = size > l->segment_bytes ? size : l->segment_bytes;
    s->recovery = l->recovering && s->first_lsn == l->cut_lsn;
    rc = segment_make(l, s, reserve);
    if (rc != 0 && rc != -ENOSPC && rc != -ENOMEM && !segment_read_only(l))
        rc = segment_make(l, s, reserve); /* that file is no good, perhaps another one is */
    if (rc != 0) {
        wb_log_segment_free(l, s);
        return rc;
    }
    if (old != NULL)
        segment_retire_writer(l, old);
    pthread_mutex_lock(&l->lock);
    wb_log_segment_add_locked(l, s);
    l->active = s;
    l->next_number++;
    wb_log_keeper_wake_locked(l);
    pthread_mutex_unlock(&l->lock);
    l->tail = LOG_BLOCK;
    l->footer.size = l->footer_synced = 0;
    l->footer_records = 0;
    return 0;
}

/* Cuts off what is unused of a segment that ends here, if that is a large part of it; otherwise the file is worth more
 * as a spare one day. */
static void seal_shrink(logstore *l, log_segment *s, bool closing)
{
    uint64_t size = wb_log_round(wb_log_round(l->tail, LOG_BLOCK) + l->footer.size + LOG_TRAILER_BYTES, LOG_BLOCK);

    if (size >= s->size || (!closing && s->size - size < s->size / 4) ||
        l->disk->ops->truncate(l->disk, s->fd, size) != 0)
        return;
    pthread_mutex_lock(&l->lock);
    l->segment_total -= s->size - size;
    s->size = size;
    pthread_mutex_unlock(&l->lock);
}

void wb_log_seal(logstore *l, log_segment *s, bool continued)
{
    log_trailer t = {.log_id = l->log_id,
                     .segment = s->number,
                     .first_lsn = s->first_lsn,
                     .records = l->footer_records,
                     .durable = l->durable,
                     .continued = continued,
                     .footer_bytes = l->footer.size,
                     .footer_crc = wb_log_crc(l->footer.data, l->footer.size)};
    unsigned char trailer[LOG_TRAILER_BYTES];
    struct iovec iov[2] = {{l->footer.data, l->footer.size}, {trailer, sizeof trailer}};

    /* What cannot be vouched for is better found by reading the records. */
    if (s->sealed || s->failed || l->durable + 1 != l->next_lsn)
        return;
    seal_shrink(l, s, !continued);
    t.footer_offset = s->size - LOG_TRAILER_BYTES - l->footer.size;
    wb_log_trailer_encode(trailer, &t);
    s->sealed = wb_log_write_all(l, s->fd, iov, 2, t.footer_offset) == 0 &&
                (l->sync_mode == BLOB_LOGSTORE_SYNC_NEVER || l->disk->ops->sync(l->disk, s->fd) == 0);
    s->failed = !s->sealed;
}
