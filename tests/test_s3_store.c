/* test_s3_store.c - s3store as a store: names, blobs of every size, deletes, content addresses, keys that are hashes,
 * bounds. The other test_s3_*.c have its options, conditional puts, listings, races, answers and secrets. */
#include "s3_test.h"
#include "blob/store.h"

static void a_blob_is_an_object_of_its_bytes_under_its_hex(void **state)
{
    blob_s3store_options o = t_options();
    size_t size = 0;
    blob_store *s;
    char *bytes;

    (void)state;
    o.prefix = "backup/";
    s = t_open_as(&o);
    test_ok(t_put(s, test_key("k\xff"), "the bytes", 0));
    test_ok(t_put(s, test_key(""), "of nobody", 0));
    bytes = s3sim_copy(t_sim, "backup/6bff", &size);
    assert_non_null(bytes);
    assert_int_equal(size, 9);
    assert_string_equal(bytes, "the bytes");
    free(bytes);
    bytes = s3sim_copy(t_sim, "backup/-", &size);
    assert_non_null(bytes);
    assert_string_equal(bytes, "of nobody");
    free(bytes);
    assert_int_equal(s3sim_count(t_sim), 2);
    t_close(s);
}

static void what_others_put_is_found(void **state)
{
    blob_store *s = t_open();
    uint64_t size = 0;

    (void)state;
    s3sim_put(t_sim, "6b", "from elsewhere", SIZE_MAX);
    test_expect(s, test_key("k"), "from elsewhere");
    test_ok(blob_store_size(s, NULL, test_key("k"), &size));
    assert_int_equal(size, 14);
    assert_true(s3sim_remove(t_sim, "6b"));
    test_expect_missing(s, test_key("k"));
    t_close(s);
}

static void keys_of_every_length_and_byte_keep_their_blobs(void **state)
{
    unsigned char bytes[BLOB_KEY_MAX];
    blob_s3store_options o = t_options();
    blob_store *s;
    char text[40];

    (void)state;
    o.prefix = "a b+c%d/\xc3\xbc&=?#~//.././<>\"'";
    s = t_open_as(&o);
    for (int round = 0; round < 3; round++) {
        for (size_t length = 0; length <= BLOB_KEY_MAX; length++) {
            blob_key key = blob_key_of(bytes, length);

            for (size_t i = 0; i < length; i++)
                bytes[i] = (unsigned char)(length + i);
            snprintf(text, sizeof text, "blob of %zu", length);
            if (round == 0) {
                test_status(t_get(s, key), BLOB_NOT_FOUND);
                test_ok(t_put(s, key, text, 0));
            }
            test_expect(s, key, text);
            if (round == 2)
                test_ok(t_del(s, key));
        }
        assert_int_equal(test_len(s), round < 2 ? BLOB_KEY_MAX + 1 : 0);
    }
    t_close(s);
}

static void the_longest_prefix_leaves_room_for_the_longest_key(void **state)
{
    char prefix[S3_PREFIX_MAX + 1], bytes[BLOB_KEY_MAX];
    blob_s3store_options o = t_options();
    blob_store *s;

    (void)state;
    memset(prefix, 'p', sizeof prefix);
    prefix[S3_PREFIX_MAX] = '\0';
    memset(bytes, 0xff, sizeof bytes);
    o.prefix = prefix;
    s = t_open_as(&o);
    test_ok(t_put(s, blob_key_of(bytes, sizeof bytes), "far", 0));
    test_expect(s, blob_key_of(bytes, sizeof bytes), "far");
    assert_int_equal(test_len(s), 1);
    t_close(s);
}

static void blobs_of_every_size_come_back(void **state)
{
    static const size_t sizes[] = {0,     1,     2,     4095,  4096,          4097,    16383,   16384,
                                   16385, 65535, 65536, 65537, (1 << 20) - 1, 1 << 20, 3 << 20, (8 << 20) + 7};
    blob_store *s = t_open();
    uint64_t size;

    (void)state;
    for (size_t chunked = 0; chunked < 2; chunked++) {
        T_SET(objects_too, chunked == 1);
        T_SET(chunk, chunked * 1000);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            void *payload = test_payload(i, sizes[i]);
            blob *b = NULL;

            test_ok(blob_store_put(s, NULL, test_key("k"), blob_view_of(payload, sizes[i]), BLOB_REPLACE));
            test_ok(blob_store_get(s, NULL, test_key("k"), &b));
            assert_int_equal(b->size, sizes[i]);
            if (sizes[i] > 0)
                assert_memory_equal(b->data, payload, sizes[i]);
            blob_unref(b);
            test_ok(blob_store_size(s, NULL, test_key("k"), &size));
            assert_int_equal(size, sizes[i]);
            free(payload);
        }
    }
    t_close(s);
}

