/* test_wbstore_buffer_full.c - a buffer that has no room by its own account (-ENOSPC, BLOB_FULL) leads to what a bound
 * of the host's leads to: wait until something has left it, fail, or write through; and waiting may be in vain here
 * too. */
#include "wbinside.h"

#include <errno.h>
#include <string.h>

static int put(wbrig *r, const char *text, uint64_t *ticket)
{
    return wbstore_cas_put_ticket(r->w, NULL, text, strlen(text), NULL, ticket);
}

/* A wrapper with one blob pending, whose upload stands at the gate, and a buffer that will refuse `refusals` puts
 * more. */
static blob_faultstore_rule *start_with_one_pending(wbrig *r, wbstore_when_full when_full, int status,
                                                    unsigned refusals)
{
    blob_address pending = wbrig_address("pending");
    blob_faultstore_rule *gate = inside_hold(r->base, BLOB_FAULT_PUT, &pending);

    r->options.when_full = when_full;
    wbrig_start(r);
    inside_until_resumed(r->w);
    wbrig_put(r, "pending");
    blob_faultstore_wait_held(gate, 1);
    blob_faultstore_fail(r->buf, BLOB_FAULT_PUT, status, refusals);
    return gate;
}

/* Each test runs with both of the statuses that say so. */
static void for_both(void **state, void (*body)(wbrig *r, int status))
{
    body(*state, -ENOSPC);
    wbrig_tear_down(state);
    inside_set_up(state);
    body(*state, BLOB_FULL);
}

/* ---- the three policies
 * ------------------------------------------------------------------------------------------------- */

static void fails(wbrig *r, int status)
{
    uint64_t ticket = 7;
    blob_faultstore_rule *gate = start_with_one_pending(r, WBSTORE_FULL_FAIL, status, 1);

    test_status(put(r, "text", &ticket), BLOB_FULL);
    assert_int_equal(ticket, 0);
    assert_int_equal(inside_stats(r).accepted, 1);
    assert_int_equal(inside_stats(r).pending_blobs, 1);
    test_ok(put(r, "text", &ticket));
    assert_int_equal(ticket, 2);
    blob_faultstore_lift(gate);
}

static void where_a_put_shall_fail_it_does(void **state)
{
    for_both(state, fails);
}

static void is_written_through(wbrig *r, int status)
{
    blob_address a = wbrig_address("text");
    uint64_t ticket;

    start_with_one_pending(r, WBSTORE_FULL_WRITE_THROUGH, status, 1);
    test_ok(put(r, "text", &ticket));
    assert_int_equal(ticket, 2);
    test_expect(r->base_mem, blob_address_key(&a), "text");
    assert_false(wbrig_in_buffer(r, &a));
    assert_int_equal(inside_stats(r).accepted, 2);
    assert_int_equal(inside_stats(r).sent, 1);
}

static void where_a_put_shall_be_written_through_it_is(void **state)
{
    for_both(state, is_written_through);
}

static void waits(wbrig *r, int status)
{
    blob_faultstore_rule *gate = start_with_one_pending(r, WBSTORE_FULL_WAIT, status, 1);
    blob_address a = wbrig_address("text");
    wbrig_call call;

    inside_put(&call, r, NULL, "text");
    inside_until_room_waiters(r->w, 1);
    assert_int_equal(inside_stats(r).pending_blobs, 1);
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&call));
    test_ok(wbstore_sync(r->w, NULL));
    assert_true(wbrig_in_base(r, &a));
}

static void where_a_put_shall_wait_it_waits_until_the_buffer_has_lost_something(void **state)
{
    for_both(state, waits);
}

/* ---- waiting
 * -------------------------------------------------------------------------------------------------------------- */

