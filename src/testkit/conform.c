/* conform.c - runs the checks one after the other, and the helpers they are written with. */
#include "testkit/conform_int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CF_SWEEP_MAX 100000 /* keys of one listing: a listing without end must not hang us */

/* ---- reports ------------------------------------------------------------------------------------------------- */

static void cf_report(wb_cf *c, const char *promise, const char *detail)
{
    c->broken++;
    if (c->report != NULL)
        c->report(c->arg, promise, detail);
}

static void cf_report_hollow(wb_cf *c, wb_cf_hollow *hollow, const char *promise, const char *detail)
{
    if (!hollow->told)
        cf_report(c, promise, detail);
    hollow->told = true;
}

bool wb_cf_broken(wb_cf *c, const char *format, ...)
{
    char detail[400];
    va_list args;

    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    if (c->told)
        return false;
    c->told = true;
    if (atomic_load(&c->there.met))
        cf_report_hollow(c, &c->there, "put-get", "get returned 0 and no blob");
    else if (atomic_load(&c->missing.met))
        cf_report_hollow(c, &c->missing, "get-missing", "get of a key that is not there returned 0 and no blob");
    else
        cf_report(c, c->promise, detail);
    return false;
}

bool wb_cf_fail(wb_cf *c, int status)
{
    c->failed = status;
    return false;
}

wb_cf_text wb_cf_show(blob_key key)
{
    char hex[2 * BLOB_KEY_MAX + 1];
    wb_cf_text shown;

    if (key.size == 0) {
        snprintf(shown.text, sizeof shown.text, "\"\"");
        return shown;
    }
    if (key.size > BLOB_KEY_MAX)
        key.size = BLOB_KEY_MAX;
    blob_key_hex(key, hex);
    if (key.size <= 16)
        snprintf(shown.text, sizeof shown.text, "%.32s", hex);
    else
        snprintf(shown.text, sizeof shown.text, "%.24s... (%zu bytes)", hex, key.size);
    return shown;
}

bool wb_cf_status(wb_cf *c, const char *what, blob_key key, int got, int want)
{
    if (got == want)
        return true;
    return wb_cf_broken(c, "%s (key %s) returned %d (%s), not %d (%s)", what, wb_cf_show(key).text, got,
                        blob_strerror(got), want, blob_strerror(want));
}

static void cf_begin(wb_cf *c, const char *promise)
{
    c->promise = promise;
    c->told = false;
    atomic_store(&c->there.met, false);
    atomic_store(&c->missing.met, false);
}

/* ---- single calls -------------------------------------------------------------------------------------------- */

bool wb_cf_note(wb_cf *c, blob_key key)
{
    wb_cf_name *name;

    if (c->put_size == c->put_room) {
        size_t room = c->put_room == 0 ? 64 : 2 * c->put_room;
        wb_cf_name *grown = realloc(c->put, room * sizeof *grown);
        if (grown == NULL)
            return wb_cf_fail(c, -ENOMEM);
        c->put = grown;
        c->put_room = room;
    }
    name = &c->put[c->put_size++];
    name->size = key.size;
    if (key.size > 0)
        memcpy(name->bytes, key.data, key.size);
    return true;
}

/* Whether -EIO is the store's own answer its table tells. */
int wb_cf_get(wb_cf *c, blob_ctx *ctx, blob_key key, bool there, blob **out)
{
    int rc = blob_store_get(c->store, ctx, key, out);
    blob *again = NULL;

    if (rc != -EIO || c->store->ops->get(c->store, NULL, key, &again) != 0)
        return rc;
    if (again == NULL)
        atomic_store(there ? &c->there.met : &c->missing.met, true);
    blob_unref(again);
    return rc;
}

bool wb_cf_put(wb_cf *c, blob_key key, blob_view data, unsigned flags, int want)
{
    return wb_cf_note(c, key) && wb_cf_status(c, flags != 0 ? "put with replace" : "put", key,
                                              blob_store_put(c->store, NULL, key, data, flags), want);
}

bool wb_cf_delete(wb_cf *c, blob_key key, unsigned flags, int want)
{
    return wb_cf_status(c, flags != 0 ? "lazy delete" : "delete", key, blob_store_delete(c->store, NULL, key, flags),
                        want);
}

