/* store.c - checked dispatch: arguments, the ops table and the ctx are checked here once, for every store.
 *
 * A store's operation may rely on: a valid key (its size within bounds, data where the size is not 0), valid views and
 * flags, a ctx that had not ended a moment ago, outs that are there and cleared. The caller may rely on: outs cleared
 * again after a failure, no status above 0, and an error detail that belongs to this call. */
#include "blob/store.h"
#include "blob/status.h"

#include <errno.h>

static bool store_bytes_ok(const void *data, size_t size)
{
    return size <= PTRDIFF_MAX && (data != NULL || size == 0);
}

static const char *store_name(const blob_store *s)
{
    return WB_STORE_HAS(s, name) ? s->ops->name : "store";
}

/* What every operation checks first, in this order: the store, the operation, the ctx. */
static int store_check(const blob_store *s, bool has_op, blob_ctx *ctx, const char *op)
{
    int status;

    if (s == NULL || s->ops == NULL)
        return blob_fail(-EINVAL, 0, "%s: no store", op);
    if (!has_op)
        return blob_fail(BLOB_UNSUPPORTED, 0, "%s has no %s", store_name(s), op);
    status = blob_ctx_status(ctx);
    return status == 0 ? 0 : blob_fail(status, 0, "%s not begun: its context has ended", op);
}

static int store_check_key(blob_key key, const char *op)
{
    if (key.size > BLOB_KEY_MAX)
        return blob_fail(-EINVAL, 0, "%s: a key of %zu bytes; the most is %d", op, key.size, BLOB_KEY_MAX);
    if (!store_bytes_ok(key.data, key.size))
        return blob_fail(-EINVAL, 0, "%s: a key without its bytes", op);
    return 0;
}

static int store_bad(const char *op, const char *what)
{
    return blob_fail(-EINVAL, 0, "%s: %s", op, what);
}

/* A status above 0 is a broken store; to take it for success would lose data. */
static int store_settle(const blob_store *s, uint64_t mark, int status, const char *op)
{
    if (status > 0)
        return blob_fail(-EIO, 0, "%s answered %s with %d, which no status is", store_name(s), op, status);
    return wb_status_settle(mark, status);
}

#define STORE_HAS(s, op) ((s) != NULL && (s)->ops != NULL && WB_STORE_HAS(s, op))

int blob_store_get(blob_store *s, blob_ctx *ctx, blob_key key, blob **out)
{
    uint64_t mark = wb_status_mark();
    int rc;

    if (out == NULL)
        return store_bad("get", "no out");
    *out = NULL;
    if ((rc = store_check(s, STORE_HAS(s, get), ctx, "get")) != 0 || (rc = store_check_key(key, "get")) != 0)
        return rc;
    rc = store_settle(s, mark, s->ops->get(s, ctx, key, out), "get");
    if (rc != 0)
        *out = NULL;
    else if (*out == NULL)
        rc = blob_fail(-EIO, 0, "%s answered get with no blob", store_name(s));
    return rc;
}

int blob_store_put(blob_store *s, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags)
{
    uint64_t mark = wb_status_mark();
    int rc;

    if ((rc = store_check(s, STORE_HAS(s, put), ctx, "put")) != 0 || (rc = store_check_key(key, "put")) != 0)
        return rc;
    if (!store_bytes_ok(data.data, data.size))
        return store_bad("put", "a view without its bytes");
    if ((flags & ~BLOB_REPLACE) != 0)
        return store_bad("put", "unknown flags");
    return store_settle(s, mark, s->ops->put(s, ctx, key, data, flags), "put");
}

int blob_store_delete(blob_store *s, blob_ctx *ctx, blob_key key, unsigned flags)
{
    uint64_t mark = wb_status_mark();
    int rc;

    if ((rc = store_check(s, STORE_HAS(s, del), ctx, "delete")) != 0 || (rc = store_check_key(key, "delete")) != 0)
        return rc;
    if ((flags & ~BLOB_LAZY) != 0)
        return store_bad("delete", "unknown flags");
    return store_settle(s, mark, s->ops->del(s, ctx, key, flags), "delete");
}

int blob_store_size(blob_store *s, blob_ctx *ctx, blob_key key, uint64_t *out)
{
    uint64_t mark = wb_status_mark();
    int rc;

    if (out == NULL)
        return store_bad("size", "no out");
    *out = 0;
    if ((rc = store_check(s, STORE_HAS(s, size), ctx, "size")) != 0 || (rc = store_check_key(key, "size")) != 0)
        return rc;
    rc = store_settle(s, mark, s->ops->size(s, ctx, key, out), "size");
    if (rc != 0)
        *out = 0;
    return rc;
}

