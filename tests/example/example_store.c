/* example_store.c - blobs in one file that only grows. Each put and each delete adds a record: what it does, the key, the
 * data's size, and then the data. Which keys there are is known in memory only, and learnt anew when the file is opened.
 * It is simple, not quick: keys are in a list, nothing has a checksum, space is never given back. */
#define _XOPEN_SOURCE 700
#include "example_store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#pragma GCC diagnostic ignored "-Wunused-parameter" /* no operation here waits for long, so few look at ctx */

typedef struct record {
    uint8_t kind, key_size, key[BLOB_KEY_MAX], zeros[7];
    uint64_t size; /* of the data behind it */
} record;
enum { PUT = 0xb1, DELETE = 0xb2, HEAD = sizeof(record) };

typedef struct entry {
    record r;
    off_t at; /* of its data */
    struct entry *next;
} entry;

typedef struct example {
    blob_store store; /* first: a blob_store * of ours is an example * */
    int fd;
    pthread_mutex_t lock; /* guards what follows; never held while a callback runs */
    entry *first;         /* of those that are there, in the order of their keys */
    off_t end;            /* of the last whole record */
} example;

/* Is the key there? *place is where it is or would be: the first entry that is at key or behind it. */
static int find_locked(example *x, blob_key key, entry ***place)
{
    int order = -1;

    *place = &x->first;
    while (**place != NULL && (order = blob_key_compare(blob_key_of((**place)->r.key, (**place)->r.key_size), key)) < 0)
        *place = &(**place)->next;
    return order == 0;
}

/* What the record at the end does to the entries. */
static void apply_locked(example *x, entry *fresh)
{
    entry **place;
    int found = find_locked(x, blob_key_of(fresh->r.key, fresh->r.key_size), &place);
    entry *old = *place;

    fresh->at = x->end + HEAD;
    fresh->next = found ? old->next : old;
    x->end = fresh->at + (off_t)fresh->r.size;
    *place = fresh->r.kind == PUT ? fresh : fresh->next;
    free(found ? old : NULL);
    free(fresh->r.kind == PUT ? NULL : fresh);
}

