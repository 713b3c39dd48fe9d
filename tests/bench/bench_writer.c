/* bench_writer.c - what the writer costs, and how many uploads it keeps in flight against bases of several kinds.
 *
 *   - to a base of no latency: blobs a second, CPU and context switches for each 4 KiB blob
 *   - a base that takes 50 ms and has no limit, one that serves 8 at a time, one that refuses above 500 a second, one
 *     whose capacity changes tenfold, one where 1 blob in 1,000 takes 10 s: how busy it is kept
 *
 * The simulated counterpart of the second part, with a clock of its own, is tests/test_pace.c. */
#include "bench.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <wbstore/wbstore.h>

#define SIZE 4096

/* ---- a base of several kinds ---- */

typedef struct base {
    blob_store store;
    blob_store *cas; /* computes addresses */
    pthread_mutex_t lock;
    pthread_cond_t freed;
    unsigned places; /* 0: no bound */
    int64_t service_ns;
    unsigned slow_in; /* one in so many takes slow_ns */
    int64_t slow_ns;
    unsigned per_s; /* refuses above; 0: does not */
    double tokens;
    int64_t tokens_ns;
    uint64_t came, served; /* in the order they come */
    unsigned in_flight, busy;
    uint64_t puts, taken, refused;
    double busy_ns, in_flight_ns; /* integrals over time */
    int64_t since_ns;
} base;

static base *base_of(blob_store *s)
{
    return (base *)(void *)s;
}

static void base_account_locked(base *b)
{
    int64_t now_ns = bench_now_ns();

    b->busy_ns += (double)b->busy * (double)(now_ns - b->since_ns);
    b->in_flight_ns += (double)b->in_flight * (double)(now_ns - b->since_ns);
    b->since_ns = now_ns;
}

static bool base_refuses_locked(base *b)
{
    int64_t now_ns = bench_now_ns();

    if (b->per_s == 0)
        return false;
    b->tokens += (double)(now_ns - b->tokens_ns) / 1e9 * b->per_s;
    b->tokens_ns = now_ns;
    if (b->tokens > b->per_s / 10.0)
        b->tokens = b->per_s / 10.0;
    if (b->tokens < 1)
        return true;
    b->tokens -= 1;
    return false;
}

static void base_sleep(int64_t ns)
{
    struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

    if (ns > 0)
        nanosleep(&t, NULL);
}

static int base_put(blob_store *s, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags)
{
    base *b = base_of(s);
    bool slow;
    int64_t service_ns;

    (void)ctx;
    (void)key;
    (void)data;
    (void)flags;
    pthread_mutex_lock(&b->lock);
    base_account_locked(b);
    b->in_flight++;
    slow = b->slow_in > 0 && b->puts % b->slow_in == b->slow_in - 1;
    b->puts++;
    if (base_refuses_locked(b)) {
        b->refused++;
        b->in_flight--;
        pthread_mutex_unlock(&b->lock);
        return blob_fail(BLOB_UNAVAILABLE, 100, "503 slow down");
    }
    if (!slow) {
        uint64_t turn = b->came++;

        while (turn != b->served || (b->places > 0 && b->busy >= b->places))
            pthread_cond_wait(&b->freed, &b->lock);
        b->served++;
        pthread_cond_broadcast(&b->freed);
    }
    base_account_locked(b);
    b->busy += !slow;
    service_ns = slow ? b->slow_ns : b->service_ns;
    pthread_mutex_unlock(&b->lock);
    base_sleep(service_ns);
    pthread_mutex_lock(&b->lock);
    base_account_locked(b);
    b->busy -= !slow;
    b->in_flight--;
    b->taken++;
    pthread_cond_broadcast(&b->freed);
    pthread_mutex_unlock(&b->lock);
    return 0;
}

static int base_cas_key(blob_store *s, blob_ctx *ctx, blob_view data, blob_address *out)
{
    return blob_store_cas_key(base_of(s)->cas, ctx, data, out);
}

