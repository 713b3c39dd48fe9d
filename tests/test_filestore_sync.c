/* test_filestore_sync.c - what filestore has made lasting when it returns, whoever else is at it. Asked of the worst
 * disk that filestore_disk.h allows. */
#include "filestore_disk.h"

static blob_key long_key(size_t size)
{
    static unsigned char bytes[BLOB_KEY_MAX];

    memset(bytes, 0x5a, sizeof bytes);
    return blob_key_of(bytes, size);
}

static void bytes_are_synced_before_the_name_and_the_folders_before_put_returns(void **state)
{
    blob_store *s = t_open(0);

    (void)state;
    forget_calls();
    test_ok(t_put(s, test_key("k"), "v", 0));
    assert_string_equal(calls, "mkdir ./6b\n"
                               "write tmp/put-0000000000000000\n"
                               "fdatasync tmp/put-0000000000000000\n"
                               "link 6b/6b\n"
                               "unlink tmp/put-0000000000000000\n"
                               "fsync 6b\n"
                               "fsync .\n");
    forget_calls();
    test_ok(t_put(s, test_key("kk"), "v", 0));
    assert_string_equal(calls, "write tmp/put-0000000000000001\n"
                               "fdatasync tmp/put-0000000000000001\n"
                               "link 6b/6b6b\n"
                               "unlink tmp/put-0000000000000001\n"
                               "fsync 6b\n");
    forget_calls();
    test_ok(t_put(s, test_key("kk"), "w", BLOB_REPLACE));
    assert_string_equal(calls, "write tmp/put-0000000000000002\n"
                               "fdatasync tmp/put-0000000000000002\n"
                               "rename 6b/6b6b\n"
                               "fsync 6b\n");
    assert_true(lasts(test_key("k")));
    assert_true(lasts(test_key("kk")));
    assert_int_equal(disk_unsynced_links, 0);
    t_close(s);
}

static void blobs_of_every_depth_last(void **state)
{
    static const size_t sizes[] = {0, 1, 64, 65, 128, 129, 192, 193, 255};
    blob_store *s = t_open(0);

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        test_ok(t_put(s, long_key(sizes[i]), "v", i % 2 != 0 ? BLOB_REPLACE : 0));
        assert_true(lasts(long_key(sizes[i])));
    }
    assert_int_equal(disk_unsynced_links, 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        test_ok(blob_store_delete(s, NULL, long_key(sizes[i]), 0));
        assert_int_equal(disk_find_blob(long_key(sizes[i])), 0);
    }
    t_close(s);
}

static void exists_is_said_of_what_lasts(void **state)
{
    blob_store *s = t_open(1);

    (void)state;
    test_ok(t_put(s, test_key("k"), "v", 0));
    test_ok(t_put(s, long_key(255), "v", 0));
    t_close(s);
    s = t_open(0);
    assert_false(lasts(test_key("k")));
    test_status(t_put(s, test_key("k"), "v", 0), BLOB_EXISTS);
    assert_true(lasts(test_key("k")));
    test_status(t_put(s, long_key(255), "v", 0), BLOB_EXISTS);
    assert_true(lasts(long_key(255)));
    t_close(s);
}

static void a_folder_that_an_earlier_run_made_lasts(void **state)
{
    blob_store *s = t_open(1);

    (void)state;
    test_ok(t_put(s, test_key("k"), "v", 0));
    t_close(s);
    s = t_open(0);
    test_ok(t_put(s, test_key("kk"), "v", 0));
    assert_true(lasts(test_key("kk")));
    t_close(s);
}

typedef struct putter {
    blob_store *s;
    blob_key key;
    int flags;        /* -1: delete */
    const char *gate; /* the call before which it is held back */
    int status;
    bool lasted; /* when it returned */
} putter;

