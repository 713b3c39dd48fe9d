/* lincheck_int.h - what the parts of the checker share: lincheck.c (takes a history apart, and tells) and
 * lincheck_search.c (the search). */
#ifndef LINCHECK_INT_H
#define LINCHECK_INT_H

#include "lincheck.h"

/* What is known of one key. The done of a configuration stand in words: the value, then for each chain how many of it
 * are done, then the bits of the loose. */
typedef struct lin_search {
    const lin_op **calls; /* those of the key by their beginning; chained and loose point into ops too */
    size_t count;
    const lin_op **chained; /* chain after chain, each in its order */
    size_t *chain_starts;   /* one more than there are chains */
    size_t chains;
    const lin_op **loose; /* unsure calls by `until`, then looks */
    size_t loose_count, unsure_count;
    size_t words;

    uint64_t *seen; /* configurations, words each */
    size_t seen_count, seen_room;
    uint32_t *table; /* hash to index in seen, plus one; 0: free */
    size_t table_room;
    uint32_t *stack;
    size_t stack_count;
    uint64_t steps_max;

    uint64_t *at;   /* the configuration at hand */
    uint64_t *best; /* the one with most calls done */
    size_t best_done;
    bool no_memory;
} lin_search;

/* calls: of one key, by their beginning; they must outlive s. False: no memory. Free it in any case. */
bool lin_search_init(lin_search *s, const lin_op **calls, size_t count, uint64_t steps_max);
lin_verdict lin_search_run(lin_search *s);
void lin_search_free(lin_search *s);

/* Of a configuration. */
uint64_t lin_first_end(const lin_search *s, const uint64_t *c); /* among the calls that must be done and are not */
bool lin_is_done(const lin_search *s, const uint64_t *c, const lin_op *op);

#endif
