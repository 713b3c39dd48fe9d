/* blob.c - immutable bytes with a reference count.
 *
 * The public part stands first, so a blob * is the allocation; what follows it depends on where the bytes are:
 *
 *     [ data | size | refs | kind ]  [ payload ... ]         inline: made by copy or alloc
 *     [ data | size | refs | kind ]  [ release | arg ]       adopted: the bytes are the caller's
 *     [ data | size | refs | kind ]  [ home | room ... ]     placed: a store's own memory, which its home takes back */
#include "blob/blob.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { BLOB_INLINE, BLOB_ADOPTED, BLOB_PLACED };

/* Where the payload of an inline blob begins: aligned as malloc aligns. */
#define BLOB_INLINE_OFFSET                                                                                             \
    ((sizeof(wb_blob_body) + _Alignof(max_align_t) - 1) / _Alignof(max_align_t) * _Alignof(max_align_t))

typedef struct blob_owner {
    void (*release)(void *data, void *arg);
    void *arg;
} blob_owner;

static blob_owner *blob_owner_of(wb_blob_body *body)
{
    return (blob_owner *)(void *)(body + 1);
}

static wb_blob_body *blob_body_new(size_t room)
{
    /* C knows no larger object: pointers into it could not be subtracted. */
    wb_blob_body *body = room <= (size_t)PTRDIFF_MAX - sizeof *body ? malloc(sizeof *body + room) : NULL;

    if (body == NULL)
        return NULL;
    atomic_init(&body->refs, 1);
    body->kind = BLOB_INLINE;
    return body;
}

blob *wb_blob_place(wb_blob_placed *memory, wb_blob_home *home, const void *data, size_t size)
{
    memory->body.public.data = data;
    memory->body.public.size = size;
    atomic_init(&memory->body.refs, 1);
    memory->body.kind = BLOB_PLACED;
    memory->home = home;
    return &memory->body.public;
}

int blob_new_alloc(blob **out, size_t size, void **writable)
{
    wb_blob_body *body;

    if (out != NULL)
        *out = NULL;
    if (writable != NULL)
        *writable = NULL;
    if (out == NULL || writable == NULL)
        return blob_fail(-EINVAL, 0, "blob_new_alloc needs both outs");
    body = size <= SIZE_MAX - BLOB_INLINE_OFFSET ? blob_body_new(BLOB_INLINE_OFFSET - sizeof *body + size) : NULL;
    if (body == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for a blob of %zu bytes", size);
    *writable = (unsigned char *)body + BLOB_INLINE_OFFSET;
    body->public.data = *writable;
    body->public.size = size;
    *out = &body->public;
    return 0;
}

int blob_new_copy(blob **out, const void *data, size_t size)
{
    void *to;
    int rc;

    if (out != NULL)
        *out = NULL;
    if (out == NULL || (data == NULL && size > 0))
        return blob_fail(-EINVAL, 0, "blob_new_copy needs an out, and data where the size is not 0");
    rc = blob_new_alloc(out, size, &to);
    if (rc == 0 && size > 0)
        memcpy(to, data, size);
    return rc;
}

int blob_new_adopt(blob **out, void *data, size_t size, void (*release)(void *data, void *arg), void *arg)
{
    wb_blob_body *body;

    if (out != NULL)
        *out = NULL;
    if (out == NULL || release == NULL || (data == NULL && size > 0))
        return blob_fail(-EINVAL, 0, "blob_new_adopt needs an out, a release function, and data for its size");
    body = blob_body_new(sizeof(blob_owner));
    if (body == NULL)
        return blob_fail(-ENOMEM, 0, "no memory to adopt a blob of %zu bytes", size);
    body->public.data = data;
    body->public.size = size;
    body->kind = BLOB_ADOPTED;
    *blob_owner_of(body) = (blob_owner){.release = release, .arg = arg};
    *out = &body->public;
    return 0;
}

blob *blob_ref(blob *b)
{
    if (b != NULL)
        atomic_fetch_add_explicit(&((wb_blob_body *)(void *)b)->refs, 1, memory_order_relaxed);
    return b;
}

void blob_unref(blob *b)
{
    wb_blob_body *body = (wb_blob_body *)(void *)b;

    /* Acquire on every drop instead of a fence after the last: thread sanitizers do not know fences. */
    if (body == NULL || atomic_fetch_sub_explicit(&body->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (body->kind == BLOB_PLACED) {
        wb_blob_placed *placed = (wb_blob_placed *)(void *)body;
        placed->home->recycle(placed->home, placed);
        return;
    }
    if (body->kind == BLOB_ADOPTED) {
        blob_owner *owner = blob_owner_of(body);
        owner->release((void *)(uintptr_t)body->public.data, owner->arg);
    }
    free(body);
}
