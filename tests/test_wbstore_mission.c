/* test_wbstore_mission.c - what the wrapper is for, promise by promise: blobs are taken at once, readable at once, and in
 * the base in the end. */
#include "wbrig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- puts go to the buffer ----------------------------------------------------------------------------------- */

/* A hash that only the base can know. */
static void odd_digest(const void *data, size_t size, unsigned char *out)
{
    out[0] = 'h';
    out[1] = (unsigned char)size;
    out[2] = size > 0 ? *(const unsigned char *)data : 0;
}

static void cas_put_asks_the_base_for_the_address(void **state)
{
    static const blob_hash odd = {.name = "odd", .size = 3, .digest = odd_digest};
    wbrig *r = *state;
    blob_store *base;
    blob_address a;
    wbstore *w;

    test_ok(blob_hashcas_new(&base, r->base_mem, &odd));
    test_ok(wbstore_new(&w, NULL, base, r->buf_mem, NULL));
    test_ok(wbstore_cas_put(w, NULL, "abc", 3, &a));
    assert_int_equal(a.size, 3);
    assert_memory_equal(a.bytes, "h\3a", 3);
    test_ok(wbstore_sync(w, NULL));
    test_expect(r->base_mem, test_key("h\3a"), "abc");
    wbstore_free(w);
    test_ok(blob_store_close(base, NULL));
}

static void cas_put_stores_in_the_buffer_only(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    blob_address a;

    wbrig_start(r);
    a = wbrig_put(r, "bytes"); /* returns while the base is shut */
    test_expect(r->buf_mem, blob_address_key(&a), "bytes");
    blob_faultstore_wait_held(gate, 1); /* the writer's, in the background */
    assert_false(wbrig_in_base(r, &a));
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_CAS_PUT).in_flight_max, 0);
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).in_flight_max, 1);
}

static void the_writer_carries_it_to_the_base_and_then_removes_it_from_the_buffer(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *stored = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_AFTER);
    blob_address a;

    wbrig_start(r);
    a = wbrig_put(r, "bytes");
    blob_faultstore_wait_held(stored, 1);
    assert_true(wbrig_in_base(r, &a));
    assert_true(wbrig_in_buffer(r, &a)); /* until the base has said so */
    blob_faultstore_lift(stored);
    blob_faultstore_wait_calls(r->buf, BLOB_FAULT_DELETE, 1); /* nobody asked for it: no sync, no further put */
    assert_false(wbrig_in_buffer(r, &a));
    test_expect(r->base_mem, blob_address_key(&a), "bytes");
}

static void the_address_is_told_also_when_storing_failed(void **state)
{
    static const int statuses[] = {-EIO, -ENOSPC, -ENOMEM, BLOB_REJECTED, BLOB_DENIED, BLOB_UNAVAILABLE, BLOB_CORRUPT};
    wbrig *r = *state;
    blob_address a, expected = wbrig_address("bytes");
    blob_ctx *ended;
    uint64_t ticket;

    r->options.when_full = WBSTORE_FULL_FAIL;
    wbrig_start(r);
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        blob_faultstore_fail(r->buf, BLOB_FAULT_PUT, statuses[i], 1);
        a.size = 77;
        ticket = 77;
        test_status(wbstore_cas_put_ticket(r->w, NULL, "bytes", 5, &a, &ticket),
                    statuses[i] == -ENOSPC ? BLOB_FULL : statuses[i]);
        assert_int_equal(blob_key_compare(blob_address_key(&a), blob_address_key(&expected)), 0);
        assert_int_equal(ticket, 0);
    }
    test_ok(blob_ctx_new(&ended, NULL));
    blob_ctx_cancel(ended);
    a.size = 77;
    test_status(wbstore_cas_put(r->w, ended, "bytes", 5, &a), -ECANCELED);
    assert_int_equal(blob_key_compare(blob_address_key(&a), blob_address_key(&expected)), 0);
    blob_ctx_free(ended);
}

