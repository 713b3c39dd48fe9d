/* test_fork_exec.c - a host forks while its threads are busy with wrappers over a folder, a log and a server: the child calls in
 * and leaves by _exit, runs another program, or leaves by exit with a handler that closes everything, as hosts have them. The
 * parent goes on, nothing is lost, and its folders stay locked for as long as it has them.
 *
 * test_wbstore_fork.c has what each call answers in the child. Here a child that is content ends by SIGKILL too: a sanitizer
 * would look for leaks in it, and find what the parent's threads held. */
#include "s3sim.h"
#include "testutil.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wbstore/wbstore.h>

enum { CHILDREN = 12, BUSY = 3 };

typedef struct host {
    char *dir, log_dir[1024], file_dir[1024];
    s3sim *sim;
    blob_store *file, *file_cas, *log, *s3, *buf;
    wbstore *to_folder, *to_server;
    atomic_bool stop;
    atomic_uint wrong;
    atomic_uint put; /* into each wrapper */
} host;

static host *the_host; /* for the handler */
static pid_t parent;

static int open_s3(host *h)
{
    blob_s3store_options o = blob_s3store_options_default();

    o.endpoint = s3sim_url(h->sim);
    o.bucket = "bucket";
    o.access_key = "SIMACCESSKEY";
    o.secret_key = "secret";
    return blob_s3store_open(&h->s3, &o);
}

static int set_up(void **state)
{
    host *h = calloc(1, sizeof *h);

    assert_non_null(h);
    test_watchdog(120);
    h->dir = test_dir_make();
    h->sim = s3sim_start();
    snprintf(h->log_dir, sizeof h->log_dir, "%s/log", h->dir);
    snprintf(h->file_dir, sizeof h->file_dir, "%s/file", h->dir);
    test_ok(blob_filestore_open(&h->file, h->file_dir, NULL));
    test_ok(blob_hashcas_new(&h->file_cas, h->file, blob_hash_sha256()));
    test_ok(blob_logstore_open(&h->log, h->log_dir, NULL));
    test_ok(open_s3(h));
    test_ok(blob_memstore_new(&h->buf));
    test_ok(wbstore_new(&h->to_folder, NULL, h->file_cas, h->log, NULL));
    test_ok(wbstore_new(&h->to_server, NULL, h->s3, h->buf, NULL));
    the_host = h;
    *state = h;
    return 0;
}

static int tear_down(void **state)
{
    host *h = *state;

    the_host = NULL;
    wbstore_free(h->to_folder);
    wbstore_free(h->to_server);
    test_ok(blob_store_close(h->buf, NULL));
    test_ok(blob_store_close(h->s3, NULL));
    test_ok(blob_store_close(h->log, NULL));
    test_ok(blob_store_close(h->file_cas, NULL));
    test_ok(blob_store_close(h->file, NULL));
    s3sim_stop(h->sim);
    test_dir_remove(h->dir);
    free(h);
    return 0;
}

/* ---- children ---- */

_Noreturn static void leave(bool content)
{
    if (content)
        kill(getpid(), SIGKILL);
    _exit(1);
}

static bool is_closed(wbstore *w)
{
    blob_address a;
    blob *b;

    return wbstore_cas_put(w, NULL, "a child's", 9, &a) == BLOB_CLOSED &&
           wbstore_get(w, NULL, blob_address_key(&a), &b) == BLOB_CLOSED && wbstore_sync(w, NULL) == BLOB_CLOSED;
}

_Noreturn static void child_calls_in(const host *h)
{
    leave(is_closed(h->to_folder) && is_closed(h->to_server));
}

/* It holds nothing of ours open: what it has is closed as it begins. */
_Noreturn static void child_runs_another(const host *h)
{
    char script[1200];

    snprintf(script, sizeof script,
             "for f in /proc/self/fd/*; do readlink \"$f\"; done | grep -q '%s' && exit 1; "
             "kill -9 $$",
             h->dir);
    execl("/bin/sh", "sh", "-c", script, (char *)NULL);
    leave(false);
}

/* As a host's own, registered before it ever forked. In the parent the test is over by then. */
static void at_exit(void)
{
    bool content;

    if (the_host == NULL || getpid() == parent)
        return;
    content = wbstore_close(the_host->to_folder, NULL) == BLOB_CLOSED && is_closed(the_host->to_server);
    wbstore_free(the_host->to_folder);
    wbstore_free(the_host->to_server);
    leave(content);
}

_Noreturn static void child_exits(const host *h)
{
    (void)h;
    exit(1); /* the handler ends it otherwise */
}

static void fork_one(host *h, unsigned i)
{
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        alarm(30);
        if (i % 3 == 0)
            child_calls_in(h);
        if (i % 3 == 1)
            child_runs_another(h);
        child_exits(h);
    }
    if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        fprintf(stderr, "child %u: status %#x\n", i, (unsigned)status);
        atomic_fetch_add(&h->wrong, 1);
    }
}

/* ---- the parent ---- */

static void be_busy(host *h, unsigned index)
{
    for (unsigned n = 0; n == 0 || !atomic_load(&h->stop); n++) {
        char text[40];
        size_t size = (size_t)snprintf(text, sizeof text, "%u of thread %u", n, index);

        if (wbstore_cas_put(h->to_folder, NULL, text, size, NULL) != 0 ||
            wbstore_cas_put(h->to_server, NULL, text, size, NULL) != 0)
            atomic_fetch_add(&h->wrong, 1);
        atomic_fetch_add(&h->put, 1);
        if (n % 8 == 0 && (wbstore_sync(h->to_folder, NULL) != 0 || wbstore_sync(h->to_server, NULL) != 0))
            atomic_fetch_add(&h->wrong, 1);
    }
}

static void run(void *arg, unsigned index)
{
    host *h = arg;

    if (index > 0) {
        be_busy(h, index);
        return;
    }
    for (unsigned i = 0; i < CHILDREN; i++)
        fork_one(h, i);
    atomic_store(&h->stop, true);
}

static void is_locked_still(const host *h)
{
    blob_store *s;

    test_status(blob_filestore_open(&s, h->file_dir, NULL), -EBUSY);
    test_status(blob_logstore_open(&s, h->log_dir, NULL), -EBUSY);
}

static void children_come_and_go_and_the_parent_goes_on(void **state)
{
    wbstore_stats stats = {.struct_size = sizeof stats};
    host *h = *state;

    test_threads_run(BUSY + 1, run, h);
    assert_int_equal(atomic_load(&h->wrong), 0);
    is_locked_still(h);
    test_ok(wbstore_sync(h->to_folder, NULL));
    test_ok(wbstore_sync(h->to_server, NULL));
    assert_int_equal(test_len(h->file), atomic_load(&h->put));
    assert_int_equal(s3sim_count(h->sim), atomic_load(&h->put));
    assert_int_equal(test_len(h->log), 0);
    wbstore_get_stats(h->to_server, &stats);
    assert_int_equal(stats.sent, atomic_load(&h->put));
    assert_int_equal(stats.retries, 0); /* no child took an answer away from a connection */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(children_come_and_go_and_the_parent_goes_on, set_up, tear_down),
    };

    parent = getpid();
    if (atexit(at_exit) != 0)
        return 1;
    return cmocka_run_group_tests_name("a host that forks", tests, NULL, NULL);
}
