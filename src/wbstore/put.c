/* put.c - cas_put: the blob's address, its bytes into the buffer, its entry into the ledger.
 *
 * The bytes are written with no lock held; the entry's `putters` keeps it, and keeps others from removing the bytes.
 * The blob is pending from the moment that the buffer has it. What is pending already need not be written again, if
 * the bytes in the buffer can be relied on: that is, if a put of this process wrote them (`vouched`), no delete is at
 * work that may take them away, and they were not parked since. Otherwise they are written over. */
#include "wbstore/wrapper.h"

#include <errno.h>
#include <string.h>

typedef struct put_request {
    wbstore *w;
    blob_ctx *ctx;
    blob_key key;
    blob_view data;
    bool reserved; /* room is reserved for it */
    wb_room_waiter place;
    uint64_t ticket;
} put_request;

static bool put_is_pending(const wb_entry *e)
{
    return e != NULL && e->state != WB_ABSENT;
}

static bool put_may_rely_on(const wb_entry *e) /* model: Putter */
{
    return put_is_pending(e) && e->vouched && e->removers == 0;
}

static void put_unreserve(put_request *r)
{
    if (r->reserved)
        wb_room_return(r->w, r->data.size);
    r->reserved = false;
}

static int put_as_duplicate(put_request *r) /* model: Putter */
{
    r->w->deduplicated++;
    r->ticket = ++r->w->last_ticket;
    return 0;
}

/* Writes the bytes; lock held, released meanwhile. What is in the buffer already is nobody's word: ours replaces it.
 * *there: the buffer holds the key. */
static int put_write(put_request *r, bool *there) /* model: Putter */
{
    wbstore *w = r->w;
    int rc;

    w->writing++;
    pthread_mutex_unlock(&w->lock);
    rc = blob_store_put(w->buf, r->ctx, r->key, r->data, *there ? BLOB_REPLACE : 0);
    if (rc == BLOB_EXISTS && !*there) {
        *there = true;
        rc = blob_store_put(w->buf, r->ctx, r->key, r->data, BLOB_REPLACE);
    }
    pthread_mutex_lock(&w->lock);
    w->writing--;
    return rc;
}

/* The bytes are in the buffer, or may be: the entry is pending from here on. found: so it may have been from the start, and
 * no listing has told yet. Its place is that of what a listing finds then, for whoever has begun to wait for that. */
static void put_pends(put_request *r, wb_entry *e, bool stored, bool found) /* model: Putter */
{
    wbstore *w = r->w;
    uint64_t ticket = ++w->last_ticket;

    if (stored && (e->looked || !put_is_pending(e))) {
        e->written = (uint32_t)ticket;
        e->looked = false;
    }
    if (!put_is_pending(e)) {
        wb_ledger_join(&w->ledger, e, found ? 0 : ticket, r->data.size, wb_time_ms(w));
        w->accepted++;
    } else {
        if (e->size != r->data.size)
            wb_ledger_resize(&w->ledger, e, r->data.size);
        wb_room_changed(w); /* it may have become smaller */
        if (e->state == WBSTORE_PARKED)
            wb_ledger_move(&w->ledger, e, WBSTORE_QUEUED);
        if (e->urgent)
            wb_urgent_again(w); /* it was passed over while it was parked */
        if (stored)
            w->deduplicated++;
    }
    if (stored) {
        e->vouched = true;
        r->ticket = ticket;
        wb_room_found(w, r->key);
    }
}

/* The put was refused, so what the buffer held before is there still; who listed the buffer meanwhile left it to us. */
static void put_takes_up(const put_request *r, wb_entry *e) /* model: Putter */
{
    wb_ledger_join(&r->w->ledger, e, 0, r->data.size, wb_time_ms(r->w));
    r->w->resumed++;
}

/* One try, lock held. e: the key's entry, or NULL. */
static int put_try(put_request *r, wb_entry *e) /* model: Putter */
{
    wbstore *w = r->w;
    bool there = put_is_pending(e), found;
    int rc;

    if (e == NULL && (e = wb_ledger_add(&w->ledger, r->key)) == NULL)
        return -ENOMEM;
    e->putters++;
    rc = put_write(r, &there);
    found = there && (w->resuming || e->owed);
    there = wb_putter_ends(w, e) || there;
    if (rc == 0 || !wb_is_refusal(rc))
        put_pends(r, e, rc == 0, found);
    else if (there && !put_is_pending(e))
        put_takes_up(r, e);
    else
        wb_room_changed(w);
    if (e->removers > 0)
        pthread_cond_broadcast(&w->turn);
    wb_ledger_settle(&w->ledger, e);
    return rc;
}

/* Past a full buffer, straight to the base. It holds the key's hand, as an upload does. */
static int put_through(put_request *r)
{
    wbstore *w = r->w;
    wb_entry *e = wb_ledger_make(&w->ledger, r->key);
    wb_outcome outcome = {.status = 0};
    bool kept = false;
    uint32_t written;
    int rc;

    if (e == NULL)
        return -ENOMEM;
    rc = wb_hand_take(w, r->ctx, e);
    if (rc != 0)
        goto out;
    if ((rc = wb_doubt_room(w, e)) != 0 || (rc = wb_doubt_wait(w, r->ctx, e)) != 0)
        goto free_hand;
    written = wb_entry_look(e);
    pthread_mutex_unlock(&w->lock);
    wb_send(w, r->ctx, r->key, r->data, true, &outcome);
    pthread_mutex_lock(&w->lock);
    rc = outcome.status; /* its words are still those of this thread's error detail */
    wb_doubt_put_ended(w, e, rc);
    if (rc == 0 && put_is_pending(e) && (rc = wb_remove_buffered(w, r->ctx, e, written, 0, &kept)) == BLOB_NOT_FOUND)
        rc = 0;
    if (rc == 0) {
        r->ticket = ++w->last_ticket;
        w->accepted++;
        w->sent++;
        wb_doubt_clear(&w->ledger, e, WB_DOUBT_GHOST);
        if (put_is_pending(e) && !kept) {
            w->deleted++; /* the copy that the buffer had, of which this put's is the better one */
            wb_entry_ends(w, e, written);
        }
    }
free_hand:
    wb_hand_free(w, e);
    return rc;
out:
    wb_ledger_settle(&w->ledger, e);
    return rc;
}