static void where_the_base_cannot_address_nothing_is_stored(void **state)
{
    wbrig *r = *state;
    blob_address a = {.size = 77};

    wbrig_start(r);
    blob_faultstore_fail(r->base, BLOB_FAULT_CAS_KEY, -EIO, 1);
    test_status(wbstore_cas_put(r->w, NULL, "bytes", 5, &a), -EIO);
    assert_int_equal(a.size, 0);
    assert_int_equal(blob_faultstore_count(r->buf, BLOB_FAULT_PUT).calls, 0);
}

static void a_put_needs_neither_address_nor_ticket(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("bytes");

    wbrig_start(r);
    test_ok(wbstore_cas_put(r->w, NULL, "bytes", 5, NULL));
    test_ok(wbstore_cas_put_ticket(r->w, NULL, "bytes", 5, NULL, NULL));
    test_ok(wbstore_sync(r->w, NULL));
    assert_true(wbrig_in_base(r, &a));
}

/* ---- reads: the buffer, then the base ------------------------------------------------------------------------ */

static void expect_blob(wbstore *w, blob_key key, const char *text)
{
    uint64_t size;
    blob *b;

    test_ok(wbstore_get(w, NULL, key, &b));
    assert_int_equal(b->size, strlen(text));
    assert_memory_equal(b->data, text, b->size);
    blob_unref(b);
    test_ok(wbstore_size(w, NULL, key, &size));
    assert_int_equal(size, strlen(text));
}

static void get_and_size_of_what_the_buffer_has_ask_the_buffer_only(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    uint64_t gets, sizes;
    blob_address a;

    wbrig_start(r);
    a = wbrig_put(r, "bytes");
    blob_faultstore_wait_held(gate, 1);
    gets = blob_faultstore_count(r->buf, BLOB_FAULT_GET)
               .calls; /* not any call: the housekeeper's listing may come at any time */
    sizes = blob_faultstore_count(r->buf, BLOB_FAULT_SIZE).calls;
    for (int i = 0; i < 10; i++)
        expect_blob(r->w, blob_address_key(&a), "bytes");
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_GET).calls, 0);
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_SIZE).calls, 0);
    assert_int_equal(blob_faultstore_count(r->buf, BLOB_FAULT_GET).calls - gets, 10); /* and that once each */
    assert_int_equal(blob_faultstore_count(r->buf, BLOB_FAULT_SIZE).calls - sizes, 10);
}

static void get_and_size_of_what_the_buffer_has_not_ask_the_base(void **state)
{
    wbrig *r = *state;
    blob_key key = test_key("in the base");
    blob_faultstore_call call;
    uint64_t size;
    blob *b;

    test_put(r->base_mem, key, "base bytes");
    blob_faultstore_share_ticks(r->buf, r->base);
    wbrig_start(r);
    blob_faultstore_wait_calls(r->buf, BLOB_FAULT_LIST, 1);
    expect_blob(r->w, key, "base bytes");
    assert_int_equal(blob_faultstore_count_key(r->buf, BLOB_FAULT_GET | BLOB_FAULT_SIZE, key), 2);
    assert_int_equal(blob_faultstore_count_key(r->base, BLOB_FAULT_GET | BLOB_FAULT_SIZE, key), 2);
    assert_true(blob_faultstore_history(r->buf, blob_faultstore_history_size(r->buf) - 1, &call));
    uint64_t buffer_ended = call.ended;
    assert_true(blob_faultstore_history(r->base, blob_faultstore_history_size(r->base) - 1, &call));
    assert_true(buffer_ended < call.begun);

    test_status(wbstore_get(r->w, NULL, test_key("nowhere"), &b), BLOB_NOT_FOUND);
    assert_null(b);
    test_status(wbstore_size(r->w, NULL, test_key("nowhere"), &size), BLOB_NOT_FOUND);
    assert_int_equal(size, 0);
}

