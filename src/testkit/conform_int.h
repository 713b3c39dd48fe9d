/* conform_int.h - what the parts of the conformance suite share.
 *
 * A check is a function that is given an empty store and returns whether its promise holds. It is written as one chain
 * of helpers, each of which returns true if all is as promised; the first that does not reports it and ends the chain.
 * Afterwards the store is emptied, whatever the check left. */
#ifndef CONFORM_INT_H
#define CONFORM_INT_H

#include <wbstore/testkit.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

typedef struct wb_cf_name {
    size_t size;
    unsigned char bytes[BLOB_KEY_MAX];
} wb_cf_name;

/* Gets that returned 0 and no blob. One mistake, which hardly a check gets past: it is told once, under its promise. */
typedef struct wb_cf_hollow {
    atomic_bool met; /* in this check */
    bool told;
} wb_cf_hollow;

typedef struct wb_cf {
    blob_store *store;
    blob_conform_report *report;
    void *arg;
    const char *promise; /* under check */
    bool told;           /* it is broken, and that was reported */
    int broken;          /* promises so far */
    int failed;          /* the suite itself: a status */
    int64_t patience_ms; /* with a call that nothing should hold up */
    bool lock_held;      /* a listing holds a lock while its callback runs: a call from there might wait for ever */
    wb_cf_hollow there, missing;
    wb_cf_name *put; /* keys that may be there: to be deleted even if no listing shows them */
    size_t put_size, put_room;
    unsigned char run_a[BLOB_KEY_MAX], run_0[BLOB_KEY_MAX], run_f[BLOB_KEY_MAX]; /* long keys of one byte each */
} wb_cf;

typedef struct wb_cf_check {
    const char *promise;
    bool (*holds)(wb_cf *c);
} wb_cf_check; /* tables end with NULL */

extern const wb_cf_check wb_cf_table[], wb_cf_keys[], wb_cf_blobs[], wb_cf_calls[], wb_cf_lists[], wb_cf_in_lists[],
    wb_cf_cas[], wb_cf_beside[], wb_cf_threads[], wb_cf_changes[], wb_cf_deletes[];

/* As blob_conform, for what the stores of this library promise beyond the contract: to be linearizable with deletes. */
int wb_cf_conform_deletes(blob_store *store, blob_conform_report *report, void *arg);

/* As blob_conform, with another patience than WB_CF_PATIENCE_MS. */
int wb_cf_conform(blob_store *store, blob_conform_report *report, void *arg, int64_t patience_ms);

/* Runs these tables, the last is NULL; as blob_conform. */
#define WB_CF_PATIENCE_MS 30000
int wb_cf_run(blob_store *store, blob_conform_report *report, void *arg, const wb_cf_check *const *tables,
              int64_t patience_ms);

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
/* blob_store_get, for any thread. It makes -EIO of success without a blob; this notices. there: the key may be. */
int wb_cf_get(wb_cf *c, blob_ctx *ctx, blob_key key, bool there, blob **out);
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

/* A call on another thread while the callback of a listing runs. Begun and waited for in the callback, ended after the
 * listing, when the locks that it may have held are free again. */
typedef struct wb_cf_aside {
    wb_cf *c;
    void (*call)(void *arg);
    void *arg;
    bool begun;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done; /* lock */
} wb_cf_aside;
/* what: "a put" ...; false: it takes too long, which is reported, or there is no thread. All zero before. */
bool wb_cf_aside_returns(wb_cf_aside *a, wb_cf *c, const char *what, void (*call)(void *arg), void *arg);
void wb_cf_aside_end(wb_cf_aside *a);

/* Blobs that say what they are: whole is true only for the bytes that tell makes of that key and some two words. */
#define WB_CF_TOLD_MAX 1024
blob_view wb_cf_tell(uint32_t key, uint32_t writer, uint32_t version, unsigned char bytes[WB_CF_TOLD_MAX]);
bool wb_cf_whole(const blob *b, uint32_t key, uint32_t *writer, uint32_t *version);

#endif
