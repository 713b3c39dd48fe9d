/* test_wbstore_odd.c - stores that break their contract must not break the wrapper. */
#include "wbinside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A store that lists a key as no store may, and is a plain one otherwise. */
typedef struct odd_store {
    blob_store store; /* first */
    blob_store *inner;
    blob_key listed;
} odd_store;

static odd_store *odd_of(blob_store *s)
{
    return (odd_store *)(void *)s;
}

static int odd_get(blob_store *s, blob_ctx *ctx, blob_key key, blob **out)
{
    return blob_store_get(odd_of(s)->inner, ctx, key, out);
}

static int odd_put(blob_store *s, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags)
{
    return blob_store_put(odd_of(s)->inner, ctx, key, data, flags);
}

static int odd_del(blob_store *s, blob_ctx *ctx, blob_key key, unsigned flags)
{
    return blob_store_delete(odd_of(s)->inner, ctx, key, flags);
}

static int odd_size(blob_store *s, blob_ctx *ctx, blob_key key, uint64_t *out)
{
    return blob_store_size(odd_of(s)->inner, ctx, key, out);
}

static int odd_list(blob_store *s, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg)
{
    int rc = fn(arg, odd_of(s)->listed, 1);

    return rc != 0 ? rc : blob_store_list(odd_of(s)->inner, ctx, start, fn, arg);
}

static int odd_len(blob_store *s, blob_ctx *ctx, uint64_t *out)
{
    return blob_store_len(odd_of(s)->inner, ctx, out);
}

static int odd_close(blob_store *s, blob_ctx *ctx)
{
    (void)s;
    (void)ctx;
    return 0;
}

static const blob_store_ops odd_ops = {
    .struct_size = sizeof(blob_store_ops),
    .name = "oddstore",
    .get = odd_get,
    .put = odd_put,
    .del = odd_del,
    .size = odd_size,
    .list = odd_list,
    .len = odd_len,
    .close = odd_close,
};

static int count_keys(void *arg, blob_key key, uint64_t size)
{
    (void)key;
    (void)size;
    ++*(unsigned *)arg;
    return 0;
}

static void a_buffer_that_lists_a_key_that_cannot_be_is_an_error_and_harms_nothing(void **state)
{
    static const size_t sizes[] = {BLOB_KEY_MAX + 1, 100000};
    unsigned char *bytes = calloc(1, sizes[1]);

    assert_non_null(bytes);
    for (unsigned i = 0; i < 3; i++) {
        wbrig *r = *state;
        odd_store odd = {.store = {&odd_ops}, .inner = r->buf_mem};
        wbstore *w;
        unsigned listed = 0;
        blob_address a;
        blob_key key;
        odd.listed = i < 2 ? blob_key_of(bytes, sizes[i]) : blob_key_of(NULL, 7);
        r->options.unified_view = 1;
        test_ok(wbstore_new(&w, NULL, blob_faultstore_store(r->base), &odd.store, &r->options));
        test_ok(wbstore_cas_put(w, NULL, "text", 4, &a)); /* what has a ticket goes its way */
        key = blob_address_key(&a);
        test_status(wbstore_rescan(w, NULL), -EIO);
        test_status(wbstore_list(w, NULL, blob_key_of(NULL, 0), count_keys, &listed), -EIO);
        assert_int_equal(listed, 0);
        test_status(wbstore_sync(w, NULL), -EIO);
        test_ok(wbstore_close(w, NULL));
        assert_true(wbrig_in_base(r, &a) || wbrig_in_buffer(r, &a));
        test_status(wbstore_get(w, NULL, key, &(blob *){NULL}), BLOB_CLOSED);
        wbstore_free(w);
        blob_store_delete(r->buf_mem, NULL, key, 0);
    }
    free(bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inside_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_buffer_that_lists_a_key_that_cannot_be_is_an_error_and_harms_nothing),
    };

    return cmocka_run_group_tests_name("odd stores", tests, NULL, NULL);
}
