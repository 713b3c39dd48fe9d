/* test_wbstore_delete_put.c - a cas_put during a delete keeps its bytes, wherever the delete is, and they are sent
 * after it; and a delete that is given up at any of its waits leaves things as they were. */
#include "wbinside.h"

#include <errno.h>

static faultstore_rule *hold_stubbornly(faultstore *f, unsigned op, const blob_address *a)
{
    blob_key key = blob_address_key(a);

    return faultstore_add(f, &(faultstore_fault){.ops = op, .key = &key, .action = FAULT_HOLD, .ignore_ctx = true});
}

/* The blob is there, at last also in the base, and what brought it there began after the delete in the base had ended.
 * */
static void expect_sent_after_the_delete(wbrig *r, const blob_address *a, const char *text)
{
    blob_key key = blob_address_key(a);
    uint64_t deleted = 0, put = 0;
    faultstore_call call;

    test_expect(wbstore_as_store(r->w), key, text);
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, key, text);
    assert_false(wbrig_in_buffer(r, a));
    for (size_t i = 0; faultstore_history(r->base, i, &call); i++) {
        if (blob_key_compare(blob_key_of(call.key, call.key_size), key) != 0)
            continue;
        if (call.op == FAULT_DELETE)
            deleted = call.ended;
        else if (call.op == FAULT_PUT && call.status == 0)
            put = call.begun;
    }
    assert_true(0 < deleted && deleted < put);
    assert_int_equal(inside_stats(r).pending_blobs, 0);
}

/* ---- a put while ...
 * ------------------------------------------------------------------------------------------------ */

static void a_put_while_a_delete_waits_for_the_upload_is_kept(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    faultstore_rule *gate = hold_stubbornly(r->base, FAULT_PUT, &a);
    wbrig_call deletion;

    wbrig_start(r);
    wbrig_put(r, "text");
    faultstore_wait_held(gate, 1);
    inside_delete(&deletion, r, NULL, &a);
    inside_until_removers(r->w, blob_address_key(&a), 1);
    wbrig_put(r, "text"); /* waits for neither */
    faultstore_lift(gate);
    test_ok(wbrig_end(&deletion));
    expect_sent_after_the_delete(r, &a, "text");
}

static void a_put_while_a_delete_is_in_the_base_is_kept(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    faultstore_rule *gate;
    wbrig_call deletion;

    wbrig_start(r);
    for (unsigned i = 0; i < INSIDE_STATES; i++) {
        inside_staged s;
        uint64_t removals = faultstore_count_key(r->buf, FAULT_DELETE, blob_address_key(&a));
        if (inside_states[i] == WBSTORE_QUEUED)
            continue;
        s = inside_stage(r, "text", inside_states[i]);
        gate = faultstore_hold(r->base, FAULT_DELETE, NULL, FAULT_BEFORE);
        inside_delete(&deletion, r, NULL, &a);
        faultstore_wait_held(gate, 1);
        inside_unstage(&s);
        wbrig_put(r, "text");
        assert_int_equal(faultstore_count_key(r->buf, FAULT_DELETE, blob_address_key(&a)), removals);
        faultstore_lift(gate);
        test_ok(wbrig_end(&deletion));
        expect_sent_after_the_delete(r, &a, "text");
        test_ok(wbstore_delete(r->w, NULL, blob_address_key(&a)));
    }
}

/* Here the bytes cannot be saved from the delete any more, so the put waits until they are gone and writes them anew.
 * */
static void a_put_while_a_delete_is_in_the_buffer_writes_after_it(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    faultstore_rule *gate = hold_stubbornly(r->buf, FAULT_DELETE, &a);
    uint64_t deleted = 0, put = 0;
    inside_sleeper putting;
    wbrig_call deletion;
    faultstore_call call;
    inside_staged s;

    wbrig_start(r);
    s = inside_stage(r, "text", WBSTORE_WAITING);
    inside_delete(&deletion, r, NULL, &a);
    faultstore_wait_held(gate, 1);
    inside_unstage(&s);
    inside_put_to_sleep(&putting, r, NULL, "text");
    inside_until_asleep(&putting);
    faultstore_lift(gate);
    test_ok(wbrig_end(&deletion));
    test_ok(wbrig_end(&putting.call));
    expect_sent_after_the_delete(r, &a, "text");
    for (size_t i = 0; put == 0 && faultstore_history(r->buf, i, &call); i++) {
        if (call.op == FAULT_DELETE)
            deleted = call.ended;
        else if (call.op == FAULT_PUT && deleted > 0)
            put = call.begun;
    }
    assert_true(0 < deleted && deleted < put);
}