/* What has left was too little: it waits for the next. */
static void a_put_that_is_refused_again_waits_again(void **state)
{
    wbrig *r = *state;
    blob_address one = wbrig_address("one"), two = wbrig_address("two");
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE), *refuse;
    wbrig_call call;

    wbrig_start(r);
    wbrig_put(r, "one");
    wbrig_put(r, "two");
    blob_faultstore_wait_held(gate, 2);
    refuse = blob_faultstore_fail(r->buf, BLOB_FAULT_PUT, -ENOSPC, 2);
    inside_put(&call, r, NULL, "text");
    inside_until_room_waiters(r->w, 1);
    assert_int_equal(blob_faultstore_hits(refuse), 1);
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&one)));
    blob_faultstore_wait_hits(refuse, 2);
    inside_until_room_waiters(r->w, 1);
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&two)));
    test_ok(wbrig_end(&call));
}

static void who_comes_while_somebody_waits_for_the_buffer_queues_up_behind_him(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = start_with_one_pending(r, WBSTORE_FULL_WAIT, -ENOSPC, 1);
    wbrig_call first, second;

    inside_put(&first, r, NULL, "first");
    inside_until_room_waiters(r->w, 1);
    inside_put(&second, r, NULL, "second");
    inside_until_room_waiters(r->w, 2);
    assert_int_equal(blob_faultstore_count(r->buf, BLOB_FAULT_PUT).calls, 2); /* the second has not even been tried */
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&first));
    test_ok(wbrig_end(&second));
}

/* He who was refused again came first: he does not go behind one for whom there is no room by the host's bound yet. */
static void who_is_refused_again_stays_before_those_who_came_later(void **state)
{
    wbrig *r = *state;
    blob_address one = wbrig_address("one"), two = wbrig_address("two");
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE), *refuse;
    char large[61] = "", larger[81] = "";
    wbrig_call first, second;

    memset(large, 'a', sizeof large - 1);
    memset(larger, 'b', sizeof larger - 1);
    r->options.buffer_bytes_max = 100;
    wbrig_start(r);
    wbrig_put(r, "one");
    wbrig_put(r, "two");
    wbrig_put(r, large);
    blob_faultstore_wait_held(gate, 3);
    refuse = blob_faultstore_fail(r->buf, BLOB_FAULT_PUT, -ENOSPC, 2);
    inside_put(&first, r, NULL, "text");
    inside_until_room_waiters(r->w, 1);
    inside_put(&second, r, NULL, larger);
    inside_until_room_waiters(r->w, 2);
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&one)));
    blob_faultstore_wait_hits(refuse, 2);
    inside_until_room_waiters(r->w, 2);
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&two)));
    test_ok(wbrig_end(&first));
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&second));
}

/* What left was enough for one. The other does not even try before the first is through; then it does, and waits on. */
static void those_who_were_refused_are_served_in_the_order_they_came(void **state)
{
    static const char *const texts[] = {"first", "second", "third"};
    wbrig *r = *state;
    blob_address one = wbrig_address("one"), two = wbrig_address("two");
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE), *refuse,
                         *again;
    wbrig_call puts[3];
    blob_address a[3];

    wbrig_start(r);
    wbrig_put(r, "one");
    wbrig_put(r, "two");
    blob_faultstore_wait_held(gate, 2);
    refuse = blob_faultstore_add(
        r->buf,
        &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_HOLD, .status = -ENOSPC, .count = 3});
    for (unsigned i = 0; i < 3; i++) {
        a[i] = wbrig_address(texts[i]);
        inside_put(&puts[i], r, NULL, texts[i]);
        blob_faultstore_wait_held(refuse, i + 1);
    }
    for (unsigned i = 0; i < 3; i++) {
        blob_faultstore_release(refuse, 1);
        inside_until_room_waiters(r->w, i + 1);
    }
    again = inside_hold(r->buf, BLOB_FAULT_PUT, &a[0]);
    refuse = inside_fail(r->buf, BLOB_FAULT_PUT, &a[1], -ENOSPC, 1);
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&one)));
    blob_faultstore_wait_held(again, 1);
    assert_int_equal(inside_stats(r).room_waiters, 3); /* they stand behind him */
    assert_int_equal(blob_faultstore_hits(refuse), 0);
    blob_faultstore_lift(again);
    test_ok(wbrig_end(&puts[0]));
    blob_faultstore_wait_hits(refuse, 1);
    assert_int_equal(blob_faultstore_count_key(r->buf, BLOB_FAULT_PUT, blob_address_key(&a[2])), 1);
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&two)));
    test_ok(wbrig_end(&puts[1]));
    test_ok(wbrig_end(&puts[2]));
    blob_faultstore_lift(gate);
}

