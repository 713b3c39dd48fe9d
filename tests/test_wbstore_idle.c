/* test_wbstore_idle.c - nobody is busy with nothing, and nothing that can be done is left undone: when the buffer fails
 * during an outage of the base, when uploads are called off, when an answer is lost. */
#include "wbinside.h"

#include "wbstore/wrapper.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

/* Until every writer rests; false once the rule has acted more often than a wrapper in its right mind would. */
static bool rest_comes(wbrig *r, blob_faultstore_rule *rule, uint64_t most)
{
    bool rest = false;

    while (!rest && blob_faultstore_hits(rule) <= most) {
        pthread_mutex_lock(&r->w->lock);
        rest = r->w->writers == r->w->idle && blob_faultstore_hits(rule) > 0;
        pthread_mutex_unlock(&r->w->lock);
        sched_yield();
    }
    return rest && blob_faultstore_hits(rule) <= most;
}

/* The base is tried now and then, each time with another blob; here none of them gets that far. */
static void a_buffer_that_fails_during_an_outage_is_not_asked_in_a_hot_loop(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *read;

    r->options.writers_max = 1; /* so that nothing is under way from before the outage */
    blob_faultstore_fail(r->base, BLOB_FAULT_PUT, BLOB_UNAVAILABLE, 0);
    wbrig_start(r);
    for (unsigned i = 0; i < 5; i++)
        wbrig_put_number(r, i);
    wbrig_wait_event(r, WBSTORE_EVENT_BASE_DOWN, 1);
    read = blob_faultstore_add(
        r->buf, &(blob_faultstore_fault){.ops = BLOB_FAULT_GET, .status = -EIO, .retry_after_ms = 3600 * 1000});
    assert_true(rest_comes(r, read, 1));
}

/* Whoever called it off has gone by the time that the base heeds it. It says nothing about the base all the same. */
static void an_upload_that_was_called_off_is_no_failure_of_the_base(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_key key = blob_address_key(&a);
    blob_faultstore_rule *upload = blob_faultstore_add(
        r->base,
        &(blob_faultstore_fault){
            .ops = BLOB_FAULT_PUT, .key = &key, .action = BLOB_FAULT_HOLD, .ignore_ctx = true, .status = -ECANCELED});

    wbrig_start(r);
    wbrig_put(r, "text");
    for (unsigned i = 0; i < 6; i++) { /* one more than makes an outage */
        wbrig_call call;
        blob_ctx *ctx;
        blob_faultstore_wait_held(upload, 1);
        test_ok(blob_ctx_new(&ctx, NULL));
        inside_delete(&call, r, ctx, &a);
        inside_until_removers(r->w, key, 1);
        blob_ctx_cancel(ctx);
        test_status(wbrig_end(&call), -ECANCELED);
        blob_ctx_free(ctx);
        blob_faultstore_release(upload, 1);
        blob_faultstore_wait_hits(upload, i + 2);
    }
    assert_int_equal(inside_stats(r).last_status, 0);
    assert_int_equal(inside_stats(r).retries, 0);
    assert_false(inside_base_is_down(r->w));
    blob_faultstore_lift(upload);
}

/* The buffer has lost its last blob and the wrapper learns of it late and indirectly: there is room all the same. */
static void a_put_that_waits_for_room_hears_of_a_removal_whose_answer_was_lost(void **state)
{
    wbrig *r = *state;
    blob_address pending = wbrig_address("pending"), a = wbrig_address("text");
    blob_faultstore_rule *upload = inside_hold(r->base, BLOB_FAULT_PUT, &pending);
    blob_key key = blob_address_key(&pending);
    wbrig_call put;

    wbrig_start(r);
    inside_until_resumed(r->w);
    wbrig_put(r, "pending");
    blob_faultstore_wait_held(upload, 1);
    inside_fail(r->buf, BLOB_FAULT_PUT, &a, -ENOSPC, 1);
    inside_put(&put, r, NULL, "text");
    inside_until_room_waiters(r->w, 1);
    blob_faultstore_add(
        r->buf, &(blob_faultstore_fault){
                    .ops = BLOB_FAULT_DELETE, .key = &key, .when = BLOB_FAULT_AFTER, .status = -EIO, .count = 1});
    blob_faultstore_lift(upload);
    test_ok(wbrig_end(&put));
    test_ok(wbstore_sync(r->w, NULL));
    assert_true(wbrig_in_base(r, &a));
}

/* The only room is taken by a put that waits for a delete of its key to be through: it will make room in its turn. */
static void a_put_that_waits_for_its_turn_is_worth_waiting_for(void **state)
{
    wbrig *r = *state;
    blob_address first = wbrig_address("first"), a = wbrig_address("text");
    blob_faultstore_rule *upload = inside_hold(r->base, BLOB_FAULT_PUT, &first), *removal;
    wbrig_call delete, puts[2];

    r->options.buffer_blobs_max = 1;
    wbrig_start(r);
    inside_until_resumed(r->w);
    wbrig_put(r, "first");
    blob_faultstore_wait_held(upload, 1);
    inside_put(&puts[0], r, NULL, "text");
    inside_until_room_waiters(r->w, 1);
    removal = inside_hold(r->buf, BLOB_FAULT_DELETE, &a);
    inside_delete(&delete, r, NULL, &a);
    blob_faultstore_wait_held(removal, 1);
    blob_faultstore_lift(upload);
    inside_until_room_waiters(r->w, 0);
    inside_put(&puts[1], r, NULL, "more text");
    inside_until_room_waiters(r->w, 1);
    blob_faultstore_lift(removal);
    test_status(wbrig_end(&delete), BLOB_NOT_FOUND);
    test_ok(wbrig_end(&puts[0]));
    test_ok(wbrig_end(&puts[1]));
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(inside_stats(r).sent, 3);
}

/* The listing takes its time; meanwhile those at work are stuck, and a writer is added for what it has found. */
static void an_upload_that_hangs_holds_up_no_other_while_the_buffer_is_being_listed(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *upload = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE), *listing[2];

    for (unsigned i = 0; i < 2; i++)
        listing[i] = blob_faultstore_add(r->buf, &(blob_faultstore_fault){.ops = BLOB_FAULT_LIST,
                                                                          .action = BLOB_FAULT_HOLD,
                                                                          .when = BLOB_FAULT_DURING,
                                                                          .after_keys = i + 1});
    wbrig_buffer(r, "one");
    wbrig_buffer(r, "two");
    wbrig_buffer(r, "three");
    wbrig_start(r);
    blob_faultstore_wait_held(listing[0], 1);
    blob_faultstore_wait_held(upload, 1);
    blob_faultstore_lift(listing[0]);
    blob_faultstore_wait_held(listing[1], 1);
    blob_faultstore_wait_held(upload, 2);
    wbrig_put(r, "four");
    blob_faultstore_wait_held(upload, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inside_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_buffer_that_fails_during_an_outage_is_not_asked_in_a_hot_loop),
        TEST(an_upload_that_was_called_off_is_no_failure_of_the_base),
        TEST(a_put_that_waits_for_room_hears_of_a_removal_whose_answer_was_lost),
        TEST(a_put_that_waits_for_its_turn_is_worth_waiting_for),
        TEST(an_upload_that_hangs_holds_up_no_other_while_the_buffer_is_being_listed),
    };

    return cmocka_run_group_tests_name("neither busy nor stuck", tests, NULL, NULL);
}
