/* writer.c - the writer threads: they take what is ready, carry it to the base, and go when there is nothing to do.
 *
 *     pick (oldest first) -> SENDING -> upload, no lock held -> sent | gone | waiting | parked
 *
 * Writers beget writers: whoever leaves work behind, a put or a writer that has just picked, wakes an idle writer or
 * starts one, up to two at a time, so that a burst reaches a slow base at full width without a put ever starting more
 * than the first thread. A base that answers at once gets only as many as there are processors. Whoever leaves work
 * behind and adds no writer, for that bound or because all writers are busy and a put starts none, tells the
 * housekeeper, who adds one when those at work get stuck.
 *
 * The idle writer that went to sleep last is the timekeeper: it wakes when the next blob or probe is due. */
#include "wbstore/wrapper.h"

#include <errno.h>
#include "wbstore/health.h"

#include <stdlib.h>
#include <string.h>

#define WRITER_IDLE_MS 1000
#define WRITER_FAST_BASE_NS 100000 /* below this a base is limited by the processors, not by waiting */

struct wb_writer {
    wbstore *w;
    pthread_t thread;
    wb_writer *next;   /* among the finished */
    wb_attempt *spare; /* for the next entry that has none yet */
};

static void *writer_run(void *arg);

/* ---- what there is to do ---- */

/* The entry to send now, or NULL and when to look again. */
static wb_entry *writer_next(wbstore *w, int64_t now_ns, int64_t *until_ns)
{
    wb_entry *e = NULL;

    *until_ns = WB_NEVER;
    if (!w->down) {
        e = wb_ledger_next(&w->ledger, now_ns, false);
        if (e == NULL)
            *until_ns = wb_ledger_due_ns(&w->ledger);
    } else if (!w->probing) { /* one at a time; what hangs since before it went down does not count */
        e = wb_ledger_next(&w->ledger, now_ns, true);
        if (e != NULL && now_ns < w->probe_due_ns) {
            *until_ns = w->probe_due_ns;
            e = NULL;
        }
    }
    return e;
}

bool wb_work_is_ready(wbstore *w, int64_t now_ns)
{
    int64_t until_ns;

    return writer_next(w, now_ns, &until_ns) != NULL;
}

/* As many as a base that answers at once can use. */
static bool writers_are_enough(const wbstore *w)
{
    return w->base_latency_ns > 0 && w->base_latency_ns < WRITER_FAST_BASE_NS && w->writers - w->idle >= w->processors;
}

/* ---- starting and waking ---- */

static void writers_not_started(wbstore *w, unsigned count, int status)
{
    blob_error error;

    blob_last_error(&error);
    pthread_mutex_lock(&w->lock);
    w->writers -= count;
    for (; count > 0; count--)
        wb_thread_ends(w);
    wb_note_failure(w, status, error.text);
    /* The housekeeper tries again: those who are at work, if any, may be stuck. */
    w->spawn_due_ns = wb_after_ms(wb_now_ns(), w->options.retry_min_ms);
    wb_house_wake(w);
    pthread_mutex_unlock(&w->lock);
}

/* The new writers are counted already. */
static void writers_start(wbstore *w, unsigned count)
{
    for (; count > 0; count--) {
        wb_writer *writer = calloc(1, sizeof *writer);
        int rc = writer != NULL ? 0 : blob_fail(-ENOMEM, 0, "no memory for a writer");

        if (rc == 0) {
            pthread_t thread;
            writer->w = w;
            rc = wb_thread_start(&thread, writer_run, writer, w->options.writer_stack_bytes);
        }
        if (rc != 0) {
            free(writer);
            writers_not_started(w, count, rc);
            return;
        }
    }
}

