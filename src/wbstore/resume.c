/* resume.c - taking up what is in the buffer: at the start, on wbstore_rescan, and when a sync finds nothing pending
 * but the buffer not empty.
 *
 * At the start it is done on a thread of its own, started by the housekeeper, so that a listing that hangs or is long
 * holds up nobody but those who must know what the buffer held. The thread goes when the listing has ended; after one
 * that failed another is started in its time. */
#include "wbstore/health.h"
#include "wbstore/wrapper.h"

#include <errno.h>
#include <string.h>

typedef struct take_up {
    wbstore *w;
    blob_ctx *ctx;
} take_up;

/* A listing may show what was removed since, and what a put is about to enter by itself. So the key is held, as a put
 * holds it, while the buffer is asked again: then nobody can remove the bytes between the answer and the entry. */
static int take_up_key(void *arg, blob_key key, uint64_t listed_size) /* model: Lister */
{
    const take_up *t = arg;
    wbstore *w = t->w;
    uint64_t size;
    wb_entry *e;
    bool left;
    int rc = wb_closed(w), ended;

    (void)listed_size;
    if (rc == 0)
        rc = wb_check_listed(key);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&w->lock);
    e = wb_ledger_make(&w->ledger, key);
    if (e != NULL && e->state == WB_ABSENT && e->putters > 0 && !e->left && !e->owed) {
        e->owed = true; /* if that put is refused, what the buffer held before it is there still */
        w->owed++;
    }
    if (e == NULL || e->state != WB_ABSENT || e->putters > 0) {
        pthread_mutex_unlock(&w->lock);
        return e == NULL ? -ENOMEM : 0;
    }
    e->putters++;
    pthread_mutex_unlock(&w->lock);
    rc = blob_store_size(w->buf, t->ctx, key, &size); /* 0 where it cannot tell */
    ended = blob_ctx_status(t->ctx);
    pthread_mutex_lock(&w->lock);
    left = wb_putter_ends(w, e);
    /* One key that the buffer has trouble with holds up no other: the writer finds out, and says so. */
    if (e->state == WB_ABSENT && (left || (rc != BLOB_NOT_FOUND && ended == 0))) {
        wb_ledger_join(&w->ledger, e, 0, rc == 0 ? size : e->size, wb_time_ms(w));
        w->resumed++;
    }
    if (e->removers > 0)
        pthread_cond_broadcast(&w->turn);
    wb_ledger_settle(&w->ledger, e);
    wb_unlock_and_work(w);
    return ended;
}

int wb_take_up(wbstore *w, blob_ctx *ctx)
{
    take_up t = {.w = w, .ctx = ctx};

    return blob_store_list(w->buf, ctx, blob_key_of(NULL, 0), take_up_key, &t);
}

int wbstore_rescan(wbstore *w, blob_ctx *ctx)
{
    int rc = w != NULL ? wb_closed(w) : blob_fail(-EINVAL, 0, "rescan: no wrapper");

    return rc == 0 ? wb_take_up(w, ctx) : rc;
}

/* ---- at the start ---- */

static void *resume_run(void *arg)
{
    wb_worker *me = arg;
    wbstore *w = me->w;
    blob_error error;
    int rc = wb_take_up(w, w->run);

    blob_last_error(&error);
    pthread_mutex_lock(&w->lock);
    me->thread = pthread_self();
    w->resume_status = 0;
    w->resuming = rc != 0;
    wb_urgent_again(w);
    if (rc != 0 && blob_ctx_status(w->run) == 0) { /* called off by the wrapper's end it says nothing of the buffer */
        w->resume_status = rc;
        memcpy(w->resume_text, error.text, sizeof w->resume_text);
        wb_note_failure(w, rc, error.text);
        w->resume_due_ns = wb_backoff_due_ns(w, ++w->resume_tries, 0);
    }
    if (w->sent + w->deleted > 0)
        wb_maybe_drained(w);
    pthread_cond_broadcast(&w->settled);
    wb_room_changed(w);
    wb_worker_ends(me);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

void wb_take_up_first(wbstore *w)
{
    if (wb_time_ns(w) < w->resume_due_ns)
        return;
    w->resume_due_ns = WB_NEVER;
    /* That no thread could be had says nothing of the buffer: who waits for the listing goes on waiting. */
    (void)wb_worker_start(w, resume_run, 0, &w->resume_due_ns);
}
