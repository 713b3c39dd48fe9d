/* blob.h - for the stores of the library: blobs in a store's own memory. */
#ifndef WB_BLOB_H
#define WB_BLOB_H

#include <stdatomic.h>
#include <wbstore/blob.h>

typedef struct wb_blob_body {
    blob public;
    atomic_uint refs;
    unsigned char kind;
    unsigned char note; /* the store's own, in a placed blob */
} wb_blob_body;

typedef struct wb_blob_home wb_blob_home;

/* A blob whose memory a store provides, header and payload. The room behind it is the store's. */
typedef struct wb_blob_placed {
    wb_blob_body body;
    wb_blob_home *home;
    unsigned char room[];
} wb_blob_placed;

/* Takes back the memory of a blob that nobody holds any more; on any thread, perhaps after the store was closed. */
struct wb_blob_home {
    void (*recycle)(wb_blob_home *home, wb_blob_placed *placed);
};

/* Makes a blob with one reference in memory; note and room are left alone. */
blob *wb_blob_place(wb_blob_placed *memory, wb_blob_home *home, const void *data, size_t size);

#endif
