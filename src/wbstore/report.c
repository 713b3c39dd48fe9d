/* report.c - what the wrapper tells of itself: statistics, and what is pending. */
#include "blob/status.h"
#include "blob/store.h"
#include "wbstore/wrapper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REPORT_WINDOW_NS INT64_C(4900000000)

static const wb_entry *report_oldest(const wbstore *w)
{
    const wb_entry *active = w->ledger.active.head, *parked = w->ledger.parked.head;

    if (active == NULL || parked == NULL)
        return active != NULL ? active : parked;
    return active->order < parked->order ? active : parked;
}

static wbstore_concurrency report_reason(const wbstore *w)
{
    static const wbstore_concurrency reasons[] = {
        [WB_PACE_STARTING] = WBSTORE_CONCURRENCY_LEARNING,
        [WB_PACE_CEILING] = WBSTORE_CONCURRENCY_MAX,
        [WB_PACE_NARROWED] = WBSTORE_CONCURRENCY_BASE,
        [WB_PACE_THROTTLED] = WBSTORE_CONCURRENCY_THROTTLED,
        [WB_PACE_NARROWED_TIMED_OUT] = WBSTORE_CONCURRENCY_TIMEOUT,
        [WB_PACE_HOST] = WBSTORE_CONCURRENCY_OPTIONS,
    };

    if (w->paused)
        return WBSTORE_CONCURRENCY_PAUSED;
    return w->down ? WBSTORE_CONCURRENCY_DOWN : reasons[w->pace.reason];
}

static void report_base(const wbstore *w, wbstore_stats *s)
{
    int64_t now_ns = wb_time_ns(w);
    wb_latency_figures latency;
    wb_flow_rate flow;

    wb_latency_look(&w->latency, now_ns, &latency);
    wb_flow_look(&w->flow, REPORT_WINDOW_NS, now_ns, &flow);
    s->base_p50_us = latency.p50_ns / 1000;
    s->base_p99_us = latency.p99_ns / 1000;
    s->base_max_us = latency.max_ns / 1000;
    s->sent_milliblobs_per_s = flow.milliblobs_per_s;
    s->sent_bytes_per_s = flow.bytes_per_s;
    s->concurrency_reason = report_reason(w);
    s->concurrency = w->paused ? 0 : w->down ? 1 : wb_pace_limit(&w->pace);
}

static void report_fill(const wbstore *w, wbstore_stats *s)
{
    const wb_entry *oldest = report_oldest(w);

    s->accepted = w->accepted;
    s->deduplicated = w->deduplicated;
    s->resumed = w->resumed;
    s->sent = w->sent;
    s->deleted = w->deleted;
    s->retries = w->retries;
    s->parked = w->ledger.parked_blobs;
    s->pending_blobs = w->ledger.active_blobs + w->ledger.parked_blobs;
    s->pending_bytes = w->ledger.bytes;
    s->in_flight = w->ledger.sending;
    s->oldest_age_ms = oldest != NULL ? wb_time_ms(w) - (int64_t)oldest->since_ms : 0;
    s->last_status = w->last_status;
    memcpy(s->last_text, w->last_text, sizeof s->last_text);
    s->last_age_ms = w->last_status != 0 ? (wb_time_ns(w) - w->last_ns) / 1000000 : 0;
    s->room_waiters = wb_room_waiters(w);
    report_base(w, s);
}

void wbstore_get_stats(wbstore *w, wbstore_stats *out)
{
    wbstore_stats stats;

    if (out == NULL || out->struct_size < sizeof out->struct_size)
        return;
    memset(&stats, 0, sizeof stats);
    stats.struct_size = out->struct_size < sizeof stats ? out->struct_size : sizeof stats;
    if (w != NULL && !wb_fork_guard_is_child(&w->guard)) {
        pthread_mutex_lock(&w->lock);
        report_fill(w, &stats);
        pthread_mutex_unlock(&w->lock);
    }
    if (out->struct_size > sizeof stats)
        memset((unsigned char *)out + sizeof stats, 0, out->struct_size - sizeof stats);
    memcpy(out, &stats, stats.struct_size);
}

/* ---- what is pending ---- */

