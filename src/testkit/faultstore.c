/* faultstore.c - the store itself: each operation is a call with a beginning, rules before it, the inner store's own
 * operation, rules after it, and an end. See testkit.h for what it can do. */
#include "faultstore_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FS_PATIENCE_MS 60000

static blob_faultstore *fs_of(blob_store *s)
{
    return (blob_faultstore *)s;
}

static wb_fault_call fs_call(blob_store *s, unsigned op, blob_ctx *ctx)
{
    return (wb_fault_call){.store = fs_of(s), .op = op, .ctx = ctx};
}

static wb_fault_call fs_key_call(blob_store *s, unsigned op, blob_ctx *ctx, blob_key key)
{
    return (wb_fault_call){.store = fs_of(s), .op = op, .ctx = ctx, .has_key = true, .key = key};
}

/* Begins the call. False: a rule has answered it with *status. */
static bool fs_enter(wb_fault_call *call, int *status)
{
    *status = wb_fault_begin(call);
    if (*status != 0 || wb_fault_apply(call, BLOB_FAULT_BEFORE, 0, status))
        return false;
    call->reached = true;
    return true;
}

/* After inner has answered with *status. True: a rule answers in its place, and inner's outs must go. */
static bool fs_after(wb_fault_call *call, int *status)
{
    return call->reached && wb_fault_apply(call, BLOB_FAULT_AFTER, 0, status);
}

/* A copy of the bytes with the changes that the rules asked for. */
static int fs_change(const wb_fault_call *call, blob_view data, blob **out)
{
    size_t size = data.size;
    void *bytes;
    int rc;

    if ((call->changes & wb_fault_bit(BLOB_FAULT_TRUNCATE)) != 0)
        size /= 2;
    rc = blob_new_alloc(out, size, &bytes);
    if (rc != 0)
        return rc;
    if (size > 0)
        memcpy(bytes, data.data, size);
    if (size > 0 && (call->changes & wb_fault_bit(BLOB_FAULT_FLIP)) != 0)
        ((unsigned char *)bytes)[size / 2] ^= 1;
    return 0;
}

static int fs_get(blob_store *s, blob_ctx *ctx, blob_key key, blob **out)
{
    wb_fault_call call = fs_key_call(s, BLOB_FAULT_GET, ctx, key);
    blob *changed = NULL;
    int rc;

    *out = NULL;
    if (fs_enter(&call, &rc))
        rc = blob_store_get(call.store->inner, call.ctx, key, out);
    if (fs_after(&call, &rc)) {
        blob_unref(*out);
        *out = NULL;
    } else if (*out != NULL && call.changes != 0) {
        rc = fs_change(&call, blob_view_of((*out)->data, (*out)->size), &changed);
        blob_unref(*out);
        *out = changed;
    }
    return wb_fault_end(&call, rc);
}

static int fs_put(blob_store *s, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags)
{
    wb_fault_call call = fs_key_call(s, BLOB_FAULT_PUT, ctx, key);
    blob *changed = NULL;
    int rc;

    call.data = data;
    call.flags = flags;
    if (fs_enter(&call, &rc)) {
        rc = call.changes == 0 ? 0 : fs_change(&call, data, &changed);
        if (rc == 0 && changed != NULL)
            data = blob_view_of(changed->data, changed->size);
        if (rc == 0)
            rc = blob_store_put(call.store->inner, call.ctx, key, data, flags);
    }
    fs_after(&call, &rc);
    blob_unref(changed);
    return wb_fault_end(&call, rc);
}

static int fs_del(blob_store *s, blob_ctx *ctx, blob_key key, unsigned flags)
{
    wb_fault_call call = fs_key_call(s, BLOB_FAULT_DELETE, ctx, key);
    int rc;

    call.flags = flags;
    if (fs_enter(&call, &rc))
        rc = blob_store_delete(call.store->inner, call.ctx, key, flags);
    fs_after(&call, &rc);
    return wb_fault_end(&call, rc);
}

