/* writers.pml - one blob after the other from the buffer to the base: writer.c, upload.c. */

#define CALLED_OFF(k) (e[k].off || !open)

inline writer_failed(k)
{
    if
    :: CALLED_OFF(k) || e[k].removers > 0 -> e[k].state = QUEUED
    :: else -> e[k].state = WAITING
    fi
}

inline base_has(k)
{
    base[k] = true;
    assert(!gone[k]) /* resurrected */
}

inline send_ends(k)
{
    wb_hand_free(k);
    k = 0;
    since = 0
}

proctype Writer(byte me)
{
    byte k, since;

writer_next: /* what is due, or the oldest that is queued */
    atomic {
        if
        :: !open || dead -> goto out
        :: else
        fi;
        if
        :: FREE_TO_SEND(0) && OLDEST(0, 1) -> k = 0
        :: FREE_TO_SEND(1) && OLDEST(1, 0) -> k = 1
        :: e[0].state == WAITING -> k = 0
        :: e[1].state == WAITING -> k = 1
        :: !FREE_TO_SEND(0) && !FREE_TO_SEND(1) -> /* writer_rests */
            work = work | BIT(me);
            if
            :: SOME_WAIT -> timekeeper = me
            :: else
            fi;
end_rest: /* the one place where it is right to stay for good */
            (work & BIT(me)) == 0 || (timekeeper == me && SOME_WAIT);
            work = work & ~BIT(me);
            signalled = false;
            if
            :: timekeeper == me -> timekeeper = NEVER
            :: else
            fi;
            goto writer_next
        fi;
        since = e[k].written; /* writer_send: wb_entry_look */
        e[k].looked = true;
        e[k].state = SENDING;
        e[k].off = false;
        hand_taken(k, UPLOAD);
        wb_unlock_and_work() /* writers_wake */
    };
    atomic { /* wb_upload: the buffer's get */
        if
        :: CALLED_OFF(k) -> goto writer_ends_attempt
        :: !buf[k] -> goto gone_from_buffer
        :: else
        fi
    };
#ifdef FAULT_BUFFER_FIRST
    atomic {
        buf[k] = false;
        assert(!must[k] || buf[k] || base[k])
    };
#endif
    atomic { /* wb_send: the base's put. That it has the blob already is as good */
        if
        :: CALLED_OFF(k) -> goto writer_ends_attempt
        :: failures > 0 ->
            failures--;
            if
            :: base_has(k)
            :: true
            fi;
#ifdef FAULT_WRITER_DIES
            dead = true;
#endif
            goto writer_ends_attempt
        :: base_has(k)
        fi
    };
    atomic { /* writer_sent, wb_remove_buffered */
        if
        :: KEPT(k, since) ->
            wb_entry_ends(k, since);
            send_ends(k);
            goto writer_next
        :: else -> e[k].removing = true
        fi
    };
    atomic { /* the buffer's delete */
        if
        :: CALLED_OFF(k) ->
            removed(k);
            e[k].vouched = false;
            goto writer_ends_attempt
        :: true ->
            buf[k] = false;
            assert(!must[k] || buf[k] || base[k]) /* lost */
        fi
    };
    atomic {
        removed(k);
        wb_entry_ends(k, since);
        send_ends(k);
        goto writer_next
    };
gone_from_buffer:
    atomic {
        if
        :: e[k].written != since -> e[k].state = QUEUED
        :: else -> wb_entry_ends(k, since)
        fi;
        send_ends(k);
        goto writer_next
    };
writer_ends_attempt: /* WB_FATE_FAILED */
    atomic {
        writer_failed(k);
        send_ends(k);
        goto writer_next
    };
out:
    writers--
}
