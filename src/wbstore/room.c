/* room.c - the bounds of the buffer: who may put, who waits, and when waiting is in vain.
 *
 * A put reserves its room before it writes and gives the reservation back when its entry is pending (which counts from
 * then on) or has failed. Who finds no room, or finds others waiting already, queues up; only the head of the queue
 * looks again, whenever something left the buffer, so room goes to those who wait in the order they came, and a large
 * blob is not starved by small ones. Waiting is in vain once nothing is left that could leave by itself.
 *
 * A buffer that is full by its own account may get room from somebody else, who empties its disk; nobody tells us, so
 * whoever waits for it asks it again now and then. Those whom it refused stand before all others, and each keeps his place
 * until his put is through: nobody else tries meanwhile, or what has left would go to the quickest. */
#include "wbstore/wrapper.h"

#define ROOM_ASK_MS 10000

static bool room_for(const wbstore *w, uint64_t size)
{
    uint64_t blobs = w->ledger.active_blobs + w->ledger.parked_blobs + w->reserved_blobs;
    uint64_t bytes = w->ledger.bytes + w->reserved_bytes;

    if (w->options.buffer_blobs_max > 0 && blobs >= w->options.buffer_blobs_max)
        return false;
    return w->options.buffer_bytes_max == 0 ||
           (bytes <= w->options.buffer_bytes_max && size <= w->options.buffer_bytes_max - bytes);
}

/* Nothing is on its way out: whatever fills the buffer is parked, or not ours. Until it is listed one cannot tell, but
 * by a buffer that does not let itself be listed. */
static bool room_in_vain(const wbstore *w)
{
    bool listing = w->resuming && w->resume_status == 0;

    return w->ledger.active_blobs == 0 && w->writing == 0 && !listing;
}

static int room_full(wbstore *w)
{
    (void)wb_hurry(w, wb_order_of(w->last_ticket));
    return blob_fail(BLOB_FULL, 0, "the buffer is full: %llu blobs, %llu bytes pending, %llu of the blobs parked",
                     (unsigned long long)(w->ledger.active_blobs + w->ledger.parked_blobs),
                     (unsigned long long)w->ledger.bytes, (unsigned long long)w->ledger.parked_blobs);
}

/* refused: by the buffer itself; behind those who were before. */
static int room_enqueue(wbstore *w, wb_room_waiter *me, bool refused)
{
    wb_room_waiter *before = refused ? NULL : w->room_tail;
    int rc = blob_cond_init(&me->called);

    if (rc != 0)
        return rc;
    for (wb_room_waiter *at = w->room_head; refused && at != NULL && at->refused; at = at->next)
        before = at;
    me->next = before == NULL ? w->room_head : before->next;
    *(before == NULL ? &w->room_head : &before->next) = me;
    if (me->next == NULL)
        w->room_tail = me;
    me->refused = refused;
    me->queued = true;
    me->found = false;
    return 0;
}

void wb_room_leave(wbstore *w, wb_room_waiter *me)
{
    wb_room_waiter *before = NULL;

    if (!me->queued)
        return;
    for (wb_room_waiter *at = w->room_head; at != me; at = at->next)
        before = at;
    *(before == NULL ? &w->room_head : &before->next) = me->next;
    if (w->room_tail == me)
        w->room_tail = before;
    me->queued = me->found = false;
    pthread_cond_destroy(&me->called);
    wb_room_changed(w); /* the next one may fit as well */
}

/* Waits as the head of the queue until there is room for size (releases: until the buffer itself has lost something
 * since, or it is time to ask it again), or in any place until another put has stored the blob. Stays in the queue. */
static int room_wait(wbstore *w, blob_ctx *ctx, wb_room_waiter *me, uint64_t size, const uint64_t *releases)
{
    int64_t ask_ns = releases != NULL ? wb_after_ms(wb_time_ns(w), ROOM_ASK_MS) : WB_NEVER;
    int rc = me->queued ? 0 : room_enqueue(w, me, releases != NULL);

    while (rc == 0 && !me->found) {
        if (w->room_head == me) {
            if ((releases != NULL ? w->releases != *releases : room_for(w, size)) || wb_time_ns(w) >= ask_ns)
                break;
            if (room_in_vain(w))
                return room_full(w);
        }
        /* What is pending is not to dwell while somebody waits for its room; nor what was put since he came. */
        if (wb_hurry(w, wb_order_of(w->last_ticket)))
            continue;
        rc = wb_wait_until(w, ctx, &me->called, w->room_head == me ? ask_ns : WB_NEVER);
    }
    return rc;
}

int wb_room_take(wbstore *w, blob_ctx *ctx, wb_room_waiter *me, uint64_t size, bool *waited, bool *reserved)
{
    bool found = false;
    int rc = 0;

    *waited = *reserved = false;
    if (w->options.buffer_bytes_max > 0 && size > w->options.buffer_bytes_max)
        return blob_fail(BLOB_REJECTED, 0, "a blob of %llu bytes; the buffer's bound is %llu", (unsigned long long)size,
                         (unsigned long long)w->options.buffer_bytes_max);
    if (w->room_head != NULL || !room_for(w, size)) {
        *waited = w->options.when_full == WBSTORE_FULL_WAIT;
        rc = *waited ? room_wait(w, ctx, me, size, NULL) : room_full(w);
        found = me->found;
        wb_room_leave(w, me);
    }
    if (rc == 0 && !found) {
        w->reserved_blobs++;
        w->reserved_bytes += size;
        *reserved = true;
    }
    return rc;
}

void wb_room_found(wbstore *w, blob_key key)
{
    for (wb_room_waiter *at = w->room_head; at != NULL; at = at->next)
        if (blob_key_compare(at->key, key) == 0) {
            at->found = true;
            pthread_cond_signal(&at->called);
        }
}

int wb_room_wait_release(wbstore *w, blob_ctx *ctx, wb_room_waiter *me, uint64_t releases)
{
    int rc = room_wait(w, ctx, me, 0, &releases);

    me->found = false;
    return rc;
}

void wb_room_return(wbstore *w, uint64_t size)
{
    w->reserved_blobs--;
    w->reserved_bytes -= size;
    wb_room_changed(w);
}

uint64_t wb_room_waiters(const wbstore *w)
{
    uint64_t count = 0;

    for (const wb_room_waiter *at = w->room_head; at != NULL; at = at->next)
        count++;
    return count;
}
