/* pacesim.h - a base and a writer on a virtual clock, to see what wb_pace makes of them.
 *
 * The writer begins an attempt whenever the pace lets it, retries what was refused with backoff, and otherwise never
 * lacks work unless told to. The base has places, service times, a throttle and bad habits. All of it is reckoned, none
 * of it waited for: a minute of uploads takes some milliseconds, and the same seed gives the same minute. */
#ifndef PACESIM_H
#define PACESIM_H

#include "testutil.h"
#include "wbstore/pace.h"

#define PACESIM_MS INT64_C(1000000)
#define PACESIM_S INT64_C(1000000000)

typedef enum pacesim_spread {
    PACESIM_CONSTANT,
    PACESIM_UNIFORM,    /* half to one and a half of the mean */
    PACESIM_EXPONENTIAL /* of the mean */
} pacesim_spread;

typedef enum pacesim_throttle {
    PACESIM_BUCKET, /* of tokens, a tenth of a second's or one */
    PACESIM_WINDOW  /* so many in each second of the clock */
} pacesim_throttle;

/* May be changed between runs. */
typedef struct pacesim_base {
    unsigned places; /* served at a time, in their order; 0: all */
    int64_t service_ns;
    pacesim_spread spread;
    int64_t noise_ns; /* one in noise_in takes that much longer, without a place */
    unsigned noise_in;
    int64_t pause_ns; /* from time to time nothing ends for that long, */
    int64_t pause_every_ns;
    unsigned straggler_in; /* one in so many takes straggler_ns, without a place */
    int64_t straggler_ns;
    unsigned failing_percent; /* of the blobs: never taken */
    bool fails_at_once;       /* after no time, without a place */
    uint64_t per_s;           /* throttled above; 0: not */
    pacesim_throttle throttle;
    bool refuses_late;      /* after as long as it takes to take one; else at once */
    unsigned timing_out_in; /* one in so many is never answered, and given up after timeout_ns */
    int64_t timeout_ns;
    unsigned refusing_in; /* one in so many is refused, whatever the rate */
    bool out;             /* of order: all are refused */
} pacesim_base;

/* Since they were last reset. */
typedef struct pacesim_figures {
    double in_flight, busy, stragglers; /* on average */
    unsigned in_flight_max;
    uint64_t begun, done, failed, refused;
    double seconds, done_per_s;
    double refused_share; /* of what was begun */
} pacesim_figures;

typedef struct pacesim pacesim;

pacesim *pacesim_new(uint64_t seed, unsigned ceiling, const pacesim_base *base);
pacesim *pacesim_new_limited(uint64_t seed, unsigned ceiling, const pacesim_base *base, uint64_t puts_per_s,
                             uint64_t bytes_per_s, uint64_t size);
void pacesim_free(pacesim *s);
pacesim_base *pacesim_base_of(pacesim *s);
wb_pace *pacesim_pace(pacesim *s);
void pacesim_work(pacesim *s, uint64_t per_s); /* blobs that come, evenly, from here on; 0: never a lack */
/* From here on five refusals in a row are an outage, as to the wrapper: one attempt at a time, with backoff. */
void pacesim_health(pacesim *s);
bool pacesim_is_down(const pacesim *s);
/* Runs for so long; the figures are of that time. */
pacesim_figures pacesim_run(pacesim *s, int64_t ns);

#endif
