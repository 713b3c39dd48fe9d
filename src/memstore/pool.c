/* pool.c - slabs of equal records, cut from chunks that grow as the store does.
 *
 * Two things make a blob in memory expensive: pages that were never touched (the kernel zeroes each, one fault at a
 * time), and headers spread over as many pages as there are blobs (each get then misses the TLB). So headers lie side
 * by side, 64 bytes each, apart from the payloads; what is given back is handed out again, the last first, while it is
 * warm; and fresh memory is asked for sixteen pages at a time where the kernel can do that (MADV_POPULATE_WRITE).
 * Large pages would be faster still, but making one can stall a put for milliseconds.
 *
 *     slab    free -> record -> record ...       given back, last first
 *             chunk [ next | ... handed out ... | fresh -> ... end ]
 *
 * Payload sizes are rounded up to classes, eight to each doubling, which wastes an eighth at most; above 64 KiB malloc
 * does as well, and below that the slabs are what keeps a backlog's memory from scattering. Memory goes back when the
 * last record of a slab does, but for its first, small chunk. */
#include "memstore/pool.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define POOL_HEADER_SIZE 64
#define POOL_KEY_MAX (POOL_HEADER_SIZE - sizeof(wb_blob_placed)) /* longer keys: a header of their own, from malloc */
#define POOL_PAYLOAD_MAX 65536
#define POOL_CLASSES 80 /* as many as pool_class tells apart up to POOL_PAYLOAD_MAX */
#define POOL_CHUNK_MIN ((size_t)16 << 10)
#define POOL_CHUNK_MAX ((size_t)2 << 20)
#define POOL_POPULATE ((size_t)64 << 10)

/* Records from malloc, one by one, so that address sanitizers see what becomes of each. */
#if defined(__SANITIZE_ADDRESS__)
#define POOL_PLAIN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_PLAIN 1
#endif
#endif
#ifndef POOL_PLAIN
#define POOL_PLAIN 0
#endif

typedef struct pool_chunk {
    struct pool_chunk *next; /* the one before it */
    size_t bytes;
    unsigned char padding[64 - sizeof(void *) - sizeof(size_t)]; /* records begin on a cache line */
} pool_chunk;
_Static_assert(sizeof(pool_chunk) == 64, "a cache line, and what it says of payloads' alignment");

typedef struct pool_slab {
    void *free;            /* each record's first word is the next */
    unsigned char *fresh;  /* the newest chunk's records that nobody has had yet */
    unsigned char *end;    /* behind the last of them */
    unsigned char *filled; /* pages are there up to here */
    pool_chunk *chunks;    /* newest first */
    size_t out;            /* records handed out */
} pool_slab;

struct wb_mem_pool {
    wb_blob_home home; /* first: a blob's home is its pool */
    pthread_mutex_t lock;
    pool_slab headers, leaves, payloads[POOL_CLASSES]; /* by lock, as are these: */
    size_t blobs;                                      /* alive, handed-out references to deleted ones included */
    bool closed;
};

/* ---- sizes ---- */

/* The class of a payload: sizes up to 256 in steps of sixteen (as malloc aligns), then eight steps to each doubling. */
static size_t pool_class(size_t size)
{
    size_t shift = 0, steps = (size + 15) / 16;

    for (; steps > 16; shift++)
        steps = (steps + 1) / 2;
    return shift * 8 + steps - 1;
}

static size_t pool_class_size(size_t class)
{
    size_t shift = class < 16 ? 0 : class / 8 - 1;

    assert(class < POOL_CLASSES);
    return (class - shift * 8 + 1) * 16 << shift;
}

/* ---- slabs ---- */

static pool_chunk *chunk_new(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory != MAP_FAILED ? memory : NULL;
}

/* Twice the last one, within bounds, and never for one record alone. */
static size_t chunk_bytes(const pool_slab *s, size_t record)
{
    size_t bytes = s->chunks != NULL ? 2 * s->chunks->bytes : POOL_CHUNK_MIN;

    while (bytes < 4 * record)
        bytes *= 2;
    return bytes < POOL_CHUNK_MAX ? bytes : POOL_CHUNK_MAX;
}