/* The buffer itself has no room. The policy decides, as for the wrapper's own bounds. 0: try again. Who is told that it
 * is full is told in the buffer's words: they name the disk. */
static int put_when_buffer_full(put_request *r, uint64_t releases, bool *through)
{
    wbstore *w = r->w;
    blob_error error;
    int rc = BLOB_FULL;

    blob_last_error(&error);
    (void)wb_hurry(w, wb_order_of(w->last_ticket));
    *through = w->options.when_full == WBSTORE_FULL_WRITE_THROUGH;
    if (*through)
        return 0;
    if (w->options.when_full == WBSTORE_FULL_WAIT)
        rc = wb_room_wait_release(w, r->ctx, &r->place, releases);
    return rc == BLOB_FULL ? blob_fail(BLOB_FULL, 0, "the buffer itself is full: %.180s", error.text) : rc;
}

/* What a look at the key's entry leads to. */
typedef enum put_step {
    PUT_DUPLICATE, /* the bytes are there */
    PUT_WAIT,      /* they are being removed: wait until that is done, and look again */
    PUT_RESERVE,   /* there must be room first */
    PUT_WRITE
} put_step;

static put_step put_next_step(const put_request *r, const wb_entry *e)
{
    if (put_may_rely_on(e))
        return PUT_DUPLICATE;
    if (e != NULL && e->removing)
        return PUT_WAIT;
    return put_is_pending(e) || r->reserved ? PUT_WRITE : PUT_RESERVE;
}

/* Who waits for room may count on what is being removed, and on us after that. */
static int put_wait_turn(put_request *r) /* model: Putter */
{
    wbstore *w = r->w;
    int rc;

    w->writing++;
    rc = wb_wait(w, r->ctx, &w->turn);
    w->writing--;
    wb_room_changed(w);
    return rc;
}

/* One round, lock held. *again: what it waited for has come. */
static int put_round(put_request *r, bool *again) /* model: Putter */
{
    wbstore *w = r->w;
    wb_entry *e = wb_ledger_find(&w->ledger, r->key);
    put_step step = put_next_step(r, e);
    uint64_t releases = w->releases;
    bool waited = false, through = false;
    int rc = 0;

    *again = false;
    if (step == PUT_DUPLICATE)
        return put_as_duplicate(r);
    if (step == PUT_RESERVE) {
        rc = wb_room_take(w, r->ctx, &r->place, r->data.size, &waited, &r->reserved);
        if (rc == BLOB_FULL && w->options.when_full == WBSTORE_FULL_WRITE_THROUGH)
            return put_through(r);
    } else if (step == PUT_WAIT) {
        rc = put_wait_turn(r);
        waited = true;
    }
    if (rc != 0 || waited) {
        *again = rc == 0;
        return rc;
    }
    rc = put_try(r, e);
    if (rc != -ENOSPC && rc != BLOB_FULL)
        return rc;
    rc = put_when_buffer_full(r, releases, &through);
    *again = rc == 0 && !through;
    return through ? put_through(r) : rc;
}

static int put_accept(put_request *r)
{
    bool again = true;
    int rc = 0;

    while (again && (rc = wb_closed(r->w)) == 0)
        rc = put_round(r, &again);
    put_unreserve(r);
    wb_room_leave(r->w, &r->place);
    return rc;
}

int wbstore_cas_put_ticket(wbstore *w, blob_ctx *ctx, const void *data, size_t size, blob_address *address,
                           uint64_t *ticket)
{
    blob_address key = {.size = 0};
    put_request r = {.w = w, .ctx = ctx, .data = blob_view_of(data, size)};
    int rc;

    if (address != NULL)
        address->size = 0;
    if (ticket != NULL)
        *ticket = 0;
    if (w == NULL)
        return blob_fail(-EINVAL, 0, "cas_put: no wrapper");
    /* The address is computed whatever may come, so that a caller can name what could not be stored. */
    rc = blob_store_cas_key(w->base, NULL, r.data, &key);
    if (rc != 0)
        return rc;
    if (address != NULL)
        *address = key;
    if ((rc = wb_closed(w)) != 0)
        return rc;
    if ((rc = blob_ctx_status(ctx)) != 0)
        return blob_fail(rc, 0, "cas_put not begun: its context has ended");
    r.key = r.place.key = blob_address_key(&key);
    pthread_mutex_lock(&w->lock);
    rc = put_accept(&r);
    wb_unlock_and_work(w);
    if (ticket != NULL)
        *ticket = r.ticket;
    return rc;
}

int wbstore_cas_put(wbstore *w, blob_ctx *ctx, const void *data, size_t size, blob_address *address)
{
    return wbstore_cas_put_ticket(w, ctx, data, size, address, NULL);
}