static bool cf_same(wb_cf *c, blob_key key, const blob *b, blob_view data)
{
    if (b->size != data.size)
        return wb_cf_broken(c, "get of %s returned %zu bytes, not the %zu that were put", wb_cf_show(key).text, b->size,
                            data.size);
    if (b->size > 0 && (b->data == NULL || memcmp(b->data, data.data, data.size) != 0))
        return wb_cf_broken(c, "get of %s returned other bytes than were put", wb_cf_show(key).text);
    return true;
}

bool wb_cf_holds(wb_cf *c, blob_key key, blob_view data)
{
    blob *b = NULL;
    uint64_t size = 0;
    bool good = wb_cf_status(c, "get", key, wb_cf_get(c, NULL, key, true, &b), 0) && cf_same(c, key, b, data);

    blob_unref(b);
    if (!good || !wb_cf_status(c, "size", key, blob_store_size(c->store, NULL, key, &size), 0))
        return false;
    return size == data.size ||
           wb_cf_broken(c, "size of %s is %llu, not %zu", wb_cf_show(key).text, (unsigned long long)size, data.size);
}

bool wb_cf_get_misses(wb_cf *c, blob_key key)
{
    blob mark = {0}, *b = &mark;
    bool good = wb_cf_status(c, "get", key, wb_cf_get(c, NULL, key, false, &b), BLOB_NOT_FOUND);

    if (good)
        return b == NULL || wb_cf_broken(c, "get found nothing and left its out as it was");
    if (b != &mark)
        blob_unref(b);
    return false;
}

bool wb_cf_size_misses(wb_cf *c, blob_key key)
{
    uint64_t size = 1;

    return wb_cf_status(c, "size", key, blob_store_size(c->store, NULL, key, &size), BLOB_NOT_FOUND) &&
           (size == 0 || wb_cf_broken(c, "size found nothing and did not clear its out"));
}

bool wb_cf_misses(wb_cf *c, blob_key key)
{
    return wb_cf_get_misses(c, key) && wb_cf_size_misses(c, key);
}

bool wb_cf_len(wb_cf *c, uint64_t want)
{
    uint64_t len = 0;
    int rc = blob_store_len(c->store, NULL, &len);

    if (rc != 0)
        return wb_cf_broken(c, "len returned %d (%s)", rc, blob_strerror(rc));
    return len == want ||
           wb_cf_broken(c, "len says %llu where %llu keys are", (unsigned long long)len, (unsigned long long)want);
}

typedef struct cf_expected {
    wb_cf *c;
    blob_key start;
    const blob_key *keys;
    size_t count, at;
    bool wrong;
} cf_expected;

static int cf_expect_key(void *arg, blob_key key, uint64_t size)
{
    cf_expected *e = arg;

    (void)size;
    if (e->wrong)
        return BLOB_LIST_STOP;
    if (e->at < e->count && blob_key_compare(key, e->keys[e->at]) == 0) {
        e->at++;
        return 0;
    }
    e->wrong = true;
    if (e->at < e->count)
        wb_cf_broken(e->c, "a listing from %s reports %s where %s is due", wb_cf_show(e->start).text,
                     wb_cf_show(key).text, wb_cf_show(e->keys[e->at]).text);
    else
        wb_cf_broken(e->c, "a listing from %s reports %s after all %zu keys there are", wb_cf_show(e->start).text,
                     wb_cf_show(key).text, e->count);
    return BLOB_LIST_STOP;
}

bool wb_cf_lists_exactly(wb_cf *c, blob_key start, const blob_key *keys, size_t count)
{
    cf_expected e = {.c = c, .start = start, .keys = keys, .count = count};
    int rc = blob_store_list(c->store, NULL, start, cf_expect_key, &e);

    if (e.wrong)
        return false;
    if (rc != 0)
        return wb_cf_status(c, "a listing", start, rc, 0);
    return e.at == count ||
           wb_cf_broken(c, "a listing from %s ends after %zu of %zu keys", wb_cf_show(start).text, e.at, count);
}

/* ---- running ------------------------------------------------------------------------------------------------- */

