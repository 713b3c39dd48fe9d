/* test_oom_stores.c - each thing that a call of memstore, hashcas, filestore or logstore asks the system for is refused. */
#include "oom_test.h"

static int open_mem(life *l, blob_store **out)
{
    (void)l;
    return blob_memstore_new(out);
}

static void memstore_refuses_cleanly(void **state)
{
    static const breed b = {.name = "memstore", .open = open_mem, .at_least = 10};

    (void)state;
    in_every_way(&b);
}

static int open_cas(life *l, blob_store **out)
{
    *out = NULL;
    if (l->inner == NULL) {
        int rc = blob_memstore_new(&l->inner);
        if (rc != 0)
            return rc;
    }
    return blob_hashcas_new(out, l->inner, blob_hash_sha256());
}

static void hashcas_refuses_cleanly(void **state)
{
    static const breed b = {.name = "hashcas", .open = open_cas, .has_cas = true, .at_least = 11};

    (void)state;
    in_every_way(&b);
}

static int open_file(life *l, blob_store **out)
{
    return blob_filestore_open(out, l->dir, NULL);
}

static void filestore_refuses_cleanly(void **state)
{
    static const breed b = {.name = "filestore", .open = open_file, .lasting = true, .at_least = 10};

    (void)state;
    in_every_way(&b);
}

static int open_log_as(life *l, blob_store **out, blob_logstore_sync sync, uint64_t cache_bytes)
{
    blob_logstore_options o = blob_logstore_options_default();

    o.segment_bytes = 64 << 10; /* so that it needs several, and copies forward */
    o.sync = sync;
    o.cache_bytes = cache_bytes;
    return blob_logstore_open(out, l->dir, &o);
}

static int open_log(life *l, blob_store **out)
{
    return open_log_as(l, out, BLOB_LOGSTORE_SYNC_NEVER, 0);
}

static int open_log_uncached(life *l, blob_store **out)
{
    return open_log_as(l, out, BLOB_LOGSTORE_SYNC_EACH, 1);
}

static const breed logstore = {.name = "logstore", .open = open_log, .lasting = true, .is_log = true, .at_least = 20};
static const breed logstore_uncached = {
    .name = "logstore, uncached", .open = open_log_uncached, .lasting = true, .is_log = true, .at_least = 20};

static void logstore_refuses_cleanly(void **state)
{
    (void)state;
    in_every_way(&logstore);
}

static void logstore_without_a_cache_refuses_cleanly(void **state)
{
    (void)state;
    in_every_way(&logstore_uncached);
}

/* Its keeper does what it must at some other time: no call may fail for it. */
static void what_the_keeper_of_a_log_lacks_is_no_matter_of_the_callers(void **state)
{
    (void)state;
    for (unsigned kinds = SCARCE_MEMORY; kinds <= SCARCE_LOCKS; kinds <<= 1) {
        lives(&logstore, (scarce_plan){.kinds = kinds, .whose = SCARCE_LIBRARYS});
        lives(&logstore_uncached, (scarce_plan){.kinds = kinds, .whose = SCARCE_LIBRARYS});
    }
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(memstore_refuses_cleanly),
        TEST(hashcas_refuses_cleanly),
        TEST(filestore_refuses_cleanly),
        TEST(logstore_refuses_cleanly),
        TEST(logstore_without_a_cache_refuses_cleanly),
        TEST(what_the_keeper_of_a_log_lacks_is_no_matter_of_the_callers),
    };

    return cmocka_run_group_tests_name("stores, and nothing to work with", tests, NULL, NULL);
}
