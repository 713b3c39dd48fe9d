/* bench.c - see bench.h. */
#include "bench.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int64_t bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

double bench_median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, bench_compare);
    return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

void bench_check(int status, const char *what)
{
    blob_error error;

    if (status >= 0)
        return;
    blob_last_error(&error);
    fprintf(stderr, "%s: %s (%s)\n", what, blob_strerror(status), error.text);
    exit(1);
}

void bench_payload(unsigned char *bytes, size_t size, uint64_t n)
{
    memcpy(bytes, &n, sizeof n < size ? sizeof n : size);
}

size_t bench_heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

size_t bench_resident_bytes(void)
{
    long long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f == NULL || fscanf(f, "%lld %lld", &pages, &resident) != 2)
        abort();
    fclose(f);
    return (size_t)resident * (size_t)sysconf(_SC_PAGESIZE);
}

typedef struct bench_base {
    blob_store store;
    int64_t delay_us;
} bench_base;

static int base_get(blob_store *s, blob_ctx *ctx, blob_key key, blob **out)
{
    (void)s, (void)ctx, (void)key;
    *out = NULL;
    return BLOB_NOT_FOUND;
}

static int base_block(blob_ctx *ctx)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond;
    int rc;

    bench_check(blob_cond_init(&cond), "cond");
    pthread_mutex_lock(&mutex);
    while ((rc = blob_ctx_wait(ctx, &cond, &mutex)) == 0)
        continue;
    pthread_mutex_unlock(&mutex);
    pthread_cond_destroy(&cond);
    return rc;
}

static int base_put(blob_store *s, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags)
{
    int64_t us = ((bench_base *)(void *)s)->delay_us;
    struct timespec delay = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

    (void)key, (void)data, (void)flags;
    if (us < 0)
        return base_block(ctx);
    if (us > 0)
        nanosleep(&delay, NULL);
    return 0;
}

static int base_delete(blob_store *s, blob_ctx *ctx, blob_key key, unsigned flags)
{
    (void)s, (void)ctx, (void)key, (void)flags;
    return BLOB_NOT_FOUND;
}

static int base_size(blob_store *s, blob_ctx *ctx, blob_key key, uint64_t *out)
{
    (void)s, (void)ctx, (void)key;
    *out = 0;
    return BLOB_NOT_FOUND;
}

static int base_list(blob_store *s, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg)
{
    (void)s, (void)ctx, (void)start, (void)fn, (void)arg;
    return 0;
}

static int base_len(blob_store *s, blob_ctx *ctx, uint64_t *out)
{
    (void)s, (void)ctx;
    *out = 0;
    return 0;
}

static int base_close(blob_store *s, blob_ctx *ctx)
{
    (void)ctx;
    free(s);
    return 0;
}

static int base_cas_key(blob_store *s, blob_ctx *ctx, blob_view data, blob_address *out)
{
    const blob_hash *hash = blob_hash_sha256();

    (void)s, (void)ctx;
    out->size = hash->size;
    hash->digest(data.data, data.size, out->bytes);
    return 0;
}

static const blob_store_ops base_ops = {
    .struct_size = sizeof(blob_store_ops),
    .name = "slow base",
    .get = base_get,
    .put = base_put,
    .del = base_delete,
    .size = base_size,
    .list = base_list,
    .len = base_len,
    .close = base_close,
    .cas_key = base_cas_key,
};

int bench_base_new(blob_store **out, int64_t delay_us)
{
    bench_base *base = calloc(1, sizeof *base);

    *out = NULL;
    if (base == NULL)
        return -ENOMEM;
    base->store.ops = &base_ops;
    base->delay_us = delay_us;
    *out = &base->store;
    return 0;
}

void bench_print_load(void)
{
    char line[128] = "";
    FILE *f = fopen("/proc/loadavg", "r");

    if (f != NULL && fgets(line, sizeof line, f) != NULL)
        printf("load of the machine: %s", line);
    if (f != NULL)
        fclose(f);
}
