/* test_wbstore_fork.c - a forked child has the wrapper's memory without its threads. Each call in it must return, say so, and
 * do no harm; the parent must not notice. A child asserts nothing: it tells on stderr which line it found wrong. */
#include "wbrig.h"
#include "wbstore/fork.h"
#include "wbstore/wrapper.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define child_expects(what)                                                                                            \
    do {                                                                                                               \
        if (!(what))                                                                                                   \
            return __LINE__;                                                                                           \
    } while (0)

static int never(void *arg, blob_key key, uint64_t size)
{
    (void)key;
    (void)size;
    *(bool *)arg = true;
    return 0;
}

static int never_pending(void *arg, const wbstore_pending_info *info)
{
    (void)info;
    *(bool *)arg = true;
    return 0;
}

/* 0, or the line that is wrong. */
static int child_writes_and_waits(wbstore *w)
{
    blob_key key = test_key("key");
    blob_address address = {.size = 0};
    uint64_t ticket = 77;
    blob_error error;

    child_expects(wbstore_cas_put_ticket(w, NULL, "bytes", 5, &address, &ticket) == BLOB_CLOSED);
    child_expects(address.size == 32 && ticket == 0);
    blob_last_error(&error);
    child_expects(strstr(error.text, "fork") != NULL);
    child_expects(wbstore_cas_put(w, NULL, "bytes", 5, NULL) == BLOB_CLOSED);
    child_expects(wbstore_put(w, NULL, key, blob_view_of("b", 1), 0) == BLOB_CLOSED);
    child_expects(wbstore_put(w, NULL, key, blob_view_of("b", 1), BLOB_REPLACE) == BLOB_CLOSED);
    child_expects(wbstore_delete(w, NULL, key) == BLOB_CLOSED);
    child_expects(wbstore_sync(w, NULL) == BLOB_CLOSED);
    child_expects(wbstore_wait(w, NULL, 1) == BLOB_CLOSED);
    child_expects(wbstore_wait_keys(w, NULL, &key, 1) == BLOB_CLOSED);
    child_expects(wbstore_rescan(w, NULL) == BLOB_CLOSED);
    child_expects(wbstore_retry_parked(w) == BLOB_CLOSED);
    return 0;
}

static int child_reads_and_ends(wbstore *w)
{
    blob_key key = test_key("key");
    wbstore_stats stats;
    uint64_t number = 77;
    bool called = false;
    blob *b = NULL;

    child_expects(wbstore_get(w, NULL, key, &b) == BLOB_CLOSED && b == NULL);
    child_expects(wbstore_size(w, NULL, key, &number) == BLOB_CLOSED && number == 0);
    child_expects(wbstore_list(w, NULL, key, never, &called) == BLOB_CLOSED);
    child_expects(wbstore_len(w, NULL, &number) == BLOB_CLOSED);
    child_expects(wbstore_pending(w, never_pending, &called) == BLOB_CLOSED);
    child_expects(!called);
    child_expects(wbstore_safe_ticket(w) == 0);
    memset(&stats, 0xff, sizeof stats);
    stats.struct_size = sizeof stats;
    wbstore_get_stats(w, &stats);
    child_expects(stats.accepted == 0 && stats.pending_blobs == 0 && stats.last_status == 0);
    child_expects(wbstore_buffer(w) != NULL && wbstore_as_store(w) != NULL);
    child_expects(blob_store_get(wbstore_as_store(w), NULL, key, &b) == BLOB_CLOSED && b == NULL);
    child_expects(wbstore_close(w, NULL) == BLOB_CLOSED);
    child_expects(blob_store_close(wbstore_as_store(w), NULL) == BLOB_CLOSED);
    wbstore_free(w); /* is not the child's to free */
    child_expects(wbstore_close(w, NULL) == BLOB_CLOSED);
    return 0;
}

/* A child that is content ends by the one signal at which nobody looks for leaks: what the parent's other threads held would
 * count as lost in it. */
_Noreturn static void child_ends(bool content)
{
    if (content)
        kill(getpid(), SIGKILL);
    _exit(1);
}

