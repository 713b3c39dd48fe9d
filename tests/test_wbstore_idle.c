/* test_wbstore_idle.c - nobody is busy with nothing, and nothing that can be done is left undone: when the buffer fails
 * during an outage of the base. */
#include "wbinside.h"

#include "wbstore/wrapper.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

/* Until every writer rests; false once the rule has acted more often than a wrapper in its right mind would. */
static bool rest_comes(wbrig *r, faultstore_rule *rule, uint64_t most)
{
    bool rest = false;

    while (!rest && faultstore_hits(rule) <= most) {
        pthread_mutex_lock(&r->w->lock);
        rest = r->w->writers == r->w->idle && faultstore_hits(rule) > 0;
        pthread_mutex_unlock(&r->w->lock);
        sched_yield();
    }
    return rest && faultstore_hits(rule) <= most;
}

/* The base is tried now and then, each time with another blob; here none of them gets that far. */
static void a_buffer_that_fails_during_an_outage_is_not_asked_in_a_hot_loop(void **state)
{
    wbrig *r = *state;
    faultstore_rule *read;

    r->options.writers_max = 1; /* so that nothing is under way from before the outage */
    faultstore_fail(r->base, FAULT_PUT, BLOB_UNAVAILABLE, 0);
    wbrig_start(r);
    for (unsigned i = 0; i < 5; i++)
        wbrig_put_number(r, i);
    wbrig_wait_event(r, WBSTORE_EVENT_BASE_DOWN, 1);
    read = faultstore_add(r->buf, &(faultstore_fault){.ops = FAULT_GET, .status = -EIO, .retry_after_ms = 3600 * 1000});
    assert_true(rest_comes(r, read, 1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inside_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_buffer_that_fails_during_an_outage_is_not_asked_in_a_hot_loop),
    };

    return cmocka_run_group_tests_name("neither busy nor stuck", tests, NULL, NULL);
}
