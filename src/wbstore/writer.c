/* writer.c - the writer threads: they take what is ready, carry it to the base, and go when there is nothing to do.
 *
 *     pick (oldest first) -> SENDING -> upload, no lock held -> sent | gone | waiting | parked
 *
 * Writers beget writers: whoever leaves work behind, a put or a writer that has just picked, wakes an idle writer or
 * starts one, up to two at a time, so that a burst reaches a slow base at full width without a put ever starting more
 * than the first thread. How many may be in flight is for pace.c to say. Whoever leaves work behind and adds no writer,
 * because all are busy and a put starts none, tells the housekeeper, who adds one when those at work get stuck.
 *
 * The idle writer that went to sleep last is the timekeeper: it wakes when the next blob or probe is due. */
#include "wbstore/wrapper.h"

#include <errno.h>
#include "wbstore/health.h"

#include <string.h>

#define WRITER_IDLE_MS 1000
#define WRITER_POISON_ATTEMPTS 3
#define WRITER_RETRY_SHARE 8

static void *writer_run(void *arg);

/* ---- what there is to do ---- */

/* Blobs that fail again and again hold up no others: while there are others, one in eight is tried again, of those that
 * are taken up and of those that are in flight. */
static wb_turn writer_turn(const wbstore *w)
{
    bool few = w->retrying <= (w->writers - w->idle) / WRITER_RETRY_SHARE;

    return few && w->firsts >= WRITER_RETRY_SHARE - 1 ? WB_TURN_RETRY : WB_TURN_FIRST;
}

static int64_t first_of(int64_t a_ns, int64_t b_ns)
{
    return a_ns < b_ns ? a_ns : b_ns;
}

static wb_entry *writer_next_up(wbstore *w, int64_t now_ns, int64_t *until_ns)
{
    int64_t ghost_ns, due_ns = WB_NEVER;
    wb_entry *e = wb_ghost_next(w, now_ns, &ghost_ns);

    if (e == NULL)
        e = wb_urgent_next(w, now_ns);
    if (e == NULL)
        e = wb_ledger_next(&w->ledger, now_ns, writer_turn(w));
    if (e == NULL) {
        wb_pace_no_work(&w->pace, now_ns);
        due_ns = wb_ledger_due_ns(&w->ledger);
    } else if (!wb_pace_may_begin(&w->pace, now_ns, &due_ns)) {
        e = NULL;
    }
    *until_ns = first_of(due_ns, ghost_ns);
    return e;
}

/* One at a time; what hangs since before it went down does not count. The host's limits are for probes, too. */
static wb_entry *writer_next_probe(wbstore *w, int64_t now_ns, int64_t *until_ns)
{
    int64_t ghost_ns = WB_NEVER, host_ns = wb_pace_host_due_ns(&w->pace);
    int64_t due_ns = w->probe_due_ns > host_ns ? w->probe_due_ns : host_ns;
    wb_entry *e = wb_ledger_next(&w->ledger, now_ns, WB_TURN_PROBE);

    if (e == NULL)
        e = wb_urgent_next(w, now_ns); /* it need not dwell */
    if (e == NULL)
        e = wb_ghost_next(w, now_ns, &ghost_ns);
    if (e == NULL)
        *until_ns = first_of(wb_ledger_due_ns(&w->ledger), ghost_ns);
    else if (now_ns < due_ns)
        *until_ns = due_ns;
    return now_ns < due_ns ? NULL : e;
}

/* The entry to send now, or NULL and when to look again. */
static wb_entry *writer_next(wbstore *w, int64_t now_ns, int64_t *until_ns) /* model: Writer */
{
    *until_ns = WB_NEVER;
    if (w->paused || (w->down && w->probing))
        return NULL;
    return w->down ? writer_next_probe(w, now_ns, until_ns) : writer_next_up(w, now_ns, until_ns);
}

bool wb_work_is_ready(wbstore *w, int64_t now_ns)
{
    int64_t until_ns;

    return writer_next(w, now_ns, &until_ns) != NULL;
}

/* Nobody wakes by then. */
static bool writers_miss(const wbstore *w, int64_t until_ns)
{
    return until_ns != WB_NEVER && (w->timekeeper == NULL || until_ns < w->timekeeper_ns);
}

