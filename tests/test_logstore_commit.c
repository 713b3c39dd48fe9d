/* test_logstore_commit.c - those who wait for a write: what they see, when they are told, and what becomes of them when
 * they give up. A gate holds the disk's syncs back, so each moment can be looked at. */
#include "simdisk.h"
#include "testutil.h"
#include "logstore/logstore.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define PUTTERS 6

typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    simdisk_op op; /* what it holds back */
    bool closed;
    unsigned passes;  /* closed, it lets so many through */
    unsigned waiting; /* syncs that it holds back */
    unsigned syncs;   /* of segments, so far */
} gate;

typedef struct rig {
    simdisk *disk;
    blob_store *s;
    gate gate;
} rig;

static void gate_watch(void *arg, const simdisk_call *call)
{
    gate *g = arg;

    pthread_mutex_lock(&g->lock);
    if (call->op != g->op) {
        pthread_mutex_unlock(&g->lock);
        return;
    }
    g->syncs++;
    g->waiting++;
    pthread_cond_broadcast(&g->changed);
    while (g->closed && g->passes == 0)
        pthread_cond_wait(&g->changed, &g->lock);
    g->passes -= g->closed;
    g->waiting--;
    pthread_mutex_unlock(&g->lock);
}

static void gate_set(gate *g, bool closed)
{
    pthread_mutex_lock(&g->lock);
    g->closed = closed;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

static void gate_reached(gate *g)
{
    pthread_mutex_lock(&g->lock);
    while (g->waiting == 0)
        pthread_cond_wait(&g->changed, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

static unsigned gate_syncs(gate *g)
{
    unsigned syncs;

    pthread_mutex_lock(&g->lock);
    syncs = g->syncs;
    pthread_mutex_unlock(&g->lock);
    return syncs;
}

static void rig_start_as(rig *r, const blob_logstore_options *options)
{
    test_watchdog(60);
    *r = (rig){.disk = simdisk_new(7), .gate.op = SIMDISK_SYNC};
    pthread_mutex_init(&r->gate.lock, NULL);
    pthread_cond_init(&r->gate.changed, NULL);
    test_ok(wb_log_open(&r->s, simdisk_mount(r->disk), "log", options, LOG_NO_KEEPER));
    test_ok(blob_store_put(r->s, NULL, test_key("first"), blob_view_of("", 0), 0)); /* makes the segment */
    simdisk_watch(r->disk, gate_watch, &r->gate);
}

static void rig_start(rig *r)
{
    rig_start_as(r, NULL);
}

static void rig_end(rig *r)
{
    gate_set(&r->gate, false);
    test_ok(blob_store_close(r->s, NULL));
    simdisk_free(r->disk);
    pthread_cond_destroy(&r->gate.changed);
    pthread_mutex_destroy(&r->gate.lock);
}

/* ---- callers on threads of their own ---- */

typedef enum deed { PUT, REPLACE, DELETE, DELETE_LAZY } deed;

typedef struct caller {
    pthread_t thread;
    rig *r;
    blob_ctx *ctx;
    const char *key, *bytes;
    deed what;
    int status;
    atomic_bool returned;
} caller;

static void *caller_run(void *arg)
{
    caller *c = arg;
    blob_key key = test_key(c->key);

    if (c->what == PUT || c->what == REPLACE)
        c->status = blob_store_put(c->r->s, c->ctx, key, blob_view_of(c->bytes, strlen(c->bytes)),
                                   c->what == REPLACE ? BLOB_REPLACE : 0);
    else
        c->status = blob_store_delete(c->r->s, c->ctx, key, c->what == DELETE_LAZY ? BLOB_LAZY : 0);
    atomic_store(&c->returned, true);
    return NULL;
}

static void call(caller *c, rig *r, deed what, const char *key, const char *bytes)
{
    *c = (caller){.r = r, .key = key, .bytes = bytes, .what = what};
    test_ok(blob_ctx_new(&c->ctx, NULL));
    assert_int_equal(pthread_create(&c->thread, NULL, caller_run, c), 0);
}

static int result(caller *c)
{
    assert_int_equal(pthread_join(c->thread, NULL), 0);
    blob_ctx_free(c->ctx);
    return c->status;
}

/* Until so many wait for a write, and so many for the change of a key that is under way. */
static void until_waiting(rig *r, uint64_t queued, unsigned settling)
{
    logstore *l = wb_log_of(r->s);

    for (;;) {
        bool there;

        pthread_mutex_lock(&l->lock);
        there = l->queued == queued && l->settling == settling;
        pthread_mutex_unlock(&l->lock);
        if (there)
            return;
        sched_yield();
    }
}

static int get(rig *r, const char *key, const char *bytes)
{
    blob *b = NULL;
    int rc = blob_store_get(r->s, NULL, test_key(key), &b);

    if (rc == 0) {
        assert_int_equal(b->size, strlen(bytes));
        assert_memory_equal(b->data, bytes, b->size);
    }
    blob_unref(b);
    return rc;
}

static int expect_not(void *arg, blob_key key, uint64_t size)
{
    const char *hidden = arg;

    (void)size;
    assert_false(key.size == strlen(hidden) && memcmp(key.data, hidden, key.size) == 0);
    return 0;
}

/* ---- what is seen, and when ---- */

static void a_put_is_seen_by_nobody_before_it_lasts(void **state)
{
    uint64_t size;
    caller c;
    rig r;
    (void)state;

    rig_start(&r);
    gate_set(&r.gate, true);
    call(&c, &r, PUT, "k", "bytes");
    gate_reached(&r.gate);
    test_status(get(&r, "k", ""), BLOB_NOT_FOUND);
    test_status(blob_store_size(r.s, NULL, test_key("k"), &size), BLOB_NOT_FOUND);
    assert_int_equal(test_len(r.s), 1);
    test_ok(blob_store_list(r.s, NULL, blob_key_of(NULL, 0), expect_not, (void *)"k"));
    gate_set(&r.gate, false);
    test_ok(result(&c));
    test_ok(get(&r, "k", "bytes"));
    assert_int_equal(test_len(r.s), 2);
    rig_end(&r);
}

static void exists_is_not_said_before_what_exists_lasts(void **state)
{
    caller first, second;
    rig r;
    (void)state;

    rig_start(&r);
    gate_set(&r.gate, true);
    call(&first, &r, PUT, "k", "bytes");
    gate_reached(&r.gate);
    call(&second, &r, PUT, "k", "bytes");
    until_waiting(&r, 0, 1); /* it waits; were it told at once, this would never come */
    gate_set(&r.gate, false);
    test_ok(result(&first));
    test_status(result(&second), BLOB_EXISTS);
    rig_end(&r);
}

static void a_replaced_blob_is_the_old_one_until_the_new_one_lasts(void **state)
{
    caller c;
    rig r;
    (void)state;

    rig_start(&r);
    test_ok(blob_store_put(r.s, NULL, test_key("k"), blob_view_of("old", 3), 0));
    gate_set(&r.gate, true);
    call(&c, &r, REPLACE, "k", "newer");
    gate_reached(&r.gate);
    test_ok(get(&r, "k", "old"));
    gate_set(&r.gate, false);
    test_ok(result(&c));
    test_ok(get(&r, "k", "newer"));
    rig_end(&r);
}

static void a_blob_is_there_until_its_delete_lasts(void **state)
{
    caller c, other;
    rig r;
    (void)state;

    rig_start(&r);
    test_ok(blob_store_put(r.s, NULL, test_key("k"), blob_view_of("bytes", 5), 0));
    gate_set(&r.gate, true);
    call(&c, &r, DELETE, "k", NULL);
    gate_reached(&r.gate);
    test_ok(get(&r, "k", "bytes"));
    call(&other, &r, PUT, "k", "again"); /* after the delete, not beside it */
    until_waiting(&r, 0, 1);
    gate_set(&r.gate, false);
    test_ok(result(&c));
    test_ok(result(&other));
    test_ok(get(&r, "k", "again"));
    rig_end(&r);
}

static void a_lazy_delete_waits_for_no_sync_but_for_the_put_of_its_key(void **state)
{
    caller put, lazy;
    rig r;
    (void)state;

    rig_start(&r);
    test_ok(blob_store_put(r.s, NULL, test_key("other"), blob_view_of("x", 1), 0));
    gate_set(&r.gate, true);
    call(&put, &r, PUT, "k", "bytes");
    gate_reached(&r.gate);
    test_ok(blob_store_delete(r.s, NULL, test_key("other"), BLOB_LAZY));
    test_status(get(&r, "other", ""), BLOB_NOT_FOUND);
    call(&lazy, &r, DELETE_LAZY, "k", NULL);
    until_waiting(&r, 0, 1);
    gate_set(&r.gate, false);
    test_ok(result(&put));
    test_ok(result(&lazy));
    test_status(get(&r, "k", ""), BLOB_NOT_FOUND);
    rig_end(&r);
}

/* ---- together ---- */

static void those_who_wait_share_one_sync(void **state)
{
    static const char *const keys[PUTTERS] = {"a", "b", "c", "d", "e", "f"};
    caller first, others[PUTTERS];
    unsigned before;
    rig r;
    (void)state;

    rig_start(&r);
    gate_set(&r.gate, true);
    call(&first, &r, PUT, "k", "bytes");
    gate_reached(&r.gate);
    for (unsigned i = 0; i < PUTTERS; i++)
        call(&others[i], &r, PUT, keys[i], keys[i]);
    until_waiting(&r, PUTTERS, 0);
    before = gate_syncs(&r.gate);
    gate_set(&r.gate, false);
    test_ok(result(&first));
    for (unsigned i = 0; i < PUTTERS; i++)
        test_ok(result(&others[i]));
    assert_int_equal(gate_syncs(&r.gate), before + 1);
    for (unsigned i = 0; i < PUTTERS; i++)
        test_ok(get(&r, keys[i], keys[i]));
    rig_end(&r);
}

/* ---- giving up ---- */

static void who_gives_up_in_the_queue_has_done_nothing(void **state)
{
    caller first, put, replace, gone;
    rig r;
    (void)state;

    rig_start(&r);
    test_ok(blob_store_put(r.s, NULL, test_key("there"), blob_view_of("old", 3), 0));
    test_ok(blob_store_put(r.s, NULL, test_key("stays"), blob_view_of("s", 1), 0));
    gate_set(&r.gate, true);
    call(&first, &r, PUT, "k", "bytes");
    gate_reached(&r.gate);
    call(&put, &r, PUT, "new", "n");
    until_waiting(&r, 1, 0);
    call(&replace, &r, REPLACE, "there", "newer");
    until_waiting(&r, 2, 0);
    call(&gone, &r, DELETE, "stays", NULL);
    until_waiting(&r, 3, 0);
    blob_ctx_cancel(replace.ctx); /* from the middle, the front and the end of the queue */
    test_status(result(&replace), -ECANCELED);
    blob_ctx_cancel(put.ctx);
    test_status(result(&put), -ECANCELED);
    blob_ctx_cancel(gone.ctx);
    test_status(result(&gone), -ECANCELED);
    until_waiting(&r, 0, 0);
    gate_set(&r.gate, false);
    test_ok(result(&first));
    test_status(get(&r, "new", ""), BLOB_NOT_FOUND);
    test_ok(get(&r, "there", "old"));
    test_ok(get(&r, "stays", "s"));
    /* And nothing of it stands in the way. */
    test_ok(blob_store_put(r.s, NULL, test_key("new"), blob_view_of("n", 1), 0));
    test_ok(blob_store_put(r.s, NULL, test_key("there"), blob_view_of("newer", 5), BLOB_REPLACE));
    test_ok(blob_store_delete(r.s, NULL, test_key("stays"), 0));
    rig_end(&r);
}

static void who_waits_for_the_disk_of_another_can_give_up(void **state)
{
    caller leader, waits;
    rig r;
    (void)state;

    rig_start(&r);
    gate_set(&r.gate, true);
    call(&leader, &r, PUT, "a", "a");
    gate_reached(&r.gate);
    call(&waits, &r, PUT, "a", "a"); /* for the outcome of the other one */
    until_waiting(&r, 0, 1);
    blob_ctx_cancel(waits.ctx);
    test_status(result(&waits), -ECANCELED);
    gate_set(&r.gate, false);
    test_ok(result(&leader));
    test_ok(get(&r, "a", "a"));
    rig_end(&r);
}

/* Two in one batch: the one that leads is held at the disk, the other one is being written for, and leaves. */
static void who_gives_up_while_it_is_written_may_still_be_stored(void **state)
{
    caller first, one, two;
    bool left = false;
    rig r;
    (void)state;

    rig_start(&r);
    gate_set(&r.gate, true);
    call(&first, &r, PUT, "k", "bytes");
    gate_reached(&r.gate);
    call(&one, &r, PUT, "one", "1");
    call(&two, &r, PUT, "two", "2");
    until_waiting(&r, 2, 0);
    pthread_mutex_lock(&r.gate.lock);
    r.gate.passes = 1;
    pthread_cond_broadcast(&r.gate.changed);
    while (r.gate.syncs < 2) /* theirs has come, and is held */
        pthread_cond_wait(&r.gate.changed, &r.gate.lock);
    pthread_mutex_unlock(&r.gate.lock);
    test_ok(result(&first));
    blob_ctx_cancel(one.ctx);
    blob_ctx_cancel(two.ctx);
    while (!left) {
        left = atomic_load(&one.returned) || atomic_load(&two.returned);
        sched_yield();
    }
    gate_set(&r.gate, false);
    (void)result(&one);
    (void)result(&two);
    assert_int_equal(one.status + two.status, -ECANCELED); /* one of them; the other one has done the work */
    test_ok(get(&r, "one", "1"));
    test_ok(get(&r, "two", "2"));
    assert_int_equal(test_len(r.s), 4);
    rig_end(&r);
}

/* ---- when a segment fails ---- */

static void gate_switch(gate *g, simdisk_op op)
{
    pthread_mutex_lock(&g->lock);
    g->op = op;
    g->passes = 1; /* for the one that it holds back now */
    pthread_cond_broadcast(&g->changed);
    while (g->passes > 0)
        pthread_cond_wait(&g->changed, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

/* A blob that is not synced yet is in a segment that fails, while a replacement of it waits in the queue; that is given up
 * once the blob has been brought to the next segment. */
static void a_blob_outlives_its_segment_whatever_waits_to_change_it(void **state)
{
    blob_logstore_options o = blob_logstore_options_default();
    simdisk_fault fault = {.ops = SIMDISK_BIT(SIMDISK_WRITE), .count = 1, .status = -EIO};
    caller other, replace;
    rig r;
    (void)state;

    o.sync = BLOB_LOGSTORE_SYNC_INTERVAL;
    rig_start_as(&r, &o);
    test_ok(blob_store_put(r.s, NULL, test_key("k"), blob_view_of("old", 3), 0));
    r.gate.op = SIMDISK_WRITE;
    gate_set(&r.gate, true);
    call(&other, &r, PUT, "p", "p");
    gate_reached(&r.gate);
    call(&replace, &r, REPLACE, "k", "newer");
    until_waiting(&r, 1, 0);
    simdisk_fail(r.disk, &fault);
    gate_switch(&r.gate, SIMDISK_SYNC); /* the write fails; the header of the next segment is held */
    gate_reached(&r.gate);
    blob_ctx_cancel(replace.ctx);
    test_status(result(&replace), -ECANCELED);
    gate_set(&r.gate, false);
    test_ok(result(&other));
    test_ok(get(&r, "k", "old"));
    simdisk_watch(r.disk, NULL, NULL);
    test_ok(blob_store_close(r.s, NULL));
    simdisk_power_cut(r.disk, &(simdisk_fate){.bytes = SIMDISK_DROPPED, .names = SIMDISK_DROPPED});
    test_ok(wb_log_open(&r.s, simdisk_mount(r.disk), "log", NULL, LOG_NO_KEEPER));
    test_ok(get(&r, "k", "old"));
    test_ok(get(&r, "p", "p"));
    rig_end(&r);
}

/* ---- reading ---- */

static void a_segment_that_is_read_is_not_used_again(void **state)
{
    log_segment *first;
    bool done = true;
    logstore *l;
    rig r;
    (void)state;

    rig_start(&r);
    l = wb_log_of(r.s);
    test_ok(blob_store_delete(r.s, NULL, test_key("first"), 0));
    pthread_mutex_lock(&l->lock);
    first = l->oldest;
    test_ok(wb_log_pin_locked(l, first));
    pthread_mutex_unlock(&l->lock);
    test_ok(wb_log_rotate(l, 1, 1, true));
    test_ok(wb_log_retire(l, &done));
    assert_false(done);
    assert_ptr_equal(l->oldest, first);
    pthread_mutex_lock(&l->lock);
    wb_log_unpin_locked(l, first);
    pthread_mutex_unlock(&l->lock);
    test_ok(wb_log_retire(l, &done));
    assert_true(done);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_put_is_seen_by_nobody_before_it_lasts),
        cmocka_unit_test(exists_is_not_said_before_what_exists_lasts),
        cmocka_unit_test(a_replaced_blob_is_the_old_one_until_the_new_one_lasts),
        cmocka_unit_test(a_blob_is_there_until_its_delete_lasts),
        cmocka_unit_test(a_lazy_delete_waits_for_no_sync_but_for_the_put_of_its_key),
        cmocka_unit_test(those_who_wait_share_one_sync),
        cmocka_unit_test(who_gives_up_in_the_queue_has_done_nothing),
        cmocka_unit_test(who_waits_for_the_disk_of_another_can_give_up),
        cmocka_unit_test(who_gives_up_while_it_is_written_may_still_be_stored),
        cmocka_unit_test(a_blob_outlives_its_segment_whatever_waits_to_change_it),
        cmocka_unit_test(a_segment_that_is_read_is_not_used_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
