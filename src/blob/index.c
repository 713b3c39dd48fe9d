/* index.c - a two-level sorted array: fences over leaves, leaves over items.
 *
 *     fences   [ prefix | leaf ] [ prefix | leaf ] ...      sorted; prefix is that of the leaf's first key
 *     leaf     count, prefixes[32], items[32]               sorted; never empty
 *
 * A key's prefix is its first eight bytes as a big-endian number, zeroes behind a shorter key, so most steps of a
 * search compare two integers and touch neither item nor key; only equal prefixes look at the keys. The prefixes stand
 * apart from the items, and a leaf is fetched from memory whole, all its lines at once, before the search begins. */
#include "blob/index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct wb_leaf {
    uint64_t prefixes[WB_INDEX_LEAF_MAX];
    void *items[WB_INDEX_LEAF_MAX];
    size_t count;
};

_Static_assert(sizeof(wb_leaf) <= WB_INDEX_LEAF_SIZE, "leaves are made to measure");

typedef struct wb_fence {
    uint64_t prefix;
    wb_leaf *leaf;
} wb_fence;

static uint64_t index_prefix(blob_key key)
{
    unsigned char bytes[8] = {0};
    uint64_t prefix = 0;

    if (key.size > 0)
        memcpy(bytes, key.data, key.size < 8 ? key.size : 8);
    for (int i = 0; i < 8; i++)
        prefix = prefix << 8 | bytes[i];
    return prefix;
}

/* The order of what stands in the slot and of the key sought. */
static int index_compare(const wb_index *index, const wb_leaf *leaf, size_t slot, uint64_t prefix, blob_key key)
{
    if (leaf->prefixes[slot] != prefix)
        return leaf->prefixes[slot] < prefix ? -1 : 1;
    return blob_key_compare(index->kind->key(leaf->items[slot]), key);
}

/* The last leaf whose first key is not above the key; the first leaf if all are. */
static size_t index_find_leaf(const wb_index *index, uint64_t prefix, blob_key key)
{
    size_t low = 0, high = index->leaves;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const wb_fence *fence = &index->fences[middle];
        bool above =
            fence->prefix != prefix ? fence->prefix > prefix : index_compare(index, fence->leaf, 0, prefix, key) > 0;
        if (above)
            high = middle;
        else
            low = middle + 1;
    }
    return low > 0 ? low - 1 : 0;
}

bool wb_index_find(const wb_index *index, blob_key key, wb_place *place)
{
    uint64_t prefix = index_prefix(key);
    size_t low = 0, high;
    const wb_leaf *leaf;

    *place = (wb_place){0, 0};
    if (index->leaves == 0)
        return false;
    place->leaf = index_find_leaf(index, prefix, key);
    leaf = index->fences[place->leaf].leaf;
    for (size_t i = 0; i < sizeof leaf->prefixes + sizeof leaf->items; i += 64)
        __builtin_prefetch((const unsigned char *)leaf + i);
    high = leaf->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = index_compare(index, leaf, middle, prefix, key);
        if (order == 0) {
            place->slot = middle;
            return true;
        }
        if (order > 0)
            high = middle;
        else
            low = middle + 1;
    }
    place->slot = low;
    return false;
}

void **wb_index_at(const wb_index *index, wb_place place)
{
    if (place.leaf >= index->leaves)
        return NULL;
    if (place.slot >= index->fences[place.leaf].leaf->count)
        return place.leaf + 1 < index->leaves ? &index->fences[place.leaf + 1].leaf->items[0] : NULL;
    return &index->fences[place.leaf].leaf->items[place.slot];
}

wb_place wb_index_next(const wb_index *index, wb_place place)
{
    if (place.leaf < index->leaves && place.slot >= index->fences[place.leaf].leaf->count)
        place = (wb_place){place.leaf + 1, 0}; /* between two leaves: what stands here is the next one's first */
    place.slot++;
    return place;
}

/* A new empty leaf at that position among the fences. NULL: no memory. */
static wb_leaf *index_add_leaf(wb_index *index, size_t at)
{
    wb_leaf *leaf = index->kind->leaf_new(index->arg);

    if (leaf != NULL && index->leaves == index->room) {
        size_t room = index->room > 0 ? 2 * index->room : 4;
        wb_fence *fences = room <= SIZE_MAX / sizeof *fences ? realloc(index->fences, room * sizeof *fences) : NULL;
        if (fences == NULL) {
            index->kind->leaf_free(index->arg, leaf);
            return NULL;
        }
        index->fences = fences;
        index->room = room;
    }
    if (leaf == NULL)
        return NULL;
    memmove(&index->fences[at + 1], &index->fences[at], (index->leaves - at) * sizeof *index->fences);
    index->fences[at] = (wb_fence){.prefix = 0, .leaf = leaf};
    index->leaves++;
    leaf->count = 0;
    return leaf;
}

