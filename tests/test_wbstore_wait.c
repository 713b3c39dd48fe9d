/* test_wbstore_wait.c - sync, wait and wait_keys: whom they wait for, whom not, and what ends them. */
#include "wbinside.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static blob_faultstore_rule *shut_base(wbrig *r)
{
    return blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
}

/* A gate for this text alone. */
static blob_faultstore_rule *shut_base_for(wbrig *r, const char *text)
{
    blob_address a = wbrig_address(text);
    blob_key key = blob_address_key(&a);

    return blob_faultstore_hold(r->base, BLOB_FAULT_PUT, &key, BLOB_FAULT_BEFORE);
}

static blob_faultstore_rule *reject(wbrig *r, const char *text, int status, const char *reason)
{
    blob_address a = wbrig_address(text);
    blob_key key = blob_address_key(&a);

    return blob_faultstore_add(
        r->base, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .key = &key, .status = status, .text = reason});
}

static int wait_keys_of(wbrig *r, const char *const *texts, size_t count)
{
    blob_address addresses[8];
    blob_key keys[8];

    for (size_t i = 0; i < count; i++) {
        addresses[i] = wbrig_address(texts[i]);
        keys[i] = blob_address_key(&addresses[i]);
    }
    return wbstore_wait_keys(r->w, NULL, keys, count);
}

/* ---- tickets ------------------------------------------------------------------------------------------------- */

static void tickets_start_at_1_and_grow_with_every_put_duplicates_included(void **state)
{
    wbrig *r = *state;

    shut_base(r);
    wbrig_start(r);
    assert_int_equal(wbrig_put_ticket(r, "a"), 1);
    assert_int_equal(wbrig_put_ticket(r, "b"), 2);
    assert_int_equal(wbrig_put_ticket(r, "a"), 3);
    assert_int_equal(wbrig_put_ticket(r, "c"), 4);
    assert_int_equal(wbrig_stats(r).accepted, 3);
    assert_int_equal(wbrig_stats(r).deduplicated, 1);
}

static void a_put_written_through_has_a_ticket_too_and_need_not_be_waited_for(void **state)
{
    wbrig *r = *state;
    uint64_t ticket;

    r->options.when_full = WBSTORE_FULL_WRITE_THROUGH;
    r->options.buffer_blobs_max = 1;
    shut_base_for(r, "a");
    wbrig_start(r);
    assert_int_equal(wbrig_put_ticket(r, "a"), 1);
    ticket = wbrig_put_ticket(r, "b");
    assert_int_equal(ticket, 2);
    assert_int_equal(wbstore_safe_ticket(r->w), 0); /* the first is still pending */
    blob_faultstore_clear(r->base);
    test_ok(wbstore_wait(r->w, NULL, ticket));
    assert_int_equal(wbstore_safe_ticket(r->w), 2);
}

static void ticket_0_comes_before_all_and_a_ticket_not_given_is_refused(void **state)
{
    wbrig *r = *state;

    shut_base(r);
    wbrig_buffer(r, "resumed, pending, and no reason to wait");
    wbrig_start(r);
    test_ok(wbstore_wait(r->w, NULL, 0));
    test_status(wbstore_wait(r->w, NULL, 1), -EINVAL);
    wbrig_put(r, "a");
    test_ok(wbstore_wait(r->w, NULL, 0));
    blob_faultstore_wait_calls(r->buf, BLOB_FAULT_LIST, 1);
    test_ok(wbstore_wait(r->w, NULL, 0));
    test_status(wbstore_wait(r->w, NULL, 2), -EINVAL);
    test_status(wbstore_wait(r->w, NULL, UINT64_MAX), -EINVAL);
}

