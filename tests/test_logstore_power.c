/* test_logstore_power.c - the power goes at every operation that a log asks of its disk, and at every one of the
 * recovery after that, and what was promised is there.
 *
 * All workloads of up to three operations from several starts are run; before each operation that changes something on
 * the disk, and after the last, the disk is cloned, the power of the clone cut with several outcomes, and the log
 * opened there, while the same is done to it in turn. Cuts within the first operations of a workload are those of a
 * shorter one, so only its last is watched. A disk that was seen before with the same promises is not looked at again.
 *
 * Then long random workloads. Environment:
 *
 *   LOGSTORE_POWER_SCALE   how much more than by default is looked at, of what cannot all be: 1, 10 ...
 *   LOGSTORE_POWER_CASE    only this workload, as a failure prints it: start:operations
 *   LOGSTORE_POWER_SEED    only the random workload of this seed, with its trace */
#include "simlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 3 /* a cut, one in its recovery, one in the recovery of that */
#define FAILURES_MAX 20

static const char *const starts[] = {
    "",        /* a new log */
    "a",       /* one blob */
    "bagBG",   /* the oldest segment has one straggler */
    "ghGk",    /* a spare to be used again */
    "abp",     /* after a crash */
    "ghaGlxk", /* tombstones under way */
};
#define STARTS (sizeof starts / sizeof starts[0])
#define MODES 2 /* those that promise something of power cuts; start + STARTS is that start in the second one */

static const char alphabet[] = "abrghAlmkox";

static struct {
    uint64_t workloads, cuts, outcomes, repeated, checks, failures;
} totals;

static uint64_t scale(void)
{
    const char *text = getenv("LOGSTORE_POWER_SCALE");

    return text != NULL && atoll(text) > 0 ? (uint64_t)atoll(text) : 1;
}

static uint64_t mixed(uint64_t a, uint64_t b)
{
    test_rng rng = {a ^ (b * UINT64_C(0x9e3779b97f4a7c15))};

    return test_random(&rng);
}

/* ---- what was seen before ----------------------------------------------------------------------------------- */

static uint64_t *seen;
static size_t seen_count, seen_room;

static bool seen_put(uint64_t *table, size_t room, uint64_t hash)
{
    size_t at = (size_t)hash & (room - 1);

    while (table[at] != 0 && table[at] != hash)
        at = (at + 1) & (room - 1);
    if (table[at] == hash)
        return false;
    table[at] = hash;
    return true;
}

static bool is_new(uint64_t hash)
{
    hash |= hash == 0;
    if (2 * seen_count >= seen_room) {
        size_t room = seen_room > 0 ? 2 * seen_room : 1 << 16;
        uint64_t *table = calloc(room, sizeof *table);
        assert_non_null(table);
        for (size_t i = 0; i < seen_room; i++)
            if (seen[i] != 0)
                seen_put(table, room, seen[i]);
        free(seen);
        seen = table;
        seen_room = room;
    }
    if (!seen_put(seen, seen_room, hash))
        return false;
    seen_count++;
    return true;
}

static void forget_seen(void)
{
    free(seen);
    seen = NULL;
    seen_count = seen_room = 0;
}

/* ---- a cut, and what follows -------------------------------------------------------------------------------- */

typedef struct run {
    simlog *s;
    const char *name; /* to have it again */
    unsigned depth;
    bool cut; /* power has gone before */
    uint64_t seed, at;
    uint64_t disk_seen, promises_seen;
} run;

static bool too_many(void)
{
    return totals.failures >= FAILURES_MAX;
}

static void report(const simlog *s, const char *name)
{
    totals.failures++;
    fprintf(stderr, "LOGSTORE_POWER_CASE='%s': %s\n", name, s->wrong);
    if (totals.failures <= 3)
        simdisk_print_trace(s->disk, stderr);
}

static void crash_here(run *r);

static void see_operation(void *arg, const simdisk_call *call)
{
    run *r = arg;

    r->at = call->number;
    crash_here(r);
}

/* The log goes on as if nothing had been, and crashes again: what it showed once is there for good. */
static bool live_on(simlog *s, uint64_t seed)
{
    static const char *const lives[] = {"o", "x", "sx", "kx", "sSo", "rk", "gp", "xx", "Ax"};
    static const simdisk_fate fates[] = {{SIMDISK_DROPPED, SIMDISK_DROPPED, false, 0, NULL},
                                         {SIMDISK_KEPT, SIMDISK_KEPT, false, 0, NULL},
                                         {SIMDISK_GARBAGE, SIMDISK_KEPT, false, 0, NULL}};

    totals.checks++;
    if (!simlog_run(s, lives[seed % (sizeof lives / sizeof lives[0])]))
        return false;
    simdisk_note(s->disk, "power cut %u", (unsigned)(seed >> 32) % 3);
    simdisk_power_cut(s->disk, &fates[(seed >> 32) % 3]);
    simlog_bury(s);
    return simlog_open(s, SIMLOG_CUT);
}