static void *putter_run(void *arg)
{
    putter *p = arg;

    gate_call = p->gate;
    p->status = p->flags < 0 ? blob_store_delete(p->s, NULL, p->key, 0) : t_put(p->s, p->key, "v", (unsigned)p->flags);
    p->lasted = p->flags < 0 ? disk_find_blob(p->key) == 0 : lasts(p->key);
    return NULL;
}

/* One thread is held back; what another one says meanwhile must be true without it. */
static void while_held_back(const char *gate_before, putter *held, putter *other)
{
    pthread_t thread;

    assert_int_equal(pthread_barrier_init(&gate_reached, NULL, 2), 0);
    assert_int_equal(pthread_barrier_init(&gate_open, NULL, 2), 0);
    held->gate = gate_before;
    assert_int_equal(pthread_create(&thread, NULL, putter_run, held), 0);
    pthread_barrier_wait(&gate_reached);
    putter_run(other);
    assert_true(other->lasted);
    pthread_barrier_wait(&gate_open);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_barrier_destroy(&gate_reached);
    pthread_barrier_destroy(&gate_open);
}

static void exists_does_not_rely_on_the_one_who_linked(void **state)
{
    blob_store *s = t_open(0);
    putter held = {.s = s, .key = test_key("k")}, other = held;

    (void)state;
    while_held_back("fsync", &held, &other);
    assert_int_equal(held.status, 0);
    assert_int_equal(other.status, BLOB_EXISTS);
    t_close(s);
}

static void the_link_decides_between_puts_that_meet(void **state)
{
    blob_store *s = t_open(0);
    putter held = {.s = s, .key = test_key("k")}, other = held;

    (void)state;
    /* The one has found nothing and is writing when the other one links. */
    while_held_back("fdatasync", &held, &other);
    assert_int_equal(held.status, BLOB_EXISTS);
    assert_int_equal(other.status, 0);
    assert_true(held.lasted);
    held.key = other.key = test_key("l");
    fail_next("link", "", EPERM, 2);
    while_held_back("fdatasync", &held, &other);
    assert_int_equal(held.status, BLOB_EXISTS);
    assert_int_equal(other.status, 0);
    assert_int_equal(test_len(s), 2);
    t_close(s);
}

static void a_put_does_not_rely_on_the_one_who_made_the_folder(void **state)
{
    blob_store *s = t_open(0);
    putter held = {.s = s, .key = test_key("k")}, other = {.s = s, .key = test_key("kk")};
    putter deep = {.s = s, .key = long_key(255)}, deeper = {.s = s, .key = long_key(254)};

    (void)state;
    while_held_back("fsync", &held, &other);
    assert_int_equal(held.status, 0);
    assert_int_equal(other.status, 0);
    while_held_back("fsync", &deep, &deeper);
    assert_int_equal(deep.status, 0);
    assert_int_equal(deeper.status, 0);
    t_close(s);
}

static bool is_gone_for_good(blob_key key)
{
    return disk_find_blob(key) == 0;
}

static void a_delete_lasts_though_another_one_got_there_first(void **state)
{
    blob_store *s = t_open(0);
    putter held = {.s = s, .key = test_key("k"), .flags = -1}, other = held;

    (void)state;
    test_ok(t_put(s, test_key("k"), "v", 0));
    while_held_back("fsync", &held, &other);
    assert_int_equal(held.status, 0);
    assert_int_equal(other.status, BLOB_NOT_FOUND);
    t_close(s);
}

static void a_delete_lasts_unless_it_is_lazy(void **state)
{
    blob_store *s = t_open(0);

    (void)state;
    test_ok(t_put(s, test_key("k"), "v", 0));
    forget_calls();
    test_ok(blob_store_delete(s, NULL, test_key("k"), BLOB_LAZY));
    assert_string_equal(calls, "unlink 6b/6b\n");
    assert_false(is_gone_for_good(test_key("k")));
    forget_calls();
    test_status(blob_store_delete(s, NULL, test_key("k"), 0), BLOB_NOT_FOUND);
    assert_string_equal(calls, "fsync 6b\n");
    assert_true(is_gone_for_good(test_key("k")));
    test_ok(t_put(s, test_key("k"), "v", 0));
    test_ok(blob_store_delete(s, NULL, test_key("k"), 0));
    assert_true(is_gone_for_good(test_key("k")));
    t_close(s);
}

