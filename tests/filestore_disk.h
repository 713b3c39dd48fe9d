/* filestore_disk.h - a disk that keeps only what it must, for the tests of what filestore makes lasting.
 *
 * The system calls that change a disk are defined here, in front of the system's own; so one test program includes
 * this once. They keep a model of the worst disk allowed: of a folder it has the names that were there when the
 * folder was last synced, of a file the bytes only if it was synced after its last write. So "lasting" is asked of
 * the model, after the call has returned, and no power has to be cut. They also write down what was called, fail on
 * demand, and hold a thread back at a gate. */
#ifndef FILESTORE_DISK_H
#define FILESTORE_DISK_H

#include "filestore_test.h"

#include <pthread.h>
#include <sys/syscall.h>

/* --- the worst disk --- */

typedef struct disk_name {
    ino_t folder, file;
    char name[256];
} disk_name;

static pthread_mutex_t disk_lock = PTHREAD_MUTEX_INITIALIZER; /* held across each call, so that the order is sure */
static disk_name disk_names[4096];
static size_t disk_name_count;
static ino_t disk_files[4096]; /* whose bytes are synced */
static size_t disk_file_count;
static unsigned disk_unsynced_links; /* names given to files that were not synced */

static bool disk_has_bytes(ino_t file)
{
    for (size_t i = 0; i < disk_file_count; i++)
        if (disk_files[i] == file)
            return true;
    return false;
}

static void disk_forget_bytes(ino_t file)
{
    for (size_t i = 0; i < disk_file_count; i++)
        if (disk_files[i] == file)
            disk_files[i--] = disk_files[--disk_file_count];
}

static void disk_sync_folder(int fd, ino_t folder)
{
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *names = fdopendir(again);
    const struct dirent *entry;

    for (size_t i = 0; i < disk_name_count; i++)
        if (disk_names[i].folder == folder)
            disk_names[i--] = disk_names[--disk_name_count];
    while (names != NULL && (entry = readdir(names)) != NULL && disk_name_count < 4096) {
        disk_name *to = &disk_names[disk_name_count++];
        to->folder = folder;
        to->file = entry->d_ino;
        snprintf(to->name, sizeof to->name, "%s", entry->d_name);
    }
    closedir(names);
}

static void disk_synced(int fd)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return;
    if (S_ISDIR(st.st_mode)) {
        disk_sync_folder(fd, st.st_ino);
    } else if (!disk_has_bytes(st.st_ino) && disk_file_count < 4096) {
        disk_files[disk_file_count++] = st.st_ino;
    }
}

/* What would be at a path, seen from a folder that is lasting itself: 0 if nothing. */
static ino_t disk_find(const char *from, const char *path)
{
    char names[1400], *end = NULL;
    struct stat st;
    ino_t at;

    assert_int_equal(stat(from, &st), 0);
    at = st.st_ino;
    snprintf(names, sizeof names, "%s", path);
    for (char *name = strtok_r(names, "/", &end); name != NULL && at != 0; name = strtok_r(NULL, "/", &end)) {
        size_t i = 0;

        while (i < disk_name_count && (disk_names[i].folder != at || strcmp(disk_names[i].name, name) != 0))
            i++;
        at = i < disk_name_count ? disk_names[i].file : 0;
    }
    return at;
}

static ino_t disk_find_blob(blob_key key)
{
    fs_path path;
    ino_t found;

    wb_fs_path(&path, key);
    pthread_mutex_lock(&disk_lock);
    found = disk_find(t_dir, path.text);
    pthread_mutex_unlock(&disk_lock);
    return found;
}

static bool lasts(blob_key key)
{
    ino_t file = disk_find_blob(key);
    bool whole;

    pthread_mutex_lock(&disk_lock);
    whole = file != 0 && disk_has_bytes(file);
    pthread_mutex_unlock(&disk_lock);
    return whole;
}

/* --- what is called, what fails, what is held back --- */

static char calls[16384]; /* one line each */
static unsigned call_count;

/* The next `times` calls of this name whose path contains `path`, or is it where it begins with '=', fail. */
typedef struct failure {
    const char *call, *path;
    int error;
    unsigned times, skip;
    bool late;
} failure;
static failure failures[2];
static int late_error; /* by disk_lock, from before() to after() */

static unsigned die_at;    /* the process ends before this call; 0: never */
static size_t short_bytes; /* read and write move this many bytes at most; 0: any number */
static unsigned interrupt_next;

static _Thread_local const char *gate_call; /* this thread stops before its next call of this name */
static pthread_barrier_t gate_reached, gate_open;

static void path_of(int fd, const char *name, char *path, size_t room)
{
    char link[64], target[1024] = "";
    ssize_t size;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    size = readlink(link, target, sizeof target - 1);
    target[size > 0 ? size : 0] = '\0';
    if (strncmp(target, t_dir, strlen(t_dir)) == 0 && t_dir[0] != '\0')
        memmove(target, target + strlen(t_dir), strlen(target + strlen(t_dir)) + 1);
    snprintf(path, room, "%s%s%s", target[0] == '/' ? target + 1 : ".", name != NULL ? "/" : "",
             name != NULL ? name : "");
}

