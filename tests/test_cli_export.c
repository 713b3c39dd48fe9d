/* test_cli_export.c - export: every blob of the buffer becomes a file, whole or not at all; no file is overwritten; what
 * is damaged is saved under a name that says so; a log can be exported beside its host. */
#include "command.h"
#include "testutil.h"

#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wbstore/wbstore.h>

static const char first[] = "the first of the blobs", second[] = "the second of the blobs", third[] = "the third";

static void put_three(void)
{
    blob_store *buffer = buffer_open();

    put_text(buffer, first);
    put_text(buffer, second);
    put_text(buffer, third);
    test_ok(blob_store_close(buffer, NULL));
}

static const char *exported(const char *folder, const char *text, const char *suffix)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s%s", folder, address_of(text), suffix);
    return path;
}

static void expect_file(const char *path, const char *want)
{
    size_t size;
    char *bytes = file_read(path, &size);

    if (bytes == NULL)
        print_error("not there: %s\n", path);
    assert_non_null(bytes);
    assert_int_equal(size, strlen(want));
    assert_memory_equal(bytes, want, size);
    free(bytes);
}

static void every_blob_becomes_a_file(void **state)
{
    command_end end = {0};

    (void)state;
    put_three();
    unsetenv("WBSTORE_BASE");                      /* needs none */
    for (unsigned round = 0; round < 2; round++) { /* and can be repeated */
        RUN(&end, "export", "-o", "out/deep");
        EXPECT(&end, 0);
        assert_string_equal(end.out, "3 blobs saved in out/deep, 0 damaged, 0 unreadable\n");
        assert_string_equal(end.err, "");
        expect_file(exported("out/deep", first, ""), first);
        expect_file(exported("out/deep", second, ""), second);
        expect_file(exported("out/deep", third, ""), third);
        assert_int_equal(folder_count("out/deep"), 3); /* no temporary stays */
    }
    assert_int_equal(blobs_in("buffer"), 3); /* and the blobs stay */
    command_end_free(&end);
}

static void an_empty_buffer_is_an_empty_folder(void **state)
{
    command_end end = {0};

    (void)state;
    RUN(&end, "export", "-o", "out");
    EXPECT(&end, 3);
    SAYS(&end, of_buffer("wbstore: export: ", ": no such folder"));
    assert_false(file_exists("out") || file_exists("buffer"));
    test_ok(blob_store_close(buffer_open(), NULL));
    RUN(&end, "export", "-o", "out");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "0 blobs saved in out, 0 damaged, 0 unreadable\n");
    assert_true(file_exists("out"));
    command_end_free(&end);
}

static void blobs_can_be_named(void **state)
{
    char one[65], missing[65];
    command_end end = {0};

    (void)state;
    put_three();
    snprintf(one, sizeof one, "%s", address_of(first));
    snprintf(missing, sizeof missing, "%s", address_of("missing"));
    RUN(&end, "export", "-o", "out", one);
    EXPECT(&end, 0);
    assert_string_equal(end.out, "1 blob saved in out, 0 damaged, 0 unreadable\n");
    assert_int_equal(folder_count("out"), 1);
    RUN(&end, "export", "-o", "out", missing, address_of(second));
    EXPECT(&end, 1);
    SAYS(&end, missing);
    SAYS(&end, of_buffer(": not found in ", "\n"));
    assert_string_equal(end.out, "1 blob saved in out, 0 damaged, 0 unreadable\n");
    expect_file(exported("out", second, ""), second);
    command_end_free(&end);
}

