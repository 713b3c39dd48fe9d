/* index.h - an ordered index of blobs by key, for one lane of the memory store. Not locked: its owner does that. */
#ifndef WB_MEMSTORE_INDEX_H
#define WB_MEMSTORE_INDEX_H

#include "memstore/pool.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct mem_leaf mem_leaf;

/* With its pool set and all else zero it is an empty index. */
typedef struct mem_index {
    wb_mem_pool *pool;
    struct mem_fence *fences;
    size_t leaves, room;
} mem_index;

/* Where a key is, or would be. Valid until the index changes. */
typedef struct mem_place {
    size_t leaf, slot;
} mem_place;

bool wb_mem_index_find(const mem_index *index, blob_key key, mem_place *place);
blob **wb_mem_index_at(const mem_index *index, mem_place place); /* NULL: place is past the end */
mem_place wb_mem_index_next(const mem_index *index, mem_place place);
int wb_mem_index_insert(mem_index *index, mem_place place, blob *b); /* where find said; -ENOMEM changes nothing */
void wb_mem_index_remove(mem_index *index, mem_place place);
void wb_mem_index_free(mem_index *index); /* drops its hold on every blob */

#endif