static void wait_waits_up_to_its_ticket_and_no_further(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *first = shut_base_for(r, "first"), *last = shut_base_for(r, "last");
    wbrig_call wait = {.call = wbrig_call_wait};
    uint64_t ticket;

    wbrig_start(r);
    wbrig_put(r, "first");
    ticket = wbrig_put_ticket(r, "middle");
    wbrig_put(r, "last");
    wait.w = r->w;
    wait.ticket = ticket;
    wbrig_begin_asleep(&wait);
    blob_faultstore_wait_held(last, 1);
    blob_faultstore_lift(first);
    assert_int_equal(wbrig_end(&wait), 0);
    assert_int_equal(blob_faultstore_held(last), 1);
    assert_int_equal(wbstore_safe_ticket(r->w), 2);
}

static void who_waits_for_more_does_not_hold_up_who_waits_for_less(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *less = shut_base_for(r, "less"), *more = shut_base_for(r, "more");
    wbrig_call wait = {.call = wbrig_call_wait, .ticket = 1};
    blob_ctx *soon;

    wbrig_start(r);
    test_ok(wbstore_sync(r->w, NULL)); /* the start is over: nothing else wakes anybody */
    wbrig_put(r, "less");
    wbrig_put(r, "more");
    wait.w = r->w;
    wbrig_begin_asleep(&wait);
    test_ok(blob_ctx_new_timeout(&soon, NULL, 2));
    test_status(wbstore_sync(r->w, soon), -ETIMEDOUT);
    blob_ctx_free(soon);
    blob_faultstore_wait_held(more, 1);
    blob_faultstore_lift(less);
    assert_int_equal(wbrig_end(&wait), 0);
    assert_int_equal(blob_faultstore_held(more), 1);
}

/* .retry_after_ms keeps the blob waiting. */
static void a_sync_that_ends_says_how_much_is_left_and_what_it_waits_for(void **state)
{
    static const int statuses[] = {-EIO,
                                   BLOB_UNAVAILABLE}; /* of a blob's own, and of a base that is down from then on */
    wbrig *r = *state;
    blob_error error;
    blob_ctx *soon;

    for (unsigned i = 0; i < 2; i++) {
        blob_faultstore_rule *broken = blob_faultstore_add(
            r->base,
            &(blob_faultstore_fault){
                .ops = BLOB_FAULT_PUT, .status = statuses[i], .text = "out of paper", .retry_after_ms = 3600000});
        blob_address a;

        wbrig_start(r);
        a = wbrig_put(r, "text");
        inside_until_state(r->w, blob_address_key(&a), WBSTORE_WAITING);
        test_ok(blob_ctx_new_timeout(&soon, NULL, 2));
        test_status(wbstore_sync(r->w, soon), -ETIMEDOUT);
        blob_last_error(&error);
        assert_int_equal(error.status, -ETIMEDOUT);
        assert_non_null(strstr(error.text, "1 blob"));
        assert_non_null(strstr(error.text, "out of paper"));
        test_status(wbstore_wait(r->w, soon, 1), -ETIMEDOUT);
        blob_ctx_free(soon);
        wbrig_stop(r);
        blob_faultstore_lift(broken);
        test_ok(blob_store_delete(r->buf_mem, NULL, blob_address_key(&a), 0));
    }
    wbrig_start(r);
}

static void the_ticket_of_a_duplicate_waits_for_the_blob_that_is_pending(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = shut_base(r);
    wbrig_call wait = {.call = wbrig_call_wait};

    wbrig_start(r);
    wbrig_put(r, "a");
    wait.ticket = wbrig_put_ticket(r, "a");
    wait.w = r->w;
    wbrig_begin_asleep(&wait);
    assert_int_equal(wbstore_safe_ticket(r->w), 0);
    blob_faultstore_lift(gate);
    assert_int_equal(wbrig_end(&wait), 0);
    assert_int_equal(test_len(r->base_mem), 1);
}

