/* conform_calls.c - checks: arguments that make no sense, flags nobody knows, outs after failures, ended contexts. */
#include "testkit/conform_int.h"

#include <errno.h>
#include <limits.h>

static const blob_view cc_data = {"data", 4};

/* One key is due at most: a listing without end must not hang us. */
static int cc_count(void *arg, blob_key key, uint64_t size)
{
    (void)key;
    (void)size;
    return ++*(int *)arg > 1 ? BLOB_LIST_STOP : 0;
}

static bool cc_invalid(wb_cf *c, const char *what, int got)
{
    return got == -EINVAL || wb_cf_broken(c, "%s: returned %d (%s), not -EINVAL", what, got, blob_strerror(got));
}

#define CC_HAS(ops, op) ((ops)->struct_size >= offsetof(blob_store_ops, op) + sizeof(ops)->op && (ops)->op != NULL)

/* What a store says of itself: without a required operation most of the rest is broken, too, but this is why. */
static bool cc_table(wb_cf *c)
{
    const blob_store_ops *ops = c->store->ops;
    const struct {
        const char *name;
        bool there;
    } required[] = {
        {"get", CC_HAS(ops, get)},     {"put", CC_HAS(ops, put)},   {"del", CC_HAS(ops, del)},
        {"size", CC_HAS(ops, size)},   {"list", CC_HAS(ops, list)}, {"len", CC_HAS(ops, len)},
        {"close", CC_HAS(ops, close)},
    };

    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        if (!required[i].there)
            return wb_cf_broken(c, "the table of operations has no %s, or its struct_size cuts it off",
                                required[i].name);
    }
    if (!CC_HAS(ops, name) || ops->name[0] == '\0')
        return wb_cf_broken(c, "the table of operations has no name for messages");
    if (CC_HAS(ops, in_doubt_ms) && ops->in_doubt_ms(c->store) < 0)
        return wb_cf_broken(c, "in_doubt_ms is %lld, before the call it is about",
                            (long long)ops->in_doubt_ms(c->store));
    return true;
}

static bool cc_no_store(wb_cf *c)
{
    const blob_key key = wb_cf_key("k");
    uint64_t number;
    int calls = 0;
    blob *b;

    return cc_invalid(c, "get of no store", blob_store_get(NULL, NULL, key, &b)) &&
           cc_invalid(c, "put to no store", blob_store_put(NULL, NULL, key, cc_data, 0)) &&
           cc_invalid(c, "delete in no store", blob_store_delete(NULL, NULL, key, 0)) &&
           cc_invalid(c, "size in no store", blob_store_size(NULL, NULL, key, &number)) &&
           cc_invalid(c, "list of no store", blob_store_list(NULL, NULL, key, cc_count, &calls)) &&
           cc_invalid(c, "len of no store", blob_store_len(NULL, NULL, &number));
}

static bool cc_arguments(wb_cf *c)
{
    const blob_key key = wb_cf_key("k"), no_bytes = {NULL, 3};
    const blob_view no_data = {NULL, 3};
    blob_store *s = c->store;
    uint64_t number;
    int calls = 0;
    blob *b;

    return wb_cf_note(c, key) && cc_no_store(c) &&
           cc_invalid(c, "get without out", blob_store_get(s, NULL, key, NULL)) &&
           cc_invalid(c, "size without out", blob_store_size(s, NULL, key, NULL)) &&
           cc_invalid(c, "len without out", blob_store_len(s, NULL, NULL)) &&
           cc_invalid(c, "list without callback", blob_store_list(s, NULL, key, NULL, NULL)) &&
           cc_invalid(c, "get of a key without bytes", blob_store_get(s, NULL, no_bytes, &b)) &&
           cc_invalid(c, "put of a key without bytes", blob_store_put(s, NULL, no_bytes, cc_data, 0)) &&
           cc_invalid(c, "delete of a key without bytes", blob_store_delete(s, NULL, no_bytes, 0)) &&
           cc_invalid(c, "size of a key without bytes", blob_store_size(s, NULL, no_bytes, &number)) &&
           cc_invalid(c, "list from a key without bytes", blob_store_list(s, NULL, no_bytes, cc_count, &calls)) &&
           cc_invalid(c, "put of a view without bytes", blob_store_put(s, NULL, key, no_data, 0)) && wb_cf_len(c, 0);
}

