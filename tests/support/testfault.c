/* testfault.c - a fault store whose wrong use aborts. */
#include "testfault.h"

#include <stdio.h>
#include <stdlib.h>

static void tf_abort(void *arg, const char *what)
{
    (void)arg;
    fprintf(stderr, "faultstore: %s\n", what);
    abort();
}

int test_faultstore_new(blob_faultstore **controls, blob_store *inner)
{
    int rc = blob_faultstore_new(NULL, inner, controls);

    if (rc == 0)
        blob_faultstore_on_wrong(*controls, tf_abort, NULL);
    return rc;
}
