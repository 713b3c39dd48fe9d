/* filestore.c - one file a blob: get, size, delete, open and close. path.c has the layout, put.c how a blob gets its
 * name, durable.c what is synced when.
 *
 * A blob's file is never written to once it has its name: whoever opens a name finds all of a blob, at any
 * instruction, after a crash too. Names change only under the lock of their shard, together with its count (see
 * walk.c). */
#include "filestore/filestore.h"
#include "blob/folder.h"
#include "blob/options.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wbstore/stores.h>

static const blob_store_ops fs_ops;

fs_store *wb_fs_of(blob_store *s)
{
    assert(s->ops == &fs_ops);
    return (fs_store *)(void *)s;
}

static int fs_read(const fs_store *fs, blob_ctx *ctx, int fd, const fs_path *path, char *to, size_t size)
{
    size_t done = 0, most;
    ssize_t got;
    int rc;

    while (done < size) {
        if (done > 0 && (rc = blob_ctx_status(ctx)) != 0)
            return rc;
        most = size - done < FS_CHUNK ? size - done : FS_CHUNK;
        got = read(fd, to + done, most);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return wb_fs_fail(fs, errno, "read", path->text);
        if (got == 0)
            return blob_fail(BLOB_CORRUPT, 0,
                             "%.100s/%.80s shrank to %zu bytes while it was read: somebody else "
                             "writes to it",
                             fs->dir, path->text, done);
        done += (size_t)got;
    }
    return 0;
}

