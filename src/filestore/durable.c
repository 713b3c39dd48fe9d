/* durable.c - the folders that blobs lie in: finding, making and syncing them; and errors in words.
 *
 * What must hold when a put returns: the file's bytes were synced before it had its name; after it had its name every
 * folder from its own up to the store's was synced, if this could matter. It matters
 *  - for its own folder always;
 *  - for the folders of long keys between that and the fan-out folder always, too: nothing remembers which of them are
 *    new, and keys longer than 64 bytes are rare;
 *  - for the store's own folder if the fan-out folder was made since the store was opened (opening syncs what is there)
 *    and nobody has synced it since. Whoever uses the folder first after it was made may not be who made it: so the
 *    mark is set before the folder is made, and is cleared only after a sync that began when the folder could be seen.
 *
 * A sync that failed is final. The kernel forgets what it could not write, and the next sync of the same folder would
 * answer that all is well: so the failure is kept, and puts and deletes there answer it until the store is opened
 * again, when the disk is asked anew what it has. The status is -EIO whatever the reason: after -ENOSPC, say, a caller
 * would be sure that nothing was stored, but the name is there. */
#include "filestore/filestore.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blob/folder.h"

static int fs_fail_as(int status, const fs_store *fs, int error, const char *what, const char *name)
{
    return blob_fail(status, 0, "cannot %s %.100s/%.24s: %s; %s", what, fs->dir, name, blob_strerror(-error),
                     wb_folder_remedy(error));
}

int wb_fs_fail(const fs_store *fs, int error, const char *what, const char *name)
{
    return fs_fail_as(wb_folder_status(error), fs, error, what, name);
}

int wb_fs_absent(const fs_store *fs)
{
    struct stat st;

    if (fstatat(fs->root, FS_LOCK, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (st.st_dev == fs->lock_dev && st.st_ino == fs->lock_ino)
            return BLOB_NOT_FOUND;
        errno = ENOENT;
    }
    return wb_fs_fail(fs, errno, "find", FS_LOCK);
}

int wb_fs_look(const fs_store *fs, int folder, const char *name, struct stat *st)
{
    if (fstatat(folder, name, st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT || errno == ENOTDIR ? BLOB_NOT_FOUND : wb_fs_fail(fs, errno, "look at", name);
    return S_ISREG(st->st_mode) ? 0 : -EEXIST;
}

int wb_fs_check_failed(const fs_store *fs, unsigned fan)
{
    int error = atomic_load(&fs->failed[fan]);

    if (error == 0)
        return 0;
    return blob_fail(-EIO, 0,
                     "a sync in %.100s has failed (%s), so what is there may not last; see to the disk, then open the "
                     "store again",
                     fs->dir, blob_strerror(-error));
}

int wb_fs_sync_failed(fs_store *fs, int error, unsigned fan, const char *name)
{
    atomic_store(&fs->failed[fan], error);
    return fs_fail_as(-EIO, fs, error, "sync", name);
}

static int fs_folder_make(fs_store *fs, const fs_path *path)
{
    char folder[FS_PATH_MAX];
    char *end = folder;

    memcpy(folder, path->folder, sizeof folder);
    atomic_store(&fs->unsynced[path->fan], true);
    do {
        end = strchr(end, '/');
        if (end != NULL)
            *end = '\0';
        if (mkdirat(fs->root, folder, 0777) != 0 && errno != EEXIST)
            return wb_fs_fail(fs, errno, "make", folder);
        if (end != NULL)
            *end++ = '/';
    } while (end != NULL);
    return 0;
}

int wb_fs_folder_open(fs_store *fs, const fs_path *path, bool make, int *fd)
{
    int rc;

    *fd = wb_folder_openat(fs->root, path->folder, O_RDONLY | O_DIRECTORY, 0);
    if (*fd < 0 && errno == ENOENT && make) {
        if ((rc = fs_folder_make(fs, path)) != 0)
            return rc;
        *fd = wb_folder_openat(fs->root, path->folder, O_RDONLY | O_DIRECTORY, 0);
    }
    if (*fd >= 0 || (!make && (errno == ENOENT || errno == ENOTDIR)))
        return 0;
    return wb_fs_fail(fs, errno, "open", path->folder);
}

/* The folders between the path's own and the store's. */
static int fs_sync_between(fs_store *fs, const fs_path *path)
{
    char folder[FS_PATH_MAX];
    char *end;
    int fd, rc = 0;

    memcpy(folder, path->folder, sizeof folder);
    while (rc == 0 && (end = strrchr(folder, '/')) != NULL) {
        *end = '\0';
        if ((fd = wb_folder_openat(fs->root, folder, O_RDONLY | O_DIRECTORY, 0)) < 0)
            return fs_fail_as(-EIO, fs, errno, "open", folder);
        if (wb_folder_fsync(fd) != 0)
            rc = wb_fs_sync_failed(fs, errno, path->fan, folder);
        close(fd);
    }
    return rc;
}

static int fs_sync_root(fs_store *fs, const fs_path *path)
{
    int error, rc;

    if (!atomic_load(&fs->unsynced[path->fan]))
        return 0;
    if (wb_folder_fsync(fs->root) != 0) {
        error = errno;
        atomic_store(&fs->failed[path->fan], error);
        return wb_fs_sync_failed(fs, error, FS_FAN_EMPTY, ".");
    }
    /* It may be well only because the failure has been told before. */
    if ((rc = wb_fs_check_failed(fs, FS_FAN_EMPTY)) != 0)
        return rc;
    atomic_store(&fs->unsynced[path->fan], false);
    return 0;
}

int wb_fs_folder_sync(fs_store *fs, const fs_path *path, int folder, bool chain)
{
    int rc;

    if (fs->no_sync)
        return 0;
    if (wb_folder_fsync(folder) != 0)
        return wb_fs_sync_failed(fs, errno, path->fan, path->folder);
    if (chain && (rc = fs_sync_between(fs, path)) != 0)
        return rc;
    if (chain && (rc = fs_sync_root(fs, path)) != 0)
        return rc;
    /* Another thread's sync may have been the one that was told of a failure which concerns both. */
    return wb_fs_check_failed(fs, path->fan);
}
