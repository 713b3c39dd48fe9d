/* test_s3_ceph.c - s3store against a real Ceph: what no simulated server can vouch for, signatures above all.
 *
 * Skipped unless S3_ENDPOINT says where one is (tests/ceph.sh starts one), S3_ACCESS_KEY, S3_SECRET_KEY, S3_BUCKET and
 * S3_REGION how to get in. Each test works under a prefix of its own and leaves nothing there. */
#include "s3store/s3store.h"
#include "testkit/conform_int.h"
#include "testutil.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wbstore/stores.h>
#include <wbstore/wbstore.h>

static char prefix[200]; /* of the test that runs */

static blob_s3store_options options(void)
{
    blob_s3store_options o = blob_s3store_options_default();

    o.endpoint = getenv("S3_ENDPOINT");
    o.access_key = getenv("S3_ACCESS_KEY");
    o.secret_key = getenv("S3_SECRET_KEY");
    o.bucket = getenv("S3_BUCKET");
    o.region = getenv("S3_REGION");
    o.prefix = prefix;
    return o;
}

static blob_store *open_it(const blob_s3store_options *o)
{
    blob_store *s = NULL;

    test_ok(blob_s3store_open(&s, o));
    return s;
}

static int remove_it(void *arg, blob_key key, uint64_t size)
{
    blob_store *s = arg;

    (void)size;
    return blob_store_delete(s, NULL, key, 0);
}

static void set_prefix(const char *last)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(prefix, sizeof prefix, "test-%ld-%ld%09ld%s", (long)getpid(), (long)now.tv_sec, now.tv_nsec, last);
}

static int set_up(void **state)
{
    (void)state;
    test_watchdog(400);
    set_prefix("/");
    return 0;
}

static int tear_down(void **state)
{
    blob_s3store_options o = options();
    blob_store *s = open_it(&o);
    int rc = blob_store_list(s, NULL, blob_key_of(NULL, 0), remove_it, s);

    (void)state;
    blob_store_close(s, NULL);
    return rc;
}

static void print_broken(void *arg, const char *promise, const char *detail)
{
    print_error("%s: %s: %s\n", (const char *)arg, promise, detail);
}

static void expect_conforming(blob_store *s, char *name)
{
    test_status(blob_conform(s, print_broken, name), 0);
    test_status(wb_cf_conform_deletes(s, print_broken, name), 0);
    assert_int_equal(test_len(s), 0);
}

static void it_keeps_the_contract(void **state)
{
    char name[] = "s3store on Ceph";
    blob_s3store_options o = options();
    blob_store *s = open_it(&o);

    (void)state;
    expect_conforming(s, name);
    test_ok(blob_store_close(s, NULL));
}

static void a_wrapper_over_it_does(void **state)
{
    char name[] = "wbstore over s3store on Ceph, memstore";
    blob_s3store_options o = options();
    wbstore_options wo = wbstore_options_default();
    blob_store *s = open_it(&o), *buf;
    wbstore *w;

    (void)state;
    test_ok(blob_memstore_new(&buf));
    wo.unified_view = 1;
    test_ok(wbstore_new(&w, NULL, s, buf, &wo));
    expect_conforming(wbstore_as_store(w), name);
    test_ok(wbstore_sync(w, NULL));
    wbstore_free(w);
    test_ok(blob_store_close(buf, NULL));
    test_ok(blob_store_close(s, NULL));
}

static int see_next(void *arg, blob_key key, uint64_t size)
{
    unsigned *next = arg;

    assert_int_equal(size, *next % 7);
    assert_int_equal(key.size, *next);
    ++*next;
    return 0;
}

/* Each byte of the prefix and of the keys is signed, sent, stored and listed as it is. */
static void awkward_names_come_back(void **state)
{
    unsigned char bytes[BLOB_KEY_MAX];
    blob_s3store_options o = options();
    unsigned next = 0;
    blob_store *s;

    (void)state;
    set_prefix("/a b+c%d/\xc3\xbc&=?#~//./<>\"'*()!$,;:@[]{}|^`\\/");
    s = open_it(&o);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i + 1); /* longer keys are greater ones */
    for (size_t size = 0; size <= sizeof bytes; size += 5)
        test_ok(blob_store_put(s, NULL, blob_key_of(bytes, size), blob_view_of("seven bytes", size % 7), 0));
    for (size_t size = 0; size <= sizeof bytes; size += 5) {
        blob *b = NULL;
        test_ok(blob_store_get(s, NULL, blob_key_of(bytes, size), &b));
        assert_int_equal(b->size, size % 7);
        blob_unref(b);
    }
    for (size_t size = 0; size <= sizeof bytes; size++)
        if (size % 5 != 0)
            test_ok(blob_store_put(s, NULL, blob_key_of(bytes, size), blob_view_of("seven bytes", size % 7), 0));
    test_ok(blob_store_list(s, NULL, blob_key_of(NULL, 0), see_next, &next));
    assert_int_equal(next, BLOB_KEY_MAX + 1);
    for (unsigned from = 1; from <= BLOB_KEY_MAX; from += 31) {
        next = from;
        test_ok(blob_store_list(s, NULL, blob_key_of(bytes, from), see_next, &next));
        assert_int_equal(next, BLOB_KEY_MAX + 1);
    }
    test_ok(blob_store_close(s, NULL));
}

enum { MANY = 1203, MANY_THREADS = 8 };

