/* log_store.c - see log_store.h. */
#include "log_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void store_delete(log_store *l, unsigned thread, uint64_t n)
{
    unsigned char key[LOG_KEY_SIZE];

    log_key(key, thread, n);
    bench_check(blob_store_delete(l->store, NULL, blob_key_of(key, sizeof key), BLOB_LAZY), "delete");
}

static void store_put(log_target *t, unsigned thread, const unsigned char *bytes, size_t size)
{
    log_store *l = (log_store *)(void *)t;
    log_counts *c = &l->counts[thread];
    uint64_t n = atomic_load_explicit(&c->put, memory_order_relaxed);
    unsigned char key[LOG_KEY_SIZE];

    log_key(key, thread, n);
    bench_check(blob_store_put(l->store, NULL, blob_key_of(key, sizeof key), blob_view_of(bytes, size), 0), "put");
    atomic_store_explicit(&c->put, n + 1, memory_order_release);
    if (l->lag > 0 && n >= l->lag) {
        store_delete(l, thread, n - l->lag);
        atomic_store_explicit(&c->gone, n - l->lag + 1, memory_order_relaxed);
    }
}

static void store_close(log_target *t)
{
    log_store *l = (log_store *)(void *)t;

    bench_check(blob_store_close(l->store, NULL), "close");
    log_folder_remove(l->dir);
    free(l->dir);
    free(l);
}

log_store *log_store_open(const char *name, const blob_logstore_options *options, uint64_t lag)
{
    log_store *l = aligned_alloc(alignof(log_store), sizeof *l);

    if (l == NULL)
        abort();
    memset(l, 0, sizeof *l);
    l->target.put = store_put;
    l->target.close = store_close;
    l->dir = log_folder(name);
    l->lag = lag;
    bench_check(blob_logstore_open(&l->store, l->dir, options), "blob_logstore_open");
    return l;
}

blob_logstore_info log_store_info(log_store *l)
{
    blob_logstore_info info = {.struct_size = sizeof info};

    bench_check(blob_logstore_get_info(l->store, &info), "blob_logstore_get_info");
    return info;
}

void log_store_wear(log_store *l)
{
    enum { SIZE = 64 << 10, LAG = 32, THREADS = 8 };
    uint64_t lag = l->lag, written = 0;

    l->lag = LAG;
    do {
        log_run(&l->target, THREADS, SIZE, 100);
        written = 0;
        for (unsigned t = 0; t < THREADS; t++)
            written += atomic_load(&l->counts[t].put) * SIZE;
    } while (written < 3 * log_store_info(l).disk_bytes);
    for (unsigned t = 0; t < THREADS; t++)
        for (uint64_t n = atomic_load(&l->counts[t].gone); n < atomic_load(&l->counts[t].put); n++)
            store_delete(l, t, n);
    memset(l->counts, 0, sizeof l->counts);
    l->lag = lag;
}

static bool drain_some(log_store *l, log_counts *c, unsigned thread)
{
    uint64_t n = atomic_load_explicit(&c->gone, memory_order_relaxed), drained = n;
    unsigned char key[LOG_KEY_SIZE];
    blob *b;

    for (; n < atomic_load_explicit(&c->put, memory_order_acquire); n++) {
        log_key(key, thread, n);
        bench_check(blob_store_get(l->store, NULL, blob_key_of(key, sizeof key), &b), "get");
        blob_unref(b);
        store_delete(l, thread, n);
        atomic_store_explicit(&c->gone, n + 1, memory_order_relaxed);
    }
    return n > drained;
}

static void *drain_main(void *arg)
{
    log_store *l = arg;

    while (atomic_load(&l->drain)) {
        bool some = false;
        for (unsigned t = 0; t < LOG_THREADS_MAX; t++)
            some = drain_some(l, &l->counts[t], t) || some;
        if (!some)
            usleep(200);
    }
    return NULL;
}

void log_store_drain(log_store *l)
{
    atomic_store(&l->drain, true);
    if (pthread_create(&l->drainer, NULL, drain_main, l) != 0)
        abort();
}

void log_store_drain_end(log_store *l)
{
    atomic_store(&l->drain, false);
    pthread_join(l->drainer, NULL);
}

typedef struct filler {
    log_store *l;
    unsigned thread;
    size_t size, count;
} filler;

static void *fill_main(void *arg)
{
    const filler *f = arg;
    unsigned char *bytes = calloc(1, f->size);

    for (size_t i = 0; i < f->count; i++) {
        bench_payload(bytes, f->size, i);
        store_put(&f->l->target, f->thread, bytes, f->size);
    }
    free(bytes);
    return NULL;
}

void log_store_fill(log_store *l, size_t size, size_t count)
{
    enum { THREADS = 4 };
    pthread_t ids[THREADS];
    filler fillers[THREADS];

    for (unsigned t = 0; t < THREADS; t++) {
        fillers[t] = (filler){l, t, size, count / THREADS};
        if (pthread_create(&ids[t], NULL, fill_main, &fillers[t]) != 0)
            abort();
    }
    for (unsigned t = 0; t < THREADS; t++)
        pthread_join(ids[t], NULL);
}
