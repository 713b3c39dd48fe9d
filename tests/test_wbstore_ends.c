/* test_wbstore_ends.c - what ends a call that waits: its context, the wrapper's end, an error that no waiting mends, and
 * that it would wait for itself. Where a gate is shut nothing else can end it. */
#include "wbrig.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 30 /* of what must be prompt: a call that polls for a second would show */

/* One blob that never arrives, and the three calls that wait for it. */
typedef struct stuck {
    wbrig *r;
    blob_faultstore_rule *gate;
    blob_address address;
    blob_key key;
    wbrig_call calls[3];
} stuck;

static void stick(stuck *s, wbrig *r)
{
    *s = (stuck){.r = r};
    s->gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    wbrig_start(r);
    s->address = wbrig_put(r, "stuck");
    s->key = blob_address_key(&s->address);
    s->calls[0] = (wbrig_call){.call = wbrig_call_sync, .w = r->w};
    s->calls[1] = (wbrig_call){.call = wbrig_call_wait, .w = r->w, .ticket = 1};
    s->calls[2] = (wbrig_call){.call = wbrig_call_wait_keys, .w = r->w, .keys = &s->key, .count = 1};
    blob_faultstore_wait_held(s->gate, 1);
}

/* ---- contexts ------------------------------------------------------------------------------------------------ */

static void every_wait_ends_when_its_context_is_cancelled(void **state)
{
    stuck s;

    stick(&s, *state);
    for (size_t i = 0; i < 3 * ROUNDS; i++) {
        wbrig_call *c = &s.calls[i % 3];
        test_ok(blob_ctx_new(&c->ctx, NULL));
        wbrig_begin_asleep(c);
        blob_ctx_cancel(c->ctx);
        test_status(wbrig_end(c), -ECANCELED);
        blob_ctx_free(c->ctx);
    }
    assert_int_equal(blob_faultstore_held(s.gate), 1); /* the upload goes on */
    assert_int_equal(blob_faultstore_count(s.r->base, BLOB_FAULT_PUT).calls, 0);
}

static void every_wait_ends_at_its_deadline(void **state)
{
    stuck s;

    stick(&s, *state);
    for (size_t i = 0; i < 3 * ROUNDS; i++) {
        wbrig_call *c = &s.calls[i % 3];
        test_ok(blob_ctx_new_timeout(&c->ctx, NULL, 2));
        test_status(c->call(c), -ETIMEDOUT);
        blob_ctx_free(c->ctx);
    }
    assert_int_equal(blob_faultstore_held(s.gate), 1);
}

static void a_wait_whose_context_ended_before_does_not_begin_but_says_what_is_done(void **state)
{
    wbrig *r = *state;
    stuck s;
    blob_ctx *ended;

    stick(&s, r);
    test_ok(blob_ctx_new(&ended, NULL));
    blob_ctx_cancel(ended);
    for (size_t i = 0; i < 3; i++) {
        s.calls[i].ctx = ended;
        test_status(s.calls[i].call(&s.calls[i]), -ECANCELED);
    }
    blob_faultstore_lift(s.gate);
    test_ok(wbstore_sync(r->w, NULL));
    for (size_t i = 1; i < 3; i++) /* a sync with nothing pending asks the buffer, which it then cannot */
        test_ok(s.calls[i].call(&s.calls[i]));
    blob_ctx_free(ended);
}

/* ---- the wrapper's end --------------------------------------------------------------------------------------- */

static void every_wait_ends_when_the_wrapper_is_closed(void **state)
{
    for (size_t i = 0; i < 3; i++) {
        stuck s;

        stick(&s, *state);
        wbrig_begin_asleep(&s.calls[i]);
        test_ok(wbstore_close(s.r->w, NULL));
        test_status(wbrig_end(&s.calls[i]), BLOB_CLOSED);
        wbrig_stop(s.r);
        test_ok(blob_store_delete(s.r->buf_mem, NULL, s.key, 0));
        blob_faultstore_lift(s.gate);
    }
}

