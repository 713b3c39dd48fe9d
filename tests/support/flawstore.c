/* flawstore.c - one lock, one sorted array. Each flaw is an if in the place where the promise would be kept. */
#include "flawstore.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef struct fw_key {
    size_t size;
    unsigned char bytes[BLOB_KEY_MAX];
} fw_key;

typedef struct fw_entry {
    fw_key key;
    blob *blob;
    unsigned char *bytes; /* the blob's, writable for the flaws that write where they must not */
} fw_entry;

/* All but the constant flaw is guarded by lock. */
typedef struct flawstore {
    blob_store store;
    flaw flaw;
    pthread_mutex_t lock;
    fw_entry *entries; /* sorted */
    size_t count, room;
    uint64_t puts;     /* FLAW_LEN_COUNTS_PUTS, FLAW_CAS_KEY_VARIES */
    uint64_t counter;  /* FLAW_RACE_LEN */
    uint64_t cursor;   /* FLAW_LIST_ONE_CURSOR */
    unsigned listings; /* under way */
    bool lazy;         /* FLAW_LAZY_OUTLIVES: this key was deleted so */
    fw_key lazy_key;
} flawstore;

static flawstore *fw_of(blob_store *s)
{
    return (flawstore *)s;
}

/* Lets other threads in, in the middle of what should be one step. */
static void fw_gap_locked(flawstore *f)
{
    pthread_mutex_unlock(&f->lock);
    for (int i = 0; i < 20; i++)
        sched_yield();
    pthread_mutex_lock(&f->lock);
}

static fw_key fw_key_of(const flawstore *f, blob_key key)
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

static blob_key fw_view(const fw_key *key)
{
    return blob_key_of(key->bytes, key->size);
}

static int fw_compare(const flawstore *f, const fw_key *a, const fw_key *b)
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

/* Where key is, or would be. */
static size_t fw_find_locked(const flawstore *f, const fw_key *key, bool *found)
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

static int fw_get(blob_store *s, blob_ctx *ctx, blob_key key, blob **out)
{
    flawstore *f = fw_of(s);
    fw_key own = fw_key_of(f, key);
    int rc = BLOB_NOT_FOUND;
    bool found;
    size_t at;

    (void)ctx;
    pthread_mutex_lock(&f->lock);
    at = fw_find_locked(f, &own, &found);
    if (f->flaw == FLAW_LIST_LOCKS_GET && f->listings > 0) {
        rc = -EBUSY;
    } else if (found && !(f->flaw == FLAW_EMPTY_BLOB && f->entries[at].blob->size == 0)) {
        *out = blob_ref(f->entries[at].blob);
        rc = 0;
    } else if (f->flaw == FLAW_GET_MISSING_EMPTY) {
        rc = blob_new_copy(out, NULL, 0);
    }
    pthread_mutex_unlock(&f->lock);
    return rc;
}

static int fw_size(blob_store *s, blob_ctx *ctx, blob_key key, uint64_t *out)
{
    flawstore *f = fw_of(s);
    fw_key own = fw_key_of(f, key);
    int rc = f->flaw == FLAW_SIZE_MISSING_ZERO ? 0 : BLOB_NOT_FOUND;
    bool found;
    size_t at;

    (void)ctx;
    pthread_mutex_lock(&f->lock);
    at = fw_find_locked(f, &own, &found);
    if (found) {
        *out = f->entries[at].blob->size + (f->flaw == FLAW_SIZE_WRONG);
        rc = 0;
    }
    if (f->flaw == FLAW_LIST_LOCKS_SIZE && f->listings > 0)
        rc = -EBUSY;
    pthread_mutex_unlock(&f->lock);
    return rc;
}

static int fw_len(blob_store *s, blob_ctx *ctx, uint64_t *out)
{
    flawstore *f = fw_of(s);
    int rc = 0;

    (void)ctx;
    pthread_mutex_lock(&f->lock);
    *out = f->flaw == FLAW_RACE_LEN ? f->counter : f->count;
    if (f->flaw == FLAW_LEN_COUNTS_PUTS)
        *out = f->count == 0 ? 0 : f->puts;
    if (f->flaw == FLAW_LIST_LOCKS_LEN && f->listings > 0)
        rc = -EBUSY;
    pthread_mutex_unlock(&f->lock);
    return rc;
}

static void fw_count_locked(flawstore *f, int change)
{
    uint64_t seen = f->counter;

    if (f->flaw == FLAW_RACE_LEN)
        fw_gap_locked(f);
    f->counter = seen + (uint64_t)(int64_t)change;
    if (f->count == 0)
        f->counter = f->puts = 0;
}