static int fs_size(blob_store *s, blob_ctx *ctx, blob_key key, uint64_t *out)
{
    wb_fault_call call = fs_key_call(s, BLOB_FAULT_SIZE, ctx, key);
    int rc;

    *out = 0;
    if (fs_enter(&call, &rc))
        rc = blob_store_size(call.store->inner, call.ctx, key, out);
    if (fs_after(&call, &rc))
        *out = 0;
    return wb_fault_end(&call, rc);
}

static int fs_len(blob_store *s, blob_ctx *ctx, uint64_t *out)
{
    wb_fault_call call = fs_call(s, BLOB_FAULT_LEN, ctx);
    int rc;

    *out = 0;
    if (fs_enter(&call, &rc))
        rc = blob_store_len(call.store->inner, call.ctx, out);
    if (fs_after(&call, &rc))
        *out = 0;
    return wb_fault_end(&call, rc);
}

/* A listing passes through here key by key, for the rules that act in the middle of one. */
typedef struct fs_listing {
    wb_fault_call *call;
    blob_list_fn *fn;
    void *arg;
    uint64_t keys_seen;
} fs_listing;

static int fs_list_key(void *arg, blob_key key, uint64_t size)
{
    fs_listing *listing = arg;
    int status;

    if (wb_fault_apply(listing->call, BLOB_FAULT_DURING, listing->keys_seen, &status))
        return status != 0 ? status : BLOB_LIST_STOP;
    listing->keys_seen++;
    return listing->fn(listing->arg, key, size);
}

static int fs_list(blob_store *s, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg)
{
    wb_fault_call call = fs_key_call(s, BLOB_FAULT_LIST, ctx, start);
    fs_listing listing = {.call = &call, .fn = fn, .arg = arg};
    int rc;

    if (fs_enter(&call, &rc))
        rc = blob_store_list(call.store->inner, call.ctx, start, fs_list_key, &listing);
    fs_after(&call, &rc);
    return wb_fault_end(&call, rc);
}

static int fs_cas_key(blob_store *s, blob_ctx *ctx, blob_view data, blob_address *out)
{
    wb_fault_call call = fs_call(s, BLOB_FAULT_CAS_KEY, ctx);
    int rc;

    out->size = 0;
    call.data = data;
    call.made = out;
    if (fs_enter(&call, &rc))
        rc = blob_store_cas_key(call.store->inner, call.ctx, data, out);
    if (fs_after(&call, &rc))
        out->size = 0;
    return wb_fault_end(&call, rc);
}

/* The address is set however the call ends, if inner can compute it. */
static int fs_cas_put(blob_store *s, blob_ctx *ctx, blob_view data, blob_address *out)
{
    wb_fault_call call = fs_call(s, BLOB_FAULT_CAS_PUT, ctx);
    int rc;

    out->size = 0;
    call.data = data;
    call.made = out;
    if (fs_enter(&call, &rc))
        rc = blob_store_cas_put(call.store->inner, call.ctx, data, out);
    else if (call.address.size > 0 || blob_store_cas_key(call.store->inner, NULL, data, &call.address) == 0)
        *out = call.address;
    fs_after(&call, &rc);
    return wb_fault_end(&call, rc);
}

static unsigned fs_traits(blob_store *s)
{
    blob_faultstore *f = fs_of(s);
    const blob_store_ops *ops = f->inner->ops;
    bool set;
    unsigned traits;

    pthread_mutex_lock(&f->lock);
    set = f->traits_set;
    traits = f->traits;
    pthread_mutex_unlock(&f->lock);
    if (set)
        return traits;
    return ops->struct_size >= offsetof(blob_store_ops, traits) + sizeof ops->traits && ops->traits != NULL
               ? ops->traits(f->inner)
               : 0;
}

static int64_t fs_in_doubt_ms(blob_store *s)
{
    blob_faultstore *f = fs_of(s);
    const blob_store_ops *ops = f->inner->ops;
    bool set;
    int64_t ms;

    pthread_mutex_lock(&f->lock);
    set = f->in_doubt_set;
    ms = f->in_doubt_ms;
    pthread_mutex_unlock(&f->lock);
    if (set)
        return ms;
    return ops->struct_size >= offsetof(blob_store_ops, in_doubt_ms) + sizeof ops->in_doubt_ms &&
                   ops->in_doubt_ms != NULL
               ? ops->in_doubt_ms(f->inner)
               : 0;
}

