/* test_wbstore_full.c - what a full buffer leads to: BLOB_FULL or a write to the base itself, as the host has it; and
 * when waiting is in vain. A buffer that is full by its own account is treated as one that reached the host's bounds.
 * */
#include "wbinside.h"

#include <errno.h>
#include <string.h>

static blob_faultstore_rule *start(wbrig *r, wbstore_when_full when_full, uint64_t blobs_max)
{
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);

    r->options.buffer_blobs_max = blobs_max;
    r->options.when_full = when_full;
    wbrig_start(r);
    inside_until_resumed(r->w);
    return gate;
}

static int put(wbrig *r, const char *text, blob_address *a, uint64_t *ticket)
{
    return wbstore_cas_put_ticket(r->w, NULL, text, strlen(text), a, ticket);
}

/* ---- fail
 * ------------------------------------------------------------------------------------------------------------- */

static void a_put_that_shall_not_wait_fails_and_changes_nothing(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = start(r, WBSTORE_FULL_FAIL, 1);
    blob_address a, second = wbrig_address("second");
    uint64_t ticket = 7;
    wbstore_stats stats;

    wbrig_put(r, "first");
    test_status(put(r, "second", &a, &ticket), BLOB_FULL);
    assert_int_equal(blob_key_compare(blob_address_key(&a), blob_address_key(&second)), 0); /* named all the same */
    assert_int_equal(ticket, 0);
    stats = inside_stats(r);
    assert_int_equal(stats.accepted, 1);
    assert_int_equal(stats.pending_blobs, 1);
    assert_false(wbrig_in_buffer(r, &second));
    assert_int_equal(blob_faultstore_count_key(r->base, BLOB_FAULT_PUT, blob_address_key(&second)), 0);
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    test_ok(put(r, "second", NULL, &ticket));
    assert_int_equal(ticket, 2);
    test_ok(wbstore_sync(r->w, NULL));
    assert_true(wbrig_in_base(r, &second));
}

static void a_put_that_failed_for_want_of_room_has_taken_none(void **state)
{
    wbrig *r = *state;
    blob_address first;

    start(r, WBSTORE_FULL_FAIL, 1);
    first = wbrig_put(r, "first");
    test_status(put(r, "second", NULL, NULL), BLOB_FULL);
    test_status(put(r, "second", NULL, NULL), BLOB_FULL); /* what was refused has taken no room, nor given any */
    test_ok(put(r, "first", NULL, NULL));                 /* a duplicate needs none */
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&first)));
    test_ok(put(r, "second", NULL, NULL));
    test_status(put(r, "third", NULL, NULL), BLOB_FULL);
}

/* ---- larger than all the room
 * ------------------------------------------------------------------------------------------ */

static void a_blob_larger_than_the_bound_is_rejected_whatever_the_policy(void **state)
{
    static const wbstore_when_full policies[] = {WBSTORE_FULL_WAIT, WBSTORE_FULL_FAIL, WBSTORE_FULL_WRITE_THROUGH};

    for (unsigned i = 0; i < 3; i++) {
        blob_address a;
        wbrig *r;

        if (i > 0)
            inside_set_up(state);
        r = *state;
        r->options.buffer_bytes_max = 4;
        r->options.when_full = policies[i];
        wbrig_start(r);
        test_status(put(r, "12345", &a, NULL), BLOB_REJECTED);
        assert_int_equal(a.size, 32);
        assert_false(wbrig_in_base(r, &a));
        assert_int_equal(inside_stats(r).accepted, 0);
        test_ok(put(r, "1234", &a, NULL)); /* the bound itself fits */
        test_ok(wbstore_sync(r->w, NULL));
        assert_true(wbrig_in_base(r, &a));
        if (i < 2)
            wbrig_tear_down(state);
    }
}

/* ---- write through
 * ------------------------------------------------------------------------------------------------------ */

/* A wrapper that is full with a blob whose upload stands at the gate. */
static blob_faultstore_rule *start_full_writing_through(wbrig *r)
{
    blob_address first = wbrig_address("first");
    blob_faultstore_rule *gate = inside_hold(r->base, BLOB_FAULT_PUT, &first);

    r->options.buffer_blobs_max = 1;
    r->options.when_full = WBSTORE_FULL_WRITE_THROUGH;
    wbrig_start(r);
    wbrig_put(r, "first");
    blob_faultstore_wait_held(gate, 1);
    return gate;
}

static void a_put_written_through_is_in_the_base_at_once(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = start_full_writing_through(r);
    wbstore_stats stats;
    uint64_t ticket;
    blob_address a;

    test_ok(put(r, "second", &a, &ticket));
    test_expect(r->base_mem, blob_address_key(&a), "second");
    assert_int_equal(blob_faultstore_count_key(r->buf, BLOB_FAULT_PUT, blob_address_key(&a)), 0);
    assert_int_equal(ticket, 2);
    stats = inside_stats(r);
    assert_int_equal(stats.accepted, 2);
    assert_int_equal(stats.sent, 1);
    assert_int_equal(stats.pending_blobs, 1);
    assert_int_equal(wbstore_safe_ticket(r->w), 0); /* the older one is not there yet */
    blob_faultstore_lift(gate);
    test_ok(wbstore_wait(r->w, NULL, ticket));
    assert_int_equal(wbstore_safe_ticket(r->w), 2);
}

