/* test_wbstore_outage.c - a base that is down as a whole: when it counts as down, what is tried meanwhile, when it is up,
 * and what the host is told. */
#include "wbinside.h"

#include "wbstore/wrapper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FAILURES 5 /* in a row take it for down */

/* The base's puts fail from here on, so many of them (0: all), with these words. */
static blob_faultstore_rule *break_base(wbrig *r, int status, const char *text, unsigned count)
{
    return blob_faultstore_add(
        r->base, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .status = status, .text = text, .count = count});
}

static bool is_up(const wbstore *w, const void *arg)
{
    (void)arg;
    return !w->down;
}

/* ---- down and up ------------------------------------------------------------------------------------------------------- */

static void five_failures_in_a_row_are_an_outage_and_one_success_its_end(void **state)
{
    wbrig *r = *state;
    wbrig_event down, up;
    blob_faultstore_rule *broken = break_base(r, BLOB_UNAVAILABLE, "the uplink is gone", 0);

    wbrig_start(r);
    wbrig_put(r, "text");
    down = wbrig_wait_event(r, WBSTORE_EVENT_BASE_DOWN, 1);
    assert_int_equal(down.status, BLOB_UNAVAILABLE);
    assert_string_equal(down.text, "the uplink is gone");
    assert_int_equal(down.key_size, 0);
    blob_faultstore_lift(broken);
    up = wbrig_wait_event(r, WBSTORE_EVENT_BASE_UP, 1);
    assert_int_equal(up.status, 0);
    assert_string_equal(up.text, "");
    test_ok(wbstore_sync(r->w, NULL));
    wbrig_wait_event(r, WBSTORE_EVENT_DRAINED, 1);
    assert_int_equal(wbrig_event_count(r, WBSTORE_EVENT_BASE_DOWN), 1);
    assert_int_equal(wbrig_event_count(r, WBSTORE_EVENT_BASE_UP), 1);
    assert_int_equal(r->events[0].kind, WBSTORE_EVENT_BASE_DOWN);
    assert_int_equal(r->events[1].kind, WBSTORE_EVENT_BASE_UP);
    assert_int_equal(inside_turns(r->w), 2);
}

static void fewer_failures_than_five_are_none(void **state)
{
    wbrig *r = *state;

    wbrig_start(r);
    for (unsigned round = 0; round < 4; round++) { /* each success begins the count anew */
        break_base(r, BLOB_UNAVAILABLE, "busy", FAILURES - 1);
        wbrig_put_number(r, round);
        test_ok(wbstore_sync(r->w, NULL));
    }
    assert_int_equal(inside_stats(r).retries, 4 * (FAILURES - 1));
    assert_int_equal(inside_turns(r->w), 0);
}

static void a_base_that_rejects_a_blob_answers_all_the_same(void **state)
{
    wbrig *r = *state;

    wbrig_start(r);
    for (unsigned round = 0; round < 3; round++) {
        break_base(r, BLOB_UNAVAILABLE, "busy", FAILURES - 1);
        break_base(r, BLOB_REJECTED, "not this one", 1);
        wbrig_put_number(r, round);
        test_status(wbstore_sync(r->w, NULL), BLOB_REJECTED);
    }
    assert_int_equal(inside_turns(r->w), 0);
    assert_int_equal(inside_stats(r).parked, 3);
}

