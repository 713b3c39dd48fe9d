/* test_logstore_faults.c - every operation that a log asks of its disk fails once, or from there on, in every way that it
 * can: what was promised is there, now, after a kill, and after a power cut.
 *
 * Each workload is run once to see its operations; then again for each of them and each fault that fits it. Environment:
 *
 *   LOGSTORE_FAULTS_CASE   only this one, as a failure prints it: workload:operation:fault
 *   LOGSTORE_FAULTS_SCALE  how many outcomes of power cuts more than by default are looked at */
#include "simlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CALLS_MAX 1000
#define FAILURES_MAX 20

static const char *const workloads[] = {
    "aAarlaB",   /* on one key */
    "abghk",     /* through several segments */
    "bagBGkks",  /* a straggler goes forward */
    "ghGkaHkb",  /* a spare is used again */
    "abxrxgko",  /* crashes */
    "alsolrLok", /* lazily */
    "gGgGgGgGk", /* on and on */
    "abpaskxgr", /* a torn tail */
};
#define WORKLOADS (sizeof workloads / sizeof workloads[0])

#define FIRST_CALLS (SIMDISK_BIT(SIMDISK_CREATE) | SIMDISK_BIT(SIMDISK_WRITE))
#define MOVES (SIMDISK_BIT(SIMDISK_READ) | SIMDISK_BIT(SIMDISK_WRITE))
#define SYNCS (SIMDISK_BIT(SIMDISK_SYNC) | SIMDISK_BIT(SIMDISK_SYNC_FOLDER))
#define EFFECTS                                                                                                        \
    (SIMDISK_BIT(SIMDISK_WRITE) | SIMDISK_BIT(SIMDISK_RENAME) | SIMDISK_BIT(SIMDISK_REMOVE) |                          \
     SIMDISK_BIT(SIMDISK_TRUNCATE) | SIMDISK_BIT(SIMDISK_CLOSE))

/* ops: those that it can come to. gone: from there on every operation of any kind fails. */
static const struct {
    simdisk_fault fault;
    bool gone;
} faults[] = {
    {{.ops = SIMDISK_ANY, .status = -EIO, .count = 1, .lost = SIMDISK_DROPPED}, false},
    {{.ops = SIMDISK_ANY, .status = -EIO, .lost = SIMDISK_DROPPED}, false},
    {{.ops = SIMDISK_ANY, .status = -EIO, .lost = SIMDISK_MIXED}, true},
    {{.ops = EFFECTS, .status = -EIO, .count = 1, .after = true}, false},
    {{.ops = EFFECTS, .status = -EIO, .after = true}, false},
    {{.ops = FIRST_CALLS, .status = -ENOSPC, .count = 1}, false},
    {{.ops = FIRST_CALLS, .status = -ENOSPC}, false},
    {{.ops = MOVES, .count = 1}, false},
    {{.ops = MOVES}, false},
    {{.ops = SYNCS, .status = -EIO, .count = 1, .lost = SIMDISK_KEPT}, false},
    {{.ops = SYNCS, .status = -EIO, .count = 1, .lost = SIMDISK_MIXED}, false},
    {{.ops = SYNCS, .status = -EIO, .count = 2, .lost = SIMDISK_DROPPED}, false},
    {{.ops = SYNCS, .status = -EIO, .lost = SIMDISK_MIXED}, false},
};
#define FAULTS (sizeof faults / sizeof faults[0])

static uint64_t cases, failures;

static uint64_t scale(void)
{
    const char *text = getenv("LOGSTORE_FAULTS_SCALE");

    return text != NULL && atoll(text) > 0 ? (uint64_t)atoll(text) : 1;
}

static void report(const simlog *s, const char *name)
{
    failures++;
    fprintf(stderr, "LOGSTORE_FAULTS_CASE='%s': %s\n", name, s->wrong);
    if (failures <= 3)
        simdisk_print_trace(s->disk, stderr);
}

/* ---- what must hold once a fault has come and gone ------------------------------------------------------------- */

/* The log, opened on what is left, keeps its word, and can be used. */
static bool open_what_is_left(const simlog *from, simlog_after after, const simdisk_fate *fate, const char *name)
{
    bool right;

    simdisk *disk = simdisk_clone(from->disk);
    simlog s;

    simlog_fork(&s, from, disk);
    simdisk_note(disk, "%s", fate != NULL ? "power cut" : "kill");
    simdisk_kill(disk);
    if (fate != NULL)
        simdisk_power_cut(disk, fate);
    else if (after == SIMLOG_CUT)
        simdisk_drop_cache(disk);
    right = simlog_open(&s, after) && simlog_run(&s, "rsgkGxs") && simlog_close(&s);
    if (!right)
        report(&s, name);
    simdisk_kill(disk);
    simlog_bury(&s);
    simdisk_free(disk);
    return right;
}

