/* test_faultstore.c - the fault store does what its rules say, no more and no less, and tells of it truly. */
#include "testfault.h"
#include "flawstore.h"
#include "testutil.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- what every test begins with: a fault store over a plain one --------------------------------------------- */

typedef struct bench {
    blob_store *inner;
    blob_faultstore *fault;
    blob_store *store; /* of fault */
    blob_ctx *ctx;     /* for the calls that a test ends early */
} bench;

static int set_up(void **state)
{
    bench *b = calloc(1, sizeof *b);

    test_watchdog(120);
    assert_non_null(b);
    test_ok(flawstore_new(&b->inner, FLAW_NONE));
    test_ok(test_faultstore_new(&b->fault, b->inner));
    test_ok(blob_ctx_new(&b->ctx, NULL));
    b->store = blob_faultstore_store(b->fault);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    bench *b = *state;

    blob_ctx_free(b->ctx);
    test_ok(blob_store_close(b->store, NULL));
    test_ok(blob_store_close(b->inner, NULL));
    free(b);
    return 0;
}

static int put(blob_store *s, const char *key, const char *text)
{
    return blob_store_put(s, NULL, test_key(key), blob_view_of(text, strlen(text)), 0);
}

/* ---- answers ------------------------------------------------------------------------------------------------- */

static void without_rules_it_is_the_inner_store(void **state)
{
    bench *b = *state;
    blob_address address, again;
    uint64_t size;

    test_ok(put(b->store, "k", "bytes"));
    test_status(put(b->store, "k", "other"), BLOB_EXISTS);
    test_expect(b->store, test_key("k"), "bytes");
    test_ok(blob_store_size(b->store, NULL, test_key("k"), &size));
    assert_int_equal(size, 5);
    assert_int_equal(test_len(b->store), 1);
    test_ok(blob_store_delete(b->store, NULL, test_key("k"), 0));
    test_expect_missing(b->store, test_key("k"));
    test_ok(blob_store_cas_put(b->store, NULL, blob_view_of("x", 1), &address));
    test_ok(blob_store_cas_key(b->inner, NULL, blob_view_of("x", 1), &again));
    assert_int_equal(blob_key_compare(blob_address_key(&address), blob_address_key(&again)), 0);
    test_expect(b->inner, blob_address_key(&address), "x");
}

static void fails_so_many_calls_then_works(void **state)
{
    bench *b = *state;

    blob_faultstore_fail(b->fault, BLOB_FAULT_PUT, BLOB_UNAVAILABLE, 7);
    for (int i = 0; i < 7; i++)
        test_status(put(b->store, "k", "bytes"), BLOB_UNAVAILABLE);
    test_expect_missing(b->inner, test_key("k"));
    test_ok(put(b->store, "k", "bytes"));
    test_expect(b->inner, test_key("k"), "bytes");
}

static void fails_for_ever_until_lifted_or_cleared(void **state)
{
    bench *b = *state;
    blob_faultstore_rule *rule = blob_faultstore_fail(b->fault, BLOB_FAULT_PUT | BLOB_FAULT_DELETE, -EIO, 0);

    for (int i = 0; i < 20; i++)
        test_status(put(b->store, "k", "bytes"), -EIO);
    test_status(blob_store_delete(b->store, NULL, test_key("k"), 0), -EIO);
    assert_int_equal(blob_faultstore_hits(rule), 21);
    blob_faultstore_lift(rule);
    test_ok(put(b->store, "k", "bytes"));
    blob_faultstore_fail(b->fault, BLOB_FAULT_ANY, -EIO, 0);
    test_status(put(b->store, "l", "bytes"), -EIO);
    blob_faultstore_clear(b->fault);
    test_ok(put(b->store, "l", "bytes"));
}

static void passes_status_text_and_retry_after_to_the_caller(void **state)
{
    bench *b = *state;
    blob_error error;

    blob_faultstore_add(b->fault, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT,
                                                           .status = BLOB_UNAVAILABLE,
                                                           .retry_after_ms = 1500,
                                                           .text = "503 slow down"});
    test_status(put(b->store, "k", "bytes"), BLOB_UNAVAILABLE);
    blob_last_error(&error);
    assert_int_equal(error.status, BLOB_UNAVAILABLE);
    assert_int_equal(error.retry_after_ms, 1500);
    assert_string_equal(error.text, "503 slow down");
}

