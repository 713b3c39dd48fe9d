/* testclock.h - a clock that the test moves: backoff, time limits, ages and control that run on it take no time.
 *
 * What runs on it: contexts made below clock.ctx, and a wrapper that such a context governs. It stands still until it is
 * moved; then all who wait by it look at it again. A test waits for what they do, and moves it on. */
#ifndef TESTCLOCK_H
#define TESTCLOCK_H

#include "blob/ctx.h"

#include <stdatomic.h>
#include <stdint.h>

typedef struct test_clock {
    wb_clock clock;
    _Atomic int64_t now_ns;
    blob_ctx *ctx; /* the root of its family */
} test_clock;

void test_clock_start(test_clock *c); /* at some time that is not 0 */
void test_clock_stop(test_clock *c);  /* drops ctx; nothing may run on it any more */
void test_clock_move_ns(test_clock *c, int64_t ns);
void test_clock_move_to(test_clock *c, int64_t now_ns); /* not back: a time that has passed is fine and does nothing */
static inline void test_clock_move(test_clock *c, int64_t ms)
{
    test_clock_move_ns(c, ms * 1000000);
}

#endif
