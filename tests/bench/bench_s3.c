/* bench_s3.c - what s3store costs: puts of 4 KiB by 1 thread and by 32, each thread on a connection of its own. The
 * contestants run in turn, a short round of each, so that a noisy machine disturbs all alike; a figure is the median of
 * the rounds' ratios. CPU is that of the threads that put, user and system.
 *
 *     client   to a server on the loopback that only answers, beside the same bytes written and read by bare threads
 *     drain    a wrapper's 32 writers to a gateway that takes 20 ms for each answer, beside 32 / 20 ms, and beside 32
 *              bare threads; from wbstore_new on, with connections to make and the server to get to know
 *     server   to a real server, puts that replace beside puts that must not: S3_ENDPOINT, S3_BUCKET, S3_ACCESS_KEY,
 *              S3_SECRET_KEY, S3_REGION in the environment say which; without them it is left out
 *
 *     bench_s3 [--quick] [--only NAME]
 *     bench_s3 --puts COUNT --flight THREADS --prefix PREFIX [--replace]
 *
 * The second form puts so many objects to the real server and says how many seconds and CPU seconds that took: it is
 * one of those that s3_clients.py compares. --replace: they may replace what is there, as those of other clients do.
 * What it puts stays there; of figure "server" nothing does. */
#include "s3_rounds.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "s3sim.h"

#define FLIGHT 32
#define DELAY_MS 20

typedef struct effort {
    size_t rounds;
    size_t puts;        /* of one contestant in a round, on the loopback */
    size_t drained;     /* likewise, in "drain", and three times as many */
    size_t server_puts; /* likewise, in "server" */
} effort;

/* ---- client ---- */

static void client_threads(unsigned threads, const effort *e)
{
    sbench_answerer *a = sbench_answerer_start(0);
    log_target *targets[2] = {sbench_answered_open(a), NULL};
    log_series rate[2], cpu[2];
    char name[64];

    targets[1] = sbench_raw_open(a, threads);
    for (size_t i = 0; i < 2; i++)
        (void)sbench_run(targets[i], threads, e->puts / 4);
    for (size_t round = 0; round < e->rounds; round++)
        for (size_t i = 0; i < 2; i++) {
            size_t at = (i + round) % 2;
            sbench_result r = sbench_run(targets[at], threads, e->puts);
            rate[at].at[round] = r.per_s;
            cpu[at].at[round] = r.cpu_us;
        }
    snprintf(name, sizeof name, "4 KiB by %2u, to bare threads", threads);
    log_line(name, "put/s", &rate[0], &rate[1], e->rounds, LOG_FOR_INFORMATION, 0);
    snprintf(name, sizeof name, "4 KiB by %2u, CPU, to bare threads", threads);
    log_line(name, "us", &cpu[0], &cpu[1], e->rounds, LOG_FOR_INFORMATION, 0);
    targets[0]->close(targets[0]);
    targets[1]->close(targets[1]);
    sbench_answerer_stop(a);
}

static void figure_client(const effort *e)
{
    log_heading("client: puts to a server that only answers, beside the same bytes to and fro");
    client_threads(1, e);
    client_threads(FLIGHT, e);
}

/* ---- drain ---- */

static blob_store *drain_buffer(blob_store *base, size_t count)
{
    unsigned char bytes[SBENCH_SIZE] = {0};
    blob_address address;
    blob_store *buf;

    bench_check(blob_memstore_new(&buf), "buffer");
    for (size_t i = 0; i < count; i++) {
        blob_view data = blob_view_of(bytes, sizeof bytes);
        bench_payload(bytes, sizeof bytes, i);
        bench_check(blob_store_cas_key(base, NULL, data, &address), "cas_key");
        bench_check(blob_store_put(buf, NULL, blob_address_key(&address), data, 0), "put");
    }
    return buf;
}

/* The blobs are in the buffer already: it is the drain that is timed, over a store that has not asked its server for
 * anything yet. */
static double drain_per_s(size_t count)
{
    wbstore_options options = wbstore_options_default();
    blob_s3store_options base_options = blob_s3store_options_default();
    s3sim *sim = s3sim_start();
    s3sim_settings settings = s3sim_get(sim);
    blob_store *base, *buf;
    int64_t begun;
    double seconds;
    wbstore *w;

    settings.latency_us = DELAY_MS * 1000;
    settings.unchecked = settings.not_logged = true;
    s3sim_set(sim, &settings);
    base_options.endpoint = s3sim_url(sim);
    base_options.bucket = settings.bucket;
    base_options.access_key = settings.access_key;
    base_options.secret_key = "secret";
    bench_check(blob_s3store_open(&base, &base_options), "open");
    buf = drain_buffer(base, count);
    options.writers_max = FLIGHT;
    begun = bench_now_ns();
    bench_check(wbstore_new(&w, NULL, base, buf, &options), "wbstore_new");
    bench_check(wbstore_sync(w, NULL), "sync");
    seconds = (double)(bench_now_ns() - begun) / 1e9;
    wbstore_free(w);
    blob_store_close(buf, NULL);
    blob_store_close(base, NULL);
    if (s3sim_count(sim) != count)
        abort();
    s3sim_stop(sim);
    return (double)count / seconds;
}

static double drain_bare_per_s(size_t count)
{
    sbench_answerer *a = sbench_answerer_start(DELAY_MS * 1000);
    log_target *store = sbench_answered_open(a), *raw = sbench_raw_open(a, FLIGHT);
    double per_s = sbench_run(raw, FLIGHT, count).per_s;

    raw->close(raw);
    store->close(store);
    sbench_answerer_stop(a);
    return per_s;
}

