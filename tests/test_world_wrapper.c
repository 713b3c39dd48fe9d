/* test_world_wrapper.c - the wrapper, over real stores, and the world outside: whatever happens to the folders of buffer
 * and base, what was accepted is not lost, events and errors name the path, and it goes on by itself when the cause is
 * gone. */
#include "testclock.h"
#include "testutil.h"
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wbstore/wbstore.h>

static char big[16384];

/* A wrapper over a log or files as the buffer, and files as the base, which both lie where their names say. */
typedef struct rig {
    blob_store *files, *base, *buffer;
    blob_ctx *ctx; /* governs the wrapper */
    wbstore *w;
    pthread_mutex_t lock;
    pthread_cond_t told;
    unsigned down, up, drained; /* lock; how often */
    int status;                 /* lock; of the last that said it is down */
    char text[240];             /* lock; likewise */
} rig;

static void on_event(void *arg, const wbstore_event *event)
{
    rig *r = arg;

    pthread_mutex_lock(&r->lock);
    r->down += event->kind == WBSTORE_EVENT_BASE_DOWN;
    r->up += event->kind == WBSTORE_EVENT_BASE_UP;
    r->drained += event->kind == WBSTORE_EVENT_DRAINED;
    if (event->kind == WBSTORE_EVENT_BASE_DOWN) {
        r->status = event->status;
        snprintf(r->text, sizeof r->text, "%s", event->text);
    }
    pthread_cond_broadcast(&r->told);
    pthread_mutex_unlock(&r->lock);
}

static int rig_try(rig *r, const char *base, const char *buffer, wbstore_when_full when_full)
{
    wbstore_options options = wbstore_options_default();
    blob_logstore_options log = blob_logstore_options_default();
    int rc;

    *r = (rig){.ctx = r->ctx};
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->told, NULL);
    log.segment_bytes = 64 << 10;
    options.when_full = when_full;
    options.on_event = on_event;
    options.event_arg = r;
    options.retry_max_ms = 100;
    if ((rc = blob_filestore_open(&r->files, base, NULL)) != 0 ||
        (rc = blob_hashcas_new(&r->base, r->files, blob_hash_sha256())) != 0)
        return rc;
    rc = strncmp(buffer, "file:", 5) == 0 ? blob_filestore_open(&r->buffer, buffer + 5, NULL)
                                          : blob_logstore_open(&r->buffer, buffer, &log);
    return rc != 0 ? rc : wbstore_new(&r->w, r->ctx, r->base, r->buffer, &options);
}

static void rig_start(rig *r, const char *base, const char *buffer, wbstore_when_full when_full)
{
    test_ok(rig_try(r, base, buffer, when_full));
}

static void rig_stop(rig *r)
{
    wbstore_free(r->w);
    if (r->buffer != NULL)
        (void)blob_store_close(r->buffer, NULL);
    if (r->base != NULL)
        (void)blob_store_close(r->base, NULL);
    if (r->files != NULL)
        (void)blob_store_close(r->files, NULL);
    pthread_cond_destroy(&r->told);
    pthread_mutex_destroy(&r->lock);
}

