/* spare.c - segments that wait to be used, and how segments come to that.
 *
 * One spare is the reserve: puts leave it alone, so that deletes, copies and an open find it on a full disk. A segment is
 * retired when it is the oldest and nothing in it is live: under another name, which is lasting before anybody writes
 * to the file again and before the next one is retired (rule 6). */
#include "logstore/logstore.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* ---- spares ---- */

/* A number that no spare has had since the log was opened, nor any that was there then: a name is never taken twice. */
uint64_t wb_log_spare_number(logstore *l)
{
    uint64_t number;

    pthread_mutex_lock(&l->lock);
    number = l->next_spare++;
    pthread_mutex_unlock(&l->lock);
    return number;
}

static void spare_add_locked(logstore *l, uint64_t number, uint64_t written)
{
    assert(l->spare_count < LOG_SPARES);
    l->spares[l->spare_count] = number;
    l->spare_written[l->spare_count++] = written;
}

static void spare_forget_locked(logstore *l, unsigned at)
{
    l->spare_count--;
    memmove(&l->spares[at], &l->spares[at + 1], (l->spare_count - at) * sizeof l->spares[0]);
    memmove(&l->spare_written[at], &l->spare_written[at + 1], (l->spare_count - at) * sizeof l->spare_written[0]);
}

/* It could not be opened for want of something else: it is as good as it was. */
static void spare_put_back(logstore *l, uint64_t number, uint64_t written)
{
    char name[LOG_NAME_MAX];
    bool room;

    pthread_mutex_lock(&l->lock);
    room = l->spare_count + l->spare_comes < LOG_SPARES;
    if (room)
        spare_add_locked(l, number, written);
    pthread_mutex_unlock(&l->lock);
    wb_log_segment_name_spare(name, number);
    if (!room)
        (void)l->disk->ops->remove(l->disk, name);
}

/* One with all its blocks written, if there is one. */
int wb_log_spare_take(logstore *l, log_segment *s, unsigned least, uint64_t *spare)
{
    char name[LOG_NAME_MAX];
    uint64_t size = 0;
    unsigned best = 0;
    int rc;

    pthread_mutex_lock(&l->lock);
    if (l->spare_count < least) {
        pthread_mutex_unlock(&l->lock);
        return -ENOSPC;
    }
    for (unsigned i = 1; i < l->spare_count; i++)
        if (l->spare_written[i] > l->spare_written[best])
            best = i;
    *spare = l->spares[best];
    s->written = l->spare_written[best];
    spare_forget_locked(l, best);
    wb_log_keeper_wake_locked(l);
    pthread_mutex_unlock(&l->lock);
    wb_log_segment_name_spare(name, *spare);
    rc = l->disk->ops->open(l->disk, name, LOG_OPEN_WRITE, &s->fd);
    if (rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM)
        spare_put_back(l, *spare, s->written);
    if (rc == 0)
        rc = l->disk->ops->size(l->disk, s->fd, &size);
    if (rc == 0 && size != s->size)
        rc = -EIO; /* somebody else has been there */
    return rc == 0 ? 0 : wb_log_fail(l, rc, "open", name);
}

int wb_log_spare_adopt(logstore *l, uint64_t number)
{
    char name[LOG_NAME_MAX];
    uint64_t size = 0;
    int fd = -1, rc;

    wb_log_segment_name_spare(name, number);
    if (l->spare_count < LOG_SPARES) {
        if ((rc = l->disk->ops->open(l->disk, name, LOG_OPEN_READ, &fd)) != 0)
            return wb_log_fail(l, rc, "open", name);
        rc = l->disk->ops->size(l->disk, fd, &size);
        (void)l->disk->ops->close(l->disk, fd);
        if (rc != 0)
            return wb_log_fail(l, rc, "look at", name);
        if (size == l->segment_bytes) {
            spare_add_locked(l, number, UINT64_MAX); /* asked for when it is taken */
            return 0;
        }
    }
    if (l->opened_read_only)
        return 0;
    rc = l->disk->ops->remove(l->disk, name);
    return rc == 0 || rc == -ENOENT ? 0 : wb_log_fail(l, rc, "remove", name);
}