static int keys_counted(void *arg, blob_key key, uint64_t size)
{
    (void)key;
    (void)size;
    ++*(int *)arg;
    return 0;
}

static int call(blob_store *s, unsigned op)
{
    blob_address address;
    blob *got = NULL;
    uint64_t number;
    int keys = 0, rc = 0;

    switch (op) {
    case BLOB_FAULT_GET:
        rc = blob_store_get(s, NULL, test_key("k"), &got);
        assert_int_equal(got != NULL, rc == 0);
        blob_unref(got);
        return rc;
    case BLOB_FAULT_PUT:
        return blob_store_put(s, NULL, test_key("k"), blob_view_of("b", 1), BLOB_REPLACE);
    case BLOB_FAULT_DELETE:
        return blob_store_delete(s, NULL, test_key("gone"), 0);
    case BLOB_FAULT_SIZE:
        rc = blob_store_size(s, NULL, test_key("k"), &number);
        assert_int_equal(number, rc == 0);
        return rc;
    case BLOB_FAULT_LIST:
        return blob_store_list(s, NULL, test_key(""), keys_counted, &keys);
    case BLOB_FAULT_LEN:
        rc = blob_store_len(s, NULL, &number);
        assert_int_equal(number > 0, rc == 0);
        return rc;
    case BLOB_FAULT_CAS_KEY:
        rc = blob_store_cas_key(s, NULL, blob_view_of("b", 1), &address);
        assert_int_equal(address.size > 0, rc == 0);
        return rc;
    default:
        rc = blob_store_cas_put(s, NULL, blob_view_of("b", 1), &address);
        assert_int_equal(address.size, 8); /* is set however the call ends */
        return rc;
    }
}

static void every_operation_fails_before_and_after_with_empty_outs(void **state)
{
    static const blob_faultstore_when when[] = {BLOB_FAULT_BEFORE, BLOB_FAULT_AFTER};
    bench *b = *state;

    test_ok(put(b->store, "k", "b"));
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned op = BLOB_FAULT_GET; op <= BLOB_FAULT_CAS_PUT; op <<= 1) {
            uint64_t reached = blob_faultstore_count(b->fault, op).reached;
            blob_faultstore_rule *rule = blob_faultstore_add(
                b->fault, &(blob_faultstore_fault){.ops = op, .when = when[i], .status = BLOB_DENIED});
            test_status(call(b->store, op), BLOB_DENIED);
            assert_int_equal(blob_faultstore_count(b->fault, op).reached - reached, when[i] == BLOB_FAULT_AFTER);
            blob_faultstore_lift(rule);
            test_status(call(b->store, op), op == BLOB_FAULT_DELETE ? BLOB_NOT_FOUND : 0);
        }
    }
}

static void after_means_the_effect_is_there_and_the_answer_lost(void **state)
{
    bench *b = *state;

    blob_faultstore_add(
        b->fault,
        &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT | BLOB_FAULT_DELETE, .when = BLOB_FAULT_AFTER, .status = -EIO});
    test_status(put(b->store, "k", "bytes"), -EIO);
    test_expect(b->inner, test_key("k"), "bytes");
    test_status(blob_store_delete(b->store, NULL, test_key("k"), 0), -EIO);
    test_expect_missing(b->inner, test_key("k"));
}

static void skip_every_and_count_choose_the_calls(void **state)
{
    bench *b = *state;
    char seen[13] = "";

    blob_faultstore_add(b->fault, &(blob_faultstore_fault){
                                      .ops = BLOB_FAULT_DELETE, .status = -EIO, .skip = 2, .every = 3, .count = 2});
    for (int i = 0; i < 12; i++)
        seen[i] = blob_store_delete(b->store, NULL, test_key("k"), 0) == -EIO ? 'x' : '.';
    assert_string_equal(seen, "....x..x....");
}

