/* store.h - for the inside of the library: asking a store for its optional traits. */
#ifndef WB_STORE_H
#define WB_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include <wbstore/blob_store.h>

/* True if the table reaches as far as op and fills it. */
#define WB_STORE_HAS(store, op)                                                                                        \
    ((store)->ops->struct_size >= offsetof(blob_store_ops, op) + sizeof((store)->ops->op) && (store)->ops->op != NULL)

unsigned wb_store_traits(blob_store *s);     /* 0 where the store does not say */
int64_t wb_store_in_doubt_ms(blob_store *s); /* likewise */

/* What a listing returns once its callback has answered it with a verdict that is not 0. */
int wb_list_end(int verdict);

#endif
