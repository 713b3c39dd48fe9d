/* put.c - writing a blob and giving it its name.
 *
 * put writes a file of its own in DIR/tmp, syncs its bytes, and then gives it the blob's name: with link, which fails
 * if the name is there, or with BLOB_REPLACE by renaming it over what is there. Where two puts meet, the link decides;
 * the one that lost answers BLOB_EXISTS only after it has itself synced what the other one linked. */
#include "filestore/filestore.h"
#include "blob/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#ifndef __GLIBC__
#include <sys/syscall.h>
#endif
#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1U /* the kernel's; not every libc names it */
#endif

static int fs_rename_new(int from_dir, const char *from, int to_dir, const char *to)
{
#ifdef __GLIBC__
    return renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE);
#else
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, RENAME_NOREPLACE);
#endif
}

static int fs_fail_foreign(const fs_store *fs, const fs_path *path)
{
    return blob_fail(-EEXIST, 0, "%.100s/%.80s is not a file of this store; move it away", fs->dir, path->text);
}

static int fs_write(const fs_store *fs, blob_ctx *ctx, int fd, blob_view data)
{
    const char *from = data.data;
    size_t done = 0, most;
    ssize_t put;
    int rc;

    while (done < data.size) {
        if (done > 0 && (rc = blob_ctx_status(ctx)) != 0)
            return rc;
        most = data.size - done < FS_CHUNK ? data.size - done : FS_CHUNK;
        put = write(fd, from + done, most);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return wb_fs_fail(fs, put < 0 ? errno : EIO, "write", FS_TMP);
        done += (size_t)put;
    }
    /* Before the file has a name that counts; a file whose sync failed is thrown away. */
    if (!fs->no_sync && wb_folder_fdatasync(fd) != 0)
        return wb_fs_fail(fs, errno, "sync", FS_TMP);
    return 0;
}

/* Writes data to a new file in tmp; name tells which. On failure there is none. */
static int fs_write_tmp(fs_store *fs, blob_ctx *ctx, blob_view data, char name[FS_TMP_MAX])
{
    int fd, rc;

    do {
        snprintf(name, FS_TMP_MAX, FS_TMP_PREFIX "%016" PRIx64, (uint64_t)atomic_fetch_add(&fs->next_tmp, 1));
        fd = wb_folder_openat(fs->tmp, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0444);
    } while (fd < 0 && errno == EEXIST);
    if (fd < 0)
        return wb_fs_fail(fs, errno, "make", FS_TMP);
    rc = fs_write(fs, ctx, fd, data);
    /* Some file systems tell only now that they could not store it. */
    if (close(fd) != 0 && errno != EINTR && rc == 0)
        rc = wb_fs_fail(fs, errno, "write", FS_TMP);
    if (rc != 0)
        (void)unlinkat(fs->tmp, name, 0);
    return rc;
}

/* Links or, where there are no links, renames: 0, BLOB_EXISTS, or why not. */
static int fs_name_new(const fs_store *fs, int folder, const fs_path *path, const char *tmp)
{
    if (linkat(fs->tmp, tmp, folder, path->name, 0) == 0)
        return 0;
    if (errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS || errno == EMLINK) {
        if (fs_rename_new(fs->tmp, tmp, folder, path->name) == 0)
            return 0;
        if (errno == EINVAL || errno == ENOSYS)
            return blob_fail(-EOPNOTSUPP, 0,
                             "the file system of %.100s has neither hard links nor a rename that "
                             "does not replace; keep the store on another one",
                             fs->dir);
    }
    return errno == EEXIST ? BLOB_EXISTS : wb_fs_fail(fs, errno, "make", path->text);
}

/* Gives the file tmp the blob's name. Afterwards there is no such tmp, whatever came of it. */
static int fs_name(fs_store *fs, int folder, const fs_path *path, const char *tmp, unsigned flags)
{
    fs_shard *shard = wb_fs_shard(fs, path->fan);
    bool is_new = true;
    struct stat st;
    int rc = 0;

    pthread_mutex_lock(&shard->lock);
    if ((flags & BLOB_REPLACE) == 0) {
        rc = fs_name_new(fs, folder, path, tmp);
    } else {
        rc = wb_fs_look(fs, folder, path->name, &st);
        is_new = rc == BLOB_NOT_FOUND;
        if (rc == -EEXIST)
            rc = fs_fail_foreign(fs, path);
        else if (rc == 0 || is_new)
            rc = renameat(fs->tmp, tmp, folder, path->name) == 0 ? 0 : wb_fs_fail(fs, errno, "replace", path->text);
    }
    if (rc == 0)
        shard->count += is_new;
    else if (rc != BLOB_EXISTS)
        shard->counted = false; /* nobody can tell what became of the name */
    pthread_mutex_unlock(&shard->lock);
    /* If this fails the next open removes it. */
    if (rc != 0 || (flags & BLOB_REPLACE) == 0)
        (void)unlinkat(fs->tmp, tmp, 0);
    return rc;
}

static int fs_sync_found(fs_store *fs, int folder, const fs_path *path)
{
    int fd, rc = 0;

    if (fs->no_sync)
        return 0;
    fd = wb_folder_openat(folder, path->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0)
        return errno == ENOENT ? 0 : wb_fs_fail(fs, errno, "open", path->text);
    if (wb_folder_fdatasync(fd) != 0)
        rc = wb_fs_sync_failed(fs, errno, path->fan, path->text);
    close(fd);
    return rc;
}

/* Something stands under the name: BLOB_EXISTS once its bytes are lasting, or why not. They may come from a run with
 * no_sync. It may be gone again meanwhile. */
static int fs_put_exists(fs_store *fs, int folder, const fs_path *path)
{
    struct stat st;
    int rc = wb_fs_look(fs, folder, path->name, &st);

    if (rc == -EEXIST)
        return fs_fail_foreign(fs, path);
    if (rc == 0)
        rc = fs_sync_found(fs, folder, path);
    return rc == 0 || rc == BLOB_NOT_FOUND ? BLOB_EXISTS : rc;
}

int wb_fs_put(blob_store *s, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags)
{
    fs_store *fs = wb_fs_of(s);
    char tmp[FS_TMP_MAX];
    int folder, rc, synced;
    struct stat st;
    fs_path path;

    wb_fs_path(&path, key);
    if ((rc = wb_fs_check_failed(fs, path.fan)) != 0 || (rc = wb_fs_folder_open(fs, &path, true, &folder)) != 0)
        return rc;
    /* Spares the writing where it would be in vain; the link is what decides. */
    if ((flags & BLOB_REPLACE) == 0 && wb_fs_look(fs, folder, path.name, &st) != BLOB_NOT_FOUND)
        rc = BLOB_EXISTS;
    else if ((rc = fs_write_tmp(fs, ctx, data, tmp)) == 0)
        rc = fs_name(fs, folder, &path, tmp, flags);
    if (rc == BLOB_EXISTS)
        rc = fs_put_exists(fs, folder, &path);
    if ((rc == 0 || rc == BLOB_EXISTS) && (synced = wb_fs_folder_sync(fs, &path, folder, true)) != 0)
        rc = synced;
    close(folder);
    return rc;
}