static void writers_wake(wbstore *w, unsigned start_max, bool harder)
{
    unsigned start = 0;
    int64_t until_ns;
    bool ready, watch, may_add;

    if (w->ledger.active_blobs == 0 || w->writers - w->idle >= w->options.writers_max || blob_ctx_status(w->run) != 0) {
        pthread_mutex_unlock(&w->lock);
        return;
    }
    ready = writer_next(w, wb_now_ns(), &until_ns) != NULL;
    watch = until_ns != WB_NEVER && w->timekeeper == NULL;
    may_add = w->idle > 0 || start_max > 0;
    if (ready && !harder && (!may_add || writers_are_enough(w))) {
        if (!w->held_back)
            wb_house_wake(w);
        w->held_back = true;
    } else if (ready || watch) {
        if (w->idle > 0) {
            if (!w->signalled)
                pthread_cond_signal(&w->work);
            w->signalled = true;
        } else {
            while (start < start_max && w->writers < w->options.writers_max && start < w->ledger.active_blobs) {
                start++;
                w->writers++;
                w->threads++;
            }
        }
    }
    pthread_mutex_unlock(&w->lock);
    writers_start(w, start);
}

void wb_unlock_and_work(wbstore *w)
{
    writers_wake(w, w->resuming || w->writers == 0 ? 1 : 0, false);
}

void wb_unlock_and_work_harder(wbstore *w)
{
    writers_wake(w, 1, true);
}

void wb_writers_join_finished(wbstore *w)
{
    while (w->finished != NULL) {
        wb_writer *writer = w->finished;

        w->finished = writer->next;
        pthread_mutex_unlock(&w->lock);
        pthread_join(writer->thread, NULL);
        free(writer);
        pthread_mutex_lock(&w->lock);
    }
}

/* ---- one blob ---- */

static int64_t attempt_limit_ms(const wbstore *w, uint64_t size)
{
    return w->options.attempt_timeout_ms > 0 ? w->options.attempt_timeout_ms
                                             : 20000 + (int64_t)((size + (1 << 20) - 1) >> 20) * 1000;
}

static void attempt_failed(wbstore *w, wb_entry *e, int status, const char *text)
{
    e->attempt->status = status;
    memcpy(e->attempt->text, text, sizeof e->attempt->text);
    wb_note_failure(w, status, text);
}

static void writer_failed(wbstore *w, wb_entry *e, const wb_outcome *out, bool probe)
{
    if (blob_ctx_status(w->run) != 0 || blob_ctx_status(e->attempt->ctx) == -ECANCELED) {
        e->attempt->number--; /* called off, by us: says nothing about the base */
        wb_ledger_move(&w->ledger, e, WBSTORE_QUEUED);
        return;
    }
    attempt_failed(w, e, out->status, out->text);
    if (out->by_base)
        wb_base_failed(w, out->status, out->retry_after_ms, out->text, probe);
    else if (probe)
        wb_probe_failed(w, out->retry_after_ms);
    e->attempt->due_ns = w->down ? wb_after_ms(wb_now_ns(), w->options.retry_max_ms) /* in turn, until it is up */
                                 : wb_backoff_due_ns(w, e->attempt->number, out->retry_after_ms);
    wb_ledger_move(&w->ledger, e, e->removers > 0 ? WBSTORE_QUEUED : WBSTORE_WAITING);
}

static void writer_sent(wbstore *w, wb_entry *e, uint32_t written)
{
    wb_outcome stays = {.fate = WB_FATE_FAILED};
    blob_error error;
    bool kept;

    stays.status = wb_remove_buffered(w, e->attempt->ctx, e, written, BLOB_LAZY, &kept);
    if (stays.status != 0 && stays.status != BLOB_NOT_FOUND) {
        /* The base has it, but the buffer did not let go: the next attempt finds it in the base and tries again. */
        blob_last_error(&error);
        memcpy(stays.text, error.text, sizeof stays.text);
        e->attempt->arrived = true;
        writer_failed(w, e, &stays, false);
        return;
    }
    w->sent++;
    wb_entry_ends(w, e, written); /* a put that is still writing makes it pending again when it is through */
}

static void writer_parks(wbstore *w, wb_entry *e, const wb_outcome *out)
{
    attempt_failed(w, e, out->status, out->text);
    wb_ledger_move(&w->ledger, e, WBSTORE_PARKED);
    e->vouched = false; /* from here on, retried or not: the next put writes it over */
    wb_house_wake(w);
    wb_entry_settled(w, e);
}

