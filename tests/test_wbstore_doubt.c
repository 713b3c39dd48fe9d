/* test_wbstore_doubt.c - late effects: a base that carries out puts and deletes after the call has ended without an
 * answer brings nothing back and takes nothing away. */
#include "doubt_test.h"

#include <string.h>

static int set_up(void **state)
{
    int rc = doubt_set_up(state);

    if (rc == 0)
        ((wbrig *)*state)->options.unified_view = 1;
    return rc;
}

static void deliver(wbrig *r, int want)
{
    int status;

    assert_true(blob_faultstore_deliver(r->base, &status));
    test_status(status, want);
}

static uint64_t calls(wbrig *r, unsigned op)
{
    return blob_faultstore_count(r->base, op).calls;
}

static int count_key(void *arg, blob_key key, uint64_t size)
{
    (void)key;
    (void)size;
    ++*(unsigned *)arg;
    return 0;
}

static void expect_nothing(wbrig *r, const blob_address *a)
{
    uint64_t len;
    unsigned seen = 0;

    test_expect_missing(wbstore_as_store(r->w), blob_address_key(a));
    test_ok(wbstore_list(r->w, NULL, blob_key_of(NULL, 0), count_key, &seen));
    assert_int_equal(seen, 0);
    test_ok(wbstore_len(r->w, NULL, &len));
    assert_int_equal(len, 0);
}

static bool keeps_no_entry(const wbstore *w, const void *arg)
{
    (void)arg;
    return w->ledger.keys.count == 0 && atomic_load(&w->ledger.ghosts) == 0 && w->ledger.doubts.head == NULL &&
           w->ledger.haunting.head == NULL;
}

static bool doubts_nothing(const wbstore *w, const void *arg)
{
    (void)arg;
    return w->ledger.doubts.head == NULL && w->ledger.haunting.head == NULL;
}

/* Leaves a ghost: an upload that was not answered, and a delete after it. */
static blob_address make_ghost(wbrig *r)
{
    blob_address a;

    late(r, BLOB_FAULT_PUT, -ETIMEDOUT);
    wbrig_start(r);
    a = wbrig_put(r, "text");
    inside_until_state(r->w, blob_address_key(&a), WBSTORE_WAITING);
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&a)));
    return a;
}

/* ---- a late put ---- */

static void what_was_deleted_does_not_come_back_with_a_late_put(void **state)
{
    wbrig *r = *state;
    blob_address a = make_ghost(r);
    uint64_t deletes = calls(r, BLOB_FAULT_DELETE);

    expect_nothing(r, &a);
    deliver(r, 0);
    assert_true(wbrig_in_base(r, &a)); /* there it is */
    expect_nothing(r, &a);             /* and is not */
    test_clock_move(&the_clock, DOUBT_MS - 1);
    assert_int_equal(calls(r, BLOB_FAULT_DELETE), deletes);
    expect_nothing(r, &a);
    test_clock_move(&the_clock, 1);
    inside_until(r->w, keeps_no_entry, NULL);
    assert_int_equal(calls(r, BLOB_FAULT_DELETE), deletes + 1);
    assert_false(wbrig_in_base(r, &a));
    expect_nothing(r, &a);
}

static void a_delete_that_calls_off_an_upload_expects_its_late_effect(void **state)
{
    wbrig *r = *state;
    blob_address a;

    late(r, BLOB_FAULT_PUT, 0); /* hangs until it is called off */
    wbrig_start(r);
    a = wbrig_put(r, "text");
    inside_until_state(r->w, blob_address_key(&a), WBSTORE_SENDING);
    while (blob_faultstore_late(r->base) == 0)
        continue;
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&a)));
    deliver(r, 0);
    expect_nothing(r, &a);
    test_clock_move(&the_clock, DOUBT_MS);
    inside_until(r->w, keeps_no_entry, NULL);
    assert_false(wbrig_in_base(r, &a));
}

static void an_upload_that_was_repeated_is_in_doubt_all_the_same(void **state)
{
    wbrig *r = *state;
    blob_address a;

    late(r, BLOB_FAULT_PUT, -ETIMEDOUT);
    wbrig_start(r);
    a = wbrig_put(r, "text");
    inside_until_state(r->w, blob_address_key(&a), WBSTORE_WAITING);
    test_clock_move(&the_clock, 1);
    test_ok(wbstore_sync(r->w, NULL));
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&a)));
    deliver(r, 0);
    expect_nothing(r, &a);
    test_clock_move(&the_clock, DOUBT_MS);
    inside_until(r->w, keeps_no_entry, NULL);
    assert_false(wbrig_in_base(r, &a));
}

