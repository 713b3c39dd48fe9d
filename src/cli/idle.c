/* idle.c - the base as commands that only read or remove want it.
 *
 * Between the wrapper and the real base: it is opened when first asked, so that a blob in the buffer is found without
 * any base at all, and it takes no uploads: looking at blobs must not start sending them. An upload is answered
 * BLOB_UNAVAILABLE with the wish not to be asked again for longer than any command runs. A folder that is not there is
 * an error and stays away: a mistyped name must not look like an empty base. */
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>

typedef struct idle_store {
    blob_store store;
    cli *c;
    cli_place place;
    pthread_mutex_t lock;
    blob_store *inner; /* by lock; set once */
    blob_error error;  /* by lock; why it could not be opened */
} idle_store;

#define IDLE_LATER_MS (INT64_C(24) * 3600 * 1000)

static int idle_open(idle_store *idle)
{
    if (cli_place_missing(&idle->place))
        return blob_fail(-ENOENT, 0, "the base %.150s: no such folder", idle->place.url);
    return cli_open_existing(idle->c, &idle->inner, &idle->place, false);
}

/* Opens the base if nobody has yet. One failure stands: a half-reachable base must not give half an answer. */
static int idle_inner(blob_store *s, blob_store **out)
{
    idle_store *idle = (idle_store *)s;
    int rc;

    pthread_mutex_lock(&idle->lock);
    if (idle->inner == NULL && idle->error.status == 0 && idle_open(idle) != 0)
        blob_last_error(&idle->error);
    *out = idle->inner;
    rc = idle->error.status;
    pthread_mutex_unlock(&idle->lock);
    return rc == 0 ? 0 : blob_fail(rc, 0, "%s", idle->error.text);
}

static int idle_get(blob_store *s, blob_ctx *ctx, blob_key key, blob **out)
{
    blob_store *inner;
    int rc = idle_inner(s, &inner);

    return rc == 0 ? blob_store_get(inner, ctx, key, out) : rc;
}

static int idle_put(blob_store *s, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags)
{
    (void)s, (void)ctx, (void)key, (void)data, (void)flags;
    return blob_fail(BLOB_UNAVAILABLE, IDLE_LATER_MS, "this command sends nothing");
}

static int idle_del(blob_store *s, blob_ctx *ctx, blob_key key, unsigned flags)
{
    blob_store *inner;
    int rc = idle_inner(s, &inner);

    return rc == 0 ? blob_store_delete(inner, ctx, key, flags) : rc;
}

static int idle_size(blob_store *s, blob_ctx *ctx, blob_key key, uint64_t *out)
{
    blob_store *inner;
    int rc = idle_inner(s, &inner);

    return rc == 0 ? blob_store_size(inner, ctx, key, out) : rc;
}

static int idle_list(blob_store *s, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg)
{
    blob_store *inner;
    int rc = idle_inner(s, &inner);

    return rc == 0 ? blob_store_list(inner, ctx, start, fn, arg) : rc;
}

static int idle_len(blob_store *s, blob_ctx *ctx, uint64_t *out)
{
    blob_store *inner;
    int rc = idle_inner(s, &inner);

    return rc == 0 ? blob_store_len(inner, ctx, out) : rc;
}

static int idle_close(blob_store *s, blob_ctx *ctx)
{
    idle_store *idle = (idle_store *)s;
    int rc = idle->inner != NULL ? blob_store_close(idle->inner, ctx) : 0;

    pthread_mutex_destroy(&idle->lock);
    free(idle);
    return rc;
}

static const blob_store_ops idle_ops = {
    .struct_size = sizeof(blob_store_ops),
    .name = "base",
    .get = idle_get,
    .put = idle_put,
    .del = idle_del,
    .size = idle_size,
    .list = idle_list,
    .len = idle_len,
    .close = idle_close,
};

int cli_idle_new(cli *c, blob_store **out, const cli_place *place)
{
    idle_store *idle = calloc(1, sizeof *idle);
    int rc = idle != NULL ? pthread_mutex_init(&idle->lock, NULL) : ENOMEM;

    *out = NULL;
    if (rc != 0) {
        free(idle);
        return blob_fail(-rc, 0, "no memory for the base");
    }
    idle->store.ops = &idle_ops;
    idle->c = c;
    idle->place = *place;
    *out = &idle->store;
    return 0;
}
