/* testutil.h - what the test programs share: folders, payloads, hex, threads, a watchdog, shorthands that assert.
 * The functions that assert do so with cmocka, so they belong on the main thread of a test. */
#ifndef TESTUTIL_H
#define TESTUTIL_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <wbstore/blob_store.h>

/* A hung program dies with a line on stderr instead of standing there for ever. Each call starts the time anew; 0 ends
 * it. Sanitizers and emulators get TEST_PATIENCE times as long. It is an alarm: a forked child has none, and must start its
 * own. */
void test_watchdog(unsigned seconds);

/* A new empty folder under $TMPDIR or /tmp; remove deletes what is in it and frees the name. NULL is fine. */
char *test_dir_make(void);
void test_dir_remove(char *dir);

/* Pseudo-random numbers, the same for the same seed on every machine. */
typedef struct test_rng {
    uint64_t state;
} test_rng;
uint64_t test_random(test_rng *rng);
uint64_t test_random_below(test_rng *rng, uint64_t bound); /* bound > 0 */
void test_fill(uint64_t seed, void *bytes, size_t size);
void *test_payload(uint64_t seed, size_t size); /* to be freed */

/* Keys. */
blob_key test_key(const char *text); /* the text without its zero */
typedef struct test_hex {
    char text[2 * BLOB_KEY_MAX + 1];
} test_hex;
test_hex test_hex_of(blob_key key);                        /* test_hex_of(key).text */
blob_key test_unhex(const char *hex, unsigned char *room); /* room: BLOB_KEY_MAX bytes. Asserts that it is hex */

/* Threads. */
void test_thread_start(pthread_t *thread, void *(*body)(void *), void *arg);
void *test_thread_join(pthread_t thread);
/* Runs body on count threads and waits for all: body(arg, 0), body(arg, 1) ... begin together. */
void test_threads_run(unsigned count, void (*body)(void *arg, unsigned index), void *arg);

/* A put or a delete on a thread of its own, to be joined for its status. key and text are borrowed until then. */
typedef struct test_later {
    pthread_t thread;
    blob_store *store;
    blob_ctx *ctx;
    blob_key key;
    const char *text; /* NULL: a delete */
    int status;
} test_later;
void test_put_later(test_later *later, blob_store *s, blob_ctx *ctx, blob_key key, const char *text);
void test_delete_later(test_later *later, blob_store *s, blob_ctx *ctx, blob_key key);
int test_later_join(test_later *later);

/* Calls of a store that must go well, and what a test asks most often. text is the blob's bytes. */
void test_put(blob_store *s, blob_key key, const char *text);
void test_expect(blob_store *s, blob_key key, const char *text); /* get returns exactly this */
void test_expect_missing(blob_store *s, blob_key key);           /* get and size say not found */
bool test_has(blob_store *s, blob_key key);                      /* size says 0 or not found, nothing else */
uint64_t test_len(blob_store *s);

/* Asserts a status and names both when they differ; with the thread's error detail. */
#define test_status(got, want) test_status_at((got), (want), #got, __FILE__, __LINE__)
void test_status_at(int got, int want, const char *what, const char *file, int line);
#define test_ok(got) test_status(got, 0)

#endif
