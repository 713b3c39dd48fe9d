/* CRC32C: every implementation that this machine can run agrees with the definition, bit by bit, whatever the length,
 * the alignment and the memory around it, and wherever the data is cut. The vectors are those of RFC 3720, B.4. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "hash/crc32c.h"

/* Every implementation, and last what the library calls. */
static size_t impl_count(void)
{
    return wb_crc32c_impl_count + 1;
}

static wb_crc32c_impl impl_at(size_t i)
{
    wb_crc32c_impl chosen = {.name = "wb_crc32c", .usable = NULL, .fn = wb_crc32c};
    return i < wb_crc32c_impl_count ? wb_crc32c_impls[i] : chosen;
}

static bool can_run(const wb_crc32c_impl *impl)
{
    return impl->usable == NULL || impl->usable();
}

/* One byte more, by the definition: divide by the polynomial 0x1edc6f41, reflected, one bit after the other. */
static uint32_t reference(uint32_t crc, unsigned char byte)
{
    crc = ~crc ^ byte;
    for (int bit = 0; bit < 8; bit++)
        crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    return ~crc;
}

/* expected[n] is the reference's CRC of the first n bytes, 0 to size. */
static void fill_expected(uint32_t *expected, const unsigned char *data, size_t size)
{
    expected[0] = 0;
    for (size_t n = 0; n < size; n++)
        expected[n + 1] = reference(expected[n], data[n]);
}

/* Bytes without a period, so that no stretch of them can stand for another. */
static unsigned char *new_pattern(size_t size)
{
    unsigned char *bytes = malloc(size);
    uint32_t x = 1;
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++) {
        x = x * 1664525 + 1013904223;
        bytes[i] = (unsigned char)(x >> 24);
    }
    return bytes;
}

static void check_crc(const wb_crc32c_impl *impl, const void *data, size_t size, uint32_t expected)
{
    uint32_t crc = impl->fn(0, data, size);
    if (crc != expected)
        fail_msg("%s, %zu bytes: %08x instead of %08x", impl->name, size, (unsigned)crc, (unsigned)expected);
}

static void known_vectors_hold_in_every_implementation(void **state)
{
    unsigned char zeros[32], ones[32], up[32], down[32];

    (void)state;
    for (size_t i = 0; i < 32; i++) {
        zeros[i] = 0;
        ones[i] = 0xff;
        up[i] = (unsigned char)i;
        down[i] = (unsigned char)(31 - i);
    }
    for (size_t i = 0; i < impl_count(); i++) {
        wb_crc32c_impl impl = impl_at(i);
        if (!can_run(&impl))
            continue;
        check_crc(&impl, zeros, 32, 0x8a9136aa);
        check_crc(&impl, ones, 32, 0x62a8ab43);
        check_crc(&impl, up, 32, 0x46dd794e);
        check_crc(&impl, down, 32, 0x113fdb5c);
        check_crc(&impl, "123456789", 9, 0xe3069283);
        check_crc(&impl, "", 0, 0);
        check_crc(&impl, NULL, 0, 0);
        assert_int_equal(impl.fn(0xe3069283, NULL, 0), 0xe3069283);
    }
}

static void check_every_size(const unsigned char *data, size_t size_max)
{
    uint32_t *expected = malloc((size_max + 1) * sizeof *expected);
    assert_non_null(expected);
    fill_expected(expected, data, size_max);
    for (size_t i = 0; i < impl_count(); i++) {
        wb_crc32c_impl impl = impl_at(i);
        if (!can_run(&impl))
            continue;
        for (size_t size = 0; size <= size_max; size++)
            check_crc(&impl, data, size, expected[size]);
    }
    free(expected);
}

static void every_size_agrees_with_the_definition_at_every_alignment(void **state)
{
    unsigned char *pattern = new_pattern(15 + 1100);

    (void)state;
    for (size_t offset = 0; offset < 16; offset++)
        check_every_size(pattern + offset, 1100);
    free(pattern);
}

/* Far enough for every length that the implementations cut their streams to, and for every rest after the longest. */
static void every_size_to_two_longest_blocks_agrees_with_the_definition(void **state)
{
    unsigned char *pattern = new_pattern(6400);

    (void)state;
    check_every_size(pattern, 6400);
    free(pattern);
}

static void long_data_agrees_with_the_definition(void **state)
{
    static const size_t sizes[] = {8191, 8192, 9216, 12289, 16384, 32771, 65535, 65536, 99999, 102400};
    unsigned char *pattern = new_pattern(102400);
    uint32_t *expected = malloc(102401 * sizeof *expected);

    (void)state;
    assert_non_null(expected);
    fill_expected(expected, pattern, 102400);
    for (size_t i = 0; i < impl_count(); i++) {
        wb_crc32c_impl impl = impl_at(i);
        if (!can_run(&impl))
            continue;
        for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; j++)
            check_crc(&impl, pattern, sizes[j], expected[sizes[j]]);
    }
    free(expected);
    free(pattern);
}

static void data_cut_anywhere_has_the_crc_of_the_whole(void **state)
{
    size_t size = 4099;
    unsigned char *pattern = new_pattern(size);
    uint32_t *expected = malloc((size + 1) * sizeof *expected);

    (void)state;
    assert_non_null(expected);
    fill_expected(expected, pattern, size);
    for (size_t i = 0; i < impl_count(); i++) {
        wb_crc32c_impl impl = impl_at(i);
        if (!can_run(&impl))
            continue;
        for (size_t cut = 0; cut <= size; cut++) {
            uint32_t crc = impl.fn(impl.fn(0, pattern, cut), pattern + cut, size - cut);
            if (crc != expected[size])
                fail_msg("%s, cut at %zu: %08x", impl.name, cut, (unsigned)crc);
        }
    }
    free(expected);
    free(pattern);
}

/* The data ends where readable memory ends, and begins where it begins. */
static void nothing_is_read_but_the_data(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *map = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_true(map != MAP_FAILED);
    assert_int_equal(mprotect(map + page, page, PROT_READ), 0);
    for (size_t i = 0; i < impl_count(); i++) {
        wb_crc32c_impl impl = impl_at(i);
        if (!can_run(&impl))
            continue;
        for (size_t size = 0; size <= 4096; size++)
            assert_int_equal(impl.fn(0, map + 2 * page - size, size), impl.fn(0, map + page, size));
    }
    assert_int_equal(munmap(map, 3 * page), 0);
}

static void the_portable_one_comes_first_and_runs_everywhere(void **state)
{
    (void)state;
    assert_string_equal(wb_crc32c_impls[0].name, "portable");
    assert_null(wb_crc32c_impls[0].usable);
    for (size_t i = 0; i < wb_crc32c_impl_count; i++)
        print_message("crc32c %s: %s\n", wb_crc32c_impls[i].name,
                      can_run(&wb_crc32c_impls[i]) ? "checked" : "not on this processor");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_vectors_hold_in_every_implementation),
        cmocka_unit_test(every_size_agrees_with_the_definition_at_every_alignment),
        cmocka_unit_test(every_size_to_two_longest_blocks_agrees_with_the_definition),
        cmocka_unit_test(long_data_agrees_with_the_definition),
        cmocka_unit_test(data_cut_anywhere_has_the_crc_of_the_whole),
        cmocka_unit_test(nothing_is_read_but_the_data),
        cmocka_unit_test(the_portable_one_comes_first_and_runs_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