static void a_file_that_is_there_is_never_overwritten(void **state)
{
    command_end end = {0};
    struct stat st;

    (void)state;
    put_three();
    assert_int_equal(mkdir("out", 0777), 0);
    file_text("mine", second);
    file_text(exported("out", first, ""), "mine, and of another size");
    assert_int_equal(symlink("../mine", exported("out", second, "")), 0);
    RUN(&end, "export", "-o", "out");
    EXPECT(&end, 3);
    SAYS(&end, exported("out", first, ": something else is there, and stays: move it away"));
    SAYS(&end, exported("out", second, ": something else is there"));
    assert_string_equal(end.out, "1 blob saved in out, 0 damaged, 0 unreadable\n");
    expect_file(exported("out", first, ""), "mine, and of another size");
    assert_int_equal(lstat(exported("out", second, ""), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    expect_file(exported("out", third, ""), third);
    assert_int_equal(folder_count("out"), 3);

    /* Not even one of the same size. */
    assert_int_equal(unlink(exported("out", first, "")), 0);
    file_text(exported("out", first, ""), "THE FIRST OF THE BLOBS");
    RUN(&end, "export", "-o", "out");
    EXPECT(&end, 3);
    SAYS(&end, exported("out", first, ": something else is there"));
    expect_file(exported("out", first, ""), "THE FIRST OF THE BLOBS");
    command_end_free(&end);
}

static void a_damaged_blob_is_saved_under_a_name_that_says_so(void **state)
{
    command_end end = {0};
    char line[256];

    (void)state;
    put_three();
    damage_in("buffer", second);
    for (unsigned round = 0; round < 2; round++) {
        RUN(&end, "export", "-o", "out");
        EXPECT(&end, 1);
        assert_string_equal(end.out, "2 blobs saved in out, 1 damaged, 0 unreadable\n");
        snprintf(line, sizeof line, "wbstore: export: %s: ", address_of(second));
        SAYS(&end, line);
        snprintf(line, sizeof line, ": what is left of it is saved as %s.damaged\n", address_of(second));
        SAYS(&end, line);
        expect_file(exported("out", second, ".damaged"), "the second Of the blobs");
        assert_false(file_exists(exported("out", second, "")));
        assert_int_equal(folder_count("out"), 3);
    }
    RUN(&end, "export", "-o", "one", address_of(second));
    EXPECT(&end, 1);
    assert_string_equal(end.out, "0 blobs saved in one, 1 damaged, 0 unreadable\n");
    command_end_free(&end);
}

static void put_key(blob_store *s, size_t size, const char *text)
{
    unsigned char bytes[BLOB_KEY_MAX];

    memset(bytes, 0xab, sizeof bytes);
    test_put(s, blob_key_of(bytes, size), text);
}

/* The file of a key of put_key: folders of 224 digits, and then so many. */
static const char *place_of_key(size_t folders, size_t digits)
{
    static char path[1024];
    char all[225];
    size_t used = (size_t)snprintf(path, sizeof path, "out/");

    for (size_t i = 0; i < 224; i++)
        all[i] = "ab"[i % 2];
    all[224] = '\0';
    while (folders-- > 0)
        used += (size_t)snprintf(path + used, sizeof path - used, "%s+/", all);
    snprintf(path + used, sizeof path - used, "%.*s", (int)digits, all);
    return path;
}

static void keys_of_every_length_have_a_place(void **state)
{
    blob_store *buffer = buffer_open();
    command_end end = {0};

    (void)state;
    put_key(buffer, 0, "none");
    put_key(buffer, 1, "one");
    put_key(buffer, 112, "what a name holds");
    put_key(buffer, 113, "and one more");
    put_key(buffer, 255, "the longest");
    test_ok(blob_store_close(buffer, NULL));
    RUN(&end, "export", "-o", "out");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "5 blobs saved in out, 0 damaged, 0 unreadable\n");
    expect_file("out/empty-key", "none");
    expect_file("out/ab", "one");
    expect_file(place_of_key(0, 224), "what a name holds");
    expect_file(place_of_key(1, 2), "and one more");
    expect_file(place_of_key(2, 62), "the longest");
    assert_int_equal(folder_count("out"), 4);

    RUN(&end, "export", "-o", "one", "empty-key");
    EXPECT(&end, 0);
    expect_file("one/empty-key", "none");
    command_end_free(&end);
}

/* Files may grow to four bytes: what is larger fails, as it does when a disk is full. */
static void a_failed_write_leaves_no_file(void **state)
{
    struct rlimit before, four;
    command_end end = {0};

    (void)state;
    put_three();
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    four = before;
    four.rlim_cur = 4;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &four), 0);
    RUN(&end, "export", "-o", "out");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT(&end, 3);
    SAYS(&end, "wbstore: export: out/");
    SAYS(&end, ": File too large: ");
    assert_int_equal(folder_count("out"), 0);
    command_end_free(&end);
}

static void it_must_be_a_folder_and_not_the_buffer(void **state)
{
    command_end end = {0};

    (void)state;
    put_three();
    file_text("f", "a file");
    RUN(&end, "export", "-o", "f");
    EXPECT(&end, 3);
    SAYS(&end, "wbstore: export: f: Not a directory: name a folder");
    RUN(&end, "export", "-o", "f/x");
    EXPECT(&end, 3);
    RUN(&end, "export", "-o", "./buffer");
    EXPECT(&end, 2);
    SAYS(&end, "wbstore: export: ./buffer is the buffer: export into another folder");
    assert_int_equal(blobs_in("buffer"), 3);
    command_end_free(&end);
}