static void a_delete_gives_the_buffer_room(void **state)
{
    wbrig *r = *state;
    blob_address pending = wbrig_address("pending");
    wbrig_call call;

    start_with_one_pending(r, WBSTORE_FULL_WAIT, -ENOSPC, 1);
    inside_put(&call, r, NULL, "text");
    inside_until_room_waiters(r->w, 1);
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&pending)));
    test_ok(wbrig_end(&call));
}

static void the_wait_ends_with_its_context_and_with_the_wrapper(void **state)
{
    wbrig *r = *state;
    wbrig_call given_up, closed;
    blob_ctx *ctx, *soon;

    start_with_one_pending(r, WBSTORE_FULL_WAIT, -ENOSPC, 0);
    test_ok(blob_ctx_new(&ctx, NULL));
    inside_put(&given_up, r, ctx, "text");
    inside_until_room_waiters(r->w, 1);
    blob_ctx_cancel(ctx);
    test_status(wbrig_end(&given_up), -ECANCELED);
    test_ok(blob_ctx_new_timeout(&soon, NULL, 20));
    inside_put(&given_up, r, soon, "text");
    test_status(wbrig_end(&given_up), -ETIMEDOUT);
    inside_put(&closed, r, NULL, "text");
    inside_until_room_waiters(r->w, 1);
    test_ok(wbstore_close(r->w, NULL));
    test_status(wbrig_end(&closed), BLOB_CLOSED);
    assert_int_equal(inside_stats(r).accepted, 1);
    blob_ctx_free(ctx);
    blob_ctx_free(soon);
}

/* ---- in vain
 * --------------------------------------------------------------------------------------------------------------- */

static void is_full_of_itself(wbrig *r, int status)
{
    wbrig_start(r);
    inside_until_resumed(r->w);
    blob_faultstore_fail(r->buf, BLOB_FAULT_PUT, status, 1);
    test_status(put(r, "text", NULL), BLOB_FULL);
    assert_int_equal(inside_stats(r).accepted, 0);
    test_ok(put(r, "text", NULL));
}

static void a_buffer_full_of_itself_with_nothing_pending_is_full(void **state)
{
    for_both(state, is_full_of_itself);
}

static void who_waits_for_the_buffer_learns_that_nothing_is_left_that_could_leave(void **state)
{
    wbrig *r = *state;
    wbrig_call calls[2];
    blob_faultstore_rule *gate = blob_faultstore_add(
        r->base, &(blob_faultstore_fault){
                     .ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_HOLD, .status = BLOB_REJECTED, .count = 1});

    wbrig_start(r);
    wbrig_put(r, "pending");
    blob_faultstore_wait_held(gate, 1);
    blob_faultstore_fail(r->buf, BLOB_FAULT_PUT, -ENOSPC, 0);
    inside_put(&calls[0], r, NULL, "one");
    inside_until_room_waiters(r->w, 1);
    inside_put(&calls[1], r, NULL, "two");
    inside_until_room_waiters(r->w, 2);
    blob_faultstore_lift(gate); /* and what was pending is parked */
    test_status(wbrig_end(&calls[0]), BLOB_FULL);
    test_status(wbrig_end(&calls[1]), BLOB_FULL);
}

