/* test_wbstore_scarce.c - when a thread cannot be had, for a while or at the worst moment: nothing that was accepted is
 * lost, nothing hangs, and all goes on when there are threads again. test_oom_wbstore.c has all else that can be lacking,
 * and every moment. */
#include "scarce.h"
#include "wbinside.h"

#include "wbstore/wrapper.h"

#include <errno.h>
#include <sched.h>

static test_clock the_clock;

static int set_up(void **state)
{
    scarce_reset();
    scarce_enter(); /* all that these tests do */
    return inside_set_up(state);
}

static int tear_down(void **state)
{
    int rc;

    scarce_end();
    rc = wbrig_tear_down(state);
    scarce_leave();
    return rc;
}

static void refuse_threads(long count)
{
    scarce_begin(&(scarce_plan){.kinds = SCARCE_THREADS, .whose = SCARCE_ALL, .count = count});
}

static blob_ctx *ten_seconds(void)
{
    blob_ctx *ctx;

    test_ok(blob_ctx_new_timeout(&ctx, NULL, 10000));
    return ctx;
}

static bool somebody_keeps_the_time(const wbstore *w, const void *arg)
{
    (void)arg;
    return w->timekeeper != NULL;
}

/* The writer that would have woken for the first blob is busy with the second, and its successor could not be had. */
static void a_blob_is_tried_again_in_time_also_when_no_thread_could_be_had_to_wait_for_that(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("first"), b = wbrig_address("second");
    blob_key key = blob_address_key(&a);
    blob_ctx *ctx = ten_seconds();
    blob_faultstore_rule *hung = inside_hold(r->base, BLOB_FAULT_PUT, &b);

    blob_faultstore_add(
        r->base,
        &(blob_faultstore_fault){
            .ops = BLOB_FAULT_PUT, .key = &key, .status = BLOB_UNAVAILABLE, .retry_after_ms = 300, .count = 1});
    wbrig_start(r);
    wbrig_put(r, "first");
    inside_until_state(r->w, key, WBSTORE_WAITING);
    inside_until(r->w, somebody_keeps_the_time, NULL);
    refuse_threads(1);
    wbrig_put(r, "second");
    blob_faultstore_wait_held(hung, 1);
    test_ok(wbstore_wait_keys(r->w, ctx, &key, 1));
    blob_ctx_free(ctx);
}

static void without_threads_puts_are_accepted_and_sent_once_there_are_some(void **state)
{
    wbrig *r = *state;
    blob_ctx *ctx = ten_seconds();

    wbrig_start(r);
    inside_until_resumed(r->w);
    refuse_threads(20);
    for (unsigned i = 0; i < 10; i++)
        wbrig_put_number(r, i);
    test_ok(wbstore_sync(r->w, ctx));
    assert_int_equal(scarce_end(), 20);
    assert_int_equal(inside_stats(r).sent, 10);
    blob_ctx_free(ctx);
}

static void a_thread_that_cannot_be_had_is_not_the_callers_error(void **state)
{
    wbrig *r = *state;
    blob_error error;

    r->options.buffer_blobs_max = 1;
    r->options.when_full = WBSTORE_FULL_FAIL;
    wbrig_start(r);
    inside_until_resumed(r->w);
    refuse_threads(SCARCE_FOR_GOOD);
    blob_fail(-EXDEV, 0, "an older reason");
    wbrig_put_number(r, 0);
    blob_last_error(&error);
    assert_int_equal(error.status, -EXDEV);
    test_status(wbstore_cas_put(r->w, NULL, "one too many", 12, NULL), BLOB_FULL);
    blob_last_error(&error);
    assert_int_equal(error.status, BLOB_FULL);
    assert_true(scarce_end() >= 2);
    test_ok(wbstore_sync(r->w, NULL));
}

static void without_a_thread_for_them_events_are_told_once_there_is_one(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);

    wbrig_start(r);
    inside_until_resumed(r->w);
    wbrig_put(r, "text");
    blob_faultstore_wait_held(gate, 1); /* the writer is there: the only thread to come is that for events */
    refuse_threads(3);
    blob_faultstore_lift(gate);
    wbrig_wait_event(r, WBSTORE_EVENT_DRAINED, 1);
    assert_int_equal(scarce_end(), 3);
    assert_int_equal(inside_stats(r).last_status, -EAGAIN);
}

static void without_a_thread_for_it_the_buffer_is_listed_once_there_is_one(void **state)
{
    wbrig *r = *state;
    blob_ctx *ctx = ten_seconds();
    blob_address a = wbrig_address("text");

    wbrig_buffer(r, "text");
    scarce_begin(&(scarce_plan){.kinds = SCARCE_THREADS, .whose = SCARCE_ALL, .nth = 1, .count = 3});
    wbrig_start(r); /* the first thread is the housekeeper */
    test_ok(wbstore_sync(r->w, ctx));
    assert_int_equal(scarce_end(), 3);
    assert_true(wbrig_in_base(r, &a));
    assert_int_equal(inside_stats(r).last_status, -EAGAIN);
    blob_ctx_free(ctx);
}

