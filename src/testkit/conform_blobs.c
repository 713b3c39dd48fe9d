/* conform_blobs.c - checks: what is put is there, what is deleted is not, and bytes handed out do not change. */
#include "testkit/conform_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static blob_view cb_text(const char *text)
{
    return blob_view_of(text, strlen(text));
}

static bool cb_put_get(wb_cf *c)
{
    const blob_key a = wb_cf_key("a"), b = wb_cf_key("b");

    return wb_cf_put(c, a, cb_text("one"), 0, 0) && wb_cf_holds(c, a, cb_text("one")) && wb_cf_misses(c, b) &&
           wb_cf_put(c, b, cb_text("one"), 0, 0) && wb_cf_holds(c, b, cb_text("one")) &&
           wb_cf_holds(c, a, cb_text("one"));
}

static bool cb_put_copies(wb_cf *c)
{
    const blob_key copy = wb_cf_key("key");
    unsigned char bytes[77], kept[77];
    char name[] = "key";

    wb_cf_fill(1, bytes, sizeof bytes);
    memcpy(kept, bytes, sizeof kept);
    if (!wb_cf_put(c, wb_cf_key(name), blob_view_of(bytes, sizeof bytes), 0, 0))
        return false;
    memset(bytes, 0, sizeof bytes);
    memset(name, 'x', sizeof name - 1);
    return wb_cf_holds(c, copy, blob_view_of(kept, sizeof kept)) && wb_cf_misses(c, wb_cf_key(name)) &&
           wb_cf_delete(c, copy, 0, 0);
}

static bool cb_put_exists(wb_cf *c)
{
    const blob_key key = wb_cf_key("key");

    return wb_cf_put(c, key, cb_text("first"), 0, 0) && wb_cf_put(c, key, cb_text("other"), 0, BLOB_EXISTS) &&
           wb_cf_holds(c, key, cb_text("first")) && wb_cf_put(c, key, cb_text("first"), 0, BLOB_EXISTS) &&
           wb_cf_put(c, key, cb_text(""), 0, BLOB_EXISTS) && wb_cf_put(c, key, cb_text("longer"), 0, BLOB_EXISTS) &&
           wb_cf_holds(c, key, cb_text("first")) && wb_cf_len(c, 1);
}

static bool cb_put_replace(wb_cf *c)
{
    const blob_key key = wb_cf_key("key");

    return wb_cf_put(c, key, cb_text("first"), BLOB_REPLACE, 0) && wb_cf_holds(c, key, cb_text("first")) &&
           wb_cf_put(c, key, cb_text("other"), BLOB_REPLACE, 0) && wb_cf_holds(c, key, cb_text("other")) &&
           wb_cf_put(c, key, cb_text("a longer one"), BLOB_REPLACE, 0) &&
           wb_cf_holds(c, key, cb_text("a longer one")) && wb_cf_put(c, key, cb_text(""), BLOB_REPLACE, 0) &&
           wb_cf_holds(c, key, cb_text("")) && wb_cf_put(c, key, cb_text("s"), BLOB_REPLACE, 0) &&
           wb_cf_holds(c, key, cb_text("s")) && wb_cf_put(c, key, cb_text("t"), 0, BLOB_EXISTS) && wb_cf_len(c, 1);
}

/* Asks for a key in an empty store, and for one between two others. */
static bool cb_get_missing(wb_cf *c)
{
    const blob_key key = wb_cf_key("m");

    return wb_cf_get_misses(c, key) && wb_cf_put(c, wb_cf_key("l"), cb_text("x"), 0, 0) &&
           wb_cf_put(c, wb_cf_key("n"), cb_text("x"), 0, 0) && wb_cf_get_misses(c, key);
}

static bool cb_size_missing(wb_cf *c)
{
    const blob_key key = wb_cf_key("m");

    return wb_cf_size_misses(c, key) && wb_cf_put(c, wb_cf_key("l"), cb_text("x"), 0, 0) &&
           wb_cf_put(c, wb_cf_key("n"), cb_text("x"), 0, 0) && wb_cf_size_misses(c, key);
}

