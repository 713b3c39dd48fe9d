/* test_conform_broken.c - broken stores, each of which a newcomer might write, go through blob_conform as a newcomer
 * would run it: it names the promise that is broken. test_conform.c has more of them, for one part of the suite each. */
#include "flawstore.h"
#include "testutil.h"

#include <stdio.h>
#include <string.h>
#include <wbstore/testkit.h>

static const struct broken {
    flaw flaw;
    const char *what, *promise;
} stores[] = {
    {FLAW_GET_MISSING_EMPTY, "takes a missing blob for an empty one", "get-missing"},
    {FLAW_MISSING_HOLLOW, "finds what is missing, and no blob", "get-missing"},
    {FLAW_DELETE_MISSING_OK, "deletes what is not there", "delete-missing"},
    {FLAW_DELETE_KEEPS, "does not delete", "delete-empties"},
    {FLAW_LAZY_KEEPS, "takes a lazy delete for none", "delete-lazy"},
    {FLAW_PUT_BORROWS, "keeps a pointer to the caller's bytes", "put-copies"},
    {FLAW_PUT_OVERWRITES, "overwrites unasked", "put-exists"},
    {FLAW_REPLACE_REFUSED, "does not replace", "put-replace"},
    {FLAW_REPLACE_IN_PLACE, "writes into bytes that it has handed out", "get-outlives-replace"},
    {FLAW_EMPTY_KEY, "has no place for the empty key", "key-empty"},
    {FLAW_KEY_ENDS_AT_ZERO, "takes keys for strings", "key-bytes"},
    {FLAW_KEY_CUT, "cuts long keys", "key-lengths"},
    {FLAW_EMPTY_BLOB, "cannot tell an empty blob from none", "blob-empty"},
    {FLAW_SIZE_16_BIT, "has room for 64 KiB", "blob-sizes"},
    {FLAW_LEN_COUNTS_PUTS, "counts puts, not keys", "len"},
    {FLAW_LIST_SIGNED, "compares bytes as signed", "list-order"},
    {FLAW_LIST_AFTER_START, "lists from behind the start", "list-start"},
    {FLAW_LIST_PREFIX, "takes the start for a prefix", "list-start-is-no-prefix"},
    {FLAW_LIST_ONE_PAGE, "lists one page", "list-many"},
    {FLAW_LIST_ENDLESS, "begins its listing again and again", "list-order"},
    {FLAW_LIST_GOES_ON, "does not stop", "list-stop"},
    {FLAW_LIST_SWALLOWS, "swallows the callback's status", "list-status"},
    {FLAW_LIST_LOCKS_GET, "cannot get while it lists", "get-during-list"},
    {FLAW_CTX_CUTS_LIST, "takes a cancel for the end of the list", "ctx-cancel-in-list"},
    {FLAW_CAS_PUT_EXISTS, "refuses an address that is there", "cas-put-twice"},
    {FLAW_IN_DOUBT, "is never in doubt, and less", "table"},
};

typedef struct verdict {
    const char *wanted;
    int reports, named;
} verdict;

static void note(void *arg, const char *promise, const char *detail)
{
    verdict *v = arg;

    assert_true(detail[0] != '\0' && strchr(detail, '\n') == NULL);
    v->reports++;
    v->named += strcmp(promise, v->wanted) == 0;
}

static void each_broken_store_is_caught_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof stores / sizeof stores[0]; i++) {
        verdict v = {.wanted = stores[i].promise};
        blob_store *s;
        int broken;

        test_watchdog(120);
        test_ok(flawstore_new(&s, stores[i].flaw));
        broken = blob_conform(s, note, &v);
        assert_int_equal(broken, v.reports);
        if (v.named != 1)
            fail_msg("a store that %s is named %d times as %s, of %d", stores[i].what, v.named, v.wanted, broken);
        test_ok(blob_store_close(s, NULL));
    }
}

static void a_store_with_no_flaw_is_not(void **state)
{
    verdict v = {.wanted = ""};
    blob_store *s;

    (void)state;
    test_watchdog(120);
    test_ok(flawstore_new(&s, FLAW_NONE));
    test_ok(blob_conform(s, note, &v));
    assert_int_equal(v.reports, 0);
    test_ok(blob_store_close(s, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_broken_store_is_caught_by_name),
        cmocka_unit_test(a_store_with_no_flaw_is_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
