/* logstore.h - for the inside of logstore: the open log, and what its files tell each other.
 *
 *   format.c    bytes on the disk <-> structs
 *   disk.c      the real file system (disk.h has the table)
 *   entry.c     the index of what is there, and the cache of newest payloads
 *   segment.c   segment files: made, opened, sealed
 *   spare.c     those that wait to be used, and how segments are retired
 *   batch.c     records into the active segment; what happens when that fails
 *   commit.c    the queue of those who wait for a write, and who writes for all
 *   scan.c      the records of a segment, from its footer or from its bytes
 *   recover.c   opening a log: what is there, and what counts
 *   replay.c    its records, in order
 *   cut.c       its tail, written again after a crash
 *   read.c      get, size, list, len, salvage
 *   keep.c      the keeper: vouchers, syncs in time, stragglers, spares
 *   report.c    info and findings
 *   logstore.c  put and delete; open and close
 *
 * The rules that make it right, each with its tests:
 *
 *  1. Records are numbered (LSN) without gaps, in the order of their segments and in these of their offsets. For a key
 *     the record with the highest LSN tells: a put that it is there, a tombstone that it is not.
 *  2. A record says up to which LSN all was on the disk before it was written. So the highest such number that is found
 *     anywhere, M, vouches for all up to M: one of those that is missing or bad is damage. What is above M is a tail: it
 *     may be whole or torn, and whoever put it may have been told of success or not.
 *  3. A new segment states in its header the LSN that its records begin with. From the moment that one of them is vouched
 *     for, records with such LSNs in older segments are no more: this is how a tail is cut off for good, and how a
 *     batch that could not be synced begins again elsewhere. The header counts for nothing until then, so that a new
 *     segment which a crash leaves half done takes nothing away.
 *  4. After a crash nothing is appended to an old segment. A tail's whole records are written again, into a new segment
 *     that begins with M + 1, synced, and vouched for by a synced voucher: only then open returns. That segment says what
 *     it is for; while nothing vouches for it, it may hold half of the tail, and is not read: the old one is whole.
 *  5. Nothing becomes visible, and nobody is told of success, before what was asked for is synced (as the option says).
 *     One change of a key is under way at a time; who comes meanwhile waits for its outcome and then looks again.
 *  6. Segments are retired oldest first, each durably before the next, and only when no live record is in them: so a
 *     tombstone is gone only after all that it could be about. What made them dead is synced before.
 *  7. A lazily deleted key leaves the index at once and its tombstone waits in a queue, which begins the next batch; so
 *     it is logged before whatever comes for the key later.
 *  8. A file whose write or sync has failed is never written or synced again. */
#ifndef WB_LOGSTORE_H
#define WB_LOGSTORE_H

#include <pthread.h>
#include <stdbool.h>

#include "blob/blob.h"
#include "blob/index.h"
#include "logstore/disk.h"
#include "logstore/format.h"

#include <wbstore/stores.h>

#define LOG_LANES 256
#define LOG_AHEAD ((size_t)256 << 10)      /* zeroes written ahead of small batches */
#define LOG_AHEAD_FOR ((uint64_t)96 << 10) /* up to this size */
#define LOG_PAGE ((size_t)2 << 20)         /* a large page, for the stage, a voucher's block and zeroes */
#define LOG_STAGE (LOG_PAGE - LOG_AHEAD - (size_t)LOG_BLOCK) /* bytes of records written in one go */
#define LOG_BATCH_MAX ((uint64_t)8 << 20) /* bytes of records in one batch; one record alone may be larger */
#define LOG_SEGMENT_MIN ((uint64_t)64 << 10)
#define LOG_SEGMENT_MAX ((uint64_t)1 << 30)
#define LOG_RETRY_MS 1000      /* after the keeper failed at something */
#define LOG_GATHER_NS 50000    /* how long a batch waits for those who were in the last one */
#define LOG_IDLE_MS 50         /* the keeper vouches for the last batch after so long without another */
#define LOG_LAZY_MAX 4096      /* tombstones that may wait for a batch */
#define LOG_SPARES 8           /* segments kept to be used again, at most; the last one is the reserve */
#define LOG_SEGMENTS_SLACK 64  /* files beyond twice what is needed */
#define LOG_OPEN_FILES 32      /* descriptors kept for reading */
#define LOG_UNREADABLE_MAX 10  /* times that a straggler may be unreadable before it is copied as damaged */
#define LOG_FINDINGS_MAX 10000 /* remembered in words; more are only counted */

