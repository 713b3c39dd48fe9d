/* wbstore.pml - the ledger's protocol, for Spin: puts, deletes, a read, a sync and a close at once over two keys, with
 * writers, a base that fails once and a buffer that may refuse a put. Every step is named by the function in src/wbstore
 * that it stands for.
 *
 * What a function does with the lock held is one atomic step, for nobody sees the middle of it; every call of a store is a
 * step of its own, and any other may come in between. A wait on a condition is a bit in the mask of those who sleep: who
 * broadcasts clears it, and nothing else wakes them but the end of the wrapper. So a broadcast that is missing leaves
 * somebody asleep for good, which Spin reports as an invalid end state. What puts bring are the same bytes each time, as it
 * is under a content address.
 *
 * Time is left out: what waits for its next attempt is due whenever chance will have it. So are parked blobs, room,
 * dwelling, an outage's probes, other failures of the buffer, and what a base does late (doubt.c).
 *
 * Checked in every state:
 *   lost          a put returned 0 and no delete has begun since: the buffer or the base has the blob
 *   synced        a put returned 0, then a sync began, which has returned 0: the base has it, or a delete undid it
 *   resurrected   a delete returned 0 or "not found", and no put overlapped it or began since: nobody has the blob
 *   missed        a reader finds a blob that was there throughout
 *   left          what is in the buffer pends, or somebody is at work on it
 *   hands         at most one upload or delete works on a key
 *   ends          (no invalid end state) every put, delete, read, sync and close comes to its end
 *
 * Two putters are always there; SAME_KEY gives them one key, PENDING a blob that was put before, FOUND one that the buffer
 * held at the start. DELETE, DELETE_TWICE, READ, SYNC and CLOSE say who else is, WRITERS how many there are (up to 2),
 * FAILURES how often the base fails, REFUSALS how often the buffer refuses a put. FAULT_... seed a bug each. The script
 * `check` runs what is worth running. */

#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef FAILURES
#define FAILURES 1
#endif
#ifndef REFUSALS
#define REFUSALS 0
#endif

#include "ledger.pml"
#include "writers.pml"
#include "callers.pml"

init
{
    atomic {
#ifdef PENDING
        buf[0] = true;
        last_ticket++;
        e[0].state = QUEUED;
        e[0].written = last_ticket;
        e[0].order = last_ticket;
        e[0].vouched = true;
        must[0] = true;
        there[0] = last_ticket;
#endif
#ifdef FOUND
        buf[0] = true;
        resuming = true;
        must[0] = true;
        there[0] = RESUMED;
        run Lister(0);
#endif
        writers = WRITERS;
#if WRITERS > 0
        run Writer(0);
#endif
#if WRITERS > 1
        run Writer(1);
#endif
        run Putter(2, 0);
#ifdef SAME_KEY
        run Putter(3, 0);
#else
        run Putter(3, 1);
#endif
#ifdef DELETE
        run Deleter(4, 0);
#endif
#ifdef DELETE_TWICE
        run Deleter(5, 0);
#endif
#ifdef READ
        run Reader(0);
#endif
#ifdef SYNC
        run Syncer(6);
#endif
#ifdef CLOSE
        run Closer();
#endif
        skip
    }
}
