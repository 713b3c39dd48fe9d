/* progress.c - a progress bar on standard error while the buffer drains:
 *
 *   [##########----------] 12 blobs, 3.4 MiB to go, 40 blobs/s, 16 at a time (the base throttles)
 *
 * A thread asks the wrapper for its statistics ten times a second; the drain itself knows nothing of it. The bar is
 * measured against the most that was seen pending. It overwrites itself with plain characters, which every terminal
 * understands. */
#include "cli/cli.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PROGRESS_EVERY_MS 100
#define PROGRESS_CELLS 20

struct cli_progress {
    cli *c;
    wbstore *w;
    blob_ctx *stop;
    pthread_t thread;
    uint64_t blobs_most, bytes_most; /* by the thread alone */
};

static size_t progress_columns(void)
{
    struct winsize window;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 ? window.ws_col : 80;
}

/* Replaces the bar on the screen. The last column stays free: some terminals go to the next line there. */
static void progress_show(cli *c, const char *line)
{
    size_t width = strlen(line), columns = progress_columns();

    if (width >= columns)
        width = columns - 1;
    pthread_mutex_lock(&c->console);
    fprintf(stderr, "\r%.*s%*s", (int)width, line, c->bar_width > width ? (int)(c->bar_width - width) : 0, "");
    fflush(stderr);
    c->bar_width = width;
    pthread_mutex_unlock(&c->console);
}

/* What the base makes of it: how fast it goes, how many at a time, and why no more where that is worth a word. */
static void progress_pace(char *text, size_t room, const wbstore_stats *stats)
{
    static const char *const reasons[] = {
        [WBSTORE_CONCURRENCY_MAX] = "",
        [WBSTORE_CONCURRENCY_LEARNING] = "",
        [WBSTORE_CONCURRENCY_BASE] = "",
        [WBSTORE_CONCURRENCY_THROTTLED] = " (the base throttles)",
        [WBSTORE_CONCURRENCY_TIMEOUT] = " (uploads timed out)",
        [WBSTORE_CONCURRENCY_OPTIONS] = "",
        [WBSTORE_CONCURRENCY_DOWN] = " (the base is down)",
        [WBSTORE_CONCURRENCY_PAUSED] = "",
    };
    uint64_t rate = stats->sent_milliblobs_per_s / 1000;

    text[0] = '\0';
    if (rate > 0)
        snprintf(text, room, ", %" PRIu64 " blobs/s", rate);
    if (stats->in_flight > 0 || stats->concurrency_reason == WBSTORE_CONCURRENCY_DOWN)
        snprintf(text + strlen(text), room - strlen(text), ", %" PRIu64 " at a time%s", stats->in_flight,
                 reasons[stats->concurrency_reason]);
}

static void progress_draw(cli_progress *p, const wbstore_stats *stats)
{
    char cells[PROGRESS_CELLS + 1], bytes[32], pace[96], line[256];
    uint64_t left = stats->pending_bytes, most;
    size_t done;

    if (stats->pending_blobs > p->blobs_most)
        p->blobs_most = stats->pending_blobs;
    if (stats->pending_bytes > p->bytes_most)
        p->bytes_most = stats->pending_bytes;
    most = p->bytes_most;
    if (most == 0) { /* nothing but empty blobs */
        left = stats->pending_blobs;
        most = p->blobs_most;
    }
    done = most > 0 ? (size_t)((double)(most - left) * PROGRESS_CELLS / (double)most) : 0;
    memset(cells, '-', PROGRESS_CELLS);
    memset(cells, '#', done < PROGRESS_CELLS ? done : PROGRESS_CELLS);
    cells[PROGRESS_CELLS] = '\0';
    cli_bytes_text(bytes, sizeof bytes, stats->pending_bytes);
    progress_pace(pace, sizeof pace, stats);
    snprintf(line, sizeof line, "[%s] %" PRIu64 " %s, %s to go%s", cells, stats->pending_blobs,
             stats->pending_blobs == 1 ? "blob" : "blobs", bytes, pace);
    progress_show(p->c, line);
}

static void progress_stats(cli_progress *p, wbstore_stats *stats)
{
    memset(stats, 0, sizeof *stats);
    stats->struct_size = sizeof *stats;
    wbstore_get_stats(p->w, stats);
}

static void *progress_thread(void *arg)
{
    cli_progress *p = arg;
    struct pollfd stop = {.fd = blob_ctx_fd(p->stop), .events = POLLIN};
    wbstore_stats stats;

    do {
        progress_stats(p, &stats);
        progress_draw(p, &stats);
        (void)poll(&stop, 1, PROGRESS_EVERY_MS);
    } while (blob_ctx_status(p->stop) == 0);
    return NULL;
}

cli_progress *cli_progress_start(cli *c, wbstore *w)
{
    cli_progress *p;

    if (!isatty(STDERR_FILENO) || (p = calloc(1, sizeof *p)) == NULL)
        return NULL;
    p->c = c;
    p->w = w;
    if (blob_ctx_new(&p->stop, NULL) != 0 || pthread_create(&p->thread, NULL, progress_thread, p) != 0) {
        blob_ctx_free(p->stop);
        free(p);
        return NULL; /* a run without its bar is a good run */
    }
    return p;
}

void cli_progress_stop(cli_progress *p, bool done)
{
    char line[64];
    wbstore_stats stats;

    if (p == NULL)
        return;
    blob_ctx_cancel(p->stop);
    pthread_join(p->thread, NULL);
    progress_stats(p, &stats);
    line[0] = '\0';
    if (done)
        snprintf(line, sizeof line, "sent %" PRIu64 " %s", stats.sent, stats.sent == 1 ? "blob" : "blobs");
    progress_show(p->c, line);
    pthread_mutex_lock(&p->c->console);
    fputs(done ? "\n" : "\r", stderr);
    p->c->bar_width = 0;
    pthread_mutex_unlock(&p->c->console);
    blob_ctx_free(p->stop);
    free(p);
}
