/* tell.c - telling the host of events: on a thread of its own, so that a callback that takes its time holds up nothing
 * but the next event.
 *
 * Nothing is queued that could overflow: each event is read from the books when its turn comes. Each turn of the base is
 * counted, a parked blob stays marked until it is told of, and of several times that the buffer became empty one is
 * told. The thread is started when there is news, by the housekeeper, and goes when there was none for a while. */
#include "wbstore/wrapper.h"

#include <stdlib.h>
#include <string.h>

#define TELL_IDLE_MS 1000

static void tell_call(wbstore *w, const wbstore_event *event)
{
    pthread_mutex_unlock(&w->lock);
    w->options.on_event(w->options.event_arg, event);
    pthread_mutex_lock(&w->lock);
}

static void tell_turn(wbstore *w)
{
    char text[sizeof w->down_text];
    bool down = ++w->base_turns_told % 2 == 1;
    wbstore_event event = {.kind = down ? WBSTORE_EVENT_BASE_DOWN : WBSTORE_EVENT_BASE_UP, .text = text};

    text[0] = '\0';
    if (down) {
        memcpy(text, w->down_text, sizeof text);
        event.status = w->down_status;
    }
    tell_call(w, &event);
}

static void tell_parked(wbstore *w, const wb_entry *e)
{
    char text[sizeof e->attempt->text];
    unsigned char key[BLOB_KEY_MAX];
    wbstore_event event = {.kind = WBSTORE_EVENT_PARKED, .status = e->attempt->status, .text = text};

    memcpy(text, e->attempt->text, sizeof text);
    memcpy(key, e->key, e->key_size);
    event.key = blob_key_of(key, e->key_size);
    tell_call(w, &event);
}

/* Tells one piece of news. False: there is none. */
static bool tell_one(wbstore *w)
{
    const wb_entry *parked;

    if (w->base_turns_told != w->base_turns) {
        tell_turn(w);
    } else if ((parked = wb_ledger_untold(&w->ledger)) != NULL) {
        tell_parked(w, parked);
    } else if (w->drained_untold) {
        w->drained_untold = false;
        tell_call(w, &(wbstore_event){.kind = WBSTORE_EVENT_DRAINED, .text = ""});
    } else {
        return false;
    }
    return true;
}

/* ---- the thread ---- */

/* Perhaps for a blob that is not parked any more. */
static bool tell_has_news(const wbstore *w)
{
    return w->base_turns_told != w->base_turns || w->ledger.untold != NULL || w->drained_untold;
}

static void *tell_run(void *arg)
{
    wb_worker *me = arg;
    wbstore *w = me->w;
    int64_t rest_ns;

    pthread_mutex_lock(&w->lock);
    me->thread = w->teller = pthread_self();
    w->teller_known = true;
    do {
        while (tell_one(w))
            continue;
        rest_ns = wb_after_ms(wb_time_ns(w), TELL_IDLE_MS);
        w->tell_rests = true;
        while (!tell_has_news(w) && wb_time_ns(w) < rest_ns && blob_ctx_status(w->run) == 0)
            wb_ctx_wait(w->run, NULL, &w->news, &w->lock, rest_ns);
        w->tell_rests = false;
    } while (tell_has_news(w));
    w->telling = w->teller_known = false;
    wb_worker_ends(me);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

void wb_tell(wbstore *w)
{
    if (w->options.on_event == NULL || w->telling || !tell_has_news(w) ||
        (w->tell_due_ns != WB_NEVER && wb_time_ns(w) < w->tell_due_ns))
        return;
    w->tell_due_ns = WB_NEVER;
    w->telling = true;
    if (wb_worker_start(w, tell_run, 0, &w->tell_due_ns) != 0)
        w->telling = false;
}

void wb_tell_last(wbstore *w)
{
    if (w->options.on_event == NULL || w->telling)
        return;
    w->telling = true;
    w->teller = pthread_self();
    w->teller_known = true;
    while (tell_one(w))
        continue;
    w->telling = w->teller_known = false;
}

void wb_news(wbstore *w)
{
    if (w->telling)
        pthread_cond_signal(&w->news);
    else
        wb_house_wake(w);
}

bool wb_is_teller(wbstore *w)
{
    bool is;

    pthread_mutex_lock(&w->lock);
    is = w->teller_known && pthread_equal(pthread_self(), w->teller);
    pthread_mutex_unlock(&w->lock);
    return is;
}
