/* ledger.c - the record of what is not in the base yet.
 *
 *     pages      key -> entry; extendible hashing: the top bits of a hash choose a page, a full page splits in two, so no
 *                put ever waits for a rehash of all
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

#define PAGE_SLOTS 512    /* a power of two */
#define PAGE_FULL 400     /* entries; beyond it a page splits */
#define PAGE_DEPTH_MAX 22 /* hash bits for the pages; the bits below choose the slot */

/* An open-addressed table. The hashes stand apart: a search reads nothing else, but for the entry that it is after. */
struct wb_ledger_page {
    uint32_t hashes[PAGE_SLOTS]; /* 0: an empty slot */
    wb_entry *entries[PAGE_SLOTS];
    unsigned depth; /* how many of the top bits all hashes of this page share */
    unsigned count;
};

static uint32_t ledger_hash(const wb_ledger *l, blob_key key)
{
    const unsigned char *at = key.data;
    uint64_t hash = l->seed ^ key.size, word;

    for (size_t left = key.size; left > 0;) {
        size_t n = left < sizeof word ? left : sizeof word;
        word = 0;
        memcpy(&word, at, n);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
        at += n;
        left -= n;
    }
    hash *= 0xbf58476d1ce4e5b9u;
    return (uint32_t)(hash >> 32) | 1; /* never 0 */
}

static size_t ledger_page_at(const wb_ledger *l, uint32_t hash)
{
    return (size_t)((uint64_t)hash >> (32 - l->depth));
}

static size_t page_slot(uint32_t hash)
{
    return hash >> 1 & (PAGE_SLOTS - 1);
}

/* The slot of that entry (e), or of that key, or the empty slot where it would go. */
static size_t page_find(const wb_ledger_page *p, uint32_t hash, const wb_entry *e, blob_key key)
{
    size_t slot = page_slot(hash);

    for (; p->hashes[slot] != 0; slot = (slot + 1) & (PAGE_SLOTS - 1)) {
        const wb_entry *found = p->entries[slot];
        if (p->hashes[slot] != hash)
            continue;
        if (e != NULL ? found == e
                      : found->key_size == key.size && (key.size == 0 || memcmp(found->key, key.data, key.size) == 0))
            break;
    }
    return slot;
}

static void page_add(wb_ledger_page *p, uint32_t hash, wb_entry *e)
{
    size_t slot = page_slot(hash);

    while (p->hashes[slot] != 0)
        slot = (slot + 1) & (PAGE_SLOTS - 1);
    p->hashes[slot] = hash;
    p->entries[slot] = e;
    p->count++;
}

/* Empties a slot; what was pushed on because of it moves up. */
static void page_remove(wb_ledger_page *p, size_t slot)
{
    size_t next = slot;

    while (p->hashes[next = (next + 1) & (PAGE_SLOTS - 1)] != 0) {
        size_t wanted = page_slot(p->hashes[next]);
        if (((next - wanted) & (PAGE_SLOTS - 1)) < ((next - slot) & (PAGE_SLOTS - 1)))
            continue;
        p->hashes[slot] = p->hashes[next];
        p->entries[slot] = p->entries[next];
        slot = next;
    }
    p->hashes[slot] = 0;
    p->count--;
}

/* Twice as many places for pages, each page in two of them. */
static bool ledger_deepen(wb_ledger *l)
{
    size_t count = (size_t)1 << l->depth;
    wb_ledger_page **pages = malloc(2 * count * sizeof(wb_ledger_page *));

    if (pages == NULL)
        return false;
    for (size_t i = 0; i < 2 * count; i++)
        pages[i] = l->pages[i / 2];
    free(l->pages);
    l->pages = pages;
    l->depth++;
    return true;
}

/* Moves the half of a page whose next bit is set into a page of its own. */
static bool ledger_split(wb_ledger *l, uint32_t hash)
{
    wb_ledger_page *left = l->pages[ledger_page_at(l, hash)], *right;
    uint32_t bit;
    size_t first, count;

    if (left->depth == PAGE_DEPTH_MAX || (left->depth == l->depth && !ledger_deepen(l)))
        return false;
    right = calloc(1, sizeof *right);
    if (right == NULL)
        return false;
    bit = UINT32_C(1) << (31 - left->depth);
    for (size_t slot = 0; slot < PAGE_SLOTS;) {
        if (left->hashes[slot] == 0 || (left->hashes[slot] & bit) == 0) {
            slot++;
            continue;
        }
        page_add(right, left->hashes[slot], left->entries[slot]);
        page_remove(left, slot); /* may bring another one into this slot */
    }
    right->depth = ++left->depth;
    count = (size_t)1 << (l->depth - left->depth);
    first = (ledger_page_at(l, hash) & ~(2 * count - 1)) + count;
    for (size_t i = first; i < first + count; i++)
        l->pages[i] = right;
    return true;
}

static void ledger_free_pages(wb_ledger *l)
{
    for (size_t i = 0, step; l->pages != NULL && i < (size_t)1 << l->depth; i += step) {
        step = (size_t)1 << (l->depth - l->pages[i]->depth);
        free(l->pages[i]);
    }
    free(l->pages);
    l->pages = NULL;
}

static int ledger_new_pages(wb_ledger *l)
{
    l->depth = 0;
    l->pages = malloc(sizeof *l->pages);
    if (l->pages != NULL && (l->pages[0] = calloc(1, sizeof **l->pages)) != NULL)
        return 0;
    free(l->pages);
    l->pages = NULL;
    return blob_fail(-ENOMEM, 0, "no memory for a ledger");
}

