/* test_wbstore_pending.c - wbstore_pending shows what is not in the base yet, oldest first, as it was at one moment. */
#include "wbinside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct seen {
    wbrig *r;
    unsigned count;
    struct seen_blob {
        size_t key_size;
        unsigned char key[BLOB_KEY_MAX];
        inside_info info;
    } blobs[300];
} seen;

static int see(void *arg, const wbstore_pending_info *info)
{
    seen *s = arg;
    struct seen_blob *to = &s->blobs[s->count++];

    to->key_size = info->key.size;
    if (info->key.size > 0)
        memcpy(to->key, info->key.data, info->key.size);
    to->info = (inside_info){.size = info->size,
                             .state = info->state,
                             .age_ms = info->age_ms,
                             .attempts = info->attempts,
                             .status = info->status};
    snprintf(to->info.text, sizeof to->info.text, "%s", info->text);
    return 0;
}

static seen *see_all(wbrig *r)
{
    seen *s = calloc(1, sizeof *s);

    assert_non_null(s);
    s->r = r;
    test_ok(wbstore_pending(r->w, see, s));
    return s;
}

static void expect_seen(const seen *s, unsigned at, blob_key key, uint64_t size, wbstore_state state, unsigned attempts,
                        int status)
{
    const struct seen_blob *b = &s->blobs[at];

    assert_true(at < s->count);
    assert_int_equal(blob_key_compare(blob_key_of(b->key, b->key_size), key), 0);
    assert_int_equal(b->info.size, size);
    assert_int_equal(b->info.state, state);
    assert_int_equal(b->info.attempts, attempts);
    assert_int_equal(b->info.status, status);
    assert_true(b->info.age_ms >= 0);
    assert_int_equal(b->info.text[0] != '\0', status != 0);
}

static void fail_for_long(blob_faultstore *f, blob_key key)
{
    blob_faultstore_add(
        f, &(blob_faultstore_fault){.ops = BLOB_FAULT_PUT, .key = &key, .status = -EIO, .retry_after_ms = 3600 * 1000});
}

/* ---- what it shows ----------------------------------------------------------------------------------------------------------- */

static void pending_blobs_are_shown_oldest_first_in_every_state(void **state)
{
    wbrig *r = *state;
    blob_address sending = wbrig_address("sending it"), queued;
    inside_staged waiting, parked;
    blob_faultstore_rule *gate;
    seen *s;

    test_put(r->buf_mem, test_key("resumed"), "left behind");
    r->options.writers_max = 1;
    fail_for_long(r->base, test_key("resumed"));
    wbrig_start(r);
    inside_until_state(r->w, test_key("resumed"), WBSTORE_WAITING);
    parked = inside_stage(r, "parked", WBSTORE_PARKED);
    waiting = inside_stage(r, "waiting.", WBSTORE_WAITING);
    gate = inside_hold(r->base, BLOB_FAULT_PUT, &sending);
    wbrig_put(r, "sending it");
    blob_faultstore_wait_held(gate, 1);
    queued = wbrig_put(r, "queued");
    s = see_all(r);
    assert_int_equal(s->count, 5);
    expect_seen(s, 0, test_key("resumed"), 11, WBSTORE_WAITING, 1, -EIO);
    expect_seen(s, 1, blob_address_key(&parked.key), 6, WBSTORE_PARKED, 1, BLOB_REJECTED);
    expect_seen(s, 2, blob_address_key(&waiting.key), 8, WBSTORE_WAITING, 1, -EIO);
    assert_string_equal(s->blobs[2].info.text, "later");
    expect_seen(s, 3, blob_address_key(&sending), 10, WBSTORE_SENDING, 1, 0);
    expect_seen(s, 4, blob_address_key(&queued), 6, WBSTORE_QUEUED, 0, 0);
    free(s);
    inside_unstage(&parked);
    test_ok(wbstore_retry_parked(r->w)); /* back in its place, though others came after it */
    s = see_all(r);
    assert_int_equal(s->count, 5);
    expect_seen(s, 1, blob_address_key(&parked.key), 6, WBSTORE_QUEUED, 1, BLOB_REJECTED);
    free(s);
}

static void nothing_pending_shows_nothing(void **state)
{
    wbrig *r = *state;
    seen *s;

    wbrig_start(r);
    s = see_all(r);
    assert_int_equal(s->count, 0);
    free(s);
    wbrig_put(r, "text");
    test_ok(wbstore_sync(r->w, NULL));
    s = see_all(r);
    assert_int_equal(s->count, 0);
    free(s);
}

static void keys_of_every_length_are_shown_whole(void **state)
{
    wbrig *r = *state;
    unsigned char key[BLOB_KEY_MAX];
    seen *s;

    memset(key, 0xff, sizeof key);
    for (size_t size = 0; size <= sizeof key; size++)
        test_put(r->buf_mem, blob_key_of(key, size), "x");
    r->options.no_verify = 1; /* one of them has an address's length */
    blob_faultstore_fail(r->base, BLOB_FAULT_PUT, BLOB_REJECTED, 0);
    wbrig_start(r);
    test_status(wbstore_sync(r->w, NULL), BLOB_REJECTED);
    s = see_all(r);
    assert_int_equal(s->count, BLOB_KEY_MAX + 1);
    for (unsigned i = 0; i < s->count; i++)
        expect_seen(s, i, blob_key_of(key, i), 1, WBSTORE_PARKED, 1, BLOB_REJECTED); /* in the order of the listing */
    free(s);
}

