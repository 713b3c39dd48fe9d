/* test_memstore.c - the store in memory: its index and its pool, beyond the contract (test_conform_stores). */
#include "memstore/pool.h"
#include "testutil.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wbstore/stores.h>

static void a_null_out_is_refused(void **state)
{
    (void)state;
    test_status(blob_memstore_new(NULL), -EINVAL);
}

static void get_hands_out_the_stored_bytes_without_a_copy(void **state)
{
    blob_store *s;
    blob *a, *b;
    (void)state;

    test_ok(blob_memstore_new(&s));
    test_put(s, test_key("k"), "bytes");
    test_ok(blob_store_get(s, NULL, test_key("k"), &a));
    test_ok(blob_store_get(s, NULL, test_key("k"), &b));
    assert_ptr_equal(a, b);
    blob_unref(a);
    blob_unref(b);
    test_ok(blob_store_close(s, NULL));
}

static void a_blob_outlives_its_replacement_its_delete_and_its_store(void **state)
{
    const size_t sizes[] = {0, 1, 4096, 65536, 65537};
    (void)state;

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *bytes = test_payload(i + 1, sizes[i]), long_key[BLOB_KEY_MAX];
        blob_store *s;
        blob *b[2];

        memset(long_key, 'k', sizeof long_key);
        test_ok(blob_memstore_new(&s));
        for (size_t k = 0; k < 2; k++) {
            blob_key key = blob_key_of(long_key, k == 0 ? 3 : sizeof long_key);
            test_ok(blob_store_put(s, NULL, key, blob_view_of(bytes, sizes[i]), 0));
            test_ok(blob_store_get(s, NULL, key, &b[k]));
            test_ok(blob_store_put(s, NULL, key, blob_view_of("other", 5), BLOB_REPLACE));
            test_ok(blob_store_delete(s, NULL, key, 0));
        }
        test_ok(blob_store_close(s, NULL));
        for (size_t k = 0; k < 2; k++) {
            assert_int_equal(b[k]->size, sizes[i]);
            assert_memory_equal(b[k]->data, bytes, sizes[i]);
            blob_unref(b[k]);
        }
        free(bytes);
    }
}

static void payloads_of_every_size_are_kept_apart_and_aligned(void **state)
{
    enum { SIZES = 700 };
    static blob *held[SIZES];
    blob_store *s;
    (void)state;

    test_ok(blob_memstore_new(&s));
    for (size_t round = 0; round < 3; round++) { /* the later rounds get back what the earlier ones gave */
        for (size_t i = 0; i < SIZES; i++) {
            size_t size = i < 600 ? i : (i - 600) * 661;
            unsigned char *bytes = test_payload(round * SIZES + i, size);
            char key[32];
            snprintf(key, sizeof key, "%zu", i);
            test_ok(blob_store_put(s, NULL, test_key(key), blob_view_of(bytes, size), BLOB_REPLACE));
            test_ok(blob_store_get(s, NULL, test_key(key), &held[i]));
            free(bytes);
        }
        for (size_t i = 0; i < SIZES; i++) {
            unsigned char *bytes = test_payload(round * SIZES + i, held[i]->size);
            assert_memory_equal(held[i]->data, bytes, held[i]->size);
            if (held[i]->size > 0)
                assert_int_equal((uintptr_t)held[i]->data % 16, 0);
            blob_unref(held[i]);
            free(bytes);
        }
    }
    test_ok(blob_store_close(s, NULL));
}

/* ---- the index against a naive model: a sorted array ---- */

enum { MODEL_KEYS = 3000 };

typedef struct model {
    blob *blobs[MODEL_KEYS];
    size_t count;
} model;

static size_t model_find(const model *m, blob_key key, bool *found)
{
    size_t i = 0;

    *found = false;
    while (i < m->count && blob_key_compare(wb_mem_blob_key(m->blobs[i]), key) < 0)
        i++;
    *found = i < m->count && blob_key_compare(wb_mem_blob_key(m->blobs[i]), key) == 0;
    return i;
}

/* Keys with long common prefixes, prefixes of each other, and zero bytes: what a prefix comparison could get wrong. */
static blob_key model_key(test_rng *rng, unsigned char *room)
{
    size_t size = (size_t)test_random_below(rng, 14);

    for (size_t i = 0; i < size; i++)
        room[i] = i < 7 ? (unsigned char)(test_random_below(rng, 2) * 255) : (unsigned char)test_random_below(rng, 4);
    return blob_key_of(room, size);
}

static void drop(void *item)
{
    blob_unref(item);
}

