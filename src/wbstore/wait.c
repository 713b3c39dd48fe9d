/* wait.c - waiting for blobs to arrive: sync, tickets, keys.
 *
 * All three wait for a place in the order (sync: everything up to the last ticket given). The ledger's active entries
 * stand in that order, so the first of them tells whether anything older is left; what is put later stands behind it
 * and cannot prolong the wait. Parked blobs stand aside: they are looked at when the wait is over. */
#include "wbstore/wrapper.h"

#include <errno.h>

static int wait_check(wbstore *w, const char *what)
{
    return w != NULL ? wb_may_wait(w) : blob_fail(-EINVAL, 0, "%s: no wrapper", what);
}

static int wait_parked(const wb_entry *e)
{
    return blob_fail(e->attempt->status, 0, "parked: %.220s", e->attempt->text);
}

/* The ctx ended. While the base refuses us altogether that is why, and waiting longer would not have helped; else the words
 * say what is left and what it waits for. */
static int wait_ended(const wbstore *w, int status)
{
    const wb_ledger *l = &w->ledger;
    const char *why = w->down ? w->down_text : l->waiting > 0 ? l->heap[0]->text : "";

    if (status == BLOB_CLOSED)
        return status;
    if (w->down && w->down_status == BLOB_DENIED)
        return blob_fail(BLOB_DENIED, 0, "%s", w->down_text);
    return blob_fail(status, 0, "the wait ended with %llu blobs not in the base yet%s%.150s",
                     (unsigned long long)l->active_blobs, why[0] != '\0' ? ": " : "", why);
}

/* What the buffer held at the start must be known before anybody can say that it has arrived. */
static int wait_resume_failed(const wbstore *w)
{
    if (!w->resuming || w->resume_status == 0)
        return 0;
    return blob_fail(w->resume_status, 0, "the buffer cannot be listed, so what it holds is not known: %.160s",
                     w->resume_text);
}

/* ---- hurrying ---- */

bool wb_hurry(wbstore *w, uint64_t order)
{
    if (w->options.dwell_ms == 0 || order <= w->ledger.hurried)
        return false;
    w->ledger.hurried = order;
    wb_unlock_and_work(w);
    pthread_mutex_lock(&w->lock);
    return true;
}

/* Between two walks of all keys, so that many of them that fail, each in its own time, do not make the walks all there is
 * to do: meanwhile they have their turn as others have. */
#define URGENT_KEY_NS 2000

static int64_t urgent_pause_ns(const wbstore *w)
{
    int64_t pause_ns = 0;

    for (const wb_urgent *u = w->urgent; u != NULL; u = u->next)
        pause_ns += (int64_t)u->count * URGENT_KEY_NS;
    return pause_ns;
}

wb_entry *wb_urgent_next(wbstore *w, int64_t now_ns)
{
    if (now_ns >= w->urgent_due_ns && now_ns >= w->urgent_walk_ns) {
        w->urgent_due_ns = WB_NEVER;
        w->urgent_walk_ns = now_ns + urgent_pause_ns(w);
        wb_urgent_again(w);
    }
    for (wb_urgent *u = w->urgent; u != NULL; u = u->next)
        for (; u->at < u->count; u->at++) {
            wb_entry *e = wb_ledger_find(&w->ledger, u->keys[u->at]);

            if (e == NULL)
                continue;
            e->urgent = true;
            if (wb_entry_free_to_send(e) || (e->state == WBSTORE_WAITING && e->attempt->due_ns <= now_ns))
                return e;
            wb_urgent_waits(w, e);
        }
    return NULL;
}

void wb_urgent_waits(wbstore *w, const wb_entry *e)
{
    if (e->urgent && e->state == WBSTORE_WAITING && e->attempt->due_ns < w->urgent_due_ns)
        w->urgent_due_ns = e->attempt->due_ns;
}

void wb_urgent_again(wbstore *w)
{
    for (wb_urgent *u = w->urgent; u != NULL; u = u->next)
        u->at = 0;
}

static void urgent_begin(wbstore *w, wb_urgent *u)
{
    wb_urgent **end = &w->urgent;

    while (*end != NULL)
        end = &(*end)->next;
    *end = u;
    wb_unlock_and_work(w);
    pthread_mutex_lock(&w->lock);
}

static void urgent_end(wbstore *w, const wb_urgent *u)
{
    wb_urgent **at = &w->urgent;

    while (*at != u)
        at = &(*at)->next;
    *at = u->next;
}

/* ---- waiting ---- */

