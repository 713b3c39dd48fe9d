/* test_wbstore_room.c - the bounds of the buffer: what counts, who waits, in what order, and how a wait ends.
 * What else a host may want than to wait is in test_wbstore_full.c. */
#include "wbinside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAITERS 4

static const char *const texts[WAITERS] = {"one", "two", "three", "four"};

/* A wrapper with room for so many blobs and bytes, whose base takes nothing until the test says so. */
static blob_faultstore_rule *start(wbrig *r, uint64_t blobs_max, uint64_t bytes_max)
{
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);

    r->options.buffer_blobs_max = blobs_max;
    r->options.buffer_bytes_max = bytes_max;
    wbrig_start(r);
    inside_until_resumed(r->w);
    return gate;
}

/* Puts that wait for room, one behind the other. */
static void queue_up(wbrig_call *calls, wbrig *r, blob_ctx *ctx, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        inside_put(&calls[i], r, ctx, texts[i]);
        inside_until_room_waiters(r->w, i + 1);
    }
}

/* The n-th put that ever reached the buffer, by its bytes. */
static void expect_nth_buffered(wbrig *r, unsigned n, const char *text)
{
    blob_address a = wbrig_address(text);
    blob_faultstore_call call;
    unsigned seen = 0;

    for (size_t i = 0; blob_faultstore_history(r->buf, i, &call); i++)
        if (call.op == BLOB_FAULT_PUT && call.status == 0 && seen++ == n) {
            assert_int_equal(blob_key_compare(blob_key_of(call.key, call.key_size), blob_address_key(&a)), 0);
            return;
        }
    fail_msg("no put %u reached the buffer", n);
}

/* ---- waiting -------------------------------------------------------------------------------------------------------
 * */

static void a_put_that_finds_no_room_waits_until_a_blob_has_left(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = start(r, 1, 0);
    blob_address one = wbrig_address(texts[0]);
    wbrig_call put;

    wbrig_put(r, "first");
    queue_up(&put, r, NULL, 1);
    assert_false(wbrig_in_buffer(r, &one));
    assert_int_equal(inside_stats(r).pending_blobs, 1);
    blob_faultstore_wait_held(gate, 1);
    blob_faultstore_release(gate, 1);
    test_ok(wbrig_end(&put));
    assert_int_equal(put.ticket, 2);
    assert_true(wbrig_in_buffer(r, &one));
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    assert_true(wbrig_in_base(r, &one));
}

static void who_waits_for_room_is_served_in_order(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = start(r, 1, 0);
    wbrig_call puts[WAITERS];

    wbrig_put(r, "first");
    queue_up(puts, r, NULL, WAITERS);
    for (unsigned i = 0; i < WAITERS; i++) {
        blob_faultstore_wait_held(gate, 1);
        blob_faultstore_release(gate, 1);
        test_ok(wbrig_end(&puts[i])); /* the one that came first, and only that one */
        inside_until_room_waiters(r->w, WAITERS - 1 - i);
        assert_int_equal(puts[i].ticket, i + 2);
        expect_nth_buffered(r, i + 1, texts[i]);
    }
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
}

static void one_departure_that_makes_room_for_many_lets_many_in(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = start(r, 0, 30);
    wbrig_call puts[WAITERS];

    wbrig_put(r, "thirty bytes fill all the room");
    queue_up(puts, r, NULL, WAITERS);
    blob_faultstore_wait_held(gate, 1);
    blob_faultstore_release(gate, 1);
    for (unsigned i = 0; i < WAITERS; i++)
        test_ok(wbrig_end(&puts[i]));
    assert_int_equal(inside_stats(r).pending_blobs, WAITERS);
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
}

