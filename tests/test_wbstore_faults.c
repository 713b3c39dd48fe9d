/* test_wbstore_faults.c - what write-behind wrappers get wrong, each a named test: writers that die or spin, outages read as
 * answers, uploads that hang, bytes published under a wrong key, blobs that never drain. */
#include "wbrig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- a base that fails --------------------------------------------------------------------------------------- */

static void one_failed_write_does_not_end_the_writer(void **state)
{
    wbrig *r = *state;
    blob_address first, second;

    blob_faultstore_fail(r->base, BLOB_FAULT_PUT, BLOB_UNAVAILABLE, 1);
    wbrig_start(r);
    first = wbrig_put(r, "first");
    test_ok(wbstore_sync(r->w, NULL));
    assert_true(wbrig_in_base(r, &first));
    second = wbrig_put(r, "second");
    test_ok(wbstore_sync(r->w, NULL));
    assert_true(wbrig_in_base(r, &second));
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls, 3);
    assert_int_equal(wbrig_stats(r).retries, 1);
}

static void any_status_of_a_failed_write_is_survived(void **state)
{
    static const int statuses[] = {BLOB_UNAVAILABLE, BLOB_DENIED, -ETIMEDOUT, -ENOSPC,        -EIO,        -ENOMEM,
                                   -EINVAL,          -EPERM,      -ECANCELED, BLOB_NOT_FOUND, BLOB_CLOSED, BLOB_FULL,
                                   BLOB_UNSUPPORTED, -4095,       -30000,     INT32_MIN};
    wbrig *r = *state;

    wbrig_start(r);
    for (unsigned i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        blob_address a;
        blob_faultstore_fail(r->base, BLOB_FAULT_PUT, statuses[i], 2);
        a = wbrig_put_number(r, i);
        test_ok(wbstore_sync(r->w, NULL));
        assert_true(wbrig_in_base(r, &a));
    }
    assert_int_equal(test_len(r->buf_mem), 0);
}

/* Enough failures for the base to be taken for down, several times over. */
static void a_base_that_keeps_failing_and_recovers_gets_everything(void **state)
{
    wbrig *r = *state;

    blob_faultstore_fail(r->base, BLOB_FAULT_PUT, BLOB_UNAVAILABLE, 23);
    wbrig_start(r);
    for (unsigned n = 0; n < 10; n++)
        wbrig_put_number(r, n);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(test_len(r->base_mem), 10);
    assert_int_equal(test_len(r->buf_mem), 0);
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls, 33); /* no attempt more than that */
}

/* A loop without backoff makes thousands of attempts in this time; with it even unlucky jitter makes a few. */
static void a_base_that_keeps_failing_is_not_asked_in_a_hot_loop(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *down = blob_faultstore_fail(r->base, BLOB_FAULT_PUT, BLOB_UNAVAILABLE, 0);
    blob_ctx *soon;

    r->options.retry_min_ms = r->options.retry_max_ms = 3600 * 1000;
    r->options.writers_max = 8;
    wbrig_start(r);
    for (unsigned n = 0; n < 100; n++)
        wbrig_put_number(r, n);
    blob_faultstore_wait_hits(down, 5);
    test_ok(blob_ctx_new_timeout(&soon, NULL, 50));
    test_status(wbstore_sync(r->w, soon), -ETIMEDOUT);
    blob_ctx_free(soon);
    for (unsigned n = 100; n < 200; n++)
        wbrig_put_number(r, n); /* no invitation to try */
    /* Five until it is taken for down, those that were in flight then, and a probe or two. */
    assert_in_range(blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls, 5, 5 + 7 + 2);
    assert_int_equal(test_len(r->buf_mem), 200);
}

/* ---- uploads that hang --------------------------------------------------------------------------------------- */

