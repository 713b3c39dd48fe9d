/* test_wbstore_parked.c - a blob that cannot be sent as it is stands aside: readable, counted, told of, in nobody's way;
 * and comes back when the host says so, when its bytes are put again, or at the next start. */
#include "wbinside.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Parks a blob of this text with this status; the base would take it the next time. */
static blob_address park(wbrig *r, const char *text, int status)
{
    blob_address a = wbrig_address(text);
    blob_key key = blob_address_key(&a);

    blob_faultstore_add(r->base, &(blob_faultstore_fault){
                                     .ops = BLOB_FAULT_PUT, .key = &key, .status = status, .text = text, .count = 1});
    wbrig_put(r, text);
    inside_until_state(r->w, key, WBSTORE_PARKED);
    return a;
}

/* A resumed blob whose bytes are not those of its address. */
static blob_address buffer_corrupt(wbrig *r, const char *text)
{
    blob_address a = wbrig_address(text);

    test_put(r->buf_mem, blob_address_key(&a), "these bytes are others");
    return a;
}

/* ---- what parks a blob ---------------------------------------------------------------------------------------------------- */

static void a_blob_that_the_base_will_never_take_is_parked(void **state)
{
    static const int statuses[] = {BLOB_REJECTED, BLOB_CORRUPT};
    wbrig *r = *state;

    wbrig_start(r);
    for (unsigned i = 0; i < 2; i++) {
        char text[32];
        blob_address a;
        wbrig_event event;
        inside_info info;
        wbstore_stats stats;

        snprintf(text, sizeof text, "text %u", i);
        a = park(r, text, statuses[i]);
        event = wbrig_wait_event(r, WBSTORE_EVENT_PARKED, i + 1);
        assert_int_equal(event.status, statuses[i]);
        assert_string_equal(event.text, text);
        assert_int_equal(blob_key_compare(blob_key_of(event.key, event.key_size), blob_address_key(&a)), 0);
        assert_true(inside_pending(r->w, blob_address_key(&a), &info));
        assert_int_equal(info.state, WBSTORE_PARKED);
        assert_int_equal(info.status, statuses[i]);
        assert_string_equal(info.text, text);
        assert_int_equal(info.attempts, 1);
        stats = inside_stats(r);
        assert_int_equal(stats.parked, i + 1);
        assert_int_equal(stats.pending_blobs, i + 1); /* which counts the parked too */
        assert_int_equal(stats.pending_bytes, (i + 1) * strlen(text));
        test_expect(wbstore_as_store(r->w), blob_address_key(&a), text);
    }
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls, 2); /* and is left alone */
}

static void corrupt_bytes_are_parked_and_never_published(void **state)
{
    wbrig *r = *state;
    blob_address a = buffer_corrupt(r, "text");
    wbrig_event event;

    wbrig_start(r);
    event = wbrig_wait_event(r, WBSTORE_EVENT_PARKED, 1);
    assert_int_equal(event.status, BLOB_CORRUPT);
    assert_string_not_equal(event.text, "");
    test_status(wbstore_sync(r->w, NULL), BLOB_CORRUPT);
    test_ok(wbstore_retry_parked(r->w));
    wbrig_wait_event(r, WBSTORE_EVENT_PARKED, 2);
    assert_int_equal(blob_faultstore_count_key(r->base, BLOB_FAULT_PUT, blob_address_key(&a)), 0);
    assert_true(wbrig_in_buffer(r, &a)); /* nor thrown away */
}

static void bytes_that_rot_on_their_way_out_of_the_buffer_are_not_published(void **state)
{
    wbrig *r = *state;
    blob_address a;

    blob_faultstore_add(r->buf,
                        &(blob_faultstore_fault){
                            .ops = BLOB_FAULT_GET, .action = BLOB_FAULT_FLIP, .when = BLOB_FAULT_AFTER, .count = 1});
    wbrig_start(r);
    a = wbrig_put(r, "text");
    test_status(wbstore_sync(r->w, NULL), BLOB_CORRUPT);
    assert_int_equal(blob_faultstore_count_key(r->base, BLOB_FAULT_PUT, blob_address_key(&a)), 0);
    test_ok(wbstore_retry_parked(r->w)); /* read again they are sound */
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&a), "text");
}

