/* flawstore.h - a small, plain store in memory, with a flaw on demand: what the tests of the test tools stand on.
 * Without a flaw it keeps every promise of blob_store.h, so simply that reading it settles doubts: one lock, one sorted
 * array, listings from a snapshot. With a flaw it breaks one promise, to see that the conformance suite notices. */
#ifndef FLAWSTORE_H
#define FLAWSTORE_H

#include <wbstore/blob_store.h>

#define FLAW_BORROWED 77 /* only bytes of this size are borrowed, for other buffers may be gone when they are read */

typedef enum flaw {
    FLAW_NONE = 0,
    FLAW_GET_MISSING_EMPTY, /* get of a missing key: an empty blob */
    FLAW_MISSING_HOLLOW,    /* get of a missing key: success, and no blob */
    FLAW_GET_HOLLOW,        /* get of a key that is there: likewise */
    FLAW_SIZE_MISSING_ZERO, /* size of a missing key: 0, with success */
    FLAW_DELETE_MISSING_OK, /* delete of a missing key: success */
    FLAW_DELETE_KEEPS,      /* delete does nothing */
    FLAW_DELETE_REMEMBERS,  /* a key that was deleted once is not to be put again */
    FLAW_LAZY_KEEPS,        /* a lazy delete does nothing */
    FLAW_LAZY_OUTLIVES,     /* a durable delete after a lazy one finds the key again */
    FLAW_PUT_BORROWS,       /* the bytes stay the caller's */
    FLAW_PUT_SAYS_STORED,   /* an existing key: success, the old bytes stay */
    FLAW_PUT_OVERWRITES,    /* an existing key: BLOB_EXISTS, but the new bytes are there */
    FLAW_REPLACE_IGNORED,   /* replace: success, the old bytes stay */
    FLAW_REPLACE_REFUSED,   /* replace: BLOB_EXISTS */
    FLAW_REPLACE_NEEDS_OLD, /* replace of a missing key: BLOB_NOT_FOUND */
    FLAW_REPLACE_IN_PLACE,  /* replace writes into bytes that were handed out */
    FLAW_DELETE_SCRIBBLES,  /* delete writes into bytes that were handed out */
    FLAW_EMPTY_KEY,         /* the empty key is refused */
    FLAW_KEY_ENDS_AT_ZERO,  /* keys are taken for strings */
    FLAW_KEY_CASE,          /* keys are folded to lower case */
    FLAW_KEY_CUT,           /* keys differ in their first 200 bytes or not at all */
    FLAW_KEY_ESCAPED,       /* keys become names in which most bytes take three, and names have a longest */
    FLAW_KEY_PREFIX,        /* get takes the beginning of a key for the key */
    FLAW_EMPTY_BLOB,        /* a blob of no bytes is not found */
    FLAW_SIZE_16_BIT,       /* of a large blob the first 64 KiB are kept */
    FLAW_LEN_COUNTS_PUTS,   /* len: a replaced key counts again */
    FLAW_SIZE_WRONG,        /* size: one too much */
    FLAW_LIST_EMPTY,        /* a listing from some key on, of an empty store: BLOB_NOT_FOUND */
    FLAW_LIST_ONE_PAGE,     /* 60 keys, then no more */
    FLAW_LIST_ORDER,        /* the last two keys in the wrong order */
    FLAW_LIST_SIGNED,       /* bytes from 0x80 before those below */
    FLAW_LIST_AFTER_START,  /* the start itself is left out */
    FLAW_LIST_BEFORE_START, /* the key before the start comes too */
    FLAW_LIST_WHOLE,        /* the start is ignored */
    FLAW_LIST_PREFIX,       /* only keys that begin with the start */
    FLAW_LIST_TWICE,        /* the first key twice */
    FLAW_LIST_SKIPS_LAST,   /* the last key never */
    FLAW_LIST_ENDLESS,      /* begins again when it is through */
    FLAW_LIST_LAST_AGAIN,   /* the key that is the last now, again and again, whatever becomes of its ctx */
    FLAW_LIST_SIZE,         /* sizes one too small */
    FLAW_LIST_GOES_ON,      /* BLOB_LIST_STOP does not stop it */
    FLAW_LIST_STOP_FAILS,   /* BLOB_LIST_STOP ends it with -ECANCELED */
    FLAW_LIST_SWALLOWS,     /* the callback's status ends it with 0 */
    FLAW_LIST_LOCKS_GET,    /* -EBUSY for get inside of a listing */
    FLAW_LIST_LOCKS_SIZE,   /* likewise size */
    FLAW_LIST_LOCKS_LEN,    /* likewise len */
    FLAW_LIST_ONE_CURSOR,   /* a listing inside of a listing ends both */
    FLAW_LIST_LOCKS_PUT,    /* puts wait until the listing is through */
    FLAW_LIST_HOLDS_GET,    /* likewise get, also that of the thread that lists: it waits for ever */
    FLAW_LIST_HOLDS_SIZE,   /* likewise size */
    FLAW_LIST_HOLDS_LEN,    /* likewise len */
    FLAW_LIST_HOLDS_LIST,   /* likewise another listing */
    FLAW_LIST_HOLDS_ALL,    /* likewise everything: one mutex, held while the callback runs */
    FLAW_CTX_ENDED,         /* a context is taken for one that has ended */
    FLAW_CTX_CUTS_LIST,     /* a context that ends ends a listing with 0 */
    FLAW_NO_NAME,           /* the table has no name */
    FLAW_NO_LEN,            /* nor len */
    FLAW_IN_DOUBT,          /* in_doubt_ms is below 0 */
    FLAW_CAS_KEY_VARIES,    /* cas_key: another address every time */
    FLAW_CAS_KEY_CONSTANT,  /* cas_key: the same address for all bytes */
    FLAW_CAS_PUT_ELSEWHERE, /* cas_put: an address that is not cas_key's */
    FLAW_CAS_PUT_EXISTS,    /* cas_put: BLOB_EXISTS for what is there */
    FLAW_CAS_PUT_DROPS,     /* cas_put: success, nothing stored */
    FLAW_CAS_PUT_REMEMBERS, /* cas_put: success without a look, for the bytes that were put last */
    FLAW_RACE_PUT,          /* puts at once: both find the key missing, both succeed */
    FLAW_RACE_CAS,          /* cas_put looks first and puts then: BLOB_EXISTS if another was quicker */
    FLAW_RACE_STALE,        /* delete removes what is now where its key was */
    FLAW_RACE_DELETE,       /* deletes at once: both succeed */
    FLAW_RACE_TORN,         /* replace in two steps, a get in between sees half of each */
    FLAW_RACE_GAP,          /* replace in two steps, a get in between finds nothing */
    FLAW_RACE_LIST,         /* a listing goes by position: a put or delete beside it makes it repeat or skip */
    FLAW_RACE_LEN           /* len is kept in a counter that is read and written in two steps */
} flaw;

/* The cas_ operations hash with 64 bits of FNV-1a. */
int flawstore_new(blob_store **out, flaw which);

#endif
