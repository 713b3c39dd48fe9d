/* faultstore.h - a store that wraps another and misbehaves on demand, so that tests need neither sleeps nor luck.
 *
 * Every call goes through the rules that the test has added, in the order of adding: first those that act before the
 * inner store is asked, then the inner operation, then those that act after it. A rule that answers ends the call;
 * the rules behind it do not see that call. Some sentences and how they read:
 *
 *   the base's put fails 7 times, then works
 *       faultstore_fail(base, FAULT_PUT, BLOB_UNAVAILABLE, 7);
 *   hold the base's put of k, delete k meanwhile, let the put go on
 *       faultstore_rule *gate = faultstore_hold(base, FAULT_PUT, &k, FAULT_BEFORE);
 *       ... faultstore_wait_held(gate, 1); ... delete ... faultstore_lift(gate);
 *   the second delete in the buffer takes effect, but its answer is lost
 *       faultstore_add(buf, &(faultstore_fault){.ops = FAULT_DELETE, .when = FAULT_AFTER, .status = -EIO,
 *                                               .skip = 1, .count = 1});
 *   a listing breaks after 3 keys
 *       faultstore_add(buf, &(faultstore_fault){.ops = FAULT_LIST, .when = FAULT_DURING, .after_keys = 3,
 *                                               .status = -EIO, .count = 1});
 *   a put times out, and is carried out all the same when the test says so
 *       faultstore_add(base, &(faultstore_fault){.ops = FAULT_PUT, .action = FAULT_LATE, .status = -ETIMEDOUT,
 *                                                .count = 1});
 *       ... faultstore_deliver(base, &status);
 *
 * Any function may be called from any thread. A wait of the test's (faultstore_wait_...) that has not come true after
 * a minute aborts the program with a line on stderr, and so does a rule that makes no sense: the test is wrong. */
#ifndef FAULTSTORE_H
#define FAULTSTORE_H

#include <stdbool.h>
#include <wbstore/blob_store.h>

typedef struct faultstore faultstore;
typedef struct faultstore_rule faultstore_rule; /* belongs to its store; valid until that is closed */

/* Operations; rules take several, or'ed. */
#define FAULT_GET 0x01u
#define FAULT_PUT 0x02u
#define FAULT_DELETE 0x04u
#define FAULT_SIZE 0x08u
#define FAULT_LIST 0x10u
#define FAULT_LEN 0x20u
#define FAULT_CAS_KEY 0x40u
#define FAULT_CAS_PUT 0x80u
#define FAULT_ANY 0xffu

typedef enum faultstore_action {
    FAULT_ANSWER = 0, /* the call returns .status; 0 too: a put acknowledged BEFORE is a put dropped */
    FAULT_HOLD,       /* a gate: the call stops until released, lifted, or its ctx ends (then it returns that status).
                         Then it returns .status if that is not 0, else it goes on. A hang is a gate nobody opens */
    FAULT_DELAY,      /* the call takes .delay_us longer, but ends when its deadline comes; a cancel is noticed at the
                         end only (as with I/O that cannot be interrupted) */
    FAULT_LATE,       /* put, delete, cas_put: kept aside for faultstore_deliver. The call returns .status, or, if that
                         is 0, hangs until its ctx ends and returns the status of that (-ETIMEDOUT when lifted) */
    FAULT_FLIP,       /* get AFTER, put BEFORE: one bit of the bytes is wrong (nothing happens to 0 bytes) */
    FAULT_TRUNCATE    /* likewise: the second half is missing, at least one byte */
} faultstore_action;

typedef enum faultstore_when {
    FAULT_BEFORE = 0, /* the inner store does not see a call that is answered here */
    FAULT_AFTER,      /* the inner operation has taken effect; an answer here replaces its own, and the outs are lost */
    FAULT_DURING      /* list only: when .after_keys keys have been reported and one more is about to be */
} faultstore_when;

