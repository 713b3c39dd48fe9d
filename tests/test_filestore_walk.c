/* test_filestore_walk.c - a folder is read under the lock of its names: some file systems move a name that is replaced, and
 * a reader that is under way misses it. Whether this one does, chance decides; so it is the lock that is looked at. */
#include "filestore_test.h"

#include <pthread.h>

static fs_store *watched; /* NULL: nobody looks */
static unsigned reads, unlocked;

/* Every test has one blob, in the fan-out folder of this byte. */
#define FAN 'f'

static void look(void)
{
    pthread_mutex_t *lock = watched != NULL ? &wb_fs_shard(watched, FAN)->lock : NULL;

    if (lock == NULL)
        return;
    reads++;
    if (pthread_mutex_trylock(lock) != 0)
        return;
    unlocked++;
    pthread_mutex_unlock(lock);
}

/* Which of the two the library calls is for libc to say. */
struct dirent *__real_readdir(DIR *folder);
struct dirent *__wrap_readdir(DIR *folder);
struct dirent *__real_readdir64(DIR *folder);
struct dirent *__wrap_readdir64(DIR *folder);

struct dirent *__wrap_readdir(DIR *folder)
{
    look();
    return __real_readdir(folder);
}

#ifdef __GLIBC__
struct dirent *__wrap_readdir64(DIR *folder)
{
    look();
    return __real_readdir64(folder);
}
#endif

static int count_key(void *arg, blob_key key, uint64_t size)
{
    (void)key;
    (void)size;
    ++*(unsigned *)arg;
    return 0;
}

static void names_are_read_under_the_lock_that_keeps_them(void **state)
{
    unsigned seen = 0;
    blob_store *s;

    (void)state;
    test_ok(blob_filestore_open(&s, t_dir, NULL));
    test_put(s, test_key("fish"), "x");
    watched = (fs_store *)(void *)s;
    test_ok(blob_store_list(s, NULL, test_key("f"), count_key, &seen));
    assert_int_equal(seen, 1);
    assert_true(reads > 0);
    reads = 0;
    assert_int_equal(test_len(s), 1);
    assert_true(reads > 0);
    watched = NULL;
    assert_int_equal(unlocked, 0);
    test_ok(blob_store_close(s, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_are_read_under_the_lock_that_keeps_them, t_setup, t_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