/* Waits until the base is told to be down for the count-th time. */
static void rig_until_down(rig *r, unsigned count)
{
    pthread_mutex_lock(&r->lock);
    while (r->down < count)
        pthread_cond_wait(&r->told, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

static int put(rig *r, const char *text)
{
    return wbstore_cas_put(r->w, NULL, text, strlen(text), NULL);
}

/* A blob that no other number has, of more than a page. */
static int put_big(rig *r, unsigned n)
{
    memcpy(big, &n, sizeof n);
    return wbstore_cas_put(r->w, NULL, big, sizeof big, NULL);
}

static wbstore_stats stats_of(rig *r)
{
    wbstore_stats stats = {.struct_size = sizeof stats};

    wbstore_get_stats(r->w, &stats);
    return stats;
}

static int set_up(void **state)
{
    test_watchdog(120);
    *state = test_dir_make();
    return *state == NULL || chdir(*state) != 0 || chmod(".", 0777) != 0;
}

static int tear_down(void **state)
{
    int rc = chdir("/");

    test_dir_remove(*state);
    test_watchdog(0);
    return rc;
}

/* ---- full disks ---- */

static void a_full_base_is_told_and_gets_everything_once_it_is_emptied(void **state)
{
    rig r = {.w = NULL};

    (void)state;
    if (!world_disk("disk", 1 << 20))
        skip();
    rig_start(&r, "disk/base", "buffer", WBSTORE_FULL_WAIT);
    test_ok(put(&r, "before"));
    test_ok(wbstore_sync(r.w, NULL));
    world_fill("disk");
    for (unsigned i = 0; i < 8; i++)
        test_ok(put_big(&r, i)); /* accepted all the same */
    rig_until_down(&r, 1);
    assert_int_equal(r.status, -ENOSPC);
    assert_non_null(strstr(r.text, "disk/base"));
    assert_non_null(strstr(r.text, "free space"));
    assert_int_equal(stats_of(&r).last_status, -ENOSPC);
    assert_int_equal(stats_of(&r).pending_blobs, 8);
    world_empty("disk");
    test_ok(wbstore_sync(r.w, NULL));
    assert_int_equal(test_len(r.files), 9);
    assert_int_equal(test_len(r.buffer), 0);
    rig_stop(&r);
    world_disk_end("disk");
}

typedef struct filler {
    rig *r;
    atomic_bool enough;
    unsigned count;
    int status;
} filler;

/* Puts one after the other, for the log has some space of its own. */
static void *fill_up(void *arg)
{
    filler *f = arg;

    while (f->status == 0 && !f->enough)
        f->status = put_big(f->r, f->count++);
    return NULL;
}

/* No blob leaves: room comes from somebody else, on the buffer's disk, who tells nobody. That is asked for now and then. */
static void a_put_waits_for_a_full_disk_until_it_is_emptied(void **state)
{
    filler f = {.status = 0};
    test_clock clock;
    pthread_t thread;
    rig r = {.w = NULL};

    (void)state;
    if (!world_disk("disk", 1 << 20))
        skip();
    test_clock_start(&clock);
    r.ctx = clock.ctx;
    rig_start(&r, "base", "disk/buffer", WBSTORE_FULL_WAIT);
    test_ok(wbstore_pause(r.w));
    test_ok(put(&r, "pending"));
    world_fill("disk");
    f.r = &r;
    test_thread_start(&thread, fill_up, &f);
    while (stats_of(&r).room_waiters == 0)
        (void)poll(NULL, 0, 1);
    f.enough = true;
    world_empty("disk");
    test_clock_move(&clock, 10000);
    test_thread_join(thread);
    test_ok(f.status);
    test_ok(wbstore_resume(r.w));
    test_ok(wbstore_sync(r.w, NULL));
    assert_int_equal(test_len(r.buffer), 0);
    assert_int_equal(test_len(r.files), f.count + 1);
    rig_stop(&r);
    test_clock_stop(&clock);
    world_disk_end("disk");
}

/* when_full: a put does not wait, or in vain. */
static void is_told_of_the_full_disk(wbstore_when_full when_full)
{
    rig r = {.w = NULL};

    if (!world_disk("disk", 1 << 20))
        skip();
    rig_start(&r, "base", "file:disk/buffer", when_full);
    world_fill("disk");
    TELLS(put_big(&r, 0), BLOB_FULL, "disk/buffer", "free space");
    world_empty("disk");
    test_ok(put_big(&r, 0));
    test_ok(wbstore_sync(r.w, NULL));
    assert_int_equal(test_len(r.files), 1);
    rig_stop(&r);
    world_disk_end("disk");
}

static void a_put_that_shall_not_wait_is_told_of_the_full_disk(void **state)
{
    (void)state;
    is_told_of_the_full_disk(WBSTORE_FULL_FAIL);
}

static void a_put_that_would_wait_in_vain_is_told_of_the_full_disk(void **state)
{
    (void)state;
    is_told_of_the_full_disk(WBSTORE_FULL_WAIT);
}

/* ---- a base that one may not write to, or that is gone ---- */

static void denied(void *arg)
{
    blob_ctx *ctx = NULL;
    rig r = {.w = NULL};

    (void)arg;
    WANT_STATUS(rig_try(&r, "base", "buffer", WBSTORE_FULL_WAIT), 0);
    WANT(chmod("base", 0500) == 0);
    for (unsigned i = 0; i < 8; i++)
        WANT_STATUS(put_big(&r, i), 0);
    rig_until_down(&r, 1);
    WANT(r.status == BLOB_DENIED && strstr(r.text, "base") != NULL && strstr(r.text, "right to") != NULL);
    WANT_STATUS(blob_ctx_new_timeout(&ctx, NULL, 1), 0);
    WANT_STATUS(wbstore_sync(r.w, ctx), BLOB_DENIED);
    blob_ctx_free(ctx);
    WANT(chmod("base", 0700) == 0);
    WANT_STATUS(wbstore_sync(r.w, NULL), 0);
    WANT(stats_of(&r).sent == 8);
    rig_stop(&r);
}

static void a_base_that_may_not_be_written_gets_everything_once_it_may(void **state)
{
    (void)state;
    world_as_nobody(denied, NULL);
}

static void a_base_that_is_moved_goes_on_and_one_that_is_removed_loses_nothing_in_the_buffer(void **state)
{
    rig r = {.w = NULL};

    (void)state;
    rig_start(&r, "base", "buffer", WBSTORE_FULL_WAIT);
    test_ok(put(&r, "one"));
    test_ok(wbstore_sync(r.w, NULL));
    assert_int_equal(rename("base", "elsewhere"), 0);
    test_ok(put(&r, "two"));
    test_ok(wbstore_sync(r.w, NULL));
    assert_int_equal(rename("elsewhere", "base"), 0);
    assert_int_equal(system("rm -r base"), 0);
    for (unsigned i = 0; i < 8; i++)
        test_ok(put_big(&r, i));
    rig_until_down(&r, 1);
    assert_int_equal(r.status, BLOB_UNAVAILABLE);
    assert_non_null(strstr(r.text, "base"));
    assert_non_null(strstr(r.text, "removed"));
    assert_int_equal(test_len(r.buffer), 8);
    rig_stop(&r);
    rig_start(&r, "base", "buffer", WBSTORE_FULL_WAIT); /* it is made anew */
    test_ok(wbstore_sync(r.w, NULL));
    assert_int_equal(test_len(r.files), 8);
    rig_stop(&r);
}

/* ---- the buffer's folder ---- */

/* What it has open it can still read: so it empties itself, and takes no more. */
static void a_log_that_is_removed_is_sent_all_the_same(void **state)
{
    rig r = {.w = NULL};

    (void)state;
    rig_start(&r, "base", "buffer", WBSTORE_FULL_FAIL);
    test_ok(wbstore_pause(r.w));
    for (unsigned i = 0; i < 8; i++)
        test_ok(put_big(&r, i));
    assert_int_equal(system("rm -r buffer"), 0);
    assert_true(put_big(&r, 8) != 0);
    assert_true(put_big(&r, 9) != 0);
    test_ok(wbstore_resume(r.w));
    test_ok(wbstore_sync(r.w, NULL));
    assert_true(test_len(r.files) >= 8);
    assert_true(stats_of(&r).sent >= 8);
    rig_stop(&r);
}

static void the_things_of_others_in_the_buffer_stay_there(const char *buffer, const char *dir)
{
    char path[64];
    rig r = {.w = NULL};

    assert_int_equal(mkdir(dir, 0777), 0);
    snprintf(path, sizeof path, "%s/notes.txt", dir);
    assert_int_equal(close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666)), 0);
    snprintf(path, sizeof path, "%s/lost+found", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/link", dir);
    assert_int_equal(symlink("/dev/null", path), 0);
    rig_start(&r, "base", buffer, WBSTORE_FULL_WAIT);
    for (unsigned i = 0; i < 8; i++)
        test_ok(put_big(&r, i));
    test_ok(wbstore_sync(r.w, NULL));
    assert_int_equal(test_len(r.buffer), 0);
    assert_int_equal(stats_of(&r).sent, 8);
    rig_stop(&r);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/lost+found", dir);
    assert_int_equal(rmdir(path), 0);
    snprintf(path, sizeof path, "%s/notes.txt", dir);
    assert_int_equal(unlink(path), 0);
}

static void a_buffer_with_things_of_others_is_drained_and_they_stay(void **state)
{
    (void)state;
    the_things_of_others_in_the_buffer_stay_there("log", "log");
    the_things_of_others_in_the_buffer_stay_there("file:files", "files");
}

static void two_processes_cannot_have_one_buffer_and_a_killed_one_leaves_it(void **state)
{
    static const char *const buffers[] = {"log", "file:files"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        int ready[2], status;
        pid_t child;
        char c;
        rig r = {.w = NULL};

        assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
        child = fork();
        if (child == 0) {
            test_watchdog(60);
            if (rig_try(&r, "their-base", buffers[i], WBSTORE_FULL_WAIT) == 0 && wbstore_pause(r.w) == 0 &&
                put(&r, "accepted") == 0 && write(ready[1], "r", 1) == 1)
                pause();
            _exit(1);
        }
        assert_int_equal(read(ready[0], &c, 1), 1);
        TELLS(rig_try(&r, "base", buffers[i], WBSTORE_FULL_WAIT), -EBUSY, i == 0 ? "log" : "files", "close it");
        rig_stop(&r);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        rig_start(&r, "base", buffers[i], WBSTORE_FULL_WAIT);
        test_ok(wbstore_sync(r.w, NULL));
        assert_int_equal(stats_of(&r).resumed, 1);
        assert_int_equal(test_len(r.files), 1);
        rig_stop(&r);
        close(ready[0]);
        close(ready[1]);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_full_base_is_told_and_gets_everything_once_it_is_emptied),
        T(a_put_waits_for_a_full_disk_until_it_is_emptied),
        T(a_put_that_shall_not_wait_is_told_of_the_full_disk),
        T(a_put_that_would_wait_in_vain_is_told_of_the_full_disk),
        T(a_base_that_may_not_be_written_gets_everything_once_it_may),
        T(a_base_that_is_moved_goes_on_and_one_that_is_removed_loses_nothing_in_the_buffer),
        T(a_log_that_is_removed_is_sent_all_the_same),
        T(a_buffer_with_things_of_others_is_drained_and_they_stay),
        T(two_processes_cannot_have_one_buffer_and_a_killed_one_leaves_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
