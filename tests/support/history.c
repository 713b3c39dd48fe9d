/* history.c - see history.h. */
#include "history.h"
#include "testutil.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define VALUE_RIGHT 1
#define VALUE_WRONG 2 /* other bytes, or another size: nobody ever put them */

#define AT_THE_END HISTORY_WHATS /* a look of the test's own */
#define LOOKED (HISTORY_WHATS + 1)

/* One call. Its thread writes it; a kill may come between any two stores. */
typedef struct record {
    int what;
    unsigned key, thread;
    int status;
    uint64_t value;         /* of a read */
    atomic_ullong begun;    /* 0: it has not; written when what is above `status` is known */
    atomic_ullong ended;    /* 0: it has not; written last */
    unsigned long long cut; /* when it was cut off; 0: it was not */
} record;

struct history {
    size_t bytes, room;
    unsigned keys;
    blob_address addresses[HISTORY_KEYS_MAX];
    char blobs[HISTORY_KEYS_MAX][64];
    atomic_ullong ticks;
    atomic_size_t count;
    record records[];
};

history *history_new(size_t room, unsigned keys)
{
    size_t bytes = sizeof(history) + room * sizeof(record);
    history *h = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (h == MAP_FAILED || keys > HISTORY_KEYS_MAX)
        abort();
    h->bytes = bytes;
    h->room = room;
    h->keys = keys;
    for (unsigned i = 0; i < keys; i++) {
        snprintf(h->blobs[i], sizeof h->blobs[i], "blob %u%.*s", i, (int)(3 * i), "........................");
        h->addresses[i].size = blob_hash_sha256()->size;
        blob_hash_sha256()->digest(h->blobs[i], strlen(h->blobs[i]), h->addresses[i].bytes);
    }
    return h;
}

void history_free(history *h)
{
    if (h != NULL)
        munmap(h, h->bytes);
}

blob_key history_key(const history *h, unsigned key)
{
    return blob_address_key(&h->addresses[key]);
}

static blob_view history_data(const history *h, unsigned key)
{
    return blob_view_of(h->blobs[key], strlen(h->blobs[key]));
}

/* ---- recording ---- */

static unsigned long long tick(history *h)
{
    return atomic_fetch_add(&h->ticks, 1) + 1;
}

/* NULL: no room. */
static record *begin(history *h, unsigned thread, int what, unsigned key)
{
    size_t at = atomic_fetch_add(&h->count, 1);
    record *r = &h->records[at];

    if (at >= h->room) {
        atomic_fetch_sub(&h->count, 1);
        return NULL;
    }
    r->what = what;
    r->key = key;
    r->thread = thread;
    atomic_store(&r->begun, tick(h));
    return r;
}

static void end(history *h, record *r, int status)
{
    r->status = status;
    atomic_store(&r->ended, tick(h));
}

static uint64_t value_of(const history *h, unsigned key, const blob *b)
{
    blob_view data = history_data(h, key);

    return b->size == data.size && memcmp(b->data, data.data, data.size) == 0 ? VALUE_RIGHT : VALUE_WRONG;
}

/* What a sync that returned 0 has promised of one key. */
static void look(history *h, const record *sync, unsigned key, blob_store *base)
{
    uint64_t size;
    record *r = begin(h, sync->thread, LOOKED, key);

    if (r == NULL)
        return;
    atomic_store(&r->begun, atomic_load(&sync->begun));
    end(h, r, blob_store_size(base, NULL, history_key(h, key), &size));
}

static int call_get(const history *h, record *r, wbstore *w, blob_ctx *ctx)
{
    blob *b;
    int rc = wbstore_get(w, ctx, history_key(h, r->key), &b);

    if (rc == 0)
        r->value = value_of(h, r->key, b);
    blob_unref(b);
    return rc;
}

static int call_size(const history *h, record *r, wbstore *w, blob_ctx *ctx)
{
    uint64_t size;
    int rc = wbstore_size(w, ctx, history_key(h, r->key), &size);

    if (rc == 0)
        r->value = size == history_data(h, r->key).size ? VALUE_RIGHT : VALUE_WRONG;
    return rc;
}

