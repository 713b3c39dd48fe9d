/* test_faultstore_gates.c - calls that the fault store holds, delays, or carries out late do so when the test says. */
#include "testfault.h"
#include "flawstore.h"
#include "testutil.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- what every test begins with: a fault store over a plain one --------------------------------------------- */

typedef struct bench {
    blob_store *inner;
    blob_faultstore *fault;
    blob_store *store; /* of fault */
    blob_ctx *ctx;     /* for the calls that a test ends early */
} bench;

static int set_up(void **state)
{
    bench *b = calloc(1, sizeof *b);

    test_watchdog(120);
    assert_non_null(b);
    test_ok(flawstore_new(&b->inner, FLAW_NONE));
    test_ok(test_faultstore_new(&b->fault, b->inner));
    test_ok(blob_ctx_new(&b->ctx, NULL));
    b->store = blob_faultstore_store(b->fault);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    bench *b = *state;

    blob_ctx_free(b->ctx);
    test_ok(blob_store_close(b->store, NULL));
    test_ok(blob_store_close(b->inner, NULL));
    free(b);
    return 0;
}

static int put(blob_store *s, const char *key, const char *text)
{
    return blob_store_put(s, NULL, test_key(key), blob_view_of(text, strlen(text)), 0);
}

static int keys_counted(void *arg, blob_key key, uint64_t size)
{
    (void)key;
    (void)size;
    ++*(int *)arg;
    return 0;
}

/* ---- gates --------------------------------------------------------------------------------------------------- */

static void a_held_put_has_no_effect_until_it_is_let_go(void **state)
{
    bench *b = *state;
    blob_key k = test_key("k");
    blob_faultstore_rule *gate = blob_faultstore_hold(b->fault, BLOB_FAULT_PUT, &k, BLOB_FAULT_BEFORE);
    test_later held;

    test_put_later(&held, b->store, b->ctx, test_key("k"), "bytes");
    blob_faultstore_wait_held(gate, 1);
    assert_int_equal(blob_faultstore_held(gate), 1);
    test_expect_missing(b->store, k);
    test_ok(put(b->store, "other", "x"));
    blob_faultstore_lift(gate);
    test_ok(test_later_join(&held));
    test_expect(b->store, k, "bytes");
    test_status(put(b->store, "k", "again"), BLOB_EXISTS); /* an open gate holds nobody */
}

static void a_put_held_after_its_effect_has_had_it(void **state)
{
    bench *b = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(b->fault, BLOB_FAULT_PUT, NULL, BLOB_FAULT_AFTER);
    test_later held;

    test_put_later(&held, b->store, b->ctx, test_key("k"), "bytes");
    blob_faultstore_wait_held(gate, 1);
    test_expect(b->store, test_key("k"), "bytes");
    test_status(blob_store_delete(b->store, NULL, test_key("k"), 0), 0);
    blob_faultstore_lift(gate);
    test_ok(test_later_join(&held));
    test_expect_missing(b->store, test_key("k"));
}

