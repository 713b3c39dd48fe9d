/* figures.c - how sending went, in figures of the wrapper that sent: how long the base took, how much went over, how
 * many uploads at a time and why no more, what failed last. */
#include "cli/cli.h"

#include <inttypes.h>

/* Of wbstore_concurrency: for programs, and for people. */
static const char *const figures_reasons[][2] = {
    [WBSTORE_CONCURRENCY_MAX] = {"max", "as many as there may be"},
    [WBSTORE_CONCURRENCY_LEARNING] = {"learning", "what the base can do is being found out"},
    [WBSTORE_CONCURRENCY_BASE] = {"base", "more would only make each take longer"},
    [WBSTORE_CONCURRENCY_THROTTLED] = {"throttled", "the base throttles"},
    [WBSTORE_CONCURRENCY_TIMEOUT] = {"timeout", "uploads timed out"},
    [WBSTORE_CONCURRENCY_OPTIONS] = {"options", "by option"},
    [WBSTORE_CONCURRENCY_DOWN] = {"down", "the base is down"},
    [WBSTORE_CONCURRENCY_PAUSED] = {"paused", "paused"},
};

void cli_bytes_text(char *text, size_t room, uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes / 1024;
    size_t unit = 0;

    if (bytes < 1024) {
        snprintf(text, room, "%" PRIu64 " bytes", bytes);
        return;
    }
    for (; value >= 1024 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        value /= 1024;
    snprintf(text, room, "%.1f %s", value, units[unit]);
}

static const char *figures_reason(const wbstore_stats *stats, size_t which)
{
    size_t reason = (size_t)stats->concurrency_reason;

    return reason < sizeof figures_reasons / sizeof figures_reasons[0] ? figures_reasons[reason][which] : "unknown";
}

void cli_figures(const wbstore_stats *stats)
{
    char rate[32];

    printf("sent     %" PRIu64 " %s, %" PRIu64 " %s\n", stats->sent, stats->sent == 1 ? "blob" : "blobs",
           stats->retries, stats->retries == 1 ? "retry" : "retries");
    if (stats->base_max_us > 0)
        printf("latency  p50 %.1f ms, p99 %.1f ms, max %.1f ms\n", (double)stats->base_p50_us / 1000,
               (double)stats->base_p99_us / 1000, (double)stats->base_max_us / 1000);
    else
        printf("latency  -\n");
    cli_bytes_text(rate, sizeof rate, stats->sent_bytes_per_s);
    printf("rate     %.1f blobs/s, %s/s\n", (double)stats->sent_milliblobs_per_s / 1000, rate);
    printf("at once  %u uploads: %s\n", stats->concurrency, figures_reason(stats, 1));
    if (stats->last_status != 0) {
        fputs("failure  ", stdout);
        cli_escape(stdout, blob_strerror(stats->last_status));
        if (stats->last_text[0] != '\0') {
            fputs(" (", stdout);
            cli_escape(stdout, stats->last_text);
            putchar(')');
        }
        printf(", %.1f s ago\n", (double)stats->last_age_ms / 1000);
    } else {
        printf("failure  -\n");
    }
}

void cli_figures_json(const wbstore_stats *stats)
{
    printf("\"sent\":%" PRIu64 ",\"retries\":%" PRIu64, stats->sent, stats->retries);
    if (stats->base_max_us > 0)
        printf(",\"base_p50_us\":%" PRId64 ",\"base_p99_us\":%" PRId64 ",\"base_max_us\":%" PRId64, stats->base_p50_us,
               stats->base_p99_us, stats->base_max_us);
    else
        printf(",\"base_p50_us\":null,\"base_p99_us\":null,\"base_max_us\":null");
    printf(",\"sent_milliblobs_per_s\":%" PRIu64 ",\"sent_bytes_per_s\":%" PRIu64
           ",\"concurrency\":%u,\"concurrency_reason\":\"%s\"",
           stats->sent_milliblobs_per_s, stats->sent_bytes_per_s, stats->concurrency, figures_reason(stats, 0));
    if (stats->last_status != 0) {
        printf(",\"last_status\":%d,\"last_reason\":", stats->last_status);
        cli_json_string(stdout, stats->last_text[0] != '\0' ? stats->last_text : blob_strerror(stats->last_status));
        printf(",\"last_age_ms\":%" PRId64, stats->last_age_ms);
    } else {
        printf(",\"last_status\":null,\"last_reason\":null,\"last_age_ms\":null");
    }
}
