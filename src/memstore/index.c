/* index.c - a two-level sorted array: fences over leaves, leaves over blobs.
 *
 *     fences   [ prefix | leaf ] [ prefix | leaf ] ...      sorted; prefix is that of the leaf's first key
 *     leaf     count, prefixes[32], blobs[32]               sorted; never empty
 *
 * A key's prefix is its first eight bytes as a big-endian number, zeroes behind a shorter key, so most steps of a
 * search compare two integers and touch neither blob nor key; only equal prefixes look at the keys. The prefixes stand
 * apart from the blobs, and a leaf is fetched from memory whole, all its lines at once, before the search begins. */
#include "memstore/index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INDEX_LEAF_MAX 32

struct mem_leaf {
    uint64_t prefixes[INDEX_LEAF_MAX];
    blob *blobs[INDEX_LEAF_MAX];
    size_t count;
};

_Static_assert(sizeof(mem_leaf) == WB_MEM_LEAF_SIZE, "the pool's leaf records are made to measure");

typedef struct mem_fence {
    uint64_t prefix;
    mem_leaf *leaf;
} mem_fence;

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
static int index_compare(const mem_leaf *leaf, size_t slot, uint64_t prefix, blob_key key)
{
    if (leaf->prefixes[slot] != prefix)
        return leaf->prefixes[slot] < prefix ? -1 : 1;
    return blob_key_compare(wb_mem_blob_key(leaf->blobs[slot]), key);
}

/* The last leaf whose first key is not above the key; the first leaf if all are. */
static size_t index_find_leaf(const mem_index *index, uint64_t prefix, blob_key key)
{
    size_t low = 0, high = index->leaves;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const mem_fence *fence = &index->fences[middle];
        bool above = fence->prefix != prefix ? fence->prefix > prefix : index_compare(fence->leaf, 0, prefix, key) > 0;
        if (above)
            high = middle;
        else
            low = middle + 1;
    }
    return low > 0 ? low - 1 : 0;
}

