/* test_wbstore_delete.c - a delete ends a blob for good, whatever its upload is at; or it fails and changes nothing.
 * What puts do meanwhile is in test_wbstore_delete_put.c. */
#include "wbinside.h"

#include <errno.h>

/* No put of the key has reached the base after its last delete there. */
static void expect_not_resurrected(wbrig *r, const blob_address *a)
{
    blob_key key = blob_address_key(a);
    uint64_t deleted = 0;
    blob_faultstore_call call;

    wbrig_put(r, "the last one");
    test_ok(wbstore_sync(r->w, NULL));
    for (size_t i = 0; blob_faultstore_history(r->base, i, &call); i++) {
        if (blob_key_compare(blob_key_of(call.key, call.key_size), key) != 0)
            continue;
        if (call.op == BLOB_FAULT_DELETE && (call.status == 0 || call.status == BLOB_NOT_FOUND))
            deleted = call.ended;
        assert_false(call.op == BLOB_FAULT_PUT && deleted > 0);
    }
    assert_int_not_equal(deleted, 0);
    assert_false(wbrig_in_base(r, a));
    assert_false(wbrig_in_buffer(r, a));
    test_expect_missing(wbstore_as_store(r->w), key);
}

/* ---- of a pending blob ------------------------------------------------------------------------------------------- */

static void a_delete_ends_a_blob_in(wbrig *r, wbstore_state state)
{
    wbstore_stats stats;
    inside_staged s;

    r->options.writers_max = 1;
    wbrig_start(r);
    s = inside_stage(r, "text", state);
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&s.key)));
    stats = inside_stats(r);
    assert_int_equal(stats.deleted, 1);
    assert_int_equal(stats.sent, 0);
    assert_int_equal(stats.pending_blobs, s.blocker != NULL ? 1 : 0);
    assert_int_equal(inside_state(r->w, blob_address_key(&s.key)), 0);
    inside_unstage(&s);
    expect_not_resurrected(r, &s.key);
    test_status(wbstore_delete(r->w, NULL, blob_address_key(&s.key)), BLOB_NOT_FOUND);
}

static void a_delete_ends_a_queued_blob(void **state)
{
    a_delete_ends_a_blob_in(*state, WBSTORE_QUEUED);
}

static void a_delete_calls_off_an_upload_under_way(void **state)
{
    blob_address a = wbrig_address("text");

    a_delete_ends_a_blob_in(*state, WBSTORE_SENDING);
    assert_int_equal(inside_ended(((wbrig *)*state)->base, BLOB_FAULT_PUT, &a, -ECANCELED), 1);
}

static void a_delete_ends_a_blob_that_waits_for_its_next_attempt(void **state)
{
    a_delete_ends_a_blob_in(*state, WBSTORE_WAITING);
}

static void a_delete_ends_a_parked_blob(void **state)
{
    a_delete_ends_a_blob_in(*state, WBSTORE_PARKED);
}

/* The base does not heed the cancel: the delete waits until the put has had its effect, then undoes it. */
static void a_delete_waits_for_an_upload_that_cannot_be_called_off(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_key key = blob_address_key(&a);
    blob_faultstore_rule *gate = inside_hold_stubbornly(r->base, BLOB_FAULT_PUT, &a);
    wbrig_call deletion;

    wbrig_start(r);
    wbrig_put(r, "text");
    blob_faultstore_wait_held(gate, 1);
    inside_delete(&deletion, r, NULL, &a);
    inside_until_removers(r->w, key, 1);
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_DELETE).calls, 0);
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&deletion));
    expect_not_resurrected(r, &a);
}

static void a_delete_asks_the_base_before_the_buffer(void **state)
{
    wbrig *r = *state;
    blob_faultstore_call in_base = {0}, in_buffer = {0};
    inside_staged s;

    wbrig_start(r);
    s = inside_stage(r, "text", WBSTORE_PARKED);
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&s.key)));
    for (size_t i = 0; in_base.op != BLOB_FAULT_DELETE; i++)
        assert_true(blob_faultstore_history(r->base, i, &in_base));
    for (size_t i = 0; in_buffer.op != BLOB_FAULT_DELETE; i++)
        assert_true(blob_faultstore_history(r->buf, i, &in_buffer));
    assert_true(in_base.ended < in_buffer.begun);
    assert_int_equal(in_buffer.flags & BLOB_LAZY, 0); /* it lasts when the delete returns */
}

