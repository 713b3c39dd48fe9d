/* test_signals.c - a host with a timer that interrupts it a thousand times a second, its system calls not restarted: no call
 * of the library fails for that, none is cut short, and nothing is lost.
 *
 * The kernel sends the signals to the main thread, which is the one that calls; the library's threads block them (test_wbstore_
 * writers.c). So that they fall where something waits, the blobs are large, and the server takes its time. */
#include "s3sim.h"
#include "testutil.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
#include <wbstore/wbstore.h>

enum { ENOUGH = 100, KEYS = 4, SIZE = 300000, MOST = 20000 };

static volatile sig_atomic_t rung;
static char *dir;
static char *bytes;

static void ring(int number)
{
    (void)number;
    rung = rung + 1;
}

static void timer_set(suseconds_t us)
{
    struct itimerval timer = {{0, us}, {0, us}};

    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static int set_up(void **state)
{
    struct sigaction action = {.sa_handler = ring};

    (void)state;
    dir = test_dir_make();
    bytes = test_payload(1, SIZE);
    rung = 0;
    sigemptyset(&action.sa_mask);
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0); /* without SA_RESTART */
    timer_set(1000);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    timer_set(0);
    free(bytes);
    test_dir_remove(dir);
    return 0;
}

/* Until enough signals have come, however fast the machine is. MOST rounds are as good as a minute. */
static bool go_on(unsigned round)
{
    return rung < ENOUGH && round < MOST;
}

static blob_key key_of(unsigned k)
{
    static const char *const names[KEYS] = {"a", "b", "c", "d"};

    return test_key(names[k]);
}

static int count_key(void *arg, blob_key key, uint64_t size)
{
    (void)key;
    assert_int_equal(size, SIZE);
    ++*(unsigned *)arg;
    return 0;
}

static void expect_bytes(blob *b)
{
    assert_int_equal(b->size, SIZE);
    assert_memory_equal(b->data, bytes, SIZE);
    blob_unref(b);
}

static void store_round(blob_store *s)
{
    unsigned seen = 0;
    uint64_t size;
    blob *b;

    for (unsigned k = 0; k < KEYS; k++) {
        test_ok(blob_store_put(s, NULL, key_of(k), blob_view_of(bytes, SIZE), 0));
        test_ok(blob_store_put(s, NULL, key_of(k), blob_view_of(bytes, SIZE), BLOB_REPLACE));
        test_ok(blob_store_get(s, NULL, key_of(k), &b));
        expect_bytes(b);
        test_ok(blob_store_size(s, NULL, key_of(k), &size));
        assert_int_equal(size, SIZE);
    }
    test_ok(blob_store_list(s, NULL, test_key(""), count_key, &seen));
    assert_int_equal(seen, KEYS);
    assert_int_equal(test_len(s), KEYS);
    for (unsigned k = 0; k < KEYS; k++)
        test_ok(blob_store_delete(s, NULL, key_of(k), k == 0 ? BLOB_LAZY : 0));
}

/* ---- stores ---- */

static void a_folder_is_not_disturbed(void **state)
{
    blob_store *s;

    (void)state;
    for (unsigned round = 0; go_on(round); round++) {
        test_ok(blob_filestore_open(&s, dir, NULL));
        store_round(s);
        test_ok(blob_store_close(s, NULL));
    }
    assert_true(rung >= ENOUGH);
}

static void a_log_is_not_disturbed(void **state)
{
    blob_logstore_options o = blob_logstore_options_default();
    blob_store *s;

    (void)state;
    o.segment_bytes = 1 << 20;
    o.cache_bytes = 1;
    for (unsigned round = 0; go_on(round); round++) {
        test_ok(blob_logstore_open(&s, dir, &o));
        store_round(s);
        test_ok(blob_store_close(s, NULL));
    }
    assert_true(rung >= ENOUGH);
}

/* The server has the signals too, on its threads, if it does not block them: it is begun while they are. */
static s3sim *begin_sim(void)
{
    s3sim_settings settings;
    sigset_t all, before;
    s3sim *sim;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    sim = s3sim_start();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    settings = s3sim_get(sim);
    settings.latency_us = 2000; /* so that a signal comes while an answer is waited for */
    s3sim_set(sim, &settings);
    return sim;
}

