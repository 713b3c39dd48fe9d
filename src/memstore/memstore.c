/* memstore.c - blobs in memory, in key order.
 *
 * The keys are dealt to 256 lanes by their first byte, each lane an ordered index under a mutex of its own. Content
 * addresses spread evenly over the lanes, so threads seldom meet; and since the lanes themselves are in key order, a
 * listing simply walks one after the other. The empty key comes before all and lives in lane 0.
 *
 * A blob is copied once, by put, outside the lock; get hands out a reference to that copy. A listing copies a few keys
 * at a time out of a lane and calls back with no lock held. */
#include "blob/index.h"
#include "memstore/pool.h"
#include "blob/store.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <wbstore/stores.h>

#define MEM_LANES 256
#define MEM_POOLS 8 /* enough for threads not to meet there; more would waste what each keeps in hand */
#define MEM_PAGE 32 /* keys that a listing takes at a time */

typedef struct mem_lane {
    _Alignas(64) pthread_mutex_t lock;
    wb_index index; /* by lock */
} mem_lane;

typedef struct memstore {
    blob_store store;
    atomic_uint_fast64_t count;
    wb_mem_pool *pools[MEM_POOLS]; /* lane i uses the i-th, modulo */
    mem_lane lanes[MEM_LANES];
} memstore;

static const blob_store_ops mem_ops;

static memstore *mem_of(blob_store *s)
{
    assert(s->ops == &mem_ops);
    return (memstore *)(void *)s;
}

static mem_lane *mem_lane_of(memstore *m, blob_key key)
{
    return &m->lanes[key.size > 0 ? *(const unsigned char *)key.data : 0];
}

static int mem_get(blob_store *s, blob_ctx *ctx, blob_key key, blob **out)
{
    mem_lane *lane = mem_lane_of(mem_of(s), key);
    wb_place place;

    (void)ctx;
    pthread_mutex_lock(&lane->lock);
    if (wb_index_find(&lane->index, key, &place))
        *out = blob_ref(*wb_index_at(&lane->index, place));
    pthread_mutex_unlock(&lane->lock);
    return *out != NULL ? 0 : BLOB_NOT_FOUND;
}

static int mem_put(blob_store *s, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags)
{
    mem_lane *lane = mem_lane_of(mem_of(s), key);
    blob *added, *unneeded = NULL;
    void **at;
    wb_place place;
    int rc = wb_mem_blob_new(lane->index.arg, &added, key, data);

    (void)ctx;
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&lane->lock);
    if (!wb_index_find(&lane->index, key, &place)) {
        rc = wb_index_insert(&lane->index, place, added);
        if (rc == 0)
            atomic_fetch_add(&mem_of(s)->count, 1);
        else
            unneeded = added;
    } else if ((flags & BLOB_REPLACE) != 0) {
        at = wb_index_at(&lane->index, place);
        unneeded = *at;
        *at = added;
    } else {
        unneeded = added;
        rc = BLOB_EXISTS;
    }
    pthread_mutex_unlock(&lane->lock);
    blob_unref(unneeded);
    return rc;
}

static int mem_delete(blob_store *s, blob_ctx *ctx, blob_key key, unsigned flags)
{
    mem_lane *lane = mem_lane_of(mem_of(s), key);
    blob *gone = NULL;
    wb_place place;

    (void)ctx;
    (void)flags;
    pthread_mutex_lock(&lane->lock);
    if (wb_index_find(&lane->index, key, &place)) {
        gone = *wb_index_at(&lane->index, place);
        wb_index_remove(&lane->index, place);
        atomic_fetch_sub(&mem_of(s)->count, 1);
    }
    pthread_mutex_unlock(&lane->lock);
    if (gone == NULL)
        return BLOB_NOT_FOUND;
    blob_unref(gone);
    return 0;
}

static int mem_size(blob_store *s, blob_ctx *ctx, blob_key key, uint64_t *out)
{
    mem_lane *lane = mem_lane_of(mem_of(s), key);
    wb_place place;
    bool found;

    (void)ctx;
    pthread_mutex_lock(&lane->lock);
    found = wb_index_find(&lane->index, key, &place);
    if (found)
        *out = ((const blob *)*wb_index_at(&lane->index, place))->size;
    pthread_mutex_unlock(&lane->lock);
    return found ? 0 : BLOB_NOT_FOUND;
}

