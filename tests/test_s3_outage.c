/* test_s3_outage.c - a wrapper over a log and a real Ceph, of which parts are killed and frozen under load: puts go on as
 * if nothing had happened, nothing that was accepted is lost, and once it is healed the rest is sent without a stampede.
 *
 *     wbstore --- base: faultstore, which only counts - s3store - gateway - monitor, three OSDs
 *            \--- buf:  logstore
 *
 * Threads put blobs at a moderate pace throughout. Nothing waits for time to pass: an outage lasts until so many puts went
 * well during it, so one that waited for the base would hang the test, and an assertion on its duration would add nothing
 * but doubt about the machine. The figures are printed. */
#include "cephrig.h"
#include "testfault.h"
#include "testutil.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wbstore/wbstore.h>

#define PUTTERS 2
#define PACE_NS (20 * 1000 * 1000) /* of each */
#define WRITERS_MAX 16
#define SIZE_MAX_OF_BLOB 24576
#define PUTS_MAX 40000
#define SLACK_MS 15000 /* what a loaded machine may be late */

enum { BEFORE, BROKEN, AFTER, PHASES };

typedef struct outage_put {
    blob_address address;
    uint64_t seed;
    size_t size;
    int64_t took_us;
    int phase;
} outage_put;

/* Legend: (l) under lock. */
typedef struct outage {
    char *dir;
    char prefix[128];
    blob_store *s3, *buffer;
    blob_faultstore *base;
    wbstore *w;
    pthread_t putters[PUTTERS];
    bool loaded; /* they run */
    pthread_mutex_t lock;
    pthread_cond_t told;
    outage_put *puts;           /* l */
    size_t count, done[PHASES]; /* l */
    uint64_t next_seed;         /* l */
    int phase;                  /* l */
    bool stop;                  /* l */
    int failed;                 /* l: the status of a put that went wrong */
    unsigned downs, ups;        /* l: events */
} outage;

static int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void on_event(void *arg, const wbstore_event *event)
{
    outage *o = arg;

    pthread_mutex_lock(&o->lock);
    o->downs += event->kind == WBSTORE_EVENT_BASE_DOWN;
    o->ups += event->kind == WBSTORE_EVENT_BASE_UP;
    pthread_cond_broadcast(&o->told);
    pthread_mutex_unlock(&o->lock);
    if (event->kind == WBSTORE_EVENT_BASE_DOWN)
        printf("    down: %s\n", event->text);
}

static void start_wrapper(outage *o)
{
    wbstore_options options = wbstore_options_default();

    options.writers_max = WRITERS_MAX;
    options.attempt_timeout_ms = 5000;
    options.retry_max_ms = 1000;
    options.on_event = on_event;
    options.event_arg = o;
    test_ok(wbstore_new(&o->w, NULL, blob_faultstore_store(o->base), o->buffer, &options));
}

static int set_up(void **state)
{
    outage *o = calloc(1, sizeof *o);

    test_watchdog(280);
    cephrig_run("start", NULL);
    assert_non_null(o);
    *state = o;
    o->puts = calloc(PUTS_MAX, sizeof *o->puts);
    o->dir = test_dir_make();
    assert_true(o->puts != NULL && o->dir != NULL);
    snprintf(o->prefix, sizeof o->prefix, "outage/%ld-%lld/", (long)getpid(), (long long)now_us());
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->told, NULL);
    o->s3 = cephrig_open(o->prefix);
    test_ok(test_faultstore_new(&o->base, o->s3));
    test_ok(blob_logstore_open(&o->buffer, o->dir, NULL));
    start_wrapper(o);
    return 0;
}

/* ---- The load ---- */

static size_t size_of(uint64_t seed)
{
    test_rng rng = {seed};

    return (size_t)test_random_below(&rng, SIZE_MAX_OF_BLOB);
}

static int put_one(outage *o, unsigned char *bytes)
{
    outage_put put = {0};
    int64_t begun_us;
    int rc;

    pthread_mutex_lock(&o->lock);
    put.seed = ++o->next_seed;
    put.phase = o->phase;
    pthread_mutex_unlock(&o->lock);
    put.size = size_of(put.seed);
    test_fill(put.seed, bytes, put.size);
    begun_us = now_us();
    rc = wbstore_cas_put(o->w, NULL, bytes, put.size, &put.address);
    put.took_us = now_us() - begun_us;

    pthread_mutex_lock(&o->lock);
    if (rc == 0 && o->count < PUTS_MAX)
        o->puts[o->count++] = put;
    else
        o->failed = rc != 0 ? rc : -ENOSPC;
    o->done[put.phase]++;
    pthread_cond_broadcast(&o->told);
    pthread_mutex_unlock(&o->lock);
    return rc;
}

