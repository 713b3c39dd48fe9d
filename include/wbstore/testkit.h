/* testkit.h - for people who write a store: a suite that any store must pass, and a store that misbehaves on demand.
 * A library of its own, wbstore-testkit; needs no test framework.
 *
 *     static void say(void *arg, const char *promise, const char *detail)
 *     {
 *         fprintf(stderr, "%s: %s\n", promise, detail);
 *     }
 *     ...
 *     assert(blob_conform(store, say, NULL) == 0);
 *
 * Link it as wbstore-testkit (pkg-config), wbstore::wbstore_testkit or wbstore::wbstore_testkit_static (CMake). It
 * keeps no global state, prints nothing and never exits. */
#ifndef WBSTORE_TESTKIT_H
#define WBSTORE_TESTKIT_H

#include <wbstore/blob_store.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/* ---- Does a store keep its promises? ---- */

/* One broken promise: its short stable name ("list-order", "put-exists", "get-during-list" ...) and one line of detail. */
typedef void blob_conform_report(void *arg, const char *promise, const char *detail);

/* Runs the whole contract of blob_store.h against an empty store, many threads included. Returns how many promises it
 * broke, 0 for none, or a negative status if the suite itself could not run. The store is left empty. What a check cannot
 * ask since get returned 0 and no blob does not count again.
 *
 * The suite has the store for itself. report is called on this thread, once for each broken promise, with strings that
 * are valid for the call; NULL: only the number is wanted. What the contract leaves open is not asked: operations that
 * overlap a delete need not be linearizable, sizes in a listing may be unknown, cas_key and cas_put may be missing, what
 * survives a restart is not looked at. The threads last for the call only. The time of each part is bounded, not its
 * work: a fraction of a second in all for a store in memory, a few for one that syncs to a disk; half a minute more for
 * one that holds a lock while a listing's callback runs, which is reported, and then no call from a callback is asked
 * for. A store that deadlocks otherwise, or whose listing goes on for ever when told to stop, hangs it. A race is met by
 * chance: run it again, under a thread sanitizer too.
 *
 * A store that cannot be emptied breaks the promise "delete-empties", and the rest is not asked.
 *
 *   -EINVAL           no store
 *   -ENOTEMPTY        the store is not empty; nothing was done
 *   BLOB_UNSUPPORTED  a store with BLOB_TRAIT_CHECKS_KEYS would take none of the suite's keys; nothing was done
 *   -ENOMEM, -EAGAIN  no memory, no threads; what was put is deleted
 *   others            of the store's first listing: it cannot be told whether the store is empty */
int blob_conform(blob_store *store, blob_conform_report *report, void *arg);

/* ---- A store that misbehaves on demand ---- */

/* The fault store wraps another and misbehaves as it is told, so that tests need neither sleeps nor luck.
 *
 * Every call goes through the rules that the test has added, in the order of adding: first those that act before the
 * inner store is asked, then the inner operation, then those that act after it. A rule that answers ends the call;
 * the rules behind it do not see that call. Some sentences and how they read:
 *
 *   the base's put fails 7 times, then works
 *       blob_faultstore_fail(base, BLOB_FAULT_PUT, BLOB_UNAVAILABLE, 7);
 *   hold the base's put of k, delete k meanwhile, let the put go on
 *       blob_faultstore_rule *gate = blob_faultstore_hold(base, BLOB_FAULT_PUT, &k, BLOB_FAULT_BEFORE);
 *       ... blob_faultstore_wait_held(gate, 1); ... delete ... blob_faultstore_lift(gate);
 *   the second delete in the buffer takes effect, but its answer is lost
 *       blob_faultstore_add(buf, &(blob_faultstore_fault){
 *                                    .ops = BLOB_FAULT_DELETE, .when = BLOB_FAULT_AFTER, .status = -EIO,
 *                                    .skip = 1, .count = 1});
 *   a listing breaks after 3 keys
 *       blob_faultstore_add(buf, &(blob_faultstore_fault){
 *                                    .ops = BLOB_FAULT_LIST, .when = BLOB_FAULT_DURING, .after_keys = 3,
 *                                    .status = -EIO, .count = 1});
 *   a put times out, and is carried out all the same when the test says so
 *       blob_faultstore_add(base, &(blob_faultstore_fault){
 *                                     .ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_LATE, .status = -ETIMEDOUT,
 *                                     .count = 1});
 *       ... blob_faultstore_deliver(base, &status);
 *   every put is carried out twice, the second time when the test says so
 *       blob_faultstore_add(base, &(blob_faultstore_fault){
 *                                     .ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_REPEAT});
 *   the store says "exists" of what it has not got; it acknowledges a put and drops it
 *       blob_faultstore_fail(base, BLOB_FAULT_PUT, BLOB_EXISTS, 1);
 *       blob_faultstore_fail(base, BLOB_FAULT_PUT, 0, 1);
 *
 * Any of these functions may be called from any thread, also while calls are under way. A test that is wrong hears of
 * it: by what they return, with words in blob_last_error, and by blob_faultstore_on_wrong. NULL for the controls (most
 * likely, the store could not be made) is -EINVAL, or NULL or 0, with words in blob_last_error; a function that returns
 * nothing does nothing.
 *
 * A wrapper (wbstore.h) carries out a cas_put as a cas_key and a put of its base: it never calls the base's cas_put. */
