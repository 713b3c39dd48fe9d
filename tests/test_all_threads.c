/* test_all_threads.c - every public function, from many threads at once, on the same stores, the same wrapper, the same contexts
 * and the same blobs. What races, a thread sanitizer tells (and helgrind); what answers wrongly is counted here.
 *
 * The other tests of threads look at one promise each; this one is here so that no function is left out: the last test
 * compares what is called below with the list of what the library exports. */
#include "s3sim.h"
#include "testutil.h"

#include "wbrig.h" /* WBRIG_SLOW */

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wbstore/wbstore.h>

enum { THREADS = 8, ROUNDS = WBRIG_SLOW ? 3 : 8, STORES = 5, KEYS = 3 };

typedef struct shared {
    char *dir;
    s3sim *sim;
    blob_store *stores[STORES]; /* memory, folder, log, server, addresses over memory */
    blob_store *buf, *base_mem, *base;
    wbstore *w;
    blob_ctx *ctx; /* never ends */
    blob *blob;    /* of all */
    atomic_uint wrong;
} shared;

static void right_at(shared *s, bool ok, int line)
{
    if (!ok && atomic_fetch_add(&s->wrong, 1) == 0)
        fprintf(stderr, "line %d is the first that is wrong\n", line);
}
#define RIGHT(s, ok) right_at((s), (ok), __LINE__)

/* Others put and delete the same keys: each of these is an answer. */
static void answers_at(shared *s, int rc, int line)
{
    right_at(s, rc == 0 || rc == BLOB_EXISTS || rc == BLOB_NOT_FOUND, line);
}
#define ANSWERS(s, rc) answers_at((s), (rc), __LINE__)

static blob_key key_of(unsigned n)
{
    static const char *const names[KEYS] = {"one", "two", "three"};

    return test_key(names[n % KEYS]);
}

/* ---- words, keys, blobs ---- */

static void release_it(void *data, void *arg)
{
    (void)arg;
    free(data);
}

static void with_words_and_keys(shared *s, unsigned index)
{
    char text[32], hex[64];
    unsigned char back[32], digest[32];
    blob_error error;
    size_t size;

    snprintf(text, sizeof text, "of thread %u", index);
    RIGHT(s, blob_fail(-EIO, (int64_t)index, "%s", text) == -EIO);
    blob_last_error(&error);
    RIGHT(s, error.status == -EIO && error.retry_after_ms == index && strcmp(error.text, text) == 0);
    RIGHT(s, strlen(blob_strerror(BLOB_CORRUPT)) > 0 && strlen(wbstore_version()) > 0);
    blob_key_hex(key_of(index), hex);
    RIGHT(s, blob_key_from_hex(hex, back, sizeof back, &size) == 0);
    RIGHT(s, blob_key_compare(blob_key_of(back, size), key_of(index)) == 0);
    blob_hash_sha256()->digest(text, strlen(text), digest);
}

static void with_blobs(shared *s, unsigned index)
{
    blob *held = blob_ref(s->blob), *copy, *made, *adopted;
    char *bytes = malloc(8);
    void *to;

    if (bytes == NULL)
        abort();
    RIGHT(s, held->size == 6 && memcmp(held->data, "shared", 6) == 0);
    RIGHT(s, blob_new_copy(&copy, &index, sizeof index) == 0 && memcmp(copy->data, &index, sizeof index) == 0);
    RIGHT(s, blob_new_alloc(&made, 8, &to) == 0);
    RIGHT(s, blob_new_adopt(&adopted, bytes, 8, release_it, NULL) == 0);
    blob_unref(copy);
    blob_unref(made);
    blob_unref(adopted);
    blob_unref(held);
}

/* ---- contexts ---- */

static void with_contexts(shared *s, unsigned index)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    blob_ctx *child = NULL, *grandchild = NULL;
    pthread_cond_t cond;
    int rc = 0;

    (void)index;
    RIGHT(s, blob_ctx_new(&child, s->ctx) == 0 && blob_ctx_new_timeout(&grandchild, child, 1) == 0);
    RIGHT(s, blob_ctx_fd(s->ctx) >= 0 && blob_ctx_fd(child) >= 0 && blob_ctx_remaining_ms(grandchild) <= 1);
    RIGHT(s, blob_ctx_status(s->ctx) == 0 && blob_cond_init(&cond) == 0);
    pthread_mutex_lock(&mutex);
    while (rc == 0)
        rc = blob_ctx_wait(grandchild, &cond, &mutex);
    pthread_mutex_unlock(&mutex);
    RIGHT(s, rc == -ETIMEDOUT);
    blob_ctx_cancel(child);
    RIGHT(s, blob_ctx_status(child) == -ECANCELED);
    pthread_cond_destroy(&cond);
    blob_ctx_free(grandchild);
    blob_ctx_free(child);
}

/* ---- stores ---- */

static int any_key(void *arg, blob_key key, uint64_t size)
{
    (void)arg;
    (void)key;
    (void)size;
    return 0;
}

