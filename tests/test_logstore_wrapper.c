/* test_logstore_wrapper.c - a wrapper whose buffer is a log, on a simulated disk: what the log's promises come to for
 * those who put through it. The wrapper's own promises have tests with buffers of every kind; here are those that hang
 * on both. */
#include "simdisk.h"
#include "wbinside.h"
#include "logstore/logstore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOBS = 20, THREADS = 40, WRITERS = 4 };

/* ---- a wrapper over a log ---- */

/* wbrig.h, with the log in the place of its buffer: wb->buf_mem. The log has no keeper where a test lays hands on its
 * disk, for then nobody else may be using that. */
typedef struct rig {
    wbrig *wb;
    simdisk *disk;
    blob_logstore_options options;
    unsigned flags;
} rig;

static void rig_open(rig *r)
{
    test_ok(wb_log_open(&r->wb->buf_mem, simdisk_mount(r->disk), "log", &r->options, r->flags));
    test_ok(test_faultstore_new(&r->wb->buf, r->wb->buf_mem));
}

/* Of a process that is no more: what it says does not count. */
static void rig_bury(rig *r)
{
    test_ok(blob_store_close(blob_faultstore_store(r->wb->buf), NULL));
    (void)blob_store_close(r->wb->buf_mem, NULL);
}

static void rig_close(rig *r)
{
    test_ok(blob_store_close(blob_faultstore_store(r->wb->buf), NULL));
    test_ok(blob_store_close(r->wb->buf_mem, NULL));
}

static int set_up(void **state)
{
    rig *r = calloc(1, sizeof *r);
    void *wb;

    assert_non_null(r);
    wbrig_set_up(&wb);
    r->wb = wb;
    rig_close(r); /* the buffer that wbrig has made */
    r->disk = simdisk_new(1);
    r->options = blob_logstore_options_default();
    r->options.segment_bytes = (uint64_t)64 << 10;
    r->options.cache_bytes = 1;
    r->flags = LOG_NO_KEEPER;
    r->wb->options.writers_max = WRITERS;
    rig_open(r);
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    rig *r = *state;
    void *wb = r->wb;

    wbrig_tear_down(&wb);
    simdisk_free(r->disk);
    free(r);
    return 0;
}

static blob_logstore_info info_of(rig *r)
{
    blob_logstore_info info = {.struct_size = sizeof info};

    test_ok(blob_logstore_get_info(r->wb->buf_mem, &info));
    return info;
}

/* ---- blobs ---- */

/* Some are small, some fill a segment. */
static const char *text_of(unsigned n)
{
    static char text[80000];
    int size = n % 7 == 3 ? 70000 : n % 3 == 1 ? 9000 : 20;

    snprintf(text, sizeof text, "blob %u %*s", n, size, ".");
    return text;
}

/* Puts them all while the base lets so many through. Then every writer stands at its gate, and nothing stirs. */
static blob_faultstore_rule *put_all(rig *r, unsigned let_through)
{
    blob_faultstore_rule *gate = blob_faultstore_hold(r->wb->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);

    wbrig_start(r->wb);
    for (unsigned n = 0; n < BLOBS; n++)
        wbrig_put(r->wb, text_of(n));
    blob_faultstore_release(gate, let_through);
    blob_faultstore_wait_calls(r->wb->buf, BLOB_FAULT_DELETE, let_through);
    blob_faultstore_wait_held(gate, WRITERS);
    inside_until_resumed(r->wb->w);
    return gate;
}

static void expect_all_in_base(rig *r)
{
    for (unsigned n = 0; n < BLOBS; n++) {
        blob_address a = wbrig_address(text_of(n));
        test_expect(r->wb->base_mem, blob_address_key(&a), text_of(n));
    }
    assert_int_equal(test_len(r->wb->base_mem), BLOBS);
}

