/* crc32c.c - CRC32C in portable C, and the choice between it and the processor's own instructions.
 *
 * The bits are reflected, as in every CRC32C: bit 0 of a byte and of the remainder is the highest power of x. The
 * portable code takes eight bytes a step, each through a table of its own (slicing-by-8), and loads bytes only, so
 * that neither byte order nor alignment matter. The choice is a walk over a constant table, as in sha256.c. */
#include "hash/crc32c.h"

/* crc_table[k][b] is the remainder of the byte b with k bytes of zeros after it. Remainders add up, so a whole table
 * follows from those of its eight bits, lowest bit first, and the compiler does the sums. Read each line of the eight
 * backwards, and they are x^32, x^33, ... x^95 modulo the polynomial: each from the one before by a shift. */
#define CRC_SUMS_1(v, a) (v), (v) ^ (a)
#define CRC_SUMS_2(v, a, b) CRC_SUMS_1(v, a), CRC_SUMS_1((v) ^ (b), a)
#define CRC_SUMS_3(v, a, b, c) CRC_SUMS_2(v, a, b), CRC_SUMS_2((v) ^ (c), a, b)
#define CRC_SUMS_4(v, a, b, c, d) CRC_SUMS_3(v, a, b, c), CRC_SUMS_3((v) ^ (d), a, b, c)
#define CRC_SUMS_5(v, a, b, c, d, e) CRC_SUMS_4(v, a, b, c, d), CRC_SUMS_4((v) ^ (e), a, b, c, d)
#define CRC_SUMS_6(v, a, b, c, d, e, f) CRC_SUMS_5(v, a, b, c, d, e), CRC_SUMS_5((v) ^ (f), a, b, c, d, e)
#define CRC_SUMS_7(v, a, b, c, d, e, f, g) CRC_SUMS_6(v, a, b, c, d, e, f), CRC_SUMS_6((v) ^ (g), a, b, c, d, e, f)
#define CRC_TABLE(a, b, c, d, e, f, g, h)                                                                              \
    {                                                                                                                  \
        CRC_SUMS_7(0, a, b, c, d, e, f, g), CRC_SUMS_7(h, a, b, c, d, e, f, g)                                         \
    }

static const uint32_t crc_table[8][256] = {
    CRC_TABLE(0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f, 0x20bd8ede, 0x417b1dbc, 0x82f63b78),
    CRC_TABLE(0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, 0x3fc5f181, 0x7f8be302, 0xff17c604, 0xfbc3faf9),
    CRC_TABLE(0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, 0x70a27d8a, 0xe144fb14, 0xc76580d9, 0x8b277743),
    CRC_TABLE(0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, 0xe964b13d, 0xd725148b, 0xaba65fe7, 0x52a0c93f),
    CRC_TABLE(0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91, 0x8f2261d3, 0x1ba8b557, 0x37516aae, 0x6ea2d55c),
    CRC_TABLE(0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f, 0xc00c303e, 0x85f4168d, 0x0e045beb, 0x1c08b7d6),
    CRC_TABLE(0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53, 0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a, 0xf56e0ef4),
    CRC_TABLE(0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da, 0x847609b4, 0x0d006599, 0x1a00cb32, 0x34019664),
};

