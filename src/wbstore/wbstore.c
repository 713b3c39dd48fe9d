/* wbstore.c - the wrapper's life: made, closed, freed; and its face as a store. */
#include "blob/options.h"
#include "blob/store.h"
#include "wbstore/wrapper.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const blob_store_ops wrapper_ops;

static bool wrapper_is(const blob_store *s)
{
    return s->ops == &wrapper_ops;
}

/* ---- making ---- */

#define DWELL_MAX_MS (INT64_MAX / 4) /* so that times can be added to it */

static int options_check(const wbstore_options *o)
{
    if (o->when_full < WBSTORE_FULL_WAIT || o->when_full > WBSTORE_FULL_WRITE_THROUGH)
        return blob_fail(-EINVAL, 0, "option when_full is none of the three");
    if (o->attempt_timeout_ms < 0 || o->retry_min_ms < 0 || o->retry_max_ms < 0 || o->dwell_ms < 0)
        return blob_fail(-EINVAL, 0, "an option's time is negative");
    if (o->retry_max_ms > 0 && o->retry_min_ms > o->retry_max_ms)
        return blob_fail(-EINVAL, 0, "option retry_min_ms is above retry_max_ms");
    if (o->no_verify > 1 || o->unified_view > 1)
        return blob_fail(-EINVAL, 0, "option no_verify or unified_view is neither 0 nor 1");
    return 0;
}

static int options_check_stack(size_t stack_bytes)
{
    pthread_attr_t attr;
    int rc = 0;

    if (stack_bytes > 0 && (rc = pthread_attr_init(&attr)) == 0) {
        rc = pthread_attr_setstacksize(&attr, stack_bytes);
        pthread_attr_destroy(&attr);
    }
    return rc == 0 ? 0 : blob_fail(-rc, 0, "option writer_stack_bytes: %zu is no stack", stack_bytes);
}

static int options_take(wbstore_options *to, const wbstore_options *from)
{
    int rc;

    *to = wbstore_options_default();
    if (from != NULL) {
        rc = wb_options_copy(to, sizeof *to, from, from->struct_size);
        if (rc != 0)
            return rc;
    }
    to->struct_size = sizeof *to;
    if ((rc = options_check(to)) != 0 || (rc = options_check_stack(to->writer_stack_bytes)) != 0)
        return rc;
    if (to->writers_max == 0)
        to->writers_max = 64;
    if (to->dwell_ms > DWELL_MAX_MS)
        to->dwell_ms = DWELL_MAX_MS;
    if (to->retry_min_ms == 0)
        to->retry_min_ms = to->retry_max_ms > 0 && to->retry_max_ms < 50 ? to->retry_max_ms : 50;
    if (to->retry_max_ms == 0)
        to->retry_max_ms = to->retry_min_ms > 20000 ? to->retry_min_ms : 20000;
    return 0;
}

static int wrapper_init_conds(wbstore *w)
{
    pthread_cond_t *conds[] = {&w->work, &w->turn, &w->settled, &w->house, &w->news, &w->stopped};
    size_t made = 0, count = sizeof conds / sizeof conds[0];
    int rc = pthread_mutex_init(&w->lock, NULL);

    if (rc != 0)
        return blob_fail(-rc, 0, "cannot make a wrapper's lock");
    while (made < count && (rc = blob_cond_init(conds[made])) == 0)
        made++;
    if (rc == 0)
        return 0;
    while (made-- > 0)
        pthread_cond_destroy(conds[made]);
    pthread_mutex_destroy(&w->lock);
    return rc;
}

static void wrapper_free_conds(wbstore *w)
{
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->turn);
    pthread_cond_destroy(&w->settled);
    pthread_cond_destroy(&w->house);
    pthread_cond_destroy(&w->news);
    pthread_cond_destroy(&w->stopped);
    pthread_mutex_destroy(&w->lock);
}

static int wrapper_check(blob_ctx *ctx, blob_store *base, blob_store *buf, size_t *address_size)
{
    blob_address address;
    int rc;

    *address_size = 0;
    if (base == NULL || base->ops == NULL || buf == NULL || buf->ops == NULL)
        return blob_fail(-EINVAL, 0, "a wrapper needs a base and a buffer");
    if (base == buf)
        return blob_fail(-EINVAL, 0, "base and buffer are the same store");
    if (wrapper_is(buf))
        return blob_fail(-EINVAL, 0, "a wrapper cannot be a buffer; it can be a base");
    if ((rc = blob_ctx_status(ctx)) != 0)
        return blob_fail(rc, 0, "the context that would govern the wrapper has ended");
    rc = blob_store_cas_key(base, NULL, blob_view_of(NULL, 0), &address);
    *address_size = address.size;
    return rc;
}

