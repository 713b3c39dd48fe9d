/* test_dlopen.c - a host that loads the shared library, uses it and unloads it, a thousand times: it goes each time, and leaves
 * nothing behind: no thread, no descriptor, no key of a thread's, no mapping, no memory, no handler for a fork.
 *
 * Everything is looked up by name: the library that this program is linked with is another one. */
#include "wbrig.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = WBRIG_SLOW ? 100 : 1000, WARM = 20, LEAK_MAX = 100000 };

static char *dir;

/* The functions that are used, as the library has them. */
typedef struct library {
    void *handle;
    int (*memstore_new)(blob_store **out);
    int (*hashcas_new)(blob_store **out, blob_store *inner, const blob_hash *hash);
    int (*filestore_open)(blob_store **out, const char *dir, const blob_filestore_options *options);
    int (*logstore_open)(blob_store **out, const char *dir, const blob_logstore_options *options);
    const blob_hash *(*sha256)(void);
    int (*close)(blob_store *s, blob_ctx *ctx);
    int (*get)(blob_store *s, blob_ctx *ctx, blob_key key, blob **out);
    int (*wb_new)(wbstore **out, blob_ctx *ctx, blob_store *base, blob_store *buf, const wbstore_options *options);
    int (*cas_put)(wbstore *w, blob_ctx *ctx, const void *data, size_t size, blob_address *address);
    int (*sync)(wbstore *w, blob_ctx *ctx);
    void (*wb_free)(wbstore *w);
    int (*ctx_new)(blob_ctx **out, blob_ctx *parent);
    int (*ctx_fd)(blob_ctx *ctx);
    void (*ctx_free)(blob_ctx *ctx);
    void (*last_error)(blob_error *out);
} library;

static void look_up(const library *l, const char *name, void *function)
{
    void *found = dlsym(l->handle, name);

    if (found == NULL)
        fail_msg("no %s", name);
    memcpy(function, &found, sizeof found);
}

static void load(library *l)
{
    if ((l->handle = dlopen(WBSTORE_LIBRARY, RTLD_NOW | RTLD_LOCAL)) == NULL)
        fail_msg("%s", dlerror());
    look_up(l, "blob_memstore_new", &l->memstore_new);
    look_up(l, "blob_hashcas_new", &l->hashcas_new);
    look_up(l, "blob_filestore_open", &l->filestore_open);
    look_up(l, "blob_logstore_open", &l->logstore_open);
    look_up(l, "blob_hash_sha256", &l->sha256);
    look_up(l, "blob_store_close", &l->close);
    look_up(l, "blob_store_get", &l->get);
    look_up(l, "wbstore_new", &l->wb_new);
    look_up(l, "wbstore_cas_put", &l->cas_put);
    look_up(l, "wbstore_sync", &l->sync);
    look_up(l, "wbstore_free", &l->wb_free);
    look_up(l, "blob_ctx_new", &l->ctx_new);
    look_up(l, "blob_ctx_fd", &l->ctx_fd);
    look_up(l, "blob_ctx_free", &l->ctx_free);
    look_up(l, "blob_last_error", &l->last_error);
}

static void unload(library *l)
{
    assert_int_equal(dlclose(l->handle), 0);
#ifdef __GLIBC__ /* elsewhere a library may stay */
    assert_null(dlopen(WBSTORE_LIBRARY, RTLD_NOW | RTLD_NOLOAD));
#endif
}

/* A wrapper with its threads, a context with its descriptor, a failure with its words in this thread. */
static void use(const library *l, blob_store *buf)
{
    blob_store *mem, *base;
    blob *b = NULL;
    blob_error error;
    blob_ctx *ctx;
    wbstore *w;

    test_ok(l->memstore_new(&mem));
    test_ok(l->hashcas_new(&base, mem, l->sha256()));
    test_ok(l->ctx_new(&ctx, NULL));
    assert_true(l->ctx_fd(ctx) >= 0);
    test_ok(l->wb_new(&w, ctx, base, buf, NULL));
    test_ok(l->cas_put(w, NULL, "bytes", 5, NULL));
    test_ok(l->cas_put(w, ctx, "more bytes", 10, NULL));
    test_ok(l->sync(w, NULL));
    assert_int_equal(l->get(mem, NULL, test_key("none"), &b), BLOB_NOT_FOUND);
    l->last_error(&error);
    assert_int_equal(error.status, BLOB_NOT_FOUND);
    l->wb_free(w);
    l->ctx_free(ctx);
    test_ok(l->close(base, NULL));
    test_ok(l->close(mem, NULL));
}