static void put_keeps_and_replace_replaces(void **state)
{
    static const s3sim_conditional all[] = {S3SIM_HONOURS, S3SIM_IGNORES, S3SIM_REFUSES};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        blob_store *s = t_open();

        T_SET(conditional, all[i]);
        for (int round = 0; round < 2; round++) {
            test_ok(t_put(s, test_key("k"), "one", round == 0 ? 0 : BLOB_REPLACE));
            test_status(t_put(s, test_key("k"), "two", 0), BLOB_EXISTS);
            test_expect(s, test_key("k"), "one");
            test_ok(t_put(s, test_key("k"), "three", BLOB_REPLACE));
            test_expect(s, test_key("k"), "three");
        }
        test_ok(t_del(s, test_key("k")));
        test_status(t_del(s, test_key("k")), BLOB_NOT_FOUND);
        test_expect_missing(s, test_key("k"));
        t_close(s);
    }
}

/* ---- deletes ---- */

static void delete_looks_before_it_deletes(void **state)
{
    blob_store *s = t_open();

    (void)state;
    t_warm(s);
    test_status(t_del(s, test_key("a")), BLOB_NOT_FOUND);
    t_expect_requests("HEAD");
    test_ok(t_put(s, test_key("a"), "a", 0));
    s3sim_forget(t_sim);
    test_ok(blob_store_delete(s, NULL, test_key("a"), BLOB_LAZY));
    t_expect_requests("HEAD DELETE");
    test_expect_missing(s, test_key("a"));
    /* One who is faster between the two: the key is gone, and it was there. */
    test_ok(t_put(s, test_key("a"), "a", 0));
    T_FAIL(.act = S3SIM_ANSWER, .method = "DELETE", .count = 1, .status = 404, .code = "NoSuchKey");
    test_ok(t_del(s, test_key("a")));
    T_FAIL(.act = S3SIM_ANSWER, .method = "DELETE", .count = 1, .status = 503);
    test_status(t_del(s, test_key("a")), BLOB_UNAVAILABLE);
    test_expect(s, test_key("a"), "a");
    t_close(s);
}

/* ---- content addresses, and keys that are hashes ---- */

static const unsigned char abc_sha256[32] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                                             0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                                             0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
#define ABC_NAME "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void an_address_is_the_sha256_and_is_put_once(void **state)
{
    blob_store *s = t_open();
    blob_address a;

    (void)state;
    t_warm(s);
    test_ok(blob_store_cas_key(s, NULL, blob_view_of("abc", 3), &a));
    assert_int_equal(a.size, 32);
    assert_memory_equal(a.bytes, abc_sha256, 32);
    t_expect_requests("");
    test_ok(blob_store_cas_put(s, NULL, blob_view_of("abc", 3), &a));
    t_expect_requests("PUT*");
    test_ok(blob_store_cas_put(s, NULL, blob_view_of("abc", 3), &a));
    assert_memory_equal(a.bytes, abc_sha256, 32);
    t_expect_requests("PUT* HEAD");
    /* Half of it, from some other tool. */
    s3sim_put(t_sim, ABC_NAME, "ab", 2);
    test_ok(blob_store_cas_put(s, NULL, blob_view_of("abc", 3), &a));
    test_expect(s, blob_address_key(&a), "abc");
    /* There, and gone again before its size could be asked for. */
    assert_true(s3sim_remove(t_sim, ABC_NAME));
    s3sim_forget(t_sim);
    T_FAIL(.act = S3SIM_ANSWER, .method = "PUT", .count = 1, .status = 412, .code = "PreconditionFailed");
    test_ok(blob_store_cas_put(s, NULL, blob_view_of("abc", 3), &a));
    t_expect_requests("PUT* HEAD PUT");
    test_expect(s, blob_address_key(&a), "abc");
    /* The address is told in any case. */
    T_FAIL(.act = S3SIM_ANSWER, .method = "PUT", .count = 1, .status = 503);
    test_status(blob_store_cas_put(s, NULL, blob_view_of("abcd", 4), &a), BLOB_UNAVAILABLE);
    assert_int_equal(a.size, 32);
    t_close(s);
}

static void last_bytes(const void *data, size_t size, unsigned char *out)
{
    const unsigned char *from = data;

    for (size_t i = 0; i < 5; i++)
        out[i] = i < size ? from[size - 1 - i] : 0;
}

static void a_host_brings_its_own_hash(void **state)
{
    static const blob_hash hash = {.name = "last", .size = 5, .digest = last_bytes};
    blob_s3store_options o = t_options();
    blob_address a;
    blob_store *s;

    (void)state;
    o.hash = &hash;
    o.keys_are_sha256 = 1; /* those of 32 bytes only */
    s = t_open_as(&o);
    test_ok(blob_store_cas_put(s, NULL, blob_view_of("abcdefg", 7), &a));
    assert_int_equal(a.size, 5);
    assert_memory_equal(a.bytes, "gfedc", 5);
    test_expect(s, blob_address_key(&a), "abcdefg");
    t_close(s);
}

