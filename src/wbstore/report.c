/* report.c - what the wrapper tells of itself: statistics, and what is pending. */
#include "blob/store.h"
#include "wbstore/wrapper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const wb_entry *report_oldest(const wbstore *w)
{
    const wb_entry *active = w->ledger.active.head, *parked = w->ledger.parked.head;

    if (active == NULL || parked == NULL)
        return active != NULL ? active : parked;
    return active->order < parked->order ? active : parked;
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
    s->oldest_age_ms = oldest != NULL ? wb_now_ns() / 1000000 - (int64_t)oldest->since_ms : 0;
    s->last_status = w->last_status;
    memcpy(s->last_text, w->last_text, sizeof s->last_text);
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

static void snapshot_fill(snapshot *s, const wb_ledger *l)
{
    int64_t now_ms = wb_now_ns() / 1000000;
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
    wb_ledger *l = &w->ledger;

    *s = (snapshot){.infos = NULL};
    pthread_mutex_lock(&w->lock);
    while (s->infos == NULL || blobs < l->active_blobs + l->parked_blobs || key_bytes < l->key_bytes ||
           texts < l->attempts) {
        blobs = l->active_blobs + l->parked_blobs + 16;
        key_bytes = l->key_bytes + 16 * BLOB_KEY_MAX;
        texts = l->attempts + 16;
        pthread_mutex_unlock(&w->lock);
        free(s->infos);
        s->infos = malloc(blobs * sizeof *s->infos + key_bytes + texts * sizeof *s->texts);
        if (s->infos == NULL)
            return blob_fail(-ENOMEM, 0, "no memory to show %zu pending blobs", blobs);
        pthread_mutex_lock(&w->lock);
    }
    s->keys = (unsigned char *)(s->infos + blobs);
    s->texts = (void *)(s->keys + key_bytes);
    snapshot_fill(s, l);
    pthread_mutex_unlock(&w->lock);
    return 0;
}

int wbstore_pending(wbstore *w, int (*fn)(void *arg, const wbstore_pending_info *info), void *arg)
{
    snapshot s;
    int rc;

    if (w == NULL || fn == NULL)
        return blob_fail(-EINVAL, 0, "pending: no wrapper or no callback");
    if (wb_fork_guard_is_child(&w->guard))
        return wb_closed(w);
    rc = snapshot_take(w, &s);
    for (size_t i = 0; rc == 0 && i < s.count; i++)
        rc = fn(arg, &s.infos[i]);
    free(s.infos);
    return rc != 0 && s.infos != NULL ? wb_list_end(rc) : rc;
}

int wbstore_retry_parked(wbstore *w)
{
    int rc = w != NULL ? wb_closed(w) : blob_fail(-EINVAL, 0, "retry_parked: no wrapper");

    if (rc != 0)
        return rc;
    pthread_mutex_lock(&w->lock);
    while (w->ledger.parked.tail != NULL) /* from behind, so that each finds its place near the front */
        wb_ledger_move(&w->ledger, w->ledger.parked.tail, WBSTORE_QUEUED);
    wb_unlock_and_work(w);
    return 0;
}