/* ---- how it ends -------------------------------------------------------------------------------------------------------------- */

typedef struct verdict {
    unsigned calls, after;
    int verdict;
} verdict;

static int judge(void *arg, const wbstore_pending_info *info)
{
    verdict *v = arg;

    (void)info;
    return ++v->calls == v->after ? v->verdict : 0;
}

static void the_callback_can_end_it(void **state)
{
    static const struct {
        int verdict, result;
    } cases[] = {{BLOB_LIST_STOP, 0}, {-EIO, -EIO}, {BLOB_CLOSED, BLOB_CLOSED}, {2, -EINVAL}};
    wbrig *r = *state;
    blob_error error;

    blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    wbrig_start(r);
    for (unsigned i = 0; i < 3; i++)
        wbrig_put_number(r, i);
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        verdict v = {.after = 2, .verdict = cases[i].verdict};
        blob_fail(-EXDEV, 0, "an older reason");
        test_status(wbstore_pending(r->w, judge, &v), cases[i].result);
        blob_last_error(&error);
        assert_int_equal(error.status, cases[i].result != 0 ? cases[i].result : -EXDEV);
        assert_int_equal(v.calls, 2);
    }
}

/* ---- one moment, whatever happens meanwhile ------------------------------------------------------------------------------------ */

static int empty_it(void *arg, const wbstore_pending_info *info)
{
    seen *s = arg;

    if (s->count == 0) /* all that is yet to be shown goes */
        for (unsigned i = 1; i < 20; i++) {
            char text[32];
            blob_address a;
            snprintf(text, sizeof text, "blob number %u", i);
            a = wbrig_address(text);
            if (wbstore_delete(s->r->w, NULL, blob_address_key(&a)) != 0)
                return -EIO;
        }
    return see(arg, info);
}

static void the_callback_may_work_on_what_it_is_shown(void **state)
{
    wbrig *r = *state;
    seen *s = calloc(1, sizeof *s);

    assert_non_null(s);
    s->r = r;
    blob_faultstore_fail(r->base, BLOB_FAULT_PUT, BLOB_REJECTED, 0);
    wbrig_start(r);
    for (unsigned i = 0; i < 20; i++)
        wbrig_put_number(r, i);
    test_status(wbstore_sync(r->w, NULL), BLOB_REJECTED);
    test_ok(wbstore_pending(r->w, empty_it, s));
    assert_int_equal(s->count, 20);
    for (unsigned i = 0; i < 20; i++) {
        char text[32];
        blob_address a;
        snprintf(text, sizeof text, "blob number %u", i);
        a = wbrig_address(text);
        expect_seen(s, i, blob_address_key(&a), strlen(text), WBSTORE_PARKED, 1, BLOB_REJECTED);
    }
    assert_int_equal(inside_stats(r).pending_blobs, 1);
    free(s);
}

/* Blobs are put in order and none leaves: at each moment the first so many are pending, in order, and no more. */
#define ROUNDS (WBRIG_SLOW ? 1500 : 5000)

typedef struct growth {
    wbrig *r;
    _Atomic bool done, broken;
    unsigned expected;
    uint64_t snapshots;
} growth;

static int follow(void *arg, const wbstore_pending_info *info)
{
    growth *g = arg;

    if (info->size != 8 + g->expected++ % 1000 || info->text[0] != '\0' || info->key.size != 32)
        g->broken = true;
    return 0;
}

static void *watch_it_grow(void *arg)
{
    growth *g = arg;
    unsigned before = 0;

    do {
        g->expected = 0;
        if (wbstore_pending(g->r->w, follow, g) != 0 || g->expected < before)
            g->broken = true;
        before = g->expected;
        g->snapshots++;
    } while (!g->done);
    return NULL;
}

static void a_snapshot_taken_while_the_backlog_grows_is_of_one_moment(void **state)
{
    wbrig *r = *state;
    growth g = {.r = r};
    unsigned char bytes[8 + 1000];
    pthread_t watcher;

    blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    blob_faultstore_keep_history(r->buf, false);
    r->options.writers_max = 2;
    wbrig_start(r);
    test_thread_start(&watcher, watch_it_grow, &g);
    memset(bytes, 'x', sizeof bytes);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        memcpy(bytes, &i, sizeof i);
        test_ok(wbstore_cas_put(r->w, NULL, bytes, 8 + (size_t)(i % 1000), NULL));
    }
    g.done = true;
    test_thread_join(watcher);
    assert_false(g.broken);
    assert_true(g.snapshots > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inside_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pending_blobs_are_shown_oldest_first_in_every_state),
        TEST(nothing_pending_shows_nothing),
        TEST(keys_of_every_length_are_shown_whole),
        TEST(the_callback_can_end_it),
        TEST(the_callback_may_work_on_what_it_is_shown),
        TEST(a_snapshot_taken_while_the_backlog_grows_is_of_one_moment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
