/* meter.c - counts that forget: rings of counters, each for a span of time, and whatever time has passed over is empty.
 *
 *     flow       | 0.1 s | 0.1 s | ... | now |      blobs and bytes of each tenth of a second
 *     latency    | half a minute | half a minute up to now |     a histogram each
 *
 * Nothing is averaged on the way, so nothing has to decay: what lies before the window does not count at all. */
#include "wbstore/meter.h"

#include <string.h>

/* ---- flow ---- */

static int64_t flow_slot(int64_t now_ns)
{
    return now_ns / WB_FLOW_SLOT_NS;
}

void wb_flow_add(wb_flow *f, uint64_t bytes, int64_t now_ns)
{
    int64_t slot = flow_slot(now_ns);

    if (slot - f->newest >= WB_FLOW_SLOTS)
        f->newest = slot - WB_FLOW_SLOTS;
    while (f->newest < slot) {
        f->newest++;
        f->blobs[f->newest % WB_FLOW_SLOTS] = 0;
        f->bytes[f->newest % WB_FLOW_SLOTS] = 0;
    }
    f->blobs[slot % WB_FLOW_SLOTS]++;
    f->bytes[slot % WB_FLOW_SLOTS] += bytes;
}

void wb_flow_look(const wb_flow *f, int64_t window_ns, int64_t now_ns, wb_flow_rate *out)
{
    int64_t slot = flow_slot(now_ns), slots = window_ns / WB_FLOW_SLOT_NS, first, span_ms;
    uint64_t bytes = 0;

    if (slots > WB_FLOW_SLOTS - 1)
        slots = WB_FLOW_SLOTS - 1;
    *out = (wb_flow_rate){.blobs = 0};
    first = slot - slots;
    for (int64_t i = first < 0 ? 0 : first; i <= f->newest; i++) { /* none of them older than the ring is long */
        out->blobs += f->blobs[i % WB_FLOW_SLOTS];
        bytes += f->bytes[i % WB_FLOW_SLOTS];
    }
    span_ms = (now_ns - first * WB_FLOW_SLOT_NS) / 1000000;
    if (span_ms > 0) {
        out->milliblobs_per_s = out->blobs * 1000000 / (uint64_t)span_ms;
        out->bytes_per_s = bytes / (uint64_t)span_ms * 1000 + bytes % (uint64_t)span_ms * 1000 / (uint64_t)span_ms;
    }
}

/* ---- latency ---- */

static unsigned latency_bucket(int64_t ns)
{
    uint64_t us = ns > 0 ? (uint64_t)ns / 1000 : 0;
    unsigned doublings = 0;

    while (us >= 16) {
        us >>= 1;
        doublings++;
    }
    if (us < 8)
        return (unsigned)us;
    doublings = 8 * doublings + (unsigned)us;
    return doublings < WB_LATENCY_BUCKETS ? doublings : WB_LATENCY_BUCKETS - 1;
}

/* The upper end of a bucket. */
static int64_t latency_of_bucket(unsigned bucket)
{
    if (bucket < 8)
        return ((int64_t)bucket + 1) * 1000;
    return ((int64_t)(bucket % 8 + 9) << (bucket / 8 - 1)) * 1000;
}

static void latency_half_clear(wb_latency_half *half)
{
    memset(half, 0, sizeof *half);
}

void wb_latency_add(wb_latency *l, int64_t ns, int64_t now_ns)
{
    int64_t turn = now_ns / WB_LATENCY_HALF_NS;
    wb_latency_half *half = &l->halves[turn & 1];
    uint32_t *count = &half->counts[latency_bucket(ns)];

    if (turn != l->turn) {
        latency_half_clear(half);
        if (turn != l->turn + 1)
            latency_half_clear(&l->halves[(turn & 1) ^ 1]);
        l->turn = turn;
    }
    *count += *count < UINT32_MAX;
    if (ns > half->max_ns)
        half->max_ns = ns;
}

static int64_t latency_at(const wb_latency_half *const halves[2], uint64_t rank, int64_t max_ns)
{
    uint64_t below = 0;

    for (unsigned i = 0; i < WB_LATENCY_BUCKETS; i++) {
        for (unsigned h = 0; h < 2; h++)
            below += halves[h] != NULL ? halves[h]->counts[i] : 0;
        if (below >= rank)
            return i < WB_LATENCY_BUCKETS - 1 && latency_of_bucket(i) < max_ns ? latency_of_bucket(i) : max_ns;
    }
    return max_ns;
}

void wb_latency_look(const wb_latency *l, int64_t now_ns, wb_latency_figures *out)
{
    int64_t passed = now_ns / WB_LATENCY_HALF_NS - l->turn;
    const wb_latency_half *halves[2] = {
        passed <= 1 ? &l->halves[l->turn & 1] : NULL,      /* was filling when it was added to last */
        passed == 0 ? &l->halves[(l->turn & 1) ^ 1] : NULL /* the one before that */
    };

    *out = (wb_latency_figures){.count = 0};
    for (unsigned h = 0; h < 2; h++) {
        for (unsigned i = 0; halves[h] != NULL && i < WB_LATENCY_BUCKETS; i++)
            out->count += halves[h]->counts[i];
        if (halves[h] != NULL && halves[h]->max_ns > out->max_ns)
            out->max_ns = halves[h]->max_ns;
    }
    if (out->count == 0)
        return;
    out->p50_ns = latency_at(halves, (out->count + 1) / 2, out->max_ns);
    out->p99_ns = latency_at(halves, out->count - out->count / 100, out->max_ns);
}
