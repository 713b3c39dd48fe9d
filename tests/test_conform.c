/* test_conform.c - the conformance suite passes stores that keep their promises and names the promise that one breaks.
 * Each flaw of flawstore.h is one that a real store might have. */
#include "conform_int.h"
#include "faultstore.h"
#include "flawstore.h"
#include "testutil.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <wbstore/stores.h>

typedef struct verdict {
    char promises[64][32];
    int count;
    bool told; /* every report had one line of detail */
} verdict;

static void note(void *arg, const char *promise, const char *detail)
{
    verdict *v = arg;

    if (v->count < 64)
        snprintf(v->promises[v->count], sizeof v->promises[0], "%s", promise);
    v->count++;
    v->told = v->told && detail[0] != '\0' && strchr(detail, '\n') == NULL;
}

static bool names(const verdict *v, const char *promise)
{
    for (int i = 0; i < v->count; i++) {
        if (strcmp(v->promises[i], promise) == 0)
            return true;
    }
    return false;
}

static void print(void *arg, const char *promise, const char *detail)
{
    (void)arg;
    print_error("%s: %s\n", promise, detail);
}

static void passes_and_is_left_empty(blob_store *s)
{
    test_watchdog(120);
    test_status(conform_run(s, print, NULL), 0);
    test_status(conform_run_deletes(s, print, NULL), 0);
    assert_int_equal(test_len(s), 0);
}

static void a_plain_store_passes(void **state)
{
    blob_store *s;

    (void)state;
    test_ok(flawstore_new(&s, FLAW_NONE));
    passes_and_is_left_empty(s);
    test_ok(blob_store_close(s, NULL));
}

static void memstore_passes(void **state)
{
    blob_store *s;

    (void)state;
    test_ok(blob_memstore_new(&s));
    passes_and_is_left_empty(s);
    test_ok(blob_store_close(s, NULL));
}

static void a_fault_store_without_rules_passes(void **state)
{
    faultstore *f;
    blob_store *s;

    (void)state;
    test_ok(flawstore_new(&s, FLAW_NONE));
    test_ok(faultstore_new(&f, s));
    passes_and_is_left_empty(faultstore_store(f));
    assert_true(faultstore_count(f, FAULT_ANY).in_flight_max > 1); /* there were threads */
    test_ok(blob_store_close(faultstore_store(f), NULL));
    test_ok(blob_store_close(s, NULL));
}

/* ---- flaws ----------------------------------------------------------------------------------------------------- */