int blob_store_list(blob_store *s, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg)
{
    uint64_t mark = wb_status_mark();
    int rc;

    if (fn == NULL)
        return store_bad("list", "no callback");
    if ((rc = store_check(s, STORE_HAS(s, list), ctx, "list")) != 0 || (rc = store_check_key(start, "list")) != 0)
        return rc;
    return store_settle(s, mark, s->ops->list(s, ctx, start, fn, arg), "list");
}

int blob_store_len(blob_store *s, blob_ctx *ctx, uint64_t *out)
{
    uint64_t mark = wb_status_mark();
    int rc;

    if (out == NULL)
        return store_bad("len", "no out");
    *out = 0;
    if ((rc = store_check(s, STORE_HAS(s, len), ctx, "len")) != 0)
        return rc;
    rc = store_settle(s, mark, s->ops->len(s, ctx, out), "len");
    if (rc != 0)
        *out = 0;
    return rc;
}

int blob_store_close(blob_store *s, blob_ctx *ctx)
{
    uint64_t mark = wb_status_mark();
    int rc;

    /* An ended ctx must not keep anything open: it is the store's to heed, and only for what it flushes. */
    if ((rc = store_check(s, STORE_HAS(s, close), NULL, "close")) != 0)
        return rc;
    rc = s->ops->close(s, ctx);
    return rc > 0 ? blob_fail(-EIO, 0, "a store answered close with %d, which no status is", rc)
                  : wb_status_settle(mark, rc);
}

static int store_check_address(const blob_store *s, const blob_address *address, const char *op)
{
    if (address->size >= 1 && address->size <= BLOB_ADDRESS_MAX)
        return 0;
    return blob_fail(-EIO, 0, "%s answered %s with an address of %zu bytes", store_name(s), op, address->size);
}

int blob_store_cas_key(blob_store *s, blob_ctx *ctx, blob_view data, blob_address *out)
{
    uint64_t mark = wb_status_mark();
    int rc;

    if (out == NULL)
        return store_bad("cas_key", "no out");
    out->size = 0;
    if ((rc = store_check(s, STORE_HAS(s, cas_key), ctx, "cas_key")) != 0)
        return rc;
    if (!store_bytes_ok(data.data, data.size))
        return store_bad("cas_key", "a view without its bytes");
    rc = store_settle(s, mark, s->ops->cas_key(s, ctx, data, out), "cas_key");
    if (rc == 0)
        rc = store_check_address(s, out, "cas_key");
    if (rc != 0)
        out->size = 0;
    return rc;
}

int blob_store_cas_put(blob_store *s, blob_ctx *ctx, blob_view data, blob_address *out)
{
    uint64_t mark = wb_status_mark();
    int rc;

    if (out == NULL)
        return store_bad("cas_put", "no out");
    out->size = 0;
    if ((rc = store_check(s, STORE_HAS(s, cas_put), NULL, "cas_put")) != 0)
        return rc;
    if (!store_bytes_ok(data.data, data.size))
        return store_bad("cas_put", "a view without its bytes");
    if (blob_ctx_status(ctx) != 0) {
        (void)blob_store_cas_key(s, NULL, data, out); /* the address is promised whatever becomes of the put */
        return store_check(s, true, ctx, "cas_put");
    }
    rc = store_settle(s, mark, s->ops->cas_put(s, ctx, data, out), "cas_put");
    if (rc == 0)
        rc = store_check_address(s, out, "cas_put");
    /* After a failure the address stays, if there is one; but a size that reads past its bytes never does. */
    if (out->size > BLOB_ADDRESS_MAX)
        out->size = 0;
    return rc;
}

unsigned wb_store_traits(blob_store *s)
{
    return WB_STORE_HAS(s, traits) ? s->ops->traits(s) : 0;
}

int64_t wb_store_in_doubt_ms(blob_store *s)
{
    int64_t ms = WB_STORE_HAS(s, in_doubt_ms) ? s->ops->in_doubt_ms(s) : 0;

    return ms > 0 ? ms : 0;
}

int wb_list_end(int verdict)
{
    if (verdict == BLOB_LIST_STOP)
        return 0;
    return verdict < 0 ? verdict
                       : store_bad("list", "the callback's verdict is neither 0, BLOB_LIST_STOP nor negative");
}