static void safe_ticket_tells_up_to_where_everything_has_arrived(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *second = shut_base_for(r, "second");

    wbrig_start(r);
    assert_int_equal(wbstore_safe_ticket(r->w), 0);
    wbrig_put(r, "first");
    wbrig_put(r, "second");
    wbrig_put(r, "third");
    blob_faultstore_wait_calls(r->buf, BLOB_FAULT_DELETE, 2);
    test_ok(wbstore_wait(r->w, NULL, 1));
    assert_int_equal(wbstore_safe_ticket(r->w), 1); /* however many behind it have arrived */
    blob_faultstore_lift(second);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(wbstore_safe_ticket(r->w), 3);
}

static void safe_ticket_is_0_while_resumed_blobs_are_pending(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *listing = blob_faultstore_hold(r->buf, BLOB_FAULT_LIST, NULL, BLOB_FAULT_BEFORE);
    blob_faultstore_rule *resumed = shut_base_for(r, "resumed");
    blob_address a;
    blob_key key;

    wbrig_buffer(r, "resumed");
    wbrig_start(r);
    a = wbrig_put(r, "new");
    key = blob_address_key(&a);
    blob_faultstore_wait_calls(r->buf, BLOB_FAULT_DELETE, 1); /* it has arrived, */
    assert_int_equal(wbstore_safe_ticket(r->w), 0);           /* but what the buffer held is not known yet, */
    blob_faultstore_lift(listing);
    test_ok(wbstore_wait_keys(r->w, NULL, &key, 1));
    assert_int_equal(wbstore_safe_ticket(r->w), 0); /* and then known to be pending */
    blob_faultstore_lift(resumed);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(wbstore_safe_ticket(r->w), 1);
}

static void a_parked_blob_holds_the_safe_ticket_back(void **state)
{
    wbrig *r = *state;

    reject(r, "second", BLOB_REJECTED, "malformed");
    wbrig_start(r);
    wbrig_put(r, "first");
    wbrig_put(r, "second");
    wbrig_put(r, "third");
    test_status(wbstore_sync(r->w, NULL), BLOB_REJECTED);
    assert_int_equal(wbstore_safe_ticket(r->w), 1);
    blob_faultstore_clear(r->base);
    test_ok(wbstore_retry_parked(r->w));
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(wbstore_safe_ticket(r->w), 3);
}

/* ---- a barrier ----------------------------------------------------------------------------------------------- */

typedef struct steady_puts {
    wbrig *r;
    blob_faultstore_rule *gate;
    atomic_bool done;
    bool gave_up;
} steady_puts;

/* Two puts for every blob that the base is allowed to take: what is pending only grows. */
static void *put_steadily(void *arg)
{
    steady_puts *s = arg;
    unsigned n = 100;

    for (unsigned round = 1; !atomic_load(&s->done) && !s->gave_up; round++) {
        unsigned char bytes[4];
        for (int i = 0; i < 2; i++, n++) {
            memcpy(bytes, &n, sizeof bytes);
            if (wbstore_cas_put(s->r->w, NULL, bytes, sizeof bytes, NULL) != 0)
                s->gave_up = true;
        }
        blob_faultstore_release(s->gate, 1);
        blob_faultstore_wait_calls(s->r->buf, BLOB_FAULT_DELETE, round);
        s->gave_up = s->gave_up || round == 20000;
    }
    if (s->gave_up)
        blob_faultstore_lift(s->gate);
    return NULL;
}

static void sync_ends_under_steady_puts(void **state)
{
    wbrig *r = *state;
    steady_puts s = {.r = r, .gate = shut_base(r)};
    wbrig_call sync = {.call = wbrig_call_sync};
    pthread_t putter;

    r->options.writers_max = 1;
    blob_faultstore_keep_history(r->buf, false);
    wbrig_start(r);
    for (unsigned n = 0; n < 20; n++)
        wbrig_put_number(r, n);
    sync.w = r->w;
    wbrig_begin_asleep(&sync);
    test_thread_start(&putter, put_steadily, &s);
    assert_int_equal(wbrig_end(&sync), 0);
    atomic_store(&s.done, true);
    test_thread_join(putter);
    assert_false(s.gave_up);
    assert_in_range(wbrig_stats(r).sent, 20, 20000);
    assert_true(wbrig_stats(r).pending_blobs >= 20); /* it was not by running dry that it ended */
    assert_true(wbstore_safe_ticket(r->w) >= 20);
}

