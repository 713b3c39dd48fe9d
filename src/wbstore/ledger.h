/* ledger.h - what is not in the base yet: an entry for every pending key, and for every key that somebody works on.
 *
 * The ledger is plain data: whoever calls holds the wrapper's lock. Every function costs the same whatever the backlog,
 * but for those that say otherwise. */
#ifndef WB_LEDGER_H
#define WB_LEDGER_H

#include "wbstore/keytable.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <wbstore/wbstore.h>

/* An entry's state is a wbstore_state, or this: not pending, here only because somebody works on its key. */
#define WB_ABSENT 0

/* Who works on a key (DESIGN: one hand per key). Puts into the buffer are no hand: they are counted in `putters`. */
typedef enum wb_hand {
    WB_HAND_NONE = 0,
    WB_HAND_UPLOAD, /* a writer: from reading the buffer to removing from it */
    WB_HAND_CALLER  /* a delete, a put with replace, or a put that is written through */
} wb_hand;

/* What a base may still do to a key, bits; see doubt.c. */
enum {
    WB_DOUBT_PUT = 1,    /* carry out a put that ended without an answer */
    WB_DOUBT_DELETE = 2, /* or a delete */
    WB_DOUBT_GHOST = 4   /* the key was deleted meanwhile: whatever the base shows of it, it is not there */
};

/* What is known of an entry's uploads. Made before its first one begins, so that a failure needs no memory. */
typedef struct wb_attempt {
    struct wb_entry *entry;
    blob_ctx *ctx;      /* of the attempt under way, for a delete to cancel; NULL between attempts */
    int64_t due_ns;     /* when to try again, while WAITING */
    size_t heap_at;     /* place in the heap of those who wait */
    unsigned number;    /* attempts begun */
    int status;         /* of the last failure */
    uint64_t failed_at; /* and how many other blobs had been sent by then */
    bool arrived;       /* the base has it, and only the buffer's copy is left to be removed */
    uint8_t doubts;     /* WB_DOUBT_ bits; the entry stays while there are any */
    bool haunts;        /* it is a ghost whose time has come: among the haunting, not among the doubts */
    int64_t doubt_until_ns;
    struct wb_attempt *doubt_prev, *doubt_next;
    char text[sizeof((blob_error *)0)->text];
} wb_attempt;

/* A million of these may be pending: 56 bytes and the key. */
typedef struct wb_entry {
    struct wb_entry *prev, *next; /* in the active or the parked list */
    uint64_t order;               /* its place among the pending: wb_order_of a ticket, below that for a resumed blob */
    wb_attempt *attempt;          /* NULL before the first upload */
    uint64_t size : 48;           /* payload bytes */
    uint64_t putters : 16;        /* puts that are writing its bytes now */
    uint64_t since_ms : 48;       /* when it became pending */
    uint64_t removers : 16;       /* deletes and puts with replace, waiting or at work */
    uint32_t written; /* the first put that stored its bytes since somebody looked (wb_entry_look), as the low half of
                         its ticket; 0: none. Nobody removes what was written after he looked */
    uint8_t state;
    uint8_t hand;
    bool vouched : 1;  /* a put of this process has stored the bytes: a duplicate may rely on them */
    bool removing : 1; /* the buffered copy is being removed: who wants to write waits for his turn */
    bool awaited : 1;  /* somebody waits for this key to settle */
    bool urgent : 1;   /* and its turn comes first, or did */
    bool untold : 1;   /* parked, and no event has said so yet */
    bool looked : 1;   /* no put has stored its bytes since the last look */
    bool left : 1;     /* sent, and the buffered copy left to those who are putting it: who fails to takes it up */
    bool owed : 1;     /* listed, and left to those who are putting it; likewise */
    uint8_t key_size;
    unsigned char key[];
} wb_entry;

typedef struct wb_list {
    wb_entry *head, *tail;
} wb_list;

typedef struct wb_doubt_list {
    wb_attempt *head, *tail;
} wb_doubt_list;

typedef struct wb_ledger {
    wb_key_table keys;

    wb_list active;         /* QUEUED, SENDING and WAITING entries in order */
    wb_list parked;         /* PARKED entries in order */
    wb_entry *untold;       /* no parked entry before it is untold; NULL: none is */
    wb_entry *resumed_last; /* the last active entry that was resumed */
    wb_entry *cursor;       /* no entry before it is QUEUED and free to be sent */
    uint64_t resumed;       /* blobs resumed so far: they come before every ticket */
    int64_t dwell_ms;       /* how long a blob stays queued at least; 0: not at all */
    uint64_t hurried;       /* those up to this place need not stay */

    wb_attempt **heap; /* WAITING attempts, earliest first; has room for every attempt there is */
    size_t waiting, heap_room, attempts;

    wb_doubt_list doubts;   /* those with doubts, the first to pass first */
    wb_doubt_list haunting; /* ghosts to be deleted again now */
    atomic_uint ghosts;     /* how many there are; read without the lock, too */

    uint64_t active_blobs, parked_blobs, sending;
    uint64_t bytes, key_bytes; /* of active and parked */
} wb_ledger;