static void each_outage_is_told_of_once_and_in_order(void **state)
{
    static const int statuses[] = {BLOB_UNAVAILABLE, BLOB_DENIED, -ETIMEDOUT, -ENOSPC};
    wbrig *r = *state;
    size_t seen = 0;

    wbrig_start(r);
    for (unsigned i = 0; i < 4; i++) {
        char text[32];
        blob_faultstore_rule *broken;
        wbrig_event down;

        snprintf(text, sizeof text, "outage %u", i);
        broken = break_base(r, statuses[i], text, 0);
        wbrig_put_number(r, i);
        down = wbrig_wait_event(r, WBSTORE_EVENT_BASE_DOWN, i + 1);
        assert_int_equal(down.status, statuses[i]);
        assert_string_equal(down.text, text);
        blob_faultstore_wait_hits(broken, 3 * FAILURES); /* it goes on for a while */
        blob_faultstore_lift(broken);
        wbrig_wait_event(r, WBSTORE_EVENT_BASE_UP, i + 1);
        test_ok(wbstore_sync(r->w, NULL));
        wbrig_wait_event(r, WBSTORE_EVENT_DRAINED, i + 1);
    }
    for (size_t i = 0; i < r->events_count; i++)
        if (r->events[i].kind != WBSTORE_EVENT_DRAINED)
            assert_int_equal(r->events[i].kind, seen++ % 2 == 0 ? WBSTORE_EVENT_BASE_DOWN : WBSTORE_EVENT_BASE_UP);
    assert_int_equal(seen, 8);
}

/* The callback is slow to return; no turn is lost meanwhile, and down and up still alternate. */
static blob_faultstore_rule *slow_gate;

static void be_slow(wbrig *r, const wbstore_event *event)
{
    uint64_t len;

    if (event->kind == WBSTORE_EVENT_BASE_DOWN)
        blob_store_len(blob_faultstore_store(r->base), NULL, &len);
}

static void outages_while_the_host_looks_at_the_first_are_told_of_afterwards(void **state)
{
    wbrig *r = *state;

    slow_gate = blob_faultstore_add(
        r->base, &(blob_faultstore_fault){.ops = BLOB_FAULT_LEN, .action = BLOB_FAULT_HOLD, .count = 1});
    r->in_event = be_slow;
    wbrig_start(r);
    for (unsigned i = 0; i < 3; i++) {
        break_base(r, BLOB_UNAVAILABLE, "gone", FAILURES);
        wbrig_put_number(r, i);
        blob_faultstore_wait_held(slow_gate, 1);
        test_ok(wbstore_sync(r->w, NULL)); /* it is up again, and all went on */
    }
    assert_int_equal(inside_turns(r->w), 6);
    blob_faultstore_lift(slow_gate);
    wbrig_wait_event(r, WBSTORE_EVENT_BASE_UP, 3);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(r->events[i].kind, i % 2 == 0 ? WBSTORE_EVENT_BASE_DOWN : WBSTORE_EVENT_BASE_UP);
}

/* ---- while it is down ---------------------------------------------------------------------------------------------------- */

#define WAITING_BLOBS 6

/* The keys of the puts that the base has answered, from the first-th on. */
static unsigned probes_of(wbrig *r, unsigned first, blob_address *keys, unsigned count)
{
    blob_faultstore_call call;
    unsigned seen = 0, taken = 0;

    for (size_t i = 0; taken < count && blob_faultstore_history(r->base, i, &call); i++) {
        if (call.op != BLOB_FAULT_PUT || seen++ < first)
            continue;
        keys[taken].size = call.key_size;
        memcpy(keys[taken++].bytes, call.key, call.key_size);
    }
    return taken;
}

static bool same(const blob_address *a, const blob_address *b)
{
    return blob_key_compare(blob_address_key(a), blob_address_key(b)) == 0;
}

