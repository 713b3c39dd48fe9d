/* test_logstore_wait.c - a log with more than one caller: who waits for whom, who sees what meanwhile, and that nobody
 * waits for ever.
 *
 * A hook stops one operation of the disk, and the test goes on from within it: with calls of its own where no write is
 * under way, with callers on threads of theirs where one is. Whether those wait is read from the log's own counts, so
 * nothing here depends on time. */
#include "simlog.h"
#include "sleeper.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define LARGE ((size_t)70000) /* beyond what put copies first and asks about later */
#define A_SIZE ((size_t)20000)
#define B_SIZE ((size_t)21000)
#define HANGS_S 30

/* ---- the rig ------------------------------------------------------------------------------------------------ */

typedef struct rig rig;

struct rig {
    simdisk *disk;
    blob_store *store;
    logstore *l;
    blob_logstore_options options;
    /* The next operation of that kind (and, unless 0, of that size) is preceded by fn. */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool armed, reached, open;
    simdisk_op op;
    uint64_t size;
    void (*fn)(rig *r);
};

static void rig_watch(void *arg, const simdisk_call *call)
{
    rig *r = arg;
    void (*fn)(rig *) = NULL;

    pthread_mutex_lock(&r->mutex);
    if (r->armed && call->op == r->op && (r->size == 0 || call->size == r->size)) {
        r->armed = false;
        fn = r->fn;
    }
    pthread_mutex_unlock(&r->mutex);
    if (fn != NULL)
        fn(r);
}

static void rig_arm(rig *r, simdisk_op op, uint64_t size, void (*fn)(rig *r))
{
    pthread_mutex_lock(&r->mutex);
    r->op = op;
    r->size = size;
    r->fn = fn;
    r->armed = true;
    r->reached = r->open = false;
    pthread_mutex_unlock(&r->mutex);
}

/* As fn of a hook: the operation waits at the gate. */
static void gate(rig *r)
{
    pthread_mutex_lock(&r->mutex);
    r->reached = true;
    pthread_cond_broadcast(&r->changed);
    while (!r->open)
        pthread_cond_wait(&r->changed, &r->mutex);
    pthread_mutex_unlock(&r->mutex);
}

static void gate_await(rig *r)
{
    pthread_mutex_lock(&r->mutex);
    while (!r->reached)
        pthread_cond_wait(&r->changed, &r->mutex);
    pthread_mutex_unlock(&r->mutex);
}

static void gate_open(rig *r)
{
    pthread_mutex_lock(&r->mutex);
    r->open = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mutex);
}

static void rig_open(rig *r)
{
    test_ok(wb_log_open(&r->store, simdisk_mount(r->disk), "sim", &r->options, LOG_NO_KEEPER));
    r->l = wb_log_of(r->store);
}

/* On the heap, for a test that fails leaves threads behind. */
static rig *rig_new_with(uint64_t segment_bytes, uint64_t bytes_max)
{
    rig *r = calloc(1, sizeof *r);

    assert_non_null(r);
    test_watchdog(HANGS_S);
    r->disk = simdisk_new(1);
    r->options = blob_logstore_options_default();
    r->options.segment_bytes = segment_bytes;
    r->options.bytes_max = bytes_max;
    r->options.cache_bytes = 1;
    assert_int_equal(pthread_mutex_init(&r->mutex, NULL), 0);
    assert_int_equal(pthread_cond_init(&r->changed, NULL), 0);
    simdisk_watch(r->disk, rig_watch, r);
    rig_open(r);
    /* There is a segment from here on: the next sync is that of a batch. */
    test_put(r->store, test_key("before"), "");
    test_ok(blob_store_delete(r->store, NULL, test_key("before"), 0));
    return r;
}

static rig *rig_new(void)
{
    return rig_new_with(LOG_SEGMENT_MIN, 0);
}

/* The process is no more, and the power goes: what is not on the disk is lost. */
static void rig_crash(rig *r)
{
    simdisk_power_cut(r->disk, &(simdisk_fate){SIMDISK_DROPPED, SIMDISK_DROPPED, false, 1, NULL});
    blob_store_close(r->store, NULL);
    rig_open(r);
}

static void rig_free(rig *r)
{
    test_ok(blob_store_close(r->store, NULL));
    simdisk_free(r->disk);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->mutex);
    free(r);
    test_watchdog(0);
}