/* A snapshot in one allocation: an info for each blob, then the bytes of the keys, then the texts. */
typedef struct snapshot {
    wbstore_pending_info *infos;
    unsigned char *keys;
    char (*texts)[sizeof((blob_error *)0)->text];
    size_t count;
} snapshot;

static void snapshot_add(snapshot *s, const wb_entry *e, int64_t now_ms)
{
    wbstore_pending_info *info = &s->infos[s->count++];

    *info = (wbstore_pending_info){
        .key = blob_key_of(s->keys, e->key_size),
        .size = e->size,
        .state = (wbstore_state)e->state,
        .age_ms = now_ms - (int64_t)e->since_ms,
        .text = "",
    };
    memcpy(s->keys, e->key, e->key_size);
    s->keys += e->key_size;
    if (e->attempt == NULL)
        return;
    info->attempts = e->attempt->number;
    info->status = e->attempt->status;
    info->text = memcpy(*s->texts, e->attempt->text, sizeof *s->texts);
    s->texts++;
}

static void snapshot_fill(snapshot *s, const wb_ledger *l, int64_t now_ms)
{
    const wb_entry *active = l->active.head, *parked = l->parked.head;

    while (active != NULL || parked != NULL) {
        bool take_active = parked == NULL || (active != NULL && active->order < parked->order);
        const wb_entry **from = take_active ? &active : &parked;

        snapshot_add(s, *from, now_ms);
        *from = (*from)->next;
    }
}

/* Memory is taken with no lock held, so the ledger may have outgrown it: then once more. */
static int snapshot_take(wbstore *w, snapshot *s)
{
    size_t blobs = 0, key_bytes = 0, texts = 0;
    uint64_t bytes;
    wb_ledger *l = &w->ledger;

    *s = (snapshot){.infos = NULL};
    pthread_mutex_lock(&w->lock);
    while (s->infos == NULL || blobs < l->active_blobs + l->parked_blobs || key_bytes < l->key_bytes ||
           texts < l->attempts) {
        blobs = (size_t)(l->active_blobs + l->parked_blobs) + 16; /* they are in memory */
        key_bytes = (size_t)l->key_bytes + (size_t)16 * BLOB_KEY_MAX;
        texts = l->attempts + 16;
        pthread_mutex_unlock(&w->lock);
        free(s->infos);
        bytes = (uint64_t)blobs * sizeof *s->infos + key_bytes + (uint64_t)texts * sizeof *s->texts;
        s->infos = bytes <= PTRDIFF_MAX ? malloc((size_t)bytes) : NULL;
        if (s->infos == NULL)
            return blob_fail(-ENOMEM, 0, "no memory to show %zu pending blobs", blobs);
        pthread_mutex_lock(&w->lock);
    }
    s->keys = (unsigned char *)(s->infos + blobs);
    s->texts = (void *)(s->keys + key_bytes);
    snapshot_fill(s, l, wb_time_ms(w));
    pthread_mutex_unlock(&w->lock);
    return 0;
}

int wbstore_pending(wbstore *w, int (*fn)(void *arg, const wbstore_pending_info *info), void *arg)
{
    uint64_t mark = wb_status_mark();
    snapshot s;
    int rc, verdict = 0;

    if (w == NULL || fn == NULL)
        return blob_fail(-EINVAL, 0, "pending: no wrapper or no callback");
    if (wb_fork_guard_is_child(&w->guard))
        return wb_closed(w);
    if ((rc = snapshot_take(w, &s)) != 0)
        return rc;
    for (size_t i = 0; verdict == 0 && i < s.count; i++)
        verdict = fn(arg, &s.infos[i]);
    free(s.infos);
    return verdict != 0 ? wb_status_settle(mark, wb_list_end(verdict)) : 0;
}

int wbstore_retry_parked(wbstore *w)
{
    int rc = w != NULL ? wb_closed(w) : blob_fail(-EINVAL, 0, "retry_parked: no wrapper");
    uint64_t last;

    if (rc != 0)
        return rc;
    pthread_mutex_lock(&w->lock);
    last = w->ledger.parked.tail != NULL ? w->ledger.parked.tail->order : 0;
    wb_ledger_all_unparked(&w->ledger);
    wb_urgent_again(w);
    (void)wb_hurry(w, last); /* now: they have dwelt */
    wb_unlock_and_work(w);
    return 0;
}
