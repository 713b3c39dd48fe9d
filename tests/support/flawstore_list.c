/* flawstore_list.c - listings of the flawed store, from a snapshot of its keys. */
#include "flawstore_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct fw_item {
    fw_key key;
    uint64_t size;
} fw_item;

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
    if (f->flaw == FLAW_LIST_ONE_PAGE && n > 60)
        n = 60;
    *out = items;
    *count = n;
    return 0;
}

/* One item of the listing; by position in the store as it is now, where that is the flaw. */
static bool fw_item_at(flawstore *f, const fw_item *items, size_t count, size_t at, uint64_t cursor, fw_item *out)
{
    bool there;

    if (f->flaw == FLAW_LIST_ENDLESS && count > 0)
        at %= count;
    there = at < count;
    pthread_mutex_lock(&f->lock);
    if (f->flaw == FLAW_LIST_ONE_CURSOR && f->cursor != cursor)
        there = false;
    if (there)
        *out = items[at];
    if (f->flaw == FLAW_LIST_LAST_AGAIN && at >= f->count && f->count > 0)
        at = f->count - 1;
    if (f->flaw == FLAW_RACE_LIST || f->flaw == FLAW_LIST_LAST_AGAIN) {
        there = at < f->count;
        if (there)
            *out = (fw_item){.key = f->entries[at].key, .size = f->entries[at].blob->size};
    }
    pthread_mutex_unlock(&f->lock);
    return there;
}

/* Does a listing keep others waiting? */
static bool fw_list_holds(const flawstore *f)
{
    return f->flaw >= FLAW_LIST_LOCKS_PUT && f->flaw <= FLAW_LIST_HOLDS_ALL;
}

int fw_list(blob_store *s, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg)
{
    flawstore *f = fw_of(s);
    fw_key own = fw_key_of(f, start);
    fw_item *items = NULL, item;
    size_t count = 0, first = 0;
    uint64_t cursor;
    bool found;
    int rc;

    if (fw_list_holds(f))
        pthread_mutex_lock(&f->list_lock);
    pthread_mutex_lock(&f->lock);
    rc = fw_snapshot_locked(f, &own, &items, &count);
    if (f->flaw == FLAW_RACE_LIST || f->flaw == FLAW_LIST_LAST_AGAIN)
        first = fw_find_locked(f, &own, &found);
    if (f->flaw == FLAW_LIST_EMPTY && rc == 0 && f->count == 0 && start.size > 0)
        rc = BLOB_NOT_FOUND;
    f->listings++;
    cursor = ++f->cursor;
    pthread_mutex_unlock(&f->lock);
    for (size_t at = first; rc == 0 && fw_item_at(f, items, count, at, cursor, &item); at++) {
        rc = f->flaw == FLAW_LIST_LAST_AGAIN ? 0 : blob_ctx_status(ctx);
        if (rc != 0 && f->flaw == FLAW_CTX_CUTS_LIST)
            rc = BLOB_LIST_STOP;
        if (rc == 0)
            rc = fn(arg, fw_view(&item.key), item.size);
        if (rc == BLOB_LIST_STOP && f->flaw == FLAW_LIST_GOES_ON)
            rc = 0;
    }
    pthread_mutex_lock(&f->lock);
    f->listings--;
    pthread_mutex_unlock(&f->lock);
    if (fw_list_holds(f))
        pthread_mutex_unlock(&f->list_lock);
    free(items);
    if (rc == BLOB_LIST_STOP)
        return f->flaw == FLAW_LIST_STOP_FAILS ? -ECANCELED : 0;
    return f->flaw == FLAW_LIST_SWALLOWS ? 0 : rc;
}