/* ---- blobs -------------------------------------------------------------------------------------------------- */

static int put(rig *r, blob_ctx *ctx, const char *key, uint64_t seed, size_t size, unsigned flags)
{
    void *bytes = test_payload(seed, size);
    int rc = blob_store_put(r->store, ctx, test_key(key), blob_view_of(bytes, size), flags);

    free(bytes);
    return rc;
}

static void expect(rig *r, const char *key, uint64_t seed, size_t size)
{
    void *bytes = test_payload(seed, size);
    blob *b;

    test_ok(blob_store_get(r->store, NULL, test_key(key), &b));
    assert_int_equal(b->size, size);
    assert_memory_equal(b->data, bytes, size);
    blob_unref(b);
    free(bytes);
}

static int list_count(void *arg, blob_key key, uint64_t size)
{
    (void)key;
    (void)size;
    ++*(unsigned *)arg;
    return 0;
}

static unsigned listed(rig *r)
{
    unsigned count = 0;

    test_ok(blob_store_list(r->store, NULL, blob_key_of(NULL, 0), list_count, &count));
    return count;
}

/* ---- callers ------------------------------------------------------------------------------------------------ */

typedef enum act { PUT, REPLACE, DELETE, LAZY_DELETE, KEEP } act;

typedef struct caller {
    rig *r;
    act what;
    const char *key;
    uint64_t seed;
    size_t size;
    blob_ctx *ctx;
    pthread_t thread;
    int status;
    bool done; /* under the rig's mutex */
} caller;

static void *caller_run(void *arg)
{
    caller *c = arg;

    if (c->what == KEEP)
        c->status = wb_log_keep(c->r->store);
    else if (c->what == PUT || c->what == REPLACE)
        c->status = put(c->r, c->ctx, c->key, c->seed, c->size, c->what == REPLACE ? BLOB_REPLACE : 0);
    else
        c->status = blob_store_delete(c->r->store, c->ctx, test_key(c->key), c->what == LAZY_DELETE ? BLOB_LAZY : 0);
    pthread_mutex_lock(&c->r->mutex);
    c->done = true;
    pthread_mutex_unlock(&c->r->mutex);
    return NULL;
}

static void caller_start(caller *c, rig *r, act what, const char *key, blob_ctx *ctx)
{
    *c = (caller){.r = r, .what = what, .key = key, .seed = (uint64_t)what + 1, .size = 100, .ctx = ctx};
    test_thread_start(&c->thread, caller_run, c);
}

static int caller_end(caller *c)
{
    test_thread_join(c->thread);
    return c->status;
}

/* Whether it comes to wait, as one of so many in the queue and so many for a change of their key; false: it returned. */
static bool caller_waits(caller *c, uint64_t queued, unsigned settling)
{
    logstore *l = c->r->l;
    bool waits = false, done = false;

    while (!waits && !done) {
        sched_yield();
        pthread_mutex_lock(&c->r->mutex);
        done = c->done;
        pthread_mutex_unlock(&c->r->mutex);
        pthread_mutex_lock(&l->lock);
        waits = l->queued == queued && l->settling == settling;
        pthread_mutex_unlock(&l->lock);
    }
    return waits;
}

/* A put of "first" that stops before its sync. */
static void first_at_the_gate(caller *c, rig *r)
{
    rig_arm(r, SIMDISK_SYNC, 0, gate);
    caller_start(c, r, PUT, "first", NULL);
    gate_await(r);
}

/* ---- one change of a key at a time --------------------------------------------------------------------------- */

static void what_is_not_on_the_disk_is_not_there_yet(void **state)
{
    rig *r = rig_new();
    caller first;

    (void)state;
    first_at_the_gate(&first, r);
    test_expect_missing(r->store, test_key("first"));
    assert_int_equal(listed(r), 0);
    assert_int_equal(test_len(r->store), 0);
    gate_open(r);
    test_ok(caller_end(&first));
    expect(r, "first", first.seed, first.size);
    assert_int_equal(listed(r), 1);
    rig_free(r);
}

