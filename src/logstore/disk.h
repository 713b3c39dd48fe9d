/* disk.h - all that a log asks of a file system, as one table: the real one in disk.c, a simulated one in the tests, that
 * forgets what was not synced.
 *
 * One log_disk is one folder. Every operation returns 0, or a count where it says so, or a negated errno; it takes care
 * of EINTR itself. Operations of one disk may be called from any thread at once. Nothing here retries or hides a failed
 * sync: what that means is the log's business. */
#ifndef WB_LOGSTORE_DISK_H
#define WB_LOGSTORE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define LOG_NAME_MAX 64 /* of a file in the folder, with its zero */

typedef struct log_disk log_disk;

typedef enum log_open {
    LOG_OPEN_READ,  /* reading, through the page cache */
    LOG_OPEN_WRITE, /* reading and writing, through the page cache */
    LOG_OPEN_DIRECT /* writing past the page cache: blocks of 4 KiB in memory aligned likewise. -EINVAL: not here */
} log_open;

/* Called for each name in the folder; what it returns, if not 0, ends the listing with that. */
typedef int log_name_fn(void *arg, const char *name);

typedef struct log_disk_ops {
    /* The folder: makes it (and its parents, lastingly) if `make`, and takes its lock: -EBUSY if somebody has it, -ENOENT
     * if it is not there. Without `make` no lock is taken. Called once, before all others. */
    int (*begin)(log_disk *d, bool make);
    int (*list)(log_disk *d, log_name_fn *fn, void *arg);
    /* A new file of that size that reads as zeroes, its space taken where the file system can do that; open as
     * LOG_OPEN_WRITE. -EEXIST, -ENOSPC; no file is left behind then. */
    int (*create)(log_disk *d, const char *name, uint64_t size, int *fd);
    int (*open)(log_disk *d, const char *name, log_open how, int *fd);
    int (*close)(log_disk *d, int fd);
    int (*rename)(log_disk *d, const char *from,
                  const char *to); /* replaces what is there: the log never asks for that */
    int (*remove)(log_disk *d, const char *name);
    int (*sync_folder)(log_disk *d); /* makes creates, renames and removes last */
    int (*size)(log_disk *d, int fd, uint64_t *out);
    /* How much of the file, from its start, is blocks that were written before: the cheap ones to write again. */
    int (*written)(log_disk *d, int fd, uint64_t *out);
    int (*truncate)(log_disk *d, int fd, uint64_t size);
    /* As preadv and pwritev: bytes moved, fewer than asked for at the end of the file, on a short write, ... */
    ssize_t (*read)(log_disk *d, int fd, void *to, size_t size, uint64_t offset);
    ssize_t (*write)(log_disk *d, int fd, const struct iovec *from, int count, uint64_t offset);
    int (*sync)(log_disk *d, int fd); /* fdatasync */
    int64_t (*time_ms)(log_disk *d);  /* the clock of day */
    uint64_t (*random)(log_disk *d);  /* for the id of a new log */
    void (*end)(log_disk *d);         /* gives back the lock and the disk itself */
} log_disk_ops;

struct log_disk {
    const log_disk_ops *ops;
    const char *in_the_way; /* when begin failed: what it was at, as a name in the folder; NULL: the folder itself */
};

/* The real thing. dir is copied. -ENOMEM. */
int wb_log_disk_new(log_disk **out, const char *dir);

#endif
