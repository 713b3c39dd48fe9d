/* bench_get.c - what wbstore_get of a buffered 4 KiB blob costs, with a small and with a large backlog; how it scales
 * with threads; what a pending blob costs in memory; and how put and get fare at 1,000 and at 1,000,000 pending. */
#include "bench.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE 4096
#define ROUNDS 11

typedef struct getter {
    wbstore *w;
    const blob_address *addresses;
    size_t blobs, gets;
    uint64_t random;
} getter;

static void *get_round(void *arg)
{
    getter *g = arg;
    blob *b;

    for (size_t i = 0; i < g->gets; i++) {
        g->random = g->random * 6364136223846793005u + 1442695040888963407u;
        bench_check(wbstore_get(g->w, NULL, blob_address_key(&g->addresses[(g->random >> 33) % g->blobs]), &b), "get");
        blob_unref(b);
    }
    return NULL;
}

static double get_ns(wbstore *w, const blob_address *addresses, size_t blobs, size_t gets, unsigned threads)
{
    pthread_t ids[8];
    getter getters[8];
    int64_t begun = bench_now_ns();

    for (unsigned t = 0; t < threads; t++) {
        getters[t] = (getter){w, addresses, blobs, gets, t + (uint64_t)begun};
        if (pthread_create(&ids[t], NULL, get_round, &getters[t]) != 0)
            abort();
    }
    for (unsigned t = 0; t < threads; t++)
        pthread_join(ids[t], NULL);
    return (double)(bench_now_ns() - begun) / (double)(threads * gets);
}

static double put_ns(wbstore *w, blob_address *addresses, size_t from, size_t to)
{
    unsigned char bytes[SIZE] = {0};
    int64_t begun = bench_now_ns();

    for (size_t i = from; i < to; i++) {
        bench_payload(bytes, SIZE, i);
        bench_check(wbstore_cas_put(w, NULL, bytes, SIZE, &addresses[i]), "cas_put");
    }
    return (double)(bench_now_ns() - begun) / (double)(to - from);
}

/* What one dependent access to memory that no cache holds costs: the unit of a get from a large backlog. */
static double miss_ns(void)
{
    enum { LINES = 1 << 20, STEPS = 1000000 };
    struct line {
        struct line *next;
        char padding[56];
    } *lines = calloc(LINES, sizeof *lines), *at;
    size_t *order = calloc(LINES, sizeof *order);
    uint64_t random = 1;
    int64_t begun;

    for (size_t i = 0; i < LINES; i++)
        order[i] = i;
    for (size_t i = LINES - 1; i > 0; i--) {
        size_t other, kept = order[i];
        random = random * 6364136223846793005u + 1442695040888963407u;
        other = (size_t)(random >> 33) % (i + 1);
        order[i] = order[other];
        order[other] = kept;
    }
    for (size_t i = 0; i < LINES; i++)
        lines[order[i]].next = &lines[order[(i + 1) % LINES]];
    at = lines;
    begun = bench_now_ns();
    for (size_t i = 0; i < STEPS; i++)
        at = at->next;
    begun = bench_now_ns() - begun;
    if (at == NULL)
        abort();
    free(order);
    free(lines);
    return (double)begun / STEPS;
}

static void backlog(wbstore *w, blob_address *addresses, size_t blobs)
{
    double one[ROUNDS], ratio[ROUNDS];

    get_ns(w, addresses, blobs, 100000, 1);
    for (size_t r = 0; r < ROUNDS; r++) {
        one[r] = get_ns(w, addresses, blobs, 200000, 1);
        ratio[r] = one[r] / get_ns(w, addresses, blobs, 200000, 2);
    }
    printf("%8zu pending: get %.0f ns, 2 threads %.2f times the throughput of 1\n", blobs, bench_median(one, ROUNDS),
           bench_median(ratio, ROUNDS));
}

int main(void)
{
    static const size_t most = 1000000;
    blob_address *addresses = calloc(most + 20000, sizeof *addresses);
    blob_store *base, *buf;
    size_t before, at = 0;
    double put_few, put_many, get_few, get_many;
    wbstore *w;

    memset(addresses, 1, (most + 20000) * sizeof *addresses);
    bench_check(bench_base_new(&base, -1), "base");
    bench_check(blob_memstore_new(&buf), "buffer");
    bench_check(wbstore_new(&w, NULL, base, buf, NULL), "wbstore_new");
    put_ns(w, addresses, 0, 1000);
    at = 1000;
    get_few = get_ns(w, addresses, at, 200000, 1);
    before = bench_resident_bytes();
    put_few = put_ns(w, addresses, at, at + 2000);
    at += 2000;
    put_ns(w, addresses, at, 20000);
    at = 20000;
    backlog(w, addresses, at);
    put_ns(w, addresses, at, most);
    printf("%8zu pending: %.0f bytes each beside the payload\n", most,
           (double)(bench_resident_bytes() - before) / (double)(most - 1000) - SIZE);
    at = most;
    backlog(w, addresses, at);
    get_many = get_ns(w, addresses, at, 200000, 1);
    put_many = put_ns(w, addresses, at, at + 2000);
    printf("one dependent access to 64 MiB of memory, at random: %.0f ns\n", miss_ns());
    printf("1,000,000 against 1,000 pending: put %.0f / %.0f ns = %.2f, get %.0f / %.0f ns = %.2f\n", put_many, put_few,
           put_many / put_few, get_many, get_few, get_many / get_few);
    wbstore_free(w);
    blob_store_close(buf, NULL);
    blob_store_close(base, NULL);
    free(addresses);
    return 0;
}