static int fs_get(blob_store *s, blob_ctx *ctx, blob_key key, blob **out)
{
    const fs_store *fs = wb_fs_of(s);
    blob *b = NULL;
    fs_path path;
    struct stat st;
    void *to;
    int fd, rc;

    wb_fs_path(&path, key);
    fd = wb_folder_openat(fs->root, path.text, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == ENXIO
                   ? wb_fs_absent(fs)
                   : wb_fs_fail(fs, errno, "open", path.text);
    if (fstat(fd, &st) != 0) {
        rc = wb_fs_fail(fs, errno, "read", path.text);
    } else if (!S_ISREG(st.st_mode)) {
        rc = wb_fs_absent(fs);
    } else if ((uintmax_t)st.st_size > SIZE_MAX || blob_new_alloc(&b, (size_t)st.st_size, &to) != 0) {
        rc = blob_fail(-ENOMEM, 0, "no memory for the %jd bytes of %.100s/%.80s", (intmax_t)st.st_size, fs->dir,
                       path.text);
    } else {
        rc = fs_read(fs, ctx, fd, &path, to, (size_t)st.st_size);
    }
    close(fd);
    if (rc == 0)
        *out = b;
    else
        blob_unref(b);
    return rc;
}

static int fs_size(blob_store *s, blob_ctx *ctx, blob_key key, uint64_t *out)
{
    const fs_store *fs = wb_fs_of(s);
    fs_path path;
    struct stat st;
    int rc;

    (void)ctx;
    wb_fs_path(&path, key);
    rc = wb_fs_look(fs, fs->root, path.text, &st);
    if (rc == 0)
        *out = (uint64_t)st.st_size;
    return rc == BLOB_NOT_FOUND || rc == -EEXIST ? wb_fs_absent(fs) : rc;
}

/* Removes the name: 0, BLOB_NOT_FOUND, or why not. */
static int fs_unname(fs_store *fs, int folder, const fs_path *path)
{
    fs_shard *shard = wb_fs_shard(fs, path->fan);
    struct stat st;
    int rc;

    pthread_mutex_lock(&shard->lock);
    rc = wb_fs_look(fs, folder, path->name, &st);
    if (rc == 0 && unlinkat(folder, path->name, 0) != 0) {
        rc = errno == ENOENT ? BLOB_NOT_FOUND : wb_fs_fail(fs, errno, "remove", path->text);
        shard->counted = false;
    } else if (rc == 0) {
        shard->count--;
    }
    pthread_mutex_unlock(&shard->lock);
    return rc == -EEXIST ? BLOB_NOT_FOUND : rc;
}

static int fs_del(blob_store *s, blob_ctx *ctx, blob_key key, unsigned flags)
{
    fs_store *fs = wb_fs_of(s);
    bool lazy = (flags & BLOB_LAZY) != 0;
    int folder, rc, synced;
    fs_path path;

    (void)ctx;
    wb_fs_path(&path, key);
    if (!lazy && (rc = wb_fs_check_failed(fs, path.fan)) != 0)
        return rc;
    if ((rc = wb_fs_folder_open(fs, &path, false, &folder)) != 0)
        return rc;
    if (folder < 0)
        return wb_fs_absent(fs);
    rc = fs_unname(fs, folder, &path);
    if (rc == BLOB_NOT_FOUND)
        rc = wb_fs_absent(fs);
    /* Found or not: an earlier lazy delete may not have lasted yet. */
    if (!lazy && (rc == 0 || rc == BLOB_NOT_FOUND) && (synced = wb_fs_folder_sync(fs, &path, folder, false)) != 0)
        rc = synced;
    close(folder);
    return rc;
}

static void fs_free(fs_store *fs)
{
    wb_fs_root_close(fs);
    free(fs->dir);
    free(fs);
}

static int fs_close(blob_store *s, blob_ctx *ctx)
{
    fs_store *fs = wb_fs_of(s);

    (void)ctx;
    for (size_t i = 0; i < FS_SHARDS; i++)
        pthread_mutex_destroy(&fs->shards[i].lock);
    fs_free(fs);
    return 0;
}

static const blob_store_ops fs_ops = {
    .struct_size = sizeof(blob_store_ops),
    .name = "filestore",
    .get = fs_get,
    .put = wb_fs_put,
    .del = fs_del,
    .size = fs_size,
    .list = wb_fs_list,
    .len = wb_fs_len,
    .close = fs_close,
};

static int fs_options_take(blob_filestore_options *to, const blob_filestore_options *from)
{
    int rc = 0;

    *to = blob_filestore_options_default();
    if (from != NULL)
        rc = wb_options_copy(to, sizeof *to, from, from->struct_size);
    if (rc == 0 && to->no_sync > 1)
        rc = blob_fail(-EINVAL, 0, "options of blob_filestore_open: no_sync is %u, must be 0 or 1", to->no_sync);
    return rc;
}

/* NULL: no memory, and said so. */
static fs_store *fs_new(const char *dir, bool no_sync)
{
    fs_store *fs = calloc(1, sizeof *fs);

    if (fs == NULL || (fs->dir = strdup(dir)) == NULL) {
        free(fs);
        (void)blob_fail(-ENOMEM, 0, "no memory to open %.200s", dir);
        return NULL;
    }
    fs->store.ops = &fs_ops;
    fs->root = fs->tmp = fs->lock = -1;
    fs->no_sync = no_sync;
    fs->owner = getpid();
    atomic_init(&fs->next_tmp, 0);
    for (size_t i = 0; i < FS_FANS; i++) {
        atomic_init(&fs->unsynced[i], false);
        atomic_init(&fs->failed[i], 0);
    }
    return fs;
}

int blob_filestore_open(blob_store **out, const char *dir, const blob_filestore_options *options)
{
    blob_filestore_options known;
    size_t locks = 0;
    fs_store *fs;
    int rc;

    if (out == NULL)
        return blob_fail(-EINVAL, 0, "blob_filestore_open needs an out");
    *out = NULL;
    if (dir == NULL || dir[0] == '\0')
        return blob_fail(-EINVAL, 0, "blob_filestore_open needs a folder");
    if ((rc = fs_options_take(&known, options)) != 0)
        return rc;
    if ((fs = fs_new(dir, known.no_sync != 0)) == NULL)
        return -ENOMEM;
    while (rc == 0 && locks < FS_SHARDS)
        if ((rc = -pthread_mutex_init(&fs->shards[locks].lock, NULL)) == 0)
            locks++;
    if (rc != 0)
        rc = blob_fail(rc, 0, "cannot make the locks of %.200s", dir);
    else
        rc = wb_fs_root_open(fs);
    if (rc == 0) {
        *out = &fs->store;
        return 0;
    }
    while (locks > 0)
        pthread_mutex_destroy(&fs->shards[--locks].lock);
    fs_free(fs);
    return rc;
}