bool wb_work_waits(wbstore *w, int64_t now_ns)
{
    int64_t until_ns;

    return writer_next(w, now_ns, &until_ns) != NULL || writers_miss(w, until_ns);
}

/* ---- starting and waking ---- */

/* `count` more, with the lock held, which is released meanwhile. */
static void writers_start(wbstore *w, unsigned count)
{
    size_t stack_bytes = w->options.writer_stack_bytes;
    int rc = 0;

    w->writers += count;
    for (; count > 0 && (rc = wb_worker_start(w, writer_run, stack_bytes, &w->spawn_due_ns)) == 0; count--)
        continue;
    w->writers -= count;
    if (rc != 0 && rc != BLOB_CLOSED)
        wb_house_wake(w); /* it tries again: those who are at work, if any, may be stuck */
}

/* Where the base answers at once, those who are between two uploads are about to take up the next. */
static bool writers_suffice(const wbstore *w)
{
    return wb_pace_is_fast(&w->pace) && w->writers - w->idle >= wb_pace_limit(&w->pace) + w->pace.stragglers;
}

static void writers_wake(wbstore *w, unsigned start_max, bool harder) /* model: Writer */
{
    unsigned start = 0;
    int64_t until_ns;
    bool ready, watch, may_add;

    if ((w->ledger.active_blobs == 0 && w->ledger.haunting.head == NULL) ||
        w->writers - w->idle >= w->options.writers_max || blob_ctx_status(w->run) != 0) {
        pthread_mutex_unlock(&w->lock);
        return;
    }
    ready = writer_next(w, wb_time_ns(w), &until_ns) != NULL;
    watch = writers_miss(w, until_ns);
    may_add = (w->idle > 0 || start_max > 0) && !writers_suffice(w);
    if ((ready || watch) && !harder && !may_add) {
        if (!w->held_back)
            wb_house_wake(w);
        w->held_back = true;
    } else if (ready || watch) {
        if (w->idle > 0) {
            if (!w->signalled)
                pthread_cond_signal(&w->work);
            w->signalled = true;
        } else {
            while (start < start_max && w->writers + start < w->options.writers_max &&
                   start < w->ledger.active_blobs + (w->ledger.haunting.head != NULL))
                start++;
        }
    }
    if (start > 0)
        writers_start(w, start);
    pthread_mutex_unlock(&w->lock);
}

void wb_unlock_and_work(wbstore *w) /* model: ledger.pml */
{
    writers_wake(w, w->writers == 0 ? 1 : 0, false);
}

void wb_unlock_and_work_harder(wbstore *w)
{
    writers_wake(w, 1, true);
}

int wbstore_pause(wbstore *w)
{
    int rc = w != NULL ? wb_closed(w) : blob_fail(-EINVAL, 0, "pause: no wrapper");

    if (rc != 0)
        return rc;
    pthread_mutex_lock(&w->lock);
    w->paused = true;
    pthread_mutex_unlock(&w->lock);
    return 0;
}

int wbstore_resume(wbstore *w)
{
    int rc = w != NULL ? wb_closed(w) : blob_fail(-EINVAL, 0, "resume: no wrapper");

    if (rc != 0)
        return rc;
    pthread_mutex_lock(&w->lock);
    w->paused = false;
    wb_unlock_and_work_harder(w);
    return 0;
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
    e->attempt->failed_at = w->pace.succeeded;
    memcpy(e->attempt->text, text, sizeof e->attempt->text);
    wb_note_failure(w, status, text);
}

/* It has failed three times, and others have been sent since: that it fails again says nothing of the base. */
static bool attempt_is_poison(const wbstore *w, const wb_attempt *a)
{
    return a->number > WRITER_POISON_ATTEMPTS && a->status != 0 && w->pace.succeeded != a->failed_at;
}

static bool attempt_was_called_off(const wbstore *w, const wb_attempt *a)
{
    return blob_ctx_status(w->run) != 0 || blob_ctx_status(a->ctx) == -ECANCELED;
}

