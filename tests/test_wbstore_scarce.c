/* test_wbstore_scarce.c - when threads or memory cannot be had, for a while or at the worst moment: nothing that was
 * accepted is lost, nothing hangs, and all goes on when they are there again.
 *
 * pthread_create, malloc, calloc and realloc come through here (the linker's --wrap), for the library and the tests. */
#include "wbinside.h"

#include "wbstore/wrapper.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_int threads_refused;   /* so many of the next are */
static atomic_long memory_countdown; /* so many more are granted, then one is not; below 0: all are */
static atomic_bool memory_gone;      /* none is granted */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
    int left = atomic_load(&threads_refused);

    while (left > 0)
        if (atomic_compare_exchange_weak(&threads_refused, &left, left - 1))
            return EAGAIN;
    return __real_pthread_create(thread, attr, run, arg);
}

static bool memory_granted(void)
{
    if (atomic_load(&memory_gone))
        return false;
    return atomic_load(&memory_countdown) < 0 || atomic_fetch_sub(&memory_countdown, 1) != 0;
}

void *__wrap_malloc(size_t size)
{
    return memory_granted() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t count, size_t size)
{
    return memory_granted() ? __real_calloc(count, size) : NULL;
}

void *__wrap_realloc(void *old, size_t size)
{
    return memory_granted() ? __real_realloc(old, size) : NULL;
}

static int set_up(void **state)
{
    atomic_store(&threads_refused, 0);
    atomic_store(&memory_countdown, -1);
    atomic_store(&memory_gone, false);
    return inside_set_up(state);
}

/* ---- threads ------------------------------------------------------------------------------------------------- */

static blob_ctx *ten_seconds(void)
{
    blob_ctx *ctx;

    test_ok(blob_ctx_new_timeout(&ctx, NULL, 10000));
    return ctx;
}

static bool somebody_keeps_the_time(const wbstore *w, const void *arg)
{
    (void)arg;
    return w->timekeeper != NULL;
}

/* The writer that would have woken for the first blob is busy with the second, and its successor could not be had. */
static void a_blob_is_tried_again_in_time_also_when_no_thread_could_be_had_to_wait_for_that(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("first"), b = wbrig_address("second");
    blob_key key = blob_address_key(&a);
    blob_ctx *ctx = ten_seconds();
    faultstore_rule *hung = inside_hold(r->base, FAULT_PUT, &b);

    faultstore_add(r->base,
                   &(faultstore_fault){
                       .ops = FAULT_PUT, .key = &key, .status = BLOB_UNAVAILABLE, .retry_after_ms = 300, .count = 1});
    wbrig_start(r);
    wbrig_put(r, "first");
    inside_until_state(r->w, key, WBSTORE_WAITING);
    inside_until(r->w, somebody_keeps_the_time, NULL);
    atomic_store(&threads_refused, 1);
    wbrig_put(r, "second");
    faultstore_wait_held(hung, 1);
    test_ok(wbstore_wait_keys(r->w, ctx, &key, 1));
    blob_ctx_free(ctx);
}

static void without_threads_puts_are_accepted_and_sent_once_there_are_some(void **state)
{
    wbrig *r = *state;
    blob_ctx *ctx = ten_seconds();

    wbrig_start(r);
    inside_until_resumed(r->w);
    atomic_store(&threads_refused, 20);
    for (unsigned i = 0; i < 10; i++)
        wbrig_put_number(r, i);
    test_ok(wbstore_sync(r->w, ctx));
    assert_int_equal(atomic_load(&threads_refused), 0);
    assert_int_equal(inside_stats(r).sent, 10);
    blob_ctx_free(ctx);
}

static void without_threads_a_wrapper_closes(void **state)
{
    wbrig *r = *state;
    blob_address a;

    wbrig_start(r);
    inside_until_resumed(r->w);
    atomic_store(&threads_refused, 1000000);
    a = wbrig_put_number(r, 1);
    test_ok(wbstore_close(r->w, NULL));
    assert_true(wbrig_in_buffer(r, &a));
    atomic_store(&threads_refused, 0);
}

static void a_wrapper_without_a_housekeeper_is_none(void **state)
{
    wbrig *r = *state;

    atomic_store(&threads_refused, 1);
    test_status(wbstore_new(&r->w, NULL, faultstore_store(r->base), faultstore_store(r->buf), &r->options), -EAGAIN);
    assert_null(r->w);
}

/* ---- memory -------------------------------------------------------------------------------------------------- */

/* A life of a wrapper over plain stores. Whatever fails may fail with -ENOMEM only; what was accepted and not deleted
 * is in buffer or base at the end, and in the base when there is memory again. */