int wb_ledger_init(wb_ledger *l, uint64_t seed)
{
    *l = (wb_ledger){.seed = seed};
    return ledger_new_pages(l);
}

void wb_ledger_free(wb_ledger *l)
{
    for (size_t i = 0, step; l->pages != NULL && i < (size_t)1 << l->depth; i += step) {
        const wb_ledger_page *p = l->pages[i];
        step = (size_t)1 << (l->depth - p->depth);
        for (size_t slot = 0; slot < PAGE_SLOTS; slot++) {
            if (p->hashes[slot] == 0)
                continue;
            free(p->entries[slot]->attempt);
            free(p->entries[slot]);
        }
    }
    ledger_free_pages(l);
    free(l->heap);
}

wb_entry *wb_ledger_find(const wb_ledger *l, blob_key key)
{
    uint32_t hash = ledger_hash(l, key);
    const wb_ledger_page *p = l->pages[ledger_page_at(l, hash)];
    size_t slot = page_find(p, hash, NULL, key);

    return p->hashes[slot] != 0 ? p->entries[slot] : NULL;
}

wb_entry *wb_ledger_add(wb_ledger *l, blob_key key)
{
    uint32_t hash = ledger_hash(l, key);
    wb_ledger_page *p = l->pages[ledger_page_at(l, hash)];
    wb_entry *e = malloc(sizeof *e + key.size);

    /* A page that cannot split, for want of memory, still takes entries as long as it has an empty slot to end its
     * searches. */
    while (e != NULL && p->count >= PAGE_FULL && ledger_split(l, hash))
        p = l->pages[ledger_page_at(l, hash)];
    if (e == NULL || p->count >= PAGE_SLOTS - 1) {
        free(e);
        blob_fail(-ENOMEM, 0, "no memory for the ledger");
        return NULL;
    }
    *e = (wb_entry){.key_size = (uint8_t)key.size};
    if (key.size > 0)
        memcpy(e->key, key.data, key.size);
    page_add(p, hash, e);
    l->entries++;
    return e;
}

wb_entry *wb_ledger_make(wb_ledger *l, blob_key key)
{
    wb_entry *e = wb_ledger_find(l, key);

    return e != NULL ? e : wb_ledger_add(l, key);
}

void wb_ledger_settle(wb_ledger *l, wb_entry *e)
{
    uint32_t hash;
    wb_ledger_page *p;

    if (e->state != WB_ABSENT || e->hand != WB_HAND_NONE || e->putters > 0 || e->removers > 0)
        return;
    hash = ledger_hash(l, wb_entry_key(e));
    p = l->pages[ledger_page_at(l, hash)];
    page_remove(p, page_find(p, hash, e, wb_entry_key(e)));
    if (e->attempt != NULL)
        wb_attempt_free(l, e->attempt);
    free(e);
    if (--l->entries == 0 && l->depth > 0) {
        /* Back to one page: what a large backlog took is not kept for ever. */
        wb_ledger_page *first = l->pages[0];
        size_t step = (size_t)1 << (l->depth - first->depth);
        for (size_t i = step; i < (size_t)1 << l->depth; i += step) {
            step = (size_t)1 << (l->depth - l->pages[i]->depth);
            free(l->pages[i]);
        }
        first->depth = 0;
        l->depth = 0;
    }
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

/* Back among the active, in its place. What is older and still active is being sent or waits; those are walked. */
static void active_return(wb_ledger *l, wb_entry *e)
{
    wb_entry *at = entry_resumed(e) ? NULL : l->resumed_last, *next;

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

int64_t wb_ledger_due_ns(const wb_ledger *l)
{
    return l->waiting > 0 ? l->heap[0]->due_ns : WB_NEVER;
}

void wb_ledger_all_due(wb_ledger *l, int64_t now_ns)
{
    for (size_t i = 0; i < l->waiting; i++)
        l->heap[i]->due_ns = now_ns; /* all the same: still a heap */
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

/* ---- states ---- */

void wb_ledger_join(wb_ledger *l, wb_entry *e, uint64_t ticket, uint64_t size, int64_t now_ms)
{
    e->order = ticket > 0 ? wb_order_of(ticket) : ++l->resumed;
    e->size = size & LEDGER_48_BITS;
    e->since_ms = (uint64_t)now_ms & LEDGER_48_BITS;
    e->state = WBSTORE_QUEUED;
    l->bytes += e->size;
    l->key_bytes += e->key_size;
    active_insert_after(l, ticket > 0 ? l->active.tail : l->resumed_last, e);
    wb_ledger_free_to_send(l, e);
}

/* Out of whatever structure its state keeps it in, but for the active list, where the three active states share a place. */
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
        list_remove(&l->parked, e);
        l->parked_blobs--;
        e->untold = false;
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
        active_return(l, e);
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

void wb_ledger_leave(wb_ledger *l, wb_entry *e)
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

wb_entry *wb_ledger_next(wb_ledger *l, int64_t now_ns, bool probing)
{
    if (!probing && wb_ledger_due_ns(l) <= now_ns)
        return l->heap[0]->entry;
    while (l->cursor != NULL &&
           (l->cursor->state != WBSTORE_QUEUED || l->cursor->hand != WB_HAND_NONE || l->cursor->removers > 0))
        l->cursor = l->cursor->next;
    if (l->cursor != NULL)
        return l->cursor;
    return probing && l->waiting > 0 ? l->heap[0]->entry : NULL;
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
