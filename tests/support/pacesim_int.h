/* pacesim_int.h - the inside of the simulation: its state, and what its two files offer each other. */
#ifndef PACESIM_INT_H
#define PACESIM_INT_H

#include "pacesim.h"

typedef struct sim_blob {
    int64_t due_ns;
    unsigned failures;
    uint64_t succeeded; /* when it failed last */
} sim_blob;

typedef struct sim_attempt {
    wb_pace_node node; /* first */
    sim_blob blob;
    wb_pace_verdict verdict;
    int64_t service_ns, extra_ns;
    bool placed, probe;
    struct sim_attempt *next; /* waiting for a place, or free */
} sim_attempt;

typedef struct sim_event {
    int64_t at_ns;
    uint64_t order;
    sim_attempt *attempt;
    bool answer; /* else: the end of its service */
} sim_event;

struct pacesim {
    wb_pace pace;
    pacesim_base base;
    test_rng rng;
    int64_t now_ns;
    unsigned ceiling;
    uint64_t size;

    sim_attempt *attempts, *unused, *queue, **queue_end;
    sim_event *events; /* a heap */
    size_t event_count;
    uint64_t order;

    sim_blob *retries; /* a heap */
    size_t retry_count, retry_room;
    uint64_t work_per_s;
    int64_t work_ns; /* when the next blob comes */

    unsigned busy;
    int64_t pause_from_ns, pause_until_ns;
    int64_t tokens_ns; /* a bucket's level, in time */
    int64_t tokens_at_ns, window;
    uint64_t window_count;

    bool health, down;
    bool probing;
    unsigned in_a_row, probes;
    int64_t probe_due_ns;

    pacesim_figures figures;
};

/* pacesim_base.c */
double pacesim_unit(pacesim *s);        /* 0 to 1, without it */
double pacesim_exponential(pacesim *s); /* of mean 1 */
void pacesim_schedule(pacesim *s, sim_attempt *a, bool answer, int64_t at_ns);
sim_event pacesim_next_event(pacesim *s);
void pacesim_takes(pacesim *s, sim_attempt *a);  /* an attempt comes to the base: its answer is an event to come */
void pacesim_served(pacesim *s, sim_attempt *a); /* its place is free, its answer on the way */

#endif