/* What is left of a log that turned read-only: reads, and lazy deletes in memory. */
static bool reads_and_drains(simlog *s)
{
    blob_logstore_info info = {.struct_size = sizeof info};

    if (blob_logstore_get_info(s->store, &info) != 0)
        return simlog_wrong(s, "no info");
    if (info.read_only == 0)
        return true;
    if (info.read_only != 2 || info.text[0] == '\0')
        return simlog_wrong(s, "read-only %u, '%s'", info.read_only, info.text);
    s->faults = true;
    if (!simlog_do(s, 'r'))
        return false;
    if (s->status != BLOB_DENIED)
        return simlog_wrong(s, "a put into a log turned read-only: %d", s->status);
    if (!simlog_do(s, 'A'))
        return false;
    if (s->status != BLOB_DENIED && s->status != BLOB_NOT_FOUND)
        return simlog_wrong(s, "a delete in a log turned read-only: %d", s->status);
    if (!simlog_do(s, 'l'))
        return false;
    if (s->status != 0 && s->status != BLOB_NOT_FOUND)
        return simlog_wrong(s, "a lazy delete in a log turned read-only: %d", s->status);
    s->faults = false;
    return simlog_check(s, SIMLOG_NOW);
}

static void check_aftermath(simlog *s, const char *name)
{
    static const simdisk_fate plain[] = {{SIMDISK_KEPT, SIMDISK_KEPT, false, 1, NULL},
                                         {SIMDISK_DROPPED, SIMDISK_DROPPED, false, 2, NULL},
                                         {SIMDISK_GARBAGE, SIMDISK_KEPT, false, 3, NULL}};

    bool right;

    simdisk_mend(s->disk);
    s->faults = false;
    if (simdisk_writes_to_failed(s->disk) > 0)
        simlog_wrong(s, "a file that failed was written again");
    if (s->wrong[0] == '\0' && s->store != NULL && simlog_check(s, SIMLOG_NOW))
        reads_and_drains(s);
    if (s->wrong[0] != '\0') {
        report(s, name);
        return;
    }
    right = open_what_is_left(s, SIMLOG_KILLED, NULL, name) && open_what_is_left(s, SIMLOG_CUT, NULL, name);
    for (uint64_t i = 0; right && i < 4 + scale(); i++) {
        simdisk_fate mixed = {SIMDISK_MIXED, SIMDISK_MIXED, false, i + cases, NULL};
        right = open_what_is_left(s, SIMLOG_CUT, i < 3 ? &plain[i] : &mixed, name);
    }
    if (!right)
        return;
    /* And the process that saw the fault goes on, as well as it can. */
    s->faults = true;
    if (!simlog_run(s, "rsbk"))
        report(s, name);
    s->faults = false;
    if (s->wrong[0] == '\0' && s->store != NULL && !simlog_check(s, SIMLOG_NOW))
        report(s, name);
}

/* ---- the faults ------------------------------------------------------------------------------------------------ */

static void run_case(size_t workload, const simdisk_op *calls, uint64_t at, size_t which)
{
    char name[64];
    simdisk *disk = simdisk_new(workload + 1);
    simdisk_fault fault = faults[which].fault;
    simlog s;

    snprintf(name, sizeof name, "%zu:%llu:%zu", workload, (unsigned long long)at, which);
    simlog_init(&s, disk, BLOB_LOGSTORE_SYNC_EACH);
    s.faults = true;
    if (faults[which].gone) {
        fault.skip = at;
    } else {
        fault.ops = SIMDISK_BIT(calls[at]);
        for (uint64_t i = 0; i < at; i++)
            fault.skip += calls[i] == calls[at];
    }
    simdisk_fail(disk, &fault);
    if (simlog_run(&s, workloads[workload]))
        check_aftermath(&s, name);
    else
        report(&s, name);
    simdisk_kill(disk);
    simlog_bury(&s);
    simdisk_free(disk);
    cases++;
}

typedef struct calls_seen {
    simdisk_op list[CALLS_MAX];
    uint64_t count;
} calls_seen;

static void see_call(void *arg, const simdisk_call *call)
{
    calls_seen *seen = arg;

    if (seen->count < CALLS_MAX)
        seen->list[seen->count++] = call->op;
}

