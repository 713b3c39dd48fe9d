/* test_wbstore_retry.c - what the status of an upload leads to, row by row as the design has it; faults of the buffer on
 * the way, which are not the base's; and how long the wrapper waits before it tries again. */
#include "wbinside.h"

#include "blob/ctx.h"
#include "wbstore/health.h"

#include <errno.h>
#include <string.h>

static test_clock the_clock;

/* Not of an address's length: nothing can be verified. */
#define PLAIN "a key of another kind"

/* ---- the base says yes -------------------------------------------------------------------------------------------------- */

static void a_blob_that_the_base_has_already_is_done(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");

    test_put(r->base_mem, blob_address_key(&a), "text");
    wbrig_start(r);
    wbrig_put(r, "text");
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(inside_ended(r->base, BLOB_FAULT_PUT, &a, BLOB_EXISTS), 1);
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls, 1); /* nothing is written over */
    assert_int_equal(inside_stats(r).sent, 1);
    assert_false(wbrig_in_buffer(r, &a));
}

/* What the base holds cannot be right; what we hold has just been verified. */
static void other_bytes_under_a_verified_address_are_replaced(void **state)
{
    wbrig *r;
    blob_address a = wbrig_address("text");

    for (unsigned no_verify = 0; no_verify < 2; no_verify++) {
        if (no_verify > 0)
            inside_set_up(state);
        r = *state;
        r->options.no_verify = no_verify; /* then it is looked at when it matters */
        test_put(r->base_mem, blob_address_key(&a), "torn when it was written");
        wbrig_start(r);
        wbrig_put(r, "text");
        test_ok(wbstore_sync(r->w, NULL));
        test_expect(r->base_mem, blob_address_key(&a), "text");
        assert_int_equal(inside_stats(r).sent, 1);
        if (no_verify == 0)
            wbrig_tear_down(state);
    }
}

static void other_bytes_under_another_key_are_left_alone_and_ours_are_parked(void **state)
{
    wbrig *r = *state;
    inside_info info;

    test_put(r->base_mem, test_key(PLAIN), "the base's");
    test_put(r->buf_mem, test_key(PLAIN), "the buffer's own");
    wbrig_start(r);
    test_status(wbstore_sync(r->w, NULL), BLOB_CORRUPT);
    test_expect(r->base_mem, test_key(PLAIN), "the base's");
    test_expect(r->buf_mem, test_key(PLAIN), "the buffer's own");
    assert_true(inside_pending(r->w, test_key(PLAIN), &info));
    assert_int_equal(info.state, WBSTORE_PARKED);
    assert_int_equal(info.status, BLOB_CORRUPT);
    assert_non_null(strstr(info.text, "delete")); /* what to do about it */
}

static void equal_sizes_under_another_key_count_as_done(void **state)
{
    wbrig *r = *state;

    test_put(r->base_mem, test_key(PLAIN), "same");
    test_put(r->buf_mem, test_key(PLAIN), "same");
    wbrig_start(r);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(inside_stats(r).sent, 1);
}

static void what_cannot_be_compared_now_is_tried_again(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_key key = blob_address_key(&a);

    test_put(r->base_mem, key, "longer than it should be");
    blob_faultstore_fail(r->base, BLOB_FAULT_SIZE, BLOB_UNAVAILABLE, 1);
    blob_faultstore_add(
        r->base, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .status = BLOB_UNAVAILABLE, .skip = 2, .count = 1});
    wbrig_start(r);
    wbrig_put(r, "text");
    test_ok(wbstore_sync(r->w, NULL)); /* exists, no size; exists, size, no replace; exists, size, replace */
    test_expect(r->base_mem, key, "text");
    assert_int_equal(inside_stats(r).retries, 2);
}

/* Two answers that contradict each other: "not found" alone would puzzle whoever reads it. */
static void a_base_that_contradicts_itself_is_asked_again_and_told_of_in_words(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    wbstore_stats stats;

    blob_faultstore_fail(r->base, BLOB_FAULT_PUT, BLOB_EXISTS, 1);
    wbrig_start(r);
    wbrig_put(r, "text");
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(&a), "text");
    stats = inside_stats(r);
    assert_int_equal(stats.retries, 1);
    assert_int_equal(stats.last_status, BLOB_NOT_FOUND);
    assert_string_equal(stats.last_text, "the base said that it has the blob, then that it has not");
}

