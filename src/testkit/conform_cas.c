/* conform_cas.c - checks: content addresses, where the store has them. */
#include "testkit/conform_int.h"

#include <errno.h>
#include <string.h>

#define CS_BLOBS 6

/* Different bytes, alike in places: no bytes, one, the same one twice, a long run, the run cut, the run changed. */
static blob_view cs_data(unsigned index, unsigned char room[3000])
{
    static const size_t sizes[CS_BLOBS] = {0, 1, 2, 3000, 2999, 3000};

    memset(room, 'x', 3000);
    if (index == CS_BLOBS - 1)
        room[2999] = 'y';
    return blob_view_of(room, sizes[index]);
}

static bool cs_has(wb_cf *c, int (*op)(blob_store *s, blob_ctx *ctx, blob_view data, blob_address *out))
{
    blob_address address;

    /* Asked with what it must refuse: so nothing is stored yet. */
    return op(c->store, NULL, blob_view_of(NULL, 1), &address) != BLOB_UNSUPPORTED;
}

static bool cs_address(wb_cf *c, blob_view data, blob_address *out)
{
    int rc;

    memset(out, 0, sizeof *out);
    rc = blob_store_cas_key(c->store, NULL, data, out);
    if (rc != 0)
        return wb_cf_broken(c, "cas_key of %zu bytes returned %d (%s)", data.size, rc, blob_strerror(rc));
    return (out->size >= 1 && out->size <= BLOB_ADDRESS_MAX) ||
           wb_cf_broken(c, "cas_key made an address of %zu bytes", out->size);
}

static bool cs_put(wb_cf *c, blob_view data, blob_address *out)
{
    int rc;

    memset(out, 0, sizeof *out);
    rc = blob_store_cas_put(c->store, NULL, data, out);
    if (out->size <= BLOB_ADDRESS_MAX && !wb_cf_note(c, blob_address_key(out)))
        return false;
    if (rc != 0)
        return wb_cf_broken(c, "cas_put of %zu bytes returned %d (%s)", data.size, rc, blob_strerror(rc));
    return (out->size >= 1 && out->size <= BLOB_ADDRESS_MAX) ||
           wb_cf_broken(c, "cas_put set an address of %zu bytes", out->size);
}

static bool cs_same(const blob_address *a, const blob_address *b)
{
    return blob_key_compare(blob_address_key(a), blob_address_key(b)) == 0;
}

static bool cs_key(wb_cf *c)
{
    blob_address made[CS_BLOBS], again;
    unsigned char room[3000];

    if (!cs_has(c, blob_store_cas_key))
        return true;
    for (unsigned i = 0; i < CS_BLOBS; i++) {
        if (!cs_address(c, cs_data(i, room), &made[i]) || !cs_address(c, cs_data(i, room), &again))
            return false;
        if (!cs_same(&made[i], &again))
            return wb_cf_broken(c, "cas_key made two addresses of the same bytes");
        if (made[i].size != made[0].size)
            return wb_cf_broken(c, "addresses of %zu and of %zu bytes", made[0].size, made[i].size);
        for (unsigned k = 0; k < i; k++) {
            if (cs_same(&made[i], &made[k]))
                return wb_cf_broken(c, "cas_key made the same address of different bytes");
        }
    }
    return wb_cf_len(c, 0) && wb_cf_misses(c, blob_address_key(&made[1]));
}

static bool cs_put_get(wb_cf *c)
{
    const bool has_key = cs_has(c, blob_store_cas_key);
    blob_address made[CS_BLOBS], key;
    unsigned char room[3000];

    if (!cs_has(c, blob_store_cas_put))
        return true;
    for (unsigned i = 0; i < CS_BLOBS; i++) {
        if (!cs_put(c, cs_data(i, room), &made[i]))
            return false;
        if (has_key && (!cs_address(c, cs_data(i, room), &key) || !cs_same(&made[i], &key)))
            return wb_cf_broken(c, "cas_put stored under another address than cas_key's");
    }
    for (unsigned i = 0; i < CS_BLOBS; i++) {
        if (!wb_cf_holds(c, blob_address_key(&made[i]), cs_data(i, room)))
            return false;
    }
    return wb_cf_len(c, CS_BLOBS);
}

