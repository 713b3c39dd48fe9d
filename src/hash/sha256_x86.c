/* sha256_x86.c - SHA-256 with the x86 SHA extensions.
 *
 * Only the functions marked SHA_X86 are compiled for these instructions; the rest of the library stays runnable on
 * every processor of the architecture. The instructions want the eight state words in two registers, from the top
 * {A B E F} and {C D G H}; one of them does two rounds, and those 32 in a row per block are what the speed hangs on:
 * each waits for the one before, while the message schedule runs beside them. */
#include "hash/sha256.h"

#ifdef WB_SHA256_X86

#include <immintrin.h>

#define SHA_X86 __attribute__((target("sha,sse4.1,ssse3")))

#if defined(__SHA__) && defined(__SSE4_1__) && defined(__SSSE3__)

bool wb_sha256_x86_usable(void)
{
    return true;
}

#elif defined(__has_include) && __has_include(<sys/platform/x86.h>)

/* glibc keeps what CPUID said at program start: no trap into a hypervisor, and no copy of our own. */
#include <sys/platform/x86.h>

bool wb_sha256_x86_usable(void)
{
    return CPU_FEATURE_ACTIVE(SHA) && CPU_FEATURE_ACTIVE(SSE4_1) && CPU_FEATURE_ACTIVE(SSSE3);
}

#else

/* CPUID traps into the hypervisor of a virtual machine and can cost ten digests there. So its answer is kept, the same
 * whoever stores it: the only word of state here, and only where libc does not keep it for us. */
#include <cpuid.h>
#include <stdatomic.h>

static atomic_int sha_x86_answer; /* 0: not asked yet; 1: no; 2: yes */

static bool sha_x86_ask(void)
{
    unsigned a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & bit_SSSE3) == 0 || (c & bit_SSE4_1) == 0)
        return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & 1u << 29) != 0;
}

bool wb_sha256_x86_usable(void)
{
    int answer = atomic_load_explicit(&sha_x86_answer, memory_order_relaxed);

    if (answer == 0) {
        answer = sha_x86_ask() ? 2 : 1;
        atomic_store_explicit(&sha_x86_answer, answer, memory_order_relaxed);
    }
    return answer == 2;
}

#endif

typedef struct sha_x86_state {
    __m128i abef;
    __m128i cdgh;
} sha_x86_state;

SHA_X86 static inline void sha_x86_four_rounds(sha_x86_state *s, __m128i w, size_t t)
{
    __m128i kw = _mm_add_epi32(w, _mm_load_si128((const __m128i *)(const void *)(wb_sha256_k + t)));
    s->cdgh = _mm_sha256rnds2_epu32(s->cdgh, s->abef, kw);
    s->abef = _mm_sha256rnds2_epu32(s->abef, s->cdgh, _mm_shuffle_epi32(kw, 0x0e));
}

/* The next four words of the schedule, from the sixteen before them. */
SHA_X86 static inline __m128i sha_x86_next(__m128i w0, __m128i w1, __m128i w2, __m128i w3)
{
    __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));
    return _mm_sha256msg2_epu32(sum, w3);
}

SHA_X86 static inline __m128i sha_x86_load(const unsigned char *data)
{
    const __m128i swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)data), swap);
}

SHA_X86 static inline void sha_x86_block(sha_x86_state *s, const unsigned char *data)
{
    __m128i w0 = sha_x86_load(data), w1 = sha_x86_load(data + 16);
    __m128i w2 = sha_x86_load(data + 32), w3 = sha_x86_load(data + 48);
    sha_x86_four_rounds(s, w0, 0);
    sha_x86_four_rounds(s, w1, 4);
    sha_x86_four_rounds(s, w2, 8);
    sha_x86_four_rounds(s, w3, 12);
    for (size_t t = 16; t < 64; t += 16) {
        w0 = sha_x86_next(w0, w1, w2, w3);
        sha_x86_four_rounds(s, w0, t);
        w1 = sha_x86_next(w1, w2, w3, w0);
        sha_x86_four_rounds(s, w1, t + 4);
        w2 = sha_x86_next(w2, w3, w0, w1);
        sha_x86_four_rounds(s, w2, t + 8);
        w3 = sha_x86_next(w3, w0, w1, w2);
        sha_x86_four_rounds(s, w3, t + 12);
    }
}

SHA_X86 void wb_sha256_x86_blocks(uint32_t state[8], const unsigned char *data, size_t blocks)
{
    __m128i dcba = _mm_loadu_si128((const __m128i *)(const void *)state);
    __m128i hgfe = _mm_loadu_si128((const __m128i *)(const void *)(state + 4));
    __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    sha_x86_state s = {.abef = _mm_alignr_epi8(cdab, efgh, 8), .cdgh = _mm_blend_epi16(efgh, cdab, 0xf0)};

    for (; blocks > 0; blocks--, data += WB_SHA256_BLOCK) {
        sha_x86_state before = s;
        sha_x86_block(&s, data);
        s.abef = _mm_add_epi32(s.abef, before.abef);
        s.cdgh = _mm_add_epi32(s.cdgh, before.cdgh);
    }

    __m128i feba = _mm_shuffle_epi32(s.abef, 0x1b), dchg = _mm_shuffle_epi32(s.cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)(void *)state, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((__m128i *)(void *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

#endif
