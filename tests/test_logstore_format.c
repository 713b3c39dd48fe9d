/* test_logstore_format.c - bytes that were written for one place count in no other, and no bit of them may be another. */
#include "testutil.h"
#include "logstore/format.h"

#include <stdlib.h>
#include <string.h>

#define ROOM (LOG_RECORD_HEADER + BLOB_KEY_MAX)

static const log_where here = {0x1122334455667788u, 7};
static const uint64_t at = 5 * LOG_BLOCK;

static size_t record_make(unsigned char *bytes, log_where where, uint64_t offset)
{
    log_record r = {.offset = offset,
                    .lsn = 99,
                    .durable = 98,
                    .size = 1234,
                    .time_ms = 5678,
                    .crc = 0xabcdef01,
                    .type = LOG_PUT,
                    .flags = 0,
                    .key_size = 32};

    memset(bytes, 0, ROOM);
    test_fill(1, bytes + LOG_RECORD_HEADER, r.key_size);
    wb_log_record_encode(bytes, where, &r);
    return LOG_RECORD_HEADER + r.key_size;
}

static bool record_is(const unsigned char *bytes, size_t room, log_where where, uint64_t offset)
{
    log_record r;

    return wb_log_record_decode(bytes, room, where, offset, &r, NULL);
}

static void a_record_counts_where_it_was_written(void **state)
{
    unsigned char bytes[ROOM];
    size_t size = record_make(bytes, here, at);
    log_record r;
    bool like;

    (void)state;
    assert_true(wb_log_record_decode(bytes, sizeof bytes, here, at, &r, &like));
    assert_true(like);
    assert_int_equal(r.offset, at);
    assert_int_equal(r.lsn, 99);
    assert_int_equal(r.durable, 98);
    assert_int_equal(r.size, 1234);
    assert_int_equal(r.time_ms, 5678);
    assert_int_equal(r.crc, 0xabcdef01);
    assert_int_equal(r.type, LOG_PUT);
    assert_int_equal(r.key_size, 32);
    assert_ptr_equal(r.key, bytes + LOG_RECORD_HEADER);
    assert_true(record_is(bytes, size, here, at));
    for (size_t room = 0; room < size; room++)
        assert_false(record_is(bytes, room, here, at));
}

static void a_record_counts_nowhere_else(void **state)
{
    static const uint64_t offsets[] = {0, 8, LOG_BLOCK, 4 * LOG_BLOCK, 5 * LOG_BLOCK + 8, 6 * LOG_BLOCK};
    unsigned char bytes[ROOM];

    (void)state;
    record_make(bytes, here, at);
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++)
        assert_false(record_is(bytes, sizeof bytes, here, offsets[i]));
    assert_false(record_is(bytes, sizeof bytes, (log_where){here.log_id, here.segment + 1}, at));
    assert_false(record_is(bytes, sizeof bytes, (log_where){here.log_id, here.segment - 1}, at));
    assert_false(record_is(bytes, sizeof bytes, (log_where){here.log_id + 1, here.segment}, at));
    assert_false(record_is(bytes, sizeof bytes, (log_where){0, here.segment}, at));
    /* Nor where it says so itself, for somebody who can write but not count. */
    memset(bytes + 56, 0x55, 8);
    assert_false(record_is(bytes, sizeof bytes, (log_where){0x5555555555555555u, here.segment}, at));
}

static void no_bit_of_a_record_may_be_another(void **state)
{
    unsigned char bytes[ROOM];
    size_t size = record_make(bytes, here, at);

    (void)state;
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        assert_false(record_is(bytes, sizeof bytes, here, at));
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    assert_true(record_is(bytes, sizeof bytes, here, at));
}

