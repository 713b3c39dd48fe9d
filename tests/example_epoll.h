/* example_epoll.h - an example host around epoll: takes blobs from clients, and never waits for the base. */
#ifndef EXAMPLE_EPOLL_H
#define EXAMPLE_EPOLL_H

#include <wbstore/wbstore.h>

typedef struct example_options {
    uint64_t blobs_max; /* pending at most; then clients are told "full". 0: no bound */
    int look_ms;        /* how often the safe ticket is looked at while somebody waits for it and the buffer is never
                           empty, and how soon after there was no descriptor for a client one is asked for again;
                           below 0: only when it is empty, and when another client has gone */
    size_t waits_max;   /* blobs of one client not known to be safe; then it is told "full" too. 0: 65,536 */
    int64_t close_ms;   /* how long the end may take. 0: 5 seconds */
} example_options;

typedef struct example_host example_host;

/* Serves clients who connect to listener until stop is readable; both are the caller's, listener without blocking. The
 * stores too: base knows addresses, buffer is durable. 0, or what went wrong.
 *
 * *left is NULL, and the stores can be closed; or an upload did not heed its cancel in time (-ETIMEDOUT), and what is
 * left still uses them: close neither. A process that is about to end does so as it is: what was accepted is in the
 * buffer, and the next start sends it. One that goes on gives *left to example_free on a thread, and closes the stores
 * after that. */
int example_serve(int listener, int stop, blob_store *base, blob_store *buffer, const example_options *options,
                  example_host **left);
void example_free(example_host *left); /* waits for that upload, without bound. NULL is fine */

#endif
