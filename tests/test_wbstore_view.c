/* test_wbstore_view.c - with unified_view, list and len show buffer and base as one: every key once, in order, wherever it
 * is and while it moves. */
#include "wbrig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what a listing told ------------------------------------------------------------------------------------- */

typedef struct told {
    size_t count;
    size_t stop_at; /* ends the listing after so many keys with `verdict`; 0: never */
    int verdict;
    bool out_of_order;
    unsigned char last[BLOB_KEY_MAX];
    size_t last_size;
    uint64_t sizes;                                    /* their sum */
    void (*at)(void *arg, size_t count, blob_key key); /* called for each key, after it was counted */
    void *at_arg;
} told;

static int tell(void *arg, blob_key key, uint64_t size)
{
    told *t = arg;

    if (t->count > 0 && blob_key_compare(blob_key_of(t->last, t->last_size), key) >= 0)
        t->out_of_order = true;
    if (key.size > 0)
        memcpy(t->last, key.data, key.size);
    t->last_size = key.size;
    t->count++;
    t->sizes += size;
    if (t->at != NULL)
        t->at(t->at_arg, t->count, key);
    return t->count == t->stop_at ? t->verdict : 0;
}

static void start_unified(wbrig *r)
{
    r->options.unified_view = 1;
    wbrig_start(r);
    test_ok(wbstore_sync(r->w, NULL));
}

/* ---- everywhere, from anywhere ------------------------------------------------------------------------------- */

#define PLACES 5
static const blob_key places[PLACES] = {{"", 0}, {"\0", 1}, {"a", 1}, {"a\0", 2}, {"\xff", 1}};
static const blob_key starts[] = {{"", 0},      {"\0", 1}, {"\0\0", 2}, {"a", 1},     {"a\0", 2},
                                  {"a\0\0", 3}, {"b", 1},  {"\xff", 1}, {"\xff\0", 2}};

/* Where the digits of `where`, base 4, say that each key is: nowhere, buffer, base, both. */
static void spread(wbrig *r, unsigned where)
{
    for (unsigned i = 0; i < PLACES; i++, where /= 4) {
        int in_buffer = blob_store_delete(r->buf_mem, NULL, places[i], 0);
        int in_base = blob_store_delete(r->base_mem, NULL, places[i], 0);
        assert_true((in_buffer == 0 || in_buffer == BLOB_NOT_FOUND) && (in_base == 0 || in_base == BLOB_NOT_FOUND));
        if (where % 4 & 1)
            test_put(r->buf_mem, places[i], "buffered");
        if (where % 4 & 2)
            test_put(r->base_mem, places[i], "base");
    }
}

static void expect_listing(wbrig *r, unsigned where, blob_key start, size_t stop_at, int verdict)
{
    told expected = {.stop_at = stop_at, .verdict = verdict}, t = expected;
    blob_error error;
    int status = 0;

    for (unsigned i = 0; i < PLACES && status == 0; i++, where /= 4)
        if (where % 4 != 0 && blob_key_compare(places[i], start) >= 0)
            status = tell(&expected, places[i], where % 4 & 1 ? 8 : 4); /* of both, the buffer's */
    blob_fail(-EXDEV, 0, "an older reason");
    test_status(wbstore_list(r->w, NULL, start, tell, &t), status == BLOB_LIST_STOP ? 0 : status);
    blob_last_error(&error);
    assert_int_equal(error.status, status < 0 ? status : -EXDEV);
    assert_int_equal(t.count, expected.count);
    assert_int_equal(t.sizes, expected.sizes);
    assert_false(t.out_of_order);
    assert_int_equal(t.last_size, expected.last_size);
    assert_memory_equal(t.last, expected.last, sizeof t.last);
}

static void every_key_is_listed_once_in_order_wherever_it_is(void **state)
{
    wbrig *r = *state;

    start_unified(r);
    for (unsigned where = 0; where < 1 << 2 * PLACES; where++) {
        uint64_t len, keys = 0;
        spread(r, where);
        for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
            expect_listing(r, where, starts[i], 0, 0);
        for (unsigned i = 0; i < PLACES; i++)
            keys += (where >> 2 * i & 3) != 0;
        test_ok(wbstore_len(r->w, NULL, &len));
        assert_int_equal(len, keys);
    }
}

