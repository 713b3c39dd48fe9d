/* conform_threads.c - what checks with many threads are made of: threads that begin together, rounds that all take part
 * in, a call beside a listing, and blobs that say what they are.
 *
 * Threads work until they have done enough, or until their time is over and they have done the least that makes sense.
 * What is asked of them holds at any speed and in any order, so a store that keeps its promises always passes. */
#include "testkit/conform_int.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* ---- threads that begin together ------------------------------------------------------------------------------ */

typedef struct cx_gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int go; /* lock: 1: begin, -1: go home */
} cx_gate;

typedef struct cx_runner {
    wb_cf_thread t;
    wb_cf_body *body;
    cx_gate *gate;
    pthread_t thread;
} cx_runner;

static void *cx_run(void *arg)
{
    cx_runner *r = arg;
    int go;

    pthread_mutex_lock(&r->gate->lock);
    while (r->gate->go == 0)
        pthread_cond_wait(&r->gate->changed, &r->gate->lock);
    go = r->gate->go;
    pthread_mutex_unlock(&r->gate->lock);
    if (go > 0)
        r->body(&r->t);
    return NULL;
}

static void cx_open(cx_gate *gate, int go)
{
    pthread_mutex_lock(&gate->lock);
    gate->go = go;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

bool wb_cf_together(wb_cf *c, wb_cf_body *body, void *arg, int64_t budget_ms)
{
    cx_gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    cx_runner runners[WB_CF_THREADS];
    unsigned started = 0;
    int rc = 0;
    bool good = true;

    for (; started < WB_CF_THREADS && rc == 0; started += rc == 0) {
        runners[started] = (cx_runner){.body = body, .gate = &gate};
        runners[started].t = (wb_cf_thread){.c = c,
                                            .arg = arg,
                                            .index = started,
                                            .random = (uint64_t)(started + 1) << 32,
                                            .until_ms = wb_cf_now_ms() + budget_ms};
        rc = pthread_create(&runners[started].thread, NULL, cx_run, &runners[started]);
    }
    cx_open(&gate, rc == 0 ? 1 : -1);
    for (unsigned i = 0; i < started; i++)
        pthread_join(runners[i].thread, NULL);
    pthread_cond_destroy(&gate.changed);
    pthread_mutex_destroy(&gate.lock);
    if (rc != 0)
        return wb_cf_fail(c, -rc);
    for (unsigned i = 0; good && i < WB_CF_THREADS; i++) {
        if (runners[i].t.broken)
            good = wb_cf_broken(c, "%s", runners[i].t.detail);
    }
    return good;
}

bool wb_cf_thread_broken(wb_cf_thread *t, const char *format, ...)
{
    va_list args;

    if (!t->broken) {
        va_start(args, format);
        vsnprintf(t->detail, sizeof t->detail, format, args);
        va_end(args);
    }
    t->broken = true;
    return false;
}

bool wb_cf_goes_on(const wb_cf_thread *t, unsigned round, unsigned least, unsigned most)
{
    return !t->broken && round < most && (round < least || wb_cf_now_ms() < t->until_ms);
}

/* ---- rounds ------------------------------------------------------------------------------------------------ */

bool wb_cf_rounds_init(wb_cf_rounds *r)
{
    atomic_init(&r->over, false);
    return pthread_barrier_init(&r->barrier, NULL, WB_CF_THREADS) == 0;
}

bool wb_cf_round(wb_cf_thread *t, wb_cf_rounds *r, unsigned round, unsigned least, unsigned most)
{
    if (t->index == 0)
        atomic_store(&r->over, !wb_cf_goes_on(t, round, least, most));
    pthread_barrier_wait(&r->barrier);
    return !atomic_load(&r->over);
}

/* ---- a call beside a listing ------------------------------------------------------------------------------------ */

static void *cx_call(void *arg)
{
    wb_cf_aside *a = arg;

    a->call(a->arg);
    pthread_mutex_lock(&a->lock);
    a->done = true;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

static bool cx_aside_begin(wb_cf_aside *a)
{
    int rc = pthread_mutex_init(&a->lock, NULL);

    if (rc != 0)
        return wb_cf_fail(a->c, -rc);
    rc = blob_cond_init(&a->changed);
    if (rc == 0) {
        rc = -pthread_create(&a->thread, NULL, cx_call, a);
        a->begun = rc == 0;
        if (rc != 0)
            pthread_cond_destroy(&a->changed);
    }
    if (rc != 0)
        pthread_mutex_destroy(&a->lock);
    return rc == 0 || wb_cf_fail(a->c, rc);
}

bool wb_cf_aside_returns(wb_cf_aside *a, wb_cf *c, const char *what, void (*call)(void *arg), void *arg)
{
    blob_ctx *patience;
    int rc = blob_ctx_new_timeout(&patience, NULL, c->patience_ms);
    bool done;

    a->c = c;
    a->call = call;
    a->arg = arg;
    if (rc != 0)
        return wb_cf_fail(c, rc);
    if (!cx_aside_begin(a)) {
        blob_ctx_free(patience);
        return false;
    }
    pthread_mutex_lock(&a->lock);
    while (!a->done && rc == 0)
        rc = blob_ctx_wait(patience, &a->changed, &a->lock);
    done = a->done;
    pthread_mutex_unlock(&a->lock);
    blob_ctx_free(patience);
    c->lock_held = !done;
    return done ||
           wb_cf_broken(c, "%s on another thread waits for the callback of a listing to return: a lock is held", what);
}

void wb_cf_aside_end(wb_cf_aside *a)
{
    if (!a->begun)
        return;
    pthread_join(a->thread, NULL);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
}

/* ---- blobs that say what they are ----------------------------------------------------------------------------- */

static void cx_write(unsigned char *at, uint32_t word)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (unsigned char)(word >> (8 * i));
}

static uint32_t cx_read(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

blob_view wb_cf_tell(uint32_t key, uint32_t writer, uint32_t version, unsigned char bytes[WB_CF_TOLD_MAX])
{
    const size_t size = (size_t)64 << 2 * (version / 4 % 3);

    cx_write(bytes, key);
    cx_write(bytes + 4, writer);
    cx_write(bytes + 8, version);
    wb_cf_fill(((uint64_t)key * 64 + writer) * 100000 + version, bytes + 12, size - 12);
    return blob_view_of(bytes, size);
}

bool wb_cf_whole(const blob *b, uint32_t key, uint32_t *writer, uint32_t *version)
{
    unsigned char bytes[WB_CF_TOLD_MAX];
    blob_view told;

    if (b == NULL || b->size < 12)
        return false;
    *writer = cx_read((const unsigned char *)b->data + 4);
    *version = cx_read((const unsigned char *)b->data + 8);
    told = wb_cf_tell(key, *writer, *version, bytes);
    return told.size == b->size && memcmp(told.data, b->data, told.size) == 0;
}
