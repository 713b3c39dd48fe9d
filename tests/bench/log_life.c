/* log_life.c - what becomes of a log: how long it takes to open, what it takes in memory and on the disk. */
#include "log_figures.h"
#include "log_store.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- open ---- */

/* *cpu: what it takes of a processor, which is the same on a busy machine. */
static double open_seconds(const char *dir, double *cpu)
{
    blob_store *s;
    int64_t begun = bench_now_ns(), took;
    clock_t cpu_begun = clock();

    bench_check(blob_logstore_open(&s, dir, NULL), "blob_logstore_open");
    took = bench_now_ns() - begun;
    *cpu = (double)(clock() - cpu_begun) / CLOCKS_PER_SEC;
    bench_check(blob_store_close(s, NULL), "close");
    return (double)took / 1e9;
}

/* A process fills a log and closes it, or says through `ready` that it has put everything and waits for its end. */
static void open_fill(const log_effort *effort, int ready)
{
    blob_logstore_options options = blob_logstore_options_default();
    log_store *l;

    options.sync = BLOB_LOGSTORE_SYNC_NEVER;
    l = log_store_open("full", &options, 0);
    log_store_fill(l, 100, effort->blobs);
    if (ready < 0) {
        bench_check(blob_store_close(l->store, NULL), "close");
        return;
    }
    if (write(ready, "", 1) != 1)
        abort();
    for (;;)
        pause();
}

static void open_fill_closed(const log_effort *effort)
{
    open_fill(effort, -1);
}

