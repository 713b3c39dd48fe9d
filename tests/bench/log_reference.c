/* log_reference.c - see log_reference.h. */
#include "log_reference.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void ref_check(bool fine, const char *what)
{
    if (fine)
        return;
    perror(what);
    exit(1);
}

static void ref_write(int fd, const unsigned char *bytes, size_t size, size_t at)
{
    while (size > 0) {
        ssize_t n = pwrite(fd, bytes, size, (off_t)at);
        ref_check(n > 0 || errno == EINTR, "pwrite");
        if (n < 0)
            continue;
        bytes += n;
        at += (size_t)n;
        size -= (size_t)n;
    }
}

/* Memory that is whole for the disk too, where the system can do that: a direct write from scattered pages takes a
 * descriptor for each of them, and longer. */
static unsigned char *ref_alloc(size_t size)
{
    enum { HUGE_PAGE = 2 << 20 };
    size_t room = (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    unsigned char *bytes = aligned_alloc(HUGE_PAGE, room);

    if (bytes == NULL)
        abort();
    madvise(bytes, room, MADV_HUGEPAGE);
    memset(bytes, 0, room);
    return bytes;
}

/* A file of that size, every block written and synced. */
static void ref_prepare(const char *path, size_t size, unsigned char fill)
{
    enum { PIECE = 1 << 20 };
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    unsigned char *piece = ref_alloc(PIECE);

    ref_check(fd >= 0, path);
    memset(piece, fill, PIECE);
    for (size_t at = 0; at < size; at += PIECE)
        ref_write(fd, piece, PIECE, at);
    ref_check(fsync(fd) == 0, "fsync");
    free(piece);
    close(fd);
}

static int ref_open(const char *path, bool *direct)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | (*direct ? O_DIRECT : 0));

    if (fd < 0 && *direct && errno == EINVAL) {
        *direct = false;
        fd = open(path, O_WRONLY | O_CLOEXEC);
    }
    ref_check(fd >= 0, path);
    return fd;
}

/* ---- group ----
 *
 * Payloads are copied into the batch that is being filled, batch number `filling`. Whoever finds its batch not on its
 * way and nobody writing takes it, writes and syncs it alone, and wakes those who are in it, and one of the next. */

#define GROUP_FILE (64 << 20)

typedef struct ref_group {
    log_target target;
    pthread_mutex_t mutex;  /* guards all below */
    pthread_cond_t done[2]; /* those in batch n wait at n % 2 */
    unsigned char *staging[2];
    size_t filled; /* of staging[filling % 2] */
    uint64_t filling, finished;
    bool leading;
    int fd;
    size_t at;
    char *path;
} ref_group;

static void group_lead(ref_group *g)
{
    uint64_t mine = g->filling++;
    size_t size = g->filled;
    bool more;

    g->leading = true;
    g->filled = 0;
    if (g->at + size > GROUP_FILE)
        g->at = 0;
    pthread_mutex_unlock(&g->mutex);
    ref_write(g->fd, g->staging[mine % 2], size, g->at);
    ref_check(fdatasync(g->fd) == 0, "fdatasync");
    pthread_mutex_lock(&g->mutex);
    g->at += size;
    g->finished = mine;
    g->leading = false;
    more = g->filled > 0;
    pthread_mutex_unlock(&g->mutex);
    if (more)
        pthread_cond_signal(&g->done[(mine + 1) % 2]);
    pthread_cond_broadcast(&g->done[mine % 2]);
}

static void group_put(log_target *t, unsigned thread, const unsigned char *bytes, size_t size)
{
    ref_group *g = (ref_group *)(void *)t;
    uint64_t mine;

    (void)thread;
    pthread_mutex_lock(&g->mutex);
    mine = g->filling;
    memcpy(g->staging[mine % 2] + g->filled, bytes, size);
    g->filled += size;
    while (g->leading && g->finished < mine)
        pthread_cond_wait(&g->done[mine % 2], &g->mutex);
    if (g->finished < mine)
        group_lead(g); /* gives the mutex back */
    else
        pthread_mutex_unlock(&g->mutex);
}

static void group_close(log_target *t)
{
    ref_group *g = (ref_group *)(void *)t;

    close(g->fd);
    unlink(g->path);
    for (size_t i = 0; i < 2; i++) {
        pthread_cond_destroy(&g->done[i]);
        free(g->staging[i]);
    }
    pthread_mutex_destroy(&g->mutex);
    free(g->path);
    free(g);
}

log_target *ref_group_open(const char *dir, bool direct, unsigned threads, size_t payload_max)
{
    ref_group *g = calloc(1, sizeof *g);

    if (g == NULL || asprintf(&g->path, "%s/group-%s", dir, direct ? "direct" : "buffered") < 0)
        abort();
    g->target.put = group_put;
    g->target.close = group_close;
    g->filling = 1;
    pthread_mutex_init(&g->mutex, NULL);
    for (size_t i = 0; i < 2; i++) {
        pthread_cond_init(&g->done[i], NULL);
        g->staging[i] = ref_alloc(threads * payload_max); /* no thread is in a batch twice */
    }
    ref_prepare(g->path, GROUP_FILE, 0);
    g->fd = ref_open(g->path, &direct);
    return &g->target;
}

