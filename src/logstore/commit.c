/* commit.c - the queue of those who wait for a write, and who writes for all.
 *
 * Whoever finds nobody writing takes all that waits, writes and syncs it as one batch, and tells its owners; those who
 * come meanwhile gather for the next one. There is no thread for it: the one who leads is one of those who wait. Waiters
 * sleep on one of two conditions, by turns, so that the end of a batch wakes its own; one of the next batch's is then
 * woken to lead it. A waiter that gives up while it may have been woken for that passes it on. */
#include "logstore/logstore.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "blob/ctx.h"

log_item *wb_log_item_new(log_kind kind)
{
    log_item *i = calloc(1, sizeof *i);

    if (i != NULL)
        i->kind = kind;
    return i;
}

static void item_free(log_item *i)
{
    wb_log_image_drop(i->image);
    free(i);
}

/* ---- what came of an item ---- */

static void settle_moved_locked(logstore *l, log_entry *e, const log_item *i)
{
    e->segment = l->active;
    e->offset8 = (uint32_t)(i->offset / 8);
    e->padding = i->padding;
    e->flags = 0;
}

static void settle_put_locked(logstore *l, log_item *i)
{
    log_entry *e = i->entry;

    if (i->old != NULL) {
        i->old->segment->dead_lsn = l->next_lsn - 1;
        wb_log_count_out_locked(l, i->old);
        wb_log_exchange_locked(l, i->old, e);
        free(i->old);
    }
    settle_moved_locked(l, e, i);
    wb_log_count_in_locked(l, e);
    wb_log_cache_add_locked(l, e, i->image);
    i->image = NULL;
}

/* The entry keeps its place in the cache, or stays out of it. */
static void settle_copy_locked(logstore *l, log_item *i)
{
    log_entry *e = i->entry;
    log_segment *from = e->segment;
    uint64_t bytes = wb_log_entry_bytes(e);

    from->dead_lsn = l->next_lsn - 1;
    from->live_blobs--;
    from->live_bytes -= bytes;
    l->live_bytes -= bytes;
    l->copy_credit -= (int64_t)bytes;
    settle_moved_locked(l, e, i);
    if (i->busy)
        e->flags |= LOG_BUSY;
    bytes = wb_log_entry_bytes(e);
    e->segment->live_blobs++;
    e->segment->live_bytes += bytes;
    l->live_bytes += bytes;
    if (from->live_blobs == 0 && from == l->oldest)
        wb_log_keeper_wake_locked(l);
}

static void settle_done_locked(logstore *l, log_item *i)
{
    switch (i->kind) {
    case LOG_ITEM_PUT:
        settle_put_locked(l, i);
        break;
    case LOG_ITEM_COPY:
        settle_copy_locked(l, i);
        break;
    case LOG_ITEM_DELETE:
        i->entry->segment->dead_lsn = l->next_lsn - 1;
        wb_log_count_out_locked(l, i->entry);
        wb_log_remove_locked(l, i->entry);
        l->copy_credit += (int64_t)wb_log_item_bytes(i);
        free(i->entry);
        break;
    case LOG_ITEM_LAZY:
        l->copy_credit += (int64_t)wb_log_item_bytes(i);
        free(i->entry);
        break;
    default:
        break;
    }
}

static void settle_undone_locked(logstore *l, log_item *i)
{
    switch (i->kind) {
    case LOG_ITEM_PUT:
        if (i->old != NULL)
            i->old->flags &= (uint8_t)~LOG_BUSY;
        else
            wb_log_remove_locked(l, i->entry);
        free(i->entry);
        break;
    case LOG_ITEM_COPY:
    case LOG_ITEM_DELETE:
        if (!i->busy)
            i->entry->flags &= (uint8_t)~LOG_BUSY;
        break;
    default:
        break;
    }
}

static void lazy_put_back_locked(logstore *l, log_item *i)
{
    if (l->read_only || i->entry == NULL) { /* in memory only from here on */
        free(i->entry);
        item_free(i);
        return;
    }
    i->next = l->lazy;
    l->lazy = i;
    if (i->next == NULL)
        l->lazy_end = &i->next;
    l->lazy_count++;
}

static void settle_one_locked(logstore *l, log_item *i, int rc)
{
    if (i->kind == LOG_ITEM_LAZY && rc != 0) {
        lazy_put_back_locked(l, i);
        return;
    }
    if (i->kind == LOG_ITEM_PUT)
        l->reserved_bytes -= wb_log_room_needed(i->entry->key_size, i->image->size);
    if (rc == 0)
        settle_done_locked(l, i);
    else
        settle_undone_locked(l, i);
    i->entry = i->old = NULL;
    i->rc = rc;
    i->done = true;
    if (i->abandoned || i->kind == LOG_ITEM_LAZY)
        item_free(i);
}

/* ---- batches ---- */

