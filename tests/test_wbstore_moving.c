/* test_wbstore_moving.c - blobs on their way: a reader finds each at every step of it, a sync wakes when it has arrived, and
 * whoever ends the wrapper in the middle loses none. Steps by gates first, then many rounds of threads at once. */
#include "blob/blob.h"
#include "wbrig.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- step by step -------------------------------------------------------------------------------------------- */

static void expect_readable(wbrig *r, const blob_address *a, const char *text)
{
    uint64_t size;

    test_expect(wbstore_as_store(r->w), blob_address_key(a), text);
    test_ok(wbstore_size(r->w, NULL, blob_address_key(a), &size));
    assert_int_equal(size, strlen(text));
}

static void a_blob_is_readable_at_every_step_of_its_way(void **state)
{
    static const struct {
        bool base;
        unsigned op;
        blob_faultstore_when when;
    } steps[] = {
        {true, BLOB_FAULT_PUT, BLOB_FAULT_BEFORE},
        {true, BLOB_FAULT_PUT, BLOB_FAULT_AFTER},
        {false, BLOB_FAULT_DELETE, BLOB_FAULT_BEFORE},
        {false, BLOB_FAULT_DELETE, BLOB_FAULT_AFTER},
    };
    wbrig *r = *state;
    blob_faultstore_rule *gates[4];
    blob_address a;

    for (size_t i = 0; i < 4; i++)
        gates[i] = blob_faultstore_hold(steps[i].base ? r->base : r->buf, steps[i].op, NULL, steps[i].when);
    wbrig_start(r);
    a = wbrig_put(r, "on its way");
    for (size_t i = 0; i < 4; i++) {
        expect_readable(r, &a, "on its way");
        blob_faultstore_wait_held(gates[i], 1);
        expect_readable(r, &a, "on its way");
        blob_faultstore_lift(gates[i]);
    }
    test_ok(wbstore_sync(r->w, NULL));
    expect_readable(r, &a, "on its way");
}

/* The reader stands before the buffer while the blob moves past it. Asking the base first, or both at once, would miss it. */
static void a_read_that_began_before_the_move_and_looks_after_it_finds_the_blob(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *arriving = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE), *reading;
    wbrig_call reads[2] = {{.call = wbrig_call_get}, {.call = wbrig_call_size}};
    blob_address a;

    wbrig_start(r);
    a = wbrig_put(r, "bytes");
    blob_faultstore_wait_held(arriving, 1); /* the writer has read the buffer */
    reading = blob_faultstore_hold(r->buf, BLOB_FAULT_GET | BLOB_FAULT_SIZE, NULL, BLOB_FAULT_BEFORE);
    for (size_t i = 0; i < 2; i++) {
        reads[i].w = r->w;
        reads[i].key = blob_address_key(&a);
        wbrig_begin(&reads[i]);
    }
    blob_faultstore_wait_held(reading, 2);
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_GET).calls +
                         blob_faultstore_count(r->base, BLOB_FAULT_SIZE).calls,
                     0);
    blob_faultstore_lift(arriving);
    test_ok(wbstore_sync(r->w, NULL));
    assert_false(wbrig_in_buffer(r, &a));
    blob_faultstore_lift(reading);
    for (size_t i = 0; i < 2; i++)
        test_ok(wbrig_end(&reads[i]));
}

static void a_blob_that_a_reader_holds_stays_whole_when_it_leaves_the_buffer(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    blob_address a;
    blob *b;

    wbrig_start(r);
    a = wbrig_put(r, "held by a reader");
    test_ok(wbstore_get(r->w, NULL, blob_address_key(&a), &b));
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    wbrig_stop(r);
    assert_int_equal(b->size, 16);
    assert_memory_equal(b->data, "held by a reader", 16);
    blob_unref(b);
}

/* White box: how many hold it. A hold too many is memory that nobody gives back. */
static unsigned holds_on(const blob *b)
{
    return atomic_load(&((const wb_blob_body *)(const void *)b)->refs);
}

static void an_upload_lets_go_of_the_bytes_it_has_read(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("held here"), corrupt = wbrig_address("held here too");
    blob *b, *never_sent;

    wbrig_buffer(r, "held here");
    test_put(r->buf_mem, blob_address_key(&corrupt), "other bytes");
    test_ok(blob_store_get(r->buf_mem, NULL, blob_address_key(&a), &b));
    test_ok(blob_store_get(r->buf_mem, NULL, blob_address_key(&corrupt), &never_sent));
    blob_faultstore_fail(r->base, BLOB_FAULT_PUT, BLOB_UNAVAILABLE, 1);
    wbrig_start(r);
    test_status(wbstore_sync(r->w, NULL), BLOB_CORRUPT);
    wbrig_stop(r);
    assert_true(wbrig_in_base(r, &a));
    assert_int_equal(holds_on(b), 1); /* ours alone: the buffer has let go of it too */
    assert_int_equal(holds_on(never_sent), 2);
    blob_unref(b);
    blob_unref(never_sent);
}

