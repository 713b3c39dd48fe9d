/* thread.c - the wrapper's threads are counted, and joined by whoever closes. */
#include "wbstore/wrapper.h"

void wb_thread_ends(wbstore *w)
{
    if (--w->threads == 0)
        pthread_cond_broadcast(&w->stopped);
}