/* A new wrapper over the log as it is now sends what is in it. */
static void expect_sent_by_the_next(rig *r)
{
    uint64_t left = test_len(r->wb->buf_mem);

    wbrig_start(r->wb);
    test_ok(wbstore_sync(r->wb->w, NULL));
    assert_int_equal(inside_stats(r->wb).resumed, left);
    assert_int_equal(test_len(r->wb->buf_mem), 0);
    assert_int_equal(info_of(r).damaged_records, 0);
    expect_all_in_base(r);
}

/* ---- where the last one stopped ---- */

static void after_a_close_the_next_wrapper_sends_the_rest(void **state)
{
    rig *r = *state;
    blob_faultstore_rule *gate = put_all(r, 5);

    wbrig_stop(r->wb);
    rig_close(r);
    blob_faultstore_lift(gate);
    rig_open(r);
    assert_int_equal(test_len(r->wb->buf_mem), BLOBS - 5);
    expect_sent_by_the_next(r);
}

/* What the base had already may be there again, and is sent again; nothing else changes. */
static void after_a_kill_the_next_wrapper_sends_the_rest(void **state)
{
    rig *r = *state;
    blob_faultstore_rule *gate = put_all(r, 5);

    simdisk_kill(r->disk);
    wbrig_stop(r->wb);
    rig_bury(r);
    blob_faultstore_lift(gate);
    rig_open(r);
    assert_true(test_len(r->wb->buf_mem) >= BLOBS - 5);
    expect_sent_by_the_next(r);
}

static void after_a_power_cut_the_next_wrapper_sends_the_rest(void **state)
{
    for (unsigned seed = 0; seed < 30; seed++) {
        rig *r = *state;
        blob_faultstore_rule *gate = put_all(r, 5);

        simdisk_power_cut(r->disk, &(simdisk_fate){.bytes = SIMDISK_MIXED, .names = SIMDISK_MIXED, .seed = seed});
        wbrig_stop(r->wb);
        rig_bury(r);
        blob_faultstore_lift(gate);
        rig_open(r);
        expect_sent_by_the_next(r);
        tear_down(state);
        set_up(state);
    }
}

/* ---- synced in time ---- */

static void what_is_synced_in_time_survives_a_kill_at_once(void **state)
{
    rig *r = *state;
    blob_faultstore_rule *gate;

    rig_close(r);
    r->options.sync = BLOB_LOGSTORE_SYNC_INTERVAL;
    r->options.sync_interval_ms = (int64_t)3600 * 1000;
    rig_open(r);
    gate = put_all(r, 5);
    simdisk_kill(r->disk);
    wbrig_stop(r->wb);
    rig_bury(r);
    blob_faultstore_lift(gate);
    rig_open(r);
    assert_true(info_of(r).rewritten > 0);
    expect_sent_by_the_next(r);
}

static void what_is_synced_in_time_survives_a_power_cut_then(void **state)
{
    rig *r = *state;
    blob_faultstore_rule *gate;

    rig_close(r);
    r->options.sync = BLOB_LOGSTORE_SYNC_INTERVAL;
    r->options.sync_interval_ms = (int64_t)3600 * 1000;
    rig_open(r);
    gate = put_all(r, 5);
    assert_true(info_of(r).unsynced_records > 0);
    test_ok(wb_log_keep(r->wb->buf_mem)); /* its time has come */
    assert_int_equal(info_of(r).unsynced_records, 0);
    simdisk_power_cut(r->disk, &(simdisk_fate){.bytes = SIMDISK_DROPPED, .names = SIMDISK_DROPPED});
    wbrig_stop(r->wb);
    rig_bury(r);
    blob_faultstore_lift(gate);
    rig_open(r);
    expect_sent_by_the_next(r);
}

/* ---- damage ---- */

/* Flips a bit of the payload, wherever it lies, with the log closed. */
static void rot(rig *r, const char *text)
{
    char names[64][LOG_NAME_MAX];
    size_t count = simdisk_files(r->disk, names, 64), hits = 0;

    for (size_t i = 0; i < count && i < 64; i++) {
        size_t size = (size_t)simdisk_file_size(r->disk, names[i]);
        char *bytes = malloc(size + 1), *at;
        assert_non_null(bytes);
        simdisk_peek(r->disk, names[i], 0, bytes, size);
        if ((at = memmem(bytes, size, text, strlen(text))) != NULL) {
            simdisk_flip(r->disk, names[i], 8 * ((uint64_t)(at - bytes) + 2));
            hits++;
        }
        free(bytes);
    }
    assert_int_equal(hits, 1);
}

