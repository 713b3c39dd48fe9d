/* SHA-256: every implementation that this machine can run gives the right digest, whatever the length, the alignment
 * and the memory around it. The expected values are NIST's examples and those of sha256sum. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "hash/sha256.h"

#define LENGTHS (5 * WB_SHA256_BLOCK + 1) /* 0 to five whole blocks */
#define MIB ((size_t)1 << 20)

static bool can_run(const wb_sha256_impl *impl)
{
    return impl->usable == NULL || impl->usable();
}

static void check_digest(const wb_sha256_impl *impl, const void *data, size_t size, const char *expected)
{
    unsigned char digest[32];
    char hex[65];

    impl->hash.digest(data, size, digest);
    blob_key_hex(blob_key_of(digest, sizeof digest), hex);
    if (strcmp(hex, expected) != 0)
        fail_msg("%s, %zu bytes: %s instead of %s", impl->name, size, hex, expected);
}

/* Bytes without a short period, so that no block equals another. */
static unsigned char *new_pattern(size_t size)
{
    unsigned char *bytes = malloc(size);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(i * 167 + (i >> 8) * 29 + 13);
    return bytes;
}

static void check_messages(const wb_sha256_impl *impl)
{
    static const struct {
        const char *text, *digest;
    } messages[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrst"
         "nopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
        {"\xbd", "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b"},
        {"\xc9\x8c\x8e\x55", "7abc22c0ae5af26ce93dbb94433a0e0b2e119d014f8e7f65bd56c61ccccd9504"},
    };
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++)
        check_digest(impl, messages[i].text, strlen(messages[i].text), messages[i].digest);
    check_digest(impl, NULL, 0, messages[0].digest);
}

static void check_repeated_bytes(const wb_sha256_impl *impl)
{
    static const struct {
        int byte;
        size_t count;
        const char *digest;
    } runs[] = {
        {0, 55, "02779466cdec163811d078815c633f21901413081449002f24aa3e80f0b88ef7"},
        {0, 56, "d4817aa5497628e7c77e6b606107042bbba3130888c5f47a375e6179be789fbb"},
        {0, 57, "65a16cb7861335d5ace3c60718b5052e44660726da4cd13bb745381b235a1785"},
        {0, 64, "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b"},
        {0, 1000, "541b3e9daa09b20bf85fa273e5cbd3e80185aa4ec298e765db87742b70138a53"},
        {'A', 1000, "c2e686823489ced2017f6059b8b239318b6364f6dcd835d0a519105a1eadd6e4"},
        {'U', 1005, "f4d62ddec0f3dd90ea1380fa16a5ff8dc4c54b21740650f24afc4120903552b0"},
        {0, 1000000, "d29751f2649b32ff572b5e0a9f541ea660a50f94ff0beedfb0b692b924cc8025"},
        {'a', 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    };
    unsigned char *bytes = malloc(1000000);
    assert_non_null(bytes);
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        memset(bytes, runs[i].byte, runs[i].count);
        check_digest(impl, bytes, runs[i].count, runs[i].digest);
    }
    free(bytes);
}

static void nist_vectors_hold_in_every_implementation(void **state)
{
    (void)state;
    for (size_t i = 0; i < wb_sha256_impl_count; i++) {
        if (!can_run(&wb_sha256_impls[i]))
            continue;
        check_messages(&wb_sha256_impls[i]);
        check_repeated_bytes(&wb_sha256_impls[i]);
    }
}

/* The expected value is sha256sum's, of its own digests of the first 0, 1, ... 320 bytes of the pattern, in a row. */
static void every_length_to_five_blocks_agrees_with_sha256sum(void **state)
{
    unsigned char *pattern = new_pattern(LENGTHS);
    unsigned char *digests = malloc(LENGTHS * 32);

    (void)state;
    assert_non_null(digests);
    for (size_t i = 0; i < wb_sha256_impl_count; i++) {
        const wb_sha256_impl *impl = &wb_sha256_impls[i];
        if (!can_run(impl))
            continue;
        for (size_t size = 0; size < LENGTHS; size++)
            impl->hash.digest(pattern, size, digests + 32 * size);
        check_digest(&wb_sha256_impls[0], digests, LENGTHS * 32,
                     "f52a3919dd7c27eb4e3c77ae87b4536a026cebb574711999a333dfbaf6ab8255");
    }
    free(digests);
    free(pattern);
}