typedef struct log_segment log_segment;
typedef struct log_item log_item;
typedef struct logstore logstore;

/* ---- payloads in memory ---- */

/* One record in memory, payload and all: what put hands to the disk and what the cache keeps, in one allocation. The
 * blob that get hands out lies in it. */
typedef struct log_image {
    struct log_image *newer, *older; /* (l) in the cache */
    struct log_entry *entry;         /* (l) whose it is, in the cache */
    unsigned char *record;           /* room for the header, key, payload; the payload aligned as malloc aligns */
    uint64_t size;                   /* of the payload */
    int64_t time_ms;                 /* when it was put */
    uint32_t crc;                    /* of the payload */
    uint8_t key_size;
    bool damaged; /* the crc is that of what should be here */
    int error;    /* damaged, for the disk did not give it: why */
} log_image;

int wb_log_image_new(log_image **out, blob_key key, uint64_t size); /* payload and crc are the caller's to fill in */
void wb_log_image_drop(log_image *image);                           /* NULL is fine */
blob *wb_log_image_blob(log_image *image);                          /* the hold that image is; not one more */
static inline unsigned char *wb_log_image_payload(const log_image *image)
{
    return image->record + LOG_RECORD_HEADER + image->key_size;
}

/* ---- the index ---- */

#define LOG_PENDING 1u /* being put: nobody sees it yet */
#define LOG_BUSY 2u    /* a replace, a delete or a copy is under way; it is still as it was */

/* (l), all of it. There are as many as blobs, so its size matters: with the key of a SHA-256 it is 72 bytes. A record
 * begins within the first GiB of its segment, whatever its own size. */
typedef struct log_entry {
    log_segment *segment;
    log_image *image; /* in the cache, or NULL */
    uint64_t size;    /* of the payload */
    uint32_t offset8; /* of the record, by eights */
    uint32_t time_s;  /* when it was put */
    uint32_t crc;
    uint16_t padding; /* behind the record, so that the next batch begins on a block */
    uint8_t flags;
    uint8_t key_size;
    unsigned char key[];
} log_entry;

static inline blob_key wb_log_entry_key(const log_entry *e)
{
    return blob_key_of(e->key, e->key_size);
}
static inline uint64_t wb_log_entry_offset(const log_entry *e)
{
    return (uint64_t)e->offset8 * 8;
}
static inline uint64_t wb_log_entry_bytes(const log_entry *e)
{
    return wb_log_record_bytes(e->key_size, e->size) + e->padding;
}

extern const wb_index_kind wb_log_index_kind;
wb_index *wb_log_lane(logstore *l, blob_key key);
log_entry *wb_log_entry_new(blob_key key); /* NULL: no memory */
log_entry *wb_log_find_locked(logstore *l, blob_key key);
log_entry *wb_log_find_at_locked(logstore *l, blob_key key, const log_segment *s, uint64_t offset); /* only if there */
int wb_log_insert_locked(logstore *l, log_entry *e); /* its key must not be there. -ENOMEM */
void wb_log_remove_locked(logstore *l, log_entry *e);
void wb_log_exchange_locked(logstore *l, log_entry *old, log_entry *e); /* of the same key */

/* Counts the record of a visible entry in, or out again (and out of the cache). */
void wb_log_count_in_locked(logstore *l, log_entry *e);
void wb_log_count_out_locked(logstore *l, log_entry *e);

