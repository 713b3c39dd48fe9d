/* test_kill_log.c - a process that puts, replaces and deletes on a log from many threads is killed again and again: each
 * key is afterwards as one of its operations left it that nothing acknowledged came after.
 *
 * The child tells each operation before it calls it and after it returned, so the parent knows which of two came first
 * for certain. A cut-off operation may have happened or not. A lazy delete may come undone, and takes nothing with it
 * but itself. Now and then a child that only opens the log is killed in between: that must change nothing.
 *
 * The seed is printed, and KILL_ROUNDS asks for more rounds. */
#include "victim.h"
#include "wbrig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 4, KEYS = 12, COLD_KEYS = 4, OPS_MAX = 20000 };

/* ---- what a key holds: a version, 0 for nothing ---- */

static blob_key key_of(unsigned key)
{
    static const char names[] = "abcdefghijkl";

    return blob_key_of(&names[key], 1);
}

static size_t version_size(uint64_t version)
{
    test_rng rng = {.state = ~version};

    switch (test_random_below(&rng, 24)) {
    case 0:
        return 8 + (size_t)test_random_below(&rng, 300 << 10);
    case 1:
    case 2:
    case 3:
        return 8 + (size_t)test_random_below(&rng, 30000);
    default:
        return 8 + (size_t)test_random_below(&rng, 1000);
    }
}

/* The version stands at its beginning. To be freed. */
static unsigned char *version_bytes(uint64_t version, size_t *size)
{
    unsigned char *bytes;

    *size = version_size(version);
    bytes = test_payload(version, *size);
    memcpy(bytes, &version, sizeof version);
    return bytes;
}

/* UINT64_MAX: the bytes are those of no version. */
static uint64_t version_of(const blob *b)
{
    unsigned char *expected;
    uint64_t version;
    size_t size;

    if (b->size < sizeof version)
        return UINT64_MAX;
    memcpy(&version, b->data, sizeof version);
    expected = version_bytes(version, &size);
    if (b->size != size || memcmp(b->data, expected, size) != 0)
        version = UINT64_MAX;
    free(expected);
    return version;
}

/* 0 where nothing is there, UINT64_MAX where it is wrong. */
static int version_get(blob_store *s, unsigned key, uint64_t *version)
{
    blob *b;
    int rc = blob_store_get(s, NULL, key_of(key), &b);

    *version = rc == 0 ? version_of(b) : 0;
    blob_unref(b);
    return rc == BLOB_NOT_FOUND ? 0 : rc;
}

/* ---- what the child tells ---- */

typedef enum op_kind { OP_PUT, OP_REPLACE, OP_DELETE, OP_LAZY, OP_GET } op_kind;

typedef struct message {
    uint64_t number;  /* of the operation, in this child */
    uint64_t version; /* put, replace: to be put; get, at its end: what is there */
    int32_t status;
    uint8_t kind, key;
    bool ended;
    char zero; /* no padding: every byte goes through the pipe */
} message;

/* ---- the child ---- */

typedef struct kind {
    blob_logstore_sync sync;
    unsigned rounds;
    bool few_threads;
} kind;

typedef struct run {
    const kind *kind;
    char *dir;
    uint64_t seed;       /* of the child at hand */
    uint64_t held[KEYS]; /* what the last look found */
    struct op *ops;      /* of the child at hand, in the order of their numbers */
    uint64_t told;       /* operations */
    uint64_t rewritten, torn;
} run;

typedef struct worker {
    const run *run;
    blob_store *s;
    int pipe;
    unsigned index, workers;
} worker;

static int run_open(blob_store **s, const run *r, bool read_only)
{
    blob_logstore_options options = blob_logstore_options_default();

    options.sync = r->kind->sync;
    options.sync_interval_ms = 1;
    options.segment_bytes = (64 + r->seed % 4 * 64) << 10;
    options.cache_bytes = (size_t)8 << 10;
    options.read_only = read_only ? 1 : 0;
    return blob_logstore_open(s, r->dir, &options);
}

static int put_one(blob_store *s, unsigned key, uint64_t version, unsigned flags)
{
    size_t size;
    unsigned char *bytes = version_bytes(version, &size);
    int rc = blob_store_put(s, NULL, key_of(key), blob_view_of(bytes, size), flags);

    free(bytes);
    return rc;
}

/* Carries it out; a status that nobody should get ends the child. */
static void worker_do(blob_store *s, message *m)
{
    int other = BLOB_NOT_FOUND;

    switch (m->kind) {
    case OP_PUT:
        m->status = put_one(s, m->key, m->version, 0);
        other = BLOB_EXISTS;
        break;
    case OP_REPLACE:
        m->status = put_one(s, m->key, m->version, BLOB_REPLACE);
        other = 0;
        break;
    case OP_DELETE:
    case OP_LAZY:
        m->status = blob_store_delete(s, NULL, key_of(m->key), m->kind == OP_LAZY ? BLOB_LAZY : 0);
        break;
    default:
        m->status = version_get(s, m->key, &m->version);
        break;
    }
    if (m->status != 0 && m->status != other)
        _exit(3);
    if (m->version == UINT64_MAX)
        _exit(4);
}