static void a_listing_ends_when_and_how_the_callback_says(void **state)
{
    wbrig *r = *state;

    start_unified(r);
    for (unsigned where = 0; where < 1 << 2 * PLACES; where += 3) {
        spread(r, where);
        for (size_t stop_at = 1; stop_at <= PLACES; stop_at++) {
            expect_listing(r, where, starts[0], stop_at, BLOB_LIST_STOP);
            expect_listing(r, where, starts[2], stop_at, -EPIPE);
            expect_listing(r, where, starts[0], stop_at, BLOB_NOT_FOUND);
        }
    }
}

static void a_verdict_that_is_none_is_refused(void **state)
{
    wbrig *r = *state;

    start_unified(r);
    for (unsigned where = 1; where < 4; where++) {
        told t = {.stop_at = 1, .verdict = 7};
        spread(r, where);
        test_status(wbstore_list(r->w, NULL, starts[0], tell, &t), -EINVAL);
        assert_int_equal(t.count, 1);
    }
}

/* ---- many ---------------------------------------------------------------------------------------------------- */

static blob_key number_key(unsigned n, char *room)
{
    return blob_key_of(room, (size_t)snprintf(room, 16, "%06u", n));
}

static void put_numbers(blob_store *s, unsigned from, unsigned below, unsigned step)
{
    char room[16];

    for (unsigned n = from; n < below; n += step)
        test_put(s, number_key(n, room), "x");
}

static void expect_numbers_from(wbrig *r, unsigned start, uint64_t count)
{
    char room[16];
    told t = {.count = 0};

    test_ok(wbstore_list(r->w, NULL, number_key(start, room), tell, &t));
    assert_false(t.out_of_order);
    assert_int_equal(t.count, count);
}

/* Around what the wrapper reads of the buffer at a time. */
static void a_buffer_of_many_keys_is_listed_whole(void **state)
{
    static const unsigned sizes[] = {1022, 1023, 1024, 1025, 2047, 2048, 2049, 3000};
    wbrig *r = *state;
    uint64_t len;

    start_unified(r);
    for (size_t i = 0, n = 0; i < sizeof sizes / sizeof *sizes; n = sizes[i++]) {
        put_numbers(r->buf_mem, (unsigned)n, sizes[i], 1);
        expect_numbers_from(r, 0, sizes[i]);
        expect_numbers_from(r, 1, sizes[i] - 1);
        expect_numbers_from(r, sizes[i] - 1, 1);
        expect_numbers_from(r, sizes[i], 0);
        test_ok(wbstore_len(r->w, NULL, &len));
        assert_int_equal(len, sizes[i]);
    }
}

static void many_keys_in_both_are_merged(void **state)
{
    enum { KEYS = 8000 };
    wbrig *r = *state;
    test_rng rng = {7};
    uint64_t len;

    start_unified(r);
    put_numbers(r->buf_mem, 1000, 5000, 2); /* even ones, */
    put_numbers(r->base_mem, 0, KEYS, 3);   /* every third, before and behind them too */
    test_ok(wbstore_len(r->w, NULL, &len));
    for (unsigned round = 0; round < 20; round++) {
        unsigned start = (unsigned)test_random_below(&rng, KEYS);
        uint64_t count = 0;
        for (unsigned n = start; n < KEYS; n++)
            count += n % 3 == 0 || (n % 2 == 0 && n >= 1000 && n < 5000);
        expect_numbers_from(r, start, count);
    }
    expect_numbers_from(r, 0, len);
    assert_int_equal(len, 2667 + 2000 - 667);
}

static void a_base_of_many_keys_behind_the_last_of_the_buffer_is_listed_whole(void **state)
{
    wbrig *r = *state;

    start_unified(r);
    put_numbers(r->buf_mem, 0, 1024, 1);
    put_numbers(r->base_mem, 1024, 4000, 1);
    expect_numbers_from(r, 0, 4000);
    expect_numbers_from(r, 500, 3500);
    expect_numbers_from(r, 1024, 2976);
}

/* ---- while keys move ----------------------------------------------------------------------------------------- */

#define MOVING 40

/* MOVING blobs at a shut base, the oldest first through one writer. */
static blob_faultstore_rule *start_moving(wbrig *r)
{
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);

    r->options.writers_max = 1;
    start_unified(r);
    for (unsigned n = 0; n < MOVING; n++)
        wbrig_put_number(r, n);
    return gate;
}

