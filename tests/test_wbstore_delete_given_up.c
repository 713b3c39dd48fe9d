/* test_wbstore_delete_given_up.c - a delete that is given up at any of its waits leaves things as they were. */
#include "wbinside.h"

#include <errno.h>

/* Ends the delete's wait with its context in both ways: called off while it waits, and by a deadline. */
static void give_up(wbrig_call *deletion, wbrig *r, const blob_address *a, void (*until_it_waits)(wbrig *r, void *arg),
                    void *arg)
{
    blob_ctx *ctx;

    test_ok(blob_ctx_new(&ctx, NULL));
    inside_delete(deletion, r, ctx, a);
    until_it_waits(r, arg);
    blob_ctx_cancel(ctx);
    test_status(wbrig_end(deletion), -ECANCELED);
    blob_ctx_free(ctx);
    test_ok(blob_ctx_new_timeout(&ctx, NULL, 20));
    inside_delete(deletion, r, ctx, a);
    test_status(wbrig_end(deletion), -ETIMEDOUT);
    blob_ctx_free(ctx);
}

static void until_it_waits_for_the_hand(wbrig *r, void *arg)
{
    inside_until_removers(r->w, blob_address_key(arg), 1);
}

static void until_it_stands_at_the_gate(wbrig *r, void *arg)
{
    (void)r;
    blob_faultstore_wait_held(arg, 1);
}

static void until_it_waits_for_the_put(wbrig *r, void *arg)
{
    inside_until_turn_waited(r->w, blob_address_key(arg));
}

static void a_delete_given_up_while_it_waits_for_the_upload_lets_it_be_sent(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *gate = inside_hold_stubbornly(r->base, BLOB_FAULT_PUT, &a);
    wbrig_call deletion;

    wbrig_start(r);
    wbrig_put(r, "text");
    blob_faultstore_wait_held(gate, 1);
    give_up(&deletion, r, &a, until_it_waits_for_the_hand, &a);
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&a), "text");
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_DELETE).calls, 0);
    assert_int_equal(inside_stats(r).sent, 1);
}

static void a_delete_given_up_in_the_base_lets_the_blob_be_sent(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_DELETE, NULL, BLOB_FAULT_BEFORE);
    wbrig_call deletion;
    inside_staged s;

    wbrig_start(r);
    s = inside_stage(r, "text", WBSTORE_WAITING);
    inside_unstage(&s);
    give_up(&deletion, r, &s.key, until_it_stands_at_the_gate, gate);
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&s.key), "text");
}

static void a_delete_given_up_while_it_waits_for_a_put_lets_the_blob_be_sent(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *gate = inside_hold(r->buf, BLOB_FAULT_PUT, &a);
    wbrig_call deletion, putting;

    wbrig_start(r);
    inside_put(&putting, r, NULL, "text");
    blob_faultstore_wait_held(gate, 1);
    give_up(&deletion, r, &a, until_it_waits_for_the_put, &a);
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&putting));
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&a), "text");
    assert_int_equal(inside_stats(r).deleted, 0);
}

static void a_delete_given_up_in_the_buffer_lets_the_blob_be_sent(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *gate = inside_hold(r->buf, BLOB_FAULT_DELETE, &a), *down;
    wbrig_call deletion;

    wbrig_start(r);
    inside_stage(r, "text", WBSTORE_PARKED);
    give_up(&deletion, r, &a, until_it_stands_at_the_gate, gate);
    assert_int_equal(inside_state(r->w, blob_address_key(&a)), WBSTORE_PARKED);
    down = blob_faultstore_fail(r->base, BLOB_FAULT_GET, BLOB_UNAVAILABLE, 0); /* the buffer has it still */
    test_expect(wbstore_as_store(r->w), blob_address_key(&a), "text");
    blob_faultstore_lift(down);
    blob_faultstore_clear(r->base);
    blob_faultstore_lift(gate);
    test_ok(wbstore_retry_parked(r->w));
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&a), "text");
}

