/* test_wbstore_replace.c - wbstore_put: without BLOB_REPLACE what is pending counts as there; with it the new bytes go
 * to the base, and whatever was pending under that key ends. */
#include "wbinside.h"

#include <errno.h>
#include <string.h>

static int put(wbrig *r, const blob_address *a, const char *text, unsigned flags)
{
    return wbstore_put(r->w, NULL, blob_address_key(a), blob_view_of(text, strlen(text)), flags);
}

/* The base's puts of this key that are uploads, not replaces. */
static unsigned uploads(wbrig *r, const blob_address *a)
{
    blob_faultstore_call call;
    unsigned count = 0;

    for (size_t i = 0; blob_faultstore_history(r->base, i, &call); i++)
        if (call.op == BLOB_FAULT_PUT && (call.flags & BLOB_REPLACE) == 0 &&
            blob_key_compare(blob_key_of(call.key, call.key_size), blob_address_key(a)) == 0)
            count++;
    return count;
}

/* ---- with replace
 * --------------------------------------------------------------------------------------------------- */

static void expect_replaced(wbrig *r, const blob_address *a, const char *text)
{
    blob_key key = blob_address_key(a);
    unsigned sent = uploads(r, a);

    assert_false(wbrig_in_buffer(r, a));
    test_expect(wbstore_as_store(r->w), key, text);
    test_expect(r->base_mem, key, text);
    wbrig_put(r, "the last one");
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, key, text); /* no upload has come after it */
    assert_int_equal(uploads(r, a), sent);
}

static void a_put_with_replace_ends_a_blob_in(wbrig *r, wbstore_state state)
{
    wbrig_call replacing;
    inside_staged s;

    r->options.writers_max = 1;
    wbrig_start(r);
    s = inside_stage(r, "text", state);
    if (state == WBSTORE_WAITING || state == WBSTORE_PARKED)
        inside_unstage(&s); /* or the rule would meet the replace as well */
    inside_replace(&replacing, r, NULL, &s.key, "other bytes");
    if (state == WBSTORE_SENDING)
        blob_faultstore_wait_hits(s.rule, 2); /* the upload was called off, the replace stands at the gate */
    if (state != WBSTORE_QUEUED)
        inside_unstage(&s);
    test_ok(wbrig_end(&replacing));
    assert_int_equal(inside_stats(r).deleted, 1);
    assert_int_equal(inside_stats(r).sent, 0);
    assert_int_equal(inside_state(r->w, blob_address_key(&s.key)), 0);
    inside_unstage(&s);
    expect_replaced(r, &s.key, "other bytes");
}

static void a_put_with_replace_ends_a_pending_blob_whatever_its_state(void **state)
{
    for (unsigned i = 0; i < INSIDE_STATES; i++) {
        if (i > 0)
            inside_set_up(state);
        a_put_with_replace_ends_a_blob_in(*state, inside_states[i]);
        if (i + 1 < INSIDE_STATES)
            wbrig_tear_down(state);
    }
}

static void a_put_with_replace_waits_for_an_upload_that_cannot_be_called_off(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *gate = inside_hold_stubbornly(r->base, BLOB_FAULT_PUT, &a);
    wbrig_call replacing;

    wbrig_start(r);
    wbrig_put(r, "text");
    blob_faultstore_wait_held(gate, 1);
    inside_replace(&replacing, r, NULL, &a, "other bytes");
    inside_until_removers(r->w, blob_address_key(&a), 1);
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).in_flight, 1); /* one hand per key */
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&replacing));
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).in_flight_max, 1);
    expect_replaced(r, &a, "other bytes");
}

static void a_put_with_replace_goes_to_the_base_before_the_buffer_lets_go(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate;
    wbrig_call replacing;
    inside_staged s;

    wbrig_start(r);
    s = inside_stage(r, "text", WBSTORE_PARKED);
    inside_unstage(&s);
    gate = inside_hold(r->buf, BLOB_FAULT_DELETE, &s.key);
    inside_replace(&replacing, r, NULL, &s.key, "other bytes");
    blob_faultstore_wait_held(gate, 1);
    test_expect(r->base_mem, blob_address_key(&s.key), "other bytes");
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&replacing));
    expect_replaced(r, &s.key, "other bytes");
}

