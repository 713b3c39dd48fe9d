/* bench_log.c - what a logstore costs beside what the disk under it could do, in one run on one disk (log_reference.h).
 * The contestants run in turn, a short round of each, so that a noisy machine disturbs all alike; a figure is the
 * median of the rounds' ratios. One line a figure: what was measured, its reference, their ratio, the aim. "By 8": by as
 * many threads.
 *
 *     growing   a fresh log in which everything stays: segments are made as it goes
 *     steady    a log that has been round its segments more than twice; each put deletes one that came before: they
 *               are used again
 *
 *     bench_log [--quick] [--only NAME] [--dir FOLDER]
 *
 * NAME: put, large, never, latency, open, memory, space. It makes a folder below FOLDER, or else below the one it is
 * started in, and removes it at the end. */
#include "log_figures.h"
#include "log_reference.h"
#include "log_rounds.h"
#include "log_store.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LAG 256

static log_store *figure_steady(const char *name, const blob_logstore_options *options)
{
    log_store *l = log_store_open(name, options, LAG);

    log_store_wear(l);
    return l;
}

/* ---- put: how many durable puts a second ---- */

static void put_threads(unsigned threads, const log_effort *effort)
{
    enum { LIMIT, FILES, GROWING, STEADY, COUNT };
    static const char *const names[COUNT] = {[GROWING] = "growing", [STEADY] = "steady"};
    char *dir = log_folder("");
    log_target *targets[COUNT] = {ref_group_open_best(dir, threads, 4 * KIB, effort), ref_files_open(dir),
                                  &log_store_open("growing", NULL, 0)->target, &figure_steady("steady", NULL)->target};
    log_series rates[COUNT];
    char name[64];

    for (size_t i = 0; i < COUNT; i++)
        log_run(targets[i], threads, 4 * KIB, effort->round_ms / 4);
    for (size_t round = 0; round < effort->rounds; round++)
        for (size_t i = 0; i < COUNT; i++) {
            size_t at = (i + round) % COUNT;
            rates[at].at[round] = log_run(targets[at], threads, 4 * KIB, effort->round_ms).per_s;
        }
    for (size_t i = GROWING; i < COUNT; i++) {
        snprintf(name, sizeof name, "4 KiB by %2u, %s, to the limit", threads, names[i]);
        log_line(name, "put/s", &rates[i], &rates[LIMIT], effort->rounds, LOG_AT_LEAST, 0.9);
        snprintf(name, sizeof name, "4 KiB by %2u, %s, to files", threads, names[i]);
        log_line(name, "put/s", &rates[i], &rates[FILES], effort->rounds, LOG_FOR_INFORMATION, 0);
    }
    for (size_t i = 0; i < COUNT; i++)
        targets[i]->close(targets[i]);
    free(dir);
}

static void figure_put(const log_effort *effort)
{
    log_heading("put: durable puts a second, beside a bare group commit and one file a blob");
    put_threads(1, effort);
    put_threads(8, effort);
    put_threads(32, effort);
}

/* ---- large: bandwidth ---- */

static void large_size(ref_raw *raw, size_t size, unsigned threads, const log_effort *effort)
{
    enum { GROWING, STEADY, COUNT };
    static const char *const names[COUNT] = {"growing", "steady"};
    log_store *logs[COUNT] = {log_store_open("growing", NULL, 0), figure_steady("steady", NULL)};
    log_series rates[COUNT], disk, synced;
    char name[64];

    logs[STEADY]->lag = size < MIB ? 128 : 16;
    for (size_t i = 0; i < COUNT; i++)
        log_run(&logs[i]->target, threads, size, effort->round_ms / 4);
    for (size_t round = 0; round < effort->rounds; round++) {
        double small = ref_raw_mb_s(raw, MIB, false), large;
        for (size_t i = 0; i < COUNT; i++) {
            size_t at = (i + round) % COUNT;
            rates[at].at[round] = log_run(&logs[at]->target, threads, size, effort->round_ms).mb_s;
        }
        large = ref_raw_mb_s(raw, 4 * MIB, false);
        disk.at[round] = small > large ? small : large;
        synced.at[round] = ref_raw_mb_s(raw, MIB, true);
    }
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "%4zu KiB by %u, %s, to the disk", size / KIB, threads, names[i]);
        log_line(name, "MB/s", &rates[i], &disk, effort->rounds, LOG_AT_LEAST, 0.7);
        snprintf(name, sizeof name, "%4zu KiB by %u, %s, to the disk synced", size / KIB, threads, names[i]);
        log_line(name, "MB/s", &rates[i], &synced, effort->rounds, LOG_FOR_INFORMATION, 0);
        logs[i]->target.close(&logs[i]->target);
    }
}

static void figure_large(const log_effort *effort)
{
    char *dir = log_folder("");
    ref_raw raw;

    log_heading("large: bandwidth of durable puts, beside that of the disk (direct, synced once at the end, or after "
                "each MiB)");
    ref_raw_open(&raw, dir, 256 * MIB);
    large_size(&raw, 64 * KIB, 8, effort);
    large_size(&raw, MIB, 1, effort);
    large_size(&raw, MIB, 8, effort);
    ref_raw_close(&raw);
    free(dir);
}

