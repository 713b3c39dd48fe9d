/* output.c - a file's new content, whole or not at all.
 *
 * A temporary beside the target is written, synced and renamed over it: whoever looks sees the old file or the new
 * one. A symbolic link to a file is followed, one that leads nowhere is replaced. What is there and is no plain file (a
 * terminal, /dev/null, a FIFO) is written to as it is: a rename would replace the device by a file.
 *
 * A file that must be new gets its name by a link, or where there are none by a rename that does not replace. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1U /* the kernel's; not every libc names it */
#endif

static int output_write(int fd, const void *data, size_t size)
{
    const char *from = data;

    while (size > 0) {
        ssize_t put = write(fd, from, size < SSIZE_MAX ? size : SSIZE_MAX);

        if (put < 0 && errno != EINTR)
            return -errno;
        if (put > 0) {
            from += put;
            size -= (size_t)put;
        }
    }
    return 0;
}

static int output_close(int fd, int rc)
{
    if (close(fd) != 0 && rc == 0 && errno != EINTR)
        rc = -errno;
    return rc;
}

/* Opens a new file beside target; its name is *out, the caller's to free. Without target's own in it, which may be as long
 * as names can be. The umask applies to the mode. */
static int output_temporary(const char *target, mode_t mode, char **out)
{
    const char *slash = strrchr(target, '/');
    int folder = slash != NULL ? (int)(slash + 1 - target) : 0, fd = -1;

    *out = NULL;
    for (unsigned i = 0; fd < 0 && i < 1000; i++) {
        free(*out);
        if (asprintf(out, "%.*s.wbstore-%ld-%u", folder, target, (long)getpid(), i) < 0) {
            *out = NULL;
            return -ENOMEM;
        }
        fd = open(*out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    return fd >= 0 ? fd : -errno;
}

static int output_rename(const char *temporary, const char *target)
{
    return rename(temporary, target) == 0 ? 0 : -errno;
}

static int output_rename_new(const char *temporary, const char *target)
{
    if (link(temporary, target) == 0) {
        unlink(temporary);
        return 0;
    }
    if (errno == EEXIST)
        return -EEXIST;
    /* By its number, for not every libc has the function. */
    return syscall(SYS_renameat2, AT_FDCWD, temporary, AT_FDCWD, target, RENAME_NOREPLACE) == 0 ? 0 : -errno;
}

/* was: the file that is replaced, whose permissions stay; NULL: there is none. */
static int output_replace(const char *target, const struct stat *was, const void *data, size_t size,
                          int (*name)(const char *temporary, const char *target))
{
    mode_t mode = was != NULL ? was->st_mode & 0777 : 0666;
    char *temporary;
    int fd = output_temporary(target, mode, &temporary);
    int rc = fd < 0 ? fd : 0;

    if (rc == 0) {
        if (was != NULL)
            (void)fchmod(fd, mode); /* what the umask took; where there are no such permissions, no matter */
        rc = output_write(fd, data, size);
        if (rc == 0 && fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)
            rc = -errno;
        rc = output_close(fd, rc);
        if (rc == 0)
            rc = name(temporary, target);
        if (rc != 0)
            unlink(temporary);
    }
    free(temporary);
    return rc;
}

int cli_write_file(const char *name, const void *data, size_t size)
{
    struct stat st;
    char *target;
    int fd, rc;

    if (stat(name, &st) != 0)
        return errno == ENOENT ? output_replace(name, NULL, data, size, output_rename) : -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (S_ISREG(st.st_mode)) {
        if ((target = realpath(name, NULL)) == NULL)
            return -errno;
        rc = output_replace(target, &st, data, size, output_rename);
        free(target);
        return rc;
    }
    if ((fd = open(name, O_WRONLY | O_CLOEXEC | O_NOCTTY)) < 0)
        return -errno;
    return output_close(fd, output_write(fd, data, size));
}

/* 0: the file is there with just these bytes; -ENOENT: nothing is; -EEXIST: something else is. */
static int output_compare(const char *name, const unsigned char *data, size_t size)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY), rc = 0;
    unsigned char there[16384];
    struct stat st;

    if (fd < 0)
        return errno == ENOENT ? -ENOENT : errno == ELOOP || errno == ENXIO ? -EEXIST : -errno;
    if (fstat(fd, &st) != 0)
        rc = -errno;
    else if (!S_ISREG(st.st_mode) || (uintmax_t)st.st_size != size)
        rc = -EEXIST;
    while (rc == 0 && size > 0) {
        ssize_t got = read(fd, there, size < sizeof there ? size : sizeof there);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            rc = -errno;
        } else if (got == 0 || memcmp(there, data, (size_t)got) != 0) {
            rc = -EEXIST;
        } else {
            data += got;
            size -= (size_t)got;
        }
    }
    close(fd);
    return rc;
}

int cli_write_new(const char *name, const void *data, size_t size)
{
    int rc = output_compare(name, data, size);

    if (rc != -ENOENT)
        return rc;
    rc = output_replace(name, NULL, data, size, output_rename_new);
    return rc == -EEXIST ? output_compare(name, data, size) : rc; /* another had the same idea */
}

int cli_make_folder(const char *name)
{
    char *path = strdup(name);
    struct stat st;
    int rc = 0;

    if (path == NULL)
        return -ENOMEM;
    if (path[0] == '\0')
        rc = -ENOENT;
    for (char *at = path + 1; rc == 0; at++) {
        char was = *at;

        if (was != '/' && was != '\0')
            continue;
        *at = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            rc = -errno;
        *at = was;
        if (was == '\0')
            break;
    }
    if (rc == 0 && stat(path, &st) != 0)
        rc = -errno;
    else if (rc == 0 && !S_ISDIR(st.st_mode))
        rc = -ENOTDIR;
    free(path);
    return rc;
}

int cli_sync_folder(const char *name)
{
    int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

    if (fd < 0)
        return -errno;
    if (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)
        rc = -errno;
    close(fd);
    return rc;
}