/* ---- of any other key -------------------------------------------------------------------------------------------- */

static void a_delete_of_an_unknown_key_asks_both_and_finds_nothing(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");

    wbrig_start(r);
    test_status(wbstore_delete(r->w, NULL, blob_address_key(&a)), BLOB_NOT_FOUND);
    assert_int_equal(inside_ended(r->base, BLOB_FAULT_DELETE, &a, BLOB_NOT_FOUND), 1);
    assert_int_equal(inside_ended(r->buf, BLOB_FAULT_DELETE, &a, BLOB_NOT_FOUND), 1);
    wbrig_put(r, "text"); /* the delete is over and done with */
    test_ok(wbstore_sync(r->w, NULL));
    assert_true(wbrig_in_base(r, &a));
    assert_int_equal(inside_stats(r).deleted, 0);
}

static void a_delete_of_a_blob_that_was_sent_removes_it_from_the_base(void **state)
{
    wbrig *r = *state;
    blob_address a;

    wbrig_start(r);
    a = wbrig_put(r, "text");
    test_ok(wbstore_sync(r->w, NULL));
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&a)));
    expect_not_resurrected(r, &a);
    assert_int_equal(inside_stats(r).deleted, 0); /* the upload had ended its entry */
}

static void a_delete_before_the_listing_of_a_resumed_buffer_ends_what_it_would_find(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *gate = blob_faultstore_hold(r->buf, BLOB_FAULT_LIST, NULL, BLOB_FAULT_BEFORE);

    wbrig_buffer(r, "text");
    wbrig_start(r);
    blob_faultstore_wait_held(gate, 1);
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&a)));
    blob_faultstore_lift(gate);
    inside_until_resumed(r->w);
    assert_int_equal(inside_stats(r).resumed, 0);
    expect_not_resurrected(r, &a);
}

/* The listing shows k2 from a page that was read before the delete. */
static void a_delete_behind_a_listing_under_way_is_not_undone_by_it(void **state)
{
    wbrig *r = *state;
    blob_key k1 = test_key("k1"), k2 = test_key("k2");
    blob_faultstore_rule *gate = blob_faultstore_hold(r->buf, BLOB_FAULT_SIZE, &k1, BLOB_FAULT_BEFORE);

    test_put(r->buf_mem, k1, "one");
    test_put(r->buf_mem, k2, "two");
    wbrig_start(r);
    blob_faultstore_wait_held(gate, 1);
    test_ok(wbstore_delete(r->w, NULL, k2));
    blob_faultstore_lift(gate);
    inside_until_resumed(r->w);
    test_ok(wbstore_sync(r->w, NULL));
    assert_true(test_has(r->base_mem, k1));
    assert_false(test_has(r->base_mem, k2));
    assert_int_equal(blob_faultstore_count_key(r->base, BLOB_FAULT_PUT, k2), 0);
    assert_int_equal(inside_stats(r).resumed, 1);
}

/* The listing is looking at this very key. */
static void a_delete_of_a_key_that_is_being_taken_up_ends_it(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *gate = inside_hold(r->buf, BLOB_FAULT_SIZE, &a);
    wbrig_call deletion;

    wbrig_buffer(r, "text");
    wbrig_start(r);
    blob_faultstore_wait_held(gate, 1);
    inside_delete(&deletion, r, NULL, &a);
    inside_until_turn_waited(r->w, blob_address_key(&a));
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&deletion));
    inside_until_resumed(r->w);
    assert_int_equal(inside_stats(r).resumed, inside_stats(r).deleted);
    expect_not_resurrected(r, &a);
}

/* ---- that fails ---------------------------------------------------------------------------------------------------
 * */