/* ---- never: what is left when nothing is synced ---- */

static void figure_never(const log_effort *effort)
{
    blob_logstore_options options = blob_logstore_options_default();
    char *dir = log_folder("");
    log_store *steady;
    log_series append, rates[2];

    log_heading("never: BLOB_LOGSTORE_SYNC_NEVER, beside write() at the end of a file");
    options.sync = BLOB_LOGSTORE_SYNC_NEVER;
    steady = figure_steady("steady", &options);
    for (size_t round = 0; round < effort->rounds; round++) {
        log_target *fresh = ref_append_open(dir);
        sync(); /* what was written before is not written back at the cost of what comes */
        append.at[round] = log_run_count(fresh, 4 * KIB, effort->blobs / 20).per_s;
        fresh->close(fresh);
        fresh = &log_store_open("growing", &options, 0)->target;
        sync();
        rates[0].at[round] = log_run_count(fresh, 4 * KIB, effort->blobs / 20).per_s;
        fresh->close(fresh);
        sync();
        rates[1].at[round] = log_run_count(&steady->target, 4 * KIB, effort->blobs / 20).per_s;
    }
    log_line("4 KiB, 1 thread, growing, to write()", "put/s", &rates[0], &append, effort->rounds, LOG_AT_LEAST, 0.8);
    log_line("4 KiB, 1 thread, steady, to write()", "put/s", &rates[1], &append, effort->rounds, LOG_AT_LEAST, 0.8);
    steady->target.close(&steady->target);
    free(dir);
}

/* ---- latency: while segments roll over and somebody drains ---- */

static void latency_threads(unsigned threads, size_t segment_bytes, const log_effort *effort)
{
    blob_logstore_options options = blob_logstore_options_default();
    char *dir = log_folder("");
    log_target *limit = ref_group_open_best(dir, threads, 4 * KIB, effort);
    log_series p50[2], p99[2], max[2];
    log_store *l;
    char name[64];

    options.segment_bytes = segment_bytes;
    l = figure_steady("drained", &options);
    l->lag = 0;
    log_store_drain(l);
    for (size_t round = 0; round < effort->rounds; round++)
        for (size_t i = 0; i < 2; i++) {
            log_result r = log_run(i == round % 2 ? limit : &l->target, threads, 4 * KIB, 2 * effort->round_ms);
            size_t at = i == round % 2;
            p50[at].at[round] = r.p50_us;
            p99[at].at[round] = r.p99_us;
            max[at].at[round] = r.max_us;
        }
    log_store_drain_end(l);
    snprintf(name, sizeof name, "by %u, segments of %zu MiB, p50", threads, segment_bytes / MIB);
    log_line(name, "us", &p50[0], &p50[1], effort->rounds, LOG_FOR_INFORMATION, 0);
    snprintf(name, sizeof name, "by %u, segments of %zu MiB, p99", threads, segment_bytes / MIB);
    log_line(name, "us", &p99[0], &p99[1], effort->rounds, LOG_AT_MOST, 3);
    snprintf(name, sizeof name, "by %u, segments of %zu MiB, longest", threads, segment_bytes / MIB);
    log_line(name, "us", &max[0], &max[1], effort->rounds, LOG_FOR_INFORMATION, 0);
    l->target.close(&l->target);
    limit->close(limit);
    free(dir);
}

static void figure_latency(const log_effort *effort)
{
    log_heading("latency: a put of 4 KiB while segments roll over and a thread gets and deletes, beside the limit");
    latency_threads(1, 64 * MIB, effort);
    latency_threads(8, 64 * MIB, effort);
    latency_threads(1, MIB, effort);
    latency_threads(8, MIB, effort);
}

/* ---- all of them ---- */

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*measure)(const log_effort *effort);
    } figures[] = {{"put", figure_put},         {"large", figure_large}, {"never", figure_never},
                   {"latency", figure_latency}, {"open", figure_open},   {"memory", figure_memory},
                   {"space", figure_space}};
    static const struct option options[] = {{"quick", no_argument, NULL, 'q'},
                                            {"only", required_argument, NULL, 'o'},
                                            {"dir", required_argument, NULL, 'd'},
                                            {0}};
    log_effort effort = {.rounds = 9, .round_ms = 400, .blobs = 1000000};
    const char *where = ".", *only = NULL;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'q':
            effort = (log_effort){.rounds = 3, .round_ms = 150, .blobs = 200000};
            break;
        case 'o':
            only = optarg;
            break;
        case 'd':
            where = optarg;
            break;
        default:
            return 2;
        }
    }
    log_folder_make(where);
    bench_print_load();
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        if (only == NULL || strcmp(only, figures[i].name) == 0)
            figures[i].measure(&effort);
    bench_print_load();
    return 0;
}
