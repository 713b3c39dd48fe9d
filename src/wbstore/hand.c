/* hand.c - one hand per key: whoever uploads, deletes or replaces a key holds its entry's hand meanwhile.
 *
 * A writer takes the hand of an entry that nobody wants to remove; a delete or a put with replace calls off the upload
 * that it meets and waits for its turn. A cas_put takes no hand: it counts itself among the putters, and `written` tells
 * those who remove that there are bytes which came after them. */
#include "wbstore/wrapper.h"

/* Calls off an upload under way. The lock is let go, for a cancel takes the locks of those that it wakes. */
static void hand_call_off(wbstore *w, const wb_entry *e) /* model: Deleter */
{
    blob_ctx *attempt = e->hand == WB_HAND_UPLOAD && e->attempt != NULL ? wb_ctx_ref(e->attempt->ctx) : NULL;

    if (attempt == NULL)
        return;
    pthread_mutex_unlock(&w->lock);
    blob_ctx_cancel(attempt);
    blob_ctx_free(attempt);
    pthread_mutex_lock(&w->lock);
}

/* Waits for the hand on e and takes it. e stays meanwhile: it counts us among its removers. */
int wb_hand_take(wbstore *w, blob_ctx *ctx, wb_entry *e) /* model: ledger.pml */
{
    int rc = wb_closed(w);

    e->removers++;
    while (rc == 0 && e->hand != WB_HAND_NONE) {
        hand_call_off(w, e);
        if (e->hand != WB_HAND_NONE)
            rc = wb_wait(w, ctx, &w->turn);
    }
    if (rc != 0 && e->state == WBSTORE_QUEUED)
        wb_urgent_again(w); /* as in wb_hand_free: we were in their way, too */
    if (rc != 0) {
        e->removers--;
        wb_ledger_free_to_send(&w->ledger, e);
        return rc;
    }
    e->hand = WB_HAND_CALLER;
    if (e->attempt != NULL)
        e->attempt->arrived = false; /* not for long */
    if (e->state == WBSTORE_WAITING)
        wb_ledger_move(&w->ledger, e, WBSTORE_QUEUED); /* passed over while our hand is on it */
    return 0;
}

void wb_hand_free(wbstore *w, wb_entry *e) /* model: ledger.pml */
{
    if (e->hand == WB_HAND_CALLER)
        e->removers--;
    e->hand = WB_HAND_NONE;
    if (e->removers > 0 || e->putters > 0)
        pthread_cond_broadcast(&w->turn);
    wb_ledger_free_to_send(&w->ledger, e);
    if (e->state == WBSTORE_QUEUED)
        wb_urgent_again(w); /* it may be one of theirs, which was passed over while the hand was on it */
    wb_urgent_waits(w, e);
    wb_ledger_settle(&w->ledger, e);
}

bool wb_putter_ends(wbstore *w, wb_entry *e) /* model: Putter */
{
    bool left = e->left || e->owed;

    e->putters--;
    if (e->owed) {
        w->owed--;
        pthread_cond_broadcast(&w->settled);
    }
    e->left = e->owed = false;
    return left;
}

int wb_remove_buffered(wbstore *w, blob_ctx *ctx, wb_entry *e, uint32_t written, unsigned flags,
                       bool *kept) /* model: ledger.pml */
{
    int rc = 0;

    while (rc == 0 && e->putters > 0 && e->written == written && e->hand == WB_HAND_CALLER)
        rc = wb_wait(w, ctx, &w->turn);
    *kept = e->putters > 0 || e->written != written;
    if (rc != 0 || *kept)
        return rc;
    e->removing = true;
    pthread_mutex_unlock(&w->lock);
    rc = blob_store_delete(w->buf, ctx, wb_entry_key(e), flags);
    pthread_mutex_lock(&w->lock);
    e->removing = false;
    if (rc != 0)
        e->vouched = false; /* it may be gone all the same: a put must not rely on it */
    pthread_cond_broadcast(&w->turn);
    if (rc == 0) {
        w->releases++;
        wb_room_changed(w);
    }
    return rc;
}
