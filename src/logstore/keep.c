/* keep.c - the keeper: a thread that does what nobody should have to wait for.
 *
 *   syncs in time          option BLOB_LOGSTORE_SYNC_INTERVAL
 *   retires                the oldest segments, once they are empty
 *   copies forward         what is left in the oldest segment, while the log is too large for what is in it
 *   makes a spare          so that there is one when the disk is full
 *   vouches                for the last batch, once no other comes to do so
 *
 * It writes as everybody does, through the queue. */
#include "logstore/logstore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "blob/ctx.h"
#include "blob/thread.h"

#define KEEP_STACK ((size_t)256 << 10)
#define KEEP_NEVER INT64_MAX
#define KEEP_COPY_BYTES ((uint64_t)1 << 20) /* copied forward between two waits */

static int keep_commit(logstore *l, log_kind kind)
{
    log_item *i = wb_log_item_new(kind);

    if (i == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for the keeper of %.150s", l->dir);
    pthread_mutex_lock(&l->lock);
    return wb_log_commit_unlock(l, NULL, i);
}

/* ---- stragglers ---- */

/* What was live in a segment when it was read: offsets and keys. */
typedef struct keep_stragglers {
    logstore *l;
    log_segment *s;
    log_bytes list;
} keep_stragglers;

typedef struct keep_straggler {
    uint64_t offset;
    uint8_t key_size;
} keep_straggler;

static int keep_note(void *arg, const log_record *r)
{
    keep_stragglers *k = arg;
    keep_straggler one = {r->offset, r->key_size};
    const log_entry *e;

    if (r->type != LOG_PUT)
        return 0;
    pthread_mutex_lock(&k->l->lock);
    e = wb_log_find_at_locked(k->l, blob_key_of(r->key, r->key_size), k->s, r->offset);
    pthread_mutex_unlock(&k->l->lock);
    if (e == NULL)
        return 0;
    if (!wb_log_bytes_reserve(&k->list, sizeof one + r->key_size))
        return blob_fail(-ENOMEM, 0, "no memory for the keeper of %.150s", k->l->dir);
    memcpy(k->list.data + k->list.size, &one, sizeof one);
    memcpy(k->list.data + k->list.size + sizeof one, r->key, r->key_size);
    k->list.size += sizeof one + r->key_size;
    return 0;
}

/* Queues the copy of one straggler; *bytes grows by what it comes to. One that is being changed is left alone. */
static int keep_copy_one_locked(logstore *l, log_segment *s, uint64_t offset, blob_key key, uint64_t *bytes)
{
    log_entry *e = wb_log_find_at_locked(l, key, s, offset);
    log_image *image = NULL;
    log_item *item;
    int rc = 0;

    if (e == NULL || (e->flags & (LOG_PENDING | LOG_BUSY)) != 0)
        return 0;
    if ((item = wb_log_item_new(LOG_ITEM_COPY)) == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for the keeper of %.150s", l->dir);
    e->flags |= LOG_BUSY;
    if (e->image != NULL) {
        image = e->image;
        (void)blob_ref(wb_log_image_blob(image));
    } else {
        pthread_mutex_unlock(&l->lock);
        rc = wb_log_image_load(l, s, offset, key, e->size, e->crc, &image);
        pthread_mutex_lock(&l->lock);
        if (rc == 0 && image->error != 0 && ++s->unreadable < LOG_UNREADABLE_MAX)
            rc = wb_log_fail_name(l, image->error, "read", s->number); /* it may be better another time */
        if (rc == 0)
            wb_log_loaded_locked(l, s, offset, key, e->time_s, image);
    }
    if (rc != 0) {
        e->flags &= (uint8_t)~LOG_BUSY;
        pthread_cond_broadcast(&l->settled);
        wb_log_image_drop(image);
        free(item);
        return rc;
    }
    item->entry = e;
    item->image = image;
    *bytes += wb_log_item_bytes(item);
    wb_log_queue_locked(l, item);
    return 0;
}

static int keep_copy_all(logstore *l, const keep_stragglers *k)
{
    uint64_t bytes = 0;
    int rc = 0;

    for (size_t at = 0; at < k->list.size && rc == 0;) {
        keep_straggler one;
        bool stop;

        memcpy(&one, k->list.data + at, sizeof one);
        pthread_mutex_lock(&l->lock);
        rc = keep_copy_one_locked(l, k->s, one.offset, blob_key_of(k->list.data + at + sizeof one, one.key_size),
                                  &bytes);
        stop = l->stopping;
        pthread_mutex_unlock(&l->lock);
        at += sizeof one + one.key_size;
        if (stop)
            at = k->list.size;
        if (rc == 0 && (bytes >= KEEP_COPY_BYTES || at == k->list.size)) {
            rc = keep_commit(l, LOG_ITEM_SYNC);
            bytes = 0;
        }
    }
    if (bytes > 0 && rc != 0)
        (void)keep_commit(l, LOG_ITEM_SYNC); /* what was queued must not wait for somebody else to come */
    return rc;
}

/* Copies forward what is live in the oldest segment. */
static int keep_copy_oldest(logstore *l)
{
    keep_stragglers k = {.l = l};
    bool gone;
    int rc;

    pthread_mutex_lock(&l->lock);
    k.s = l->oldest;
    /* The writer may have come first, and be taking it away. */
    gone = l->retiring || k.s == NULL || k.s == l->active;
    rc = gone ? 0 : wb_log_pin_locked(l, k.s);
    pthread_mutex_unlock(&l->lock);
    if (rc != 0 || gone)
        return rc;
    rc = wb_log_scan_any(l, k.s, keep_note, &k);
    if (rc == 0)
        rc = keep_copy_all(l, &k);
    pthread_mutex_lock(&l->lock);
    wb_log_unpin_locked(l, k.s);
    pthread_mutex_unlock(&l->lock);
    free(k.list.data);
    return rc;
}

/* ---- space ---- */

bool wb_log_over_locked(const logstore *l)
{
    /* The reserve is counted when it has yet to be made, too. */
    uint64_t total = l->segment_total + (l->spare_count > 0 ? l->spare_count : 1) * l->segment_bytes;

    return total > 2 * l->live_bytes + 3 * l->segment_bytes ||
           l->segments > 2 * (l->live_bytes / l->segment_bytes) + LOG_SEGMENTS_SLACK;
}

/* What made the oldest segment's records dead must be on the disk before it goes (rule 6). */
static int keep_retire(logstore *l, bool *done)
{
    bool unsynced, can;
    int rc;

    *done = false;
    pthread_mutex_lock(&l->lock);
    can = wb_log_retirable_locked(l, l->oldest);
    unsynced = can && l->oldest->dead_lsn > l->durable && l->sync_mode != BLOB_LOGSTORE_SYNC_NEVER;
    pthread_mutex_unlock(&l->lock);
    if (!can)
        return 0;
    if (unsynced && (rc = keep_commit(l, LOG_ITEM_SYNC)) != 0)
        return rc;
    return wb_log_retire(l, done);
}

typedef enum keep_space { KEEP_ENOUGH, KEEP_SPARE_LESS, KEEP_ROTATE, KEEP_COPY } keep_space;

static keep_space keep_look_locked(const logstore *l)
{
    /* On a full disk the oldest segment must give way to a reserve, if it is not worth its place. */
    bool starved = l->spare_count == 0 && l->no_space;

    if (l->read_only || l->oldest == NULL || l->retiring || (!starved && !wb_log_over_locked(l)))
        return KEEP_ENOUGH;
    if (starved && (l->oldest == l->active || l->oldest->live_bytes > l->oldest->size / 2))
        return KEEP_ENOUGH;
    if (l->spare_count > 1)
        return KEEP_SPARE_LESS;
    if (l->oldest == l->active || l->oldest->newer == NULL)
        return KEEP_ROTATE;
    /* A byte is copied for a byte that died: where nothing did, copying would gain nothing and go on for ever. */
    return l->oldest->live_blobs > 0 && l->copy_credit > 0 ? KEEP_COPY : KEEP_ENOUGH;
}

static int keep_make_room(logstore *l)
{
    bool done = true;
    int rc = 0;

    while (rc == 0) {
        keep_space next;

        while (rc == 0 && done)
            rc = keep_retire(l, &done);
        pthread_mutex_lock(&l->lock);
        next = l->stopping ? KEEP_ENOUGH : keep_look_locked(l);
        pthread_mutex_unlock(&l->lock);
        if (rc != 0 || next == KEEP_ENOUGH)
            return rc;
        if (next == KEEP_SPARE_LESS)
            rc = wb_log_spare_drop(l);
        else if (next == KEEP_ROTATE)
            rc = keep_commit(l, LOG_ITEM_ROTATE);
        else
            rc = keep_copy_oldest(l);
        if (rc == 0 && next == KEEP_COPY) {
            rc = keep_retire(l, &done);
            if (rc == 0 && !done)
                return 0; /* somebody reads or changes there; the end of that wakes the keeper */
        }
        done = true;
    }
    return rc;
}

/* ---- rounds ---- */

typedef struct keep_due {
    bool sync, vouch, spare;
    int64_t next_ms; /* until something is due; KEEP_NEVER: nothing that is known of */
} keep_due;

static keep_due keep_due_locked(const logstore *l, bool all)
{
    int64_t now = wb_now_ns();
    int64_t idle_ms = (now - l->last_batch_ns) / 1000000, since_ms = (now - l->last_sync_ns) / 1000000;
    keep_due due = {.next_ms = KEEP_NEVER};

    if (l->read_only)
        return due;
    due.spare = l->spare_count == 0 && l->segments > 0 && !l->no_space;
    if (l->written_lsn != l->durable || l->lazy != NULL) {
        bool timed = l->sync_mode == BLOB_LOGSTORE_SYNC_INTERVAL;
        due.next_ms = timed ? l->interval_ms - since_ms : LOG_IDLE_MS - idle_ms;
        due.sync = all || due.next_ms <= 0;
    } else if (l->vouched != l->durable) {
        due.next_ms = LOG_IDLE_MS - idle_ms;
        due.vouch = all || due.next_ms <= 0;
    }
    return due;
}

int wb_log_keeper_round(logstore *l, bool all)
{
    keep_due due;
    int rc, later;

    pthread_mutex_lock(&l->lock);
    due = keep_due_locked(l, all);
    pthread_mutex_unlock(&l->lock);
    rc = due.sync ? keep_commit(l, LOG_ITEM_SYNC) : 0;
    pthread_mutex_lock(&l->lock);
    if (due.sync)
        l->last_sync_ns = wb_now_ns();
    pthread_mutex_unlock(&l->lock);
    if ((later = keep_make_room(l)) != 0)
        rc = later;
    pthread_mutex_lock(&l->lock);
    due = keep_due_locked(l, all);
    pthread_mutex_unlock(&l->lock);
    if (due.spare)
        (void)wb_log_spare_make(l); /* a full disk is no failure yet */
    if (rc == 0 && due.vouch)
        rc = keep_commit(l, LOG_ITEM_VOUCH);
    return rc;
}

/* ---- the thread ---- */

void wb_log_keeper_wake_locked(logstore *l)
{
    l->keeper_asked = true;
    if (l->has_keeper)
        pthread_cond_broadcast(&l->keeper_wake);
}

void wb_log_keeper_idle_locked(logstore *l)
{
    if (l->keeper_sleeps)
        wb_log_keeper_wake_locked(l);
}

/* Sleeps until `until`, or until asked; after a failure no sooner than that. */
static void keeper_sleep_locked(logstore *l, int64_t until, bool failed)
{
    l->keeper_sleeps = until == WB_NEVER;
    while (!l->stopping && (!l->keeper_asked || failed)) {
        (void)wb_ctx_wait(NULL, NULL, &l->keeper_wake, &l->lock, until);
        if (until != WB_NEVER && wb_now_ns() >= until)
            break;
    }
    l->keeper_sleeps = false;
}

static void *keeper_run(void *arg)
{
    logstore *l = arg;
    keep_due due;
    int rc;

    pthread_mutex_lock(&l->lock);
    while (!l->stopping) {
        l->keeper_asked = false;
        pthread_mutex_unlock(&l->lock);
        rc = wb_log_keeper_round(l, false);
        pthread_mutex_lock(&l->lock);
        due = keep_due_locked(l, false);
        if (rc != 0)
            due.next_ms = LOG_RETRY_MS;
        else if (due.next_ms < 1)
            due.next_ms = 1;
        keeper_sleep_locked(l, due.next_ms == KEEP_NEVER ? WB_NEVER : wb_after_ms(wb_now_ns(), due.next_ms), rc != 0);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

int wb_log_keeper_start(logstore *l)
{
    int rc;

    l->has_keeper = true;
    rc = wb_thread_start(&l->keeper, keeper_run, l, KEEP_STACK);
    if (rc != 0)
        l->has_keeper = false;
    return rc;
}

void wb_log_keeper_stop(logstore *l)
{
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_cond_broadcast(&l->keeper_wake);
    pthread_mutex_unlock(&l->lock);
    if (l->has_keeper)
        (void)pthread_join(l->keeper, NULL);
    l->has_keeper = false;
}

int wb_log_keep(blob_store *s)
{
    return wb_log_keeper_round(wb_log_of(s), true);
}
