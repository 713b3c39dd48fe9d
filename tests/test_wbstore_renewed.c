/* test_wbstore_renewed.c - a blob that ends (sent, deleted, replaced) while a put brings the same key again: the old
 * one is settled, and the new one stands where its put stands. */
#include "wbinside.h"

#include "wbstore/wrapper.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

/* A blob under way at a base that hangs, a removal of it held in the base, and a put of it that comes meanwhile. */
typedef struct renewal {
    blob_address a;
    blob_faultstore_rule *upload, *removal;
    wbrig_call call;
    uint64_t old, renewed; /* tickets */
} renewal;

static void renew(wbrig *r, renewal *n, unsigned removal_op)
{
    blob_key key;

    n->a = wbrig_address("text");
    key = blob_address_key(&n->a);
    wbrig_start(r);
    inside_until_resumed(r->w);
    n->upload = blob_faultstore_hold(r->buf, BLOB_FAULT_GET, &key, BLOB_FAULT_BEFORE);
    n->removal = blob_faultstore_hold(r->base, removal_op, &key, BLOB_FAULT_BEFORE);
    n->old = wbrig_put_ticket(r, "text");
    if (removal_op == BLOB_FAULT_DELETE)
        inside_delete(&n->call, r, NULL, &n->a);
    else
        inside_replace(&n->call, r, NULL, &n->a, "other");
    blob_faultstore_wait_held(n->removal, 1);
    n->renewed = wbrig_put_ticket(r, "text");
    wbrig_put(r, "a later one");
    blob_faultstore_lift(n->removal);
    test_ok(wbrig_end(&n->call));
    blob_faultstore_wait_held(n->upload, 1); /* that of the new one */
}

static void expect_old_is_settled_and_new_is_pending(wbrig *r, const renewal *n)
{
    blob_key key = blob_address_key(&n->a);

    assert_int_equal(wbstore_safe_ticket(r->w), n->old);
    test_ok(wbstore_wait(r->w, NULL, n->old));
    assert_int_equal(inside_state(r->w, key), WBSTORE_SENDING);
    assert_int_equal(inside_stats(r).deleted, 1);
    blob_faultstore_lift(n->upload);
    test_ok(wbstore_wait(r->w, NULL, n->renewed));
    assert_true(wbrig_in_base(r, &n->a));
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(inside_stats(r).sent, 2);
    assert_int_equal(inside_stats(r).accepted, 3);
    assert_int_equal(wbstore_safe_ticket(r->w), n->renewed + 1);
}

static void who_waits_for_a_blob_that_was_deleted_does_not_wait_for_the_put_that_came_meanwhile(void **state)
{
    wbrig *r = *state;
    renewal n;

    renew(r, &n, BLOB_FAULT_DELETE);
    expect_old_is_settled_and_new_is_pending(r, &n);
}

static void who_waits_for_a_blob_that_was_replaced_does_not_wait_for_the_put_that_came_meanwhile(void **state)
{
    wbrig *r = *state;
    renewal n;

    renew(r, &n, BLOB_FAULT_PUT);
    expect_old_is_settled_and_new_is_pending(r, &n);
}

/* Left from an earlier process, so a put writes it anew, and meets the upload of what was left. */
static void who_waits_for_a_blob_that_was_sent_does_not_wait_for_the_put_that_came_meanwhile(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_key key = blob_address_key(&a);
    blob_faultstore_rule *upload = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, &key, BLOB_FAULT_AFTER);
    uint64_t ticket;

    wbrig_buffer(r, "text");
    wbrig_start(r);
    blob_faultstore_wait_held(upload, 1);
    wbrig_put(r, "another");
    ticket = wbrig_put_ticket(r, "text");
    inside_until_resumed(r->w);
    assert_int_equal(wbstore_safe_ticket(r->w), 0);
    blob_faultstore_release(upload, 1);
    blob_faultstore_wait_hits(upload, 2); /* the new one */
    test_ok(wbstore_wait(r->w, NULL, ticket - 1));
    assert_int_equal(wbstore_safe_ticket(r->w), ticket - 1);
    assert_int_equal(inside_stats(r).sent, 2);
    assert_int_equal(inside_stats(r).accepted, 2);
    assert_int_equal(inside_stats(r).pending_blobs, 1);
    blob_faultstore_lift(upload);
    test_ok(wbstore_sync(r->w, NULL));
    assert_false(wbrig_in_buffer(r, &a));
}

static bool writers_rest(const wbstore *w, const void *arg)
{
    (void)arg;
    return w->writers == w->idle;
}

/* The upload of what was left is through, and the put that writes the key anew is not: there is nothing to do until it
 * is, and no end of doing nothing. */