static void drain_of(size_t count, size_t rounds)
{
    log_series drain, bare, limit;
    char name[64];

    for (size_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < 2; i++)
            if ((i + round) % 2 == 0)
                drain.at[round] = drain_per_s(count);
            else
                bare.at[round] = drain_bare_per_s(count);
        limit.at[round] = FLIGHT * 1000.0 / DELAY_MS;
    }
    snprintf(name, sizeof name, "%5zu of 4 KiB, to 32 / 20 ms", count);
    log_line(name, "put/s", &drain, &limit, rounds, LOG_AT_LEAST, 0.95);
    snprintf(name, sizeof name, "%5zu of 4 KiB, to bare threads", count);
    log_line(name, "put/s", &drain, &bare, rounds, LOG_FOR_INFORMATION, 0);
}

/* A short one shows what the beginning costs, when the server is new and the wrapper tries whether fewer would do. */
static void figure_drain(const effort *e)
{
    log_heading("drain: 32 writers to a gateway that takes 20 ms for each answer, beside 1,600/s and bare threads");
    drain_of(e->drained, e->rounds / 3);
    drain_of(3 * e->drained, e->rounds / 3);
}

/* ---- server ---- */

static blob_s3store_options server_options(const char *prefix)
{
    blob_s3store_options options = blob_s3store_options_default();

    options.endpoint = getenv("S3_ENDPOINT");
    options.bucket = getenv("S3_BUCKET");
    options.access_key = getenv("S3_ACCESS_KEY");
    options.secret_key = getenv("S3_SECRET_KEY");
    options.region = getenv("S3_REGION");
    options.prefix = prefix;
    return options;
}

static void server_threads(unsigned threads, const effort *e)
{
    static const unsigned flags[2] = {BLOB_REPLACE, 0};
    log_series rate[2], cpu[2];
    char name[64], prefix[64] = "";
    blob_s3store_options options = server_options(prefix);
    log_target *targets[2];

    for (size_t i = 0; i < 2; i++) {
        snprintf(prefix, sizeof prefix, "bench-%ld-%lld/", (long)getpid(), (long long)bench_now_ns());
        targets[i] = sbench_store_open(&options, flags[i]);
    }
    for (size_t round = 0; round < e->rounds; round++)
        for (size_t i = 0; i < 2; i++) {
            size_t at = (i + round) % 2;
            sbench_result r = sbench_run(targets[at], threads, e->server_puts);
            rate[at].at[round] = r.per_s;
            cpu[at].at[round] = r.cpu_us;
        }
    for (size_t i = 0; i < 2; i++) {
        sbench_store_empty(targets[i], threads);
        targets[i]->close(targets[i]);
    }
    snprintf(name, sizeof name, "4 KiB by %2u, replacing, to not", threads);
    log_line(name, "put/s", &rate[0], &rate[1], e->rounds, LOG_FOR_INFORMATION, 0);
    snprintf(name, sizeof name, "4 KiB by %2u, CPU, replacing, to not", threads);
    log_line(name, "us", &cpu[0], &cpu[1], e->rounds, LOG_FOR_INFORMATION, 0);
}

static void figure_server(const effort *e)
{
    const char *endpoint = getenv("S3_ENDPOINT");

    if (endpoint == NULL)
        return;
    log_heading("server: puts to the one of S3_ENDPOINT that replace, beside puts that must not");
    server_threads(1, e);
    server_threads(FLIGHT, e);
}

/* ---- one of many clients ---- */

static void put_only(size_t count, unsigned threads, const char *prefix, unsigned flags)
{
    blob_s3store_options options = server_options(prefix);
    log_target *target = sbench_store_open(&options, flags);
    sbench_result r = sbench_run(target, threads, count);

    target->close(target);
    printf("%.6f %.6f\n", r.seconds, r.cpu_us * (double)count / 1e6);
}

/* ---- all of them ---- */

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*measure)(const effort *e);
    } figures[] = {{"client", figure_client}, {"drain", figure_drain}, {"server", figure_server}};
    static const struct option options[] = {{"quick", no_argument, NULL, 'q'},
                                            {"only", required_argument, NULL, 'o'},
                                            {"puts", required_argument, NULL, 'n'},
                                            {"flight", required_argument, NULL, 'f'},
                                            {"prefix", required_argument, NULL, 'p'},
                                            {"replace", no_argument, NULL, 'r'},
                                            {0}};
    effort e = {.rounds = 9, .puts = 10000, .drained = 8000, .server_puts = 500};
    const char *only = NULL, *prefix = "";
    unsigned long count = 0, flight = 1;
    unsigned flags = 0;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'q')
            e = (effort){.rounds = 3, .puts = 3000, .drained = 2000, .server_puts = 100};
        else if (option == 'o')
            only = optarg;
        else if (option == 'n')
            count = strtoul(optarg, NULL, 10);
        else if (option == 'f')
            flight = strtoul(optarg, NULL, 10);
        else if (option == 'p')
            prefix = optarg;
        else if (option == 'r')
            flags = BLOB_REPLACE;
        else
            return 2;
    }
    if (flight < 1 || flight > SBENCH_THREADS_MAX)
        return 2;
    if (count > 0) {
        put_only(count, (unsigned)flight, prefix, flags);
        return 0;
    }
    bench_print_load();
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        if (only == NULL || strcmp(only, figures[i].name) == 0)
            figures[i].measure(&e);
    bench_print_load();
    return 0;
}
