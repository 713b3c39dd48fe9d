/* test_logstore_rescue.c - a file fails while it holds what was told done and is not synced yet: puts, replaces, deletes,
 * and tombstones that nobody waits for. All of it goes on in the next file, and the one that failed is let alone. */
#include "simlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* After "absk", which is synced: what is not. */
static const char *const unsynced[] = {"A", "S", "r", "Aa", "rA", "l", "lS", "la", "AB", "rS", "gAl", "m", ""};
#define WORKLOADS (sizeof unsynced / sizeof unsynced[0])

static void must(simlog *s, bool right, const char *ops)
{
    if (right && s->wrong[0] == '\0')
        return;
    print_error("%s: %s\n", ops, s->wrong);
    simdisk_print_trace(s->disk, stderr);
    fail();
}

static void end(simlog *s, bool cut)
{
    if (cut)
        simdisk_power_cut(s->disk, &(simdisk_fate){SIMDISK_DROPPED, SIMDISK_DROPPED, false, 1, NULL});
    else
        simdisk_kill(s->disk);
    simlog_bury(s);
}

/* rest: what meets the fault, and ends with a sync. */
static void fail_once(const char *ops, unsigned failing, const char *rest, bool cut, blob_logstore_sync sync)
{
    simlog s;

    simlog_init(&s, simdisk_new(1), sync);
    must(&s, simlog_run(&s, "absk") && simlog_run(&s, ops), ops);
    simdisk_fail(s.disk, &(simdisk_fault){.ops = failing, .count = 1, .status = -EIO, .lost = SIMDISK_DROPPED});
    must(&s, simlog_run(&s, rest), ops);
    simdisk_mend(s.disk);
    must(&s, simlog_check(&s, SIMLOG_NOW), ops);
    assert_int_equal(simdisk_writes_to_failed(s.disk), 0);
    end(&s, cut);
    must(&s, simlog_open(&s, cut ? SIMLOG_CUT : SIMLOG_KILLED) && simlog_run(&s, "rAsko") && simlog_close(&s), ops);
    simdisk_free(s.disk);
}

static void what_is_not_synced_yet_outlives_its_file(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKLOADS; i++) {
        for (unsigned cut = 0; cut < 2; cut++) {
            fail_once(unsynced[i], SIMDISK_BIT(SIMDISK_SYNC), "k", cut, BLOB_LOGSTORE_SYNC_INTERVAL);
            fail_once(unsynced[i], SIMDISK_BIT(SIMDISK_SYNC), "rk", cut, BLOB_LOGSTORE_SYNC_INTERVAL);
            fail_once(unsynced[i], SIMDISK_BIT(SIMDISK_WRITE), "bSk", cut, BLOB_LOGSTORE_SYNC_INTERVAL);
            fail_once(unsynced[i], SIMDISK_BIT(SIMDISK_SYNC), "rk", cut, BLOB_LOGSTORE_SYNC_EACH);
            fail_once(unsynced[i], SIMDISK_BIT(SIMDISK_WRITE), "rk", cut, BLOB_LOGSTORE_SYNC_EACH);
        }
        fail_once(unsynced[i], SIMDISK_BIT(SIMDISK_WRITE), "rk", false, BLOB_LOGSTORE_SYNC_NEVER);
    }
}

/* a is replaced over and over, so segments die, and whoever writes has to make room himself: c is put again beside it, and
 * may be what was not synced yet. */
static bool fail_sync(unsigned before, blob_logstore_sync sync)
{
    simlog s;
    bool failed;

    simlog_init(&s, simdisk_new(1), sync);
    s.options.sync_interval_ms = INT32_MAX;
    must(&s, simlog_run(&s, "ask"), "begin");
    for (unsigned i = 0; i < before; i++)
        must(&s, simlog_run(&s, i % 2 == 0 ? "r" : "rSs"), "before");
    simdisk_fail(s.disk, &(simdisk_fault){
                             .ops = SIMDISK_BIT(SIMDISK_SYNC), .count = 1, .status = -EIO, .lost = SIMDISK_DROPPED});
    must(&s, simlog_run(&s, "rr"), "after");
    failed = simdisk_failed(s.disk) > 0;
    simdisk_mend(s.disk);
    must(&s, simlog_run(&s, "k"), "after");
    end(&s, true);
    must(&s, simlog_open(&s, SIMLOG_CUT) && simlog_close(&s), "cut");
    simdisk_free(s.disk);
    return failed;
}

static void a_sync_that_fails_while_room_is_made_loses_nothing(void **state)
{
    unsigned failed = 0;

    (void)state;
    for (unsigned before = 0; before < 30; before++) {
        failed += fail_sync(before, BLOB_LOGSTORE_SYNC_INTERVAL);
        assert_true(fail_sync(before, BLOB_LOGSTORE_SYNC_EACH));
    }
    assert_true(failed > 5); /* or this test is about nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_synced_yet_outlives_its_file),
        cmocka_unit_test(a_sync_that_fails_while_room_is_made_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