static void a_put_that_waits_for_a_removal_ends_with_its_context_and_with_the_wrapper(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    faultstore_rule *gate = hold_stubbornly(r->buf, FAULT_DELETE, &a);
    inside_sleeper given_up, closed;
    wbrig_call deletion, late;
    blob_ctx *ctx, *soon;

    wbrig_start(r);
    inside_stage(r, "text", WBSTORE_WAITING);
    inside_delete(&deletion, r, NULL, &a);
    faultstore_wait_held(gate, 1);
    test_ok(blob_ctx_new(&ctx, NULL));
    test_ok(blob_ctx_new_timeout(&soon, NULL, 20));
    inside_put_to_sleep(&given_up, r, ctx, "text");
    inside_until_asleep(&given_up);
    blob_ctx_cancel(ctx);
    test_status(wbrig_end(&given_up.call), -ECANCELED);
    inside_put(&late, r, soon, "text");
    test_status(wbrig_end(&late), -ETIMEDOUT);
    inside_put_to_sleep(&closed, r, NULL, "text");
    inside_until_asleep(&closed);
    test_ok(wbstore_close(r->w, NULL));
    test_status(wbrig_end(&closed.call), BLOB_CLOSED);
    faultstore_lift(gate);
    test_ok(wbrig_end(&deletion));
    blob_ctx_free(ctx);
    blob_ctx_free(soon);
}

/* The put is writing when the delete comes: the delete waits for it, and removes nothing of what it wrote. */
static void a_put_that_was_writing_when_the_delete_came_is_kept(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    faultstore_rule *gate = inside_hold(r->buf, FAULT_PUT, &a);
    wbrig_call deletion, putting;

    wbrig_start(r);
    inside_put(&putting, r, NULL, "text");
    faultstore_wait_held(gate, 1);
    inside_delete(&deletion, r, NULL, &a);
    inside_until_turn_waited(r->w, blob_address_key(&a));
    faultstore_lift(gate);
    test_ok(wbrig_end(&putting));
    test_status(wbrig_end(&deletion), BLOB_NOT_FOUND);
    expect_sent_after_the_delete(r, &a, "text");
}

/* Neither store had it when the delete looked, and what the put brought is still there: the delete came first. */
static void a_delete_that_leaves_only_what_a_put_brought_meanwhile_has_found_nothing(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    faultstore_rule *gate = faultstore_hold(r->base, FAULT_DELETE, NULL, FAULT_BEFORE);
    wbrig_call deletion;
    wbstore_stats stats;

    wbrig_start(r);
    inside_delete(&deletion, r, NULL, &a);
    faultstore_wait_held(gate, 1);
    wbrig_put(r, "text");
    faultstore_lift(gate);
    test_status(wbrig_end(&deletion), BLOB_NOT_FOUND);
    expect_sent_after_the_delete(r, &a, "text");
    stats = inside_stats(r);
    assert_int_equal(stats.accepted, 1);
    assert_int_equal(stats.sent, 1);
    assert_int_equal(stats.deleted, 0);
}

static void a_put_during_a_delete_that_fails_is_sent(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    faultstore_rule *gate =
        faultstore_add(r->base, &(faultstore_fault){.ops = FAULT_DELETE, .action = FAULT_HOLD, .status = BLOB_DENIED});
    wbrig_call deletion;

    wbrig_start(r);
    inside_delete(&deletion, r, NULL, &a);
    faultstore_wait_held(gate, 1);
    wbrig_put(r, "text");
    faultstore_lift(gate);
    test_status(wbrig_end(&deletion), BLOB_DENIED);
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&a), "text");
}

/* Many rounds of both at once; whatever order they took, the last word stands. */
typedef struct crossing {
    wbrig *r;
    blob_address a;
    int put, deleted;
} crossing;

static void cross(void *arg, unsigned index)
{
    crossing *c = arg;

    if (index == 0)
        c->put = wbstore_cas_put(c->r->w, NULL, "text", 4, NULL);
    else
        c->deleted = wbstore_delete(c->r->w, NULL, blob_address_key(&c->a));
}

static void puts_and_deletes_that_meet_leave_either_the_blob_or_nothing(void **state)
{
    wbrig *r = *state;
    crossing c = {.r = r, .a = wbrig_address("text")};

    wbrig_start(r);
    for (unsigned i = 0; i < (WBRIG_SLOW ? 300 : 1500); i++) {
        bool had = i % 3 == 0;
        if (had)
            wbrig_put(r, "text");
        test_threads_run(2, cross, &c);
        test_ok(c.put);
        test_status(c.deleted, had || c.deleted == 0 ? 0 : BLOB_NOT_FOUND);
        if (!had && c.deleted == 0) /* it has found what the put brought */
            test_expect_missing(wbstore_as_store(r->w), blob_address_key(&c.a));
        if (c.deleted == BLOB_NOT_FOUND)
            test_expect(wbstore_as_store(r->w), blob_address_key(&c.a), "text");
        test_ok(wbstore_sync(r->w, NULL));
        assert_false(wbrig_in_buffer(r, &c.a));
        c.deleted = wbstore_delete(r->w, NULL, blob_address_key(&c.a));
        assert_true(c.deleted == 0 || c.deleted == BLOB_NOT_FOUND);
        test_expect_missing(wbstore_as_store(r->w), blob_address_key(&c.a));
        inside_stats(r);
    }
}

/* ---- a delete given up while it waits ...
 * --------------------------------------------------------------------------- */

/* Ends the delete's wait with its context, in the two ways there are; the deadline is one that has long passed where it
 * waits. */
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
    faultstore_wait_held(arg, 1);
}

