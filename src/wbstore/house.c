/* house.c - the housekeeper: one thread from new to stop, for what no upload, however long it hangs, may hold up.
 *
 *     takes up what the buffer held at the start      tells the host of events
 *     starts a writer when that failed before         joins writers that have gone
 *     adds a writer when those at work are stuck, a fast base's bound or not */
#include "wbstore/health.h"
#include "wbstore/wrapper.h"

#include <errno.h>

#include <string.h>

#define HOUSE_STUCK_MS 10

static void house_resume(wbstore *w)
{
    blob_error error;
    int rc;

    pthread_mutex_unlock(&w->lock);
    rc = wb_take_up(w, w->run);
    blob_last_error(&error);
    pthread_mutex_lock(&w->lock);
    w->resume_status = 0;
    w->resuming = rc != 0;
    if (rc != 0 && blob_ctx_status(w->run) == 0) { /* called off by the wrapper's end it says nothing of the buffer */
        w->resume_status = rc;
        memcpy(w->resume_text, error.text, sizeof w->resume_text);
        wb_note_failure(w, rc, error.text);
        w->resume_due_ns = wb_backoff_due_ns(w, ++w->resume_tries, 0);
    }
    pthread_cond_broadcast(&w->settled);
    wb_room_changed(w);
}

/* ---- events ---- */

static void house_call(wbstore *w, const wbstore_event *event)
{
    pthread_mutex_unlock(&w->lock);
    w->options.on_event(w->options.event_arg, event);
    pthread_mutex_lock(&w->lock);
}

static void house_tell_turn(wbstore *w)
{
    char text[sizeof w->down_text];
    bool down = ++w->base_turns_told % 2 == 1;
    wbstore_event event = {.kind = down ? WBSTORE_EVENT_BASE_DOWN : WBSTORE_EVENT_BASE_UP, .text = text};

    text[0] = '\0';
    if (down) {
        memcpy(text, w->down_text, sizeof text);
        event.status = w->down_status;
    }
    house_call(w, &event);
}

static void house_tell_parked(wbstore *w, const wb_entry *e)
{
    char text[sizeof e->attempt->text];
    unsigned char key[BLOB_KEY_MAX];
    wbstore_event event = {.kind = WBSTORE_EVENT_PARKED, .status = e->attempt->status, .text = text};

    memcpy(text, e->attempt->text, sizeof text);
    memcpy(key, e->key, e->key_size);
    event.key = blob_key_of(key, e->key_size);
    house_call(w, &event);
}

/* Tells one piece of news. False: there is none. */
static bool house_tells(wbstore *w)
{
    const wb_entry *parked;

    if (w->options.on_event == NULL)
        return false;
    if (w->base_turns_told != w->base_turns) {
        house_tell_turn(w);
    } else if ((parked = wb_ledger_untold(&w->ledger)) != NULL) {
        house_tell_parked(w, parked);
    } else if (w->drained_untold) {
        w->drained_untold = false;
        house_call(w, &(wbstore_event){.kind = WBSTORE_EVENT_DRAINED, .text = ""});
    } else {
        return false;
    }
    return true;
}

/* ---- the thread ---- */

static void house_start_writer(wbstore *w)
{
    w->spawn_due_ns = WB_NEVER;
    wb_unlock_and_work_harder(w); /* those that there are may be stuck */
    pthread_mutex_lock(&w->lock);
}

/* The eye on work for which no writer was added. */
typedef struct house_watch {
    int64_t look_ns; /* when to look again; WB_NEVER: nothing to look after */
    uint64_t picks;  /* at the last look */
} house_watch;

/* If those that there are have taken up nothing since the last look, they are stuck. */
static void house_watch_writers(wbstore *w, house_watch *watch)
{
    int64_t now_ns = wb_now_ns();
    bool looked = watch->look_ns != WB_NEVER;

    if (w->held_back && looked && now_ns < watch->look_ns)
        return;
    if (looked && !wb_work_is_ready(w, now_ns))
        w->held_back = false;
    if (looked && w->held_back && w->picks == watch->picks) {
        w->held_back = false; /* whoever is held back next says so again */
        wb_unlock_and_work_harder(w);
        pthread_mutex_lock(&w->lock);
    }
    watch->picks = w->picks;
    watch->look_ns = w->held_back ? wb_after_ms(now_ns, HOUSE_STUCK_MS) : WB_NEVER;
}

static int64_t house_next_ns(const wbstore *w, const house_watch *watch)
{
    int64_t until_ns = w->resuming && w->resume_due_ns < w->spawn_due_ns ? w->resume_due_ns : w->spawn_due_ns;

    return watch->look_ns < until_ns ? watch->look_ns : until_ns;
}

static void *house_run(void *arg)
{
    wbstore *w = arg;
    house_watch watch = {.look_ns = WB_NEVER};

    pthread_mutex_lock(&w->lock);
    while (blob_ctx_status(w->run) == 0) {
        wb_writers_join_finished(w);
        house_watch_writers(w, &watch);
        if (w->resuming && wb_now_ns() >= w->resume_due_ns)
            house_resume(w);
        else if (wb_now_ns() >= w->spawn_due_ns)
            house_start_writer(w);
        else if (!house_tells(w))
            wb_ctx_wait(w->run, NULL, &w->house, &w->lock, house_next_ns(w, &watch));
    }
    while (house_tells(w))
        continue;
    /* Everybody who waits on the wrapper watches `run` too and has been woken by its end. */
    wb_thread_ends(w);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

int wb_house_start(wbstore *w)
{
    int rc;

    pthread_mutex_lock(&w->lock); /* it must not run before its own name is known */
    rc = wb_thread_start(&w->housekeeper, house_run, w, 0);
    w->threads = rc == 0;
    pthread_mutex_unlock(&w->lock);
    return rc;
}