static void an_upload_is_not_repeated_while_a_put_writes_the_same_key(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *upload = inside_hold(r->base, BLOB_FAULT_PUT, &a), *write;
    wbrig_call put;
    bool rest = false;

    wbrig_buffer(r, "text");
    wbrig_start(r);
    blob_faultstore_wait_held(upload, 1);
    write = inside_hold(r->buf, BLOB_FAULT_PUT, &a);
    inside_put(&put, r, NULL, "text");
    blob_faultstore_wait_held(write, 1);
    blob_faultstore_lift(upload);
    while (!rest && blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls < 20) {
        pthread_mutex_lock(&r->w->lock);
        rest = blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls > 0 && writers_rest(r->w, NULL);
        pthread_mutex_unlock(&r->w->lock);
        sched_yield();
    }
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls, 1);
    test_ok(wbstore_sync(r->w, NULL)); /* what was left is in the base, and the put is not through */
    assert_int_equal(inside_stats(r).sent, 1);
    blob_faultstore_lift(write);
    test_ok(wbrig_end(&put));
    test_ok(wbstore_sync(r->w, NULL));
    assert_false(wbrig_in_buffer(r, &a));
    assert_int_equal(inside_stats(r).accepted, 1);
    assert_int_equal(inside_stats(r).sent, 2);
}

static void a_put_refused_while_its_keys_upload_ended_leaves_nothing_behind_in_the_buffer(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text"), other = wbrig_address("other");
    blob_faultstore_rule *upload = inside_hold(r->base, BLOB_FAULT_PUT, &a), *write;
    blob_key key = blob_address_key(&a);
    wbrig_call put;

    inside_fail(r->base, BLOB_FAULT_PUT, &other, BLOB_REJECTED, 0); /* parked: no sync lists the buffer anew */
    wbrig_buffer(r, "text");
    wbrig_start(r);
    wbrig_put(r, "other");
    blob_faultstore_wait_held(upload, 1);
    write = blob_faultstore_add(
        r->buf, &(blob_faultstore_fault){
                    .ops = BLOB_FAULT_PUT, .key = &key, .action = BLOB_FAULT_HOLD, .status = BLOB_REJECTED});
    inside_put(&put, r, NULL, "text");
    blob_faultstore_wait_held(write, 1);
    blob_faultstore_lift(upload);
    blob_faultstore_wait_calls(r->base, BLOB_FAULT_PUT, 2);
    test_status(wbstore_sync(r->w, NULL), BLOB_REJECTED);
    blob_faultstore_lift(write);
    test_status(wbrig_end(&put), BLOB_REJECTED);
    test_status(wbstore_sync(r->w, NULL), BLOB_REJECTED);
    assert_true(wbrig_in_base(r, &a));
    assert_false(wbrig_in_buffer(r, &a));
    inside_stats(r);
}

/* The first of two puts of one key is refused after the second was stored and sent: its bytes were left to the first. */
static void a_put_refused_after_another_of_its_key_was_sent_leaves_nothing_behind_in_the_buffer(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *write;
    wbrig_call put;

    r->options.when_full = WBSTORE_FULL_FAIL;
    wbrig_start(r);
    inside_until_resumed(r->w);
    write = blob_faultstore_add(
        r->buf,
        &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_HOLD, .status = -ENOSPC, .count = 1});
    inside_put(&put, r, NULL, "text");
    blob_faultstore_wait_held(write, 1);
    wbrig_put(r, "text");
    inside_until_state(r->w, blob_address_key(&a), 0);
    blob_faultstore_lift(write);
    test_status(wbrig_end(&put), BLOB_FULL);
    inside_until_state(r->w, blob_address_key(&a), 0);
    assert_true(wbrig_in_base(r, &a));
    assert_false(wbrig_in_buffer(r, &a));
    inside_stats(r);
}

/* A rescan asks the buffer of a key that was removed since it was listed; before the answer it is put again and sent. */
static void a_put_that_is_sent_while_a_listing_looks_at_its_key_leaves_nothing_behind_in_the_buffer(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *look;
    wbrig_call sync;

    wbrig_start(r);
    inside_until_resumed(r->w);
    wbrig_buffer(r, "text");
    look = blob_faultstore_add(
        r->buf, &(blob_faultstore_fault){
                    .ops = BLOB_FAULT_SIZE, .action = BLOB_FAULT_HOLD, .status = BLOB_NOT_FOUND, .count = 1});
    inside_sync(&sync, r, NULL); /* takes up what it finds in the buffer */
    blob_faultstore_wait_held(look, 1);
    wbrig_put(r, "text");
    inside_until_state(r->w, blob_address_key(&a), 0);
    blob_faultstore_lift(look);
    test_ok(wbrig_end(&sync));
    inside_until_state(r->w, blob_address_key(&a), 0);
    assert_true(wbrig_in_base(r, &a));
    assert_false(wbrig_in_buffer(r, &a));
    inside_stats(r);
}

