/* lincheck.h - is there an order in which these calls, made by many threads at once, could have been made by one?
 *
 * A history is what was called, when each call began and when it ended, and what it said. It is linearizable if every
 * call can be given a moment between its beginning and its end so that a store which carries out the calls one after
 * the other, in the order of these moments, gives the same answers. That is what a store promises (blob_store.h), and
 * what a write-behind wrapper has to keep up although every blob of its is in two places on its way. Keys do not share
 * state, so a history is right if it is right for each key alone.
 *
 * A call that failed without a clear answer, or was cut off, may have its moment at any time from its beginning on
 * until `until`, or none at all. A call that was refused, and a read that failed, say nothing: leave them out.
 *
 * A sync is a barrier, not a call on a key. What it promises is checked by looks: after a sync that returned 0, whoever
 * made it looks into the base itself. A base that has not got the key is right only if the key was absent at some moment
 * behind every put that returned before the sync began. A delete goes to the base first: leave out a look whose end came
 * in the middle of one. */
#ifndef LINCHECK_H
#define LINCHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIN_ABSENT 0         /* the value of a key that is not there */
#define LIN_NEVER UINT64_MAX /* the tick that does not come */

typedef enum lin_kind {
    LIN_PUT,    /* the key has value from here on, whatever it had; it returned 0 */
    LIN_GET,    /* it has value; LIN_ABSENT: not found */
    LIN_SIZE,   /* likewise, told by the size of the bytes */
    LIN_DELETE, /* value LIN_ABSENT: not found; else it was there, whatever the value, and is no more */
    LIN_LOOK    /* a look into the base after a sync that found nothing there. begun: when the sync began; ended: when
                   the look did */
} lin_kind;

typedef struct lin_op {
    lin_kind kind;
    unsigned key;    /* any number */
    unsigned thread; /* for people */
    bool unsure;     /* put, delete: may or may not have happened */
    bool blind;      /* delete: it happened, and whether it found something is not to be looked at */
    uint64_t value;
    /* Ticks of one clock. Of two calls one came before the other if it ended at an earlier tick than the other began. */
    uint64_t begun, ended;
    uint64_t until; /* unsure: what begins later finds it done, or never done; LIN_NEVER: no such time */
} lin_op;

typedef enum lin_verdict {
    LIN_RIGHT,
    LIN_WRONG,
    LIN_TOO_HARD /* gave up: neither was found in the steps allowed */
} lin_verdict;

typedef struct lin_result {
    lin_verdict verdict;
    uint64_t steps;  /* of the key that took most */
    unsigned key;    /* of the first key that is not right */
    char text[4000]; /* and how far its calls could be put in order; "" where all is right */
} lin_result;

/* Checks count calls in any order; no key may have more than 65,535 of them. steps_max: for each key, 0 for a few
 * million; each takes some hundred bytes of memory. No memory is LIN_TOO_HARD. Every key was absent at first. */
lin_verdict lin_check(const lin_op *ops, size_t count, uint64_t steps_max, lin_result *out);

/* One line for a call, without an end of line. */
void lin_describe(const lin_op *op, char *text, size_t size);

#endif
