/* doubt.c - late effects: a base whose call ended without an answer may still carry it out, for so long as it says
 * (in_doubt_ms).
 *
 *     what ended without an answer    what may come late           so, until then,
 *     a put                           the blob, after its delete   who deletes the key leaves a ghost: whatever the base
 *                                                                  shows of it is not there, and then it is deleted again
 *     a delete                        the loss of a newer blob     a blob that was sent stays in the buffer too, and is
 *                                                                  sent again then; a put to the base itself waits
 *
 * A key's entry stays in the ledger, with its attempt, while there is any doubt; its memory is taken before the call
 * whose answer may be missing. All doubts last equally long, so they pass in the order in which they were raised.
 *
 * What cannot be excluded: a wrapper that ends forgets its doubts. What a base carries out later than it says. And a put
 * of other bytes under a key that is no address may come late, and replace newer ones. */
#include "wbstore/wrapper.h"

#include <errno.h>

/* ---- the books ---- */

static void doubt_link(wb_ledger *l, wb_attempt *a, bool haunts)
{
    wb_doubt_list *list = haunts ? &l->haunting : &l->doubts;

    a->haunts = haunts;
    a->doubt_prev = list->tail;
    *(list->tail != NULL ? &list->tail->doubt_next : &list->head) = a;
    list->tail = a;
}

static void doubt_unlink(wb_ledger *l, wb_attempt *a)
{
    wb_doubt_list *list = a->haunts ? &l->haunting : &l->doubts;

    *(a->doubt_prev != NULL ? &a->doubt_prev->doubt_next : &list->head) = a->doubt_next;
    *(a->doubt_next != NULL ? &a->doubt_next->doubt_prev : &list->tail) = a->doubt_prev;
    a->doubt_prev = a->doubt_next = NULL;
}

static void doubt_set(wb_ledger *l, wb_attempt *a, unsigned doubts)
{
    if (((a->doubts ^ doubts) & WB_DOUBT_GHOST) != 0) {
        if ((doubts & WB_DOUBT_GHOST) != 0)
            atomic_fetch_add(&l->ghosts, 1);
        else
            atomic_fetch_sub(&l->ghosts, 1);
    }
    a->doubts = (uint8_t)doubts;
}

/* These and what was in doubt before are so for the whole time from now on. */
static void doubt_raise(wbstore *w, wb_entry *e, unsigned bits)
{
    wb_ledger *l = &w->ledger;
    wb_attempt *a = e->attempt;

    if (a->doubts != 0)
        doubt_unlink(l, a);
    doubt_set(l, a, a->doubts | bits);
    a->doubt_until_ns = wb_after_ms(wb_time_ns(w), w->doubt_ms);
    doubt_link(l, a, false);
    wb_house_wake(w);
}

void wb_doubt_clear(wb_ledger *l, wb_entry *e, unsigned bits)
{
    wb_attempt *a = e->attempt;

    if (a == NULL || (a->doubts & bits) == 0)
        return;
    if (a->haunts && (bits & WB_DOUBT_GHOST) != 0)
        bits = ~0u; /* the time of all else is over */
    doubt_set(l, a, a->doubts & ~bits);
    if (a->doubts == 0)
        doubt_unlink(l, a);
}

/* ---- what ended how ---- */

/* Has the base said what became of the call? */
static bool doubt_is_answer(int status)
{
    return status == 0 || status == BLOB_NOT_FOUND || status == BLOB_CORRUPT || status == BLOB_UNSUPPORTED ||
           wb_is_refusal(status);
}

int wb_doubt_room(wbstore *w, wb_entry *e)
{
    if (w->doubt_ms <= 0 || e->attempt != NULL)
        return 0;
    e->attempt = wb_attempt_new(&w->ledger);
    if (e->attempt == NULL)
        return blob_fail(-ENOMEM, 0, "no memory to remember what the base may do late");
    e->attempt->entry = e;
    return 0;
}