static void model_same(const wb_index *index, const model *m)
{
    wb_place place = {0, 0};
    void **at;
    size_t i = 0;

    for (; (at = wb_index_at(index, place)) != NULL; i++, place = wb_index_next(index, place)) {
        assert_true(i < m->count);
        assert_ptr_equal(*at, m->blobs[i]);
    }
    assert_int_equal(i, m->count);
}

static void model_step(test_rng *rng, wb_index *index, model *m, bool growing)
{
    unsigned char room[16];
    blob_key key = model_key(rng, room);
    wb_place place;
    bool found, add = test_random_below(rng, 10) < (growing ? 7 : 3);
    size_t at = model_find(m, key, &found);

    assert_int_equal(wb_index_find(index, key, &place), found);
    if (!found && add && m->count < MODEL_KEYS) {
        blob *b;
        test_ok(wb_mem_blob_new(index->arg, &b, key, blob_view_of(NULL, 0)));
        test_ok(wb_index_insert(index, place, b));
        memmove(&m->blobs[at + 1], &m->blobs[at], (m->count - at) * sizeof m->blobs[0]);
        m->blobs[at] = b;
        m->count++;
    } else if (found && !add) {
        assert_ptr_equal(*wb_index_at(index, place), m->blobs[at]);
        wb_index_remove(index, place);
        blob_unref(m->blobs[at]);
        m->count--;
        memmove(&m->blobs[at], &m->blobs[at + 1], (m->count - at) * sizeof m->blobs[0]);
    }
}

static void the_index_agrees_with_a_sorted_array(void **state)
{
    wb_mem_pool *pool = wb_mem_pool_new();
    wb_index index = {.kind = &wb_mem_index_kind, .arg = pool};
    model *m = calloc(1, sizeof *m);
    test_rng rng = {.state = 20261122};
    (void)state;

    assert_non_null(pool);
    assert_non_null(m);
    for (size_t step = 0; step < 30000; step++) {
        model_step(&rng, &index, m, step / 6000 % 2 == 0);
        if (step % 500 == 0)
            model_same(&index, m);
    }
    model_same(&index, m);
    wb_index_free(&index, drop);
    wb_mem_pool_close(pool);
    free(m);
}

static void keys_that_come_in_order_leave_full_leaves(void **state)
{
    wb_mem_pool *pool = wb_mem_pool_new();
    wb_index index = {.kind = &wb_mem_index_kind, .arg = pool};
    (void)state;

    for (unsigned i = 0; i < 3200; i++) {
        unsigned char key[2] = {(unsigned char)(i >> 8), (unsigned char)i};
        wb_place place;
        blob *b;
        test_ok(wb_mem_blob_new(pool, &b, blob_key_of(key, 2), blob_view_of(NULL, 0)));
        assert_false(wb_index_find(&index, blob_key_of(key, 2), &place));
        test_ok(wb_index_insert(&index, place, b));
    }
    assert_int_equal(index.leaves, 100);
    wb_index_free(&index, drop);
    wb_mem_pool_close(pool);
}

static void sparse_leaves_are_joined(void **state)
{
    wb_mem_pool *pool = wb_mem_pool_new();
    wb_index index = {.kind = &wb_mem_index_kind, .arg = pool};
    (void)state;

    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < 6400; i++) {
            unsigned char key[2] = {(unsigned char)(i >> 8), (unsigned char)i};
            wb_place place;
            bool found = wb_index_find(&index, blob_key_of(key, 2), &place);
            blob *b;
            assert_int_equal(found, pass);
            if (!found) {
                test_ok(wb_mem_blob_new(pool, &b, blob_key_of(key, 2), blob_view_of(NULL, 0)));
                test_ok(wb_index_insert(&index, place, b));
            } else if (i % 64 != 0) {
                blob_unref(*wb_index_at(&index, place));
                wb_index_remove(&index, place);
            }
        }
    }
    assert_in_range(index.leaves, 1, 20); /* 100 keys; two neighbours hold more than half a leaf */
    wb_index_free(&index, drop);
    wb_mem_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_null_out_is_refused),
        cmocka_unit_test(get_hands_out_the_stored_bytes_without_a_copy),
        cmocka_unit_test(a_blob_outlives_its_replacement_its_delete_and_its_store),
        cmocka_unit_test(payloads_of_every_size_are_kept_apart_and_aligned),
        cmocka_unit_test(the_index_agrees_with_a_sorted_array),
        cmocka_unit_test(keys_that_come_in_order_leave_full_leaves),
        cmocka_unit_test(sparse_leaves_are_joined),
    };

    test_watchdog(240);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