static void long_data_agrees_with_sha256sum(void **state)
{
    unsigned char *pattern = new_pattern(MIB);

    (void)state;
    for (size_t i = 0; i < wb_sha256_impl_count; i++) {
        const wb_sha256_impl *impl = &wb_sha256_impls[i];
        if (!can_run(impl))
            continue;
        check_digest(impl, pattern, 100003, "f090f23937ed4c022696c13aa48f4a980416066a0ca41e198a3b109a50836b45");
        check_digest(impl, pattern, MIB, "e83724516bae8969607301f2bd7d804b503b5ebbc31bdab7595fc6293f3b38ea");
        check_digest(impl, pattern + 1, MIB - 1, "bddef65cbc4c047a99eb0d8486f57ba39b7b1bab465ff73cf605a073e4be7c42");
    }
    free(pattern);
}

/* TSan keeps four bytes for each one read, which is too much for half a gigabyte. */
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

/* From 512 MiB on the length in bits needs more than 32 of them. The portable code would take seconds; it shares the
 * padding with the others. */
static void a_length_beyond_32_bits_counts(void **state)
{
    size_t size = 512 * MIB + 5;
    const wb_sha256_impl *impl = &wb_sha256_impls[wb_sha256_impl_count - 1];
    void *zeros;

    (void)state;
    if (UNDER_TSAN || wb_sha256_impl_count == 1 || !can_run(impl))
        skip();
    zeros = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(zeros != MAP_FAILED);
    check_digest(impl, zeros, size, "067afeb284bda066154edc29030dbfdb883432345edbb83b37c54f87fb33931e");
    assert_int_equal(munmap(zeros, size), 0);
}

static void implementations_are_equal_at_every_length_and_offset(void **state)
{
    const blob_hash *portable = &wb_sha256_impls[0].hash;
    unsigned char *pattern = new_pattern(WB_SHA256_BLOCK + LENGTHS);

    (void)state;
    assert_string_equal(wb_sha256_impls[0].name, "portable");
    for (size_t offset = 0; offset < WB_SHA256_BLOCK; offset++) {
        for (size_t size = 0; size < LENGTHS; size++) {
            unsigned char expected[32], got[32];
            portable->digest(pattern + offset, size, expected);
            for (size_t i = 1; i < wb_sha256_impl_count; i++) {
                if (!can_run(&wb_sha256_impls[i]))
                    continue;
                wb_sha256_impls[i].hash.digest(pattern + offset, size, got);
                if (memcmp(got, expected, sizeof got) != 0)
                    fail_msg("%s differs at offset %zu, size %zu", wb_sha256_impls[i].name, offset, size);
            }
        }
    }
    free(pattern);
}

/* The data ends where readable memory ends, and begins where it begins; around the result lie bytes of somebody else.
 * */
static void a_digest_touches_nothing_but_its_bytes(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *map = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char room[32 + 3];

    (void)state;
    assert_true(map != MAP_FAILED);
    assert_int_equal(mprotect(map + page, page, PROT_READ), 0);
    for (size_t i = 0; i < wb_sha256_impl_count; i++) {
        if (!can_run(&wb_sha256_impls[i]))
            continue;
        for (size_t size = 0; size < LENGTHS; size++) {
            memset(room, 0xee, sizeof room);
            wb_sha256_impls[i].hash.digest(map + 2 * page - size, size, room + 1);
            assert_int_equal(room[0], 0xee);
            assert_int_equal(room[33], 0xee);
            wb_sha256_impls[i].hash.digest(map + page, size, room + 1);
        }
    }
    assert_int_equal(munmap(map, 3 * page), 0);
}

static void the_hash_handed_out_is_the_fastest_usable_one(void **state)
{
    const blob_hash *expected = NULL;

    (void)state;
    for (size_t i = 0; i < wb_sha256_impl_count; i++) {
        assert_string_equal(wb_sha256_impls[i].hash.name, "sha256");
        assert_int_equal(wb_sha256_impls[i].hash.size, 32);
        if (can_run(&wb_sha256_impls[i]))
            expected = &wb_sha256_impls[i].hash;
        print_message("sha256 %s: %s\n", wb_sha256_impls[i].name,
                      can_run(&wb_sha256_impls[i]) ? "checked" : "not on this processor");
    }
    assert_ptr_equal(blob_hash_sha256(), expected);
    assert_ptr_equal(blob_hash_sha256(), expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nist_vectors_hold_in_every_implementation),
        cmocka_unit_test(every_length_to_five_blocks_agrees_with_sha256sum),
        cmocka_unit_test(long_data_agrees_with_sha256sum),
        cmocka_unit_test(a_length_beyond_32_bits_counts),
        cmocka_unit_test(implementations_are_equal_at_every_length_and_offset),
        cmocka_unit_test(a_digest_touches_nothing_but_its_bytes),
        cmocka_unit_test(the_hash_handed_out_is_the_fastest_usable_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
