/* test_wbstore_report.c - what the wrapper tells of itself: events, statistics that balance at every moment, and what is
 * pending. */
#include "wbinside.h"

#include "blob/ctx.h"
#include "wbstore/wrapper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- events --------------------------------------------------------------------------------------------------------------- */

static void drained_is_told_of_each_time_that_nothing_is_pending_any_more(void **state)
{
    wbrig *r = *state;

    wbrig_start(r);
    for (unsigned i = 1; i <= 3; i++) {
        wbrig_put_number(r, i);
        wbrig_wait_event(r, WBSTORE_EVENT_DRAINED, i);
        assert_int_equal(inside_stats(r).pending_blobs, 0);
    }
    assert_int_equal(wbrig_event_count(r, WBSTORE_EVENT_DRAINED), 3);
    assert_int_equal(r->events[0].status, 0);
    assert_string_equal(r->events[0].text, "");
    assert_int_equal(r->events[0].key_size, 0);
}

static bool has_told_nothing(const wbstore *w, const void *arg)
{
    (void)arg;
    return w->ledger.active_blobs == 0 && !w->drained_untold && !w->telling;
}

/* What the last run left behind may be pending, listed or not. And who waits for the event, to look at the safe ticket,
 * finds it there: before the listing was through there was none. */
static void nothing_is_drained_before_it_is_known_what_the_buffer_held_at_the_start(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *listing = blob_faultstore_hold(r->buf, BLOB_FAULT_LIST, NULL, BLOB_FAULT_BEFORE);
    blob_address a = wbrig_address("text");
    uint64_t ticket;
    bool silent;

    wbrig_start(r);
    blob_faultstore_wait_held(listing, 1);
    ticket = wbrig_put_ticket(r, "text");
    inside_until_state(r->w, blob_address_key(&a), WB_ABSENT);
    assert_int_equal(wbstore_safe_ticket(r->w), 0);
    pthread_mutex_lock(&r->w->lock);
    silent = has_told_nothing(r->w, NULL);
    pthread_mutex_unlock(&r->w->lock);
    assert_true(silent);
    blob_faultstore_lift(listing);
    wbrig_wait_event(r, WBSTORE_EVENT_DRAINED, 1);
    assert_int_equal(wbstore_safe_ticket(r->w), ticket);
}

static void a_wrapper_with_nothing_to_send_tells_of_nothing(void **state)
{
    wbrig *r = *state;

    wbrig_start(r);
    inside_until_resumed(r->w);
    inside_until(r->w, has_told_nothing, NULL);
    wbrig_stop(r); /* or it would be told of now */
    assert_int_equal(r->events_count, 0);
}

/* A thread that told of events before may have had the name that a thread of the host has now. */
static void a_thread_that_is_yet_to_start_is_nobody(void **state)
{
    wbrig *r = *state;

    wbrig_start(r);
    inside_until_resumed(r->w);
    pthread_mutex_lock(&r->w->lock);
    assert_false(r->w->telling);
    r->w->telling = true; /* as wb_tell does before its thread runs */
    r->w->teller = pthread_self();
    pthread_mutex_unlock(&r->w->lock);
    assert_false(wb_is_teller(r->w));
    pthread_mutex_lock(&r->w->lock);
    r->w->telling = false;
    pthread_mutex_unlock(&r->w->lock);
}

static bool is_silent(const wbstore *w, const void *arg)
{
    (void)arg;
    return !w->drained_untold;
}

