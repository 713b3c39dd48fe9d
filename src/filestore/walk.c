/* walk.c - list and len.
 *
 * A listing goes through the fan-out folders in order. It reads all names of a folder at once, under the lock that
 * keeps others from changing names there: some file systems move a name that is replaced, and a reader that is under
 * way misses it. Then it sorts them and reports them with no lock held, asking each file for its size; one that is gone
 * by then is passed over. So its memory is that of the names of one fan-out folder, and of one folder at each level
 * below it where keys are long.
 *
 * The count of a shard is taken once, when it is first asked for, with the shard's lock held; from then on whoever
 * links or removes a blob there corrects it under the same lock. So under the lock it is exact. A len is the sum at one
 * moment: it holds all locks while it adds. */
#include "filestore/filestore.h"
#include "blob/folder.h"
#include "blob/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct walk_names {
    char *text; /* one after the other, each with its 0 */
    size_t used, room, count;
    const char **sorted;
} walk_names;

/* A folder on the way down: the keys in it begin with `size` bytes at key, where the rest is written as names come. */
typedef struct walk_folder {
    fs_store *fs;
    int fd;
    unsigned fan;
    unsigned char *key;
    size_t size;
} walk_folder;

typedef struct walk_list {
    blob_ctx *ctx;
    blob_key start;
    blob_list_fn *fn;
    void *arg;
    bool stopped;
} walk_list;

/* Called for each name that is not foreign, its bytes in place at folder->key, size bytes in all. */
typedef int walk_visit(void *arg, const walk_folder *folder, const struct dirent *entry, fs_kind kind, size_t size);

static int walk_fail(const walk_folder *folder, const char *what)
{
    char name[3] = ".";
    int error = errno;

    if (folder->fan < FS_FAN_EMPTY)
        snprintf(name, sizeof name, "%02x", folder->fan & 0xff);
    return wb_fs_fail(folder->fs, error, what, name);
}