#if defined(WB_CRC32C_X86) || defined(WB_CRC32C_ARM)
const uint32_t wb_crc32c_shift[2 * WB_CRC32C_WORDS_MAX] = {
    0x00000001, 0x493c7d27, 0xf20c0dfe, 0xba4fc28e, 0x3da6d0cb, 0xddc0152b, 0x1c291d04, 0x9e4addf8, 0x740eef02,
    0x39d3b296, 0x083a6eec, 0x0715ce53, 0xc49f4f67, 0x47db8317, 0x2ad91c30, 0x0d3b6092, 0x6992cea2, 0xc96cfdc0,
    0x7e908048, 0x878a92a7, 0x1b3d8f29, 0xdaece73e, 0xf1d0f55e, 0xab7aff2a, 0xa87ab8a8, 0x2162d385, 0x8462d800,
    0x83348832, 0x71d111a8, 0x299847d5, 0xffd852c6, 0xb9e02b86, 0xdcb17aa4, 0x18b33a4e, 0xf37c5aee, 0xb6dd949b,
    0x6051d5a2, 0x78d9ccb7, 0x18b0d4ff, 0xbac2fd7b, 0x21f3d99c, 0xa60ce07b, 0x8f158014, 0xce7f39f4, 0xa00457f7,
    0x61d82e56, 0x8d6d2c43, 0xd270f1a2, 0x00ac29cf, 0xc619809d, 0xe9adf796, 0x2b3cac5d, 0x96638b34, 0x65863b64,
    0xe0e9f351, 0x1b03397f, 0x9af01f2d, 0xebb883bd, 0x2cff42cf, 0xb3e32c28, 0x88f25a3a, 0x064f7f26, 0x4e36f0b0,
    0xdd7e3b0c, 0xbd6f81f8, 0xf285651c, 0x91c9bd4b, 0x10746f3c, 0x885f087b, 0xc7a68855, 0x4c144932, 0x271d9844,
    0x52148f02, 0x8e766a0c, 0xa3c6f37a, 0x93a5f730, 0xd7c0557f, 0x6cb08e5c, 0x63ded06a, 0x6b749fb2, 0x4d56973c,
    0x1393e203, 0x9669c9df, 0xcec3662e, 0xe417f38a, 0x96c515bb, 0x4b9e0f71, 0xe6fc4e6a, 0xd104b8fc, 0x8227bb8a,
    0x5b397730, 0xb0cd4768, 0xe78eb416, 0x39c7ff35, 0x61ff0e01, 0xd7a4825c, 0x8d96551c, 0x0ab3844b, 0x0bf80dd2,
    0x0167d312, 0x8821abed, 0xf6076544, 0x6a45d2b2, 0x26f6a60a, 0xd8d26619, 0xa741c1bf, 0xde87806c, 0x98d8d9cb,
    0x14338754, 0x49c3cc9c, 0x5bd2011f, 0x68bce87a, 0xdd07448e, 0x57a3d037, 0xdde8f5b9, 0x6956fc3b, 0xa3e3e02c,
    0x42d98888, 0xd73c7bea, 0x3771e98f, 0x80ff0093, 0xb42ae3d9, 0x8fe4c34d, 0x2178513a, 0xdf99fc11, 0xe0ac139e,
    0x6c23e841, 0x170076fa, 0xfe314258, 0x444dd413, 0x0d8373a0, 0x6f345e45, 0x19e3635e, 0x41d17b64, 0x29f268b4,
    0xff0dba97, 0x1dc0632a, 0xa2b73df1, 0x1614f396, 0xf872e54c, 0x9e2993d3, 0x1e41e9fc, 0x6bebd73c, 0x86d8e4d2,
    0x63ae91e6, 0x651bd98b, 0xf8c9da7a, 0x5bb8f1bc, 0x945a19c1, 0xa90fd27a, 0xee8213b7, 0xb3af077a, 0x93781dc7,
    0x4984d782, 0xccc4a1b9, 0xca6ef3ac, 0xa2c2d971, 0x234e0b26, 0x1cad4452, 0xdd66cbbb, 0x74922601, 0x4597456a,
    0xc55f7eab, 0xe9e28eb4, 0xa1962329, 0x7b3ff57a, 0x2d370749, 0xc9c8b782, 0x397d84a1, 0x3f70cc6f, 0x79113270,
    0x93e106a4, 0xbc817803, 0x62ec6c6d, 0x88eb3c07, 0xd813b325, 0x6e4cb630, 0x0df04680, 0x71971d5c, 0x2342001e,
    0xf33b8bc6, 0x0a2a8d7e, 0x9fb3bbc0, 0x6d9a4957, 0x6ef22b23, 0xe8b6368b, 0xce2df768, 0xd2c3ed1a, 0xe53a4fc7,
    0x995a5724, 0xbe60a91a, 0x9ef68d35, 0x1dfa0a15, 0x0c139b31, 0x8ec52396, 0xf2271e60, 0x0e766b11, 0x0b0bf8ca,
    0x475846a4, 0x2664fd8b, 0xb2a3dfa6, 0xed64812d, 0xdc1a160c, 0x02ee03b2, 0x79afdf1c, 0x8604ae0f, 0x07ac6e46,
    0x363bd6b3, 0x15f85253, 0x135c83fd, 0x1bec24dd, 0x5fabe670, 0x4c36cd5b, 0x35ec3279, 0xe0a22e29, 0x00bcf5f6,
    0x7c2b6ed9, 0x8ae00689, 0x06ff88fd, 0x17f27698, 0xf7317cf0, 0x58ca5f00, 0x61b6e40b, 0xaa7c7ad5, 0xde8a97f8,
    0xb5cfca28, 0x88f61445, 0xded288f8, 0xd4520e9e, 0x59f229bc, 0x0c592bd5, 0x6d390dec, 0x38edfaf3, 0x37170390,
    0x72cbfcdb, 0x6353c1cc, 0x348331a5, 0xc4584f5c, 0xc3977c19, 0xf48642e9, 0xdafaea7c, 0x531377e2, 0x73db4c04,
    0xdd35bc8d, 0x72675ce8, 0xb25b29f2, 0x3ec2ff83, 0x9a5ede41, 0xe8c7a017, 0xa563905d, 0xcf4bfaef, 0x45cddf4e,
    0x6bde1ac7, 0xacfa3103, 0xae1175c2, 0xa51b6135,
};
#endif