static void see_workload(size_t workload, calls_seen *seen)
{
    simdisk *disk = simdisk_new(workload + 1);
    simlog s;

    seen->count = 0;
    simlog_init(&s, disk, BLOB_LOGSTORE_SYNC_EACH);
    simdisk_watch(disk, see_call, seen);
    if (!simlog_run(&s, workloads[workload]))
        report(&s, workloads[workload]);
    simdisk_watch(disk, NULL, NULL);
    simdisk_kill(disk);
    simlog_bury(&s);
    simdisk_free(disk);
}

static void whatever_fails_no_promise_does(void **state)
{
    const char *only = getenv("LOGSTORE_FAULTS_CASE");
    unsigned long long want_workload = 0, want_at = 0, want_fault = 0;
    calls_seen seen;

    (void)state;
    if (only != NULL) {
        char *rest;
        want_workload = strtoull(only, &rest, 10);
        want_at = strtoull(rest + 1, &rest, 10);
        want_fault = strtoull(rest + 1, &rest, 10);
    }
    for (size_t w = 0; w < WORKLOADS; w++) {
        see_workload(w, &seen);
        for (uint64_t at = 0; at < seen.count; at++)
            for (size_t f = 0; f < FAULTS && failures < FAILURES_MAX; f++)
                if ((faults[f].fault.ops & SIMDISK_BIT(seen.list[at])) != 0 &&
                    (only == NULL || (w == want_workload && at == want_at && f == want_fault)))
                    run_case(w, seen.list, at, f);
    }
    fprintf(stderr, "%llu cases\n", (unsigned long long)cases);
    assert_int_equal(failures, 0);
}

/* ---- told one by one ------------------------------------------------------------------------------------------- */

static void must(simlog *s, bool right)
{
    if (!right || s->wrong[0] != '\0') {
        report(s, "-");
        fail();
    }
}

static void bury(simlog *s)
{
    simdisk_kill(s->disk);
    simlog_bury(s);
    simdisk_free(s->disk);
}

static void one_failed_sync_is_not_noticed_by_the_caller(void **state)
{
    static const unsigned ops[] = {SIMDISK_BIT(SIMDISK_SYNC), SIMDISK_BIT(SIMDISK_WRITE)};
    simlog s;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        simlog_init(&s, simdisk_new(1), BLOB_LOGSTORE_SYNC_EACH);
        must(&s, simlog_run(&s, "ab"));
        simdisk_fail(s.disk, &(simdisk_fault){.ops = ops[i], .count = 1, .status = -EIO, .lost = SIMDISK_DROPPED});
        must(&s, simlog_run(&s, "s")); /* 0, or it is wrong */
        assert_int_equal(simdisk_failed(s.disk), 1);
        must(&s, simlog_run(&s, "rAskg"));
        assert_int_equal(simdisk_writes_to_failed(s.disk), 0);
        simdisk_power_cut(s.disk, &(simdisk_fate){SIMDISK_DROPPED, SIMDISK_DROPPED, false, 1, NULL});
        simlog_bury(&s);
        must(&s, simlog_open(&s, SIMLOG_CUT));
        must(&s, simlog_run(&s, "kkbko"));
        bury(&s);
    }
}

static void when_the_second_file_fails_too_the_log_is_read_only(void **state)
{
    static const unsigned ops[] = {SIMDISK_BIT(SIMDISK_SYNC), SIMDISK_BIT(SIMDISK_WRITE)};
    blob_logstore_info info = {.struct_size = sizeof info};
    simlog s;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        simlog_init(&s, simdisk_new(1), BLOB_LOGSTORE_SYNC_EACH);
        must(&s, simlog_run(&s, "ab"));
        simdisk_fail(s.disk, &(simdisk_fault){.ops = ops[i], .status = -EIO, .lost = SIMDISK_DROPPED});
        s.faults = true;
        must(&s, simlog_do(&s, 's'));
        assert_int_equal(s.status, -EIO);
        must(&s, simlog_do(&s, 'r'));
        assert_int_equal(s.status, BLOB_DENIED);
        simdisk_mend(s.disk);
        must(&s, simlog_do(&s, 'B'));
        assert_int_equal(s.status, BLOB_DENIED);
        must(&s, simlog_do(&s, 'l'));
        assert_int_equal(s.status, 0);
        must(&s, simlog_check(&s, SIMLOG_NOW));
        test_ok(blob_logstore_get_info(s.store, &info));
        assert_int_equal(info.read_only, 2);
        assert_true(info.text[0] != '\0');
        must(&s, simlog_close(&s));
        s.faults = false;
        must(&s, simlog_open(&s, SIMLOG_KILLED));
        must(&s, simlog_run(&s, "rBo"));
        bury(&s);
    }
}

/* ---- a full disk ----------------------------------------------------------------------------------------------- */

static simdisk *full_disk; /* whose trace to print */