static void a_large_blob_is_not_starved_by_small_ones(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = start(r, 0, 10);
    wbrig_call large, small;

    wbrig_put(r, "six...");
    inside_put(&large, r, NULL, "all of ten");
    inside_until_room_waiters(r->w, 1);
    inside_put(&small, r, NULL, "two"); /* there is room for it, but it is not its turn */
    inside_until_room_waiters(r->w, 2);
    blob_faultstore_wait_held(gate, 1);
    blob_faultstore_release(gate, 1);
    test_ok(wbrig_end(&large));
    inside_until_room_waiters(r->w, 1);
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&small));
    expect_nth_buffered(r, 1, "all of ten");
    expect_nth_buffered(r, 2, "two");
}

static void a_wait_for_room_ends_with_its_context(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = start(r, 1, 0);
    wbrig_call puts[3], late;
    blob_ctx *ctx, *soon;

    test_ok(blob_ctx_new(&ctx, NULL));
    wbrig_put(r, "first");
    inside_put(&puts[0], r, NULL, texts[0]);
    inside_until_room_waiters(r->w, 1);
    inside_put(&puts[1], r, ctx, texts[1]);
    inside_until_room_waiters(r->w, 2);
    inside_put(&puts[2], r, NULL, texts[2]);
    inside_until_room_waiters(r->w, 3);
    blob_ctx_cancel(ctx); /* from the middle */
    test_status(wbrig_end(&puts[1]), -ECANCELED);
    assert_int_equal(puts[1].ticket, 0);
    inside_until_room_waiters(r->w, 2);
    test_ok(blob_ctx_new_timeout(&soon, NULL, 20));
    inside_put(&late, r, soon, texts[3]); /* from the end */
    test_status(wbrig_end(&late), -ETIMEDOUT);
    inside_until_room_waiters(r->w, 2);
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&puts[0]));
    test_ok(wbrig_end(&puts[2])); /* the others kept their places */
    expect_nth_buffered(r, 1, texts[0]);
    expect_nth_buffered(r, 2, texts[2]);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(inside_stats(r).accepted, 3);
    blob_ctx_free(ctx);
    blob_ctx_free(soon);
}

static void the_first_in_the_queue_that_gives_up_makes_way_for_the_next(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = start(r, 0, 10);
    wbrig_call large, small;
    blob_ctx *ctx;

    test_ok(blob_ctx_new(&ctx, NULL));
    wbrig_put(r, "six...");
    inside_put(&large, r, ctx, "all of ten");
    inside_until_room_waiters(r->w, 1);
    inside_put(&small, r, NULL, "two");
    inside_until_room_waiters(r->w, 2);
    blob_ctx_cancel(ctx);
    test_status(wbrig_end(&large), -ECANCELED);
    test_ok(wbrig_end(&small)); /* though nothing has left */
    assert_int_equal(inside_stats(r).pending_blobs, 2);
    blob_faultstore_lift(gate);
    blob_ctx_free(ctx);
}

static void close_ends_every_wait_for_room(void **state)
{
    wbrig *r = *state;
    wbrig_call puts[WAITERS];

    start(r, 1, 0);
    wbrig_put(r, "first");
    queue_up(puts, r, NULL, WAITERS);
    test_ok(wbstore_close(r->w, NULL));
    for (unsigned i = 0; i < WAITERS; i++)
        test_status(wbrig_end(&puts[i]), BLOB_CLOSED);
    assert_int_equal(inside_stats(r).accepted, 1);
}

/* ---- what counts
 * ----------------------------------------------------------------------------------------------------- */

static void what_was_resumed_takes_room(void **state)
{
    wbrig *r = *state;
    wbrig_call put;
    blob_faultstore_rule *gate;

    wbrig_buffer(r, "left behind");
    wbrig_buffer(r, "left behind too");
    gate = start(r, 2, 0);
    queue_up(&put, r, NULL, 1);
    blob_faultstore_wait_held(gate, 1);
    blob_faultstore_release(gate, 1);
    test_ok(wbrig_end(&put));
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(inside_stats(r).sent, 3);
}

