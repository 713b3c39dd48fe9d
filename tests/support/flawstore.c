/* flawstore.c - one lock, one sorted array. Each flaw is an if in the place where the promise would be kept. */
#include "flawstore_int.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* Lets other threads in, in the middle of what should be one step. */
static void fw_gap_locked(flawstore *f)
{
    pthread_mutex_unlock(&f->lock);
    for (int i = 0; i < 20; i++)
        sched_yield();
    pthread_mutex_lock(&f->lock);
}

static int fw_get(blob_store *s, blob_ctx *ctx, blob_key key, blob **out)
{
    flawstore *f = fw_of(s);
    fw_key own = fw_key_of(f, key);
    int rc = f->flaw == FLAW_MISSING_HOLLOW ? 0 : BLOB_NOT_FOUND;
    bool found;
    size_t at;

    (void)ctx;
    if (f->flaw == FLAW_CTX_ENDED && ctx != NULL)
        return -ETIMEDOUT;
    fw_enter(f, FLAW_LIST_HOLDS_GET);
    pthread_mutex_lock(&f->lock);
    at = fw_find_locked(f, &own, &found);
    if (f->flaw == FLAW_KEY_PREFIX && !found && at < f->count)
        found = fw_begins(&f->entries[at].key, &own);
    if (f->flaw == FLAW_LIST_LOCKS_GET && f->listings > 0) {
        rc = -EBUSY;
    } else if (found && f->flaw == FLAW_GET_HOLLOW) {
        rc = 0;
    } else if (found && !(f->flaw == FLAW_EMPTY_BLOB && f->entries[at].blob->size == 0)) {
        *out = blob_ref(f->entries[at].blob);
        rc = 0;
    } else if (f->flaw == FLAW_GET_MISSING_EMPTY) {
        rc = blob_new_copy(out, NULL, 0);
    }
    pthread_mutex_unlock(&f->lock);
    fw_leave(f, FLAW_LIST_HOLDS_GET);
    return rc;
}

int fw_size(blob_store *s, blob_ctx *ctx, blob_key key, uint64_t *out)
{
    flawstore *f = fw_of(s);
    fw_key own = fw_key_of(f, key);
    int rc = f->flaw == FLAW_SIZE_MISSING_ZERO ? 0 : BLOB_NOT_FOUND;
    bool found;
    size_t at;

    (void)ctx;
    fw_enter(f, FLAW_LIST_HOLDS_SIZE);
    pthread_mutex_lock(&f->lock);
    at = fw_find_locked(f, &own, &found);
    if (found) {
        *out = f->entries[at].blob->size + (f->flaw == FLAW_SIZE_WRONG);
        rc = 0;
    }
    if (f->flaw == FLAW_LIST_LOCKS_SIZE && f->listings > 0)
        rc = -EBUSY;
    pthread_mutex_unlock(&f->lock);
    fw_leave(f, FLAW_LIST_HOLDS_SIZE);
    return rc;
}

static int fw_len(blob_store *s, blob_ctx *ctx, uint64_t *out)
{
    flawstore *f = fw_of(s);
    int rc = 0;

    (void)ctx;
    fw_enter(f, FLAW_LIST_HOLDS_LEN);
    pthread_mutex_lock(&f->lock);
    *out = f->flaw == FLAW_RACE_LEN ? f->counter : f->count;
    if (f->flaw == FLAW_LEN_COUNTS_PUTS)
        *out = f->count == 0 ? 0 : f->puts;
    if (f->flaw == FLAW_LIST_LOCKS_LEN && f->listings > 0)
        rc = -EBUSY;
    pthread_mutex_unlock(&f->lock);
    fw_leave(f, FLAW_LIST_HOLDS_LEN);
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
    if (f->flaw == FLAW_DELETE_REMEMBERS && !replace && made->key.size > 0 &&
        fw_compare(f, &made->key, &f->lazy_key) == 0)
        return BLOB_EXISTS;
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

int fw_put(blob_store *s, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags)
{
    flawstore *f = fw_of(s);
    fw_key own = fw_key_of(f, key);
    fw_entry made = {0};
    int rc;

    (void)ctx;
    if (f->flaw == FLAW_EMPTY_KEY && key.size == 0)
        return -EINVAL;
    if (f->flaw == FLAW_KEY_ESCAPED && !fw_name_fits(&own))
        return -ENAMETOOLONG;
    rc = fw_entry_new(f, &own, data, &made);
    if (rc != 0)
        return rc;
    fw_enter(f, FLAW_LIST_LOCKS_PUT);
    pthread_mutex_lock(&f->lock);
    rc = fw_put_locked(f, &made, flags);
    pthread_mutex_unlock(&f->lock);
    fw_leave(f, FLAW_LIST_LOCKS_PUT);
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
    if (f->flaw == FLAW_RACE_STALE) {
        fw_gap_locked(f);
        found = at < f->count;
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
    fw_enter(f, FLAW_LIST_HOLDS_ALL);
    pthread_mutex_lock(&f->lock);
    rc = fw_del_locked(f, &own, flags);
    pthread_mutex_unlock(&f->lock);
    fw_leave(f, FLAW_LIST_HOLDS_ALL);
    return rc;
}

static int fw_close(blob_store *s, blob_ctx *ctx)
{
    flawstore *f = fw_of(s);

    (void)ctx;
    for (size_t i = 0; i < f->count; i++)
        blob_unref(f->entries[i].blob);
    free(f->entries);
    pthread_mutex_destroy(&f->list_lock);
    pthread_mutex_destroy(&f->lock);
    free(f);
    return 0;
}

static int64_t fw_in_doubt_ms(blob_store *s)
{
    return fw_of(s)->flaw == FLAW_IN_DOUBT ? -1 : 0;
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
    .in_doubt_ms = fw_in_doubt_ms,
};

int flawstore_new(blob_store **out, flaw which)
{
    flawstore *f = calloc(1, sizeof *f);
    int rc;

    *out = NULL;
    if (f == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for a flawed store");
    if ((rc = pthread_mutex_init(&f->lock, NULL)) != 0 || (rc = pthread_mutex_init(&f->list_lock, NULL)) != 0) {
        free(f);
        return blob_fail(-rc, 0, "no lock for a flawed store");
    }
    f->ops = fw_ops;
    if (which == FLAW_NO_NAME)
        f->ops.name = "";
    if (which == FLAW_NO_LEN)
        f->ops.len = NULL;
    f->store.ops = &f->ops;
    f->flaw = which;
    *out = &f->store;
    return 0;
}