static void where_both_have_it_the_buffer_answers(void **state)
{
    wbrig *r = *state;
    blob_key key = test_key("in both");

    blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    test_put(r->base_mem, key, "old");
    test_put(r->buf_mem, key, "buffered");
    wbrig_start(r);
    expect_blob(r->w, key, "buffered");
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_GET).calls, 0);
}

/* ---- resume -------------------------------------------------------------------------------------------------- */

static void what_the_buffer_held_at_the_start_is_sent_with_no_call_to_ask_for_it(void **state)
{
    wbrig *r = *state;
    static const char *const texts[] = {"left over", "from a run", "that was killed"};

    for (size_t i = 0; i < 3; i++)
        wbrig_buffer(r, texts[i]);
    wbrig_start(r);
    blob_faultstore_wait_calls(r->buf, BLOB_FAULT_DELETE, 3);
    assert_int_equal(test_len(r->buf_mem), 0);
    for (size_t i = 0; i < 3; i++) {
        blob_address a = wbrig_address(texts[i]);
        test_expect(r->base_mem, blob_address_key(&a), texts[i]);
    }
    wbrig_wait_event(r, WBSTORE_EVENT_DRAINED, 1);
    assert_int_equal(wbrig_stats(r).resumed, 3);
}

static void the_next_wrapper_carries_on_where_the_last_one_stopped(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);

    r->options.writers_max = 2;
    wbrig_start(r);
    for (unsigned n = 0; n < 10; n++)
        wbrig_put_number(r, n);
    blob_faultstore_wait_held(gate, 2);
    blob_faultstore_release(gate, 1);
    blob_faultstore_wait_calls(r->buf, BLOB_FAULT_DELETE, 1);
    wbrig_stop(r);
    assert_int_equal(test_len(r->base_mem), 1);
    assert_int_equal(test_len(r->buf_mem), 9);
    blob_faultstore_lift(gate);
    wbrig_start(r);
    blob_faultstore_wait_calls(r->buf, BLOB_FAULT_DELETE, 10);
    assert_int_equal(test_len(r->base_mem), 10);
    assert_int_equal(test_len(r->buf_mem), 0);
}

/* ---- buffer, sync, close ------------------------------------------------------------------------------------- */

static void buffer_returns_the_buffer(void **state)
{
    wbrig *r = *state;

    wbrig_start(r);
    assert_ptr_equal(wbstore_buffer(r->w), blob_faultstore_store(r->buf));
    test_ok(wbstore_close(r->w, NULL));
    assert_ptr_equal(wbstore_buffer(r->w), blob_faultstore_store(r->buf));
}

static void sync_returns_when_the_base_has_everything_and_not_before(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    wbrig_call sync = {.call = wbrig_call_sync};
    blob_ctx *soon;

    wbrig_start(r);
    sync.w = r->w;
    for (unsigned n = 0; n < 5; n++)
        wbrig_put_number(r, n);
    blob_faultstore_release(gate, 4);
    blob_faultstore_wait_calls(r->buf, BLOB_FAULT_DELETE, 4);
    test_ok(blob_ctx_new_timeout(&soon, NULL, 20));
    test_status(wbstore_sync(r->w, soon), -ETIMEDOUT);
    blob_ctx_free(soon);
    wbrig_begin_asleep(&sync);
    blob_faultstore_release(gate, 1);
    assert_int_equal(wbrig_end(&sync), 0);
    assert_int_equal(test_len(r->base_mem), 5);
    assert_int_equal(test_len(r->buf_mem), 0);
    test_ok(wbstore_sync(r->w, NULL)); /* nothing to wait for */
}

static void a_sync_that_finds_nothing_pending_takes_up_what_is_in_the_buffer(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("a stranger's");

    wbrig_start(r);
    test_ok(wbstore_sync(r->w, NULL));
    wbrig_buffer(r, "a stranger's");
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&a), "a stranger's");
    assert_int_equal(test_len(r->buf_mem), 0);
}