static void no_sync_syncs_nothing(void **state)
{
    blob_filestore_options options = blob_filestore_options_default();
    blob_store *s = NULL;

    (void)state;
    options.no_sync = 1;
    test_ok(blob_filestore_open(&s, t_path("a/b"), &options));
    test_ok(t_put(s, test_key("k"), "v", 0));
    test_status(t_put(s, test_key("k"), "v", 0), BLOB_EXISTS);
    test_ok(t_put(s, long_key(255), "v", BLOB_REPLACE));
    test_ok(blob_store_delete(s, NULL, test_key("k"), 0));
    test_status(blob_store_delete(s, NULL, test_key("k"), 0), BLOB_NOT_FOUND);
    t_close(s);
    assert_int_equal(calls_of("fsync"), 0);
    assert_int_equal(calls_of("fdatasync"), 0);
}

static void the_folders_that_open_makes_last(void **state)
{
    blob_store *s = NULL;

    (void)state;
    test_ok(blob_filestore_open(&s, t_path("a/b"), NULL));
    assert_int_not_equal(disk_find(t_base, "store/a/b/LOCK"), 0);
    t_close(s);
    /* Made by one who was killed before it could sync. */
    assert_int_equal(mkdir(t_path("a/c"), 0777), 0);
    assert_int_equal(disk_find(t_base, "store/a/c"), 0);
    test_ok(blob_filestore_open(&s, t_path("a/c"), NULL));
    assert_int_not_equal(disk_find(t_base, "store/a/c/LOCK"), 0);
    t_close(s);
    assert_int_equal(mkdir(t_path("a/d"), 0777), 0);
    test_ok(blob_filestore_open(&s, t_path("a/d/e"), NULL));
    assert_int_not_equal(disk_find(t_base, "store/a/d/e/LOCK"), 0);
    t_close(s);
}

#define RACERS 8

static void racing_puts_and_deletes_last_when_they_return(void **state)
{
    blob_store *s = t_open(0);
    pthread_t threads[RACERS];
    putter racers[RACERS];
    char keys[RACERS][8];

    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        for (int flags = 0; flags >= -1; flags--) {
            for (unsigned i = 0; i < RACERS; i++) {
                snprintf(keys[i], sizeof keys[i], "%c%u", (int)('a' + round), i % 3);
                racers[i] = (putter){.s = s, .key = test_key(keys[i]), .flags = flags};
                assert_int_equal(pthread_create(&threads[i], NULL, putter_run, &racers[i]), 0);
            }
            for (unsigned i = 0; i < RACERS; i++) {
                assert_int_equal(pthread_join(threads[i], NULL), 0);
                assert_true(racers[i].status == 0 || racers[i].status == (flags < 0 ? BLOB_NOT_FOUND : BLOB_EXISTS));
                assert_true(racers[i].lasted);
            }
        }
    }
    assert_int_equal(disk_unsynced_links, 0);
    assert_int_equal(test_len(s), 0);
    t_close(s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, reset, t_teardown)
    const struct CMUnitTest tests[] = {
        T(bytes_are_synced_before_the_name_and_the_folders_before_put_returns),
        T(blobs_of_every_depth_last),
        T(exists_is_said_of_what_lasts),
        T(a_folder_that_an_earlier_run_made_lasts),
        T(exists_does_not_rely_on_the_one_who_linked),
        T(the_link_decides_between_puts_that_meet),
        T(a_put_does_not_rely_on_the_one_who_made_the_folder),
        T(a_delete_lasts_though_another_one_got_there_first),
        T(a_delete_lasts_unless_it_is_lazy),
        T(no_sync_syncs_nothing),
        T(the_folders_that_open_makes_last),
        T(racing_puts_and_deletes_last_when_they_return),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