static void a_base_that_checks_keys_is_trusted_to(void **state)
{
    wbrig *r;
    uint64_t asked;

    for (unsigned i = 0; i < 3; i++) {
        if (i > 0)
            inside_set_up(state);
        r = *state;
        if (i == 1)
            blob_faultstore_set_traits(r->base, BLOB_TRAIT_CHECKS_KEYS);
        r->options.no_verify = i == 2;
        wbrig_start(r);
        asked = blob_faultstore_count(r->base, BLOB_FAULT_CAS_KEY).calls;
        wbrig_put(r, "text");
        test_ok(wbstore_sync(r->w, NULL));
        /* once for the put, and once more before it is sent where nobody else will look */
        assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_CAS_KEY).calls - asked, i == 0 ? 2 : 1);
        if (i < 2)
            wbrig_tear_down(state);
    }
}

/* ---- the base says no, or nothing ---------------------------------------------------------------------------------------- */

/* A success between two failures, so that the base as a whole does not look down. */
static void let_one_through(wbrig *r)
{
    static unsigned n;
    blob_address a = wbrig_put_number(r, n++);
    blob_key key = blob_address_key(&a);

    test_ok(wbstore_wait_keys(r->w, NULL, &key, 1));
}

static void every_other_failure_leaves_the_blob_waiting(void **state)
{
    static const int failures[] = {BLOB_UNAVAILABLE, -ETIMEDOUT,       BLOB_DENIED, -ENOSPC,        -EIO,
                                   BLOB_FULL,        BLOB_UNSUPPORTED, -EINVAL,     BLOB_NOT_FOUND, -ENOMEM,
                                   -ECANCELED,       BLOB_CLOSED,      -EDEADLK,    -12345678};
    wbrig *r = *state;

    wbrig_start(r);
    for (unsigned i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        blob_address a = wbrig_address("text");
        blob_faultstore_rule *rule = inside_fail_for_long(r->base, BLOB_FAULT_PUT, &a, failures[i]);
        inside_info info;
        wbstore_stats stats;

        wbrig_put(r, "text");
        inside_until_state(r->w, blob_address_key(&a), WBSTORE_WAITING);
        assert_true(inside_pending(r->w, blob_address_key(&a), &info));
        assert_int_equal(info.state, WBSTORE_WAITING);
        assert_int_equal(info.status, failures[i]);
        assert_string_equal(info.text, "later");
        assert_int_equal(info.attempts, 1);
        stats = inside_stats(r);
        assert_int_equal(stats.last_status, failures[i]);
        assert_string_equal(stats.last_text, "later");
        test_expect(wbstore_as_store(r->w), blob_address_key(&a), "text");
        blob_faultstore_lift(rule);
        test_ok(wbstore_delete(r->w, NULL, blob_address_key(&a)));
        let_one_through(r);
    }
}

static void what_waits_is_sent_again_until_it_arrives(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    wbstore_stats stats;

    blob_faultstore_fail(r->base, BLOB_FAULT_PUT, -EIO, 4);
    wbrig_start(r);
    wbrig_put(r, "text");
    test_ok(wbstore_sync(r->w, NULL));
    stats = inside_stats(r);
    assert_int_equal(stats.retries, 4);
    assert_int_equal(stats.sent, 1);
    assert_int_equal(blob_faultstore_count_key(r->base, BLOB_FAULT_PUT, blob_address_key(&a)), 5);
}

/* On a clock of its own: however slow the machine is, the second attempt has its time. */
static void an_attempt_that_hangs_ends_with_its_time_limit(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *hang = blob_faultstore_add(
        r->base, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_HOLD, .count = 1});

    inside_go_by(r, &the_clock);
    r->options.attempt_timeout_ms = 20;
    wbrig_start(r);
    wbrig_put(r, "text");
    blob_faultstore_wait_held(hang, 1);
    test_clock_move(&the_clock, 20);
    inside_until_state(r->w, blob_address_key(&a), WBSTORE_WAITING);
    test_clock_move(&the_clock, r->options.retry_max_ms);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(inside_ended(r->base, BLOB_FAULT_PUT, &a, -ETIMEDOUT), 1);
    assert_int_equal(inside_stats(r).last_status, -ETIMEDOUT);
    assert_true(wbrig_in_base(r, &a));
}

