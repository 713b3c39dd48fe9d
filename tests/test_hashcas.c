/* hashcas: addresses come from the hash, blobs go to the inner store, and everything else is the inner store's. Over
 * a memstore for what is stored, over a probe that notes each call and answers as told for what is passed on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <wbstore/stores.h>

#include "blob/store.h"

/* ---- the probe ---- */

typedef struct probe {
    blob_store store;
    int answer; /* what every operation returns */
    unsigned calls, closed;
    const char *op; /* the last call and what it was given */
    blob_ctx *ctx;
    blob_key key;
    blob_view data;
    unsigned flags;
    void *arg;
    blob_list_fn *fn;
} probe;

static int probe_note(blob_store *s, const char *op, blob_ctx *ctx, blob_key key)
{
    probe *p = (probe *)(void *)s;
    p->calls++;
    p->op = op;
    p->ctx = ctx;
    p->key = key;
    return p->answer == 0 ? 0 : blob_fail(p->answer, 0, "the probe's own words");
}

static int probe_get(blob_store *s, blob_ctx *ctx, blob_key key, blob **out)
{
    int rc = probe_note(s, "get", ctx, key);
    return rc == 0 ? blob_new_copy(out, "got", 3) : rc;
}

static int probe_put(blob_store *s, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags)
{
    ((probe *)(void *)s)->data = data;
    ((probe *)(void *)s)->flags = flags;
    return probe_note(s, "put", ctx, key);
}

static int probe_del(blob_store *s, blob_ctx *ctx, blob_key key, unsigned flags)
{
    ((probe *)(void *)s)->flags = flags;
    return probe_note(s, "del", ctx, key);
}

static int probe_size(blob_store *s, blob_ctx *ctx, blob_key key, uint64_t *out)
{
    *out = 1234567890123;
    return probe_note(s, "size", ctx, key);
}

static int probe_list(blob_store *s, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg)
{
    ((probe *)(void *)s)->fn = fn;
    ((probe *)(void *)s)->arg = arg;
    return probe_note(s, "list", ctx, start);
}

static int probe_len(blob_store *s, blob_ctx *ctx, uint64_t *out)
{
    *out = 42;
    return probe_note(s, "len", ctx, blob_key_of(NULL, 0));
}

static int probe_close(blob_store *s, blob_ctx *ctx)
{
    ((probe *)(void *)s)->closed++;
    return probe_note(s, "close", ctx, blob_key_of(NULL, 0));
}

static unsigned probe_traits(blob_store *s)
{
    (void)s;
    return BLOB_TRAIT_CHECKS_KEYS;
}

static int64_t probe_in_doubt_ms(blob_store *s)
{
    (void)s;
    return 7000;
}

static const blob_store_ops probe_ops = {
    .struct_size = sizeof probe_ops,
    .name = "probe",
    .get = probe_get,
    .put = probe_put,
    .del = probe_del,
    .size = probe_size,
    .list = probe_list,
    .len = probe_len,
    .close = probe_close,
    .traits = probe_traits,
    .in_doubt_ms = probe_in_doubt_ms,
};

/* ---- a host's own hash: the form of git's SHA-1, not its strength ---- */

static void toy_digest(const void *data, size_t size, unsigned char *out)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < 20; i++) {
        uint32_t h = 2166136261u + (uint32_t)i;
        for (size_t j = 0; j < size; j++)
            h = (h ^ bytes[j]) * 16777619u;
        out[i] = (unsigned char)(h >> 16);
    }
}

static const blob_hash toy_hash = {.name = "toy", .size = 20, .digest = toy_digest};

/* ---- helpers ---- */

static blob_view view(const char *text)
{
    return blob_view_of(text, strlen(text));
}

static void assert_holds(blob_store *s, const blob_address *address, const char *text)
{
    blob *b = NULL;
    assert_int_equal(blob_store_get(s, NULL, blob_address_key(address), &b), 0);
    assert_int_equal(b->size, strlen(text));
    assert_memory_equal(b->data, text, b->size);
    blob_unref(b);
}

static void assert_len(blob_store *s, uint64_t expected)
{
    uint64_t len;
    assert_int_equal(blob_store_len(s, NULL, &len), 0);
    assert_int_equal(len, expected);
}

static void assert_address(const blob_address *address, const char *hex)
{
    char got[2 * BLOB_ADDRESS_MAX + 1];
    blob_key_hex(blob_address_key(address), got);
    assert_string_equal(got, hex);
}

#define SHA256_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SHA256_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

/* ---- over a memstore ---- */

typedef struct fixture {
    blob_store *inner, *cas;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    *state = &f;
    if (blob_memstore_new(&f.inner) != 0)
        return -1;
    return blob_hashcas_new(&f.cas, f.inner, blob_hash_sha256());
}