static void a_second_delete_given_up_does_not_harm_the_first(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_DELETE, NULL, BLOB_FAULT_BEFORE);
    wbrig_call first, second;

    wbrig_start(r);
    inside_stage(r, "text", WBSTORE_WAITING);
    inside_delete(&first, r, NULL, &a);
    blob_faultstore_wait_held(gate, 1);
    give_up(&second, r, &a, until_it_waits_for_the_hand, &a);
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&first));
    test_expect_missing(wbstore_as_store(r->w), blob_address_key(&a));
    assert_int_equal(inside_stats(r).deleted, 1);
}

/* The second gives up at the very moment at which the first is done: whichever comes first, somebody lets the blob go. */
typedef struct photo_finish {
    blob_ctx *ctx;
    blob_faultstore_rule *gate;
} photo_finish;

static void finish(void *arg, unsigned index)
{
    photo_finish *f = arg;

    if (index == 0)
        blob_ctx_cancel(f->ctx);
    else
        blob_faultstore_lift(f->gate);
}

static void a_delete_given_up_just_as_its_turn_comes_lets_the_blob_be_sent(void **state)
{
    wbrig *r = *state;
    photo_finish f;
    blob_address other;

    wbrig_start(r);
    for (unsigned i = 0; i < 200; i++) {
        inside_staged s = inside_stage(r, "text", WBSTORE_WAITING);
        wbrig_call first, second;

        inside_unstage(&s);
        other = wbrig_put(r, "what the base takes"); /* or five failures in a row would make it look down */
        inside_until_state(r->w, blob_address_key(&other), 0);
        test_ok(blob_ctx_new(&f.ctx, NULL));
        f.gate = blob_faultstore_add(
            r->base,
            &(blob_faultstore_fault){.ops = BLOB_FAULT_DELETE, .action = BLOB_FAULT_HOLD, .status = BLOB_DENIED});
        inside_delete(&first, r, NULL, &s.key);
        blob_faultstore_wait_held(f.gate, 1);
        inside_delete(&second, r, f.ctx, &s.key);
        inside_until_removers(r->w, blob_address_key(&s.key), 2);
        test_threads_run(2, finish, &f);
        test_status(wbrig_end(&first), BLOB_DENIED);
        if (wbrig_end(&second) != 0) { /* or it had its turn, after the gate was opened */
            test_status(second.status, -ECANCELED);
            test_ok(wbstore_sync(r->w, NULL));
            assert_true(wbrig_in_base(r, &s.key));
            test_ok(wbstore_delete(r->w, NULL, blob_address_key(&s.key)));
        }
        blob_ctx_free(f.ctx);
    }
}

static void close_ends_a_delete_that_waits_for_its_turn(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *gate = inside_hold_stubbornly(r->base, BLOB_FAULT_DELETE, &a);
    wbrig_call first, second;

    wbrig_start(r);
    inside_delete(&first, r, NULL, &a);
    blob_faultstore_wait_held(gate, 1);
    inside_delete(&second, r, NULL, &a);
    inside_until_removers(r->w, blob_address_key(&a), 2);
    test_ok(wbstore_close(r->w, NULL));
    test_status(wbrig_end(&second), BLOB_CLOSED);
    blob_faultstore_lift(gate);
    test_status(wbrig_end(&first), BLOB_NOT_FOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inside_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_delete_given_up_while_it_waits_for_the_upload_lets_it_be_sent),
        TEST(a_delete_given_up_in_the_base_lets_the_blob_be_sent),
        TEST(a_delete_given_up_while_it_waits_for_a_put_lets_the_blob_be_sent),
        TEST(a_delete_given_up_in_the_buffer_lets_the_blob_be_sent),
        TEST(a_second_delete_given_up_does_not_harm_the_first),
        TEST(a_delete_given_up_just_as_its_turn_comes_lets_the_blob_be_sent),
        TEST(close_ends_a_delete_that_waits_for_its_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