static void a_put_that_hangs_is_given_up_after_the_attempt_timeout_and_tried_again(void **state)
{
    wbrig *r = *state;
    blob_faultstore_call call;
    blob_address a;

    r->options.attempt_timeout_ms = 20;
    blob_faultstore_add(r->base,
                        &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_HOLD, .count = 2});
    wbrig_start(r);
    a = wbrig_put(r, "bytes");
    test_ok(wbstore_sync(r->w, NULL)); /* nobody opens the gate */
    assert_true(wbrig_in_base(r, &a));
    assert_true(wbrig_stats(r).retries >= 2);
    for (size_t i = 0, timeouts = 0; timeouts < 2; i++) {
        assert_true(blob_faultstore_history(r->base, i, &call));
        if (call.op == BLOB_FAULT_PUT) {
            test_status(call.status, -ETIMEDOUT);
            timeouts++;
        }
    }
}

static void an_upload_that_hangs_holds_up_no_later_one(void **state)
{
    wbrig *r = *state;
    blob_address hangs = wbrig_address("hangs"), a;
    blob_key key = blob_address_key(&hangs);
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, &key, BLOB_FAULT_BEFORE);

    wbrig_start(r);
    wbrig_put(r, "hangs");
    blob_faultstore_wait_held(gate, 1);
    a = wbrig_put(r, "put later");
    key = blob_address_key(&a);
    test_ok(wbstore_wait_keys(r->w, NULL, &key, 1));
    assert_true(wbrig_in_base(r, &a));
    assert_int_equal(blob_faultstore_held(gate), 1);
}

static void as_many_uploads_are_under_way_as_writers_are_allowed_however_slowly_puts_come(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);

    r->options.writers_max = 4;
    wbrig_start(r);
    for (unsigned n = 0; n < 4; n++) {
        wbrig_put_number(r, n);
        blob_faultstore_wait_held(gate, n + 1);
    }
    for (unsigned n = 4; n < 20; n++)
        wbrig_put_number(r, n);
    assert_int_equal(blob_faultstore_held(gate), 4);
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).in_flight_max, 4);
}

/* ---- an outage is not an answer ------------------------------------------------------------------------------ */

static int get_status(wbstore *w, blob_key key)
{
    blob *b = NULL;
    int rc = wbstore_get(w, NULL, key, &b);

    assert_true(rc == 0 ? b != NULL : b == NULL);
    blob_unref(b);
    return rc;
}

static int size_status(wbstore *w, blob_key key)
{
    uint64_t size = 77;
    int rc = wbstore_size(w, NULL, key, &size);

    assert_true(rc == 0 || size == 0);
    return rc;
}

static void an_outage_of_the_base_is_never_not_found(void **state)
{
    static const int statuses[] = {BLOB_UNAVAILABLE, BLOB_DENIED, -EIO, -ETIMEDOUT, BLOB_CORRUPT};
    wbrig *r = *state;
    blob_error error;

    wbrig_start(r);
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        blob_faultstore_rule *outage = blob_faultstore_add(
            r->base, &(blob_faultstore_fault){
                         .ops = BLOB_FAULT_GET | BLOB_FAULT_SIZE, .status = statuses[i], .text = "the line is cut"});
        test_status(get_status(r->w, test_key("k")), statuses[i]);
        blob_last_error(&error);
        assert_string_equal(error.text, "the line is cut");
        test_status(size_status(r->w, test_key("k")), statuses[i]);
        blob_faultstore_lift(outage);
    }
    test_status(get_status(r->w, test_key("k")), BLOB_NOT_FOUND);
}

static void a_buffer_that_fails_is_never_not_found_but_a_base_that_has_the_blob_answers_for_it(void **state)
{
    static const int statuses[] = {-EIO, BLOB_CORRUPT, BLOB_UNAVAILABLE, BLOB_DENIED};
    wbrig *r = *state;
    blob_faultstore_rule *outage;

    test_put(r->base_mem, test_key("in the base"), "bytes");
    wbrig_start(r);
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        blob_faultstore_fail(r->buf, BLOB_FAULT_GET | BLOB_FAULT_SIZE, statuses[i], 6);
        test_ok(get_status(r->w, test_key("in the base")));
        test_ok(size_status(r->w, test_key("in the base")));
        test_status(get_status(r->w, test_key("k")), statuses[i]);
        test_status(size_status(r->w, test_key("k")), statuses[i]);
        outage = blob_faultstore_fail(r->base, BLOB_FAULT_GET | BLOB_FAULT_SIZE, -EPIPE, 2);
        test_status(get_status(r->w, test_key("in the base")), statuses[i]);
        test_status(size_status(r->w, test_key("in the base")), statuses[i]);
        assert_int_equal(blob_faultstore_hits(outage), 2);
    }
}