static void open_fill_killed(const log_effort *effort)
{
    int ready[2];
    char byte;
    pid_t child;

    if (pipe2(ready, O_CLOEXEC) != 0)
        abort();
    child = fork();
    if (child == 0) {
        close(ready[0]);
        open_fill(effort, ready[1]);
    }
    close(ready[1]);
    if (child < 0 || read(ready[0], &byte, 1) != 1)
        exit(1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(ready[0]);
}

void figure_open(const log_effort *effort)
{
    char *dir = log_folder("full");
    log_series warm, cold, killed, after, cpu, cpu_killed;
    double ignored;
    size_t kills = effort->rounds > 3 ? 3 : 1;
    char heading[96];

    snprintf(heading, sizeof heading, "open: a log of %zu blobs of 100 bytes", effort->blobs);
    log_heading(heading);
    log_alone(open_fill_closed, effort);
    for (size_t round = 0; round < effort->rounds; round++) {
        warm.at[round] = open_seconds(dir, &cpu.at[round]);
        log_folder_forget(dir);
        cold.at[round] = open_seconds(dir, &ignored);
    }
    log_line_alone("closed, in the page cache", "s", &warm, effort->rounds, LOG_AT_MOST, 1);
    log_line_alone("of that on a processor", "s", &cpu, effort->rounds, LOG_FOR_INFORMATION, 0);
    log_line_alone("closed, not in the page cache", "s", &cold, effort->rounds, LOG_AT_MOST, 1);
    for (size_t round = 0; round < kills; round++) {
        log_folder_remove(dir);
        open_fill_killed(effort);
        killed.at[round] = open_seconds(dir, &cpu_killed.at[round]);
        after.at[round] = open_seconds(dir, &ignored);
    }
    log_line_alone("after a kill", "s", &killed, kills, LOG_AT_MOST, 1);
    log_line_alone("of that on a processor", "s", &cpu_killed, kills, LOG_FOR_INFORMATION, 0);
    log_line_alone("after a kill, opened once more", "s", &after, kills, LOG_AT_MOST, 1);
    log_folder_remove(dir);
    free(dir);
}

/* ---- memory ---- */

static void memory_alone(const log_effort *effort)
{
    blob_logstore_options options = blob_logstore_options_default();
    size_t few = effort->blobs / 50, resident, heap;
    log_series each;
    log_store *l;

    options.sync = BLOB_LOGSTORE_SYNC_NEVER;
    options.cache_bytes = 1;
    l = log_store_open("memory", &options, 0);
    log_store_fill(l, 100, few);
    resident = bench_resident_bytes();
    heap = bench_heap_bytes();
    log_store_fill(l, 100, effort->blobs);
    each.at[0] = (double)(bench_resident_bytes() - resident) / (double)effort->blobs - LOG_KEY_SIZE;
    log_line_alone("resident, beside the key", "B/blob", &each, 1, LOG_AT_MOST, 100);
    each.at[0] = (double)(bench_heap_bytes() - heap) / (double)effort->blobs - LOG_KEY_SIZE;
    log_line_alone("of that from malloc", "B/blob", &each, 1, LOG_FOR_INFORMATION, 0);
    l->target.close(&l->target);
}

void figure_memory(const log_effort *effort)
{
    log_heading("memory: with cache_bytes 1");
    log_alone(memory_alone, effort);
}

/* ---- space ---- */

typedef struct space_history {
    log_store *l;
    uint64_t *live, random;
    size_t count;
    uint64_t next;
    double worst; /* of what the log took to what it may take */
} space_history;

static uint64_t space_random(space_history *h, uint64_t below)
{
    h->random = h->random * 6364136223846793005u + 1442695040888963407u;
    return (h->random >> 33) % below;
}

static double space_now(const space_history *h)
{
    blob_logstore_info info = log_store_info(h->l);

    return (double)info.disk_bytes / (2.0 * (double)info.live_bytes + 3.0 * (double)MIB);
}

static void space_put(space_history *h, const unsigned char *bytes)
{
    unsigned char key[LOG_KEY_SIZE];
    size_t size = (size_t)space_random(h, space_random(h, 2) == 0 ? 2000 : 64 * KIB);

    log_key(key, 0, h->next);
    bench_check(blob_store_put(h->l->store, NULL, blob_key_of(key, sizeof key), blob_view_of(bytes, size), 0), "put");
    h->live[h->count++] = h->next++;
}

/* One of them at random; but one in fifty is never chosen, while there are others. */
static void space_delete(space_history *h)
{
    size_t at = (size_t)space_random(h, h->count);
    unsigned char key[LOG_KEY_SIZE];

    for (size_t tries = 0; tries < 16 && h->live[at] % 50 == 0; tries++)
        at = (size_t)space_random(h, h->count);
    log_key(key, 0, h->live[at]);
    h->live[at] = h->live[--h->count];
    bench_check(blob_store_delete(h->l->store, NULL, blob_key_of(key, sizeof key), BLOB_LAZY), "delete");
}

static void space_steps(space_history *h, size_t steps, uint64_t puts_in_ten, const unsigned char *bytes)
{
    for (size_t i = 0; i < steps; i++) {
        double now;
        if (h->count == 0 || space_random(h, 10) < puts_in_ten)
            space_put(h, bytes);
        else
            space_delete(h);
        now = i % 32 == 0 ? space_now(h) : 0;
        h->worst = now > h->worst ? now : h->worst;
    }
}

/* The log may be behind for a moment: blobs are deleted at the speed of memory. */
static void space_line(space_history *h, const char *when)
{
    blob_logstore_info info = log_store_info(h->l);
    log_series worst = {{h->worst}}, settled;
    int64_t until = bench_now_ns() + 5000000000;
    char name[64];

    while (space_now(h) > 1 && bench_now_ns() < until)
        usleep(10000);
    settled.at[0] = space_now(h);
    snprintf(name, sizeof name, "%s, at worst on the way", when);
    log_line_alone(name, "of it", &worst, 1, LOG_FOR_INFORMATION, 1);
    snprintf(name, sizeof name, "%s, %.1f MiB live, settled", when, (double)info.live_bytes / (double)MIB);
    log_line_alone(name, "of it", &settled, 1, LOG_AT_MOST, 1);
    h->worst = 0;
}

void figure_space(const log_effort *effort)
{
    blob_logstore_options options = blob_logstore_options_default();
    size_t steps = effort->blobs / 50;
    unsigned char *bytes = calloc(1, 64 * KIB);
    space_history h = {.random = 1, .live = calloc(4 * steps, sizeof *h.live)};

    log_heading("space: of twice the live bytes and three segments (of 1 MiB)");
    options.segment_bytes = MIB;
    h.l = log_store_open("space", &options, 0);
    space_steps(&h, steps / 4, 8, bytes);
    space_line(&h, "filled");
    space_steps(&h, steps, 5, bytes);
    space_line(&h, "as much put as deleted");
    space_steps(&h, steps, 2, bytes);
    space_line(&h, "drained but for stragglers");
    h.l->target.close(&h.l->target);
    free(h.live);
    free(bytes);
}