static void with_store(shared *s, blob_store *store, unsigned n)
{
    blob_view data = blob_view_of("bytes", 5);
    blob_address a;
    uint64_t number;
    blob *b = NULL;
    int rc;

    ANSWERS(s, blob_store_put(store, s->ctx, key_of(n), data, 0));
    ANSWERS(s, blob_store_get(store, s->ctx, key_of(n + 1), &b));
    blob_unref(b);
    ANSWERS(s, blob_store_size(store, NULL, key_of(n), &number));
    ANSWERS(s, blob_store_put(store, NULL, key_of(n + 1), data, BLOB_REPLACE));
    RIGHT(s, blob_store_list(store, s->ctx, blob_key_of(NULL, 0), any_key, NULL) == 0);
    RIGHT(s, blob_store_len(store, NULL, &number) == 0);
    ANSWERS(s, blob_store_delete(store, s->ctx, key_of(n), n % 2 == 0 ? BLOB_LAZY : 0));
    rc = blob_store_cas_key(store, NULL, data, &a);
    RIGHT(s, rc == 0 || rc == BLOB_UNSUPPORTED);
    if (rc == 0)
        ANSWERS(s, blob_store_cas_put(store, s->ctx, data, &a));
}

static void with_stores(shared *s, unsigned index)
{
    for (unsigned i = 0; i < STORES; i++)
        with_store(s, s->stores[(i + index) % STORES], i + index);
}

static int any_finding(void *arg, const blob_logstore_finding *finding)
{
    (void)finding;
    ++*(unsigned *)arg;
    return 0;
}

static void with_log(shared *s, unsigned index)
{
    blob_logstore_info info = {.struct_size = sizeof info};
    unsigned findings = 0;
    blob *b = NULL;

    RIGHT(s, blob_logstore_get_info(s->stores[2], &info) == 0 && info.read_only == 0);
    RIGHT(s, blob_logstore_findings(s->stores[2], s->ctx, 1, any_finding, &findings) == 0 && findings == 0);
    ANSWERS(s, blob_logstore_salvage(s->stores[2], NULL, key_of(index), &b));
    blob_unref(b);
}

static void with_credentials(shared *s, unsigned index)
{
    char secret[32];

    snprintf(secret, sizeof secret, "secret of %u", index);
    RIGHT(s, blob_s3store_set_credentials(s->stores[3], "SIMACCESSKEY", secret, index % 2 == 0 ? "token" : NULL) == 0);
}

static blob_s3store_options s3_options(const shared *s)
{
    blob_s3store_options o = blob_s3store_options_default();

    o.endpoint = s3sim_url(s->sim);
    o.bucket = "bucket";
    o.access_key = "SIMACCESSKEY";
    o.secret_key = "secret";
    o.transport = blob_s3store_tcp();
    return o;
}

static int open_stores(const shared *s, const char *name, blob_store *out[STORES])
{
    blob_s3store_options o = s3_options(s);
    char path[2][1200];
    int rc;

    snprintf(path[0], sizeof path[0], "%s/%s-folder", s->dir, name);
    snprintf(path[1], sizeof path[1], "%s/%s-log", s->dir, name);
    if ((rc = blob_memstore_new(&out[0])) != 0 || (rc = blob_filestore_open(&out[1], path[0], NULL)) != 0 ||
        (rc = blob_logstore_open(&out[2], path[1], NULL)) != 0 || (rc = blob_s3store_open(&out[3], &o)) != 0)
        return rc;
    return blob_hashcas_new(&out[4], out[0], blob_hash_sha256());
}

static int close_stores(blob_store *stores[STORES])
{
    int rc = 0;

    for (unsigned i = STORES; i-- > 0;)
        rc = rc == 0 ? blob_store_close(stores[i], NULL) : rc;
    return rc;
}

/* Of its own, while others use theirs. */
static void with_life(shared *s, unsigned index)
{
    blob_store *own[STORES] = {NULL};
    char name[32];
    wbstore *w;

    snprintf(name, sizeof name, "own-%u", index);
    RIGHT(s, open_stores(s, name, own) == 0);
    RIGHT(s, wbstore_new(&w, s->ctx, own[4], own[2], NULL) == 0);
    RIGHT(s, wbstore_cas_put(w, NULL, "bytes", 5, NULL) == 0);
    RIGHT(s, wbstore_close(w, NULL) == 0);
    wbstore_free(w);
    RIGHT(s, close_stores(own) == 0);
}

/* ---- the wrapper ---- */

static void with_blobs_of_the_wrapper(shared *s, unsigned index)
{
    char text[48];
    size_t size = (size_t)snprintf(text, sizeof text, "a blob of %u, or the next", (index + 1) / 2);
    blob_address a;
    blob_key key;
    uint64_t number;
    blob *b = NULL;

    RIGHT(s, wbstore_cas_put_ticket(s->w, s->ctx, text, size, &a, &number) == 0 && number > 0);
    RIGHT(s, wbstore_wait(s->w, s->ctx, number) == 0);
    key = blob_address_key(&a);
    ANSWERS(s, wbstore_get(s->w, NULL, key, &b));
    blob_unref(b);
    ANSWERS(s, wbstore_size(s->w, NULL, key, &number));
    RIGHT(s, wbstore_wait_keys(s->w, NULL, &key, 1) == 0);
    ANSWERS(s, wbstore_put(s->w, NULL, key, blob_view_of(text, size), BLOB_REPLACE));
    ANSWERS(s, wbstore_delete(s->w, s->ctx, key));
    RIGHT(s, wbstore_cas_put(s->w, NULL, text, size, NULL) == 0);
}