static bool slab_grow(pool_slab *s, size_t record)
{
    size_t bytes = chunk_bytes(s, record);
    pool_chunk *chunk = chunk_new(bytes);

    if (chunk == NULL)
        return false;
    chunk->next = s->chunks;
    chunk->bytes = bytes;
    s->chunks = chunk;
    s->fresh = (unsigned char *)(chunk + 1);
    s->end = s->fresh + (bytes - sizeof *chunk) / record * record;
    s->filled = (unsigned char *)chunk;
    return true;
}

/* Makes sure that the pages of the fresh record are there, and of some to come. Where it fails, faults do it. */
static void slab_fill(pool_slab *s, size_t record)
{
#ifdef MADV_POPULATE_WRITE
    const unsigned char *end = (unsigned char *)s->chunks + s->chunks->bytes;

    while (s->filled < s->fresh + record && s->filled < end) {
        size_t left = (size_t)(end - s->filled);
        madvise(s->filled, left < POOL_POPULATE ? left : POOL_POPULATE, MADV_POPULATE_WRITE);
        s->filled += left < POOL_POPULATE ? left : POOL_POPULATE;
    }
#else
    (void)s, (void)record;
#endif
}

static void *slab_take(pool_slab *s, size_t record)
{
    void *taken = s->free;

    if (POOL_PLAIN)
        return malloc(record);
    if (taken != NULL) {
        memcpy(&s->free, taken, sizeof s->free);
    } else {
        if (s->fresh == s->end && !slab_grow(s, record))
            return NULL;
        slab_fill(s, record);
        taken = s->fresh;
        s->fresh += record;
    }
    s->out++;
    return taken;
}

/* Gives all chunks back, but for the first if that is to be kept; no record is out. */
static void slab_empty(pool_slab *s, bool keep_first, size_t record)
{
    pool_chunk *next;

    if (s->chunks == NULL)
        return;
    for (; s->chunks != NULL && (s->chunks->next != NULL || !keep_first); s->chunks = next) {
        next = s->chunks->next;
        munmap(s->chunks, s->chunks->bytes);
    }
    s->free = NULL;
    s->fresh = s->end = s->filled = NULL;
    if (s->chunks != NULL) {
        s->fresh = (unsigned char *)(s->chunks + 1);
        s->end = s->fresh + (s->chunks->bytes - sizeof *s->chunks) / record * record;
        s->filled = (unsigned char *)s->chunks + s->chunks->bytes;
    }
}

static void slab_give(pool_slab *s, void *given, size_t record)
{
    if (POOL_PLAIN) {
        free(given);
        return;
    }
    if (given == NULL)
        return;
    memcpy(given, &s->free, sizeof s->free);
    s->free = given;
    if (--s->out == 0 && s->chunks->next != NULL)
        slab_empty(s, true, record);
}

/* ---- the pool ---- */

static void pool_recycle(wb_blob_home *home, wb_blob_placed *placed);

wb_mem_pool *wb_mem_pool_new(void)
{
    wb_mem_pool *p = calloc(1, sizeof *p);

    if (p != NULL && pthread_mutex_init(&p->lock, NULL) != 0) {
        free(p);
        p = NULL;
    }
    if (p != NULL)
        p->home.recycle = pool_recycle;
    return p;
}

