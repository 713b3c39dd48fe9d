/* test_wbstore_delete_put.c - a cas_put during a delete keeps its bytes, wherever the delete is, and they are sent
 * after it. */
#include "wbinside.h"

#include <errno.h>

/* The blob is there, at last also in the base, and what brought it there began after the delete in the base had ended.
 * */
static void expect_sent_after_the_delete(wbrig *r, const blob_address *a, const char *text)
{
    blob_key key = blob_address_key(a);
    uint64_t deleted = 0, put = 0;
    blob_faultstore_call call;

    test_expect(wbstore_as_store(r->w), key, text);
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, key, text);
    assert_false(wbrig_in_buffer(r, a));
    for (size_t i = 0; blob_faultstore_history(r->base, i, &call); i++) {
        if (blob_key_compare(blob_key_of(call.key, call.key_size), key) != 0)
            continue;
        if (call.op == BLOB_FAULT_DELETE)
            deleted = call.ended;
        else if (call.op == BLOB_FAULT_PUT && call.status == 0)
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
    blob_faultstore_rule *gate = inside_hold_stubbornly(r->base, BLOB_FAULT_PUT, &a);
    wbrig_call deletion;

    wbrig_start(r);
    wbrig_put(r, "text");
    blob_faultstore_wait_held(gate, 1);
    inside_delete(&deletion, r, NULL, &a);
    inside_until_removers(r->w, blob_address_key(&a), 1);
    wbrig_put(r, "text"); /* waits for neither */
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&deletion));
    expect_sent_after_the_delete(r, &a, "text");
}

static void a_put_while_a_delete_is_in_the_base_is_kept(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *gate;
    wbrig_call deletion;

    wbrig_start(r);
    for (unsigned i = 0; i < INSIDE_STATES; i++) {
        inside_staged s;
        uint64_t removals = blob_faultstore_count_key(r->buf, BLOB_FAULT_DELETE, blob_address_key(&a));
        if (inside_states[i] == WBSTORE_QUEUED)
            continue;
        s = inside_stage(r, "text", inside_states[i]);
        gate = blob_faultstore_hold(r->base, BLOB_FAULT_DELETE, NULL, BLOB_FAULT_BEFORE);
        inside_delete(&deletion, r, NULL, &a);
        blob_faultstore_wait_held(gate, 1);
        inside_unstage(&s);
        wbrig_put(r, "text");
        assert_int_equal(blob_faultstore_count_key(r->buf, BLOB_FAULT_DELETE, blob_address_key(&a)), removals);
        blob_faultstore_lift(gate);
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
    blob_faultstore_rule *gate = inside_hold_stubbornly(r->buf, BLOB_FAULT_DELETE, &a);
    uint64_t deleted = 0, put = 0;
    inside_sleeper putting;
    wbrig_call deletion;
    blob_faultstore_call call;
    inside_staged s;

    wbrig_start(r);
    s = inside_stage(r, "text", WBSTORE_WAITING);
    inside_delete(&deletion, r, NULL, &a);
    blob_faultstore_wait_held(gate, 1);
    inside_unstage(&s);
    inside_put_to_sleep(&putting, r, NULL, "text");
    inside_until_asleep(&putting);
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&deletion));
    test_ok(wbrig_end(&putting.call));
    expect_sent_after_the_delete(r, &a, "text");
    for (size_t i = 0; put == 0 && blob_faultstore_history(r->buf, i, &call); i++) {
        if (call.op == BLOB_FAULT_DELETE)
            deleted = call.ended;
        else if (call.op == BLOB_FAULT_PUT && deleted > 0)
            put = call.begun;
    }
    assert_true(0 < deleted && deleted < put);
}

static void a_put_that_waits_for_a_removal_ends_with_its_context_and_with_the_wrapper(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *gate = inside_hold_stubbornly(r->buf, BLOB_FAULT_DELETE, &a);
    inside_sleeper given_up, closed;
    wbrig_call deletion, late;
    blob_ctx *ctx, *soon;

    wbrig_start(r);
    inside_stage(r, "text", WBSTORE_WAITING);
    inside_delete(&deletion, r, NULL, &a);
    blob_faultstore_wait_held(gate, 1);
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
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&deletion));
    blob_ctx_free(ctx);
    blob_ctx_free(soon);
}