static int fw_insert_locked(flawstore *f, size_t at, const fw_entry *entry)
{
    if (f->count == f->room) {
        size_t room = f->room == 0 ? 64 : 2 * f->room;
        fw_entry *grown = realloc(f->entries, room * sizeof *grown);
        if (grown == NULL)
            return blob_fail(-ENOMEM, 0, "no memory for %zu blobs", room);
        f->entries = grown;
        f->room = room;
    }
    memmove(f->entries + at + 1, f->entries + at, (f->count - at) * sizeof *entry);
    f->entries[at] = *entry;
    f->count++;
    fw_count_locked(f, 1);
    return 0;
}

static void fw_remove_locked(flawstore *f, size_t at)
{
    blob_unref(f->entries[at].blob);
    memmove(f->entries + at, f->entries + at + 1, (f->count - at - 1) * sizeof *f->entries);
    f->count--;
    fw_count_locked(f, -1);
}

static void fw_release_nothing(void *data, void *arg)
{
    (void)data;
    (void)arg;
}

static int fw_entry_new(const flawstore *f, const fw_key *key, blob_view data, fw_entry *out)
{
    void *writable;
    int rc;

    out->key = *key;
    if (f->flaw == FLAW_PUT_BORROWS && data.size == FLAW_BORROWED)
        return blob_new_adopt(&out->blob, (void *)(uintptr_t)data.data, data.size, fw_release_nothing, NULL);
    if (f->flaw == FLAW_SIZE_16_BIT && data.size > 65536)
        data.size = 65536;
    rc = blob_new_alloc(&out->blob, data.size, &writable);
    if (rc != 0)
        return rc;
    out->bytes = writable;
    if (data.size > 0)
        memcpy(writable, data.data, data.size);
    return 0;
}

#if defined(__GNUC__)
#define FW_RACY __attribute__((noinline, no_sanitize("thread")))
#else
#define FW_RACY
#endif

/* Writes where others may be reading: the flaw itself is a data race, which the thread sanitizer shall not report. */
FW_RACY static void fw_scribble(unsigned char *bytes, const unsigned char *from, size_t size)
{
    volatile unsigned char *to = bytes;

    for (size_t i = 0; i < size; i++)
        to[i] = from != NULL ? from[i] : 0xdd;
}

/* Puts the bytes of made where at is, and what was there into made. */
static void fw_replace_locked(flawstore *f, size_t at, fw_entry *made)
{
    fw_entry *old = &f->entries[at];
    fw_key key = old->key;
    fw_entry swap;
    bool found = true;

    if (f->flaw == FLAW_REPLACE_IN_PLACE && old->blob->size == made->blob->size && made->blob->size > 0) {
        fw_scribble(old->bytes, made->bytes, made->blob->size);
        return;
    }
    if (f->flaw == FLAW_RACE_TORN && old->blob->size == made->blob->size && made->blob->size > 1) {
        size_t half = made->blob->size / 2;
        fw_entry torn;
        if (fw_entry_new(f, &key, blob_view_of(old->blob->data, old->blob->size), &torn) != 0)
            return;
        memcpy(torn.bytes, made->bytes, half);
        swap = *old, *old = torn;
        blob_unref(swap.blob);
        fw_gap_locked(f);
        at = fw_find_locked(f, &key, &found);
    }
    if (f->flaw == FLAW_RACE_GAP) {
        fw_remove_locked(f, at);
        fw_gap_locked(f);
        at = fw_find_locked(f, &key, &found);
        if (!found && fw_insert_locked(f, at, made) == 0) {
            made->blob = NULL;
            return;
        }
    }
    if (!found)
        return;
    swap = f->entries[at];
    f->entries[at] = *made;
    *made = swap;
}

static int fw_put_locked(flawstore *f, fw_entry *made, unsigned flags)
{
    bool found, replace = (flags & BLOB_REPLACE) != 0;
    size_t at = fw_find_locked(f, &made->key, &found);
    int rc;

    f->puts++;
    if (!found) {
        if (replace && f->flaw == FLAW_REPLACE_NEEDS_OLD)
            return BLOB_NOT_FOUND;
        if (f->flaw == FLAW_RACE_PUT) {
            fw_gap_locked(f);
            at = fw_find_locked(f, &made->key, &found);
            if (found)
                return 0;
        }
        rc = fw_insert_locked(f, at, made);
        if (rc == 0)
            made->blob = NULL;
        return rc;
    }
    if (!replace) {
        if (f->flaw == FLAW_PUT_OVERWRITES)
            fw_replace_locked(f, at, made);
        return f->flaw == FLAW_PUT_SAYS_STORED ? 0 : BLOB_EXISTS;
    }
    if (f->flaw == FLAW_REPLACE_REFUSED)
        return BLOB_EXISTS;
    if (f->flaw != FLAW_REPLACE_IGNORED)
        fw_replace_locked(f, at, made);
    return 0;
}