void wb_log_cache_add_locked(logstore *l, log_entry *e, log_image *image); /* takes the image */
void wb_log_cache_remove_locked(logstore *l, log_entry *e);

/* ---- segments ---- */

struct log_segment {
    log_segment *newer; /* (l) */
    uint64_t number, first_lsn;
    uint64_t size;                   /* of the file; (w) */
    uint64_t written;                /* (w) blocks up to here have been written before */
    uint64_t live_bytes, live_blobs; /* (l) */
    uint64_t used_at;                /* (l) when its descriptor was last wanted */
    unsigned unreadable;             /* (l) stragglers that the disk did not give, so far */
    unsigned pins;                   /* (l) those who read from it */
    int fd;                          /* (l) -1: not open. The active segment's stays open */
    int direct;                      /* (w) likewise, past the page cache; the active segment's only */
    uint64_t dead_lsn; /* (l) of the last record that made one of its records dead, but for lazy deletes */
    bool recovery;     /* made to write a tail again */
    bool sealed;       /* (w) has its footer */
    bool failed;       /* (w) never to be written or synced again */
    bool damaged;      /* (l) to be set aside when it is retired */
};

/* Names. */
void wb_log_segment_name(char name[LOG_NAME_MAX], uint64_t number);
void wb_log_segment_name_spare(char name[LOG_NAME_MAX], uint64_t number);
void wb_log_segment_name_aside(char name[LOG_NAME_MAX], uint64_t number);
typedef enum log_name { LOG_NAME_FOREIGN, LOG_NAME_SEGMENT, LOG_NAME_SPARE, LOG_NAME_DAMAGED } log_name;
log_name wb_log_name_parse(const char *name, uint64_t *number);

log_segment *wb_log_segment_new(uint64_t number); /* NULL: no memory */
void wb_log_segment_free(logstore *l, log_segment *s);
void wb_log_segment_add_locked(logstore *l, log_segment *s); /* as the newest */

/* Makes the next segment the active one, with room for so many bytes of records and of footer: a spare if there is one,
 * else a new file. The one before is sealed. reserve: the last spare may be taken. For the writer. */
int wb_log_rotate(logstore *l, uint64_t bytes, uint64_t footer_bytes, bool reserve);
bool wb_log_fits(const logstore *l, uint64_t bytes, uint64_t footer_bytes);
/* As well as it can. continued: there is a next segment; else the log is being closed. */
void wb_log_seal(logstore *l, log_segment *s, bool continued);

/* Reading: pins it and opens it. */
int wb_log_pin_locked(logstore *l, log_segment *s);
void wb_log_unpin_locked(logstore *l, log_segment *s);
int wb_log_read(logstore *l, const log_segment *s, void *to, size_t size, uint64_t offset); /* whole or an error */

/* A new file for s, which has its size, under the name of a spare; open for writing. */
int wb_log_segment_create(logstore *l, log_segment *s, uint64_t *spare);
void wb_log_segment_close(logstore *l, log_segment *s);

/* ---- spares, and retiring ---- */

/* Opens a spare for s, the one with most blocks written, if there are at least so many: else -ENOSPC. It is none any more,
 * whatever comes of it. */
int wb_log_spare_take(logstore *l, log_segment *s, unsigned least, uint64_t *spare);
int wb_log_spare_make(logstore *l);
uint64_t wb_log_spare_number(logstore *l);
int wb_log_spare_reserve(logstore *l); /* makes one if there is none */
int wb_log_spare_drop(logstore *l);
bool wb_log_spares_short_locked(const logstore *l); /* but there would be one more if the oldest segment were retired */
int wb_log_spare_adopt(logstore *l, uint64_t number); /* one that was found; removed if it is of no use */

/* Is it old, empty, read by nobody, and not being retired already? */
bool wb_log_retirable_locked(const logstore *l, const log_segment *s);
/* Takes the oldest segment out of the log, if nothing is live in it and nobody needs it: *done tells. Without the lock. */
int wb_log_retire(logstore *l, bool *done);
/* For the writer, when there is no room: retires what is empty. False: nothing came of it. */
bool wb_log_reclaim(logstore *l);

