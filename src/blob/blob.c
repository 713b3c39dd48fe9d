/* blob.c - immutable bytes with a reference count.
 *
 * One allocation holds the public part, the count and, unless the bytes were adopted, the bytes themselves:
 *
 *     [ data | size | refs | adopted? ]  [ head ]  [ payload ... ]   made by copy or alloc; a store may ask for a head
 *     [ data | size | refs | adopted? ]  [ release | arg ]           made by adopt
 *
 * The public part stands first, so a blob * is the allocation. */
#include "blob/blob.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef struct blob_body {
    blob public;
    atomic_uint refs;
    unsigned adopted;
} blob_body;

typedef struct blob_owner {
    void (*release)(void *data, void *arg);
    void *arg;
} blob_owner;

static blob_owner *blob_owner_of(blob_body *body)
{
    return (blob_owner *)(void *)(body + 1);
}

static blob_body *blob_body_new(size_t room)
{
    /* C knows no larger object: pointers into it could not be subtracted. */
    blob_body *body = room <= (size_t)PTRDIFF_MAX - sizeof *body ? malloc(sizeof *body + room) : NULL;

    if (body == NULL)
        return NULL;
    atomic_init(&body->refs, 1);
    body->adopted = 0;
    return body;
}

int wb_blob_new(blob **out, size_t head_size, size_t size, void **head, void **writable)
{
    /* The payload starts where malloc's own alignment would put it. */
    size_t front = (sizeof(blob_body) + head_size + 15) / 16 * 16 - sizeof(blob_body);
    blob_body *body = size <= SIZE_MAX - front ? blob_body_new(front + size) : NULL;

    *out = NULL;
    if (body == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for a blob of %zu bytes", size);
    *head = body + 1;
    *writable = (unsigned char *)(body + 1) + front;
    body->public.data = *writable;
    body->public.size = size;
    *out = &body->public;
    return 0;
}

void *wb_blob_head(const blob *b)
{
    return (blob_body *)(uintptr_t)b + 1;
}

int blob_new_alloc(blob **out, size_t size, void **writable)
{
    void *head;

    if (out != NULL)
        *out = NULL;
    if (writable != NULL)
        *writable = NULL;
    if (out == NULL || writable == NULL)
        return blob_fail(-EINVAL, 0, "blob_new_alloc needs both outs");
    return wb_blob_new(out, 0, size, &head, writable);
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
    blob_body *body;

    if (out != NULL)
        *out = NULL;
    if (out == NULL || release == NULL || (data == NULL && size > 0))
        return blob_fail(-EINVAL, 0, "blob_new_adopt needs an out, a release function, and data for its size");
    body = blob_body_new(sizeof(blob_owner));
    if (body == NULL)
        return blob_fail(-ENOMEM, 0, "no memory to adopt a blob of %zu bytes", size);
    body->public.data = data;
    body->public.size = size;
    body->adopted = 1;
    *blob_owner_of(body) = (blob_owner){.release = release, .arg = arg};
    *out = &body->public;
    return 0;
}

blob *blob_ref(blob *b)
{
    if (b != NULL)
        atomic_fetch_add_explicit(&((blob_body *)(void *)b)->refs, 1, memory_order_relaxed);
    return b;
}

void blob_unref(blob *b)
{
    blob_body *body = (blob_body *)(void *)b;

    /* Acquire on every drop instead of a fence after the last: thread sanitizers do not know fences. */
    if (body == NULL || atomic_fetch_sub_explicit(&body->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (body->adopted) {
        blob_owner *owner = blob_owner_of(body);
        owner->release((void *)(uintptr_t)body->public.data, owner->arg);
    }
    free(body);
}
