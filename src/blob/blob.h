/* blob.h - for the stores of the library: blobs that carry a store's own words in the same allocation. */
#ifndef WB_BLOB_H
#define WB_BLOB_H

#include <wbstore/blob.h>

/* As blob_new_alloc, with head_size bytes of the store's own in front of the payload, in the same cache line as the
 * count where they fit. They live as long as the blob. Outs are set on success only, but *out always. */
int wb_blob_new(blob **out, size_t head_size, size_t size, void **head, void **writable);
void *wb_blob_head(const blob *b); /* of a blob made by wb_blob_new with a head */

#endif
