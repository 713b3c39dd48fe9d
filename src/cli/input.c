/* input.c - a whole file in memory, from anything that can be read: files, pipes, terminals.
 *
 * Before every read the file and the context are polled together: no read waits where a Ctrl-C could not reach it. A
 * FIFO is opened without waiting for its writer; poll does that instead. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_ROOM_MIN ((size_t)64 * 1024)

static int input_wait(blob_ctx *ctx, int fd)
{
    struct pollfd both[2] = {{.fd = fd, .events = POLLIN}, {.fd = blob_ctx_fd(ctx), .events = POLLIN}};
    int rc;

    do
        rc = poll(both, 2, -1);
    while (rc < 0 && errno == EINTR);
    if (rc < 0)
        return -errno;
    return blob_ctx_status(ctx);
}

/* Room for at least one byte more than `size`. */
static int input_grow(unsigned char **data, size_t *room, size_t size)
{
    unsigned char *grown;

    if (size < *room)
        return 0;
    if (*room > SIZE_MAX / 2)
        return -ENOMEM;
    grown = realloc(*data, *room * 2);
    if (grown == NULL)
        return -ENOMEM;
    *data = grown;
    *room *= 2;
    return 0;
}

static int input_read(blob_ctx *ctx, int fd, size_t room, unsigned char **data, size_t *size)
{
    int rc;

    *data = malloc(room);
    if (*data == NULL)
        return -ENOMEM;
    for (;;) {
        ssize_t got;

        if ((rc = input_grow(data, &room, *size)) != 0 || (rc = input_wait(ctx, fd)) != 0)
            break;
        got = read(fd, *data + *size, room - *size < SSIZE_MAX ? room - *size : SSIZE_MAX);
        if (got == 0)
            return 0;
        if (got > 0)
            *size += (size_t)got;
        else if (errno != EINTR && errno != EAGAIN) {
            rc = -errno;
            break;
        }
    }
    free(*data);
    *data = NULL;
    *size = 0;
    return rc;
}

static bool input_differs(const struct stat *a, const struct stat *b)
{
    return a->st_size != b->st_size || a->st_mtim.tv_sec != b->st_mtim.tv_sec ||
           a->st_mtim.tv_nsec != b->st_mtim.tv_nsec;
}

int cli_read_file(blob_ctx *ctx, const char *name, bool follow, cli_input *in)
{
    bool is_stdin = strcmp(name, "-") == 0;
    int flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | (follow ? 0 : O_NOFOLLOW);
    int fd = is_stdin ? STDIN_FILENO : open(name, flags);
    size_t room = INPUT_ROOM_MIN;
    struct stat before, after;
    int rc = 0;

    memset(in, 0, sizeof *in);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &before) != 0)
        rc = -errno;
    else if (S_ISDIR(before.st_mode))
        rc = -EISDIR;
    else if (S_ISREG(before.st_mode) && before.st_size > 0 && (uintmax_t)before.st_size >= SIZE_MAX)
        rc = -ENOMEM;
    else if (S_ISREG(before.st_mode) && (size_t)before.st_size >= room)
        room = (size_t)before.st_size + 1; /* the one is for finding the end without growing */
    if (rc == 0)
        rc = input_read(ctx, fd, room, &in->data, &in->size);
    if (rc == 0 && S_ISREG(before.st_mode) && fstat(fd, &after) == 0)
        in->changed = input_differs(&before, &after);
    if (!is_stdin)
        close(fd);
    return rc;
}