static void doubt_ended(wbstore *w, wb_entry *e, int status, unsigned bit)
{
    if (w->doubt_ms > 0 && !doubt_is_answer(status))
        doubt_raise(w, e, bit);
}

void wb_doubt_put_ended(wbstore *w, wb_entry *e, int status)
{
    doubt_ended(w, e, status, WB_DOUBT_PUT);
}

void wb_doubt_delete_ended(wbstore *w, wb_entry *e, int status)
{
    doubt_ended(w, e, status, WB_DOUBT_DELETE);
}

/* A doubt that passed while the base was at the delete was one when it began: the put may have come after the delete. */
void wb_doubt_deleted(wbstore *w, wb_entry *e, bool doubted)
{
    if (e->state != WB_ABSENT || !doubted)
        return;
    if (!wb_entry_doubts(e, WB_DOUBT_PUT))
        doubt_raise(w, e, WB_DOUBT_PUT);
    doubt_set(&w->ledger, e->attempt, e->attempt->doubts | WB_DOUBT_GHOST);
}

bool wb_doubt_keeps(const wbstore *w, const wb_entry *e)
{
    return wb_entry_doubts(e, WB_DOUBT_DELETE) && e->attempt->doubt_until_ns > wb_time_ns(w);
}

int wb_doubt_wait(wbstore *w, blob_ctx *ctx, const wb_entry *e)
{
    int rc = 0;

    while (rc == 0 && wb_entry_doubts(e, WB_DOUBT_DELETE))
        rc = wb_wait(w, ctx, &w->turn);
    return rc;
}

/* ---- ghosts ---- */

bool wb_is_ghost(wbstore *w, blob_key key)
{
    const wb_entry *e;
    bool is;

    if (atomic_load(&w->ledger.ghosts) == 0)
        return false;
    pthread_mutex_lock(&w->lock);
    e = wb_ledger_find(&w->ledger, key);
    is = e != NULL && wb_entry_doubts(e, WB_DOUBT_GHOST);
    pthread_mutex_unlock(&w->lock);
    return is;
}

wb_entry *wb_ghost_next(const wbstore *w, int64_t now_ns, int64_t *until_ns)
{
    const wb_attempt *a = w->ledger.haunting.head;

    while (a != NULL && (a->entry->hand != WB_HAND_NONE || a->entry->removers > 0 || a->entry->putters > 0))
        a = a->doubt_next;
    *until_ns = a != NULL && now_ns < w->ghost_due_ns ? w->ghost_due_ns : WB_NEVER;
    return a != NULL && now_ns >= w->ghost_due_ns ? a->entry : NULL;
}

void wb_ghost_is_being_laid(wbstore *w, wb_entry *e)
{
    doubt_raise(w, e, 0); /* until there is an answer */
}

void wb_ghost_is_laid(wbstore *w, wb_entry *e)
{
    wb_doubt_clear(&w->ledger, e, WB_DOUBT_PUT | WB_DOUBT_GHOST);
}

/* ---- time passes ---- */

int64_t wb_doubt_due_ns(const wbstore *w)
{
    return w->ledger.doubts.head != NULL ? w->ledger.doubts.head->doubt_until_ns : WB_NEVER;
}

void wb_doubts_pass(wbstore *w)
{
    wb_ledger *l = &w->ledger;
    int64_t now_ns = wb_time_ns(w);

    while (wb_doubt_due_ns(w) <= now_ns) {
        wb_attempt *a = l->doubts.head;
        wb_entry *e = a->entry;

        if ((a->doubts & WB_DOUBT_GHOST) != 0) {
            doubt_unlink(l, a);
            doubt_set(l, a, WB_DOUBT_PUT | WB_DOUBT_GHOST);
            doubt_link(l, a, true);
        } else {
            wb_doubt_clear(l, e, ~0u);
            wb_ledger_settle(l, e);
        }
        pthread_cond_broadcast(&w->turn); /* who waits for the end of a doubt */
    }
}
