/* faultstore_int.h - what the parts of the fault store share: faultstore.c (the store), faultstore_rules.c (what goes
 * wrong) and faultstore_calls.c (what is counted and remembered). */
#ifndef FAULTSTORE_INT_H
#define FAULTSTORE_INT_H

#include "faultstore.h"

#include <pthread.h>
#include <stdatomic.h>

#define WB_FAULT_OPS 8
#define WB_FAULT_ALL WB_FAULT_OPS /* the row of all operations together */

/* One call under way. */
typedef struct wb_fault_call {
    faultstore *store;
    unsigned op;
    unsigned flags;
    blob_ctx *ctx;
    bool has_key; /* else no rule with a key fits */
    blob_key key;
    blob_view data;           /* put, cas_put */
    const blob_address *made; /* cas_key, cas_put: where the address is once it is known */
    blob_address address;     /* the same, asked for beforehand because a rule or an answer needs it */
    unsigned changes;         /* FAULT_FLIP, FAULT_TRUNCATE: bits by wb_fault_bit() */
    bool reached;
    uint64_t begun;
} wb_fault_call;

typedef struct wb_fault_waiter {
    bool released;
    struct wb_fault_waiter *next;
} wb_fault_waiter;

/* Guarded by: - constant, l the store's lock */
struct faultstore_rule {
    faultstore *store;                 /* - */
    faultstore_fault fault;            /* - key and text point to the copies below */
    blob_key key;                      /* - */
    char *text;                        /* - */
    uint64_t order;                    /* - */
    faultstore_rule *next;             /* - set before the rule is published, then by the next rule's adding (l) */
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
    unsigned char key[];
} wb_fault_past;

/* Guarded by: - constant, a atomic, l lock. The lock is never held across a call of inner or of a callback. */
struct faultstore {
    blob_store store;   /* - first */
    blob_store_ops ops; /* - inner decides which are there */
    blob_store *inner;  /* - */
    pthread_mutex_t lock;
    pthread_cond_t changed;                     /* anything that a test may wait for */
    faultstore_rule *rules, **rules_end;        /* l */
    uint64_t orders;                            /* l */
    bool cas_keyed;                             /* l a rule asks for the address of a cas_key or cas_put */
    wb_fault_late *late, **late_end;            /* l */
    faultstore_counts counts[WB_FAULT_OPS + 1]; /* l */
    bool forgetful;                             /* l no history */
    wb_fault_past **past;                       /* l */
    size_t past_size, past_room;                /* l */
    _Atomic uint64_t own_ticks;                 /* a */
    _Atomic uint64_t *ticks;                    /* - own_ticks or another store's */
    bool traits_set, in_doubt_set;              /* l */
    unsigned traits;                            /* l */
    int64_t in_doubt_ms;                        /* l */
};

static inline unsigned wb_fault_bit(faultstore_action action)
{
    return 1u << action;
}

/* The test is wrong, or the machine out of memory: one line on stderr, then abort. */
_Noreturn void wb_fault_abort(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *wb_fault_alloc(size_t size); /* zeroed */
const char *wb_fault_op_name(unsigned op);

void wb_fault_begin(wb_fault_call *call);
int wb_fault_end(wb_fault_call *call, int status); /* returns status */
void wb_fault_forget(faultstore *f);               /* the history, at close */

/* Waits until *value >= count, for a test: bounded by a minute. */
void wb_fault_wait_locked(faultstore *f, const uint64_t *value, uint64_t count, const char *what);

/* Applies the rules of this moment. True: the call ends with *status, inner is not asked any more. */
bool wb_fault_apply(wb_fault_call *call, faultstore_when when, uint64_t keys_seen, int *status);
void wb_fault_free_rules(faultstore *f);

#endif
