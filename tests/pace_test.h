/* pace_test.h - a pace whose attempts a test begins and ends by hand, for test_pace_*.c. */
#ifndef PACE_TEST_H
#define PACE_TEST_H

#include "pacesim.h"
#include "blob/ctx.h"

#include <stdlib.h>

#define MS PACESIM_MS
#define NODES 200

/* A pace with attempts that the test begins and ends by hand; the last to begin has the highest number. */
typedef struct hand {
    wb_pace pace;
    wb_pace_node nodes[NODES];
    unsigned begun;
    int64_t now_ns, until_ns;
} hand;

static inline int set_up(void **state)
{
    hand *h = calloc(1, sizeof *h);

    test_watchdog(300);
    assert_non_null(h);
    h->now_ns = 1000 * PACESIM_S;
    wb_pace_init(&h->pace, 8, 0, 0, h->now_ns);
    *state = h;
    return 0;
}

static inline int tear_down(void **state)
{
    free(*state);
    return 0;
}

static inline bool may(hand *h)
{
    return wb_pace_may_begin(&h->pace, h->now_ns, &h->until_ns);
}

static inline unsigned begin(hand *h)
{
    assert_true(h->begun < NODES);
    wb_pace_begin(&h->pace, &h->nodes[h->begun], 1000, h->now_ns);
    return h->begun++;
}

static inline unsigned begin_all(hand *h)
{
    unsigned count = 0;

    for (; may(h); count++)
        begin(h);
    return count;
}

static inline void end(hand *h, unsigned node, wb_pace_verdict verdict)
{
    wb_pace_end(&h->pace, &h->nodes[node], verdict, false, h->now_ns);
}

/* As many as the limit allows begin and end, one after the other, each after that time; not in the table. */
static inline void work(hand *h, unsigned count, int64_t each_ns)
{
    wb_pace_node nodes[8];
    unsigned next = 0, begun = 0;

    for (unsigned ended = 0; ended < count;) {
        while (begun - ended < 8 && may(h)) {
            wb_pace_begin(&h->pace, &nodes[begun % 8], 1000, h->now_ns);
            begun++;
        }
        h->now_ns += each_ns;
        if (begun > ended) {
            wb_pace_end(&h->pace, &nodes[next % 8], WB_PACE_DONE, false, h->now_ns);
            next++;
            ended++;
        }
    }
    for (; next < begun; next++)
        wb_pace_end(&h->pace, &nodes[next % 8], WB_PACE_CALLED_OFF, false, h->now_ns);
}

#endif