log_target *ref_group_open_best(const char *dir, unsigned threads, size_t size, const log_effort *effort)
{
    log_target *ways[2];
    double rates[2][3];
    size_t best;

    for (size_t i = 0; i < 2; i++)
        ways[i] = ref_group_open(dir, i == 0, threads, size);
    for (size_t round = 0; round < 3; round++)
        for (size_t i = 0; i < 2; i++)
            rates[i][round] = log_run(ways[i], threads, size, effort->round_ms / 2).per_s;
    best = bench_median(rates[0], 3) >= bench_median(rates[1], 3) ? 0 : 1;
    printf("  the limit writes %s\n", best == 0 ? "direct" : "through the page cache");
    ways[1 - best]->close(ways[1 - best]);
    return ways[best];
}

/* ---- files ---- */

typedef struct ref_files {
    log_target target;
    char *dir;
    int fd;
    uint64_t count[LOG_THREADS_MAX];
} ref_files;

static void files_put(log_target *t, unsigned thread, const unsigned char *bytes, size_t size)
{
    ref_files *f = (ref_files *)(void *)t;
    char name[64], temporary[64];
    unsigned char key[LOG_KEY_SIZE];
    int fd;

    log_key(key, thread, f->count[thread]++);
    blob_key_hex(blob_key_of(key, 16), name);
    snprintf(temporary, sizeof temporary, "tmp-%u", thread);
    fd = openat(f->fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ref_check(fd >= 0, temporary);
    ref_write(fd, bytes, size, 0);
    ref_check(fdatasync(fd) == 0, "fdatasync");
    close(fd);
    ref_check(renameat(f->fd, temporary, f->fd, name) == 0, "rename");
    ref_check(fsync(f->fd) == 0, "fsync of the folder");
}

static void files_close(log_target *t)
{
    ref_files *f = (ref_files *)(void *)t;

    close(f->fd);
    log_folder_remove(f->dir);
    free(f->dir);
    free(f);
}

log_target *ref_files_open(const char *dir)
{
    ref_files *f = calloc(1, sizeof *f);

    if (f == NULL || asprintf(&f->dir, "%s/files", dir) < 0)
        abort();
    f->target.put = files_put;
    f->target.close = files_close;
    ref_check(mkdir(f->dir, 0700) == 0, f->dir);
    f->fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ref_check(f->fd >= 0, f->dir);
    return &f->target;
}

/* ---- raw ---- */

#define RAW_BLOCK_MAX (4 << 20)

void ref_raw_open(ref_raw *raw, const char *dir, size_t size)
{
    bool direct = true;
    char *path;

    if (asprintf(&path, "%s/raw", dir) < 0)
        abort();
    ref_prepare(path, size, 1);
    raw->fd = ref_open(path, &direct);
    raw->size = size;
    raw->block = ref_alloc(RAW_BLOCK_MAX);
    for (size_t i = 0; i < RAW_BLOCK_MAX; i++)
        raw->block[i] = (unsigned char)(i * 2654435761u >> 24);
    unlink(path);
    free(path);
}

double ref_raw_mb_s(ref_raw *raw, size_t block, bool sync_each)
{
    int64_t begun = bench_now_ns();

    for (size_t at = 0; at + block <= raw->size; at += block) {
        ref_write(raw->fd, raw->block, block, at);
        if (sync_each)
            ref_check(fdatasync(raw->fd) == 0, "fdatasync");
    }
    ref_check(fdatasync(raw->fd) == 0, "fdatasync");
    return (double)raw->size * 1e3 / (double)(bench_now_ns() - begun);
}

void ref_raw_close(ref_raw *raw)
{
    close(raw->fd);
    free(raw->block);
}

/* ---- append ---- */

typedef struct ref_append {
    log_target target;
    int fd;
} ref_append;

static void append_put(log_target *t, unsigned thread, const unsigned char *bytes, size_t size)
{
    (void)thread;
    ref_check(write(((ref_append *)(void *)t)->fd, bytes, size) == (ssize_t)size, "write");
}

static void append_close(log_target *t)
{
    close(((ref_append *)(void *)t)->fd);
    free(t);
}

log_target *ref_append_open(const char *dir)
{
    ref_append *a = calloc(1, sizeof *a);
    char *path;

    if (a == NULL || asprintf(&path, "%s/append", dir) < 0)
        abort();
    a->target.put = append_put;
    a->target.close = append_close;
    a->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ref_check(a->fd >= 0, path);
    unlink(path);
    free(path);
    return &a->target;
}
