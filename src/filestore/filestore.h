/* filestore.h - for the inside of filestore: the open store, and what its files tell each other.
 *
 *   path.c       key <-> place in the folder
 *   folder.c     opening the store's folder: its parents, its lock, the leftovers of a crash
 *   durable.c    fan-out folders: finding, making and syncing them; errors in words
 *   put.c        writing a blob and giving it its name
 *   walk.c       list and len
 *   filestore.c  get, size, delete; open and close */
#ifndef WB_FILESTORE_H
#define WB_FILESTORE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <wbstore/blob_store.h>

#define FS_NAME_BYTES ((size_t)64) /* of a key in one name: every content address fits */
#define FS_NAME_MAX (2 * FS_NAME_BYTES + 1)
#define FS_FANS 257 /* one for each first byte, and the store's own folder for the empty key */
#define FS_FAN_EMPTY 256
#define FS_SHARDS 32 /* len holds all their locks at once: lock checkers allow a thread 64 */
#define FS_LOCK "LOCK"
#define FS_TMP "tmp"
#define FS_TMP_PREFIX "put-"
#define FS_TMP_MAX 24
#define FS_EMPTY_KEY "empty-key"
#define FS_CHUNK ((size_t)8 << 20) /* bytes read or written between two looks at the ctx */

/* "ab/", and for each full name but the last its digits, '+' and '/'. */
#define FS_PATH_MAX (3 + (BLOB_KEY_MAX / FS_NAME_BYTES) * (FS_NAME_MAX + 1) + 2 * FS_NAME_BYTES + 1)

typedef struct fs_path {
    char text[FS_PATH_MAX];   /* below the store's folder */
    char folder[FS_PATH_MAX]; /* likewise, of the folder it is in; "." for the empty key */
    const char *name;         /* of the file in its folder; within text */
    unsigned fan;
} fs_path;

typedef struct fs_shard {
    pthread_mutex_t lock;
    bool counted;   /* by lock */
    uint64_t count; /* by lock; of the blobs in the shard's folders, exact if counted */
} fs_shard;

/* Lock legend: no letter: fixed while the store is open. A shard's lock is held while one name of one of its folders
 * is linked, renamed or removed, and while the names of one folder are read: never while a file is written, read or
 * synced, never across a callback. It costs no parallelism that the kernel's own lock of that folder does not cost. */
typedef struct fs_store {
    blob_store store;
    char *dir;           /* as given, for messages only */
    int root, tmp, lock; /* descriptors */
    bool no_sync;
    pid_t owner;
    dev_t lock_dev;
    ino_t lock_ino;
    atomic_uint_fast64_t next_tmp;
    atomic_bool unsynced[FS_FANS]; /* made since the store was opened, the store's folder not synced after */
    atomic_int failed[FS_FANS];    /* the error a sync there failed with; 0: none */
    fs_shard shards[FS_SHARDS];
} fs_store;

static inline fs_shard *wb_fs_shard(fs_store *fs, unsigned fan)
{
    return &fs->shards[fan % FS_SHARDS];
}

/* filestore.c: s is one of ours. */
fs_store *wb_fs_of(blob_store *s);

/* path.c */
typedef enum fs_kind { FS_FOREIGN, FS_BLOB, FS_FOLDER } fs_kind;
void wb_fs_path(fs_path *path, blob_key key);

/* What a name in a folder means whose keys begin with `size` bytes at key: FS_BLOB and FS_FOLDER append the name's
 * bytes to key and add them to *size. In a fan-out folder itself *size is 0 and fan tells which. */
fs_kind wb_fs_name_parse(const char *name, unsigned fan, unsigned char key[BLOB_KEY_MAX], size_t *size);

/* durable.c: each returns a status whose words are set. */
int wb_fs_fail(const fs_store *fs, int error, const char *what, const char *name);

/* The answer when a name is not there: BLOB_NOT_FOUND, or that the whole store is gone. Without words if not found. */
int wb_fs_absent(const fs_store *fs);

/* What stands under the name of a blob: 0 a blob, BLOB_NOT_FOUND nothing, -EEXIST something foreign, without words
 * these; st is set for 0. */
struct stat;
int wb_fs_look(const fs_store *fs, int folder, const char *name, struct stat *st);

/* Opens the folder of a path, made with all above it if `make`. *fd is -1 on failure; without `make` a folder that is
 * not there is 0 and -1. */
int wb_fs_folder_open(fs_store *fs, const fs_path *path, bool make, int *fd);

/* Makes what happened in the folder last: the folder itself, and with `chain` all above it as well. */
int wb_fs_folder_sync(fs_store *fs, const fs_path *path, int folder, bool chain);

/* -EIO once a sync there has failed: for every put and every lasting delete. */
int wb_fs_check_failed(const fs_store *fs, unsigned fan);
int wb_fs_sync_failed(fs_store *fs, int error, unsigned fan, const char *name);

/* folder.c */
int wb_fs_root_open(fs_store *fs);   /* sets root, lock and tmp, which are -1 before; no clean-up on failure */
void wb_fs_root_close(fs_store *fs); /* any of them may be -1 */

/* put.c */
int wb_fs_put(blob_store *s, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags);

/* walk.c */
int wb_fs_list(blob_store *s, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg);
int wb_fs_len(blob_store *s, blob_ctx *ctx, uint64_t *out);

#endif
