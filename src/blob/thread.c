/* thread.c - a thread of the library takes no signal of the host's. */
#include "blob/thread.h"

#include <signal.h>
#include <wbstore/blob.h>

int wb_thread_start(pthread_t *thread, void *(*run)(void *), void *arg, size_t stack_bytes)
{
    pthread_attr_t attr;
    sigset_t all, before;
    int rc = pthread_attr_init(&attr);

    if (rc != 0)
        return blob_fail(-rc, 0, "cannot start a thread");
    if (stack_bytes > 0)
        rc = pthread_attr_setstacksize(&attr, stack_bytes);
    if (rc == 0) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        rc = pthread_create(thread, &attr, run, arg);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_attr_destroy(&attr);
    return rc == 0 ? 0 : blob_fail(-rc, 0, "cannot start a thread");
}