typedef struct blob_faultstore blob_faultstore;           /* the controls; they belong to the store */
typedef struct blob_faultstore_rule blob_faultstore_rule; /* belongs to its store; valid until that is closed */

/* Makes a fault store over inner, which stays the caller's and must outlive it. cas_key and cas_put are there if inner
 * has them. *out is the store, to be used and closed as any other; out may be NULL, for blob_faultstore_store gives it
 * too. Closing it frees the controls and the rules, and what is late is dropped. A close with calls under way, which no
 * store allows, is found out: it does nothing and returns -EBUSY. -EAGAIN: the system has no more locks. */
int blob_faultstore_new(blob_store **out, blob_store *inner, blob_faultstore **controls);
blob_store *blob_faultstore_store(blob_faultstore *f);

/* ---- Rules ---- */

/* clang-format off */
/* Operations; rules take several, or'ed. */
#define BLOB_FAULT_GET     0x01u
#define BLOB_FAULT_PUT     0x02u
#define BLOB_FAULT_DELETE  0x04u
#define BLOB_FAULT_SIZE    0x08u
#define BLOB_FAULT_LIST    0x10u
#define BLOB_FAULT_LEN     0x20u
#define BLOB_FAULT_CAS_KEY 0x40u
#define BLOB_FAULT_CAS_PUT 0x80u
#define BLOB_FAULT_ANY     0xffu
/* clang-format on */

typedef enum blob_faultstore_action {
    BLOB_FAULT_ANSWER = 0, /* the call returns .status; 0 too: a put acknowledged BEFORE is a put dropped */
    BLOB_FAULT_HOLD,       /* a gate: the call stops until released, lifted, or its ctx ends (then it returns that
                              status). Then it returns .status if that is not 0, else it goes on. A hang is a gate
                              nobody opens */
    BLOB_FAULT_DELAY,      /* the call takes .delay_us longer, to an hour, but ends when its deadline comes; a cancel is
                              noticed at the end only (as with I/O that cannot be interrupted) */
    BLOB_FAULT_LATE,       /* put, delete, cas_put, BEFORE: kept aside for blob_faultstore_deliver. The call returns
                              .status, or, if that is 0, hangs until its ctx ends and returns the status of that
                              (-ETIMEDOUT when released or lifted) */
    BLOB_FAULT_FLIP,       /* get AFTER, put BEFORE: one bit of the bytes is wrong (nothing happens to 0 bytes) */
    BLOB_FAULT_TRUNCATE,   /* likewise: the second half is missing, at least one byte */
    BLOB_FAULT_REPEAT      /* put, delete, cas_put, BEFORE: goes on, and a copy is kept aside for
                              blob_faultstore_deliver, to be carried out once more (a network's duplicate) */
} blob_faultstore_action;

typedef enum blob_faultstore_when {
    BLOB_FAULT_BEFORE = 0, /* the inner store does not see a call that is answered here */
    BLOB_FAULT_AFTER,      /* the inner operation has taken effect; an answer here replaces its own, outs are lost */
    BLOB_FAULT_DURING      /* list only: when .after_keys keys have been reported and one more is about to be */
} blob_faultstore_when;

typedef struct blob_faultstore_fault {
    unsigned ops;
    const blob_key *key; /* only calls of this key (copied): cas_key and cas_put of this address, list of this start */
    blob_faultstore_action action;
    blob_faultstore_when when;
    unsigned skip;  /* lets so many calls that fit pass first */
    unsigned every; /* acts on each n-th of the rest; 0 is 1: all of them */
    unsigned count; /* acts on so many calls, then never again; 0: no bound */
    int status;
    int64_t retry_after_ms; /* goes with status into blob_fail */
    const char *text;       /* likewise (copied); NULL: a general one */
    int64_t delay_us;
    uint64_t after_keys;
    int ignore_ctx; /* HOLD: stands on when its ctx ends, and inner never hears of that ctx: I/O that nothing stops */
} blob_faultstore_fault;