static bool cb_delete_missing(wb_cf *c)
{
    const blob_key key = wb_cf_key("m"), other = wb_cf_key("n");

    return wb_cf_delete(c, key, 0, BLOB_NOT_FOUND) && wb_cf_delete(c, key, BLOB_LAZY, BLOB_NOT_FOUND) &&
           wb_cf_put(c, other, cb_text("x"), 0, 0) && wb_cf_delete(c, key, 0, BLOB_NOT_FOUND) &&
           wb_cf_holds(c, other, cb_text("x")) && wb_cf_delete(c, other, 0, 0) &&
           wb_cf_delete(c, other, 0, BLOB_NOT_FOUND);
}

static bool cb_gone(wb_cf *c, blob_key key, const blob_key *left)
{
    return wb_cf_misses(c, key) && wb_cf_len(c, 1) && wb_cf_lists_exactly(c, blob_key_of(NULL, 0), left, 1);
}

static bool cb_delete(wb_cf *c)
{
    const blob_key key = wb_cf_key("k"), other = wb_cf_key("o");

    return wb_cf_put(c, key, cb_text("one"), 0, 0) && wb_cf_put(c, other, cb_text("x"), 0, 0) &&
           wb_cf_delete(c, key, 0, 0) && cb_gone(c, key, &other) && wb_cf_put(c, key, cb_text("two"), 0, 0) &&
           wb_cf_holds(c, key, cb_text("two")) && wb_cf_delete(c, key, 0, 0) && cb_gone(c, key, &other) &&
           wb_cf_put(c, key, cb_text("three"), BLOB_REPLACE, 0) && wb_cf_holds(c, key, cb_text("three"));
}

/* Only a crash may tell a lazy delete from another. */
static bool cb_delete_lazy(wb_cf *c)
{
    const blob_key key = wb_cf_key("k"), other = wb_cf_key("o");

    return wb_cf_put(c, key, cb_text("one"), 0, 0) && wb_cf_put(c, other, cb_text("x"), 0, 0) &&
           wb_cf_delete(c, key, BLOB_LAZY, 0) && cb_gone(c, key, &other) &&
           wb_cf_delete(c, key, BLOB_LAZY, BLOB_NOT_FOUND) && wb_cf_put(c, key, cb_text("two"), 0, 0) &&
           wb_cf_holds(c, key, cb_text("two")) && wb_cf_delete(c, key, BLOB_LAZY, 0) && cb_gone(c, key, &other);
}

static bool cb_delete_after_lazy(wb_cf *c)
{
    const blob_key key = wb_cf_key("k"), other = wb_cf_key("o");

    return wb_cf_put(c, key, cb_text("one"), 0, 0) && wb_cf_put(c, other, cb_text("x"), 0, 0) &&
           wb_cf_delete(c, key, BLOB_LAZY, 0) && wb_cf_delete(c, key, 0, BLOB_NOT_FOUND) && cb_gone(c, key, &other);
}

static bool cb_empty(wb_cf *c)
{
    const blob_key null = wb_cf_key("null"), pointer = wb_cf_key("pointer");

    return wb_cf_put(c, null, blob_view_of(NULL, 0), 0, 0) && wb_cf_holds(c, null, cb_text("")) &&
           wb_cf_put(c, pointer, cb_text(""), 0, 0) && wb_cf_holds(c, pointer, cb_text("")) && wb_cf_len(c, 2) &&
           wb_cf_put(c, null, cb_text("x"), 0, BLOB_EXISTS) && wb_cf_delete(c, null, 0, 0) && wb_cf_misses(c, null);
}

static bool cb_sizes(wb_cf *c)
{
    static const size_t sizes[] = {1,     2,     255,   256,   511,   512,    4095,   4096,    4097,
                                   16383, 32768, 65535, 65536, 65537, 262144, 999999, 1048576, 1048577};
    const size_t count = sizeof sizes / sizeof sizes[0], most = 1048577;
    unsigned char *bytes = malloc(most);
    bool good = true;

    if (bytes == NULL)
        return wb_cf_fail(c, -ENOMEM);
    wb_cf_fill(7, bytes, most);
    /* Each blob begins elsewhere, so that no two share their first bytes. */
    for (size_t i = 0; good && i < count; i++)
        good = wb_cf_put(c, blob_key_of(&sizes[i], sizeof sizes[i]), blob_view_of(bytes + most - sizes[i], sizes[i]), 0,
                         0);
    for (size_t i = 0; good && i < count; i++)
        good = wb_cf_holds(c, blob_key_of(&sizes[i], sizeof sizes[i]), blob_view_of(bytes + most - sizes[i], sizes[i]));
    free(bytes);
    return good;
}