static int base_get(blob_store *s, blob_ctx *ctx, blob_key key, blob **out)
{
    (void)s;
    (void)ctx;
    (void)key;
    *out = NULL;
    return BLOB_NOT_FOUND;
}

static int base_del(blob_store *s, blob_ctx *ctx, blob_key key, unsigned flags)
{
    (void)s;
    (void)ctx;
    (void)key;
    (void)flags;
    return BLOB_NOT_FOUND;
}

static int base_size(blob_store *s, blob_ctx *ctx, blob_key key, uint64_t *out)
{
    (void)s;
    (void)ctx;
    (void)key;
    *out = 0;
    return BLOB_NOT_FOUND;
}

static int base_list(blob_store *s, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg)
{
    (void)s;
    (void)ctx;
    (void)start;
    (void)fn;
    (void)arg;
    return 0;
}

static int base_len(blob_store *s, blob_ctx *ctx, uint64_t *out)
{
    (void)s;
    (void)ctx;
    *out = 0;
    return 0;
}

static int base_close(blob_store *s, blob_ctx *ctx)
{
    (void)s;
    (void)ctx;
    return 0;
}

static const blob_store_ops base_ops = {
    .struct_size = sizeof(blob_store_ops),
    .name = "bench base",
    .get = base_get,
    .put = base_put,
    .del = base_del,
    .size = base_size,
    .list = base_list,
    .len = base_len,
    .close = base_close,
    .cas_key = base_cas_key,
};

/* ---- a wrapper over it, and blobs without end ---- */

typedef struct rig {
    base base;
    blob_store *mem, *buf;
    wbstore *w;
    uint64_t number;
} rig;

static void must(int rc, const char *what)
{
    if (rc == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, blob_strerror(rc));
    exit(1);
}

static void rig_open(rig *r, base kind, unsigned writers)
{
    wbstore_options o = wbstore_options_default();

    memset(r, 0, sizeof *r);
    r->base = kind;
    r->base.store.ops = &base_ops;
    pthread_mutex_init(&r->base.lock, NULL);
    pthread_cond_init(&r->base.freed, NULL);
    r->base.since_ns = r->base.tokens_ns = bench_now_ns();
    must(blob_memstore_new(&r->mem), "memstore");
    must(blob_hashcas_new(&r->base.cas, r->mem, blob_hash_sha256()), "hashcas");
    must(blob_memstore_new(&r->buf), "memstore");
    o.writers_max = writers;
    must(wbstore_new(&r->w, NULL, &r->base.store, r->buf, &o), "wbstore_new");
}

static void rig_close(rig *r)
{
    r->base.slow_ns = 0;
    wbstore_free(r->w);
    blob_store_close(r->buf, NULL);
    blob_store_close(r->base.cas, NULL);
    blob_store_close(r->mem, NULL);
}

static void rig_put(rig *r, uint64_t count)
{
    char bytes[SIZE] = "";

    for (; count > 0; count--) {
        memcpy(bytes, &r->number, sizeof r->number);
        r->number++;
        must(wbstore_cas_put(r->w, NULL, bytes, sizeof bytes, NULL), "cas_put");
    }
}