static void a_rule_with_a_key_leaves_other_keys_alone(void **state)
{
    bench *b = *state;
    blob_key empty = test_key(""), a = test_key("a");

    blob_faultstore_add(b->fault, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .key = &a, .status = -EIO});
    blob_faultstore_add(b->fault, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .key = &empty, .status = -ENOSPC});
    test_status(put(b->store, "a", "x"), -EIO);
    test_status(put(b->store, "", "x"), -ENOSPC);
    test_ok(put(b->store, "b", "x"));
    test_ok(put(b->store, "aa", "x"));
}

static void a_rule_with_a_key_finds_cas_calls_by_their_address(void **state)
{
    bench *b = *state;
    blob_address address, got;
    blob_key key;

    test_ok(blob_store_cas_key(b->store, NULL, blob_view_of("one", 3), &address));
    key = blob_address_key(&address);
    blob_faultstore_add(b->fault, &(blob_faultstore_fault){.ops = BLOB_FAULT_CAS_PUT, .key = &key, .status = -EIO});
    test_status(blob_store_cas_put(b->store, NULL, blob_view_of("one", 3), &got), -EIO);
    assert_int_equal(blob_key_compare(blob_address_key(&got), key), 0);
    test_ok(blob_store_cas_put(b->store, NULL, blob_view_of("two", 3), &got));
    assert_int_equal(test_len(b->inner), 1);
}

static void rules_act_in_the_order_of_adding_and_the_first_answer_ends_it(void **state)
{
    bench *b = *state;
    blob_faultstore_rule *second;

    blob_faultstore_fail(b->fault, BLOB_FAULT_PUT, -EIO, 1);
    second = blob_faultstore_fail(b->fault, BLOB_FAULT_PUT, -ENOSPC, 1);
    test_status(put(b->store, "k", "x"), -EIO);
    assert_int_equal(blob_faultstore_hits(second), 0);
    test_status(put(b->store, "k", "x"), -ENOSPC);
    test_ok(put(b->store, "k", "x"));
}

/* ---- lies ---------------------------------------------------------------------------------------------------- */

static void says_exists_of_what_does_not(void **state)
{
    bench *b = *state;

    blob_faultstore_fail(b->fault, BLOB_FAULT_PUT, BLOB_EXISTS, 1);
    test_status(put(b->store, "k", "x"), BLOB_EXISTS);
    test_expect_missing(b->store, test_key("k"));
}

static void acknowledges_a_put_and_drops_it(void **state)
{
    bench *b = *state;
    blob_address address;

    blob_faultstore_fail(b->fault, BLOB_FAULT_PUT | BLOB_FAULT_CAS_PUT, 0, 2);
    test_ok(put(b->store, "k", "x"));
    test_ok(blob_store_cas_put(b->store, NULL, blob_view_of("y", 1), &address));
    assert_int_equal(address.size, 8);
    assert_int_equal(test_len(b->inner), 0);
}

static void flips_a_bit_of_what_get_returns_and_of_what_put_stores(void **state)
{
    bench *b = *state;

    test_ok(put(b->store, "k", "abc"));
    blob_faultstore_add(b->fault,
                        &(blob_faultstore_fault){
                            .ops = BLOB_FAULT_GET, .when = BLOB_FAULT_AFTER, .action = BLOB_FAULT_FLIP, .count = 1});
    test_expect(b->store, test_key("k"), "acc"); /* 'b' ^ 1 is 'c' */
    test_expect(b->store, test_key("k"), "abc");
    blob_faultstore_add(b->fault,
                        &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_FLIP, .count = 1});
    test_ok(put(b->store, "l", "abc"));
    test_expect(b->inner, test_key("l"), "acc");
}

static void truncates_what_get_returns_and_what_put_stores(void **state)
{
    bench *b = *state;

    test_ok(put(b->store, "k", "abcd"));
    test_ok(put(b->store, "one", "a"));
    blob_faultstore_add(
        b->fault, &(blob_faultstore_fault){
                      .ops = BLOB_FAULT_GET, .when = BLOB_FAULT_AFTER, .action = BLOB_FAULT_TRUNCATE, .count = 2});
    test_expect(b->store, test_key("k"), "ab");
    test_expect(b->store, test_key("one"), "");
    blob_faultstore_add(b->fault, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_TRUNCATE});
    test_ok(put(b->store, "l", "abcd"));
    test_expect(b->inner, test_key("l"), "ab");
}

