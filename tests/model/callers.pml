/* callers.pml - those who call the wrapper: put.c, remove.c, read.c, wait.c, and wbstore.c's close. */

/* ---- put.c ---- */

inline put_returns(k)
{
    must[k] = true;
    there[k] = last_ticket;
    assert(buf[k] || base[k]) /* lost */
}

proctype Putter(byte me; byte k)
{
    bool known, refused, leaves, found;

    atomic {
        putting[k]++;
        puts[k]++;
        gone[k] = false
    };
put_round:
    atomic {
        if
        :: !open -> goto out
        :: else
        fi;
        if
        :: PENDING_NOW(k) && e[k].vouched && e[k].removers == 0 -> /* put_may_rely_on, put_as_duplicate */
            last_ticket++;
            put_returns(k);
            goto out
        :: else
        fi;
        if
        :: e[k].removing -> /* put_wait_turn */
            wait(turn);
            goto put_round
        :: else
        fi;
        known = PENDING_NOW(k); /* put_try */
        e[k].putters++
    };
    atomic { /* put_write: the buffer's put. It may have said before that it has the key */
        assert(!gone[k]);
        if
        :: refusals > 0 ->
            refusals--;
            refused = true;
            if
            :: buf[k] -> known = true
            :: true
            fi
        :: true ->
            known = known || buf[k];
            buf[k] = true
        fi
    };
    atomic { /* put_pends */
        found = known && (resuming || e[k].owed);
        wb_putter_ends(k, leaves);
        if
        :: refused ->
            if
            :: (known || leaves) && !PENDING_NOW(k) -> resumed(k) /* put_takes_up */
            :: else
            fi;
            if
            :: e[k].removers > 0 -> broadcast(turn)
            :: else
            fi;
            wb_ledger_settle(k);
            wb_unlock_and_work();
            goto out
        :: else
        fi;
        last_ticket++;
        if
        :: e[k].looked || !PENDING_NOW(k) ->
            e[k].written = last_ticket;
            e[k].looked = false
        :: else
        fi;
        if
        :: !PENDING_NOW(k) ->
            e[k].state = QUEUED;
#ifdef FAULT_PLACE
            e[k].order = last_ticket
#else
            e[k].order = (found -> RESUMED : last_ticket)
#endif
        :: else
        fi;
        e[k].vouched = true;
        if
        :: e[k].removers > 0 -> broadcast(turn)
        :: else
        fi;
        put_returns(k);
        wb_unlock_and_work()
    };
out:
    putting[k]--
}

/* ---- remove.c ---- */

/* What was put before the delete began is no more. */
inline undoes(k)
{
    if
    :: there[k] <= begun -> there[k] = 0
    :: else
    fi;
    if
    :: there_for_sync[k] <= begun -> there_for_sync[k] = 0
    :: else
    fi
}

inline takes_from(has, k)
{
    if
    :: has -> undoes(k)
    :: else
    fi;
    has = false;
    assert(!must[k] || buf[k] || base[k]) /* lost */
}

inline removal_ends(kept)
{
    if /* removal_finds */
    :: PENDING_NOW(k) && (!kept || e[k].order == order) -> wb_entry_ends(k, since)
    :: else
    fi;
    undoes(k);
    if
    :: quiet && puts[k] == puts_then ->
        gone[k] = true;
        assert(!buf[k] && !base[k]) /* resurrected */
    :: else
    fi;
    wb_hand_free(k); /* removal_end */
    wb_unlock_and_work()
}

