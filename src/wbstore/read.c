/* read.c - get and size: the buffer first, then the base; and listings of the two as one.
 *
 * A blob moves from the buffer to the base, and is removed from the buffer only when the base has it: so who asks in
 * that order cannot miss it on its way. The same holds for a listing: a page of the buffer's keys is read first, then
 * the base is listed over the same stretch, and the two are merged.
 *
 *     buffer   a   c     f  |  (page full: the stretch ends at f)
 *     base       b c d      |  g ...
 *     told     a b c d   f  |  next page, from behind f */
#include "blob/status.h"
#include "blob/store.h"
#include "wbstore/wrapper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define READ_PAGE_KEYS 1024

static int read_check(wbstore *w)
{
    return w != NULL ? wb_closed(w) : blob_fail(-EINVAL, 0, "no wrapper");
}

/* After the buffer has failed: a base that has the blob answers for it; otherwise the buffer's error stands. */
static int read_settle(int buffer_status, const blob_error *buffer_error, int base_status)
{
    if (buffer_status == BLOB_NOT_FOUND || base_status == 0)
        return base_status;
    return blob_fail(buffer_status, buffer_error->retry_after_ms, "%s", buffer_error->text);
}

/* The base's half. A ghost is not there; and one that a delete has made meanwhile came before this answer. */
static int read_get_base(wbstore *w, blob_ctx *ctx, blob_key key, bool ghost, blob **out)
{
    int rc = ghost ? BLOB_NOT_FOUND : blob_store_get(w->base, ctx, key, out);

    if (ghost || (rc == 0 && wb_is_ghost(w, key))) {
        blob_unref(*out);
        *out = NULL;
        rc = blob_fail(BLOB_NOT_FOUND, 0, NULL);
    }
    return rc;
}

static int read_size_base(wbstore *w, blob_ctx *ctx, blob_key key, bool ghost, uint64_t *out)
{
    int rc = ghost ? BLOB_NOT_FOUND : blob_store_size(w->base, ctx, key, out);

    if (ghost || (rc == 0 && wb_is_ghost(w, key))) {
        *out = 0;
        rc = blob_fail(BLOB_NOT_FOUND, 0, NULL);
    }
    return rc;
}

int wbstore_get(wbstore *w, blob_ctx *ctx, blob_key key, blob **out) /* model: Reader */
{
    blob_error error;
    bool ghost;
    int rc, buffer;

    if (out == NULL)
        return blob_fail(-EINVAL, 0, "get: no out");
    *out = NULL;
    if ((rc = read_check(w)) != 0)
        return rc;
    ghost = wb_is_ghost(w, key);
    buffer = blob_store_get(w->buf, ctx, key, out);
    if (buffer == 0 || buffer == -EINVAL)
        return buffer;
    if (buffer == BLOB_NOT_FOUND)
        return read_get_base(w, ctx, key, ghost, out);
    blob_last_error(&error);
    return read_settle(buffer, &error, read_get_base(w, ctx, key, ghost, out));
}

int wbstore_size(wbstore *w, blob_ctx *ctx, blob_key key, uint64_t *out)
{
    blob_error error;
    bool ghost;
    int rc, buffer;

    if (out == NULL)
        return blob_fail(-EINVAL, 0, "size: no out");
    *out = 0;
    if ((rc = read_check(w)) != 0)
        return rc;
    ghost = wb_is_ghost(w, key);
    buffer = blob_store_size(w->buf, ctx, key, out);
    if (buffer == 0 || buffer == -EINVAL)
        return buffer;
    if (buffer == BLOB_NOT_FOUND)
        return read_size_base(w, ctx, key, ghost, out);
    blob_last_error(&error);
    return read_settle(buffer, &error, read_size_base(w, ctx, key, ghost, out));
}

/* ---- the unified listing ---- */

typedef struct page_key {
    uint64_t size;
    size_t key_size;
    unsigned char key[BLOB_KEY_MAX];
} page_key;

/* One stretch of the merged listing: the keys above `after`, up to the last of the page unless it is the last page. */
typedef struct stretch {
    wbstore *w;
    blob_list_fn *fn;
    void *arg;
    page_key *page;
    size_t count, told;    /* keys in the page, and how many of them were told */
    bool last;             /* the buffer has no more */
    const page_key *after; /* NULL: from the very start, `start` included */
    blob_key start;
    int verdict; /* the callback's, once it is not 0 */
} stretch;

static blob_key page_key_of(const page_key *k)
{
    return blob_key_of(k->key, k->key_size);
}

static bool stretch_skips(const stretch *s, blob_key key)
{
    return s->after != NULL && blob_key_compare(key, page_key_of(s->after)) <= 0;
}