/* The put is writing when the delete comes: the delete waits for it, and removes nothing of what it wrote. */
static void a_put_that_was_writing_when_the_delete_came_is_kept(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *gate = inside_hold(r->buf, BLOB_FAULT_PUT, &a);
    wbrig_call deletion, putting;

    wbrig_start(r);
    inside_put(&putting, r, NULL, "text");
    blob_faultstore_wait_held(gate, 1);
    inside_delete(&deletion, r, NULL, &a);
    inside_until_turn_waited(r->w, blob_address_key(&a));
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&putting));
    test_status(wbrig_end(&deletion), BLOB_NOT_FOUND);
    expect_sent_after_the_delete(r, &a, "text");
}

/* Neither store had it when the delete looked, and what the put brought is still there: the delete came first. */
static void a_delete_that_leaves_only_what_a_put_brought_meanwhile_has_found_nothing(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_DELETE, NULL, BLOB_FAULT_BEFORE);
    wbrig_call deletion;
    wbstore_stats stats;

    wbrig_start(r);
    inside_delete(&deletion, r, NULL, &a);
    blob_faultstore_wait_held(gate, 1);
    wbrig_put(r, "text");
    blob_faultstore_lift(gate);
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
    blob_faultstore_rule *gate = blob_faultstore_add(
        r->base, &(blob_faultstore_fault){.ops = BLOB_FAULT_DELETE, .action = BLOB_FAULT_HOLD, .status = BLOB_DENIED});
    wbrig_call deletion;

    wbrig_start(r);
    inside_delete(&deletion, r, NULL, &a);
    blob_faultstore_wait_held(gate, 1);
    wbrig_put(r, "text");
    blob_faultstore_lift(gate);
    test_status(wbrig_end(&deletion), BLOB_DENIED);
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&a), "text");
}

/* What was pending is deleted, and what was put meanwhile is another blob, which came after the sync. */
static void a_put_during_a_delete_does_not_prolong_a_sync(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_DELETE, NULL, BLOB_FAULT_BEFORE), *upload;
    wbrig_call deletion, sync;
    inside_staged s;

    wbrig_start(r);
    s = inside_stage(r, "text", WBSTORE_WAITING);
    inside_delete(&deletion, r, NULL, &s.key);
    blob_faultstore_wait_held(gate, 1);
    inside_sync(&sync, r, NULL);
    wbrig_until_waited(r->w);
    upload = inside_hold(r->base, BLOB_FAULT_PUT, &s.key);
    inside_unstage(&s);
    wbrig_put(r, "text");
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&deletion));
    test_ok(wbrig_end(&sync));
    blob_faultstore_wait_held(upload, 1);
    assert_int_equal(inside_stats(r).pending_blobs, 1);
    blob_faultstore_lift(upload);
    expect_sent_after_the_delete(r, &s.key, "text");
}

/* Two puts, and each has its ticket: the first one's is not safe before the blob is. */
static void who_waits_for_a_put_during_a_delete_waits_until_it_is_sent(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_DELETE, NULL, BLOB_FAULT_BEFORE), *upload;
    uint64_t first, second;
    wbrig_call deletion;
    inside_staged s;
    blob_ctx *ctx;

    wbrig_start(r);
    s = inside_stage(r, "text", WBSTORE_WAITING);
    inside_delete(&deletion, r, NULL, &s.key);
    blob_faultstore_wait_held(gate, 1);
    inside_unstage(&s);
    first = wbrig_put_ticket(r, "text");
    second = wbrig_put_ticket(r, "text");
    assert_true(first < second);
    upload = inside_hold(r->base, BLOB_FAULT_PUT, &s.key);
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&deletion));
    assert_true(wbstore_safe_ticket(r->w) < first);
    test_ok(blob_ctx_new_timeout(&ctx, NULL, 20));
    test_status(wbstore_wait(r->w, ctx, first), -ETIMEDOUT);
    blob_ctx_free(ctx);
    blob_faultstore_lift(upload);
    test_ok(wbstore_wait(r->w, NULL, second));
    assert_true(wbrig_in_base(r, &s.key));
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
        TEST(a_put_during_a_delete_does_not_prolong_a_sync),
        TEST(who_waits_for_a_put_during_a_delete_waits_until_it_is_sent),
        TEST(puts_and_deletes_that_meet_leave_either_the_blob_or_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
