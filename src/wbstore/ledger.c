/* ledger.c - the record of what is not in the base yet.
 *
 *     keys       key -> entry (keytable.c)
 *     active     entries in their order; sync and wait look at its head only
 *     cursor     where the queued ones begin; sending oldest first is a walk of the cursor
 *     heap       those who wait for their next attempt, by time
 *     parked     those who wait for nobody; apart, so that they do not hold up what is behind them
 *
 * Memory for a failure is taken before an upload begins (wb_attempt), so a base that fails cannot fail us too. */
#include "wbstore/ledger.h"
#include "blob/ctx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LEDGER_48_BITS ((UINT64_C(1) << 48) - 1) /* 256 TiB, or 8,900 years of milliseconds */

/* ---- by key ---- */

int wb_ledger_init(wb_ledger *l, uint64_t seed)
{
    *l = (wb_ledger){.waiting = 0};
    return wb_key_table_init(&l->keys, seed);
}

static void ledger_free_entry(wb_entry *e)
{
    free(e->attempt);
    free(e);
}

void wb_ledger_free(wb_ledger *l)
{
    wb_key_table_free(&l->keys, ledger_free_entry);
    free(l->heap);
}

wb_entry *wb_ledger_find(const wb_ledger *l, blob_key key)
{
    return wb_key_table_find(&l->keys, key);
}

wb_entry *wb_ledger_add(wb_ledger *l, blob_key key)
{
    wb_entry *e = malloc(sizeof *e + key.size);

    if (e == NULL) {
        blob_fail(-ENOMEM, 0, "no memory for the ledger");
        return NULL;
    }
    *e = (wb_entry){.key_size = (uint8_t)key.size};
    if (key.size > 0)
        memcpy(e->key, key.data, key.size);
    if (wb_key_table_add(&l->keys, e) != 0) {
        free(e);
        return NULL;
    }
    return e;
}

wb_entry *wb_ledger_make(wb_ledger *l, blob_key key)
{
    wb_entry *e = wb_ledger_find(l, key);

    return e != NULL ? e : wb_ledger_add(l, key);
}

void wb_ledger_settle(wb_ledger *l, wb_entry *e) /* model: ledger.pml */
{
    if (e->state != WB_ABSENT || e->hand != WB_HAND_NONE || e->putters > 0 || e->removers > 0 ||
        wb_entry_doubts(e, ~0u))
        return;
    wb_key_table_remove(&l->keys, e);
    wb_attempt_free(l, e->attempt);
    free(e);
}

/* ---- in order ---- */

static void list_insert_after(wb_list *list, wb_entry *at, wb_entry *e)
{
    e->prev = at;
    e->next = at != NULL ? at->next : list->head;
    *(e->prev != NULL ? &e->prev->next : &list->head) = e;
    *(e->next != NULL ? &e->next->prev : &list->tail) = e;
}

static void list_remove(wb_list *list, wb_entry *e)
{
    *(e->prev != NULL ? &e->prev->next : &list->head) = e->next;
    *(e->next != NULL ? &e->next->prev : &list->tail) = e->prev;
    e->prev = e->next = NULL;
}

static bool entry_resumed(const wb_entry *e)
{
    return e->order < WB_ORDER_TICKETS;
}

static void active_insert_after(wb_ledger *l, wb_entry *at, wb_entry *e)
{
    list_insert_after(&l->active, at, e);
    if (entry_resumed(e) && at == l->resumed_last)
        l->resumed_last = e;
    l->active_blobs++;
}

static void active_remove(wb_ledger *l, wb_entry *e)
{
    if (l->resumed_last == e)
        l->resumed_last = e->prev;
    if (l->cursor == e)
        l->cursor = e->next;
    list_remove(&l->active, e);
    l->active_blobs--;
}

/* Back among the active, in its place, which is behind `at` (NULL: anywhere). What is older and still active is being
 * sent or waits; those are walked. */
static void active_return(wb_ledger *l, wb_entry *at, wb_entry *e)
{
    wb_entry *next;

    if (!entry_resumed(e) && (at == NULL || entry_resumed(at)))
        at = l->resumed_last;
    while ((next = at != NULL ? at->next : l->active.head) != NULL && next->order < e->order)
        at = next;
    active_insert_after(l, at, e);
}

