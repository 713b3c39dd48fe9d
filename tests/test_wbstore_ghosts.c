/* test_wbstore_ghosts.c - late effects, beside test_wbstore_doubt.c: ghosts where only the base is listed, ghosts in an
 * outage, and waits for a doubt to pass that are called off. */
#include "doubt_test.h"

#include <string.h>

/* An upload that was not answered, a delete after it, and then the upload's late effect. */
static blob_address make_ghost(wbrig *r)
{
    blob_address a;
    int status;

    late(r, BLOB_FAULT_PUT, -ETIMEDOUT);
    wbrig_start(r);
    a = wbrig_put(r, "text");
    inside_until_state(r->w, blob_address_key(&a), WBSTORE_WAITING);
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&a)));
    assert_true(blob_faultstore_deliver(r->base, &status));
    test_ok(status);
    assert_true(wbrig_in_base(r, &a));
    return a;
}

static int count_key(void *arg, blob_key key, uint64_t size)
{
    (void)key;
    (void)size;
    ++*(unsigned *)arg;
    return 0;
}

static void a_ghost_is_not_listed_where_the_base_alone_is(void **state)
{
    wbrig *r = *state;
    blob_address a = make_ghost(r);
    unsigned seen = 0;

    test_put(r->base_mem, test_key("another"), "x");
    test_ok(wbstore_list(r->w, NULL, blob_key_of(NULL, 0), count_key, &seen));
    assert_int_equal(seen, 1);
    test_expect_missing(wbstore_as_store(r->w), blob_address_key(&a));
}

static bool ghost_is_left_alone(const wbstore *w, const void *arg)
{
    return ghost_haunts(w, arg) && w->idle == w->writers && (w->writers == 0 || w->timekeeper != NULL);
}

/* There is nothing else to ask the base for, so the ghost is what tells that it is back. */
static void a_ghost_is_deleted_also_after_an_outage(void **state)
{
    wbrig *r = *state;
    blob_address a = make_ghost(r);
    uint64_t deletes = blob_faultstore_count(r->base, BLOB_FAULT_DELETE).calls;

    blob_faultstore_fail(r->base, BLOB_FAULT_DELETE, BLOB_UNAVAILABLE, 0);
    for (unsigned i = 0; !inside_base_is_down(r->w); i++) {
        assert_true(i < 10);
        test_clock_move(&the_clock, DOUBT_MS);
        test_ok(blob_faultstore_wait_calls(r->base, BLOB_FAULT_DELETE, ++deletes));
        inside_until(r->w, ghost_waits, NULL);
    }
    blob_faultstore_clear(r->base);
    test_clock_move(&the_clock, DOUBT_MS);
    inside_until(r->w, has_no_ghost, NULL);
    assert_false(inside_base_is_down(r->w));
    assert_false(wbrig_in_base(r, &a));
}

/* The clock stands still then, so no housekeeper helps. */
static void a_ghost_whose_delete_hangs_holds_up_nobody(void **state)
{
    wbrig *r = *state;
    blob_address a = make_ghost(r);
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_DELETE, NULL, BLOB_FAULT_BEFORE);

    test_ok(wbstore_pause(r->w));
    test_clock_move(&the_clock, DOUBT_MS);
    inside_until(r->w, ghost_haunts, NULL);
    wbrig_put(r, "one");
    wbrig_put(r, "two");
    test_ok(wbstore_resume(r->w));
    blob_faultstore_wait_held(gate, 1);
    test_ok(wbstore_sync(r->w, NULL));
    blob_faultstore_lift(gate);
    inside_until(r->w, has_no_ghost, NULL);
    assert_false(wbrig_in_base(r, &a));
}

static void a_base_that_asks_for_time_gets_it_before_a_ghost_is_deleted_again(void **state)
{
    wbrig *r = *state;
    blob_address a = make_ghost(r);
    uint64_t deletes = blob_faultstore_count(r->base, BLOB_FAULT_DELETE).calls;

    blob_faultstore_add(r->base, &(blob_faultstore_fault){.ops = BLOB_FAULT_DELETE,
                                                          .status = BLOB_UNAVAILABLE,
                                                          .retry_after_ms = 10 * DOUBT_MS,
                                                          .count = 1});
    test_clock_move(&the_clock, DOUBT_MS);
    test_ok(blob_faultstore_wait_calls(r->base, BLOB_FAULT_DELETE, deletes + 1));
    inside_until(r->w, ghost_waits, NULL);
    for (unsigned i = 1; i < 10; i++) {
        test_clock_move(&the_clock, DOUBT_MS);
        inside_until(r->w, ghost_is_left_alone, NULL);
        assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_DELETE).calls, deletes + 1);
    }
    test_clock_move(&the_clock, DOUBT_MS);
    inside_until(r->w, has_no_ghost, NULL);
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_DELETE).calls, deletes + 2);
    assert_false(wbrig_in_base(r, &a));
}

static void a_put_to_the_base_that_waits_for_a_doubt_to_pass_can_be_called_off(void **state)
{
    wbrig *r = *state;
    blob_address a = make_doubtful(r);
    uint64_t puts = blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls;
    wbrig_call put;
    blob_ctx *ctx;

    test_ok(blob_ctx_new(&ctx, NULL));
    inside_replace(&put, r, ctx, &a, "other");
    inside_until_removers(r->w, blob_address_key(&a), 1);
    blob_ctx_cancel(ctx);
    test_status(wbrig_end(&put), -ECANCELED);
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls, puts);
    test_expect(wbstore_as_store(r->w), blob_address_key(&a), "text");
    blob_ctx_free(ctx);
}

static void a_put_written_through_that_waits_for_a_doubt_to_pass_can_be_called_off(void **state)
{
    wbrig *r = *state;
    wbrig_call put;
    blob_address a;
    blob_ctx *ctx;

    r->options.when_full = WBSTORE_FULL_WRITE_THROUGH;
    a = make_doubtful(r);
    blob_faultstore_fail(r->buf, BLOB_FAULT_PUT, BLOB_FULL, 0);
    test_ok(blob_ctx_new(&ctx, NULL));
    inside_put(&put, r, ctx, "text");
    inside_until_removers(r->w, blob_address_key(&a), 1);
    blob_ctx_cancel(ctx);
    test_status(wbrig_end(&put), -ECANCELED);
    assert_int_equal(inside_stats(r).accepted, 1); /* the first one */
    blob_ctx_free(ctx);
}

/* By the system's clock: a clock that a test moves wakes all who sleep, so there nobody need be told. */
static void who_waits_for_a_doubt_to_pass_hears_of_it(void **state)
{
    wbrig *r = *state;
    wbrig_call put;
    blob_address a;

    blob_faultstore_set_in_doubt_ms(r->base, 200);
    a = make_doubtful(r);
    inside_replace(&put, r, NULL, &a, "other");
    test_ok(wbrig_end(&put));
    test_expect(r->base_mem, blob_address_key(&a), "other");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, doubt_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_ghost_is_not_listed_where_the_base_alone_is),
        TEST(a_ghost_is_deleted_also_after_an_outage),
        TEST(a_ghost_whose_delete_hangs_holds_up_nobody),
        TEST(a_base_that_asks_for_time_gets_it_before_a_ghost_is_deleted_again),
        TEST(a_put_to_the_base_that_waits_for_a_doubt_to_pass_can_be_called_off),
        TEST(a_put_written_through_that_waits_for_a_doubt_to_pass_can_be_called_off),
        cmocka_unit_test_setup_teardown(who_waits_for_a_doubt_to_pass_hears_of_it, inside_set_up, wbrig_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