/* Bytes that a get handed out, to be looked at after something happened to their key. */
typedef struct cb_kept {
    blob *b;
    unsigned char bytes[256];
} cb_kept;

static bool cb_keep(wb_cf *c, blob_key key, cb_kept *kept)
{
    kept->b = NULL;
    wb_cf_fill(3, kept->bytes, sizeof kept->bytes);
    return wb_cf_put(c, key, blob_view_of(kept->bytes, sizeof kept->bytes), BLOB_REPLACE, 0) &&
           wb_cf_status(c, "get", key, wb_cf_get(c, NULL, key, true, &kept->b), 0);
}

static bool cb_unchanged(wb_cf *c, const cb_kept *kept, const char *what)
{
    return (kept->b->size == sizeof kept->bytes && memcmp(kept->b->data, kept->bytes, sizeof kept->bytes) == 0) ||
           wb_cf_broken(c, "a blob that get handed out has changed after %s of its key", what);
}

static bool cb_outlives_replace(wb_cf *c)
{
    const blob_key key = wb_cf_key("key");
    unsigned char other[256];
    cb_kept kept;
    bool good;

    wb_cf_fill(4, other, sizeof other);
    good = cb_keep(c, key, &kept) && wb_cf_put(c, key, blob_view_of(other, sizeof other), BLOB_REPLACE, 0) &&
           cb_unchanged(c, &kept, "a replace") && wb_cf_put(c, key, cb_text("short"), BLOB_REPLACE, 0) &&
           cb_unchanged(c, &kept, "a shorter replace");
    blob_unref(kept.b);
    return good && wb_cf_holds(c, key, cb_text("short"));
}

static bool cb_outlives_delete(wb_cf *c)
{
    const blob_key key = wb_cf_key("key");
    unsigned char other[256];
    cb_kept kept;
    bool good;

    wb_cf_fill(5, other, sizeof other);
    good = cb_keep(c, key, &kept) && wb_cf_delete(c, key, 0, 0) && cb_unchanged(c, &kept, "a delete") &&
           wb_cf_put(c, key, blob_view_of(other, sizeof other), 0, 0) && cb_unchanged(c, &kept, "a new put");
    blob_unref(kept.b);
    if (!good)
        return false;
    good = cb_keep(c, key, &kept) && wb_cf_delete(c, key, BLOB_LAZY, 0) && cb_unchanged(c, &kept, "a lazy delete");
    blob_unref(kept.b);
    return good;
}

static bool cb_len(wb_cf *c)
{
    blob_key keys[9];

    return wb_cf_len(c, 0) && wb_cf_put_few(c, keys, 9) && wb_cf_len(c, 9) &&
           wb_cf_put(c, keys[0], cb_text("x"), 0, BLOB_EXISTS) && wb_cf_len(c, 9) &&
           wb_cf_put(c, keys[1], cb_text("replaced"), BLOB_REPLACE, 0) && wb_cf_len(c, 9) &&
           wb_cf_delete(c, wb_cf_key("missing"), 0, BLOB_NOT_FOUND) && wb_cf_len(c, 9) &&
           wb_cf_delete(c, keys[2], 0, 0) && wb_cf_len(c, 8) && wb_cf_delete(c, keys[3], BLOB_LAZY, 0) &&
           wb_cf_len(c, 7) && wb_cf_put(c, keys[2], cb_text("again"), BLOB_REPLACE, 0) && wb_cf_len(c, 8);
}

const wb_cf_check wb_cf_blobs[] = {
    {"put-get", cb_put_get},
    {"put-copies", cb_put_copies},
    {"put-exists", cb_put_exists},
    {"put-replace", cb_put_replace},
    {"get-missing", cb_get_missing},
    {"size-missing", cb_size_missing},
    {"delete", cb_delete},
    {"delete-missing", cb_delete_missing},
    {"delete-lazy", cb_delete_lazy},
    {"delete-after-lazy", cb_delete_after_lazy},
    {"blob-empty", cb_empty},
    {"blob-sizes", cb_sizes},
    {"get-outlives-replace", cb_outlives_replace},
    {"get-outlives-delete", cb_outlives_delete},
    {"len", cb_len},
    {NULL, NULL},
};
