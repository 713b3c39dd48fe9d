/* test_conform.c - the conformance suite passes stores that keep their promises and names the promise that one breaks.
 * Each flaw of flawstore.h is one that a real store might have. */
#include "testkit/conform_int.h"
#include "testfault.h"
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
    char detail[120];
} verdict; /* promises and detail: of the first reports, and the last */

static void note(void *arg, const char *promise, const char *detail)
{
    verdict *v = arg;

    if (v->count < 64)
        snprintf(v->promises[v->count], sizeof v->promises[0], "%s", promise);
    v->count++;
    snprintf(v->detail, sizeof v->detail, "%s", detail);
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
    test_status(blob_conform(s, print, NULL), 0);
    test_status(wb_cf_conform_deletes(s, print, NULL), 0);
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
    blob_faultstore *f;
    blob_store *s;

    (void)state;
    test_ok(flawstore_new(&s, FLAW_NONE));
    test_ok(test_faultstore_new(&f, s));
    passes_and_is_left_empty(blob_faultstore_store(f));
    assert_true(blob_faultstore_count(f, BLOB_FAULT_ANY).in_flight_max > 1); /* there were threads */
    test_ok(blob_store_close(blob_faultstore_store(f), NULL));
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
    F(FLAW_MISSING_HOLLOW, "get-missing"),
    F(FLAW_GET_HOLLOW, "put-get"),
    F(FLAW_SIZE_MISSING_ZERO, "size-missing"),
    F(FLAW_DELETE_MISSING_OK, "delete-missing"),
    F(FLAW_DELETE_KEEPS, "delete-empties"),
    F(FLAW_DELETE_REMEMBERS, "delete"),
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
    F(FLAW_KEY_ESCAPED, "key-every-byte"),
    F(FLAW_KEY_PREFIX, "key-prefix"),
    F(FLAW_EMPTY_BLOB, "blob-empty"),
    F(FLAW_SIZE_16_BIT, "blob-sizes"),
    F(FLAW_LEN_COUNTS_PUTS, "len"),
    F(FLAW_SIZE_WRONG, "put-get"),
    F(FLAW_LIST_EMPTY, "list-empty"),
    F(FLAW_LIST_ONE_PAGE, "list-many"),
    F(FLAW_LIST_ORDER, "list-order"),
    F(FLAW_LIST_SIGNED, "list-order"),
    F(FLAW_LIST_AFTER_START, "list-start"),
    F(FLAW_LIST_BEFORE_START, "list-start"),
    F(FLAW_LIST_WHOLE, "list-start"),
    F(FLAW_LIST_PREFIX, "list-start-is-no-prefix"),
    F(FLAW_LIST_TWICE, "list-order"),
    F(FLAW_LIST_SKIPS_LAST, "list-order"),
    F(FLAW_LIST_ENDLESS, "list-order"),
    F(FLAW_LIST_LAST_AGAIN, "list-order"),
    F(FLAW_LIST_SIZE, "list-size"),
    F(FLAW_LIST_GOES_ON, "list-stop"),
    F(FLAW_LIST_STOP_FAILS, "list-stop"),
    F(FLAW_LIST_SWALLOWS, "list-status"),
    F(FLAW_LIST_LOCKS_GET, "get-during-list"),
    F(FLAW_LIST_LOCKS_SIZE, "size-during-list"),
    F(FLAW_LIST_LOCKS_LEN, "len-during-list"),
    F(FLAW_LIST_ONE_CURSOR, "list-during-list"),
    F(FLAW_LIST_LOCKS_PUT, "put-during-list"),
    F(FLAW_LIST_HOLDS_GET, "get-during-list"),
    F(FLAW_LIST_HOLDS_SIZE, "size-during-list"),
    F(FLAW_LIST_HOLDS_LEN, "len-during-list"),
    F(FLAW_LIST_HOLDS_LIST, "list-during-list"),
    F(FLAW_LIST_HOLDS_ALL, "put-during-list"),
    F(FLAW_CTX_ENDED, "ctx-in-time"),
    F(FLAW_CTX_CUTS_LIST, "ctx-cancel-in-list"),
    F(FLAW_NO_NAME, "table"),
    F(FLAW_NO_LEN, "table"),
    F(FLAW_IN_DOUBT, "table"),
    F(FLAW_CAS_KEY_VARIES, "cas-key"),
    F(FLAW_CAS_KEY_CONSTANT, "cas-key"),
    F(FLAW_CAS_PUT_ELSEWHERE, "cas-put"),
    F(FLAW_CAS_PUT_EXISTS, "cas-put-twice"),
    F(FLAW_CAS_PUT_DROPS, "cas-put"),
    F(FLAW_CAS_PUT_REMEMBERS, "cas-put-after-delete"),
    F(FLAW_RACE_CAS, "threads-cas"),
    F(FLAW_RACE_STALE, "threads-own-keys"),
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

static const wb_cf_check *const all_tables[] = {wb_cf_keys,    wb_cf_table,   wb_cf_beside,   wb_cf_blobs,
                                                wb_cf_calls,   wb_cf_lists,   wb_cf_in_lists, wb_cf_cas,
                                                wb_cf_threads, wb_cf_changes, wb_cf_deletes};

#define SHORT_PATIENCE_MS 300

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
    /* These keep a call waiting for as long as one waits. */
    const bool holds = flaws[i].flaw >= FLAW_LIST_LOCKS_PUT && flaws[i].flaw <= FLAW_LIST_HOLDS_ALL;
    verdict v = {.told = true};
    blob_store *s;

    test_watchdog(120);
    test_ok(flawstore_new(&s, flaws[i].flaw));
    *broken = wb_cf_run(s, note, &v, tables, holds ? SHORT_PATIENCE_MS : WB_CF_PATIENCE_MS);
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

/* The likeliest mistake of all. A call from the callback would never return. */
static void a_store_that_lists_under_its_only_lock_is_told_so_once(void **state)
{
    verdict v = {.told = true};
    blob_store *s;

    (void)state;
    test_watchdog(120);
    test_ok(flawstore_new(&s, FLAW_LIST_HOLDS_ALL));
    assert_int_equal(wb_cf_conform(s, note, &v, SHORT_PATIENCE_MS), 1);
    assert_true(names(&v, "put-during-list"));
    assert_int_equal(test_len(s), 0);
    test_ok(blob_store_close(s, NULL));
}

/* Hardly a check gets past it; the newcomer who wrote it hears of one mistake, not of twenty. */
static void a_get_without_a_blob_is_told_once_under_its_promise(void **state)
{
    static const struct {
        flaw flaw;
        const char *promise, *detail;
    } hollow[] = {
        {FLAW_GET_HOLLOW, "put-get", "get returned 0 and no blob"},
        {FLAW_MISSING_HOLLOW, "get-missing", "get of a key that is not there returned 0 and no blob"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof hollow / sizeof hollow[0]; i++) {
        verdict v = {.told = true};
        blob_store *s;

        test_watchdog(120);
        test_ok(flawstore_new(&s, hollow[i].flaw));
        assert_int_equal(blob_conform(s, note, &v), 1);
        assert_int_equal(v.count, 1);
        assert_true(names(&v, hollow[i].promise));
        assert_string_equal(v.detail, hollow[i].detail);
        test_ok(blob_store_close(s, NULL));
    }
}

/* It would never be told of at all if one callback went along. */
static void a_listing_without_end_is_ended_by_every_check(void **state)
{
    static const flaw endless[] = {FLAW_LIST_ENDLESS, FLAW_LIST_LAST_AGAIN};
    static const char *const promises[] = {"list-order", "ctx-in-time", "put-during-list", "len-during-list",
                                           "threads-list"};

    (void)state;
    for (size_t i = 0; i < sizeof endless / sizeof endless[0]; i++) {
        verdict v = {.told = true};
        blob_store *s;
        int broken;

        test_watchdog(120);
        test_ok(flawstore_new(&s, endless[i]));
        broken = blob_conform(s, note, &v);
        assert_int_equal(broken, v.count);
        assert_true(v.told);
        for (size_t k = 0; k < sizeof promises / sizeof promises[0]; k++) {
            if (!names(&v, promises[k]))
                fail_msg("%s is not named, where the listing has no end (%zu)", promises[k], i);
        }
        assert_int_equal(names(&v, "ctx-cancel-in-list"), endless[i] == FLAW_LIST_LAST_AGAIN);
        test_ok(blob_store_close(s, NULL));
    }
}

/* Promises that the checked calls of blob_store.h keep, whatever the store does: no flaw can break them. */
static const char *const kept_by_the_calls[] = {"key-too-long",  "arguments",     "flags",         "outs-cleared",
                                                "ctx-cancelled", "ctx-timed-out", "cas-arguments", "cas-cancelled"};

static bool has_a_flaw(const char *promise)
{
    for (size_t i = 0; i < sizeof kept_by_the_calls / sizeof kept_by_the_calls[0]; i++) {
        if (strcmp(kept_by_the_calls[i], promise) == 0)
            return true;
    }
    for (size_t i = 0; i < sizeof flaws / sizeof flaws[0]; i++) {
        if (strcmp(flaws[i].promise, promise) == 0)
            return true;
    }
    return false;
}

/* A check that no store has ever failed might check nothing. */
static void every_promise_is_broken_by_some_flaw(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof all_tables / sizeof all_tables[0]; i++) {
        for (const wb_cf_check *check = all_tables[i]; check->promise != NULL; check++) {
            if (!has_a_flaw(check->promise))
                fail_msg("no flaw breaks %s", check->promise);
        }
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
    blob_faultstore *f;
    blob_store *s;

    (void)state;
    test_status(blob_conform(NULL, print, NULL), -EINVAL);
    test_ok(flawstore_new(&s, FLAW_NONE));
    test_ok(test_faultstore_new(&f, s));
    test_put(s, test_key("k"), "x");
    test_status(blob_conform(s, print, NULL), -ENOTEMPTY);
    test_expect(s, test_key("k"), "x");
    test_ok(blob_store_delete(s, NULL, test_key("k"), 0));

    blob_faultstore_set_traits(f, BLOB_TRAIT_CHECKS_KEYS);
    test_status(blob_conform(blob_faultstore_store(f), print, NULL), BLOB_UNSUPPORTED);
    blob_faultstore_set_traits(f, 0);
    blob_faultstore_fail(f, BLOB_FAULT_LIST, BLOB_UNAVAILABLE, 1);
    test_status(blob_conform(blob_faultstore_store(f), print, NULL), BLOB_UNAVAILABLE);
    test_ok(blob_store_close(blob_faultstore_store(f), NULL));
    test_ok(blob_store_close(s, NULL));
}

static void a_store_that_refuses_everything_is_reported_by_every_table(void **state)
{
    static const unsigned ops[] = {
        BLOB_FAULT_GET, BLOB_FAULT_PUT,     BLOB_FAULT_DELETE,  BLOB_FAULT_SIZE,
        BLOB_FAULT_LEN, BLOB_FAULT_CAS_KEY, BLOB_FAULT_CAS_PUT, BLOB_FAULT_ANY & ~BLOB_FAULT_LIST};
    static const char *const promises[] = {"key-empty",  "put-get",          "ctx-in-time",
                                           "list-order", "get-during-list",  "put-during-list",
                                           "cas-key",    "threads-own-keys", "threads-len"};
    verdict v;

    (void)state;
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        blob_faultstore *f;
        blob_store *s;

        v = (verdict){.told = true};
        test_watchdog(120);
        test_ok(flawstore_new(&s, FLAW_NONE));
        test_ok(test_faultstore_new(&f, s));
        blob_faultstore_fail(f, ops[i], BLOB_UNAVAILABLE, 0);
        assert_true(blob_conform(blob_faultstore_store(f), note, &v) > 0);
        assert_true(v.told);
        test_ok(blob_store_close(blob_faultstore_store(f), NULL));
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
    assert_int_equal(blob_conform(s, NULL, NULL), 1);
    test_ok(blob_store_close(s, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_store_passes),
        cmocka_unit_test(memstore_passes),
        cmocka_unit_test(a_fault_store_without_rules_passes),
        cmocka_unit_test(every_flaw_is_found_and_named),
        cmocka_unit_test(a_store_that_lists_under_its_only_lock_is_told_so_once),
        cmocka_unit_test(a_get_without_a_blob_is_told_once_under_its_promise),
        cmocka_unit_test(a_listing_without_end_is_ended_by_every_check),
        cmocka_unit_test(every_promise_is_broken_by_some_flaw),
        cmocka_unit_test(every_flaw_is_looked_for),
        cmocka_unit_test(needs_an_empty_store_that_takes_any_key),
        cmocka_unit_test(a_store_that_refuses_everything_is_reported_by_every_table),
        cmocka_unit_test(a_report_is_optional),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
