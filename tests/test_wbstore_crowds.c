/* test_wbstore_crowds.c - many writers, many wrappers: a thousand of either in one process, within bounds of memory and threads
 * that a host can reckon with. */
#include "wbinside.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static unsigned threads(void)
{
    DIR *d = opendir("/proc/self/task");
    const struct dirent *e;
    unsigned count = 0;

    assert_non_null(d);
    while ((e = readdir(d)) != NULL)
        count += e->d_name[0] != '.';
    closedir(d);
    return count;
}

/* ---- writers ---- */

#define STACK ((size_t)(WBRIG_SLOW ? 512 : 64) << 10)
enum { WRITERS = 1024 };

/* Of address space, beyond what is in use: so that stacks of the system's size, 8 MiB as a rule, would not fit. */
static void limit_memory(struct rlimit *before, size_t more)
{
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    struct rlimit limit;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu", &pages), 1);
    fclose(f);
    assert_int_equal(getrlimit(RLIMIT_AS, before), 0);
    limit = *before;
    limit.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + more;
    if (WBRIG_SLOW) /* whose shadows take all that there is */
        return;
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
}

static void a_thousand_writers_with_small_stacks_need_little_memory(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    struct rlimit before;

    r->options.writers_max = WRITERS;
    r->options.writer_stack_bytes = STACK;
    limit_memory(&before, (size_t)1536 << 20); /* the C library reserves up to 64 MiB for each of some threads */
    wbrig_start(r);
    for (unsigned i = 0; i < WRITERS; i++)
        wbrig_put_number(r, i);
    blob_faultstore_wait_held(gate, WRITERS);
    assert_int_equal(inside_stats(r).in_flight, WRITERS);
    assert_true(threads() >= WRITERS);
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    assert_int_equal(inside_stats(r).sent, WRITERS);
    wbrig_stop(r);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
}

/* ---- wrappers ---- */

enum { WRAPPERS = sizeof(void *) < 8 ? 200 : 1000 }; /* 32 bits have no room for so many stacks of 8 MiB */

static void a_thousand_wrappers_rest_with_a_thread_each(void **state)
{
    wbrig *r = *state;
    unsigned threads_before = threads();
    static blob_store *bufs[WRAPPERS];
    static wbstore *w[WRAPPERS];

    for (unsigned i = 0; i < WRAPPERS; i++) {
        char text[32];
        test_ok(blob_memstore_new(&bufs[i]));
        test_ok(wbstore_new(&w[i], NULL, r->base_cas, bufs[i], NULL));
        test_ok(wbstore_cas_put(w[i], NULL, text, (size_t)snprintf(text, sizeof text, "of wrapper %u", i), NULL));
    }
    for (unsigned i = 0; i < WRAPPERS; i++)
        test_ok(wbstore_sync(w[i], NULL));
    assert_int_equal(test_len(r->base_mem), WRAPPERS);
    while (threads() > threads_before + WRAPPERS) /* writers go when nobody has called for them for a while */
        sched_yield();
    for (unsigned i = 0; i < WRAPPERS; i++) {
        wbstore_free(w[i]);
        test_ok(blob_store_close(bufs[i], NULL));
    }
    while (threads() > threads_before) /* those that were joined take a moment to vanish */
        sched_yield();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inside_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_thousand_writers_with_small_stacks_need_little_memory),
        TEST(a_thousand_wrappers_rest_with_a_thread_each),
    };

    return cmocka_run_group_tests_name("crowds", tests, NULL, NULL);
}
