/* test_kill.c - a host that puts through a durable buffer is killed again and again, at moments that nobody chose: every
 * blob whose put returned is found afterwards, in the buffer or in the base, whole.
 *
 * The child puts from several threads, while its wrapper drains to the base, and tells each address that was accepted;
 * the parent listens to some of them, kills it, listens to the rest, and looks, or leaves what is there to the next
 * child, so that one is killed too while it takes up what the one before left behind. A blob is looked for in every
 * round until it is in the base. The seed is printed, and KILL_ROUNDS asks for more rounds. */
#include "victim.h"
#include "wbrig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PUTTERS = 4 };

/* ---- the buffers ---- */

typedef struct kind {
    int (*open)(blob_store **out, const char *dir, bool read_only);
    unsigned rounds;
    bool is_log;
} kind;

static int open_files(blob_store **out, const char *dir, bool read_only)
{
    (void)read_only;
    return blob_filestore_open(out, dir, NULL);
}

static int open_log(blob_store **out, const char *dir, bool read_only)
{
    blob_logstore_options options = blob_logstore_options_default();

    options.read_only = read_only ? 1 : 0;
    return blob_logstore_open(out, dir, &options);
}

/* So small that segments are begun, copied from and used again all the time, and payloads come from the disk. Their
 * size changes from one opening to the next. */
static int open_small_log(blob_store **out, const char *dir, bool read_only, blob_logstore_sync sync)
{
    static unsigned openings;
    blob_logstore_options options = blob_logstore_options_default();

    options.sync = sync;
    options.segment_bytes = (uint64_t)(64 + 32 * (openings++ % 7)) << 10;
    options.cache_bytes = (size_t)16 << 10;
    options.sync_interval_ms = 1;
    options.read_only = read_only ? 1 : 0;
    return blob_logstore_open(out, dir, &options);
}

static int open_log_each(blob_store **out, const char *dir, bool read_only)
{
    return open_small_log(out, dir, read_only, BLOB_LOGSTORE_SYNC_EACH);
}

static int open_log_interval(blob_store **out, const char *dir, bool read_only)
{
    return open_small_log(out, dir, read_only, BLOB_LOGSTORE_SYNC_INTERVAL);
}

static int open_log_never(blob_store **out, const char *dir, bool read_only)
{
    return open_small_log(out, dir, read_only, BLOB_LOGSTORE_SYNC_NEVER);
}

/* ---- the stores of a run ---- */

typedef struct run {
    const kind *kind;
    char *dir, *base_dir, *buf_dir;
    blob_store *base_files, *base, *buf;
    uint64_t seed; /* of the child at hand */
    blob_address *accepted;
    size_t count, room; /* of accepted: not seen in the base yet */
    uint64_t heard, left, rewritten, torn;
} run;

/* The base is there to be drained to: that a kill takes nothing from it either does not hang on syncs. */
static int run_open(run *r, bool read_only)
{
    blob_filestore_options options = blob_filestore_options_default();
    int rc;

    options.no_sync = 1;
    rc = blob_filestore_open(&r->base_files, r->base_dir, &options);
    if (rc == 0)
        rc = blob_hashcas_new(&r->base, r->base_files, blob_hash_sha256());
    if (rc == 0)
        rc = r->kind->open(&r->buf, r->buf_dir, read_only);
    return rc;
}

static void run_close(run *r)
{
    test_ok(blob_store_close(r->buf, NULL));
    test_ok(blob_store_close(r->base, NULL));
    test_ok(blob_store_close(r->base_files, NULL));
}

/* ---- the child ---- */

typedef struct putter {
    wbstore *w;
    int pipe;
    test_rng rng;
} putter;

/* Never so few bytes that another blob may have the same. */
static size_t putter_size(test_rng *rng)
{
    switch (test_random_below(rng, 16)) {
    case 0:
        return 16 + (size_t)test_random_below(rng, 300 << 10);
    case 1:
    case 2:
    case 3:
        return 16 + (size_t)test_random_below(rng, 60000);
    default:
        return 16 + (size_t)test_random_below(rng, 3000);
    }
}

static void *putter_run(void *arg)
{
    putter *p = arg;

    for (;;) {
        size_t size = putter_size(&p->rng);
        unsigned char *bytes = test_payload(test_random(&p->rng), size);
        blob_address address;

        if (wbstore_cas_put(p->w, NULL, bytes, size, &address) != 0)
            _exit(3);
        victim_say(p->pipe, address.bytes, blob_hash_sha256()->size);
        free(bytes);
    }
    return NULL;
}

static void host_work(void *arg, int pipe)
{
    run *r = arg;
    putter *putters = calloc(PUTTERS, sizeof *putters);
    pthread_t thread;
    wbstore *w;

    if (putters == NULL || run_open(r, false) != 0 || wbstore_new(&w, NULL, r->base, r->buf, NULL) != 0)
        _exit(2);
    for (unsigned i = 0; i < PUTTERS; i++) {
        putters[i] = (putter){.w = w, .pipe = pipe, .rng.state = r->seed * PUTTERS + i};
        if (pthread_create(&thread, NULL, putter_run, &putters[i]) != 0)
            _exit(2);
    }
}

/* ---- the parent ---- */

static bool run_hear(run *r, victim *v)
{
    blob_address address = {.size = blob_hash_sha256()->size};

    if (!victim_hear(v, address.bytes, address.size))
        return false;
    if (r->count == r->room) {
        r->room = r->room > 0 ? 2 * r->room : 1024;
        r->accepted = realloc(r->accepted, r->room * sizeof *r->accepted);
        assert_non_null(r->accepted);
    }
    r->accepted[r->count++] = address;
    r->heard++;
    return true;
}