static void recover(const run *from, simdisk *disk, simlog_after after, uint64_t seed)
{
    simlog s;
    run r = {.s = &s, .name = from->name, .depth = from->depth + 1, .cut = after == SIMLOG_CUT, .seed = seed};
    bool right;

    simlog_fork(&s, from->s, disk);
    if (r.depth < DEPTH)
        simdisk_watch(disk, see_operation, &r);
    totals.checks++;
    right = simlog_open(&s, after);
    simdisk_watch(disk, NULL, NULL);
    if (right && seed % (r.depth == 1 ? 2 : 4) == 0)
        right = live_on(&s, seed / 4);
    if (!right)
        report(&s, r.name);
    simdisk_kill(disk);
    simlog_bury(&s);
}

/* The first is a kill; then the plain ones, then chance. */
static void choose_fate(simdisk_fate *fate, unsigned which, uint64_t seed)
{
    static const simdisk_fate plain[] = {{SIMDISK_KEPT, SIMDISK_KEPT, false, 0, NULL},
                                         {SIMDISK_DROPPED, SIMDISK_DROPPED, false, 0, NULL},
                                         {SIMDISK_GARBAGE, SIMDISK_KEPT, false, 0, NULL},
                                         {SIMDISK_KEPT, SIMDISK_DROPPED, false, 0, NULL},
                                         {SIMDISK_DROPPED, SIMDISK_KEPT, false, 0, NULL}};
    const unsigned plains = sizeof plain / sizeof plain[0];

    if (which <= plains)
        *fate = plain[which - 1];
    else
        *fate = (simdisk_fate){SIMDISK_MIXED, SIMDISK_MIXED, seed % 3 == 0, 0, NULL};
    fate->seed = seed;
}

static void crash_so(run *r, unsigned which)
{
    uint64_t seed = mixed(r->seed, r->at * 1000 + which);
    simdisk *disk = simdisk_clone(r->s->disk);
    simlog_after after = r->cut ? SIMLOG_CUT : SIMLOG_KILLED;
    simdisk_fate fate;

    if (which == 0) {
        simdisk_note(disk, "killed before %llu", (unsigned long long)r->at);
        simdisk_kill(disk);
    } else {
        choose_fate(&fate, which, seed);
        simdisk_note(disk, "power cut before %llu: outcome %u, seed %llx", (unsigned long long)r->at, which,
                     (unsigned long long)seed);
        simdisk_power_cut(disk, &fate);
        after = SIMLOG_CUT;
    }
    totals.outcomes++;
    if (simdisk_unsynced(disk) > 0 ||
        is_new(mixed(simdisk_hash(disk), simlog_hash(r->s)) + 2 * r->depth + (after == SIMLOG_CUT)))
        recover(r, disk, after, seed);
    else
        totals.repeated++;
    simdisk_free(disk);
}

static void crash_here(run *r)
{
    static const unsigned outcomes[DEPTH] = {6, 7, 7};
    uint64_t chance = mixed(r->seed, r->at);
    uint64_t promises = simlog_hash(r->s);

    if (too_many() || (simdisk_changes(r->s->disk) == r->disk_seen && promises == r->promises_seen))
        return;
    r->disk_seen = simdisk_changes(r->s->disk);
    r->promises_seen = promises;
    if (r->depth == 0) {
        totals.cuts++;
        for (unsigned which = 0; which < outcomes[0] + scale(); which++)
            crash_so(r, which);
    } else if (chance % (r->depth == 1 ? 4 : 16) < scale()) {
        totals.cuts++;
        crash_so(r, (unsigned)(chance >> 32) % outcomes[r->depth]);
    }
}

/* ---- all short workloads ------------------------------------------------------------------------------------ */

static void run_workload(size_t start, const char *ops)
{
    char name[40];
    simdisk *disk = simdisk_new(1);
    simlog s;
    run r = {.s = &s, .name = name, .seed = mixed(start, 0)};
    size_t last = strlen(ops) - 1;
    bool right;

    snprintf(name, sizeof name, "%zu:%s", start, ops);
    for (const char *op = ops; *op != '\0'; op++)
        r.seed = mixed(r.seed, (unsigned char)*op);
    simlog_init(&s, disk, start < STARTS ? BLOB_LOGSTORE_SYNC_EACH : BLOB_LOGSTORE_SYNC_INTERVAL);
    right = simlog_run(&s, starts[start % STARTS]);
    for (size_t i = 0; right && i < last; i++)
        right = simlog_do(&s, ops[i]);
    simdisk_watch(disk, see_operation, &r);
    right = right && simlog_do(&s, ops[last]);
    r.at = simdisk_ops(disk) + 1;
    if (right) {
        crash_here(&r);
        simdisk_watch(disk, NULL, NULL);
        right = simlog_check(&s, SIMLOG_NOW) && simlog_undamaged(&s) && simlog_close(&s);
    }
    simdisk_watch(disk, NULL, NULL);
    if (!right)
        report(&s, name);
    simdisk_kill(disk);
    simlog_bury(&s);
    simdisk_free(disk);
    totals.workloads++;
}