static void writer_failed(wbstore *w, wb_entry *e, const wb_outcome *out, bool probe) /* model: Writer */
{
    bool poison = attempt_is_poison(w, e->attempt);

    if (attempt_was_called_off(w, e->attempt)) {
        e->attempt->number--; /* by us: says nothing about the base */
        wb_ledger_move(&w->ledger, e, WBSTORE_QUEUED);
        return;
    }
    attempt_failed(w, e, out->status, out->text);
    if (out->by_base && (probe || !poison))
        wb_base_failed(w, out->status, out->retry_after_ms, out->text, probe);
    else if (probe)
        wb_probe_failed(w, out->retry_after_ms);
    e->attempt->due_ns = w->down ? wb_after_ms(wb_time_ns(w), w->options.retry_max_ms) /* in turn, until it is up */
                                 : wb_backoff_due_ns(w, e->attempt->number, out->retry_after_ms);
    wb_ledger_move(&w->ledger, e, e->removers > 0 ? WBSTORE_QUEUED : WBSTORE_WAITING);
}

static void writer_sent(wbstore *w, wb_entry *e, uint32_t written, bool keeps) /* model: Writer */
{
    wb_outcome stays = {.fate = WB_FATE_FAILED};
    blob_error error;
    bool kept;

    if (keeps) { /* it may be lost there yet: stays here, and is sent again then */
        e->attempt->due_ns = e->attempt->doubt_until_ns;
        wb_ledger_move(&w->ledger, e, WBSTORE_WAITING);
        return;
    }
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
    wb_news(w);
    wb_entry_settled(w, e);
}

/* What it says of how busy the base is. A base that throttles asks for time; one that is just not there does not. */
static wb_pace_verdict writer_verdict(const wbstore *w, const wb_entry *e, const wb_outcome *out)
{
    if (out->fate == WB_FATE_SENT)
        return WB_PACE_DONE;
    if (!out->by_base || attempt_was_called_off(w, e->attempt))
        return WB_PACE_CALLED_OFF;
    if (out->status == -ETIMEDOUT)
        return WB_PACE_TIMED_OUT;
    if (out->status == BLOB_UNAVAILABLE)
        return out->retry_after_ms > 0 ? WB_PACE_REFUSED : WB_PACE_CALLED_OFF;
    return WB_PACE_OTHER;
}