/* The put that came first could have none; the housekeeper has the time to try again. */
static void a_writer_that_could_not_be_had_is_started_also_while_the_buffer_is_being_listed(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *listing = blob_faultstore_hold(r->buf, BLOB_FAULT_LIST, NULL, BLOB_FAULT_BEFORE);
    blob_address a = wbrig_address("text");

    wbrig_start(r);
    blob_faultstore_wait_held(listing, 1);
    refuse_threads(3);
    wbrig_put(r, "text");
    inside_until_state(r->w, blob_address_key(&a), WB_ABSENT);
    assert_int_equal(scarce_end(), 3);
    assert_int_equal(blob_faultstore_held(listing), 1);
    assert_true(wbrig_in_base(r, &a));
}

#define DOUBT_MS 1000000000

static bool has_no_threads_but_the_housekeeper(const wbstore *w, const void *arg)
{
    (void)arg;
    return w->threads == 1;
}

static bool house_has_looked(const wbstore *w, const void *arg)
{
    (void)arg;
    return !w->house_called;
}

/* An upload may come late, so its blob, which was deleted, is to be deleted once more: by a writer that cannot be had. */
static void a_thread_that_cannot_be_had_for_a_late_delete_is_asked_for_in_its_time_only(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    uint64_t deletes;

    inside_go_by(r, &the_clock);
    blob_faultstore_set_in_doubt_ms(r->base, DOUBT_MS);
    inside_fail(r->base, BLOB_FAULT_PUT, &a, -ETIMEDOUT, 1);
    r->options.retry_min_ms = r->options.retry_max_ms = 1000;
    r->options.on_event = NULL; /* no thread for that */
    wbrig_start(r);
    wbrig_put(r, "text");
    inside_until_state(r->w, blob_address_key(&a), WBSTORE_WAITING);
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&a)));
    deletes = blob_faultstore_count(r->base, BLOB_FAULT_DELETE).calls;
    while (scarce_threads() > 1)
        test_clock_move(&the_clock, 10);
    inside_until(r->w, has_no_threads_but_the_housekeeper, NULL);
    refuse_threads(SCARCE_FOR_GOOD);
    test_clock_move(&the_clock, DOUBT_MS);
    while (scarce_refused() == 0)
        sched_yield();
    for (unsigned i = 0; i < 100; i++) {
        pthread_mutex_lock(&r->w->lock);
        wb_house_wake(r->w);
        pthread_mutex_unlock(&r->w->lock);
        inside_until(r->w, house_has_looked, NULL);
    }
    assert_int_equal(scarce_end(), 1);
    test_clock_move(&the_clock, 1000);
    blob_faultstore_wait_calls(r->base, BLOB_FAULT_DELETE, deletes + 1);
}

static void without_threads_a_wrapper_closes(void **state)
{
    wbrig *r = *state;
    blob_address a;

    wbrig_start(r);
    inside_until_resumed(r->w);
    refuse_threads(SCARCE_FOR_GOOD);
    a = wbrig_put_number(r, 1);
    test_ok(wbstore_close(r->w, NULL));
    assert_true(wbrig_in_buffer(r, &a));
    assert_true(scarce_end() > 0);
}

static void a_wrapper_without_a_housekeeper_is_none(void **state)
{
    wbrig *r = *state;

    refuse_threads(1);
    test_status(wbstore_new(&r->w, NULL, blob_faultstore_store(r->base), blob_faultstore_store(r->buf), &r->options),
                -EAGAIN);
    assert_null(r->w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_blob_is_tried_again_in_time_also_when_no_thread_could_be_had_to_wait_for_that),
        TEST(without_threads_puts_are_accepted_and_sent_once_there_are_some),
        TEST(a_thread_that_cannot_be_had_is_not_the_callers_error),
        TEST(without_a_thread_for_them_events_are_told_once_there_is_one),
        TEST(without_a_thread_for_it_the_buffer_is_listed_once_there_is_one),
        TEST(a_writer_that_could_not_be_had_is_started_also_while_the_buffer_is_being_listed),
        TEST(a_thread_that_cannot_be_had_for_a_late_delete_is_asked_for_in_its_time_only),
        TEST(without_threads_a_wrapper_closes),
        TEST(a_wrapper_without_a_housekeeper_is_none),
    };

    return cmocka_run_group_tests_name("threads are scarce", tests, NULL, NULL);
}
