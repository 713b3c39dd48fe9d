/* sha256.h - what the parts of SHA-256 share: the block functions and who may run them.
 *
 * An implementation is one function that folds whole 64-byte blocks into the state, straight from the caller's
 * buffer. Padding, the state's start and the byte order of the result are common, in sha256.c. */
#ifndef WB_HASH_SHA256_H
#define WB_HASH_SHA256_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wbstore/blob.h>

#define WB_SHA256_BLOCK 64

/* Where an implementation is compiled at all. Old clang hides the Armv8 instructions unless the whole file is built
 * for them; big-endian Arm takes the portable code. */
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
#define WB_SHA256_X86 1
#endif
#if defined(__GNUC__) && defined(__aarch64__) && defined(__AARCH64EL__) &&                                             \
    (defined(__ARM_FEATURE_SHA2) || defined(__ARM_FEATURE_CRYPTO) || !defined(__clang__) || __clang_major__ >= 16)
#define WB_SHA256_ARM 1
#endif

extern alignas(64) const uint32_t wb_sha256_k[64]; /* FIPS 180-4, 4.2.2: the round constants */

#ifdef WB_SHA256_X86
bool wb_sha256_x86_usable(void);
void wb_sha256_x86_blocks(uint32_t state[8], const unsigned char *data, size_t blocks);
#endif
#ifdef WB_SHA256_ARM
bool wb_sha256_arm_usable(void);
void wb_sha256_arm_blocks(uint32_t state[8], const unsigned char *data, size_t blocks);
#endif

/* All that this build has, the slowest first, so that the tests can prove them equal. Number 0 is the portable one
 * and runs everywhere; the others must not be called where usable() says no. The hash's own name is always "sha256". */
typedef struct wb_sha256_impl {
    const char *name;
    bool (*usable)(void); /* NULL: always */
    blob_hash hash;
} wb_sha256_impl;
extern const wb_sha256_impl wb_sha256_impls[];
extern const size_t wb_sha256_impl_count;

#endif