static void one_blob_at_a_time_is_tried_and_another_each_time(void **state)
{
    wbrig *r = *state;
    blob_address tried[3 * (WAITING_BLOBS + 1)];
    blob_faultstore_rule *gate;

    break_base(r, BLOB_UNAVAILABLE, "gone", FAILURES);
    gate = blob_faultstore_add(
        r->base,
        &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_HOLD, .status = BLOB_UNAVAILABLE});
    wbrig_start(r);
    wbrig_put(r, "the one that finds out");
    wbrig_wait_event(r, WBSTORE_EVENT_BASE_DOWN, 1);
    for (unsigned i = 0; i < WAITING_BLOBS; i++)
        wbrig_put_number(r, i);
    for (unsigned i = 0; i < 3 * (WAITING_BLOBS + 1); i++) {
        blob_faultstore_wait_held(gate, 1);
        assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).in_flight, 1);
        blob_faultstore_release(gate, 1);
    }
    blob_faultstore_wait_held(gate, 1);
    assert_int_equal(probes_of(r, FAILURES, tried, 3 * (WAITING_BLOBS + 1)), 3 * (WAITING_BLOBS + 1));
    for (unsigned i = 0; i < WAITING_BLOBS + 1; i++) { /* each has its turn, then they begin again */
        for (unsigned j = 0; j < i; j++)
            assert_false(same(&tried[i], &tried[j]));
        assert_true(same(&tried[i], &tried[i + WAITING_BLOBS + 1]));
        assert_true(same(&tried[i], &tried[i + 2 * (WAITING_BLOBS + 1)]));
    }
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).in_flight_max, 1);
    assert_int_equal(inside_turns(r->w), 1);
    blob_faultstore_clear(r->base);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(test_len(r->base_mem), WAITING_BLOBS + 1);
}

static void the_next_try_is_no_sooner_than_the_base_wants_it(void **state)
{
    wbrig *r = *state;

    break_base(r, BLOB_UNAVAILABLE, "gone", FAILURES - 1);
    blob_faultstore_add(
        r->base, &(blob_faultstore_fault){
                     .ops = BLOB_FAULT_PUT, .status = BLOB_UNAVAILABLE, .retry_after_ms = 3600 * 1000, .count = 1});
    wbrig_start(r);
    wbrig_put(r, "text");
    wbrig_wait_event(r, WBSTORE_EVENT_BASE_DOWN, 1);
    for (unsigned i = 0; i < WAITING_BLOBS; i++)
        wbrig_put_number(r, i);
    assert_in_range(inside_probe_due_ms(r->w), 3590 * 1000, 3600 * 1000);
    assert_int_equal(inside_stats(r).in_flight, 0); /* and nobody else goes instead */
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls, FAILURES);
}

static void when_it_is_up_again_nobody_sits_out_his_time(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *failing, *gate;

    r->options.retry_max_ms = 3600 * 1000; /* who failed meanwhile does not sit that out */
    wbrig_start(r);
    break_base(r, BLOB_UNAVAILABLE, "gone", FAILURES);
    failing = blob_faultstore_add(
        r->base, &(blob_faultstore_fault){
                     .ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_HOLD, .status = BLOB_UNAVAILABLE, .count = 3});
    gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    wbrig_put(r, "the one that finds out");
    blob_faultstore_wait_held(failing, 1);
    for (unsigned i = 0; i < WAITING_BLOBS; i++)
        wbrig_put_number(r, i);
    for (unsigned i = 0; i < 3; i++) {
        blob_faultstore_wait_held(failing, 1);
        blob_faultstore_release(failing, 1);
    }
    blob_faultstore_wait_held(gate, 1);
    blob_faultstore_release(gate, 1);   /* this one arrives */
    blob_faultstore_wait_held(gate, 4); /* it is not run over */
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
}

/* It hangs since before the outage: it is neither the one that is tried, nor in its way. */
static void an_upload_that_hangs_does_not_keep_the_base_down(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("hangs");
    blob_key other;
    blob_faultstore_rule *gate = inside_hold(r->base, BLOB_FAULT_PUT, &a);

    wbrig_start(r);
    wbrig_put(r, "hangs");
    blob_faultstore_wait_held(gate, 1);
    break_base(r, BLOB_UNAVAILABLE, "gone", FAILURES);
    a = wbrig_put(r, "finds out");
    other = blob_address_key(&a);
    wbrig_wait_event(r, WBSTORE_EVENT_BASE_DOWN, 1);
    test_ok(wbstore_wait_keys(r->w, NULL, &other, 1));
    wbrig_wait_event(r, WBSTORE_EVENT_BASE_UP, 1);
    assert_int_equal(blob_faultstore_held(gate), 1);
}

