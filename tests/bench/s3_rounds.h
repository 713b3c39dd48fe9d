/* s3_rounds.h - how bench_s3 measures: so many puts of 4 KiB by some threads at once, their rate and the CPU time of
 * the threads that put, which is the client's alone though the server may run beside them; the store that they go to,
 * and the limit that it is measured against. */
#ifndef S3_ROUNDS_H
#define S3_ROUNDS_H

#include <wbstore/stores.h>

#include "log_rounds.h"

#define SBENCH_SIZE 4096
#define SBENCH_THREADS_MAX 32

typedef struct sbench_result {
    double per_s;
    double cpu_us; /* of a put */
    double seconds;
} sbench_result;

sbench_result sbench_run(log_target *t, unsigned threads, size_t count);

/* ---- A server that answers and does nothing else ---- */

typedef struct sbench_answerer sbench_answerer;
sbench_answerer *sbench_answerer_start(uint64_t delay_us); /* before each answer */
void sbench_answerer_stop(sbench_answerer *a);

/* ---- What is put to ---- */

/* An s3store with these options, put to with these flags; nothing of what it has to find out first is left when this
 * returns. */
log_target *sbench_store_open(const blob_s3store_options *options, unsigned flags);
log_target *sbench_answered_open(sbench_answerer *a);
void sbench_store_empty(log_target *store, unsigned threads); /* removes what was put, by as many threads */

/* The limit: the bytes that an s3store sends for a put are written to a socket of the thread's own, as they are, and
 * what comes back is read up to the end of a head. Opened after a store was opened at a, for it is that one's bytes. */
log_target *sbench_raw_open(sbench_answerer *a, unsigned threads);

#endif
