/* testutil.c - helpers of the test programs; see testutil.h. */
#include "testutil.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- watchdog ----------------------------------------------------------------------------------------------- */

static void tu_bark(int number)
{
    static const char line[] = "\nwatchdog: the test program hangs\n";
    ssize_t ignored = write(STDERR_FILENO, line, sizeof line - 1);

    (void)number;
    (void)ignored;
    abort();
}

void test_watchdog(unsigned seconds)
{
    struct sigaction action = {.sa_handler = tu_bark};

    sigemptyset(&action.sa_mask);
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    alarm(seconds * TEST_PATIENCE);
}

/* ---- folders ------------------------------------------------------------------------------------------------ */

char *test_dir_make(void)
{
    const char *parent = getenv("TMPDIR");
    char *dir;

    if (parent == NULL || parent[0] == '\0')
        parent = "/tmp";
    assert_true(asprintf(&dir, "%s/wbstore-test-XXXXXX", parent) > 0);
    if (mkdtemp(dir) == NULL)
        fail_msg("no folder %s: %s", dir, strerror(errno));
    return dir;
}

static int tu_remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

void test_dir_remove(char *dir)
{
    if (dir != NULL && nftw(dir, tu_remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
        fail_msg("cannot remove %s: %s", dir, strerror(errno));
    free(dir);
}

/* ---- bytes -------------------------------------------------------------------------------------------------- */

/* An odd constant and a mixing of high bits into low ones, twice: enough for payloads, no more is promised. */
uint64_t test_random(test_rng *rng)
{
    uint64_t x = rng->state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ (x >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    x = (x ^ (x >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ (x >> 32);
}

uint64_t test_random_below(test_rng *rng, uint64_t bound)
{
    return test_random(rng) % bound;
}

void test_fill(uint64_t seed, void *bytes, size_t size)
{
    test_rng rng = {seed};
    unsigned char *at = bytes;

    while (size > 0) {
        uint64_t word = test_random(&rng);
        size_t step = size < sizeof word ? size : sizeof word;
        for (size_t i = 0; i < step; i++)
            at[i] = (unsigned char)(word >> (8 * i));
        at += step;
        size -= step;
    }
}

void *test_payload(uint64_t seed, size_t size)
{
    void *bytes = malloc(size > 0 ? size : 1);

    assert_non_null(bytes);
    test_fill(seed, bytes, size);
    return bytes;
}

/* ---- keys --------------------------------------------------------------------------------------------------- */

blob_key test_key(const char *text)
{
    return blob_key_of(text, strlen(text));
}

test_hex test_hex_of(blob_key key)
{
    test_hex hex;

    blob_key_hex(key, hex.text);
    return hex;
}

blob_key test_unhex(const char *hex, unsigned char *room)
{
    size_t size;

    assert_int_equal(blob_key_from_hex(hex, room, BLOB_KEY_MAX, &size), 0);
    return blob_key_of(room, size);
}

/* ---- threads ------------------------------------------------------------------------------------------------ */

void test_thread_start(pthread_t *thread, void *(*body)(void *), void *arg)
{
    assert_int_equal(pthread_create(thread, NULL, body, arg), 0);
}

void *test_thread_join(pthread_t thread)
{
    void *result;

    assert_int_equal(pthread_join(thread, &result), 0);
    return result;
}

typedef struct tu_runner {
    void (*body)(void *arg, unsigned index);
    void *arg;
    unsigned index;
    pthread_barrier_t *start;
    pthread_t thread;
} tu_runner;

static void *tu_run(void *arg)
{
    tu_runner *runner = arg;

    pthread_barrier_wait(runner->start);
    runner->body(runner->arg, runner->index);
    return NULL;
}

void test_threads_run(unsigned count, void (*body)(void *arg, unsigned index), void *arg)
{
    tu_runner *runners = calloc(count, sizeof *runners);
    pthread_barrier_t start;

    assert_non_null(runners);
    assert_int_equal(pthread_barrier_init(&start, NULL, count), 0);
    for (unsigned i = 0; i < count; i++) {
        runners[i] = (tu_runner){.body = body, .arg = arg, .index = i, .start = &start};
        test_thread_start(&runners[i].thread, tu_run, &runners[i]);
    }
    for (unsigned i = 0; i < count; i++)
        test_thread_join(runners[i].thread);
    pthread_barrier_destroy(&start);
    free(runners);
}

static void *tu_later(void *arg)
{
    test_later *later = arg;

    if (later->text != NULL)
        later->status =
            blob_store_put(later->store, later->ctx, later->key, blob_view_of(later->text, strlen(later->text)), 0);
    else
        later->status = blob_store_delete(later->store, later->ctx, later->key, 0);
    return NULL;
}

void test_put_later(test_later *later, blob_store *s, blob_ctx *ctx, blob_key key, const char *text)
{
    *later = (test_later){.store = s, .ctx = ctx, .key = key, .text = text};
    test_thread_start(&later->thread, tu_later, later);
}

void test_delete_later(test_later *later, blob_store *s, blob_ctx *ctx, blob_key key)
{
    test_put_later(later, s, ctx, key, NULL);
}

int test_later_join(test_later *later)
{
    test_thread_join(later->thread);
    return later->status;
}

/* ---- stores ------------------------------------------------------------------------------------------------- */

void test_status_at(int got, int want, const char *what, const char *file, int line)
{
    blob_error error;

    if (got == want)
        return;
    blob_last_error(&error);
    print_error("%s: %d (%s), not %d (%s); %s\n", what, got, blob_strerror(got), want, blob_strerror(want),
                error.status == got ? error.text : "no detail");
    _fail(file, line);
}

void test_put(blob_store *s, blob_key key, const char *text)
{
    test_ok(blob_store_put(s, NULL, key, blob_view_of(text, strlen(text)), 0));
}

void test_expect(blob_store *s, blob_key key, const char *text)
{
    blob *b;

    test_ok(blob_store_get(s, NULL, key, &b));
    assert_int_equal(b->size, strlen(text));
    assert_memory_equal(b->data, text, b->size);
    blob_unref(b);
}

void test_expect_missing(blob_store *s, blob_key key)
{
    uint64_t size;
    blob *b;

    test_status(blob_store_get(s, NULL, key, &b), BLOB_NOT_FOUND);
    test_status(blob_store_size(s, NULL, key, &size), BLOB_NOT_FOUND);
}

bool test_has(blob_store *s, blob_key key)
{
    uint64_t size;
    int rc = blob_store_size(s, NULL, key, &size);

    test_status(rc, rc == BLOB_NOT_FOUND ? BLOB_NOT_FOUND : 0);
    return rc == 0;
}

uint64_t test_len(blob_store *s)
{
    uint64_t len;

    test_ok(blob_store_len(s, NULL, &len));
    return len;
}
