/* doubt_test.h - what the tests of late effects begin with: a base that may do for a minute what it did not answer, and a
 * clock that the test moves. */
#ifndef DOUBT_TEST_H
#define DOUBT_TEST_H

#include "wbinside.h"

#include "wbstore/wrapper.h"

#include <errno.h>

#define DOUBT_MS 60000

static test_clock the_clock;

static inline int doubt_set_up(void **state)
{
    wbrig *r;
    int rc = inside_set_up_on(state, &the_clock);

    if (rc != 0)
        return rc;
    r = *state;
    r->options.retry_min_ms = r->options.retry_max_ms = 1;
    blob_faultstore_set_in_doubt_ms(r->base, DOUBT_MS);
    return 0;
}

static inline void late(wbrig *r, unsigned op, int status)
{
    blob_faultstore_add(r->base,
                        &(blob_faultstore_fault){.ops = op, .action = BLOB_FAULT_LATE, .status = status, .count = 1});
}

/* The blob is in the base, and a delete of it was not answered. */
static inline blob_address make_doubtful(wbrig *r)
{
    blob_address a;

    wbrig_start(r);
    a = wbrig_put(r, "text");
    test_ok(wbstore_sync(r->w, NULL));
    late(r, BLOB_FAULT_DELETE, -ETIMEDOUT);
    test_status(wbstore_delete(r->w, NULL, blob_address_key(&a)), -ETIMEDOUT);
    return a;
}

static inline bool has_no_ghost(const wbstore *w, const void *arg)
{
    (void)arg;
    return atomic_load(&w->ledger.ghosts) == 0;
}

static inline bool ghost_waits(const wbstore *w, const void *arg)
{
    (void)arg;
    return w->ledger.haunting.head == NULL && w->ledger.doubts.head != NULL && w->ledger.doubts.head->ctx == NULL;
}

static inline bool ghost_haunts(const wbstore *w, const void *arg)
{
    (void)arg;
    return w->ledger.haunting.head != NULL;
}

#endif
