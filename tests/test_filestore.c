/* test_filestore.c - filestore as a store: keys of every form, whole blobs, plain files, foreign files. The other
 * test_filestore_*.c have its folder, listings, durability and failures. */
#include "testkit/conform_int.h"
#include "filestore_test.h"

/* A key of this many bytes that shares its beginning with those of other lengths. */
static blob_key key_of_size(size_t size, unsigned char last)
{
    static unsigned char bytes[BLOB_KEY_MAX];

    memset(bytes, 0xab, sizeof bytes);
    if (size > 0)
        bytes[size - 1] = last;
    return blob_key_of(bytes, size);
}

static void every_key_has_a_place_of_its_own_and_back(void **state)
{
    unsigned char back[BLOB_KEY_MAX];
    char folder[FS_PATH_MAX], *end;
    size_t size;
    fs_path path;

    (void)state;
    for (size_t length = 1; length <= BLOB_KEY_MAX; length++) {
        for (unsigned last = 0; last < 256; last++) {
            blob_key key = key_of_size(length, (unsigned char)last);

            wb_fs_path(&path, key);
            assert_true(strlen(path.text) < sizeof path.text);
            assert_int_equal(path.fan, *(const unsigned char *)key.data);
            /* Names below the fan-out folder lead back to the key. */
            memcpy(folder, path.text, sizeof folder);
            size = 0;
            for (char *name = strtok_r(folder + 3, "/", &end); name != NULL; name = strtok_r(NULL, "/", &end)) {
                assert_true(strlen(name) <= FS_NAME_MAX);
                assert_int_equal(wb_fs_name_parse(name, path.fan, back, &size),
                                 name[strlen(name) - 1] == '+' ? FS_FOLDER : FS_BLOB);
            }
            assert_int_equal(size, length);
            assert_memory_equal(back, key.data, length);
        }
    }
}

static void names_of_another_form_are_foreign(void **state)
{
    static const char *const foreign[] = {"",
                                          "a",
                                          "abc",
                                          "AB",
                                          "aB",
                                          "ab.txt",
                                          "ab+",
                                          "+",
                                          "cdab",
                                          "ab~",
                                          ".ab",
                                          "ab ",
                                          "zz",
                                          "LOCK",
                                          "tmp",
                                          "empty-key",
                                          "ab/cd",
                                          "0xab",
                                          "put-0000000000000000"};
    unsigned char back[BLOB_KEY_MAX];
    char digits[300];
    size_t size;

    (void)state;
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        size = 0;
        assert_int_equal(wb_fs_name_parse(foreign[i], 0xab, back, &size), FS_FOREIGN);
        assert_int_equal(size, 0);
    }
    memset(digits, 'a', sizeof digits);
    digits[130] = '\0'; /* 65 bytes: belongs into a folder of 64 */
    assert_int_equal(wb_fs_name_parse(digits, 0xaa, back, &size), FS_FOREIGN);
    memcpy(digits + 128, "+", 2);
    assert_int_equal(wb_fs_name_parse(digits, 0xaa, back, &size), FS_FOLDER);
    size = BLOB_KEY_MAX - 63; /* no room for 64 more */
    assert_int_equal(wb_fs_name_parse(digits, 0xaa, back, &size), FS_FOREIGN);
    size = BLOB_KEY_MAX - 64; /* 64 fit, but then nothing may follow */
    assert_int_equal(wb_fs_name_parse(digits, 0xaa, back, &size), FS_FOREIGN);
}

static void keys_of_every_length_keep_their_blobs(void **state)
{
    blob_store *s = t_open(1);
    char text[40];

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (size_t length = 0; length <= BLOB_KEY_MAX; length++) {
            blob_key key = key_of_size(length, 0xcd);

            snprintf(text, sizeof text, "blob of %zu", length);
            if (round == 0)
                test_status(t_get(s, key), BLOB_NOT_FOUND);
            if (round == 0)
                test_ok(t_put(s, key, text, 0));
            test_expect(s, key, text);
            if (round == 2) {
                test_ok(blob_store_delete(s, NULL, key, 0));
                test_status(t_get(s, key), BLOB_NOT_FOUND);
                test_status(t_size(s, key), BLOB_NOT_FOUND);
                test_status(blob_store_delete(s, NULL, key, 0), BLOB_NOT_FOUND);
            }
        }
        assert_int_equal(test_len(s), round < 2 ? BLOB_KEY_MAX + 1 : 0);
        t_close(s);
        s = t_open(1);
    }
    t_close(s);
}

static void a_content_address_is_one_plain_file(void **state)
{
    blob_store *s = t_open(0);
    unsigned char address[32];
    char name[80] = "ab/", text[16] = {0};
    FILE *f;

    (void)state;
    for (size_t i = 0; i < sizeof address; i++)
        address[i] = (unsigned char)(0xab + 7 * i);
    test_ok(t_put(s, blob_key_of(address, sizeof address), "plain", 0));
    blob_key_hex(blob_key_of(address, sizeof address), name + 3);
    assert_non_null(f = fopen(t_path(name), "r"));
    assert_int_equal(fread(text, 1, sizeof text, f), 5);
    assert_string_equal(text, "plain");
    fclose(f);
    t_close(s);
}