/* Adds a record, unless there is something to say of a key that is there, or is not. */
static int change(blob_store *s, uint8_t kind, blob_key key, blob_view data, int if_there, int if_not)
{
    example *x = (example *)s;
    entry **place, *fresh = calloc(1, sizeof *fresh); /* now: once the record is in the file nothing may fail */

    if (fresh == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for a key");
    fresh->r = (record){.kind = kind, .key_size = (uint8_t)key.size, .size = data.size};
    memcpy(fresh->r.key, key.size > 0 ? key.data : "", key.size);
    pthread_mutex_lock(&x->lock);
    int rc = find_locked(x, key, &place) ? if_there : if_not;
    if (rc == 0 && (pwrite(x->fd, &fresh->r, HEAD, x->end) != HEAD ||
                    pwrite(x->fd, data.data, data.size, x->end + HEAD) != (ssize_t)data.size || fdatasync(x->fd) != 0))
        rc = blob_fail(ftruncate(x->fd, x->end) == 0 && errno == ENOSPC ? -ENOSPC : -EIO, 0, "cannot add to the file");
    if (rc == 0)
        apply_locked(x, fresh);
    else
        free(fresh);
    pthread_mutex_unlock(&x->lock);
    return rc;
}

static int example_put(blob_store *s, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags)
{
    return change(s, PUT, key, data, flags == BLOB_REPLACE ? 0 : BLOB_EXISTS, 0);
}

/* A crash may forget a lazy delete. This store forgets none, so it need not look at the flag. */
static int example_delete(blob_store *s, blob_ctx *ctx, blob_key key, unsigned flags)
{
    return change(s, DELETE, key, blob_view_of(NULL, 0), 0, BLOB_NOT_FOUND);
}

static int example_get(blob_store *s, blob_ctx *ctx, blob_key key, blob **out)
{
    example *x = (example *)s;
    void *bytes;
    entry **e;

    pthread_mutex_lock(&x->lock);
    int rc = find_locked(x, key, &e) ? blob_new_alloc(out, (size_t)(*e)->r.size, &bytes) : BLOB_NOT_FOUND;
    if (rc == 0 && pread(x->fd, bytes, (*out)->size, (*e)->at) != (ssize_t)(*e)->r.size) {
        blob_unref(*out);
        rc = blob_fail(BLOB_CORRUPT, 0, "the file lacks bytes that it had");
    }
    pthread_mutex_unlock(&x->lock);
    return rc;
}

static int example_size(blob_store *s, blob_ctx *ctx, blob_key key, uint64_t *out)
{
    example *x = (example *)s;
    entry **e;

    pthread_mutex_lock(&x->lock);
    int found = find_locked(x, key, &e);
    *out = found ? (*e)->r.size : 0;
    pthread_mutex_unlock(&x->lock);
    return found ? 0 : BLOB_NOT_FOUND;
}

/* Each key is looked for anew behind the one before, so others may put and delete meanwhile. */
static int example_list(blob_store *s, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg)
{
    example *x = (example *)s;
    record now = {.kind = 0}; /* a copy: what the lock guards may be gone without it */
    entry **e;
    int rc = 0;

    while (rc == 0 && (rc = blob_ctx_status(ctx)) == 0) {
        pthread_mutex_lock(&x->lock);
        if (find_locked(x, now.kind == PUT ? blob_key_of(now.key, now.key_size) : start, &e) && now.kind == PUT)
            e = &(*e)->next;
        now = *e != NULL ? (*e)->r : (record){.kind = 0};
        pthread_mutex_unlock(&x->lock);
        rc = now.kind == PUT ? fn(arg, blob_key_of(now.key, now.key_size), now.size) : BLOB_LIST_STOP;
    }
    return rc == BLOB_LIST_STOP ? 0 : rc;
}

static int example_len(blob_store *s, blob_ctx *ctx, uint64_t *out)
{
    example *x = (example *)s;

    pthread_mutex_lock(&x->lock);
    for (entry *e = x->first; e != NULL; e = e->next)
        ++*out;
    pthread_mutex_unlock(&x->lock);
    return 0;
}

static int example_close(blob_store *s, blob_ctx *ctx)
{
    example *x = (example *)s;

    for (entry *e; (e = x->first) != NULL; free(e))
        x->first = e->next;
    pthread_mutex_destroy(&x->lock);
    close(x->fd);
    free(x);
    return 0;
}

static const blob_store_ops example_ops = {.struct_size = sizeof(blob_store_ops),
                                           .name = "example",
                                           .get = example_get,
                                           .put = example_put,
                                           .del = example_delete,
                                           .size = example_size,
                                           .list = example_list,
                                           .len = example_len,
                                           .close = example_close};

int example_store_open(blob_store **out, const char *path)
{
    example *x = calloc(1, sizeof *x);
    entry *e = NULL;

    *out = NULL;
    if (x == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for a store");
    *x = (example){{&example_ops}, open(path, O_RDWR | O_CREAT, 0666), PTHREAD_MUTEX_INITIALIZER, NULL, 0};
    off_t size = x->fd < 0 ? -1 : lseek(x->fd, 0, SEEK_END);
    int rc = size < 0 ? -errno : 0;
    while (rc == 0 && (e = calloc(1, sizeof *e)) != NULL && pread(x->fd, &e->r, HEAD, x->end) == HEAD &&
           (e->r.kind == PUT || e->r.kind == DELETE) && (uint64_t)(size - x->end - HEAD) >= e->r.size)
        apply_locked(x, e);
    if (rc == 0 && e != NULL && e->r.kind != 0 && e->r.kind != PUT && e->r.kind != DELETE)
        rc = BLOB_CORRUPT;                                       /* another's file: not to be cut */
    if (rc == 0 && (e == NULL || ftruncate(x->fd, x->end) != 0)) /* cut: what a crash has left half written */
        rc = e == NULL ? -ENOMEM : -errno;
    free(e);
    if (rc != 0) {
        example_close(&x->store, NULL);
        return blob_fail(rc, 0, "%s cannot be opened", path);
    }
    *out = &x->store;
    return 0;
}