static void a_sync_that_meets_the_close_says_closed_and_nothing_else(void **state)
{
    wbrig *r = *state;
    unsigned rounds = WBRIG_SLOW ? 200 : 1000;

    for (unsigned i = 0; i < rounds; i++) {
        wbrig_call sync = {.call = wbrig_call_sync};
        wbrig_start(r);
        sync.w = r->w;
        wbrig_begin(&sync);
        test_ok(wbstore_close(r->w, NULL));
        if (wbrig_end(&sync) != 0)
            test_status(sync.status, BLOB_CLOSED);
        wbrig_stop(r);
    }
}

static int say_so_and_wait(wbrig_call *c)
{
    atomic_store((atomic_bool *)c->arg, true);
    return wbstore_wait_keys(c->w, c->ctx, c->keys, c->count);
}

/* The listing of the start is called off by the close, which is no news about the buffer. So many keys take a while to
 * check: mostly the close falls between that and the wait. */
static void a_wait_that_meets_the_close_during_the_listing_of_the_start_says_closed(void **state)
{
    enum { KEYS = 1000000 };
    wbrig *r = *state;
    blob_key *keys = malloc(KEYS * sizeof *keys);
    atomic_bool checking;
    wbrig_call wait = {.call = say_so_and_wait, .keys = keys, .count = KEYS, .arg = &checking};

    assert_non_null(keys);
    for (size_t i = 0; i < KEYS; i++)
        keys[i] = test_key("k");
    for (unsigned i = 0; i < 20; i++) {
        blob_faultstore_rule *listing = blob_faultstore_hold(r->buf, BLOB_FAULT_LIST, NULL, BLOB_FAULT_BEFORE);
        wbrig_start(r);
        blob_faultstore_wait_held(listing, 1);
        wait.w = r->w;
        atomic_store(&checking, false);
        wbrig_begin(&wait);
        while (!atomic_load(&checking))
            sched_yield();
        test_ok(wbstore_close(r->w, NULL));
        test_status(wbrig_end(&wait), BLOB_CLOSED);
        wbrig_stop(r);
        blob_faultstore_lift(listing);
    }
    free(keys);
}

static void a_sync_during_the_listing_of_the_start_ends_with_the_close(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *listing = blob_faultstore_hold(r->buf, BLOB_FAULT_LIST, NULL, BLOB_FAULT_BEFORE);
    wbrig_call sync = {.call = wbrig_call_sync};

    wbrig_start(r);
    sync.w = r->w;
    blob_faultstore_wait_held(listing, 1);
    wbrig_begin_asleep(&sync);
    test_ok(wbstore_close(r->w, NULL));
    test_status(wbrig_end(&sync), BLOB_CLOSED);
}

static void close_ends_promptly_on_cancel_and_at_its_deadline(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_add(
        r->base, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_HOLD, .ignore_ctx = true});
    wbrig_call close = {.call = wbrig_call_close};

    wbrig_start(r);
    wbrig_put(r, "nothing stops this one");
    blob_faultstore_wait_held(gate, 1);
    close.w = r->w;
    for (unsigned i = 0; i < ROUNDS; i++) {
        test_ok(blob_ctx_new(&close.ctx, NULL));
        wbrig_begin(&close);
        blob_ctx_cancel(close.ctx);
        test_status(wbrig_end(&close), -ECANCELED);
        blob_ctx_free(close.ctx);
        test_ok(blob_ctx_new_timeout(&close.ctx, NULL, 2));
        test_status(wbstore_close(r->w, close.ctx), -ETIMEDOUT);
        blob_ctx_free(close.ctx);
    }
    assert_int_equal(blob_faultstore_held(gate), 1);
    blob_faultstore_lift(gate);
    test_ok(wbstore_close(r->w, NULL));
}