static int tear_down(void **state)
{
    fixture *f = *state;
    return blob_store_close(f->cas, NULL) | blob_store_close(f->inner, NULL);
}

static void cas_key_is_the_hash_and_stores_nothing(void **state)
{
    fixture *f = *state;
    blob_address address;

    assert_int_equal(blob_store_cas_key(f->cas, NULL, view("abc"), &address), 0);
    assert_address(&address, SHA256_ABC);
    assert_int_equal(blob_store_cas_key(f->cas, NULL, blob_view_of(NULL, 0), &address), 0);
    assert_address(&address, SHA256_EMPTY);
    assert_len(f->inner, 0);
}

static void cas_put_stores_under_the_address_in_the_inner_store(void **state)
{
    fixture *f = *state;
    blob_address abc, empty;

    assert_int_equal(blob_store_cas_put(f->cas, NULL, view("abc"), &abc), 0);
    assert_address(&abc, SHA256_ABC);
    assert_int_equal(blob_store_cas_put(f->cas, NULL, blob_view_of(NULL, 0), &empty), 0);
    assert_address(&empty, SHA256_EMPTY);
    assert_holds(f->cas, &abc, "abc");
    assert_holds(f->inner, &abc, "abc");
    assert_holds(f->inner, &empty, "");
    assert_len(f->inner, 2);
}

static void a_duplicate_cas_put_is_success_and_replaces_nothing(void **state)
{
    fixture *f = *state;
    blob_address address, again;

    assert_int_equal(blob_store_cas_key(f->cas, NULL, view("abc"), &address), 0);
    assert_int_equal(blob_store_put(f->inner, NULL, blob_address_key(&address), view("was here"), 0), 0);
    assert_int_equal(blob_store_cas_put(f->cas, NULL, view("abc"), &again), 0);
    assert_address(&again, SHA256_ABC);
    assert_holds(f->inner, &address, "was here");
    assert_len(f->inner, 1);
}

static void a_host_may_bring_its_own_hash(void **state)
{
    fixture *f = *state;
    blob_store *toy;
    blob_address address;
    unsigned char expected[20];

    toy_digest("abc", 3, expected);
    assert_int_equal(blob_hashcas_new(&toy, f->inner, &toy_hash), 0);
    assert_int_equal(blob_store_cas_put(toy, NULL, view("abc"), &address), 0);
    assert_int_equal(address.size, 20);
    assert_memory_equal(address.bytes, expected, 20);
    assert_holds(f->inner, &address, "abc");
    assert_int_equal(blob_store_cas_key(toy, NULL, blob_view_of(NULL, 0), &address), 0);
    assert_int_equal(blob_store_close(toy, NULL), 0);
}

static void an_inner_stores_own_addresses_give_way_to_the_wrappers(void **state)
{
    fixture *f = *state;
    blob_store *outer;
    blob_address address;

    assert_int_equal(blob_hashcas_new(&outer, f->cas, &toy_hash), 0);
    assert_int_equal(blob_store_cas_put(outer, NULL, view("abc"), &address), 0);
    assert_int_equal(address.size, 20);
    assert_holds(f->inner, &address, "abc");
    assert_len(f->inner, 1);
    assert_int_equal(blob_store_close(outer, NULL), 0);
}

static void close_leaves_the_inner_store_open(void **state)
{
    fixture *f = *state;
    blob_address address;

    assert_int_equal(blob_store_cas_put(f->cas, NULL, view("abc"), &address), 0);
    assert_int_equal(blob_store_close(f->cas, NULL), 0);
    assert_holds(f->inner, &address, "abc");
    assert_int_equal(blob_hashcas_new(&f->cas, f->inner, blob_hash_sha256()), 0);
    assert_holds(f->cas, &address, "abc");
}

/* ---- over the probe ---- */

static blob_store *new_over_probe(probe *p)
{
    blob_store *cas = NULL;
    *p = (probe){.store = {.ops = &probe_ops}};
    assert_int_equal(blob_hashcas_new(&cas, &p->store, blob_hash_sha256()), 0);
    return cas;
}

static void assert_passed_on(const probe *p, const char *op, blob_ctx *ctx, blob_key key)
{
    assert_string_equal(p->op, op);
    assert_ptr_equal(p->ctx, ctx);
    assert_ptr_equal(p->key.data, key.data);
    assert_int_equal(p->key.size, key.size);
}

static int list_nothing(void *arg, blob_key key, uint64_t size)
{
    (void)arg;
    (void)key;
    (void)size;
    return 0;
}

