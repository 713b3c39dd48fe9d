/* sleeper.c - see sleeper.h. */
#include "sleeper.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "blob/ctx.h"

static void *sleeper_run(void *arg)
{
    sleeper *s = arg;

    pthread_mutex_lock(s->mutex);
    s->tid = syscall(SYS_gettid);
    s->asleep = true;
    pthread_cond_signal(&s->started);
    do {
        s->status = wb_ctx_wait(s->a, s->b, s->cond, s->mutex, s->until_ns != 0 ? s->until_ns : WB_NEVER);
        s->returns++;
    } while (!s->go && s->status == 0 && s->until_ns == 0);
    pthread_mutex_unlock(s->mutex);
    return NULL;
}

void sleeper_start(sleeper *s, blob_ctx *a, blob_ctx *b, pthread_mutex_t *mutex, pthread_cond_t *cond)
{
    pthread_mutex_init(&s->own_mutex, NULL);
    assert_int_equal(blob_cond_init(&s->own_cond), 0);
    assert_int_equal(blob_cond_init(&s->started), 0);
    s->a = a;
    s->b = b;
    s->mutex = mutex != NULL ? mutex : &s->own_mutex;
    s->cond = cond != NULL ? cond : &s->own_cond;
    assert_int_equal(pthread_create(&s->thread, NULL, sleeper_run, s), 0);
    pthread_mutex_lock(s->mutex);
    while (!s->asleep)
        pthread_cond_wait(&s->started, s->mutex);
    pthread_mutex_unlock(s->mutex);
}

void sleeper_go(sleeper *s)
{
    pthread_mutex_lock(s->mutex);
    s->go = true;
    pthread_cond_broadcast(s->cond);
    pthread_mutex_unlock(s->mutex);
}

int sleeper_end(sleeper *s)
{
    pthread_join(s->thread, NULL);
    pthread_cond_destroy(&s->started);
    pthread_cond_destroy(&s->own_cond);
    pthread_mutex_destroy(&s->own_mutex);
    return s->status;
}

blob_ctx *new_ctx(blob_ctx *parent)
{
    blob_ctx *ctx;

    assert_int_equal(blob_ctx_new(&ctx, parent), 0);
    return ctx;
}

blob_ctx *new_timeout(blob_ctx *parent, int64_t ms)
{
    blob_ctx *ctx;

    assert_int_equal(blob_ctx_new_timeout(&ctx, parent, ms), 0);
    return ctx;
}

int wait_for_end(blob_ctx *ctx)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond;
    int status;

    assert_int_equal(blob_cond_init(&cond), 0);
    pthread_mutex_lock(&mutex);
    while ((status = blob_ctx_wait(ctx, &cond, &mutex)) == 0)
        continue;
    pthread_mutex_unlock(&mutex);
    pthread_cond_destroy(&cond);
    return status;
}

void *cancel_run(void *ctx)
{
    blob_ctx_cancel(ctx);
    return NULL;
}
