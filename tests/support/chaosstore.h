/* chaosstore.h - a store that wraps another and fails by chance, for stress runs: calls fail before or after they took
 * effect, with statuses that make sense or none, hang for a while, heed their context or not. It keeps to the contract
 * of a store in what matters: after a refusal nothing has changed, "not found" and "exists" are never lies, and nothing
 * takes effect after its call has returned.
 *
 * Not a fault store with rules: a stress run has a new mood many times a second, for hours, and here a mood is one struct
 * to be looked at; rules and a history stay until a store is closed. */
#ifndef CHAOSSTORE_H
#define CHAOSSTORE_H

#include <wbstore/blob_store.h>

typedef struct chaosstore chaosstore;

/* Of 1000 calls of each kind so many: */
typedef struct chaos {
    unsigned fail_before; /* fail, and did nothing */
    unsigned fail_after;  /* fail, and did it all the same (put, delete) */
    unsigned refuse;      /* are refused for good, by a status for which a blob is parked or a put fails (put) */
    unsigned full;        /* say that there is no room (put) */
    unsigned hang;        /* hang until their context ends, or for hang_us */
    unsigned deaf;        /* take up to hang_us, whatever becomes of their context */
    unsigned hang_us;
} chaos;

int chaosstore_new(chaosstore **out, blob_store *inner, uint64_t seed);
blob_store *chaosstore_store(chaosstore *c);          /* blob_store_close on it frees c only */
void chaosstore_set(chaosstore *c, const chaos *now); /* NULL: none. For the calls that begin from here on */
uint64_t chaosstore_calls(chaosstore *c);

#endif