static void exists_is_said_of_what_is_on_the_disk(void **state)
{
    static const size_t sizes[] = {100, LARGE};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        rig *r = rig_new();
        caller first, again;
        first_at_the_gate(&first, r);
        again = (caller){.r = r, .what = PUT, .key = "first", .seed = 9, .size = sizes[i]};
        test_thread_start(&again.thread, caller_run, &again);
        assert_true(caller_waits(&again, 0, 1));
        gate_open(r);
        test_ok(caller_end(&first));
        test_status(caller_end(&again), BLOB_EXISTS);
        rig_crash(r);
        expect(r, "first", first.seed, first.size);
        rig_free(r);
    }
}

static void a_put_that_fails_leaves_its_key_to_the_next(void **state)
{
    rig *r = rig_new();
    caller first, again;

    (void)state;
    first_at_the_gate(&first, r);
    caller_start(&again, r, PUT, "first", NULL);
    assert_true(caller_waits(&again, 0, 1));
    /* Both files: then the log is read-only, and the second one is told so. */
    simdisk_fail(r->disk, &(simdisk_fault){.ops = SIMDISK_BIT(SIMDISK_SYNC), .status = -EIO});
    gate_open(r);
    test_status(caller_end(&first), -EIO);
    test_status(caller_end(&again), BLOB_DENIED);
    test_expect_missing(r->store, test_key("first"));
    assert_int_equal(listed(r), 0);
    assert_int_equal(r->l->reserved_bytes, 0);
    simdisk_mend(r->disk);
    rig_free(r);
}

static void what_is_being_put_counts_against_bytes_max(void **state)
{
    rig *r = rig_new_with(LOG_SEGMENT_MIN, LOG_BLOCK);
    caller first;

    (void)state;
    first_at_the_gate(&first, r);
    test_status(put(r, NULL, "second", 1, 100, 0), BLOB_FULL);
    gate_open(r);
    test_ok(caller_end(&first));
    assert_int_equal(r->l->reserved_bytes, 0);
    test_status(put(r, NULL, "second", 1, 100, 0), BLOB_FULL);
    test_ok(blob_store_delete(r->store, NULL, test_key("first"), 0));
    test_ok(put(r, NULL, "second", 1, 100, 0));
    rig_free(r);
}

/* ---- who gives up -------------------------------------------------------------------------------------------- */

static void who_gives_up_before_the_write_stores_nothing(void **state)
{
    static const act acts[] = {PUT, REPLACE, DELETE};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        blob_ctx *ctx = new_ctx(NULL);
        rig *r = rig_new();
        caller first, second;
        if (acts[i] != PUT)
            test_ok(put(r, NULL, "second", 7, 100, 0));
        first_at_the_gate(&first, r);
        caller_start(&second, r, acts[i], "second", ctx);
        assert_true(caller_waits(&second, 1, 0));
        blob_ctx_cancel(ctx);
        test_status(caller_end(&second), -ECANCELED);
        gate_open(r);
        test_ok(caller_end(&first));
        if (acts[i] == PUT)
            test_expect_missing(r->store, test_key("second"));
        else
            expect(r, "second", 7, 100);
        assert_int_equal(r->l->reserved_bytes, 0);
        test_ok(put(r, NULL, "second", 8, 100, BLOB_REPLACE)); /* and nothing of it is in the way */
        rig_crash(r);
        expect(r, "second", 8, 100);
        rig_free(r);
        blob_ctx_free(ctx);
    }
}

static void who_gives_up_lets_in_who_waits_for_the_key(void **state)
{
    blob_ctx *ctx = new_ctx(NULL);
    rig *r = rig_new();
    caller first, second, third;

    (void)state;
    first_at_the_gate(&first, r);
    caller_start(&second, r, PUT, "second", ctx);
    assert_true(caller_waits(&second, 1, 0));
    caller_start(&third, r, PUT, "second", NULL);
    assert_true(caller_waits(&third, 1, 1));
    blob_ctx_cancel(ctx);
    test_status(caller_end(&second), -ECANCELED);
    assert_true(caller_waits(&third, 1, 0));
    gate_open(r);
    test_ok(caller_end(&first));
    test_ok(caller_end(&third));
    expect(r, "second", third.seed, third.size);
    rig_free(r);
    blob_ctx_free(ctx);
}