/* True: the call is to fail, errno is set. If it fails late, it is carried out all the same. */
static bool before(const char *call, int fd, const char *name)
{
    char path[1400];
    size_t used = strlen(calls);

    path_of(fd, name, path, sizeof path);
    snprintf(calls + used, sizeof calls - used, "%s %s\n", call, path);
    if (++call_count == die_at)
        _exit(9);
    for (failure *f = failures; f < failures + 2; f++) {
        if (f->times == 0 || strcmp(call, f->call) != 0)
            continue;
        if (f->path[0] == '=' ? strcmp(path, f->path + 1) != 0 : strstr(path, f->path) == NULL)
            continue;
        if (f->skip > 0) {
            f->skip--;
            continue;
        }
        f->times--;
        late_error = f->late ? f->error : 0;
        errno = f->error;
        return !f->late;
    }
    return false;
}

static void gate(const char *call)
{
    if (gate_call == NULL || strcmp(gate_call, call) != 0)
        return;
    gate_call = NULL;
    pthread_barrier_wait(&gate_reached);
    pthread_barrier_wait(&gate_open);
}

static void fail_next(const char *call, const char *path, int error, unsigned times)
{
    memset(failures, 0, sizeof failures);
    failures[0] = (failure){.call = call, .path = path, .error = error, .times = times};
}

static int after(int rc)
{
    if (rc != 0 || late_error == 0)
        return rc;
    errno = late_error;
    late_error = 0;
    return -1;
}

static void forget_calls(void)
{
    calls[0] = '\0';
    call_count = 0;
}

static unsigned calls_of(const char *call)
{
    unsigned count = 0;
    size_t size = strlen(call);

    for (const char *line = calls; *line != '\0'; line = strchr(line, '\n') + 1)
        count += strncmp(line, call, size) == 0 && line[size] == ' ';
    return count;
}

static int reset(void **state)
{
    disk_name_count = disk_file_count = 0;
    disk_unsynced_links = 0;
    fail_next("", "", 0, 0);
    die_at = 0;
    short_bytes = 0;
    interrupt_next = 0;
    forget_calls();
    return t_setup(state);
}

/* --- in front of the system's --- */

static bool is_ours(int fd)
{
    char link[64], target[1024] = "";

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return readlink(link, target, sizeof target - 1) > 0 && t_base != NULL && strstr(target, t_base) != NULL;
}

int fsync(int fd)
{
    int rc;

    gate("fsync");
    pthread_mutex_lock(&disk_lock);
    rc = before("fsync", fd, NULL) ? -1 : (int)syscall(SYS_fsync, fd);
    if (rc == 0)
        disk_synced(fd);
    pthread_mutex_unlock(&disk_lock);
    return rc;
}

int fdatasync(int fd)
{
    int rc;

    gate("fdatasync");
    pthread_mutex_lock(&disk_lock);
    rc = before("fdatasync", fd, NULL) ? -1 : (int)syscall(SYS_fdatasync, fd);
    if (rc == 0)
        disk_synced(fd);
    pthread_mutex_unlock(&disk_lock);
    return rc;
}

static void check_synced(int fd, const char *name)
{
    struct stat st;

    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !disk_has_bytes(st.st_ino))
        disk_unsynced_links++;
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    int rc;

    pthread_mutex_lock(&disk_lock);
    check_synced(from_fd, from);
    rc = before("link", to_fd, to) ? -1 : after((int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags));
    pthread_mutex_unlock(&disk_lock);
    return rc;
}

static int rename_any(const char *call, int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    int rc;

    pthread_mutex_lock(&disk_lock);
    check_synced(from_fd, from);
    rc = before(call, to_fd, to) ? -1 : (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
    pthread_mutex_unlock(&disk_lock);
    return rc;
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return rename_any("rename", from_fd, from, to_fd, to, 0);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    return rename_any("rename-new", from_fd, from, to_fd, to, flags);
}

int unlinkat(int fd, const char *name, int flags)
{
    struct stat st;
    int rc;

    pthread_mutex_lock(&disk_lock);
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1)
        disk_forget_bytes(st.st_ino); /* its number may come back as another's */
    rc = before("unlink", fd, name) ? -1 : after((int)syscall(SYS_unlinkat, fd, name, flags));
    pthread_mutex_unlock(&disk_lock);
    return rc;
}

int mkdirat(int fd, const char *name, mode_t mode)
{
    int rc;

    pthread_mutex_lock(&disk_lock);
    rc = before("mkdir", fd, name) ? -1 : (int)syscall(SYS_mkdirat, fd, name, mode);
    pthread_mutex_unlock(&disk_lock);
    return rc;
}

ssize_t write(int fd, const void *data, size_t size)
{
    struct stat st;
    ssize_t rc;

    if (!is_ours(fd))
        return (ssize_t)syscall(SYS_write, fd, data, size);
    if (interrupt_next > 0) {
        interrupt_next--;
        errno = EINTR;
        return -1;
    }
    pthread_mutex_lock(&disk_lock);
    if (fstat(fd, &st) == 0)
        disk_forget_bytes(st.st_ino);
    if (short_bytes > 0 && size > short_bytes)
        size = short_bytes;
    rc = before("write", fd, NULL) ? -1 : (ssize_t)syscall(SYS_write, fd, data, size);
    pthread_mutex_unlock(&disk_lock);
    return rc;
}

ssize_t read(int fd, void *data, size_t size)
{
    bool fails;

    if (!is_ours(fd))
        return (ssize_t)syscall(SYS_read, fd, data, size);
    if (interrupt_next > 0) {
        interrupt_next--;
        errno = EINTR;
        return -1;
    }
    if (short_bytes > 0 && size > short_bytes)
        size = short_bytes;
    pthread_mutex_lock(&disk_lock);
    fails = before("read", fd, NULL);
    pthread_mutex_unlock(&disk_lock);
    if (fails)
        return errno == 0 ? 0 : -1;
    return (ssize_t)syscall(SYS_read, fd, data, size);
}

#endif