static void what_is_buffered_is_readable_during_an_outage(void **state)
{
    wbrig *r = *state;
    blob_address a;

    blob_faultstore_fail(r->base, BLOB_FAULT_ANY & ~BLOB_FAULT_CAS_KEY, BLOB_UNAVAILABLE, 0);
    wbrig_start(r);
    a = wbrig_put(r, "bytes");
    test_expect(wbstore_as_store(r->w), blob_address_key(&a), "bytes");
    wbrig_wait_event(r, WBSTORE_EVENT_BASE_DOWN, 1);
    test_expect(wbstore_as_store(r->w), blob_address_key(&a), "bytes");
}

/* ---- bytes and keys ------------------------------------------------------------------------------------------ */

static void a_corrupt_buffered_blob_is_parked_and_never_published(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("what it should be"), good;
    wbrig_event event;

    test_put(r->buf_mem, blob_address_key(&a), "what it became");
    wbrig_start(r);
    good = wbrig_put(r, "a good one");
    event = wbrig_wait_event(r, WBSTORE_EVENT_PARKED, 1);
    test_status(event.status, BLOB_CORRUPT);
    assert_int_equal(blob_key_compare(blob_key_of(event.key, event.key_size), blob_address_key(&a)), 0);
    test_status(wbstore_sync(r->w, NULL), BLOB_CORRUPT);
    assert_true(wbrig_in_base(r, &good)); /* the others go on */
    assert_int_equal(blob_faultstore_count_key(r->base, BLOB_FAULT_PUT, blob_address_key(&a)), 0);
    assert_false(wbrig_in_base(r, &a));
    assert_true(wbrig_in_buffer(r, &a)); /* and nothing is dropped */
    assert_int_equal(wbrig_stats(r).parked, 1);
}

static void bytes_that_the_buffer_reads_back_wrong_are_never_published(void **state)
{
    wbrig *r = *state;
    blob_address a;

    blob_faultstore_add(r->buf,
                        &(blob_faultstore_fault){
                            .ops = BLOB_FAULT_GET, .action = BLOB_FAULT_FLIP, .when = BLOB_FAULT_AFTER, .count = 1});
    wbrig_start(r);
    a = wbrig_put(r, "bytes");
    test_status(wbstore_sync(r->w, NULL), BLOB_CORRUPT);
    assert_int_equal(blob_faultstore_count_key(r->base, BLOB_FAULT_PUT, blob_address_key(&a)), 0);
    test_ok(wbstore_retry_parked(r->w));
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&a), "bytes");
}

static void keys_of_any_length_in_a_resumed_buffer_drain(void **state)
{
    static const size_t sizes[] = {0, 1, 2, 31, 33, 64, BLOB_KEY_MAX};
    wbrig *r = *state;
    unsigned char bytes[BLOB_KEY_MAX];

    memset(bytes, 0xff, sizeof bytes);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        test_put(r->buf_mem, blob_key_of(bytes, sizes[i]), "bytes");
    test_put(r->buf_mem, blob_key_of("\0", 1), "zero");
    wbrig_start(r);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(test_len(r->buf_mem), 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        test_expect(r->base_mem, blob_key_of(bytes, sizes[i]), "bytes");
    test_expect(r->base_mem, blob_key_of("\0", 1), "zero");
}

static void a_blob_of_no_bytes_is_a_blob(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    blob_address a, b;

    wbrig_start(r);
    test_ok(wbstore_cas_put(r->w, NULL, NULL, 0, &a));
    test_ok(wbstore_cas_put(r->w, NULL, "", 0, &b));
    assert_int_equal(blob_key_compare(blob_address_key(&a), blob_address_key(&b)), 0);
    test_expect(wbstore_as_store(r->w), blob_address_key(&a), "");
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&a), "");
    test_expect(wbstore_as_store(r->w), blob_address_key(&a), "");
    assert_int_equal(test_len(r->buf_mem), 0);
}

