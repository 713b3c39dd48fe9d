/* test_conform_stores.c - the conformance table: every store of the library, content addressing over each, a wrapper with
 * unified_view over every pair of them, and wrappers as bases of others, go through the whole contract. A new store is one
 * row in `kinds`. */
#include "testkit/conform_int.h"
#include "s3sim.h"
#include "testutil.h"

#include <stdio.h>
#include <stdlib.h>
#include <wbstore/wbstore.h>

/* ---- the stores ---- */

/* A store, and what it needs. */
typedef struct opened {
    char *dir;
    s3sim *sim; /* NULL: it needs none */
    blob_store *inner, *cas;
} opened;

static int open_memstore(opened *o)
{
    return blob_memstore_new(&o->inner);
}

static int open_filestore(opened *o)
{
    return blob_filestore_open(&o->inner, o->dir, NULL);
}

static int open_filestore_no_sync(opened *o)
{
    blob_filestore_options options = blob_filestore_options_default();

    options.no_sync = 1;
    return blob_filestore_open(&o->inner, o->dir, &options);
}

/* Segments and cache so small that the suite turns them over: rotation, stragglers, spares, reads from the disk. */
static int open_logstore_as(opened *o, blob_logstore_sync sync)
{
    blob_logstore_options options = blob_logstore_options_default();

    options.sync = sync;
    options.segment_bytes = 64 << 10;
    options.cache_bytes = 16 << 10;
    return blob_logstore_open(&o->inner, o->dir, &options);
}

static int open_logstore(opened *o)
{
    return open_logstore_as(o, BLOB_LOGSTORE_SYNC_EACH);
}

static int open_logstore_interval(opened *o)
{
    return open_logstore_as(o, BLOB_LOGSTORE_SYNC_INTERVAL);
}

static int open_logstore_never(opened *o)
{
    return open_logstore_as(o, BLOB_LOGSTORE_SYNC_NEVER);
}

static int open_s3store_as(opened *o, s3sim_conditional conditional, unsigned page)
{
    blob_s3store_options options = blob_s3store_options_default();
    s3sim_settings settings;

    o->sim = s3sim_start();
    settings = s3sim_get(o->sim);
    settings.conditional = conditional;
    settings.page = page;
    settings.not_logged = true;
    s3sim_set(o->sim, &settings);
    options.endpoint = s3sim_url(o->sim);
    options.bucket = settings.bucket;
    options.prefix = "some/where/";
    options.access_key = settings.access_key;
    options.secret_key = "secret";
    return blob_s3store_open(&o->inner, &options);
}

static int open_s3store(opened *o)
{
    return open_s3store_as(o, S3SIM_HONOURS, 1000);
}

static int open_s3store_paged(opened *o)
{
    return open_s3store_as(o, S3SIM_HONOURS, 3);
}

static int open_s3store_ignored(opened *o)
{
    return open_s3store_as(o, S3SIM_IGNORES, 1000);
}

static int open_s3store_refused(opened *o)
{
    return open_s3store_as(o, S3SIM_REFUSES, 1000);
}

static const struct kind {
    const char *name;
    int (*open)(opened *o); /* dir is there */
    bool slow;              /* syncs, or asks a lot: once by itself is enough, the pairs take its quick twin */
    bool far;               /* a server in between: only the pairs that make sense */
} kinds[] = {
    {"memstore", open_memstore, false, false},
    {"filestore", open_filestore, true, false},
    {"filestore without syncs", open_filestore_no_sync, false, false},
    {"logstore", open_logstore, true, false},
    {"logstore synced in time", open_logstore_interval, true, false},
    {"logstore without syncs", open_logstore_never, false, false},
    {"s3store", open_s3store, false, true},
    {"s3store with small pages", open_s3store_paged, true, true},
    {"s3store, If-None-Match ignored", open_s3store_ignored, true, true},
    {"s3store, If-None-Match refused", open_s3store_refused, true, true},
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
    test_status(blob_conform(s, print_broken, title), 0);
    test_status(wb_cf_conform_deletes(s, print_broken, title), 0);
    assert_int_equal(test_len(s), 0);
}

static void opened_start(opened *o, const struct kind *kind)
{
    *o = (opened){.dir = test_dir_make()};
    test_ok(kind->open(o));
    test_ok(blob_hashcas_new(&o->cas, o->inner, blob_hash_sha256()));
}

static void opened_end(opened *o)
{
    test_ok(blob_store_close(o->cas, NULL));
    test_ok(blob_store_close(o->inner, NULL));
    s3sim_stop(o->sim);
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
        if (base_kind->slow || buf_kind->slow || (buf_kind->far && base_kind->open != open_memstore) ||
            (base_kind->far && buf_kind->open == open_filestore_no_sync))
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
