/* bench_put.c - what wbstore_cas_put costs beside its floor: the SHA-256 of the same bytes, and one copy of them into
 * fresh memory. Both run in turn, a round of each, so that a noisy machine disturbs both alike; the figure is the
 * median of the rounds' ratios.
 *
 *     growing   the base takes nothing: the backlog grows, every blob needs new memory
 *     steady    what was put is drained before the next round: memory is used again; the floor is the SHA-256 alone */
#include "bench.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 15

typedef struct putter {
    wbstore *w;
    size_t size, count;
    uint64_t first;
} putter;

static void floor_round(void **kept, size_t size, size_t count, unsigned char *bytes, uint64_t first)
{
    unsigned char digest[BLOB_ADDRESS_MAX];

    for (size_t i = 0; i < count; i++) {
        bench_payload(bytes, size, first + i);
        blob_hash_sha256()->digest(bytes, size, digest);
        if (kept == NULL)
            continue;
        kept[i] = malloc(size);
        if (kept[i] == NULL)
            abort();
        memcpy(kept[i], bytes, size);
    }
}

static void *put_round(void *arg)
{
    const putter *p = arg;
    unsigned char *bytes = calloc(1, p->size);

    for (size_t i = 0; i < p->count; i++) {
        bench_payload(bytes, p->size, p->first + i);
        bench_check(wbstore_cas_put(p->w, NULL, bytes, p->size, NULL), "cas_put");
    }
    free(bytes);
    return NULL;
}

static wbstore *open_over(blob_store *base, blob_store *buf)
{
    wbstore *w;

    bench_check(wbstore_new(&w, NULL, base, buf, NULL), "wbstore_new");
    return w;
}

static void growing(size_t size, size_t count)
{
    blob_store *base, *buf;
    double ratios[ROUNDS], puts[ROUNDS], floors[ROUNDS];
    void ***kept = calloc(ROUNDS, sizeof *kept);
    unsigned char *bytes = calloc(1, size);
    wbstore *w;

    bench_check(bench_base_new(&base, -1), "base");
    bench_check(blob_memstore_new(&buf), "buffer");
    w = open_over(base, buf);
    put_round(&(putter){w, size, 200, UINT64_C(1) << 40}); /* the writers are there and held before it counts */
    for (size_t r = 0; r < ROUNDS; r++) {
        int64_t begun = bench_now_ns(), middle;
        kept[r] = calloc(count, sizeof **kept);
        floor_round(kept[r], size, count, bytes, r * count);
        middle = bench_now_ns();
        put_round(&(putter){w, size, count, r * count});
        floors[r] = (double)(middle - begun) / (double)count;
        puts[r] = (double)(bench_now_ns() - middle) / (double)count;
        ratios[r] = puts[r] / floors[r];
    }
    printf("growing  %7zu B: put %9.0f ns, floor %9.0f ns, ratio %.2f\n", size, bench_median(puts, ROUNDS),
           bench_median(floors, ROUNDS), bench_median(ratios, ROUNDS));
    wbstore_free(w);
    blob_store_close(buf, NULL);
    blob_store_close(base, NULL);
    for (size_t r = 0; r < ROUNDS; r++) {
        for (size_t i = 0; i < count; i++)
            free(kept[r][i]);
        free(kept[r]);
    }
    free(kept);
    free(bytes);
}

static void steady(size_t size, size_t count)
{
    blob_store *base, *buf;
    double ratios[ROUNDS], puts[ROUNDS], floors[ROUNDS];
    unsigned char *bytes = calloc(1, size);
    wbstore *w;

    bench_check(bench_base_new(&base, 0), "base");
    bench_check(blob_memstore_new(&buf), "buffer");
    w = open_over(base, buf);
    for (size_t r = 0; r < ROUNDS; r++) {
        int64_t begun = bench_now_ns(), middle;
        floor_round(NULL, size, count, bytes, r * count);
        middle = bench_now_ns();
        put_round(&(putter){w, size, count, r * count});
        floors[r] = (double)(middle - begun) / (double)count;
        puts[r] = (double)(bench_now_ns() - middle) / (double)count;
        ratios[r] = puts[r] / floors[r];
        bench_check(wbstore_sync(w, NULL), "sync");
    }
    printf("steady   %7zu B: put %9.0f ns, SHA-256 alone %9.0f ns, ratio %.2f\n", size, bench_median(puts, ROUNDS),
           bench_median(floors, ROUNDS), bench_median(ratios, ROUNDS));
    wbstore_free(w);
    blob_store_close(buf, NULL);
    blob_store_close(base, NULL);
    free(bytes);
}

static double put_rate(wbstore *w, size_t size, size_t count, uint64_t first, unsigned threads)
{
    pthread_t ids[8];
    putter putters[8];
    int64_t begun = bench_now_ns();

    for (unsigned t = 0; t < threads; t++) {
        putters[t] = (putter){w, size, count, first + t * count};
        if (pthread_create(&ids[t], NULL, put_round, &putters[t]) != 0)
            abort();
    }
    for (unsigned t = 0; t < threads; t++)
        pthread_join(ids[t], NULL);
    return (double)(threads * count) * 1e9 / (double)(bench_now_ns() - begun);
}

static void two_threads(size_t size, size_t count)
{
    blob_store *base, *buf;
    double ratios[ROUNDS];
    uint64_t first = 0;
    wbstore *w;

    bench_check(bench_base_new(&base, -1), "base");
    bench_check(blob_memstore_new(&buf), "buffer");
    w = open_over(base, buf);
    put_round(&(putter){w, size, 200, UINT64_C(1) << 40});
    for (size_t r = 0; r < ROUNDS; r++) {
        double one = put_rate(w, size, count, first, 1);
        first += count;
        ratios[r] = put_rate(w, size, count, first, 2) / one;
        first += 2 * count;
    }
    printf("growing  %7zu B: 2 threads put %.2f times as much as 1\n", size, bench_median(ratios, ROUNDS));
    wbstore_free(w);
    blob_store_close(buf, NULL);
    blob_store_close(base, NULL);
}

/* Each figure in a process of its own: memory that an earlier run has left to malloc would not be fresh. */
static void alone(void (*figure)(size_t size, size_t count), size_t size, size_t count)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        figure(size, count);
        exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        exit(1);
}

int main(void)
{
    static const struct {
        size_t size, count;
    } runs[] = {{1 << 10, 20000}, {4 << 10, 10000}, {64 << 10, 1000}, {1 << 20, 100}};

    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++)
        alone(growing, runs[i].size, runs[i].count);
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++)
        alone(steady, runs[i].size, runs[i].size > 65536 ? 16 : 200);
    alone(two_threads, 4 << 10, 10000);
    return 0;
}
