/* ctx.c - contexts: cancellation and deadlines for calls that may take long.
 *
 * Contexts form families: a root and all that descends from it. A child holds its parent, so the root goes last, and
 * one mutex in the root guards the links and the waiters of the whole family.
 *
 *     status     latched once, from 0 to -ECANCELED (set by cancel, in the whole subtree, before cancel returns) or to
 *                -ETIMEDOUT (set by whoever first sees that the deadline has passed, a cancel included). Reading it
 *                takes no lock.
 *     cancelled  whether a cancel reached it, whatever the status; then one reached all below it too.
 *     deadline   fixed when made, never later than the parent's.
 *
 * A waiter holds the caller's mutex M, so it may take the family's lock under M, never the other way round. To wake
 * a waiter, cancel must broadcast under M (or the waiter, not asleep yet, would miss it), and yet must not hold the
 * family's lock while it waits for M. So it pins the waiter, lets go of the family's lock, takes M, broadcasts, and
 * unpins; a waiter does not leave wb_ctx_wait while it is pinned, which keeps its condition variable and M alive. Each
 * cancel wakes those who wait on its own context or below, and takes no other M.
 *
 * A family may run on a clock of its own. Nobody sleeps by that: whoever moves it wakes all who wait, and whoever comes
 * to wait looks at it once more when he is listed. */
#include "blob/ctx.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <wbstore/blob.h>

typedef struct ctx_waiter {
    blob_ctx *ctx;
    pthread_cond_t *cond;
    pthread_mutex_t *mutex;
    struct ctx_waiter *next, *prev; /* f */
    uint64_t moves;                 /* f: root->moves when it was listed */
    bool listed;                    /* f: not called by a cancel yet */
    bool pinned;                    /* f: a cancel is about to wake it */
} ctx_waiter;

/* Guarded by: - constant, a atomic, f the family's lock (root->lock) */
struct blob_ctx {
    blob_ctx *root;                   /* - itself for a root */
    blob_ctx *parent;                 /* - NULL for a root */
    int64_t deadline_ns;              /* - WB_NEVER: none */
    atomic_uint refs;                 /* a */
    atomic_int status;                /* a */
    blob_ctx *children, *next, *prev; /* f */
    bool cancelled;                   /* f */
    int fd;                           /* f -1 until asked for, readable once cancelled */
    pthread_mutex_t lock;             /* in a root only, what follows: the family's lock, */
    pthread_cond_t unpinned;          /*   signalled when a waiter is let go, */
    ctx_waiter *waiters;              /* f all who wait on any context of the family, */
    wb_clock *clock;                  /* - NULL: the system's, */
    uint64_t moves;                   /* f how often it was moved */
};

int64_t wb_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t wb_after_ms(int64_t now_ns, int64_t ms)
{
    return ms > (WB_NEVER - now_ns) / 1000000 ? WB_NEVER : now_ns + ms * 1000000;
}

static wb_clock *ctx_clock(const blob_ctx *ctx)
{
    return ctx != NULL ? ctx->root->clock : NULL;
}

int64_t wb_ctx_now_ns(const blob_ctx *ctx)
{
    wb_clock *clock = ctx_clock(ctx);

    return clock != NULL ? clock->now_ns(clock) : wb_now_ns();
}