/* Adds a rule behind the others. NULL: no rule, or one that makes no sense (-EINVAL in blob_last_error), no memory, no
 * locks. */
blob_faultstore_rule *blob_faultstore_add(blob_faultstore *f, const blob_faultstore_fault *fault);

/* Rules in short: ANSWER, BEFORE, any key; and HOLD, of key or with NULL of any. */
blob_faultstore_rule *blob_faultstore_fail(blob_faultstore *f, unsigned ops, int status, unsigned count);
blob_faultstore_rule *blob_faultstore_hold(blob_faultstore *f, unsigned ops, const blob_key *key,
                                           blob_faultstore_when when);

/* The rule acts no more (a gate opens); the calls it holds go on. clear: all rules. NULL: nothing. */
void blob_faultstore_lift(blob_faultstore_rule *rule);
void blob_faultstore_clear(blob_faultstore *f);

/* How many calls the rule has acted on; the other waits until it is at least so many. */
uint64_t blob_faultstore_hits(blob_faultstore_rule *rule);
int blob_faultstore_wait_hits(blob_faultstore_rule *rule, uint64_t count);

/* Gates. How many stand there; the other waits until it is at least so many. */
unsigned blob_faultstore_held(blob_faultstore_rule *rule);
int blob_faultstore_wait_held(blob_faultstore_rule *rule, unsigned count);

/* So many go on, first come first: those who stand, then who comes. NULL: nothing. */
void blob_faultstore_release(blob_faultstore_rule *rule, unsigned count);

/* What LATE and REPEAT have kept aside, oldest first: asks the inner store now, *status is its answer (may be NULL).
 * 1: it did; 0: nothing is late; below 0: no controls. Neither counted nor in the history. */
int blob_faultstore_deliver(blob_faultstore *f, int *status);
size_t blob_faultstore_late(blob_faultstore *f);

/* ---- What the store says of itself ---- */

/* Until set, what inner says. A wrapper asks its base when it is made (wbstore_new): set them before. */
void blob_faultstore_set_traits(blob_faultstore *f, unsigned traits);
void blob_faultstore_set_in_doubt_ms(blob_faultstore *f, int64_t in_doubt_ms);

/* ---- Counts and history ---- */

/* Counts of one operation, or of BLOB_FAULT_ANY: all together. */
typedef struct blob_faultstore_counts {
    uint64_t calls; /* ended, however */
    uint64_t failed;
    uint64_t reached; /* were passed on to inner */
    unsigned in_flight, in_flight_max;
} blob_faultstore_counts;
blob_faultstore_counts blob_faultstore_count(blob_faultstore *f, unsigned op);

/* Waits until so many have ended. */
int blob_faultstore_wait_calls(blob_faultstore *f, unsigned op, uint64_t count);

/* The history: every call that ended, in the order of ending. What no memory is found for is not begun: -ENOMEM. */
typedef struct blob_faultstore_call {
    unsigned op;
    unsigned flags;        /* of a put or a delete */
    uint64_t begun, ended; /* ticks: of two calls that overlap each has begun before the other ended */
    int status;            /* what the caller got */
    int reached;           /* inner was asked */
    size_t key_size;       /* list: the start; len: 0; cas_key, cas_put: the address, or 0 if it was not computed */
    unsigned char key[BLOB_KEY_MAX];
} blob_faultstore_call;
size_t blob_faultstore_history_size(blob_faultstore *f);
int blob_faultstore_history(blob_faultstore *f, size_t index, blob_faultstore_call *out); /* 1; 0: not so many */
uint64_t blob_faultstore_count_key(blob_faultstore *f, unsigned ops, blob_key key);       /* in the history */
void blob_faultstore_keep_history(blob_faultstore *f, int keep);                          /* on at first */

/* One clock for the histories of both; before any call. with must outlive f. */
void blob_faultstore_share_ticks(blob_faultstore *f, blob_faultstore *with);

/* ---- Wrong tests ---- */

/* The functions that wait return 0 once it is so. After a minute, or what is set here, they give up: -ETIMEDOUT, for
 * what the test waits for does not happen. */
void blob_faultstore_set_patience_ms(blob_faultstore *f, int64_t patience_ms);

/* fn is called, with no lock held, whenever a control could not do what it was asked for: a rule without sense, a wait
 * that was given up, an operation that there is not, a close with calls under way, no memory. A place to abort from, so
 * that tests need not look at what each returns. To be set before any other control is used; NULL: nobody. */
typedef void blob_faultstore_wrong(void *arg, const char *what);
void blob_faultstore_on_wrong(blob_faultstore *f, blob_faultstore_wrong *fn, void *arg);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