static void a_wait_for_a_key_ends_with_its_ctx(void **state)
{
    blob_ctx *ctx = new_ctx(NULL);
    rig *r = rig_new();
    caller first, again;

    (void)state;
    first_at_the_gate(&first, r);
    caller_start(&again, r, PUT, "first", ctx);
    assert_true(caller_waits(&again, 0, 1));
    blob_ctx_cancel(ctx);
    test_status(caller_end(&again), -ECANCELED);
    gate_open(r);
    test_ok(caller_end(&first));
    rig_free(r);
    blob_ctx_free(ctx);
}

/* ---- who is woken -------------------------------------------------------------------------------------------- */

static void all_who_wait_are_answered(void **state)
{
    static const char *const keys[] = {"a", "b", "c", "d", "e", "f"};
    rig *r = rig_new();
    caller first, others[6];

    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        first_at_the_gate(&first, r);
        for (unsigned i = 0; i < 6; i++) {
            caller_start(&others[i], r, round % 2 == 0 ? PUT : DELETE, keys[i], NULL);
            assert_true(caller_waits(&others[i], i + 1, 0));
        }
        gate_open(r);
        test_ok(caller_end(&first));
        for (unsigned i = 0; i < 6; i++)
            test_ok(caller_end(&others[i]));
        test_ok(blob_store_delete(r->store, NULL, test_key("first"), 0));
    }
    rig_free(r);
}

/* A batch is done, and the one woken to write the next has just been given up by its owner, who is awake for no other
 * reason. For that its context ends while the cancel is held up by somebody else who waits on it. The system may wake the
 * third instead, who writes for both: then it is tried again. */
static void who_is_woken_to_write_and_gives_up_wakes_another(void **state)
{
    pthread_mutex_t elsewhere = PTHREAD_MUTEX_INITIALIZER;
    unsigned gave_up = 0;

    (void)state;
    while (gave_up < 5) {
        blob_ctx *ctx = new_ctx(NULL);
        sleeper other = {0};
        rig *r = rig_new();
        caller first, second, third;
        pthread_t canceller;
        int rc;
        first_at_the_gate(&first, r);
        caller_start(&second, r, PUT, "second", ctx);
        assert_true(caller_waits(&second, 1, 0));
        caller_start(&third, r, PUT, "third", NULL);
        assert_true(caller_waits(&third, 2, 0));
        sleeper_start(&other, ctx, NULL, &elsewhere, NULL); /* the last to come is the first to be woken */
        pthread_mutex_lock(&elsewhere);
        test_thread_start(&canceller, cancel_run, ctx);
        while (blob_ctx_status(ctx) == 0)
            sched_yield();
        gate_open(r);
        test_ok(caller_end(&first));
        rc = caller_end(&second);
        test_ok(caller_end(&third));
        pthread_mutex_unlock(&elsewhere);
        test_thread_join(canceller);
        test_status(sleeper_end(&other), -ECANCELED);
        if (rc == 0) {
            expect(r, "second", second.seed, second.size);
        } else {
            test_status(rc, -ECANCELED);
            test_expect_missing(r->store, test_key("second"));
            gave_up++;
        }
        rig_free(r);
        blob_ctx_free(ctx);
    }
}

/* ---- a full disk --------------------------------------------------------------------------------------------- */

static void a_delete_beside_a_put_that_finds_no_room_is_done(void **state)
{
    rig *r = rig_new();
    caller first, large, removal;
    char key[16];
    int rc = 0;

    (void)state;
    test_ok(put(r, NULL, "kept", 1, 100, 0));
    simdisk_capacity(r->disk, simdisk_used(r->disk));
    for (unsigned i = 0; rc == 0 && i < 20; i++) {
        snprintf(key, sizeof key, "%u", i);
        rc = put(r, NULL, key, i, 15000, 0);
    }
    test_status(rc, -ENOSPC);
    first_at_the_gate(&first, r);
    large = (caller){.r = r, .what = PUT, .key = "large", .seed = 1, .size = 15000};
    test_thread_start(&large.thread, caller_run, &large);
    assert_true(caller_waits(&large, 1, 0));
    caller_start(&removal, r, DELETE, "kept", NULL);
    assert_true(caller_waits(&removal, 2, 0));
    gate_open(r);
    test_ok(caller_end(&first));
    test_status(caller_end(&large), -ENOSPC);
    test_ok(caller_end(&removal));
    rig_crash(r);
    test_expect_missing(r->store, test_key("kept"));
    test_expect_missing(r->store, test_key("large"));
    rig_free(r);
}