static void a_second_delete_of_what_came_late_finds_nothing(void **state)
{
    wbrig *r = *state;
    blob_address a = make_ghost(r);

    deliver(r, 0);
    test_status(wbstore_delete(r->w, NULL, blob_address_key(&a)), BLOB_NOT_FOUND);
    expect_nothing(r, &a);
}

static void a_new_put_of_the_key_ends_its_being_a_ghost(void **state)
{
    wbrig *r = *state;
    blob_address a = make_ghost(r);

    deliver(r, 0);
    wbrig_put(r, "text");
    test_expect(wbstore_as_store(r->w), blob_address_key(&a), "text");
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(wbstore_as_store(r->w), blob_address_key(&a), "text");
    test_clock_move(&the_clock, 2 * DOUBT_MS);
    inside_until(r->w, keeps_no_entry, NULL);
    assert_true(wbrig_in_base(r, &a));
    test_expect(wbstore_as_store(r->w), blob_address_key(&a), "text");
}

static void a_put_to_the_base_ends_it_too_and_finds_nothing_in_its_way(void **state)
{
    static const unsigned flags[] = {0, BLOB_REPLACE};
    wbrig *r = *state;

    for (unsigned i = 0; i < 2; i++) {
        blob_address a = make_ghost(r);

        deliver(r, 0);
        test_status(wbstore_put(r->w, NULL, blob_address_key(&a), blob_view_of("text", 4), flags[i]), 0);
        test_expect(wbstore_as_store(r->w), blob_address_key(&a), "text");
        test_clock_move(&the_clock, 2 * DOUBT_MS);
        inside_until(r->w, keeps_no_entry, NULL);
        assert_true(wbrig_in_base(r, &a));
        wbrig_stop(r);
        test_ok(blob_store_delete(r->base_mem, NULL, blob_address_key(&a), 0));
    }
    wbrig_start(r);
}

static void a_put_to_the_base_that_was_not_answered_is_in_doubt(void **state)
{
    static const unsigned flags[] = {0, BLOB_REPLACE};
    wbrig *r = *state;
    blob_address a = wbrig_address("text");

    wbrig_start(r);
    for (unsigned i = 0; i < 2; i++) {
        late(r, BLOB_FAULT_PUT, -ETIMEDOUT);
        test_status(wbstore_put(r->w, NULL, blob_address_key(&a), blob_view_of("text", 4), flags[i]), -ETIMEDOUT);
        test_status(wbstore_delete(r->w, NULL, blob_address_key(&a)), BLOB_NOT_FOUND);
        deliver(r, 0);
        expect_nothing(r, &a);
        test_clock_move(&the_clock, DOUBT_MS);
        inside_until(r->w, keeps_no_entry, NULL);
        assert_false(wbrig_in_base(r, &a));
    }
}

static void a_ghost_that_cannot_be_deleted_yet_stays_one(void **state)
{
    wbrig *r = *state;
    blob_address a = make_ghost(r);
    uint64_t deletes = calls(r, BLOB_FAULT_DELETE);

    deliver(r, 0);
    blob_faultstore_fail(r->base, BLOB_FAULT_DELETE, BLOB_UNAVAILABLE, 1);
    test_clock_move(&the_clock, DOUBT_MS);
    blob_faultstore_wait_calls(r->base, BLOB_FAULT_DELETE, deletes + 1);
    inside_until(r->w, ghost_waits, NULL);
    expect_nothing(r, &a);
    test_clock_move(&the_clock, DOUBT_MS);
    inside_until(r->w, has_no_ghost, NULL);
    assert_int_equal(calls(r, BLOB_FAULT_DELETE), deletes + 2);
    assert_false(wbrig_in_base(r, &a));
    test_clock_move(&the_clock, DOUBT_MS);
    inside_until(r->w, keeps_no_entry, NULL);
}

static void a_put_while_a_ghost_is_being_deleted_is_kept(void **state)
{
    wbrig *r = *state;
    blob_address a = make_ghost(r);
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_DELETE, NULL, BLOB_FAULT_AFTER);

    test_clock_move(&the_clock, DOUBT_MS);
    blob_faultstore_wait_held(gate, 1);
    wbrig_put(r, "text");
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    assert_true(wbrig_in_base(r, &a));
    test_clock_move(&the_clock, 2 * DOUBT_MS);
    inside_until(r->w, keeps_no_entry, NULL);
    assert_true(wbrig_in_base(r, &a));
}

