/* test_logstore_scarce.c - a log that keeps more segments than there are descriptors: one that lies idle is closed for
 * one that is asked for. */
#include "simdisk.h"
#include "testutil.h"
#include "logstore/logstore.h"

#include <errno.h>
#include <stdlib.h>

#define SEGMENT ((uint64_t)64 << 10)
#define SIZE ((size_t)40000) /* one a segment */
#define BLOBS (LOG_OPEN_FILES + 8)

static blob_key key_of(unsigned i)
{
    static unsigned char key;

    key = (unsigned char)i;
    return blob_key_of(&key, 1);
}

typedef struct rig {
    simdisk *disk;
    blob_store *s;
} rig;

static int get(rig *r, unsigned i)
{
    blob *b = NULL;
    int rc = blob_store_get(r->s, NULL, key_of(i), &b);

    if (rc == 0) {
        void *payload = test_payload(i, SIZE);

        assert_int_equal(b->size, SIZE);
        assert_memory_equal(b->data, payload, SIZE);
        free(payload);
    }
    blob_unref(b);
    return rc;
}

/* Opened anew, and read from one end to the other: the oldest segments are closed by then. */
static void rig_start(rig *r)
{
    blob_logstore_options options = blob_logstore_options_default();

    test_watchdog(120);
    options.segment_bytes = SEGMENT;
    options.cache_bytes = 1; /* in effect none */
    r->disk = simdisk_new(1);
    for (unsigned opened = 0; opened < 2; opened++) {
        if (opened > 0)
            test_ok(blob_store_close(r->s, NULL));
        test_ok(wb_log_open(&r->s, simdisk_mount(r->disk), "log", &options, LOG_NO_KEEPER));
        for (unsigned i = 0; opened == 0 && i < BLOBS; i++) {
            void *payload = test_payload(i, SIZE);

            test_ok(blob_store_put(r->s, NULL, key_of(i), blob_view_of(payload, SIZE), 0));
            free(payload);
        }
    }
    for (unsigned i = 0; i < BLOBS; i++)
        test_ok(get(r, i));
}

static void rig_end(rig *r)
{
    test_ok(blob_store_close(r->s, NULL));
    simdisk_free(r->disk);
}

static void an_idle_segment_is_closed_for_one_that_is_asked_for(void **state)
{
    rig r;

    (void)state;
    rig_start(&r);
    simdisk_fail(r.disk, &(simdisk_fault){.ops = SIMDISK_BIT(SIMDISK_OPEN), .count = 1, .status = -EMFILE});
    test_ok(get(&r, 0));
    assert_int_equal(simdisk_failed(r.disk), 1);
    for (unsigned i = 0; i < BLOBS; i++) /* what was closed is opened again */
        test_ok(get(&r, i));
    rig_end(&r);
}

static void without_any_descriptor_it_says_so_and_goes_on_when_there_are_some(void **state)
{
    rig r;

    (void)state;
    rig_start(&r);
    simdisk_fail(r.disk, &(simdisk_fault){.ops = SIMDISK_BIT(SIMDISK_OPEN), .status = -EMFILE});
    test_status(get(&r, 0), -EMFILE);
    simdisk_mend(r.disk);
    for (unsigned i = 0; i < BLOBS; i++)
        test_ok(get(&r, i));
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_segment_is_closed_for_one_that_is_asked_for),
        cmocka_unit_test(without_any_descriptor_it_says_so_and_goes_on_when_there_are_some),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