/* ---- writing ---- */

typedef enum log_kind {
    LOG_ITEM_PUT,
    LOG_ITEM_DELETE,
    LOG_ITEM_COPY,  /* a straggler, forward */
    LOG_ITEM_LAZY,  /* a tombstone whose key has left the index */
    LOG_ITEM_NOTE,  /* nothing but an LSN: what a segment begins with after a crash */
    LOG_ITEM_SYNC,  /* no record: whatever is not synced yet */
    LOG_ITEM_VOUCH, /* no LSN: that the last batch is on the disk */
    LOG_ITEM_ROTATE /* no record: a new segment */
} log_kind;

/* Somebody's part in a batch. (l), but while it is in a batch that is being written: (w). */
struct log_item {
    log_item *next;
    log_entry *entry; /* PUT: what comes into the index; DELETE, COPY: what is there, busy; LAZY: its own */
    log_entry *old;   /* PUT: what it replaces, busy */
    log_image *image; /* PUT, COPY */
    uint64_t offset;  /* where its record went */
    log_kind kind;
    int rc;
    uint16_t padding;
    uint8_t parity; /* which condition it waits on */
    bool taken, done;
    bool busy;      /* COPY: the entry stays busy, for somebody who waits in the queue */
    bool abandoned; /* nobody waits any more: freed by who settles it */
};

typedef struct log_batch {
    log_item *first, **end;
    uint64_t bytes;        /* of the records: as much as it can come to, with padding */
    uint64_t footer_bytes; /* what they add to the footer */
    bool sync, puts, rotate, vouch;
} log_batch;

void wb_log_batch_init(log_batch *b);
uint64_t wb_log_item_bytes(const log_item *i); /* what it adds to a batch */
void wb_log_batch_add(log_batch *b, log_item *i);
/* Writes a batch and syncs it if that is asked for; the places of the records are in its items. Whoever writes is alone.
 * 0, or why it is not stored. */
int wb_log_batch_write(logstore *l, log_batch *b);
int wb_log_sync(logstore *l); /* the active segment, if something in it is not synced */
/* Writes all of it. `iov` is used up. */
int wb_log_write_all(logstore *l, int fd, struct iovec *iov, int count, uint64_t offset);

log_item *wb_log_item_new(log_kind kind); /* NULL: no memory */
/* Queues an item; nobody waits for it. */
void wb_log_queue_locked(logstore *l, log_item *item);
/* Queues an item, and waits until it is done or ctx ends; takes the item, and its image. The lock is held before, and
 * released. */
int wb_log_commit_unlock(logstore *l, blob_ctx *ctx, log_item *item);
void wb_log_flush_lazy_locked(logstore *l); /* logs waiting tombstones, syncs nothing */
/* A put of e is under way, in place of old (NULL: there is none, e comes into the index). -ENOMEM. */
int wb_log_put_begin_locked(logstore *l, log_entry *e, log_entry *old, const log_image *image);
uint64_t wb_log_room_needed(size_t key_size, uint64_t size); /* bytes_max counts so much for a put under way */
/* Waits until some change of a key that is under way is done. */
int wb_log_settled_locked(logstore *l, blob_ctx *ctx);

/* ---- reading what is there ---- */

typedef int log_record_fn(void *arg, const log_record *r);

/* What is known of a segment file before its records are read. */
typedef struct log_extent {
    uint64_t log_id, first_lsn, count, durable; /* of a sealed one */
    uint64_t footer_offset, footer_bytes;
    uint32_t footer_crc;
    bool sealed, continued;
} log_extent;

/* The trailer; unsealed where it is not there or not right. The segment's descriptor must be open, here and below. */
void wb_log_extent_read(logstore *l, const log_segment *s, log_extent *x);
/* Call fn for every record with an LSN, in order: from the footer, if it is there and good; from the bytes; either. */
int wb_log_scan_footer(logstore *l, const log_segment *s, const log_extent *x, log_record_fn *fn, void *arg,
                       bool *good);