static void a_put_before_a_due_ghost_could_be_deleted_ends_all_doubt(void **state)
{
    wbrig *r = *state;
    blob_address a = make_ghost(r);

    test_ok(wbstore_pause(r->w));
    test_clock_move(&the_clock, DOUBT_MS);
    inside_until(r->w, ghost_haunts, NULL);
    wbrig_put(r, "text");
    test_ok(wbstore_resume(r->w));
    test_ok(wbstore_sync(r->w, NULL));
    inside_until(r->w, keeps_no_entry, NULL);
    assert_true(wbrig_in_base(r, &a));
}

/* The time of the doubt is over before the delete's answer comes, and the put was carried out behind it. */
static void a_put_that_comes_late_in_the_middle_of_a_delete_does_not_outlive_it(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate;
    test_later gone;
    blob_address a;

    late(r, BLOB_FAULT_PUT, -ETIMEDOUT);
    wbrig_start(r);
    a = wbrig_put(r, "text");
    inside_until_state(r->w, blob_address_key(&a), WBSTORE_WAITING);
    gate = blob_faultstore_hold(r->base, BLOB_FAULT_DELETE, NULL, BLOB_FAULT_AFTER);
    test_delete_later(&gone, wbstore_as_store(r->w), NULL, blob_address_key(&a));
    blob_faultstore_wait_held(gate, 1);
    deliver(r, 0);
    test_clock_move(&the_clock, DOUBT_MS);
    inside_until(r->w, doubts_nothing, NULL);
    blob_faultstore_lift(gate);
    test_ok(test_later_join(&gone));
    expect_nothing(r, &a);
    test_clock_move(&the_clock, DOUBT_MS);
    inside_until(r->w, keeps_no_entry, NULL);
    assert_false(wbrig_in_base(r, &a));
}

/* ---- a late delete ---- */

static void what_is_put_anew_stays_in_the_buffer_until_no_late_delete_can_come(void **state)
{
    wbrig *r = *state;
    blob_address a = make_doubtful(r);
    uint64_t puts = calls(r, BLOB_FAULT_PUT);
    wbrig_call sync = {.call = wbrig_call_sync, .w = r->w};

    wbrig_put(r, "text");
    blob_faultstore_wait_calls(r->base, BLOB_FAULT_PUT, puts + 1); /* it is there */
    inside_until_state(r->w, blob_address_key(&a), WBSTORE_WAITING);
    deliver(r, 0);
    assert_false(wbrig_in_base(r, &a));
    assert_true(wbrig_in_buffer(r, &a));
    test_expect(wbstore_as_store(r->w), blob_address_key(&a), "text");
    wbrig_begin_asleep(&sync);
    test_clock_move(&the_clock, DOUBT_MS);
    test_ok(wbrig_end(&sync));
    assert_true(wbrig_in_base(r, &a));
    assert_false(wbrig_in_buffer(r, &a));
    assert_int_equal(inside_stats(r).sent, 2);
    inside_until(r->w, keeps_no_entry, NULL);
}

/* Likewise: the blob is gone again when the base answers that it has it. */
static void a_delete_that_comes_late_in_the_middle_of_an_upload_takes_nothing(void **state)
{
    wbrig *r = *state;
    blob_address a = make_doubtful(r);
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_AFTER);

    late(r, BLOB_FAULT_DELETE, -ETIMEDOUT);
    test_status(wbstore_delete(r->w, NULL, blob_address_key(&a)), -ETIMEDOUT);
    deliver(r, 0);
    wbrig_put(r, "text");
    blob_faultstore_wait_held(gate, 1);
    deliver(r, 0);
    test_clock_move(&the_clock, DOUBT_MS);
    inside_until(r->w, doubts_nothing, NULL);
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    assert_true(wbrig_in_base(r, &a));
    assert_false(wbrig_in_buffer(r, &a));
}

static void a_put_to_the_base_waits_until_no_late_delete_can_come(void **state)
{
    wbrig *r = *state;
    blob_address a = make_doubtful(r);
    test_later put;
    blob_ctx *soon;

    test_ok(blob_ctx_new_timeout(&soon, the_clock.ctx, 0));
    test_status(wbstore_put(r->w, soon, blob_address_key(&a), blob_view_of("text", 4), BLOB_REPLACE), -ETIMEDOUT);
    blob_ctx_free(soon);
    test_ok(blob_store_delete(r->base_mem, NULL, blob_address_key(&a), 0));
    test_put_later(&put, wbstore_as_store(r->w), NULL, blob_address_key(&a), "text");
    inside_until_removers(r->w, blob_address_key(&a), 1);
    deliver(r, BLOB_NOT_FOUND);
    test_clock_move(&the_clock, DOUBT_MS);
    test_ok(test_later_join(&put));
    assert_true(wbrig_in_base(r, &a));
}

