/* pool.h - the memory of a memory store: blobs and leaves of its index, kept and used again. */
#ifndef WB_MEMSTORE_POOL_H
#define WB_MEMSTORE_POOL_H

#include "blob/blob.h"

typedef struct wb_mem_pool wb_mem_pool;

wb_mem_pool *wb_mem_pool_new(void); /* NULL: no memory */
/* The pool goes once the last of its blobs has gone. Its leaves must have been given back. */
void wb_mem_pool_close(wb_mem_pool *p);

/* A blob of the store's, its key in the room behind it. */
int wb_mem_blob_new(wb_mem_pool *p, blob **out, blob_key key, blob_view data);
static inline blob_key wb_mem_blob_key(const blob *b)
{
    const wb_blob_placed *placed = (const wb_blob_placed *)(const void *)b;

    return blob_key_of(placed->room, placed->body.note);
}

/* Records of WB_MEM_LEAF_SIZE bytes. */
#define WB_MEM_LEAF_SIZE 520
void *wb_mem_leaf_take(wb_mem_pool *p); /* NULL: no memory */
void wb_mem_leaf_give(wb_mem_pool *p, void *leaf);

#endif