static void a_blob_that_the_buffer_calls_corrupt_is_parked(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    inside_info info;

    blob_faultstore_fail(r->buf, BLOB_FAULT_GET, BLOB_CORRUPT, 1);
    wbrig_start(r);
    wbrig_put(r, "text");
    test_status(wbstore_sync(r->w, NULL), BLOB_CORRUPT);
    assert_true(inside_pending(r->w, blob_address_key(&a), &info));
    assert_int_equal(info.state, WBSTORE_PARKED);
    assert_int_equal(inside_turns(r->w), 0);
}

static void without_verifying_bytes_are_sent_as_they_are(void **state)
{
    wbrig *r = *state;
    blob_address a = buffer_corrupt(r, "text");

    r->options.no_verify = 1;
    wbrig_start(r);
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&a), "these bytes are others");
}

/* ---- in nobody's way -------------------------------------------------------------------------------------------------------- */

static void the_others_go_on_and_sync_tells_of_the_first_parked(void **state)
{
    wbrig *r = *state;
    blob_address first, second;
    blob_key keys[2];
    uint64_t ticket;
    blob_error error;

    wbrig_start(r);
    ticket = wbrig_put_ticket(r, "sent before");
    first = park(r, "first parked", BLOB_REJECTED);
    second = park(r, "second parked", BLOB_CORRUPT);
    for (unsigned i = 0; i < 20; i++)
        wbrig_put_number(r, i);
    test_status(wbstore_sync(r->w, NULL), BLOB_REJECTED);
    blob_last_error(&error);
    assert_non_null(strstr(error.text, "first parked"));
    assert_int_equal(inside_stats(r).sent, 21);
    test_ok(wbstore_wait(r->w, NULL, ticket));
    assert_int_equal(wbstore_safe_ticket(r->w), ticket);
    test_status(wbstore_wait(r->w, NULL, ticket + 1), BLOB_REJECTED);
    keys[0] = blob_address_key(&second);
    keys[1] = blob_address_key(&first);
    test_status(wbstore_wait_keys(r->w, NULL, keys, 1), BLOB_CORRUPT);
    test_status(wbstore_wait_keys(r->w, NULL, keys + 1, 1), BLOB_REJECTED);
    test_ok(wbstore_delete(r->w, NULL, keys[1]));
    test_status(wbstore_sync(r->w, NULL), BLOB_CORRUPT);
    test_ok(wbstore_delete(r->w, NULL, keys[0]));
    test_ok(wbstore_sync(r->w, NULL));
}

static void a_sync_under_way_waits_for_the_rest_when_a_blob_is_parked(void **state)
{
    wbrig *r = *state;
    blob_address rest = wbrig_address("the rest");
    blob_faultstore_rule *gate = inside_hold(r->base, BLOB_FAULT_PUT, &rest), *reject;
    wbrig_call sync;

    reject = blob_faultstore_add(
        r->base, &(blob_faultstore_fault){
                     .ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_HOLD, .status = BLOB_REJECTED, .count = 1});
    wbrig_start(r);
    wbrig_put(r, "parked");
    blob_faultstore_wait_held(reject, 1);
    wbrig_put(r, "the rest");
    blob_faultstore_wait_held(gate, 1);
    inside_sync(&sync, r, NULL);
    wbrig_until_waited(r->w);
    blob_faultstore_lift(reject);
    wbrig_wait_event(r, WBSTORE_EVENT_PARKED, 1);
    wbrig_until_waited(r->w);
    blob_faultstore_lift(gate);
    test_status(wbrig_end(&sync), BLOB_REJECTED);
    assert_true(wbrig_in_base(r, &rest));
}

/* ---- and back --------------------------------------------------------------------------------------------------------------- */

