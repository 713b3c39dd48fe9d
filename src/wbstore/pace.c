/* pace.c - what may be in flight: as many as keep the base busy (width.c), as many a second as it bears and as the host
 * allows (rate.c), and never more than the ceiling.
 *
 *     an attempt ends:  done, other  -> a measure of how long they take  -> width
 *                                    -> delivered                        -> rate
 *                       refused      -> rate
 *                       timed out    -> width, halved
 *
 * While a rate holds attempts back, the number in flight is no bound and width measures nothing; it is bounded
 * nonetheless, by twice what the rate and the latency make and some more, so that a throttled base that slows down does
 * not collect the ceiling.
 *
 * Stragglers: one that has been overtaken by eight times as many as may be in flight is slow for a reason of its own. It
 * gives its place to another one, though not above the ceiling, and is no measure of anything. Overtaken, not old: when
 * everything stalls nobody overtakes, and hardly more is sent into the stall. Hardly: all that are in flight may be such
 * blobs, so when nothing has ended for eight latencies the oldest gives up its place, the next one after twice that time,
 * and so on. Attempts are listed in the order they began, so only the head of the list needs to be looked at.
 *
 * A base that answers at once has the processors for its bound: with more in flight they only take turns. Not while there are
 * stragglers, which take no processor.
 *
 * After an outage it begins with a few and one more for each that succeeds, so that who comes back is not run over. */
#include "wbstore/pace.h"
#include "blob/ctx.h"

#include <stddef.h>

#define PACE_STRAGGLER_NS INT64_C(20000000) /* not before that: a thread that was not scheduled is no straggler */
#define PACE_STRAGGLER_TURNS 8
#define PACE_S INT64_C(1000000000)
#define PACE_STALL_NS INT64_C(100000000)
#define PACE_STALL_MAX_NS PACE_S
#define PACE_RAMP 4
#define PACE_FAST_NS 100000
#define PACE_COST_MAX_S 1000000

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- stragglers ---- */

static void pace_unlink(wb_pace *p, wb_pace_node *node)
{
    *(node->prev != NULL ? &node->prev->next : &p->first) = node->next;
    *(node->next != NULL ? &node->next->prev : &p->last) = node->prev;
    node->prev = node->next = NULL;
}

static void pace_first_is_straggler(wb_pace *p)
{
    wb_pace_node *node = p->first;

    pace_unlink(p, node);
    node->straggler = true;
    p->stragglers++;
}

static void pace_find_stragglers(wb_pace *p, int64_t now_ns)
{
    uint64_t turns = PACE_STRAGGLER_TURNS * (uint64_t)wb_pace_limit(p);

    while (p->first != NULL && p->succeeded - p->first->succeeded > turns &&
           now_ns - p->first->begun_ns > PACE_STRAGGLER_NS)
        pace_first_is_straggler(p);
}

/* Something was answered: that is no stall. */
static void pace_moves(wb_pace *p, int64_t now_ns)
{
    p->moved_ns = now_ns;
    p->stall_ns = PACE_STRAGGLER_TURNS * p->latency_ns;
    if (p->stall_ns < PACE_STALL_NS)
        p->stall_ns = PACE_STALL_NS;
}

/* Too many are in flight, but not the ceiling. True: one less now; else when that may be. */
static bool pace_stalls(wb_pace *p, int64_t now_ns, int64_t *until_ns)
{
    int64_t since_ns;

    if (p->first == NULL)
        return false;
    since_ns = p->first->begun_ns > p->moved_ns ? p->first->begun_ns : p->moved_ns;
    *until_ns = since_ns + p->stall_ns;
    if (now_ns < *until_ns)
        return false;
    pace_first_is_straggler(p);
    p->moved_ns = now_ns;
    if (p->stall_ns < PACE_STALL_MAX_NS)
        p->stall_ns *= 2;
    return true;
}