static void two_threads_may_close_at_once(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_add(
        r->base, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_HOLD, .ignore_ctx = true});
    wbrig_call closes[4];

    wbrig_start(r);
    wbrig_put(r, "nothing stops this one");
    blob_faultstore_wait_held(gate, 1);
    for (size_t i = 0; i < 4; i++) {
        closes[i] = (wbrig_call){.call = wbrig_call_close, .w = r->w};
        wbrig_begin(&closes[i]);
    }
    test_status(wbstore_sync(r->w, NULL), BLOB_CLOSED); /* one of them has come that far */
    blob_faultstore_lift(gate);
    for (size_t i = 0; i < 4; i++)
        test_ok(wbrig_end(&closes[i]));
}

/* A thread that is started now may well have the name of one that the wrapper had. */
static void close_returns_0_again_on_any_thread(void **state)
{
    wbrig *r = *state;
    wbrig_call closes[8];

    wbrig_start(r);
    wbrig_put(r, "x");
    test_ok(wbstore_sync(r->w, NULL));
    test_ok(wbstore_close(r->w, NULL));
    for (size_t i = 0; i < 8; i++) {
        closes[i] = (wbrig_call){.call = wbrig_call_close, .w = r->w};
        wbrig_begin(&closes[i]);
    }
    for (size_t i = 0; i < 8; i++)
        test_ok(wbrig_end(&closes[i]));
}

/* ---- what no waiting mends ----------------------------------------------------------------------------------- */

static void a_sync_that_ends_while_the_base_denies_everything_says_so(void **state)
{
    wbrig *r = *state;
    wbrig_call calls[3] = {
        {.call = wbrig_call_sync}, {.call = wbrig_call_wait, .ticket = 1}, {.call = wbrig_call_sync}};
    blob_error error;

    blob_faultstore_add(r->base, &(blob_faultstore_fault){
                                     .ops = BLOB_FAULT_PUT, .status = BLOB_DENIED, .text = "the token has expired"});
    wbrig_start(r);
    wbrig_put(r, "x");
    test_status(wbrig_wait_event(r, WBSTORE_EVENT_BASE_DOWN, 1).status, BLOB_DENIED);
    for (size_t i = 0; i < 3; i++) {
        calls[i].w = r->w;
        if (i < 2)
            test_ok(blob_ctx_new_timeout(&calls[i].ctx, NULL, 5));
        else
            test_ok(blob_ctx_new(&calls[i].ctx, NULL));
        if (i == 2)
            blob_ctx_cancel(calls[i].ctx);
        test_status(calls[i].call(&calls[i]), BLOB_DENIED);
        blob_last_error(&error);
        assert_string_equal(error.text, "the token has expired");
        blob_ctx_free(calls[i].ctx);
    }
    blob_faultstore_clear(r->base); /* a new token: nothing is lost */
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(test_len(r->base_mem), 1);
}

static void a_sync_that_ends_during_an_outage_of_another_kind_tells_how_it_ended(void **state)
{
    wbrig *r = *state;
    blob_ctx *soon;

    blob_faultstore_fail(r->base, BLOB_FAULT_PUT, BLOB_UNAVAILABLE, 0);
    wbrig_start(r);
    wbrig_put(r, "x");
    wbrig_wait_event(r, WBSTORE_EVENT_BASE_DOWN, 1);
    test_ok(blob_ctx_new_timeout(&soon, NULL, 5));
    test_status(wbstore_sync(r->w, soon), -ETIMEDOUT);
    blob_ctx_free(soon);
}

static void a_wrapper_that_closes_while_the_base_denies_everything_is_closed(void **state)
{
    wbrig *r = *state;
    wbrig_call sync = {.call = wbrig_call_sync};

    blob_faultstore_fail(r->base, BLOB_FAULT_PUT, BLOB_DENIED, 0);
    wbrig_start(r);
    wbrig_put(r, "x");
    wbrig_wait_event(r, WBSTORE_EVENT_BASE_DOWN, 1);
    sync.w = r->w;
    wbrig_begin_asleep(&sync);
    test_ok(wbstore_close(r->w, NULL));
    test_status(wbrig_end(&sync), BLOB_CLOSED);
}

