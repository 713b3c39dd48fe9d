/* output.c - a file's new content, whole or not at all.
 *
 * A temporary beside the target is written, synced and renamed over it: whoever looks sees the old file or the new
 * one. A symbolic link is followed. What is there and is no plain file (a terminal, /dev/null, a FIFO) is written to as
 * it is: a rename would replace the device by a file. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* Opens a new file beside target; its name is *out, the caller's to free. The mode is left to the umask. */
static int output_temporary(const char *target, char **out)
{
    int fd = -1;

    *out = NULL;
    for (unsigned i = 0; fd < 0 && i < 1000; i++) {
        free(*out);
        if (asprintf(out, "%s.wbstore-%ld-%u", target, (long)getpid(), i) < 0) {
            *out = NULL;
            return -ENOMEM;
        }
        fd = open(*out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    return fd >= 0 ? fd : -errno;
}

static int output_replace(const char *target, const void *data, size_t size)
{
    char *temporary;
    int fd = output_temporary(target, &temporary);
    int rc = fd < 0 ? fd : 0;

    if (rc == 0) {
        rc = output_write(fd, data, size);
        if (rc == 0 && fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)
            rc = -errno;
        rc = output_close(fd, rc);
        if (rc == 0 && rename(temporary, target) != 0)
            rc = -errno;
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
        return errno == ENOENT ? output_replace(name, data, size) : -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (S_ISREG(st.st_mode)) {
        if ((target = realpath(name, NULL)) == NULL)
            return -errno;
        rc = output_replace(target, data, size);
        free(target);
        return rc;
    }
    if ((fd = open(name, O_WRONLY | O_CLOEXEC | O_NOCTTY)) < 0)
        return -errno;
    return output_close(fd, output_write(fd, data, size));
}
