/* index.h - an ordered index of things by key. Not locked: its owner does that. */
#ifndef WB_INDEX_H
#define WB_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wbstore/blob.h>

#define WB_INDEX_LEAF_MAX 32 /* items in one leaf */
#define WB_INDEX_LEAF_SIZE (WB_INDEX_LEAF_MAX * (sizeof(uint64_t) + sizeof(void *)) + sizeof(uint64_t))

/* What is indexed, and where the index has its memory from. */
typedef struct wb_index_kind {
    blob_key (*key)(const void *item);
    void *(*leaf_new)(void *arg); /* WB_INDEX_LEAF_SIZE bytes; NULL: no memory */
    void (*leaf_free)(void *arg, void *leaf);
} wb_index_kind;

typedef struct wb_leaf wb_leaf;

/* With kind (and arg) set and all else zero it is an empty index. */
typedef struct wb_index {
    const wb_index_kind *kind;
    void *arg;
    struct wb_fence *fences;
    size_t leaves, room;
} wb_index;

/* Where a key is, or would be. Valid until the index changes. */
typedef struct wb_place {
    size_t leaf, slot;
} wb_place;

bool wb_index_find(const wb_index *index, blob_key key, wb_place *place);
void **wb_index_at(const wb_index *index, wb_place place); /* NULL: place is past the end */
wb_place wb_index_next(const wb_index *index, wb_place place);
int wb_index_insert(wb_index *index, wb_place place, void *item); /* where find said; -ENOMEM changes nothing */
void wb_index_remove(wb_index *index, wb_place place);
void wb_index_free(wb_index *index, void (*drop)(void *item)); /* drop is called for every item; NULL: none */

#endif