static void print_totals(void)
{
    fprintf(stderr, "%llu workloads, %llu cuts, %llu outcomes (%llu of them seen before), %llu checks\n",
            (unsigned long long)totals.workloads, (unsigned long long)totals.cuts, (unsigned long long)totals.outcomes,
            (unsigned long long)totals.repeated, (unsigned long long)totals.checks);
}

/* By default a part of the workloads of three operations, and of those of two that sync by time. */
static bool is_chosen(size_t start, const char *ops)
{
    static const unsigned part[MODES][4] = {{1, 1, 1, 40}, {1, 1, 4, 100}};
    uint64_t hash = start;

    for (const char *op = ops; *op != '\0'; op++)
        hash = mixed(hash, (unsigned char)*op);
    return hash % part[start / STARTS][strlen(ops)] < scale();
}

static void run_all_of(unsigned length)
{
    size_t letters = strlen(alphabet), count = 1;

    for (unsigned i = 0; i < length; i++)
        count *= letters;
    for (size_t start = 0; start < MODES * STARTS; start++) {
        for (size_t n = 0; n < count && !too_many(); n++) {
            char ops[4] = {0};
            for (size_t i = 0, rest = n; i < length; i++, rest /= letters)
                ops[i] = alphabet[rest % letters];
            if (is_chosen(start, ops))
                run_workload(start, ops);
        }
    }
}

static void a_cut_at_any_operation_keeps_every_promise(void **state)
{
    const char *only = getenv("LOGSTORE_POWER_CASE");

    (void)state;
    if (only != NULL) {
        run_workload((size_t)atoi(only), strchr(only, ':') + 1);
    } else {
        for (unsigned length = 1; length <= 3; length++)
            run_all_of(length);
    }
    print_totals();
    forget_seen();
    assert_int_equal(totals.failures, 0);
}

/* ---- long random ones --------------------------------------------------------------------------------------- */

/* An operation with the power, or the process, going somewhere within, and the log opened again. */
static bool cut_within(simlog *s, test_rng *rng, char op)
{
    bool killed = s->options.sync == BLOB_LOGSTORE_SYNC_NEVER || test_random(rng) % 2;
    simdisk_fate fate;

    simdisk_off_at(s->disk, simdisk_ops(s->disk) + 1 + test_random_below(rng, 8), test_random(rng) % 2);
    s->faults = true;
    simlog_do(s, op);
    s->faults = false;
    choose_fate(&fate, 1 + (unsigned)test_random_below(rng, 10), test_random(rng));
    simdisk_note(s->disk, killed ? "kill" : "power cut");
    if (killed)
        simdisk_kill(s->disk);
    else
        simdisk_power_cut(s->disk, &fate);
    simlog_bury(s);
    return simlog_open(s, killed ? SIMLOG_KILLED : SIMLOG_CUT);
}

static bool random_step(simlog *s, test_rng *rng)
{
    static const char ops[] = "aabbrrrgghsssABlllGLLSHmkkkox";
    char op = ops[test_random_below(rng, sizeof ops - 1)];

    if (test_random_below(rng, 10) == 0)
        return cut_within(s, rng, op);
    return simlog_do(s, op) && (s->store == NULL || test_random_below(rng, 8) > 0 || simlog_check(s, SIMLOG_NOW));
}

static void random_workload(uint64_t seed, bool trace)
{
    simdisk *disk = simdisk_new(seed);
    test_rng rng = {seed};
    simlog s;
    char name[32];
    bool right = true;
    uint64_t steps = 10 + test_random_below(&rng, 50);

    snprintf(name, sizeof name, "seed %llu", (unsigned long long)seed);
    simlog_init(&s, disk, (blob_logstore_sync)(seed % 3));
    s.sizes = test_random(&rng) % 2;
    simdisk_thin(disk, test_random(&rng) % 4 == 0);
    simdisk_no_direct(disk, test_random(&rng) % 4 == 0);
    s.options.cache_bytes = test_random(&rng) % 2 ? 1 : 100000;
    s.options.segment_bytes += test_random(&rng) % 3 * 32768;
    for (uint64_t i = 0; right && i < steps; i++)
        right = random_step(&s, &rng);
    right = right && (s.store == NULL || simlog_check(&s, SIMLOG_NOW)) && simlog_close(&s);
    if (!right)
        report(&s, name);
    else if (trace)
        simdisk_print_trace(disk, stderr);
    simdisk_kill(disk);
    simlog_bury(&s);
    simdisk_free(disk);
    totals.workloads++;
}

static void long_random_workloads_keep_every_promise(void **state)
{
    const char *only = getenv("LOGSTORE_POWER_SEED");

    (void)state;
    memset(&totals, 0, sizeof totals);
    if (only != NULL) {
        random_workload(strtoull(only, NULL, 0), true);
    } else {
        for (uint64_t seed = 0; seed < 1000 * scale() && !too_many(); seed++)
            random_workload(seed, false);
    }
    print_totals();
    assert_int_equal(totals.failures, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_at_any_operation_keeps_every_promise),
        cmocka_unit_test(long_random_workloads_keep_every_promise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
