/* entry.c - what is there: the index by key, the counts, and the cache of the newest payloads.
 *
 * The index has a lane for each first byte of a key, so that what an insert moves stays small; the lanes are in key
 * order themselves. The cache is a queue: what came first goes first. A blob that is about to be sent was put not long
 * ago, so it is usually still there. */
#include "logstore/logstore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- images ---- */

/* [ image | placed blob | record ]: the payload is aligned, so the record begins where its key lets it. */
#define IMAGE_HEAD (sizeof(log_image) + sizeof(wb_blob_placed))
#define IMAGE_ALIGN _Alignof(max_align_t)

static wb_blob_placed *image_placed(log_image *image)
{
    return (wb_blob_placed *)(void *)(image + 1);
}

static void image_recycle(wb_blob_home *home, wb_blob_placed *placed)
{
    (void)home;
    free((log_image *)(void *)placed - 1);
}

static const wb_blob_home image_home = {.recycle = image_recycle};

int wb_log_image_new(log_image **out, blob_key key, uint64_t size)
{
    size_t front = LOG_RECORD_HEADER + key.size, payload = (size_t)wb_log_round(IMAGE_HEAD + front, IMAGE_ALIGN);
    log_image *image = NULL;

    *out = NULL;
    if (size <= (uint64_t)PTRDIFF_MAX - payload)
        image = malloc(payload + (size_t)size);
    if (image == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for a blob of %llu bytes", (unsigned long long)size);
    *image = (log_image){
        .record = (unsigned char *)image + payload - front,
        .size = size,
        .key_size = (uint8_t)key.size,
    };
    if (key.size > 0)
        memcpy(image->record + LOG_RECORD_HEADER, key.data, key.size);
    (void)wb_blob_place(image_placed(image), (wb_blob_home *)(uintptr_t)&image_home, wb_log_image_payload(image),
                        (size_t)size);
    *out = image;
    return 0;
}

blob *wb_log_image_blob(log_image *image)
{
    return &image_placed(image)->body.public;
}

void wb_log_image_drop(log_image *image)
{
    if (image != NULL)
        blob_unref(wb_log_image_blob(image));
}

/* What it takes of memory. */
static uint64_t image_cost(const log_image *image)
{
    return IMAGE_HEAD + LOG_RECORD_HEADER + image->key_size + image->size + IMAGE_ALIGN;
}

/* ---- entries ---- */

static blob_key entry_key(const void *item)
{
    return wb_log_entry_key(item);
}

static void *entry_leaf_new(void *arg)
{
    (void)arg;
    return malloc(WB_INDEX_LEAF_SIZE);
}

static void entry_leaf_free(void *arg, void *leaf)
{
    (void)arg;
    free(leaf);
}

const wb_index_kind wb_log_index_kind = {.key = entry_key, .leaf_new = entry_leaf_new, .leaf_free = entry_leaf_free};

log_entry *wb_log_entry_new(blob_key key)
{
    log_entry *e = malloc(sizeof *e + key.size);

    if (e == NULL)
        return NULL;
    *e = (log_entry){.key_size = (uint8_t)key.size};
    if (key.size > 0)
        memcpy(e->key, key.data, key.size);
    return e;
}

wb_index *wb_log_lane(logstore *l, blob_key key)
{
    return &l->lanes[key.size > 0 ? *(const unsigned char *)key.data : 0];
}

log_entry *wb_log_find_locked(logstore *l, blob_key key)
{
    const wb_index *lane = wb_log_lane(l, key);
    wb_place place;

    return wb_index_find(lane, key, &place) ? *wb_index_at(lane, place) : NULL;
}

log_entry *wb_log_find_at_locked(logstore *l, blob_key key, const log_segment *s, uint64_t offset)
{
    log_entry *e = wb_log_find_locked(l, key);

    return e != NULL && e->segment == s && wb_log_entry_offset(e) == offset ? e : NULL;
}

int wb_log_insert_locked(logstore *l, log_entry *e)
{
    wb_index *lane = wb_log_lane(l, wb_log_entry_key(e));
    wb_place place;

    (void)wb_index_find(lane, wb_log_entry_key(e), &place);
    return wb_index_insert(lane, place, e);
}

void wb_log_remove_locked(logstore *l, log_entry *e)
{
    wb_index *lane = wb_log_lane(l, wb_log_entry_key(e));
    wb_place place;

    if (wb_index_find(lane, wb_log_entry_key(e), &place))
        wb_index_remove(lane, place);
}

void wb_log_exchange_locked(logstore *l, log_entry *old, log_entry *e)
{
    wb_index *lane = wb_log_lane(l, wb_log_entry_key(old));
    wb_place place;

    if (wb_index_find(lane, wb_log_entry_key(old), &place))
        *wb_index_at(lane, place) = e;
}

/* ---- counts ---- */

void wb_log_count_in_locked(logstore *l, log_entry *e)
{
    uint64_t bytes = wb_log_entry_bytes(e);

    l->blobs++;
    l->payload_bytes += e->size;
    l->live_bytes += bytes;
    e->segment->live_blobs++;
    e->segment->live_bytes += bytes;
}

void wb_log_count_out_locked(logstore *l, log_entry *e)
{
    uint64_t bytes = wb_log_entry_bytes(e);

    wb_log_cache_remove_locked(l, e);
    l->blobs--;
    l->payload_bytes -= e->size;
    l->live_bytes -= bytes;
    l->copy_credit += (int64_t)bytes;
    e->segment->live_blobs--;
    e->segment->live_bytes -= bytes;
    if (e->segment->live_blobs == 0 && e->segment == l->oldest)
        wb_log_keeper_wake_locked(l);
}

/* ---- the cache ---- */

void wb_log_cache_remove_locked(logstore *l, log_entry *e)
{
    log_image *image = e->image;

    if (image == NULL)
        return;
    *(image->older != NULL ? &image->older->newer : &l->cache_oldest) = image->newer;
    *(image->newer != NULL ? &image->newer->older : &l->cache_newest) = image->older;
    l->cache_bytes -= image_cost(image);
    e->image = NULL;
    wb_log_image_drop(image);
}

void wb_log_cache_add_locked(logstore *l, log_entry *e, log_image *image)
{
    if (image_cost(image) > l->cache_max) {
        wb_log_image_drop(image);
        return;
    }
    image->entry = e;
    image->newer = NULL;
    image->older = l->cache_newest;
    *(l->cache_newest != NULL ? &l->cache_newest->newer : &l->cache_oldest) = image;
    l->cache_newest = image;
    l->cache_bytes += image_cost(image);
    e->image = image;
    while (l->cache_bytes > l->cache_max && l->cache_oldest != NULL)
        wb_log_cache_remove_locked(l, l->cache_oldest->entry);
}
