/* read.c - get and size: a GET or a HEAD each, and what its answer must be like to be believed. */
#include "s3store/s3store.h"

#include <errno.h>
#include <string.h>

void s3_name_of(blob_key key, s3_name *name)
{
    if (key.size == 0)
        memcpy(name->text, "-", 2);
    else
        blob_key_hex(key, name->text);
}

/* The whole blob or nothing: a body that ends where the connection does may have lost its end. */
static int read_take(const s3store *s, s3_call *c, blob_key key, blob **out)
{
    unsigned char digest[32];

    if (!c->head.has_length && !c->head.chunked)
        return blob_fail(-EIO, 0, "%s: GET %.64s: an answer that does not say how long it is", s->where, c->name);
    if (c->answer == NULL)
        return blob_new_copy(out, NULL, 0);
    if (s->keys_are_sha256 && key.size == sizeof digest) {
        blob_hash_sha256()->digest(c->answer->data, c->answer->size, digest);
        if (memcmp(digest, key.data, sizeof digest) != 0)
            return blob_fail(BLOB_CORRUPT, 0, "%s: GET %.64s: %zu bytes that do not hash to their key", s->where,
                             c->name, c->answer->size);
    }
    *out = c->answer;
    c->answer = NULL;
    return 0;
}

int s3_get(blob_store *store, blob_ctx *ctx, blob_key key, blob **out)
{
    s3store *s = s3_of(store);
    s3_name name;
    s3_call c = {.method = "GET", .name = name.text, .answer_max = s->blob_bytes_max};
    int rc;

    s3_name_of(key, &name);
    rc = s3_call_run(s, ctx, &c);
    if (rc == 0)
        rc = c.head.status == 200 ? read_take(s, &c, key, out) : s3_answer(s, ctx, &c);
    s3_call_end(&c);
    return rc;
}

int s3_size(blob_store *store, blob_ctx *ctx, blob_key key, uint64_t *out)
{
    s3store *s = s3_of(store);
    s3_name name;
    s3_call c = {.method = "HEAD", .name = name.text};
    int rc;

    s3_name_of(key, &name);
    rc = s3_call_run(s, ctx, &c);
    if (rc == 0 && c.head.status != 200)
        rc = s3_answer(s, ctx, &c);
    else if (rc == 0 && !c.head.has_length)
        rc = blob_fail(-EIO, 0, "%s: HEAD %.64s: an answer without a Content-Length", s->where, name.text);
    else if (rc == 0)
        *out = c.head.length;
    s3_call_end(&c);
    return rc;
}
