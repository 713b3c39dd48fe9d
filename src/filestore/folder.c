/* folder.c - opening and closing the store's folder.
 *
 * LOCK is never removed; that it is still there, the same file, tells a missing blob from a missing store. With the lock
 * held, whatever is in DIR/tmp under a name of ours is left over from a crash.
 *
 * From here on everything is done relative to the folder's descriptor: it may be renamed while it is open. */
#include "filestore/filestore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blob/folder.h"

static int folder_open(fs_store *fs)
{
    wb_folder_trouble trouble;
    int rc = wb_folder_open(fs->dir, true, !fs->no_sync, &fs->root, &trouble);

    return rc == 0 ? 0 : wb_fs_fail(fs, -rc, trouble.what, trouble.name);
}

static int folder_lock(fs_store *fs)
{
    wb_folder_trouble trouble;
    struct stat st;
    int rc = wb_folder_lock(fs->root, FS_LOCK, &fs->lock, &trouble);

    if (rc == -EBUSY)
        return blob_fail(-EBUSY, 0, "%.150s is open already, in this process or another; close it there first",
                         fs->dir);
    if (rc != 0)
        return wb_fs_fail(fs, -rc, trouble.what, trouble.name);
    if (fstat(fs->lock, &st) != 0)
        return wb_fs_fail(fs, errno, "lock", FS_LOCK);
    fs->lock_dev = st.st_dev;
    fs->lock_ino = st.st_ino;
    rc = wb_fs_absent(fs);
    return rc == BLOB_NOT_FOUND ? 0 : rc;
}

static bool folder_is_leftover(int tmp, const char *name)
{
    const size_t prefix = sizeof FS_TMP_PREFIX - 1;
    struct stat st;

    return strncmp(name, FS_TMP_PREFIX, prefix) == 0 && strlen(name) == prefix + 16 &&
           strspn(name + prefix, "0123456789abcdef") == 16 && fstatat(tmp, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(st.st_mode);
}

static int folder_clean_tmp(fs_store *fs)
{
    const struct dirent *entry;
    int fd = wb_folder_openat(fs->tmp, ".", O_RDONLY | O_DIRECTORY, 0);
    DIR *names = fd >= 0 ? fdopendir(fd) : NULL;
    int rc = 0;

    if (names == NULL) {
        rc = wb_fs_fail(fs, errno, "read", FS_TMP);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    while (rc == 0 && (errno = 0, entry = readdir(names)) != NULL)
        if (folder_is_leftover(fs->tmp, entry->d_name) && unlinkat(fs->tmp, entry->d_name, 0) != 0 && errno != ENOENT)
            rc = wb_fs_fail(fs, errno, "clean", FS_TMP);
    if (rc == 0 && errno != 0)
        rc = wb_fs_fail(fs, errno, "read", FS_TMP);
    closedir(names);
    return rc;
}

int wb_fs_root_open(fs_store *fs)
{
    int rc;

    if ((rc = folder_open(fs)) != 0 || (rc = folder_lock(fs)) != 0)
        return rc;
    if (mkdirat(fs->root, FS_TMP, 0777) != 0 && errno != EEXIST)
        return wb_fs_fail(fs, errno, "make", FS_TMP);
    fs->tmp = wb_folder_openat(fs->root, FS_TMP, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fs->tmp < 0)
        return wb_fs_fail(fs, errno, "open", FS_TMP);
    if ((rc = folder_clean_tmp(fs)) != 0)
        return rc;
    /* Fan-out folders that an earlier process made and did not live to sync become lasting here. */
    if (!fs->no_sync && wb_folder_fsync(fs->root) != 0)
        return wb_fs_fail(fs, errno, "sync", "");
    return 0;
}

void wb_fs_root_close(fs_store *fs)
{
    wb_folder_unlock(fs->lock, fs->owner);
    if (fs->tmp >= 0)
        close(fs->tmp);
    if (fs->root >= 0)
        close(fs->root);
}