static void a_delete_that_fails_leaves_the_blob_to_be_sent(wbrig *r, wbstore_state state, bool in_base)
{
    blob_faultstore *where = in_base ? r->base : r->buf;
    blob_faultstore_rule *fault, *gate;
    inside_staged s;

    r->options.writers_max = 1;
    wbrig_start(r);
    s = inside_stage(r, "text", state);
    gate = inside_hold(r->base, BLOB_FAULT_PUT, &s.key); /* what failed before is held from here on */
    if (state == WBSTORE_WAITING || state == WBSTORE_PARKED)
        blob_faultstore_lift(s.rule);
    fault = inside_fail(where, BLOB_FAULT_DELETE, &s.key, in_base ? BLOB_DENIED : -EIO, 1);
    test_status(wbstore_delete(r->w, NULL, blob_address_key(&s.key)), in_base ? BLOB_DENIED : -EIO);
    assert_int_equal(blob_faultstore_hits(fault), 1);
    assert_true(wbrig_in_buffer(r, &s.key));
    assert_int_equal(inside_stats(r).deleted, 0);
    assert_int_equal(inside_stats(r).pending_blobs, s.blocker != NULL ? 2 : 1);
    test_expect(wbstore_as_store(r->w), blob_address_key(&s.key), "text");
    inside_unstage(&s);
    blob_faultstore_lift(gate);
    test_ok(wbstore_retry_parked(r->w));
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&s.key), "text");
    assert_int_equal(inside_stats(r).pending_blobs, 0);
}

static void a_delete_that_fails_in_the_base_leaves_the_blob_to_be_sent(void **state)
{
    for (unsigned i = 0; i < INSIDE_STATES; i++) {
        if (i > 0)
            inside_set_up(state);
        a_delete_that_fails_leaves_the_blob_to_be_sent(*state, inside_states[i], true);
        if (i + 1 < INSIDE_STATES)
            wbrig_tear_down(state);
    }
}

static void a_delete_that_fails_in_the_buffer_leaves_the_blob_to_be_sent(void **state)
{
    for (unsigned i = 0; i < INSIDE_STATES; i++) {
        if (i > 0)
            inside_set_up(state);
        a_delete_that_fails_leaves_the_blob_to_be_sent(*state, inside_states[i], false);
        if (i + 1 < INSIDE_STATES)
            wbrig_tear_down(state);
    }
}

/* The buffer removed it and said otherwise: whoever looks next finds out, and nobody waits for it for ever. */
static void a_delete_whose_answer_from_the_buffer_is_lost_is_settled_all_the_same(void **state)
{
    wbrig *r = *state;
    inside_staged s;

    wbrig_start(r);
    s = inside_stage(r, "text", WBSTORE_WAITING);
    blob_faultstore_add(r->buf, &(blob_faultstore_fault){
                                    .ops = BLOB_FAULT_DELETE, .when = BLOB_FAULT_AFTER, .status = -EIO, .count = 1});
    test_status(wbstore_delete(r->w, NULL, blob_address_key(&s.key)), -EIO);
    inside_unstage(&s);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(inside_stats(r).deleted, 1);
    expect_not_resurrected(r, &s.key);
}

static void a_delete_of_what_the_base_cannot_tell_is_no_not_found(void **state)
{
    wbrig *r = *state;

    wbrig_start(r);
    blob_faultstore_fail(r->base, BLOB_FAULT_DELETE, BLOB_UNAVAILABLE, 1);
    test_status(wbstore_delete(r->w, NULL, test_key("k")), BLOB_UNAVAILABLE);
    blob_faultstore_fail(r->buf, BLOB_FAULT_DELETE, -EIO, 1);
    test_status(wbstore_delete(r->w, NULL, test_key("k")), -EIO);
    test_status(wbstore_delete(r->w, NULL, test_key("k")), BLOB_NOT_FOUND);
}

/* ---- and others ---------------------------------------------------------------------------------------------------
 * */

static void of_two_deletes_of_one_key_the_second_finds_nothing(void **state)
{
    wbrig *r = *state;
    wbrig_call first, second;
    blob_faultstore_rule *gate;
    inside_staged s;

    wbrig_start(r);
    s = inside_stage(r, "text", WBSTORE_PARKED);
    gate = blob_faultstore_hold(r->base, BLOB_FAULT_DELETE, NULL, BLOB_FAULT_BEFORE);
    inside_delete(&first, r, NULL, &s.key);
    blob_faultstore_wait_held(gate, 1);
    inside_delete(&second, r, NULL, &s.key);
    inside_until_removers(r->w, blob_address_key(&s.key), 2);
    assert_int_equal(blob_faultstore_held(gate), 1); /* one hand per key */
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&first));
    test_status(wbrig_end(&second), BLOB_NOT_FOUND);
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_DELETE).in_flight_max, 1);
    assert_int_equal(inside_stats(r).deleted, 1);
}

