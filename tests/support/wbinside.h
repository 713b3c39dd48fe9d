/* wbinside.h - looking into a wrapper: how far its threads have come, so that a test need not guess. With it, the calls
 * that the tests of deletes, room and retries make on threads of their own, on top of wbrig.h.
 *
 * What a thread of the wrapper does under the lock before it sleeps is seen here under that lock: who sees that a
 * thread waits knows that it sleeps. */
#ifndef WBINSIDE_H
#define WBINSIDE_H

#include "testclock.h"
#include "wbrig.h"

#include <stdatomic.h>

/* wbrig_set_up, with one clock for both histories. */
int inside_set_up(void **state);
/* Starts the clock: what is started from the rig goes by it, and tear_down drops its ctx. */
void inside_go_by(wbrig *r, test_clock *clock);
int inside_set_up_on(void **state, test_clock *clock); /* both */

/* Until it holds; looks again and again. fn is called with the wrapper's lock held. */
void inside_until(wbstore *w, bool (*holds)(const wbstore *w, const void *arg), const void *arg);

int inside_state(wbstore *w, blob_key key); /* a wbstore_state; 0: not pending */
void inside_until_state(wbstore *w, blob_key key, int state);
void inside_until_removers(wbstore *w, blob_key key, unsigned count); /* deletes, puts with replace: so many at least */
void inside_until_turn_waited(wbstore *w, blob_key key); /* a delete has the key's hand and waits for puts of it */
void inside_until_room_waiters(wbstore *w, unsigned count);
void inside_until_resumed(wbstore *w); /* the listing of the start is through */
bool inside_base_is_down(wbstore *w);
int64_t inside_probe_due_ms(wbstore *w); /* from now, while it is down */
uint64_t inside_turns(wbstore *w);       /* how often the base went down or came up, told of or not */

/* wbstore_pending's word on one key; false: it is not pending. */
typedef struct inside_info {
    uint64_t size;
    wbstore_state state;
    int64_t age_ms;
    unsigned attempts;
    int status;
    char text[240];
} inside_info;
bool inside_pending(wbstore *w, blob_key key, inside_info *out);

/* A blob brought into a state that it stays in, until it is worked on (SENDING, QUEUED: until it is unstaged). QUEUED
 * wants writers_max 1, and keeps that writer busy. */
typedef struct inside_staged {
    blob_address key;
    blob_faultstore_rule *rule, *blocker; /* what keeps it there; either may be NULL */
} inside_staged;
#define INSIDE_STATES 4
extern const wbstore_state inside_states[INSIDE_STATES]; /* all there are */
inside_staged inside_stage(wbrig *r, const char *text, wbstore_state state);
void inside_unstage(const inside_staged *s); /* the rules are lifted */

/* The statistics, which must balance. */
wbstore_stats inside_stats(wbrig *r);

/* Calls on threads of their own; the blob of a put is text (arg). Each starts at once; wbrig_end joins it. */
void inside_put(wbrig_call *c, wbrig *r, blob_ctx *ctx, const char *text); /* cas_put; c->ticket is its ticket */
/* The same, of which one can tell whether it sleeps: asks the system, for nothing in the wrapper shows a put that
 * waits for a removal. (A test that is misled by a short wait for a lock sees less, but never fails.) */
typedef struct inside_sleeper {
    wbrig_call call; /* for wbrig_end */
    atomic_long tid;
} inside_sleeper;
void inside_put_to_sleep(inside_sleeper *s, wbrig *r, blob_ctx *ctx, const char *text);
void inside_until_asleep(inside_sleeper *s);
void inside_delete(wbrig_call *c, wbrig *r, blob_ctx *ctx, const blob_address *a);
void inside_replace(wbrig_call *c, wbrig *r, blob_ctx *ctx, const blob_address *a, const char *text);
void inside_sync(wbrig_call *c, wbrig *r, blob_ctx *ctx);

/* A rule for calls of this address only. */
blob_faultstore_rule *inside_hold(blob_faultstore *f, unsigned op, const blob_address *a);
blob_faultstore_rule *inside_hold_stubbornly(blob_faultstore *f, unsigned op,
                                             const blob_address *a); /* whatever its ctx says */
blob_faultstore_rule *inside_fail(blob_faultstore *f, unsigned op, const blob_address *a, int status, unsigned count);
/* Fails every put of a with a wish to be asked again in an hour only: it is WAITING from then on. */
blob_faultstore_rule *inside_fail_for_long(blob_faultstore *f, unsigned op, const blob_address *a, int status);

/* How often the calls of op with this address ended with this status. */
unsigned inside_ended(blob_faultstore *f, unsigned op, const blob_address *a, int status);

#endif
