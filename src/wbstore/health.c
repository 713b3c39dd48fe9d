/* health.c - whether the base as a whole is down, and how long to wait before it is tried again.
 *
 *     up --(five failures in a row, no success between)--> down --(one answer)--> up
 *
 * While it is down there is one attempt at a time, another blob each time, with backoff between them: an outage costs
 * a countable number of attempts, and a blob that fails for a reason of its own cannot make the base look down for
 * long. Each turn is counted, so that the events tell of every one, in order, however late they are delivered. */
#include "wbstore/health.h"

#include <string.h>

#define HEALTH_FAILURES_MAX 5

static uint64_t health_random(wbstore *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random;
}

int64_t wb_backoff_due_ns(wbstore *w, unsigned number, int64_t retry_after_ms)
{
    int64_t cap_ms = w->options.retry_min_ms, now_ns = wb_time_ns(w), wait_ns;

    for (; number > 1 && cap_ms < w->options.retry_max_ms; number--)
        cap_ms = cap_ms > w->options.retry_max_ms / 2 ? w->options.retry_max_ms : 2 * cap_ms;
    wait_ns = (int64_t)(health_random(w) % ((uint64_t)wb_after_ms(0, cap_ms) + 1));
    if (retry_after_ms > wait_ns / 1000000)
        return wb_after_ms(now_ns, retry_after_ms);
    return wait_ns < WB_NEVER - now_ns ? now_ns + wait_ns : WB_NEVER;
}

void wb_base_answered(wbstore *w)
{
    w->failures = 0;
    if (!w->down)
        return;
    w->down = false;
    wb_pace_restart(&w->pace, wb_time_ns(w));
    w->base_turns++;
    wb_ledger_all_queued(&w->ledger); /* what failed in the outage did so for no reason of its own */
    wb_urgent_again(w);
    wb_news(w);
}

void wb_base_failed(wbstore *w, int status, int64_t retry_after_ms, const char *text, bool probe)
{
    if (!w->down && ++w->failures >= HEALTH_FAILURES_MAX) {
        w->down = true;
        w->probes = 0;
        w->base_turns++;
        probe = true;
        wb_news(w);
    }
    if (!w->down)
        return;
    w->down_status = status;
    memcpy(w->down_text, text, sizeof w->down_text);
    if (probe)
        wb_probe_failed(w, retry_after_ms);
}

void wb_probe_failed(wbstore *w, int64_t retry_after_ms)
{
    w->probe_due_ns = wb_backoff_due_ns(w, ++w->probes, retry_after_ms);
}
