/* log_reference.h - what a log is measured against, on the same disk, with no index, no checksum and no header:
 *
 *     group    the limit of a durable put: payloads of threads that come at once share one write and one fdatasync
 *     files    one file a blob: temporary, write, fdatasync, rename, fsync of the folder
 *     raw      the disk's own bandwidth: direct writes one after another
 *     append   write() to the end of a file, synced never */
#ifndef LOG_REFERENCE_H
#define LOG_REFERENCE_H

#include "log_rounds.h"

#include <stdbool.h>

/* A file of blocks that were written before, from dir, written round and round. `direct`: O_DIRECT, where there is such
 * a thing. Payloads of up to payload_max bytes, multiples of 4096, from at most `threads` threads. */
log_target *ref_group_open(const char *dir, bool direct, unsigned threads, size_t payload_max);

/* The better of the two for payloads of that size, tried in turn for a moment. */
log_target *ref_group_open_best(const char *dir, unsigned threads, size_t size, const log_effort *effort);

log_target *ref_files_open(const char *dir);

/* A file with bytes of its own, not zeroes, to write over; then one pass over it in blocks of so many bytes, synced
 * at its end or after each: MB/s. */
typedef struct ref_raw {
    int fd;
    size_t size;
    unsigned char *block;
} ref_raw;
void ref_raw_open(ref_raw *raw, const char *dir, size_t size);
double ref_raw_mb_s(ref_raw *raw, size_t block, bool sync_each);
void ref_raw_close(ref_raw *raw);

/* Starts with an empty file each time. */
log_target *ref_append_open(const char *dir);

#endif