/* What is damaged, and nothing else; told of more than once, if it was copied forward. */
typedef struct damage {
    blob_key key;
    unsigned found, others;
} damage;

static int one_finding(void *arg, const blob_logstore_finding *finding)
{
    damage *d = arg;

    if (finding->key.data != NULL && blob_key_compare(finding->key, d->key) == 0)
        d->found++;
    else
        d->others++;
    return 0;
}

/* Everything is in the log, with one blob of it damaged, and a wrapper that has been through it. puts_before: attempts to
 * send that blob while it was sound. */
static blob_address start_with_one_rotten(rig *r, uint64_t *puts_before)
{
    blob_address a = wbrig_address(text_of(4));

    put_all(r, 0);
    wbrig_stop(r->wb);
    blob_faultstore_clear(r->wb->base);
    rig_close(r);
    rot(r, text_of(4));
    rig_open(r);
    *puts_before = blob_faultstore_count_key(r->wb->base, BLOB_FAULT_PUT, blob_address_key(&a));
    wbrig_start(r->wb);
    test_status(wbstore_sync(r->wb->w, NULL), BLOB_CORRUPT);
    wbrig_wait_event(r->wb, WBSTORE_EVENT_PARKED, 1);
    return a;
}

static void a_blob_that_rots_in_the_log_is_parked_and_the_others_are_sent(void **state)
{
    rig *r = *state;
    uint64_t puts_before;
    blob_address a = start_with_one_rotten(r, &puts_before);
    blob_key key = blob_address_key(&a);
    wbrig_event event = wbrig_wait_event(r->wb, WBSTORE_EVENT_PARKED, 1);
    damage d = {.key = key};
    blob *b;

    assert_int_equal(event.status, BLOB_CORRUPT);
    assert_int_equal(blob_key_compare(blob_key_of(event.key, event.key_size), key), 0);
    assert_int_equal(inside_state(r->wb->w, key), WBSTORE_PARKED);
    assert_int_equal(test_len(r->wb->base_mem), BLOBS - 1);
    assert_int_equal(test_len(r->wb->buf_mem), 1);
    assert_int_equal(blob_faultstore_count_key(r->wb->base, BLOB_FAULT_PUT, key), puts_before);
    test_status(wbstore_get(r->wb->w, NULL, key, &b), BLOB_CORRUPT);
    assert_true(info_of(r).damaged_records > 0);
    test_ok(blob_logstore_findings(r->wb->buf_mem, NULL, 0, one_finding, &d));
    assert_true(d.found > 0);
    assert_int_equal(d.others, 0);
}

/* Nor at the next start, nor when it is asked for. */
static void what_rotted_is_never_published(void **state)
{
    rig *r = *state;
    uint64_t puts_before;
    blob_address a = start_with_one_rotten(r, &puts_before);

    test_ok(wbstore_retry_parked(r->wb->w));
    wbrig_wait_event(r->wb, WBSTORE_EVENT_PARKED, 2);
    wbrig_stop(r->wb);
    rig_close(r);
    rig_open(r);
    wbrig_start(r->wb);
    test_status(wbstore_sync(r->wb->w, NULL), BLOB_CORRUPT);
    assert_int_equal(blob_faultstore_count_key(r->wb->base, BLOB_FAULT_PUT, blob_address_key(&a)), puts_before);
    assert_false(wbrig_in_base(r->wb, &a));
    assert_true(wbrig_in_buffer(r->wb, &a));
}

