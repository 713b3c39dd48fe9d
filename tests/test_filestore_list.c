/* test_filestore_list.c - listings of filestore: their order over keys of every form, where they begin and end. */
#include "filestore_test.h"

#define SEEN_MAX 4096

/* What a listing reported. */
typedef struct seen {
    size_t count;
    struct {
        unsigned char bytes[BLOB_KEY_MAX];
        size_t size;
        uint64_t blob_size;
    } keys[SEEN_MAX];
    size_t stop_after; /* 0: never */
    int verdict;
} seen;

static seen *seen_new(void)
{
    seen *l = calloc(1, sizeof *l);

    assert_non_null(l);
    return l;
}

static blob_key seen_key(const seen *l, size_t i)
{
    return blob_key_of(l->keys[i].bytes, l->keys[i].size);
}

static int seen_one(void *arg, blob_key key, uint64_t size)
{
    seen *l = arg;

    assert_true(l->count < SEEN_MAX);
    if (key.size > 0)
        memcpy(l->keys[l->count].bytes, key.data, key.size);
    l->keys[l->count].size = key.size;
    l->keys[l->count].blob_size = size;
    l->count++;
    return l->stop_after == l->count ? l->verdict : 0;
}

static int by_key(const void *a, const void *b)
{
    const blob_key *left = a, *right = b;

    return blob_key_compare(*left, *right);
}

/* Keys of every length, and neighbours of those that fill names to the brim: all one the beginning of many others. */
#define KEYS_MAX 1400
static unsigned char key_bytes[KEYS_MAX][BLOB_KEY_MAX];
static blob_key keys[KEYS_MAX];
static size_t keys_count;

static void add_key(unsigned char fill, size_t size, unsigned char last)
{
    unsigned char *bytes = key_bytes[keys_count];

    assert_true(keys_count < KEYS_MAX);
    memset(bytes, fill, BLOB_KEY_MAX);
    if (size > 0)
        bytes[size - 1] = last;
    keys[keys_count++] = blob_key_of(bytes, size);
}

static void make_keys(void)
{
    static const size_t brims[] = {63, 64, 65, 127, 128, 129, 191, 192, 193, 254, 255};

    keys_count = 0;
    for (size_t size = 0; size <= BLOB_KEY_MAX; size++)
        add_key(0xab, size, 0xab);
    for (size_t size = 1; size <= BLOB_KEY_MAX; size += 5)
        add_key(0, size, 0);
    for (size_t size = 1; size <= BLOB_KEY_MAX; size += 7)
        add_key(0xff, size, 0xff);
    for (size_t i = 0; i < sizeof brims / sizeof *brims; i++)
        for (unsigned last = 0; last < 256; last += 15)
            if (last != 0xab)
                add_key(0xab, brims[i], (unsigned char)last);
    for (unsigned first = 1; first < 255; first++)
        if (first != 0xab)
            add_key(0, 1, (unsigned char)first);
    qsort(keys, keys_count, sizeof *keys, by_key);
}

static void put_keys(blob_store *s)
{
    make_keys();
    for (size_t i = 0; i < keys_count; i++) /* in another order than theirs */
        assert_int_equal(
            blob_store_put(s, NULL, keys[i * 997 % keys_count], blob_view_of(key_bytes, i * 997 % keys_count), 0), 0);
}

static void a_listing_is_in_key_order_from_any_start(void **state)
{
    blob_store *s = t_open(1);
    unsigned char bytes[BLOB_KEY_MAX + 1];
    seen *l = seen_new();
    blob_key start;

    (void)state;
    put_keys(s);
    assert_int_equal(test_len(s), keys_count);
    for (size_t i = 0; i < keys_count; i++) {
        /* From the key itself, and from the place right behind it. */
        for (size_t more = 0; more < 2; more++) {
            memcpy(bytes, keys[i].data, keys[i].size);
            bytes[keys[i].size] = 0;
            start = blob_key_of(bytes, keys[i].size + more);
            if (start.size > BLOB_KEY_MAX)
                continue;
            if (more == 1 && i + 1 < keys_count && blob_key_compare(start, keys[i + 1]) == 0)
                continue;
            l->count = 0;
            l->stop_after = 3;
            l->verdict = BLOB_LIST_STOP;
            test_ok(blob_store_list(s, NULL, start, seen_one, l));
            assert_int_equal(l->count, keys_count - i - more < 3 ? keys_count - i - more : 3);
            for (size_t k = 0; k < l->count; k++) {
                assert_int_equal(blob_key_compare(seen_key(l, k), keys[i + more + k]), 0);
                assert_int_equal(l->keys[k].blob_size, i + more + k);
            }
        }
    }
    l->count = l->stop_after = 0;
    test_ok(blob_store_list(s, NULL, blob_key_of(NULL, 0), seen_one, l));
    assert_int_equal(l->count, keys_count);
    for (size_t k = 0; k < l->count; k++)
        assert_int_equal(blob_key_compare(seen_key(l, k), keys[k]), 0);
    free(l);
    t_close(s);
}