typedef struct mover {
    wbrig *r;
    blob_faultstore_rule *gate;
    size_t from, step; /* moves `step` blobs at each key from there on, */
    size_t total;      /* so many altogether */
    size_t moved;
} mover;

/* Returns when the blobs are in the base and no more in the buffer. */
static void move_some(void *arg, size_t count, blob_key key)
{
    mover *m = arg;
    size_t step = m->moved + m->step <= m->total ? m->step : m->total - m->moved;

    (void)key;
    if (count < m->from || step == 0)
        return;
    m->moved += step;
    blob_faultstore_release(m->gate, (unsigned)step);
    blob_faultstore_wait_calls(m->r->buf, BLOB_FAULT_DELETE, m->moved);
}

static void keys_that_move_during_a_listing_are_listed_once(void **state)
{
    static const size_t steps[] = {1, 2, 7, MOVING};

    for (size_t from = 1; from < MOVING; from += 6) {
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
            mover m = {.from = from, .step = steps[i], .total = MOVING};
            told t = {.at = move_some, .at_arg = &m};
            test_ok(wbrig_set_up(state));
            m.r = *state;
            m.gate = start_moving(m.r);
            test_ok(wbstore_list(m.r->w, NULL, blob_key_of(NULL, 0), tell, &t));
            assert_int_equal(t.count, MOVING);
            assert_false(t.out_of_order);
            assert_true(m.moved > 0);
            test_ok(wbrig_tear_down(state));
        }
    }
}

typedef struct listing {
    wbrig *r;
    told t;
    int status;
} listing;

static void *list_all(void *arg)
{
    listing *l = arg;

    l->status = wbstore_list(l->r->w, NULL, blob_key_of(NULL, 0), tell, &l->t);
    return NULL;
}

/* The listing has read the buffer and not yet the base, or is about to read the buffer; meanwhile everything moves. */
static void keys_that_move_between_the_two_stores_listings_are_listed_once(void **state)
{
    wbrig *r = *state;

    for (int before = 0; before < 2; before++) {
        blob_faultstore_rule *gate = start_moving(r), *between;
        listing l = {.r = r};
        pthread_t thread;

        between = blob_faultstore_hold(before ? r->buf : r->base, BLOB_FAULT_LIST, NULL, BLOB_FAULT_BEFORE);
        test_thread_start(&thread, list_all, &l);
        blob_faultstore_wait_held(between, 1);
        blob_faultstore_lift(gate);
        test_ok(wbstore_sync(r->w, NULL));
        blob_faultstore_lift(between);
        test_thread_join(thread);
        test_ok(l.status);
        assert_int_equal(l.t.count, MOVING);
        assert_false(l.t.out_of_order);
        wbrig_stop(r);
        for (unsigned n = 0; n < MOVING; n++) {
            char text[32];
            snprintf(text, sizeof text, "blob number %u", n);
            blob_address a = wbrig_address(text);
            test_ok(blob_store_delete(r->base_mem, NULL, blob_address_key(&a), 0));
        }
    }
}

/* More than is read of the buffer at a time. Moved in the order of the listing, each key behind it, at it or well ahead of it,
 * before its stretch is read. */