static void *putter_run(void *arg)
{
    const struct timespec pace = {.tv_nsec = PACE_NS};
    unsigned char bytes[SIZE_MAX_OF_BLOB];
    outage *o = arg;
    bool stop = false;

    while (!stop && put_one(o, bytes) == 0) {
        nanosleep(&pace, NULL);
        pthread_mutex_lock(&o->lock);
        stop = o->stop;
        pthread_mutex_unlock(&o->lock);
    }
    return NULL;
}

static void load_start(outage *o)
{
    for (unsigned i = 0; i < PUTTERS; i++)
        test_thread_start(&o->putters[i], putter_run, o);
    o->loaded = true;
}

static void load_end(outage *o)
{
    pthread_mutex_lock(&o->lock);
    o->stop = true;
    pthread_mutex_unlock(&o->lock);
    for (unsigned i = 0; o->loaded && i < PUTTERS; i++)
        test_thread_join(o->putters[i]);
    o->loaded = false;
}

static int tear_down(void **state)
{
    outage *o = *state;

    load_end(o); /* of a test that failed */
    wbstore_free(o->w);
    test_ok(blob_store_close(blob_faultstore_store(o->base), NULL));
    test_ok(blob_store_close(o->s3, NULL));
    test_ok(blob_store_close(o->buffer, NULL));
    test_dir_remove(o->dir);
    pthread_cond_destroy(&o->told);
    pthread_mutex_destroy(&o->lock);
    free(o->puts);
    free(o);
    test_watchdog(0);
    return 0;
}

static void phase_begin(outage *o, int phase)
{
    pthread_mutex_lock(&o->lock);
    o->phase = phase;
    pthread_mutex_unlock(&o->lock);
}

/* Until so many more puts that began in this phase have returned. */
static void await_puts(outage *o, size_t count)
{
    size_t until;

    pthread_mutex_lock(&o->lock);
    until = o->done[o->phase] + count;
    while (o->done[o->phase] < until && o->failed == 0)
        pthread_cond_wait(&o->told, &o->lock);
    pthread_mutex_unlock(&o->lock);
    test_ok(o->failed);
}

static void await_down(outage *o, unsigned downs)
{
    pthread_mutex_lock(&o->lock);
    while (o->downs < downs)
        pthread_cond_wait(&o->told, &o->lock);
    pthread_mutex_unlock(&o->lock);
}

/* ---- What must hold ---- */

static wbstore_stats stats_of(outage *o)
{
    wbstore_stats stats = {.struct_size = sizeof stats};

    wbstore_get_stats(o->w, &stats);
    return stats;
}

static int compare_times(const void *a, const void *b)
{
    int64_t one = *(const int64_t *)a, other = *(const int64_t *)b;

    return (one > other) - (one < other);
}

static int64_t times_of(outage *o, int phase, int64_t *most_us)
{
    int64_t *times = calloc(PUTS_MAX, sizeof *times), median;
    size_t count = 0;

    assert_non_null(times);
    pthread_mutex_lock(&o->lock);
    for (size_t i = 0; i < o->count; i++)
        if (o->puts[i].phase == phase)
            times[count++] = o->puts[i].took_us;
    pthread_mutex_unlock(&o->lock);
    assert_true(count > 0);
    qsort(times, count, sizeof *times, compare_times);
    median = times[count / 2];
    *most_us = times[count - 1];
    free(times);
    return median;
}

/* Generous: other tests run beside this one, and come and go. */
static void expect_local_speed(outage *o)
{
    int64_t most_before, most, before = times_of(o, BEFORE, &most_before), median = times_of(o, BROKEN, &most);

    printf("    puts: median %lld us before, %lld us while broken; longest %lld and %lld us\n", (long long)before,
           (long long)median, (long long)most_before, (long long)most);
    assert_true(median <= 10 * before + 100000);
}

/* So long as the base is known to be down, one attempt at a time: of those that ended since then each began when the one
 * before had ended, and one at most is under way now. */
