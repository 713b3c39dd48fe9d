/* test_wbstore_new.c - what makes a wrapper, what does not, and the context that governs it. */
#include "testclock.h"
#include "wbrig.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* ---- what does not make one ---------------------------------------------------------------------------------- */

static wbstore *const junk = (wbstore *)(uintptr_t)1;

static void refuses(wbrig *r, blob_store *base, blob_store *buf, const wbstore_options *options, int status)
{
    wbstore *w = junk;
    blob_error error;

    test_status(wbstore_new(&w, r->ctx, base, buf, options), status);
    assert_null(w);
    blob_last_error(&error);
    assert_int_equal(error.status, status);
    assert_true(error.text[0] != '\0');
}

static void new_refuses_stores_that_are_missing(void **state)
{
    wbrig *r = *state;
    blob_store no_ops = {.ops = NULL};

    refuses(r, NULL, blob_faultstore_store(r->buf), NULL, -EINVAL);
    refuses(r, blob_faultstore_store(r->base), NULL, NULL, -EINVAL);
    refuses(r, NULL, NULL, NULL, -EINVAL);
    refuses(r, &no_ops, blob_faultstore_store(r->buf), NULL, -EINVAL);
    refuses(r, blob_faultstore_store(r->base), &no_ops, NULL, -EINVAL);
    test_status(wbstore_new(NULL, NULL, blob_faultstore_store(r->base), blob_faultstore_store(r->buf), NULL), -EINVAL);
    assert_int_equal(blob_faultstore_count(r->buf, BLOB_FAULT_ANY).calls, 0);
}

static void new_refuses_one_store_as_base_and_buffer(void **state)
{
    wbrig *r = *state;

    refuses(r, r->base_cas, r->base_cas, NULL, -EINVAL);
}

static void new_refuses_a_wrapper_as_buffer(void **state)
{
    wbrig *r = *state;
    blob_store *other;

    wbrig_start(r);
    test_ok(blob_hashcas_new(&other, r->base_mem, blob_hash_sha256()));
    refuses(r, other, wbstore_as_store(r->w), NULL, -EINVAL);
    test_ok(blob_store_close(other, NULL));
}

static void new_refuses_a_base_without_content_addresses(void **state)
{
    wbrig *r = *state;

    refuses(r, r->base_mem, r->buf_mem, NULL, BLOB_UNSUPPORTED);
}

static void new_passes_on_why_a_base_cannot_address(void **state)
{
    wbrig *r = *state;

    blob_faultstore_fail(r->base, BLOB_FAULT_CAS_KEY, -EIO, 1);
    refuses(r, blob_faultstore_store(r->base), blob_faultstore_store(r->buf), NULL, -EIO);
}

/* ---- options ------------------------------------------------------------------------------------------------- */

static void new_refuses_options_that_make_no_sense(void **state)
{
    wbrig *r = *state;
    const wbstore_options good = wbstore_options_default();
    wbstore_options bad[12];
    size_t count = 0;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        bad[i] = good;
    bad[count++].struct_size = 0;
    bad[count++].struct_size = sizeof(size_t) - 1;
    bad[count++].struct_size = SIZE_MAX;
    bad[count++].when_full = (wbstore_when_full)(WBSTORE_FULL_WRITE_THROUGH + 1);
    bad[count++].when_full = (wbstore_when_full)(-1);
    bad[count++].attempt_timeout_ms = -1;
    bad[count++].retry_min_ms = -1;
    bad[count++].retry_max_ms = INT64_MIN;
    bad[count].retry_min_ms = 11;
    bad[count++].retry_max_ms = 10;
    bad[count++].no_verify = 2;
    bad[count++].unified_view = UINT_MAX;
    bad[count++].writer_stack_bytes = 1;
    for (size_t i = 0; i < count; i++)
        refuses(r, blob_faultstore_store(r->base), blob_faultstore_store(r->buf), &bad[i], -EINVAL);
}

