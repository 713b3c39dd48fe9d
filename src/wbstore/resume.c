/* resume.c - taking up what is in the buffer: at the start, on wbstore_rescan, and when a sync finds nothing pending
 * but the buffer not empty. */
#include "wbstore/wrapper.h"

#include <errno.h>

typedef struct take_up {
    wbstore *w;
    blob_ctx *ctx;
} take_up;

/* A listing may show what was removed since, and what a put is about to enter by itself. So the key is held, as a put
 * holds it, while the buffer is asked again: then nobody can remove the bytes between the answer and the entry. */
static int take_up_key(void *arg, blob_key key, uint64_t listed_size)
{
    const take_up *t = arg;
    wbstore *w = t->w;
    uint64_t size;
    wb_entry *e;
    int rc = wb_closed(w), ended;

    (void)listed_size;
    if (rc == 0)
        rc = wb_check_listed(key);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&w->lock);
    e = wb_ledger_make(&w->ledger, key);
    if (e == NULL || e->state != WB_ABSENT || e->putters > 0) {
        pthread_mutex_unlock(&w->lock);
        return e == NULL ? -ENOMEM : 0;
    }
    e->putters++;
    pthread_mutex_unlock(&w->lock);
    rc = blob_store_size(w->buf, t->ctx, key, &size); /* 0 where it cannot tell */
    ended = blob_ctx_status(t->ctx);
    pthread_mutex_lock(&w->lock);
    e->putters--;
    /* One key that the buffer has trouble with holds up no other: the writer finds out, and says so. */
    if (rc != BLOB_NOT_FOUND && ended == 0 && e->state == WB_ABSENT) {
        wb_ledger_join(&w->ledger, e, 0, size, wb_now_ns() / 1000000);
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