static int mem_len(blob_store *s, blob_ctx *ctx, uint64_t *out)
{
    (void)ctx;
    *out = atomic_load(&mem_of(s)->count);
    return 0;
}

typedef struct mem_listed {
    uint64_t size;
    size_t key_size;
    unsigned char key[BLOB_KEY_MAX];
} mem_listed;

/* Copies up to MEM_PAGE entries from key on, key itself only if `inclusive`. */
static size_t mem_read_page(mem_lane *lane, blob_key key, bool inclusive, mem_listed *page)
{
    wb_place place;
    size_t count = 0;
    void **at;

    pthread_mutex_lock(&lane->lock);
    if (wb_index_find(&lane->index, key, &place) && !inclusive)
        place = wb_index_next(&lane->index, place);
    for (; count < MEM_PAGE && (at = wb_index_at(&lane->index, place)) != NULL; count++) {
        blob_key found = wb_mem_blob_key(*at);
        page[count].size = ((const blob *)*at)->size;
        page[count].key_size = found.size;
        memcpy(page[count].key, found.data, found.size);
        place = wb_index_next(&lane->index, place);
    }
    pthread_mutex_unlock(&lane->lock);
    return count;
}

static int mem_list_lane(mem_lane *lane, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg, bool *stopped)
{
    mem_listed page[MEM_PAGE], last;
    bool inclusive = true;
    size_t count;
    int rc;

    do {
        count = mem_read_page(lane, start, inclusive, page);
        for (size_t i = 0; i < count; i++) {
            if ((rc = blob_ctx_status(ctx)) != 0)
                return rc;
            if ((rc = fn(arg, blob_key_of(page[i].key, page[i].key_size), page[i].size)) != 0) {
                *stopped = true;
                return wb_list_end(rc);
            }
        }
        if (count == MEM_PAGE) {
            last = page[MEM_PAGE - 1];
            start = blob_key_of(last.key, last.key_size);
            inclusive = false;
        }
    } while (count == MEM_PAGE);
    return 0;
}

static int mem_list(blob_store *s, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg)
{
    memstore *m = mem_of(s);
    bool stopped = false;
    int rc = 0;

    for (mem_lane *lane = mem_lane_of(m, start); lane < m->lanes + MEM_LANES && rc == 0 && !stopped; lane++)
        rc = mem_list_lane(lane, ctx, start, fn, arg, &stopped);
    return rc;
}

static void mem_drop(void *item)
{
    blob_unref(item);
}

static void mem_free(memstore *m, size_t lanes)
{
    for (size_t i = 0; i < lanes; i++) {
        wb_index_free(&m->lanes[i].index, mem_drop);
        pthread_mutex_destroy(&m->lanes[i].lock);
    }
    for (size_t i = 0; i < MEM_POOLS; i++)
        wb_mem_pool_close(m->pools[i]);
    free(m);
}

static int mem_close(blob_store *s, blob_ctx *ctx)
{
    (void)ctx;
    mem_free(mem_of(s), MEM_LANES);
    return 0;
}

static const blob_store_ops mem_ops = {
    .struct_size = sizeof(blob_store_ops),
    .name = "memstore",
    .get = mem_get,
    .put = mem_put,
    .del = mem_delete,
    .size = mem_size,
    .list = mem_list,
    .len = mem_len,
    .close = mem_close,
};

int blob_memstore_new(blob_store **out)
{
    memstore *m;
    int rc;

    if (out == NULL)
        return blob_fail(-EINVAL, 0, "blob_memstore_new needs an out");
    *out = NULL;
    m = aligned_alloc(_Alignof(memstore), sizeof *m);
    if (m == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for a memory store");
    memset(m, 0, sizeof *m);
    m->store.ops = &mem_ops;
    atomic_init(&m->count, 0);
    for (size_t i = 0; i < MEM_POOLS; i++) {
        if ((m->pools[i] = wb_mem_pool_new()) == NULL) {
            mem_free(m, 0);
            return blob_fail(-ENOMEM, 0, "no memory for a memory store");
        }
    }
    for (size_t i = 0; i < MEM_LANES; i++) {
        if ((rc = pthread_mutex_init(&m->lanes[i].lock, NULL)) != 0) {
            mem_free(m, i);
            return blob_fail(-rc, 0, "cannot make the locks of a memory store");
        }
        m->lanes[i].index.kind = &wb_mem_index_kind;
        m->lanes[i].index.arg = m->pools[i % MEM_POOLS];
    }
    *out = &m->store;
    return 0;
}
