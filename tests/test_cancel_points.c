/* test_cancel_points.c - every point at which a call waits, counted: the call is made again and again, and its context cancelled
 * as it begins its first wait, its second, and so on, until it waits no more. Each time the call says -ECANCELED, or has done
 * its work; nothing is lost, and the next call works.
 *
 * The waits of the library come through here (the linker's --wrap), on the thread that calls. What is waited for comes once
 * the call waits, and not before: the server holds the uploads up, the event callback does not return. */
#include "s3sim.h"
#include "testutil.h"

#include "blob/ctx.h"

#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wbstore/wbstore.h>

/* ---- the points ---- */

static _Thread_local struct {
    blob_ctx *ctx; /* NULL: not looked at */
    long nth, seen;
} points;

static s3sim *sim;
static sem_t told, may_return; /* of the event callback */

/* What holds up uploads and events goes. */
static void let_go(void)
{
    s3sim_clear(sim);
    s3sim_release(sim);
    sem_post(&may_return);
}

static void point(void)
{
    if (points.ctx == NULL)
        return;
    if (points.seen++ == points.nth)
        blob_ctx_cancel(points.ctx);
    let_go();
}

int __real_wb_ctx_wait(blob_ctx *a, blob_ctx *b, pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_ns);
int __wrap_wb_ctx_wait(blob_ctx *a, blob_ctx *b, pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_ns);
int __real_blob_ctx_wait(blob_ctx *ctx, pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_blob_ctx_wait(blob_ctx *ctx, pthread_cond_t *cond, pthread_mutex_t *mutex);
int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);

int __wrap_wb_ctx_wait(blob_ctx *a, blob_ctx *b, pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_ns)
{
    point();
    return __real_wb_ctx_wait(a, b, cond, mutex, until_ns);
}

int __wrap_blob_ctx_wait(blob_ctx *ctx, pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    point();
    return __real_blob_ctx_wait(ctx, cond, mutex);
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    point();
    return __real_poll(fds, count, timeout_ms);
}

/* ---- the world of a call ---- */

typedef struct world {
    blob_store *base, *buf;
    wbstore *w;
    blob_address blob; /* of "a blob" */
    uint64_t ticket;
} world;

typedef struct act {
    const char *name;
    void (*prepare)(world *o);
    int (*call)(world *o, blob_ctx *ctx);
    int want, or_want;         /* made again after it was cancelled, it may find its work done */
    void (*after)(world *o);   /* what must hold when it is through */
    unsigned buffer_blobs_max; /* option */
} act;

static void on_event(void *arg, const wbstore_event *event);

static void world_begins(world *o, const act *a)
{
    blob_s3store_options so = blob_s3store_options_default();
    wbstore_options wo = wbstore_options_default();
    s3sim_settings settings;
    char endpoint[64];

    *o = (world){.base = NULL};
    assert_int_equal(sem_init(&told, 0, 0) | sem_init(&may_return, 0, 0), 0);
    sim = s3sim_start();
    settings = s3sim_get(sim);
    settings.latency_us = 3000;
    s3sim_set(sim, &settings);
    snprintf(endpoint, sizeof endpoint, "http://localhost:%u", http_server_port(s3sim_http(sim)));
    so.endpoint = endpoint;
    so.bucket = "bucket";
    so.access_key = "SIMACCESSKEY";
    so.secret_key = "secret";
    so.idle_timeout_ms = so.total_timeout_ms = so.connect_timeout_ms = 100000;
    so.in_doubt_ms = -1;
    wo.buffer_blobs_max = a->buffer_blobs_max;
    wo.retry_min_ms = wo.retry_max_ms = 1;
    wo.on_event = on_event;
    wo.event_arg = (void *)(uintptr_t)a;
    test_ok(blob_s3store_open(&o->base, &so));
    test_ok(blob_memstore_new(&o->buf));
    test_ok(wbstore_new(&o->w, NULL, o->base, o->buf, &wo));
    test_ok(blob_store_cas_key(o->base, NULL, blob_view_of("a blob", 6), &o->blob));
}

