/* test_wbstore_settled.c - who waits for one blob, with nothing else about that could wake him, hears how it ended. */
#include "wbinside.h"

#include <string.h>

/* Puts a blob, begins the wait, and lets the upload go on when it sleeps: the upload ends with that status. */
static int wait_ends_with(wbrig *r, wbrig_call *wait, int upload_status)
{
    blob_address a = wbrig_address("alone");
    blob_key key = blob_address_key(&a);
    blob_faultstore_rule *gate = blob_faultstore_add(r->base, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT,
                                                                                       .action = BLOB_FAULT_HOLD,
                                                                                       .when = BLOB_FAULT_BEFORE,
                                                                                       .status = upload_status});

    wbrig_start(r);
    inside_until_resumed(r->w);
    wait->ticket = wbrig_put_ticket(r, "alone");
    test_ok(blob_faultstore_wait_held(gate, 1));
    wait->w = r->w;
    if (wait->call == wbrig_call_wait_keys) {
        wait->keys = &key;
        wait->count = 1;
    }
    wbrig_begin_asleep(wait);
    blob_faultstore_lift(gate);
    return wbrig_end(wait);
}

static void a_sync_hears_that_the_only_blob_was_parked(void **state)
{
    wbrig_call sync = {.call = wbrig_call_sync};

    test_status(wait_ends_with(*state, &sync, BLOB_REJECTED), BLOB_REJECTED);
}

static void who_waits_for_a_ticket_hears_that_the_only_blob_was_parked(void **state)
{
    wbrig_call wait = {.call = wbrig_call_wait};

    test_status(wait_ends_with(*state, &wait, BLOB_REJECTED), BLOB_REJECTED);
}

static void who_waits_for_a_key_hears_that_the_only_blob_was_parked(void **state)
{
    wbrig_call wait = {.call = wbrig_call_wait_keys};

    test_status(wait_ends_with(*state, &wait, BLOB_REJECTED), BLOB_REJECTED);
}

static void each_hears_that_the_only_blob_has_arrived(void **state)
{
    static int (*const calls[])(wbrig_call * c) = {wbrig_call_sync, wbrig_call_wait, wbrig_call_wait_keys};

    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        wbrig_call wait = {.call = calls[i]};

        if (i > 0)
            inside_set_up(state);
        test_ok(wait_ends_with(*state, &wait, 0));
        if (i + 1 < sizeof calls / sizeof calls[0])
            wbrig_tear_down(state);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inside_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_sync_hears_that_the_only_blob_was_parked),
        TEST(who_waits_for_a_ticket_hears_that_the_only_blob_was_parked),
        TEST(who_waits_for_a_key_hears_that_the_only_blob_was_parked),
        TEST(each_hears_that_the_only_blob_has_arrived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