static void writer_ends_attempt(wbstore *w, wb_entry *e, uint32_t written, const wb_outcome *out, bool probe)
{
    bool rewritten = e->written != written;

    if (out->by_base && out->fate != WB_FATE_FAILED)
        wb_base_answered(w);
    if (out->fate == WB_FATE_SENT && out->base_ns > 0)
        w->base_latency_ns += (out->base_ns - w->base_latency_ns) / (w->base_latency_ns > 0 ? 8 : 1);
    if (out->fate == WB_FATE_SENT) {
        writer_sent(w, e, written);
    } else if (out->fate == WB_FATE_FAILED) {
        writer_failed(w, e, out, probe);
    } else if (rewritten) {
        wb_ledger_move(&w->ledger, e, WBSTORE_QUEUED); /* those were other bytes */
    } else if (out->fate == WB_FATE_PARK) {
        writer_parks(w, e, out);
    } else {
        if (e->attempt->arrived) /* gone: by our own hand, whose answer was lost, or by another's */
            w->sent++;
        else
            w->deleted++;
        wb_entry_ends(w, e, written);
    }
}

/* Carries e to the base. Lock held, released meanwhile. */
static void writer_send(wb_writer *me, wb_entry *e)
{
    wbstore *w = me->w;
    bool probe = w->down;
    uint32_t written = wb_entry_look(e);
    blob_ctx *ctx = NULL;
    wb_outcome outcome = {.fate = WB_FATE_FAILED};
    wb_attempt *attempt;

    if (e->attempt == NULL) {
        e->attempt = me->spare;
        e->attempt->entry = e;
        me->spare = NULL;
    }
    attempt = e->attempt;
    if (attempt->number++ > 0)
        w->retries++;
    wb_ledger_move(&w->ledger, e, WBSTORE_SENDING);
    e->hand = WB_HAND_UPLOAD;
    w->picks++;
    w->probing = w->probing || probe;
    outcome.status = blob_ctx_new_timeout(&ctx, w->run, attempt_limit_ms(w, e->size));
    attempt->ctx = ctx;
    writers_wake(w, 2, false);
    if (ctx != NULL)
        wb_upload(w, ctx, wb_entry_key(e), &outcome);
    pthread_mutex_lock(&w->lock);
    if (probe)
        w->probing = false;
    writer_ends_attempt(w, e, written, &outcome, probe);
    attempt->ctx = NULL;
    wb_hand_free(w, e); /* may free the attempt too */
    blob_ctx_free(ctx);
}

/* ---- the thread ---- */

/* Nothing to send until then. True: nobody called for as long as a writer stays idle. */
static bool writer_rests(wb_writer *me, int64_t until_ns)
{
    wbstore *w = me->w;
    int64_t rest_ns = wb_after_ms(wb_now_ns(), WRITER_IDLE_MS);
    bool rested;

    w->idle++;
    if (until_ns != WB_NEVER)
        w->timekeeper = me;
    wb_ctx_wait(w->run, NULL, &w->work, &w->lock, until_ns < rest_ns ? until_ns : rest_ns);
    rested = w->timekeeper != me && wb_now_ns() >= rest_ns;
    w->idle--;
    w->signalled = false;
    if (w->timekeeper == me)
        w->timekeeper = NULL;
    return rested;
}

static bool writer_has_spare(wb_writer *me)
{
    if (me->spare == NULL)
        me->spare = wb_attempt_new(&me->w->ledger);
    return me->spare != NULL;
}

static void *writer_run(void *arg)
{
    wb_writer *me = arg;
    wbstore *w = me->w;
    bool rested = false;

    me->thread = pthread_self();
    pthread_mutex_lock(&w->lock);
    while (blob_ctx_status(w->run) == 0) {
        int64_t until_ns;
        wb_entry *e = writer_next(w, wb_now_ns(), &until_ns);

        if (e != NULL && !writer_has_spare(me)) { /* no memory: later */
            until_ns = wb_after_ms(wb_now_ns(), w->options.retry_min_ms);
            e = NULL;
        }
        if (e != NULL) {
            writer_send(me, e);
            rested = false;
        } else if (rested && (until_ns == WB_NEVER || w->timekeeper != NULL)) {
            break;
        } else {
            rested = writer_rests(me, until_ns);
        }
    }
    wb_attempt_free(&w->ledger, me->spare);
    w->writers--;
    me->next = w->finished;
    w->finished = me;
    wb_house_wake(w);
    wb_thread_ends(w);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}