static void parked_blobs_are_pending_so_nothing_is_drained(void **state)
{
    wbrig *r = *state;
    inside_staged first, second;

    wbrig_start(r);
    first = inside_stage(r, "text", WBSTORE_PARKED);
    wbrig_put_number(r, 1);
    test_status(wbstore_sync(r->w, NULL), BLOB_REJECTED);
    inside_until(r->w, is_silent, NULL); /* then what was on its way is told before the next */
    second = inside_stage(r, "another", WBSTORE_PARKED);
    wbrig_wait_event(r, WBSTORE_EVENT_PARKED, 2);
    assert_int_equal(wbrig_event_count(r, WBSTORE_EVENT_DRAINED), 0);
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&second.key)));
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&first.key)));
    wbrig_wait_event(r, WBSTORE_EVENT_DRAINED, 1);
    assert_int_equal(r->events[0].kind, WBSTORE_EVENT_PARKED);
    assert_int_equal(r->events[1].kind, WBSTORE_EVENT_PARKED);
    assert_int_equal(r->events[2].kind, WBSTORE_EVENT_DRAINED);
}

static void every_parked_blob_is_told_of_once(void **state)
{
    enum { MANY = 50 }; /* more than are told of at a time */
    wbrig *r = *state;
    bool told[MANY] = {false};

    blob_faultstore_fail(r->base, BLOB_FAULT_PUT, BLOB_REJECTED, 0);
    wbrig_start(r);
    for (unsigned i = 0; i < MANY; i++)
        wbrig_put_number(r, i);
    for (unsigned i = 1; i <= MANY; i++) {
        wbrig_event event = wbrig_wait_event(r, WBSTORE_EVENT_PARKED, i);
        unsigned number = 0;
        for (; number < MANY; number++) {
            char text[32];
            blob_address a;
            snprintf(text, sizeof text, "blob number %u", number);
            a = wbrig_address(text);
            if (blob_key_compare(blob_key_of(event.key, event.key_size), blob_address_key(&a)) == 0)
                break;
        }
        assert_in_range(number, 0, MANY - 1);
        assert_false(told[number]);
        told[number] = true;
    }
    assert_int_equal(inside_stats(r).parked, MANY);
    assert_int_equal(wbrig_event_count(r, WBSTORE_EVENT_PARKED), MANY);
}

/* From the callback: everything but close, sync and the waits. */
typedef struct from_callback {
    int put, get, size, remove, replace, rescan, retry, pending, list, len, sync, wait, wait_keys, close;
    uint64_t pending_blobs;
} from_callback;

static from_callback answers;

static int stop_at_once(void *arg, const wbstore_pending_info *info)
{
    (void)arg;
    (void)info;
    return BLOB_LIST_STOP;
}

static int list_nothing(void *arg, blob_key key, uint64_t size)
{
    (void)arg;
    (void)key;
    (void)size;
    return 0;
}

static void call_everything(wbrig *r, const wbstore_event *event)
{
    wbstore_stats stats = {.struct_size = sizeof stats};
    blob_key key = test_key("k");
    uint64_t number;
    blob *b;

    if (event->kind != WBSTORE_EVENT_PARKED)
        return;
    answers.put = wbstore_cas_put(r->w, NULL, "from the callback", 17, NULL);
    answers.get = wbstore_get(r->w, NULL, event->key, &b);
    blob_unref(b);
    answers.size = wbstore_size(r->w, NULL, event->key, &number);
    answers.replace = wbstore_put(r->w, NULL, key, blob_view_of("v", 1), BLOB_REPLACE);
    answers.remove = wbstore_delete(r->w, NULL, event->key);
    answers.rescan = wbstore_rescan(r->w, NULL);
    answers.retry = wbstore_retry_parked(r->w);
    answers.pending = wbstore_pending(r->w, stop_at_once, NULL);
    answers.list = wbstore_list(r->w, NULL, key, list_nothing, NULL);
    answers.len = wbstore_len(r->w, NULL, &number);
    answers.sync = wbstore_sync(r->w, NULL);
    answers.wait = wbstore_wait(r->w, NULL, 1);
    answers.wait_keys = wbstore_wait_keys(r->w, NULL, &key, 1);
    answers.close = wbstore_close(r->w, NULL);
    wbstore_get_stats(r->w, &stats);
    wbstore_safe_ticket(r->w);
    answers.pending_blobs = stats.pending_blobs;
}

