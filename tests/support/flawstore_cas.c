/* flawstore_cas.c - content addresses of the flawed store. */
#include "flawstore_int.h"

#include <sched.h>
#include <string.h>

int fw_cas_key(blob_store *s, blob_ctx *ctx, blob_view data, blob_address *out)
{
    flawstore *f = fw_of(s);
    uint64_t hash = UINT64_C(14695981039346656037);

    (void)ctx;
    for (size_t i = 0; i < data.size && f->flaw != FLAW_CAS_KEY_CONSTANT; i++)
        hash = (hash ^ ((const unsigned char *)data.data)[i]) * UINT64_C(1099511628211);
    if (f->flaw == FLAW_CAS_KEY_VARIES) {
        pthread_mutex_lock(&f->lock);
        hash += ++f->puts;
        pthread_mutex_unlock(&f->lock);
    }
    out->size = sizeof hash;
    memcpy(out->bytes, &hash, sizeof hash);
    return 0;
}

/* Are these the bytes that were put last? From here on they are. */
static bool fw_put_before(flawstore *f, blob_key address)
{
    bool before;

    pthread_mutex_lock(&f->lock);
    before = blob_key_compare(fw_view(&f->cas_key), address) == 0;
    f->cas_key.size = address.size;
    memcpy(f->cas_key.bytes, address.data, address.size);
    pthread_mutex_unlock(&f->lock);
    return before;
}

int fw_cas_put(blob_store *s, blob_ctx *ctx, blob_view data, blob_address *out)
{
    flawstore *f = fw_of(s);
    int rc = fw_cas_key(s, ctx, data, out);

    if (f->flaw == FLAW_CAS_PUT_ELSEWHERE)
        out->bytes[0] ^= 1;
    if (f->flaw == FLAW_CAS_PUT_REMEMBERS && fw_put_before(f, blob_address_key(out)))
        return 0;
    if (f->flaw == FLAW_RACE_CAS) {
        uint64_t size;
        if (fw_size(s, ctx, blob_address_key(out), &size) == 0)
            return 0;
        sched_yield();
        return fw_put(s, ctx, blob_address_key(out), data, 0);
    }
    if (rc == 0 && f->flaw != FLAW_CAS_PUT_DROPS)
        rc = fw_put(s, ctx, blob_address_key(out), data, 0);
    return rc == BLOB_EXISTS && f->flaw != FLAW_CAS_PUT_EXISTS ? 0 : rc;
}
