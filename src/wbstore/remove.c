/* remove.c - the operations that take a key away from its pending upload: delete, and put with replace.
 *
 *     take the key's hand (an upload under way is called off) -> base -> buffer -> let go
 *
 * Base first: a crash in between leaves the blob in the buffer, where it is found and sent again, never the other way
 * round. A put that comes during a delete keeps its bytes: it is counted as coming after the delete, and the delete
 * leaves the buffer alone. */
#include "wbstore/wrapper.h"

#include <errno.h>

/* What a key's entry was when the call began. What a put has brought since came after the call, which neither found it
 * nor may take it away. */
typedef struct removal {
    uint32_t writes;
    uint64_t order; /* 0: it was not pending */
} removal;

static removal remove_begins(const wb_entry *e)
{
    return (removal){.writes = e->writes, .order = e->state != WB_ABSENT ? e->order : 0};
}

/* The blob that was pending when the call began still is. */
static bool remove_finds(const wb_entry *e, const removal *begun)
{
    return e->state != WB_ABSENT && e->order == begun->order;
}

/* The entry's pending blob is gone. If a put has come meanwhile, its bytes are what is pending now. */
static void remove_ends(wbstore *w, wb_entry *e, const removal *begun, bool kept)
{
    if (e->state == WB_ABSENT || (kept && !remove_finds(e, begun)))
        return;
    w->deleted++;
    if (!kept) {
        wb_entry_leaves(w, e);
        return;
    }
    w->accepted++;
    if (e->state == WBSTORE_PARKED)
        wb_ledger_move(&w->ledger, e, WBSTORE_QUEUED);
}

static int remove_check(wbstore *w, blob_ctx *ctx, blob_key key)
{
    int rc = w != NULL ? wb_check_key(key) : blob_fail(-EINVAL, 0, "no wrapper");

    if (rc == 0)
        rc = wb_closed(w);
    if (rc == 0 && (rc = blob_ctx_status(ctx)) != 0)
        rc = blob_fail(rc, 0, "not begun: its context has ended");
    return rc;
}

/* Base, then buffer; lock held, our hand on e. had: one of the two had the blob. */
static int delete_both(wbstore *w, blob_ctx *ctx, wb_entry *e, const removal *begun, bool *had)
{
    bool kept = false;
    int rc;

    pthread_mutex_unlock(&w->lock);
    rc = blob_store_delete(w->base, ctx, wb_entry_key(e), 0);
    pthread_mutex_lock(&w->lock);
    if (rc != 0 && rc != BLOB_NOT_FOUND)
        return rc;
    *had = rc == 0 || (remove_finds(e, begun) && e->vouched);
    rc = wb_remove_buffered(w, ctx, e, begun->writes, 0, &kept);
    if (rc != 0 && rc != BLOB_NOT_FOUND)
        return rc;
    *had = *had || (rc == 0 && !kept);
    remove_ends(w, e, begun, kept);
    return 0;
}

int wbstore_delete(wbstore *w, blob_ctx *ctx, blob_key key)
{
    int rc = remove_check(w, ctx, key);
    bool had = false;
    removal begun;
    wb_entry *e;

    if (rc != 0)
        return rc;
    pthread_mutex_lock(&w->lock);
    e = wb_ledger_make(&w->ledger, key);
    if (e == NULL) {
        pthread_mutex_unlock(&w->lock);
        return -ENOMEM;
    }
    begun = remove_begins(e);
    rc = wb_hand_take(w, ctx, e);
    if (rc == 0) {
        rc = delete_both(w, ctx, e, &begun, &had);
        wb_hand_free(w, e);
    } else {
        wb_ledger_settle(&w->ledger, e);
    }
    wb_unlock_and_work(w);
    if (rc == 0 && !had)
        rc = blob_fail(BLOB_NOT_FOUND, 0, NULL);
    return rc;
}

static int put_replacing(wbstore *w, blob_ctx *ctx, blob_key key, blob_view data)
{
    wb_entry *e;
    bool kept = false;
    removal begun;
    int rc;

    pthread_mutex_lock(&w->lock);
    e = wb_ledger_make(&w->ledger, key);
    if (e == NULL) {
        pthread_mutex_unlock(&w->lock);
        return -ENOMEM;
    }
    begun = remove_begins(e);
    rc = wb_hand_take(w, ctx, e);
    if (rc == 0) {
        pthread_mutex_unlock(&w->lock);
        rc = blob_store_put(w->base, ctx, key, data, BLOB_REPLACE);
        pthread_mutex_lock(&w->lock);
        if (rc == 0) {
            rc = wb_remove_buffered(w, ctx, e, begun.writes, 0, &kept);
            rc = rc == BLOB_NOT_FOUND ? 0 : rc;
        }
        if (rc == 0)
            remove_ends(w, e, &begun, kept);
        wb_hand_free(w, e);
    } else {
        wb_ledger_settle(&w->ledger, e);
    }
    wb_unlock_and_work(w);
    return rc;
}

/* Without replace a pending blob counts as there: the base would take the bytes, and the upload would then meet them.
 * */
static int put_keeping(wbstore *w, blob_ctx *ctx, blob_key key, blob_view data)
{
    uint64_t size;
    int rc = blob_store_size(w->buf, ctx, key, &size);

    if (rc == 0)
        return blob_fail(BLOB_EXISTS, 0, "pending in the buffer");
    return rc == BLOB_NOT_FOUND ? blob_store_put(w->base, ctx, key, data, 0) : rc;
}

int wbstore_put(wbstore *w, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags)
{
    int rc = remove_check(w, ctx, key);

    if (rc != 0)
        return rc;
    if ((flags & ~BLOB_REPLACE) != 0 || (data.data == NULL && data.size > 0))
        return blob_fail(-EINVAL, 0, "put: unknown flags, or a view without its bytes");
    return (flags & BLOB_REPLACE) != 0 ? put_replacing(w, ctx, key, data) : put_keeping(w, ctx, key, data);
}