int wbstore_new(wbstore **out, blob_ctx *ctx, blob_store *base, blob_store *buf, const wbstore_options *options)
{
    wbstore *w = NULL;
    wbstore_options taken;
    size_t address_size;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int rc;

    if (out == NULL)
        return blob_fail(-EINVAL, 0, "wbstore_new needs an out");
    *out = NULL;
    if ((rc = wrapper_check(ctx, base, buf, &address_size)) != 0 || (rc = options_take(&taken, options)) != 0)
        return rc;
    w = calloc(1, sizeof *w);
    if (w == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for a wrapper");
    w->store.ops = &wrapper_ops;
    w->base = base;
    w->buf = buf;
    w->options = taken;
    w->address_size = address_size;
    w->base_checks_keys = (wb_store_traits(base) & BLOB_TRAIT_CHECKS_KEYS) != 0;
    w->doubt_ms = wb_store_in_doubt_ms(base);
    w->resuming = true;
    w->awaited_order = UINT64_MAX;
    w->spawn_due_ns = w->tell_due_ns = w->urgent_due_ns = WB_NEVER;
    w->random = ((uint64_t)wb_now_ns() ^ (uint64_t)(uintptr_t)w) | 1;
    wb_fork_guard_init(&w->guard);
    if ((rc = wb_ledger_init(&w->ledger, w->random * 0x9e3779b97f4a7c15u)) != 0)
        goto no_ledger;
    w->ledger.dwell_ms = taken.dwell_ms;
    if ((rc = wrapper_init_conds(w)) != 0)
        goto no_conds;
    if ((rc = blob_ctx_new(&w->run, ctx)) != 0)
        goto no_run;
    wb_pace_init(&w->pace, taken.writers_max, taken.base_puts_per_s_max, taken.base_bytes_per_s_max, wb_time_ns(w));
    w->pace.processors = processors > 0 ? (unsigned)processors : 1;
    if ((rc = wb_house_start(w)) != 0)
        goto no_house;
    *out = w;
    return 0;

no_house:
    blob_ctx_free(w->run);
no_run:
    wrapper_free_conds(w);
no_conds:
    wb_ledger_free(&w->ledger);
no_ledger:
    wb_fork_guard_free(&w->guard);
    free(w);
    return rc;
}

/* ---- ending ---- */

int wbstore_close(wbstore *w, blob_ctx *ctx) /* model: Closer */
{
    int rc = 0;

    if (w == NULL)
        return blob_fail(-EINVAL, 0, "close: no wrapper");
    if (wb_fork_guard_is_child(&w->guard))
        return wb_closed(w);
    if (wb_is_teller(w))
        return blob_fail(-EDEADLK, 0, "close called from the event callback, which it would wait for");
    blob_ctx_cancel(w->run);
    pthread_mutex_lock(&w->lock);
    while (w->threads > 0 && rc == 0)
        rc = wb_ctx_wait(ctx, NULL, &w->stopped, &w->lock, WB_NEVER);
    if (w->threads == 0) {
        rc = 0;
        /* They have let go of the lock for the last time, so joining them under it waits for nothing. */
        if (!w->joined)
            pthread_join(w->housekeeper, NULL);
        w->joined = true;
        wb_workers_join_finished(w);
    }
    pthread_mutex_unlock(&w->lock);
    return rc == 0 ? 0 : blob_fail(rc, 0, "still stopping: an upload or a callback has not returned; call again");
}

void wbstore_free(wbstore *w)
{
    if (w == NULL || wbstore_close(w, NULL) != 0)
        return; /* in a forked child, or in the event callback, it is not ours to free */
    blob_ctx_free(w->run);
    wrapper_free_conds(w);
    wb_ledger_free(&w->ledger);
    wb_fork_guard_free(&w->guard);
    free(w);
}

blob_store *wbstore_buffer(wbstore *w)
{
    return w != NULL ? w->buf : NULL;
}

blob_store *wbstore_as_store(wbstore *w)
{
    return w != NULL ? &w->store : NULL;
}

/* ---- the wrapper as a store ---- */

static wbstore *wrapper_of(blob_store *s)
{
    assert(wrapper_is(s));
    return (wbstore *)(void *)s;
}

static int wrapper_get(blob_store *s, blob_ctx *ctx, blob_key key, blob **out)
{
    return wbstore_get(wrapper_of(s), ctx, key, out);
}

static int wrapper_put(blob_store *s, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags)
{
    return wbstore_put(wrapper_of(s), ctx, key, data, flags);
}

/* A delete of the wrapper's is always lasting: a lazy one asks for less. */
static int wrapper_delete(blob_store *s, blob_ctx *ctx, blob_key key, unsigned flags)
{
    (void)flags;
    return wbstore_delete(wrapper_of(s), ctx, key);
}

static int wrapper_size(blob_store *s, blob_ctx *ctx, blob_key key, uint64_t *out)
{
    return wbstore_size(wrapper_of(s), ctx, key, out);
}

static int wrapper_list(blob_store *s, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg)
{
    return wbstore_list(wrapper_of(s), ctx, start, fn, arg);
}

static int wrapper_len(blob_store *s, blob_ctx *ctx, uint64_t *out)
{
    return wbstore_len(wrapper_of(s), ctx, out);
}

static int wrapper_close(blob_store *s, blob_ctx *ctx)
{
    return wbstore_close(wrapper_of(s), ctx);
}

static int wrapper_cas_key(blob_store *s, blob_ctx *ctx, blob_view data, blob_address *out)
{
    return blob_store_cas_key(wrapper_of(s)->base, ctx, data, out);
}

static int wrapper_cas_put(blob_store *s, blob_ctx *ctx, blob_view data, blob_address *out)
{
    return wbstore_cas_put(wrapper_of(s), ctx, data.data, data.size, out);
}

static unsigned wrapper_traits(blob_store *s)
{
    return wb_store_traits(wrapper_of(s)->base);
}

static int64_t wrapper_in_doubt_ms(blob_store *s)
{
    return wb_store_in_doubt_ms(wrapper_of(s)->base);
}

static const blob_store_ops wrapper_ops = {
    .struct_size = sizeof(blob_store_ops),
    .name = "wbstore",
    .get = wrapper_get,
    .put = wrapper_put,
    .del = wrapper_delete,
    .size = wrapper_size,
    .list = wrapper_list,
    .len = wrapper_len,
    .close = wrapper_close,
    .cas_key = wrapper_cas_key,
    .cas_put = wrapper_cas_put,
    .traits = wrapper_traits,
    .in_doubt_ms = wrapper_in_doubt_ms,
};