void wb_pace_init(wb_pace *p, unsigned ceiling, uint64_t puts_per_s, uint64_t bytes_per_s, int64_t now_ns)
{
    *p = (wb_pace){.ceiling = ceiling, .puts_per_s = puts_per_s, .bytes_per_s = bytes_per_s};
    wb_width_init(&p->width, ceiling, now_ns);
    pace_moves(p, now_ns);
    p->rate.starved_ns = now_ns;
    p->puts.next_ns = p->bytes.next_ns = now_ns;
}

/* ---- may one begin? ---- */

static unsigned pace_rate_limit(const wb_pace *p)
{
    uint64_t busy, latency_us = (uint64_t)p->latency_ns / 1000;

    if (p->rate.milli_per_s == 0 || p->latency_ns == 0)
        return p->ceiling;
    busy = p->rate.milli_per_s / 1000 * latency_us / 1000000 + p->rate.milli_per_s % 1000 * latency_us / 1000000000;
    return (unsigned)min_u64(2 * busy + 5, p->ceiling);
}

bool wb_pace_is_fast(const wb_pace *p)
{
    return p->latency_ns > 0 && p->latency_ns < PACE_FAST_NS && p->processors > 0 && p->stragglers == 0;
}

unsigned wb_pace_limit(const wb_pace *p)
{
    uint64_t limit = min_u64(pace_rate_limit(p), p->width.limit);

    if (wb_pace_is_fast(p))
        limit = min_u64(limit, p->processors);
    return (unsigned)(p->ramp > 0 ? min_u64(limit, p->ramp) : limit);
}

static wb_pace_reason pace_width_reason(const wb_pace *p)
{
    if (p->width.timed_out)
        return WB_PACE_NARROWED_TIMED_OUT;
    if (p->width.rest < p->ceiling)
        return WB_PACE_NARROWED;
    return p->width.found ? WB_PACE_CEILING : WB_PACE_STARTING;
}

/* Too many are in flight. */
static void pace_is_full(wb_pace *p, int64_t now_ns)
{
    unsigned busy = p->in_flight - p->stragglers;

    if (p->in_flight < p->ceiling && busy < p->width.limit && busy >= pace_rate_limit(p)) {
        p->rate.bound = true;
        p->reason = WB_PACE_THROTTLED;
    } else {
        p->rate.unbound = true;
        p->reason = p->in_flight < p->ceiling && busy < p->width.limit ? WB_PACE_NARROWED : pace_width_reason(p);
    }
    if (p->in_flight < p->ceiling && busy < p->width.limit)
        wb_width_spoil(&p->width, now_ns);
}

static void pace_wait_for(wb_pace *p, int64_t next_ns, wb_pace_reason reason, int64_t now_ns, int64_t *until_ns)
{
    if (next_ns <= now_ns || (*until_ns != WB_NEVER && *until_ns >= next_ns))
        return;
    *until_ns = next_ns;
    p->reason = reason;
}

int64_t wb_pace_host_due_ns(const wb_pace *p)
{
    int64_t puts_ns = p->puts_per_s > 0 ? p->puts.next_ns : 0, bytes_ns = p->bytes_per_s > 0 ? p->bytes.next_ns : 0;

    return puts_ns > bytes_ns ? puts_ns : bytes_ns;
}

bool wb_pace_may_begin(wb_pace *p, int64_t now_ns, int64_t *until_ns)
{
    if (p->in_flight >= p->ceiling || p->in_flight - p->stragglers >= wb_pace_limit(p)) {
        *until_ns = WB_NEVER;
        pace_is_full(p, now_ns);
        if (p->in_flight >= p->ceiling || !pace_stalls(p, now_ns, until_ns))
            return false;
    }
    *until_ns = WB_NEVER;
    if (p->rate.milli_per_s > 0)
        pace_wait_for(p, p->rate.spacing.next_ns, WB_PACE_THROTTLED, now_ns, until_ns);
    pace_wait_for(p, wb_pace_host_due_ns(p), WB_PACE_HOST, now_ns, until_ns);
    if (*until_ns == WB_NEVER)
        return true;
    if (p->reason == WB_PACE_THROTTLED)
        p->rate.bound = true;
    else
        p->rate.starved_ns = now_ns; /* to the rate it is as if there were no work */
    wb_width_spoil(&p->width, now_ns);
    return false;
}

