/* test_kill_linear.c - what a wrapper over a durable buffer answers, before and after kills, is what one store could have
 * answered; a call that a kill cut off happened before the next life began, or never. The child records its calls in
 * memory that it shares with the parent, which checks them all as one history (linear.h, history.h). */
#include "linear.h"
#include "victim.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct caller {
    const linear *l;
    unsigned thread;
    int pipe;
} caller;

typedef struct durable {
    linear l;
    int (*open_buffer)(blob_store **out, const char *dir);
    char *dir, *base_dir, *buf_dir;
    blob_store *base_files, *base_cas, *buf;
    blob_faultstore *base;
    caller callers[LINEAR_THREADS_MAX];
} durable;

static int open_files(blob_store **out, const char *dir)
{
    return blob_filestore_open(out, dir, NULL);
}

static int open_log(blob_store **out, const char *dir)
{
    blob_logstore_options options = blob_logstore_options_default();

    options.segment_bytes = 64 << 10; /* so that segments come and go */
    return blob_logstore_open(out, dir, &options);
}

/* A kill takes nothing from the base: it need not sync. */
static int durable_open(durable *d)
{
    blob_filestore_options options = blob_filestore_options_default();
    int rc;

    options.no_sync = 1;
    rc = blob_filestore_open(&d->base_files, d->base_dir, &options);
    if (rc == 0)
        rc = blob_hashcas_new(&d->base_cas, d->base_files, blob_hash_sha256());
    if (rc == 0)
        rc = d->open_buffer(&d->buf, d->buf_dir);
    return rc;
}

static void durable_close(durable *d)
{
    test_ok(blob_store_close(d->buf, NULL));
    test_ok(blob_store_close(d->base_cas, NULL));
    test_ok(blob_store_close(d->base_files, NULL));
}

static void *caller_run(void *arg)
{
    const caller *c = arg;
    test_rng rng = {.state = c->l->seed + c->thread};

    for (;;) {
        linear_one_call(c->l, c->thread, &rng);
        victim_say(c->pipe, "", 1);
    }
    return NULL;
}

static void host_work(void *arg, int pipe)
{
    durable *d = arg;
    wbstore_options options = wbstore_options_default();
    pthread_t thread;

    options.retry_min_ms = options.retry_max_ms = 1;
    if (durable_open(d) != 0 || test_faultstore_new(&d->base, d->base_cas) != 0)
        _exit(2);
    blob_faultstore_keep_history(d->base, false);
    linear_add_delays(&d->l, d->base);
    d->l.base = d->base_cas;
    if (wbstore_new(&d->l.w, NULL, blob_faultstore_store(d->base), d->buf, &options) != 0)
        _exit(2);
    for (unsigned i = 0; i < d->l.threads; i++) {
        d->callers[i] = (caller){.l = &d->l, .thread = i, .pipe = pipe};
        if (pthread_create(&thread, NULL, caller_run, &d->callers[i]) != 0)
            _exit(2);
    }
}

/* It listens to some of the calls first, or else it may be killed while it opens its stores. */
static void one_killed_life(durable *d)
{
    uint64_t listen = test_random_below(&d->l.seeds, 8) > 0 ? test_random_below(&d->l.seeds, 100) : 0;
    victim v;
    char called;

    d->l.seed = test_random(&d->l.seeds);
    victim_start(&v, host_work, d);
    while (listen > 0 && victim_hear(&v, &called, 1))
        listen--;
    victim_kill(&v, &d->l.seeds, 3000);
    while (victim_hear(&v, &called, 1))
        continue;
    victim_bury(&v);
    history_cut(d->l.h);
}

static char *in_folder(const char *dir, const char *name)
{
    char *path;

    assert_true(asprintf(&path, "%s/%s", dir, name) > 0);
    return path;
}

static void one_durable_round(durable *d)
{
    unsigned lives = 2 + linear_below(&d->l, 4);

    d->dir = test_dir_make();
    d->base_dir = in_folder(d->dir, "base");
    d->buf_dir = in_folder(d->dir, "buffer");
    linear_begin(&d->l, (size_t)1 << 17);
    while (lives-- > 0)
        one_killed_life(d);
    test_ok(durable_open(d));
    history_look_at_the_end(d->l.h, d->buf, d->base_cas);
    durable_close(d);
    free(d->base_dir);
    free(d->buf_dir);
    test_dir_remove(d->dir);
}

static void what_it_answers_through_kills_is_linearizable(void **state)
{
    durable d = {.open_buffer = *(int (**)(blob_store **, const char *)) * state};
    unsigned long rounds = linear_rounds(24);

    linear_seed(&d.l);
    for (unsigned long round = 0; round < rounds; round++) {
        test_watchdog(100);
        one_durable_round(&d);
        linear_expect(&d.l, 0, "kills", round);
    }
    linear_tell(&d.l);
}

int main(void)
{
    static int (*files)(blob_store **, const char *) = open_files, (*log)(blob_store **, const char *) = open_log;
    const struct CMUnitTest tests[] = {
        {"what_it_answers_through_kills_is_linearizable: filestore", what_it_answers_through_kills_is_linearizable,
         NULL, NULL, &files},
        {"what_it_answers_through_kills_is_linearizable: logstore", what_it_answers_through_kills_is_linearizable, NULL,
         NULL, &log},
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