static int any_pending(void *arg, const wbstore_pending_info *info)
{
    (void)arg;
    (void)info;
    return 0;
}

static void with_the_rest_of_the_wrapper(shared *s, unsigned index)
{
    wbstore_stats stats = {.struct_size = sizeof stats};
    uint64_t number;

    (void)index;
    RIGHT(s, wbstore_pause(s->w) == 0 && wbstore_resume(s->w) == 0);
    RIGHT(s, wbstore_list(s->w, NULL, blob_key_of(NULL, 0), any_key, NULL) == 0);
    RIGHT(s, wbstore_len(s->w, NULL, &number) == 0);
    RIGHT(s, wbstore_pending(s->w, any_pending, NULL) == 0);
    wbstore_get_stats(s->w, &stats);
    RIGHT(s, stats.accepted + stats.resumed == stats.sent + stats.deleted + stats.pending_blobs);
    (void)wbstore_safe_ticket(s->w);
    RIGHT(s, wbstore_buffer(s->w) == s->buf && wbstore_as_store(s->w) != NULL);
    RIGHT(s, wbstore_rescan(s->w, s->ctx) == 0 && wbstore_retry_parked(s->w) == 0);
    RIGHT(s, wbstore_sync(s->w, s->ctx) == 0);
}

/* ---- all of it ---- */

static void (*const acts[])(shared *s, unsigned index) = {
    with_words_and_keys,
    with_blobs,
    with_contexts,
    with_stores,
    with_log,
    with_credentials,
    with_life,
    with_blobs_of_the_wrapper,
    with_the_rest_of_the_wrapper,
};
enum { ACTS = sizeof acts / sizeof *acts };

static void do_all(void *arg, unsigned index)
{
    for (unsigned i = 0; i < ROUNDS * ACTS; i++)
        acts[(i + index) % ACTS](arg, index);
}

static void every_function_works_from_many_threads(void **state)
{
    shared s = {.dir = test_dir_make(), .sim = s3sim_start()};

    (void)state;
    test_ok(open_stores(&s, "all", s.stores));
    test_ok(blob_memstore_new(&s.buf));
    test_ok(blob_memstore_new(&s.base_mem));
    test_ok(blob_hashcas_new(&s.base, s.base_mem, blob_hash_sha256()));
    test_ok(blob_ctx_new(&s.ctx, NULL));
    test_ok(blob_new_copy(&s.blob, "shared", 6));
    test_ok(wbstore_new(&s.w, s.ctx, s.base, s.buf, NULL));
    test_threads_run(THREADS, do_all, &s);
    assert_int_equal(atomic_load(&s.wrong), 0);
    test_ok(wbstore_sync(s.w, NULL));
    assert_int_equal(test_len(s.buf), 0);
    assert_int_equal(test_len(s.base), THREADS / 2 + 1); /* the last thing that was done to each was a put */
    wbstore_free(s.w);
    blob_unref(s.blob);
    blob_ctx_free(s.ctx);
    test_ok(blob_store_close(s.base, NULL));
    test_ok(blob_store_close(s.base_mem, NULL));
    test_ok(blob_store_close(s.buf, NULL));
    test_ok(close_stores(s.stores));
    s3sim_stop(s.sim);
    test_dir_remove(s.dir);
}

/* ---- and nothing else ---- */

static char *contents(const char *name)
{
    char path[1200], *text = calloc(1, 1 << 16);
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", WBSTORE_SOURCES, name);
    f = fopen(path, "r");
    assert_true(f != NULL && text != NULL);
    assert_in_range(fread(text, 1, (1 << 16) - 1, f), 1, (1 << 16) - 2);
    fclose(f);
    return text;
}

static void no_function_that_the_library_exports_is_left_out(void **state)
{
    char *exports = contents("exports.txt"), *source = contents("test_all_threads.c"), *rest = exports, *name;
    unsigned count = 0;

    (void)state;
    while ((name = strsep(&rest, "\n")) != NULL) {
        char call[80];
        if (name[0] == '\0')
            continue;
        snprintf(call, sizeof call, "%s(", name);
        if (strstr(source, call) == NULL)
            fail_msg("%s is not called", name);
        count++;
    }
    assert_true(count > 50);
    free(exports);
    free(source);
}

static int set_up(void **state)
{
    (void)state;
    test_watchdog(250);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_function_works_from_many_threads, set_up),
        cmocka_unit_test(no_function_that_the_library_exports_is_left_out),
    };

    return cmocka_run_group_tests_name("every function, from many threads", tests, NULL, NULL);
}