int wb_ledger_init(wb_ledger *l, uint64_t seed);
void wb_ledger_free(wb_ledger *l); /* and every entry, whatever its state */

wb_entry *wb_ledger_find(const wb_ledger *l, blob_key key);
wb_entry *wb_ledger_add(wb_ledger *l, blob_key key);  /* of a key that has none, as WB_ABSENT; NULL: no memory */
wb_entry *wb_ledger_make(wb_ledger *l, blob_key key); /* finds it or adds it as WB_ABSENT; NULL: no memory */
void wb_ledger_settle(wb_ledger *l, wb_entry *e);     /* drops it if it is absent and nobody works on it */
static inline blob_key wb_entry_key(const wb_entry *e)
{
    return blob_key_of(e->key, e->key_size);
}

/* For who begins to send or to remove what is there: `written` differs from this as soon as a put has come after him. */
static inline uint32_t wb_entry_look(wb_entry *e)
{
    e->looked = true;
    return e->written;
}

/* Resumed blobs count as oldest: theirs are the places 1, 2 ...; those of tickets start here. */
#define WB_ORDER_TICKETS (UINT64_C(1) << 62)
static inline uint64_t wb_order_of(uint64_t ticket)
{
    return WB_ORDER_TICKETS + ticket;
}

/* From WB_ABSENT to WBSTORE_QUEUED, in the place of its ticket; 0: behind the blobs that were resumed before. Costs as
 * much as there are active blobs of later tickets. */
void wb_ledger_join(wb_ledger *l, wb_entry *e, uint64_t ticket, uint64_t size, int64_t now_ms);
/* Between the pending states. From SENDING or WAITING to the others, from PARKED to QUEUED; to WAITING with the time in
 * e->attempt->due_ns. Costs as much as there are older blobs being sent or waiting. */
void wb_ledger_move(wb_ledger *l, wb_entry *e, wbstore_state state);
void wb_ledger_leave(wb_ledger *l, wb_entry *e); /* from any pending state to WB_ABSENT */
void wb_ledger_resize(wb_ledger *l, wb_entry *e, uint64_t size);
void wb_ledger_free_to_send(wb_ledger *l, wb_entry *e); /* call when the hand on a QUEUED entry was let go */

/* Which entry is the next to send. */
typedef enum wb_turn {
    WB_TURN_RETRY, /* one that has waited long enough, else the oldest queued */
    WB_TURN_FIRST, /* the other way round */
    WB_TURN_PROBE /* of a base that is down, another blob each time: the oldest queued, else the one that has waited longest */
} wb_turn;
wb_entry *wb_ledger_next(wb_ledger *l, int64_t now_ns, wb_turn turn); /* NULL: none. It stays as it is */
bool wb_entry_free_to_send(const wb_entry *e); /* queued, and nobody's hand is on it or wants to be */
wb_entry *wb_ledger_untold(wb_ledger *l); /* the first that is parked and not told of, from here on it is; or NULL */
/* When the first of those who wait is due, or the oldest queued has stayed long enough; WB_NEVER: there is none. */
int64_t wb_ledger_due_ns(const wb_ledger *l);
void wb_ledger_all_queued(wb_ledger *l); /* those who wait; costs as much as there are, and older ones being sent */
/* Every parked one is queued, in its place. One walk: costs as much as there are, and older ones being sent or waiting. */
void wb_ledger_all_unparked(wb_ledger *l);

wb_attempt *wb_attempt_new(wb_ledger *l); /* NULL: no memory */
void wb_attempt_free(wb_ledger *l, wb_attempt *a);
void wb_attempt_reset(wb_attempt *a); /* for another blob: nothing is known of its uploads */

/* ---- doubts (doubt.c); of an entry that has its attempt ---- */

void wb_doubt_clear(wb_ledger *l, wb_entry *e, unsigned bits);
static inline bool wb_entry_doubts(const wb_entry *e, unsigned bits)
{
    return e->attempt != NULL && (e->attempt->doubts & bits) != 0;
}

/* Everything up to this ticket is settled; last: the last ticket given. */
uint64_t wb_ledger_safe_ticket(const wb_ledger *l, uint64_t last);

#endif