static void parked_insert(wb_ledger *l, wb_entry *e)
{
    wb_entry *at = l->parked.tail;

    while (at != NULL && at->order > e->order)
        at = at->prev;
    list_insert_after(&l->parked, at, e);
    l->parked_blobs++;
    e->untold = true;
    if (l->untold == NULL || e->order < l->untold->order)
        l->untold = e;
}

static void parked_remove(wb_ledger *l, wb_entry *e)
{
    if (l->untold == e)
        l->untold = e->next;
    list_remove(&l->parked, e);
    l->parked_blobs--;
    e->untold = false;
}

wb_entry *wb_ledger_untold(wb_ledger *l)
{
    wb_entry *e = l->untold;

    while (e != NULL && !e->untold)
        e = e->next;
    l->untold = e != NULL ? e->next : NULL;
    if (e != NULL)
        e->untold = false;
    return e;
}

void wb_ledger_free_to_send(wb_ledger *l, wb_entry *e)
{
    if (e->state == WBSTORE_QUEUED && (l->cursor == NULL || e->order < l->cursor->order))
        l->cursor = e;
}

/* ---- those who wait ---- */

static void heap_set(wb_ledger *l, size_t at, wb_attempt *a)
{
    l->heap[at] = a;
    a->heap_at = at;
}

static void heap_rise(wb_ledger *l, size_t at, wb_attempt *a)
{
    for (; at > 0 && l->heap[(at - 1) / 2]->due_ns > a->due_ns; at = (at - 1) / 2)
        heap_set(l, at, l->heap[(at - 1) / 2]);
    heap_set(l, at, a);
}

static void heap_add(wb_ledger *l, wb_attempt *a)
{
    heap_rise(l, l->waiting++, a);
}

static void heap_remove(wb_ledger *l, const wb_attempt *a)
{
    size_t at = a->heap_at, child;
    wb_attempt *last = l->heap[--l->waiting];

    if (last == a)
        return;
    for (; (child = 2 * at + 1) < l->waiting; at = child) {
        if (child + 1 < l->waiting && l->heap[child + 1]->due_ns < l->heap[child]->due_ns)
            child++;
        if (l->heap[child]->due_ns >= last->due_ns)
            break;
        heap_set(l, at, l->heap[child]);
    }
    heap_rise(l, at, last);
}

/* When a queued entry has stayed as long as it must. */
static int64_t ledger_ripe_ns(const wb_ledger *l, const wb_entry *e)
{
    if (l->dwell_ms == 0 || entry_resumed(e) || e->order <= l->hurried)
        return 0;
    return wb_after_ms(0, (int64_t)e->since_ms + l->dwell_ms);
}

int64_t wb_ledger_due_ns(const wb_ledger *l)
{
    int64_t due_ns = l->waiting > 0 ? l->heap[0]->due_ns : WB_NEVER;
    int64_t ripe_ns = l->cursor != NULL && wb_entry_free_to_send(l->cursor) ? ledger_ripe_ns(l, l->cursor) : 0;

    return ripe_ns > 0 && ripe_ns < due_ns ? ripe_ns : due_ns;
}

void wb_ledger_all_queued(wb_ledger *l)
{
    while (l->waiting > 0)
        wb_ledger_move(l, l->heap[l->waiting - 1]->entry, WBSTORE_QUEUED);
}

wb_attempt *wb_attempt_new(wb_ledger *l)
{
    wb_attempt *a;

    if (l->attempts == l->heap_room) {
        size_t room = l->heap_room > 0 ? 2 * l->heap_room : 64;
        wb_attempt **heap = realloc(l->heap, room * sizeof(wb_attempt *));
        if (heap == NULL)
            return NULL;
        l->heap = heap;
        l->heap_room = room;
    }
    a = calloc(1, sizeof *a);
    if (a != NULL)
        l->attempts++;
    return a;
}

void wb_attempt_free(wb_ledger *l, wb_attempt *a)
{
    if (a == NULL)
        return;
    l->attempts--;
    free(a);
}

void wb_attempt_reset(wb_attempt *a)
{
    a->number = 0;
    a->arrived = false;
    a->status = 0;
    a->text[0] = '\0';
}

/* ---- states ---- */

