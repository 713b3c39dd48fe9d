/* test_wbstore_listing.c - the listing of the start may hang or be long: it holds up nothing but itself, and those who must
 * know what the buffer held. */
#include "testclock.h"
#include "wbinside.h"

#include "wbstore/wrapper.h"

#include <errno.h>

#define DOUBT_MS 60000
#define ROUNDS 500

static test_clock the_clock;

static blob_faultstore_rule *start_with_a_listing_that_hangs(wbrig *r)
{
    blob_faultstore_rule *listing = blob_faultstore_hold(r->buf, BLOB_FAULT_LIST, NULL, BLOB_FAULT_BEFORE);

    wbrig_start(r);
    blob_faultstore_wait_held(listing, 1);
    return listing;
}

static void a_parked_blob_is_told_of_while_the_listing_hangs(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *listing = start_with_a_listing_that_hangs(r);

    blob_faultstore_fail(r->base, BLOB_FAULT_PUT, BLOB_REJECTED, 1);
    wbrig_put(r, "text");
    wbrig_wait_event(r, WBSTORE_EVENT_PARKED, 1);
    assert_int_equal(blob_faultstore_held(listing), 1);
}

static int call_put_key(wbrig_call *c)
{
    return wbstore_put(c->w, c->ctx, c->key, blob_view_of("text", 4), 0);
}

static void a_doubt_passes_while_the_listing_hangs(void **state)
{
    wbrig *r = *state;
    wbrig_call put = {.call = call_put_key, .key = test_key("key")};
    blob_faultstore_rule *listing;

    inside_go_by(r, &the_clock);
    blob_faultstore_set_in_doubt_ms(r->base, DOUBT_MS);
    blob_faultstore_add(r->base,
                        &(blob_faultstore_fault){
                            .ops = BLOB_FAULT_DELETE, .action = BLOB_FAULT_LATE, .status = -ETIMEDOUT, .count = 1});
    listing = start_with_a_listing_that_hangs(r);
    test_status(wbstore_delete(r->w, NULL, put.key), -ETIMEDOUT);
    put.w = r->w;
    wbrig_begin(&put);
    inside_until_removers(r->w, put.key, 1);
    test_clock_move(&the_clock, DOUBT_MS);
    test_ok(wbrig_end(&put));
    assert_int_equal(blob_faultstore_held(listing), 1);
    test_expect(r->base_mem, put.key, "text");
}

/* A sync must know what the buffer held, and nobody but the listing can tell. */
static void a_sync_waits_for_a_listing_that_takes_its_time(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *listing;
    wbrig_call sync = {.call = wbrig_call_sync};

    wbrig_buffer(r, "text");
    listing = start_with_a_listing_that_hangs(r);
    sync.w = r->w;
    wbrig_begin_asleep(&sync);
    blob_faultstore_lift(listing);
    test_ok(wbrig_end(&sync));
    assert_true(wbrig_in_base(r, &a));
    assert_int_equal(blob_faultstore_count(r->buf, BLOB_FAULT_LIST).calls, 1);
}

static bool the_listing_has_failed(const wbstore *w, const void *arg)
{
    (void)arg;
    return w->resume_status != 0;
}

/* Until the clock is moved that time has not come. */
static void a_buffer_that_cannot_be_listed_is_asked_again_after_a_while(void **state)
{
    wbrig *r = *state;
    int64_t due_ns;

    inside_go_by(r, &the_clock);
    r->options.retry_min_ms = r->options.retry_max_ms = 1000;
    blob_faultstore_fail(r->buf, BLOB_FAULT_LIST, -EIO, 1);
    wbrig_start(r);
    inside_until(r->w, the_listing_has_failed, NULL);
    pthread_mutex_lock(&r->w->lock);
    due_ns = r->w->resume_due_ns;
    pthread_mutex_unlock(&r->w->lock);
    assert_true(due_ns > atomic_load(&the_clock.now_ns));
    assert_true(due_ns <= atomic_load(&the_clock.now_ns) + INT64_C(1000000000));
    assert_int_equal(blob_faultstore_count(r->buf, BLOB_FAULT_LIST).calls, 1);
    test_clock_move_to(&the_clock, due_ns);
    inside_until_resumed(r->w);
    assert_int_equal(blob_faultstore_count(r->buf, BLOB_FAULT_LIST).calls, 2);
}

static bool the_housekeeper_is_left(const wbstore *w, const void *arg)
{
    (void)arg;
    return !w->resuming && w->threads == 1 && w->finished == NULL;
}

/* It ends while the housekeeper is still about beginning it, or later: in many rounds both come to pass. */
static void the_thread_of_the_listing_goes_with_it_and_is_joined(void **state)
{
    wbrig *r = *state;

    for (unsigned i = 0; i < ROUNDS; i++) {
        wbrig_start(r);
        inside_until(r->w, the_housekeeper_is_left, NULL);
        assert_int_equal(blob_faultstore_count(r->buf, BLOB_FAULT_LIST).calls, i + 1);
        wbrig_stop(r);
    }
}

static void a_listing_that_hears_of_no_close_holds_it_up_no_longer_than_its_context(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *listing = blob_faultstore_add(
        r->buf, &(blob_faultstore_fault){.ops = BLOB_FAULT_LIST, .action = BLOB_FAULT_HOLD, .ignore_ctx = true});
    blob_ctx *ctx;

    wbrig_start(r);
    blob_faultstore_wait_held(listing, 1);
    test_ok(blob_ctx_new_timeout(&ctx, NULL, 2));
    test_status(wbstore_close(r->w, ctx), -ETIMEDOUT);
    blob_ctx_free(ctx);
    assert_int_equal(blob_faultstore_held(listing), 1);
    blob_faultstore_lift(listing);
    test_ok(wbstore_close(r->w, NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inside_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_parked_blob_is_told_of_while_the_listing_hangs),
        TEST(a_doubt_passes_while_the_listing_hangs),
        TEST(a_sync_waits_for_a_listing_that_takes_its_time),
        TEST(a_buffer_that_cannot_be_listed_is_asked_again_after_a_while),
        TEST(the_thread_of_the_listing_goes_with_it_and_is_joined),
        TEST(a_listing_that_hears_of_no_close_holds_it_up_no_longer_than_its_context),
    };

    return cmocka_run_group_tests_name("the listing of the start", tests, NULL, NULL);
}