int wb_log_spare_make(logstore *l)
{
    log_segment *s = wb_log_segment_new(0);
    char name[LOG_NAME_MAX];
    bool unneeded = false;
    uint64_t number;
    int rc;

    if (s == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for a spare segment of %.150s", l->dir);
    s->size = l->segment_bytes;
    rc = wb_log_segment_create(l, s, &number);
    pthread_mutex_lock(&l->lock);
    if (rc == 0 && l->spare_count + l->spare_comes < LOG_SPARES)
        spare_add_locked(l, number, 0);
    else if (rc == 0)
        unneeded = true; /* segments have been retired meanwhile */
    l->no_space = rc != 0;
    pthread_mutex_unlock(&l->lock);
    wb_log_segment_name_spare(name, number);
    if (unneeded)
        (void)l->disk->ops->remove(l->disk, name);
    wb_log_segment_free(l, s);
    return rc;
}

int wb_log_spare_drop(logstore *l)
{
    char name[LOG_NAME_MAX];
    bool drop;
    int rc;

    pthread_mutex_lock(&l->lock);
    drop = l->spare_count > 1; /* the last one is the reserve */
    if (drop) {
        wb_log_segment_name_spare(name, l->spares[l->spare_count - 1]);
        spare_forget_locked(l, l->spare_count - 1);
    }
    pthread_mutex_unlock(&l->lock);
    if (!drop)
        return 0;
    rc = l->disk->ops->remove(l->disk, name);
    return rc == 0 ? 0 : wb_log_fail(l, rc, "remove", name);
}

/* Puts must leave a spare: with its help whatever removes something goes on when the disk is full. */
int wb_log_spare_reserve(logstore *l)
{
    bool have;
    int rc;

    pthread_mutex_lock(&l->lock);
    have = l->spare_count > 0;
    pthread_mutex_unlock(&l->lock);
    if (have || (rc = wb_log_spare_make(l)) == 0)
        return 0;
    pthread_mutex_lock(&l->lock);
    wb_log_keeper_wake_locked(l); /* it may be able to make room for one */
    pthread_mutex_unlock(&l->lock);
    return rc;
}

bool wb_log_spares_short_locked(const logstore *l)
{
    return l->spare_count <= 1 && l->oldest != NULL && l->oldest != l->active && l->oldest->live_blobs == 0;
}

/* ---- retiring ---- */

typedef enum retire_to { RETIRE_SPARE, RETIRE_REMOVE, RETIRE_SET_ASIDE } retire_to;

static retire_to retire_where_locked(const logstore *l, const log_segment *s)
{
    if (s->damaged)
        return RETIRE_SET_ASIDE;
    return !s->failed && s->size == l->segment_bytes && l->spare_count < LOG_SPARES && !wb_log_over_locked(l)
               ? RETIRE_SPARE
               : RETIRE_REMOVE;
}

static int retire_file(logstore *l, const log_segment *s, retire_to where, uint64_t spare)
{
    char from[LOG_NAME_MAX], to[LOG_NAME_MAX];
    int rc;

    wb_log_segment_name(from, s->number);
    if (where == RETIRE_SPARE)
        wb_log_segment_name_spare(to, spare);
    else
        wb_log_segment_name_aside(to, s->number);
    rc = where == RETIRE_REMOVE ? l->disk->ops->remove(l->disk, from) : l->disk->ops->rename(l->disk, from, to);
    if (rc != 0) {
        /* It may have happened all the same, and nobody may build upon that. */
        rc = wb_log_fail(l, rc, "retire", from);
        wb_log_turn_read_only(l, "a segment could not be retired");
        return rc;
    }
    return wb_log_sync_folder(l, from);
}

static void retire_forget_locked(logstore *l, log_segment *s, retire_to where, uint64_t spare)
{
    l->oldest = s->newer;
    l->segments--;
    l->segment_total -= s->size;
    l->no_space = false;
    if (where == RETIRE_SPARE) {
        spare_add_locked(l, spare, s->written);
    } else if (where == RETIRE_SET_ASIDE) {
        l->set_aside++;
        l->set_aside_bytes += s->size;
    }
    wb_log_segment_free(l, s);
}

bool wb_log_retirable_locked(const logstore *l, const log_segment *s)
{
    return s != NULL && s != l->active && s->newer != NULL && s->live_blobs == 0 && s->pins == 0 && !l->read_only &&
           !l->retiring;
}

int wb_log_retire(logstore *l, bool *done)
{
    log_segment *s;
    retire_to where = RETIRE_REMOVE;
    uint64_t spare;
    int rc;

    pthread_mutex_lock(&l->lock);
    s = l->oldest;
    *done = wb_log_retirable_locked(l, s) && (l->sync_mode == BLOB_LOGSTORE_SYNC_NEVER || s->dead_lsn <= l->durable);
    if (*done) {
        l->retiring = true;
        where = retire_where_locked(l, s);
        l->spare_comes = where == RETIRE_SPARE;
        if (s->fd >= 0)
            l->open_files--;
        wb_log_segment_close(l, s);
    }
    pthread_mutex_unlock(&l->lock);
    if (!*done)
        return 0;
    spare = where == RETIRE_SPARE ? wb_log_spare_number(l) : 0;
    rc = retire_file(l, s, where, spare);
    *done = rc == 0;
    pthread_mutex_lock(&l->lock);
    if (rc == 0)
        retire_forget_locked(l, s, where, spare); /* nobody pins it: what is retiring is left alone */
    l->retiring = false;
    l->spare_comes = 0;
    pthread_cond_broadcast(&l->settled);
    pthread_mutex_unlock(&l->lock);
    return rc;
}

bool wb_log_reclaim(logstore *l)
{
    unsigned before, after;
    uint64_t segments;
    bool done = true, unsynced;

    pthread_mutex_lock(&l->lock);
    before = l->spare_count;
    segments = l->segments;
    while (l->retiring)
        (void)wb_log_settled_locked(l, NULL);
    unsynced = l->oldest != NULL && l->oldest->dead_lsn > l->durable;
    pthread_mutex_unlock(&l->lock);
    /* What made the records dead must be on the disk before they go (rule 6). */
    if (unsynced && (l->active == NULL || l->active->failed || wb_log_sync(l) != 0))
        return false;
    while (done && wb_log_retire(l, &done) == 0)
        ;
    pthread_mutex_lock(&l->lock);
    after = l->spare_count;
    done = after > before || l->segments < segments;
    pthread_mutex_unlock(&l->lock);
    return done;
}