static int fw_put(blob_store *s, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags)
{
    flawstore *f = fw_of(s);
    fw_key own = fw_key_of(f, key);
    fw_entry made = {0};
    int rc;

    (void)ctx;
    if (f->flaw == FLAW_EMPTY_KEY && key.size == 0)
        return -EINVAL;
    rc = fw_entry_new(f, &own, data, &made);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&f->lock);
    rc = fw_put_locked(f, &made, flags);
    pthread_mutex_unlock(&f->lock);
    blob_unref(made.blob);
    return rc;
}

static int fw_del_locked(flawstore *f, const fw_key *key, unsigned flags)
{
    bool found;
    size_t at = fw_find_locked(f, key, &found);

    if (!found && f->flaw == FLAW_LAZY_OUTLIVES && f->lazy && flags == 0 && fw_compare(f, key, &f->lazy_key) == 0) {
        f->lazy = false;
        return 0;
    }
    if (!found)
        return f->flaw == FLAW_DELETE_MISSING_OK ? 0 : BLOB_NOT_FOUND;
    if (f->flaw == FLAW_LAZY_KEEPS && (flags & BLOB_LAZY) != 0)
        return 0;
    if (f->flaw == FLAW_DELETE_KEEPS)
        return 0;
    if (f->flaw == FLAW_DELETE_SCRIBBLES && f->entries[at].blob->size > 0)
        fw_scribble(f->entries[at].bytes, NULL, f->entries[at].blob->size);
    if (f->flaw == FLAW_RACE_DELETE) {
        fw_gap_locked(f);
        at = fw_find_locked(f, key, &found);
    }
    f->lazy = (flags & BLOB_LAZY) != 0;
    f->lazy_key = *key;
    if (found)
        fw_remove_locked(f, at);
    return 0;
}

static int fw_del(blob_store *s, blob_ctx *ctx, blob_key key, unsigned flags)
{
    flawstore *f = fw_of(s);
    fw_key own = fw_key_of(f, key);
    int rc;

    (void)ctx;
    pthread_mutex_lock(&f->lock);
    rc = fw_del_locked(f, &own, flags);
    pthread_mutex_unlock(&f->lock);
    return rc;
}

/* ---- listing ------------------------------------------------------------------------------------------------ */

typedef struct fw_item {
    fw_key key;
    uint64_t size;
} fw_item;

static bool fw_begins(const fw_key *key, const fw_key *prefix)
{
    return key->size >= prefix->size && memcmp(key->bytes, prefix->bytes, prefix->size) == 0;
}

/* The keys from start on, as they are now; the flaws of listings without company are here. */
static int fw_snapshot_locked(flawstore *f, const fw_key *start, fw_item **out, size_t *count)
{
    bool found;
    size_t at = fw_find_locked(f, start, &found), n = 0;
    fw_item *items = calloc(f->count + 2, sizeof *items);

    if (items == NULL)
        return blob_fail(-ENOMEM, 0, "no memory to list %zu keys", f->count);
    if (f->flaw == FLAW_LIST_AFTER_START && found)
        at++;
    if (f->flaw == FLAW_LIST_BEFORE_START && at > 0 && start->size > 0)
        at--;
    if (f->flaw == FLAW_LIST_WHOLE)
        at = 0;
    for (; at < f->count; at++) {
        if (f->flaw == FLAW_LIST_PREFIX && !fw_begins(&f->entries[at].key, start))
            continue;
        items[n].key = f->entries[at].key;
        items[n++].size = f->entries[at].blob->size - (f->flaw == FLAW_LIST_SIZE);
        if (f->flaw == FLAW_LIST_TWICE && n == 1)
            items[n++] = items[0];
    }
    if (f->flaw == FLAW_LIST_ORDER && n >= 2) {
        fw_item last = items[n - 1];
        items[n - 1] = items[n - 2];
        items[n - 2] = last;
    }
    if (f->flaw == FLAW_LIST_SKIPS_LAST && n > 1)
        n--;
    *out = items;
    *count = n;
    return 0;
}