/* ---- lazy deletes -------------------------------------------------------------------------------------------- */

static void a_delete_waits_for_the_tombstone_that_is_being_written(void **state)
{
    rig *r = rig_new();
    caller first, again;

    (void)state;
    test_ok(put(r, NULL, "gone", 1, 100, 0));
    test_ok(blob_store_delete(r->store, NULL, test_key("gone"), BLOB_LAZY));
    first_at_the_gate(&first, r);
    caller_start(&again, r, DELETE, "gone", NULL);
    assert_true(caller_waits(&again, 1, 0));
    gate_open(r);
    test_ok(caller_end(&first));
    test_status(caller_end(&again), BLOB_NOT_FOUND);
    rig_crash(r);
    test_expect_missing(r->store, test_key("gone"));
    rig_free(r);
}

/* So many wait that they are written by themselves, synced by nobody. */
static void a_delete_waits_for_the_tombstone_that_is_not_synced(void **state)
{
    rig *r = rig_new_with(1 << 20, 0);
    char key[16];

    (void)state;
    for (unsigned i = 0; i < LOG_LAZY_MAX; i++) {
        snprintf(key, sizeof key, "%u", i);
        test_ok(put(r, NULL, key, i, 10, 0));
    }
    for (unsigned i = 0; i < LOG_LAZY_MAX; i++) {
        snprintf(key, sizeof key, "%u", i);
        test_ok(blob_store_delete(r->store, NULL, test_key(key), BLOB_LAZY));
    }
    assert_null(r->l->lazy);
    assert_true(r->l->written_lsn > r->l->durable); /* or this test is about nothing */
    test_status(blob_store_delete(r->store, NULL, test_key(key), 0), BLOB_NOT_FOUND);
    rig_crash(r);
    test_expect_missing(r->store, test_key(key));
    rig_free(r);
}

/* ---- stragglers ---------------------------------------------------------------------------------------------- */

/* a and b are all that lives in the oldest segment, and the log is too large for them. */
static rig *rig_with_stragglers(void)
{
    rig *r = rig_new();
    bool over = false;

    test_ok(put(r, NULL, "a", 1, A_SIZE, 0));
    test_ok(put(r, NULL, "b", 2, B_SIZE, 0));
    for (unsigned i = 0; i < 50 && !over; i++) {
        test_ok(put(r, NULL, "filler", i, 50000, BLOB_REPLACE));
        pthread_mutex_lock(&r->l->lock);
        over = wb_log_over_locked(r->l);
        pthread_mutex_unlock(&r->l->lock);
    }
    assert_true(over);
    return r;
}

static void rig_kill(rig *r)
{
    simdisk_kill(r->disk);
    blob_store_close(r->store, NULL);
    rig_open(r);
}

static void replace_b(rig *r)
{
    test_ok(put(r, NULL, "b", 12, B_SIZE + 8, BLOB_REPLACE));
}

static void delete_and_put_b(rig *r)
{
    test_ok(blob_store_delete(r->store, NULL, test_key("b"), BLOB_LAZY));
    test_ok(put(r, NULL, "b", 12, B_SIZE + 8, 0));
}

static void a_straggler_that_is_replaced_is_not_copied(void **state)
{
    static void (*const changes[])(rig * r) = {replace_b, delete_and_put_b};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        rig *r = rig_with_stragglers();
        rig_arm(r, SIMDISK_READ, A_SIZE, changes[i]); /* b's turn is next */
        test_ok(wb_log_keep(r->store));
        assert_false(r->armed);
        expect(r, "b", 12, B_SIZE + 8);
        rig_kill(r);
        expect(r, "a", 1, A_SIZE);
        expect(r, "b", 12, B_SIZE + 8);
        rig_free(r);
    }
}