static void putting_it_again_frees_what_rotted(void **state)
{
    rig *r = *state;
    uint64_t puts_before;

    start_with_one_rotten(r, &puts_before);
    wbrig_put(r->wb, text_of(4));
    test_ok(wbstore_sync(r->wb->w, NULL));
    assert_int_equal(test_len(r->wb->buf_mem), 0);
    expect_all_in_base(r);
    assert_int_equal(inside_stats(r->wb).parked, 0);
}

static void deleting_it_frees_what_rotted(void **state)
{
    rig *r = *state;
    uint64_t puts_before;
    blob_address a = start_with_one_rotten(r, &puts_before);

    test_ok(wbstore_delete(r->wb->w, NULL, blob_address_key(&a)));
    test_ok(wbstore_sync(r->wb->w, NULL));
    assert_int_equal(test_len(r->wb->buf_mem), 0);
    assert_int_equal(test_len(r->wb->base_mem), BLOBS - 1);
}

/* ---- full ---- */

/* A log with room for four small blobs, which are in it; the base holds them up, and nothing else. */
static void fill(rig *r, wbstore_when_full when_full, blob_faultstore_rule *gates[4])
{
    rig_close(r);
    r->options.bytes_max = 4 * LOG_BLOCK;
    r->flags = 0;
    rig_open(r);
    r->wb->options.when_full = when_full;
    wbrig_start(r->wb);
    inside_until_resumed(r->wb->w);
    for (unsigned n = 0; n < 4; n++) {
        char text[8];
        blob_address a;
        snprintf(text, sizeof text, "%u", n);
        a = wbrig_address(text);
        gates[n] = inside_hold(r->wb->base, BLOB_FAULT_PUT, &a);
        wbrig_put(r->wb, text);
    }
}

static int put_more(rig *r)
{
    return wbstore_cas_put(r->wb->w, NULL, "more", 4, NULL);
}

static void a_full_log_makes_a_put_fail_where_it_shall(void **state)
{
    rig *r = *state;
    blob_faultstore_rule *gates[4];

    fill(r, WBSTORE_FULL_FAIL, gates);
    test_status(put_more(r), BLOB_FULL);
    test_ok(wbstore_cas_put(r->wb->w, NULL, "0", 1, NULL)); /* what is there needs no room */
    blob_faultstore_lift(gates[2]);
    blob_faultstore_wait_calls(r->wb->buf, BLOB_FAULT_DELETE, 1);
    test_ok(put_more(r));
}

static void a_full_log_makes_a_put_wait_where_it_shall(void **state)
{
    rig *r = *state;
    blob_faultstore_rule *gates[4];
    blob_address a = wbrig_address("more");
    wbrig_call call;

    fill(r, WBSTORE_FULL_WAIT, gates);
    inside_put(&call, r->wb, NULL, "more");
    inside_until_room_waiters(r->wb->w, 1);
    blob_faultstore_lift(gates[1]);
    test_ok(wbrig_end(&call));
    for (unsigned n = 0; n < 4; n++)
        if (n != 1)
            blob_faultstore_lift(gates[n]);
    test_ok(wbstore_sync(r->wb->w, NULL));
    assert_true(wbrig_in_base(r->wb, &a));
    assert_int_equal(test_len(r->wb->base_mem), 5);
}

static void a_full_log_is_written_past_where_it_shall_be(void **state)
{
    rig *r = *state;
    blob_faultstore_rule *gates[4];
    blob_address a = wbrig_address("more");

    fill(r, WBSTORE_FULL_WRITE_THROUGH, gates);
    test_ok(put_more(r));
    assert_true(wbrig_in_base(r->wb, &a));
    assert_false(wbrig_in_buffer(r->wb, &a));
    assert_int_equal(test_len(r->wb->buf_mem), 4);
}

static void a_blob_that_no_empty_log_would_take_is_rejected(void **state)
{
    static const wbstore_when_full policies[] = {WBSTORE_FULL_WAIT, WBSTORE_FULL_FAIL};
    char *large = calloc(1, 5 * LOG_BLOCK);

    assert_non_null(large);
    for (unsigned i = 0; i < 2; i++) {
        rig *r = *state;
        blob_faultstore_rule *gates[4];
        fill(r, policies[i], gates);
        test_status(wbstore_cas_put(r->wb->w, NULL, large, 5 * LOG_BLOCK, NULL), BLOB_REJECTED);
        tear_down(state);
        set_up(state);
    }
    free(large);
}