static blob_store *open_s3(s3sim *sim, const char *endpoint)
{
    blob_s3store_options o = blob_s3store_options_default();
    blob_store *s;

    o.endpoint = endpoint != NULL ? endpoint : s3sim_url(sim);
    o.bucket = "bucket";
    o.access_key = "SIMACCESSKEY";
    o.secret_key = "secret";
    o.idle_timeout_ms = o.total_timeout_ms = o.connect_timeout_ms = 100000;
    test_ok(blob_s3store_open(&s, &o));
    return s;
}

static void a_server_is_asked_once_for_all_that(void **state)
{
    char endpoint[64];
    s3sim *sim = begin_sim();
    blob_store *s;

    (void)state;
    snprintf(endpoint, sizeof endpoint, "http://localhost:%u", http_server_port(s3sim_http(sim)));
    for (unsigned round = 0; go_on(round); round++) {
        s = open_s3(sim, round % 2 == 0 ? endpoint : NULL);
        store_round(s);
        test_ok(blob_store_close(s, NULL));
    }
    assert_true(rung >= ENOUGH);
    s3sim_stop(sim);
}

/* ---- a wrapper ---- */

static void wrapper_round(wbstore *w, unsigned round)
{
    blob_address a[KEYS];
    blob_key keys[KEYS];
    uint64_t ticket;
    blob *b;

    for (unsigned k = 0; k < KEYS; k++) {
        memcpy(bytes, &round, sizeof round);
        bytes[sizeof round] = (char)k;
        test_ok(wbstore_cas_put_ticket(w, NULL, bytes, SIZE, &a[k], &ticket));
        keys[k] = blob_address_key(&a[k]);
        test_ok(wbstore_get(w, NULL, keys[k], &b));
        expect_bytes(b);
    }
    test_ok(wbstore_wait_keys(w, NULL, keys, 2));
    test_ok(wbstore_wait(w, NULL, ticket));
    test_ok(wbstore_delete(w, NULL, keys[0]));
    test_ok(wbstore_sync(w, NULL));
}

static void wrapper_is_not_disturbed(blob_store *base, blob_store *buf)
{
    wbstore_stats stats = {.struct_size = sizeof stats};
    wbstore *w;

    for (unsigned round = 0; go_on(round); round++) {
        test_ok(wbstore_new(&w, NULL, base, buf, NULL));
        wrapper_round(w, round);
        wbstore_get_stats(w, &stats);
        assert_int_equal(stats.retries, 0);
        assert_int_equal(stats.last_status, 0);
        test_ok(wbstore_close(w, NULL));
        wbstore_free(w);
        assert_int_equal(test_len(base), (round + 1) * (KEYS - 1));
        assert_int_equal(test_len(buf), 0);
    }
    assert_true(rung >= ENOUGH);
}

static void a_wrapper_of_a_server_is_not_disturbed(void **state)
{
    s3sim *sim = begin_sim();
    blob_store *base = open_s3(sim, NULL), *buf;

    (void)state;
    test_ok(blob_logstore_open(&buf, dir, NULL));
    wrapper_is_not_disturbed(base, buf);
    test_ok(blob_store_close(buf, NULL));
    test_ok(blob_store_close(base, NULL));
    s3sim_stop(sim);
}

/* A wait is as long as its deadline says, however often it is interrupted. */
static void a_wait_ends_at_its_deadline_and_not_before(void **state)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond;
    blob_ctx *ctx;
    int rc = 0;

    (void)state;
    test_ok(blob_cond_init(&cond));
    test_ok(blob_ctx_new_timeout(&ctx, NULL, 100));
    pthread_mutex_lock(&mutex);
    while (rc == 0)
        rc = blob_ctx_wait(ctx, &cond, &mutex);
    pthread_mutex_unlock(&mutex);
    test_status(rc, -ETIMEDOUT);
    assert_int_equal(blob_ctx_remaining_ms(ctx), 0);
    assert_true(rung > 0);
    blob_ctx_free(ctx);
    pthread_cond_destroy(&cond);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_folder_is_not_disturbed),
        TEST(a_log_is_not_disturbed),
        TEST(a_server_is_asked_once_for_all_that),
        TEST(a_wrapper_of_a_server_is_not_disturbed),
        TEST(a_wait_ends_at_its_deadline_and_not_before),
    };

    return cmocka_run_group_tests_name("a thousand signals a second", tests, NULL, NULL);
}