static void attempts_are_counted_but_not_those_that_we_called_off(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *gate;
    wbrig_call deletion;
    inside_info info;

    blob_faultstore_fail(r->base, BLOB_FAULT_PUT, -EIO, 3);
    gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    blob_faultstore_fail(r->base, BLOB_FAULT_DELETE, BLOB_DENIED, 1);
    wbrig_start(r);
    wbrig_put(r, "text");
    blob_faultstore_wait_held(gate, 1);
    assert_true(inside_pending(r->w, blob_address_key(&a), &info));
    assert_int_equal(info.state, WBSTORE_SENDING);
    assert_int_equal(info.attempts, 4);
    inside_delete(&deletion, r, NULL, &a);
    test_status(wbrig_end(&deletion), BLOB_DENIED);
    blob_faultstore_wait_hits(gate, 2);
    assert_true(inside_pending(r->w, blob_address_key(&a), &info));
    assert_int_equal(info.attempts, 4);
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
}

/* ---- the buffer fails ----------------------------------------------------------------------------------------------------- */

static void a_buffer_that_cannot_be_read_is_asked_again_and_is_not_the_bases_fault(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");

    blob_faultstore_fail(r->buf, BLOB_FAULT_GET, -EIO, 12); /* twice as many as would take the base for down */
    wbrig_start(r);
    wbrig_put(r, "text");
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(inside_turns(r->w), 0);
    assert_int_equal(inside_stats(r).last_status, -EIO);
    assert_int_equal(inside_stats(r).retries, 12);
    assert_int_equal(blob_faultstore_count_key(r->base, BLOB_FAULT_PUT, blob_address_key(&a)), 1);
}

static void what_somebody_else_took_out_of_the_buffer_is_no_longer_pending(void **state)
{
    wbrig *r = *state;
    blob_address a;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->buf, BLOB_FAULT_GET, NULL, BLOB_FAULT_BEFORE);

    wbrig_start(r);
    a = wbrig_put(r, "text");
    blob_faultstore_wait_held(gate, 1);
    test_ok(blob_store_delete(r->buf_mem, NULL, blob_address_key(&a), 0));
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(inside_stats(r).deleted, 1);
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls, 0);
}

static void a_buffer_that_does_not_let_go_is_asked_again_after_the_upload(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");

    blob_faultstore_fail(r->buf, BLOB_FAULT_DELETE, -EIO, 7);
    wbrig_start(r);
    wbrig_put(r, "text");
    test_ok(wbstore_sync(r->w, NULL));
    assert_false(wbrig_in_buffer(r, &a));
    assert_true(wbrig_in_base(r, &a));
    assert_int_equal(inside_stats(r).sent, 1);
    assert_int_equal(inside_turns(r->w), 0);
    assert_int_equal(inside_ended(r->base, BLOB_FAULT_PUT, &a, 0), 1);
}

static void a_removal_whose_answer_is_lost_settles_the_blob_all_the_same(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");

    blob_faultstore_add(r->buf, &(blob_faultstore_fault){
                                    .ops = BLOB_FAULT_DELETE, .when = BLOB_FAULT_AFTER, .status = -EIO, .count = 1});
    wbrig_start(r);
    wbrig_put(r, "text");
    test_ok(wbstore_sync(r->w, NULL));
    assert_true(wbrig_in_base(r, &a));
    assert_int_equal(inside_stats(r).pending_blobs, 0);
    assert_int_equal(inside_stats(r).sent, 1); /* it was we who took it out */
    assert_int_equal(inside_stats(r).deleted, 0);
}