proctype Deleter(byte me; byte k)
{
    byte since, order, puts_then, begun;
    bool quiet;

    atomic { /* removal_begin: wb_entry_look, wb_hand_take */
        must[k] = false;
        must_for_read[k] = false;
        quiet = putting[k] == 0;
        puts_then = puts[k];
        begun = last_ticket;
        if
        :: !open -> goto out
        :: else
        fi;
        since = e[k].written;
        e[k].looked = true;
        order = e[k].order;
        e[k].removers++;
wb_hand_take:
        if
        :: !open ->
            e[k].removers--;
            wb_ledger_settle(k);
            wb_unlock_and_work();
            goto out
        :: else
        fi;
#ifndef FAULT_DELETE_NO_WAIT
        if
        :: e[k].hand == UPLOAD ->
            e[k].off = true;
            goto hand_call_off
        :: e[k].hand == CALLER ->
            wait(turn);
            goto wb_hand_take
        :: else
        fi;
#endif
        hand_taken(k, CALLER);
        if
        :: e[k].state == WAITING -> e[k].state = QUEUED
        :: else
        fi;
        goto from_base
    };
hand_call_off: /* the lock was let go for the cancel: look again */
    atomic {
        if
#ifdef FAULT_NO_SECOND_LOOK
        :: true -> wait(turn)
#else
        :: e[k].hand != NONE -> wait(turn)
        :: else
#endif
        fi;
        goto wb_hand_take
    };
from_base: /* the base's delete */
    atomic {
        if
        :: failures > 0 ->
            failures--;
            if
            :: true -> takes_from(base[k], k)
            :: true
            fi;
            goto failed
        :: true -> takes_from(base[k], k)
        fi
    };
    atomic { /* removal_from_buffer, wb_remove_buffered */
        do
        :: e[k].putters == 0 || e[k].written != since -> break
        :: else ->
            if
            :: !open -> goto failed
            :: else
            fi;
            wait(turn)
        od;
        if
        :: KEPT(k, since) ->
            removal_ends(true);
            goto out
        :: else -> e[k].removing = true
        fi
    };
    atomic { /* the buffer's delete */
        takes_from(buf[k], k)
    };
    atomic {
        removed(k);
        removal_ends(false);
        goto out
    };
failed:
    atomic { /* removal_end */
        wb_hand_free(k);
        wb_unlock_and_work()
    };
out:
    skip
}

/* ---- read.c ---- */

#ifdef FAULT_BASE_FIRST
#define FIRST(k) base[k]
#define SECOND(k) buf[k]
#else
#define FIRST(k) buf[k]
#define SECOND(k) base[k]
#endif

proctype Reader(byte k)
{
    bool found;

    atomic { /* wbstore_get: the buffer's get */
        must_for_read[k] = must[k];
        found = FIRST(k)
    };
    atomic { /* the base's */
        found = found || SECOND(k);
        assert(found || !must_for_read[k]) /* missed */
    }
}

/* ---- wait.c ---- */

proctype Syncer(byte me)
{
    byte barrier;

    atomic { /* wbstore_sync */
#ifdef FAULT_SYNC_FORGETS
        barrier = (last_ticket > 0 -> last_ticket - 1 : 0);
#else
        barrier = last_ticket;
#endif
        there_for_sync[0] = there[0];
        there_for_sync[1] = there[1]
    };
    atomic { /* wait_until_settled */
        do
        :: !open -> goto out
        :: open && !RESUMES && ALL_AFTER(barrier) -> break
        :: open && (RESUMES || !ALL_AFTER(barrier)) ->
            if
            :: barrier < awaited_order -> awaited_order = barrier
            :: else
            fi;
            wait(settled)
        od;
        assert(there_for_sync[0] == 0 || base[0]); /* synced */
        assert(there_for_sync[1] == 0 || base[1])
    };
out:
    skip
}

/* ---- resume.c ---- */

/* What the buffer held at the start, which is a blob under one key. */
proctype Lister(byte k)
{
    bool seen, leaves;

    atomic { /* the buffer's list */
        if
        :: !buf[k] -> goto through
        :: else
        fi
    };
    atomic { /* take_up_key */
        if
        :: !PENDING_NOW(k) && e[k].putters > 0 && !e[k].left && !e[k].owed ->
            e[k].owed = true;
            owed++
        :: else
        fi;
        if
        :: PENDING_NOW(k) || e[k].putters > 0 -> goto through
        :: else -> e[k].putters++
        fi
    };
    atomic { /* the buffer's size */
        seen = buf[k]
    };
    atomic {
        wb_putter_ends(k, leaves);
        if
        :: !PENDING_NOW(k) && (leaves || seen) -> resumed(k)
        :: else
        fi;
        if
        :: e[k].removers > 0 -> broadcast(turn)
        :: else
        fi;
        wb_ledger_settle(k);
        wb_unlock_and_work()
    };
through:
    atomic {
        resuming = false;
        broadcast(settled)
    }
}

/* ---- wbstore.c ---- */

proctype Closer()
{
    atomic { /* wbstore_close: whoever waits, waits for the end of `run` too */
        open = false;
        broadcast(turn);
#ifndef FAULT_CLOSE_NO_WAKE
        broadcast(settled);
#endif
        broadcast(work)
    };
    writers == 0 /* stopped */
}
