/* test_wbstore_lost.c - a put that returned 0 has its bytes in the buffer or in the base, whatever went wrong with the
 * key before; and what the buffer holds is pending, whoever refused or failed meanwhile. */
#include "wbinside.h"

#include <errno.h>
#include <string.h>

/* One delete of this key in the buffer takes effect, and nobody hears of it. */
static blob_faultstore_rule *lose_the_answer_to_a_removal(wbrig *r, const blob_address *a)
{
    blob_key key = blob_address_key(a);

    return blob_faultstore_add(
        r->buf, &(blob_faultstore_fault){
                    .ops = BLOB_FAULT_DELETE, .key = &key, .when = BLOB_FAULT_AFTER, .status = -EIO, .count = 1});
}

static void expect_in_base(wbrig *r, const blob_address *a, const char *text)
{
    test_ok(wbstore_sync(r->w, NULL));
    test_expect(r->base_mem, blob_address_key(a), text);
    assert_false(wbrig_in_buffer(r, a));
    inside_stats(r);
}

static void a_put_after_a_delete_that_failed_halfway_does_not_rely_on_what_it_may_have_removed(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_faultstore_rule *upload = inside_hold(r->base, BLOB_FAULT_PUT, &a), *read;

    wbrig_start(r);
    wbrig_put(r, "text");
    blob_faultstore_wait_held(upload, 1);
    read = inside_hold(r->buf, BLOB_FAULT_GET, &a); /* no writer finds out before the put */
    lose_the_answer_to_a_removal(r, &a);
    test_status(wbstore_delete(r->w, NULL, blob_address_key(&a)), -EIO);
    wbrig_put(r, "text");
    assert_true(wbrig_in_buffer(r, &a));
    blob_faultstore_lift(upload);
    blob_faultstore_lift(read);
    expect_in_base(r, &a, "text");
}

static void a_put_after_a_replace_that_failed_halfway_does_not_rely_on_what_it_may_have_removed(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text");
    blob_key key = blob_address_key(&a);
    blob_faultstore_rule *read,
        *upload = blob_faultstore_add(
            r->base,
            &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .key = &key, .action = BLOB_FAULT_HOLD, .count = 1});

    wbrig_start(r);
    wbrig_put(r, "text");
    blob_faultstore_wait_held(upload, 1);
    read = inside_hold(r->buf, BLOB_FAULT_GET, &a);
    lose_the_answer_to_a_removal(r, &a);
    test_status(wbstore_put(r->w, NULL, key, blob_view_of("other bytes", 11), BLOB_REPLACE), -EIO);
    wbrig_put(r, "text");
    assert_true(wbrig_in_buffer(r, &a));
    blob_faultstore_lift(read);
    expect_in_base(r, &a, "text");
}

/* Corrupt in the buffer, and known to be so. */
static blob_address park_corrupt(wbrig *r, const char *text)
{
    blob_address a = wbrig_address(text);
    blob_key key = blob_address_key(&a);

    blob_faultstore_add(
        r->buf, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .key = &key, .action = BLOB_FAULT_FLIP, .count = 1});
    wbrig_put(r, text);
    inside_until_state(r->w, key, WBSTORE_PARKED);
    return a;
}

static void a_put_of_a_corrupt_blob_that_is_being_retried_replaces_its_bytes(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *read;
    blob_address a;

    wbrig_start(r);
    a = park_corrupt(r, "text");
    read = inside_hold(r->buf, BLOB_FAULT_GET, &a);
    test_ok(wbstore_retry_parked(r->w));
    wbrig_put(r, "text");
    test_expect(r->buf_mem, blob_address_key(&a), "text");
    blob_faultstore_lift(read);
    expect_in_base(r, &a, "text");
}

static void a_put_of_a_corrupt_blob_after_one_that_failed_replaces_its_bytes(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *read;
    blob_address a;

    wbrig_start(r);
    a = park_corrupt(r, "text");
    read = inside_hold(r->buf, BLOB_FAULT_GET, &a);
    inside_fail(r->buf, BLOB_FAULT_PUT, &a, -EIO, 1);
    test_status(wbstore_cas_put(r->w, NULL, "text", 4, NULL), -EIO);
    wbrig_put(r, "text");
    test_expect(r->buf_mem, blob_address_key(&a), "text");
    blob_faultstore_lift(read);
    expect_in_base(r, &a, "text");
}

/* The listing of the start leaves the key to the put that is writing it; that fails, and the old copy is still there. */
static void a_blob_left_from_before_is_sent_also_when_a_put_of_it_is_refused(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text"), other = wbrig_address("other");
    blob_faultstore_rule *listing = blob_faultstore_hold(r->buf, BLOB_FAULT_LIST, NULL, BLOB_FAULT_BEFORE);
    blob_faultstore_rule *write;
    blob_key key = blob_address_key(&a);
    wbrig_call put;

    r->options.when_full = WBSTORE_FULL_FAIL;
    wbrig_buffer(r, "text");
    inside_fail(r->base, BLOB_FAULT_PUT, &other, BLOB_REJECTED, 0); /* parked: no sync lists the buffer anew */
    wbrig_start(r);
    wbrig_put(r, "other");
    write = blob_faultstore_add(r->buf, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT,
                                                                 .key = &key,
                                                                 .action = BLOB_FAULT_HOLD,
                                                                 .skip = 1, /* the first says that it exists */
                                                                 .status = -ENOSPC});
    inside_put(&put, r, NULL, "text");
    blob_faultstore_wait_held(write, 1);
    blob_faultstore_lift(listing);
    inside_until_resumed(r->w);
    blob_faultstore_lift(write);
    test_status(wbrig_end(&put), BLOB_FULL);
    test_status(wbstore_sync(r->w, NULL), BLOB_REJECTED);
    assert_true(wbrig_in_base(r, &a));
    assert_int_equal(inside_stats(r).pending_blobs, 1);
}

/* It is there, but that is all that can be told: its own upload will tell more, and the others do not wait for it. */
static void a_blob_whose_size_cannot_be_told_is_sent_and_holds_up_no_other(void **state)
{
    wbrig *r = *state;
    blob_address a = wbrig_address("text"), b = wbrig_address("more text");
    blob_key keys[] = {blob_address_key(&a), blob_address_key(&b)};

    wbrig_buffer(r, "text");
    wbrig_buffer(r, "more text");
    inside_fail(r->buf, BLOB_FAULT_SIZE, blob_key_compare(keys[0], keys[1]) < 0 ? &a : &b, -EIO, 0);
    wbrig_start(r);
    test_ok(wbstore_wait_keys(r->w, NULL, keys, 2));
    assert_true(wbrig_in_base(r, &a));
    assert_true(wbrig_in_base(r, &b));
    assert_int_equal(inside_stats(r).resumed, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inside_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_put_after_a_delete_that_failed_halfway_does_not_rely_on_what_it_may_have_removed),
        TEST(a_put_after_a_replace_that_failed_halfway_does_not_rely_on_what_it_may_have_removed),
        TEST(a_put_of_a_corrupt_blob_that_is_being_retried_replaces_its_bytes),
        TEST(a_put_of_a_corrupt_blob_after_one_that_failed_replaces_its_bytes),
        TEST(a_blob_left_from_before_is_sent_also_when_a_put_of_it_is_refused),
        TEST(a_blob_whose_size_cannot_be_told_is_sent_and_holds_up_no_other),
    };

    return cmocka_run_group_tests_name("what is accepted is not lost", tests, NULL, NULL);
}