/* Was it stored or not? The writer finds out. */
static void a_put_that_failed_without_a_clear_refusal_stays_pending_until_it_is_known(void **state)
{
    static const int vague[] = {-EIO, -ETIMEDOUT, -ECANCELED, BLOB_UNAVAILABLE, BLOB_CLOSED};
    static const blob_faultstore_when whens[] = {BLOB_FAULT_BEFORE, BLOB_FAULT_AFTER};

    for (unsigned i = 0; i < 2 * sizeof vague / sizeof vague[0]; i++) {
        bool stored = whens[i % 2] == BLOB_FAULT_AFTER;
        blob_address a = wbrig_address("text"), got;
        blob_faultstore_rule *gate;
        uint64_t ticket = 7;
        wbrig *r;

        if (i > 0)
            inside_set_up(state);
        r = *state;
        gate = blob_faultstore_hold(r->buf, BLOB_FAULT_GET, NULL, BLOB_FAULT_BEFORE);
        blob_faultstore_add(
            r->buf,
            &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .when = whens[i % 2], .status = vague[i / 2], .count = 1});
        wbrig_start(r);
        test_status(wbstore_cas_put_ticket(r->w, NULL, "text", 4, &got, &ticket), vague[i / 2]);
        assert_int_equal(blob_key_compare(blob_address_key(&got), blob_address_key(&a)), 0);
        assert_int_equal(ticket, 0);
        assert_int_equal(inside_stats(r).pending_blobs, 1);
        blob_faultstore_lift(gate);
        test_ok(wbstore_sync(r->w, NULL));
        assert_int_equal(wbrig_in_base(r, &a), stored);
        assert_int_equal(inside_stats(r).sent, stored ? 1 : 0);
        assert_int_equal(inside_stats(r).deleted, stored ? 0 : 1);
        if (i + 1 < 2 * sizeof vague / sizeof vague[0])
            wbrig_tear_down(state);
    }
}

/* Nobody may rely on bytes that may not be there. */
static void a_put_after_one_that_failed_vaguely_writes_its_bytes_again(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *gate = blob_faultstore_hold(r->buf, BLOB_FAULT_GET, NULL, BLOB_FAULT_BEFORE);

    blob_faultstore_fail(r->buf, BLOB_FAULT_PUT, -EIO, 1);
    wbrig_start(r);
    test_status(wbstore_cas_put(r->w, NULL, "text", 4, NULL), -EIO);
    blob_faultstore_wait_held(gate, 1); /* its upload has begun and will find what is there */
    assert_int_equal(wbrig_put_ticket(r, "text"), 2);
    assert_true(wbrig_in_buffer(r, &a));
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    assert_true(wbrig_in_base(r, &a));
}

static void a_put_that_was_refused_is_not_pending(void **state)
{
    static const int refusals[] = {BLOB_REJECTED, BLOB_DENIED, -EINVAL, -ENOMEM};
    wbrig *r = *state;
    blob_address a = wbrig_address("text");

    wbrig_start(r);
    for (unsigned i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        blob_faultstore_fail(r->buf, BLOB_FAULT_PUT, refusals[i], 1);
        test_status(wbstore_cas_put(r->w, NULL, "text", 4, NULL), refusals[i]);
        assert_int_equal(inside_state(r->w, blob_address_key(&a)), 0);
    }
    assert_int_equal(inside_stats(r).accepted, 0);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls, 0);
}

/* ---- how long to wait ----------------------------------------------------------------------------------------------------- */

#define SAMPLES 2000

static int64_t draw(wbstore *w, unsigned number, int64_t retry_after_ms)
{
    int64_t due_ns;

    pthread_mutex_lock(&w->lock);
    due_ns = wb_backoff_due_ns(w, number, retry_after_ms);
    pthread_mutex_unlock(&w->lock);
    return due_ns;
}

static void seed(wbstore *w)
{
    pthread_mutex_lock(&w->lock);
    w->random = 4711; /* the same draws each time */
    pthread_mutex_unlock(&w->lock);
}

/* Draws many times; all lie within the cap, and spread over all of it. */
static void expect_full_jitter(wbstore *w, unsigned number, int64_t cap_ms)
{
    int64_t sum_ns = 0;
    unsigned quarters[4] = {0};

    for (unsigned i = 0; i < SAMPLES; i++) {
        int64_t before_ns = wb_now_ns(), due_ns = draw(w, number, 0), after_ns = wb_now_ns();
        assert_true(due_ns >= before_ns);
        assert_true(due_ns <= after_ns + cap_ms * 1000000);
        sum_ns += due_ns - before_ns;
        if ((due_ns - before_ns) / (cap_ms * 1000000 / 4 + 1) < 4)
            quarters[(due_ns - before_ns) / (cap_ms * 1000000 / 4 + 1)]++;
    }
    for (unsigned i = 0; i < 4; i++)
        assert_in_range(quarters[i], SAMPLES / 6, SAMPLES / 3);
    assert_in_range(sum_ns / SAMPLES / 10000, cap_ms * 45, cap_ms * 55);
}