static void a_put_written_through_may_find_it_there(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("second"), b = wbrig_address("third");
    uint64_t ticket;

    start_full_writing_through(r);
    test_ok(put(r, "second", NULL, &ticket));
    test_ok(put(r, "second", NULL, &ticket));
    assert_int_equal(ticket, 3);
    assert_int_equal(inside_ended(r->base, BLOB_FAULT_PUT, &a, BLOB_EXISTS), 1);
    test_put(r->base_mem, blob_address_key(&b), "not what hashes to it");
    test_ok(put(r, "third", NULL, &ticket));
    test_expect(r->base_mem, blob_address_key(&b), "third");
    test_ok(put(r, "first", NULL, &ticket)); /* pending: a duplicate as ever */
    assert_int_equal(inside_stats(r).deduplicated, 1);
    assert_int_equal(inside_stats(r).pending_blobs, 1);
}

static void a_put_written_through_that_fails_has_the_bases_status(void **state)
{
    static const int failures[] = {BLOB_UNAVAILABLE, BLOB_DENIED, BLOB_REJECTED, -ENOSPC, -EIO, -ETIMEDOUT, BLOB_FULL};
    wbrig *r = *state;
    blob_address a = wbrig_address("second");
    wbstore_stats stats;
    blob_error error;
    uint64_t ticket;

    start_full_writing_through(r);
    for (unsigned i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        blob_key key = blob_address_key(&a);
        blob_faultstore_add(
            r->base,
            &(blob_faultstore_fault){
                .ops = BLOB_FAULT_PUT, .key = &key, .status = failures[i], .count = 1, .text = "the base's words"});
        ticket = 7;
        test_status(put(r, "second", NULL, &ticket), failures[i]);
        blob_last_error(&error);
        assert_string_equal(error.text, "the base's words");
        assert_int_equal(ticket, 0);
        assert_int_equal(inside_state(r->w, blob_address_key(&a)), 0); /* it is the host's again, nobody tries on */
    }
    stats = inside_stats(r);
    assert_int_equal(stats.accepted, 1);
    assert_int_equal(stats.pending_blobs, 1);
    assert_false(inside_base_is_down(r->w));
    test_ok(put(r, "second", NULL, &ticket));
}

/* It says that it has the blob, then that it has not: so nobody has it. */
static void a_put_written_through_to_a_base_that_contradicts_itself_fails(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("second");
    uint64_t ticket = 7;

    start_full_writing_through(r);
    inside_fail(r->base, BLOB_FAULT_PUT, &a, BLOB_EXISTS, 1);
    test_status(put(r, "second", NULL, &ticket), BLOB_NOT_FOUND);
    assert_int_equal(ticket, 0);
    assert_int_equal(inside_stats(r).accepted, 1);
    assert_int_equal(inside_stats(r).sent, 0);
    test_ok(put(r, "second", NULL, &ticket));
    test_expect(r->base_mem, blob_address_key(&a), "second");
}

static void a_put_written_through_ends_with_its_context(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("second");
    blob_faultstore_rule *gate;
    wbrig_call through;
    blob_ctx *ctx;

    start_full_writing_through(r);
    gate = inside_hold(r->base, BLOB_FAULT_PUT, &a);
    test_ok(blob_ctx_new(&ctx, NULL));
    inside_put(&through, r, ctx, "second");
    blob_faultstore_wait_held(gate, 1);
    blob_ctx_cancel(ctx);
    test_status(wbrig_end(&through), -ECANCELED);
    assert_int_equal(inside_stats(r).accepted, 1);
    blob_ctx_free(ctx);
}

static void two_puts_written_through_of_one_key_take_turns(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("second");
    blob_faultstore_rule *gate;
    wbrig_call one, two;

    start_full_writing_through(r);
    gate = inside_hold(r->base, BLOB_FAULT_PUT, &a);
    inside_put(&one, r, NULL, "second");
    blob_faultstore_wait_held(gate, 1);
    inside_put(&two, r, NULL, "second");
    inside_until_removers(r->w, blob_address_key(&a), 2);
    assert_int_equal(blob_faultstore_held(gate), 1);
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&one));
    test_ok(wbrig_end(&two));
    assert_int_equal(one.ticket + two.ticket, 2 + 3);
    assert_int_equal(inside_stats(r).sent, 2);
}

