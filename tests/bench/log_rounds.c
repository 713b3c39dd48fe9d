/* log_rounds.c - see log_rounds.h. */
#include "log_rounds.h"

#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- running ---- */

typedef struct runner {
    log_target *target;
    pthread_barrier_t *start;
    unsigned thread;
    size_t size, count_max;
    int64_t ms;
    uint32_t *ns; /* of each put */
    size_t puts, room;
    int64_t ended;
} runner;

static void runner_note(runner *r, int64_t ns)
{
    if (r->puts == r->room) {
        r->room = r->room == 0 ? 4096 : r->room * 2;
        r->ns = realloc(r->ns, r->room * sizeof *r->ns);
        if (r->ns == NULL)
            abort();
    }
    r->ns[r->puts++] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

/* A payload as of compressed data, made once: a file system or a disk must find nothing in it to spare. */
static unsigned char *runner_bytes(size_t size)
{
    unsigned char *bytes = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
    uint64_t random = size;

    if (bytes == NULL)
        abort();
    for (size_t i = 0; i < size; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (unsigned char)(random >> 56);
    }
    return bytes;
}

static void *runner_main(void *arg)
{
    runner *r = arg;
    unsigned char *bytes = runner_bytes(r->size);
    int64_t begun, until, now;

    pthread_barrier_wait(r->start);
    begun = bench_now_ns();
    until = r->ms == 0 ? INT64_MAX : begun + r->ms * 1000000;
    for (size_t i = 0; i < r->count_max && begun < until; i++) {
        bench_payload(bytes, r->size, (uint64_t)begun + r->thread);
        r->target->put(r->target, r->thread, bytes, r->size);
        now = bench_now_ns();
        runner_note(r, now - begun);
        begun = now;
    }
    r->ended = begun;
    free(bytes);
    return NULL;
}

static int runner_compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static log_result runner_result(runner *r, unsigned threads, int64_t begun)
{
    log_result result;
    int64_t ended = begun + 1;
    size_t puts = 0, at = 0, half, most;
    uint32_t *all;

    for (unsigned t = 0; t < threads; t++) {
        puts += r[t].puts;
        ended = r[t].ended > ended ? r[t].ended : ended;
    }
    all = calloc(puts + 1, sizeof *all);
    if (all == NULL || puts == 0)
        abort();
    for (unsigned t = 0; t < threads; t++) {
        memcpy(all + at, r[t].ns, r[t].puts * sizeof *all);
        at += r[t].puts;
        free(r[t].ns);
    }
    qsort(all, puts, sizeof *all, runner_compare);
    result.per_s = (double)puts * 1e9 / (double)(ended - begun);
    result.mb_s = result.per_s * (double)r[0].size / 1e6;
    half = puts / 2;
    most = puts * 99 / 100;
    result.p50_us = all[half] / 1e3;
    result.p99_us = all[most] / 1e3;
    result.max_us = all[puts - 1] / 1e3;
    free(all);
    return result;
}

static log_result runner_run(log_target *t, unsigned threads, size_t size, int64_t ms, size_t count)
{
    runner runners[LOG_THREADS_MAX] = {0};
    pthread_t ids[LOG_THREADS_MAX];
    pthread_barrier_t start;
    int64_t begun;

    if (threads > LOG_THREADS_MAX || pthread_barrier_init(&start, NULL, threads + 1) != 0)
        abort();
    for (unsigned i = 0; i < threads; i++) {
        runners[i] = (runner){.target = t, .start = &start, .thread = i, .size = size, .count_max = count, .ms = ms};
        if (pthread_create(&ids[i], NULL, runner_main, &runners[i]) != 0)
            abort();
    }
    pthread_barrier_wait(&start);
    begun = bench_now_ns();
    for (unsigned i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    pthread_barrier_destroy(&start);
    return runner_result(runners, threads, begun);
}

log_result log_run(log_target *t, unsigned threads, size_t size, int64_t ms)
{
    return runner_run(t, threads, size, ms, SIZE_MAX);
}

log_result log_run_count(log_target *t, size_t size, size_t count)
{
    return runner_run(t, 1, size, 0, count);
}

/* ---- lines ---- */

void log_heading(const char *text)
{
    printf("\n%s\n  %-46s %10s %10s  %-7s %6s %-15s %9s\n", text, "", "measured", "reference", "", "ratio",
           "(min..max)", "aim");
    fflush(stdout);
}

static void line_verdict(double value, log_aim aim, double wanted)
{
    if (aim == LOG_FOR_INFORMATION)
        printf("\n");
    else
        printf("  %s %5.2f  %s\n", aim == LOG_AT_LEAST ? ">=" : "<=", wanted,
               (aim == LOG_AT_LEAST ? value >= wanted : value <= wanted) ? "met" : "NOT MET");
    fflush(stdout);
}

void log_line(const char *name, const char *unit, const log_series *measured, const log_series *reference,
              size_t rounds, log_aim aim, double wanted)
{
    log_series ratios, m = *measured, r = *reference;
    double median;

    for (size_t i = 0; i < rounds; i++)
        ratios.at[i] = measured->at[i] / reference->at[i];
    median = bench_median(ratios.at, rounds);
    printf("  %-46s %10.0f %10.0f  %-7s %6.2f (%5.2f..%5.2f)  ", name, bench_median(m.at, rounds),
           bench_median(r.at, rounds), unit, median, ratios.at[0], ratios.at[rounds - 1]);
    line_verdict(median, aim, wanted);
}

void log_line_alone(const char *name, const char *unit, const log_series *measured, size_t rounds, log_aim aim,
                    double wanted)
{
    log_series m = *measured;
    double median = bench_median(m.at, rounds);

    printf("  %-46s %10.2f %10s  %-7s %6s (%5.2f..%5.2f)  ", name, median, "", unit, "", m.at[0], m.at[rounds - 1]);
    line_verdict(median, aim, wanted);
}

/* ---- keys and folders ---- */

static uint64_t key_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

void log_key(unsigned char key[LOG_KEY_SIZE], unsigned thread, uint64_t n)
{
    uint64_t at = ((uint64_t)thread << 48 | n) * 4;

    for (uint64_t i = 0; i < LOG_KEY_SIZE / 8; i++) {
        uint64_t word = key_mix(at + i + 1);
        memcpy(key + 8 * i, &word, sizeof word);
    }
}

static char folder[4096];
static pid_t folder_owner;

static int folder_remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

void log_folder_remove(const char *dir)
{
    nftw(dir, folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void folder_end(void)
{
    if (getpid() == folder_owner)
        log_folder_remove(folder);
}

void log_folder_make(const char *where)
{
    snprintf(folder, sizeof folder, "%s/bench_log.XXXXXX", where);
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        exit(1);
    }
    folder_owner = getpid();
    atexit(folder_end);
}

char *log_folder(const char *name)
{
    char *path;

    if (asprintf(&path, "%s/%s", folder, name) < 0)
        abort();
    return path;
}

static int folder_forget_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    int fd = type == FTW_F ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    (void)st, (void)at;
    if (fd < 0)
        return 0;
    fdatasync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
    return 0;
}

void log_folder_forget(const char *dir)
{
    nftw(dir, folder_forget_one, 16, FTW_PHYS);
}

void log_alone(void (*figure)(const log_effort *effort), const log_effort *effort)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        figure(effort);
        exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        exit(1);
}