static void until_it_waits_for_the_put(wbrig *r, void *arg)
{
    inside_until_turn_waited(r->w, blob_address_key(arg));
}

static void a_delete_given_up_while_it_waits_for_the_upload_lets_it_be_sent(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    faultstore_rule *gate = hold_stubbornly(r->base, FAULT_PUT, &a);
    wbrig_call deletion;

    wbrig_start(r);
    wbrig_put(r, "text");
    faultstore_wait_held(gate, 1);
    give_up(&deletion, r, &a, until_it_waits_for_the_hand, &a);
    faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&a), "text");
    assert_int_equal(faultstore_count(r->base, FAULT_DELETE).calls, 0);
    assert_int_equal(inside_stats(r).sent, 1);
}

static void a_delete_given_up_in_the_base_lets_the_blob_be_sent(void **state)
{
    wbrig *r = *state;
    faultstore_rule *gate = faultstore_hold(r->base, FAULT_DELETE, NULL, FAULT_BEFORE);
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
    faultstore_rule *gate = inside_hold(r->buf, FAULT_PUT, &a);
    wbrig_call deletion, putting;

    wbrig_start(r);
    inside_put(&putting, r, NULL, "text");
    faultstore_wait_held(gate, 1);
    give_up(&deletion, r, &a, until_it_waits_for_the_put, &a);
    faultstore_lift(gate);
    test_ok(wbrig_end(&putting));
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&a), "text");
    assert_int_equal(inside_stats(r).deleted, 0);
}

static void a_delete_given_up_in_the_buffer_lets_the_blob_be_sent(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    faultstore_rule *gate = inside_hold(r->buf, FAULT_DELETE, &a), *down;
    wbrig_call deletion;

    wbrig_start(r);
    inside_stage(r, "text", WBSTORE_PARKED);
    give_up(&deletion, r, &a, until_it_stands_at_the_gate, gate);
    assert_int_equal(inside_state(r->w, blob_address_key(&a)), WBSTORE_PARKED);
    down = faultstore_fail(r->base, FAULT_GET, BLOB_UNAVAILABLE, 0); /* the buffer has it still */
    test_expect(wbstore_as_store(r->w), blob_address_key(&a), "text");
    faultstore_lift(down);
    faultstore_clear(r->base);
    faultstore_lift(gate);
    test_ok(wbstore_retry_parked(r->w));
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&a), "text");
}

static void a_second_delete_given_up_does_not_harm_the_first(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    faultstore_rule *gate = faultstore_hold(r->base, FAULT_DELETE, NULL, FAULT_BEFORE);
    wbrig_call first, second;

    wbrig_start(r);
    inside_stage(r, "text", WBSTORE_WAITING);
    inside_delete(&first, r, NULL, &a);
    faultstore_wait_held(gate, 1);
    give_up(&second, r, &a, until_it_waits_for_the_hand, &a);
    faultstore_lift(gate);
    test_ok(wbrig_end(&first));
    test_expect_missing(wbstore_as_store(r->w), blob_address_key(&a));
    assert_int_equal(inside_stats(r).deleted, 1);
}

/* The second gives up at the very moment at which the first is done: whichever comes first, somebody lets the blob go. */
typedef struct photo_finish {
    blob_ctx *ctx;
    faultstore_rule *gate;
} photo_finish;

static void finish(void *arg, unsigned index)
{
    photo_finish *f = arg;

    if (index == 0)
        blob_ctx_cancel(f->ctx);
    else
        faultstore_lift(f->gate);
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
        f.gate = faultstore_add(r->base,
                                &(faultstore_fault){.ops = FAULT_DELETE, .action = FAULT_HOLD, .status = BLOB_DENIED});
        inside_delete(&first, r, NULL, &s.key);
        faultstore_wait_held(f.gate, 1);
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
    faultstore_rule *gate = hold_stubbornly(r->base, FAULT_DELETE, &a);
    wbrig_call first, second;

    wbrig_start(r);
    inside_delete(&first, r, NULL, &a);
    faultstore_wait_held(gate, 1);
    inside_delete(&second, r, NULL, &a);
    inside_until_removers(r->w, blob_address_key(&a), 2);
    test_ok(wbstore_close(r->w, NULL));
    test_status(wbrig_end(&second), BLOB_CLOSED);
    faultstore_lift(gate);
    test_status(wbrig_end(&first), BLOB_NOT_FOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inside_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_put_while_a_delete_waits_for_the_upload_is_kept),
        TEST(a_put_while_a_delete_is_in_the_base_is_kept),
        TEST(a_put_while_a_delete_is_in_the_buffer_writes_after_it),
        TEST(a_put_that_waits_for_a_removal_ends_with_its_context_and_with_the_wrapper),
        TEST(a_put_that_was_writing_when_the_delete_came_is_kept),
        TEST(a_delete_that_leaves_only_what_a_put_brought_meanwhile_has_found_nothing),
        TEST(a_put_during_a_delete_that_fails_is_sent),
        TEST(puts_and_deletes_that_meet_leave_either_the_blob_or_nothing),
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