/* What fills it was left behind by the last run, and the listing has not come to it: it will leave yet. */
static void a_buffer_that_is_still_being_listed_is_worth_waiting_for(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->buf, BLOB_FAULT_LIST, NULL, BLOB_FAULT_BEFORE);
    wbrig_call call;

    wbrig_buffer(r, "left behind");
    wbrig_start(r);
    blob_faultstore_wait_held(gate, 1);
    blob_faultstore_fail(r->buf, BLOB_FAULT_PUT, -ENOSPC, 1);
    inside_put(&call, r, NULL, "text");
    inside_until_room_waiters(r->w, 1);
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&call));
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(inside_stats(r).sent, 2);
}

static void who_waits_for_a_listing_that_finds_nothing_learns_of_it(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->buf, BLOB_FAULT_LIST, NULL, BLOB_FAULT_BEFORE);
    wbrig_call call;

    wbrig_start(r);
    blob_faultstore_wait_held(gate, 1);
    blob_faultstore_fail(r->buf, BLOB_FAULT_PUT, -ENOSPC, 1);
    inside_put(&call, r, NULL, "text");
    inside_until_room_waiters(r->w, 1);
    blob_faultstore_lift(gate);
    test_status(wbrig_end(&call), BLOB_FULL);
}

static void a_buffer_that_cannot_be_listed_is_not_worth_waiting_for(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_add(
        r->buf,
        &(blob_faultstore_fault){.ops = BLOB_FAULT_LIST, .action = BLOB_FAULT_HOLD, .status = -EIO, .count = 1});
    wbrig_call call;

    blob_faultstore_fail(r->buf, BLOB_FAULT_LIST, -EIO, 0); /* nor any time later */
    wbrig_start(r);
    blob_faultstore_wait_held(gate, 1);
    blob_faultstore_fail(r->buf, BLOB_FAULT_PUT, -ENOSPC, 1);
    inside_put(&call, r, NULL, "text");
    inside_until_room_waiters(r->w, 1);
    blob_faultstore_lift(gate);
    test_status(wbrig_end(&call), BLOB_FULL);
}

/* ---- a key that is there already
 * ------------------------------------------------------------------------------------------- */

static void a_parked_blob_that_cannot_be_written_over_is_written_through(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");

    r->options.when_full = WBSTORE_FULL_WRITE_THROUGH;
    wbrig_start(r);
    inside_fail(r->base, BLOB_FAULT_PUT, &a, BLOB_REJECTED, 1);
    wbrig_put(r, "text");
    inside_until_state(r->w, blob_address_key(&a), WBSTORE_PARKED);
    blob_faultstore_fail(r->buf, BLOB_FAULT_PUT, -ENOSPC, 1);
    test_ok(put(r, "text", NULL));
    assert_true(wbrig_in_base(r, &a));
    assert_false(wbrig_in_buffer(r, &a)); /* the copy that was parked has served its time */
    assert_int_equal(inside_state(r->w, blob_address_key(&a)), 0);
    assert_int_equal(inside_stats(r).parked, 0);
    test_ok(wbstore_sync(r->w, NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inside_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(where_a_put_shall_fail_it_does),
        TEST(where_a_put_shall_be_written_through_it_is),
        TEST(where_a_put_shall_wait_it_waits_until_the_buffer_has_lost_something),
        TEST(a_put_that_is_refused_again_waits_again),
        TEST(who_comes_while_somebody_waits_for_the_buffer_queues_up_behind_him),
        TEST(who_is_refused_again_stays_before_those_who_came_later),
        TEST(those_who_were_refused_are_served_in_the_order_they_came),
        TEST(a_delete_gives_the_buffer_room),
        TEST(the_wait_ends_with_its_context_and_with_the_wrapper),
        TEST(a_buffer_full_of_itself_with_nothing_pending_is_full),
        TEST(who_waits_for_the_buffer_learns_that_nothing_is_left_that_could_leave),
        TEST(a_buffer_that_is_still_being_listed_is_worth_waiting_for),
        TEST(who_waits_for_a_listing_that_finds_nothing_learns_of_it),
        TEST(a_buffer_that_cannot_be_listed_is_not_worth_waiting_for),
        TEST(a_parked_blob_that_cannot_be_written_over_is_written_through),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
