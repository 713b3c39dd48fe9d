/* conform_keys.c - checks: any bytes are a key, up to BLOB_KEY_MAX of them, and no two keys are one. */
#include "testkit/conform_int.h"

#include <errno.h>
#include <string.h>

static const blob_view ck_data = {"some bytes", 10};

static bool ck_empty(wb_cf *c)
{
    const blob_key null = {NULL, 0}, pointer = {"ignored", 0};

    return wb_cf_misses(c, null) && wb_cf_put(c, null, ck_data, 0, 0) && wb_cf_holds(c, pointer, ck_data) &&
           wb_cf_put(c, pointer, ck_data, 0, BLOB_EXISTS) && wb_cf_lists_exactly(c, null, &null, 1) &&
           wb_cf_delete(c, pointer, 0, 0) && wb_cf_misses(c, null);
}

static bool ck_lengths(wb_cf *c)
{
    static const size_t sizes[] = {0,  1,  2,   3,   4,   7,   8,   9,   15,  16,  20,  31,  32,  33, 63,
                                   64, 65, 100, 120, 126, 127, 128, 129, 160, 200, 201, 253, 254, 255};
    const size_t count = sizeof sizes / sizeof sizes[0];
    unsigned char bytes[BLOB_KEY_MAX];

    /* All begin alike: a store that looks at the first part of a key only takes them for one. */
    memset(bytes, 'k', sizeof bytes);
    for (size_t i = 0; i < count; i++) {
        if (!wb_cf_put(c, blob_key_of(bytes, sizes[i]), blob_view_of(bytes, i), 0, 0))
            return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!wb_cf_holds(c, blob_key_of(bytes, sizes[i]), blob_view_of(bytes, i)))
            return false;
    }
    return wb_cf_len(c, count);
}

static bool ck_bytes(wb_cf *c)
{
    blob_key keys[WB_CF_ODD];
    unsigned char room[WB_CF_ODD];

    if (!wb_cf_put_odd(c, keys))
        return false;
    for (size_t i = 0; i < WB_CF_ODD; i++) {
        if (!wb_cf_holds(c, keys[i], wb_cf_odd_data(i, room)))
            return false;
    }
    for (size_t i = 0; i < WB_CF_ODD; i += 2) {
        if (!wb_cf_delete(c, keys[i], 0, 0))
            return false;
    }
    for (size_t i = 0; i < WB_CF_ODD; i++) {
        if (i % 2 == 0 ? !wb_cf_misses(c, keys[i]) : !wb_cf_holds(c, keys[i], wb_cf_odd_data(i, room)))
            return false;
    }
    return wb_cf_len(c, WB_CF_ODD / 2);
}

/* Two longest keys that begin with every byte there is and differ in the last. */
static bool ck_every_byte(wb_cf *c)
{
    unsigned char up[BLOB_KEY_MAX], twin[BLOB_KEY_MAX];
    const blob_key a = {up, sizeof up}, b = {twin, sizeof twin};

    for (size_t i = 0; i < sizeof up; i++)
        up[i] = (unsigned char)(255 - i);
    memcpy(twin, up, sizeof twin);
    twin[sizeof twin - 1] = 0;
    return wb_cf_put(c, a, ck_data, 0, 0) && wb_cf_misses(c, b) && wb_cf_put(c, b, blob_view_of("b", 1), 0, 0) &&
           wb_cf_holds(c, a, ck_data) && wb_cf_holds(c, b, blob_view_of("b", 1)) && wb_cf_delete(c, a, 0, 0) &&
           wb_cf_misses(c, a) && wb_cf_holds(c, b, blob_view_of("b", 1));
}

/* What begins a key, or goes on after it, is another key. */
static bool ck_prefix(wb_cf *c)
{
    const blob_key key = wb_cf_key("abc"), shorter = wb_cf_key("ab"), longer = wb_cf_key("abcd"),
                   zero = blob_key_of("abc\0", 4), none = blob_key_of(NULL, 0);

    return wb_cf_put(c, key, ck_data, 0, 0) && wb_cf_misses(c, shorter) && wb_cf_misses(c, longer) &&
           wb_cf_misses(c, zero) && wb_cf_misses(c, none) && wb_cf_delete(c, shorter, 0, BLOB_NOT_FOUND) &&
           wb_cf_delete(c, zero, 0, BLOB_NOT_FOUND) && wb_cf_holds(c, key, ck_data);
}

static int ck_no_key(void *arg, blob_key key, uint64_t size)
{
    (void)key;
    (void)size;
    *(bool *)arg = true;
    return BLOB_LIST_STOP;
}

static bool ck_too_long(wb_cf *c)
{
    unsigned char bytes[BLOB_KEY_MAX + 1] = {0};
    const blob_key key = {bytes, sizeof bytes}, huge = {bytes, SIZE_MAX}, cut = {bytes, BLOB_KEY_MAX};
    uint64_t size;
    bool called = false;
    blob *b;

    return wb_cf_note(c, cut) &&
           wb_cf_status(c, "put", key, blob_store_put(c->store, NULL, key, ck_data, 0), -EINVAL) &&
           wb_cf_status(c, "put", huge, blob_store_put(c->store, NULL, huge, ck_data, 0), -EINVAL) &&
           wb_cf_misses(c, cut) && wb_cf_put(c, cut, ck_data, 0, 0) &&
           wb_cf_status(c, "get", key, blob_store_get(c->store, NULL, key, &b), -EINVAL) &&
           wb_cf_status(c, "size", key, blob_store_size(c->store, NULL, key, &size), -EINVAL) &&
           wb_cf_delete(c, key, 0, -EINVAL) && wb_cf_holds(c, cut, ck_data) &&
           wb_cf_status(c, "a listing", key, blob_store_list(c->store, NULL, key, ck_no_key, &called), -EINVAL) &&
           (!called || wb_cf_broken(c, "a listing that returns -EINVAL has called back"));
}

const wb_cf_check wb_cf_keys[] = {
    {"key-empty", ck_empty},
    {"key-lengths", ck_lengths},
    {"key-bytes", ck_bytes},
    {"key-every-byte", ck_every_byte},
    {"key-prefix", ck_prefix},
    {"key-too-long", ck_too_long},
    {NULL, NULL},
};
