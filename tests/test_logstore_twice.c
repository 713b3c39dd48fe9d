/* test_logstore_twice.c - a process is killed, and the power goes while the next one opens the log: at every operation of
 * the last step of the first, and at every one of the second. What the first did and did not live to sync, names above
 * all, must not be built upon by the second before it lasts. */
#include "simlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Segments retired one after the other, beside spares that are taken again; a straggler under way; a tail. */
static const char *const workloads[] = {"gGgGk", "bkgGgBGk", "gGgxGk", "gGgGkg"};
#define WORKLOADS (sizeof workloads / sizeof workloads[0])

static const simdisk_fate fates[] = {
    {SIMDISK_KEPT, SIMDISK_DROPPED, false, 1, NULL},
    {SIMDISK_DROPPED, SIMDISK_KEPT, false, 1, NULL},
    {SIMDISK_DROPPED, SIMDISK_DROPPED, false, 1, NULL},
};
#define FATES (sizeof fates / sizeof fates[0])

static void must(simlog *s, bool right, const char *ops, uint64_t first, uint64_t second)
{
    if (right && s->wrong[0] == '\0')
        return;
    print_error("%s, killed before %llu, cut before %llu: %s\n", ops, (unsigned long long)first,
                (unsigned long long)second, s->wrong);
    simdisk_print_trace(s->disk, stderr);
    fail();
}

/* The second process: opens a clone of what the first left, and comes as far as that operation. False: it came through. */
static bool cut_in_open(const simlog *left, const char *ops, uint64_t first, uint64_t second, const simdisk_fate *fate)
{
    simdisk *disk = simdisk_clone(left->disk);
    simlog s;
    bool off;

    simlog_fork(&s, left, disk);
    simdisk_off_at(disk, simdisk_ops(disk) + second, false);
    s.faults = true;
    must(&s, simlog_open(&s, SIMLOG_KILLED), ops, first, second);
    s.faults = false;
    if ((off = simdisk_is_off(disk))) {
        simdisk_note(disk, "power cut");
        simdisk_power_cut(disk, fate);
        simlog_bury(&s);
        simlog_fork(&s, left, disk);
        must(&s, simlog_open(&s, SIMLOG_CUT) && simlog_run(&s, "rgkGo"), ops, first, second);
    }
    simdisk_kill(disk);
    simlog_bury(&s);
    simdisk_free(disk);
    return off;
}

/* The last spare that a process left, be it one by a name that is not on the disk yet, is the first to be listed by the
 * next process, and not the only one: so that it is taken. */
static void set_spares(simdisk *disk)
{
    char files[32][LOG_NAME_MAX], last[LOG_NAME_MAX] = "", segment[LOG_NAME_MAX] = "";
    size_t count = simdisk_files(disk, files, 32);
    uint64_t number;

    for (size_t i = 0; i < count; i++) {
        log_name name = wb_log_name_parse(files[i], &number);
        if (name == LOG_NAME_SPARE && last[0] != '\0')
            simdisk_remove_file(disk, last);
        if (name == LOG_NAME_SPARE)
            memcpy(last, files[i], LOG_NAME_MAX);
        if (name == LOG_NAME_SEGMENT && simdisk_file_size(disk, files[i]) == LOG_SEGMENT_MIN)
            memcpy(segment, files[i], LOG_NAME_MAX);
    }
    if (segment[0] != '\0')
        simdisk_copy_file(disk, "spare-7fffffffffffffff", disk, segment);
}

typedef enum thoroughness { ONE_FATE, EVERY_FATE_WITH_SPARES } thoroughness;

/* The first process, which comes as far as that operation of its last step. False: it came through. */
static bool kill_before(const char *ops, uint64_t first, thoroughness how)
{
    simlog s;
    bool off;

    simlog_init(&s, simdisk_new(1), BLOB_LOGSTORE_SYNC_EACH);
    for (const char *op = ops; op[1] != '\0'; op++)
        must(&s, simlog_do(&s, *op), ops, first, 0);
    simdisk_off_at(s.disk, simdisk_ops(s.disk) + first, false);
    s.faults = true;
    must(&s, simlog_do(&s, ops[strlen(ops) - 1]), ops, first, 0);
    s.faults = false;
    if ((off = simdisk_is_off(s.disk))) {
        simdisk_note(s.disk, "kill");
        simdisk_kill(s.disk);
        simlog_bury(&s);
        if (how == EVERY_FATE_WITH_SPARES)
            set_spares(s.disk);
        for (size_t f = 0; f < (how == ONE_FATE ? 1 : FATES); f++)
            for (uint64_t second = 1; cut_in_open(&s, ops, first, second, &fates[(first + second + f) % FATES]);
                 second++)
                ;
    } else {
        must(&s, simlog_close(&s), ops, first, 0);
    }
    simdisk_free(s.disk);
    return off;
}

static void a_cut_after_a_kill_takes_nothing_away(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKLOADS; i++)
        for (uint64_t first = 1; kill_before(workloads[i], first, ONE_FATE); first++)
            ;
}

static void a_spare_that_may_still_be_a_segment_is_not_written(void **state)
{
    (void)state;
    for (uint64_t first = 1; kill_before("gGgGk", first, EVERY_FATE_WITH_SPARES); first++)
        ;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_after_a_kill_takes_nothing_away),
        cmocka_unit_test(a_spare_that_may_still_be_a_segment_is_not_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