static int stretch_read_buffer(void *arg, blob_key key, uint64_t size)
{
    stretch *s = arg;
    page_key *to = &s->page[s->count];
    int rc = wb_check_listed(key);

    if (rc != 0 || stretch_skips(s, key))
        return rc;
    to->size = size;
    to->key_size = key.size;
    if (key.size > 0)
        memcpy(to->key, key.data, key.size);
    s->last = ++s->count < READ_PAGE_KEYS;
    return s->last ? 0 : BLOB_LIST_STOP;
}

/* Tells what the page has below key (NULL: all of it), and skips key itself. False: the callback wants no more. */
static bool stretch_tell_page(stretch *s, const blob_key *below)
{
    for (; s->told < s->count && s->verdict == 0; s->told++) {
        const page_key *k = &s->page[s->told];
        if (below != NULL && blob_key_compare(page_key_of(k), *below) >= 0)
            break;
        s->verdict = s->fn(s->arg, page_key_of(k), k->size);
    }
    return s->verdict == 0;
}

static int stretch_merge_base(void *arg, blob_key key, uint64_t size)
{
    stretch *s = arg;

    if (stretch_skips(s, key) || wb_is_ghost(s->w, key))
        return 0;
    if (!stretch_tell_page(s, &key))
        return s->verdict;
    if (s->told < s->count && blob_key_compare(page_key_of(&s->page[s->told]), key) == 0) {
        s->verdict = s->fn(s->arg, key, s->page[s->told].size);
        s->told++;
    } else if (s->told == s->count && !s->last) {
        return BLOB_LIST_STOP; /* past the end of the stretch */
    } else {
        s->verdict = s->fn(s->arg, key, size);
    }
    return s->verdict;
}

static int list_stretch(wbstore *w, blob_ctx *ctx, stretch *s)
{
    blob_key from = s->after != NULL ? page_key_of(s->after) : s->start;
    int rc;

    s->count = s->told = 0;
    s->last = true;
    rc = blob_store_list(w->buf, ctx, from, stretch_read_buffer, s);
    if (rc == 0)
        rc = blob_store_list(w->base, ctx, from, stretch_merge_base, s);
    if (rc == 0 && s->verdict == 0 && !stretch_tell_page(s, NULL))
        rc = wb_list_end(s->verdict);
    return rc;
}

static int list_unified(wbstore *w, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg)
{
    stretch s = {.w = w, .fn = fn, .arg = arg, .start = start};
    page_key after;
    int rc;

    s.page = malloc(READ_PAGE_KEYS * sizeof *s.page);
    if (s.page == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for a listing");
    do {
        rc = list_stretch(w, ctx, &s);
        if (s.count > 0) {
            after = s.page[s.count - 1];
            s.after = &after;
        }
    } while (rc == 0 && s.verdict == 0 && !s.last);
    free(s.page);
    return rc;
}

/* The base's alone, without its ghosts. */
typedef struct base_listing {
    wbstore *w;
    blob_list_fn *fn;
    void *arg;
} base_listing;

static int list_base_key(void *arg, blob_key key, uint64_t size)
{
    const base_listing *l = arg;

    return wb_is_ghost(l->w, key) ? 0 : l->fn(l->arg, key, size);
}

static int list_base(wbstore *w, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg)
{
    base_listing l = {.w = w, .fn = fn, .arg = arg};

    return w->doubt_ms > 0 ? blob_store_list(w->base, ctx, start, list_base_key, &l)
                           : blob_store_list(w->base, ctx, start, fn, arg);
}

int wbstore_list(wbstore *w, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg)
{
    uint64_t mark = wb_status_mark();
    int rc = read_check(w);

    if (rc == 0 && fn == NULL)
        rc = blob_fail(-EINVAL, 0, "list: no callback");
    if (rc == 0)
        rc = wb_check_key(start);
    if (rc != 0)
        return rc;
    rc = w->options.unified_view ? list_unified(w, ctx, start, fn, arg) : list_base(w, ctx, start, fn, arg);
    return wb_status_settle(mark, rc);
}

static int len_count(void *arg, blob_key key, uint64_t size)
{
    (void)key;
    (void)size;
    ++*(uint64_t *)arg;
    return 0;
}

/* As one, buffer and base can only be counted by listing them: nothing else tells what both hold. */
int wbstore_len(wbstore *w, blob_ctx *ctx, uint64_t *out)
{
    uint64_t count = 0;
    int rc;

    if (out == NULL)
        return blob_fail(-EINVAL, 0, "len: no out");
    *out = 0;
    if ((rc = read_check(w)) != 0)
        return rc;
    if (!w->options.unified_view)
        return blob_store_len(w->base, ctx, out);
    rc = list_unified(w, ctx, blob_key_of(NULL, 0), len_count, &count);
    if (rc == 0)
        *out = count;
    return rc;
}
