/* folder.c - the folder that a store lies in.
 *
 * It and its parents are made if missing, from the top, each synced into its parent before the next is made: so what a
 * crash leaves of this is a chain whose last folder alone may not be lasting yet. That is why the parent of the folder
 * that was found is synced as well. A parent that cannot be opened for reading was not our work: whoever makes a folder
 * here opens its parent first.
 *
 * The lock belongs to the open file, not to the process: so it keeps out a second opener in this process too. */
#include "blob/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <wbstore/blob.h>

int wb_folder_openat(int folder, const char *name, int flags, unsigned mode)
{
    int fd;

    do
        fd = openat(folder, name, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

int wb_folder_fsync(int fd)
{
    int rc;

    do
        rc = fsync(fd);
    while (rc != 0 && errno == EINTR);
    return rc;
}

int wb_folder_fdatasync(int fd)
{
    int rc;

    do
        rc = fdatasync(fd);
    while (rc != 0 && errno == EINTR);
    return rc;
}

static int folder_fail(wb_folder_trouble *trouble, const char *what, const char *name)
{
    trouble->what = what;
    trouble->name = name;
    return -errno;
}

static int folder_sync_parent(int fd, wb_folder_trouble *trouble)
{
    int parent = wb_folder_openat(fd, "..", O_RDONLY | O_DIRECTORY, 0), rc = 0;

    if (parent < 0)
        return errno == EACCES || errno == EPERM ? 0 : folder_fail(trouble, "open", "..");
    if (wb_folder_fsync(parent) != 0)
        rc = folder_fail(trouble, "sync", "..");
    close(parent);
    return rc;
}

/* Makes `name` in the folder at, which may be a descriptor that cannot be read or synced. */
static int folder_make_one(int at, const char *name, bool sync, wb_folder_trouble *trouble)
{
    int fd = wb_folder_openat(at, ".", O_RDONLY | O_DIRECTORY, 0);
    int rc = 0;

    if (fd < 0)
        return folder_fail(trouble, "open", "..");
    if (mkdirat(fd, name, 0777) != 0 && errno != EEXIST)
        rc = folder_fail(trouble, "make", "");
    else if (sync && wb_folder_fsync(fd) != 0)
        rc = folder_fail(trouble, "sync", "..");
    close(fd);
    return rc;
}

/* Walks down, making what is missing. `names` is a copy of the path to cut up. */
static int folder_make_all(char *names, bool sync, wb_folder_trouble *trouble)
{
    char *rest = names, *name;
    int at = wb_folder_openat(AT_FDCWD, names[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY, 0);
    int next, rc = 0;
    bool made = false;

    if (at < 0)
        return folder_fail(trouble, "open", "");
    while (rc == 0 && (name = strtok_r(rest, "/", &rest)) != NULL) {
        next = wb_folder_openat(at, name, O_PATH | O_DIRECTORY, 0);
        if (next < 0 && errno == ENOENT) {
            if (!made && sync && (rc = folder_sync_parent(at, trouble)) != 0)
                break;
            made = true;
            if ((rc = folder_make_one(at, name, sync, trouble)) != 0)
                break;
            next = wb_folder_openat(at, name, O_PATH | O_DIRECTORY, 0);
        }
        if (next < 0)
            rc = folder_fail(trouble, "open", "");
        close(at);
        at = next;
    }
    if (at >= 0)
        close(at);
    return rc;
}

int wb_folder_open(const char *dir, bool make, bool sync, int *fd, wb_folder_trouble *trouble)
{
    char *names;
    int rc;

    *fd = wb_folder_openat(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0);
    if (*fd < 0 && (errno != ENOENT || !make))
        return folder_fail(trouble, "open", "");
    if (*fd >= 0) {
        rc = make && sync ? folder_sync_parent(*fd, trouble) : 0;
        if (rc != 0) {
            close(*fd);
            *fd = -1;
        }
        return rc;
    }
    if ((names = strdup(dir)) == NULL)
        return folder_fail(trouble, "open", "");
    rc = folder_make_all(names, sync, trouble);
    free(names);
    if (rc != 0)
        return rc;
    *fd = wb_folder_openat(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0);
    return *fd >= 0 ? 0 : folder_fail(trouble, "open", "");
}

int wb_folder_lock(int folder, const char *name, int *fd, wb_folder_trouble *trouble)
{
    int rc;

    *fd = wb_folder_openat(folder, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (*fd < 0)
        return folder_fail(trouble, "open", name);
    do
        rc = flock(*fd, LOCK_EX | LOCK_NB);
    while (rc != 0 && errno == EINTR);
    if (rc != 0 && errno == EWOULDBLOCK)
        return -EBUSY;
    return rc == 0 ? 0 : folder_fail(trouble, "lock", name);
}

void wb_folder_unlock(int fd, pid_t owner)
{
    if (fd < 0)
        return;
    /* A child that another thread forks just now has the lock's descriptor until it execs: closing ours would not free
     * the lock. But a child that closes the store it inherited must not free its parent's. */
    if (owner == getpid())
        (void)flock(fd, LOCK_UN);
    close(fd);
}

const char *wb_folder_remedy(int error)
{
    switch (error) {
    case EACCES:
    case EPERM:
        return "give this process the right to read and write there";
    case EROFS:
        return "make the file system writable";
    case ENOSPC:
    case EDQUOT:
        return "free space or raise the quota";
    case EMFILE:
    case ENFILE:
        return "raise the limit of open files";
    case ENAMETOOLONG:
        return "use a file system that can hold longer names";
    case EXDEV:
        return "keep the whole store on one file system";
    case ENOENT:
    case ESTALE:
    case ENOTCONN:
        return "was it moved, removed or unmounted?";
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
        return "move away what is in its place";
    default:
        return "see to the disk and the file system";
    }
}

int wb_folder_status(int error)
{
    switch (error) {
    case EACCES:
    case EPERM:
    case EROFS:
        return BLOB_DENIED;
    case ENOSPC:
    case EDQUOT:
        return -ENOSPC;
    case ENOENT: /* absent blobs do not come here: a folder that must be there is not */
    case ESTALE:
    case ENOTCONN:
        return BLOB_UNAVAILABLE;
    default:
        return -error;
    }
}
