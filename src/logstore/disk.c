/* disk.c - the real file system behind a log; disk.h has the contract.
 *
 * Everything is done relative to the folder's descriptor, so the folder may be renamed while the log is open. */
#include "logstore/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "blob/folder.h"
#include "logstore/format.h"

typedef struct real_disk {
    log_disk disk;
    int folder, lock;
    pid_t owner;
    char dir[];
} real_disk;

static real_disk *real_of(log_disk *d)
{
    return (real_disk *)(void *)d;
}

static int real_begin(log_disk *d, bool make)
{
    real_disk *r = real_of(d);
    wb_folder_trouble trouble;
    int rc = wb_folder_open(r->dir, make, true, &r->folder, &trouble);

    if (rc == 0 && make)
        rc = wb_folder_lock(r->folder, "LOCK", &r->lock, &trouble);
    if (rc != 0 && rc != -EBUSY)
        d->in_the_way = trouble.name;
    return rc;
}

static int real_list(log_disk *d, log_name_fn *fn, void *arg)
{
    int fd = wb_folder_openat(real_of(d)->folder, ".", O_RDONLY | O_DIRECTORY, 0), rc = 0;
    DIR *names = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;

    if (names == NULL) {
        rc = -errno;
        if (fd >= 0)
            close(fd);
        return rc;
    }
    while (rc == 0 && (errno = 0, entry = readdir(names)) != NULL)
        if (strlen(entry->d_name) < LOG_NAME_MAX)
            rc = fn(arg, entry->d_name);
    if (rc == 0)
        rc = -errno;
    closedir(names);
    return rc;
}

/* Takes the space where that can be done without writing it. */
static int real_allocate(int fd, off_t size)
{
    int rc;

    do
        rc = fallocate(fd, 0, 0, size);
    while (rc != 0 && errno == EINTR);
    if (rc != 0 && errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)
        return -errno;
    return rc == 0 || ftruncate(fd, size) == 0 ? 0 : -errno;
}

static int real_create(log_disk *d, const char *name, uint64_t size, int *fd)
{
    int folder = real_of(d)->folder, rc;

    *fd = wb_folder_openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0666);
    if (*fd < 0)
        return -errno;
    rc = real_allocate(*fd, (off_t)size);
    if (rc != 0) {
        close(*fd);
        *fd = -1;
        (void)unlinkat(folder, name, 0);
    }
    return rc == -EDQUOT ? -ENOSPC : rc;
}

static int real_open(log_disk *d, const char *name, log_open how, int *fd)
{
    int flags = how == LOG_OPEN_READ ? O_RDONLY : O_RDWR;
    struct stat st;

#ifdef O_DIRECT
    if (how == LOG_OPEN_DIRECT)
        flags |= O_DIRECT;
#else
    if (how == LOG_OPEN_DIRECT)
        return -EINVAL;
#endif
    *fd = wb_folder_openat(real_of(d)->folder, name, flags | O_NOFOLLOW | O_NONBLOCK, 0);
    if (*fd < 0)
        return -errno;
    if (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode))
        return 0;
    close(*fd);
    *fd = -1;
    return -ENOTSUP;
}

static int real_close(log_disk *d, int fd)
{
    (void)d;
    return close(fd) == 0 || errno == EINTR ? 0 : -errno;
}

static int real_rename(log_disk *d, const char *from, const char *to)
{
    int folder = real_of(d)->folder;

    return renameat(folder, from, folder, to) == 0 ? 0 : -errno;
}

static int real_remove(log_disk *d, const char *name)
{
    return unlinkat(real_of(d)->folder, name, 0) == 0 ? 0 : -errno;
}

static int real_sync_folder(log_disk *d)
{
    return wb_folder_fsync(real_of(d)->folder) == 0 ? 0 : -errno;
}

static int real_size(log_disk *d, int fd, uint64_t *out)
{
    struct stat st;

    (void)d;
    if (fstat(fd, &st) != 0)
        return -errno;
    *out = (uint64_t)st.st_size;
    return 0;
}

/* Blocks that were reserved but never written show as a hole. */
static int real_written(log_disk *d, int fd, uint64_t *out)
{
#ifdef SEEK_HOLE
    off_t hole = lseek(fd, 0, SEEK_HOLE);

    if (hole >= 0) {
        *out = (uint64_t)hole;
        return 0;
    }
#endif
    return real_size(d, fd, out);
}

static int real_truncate(log_disk *d, int fd, uint64_t size)
{
    int rc;

    (void)d;
    do
        rc = ftruncate(fd, (off_t)size);
    while (rc != 0 && errno == EINTR);
    return rc == 0 ? 0 : -errno;
}

static ssize_t real_read(log_disk *d, int fd, void *to, size_t size, uint64_t offset)
{
    ssize_t got;

    (void)d;
    do
        got = pread(fd, to, size, (off_t)offset);
    while (got < 0 && errno == EINTR);
    return got >= 0 ? got : -errno;
}

static ssize_t real_write(log_disk *d, int fd, const struct iovec *from, int count, uint64_t offset)
{
    ssize_t put;

    (void)d;
    do
        put = pwritev(fd, from, count, (off_t)offset);
    while (put < 0 && errno == EINTR);
    return put >= 0 ? put : -errno;
}

/* A file that has lost its name, for somebody removed the folder's contents, is on no disk after a restart: it must not be
 * told to last. */
static int real_sync(log_disk *d, int fd)
{
    struct stat st;

    (void)d;
    if (wb_folder_fdatasync(fd) != 0)
        return -errno;
    return fstat(fd, &st) == 0 && st.st_nlink == 0 ? -ENOENT : 0;
}

static int64_t real_time_ms(log_disk *d)
{
    struct timespec now;

    (void)d;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return 0;
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* An id need only differ from that of other logs. */
static uint64_t real_random(log_disk *d)
{
    struct timespec now = {0, 0};
    uint64_t id = 0;

    if (getrandom(&id, sizeof id, GRND_NONBLOCK) == (ssize_t)sizeof id)
        return id;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000007u ^ (uint64_t)now.tv_nsec << 20 ^ (uint64_t)(uintptr_t)d ^
           (uint64_t)real_of(d)->owner << 40;
}

static void real_end(log_disk *d)
{
    real_disk *r = real_of(d);

    wb_folder_unlock(r->lock, r->owner);
    if (r->folder >= 0)
        close(r->folder);
    free(r);
}

static const log_disk_ops real_ops = {
    .begin = real_begin,
    .list = real_list,
    .create = real_create,
    .open = real_open,
    .close = real_close,
    .rename = real_rename,
    .remove = real_remove,
    .sync_folder = real_sync_folder,
    .size = real_size,
    .written = real_written,
    .truncate = real_truncate,
    .read = real_read,
    .write = real_write,
    .sync = real_sync,
    .time_ms = real_time_ms,
    .random = real_random,
    .end = real_end,
};

int wb_log_disk_new(log_disk **out, const char *dir)
{
    size_t size = strlen(dir) + 1;
    real_disk *r = malloc(sizeof *r + size);

    *out = NULL;
    if (r == NULL)
        return -ENOMEM;
    *r = (real_disk){.disk.ops = &real_ops, .folder = -1, .lock = -1, .owner = getpid()};
    memcpy(r->dir, dir, size);
    *out = &r->disk;
    return 0;
}
