/* log_store.h - a logstore as a target: growing, steady, or with a thread that drains it. */
#ifndef LOG_STORE_H
#define LOG_STORE_H

#include "log_rounds.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Of one thread that puts, on cache lines of its own: puts below `put` returned, puts below `gone` are deleted. */
typedef struct log_counts {
    alignas(128) _Atomic uint64_t put;
    _Atomic uint64_t gone;
} log_counts;

typedef struct log_store {
    log_target target;
    blob_store *store;
    char *dir;
    uint64_t lag; /* each put deletes, lazily, what its thread put so many puts ago; 0: nothing is deleted */
    log_counts counts[LOG_THREADS_MAX];
    pthread_t drainer;
    atomic_bool drain;
} log_store;

/* A fresh one in a folder of that name. options NULL: the defaults. */
log_store *log_store_open(const char *name, const blob_logstore_options *options, uint64_t lag);

/* Puts and deletes until the log has been round its segments more than twice, then deletes what is left. */
void log_store_wear(log_store *l);

/* A thread that gets, and then deletes lazily, whatever is put, in order. */
void log_store_drain(log_store *l);
void log_store_drain_end(log_store *l);

blob_logstore_info log_store_info(log_store *l);

/* Puts blobs of size bytes, so many in all, from some threads at once. */
void log_store_fill(log_store *l, size_t size, size_t count);

#endif