static void rescan_takes_up_what_somebody_else_put_into_the_buffer(void **state)
{
    wbrig *r = *state;

    blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    wbrig_start(r);
    test_ok(wbstore_sync(r->w, NULL)); /* the start's own listing is over */
    wbrig_put(r, "our own");           /* pending, so that no sync would look */
    wbrig_buffer(r, "a stranger's");
    test_ok(wbstore_rescan(r->w, NULL));
    assert_int_equal(wbrig_stats(r).pending_blobs, 2);
    test_ok(wbstore_rescan(r->w, NULL));
    assert_int_equal(wbrig_stats(r).pending_blobs, 2); /* nothing twice */
    blob_faultstore_clear(r->base);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(test_len(r->base_mem), 2);
}

static void close_leaves_in_the_buffer_what_was_not_sent(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);

    wbrig_start(r);
    for (unsigned n = 0; n < 20; n++)
        wbrig_put_number(r, n);
    blob_faultstore_wait_held(gate, 1);
    test_ok(wbstore_close(r->w, NULL)); /* with the gate shut: attempts under way are called off */
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).in_flight, 0);
    assert_int_equal(test_len(r->buf_mem), 20);
    assert_int_equal(test_len(r->base_mem), 0);
    wbrig_expect_closed(r->w);
    assert_int_equal(wbrig_stats(r).pending_blobs, 20);
    test_ok(wbstore_close(r->w, NULL));
}

static void close_ends_with_its_context_and_can_be_called_again(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_add(
        r->base,
        &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_HOLD, .ignore_ctx = true, .count = 1});
    blob_ctx *soon, *cancelled;
    blob_address a;

    wbrig_start(r);
    a = wbrig_put(r, "not to be stopped");
    blob_faultstore_wait_held(gate, 1);
    test_ok(blob_ctx_new_timeout(&soon, NULL, 20));
    test_ok(blob_ctx_new(&cancelled, NULL));
    test_status(wbstore_close(r->w, soon), -ETIMEDOUT);
    test_status(wbstore_sync(r->w, NULL), BLOB_CLOSED); /* closed it is all the same */
    blob_ctx_cancel(cancelled);
    test_status(wbstore_close(r->w, cancelled), -ECANCELED);
    blob_faultstore_lift(gate);
    test_ok(wbstore_close(r->w, NULL));
    test_ok(wbstore_close(r->w, cancelled)); /* over: nothing to wait for */
    wbrig_expect_closed(r->w);
    assert_true(wbrig_in_base(r, &a)); /* the put was carried out */
    blob_ctx_free(soon);
    blob_ctx_free(cancelled);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, wbrig_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cas_put_asks_the_base_for_the_address),
        TEST(cas_put_stores_in_the_buffer_only),
        TEST(the_writer_carries_it_to_the_base_and_then_removes_it_from_the_buffer),
        TEST(the_address_is_told_also_when_storing_failed),
        TEST(where_the_base_cannot_address_nothing_is_stored),
        TEST(a_put_needs_neither_address_nor_ticket),
        TEST(get_and_size_of_what_the_buffer_has_ask_the_buffer_only),
        TEST(get_and_size_of_what_the_buffer_has_not_ask_the_base),
        TEST(where_both_have_it_the_buffer_answers),
        TEST(what_the_buffer_held_at_the_start_is_sent_with_no_call_to_ask_for_it),
        TEST(the_next_wrapper_carries_on_where_the_last_one_stopped),
        TEST(buffer_returns_the_buffer),
        TEST(sync_returns_when_the_base_has_everything_and_not_before),
        TEST(a_sync_that_finds_nothing_pending_takes_up_what_is_in_the_buffer),
        TEST(rescan_takes_up_what_somebody_else_put_into_the_buffer),
        TEST(close_leaves_in_the_buffer_what_was_not_sent),
        TEST(close_ends_with_its_context_and_can_be_called_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
