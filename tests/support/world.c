/* world.c - see world.h. */
#include "world.h"
#include "testutil.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- disks ---- */

/* What is mounted from here on is seen by this process and its children alone. */
static bool world_apart(void)
{
    static bool apart;

    if (!apart)
        apart = unshare(CLONE_NEWNS) == 0 && mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0;
    return apart;
}

bool world_disk(const char *dir, size_t bytes)
{
    char options[64];

    assert_int_equal(mkdir(dir, 0777), 0);
    snprintf(options, sizeof options, "size=%zu,mode=0777", bytes);
    if (world_apart() && mount("tmpfs", dir, "tmpfs", 0, options) == 0)
        return true;
    print_message("    left out: no small disk can be mounted here: %s\n", strerror(errno));
    return false;
}

void world_disk_end(const char *dir)
{
    assert_int_equal(umount(dir), 0);
}

void world_disk_read_only(const char *dir, bool read_only)
{
    assert_int_equal(mount("tmpfs", dir, "tmpfs", MS_REMOUNT | (read_only ? MS_RDONLY : 0), ""), 0);
}

int world_hang(const char *dir)
{
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    char options[96];

    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
    if (fd >= 0 && world_apart() && mount("hangs", dir, "fuse", 0, options) == 0)
        return fd;
    print_message("    left out: nothing that hangs can be mounted here: %s\n", strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

void world_hang_end(const char *dir, int hang)
{
    close(hang);
    assert_int_equal(umount2(dir, MNT_DETACH), 0);
}

static void world_ballast(char *path, size_t room, const char *dir)
{
    snprintf(path, room, "%s/of-somebody-else", dir);
}

void world_fill(const char *dir)
{
    static const char zeroes[4096];
    char path[1024];
    ssize_t put;
    int fd;

    world_ballast(path, sizeof path, dir);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    assert_true(fd >= 0);
    while ((put = write(fd, zeroes, sizeof zeroes)) > 0 || (put < 0 && errno == EINTR))
        ;
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

void world_empty(const char *dir)
{
    char path[1024];

    world_ballast(path, sizeof path, dir);
    assert_int_equal(unlink(path), 0);
}

/* ---- words ---- */

static bool world_told(int got, int want, const char *what, const char *file, int line, const char *path,
                       const char *remedy)
{
    bool words = path[0] != '\0' || remedy[0] != '\0';
    blob_error error;

    blob_last_error(&error);
    if (got == want &&
        (!words || (error.status == want && strstr(error.text, path) != NULL && strstr(error.text, remedy) != NULL)))
        return true;
    fprintf(stderr, "%s:%d: %s is \"%s\", not \"%s\"; it says \"%s\"\n", file, line, what, blob_strerror(got),
            blob_strerror(want), error.text);
    if (words)
        fprintf(stderr, "wanted are \"%s\" and \"%s\"\n", path, remedy);
    return false;
}

void world_tells(int got, int want, const char *what, const char *file, int line, const char *path, const char *remedy)
{
    if (!world_told(got, want, what, file, line, path, remedy))
        _fail(file, line);
}

/* ---- nobody ---- */

void world_want(bool holds, const char *what, const char *file, int line)
{
    if (holds)
        return;
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    _exit(1);
}

void world_want_status(int got, int want, const char *what, const char *file, int line, const char *path,
                       const char *remedy)
{
    if (!world_told(got, want, what, file, line, path, remedy))
        _exit(1);
}

void world_as_nobody(void (*body)(void *arg), void *arg)
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        test_watchdog(60);
        if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setgid(WORLD_NOBODY) != 0 || setuid(WORLD_NOBODY) != 0))
            _exit(2);
        umask(022);
        body(arg);
        _exit(0);
    }
    while (waitpid(child, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    assert_int_equal(status, 0);
}
