/* test_wbstore_args.c - arguments that are missing or impossible get a clear refusal, with the outs cleared and nothing
 * changed; and what each function does once the wrapper is closed. */
#include "wbrig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char some_bytes[BLOB_KEY_MAX + 1] = "bytes";
static const blob_key good_key = {"key", 3};
static const blob_key bad_keys[] = {
    {some_bytes, BLOB_KEY_MAX + 1}, {some_bytes, SIZE_MAX}, {NULL, 1}, {NULL, BLOB_KEY_MAX}, {NULL, SIZE_MAX}};
#define BAD_KEYS (sizeof bad_keys / sizeof *bad_keys)

static int list_counts(void *arg, blob_key key, uint64_t size)
{
    (void)key;
    (void)size;
    ++*(unsigned *)arg;
    return 0;
}

static int pending_counts(void *arg, const wbstore_pending_info *info)
{
    (void)info;
    ++*(unsigned *)arg;
    return 0;
}

/* A refusal with words of its own. */
#define refused(call)                                                                                                  \
    do {                                                                                                               \
        blob_fail(-EPERM, 0, "the words of an earlier call");                                                          \
        test_status((call), -EINVAL);                                                                                  \
        expect_words();                                                                                                \
    } while (0)

static void expect_words(void)
{
    blob_error error;

    blob_last_error(&error);
    assert_int_equal(error.status, -EINVAL);
    assert_true(error.text[0] != '\0');
}

/* ---- no wrapper ---------------------------------------------------------------------------------------------- */

static void without_a_wrapper_every_function_refuses_and_clears_its_outs(void **state)
{
    wbstore_stats stats;
    blob_address address = {.size = 77};
    uint64_t number = 77;
    unsigned calls = 0;
    blob *b = (blob *)&number;

    (void)state;
    refused(wbstore_cas_put(NULL, NULL, "x", 1, &address));
    assert_int_equal(address.size, 0);
    address.size = 77;
    refused(wbstore_cas_put_ticket(NULL, NULL, "x", 1, &address, &number));
    assert_int_equal(address.size, 0);
    assert_int_equal(number, 0);
    refused(wbstore_cas_put_ticket(NULL, NULL, "x", 1, NULL, NULL));
    refused(wbstore_get(NULL, NULL, good_key, &b));
    assert_null(b);
    number = 77;
    refused(wbstore_size(NULL, NULL, good_key, &number));
    assert_int_equal(number, 0);
    refused(wbstore_put(NULL, NULL, good_key, blob_view_of("x", 1), 0));
    refused(wbstore_delete(NULL, NULL, good_key));
    refused(wbstore_list(NULL, NULL, good_key, list_counts, &calls));
    number = 77;
    refused(wbstore_len(NULL, NULL, &number));
    assert_int_equal(number, 0);
    refused(wbstore_sync(NULL, NULL));
    refused(wbstore_wait(NULL, NULL, 0));
    refused(wbstore_wait(NULL, NULL, 1));
    refused(wbstore_wait_keys(NULL, NULL, &good_key, 1));
    refused(wbstore_close(NULL, NULL));
    refused(wbstore_rescan(NULL, NULL));
    refused(wbstore_retry_parked(NULL));
    refused(wbstore_pending(NULL, pending_counts, &calls));
    assert_int_equal(wbstore_safe_ticket(NULL), 0);
    assert_null(wbstore_buffer(NULL));
    assert_null(wbstore_as_store(NULL));
    memset(&stats, 0xff, sizeof stats);
    stats.struct_size = sizeof stats;
    wbstore_get_stats(NULL, &stats);
    assert_int_equal(stats.accepted, 0);
    assert_int_equal(stats.oldest_age_ms, 0);
    assert_int_equal(stats.last_text[sizeof stats.last_text - 1], 0);
    wbstore_free(NULL);
    assert_int_equal(calls, 0);
}

/* ---- outs, keys, bytes --------------------------------------------------------------------------------------- */

static void an_out_that_is_missing_is_refused(void **state)
{
    wbrig *r = *state;
    unsigned calls = 0;

    wbrig_start(r);
    refused(wbstore_get(r->w, NULL, good_key, NULL));
    refused(wbstore_size(r->w, NULL, good_key, NULL));
    refused(wbstore_len(r->w, NULL, NULL));
    refused(wbstore_list(r->w, NULL, good_key, NULL, &calls));
    refused(wbstore_pending(r->w, NULL, &calls));
    wbstore_get_stats(r->w, NULL);
}