enum { BLOBS = 6 };

typedef struct life {
    blob_store *mem, *base, *buf;
    bool kept[BLOBS];
} life;

static void life_is_there(const life *l)
{
    for (unsigned i = 0; i < BLOBS; i++) {
        char text[32];
        blob_address a;
        blob *b;
        if (!l->kept[i])
            continue;
        snprintf(text, sizeof text, "a life's %u", i);
        a = wbrig_address(text);
        if (blob_store_get(l->buf, NULL, blob_address_key(&a), &b) != 0) /* in this order: it may be on its way */
            test_ok(blob_store_get(l->mem, NULL, blob_address_key(&a), &b));
        assert_int_equal(b->size, strlen(text));
        assert_memory_equal(b->data, text, b->size);
        blob_unref(b);
    }
}

static void expect_no_memory(int rc)
{
    if (rc != 0)
        test_status(rc, -ENOMEM);
}

static void life_passes(life *l, wbstore *w)
{
    blob_ctx *ctx = NULL;
    blob_address a;
    uint64_t len;
    int rc;

    for (unsigned i = 0; i < BLOBS; i++) {
        char text[32];
        snprintf(text, sizeof text, "a life's %u", i);
        rc = wbstore_cas_put(w, NULL, text, strlen(text), &a);
        expect_no_memory(rc);
        l->kept[i] = rc == 0;
        if (i % 3 != 1)
            continue;
        rc = wbstore_delete(w, NULL, blob_address_key(&a));
        if (rc != BLOB_NOT_FOUND)
            expect_no_memory(rc);
        l->kept[i] = l->kept[i] && rc == -ENOMEM;
    }
    a = wbrig_address("a life's 0");
    rc = wbstore_put(w, NULL, blob_address_key(&a), blob_view_of("a life's 0", 10), BLOB_REPLACE);
    expect_no_memory(rc);
    l->kept[0] = l->kept[0] || rc == 0;
    expect_no_memory(wbstore_rescan(w, NULL));
    expect_no_memory(wbstore_len(w, NULL, &len));
    rc = blob_ctx_new_timeout(&ctx, NULL, 20000);
    expect_no_memory(rc);
    if (rc == 0)
        expect_no_memory(wbstore_sync(w, ctx));
    blob_ctx_free(ctx);
}

static void life_begins(life *l)
{
    *l = (life){.mem = NULL};
    test_ok(blob_memstore_new(&l->mem));
    test_ok(blob_hashcas_new(&l->base, l->mem, blob_hash_sha256()));
    test_ok(blob_memstore_new(&l->buf));
    test_put(l->buf, test_key("left from before"), "old");
}

static void life_ends(life *l)
{
    test_ok(blob_store_close(l->base, NULL));
    test_ok(blob_store_close(l->mem, NULL));
    test_ok(blob_store_close(l->buf, NULL));
}

/* True: that allocation was never reached. */
static bool life_lacks(long nth)
{
    wbstore_options o = wbstore_options_default();
    bool reached;
    wbstore *w;
    life l;
    int rc;

    o.retry_min_ms = o.retry_max_ms = 1;
    o.unified_view = 1;
    life_begins(&l);
    atomic_store(&memory_countdown, nth);
    rc = wbstore_new(&w, NULL, l.base, l.buf, &o);
    expect_no_memory(rc);
    if (rc == 0)
        life_passes(&l, w);
    reached = atomic_exchange(&memory_countdown, -1) < 0;
    if (rc == 0) {
        life_is_there(&l);
        while ((rc = wbstore_sync(w, NULL)) == -ENOMEM) /* the listing of the start is tried again in a moment */
            sched_yield();
        test_ok(rc);
        assert_int_equal(test_len(l.buf), 0);
        life_is_there(&l);
        test_expect(l.mem, test_key("left from before"), "old");
        wbstore_free(w);
    }
    life_ends(&l);
    return !reached;
}

static void each_allocation_may_fail(void **state)
{
    long nth = 0;

    (void)state;
    while (!life_lacks(nth))
        nth++;
    assert_true(nth > 30);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_blob_is_tried_again_in_time_also_when_no_thread_could_be_had_to_wait_for_that),
        TEST(without_threads_puts_are_accepted_and_sent_once_there_are_some),
        TEST(without_threads_a_wrapper_closes),
        TEST(a_wrapper_without_a_housekeeper_is_none),
        TEST(each_allocation_may_fail),
    };

    return cmocka_run_group_tests_name("threads and memory are scarce", tests, NULL, NULL);
}
