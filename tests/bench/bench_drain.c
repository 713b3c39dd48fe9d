/* bench_drain.c - how fast a backlog reaches a base that sleeps, beside as many bare threads that only sleep, both
 * starting cold, in turn. The figure is the median of the rounds' ratios; 1 is the limit. */
#include "bench.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BLOBS 2000
#define WRITERS 256
#define SIZE 4096
#define ROUNDS 7

typedef struct sleepers {
    atomic_int left;
    struct timespec delay;
} sleepers;

static void *sleeper(void *arg)
{
    sleepers *s = arg;

    while (atomic_fetch_sub(&s->left, 1) > 0)
        nanosleep(&s->delay, NULL);
    return NULL;
}

static double bare_ms(int64_t delay_us)
{
    sleepers s = {.delay = {.tv_sec = delay_us / 1000000, .tv_nsec = delay_us % 1000000 * 1000}};
    pthread_t threads[WRITERS];
    int64_t begun = bench_now_ns();

    atomic_init(&s.left, BLOBS);
    for (size_t i = 0; i < WRITERS; i++)
        if (pthread_create(&threads[i], NULL, sleeper, &s) != 0)
            abort();
    for (size_t i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    return (double)(bench_now_ns() - begun) / 1e6;
}

/* The blobs are in the buffer already: it is the drain that is timed, from a wrapper that has no writer yet. */
static double drain_ms(int64_t delay_us)
{
    wbstore_options options = wbstore_options_default();
    unsigned char bytes[SIZE] = {0};
    blob_store *base, *buf;
    int64_t begun;
    double ms;
    wbstore *w;

    options.writers_max = WRITERS;
    bench_check(bench_base_new(&base, delay_us), "base");
    bench_check(blob_memstore_new(&buf), "buffer");
    for (uint64_t i = 0; i < BLOBS; i++) {
        blob_address address;
        bench_payload(bytes, SIZE, i);
        bench_check(blob_store_cas_key(base, NULL, blob_view_of(bytes, SIZE), &address), "cas_key");
        bench_check(blob_store_put(buf, NULL, blob_address_key(&address), blob_view_of(bytes, SIZE), 0), "put");
    }
    begun = bench_now_ns();
    bench_check(wbstore_new(&w, NULL, base, buf, &options), "wbstore_new");
    bench_check(wbstore_sync(w, NULL), "sync");
    ms = (double)(bench_now_ns() - begun) / 1e6;
    wbstore_free(w);
    blob_store_close(buf, NULL);
    blob_store_close(base, NULL);
    return ms;
}

int main(void)
{
    static const int64_t delays_us[] = {1000, 10000, 50000};

    for (size_t d = 0; d < sizeof delays_us / sizeof delays_us[0]; d++) {
        double bare[ROUNDS], drained[ROUNDS], ratio[ROUNDS];
        for (size_t r = 0; r < ROUNDS; r++) {
            bare[r] = bare_ms(delays_us[d]);
            drained[r] = drain_ms(delays_us[d]);
            ratio[r] = bare[r] / drained[r];
        }
        printf("%lld ms a put: %d bare threads %.1f ms, drain %.1f ms, %.2f of the limit\n",
               (long long)(delays_us[d] / 1000), WRITERS, bench_median(bare, ROUNDS), bench_median(drained, ROUNDS),
               bench_median(ratio, ROUNDS));
    }
    return 0;
}