static const struct {
    flaw flaw;
    const char *name, *promise;
} flaws[] = {
#define F(flaw, promise)                                                                                               \
    {                                                                                                                  \
        flaw, #flaw, promise                                                                                           \
    }
    F(FLAW_GET_MISSING_EMPTY, "get-missing"),
    F(FLAW_SIZE_MISSING_ZERO, "size-missing"),
    F(FLAW_DELETE_MISSING_OK, "delete-missing"),
    F(FLAW_DELETE_KEEPS, "delete-empties"),
    F(FLAW_LAZY_KEEPS, "delete-lazy"),
    F(FLAW_LAZY_OUTLIVES, "delete-after-lazy"),
    F(FLAW_PUT_BORROWS, "put-copies"),
    F(FLAW_PUT_SAYS_STORED, "put-exists"),
    F(FLAW_PUT_OVERWRITES, "put-exists"),
    F(FLAW_REPLACE_IGNORED, "put-replace"),
    F(FLAW_REPLACE_REFUSED, "put-replace"),
    F(FLAW_REPLACE_NEEDS_OLD, "put-replace"),
    F(FLAW_REPLACE_IN_PLACE, "get-outlives-replace"),
    F(FLAW_DELETE_SCRIBBLES, "get-outlives-delete"),
    F(FLAW_EMPTY_KEY, "key-empty"),
    F(FLAW_KEY_ENDS_AT_ZERO, "key-bytes"),
    F(FLAW_KEY_CASE, "key-bytes"),
    F(FLAW_KEY_CUT, "key-lengths"),
    F(FLAW_EMPTY_BLOB, "blob-empty"),
    F(FLAW_SIZE_16_BIT, "blob-sizes"),
    F(FLAW_LEN_COUNTS_PUTS, "len"),
    F(FLAW_SIZE_WRONG, "put-get"),
    F(FLAW_LIST_ORDER, "list-order"),
    F(FLAW_LIST_SIGNED, "list-order"),
    F(FLAW_LIST_AFTER_START, "list-start"),
    F(FLAW_LIST_BEFORE_START, "list-start"),
    F(FLAW_LIST_WHOLE, "list-start"),
    F(FLAW_LIST_PREFIX, "list-start-is-no-prefix"),
    F(FLAW_LIST_TWICE, "list-order"),
    F(FLAW_LIST_SKIPS_LAST, "list-order"),
    F(FLAW_LIST_SIZE, "list-size"),
    F(FLAW_LIST_GOES_ON, "list-stop"),
    F(FLAW_LIST_STOP_FAILS, "list-stop"),
    F(FLAW_LIST_SWALLOWS, "list-status"),
    F(FLAW_LIST_LOCKS_GET, "get-during-list"),
    F(FLAW_LIST_LOCKS_SIZE, "size-during-list"),
    F(FLAW_LIST_LOCKS_LEN, "len-during-list"),
    F(FLAW_LIST_ONE_CURSOR, "list-during-list"),
    F(FLAW_CAS_KEY_VARIES, "cas-key"),
    F(FLAW_CAS_KEY_CONSTANT, "cas-key"),
    F(FLAW_CAS_PUT_ELSEWHERE, "cas-put"),
    F(FLAW_CAS_PUT_EXISTS, "cas-put-twice"),
    F(FLAW_CAS_PUT_DROPS, "cas-put"),
    F(FLAW_RACE_PUT, "threads-put-once"),
    F(FLAW_RACE_TORN, "threads-replace"),
    F(FLAW_RACE_TORN, "threads-whole"),
    F(FLAW_RACE_GAP, "threads-replace"),
    F(FLAW_RACE_LIST, "threads-list"),
    F(FLAW_RACE_LEN, "threads-len"),
    F(FLAW_RACE_DELETE, "threads-delete-once"),
    F(FLAW_RACE_DELETE, "threads-put-delete"),
#undef F
};

static const wb_cf_check *const all_tables[] = {wb_cf_keys, wb_cf_blobs,   wb_cf_calls,   wb_cf_lists,  wb_cf_in_lists,
                                                wb_cf_cas,  wb_cf_threads, wb_cf_changes, wb_cf_deletes};

/* The table that has the check; the first for what no check of its own is. */
static const wb_cf_check *table_of(const char *promise)
{
    for (size_t i = 0; i < sizeof all_tables / sizeof all_tables[0]; i++) {
        for (const wb_cf_check *check = all_tables[i]; check->promise != NULL; check++) {
            if (strcmp(check->promise, promise) == 0)
                return all_tables[i];
        }
    }
    assert_string_equal(promise, "delete-empties");
    return all_tables[0];
}

/* One run of the table that has the promise; whether it was named. */
static bool flaw_is_found(size_t i, int *broken)
{
    const wb_cf_check *const tables[] = {table_of(flaws[i].promise), NULL};
    verdict v = {.told = true};
    blob_store *s;

    test_watchdog(120);
    test_ok(flawstore_new(&s, flaws[i].flaw));
    *broken = wb_cf_run(s, note, &v, tables);
    assert_int_equal(*broken, v.count);
    assert_true(v.told);
    test_ok(blob_store_close(s, NULL));
    return names(&v, flaws[i].promise);
}