static void keys_that_cannot_be_are_refused(void **state)
{
    wbrig *r = *state;
    unsigned calls = 0;

    for (int unified = 0; unified < 2; unified++) {
        r->options.unified_view = (unsigned)unified;
        wbrig_start(r);
        for (size_t i = 0; i < BAD_KEYS; i++) {
            blob_key two[2] = {good_key, bad_keys[i]};
            uint64_t number = 77;
            blob *b = (blob *)&number;
            refused(wbstore_get(r->w, NULL, bad_keys[i], &b));
            assert_null(b);
            refused(wbstore_size(r->w, NULL, bad_keys[i], &number));
            assert_int_equal(number, 0);
            refused(wbstore_put(r->w, NULL, bad_keys[i], blob_view_of("x", 1), 0));
            refused(wbstore_put(r->w, NULL, bad_keys[i], blob_view_of("x", 1), BLOB_REPLACE));
            refused(wbstore_delete(r->w, NULL, bad_keys[i]));
            refused(wbstore_list(r->w, NULL, bad_keys[i], list_counts, &calls));
            refused(wbstore_wait_keys(r->w, NULL, two, 2));
        }
        wbrig_stop(r);
    }
    assert_int_equal(calls, 0);
    assert_int_equal(test_len(r->base_mem) + test_len(r->buf_mem), 0);
}

static void bytes_that_are_missing_are_refused(void **state)
{
    wbrig *r = *state;
    blob_address address = {.size = 77};
    uint64_t ticket = 77;

    wbrig_start(r);
    refused(wbstore_cas_put_ticket(r->w, NULL, NULL, 1, &address, &ticket));
    assert_int_equal(address.size, 0);
    assert_int_equal(ticket, 0);
    refused(wbstore_cas_put(r->w, NULL, NULL, SIZE_MAX, &address));
    refused(wbstore_put(r->w, NULL, good_key, blob_view_of(NULL, 1), 0));
    refused(wbstore_put(r->w, NULL, good_key, blob_view_of(NULL, 1), BLOB_REPLACE));
    refused(wbstore_wait_keys(r->w, NULL, NULL, 1));
    refused(wbstore_wait_keys(r->w, NULL, NULL, SIZE_MAX));
    assert_int_equal(test_len(r->base_mem) + test_len(r->buf_mem), 0);
    assert_int_equal(wbrig_stats(r).accepted, 0);
}

static void flags_that_are_not_known_are_refused(void **state)
{
    static const unsigned flags[] = {BLOB_LAZY, BLOB_REPLACE | BLOB_LAZY, 4, 0x80000000u, ~0u};
    wbrig *r = *state;
    blob_store *s;

    wbrig_start(r);
    s = wbstore_as_store(r->w);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        refused(wbstore_put(r->w, NULL, good_key, blob_view_of("x", 1), flags[i]));
        refused(blob_store_put(s, NULL, good_key, blob_view_of("x", 1), flags[i]));
        if (flags[i] != BLOB_LAZY)
            refused(blob_store_delete(s, NULL, good_key, flags[i]));
    }
    assert_int_equal(test_len(r->base_mem), 0);
    test_put(r->base_mem, good_key, "x");
    test_ok(blob_store_delete(s, NULL, good_key, BLOB_LAZY));
}

static void refused_calls_leave_what_is_pending_alone(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    blob_address a;

    wbrig_start(r);
    a = wbrig_put(r, "pending");
    blob_faultstore_wait_held(gate, 1);
    refused(wbstore_delete(r->w, NULL, blob_key_of(NULL, a.size)));
    refused(wbstore_put(r->w, NULL, blob_address_key(&a), blob_view_of(NULL, 1), BLOB_REPLACE));
    refused(wbstore_cas_put(r->w, NULL, NULL, 7, NULL));
    assert_int_equal(blob_faultstore_held(gate), 1); /* nor is its upload called off */
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls, 1);
    test_expect(r->base_mem, blob_address_key(&a), "pending");
}

/* ---- contexts that have ended -------------------------------------------------------------------------------- */

static void with_a_context_that_has_ended_nothing_begins(void **state)
{
    wbrig *r = *state;
    uint64_t number = 77, ticket = 77;
    unsigned calls = 0;
    blob *b = (blob *)&number;
    blob_address address;
    blob_ctx *ended;

    test_put(r->base_mem, good_key, "x");
    test_ok(blob_ctx_new_timeout(&ended, NULL, 0));
    wbrig_start(r);
    test_ok(wbstore_sync(r->w, NULL));
    test_status(wbstore_cas_put_ticket(r->w, ended, "x", 1, &address, &ticket), -ETIMEDOUT);
    assert_int_equal(address.size, 32);
    assert_int_equal(ticket, 0);
    test_status(wbstore_get(r->w, ended, good_key, &b), -ETIMEDOUT);
    assert_null(b);
    test_status(wbstore_size(r->w, ended, good_key, &number), -ETIMEDOUT);
    assert_int_equal(number, 0);
    test_status(wbstore_put(r->w, ended, test_key("k"), blob_view_of("x", 1), 0), -ETIMEDOUT);
    test_status(wbstore_put(r->w, ended, good_key, blob_view_of("y", 1), BLOB_REPLACE), -ETIMEDOUT);
    test_status(wbstore_delete(r->w, ended, good_key), -ETIMEDOUT);
    test_status(wbstore_list(r->w, ended, good_key, list_counts, &calls), -ETIMEDOUT);
    test_status(wbstore_len(r->w, ended, &number), -ETIMEDOUT);
    test_status(wbstore_rescan(r->w, ended), -ETIMEDOUT);
    assert_int_equal(calls, 0);
    assert_int_equal(test_len(r->buf_mem), 0);
    test_expect(r->base_mem, good_key, "x");
    blob_ctx_free(ended);
}

