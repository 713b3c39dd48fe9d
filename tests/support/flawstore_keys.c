/* flawstore_keys.c - keys of the flawed store: their order, and the flaws that take one for another. */
#include "flawstore_int.h"

#include <ctype.h>
#include <string.h>

fw_key fw_key_of(const flawstore *f, blob_key key)
{
    fw_key made = {.size = key.size};

    if (key.size > 0)
        memcpy(made.bytes, key.data, key.size);
    if (f->flaw == FLAW_KEY_CUT && made.size > 200)
        made.size = 200;
    for (size_t i = 0; i < made.size; i++) {
        if (f->flaw == FLAW_KEY_ENDS_AT_ZERO && made.bytes[i] == 0)
            made.size = i;
        else if (f->flaw == FLAW_KEY_CASE)
            made.bytes[i] = (unsigned char)tolower(made.bytes[i]);
    }
    return made;
}

int fw_compare(const flawstore *f, const fw_key *a, const fw_key *b)
{
    size_t least = a->size < b->size ? a->size : b->size;

    if (f->flaw != FLAW_LIST_SIGNED)
        return blob_key_compare(fw_view(a), fw_view(b));
    for (size_t i = 0; i < least; i++) {
        int difference = (int)(signed char)a->bytes[i] - (int)(signed char)b->bytes[i];
        if (difference != 0)
            return difference;
    }
    return a->size < b->size ? -1 : a->size > b->size;
}

size_t fw_find_locked(const flawstore *f, const fw_key *key, bool *found)
{
    size_t low = 0, high = f->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (fw_compare(f, &f->entries[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < f->count && fw_compare(f, &f->entries[low].key, key) == 0;
    return low;
}

bool fw_begins(const fw_key *key, const fw_key *prefix)
{
    return key->size >= prefix->size && memcmp(key->bytes, prefix->bytes, prefix->size) == 0;
}

bool fw_name_fits(const fw_key *key)
{
    size_t size = 0;

    for (size_t i = 0; i < key->size; i++)
        size += isalnum(key->bytes[i]) ? 1 : 3;
    return size <= BLOB_KEY_MAX;
}