static void breaks_a_listing_in_the_middle(void **state)
{
    bench *b = *state;
    int keys = 0;

    for (const char *key = "abcde"; *key != '\0'; key++)
        test_ok(blob_store_put(b->store, NULL, blob_key_of(key, 1), blob_view_of("x", 1), 0));
    blob_faultstore_add(
        b->fault, &(blob_faultstore_fault){
                      .ops = BLOB_FAULT_LIST, .when = BLOB_FAULT_DURING, .after_keys = 3, .status = -EIO, .count = 1});
    test_status(blob_store_list(b->store, NULL, test_key(""), keys_counted, &keys), -EIO);
    assert_int_equal(keys, 3);
    keys = 0;
    test_ok(blob_store_list(b->store, NULL, test_key(""), keys_counted, &keys));
    assert_int_equal(keys, 5);
    keys = 0;
    blob_faultstore_add(b->fault,
                        &(blob_faultstore_fault){.ops = BLOB_FAULT_LIST, .when = BLOB_FAULT_DURING, .after_keys = 2});
    test_ok(blob_store_list(b->store, NULL, test_key(""), keys_counted, &keys));
    assert_int_equal(keys, 2); /* as if there were no more */
}

static void traits_and_doubt_are_inners_until_set(void **state)
{
    bench *b = *state;
    blob_faultstore *outer;
    blob_store *s;

    test_ok(test_faultstore_new(&outer, b->store));
    s = blob_faultstore_store(outer);
    assert_int_equal(s->ops->traits(s), 0);
    assert_int_equal(s->ops->in_doubt_ms(s), 0);
    blob_faultstore_set_traits(b->fault, BLOB_TRAIT_CHECKS_KEYS);
    blob_faultstore_set_in_doubt_ms(b->fault, 5000);
    assert_int_equal(s->ops->traits(s), BLOB_TRAIT_CHECKS_KEYS);
    assert_int_equal(s->ops->in_doubt_ms(s), 5000);
    blob_faultstore_set_traits(outer, 0);
    blob_faultstore_set_in_doubt_ms(outer, 7);
    assert_int_equal(s->ops->traits(s), 0);
    assert_int_equal(s->ops->in_doubt_ms(s), 7);
    test_ok(blob_store_close(s, NULL));
}

static void has_no_cas_operations_where_inner_has_none(void **state)
{
    blob_store_ops ops;
    blob_store bare = {.ops = &ops};
    bench *b = *state;
    blob_faultstore *f;

    ops = *b->inner->ops;
    ops.struct_size = offsetof(blob_store_ops, cas_key);
    test_ok(test_faultstore_new(&f, &bare));
    assert_null(blob_faultstore_store(f)->ops->cas_key);
    assert_null(blob_faultstore_store(f)->ops->cas_put);
    test_ok(blob_store_close(blob_faultstore_store(f), NULL));
}

/* ---- counts and history -------------------------------------------------------------------------------------- */

