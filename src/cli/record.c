/* record.c - how the last sending from a buffer went, for status to show: what a wrapper knows of the base goes with its
 * process, and status comes later.
 *
 * A small text file in the buffer's folder, whose stores leave names alone that are not theirs. It is written by whoever
 * has the buffer open to send, so by one at a time, and replaced whole. Nothing depends on it: it is not synced, it is no
 * failure if it cannot be written, and what cannot be read is as good as none. */
#include "cli/cli.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RECORD_NAME "last-sending"
#define RECORD_FIELDS 13

static int64_t record_now_ms(void)
{
    struct timespec now = {0, 0};

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static FILE *record_open(const char *path, int flags, const char *mode)
{
    int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    FILE *f = fd >= 0 ? fdopen(fd, mode) : NULL;

    if (fd >= 0 && f == NULL)
        close(fd);
    return f;
}

static bool record_write(FILE *f, const wbstore_stats *s)
{
    fprintf(f, "wbstore sending 1\n%" PRId64 " %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 " %" PRId64,
            record_now_ms(), s->sent, s->retries, s->base_p50_us, s->base_p99_us, s->base_max_us);
    fprintf(f, " %" PRIu64 " %" PRIu64 " %u %d %d %" PRId64 "\n=%s\n", s->sent_milliblobs_per_s, s->sent_bytes_per_s,
            s->concurrency, (int)s->concurrency_reason, s->last_status, s->last_age_ms, s->last_text);
    return fflush(f) == 0 && !ferror(f);
}

void cli_record_write(const char *dir, const wbstore_stats *stats)
{
    char path[4096], new[4096];
    bool written;
    FILE *f;

    if (snprintf(path, sizeof path, "%s/" RECORD_NAME, dir) >= (int)sizeof path ||
        snprintf(new, sizeof new, "%s.new", path) >= (int)sizeof new)
        return;
    (void)unlink(new);
    if ((f = record_open(new, O_WRONLY | O_CREAT | O_EXCL, "w")) == NULL)
        return;
    written = record_write(f, stats);
    if (fclose(f) != 0 || !written || rename(new, path) != 0)
        (void)unlink(new);
}

bool cli_record_read(const char *dir, wbstore_stats *s, int64_t *age_ms)
{
    char path[4096];
    int reason = 0, got;
    FILE *f = NULL;

    memset(s, 0, sizeof *s);
    *age_ms = 0;
    if (snprintf(path, sizeof path, "%s/" RECORD_NAME, dir) < (int)sizeof path)
        f = record_open(path, O_RDONLY, "r");
    if (f == NULL)
        return false;
    got = fscanf(f,
                 "wbstore sending 1 %" SCNd64 " %" SCNu64 " %" SCNu64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNu64
                 " %" SCNu64 " %u %d %d %" SCNd64 " =%239[^\n]",
                 age_ms, &s->sent, &s->retries, &s->base_p50_us, &s->base_p99_us, &s->base_max_us,
                 &s->sent_milliblobs_per_s, &s->sent_bytes_per_s, &s->concurrency, &reason, &s->last_status,
                 &s->last_age_ms, s->last_text);
    fclose(f);
    if (got < RECORD_FIELDS - 1) /* the text may be empty */
        return false;
    s->concurrency_reason = reason >= 0 ? (wbstore_concurrency)reason : WBSTORE_CONCURRENCY_MAX;
    *age_ms = record_now_ms() > *age_ms ? record_now_ms() - *age_ms : 0;
    s->last_age_ms += *age_ms;
    return true;
}
