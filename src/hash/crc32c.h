/* crc32c.h - CRC32C (Castagnoli; RFC 3720, 12.1): the checksum of records and files.
 *
 * It tells damage, not malice: a burst of up to 32 bits always, anything else all but one time in 2^32. Nothing here
 * blocks, fails, allocates or keeps what it was given; any thread may call at any time. */
#ifndef WB_HASH_CRC32C_H
#define WB_HASH_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where an implementation is compiled at all. 32-bit x86 lacks the 64-bit instruction that makes it worth while. Old
 * clang hides the Armv8 instructions unless the whole file is built for them; big-endian Arm takes the portable code. */
#if defined(__GNUC__) && defined(__x86_64__)
#define WB_CRC32C_X86 1
#endif
#if defined(__GNUC__) && defined(__aarch64__) && defined(__AARCH64EL__) &&                                             \
    ((defined(__ARM_FEATURE_CRC32) && (defined(__ARM_FEATURE_AES) || defined(__ARM_FEATURE_CRYPTO))) ||                \
     !defined(__clang__) || __clang_major__ >= 16)
#define WB_CRC32C_ARM 1
#endif

/* The CRC32C of what crc is the CRC32C of, followed by the size bytes at data: begin with 0, and go on with what came
 * out. The inversions before and after are inside: 0xe3069283 for "123456789". data may be NULL when size is 0. */
uint32_t wb_crc32c(uint32_t crc, const void *data, size_t size);

/* All that this build has, the slowest first, so that the tests can prove them equal. Number 0 is the portable one
 * and runs everywhere; the others must not be called where usable() says no. Each fn keeps wb_crc32c's contract. */
typedef struct wb_crc32c_impl {
    const char *name;
    bool (*usable)(void); /* NULL in number 0 alone: always */
    uint32_t (*fn)(uint32_t crc, const void *data, size_t size);
} wb_crc32c_impl;
extern const wb_crc32c_impl wb_crc32c_impls[];
extern const size_t wb_crc32c_impl_count;

#ifdef WB_CRC32C_X86
bool wb_crc32c_x86_usable(void);
uint32_t wb_crc32c_x86(uint32_t crc, const void *data, size_t size);
#endif
#ifdef WB_CRC32C_ARM
bool wb_crc32c_arm_usable(void);
uint32_t wb_crc32c_arm(uint32_t crc, const void *data, size_t size);
#endif

#if defined(WB_CRC32C_X86) || defined(WB_CRC32C_ARM)
/* How the processors' instructions get past their latency. One of them waits three cycles for the one before, but
 * another can start in every cycle: so three neighbouring stretches of the data are taken in turns, each with a
 * register of its own.
 *
 *     |--- words ---|--- words ---|--- words ---|
 *       crc -> a        0 -> b        0 -> c            crc of all = a * x^(128 words) + b * x^(64 words) + c
 *
 * wb_crc32c_shift[n - 1] is x^(64 n - 33) modulo the polynomial. Multiplied without carries by a 32-bit remainder, and
 * the 64-bit product taken for the next word of data, it moves that remainder past n words: the instruction
 * multiplies by x^32 and reduces, and the last x is the bit by which a product of reflected numbers falls short. */
#define WB_CRC32C_WORDS_MAX 128 /* of 8 bytes, in one of the three */
extern const uint32_t wb_crc32c_shift[2 * WB_CRC32C_WORDS_MAX];
#endif

#endif