static void counts_calls_failures_and_what_is_in_flight(void **state)
{
    bench *b = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(b->fault, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    blob_faultstore_counts counts;
    test_later held[3];

    test_put_later(&held[0], b->store, b->ctx, test_key("a"), "x");
    test_put_later(&held[1], b->store, b->ctx, test_key("b"), "x");
    test_put_later(&held[2], b->store, b->ctx, test_key("a"), "x");
    blob_faultstore_wait_held(gate, 3);
    counts = blob_faultstore_count(b->fault, BLOB_FAULT_PUT);
    assert_int_equal(counts.in_flight, 3);
    assert_int_equal(counts.calls, 0);
    test_ok(put(b->inner, "k", "x"));
    assert_true(test_has(b->store, test_key("k")));
    blob_faultstore_lift(gate);
    blob_faultstore_wait_calls(b->fault, BLOB_FAULT_PUT, 3);
    for (int i = 0; i < 3; i++)
        test_later_join(&held[i]);
    blob_faultstore_fail(b->fault, BLOB_FAULT_PUT, -EIO, 1);
    test_status(put(b->store, "c", "x"), -EIO);
    test_ok(put(b->store, "c", "x"));
    counts = blob_faultstore_count(b->fault, BLOB_FAULT_PUT);
    assert_int_equal(counts.in_flight, 0);
    assert_int_equal(counts.in_flight_max, 3);
    assert_int_equal(counts.calls, 5);
    assert_int_equal(counts.reached, 4);
    assert_int_equal(counts.failed, 2); /* one of the two puts of "a", and the failed one */
    assert_int_equal(blob_faultstore_count(b->fault, BLOB_FAULT_SIZE).calls, 1);
    assert_int_equal(blob_faultstore_count(b->fault, BLOB_FAULT_ANY).calls, 6);
    assert_int_equal(blob_faultstore_count(b->fault, BLOB_FAULT_ANY).in_flight_max, 4);
}

static void remembers_every_call_in_the_order_of_ending(void **state)
{
    bench *b = *state;
    blob_faultstore_call first, second, third;
    blob_address address;
    blob_key k = test_key("k");

    blob_faultstore_fail(b->fault, BLOB_FAULT_PUT, -EIO, 1);
    test_status(put(b->store, "k", "x"), -EIO);
    test_ok(blob_store_put(b->store, NULL, k, blob_view_of("x", 1), BLOB_REPLACE));
    test_ok(blob_store_cas_put(b->store, NULL, blob_view_of("x", 1), &address));
    assert_int_equal(blob_faultstore_history_size(b->fault), 3);
    assert_true(blob_faultstore_history(b->fault, 0, &first));
    assert_true(blob_faultstore_history(b->fault, 1, &second));
    assert_true(blob_faultstore_history(b->fault, 2, &third));
    assert_false(blob_faultstore_history(b->fault, 3, &(blob_faultstore_call){0}));
    assert_int_equal(first.status, -EIO);
    assert_false(first.reached);
    assert_int_equal(second.status, 0);
    assert_true(second.reached);
    assert_int_equal(second.flags, BLOB_REPLACE);
    assert_int_equal(second.op, BLOB_FAULT_PUT);
    assert_int_equal(blob_key_compare(blob_key_of(second.key, second.key_size), k), 0);
    assert_int_equal(blob_key_compare(blob_key_of(third.key, third.key_size), blob_address_key(&address)), 0);
    assert_true(first.begun < first.ended && first.ended < second.begun && second.ended < third.begun);
    assert_int_equal(blob_faultstore_count_key(b->fault, BLOB_FAULT_PUT, k), 2);
    assert_int_equal(blob_faultstore_count_key(b->fault, BLOB_FAULT_PUT, test_key("l")), 0);
    assert_int_equal(blob_faultstore_count_key(b->fault, BLOB_FAULT_ANY & ~BLOB_FAULT_PUT, k), 0);
    assert_int_equal(blob_faultstore_count_key(b->fault, BLOB_FAULT_CAS_PUT, blob_address_key(&address)), 1);
    blob_faultstore_keep_history(b->fault, false);
    test_ok(put(b->store, "m", "x"));
    assert_int_equal(blob_faultstore_history_size(b->fault), 3);
}

static void two_stores_can_share_their_ticks(void **state)
{
    bench *b = *state;
    blob_faultstore_call in_first, in_second;
    blob_faultstore *other;

    test_ok(test_faultstore_new(&other, b->inner));
    blob_faultstore_share_ticks(other, b->fault);
    test_ok(put(b->store, "k", "x"));
    test_ok(put(blob_faultstore_store(other), "l", "x"));
    assert_true(blob_faultstore_history(b->fault, 0, &in_first));
    assert_true(blob_faultstore_history(other, 0, &in_second));
    assert_true(in_first.ended < in_second.begun);
    test_ok(blob_store_close(blob_faultstore_store(other), NULL));
}

/* ---- many threads, wrong tests ------------------------------------------------------------------------------- */

static void hammer(void *arg, unsigned index)
{
    bench *b = arg;
    char key[2] = {(char)('a' + index), 0};

    for (int i = 0; i < 200; i++) {
        put(b->store, key, "x");
        blob_store_delete(b->store, NULL, test_key(key), 0);
    }
}

static void many_threads_get_exactly_as_many_faults_as_asked_for(void **state)
{
    bench *b = *state;
    blob_faultstore_rule *some = blob_faultstore_fail(b->fault, BLOB_FAULT_PUT, -EIO, 100);
    blob_faultstore_rule *third =
        blob_faultstore_add(b->fault, &(blob_faultstore_fault){.ops = BLOB_FAULT_DELETE, .status = -EIO, .every = 3});

    test_threads_run(8, hammer, b);
    assert_int_equal(blob_faultstore_hits(some), 100);
    assert_int_equal(blob_faultstore_hits(third), 1600 / 3);
    assert_int_equal(blob_faultstore_count(b->fault, BLOB_FAULT_ANY).calls, 3200);
    assert_int_equal(blob_faultstore_history_size(b->fault), 3200);
    assert_int_equal(blob_faultstore_count(b->fault, BLOB_FAULT_ANY).in_flight, 0);
}

/* Every use that makes no sense, and what comes of it. */
static const blob_faultstore_fault nonsense[] = {
    {.ops = 0, .status = -EIO},
    {.ops = BLOB_FAULT_ANY + 1, .status = -EIO},
    {.ops = BLOB_FAULT_PUT, .status = 1},
    {.ops = BLOB_FAULT_PUT, .key = &(blob_key){"", BLOB_KEY_MAX + 1}, .status = -EIO},
    {.ops = BLOB_FAULT_PUT, .key = &(blob_key){NULL, 1}, .status = -EIO},
    {.ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_DELAY, .delay_us = -1},
    {.ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_DELAY, .delay_us = INT64_C(3600000001)},
    {.ops = BLOB_FAULT_GET, .status = 0},
    {.ops = BLOB_FAULT_CAS_KEY, .status = 0},
    {.ops = BLOB_FAULT_GET, .action = BLOB_FAULT_FLIP},
    {.ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_TRUNCATE, .when = BLOB_FAULT_AFTER},
    {.ops = BLOB_FAULT_SIZE, .action = BLOB_FAULT_LATE},
    {.ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_LATE, .when = BLOB_FAULT_AFTER},
    {.ops = BLOB_FAULT_GET, .action = BLOB_FAULT_REPEAT},
    {.ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_REPEAT, .when = BLOB_FAULT_AFTER},
    {.ops = BLOB_FAULT_PUT, .when = BLOB_FAULT_DURING, .status = -EIO},
    {.ops = BLOB_FAULT_PUT, .action = (blob_faultstore_action)(BLOB_FAULT_REPEAT + 1), .status = -EIO},
    {.ops = BLOB_FAULT_PUT, .when = (blob_faultstore_when)(BLOB_FAULT_DURING + 1), .status = -EIO},
};

static void heard(void *arg, const char *what)
{
    assert_true(strlen(what) > 10);
    ++*(unsigned *)arg;
}

static int last_status(void)
{
    blob_error error;

    blob_last_error(&error);
    return error.status;
}

static void rules_without_sense_are_refused_and_told_of(void **state)
{
    bench *b = *state;
    unsigned told = 0;

    blob_faultstore_on_wrong(b->fault, heard, &told);
    for (unsigned i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++) {
        blob_fail(-EIO, 0, "something else");
        assert_null(blob_faultstore_add(b->fault, &nonsense[i]));
        assert_int_equal(last_status(), -EINVAL);
        assert_int_equal(told, i + 1);
    }
    test_ok(put(b->store, "k", "bytes")); /* none of them acts */
    test_expect(b->store, test_key("k"), "bytes");
    blob_faultstore_on_wrong(b->fault, NULL, NULL);
    assert_null(blob_faultstore_add(b->fault, &nonsense[0])); /* nobody need listen */
}

static void a_count_of_no_operation_is_told_of(void **state)
{
    bench *b = *state;
    unsigned told = 0;

    blob_faultstore_on_wrong(b->fault, heard, &told);
    test_ok(put(b->store, "k", "bytes"));
    assert_int_equal(blob_faultstore_count(b->fault, BLOB_FAULT_PUT | BLOB_FAULT_GET).calls, 0);
    assert_int_equal(told, 1);
    test_status(blob_faultstore_wait_calls(b->fault, 0, 0), -EINVAL);
    assert_int_equal(told, 2);
}

static void no_rule_to_add_is_told_of(void **state)
{
    bench *b = *state;
    unsigned told = 0;

    blob_faultstore_on_wrong(b->fault, heard, &told);
    blob_fail(-EIO, 0, "something else");
    assert_null(blob_faultstore_add(b->fault, NULL));
    assert_int_equal(last_status(), -EINVAL);
    test_status(blob_faultstore_history(b->fault, 0, NULL), -EINVAL);
    assert_int_equal(told, 2);
}

static bool refused(bool nothing)
{
    bool told = last_status() == -EINVAL;

    blob_fail(-EIO, 0, "something else");
    return nothing && told;
}

/* What a test has that did not look whether its fault store could be made. */
static void controls_that_are_not_there_are_an_error(void **state)
{
    const blob_faultstore_fault fault = {.ops = BLOB_FAULT_PUT, .status = -EIO};
    blob_faultstore_call call = {.op = 1};
    bench *b = *state;
    int status = 0;

    blob_fail(-EIO, 0, "something else");
    assert_true(refused(blob_faultstore_store(NULL) == NULL));
    assert_true(refused(blob_faultstore_add(NULL, &fault) == NULL));
    assert_true(refused(blob_faultstore_add(NULL, NULL) == NULL));
    assert_true(refused(blob_faultstore_fail(NULL, BLOB_FAULT_PUT, -EIO, 1) == NULL));
    assert_true(refused(blob_faultstore_hold(NULL, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE) == NULL));
    assert_true(refused(blob_faultstore_deliver(NULL, &status) == -EINVAL && status == -EINVAL));
    assert_true(refused(blob_faultstore_deliver(NULL, NULL) == -EINVAL));
    assert_true(refused(blob_faultstore_late(NULL) == 0));
    assert_true(refused(blob_faultstore_count(NULL, BLOB_FAULT_PUT).calls == 0));
    assert_true(refused(blob_faultstore_wait_calls(NULL, BLOB_FAULT_PUT, 0) == -EINVAL));
    assert_true(refused(blob_faultstore_history_size(NULL) == 0));
    assert_true(refused(blob_faultstore_history(NULL, 0, &call) == -EINVAL && call.op == 0));
    assert_true(refused(blob_faultstore_history(NULL, 0, NULL) == -EINVAL));
    assert_true(refused(blob_faultstore_count_key(NULL, BLOB_FAULT_PUT, test_key("k")) == 0));
    assert_true((blob_faultstore_set_traits(NULL, 0), refused(true)));
    assert_true((blob_faultstore_set_in_doubt_ms(NULL, 0), refused(true)));
    assert_true((blob_faultstore_set_patience_ms(NULL, 0), refused(true)));
    assert_true((blob_faultstore_keep_history(NULL, 0), refused(true)));
    assert_true((blob_faultstore_on_wrong(NULL, heard, NULL), refused(true)));
    assert_true((blob_faultstore_share_ticks(NULL, b->fault), refused(true)));
    assert_true((blob_faultstore_share_ticks(b->fault, NULL), refused(true)));
    blob_faultstore_clear(NULL);
    test_ok(put(b->store, "k", "bytes"));
}

static void a_rule_that_is_not_there_does_nothing(void **state)
{
    (void)state;
    blob_faultstore_lift(NULL);
    blob_faultstore_release(NULL, 1);
    assert_int_equal(blob_faultstore_hits(NULL), 0);
    assert_int_equal(blob_faultstore_held(NULL), 0);
    test_status(blob_faultstore_wait_hits(NULL, 0), -EINVAL);
    test_status(blob_faultstore_wait_held(NULL, 0), -EINVAL);
}

static void a_wait_in_vain_gives_up_and_is_told_of(void **state)
{
    bench *b = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(b->fault, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    unsigned told = 0;

    blob_faultstore_on_wrong(b->fault, heard, &told);
    blob_faultstore_set_patience_ms(b->fault, 1);
    test_ok(blob_faultstore_wait_held(gate, 0));
    test_status(blob_faultstore_wait_held(gate, 1), -ETIMEDOUT);
    test_status(blob_faultstore_wait_hits(gate, 1), -ETIMEDOUT);
    test_status(blob_faultstore_wait_calls(b->fault, BLOB_FAULT_ANY, 1), -ETIMEDOUT);
    assert_int_equal(told, 3);
}

static void a_close_with_calls_under_way_is_found_out(void **state)
{
    bench *b = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(b->fault, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    unsigned told = 0;
    test_later held;

    blob_faultstore_on_wrong(b->fault, heard, &told);
    test_put_later(&held, b->store, b->ctx, test_key("k"), "x");
    blob_faultstore_wait_held(gate, 1);
    test_status(blob_store_close(b->store, NULL), -EBUSY);
    assert_int_equal(told, 1);
    blob_faultstore_lift(gate);
    test_ok(test_later_join(&held)); /* the store is there still */
    test_expect(b->store, test_key("k"), "x");
}

/* What must abort does so in a child, out of sight. */
static void expect_abort(void (*wrong)(bench *b), bench *b)
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        int nowhere = open("/dev/null", O_WRONLY);
        signal(SIGABRT, SIG_DFL);
        dup2(nowhere, STDERR_FILENO);
        wrong(b);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void wrong_rule(bench *b)
{
    blob_faultstore_fail(b->fault, BLOB_FAULT_GET, 0, 1);
}

static void hang(bench *b)
{
    (void)b;
    test_watchdog(1);
    for (;;)
        pause();
}

static void in_tests_of_ours_what_is_wrong_ends_the_program(void **state)
{
    expect_abort(wrong_rule, *state);
}

static void the_watchdog_ends_a_program_that_hangs(void **state)
{
    expect_abort(hang, *state);
}

static void needs_a_store_and_a_place_for_its_controls(void **state)
{
    bench *b = *state;
    blob_store *s = b->store;
    blob_faultstore *f = b->fault;

    test_status(blob_faultstore_new(&s, b->inner, NULL), -EINVAL);
    assert_null(s);
    s = b->store;
    test_status(blob_faultstore_new(&s, NULL, &f), -EINVAL);
    assert_null(s);
    assert_null(f);
    test_ok(blob_faultstore_new(&s, b->inner, &f));
    assert_ptr_equal(s, blob_faultstore_store(f));
    test_ok(blob_store_close(s, NULL));
}

#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(without_rules_it_is_the_inner_store),
        T(fails_so_many_calls_then_works),
        T(fails_for_ever_until_lifted_or_cleared),
        T(passes_status_text_and_retry_after_to_the_caller),
        T(every_operation_fails_before_and_after_with_empty_outs),
        T(after_means_the_effect_is_there_and_the_answer_lost),
        T(skip_every_and_count_choose_the_calls),
        T(a_rule_with_a_key_leaves_other_keys_alone),
        T(a_rule_with_a_key_finds_cas_calls_by_their_address),
        T(rules_act_in_the_order_of_adding_and_the_first_answer_ends_it),
        T(says_exists_of_what_does_not),
        T(acknowledges_a_put_and_drops_it),
        T(flips_a_bit_of_what_get_returns_and_of_what_put_stores),
        T(truncates_what_get_returns_and_what_put_stores),
        T(breaks_a_listing_in_the_middle),
        T(traits_and_doubt_are_inners_until_set),
        T(has_no_cas_operations_where_inner_has_none),
        T(counts_calls_failures_and_what_is_in_flight),
        T(remembers_every_call_in_the_order_of_ending),
        T(two_stores_can_share_their_ticks),
        T(many_threads_get_exactly_as_many_faults_as_asked_for),
        T(rules_without_sense_are_refused_and_told_of),
        T(a_count_of_no_operation_is_told_of),
        T(no_rule_to_add_is_told_of),
        T(controls_that_are_not_there_are_an_error),
        T(a_rule_that_is_not_there_does_nothing),
        T(a_wait_in_vain_gives_up_and_is_told_of),
        T(a_close_with_calls_under_way_is_found_out),
        T(in_tests_of_ours_what_is_wrong_ends_the_program),
        T(the_watchdog_ends_a_program_that_hangs),
        T(needs_a_store_and_a_place_for_its_controls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