static void a_gate_lets_go_one_at_a_time_first_come_first(void **state)
{
    bench *b = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(b->fault, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    test_later held[3];

    for (unsigned i = 0; i < 3; i++) {
        static const char *const keys[] = {"a", "b", "c"};
        test_put_later(&held[i], b->store, b->ctx, test_key(keys[i]), "x");
        blob_faultstore_wait_held(gate, i + 1);
    }
    for (unsigned i = 0; i < 3; i++) {
        blob_faultstore_release(gate, 1);
        test_ok(test_later_join(&held[i])); /* the others stand */
        assert_int_equal(blob_faultstore_held(gate), 2 - i);
        assert_int_equal(test_len(b->inner), i + 1);
    }
}

static void a_release_ahead_of_its_call_is_kept(void **state)
{
    bench *b = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(b->fault, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    test_later held;

    blob_faultstore_release(gate, 2);
    test_ok(put(b->store, "a", "x"));
    test_ok(put(b->store, "b", "x"));
    test_put_later(&held, b->store, b->ctx, test_key("c"), "x");
    blob_faultstore_wait_held(gate, 1);
    blob_faultstore_lift(gate);
    test_ok(test_later_join(&held));
}

static void a_held_call_ends_with_its_context(void **state)
{
    bench *b = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(b->fault, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    blob_ctx *deadline;
    test_later held;

    test_put_later(&held, b->store, b->ctx, test_key("k"), "x");
    blob_faultstore_wait_held(gate, 1);
    blob_ctx_cancel(b->ctx);
    test_status(test_later_join(&held), -ECANCELED);
    assert_int_equal(blob_faultstore_held(gate), 0);
    test_ok(blob_ctx_new_timeout(&deadline, NULL, 5));
    test_status(blob_store_put(b->store, deadline, test_key("k"), blob_view_of("x", 1), 0), -ETIMEDOUT);
    blob_ctx_free(deadline);
    test_expect_missing(b->inner, test_key("k"));
}

static void a_gate_can_ignore_the_context_and_the_work_is_done_after_all(void **state)
{
    bench *b = *state;
    blob_faultstore_rule *gate = blob_faultstore_add(
        b->fault,
        &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_HOLD, .ignore_ctx = true, .count = 1});
    test_later held;

    test_put_later(&held, b->store, b->ctx, test_key("k"), "x");
    blob_faultstore_wait_held(gate, 1);
    blob_ctx_cancel(b->ctx);
    assert_int_equal(blob_faultstore_held(gate), 1);
    blob_faultstore_release(gate, 1);
    test_ok(test_later_join(&held));
    test_expect(b->inner, test_key("k"), "x");
}

static void a_gate_with_a_status_holds_then_fails(void **state)
{
    bench *b = *state;
    blob_faultstore_rule *gate = blob_faultstore_add(
        b->fault, &(blob_faultstore_fault){
                      .ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_HOLD, .status = BLOB_UNAVAILABLE, .count = 1});
    test_later held;

    test_put_later(&held, b->store, b->ctx, test_key("k"), "x");
    blob_faultstore_wait_held(gate, 1);
    blob_faultstore_lift(gate);
    test_status(test_later_join(&held), BLOB_UNAVAILABLE);
    test_expect_missing(b->inner, test_key("k"));
}

static void clear_lets_the_held_go(void **state)
{
    bench *b = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(b->fault, BLOB_FAULT_ANY, NULL, BLOB_FAULT_BEFORE);
    test_later held[2];

    test_put_later(&held[0], b->store, b->ctx, test_key("a"), "x");
    test_delete_later(&held[1], b->store, b->ctx, test_key("b"));
    blob_faultstore_wait_held(gate, 2);
    blob_faultstore_clear(b->fault);
    test_ok(test_later_join(&held[0]));
    test_status(test_later_join(&held[1]), BLOB_NOT_FOUND);
}

typedef struct listing {
    bench *b;
    int keys;
    int status;
} listing;

static void *listing_run(void *arg)
{
    listing *l = arg;

    l->status = blob_store_list(l->b->store, l->b->ctx, test_key(""), keys_counted, &l->keys);
    return NULL;
}

static void a_listing_stands_at_a_gate_between_two_keys(void **state)
{
    bench *b = *state;
    listing l = {.b = b};
    blob_faultstore_rule *gate;
    pthread_t thread;

    test_ok(put(b->store, "a", "x"));
    test_ok(put(b->store, "b", "x"));
    test_ok(put(b->store, "d", "x"));
    gate = blob_faultstore_add(
        b->fault, &(blob_faultstore_fault){
                      .ops = BLOB_FAULT_LIST, .when = BLOB_FAULT_DURING, .action = BLOB_FAULT_HOLD, .after_keys = 1});
    test_thread_start(&thread, listing_run, &l);
    blob_faultstore_wait_held(gate, 1);
    test_ok(put(b->store, "c", "x"));
    blob_faultstore_release(gate, 1);
    test_thread_join(thread);
    test_ok(l.status);
    assert_in_range(l.keys, 3, 4);
    assert_int_equal(blob_faultstore_hits(gate), 1); /* not at every key that follows */
    test_thread_start(&thread, listing_run, &l);
    blob_faultstore_wait_held(gate, 1);
    blob_ctx_cancel(b->ctx);
    test_thread_join(thread);
    test_status(l.status, -ECANCELED);
}

/* ---- delays and late effects --------------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void a_delay_takes_its_time_and_ends_with_the_deadline(void **state)
{
    bench *b = *state;
    blob_faultstore_rule *rule = blob_faultstore_add(
        b->fault, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_DELAY, .delay_us = 20000});
    int64_t before = now_ms();
    blob_ctx *deadline;

    test_ok(put(b->store, "k", "x"));
    assert_true(now_ms() - before >= 19);
    blob_faultstore_lift(rule);
    blob_faultstore_add(
        b->fault, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_DELAY, .delay_us = 3600000000});
    test_ok(blob_ctx_new_timeout(&deadline, NULL, 5));
    test_status(blob_store_put(b->store, deadline, test_key("l"), blob_view_of("x", 1), 0), -ETIMEDOUT);
    blob_ctx_free(deadline);
    test_expect_missing(b->inner, test_key("l"));
}

static void a_late_call_takes_effect_when_the_test_says_so(void **state)
{
    bench *b = *state;
    blob_address address;
    int status = 1;

    assert_false(blob_faultstore_deliver(b->fault, NULL));
    test_ok(put(b->store, "old", "x"));
    blob_faultstore_add(b->fault,
                        &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT | BLOB_FAULT_DELETE | BLOB_FAULT_CAS_PUT,
                                                 .action = BLOB_FAULT_LATE,
                                                 .status = -ETIMEDOUT,
                                                 .count = 4});
    test_status(put(b->store, "k", "bytes"), -ETIMEDOUT);
    test_status(blob_store_delete(b->store, NULL, test_key("old"), 0), -ETIMEDOUT);
    test_status(blob_store_cas_put(b->store, NULL, blob_view_of("cas", 3), &address), -ETIMEDOUT);
    test_status(put(b->store, "", ""), -ETIMEDOUT);
    assert_int_equal(blob_faultstore_late(b->fault), 4);
    assert_int_equal(test_len(b->inner), 1);
    test_ok(put(b->store, "k", "newer"));

    assert_true(blob_faultstore_deliver(b->fault, &status));
    test_status(status, BLOB_EXISTS);
    assert_true(blob_faultstore_deliver(b->fault, &status));
    test_ok(status);
    test_expect_missing(b->inner, test_key("old"));
    assert_true(blob_faultstore_deliver(b->fault, &status));
    test_ok(status);
    test_expect(b->inner, blob_address_key(&address), "cas");
    assert_true(blob_faultstore_deliver(b->fault, NULL));
    test_expect(b->inner, test_key(""), "");
    assert_int_equal(blob_faultstore_late(b->fault), 0);
}

static void a_late_call_can_hang_until_its_context_ends(void **state)
{
    bench *b = *state;
    blob_faultstore_rule *rule = blob_faultstore_add(
        b->fault, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_LATE, .count = 2});
    test_later held;
    int status;

    test_put_later(&held, b->store, b->ctx, test_key("a"), "x");
    blob_faultstore_wait_held(rule, 1);
    assert_int_equal(blob_faultstore_late(b->fault), 1);
    blob_ctx_cancel(b->ctx);
    test_status(test_later_join(&held), -ECANCELED);
    test_expect_missing(b->inner, test_key("a"));
    assert_true(blob_faultstore_deliver(b->fault, &status));
    test_ok(status);
    test_expect(b->inner, test_key("a"), "x");
    blob_faultstore_release(rule, 1);
    test_status(put(b->store, "b", "x"), -ETIMEDOUT);
    assert_int_equal(blob_faultstore_late(b->fault), 1); /* goes with the store if nobody wants it */
}

static void a_write_can_be_carried_out_twice(void **state)
{
    bench *b = *state;
    blob_address address;
    int status;

    blob_faultstore_add(b->fault,
                        &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT | BLOB_FAULT_DELETE | BLOB_FAULT_CAS_PUT,
                                                 .action = BLOB_FAULT_REPEAT,
                                                 .count = 3});
    test_ok(put(b->store, "k", "old"));
    test_expect(b->store, test_key("k"), "old");
    test_ok(blob_store_delete(b->store, NULL, test_key("k"), 0));
    test_ok(blob_store_cas_put(b->store, NULL, blob_view_of("cas", 3), &address));
    test_expect(b->store, blob_address_key(&address), "cas");
    assert_int_equal(blob_faultstore_late(b->fault), 3);

    assert_true(blob_faultstore_deliver(b->fault, &status)); /* the put comes again, after the delete */
    test_ok(status);
    test_expect(b->store, test_key("k"), "old");
    assert_true(blob_faultstore_deliver(b->fault, &status));
    test_ok(status);
    test_expect_missing(b->store, test_key("k"));
    test_ok(blob_store_delete(b->store, NULL, blob_address_key(&address), 0));
    assert_true(blob_faultstore_deliver(b->fault, &status));
    test_ok(status);
    test_expect(b->store, blob_address_key(&address), "cas");
    assert_false(blob_faultstore_deliver(b->fault, &status));
}

#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_held_put_has_no_effect_until_it_is_let_go),
        T(a_put_held_after_its_effect_has_had_it),
        T(a_gate_lets_go_one_at_a_time_first_come_first),
        T(a_release_ahead_of_its_call_is_kept),
        T(a_held_call_ends_with_its_context),
        T(a_gate_can_ignore_the_context_and_the_work_is_done_after_all),
        T(a_gate_with_a_status_holds_then_fails),
        T(clear_lets_the_held_go),
        T(a_listing_stands_at_a_gate_between_two_keys),
        T(a_delay_takes_its_time_and_ends_with_the_deadline),
        T(a_late_call_takes_effect_when_the_test_says_so),
        T(a_late_call_can_hang_until_its_context_ends),
        T(a_write_can_be_carried_out_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