static void a_put_with_replace_of_what_is_not_pending_replaces_it_in_the_base(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");

    wbrig_start(r);
    test_ok(put(r, &a, "new", BLOB_REPLACE));
    test_expect(r->base_mem, blob_address_key(&a), "new");
    test_ok(put(r, &a, "newer", BLOB_REPLACE));
    expect_replaced(r, &a, "newer");
    assert_int_equal(inside_stats(r).deleted, 0);
}

/* It was left behind, and the listing has not come to it: it must not come back over the new bytes. */
static void a_put_with_replace_ends_a_resumed_blob_that_is_not_listed_yet(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *gate = blob_faultstore_hold(r->buf, BLOB_FAULT_LIST, NULL, BLOB_FAULT_BEFORE);

    wbrig_buffer(r, "text");
    wbrig_start(r);
    blob_faultstore_wait_held(gate, 1);
    test_ok(put(r, &a, "other bytes", BLOB_REPLACE));
    blob_faultstore_lift(gate);
    inside_until_resumed(r->w);
    expect_replaced(r, &a, "other bytes");
}

/* ---- that fails, or is given up
 * -------------------------------------------------------------------------------------- */

static void a_put_with_replace_that_fails_in_the_base_leaves_the_blob_to_be_sent(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate;
    inside_staged s;

    wbrig_start(r);
    s = inside_stage(r, "text", WBSTORE_WAITING);
    inside_unstage(&s);
    inside_fail(r->base, BLOB_FAULT_PUT, &s.key, BLOB_DENIED, 1);
    gate = inside_hold(r->base, BLOB_FAULT_PUT, &s.key);
    test_status(put(r, &s.key, "other bytes", BLOB_REPLACE), BLOB_DENIED);
    assert_int_equal(inside_stats(r).pending_blobs, 1);
    assert_int_equal(inside_stats(r).deleted, 0);
    test_expect(wbstore_as_store(r->w), blob_address_key(&s.key), "text");
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&s.key), "text");
}

static void a_put_with_replace_that_fails_in_the_buffer_says_so_and_leaves_the_blob_pending(void **state)
{
    wbrig *r = *state;
    inside_staged s;

    wbrig_start(r);
    s = inside_stage(r, "text", WBSTORE_PARKED);
    inside_unstage(&s);
    inside_fail(r->buf, BLOB_FAULT_DELETE, &s.key, -EIO, 1);
    test_status(put(r, &s.key, "other bytes", BLOB_REPLACE), -EIO);
    assert_int_equal(inside_state(r->w, blob_address_key(&s.key)), WBSTORE_PARKED);
    test_ok(put(r, &s.key, "other bytes", BLOB_REPLACE)); /* putting again is safe, and mends it */
    expect_replaced(r, &s.key, "other bytes");
}

static void a_put_with_replace_given_up_while_it_waits_lets_the_blob_be_sent(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *gate = inside_hold_stubbornly(r->base, BLOB_FAULT_PUT, &a);
    wbrig_call replacing;
    blob_ctx *ctx;

    wbrig_start(r);
    test_ok(blob_ctx_new(&ctx, NULL));
    wbrig_put(r, "text");
    blob_faultstore_wait_held(gate, 1);
    inside_replace(&replacing, r, ctx, &a, "other bytes");
    inside_until_removers(r->w, blob_address_key(&a), 1);
    blob_ctx_cancel(ctx);
    test_status(wbrig_end(&replacing), -ECANCELED);
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&a), "text");
    blob_ctx_free(ctx);
}

/* ---- a cas_put meanwhile
 * ---------------------------------------------------------------------------------------------- */

static void a_cas_put_while_a_replace_is_in_the_base_keeps_its_bytes(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *gate = blob_faultstore_add(
        r->base, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_HOLD, .when = BLOB_FAULT_AFTER});
    wbrig_call replacing;

    wbrig_start(r);
    inside_replace(&replacing, r, NULL, &a, "other bytes");
    blob_faultstore_wait_held(gate, 1);
    wbrig_put(r, "text");
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&replacing));
    test_expect(wbstore_as_store(r->w), blob_address_key(&a), "text");
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&a), "text"); /* it came last, and its address proves it right */
    assert_int_equal(inside_stats(r).accepted, 1);
    assert_int_equal(inside_stats(r).sent, 1);
}

