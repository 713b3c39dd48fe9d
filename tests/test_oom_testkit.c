/* test_oom_testkit.c - the kit for testing stores when memory, threads or locks cannot be had: it says so, takes it for
 * nobody's broken promise, leaves nothing behind and works on. */
#include "scarce.h"
#include "testutil.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <wbstore/stores.h>
#include <wbstore/testkit.h>

typedef struct bench {
    blob_store *inner, *store;
    blob_faultstore *fault;
    unsigned told; /* by blob_faultstore_on_wrong */
} bench;

static void heard(void *arg, const char *what)
{
    bench *b = arg;

    assert_true(what[0] != '\0');
    b->told++;
}

static int set_up(void **state)
{
    bench *b = calloc(1, sizeof *b);

    test_watchdog(200);
    scarce_reset();
    assert_non_null(b);
    test_ok(blob_memstore_new(&b->inner));
    test_ok(SCARCE(blob_faultstore_new(&b->store, b->inner, &b->fault)));
    blob_faultstore_on_wrong(b->fault, heard, b);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    bench *b = *state;

    scarce_end();
    test_ok(blob_store_close(b->store, NULL));
    test_ok(blob_store_close(b->inner, NULL));
    assert_int_equal(scarce_blocks(), 0);
    free(b);
    return 0;
}

/* ---- the fault store ---- */

static void a_fault_store_is_made_or_refused(void **state)
{
    bench *b = *state;
    size_t blocks = scarce_blocks();
    long refused = 1;

    for (long nth = 0; refused > 0; nth++) {
        blob_store *s = b->store;
        blob_faultstore *f = b->fault;
        int rc;

        scarce_begin(&(scarce_plan){.kinds = SCARCE_MEMORY | SCARCE_LOCKS, .nth = nth});
        rc = SCARCE(blob_faultstore_new(&s, b->inner, &f));
        refused = scarce_end();
        if (refused == 0) {
            test_ok(rc);
            test_ok(blob_store_close(s, NULL));
        } else {
            assert_true(rc == -ENOMEM || rc == -EAGAIN);
            assert_true(s == NULL && f == NULL);
        }
        assert_int_equal(scarce_blocks(), blocks);
        assert_true(nth > 0 || refused > 0); /* something is asked for */
    }
}

static void a_rule_is_added_whole_or_not_at_all(void **state)
{
    const blob_key k = test_key("k");
    const blob_faultstore_fault fault = {.ops = BLOB_FAULT_PUT, .key = &k, .status = -EIO, .text = "told"};
    bench *b = *state;
    long refused = 1;

    for (long nth = 0; refused > 0; nth++) {
        blob_faultstore_rule *rule;
        size_t blocks = scarce_blocks();
        blob_error error;

        scarce_begin(&(scarce_plan){.kinds = SCARCE_MEMORY | SCARCE_LOCKS, .nth = nth});
        scarce_enter();
        rule = blob_faultstore_add(b->fault, &fault);
        scarce_leave();
        refused = scarce_end();
        assert_int_equal(rule == NULL, refused > 0);
        if (rule != NULL) {
            test_status(blob_store_put(b->store, NULL, k, blob_view_of("x", 1), 0), -EIO);
            continue;
        }
        blob_last_error(&error);
        assert_true(error.status == -ENOMEM || error.status == -EAGAIN);
        assert_int_equal(b->told, nth + 1);
        assert_int_equal(scarce_blocks(), blocks);
        test_ok(blob_store_put(b->store, NULL, k, blob_view_of("x", 1), BLOB_REPLACE));
    }
    assert_true(b->told >= 3); /* for the rule, its lock, its text */
}

/* 300 calls make the history grow. */
static void what_cannot_be_remembered_is_not_begun(void **state)
{
    bench *b = *state;
    unsigned refusals = 0;

    for (unsigned i = 0; i < 300; i++) {
        const blob_key key = {&i, sizeof i};
        long refused = 1;

        for (long nth = 0; refused > 0; nth++) {
            size_t remembered = blob_faultstore_history_size(b->fault);
            uint64_t calls = blob_faultstore_count(b->fault, BLOB_FAULT_PUT).calls;
            int rc;

            scarce_begin(&(scarce_plan){.kinds = SCARCE_MEMORY, .nth = nth});
            rc = SCARCE(blob_store_put(b->store, NULL, key, blob_view_of("x", 1), 0));
            refused = scarce_end();
            refusals += (unsigned)refused;
            test_status(rc, refused > 0 ? -ENOMEM : 0);
            assert_int_equal(test_has(b->inner, key), refused == 0);
            assert_int_equal(blob_faultstore_count(b->fault, BLOB_FAULT_PUT).calls, calls + 1);
            assert_int_equal(blob_faultstore_count(b->fault, BLOB_FAULT_PUT).in_flight, 0);
            assert_true(blob_faultstore_history_size(b->fault) <= remembered + 1);
            assert_true(refused > 0 || blob_faultstore_history_size(b->fault) == remembered + 1);
        }
    }
    assert_true(refusals > 300);
    assert_int_equal(test_len(b->inner), 300);
}

