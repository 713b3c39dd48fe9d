/* test_conform_stores.c - the conformance table: every store of the library, content addressing over each, a wrapper with
 * unified_view over every pair of them, and wrappers as bases of others, go through the whole contract. A new store is one
 * row in `kinds`. */
#include "conform.h"
#include "testutil.h"

#include <stdio.h>
#include <stdlib.h>
#include <wbstore/wbstore.h>

/* ---- the stores ---- */

static int open_memstore(blob_store **out, const char *dir)
{
    (void)dir;
    return blob_memstore_new(out);
}

static int open_filestore(blob_store **out, const char *dir)
{
    return blob_filestore_open(out, dir, NULL);
}

static int open_filestore_no_sync(blob_store **out, const char *dir)
{
    blob_filestore_options options = blob_filestore_options_default();

    options.no_sync = 1;
    return blob_filestore_open(out, dir, &options);
}

/* Segments and cache so small that the suite turns them over: rotation, stragglers, spares, reads from the disk. */
static int open_logstore_as(blob_store **out, const char *dir, blob_logstore_sync sync)
{
    blob_logstore_options options = blob_logstore_options_default();

    options.sync = sync;
    options.segment_bytes = 64 << 10;
    options.cache_bytes = 16 << 10;
    return blob_logstore_open(out, dir, &options);
}

static int open_logstore(blob_store **out, const char *dir)
{
    return open_logstore_as(out, dir, BLOB_LOGSTORE_SYNC_EACH);
}

static int open_logstore_interval(blob_store **out, const char *dir)
{
    return open_logstore_as(out, dir, BLOB_LOGSTORE_SYNC_INTERVAL);
}

static int open_logstore_never(blob_store **out, const char *dir)
{
    return open_logstore_as(out, dir, BLOB_LOGSTORE_SYNC_NEVER);
}

static const struct kind {
    const char *name;
    int (*open)(blob_store **out, const char *dir);
    bool slow; /* syncs: once by itself is enough, the pairs take its quick twin */
} kinds[] = {
    {"memstore", open_memstore, false},
    {"filestore", open_filestore, true},
    {"filestore without syncs", open_filestore_no_sync, false},
    {"logstore", open_logstore, true},
    {"logstore synced in time", open_logstore_interval, true},
    {"logstore without syncs", open_logstore_never, false},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* ---- running the contract ---- */

static void print_broken(void *arg, const char *promise, const char *detail)
{
    print_error("%s: %s: %s\n", (const char *)arg, promise, detail);
}

static void expect_conforming(blob_store *s, const char *name)
{
    char title[200];

    snprintf(title, sizeof title, "%s", name);
    test_watchdog(200);
    test_status(conform_run(s, print_broken, title), 0);
    test_status(conform_run_deletes(s, print_broken, title), 0);
    assert_int_equal(test_len(s), 0);
}

typedef struct opened {
    char *dir;
    blob_store *inner, *cas;
} opened;

static void opened_start(opened *o, const struct kind *kind)
{
    o->dir = test_dir_make();
    test_ok(kind->open(&o->inner, o->dir));
    test_ok(blob_hashcas_new(&o->cas, o->inner, blob_hash_sha256()));
}

static void opened_end(opened *o)
{
    test_ok(blob_store_close(o->cas, NULL));
    test_ok(blob_store_close(o->inner, NULL));
    test_dir_remove(o->dir);
}

static void every_store_keeps_the_contract(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        opened o;
        opened_start(&o, &kinds[i]);
        expect_conforming(o.inner, kinds[i].name);
        opened_end(&o);
    }
}

static void content_addressing_over_every_store_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        opened o;
        char name[80];
        if (kinds[i].slow)
            continue;
        opened_start(&o, &kinds[i]);
        snprintf(name, sizeof name, "hashcas over %s", kinds[i].name);
        expect_conforming(o.cas, name);
        opened_end(&o);
    }
}

static wbstore *wrap(blob_store *base, blob_store *buf)
{
    wbstore_options options = wbstore_options_default();
    wbstore *w;

    options.unified_view = 1;
    test_ok(wbstore_new(&w, NULL, base, buf, &options));
    return w;
}

static void a_wrapper_over_every_pair_of_stores_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS * KINDS; i++) {
        const struct kind *base_kind = &kinds[i / KINDS], *buf_kind = &kinds[i % KINDS];
        opened base, buf;
        char name[120];
        wbstore *w;
        if (base_kind->slow || buf_kind->slow)
            continue;
        opened_start(&base, base_kind);
        opened_start(&buf, buf_kind);
        snprintf(name, sizeof name, "wbstore over base %s, buffer %s", base_kind->name, buf_kind->name);
        w = wrap(base.cas, buf.inner);
        expect_conforming(wbstore_as_store(w), name);
        test_ok(wbstore_sync(w, NULL));
        wbstore_free(w);
        opened_end(&buf);
        opened_end(&base);
    }
}

static void a_wrapper_as_base_of_another_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        opened base, inner_buf, outer_buf;
        char name[120];
        wbstore *inner, *outer;
        if (kinds[i].slow)
            continue;
        opened_start(&base, &kinds[i]);
        opened_start(&inner_buf, &kinds[i]);
        opened_start(&outer_buf, &kinds[i]);
        snprintf(name, sizeof name, "wbstore over wbstore over %s", kinds[i].name);
        inner = wrap(base.cas, inner_buf.inner);
        outer = wrap(wbstore_as_store(inner), outer_buf.inner);
        expect_conforming(wbstore_as_store(outer), name);
        test_ok(wbstore_sync(outer, NULL));
        test_ok(wbstore_sync(inner, NULL));
        wbstore_free(outer);
        wbstore_free(inner);
        opened_end(&outer_buf);
        opened_end(&inner_buf);
        opened_end(&base);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_store_keeps_the_contract),
        cmocka_unit_test(content_addressing_over_every_store_does),
        cmocka_unit_test(a_wrapper_over_every_pair_of_stores_does),
        cmocka_unit_test(a_wrapper_as_base_of_another_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