/* Makes a wrapper that works, and frees it. */
static void takes(wbrig *r, const wbstore_options *options)
{
    wbstore *w;

    test_ok(wbstore_new(&w, r->ctx, blob_faultstore_store(r->base), blob_faultstore_store(r->buf), options));
    test_ok(wbstore_cas_put(w, NULL, "x", 1, NULL));
    test_ok(wbstore_sync(w, NULL));
    wbstore_free(w);
}

static void new_takes_no_options_defaults_and_extremes(void **state)
{
    wbrig *r = *state;
    wbstore_options o = wbstore_options_default();

    takes(r, NULL);
    takes(r, &o);
    o.writers_max = UINT_MAX;
    o.buffer_blobs_max = 1;
    o.buffer_bytes_max = UINT64_MAX;
    o.attempt_timeout_ms = o.retry_min_ms = o.retry_max_ms = INT64_MAX;
    o.writer_stack_bytes = 256 * 1024;
    takes(r, &o);
    o = wbstore_options_default();
    o.retry_max_ms = 1; /* below the default of the other */
    takes(r, &o);
    o = wbstore_options_default();
    o.retry_min_ms = 3600 * 1000; /* above it */
    takes(r, &o);
}

typedef struct longer_options {
    wbstore_options known;
    unsigned char unknown[16];
} longer_options;

static void new_refuses_an_option_that_it_does_not_know_and_that_asks_for_something(void **state)
{
    wbrig *r = *state;
    longer_options o;

    memset(&o, 0, sizeof o);
    o.known.struct_size = sizeof o;
    takes(r, &o.known);
    for (size_t i = 0; i < sizeof o.unknown; i++) {
        o.unknown[i] = 1;
        refuses(r, blob_faultstore_store(r->base), blob_faultstore_store(r->buf), &o.known, -EINVAL);
        o.unknown[i] = 0;
    }
}

static void new_takes_the_shorter_options_of_an_older_program(void **state)
{
    wbrig *r = *state;
    wbstore_options o = wbstore_options_default();

    o.struct_size = offsetof(wbstore_options, no_verify);
    o.no_verify = o.unified_view = 77; /* beyond its end: nobody may look */
    takes(r, &o);
    o.struct_size = sizeof o.struct_size;
    o.retry_min_ms = -1;
    takes(r, &o);
}

/* ---- the context that governs -------------------------------------------------------------------------------- */

static void new_refuses_a_context_that_has_ended(void **state)
{
    wbrig *r = *state;
    blob_ctx *late, *outer = r->ctx;

    test_ok(blob_ctx_new_timeout(&late, NULL, 0));
    r->ctx = late;
    refuses(r, blob_faultstore_store(r->base), blob_faultstore_store(r->buf), NULL, -ETIMEDOUT);
    r->ctx = outer;
    blob_ctx_free(late);
    blob_ctx_cancel(r->ctx);
    refuses(r, blob_faultstore_store(r->base), blob_faultstore_store(r->buf), NULL, -ECANCELED);
}

/* The blob is at the base's gate; whatever ends the wrapper must call it off there. */
static blob_faultstore_rule *one_blob_at_the_gate(wbrig *r, blob_address *a)
{
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);

    wbrig_start(r);
    *a = wbrig_put(r, "at the gate");
    blob_faultstore_wait_held(gate, 1);
    return gate;
}

static void is_over_and_the_blob_in_the_buffer(wbrig *r, const blob_address *a, blob_faultstore_rule *gate)
{
    wbrig_expect_closed(r->w);
    assert_int_equal(blob_faultstore_held(gate), 0);
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).reached, 0);
    assert_true(wbrig_in_buffer(r, a));
    assert_false(wbrig_in_base(r, a));
    assert_int_equal(wbrig_stats(r).pending_blobs, 1);
    assert_int_equal(wbrig_stats(r).in_flight, 0);
}

