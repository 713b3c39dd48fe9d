/* health.h - is the base up? */
#ifndef WB_HEALTH_H
#define WB_HEALTH_H

#include "wbstore/wrapper.h"

/* All with the wrapper's lock held. */
void wb_base_answered(wbstore *w);
void wb_base_failed(wbstore *w, int status, int64_t retry_after_ms, const char *text, bool probe);
void wb_probe_failed(wbstore *w, int64_t retry_after_ms); /* before it came to the base */

/* When to try again after the number-th failure in a row: exponential backoff with full jitter, and not before the far
 * side wants to be asked again. */
int64_t wb_backoff_due_ns(wbstore *w, unsigned number, int64_t retry_after_ms);

#endif
