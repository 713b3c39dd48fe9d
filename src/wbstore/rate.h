/* rate.h - attempts at a rate: a meter that spaces them evenly, and how fast a base that throttles lets us be.
 *
 * Plain data; the time is an argument, nanoseconds on a clock that never goes back; whoever calls holds the lock that
 * guards it. All zeroes is a meter at rest, and a rate that is not engaged. */
#ifndef WB_RATE_H
#define WB_RATE_H

#include "wbstore/meter.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- spacing: the next may begin when its time has come, and its cost moves that on ---- */

typedef struct wb_spacing {
    int64_t next_ns;
} wb_spacing;

/* One begins. If it is late, that is made good by the ones after it, up to a hundredth of a second. */
void wb_spacing_take(wb_spacing *s, int64_t cost_ns, int64_t now_ns);

/* ---- the rate that a base bears ---- */

typedef struct wb_rate {
    uint64_t milli_per_s; /* thousandths of an attempt a second; 0: not engaged */
    wb_spacing spacing;
    wb_flow delivered;
    bool bound;         /* since the step began somebody had to wait for the rate: set this */
    bool unbound;       /* or had to wait, but not for the rate: set this */
    int64_t starved_ns; /* when there was no work last: what was delivered about then says little. Set this */

    uint64_t goal;       /* what the base is believed to bear; thousandths, too */
    bool known;          /* the goal was measured; else it is a guess on the low side */
    uint64_t refused_at; /* the rate at which it refused first in this episode */
    uint64_t leapt_from; /* the rate before a raise by more than a tenth, if that was the last change; else 0 */
    unsigned gain_percent;
    int64_t cut_ns;                      /* when the rate was cut last */
    uint64_t cut_delivered, cut_refused; /* since then, of what began since then */
    uint64_t cut_strays;                 /* of these, that may be strays */
    bool raised;                         /* since then */
    unsigned refused_in_a_row;
    uint64_t held_answers, held_strays; /* of what began between cuts and raises, the older the less */
    uint64_t stray;                     /* of 1,000; from these */
    uint64_t paid;                      /* for strays: thousandths of one */
    uint64_t sent, refused;             /* in this episode: cuts that follow each other within a second */
    int64_t step_ns;                    /* when the step began: since then the rate is what it is, or was confirmed */
    uint64_t step_delivered;            /* of what began since then */
    int64_t unbound_ns;                 /* how long it has not been what held attempts back */
} wb_rate;

void wb_rate_begin(wb_rate *r, int64_t now_ns);
/* The base took, or refused, an attempt that began then; latency_ns: what they take at present, 0: not known. */
void wb_rate_delivered(wb_rate *r, int64_t begun_ns, int64_t latency_ns, int64_t now_ns);
void wb_rate_refused(wb_rate *r, int64_t begun_ns, int64_t latency_ns, int64_t now_ns);
void wb_rate_restart(wb_rate *r, int64_t now_ns); /* after an outage: with what was believed before it */

#endif
