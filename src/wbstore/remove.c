/* remove.c - the operations that take a key away from its pending upload: delete, and put with replace.
 *
 *     take the key's hand (an upload under way is called off) -> base -> buffer -> let go
 *
 * Base first: a crash in between leaves the blob in the buffer, where it is found and sent again, never the other way
 * round. A put that comes during a delete keeps its bytes: it is counted as coming after the delete, and the delete
 * leaves the buffer alone. What the base may still carry out of calls that it did not answer: doubt.c. */
#include "wbstore/wrapper.h"

#include <errno.h>

/* A call that has the hand on a key, and what the key's entry was when it began: what a put has brought since came
 * after the call, which neither found it nor may take it away. */
typedef struct removal {
    wbstore *w;
    blob_ctx *ctx;
    wb_entry *e;
    uint32_t written;
    uint64_t order; /* 0: it was not pending */
} removal;

static int remove_check(wbstore *w, blob_ctx *ctx, blob_key key)
{
    int rc = w != NULL ? wb_check_key(key) : blob_fail(-EINVAL, 0, "no wrapper");

    if (rc == 0)
        rc = wb_closed(w);
    if (rc == 0 && (rc = blob_ctx_status(ctx)) != 0)
        rc = blob_fail(rc, 0, "not begun: its context has ended");
    return rc;
}

/* Takes the hand and the lock, or neither. */
static int removal_begin(removal *r, wbstore *w, blob_ctx *ctx, blob_key key) /* model: Deleter */
{
    wb_entry *e;
    int rc = -ENOMEM;

    pthread_mutex_lock(&w->lock);
    e = wb_ledger_make(&w->ledger, key);
    if (e != NULL) {
        *r = (removal){.w = w, .ctx = ctx, .e = e, .written = wb_entry_look(e)};
        r->order = e->state != WB_ABSENT ? e->order : 0;
        if ((rc = wb_doubt_room(w, e)) == 0 && (rc = wb_hand_take(w, ctx, e)) == 0)
            return 0;
        wb_ledger_settle(&w->ledger, e);
    }
    wb_unlock_and_work(w);
    return rc;
}

static void removal_end(const removal *r) /* model: Deleter */
{
    wb_hand_free(r->w, r->e);
    wb_unlock_and_work(r->w);
}

/* The blob that was pending when the call began still is. */
static bool removal_finds(const removal *r) /* model: Deleter */
{
    return r->e->state != WB_ABSENT && r->e->order == r->order;
}

/* The buffer's half, after the base's: removes the copy that was there when the call began. 0 if there is none left, or
 * BLOB_NOT_FOUND if there was none to begin with. If a put has come meanwhile, its bytes are what is pending now. */
static int removal_from_buffer(const removal *r) /* model: Deleter */
{
    wbstore *w = r->w;
    wb_entry *e = r->e;
    bool kept, found = removal_finds(r) && e->vouched;
    int rc = wb_remove_buffered(w, r->ctx, e, r->written, 0, &kept);

    if (rc != 0 && rc != BLOB_NOT_FOUND)
        return rc;
    found = found || (rc == 0 && !kept);
    if (e->state != WB_ABSENT && (!kept || removal_finds(r))) {
        w->deleted++;
        wb_entry_ends(w, e, r->written);
    }
    return found ? 0 : BLOB_NOT_FOUND;
}

int wbstore_delete(wbstore *w, blob_ctx *ctx, blob_key key)
{
    int rc = remove_check(w, ctx, key), base;
    bool doubted;
    removal r;

    if (rc != 0 || (rc = removal_begin(&r, w, ctx, key)) != 0)
        return rc;
    doubted = wb_entry_doubts(r.e, WB_DOUBT_PUT);
    pthread_mutex_unlock(&w->lock);
    base = blob_store_delete(w->base, ctx, key, 0); /* model: Deleter, from_base */
    pthread_mutex_lock(&w->lock);
    if (base == 0 && wb_entry_doubts(r.e, WB_DOUBT_GHOST))
        base = BLOB_NOT_FOUND; /* what it found was none */
    wb_doubt_delete_ended(w, r.e, base);
    rc = base == 0 || base == BLOB_NOT_FOUND ? removal_from_buffer(&r) : base;
    if (rc == 0 || rc == BLOB_NOT_FOUND)
        wb_doubt_deleted(w, r.e, doubted);
    if (rc == BLOB_NOT_FOUND)
        rc = base == 0 ? 0 : blob_fail(BLOB_NOT_FOUND, 0, NULL);
    removal_end(&r);
    return rc;
}

/* With the hand on the key, and so past every pending upload of it. */
static int put_holding(wbstore *w, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags)
{
    removal r;
    int rc = removal_begin(&r, w, ctx, key);

    if (rc != 0)
        return rc;
    if ((rc = wb_doubt_wait(w, ctx, r.e)) != 0)
        goto out;
    if (wb_entry_doubts(r.e, WB_DOUBT_GHOST))
        flags = BLOB_REPLACE; /* what the base has is not there */
    pthread_mutex_unlock(&w->lock);
    rc = blob_store_put(w->base, ctx, key, data, flags);
    pthread_mutex_lock(&w->lock);
    wb_doubt_put_ended(w, r.e, rc);
    if (rc == 0)
        wb_doubt_clear(&w->ledger, r.e, WB_DOUBT_GHOST);
    if (rc == 0 && flags == BLOB_REPLACE && (rc = removal_from_buffer(&r)) == BLOB_NOT_FOUND)
        rc = 0;
out:
    removal_end(&r);
    return rc;
}

/* Without replace a pending blob counts as there: the base would take the bytes, and the upload would meet them. */
static int put_keeping(wbstore *w, blob_ctx *ctx, blob_key key, blob_view data)
{
    uint64_t size;
    int rc = blob_store_size(w->buf, ctx, key, &size);

    if (rc == 0)
        return blob_fail(BLOB_EXISTS, 0, "pending in the buffer");
    if (rc != BLOB_NOT_FOUND)
        return rc;
    return w->doubt_ms > 0 ? put_holding(w, ctx, key, data, 0) : blob_store_put(w->base, ctx, key, data, 0);
}

int wbstore_put(wbstore *w, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags)
{
    int rc = remove_check(w, ctx, key);

    if (rc != 0)
        return rc;
    if ((flags & ~BLOB_REPLACE) != 0 || (data.data == NULL && data.size > 0))
        return blob_fail(-EINVAL, 0, "put: unknown flags, or a view without its bytes");
    return (flags & BLOB_REPLACE) != 0 ? put_holding(w, ctx, key, data, BLOB_REPLACE) : put_keeping(w, ctx, key, data);
}