static inline uint32_t crc_load32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint32_t crc_eight_bytes(uint32_t crc, const unsigned char *p)
{
    uint32_t low = crc ^ crc_load32(p), high = crc_load32(p + 4);
    return crc_table[7][low & 255] ^ crc_table[6][low >> 8 & 255] ^ crc_table[5][low >> 16 & 255] ^
           crc_table[4][low >> 24] ^ crc_table[3][high & 255] ^ crc_table[2][high >> 8 & 255] ^
           crc_table[1][high >> 16 & 255] ^ crc_table[0][high >> 24];
}

static uint32_t crc_portable(uint32_t crc, const void *data, size_t size)
{
    const unsigned char *p = data;
    crc = ~crc;
    for (; size >= 8; size -= 8, p += 8)
        crc = crc_eight_bytes(crc, p);
    for (; size > 0; size--, p++)
        crc = crc_table[0][(crc ^ *p) & 255] ^ crc >> 8;
    return ~crc;
}

const wb_crc32c_impl wb_crc32c_impls[] = {
    {.name = "portable", .usable = NULL, .fn = crc_portable},
#ifdef WB_CRC32C_X86
    {.name = "x86", .usable = wb_crc32c_x86_usable, .fn = wb_crc32c_x86},
#endif
#ifdef WB_CRC32C_ARM
    {.name = "arm", .usable = wb_crc32c_arm_usable, .fn = wb_crc32c_arm},
#endif
};
const size_t wb_crc32c_impl_count = sizeof wb_crc32c_impls / sizeof wb_crc32c_impls[0];

/* Written so that compilers see through it: what is left of the walk are direct calls. */
uint32_t wb_crc32c(uint32_t crc, const void *data, size_t size)
{
    for (size_t i = sizeof wb_crc32c_impls / sizeof wb_crc32c_impls[0] - 1; i > 0; i--) {
        if (wb_crc32c_impls[i].usable())
            return wb_crc32c_impls[i].fn(crc, data, size);
    }
    return crc_portable(crc, data, size);
}
