/* wrapper.h - the inside of a wbstore: its state, and what its files offer each other.
 *
 * The rules that make it right (each has its test) and where they live:
 *
 *   1. Base first, then the removal from the buffer; readers ask the buffer, then the base.         writer.c, read.c
 *   2. One hand per key: at most one upload, delete, put with replace or write-through at a time.   hand.c
 *      A put of a key never waits for its upload; nobody removes bytes that were written after he began.
 *   3. A delete: base first, buffer last, and 0 only if both agreed. So is a put with replace.      remove.c
 *   4. The ledger knows what is pending; the buffer is listed at start, on rescan, and by a sync    ledger.c, resume.c
 *      that finds nothing pending and the buffer not empty.
 *   5. A put that failed without a clear refusal may have stored its bytes: its entry stays.        put.c
 *   6. sync is a barrier: it waits for what is older than itself, and blobs are sent oldest first.  wait.c
 *   7. Bytes are verified against their address before they are published.                          upload.c
 *   8. An upload that ended without an answer is repeated until there is one; a delete's caller     writer.c
 *      is told that there was none. What a base still carries out after that is not guarded against yet.
 *   9. Every wait ends with its ctx and with the wrapper (ctx `run`); predicates change under       everywhere
 *      `lock`, which is never held across an operation of a store or a callback.
 *  10. Room: waiters are served in order; when only parked blobs fill the buffer it is full. What   room.c, house.c
 *      no hung upload may hold up is done by a thread of its own.
 *  11. A forked child gets BLOB_CLOSED.                                                             fork.c
 *
 * The wrapper is open exactly as long as `run` has not ended: close cancels it, and it is a child of the ctx that
 * governs the wrapper. */
#ifndef WB_WRAPPER_H
#define WB_WRAPPER_H

#include "blob/ctx.h"
#include "blob/thread.h"
#include "wbstore/fork.h"
#include "wbstore/ledger.h"

#include <pthread.h>
#include <stdbool.h>
#include <wbstore/wbstore.h>

typedef struct wb_writer wb_writer;
typedef struct wb_room_waiter wb_room_waiter;

/* Guarded by: - constant while the wrapper lives, l lock */
struct wbstore {
    blob_store store;        /* - the wrapper as a store; first */
    blob_store *base, *buf;  /* - */
    wbstore_options options; /* - with the defaults filled in */
    size_t address_size;     /* - bytes in an address of the base's */
    bool base_checks_keys;   /* - */
    unsigned processors;     /* - */
    blob_ctx *run;           /* - ends when the wrapper does */
    wb_fork_guard guard;     /* - */

    pthread_mutex_t lock;
    pthread_cond_t work;    /* is there something to send? */
    pthread_cond_t turn;    /* is this key's hand free, are its puts through? */
    pthread_cond_t settled; /* is it in the base, or parked? */
    pthread_cond_t house;   /* is there something for the housekeeper? */
    pthread_cond_t stopped; /* have all threads ended? */

    wb_ledger ledger;     /* l */
    uint64_t last_ticket; /* l */

    /* room.c */
    wb_room_waiter *room_head, *room_tail;   /* l who waits for room, in order */
    uint64_t reserved_blobs, reserved_bytes; /* l by puts that are not pending yet */
    uint64_t writing;                        /* l puts that are in the buffer's put, or wait for their turn */
    uint64_t releases;                       /* l how often something left the buffer */

    /* wait.c */
    uint64_t awaited_order; /* l the lowest place somebody waits for to be settled; UINT64_MAX: nobody waits */

    /* house.c */
    pthread_t housekeeper;
    bool resuming;                        /* l the listing of the start is not through yet */
    int resume_status;                    /* l why its last attempt failed */
    char resume_text[240];                /* l */
    unsigned resume_tries;                /* l */
    int64_t resume_due_ns;                /* l when it is tried next */
    bool drained_untold;                  /* l */
    uint64_t base_turns, base_turns_told; /* l how often the base went down (odd) or up (even) */

    /* writer.c */
    wb_writer *finished;     /* l threads that have ended and are to be joined */
    unsigned threads;        /* l that have not ended: writers and housekeeper */
    unsigned writers, idle;  /* l */
    bool signalled;          /* l an idle writer was woken and has not come yet */
    wb_writer *timekeeper;   /* l the idle writer that wakes when the next blob is due */
    int64_t spawn_due_ns;    /* l when to try again to start a writer; WB_NEVER: no need */
    int64_t base_latency_ns; /* l moving mean of a base put; 0: none yet */
    uint64_t picks;          /* l how often a writer took something up */
    bool held_back;          /* l there is work, but no writer was added for it: the housekeeper looks after it */
    bool joined;             /* l all threads were joined */

