/* core.c - what every operation of the wrapper stands on: is it open, waiting for it, and telling those who wait. */
#include "wbstore/wrapper.h"

#include <errno.h>
#include <string.h>

int wb_closed(wbstore *w)
{
    if (wb_fork_guard_is_child(&w->guard))
        return blob_fail(BLOB_CLOSED, 0, "a forked child cannot use its parent's wrapper");
    return blob_ctx_status(w->run) == 0 ? 0 : blob_fail(BLOB_CLOSED, 0, "the wrapper is closed");
}

int wb_may_wait(wbstore *w)
{
    int rc = wb_closed(w);

    if (rc == 0 && wb_is_teller(w))
        rc = blob_fail(-EDEADLK, 0, "called from the event callback, which what it waits for may need");
    return rc;
}

int wb_wait(wbstore *w, blob_ctx *ctx, pthread_cond_t *cond)
{
    return wb_wait_until(w, ctx, cond, WB_NEVER);
}

int wb_wait_until(wbstore *w, blob_ctx *ctx, pthread_cond_t *cond, int64_t until_ns)
{
    int rc = wb_ctx_wait(w->run, ctx, cond, &w->lock, until_ns);

    if (rc == 0)
        return 0;
    if ((rc = wb_closed(w)) != 0)
        return rc;
    return blob_fail(blob_ctx_status(ctx), 0, "the wait's context has ended");
}

int wb_check_key(blob_key key)
{
    if (key.size > BLOB_KEY_MAX || (key.data == NULL && key.size > 0))
        return blob_fail(-EINVAL, 0, "a key of %zu bytes; the most is %d, and they must be there", key.size,
                         BLOB_KEY_MAX);
    return 0;
}

bool wb_is_refusal(int status)
{
    switch (status) {
    case BLOB_EXISTS:
    case BLOB_FULL:
    case BLOB_REJECTED:
    case BLOB_DENIED:
    case -ENOSPC:
    case -EINVAL:
    case -ENOMEM:
        return true;
    default:
        return false;
    }
}

int wb_check_listed(blob_key key)
{
    return wb_check_key(key) == 0 ? 0 : blob_fail(-EIO, 0, "the buffer lists a key of %zu bytes", key.size);
}

/* ---- telling ---- */

void wb_house_wake(wbstore *w)
{
    w->house_called = true; /* it may be about something with the lock let go */
    pthread_cond_signal(&w->house);
}

void wb_room_changed(wbstore *w)
{
    if (w->room_head != NULL)
        pthread_cond_signal(&w->room_head->called);
}

void wb_maybe_drained(wbstore *w)
{
    if (w->options.on_event == NULL || wb_resumes(w) || w->ledger.active_blobs > 0 || w->ledger.parked_blobs > 0)
        return;
    w->drained_untold = true;
    wb_news(w);
}

void wb_entry_settled(wbstore *w, wb_entry *e) /* model: ledger.pml */
{
    const wb_entry *first = w->ledger.active.head;

    if (e->awaited || w->awaited_order < (first != NULL ? first->order : UINT64_MAX)) {
        e->awaited = false;
        w->awaited_order = UINT64_MAX; /* whoever goes on waiting says so again */
        pthread_cond_broadcast(&w->settled);
    }
    wb_maybe_drained(w);
    wb_room_changed(w);
}

void wb_entry_ends(wbstore *w, wb_entry *e, uint32_t written) /* model: ledger.pml */
{
    uint32_t tickets_since = (uint32_t)w->last_ticket - e->written;
    bool vouched = e->vouched;

    wb_ledger_leave(&w->ledger, e);
    w->releases++;
    e->left = e->putters > 0;
    if (e->written != written) {
        if (e->attempt != NULL)
            wb_attempt_reset(e->attempt);
        wb_ledger_join(&w->ledger, e, w->last_ticket - tickets_since, e->size, wb_time_ms(w));
        e->vouched = vouched;
        w->accepted++;
    }
    wb_entry_settled(w, e);
}

void wb_note_failure(wbstore *w, int status, const char *text)
{
    w->last_status = status;
    w->last_ns = wb_time_ns(w);
    strncpy(w->last_text, text, sizeof w->last_text - 1);
}