/* ---- threads ------------------------------------------------------------------------------------------------- */

/* A text that no other thread and number has, and its address. */
static blob_address blob_of(unsigned thread, unsigned n, char *text)
{
    snprintf(text, 32, "%u of thread %u", n, thread);
    return wbrig_address(text);
}

typedef struct race {
    wbrig *r;
    unsigned rounds;
    atomic_uint failures;
    atomic_uint put[8];  /* how many blobs each thread has put */
    atomic_uint readers; /* at work */
} race;

static void count_failure(race *c, bool wrong)
{
    if (wrong)
        atomic_fetch_add(&c->failures, 1);
}

static void put_and_sync(void *arg, unsigned index)
{
    race *c = arg;
    char text[32];

    for (unsigned n = 0; n < c->rounds; n++) {
        blob_address a = blob_of(index, n, text);
        blob_key key = blob_address_key(&a);
        uint64_t ticket, size;
        int rc;
        count_failure(c, wbstore_cas_put_ticket(c->r->w, NULL, text, strlen(text), NULL, &ticket) != 0);
        if (n % 3 == 0)
            rc = wbstore_wait(c->r->w, NULL, ticket);
        else
            rc = n % 3 == 1 ? wbstore_wait_keys(c->r->w, NULL, &key, 1) : wbstore_sync(c->r->w, NULL);
        count_failure(c, rc != 0);
        count_failure(c, blob_store_size(c->r->base_mem, NULL, key, &size) != 0);
    }
}

static void no_sync_or_wait_misses_its_wake_up(void **state)
{
    wbrig *r = *state;
    race c = {.r = r, .rounds = WBRIG_SLOW ? 500 : 1500};

    blob_faultstore_keep_history(r->base, false);
    blob_faultstore_keep_history(r->buf, false);
    wbrig_start(r);
    test_threads_run(4, put_and_sync, &c);
    assert_int_equal(atomic_load(&c.failures), 0);
    assert_int_equal(test_len(r->base_mem), 4 * c.rounds);
    assert_int_equal(test_len(r->buf_mem), 0);
}

static void no_sync_misses_its_wake_up_while_the_base_fails_now_and_then(void **state)
{
    wbrig *r = *state;
    race c = {.r = r, .rounds = WBRIG_SLOW ? 100 : 200};

    r->options.retry_max_ms = 1;
    blob_faultstore_add(r->base,
                        &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .status = BLOB_UNAVAILABLE, .every = 3});
    wbrig_start(r);
    test_threads_run(4, put_and_sync, &c);
    assert_int_equal(atomic_load(&c.failures), 0);
    assert_int_equal(test_len(r->base_mem), 4 * c.rounds);
}

#define PUTTERS 2
#define READERS 2

static void put_while_others_read(race *c, unsigned index)
{
    char text[32];

    for (unsigned n = 0; atomic_load(&c->readers) > 0; n++) {
        blob_of(index, n, text);
        count_failure(c, wbstore_cas_put(c->r->w, NULL, text, strlen(text), NULL) != 0);
        atomic_store(&c->put[index], n + 1);
    }
}

/* Reads what was put a short while ago: what is about to move, moves, or has just moved. */
static void read_recent(race *c, unsigned index)
{
    test_rng rng = {index};
    char text[32];

    for (unsigned round = 0; round < c->rounds;) {
        unsigned thread = (unsigned)test_random_below(&rng, PUTTERS), put = atomic_load(&c->put[thread]);
        unsigned back = 1 + (unsigned)test_random_below(&rng, 48);
        blob_address a;
        uint64_t size;
        blob *b = NULL;
        if (put < back)
            continue;
        a = blob_of(thread, put - back, text);
        if (wbstore_get(c->r->w, NULL, blob_address_key(&a), &b) != 0)
            count_failure(c, true);
        else
            count_failure(c, b->size != strlen(text) || memcmp(b->data, text, b->size) != 0);
        blob_unref(b);
        count_failure(c, wbstore_size(c->r->w, NULL, blob_address_key(&a), &size) != 0);
        round++;
    }
    atomic_fetch_sub(&c->readers, 1);
}