static void use_on_a_log(const library *l)
{
    blob_store *buf, *file;
    char path[1024];

    snprintf(path, sizeof path, "%s/log", dir);
    test_ok(l->logstore_open(&buf, path, NULL));
    use(l, buf);
    test_ok(l->close(buf, NULL));
    snprintf(path, sizeof path, "%s/file", dir);
    test_ok(l->filestore_open(&file, path, NULL));
    test_ok(l->close(file, NULL));
}

static void use_in_memory(const library *l)
{
    blob_store *buf;

    test_ok(l->memstore_new(&buf));
    use(l, buf);
    test_ok(l->close(buf, NULL));
}

/* ---- what may be left behind ---- */

typedef struct traces {
    unsigned descriptors, keys, mappings;
    size_t memory;
} traces;

static unsigned names_in(const char *folder)
{
    DIR *d = opendir(folder);
    unsigned count = 0;

    assert_non_null(d);
    while (readdir(d) != NULL)
        count++;
    closedir(d);
    return count;
}

static unsigned keys_left(void)
{
    static pthread_key_t keys[PTHREAD_KEYS_MAX];
    unsigned count = 0;

    while (count < PTHREAD_KEYS_MAX && pthread_key_create(&keys[count], NULL) == 0)
        count++;
    for (unsigned i = 0; i < count; i++)
        pthread_key_delete(keys[i]);
    return count;
}

static unsigned mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    char line[4096];
    unsigned count = 0;

    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL)
        count += strstr(line, "libwbstore") != NULL;
    fclose(f);
    return count;
}

static unsigned threads(void)
{
    return names_in("/proc/self/task");
}

static traces look(void)
{
    traces t = {.descriptors = names_in("/proc/self/fd"), .keys = keys_left()};

    t.mappings = mappings();
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
    t.memory = mallinfo2().uordblks;
#endif
    return t;
}

static void nothing_is_left(const traces *before)
{
    traces after = look();

    assert_int_equal(after.descriptors, before->descriptors);
    assert_int_equal(after.keys, before->keys);
    assert_int_equal(after.mappings, before->mappings);
    assert_true(after.memory < before->memory + LEAK_MAX);
}

/* What a library leaves for forks would be called into nothing. */
static void a_child_is_fine(void)
{
    pid_t child = fork();
    int status = 1;

    if (child == 0)
        _exit(0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void a_thousand_times_loaded_used_and_unloaded(void **state)
{
    unsigned threads_before = 0;
    traces before = {.keys = 0};
    library l;

    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++) {
        load(&l);
        if (i % 20 == 0)
            use_on_a_log(&l);
        else
            use_in_memory(&l);
        unload(&l);
        if (i == WARM) { /* what comes once has come, a sanitizer's thread too */
            before = look();
            threads_before = threads();
        }
        if (i % 100 == WARM)
            a_child_is_fine();
    }
    nothing_is_left(&before);
    while (threads() > threads_before) /* those that were joined take a moment to vanish */
        sched_yield();
}

/* ---- threads of the host that outlive the library ---- */

static void use_on_a_thread(void *arg, unsigned index)
{
    (void)index;
    for (unsigned i = 0; i < 10; i++) {
        library *l = arg;
        blob_store *s;
        blob *b;
        if (l->memstore_new(&s) != 0 || l->get(s, NULL, blob_key_of("k", 1), &b) != BLOB_NOT_FOUND ||
            l->close(s, NULL) != 0)
            abort();
    }
}

typedef struct meeting {
    library l;
    pthread_barrier_t used, unloaded;
} meeting;

static void use_and_outlive(void *arg, unsigned index)
{
    meeting *m = arg;

    use_on_a_thread(&m->l, index);
    pthread_barrier_wait(&m->used);
    if (index == 0 && dlclose(m->l.handle) != 0)
        abort();
    pthread_barrier_wait(&m->unloaded);
}

static void threads_that_used_it_may_end_after_it_is_gone(void **state)
{
    meeting m;

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        pthread_barrier_init(&m.used, NULL, 4);
        pthread_barrier_init(&m.unloaded, NULL, 4);
        load(&m.l);
        test_threads_run(4, use_and_outlive, &m);
        pthread_barrier_destroy(&m.used);
        pthread_barrier_destroy(&m.unloaded);
    }
}

static int set_up(void **state)
{
    (void)state;
    test_watchdog(250);
    dir = test_dir_make();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_dir_remove(dir);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_thousand_times_loaded_used_and_unloaded),
        TEST(threads_that_used_it_may_end_after_it_is_gone),
    };

    return cmocka_run_group_tests_name("loaded at run time", tests, NULL, NULL);
}
