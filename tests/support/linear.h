/* linear.h - threads that call a wrapper at random, on few keys, and are checked: what the tests of its linearizability
 * share.
 *
 * Chance decides what is called and what fails; the seed is printed. LINEAR_SEED sets it, LINEAR_ROUNDS asks for more
 * rounds, LINEAR_STRICT=1 takes back what history_check excuses. */
#ifndef LINEAR_H
#define LINEAR_H

#include "testfault.h"
#include "history.h"
#include "testutil.h"

#define LINEAR_THREADS_MAX 8
#define LINEAR_KEYS_MAX 3

typedef struct linear {
    history *h;
    wbstore *w;
    blob_store *base; /* behind the faults; NULL: syncs are taken at their word */
    test_rng seeds;
    uint64_t seed; /* of the threads of this life */
    unsigned threads, keys, calls;
    int64_t patience_ms; /* of a call in ten; 0: of none */
    bool closes;         /* thread 0 does, in the middle */
    unsigned long checked;
    uint64_t steps_max;
    history_counts counts[HISTORY_WHATS];
} linear;

void linear_seed(linear *l);                       /* from the environment, or the clock */
unsigned long linear_rounds(unsigned long rounds); /* as many as asked for, or this, or fewer where they are slow */
unsigned linear_below(linear *l, unsigned bound);

/* A round: a history and its sizes, random. */
void linear_begin(linear *l, size_t room);
void linear_expect(linear *l, uint64_t doubt, const char *what, unsigned long round); /* asserts, and ends the round */
void linear_tell(const linear *l); /* and asserts that all was tried */

void linear_one_call(const linear *l, unsigned thread, test_rng *rng);
void linear_thread(void *arg, unsigned index); /* `calls` of them; for test_threads_run, arg: the linear */
void linear_add_delays(linear *l, blob_faultstore *f);

#endif