static void one_of_two_headers_may_rot(void **state)
{
    log_header h = {.log_id = here.log_id,
                    .segment = 7,
                    .first_lsn = 99,
                    .time_ms = 5,
                    .version = 1,
                    .recovery = true,
                    .unsynced = true};
    unsigned char block[LOG_BLOCK];
    log_header got;

    (void)state;
    wb_log_header_encode(block, &h);
    for (size_t bit = 0; bit < 8 * LOG_HEADER_BYTES; bit++) {
        for (unsigned copy = 0; copy < 2; copy++) {
            unsigned char *byte = block + copy * LOG_HEADER_COPY + bit / 8;
            *byte ^= (unsigned char)(1u << bit % 8);
            assert_true(wb_log_header_decode(block, &got));
            assert_int_equal(got.log_id, h.log_id);
            assert_int_equal(got.segment, h.segment);
            assert_int_equal(got.first_lsn, h.first_lsn);
            assert_int_equal(got.time_ms, h.time_ms);
            assert_int_equal(got.version, h.version);
            assert_true(got.recovery);
            assert_true(got.unsynced);
            *byte ^= (unsigned char)(1u << bit % 8);
        }
        block[bit / 8] ^= (unsigned char)(1u << bit % 8);
        block[LOG_HEADER_COPY + bit / 8] ^= (unsigned char)(1u << bit % 8);
        assert_false(wb_log_header_decode(block, &got));
        block[bit / 8] ^= (unsigned char)(1u << bit % 8);
        block[LOG_HEADER_COPY + bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
}

static void no_bit_of_a_trailer_may_be_another(void **state)
{
    log_trailer t = {.log_id = here.log_id,
                     .segment = 7,
                     .first_lsn = 99,
                     .records = 3,
                     .durable = 101,
                     .footer_offset = 5000,
                     .footer_bytes = 200,
                     .footer_crc = 17,
                     .continued = true};
    unsigned char bytes[LOG_TRAILER_BYTES];
    log_trailer got;

    (void)state;
    wb_log_trailer_encode(bytes, &t);
    assert_true(wb_log_trailer_decode(bytes, &got));
    assert_int_equal(got.segment, 7);
    assert_int_equal(got.durable, 101);
    assert_int_equal(got.footer_offset, 5000);
    assert_true(got.continued);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        assert_false(wb_log_trailer_decode(bytes, &got));
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
}

static void a_footer_tells_what_was_put_into_it(void **state)
{
    unsigned char key[BLOB_KEY_MAX];
    log_bytes footer = {.data = NULL};
    log_record r = {.key = key}, got;
    size_t pos = 0;

    (void)state;
    test_fill(3, key, sizeof key);
    for (unsigned i = 0; i < 200; i++) {
        r.offset = LOG_BLOCK + i * UINT64_C(8000000) / 8 * 8;
        r.size = i * UINT64_C(100000000000);
        r.time_ms = (int64_t)i << 40;
        r.crc = i * 123456789u;
        r.padding = (uint16_t)(i * 20);
        r.type = (uint8_t)(1 + i % 3);
        r.key_size = (uint8_t)(i % (BLOB_KEY_MAX + 1));
        assert_true(wb_log_bytes_reserve(&footer, LOG_FOOTER_ENTRY + r.key_size));
        wb_log_footer_add(&footer, &r);
    }
    for (unsigned i = 0; i < 200; i++) {
        assert_true(wb_log_footer_next(footer.data, footer.size, &pos, &got));
        assert_int_equal(got.offset, LOG_BLOCK + i * UINT64_C(8000000) / 8 * 8);
        assert_int_equal(got.size, i * UINT64_C(100000000000));
        assert_int_equal(got.time_ms, (int64_t)i << 40);
        assert_int_equal(got.crc, i * 123456789u);
        assert_int_equal(got.padding, i * 20);
        assert_int_equal(got.type, 1 + i % 3);
        assert_int_equal(got.key_size, i % (BLOB_KEY_MAX + 1));
        assert_memory_equal(got.key, key, got.key_size);
    }
    assert_false(wb_log_footer_next(footer.data, footer.size, &pos, &got));
    free(footer.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_counts_where_it_was_written), cmocka_unit_test(a_record_counts_nowhere_else),
        cmocka_unit_test(no_bit_of_a_record_may_be_another),    cmocka_unit_test(one_of_two_headers_may_rot),
        cmocka_unit_test(no_bit_of_a_trailer_may_be_another),   cmocka_unit_test(a_footer_tells_what_was_put_into_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
