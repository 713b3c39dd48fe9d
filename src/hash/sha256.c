/* sha256.c - SHA-256 (FIPS 180-4) in portable C, and the choice between it and the processor's own instructions.
 *
 * A digest is one call over bytes that lie in memory, so there is no running context and nothing is copied but the
 * last, partial block. The choice is a walk over a constant table that asks what the processor can do: nothing
 * to initialise, to race for or to leave behind when the library is unloaded. */
#include "hash/sha256.h"

#include <string.h>

alignas(64) const uint32_t wb_sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static const uint32_t sha_start[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

typedef void sha_blocks_fn(uint32_t state[8], const unsigned char *data, size_t blocks);

static inline uint32_t sha_load32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static inline void sha_store32(unsigned char *p, uint32_t v)
{
    p[0] = (unsigned char)(v >> 24);
    p[1] = (unsigned char)(v >> 16);
    p[2] = (unsigned char)(v >> 8);
    p[3] = (unsigned char)v;
}

static inline uint32_t sha_rotr(uint32_t v, unsigned n)
{
    return v >> n | v << (32 - n);
}

/* One round. The eight working variables stay where they are; the caller turns their roles instead. */
static inline void sha_round(uint32_t a, uint32_t b, uint32_t c, uint32_t *d, uint32_t e, uint32_t f, uint32_t g,
                             uint32_t *h, uint32_t kw)
{
    uint32_t t1 = *h + (sha_rotr(e, 6) ^ sha_rotr(e, 11) ^ sha_rotr(e, 25)) + (g ^ (e & (f ^ g))) + kw;
    uint32_t t2 = (sha_rotr(a, 2) ^ sha_rotr(a, 13) ^ sha_rotr(a, 22)) + (b ^ ((a ^ b) & (b ^ c)));
    *d += t1;
    *h = t1 + t2;
}

static void sha_schedule(uint32_t w[64], const unsigned char *data)
{
    for (size_t t = 0; t < 16; t++)
        w[t] = sha_load32(data + 4 * t);
    for (size_t t = 16; t < 64; t++) {
        uint32_t v = w[t - 15], u = w[t - 2];
        w[t] = w[t - 16] + (sha_rotr(v, 7) ^ sha_rotr(v, 18) ^ v >> 3) + w[t - 7] +
               (sha_rotr(u, 17) ^ sha_rotr(u, 19) ^ u >> 10);
    }
}

static void sha_portable_blocks(uint32_t state[8], const unsigned char *data, size_t blocks)
{
    const uint32_t *k = wb_sha256_k;
    uint32_t w[64];
    for (; blocks > 0; blocks--, data += WB_SHA256_BLOCK) {
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
        uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
        sha_schedule(w, data);
        for (size_t t = 0; t < 64; t += 8) {
            sha_round(a, b, c, &d, e, f, g, &h, k[t] + w[t]);
            sha_round(h, a, b, &c, d, e, f, &g, k[t + 1] + w[t + 1]);
            sha_round(g, h, a, &b, c, d, e, &f, k[t + 2] + w[t + 2]);
            sha_round(f, g, h, &a, b, c, d, &e, k[t + 3] + w[t + 3]);
            sha_round(e, f, g, &h, a, b, c, &d, k[t + 4] + w[t + 4]);
            sha_round(d, e, f, &g, h, a, b, &c, k[t + 5] + w[t + 5]);
            sha_round(c, d, e, &f, g, h, a, &b, k[t + 6] + w[t + 6]);
            sha_round(b, c, d, &e, f, g, h, &a, k[t + 7] + w[t + 7]);
        }
        state[0] += a;
        state[1] += b;
        state[2] += c;
        state[3] += d;
        state[4] += e;
        state[5] += f;
        state[6] += g;
        state[7] += h;
    }
}

/* Whole blocks go to fn in place; the rest, a one bit, zeros and the length in bits make one or two more. */
static inline void sha_digest(sha_blocks_fn *fn, const void *data, size_t size, unsigned char *out)
{
    const unsigned char *bytes = data;
    size_t whole = size / WB_SHA256_BLOCK, rest = size % WB_SHA256_BLOCK;
    unsigned char tail[2 * WB_SHA256_BLOCK] = {0};
    size_t tail_size = rest + 1 + 8 <= WB_SHA256_BLOCK ? WB_SHA256_BLOCK : 2 * WB_SHA256_BLOCK;
    uint64_t bits = (uint64_t)size << 3;
    uint32_t state[8];
    memcpy(state, sha_start, sizeof state);

    if (whole > 0)
        fn(state, bytes, whole);
    if (rest > 0) /* data may be NULL when there is none */
        memcpy(tail, bytes + whole * WB_SHA256_BLOCK, rest);
    tail[rest] = 0x80;
    sha_store32(tail + tail_size - 8, (uint32_t)(bits >> 32));
    sha_store32(tail + tail_size - 4, (uint32_t)bits);
    fn(state, tail, tail_size / WB_SHA256_BLOCK);

    for (size_t i = 0; i < 8; i++)
        sha_store32(out + 4 * i, state[i]);
}

static void sha_portable_digest(const void *data, size_t size, unsigned char *out)
{
    sha_digest(sha_portable_blocks, data, size, out);
}

#ifdef WB_SHA256_X86
static void sha_x86_digest(const void *data, size_t size, unsigned char *out)
{
    sha_digest(wb_sha256_x86_blocks, data, size, out);
}
#endif

#ifdef WB_SHA256_ARM
static void sha_arm_digest(const void *data, size_t size, unsigned char *out)
{
    sha_digest(wb_sha256_arm_blocks, data, size, out);
}
#endif

const wb_sha256_impl wb_sha256_impls[] = {
    {.name = "portable", .usable = NULL, .hash = {.name = "sha256", .size = 32, .digest = sha_portable_digest}},
#ifdef WB_SHA256_X86
    {.name = "x86", .usable = wb_sha256_x86_usable, .hash = {.name = "sha256", .size = 32, .digest = sha_x86_digest}},
#endif
#ifdef WB_SHA256_ARM
    {.name = "arm", .usable = wb_sha256_arm_usable, .hash = {.name = "sha256", .size = 32, .digest = sha_arm_digest}},
#endif
};
const size_t wb_sha256_impl_count = sizeof wb_sha256_impls / sizeof wb_sha256_impls[0];

const blob_hash *blob_hash_sha256(void)
{
    size_t i = wb_sha256_impl_count - 1;
    while (i > 0 && wb_sha256_impls[i].usable != NULL && !wb_sha256_impls[i].usable())
        i--;
    return &wb_sha256_impls[i].hash;
}
