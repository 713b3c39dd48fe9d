/* thread.c - the wrapper's threads that come and go: counted while they run, joined by the housekeeper or whoever
 * closes. */
#include "blob/status.h"
#include "wbstore/wrapper.h"

#include <errno.h>
#include <stdlib.h>

void wb_thread_ends(wbstore *w)
{
    if (--w->threads == 0)
        pthread_cond_broadcast(&w->stopped);
}

static int worker_start(wbstore *w, void *(*run)(void *worker), size_t stack_bytes)
{
    wb_worker *worker = NULL;
    pthread_t thread;
    int rc;

    if (blob_ctx_status(w->run) != 0)
        return BLOB_CLOSED; /* close may have counted the threads already */
    worker = calloc(1, sizeof *worker);
    if (worker == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for a thread");
    worker->w = w;
    w->threads++;
    pthread_mutex_unlock(&w->lock);
    rc = wb_thread_start(&thread, run, worker, stack_bytes);
    pthread_mutex_lock(&w->lock);
    if (rc != 0) {
        free(worker);
        wb_thread_ends(w);
    }
    return rc;
}

int wb_worker_start(wbstore *w, void *(*run)(void *worker), size_t stack_bytes, int64_t *again_ns)
{
    blob_error before, error;
    int rc;

    blob_last_error(&before);
    rc = worker_start(w, run, stack_bytes);
    if (rc != 0 && rc != BLOB_CLOSED) {
        blob_last_error(&error);
        wb_status_restore(&before); /* the call in which it is tried does not fail for that */
        wb_note_failure(w, rc, error.text);
        *again_ns = wb_after_ms(wb_time_ns(w), w->options.retry_min_ms);
    }
    return rc;
}

void wb_worker_ends(wb_worker *worker)
{
    wbstore *w = worker->w;

    worker->next = w->finished;
    w->finished = worker;
    wb_house_wake(w);
    wb_thread_ends(w);
}

void wb_workers_join_finished(wbstore *w)
{
    while (w->finished != NULL) {
        wb_worker *worker = w->finished;

        w->finished = worker->next;
        pthread_mutex_unlock(&w->lock);
        pthread_join(worker->thread, NULL);
        free(worker);
        pthread_mutex_lock(&w->lock);
    }
}