static int cf_collect(void *arg, blob_key key, uint64_t size)
{
    wb_cf *c = arg;

    (void)size;
    return c->put_size < CF_SWEEP_MAX && wb_cf_note(c, key) ? 0 : BLOB_LIST_STOP;
}

static int cf_count(void *arg, blob_key key, uint64_t size)
{
    (void)key;
    (void)size;
    ++*(size_t *)arg;
    return BLOB_LIST_STOP;
}

/* 1: it is, 0: it is not, or a listing's status. */
static int cf_is_empty(wb_cf *c)
{
    const blob_key empty = {NULL, 0};
    size_t listed = 0;
    int rc = blob_store_list(c->store, NULL, empty, cf_count, &listed);

    return rc != 0 ? rc : listed == 0;
}

static void cf_delete_noted(wb_cf *c, unsigned flags)
{
    for (size_t i = 0; i < c->put_size; i++)
        blob_store_delete(c->store, NULL, blob_key_of(c->put[i].bytes, c->put[i].size), flags);
    c->put_size = 0;
}

/* Empties the store: first what the check put, then whatever a listing still shows. */
static bool cf_sweep(wb_cf *c)
{
    const blob_key empty = {NULL, 0};

    cf_delete_noted(c, BLOB_LAZY);
    if (cf_is_empty(c) == 1)
        return true;
    blob_store_list(c->store, NULL, empty, cf_collect, c);
    cf_delete_noted(c, 0);
    return c->failed == 0 && cf_is_empty(c) == 1;
}

/* False: no further check makes sense. */
static bool cf_run_table(wb_cf *c, const wb_cf_check *check)
{
    for (; check->promise != NULL && c->failed == 0; check++) {
        cf_begin(c, check->promise);
        check->holds(c);
        if (!cf_sweep(c)) {
            cf_begin(c, "delete-empties");
            if (c->failed == 0)
                wb_cf_broken(c, "after \"%s\" every key was deleted, and a listing still shows some", check->promise);
            return false;
        }
    }
    return c->failed == 0;
}

static bool cf_checks_keys(const blob_store *s)
{
    return s->ops->struct_size >= offsetof(blob_store_ops, traits) + sizeof s->ops->traits && s->ops->traits != NULL;
}

int wb_cf_run(blob_store *store, blob_conform_report *report, void *arg, const wb_cf_check *const *tables,
              int64_t patience_ms)
{
    wb_cf c = {.store = store, .report = report, .arg = arg, .patience_ms = patience_ms};
    int rc;

    if (store == NULL || store->ops == NULL)
        return blob_fail(-EINVAL, 0, "no store to check");
    if (cf_checks_keys(store) && (store->ops->traits(store) & BLOB_TRAIT_CHECKS_KEYS) != 0)
        return blob_fail(BLOB_UNSUPPORTED, 0, "a store that checks keys refuses those of the conformance suite");
    rc = cf_is_empty(&c);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return blob_fail(-ENOTEMPTY, 0, "the conformance suite needs an empty store");
    rc = 0;
    while (*tables != NULL && cf_run_table(&c, *tables))
        tables++;
    if (c.failed != 0)
        rc = blob_fail(c.failed, 0, "the conformance suite could not run to its end");
    free(c.put);
    return rc != 0 ? rc : c.broken;
}

int wb_cf_conform(blob_store *store, blob_conform_report *report, void *arg, int64_t patience_ms)
{
    static const wb_cf_check *const tables[] = {wb_cf_table,  wb_cf_keys,     wb_cf_blobs, wb_cf_calls,   wb_cf_lists,
                                                wb_cf_beside, wb_cf_in_lists, wb_cf_cas,   wb_cf_threads, wb_cf_changes,
                                                NULL};

    return wb_cf_run(store, report, arg, tables, patience_ms);
}

int blob_conform(blob_store *store, blob_conform_report *report, void *arg)
{
    return wb_cf_conform(store, report, arg, WB_CF_PATIENCE_MS);
}

int wb_cf_conform_deletes(blob_store *store, blob_conform_report *report, void *arg)
{
    static const wb_cf_check *const tables[] = {wb_cf_deletes, NULL};

    return wb_cf_run(store, report, arg, tables, WB_CF_PATIENCE_MS);
}