static void world_ends(world *o)
{
    wbstore_free(o->w);
    test_ok(blob_store_close(o->buf, NULL));
    test_ok(blob_store_close(o->base, NULL));
    s3sim_stop(sim);
    sem_destroy(&may_return);
    sem_destroy(&told);
}

static bool in_base(const world *o)
{
    char name[2 * BLOB_ADDRESS_MAX + 1];

    blob_key_hex(blob_address_key(&o->blob), name);
    return s3sim_has(sim, name);
}

static void put_there(world *o)
{
    char name[2 * BLOB_ADDRESS_MAX + 1];

    blob_key_hex(blob_address_key(&o->blob), name);
    s3sim_put(sim, name, "a blob", 6);
}

/* Its upload is under way, and held up. */
static void put_pending(world *o)
{
    s3sim_fail(sim, &(s3sim_fault){.act = S3SIM_STALL, .method = "PUT"});
    test_ok(wbstore_cas_put_ticket(o->w, NULL, "a blob", 6, NULL, &o->ticket));
    s3sim_stalled_await(sim, 1);
}

/* The same, but what was sent of it is never carried out: not after a delete has called it off either. */
static void put_pending_in_vain(world *o)
{
    s3sim_fail(sim, &(s3sim_fault){.act = S3SIM_READ_NOTHING, .method = "PUT"});
    test_ok(wbstore_cas_put(o->w, NULL, "a blob", 6, NULL));
    s3sim_requests_await(sim, "PUT", 1);
}

/* Until it is uploaded nothing else has room. */
static void put_another(world *o)
{
    s3sim_fail(sim, &(s3sim_fault){.act = S3SIM_STALL, .method = "PUT"});
    test_ok(wbstore_cas_put(o->w, NULL, "another", 7, NULL));
    s3sim_stalled_await(sim, 1);
}

/* The wrapper is telling of an event: who closes it waits for that. */
static void put_and_tell(world *o)
{
    test_ok(wbstore_cas_put(o->w, NULL, "a blob", 6, NULL));
    while (sem_wait(&told) != 0)
        ;
}

static void on_event(void *arg, const wbstore_event *event)
{
    const act *a = arg;

    if (a->prepare != put_and_tell || event->kind != WBSTORE_EVENT_DRAINED)
        return;
    sem_post(&told);
    while (sem_wait(&may_return) != 0)
        ;
}

static void is_in_base(world *o)
{
    assert_true(in_base(o));
}

static void is_accepted(world *o)
{
    test_ok(wbstore_sync(o->w, NULL));
    assert_true(in_base(o));
}

static void is_gone(world *o)
{
    test_ok(wbstore_sync(o->w, NULL));
    assert_false(in_base(o));
}

/* ---- calls ---- */

static int call_sync(world *o, blob_ctx *ctx)
{
    return wbstore_sync(o->w, ctx);
}

static int call_wait(world *o, blob_ctx *ctx)
{
    return wbstore_wait(o->w, ctx, o->ticket);
}

static int call_wait_keys(world *o, blob_ctx *ctx)
{
    blob_key key = blob_address_key(&o->blob);

    return wbstore_wait_keys(o->w, ctx, &key, 1);
}

static int call_cas_put(world *o, blob_ctx *ctx)
{
    return wbstore_cas_put(o->w, ctx, "a blob", 6, NULL);
}

static int call_put(world *o, blob_ctx *ctx)
{
    return wbstore_put(o->w, ctx, blob_address_key(&o->blob), blob_view_of("a blob", 6), 0);
}

static int call_replace(world *o, blob_ctx *ctx)
{
    return wbstore_put(o->w, ctx, blob_address_key(&o->blob), blob_view_of("a blob", 6), BLOB_REPLACE);
}

static int call_delete(world *o, blob_ctx *ctx)
{
    return wbstore_delete(o->w, ctx, blob_address_key(&o->blob));
}

static int call_get(world *o, blob_ctx *ctx)
{
    blob *b = NULL;
    int rc = wbstore_get(o->w, ctx, blob_address_key(&o->blob), &b);

    assert_true((rc == 0) == (b != NULL));
    blob_unref(b);
    return rc;
}

static int call_size(world *o, blob_ctx *ctx)
{
    uint64_t size;

    return wbstore_size(o->w, ctx, blob_address_key(&o->blob), &size);
}

