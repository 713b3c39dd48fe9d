/* test_wbstore_store.c - the wrapper as a store: what it hands on to the base, and wrappers as bases of wrappers. */
#include "wbrig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int count_keys(void *arg, blob_key key, uint64_t size)
{
    (void)key;
    (void)size;
    ++*(unsigned *)arg;
    return 0;
}

/* ---- what goes to the base ----------------------------------------------------------------------------------- */

static void put_goes_to_the_base_at_once_and_not_into_the_buffer(void **state)
{
    wbrig *r = *state;
    blob_key key = test_key("any key");

    wbrig_start(r);
    test_ok(wbstore_put(r->w, NULL, key, blob_view_of("one", 3), 0));
    test_expect(r->base_mem, key, "one");
    test_status(wbstore_put(r->w, NULL, key, blob_view_of("two", 3), 0), BLOB_EXISTS);
    test_expect(r->base_mem, key, "one");
    test_ok(wbstore_put(r->w, NULL, key, blob_view_of("two", 3), BLOB_REPLACE));
    test_expect(r->base_mem, key, "two");
    test_ok(wbstore_put(r->w, NULL, test_key("new"), blob_view_of(NULL, 0), BLOB_REPLACE));
    test_expect(r->base_mem, test_key("new"), "");
    assert_int_equal(blob_faultstore_count(r->buf, BLOB_FAULT_PUT).calls, 0);
    assert_int_equal(wbrig_stats(r).accepted, 0);
    blob_faultstore_fail(r->base, BLOB_FAULT_PUT, -ENOSPC, 2);
    test_status(wbstore_put(r->w, NULL, test_key("k"), blob_view_of("x", 1), 0), -ENOSPC);
    test_status(wbstore_put(r->w, NULL, test_key("k"), blob_view_of("x", 1), BLOB_REPLACE), -ENOSPC);
}

static void list_and_len_are_the_bases_unless_asked_otherwise(void **state)
{
    wbrig *r = *state;
    unsigned count = 0;
    uint64_t len;

    blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    wbrig_start(r);
    blob_faultstore_wait_calls(r->buf, BLOB_FAULT_LIST, 1);
    test_put(r->base_mem, test_key("a"), "x");
    test_put(r->base_mem, test_key("b"), "x");
    wbrig_put(r, "pending");
    test_ok(wbstore_list(r->w, NULL, test_key("b"), count_keys, &count));
    assert_int_equal(count, 1);
    test_ok(wbstore_len(r->w, NULL, &len));
    assert_int_equal(len, 2);
    assert_int_equal(blob_faultstore_count(r->buf, BLOB_FAULT_LIST).calls, 1);
    assert_int_equal(blob_faultstore_count(r->buf, BLOB_FAULT_LEN).calls, 0);
    blob_faultstore_fail(r->base, BLOB_FAULT_LIST | BLOB_FAULT_LEN, BLOB_UNAVAILABLE, 2);
    test_status(wbstore_list(r->w, NULL, test_key("b"), count_keys, &count), BLOB_UNAVAILABLE);
    len = 77;
    test_status(wbstore_len(r->w, NULL, &len), BLOB_UNAVAILABLE);
    assert_int_equal(len, 0);
}

static void delete_goes_to_the_base_too(void **state)
{
    wbrig *r = *state;

    test_put(r->base_mem, test_key("k"), "x");
    wbrig_start(r);
    test_ok(wbstore_delete(r->w, NULL, test_key("k")));
    test_expect_missing(r->base_mem, test_key("k"));
    test_status(wbstore_delete(r->w, NULL, test_key("k")), BLOB_NOT_FOUND);
    blob_faultstore_fail(r->base, BLOB_FAULT_DELETE, BLOB_DENIED, 1);
    test_status(wbstore_delete(r->w, NULL, test_key("k")), BLOB_DENIED);
}

/* ---- as a store ---------------------------------------------------------------------------------------------- */

static void as_store_does_what_the_wrapper_does(void **state)
{
    wbrig *r = *state;
    blob_address a, b, expected = wbrig_address("bytes");
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    blob_store *s;

    wbrig_start(r);
    s = wbstore_as_store(r->w);
    assert_ptr_equal(s, wbstore_as_store(r->w));
    assert_string_equal(s->ops->name, "wbstore");
    test_ok(blob_store_cas_key(s, NULL, blob_view_of("bytes", 5), &a));
    assert_int_equal(blob_key_compare(blob_address_key(&a), blob_address_key(&expected)), 0);
    assert_int_equal(test_len(r->buf_mem), 0);
    test_ok(blob_store_cas_put(s, NULL, blob_view_of("bytes", 5), &b));
    assert_int_equal(blob_key_compare(blob_address_key(&b), blob_address_key(&expected)), 0);
    test_expect(s, blob_address_key(&a), "bytes");
    test_expect_missing(s, test_key("k"));
    assert_true(wbrig_in_buffer(r, &a));
    assert_int_equal(test_len(s), 0); /* of the base */
    test_status(blob_store_put(s, NULL, blob_address_key(&a), blob_view_of("bytes", 5), 0), BLOB_EXISTS);
    blob_faultstore_lift(gate);
    test_put(s, test_key("k"), "put");
    test_expect(r->base_mem, test_key("k"), "put");
    test_ok(blob_store_delete(s, NULL, test_key("k"), BLOB_LAZY));
    test_expect_missing(r->base_mem, test_key("k"));
    test_ok(blob_store_close(s, NULL));
    test_status(wbstore_sync(r->w, NULL), BLOB_CLOSED);
    assert_ptr_equal(s, wbstore_as_store(r->w));
}