static void retry_parked_sends_them_all_oldest_first(void **state)
{
    wbrig *r = *state;
    blob_address parked[4];
    blob_faultstore_call call;
    unsigned seen = 0;
    inside_info info;

    r->options.writers_max = 1;
    wbrig_start(r);
    for (unsigned i = 0; i < 4; i++) {
        char text[32];
        snprintf(text, sizeof text, "parked %u", i);
        parked[i] = park(r, text, BLOB_REJECTED);
        wbrig_put_number(r, i);
    }
    test_ok(wbstore_retry_parked(r->w));
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(inside_stats(r).parked, 0);
    assert_int_equal(inside_stats(r).retries, 4);
    for (size_t i = 0; blob_faultstore_history(r->base, i, &call); i++) {
        blob_key key = blob_key_of(call.key, call.key_size);
        if (call.op != BLOB_FAULT_PUT || call.status != 0 || seen == 4)
            continue;
        for (unsigned j = seen; j < 4; j++)
            if (blob_key_compare(key, blob_address_key(&parked[j])) == 0)
                assert_int_equal(j, seen++);
    }
    assert_int_equal(seen, 4);
    assert_false(inside_pending(r->w, blob_address_key(&parked[0]), &info));
    test_ok(wbstore_retry_parked(r->w)); /* nothing is parked: nothing happens */
}

static void a_blob_that_is_rejected_again_is_told_of_again(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    inside_info info;

    inside_fail(r->base, BLOB_FAULT_PUT, &a, BLOB_REJECTED, 0);
    wbrig_start(r);
    wbrig_put(r, "text");
    for (unsigned i = 1; i <= 3; i++) {
        wbrig_wait_event(r, WBSTORE_EVENT_PARKED, i);
        assert_true(inside_pending(r->w, blob_address_key(&a), &info));
        assert_int_equal(info.attempts, i);
        test_ok(wbstore_retry_parked(r->w));
    }
}

static void the_next_start_tries_parked_blobs_again(void **state)
{
    wbrig *r = *state;
    blob_address a;

    wbrig_start(r);
    a = park(r, "text", BLOB_REJECTED);
    wbrig_stop(r);
    assert_true(wbrig_in_buffer(r, &a));
    wbrig_start(r);
    test_ok(wbstore_sync(r->w, NULL));
    assert_true(wbrig_in_base(r, &a));
    assert_int_equal(inside_stats(r).resumed, 1);
}

static void a_put_of_a_parked_blob_frees_it(void **state)
{
    wbrig *r = *state;
    blob_address a;
    uint64_t ticket;

    wbrig_start(r);
    a = park(r, "text", BLOB_REJECTED);
    ticket = wbrig_put_ticket(r, "text");
    test_ok(wbstore_wait(r->w, NULL, ticket));
    assert_true(wbrig_in_base(r, &a));
    assert_int_equal(inside_stats(r).parked, 0);
    assert_int_equal(inside_stats(r).accepted, 1);
    assert_int_equal(inside_stats(r).deduplicated, 1);
}

static void a_put_of_a_corrupt_blob_replaces_its_bytes_and_frees_it(void **state)
{
    wbrig *r = *state;
    blob_address a = buffer_corrupt(r, "text");
    blob_faultstore_rule *gate;
    wbstore_stats stats;

    wbrig_start(r);
    inside_until_state(r->w, blob_address_key(&a), WBSTORE_PARKED);
    assert_int_equal(inside_stats(r).pending_bytes, strlen("these bytes are others"));
    gate = inside_hold(r->base, BLOB_FAULT_PUT, &a);
    wbrig_put(r, "text");
    assert_int_equal(inside_stats(r).pending_bytes, 4);
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&a), "text");
    stats = inside_stats(r);
    assert_int_equal(stats.pending_bytes, 0);
    assert_int_equal(stats.parked, 0);
}

/* The upload has read the corrupt bytes already; it must not park the ones that were put meanwhile. */
static void a_put_while_the_corrupt_bytes_are_looked_at_is_sent(void **state)
{
    wbrig *r = *state;
    blob_address a = buffer_corrupt(r, "text");
    blob_faultstore_rule *gate = blob_faultstore_add(
        r->buf, &(blob_faultstore_fault){.ops = BLOB_FAULT_GET, .action = BLOB_FAULT_HOLD, .when = BLOB_FAULT_AFTER});

    wbrig_start(r);
    blob_faultstore_wait_held(gate, 1);
    wbrig_put(r, "text");
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&a), "text");
    assert_int_equal(wbrig_event_count(r, WBSTORE_EVENT_PARKED), 0);
}

