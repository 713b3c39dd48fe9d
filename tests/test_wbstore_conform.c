/* test_wbstore_conform.c - a wrapper with unified_view is a store like any other: it passes the store contract, over stores
 * that answer at once, that are slow to take, or that fail now and then, and as base of another wrapper. */
#include "testkit/conform_int.h"
#include "flawstore.h"
#include "wbrig.h"

#include <stdlib.h>
#include <string.h>

static void print(void *arg, const char *promise, const char *detail)
{
    (void)arg;
    print_error("%s: %s\n", promise, detail);
}

static void expect_conforming(wbstore *w)
{
    blob_store *s = wbstore_as_store(w);

    test_watchdog(120);
    test_status(blob_conform(s, print, NULL), 0);
    test_status(wb_cf_conform_deletes(s, print, NULL), 0);
    assert_int_equal(test_len(s), 0);
}

static void start_unified(wbrig *r)
{
    blob_faultstore_keep_history(r->base, false);
    blob_faultstore_keep_history(r->buf, false);
    r->options.unified_view = 1;
    wbrig_start(r);
}

static void over_memory_it_passes(void **state)
{
    wbrig *r = *state;

    start_unified(r);
    expect_conforming(r->w);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(test_len(r->buf_mem), 0);
}

static void over_plain_stores_it_passes(void **state)
{
    wbrig *r = *state;
    blob_store *base, *buf;
    wbstore *w;

    r->options.unified_view = 1;
    test_ok(flawstore_new(&base, FLAW_NONE));
    test_ok(flawstore_new(&buf, FLAW_NONE));
    test_ok(wbstore_new(&w, NULL, base, buf, &r->options));
    expect_conforming(w);
    wbstore_free(w);
    test_ok(blob_store_close(base, NULL));
    test_ok(blob_store_close(buf, NULL));
}

/* So that every blob is met in each state of its way. */
static void while_uploads_are_slow_it_passes(void **state)
{
    wbrig *r = *state;

    blob_faultstore_add(
        r->base, &(blob_faultstore_fault){
                     .ops = BLOB_FAULT_PUT, .action = BLOB_FAULT_DELAY, .when = BLOB_FAULT_AFTER, .delay_us = 200});
    start_unified(r);
    expect_conforming(r->w);
}

static void with_one_writer_and_a_small_buffer_it_passes(void **state)
{
    wbrig *r = *state;

    r->options.writers_max = 1;
    r->options.buffer_blobs_max = 3;
    start_unified(r);
    expect_conforming(r->w);
}

static void writing_through_it_passes(void **state)
{
    wbrig *r = *state;

    r->options.when_full = WBSTORE_FULL_WRITE_THROUGH;
    r->options.buffer_blobs_max = 1;
    start_unified(r);
    expect_conforming(r->w);
}

static void as_base_of_another_it_passes(void **state)
{
    wbrig *r = *state;
    blob_store *buf;
    wbstore *outer;

    start_unified(r);
    test_ok(blob_memstore_new(&buf));
    test_ok(wbstore_new(&outer, NULL, wbstore_as_store(r->w), buf, &r->options));
    expect_conforming(outer);
    test_ok(wbstore_sync(outer, NULL));
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(test_len(buf), 0);
    wbstore_free(outer);
    test_ok(blob_store_close(buf, NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, wbrig_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(over_memory_it_passes),
        TEST(over_plain_stores_it_passes),
        TEST(while_uploads_are_slow_it_passes),
        TEST(with_one_writer_and_a_small_buffer_it_passes),
        TEST(writing_through_it_passes),
        TEST(as_base_of_another_it_passes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
