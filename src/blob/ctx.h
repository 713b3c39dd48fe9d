/* ctx.h - for the inside of the library: waits that depend on two contexts, and the clock they run on. */
#ifndef WB_CTX_H
#define WB_CTX_H

#include <wbstore/blob_ctx.h>

#define WB_NEVER INT64_MAX

/* A clock that stands in for the system's monotonic one: a family of contexts, and all that waits by them, can run on
 * it. So a test can have a day pass in no time. */
typedef struct wb_clock wb_clock;
struct wb_clock {
    int64_t (*now_ns)(wb_clock *clock); /* from any thread, with locks held */
};

/* A context without parent whose family runs on this clock, which must outlive it. */
int wb_ctx_new_on(blob_ctx **out, wb_clock *clock);

/* The clock was moved: all who wait by ctx's family look at it again. Takes their mutexes, one at a time. */
void wb_ctx_clock_moved(blob_ctx *ctx);

/* Nanoseconds on the clock of ctx's family; NULL: the system's. */
int64_t wb_ctx_now_ns(const blob_ctx *ctx);

/* Nanoseconds on the system's monotonic clock. */
int64_t wb_now_ns(void);

/* now + ms, WB_NEVER where that does not fit. */
int64_t wb_after_ms(int64_t now_ns, int64_t ms);

/* One wait on cond, mutex held, to be used in a loop on its predicate: ends when cond is signalled, when either context
 * ends, or when until_ns (or WB_NEVER) has come on the clock of a. Returns the status of a, else of b, else 0. Either may be NULL. */
int wb_ctx_wait(blob_ctx *a, blob_ctx *b, pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_ns);

/* One more hold on ctx (NULL is fine); blob_ctx_free drops it. */
blob_ctx *wb_ctx_ref(blob_ctx *ctx);

#endif
