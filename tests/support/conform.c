/* conform.c - runs the checks one after the other, and the helpers they are written with. */
#include "conform_int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CF_SWEEP_MAX 100000 /* keys of one listing: a listing without end must not hang us */

/* ---- reports ------------------------------------------------------------------------------------------------- */

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
    c->broken++;
    if (c->report != NULL)
        c->report(c->arg, c->promise, detail);
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
    bool good = wb_cf_status(c, "get", key, blob_store_get(c->store, NULL, key, &b), 0);

    if (good)
        good = b != NULL ? cf_same(c, key, b, data) : wb_cf_broken(c, "get returned 0 and no blob");
    blob_unref(b);
    if (!good || !wb_cf_status(c, "size", key, blob_store_size(c->store, NULL, key, &size), 0))
        return false;
    return size == data.size ||
           wb_cf_broken(c, "size of %s is %llu, not %zu", wb_cf_show(key).text, (unsigned long long)size, data.size);
}

bool wb_cf_get_misses(wb_cf *c, blob_key key)
{
    blob mark = {0}, *b = &mark;
    bool good = wb_cf_status(c, "get", key, blob_store_get(c->store, NULL, key, &b), BLOB_NOT_FOUND);

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

/* ---- keys and bytes ------------------------------------------------------------------------------------------ */

static uint64_t cf_mix(uint64_t x)
{
    x = (x ^ (x >> 31)) * UINT64_C(0x9e6c63d0876a9a47);
    x = (x ^ (x >> 29)) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ (x >> 32);
}

void wb_cf_fill(uint64_t seed, void *bytes, size_t size)
{
    unsigned char *at = bytes;
    uint64_t word = 0;

    for (size_t i = 0; i < size; i++, word >>= 8) {
        if (i % 8 == 0)
            word = cf_mix(seed * 1000003 + i / 8);
        at[i] = (unsigned char)word;
    }
}

uint64_t wb_cf_random(wb_cf_thread *t, uint64_t below)
{
    return cf_mix(++t->random) % below;
}

blob_key wb_cf_key(const char *text)
{
    return blob_key_of(text, strlen(text));
}

int64_t wb_cf_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int cf_order(const void *a, const void *b)
{
    return blob_key_compare(*(const blob_key *)a, *(const blob_key *)b);
}

/* Zeros, high bytes, prefixes of each other, both cases, names that mean something to a file system, longest keys. */
void wb_cf_odd_keys(wb_cf *c, blob_key keys[WB_CF_ODD])
{
#define CF_ODD(bytes)                                                                                                  \
    {                                                                                                                  \
        (bytes), sizeof(bytes) - 1                                                                                     \
    }
    static const blob_key odd[] = {
        CF_ODD(""),       CF_ODD("\0"),       CF_ODD("\0\0"), CF_ODD("\0\0\1"), CF_ODD("\0\1"),     CF_ODD("\0\377"),
        CF_ODD("\1"),     CF_ODD("\n"),       CF_ODD(" "),    CF_ODD("%2e"),    CF_ODD("."),        CF_ODD(".."),
        CF_ODD("../x"),   CF_ODD("/"),        CF_ODD("//"),   CF_ODD("A"),      CF_ODD("A/b"),      CF_ODD("AUX"),
        CF_ODD("a"),      CF_ODD("a\0"),      CF_ODD("a\0b"), CF_ODD("a/"),     CF_ODD("a/b"),      CF_ODD("aa"),
        CF_ODD("ab"),     CF_ODD("b"),        CF_ODD("\177"), CF_ODD("\200"),   CF_ODD("\303\244"), CF_ODD("\377"),
        CF_ODD("\377\0"), CF_ODD("\377\377"), CF_ODD("tmp"),  CF_ODD("LOCK"),
    };
#undef CF_ODD
    const size_t short_keys = sizeof odd / sizeof odd[0];
    const blob_key longest[WB_CF_ODD - sizeof odd / sizeof odd[0]] = {
        {c->run_a, BLOB_KEY_MAX}, {c->run_a, BLOB_KEY_MAX - 1}, {c->run_0, BLOB_KEY_MAX},
        {c->run_f, BLOB_KEY_MAX}, {c->run_f, BLOB_KEY_MAX - 1}, {c->run_a, 128},
    };

    memset(c->run_a, 'a', sizeof c->run_a);
    memset(c->run_0, 0, sizeof c->run_0);
    memset(c->run_f, 0xff, sizeof c->run_f);
    memcpy(keys, odd, sizeof odd);
    memcpy(keys + short_keys, longest, sizeof longest);
    qsort(keys, WB_CF_ODD, sizeof *keys, cf_order);
}

blob_view wb_cf_odd_data(size_t index, unsigned char room[WB_CF_ODD])
{
    wb_cf_fill(index, room, index);
    return blob_view_of(room, index);
}

bool wb_cf_put_odd(wb_cf *c, blob_key keys[WB_CF_ODD])
{
    unsigned char room[WB_CF_ODD];

    wb_cf_odd_keys(c, keys);
    for (size_t i = 0; i < WB_CF_ODD; i++) {
        /* Not in their order, so that the order of putting is not mistaken for it. */
        size_t k = i * 7 % WB_CF_ODD;
        if (!wb_cf_put(c, keys[k], wb_cf_odd_data(k, room), 0, 0))
            return false;
    }
    return true;
}

bool wb_cf_put_few(wb_cf *c, blob_key *keys, size_t count)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";

    for (size_t i = 0; i < count; i++)
        keys[i] = blob_key_of(letters + i, 1);
    for (size_t i = count; i-- > 0;) {
        if (!wb_cf_put(c, keys[i], blob_view_of(letters + i, 1), 0, 0))
            return false;
    }
    return true;
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
        c->promise = check->promise;
        c->told = false;
        check->holds(c);
        if (!cf_sweep(c)) {
            c->promise = "delete-empties";
            c->told = false;
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

int wb_cf_run(blob_store *store, conform_report *report, void *arg, const wb_cf_check *const *tables)
{
    wb_cf c = {.store = store, .report = report, .arg = arg};
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

int conform_run(blob_store *store, conform_report *report, void *arg)
{
    static const wb_cf_check *const tables[] = {wb_cf_keys, wb_cf_blobs,   wb_cf_calls,   wb_cf_lists, wb_cf_in_lists,
                                                wb_cf_cas,  wb_cf_threads, wb_cf_changes, NULL};

    return wb_cf_run(store, report, arg, tables);
}

int conform_run_deletes(blob_store *store, conform_report *report, void *arg)
{
    static const wb_cf_check *const tables[] = {wb_cf_deletes, NULL};

    return wb_cf_run(store, report, arg, tables);
}
