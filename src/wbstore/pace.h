/* pace.h - how many uploads may be in flight, and when the next one may begin. Nobody has to tune it.
 *
 * Plain data; the time is an argument, nanoseconds on a clock that never goes back; whoever calls holds the lock that
 * guards it. Nothing here fails or allocates, and no call costs more where more is in flight. Used like this:
 *
 *     if (!wb_pace_may_begin(p, now, &until))   wait until then, or until an attempt ends
 *     else if (there is no work)                wb_pace_no_work(p, now), and wait for some
 *     else                                      wb_pace_begin(p, &attempt->pace, size, now)
 *     ... wb_pace_end(p, &attempt->pace, what became of it, later), after which more than one may perhaps begin */
#ifndef WB_PACE_H
#define WB_PACE_H

#include "wbstore/rate.h"
#include "wbstore/width.h"

#include <stdbool.h>
#include <stdint.h>

/* An attempt in flight: memory of the caller's, who leaves it alone from begin to end. */
typedef struct wb_pace_node {
    struct wb_pace_node *prev, *next; /* in the order they began; not if it is a straggler */
    int64_t begun_ns;
    uint64_t succeeded; /* attempts that had when it began */
    bool straggler;
} wb_pace_node;

typedef enum wb_pace_verdict {
    WB_PACE_DONE,      /* the base has the blob */
    WB_PACE_OTHER,     /* failed for a reason that has nothing to do with how much is asked of the base */
    WB_PACE_REFUSED,   /* the base throttles */
    WB_PACE_TIMED_OUT, /* -ETIMEDOUT: perhaps it has too much to do */
    WB_PACE_CALLED_OFF /* by us, or there was no answer: says nothing */
} wb_pace_verdict;

/* Why not more are in flight; what somebody had to wait for last. */
typedef enum wb_pace_reason {
    WB_PACE_STARTING, /* nothing is known yet */
    WB_PACE_CEILING,
    WB_PACE_NARROWED,           /* with more, attempts only took longer */
    WB_PACE_NARROWED_TIMED_OUT, /* attempts timed out */
    WB_PACE_THROTTLED,          /* the base refused, so there is a rate */
    WB_PACE_HOST                /* the host's own limits */
} wb_pace_reason;

typedef struct wb_pace {
    unsigned ceiling;
    unsigned processors;              /* 0: not known */
    uint64_t puts_per_s, bytes_per_s; /* may be changed at any time; 0: none */
    wb_pace_reason reason;
    unsigned in_flight;  /* read this, */
    unsigned stragglers; /* of these, */
    uint64_t succeeded;  /* and this: attempts that have, so far */

    wb_width width;
    wb_rate rate;
    unsigned ramp; /* in flight at most since a restart: one more for each that succeeds; 0: long since */
    wb_spacing puts, bytes;
    int64_t latency_ns;         /* of the recent attempts; 0: not known */
    int64_t moved_ns;           /* when one was answered, or given up for a straggler, last */
    int64_t stall_ns;           /* after that time without an answer the oldest is one */
    wb_pace_node *first, *last; /* in flight, but for the stragglers */
} wb_pace;

/* ceiling > 0: attempts in flight at most. The host's limits on what goes to the base: 0, none. */
void wb_pace_init(wb_pace *p, unsigned ceiling, uint64_t puts_per_s, uint64_t bytes_per_s, int64_t now_ns);

/* May one begin now? If not, *until_ns is when to ask again, or when one has ended; WB_NEVER: not before that. */
bool wb_pace_may_begin(wb_pace *p, int64_t now_ns, int64_t *until_ns);

/* One begins, allowed or not: a probe in an outage asks nobody. */
void wb_pace_begin(wb_pace *p, wb_pace_node *node, uint64_t size, int64_t now_ns);

/* own_fault: this blob is known to fail whatever the others do, so that its refusal or time-out is none of the base's.
 * That is for the caller to say: who saw it fail three times, and since the last time others succeed (`succeeded` has
 * moved on). Not after the first time: where most are refused, those that are tried again are refused again. */
void wb_pace_end(wb_pace *p, wb_pace_node *node, wb_pace_verdict verdict, bool own_fault, int64_t now_ns);

/* When the host's limits let the next begin; 0: there are none. */
int64_t wb_pace_host_due_ns(const wb_pace *p);
void wb_pace_no_work(wb_pace *p, int64_t now_ns); /* one might have begun, but there was nothing to send */
void wb_pace_restart(wb_pace *p, int64_t now_ns); /* the base is up again: go on with what was known before */

unsigned wb_pace_limit(const wb_pace *p); /* in flight at most, stragglers apart */
/* The base answers at once: what an attempt takes is mostly processors' time, and so many as there are of them do all. */
bool wb_pace_is_fast(const wb_pace *p);

#endif
