/* testfault.h - fault stores (testkit.h) for tests of ours: a wrong use of the controls ends the program with a line on
 * stderr, so that no test need look at what each of them returns. */
#ifndef TESTFAULT_H
#define TESTFAULT_H

#include <stdbool.h>
#include <wbstore/testkit.h>

/* As blob_faultstore_new; blob_faultstore_store gives the store. */
int test_faultstore_new(blob_faultstore **controls, blob_store *inner);

#endif