static int ctx_new(blob_ctx **out, blob_ctx *parent, int64_t deadline_ns, wb_clock *clock)
{
    blob_ctx *ctx = calloc(1, sizeof *ctx);

    *out = NULL;
    if (ctx == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for a context");
    ctx->deadline_ns = deadline_ns;
    ctx->fd = -1;
    atomic_init(&ctx->refs, 1);
    atomic_init(&ctx->status, 0);
    if (parent == NULL) {
        int rc = pthread_mutex_init(&ctx->lock, NULL);
        if (rc == 0 && (rc = pthread_cond_init(&ctx->unpinned, NULL)) != 0)
            pthread_mutex_destroy(&ctx->lock);
        if (rc != 0) {
            free(ctx);
            return blob_fail(-rc, 0, "cannot make a context's lock");
        }
        ctx->root = ctx;
        ctx->clock = clock;
    } else {
        ctx->parent = wb_ctx_ref(parent);
        ctx->root = parent->root;
        if (parent->deadline_ns < deadline_ns)
            ctx->deadline_ns = parent->deadline_ns;
        pthread_mutex_lock(&ctx->root->lock);
        atomic_store(&ctx->status, atomic_load(&parent->status));
        ctx->cancelled = parent->cancelled;
        ctx->next = parent->children;
        if (ctx->next != NULL)
            ctx->next->prev = ctx;
        parent->children = ctx;
        pthread_mutex_unlock(&ctx->root->lock);
    }
    *out = ctx;
    return 0;
}

int blob_ctx_new(blob_ctx **out, blob_ctx *parent)
{
    if (out == NULL)
        return blob_fail(-EINVAL, 0, "blob_ctx_new needs an out");
    return ctx_new(out, parent, WB_NEVER, NULL);
}

int blob_ctx_new_timeout(blob_ctx **out, blob_ctx *parent, int64_t timeout_ms)
{
    if (out == NULL)
        return blob_fail(-EINVAL, 0, "blob_ctx_new_timeout needs an out");
    return ctx_new(out, parent, wb_after_ms(wb_ctx_now_ns(parent), timeout_ms > 0 ? timeout_ms : 0), NULL);
}

int wb_ctx_new_on(blob_ctx **out, wb_clock *clock)
{
    return ctx_new(out, NULL, WB_NEVER, clock);
}

blob_ctx *wb_ctx_ref(blob_ctx *ctx)
{
    if (ctx != NULL)
        atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
    return ctx;
}

void blob_ctx_free(blob_ctx *ctx)
{
    while (ctx != NULL && atomic_fetch_sub(&ctx->refs, 1) == 1) {
        blob_ctx *parent = ctx->parent;

        if (parent == NULL) {
            pthread_cond_destroy(&ctx->unpinned);
            pthread_mutex_destroy(&ctx->lock);
        } else {
            pthread_mutex_lock(&ctx->root->lock);
            if (ctx->prev != NULL)
                ctx->prev->next = ctx->next;
            else
                parent->children = ctx->next;
            if (ctx->next != NULL)
                ctx->next->prev = ctx->prev;
            pthread_mutex_unlock(&ctx->root->lock);
        }
        if (ctx->fd >= 0)
            close(ctx->fd);
        free(ctx);
        ctx = parent;
    }
}

static void ctx_raise_fd(blob_ctx *ctx)
{
    const uint64_t one = 1;

    /* Written once in its life, the counter of an eventfd is never full: nothing but a signal can fail this. */
    while (ctx->fd >= 0 && write(ctx->fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

/* A context whose deadline passed before keeps or gets -ETIMEDOUT, even if nobody looked at it since. */
static void ctx_mark_one_locked(blob_ctx *ctx)
{
    int running = blob_ctx_status(ctx);

    if (running == 0)
        atomic_compare_exchange_strong(&ctx->status, &running, -ECANCELED);
    ctx->cancelled = true;
    ctx_raise_fd(ctx);
}

/* Marks top and all below it, depth first, except what lies below one that was marked before: that is marked too. */
static void ctx_mark_locked(blob_ctx *top)
{
    blob_ctx *ctx = top;

    for (;;) {
        if (!ctx->cancelled) {
            ctx_mark_one_locked(ctx);
            if (ctx->children != NULL) {
                ctx = ctx->children;
                continue;
            }
        }
        while (ctx != top && ctx->next == NULL)
            ctx = ctx->parent;
        if (ctx == top)
            return;
        ctx = ctx->next;
    }
}

static void ctx_unlist_locked(blob_ctx *root, ctx_waiter *waiter)
{
    if (!waiter->listed)
        return;
    waiter->listed = false;
    if (waiter->prev != NULL)
        waiter->prev->next = waiter->next;
    else
        root->waiters = waiter->next;
    if (waiter->next != NULL)
        waiter->next->prev = waiter->prev;
}

static bool ctx_is_within(const blob_ctx *ctx, const blob_ctx *top)
{
    while (ctx != NULL && ctx != top)
        ctx = ctx->parent;
    return ctx != NULL;
}

static ctx_waiter *ctx_next_waiter_locked(const blob_ctx *top)
{
    ctx_waiter *waiter = top->root->waiters;

    while (waiter != NULL && !ctx_is_within(waiter->ctx, top))
        waiter = waiter->next;
    return waiter;
}

/* Calls one waiter, who is not called again. The family's lock is let go meanwhile. */
static void ctx_call_locked(blob_ctx *root, ctx_waiter *waiter)
{
    ctx_unlist_locked(root, waiter);
    waiter->pinned = true;
    pthread_mutex_unlock(&root->lock);
    pthread_mutex_lock(waiter->mutex);
    pthread_cond_broadcast(waiter->cond);
    pthread_mutex_unlock(waiter->mutex);
    pthread_mutex_lock(&root->lock);
    waiter->pinned = false;
    pthread_cond_broadcast(&root->unpinned);
}

void blob_ctx_cancel(blob_ctx *ctx)
{
    ctx_waiter *waiter;
    blob_ctx *root;

    if (ctx == NULL)
        return;
    wb_ctx_ref(ctx); /* whom this wakes may drop the last hold but ours */
    root = ctx->root;
    pthread_mutex_lock(&root->lock);
    ctx_mark_locked(ctx);
    /* Every context down here has ended, so no new waiter is listed: the loop ends. The mutexes of other waiters, ended
     * or not, are not taken: the caller may hold one. */
    while ((waiter = ctx_next_waiter_locked(ctx)) != NULL)
        ctx_call_locked(root, waiter);
    pthread_mutex_unlock(&root->lock);
    blob_ctx_free(ctx);
}

/* One that was listed before the clock moved last; those who come back are not called again. */
static ctx_waiter *ctx_next_sleeper_locked(const blob_ctx *root)
{
    ctx_waiter *waiter = root->waiters;

    while (waiter != NULL && waiter->moves == root->moves)
        waiter = waiter->next;
    return waiter;
}

void wb_ctx_clock_moved(blob_ctx *ctx)
{
    blob_ctx *root = ctx->root;
    ctx_waiter *waiter;

    pthread_mutex_lock(&root->lock);
    root->moves++;
    while ((waiter = ctx_next_sleeper_locked(root)) != NULL)
        ctx_call_locked(root, waiter);
    pthread_mutex_unlock(&root->lock);
}

int blob_ctx_status(blob_ctx *ctx)
{
    int status = ctx != NULL ? atomic_load_explicit(&ctx->status, memory_order_acquire) : 0;

    if (ctx == NULL || status != 0 || ctx->deadline_ns == WB_NEVER || wb_ctx_now_ns(ctx) < ctx->deadline_ns)
        return status;
    /* Only one of cancel and deadline wins, and the winner stays. */
    return atomic_compare_exchange_strong(&ctx->status, &status, -ETIMEDOUT) ? -ETIMEDOUT : status;
}

int64_t blob_ctx_remaining_ms(blob_ctx *ctx)
{
    int64_t left;

    if (blob_ctx_status(ctx) != 0)
        return 0;
    if (ctx == NULL || ctx->deadline_ns == WB_NEVER)
        return INT64_MAX;
    left = ctx->deadline_ns - wb_ctx_now_ns(ctx);
    return left > 0 ? (left - 1) / 1000000 + 1 : 0;
}

int blob_ctx_fd(blob_ctx *ctx)
{
    int fd;

    if (ctx == NULL)
        return -1;
    pthread_mutex_lock(&ctx->root->lock);
    if (ctx->fd < 0) {
        ctx->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (ctx->fd < 0)
            ctx->fd = -1;
        else if (ctx->cancelled)
            ctx_raise_fd(ctx);
    }
    fd = ctx->fd >= 0 ? ctx->fd : blob_fail(-errno, 0, "no file descriptor to watch a context with");
    pthread_mutex_unlock(&ctx->root->lock);
    return fd;
}

int blob_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    int rc;

    if (cond == NULL)
        return blob_fail(-EINVAL, 0, "blob_cond_init needs a condition variable");
    rc = pthread_condattr_init(&attr);
    if (rc == 0) {
        rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        if (rc == 0)
            rc = pthread_cond_init(cond, &attr);
        pthread_condattr_destroy(&attr);
    }
    return rc == 0 ? 0 : blob_fail(-rc, 0, "cannot make a condition variable");
}

/* False: ctx has ended, and the waiter is not listed. */
static bool ctx_enlist(blob_ctx *ctx, ctx_waiter *waiter, pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    bool running;

    if (ctx == NULL)
        return true;
    *waiter = (ctx_waiter){.ctx = ctx, .cond = cond, .mutex = mutex};
    pthread_mutex_lock(&ctx->root->lock);
    running = atomic_load(&ctx->status) == 0;
    if (running) {
        waiter->listed = true;
        waiter->moves = ctx->root->moves;
        waiter->next = ctx->root->waiters;
        if (waiter->next != NULL)
            waiter->next->prev = waiter;
        ctx->root->waiters = waiter;
    }
    pthread_mutex_unlock(&ctx->root->lock);
    return running; /* waiter->listed is a cancel's to change from here on */
}

static void ctx_delist(ctx_waiter *waiter)
{
    blob_ctx *root;

    if (waiter->ctx == NULL)
        return;
    root = waiter->ctx->root;
    pthread_mutex_lock(&root->lock);
    ctx_unlist_locked(root, waiter);
    if (!waiter->pinned) {
        pthread_mutex_unlock(&root->lock);
        return;
    }
    /* The cancel that holds the pin may be waiting for our mutex: let it in. */
    pthread_mutex_unlock(waiter->mutex);
    while (waiter->pinned)
        pthread_cond_wait(&root->unpinned, &root->lock);
    pthread_mutex_unlock(&root->lock);
    pthread_mutex_lock(waiter->mutex);
}

static int64_t ctx_earlier(int64_t until_ns, const blob_ctx *ctx)
{
    return ctx != NULL && ctx->deadline_ns < until_ns ? ctx->deadline_ns : until_ns;
}

/* When to wake by the system's clock, until_ns being on ctx's: at once, or never, where that is another. */
static int64_t ctx_until(const blob_ctx *ctx, int64_t until_ns)
{
    until_ns = ctx_earlier(until_ns, ctx);
    if (ctx_clock(ctx) == NULL)
        return until_ns;
    return wb_ctx_now_ns(ctx) >= until_ns ? 0 : WB_NEVER;
}

static void ctx_sleep(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_ns)
{
    /* A time_t of 32 bits ends here, 68 years after boot; to wake up for nothing then is within the rules. */
    int64_t seconds = until_ns / 1000000000 < INT32_MAX ? until_ns / 1000000000 : INT32_MAX;
    struct timespec until = {.tv_sec = (time_t)seconds, .tv_nsec = (long)(until_ns % 1000000000)};

    if (until_ns == WB_NEVER)
        pthread_cond_wait(cond, mutex);
    else
        pthread_cond_timedwait(cond, mutex, &until);
}

int wb_ctx_wait(blob_ctx *a, blob_ctx *b, pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_ns)
{
    ctx_waiter on_a = {0}, on_b = {0};
    int status = blob_ctx_status(a);

    if (status == 0)
        status = blob_ctx_status(b);
    if (status != 0)
        return status;
    if (ctx_enlist(a, &on_a, cond, mutex) && ctx_enlist(b, &on_b, cond, mutex)) {
        int64_t until_a_ns = ctx_until(a, until_ns), until_b_ns = ctx_until(b, WB_NEVER);

        ctx_sleep(cond, mutex, until_a_ns < until_b_ns ? until_a_ns : until_b_ns);
    }
    ctx_delist(&on_a);
    ctx_delist(&on_b);
    status = blob_ctx_status(a);
    return status != 0 ? status : blob_ctx_status(b);
}

int blob_ctx_wait(blob_ctx *ctx, pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    int status;

    if (cond == NULL || mutex == NULL)
        return blob_fail(-EINVAL, 0, "blob_ctx_wait needs a condition variable and its mutex");
    status = wb_ctx_wait(ctx, NULL, cond, mutex, WB_NEVER);
    return status == 0 ? 0 : blob_fail(status, 0, NULL);
}
