/* meter.h - what the statistics tell of the base: how much goes there a second, and how long it takes for a blob.
 *
 * Plain data of a fixed size; the time is an argument, nanoseconds on a clock that never goes back; whoever calls holds
 * the lock that guards it. All zeroes is a meter that has seen nothing. Every call costs the same, whatever it has
 * seen. */
#ifndef WB_METER_H
#define WB_METER_H

#include <stdint.h>

/* ---- flow: blobs and bytes of the last seconds ---- */

#define WB_FLOW_SLOT_NS INT64_C(100000000)
#define WB_FLOW_SLOTS 50 /* a window is at most one less: 4.9 s */

typedef struct wb_flow {
    int64_t newest; /* the number of the newest slot: its time divided by WB_FLOW_SLOT_NS */
    uint32_t blobs[WB_FLOW_SLOTS];
    uint64_t bytes[WB_FLOW_SLOTS];
} wb_flow;

typedef struct wb_flow_rate {
    uint64_t blobs; /* in the window */
    uint64_t milliblobs_per_s, bytes_per_s;
} wb_flow_rate;

void wb_flow_add(wb_flow *f, uint64_t bytes, int64_t now_ns);
/* Of the window_ns before now and of the slot that has begun; before the first blob there was nothing. */
void wb_flow_look(const wb_flow *f, int64_t window_ns, int64_t now_ns, wb_flow_rate *out);

/* ---- latency: of the last minute or so ---- */

/* Buckets by microseconds: eight of a width in each doubling, so that a figure is at most an eighth too high. */
#define WB_LATENCY_BUCKETS 240
#define WB_LATENCY_HALF_NS INT64_C(30000000000)

typedef struct wb_latency_half {
    uint32_t counts[WB_LATENCY_BUCKETS];
    int64_t max_ns;
} wb_latency_half;

/* Two halves: the one that fills, and the one before it. Each half a minute the older one goes. */
typedef struct wb_latency {
    wb_latency_half halves[2];
    int64_t turn; /* the number of the half that fills; its parity says which it is */
} wb_latency;

typedef struct wb_latency_figures {
    uint64_t count;
    int64_t p50_ns, p99_ns, max_ns; /* 0 where there is none */
} wb_latency_figures;

void wb_latency_add(wb_latency *l, int64_t ns, int64_t now_ns);
void wb_latency_look(const wb_latency *l, int64_t now_ns, wb_latency_figures *out);

#endif