static void deletes_of_different_keys_do_not_wait_for_each_other(void **state)
{
    wbrig *r = *state;
    wbrig_call first, second;
    blob_address a = wbrig_address("a"), b = wbrig_address("b");
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_DELETE, NULL, BLOB_FAULT_BEFORE);

    wbrig_start(r);
    inside_delete(&first, r, NULL, &a);
    inside_delete(&second, r, NULL, &b);
    blob_faultstore_wait_held(gate, 2);
    blob_faultstore_lift(gate);
    test_status(wbrig_end(&first), BLOB_NOT_FOUND);
    test_status(wbrig_end(&second), BLOB_NOT_FOUND);
}

static int wait_for_the_key(wbrig_call *c)
{
    return wbstore_wait_keys(c->w, c->ctx, &c->key, 1);
}

/* Sync, a ticket's wait and a key's wait: each ends when the delete has ended the blob they wait for. */
static void who_waits_for_a_blob_is_content_when_it_is_deleted(void **state)
{
    wbrig *r = *state;
    wbrig_call waits[3] = {{.call = wbrig_call_sync}, {.call = wbrig_call_wait}, {.call = wait_for_the_key}};
    uint64_t ticket;
    inside_staged s;

    wbrig_start(r);
    s = inside_stage(r, "text", WBSTORE_WAITING);
    test_ok(wbstore_cas_put_ticket(r->w, NULL, "text", 4, NULL, &ticket));
    for (unsigned i = 0; i < 3; i++) {
        waits[i].w = r->w;
        waits[i].ticket = ticket;
        waits[i].key = blob_address_key(&s.key);
        wbrig_begin(&waits[i]);
    }
    wbrig_until_waited(r->w);
    wbrig_until_key_waited(r->w, blob_address_key(&s.key));
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&s.key)));
    for (unsigned i = 0; i < 3; i++)
        test_ok(wbrig_end(&waits[i]));
    assert_int_equal(wbstore_safe_ticket(r->w), ticket);
}

static void a_deleted_parked_blob_fails_no_sync(void **state)
{
    wbrig *r = *state;
    inside_staged s;

    wbrig_start(r);
    s = inside_stage(r, "text", WBSTORE_PARKED);
    test_status(wbstore_sync(r->w, NULL), BLOB_REJECTED);
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&s.key)));
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(inside_stats(r).parked, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inside_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_delete_ends_a_queued_blob),
        TEST(a_delete_calls_off_an_upload_under_way),
        TEST(a_delete_ends_a_blob_that_waits_for_its_next_attempt),
        TEST(a_delete_ends_a_parked_blob),
        TEST(a_delete_waits_for_an_upload_that_cannot_be_called_off),
        TEST(a_delete_asks_the_base_before_the_buffer),
        TEST(a_delete_of_an_unknown_key_asks_both_and_finds_nothing),
        TEST(a_delete_of_a_blob_that_was_sent_removes_it_from_the_base),
        TEST(a_delete_before_the_listing_of_a_resumed_buffer_ends_what_it_would_find),
        TEST(a_delete_behind_a_listing_under_way_is_not_undone_by_it),
        TEST(a_delete_of_a_key_that_is_being_taken_up_ends_it),
        TEST(a_delete_that_fails_in_the_base_leaves_the_blob_to_be_sent),
        TEST(a_delete_that_fails_in_the_buffer_leaves_the_blob_to_be_sent),
        TEST(a_delete_whose_answer_from_the_buffer_is_lost_is_settled_all_the_same),
        TEST(a_delete_of_what_the_base_cannot_tell_is_no_not_found),
        TEST(of_two_deletes_of_one_key_the_second_finds_nothing),
        TEST(deletes_of_different_keys_do_not_wait_for_each_other),
        TEST(who_waits_for_a_blob_is_content_when_it_is_deleted),
        TEST(a_deleted_parked_blob_fails_no_sync),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
