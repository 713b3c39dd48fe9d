/* ledger.pml - the state of the model, and what every operation stands on: core.c, hand.c, ledger.c. */

/* Of an entry. */
#define ABSENT 0
#define QUEUED 1
#define SENDING 2
#define WAITING 3

/* The hand on it. */
#define NONE 0
#define UPLOAD 1
#define CALLER 2

#define NEVER 255
#define RESUMED 1 /* the place of what was found in the buffer: before that of every ticket */
#define BIT(me) (1 << (me))

typedef entry {
    byte state, hand, putters, removers, written, order;
    bool looked, vouched, removing, left, owed;
    bool off /* the upload under way was called off */
};
entry e[2];
bool buf[2], base[2];
byte last_ticket = RESUMED;
byte failures = FAILURES; /* of the base, still to come: before or after it has done its work */
byte refusals = REFUSALS; /* of the buffer's put, likewise, which has done nothing then */
bool resuming;
byte owed;
bool open = true;         /* `run` has not ended */

/* Those who sleep, by condition. */
byte turn, settled, work;
bool signalled;
byte timekeeper = NEVER;
byte awaited_order = NEVER;

byte writers; /* that have not ended */
bool dead;    /* FAULT_WRITER_DIES: has happened */

/* What can be known from outside. */
byte putting[2], puts[2]; /* under way; begun so far */
bool must[2];             /* a put returned 0, and no delete has begun since */
bool must_for_read[2];    /* since the read began */
bool gone[2];             /* a delete has returned, and no put has begun since it did */
byte there[2];            /* the ticket of a put that returned 0 and that no delete has undone which began later */
byte there_for_sync[2];   /* when the sync began, and still */
byte hands[2];            /* at work */

#define PENDING_NOW(k) (e[k].state != ABSENT)
#ifdef FAULT_OWED
#define RESUMES resuming
#else
#define RESUMES (resuming || owed > 0) /* wb_resumes */
#endif
#define SOME_WAIT (e[0].state == WAITING || e[1].state == WAITING)
#define ALL_AFTER(place) ((!PENDING_NOW(0) || e[0].order > (place)) && (!PENDING_NOW(1) || e[1].order > (place)))

/* wb_entry_free_to_send */
#ifdef FAULT_TWO_HANDS
#define FREE_TO_SEND(k) (e[k].state == QUEUED)
#else
#define FREE_TO_SEND(k) (e[k].state == QUEUED && e[k].hand == NONE && e[k].removers == 0)
#endif
#define OLDEST(k, other) (!FREE_TO_SEND(other) || e[k].order <= e[other].order)

inline broadcast(condition)
{
    condition = 0
}

/* The second half of a wait: asleep until somebody clears our bit. */
inline wait(condition)
{
    condition = condition | BIT(me);
    (condition & BIT(me)) == 0
}

/* ---- core.c, ledger.c ---- */

inline wb_entry_settled(k)
{
    if
    :: awaited_order != NEVER && ALL_AFTER(awaited_order) ->
        awaited_order = NEVER;
#ifndef FAULT_SYNC_MISSES
        broadcast(settled)
#endif
    :: else
    fi
}

inline wb_entry_ends(k, since)
{
    e[k].left = e[k].putters > 0;
    if
    :: e[k].written != since -> /* a put has come meanwhile: its bytes pend in its place, vouched for as they were */
        e[k].state = QUEUED;
        e[k].order = e[k].written
    :: else -> /* wb_ledger_leave */
        e[k].state = ABSENT;
        e[k].order = 0;
        e[k].vouched = false
    fi;
    wb_entry_settled(k)
}

inline wb_ledger_settle(k)
{
    if
    :: e[k].state == ABSENT && e[k].hand == NONE && e[k].putters == 0 && e[k].removers == 0 ->
        assert(!buf[k] || resuming); /* left */
        e[k].written = 0;
        e[k].looked = false
    :: else
    fi
}

/* Signals an idle writer, if there is something to send, or nobody keeps the time. Busy ones look by themselves. */
inline wb_unlock_and_work()
{
    if
    :: work != 0 && !signalled && (FREE_TO_SEND(0) || FREE_TO_SEND(1) || (SOME_WAIT && timekeeper == NEVER)) ->
        signalled = true;
        if
        :: (work & BIT(0)) != 0 -> work = work & ~BIT(0)
        :: (work & BIT(1)) != 0 -> work = work & ~BIT(1)
        fi
    :: else
    fi
}

/* ---- hand.c ---- */

inline hand_taken(k, by)
{
    e[k].hand = by;
    hands[k]++;
#ifndef FAULT_DELETE_NO_WAIT
    assert(hands[k] == 1) /* hands */
#endif
}

inline wb_hand_free(k)
{
    if
    :: e[k].hand == CALLER -> e[k].removers--
    :: else
    fi;
    e[k].hand = NONE;
    hands[k]--;
    if
    :: e[k].removers > 0 || e[k].putters > 0 -> broadcast(turn)
    :: else
    fi;
    wb_ledger_settle(k)
}

/* A blob that was found in the buffer, or left there, pends. */
inline resumed(k)
{
    e[k].state = QUEUED;
    e[k].order = RESUMED
}

inline wb_putter_ends(k, leaves)
{
    e[k].putters--;
    if
    :: e[k].owed ->
        owed--;
        broadcast(settled)
    :: else
    fi;
#ifdef FAULT_LEFT
    leaves = false;
#else
    leaves = e[k].left || e[k].owed;
#endif
    e[k].left = false;
    e[k].owed = false
}

/* wb_remove_buffered: its *kept, and what it does when the buffer has answered. */
#ifdef FAULT_WRITTEN
#define KEPT(k, since) (e[k].putters > 0)
#else
#define KEPT(k, since) (e[k].putters > 0 || e[k].written != since)
#endif

inline removed(k)
{
    e[k].removing = false;
    broadcast(turn)
}