static void the_callback_may_call_the_wrapper_but_not_wait_for_it(void **state)
{
    wbrig *r = *state;
    blob_address put = wbrig_address("from the callback");

    blob_faultstore_fail(r->base, BLOB_FAULT_PUT, BLOB_REJECTED, 1);
    r->in_event = call_everything;
    wbrig_start(r);
    wbrig_put(r, "text");
    wbrig_wait_event(r, WBSTORE_EVENT_PARKED, 1);
    test_ok(answers.put);
    test_ok(answers.get);
    test_ok(answers.size);
    test_ok(answers.replace);
    test_ok(answers.remove);
    test_ok(answers.rescan);
    test_ok(answers.retry);
    test_ok(answers.pending);
    test_ok(answers.list);
    test_ok(answers.len);
    test_status(answers.sync, -EDEADLK);
    test_status(answers.wait, -EDEADLK);
    test_status(answers.wait_keys, -EDEADLK);
    test_status(answers.close, -EDEADLK);
    test_ok(wbstore_sync(r->w, NULL));
    assert_true(wbrig_in_base(r, &put));
}

/* ---- statistics ------------------------------------------------------------------------------------------------------------ */

#define LOAD_THREADS 4
#define LOAD_ROUNDS (WBRIG_SLOW ? 400 : 2000)

typedef struct load {
    wbrig *r;
    _Atomic bool broken, done;
    _Atomic uint64_t snapshots;
} load;

static void *watch_the_balance(void *arg)
{
    load *l = arg;
    wbstore_stats before = {.accepted = 0};

    do {
        wbstore_stats s = wbrig_stats(l->r);
        if (s.accepted + s.resumed != s.sent + s.deleted + s.pending_blobs || s.parked > s.pending_blobs ||
            s.in_flight > s.pending_blobs - s.parked || (s.pending_blobs == 0 && s.pending_bytes != 0) ||
            s.accepted < before.accepted || s.sent < before.sent || s.deleted < before.deleted ||
            s.retries < before.retries || s.resumed < before.resumed || s.oldest_age_ms < 0)
            l->broken = true;
        before = s;
        l->snapshots++;
    } while (!l->done);
    return NULL;
}

/* A few keys, so that puts, deletes, replaces and uploads of one key meet; all the kinds of trouble that there are. */
static void load_round(void *arg, unsigned index)
{
    load *l = arg;
    test_rng rng = {index + 1};

    for (unsigned i = 0; i < LOAD_ROUNDS; i++) {
        char text[32];
        blob_address a;
        int rc;

        snprintf(text, sizeof text, "blob %u", (unsigned)test_random_below(&rng, 12));
        a = wbrig_address(text);
        switch (test_random_below(&rng, 8)) {
        case 0:
            rc = wbstore_delete(l->r->w, NULL, blob_address_key(&a));
            break;
        case 1:
            rc = wbstore_put(l->r->w, NULL, blob_address_key(&a), blob_view_of(text, strlen(text)), BLOB_REPLACE);
            break;
        case 2:
            rc = wbstore_retry_parked(l->r->w);
            break;
        case 3:
            rc = wbstore_rescan(l->r->w, NULL);
            break;
        default:
            rc = wbstore_cas_put(l->r->w, NULL, text, strlen(text), NULL);
        }
        if (rc != 0 && rc != BLOB_NOT_FOUND && rc != -EIO && rc != BLOB_UNAVAILABLE && rc != BLOB_REJECTED)
            l->broken = true;
    }
}

