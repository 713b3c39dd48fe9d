/* history.h - what many threads ask of a wrapper, and what it says, on record for lincheck.h.
 *
 * The keys are content addresses of a few small blobs, so a key is absent or has its bytes: value 1. The record lies in
 * memory that is shared with children forked later, so it outlives a child that is killed in the middle of its calls. */
#ifndef HISTORY_H
#define HISTORY_H

#include "lincheck.h"

#include <wbstore/wbstore.h>

#define HISTORY_KEYS_MAX 8

typedef enum history_what {
    HISTORY_CAS_PUT,
    HISTORY_PUT,     /* without replace; BLOB_EXISTS has seen the key */
    HISTORY_REPLACE, /* with the bytes that it has */
    HISTORY_GET,
    HISTORY_SIZE,
    HISTORY_DELETE,
    HISTORY_SYNC, /* and, if it returns 0, a look into the base for every key */
    HISTORY_WHATS
} history_what;

typedef struct history history;

/* Room for so many calls; what does not fit is not called. Aborts without memory. */
history *history_new(size_t room, unsigned keys);
void history_free(history *h);
blob_key history_key(const history *h, unsigned key);

/* Makes the call and records it. base: to look into, behind all faults; for a sync only, NULL: no look. Returns its
 * status. */
int history_call(history *h, unsigned thread, history_what what, unsigned key, wbstore *w, blob_ctx *ctx,
                 blob_store *base);
/* When nobody works on them any more: what the two stores hold is what a get would find. Asserts that they answer. */
void history_look_at_the_end(history *h, blob_store *buf, blob_store *base);

/* Calls that have not ended never will: their threads were killed. What begins from here on finds them done or not. */
void history_cut(history *h);
/* Is it right? doubt: for so many ticks after its end a call that failed may still happen; LIN_NEVER: at any time.
 *
 * Around a delete (or a put with replace) the wrapper does less than a store should. Unless strict, excused are:
 *   - A delete leaves alone what a cas_put is bringing when it begins (wbstore.h), though a read may have seen it already:
 *     such a read is left out.
 *   - A delete removes from the base first: a read that found nothing while one was under way, or while one failed, is
 *     left out.
 *   - Whether a delete says that it found something, when a cas_put of the key came meanwhile.
 *   - A sync does not wait for what the buffer held at the start, when a cas_put of the key came meanwhile. */
lin_verdict history_check(const history *h, uint64_t doubt, bool strict, lin_result *out);

size_t history_size(const history *h);
/* How many of a kind have had this answer: found (or done), not found (exists), failed or cut off. */
typedef struct history_counts {
    unsigned done, missing, failed;
} history_counts;
history_counts history_count(const history *h, history_what what);

#endif