/* Bytes that the last run left may be anything; whoever puts them again need not rely on them. */
static void a_put_of_a_resumed_blob_writes_its_bytes_over(void **state)
{
    wbrig *r = *state;
    blob_address a = buffer_corrupt(r, "text"), other;
    blob_faultstore_rule *gate;

    r->options.writers_max = 1;
    other = wbrig_address("the blocker");
    gate = inside_hold(r->base, BLOB_FAULT_PUT, &other);
    blob_faultstore_hold(r->buf, BLOB_FAULT_LIST, NULL, BLOB_FAULT_BEFORE);
    wbrig_start(r);
    wbrig_put(r, "the blocker");
    blob_faultstore_wait_held(gate, 1);
    blob_faultstore_clear(r->buf);
    inside_until_state(r->w, blob_address_key(&a), WBSTORE_QUEUED);
    wbrig_put(r, "text");
    test_expect(r->buf_mem, blob_address_key(&a), "text");
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&a), "text");
}

/* What was put during the upload is in the buffer when that is over: it is not forgotten there. */
static void a_put_while_a_resumed_blob_is_sent_leaves_nothing_behind(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *gate = inside_hold(r->base, BLOB_FAULT_PUT, &a);
    uint64_t ticket;

    wbrig_buffer(r, "text");
    wbrig_start(r);
    blob_faultstore_wait_held(gate, 1);
    ticket = wbrig_put_ticket(r, "text"); /* does not rely on what the last run left, and writes */
    blob_faultstore_lift(gate);
    test_ok(wbstore_wait(r->w, NULL, ticket));
    assert_false(wbrig_in_buffer(r, &a));
    assert_true(wbrig_in_base(r, &a));
    inside_stats(r);
}

static void a_put_over_a_parked_blob_that_the_buffer_refuses_leaves_it_parked(void **state)
{
    wbrig *r = *state;
    blob_address a;

    wbrig_start(r);
    a = park(r, "text", BLOB_REJECTED);
    blob_faultstore_fail(r->buf, BLOB_FAULT_PUT, BLOB_DENIED, 1);
    test_status(wbstore_cas_put(r->w, NULL, "text", 4, NULL), BLOB_DENIED);
    assert_int_equal(inside_state(r->w, blob_address_key(&a)), WBSTORE_PARKED);
    blob_faultstore_fail(r->buf, BLOB_FAULT_PUT, -EIO, 1); /* this one may have been stored */
    test_status(wbstore_cas_put(r->w, NULL, "text", 4, NULL), -EIO);
    test_ok(wbstore_sync(r->w, NULL));
    assert_true(wbrig_in_base(r, &a));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inside_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_blob_that_the_base_will_never_take_is_parked),
        TEST(corrupt_bytes_are_parked_and_never_published),
        TEST(bytes_that_rot_on_their_way_out_of_the_buffer_are_not_published),
        TEST(a_blob_that_the_buffer_calls_corrupt_is_parked),
        TEST(without_verifying_bytes_are_sent_as_they_are),
        TEST(the_others_go_on_and_sync_tells_of_the_first_parked),
        TEST(a_sync_under_way_waits_for_the_rest_when_a_blob_is_parked),
        TEST(retry_parked_sends_them_all_oldest_first),
        TEST(a_blob_that_is_rejected_again_is_told_of_again),
        TEST(the_next_start_tries_parked_blobs_again),
        TEST(a_put_of_a_parked_blob_frees_it),
        TEST(a_put_of_a_corrupt_blob_replaces_its_bytes_and_frees_it),
        TEST(a_put_while_the_corrupt_bytes_are_looked_at_is_sent),
        TEST(a_put_of_a_resumed_blob_writes_its_bytes_over),
        TEST(a_put_while_a_resumed_blob_is_sent_leaves_nothing_behind),
        TEST(a_put_over_a_parked_blob_that_the_buffer_refuses_leaves_it_parked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