/* Put by put beyond what it ever holds at once: nothing of what has left takes up room. */
static void a_bounded_log_never_fills_while_it_drains(void **state)
{
    rig *r = *state;
    blob_faultstore_rule *gates[4];

    fill(r, WBSTORE_FULL_WAIT, gates);
    blob_faultstore_clear(r->wb->base);
    for (unsigned n = 0; n < 200; n++)
        wbrig_put_number(r->wb, n);
    test_ok(wbstore_sync(r->wb->w, NULL));
    assert_int_equal(test_len(r->wb->base_mem), 204);
    assert_int_equal(info_of(r).live_bytes, 0);
}

/* ---- a device that fails ---- */

/* Everything is in the log when nothing can be written to it any more. */
static blob_faultstore_rule *fail_for_good(rig *r)
{
    blob_faultstore_rule *gate = put_all(r, 0);

    simdisk_fail(r->disk, &(simdisk_fault){.ops = SIMDISK_BIT(SIMDISK_WRITE) | SIMDISK_BIT(SIMDISK_SYNC) |
                                                  SIMDISK_BIT(SIMDISK_CREATE),
                                           .status = -EIO});
    test_status(wbstore_cas_put(r->wb->w, NULL, "lost", 4, NULL), -EIO);
    assert_int_equal(info_of(r).read_only, 2);
    return gate;
}

static void a_log_that_can_only_be_read_is_drained_to_the_end(void **state)
{
    rig *r = *state;
    blob_faultstore_rule *gate = fail_for_good(r);
    blob_address lost = wbrig_address("lost");

    test_status(wbstore_cas_put(r->wb->w, NULL, "more", 4, NULL), BLOB_DENIED);
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->wb->w, NULL));
    expect_all_in_base(r);
    assert_int_equal(test_len(r->wb->buf_mem), 0);
    assert_false(wbrig_in_base(r->wb, &lost));
    for (unsigned n = 0; n < BLOBS; n++) {
        blob_address a = wbrig_address(text_of(n));
        uint64_t size;
        test_ok(wbstore_size(r->wb->w, NULL, blob_address_key(&a), &size));
    }
}

/* It forgets what was drained meanwhile: the next one finds it, and that the base has it. */
static void a_log_that_was_drained_so_opens_again_and_is_drained_again(void **state)
{
    rig *r = *state;
    blob_faultstore_rule *gate = fail_for_good(r);

    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->wb->w, NULL));
    wbrig_stop(r->wb);
    rig_bury(r);
    simdisk_mend(r->disk);
    rig_open(r);
    assert_int_equal(info_of(r).read_only, 0);
    expect_sent_by_the_next(r);
    wbrig_put(r->wb, "and more");
    test_ok(wbstore_sync(r->wb->w, NULL));
}

/* ---- many threads ---- */

typedef struct crowd {
    rig *r;
    int status[THREADS];
} crowd;

enum { SAME = 10, OWN = 10 };

static void crowd_text(char text[32], unsigned thread, unsigned n)
{
    if (n % 2 == 0)
        snprintf(text, 32, "of all %u", n / 2);
    else
        snprintf(text, 32, "of thread %u %u", thread, n / 2);
}

static void crowd_put(void *arg, unsigned index)
{
    crowd *c = arg;

    for (unsigned n = 0; n < SAME + OWN && c->status[index] == 0; n++) {
        char text[32];
        crowd_text(text, index, n);
        c->status[index] = wbstore_cas_put(c->r->wb->w, NULL, text, strlen(text), NULL);
    }
}

static void crowd_starts(rig *r, unsigned flags)
{
    rig_close(r);
    r->flags = flags;
    rig_open(r);
    wbrig_start(r->wb);
    inside_until_resumed(r->wb->w);
}