static void backoff_doubles_up_to_its_bound_with_full_jitter(void **state)
{
    static const int64_t caps_ms[] = {1000, 2000, 4000, 8000, 16000, 20000, 20000};
    wbrig *r = *state;

    r->options.retry_min_ms = 1000;
    r->options.retry_max_ms = 20000;
    wbrig_start(r);
    seed(r->w);
    for (unsigned i = 0; i < sizeof caps_ms / sizeof caps_ms[0]; i++)
        expect_full_jitter(r->w, i + 1, caps_ms[i]);
    expect_full_jitter(r->w, 1000000, 20000);
}

static void backoff_heeds_what_the_far_side_asks_for_even_beyond_its_bound(void **state)
{
    wbrig *r = *state;
    int64_t now_ns;

    r->options.retry_min_ms = 10;
    r->options.retry_max_ms = 100;
    wbrig_start(r);
    for (unsigned i = 0; i < SAMPLES; i++) {
        now_ns = wb_now_ns();
        assert_true(draw(r->w, 9, 7) >= now_ns + 7 * INT64_C(1000000));
        assert_true(draw(r->w, 9, 5000) >= now_ns + 5000 * INT64_C(1000000));
    }
    assert_int_equal(draw(r->w, 1, INT64_MAX), WB_NEVER);
}

static void backoff_of_ages_does_not_wrap_into_the_past(void **state)
{
    static const int64_t ages_ms[] = {INT64_MAX, INT64_MAX / 2, INT64_MAX / 1000000, INT64_MAX / 1000000 + 1};

    for (unsigned i = 0; i < sizeof ages_ms / sizeof ages_ms[0]; i++) {
        wbrig *r;

        if (i > 0)
            inside_set_up(state);
        r = *state;
        r->options.retry_min_ms = ages_ms[i] / (i + 1);
        r->options.retry_max_ms = ages_ms[i];
        wbrig_start(r);
        seed(r->w);
        for (unsigned number = 1; number < SAMPLES; number++) {
            int64_t now_ns = wb_now_ns();
            assert_true(draw(r->w, number, 0) > now_ns + 1000000000); /* the chance is 1 in 10^10 */
        }
        if (i + 1 < sizeof ages_ms / sizeof ages_ms[0])
            wbrig_tear_down(state);
    }
}

static void a_waiting_blob_is_due_when_the_base_wants_it(void **state)
{
    wbrig *r = *state;
    int64_t before_ns = wb_now_ns(), due_ns;

    wbrig_start(r);
    inside_stage(r, "text", WBSTORE_WAITING);
    pthread_mutex_lock(&r->w->lock);
    due_ns = wb_ledger_due_ns(&r->w->ledger);
    pthread_mutex_unlock(&r->w->lock);
    assert_in_range(due_ns, before_ns + INT64_C(3600000000000), wb_now_ns() + INT64_C(3600000000000));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inside_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_blob_that_the_base_has_already_is_done),
        TEST(other_bytes_under_a_verified_address_are_replaced),
        TEST(other_bytes_under_another_key_are_left_alone_and_ours_are_parked),
        TEST(equal_sizes_under_another_key_count_as_done),
        TEST(what_cannot_be_compared_now_is_tried_again),
        TEST(a_base_that_contradicts_itself_is_asked_again_and_told_of_in_words),
        TEST(a_base_that_checks_keys_is_trusted_to),
        TEST(every_other_failure_leaves_the_blob_waiting),
        TEST(what_waits_is_sent_again_until_it_arrives),
        TEST(an_attempt_that_hangs_ends_with_its_time_limit),
        TEST(attempts_are_counted_but_not_those_that_we_called_off),
        TEST(a_buffer_that_cannot_be_read_is_asked_again_and_is_not_the_bases_fault),
        TEST(what_somebody_else_took_out_of_the_buffer_is_no_longer_pending),
        TEST(a_buffer_that_does_not_let_go_is_asked_again_after_the_upload),
        TEST(a_removal_whose_answer_is_lost_settles_the_blob_all_the_same),
        TEST(a_put_that_failed_without_a_clear_refusal_stays_pending_until_it_is_known),
        TEST(a_put_after_one_that_failed_vaguely_writes_its_bytes_again),
        TEST(a_put_that_was_refused_is_not_pending),
        TEST(backoff_doubles_up_to_its_bound_with_full_jitter),
        TEST(backoff_heeds_what_the_far_side_asks_for_even_beyond_its_bound),
        TEST(backoff_of_ages_does_not_wrap_into_the_past),
        TEST(a_waiting_blob_is_due_when_the_base_wants_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
