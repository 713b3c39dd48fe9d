/* simdisk.h - a disk in memory that forgets what was not synced, for the tests of what a log makes lasting.
 *
 * A simdisk is one folder on one disk and outlives those who use it: each simdisk_mount is a log_disk of its own, given
 * back by its `end`, or made a corpse (all its operations return -EIO) by a kill or a power cut. For each file the disk
 * knows what was synced, what a reader sees, and every write between; likewise for the folder. The rules:
 *
 *   write, truncate   last once the file was synced, direct writes too. At a power cut each 512 bytes of each unsynced
 *                     write are kept, dropped, or garbage; of the changes of size, a first few are kept. Of several
 *                     writes to one place any may be the last one kept
 *   create            the name lasts with a sync of the folder, the size with one of the file or the folder
 *   rename, remove    last with a sync of the folder. At a power cut any of the unsynced changes to the folder are kept,
 *                     but none that follows from a lost one (it is about the same name); each is whole or not at all
 *   kill              ends the process: everything that was written stays to be read, and still is not lasting
 *   a failed sync     makes lasting whatever it likes, calls the rest clean and forgets it: readers go on seeing it, the
 *                     next sync returns 0, and a power cut, or the cache giving up clean pages, ends it
 *
 * All chance comes from seeds that the test gives, so a case can be had again. Operations are counted from 1; a watcher
 * is called before each, and may clone the disk to see what a cut would leave there. Mounts may be used from many
 * threads; all else belongs to one thread. Clones share memory with what they are made of: same thread. What makes no
 * sense aborts the program with a line on stderr: the test is wrong. */
#ifndef SIMDISK_H
#define SIMDISK_H

#include <stdio.h>
#include "logstore/disk.h"

#define SIMDISK_SECTOR 512

typedef struct simdisk simdisk;

typedef enum simdisk_op {
    SIMDISK_BEGIN,
    SIMDISK_LIST,
    SIMDISK_CREATE,
    SIMDISK_OPEN,
    SIMDISK_CLOSE,
    SIMDISK_RENAME,
    SIMDISK_REMOVE,
    SIMDISK_SYNC_FOLDER,
    SIMDISK_SIZE,
    SIMDISK_WRITTEN,
    SIMDISK_TRUNCATE,
    SIMDISK_READ,
    SIMDISK_WRITE,
    SIMDISK_SYNC,
    SIMDISK_OPS /* how many there are; of time_ms, random and end nothing is known */
} simdisk_op;
#define SIMDISK_BIT(op) (1u << (unsigned)(op))
#define SIMDISK_ANY (SIMDISK_BIT(SIMDISK_OPS) - 1)

/* ---- life ---- */

simdisk *simdisk_new(uint64_t seed);
/* All that the disk and its cache hold, unsynced changes with their fate open; no mounts, faults or watcher. */
simdisk *simdisk_clone(const simdisk *d);
void simdisk_free(simdisk *d); /* every mount has ended */
log_disk *simdisk_mount(simdisk *d);

/* ---- the end of a process, and of power ---- */

/* One choice after another, each way once:
 *
 *     simdisk_choices c = {0};
 *     do { ... power cut with .choices = &c ... } while (simdisk_choices_next(&c));  */
typedef struct simdisk_choices {
    unsigned used, known;
    unsigned char pick[64], bound[64];
} simdisk_choices;
unsigned simdisk_choose(simdisk_choices *c, unsigned bound); /* 0 to bound - 1 */
bool simdisk_choices_next(simdisk_choices *c);               /* false: that was all, and c is as new */

typedef enum simdisk_lot {
    SIMDISK_KEPT = 0,
    SIMDISK_DROPPED,
    SIMDISK_GARBAGE, /* of changes of size and of names: kept */
    SIMDISK_MIXED    /* by the seed: some all kept, some all lost, some torn, some with a sector amiss, some anyhow */
} simdisk_lot;

typedef struct simdisk_fate {
    simdisk_lot bytes; /* of sectors and sizes */
    simdisk_lot names;
    bool whole_blocks; /* garbage takes along the 4 KiB around it, what was synced too: such are the sectors inside */
    uint64_t seed;
    simdisk_choices *choices; /* where there are any, MIXED takes each sector, size and name by them, not by seed */
} simdisk_fate;