static void one_kill(run *r, test_rng *rng)
{
    uint64_t listen = test_random_below(rng, 4) > 0 ? test_random_below(rng, 40) : 0;
    victim v;

    r->seed = test_random(rng);
    victim_start(&v, host_work, r);
    while (listen > 0 && run_hear(r, &v))
        listen--;
    victim_kill(&v, rng, 3000);
    while (run_hear(r, &v))
        continue;
    victim_bury(&v);
}

/* Found there and whole; false: not found. */
static bool found_whole(blob_store *in, blob_key key)
{
    unsigned char digest[BLOB_ADDRESS_MAX];
    blob *b;
    int rc = blob_store_get(in, NULL, key, &b);

    if (rc == BLOB_NOT_FOUND)
        return false;
    test_ok(rc);
    blob_hash_sha256()->digest(b->data, b->size, digest);
    assert_memory_equal(digest, key.data, key.size);
    blob_unref(b);
    return true;
}

/* Those found in the base alone are done with, and taken out of it. */
static void look_for_accepted(run *r)
{
    size_t kept = 0;

    for (size_t i = 0; i < r->count; i++) {
        blob_key key = blob_address_key(&r->accepted[i]);
        if (found_whole(r->buf, key)) {
            r->accepted[kept++] = r->accepted[i];
            continue;
        }
        if (!found_whole(r->base, key))
            fail_msg("an accepted blob is neither in the buffer nor in the base: %s", test_hex_of(key).text);
        test_ok(blob_store_delete(r->base, NULL, key, 0));
    }
    r->count = kept;
}

static int no_finding(void *arg, const blob_logstore_finding *finding)
{
    (void)arg;
    fail_msg("%s at %llu: %s", finding->file, (unsigned long long)finding->offset, finding->text);
    return 0;
}

/* Nothing in it is damaged, the blobs that nobody accepted included. */
static void look_for_damage(run *r)
{
    blob_logstore_info info = {.struct_size = sizeof info};

    if (!r->kind->is_log)
        return;
    test_ok(blob_logstore_findings(r->buf, NULL, 1, no_finding, NULL));
    test_ok(blob_logstore_get_info(r->buf, &info));
    assert_int_equal(info.damaged_records, 0);
    assert_int_equal(info.set_aside_segments, 0);
    r->rewritten += info.rewritten;
    r->torn += info.torn_records;
}

static void look(run *r, bool read_only)
{
    test_ok(run_open(r, read_only));
    look_for_damage(r);
    look_for_accepted(r);
    r->left += test_len(r->buf);
    run_close(r);
}

/* What is left can be sent; then the buffer is empty, and all of it in the base. */
static void drain_to_the_end(run *r)
{
    wbstore *w;

    test_ok(run_open(r, false));
    test_ok(wbstore_new(&w, NULL, r->base, r->buf, NULL));
    test_ok(wbstore_sync(w, NULL));
    wbstore_free(w);
    assert_int_equal(test_len(r->buf), 0);
    look_for_accepted(r);
    assert_int_equal(r->count, 0);
    run_close(r);
}

static char *in_folder(const char *dir, const char *name)
{
    char *path;

    assert_true(asprintf(&path, "%s/%s", dir, name) > 0);
    return path;
}

static void what_was_accepted_survives_kills_at_random_moments(void **state)
{
    const char *asked = getenv("KILL_ROUNDS");
    run r = {.kind = *state, .dir = test_dir_make()};
    unsigned long rounds = asked != NULL ? strtoul(asked, NULL, 10) : WBRIG_SLOW ? r.kind->rounds / 3 : r.kind->rounds;
    test_rng rng = {.state = (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid()};

    print_message("seed %llu, %lu rounds\n", (unsigned long long)rng.state, rounds);
    r.base_dir = in_folder(r.dir, "base");
    r.buf_dir = in_folder(r.dir, "buffer");
    /* By chance every kill may come when nothing is left in the buffer: then some more are needed. */
    for (unsigned long round = 0; round < rounds || (r.left == 0 && round < 100 + rounds); round++) {
        test_watchdog(100);
        one_kill(&r, &rng);
        if (r.kind->is_log && test_random_below(&rng, 4) == 0 && access(r.buf_dir, F_OK) == 0)
            look(&r, true);
        if (test_random_below(&rng, 2) == 0)
            look(&r, false);
    }
    look(&r, false);
    drain_to_the_end(&r);
    print_message("%llu blobs accepted, %llu times one left in the buffer; records written again: %llu, torn: %llu\n",
                  (unsigned long long)r.heard, (unsigned long long)r.left, (unsigned long long)r.rewritten,
                  (unsigned long long)r.torn);
    assert_true(r.left > 0); /* or the kills came too late to test anything */
    free(r.accepted);
    free(r.base_dir);
    free(r.buf_dir);
    test_dir_remove(r.dir);
}

#define KILL_TEST(name, open_, rounds_, is_log_)                                                                       \
    {                                                                                                                  \
        "what_was_accepted_survives_kills_at_random_moments: " name,                                                   \
            what_was_accepted_survives_kills_at_random_moments, NULL, NULL, &(kind)                                    \
        {                                                                                                              \
            .open = (open_), .rounds = (rounds_), .is_log = (is_log_)                                                  \
        }                                                                                                              \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        KILL_TEST("filestore", open_files, 30, false),
        KILL_TEST("logstore", open_log, 30, true),
        KILL_TEST("logstore, small segments", open_log_each, 80, true),
        KILL_TEST("logstore, small segments synced in time", open_log_interval, 40, true),
        KILL_TEST("logstore, small segments without syncs", open_log_never, 40, true),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
