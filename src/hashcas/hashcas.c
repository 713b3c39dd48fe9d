/* hashcas.c - content addressing for a store that has none, or has another.
 *
 * A wrapper of two pointers: cas_key and cas_put are its own, made of the hash and the inner store's put; everything
 * else goes straight through. Nothing in it changes once it is made, so it needs no lock. An address names its bytes,
 * so a put that finds the address taken has found what it came to store. */
#include "blob/store.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <wbstore/stores.h>

typedef struct hc_store {
    blob_store store;
    blob_store *inner;     /* the caller's */
    const blob_hash *hash; /* the caller's */
} hc_store;

static const blob_store_ops hc_ops;

static hc_store *hc_of(blob_store *s)
{
    assert(s->ops == &hc_ops);
    return (hc_store *)s;
}

static int hc_get(blob_store *s, blob_ctx *ctx, blob_key key, blob **out)
{
    return blob_store_get(hc_of(s)->inner, ctx, key, out);
}

static int hc_put(blob_store *s, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags)
{
    return blob_store_put(hc_of(s)->inner, ctx, key, data, flags);
}

static int hc_del(blob_store *s, blob_ctx *ctx, blob_key key, unsigned flags)
{
    return blob_store_delete(hc_of(s)->inner, ctx, key, flags);
}

static int hc_size(blob_store *s, blob_ctx *ctx, blob_key key, uint64_t *out)
{
    return blob_store_size(hc_of(s)->inner, ctx, key, out);
}

static int hc_list(blob_store *s, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg)
{
    return blob_store_list(hc_of(s)->inner, ctx, start, fn, arg);
}

static int hc_len(blob_store *s, blob_ctx *ctx, uint64_t *out)
{
    return blob_store_len(hc_of(s)->inner, ctx, out);
}

static int hc_close(blob_store *s, blob_ctx *ctx)
{
    (void)ctx; /* nothing to flush: inner stays open */
    free(hc_of(s));
    return 0;
}

static int hc_cas_key(blob_store *s, blob_ctx *ctx, blob_view data, blob_address *out)
{
    const blob_hash *hash = hc_of(s)->hash;

    (void)ctx; /* a digest cannot be called off half-way */
    hash->digest(data.data, data.size, out->bytes);
    out->size = hash->size;
    return 0;
}

static int hc_cas_put(blob_store *s, blob_ctx *ctx, blob_view data, blob_address *out)
{
    int rc = hc_cas_key(s, ctx, data, out);

    if (rc == 0)
        rc = blob_store_put(hc_of(s)->inner, ctx, blob_address_key(out), data, 0);
    return rc == BLOB_EXISTS ? 0 : rc;
}

static unsigned hc_traits(blob_store *s)
{
    return wb_store_traits(hc_of(s)->inner);
}

static int64_t hc_in_doubt_ms(blob_store *s)
{
    return wb_store_in_doubt_ms(hc_of(s)->inner);
}

static const blob_store_ops hc_ops = {
    .struct_size = sizeof hc_ops,
    .name = "hashcas",
    .get = hc_get,
    .put = hc_put,
    .del = hc_del,
    .size = hc_size,
    .list = hc_list,
    .len = hc_len,
    .close = hc_close,
    .cas_key = hc_cas_key,
    .cas_put = hc_cas_put,
    .traits = hc_traits,
    .in_doubt_ms = hc_in_doubt_ms,
};

int blob_hashcas_new(blob_store **out, blob_store *inner, const blob_hash *hash)
{
    hc_store *hc;

    if (out == NULL)
        return blob_fail(-EINVAL, 0, "hashcas: no out");
    *out = NULL;
    if (inner == NULL || inner->ops == NULL)
        return blob_fail(-EINVAL, 0, "hashcas: no inner store");
    if (hash == NULL || hash->digest == NULL)
        return blob_fail(-EINVAL, 0, "hashcas: no hash; blob_hash_sha256() is built in");
    if (hash->size < 1 || hash->size > BLOB_ADDRESS_MAX)
        return blob_fail(-EINVAL, 0, "hashcas: a hash of %zu bytes; 1 to %d will do", hash->size, BLOB_ADDRESS_MAX);

    if ((hc = malloc(sizeof *hc)) == NULL)
        return blob_fail(-ENOMEM, 0, "hashcas: out of memory");
    *hc = (hc_store){.store = {.ops = &hc_ops}, .inner = inner, .hash = hash};
    *out = &hc->store;
    return 0;
}