void wb_pace_no_work(wb_pace *p, int64_t now_ns)
{
    p->rate.starved_ns = now_ns;
    wb_width_spoil(&p->width, now_ns);
}

/* ---- begin ---- */

/* What so many units take at so many a second. */
static int64_t pace_cost_ns(uint64_t units, uint64_t per_s)
{
    uint64_t seconds = min_u64(units / per_s, PACE_COST_MAX_S), rest = units % per_s;

    while (rest > UINT64_MAX / (uint64_t)PACE_S) {
        rest /= 2;
        per_s /= 2;
    }
    return (int64_t)(seconds * (uint64_t)PACE_S + rest * (uint64_t)PACE_S / per_s);
}

void wb_pace_begin(wb_pace *p, wb_pace_node *node, uint64_t size, int64_t now_ns)
{
    *node = (wb_pace_node){.prev = p->last, .begun_ns = now_ns, .succeeded = p->succeeded};
    *(p->last != NULL ? &p->last->next : &p->first) = node;
    p->last = node;
    p->in_flight++;
    wb_rate_begin(&p->rate, now_ns);
    if (p->puts_per_s > 0)
        wb_spacing_take(&p->puts, pace_cost_ns(1, p->puts_per_s), now_ns);
    if (p->bytes_per_s > 0)
        wb_spacing_take(&p->bytes, pace_cost_ns(size, p->bytes_per_s), now_ns);
}

/* ---- end ---- */

static void pace_answered(wb_pace *p, const wb_pace_node *node, int64_t now_ns)
{
    int64_t took_ns = now_ns - node->begun_ns;

    if (!node->straggler) {
        p->latency_ns += (took_ns - p->latency_ns) / (p->latency_ns > 0 ? 16 : 1);
        wb_width_ended(&p->width, took_ns, now_ns);
    }
    pace_moves(p, now_ns);
    wb_rate_delivered(&p->rate, node->begun_ns, p->latency_ns, now_ns);
    if (p->ramp > 0 && ++p->ramp >= p->width.limit)
        p->ramp = 0;
}

void wb_pace_end(wb_pace *p, wb_pace_node *node, wb_pace_verdict verdict, bool own_fault, int64_t now_ns)
{
    bool alone; /* nothing has succeeded since it began */

    if (verdict == WB_PACE_DONE)
        p->succeeded++;
    pace_find_stragglers(p, now_ns);
    p->in_flight--;
    if (node->straggler)
        p->stragglers--;
    else
        pace_unlink(p, node);
    alone = p->succeeded == node->succeeded;
    if (verdict == WB_PACE_DONE || verdict == WB_PACE_OTHER) {
        pace_answered(p, node, now_ns);
    } else if (verdict == WB_PACE_REFUSED && !own_fault) {
        wb_rate_refused(&p->rate, node->begun_ns, p->latency_ns, now_ns);
        wb_width_spoil(&p->width, now_ns);
    } else if (verdict == WB_PACE_TIMED_OUT && !own_fault && (alone || !node->straggler)) {
        wb_width_timed_out(&p->width, node->begun_ns, now_ns);
    }
}

void wb_pace_restart(wb_pace *p, int64_t now_ns)
{
    if (p->rate.spacing.next_ns > now_ns)
        p->rate.spacing.next_ns = now_ns; /* that is what the probes cost, which asked nobody */
    wb_rate_restart(&p->rate, now_ns);
    wb_width_restart(&p->width, now_ns);
    p->ramp = PACE_RAMP;
}
