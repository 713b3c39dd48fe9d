/* test_kill.c - a host that puts through files is killed again and again, at moments that nobody chose: every blob whose
 * put returned is found afterwards, in the buffer or in the base, whole.
 *
 * The child puts from several threads and writes each address that was accepted into a pipe; the parent reads some of
 * them, kills the child, reads the rest, and looks. Each round resumes what the one before left behind. The seed is
 * printed, and KILL_ROUNDS asks for more rounds. */
#include "testutil.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <wbstore/wbstore.h>

enum { PUTTERS = 3, ROUNDS = 150 };

typedef struct stores {
    blob_store *base_files, *base, *buf;
} stores;

typedef struct accepted {
    blob_address *addresses;
    size_t count, room;
} accepted;

static char *kill_path(const char *dir, const char *name)
{
    char *path;

    if (asprintf(&path, "%s/%s", dir, name) < 0)
        abort();
    return path;
}

static int stores_open(stores *s, const char *dir)
{
    blob_filestore_options options = blob_filestore_options_default();
    char *base = kill_path(dir, "base"), *buf = kill_path(dir, "buffer");
    int rc = blob_filestore_open(&s->base_files, base, &options);

    if (rc == 0)
        rc = blob_hashcas_new(&s->base, s->base_files, blob_hash_sha256());
    if (rc == 0)
        rc = blob_filestore_open(&s->buf, buf, &options);
    free(base);
    free(buf);
    return rc;
}

static void stores_close(stores *s)
{
    test_ok(blob_store_close(s->buf, NULL));
    test_ok(blob_store_close(s->base, NULL));
    test_ok(blob_store_close(s->base_files, NULL));
}

/* ---- the child ---- */

typedef struct host {
    wbstore *w;
    int pipe;
    uint64_t seed;
} host;

static void *host_puts(void *arg)
{
    const host *h = arg;
    test_rng rng = {.state = h->seed};

    for (;;) {
        uint64_t seed = test_random(&rng);
        size_t size = (size_t)test_random_below(&rng, 4) == 0 ? (size_t)test_random_below(&rng, 60000)
                                                              : (size_t)test_random_below(&rng, 3000);
        unsigned char *bytes = test_payload(seed, size);
        blob_address address;

        if (wbstore_cas_put(h->w, NULL, bytes, size, &address) != 0 ||
            write(h->pipe, address.bytes, address.size) != (ssize_t)address.size)
            _exit(3);
        free(bytes);
    }
    return NULL;
}

static void host_run(const char *dir, int pipe, uint64_t seed)
{
    host hosts[PUTTERS];
    pthread_t threads[PUTTERS];
    stores s;
    wbstore *w;

    if (stores_open(&s, dir) != 0 || wbstore_new(&w, NULL, s.base, s.buf, NULL) != 0)
        _exit(2);
    for (unsigned i = 0; i < PUTTERS; i++) {
        hosts[i] = (host){.w = w, .pipe = pipe, .seed = seed * PUTTERS + i};
        if (pthread_create(&threads[i], NULL, host_puts, &hosts[i]) != 0)
            _exit(2);
    }
    for (;;)
        pause();
}

/* ---- the parent ---- */

static void accepted_add(accepted *a, const unsigned char *bytes)
{
    if (a->count == a->room) {
        a->room = a->room > 0 ? 2 * a->room : 1024;
        a->addresses = realloc(a->addresses, a->room * sizeof *a->addresses);
        assert_non_null(a->addresses);
    }
    a->addresses[a->count].size = blob_hash_sha256()->size;
    memcpy(a->addresses[a->count++].bytes, bytes, blob_hash_sha256()->size);
}

/* Reads one accepted address; false at the end of the pipe. Writes of an address are whole: they are below PIPE_BUF. */
static bool accepted_read(accepted *a, int pipe)
{
    unsigned char bytes[BLOB_ADDRESS_MAX];
    size_t want = blob_hash_sha256()->size, have = 0;

    while (have < want) {
        ssize_t n = read(pipe, bytes + have, want - have);
        if (n < 0 && errno == EINTR)
            continue;
        assert_true(n >= 0);
        if (n == 0) {
            assert_int_equal(have, 0);
            return false;
        }
        have += (size_t)n;
    }
    accepted_add(a, bytes);
    return true;
}

static void spin_for(uint64_t us)
{
    struct timespec delay = {.tv_nsec = (long)us * 1000};

    nanosleep(&delay, NULL); /* when the kill comes is what varies; nothing waits for it */
}

static void one_round(const char *dir, accepted *a, test_rng *rng)
{
    uint64_t seed = test_random(rng), reads = test_random_below(rng, 40), us = test_random_below(rng, 3000);
    int fds[2], status;
    pid_t child;

    assert_int_equal(pipe(fds), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(fds[0]);
        host_run(dir, fds[1], seed);
    }
    close(fds[1]);
    while (reads > 0 && accepted_read(a, fds[0]))
        reads--;
    spin_for(us);
    assert_int_equal(kill(child, SIGKILL), 0);
    while (accepted_read(a, fds[0]))
        continue;
    close(fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void found_whole(blob_store *in, blob_store *else_in, const blob_address *address)
{
    unsigned char digest[BLOB_ADDRESS_MAX];
    blob *b;
    int rc = blob_store_get(in, NULL, blob_address_key(address), &b);

    if (rc == BLOB_NOT_FOUND && else_in != NULL)
        rc = blob_store_get(else_in, NULL, blob_address_key(address), &b);
    test_ok(rc);
    blob_hash_sha256()->digest(b->data, b->size, digest);
    assert_memory_equal(digest, address->bytes, address->size);
    blob_unref(b);
}

static void what_was_accepted_survives_kills_at_random_moments(void **state)
{
    const char *asked = getenv("KILL_ROUNDS");
    unsigned long rounds = asked != NULL ? strtoul(asked, NULL, 10) : ROUNDS;
    test_rng rng = {.state = (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid()};
    char *dir = test_dir_make();
    accepted a = {.addresses = NULL};
    uint64_t left = 0;
    wbstore *w;
    stores s;
    (void)state;

    print_message("seed %llu, %lu rounds\n", (unsigned long long)rng.state, rounds);
    for (unsigned long round = 0; round < rounds; round++) {
        size_t first = a.count;
        one_round(dir, &a, &rng);
        test_ok(stores_open(&s, dir));
        for (size_t i = first; i < a.count; i++)
            found_whole(s.buf, s.base, &a.addresses[i]);
        left += test_len(s.buf);
        stores_close(&s);
    }
    test_ok(stores_open(&s, dir));
    test_ok(wbstore_new(&w, NULL, s.base, s.buf, NULL));
    test_ok(wbstore_sync(w, NULL));
    assert_int_equal(test_len(s.buf), 0);
    for (size_t i = 0; i < a.count; i++)
        found_whole(s.base, NULL, &a.addresses[i]);
    print_message("%zu blobs accepted, %.1f a round left in the buffer\n", a.count, (double)left / (double)rounds);
    assert_true(left > 0); /* or the kills came too late to test anything */
    wbstore_free(w);
    stores_close(&s);
    free(a.addresses);
    test_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_accepted_survives_kills_at_random_moments),
    };

    test_watchdog(280);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