static void every_other_operation_is_the_inner_stores(void **state)
{
    probe p;
    blob_store *cas = new_over_probe(&p);
    blob_key key = blob_key_of("key", 3), none = blob_key_of(NULL, 0);
    blob_view data = view("data");
    blob_ctx *ctx;
    blob *got = NULL;
    uint64_t n;

    (void)state;
    assert_int_equal(blob_ctx_new(&ctx, NULL), 0);
    assert_int_equal(blob_store_get(cas, ctx, key, &got), 0);
    assert_passed_on(&p, "get", ctx, key);
    assert_memory_equal(got->data, "got", 3);
    blob_unref(got);
    assert_int_equal(blob_store_put(cas, ctx, key, data, BLOB_REPLACE), 0);
    assert_passed_on(&p, "put", ctx, key);
    assert_ptr_equal(p.data.data, data.data);
    assert_int_equal(p.data.size, data.size);
    assert_int_equal(p.flags, BLOB_REPLACE);
    assert_int_equal(blob_store_put(cas, ctx, key, data, 0), 0);
    assert_int_equal(p.flags, 0);
    assert_int_equal(blob_store_delete(cas, ctx, key, BLOB_LAZY), 0);
    assert_passed_on(&p, "del", ctx, key);
    assert_int_equal(p.flags, BLOB_LAZY);
    assert_int_equal(blob_store_size(cas, ctx, key, &n), 0);
    assert_passed_on(&p, "size", ctx, key);
    assert_true(n == 1234567890123);
    assert_int_equal(blob_store_list(cas, ctx, key, list_nothing, &n), 0);
    assert_passed_on(&p, "list", ctx, key);
    assert_true(p.fn == list_nothing);
    assert_ptr_equal(p.arg, &n);
    assert_int_equal(blob_store_len(cas, ctx, &n), 0);
    assert_passed_on(&p, "len", ctx, none);
    assert_int_equal(n, 42);
    assert_int_equal(p.calls, 7);
    blob_ctx_free(ctx);
    assert_int_equal(blob_store_close(cas, NULL), 0);
}

static void the_inner_stores_errors_come_through(void **state)
{
    probe p;
    blob_store *cas = new_over_probe(&p);
    blob_key key = blob_key_of("key", 3);
    blob *got;
    uint64_t n;
    blob_error detail;

    (void)state;
    p.answer = BLOB_UNAVAILABLE;
    assert_int_equal(blob_store_get(cas, NULL, key, &got), BLOB_UNAVAILABLE);
    assert_int_equal(blob_store_put(cas, NULL, key, view("x"), 0), BLOB_UNAVAILABLE);
    assert_int_equal(blob_store_delete(cas, NULL, key, 0), BLOB_UNAVAILABLE);
    assert_int_equal(blob_store_size(cas, NULL, key, &n), BLOB_UNAVAILABLE);
    assert_int_equal(blob_store_list(cas, NULL, key, list_nothing, NULL), BLOB_UNAVAILABLE);
    assert_int_equal(blob_store_len(cas, NULL, &n), BLOB_UNAVAILABLE);
    blob_last_error(&detail);
    assert_int_equal(detail.status, BLOB_UNAVAILABLE);
    assert_string_equal(detail.text, "the probe's own words");
    p.answer = BLOB_EXISTS;
    assert_int_equal(blob_store_put(cas, NULL, key, view("x"), 0), BLOB_EXISTS);
    assert_int_equal(blob_store_close(cas, NULL), 0);
}

static void cas_put_puts_once_under_its_ctx_without_replace(void **state)
{
    probe p;
    blob_store *cas = new_over_probe(&p);
    blob_address address;
    blob_view data = view("abc");
    blob_ctx *ctx;

    (void)state;
    assert_int_equal(blob_ctx_new(&ctx, NULL), 0);
    assert_int_equal(blob_store_cas_put(cas, ctx, data, &address), 0);
    assert_string_equal(p.op, "put");
    assert_int_equal(p.calls, 1);
    assert_ptr_equal(p.ctx, ctx);
    assert_int_equal(p.flags, 0);
    assert_ptr_equal(p.data.data, data.data);
    assert_int_equal(p.data.size, 3);
    blob_ctx_free(ctx);
    assert_int_equal(blob_store_close(cas, NULL), 0);
}

static void a_failed_cas_put_still_gives_the_address(void **state)
{
    static const int answers[] = {BLOB_FULL, BLOB_UNAVAILABLE, BLOB_REJECTED, -EIO, -ENOSPC, -ECANCELED};
    probe p;
    blob_store *cas = new_over_probe(&p);

    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        blob_address address;
        blob_error detail;
        p.answer = answers[i];
        assert_int_equal(blob_store_cas_put(cas, NULL, view("abc"), &address), answers[i]);
        assert_address(&address, SHA256_ABC);
        blob_last_error(&detail);
        assert_string_equal(detail.text, "the probe's own words");
    }
    assert_int_equal(blob_store_close(cas, NULL), 0);
}

