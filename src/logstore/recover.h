/* recover.h - what the files that open a log tell each other. */
#ifndef WB_LOGSTORE_RECOVER_H
#define WB_LOGSTORE_RECOVER_H

#include "logstore/logstore.h"

typedef struct rec_numbers {
    uint64_t *list;
    size_t count, room;
} rec_numbers;

/* A record of the tail. */
typedef struct rec_redo {
    struct rec_redo *next;
    log_segment *segment;
    log_record r; /* its key is here: */
    unsigned char key[];
} rec_redo;

typedef struct rec_segment {
    log_segment *s;
    log_extent x;
    log_scan scan;  /* of an unsealed one */
    uint64_t limit; /* records from this LSN on are no more */
    bool has_first; /* s->first_lsn is known */
    bool unsynced;  /* what it says of itself is not on the disk yet, perhaps */
} rec_segment;

typedef struct recovery {
    logstore *l;
    rec_numbers segments, spares, aside;
    rec_segment *all;
    uint64_t vouched; /* M */
    uint64_t expect;  /* the next LSN */
    bool expects;     /* is known */
    rec_redo *redo, **redo_end;
    uint64_t redo_bytes, redo_footer;
    /* replay.c, of the segment at hand: */
    rec_segment *at;
    uint64_t end;     /* where its last record ends */
    uint64_t missing; /* records, so far */
    log_entry *last;  /* the entry of its last record, if it is one */
} recovery;

int wb_log_unreadable(const logstore *l, const log_segment *s); /* the error, in words */

/* Brings what counts into the index, and the tail into redo. */
int wb_log_replay(recovery *rec);

/* After a crash: the tail again, in a new segment. */
bool wb_log_must_cut(const recovery *rec);
int wb_log_cut(recovery *rec);

#endif
