/* testclock.c - a clock that the test moves. */
#include "testclock.h"

#include "testutil.h"

static int64_t clock_now_ns(wb_clock *clock)
{
    return atomic_load(&((test_clock *)(void *)clock)->now_ns);
}

void test_clock_start(test_clock *c)
{
    c->clock.now_ns = clock_now_ns;
    atomic_init(&c->now_ns, INT64_C(1000000000000));
    test_ok(wb_ctx_new_on(&c->ctx, &c->clock));
}

void test_clock_stop(test_clock *c)
{
    blob_ctx_free(c->ctx);
    c->ctx = NULL;
}

void test_clock_move_ns(test_clock *c, int64_t ns)
{
    atomic_fetch_add(&c->now_ns, ns);
    wb_ctx_clock_moved(c->ctx);
}

void test_clock_move_to(test_clock *c, int64_t now_ns)
{
    int64_t from_ns = atomic_load(&c->now_ns);

    if (now_ns > from_ns)
        test_clock_move_ns(c, now_ns - from_ns);
}
