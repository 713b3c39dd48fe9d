/* simlog.h - a log on a simulated disk beside a model of what it promised, for the tests of what outlives crashes and
 * faults.
 *
 * Each put of a key has bytes of its own, its version; version 0 is that the key is not there. The model has for each
 * key the set of versions that it may have: now, after a kill of the process, after a power cut. An operation under way
 * may have happened or not, so its outcome is in the sets from before it is called; a watcher of the disk may look at
 * them at any moment. Opening makes one of them the truth for good.
 *
 * Nothing asserts: a broken promise is put into words once, in `wrong`, and every function returns false from there on. */
#ifndef SIMLOG_H
#define SIMLOG_H

#include "simdisk.h"
#include "testutil.h"
#include "logstore/logstore.h"

#define SIMLOG_KEYS 6
#define SIMLOG_VERSIONS 64

typedef uint64_t simlog_set; /* a bit a version */

typedef struct simlog_key {
    simlog_set now, kill, power;
    simlog_set lazy; /* what a lazy delete may bring back */
    unsigned versions;
} simlog_key;

typedef struct simlog {
    simdisk *disk; /* the caller's */
    blob_store *store;
    blob_logstore_options options;
    unsigned sizes; /* which row of sizes the blobs have: 0 so that two or three fill a segment, 1 small ones */
    bool faults;    /* operations may fail */
    int status;     /* of the last operation */
    simlog_key keys[SIMLOG_KEYS];
    char wrong[200];
} simlog;

/* A log that was never opened. The options: segments of the least size, no cache. */
void simlog_init(simlog *s, simdisk *disk, blob_logstore_sync sync);
/* The promises of s, for a clone of its disk. */
void simlog_fork(simlog *to, const simlog *s, simdisk *disk);

blob_key simlog_key_of(unsigned key);
const void *simlog_payload(unsigned sizes, unsigned key, unsigned version, size_t *size); /* not to be freed */

typedef enum simlog_after { SIMLOG_NOW, SIMLOG_KILLED, SIMLOG_CUT } simlog_after;
/* Opens it and sees that what is there is what may be there after that. */
bool simlog_open(simlog *s, simlog_after after);
bool simlog_check(simlog *s, simlog_after after);
bool simlog_close(simlog *s);     /* with all of it lasting */
void simlog_bury(simlog *s);      /* after the disk's kill or power cut: the process that is no more */
bool simlog_undamaged(simlog *s); /* info says so */

/* One operation; it fails only where `faults` allows it. An operation that needs a log that is open opens it.
 *
 *   a, b     put under that key            r   replace a            g, h  put a large one that forces a new segment
 *   A, B     delete                        l   delete a lazily      G, L  delete g; lazily
 *   m        delete what was never there   k   the keeper's work    s     put small c; S, delete it
 *   o        close and open                x   kill and open
 *   p        put b, or h if b is there, and cut the power within its first write; open */
bool simlog_do(simlog *s, char op);
bool simlog_run(simlog *s, const char *ops);

bool simlog_wrong(simlog *s, const char *format, ...) __attribute__((format(printf, 2, 3))); /* returns false */
uint64_t simlog_hash(const simlog *s);                                                       /* of the promises */

#endif