void blob_faultstore_set_traits(blob_faultstore *f, unsigned traits)
{
    if (!wb_fault_given(f))
        return;
    pthread_mutex_lock(&f->lock);
    f->traits_set = true;
    f->traits = traits;
    pthread_mutex_unlock(&f->lock);
}

void blob_faultstore_set_patience_ms(blob_faultstore *f, int64_t patience_ms)
{
    if (!wb_fault_given(f))
        return;
    pthread_mutex_lock(&f->lock);
    f->patience_ms = patience_ms;
    pthread_mutex_unlock(&f->lock);
}

void blob_faultstore_on_wrong(blob_faultstore *f, blob_faultstore_wrong *fn, void *arg)
{
    if (!wb_fault_given(f))
        return;
    f->wrong = fn;
    f->wrong_arg = arg;
}

void blob_faultstore_set_in_doubt_ms(blob_faultstore *f, int64_t in_doubt_ms)
{
    if (!wb_fault_given(f))
        return;
    pthread_mutex_lock(&f->lock);
    f->in_doubt_set = true;
    f->in_doubt_ms = in_doubt_ms;
    pthread_mutex_unlock(&f->lock);
}

static int fs_close(blob_store *s, blob_ctx *ctx)
{
    blob_faultstore *f = fs_of(s);
    unsigned under_way;

    (void)ctx;
    pthread_mutex_lock(&f->lock);
    under_way = f->counts[WB_FAULT_ALL].in_flight;
    pthread_mutex_unlock(&f->lock);
    if (under_way != 0)
        return wb_fault_wrong(f, -EBUSY, "closed with %u calls under way", under_way);
    wb_fault_free_rules(f);
    wb_fault_drop_late(f);
    wb_fault_forget(f);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    free(f);
    return 0;
}

static const blob_store_ops fs_ops = {
    .struct_size = sizeof(blob_store_ops),
    .name = "faultstore",
    .get = fs_get,
    .put = fs_put,
    .del = fs_del,
    .size = fs_size,
    .list = fs_list,
    .len = fs_len,
    .close = fs_close,
    .cas_key = fs_cas_key,
    .cas_put = fs_cas_put,
    .traits = fs_traits,
    .in_doubt_ms = fs_in_doubt_ms,
};

int blob_faultstore_new(blob_store **out, blob_store *inner, blob_faultstore **controls)
{
    const blob_store_ops *ops;
    blob_faultstore *f;
    int rc;

    if (out != NULL)
        *out = NULL;
    if (controls == NULL)
        return blob_fail(-EINVAL, 0, "a fault store needs a place for its controls");
    *controls = NULL;
    if (inner == NULL || inner->ops == NULL)
        return blob_fail(-EINVAL, 0, "a fault store needs a store to wrap");
    f = calloc(1, sizeof *f);
    if (f == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for a fault store");
    if ((rc = pthread_mutex_init(&f->lock, NULL)) != 0) {
        free(f);
        return blob_fail(-rc, 0, "no lock for a fault store");
    }
    if ((rc = blob_cond_init(&f->changed)) != 0) {
        pthread_mutex_destroy(&f->lock);
        free(f);
        return rc;
    }
    ops = inner->ops;
    f->ops = fs_ops;
    if (ops->struct_size < offsetof(blob_store_ops, cas_key) + sizeof ops->cas_key || ops->cas_key == NULL)
        f->ops.cas_key = NULL;
    if (ops->struct_size < offsetof(blob_store_ops, cas_put) + sizeof ops->cas_put || ops->cas_put == NULL)
        f->ops.cas_put = NULL;
    f->store.ops = &f->ops;
    f->inner = inner;
    f->rules_end = &f->rules;
    f->late_end = &f->late;
    f->patience_ms = FS_PATIENCE_MS;
    atomic_init(&f->own_ticks, 1);
    f->ticks = &f->own_ticks;
    *controls = f;
    if (out != NULL)
        *out = &f->store;
    return 0;
}

blob_store *blob_faultstore_store(blob_faultstore *f)
{
    return wb_fault_given(f) ? &f->store : NULL;
}