static void a_sync_says_why_the_buffer_cannot_be_listed_and_recovers_with_it(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *unreadable = blob_faultstore_add(
        r->buf, &(blob_faultstore_fault){.ops = BLOB_FAULT_LIST, .status = -EIO, .text = "bad sector"});
    blob_address a = wbrig_address("resumed");
    blob_key key = blob_address_key(&a);
    blob_error error;
    int rc;

    wbrig_buffer(r, "resumed");
    wbrig_start(r);
    blob_faultstore_wait_hits(unreadable, 3); /* it is tried again by itself */
    test_status(wbstore_sync(r->w, NULL), -EIO);
    blob_last_error(&error);
    assert_non_null(strstr(error.text, "bad sector"));
    test_status(wbstore_wait_keys(r->w, NULL, &key, 1), -EIO);
    assert_int_equal(wbstore_safe_ticket(r->w), 0);
    blob_faultstore_lift(unreadable);
    while ((rc = wbstore_sync(r->w, NULL)) == -EIO) /* what the last try has said stands until the next one */
        sched_yield();
    test_ok(rc);
    assert_true(wbrig_in_base(r, &a));
}

static void a_sync_names_the_buffers_trouble_and_not_the_bases(void **state)
{
    wbrig *r = *state;
    blob_error error;

    r->options.retry_min_ms = r->options.retry_max_ms = 3600 * 1000;
    blob_faultstore_add(r->buf, &(blob_faultstore_fault){.ops = BLOB_FAULT_LIST, .status = -EIO, .text = "bad sector"});
    blob_faultstore_add(r->base, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .status = -EPIPE, .text = "line cut"});
    wbrig_start(r);
    test_status(wbstore_sync(r->w, NULL), -EIO);
    wbrig_put(r, "x");
    while (strcmp(wbrig_stats(r).last_text, "line cut") != 0)
        sched_yield();
    test_status(wbstore_sync(r->w, NULL), -EIO);
    blob_last_error(&error);
    assert_non_null(strstr(error.text, "bad sector"));
}

static void a_listing_that_breaks_off_in_the_middle_is_no_complete_one(void **state)
{
    wbrig *r = *state;
    int rc;

    for (unsigned n = 0; n < 20; n++) {
        char text[] = {'r', (char)('a' + n), '\0'};
        wbrig_buffer(r, text);
    }
    blob_faultstore_add(
        r->buf, &(blob_faultstore_fault){
                    .ops = BLOB_FAULT_LIST, .when = BLOB_FAULT_DURING, .after_keys = 7, .status = -EIO, .count = 3});
    wbrig_start(r);
    while ((rc = wbstore_sync(r->w, NULL)) == -EIO)
        sched_yield();
    test_ok(rc);
    assert_int_equal(test_len(r->base_mem), 20);
    assert_int_equal(test_len(r->buf_mem), 0);
    assert_int_equal(wbrig_stats(r).resumed, 20); /* each once */
}

static void a_sync_that_finds_nothing_pending_says_why_the_buffer_cannot_be_asked(void **state)
{
    wbrig *r = *state;

    wbrig_start(r);
    test_ok(wbstore_sync(r->w, NULL));
    blob_faultstore_fail(r->buf, BLOB_FAULT_LEN, -EIO, 1);
    test_status(wbstore_sync(r->w, NULL), -EIO);
    wbrig_buffer(r, "a stranger's");
    blob_faultstore_fail(r->buf, BLOB_FAULT_LIST, -EIO, 1);
    test_status(wbstore_sync(r->w, NULL), -EIO);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(test_len(r->base_mem), 1);
}

/* ---- the event callback -------------------------------------------------------------------------------------- */

static atomic_int told_statuses[5];

