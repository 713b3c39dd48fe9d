/* wbrig.h - a wrapper between two fault stores, ready to be driven: what the tests of the wrapper begin with.
 *
 *     wbstore --- base: faultstore - hashcas (SHA-256) - memstore
 *            \--- buf:  faultstore - memstore
 *
 * set_up makes the stores and the context, not the wrapper: a test fills the buffer, adds faults or sets options
 * first, then calls wbrig_start. tear_down opens every gate, so a test that fails in the middle hangs nothing. The
 * functions that assert belong on the main thread of a test. */
#ifndef WBRIG_H
#define WBRIG_H

#include "testfault.h"
#include "testutil.h"

#include <wbstore/wbstore.h>

#define WBRIG_EVENTS 64

typedef struct wbrig_event {
    wbstore_event_kind kind;
    int status;
    size_t key_size;
    unsigned char key[BLOB_KEY_MAX];
    char text[240];
} wbrig_event;

typedef struct wbrig {
    blob_store *base_mem, *base_cas, *buf_mem; /* behind the faults */
    blob_faultstore *base, *buf;
    blob_ctx *ctx;           /* governs the wrapper */
    wbstore_options options; /* short backoff, no attempt ends by itself, events logged */
    wbstore *w;              /* NULL before wbrig_start and after wbrig_stop */

    pthread_mutex_t lock;
    pthread_cond_t told;
    wbrig_event events[WBRIG_EVENTS];                              /* lock */
    size_t events_count;                                           /* lock; those past the room are counted, not kept */
    void (*in_event)(struct wbrig *r, const wbstore_event *event); /* called first, from the event callback */
} wbrig;

/* For cmocka: *state is a wbrig. */
int wbrig_set_up(void **state);
int wbrig_tear_down(void **state);

void wbrig_start(wbrig *r); /* wbstore_new, which must go well */
void wbrig_stop(wbrig *r);  /* wbstore_free, with the gates as they are */

blob_address wbrig_address(const char *text);          /* SHA-256 of it, as the base has it */
blob_address wbrig_put(wbrig *r, const char *text);    /* cas_put, which must go well */
uint64_t wbrig_put_ticket(wbrig *r, const char *text); /* likewise */
blob_address wbrig_put_number(wbrig *r, unsigned n);   /* likewise of a text that no other number has */
void wbrig_buffer(wbrig *r, const char *text);         /* leaves it in the buffer, behind the wrapper's back */
bool wbrig_in_base(wbrig *r, const blob_address *a);   /* asked behind the faults, as the next one */
bool wbrig_in_buffer(wbrig *r, const blob_address *a);
wbstore_stats wbrig_stats(wbrig *r);

size_t wbrig_event_count(wbrig *r, wbstore_event_kind kind);
wbrig_event wbrig_wait_event(wbrig *r, wbstore_event_kind kind, size_t count); /* the count-th of its kind */

/* A call on a thread of its own. `call` runs it and returns its status; the fields below are its arguments. */
typedef struct wbrig_call {
    int (*call)(struct wbrig_call *c);
    wbstore *w;
    blob_ctx *ctx;
    uint64_t ticket;
    const blob_key *keys;
    size_t count;
    blob_key key;
    void *arg;
    int status;
    blob_error error; /* of that thread afterwards */
    pthread_t thread;
} wbrig_call;
int wbrig_call_sync(wbrig_call *c);
int wbrig_call_wait(wbrig_call *c);      /* ticket */
int wbrig_call_wait_keys(wbrig_call *c); /* keys, count */
int wbrig_call_close(wbrig_call *c);
int wbrig_call_get(wbrig_call *c);  /* key; the blob is dropped */
int wbrig_call_size(wbrig_call *c); /* likewise */
void wbrig_begin(wbrig_call *c);
int wbrig_end(wbrig_call *c); /* joins it and returns its status */

/* White box: these look into the wrapper. A wait leaves its mark there under the lock and lets go of the lock only by going
 * to sleep; the mark stays when its context ends, so begin_asleep, which needs to be alone, wipes it first. */
void wbrig_begin_asleep(wbrig_call *c); /* sync, wait, wait_keys: returns when it sleeps. Nobody else may wait */
void wbrig_until_waited(wbstore *w);    /* until somebody has slept in sync or wait */
bool wbrig_key_is_waited(wbstore *w, blob_key key); /* likewise in wait_keys */
void wbrig_until_key_waited(wbstore *w, blob_key key);

/* Every operation says BLOB_CLOSED, and what still answers does. */
void wbrig_expect_closed(wbstore *w);

/* Fewer rounds where each is slow. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define WBRIG_SLOW 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define WBRIG_SLOW 1
#endif
#endif
#ifndef WBRIG_SLOW
#define WBRIG_SLOW 0
#endif

#endif