static void writer_ends_attempt(wbstore *w, wb_entry *e, uint32_t written, bool keeps, const wb_outcome *out,
                                bool probe) /* model: Writer */
{
    bool rewritten = e->written != written;

    if (out->by_base && out->fate != WB_FATE_FAILED)
        wb_base_answered(w);
    if (out->by_base)
        wb_doubt_put_ended(w, e, out->status);
    if (out->fate == WB_FATE_SENT) {
        writer_sent(w, e, written, keeps);
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

/* The base answered a delete of this key, but no put before it: deletes it again. Lock held, released meanwhile. */
static void writer_lays_ghost(wbstore *w, wb_entry *e)
{
    blob_error error = {.status = 0};
    bool probe = w->down;
    blob_ctx *ctx = NULL;
    int rc = blob_ctx_new_timeout(&ctx, w->run, attempt_limit_ms(w, 0));

    e->hand = WB_HAND_UPLOAD;
    e->attempt->ctx = ctx;
    w->probing = w->probing || probe;
    wb_ghost_is_being_laid(w, e);
    w->picks++;
    writers_wake(w, 2, false); /* this call may hang, too */
    if (rc == 0) {
        rc = blob_store_delete(w->base, ctx, wb_entry_key(e), 0);
        blob_last_error(&error);
    }
    pthread_mutex_lock(&w->lock);
    if (probe)
        w->probing = false;
    if (rc == 0 || rc == BLOB_NOT_FOUND) {
        w->ghost_failures = 0;
        wb_base_answered(w);
        wb_ghost_is_laid(w, e);
    } else if (blob_ctx_status(w->run) == 0) {
        w->ghost_due_ns = wb_backoff_due_ns(w, ++w->ghost_failures, error.retry_after_ms);
        wb_doubt_delete_ended(w, e, rc);
        wb_note_failure(w, rc, error.text);
        if (ctx != NULL && blob_ctx_status(ctx) != -ECANCELED)
            wb_base_failed(w, rc, error.retry_after_ms, error.text, probe);
    }
    e->attempt->ctx = NULL;
    wb_hand_free(w, e);
    blob_ctx_free(ctx);
}

/* Carries e to the base. Lock held, released meanwhile. */
static void writer_send(wb_worker *me, wb_entry *e, int64_t now_ns) /* model: Writer */
{
    wbstore *w = me->w;
    bool probe = w->down, retry = e->state == WBSTORE_WAITING;
    uint32_t written = wb_entry_look(e);
    blob_ctx *ctx = NULL;
    wb_outcome outcome = {.fate = WB_FATE_FAILED};
    wb_pace_node pace;
    wb_attempt *attempt;
    bool keeps;

    if (e->attempt == NULL) {
        e->attempt = me->spare;
        e->attempt->entry = e;
        me->spare = NULL;
    }
    attempt = e->attempt;
    keeps = wb_doubt_keeps(w, e); /* now: a delete may come late in the middle of it, and be past doubt at its end */
    if (attempt->number++ > 0)
        w->retries++;
    wb_ledger_move(&w->ledger, e, WBSTORE_SENDING);
    e->hand = WB_HAND_UPLOAD;
    w->picks++;
    w->retrying += retry;
    w->firsts = retry ? 0 : w->firsts + 1;
    w->probing = w->probing || probe;
    wb_pace_begin(&w->pace, &pace, e->size, now_ns);
    outcome.status = blob_ctx_new_timeout(&ctx, w->run, attempt_limit_ms(w, e->size));
    attempt->ctx = ctx;
    writers_wake(w, 2, false);
    if (ctx != NULL)
        wb_upload(w, ctx, wb_entry_key(e), &outcome);
    pthread_mutex_lock(&w->lock);
    w->retrying -= retry;
    if (probe)
        w->probing = false;
    now_ns = wb_time_ns(w);
    wb_pace_end(&w->pace, &pace, writer_verdict(w, e, &outcome), attempt_is_poison(w, attempt), now_ns);
    if (outcome.fate == WB_FATE_SENT) {
        wb_latency_add(&w->latency, outcome.base_ns, now_ns);
        wb_flow_add(&w->flow, e->size, now_ns);
    }
    writer_ends_attempt(w, e, written, keeps, &outcome, probe);
    attempt->ctx = NULL;
    wb_hand_free(w, e); /* may free the attempt too */
    blob_ctx_free(ctx);
}

/* ---- the thread ---- */

/* Nothing to send until then. True: nobody called for as long as a writer stays idle. */
static bool writer_rests(wb_worker *me, int64_t until_ns) /* model: Writer */
{
    wbstore *w = me->w;
    int64_t rest_ns = wb_after_ms(wb_time_ns(w), WRITER_IDLE_MS);
    bool rested;

    w->idle++;
    if (until_ns != WB_NEVER) {
        w->timekeeper = me;
        w->timekeeper_ns = until_ns;
    }
    wb_ctx_wait(w->run, NULL, &w->work, &w->lock, until_ns < rest_ns ? until_ns : rest_ns);
    rested = w->timekeeper != me && wb_time_ns(w) >= rest_ns;
    w->idle--;
    w->signalled = false;
    if (w->timekeeper == me)
        w->timekeeper = NULL;
    return rested;
}

static bool writer_has_spare(wb_worker *me)
{
    if (me->spare == NULL)
        me->spare = wb_attempt_new(&me->w->ledger);
    return me->spare != NULL;
}

static void *writer_run(void *arg)
{
    wb_worker *me = arg;
    wbstore *w = me->w;
    bool rested = false;

    me->thread = pthread_self();
    pthread_mutex_lock(&w->lock);
    while (blob_ctx_status(w->run) == 0) {
        int64_t until_ns;
        int64_t now_ns = wb_time_ns(w);
        wb_entry *e = writer_next(w, now_ns, &until_ns);

        if (e != NULL && !writer_has_spare(me)) { /* no memory: later */
            until_ns = wb_after_ms(now_ns, w->options.retry_min_ms);
            e = NULL;
        }
        if (e != NULL) {
            if (e->state == WB_ABSENT)
                writer_lays_ghost(w, e);
            else
                writer_send(me, e, now_ns);
            rested = false;
        } else if (rested && !writers_miss(w, until_ns)) {
            break;
        } else {
            rested = writer_rests(me, until_ns);
        }
    }
    wb_attempt_free(&w->ledger, me->spare);
    w->writers--;
    wb_worker_ends(me);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}