static int print_full_disk(void **state)
{
    (void)state;
    if (full_disk != NULL)
        simdisk_print_trace(full_disk, stderr);
    full_disk = NULL;
    return 0;
}

static blob_key numbered(unsigned n)
{
    static char text[16];

    snprintf(text, sizeof text, "k%03u", n);
    return test_key(text);
}

static void expect_numbered(simlog *s, unsigned count)
{
    size_t size;
    const void *bytes = simlog_payload(0, 0, 1, &size);

    assert_int_equal(test_len(s->store), count);
    for (unsigned n = 0; n < count; n++) {
        blob *b;
        test_ok(blob_store_get(s->store, NULL, numbered(n), &b));
        assert_int_equal(b->size, size);
        assert_memory_equal(b->data, bytes, size);
        blob_unref(b);
    }
}

static unsigned fill_up(simlog *s, bool keeps)
{
    size_t size;
    const void *bytes = simlog_payload(0, 0, 1, &size);
    unsigned count = 0;
    int rc;

    while ((rc = blob_store_put(s->store, NULL, numbered(count), blob_view_of(bytes, size), 0)) == 0 && count < 100)
        if (count++ % 4 == 0 && keeps) /* without: whoever writes sees to the reserve */
            test_ok(wb_log_keep(s->store));
    test_status(rc, -ENOSPC);
    for (unsigned i = 0; i < 3; i++)
        test_status(blob_store_put(s->store, NULL, numbered(count), blob_view_of(bytes, size), 0), -ENOSPC);
    return count;
}

static void open_raw(simlog *s)
{
    test_ok(wb_log_open(&s->store, simdisk_mount(s->disk), "sim", &s->options, LOG_NO_KEEPER));
}

/* how: what happens between filling and emptying; 0 nothing, 1 close and open, 2 kill, 3 power cut, 4 keep. */
static void fill_and_empty(unsigned how, bool lowered, bool lazy, bool keeps)
{
    simdisk *disk = simdisk_new(how);
    simlog s;
    unsigned count, again;

    simlog_init(&s, disk, BLOB_LOGSTORE_SYNC_EACH);
    simdisk_note(disk, "how %u%s%s%s", how, lowered ? ", lowered" : "", lazy ? ", lazy" : "", keeps ? ", keeps" : "");
    full_disk = disk;
    simdisk_capacity(disk, UINT64_C(8) * 65536);
    open_raw(&s);
    count = fill_up(&s, keeps);
    assert_true(count >= 12);
    if (lowered) /* others take what is left */
        simdisk_capacity(disk, simdisk_used(disk));
    if (how == 1)
        test_ok(blob_store_close(s.store, NULL));
    if (how == 2)
        simdisk_kill(disk);
    if (how == 3)
        simdisk_power_cut(disk, &(simdisk_fate){SIMDISK_DROPPED, SIMDISK_DROPPED, false, 1, NULL});
    if (how == 2 || how == 3)
        simlog_bury(&s);
    if (how >= 1 && how <= 3)
        open_raw(&s);
    if (how == 4)
        test_ok(wb_log_keep(s.store));
    expect_numbered(&s, count);
    for (unsigned n = 0; n < count; n++) {
        simdisk_note(disk, "delete %u", n);
        test_ok(blob_store_delete(s.store, NULL, numbered(n), lazy ? BLOB_LAZY : 0));
        if (keeps && n % 4 == 3)
            test_ok(wb_log_keep(s.store));
    }
    assert_int_equal(test_len(s.store), 0);
    test_ok(wb_log_keep(s.store));
    simdisk_capacity(disk, UINT64_C(8) * 65536);
    for (unsigned i = 0; i < 3; i++)
        test_ok(wb_log_keep(s.store));
    again = fill_up(&s, keeps);
    assert_true(again + 3 >= count);
    expect_numbered(&s, again);
    test_ok(blob_store_close(s.store, NULL));
    s.store = NULL;
    open_raw(&s);
    expect_numbered(&s, again);
    test_ok(blob_store_close(s.store, NULL));
    simdisk_free(disk);
    full_disk = NULL;
}

static void a_full_disk_can_empty_itself(void **state)
{
    (void)state;
    for (unsigned how = 0; how <= 4; how++)
        for (unsigned i = 0; i < 8; i++)
            fill_and_empty(how, i & 1, i & 2, i & 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_failed_sync_is_not_noticed_by_the_caller),
        cmocka_unit_test(when_the_second_file_fails_too_the_log_is_read_only),
        cmocka_unit_test_teardown(a_full_disk_can_empty_itself, print_full_disk),
        cmocka_unit_test(whatever_fails_no_promise_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
