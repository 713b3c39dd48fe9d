/* pool.h - the memory of a memory store: blobs and leaves of its index, kept and used again. */
#ifndef WB_MEMSTORE_POOL_H
#define WB_MEMSTORE_POOL_H

#include "blob/blob.h"
#include "blob/index.h"

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

/* An index of such blobs, with its leaves in the pool that is its arg. */
extern const wb_index_kind wb_mem_index_kind;

#endif