static bool cs_put_twice(wb_cf *c)
{
    const blob_view data = {"the same bytes", 14};
    blob_address first, second;
    blob_key key;

    if (!cs_has(c, blob_store_cas_put))
        return true;
    if (!cs_put(c, data, &first) || !cs_put(c, data, &second))
        return false;
    if (!cs_same(&first, &second))
        return wb_cf_broken(c, "cas_put of the same bytes set two addresses");
    key = blob_address_key(&first);
    return wb_cf_holds(c, key, data) && wb_cf_len(c, 1) && wb_cf_lists_exactly(c, blob_key_of(NULL, 0), &key, 1);
}

static bool cs_put_after_delete(wb_cf *c)
{
    const blob_view data = {"comes back", 10};
    blob_address address;
    blob_key key;

    if (!cs_has(c, blob_store_cas_put))
        return true;
    if (!cs_put(c, data, &address))
        return false;
    key = blob_address_key(&address);
    return wb_cf_delete(c, key, 0, 0) && wb_cf_misses(c, key) && cs_put(c, data, &address) &&
           wb_cf_holds(c, key, data) && wb_cf_delete(c, key, BLOB_LAZY, 0) && wb_cf_misses(c, key) &&
           cs_put(c, data, &address) && wb_cf_holds(c, key, data) && wb_cf_put(c, key, data, 0, BLOB_EXISTS);
}

static bool cs_invalid(wb_cf *c, const char *what,
                       int (*op)(blob_store *s, blob_ctx *ctx, blob_view data, blob_address *out))
{
    blob_address address = {.size = 1};
    int rc = op(c->store, NULL, blob_view_of("x", 1), NULL);

    if (rc != -EINVAL)
        return wb_cf_broken(c, "%s without an out returned %d (%s)", what, rc, blob_strerror(rc));
    rc = op(c->store, NULL, blob_view_of(NULL, 1), &address);
    if (rc != -EINVAL)
        return wb_cf_broken(c, "%s of a view without bytes returned %d (%s)", what, rc, blob_strerror(rc));
    return address.size == 0 || wb_cf_broken(c, "%s failed and did not clear its out", what);
}

static bool cs_arguments(wb_cf *c)
{
    return (!cs_has(c, blob_store_cas_key) || cs_invalid(c, "cas_key", blob_store_cas_key)) &&
           (!cs_has(c, blob_store_cas_put) || cs_invalid(c, "cas_put", blob_store_cas_put)) && wb_cf_len(c, 0);
}

static bool cs_cancelled(wb_cf *c)
{
    blob_address address = {.size = 0};
    blob_ctx *ctx;
    int rc;

    if (!cs_has(c, blob_store_cas_put))
        return true;
    rc = blob_ctx_new(&ctx, NULL);
    if (rc != 0)
        return wb_cf_fail(c, rc);
    blob_ctx_cancel(ctx);
    rc = blob_store_cas_put(c->store, ctx, blob_view_of("never", 5), &address);
    blob_ctx_free(ctx);
    if (address.size <= BLOB_ADDRESS_MAX && !wb_cf_note(c, blob_address_key(&address)))
        return false;
    return (rc == -ECANCELED ||
            wb_cf_broken(c, "cas_put under a cancelled context returned %d (%s)", rc, blob_strerror(rc))) &&
           wb_cf_len(c, 0);
}

const wb_cf_check wb_cf_cas[] = {
    {"cas-key", cs_key},
    {"cas-put", cs_put_get},
    {"cas-put-twice", cs_put_twice},
    {"cas-put-after-delete", cs_put_after_delete},
    {"cas-arguments", cs_arguments},
    {"cas-cancelled", cs_cancelled},
    {NULL, NULL},
};