typedef struct log_scan {
    uint64_t durable; /* the highest that a record or voucher states */
    uint64_t broken;  /* headers of this segment that fail their checksum */
    bool unreadable;  /* the disk did not give all of it */
} log_scan;
int wb_log_scan_bytes(logstore *l, const log_segment *s, log_record_fn *fn, void *arg, log_scan *found);
int wb_log_scan_any(logstore *l, const log_segment *s, log_record_fn *fn, void *arg);

/* Finds out what is there. -EAGAIN: read only, and the writer changed it meanwhile. */
int wb_log_recover(logstore *l);

/* A record's payload from the disk, whatever it is: an image that says `damaged` where its checksum fails, with zeroes
 * where the disk gives nothing. The segment's descriptor must be open. -ENOMEM. */
int wb_log_image_load(logstore *l, const log_segment *s, uint64_t offset, blob_key key, uint64_t size, uint32_t crc,
                      log_image **out);

/* ---- the keeper ---- */
int wb_log_keeper_start(logstore *l);
void wb_log_keeper_stop(logstore *l);
void wb_log_keeper_wake_locked(logstore *l); /* something may be to do */
void wb_log_keeper_idle_locked(logstore *l); /* once nothing happens for a while, something will be to do */
int wb_log_keeper_round(logstore *l, bool all);
bool wb_log_over_locked(const logstore *l); /* the log is too large for what is in it */

/* ---- damage ---- */
typedef struct log_finding {
    struct log_finding *next;
    uint64_t segment, offset, size;
    const char *what; /* static */
    bool has_key;
    uint8_t key_size;
    unsigned char key[];
} log_finding;
/* Remembers it, once for each place, and marks the segment (NULL: it is not there). key.data NULL: not known. */
void wb_log_found_locked(logstore *l, log_segment *s, const log_finding *what, blob_key key, uint64_t records);

int wb_log_verify(logstore *l, blob_key key); /* as get, from the disk */

/* ---- words ---- */
int wb_log_fail(logstore *l, int rc, const char *what, const char *name);
int wb_log_fail_name(logstore *l, int rc, const char *what, uint64_t number);
void wb_log_turn_read_only(logstore *l, const char *why);
/* Makes a change of name last, where anything is to. If it fails nobody can tell whether it lasts, and asking again would
 * not tell either: the log is read-only then. */
int wb_log_sync_folder(logstore *l, const char *name);
int wb_log_read_only_locked(logstore *l); /* 0, or BLOB_DENIED and why */

/* Lock legend: (l) by lock. (w) by the one who writes: `writing` is his. No letter: fixed while the log is open. The lock
 * is never held across I/O (but for the opening of a file to read, and where nobody else has the log yet). */
struct logstore {
    blob_store store;
    log_disk *disk;
    char *dir; /* for messages */
    uint64_t bytes_max, segment_bytes, cache_max;
    int64_t interval_ms;
    blob_logstore_sync sync_mode;
    bool opened_read_only;
    uint64_t log_id;

    pthread_mutex_t lock;
    pthread_cond_t committed[2]; /* is my item done, or may I write? by its parity */
    pthread_cond_t settled;      /* is the change of my key done? */
    unsigned settling;           /* (l) who waits on settled */

    wb_index lanes[LOG_LANES]; /* (l) as are these: */
    uint64_t blobs, payload_bytes, live_bytes;
    uint64_t reserved_bytes; /* of puts under way */
    log_image *cache_newest, *cache_oldest;
    uint64_t cache_bytes;