static void a_delete_of_a_key_that_is_being_written_through_comes_after_it(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("second");
    blob_faultstore_rule *gate;
    wbrig_call through, deletion;

    start_full_writing_through(r);
    gate = inside_hold(r->base, BLOB_FAULT_PUT, &a);
    inside_put(&through, r, NULL, "second");
    blob_faultstore_wait_held(gate, 1);
    inside_delete(&deletion, r, NULL, &a);
    inside_until_removers(r->w, blob_address_key(&a), 2);
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&through));
    test_ok(wbrig_end(&deletion));
    assert_false(wbrig_in_base(r, &a));
}

/* ---- waiting in vain
 * ------------------------------------------------------------------------------------------------------ */

/* Parks a blob of this text. */
static blob_address park(wbrig *r, const char *text)
{
    blob_address a = wbrig_address(text);

    inside_fail(r->base, BLOB_FAULT_PUT, &a, BLOB_REJECTED, 1);
    wbrig_put(r, text);
    inside_until_state(r->w, blob_address_key(&a), WBSTORE_PARKED);
    return a;
}

static void a_buffer_full_of_parked_blobs_is_full(void **state)
{
    wbrig *r = *state;
    blob_address parked;

    r->options.buffer_blobs_max = 2;
    wbrig_start(r);
    park(r, "one");
    parked = park(r, "two");
    test_status(put(r, "three", NULL, NULL), BLOB_FULL); /* though the policy is to wait */
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&parked)));
    test_ok(put(r, "three", NULL, NULL));
    test_status(wbstore_sync(r->w, NULL), BLOB_REJECTED);
    park(r, "four");
    test_status(put(r, "five", NULL, NULL), BLOB_FULL);
    test_ok(put(r, "one", NULL, NULL)); /* a parked blob's own put needs no room, and frees it */
    test_ok(put(r, "five", NULL, NULL));
}

static void who_waits_for_room_learns_that_only_parked_blobs_are_left(void **state)
{
    wbrig *r = *state;
    wbrig_call puts[3];
    static const char *const texts[] = {"one", "two", "three"};
    blob_faultstore_rule *gate = blob_faultstore_add(
        r->base, &(blob_faultstore_fault){
                     .ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_HOLD, .status = BLOB_REJECTED, .count = 1});

    r->options.buffer_blobs_max = 1;
    wbrig_start(r);
    wbrig_put(r, "rejected");
    blob_faultstore_wait_held(gate, 1);
    for (unsigned i = 0; i < 3; i++) {
        inside_put(&puts[i], r, NULL, texts[i]);
        inside_until_room_waiters(r->w, i + 1);
    }
    blob_faultstore_lift(gate);
    for (unsigned i = 0; i < 3; i++)
        test_status(wbrig_end(&puts[i]), BLOB_FULL);
    test_ok(wbstore_retry_parked(r->w));
    test_ok(wbstore_sync(r->w, NULL));
    test_ok(put(r, "one", NULL, NULL));
}

static void among_parked_blobs_one_that_can_still_leave_is_worth_waiting_for(void **state)
{
    wbrig *r = *state;
    blob_address sent = wbrig_address("sent");
    blob_faultstore_rule *gate = inside_hold(r->base, BLOB_FAULT_PUT, &sent);
    wbrig_call waiting;

    r->options.buffer_blobs_max = 2;
    wbrig_start(r);
    park(r, "parked");
    wbrig_put(r, "sent");
    blob_faultstore_wait_held(gate, 1);
    inside_put(&waiting, r, NULL, "waiting");
    inside_until_room_waiters(r->w, 1);
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&waiting));
}

static void a_full_buffer_of_parked_blobs_is_written_past_where_the_host_says_so(void **state)
{
    wbrig *r = *state;
    blob_address a;

    r->options.buffer_blobs_max = 1;
    r->options.when_full = WBSTORE_FULL_WRITE_THROUGH;
    wbrig_start(r);
    park(r, "parked");
    test_ok(put(r, "past it", &a, NULL));
    assert_true(wbrig_in_base(r, &a));
    assert_int_equal(inside_stats(r).parked, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inside_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_put_that_shall_not_wait_fails_and_changes_nothing),
        TEST(a_put_that_failed_for_want_of_room_has_taken_none),
        TEST(a_blob_larger_than_the_bound_is_rejected_whatever_the_policy),
        TEST(a_put_written_through_is_in_the_base_at_once),
        TEST(a_put_written_through_may_find_it_there),
        TEST(a_put_written_through_that_fails_has_the_bases_status),
        TEST(a_put_written_through_to_a_base_that_contradicts_itself_fails),
        TEST(a_put_written_through_ends_with_its_context),
        TEST(two_puts_written_through_of_one_key_take_turns),
        TEST(a_delete_of_a_key_that_is_being_written_through_comes_after_it),
        TEST(a_buffer_full_of_parked_blobs_is_full),
        TEST(who_waits_for_room_learns_that_only_parked_blobs_are_left),
        TEST(among_parked_blobs_one_that_can_still_leave_is_worth_waiting_for),
        TEST(a_full_buffer_of_parked_blobs_is_written_past_where_the_host_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