static void add_trouble(wbrig *r)
{
    static const blob_faultstore_fault base_faults[] = {
        {.ops = BLOB_FAULT_PUT, .status = BLOB_UNAVAILABLE, .skip = 3, .every = 7},
        {.ops = BLOB_FAULT_PUT, .status = BLOB_REJECTED, .skip = 5, .every = 11},
        {.ops = BLOB_FAULT_PUT, .status = -EIO, .when = BLOB_FAULT_AFTER, .every = 13},
        {.ops = BLOB_FAULT_DELETE, .status = BLOB_UNAVAILABLE, .every = 9},
        {.ops = BLOB_FAULT_SIZE, .status = -EIO, .every = 5}};
    static const blob_faultstore_fault buf_faults[] = {
        {.ops = BLOB_FAULT_PUT, .status = -EIO, .every = 17},
        {.ops = BLOB_FAULT_PUT, .status = -EIO, .when = BLOB_FAULT_AFTER, .every = 19},
        {.ops = BLOB_FAULT_DELETE, .status = -EIO, .every = 15},
        {.ops = BLOB_FAULT_DELETE, .status = -EIO, .when = BLOB_FAULT_AFTER, .every = 23},
        {.ops = BLOB_FAULT_GET, .status = -EIO, .every = 14},
        {.ops = BLOB_FAULT_GET, .action = BLOB_FAULT_FLIP, .when = BLOB_FAULT_AFTER, .every = 21}};

    for (unsigned i = 0; i < sizeof base_faults / sizeof base_faults[0]; i++)
        blob_faultstore_add(r->base, &base_faults[i]);
    for (unsigned i = 0; i < sizeof buf_faults / sizeof buf_faults[0]; i++)
        blob_faultstore_add(r->buf, &buf_faults[i]);
}

static void the_statistics_balance_at_every_moment_of_a_mixed_load(void **state)
{
    wbrig *r = *state;
    load l = {.r = r};
    pthread_t watcher;
    wbstore_stats stats;

    r->options.retry_max_ms = 1;
    r->options.writers_max = 8;
    for (unsigned i = 0; i < 12; i += 2) {
        char text[32];
        snprintf(text, sizeof text, "blob %u", i);
        wbrig_buffer(r, text);
    }
    add_trouble(r);
    wbrig_start(r);
    test_thread_start(&watcher, watch_the_balance, &l);
    test_threads_run(LOAD_THREADS, load_round, &l);
    blob_faultstore_clear(r->base);
    blob_faultstore_clear(r->buf);
    wbstore_sync(r->w, NULL); /* what was under way may still be parked */
    test_ok(wbstore_retry_parked(r->w));
    test_ok(wbstore_sync(r->w, NULL));
    l.done = true;
    test_thread_join(watcher);
    assert_false(l.broken);
    assert_true(l.snapshots > 0);
    stats = inside_stats(r);
    assert_int_equal(stats.pending_blobs + stats.pending_bytes + stats.in_flight + stats.parked, 0);
    assert_int_equal(test_len(r->buf_mem), 0);
}

static void each_statistic_counts_what_it_says(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate;
    wbstore_stats s;
    blob_address a;

    wbrig_buffer(r, "resumed");
    gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    wbrig_start(r);
    blob_faultstore_wait_held(gate, 1);
    a = wbrig_put(r, "four");
    wbrig_put(r, "four");
    wbrig_put(r, "and seven");
    blob_faultstore_wait_held(gate, 3);
    s = inside_stats(r);
    assert_int_equal(s.resumed, 1);
    assert_int_equal(s.accepted, 2);
    assert_int_equal(s.deduplicated, 1);
    assert_int_equal(s.pending_blobs, 3);
    assert_int_equal(s.pending_bytes, 7 + 4 + 9);
    assert_int_equal(s.in_flight, 3);
    assert_int_equal(s.sent + s.deleted + s.retries + s.parked, 0);
    assert_int_equal(s.last_status, 0);
    assert_string_equal(s.last_text, "");
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&a)));
    s = inside_stats(r);
    assert_int_equal(s.deleted, 1);
    assert_int_equal(s.pending_bytes, 7 + 9);
    assert_int_equal(s.in_flight, 2);
    blob_faultstore_lift(gate);
    test_ok(wbstore_sync(r->w, NULL));
    s = inside_stats(r);
    assert_int_equal(s.sent, 2);
    assert_int_equal(s.pending_blobs + s.pending_bytes + s.in_flight, 0);
    assert_int_equal(s.oldest_age_ms, 0);
}