static int any_key(void *arg, blob_key key, uint64_t size)
{
    (void)arg;
    (void)key;
    (void)size;
    return 0;
}

static int call_list(world *o, blob_ctx *ctx)
{
    return wbstore_list(o->w, ctx, blob_key_of(NULL, 0), any_key, NULL);
}

static int call_len(world *o, blob_ctx *ctx)
{
    uint64_t len;

    return wbstore_len(o->w, ctx, &len);
}

static int call_close(world *o, blob_ctx *ctx)
{
    return wbstore_close(o->w, ctx);
}

/* What was not sent is still in the buffer. */
static void is_somewhere(world *o)
{
    assert_true(test_has(o->buf, blob_address_key(&o->blob)) || in_base(o));
}

static const act acts[] = {
    {.name = "sync", .prepare = put_pending, .call = call_sync, .after = is_in_base},
    {.name = "wait", .prepare = put_pending, .call = call_wait, .after = is_in_base},
    {.name = "wait_keys", .prepare = put_pending, .call = call_wait_keys, .after = is_in_base},
    {.name = "close", .prepare = put_and_tell, .call = call_close, .after = is_somewhere},
    {.name = "cas_put", .prepare = put_another, .call = call_cas_put, .after = is_accepted, .buffer_blobs_max = 1},
    {.name = "put", .call = call_put, .or_want = BLOB_EXISTS, .after = is_in_base},
    {.name = "put that replaces", .prepare = put_there, .call = call_replace, .after = is_in_base},
    {.name = "put over a pending blob", .prepare = put_pending, .call = call_replace, .after = is_accepted},
    {.name = "delete", .prepare = put_there, .call = call_delete, .or_want = BLOB_NOT_FOUND, .after = is_gone},
    {.name = "delete of a pending blob",
     .prepare = put_pending_in_vain,
     .call = call_delete,
     .or_want = BLOB_NOT_FOUND,
     .after = is_gone},
    {.name = "get", .prepare = put_there, .call = call_get, .after = is_in_base},
    {.name = "size", .prepare = put_there, .call = call_size, .after = is_in_base},
    {.name = "list", .prepare = put_there, .call = call_list, .after = is_in_base},
    {.name = "len", .prepare = put_there, .call = call_len, .after = is_in_base},
};

/* ---- the tests ---- */

static void made_again(world *o, const act *a)
{
    int rc = a->call(o, NULL);

    if (rc != a->or_want)
        test_status(rc, a->want);
}

/* True: it came to its nth wait, and its context ended there. */
static bool cancelled_at(const act *a, long nth, bool *said_so)
{
    blob_ctx *ctx;
    bool reached;
    world o;
    int rc;

    test_ok(blob_ctx_new(&ctx, NULL));
    world_begins(&o, a);
    if (a->prepare != NULL)
        a->prepare(&o);
    points.nth = nth;
    points.seen = 0;
    points.ctx = ctx;
    rc = a->call(&o, ctx);
    points.ctx = NULL;
    let_go();
    reached = points.seen > nth;
    *said_so = rc == -ECANCELED;
    if (rc != a->want && !(reached && *said_so))
        fail_msg("%s, cancelled at its wait %ld: %s", a->name, nth, blob_strerror(rc));
    if (rc != a->want)
        made_again(&o, a);
    a->after(&o);
    world_ends(&o);
    blob_ctx_free(ctx);
    return reached;
}

static void a_call_cancelled_at_any_of_its_waits_says_so_and_loses_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        bool said_so = true, ever = false;
        long nth = 0;
        for (; cancelled_at(&acts[i], nth, &said_so); nth++)
            ever = ever || said_so;
        if (nth == 0 || !ever)
            fail_msg("%s has %ld waits", acts[i].name, nth);
        print_message("%3ld waits: %s\n", nth, acts[i].name);
    }
}

static int set_up(void **state)
{
    (void)state;
    test_watchdog(250);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_call_cancelled_at_any_of_its_waits_says_so_and_loses_nothing, set_up),
    };

    return cmocka_run_group_tests_name("cancelled at every wait", tests, NULL, NULL);
}