static int call(const history *h, record *r, wbstore *w, blob_ctx *ctx)
{
    blob_key key = history_key(h, r->key);
    blob_view data = history_data(h, r->key);

    switch (r->what) {
    case HISTORY_CAS_PUT:
        return wbstore_cas_put(w, ctx, data.data, data.size, NULL);
    case HISTORY_PUT:
        return wbstore_put(w, ctx, key, data, 0);
    case HISTORY_REPLACE:
        return wbstore_put(w, ctx, key, data, BLOB_REPLACE);
    case HISTORY_GET:
        return call_get(h, r, w, ctx);
    case HISTORY_SIZE:
        return call_size(h, r, w, ctx);
    case HISTORY_DELETE:
        return wbstore_delete(w, ctx, key);
    default:
        return wbstore_sync(w, ctx);
    }
}

int history_call(history *h, unsigned thread, history_what what, unsigned key, wbstore *w, blob_ctx *ctx,
                 blob_store *base)
{
    record *r = begin(h, thread, (int)what, key);
    int rc;

    if (r == NULL)
        return BLOB_FULL;
    rc = call(h, r, w, ctx);
    end(h, r, rc);
    for (unsigned i = 0; what == HISTORY_SYNC && base != NULL && rc == 0 && i < h->keys; i++)
        look(h, r, i, base);
    return rc;
}

void history_look_at_the_end(history *h, blob_store *buf, blob_store *base)
{
    for (unsigned key = 0; key < h->keys; key++) {
        record *r = begin(h, 0, AT_THE_END, key);
        blob *b;
        int rc = blob_store_get(buf, NULL, history_key(h, key), &b);

        if (rc == BLOB_NOT_FOUND)
            rc = blob_store_get(base, NULL, history_key(h, key), &b);
        assert_non_null(r);
        if (rc != BLOB_NOT_FOUND)
            test_ok(rc);
        r->value = rc == 0 ? value_of(h, key, b) : LIN_ABSENT;
        end(h, r, rc);
        blob_unref(b);
    }
}

void history_cut(history *h)
{
    unsigned long long now = tick(h);

    for (size_t i = 0; i < h->count; i++)
        if (h->records[i].ended == 0 && h->records[i].cut == 0)
            h->records[i].cut = now;
}

/* ---- checking ---- */

static unsigned long long after(unsigned long long tick, uint64_t ticks)
{
    return ticks < LIN_NEVER - tick ? tick + ticks : LIN_NEVER;
}

/* Statuses of a put after which nothing has changed. */
static bool is_refusal(int status)
{
    return status == BLOB_EXISTS || status == BLOB_FULL || status == BLOB_REJECTED || status == BLOB_DENIED;
}

static unsigned long long end_of(const record *r)
{
    if (r->ended == 0)
        return r->cut > 0 ? r->cut : LIN_NEVER;
    return r->ended;
}

static bool removes(const record *r, unsigned key)
{
    return r->key == key && (r->what == HISTORY_DELETE || r->what == HISTORY_REPLACE) && r->begun > 0;
}

/* A delete goes to the base first. One that is under way may have been there already, and one that failed may have done its
 * work there alone: that the base has nothing says nothing meanwhile. */
static bool base_is_disturbed(const history *h, const record *looked)
{
    for (size_t i = 0; i < h->count; i++) {
        const record *r = &h->records[i];
        bool failed = r->ended == 0 || (r->status != 0 && r->status != BLOB_NOT_FOUND);
        if (removes(r, looked->key) && r->begun < looked->ended &&
            (end_of(r) > looked->ended || (failed && end_of(r) > looked->begun)))
            return true;
    }
    return false;
}