static int wait_until_settled(wbstore *w, blob_ctx *ctx, uint64_t order) /* model: Syncer */
{
    int rc = 0;

    (void)wb_hurry(w, order);
    while (rc == 0 && (wb_resumes(w) || (w->ledger.active.head != NULL && w->ledger.active.head->order <= order))) {
        if ((rc = wait_resume_failed(w)) != 0)
            return rc;
        if (order < w->awaited_order)
            w->awaited_order = order;
        rc = wb_wait(w, ctx, &w->settled);
    }
    if (rc != 0)
        return wait_ended(w, rc);
    if (w->ledger.parked.head != NULL && w->ledger.parked.head->order <= order)
        return wait_parked(w->ledger.parked.head);
    return 0;
}

/* Somebody else may have put things into the buffer: if nothing is pending, ask it. */
static int sync_take_up(wbstore *w, blob_ctx *ctx)
{
    uint64_t held = 0;
    bool idle;
    int rc;

    pthread_mutex_lock(&w->lock);
    idle = !w->resuming && w->ledger.active_blobs == 0 && w->ledger.parked_blobs == 0;
    pthread_mutex_unlock(&w->lock);
    if (!idle)
        return 0;
    rc = blob_store_len(w->buf, ctx, &held);
    return rc == 0 && held > 0 ? wb_take_up(w, ctx) : rc;
}

int wbstore_sync(wbstore *w, blob_ctx *ctx) /* model: Syncer */
{
    uint64_t barrier;
    int rc = wait_check(w, "sync");

    if (rc != 0)
        return rc;
    pthread_mutex_lock(&w->lock);
    barrier = wb_order_of(w->last_ticket);
    pthread_mutex_unlock(&w->lock);
    if ((rc = sync_take_up(w, ctx)) != 0)
        return rc;
    pthread_mutex_lock(&w->lock);
    rc = wait_until_settled(w, ctx, barrier);
    pthread_mutex_unlock(&w->lock);
    return rc;
}

int wbstore_wait(wbstore *w, blob_ctx *ctx, uint64_t ticket)
{
    int rc = wait_check(w, "wait");

    if (rc != 0 || ticket == 0)
        return rc;
    pthread_mutex_lock(&w->lock);
    if (ticket > w->last_ticket)
        rc = blob_fail(-EINVAL, 0, "no such ticket was given yet: %llu", (unsigned long long)ticket);
    else
        rc = wait_until_settled(w, ctx, wb_order_of(ticket));
    pthread_mutex_unlock(&w->lock);
    return rc;
}

/* The entry that keeps us waiting for key, or NULL. */
static wb_entry *wait_key_entry(const wbstore *w, blob_key key, uint64_t barrier)
{
    wb_entry *e = wb_ledger_find(&w->ledger, key);

    return e != NULL && e->state != WB_ABSENT && e->order <= barrier ? e : NULL;
}

/* *waited: it had to wait, and what was looked at before may have changed meanwhile. */
static int wait_for_key(wbstore *w, blob_ctx *ctx, blob_key key, uint64_t barrier, bool *waited)
{
    wb_entry *e;
    int rc = 0;

    while (rc == 0) {
        e = wait_key_entry(w, key, barrier);
        if (!wb_resumes(w) && (e == NULL || e->state == WBSTORE_PARKED))
            return 0;
        if ((rc = wait_resume_failed(w)) != 0)
            return rc;
        if (e != NULL)
            e->awaited = true;
        *waited = true;
        rc = wb_wait(w, ctx, &w->settled);
    }
    return wait_ended(w, rc);
}

int wbstore_wait_keys(wbstore *w, blob_ctx *ctx, const blob_key *keys, size_t count)
{
    wb_urgent urgent = {.keys = keys, .count = count};
    bool waited = false;
    uint64_t barrier;
    wb_entry *e;
    int rc = wait_check(w, "wait_keys");

    if (rc == 0 && keys == NULL && count > 0)
        rc = blob_fail(-EINVAL, 0, "wait_keys: no keys");
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = wb_check_key(keys[i]);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&w->lock);
    barrier = wb_order_of(w->last_ticket);
    urgent_begin(w, &urgent);
    do { /* until one look finds them all settled: a parked one may have been retried during the wait for another */
        waited = false;
        for (size_t i = 0; rc == 0 && i < count; i++)
            rc = wait_for_key(w, ctx, keys[i], barrier, &waited);
    } while (rc == 0 && waited);
    urgent_end(w, &urgent);
    for (size_t i = 0; rc == 0 && i < count; i++)
        if ((e = wait_key_entry(w, keys[i], barrier)) != NULL && e->state == WBSTORE_PARKED)
            rc = wait_parked(e);
    pthread_mutex_unlock(&w->lock);
    return rc;
}

uint64_t wbstore_safe_ticket(wbstore *w)
{
    uint64_t safe;

    if (w == NULL || wb_fork_guard_is_child(&w->guard))
        return 0;
    pthread_mutex_lock(&w->lock);
    safe = wb_resumes(w) ? 0 : wb_ledger_safe_ticket(&w->ledger, w->last_ticket);
    pthread_mutex_unlock(&w->lock);
    return safe;
}
