/* width.h - how many attempts in flight keep a base busy, found by how long they take.
 *
 * Plain data; the time is an argument, nanoseconds on a clock that never goes back; whoever calls holds the lock that
 * guards it. Every call costs the same, whatever the limit. */
#ifndef WB_WIDTH_H
#define WB_WIDTH_H

#include <stdbool.h>
#include <stdint.h>

typedef enum wb_width_phase {
    WB_WIDTH_REST = 0, /* at the limit that is believed in */
    WB_WIDTH_LOWER,    /* trying whether fewer would do */
    WB_WIDTH_HIGHER    /* trying whether more would help */
} wb_width_phase;

/* One measurement of how long attempts take, in slices that are compared with each other. */
#define WB_WIDTH_SLICES 5
typedef struct wb_width_window {
    unsigned settling;     /* attempts that end before it begins, for they began before the limit was what it is */
    int64_t settled_by_ns; /* it begins then, in any case; 0: not known */
    int64_t begun_ns, slice_begun_ns;
    unsigned slice;     /* that is being filled */
    unsigned doublings; /* how often the slices were made twice as long */
    unsigned counts[WB_WIDTH_SLICES];
    int64_t sums_ns[WB_WIDTH_SLICES];
} wb_width_window;

typedef struct wb_width {
    unsigned ceiling, floor;
    unsigned limit;     /* attempts in flight now, at most: read this */
    unsigned rest;      /* the limit that is believed in */
    int64_t latency_ns; /* what they take at `rest`; 0: not known */
    wb_width_phase phase;
    bool found;     /* the last search for fewer came to the limit it began with */
    bool timed_out; /* a time-out narrowed it, and no comparison has been made since */
    wb_width_window window;

    /* resting */
    unsigned windows;    /* that latency_ns is the mean of */
    int64_t recent_ns;   /* mean of the last few */
    int shifted;         /* it rests anew since attempts take longer (1) or less long (-1) than they did */
    int64_t due_ns;      /* when to compare again */
    int64_t interval_ns; /* doubles while nothing changes */
    int64_t halved_ns;   /* when a time-out narrowed it last */

    /* trying fewer */
    unsigned stands; /* the limit at which the search began */
    unsigned top;    /* a limit known to be enough */

    /* trying more */
    unsigned highers; /* trials since the limit changed or fewer were tried */
    uint64_t more100; /* places that the last few of them found, in hundredths: */
    unsigned mores;   /* so many */
    int64_t again_ns; /* what the first window of this trial said; 0: this is the first */
    bool growing;     /* the trial before this one helped */
} wb_width;

void wb_width_init(wb_width *w, unsigned ceiling, int64_t now_ns);
void wb_width_ended(wb_width *w, int64_t took_ns, int64_t now_ns); /* one that tells how busy the base is */
void wb_width_spoil(wb_width *w, int64_t now_ns); /* fewer are in flight than the limit allows: measure nothing */
void wb_width_timed_out(wb_width *w, int64_t begun_ns, int64_t now_ns); /* as a sign that the base has too much to do */
void wb_width_restart(wb_width *w, int64_t now_ns);                     /* after an outage */

#endif