static void traits_and_doubt_are_the_inner_stores(void **state)
{
    fixture *f = *state;
    probe p;
    blob_store *cas = new_over_probe(&p);

    assert_int_equal(wb_store_traits(cas), BLOB_TRAIT_CHECKS_KEYS);
    assert_int_equal(wb_store_in_doubt_ms(cas), 7000);
    assert_int_equal(wb_store_traits(f->cas), wb_store_traits(f->inner));
    assert_int_equal(wb_store_in_doubt_ms(f->cas), wb_store_in_doubt_ms(f->inner));
    assert_int_equal(blob_store_close(cas, NULL), 0);
}

static void close_asks_nothing_of_the_inner_store_even_if_its_ctx_ended(void **state)
{
    probe p;
    blob_store *cas = new_over_probe(&p);
    blob_ctx *ctx;

    (void)state;
    assert_int_equal(blob_ctx_new(&ctx, NULL), 0);
    blob_ctx_cancel(ctx);
    assert_int_equal(blob_store_close(cas, ctx), 0);
    assert_int_equal(p.calls, 0);
    assert_int_equal(p.closed, 0);
    blob_ctx_free(ctx);
}

/* ---- arguments ---- */

static void impossible_arguments_are_refused(void **state)
{
    fixture *f = *state;
    static const blob_hash no_size = {.name = "none", .size = 0, .digest = toy_digest};
    static const blob_hash too_large = {.name = "wide", .size = BLOB_ADDRESS_MAX + 1, .digest = toy_digest};
    static const blob_hash no_digest = {.name = "idle", .size = 20, .digest = NULL};
    blob_store no_ops = {.ops = NULL};
    const struct {
        blob_store *inner;
        const blob_hash *hash;
    } wrong[] = {
        {NULL, &toy_hash},    {&no_ops, &toy_hash},   {f->inner, NULL},
        {f->inner, &no_size}, {f->inner, &too_large}, {f->inner, &no_digest},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        blob_store *cas = f->inner;
        assert_int_equal(blob_hashcas_new(&cas, wrong[i].inner, wrong[i].hash), -EINVAL);
        assert_null(cas);
    }
    assert_int_equal(blob_hashcas_new(NULL, f->inner, &toy_hash), -EINVAL);
}

static void wide_digest(const void *data, size_t size, unsigned char *out)
{
    (void)data;
    memset(out, (int)size + 1, BLOB_ADDRESS_MAX);
}

static void narrow_digest(const void *data, size_t size, unsigned char *out)
{
    (void)data;
    *out = (unsigned char)size;
}

static void the_smallest_and_the_largest_address_work(void **state)
{
    fixture *f = *state;
    static const blob_hash hashes[] = {
        {.name = "narrow", .size = 1, .digest = narrow_digest},
        {.name = "wide", .size = BLOB_ADDRESS_MAX, .digest = wide_digest},
    };

    for (size_t i = 0; i < 2; i++) {
        blob_store *cas;
        blob_address address;
        assert_int_equal(blob_hashcas_new(&cas, f->inner, &hashes[i]), 0);
        assert_int_equal(blob_store_cas_put(cas, NULL, view("abc"), &address), 0);
        assert_int_equal(address.size, hashes[i].size);
        assert_holds(f->inner, &address, "abc");
        assert_int_equal(blob_store_close(cas, NULL), 0);
    }
    assert_len(f->inner, 2);
}

#define OVER_MEMSTORE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_MEMSTORE(cas_key_is_the_hash_and_stores_nothing),
        OVER_MEMSTORE(cas_put_stores_under_the_address_in_the_inner_store),
        OVER_MEMSTORE(a_duplicate_cas_put_is_success_and_replaces_nothing),
        OVER_MEMSTORE(a_host_may_bring_its_own_hash),
        OVER_MEMSTORE(an_inner_stores_own_addresses_give_way_to_the_wrappers),
        OVER_MEMSTORE(close_leaves_the_inner_store_open),
        cmocka_unit_test(every_other_operation_is_the_inner_stores),
        cmocka_unit_test(the_inner_stores_errors_come_through),
        cmocka_unit_test(cas_put_puts_once_under_its_ctx_without_replace),
        cmocka_unit_test(a_failed_cas_put_still_gives_the_address),
        OVER_MEMSTORE(traits_and_doubt_are_the_inner_stores),
        cmocka_unit_test(close_asks_nothing_of_the_inner_store_even_if_its_ctx_ended),
        OVER_MEMSTORE(impossible_arguments_are_refused),
        OVER_MEMSTORE(the_smallest_and_the_largest_address_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