static void pool_free(wb_mem_pool *p)
{
    slab_empty(&p->headers, false, POOL_HEADER_SIZE);
    slab_empty(&p->leaves, false, WB_INDEX_LEAF_SIZE);
    for (size_t i = 0; i < POOL_CLASSES; i++)
        slab_empty(&p->payloads[i], false, pool_class_size(i));
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void wb_mem_pool_close(wb_mem_pool *p)
{
    bool last;

    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    p->closed = true;
    last = p->blobs == 0;
    pthread_mutex_unlock(&p->lock);
    if (last)
        pool_free(p);
}

static bool pool_has_header(size_t key_size)
{
    return key_size <= POOL_KEY_MAX;
}

static bool pool_has_payload(size_t size)
{
    return size > 0 && size <= POOL_PAYLOAD_MAX;
}

static void *pool_take_payload(wb_mem_pool *p, size_t size)
{
    return slab_take(&p->payloads[pool_class(size)], pool_class_size(pool_class(size)));
}

static void pool_give_payload(wb_mem_pool *p, size_t size, void *payload)
{
    slab_give(&p->payloads[pool_class(size)], payload, pool_class_size(pool_class(size)));
}

/* Header and payload, from slabs or from malloc. */
static wb_blob_placed *pool_take(wb_mem_pool *p, size_t key_size, size_t size, void **payload)
{
    wb_blob_placed *header = pool_has_header(key_size) ? NULL : malloc(sizeof *header + key_size);
    bool ok;

    *payload = size > POOL_PAYLOAD_MAX ? malloc(size) : NULL;
    pthread_mutex_lock(&p->lock);
    if (pool_has_header(key_size))
        header = slab_take(&p->headers, POOL_HEADER_SIZE);
    if (pool_has_payload(size))
        *payload = pool_take_payload(p, size);
    ok = header != NULL && (*payload != NULL || size == 0);
    p->blobs += ok;
    if (!ok && pool_has_header(key_size))
        slab_give(&p->headers, header, POOL_HEADER_SIZE);
    if (!ok && pool_has_payload(size))
        pool_give_payload(p, size, *payload);
    pthread_mutex_unlock(&p->lock);
    if (ok)
        return header;
    if (!pool_has_header(key_size))
        free(header);
    if (size > POOL_PAYLOAD_MAX)
        free(*payload);
    return NULL;
}

static void pool_recycle(wb_blob_home *home, wb_blob_placed *placed)
{
    wb_mem_pool *p = (wb_mem_pool *)(void *)home;
    void *payload = (void *)(uintptr_t)placed->body.public.data;
    size_t size = placed->body.public.size, key_size = placed->body.note;
    bool last;

    if (size > POOL_PAYLOAD_MAX)
        free(payload);
    pthread_mutex_lock(&p->lock);
    if (pool_has_payload(size))
        pool_give_payload(p, size, payload);
    if (pool_has_header(key_size))
        slab_give(&p->headers, placed, POOL_HEADER_SIZE);
    last = --p->blobs == 0 && p->closed;
    pthread_mutex_unlock(&p->lock);
    if (!pool_has_header(key_size))
        free(placed);
    if (last)
        pool_free(p);
}

int wb_mem_blob_new(wb_mem_pool *p, blob **out, blob_key key, blob_view data)
{
    void *payload;
    wb_blob_placed *placed = pool_take(p, key.size, data.size, &payload);

    *out = NULL;
    if (placed == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for a blob of %zu bytes", data.size);
    if (data.size > 0)
        memcpy(payload, data.data, data.size);
    placed->body.note = (unsigned char)key.size;
    if (key.size > 0)
        memcpy(placed->room, key.data, key.size);
    *out = wb_blob_place(placed, &p->home, data.size > 0 ? payload : placed->room, data.size);
    return 0;
}

static void *pool_leaf_new(void *arg)
{
    wb_mem_pool *p = arg;
    void *leaf;

    pthread_mutex_lock(&p->lock);
    leaf = slab_take(&p->leaves, WB_INDEX_LEAF_SIZE);
    pthread_mutex_unlock(&p->lock);
    return leaf;
}

static void pool_leaf_free(void *arg, void *leaf)
{
    wb_mem_pool *p = arg;

    pthread_mutex_lock(&p->lock);
    slab_give(&p->leaves, leaf, WB_INDEX_LEAF_SIZE);
    pthread_mutex_unlock(&p->lock);
}

static blob_key pool_key(const void *item)
{
    return wb_mem_blob_key(item);
}

const wb_index_kind wb_mem_index_kind = {.key = pool_key, .leaf_new = pool_leaf_new, .leaf_free = pool_leaf_free};