static void a_duplicate_needs_no_room(void **state)
{
    wbrig *r = *state;
    uint64_t ticket;

    start(r, 1, 4);
    assert_int_equal(wbrig_put_ticket(r, "text"), 1);
    test_ok(wbstore_cas_put_ticket(r->w, NULL, "text", 4, NULL, &ticket));
    assert_int_equal(ticket, 2);
    assert_int_equal(inside_stats(r).deduplicated, 1);
    assert_int_equal(blob_faultstore_count(r->buf, BLOB_FAULT_PUT).calls, 1); /* nor another copy of the bytes */
}

/* Two wait with the same blob: when the first has stored it the second needs no room any more. */
static void a_duplicate_of_a_blob_that_waited_for_room_waits_no_longer_than_that(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    wbrig_call first, second;

    r->options.buffer_blobs_max = 1;
    wbrig_start(r);
    wbrig_put(r, "filler");
    blob_faultstore_wait_held(gate, 1);
    inside_put(&first, r, NULL, "text");
    inside_until_room_waiters(r->w, 1);
    inside_put(&second, r, NULL, "text");
    inside_until_room_waiters(r->w, 2);
    blob_faultstore_release(gate, 1);
    test_ok(wbrig_end(&first));
    test_ok(wbrig_end(&second)); /* the base has taken no other */
    assert_int_equal(inside_stats(r).deduplicated, 1);
    assert_int_equal(inside_stats(r).pending_blobs, 1);
}

/* What the buffer held under its key was larger. */
static void a_blob_that_is_replaced_by_its_own_bytes_makes_room(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("small");
    blob_faultstore_rule *gate;
    wbrig_call put;

    test_put(r->buf_mem, blob_address_key(&a), "much larger than what it should be");
    r->options.buffer_bytes_max = 40;
    wbrig_start(r);
    inside_until_state(r->w, blob_address_key(&a), WBSTORE_PARKED);
    gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    wbrig_put(r, "other");
    blob_faultstore_wait_held(gate, 1);
    inside_put(&put, r, NULL, "too large now");
    inside_until_room_waiters(r->w, 1);
    wbrig_put(r, "small");
    test_ok(wbrig_end(&put));
}

static void a_put_in_the_midst_of_writing_has_its_room_already(void **state)
{
    wbrig *r = *state;
    blob_address first = wbrig_address("first");
    blob_faultstore_rule *gate;
    wbrig_call writing, put;

    start(r, 1, 0);
    gate = inside_hold(r->buf, BLOB_FAULT_PUT, &first);
    inside_put(&writing, r, NULL, "first");
    blob_faultstore_wait_held(gate, 1);
    queue_up(&put, r, NULL, 1); /* it waits, though nothing is pending yet */
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&writing));
    inside_until_room_waiters(r->w, 1);
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&first)));
    test_ok(wbrig_end(&put));
}

static void a_put_that_is_refused_gives_its_room_back(void **state)
{
    static const int refusals[] = {BLOB_REJECTED, BLOB_DENIED, -EINVAL, -ENOMEM};
    wbrig *r = *state;
    blob_faultstore_rule *gate;
    wbrig_call writing, put;

    start(r, 1, 0);
    for (unsigned i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        blob_address one = wbrig_address(texts[0]);
        gate = blob_faultstore_add(
            r->buf, &(blob_faultstore_fault){
                        .ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_HOLD, .status = refusals[i], .count = 1});
        inside_put(&writing, r, NULL, "refused");
        blob_faultstore_wait_held(gate, 1);
        queue_up(&put, r, NULL, 1);
        blob_faultstore_lift(gate);
        test_status(wbrig_end(&writing), refusals[i]);
        assert_int_equal(writing.ticket, 0);
        test_ok(wbrig_end(&put));
        test_ok(wbstore_delete(r->w, NULL, blob_address_key(&one)));
        assert_int_equal(inside_stats(r).pending_blobs, 0);
    }
}

static void a_delete_makes_room(void **state)
{
    wbrig *r = *state;
    blob_address first;
    wbrig_call put;

    start(r, 1, 0);
    first = wbrig_put(r, "first");
    queue_up(&put, r, NULL, 1);
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&first)));
    test_ok(wbrig_end(&put));
    assert_int_equal(inside_stats(r).pending_blobs, 1);
}

