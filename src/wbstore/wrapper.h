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
 *   8. What ended without an answer may still take effect: what was deleted meanwhile is deleted    doubt.c
 *      again, what was sent stays in the buffer and is sent again.
 *   9. Every wait ends with its ctx and with the wrapper (ctx `run`); predicates change under       everywhere
 *      `lock`, which is never held across an operation of a store or a callback.
 *  10. Room: waiters are served in order; when only parked blobs fill the buffer it is full. What   room.c, house.c
 *      no hung upload or listing may hold up is done by a thread of its own.
 *  11. A forked child gets BLOB_CLOSED.                                                             fork.c
 *
 * Rules 1 to 3, 6 and 9 are checked in every state of a model (tests/model). What it has as a step, under the same name,
 * is marked here "model:" and the process or file that has it: who changes one changes the other.
 *
 * The wrapper is open exactly as long as `run` has not ended: close cancels it, and it is a child of the ctx that
 * governs the wrapper. */
#ifndef WB_WRAPPER_H
#define WB_WRAPPER_H

#include "blob/ctx.h"
#include "blob/thread.h"
#include "wbstore/fork.h"
#include "wbstore/ledger.h"
#include "wbstore/meter.h"
#include "wbstore/pace.h"

#include <pthread.h>
#include <stdbool.h>
#include <wbstore/wbstore.h>

typedef struct wb_worker wb_worker;
typedef struct wb_room_waiter wb_room_waiter;
typedef struct wb_urgent wb_urgent;

/* Guarded by: - constant while the wrapper lives, l lock */
struct wbstore {
    blob_store store;        /* - the wrapper as a store; first */
    blob_store *base, *buf;  /* - */
    wbstore_options options; /* - with the defaults filled in */
    size_t address_size;     /* - bytes in an address of the base's */
    bool base_checks_keys;   /* - */
    int64_t doubt_ms;        /* - how long what the base did not answer may still take effect */
    blob_ctx *run;           /* - ends when the wrapper does */
    wb_fork_guard guard;     /* - */

    pthread_mutex_t lock;
    pthread_cond_t work;    /* is there something to send? */
    pthread_cond_t turn;    /* is this key's hand free, are its puts through? */
    pthread_cond_t settled; /* is it in the base, or parked? */
    pthread_cond_t house;   /* is there something for the housekeeper? */
    pthread_cond_t news;    /* is there something to tell the host? */
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
    wb_urgent *urgent;      /* l keys whose turn comes first, of those who wait for them */
    int64_t urgent_due_ns;  /* l when one of them that was passed over is to be tried again; WB_NEVER: none */
    int64_t urgent_walk_ns; /* l but all of them are not looked at again before then */

    /* house.c */
    pthread_t housekeeper;
    bool house_called; /* l since it last looked around */

    /* resume.c */
    bool resuming;         /* l the listing of the start is not through yet */
    uint64_t owed;         /* l entries that a listing has left to the puts that are at them */
    int resume_status;     /* l why its last attempt failed */
    char resume_text[240]; /* l */
    unsigned resume_tries; /* l */
    int64_t resume_due_ns; /* l when it is tried next; WB_NEVER: it is under way, or through */

    /* tell.c */
    bool telling;                         /* l there is a thread for it: */
    bool tell_rests;                      /* l it waits for news */
    pthread_t teller;                     /* l */
    bool teller_known;                    /* l that is it; before, it may be the name of one that has gone */
    int64_t tell_due_ns;                  /* l when to try again to start it; WB_NEVER: it did not fail */
    bool drained_untold;                  /* l */
    uint64_t base_turns, base_turns_told; /* l how often the base went down (odd) or up (even) */

    /* thread.c */
    wb_worker *finished; /* l threads that have ended and are to be joined */
    unsigned threads;    /* l that have not ended: housekeeper, writers, teller, listing of the start */

