/* room.c - the bounds of the buffer: who may put, who waits, and when waiting is in vain.
 *
 * A put reserves its room before it writes and gives the reservation back when its entry is pending (which counts from
 * then on) or has failed. Who finds no room, or finds others waiting already, queues up; only the head of the queue
 * looks again, whenever something left the buffer, so room goes to those who wait in the order they came, and a large
 * blob is not starved by small ones. Waiting is in vain once nothing is left that could leave by itself. */
#include "wbstore/wrapper.h"

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

static int room_full(const wbstore *w)
{
    return blob_fail(BLOB_FULL, 0, "the buffer is full: %llu blobs, %llu bytes pending, %llu of the blobs parked",
                     (unsigned long long)(w->ledger.active_blobs + w->ledger.parked_blobs),
                     (unsigned long long)w->ledger.bytes, (unsigned long long)w->ledger.parked_blobs);
}

static void room_enqueue(wbstore *w, wb_room_waiter *me, bool first)
{
    if (w->room_head == NULL || !first) {
        *(w->room_head == NULL ? &w->room_head : &w->room_tail->next) = me;
        w->room_tail = me;
    } else {
        me->next = w->room_head;
        w->room_head = me;
    }
}

static void room_dequeue(wbstore *w, wb_room_waiter *me)
{
    wb_room_waiter *before = NULL;

    for (wb_room_waiter *at = w->room_head; at != me; at = at->next)
        before = at;
    *(before == NULL ? &w->room_head : &before->next) = me->next;
    if (w->room_tail == me)
        w->room_tail = before;
    wb_room_changed(w); /* the next one may fit as well */
}

/* Waits as the head of the queue until there is room for size (releases: until the buffer itself has lost something
 * since). */
static int room_wait(wbstore *w, blob_ctx *ctx, uint64_t size, const uint64_t *releases)
{
    wb_room_waiter me = {.next = NULL};
    int rc = blob_cond_init(&me.called);

    if (rc != 0)
        return rc;
    room_enqueue(w, &me, releases != NULL);
    for (;;) {
        if (w->room_head == &me) {
            if (releases != NULL ? w->releases != *releases : room_for(w, size))
                break;
            if (room_in_vain(w)) {
                rc = room_full(w);
                break;
            }
        }
        if ((rc = wb_wait(w, ctx, &me.called)) != 0)
            break;
    }
    room_dequeue(w, &me);
    pthread_cond_destroy(&me.called);
    return rc;
}

int wb_room_take(wbstore *w, blob_ctx *ctx, uint64_t size, bool *waited)
{
    int rc = 0;

    *waited = false;
    if (w->options.buffer_bytes_max > 0 && size > w->options.buffer_bytes_max)
        return blob_fail(BLOB_REJECTED, 0, "a blob of %llu bytes; the buffer's bound is %llu", (unsigned long long)size,
                         (unsigned long long)w->options.buffer_bytes_max);
    if (w->room_head != NULL || !room_for(w, size)) {
        *waited = w->options.when_full == WBSTORE_FULL_WAIT;
        rc = *waited ? room_wait(w, ctx, size, NULL) : room_full(w);
    }
    if (rc == 0) {
        w->reserved_blobs++;
        w->reserved_bytes += size;
    }
    return rc;
}

int wb_room_wait_release(wbstore *w, blob_ctx *ctx, uint64_t releases)
{
    return room_wait(w, ctx, 0, &releases);
}

void wb_room_return(wbstore *w, uint64_t size)
{
    w->reserved_blobs--;
    w->reserved_bytes -= size;
    wb_room_changed(w);
}
