/* test_logstore_full.c - a disk that is full of blobs none of which is alone in its segment: the reserve is for what
 * removes something, even where it has room for a put, until there is a reserve again. */
#include "simlog.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOBS_MAX 500

static blob_key numbered(unsigned n)
{
    static char text[16];

    snprintf(text, sizeof text, "k%03u", n);
    return test_key(text);
}

static int put_small(simlog *s, unsigned n)
{
    return blob_store_put(s->store, NULL, numbered(n), blob_view_of("bytes", 5), 0);
}

static unsigned fill_up(simlog *s)
{
    unsigned count = 0;
    int rc = 0;

    while (count < BLOBS_MAX && (rc = put_small(s, count)) == 0)
        count++;
    test_status(rc, -ENOSPC);
    return count;
}

static void the_reserve_is_not_for_puts(void **state)
{
    unsigned count, n = 0;
    bool used_up = false;
    simlog s;

    (void)state;
    test_watchdog(60);
    simlog_init(&s, simdisk_new(1), BLOB_LOGSTORE_SYNC_EACH);
    test_ok(wb_log_open(&s.store, simdisk_mount(s.disk), "sim", &s.options, LOG_NO_KEEPER));
    simdisk_capacity(s.disk, UINT64_C(8) * LOG_SEGMENT_MIN);
    count = fill_up(&s);
    assert_true(wb_log_of(s.store)->spare_count > 0);
    for (n = 0; n < count && !used_up; n += 4) { /* what is left in each segment keeps it from being used again */
        test_ok(blob_store_delete(s.store, NULL, numbered(n), 0));
        used_up = wb_log_of(s.store)->spare_count == 0;
    }
    assert_true(used_up); /* or this test is about nothing */
    test_status(put_small(&s, count), -ENOSPC);
    for (n = 0; n < count; n++) {
        int rc = blob_store_delete(s.store, NULL, numbered(n), 0);
        test_status(rc, rc == BLOB_NOT_FOUND ? BLOB_NOT_FOUND : 0);
    }
    assert_int_equal(test_len(s.store), 0);
    test_ok(wb_log_keep(s.store));
    assert_true(fill_up(&s) + 14 >= count); /* but for a segment */
    test_ok(blob_store_close(s.store, NULL));
    simdisk_free(s.disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reserve_is_not_for_puts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