static void expect_one_at_a_time(outage *o, size_t from)
{
    unsigned attempts = 0, in_flight = blob_faultstore_count(o->base, BLOB_FAULT_PUT).in_flight;
    size_t to = blob_faultstore_history_size(o->base);
    blob_faultstore_call call, last = {0};

    for (size_t i = from; i < to; i++) {
        assert_true(blob_faultstore_history(o->base, i, &call));
        if (call.op != BLOB_FAULT_PUT)
            continue;
        assert_true(attempts == 0 || call.begun > last.ended);
        last = call;
        attempts++;
    }
    printf("    attempts while it was known to be down: %u, and %u under way\n", attempts, in_flight);
    assert_true(in_flight <= 1);
}

static void until_one_in_flight(outage *o)
{
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};

    while (blob_faultstore_count(o->base, BLOB_FAULT_PUT).in_flight > 1)
        nanosleep(&pause, NULL);
}

/* A sync while it is down gives up at its deadline. */
static void expect_deadline_kept(outage *o)
{
    int64_t begun_us = now_us(), took_ms;
    blob_ctx *ctx = NULL;

    test_ok(blob_ctx_new_timeout(&ctx, NULL, 300));
    test_status(wbstore_sync(o->w, ctx), -ETIMEDOUT);
    took_ms = (now_us() - begun_us) / 1000;
    printf("    sync with 300 ms returned after %lld ms\n", (long long)took_ms);
    assert_true(took_ms >= 299 && took_ms < 300 + SLACK_MS);
    blob_ctx_free(ctx);
}

/* Puts into the base that ended from then on and went wrong. That one is there is no failure: an upload that hung may have
 * been carried out when the server came back. */
static unsigned failures_since(outage *o, size_t from, unsigned *attempts)
{
    size_t to = blob_faultstore_history_size(o->base);
    unsigned failures = 0;
    blob_faultstore_call call;

    *attempts = 0;
    for (size_t i = from; i < to; i++) {
        assert_true(blob_faultstore_history(o->base, i, &call));
        *attempts += call.op == BLOB_FAULT_PUT;
        failures += call.op == BLOB_FAULT_PUT && call.status != 0 && call.status != BLOB_EXISTS;
    }
    return failures;
}

/* From the moment at which the cluster serves again. The load goes on, so puts are the clock. */
static void expect_resumed(outage *o)
{
    size_t from = blob_faultstore_history_size(o->base);
    uint64_t sent = stats_of(o).sent;
    int64_t begun_us = now_us(), took_ms;
    unsigned attempts, failures;

    while (stats_of(o).sent <= sent)
        await_puts(o, 1);
    took_ms = (now_us() - begun_us) / 1000;
    await_puts(o, 1000 * 1000 * 1000 / PACE_NS * PUTTERS); /* a second or so */
    failures = failures_since(o, from, &attempts);
    printf("    sending again after %lld ms; attempts until a second after that: %u, of which failed %u\n",
           (long long)took_ms, attempts, failures);
    assert_true(took_ms < 5000 + SLACK_MS);
    assert_true(failures <= WRITERS_MAX);
    assert_true(blob_faultstore_count(o->base, BLOB_FAULT_PUT).in_flight_max <= WRITERS_MAX);
}

/* Every blob that was accepted is in the base, byte for byte, and nowhere else; some asked of another client. */
static void expect_nothing_lost(outage *o)
{
    unsigned char *bytes = malloc(SIZE_MAX_OF_BLOB);
    size_t step = o->count / 20 + 1;

    assert_non_null(bytes);
    for (size_t i = 0; i < o->count; i++) {
        const outage_put *put = &o->puts[i];
        char name[sizeof o->prefix + sizeof(test_hex)];
        blob *b = NULL;

        test_fill(put->seed, bytes, put->size);
        test_ok(blob_store_get(o->s3, NULL, blob_address_key(&put->address), &b));
        assert_int_equal(b->size, put->size);
        assert_memory_equal(b->data, bytes, put->size);
        blob_unref(b);
        if (i % step != 0)
            continue;
        snprintf(name, sizeof name, "%s%s", o->prefix, test_hex_of(blob_address_key(&put->address)).text);
        assert_true(cephrig_curl_has(name, bytes, put->size));
    }
    free(bytes);
}

static void finish(outage *o)
{
    int64_t begun_us = now_us();
    blob_ctx *ctx = NULL;
    wbstore_stats stats;

    load_end(o);
    test_ok(o->failed);
    test_ok(blob_ctx_new_timeout(&ctx, NULL, 150000));
    test_ok(wbstore_sync(o->w, ctx));
    blob_ctx_free(ctx);
    stats = stats_of(o);
    assert_int_equal(stats.pending_blobs, 0);
    assert_int_equal(stats.accepted, o->count);
    assert_int_equal(test_len(o->buffer), 0);
    printf("    %zu blobs, %llu retries; in sync %lld ms after the last put\n", o->count,
           (unsigned long long)stats.retries, (long long)((now_us() - begun_us) / 1000));
    expect_nothing_lost(o);
}