    /* writer.c */
    unsigned writers, idle;  /* l */
    bool signalled;          /* l an idle writer was woken and has not come yet */
    wb_worker *timekeeper;   /* l the idle writer that wakes when the next blob is due */
    int64_t timekeeper_ns;   /* l and when that is, as far as he knows */
    int64_t spawn_due_ns;    /* l when to try again to start a writer; WB_NEVER: no need */
    wb_pace pace;            /* l how many may be in flight */
    uint64_t picks;          /* l how often a writer took something up */
    bool held_back;          /* l there is work, but no writer was added for it: the housekeeper looks after it */
    unsigned retrying;       /* l how many of those in flight are tried again */
    unsigned firsts;         /* l how many were taken up since one was tried again */
    bool paused;             /* l nothing is begun */
    bool joined;             /* l all threads were joined */
    unsigned ghost_failures; /* l to delete a ghost again, in a row */
    int64_t ghost_due_ns;    /* l not before then */

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
    int64_t last_ns;                                                  /* l when that was */
    wb_flow flow;                                                     /* l what was sent */
    wb_latency latency;                                               /* l how long the base took for it */
};

/* ---- core.c ---- */

/* The wrapper's clock is that of the context which governs it: backoff, ages, time limits, all runs on it. */
static inline int64_t wb_time_ns(const wbstore *w)
{
    return wb_ctx_now_ns(w->run);
}
static inline int64_t wb_time_ms(const wbstore *w)
{
    return wb_time_ns(w) / 1000000;
}

/* BLOB_CLOSED, with its words, once the wrapper has ended or in a forked child; else 0. */
int wb_closed(wbstore *w);
/* The same for calls that wait: -EDEADLK on the thread of the event callback. */
int wb_may_wait(wbstore *w);
/* A wait on one of the wrapper's conditions, lock held: ends with ctx (its status), or with the wrapper (BLOB_CLOSED).
 * */
int wb_wait(wbstore *w, blob_ctx *ctx, pthread_cond_t *cond);
int wb_wait_until(wbstore *w, blob_ctx *ctx, pthread_cond_t *cond, int64_t until_ns); /* 0 then, too */
int wb_check_key(blob_key key);
bool wb_is_refusal(int status);    /* of a put: it has certainly changed nothing */
int wb_check_listed(blob_key key); /* of a listing of the buffer, before anything is made of it */
/* Telling those who wait; lock held. */
void wb_entry_settled(wbstore *w, wb_entry *e); /* it left the ledger, or was parked */
/* Something has left: if nothing is pending, that is told. What the buffer held at the start is, listed or not. */
void wb_maybe_drained(wbstore *w);
/* The blob that e stood for is in the base or deleted. If a put has stored bytes since `written`, that is another blob,
 * pending in that put's place: who waits for the old one does not wait for it. Where a second delete began between two such
 * puts, the place is the second put's: the first put came before the end of the first delete, which is said to have undone
 * it, so nobody need wait for it either. */
void wb_entry_ends(wbstore *w, wb_entry *e, uint32_t written);
void wb_room_changed(wbstore *w);
void wb_house_wake(wbstore *w);                                 /* it looks around once more */
void wb_note_failure(wbstore *w, int status, const char *text); /* for the statistics */

/* What the buffer held before is not all known yet. */
static inline bool wb_resumes(const wbstore *w)
{
    return w->resuming || w->owed > 0;
}

/* ---- room.c; lock held, released while waiting ---- */

/* A put's place in the queue: at first none. Who has one leaves it before he goes. */
struct wb_room_waiter {
    wb_room_waiter *next;
    pthread_cond_t called; /* are you the head, and has something changed? */
    blob_key key;
    bool queued, refused; /* refused: by the buffer itself */
    bool found;           /* another put has stored the blob since you came */
};
/* 0 and not *reserved: there is no room yet, but look again: another put has stored the blob. */
int wb_room_take(wbstore *w, blob_ctx *ctx, wb_room_waiter *me, uint64_t size, bool *waited, bool *reserved);
/* A put has stored that blob: who waits with another copy of it needs no room. */
void wb_room_found(wbstore *w, blob_key key);
/* Until something left the buffer since. Keeps the place, in which nobody overtakes the put that is now tried again. */
int wb_room_wait_release(wbstore *w, blob_ctx *ctx, wb_room_waiter *me, uint64_t releases);
void wb_room_leave(wbstore *w, wb_room_waiter *me);
void wb_room_return(wbstore *w, uint64_t size);
uint64_t wb_room_waiters(const wbstore *w); /* how many wait; takes as long */

/* ---- wait.c; lock held ---- */