/* Opens the folder `name` in at. 0 and -1 if there is none. */
static int walk_open(walk_folder *folder, int at, const char *name)
{
    folder->fd = wb_folder_openat(at, name, O_RDONLY | O_DIRECTORY, 0);
    if (folder->fd >= 0 || errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
        return 0;
    return walk_fail(folder, "open");
}

static int walk_open_fan(walk_folder *folder)
{
    char name[3];

    snprintf(name, sizeof name, "%02x", folder->fan & 0xff);
    return walk_open(folder, folder->fs->root, name);
}

static int walk_scan(const walk_folder *folder, walk_visit *visit, void *arg)
{
    const struct dirent *entry;
    int fd = wb_folder_openat(folder->fd, ".", O_RDONLY | O_DIRECTORY, 0);
    DIR *names = fd >= 0 ? fdopendir(fd) : NULL;
    fs_kind kind;
    size_t size;
    int rc = 0;

    if (names == NULL) {
        rc = walk_fail(folder, "read");
        if (fd >= 0)
            close(fd);
        return rc;
    }
    while (rc == 0 && (errno = 0, entry = readdir(names)) != NULL) {
        size = folder->size;
        kind = wb_fs_name_parse(entry->d_name, folder->fan, folder->key, &size);
        if (kind != FS_FOREIGN)
            rc = visit(arg, folder, entry, kind, size);
    }
    if (rc == 0 && errno != 0)
        rc = walk_fail(folder, "read");
    closedir(names);
    return rc;
}

/* 0: a blob of this many bytes; BLOB_NOT_FOUND: gone, or foreign. */
static int walk_stat(const walk_folder *folder, const char *name, uint64_t *size)
{
    struct stat st;

    if (fstatat(folder->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? BLOB_NOT_FOUND : walk_fail(folder, "read");
    *size = (uint64_t)st.st_size;
    return S_ISREG(st.st_mode) ? 0 : BLOB_NOT_FOUND;
}

typedef struct walk_collect {
    walk_names *names;
    blob_key start;
} walk_collect;

static int walk_collect_visit(void *arg, const walk_folder *folder, const struct dirent *entry, fs_kind kind,
                              size_t size)
{
    const walk_collect *collect = arg;
    walk_names *names = collect->names;
    size_t need = strlen(entry->d_name) + 1, room;
    blob_key start = collect->start;
    char *text;

    /* A folder holds every key that goes on after its name: all are too early only if its name and start differ. */
    if (kind == FS_FOLDER && start.size > size)
        start.size = size;
    if (blob_key_compare(blob_key_of(folder->key, size), start) < 0)
        return 0;
    if (names->room - names->used < need) {
        room = names->room == 0 ? 4096 : names->room;
        if (room > SIZE_MAX / 2 || (text = realloc(names->text, 2 * room)) == NULL)
            return blob_fail(-ENOMEM, 0, "no memory to list %.200s", folder->fs->dir);
        names->text = text;
        names->room = 2 * room;
    }
    memcpy(names->text + names->used, entry->d_name, need);
    names->used += need;
    names->count++;
    return 0;
}

static int walk_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Reads the names of a folder that are not before start, sorted. */
static int walk_names_read(walk_names *names, const walk_folder *folder, blob_key start)
{
    pthread_mutex_t *lock = &wb_fs_shard(folder->fs, folder->fan)->lock;
    walk_collect collect = {.names = names, .start = start};
    const char *text;
    int rc;

    pthread_mutex_lock(lock);
    rc = walk_scan(folder, walk_collect_visit, &collect);
    pthread_mutex_unlock(lock);
    if (rc != 0 || names->count == 0)
        return rc;
    /* Each name has at least 3 bytes of text, so the product cannot overflow by much: calloc checks. */
    names->sorted = calloc(names->count, sizeof *names->sorted);
    if (names->sorted == NULL)
        return blob_fail(-ENOMEM, 0, "no memory to list %.200s", folder->fs->dir);
    text = names->text;
    for (size_t i = 0; i < names->count; i++, text += strlen(text) + 1)
        names->sorted[i] = text;
    qsort(names->sorted, names->count, sizeof *names->sorted, walk_order);
    return 0;
}

static int walk_report(const walk_folder *folder, walk_list *list, const char *name, size_t size)
{
    uint64_t bytes = 0;
    int rc = walk_stat(folder, name, &bytes);

    if (rc != 0)
        return rc == BLOB_NOT_FOUND ? 0 : rc;
    rc = list->fn(list->arg, blob_key_of(folder->key, size), bytes);
    if (rc == 0)
        return 0;
    list->stopped = true;
    return wb_list_end(rc);
}

static int walk_list_folder(const walk_folder *folder, walk_list *list)
{
    walk_names names = {0};
    walk_folder below = *folder;
    const char *name;
    int rc = walk_names_read(&names, folder, list->start);

    for (size_t i = 0; i < names.count && rc == 0 && !list->stopped; i++) {
        name = names.sorted[i];
        if (i > 0 && strcmp(name, names.sorted[i - 1]) == 0)
            continue;
        if ((rc = blob_ctx_status(list->ctx)) != 0)
            break;
        below.size = folder->size;
        if (wb_fs_name_parse(name, folder->fan, folder->key, &below.size) == FS_BLOB) {
            rc = walk_report(folder, list, name, below.size);
        } else if ((rc = walk_open(&below, folder->fd, name)) == 0 && below.fd >= 0) {
            rc = walk_list_folder(&below, list);
            close(below.fd);
        }
    }
    free(names.text);
    free(names.sorted);
    return rc;
}

int wb_fs_list(blob_store *s, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg)
{
    unsigned char key[BLOB_KEY_MAX];
    walk_list list = {.ctx = ctx, .start = start, .fn = fn, .arg = arg};
    walk_folder folder = {.fs = wb_fs_of(s), .fan = FS_FAN_EMPTY, .key = key};
    unsigned first = start.size > 0 ? *(const unsigned char *)start.data : 0;
    int rc = 0;

    folder.fd = folder.fs->root;
    if (start.size == 0)
        rc = walk_report(&folder, &list, FS_EMPTY_KEY, 0);
    for (folder.fan = first; folder.fan < FS_FAN_EMPTY && rc == 0 && !list.stopped; folder.fan++) {
        if ((rc = blob_ctx_status(ctx)) != 0 || (rc = walk_open_fan(&folder)) != 0 || folder.fd < 0)
            continue;
        rc = walk_list_folder(&folder, &list);
        close(folder.fd);
    }
    if (rc != 0 || list.stopped)
        return rc;
    /* What was not there may have been the whole store. */
    rc = wb_fs_absent(folder.fs);
    return rc == BLOB_NOT_FOUND ? 0 : rc;
}

static int walk_count_visit(void *arg, const walk_folder *folder, const struct dirent *entry, fs_kind kind, size_t size)
{
    uint64_t *count = arg, bytes;
    walk_folder below = *folder;
    int rc;

    if (kind == FS_FOLDER) {
        below.size = size;
        if ((rc = walk_open(&below, folder->fd, entry->d_name)) != 0 || below.fd < 0)
            return rc;
        rc = walk_scan(&below, walk_count_visit, count);
        close(below.fd);
        return rc;
    }
    rc = entry->d_type == DT_REG ? 0 : walk_stat(folder, entry->d_name, &bytes);
    if (rc == 0)
        ++*count;
    return rc == BLOB_NOT_FOUND ? 0 : rc;
}

static int walk_count_fan(fs_store *fs, unsigned fan, uint64_t *count)
{
    unsigned char key[BLOB_KEY_MAX];
    walk_folder folder = {.fs = fs, .fd = fs->root, .fan = fan, .key = key};
    uint64_t bytes;
    int rc;

    if (fan == FS_FAN_EMPTY) {
        rc = walk_stat(&folder, FS_EMPTY_KEY, &bytes);
        *count += rc == 0;
        return rc == BLOB_NOT_FOUND ? 0 : rc;
    }
    if ((rc = walk_open_fan(&folder)) != 0 || folder.fd < 0)
        return rc;
    rc = walk_scan(&folder, walk_count_visit, count);
    close(folder.fd);
    return rc;
}

static int walk_count_shard(fs_store *fs, unsigned number)
{
    fs_shard *shard = &fs->shards[number];
    uint64_t count = 0;
    int rc = 0;

    pthread_mutex_lock(&shard->lock);
    if (!shard->counted) {
        for (unsigned fan = number; fan < FS_FANS && rc == 0; fan += FS_SHARDS)
            rc = walk_count_fan(fs, fan, &count);
        shard->count = count;
        shard->counted = rc == 0;
    }
    pthread_mutex_unlock(&shard->lock);
    return rc;
}

static bool walk_sum(fs_store *fs, uint64_t *out)
{
    bool counted = true;

    *out = 0;
    for (unsigned i = 0; i < FS_SHARDS; i++)
        pthread_mutex_lock(&fs->shards[i].lock);
    for (unsigned i = 0; i < FS_SHARDS; i++) {
        counted = counted && fs->shards[i].counted;
        *out += fs->shards[i].count;
    }
    for (unsigned i = 0; i < FS_SHARDS; i++)
        pthread_mutex_unlock(&fs->shards[i].lock);
    return counted;
}

static void walk_forget_counts(fs_store *fs)
{
    for (unsigned i = 0; i < FS_SHARDS; i++) {
        pthread_mutex_lock(&fs->shards[i].lock);
        fs->shards[i].counted = false;
        pthread_mutex_unlock(&fs->shards[i].lock);
    }
}

int wb_fs_len(blob_store *s, blob_ctx *ctx, uint64_t *out)
{
    fs_store *fs = wb_fs_of(s);
    int rc;

    do {
        for (unsigned i = 0; i < FS_SHARDS; i++)
            if ((rc = blob_ctx_status(ctx)) != 0 || (rc = walk_count_shard(fs, i)) != 0)
                return rc;
    } while (!walk_sum(fs, out)); /* an operation that failed has made a count doubtful meanwhile */
    rc = wb_fs_absent(fs);
    if (rc == BLOB_NOT_FOUND)
        return 0;
    walk_forget_counts(fs); /* they may be of a folder that was away */
    return rc;
}