static void put_or_read(void *arg, unsigned index)
{
    if (index < PUTTERS)
        put_while_others_read(arg, index);
    else
        read_recent(arg, index);
}

static void no_read_misses_a_blob_that_is_being_moved(void **state)
{
    wbrig *r = *state;
    race c = {.r = r, .rounds = WBRIG_SLOW ? 2500 : 5000, .readers = READERS};

    blob_faultstore_keep_history(r->base, false);
    blob_faultstore_keep_history(r->buf, false);
    r->options.buffer_blobs_max = 40; /* what is read is near the place where they move */
    r->options.writers_max = 4;
    wbrig_start(r);
    test_threads_run(PUTTERS + READERS, put_or_read, &c);
    assert_int_equal(atomic_load(&c.failures), 0);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(test_len(r->base_mem), atomic_load(&c.put[0]) + atomic_load(&c.put[1]));
}

static int count_keys(void *arg, blob_key key, uint64_t size)
{
    (void)key;
    (void)size;
    ++*(unsigned *)arg;
    return 0;
}

static void no_listing_misses_a_blob_that_is_being_moved(void **state)
{
    enum { BLOBS = 200 };
    wbrig *r = *state;
    unsigned rounds = WBRIG_SLOW ? 10 : 20;

    r->options.unified_view = 1;
    wbrig_start(r);
    for (unsigned round = 1; round <= rounds; round++) {
        blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
        for (unsigned n = 0; n < BLOBS; n++)
            wbrig_put_number(r, round * BLOBS + n);
        blob_faultstore_lift(gate);
        do {
            unsigned count = 0;
            uint64_t len;
            test_ok(wbstore_list(r->w, NULL, blob_key_of(NULL, 0), count_keys, &count));
            assert_int_equal(count, round * BLOBS);
            test_ok(wbstore_len(r->w, NULL, &len));
            assert_int_equal(len, round * BLOBS);
        } while (wbrig_stats(r).pending_blobs > 0);
    }
}

/* ---- the end in the middle of it ----------------------------------------------------------------------------- */

static void put_until_closed(void *arg, unsigned index)
{
    race *c = arg;
    char text[32];
    int rc = 0;

    for (unsigned n = 0; rc == 0; n++) {
        blob_of(index, n, text);
        rc = wbstore_cas_put(c->r->w, NULL, text, strlen(text), NULL);
        if (rc == 0)
            atomic_store(&c->put[index], n + 1);
    }
    count_failure(c, rc != BLOB_CLOSED);
}

static void *run_putters(void *c)
{
    test_threads_run(3, put_until_closed, c);
    return NULL;
}

static void whatever_ends_the_wrapper_every_put_that_returned_is_in_buffer_or_base(void **state)
{
    wbrig *r;
    unsigned rounds = WBRIG_SLOW ? 10 : 20;

    for (unsigned round = 0; round < rounds; round++) {
        race c = {.rounds = 0};
        pthread_t putters;
        char text[32];
        test_ok(wbrig_set_up(state));
        c.r = r = *state;
        wbrig_start(r);
        test_thread_start(&putters, run_putters, &c);
        blob_faultstore_wait_calls(r->base, BLOB_FAULT_PUT, 1 + round * 7);
        if (round % 2 == 0)
            test_ok(wbstore_close(r->w, NULL));
        else
            blob_ctx_cancel(r->ctx);
        test_thread_join(putters);
        wbrig_stop(r);
        assert_int_equal(atomic_load(&c.failures), 0);
        for (unsigned thread = 0; thread < 3; thread++) {
            for (unsigned n = 0; n < atomic_load(&c.put[thread]); n++) {
                blob_address a = blob_of(thread, n, text);
                test_expect(wbrig_in_buffer(r, &a) ? r->buf_mem : r->base_mem, blob_address_key(&a), text);
            }
        }
        test_ok(wbrig_tear_down(state));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, wbrig_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_blob_is_readable_at_every_step_of_its_way),
        TEST(a_read_that_began_before_the_move_and_looks_after_it_finds_the_blob),
        TEST(a_blob_that_a_reader_holds_stays_whole_when_it_leaves_the_buffer),
        TEST(an_upload_lets_go_of_the_bytes_it_has_read),
        TEST(no_sync_or_wait_misses_its_wake_up),
        TEST(no_sync_misses_its_wake_up_while_the_base_fails_now_and_then),
        TEST(no_read_misses_a_blob_that_is_being_moved),
        TEST(no_listing_misses_a_blob_that_is_being_moved),
        cmocka_unit_test(whatever_ends_the_wrapper_every_put_that_returned_is_in_buffer_or_base),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