static bool cc_flags(wb_cf *c)
{
    static const unsigned all = UINT_MAX;
    const blob_key key = wb_cf_key("k"), other = wb_cf_key("o");
    blob_store *s = c->store;

    if (!wb_cf_put(c, key, cc_data, 0, 0) || !wb_cf_note(c, other))
        return false;
    for (unsigned bit = 1; bit != 0; bit <<= 1) {
        if (bit != BLOB_REPLACE &&
            (!wb_cf_put(c, other, cc_data, bit, -EINVAL) || !wb_cf_put(c, key, cc_data, bit | BLOB_REPLACE, -EINVAL)))
            return false;
        if (bit != BLOB_LAZY &&
            (!wb_cf_delete(c, key, bit, -EINVAL) || !wb_cf_delete(c, key, bit | BLOB_LAZY, -EINVAL)))
            return false;
    }
    return cc_invalid(c, "put with all flags", blob_store_put(s, NULL, other, cc_data, all)) &&
           cc_invalid(c, "delete with all flags", blob_store_delete(s, NULL, key, all)) && wb_cf_misses(c, other) &&
           wb_cf_holds(c, key, cc_data);
}

static bool cc_outs(wb_cf *c)
{
    unsigned char bytes[BLOB_KEY_MAX + 1] = {0};
    const blob_key bad[] = {{NULL, 1}, {bytes, sizeof bytes}};
    blob mark = {0};

    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        blob *b = &mark;
        uint64_t size = 1;
        if (blob_store_get(c->store, NULL, bad[i], &b) == 0 || blob_store_size(c->store, NULL, bad[i], &size) == 0)
            return wb_cf_broken(c, "get or size of an impossible key succeeded");
        if (b != NULL || size != 0)
            return wb_cf_broken(c, "get or size failed and did not clear its out");
    }
    return wb_cf_misses(c, wb_cf_key("missing"));
}

/* Every operation under a context that has ended: its status, cleared outs, and no work. key is there, other is not. */
static bool cc_refuses(wb_cf *c, blob_ctx *ctx, int want, blob_key key, blob_key other)
{
    blob_store *s = c->store;
    blob mark = {0}, *b = &mark;
    uint64_t size = 1, len = 1;
    int calls = 0;

    return wb_cf_status(c, "get under an ended context", key, blob_store_get(s, ctx, key, &b), want) &&
           wb_cf_status(c, "size under an ended context", key, blob_store_size(s, ctx, key, &size), want) &&
           wb_cf_status(c, "len under an ended context", key, blob_store_len(s, ctx, &len), want) &&
           wb_cf_status(c, "list under an ended context", key, blob_store_list(s, ctx, key, cc_count, &calls), want) &&
           wb_cf_status(c, "put under an ended context", other, blob_store_put(s, ctx, other, cc_data, 0), want) &&
           wb_cf_status(c, "replace under an ended context", key,
                        blob_store_put(s, ctx, key, blob_view_of("new", 3), BLOB_REPLACE), want) &&
           wb_cf_status(c, "delete under an ended context", key, blob_store_delete(s, ctx, key, 0), want) &&
           wb_cf_status(c, "lazy delete under an ended context", key, blob_store_delete(s, ctx, key, BLOB_LAZY),
                        want) &&
           ((b == NULL && size == 0 && len == 0) || wb_cf_broken(c, "an out was not cleared when the context ended")) &&
           (calls == 0 || wb_cf_broken(c, "a listing called back although its context had ended")) &&
           wb_cf_holds(c, key, cc_data) && wb_cf_misses(c, other);
}

