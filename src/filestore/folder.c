/* folder.c - opening and closing the store's folder.
 *
 * The folder and its parents are made if missing, from the top, each synced into its parent before the next is made: so
 * what a crash leaves of this is a chain whose last folder alone may not be lasting yet. That is why the parent of the
 * folder that was found is synced as well. A parent that cannot be opened for reading was not our work: whoever makes a
 * folder here opens its parent first.
 *
 * A lock on DIR/LOCK keeps out a second opener, in this process too: the lock belongs to the open file, not to the
 * process. LOCK is never removed; that it is still there, the same file, tells a missing blob from a missing store.
 * With the lock held, whatever is in DIR/tmp under a name of ours is left over from a crash.
 *
 * From here on everything is done relative to the folder's descriptor: it may be renamed while it is open. */
#include "filestore/filestore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int folder_sync_parent(fs_store *fs, int fd)
{
    int parent, rc = 0;

    if (fs->no_sync)
        return 0;
    parent = wb_fs_openat(fd, "..", O_RDONLY | O_DIRECTORY, 0);
    if (parent < 0)
        return errno == EACCES || errno == EPERM ? 0 : wb_fs_fail(fs, errno, "open", "..");
    if (wb_fs_fsync(parent) != 0)
        rc = wb_fs_fail(fs, errno, "sync", "..");
    close(parent);
    return rc;
}

/* Makes `name` in the folder at, which may be a descriptor that cannot be read or synced. */
static int folder_make_one(fs_store *fs, int at, const char *name)
{
    int fd = wb_fs_openat(at, ".", O_RDONLY | O_DIRECTORY, 0);
    int rc = 0;

    if (fd < 0)
        return wb_fs_fail(fs, errno, "open", "..");
    if (mkdirat(fd, name, 0777) != 0 && errno != EEXIST)
        rc = wb_fs_fail(fs, errno, "make", "");
    else if (!fs->no_sync && wb_fs_fsync(fd) != 0)
        rc = wb_fs_fail(fs, errno, "sync", "..");
    close(fd);
    return rc;
}

/* Walks down dir, making what is missing. `names` is a copy of dir to cut up. */
static int folder_make_all(fs_store *fs, char *names)
{
    char *rest = names, *name;
    int at = wb_fs_openat(AT_FDCWD, names[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY, 0);
    int next, rc = 0;
    bool made = false;

    if (at < 0)
        return wb_fs_fail(fs, errno, "open", "");
    while (rc == 0 && (name = strtok_r(rest, "/", &rest)) != NULL) {
        next = wb_fs_openat(at, name, O_PATH | O_DIRECTORY, 0);
        if (next < 0 && errno == ENOENT) {
            if (!made && (rc = folder_sync_parent(fs, at)) != 0)
                break;
            made = true;
            if ((rc = folder_make_one(fs, at, name)) != 0)
                break;
            next = wb_fs_openat(at, name, O_PATH | O_DIRECTORY, 0);
        }
        if (next < 0)
            rc = wb_fs_fail(fs, errno, "open", "");
        close(at);
        at = next;
    }
    if (at >= 0)
        close(at);
    return rc;
}

static int folder_open(fs_store *fs)
{
    char *names;
    int rc;

    fs->root = wb_fs_openat(AT_FDCWD, fs->dir, O_RDONLY | O_DIRECTORY, 0);
    if (fs->root >= 0)
        return folder_sync_parent(fs, fs->root);
    if (errno != ENOENT)
        return wb_fs_fail(fs, errno, "open", "");
    if ((names = strdup(fs->dir)) == NULL)
        return blob_fail(-ENOMEM, 0, "no memory to open %.200s", fs->dir);
    rc = folder_make_all(fs, names);
    free(names);
    if (rc != 0)
        return rc;
    fs->root = wb_fs_openat(AT_FDCWD, fs->dir, O_RDONLY | O_DIRECTORY, 0);
    return fs->root >= 0 ? 0 : wb_fs_fail(fs, errno, "open", "");
}

static int folder_lock(fs_store *fs)
{
    struct stat st;
    int rc;

    fs->lock = wb_fs_openat(fs->root, FS_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (fs->lock < 0)
        return wb_fs_fail(fs, errno, "open", FS_LOCK);
    do
        rc = flock(fs->lock, LOCK_EX | LOCK_NB);
    while (rc != 0 && errno == EINTR);
    if (rc != 0 && errno == EWOULDBLOCK)
        return blob_fail(-EBUSY, 0, "%.150s is open already, in this process or another; close it there first",
                         fs->dir);
    if (rc != 0 || fstat(fs->lock, &st) != 0)
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
    int fd = wb_fs_openat(fs->tmp, ".", O_RDONLY | O_DIRECTORY, 0);
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
    fs->tmp = wb_fs_openat(fs->root, FS_TMP, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fs->tmp < 0)
        return wb_fs_fail(fs, errno, "open", FS_TMP);
    if ((rc = folder_clean_tmp(fs)) != 0)
        return rc;
    /* Fan-out folders that an earlier process made and did not live to sync become lasting here. */
    if (!fs->no_sync && wb_fs_fsync(fs->root) != 0)
        return wb_fs_fail(fs, errno, "sync", "");
    return 0;
}

void wb_fs_root_close(fs_store *fs)
{
    /* A child that another thread forks just now has the lock's descriptor until it execs: closing ours would not free
     * the lock. But a child that closes the store it inherited must not free its parent's. */
    if (fs->lock >= 0 && fs->owner == getpid())
        (void)flock(fs->lock, LOCK_UN);
    if (fs->lock >= 0)
        close(fs->lock);
    if (fs->tmp >= 0)
        close(fs->tmp);
    if (fs->root >= 0)
        close(fs->root);
}
