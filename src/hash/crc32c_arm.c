/* crc32c_arm.c - CRC32C with the Armv8 CRC32 instructions (64-bit, little-endian), three at a time (crc32c.h), put
 * together again by PMULL. Only the functions marked CRC_ARM are compiled for these instructions. */
#include "hash/crc32c.h"

#ifdef WB_CRC32C_ARM

#include <arm_acle.h>
#include <arm_neon.h>
#include <string.h>

/* From here on three streams beat one; under it the multiplication costs more than it saves. */
#define CRC_ARM_STREAMS_MIN 96

#if defined(__ARM_FEATURE_CRC32) && (defined(__ARM_FEATURE_AES) || defined(__ARM_FEATURE_CRYPTO))

#define CRC_ARM

bool wb_crc32c_arm_usable(void)
{
    return true;
}

#else

#ifdef __clang__
#define CRC_ARM __attribute__((target("crc,aes")))
#else
#define CRC_ARM __attribute__((target("+crc+crypto"))) /* +aes is not enough for the intrinsics of gcc 12 */
#endif

#ifdef __linux__

#include <sys/auxv.h>

bool wb_crc32c_arm_usable(void)
{
    unsigned long has = getauxval(AT_HWCAP);
    return (has & HWCAP_CRC32) != 0 && (has & HWCAP_PMULL) != 0;
}

#else

bool wb_crc32c_arm_usable(void)
{
    return false; /* no way known here to ask */
}

#endif
#endif

static inline uint64_t crc_arm_load64(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

CRC_ARM static inline uint32_t crc_arm_word(uint32_t crc, const unsigned char *p)
{
    return __crc32cd(crc, crc_arm_load64(p));
}

/* What to add to the next word of data, so that crc comes out moved past so many words. */
CRC_ARM static inline uint64_t crc_arm_move(uint32_t crc, size_t words)
{
    poly128_t product = vmull_p64((poly64_t)crc, (poly64_t)wb_crc32c_shift[words - 1]);
    return vgetq_lane_u64(vreinterpretq_u64_p128(product), 0);
}

/* Three times so many words. What the first two streams give goes into the last word of the third. */
CRC_ARM static inline uint32_t crc_arm_streams(uint32_t crc, const unsigned char *p, size_t words)
{
    const unsigned char *q = p + 8 * words, *r = q + 8 * words;
    size_t last = 8 * (words - 1);
    uint32_t a = crc, b = 0, c = 0;

    for (size_t i = 0; i < last; i += 8) {
        a = crc_arm_word(a, p + i);
        b = crc_arm_word(b, q + i);
        c = crc_arm_word(c, r + i);
    }
    a = crc_arm_word(a, p + last);
    b = crc_arm_word(b, q + last);
    return __crc32cd(c, crc_arm_load64(r + last) ^ crc_arm_move(a, 2 * words) ^ crc_arm_move(b, words));
}

CRC_ARM static inline uint32_t crc_arm_tail(uint32_t crc, const unsigned char *p, size_t size)
{
    if (size & 4) {
        uint32_t v;
        memcpy(&v, p, sizeof v);
        crc = __crc32cw(crc, v);
        p += 4;
    }
    if (size & 2) {
        uint16_t v;
        memcpy(&v, p, sizeof v);
        crc = __crc32ch(crc, v);
        p += 2;
    }
    if (size & 1)
        crc = __crc32cb(crc, *p);
    return crc;
}

CRC_ARM uint32_t wb_crc32c_arm(uint32_t crc, const void *data, size_t size)
{
    const unsigned char *p = data;
    crc = ~crc;

    while (size >= CRC_ARM_STREAMS_MIN) {
        size_t words = size / 24 < WB_CRC32C_WORDS_MAX ? size / 24 : WB_CRC32C_WORDS_MAX;
        crc = crc_arm_streams(crc, p, words);
        p += 24 * words;
        size -= 24 * words;
    }
    for (; size >= 8; size -= 8, p += 8)
        crc = crc_arm_word(crc, p);
    return ~crc_arm_tail(crc, p, size);
}

#endif
