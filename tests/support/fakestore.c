/* fakestore.c - see fakestore.h. */
#include "fakestore.h"

char fake_junk;

static int fake_answer(blob_store *s, blob_ctx *ctx, fake_op op, bool out_was_clear)
{
    fake *f = (fake *)(void *)s;

    f->calls++;
    f->op = op;
    f->ctx = ctx;
    f->out_was_clear = out_was_clear;
    return f->words != NULL ? blob_fail(f->status, 0, "%s", f->words) : f->status;
}

static int fake_get(blob_store *s, blob_ctx *ctx, blob_key key, blob **out)
{
    fake *f = (fake *)(void *)s;
    bool clear = *out == NULL;

    f->key = key;
    if (f->fill)
        *out = (blob *)(void *)&fake_junk;
    return fake_answer(s, ctx, GET, clear);
}

static int fake_put(blob_store *s, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags)
{
    fake *f = (fake *)(void *)s;

    f->key = key;
    f->data = data;
    f->flags = flags;
    return fake_answer(s, ctx, PUT, true);
}

static int fake_del(blob_store *s, blob_ctx *ctx, blob_key key, unsigned flags)
{
    fake *f = (fake *)(void *)s;

    f->key = key;
    f->flags = flags;
    return fake_answer(s, ctx, DEL, true);
}

static int fake_size(blob_store *s, blob_ctx *ctx, blob_key key, uint64_t *out)
{
    fake *f = (fake *)(void *)s;
    bool clear = *out == 0;

    f->key = key;
    if (f->fill)
        *out = 77;
    return fake_answer(s, ctx, SIZE, clear);
}

static int fake_list(blob_store *s, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg)
{
    fake *f = (fake *)(void *)s;

    f->key = start;
    f->fn = fn;
    f->arg = arg;
    return fake_answer(s, ctx, LIST, true);
}

static int fake_len(blob_store *s, blob_ctx *ctx, uint64_t *out)
{
    bool clear = *out == 0;

    if (((fake *)(void *)s)->fill)
        *out = 77;
    return fake_answer(s, ctx, LEN, clear);
}

static int fake_close(blob_store *s, blob_ctx *ctx)
{
    return fake_answer(s, ctx, CLOSE, true);
}

static int fake_address(blob_store *s, blob_ctx *ctx, blob_view data, blob_address *out, fake_op op)
{
    fake *f = (fake *)(void *)s;
    bool clear = out->size == 0;

    f->data = data;
    if (f->fill)
        out->size = f->address_size;
    return fake_answer(s, ctx, op, clear);
}

static int fake_cas_key(blob_store *s, blob_ctx *ctx, blob_view data, blob_address *out)
{
    return fake_address(s, ctx, data, out, CAS_KEY);
}

static int fake_cas_put(blob_store *s, blob_ctx *ctx, blob_view data, blob_address *out)
{
    return fake_address(s, ctx, data, out, CAS_PUT);
}

static unsigned fake_traits(blob_store *s)
{
    (void)s;
    return BLOB_TRAIT_CHECKS_KEYS;
}

static int64_t fake_in_doubt_ms(blob_store *s)
{
    return ((fake *)(void *)s)->status;
}

const blob_store_ops fake_ops = {
    .struct_size = sizeof fake_ops,
    .name = "fake",
    .get = fake_get,
    .put = fake_put,
    .del = fake_del,
    .size = fake_size,
    .list = fake_list,
    .len = fake_len,
    .close = fake_close,
    .cas_key = fake_cas_key,
    .cas_put = fake_cas_put,
    .traits = fake_traits,
    .in_doubt_ms = fake_in_doubt_ms,
};

fake new_fake(const blob_store_ops *ops)
{
    return (fake){.store.ops = ops, .address_size = 32};
}
