/* test_logstore_vouch.c - tail or damage: a bad record that something vouches for was there, and is reported; one that
 * nothing vouches for was cut short, and is nobody's loss. */
#include "simlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char segment[] = "0000000000000001.log";

static void open_quietly(simlog *s) /* without a look at whether it is undamaged */
{
    test_ok(wb_log_open(&s->store, simdisk_mount(s->disk), "sim", &s->options, LOG_NO_KEEPER));
}

/* Where the newest payload of the small key c lies. */
static uint64_t payload_offset(const simlog *s)
{
    size_t size;
    const void *bytes = simlog_payload(s->sizes, 3, s->keys[3].versions, &size);
    uint64_t whole = simdisk_file_size(s->disk, segment), offset;
    unsigned char *all = malloc((size_t)whole), *at;

    assert_non_null(all);
    simdisk_peek(s->disk, segment, 0, all, (size_t)whole);
    at = memmem(all, (size_t)whole, bytes, size);
    assert_non_null(at);
    offset = (uint64_t)(at - all);
    free(all);
    return offset;
}

static blob_logstore_info info_of(const simlog *s)
{
    blob_logstore_info info = {.struct_size = sizeof info};

    test_ok(blob_logstore_get_info(s->store, &info));
    return info;
}

/* The log is killed after these operations, a bit flips in the record of c, its last one, and the log is opened. */
static void rot_after(simlog *s, const char *ops, bool header)
{
    simlog_init(s, simdisk_new(1), BLOB_LOGSTORE_SYNC_EACH);
    assert_true(simlog_run(s, ops));
    simdisk_kill(s->disk);
    simlog_bury(s);
    simdisk_flip(s->disk, segment, 8 * (header ? payload_offset(s) - 40 : payload_offset(s) + 100));
    open_quietly(s);
}

static void end(simlog *s)
{
    simdisk_kill(s->disk);
    simlog_bury(s);
    simdisk_free(s->disk);
}

static void what_a_later_batch_vouches_for_is_damage(void **state)
{
    simlog s;
    blob *b;

    (void)state;
    rot_after(&s, "asb", false);
    test_status(blob_store_get(s.store, NULL, simlog_key_of(3), &b), BLOB_CORRUPT);
    assert_int_equal(info_of(&s).damaged_records, 1);
    end(&s);
    rot_after(&s, "asb", true);
    assert_int_equal(info_of(&s).damaged_records, 1);
    assert_int_equal(info_of(&s).torn_records, 0);
    end(&s);
}

static void what_an_idle_log_vouches_for_is_damage(void **state)
{
    simlog s;
    blob *b;

    (void)state;
    rot_after(&s, "ask", false);
    test_status(blob_store_get(s.store, NULL, simlog_key_of(3), &b), BLOB_CORRUPT);
    assert_int_equal(info_of(&s).damaged_records, 1);
    end(&s);
    rot_after(&s, "ask", true);
    assert_int_equal(info_of(&s).damaged_records, 1);
    assert_int_equal(info_of(&s).torn_records, 0);
    end(&s);
}

static void what_nothing_vouches_for_was_cut_short(void **state)
{
    simlog s;

    (void)state;
    for (unsigned header = 0; header < 2; header++) {
        rot_after(&s, "as", header);
        test_expect_missing(s.store, simlog_key_of(3));
        assert_true(test_has(s.store, simlog_key_of(0)));
        assert_int_equal(info_of(&s).damaged_records, 0);
        assert_int_equal(info_of(&s).torn_records, 1);
        end(&s);
    }
}

static void what_cannot_be_read_just_now_is_not_corrupt(void **state)
{
    simlog s;
    blob *b;

    (void)state;
    simlog_init(&s, simdisk_new(1), BLOB_LOGSTORE_SYNC_EACH);
    assert_true(simlog_run(&s, "as"));
    simdisk_fail(s.disk, &(simdisk_fault){.ops = SIMDISK_BIT(SIMDISK_READ), .status = -EIO});
    test_status(blob_store_get(s.store, NULL, simlog_key_of(3), &b), -EIO);
    simdisk_mend(s.disk);
    assert_true(simlog_check(&s, SIMLOG_NOW));
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_later_batch_vouches_for_is_damage),
        cmocka_unit_test(what_an_idle_log_vouches_for_is_damage),
        cmocka_unit_test(what_nothing_vouches_for_was_cut_short),
        cmocka_unit_test(what_cannot_be_read_just_now_is_not_corrupt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