static void wait_in_the_event(wbrig *r, const wbstore_event *event)
{
    blob_key key = test_key("k");

    if (event->kind != WBSTORE_EVENT_DRAINED)
        return;
    atomic_store(&told_statuses[0], wbstore_close(r->w, NULL));
    atomic_store(&told_statuses[1], wbstore_sync(r->w, NULL));
    atomic_store(&told_statuses[2], wbstore_wait(r->w, NULL, 1));
    atomic_store(&told_statuses[3], wbstore_wait_keys(r->w, NULL, &key, 1));
    atomic_store(&told_statuses[4], blob_store_close(wbstore_as_store(r->w), NULL));
}

static void what_would_wait_for_the_event_callback_refuses_in_it(void **state)
{
    wbrig *r = *state;

    r->in_event = wait_in_the_event;
    wbrig_start(r);
    wbrig_put(r, "x");
    wbrig_wait_event(r, WBSTORE_EVENT_DRAINED, 1);
    for (size_t i = 0; i < 5; i++)
        test_status(atomic_load(&told_statuses[i]), -EDEADLK);
    wbrig_put(r, "y"); /* and it is not closed */
    test_ok(wbstore_sync(r->w, NULL));
}

static void work_in_the_event(wbrig *r, const wbstore_event *event)
{
    static const blob_key key = {"k", 1};
    uint64_t number;
    blob *b;

    if (event->kind != WBSTORE_EVENT_DRAINED || wbrig_event_count(r, WBSTORE_EVENT_DRAINED) > 0)
        return;
    atomic_store(&told_statuses[0], wbstore_cas_put(r->w, NULL, "from the event", 14, NULL));
    atomic_store(&told_statuses[1], wbstore_get(r->w, NULL, key, &b));
    atomic_store(&told_statuses[2], wbstore_size(r->w, NULL, key, &number));
    atomic_store(&told_statuses[3], wbstore_delete(r->w, NULL, key));
    atomic_store(&told_statuses[4], wbstore_rescan(r->w, NULL));
}

static void everything_else_works_in_the_event_callback(void **state)
{
    static const int expected[] = {0, BLOB_NOT_FOUND, BLOB_NOT_FOUND, BLOB_NOT_FOUND, 0};
    wbrig *r = *state;
    blob_address a = wbrig_address("from the event");

    r->in_event = work_in_the_event;
    wbrig_start(r);
    wbrig_put(r, "x");
    wbrig_wait_event(r, WBSTORE_EVENT_DRAINED, 2); /* again, for the put from the first */
    for (size_t i = 0; i < 5; i++)
        test_status(atomic_load(&told_statuses[i]), expected[i]);
    assert_true(wbrig_in_base(r, &a));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, wbrig_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_wait_ends_when_its_context_is_cancelled),
        TEST(every_wait_ends_at_its_deadline),
        TEST(a_wait_whose_context_ended_before_does_not_begin_but_says_what_is_done),
        TEST(every_wait_ends_when_the_wrapper_is_closed),
        TEST(a_sync_that_meets_the_close_says_closed_and_nothing_else),
        TEST(a_wait_that_meets_the_close_during_the_listing_of_the_start_says_closed),
        TEST(a_sync_during_the_listing_of_the_start_ends_with_the_close),
        TEST(close_ends_promptly_on_cancel_and_at_its_deadline),
        TEST(two_threads_may_close_at_once),
        TEST(close_returns_0_again_on_any_thread),
        TEST(a_sync_that_ends_while_the_base_denies_everything_says_so),
        TEST(a_sync_that_ends_during_an_outage_of_another_kind_tells_how_it_ended),
        TEST(a_wrapper_that_closes_while_the_base_denies_everything_is_closed),
        TEST(a_sync_says_why_the_buffer_cannot_be_listed_and_recovers_with_it),
        TEST(a_sync_names_the_buffers_trouble_and_not_the_bases),
        TEST(a_listing_that_breaks_off_in_the_middle_is_no_complete_one),
        TEST(a_sync_that_finds_nothing_pending_says_why_the_buffer_cannot_be_asked),
        TEST(what_would_wait_for_the_event_callback_refuses_in_it),
        TEST(everything_else_works_in_the_event_callback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