void simdisk_kill(simdisk *d);
void simdisk_power_cut(simdisk *d, const simdisk_fate *fate);
/* The end comes before operation `number`, or, where that is a write and `within`, once it has begun: from there every
 * operation returns -EIO, until simdisk_power_cut says what is left, or simdisk_kill that it was the process only. */
void simdisk_off_at(simdisk *d, uint64_t number, bool within);
bool simdisk_is_off(const simdisk *d);
void simdisk_drop_cache(simdisk *d); /* clean pages are read from the disk again */

/* ---- faults ---- */

typedef struct simdisk_fault {
    unsigned ops;     /* bits; the calls that fit */
    uint64_t skip;    /* so many of them pass first */
    uint64_t count;   /* so many fail; 0: all from there on */
    int status;       /* what they return; 0 for a read or write: half of what was asked for is done */
    bool after;       /* they have done it all the same. Not for create and open */
    simdisk_lot lost; /* syncs that fail: the lot of what was to be synced, MIXED by the disk's own seed */
} simdisk_fault;
void simdisk_fail(simdisk *d, const simdisk_fault *fault); /* up to 4 at a time, the first that fits acts */
uint64_t simdisk_failed(const simdisk *d);                 /* how many calls did, since the last mend */
void simdisk_mend(simdisk *d);                             /* no more of them */

void simdisk_capacity(simdisk *d, uint64_t bytes); /* what there is room for; 0: no bound */
uint64_t simdisk_used(const simdisk *d);           /* by the files that have a name or are open */
void simdisk_thin(simdisk *d, bool thin);          /* create takes no space: blocks do when they are first written */
void simdisk_no_direct(simdisk *d, bool no);       /* LOG_OPEN_DIRECT is -EINVAL */
void simdisk_set_time(simdisk *d, int64_t time_ms);

/* ---- looking ---- */

typedef struct simdisk_call {
    simdisk_op op;
    const char *name; /* of the file; "" of the folder */
    uint64_t offset, size;
    uint64_t number;
} simdisk_call;
/* fn is called before each operation, without a lock. NULL: no more. */
void simdisk_watch(simdisk *d, void (*fn)(void *arg, const simdisk_call *call), void *arg);
uint64_t simdisk_ops(const simdisk *d); /* so far */
uint64_t simdisk_calls(const simdisk *d, simdisk_op op);
uint64_t simdisk_changes(const simdisk *d);          /* grows with whatever changes what a cut could leave */
uint64_t simdisk_unsynced(const simdisk *d);         /* changes whose fate is open */
uint64_t simdisk_open_files(const simdisk *d);       /* by all mounts that live */
uint64_t simdisk_writes_to_failed(const simdisk *d); /* to files of which a write or sync failed under the same mount */
/* Two disks without unsynced changes hold the same if this is the same. */
uint64_t simdisk_hash(const simdisk *d);

/* The trace: one line an operation, and the test's own notes between. */
void simdisk_note(simdisk *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
void simdisk_print_trace(const simdisk *d, FILE *to);

/* ---- hands on the disk: what lies there and what a reader sees are changed as one ---- */

/* Names in order; LOCK is none. Returns how many there are, beyond max too. */
size_t simdisk_files(const simdisk *d, char (*names)[LOG_NAME_MAX], size_t max);
bool simdisk_has_file(const simdisk *d, const char *name);
uint64_t simdisk_file_size(const simdisk *d, const char *name);
void simdisk_peek(const simdisk *d, const char *name, uint64_t offset, void *to, size_t size);
void simdisk_poke(simdisk *d, const char *name, uint64_t offset, const void *from, size_t size);
void simdisk_flip(simdisk *d, const char *name, uint64_t bit); /* bit 0 is the lowest of byte 0 */
void simdisk_cut_file(simdisk *d, const char *name, uint64_t size);
void simdisk_remove_file(simdisk *d, const char *name);
void simdisk_copy_file(simdisk *to, const char *name, const simdisk *from, const char *from_name);

#endif