bool wb_mem_index_find(const mem_index *index, blob_key key, mem_place *place)
{
    uint64_t prefix = index_prefix(key);
    size_t low = 0, high;
    const mem_leaf *leaf;

    *place = (mem_place){0, 0};
    if (index->leaves == 0)
        return false;
    place->leaf = index_find_leaf(index, prefix, key);
    leaf = index->fences[place->leaf].leaf;
    for (size_t i = 0; i < sizeof leaf->prefixes + sizeof leaf->blobs; i += 64)
        __builtin_prefetch((const unsigned char *)leaf + i);
    high = leaf->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = index_compare(leaf, middle, prefix, key);
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

blob **wb_mem_index_at(const mem_index *index, mem_place place)
{
    if (place.leaf >= index->leaves)
        return NULL;
    if (place.slot >= index->fences[place.leaf].leaf->count)
        return place.leaf + 1 < index->leaves ? &index->fences[place.leaf + 1].leaf->blobs[0] : NULL;
    return &index->fences[place.leaf].leaf->blobs[place.slot];
}

mem_place wb_mem_index_next(const mem_index *index, mem_place place)
{
    if (place.leaf < index->leaves && place.slot >= index->fences[place.leaf].leaf->count)
        place = (mem_place){place.leaf + 1, 0}; /* between two leaves: what stands here is the next one's first */
    place.slot++;
    return place;
}

/* A new empty leaf at that position among the fences. NULL: no memory. */
static mem_leaf *index_add_leaf(mem_index *index, size_t at)
{
    mem_leaf *leaf = wb_mem_leaf_take(index->pool);

    if (leaf != NULL && index->leaves == index->room) {
        size_t room = index->room > 0 ? 2 * index->room : 4;
        mem_fence *fences = room <= SIZE_MAX / sizeof *fences ? realloc(index->fences, room * sizeof *fences) : NULL;
        if (fences == NULL) {
            wb_mem_leaf_give(index->pool, leaf);
            return NULL;
        }
        index->fences = fences;
        index->room = room;
    }
    if (leaf == NULL)
        return NULL;
    memmove(&index->fences[at + 1], &index->fences[at], (index->leaves - at) * sizeof *index->fences);
    index->fences[at] = (mem_fence){.prefix = 0, .leaf = leaf};
    index->leaves++;
    leaf->count = 0;
    return leaf;
}

static void index_drop_leaf(mem_index *index, size_t at)
{
    wb_mem_leaf_give(index->pool, index->fences[at].leaf);
    index->leaves--;
    memmove(&index->fences[at], &index->fences[at + 1], (index->leaves - at) * sizeof *index->fences);
    if (index->leaves == 0) {
        free(index->fences);
        index->fences = NULL; /* the pool is read without the lane's lock, so it is not even written its own value */
        index->room = 0;
    }
}

static void index_move_slots(mem_leaf *to, size_t to_slot, mem_leaf *from, size_t from_slot, size_t count)
{
    memmove(&to->prefixes[to_slot], &from->prefixes[from_slot], count * sizeof to->prefixes[0]);
    memmove(&to->blobs[to_slot], &from->blobs[from_slot], count * sizeof to->blobs[0]);
}

static void index_refence(mem_index *index, size_t at)
{
    index->fences[at].prefix = index->fences[at].leaf->prefixes[0];
}

/* Makes room at place in a full leaf. Keys that arrive in order leave full leaves behind, others half full ones. */
static int index_split(mem_index *index, mem_place *place)
{
    mem_leaf *right = index_add_leaf(index, place->leaf + 1), *left = index->fences[place->leaf].leaf;
    size_t keep = place->slot == INDEX_LEAF_MAX ? INDEX_LEAF_MAX : INDEX_LEAF_MAX / 2;

    if (right == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for the index of the memory store");
    right->count = INDEX_LEAF_MAX - keep;
    left->count = keep;
    index_move_slots(right, 0, left, keep, right->count);
    if (right->count > 0)
        index_refence(index, place->leaf + 1);
    if (place->slot > keep || keep == INDEX_LEAF_MAX)
        *place = (mem_place){place->leaf + 1, place->slot - keep};
    return 0;
}

int wb_mem_index_insert(mem_index *index, mem_place place, blob *b)
{
    mem_leaf *leaf;

    if (index->leaves == 0 && index_add_leaf(index, 0) == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for the index of the memory store");
    if (index->fences[place.leaf].leaf->count == INDEX_LEAF_MAX) {
        int rc = index_split(index, &place);
        if (rc != 0)
            return rc;
    }
    leaf = index->fences[place.leaf].leaf;
    index_move_slots(leaf, place.slot + 1, leaf, place.slot, leaf->count - place.slot);
    leaf->prefixes[place.slot] = index_prefix(wb_mem_blob_key(b));
    leaf->blobs[place.slot] = b;
    leaf->count++;
    index_refence(index, place.leaf);
    return 0;
}

/* Joins a leaf with its right neighbour where both fit in half a leaf: sparse leaves must not hold on to memory. */
static void index_join(mem_index *index, size_t at)
{
    mem_leaf *left, *right;

    if (at + 1 >= index->leaves)
        return;
    left = index->fences[at].leaf;
    right = index->fences[at + 1].leaf;
    if (left->count + right->count > INDEX_LEAF_MAX / 2)
        return;
    index_move_slots(left, left->count, right, 0, right->count);
    left->count += right->count;
    index_drop_leaf(index, at + 1);
}

void wb_mem_index_remove(mem_index *index, mem_place place)
{
    mem_leaf *leaf = index->fences[place.leaf].leaf;

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

void wb_mem_index_free(mem_index *index)
{
    for (size_t i = 0; i < index->leaves; i++) {
        mem_leaf *leaf = index->fences[i].leaf;
        for (size_t slot = 0; slot < leaf->count; slot++)
            blob_unref(leaf->blobs[slot]);
        wb_mem_leaf_give(index->pool, leaf);
    }
    free(index->fences);
    *index = (mem_index){.pool = index->pool};
}
