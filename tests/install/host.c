/* host.c - a program of somebody else's, to be built against the installed library; host.cpp is the same file as C++. */
#include <stdio.h>
#include <string.h>
#include <wbstore/wbstore.h>

int main(void)
{
    blob_store *memory = NULL, *base = NULL, *buffer = NULL;
    wbstore *w = NULL;
    blob_address address;
    blob *b = NULL;
    int ok;

    ok = blob_memstore_new(&memory) == 0 && blob_hashcas_new(&base, memory, blob_hash_sha256()) == 0 &&
         blob_memstore_new(&buffer) == 0 && wbstore_new(&w, NULL, base, buffer, NULL) == 0 &&
         wbstore_cas_put(w, NULL, "host", 4, &address) == 0 && wbstore_sync(w, NULL) == 0 &&
         blob_store_get(base, NULL, blob_address_key(&address), &b) == 0 && b->size == 4 &&
         memcmp(b->data, "host", 4) == 0;
    blob_unref(b);
    wbstore_free(w);
    blob_store_close(buffer, NULL);
    blob_store_close(base, NULL);
    blob_store_close(memory, NULL);
    puts(ok ? wbstore_version() : "failed");
    return !ok;
}