static void sync_waits_for_what_was_put_before_it_however_it_was_put(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = shut_base(r);
    wbrig_call sync = {.call = wbrig_call_sync};

    wbrig_buffer(r, "resumed");
    wbrig_start(r);
    wbrig_put(r, "put");
    wbrig_put(r, "put");
    wbrig_put(r, "resumed");
    sync.w = r->w;
    wbrig_begin_asleep(&sync);
    blob_faultstore_lift(gate);
    assert_int_equal(wbrig_end(&sync), 0);
    assert_int_equal(test_len(r->base_mem), 2);
    assert_int_equal(test_len(r->buf_mem), 0);
}

/* ---- parked -------------------------------------------------------------------------------------------------- */

static void a_wait_for_what_is_parked_waits_for_the_rest_and_then_tells_of_the_first_parked(void **state)
{
    static const char *const texts[] = {"good", "bad", "worse", "slow"};
    wbrig *r = *state;
    blob_faultstore_rule *slow = shut_base_for(r, "slow");
    blob_address addresses[4];
    blob_key keys[4];

    reject(r, "bad", BLOB_REJECTED, "too purple");
    reject(r, "worse", BLOB_CORRUPT, "not even bytes");
    wbrig_start(r);
    for (size_t i = 0; i < 4; i++) {
        addresses[i] = wbrig_put(r, texts[i]);
        keys[i] = blob_address_key(&addresses[i]);
    }
    wbrig_call waits[3] = {
        {.call = wbrig_call_sync, .w = r->w},
        {.call = wbrig_call_wait, .w = r->w, .ticket = 4},
        {.call = wbrig_call_wait_keys, .w = r->w, .keys = keys, .count = 4},
    };
    wbrig_wait_event(r, WBSTORE_EVENT_PARKED, 2);
    blob_faultstore_wait_held(slow, 1);
    for (size_t i = 0; i < 3; i++)
        wbrig_begin(&waits[i]);
    wbrig_until_waited(r->w);
    wbrig_until_key_waited(r->w, keys[3]);
    assert_false(wbrig_in_base(r, &addresses[3]));
    blob_faultstore_lift(slow);
    for (size_t i = 0; i < 3; i++) {
        test_status(wbrig_end(&waits[i]), BLOB_REJECTED);
        assert_non_null(strstr(waits[i].error.text, "too purple"));
    }
    test_ok(wbstore_wait(r->w, NULL, 1)); /* what comes before it is not concerned */
    test_ok(wait_keys_of(r, texts, 1));
    test_status(wait_keys_of(r, texts + 2, 2), BLOB_CORRUPT);
}

typedef struct keys_wait {
    wbrig *r;
    blob_key keys[2];
    atomic_bool over;
    int status, size_status; /* of the wait, and of the first key in the base when it was over */
} keys_wait;

static void *wait_and_look(void *arg)
{
    keys_wait *k = arg;
    uint64_t size;

    k->status = wbstore_wait_keys(k->r->w, NULL, k->keys, 2);
    k->size_status = blob_store_size(k->r->base_mem, NULL, k->keys[0], &size);
    atomic_store(&k->over, true);
    return NULL;
}