static void queue_add_locked(logstore *l, log_item *item)
{
    item->next = NULL;
    *l->queue_end = item;
    l->queue_end = &item->next;
    l->queued++;
}

/* Room for the records of a batch in a fresh segment of the usual size. */
static uint64_t batch_limit(const logstore *l)
{
    uint64_t room = l->segment_bytes - 4 * LOG_BLOCK;

    return room < LOG_BATCH_MAX ? room : LOG_BATCH_MAX;
}

static bool batch_has_room(const logstore *l, const log_batch *b, const log_item *i)
{
    uint64_t more = wb_log_item_bytes(i) + LOG_FOOTER_ENTRY + BLOB_KEY_MAX;

    return b->first == NULL || b->bytes + b->footer_bytes + more <= batch_limit(l);
}

static bool item_wants_sync(const logstore *l, const log_item *i)
{
    return l->sync_mode == BLOB_LOGSTORE_SYNC_EACH && !l->recovering &&
           (i->kind == LOG_ITEM_PUT || i->kind == LOG_ITEM_DELETE || i->kind == LOG_ITEM_COPY);
}

static void batch_take_locked(logstore *l, log_batch *b, bool removals)
{
    log_item *i;

    wb_log_batch_init(b);
    while ((i = l->lazy) != NULL && batch_has_room(l, b, i)) {
        if ((l->lazy = i->next) == NULL)
            l->lazy_end = &l->lazy;
        l->lazy_count--;
        wb_log_batch_add(b, i);
    }
    /* Not before all the tombstones: one of them may be of a key that is put here again (rule 7). */
    for (log_item **at = &l->queue; l->lazy == NULL && (i = *at) != NULL;) {
        if (removals && i->kind == LOG_ITEM_PUT) {
            at = &i->next;
            continue;
        }
        if (!batch_has_room(l, b, i))
            break;
        if ((*at = i->next) == NULL)
            l->queue_end = at;
        l->queued--;
        i->taken = true;
        b->sync = b->sync || item_wants_sync(l, i);
        wb_log_batch_add(b, i);
    }
}

/* Takes back what is no put: there is no room for puts, but what makes room must go on. */
static void batch_refuse_puts_locked(logstore *l, log_batch *b, int rc)
{
    log_item *next;

    for (log_item *i = b->first; i != NULL; i = next) {
        next = i->next;
        if (i->kind == LOG_ITEM_PUT) {
            settle_one_locked(l, i, rc);
        } else if (i->kind == LOG_ITEM_LAZY) {
            lazy_put_back_locked(l, i);
        } else {
            i->taken = false;
            queue_add_locked(l, i);
        }
    }
    wb_log_batch_init(b);
}

/* A batch of tombstones alone could not be written: nobody was told, and those in the queue would try for ever. */
static void queue_fail_locked(logstore *l, int rc, unsigned *woken)
{
    log_item *i;

    while ((i = l->queue) != NULL) {
        if ((l->queue = i->next) == NULL)
            l->queue_end = &l->queue;
        l->queued--;
        *woken |= 1u << i->parity;
        settle_one_locked(l, i, rc);
    }
}

static bool batch_is_lazy(const log_batch *b)
{
    for (const log_item *i = b->first; i != NULL; i = i->next)
        if (i->kind != LOG_ITEM_LAZY)
            return false;
    return true;
}

/* Writes one batch. True: it had puts that found no room, and what came with them waits again. */
static bool write_one_locked(logstore *l, bool removals, unsigned *woken)
{
    blob_error error;
    log_item *next;
    log_batch b;
    bool lazy;
    int rc = 0;

    batch_take_locked(l, &b, removals);
    l->parity ^= 1;
    if (b.first != NULL && l->read_only) {
        rc = wb_log_read_only_locked(l);
    } else if (b.first != NULL) {
        pthread_mutex_unlock(&l->lock);
        rc = wb_log_batch_write(l, &b);
        pthread_mutex_lock(&l->lock);
    }
    if (rc != 0) {
        blob_last_error(&error);
        memcpy(l->fail_text, error.text, sizeof l->fail_text - 1);
        l->fail_text[sizeof l->fail_text - 1] = '\0';
    }
    for (log_item *i = b.first; i != NULL; i = i->next)
        *woken |= 1u << i->parity;
    if (rc == -ENOSPC && b.puts) {
        batch_refuse_puts_locked(l, &b, rc);
        return true;
    }
    lazy = batch_is_lazy(&b);
    for (log_item *i = b.first; i != NULL; i = next) {
        next = i->next;
        settle_one_locked(l, i, rc);
    }
    if (rc != 0 && lazy)
        queue_fail_locked(l, rc, woken);
    l->written_lsn = l->next_lsn - 1;
    return false;
}

/* Those whom a batch was for come back at once, as a rule: the next one is better with all of them than with half. So it
 * waits for as many as there were lately, but not for long. */
