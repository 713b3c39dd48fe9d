/* sleeper.h - threads that wait on contexts, for tests that must know that somebody sleeps.
 *
 * A sleeper is a thread inside wb_ctx_wait. It says so under the mutex of its wait, and lets go of that mutex only by
 * going to sleep; so whoever holds the mutex and has read it knows that the sleeper sleeps. */
#ifndef TESTS_SLEEPER_H
#define TESTS_SLEEPER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <wbstore/blob_ctx.h>

typedef struct sleeper {
    blob_ctx *a, *b;
    int64_t until_ns; /* the time of its wait, set by the caller beforehand; 0: none, and it waits until go or an end */
    pthread_mutex_t *mutex;
    pthread_cond_t *cond, started;
    bool asleep, go;  /* under the mutex */
    unsigned returns; /* likewise: how often its wait returned */
    int status;       /* of its wait */
    long tid;         /* of its thread, as the system counts */
    pthread_t thread;
    pthread_mutex_t own_mutex;
    pthread_cond_t own_cond;
} sleeper;

/* Returns once s, which the caller cleared, sleeps on a and b (NULL is fine); mutex and cond NULL: of its own. */
void sleeper_start(sleeper *s, blob_ctx *a, blob_ctx *b, pthread_mutex_t *mutex, pthread_cond_t *cond);

void sleeper_go(sleeper *s); /* fulfils what it waits for */
int sleeper_end(sleeper *s); /* waits for its end and returns the status of its wait */

/* Contexts, or the test fails. */
blob_ctx *new_ctx(blob_ctx *parent);
blob_ctx *new_timeout(blob_ctx *parent, int64_t ms);

/* Blocks until ctx ends, and returns how. */
int wait_for_end(blob_ctx *ctx);

/* For pthread_create: cancels the context. */
void *cancel_run(void *ctx);

#endif
