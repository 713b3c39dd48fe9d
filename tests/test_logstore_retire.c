/* test_logstore_retire.c - what a segment's retirement must not take along. With a sync every N ms all in it may be dead by
 * records that are not on the disk yet: it stays until they are, so that whatever was on the disk once, some version of
 * it is there after a power cut. And those who only read cannot hold it, and must notice that it went. */
#include "simlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void must(simlog *s, bool right)
{
    if (right && s->wrong[0] == '\0')
        return;
    print_error("%s\n", s->wrong);
    simdisk_print_trace(s->disk, stderr);
    fail();
}

/* a is on the disk. */
static void begin(simlog *s)
{
    simlog_init(s, simdisk_new(1), BLOB_LOGSTORE_SYNC_INTERVAL);
    s->options.sync_interval_ms = INT32_MAX; /* not by itself */
    must(s, simlog_run(s, "ak"));
}

static void cut_and_end(simlog *s)
{
    simdisk_power_cut(s->disk, &(simdisk_fate){SIMDISK_DROPPED, SIMDISK_KEPT, false, 1, NULL});
    simlog_bury(s);
    must(s, simlog_open(s, SIMLOG_CUT) && simlog_close(s));
    simdisk_free(s->disk);
}

static uint64_t oldest_of(const simlog *s)
{
    return wb_log_of(s->store)->oldest->number;
}

static void the_keeper_syncs_before_it_retires(void **state)
{
    simlog s;

    (void)state;
    for (unsigned replaces = 1; replaces < 12; replaces++) {
        begin(&s);
        for (unsigned i = 0; i < replaces; i++)
            must(&s, simlog_do(&s, 'r'));
        test_ok(wb_log_keeper_round(wb_log_of(s.store), false));
        if (replaces > 3)
            assert_true(oldest_of(&s) > 1); /* or this test is about nothing */
        cut_and_end(&s);
    }
}

/* Without a keeper: whoever writes retires what is empty, once the log is too large for what is in it. */
static void a_writer_syncs_before_it_retires(void **state)
{
    bool off = true;
    simlog s;

    (void)state;
    for (uint64_t at = 1; off; at++) {
        begin(&s);
        simdisk_off_at(s.disk, simdisk_ops(s.disk) + at, false);
        s.faults = true;
        for (unsigned i = 0; i < 30 && !simdisk_is_off(s.disk); i++)
            must(&s, simlog_do(&s, 'r'));
        s.faults = false;
        if (!(off = simdisk_is_off(s.disk)))
            assert_true(oldest_of(&s) > 1);
        cut_and_end(&s);
    }
}

/* ---- who reads beside ---------------------------------------------------------------------------------------- */

/* A log that is open for reading only cannot keep its writer from using a file again: what it finds there then, be it
 * the same key in the same place, is not the blob that it knew. */
static void a_reader_does_not_take_a_files_next_life_for_damage(void **state)
{
    blob_logstore_info info = {.struct_size = sizeof info};
    blob_logstore_options options;
    blob_store *reader;
    bool again = false;
    simlog s;
    blob *b;

    (void)state;
    simlog_init(&s, simdisk_new(1), BLOB_LOGSTORE_SYNC_EACH);
    must(&s, simlog_run(&s, "g"));
    options = s.options;
    options.read_only = 1;
    test_ok(wb_log_open(&reader, simdisk_mount(s.disk), "sim", &options, 0));
    for (unsigned i = 0; i < 40 && !again; i++) { /* until g lies where it was, in the same file */
        must(&s, simlog_run(&s, "Ggk"));
        int rc = blob_store_get(reader, NULL, simlog_key_of(2), &b);
        again = rc == BLOB_NOT_FOUND;
        test_status(rc, again ? BLOB_NOT_FOUND : 0);
        blob_unref(b);
    }
    assert_true(again); /* or this test is about nothing */
    test_ok(blob_logstore_get_info(reader, &info));
    assert_int_equal(info.damaged_records, 0);
    test_ok(blob_store_close(reader, NULL));
    must(&s, simlog_close(&s));
    simdisk_free(s.disk);
}

typedef struct beside {
    simlog *writer;
    uint64_t countdown;
    bool writes;
} beside;

/* The writer turns the log over in the middle of a reader's operation. */
static void write_beside(void *arg, const simdisk_call *call)
{
    beside *w = arg;

    (void)call;
    if (w->writes || --w->countdown > 0)
        return;
    w->writes = true;
    (void)simlog_run(w->writer, "rrrrrrkrk"); /* its word is checked by the caller */
}

/* a is there all the time, so at whatever moment. Returns whether the writer came in between. */
static bool read_beside(uint64_t at)
{
    blob_logstore_info info = {.struct_size = sizeof info};
    blob_logstore_options options;
    blob_store *reader;
    uint64_t size;
    simlog s;
    beside w = {.writer = &s, .countdown = at};
    int rc;

    simlog_init(&s, simdisk_new(1), BLOB_LOGSTORE_SYNC_EACH);
    must(&s, simlog_run(&s, "asrrr"));
    options = s.options;
    options.read_only = 1;
    simdisk_watch(s.disk, write_beside, &w);
    rc = wb_log_open(&reader, simdisk_mount(s.disk), "sim", &options, 0);
    simdisk_watch(s.disk, NULL, NULL);
    must(&s, true);
    if (rc != -EAGAIN) { /* begin again */
        test_ok(rc);
        test_ok(blob_store_size(reader, NULL, simlog_key_of(0), &size));
        test_ok(blob_store_size(reader, NULL, simlog_key_of(3), &size));
        test_ok(blob_logstore_get_info(reader, &info));
        assert_int_equal(info.damaged_records, 0);
        test_ok(blob_store_close(reader, NULL));
    }
    must(&s, simlog_close(&s));
    simdisk_free(s.disk);
    return w.writes;
}

static void a_reader_sees_one_moment(void **state)
{
    (void)state;
    for (uint64_t at = 1; read_beside(at); at++)
        ;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_keeper_syncs_before_it_retires),
        cmocka_unit_test(a_writer_syncs_before_it_retires),
        cmocka_unit_test(a_reader_does_not_take_a_files_next_life_for_damage),
        cmocka_unit_test(a_reader_sees_one_moment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