static void gather_locked(logstore *l)
{
    int64_t until = 0;

    while (l->queued < l->expected) {
        int64_t now = wb_now_ns();

        if (until == 0)
            until = now + LOG_GATHER_NS;
        if (now >= until)
            break;
        pthread_mutex_unlock(&l->lock);
        sched_yield();
        pthread_mutex_lock(&l->lock);
    }
}

/* The parity of somebody who waits for the next batch; -1: nobody does. Who queued without waiting comes back himself. */
static int leader_locked(const logstore *l)
{
    for (const log_item *i = l->queue; i != NULL; i = i->next)
        if (!i->abandoned)
            return i->parity;
    return -1;
}

/* Whom to wake; done without the lock, for all of them want it. */
typedef struct commit_wake {
    unsigned done; /* parities whose items are */
    int leader;    /* the parity of who writes next; -1: nobody waits for that */
    bool settled;
} commit_wake;

static void wake(logstore *l, const commit_wake *w)
{
    if (w->leader >= 0)
        pthread_cond_signal(&l->committed[w->leader]);
    for (unsigned parity = 0; parity < 2; parity++)
        if ((w->done & 1u << parity) != 0)
            pthread_cond_broadcast(&l->committed[parity]);
    if (w->settled)
        pthread_cond_broadcast(&l->settled);
}

/* Writes what waits, as much as goes into one batch. The lock is not held meanwhile. */
static void write_next_locked(logstore *l, commit_wake *w)
{
    uint64_t before;

    l->writing = true;
    w->done = 0;
    if (l->queue != NULL && item_wants_sync(l, l->queue))
        gather_locked(l);
    before = l->queued;
    if (write_one_locked(l, false, &w->done))
        (void)write_one_locked(l, true, &w->done);
    l->expected = before + l->queued;
    l->writing = false;
    l->last_batch_ns = wb_now_ns();
    w->settled = l->settling > 0;
    w->leader = leader_locked(l);
    wb_log_keeper_idle_locked(l);
}

static void write_and_wake_locked(logstore *l)
{
    commit_wake w;

    write_next_locked(l, &w);
    pthread_mutex_unlock(&l->lock);
    wake(l, &w);
    pthread_mutex_lock(&l->lock);
}

/* ---- waiting ---- */

static void withdraw_locked(logstore *l, log_item *item, int rc)
{
    int leader;

    assert(!item->abandoned && item->kind != LOG_ITEM_LAZY); /* it is the caller's to free */
    for (log_item **at = &l->queue; *at != NULL; at = &(*at)->next)
        if (*at == item) {
            if ((*at = item->next) == NULL)
                l->queue_end = at;
            l->queued--;
            break;
        }
    settle_one_locked(l, item, rc);
    if (!l->writing && (leader = leader_locked(l)) >= 0)
        pthread_cond_signal(&l->committed[leader]);
    if (l->settling > 0)
        pthread_cond_broadcast(&l->settled);
}

void wb_log_queue_locked(logstore *l, log_item *item)
{
    item->abandoned = true;
    item->parity = l->parity;
    queue_add_locked(l, item);
}

/* Waits for what became of an item, or leads. False: it was given up, with *rc. */
static bool await_locked(logstore *l, blob_ctx *ctx, log_item *item, commit_wake *w, int *rc)
{
    while (!item->done) {
        if (!l->writing && (*rc = blob_ctx_status(ctx)) == 0) {
            write_next_locked(l, w);
            if (item->done)
                return true;
            pthread_mutex_unlock(&l->lock);
            wake(l, w);
            *w = (commit_wake){.leader = -1};
            pthread_mutex_lock(&l->lock);
            continue;
        }
        if (*rc == 0)
            *rc = blob_ctx_wait(ctx, &l->committed[item->parity], &l->lock);
        if (*rc != 0 && !item->done)
            return false;
    }
    return true;
}

int wb_log_commit_unlock(logstore *l, blob_ctx *ctx, log_item *item)
{
    commit_wake w = {.leader = -1};
    bool written = false;
    int rc = 0;

    item->parity = l->parity;
    queue_add_locked(l, item);
    if (await_locked(l, ctx, item, &w, &rc)) {
        rc = item->rc;
        if (rc != 0)
            (void)blob_fail(rc, 0, "%s", l->fail_text);
    } else if (item->taken) {
        item->abandoned = written = true;
        (void)blob_fail(rc, 0, "%.150s: it is being written and may still be stored", l->dir);
    } else {
        withdraw_locked(l, item, rc);
    }
    pthread_mutex_unlock(&l->lock);
    wake(l, &w);
    if (!written)
        item_free(item);
    return rc;
}

void wb_log_flush_lazy_locked(logstore *l)
{
    if (!l->writing && l->lazy != NULL)
        write_and_wake_locked(l);
}

int wb_log_settled_locked(logstore *l, blob_ctx *ctx)
{
    int rc;

    l->settling++;
    rc = blob_ctx_wait(ctx, &l->settled, &l->lock);
    l->settling--;
    return rc;
}