static void a_parked_key_that_is_retried_during_a_wait_is_waited_for(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *slow = shut_base_for(r, "slow"), *rejects = reject(r, "bad", BLOB_REJECTED, "not now"),
                         *retried;
    keys_wait k = {.r = r};
    blob_address bad, other;
    pthread_t thread;

    wbrig_start(r);
    bad = wbrig_put(r, "bad");
    other = wbrig_put(r, "slow");
    k.keys[0] = blob_address_key(&bad);
    k.keys[1] = blob_address_key(&other);
    wbrig_wait_event(r, WBSTORE_EVENT_PARKED, 1);
    blob_faultstore_wait_held(slow, 1);
    test_thread_start(&thread, wait_and_look, &k);
    wbrig_until_key_waited(r->w, k.keys[1]); /* it is past the first, which was parked */
    retried = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, &k.keys[0], BLOB_FAULT_BEFORE);
    blob_faultstore_lift(rejects);
    test_ok(wbstore_retry_parked(r->w));
    blob_faultstore_wait_held(retried, 1);
    blob_faultstore_lift(slow);
    while (!atomic_load(&k.over) && !wbrig_key_is_waited(r->w, k.keys[0]))
        sched_yield();
    blob_faultstore_lift(retried);
    test_thread_join(thread);
    test_ok(k.status);
    test_ok(k.size_status);
}

/* ---- keys ---------------------------------------------------------------------------------------------------- */

static void wait_keys_waits_for_its_keys_only_and_not_for_a_key_that_nobody_put(void **state)
{
    static const char *const texts[] = {"nobody put it", "arrives", "arrives"};
    wbrig *r = *state;
    blob_faultstore_rule *stuck = shut_base_for(r, "stuck");

    wbrig_start(r);
    wbrig_put(r, "stuck");
    wbrig_put(r, "arrives");
    test_ok(wait_keys_of(r, texts, 3));
    test_ok(wbstore_wait_keys(r->w, NULL, NULL, 0));
    blob_faultstore_wait_held(stuck, 1);
}

static void wait_keys_ends_when_the_key_is_deleted(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = shut_base(r);
    wbrig_call wait = {.call = wbrig_call_wait_keys};
    blob_address a;
    blob_key key;

    wbrig_start(r);
    a = wbrig_put(r, "a");
    key = blob_address_key(&a);
    wait.w = r->w;
    wait.keys = &key;
    wait.count = 1;
    blob_faultstore_wait_held(gate, 1);
    wbrig_begin(&wait);
    wbrig_until_key_waited(r->w, key);
    test_ok(wbstore_delete(r->w, NULL, key));
    assert_int_equal(wbrig_end(&wait), 0);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(test_len(r->base_mem), 0);
    assert_int_equal(wbstore_safe_ticket(r->w), 1); /* deleted counts as settled */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, wbrig_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tickets_start_at_1_and_grow_with_every_put_duplicates_included),
        TEST(a_put_written_through_has_a_ticket_too_and_need_not_be_waited_for),
        TEST(ticket_0_comes_before_all_and_a_ticket_not_given_is_refused),
        TEST(wait_waits_up_to_its_ticket_and_no_further),
        TEST(who_waits_for_more_does_not_hold_up_who_waits_for_less),
        TEST(a_sync_that_ends_says_how_much_is_left_and_what_it_waits_for),
        TEST(the_ticket_of_a_duplicate_waits_for_the_blob_that_is_pending),
        TEST(safe_ticket_tells_up_to_where_everything_has_arrived),
        TEST(safe_ticket_is_0_while_resumed_blobs_are_pending),
        TEST(a_parked_blob_holds_the_safe_ticket_back),
        TEST(sync_ends_under_steady_puts),
        TEST(sync_waits_for_what_was_put_before_it_however_it_was_put),
        TEST(a_wait_for_what_is_parked_waits_for_the_rest_and_then_tells_of_the_first_parked),
        TEST(a_parked_key_that_is_retried_during_a_wait_is_waited_for),
        TEST(wait_keys_waits_for_its_keys_only_and_not_for_a_key_that_nobody_put),
        TEST(wait_keys_ends_when_the_key_is_deleted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