static void index_drop_leaf(wb_index *index, size_t at)
{
    index->kind->leaf_free(index->arg, index->fences[at].leaf);
    index->leaves--;
    memmove(&index->fences[at], &index->fences[at + 1], (index->leaves - at) * sizeof *index->fences);
    if (index->leaves == 0) {
        free(index->fences);
        index->fences =
            NULL; /* kind and arg may be read without the owner's lock: they are not even written their own value */
        index->room = 0;
    }
}

static void index_move_slots(wb_leaf *to, size_t to_slot, wb_leaf *from, size_t from_slot, size_t count)
{
    memmove(&to->prefixes[to_slot], &from->prefixes[from_slot], count * sizeof to->prefixes[0]);
    memmove(&to->items[to_slot], &from->items[from_slot], count * sizeof to->items[0]);
}

static void index_refence(wb_index *index, size_t at)
{
    index->fences[at].prefix = index->fences[at].leaf->prefixes[0];
}

/* Makes room at place in a full leaf. Keys that arrive in order leave full leaves behind, others half full ones. */
static int index_split(wb_index *index, wb_place *place)
{
    wb_leaf *right = index_add_leaf(index, place->leaf + 1), *left = index->fences[place->leaf].leaf;
    size_t keep = place->slot == WB_INDEX_LEAF_MAX ? WB_INDEX_LEAF_MAX : WB_INDEX_LEAF_MAX / 2;

    if (right == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for the index of a store");
    right->count = WB_INDEX_LEAF_MAX - keep;
    left->count = keep;
    index_move_slots(right, 0, left, keep, right->count);
    if (right->count > 0)
        index_refence(index, place->leaf + 1);
    if (place->slot > keep || keep == WB_INDEX_LEAF_MAX)
        *place = (wb_place){place->leaf + 1, place->slot - keep};
    return 0;
}

int wb_index_insert(wb_index *index, wb_place place, void *item)
{
    wb_leaf *leaf;

    if (index->leaves == 0 && index_add_leaf(index, 0) == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for the index of a store");
    if (index->fences[place.leaf].leaf->count == WB_INDEX_LEAF_MAX) {
        int rc = index_split(index, &place);
        if (rc != 0)
            return rc;
    }
    leaf = index->fences[place.leaf].leaf;
    index_move_slots(leaf, place.slot + 1, leaf, place.slot, leaf->count - place.slot);
    leaf->prefixes[place.slot] = index_prefix(index->kind->key(item));
    leaf->items[place.slot] = item;
    leaf->count++;
    index_refence(index, place.leaf);
    return 0;
}

/* Joins a leaf with its right neighbour where both fit in half a leaf: sparse leaves must not hold on to memory. */
static void index_join(wb_index *index, size_t at)
{
    wb_leaf *left, *right;

    if (at + 1 >= index->leaves)
        return;
    left = index->fences[at].leaf;
    right = index->fences[at + 1].leaf;
    if (left->count + right->count > WB_INDEX_LEAF_MAX / 2)
        return;
    index_move_slots(left, left->count, right, 0, right->count);
    left->count += right->count;
    index_drop_leaf(index, at + 1);
}

void wb_index_remove(wb_index *index, wb_place place)
{
    wb_leaf *leaf = index->fences[place.leaf].leaf;

    leaf->count--;
    index_move_slots(leaf, place.slot, leaf, place.slot + 1, leaf->count - place.slot);
    if (leaf->count == 0) {
        index_drop_leaf(index, place.leaf);
        return;
    }
    index_refence(index, place.leaf);
    index_join(index, place.leaf);
    if (place.leaf > 0)
        index_join(index, place.leaf - 1);
}

void wb_index_free(wb_index *index, void (*drop)(void *item))
{
    for (size_t i = 0; i < index->leaves; i++) {
        wb_leaf *leaf = index->fences[i].leaf;
        for (size_t slot = 0; drop != NULL && slot < leaf->count; slot++)
            drop(leaf->items[slot]);
        index->kind->leaf_free(index->arg, leaf);
    }
    free(index->fences);
    *index = (wb_index){.kind = index->kind, .arg = index->arg};
}
