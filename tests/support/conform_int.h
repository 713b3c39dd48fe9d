/* conform_int.h - what the parts of the conformance suite share.
 *
 * A check is a function that is given an empty store and returns whether its promise holds. It is written as one chain
 * of helpers, each of which returns true if all is as promised; the first that does not reports it and ends the chain.
 * Afterwards the store is emptied, whatever the check left. */
#ifndef CONFORM_INT_H
#define CONFORM_INT_H

#include "conform.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

typedef struct wb_cf_name {
    size_t size;
    unsigned char bytes[BLOB_KEY_MAX];
} wb_cf_name;

typedef struct wb_cf {
    blob_store *store;
    conform_report *report;
    void *arg;
    const char *promise; /* under check */
    bool told;           /* it is broken, and that was reported */
    int broken;          /* promises so far */
    int failed;          /* the suite itself: a status */
    wb_cf_name *put;     /* keys that may be there: to be deleted even if no listing shows them */
    size_t put_size, put_room;
    unsigned char run_a[BLOB_KEY_MAX], run_0[BLOB_KEY_MAX], run_f[BLOB_KEY_MAX]; /* long keys of one byte each */
} wb_cf;

typedef struct wb_cf_check {
    const char *promise;
    bool (*holds)(wb_cf *c);
} wb_cf_check; /* tables end with NULL */

extern const wb_cf_check wb_cf_keys[], wb_cf_blobs[], wb_cf_calls[], wb_cf_lists[], wb_cf_in_lists[], wb_cf_cas[],
    wb_cf_threads[], wb_cf_changes[], wb_cf_deletes[];

/* Runs these tables, the last is NULL; as conform_run. */
int wb_cf_run(blob_store *store, conform_report *report, void *arg, const wb_cf_check *const *tables);

/* Reports that the promise is broken, the first time in a check. Returns false. */
bool wb_cf_broken(wb_cf *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The suite cannot go on. Returns false. */
bool wb_cf_fail(wb_cf *c, int status);

/* A key for people, shortened. */
typedef struct wb_cf_text {
    char text[64];
} wb_cf_text;
wb_cf_text wb_cf_show(blob_key key);

/* what: "put", "the second delete" ... */
bool wb_cf_status(wb_cf *c, const char *what, blob_key key, int got, int want);

/* Remembers that key may be there from now on. */
bool wb_cf_note(wb_cf *c, blob_key key);
bool wb_cf_put(wb_cf *c, blob_key key, blob_view data, unsigned flags, int want);
bool wb_cf_delete(wb_cf *c, blob_key key, unsigned flags, int want);
bool wb_cf_holds(wb_cf *c, blob_key key, blob_view data); /* get returns these bytes, size their number */
bool wb_cf_get_misses(wb_cf *c, blob_key key);            /* BLOB_NOT_FOUND, out cleared */
bool wb_cf_size_misses(wb_cf *c, blob_key key);           /* likewise */
bool wb_cf_misses(wb_cf *c, blob_key key);                /* both */
bool wb_cf_len(wb_cf *c, uint64_t want);
bool wb_cf_lists_exactly(wb_cf *c, blob_key start, const blob_key *keys, size_t count);

/* Bytes that follow from their seed. */
void wb_cf_fill(uint64_t seed, void *bytes, size_t size);
blob_key wb_cf_key(const char *text);

/* Keys that stores like to get wrong, in order; the blob of each is wb_cf_odd_data. */
#define WB_CF_ODD 40
void wb_cf_odd_keys(wb_cf *c, blob_key keys[WB_CF_ODD]);
blob_view wb_cf_odd_data(size_t index, unsigned char room[WB_CF_ODD]);
bool wb_cf_put_odd(wb_cf *c, blob_key keys[WB_CF_ODD]);     /* puts every one of them */
bool wb_cf_put_few(wb_cf *c, blob_key *keys, size_t count); /* the keys "a", "b" ... and their text as data; to 26 */

/* Time is bounded, not work: a slow store does fewer rounds. */
int64_t wb_cf_now_ms(void);

/* Threads. A body reports by wb_cf_thread_broken; the first report of the first thread becomes the check's. */
#define WB_CF_THREADS 16
typedef struct wb_cf_thread {
    wb_cf *c; /* for its store; the rest belongs to the thread that waits */
    void *arg;
    unsigned index;
    uint64_t random;
    int64_t until_ms;
    bool broken;
    char detail[240];
} wb_cf_thread;
typedef void wb_cf_body(wb_cf_thread *t);
bool wb_cf_together(wb_cf *c, wb_cf_body *body, void *arg, int64_t budget_ms); /* all begin at once; waits for all */
bool wb_cf_thread_broken(wb_cf_thread *t, const char *format, ...) __attribute__((format(printf, 2, 3))); /* false */
bool wb_cf_goes_on(const wb_cf_thread *t, unsigned round, unsigned least,
                   unsigned most); /* time left, nothing broken */
uint64_t wb_cf_random(wb_cf_thread *t, uint64_t below);

/* Rounds that all threads begin together; every one of them takes part until wb_cf_round says false. */
typedef struct wb_cf_rounds {
    pthread_barrier_t barrier;
    atomic_bool over;
} wb_cf_rounds;
bool wb_cf_rounds_init(wb_cf_rounds *r);
bool wb_cf_round(wb_cf_thread *t, wb_cf_rounds *r, unsigned round, unsigned least, unsigned most);

/* Blobs that say what they are: whole is true only for the bytes that tell makes of that key and some two words. */
#define WB_CF_TOLD_MAX 1024
blob_view wb_cf_tell(uint32_t key, uint32_t writer, uint32_t version, unsigned char bytes[WB_CF_TOLD_MAX]);
bool wb_cf_whole(const blob *b, uint32_t key, uint32_t *writer, uint32_t *version);

#endif
