/* blob.h - for the stores of the library: blobs with room for their own words behind the payload. */
#ifndef WB_BLOB_H
#define WB_BLOB_H

#include <wbstore/blob.h>

/* As blob_new_alloc, with `tail` more bytes after the payload that live as long as the blob. */
int wb_blob_new_tail(blob **out, size_t size, size_t tail, void **writable);

#endif