static void the_age_is_that_of_the_oldest_pending_blob_parked_or_not(void **state)
{
    wbrig *r = *state;
    inside_staged parked, waiting, newer;
    int64_t before_ns;
    blob_ctx *ctx;

    wbrig_start(r);
    assert_int_equal(inside_stats(r).oldest_age_ms, 0);
    parked = inside_stage(r, "parked", WBSTORE_PARKED);
    waiting = inside_stage(r, "waiting", WBSTORE_WAITING);
    test_ok(blob_ctx_new_timeout(&ctx, NULL, 30));
    test_status(wbstore_sync(r->w, ctx), -ETIMEDOUT); /* thirty milliseconds pass */
    blob_ctx_free(ctx);
    before_ns = wb_now_ns();
    newer = inside_stage(r, "newer", WBSTORE_PARKED);
    assert_true(inside_stats(r).oldest_age_ms >= 29);
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&waiting.key)));
    assert_true(inside_stats(r).oldest_age_ms >= 29);
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&parked.key)));
    assert_true(inside_stats(r).oldest_age_ms <= (wb_now_ns() - before_ns) / 1000000 + 1);
    test_ok(wbstore_delete(r->w, NULL, blob_address_key(&newer.key)));
    assert_int_equal(inside_stats(r).oldest_age_ms, 0);
}

/* A host of another age than the library's: what it has no room for is not written, what it does not know is zero. */
static void statistics_fill_as_much_as_the_caller_has(void **state)
{
    wbrig *r = *state;
    union {
        wbstore_stats stats;
        unsigned char bytes[sizeof(wbstore_stats) + 64];
    } room;

    wbrig_start(r);
    inside_stage(r, "text", WBSTORE_PARKED);
    for (size_t size = sizeof(size_t); size <= sizeof room.bytes; size++) {
        memset(&room, 0xa5, sizeof room);
        room.stats.struct_size = size;
        wbstore_get_stats(r->w, &room.stats);
        for (size_t i = size; i < sizeof room.bytes; i++)
            assert_int_equal(room.bytes[i], 0xa5);
        for (size_t i = sizeof(wbstore_stats); i < size; i++)
            assert_int_equal(room.bytes[i], 0);
        if (size >= offsetof(wbstore_stats, deduplicated))
            assert_int_equal(room.stats.accepted, 1);
        if (size >= sizeof(wbstore_stats))
            assert_int_equal(room.stats.last_status, BLOB_REJECTED);
    }
    memset(&room, 0xa5, sizeof room);
    room.stats.struct_size = sizeof(size_t) - 1; /* no size at all */
    wbstore_get_stats(r->w, &room.stats);
    assert_int_equal(room.bytes[sizeof(size_t)], 0xa5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inside_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_drained_before_it_is_known_what_the_buffer_held_at_the_start),
        TEST(a_wrapper_with_nothing_to_send_tells_of_nothing),
        TEST(a_thread_that_is_yet_to_start_is_nobody),
        TEST(drained_is_told_of_each_time_that_nothing_is_pending_any_more),
        TEST(parked_blobs_are_pending_so_nothing_is_drained),
        TEST(every_parked_blob_is_told_of_once),
        TEST(the_callback_may_call_the_wrapper_but_not_wait_for_it),
        TEST(the_statistics_balance_at_every_moment_of_a_mixed_load),
        TEST(each_statistic_counts_what_it_says),
        TEST(the_age_is_that_of_the_oldest_pending_blob_parked_or_not),
        TEST(statistics_fill_as_much_as_the_caller_has),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