typedef struct many {
    blob_store *s;
    bool remove;
    atomic_uint failed;
} many;

static void change_many(void *arg, unsigned index)
{
    many *m = arg;

    for (unsigned i = index; i < MANY; i += MANY_THREADS) {
        unsigned char bytes[2] = {(unsigned char)(i >> 8), (unsigned char)i};
        blob_key key = blob_key_of(bytes, 2);

        if ((m->remove ? blob_store_delete(m->s, NULL, key, 0)
                       : blob_store_put(m->s, NULL, key, blob_view_of(NULL, 0), 0)) != 0)
            atomic_fetch_add(&m->failed, 1);
    }
}

static void more_than_a_page_is_listed(void **state)
{
    blob_s3store_options o = options();
    many m = {.s = open_it(&o)};

    (void)state;
    test_threads_run(MANY_THREADS, change_many, &m);
    assert_int_equal(test_len(m.s), MANY);
    m.remove = true;
    test_threads_run(MANY_THREADS, change_many, &m);
    assert_int_equal(test_len(m.s), 0);
    assert_int_equal(atomic_load(&m.failed), 0);
    test_ok(blob_store_close(m.s, NULL));
}

static void blobs_of_many_sizes_come_back(void **state)
{
    static const size_t sizes[] = {0, 1, 4096, 65537, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, (9 << 20) + 3};
    blob_s3store_options o = options();
    blob_store *s = open_it(&o);

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *payload = test_payload(i, sizes[i]);
        blob_address a;
        blob *b = NULL;

        test_ok(blob_store_cas_put(s, NULL, blob_view_of(payload, sizes[i]), &a));
        test_ok(blob_store_cas_put(s, NULL, blob_view_of(payload, sizes[i]), &a));
        test_ok(blob_store_get(s, NULL, blob_address_key(&a), &b));
        assert_int_equal(b->size, sizes[i]);
        if (sizes[i] > 0)
            assert_memory_equal(b->data, payload, sizes[i]);
        blob_unref(b);
        free(payload);
    }
    test_ok(blob_store_close(s, NULL));
}

static void what_ceph_refuses_is_understood(void **state)
{
    blob_s3store_options o = options();
    s3_name name;
    s3_call first = {.method = "GET", .name = name.text, .first_byte = true, .answer_max = 1};
    unsigned char digest[32];
    uint64_t size;
    blob_error e;
    blob_store *s;

    (void)state;
    o.keys_are_sha256 = 1;
    s = open_it(&o);
    blob_hash_sha256()->digest("right", 5, digest);
    test_status(blob_store_put(s, NULL, blob_key_of(digest, 32), blob_view_of("wrong", 5), 0), BLOB_CORRUPT);
    test_status(blob_store_size(s, NULL, blob_key_of(digest, 32), &size), BLOB_NOT_FOUND);
    test_ok(blob_store_put(s, NULL, blob_key_of(digest, 32), blob_view_of("right", 5), 0));
    /* What asks for the words of a refused HEAD, were it granted. */
    s3_name_of(blob_key_of(digest, 32), &name);
    test_ok(s3_call_run(s3_of(s), NULL, &first));
    assert_int_equal(first.head.status, 206);
    assert_int_equal(first.answer->size, 1);
    s3_call_end(&first);
    /* Credentials that are wrong, and then right again, while it is open. */
    test_ok(blob_s3store_set_credentials(s, o.access_key, "another secret", NULL));
    for (int i = 0; i < 2; i++) { /* a HEAD, whose answer has no words, and a GET */
        test_status(i == 0 ? blob_store_size(s, NULL, blob_key_of(digest, 32), &size) : blob_store_len(s, NULL, &size),
                    BLOB_DENIED);
        blob_last_error(&e);
        assert_non_null(strstr(e.text, "SignatureDoesNotMatch"));
    }
    test_ok(blob_s3store_set_credentials(s, "nobody", o.secret_key, NULL));
    test_status(blob_store_put(s, NULL, test_key("k"), blob_view_of("v", 1), 0), BLOB_DENIED);
    test_ok(blob_s3store_set_credentials(s, o.access_key, o.secret_key, NULL));
    test_expect(s, blob_key_of(digest, 32), "right");
    test_ok(blob_store_close(s, NULL));

    o.bucket = "no-such-bucket-here";
    s = open_it(&o);
    test_status(blob_store_size(s, NULL, test_key("k"), &size), BLOB_DENIED);
    test_status(blob_store_put(s, NULL, test_key("k"), blob_view_of("v", 1), 0), BLOB_DENIED);
    test_status(blob_store_put(s, NULL, test_key("k"), blob_view_of("v", 1), BLOB_REPLACE), BLOB_DENIED);
    test_status(blob_store_delete(s, NULL, test_key("k"), 0), BLOB_DENIED);
    test_status(blob_store_len(s, NULL, &size), BLOB_DENIED);
    blob_last_error(&e);
    assert_non_null(strstr(e.text, "no such bucket"));
    test_ok(blob_store_close(s, NULL));
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(it_keeps_the_contract),      T(a_wrapper_over_it_does),        T(awkward_names_come_back),
        T(more_than_a_page_is_listed), T(blobs_of_many_sizes_come_back), T(what_ceph_refuses_is_understood),
    };

    if (getenv("S3_ENDPOINT") == NULL) {
        puts("skipped: S3_ENDPOINT is not set; tests/ceph.sh starts a Ceph to test against");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