/* It is the wrapper that is tested here: a hash of a few bytes only. */
static void sampling_digest(const void *data, size_t size, unsigned char *out)
{
    const unsigned char *bytes = data;

    memset(out, 0, 8);
    memcpy(out, &size, sizeof size < 8 ? sizeof size : 8);
    for (size_t i = 0; i < size; i += 4093)
        out[i % 8] = (unsigned char)(out[i % 8] * 31 + bytes[i]);
}

static void a_blob_of_100_mib_goes_through(void **state)
{
    static const blob_hash sampling = {.name = "sampling", .size = 8, .digest = sampling_digest};
    wbrig *r = *state;
    size_t size = (size_t)100 << 20;
    unsigned char *bytes = calloc(1, size);
    blob_store *base;
    blob_address a;
    wbstore *w;
    blob *b;

    assert_non_null(bytes);
    test_fill(1, bytes, 4096);
    test_fill(2, bytes + size - 4096, 4096);
    test_ok(blob_hashcas_new(&base, r->base_mem, &sampling));
    test_ok(wbstore_new(&w, NULL, base, r->buf_mem, NULL));
    test_ok(wbstore_cas_put(w, NULL, bytes, size, &a));
    test_ok(wbstore_sync(w, NULL));
    assert_int_equal(test_len(r->buf_mem), 0);
    test_ok(wbstore_get(w, NULL, blob_address_key(&a), &b));
    assert_int_equal(b->size, size);
    assert_true(memcmp(b->data, bytes, size) == 0);
    blob_unref(b);
    wbstore_free(w);
    test_ok(blob_store_close(base, NULL));
    free(bytes);
}

/* ---- what a pass costs --------------------------------------------------------------------------------------- */

static void the_buffer_is_listed_once_however_much_goes_through(void **state)
{
    wbrig *r = *state;

    for (unsigned n = 0; n < 50; n++) {
        char text[] = {'r', (char)('0' + n / 10), (char)('0' + n % 10), '\0'};
        wbrig_buffer(r, text);
    }
    wbrig_start(r);
    for (unsigned n = 0; n < 500; n++)
        wbrig_put_number(r, n);
    test_ok(wbstore_sync(r->w, NULL));
    for (unsigned n = 500; n < 520; n++) {
        wbrig_put_number(r, n);
        test_ok(wbstore_sync(r->w, NULL));
    }
    assert_int_equal(test_len(r->base_mem), 570);
    assert_int_equal(blob_faultstore_count(r->buf, BLOB_FAULT_LIST).calls, 1);
    assert_int_equal(blob_faultstore_count(r->buf, BLOB_FAULT_GET).calls, 570);  /* each blob read once, */
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls, 570); /* sent once */
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_LIST).calls, 0);
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_SIZE).calls, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, wbrig_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_failed_write_does_not_end_the_writer),
        TEST(any_status_of_a_failed_write_is_survived),
        TEST(a_base_that_keeps_failing_and_recovers_gets_everything),
        TEST(a_base_that_keeps_failing_is_not_asked_in_a_hot_loop),
        TEST(a_put_that_hangs_is_given_up_after_the_attempt_timeout_and_tried_again),
        TEST(an_upload_that_hangs_holds_up_no_later_one),
        TEST(as_many_uploads_are_under_way_as_writers_are_allowed_however_slowly_puts_come),
        TEST(an_outage_of_the_base_is_never_not_found),
        TEST(a_buffer_that_fails_is_never_not_found_but_a_base_that_has_the_blob_answers_for_it),
        TEST(what_is_buffered_is_readable_during_an_outage),
        TEST(a_corrupt_buffered_blob_is_parked_and_never_published),
        TEST(bytes_that_the_buffer_reads_back_wrong_are_never_published),
        TEST(keys_of_any_length_in_a_resumed_buffer_drain),
        TEST(a_blob_of_no_bytes_is_a_blob),
        TEST(a_blob_of_100_mib_goes_through),
        TEST(the_buffer_is_listed_once_however_much_goes_through),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