static void bytes_that_are_not_those_of_their_key_are_refused(void **state)
{
    blob_s3store_options o = t_options();
    blob_key key = blob_key_of(abc_sha256, 32);
    blob_store *s;

    (void)state;
    o.keys_are_sha256 = 1;
    s = t_open_as(&o);
    assert_int_equal(wb_store_traits(s), BLOB_TRAIT_CHECKS_KEYS);
    test_status(t_put(s, key, "abd", 0), BLOB_CORRUPT);
    test_status(t_put(s, key, "abd", BLOB_REPLACE), BLOB_CORRUPT);
    t_expect_words(BLOB_CORRUPT, "do not hash to their key");
    assert_false(s3sim_has(t_sim, ABC_NAME));
    test_ok(t_put(s, key, "abc", 0));
    test_expect(s, key, "abc");
    test_ok(t_put(s, test_key("k"), "whatever", 0));
    test_expect(s, test_key("k"), "whatever");
    /* They are right, and something on the way changed them: worth trying again. */
    T_FAIL(.act = S3SIM_ANSWER, .method = "PUT", .count = 1, .status = 400, .code = "XAmzContentSHA256Mismatch");
    test_status(t_put(s, key, "abc", BLOB_REPLACE), BLOB_UNAVAILABLE);
    s3sim_put(t_sim, ABC_NAME, "abd", 3);
    test_status(t_get(s, key), BLOB_CORRUPT);
    t_close(s);

    o.keys_are_sha256 = 0;
    s = t_open_as(&o);
    assert_int_equal(wb_store_traits(s), 0);
    test_expect(s, key, "abd");
    t_close(s);
}

/* ---- bounds ---- */

static void a_blob_over_the_bound_is_not_read(void **state)
{
    blob_s3store_options o = t_options();
    blob_store *s;

    (void)state;
    o.blob_bytes_max = 10;
    s = t_open_as(&o);
    test_ok(t_put(s, test_key("a"), "ten bytes.", 0));
    test_ok(t_put(s, test_key("b"), "ten bytes..", 0));
    test_expect(s, test_key("a"), "ten bytes.");
    test_status(t_get(s, test_key("b")), -EFBIG);
    t_expect_words(-EFBIG, " 11 bytes");
    test_status(t_get(s, test_key("c")), BLOB_NOT_FOUND); /* which takes more than 10 bytes to say */
    t_expect_words(BLOB_NOT_FOUND, "NoSuchKey");
    assert_int_equal(test_len(s), 2);
    t_close(s);
}

static void a_blob_that_no_request_can_send_is_rejected(void **state)
{
    blob_store *s = t_open();

    (void)state;
#if SIZE_MAX > UINT32_MAX /* else there is no such blob */
    test_status(blob_store_put(s, NULL, test_key("a"), blob_view_of("x", S3_PUT_MAX + 1), 0), BLOB_REJECTED);
    t_expect_words(BLOB_REJECTED, "5368709121 bytes");
#endif
    t_expect_requests("");
    T_SET(size_max, 4);
    test_status(t_put(s, test_key("a"), "12345", 0), BLOB_REJECTED);
    T_SET(size_early, true);
    test_status(t_put(s, test_key("a"), "12345", 0), BLOB_REJECTED);
    t_close(s);
}

static void a_quota_is_no_space(void **state)
{
    blob_store *s = t_open();

    (void)state;
    T_SET(quota, 4);
    test_status(t_put(s, test_key("a"), "12345", 0), -ENOSPC);
    test_ok(t_put(s, test_key("a"), "1234", 0));
    t_close(s);
}

static void what_is_in_doubt_and_for_how_long_is_told(void **state)
{
    blob_s3store_options o = t_options();
    blob_store *s = t_open();

    (void)state;
    assert_int_equal(wb_store_in_doubt_ms(s), 60000);
    t_close(s);
    o.in_doubt_ms = -1;
    s = t_open_as(&o);
    assert_int_equal(s->ops->in_doubt_ms(s), 0);
    t_close(s);
    o.in_doubt_ms = 5;
    s = t_open_as(&o);
    assert_int_equal(wb_store_in_doubt_ms(s), 5);
    t_close(s);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, t_setup, t_teardown)
    const struct CMUnitTest tests[] = {
        T(a_blob_is_an_object_of_its_bytes_under_its_hex),
        T(what_others_put_is_found),
        T(keys_of_every_length_and_byte_keep_their_blobs),
        T(the_longest_prefix_leaves_room_for_the_longest_key),
        T(blobs_of_every_size_come_back),
        T(put_keeps_and_replace_replaces),
        T(delete_looks_before_it_deletes),
        T(an_address_is_the_sha256_and_is_put_once),
        T(a_host_brings_its_own_hash),
        T(bytes_that_are_not_those_of_their_key_are_refused),
        T(a_blob_over_the_bound_is_not_read),
        T(a_blob_that_no_request_can_send_is_rejected),
        T(a_quota_is_no_space),
        T(what_is_in_doubt_and_for_how_long_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
