/* sha256_arm.c - SHA-256 with the Armv8 cryptographic extension (64-bit, little-endian).
 *
 * Only the functions marked SHA_ARM are compiled for these instructions. Two of them together do four rounds on the
 * state words {A B C D} and {E F G H}. */
#include "hash/sha256.h"

#ifdef WB_SHA256_ARM

#include <arm_neon.h>

#if defined(__ARM_FEATURE_SHA2) || defined(__ARM_FEATURE_CRYPTO)

#define SHA_ARM

bool wb_sha256_arm_usable(void)
{
    return true;
}

#else

#ifdef __clang__
#define SHA_ARM __attribute__((target("sha2")))
#else
#define SHA_ARM __attribute__((target("+crypto"))) /* +sha2 is not enough for the intrinsics of gcc 12 */
#endif

#ifdef __linux__

#include <sys/auxv.h>

bool wb_sha256_arm_usable(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_SHA2) != 0;
}

#else

bool wb_sha256_arm_usable(void)
{
    return false; /* no way known here to ask */
}

#endif
#endif

typedef struct sha_arm_state {
    uint32x4_t abcd;
    uint32x4_t efgh;
} sha_arm_state;

SHA_ARM static inline void sha_arm_four_rounds(sha_arm_state *s, uint32x4_t w, size_t t)
{
    uint32x4_t kw = vaddq_u32(w, vld1q_u32(wb_sha256_k + t));
    uint32x4_t abcd = s->abcd;
    s->abcd = vsha256hq_u32(abcd, s->efgh, kw);
    s->efgh = vsha256h2q_u32(s->efgh, abcd, kw);
}

/* The next four words of the schedule, from the sixteen before them. */
SHA_ARM static inline uint32x4_t sha_arm_next(uint32x4_t w0, uint32x4_t w1, uint32x4_t w2, uint32x4_t w3)
{
    return vsha256su1q_u32(vsha256su0q_u32(w0, w1), w2, w3);
}

SHA_ARM static inline uint32x4_t sha_arm_load(const unsigned char *data)
{
    return vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(data)));
}

SHA_ARM static inline void sha_arm_block(sha_arm_state *s, const unsigned char *data)
{
    uint32x4_t w0 = sha_arm_load(data), w1 = sha_arm_load(data + 16);
    uint32x4_t w2 = sha_arm_load(data + 32), w3 = sha_arm_load(data + 48);
    sha_arm_four_rounds(s, w0, 0);
    sha_arm_four_rounds(s, w1, 4);
    sha_arm_four_rounds(s, w2, 8);
    sha_arm_four_rounds(s, w3, 12);
    for (size_t t = 16; t < 64; t += 16) {
        w0 = sha_arm_next(w0, w1, w2, w3);
        sha_arm_four_rounds(s, w0, t);
        w1 = sha_arm_next(w1, w2, w3, w0);
        sha_arm_four_rounds(s, w1, t + 4);
        w2 = sha_arm_next(w2, w3, w0, w1);
        sha_arm_four_rounds(s, w2, t + 8);
        w3 = sha_arm_next(w3, w0, w1, w2);
        sha_arm_four_rounds(s, w3, t + 12);
    }
}

SHA_ARM void wb_sha256_arm_blocks(uint32_t state[8], const unsigned char *data, size_t blocks)
{
    sha_arm_state s = {.abcd = vld1q_u32(state), .efgh = vld1q_u32(state + 4)};
    for (; blocks > 0; blocks--, data += WB_SHA256_BLOCK) {
        sha_arm_state before = s;
        sha_arm_block(&s, data);
        s.abcd = vaddq_u32(s.abcd, before.abcd);
        s.efgh = vaddq_u32(s.efgh, before.efgh);
    }
    vst1q_u32(state, s.abcd);
    vst1q_u32(state + 4, s.efgh);
}

#endif