/* One item of the listing; by position in the store as it is now, where that is the flaw. */
static bool fw_item_at(flawstore *f, const fw_item *items, size_t count, size_t at, uint64_t cursor, fw_item *out)
{
    bool there = at < count;

    pthread_mutex_lock(&f->lock);
    if (f->flaw == FLAW_LIST_ONE_CURSOR && f->cursor != cursor)
        there = false;
    if (there)
        *out = items[at];
    if (f->flaw == FLAW_RACE_LIST) {
        there = at < f->count;
        if (there)
            *out = (fw_item){.key = f->entries[at].key, .size = f->entries[at].blob->size};
    }
    pthread_mutex_unlock(&f->lock);
    return there;
}

static int fw_list(blob_store *s, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg)
{
    flawstore *f = fw_of(s);
    fw_key own = fw_key_of(f, start);
    fw_item *items = NULL, item;
    size_t count = 0, first = 0;
    uint64_t cursor;
    bool found;
    int rc;

    pthread_mutex_lock(&f->lock);
    rc = fw_snapshot_locked(f, &own, &items, &count);
    if (f->flaw == FLAW_RACE_LIST)
        first = fw_find_locked(f, &own, &found);
    f->listings++;
    cursor = ++f->cursor;
    pthread_mutex_unlock(&f->lock);
    for (size_t at = first; rc == 0 && fw_item_at(f, items, count, at, cursor, &item); at++) {
        rc = blob_ctx_status(ctx);
        if (rc == 0)
            rc = fn(arg, fw_view(&item.key), item.size);
        if (rc == BLOB_LIST_STOP && f->flaw == FLAW_LIST_GOES_ON)
            rc = 0;
    }
    pthread_mutex_lock(&f->lock);
    f->listings--;
    pthread_mutex_unlock(&f->lock);
    free(items);
    if (rc == BLOB_LIST_STOP)
        return f->flaw == FLAW_LIST_STOP_FAILS ? -ECANCELED : 0;
    return f->flaw == FLAW_LIST_SWALLOWS ? 0 : rc;
}

/* ---- content addresses -------------------------------------------------------------------------------------- */

static int fw_cas_key(blob_store *s, blob_ctx *ctx, blob_view data, blob_address *out)
{
    flawstore *f = fw_of(s);
    uint64_t hash = UINT64_C(14695981039346656037);

    (void)ctx;
    for (size_t i = 0; i < data.size && f->flaw != FLAW_CAS_KEY_CONSTANT; i++)
        hash = (hash ^ ((const unsigned char *)data.data)[i]) * UINT64_C(1099511628211);
    if (f->flaw == FLAW_CAS_KEY_VARIES) {
        pthread_mutex_lock(&f->lock);
        hash += ++f->puts;
        pthread_mutex_unlock(&f->lock);
    }
    out->size = sizeof hash;
    memcpy(out->bytes, &hash, sizeof hash);
    return 0;
}

static int fw_cas_put(blob_store *s, blob_ctx *ctx, blob_view data, blob_address *out)
{
    flawstore *f = fw_of(s);
    int rc = fw_cas_key(s, ctx, data, out);

    if (f->flaw == FLAW_CAS_PUT_ELSEWHERE)
        out->bytes[0] ^= 1;
    if (rc == 0 && f->flaw != FLAW_CAS_PUT_DROPS)
        rc = fw_put(s, ctx, blob_address_key(out), data, 0);
    return rc == BLOB_EXISTS && f->flaw != FLAW_CAS_PUT_EXISTS ? 0 : rc;
}

static int fw_close(blob_store *s, blob_ctx *ctx)
{
    flawstore *f = fw_of(s);

    (void)ctx;
    for (size_t i = 0; i < f->count; i++)
        blob_unref(f->entries[i].blob);
    free(f->entries);
    pthread_mutex_destroy(&f->lock);
    free(f);
    return 0;
}

static const blob_store_ops fw_ops = {
    .struct_size = sizeof(blob_store_ops),
    .name = "flawstore",
    .get = fw_get,
    .put = fw_put,
    .del = fw_del,
    .size = fw_size,
    .list = fw_list,
    .len = fw_len,
    .close = fw_close,
    .cas_key = fw_cas_key,
    .cas_put = fw_cas_put,
};

int flawstore_new(blob_store **out, flaw which)
{
    flawstore *f = calloc(1, sizeof *f);
    int rc;

    *out = NULL;
    if (f == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for a flawed store");
    if ((rc = pthread_mutex_init(&f->lock, NULL)) != 0) {
        free(f);
        return blob_fail(-rc, 0, "no lock for a flawed store");
    }
    f->store.ops = &fw_ops;
    f->flaw = which;
    *out = &f->store;
    return 0;
}
