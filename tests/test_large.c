/* test_large.c - sizes that a size_t of 32 bits does not hold are told as they are, and what does not fit is refused: it
 * is never cut to what fits. Where a size_t has 64 bits, only what needs no memory for it is tried. (test_s3_net_bad has
 * what a server may announce.) */
#include "command.h"
#include "testutil.h"
#include "filestore/filestore.h"
#include "logstore/logstore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <wbstore/stores.h>

#define NARROW (SIZE_MAX == UINT32_MAX)
#define LARGE ((INT64_C(1) << 32) + 5)

/* A file with a hole, which takes no room. false: not on this disk. */
static bool make_large(const char *name)
{
    return truncate(name, LARGE) == 0;
}

static void a_file_of_any_size_is_told_but_not_read(void **state)
{
    char path[FS_PATH_MAX + 8];
    fs_path name;
    blob_store *s;
    uint64_t size;
    blob *b;

    (void)state;
    test_ok(blob_filestore_open(&s, "store", NULL));
    test_put(s, test_key("large"), "small");
    wb_fs_path(&name, test_key("large"));
    snprintf(path, sizeof path, "store/%s", name.text);
    if (!make_large(path)) {
        test_ok(blob_store_close(s, NULL));
        skip();
    }
    test_ok(blob_store_size(s, NULL, test_key("large"), &size));
    assert_int_equal(size, LARGE);
    if (NARROW) {
        test_status(blob_store_get(s, NULL, test_key("large"), &b), -ENOMEM);
        assert_null(b);
    }
    test_ok(blob_store_close(s, NULL));
}

static void a_log_takes_no_less_memory_than_a_blob_needs(void **state)
{
    static const uint64_t sizes[] = {UINT64_MAX, (uint64_t)PTRDIFF_MAX, (uint64_t)PTRDIFF_MAX - 8, UINT64_C(1) << 63,
                                     LARGE};
    log_image *image;

    (void)state;
    for (size_t i = 0; i < (NARROW ? 5 : 4); i++) {
        test_status(wb_log_image_new(&image, test_key("large"), sizes[i]), -ENOMEM);
        assert_null(image);
    }
}

static void the_command_takes_the_whole_of_a_file_or_nothing(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("large", "");
    if (!NARROW || !make_large("large"))
        skip();
    RUN(&end, "put", "large", "--no-sync");
    EXPECT(&end, 3);
    SAYS(&end, "a blob is held in memory whole; split it");
    assert_string_equal(end.out, "");
    command_end_free(&end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE(a_file_of_any_size_is_told_but_not_read),
        PROMISE(a_log_takes_no_less_memory_than_a_blob_needs),
        PROMISE(the_command_takes_the_whole_of_a_file_or_nothing),
    };

    test_watchdog(240);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
