/* crc32c_x86.c - CRC32C with the crc32 instruction of SSE4.2, three at a time (crc32c.h), put together again by
 * PCLMULQDQ. Only the functions marked CRC_X86 are compiled for these instructions. */
#include "hash/crc32c.h"

#ifdef WB_CRC32C_X86

#include <immintrin.h>
#include <string.h>

#define CRC_X86 __attribute__((target("sse4.2,pclmul")))

/* From here on three streams beat one; under it the multiplication costs more than it saves. */
#define CRC_X86_STREAMS_MIN 96

#if defined(__SSE4_2__) && defined(__PCLMUL__)

bool wb_crc32c_x86_usable(void)
{
    return true;
}

#elif defined(__has_include) && __has_include(<sys/platform/x86.h>)

/* glibc keeps what CPUID said at program start: no trap into a hypervisor, and no copy of our own. */
#include <sys/platform/x86.h>

bool wb_crc32c_x86_usable(void)
{
    return CPU_FEATURE_ACTIVE(SSE4_2) && CPU_FEATURE_ACTIVE(PCLMULQDQ);
}

#else

/* CPUID traps into the hypervisor of a virtual machine, for longer than megabytes take. So its answer is kept, the same
 * whoever stores it: here too only where libc does not keep it for us. */
#include <cpuid.h>
#include <stdatomic.h>

static atomic_int crc_x86_answer; /* 0: not asked yet; 1: no; 2: yes */

static bool crc_x86_ask(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_2) != 0 && (c & bit_PCLMUL) != 0;
}

bool wb_crc32c_x86_usable(void)
{
    int answer = atomic_load_explicit(&crc_x86_answer, memory_order_relaxed);

    if (answer == 0) {
        answer = crc_x86_ask() ? 2 : 1;
        atomic_store_explicit(&crc_x86_answer, answer, memory_order_relaxed);
    }
    return answer == 2;
}

#endif

static inline uint64_t crc_x86_load64(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

CRC_X86 static inline uint64_t crc_x86_word(uint64_t crc, const unsigned char *p)
{
    return _mm_crc32_u64(crc, crc_x86_load64(p));
}

/* What to add to the next word of data, so that crc comes out moved past so many words. */
CRC_X86 static inline uint64_t crc_x86_move(uint64_t crc, size_t words)
{
    __m128i factor = _mm_cvtsi64_si128((long long)wb_crc32c_shift[words - 1]);
    return (uint64_t)_mm_cvtsi128_si64(_mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc), factor, 0));
}

/* Three times so many words. What the first two streams give goes into the last word of the third. */
CRC_X86 static inline uint64_t crc_x86_streams(uint64_t crc, const unsigned char *p, size_t words)
{
    const unsigned char *q = p + 8 * words, *r = q + 8 * words;
    size_t last = 8 * (words - 1);
    uint64_t a = crc, b = 0, c = 0;

    for (size_t i = 0; i < last; i += 8) {
        a = crc_x86_word(a, p + i);
        b = crc_x86_word(b, q + i);
        c = crc_x86_word(c, r + i);
    }
    a = crc_x86_word(a, p + last);
    b = crc_x86_word(b, q + last);
    return _mm_crc32_u64(c, crc_x86_load64(r + last) ^ crc_x86_move(a, 2 * words) ^ crc_x86_move(b, words));
}

CRC_X86 static inline uint32_t crc_x86_tail(uint32_t crc, const unsigned char *p, size_t size)
{
    if (size & 4) {
        uint32_t v;
        memcpy(&v, p, sizeof v);
        crc = _mm_crc32_u32(crc, v);
        p += 4;
    }
    if (size & 2) {
        uint16_t v;
        memcpy(&v, p, sizeof v);
        crc = _mm_crc32_u16(crc, v);
        p += 2;
    }
    if (size & 1)
        crc = _mm_crc32_u8(crc, *p);
    return crc;
}

CRC_X86 uint32_t wb_crc32c_x86(uint32_t crc, const void *data, size_t size)
{
    const unsigned char *p = data;
    uint64_t rest = (uint32_t)~crc;

    while (size >= CRC_X86_STREAMS_MIN) {
        size_t words = size / 24 < WB_CRC32C_WORDS_MAX ? size / 24 : WB_CRC32C_WORDS_MAX;
        rest = crc_x86_streams(rest, p, words);
        p += 24 * words;
        size -= 24 * words;
    }
    for (; size >= 8; size -= 8, p += 8)
        rest = crc_x86_word(rest, p);
    return ~crc_x86_tail((uint32_t)rest, p, size);
}

#endif