    /* the base's health, writer.c */
    bool down;            /* l */
    unsigned failures;    /* l in a row */
    bool probing;         /* l a probe is under way */
    unsigned probes;      /* l since it went down */
    int64_t probe_due_ns; /* l */
    int down_status;      /* l */
    char down_text[240];  /* l */
    uint64_t random;      /* l state of the jitter */

    /* statistics */
    uint64_t accepted, deduplicated, sent, deleted, resumed, retries; /* l */
    int last_status;                                                  /* l */
    char last_text[240];                                              /* l */
};

/* ---- core.c ---- */

/* BLOB_CLOSED, with its words, once the wrapper has ended or in a forked child; else 0. */
int wb_closed(wbstore *w);
/* The same for calls that wait: -EDEADLK on the thread of the event callback. */
int wb_may_wait(wbstore *w);
/* A wait on one of the wrapper's conditions, lock held: ends with ctx (its status), or with the wrapper (BLOB_CLOSED).
 * */
int wb_wait(wbstore *w, blob_ctx *ctx, pthread_cond_t *cond);
int wb_check_key(blob_key key);
int wb_check_listed(blob_key key); /* of a listing of the buffer, before anything is made of it */
/* Telling those who wait; lock held. */
void wb_entry_settled(wbstore *w, wb_entry *e); /* it left the ledger, or was parked */
/* The blob that e stood for is in the base or deleted. If a put has stored bytes since `written`, that is another blob,
 * pending in that put's place: who waits for the old one does not wait for it. */
void wb_entry_ends(wbstore *w, wb_entry *e, uint32_t written);
void wb_room_changed(wbstore *w);
void wb_house_wake(wbstore *w);
void wb_note_failure(wbstore *w, int status, const char *text); /* for the statistics */

/* ---- room.c; lock held, released while waiting ---- */

struct wb_room_waiter {
    wb_room_waiter *next;
    pthread_cond_t called; /* are you the head, and has something changed? */
};
int wb_room_take(wbstore *w, blob_ctx *ctx, uint64_t size, bool *waited);
int wb_room_wait_release(wbstore *w, blob_ctx *ctx, uint64_t releases); /* until something left the buffer since */
void wb_room_return(wbstore *w, uint64_t size);

/* ---- hand.c; lock held, released while waiting and during the buffer's operation ---- */

int wb_hand_take(wbstore *w, blob_ctx *ctx, wb_entry *e);
void wb_hand_free(wbstore *w, wb_entry *e); /* e may be gone afterwards */
/* Removes the buffered copy, unless a put has stored one since `written`: then *kept. The hand on e is ours. */
int wb_remove_buffered(wbstore *w, blob_ctx *ctx, wb_entry *e, uint32_t written, unsigned flags, bool *kept);

/* ---- upload.c: one attempt to bring a blob into the base; no lock is held ---- */

typedef enum wb_fate {
    WB_FATE_SENT,   /* the base has it */
    WB_FATE_GONE,   /* the buffer has not */
    WB_FATE_PARK,   /* it will never go like this */
    WB_FATE_FAILED, /* try again */
} wb_fate;
typedef struct wb_outcome {
    wb_fate fate;
    bool by_base;    /* the base made it so, not the buffer or we */
    int64_t base_ns; /* how long the base took for the put */
    int status;
    int64_t retry_after_ms;
    char text[240];
} wb_outcome;
void wb_upload(wbstore *w, blob_ctx *ctx, blob_key key, wb_outcome *out);
void wb_send(wbstore *w, blob_ctx *ctx, blob_key key, blob_view data, bool verified, wb_outcome *out);

/* ---- thread.c ---- */

void wb_thread_ends(wbstore *w); /* lock held */

/* ---- writer.c ---- */

void wb_unlock_and_work(wbstore *w);        /* releases lock, and sees to it that what can be sent is sent */
void wb_unlock_and_work_harder(wbstore *w); /* likewise, if need be with more writers than a fast base deserves */
bool wb_work_is_ready(wbstore *w, int64_t now_ns); /* lock held: there is something to send at once */
void wb_writers_join_finished(wbstore *w);         /* lock held, released meanwhile */

/* ---- resume.c, house.c ---- */

int wb_take_up(wbstore *w, blob_ctx *ctx); /* lists the buffer into the ledger; no lock held */
int wb_house_start(wbstore *w);

#endif