typedef struct faultstore_fault {
    unsigned ops;
    const blob_key *key; /* only calls of this key (copied): cas_key and cas_put of this address, list of this start */
    faultstore_action action;
    faultstore_when when;
    unsigned skip;  /* lets so many calls that fit pass first */
    unsigned every; /* acts on each n-th of the rest; 0 is 1: all of them */
    unsigned count; /* acts on so many calls, then never again; 0: no bound */
    int status;
    int64_t retry_after_ms; /* goes with status into blob_fail */
    const char *text;       /* likewise (copied); NULL: a general one */
    int64_t delay_us;
    uint64_t after_keys;
    bool ignore_ctx; /* HOLD: stands on when its ctx ends, and inner never hears of that ctx: I/O that nothing stops */
} faultstore_fault;

/* inner stays the caller's and must outlive the fault store. cas_key and cas_put are there if inner has them. */
int faultstore_new(faultstore **out, blob_store *inner);
blob_store *faultstore_store(faultstore *f); /* blob_store_close on it frees f and its rules */

faultstore_rule *faultstore_add(faultstore *f, const faultstore_fault *fault);
faultstore_rule *faultstore_fail(faultstore *f, unsigned ops, int status, unsigned count); /* ANSWER, BEFORE, any key */
faultstore_rule *faultstore_hold(faultstore *f, unsigned ops, const blob_key *key, faultstore_when when);
void faultstore_lift(faultstore_rule *rule); /* the rule acts no more (a gate opens); the calls it holds go on */
void faultstore_clear(faultstore *f);        /* lifts all rules */

/* Gates. Calls leave in the order they came. */
void faultstore_wait_held(faultstore_rule *rule, unsigned count); /* until at least so many stand at the gate */
void faultstore_release(faultstore_rule *rule, unsigned count);   /* so many go on: those who stand, then who comes */
unsigned faultstore_held(faultstore_rule *rule);
void faultstore_wait_hits(faultstore_rule *rule, uint64_t count); /* until the rule has acted on so many calls */
uint64_t faultstore_hits(faultstore_rule *rule);

/* Late effects, oldest first: asks the inner store now. False: nothing is late. *status may be NULL. */
bool faultstore_deliver(faultstore *f, int *status);
size_t faultstore_late(faultstore *f);

/* What the store says of itself; until set, what inner says. */
void faultstore_set_traits(faultstore *f, unsigned traits);
void faultstore_set_in_doubt_ms(faultstore *f, int64_t in_doubt_ms);

/* Counts of one operation, or of FAULT_ANY: all together. */
typedef struct faultstore_counts {
    uint64_t calls; /* ended, however */
    uint64_t failed;
    uint64_t reached; /* were passed on to inner */
    unsigned in_flight, in_flight_max;
} faultstore_counts;
faultstore_counts faultstore_count(faultstore *f, unsigned op);
void faultstore_wait_calls(faultstore *f, unsigned op, uint64_t count); /* until so many have ended */

/* The history: every call that ended, in the order of ending. */
typedef struct faultstore_call {
    unsigned op;
    unsigned flags;        /* of a put or a delete */
    uint64_t begun, ended; /* ticks: of two calls that overlap each has begun before the other ended */
    int status;            /* what the caller got */
    bool reached;          /* inner was asked */
    size_t key_size;       /* list: the start; len: 0; cas_key, cas_put: the address, or 0 if it was not computed */
    unsigned char key[BLOB_KEY_MAX];
} faultstore_call;
size_t faultstore_history_size(faultstore *f);
bool faultstore_history(faultstore *f, size_t index, faultstore_call *out); /* false: there are not so many */
uint64_t faultstore_count_key(faultstore *f, unsigned ops, blob_key key);   /* in the history */
void faultstore_keep_history(faultstore *f, bool keep);                     /* on at first; benchmarks turn it off */
void faultstore_share_ticks(faultstore *f, faultstore *with); /* one clock for both histories; before any call.
                                                                 with must outlive f */

#endif
