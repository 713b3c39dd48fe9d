/* flawstore_int.h - what the parts of the flawed store share: flawstore.c (the store), flawstore_keys.c (which keys are
 * which), flawstore_list.c (listings) and flawstore_cas.c (content addresses). */
#ifndef FLAWSTORE_INT_H
#define FLAWSTORE_INT_H

#include "flawstore.h"

#include <pthread.h>
#include <stdbool.h>

typedef struct fw_key {
    size_t size;
    unsigned char bytes[BLOB_KEY_MAX];
} fw_key;

typedef struct fw_entry {
    fw_key key;
    blob *blob;
    unsigned char *bytes; /* the blob's, writable for the flaws that write where they must not */
} fw_entry;

/* All but the constant flaw is guarded by lock. */
typedef struct flawstore {
    blob_store store;
    blob_store_ops ops; /* the flaw may be there */
    flaw flaw;
    pthread_mutex_t lock;
    fw_entry *entries; /* sorted */
    size_t count, room;
    uint64_t puts;             /* FLAW_LEN_COUNTS_PUTS, FLAW_CAS_KEY_VARIES */
    uint64_t counter;          /* FLAW_RACE_LEN */
    uint64_t cursor;           /* FLAW_LIST_ONE_CURSOR */
    unsigned listings;         /* under way */
    bool lazy;                 /* FLAW_LAZY_OUTLIVES: this key was deleted so */
    fw_key lazy_key;           /* FLAW_DELETE_REMEMBERS: or otherwise */
    fw_key cas_key;            /* FLAW_CAS_PUT_REMEMBERS */
    pthread_mutex_t list_lock; /* held by a listing, see fw_enter; taken before lock */
} flawstore;

static inline flawstore *fw_of(blob_store *s)
{
    return (flawstore *)s;
}

static inline blob_key fw_view(const fw_key *key)
{
    return blob_key_of(key->bytes, key->size);
}

/* An operation that waits until no listing is under way, if it has this flaw; FLAW_LIST_HOLDS_ALL: each of them does. */
static inline void fw_enter(flawstore *f, flaw waits)
{
    if (f->flaw == waits || f->flaw == FLAW_LIST_HOLDS_ALL)
        pthread_mutex_lock(&f->list_lock);
}

static inline void fw_leave(flawstore *f, flaw waits)
{
    if (f->flaw == waits || f->flaw == FLAW_LIST_HOLDS_ALL)
        pthread_mutex_unlock(&f->list_lock);
}

fw_key fw_key_of(const flawstore *f, blob_key key);
int fw_compare(const flawstore *f, const fw_key *a, const fw_key *b);
size_t fw_find_locked(const flawstore *f, const fw_key *key, bool *found); /* where key is, or would be */
bool fw_begins(const fw_key *key, const fw_key *prefix);
bool fw_name_fits(const fw_key *key); /* escaped, as the name of a file */

int fw_size(blob_store *s, blob_ctx *ctx, blob_key key, uint64_t *out);
int fw_put(blob_store *s, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags);
int fw_list(blob_store *s, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg);
int fw_cas_key(blob_store *s, blob_ctx *ctx, blob_view data, blob_address *out);
int fw_cas_put(blob_store *s, blob_ctx *ctx, blob_view data, blob_address *out);

#endif