static void crowd_runs(rig *r)
{
    crowd c = {.r = r};

    test_threads_run(THREADS, crowd_put, &c);
    for (unsigned i = 0; i < THREADS; i++)
        test_ok(c.status[i]);
}

static void expect_crowd_in_base(rig *r)
{
    test_ok(wbstore_sync(r->wb->w, NULL));
    assert_int_equal(test_len(r->wb->buf_mem), 0);
    assert_int_equal(test_len(r->wb->base_mem), SAME + THREADS * OWN);
    for (unsigned i = 0; i < THREADS; i++)
        for (unsigned n = 0; n < SAME + OWN; n++) {
            char text[32];
            blob_address a;
            crowd_text(text, i, n);
            a = wbrig_address(text);
            test_expect(r->wb->base_mem, blob_address_key(&a), text);
        }
}

static unsigned taken_by_base(rig *r)
{
    unsigned count = 0;
    blob_faultstore_call call;

    for (size_t i = 0; i < blob_faultstore_history_size(r->wb->base); i++)
        count += blob_faultstore_history(r->wb->base, i, &call) && call.op == BLOB_FAULT_PUT && call.status == 0;
    return count;
}

static void forty_threads_put_the_same_and_others_and_the_base_takes_each_once(void **state)
{
    rig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->wb->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    wbstore_stats stats;

    crowd_starts(r, 0);
    crowd_runs(r);
    assert_int_equal(test_len(r->wb->buf_mem), SAME + THREADS * OWN);
    stats = inside_stats(r->wb);
    assert_int_equal(stats.accepted, SAME + THREADS * OWN);
    assert_int_equal(stats.deduplicated, (THREADS - 1) * SAME);
    blob_faultstore_lift(gate);
    expect_crowd_in_base(r);
    assert_int_equal(taken_by_base(r), SAME + THREADS * OWN);
}

static void forty_threads_put_while_it_drains(void **state)
{
    rig *r = *state;

    crowd_starts(r, 0);
    for (unsigned round = 0; round < 3; round++) {
        crowd_runs(r);
        expect_crowd_in_base(r);
    }
}

/* Those who were told before the kill find theirs. */
static void what_forty_threads_put_survives_a_kill(void **state)
{
    rig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->wb->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);

    crowd_starts(r, LOG_NO_KEEPER);
    crowd_runs(r);
    blob_faultstore_wait_held(gate, WRITERS);
    simdisk_kill(r->disk);
    wbrig_stop(r->wb);
    rig_bury(r);
    blob_faultstore_lift(gate);
    rig_open(r);
    wbrig_start(r->wb);
    expect_crowd_in_base(r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(after_a_close_the_next_wrapper_sends_the_rest),
        TEST(after_a_kill_the_next_wrapper_sends_the_rest),
        TEST(after_a_power_cut_the_next_wrapper_sends_the_rest),
        TEST(what_is_synced_in_time_survives_a_kill_at_once),
        TEST(what_is_synced_in_time_survives_a_power_cut_then),
        TEST(a_blob_that_rots_in_the_log_is_parked_and_the_others_are_sent),
        TEST(what_rotted_is_never_published),
        TEST(putting_it_again_frees_what_rotted),
        TEST(deleting_it_frees_what_rotted),
        TEST(a_full_log_makes_a_put_fail_where_it_shall),
        TEST(a_full_log_makes_a_put_wait_where_it_shall),
        TEST(a_full_log_is_written_past_where_it_shall_be),
        TEST(a_blob_that_no_empty_log_would_take_is_rejected),
        TEST(a_bounded_log_never_fills_while_it_drains),
        TEST(a_log_that_can_only_be_read_is_drained_to_the_end),
        TEST(a_log_that_was_drained_so_opens_again_and_is_drained_again),
        TEST(forty_threads_put_the_same_and_others_and_the_base_takes_each_once),
        TEST(forty_threads_put_while_it_drains),
        TEST(what_forty_threads_put_survives_a_kill),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