static void a_put_that_is_written_through_waits_too(void **state)
{
    wbrig *r = *state;
    wbrig_call put;
    blob_address a;

    r->options.when_full = WBSTORE_FULL_WRITE_THROUGH;
    a = make_doubtful(r);
    blob_faultstore_fail(r->buf, BLOB_FAULT_PUT, BLOB_FULL, 0);
    inside_put(&put, r, NULL, "text");
    inside_until_removers(r->w, blob_address_key(&a), 1);
    deliver(r, 0);
    test_clock_move(&the_clock, DOUBT_MS);
    test_ok(wbrig_end(&put));
    assert_true(wbrig_in_base(r, &a));
}

/* ---- beside it ---- */

static void a_base_that_does_nothing_late_is_asked_once(void **state)
{
    wbrig *r = *state;
    blob_address a;

    blob_faultstore_set_in_doubt_ms(r->base, 0);
    blob_faultstore_fail(r->base, BLOB_FAULT_PUT, -ETIMEDOUT, 1);
    wbrig_start(r);
    a = wbrig_put(r, "text");
    inside_until_state(r->w, blob_address_key(&a), WBSTORE_WAITING);
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&a)));
    inside_until(r->w, keeps_no_entry, NULL);
    assert_int_equal(calls(r, BLOB_FAULT_DELETE), 1);
}

static void a_clear_refusal_leaves_no_doubt(void **state)
{
    static const int statuses[] = {BLOB_DENIED, -ENOSPC, BLOB_FULL};
    wbrig *r = *state;

    wbrig_start(r);
    for (unsigned i = 0; i < 3; i++) {
        blob_address a;

        blob_faultstore_fail(r->base, BLOB_FAULT_PUT, statuses[i], 1);
        a = wbrig_put(r, "text");
        inside_until_state(r->w, blob_address_key(&a), WBSTORE_WAITING);
        test_ok(wbstore_delete(r->w, NULL, blob_address_key(&a)));
        inside_until(r->w, keeps_no_entry, NULL);
    }
}

static bool nobody_sends(const wbstore *w, const void *arg)
{
    (void)arg;
    return w->ledger.sending == 0 && w->ledger.waiting == w->ledger.active_blobs;
}

static void many_doubts_pass_in_their_time(void **state)
{
    wbrig *r = *state;

    blob_faultstore_add(r->base, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .status = -EIO, .every = 2});
    wbrig_start(r);
    for (unsigned i = 0; i < 200; i++) {
        blob_address a = wbrig_put_number(r, i);

        if (i % 3 == 0)
            (void)wbstore_delete(r->w, NULL, blob_address_key(&a));
        test_clock_move(&the_clock, 100);
    }
    blob_faultstore_clear(r->base);
    inside_until(r->w, nobody_sends, NULL); /* whoever fails now waits by the clock as it stands */
    test_clock_move(&the_clock, 1000);
    test_ok(wbstore_sync(r->w, NULL));
    test_clock_move(&the_clock, DOUBT_MS);
    inside_until(r->w, has_no_ghost, NULL);
    test_clock_move(&the_clock, DOUBT_MS);
    inside_until(r->w, keeps_no_entry, NULL);
}

static void close_does_not_wait_for_doubts(void **state)
{
    wbrig *r = *state;

    make_ghost(r);
    test_ok(wbstore_close(r->w, NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_deleted_does_not_come_back_with_a_late_put),
        TEST(a_delete_that_calls_off_an_upload_expects_its_late_effect),
        TEST(an_upload_that_was_repeated_is_in_doubt_all_the_same),
        TEST(a_second_delete_of_what_came_late_finds_nothing),
        TEST(a_new_put_of_the_key_ends_its_being_a_ghost),
        TEST(a_put_to_the_base_ends_it_too_and_finds_nothing_in_its_way),
        TEST(a_put_to_the_base_that_was_not_answered_is_in_doubt),
        TEST(a_ghost_that_cannot_be_deleted_yet_stays_one),
        TEST(a_put_while_a_ghost_is_being_deleted_is_kept),
        TEST(a_put_before_a_due_ghost_could_be_deleted_ends_all_doubt),
        TEST(a_put_that_comes_late_in_the_middle_of_a_delete_does_not_outlive_it),
        TEST(what_is_put_anew_stays_in_the_buffer_until_no_late_delete_can_come),
        TEST(a_delete_that_comes_late_in_the_middle_of_an_upload_takes_nothing),
        TEST(a_put_to_the_base_waits_until_no_late_delete_can_come),
        TEST(a_put_that_is_written_through_waits_too),
        TEST(a_base_that_does_nothing_late_is_asked_once),
        TEST(a_clear_refusal_leaves_no_doubt),
        TEST(many_doubts_pass_in_their_time),
        TEST(close_does_not_wait_for_doubts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