static void *worker_run(void *arg)
{
    static const uint8_t kinds[] = {OP_PUT, OP_PUT, OP_REPLACE, OP_REPLACE, OP_DELETE, OP_LAZY, OP_LAZY, OP_GET};
    const worker *w = arg;
    test_rng rng = {.state = w->run->seed * WORKERS + w->index};

    for (uint64_t n = w->index; n < OPS_MAX; n += w->workers) {
        message m = {.number = n, .kind = kinds[test_random_below(&rng, sizeof kinds)]};
        bool cold = test_random_below(&rng, 50) == 0; /* what is seldom changed gets in the way of old segments */
        m.key = (uint8_t)(cold ? test_random_below(&rng, COLD_KEYS)
                               : COLD_KEYS + test_random_below(&rng, KEYS - COLD_KEYS));
        m.version = m.kind <= OP_REPLACE ? test_random(&rng) >> 1 | 1 : 0;
        victim_say(w->pipe, &m, sizeof m);
        worker_do(w->s, &m);
        m.ended = true;
        victim_say(w->pipe, &m, sizeof m);
    }
    return NULL;
}

static void host_work(void *arg, int pipe)
{
    const run *r = arg;
    worker *workers = calloc(WORKERS, sizeof *workers);
    unsigned count = r->kind->few_threads ? 1 : WORKERS;
    pthread_t thread;
    blob_store *s;

    if (workers == NULL || run_open(&s, r, false) != 0)
        _exit(2);
    for (unsigned i = 0; i < count; i++) {
        workers[i] = (worker){.run = r, .s = s, .pipe = pipe, .index = i, .workers = count};
        if (pthread_create(&thread, NULL, worker_run, &workers[i]) != 0)
            _exit(2);
    }
}

static void opener_work(void *arg, int pipe)
{
    blob_store *s;

    if (run_open(&s, arg, false) != 0)
        _exit(2);
    victim_say(pipe, "", 1);
}

/* ---- what may be there ---- */

/* Times are numbers of messages. ended UINT64_MAX: cut off. */
typedef struct op {
    uint64_t begun, ended, version;
    int32_t status;
    uint8_t kind, key;
} op;

static bool op_is_read(const op *o)
{
    return o->kind == OP_GET;
}

/* It left, or found, its version there; or it may have. */
static bool op_had_effect(const op *o)
{
    return o->begun > 0 && (o->ended == UINT64_MAX ? !op_is_read(o) : o->status == 0 || o->kind == OP_DELETE);
}

/* No kill takes back what it left or found. A delete that found nothing has made lasting why; a read has not. */
static bool op_is_lasting(const op *o)
{
    return op_had_effect(o) && o->ended != UINT64_MAX && o->kind != OP_LAZY && (!op_is_read(o) || o->version != 0);
}

/* Is there an operation that left that version, and that none came after which is lasting? With reads: that left or
 * found it, and that no lasting one, nor a read, came after. */
static bool explained(const run *r, unsigned key, uint64_t version, bool reads)
{
    uint64_t last_begun = 0;
    bool found = false;

    for (size_t i = 0; i < OPS_MAX; i++) {
        const op *o = &r->ops[i];
        if (o->begun > 0 && o->key == key && (reads || !op_is_read(o)) && op_is_lasting(o) && o->begun > last_begun)
            last_begun = o->begun;
    }
    if (version == r->held[key] && last_begun == 0)
        return true;
    for (size_t i = 0; i < OPS_MAX && !found; i++) {
        const op *o = &r->ops[i];
        found = o->key == key && (reads || !op_is_read(o)) && op_had_effect(o) && o->version == version &&
                o->ended >= last_begun;
    }
    return found;
}

static void print_ops(const run *r, unsigned key)
{
    static const char *const names[] = {"put", "replace", "delete", "lazy delete", "get"};

    print_error("key %u held %llx\n", key, (unsigned long long)r->held[key]);
    for (size_t i = 0; i < OPS_MAX; i++) {
        const op *o = &r->ops[i];
        if (o->begun > 0 && o->key == key)
            print_error("  %llu to %lld: %s %llx: %d\n", (unsigned long long)o->begun, (long long)o->ended,
                        names[o->kind], (unsigned long long)o->version, o->status);
    }
}

/* ---- the parent ---- */

static bool run_hear(run *r, victim *v, uint64_t *now)
{
    message m;
    op *o;

    if (!victim_hear(v, &m, sizeof m))
        return false;
    assert_true(m.number < OPS_MAX && m.key < KEYS && m.kind <= OP_GET);
    o = &r->ops[m.number];
    if (!m.ended) {
        *o = (op){.begun = ++*now, .ended = UINT64_MAX, .version = m.version, .kind = m.kind, .key = m.key};
        r->told++;
    } else {
        o->ended = ++*now;
        o->status = m.status;
        o->version = m.version;
    }
    return true;
}

