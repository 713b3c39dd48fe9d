/* testkit.c - a program of somebody else's that tests a store, to be built against the installed libraries: the suite
 * passes it, and names what is broken once it misbehaves. */
#include <stdio.h>
#include <string.h>
#include <wbstore/testkit.h>
#include <wbstore/wbstore.h>

static void note(void *arg, const char *promise, const char *detail)
{
    (void)detail;
    if (strcmp(promise, "put-get") == 0)
        ++*(int *)arg;
}

int main(void)
{
    blob_faultstore_fault flip = {0};
    blob_store *plain = NULL, *bad = NULL;
    blob_faultstore *controls = NULL;
    int named = 0, ok;

    flip.ops = BLOB_FAULT_GET;
    flip.when = BLOB_FAULT_AFTER;
    flip.action = BLOB_FAULT_FLIP;
    ok = blob_memstore_new(&plain) == 0 && blob_conform(plain, note, &named) == 0 && named == 0;
    ok = ok && blob_faultstore_new(&bad, plain, &controls) == 0 && blob_faultstore_add(controls, &flip) != NULL;
    ok = ok && blob_conform(bad, note, &named) > 0 && named == 1;
    blob_store_close(bad, NULL);
    blob_store_close(plain, NULL);
    puts(ok ? wbstore_version() : "failed");
    return !ok;
}
