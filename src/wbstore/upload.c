/* upload.c - one attempt to bring a blob from the buffer into the base, and what its answer means.
 *
 *     read the buffer -> verify the address -> put -> done
 *                                                \-> exists: of the same size? -> done
 *                                                       \-> a verified address: put again with replace
 *
 * Bytes are verified before they leave: under a wrong key they would be published as good for ever. */
#include "blob/store.h"
#include "wbstore/wrapper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void upload_ends(wb_outcome *out, wb_fate fate, bool by_base, int status)
{
    blob_error error;

    out->fate = fate;
    out->by_base = by_base;
    out->status = status;
    out->retry_after_ms = 0;
    out->text[0] = '\0';
    if (status == 0)
        return;
    blob_last_error(&error);
    if (error.status != status)
        return;
    out->retry_after_ms = error.retry_after_ms;
    memcpy(out->text, error.text, sizeof out->text);
}

/* A failed status, as the table in the design has it. */
static void upload_failed_in_base(wb_outcome *out, int status)
{
    bool hopeless = status == BLOB_REJECTED || status == BLOB_CORRUPT;

    upload_ends(out, hopeless ? WB_FATE_PARK : WB_FATE_FAILED, true, status);
}

static bool upload_has_address(const wbstore *w, blob_key key)
{
    return key.size == w->address_size;
}

/* 0, or BLOB_CORRUPT; another status if it cannot be told. */
static int upload_verify(wbstore *w, blob_key key, blob_view data)
{
    blob_address address;
    int rc = blob_store_cas_key(w->base, NULL, data, &address);

    if (rc == 0 && blob_key_compare(blob_address_key(&address), key) != 0)
        rc = blob_fail(BLOB_CORRUPT, 0, "the buffered bytes do not hash to their key");
    return rc;
}

static void upload_settle_exists(wbstore *w, blob_ctx *ctx, blob_key key, blob_view data, bool verified,
                                 wb_outcome *out)
{
    uint64_t size;
    int rc = blob_store_size(w->base, ctx, key, &size);

    if (rc == BLOB_NOT_FOUND)
        rc = blob_fail(rc, 0, "the base said that it has the blob, then that it has not");
    if (rc == 0 && size != data.size) {
        if (!verified && upload_has_address(w, key))
            verified = upload_verify(w, key, data) == 0;
        rc = verified ? blob_store_put(w->base, ctx, key, data, BLOB_REPLACE)
                      : blob_fail(BLOB_CORRUPT, 0,
                                  "the base holds %llu bytes under this key, the buffer %zu; delete one of them",
                                  (unsigned long long)size, data.size);
    }
    if (rc == 0)
        upload_ends(out, WB_FATE_SENT, true, 0);
    else
        upload_failed_in_base(out, rc);
}

void wb_send(wbstore *w, blob_ctx *ctx, blob_key key, blob_view data, bool verified,
             wb_outcome *out) /* model: Writer */
{
    int64_t begun_ns = wb_time_ns(w);
    int rc = blob_store_put(w->base, ctx, key, data, 0);

    out->base_ns = wb_time_ns(w) - begun_ns;
    if (rc == 0)
        upload_ends(out, WB_FATE_SENT, true, 0);
    else if (rc == BLOB_EXISTS)
        upload_settle_exists(w, ctx, key, data, verified, out);
    else
        upload_failed_in_base(out, rc);
}

void wb_upload(wbstore *w, blob_ctx *ctx, blob_key key, wb_outcome *out) /* model: Writer */
{
    bool verify = upload_has_address(w, key) && !w->base_checks_keys && !w->options.no_verify;
    blob *b = NULL;
    int rc = blob_store_get(w->buf, ctx, key, &b);

    *out = (wb_outcome){.fate = WB_FATE_FAILED};
    if (rc == BLOB_NOT_FOUND) {
        upload_ends(out, WB_FATE_GONE, false, rc);
        return;
    }
    if (rc == 0 && verify)
        rc = upload_verify(w, key, blob_view_of(b->data, b->size));
    if (rc == 0)
        wb_send(w, ctx, key, blob_view_of(b->data, b->size), verify, out);
    else
        upload_ends(out, rc == BLOB_CORRUPT ? WB_FATE_PARK : WB_FATE_FAILED, false, rc);
    blob_unref(b);
}