static void only_folders_from_start_on_are_read_and_these_must_be_readable(void **state)
{
    blob_store *s = t_open(1);
    uid_t me = geteuid();
    seen *l = seen_new();

    (void)state;
    test_ok(t_put(s, test_key("a"), "1", 0));
    test_ok(t_put(s, test_key("b"), "2", 0));
    assert_int_equal(chmod(t_dir, 0755), 0);
    assert_int_equal(chmod(t_path("61"), 0), 0);
    if (me == 0)
        assert_int_equal(seteuid(65534), 0);
    test_ok(blob_store_list(s, NULL, test_key("b"), seen_one, l));
    assert_int_equal(l->count, 1);
    test_status(blob_store_list(s, NULL, test_key("a"), seen_one, l), BLOB_DENIED);
    t_expect_words(BLOB_DENIED, t_path("61"));
    if (me == 0)
        assert_int_equal(seteuid(me), 0);
    assert_int_equal(chmod(t_path("61"), 0755), 0);
    free(l);
    t_close(s);
}

static void the_callback_ends_the_listing(void **state)
{
    blob_store *s = t_open(1);
    seen *l = seen_new();

    (void)state;
    put_keys(s);
    l->stop_after = 300;
    l->verdict = BLOB_LIST_STOP;
    test_ok(blob_store_list(s, NULL, test_key(""), seen_one, l));
    assert_int_equal(l->count, 300);
    l->count = 0;
    l->verdict = -EPIPE;
    test_status(blob_store_list(s, NULL, test_key(""), seen_one, l), -EPIPE);
    assert_int_equal(l->count, 300);
    free(l);
    t_close(s);
}

typedef struct nested {
    blob_store *s;
    blob_ctx *ctx;
    size_t count, inner;
} nested;

static int nested_count(void *arg, blob_key key, uint64_t size)
{
    (void)key;
    (void)size;
    ++*(size_t *)arg;
    return 0;
}

static int nested_one(void *arg, blob_key key, uint64_t size)
{
    nested *n = arg;
    uint64_t again = 0;
    blob *b = NULL;

    n->count++;
    test_ok(blob_store_get(n->s, NULL, key, &b));
    assert_int_equal(b->size, size);
    blob_unref(b);
    test_ok(blob_store_size(n->s, NULL, key, &again));
    assert_int_equal(again, size);
    assert_int_equal(test_len(n->s), keys_count);
    if (n->count % 100 == 1)
        test_ok(blob_store_list(n->s, NULL, key, nested_count, &n->inner));
    return 0;
}

static void the_callback_may_use_the_store(void **state)
{
    blob_store *s = t_open(1);
    nested n = {.s = s};
    size_t inner = 0;

    (void)state;
    put_keys(s);
    test_ok(blob_store_list(s, NULL, test_key(""), nested_one, &n));
    assert_int_equal(n.count, keys_count);
    for (size_t i = 0; i < keys_count; i += 100)
        inner += keys_count - i;
    assert_int_equal(n.inner, inner);
    t_close(s);
}

static int cancel_one(void *arg, blob_key key, uint64_t size)
{
    nested *n = arg;

    (void)key;
    (void)size;
    if (++n->count == 5)
        blob_ctx_cancel(n->ctx);
    return 0;
}

static void a_cancelled_listing_ends_at_the_next_blob(void **state)
{
    blob_store *s = t_open(1);
    nested n = {.s = s};

    (void)state;
    put_keys(s);
    test_ok(blob_ctx_new(&n.ctx, NULL));
    test_status(blob_store_list(s, n.ctx, test_key(""), cancel_one, &n), -ECANCELED);
    assert_int_equal(n.count, 5);
    blob_ctx_free(n.ctx);
    t_close(s);
}

static int remove_next(void *arg, blob_key key, uint64_t size)
{
    nested *n = arg;

    (void)size;
    n->count++;
    if (key.size == 2) /* k1 goes, while its name is in the listing's hands already */
        assert_int_equal(remove(t_file(test_key("k12"))), 0);
    return 0;
}

static void a_blob_that_vanishes_meanwhile_is_passed_over(void **state)
{
    blob_store *s = t_open(1);
    nested n = {.s = s};

    (void)state;
    test_ok(t_put(s, test_key("k1"), "1", 0));
    test_ok(t_put(s, test_key("k12"), "2", 0));
    test_ok(t_put(s, test_key("k123"), "3", 0));
    test_ok(blob_store_list(s, NULL, test_key(""), remove_next, &n));
    assert_int_equal(n.count, 2);
    t_close(s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, t_setup, t_teardown)
    const struct CMUnitTest tests[] = {
        T(a_listing_is_in_key_order_from_any_start),
        T(only_folders_from_start_on_are_read_and_these_must_be_readable),
        T(the_callback_ends_the_listing),
        T(the_callback_may_use_the_store),
        T(a_cancelled_listing_ends_at_the_next_blob),
        T(a_blob_that_vanishes_meanwhile_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