static void put_keeps_and_replace_replaces(void **state)
{
    blob_store *s = t_open(0);

    (void)state;
    test_ok(t_put(s, test_key("k"), "one", BLOB_REPLACE));
    test_status(t_put(s, test_key("k"), "two", 0), BLOB_EXISTS);
    test_expect(s, test_key("k"), "one");
    test_ok(t_put(s, test_key("k"), "three", BLOB_REPLACE));
    test_expect(s, test_key("k"), "three");
    assert_int_equal(test_len(s), 1);
    test_ok(blob_store_delete(s, NULL, test_key("k"), BLOB_LAZY));
    test_status(t_get(s, test_key("k")), BLOB_NOT_FOUND);
    test_ok(t_put(s, test_key("k"), "", 0));
    test_expect(s, test_key("k"), "");
    t_close(s);
}

static void a_large_blob_comes_back_whole(void **state)
{
    const size_t size = ((size_t)16 << 20) + 1;
    blob_store *s = t_open(0);
    unsigned char *bytes = malloc(size);
    blob *b = NULL;
    uint64_t seen = 0;

    (void)state;
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(i * 2654435761u >> 11);
    test_ok(blob_store_put(s, NULL, test_key("large"), blob_view_of(bytes, size), 0));
    test_ok(blob_store_get(s, NULL, test_key("large"), &b));
    assert_int_equal(b->size, size);
    assert_memory_equal(b->data, bytes, size);
    blob_unref(b);
    test_ok(blob_store_size(s, NULL, test_key("large"), &seen));
    assert_int_equal(seen, size);
    free(bytes);
    t_close(s);
}

static void broken_promise(void *arg, const char *promise, const char *detail)
{
    (void)arg;
    print_error("%s: %s\n", promise, detail);
}

static void it_keeps_the_contract_of_a_store(void **state)
{
    (void)state;
    for (unsigned no_sync = 0; no_sync < 2; no_sync++) {
        blob_store *s = t_open(no_sync);

        assert_int_equal(blob_conform(s, broken_promise, NULL), 0);
        assert_int_equal(wb_cf_conform_deletes(s, broken_promise, NULL), 0);
        assert_int_equal(test_len(s), 0);
        t_close(s);
    }
}

static void foreign_files_are_left_alone(void **state)
{
    static const char *const names[] = {"README", "6b/notes.txt", "6b/6B6B", "6b/6c", "6b/6b6", "zz", "00.txt"};
    blob_store *s = t_open(0);

    (void)state;
    test_ok(t_put(s, test_key("k"), "ours", 0)); /* 6b */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        t_write_file(t_path(names[i]), "foreign");
    t_close(s);
    s = t_open(0);
    assert_int_equal(test_len(s), 1);
    test_ok(blob_store_delete(s, NULL, test_key("k"), 0));
    assert_int_equal(test_len(s), 0);
    t_close(s);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_true(t_is_there(t_path(names[i])));
}

static int list_nothing(void *arg, blob_key key, uint64_t size)
{
    (void)arg;
    (void)key;
    (void)size;
    return -EIO;
}

static void what_is_no_regular_file_is_no_blob(void **state)
{
    blob_store *s = t_open(0);
    blob_key keys[3];
    struct stat st;

    (void)state;
    keys[0] = test_key("ka");
    keys[1] = test_key("kb");
    keys[2] = test_key("kc");
    test_ok(t_put(s, test_key("k"), "ours", 0));
    assert_int_equal(symlink("6b", t_file(keys[0])), 0); /* of a blob, for that matter */
    assert_int_equal(mkdir(t_file(keys[1]), 0777), 0);
    assert_int_equal(mkfifo(t_file(keys[2]), 0666), 0);
    for (size_t i = 0; i < 3; i++) {
        test_status(t_get(s, keys[i]), BLOB_NOT_FOUND);
        test_status(t_size(s, keys[i]), BLOB_NOT_FOUND);
        test_status(blob_store_delete(s, NULL, keys[i], 0), BLOB_NOT_FOUND);
        test_status(t_put(s, keys[i], "new", 0), -EEXIST);
        t_expect_words(-EEXIST, "move it away");
        test_status(t_put(s, keys[i], "new", BLOB_REPLACE), -EEXIST);
        t_expect_words(-EEXIST, t_dir);
        assert_int_equal(lstat(t_file(keys[i]), &st), 0);
        assert_false(S_ISREG(st.st_mode));
    }
    assert_int_equal(test_len(s), 1);
    test_ok(blob_store_list(s, NULL, test_key("ka"), list_nothing, NULL));
    t_close(s);
}

static void an_ended_context_begins_nothing(void **state)
{
    blob_store *s = t_open(0);
    blob_ctx *ctx = NULL;
    uint64_t out;
    blob *b = NULL;

    (void)state;
    test_ok(blob_ctx_new(&ctx, NULL));
    blob_ctx_cancel(ctx);
    test_status(blob_store_put(s, ctx, test_key("k"), blob_view_of("v", 1), 0), -ECANCELED);
    test_status(blob_store_get(s, ctx, test_key("k"), &b), -ECANCELED);
    test_status(blob_store_len(s, ctx, &out), -ECANCELED);
    test_status(t_get(s, test_key("k")), BLOB_NOT_FOUND);
    test_ok(blob_store_close(s, ctx));
    blob_ctx_free(ctx);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, t_setup, t_teardown)
    const struct CMUnitTest tests[] = {
        T(every_key_has_a_place_of_its_own_and_back),
        T(names_of_another_form_are_foreign),
        T(keys_of_every_length_keep_their_blobs),
        T(a_content_address_is_one_plain_file),
        T(put_keeps_and_replace_replaces),
        T(a_large_blob_comes_back_whole),
        T(it_keeps_the_contract_of_a_store),
        T(foreign_files_are_left_alone),
        T(what_is_no_regular_file_is_no_blob),
        T(an_ended_context_begins_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
