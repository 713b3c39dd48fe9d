/* conform_made.c - what checks put: keys that stores like to get wrong, and bytes that follow from a number. */
#include "testkit/conform_int.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t cf_mix(uint64_t x)
{
    x = (x ^ (x >> 31)) * UINT64_C(0x9e6c63d0876a9a47);
    x = (x ^ (x >> 29)) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ (x >> 32);
}

void wb_cf_fill(uint64_t seed, void *bytes, size_t size)
{
    unsigned char *at = bytes;
    uint64_t word = 0;

    for (size_t i = 0; i < size; i++, word >>= 8) {
        if (i % 8 == 0)
            word = cf_mix(seed * 1000003 + i / 8);
        at[i] = (unsigned char)word;
    }
}

uint64_t wb_cf_random(wb_cf_thread *t, uint64_t below)
{
    return cf_mix(++t->random) % below;
}

blob_key wb_cf_key(const char *text)
{
    return blob_key_of(text, strlen(text));
}

int64_t wb_cf_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int cf_order(const void *a, const void *b)
{
    return blob_key_compare(*(const blob_key *)a, *(const blob_key *)b);
}

/* Zeros, high bytes, prefixes of each other, both cases, names that mean something to a file system, longest keys. */
void wb_cf_odd_keys(wb_cf *c, blob_key keys[WB_CF_ODD])
{
#define CF_ODD(bytes)                                                                                                  \
    {                                                                                                                  \
        (bytes), sizeof(bytes) - 1                                                                                     \
    }
    static const blob_key odd[] = {
        CF_ODD(""),       CF_ODD("\0"),       CF_ODD("\0\0"), CF_ODD("\0\0\1"), CF_ODD("\0\1"),     CF_ODD("\0\377"),
        CF_ODD("\1"),     CF_ODD("\n"),       CF_ODD(" "),    CF_ODD("%2e"),    CF_ODD("."),        CF_ODD(".."),
        CF_ODD("../x"),   CF_ODD("/"),        CF_ODD("//"),   CF_ODD("A"),      CF_ODD("A/b"),      CF_ODD("AUX"),
        CF_ODD("a"),      CF_ODD("a\0"),      CF_ODD("a\0b"), CF_ODD("a/"),     CF_ODD("a/b"),      CF_ODD("aa"),
        CF_ODD("ab"),     CF_ODD("b"),        CF_ODD("\177"), CF_ODD("\200"),   CF_ODD("\303\244"), CF_ODD("\377"),
        CF_ODD("\377\0"), CF_ODD("\377\377"), CF_ODD("tmp"),  CF_ODD("LOCK"),
    };
#undef CF_ODD
    const size_t short_keys = sizeof odd / sizeof odd[0];
    const blob_key longest[WB_CF_ODD - sizeof odd / sizeof odd[0]] = {
        {c->run_a, BLOB_KEY_MAX}, {c->run_a, BLOB_KEY_MAX - 1}, {c->run_0, BLOB_KEY_MAX},
        {c->run_f, BLOB_KEY_MAX}, {c->run_f, BLOB_KEY_MAX - 1}, {c->run_a, 128},
    };

    memset(c->run_a, 'a', sizeof c->run_a);
    memset(c->run_0, 0, sizeof c->run_0);
    memset(c->run_f, 0xff, sizeof c->run_f);
    memcpy(keys, odd, sizeof odd);
    memcpy(keys + short_keys, longest, sizeof longest);
    qsort(keys, WB_CF_ODD, sizeof *keys, cf_order);
}

blob_view wb_cf_odd_data(size_t index, unsigned char room[WB_CF_ODD])
{
    wb_cf_fill(index, room, index);
    return blob_view_of(room, index);
}

bool wb_cf_put_odd(wb_cf *c, blob_key keys[WB_CF_ODD])
{
    unsigned char room[WB_CF_ODD];

    wb_cf_odd_keys(c, keys);
    for (size_t i = 0; i < WB_CF_ODD; i++) {
        /* Not in their order, so that the order of putting is not mistaken for it. */
        size_t k = i * 7 % WB_CF_ODD;
        if (!wb_cf_put(c, keys[k], wb_cf_odd_data(k, room), 0, 0))
            return false;
    }
    return true;
}

bool wb_cf_put_few(wb_cf *c, blob_key *keys, size_t count)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";

    for (size_t i = 0; i < count; i++)
        keys[i] = blob_key_of(letters + i, 1);
    for (size_t i = count; i-- > 0;) {
        if (!wb_cf_put(c, keys[i], blob_view_of(letters + i, 1), 0, 0))
            return false;
    }
    return true;
}