static void a_log_is_exported_beside_its_host(void **state)
{
    blob_store *host = buffer_open();
    command_end end = {0};

    (void)state;
    put_text(host, first);
    RUN(&end, "export", "-o", "out");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "1 blob saved in out, 0 damaged, 0 unreadable\n");
    put_text(host, second);
    put_key(host, 3, "under a key");
    damage_in("buffer", first);
    RUN(&end, "export", "-o", "out");
    EXPECT(&end, 1);
    assert_string_equal(end.out, "2 blobs saved in out, 1 damaged, 0 unreadable\n");
    expect_file(exported("out", first, ""), first); /* of the first time */
    expect_file(exported("out", first, ".damaged"), "the first oF the blobs");
    expect_file(exported("out", second, ""), second);
    expect_file("out/ababab", "under a key");
    put_text(host, third); /* nothing was locked or changed */
    assert_int_equal(test_len(host), 4);
    test_ok(blob_store_close(host, NULL));
    command_end_free(&end);
}

typedef struct busy_host {
    blob_store *store;
    atomic_bool stop;
    atomic_uint rounds;
    int status;
} busy_host;

/* Puts, and removes what it put a while ago: so segments come and go under the reader. */
static void *keep_busy(void *arg)
{
    busy_host *host = arg;
    static char text[4096];

    for (unsigned i = 0; !atomic_load(&host->stop) && host->status == 0; i++) {
        memset(text, 'a' + (int)(i % 26), sizeof text);
        memcpy(text, &i, sizeof i);
        host->status = blob_store_put(host->store, NULL, blob_key_of(&i, sizeof i), blob_view_of(text, sizeof text), 0);
        if (host->status == 0 && i >= 100) {
            unsigned old = i - 100;

            host->status = blob_store_delete(host->store, NULL, blob_key_of(&old, sizeof old), BLOB_LAZY);
        }
        atomic_store(&host->rounds, i);
    }
    return NULL;
}

/* Each file has the bytes of its own key, all of them. */
static void expect_files_of(const char *folder)
{
    DIR *names = opendir(folder);
    char path[512];

    assert_non_null(names);
    for (const struct dirent *entry; (entry = readdir(names)) != NULL;) {
        unsigned char key[sizeof(unsigned)];
        size_t size, key_size;
        char *bytes;

        if (entry->d_name[0] == '.')
            continue;
        test_ok(blob_key_from_hex(entry->d_name, key, sizeof key, &key_size));
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        assert_non_null(bytes = file_read(path, &size));
        assert_int_equal(size, 4096);
        assert_memory_equal(bytes, key, sizeof key);
        assert_int_equal(bytes[size - 1], bytes[sizeof key]);
        free(bytes);
    }
    closedir(names);
}

/* Whole blobs and no damage, at any moment of a host that writes as fast as it can. */
static void a_log_is_looked_at_while_its_host_writes(void **state)
{
    blob_logstore_options options = blob_logstore_options_default();
    static busy_host host; /* a test that fails leaves the thread with it */
    command_end end = {0};
    pthread_t thread;
    char folder[32];

    (void)state;
    options.segment_bytes = (uint64_t)1 << 20;
    options.sync = BLOB_LOGSTORE_SYNC_NEVER;
    test_ok(blob_logstore_open(&host.store, "buffer", &options));
    test_thread_start(&thread, keep_busy, &host);
    while (atomic_load(&host.rounds) < 200)
        sched_yield();
    for (unsigned i = 0; i < 10; i++) {
        snprintf(folder, sizeof folder, "out%u", i);
        RUN(&end, "export", "-o", folder);
        EXPECT(&end, 0);
        assert_string_equal(end.err, "");
        expect_files_of(folder);
        RUN(&end, "verify");
        EXPECT(&end, 0);
        assert_string_equal(end.err, "");
        RUN(&end, "status");
        EXPECT(&end, 0);
    }
    atomic_store(&host.stop, true);
    test_thread_join(thread);
    test_ok(host.status);
    test_ok(blob_store_close(host.store, NULL));
    command_end_free(&end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE_BOTH(every_blob_becomes_a_file),
        PROMISE_BOTH(an_empty_buffer_is_an_empty_folder),
        PROMISE_BOTH(blobs_can_be_named),
        PROMISE_BOTH(a_file_that_is_there_is_never_overwritten),
        PROMISE_BOTH(a_damaged_blob_is_saved_under_a_name_that_says_so),
        PROMISE_BOTH(keys_of_every_length_have_a_place),
        PROMISE_BOTH(a_failed_write_leaves_no_file),
        PROMISE_BOTH(it_must_be_a_folder_and_not_the_buffer),
        PROMISE(a_log_is_exported_beside_its_host),
        PROMISE(a_log_is_looked_at_while_its_host_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