/* The listing of the start leaves a key to the put that is at it. If that is refused, the old bytes are still there, and
 * nobody may say meanwhile that what the buffer held has arrived. */
static void what_a_listing_left_to_a_put_that_was_refused_is_sent_all_the_same(void **state)
{
    wbrig *r = *state;
    blob_address old = wbrig_address("old"), other = wbrig_address("other");
    blob_faultstore_rule *list = blob_faultstore_hold(r->buf, BLOB_FAULT_LIST, NULL, BLOB_FAULT_BEFORE), *write,
                         *upload;
    wbrig_call put, sync;

    r->options.when_full = WBSTORE_FULL_FAIL;
    upload = inside_hold(r->base, BLOB_FAULT_PUT, &other);
    write = blob_faultstore_add(
        r->buf,
        &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_HOLD, .status = -ENOSPC, .count = 1});
    wbrig_buffer(r, "old");
    wbrig_start(r);
    blob_faultstore_wait_held(list, 1);
    inside_put(&put, r, NULL, "old");
    blob_faultstore_wait_held(write, 1);
    wbrig_put(r, "other"); /* so that sync does not list the buffer anew */
    blob_faultstore_wait_held(upload, 1);
    blob_faultstore_lift(list);
    inside_until_resumed(r->w);
    assert_int_equal(wbstore_safe_ticket(r->w), 0);
    inside_sync(&sync, r, NULL);
    wbrig_until_waited(r->w);
    blob_faultstore_lift(upload);
    inside_until_state(r->w, blob_address_key(&other), 0);
    assert_int_equal(wbstore_safe_ticket(r->w), 0);
    blob_faultstore_lift(write);
    test_status(wbrig_end(&put), BLOB_FULL);
    test_ok(wbrig_end(&sync));
    assert_true(wbrig_in_base(r, &old));
    assert_false(wbrig_in_buffer(r, &old));
    assert_int_equal(inside_stats(r).resumed, 1);
}

static bool comes_before_all_tickets(wbstore *w, const blob_address *a)
{
    const wb_entry *e;
    bool before;

    pthread_mutex_lock(&w->lock);
    e = wb_ledger_find(&w->ledger, blob_address_key(a));
    before = e != NULL && e->order < wb_order_of(0);
    pthread_mutex_unlock(&w->lock);
    return before;
}

/* Who waits for what the buffer held at the start waits for it even if it is put again before the listing comes to it. */
static void what_was_found_and_put_again_is_waited_for_as_found(void **state)
{
    wbrig *r = *state;
    blob_address old = wbrig_address("old");
    blob_faultstore_rule *list = blob_faultstore_hold(r->buf, BLOB_FAULT_LIST, NULL, BLOB_FAULT_BEFORE), *upload;
    wbrig_call sync;
    blob_ctx *ctx;

    upload = inside_hold(r->base, BLOB_FAULT_PUT, &old);
    wbrig_buffer(r, "old");
    wbrig_start(r);
    blob_faultstore_wait_held(list, 1);
    test_ok(blob_ctx_new(&ctx, NULL));
    inside_sync(&sync, r, ctx);
    wbrig_until_waited(r->w);
    wbrig_put(r, "old");
    assert_true(comes_before_all_tickets(r->w, &old));
    blob_faultstore_wait_held(upload, 1);
    blob_faultstore_lift(list);
    inside_until_resumed(r->w);
    blob_ctx_cancel(ctx);
    test_status(wbrig_end(&sync), -ECANCELED); /* with nothing to wait for it returns 0 */
    blob_faultstore_lift(upload);
    test_ok(wbstore_sync(r->w, NULL));
    assert_true(wbrig_in_base(r, &old));
    blob_ctx_free(ctx);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inside_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_waits_for_a_blob_that_was_deleted_does_not_wait_for_the_put_that_came_meanwhile),
        TEST(who_waits_for_a_blob_that_was_replaced_does_not_wait_for_the_put_that_came_meanwhile),
        TEST(who_waits_for_a_blob_that_was_sent_does_not_wait_for_the_put_that_came_meanwhile),
        TEST(an_upload_is_not_repeated_while_a_put_writes_the_same_key),
        TEST(a_put_refused_while_its_keys_upload_ended_leaves_nothing_behind_in_the_buffer),
        TEST(a_put_refused_after_another_of_its_key_was_sent_leaves_nothing_behind_in_the_buffer),
        TEST(a_put_that_is_sent_while_a_listing_looks_at_its_key_leaves_nothing_behind_in_the_buffer),
        TEST(what_a_listing_left_to_a_put_that_was_refused_is_sent_all_the_same),
        TEST(what_was_found_and_put_again_is_waited_for_as_found),
    };

    return cmocka_run_group_tests_name("a key that comes again", tests, NULL, NULL);
}
