/* log_rounds.h - how bench_log measures: targets that are put to by some threads for a moment, contestants in turn, and
 * a line for each figure. */
#ifndef LOG_ROUNDS_H
#define LOG_ROUNDS_H

#include "bench.h"

#define LOG_THREADS_MAX 32
#define LOG_ROUNDS_MAX 15
#define LOG_KEY_SIZE 32

/* How much of it: --quick or not. */
typedef struct log_effort {
    size_t rounds;
    int64_t round_ms; /* of one contestant */
    size_t blobs;     /* for what is counted by the blob */
} log_effort;

/* What takes puts: a reference, or a log. An implementation embeds it first. */
typedef struct log_target log_target;
struct log_target {
    void (*put)(log_target *t, unsigned thread, const unsigned char *bytes, size_t size);
    void (*close)(log_target *t); /* frees it, and what it has on the disk */
};

typedef struct log_result {
    double per_s, mb_s;
    double p50_us, p99_us, max_us;
} log_result;

/* Puts from so many threads until the time is up; every put is timed. */
log_result log_run(log_target *t, unsigned threads, size_t size, int64_t ms);

/* So many puts by one thread. */
log_result log_run_count(log_target *t, size_t size, size_t count);

/* One contestant's figures, a round each. */
typedef struct log_series {
    double at[LOG_ROUNDS_MAX];
} log_series;

typedef enum log_aim { LOG_AT_LEAST, LOG_AT_MOST, LOG_FOR_INFORMATION } log_aim;

/* A line: the medians, the median of the rounds' ratios with the least and the greatest, the aim. */
void log_line(const char *name, const char *unit, const log_series *measured, const log_series *reference,
              size_t rounds, log_aim aim, double wanted);

/* Likewise a figure that has no reference but the aim itself. */
void log_line_alone(const char *name, const char *unit, const log_series *measured, size_t rounds, log_aim aim,
                    double wanted);
void log_heading(const char *text);

/* ---- keys and folders ---- */

/* Key number n of a thread: as unique, and as random to look at, as a hash. */
void log_key(unsigned char key[LOG_KEY_SIZE], unsigned thread, uint64_t n);

/* A folder of this run, removed at its end; and one within it, the caller's to free. */
void log_folder_make(const char *where);
char *log_folder(const char *name);
void log_folder_remove(const char *dir);
void log_folder_forget(const char *dir); /* drops what the page cache holds of its files */

/* Runs figure in a process of its own, where memory is fresh. */
void log_alone(void (*figure)(const log_effort *effort), const log_effort *effort);

#endif
