/* test_filestore_threads.c - many threads at once: whole blobs, counts of one moment, listings that miss nothing.
 * What a thread sees wrong it adds to a count, which the main thread asserts to be 0. */
#include "filestore_test.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 16
#define FEW 5 /* keys */

typedef struct crowd {
    blob_store *s;
    atomic_long balance; /* puts that made a blob, less deletes that ended one */
    atomic_uint wrong;
    atomic_bool stop;
} crowd;

static void expect(crowd *c, bool what)
{
    if (!what)
        atomic_fetch_add(&c->wrong, 1);
}

static blob_key few_key(unsigned i)
{
    static const char *const few[FEW] = {"", "a", "ab", "b", "c"};

    return test_key(few[i % FEW]);
}

/* A text that shows whether it is whole: one letter, which its length gives. */
static void fill(char *text, size_t room, unsigned number)
{
    size_t size = 1 + number * 37u % (room - 1);

    memset(text, 'a' + (int)(size % 26), size);
    text[size] = '\0';
}

static bool is_whole(const blob *b)
{
    const char *bytes = b->data;

    for (size_t i = 0; i < b->size; i++)
        if (bytes[i] != (char)('a' + (int)(b->size % 26)))
            return false;
    return b->size > 0;
}

typedef struct rising {
    crowd *crowd;
    unsigned char last[BLOB_KEY_MAX];
    size_t size, count;
} rising;

static int list_rising(void *arg, blob_key key, uint64_t size)
{
    rising *r = arg;

    expect(r->crowd, size > 0);
    expect(r->crowd, r->count == 0 || blob_key_compare(blob_key_of(r->last, r->size), key) < 0);
    if (key.size > 0)
        memcpy(r->last, key.data, key.size);
    r->size = key.size;
    r->count++;
    return 0;
}

static size_t list_all(crowd *c)
{
    rising r = {.crowd = c};

    expect(c, blob_store_list(c->s, NULL, test_key(""), list_rising, &r) == 0);
    return r.count;
}

static bool put_text(crowd *c, blob_key key, const char *text, unsigned flags)
{
    int rc = t_put(c->s, key, text, flags);

    expect(c, rc == 0 || (rc == BLOB_EXISTS && flags == 0));
    return rc == 0;
}

static bool delete_it(crowd *c, blob_key key)
{
    int rc = blob_store_delete(c->s, NULL, key, BLOB_LAZY);

    expect(c, rc == 0 || rc == BLOB_NOT_FOUND);
    return rc == 0;
}

static void look(crowd *c, blob_key key)
{
    uint64_t size = 0;
    blob *b = NULL;
    int rc = blob_store_get(c->s, NULL, key, &b);

    expect(c, rc == BLOB_NOT_FOUND || (rc == 0 && is_whole(b)));
    blob_unref(b);
    rc = blob_store_size(c->s, NULL, key, &size);
    expect(c, rc == BLOB_NOT_FOUND || (rc == 0 && size > 0));
}

static void crowd_run(void *arg, unsigned index)
{
    test_rng rng = {.state = index};
    crowd *c = arg;
    char text[5000];
    uint64_t len;

    for (unsigned round = 0; round < 150; round++) {
        blob_key key = few_key((unsigned)test_random_below(&rng, FEW));

        fill(text, sizeof text, (unsigned)test_random(&rng));
        switch (test_random_below(&rng, 8)) {
        case 0:
        case 1:
            atomic_fetch_add(&c->balance, put_text(c, key, text, 0));
            break;
        case 2:
        case 3:
            atomic_fetch_sub(&c->balance, delete_it(c, key));
            break;
        case 4:
            expect(c, list_all(c) <= FEW);
            break;
        case 5:
            expect(c, blob_store_len(c->s, NULL, &len) == 0 && len <= FEW);
            break;
        default:
            look(c, key);
        }
    }
}

static void many_threads_on_few_keys_see_whole_blobs_and_true_counts(void **state)
{
    crowd c = {.s = t_open(1)};
    long balance;

    (void)state;
    test_threads_run(THREADS, crowd_run, &c);
    assert_int_equal(atomic_load(&c.wrong), 0);
    balance = atomic_load(&c.balance);
    assert_int_equal(test_len(c.s), balance);
    assert_int_equal(list_all(&c), balance);
    t_close(c.s);
    c.s = t_open(1);
    assert_int_equal(test_len(c.s), balance);
    t_close(c.s);
}

/* More names than the system hands out at once: it is between two helpings that a name can move. Some file systems
 * (tmpfs, btrfs) move a name that is replaced. */
#define REPLACED 3000

static blob_key replaced_key(unsigned i, char room[8])
{
    snprintf(room, 8, "k%u", i % REPLACED);
    return test_key(room);
}

static void *replace_run(void *arg)
{
    crowd *c = arg;
    char room[8];

    for (unsigned i = 0; !atomic_load(&c->stop); i += 7)
        put_text(c, replaced_key(i, room), "new", BLOB_REPLACE);
    return NULL;
}

static void a_listing_misses_no_blob_that_is_being_replaced(void **state)
{
    crowd c = {.s = t_open(1)};
    pthread_t thread;
    bool all = true;
    uint64_t len;
    char room[8];

    (void)state;
    for (unsigned i = 0; i < REPLACED; i++)
        test_put(c.s, replaced_key(i, room), "old");
    test_thread_start(&thread, replace_run, &c);
    for (unsigned i = 0; i < 50 && all; i++)
        all = list_all(&c) == REPLACED && blob_store_len(c.s, NULL, &len) == 0 && len == REPLACED;
    atomic_store(&c.stop, true);
    test_thread_join(thread);
    assert_true(all);
    assert_int_equal(atomic_load(&c.wrong), 0);
    t_close(c.s);
}

#define CHURNERS 4

/* Of the first and of the last shard, so that much time lies between the two. */
static blob_key churn_key(unsigned index, bool first, char room[8])
{
    snprintf(room, 8, "%c%u", first ? 0x20 : 0x1f, index);
    return test_key(room);
}

/* At every moment one of the two keys is there, both only between the put of the one and the delete of the other. The
 * last of the threads asks for the len meanwhile. */
static void churn_run(void *arg, unsigned index)
{
    char rooms[2][8];
    blob_key first = churn_key(index, true, rooms[0]), last = churn_key(index, false, rooms[1]);
    crowd *c = arg;
    uint64_t len;

    while (index < CHURNERS && !atomic_load(&c->stop)) {
        put_text(c, last, "v", 0);
        delete_it(c, first);
        put_text(c, first, "v", 0);
        delete_it(c, last);
    }
    if (index < CHURNERS)
        return;
    for (unsigned i = 0; i < 100000; i++)
        expect(c, blob_store_len(c->s, NULL, &len) == 0 && len >= CHURNERS && len <= 2 * CHURNERS);
    atomic_store(&c->stop, true);
}

static void a_len_is_the_count_of_one_moment(void **state)
{
    crowd c = {.s = t_open(1)};
    char room[8];

    (void)state;
    for (unsigned i = 0; i < CHURNERS; i++)
        test_put(c.s, churn_key(i, true, room), "v");
    test_threads_run(CHURNERS + 1, churn_run, &c);
    assert_int_equal(atomic_load(&c.wrong), 0);
    assert_int_equal(test_len(c.s), CHURNERS);
    t_close(c.s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, t_setup, t_teardown)
    const struct CMUnitTest tests[] = {
        T(many_threads_on_few_keys_see_whole_blobs_and_true_counts),
        T(a_listing_misses_no_blob_that_is_being_replaced),
        T(a_len_is_the_count_of_one_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