static void a_put_with_replace_makes_room(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = start(r, 1, 0);
    wbrig_call put, replacing;
    blob_address first;

    first = wbrig_put(r, "first");
    blob_faultstore_wait_held(gate, 1);
    queue_up(&put, r, NULL, 1);
    inside_replace(&replacing, r, NULL, &first, "other bytes");
    blob_faultstore_wait_hits(gate, 2);
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&replacing));
    test_ok(wbrig_end(&put));
}

static void a_blob_of_no_bytes_counts_as_a_blob(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = start(r, 1, 0);
    wbrig_call put;

    wbrig_put(r, "");
    queue_up(&put, r, NULL, 1);
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&put));
}

/* ---- at all times
 * ------------------------------------------------------------------------------------------------------ */

#define LOAD_THREADS 4
#define LOAD_PUTS (WBRIG_SLOW ? 300 : 1500)

typedef struct load {
    wbrig *r;
    _Atomic bool failed, done;
    pthread_t watcher;
} load;

static void load_put(void *arg, unsigned index)
{
    load *l = arg;
    unsigned char bytes[100];

    for (unsigned i = 0; i < LOAD_PUTS; i++) {
        size_t size = 8 + (i * 7 + index) % 93;
        test_fill(index * 100000 + i, bytes, size);
        if (wbstore_cas_put(l->r->w, NULL, bytes, size, NULL) != 0)
            l->failed = true;
    }
}

static void *load_watch(void *arg)
{
    load *l = arg;

    while (!l->done) {
        wbstore_stats s = wbrig_stats(l->r);
        if (s.pending_blobs > 5 || s.pending_bytes > 200 ||
            s.accepted + s.resumed != s.sent + s.deleted + s.pending_blobs)
            l->failed = true;
    }
    return NULL;
}

static void the_bounds_hold_at_every_moment_of_a_crowd(void **state)
{
    wbrig *r = *state;
    load l = {.r = r};
    wbstore_stats stats;

    r->options.buffer_blobs_max = 5;
    r->options.buffer_bytes_max = 200;
    wbrig_start(r);
    test_thread_start(&l.watcher, load_watch, &l);
    test_threads_run(LOAD_THREADS, load_put, &l);
    test_ok(wbstore_sync(r->w, NULL));
    l.done = true;
    test_thread_join(l.watcher);
    assert_false(l.failed);
    stats = inside_stats(r);
    assert_int_equal(stats.sent, LOAD_THREADS * LOAD_PUTS);
    assert_int_equal(stats.pending_bytes, 0);
    assert_int_equal(test_len(r->base_mem), LOAD_THREADS * LOAD_PUTS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inside_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_put_that_finds_no_room_waits_until_a_blob_has_left),
        TEST(who_waits_for_room_is_served_in_order),
        TEST(one_departure_that_makes_room_for_many_lets_many_in),
        TEST(a_large_blob_is_not_starved_by_small_ones),
        TEST(a_wait_for_room_ends_with_its_context),
        TEST(the_first_in_the_queue_that_gives_up_makes_way_for_the_next),
        TEST(close_ends_every_wait_for_room),
        TEST(what_was_resumed_takes_room),
        TEST(a_duplicate_needs_no_room),
        TEST(a_duplicate_of_a_blob_that_waited_for_room_waits_no_longer_than_that),
        TEST(a_blob_that_is_replaced_by_its_own_bytes_makes_room),
        TEST(a_put_in_the_midst_of_writing_has_its_room_already),
        TEST(a_put_that_is_refused_gives_its_room_back),
        TEST(a_delete_makes_room),
        TEST(a_put_with_replace_makes_room),
        TEST(a_blob_of_no_bytes_counts_as_a_blob),
        TEST(the_bounds_hold_at_every_moment_of_a_crowd),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
