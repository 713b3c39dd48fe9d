/* faultstore_int.h - what the parts of the fault store share: faultstore.c (the store), faultstore_rules.c (what goes
 * wrong), faultstore_late.c (what comes later) and faultstore_calls.c (what is counted and remembered). */
#ifndef FAULTSTORE_INT_H
#define FAULTSTORE_INT_H

#include <wbstore/testkit.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define WB_FAULT_OPS 8
#define WB_FAULT_ALL WB_FAULT_OPS /* the row of all operations together */

/* One call under way. */
typedef struct wb_fault_call {
    blob_faultstore *store;
    unsigned op;
    unsigned flags;
    blob_ctx *ctx;
    bool has_key; /* else no rule with a key fits */
    blob_key key;
    blob_view data;           /* put, cas_put */
    const blob_address *made; /* cas_key, cas_put: where the address is once it is known */
    blob_address address;     /* the same, asked for beforehand because a rule or an answer needs it */
    unsigned changes;         /* BLOB_FAULT_FLIP, BLOB_FAULT_TRUNCATE: bits by wb_fault_bit() */
    bool reached;
    uint64_t begun;
    struct wb_fault_past *past; /* where it will be remembered; NULL: nowhere */
} wb_fault_call;

typedef struct wb_fault_waiter {
    bool released;
    struct wb_fault_waiter *next;
} wb_fault_waiter;

/* Guarded by: - constant, l the store's lock */
struct blob_faultstore_rule {
    blob_faultstore *store;            /* - */
    blob_faultstore_fault fault;       /* - key and text point to the copies below */
    blob_key key;                      /* - */
    char *text;                        /* - */
    blob_faultstore_rule *next;        /* - set before the rule is published, then by the next rule's adding (l) */
    pthread_cond_t go;                 /* a held call may go: released or lifted */
    wb_fault_waiter *held;             /* l who stands at the gate, first come first */
    uint64_t held_count;               /* l */
    uint64_t permits;                  /* l released ahead of coming */
    uint64_t fits, hits;               /* l calls that fit; calls acted on */
    bool lifted;                       /* l */
    unsigned char bytes[BLOB_KEY_MAX]; /* - */
};

typedef struct wb_fault_late {
    struct wb_fault_late *next;
    unsigned op, flags;
    blob_key key;
    blob_view data;
    unsigned char bytes[]; /* key, then data */
} wb_fault_late;

typedef struct wb_fault_past {
    unsigned op, flags;
    uint64_t begun, ended;
    int status;
    bool reached;
    size_t key_size;
    unsigned char key[]; /* room for the call's key, or for an address */
} wb_fault_past;

/* Guarded by: - constant, a atomic, l lock. The lock is never held across a call of inner or of a callback. */
struct blob_faultstore {
    blob_store store;   /* - first */
    blob_store_ops ops; /* - inner decides which are there */
    blob_store *inner;  /* - */
    pthread_mutex_t lock;
    pthread_cond_t changed;                          /* anything that a test may wait for */
    blob_faultstore_rule *rules, **rules_end;        /* l */
    bool cas_keyed;                                  /* l a rule asks for the address of a cas_key or cas_put */
    wb_fault_late *late, **late_end;                 /* l */
    blob_faultstore_counts counts[WB_FAULT_OPS + 1]; /* l */
    bool forgetful;                                  /* l no history */
    wb_fault_past **past;                            /* l */
    size_t past_size, past_room;                     /* l every call with a past has its place: see past_coming */
    size_t past_coming;                              /* l calls under way that will be remembered */
    _Atomic uint64_t own_ticks;                      /* a */
    _Atomic uint64_t *ticks;                         /* - own_ticks or another store's */
    bool traits_set, in_doubt_set;                   /* l */
    unsigned traits;                                 /* l */
    int64_t in_doubt_ms;                             /* l */
    int64_t patience_ms;                             /* l */
    blob_faultstore_wrong *wrong;                    /* - */
    void *wrong_arg;                                 /* - */
};

static inline unsigned wb_fault_bit(blob_faultstore_action action)
{
    return 1u << action;
}

/* The test is wrong, or the machine out of memory: says so wherever it can be heard. No lock held. Returns status. f may
 * be NULL. */
int wb_fault_wrong(blob_faultstore *f, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Are there controls? If not, -EINVAL is in blob_last_error. */
bool wb_fault_given(const blob_faultstore *f);

/* Begins the call; -ENOMEM: it cannot be remembered, and must not be made. Either way it is to be ended. */
int wb_fault_begin(wb_fault_call *call);
int wb_fault_end(wb_fault_call *call, int status); /* returns status */
void wb_fault_forget(blob_faultstore *f);          /* the history, at close */

/* Waits, for a test and with its patience, until *value, which the lock guards, is at least count. */
int wb_fault_wait(blob_faultstore *f, const uint64_t *value, uint64_t count, const char *what);

/* Applies the rules of this moment. True: the call ends with *status, inner is not asked any more. */
bool wb_fault_apply(wb_fault_call *call, blob_faultstore_when when, uint64_t keys_seen, int *status);
void wb_fault_free_rules(blob_faultstore *f);

/* Keeps the call for blob_faultstore_deliver. True: there is no memory for it, and the call ends with that *status before
 * anything was done. */
bool wb_fault_keep_locked(blob_faultstore *f, const wb_fault_call *call, int *status);
void wb_fault_drop_late(blob_faultstore *f);

#endif