static bool child_was_content(pid_t child)
{
    int status;

    return child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

_Noreturn static void child_run(wbstore *w)
{
    int line;

    alarm(30);
    line = child_writes_and_waits(w);
    if (line == 0)
        line = child_reads_and_ends(w);
    if (line != 0)
        dprintf(STDERR_FILENO, "the child found line %d wrong\n", line);
    child_ends(line == 0);
}

/* ---- the tests ----------------------------------------------------------------------------------------------- */

static void a_child_waits_for_no_lock_that_was_held_at_the_fork(void **state)
{
    wbrig *r = *state;
    wbstore *w;
    pid_t child;

    test_ok(wbstore_new(&w, NULL, r->base_cas, r->buf_mem, NULL));
    pthread_mutex_lock(&w->lock);
    child = fork();
    if (child == 0)
        child_run(w);
    pthread_mutex_unlock(&w->lock);
    assert_true(child_was_content(child));
    wbstore_free(w);
}

static void a_child_of_a_child_is_one_too(void **state)
{
    wbrig *r = *state;
    wbstore *w;
    pid_t child;

    test_ok(wbstore_new(&w, NULL, r->base_cas, r->buf_mem, NULL));
    child = fork();
    if (child == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0)
            child_run(w);
        child_ends(child_was_content(grandchild));
    }
    assert_true(child_was_content(child));
    wbstore_free(w);
}

typedef struct busy {
    wbstore *w;
    atomic_bool stop;
    atomic_uint failures;
} busy;

#define BUSY_THREADS 4

static unsigned busy_round(wbstore *w, unsigned index, unsigned n)
{
    char text[32];
    int size = snprintf(text, sizeof text, "%u of thread %u", n, index);
    blob_address address;
    blob *b = NULL;
    unsigned failures = 0;

    failures += wbstore_cas_put(w, NULL, text, (size_t)size, &address) != 0;
    failures += wbstore_get(w, NULL, blob_address_key(&address), &b) != 0;
    blob_unref(b);
    if (n % 16 == 0)
        failures += wbstore_sync(w, NULL) != 0;
    return failures;
}

static void fork_often(busy *b)
{
    for (unsigned i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0)
            child_run(b->w);
        if (!child_was_content(child))
            atomic_fetch_add(&b->failures, 1);
    }
    atomic_store(&b->stop, true);
}

static void be_busy(void *arg, unsigned index)
{
    busy *b = arg;

    if (index == 0)
        fork_often(b);
    for (unsigned n = 0; n == 0 || !atomic_load(&b->stop); n++)
        atomic_fetch_add(&b->failures, busy_round(b->w, index, n));
}

static void children_forked_while_threads_are_busy_do_no_harm(void **state)
{
    wbrig *r = *state;
    busy b = {.w = NULL};
    wbstore_stats stats = {.struct_size = sizeof stats};

    test_ok(wbstore_new(&b.w, NULL, r->base_cas, r->buf_mem, NULL));
    test_threads_run(BUSY_THREADS, be_busy, &b);
    assert_int_equal(atomic_load(&b.failures), 0);
    test_ok(wbstore_sync(b.w, NULL));
    wbstore_get_stats(b.w, &stats);
    assert_true(stats.accepted > 0);
    assert_int_equal(stats.sent, stats.accepted);
    assert_int_equal(test_len(r->base_mem), stats.accepted);
    assert_int_equal(test_len(r->buf_mem), 0);
    wbstore_free(b.w);
}

static void without_a_page_that_is_wiped_the_process_number_tells(void **state)
{
    wb_fork_guard guard;
    pid_t child;

    (void)state;
    wb_fork_guard_init(&guard);
    wb_fork_guard_free(&guard);
    assert_false(wb_fork_guard_is_child(&guard));
    child = fork();
    if (child == 0)
        child_ends(wb_fork_guard_is_child(&guard));
    assert_true(child_was_content(child));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, wbrig_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_child_waits_for_no_lock_that_was_held_at_the_fork),
        TEST(a_child_of_a_child_is_one_too),
        TEST(children_forked_while_threads_are_busy_do_no_harm),
        cmocka_unit_test(without_a_page_that_is_wiped_the_process_number_tells),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
