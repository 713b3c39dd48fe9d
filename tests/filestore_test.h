/* filestore_test.h - what the tests of filestore share: the folder that each test has, and short forms of the calls. */
#ifndef FILESTORE_TEST_H
#define FILESTORE_TEST_H

#include "testutil.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <wbstore/stores.h>
#include "filestore/filestore.h"

static char *t_base;                  /* the test's folder */
static char t_dir[1024];              /* the store's in it, not made yet */
static blob_store *volatile t_opened; /* so that a leak checker sees it in a child that ends without closing it */

static inline int t_setup(void **state)
{
    (void)state;
    test_watchdog(120);
    t_base = test_dir_make();
    snprintf(t_dir, sizeof t_dir, "%s/store", t_base);
    return 0;
}

static inline int t_teardown(void **state)
{
    (void)state;
    test_dir_remove(t_base);
    t_base = NULL;
    return 0;
}

/* The path of a name in the store's folder; good for four calls. */
static inline const char *t_path(const char *name)
{
    static char paths[4][sizeof t_dir + FS_PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", t_dir, name);
    return path;
}

/* The path of a blob's file, likewise. */
static inline const char *t_file(blob_key key)
{
    fs_path path;

    wb_fs_path(&path, key);
    return t_path(path.text);
}

static inline void t_write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static inline bool t_is_there(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

/* How many names a folder has, "." and ".." not counted. */
static inline size_t t_names(const char *folder)
{
    DIR *names = opendir(folder);
    size_t count = 0;

    assert_non_null(names);
    while (readdir(names) != NULL)
        count++;
    closedir(names);
    return count - 2;
}

static inline int t_remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static inline void t_remove(const char *path)
{
    nftw(path, t_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline blob_store *t_open(unsigned no_sync)
{
    blob_filestore_options options = blob_filestore_options_default();
    blob_store *s = NULL;

    options.no_sync = no_sync;
    test_ok(blob_filestore_open(&s, t_dir, &options));
    assert_non_null(s);
    t_opened = s;
    return s;
}

static inline void t_close(blob_store *s)
{
    test_ok(blob_store_close(s, NULL));
}

static inline int t_put(blob_store *s, blob_key key, const char *text, unsigned flags)
{
    return blob_store_put(s, NULL, key, blob_view_of(text, strlen(text)), flags);
}

static inline int t_get(blob_store *s, blob_key key)
{
    blob *b = NULL;
    int rc = blob_store_get(s, NULL, key, &b);

    blob_unref(b);
    return rc;
}

static inline int t_size(blob_store *s, blob_key key)
{
    uint64_t size;

    return blob_store_size(s, NULL, key, &size);
}

/* What the thread's error detail must say. */
static inline void t_expect_words(int status, const char *words)
{
    blob_error error;

    blob_last_error(&error);
    assert_int_equal(error.status, status);
    if (strstr(error.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, words);
}

#endif
