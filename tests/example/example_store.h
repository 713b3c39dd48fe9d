/* example_store.h - the store of the README's chapter "Write your own store": blobs in one file that only grows. */
#ifndef EXAMPLE_STORE_H
#define EXAMPLE_STORE_H

#include <wbstore/blob_store.h>

/* Opens the file at path, or makes it; a record that a crash has left half written at its end is cut off. A file belongs
 * to one store at a time. BLOB_CORRUPT: it is no file of such a store. Else a negated errno. */
int example_store_open(blob_store **out, const char *path);

#endif
