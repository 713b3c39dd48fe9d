/* simdisk_int.h - what the parts of the simulated disk share: simdisk.c (its operations), simdisk_bytes.c (files),
 * simdisk_cut.c (what is left of them) and simdisk_look.c (counts, faults, the trace). */
#ifndef SIMDISK_INT_H
#define SIMDISK_INT_H

#include "simdisk.h"
#include "testutil.h"

#define SIM_PAGE 4096
#define SIM_SECTORS (SIM_PAGE / SIMDISK_SECTOR)
#define SIM_FAULTS 4

/* Pages are shared between images, events and clones, and copied by the first who writes. */
typedef struct sim_page {
    unsigned refs;
    uint64_t hash; /* of the bytes; 0: not known */
    unsigned char bytes[SIM_PAGE];
} sim_page;

/* Bytes of a file. A page that is NULL or beyond count was never written, and reads as zeroes; beyond size every byte
 * is zero. */
typedef struct sim_image {
    uint64_t size;
    sim_page **pages;
    size_t count;
} sim_image;

/* What happened to a file since it was synced: a write, as the pages that it left in the cache and the sectors of them
 * that it touched; or, without pages, a new size. */
typedef struct sim_event {
    bool resize, create;
    uint64_t size;               /* resize */
    uint64_t sector, sector_end; /* write */
    sim_page **pages;            /* write: from the page of its first sector on */
} sim_event;

typedef struct sim_file {
    bool used; /* else a free slot */
    bool failed;
    char name[LOG_NAME_MAX]; /* the last that it had, for the trace */
    sim_image cache, disk;
    uint64_t cache_written, disk_written;
    sim_event *events;
    size_t event_count, event_room;
} sim_file;

typedef struct sim_name {
    char name[LOG_NAME_MAX];
    size_t file;
} sim_name;

typedef struct sim_names {
    sim_name *list; /* in no order */
    size_t count, room;
} sim_names;

/* A change to the folder: from "" is a create, to "" a remove. */
typedef struct sim_change {
    char from[LOG_NAME_MAX], to[LOG_NAME_MAX];
    size_t file;
} sim_change;

typedef struct sim_mount {
    log_disk disk; /* first */
    simdisk *sim;
    bool dead, holds_lock;
    struct sim_mount *next;
} sim_mount;

typedef struct sim_fd {
    sim_mount *mount; /* NULL: free */
    size_t file;
    log_open how;
} sim_fd;

typedef struct sim_trace {
    int op; /* -1: a note */
    char text[52];
    uint64_t number, offset, size;
    int64_t result;
} sim_trace;

/* The mutex guards all of it while mounts are used; see simdisk.h for the rest. */
struct simdisk {
    pthread_mutex_t mutex;
    test_rng rng;
    bool folder, off, thin, no_direct;
    int64_t time_ms;
    uint64_t capacity;
    sim_file *files;
    size_t file_count;
    sim_names now, lasting; /* names as a reader sees them, and those on the disk */
    sim_change *changes;
    size_t change_count, change_room;
    sim_mount *mounts;
    sim_fd *fds;
    size_t fd_count;
    simdisk_fault faults[SIM_FAULTS];
    size_t fault_count;
    uint64_t failed, off_at;
    bool off_within;
    uint64_t ops, calls[SIMDISK_OPS], version, writes_to_failed;
    void (*watch)(void *arg, const simdisk_call *call);
    void *watch_arg;
    sim_trace *trace;
    size_t trace_count, trace_room;
};

_Noreturn void sim_abort(const char *what);
/* Room for one more in an array that grows. */
void *sim_grow(void *array, size_t count, size_t *room, size_t item);

/* simdisk_bytes.c */
void sim_image_copy(sim_image *to, const sim_image *from); /* `to` was nothing */
void sim_image_clear(sim_image *image);
void sim_image_resize(sim_image *image, uint64_t size);
void sim_image_read(const sim_image *image, uint64_t offset, void *to, size_t size);
void sim_image_write(sim_image *image, uint64_t offset, const void *from, size_t size);
/* The sector gets these bytes, whatever the size; sim_image_resize must follow. */
void sim_image_set_sector(sim_image *image, uint64_t sector, const unsigned char *bytes);
uint64_t sim_image_taken(const sim_image *image); /* bytes of pages that were written */
uint64_t sim_image_hash(const sim_image *image);
void sim_file_write(sim_file *file, uint64_t offset, const void *from, size_t size);
void sim_file_resize(sim_file *file, uint64_t size, bool create);
void sim_file_forget(sim_file *file); /* its events */
void sim_file_copy(sim_file *to, const sim_file *from);
void sim_file_clear(sim_file *file); /* and the slot is free */
const unsigned char *sim_event_sector(const sim_event *event, uint64_t sector);

/* simdisk_cut.c */
void sim_settle_file(simdisk *d, sim_file *file, const simdisk_fate *fate); /* the disk has that, no event is left */
void sim_settle_names(simdisk *d, const simdisk_fate *fate);
void sim_names_apply(sim_names *names, const sim_change *change);
size_t sim_names_find(const sim_names *names, const char *name); /* SIZE_MAX: not there */
void sim_names_copy(sim_names *to, const sim_names *from);
void sim_sweep(simdisk *d); /* frees the files that nothing names */

#endif