static void one_kill(run *r, test_rng *rng)
{
    uint64_t listen = test_random_below(rng, 4) > 0 ? test_random_below(rng, 400) : 0, now = 0;
    victim v;

    memset(r->ops, 0, OPS_MAX * sizeof *r->ops);
    r->seed = test_random(rng);
    victim_start(&v, host_work, r);
    while (listen > 0 && run_hear(r, &v, &now))
        listen--;
    victim_kill(&v, rng, 2000);
    while (run_hear(r, &v, &now))
        continue;
    victim_bury(&v);
}

static void kill_one_that_opens(run *r, test_rng *rng)
{
    victim v;
    char told;

    r->seed = test_random(rng);
    victim_start(&v, opener_work, r);
    if (test_random_below(rng, 2) == 0)
        (void)victim_hear(&v, &told, 1);
    victim_kill(&v, rng, 2000);
    victim_bury(&v);
}

static int no_finding(void *arg, const blob_logstore_finding *finding)
{
    (void)arg;
    fail_msg("%s at %llu: %s", finding->file, (unsigned long long)finding->offset, finding->text);
    return 0;
}

static void look_for_damage(run *r, blob_store *s)
{
    blob_logstore_info info = {.struct_size = sizeof info};

    test_ok(blob_logstore_findings(s, NULL, 1, no_finding, NULL));
    test_ok(blob_logstore_get_info(s, &info));
    assert_int_equal(info.damaged_records, 0);
    assert_int_equal(info.set_aside_segments, 0);
    r->rewritten += info.rewritten;
    r->torn += info.torn_records;
}

/* What each key holds. */
static void look(run *r, bool read_only, uint64_t *held)
{
    uint64_t there = 0;
    blob_store *s;

    test_ok(run_open(&s, r, read_only));
    look_for_damage(r, s);
    for (unsigned key = 0; key < KEYS; key++) {
        test_ok(version_get(s, key, &held[key]));
        assert_int_not_equal(held[key], UINT64_MAX);
        there += held[key] != 0;
    }
    assert_int_equal(test_len(s), there);
    test_ok(blob_store_close(s, NULL));
}

static void one_round(run *r, test_rng *rng)
{
    uint64_t seen[KEYS], held[KEYS];
    bool looked = test_random_below(rng, 3) == 0;

    one_kill(r, rng);
    if (looked)
        look(r, true, seen);
    while (test_random_below(rng, 3) == 0)
        kill_one_that_opens(r, rng);
    look(r, false, held);
    for (unsigned key = 0; key < KEYS; key++) {
        if (looked)
            assert_int_equal(seen[key], held[key]);
        if (!explained(r, key, held[key], false) || !explained(r, key, held[key], true)) {
            print_ops(r, key);
            fail_msg("key %u holds %llx", key, (unsigned long long)held[key]);
        }
    }
    memcpy(r->held, held, sizeof held);
}

static void what_was_acknowledged_explains_what_is_there(void **state)
{
    const char *asked = getenv("KILL_ROUNDS");
    run r = {.kind = *state, .dir = test_dir_make(), .ops = calloc(OPS_MAX, sizeof *r.ops)};
    unsigned long rounds = asked != NULL ? strtoul(asked, NULL, 10) : WBRIG_SLOW ? r.kind->rounds / 3 : r.kind->rounds;
    test_rng rng = {.state = (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid()};
    blob_store *s;

    assert_non_null(r.ops);
    print_message("seed %llu, %lu rounds\n", (unsigned long long)rng.state, rounds);
    test_ok(run_open(&s, &r, false));
    test_ok(blob_store_close(s, NULL));
    for (unsigned long round = 0; round < rounds; round++) {
        test_watchdog(100);
        one_round(&r, &rng);
    }
    print_message("%llu operations; records written again: %llu, torn: %llu\n", (unsigned long long)r.told,
                  (unsigned long long)r.rewritten, (unsigned long long)r.torn);
    free(r.ops);
    test_dir_remove(r.dir);
}

#define KILL_TEST(name, sync_, rounds_, few_threads_)                                                                  \
    {                                                                                                                  \
        "what_was_acknowledged_explains_what_is_there: " name, what_was_acknowledged_explains_what_is_there, NULL,     \
            NULL, &(kind)                                                                                              \
        {                                                                                                              \
            .sync = (sync_), .rounds = (rounds_), .few_threads = (few_threads_)                                        \
        }                                                                                                              \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        KILL_TEST("synced each", BLOB_LOGSTORE_SYNC_EACH, 80, false),
        KILL_TEST("synced each, one thread", BLOB_LOGSTORE_SYNC_EACH, 30, true),
        KILL_TEST("synced in time", BLOB_LOGSTORE_SYNC_INTERVAL, 40, false),
        KILL_TEST("not synced", BLOB_LOGSTORE_SYNC_NEVER, 40, false),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
