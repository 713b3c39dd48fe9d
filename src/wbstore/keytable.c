/* keytable.c - extendible hashing: no put ever waits for a rehash of all.
 *
 *     hash = [ top bits: which page | low bits: which slot in it ]
 *
 *     pages     0 -> A   1 -> A   2 -> B   3 -> C        depth 2; page A has depth 1 and stands in two places
 *     page      hashes  . h . h h ... .                  open addressing, linear probing
 *               entries . e . e e ... .
 *
 * A page that is full splits in two by the next bit of its hashes; if it already used all the bits there are, the list
 * of pages doubles first, which copies pointers only. The seed keeps a caller from choosing keys that collide. */
#include "wbstore/keytable.h"
#include "wbstore/ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_SLOTS 512    /* a power of two */
#define PAGE_FULL 400     /* entries; beyond it a page splits */
#define PAGE_DEPTH_MAX 22 /* hash bits for the pages; the bits below choose the slot */

/* An open-addressed table. The hashes stand apart: a search reads nothing else, but for the entry that it is after. */
struct wb_key_page {
    uint32_t hashes[PAGE_SLOTS]; /* 0: an empty slot */
    wb_entry *entries[PAGE_SLOTS];
    unsigned depth; /* how many of the top bits all hashes of this page share */
    unsigned count;
};

static uint32_t table_hash(const wb_key_table *t, blob_key key)
{
    const unsigned char *at = key.data;
    uint64_t hash = t->seed ^ key.size, word;

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

static size_t table_page_at(const wb_key_table *t, uint32_t hash)
{
    return (size_t)((uint64_t)hash >> (32 - t->depth));
}

static size_t page_slot(uint32_t hash)
{
    return hash >> 1 & (PAGE_SLOTS - 1);
}

/* The slot of that entry (e), or of that key, or the empty slot where it would go. */
static size_t page_find(const wb_key_page *p, uint32_t hash, const wb_entry *e, blob_key key)
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

static void page_add(wb_key_page *p, uint32_t hash, wb_entry *e)
{
    size_t slot = page_slot(hash);

    while (p->hashes[slot] != 0)
        slot = (slot + 1) & (PAGE_SLOTS - 1);
    p->hashes[slot] = hash;
    p->entries[slot] = e;
    p->count++;
}

/* Empties a slot; what was pushed on because of it moves up. */
static void page_remove(wb_key_page *p, size_t slot)
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
static bool table_deepen(wb_key_table *t)
{
    size_t count = (size_t)1 << t->depth;
    wb_key_page **pages = malloc(2 * count * sizeof(wb_key_page *));

    if (pages == NULL)
        return false;
    for (size_t i = 0; i < 2 * count; i++)
        pages[i] = t->pages[i / 2];
    free(t->pages);
    t->pages = pages;
    t->depth++;
    return true;
}

/* Moves the half of a page whose next bit is set into a page of its own. */
static bool table_split(wb_key_table *t, uint32_t hash)
{
    wb_key_page *left = t->pages[table_page_at(t, hash)], *right;
    uint32_t bit;
    size_t first, count;

    if (left->depth == PAGE_DEPTH_MAX || (left->depth == t->depth && !table_deepen(t)))
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
    count = (size_t)1 << (t->depth - left->depth);
    first = (table_page_at(t, hash) & ~(2 * count - 1)) + count;
    for (size_t i = first; i < first + count; i++)
        t->pages[i] = right;
    return true;
}

/* The next page behind the one at i: a page stands in several places when it is less deep than the table. */
static size_t table_step(const wb_key_table *t, size_t i)
{
    return (size_t)1 << (t->depth - t->pages[i]->depth);
}

int wb_key_table_init(wb_key_table *t, uint64_t seed)
{
    *t = (wb_key_table){.seed = seed};
    t->pages = malloc(sizeof *t->pages);
    if (t->pages != NULL && (t->pages[0] = calloc(1, sizeof **t->pages)) != NULL)
        return 0;
    free(t->pages);
    t->pages = NULL;
    return blob_fail(-ENOMEM, 0, "no memory for a ledger");
}

void wb_key_table_free(wb_key_table *t, void (*free_entry)(wb_entry *e))
{
    for (size_t i = 0, step; t->pages != NULL && i < (size_t)1 << t->depth; i += step) {
        step = table_step(t, i);
        for (size_t slot = 0; slot < PAGE_SLOTS; slot++)
            if (t->pages[i]->hashes[slot] != 0)
                free_entry(t->pages[i]->entries[slot]);
        free(t->pages[i]);
    }
    free(t->pages);
    t->pages = NULL;
}

wb_entry *wb_key_table_find(const wb_key_table *t, blob_key key)
{
    uint32_t hash = table_hash(t, key);
    const wb_key_page *p = t->pages[table_page_at(t, hash)];
    size_t slot = page_find(p, hash, NULL, key);

    return p->hashes[slot] != 0 ? p->entries[slot] : NULL;
}

int wb_key_table_add(wb_key_table *t, wb_entry *e)
{
    uint32_t hash = table_hash(t, wb_entry_key(e));
    wb_key_page *p = t->pages[table_page_at(t, hash)];

    /* A page that cannot split, for want of memory, still takes entries as long as it has an empty slot to end its
     * searches. */
    while (p->count >= PAGE_FULL && table_split(t, hash))
        p = t->pages[table_page_at(t, hash)];
    if (p->count >= PAGE_SLOTS - 1)
        return blob_fail(-ENOMEM, 0, "no memory for the ledger");
    page_add(p, hash, e);
    t->count++;
    return 0;
}

/* Back to one page: what a large backlog took is not kept for ever. */
static void table_shrink(wb_key_table *t)
{
    for (size_t i = table_step(t, 0), step; i < (size_t)1 << t->depth; i += step) {
        step = table_step(t, i);
        free(t->pages[i]);
    }
    t->pages[0]->depth = 0;
    t->depth = 0;
}

void wb_key_table_remove(wb_key_table *t, wb_entry *e)
{
    uint32_t hash = table_hash(t, wb_entry_key(e));
    wb_key_page *p = t->pages[table_page_at(t, hash)];

    page_remove(p, page_find(p, hash, e, wb_entry_key(e)));
    if (--t->count == 0 && t->depth > 0)
        table_shrink(t);
}