struct wb_urgent {
    const blob_key *keys;
    size_t count, at; /* those before `at` have had their turn */
    wb_urgent *next;
};
/* The next of the urgent that is free to be sent, or to be tried again; NULL: none. */
wb_entry *wb_urgent_next(wbstore *w, int64_t now_ns);
void wb_urgent_waits(wbstore *w, const wb_entry *e); /* e failed: if it is urgent, so it is when it is tried again */
void wb_urgent_again(wbstore *w);                    /* keys that were not known, or not free to be sent, may be now */
/* Everything up to that place need not dwell any longer. True: that is news, and the lock was let go meanwhile. */
bool wb_hurry(wbstore *w, uint64_t order);

/* ---- doubt.c; lock held, but for wb_is_ghost ---- */

/* Room to remember what the base may do late: before a call to it whose answer may be missing. */
int wb_doubt_room(wbstore *w, wb_entry *e);
void wb_doubt_put_ended(wbstore *w, wb_entry *e,
                        int status); /* a put to the base, or a delete in it, with that status */
void wb_doubt_delete_ended(wbstore *w, wb_entry *e, int status);
/* The base has answered a delete, and nothing is pending. doubted: a put was in doubt when the delete began. */
void wb_doubt_deleted(wbstore *w, wb_entry *e, bool doubted);
bool wb_doubt_keeps(const wbstore *w, const wb_entry *e); /* what is about to be sent must stay in the buffer, too */
int wb_doubt_wait(wbstore *w, blob_ctx *ctx, const wb_entry *e); /* until no delete of e's key can come late */
bool wb_is_ghost(wbstore *w, blob_key key);                      /* what the base shows of it is not there */
/* One to be deleted again now; NULL: none, and when to look again. */
wb_entry *wb_ghost_next(const wbstore *w, int64_t now_ns, int64_t *until_ns);
void wb_ghost_is_being_laid(wbstore *w, wb_entry *e);
void wb_ghost_is_laid(wbstore *w, wb_entry *e);
int64_t wb_doubt_due_ns(const wbstore *w);
void wb_doubts_pass(wbstore *w); /* sees to those whose time is over */

/* ---- hand.c; lock held, released while waiting and during the buffer's operation ---- */

int wb_hand_take(wbstore *w, blob_ctx *ctx, wb_entry *e);
void wb_hand_free(wbstore *w, wb_entry *e); /* e may be gone afterwards */
/* A put of e, or a look at it, is through. True: what the buffer may hold of it has been left to him. */
bool wb_putter_ends(wbstore *w, wb_entry *e);
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

/* ---- thread.c; lock held ---- */

struct wb_worker {
    wbstore *w;
    pthread_t thread;
    wb_worker *next;   /* among the finished */
    wb_attempt *spare; /* a writer's: for the next entry that has none yet */
};
/* Lock released meanwhile. If none could be had, that is noted, and *again_ns is when to try again. */
int wb_worker_start(wbstore *w, void *(*run)(void *worker), size_t stack_bytes, int64_t *again_ns);
void wb_worker_ends(wb_worker *worker);    /* the last that its thread does with the lock held; it has set `thread` */
void wb_workers_join_finished(wbstore *w); /* lock released meanwhile */
void wb_thread_ends(wbstore *w);

/* ---- tell.c ---- */

void wb_tell(wbstore *w);      /* lock held, released meanwhile: sees to it that what is to be told is told */
void wb_tell_last(wbstore *w); /* likewise: tells it, on this thread, unless the teller is at it */
void wb_news(wbstore *w);      /* lock held: there is something to tell */
bool wb_is_teller(wbstore *w); /* called from the event callback? */

/* ---- writer.c ---- */

void wb_unlock_and_work(wbstore *w);        /* releases lock, and sees to it that what can be sent is sent */
void wb_unlock_and_work_harder(wbstore *w); /* likewise, if need be with more writers than a fast base deserves */
bool wb_work_is_ready(wbstore *w, int64_t now_ns); /* lock held: there is something to send at once */
bool wb_work_waits(wbstore *w, int64_t now_ns);    /* likewise, or something will be, and nobody waits for its time */

/* ---- resume.c, house.c ---- */

int wb_take_up(wbstore *w, blob_ctx *ctx); /* lists the buffer into the ledger; no lock held */
void wb_take_up_first(wbstore *w); /* lock held, released meanwhile: begins the listing of the start when it is time */
int wb_house_start(wbstore *w);

#endif