    log_segment *oldest, *newest;     /* (l); newest == active, or all are old */
    uint64_t segments, segment_total; /* (l) how many, and the size of their files */
    uint64_t spares[LOG_SPARES];      /* (l) their numbers */
    uint64_t spare_written[LOG_SPARES];
    unsigned spare_count;
    unsigned spare_comes; /* (l) 1: the segment that is being retired will be one */
    uint64_t next_spare;  /* (l) */
    uint64_t next_number; /* (w) of the next segment */
    int64_t copy_credit;  /* (l) bytes that may be copied forward: so many died */
    unsigned open_files;  /* (l) for reading */
    uint64_t use_clock;   /* (l) */

    log_item *queue, **queue_end; /* (l) */
    log_item *lazy, **lazy_end;   /* (l) tombstones that wait for a batch */
    size_t lazy_count;            /* (l) */
    uint64_t queued, expected;    /* (l) items in the queue; so many may come for the next batch */
    bool writing;                 /* (l) somebody writes */
    uint8_t parity;               /* (l) of the batch that is gathering */

    log_segment *active;     /* (w), changed under the lock too; NULL: the next batch makes one */
    uint64_t next_lsn;       /* (w) */
    uint64_t durable;        /* (w), and (l) for looking: all up to here is on the disk */
    uint64_t vouched;        /* (w) likewise: what the disk itself says of that */
    uint64_t written_lsn;    /* (l) for looking: next_lsn - 1 as of the last batch */
    uint64_t tail;           /* (w) where the next record goes */
    unsigned char *stage;    /* (w) LOG_STAGE and a block; begins with what is already in the tail's block */
    unsigned char *zeroes;   /* LOG_AHEAD of them */
    log_bytes footer;        /* (w) of the active segment, so far */
    size_t footer_synced;    /* (w) as much of it is of records that are synced */
    size_t footer_rescue;    /* (w) as much of it was there before the batch */
    uint64_t footer_records; /* (w) */
    uint64_t cut_lsn;        /* that the tail is written again from */
    bool recovering;         /* nothing is vouched for until all is written again */

    bool read_only; /* (l) */
    uint64_t lost;  /* (l) records that were written, and could neither be synced nor written again */
    char read_only_text[200];
    char fail_text[200]; /* (l) of the last batch that failed */

    pthread_t keeper;
    pthread_cond_t keeper_wake;
    bool has_keeper, stopping; /* (l) */
    bool retiring;             /* (l) somebody is taking the oldest segment away; settled tells when he has */
    bool keeper_asked;         /* (l) something may be to do */
    bool keeper_sleeps;        /* (l) until it is asked */
    bool no_space;             /* (l) a spare could not be made; asked again when something was retired */
    int64_t last_batch_ns;     /* (l) */
    int64_t last_sync_ns;      /* (l) */

    log_finding *findings, **findings_end; /* (l) */
    uint64_t found, damaged_records;       /* (l) remembered; all */
    uint64_t set_aside, set_aside_bytes;   /* (l) */
    uint64_t torn_records, rewritten;      /* as it was opened */
};

bool wb_log_is(const blob_store *s);
logstore *wb_log_of(blob_store *s); /* it is */

/* ---- for the tests ---- */
#define LOG_NO_KEEPER 1u
/* Takes over the disk, on failure too; dir is for messages. -EAGAIN: see wb_log_recover. */
int wb_log_open(blob_store **out, log_disk *disk, const char *dir, const blob_logstore_options *options,
                unsigned flags);
int wb_log_keep(blob_store *s); /* without a keeper: does now what it would find to do, idle time passed */

/* What was loaded of an entry that was put then: its time, and if it is damaged, that. */
void wb_log_loaded_locked(logstore *l, log_segment *s, uint64_t offset, blob_key key, uint32_t time_s,
                          log_image *image);

/* The operations. */
int wb_log_get(blob_store *s, blob_ctx *ctx, blob_key key, blob **out);
int wb_log_size(blob_store *s, blob_ctx *ctx, blob_key key, uint64_t *out);
int wb_log_list(blob_store *s, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg);
int wb_log_len(blob_store *s, blob_ctx *ctx, uint64_t *out);

#endif
