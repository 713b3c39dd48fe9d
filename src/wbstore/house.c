/* house.c - the housekeeper: one thread from new to stop, for what no upload, however long it hangs, may hold up. Until
 * the end it calls neither a store nor the host: nothing holds up the housekeeper.
 *
 *     starts the thread that takes up what the        starts the thread that tells of events (tell.c)
 *     buffer held at the start (resume.c)             joins threads that have gone
 *     starts a writer when that failed before         sees to doubts that pass (doubt.c)
 *     adds a writer when those at work are stuck */
#include "wbstore/wrapper.h"

#define HOUSE_STUCK_MS 10

static void house_start_writer(wbstore *w)
{
    w->spawn_due_ns = WB_NEVER;
    wb_unlock_and_work_harder(w); /* those that there are may be stuck */
    pthread_mutex_lock(&w->lock);
}

/* Those of calls that can take no effect any more are forgotten; a writer is called for a key to be deleted again. */
static void house_pass_doubts(wbstore *w)
{
    int64_t until_ns;

    wb_doubts_pass(w);
    if (w->spawn_due_ns != WB_NEVER || wb_ghost_next(w, wb_time_ns(w), &until_ns) == NULL)
        return; /* none, or no thread could be had for a writer: one is called for in its time */
    wb_unlock_and_work_harder(w);
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
    int64_t now_ns = wb_time_ns(w);
    bool looked = watch->look_ns != WB_NEVER;

    if (w->held_back && looked && now_ns < watch->look_ns)
        return;
    if (looked && !wb_work_waits(w, now_ns))
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
    int64_t until_ns = w->resume_due_ns < w->spawn_due_ns ? w->resume_due_ns : w->spawn_due_ns;

    if (w->tell_due_ns < until_ns)
        until_ns = w->tell_due_ns;
    if (wb_doubt_due_ns(w) < until_ns)
        until_ns = wb_doubt_due_ns(w);
    return watch->look_ns < until_ns ? watch->look_ns : until_ns;
}

static void *house_run(void *arg)
{
    wbstore *w = arg;
    house_watch watch = {.look_ns = WB_NEVER};

    pthread_mutex_lock(&w->lock);
    while (blob_ctx_status(w->run) == 0) {
        w->house_called = false;
        wb_workers_join_finished(w);
        wb_take_up_first(w);
        wb_tell(w);
        house_pass_doubts(w);
        house_watch_writers(w, &watch);
        if (wb_time_ns(w) >= w->spawn_due_ns)
            house_start_writer(w);
        else if (!w->house_called)
            wb_ctx_wait(w->run, NULL, &w->house, &w->lock, house_next_ns(w, &watch));
    }
    wb_tell_last(w);
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