static void keys_that_move_between_the_stretches_of_a_listing_are_listed_once(void **state)
{
    enum { KEYS = 2500 };

    for (size_t step = 1; step <= 3; step++) {
        mover m = {.from = 1, .step = step, .total = KEYS};
        told t = {.at = move_some, .at_arg = &m};
        test_ok(wbrig_set_up(state));
        m.r = *state;
        m.gate = blob_faultstore_hold(m.r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
        put_numbers(m.r->buf_mem, 0, KEYS, 1);
        m.r->options.unified_view = 1;
        m.r->options.writers_max = 1;
        wbrig_start(m.r);
        test_ok(wbstore_list(m.r->w, NULL, blob_key_of(NULL, 0), tell, &t));
        assert_int_equal(t.count, KEYS);
        assert_false(t.out_of_order);
        assert_int_equal(m.moved, KEYS);
        assert_int_equal(test_len(m.r->buf_mem), 0);
        test_ok(wbrig_tear_down(state));
    }
}

/* ---- calls in the callback ----------------------------------------------------------------------------------- */

typedef struct nesting {
    wbrig *r;
    bool wrong;
} nesting;

static void look_inside(void *arg, size_t count, blob_key key)
{
    nesting *n = arg;
    told inner = {.count = 0};
    uint64_t number = 0;
    blob *b = NULL;

    n->wrong = n->wrong || wbstore_list(n->r->w, NULL, key, tell, &inner) != 0;
    n->wrong = n->wrong || inner.out_of_order || inner.count != 30 - count + 1;
    n->wrong = n->wrong || wbstore_get(n->r->w, NULL, key, &b) != 0 || b->size != 1;
    blob_unref(b);
    n->wrong = n->wrong || wbstore_size(n->r->w, NULL, key, &number) != 0 || number != 1;
    n->wrong = n->wrong || wbstore_len(n->r->w, NULL, &number) != 0 || number != 30;
}

static void the_callback_may_list_get_size_and_len(void **state)
{
    wbrig *r = *state;
    nesting n = {.r = r};
    told t = {.at = look_inside, .at_arg = &n};

    start_unified(r);
    put_numbers(r->buf_mem, 0, 20, 1);
    put_numbers(r->base_mem, 10, 30, 1);
    test_ok(wbstore_list(r->w, NULL, blob_key_of(NULL, 0), tell, &t));
    assert_int_equal(t.count, 30);
    assert_false(n.wrong);
}

/* ---- errors -------------------------------------------------------------------------------------------------- */

static void a_listing_that_breaks_in_either_store_says_so(void **state)
{
    wbrig *r = *state;

    start_unified(r);
    put_numbers(r->buf_mem, 0, 20, 2);
    put_numbers(r->base_mem, 1, 20, 2);
    for (uint64_t after = 0; after < 10; after++) {
        for (int base = 0; base < 2; base++) {
            blob_faultstore *f = base ? r->base : r->buf;
            blob_faultstore_fault fault = {.ops = BLOB_FAULT_LIST,
                                           .when = BLOB_FAULT_DURING,
                                           .after_keys = after,
                                           .status = BLOB_UNAVAILABLE,
                                           .count = 1};
            told t = {.count = 0};
            uint64_t len = 77;
            blob_faultstore_add(f, &fault);
            test_status(wbstore_list(r->w, NULL, blob_key_of(NULL, 0), tell, &t), BLOB_UNAVAILABLE);
            assert_false(t.out_of_order);
            assert_true(t.count < 20);
            blob_faultstore_add(f, &fault);
            test_status(wbstore_len(r->w, NULL, &len), BLOB_UNAVAILABLE);
            assert_int_equal(len, 0);
        }
    }
    expect_numbers_from(r, 0, 20);
}

static void cancel_in_the_middle(void *arg, size_t count, blob_key key)
{
    (void)key;
    if (count == 5)
        blob_ctx_cancel(arg);
}

static void a_listing_ends_with_its_context(void **state)
{
    wbrig *r = *state;
    told t = {.at = cancel_in_the_middle};
    blob_ctx *ctx;

    start_unified(r);
    put_numbers(r->buf_mem, 0, 3000, 2);
    put_numbers(r->base_mem, 1, 3000, 2);
    test_ok(blob_ctx_new(&ctx, NULL));
    t.at_arg = ctx;
    test_status(wbstore_list(r->w, ctx, blob_key_of(NULL, 0), tell, &t), -ECANCELED);
    assert_in_range(t.count, 5, 1024);
    blob_ctx_free(ctx);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, wbrig_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_key_is_listed_once_in_order_wherever_it_is),
        TEST(a_listing_ends_when_and_how_the_callback_says),
        TEST(a_verdict_that_is_none_is_refused),
        TEST(a_buffer_of_many_keys_is_listed_whole),
        TEST(many_keys_in_both_are_merged),
        TEST(a_base_of_many_keys_behind_the_last_of_the_buffer_is_listed_whole),
        cmocka_unit_test(keys_that_move_during_a_listing_are_listed_once),
        TEST(keys_that_move_between_the_two_stores_listings_are_listed_once),
        cmocka_unit_test(keys_that_move_between_the_stretches_of_a_listing_are_listed_once),
        TEST(the_callback_may_list_get_size_and_len),
        TEST(a_listing_that_breaks_in_either_store_says_so),
        TEST(a_listing_ends_with_its_context),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