/* A race is met by chance, on a machine with one free processor seldom: the script may need several runs for it. */
static void every_flaw_is_found_and_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof flaws / sizeof flaws[0]; i++) {
        int broken, runs = strncmp(flaws[i].name, "FLAW_RACE", 9) == 0 ? 50 : 1;
        bool found = false;

        while (!found && runs-- > 0)
            found = flaw_is_found(i, &broken);
        if (!found)
            fail_msg("%s is not found as %s (%d others)", flaws[i].name, flaws[i].promise, broken);
    }
}

/* A flaw that no test looks for would look like one that is found. */
static void every_flaw_is_looked_for(void **state)
{
    (void)state;
    for (int f = FLAW_NONE + 1; f <= FLAW_RACE_LEN; f++) {
        bool found = false;
        for (size_t i = 0; i < sizeof flaws / sizeof flaws[0]; i++)
            found = found || (int)flaws[i].flaw == f;
        if (!found)
            fail_msg("flaw number %d", f);
    }
}

/* ---- when the suite cannot run --------------------------------------------------------------------------------- */

static void needs_an_empty_store_that_takes_any_key(void **state)
{
    faultstore *f;
    blob_store *s;

    (void)state;
    test_status(conform_run(NULL, print, NULL), -EINVAL);
    test_ok(flawstore_new(&s, FLAW_NONE));
    test_ok(faultstore_new(&f, s));
    test_put(s, test_key("k"), "x");
    test_status(conform_run(s, print, NULL), -ENOTEMPTY);
    test_expect(s, test_key("k"), "x");
    test_ok(blob_store_delete(s, NULL, test_key("k"), 0));

    faultstore_set_traits(f, BLOB_TRAIT_CHECKS_KEYS);
    test_status(conform_run(faultstore_store(f), print, NULL), BLOB_UNSUPPORTED);
    faultstore_set_traits(f, 0);
    faultstore_fail(f, FAULT_LIST, BLOB_UNAVAILABLE, 1);
    test_status(conform_run(faultstore_store(f), print, NULL), BLOB_UNAVAILABLE);
    test_ok(blob_store_close(faultstore_store(f), NULL));
    test_ok(blob_store_close(s, NULL));
}

static void a_store_that_refuses_everything_is_reported_by_every_table(void **state)
{
    static const unsigned ops[] = {FAULT_GET, FAULT_PUT,     FAULT_DELETE,  FAULT_SIZE,
                                   FAULT_LEN, FAULT_CAS_KEY, FAULT_CAS_PUT, FAULT_ANY & ~FAULT_LIST};
    static const char *const promises[] = {"key-empty",       "put-get", "ctx-in-time",      "list-order",
                                           "get-during-list", "cas-key", "threads-own-keys", "threads-len"};
    verdict v;

    (void)state;
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        faultstore *f;
        blob_store *s;

        v = (verdict){.told = true};
        test_ok(flawstore_new(&s, FLAW_NONE));
        test_ok(faultstore_new(&f, s));
        faultstore_fail(f, ops[i], BLOB_UNAVAILABLE, 0);
        assert_true(conform_run(faultstore_store(f), note, &v) > 0);
        assert_true(v.told);
        test_ok(blob_store_close(faultstore_store(f), NULL));
        test_ok(blob_store_close(s, NULL));
    }
    for (size_t i = 0; i < sizeof promises / sizeof promises[0]; i++)
        assert_true(names(&v, promises[i]));
}

static void a_report_is_optional(void **state)
{
    blob_store *s;

    (void)state;
    test_ok(flawstore_new(&s, FLAW_LIST_SIZE));
    assert_int_equal(conform_run(s, NULL, NULL), 1);
    test_ok(blob_store_close(s, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_store_passes),
        cmocka_unit_test(memstore_passes),
        cmocka_unit_test(a_fault_store_without_rules_passes),
        cmocka_unit_test(every_flaw_is_found_and_named),
        cmocka_unit_test(every_flaw_is_looked_for),
        cmocka_unit_test(needs_an_empty_store_that_takes_any_key),
        cmocka_unit_test(a_store_that_refuses_everything_is_reported_by_every_table),
        cmocka_unit_test(a_report_is_optional),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