static void a_cas_put_while_a_replace_is_in_the_buffer_writes_after_it(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate;
    inside_sleeper putting;
    wbrig_call replacing;
    inside_staged s;

    wbrig_start(r);
    s = inside_stage(r, "text", WBSTORE_WAITING);
    inside_unstage(&s);
    gate = inside_hold(r->buf, BLOB_FAULT_DELETE, &s.key);
    inside_replace(&replacing, r, NULL, &s.key, "other bytes");
    blob_faultstore_wait_held(gate, 1);
    inside_put_to_sleep(&putting, r, NULL, "text");
    inside_until_asleep(&putting);
    assert_int_equal(blob_faultstore_count(r->buf, BLOB_FAULT_PUT).calls, 1); /* the one of long ago */
    blob_faultstore_lift(gate);
    test_ok(wbrig_end(&replacing));
    test_ok(wbrig_end(&putting.call));
    test_expect(wbstore_as_store(r->w), blob_address_key(&s.key), "text");
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&s.key), "text");
}

/* ---- without replace
 * --------------------------------------------------------------------------------------------------- */

static void a_put_without_replace_finds_what_is_pending_whatever_its_state(void **state)
{
    for (unsigned i = 0; i < INSIDE_STATES; i++) {
        inside_staged s;
        uint64_t asked;
        wbrig *r;

        if (i > 0)
            inside_set_up(state);
        r = *state;
        r->options.writers_max = 1;
        wbrig_start(r);
        s = inside_stage(r, "text", inside_states[i]);
        asked = blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls;
        test_status(put(r, &s.key, "other bytes", 0), BLOB_EXISTS);
        assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls, asked);
        assert_int_equal(inside_state(r->w, blob_address_key(&s.key)), inside_states[i]);
        test_expect(wbstore_as_store(r->w), blob_address_key(&s.key), "text");
        if (i + 1 < INSIDE_STATES)
            wbrig_tear_down(state);
    }
}

static void a_put_without_replace_of_what_is_not_pending_is_the_bases(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");

    wbrig_start(r);
    test_ok(put(r, &a, "bytes", 0));
    test_expect(r->base_mem, blob_address_key(&a), "bytes");
    assert_false(wbrig_in_buffer(r, &a));
    test_status(put(r, &a, "others", 0), BLOB_EXISTS);
    blob_faultstore_fail(r->base, BLOB_FAULT_PUT, BLOB_DENIED, 1);
    test_status(put(r, &a, "others", 0), BLOB_DENIED);
    test_expect(r->base_mem, blob_address_key(&a), "bytes");
}

static void a_put_without_replace_does_not_guess_when_the_buffer_cannot_tell(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");

    wbrig_start(r);
    inside_stage(r, "text", WBSTORE_PARKED);
    inside_fail(r->buf, BLOB_FAULT_SIZE, &a, -EIO, 1);
    test_status(put(r, &a, "other bytes", 0), -EIO);
    assert_false(wbrig_in_base(r, &a));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inside_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_put_with_replace_ends_a_pending_blob_whatever_its_state),
        TEST(a_put_with_replace_waits_for_an_upload_that_cannot_be_called_off),
        TEST(a_put_with_replace_goes_to_the_base_before_the_buffer_lets_go),
        TEST(a_put_with_replace_of_what_is_not_pending_replaces_it_in_the_base),
        TEST(a_put_with_replace_ends_a_resumed_blob_that_is_not_listed_yet),
        TEST(a_put_with_replace_that_fails_in_the_base_leaves_the_blob_to_be_sent),
        TEST(a_put_with_replace_that_fails_in_the_buffer_says_so_and_leaves_the_blob_pending),
        TEST(a_put_with_replace_given_up_while_it_waits_lets_the_blob_be_sent),
        TEST(a_cas_put_while_a_replace_is_in_the_base_keeps_its_bytes),
        TEST(a_cas_put_while_a_replace_is_in_the_buffer_writes_after_it),
        TEST(a_put_without_replace_finds_what_is_pending_whatever_its_state),
        TEST(a_put_without_replace_of_what_is_not_pending_is_the_bases),
        TEST(a_put_without_replace_does_not_guess_when_the_buffer_cannot_tell),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
