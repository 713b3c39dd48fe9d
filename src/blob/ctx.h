/* ctx.h - for the inside of the library: waits that depend on two contexts, and the clock they run on. */
#ifndef WB_CTX_H
#define WB_CTX_H

#include <wbstore/blob_ctx.h>

#define WB_NEVER INT64_MAX

/* Nanoseconds on the monotonic clock. */
int64_t wb_now_ns(void);

/* now + ms, WB_NEVER where that does not fit. */
int64_t wb_after_ms(int64_t now_ns, int64_t ms);

/* One wait on cond, mutex held, to be used in a loop on its predicate: ends when cond is signalled, when either context
 * ends, or when until_ns (or WB_NEVER) has come. Returns the status of a, else of b, else 0. Either may be NULL. */
int wb_ctx_wait(blob_ctx *a, blob_ctx *b, pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_ns);

/* One more hold on ctx (NULL is fine); blob_ctx_free drops it. */
blob_ctx *wb_ctx_ref(blob_ctx *ctx);

#endif