static void what_cannot_be_kept_for_later_is_refused(void **state)
{
    static const blob_faultstore_action actions[] = {BLOB_FAULT_LATE, BLOB_FAULT_REPEAT};
    const blob_key k = test_key("k");
    bench *b = *state;

    for (unsigned i = 0; i < 2; i++) {
        blob_faultstore_rule *rule = blob_faultstore_add(
            b->fault, &(blob_faultstore_fault){.ops = BLOB_FAULT_DELETE, .action = actions[i], .status = -ETIMEDOUT});
        long refused = 1;

        test_ok(blob_store_put(b->inner, NULL, k, blob_view_of("x", 1), 0));
        for (long nth = 0; refused > 0; nth++) {
            int rc;

            scarce_begin(&(scarce_plan){.kinds = SCARCE_MEMORY, .nth = nth});
            rc = SCARCE(blob_store_delete(b->store, NULL, k, 0));
            refused = scarce_end();
            if (refused > 0)
                test_status(rc, -ENOMEM);
            assert_int_equal(blob_faultstore_late(b->fault), refused == 0);
            assert_int_equal(test_has(b->inner, k), refused > 0 || actions[i] == BLOB_FAULT_LATE);
        }
        assert_true(blob_faultstore_deliver(b->fault, NULL));
        test_expect_missing(b->inner, k);
        blob_faultstore_lift(rule);
    }
}

static void a_wait_that_memory_lacks_for_says_so(void **state)
{
    bench *b = *state;

    scarce_begin(&(scarce_plan){.kinds = SCARCE_MEMORY});
    test_status(SCARCE(blob_faultstore_wait_calls(b->fault, BLOB_FAULT_ANY, 1)), -ENOMEM);
    assert_int_equal(scarce_end(), 1);
    assert_int_equal(b->told, 1);
}

/* ---- the suite ---- */

static void no_report(void *arg, const char *promise, const char *detail)
{
    (void)arg;
    print_error("%s: %s\n", promise, detail);
    fail();
}

static void without_threads_the_suite_says_that_it_could_not_run(void **state)
{
    static const long nths[] = {0, 1, 2, 15, 16, 17, 40};
    bench *b = *state;

    for (unsigned i = 0; i < sizeof nths / sizeof nths[0]; i++) {
        scarce_begin(&(scarce_plan){.kinds = SCARCE_THREADS, .nth = nths[i], .count = SCARCE_FOR_GOOD});
        test_status(SCARCE(blob_conform(b->inner, no_report, NULL)), -EAGAIN);
        assert_true(scarce_end() > 0);
        assert_int_equal(test_len(b->inner), 0);
        assert_int_equal(scarce_threads(), 0);
    }
}

/* Whose memory it is that is refused, the suite's or the store's, chance has it: the one makes it end, the other is a
 * call that failed. Both leave the store empty and nothing behind. */
static void without_memory_the_suite_ends_or_goes_on_and_the_store_is_empty(void **state)
{
    bench *b = *state;

    scarce_begin(&(scarce_plan){.kinds = SCARCE_MEMORY});
    test_status(SCARCE(blob_conform(b->inner, no_report, NULL)), -ENOMEM); /* the first is its own */
    assert_int_equal(scarce_end(), 1);
    for (long nth = 1; nth < 200; nth += nth < 12 ? 1 : 37) {
        int rc;

        scarce_begin(&(scarce_plan){.kinds = SCARCE_MEMORY, .nth = nth});
        rc = SCARCE(blob_conform(b->inner, NULL, NULL));
        assert_int_equal(scarce_end(), 1);
        assert_true(rc == -ENOMEM || rc == 1);
        assert_int_equal(test_len(b->inner), 0);
        assert_int_equal(scarce_threads(), 0);
    }
    test_ok(SCARCE(blob_conform(b->inner, no_report, NULL)));
}

#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_fault_store_is_made_or_refused),
        T(a_rule_is_added_whole_or_not_at_all),
        T(what_cannot_be_remembered_is_not_begun),
        T(what_cannot_be_kept_for_later_is_refused),
        T(a_wait_that_memory_lacks_for_says_so),
        T(without_threads_the_suite_says_that_it_could_not_run),
        T(without_memory_the_suite_ends_or_goes_on_and_the_store_is_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