/* It saw what a cas_put was bringing, and a delete began while that was still at it. */
static bool read_is_early(const history *h, const record *read)
{
    unsigned long long until = 0;

    for (size_t i = 0; i < h->count; i++) {
        const record *r = &h->records[i];
        if (r->key == read->key && r->what == HISTORY_CAS_PUT && r->begun > 0 && r->begun <= read->ended &&
            end_of(r) >= read->begun && end_of(r) > until)
            until = end_of(r);
    }
    for (size_t i = 0; i < h->count; i++) {
        const record *r = &h->records[i];
        if (removes(r, read->key) && r->begun > read->ended && r->begun <= until)
            return true;
    }
    return false;
}

static bool meets_put(const history *h, const record *it)
{
    for (size_t i = 0; i < h->count; i++) {
        const record *r = &h->records[i];
        if (r->key == it->key && r->what == HISTORY_CAS_PUT && r->begun > 0 && r->begun <= it->ended &&
            end_of(r) >= it->begun)
            return true;
    }
    return false;
}

static bool is_excused(const history *h, const record *r, const lin_op *op, bool strict)
{
    if (op->kind == LIN_LOOK)
        return base_is_disturbed(h, r) || (!strict && meets_put(h, r));
    if (strict)
        return false;
    if (op->value == LIN_ABSENT)
        return base_is_disturbed(h, r);
    return read_is_early(h, r);
}

static lin_kind kind_of(const record *r)
{
    switch (r->what) {
    case HISTORY_CAS_PUT:
    case HISTORY_REPLACE:
        return LIN_PUT;
    case HISTORY_PUT:
        return r->ended > 0 && r->status == BLOB_EXISTS ? LIN_GET : LIN_PUT;
    case HISTORY_DELETE:
        return LIN_DELETE;
    case HISTORY_SIZE:
        return LIN_SIZE;
    case LOOKED:
        return LIN_LOOK;
    default:
        return LIN_GET;
    }
}

/* False: it says nothing. */
static bool to_op(const history *h, const record *r, uint64_t doubt, bool strict, lin_op *op)
{
    bool over = r->ended > 0, missing = over && r->status == BLOB_NOT_FOUND;
    bool answered = over && (r->status == 0 || missing || (r->what == HISTORY_PUT && r->status == BLOB_EXISTS));

    if (r->begun == 0 || r->what == HISTORY_SYNC)
        return false;
    *op = (lin_op){.kind = kind_of(r), .key = r->key, .thread = r->thread, .begun = r->begun, .ended = r->ended};
    op->value = missing ? LIN_ABSENT : VALUE_RIGHT;
    if (op->kind == LIN_PUT || op->kind == LIN_DELETE) {
        op->unsure = !answered;
        op->ended = over ? r->ended : LIN_NEVER;
        op->until = over ? after(r->ended, doubt) : end_of(r);
        op->blind = op->kind == LIN_DELETE && answered && !strict && meets_put(h, r);
        return answered || !(over && is_refusal(r->status));
    }
    if (answered && !missing && r->what != HISTORY_PUT)
        op->value = r->value;
    if (!answered || (op->kind == LIN_LOOK && !missing))
        return false;
    return !is_excused(h, r, op, strict);
}

lin_verdict history_check(const history *h, uint64_t doubt, bool strict, lin_result *out)
{
    lin_op *ops = calloc(h->count + 1, sizeof *ops);
    size_t count = 0;

    assert_non_null(ops);
    for (size_t i = 0; i < h->count; i++)
        count += to_op(h, &h->records[i], doubt, strict, &ops[count]);
    lin_check(ops, count, 0, out);
    free(ops);
    return out->verdict;
}

size_t history_size(const history *h)
{
    return h->count;
}

history_counts history_count(const history *h, history_what what)
{
    history_counts counts = {0};

    for (size_t i = 0; i < h->count; i++) {
        const record *r = &h->records[i];
        if (r->what != (int)what || r->begun == 0)
            continue;
        if (r->ended > 0 && r->status == 0)
            counts.done++;
        else if (r->ended > 0 && (r->status == BLOB_NOT_FOUND || r->status == BLOB_EXISTS))
            counts.missing++;
        else
            counts.failed++;
    }
    return counts;
}