/* It would be answered without asking the buffer, which would have refused to begin. */
static void with_a_context_that_has_ended_a_duplicate_is_none(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    uint64_t ticket = 77;
    blob_ctx *ended;

    test_ok(blob_ctx_new_timeout(&ended, NULL, 0));
    wbrig_start(r);
    wbrig_put(r, "x");
    test_status(wbstore_cas_put_ticket(r->w, ended, "x", 1, NULL, &ticket), -ETIMEDOUT);
    assert_int_equal(ticket, 0);
    assert_int_equal(wbrig_stats(r).deduplicated, 0);
    blob_faultstore_lift(gate);
    blob_ctx_free(ended);
}

/* ---- statistics of any age ----------------------------------------------------------------------------------- */

static void stats_fill_as_much_as_there_is_room_for(void **state)
{
    struct {
        wbstore_stats known;
        unsigned char unknown[24];
    } longer;
    wbrig *r = *state;
    wbstore_stats s;

    wbrig_start(r);
    wbrig_put(r, "x");
    test_ok(wbstore_sync(r->w, NULL));
    memset(&s, 0x7f, sizeof s);
    s.struct_size = offsetof(wbstore_stats, resumed);
    wbstore_get_stats(r->w, &s);
    assert_int_equal(s.struct_size, offsetof(wbstore_stats, resumed));
    assert_int_equal(s.accepted, 1);
    assert_int_equal(s.resumed, UINT64_C(0x7f7f7f7f7f7f7f7f));
    memset(&longer, 0x7f, sizeof longer);
    longer.known.struct_size = sizeof longer;
    wbstore_get_stats(r->w, &longer.known);
    assert_int_equal(longer.known.sent, 1);
    for (size_t i = 0; i < sizeof longer.unknown; i++)
        assert_int_equal(longer.unknown[i], 0);
    memset(&s, 0x7f, sizeof s);
    s.struct_size = 0;
    wbstore_get_stats(r->w, &s);
    assert_int_equal(s.accepted, UINT64_C(0x7f7f7f7f7f7f7f7f));
}

/* ---- closed -------------------------------------------------------------------------------------------------- */

static void everything_is_closed_after_close_however_often_it_is_asked(void **state)
{
    wbrig *r = *state;

    for (int unified = 0; unified < 2; unified++) {
        r->options.unified_view = (unsigned)unified;
        wbrig_start(r);
        wbrig_put(r, "x");
        test_ok(blob_store_close(wbstore_as_store(r->w), NULL)); /* is wbstore_close */
        wbrig_expect_closed(r->w);
        wbrig_expect_closed(r->w);
        wbrig_stop(r);
    }
}

static void close_loses_nothing_that_a_put_had_taken(void **state)
{
    wbrig *r = *state;

    blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    wbrig_start(r);
    for (unsigned n = 0; n < 100; n++)
        wbrig_put_number(r, n);
    test_ok(wbstore_close(r->w, NULL));
    wbrig_expect_closed(r->w);
    wbrig_stop(r);
    assert_int_equal(test_len(r->buf_mem), 100);
    blob_faultstore_clear(r->base);
    wbrig_start(r);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(test_len(r->base_mem), 100);
}

static void arguments_are_checked_also_when_closed(void **state)
{
    wbrig *r = *state;
    blob_address address = {.size = 77};

    wbrig_start(r);
    test_ok(wbstore_close(r->w, NULL));
    refused(wbstore_get(r->w, NULL, good_key, NULL));
    refused(wbstore_cas_put(r->w, NULL, NULL, 1, &address));
    assert_int_equal(address.size, 0);
    refused(wbstore_pending(r->w, NULL, NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, wbrig_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_wrapper_every_function_refuses_and_clears_its_outs),
        TEST(an_out_that_is_missing_is_refused),
        TEST(keys_that_cannot_be_are_refused),
        TEST(bytes_that_are_missing_are_refused),
        TEST(flags_that_are_not_known_are_refused),
        TEST(refused_calls_leave_what_is_pending_alone),
        TEST(with_a_context_that_has_ended_nothing_begins),
        TEST(with_a_context_that_has_ended_a_duplicate_is_none),
        TEST(stats_fill_as_much_as_there_is_room_for),
        TEST(everything_is_closed_after_close_however_often_it_is_asked),
        TEST(close_loses_nothing_that_a_put_had_taken),
        TEST(arguments_are_checked_also_when_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
