/* chaosstore.c - see chaosstore.h. */
#include "chaosstore.h"

#include "testutil.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct chaosstore {
    blob_store store; /* first */
    blob_store *inner;
    uint64_t seed;
    atomic_uint_fast64_t calls;
    pthread_mutex_t lock;
    pthread_cond_t never; /* nobody signals it: who waits here waits for time to pass */
    chaos now;            /* lock */
};

typedef struct chaos_call {
    chaosstore *c;
    chaos now;
    test_rng rng;
} chaos_call;

static chaosstore *cs_of(blob_store *s)
{
    return (chaosstore *)(void *)s;
}

static bool cs_chance(chaos_call *call, unsigned of_1000)
{
    return of_1000 > 0 && test_random_below(&call->rng, 1000) < of_1000;
}

static int cs_failure(chaos_call *call)
{
    static const int failures[] = {-EIO,        -ETIMEDOUT,       -ECANCELED,  BLOB_UNAVAILABLE, BLOB_CORRUPT,
                                   BLOB_CLOSED, BLOB_UNSUPPORTED, -EDEADLK,    -12345678,        1,
                                   -EIO,        -ETIMEDOUT,       BLOB_DENIED, BLOB_UNAVAILABLE, -EBUSY};

    return failures[test_random_below(&call->rng, sizeof failures / sizeof failures[0])];
}

/* Until ctx ends, but no longer than that. */
static void cs_wait(chaosstore *c, blob_ctx *ctx, int64_t us)
{
    blob_ctx *patience = NULL;
    int rc;

    if (blob_ctx_new_timeout(&patience, ctx, us / 1000 + 1) != 0)
        return;
    pthread_mutex_lock(&c->lock);
    do
        rc = blob_ctx_wait(patience, &c->never, &c->lock);
    while (rc == 0);
    pthread_mutex_unlock(&c->lock);
    blob_ctx_free(patience);
}

/* 0, or the status with which the call fails before it did anything. */
static int cs_begin(chaos_call *call, blob_store *s, blob_ctx *ctx)
{
    chaosstore *c = cs_of(s);
    int rc;

    call->c = c;
    call->rng.state = c->seed ^ (0xbf58476d1ce4e5b9u * (atomic_fetch_add(&c->calls, 1) + 1));
    pthread_mutex_lock(&c->lock);
    call->now = c->now;
    pthread_mutex_unlock(&c->lock);
    if (cs_chance(call, call->now.deaf))
        cs_wait(c, NULL, (int64_t)test_random_below(&call->rng, call->now.hang_us + 1));
    if (cs_chance(call, call->now.hang)) {
        cs_wait(c, ctx, call->now.hang_us);
        if ((rc = blob_ctx_status(ctx)) != 0)
            return blob_fail(rc, 0, "chaos hung");
    }
    return cs_chance(call, call->now.fail_before) ? blob_fail(cs_failure(call), 0, "chaos, before") : 0;
}

static int cs_end(chaos_call *call, int rc)
{
    int failure;

    if (rc != 0 || !cs_chance(call, call->now.fail_after))
        return rc;
    do
        failure = cs_failure(call);
    while (failure == BLOB_DENIED); /* that would be a refusal */
    return blob_fail(failure, 0, "chaos, after");
}

static int cs_get(blob_store *s, blob_ctx *ctx, blob_key key, blob **out)
{
    chaos_call call;
    int rc = cs_begin(&call, s, ctx);

    return rc != 0 ? rc : blob_store_get(call.c->inner, NULL, key, out);
}

static int cs_put(blob_store *s, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags)
{
    static const int refusals[] = {BLOB_REJECTED, BLOB_DENIED, -ENOMEM};
    chaos_call call;
    int rc = cs_begin(&call, s, ctx);

    if (rc != 0)
        return rc;
    if (cs_chance(&call, call.now.refuse))
        return blob_fail(refusals[test_random_below(&call.rng, 3)], 0, "chaos refuses");
    if (cs_chance(&call, call.now.full))
        return blob_fail(-ENOSPC, 0, "chaos is full");
    return cs_end(&call, blob_store_put(call.c->inner, NULL, key, data, flags));
}

static int cs_del(blob_store *s, blob_ctx *ctx, blob_key key, unsigned flags)
{
    chaos_call call;
    int rc = cs_begin(&call, s, ctx);

    return rc != 0 ? rc : cs_end(&call, blob_store_delete(call.c->inner, NULL, key, flags));
}

static int cs_size(blob_store *s, blob_ctx *ctx, blob_key key, uint64_t *out)
{
    chaos_call call;
    int rc = cs_begin(&call, s, ctx);

    return rc != 0 ? rc : blob_store_size(call.c->inner, NULL, key, out);
}

static int cs_list(blob_store *s, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg)
{
    chaos_call call;
    int rc = cs_begin(&call, s, ctx);

    return rc != 0 ? rc : blob_store_list(call.c->inner, ctx, start, fn, arg);
}

static int cs_len(blob_store *s, blob_ctx *ctx, uint64_t *out)
{
    chaos_call call;
    int rc = cs_begin(&call, s, ctx);

    return rc != 0 ? rc : blob_store_len(call.c->inner, NULL, out);
}

static int cs_cas_key(blob_store *s, blob_ctx *ctx, blob_view data, blob_address *out)
{
    return blob_store_cas_key(cs_of(s)->inner, ctx, data, out);
}

static int cs_close(blob_store *s, blob_ctx *ctx)
{
    chaosstore *c = cs_of(s);

    (void)ctx;
    pthread_cond_destroy(&c->never);
    pthread_mutex_destroy(&c->lock);
    free(c);
    return 0;
}

static const blob_store_ops cs_ops = {
    .struct_size = sizeof(blob_store_ops),
    .name = "chaosstore",
    .get = cs_get,
    .put = cs_put,
    .del = cs_del,
    .size = cs_size,
    .list = cs_list,
    .len = cs_len,
    .close = cs_close,
    .cas_key = cs_cas_key,
};

int chaosstore_new(chaosstore **out, blob_store *inner, uint64_t seed)
{
    chaosstore *c = calloc(1, sizeof *c);

    *out = NULL;
    if (c == NULL)
        return -ENOMEM;
    if (pthread_mutex_init(&c->lock, NULL) != 0 || blob_cond_init(&c->never) != 0) {
        free(c);
        return -EAGAIN;
    }
    c->store.ops = &cs_ops;
    c->inner = inner;
    c->seed = seed;
    atomic_init(&c->calls, 0);
    *out = c;
    return 0;
}

blob_store *chaosstore_store(chaosstore *c)
{
    return &c->store;
}

void chaosstore_set(chaosstore *c, const chaos *now)
{
    pthread_mutex_lock(&c->lock);
    c->now = now != NULL ? *now : (chaos){.fail_before = 0};
    pthread_mutex_unlock(&c->lock);
}

uint64_t chaosstore_calls(chaosstore *c)
{
    return atomic_load(&c->calls);
}