static void a_straggler_that_is_being_deleted_is_not_copied(void **state)
{
    static const act acts[] = {DELETE, REPLACE};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        rig *r = rig_with_stragglers();
        caller changer, keeper;
        rig_arm(r, SIMDISK_SYNC, 0, gate);
        caller_start(&changer, r, acts[i], "b", NULL);
        gate_await(r);
        caller_start(&keeper, r, KEEP, NULL, NULL);
        assert_true(caller_waits(&keeper, 2, 0)); /* a's copy, and a sync */
        gate_open(r);
        test_ok(caller_end(&changer));
        test_ok(caller_end(&keeper));
        rig_kill(r);
        expect(r, "a", 1, A_SIZE);
        if (acts[i] == DELETE)
            test_expect_missing(r->store, test_key("b"));
        else
            expect(r, "b", changer.seed, changer.size);
        rig_free(r);
    }
}

static caller changer_of_a;
static bool changer_waited;
static act changer_does;

static void change_a_from_elsewhere(rig *r)
{
    caller_start(&changer_of_a, r, changer_does, "a", NULL);
    changer_waited = caller_waits(&changer_of_a, 0, 1);
}

static void a_change_waits_for_the_copy_of_its_straggler(void **state)
{
    static const act acts[] = {DELETE, LAZY_DELETE, REPLACE};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        rig *r = rig_with_stragglers();
        changer_does = acts[i];
        rig_arm(r, SIMDISK_READ, A_SIZE, change_a_from_elsewhere);
        test_ok(wb_log_keep(r->store));
        assert_false(r->armed);
        assert_true(changer_waited);
        test_ok(caller_end(&changer_of_a));
        rig_kill(r);
        expect(r, "b", 2, B_SIZE);
        if (acts[i] == REPLACE)
            expect(r, "a", changer_of_a.seed, changer_of_a.size);
        else if (acts[i] == DELETE)
            test_expect_missing(r->store, test_key("a"));
        rig_free(r);
    }
}

/* ---- readers ------------------------------------------------------------------------------------------------- */

static uint64_t oldest_of(rig *r)
{
    uint64_t number;

    pthread_mutex_lock(&r->l->lock);
    number = r->l->oldest->number;
    pthread_mutex_unlock(&r->l->lock);
    return number;
}

/* All that is in the segment being read dies, and what comes then would like its file. */
static void turn_the_log_over(rig *r)
{
    test_ok(blob_store_delete(r->store, NULL, test_key("a"), 0));
    test_ok(blob_store_delete(r->store, NULL, test_key("b"), 0));
    for (unsigned i = 0; i < 8; i++) {
        test_ok(wb_log_keep(r->store));
        test_ok(put(r, NULL, "filler", 100 + i, 50000, BLOB_REPLACE));
    }
    assert_int_equal(oldest_of(r), 1);
}

static void a_segment_that_is_read_is_not_used_again(void **state)
{
    rig *r = rig_with_stragglers();

    (void)state;
    assert_int_equal(oldest_of(r), 1);
    rig_arm(r, SIMDISK_READ, A_SIZE, turn_the_log_over);
    expect(r, "a", 1, A_SIZE);
    assert_false(r->armed);
    test_expect_missing(r->store, test_key("a"));
    test_ok(wb_log_keep(r->store));
    assert_true(oldest_of(r) > 1);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_on_the_disk_is_not_there_yet),
        cmocka_unit_test(exists_is_said_of_what_is_on_the_disk),
        cmocka_unit_test(a_put_that_fails_leaves_its_key_to_the_next),
        cmocka_unit_test(what_is_being_put_counts_against_bytes_max),
        cmocka_unit_test(who_gives_up_before_the_write_stores_nothing),
        cmocka_unit_test(who_gives_up_lets_in_who_waits_for_the_key),
        cmocka_unit_test(a_wait_for_a_key_ends_with_its_ctx),
        cmocka_unit_test(all_who_wait_are_answered),
        cmocka_unit_test(who_is_woken_to_write_and_gives_up_wakes_another),
        cmocka_unit_test(a_delete_beside_a_put_that_finds_no_room_is_done),
        cmocka_unit_test(a_delete_waits_for_the_tombstone_that_is_being_written),
        cmocka_unit_test(a_delete_waits_for_the_tombstone_that_is_not_synced),
        cmocka_unit_test(a_straggler_that_is_replaced_is_not_copied),
        cmocka_unit_test(a_straggler_that_is_being_deleted_is_not_copied),
        cmocka_unit_test(a_change_waits_for_the_copy_of_its_straggler),
        cmocka_unit_test(a_segment_that_is_read_is_not_used_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