static void a_blob_that_always_fails_does_not_keep_the_others_from_arriving(void **state)
{
    wbrig *r = *state;

    wbrig_start(r);
    for (unsigned i = 0; i < 3; i++) {
        char text[32];
        blob_address poison;

        snprintf(text, sizeof text, "poison %u", i);
        poison = wbrig_address(text);
        inside_fail(r->base, BLOB_FAULT_PUT, &poison, -EIO, 0);
        wbrig_put(r, text);
    }
    for (unsigned i = 0; i < 50; i++) {
        blob_address good = wbrig_put_number(r, i);
        blob_key key = blob_address_key(&good);
        test_ok(wbstore_wait_keys(r->w, NULL, &key, 1));
    }
    assert_int_equal(inside_stats(r).pending_blobs, 3);
    assert_int_equal(inside_stats(r).sent, 50);
}

static void the_host_is_served_as_ever_while_the_base_is_down(void **state)
{
    wbrig *r = *state;
    blob_address a;
    blob_ctx *ctx;

    break_base(r, BLOB_UNAVAILABLE, "gone", 0);
    wbrig_start(r);
    wbrig_put(r, "the one that finds out");
    wbrig_wait_event(r, WBSTORE_EVENT_BASE_DOWN, 1);
    blob_faultstore_fail(r->base, BLOB_FAULT_GET | BLOB_FAULT_SIZE, BLOB_UNAVAILABLE, 0);
    a = wbrig_put(r, "text");
    test_expect(wbstore_as_store(r->w), blob_address_key(&a), "text");
    test_status(wbstore_size(r->w, NULL, test_key("elsewhere"), &(uint64_t){0}), BLOB_UNAVAILABLE); /* not: no */
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&a)));
    test_ok(blob_ctx_new_timeout(&ctx, NULL, 20));
    test_status(wbstore_sync(r->w, ctx), -ETIMEDOUT);
    blob_ctx_free(ctx);
}

static void a_sync_that_ends_while_the_base_denies_says_that_it_was_denied(void **state)
{
    wbrig *r = *state;
    blob_error error;
    uint64_t ticket;
    blob_ctx *ctx;

    break_base(r, BLOB_DENIED, "the key has expired", 0);
    wbrig_start(r);
    ticket = wbrig_put_ticket(r, "text");
    wbrig_wait_event(r, WBSTORE_EVENT_BASE_DOWN, 1);
    test_ok(blob_ctx_new_timeout(&ctx, NULL, 20));
    test_status(wbstore_sync(r->w, ctx), BLOB_DENIED);
    blob_last_error(&error);
    assert_string_equal(error.text, "the key has expired");
    test_status(wbstore_wait(r->w, ctx, ticket), BLOB_DENIED);
    blob_ctx_free(ctx);
    blob_faultstore_clear(r->base);
    inside_until(r->w, is_up, NULL);
    test_ok(wbstore_sync(r->w, NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inside_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(five_failures_in_a_row_are_an_outage_and_one_success_its_end),
        TEST(fewer_failures_than_five_are_none),
        TEST(a_base_that_rejects_a_blob_answers_all_the_same),
        TEST(each_outage_is_told_of_once_and_in_order),
        TEST(outages_while_the_host_looks_at_the_first_are_told_of_afterwards),
        TEST(one_blob_at_a_time_is_tried_and_another_each_time),
        TEST(the_next_try_is_no_sooner_than_the_base_wants_it),
        TEST(when_it_is_up_again_nobody_sits_out_his_time),
        TEST(an_upload_that_hangs_does_not_keep_the_base_down),
        TEST(a_blob_that_always_fails_does_not_keep_the_others_from_arriving),
        TEST(the_host_is_served_as_ever_while_the_base_is_down),
        TEST(a_sync_that_ends_while_the_base_denies_says_that_it_was_denied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