static void cancelling_the_context_that_governs_stops_the_writer(void **state)
{
    wbrig *r = *state;
    blob_address a;
    blob_faultstore_rule *gate = one_blob_at_the_gate(r, &a);
    wbrig_call sync = {.call = wbrig_call_sync, .w = r->w};

    wbrig_begin_asleep(&sync);
    blob_ctx_cancel(r->ctx);
    assert_int_equal(wbrig_end(&sync), BLOB_CLOSED);
    blob_faultstore_wait_calls(r->base, BLOB_FAULT_PUT, 1); /* with the gate as it is */
    is_over_and_the_blob_in_the_buffer(r, &a, gate);
}

static void the_deadline_of_the_context_that_governs_stops_the_writer(void **state)
{
    wbrig *r = *state;
    blob_address a;
    blob_faultstore_rule *gate;
    test_clock clock;

    test_clock_start(&clock);
    blob_ctx_free(r->ctx);
    test_ok(blob_ctx_new_timeout(&r->ctx, clock.ctx, 1000));
    gate = one_blob_at_the_gate(r, &a);
    test_clock_move(&clock, 1000);
    test_status(wbstore_sync(r->w, NULL), BLOB_CLOSED);
    blob_faultstore_wait_calls(r->base, BLOB_FAULT_PUT, 1);
    is_over_and_the_blob_in_the_buffer(r, &a, gate);
    wbrig_stop(r);
    test_clock_stop(&clock);
}

static void the_context_that_governs_may_be_freed_while_the_wrapper_lives(void **state)
{
    wbrig *r = *state;
    blob_address a;

    wbrig_start(r);
    blob_ctx_free(r->ctx);
    r->ctx = NULL;
    a = wbrig_put(r, "x");
    test_ok(wbstore_sync(r->w, NULL));
    assert_true(wbrig_in_base(r, &a));
}

static void closing_a_wrapper_leaves_the_context_that_governs_alone(void **state)
{
    wbrig *r = *state;

    wbrig_start(r);
    test_ok(wbstore_close(r->w, NULL));
    assert_int_equal(blob_ctx_status(r->ctx), 0);
}

static void new_does_not_wait_for_the_buffer_nor_the_base(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *listing = blob_faultstore_hold(r->buf, BLOB_FAULT_LIST, NULL, BLOB_FAULT_BEFORE);
    blob_address a;

    wbrig_buffer(r, "resumed");
    wbrig_start(r);
    blob_faultstore_wait_held(listing, 1);
    a = wbrig_put(r, "new"); /* goes on while the listing hangs */
    blob_faultstore_wait_calls(r->buf, BLOB_FAULT_DELETE, 1);
    assert_true(wbrig_in_base(r, &a));
    blob_faultstore_lift(listing);
    test_ok(wbstore_sync(r->w, NULL));
    a = wbrig_address("resumed");
    assert_true(wbrig_in_base(r, &a));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, wbrig_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(new_refuses_stores_that_are_missing),
        TEST(new_refuses_one_store_as_base_and_buffer),
        TEST(new_refuses_a_wrapper_as_buffer),
        TEST(new_refuses_a_base_without_content_addresses),
        TEST(new_passes_on_why_a_base_cannot_address),
        TEST(new_refuses_options_that_make_no_sense),
        TEST(new_takes_no_options_defaults_and_extremes),
        TEST(new_refuses_an_option_that_it_does_not_know_and_that_asks_for_something),
        TEST(new_takes_the_shorter_options_of_an_older_program),
        TEST(new_refuses_a_context_that_has_ended),
        TEST(cancelling_the_context_that_governs_stops_the_writer),
        TEST(the_deadline_of_the_context_that_governs_stops_the_writer),
        TEST(the_context_that_governs_may_be_freed_while_the_wrapper_lives),
        TEST(closing_a_wrapper_leaves_the_context_that_governs_alone),
        TEST(new_does_not_wait_for_the_buffer_nor_the_base),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