void wb_ledger_join(wb_ledger *l, wb_entry *e, uint64_t ticket, uint64_t size, int64_t now_ms)
{
    wb_entry *at = ticket > 0 ? l->active.tail : l->resumed_last;

    e->order = ticket > 0 ? wb_order_of(ticket) : ++l->resumed;
    e->size = size & LEDGER_48_BITS;
    e->since_ms = (uint64_t)now_ms & LEDGER_48_BITS;
    e->state = WBSTORE_QUEUED;
    wb_doubt_clear(l, e, WB_DOUBT_GHOST); /* there is a blob again */
    l->bytes += e->size;
    l->key_bytes += e->key_size;
    while (at != NULL && at->order > e->order)
        at = at->prev;
    active_insert_after(l, at, e);
    wb_ledger_free_to_send(l, e);
}

/* Out of whatever structure its state keeps it in, but for the active list, where the three active states share a
 * place. */
static void ledger_let_go(wb_ledger *l, wb_entry *e)
{
    switch (e->state) {
    case WBSTORE_SENDING:
        l->sending--;
        break;
    case WBSTORE_WAITING:
        heap_remove(l, e->attempt);
        break;
    case WBSTORE_PARKED:
        parked_remove(l, e);
        break;
    default:
        break;
    }
}

void wb_ledger_move(wb_ledger *l, wb_entry *e, wbstore_state state)
{
    bool was_parked = e->state == WBSTORE_PARKED;

    ledger_let_go(l, e);
    e->state = (uint8_t)state;
    if (was_parked && state != WBSTORE_PARKED)
        active_return(l, NULL, e);
    switch (state) {
    case WBSTORE_QUEUED:
        wb_ledger_free_to_send(l, e);
        break;
    case WBSTORE_SENDING:
        l->sending++;
        break;
    case WBSTORE_WAITING:
        heap_add(l, e->attempt);
        break;
    case WBSTORE_PARKED:
        if (!was_parked)
            active_remove(l, e);
        parked_insert(l, e);
        break;
    }
}

void wb_ledger_all_unparked(wb_ledger *l)
{
    wb_entry *at = NULL, *e;

    while ((e = l->parked.head) != NULL) { /* in order, both lists: each goes on from the place of the last */
        parked_remove(l, e);
        e->state = WBSTORE_QUEUED;
        active_return(l, at, e);
        wb_ledger_free_to_send(l, e);
        at = e;
    }
}

void wb_ledger_leave(wb_ledger *l, wb_entry *e) /* model: ledger.pml */
{
    bool was_parked = e->state == WBSTORE_PARKED;

    ledger_let_go(l, e);
    if (!was_parked)
        active_remove(l, e);
    l->bytes -= e->size;
    l->key_bytes -= e->key_size;
    e->state = WB_ABSENT;
    e->vouched = false;
}

void wb_ledger_resize(wb_ledger *l, wb_entry *e, uint64_t size)
{
    l->bytes -= e->size;
    e->size = size & LEDGER_48_BITS;
    l->bytes += e->size;
}

bool wb_entry_free_to_send(const wb_entry *e) /* model: ledger.pml */
{
    return e->state == WBSTORE_QUEUED && e->hand == WB_HAND_NONE && e->removers == 0;
}

/* The oldest that may go now. */
static wb_entry *ledger_first(wb_ledger *l, int64_t now_ns)
{
    while (l->cursor != NULL && !wb_entry_free_to_send(l->cursor))
        l->cursor = l->cursor->next;
    return l->cursor != NULL && ledger_ripe_ns(l, l->cursor) <= now_ns ? l->cursor : NULL;
}

wb_entry *wb_ledger_next(wb_ledger *l, int64_t now_ns, wb_turn turn)
{
    wb_entry *first = ledger_first(l, now_ns);
    wb_entry *retry =
        l->waiting > 0 && (turn == WB_TURN_PROBE || l->heap[0]->due_ns <= now_ns) ? l->heap[0]->entry : NULL;

    if (first == NULL || retry == NULL)
        return first != NULL ? first : retry;
    return turn == WB_TURN_RETRY ? retry : first;
}

static uint64_t ledger_before(const wb_list *list, uint64_t safe)
{
    const wb_entry *first = list->head;

    if (first == NULL || first->order > wb_order_of(safe))
        return safe;
    return entry_resumed(first) ? 0 : first->order - WB_ORDER_TICKETS - 1;
}

uint64_t wb_ledger_safe_ticket(const wb_ledger *l, uint64_t last)
{
    return ledger_before(&l->parked, ledger_before(&l->active, last));
}