/* ---- The outages ---- */

/* Broken so that nothing can be stored any more, until it is healed. */
static void outage_of_all(outage *o, const char *const (*breaks)[2], size_t count)
{
    size_t from;

    load_start(o);
    await_puts(o, 200);
    for (size_t i = 0; i < count; i++)
        cephrig_run(breaks[i][0], breaks[i][1]);
    phase_begin(o, BROKEN);
    await_down(o, 1);
    until_one_in_flight(o);
    from = blob_faultstore_history_size(o->base);
    await_puts(o, 200);
    expect_deadline_kept(o);
    expect_one_at_a_time(o, from);
    for (size_t i = 0; i < count; i++)
        cephrig_run("up", breaks[i][1]);
    phase_begin(o, AFTER);
    expect_resumed(o);
    finish(o);
    expect_local_speed(o);
}

static void gateway_killed(void **state)
{
    static const char *const breaks[][2] = {{"kill", "rgw.a"}};

    outage_of_all(*state, breaks, 1);
}

static void gateway_frozen(void **state)
{
    static const char *const breaks[][2] = {{"freeze", "rgw.a"}};

    outage_of_all(*state, breaks, 1);
}

/* One copy is left: the cluster takes no writes, and says nothing. */
static void two_osds_killed(void **state)
{
    static const char *const breaks[][2] = {{"kill", "osd.1"}, {"kill", "osd.2"}};

    outage_of_all(*state, breaks, 2);
}

/* The cluster goes on without it, after a moment: so do we, which shows in what is sent while it is away. */
static void outage_of_part(outage *o, const char *name)
{
    uint64_t sent;

    load_start(o);
    await_puts(o, 200);
    cephrig_run("kill", name);
    phase_begin(o, BROKEN);
    await_puts(o, 100);
    sent = stats_of(o).sent;
    while (stats_of(o).sent < sent + 200)
        await_puts(o, 1);
    cephrig_run("up", name);
    phase_begin(o, AFTER);
    expect_resumed(o);
    finish(o);
    expect_local_speed(o);
}

static void one_osd_killed(void **state)
{
    outage_of_part(*state, "osd.0");
}

static void monitor_killed(void **state)
{
    outage_of_part(*state, "mon.a");
}

/* The host ends while the base hangs, and starts again on the same buffer. */
static void closed_while_frozen_and_resumed(void **state)
{
    outage *o = *state;
    int64_t begun_us;
    blob_ctx *ctx = NULL;
    int rc;

    load_start(o);
    await_puts(o, 100);
    cephrig_run("freeze", "rgw.a");
    phase_begin(o, BROKEN);
    await_puts(o, 200);
    load_end(o);
    test_ok(o->failed);
    assert_true(stats_of(o).pending_blobs > 0);

    begun_us = now_us();
    test_ok(blob_ctx_new_timeout(&ctx, NULL, 1000));
    rc = wbstore_close(o->w, ctx);
    printf("    close returned %d after %lld ms\n", rc, (long long)((now_us() - begun_us) / 1000));
    assert_true(rc == 0 || rc == -ETIMEDOUT);
    assert_true(now_us() - begun_us < (int64_t)(1000 + SLACK_MS) * 1000);
    blob_ctx_free(ctx);
    wbstore_free(o->w);
    o->w = NULL;
    assert_true(test_len(o->buffer) > 0);

    start_wrapper(o);
    cephrig_run("thaw", "rgw.a");
    test_ok(blob_ctx_new_timeout(&ctx, NULL, 60000));
    test_ok(wbstore_sync(o->w, ctx));
    blob_ctx_free(ctx);
    assert_int_equal(test_len(o->buffer), 0);
    expect_nothing_lost(o);
}

static int heal(void **state)
{
    (void)state;
    cephrig_run("start", NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gateway_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(gateway_frozen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_osds_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_osd_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(monitor_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(closed_while_frozen_and_resumed, set_up, tear_down),
    };

    setvbuf(stdout, NULL, _IOLBF, 0);
    return cephrig_present() ? cmocka_run_group_tests(tests, NULL, heal) : CEPHRIG_SKIP;
}