/* Keeps a backlog for so long, and says how busy the base was. */
static void rig_run(rig *r, const char *what, double seconds)
{
    int64_t begun_ns = bench_now_ns(), end_ns = begun_ns + (int64_t)(seconds * 1e9);
    double busy_ns, in_flight_ns, all;
    uint64_t puts, refused, taken;
    wbstore_stats stats = {.struct_size = sizeof stats};

    pthread_mutex_lock(&r->base.lock);
    base_account_locked(&r->base);
    busy_ns = r->base.busy_ns;
    in_flight_ns = r->base.in_flight_ns;
    puts = r->base.puts;
    refused = r->base.refused;
    taken = r->base.taken;
    pthread_mutex_unlock(&r->base.lock);
    while (bench_now_ns() < end_ns) {
        wbstore_get_stats(r->w, &stats);
        if (stats.pending_blobs < 2000)
            rig_put(r, 1000);
        base_sleep(10000000);
    }
    pthread_mutex_lock(&r->base.lock);
    base_account_locked(&r->base);
    all = (double)(bench_now_ns() - begun_ns);
    printf("%-52s %6.1f in flight, %5.2f busy, %7.1f/s, %4.1f %% refused\n", what,
           (r->base.in_flight_ns - in_flight_ns) / all, (r->base.busy_ns - busy_ns) / all,
           (double)(r->base.taken - taken) / all * 1e9,
           r->base.puts > puts ? 100.0 * (double)(r->base.refused - refused) / (double)(r->base.puts - puts) : 0);
    pthread_mutex_unlock(&r->base.lock);
    fflush(stdout);
}

static void set_places(rig *r, unsigned places)
{
    pthread_mutex_lock(&r->base.lock);
    r->base.places = places;
    pthread_cond_broadcast(&r->base.freed);
    pthread_mutex_unlock(&r->base.lock);
}

static void widths(void)
{
    rig r;

    rig_open(&r, (base){.service_ns = 50000000}, 64);
    rig_run(&r, "50 ms, no limit: the first second", 1);
    rig_run(&r, "  from then on, ceiling 64", 5);
    rig_close(&r);
    rig_open(&r, (base){.service_ns = 50000000, .places = 8}, 64);
    rig_run(&r, "50 ms, 8 at a time: the first 5 s", 5);
    rig_run(&r, "  from then on", 10);
    set_places(&r, 80);
    rig_run(&r, "  80 at a time: the first 10 s", 10);
    rig_run(&r, "  from then on", 5);
    set_places(&r, 8);
    rig_run(&r, "  8 at a time again: the first 10 s", 10);
    rig_run(&r, "  from then on", 5);
    rig_close(&r);
    rig_open(&r, (base){.service_ns = 20000000, .per_s = 500}, 64);
    rig_run(&r, "20 ms, refuses above 500/s: the first 10 s", 10);
    rig_run(&r, "  from then on", 20);
    rig_close(&r);
    rig_open(&r, (base){.service_ns = 20000000, .places = 8}, 64);
    rig_run(&r, "20 ms, 8 at a time", 10);
    r.base.slow_in = 1000;
    r.base.slow_ns = INT64_C(10000000000);
    rig_run(&r, "  and 1 in 1,000 takes 10 s", 15);
    rig_close(&r);
}

/* ---- what a blob costs ---- */

static void costs(uint64_t blobs)
{
    struct rusage before, after;
    double seconds, cpu;
    int64_t begun_ns;
    rig r;

    rig_open(&r, (base){.service_ns = 0}, 64);
    rig_put(&r, 1000);
    must(wbstore_sync(r.w, NULL), "sync");
    getrusage(RUSAGE_SELF, &before);
    begun_ns = bench_now_ns();
    rig_put(&r, blobs);
    must(wbstore_sync(r.w, NULL), "sync");
    seconds = (double)(bench_now_ns() - begun_ns) / 1e9;
    getrusage(RUSAGE_SELF, &after);
    cpu =
        (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
        (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_stime.tv_usec) /
            1e6;
    printf("no latency, 4 KiB: %.0f blobs/s, %.1f us of CPU a blob (puts included), %.3f context switches a blob\n",
           (double)blobs / seconds, cpu / (double)blobs * 1e6,
           (double)(after.ru_nvcsw - before.ru_nvcsw + after.ru_nivcsw - before.ru_nivcsw) / (double)blobs);
    fflush(stdout);
    rig_close(&r);
}

int main(int argc, char **argv)
{
    for (unsigned i = 0; i < 5; i++)
        costs(50000);
    if (argc < 2 || strcmp(argv[1], "costs") != 0)
        widths();
    return 0;
}