static bool cc_ctx(wb_cf *c, int64_t timeout_ms, bool cancel, int want)
{
    const blob_key key = wb_cf_key("key"), other = wb_cf_key("other");
    blob_ctx *ctx;
    int rc = timeout_ms >= 0 ? blob_ctx_new_timeout(&ctx, NULL, timeout_ms) : blob_ctx_new(&ctx, NULL);
    bool good;

    if (rc != 0)
        return wb_cf_fail(c, rc);
    if (cancel)
        blob_ctx_cancel(ctx);
    good = wb_cf_note(c, other) && wb_cf_put(c, key, cc_data, 0, 0) && cc_refuses(c, ctx, want, key, other);
    blob_ctx_free(ctx);
    return good;
}

static bool cc_cancelled(wb_cf *c)
{
    return cc_ctx(c, -1, true, -ECANCELED);
}

static bool cc_timed_out(wb_cf *c)
{
    return cc_ctx(c, 0, false, -ETIMEDOUT);
}

/* A context that has not ended changes nothing. */
static bool cc_in_time(wb_cf *c)
{
    const blob_key key = wb_cf_key("key");
    blob_store *s = c->store;
    uint64_t size = 0, len = 0;
    int calls = 0, rc;
    blob_ctx *ctx;
    blob *b = NULL;
    bool good;

    rc = blob_ctx_new_timeout(&ctx, NULL, 600000);
    if (rc != 0)
        return wb_cf_fail(c, rc);
    good = wb_cf_note(c, key) && wb_cf_status(c, "put", key, blob_store_put(s, ctx, key, cc_data, 0), 0) &&
           wb_cf_status(c, "get", key, wb_cf_get(c, ctx, key, true, &b), 0) &&
           wb_cf_status(c, "size", key, blob_store_size(s, ctx, key, &size), 0) &&
           wb_cf_status(c, "len", key, blob_store_len(s, ctx, &len), 0) &&
           wb_cf_status(c, "list", key, blob_store_list(s, ctx, key, cc_count, &calls), 0) &&
           ((size == cc_data.size && len == 1 && calls == 1) ||
            wb_cf_broken(c, "size, len or list found something else under a context")) &&
           wb_cf_status(c, "delete", key, blob_store_delete(s, ctx, key, 0), 0) && wb_cf_misses(c, key);
    blob_unref(b);
    blob_ctx_free(ctx);
    return good;
}

/* A listing heeds a cancel that comes while it is under way, or ends as if it had not come. */
#define CC_CANCEL_KEYS 20

typedef struct cc_cancelling {
    blob_ctx *ctx;
    int calls;
} cc_cancelling;

static int cc_cancel(void *arg, blob_key key, uint64_t size)
{
    cc_cancelling *now = arg;

    (void)key;
    (void)size;
    if (now->calls++ == 1)
        blob_ctx_cancel(now->ctx);
    return now->calls > CC_CANCEL_KEYS ? BLOB_LIST_STOP : 0;
}

static bool cc_cancel_in_list(wb_cf *c)
{
    cc_cancelling now = {NULL, 0};
    blob_key keys[CC_CANCEL_KEYS];
    int rc = blob_ctx_new(&now.ctx, NULL);
    bool good;

    if (rc != 0)
        return wb_cf_fail(c, rc);
    good = wb_cf_put_few(c, keys, CC_CANCEL_KEYS);
    if (good) {
        rc = blob_store_list(c->store, now.ctx, keys[0], cc_cancel, &now);
        good = rc == -ECANCELED || (rc == 0 && now.calls == CC_CANCEL_KEYS) ||
               wb_cf_broken(c, "a listing cancelled at its second key called back %d times and returned %d (%s)",
                            now.calls, rc, blob_strerror(rc));
    }
    blob_ctx_free(now.ctx);
    return good;
}

const wb_cf_check wb_cf_table[] = {
    {"table", cc_table},
    {NULL, NULL},
};

const wb_cf_check wb_cf_calls[] = {
    {"arguments", cc_arguments},
    {"flags", cc_flags},
    {"outs-cleared", cc_outs},
    {"ctx-cancelled", cc_cancelled},
    {"ctx-timed-out", cc_timed_out},
    {"ctx-in-time", cc_in_time},
    {"ctx-cancel-in-list", cc_cancel_in_list},
    {NULL, NULL},
};