static void what_the_base_says_of_itself_the_wrapper_says_too(void **state)
{
    wbrig *r = *state;
    blob_store *s;

    blob_faultstore_set_traits(r->base, BLOB_TRAIT_CHECKS_KEYS);
    blob_faultstore_set_in_doubt_ms(r->base, 1234);
    wbrig_start(r);
    s = wbstore_as_store(r->w);
    assert_int_equal(s->ops->traits(s), BLOB_TRAIT_CHECKS_KEYS);
    assert_int_equal(s->ops->in_doubt_ms(s), 1234);
}

/* ---- wrappers over wrappers ---------------------------------------------------------------------------------- */

typedef struct tower {
    blob_store *buf;
    wbstore *outer;
} tower;

static tower raise_tower(wbrig *r)
{
    tower t;

    wbrig_start(r);
    test_ok(blob_memstore_new(&t.buf));
    test_ok(wbstore_new(&t.outer, NULL, wbstore_as_store(r->w), t.buf, &r->options));
    return t;
}

static void raze_tower(tower *t)
{
    wbstore_free(t->outer);
    test_ok(blob_store_close(t->buf, NULL));
}

static void a_wrapper_over_a_wrapper_brings_blobs_to_the_inner_ones_base(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    tower t = raise_tower(r);
    blob_address a, expected = wbrig_address("from above");

    test_ok(wbstore_cas_put(t.outer, NULL, "from above", 10, &a));
    assert_int_equal(blob_key_compare(blob_address_key(&a), blob_address_key(&expected)), 0);
    blob_faultstore_wait_held(gate, 1);
    test_expect(t.buf, blob_address_key(&a), "from above");
    test_expect(wbstore_as_store(t.outer), blob_address_key(&a), "from above");
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(t.outer, NULL));
    test_expect(r->base_mem, blob_address_key(&a), "from above");
    test_expect(wbstore_as_store(t.outer), blob_address_key(&a), "from above");
    assert_int_equal(test_len(t.buf), 0);
    raze_tower(&t);
}

static void an_outer_wrapper_sees_what_is_pending_in_the_inner_one(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    tower t = raise_tower(r);
    blob_address a = wbrig_put(r, "pending below");

    blob_faultstore_wait_held(gate, 1);
    test_expect(wbstore_as_store(t.outer), blob_address_key(&a), "pending below");
    /* The same blob from above: it is there, so the outer one has nothing to send. */
    test_ok(wbstore_cas_put(t.outer, NULL, "pending below", 13, NULL));
    test_ok(wbstore_sync(t.outer, NULL));
    assert_int_equal(test_len(t.buf), 0);
    assert_true(wbrig_in_buffer(r, &a));
    test_ok(wbstore_delete(t.outer, NULL, blob_address_key(&a)));
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(test_len(r->base_mem) + test_len(r->buf_mem), 0);
    raze_tower(&t);
}

static void an_inner_wrapper_that_closes_is_an_outage_to_the_outer_one(void **state)
{
    wbrig *r = *state;
    tower t = raise_tower(r);
    blob_address a;
    blob_ctx *soon;
    uint64_t size;

    test_ok(wbstore_close(r->w, NULL));
    test_ok(wbstore_cas_put(t.outer, NULL, "kept", 4, &a));
    test_status(wbstore_size(t.outer, NULL, test_key("k"), &size), BLOB_CLOSED);
    test_ok(blob_ctx_new_timeout(&soon, NULL, 20));
    test_status(wbstore_sync(t.outer, soon), -ETIMEDOUT);
    test_expect(wbstore_as_store(t.outer), blob_address_key(&a), "kept");
    test_expect(t.buf, blob_address_key(&a), "kept");
    blob_ctx_free(soon);
    raze_tower(&t);
}

static void three_floors_with_faults_in_the_cellar_lose_nothing(void **state)
{
    wbrig *r = *state;
    blob_store *top_buf;
    wbstore *top;
    tower t;

    blob_faultstore_add(r->base,
                        &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .status = BLOB_UNAVAILABLE, .every = 2});
    t = raise_tower(r);
    test_ok(blob_memstore_new(&top_buf));
    test_ok(wbstore_new(&top, NULL, wbstore_as_store(t.outer), top_buf, &r->options));
    for (unsigned char n = 0; n < 100; n++)
        test_ok(wbstore_cas_put(top, NULL, &n, 1, NULL));
    test_ok(wbstore_sync(top, NULL));
    assert_int_equal(test_len(r->base_mem), 100);
    assert_int_equal(test_len(top_buf), 0);
    wbstore_free(top);
    test_ok(blob_store_close(top_buf, NULL));
    raze_tower(&t);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, wbrig_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(put_goes_to_the_base_at_once_and_not_into_the_buffer),
        TEST(list_and_len_are_the_bases_unless_asked_otherwise),
        TEST(delete_goes_to_the_base_too),
        TEST(as_store_does_what_the_wrapper_does),
        TEST(what_the_base_says_of_itself_the_wrapper_says_too),
        TEST(a_wrapper_over_a_wrapper_brings_blobs_to_the_inner_ones_base),
        TEST(an_outer_wrapper_sees_what_is_pending_in_the_inner_one),
        TEST(an_inner_wrapper_that_closes_is_an_outage_to_the_outer_one),
        TEST(three_floors_with_faults_in_the_cellar_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
