/* test_blob.c - the vocabulary: keys and their hexadecimal form, counted blobs, status codes, the error detail. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <wbstore/blob.h>

#include "blob/blob.h"
#include "blob/status.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The sanitizers would rather abort than see an allocation fail; here it must. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void assert_detail(int status, const char *text)
{
    blob_error error;

    blob_last_error(&error);
    assert_int_equal(error.status, status);
    assert_string_equal(error.text, text);
}

/* Keys */

static int sign(int n)
{
    return (n > 0) - (n < 0);
}

static void keys_order_by_unsigned_bytes_and_a_prefix_comes_first(void **state)
{
    static const char long_key[BLOB_KEY_MAX] = {1};
    const blob_key ascending[] = {
        {NULL, 0},         {"\0", 1},   {"\0\0", 2},   {"\0\xff", 2}, {"\1", 1},       {long_key, BLOB_KEY_MAX},
        {"\1\0\0\0\1", 5}, {"a", 1},    {"a\0", 2},    {"a\0b", 3},   {"aa", 2},       {"b", 1},
        {"\x7f", 1},       {"\x80", 1}, {"\x80\0", 2}, {"\xff", 1},   {"\xff\xff", 2},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(ascending); i++)
        for (size_t j = 0; j < COUNT(ascending); j++)
            assert_int_equal(sign(blob_key_compare(ascending[i], ascending[j])), (i > j) - (i < j));
    assert_int_equal(blob_key_compare(ascending[0], blob_key_of("", 0)), 0);
}

static void an_impossible_key_counts_as_empty(void **state)
{
    char hex[] = "untouched";

    (void)state;
    assert_int_equal(blob_key_compare(blob_key_of(NULL, 3), blob_key_of("", 0)), 0);
    assert_true(blob_key_compare(blob_key_of(NULL, 3), blob_key_of("a", 1)) < 0);
    assert_true(blob_key_compare(blob_key_of("a", 1), blob_key_of(NULL, 3)) > 0);
    blob_key_hex(blob_key_of("abc", 3), NULL);
    blob_key_hex(blob_key_of(NULL, 3), hex);
    assert_string_equal(hex, "");
}

static void hex_is_lower_case_two_digits_a_byte_and_ended(void **state)
{
    char hex[2 * 4 + 2];

    (void)state;
    memset(hex, '~', sizeof hex);
    blob_key_hex(blob_key_of("\0\x9f\xa0\xff", 4), hex);
    assert_memory_equal(hex, "009fa0ff\0~", sizeof hex);
    blob_key_hex(blob_key_of(NULL, 0), hex);
    assert_memory_equal(hex,
                        "\0"
                        "09",
                        3);
}

static void hex_reads_back_what_it_wrote(void **state)
{
    unsigned char all[256], back[256];
    char hex[2 * 256 + 1];
    size_t size;

    (void)state;
    for (size_t i = 0; i < 256; i++)
        all[i] = (unsigned char)i;
    for (size_t used = 0; used <= 256; used++) {
        blob_key_hex(blob_key_of(all + 256 - used, used), hex);
        assert_int_equal(strlen(hex), 2 * used);
        assert_int_equal(blob_key_from_hex(hex, back, used, &size), 0);
        assert_int_equal(size, used);
        assert_memory_equal(back, all + 256 - used, used);
    }
    assert_int_equal(blob_key_from_hex("aBcDEf", back, sizeof back, &size), 0);
    assert_memory_equal(back, "\xab\xcd\xef", 3);
    assert_int_equal(blob_key_from_hex("", NULL, 0, &size), 0);
    assert_int_equal(size, 0);
}

static void what_is_not_hex_is_refused_and_nothing_written(void **state)
{
    unsigned char bytes[4] = "old";
    size_t size;

    (void)state;
    for (int c = 1; c < 256; c++) {
        const char first[] = {(char)c, '0', '\0'}, second[] = {'0', (char)c, '\0'};
        bool digit = strchr("0123456789abcdefABCDEF", c) != NULL;
        size = 77;
        assert_int_equal(blob_key_from_hex(first, bytes, sizeof bytes, &size), digit ? 0 : -EINVAL);
        assert_int_equal(size, digit);
        assert_int_equal(blob_key_from_hex(second, bytes, sizeof bytes, &size), digit ? 0 : -EINVAL);
        assert_int_equal(size, digit);
    }
    memcpy(bytes, "old", 4);
    assert_int_equal(blob_key_from_hex("00112", bytes, sizeof bytes, &size), -EINVAL);
    assert_int_equal(blob_key_from_hex("0011zz", bytes, sizeof bytes, &size), -EINVAL);
    assert_int_equal(blob_key_from_hex("0011223344", bytes, sizeof bytes, &size), -ERANGE);
    assert_int_equal(size, 0);
    assert_int_equal(blob_key_from_hex("00", NULL, 0, &size), -ERANGE);
    assert_int_equal(blob_key_from_hex(NULL, bytes, sizeof bytes, &size), -EINVAL);
    assert_int_equal(blob_key_from_hex("00", NULL, 1, &size), -EINVAL);
    assert_int_equal(blob_key_from_hex("00", bytes, sizeof bytes, NULL), -EINVAL);
    assert_string_equal((char *)bytes, "old");
}

/* Blobs */

static void a_copied_blob_keeps_its_own_bytes(void **state)
{
    char source[] = "bytes";
    blob *b, *empty;

    (void)state;
    assert_int_equal(blob_new_copy(&b, source, 5), 0);
    memset(source, 'x', 5);
    assert_int_equal(b->size, 5);
    assert_memory_equal(b->data, "bytes", 5);
    assert_ptr_equal(blob_ref(b), b);
    blob_unref(b);
    assert_memory_equal(b->data, "bytes", 5);
    blob_unref(b);

    assert_int_equal(blob_new_copy(&empty, NULL, 0), 0);
    assert_int_equal(empty->size, 0);
    assert_non_null(empty->data);
    blob_unref(empty);
    assert_null(blob_ref(NULL));
    blob_unref(NULL);
}

static void an_allocated_blob_is_filled_in_place_and_aligned(void **state)
{
    for (size_t size = 0; size < 40; size++) {
        void *to;
        blob *b;
        (void)state;
        assert_int_equal(blob_new_alloc(&b, size, &to), 0);
        assert_ptr_equal(to, b->data);
        assert_int_equal((uintptr_t)to % _Alignof(max_align_t), 0);
        memset(to, 7, size);
        blob_unref(b);
    }
}

static wb_blob_placed *placed_back;

static void placed_recycle(wb_blob_home *home, wb_blob_placed *placed)
{
    (void)home;
    assert_null(placed_back);
    placed_back = placed;
}

static void a_placed_blob_goes_home_with_its_last_reference(void **state)
{
    wb_blob_home home = {.recycle = placed_recycle};
    wb_blob_placed *placed = malloc(sizeof *placed + 4);
    blob *b;
    (void)state;

    assert_non_null(placed);
    placed->body.note = 4;
    memcpy(placed->room, "room", 4);
    b = wb_blob_place(placed, &home, "bytes", 5);
    assert_ptr_equal(b, placed);
    assert_memory_equal(b->data, "bytes", 5);
    assert_int_equal(b->size, 5);
    blob_unref(blob_ref(b));
    assert_null(placed_back);
    blob_unref(b);
    assert_ptr_equal(placed_back, placed);
    assert_int_equal(placed->body.note, 4);
    assert_memory_equal(placed->room, "room", 4);
    free(placed);
}

static void a_size_that_memory_cannot_have_is_no_memory(void **state)
{
    const size_t sizes[] = {
        SIZE_MAX,
        SIZE_MAX - 16,
        SIZE_MAX - 64,
        SIZE_MAX / 2 + 1,
        SIZE_MAX / 2,
        SIZE_MAX / 2 - 8,
#if SIZE_MAX > UINT32_MAX
        SIZE_MAX / 4 /* here it is malloc that refuses */
#endif
    };
    blob_error error;

    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        char here;
        blob *b = (blob *)(void *)&here;
        void *to = &here;
        assert_int_equal(blob_new_alloc(&b, sizes[i], &to), -ENOMEM);
        assert_null(b);
        assert_null(to);
        b = (blob *)(void *)&here;
        assert_int_equal(blob_new_copy(&b, &here, sizes[i]), -ENOMEM);
        assert_null(b);
        blob_last_error(&error);
        assert_int_equal(error.status, -ENOMEM);
        assert_true(error.text[0] != '\0');
    }
}

static void count_release(void *data, void *arg)
{
    assert_non_null(arg);
    ++*(int *)arg;
    if (data != NULL)
        ((char *)data)[0] = 'r';
}

static void an_adopted_blob_is_released_once_with_its_argument(void **state)
{
    char data[] = "adopted";
    int released = 0;
    blob *b;

    (void)state;
    assert_int_equal(blob_new_adopt(&b, data, 7, count_release, &released), 0);
    assert_ptr_equal(b->data, data);
    assert_int_equal(b->size, 7);
    blob_unref(blob_ref(b));
    assert_int_equal(released, 0);
    blob_unref(b);
    assert_int_equal(released, 1);
    assert_string_equal(data, "rdopted");

    assert_int_equal(blob_new_adopt(&b, NULL, 0, count_release, &released), 0);
    blob_unref(b);
    assert_int_equal(released, 2);
}

static void a_blob_that_could_not_be_made_leaves_its_data_alone(void **state)
{
    char data[] = "mine";
    int released = 0;
    blob *b = (blob *)(void *)data;
    void *to = data;

    (void)state;
    assert_int_equal(blob_new_adopt(&b, NULL, 4, count_release, &released), -EINVAL);
    assert_null(b);
    assert_int_equal(blob_new_adopt(&b, data, 4, NULL, &released), -EINVAL);
    assert_int_equal(blob_new_adopt(NULL, data, 4, count_release, &released), -EINVAL);
    assert_int_equal(blob_new_copy(&b, NULL, 4), -EINVAL);
    assert_int_equal(blob_new_copy(NULL, data, 4), -EINVAL);
    assert_int_equal(blob_new_alloc(&b, 4, NULL), -EINVAL);
    assert_int_equal(blob_new_alloc(NULL, 4, &to), -EINVAL);
    assert_null(to);
    assert_null(b);
    assert_int_equal(released, 0);
    assert_string_equal(data, "mine");
}

#define SHARERS 8

static void *share_blob(void *arg)
{
    blob *b = arg;
    char sum = 0;

    for (int i = 0; i < 2000; i++)
        blob_ref(b);
    for (int i = 0; i < 2000; i++)
        blob_unref(b);
    for (size_t i = 0; i < b->size; i++)
        sum = (char)(sum + ((const char *)b->data)[i]);
    blob_unref(b);
    return sum == 'a' + 'b' + 'c' - 256 ? NULL : b;
}

/* Whoever comes last releases, and sees all that the others did with the bytes before: release writes to them. */
static void many_threads_share_a_blob_and_the_last_releases_it(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        pthread_t threads[SHARERS];
        char data[] = "abc";
        int released = 0;
        blob *b;
        assert_int_equal(blob_new_adopt(&b, data, 3, count_release, &released), 0);
        for (int i = 0; i < SHARERS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, share_blob, blob_ref(b)), 0);
        if (round % 2 == 0)
            blob_unref(b);
        for (int i = 0; i < SHARERS; i++) {
            void *bad;
            pthread_join(threads[i], &bad);
            assert_null(bad);
        }
        if (round % 2 != 0) {
            assert_int_equal(released, 0);
            blob_unref(b);
        }
        assert_int_equal(released, 1);
    }
}

/* Status codes */

static void every_status_has_a_name_of_its_own(void **state)
{
    const int codes[] = {
        0,          BLOB_NOT_FOUND, BLOB_EXISTS, BLOB_CLOSED, BLOB_CORRUPT, BLOB_UNAVAILABLE, BLOB_DENIED,
        BLOB_FULL,  BLOB_REJECTED,  -EINVAL,     -ENOMEM,     -EIO,         -ENOSPC,          -EBUSY,
        -ETIMEDOUT, -ECANCELED,     -EDEADLK,    -ERANGE,     -EMFILE,      BLOB_UNSUPPORTED, 1,
    };

    (void)state;
    for (size_t i = 0; i < COUNT(codes); i++)
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(blob_strerror(codes[i]), blob_strerror(codes[j]));
}

static void any_int_has_a_text_that_stays(void **state)
{
    const int odd[] = {INT_MIN, -INT_MAX, INT_MAX, -4097, -4096, -4095, -134, -58, -41};
    const char *unknown = blob_strerror(12345);

    (void)state;
    for (size_t i = 0; i < COUNT(odd); i++)
        assert_ptr_equal(blob_strerror(odd[i]), unknown);
    for (int status = -21000; status < 300; status++) {
        const char *text = blob_strerror(status);
        assert_non_null(text);
        assert_true(text[0] != '\0');
        assert_ptr_equal(blob_strerror(status), text);
        if (status > 0)
            assert_ptr_equal(text, unknown);
    }
}

/* The error detail */

static void a_failure_leaves_its_reason(void **state)
{
    blob_error error;

    (void)state;
    assert_int_equal(blob_fail(BLOB_UNAVAILABLE, 2000, "%s: %d SlowDown", "host", 503), BLOB_UNAVAILABLE);
    assert_detail(BLOB_UNAVAILABLE, "host: 503 SlowDown");
    blob_last_error(&error);
    assert_int_equal(error.retry_after_ms, 2000);
    assert_int_equal(blob_fail(-EIO, -1, NULL), -EIO);
    assert_detail(-EIO, "");
    blob_last_error(&error);
    assert_int_equal(error.retry_after_ms, 0);
    blob_last_error(NULL);
}

static void what_is_no_failure_leaves_none(void **state)
{
    (void)state;
    blob_fail(-EIO, 0, "the disk");
    assert_int_equal(blob_fail(0, 5, "fine"), 0);
    assert_int_equal(blob_fail(7, 5, "fine"), 7);
    assert_detail(-EIO, "the disk");
}

static void a_long_reason_is_cut(void **state)
{
    char text[500];
    blob_error error;

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    blob_fail(-EIO, 0, "%s", text);
    text[sizeof error.text - 1] = '\0';
    assert_detail(-EIO, text);
}

static void a_reason_is_one_line_and_no_terminal_obeys_it(void **state)
{
    (void)state;
    blob_fail(-EIO, 0, "one\ntwo\r\nthree\n");
    assert_detail(-EIO, "one two  three ");
    blob_fail(-EIO, 0, "%s", "far\tside\v\f says \x1b[2J\x7f but \xc3\xa9");
    assert_detail(-EIO, "far side   says  [2J  but \xc3\xa9");
}

static void *fail_elsewhere(void *arg)
{
    blob_error *errors = arg;

    blob_last_error(&errors[0]);
    blob_fail(BLOB_DENIED, 0, "elsewhere");
    blob_last_error(&errors[1]);
    return NULL;
}

static void each_thread_has_its_own_reason(void **state)
{
    blob_error errors[2];
    pthread_t thread;

    (void)state;
    blob_fail(-EIO, 0, "here");
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, errors), 0);
    pthread_join(thread, NULL);
    assert_int_equal(errors[0].status, 0);
    assert_string_equal(errors[0].text, "");
    assert_int_equal(errors[1].status, BLOB_DENIED);
    assert_string_equal(errors[1].text, "elsewhere");
    assert_detail(-EIO, "here");
}

static void settling_keeps_this_calls_words_and_no_older_ones(void **state)
{
    uint64_t mark;

    (void)state;
    mark = wb_status_mark();
    blob_fail(-EIO, 9, "this call");
    assert_int_equal(wb_status_settle(mark, -EIO), -EIO);
    assert_detail(-EIO, "this call");

    mark = wb_status_mark();
    assert_int_equal(wb_status_settle(mark, 0), 0);
    assert_int_equal(wb_status_settle(mark, 3), 3);
    assert_detail(-EIO, "this call"); /* a success leaves the last failure alone */

    assert_int_equal(wb_status_settle(mark, -EIO), -EIO); /* the same status, but nobody said why */
    assert_detail(-EIO, "");

    mark = wb_status_mark();
    blob_fail(BLOB_NOT_FOUND, 0, "a step on the way");
    assert_int_equal(wb_status_settle(mark, BLOB_CORRUPT), BLOB_CORRUPT);
    assert_detail(BLOB_CORRUPT, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_order_by_unsigned_bytes_and_a_prefix_comes_first),
        cmocka_unit_test(an_impossible_key_counts_as_empty),
        cmocka_unit_test(hex_is_lower_case_two_digits_a_byte_and_ended),
        cmocka_unit_test(hex_reads_back_what_it_wrote),
        cmocka_unit_test(what_is_not_hex_is_refused_and_nothing_written),
        cmocka_unit_test(a_copied_blob_keeps_its_own_bytes),
        cmocka_unit_test(an_allocated_blob_is_filled_in_place_and_aligned),
        cmocka_unit_test(a_placed_blob_goes_home_with_its_last_reference),
        cmocka_unit_test(a_size_that_memory_cannot_have_is_no_memory),
        cmocka_unit_test(an_adopted_blob_is_released_once_with_its_argument),
        cmocka_unit_test(a_blob_that_could_not_be_made_leaves_its_data_alone),
        cmocka_unit_test(many_threads_share_a_blob_and_the_last_releases_it),
        cmocka_unit_test(every_status_has_a_name_of_its_own),
        cmocka_unit_test(any_int_has_a_text_that_stays),
        cmocka_unit_test(a_failure_leaves_its_reason),
        cmocka_unit_test(what_is_no_failure_leaves_none),
        cmocka_unit_test(a_long_reason_is_cut),
        cmocka_unit_test(a_reason_is_one_line_and_no_terminal_obeys_it),
        cmocka_unit_test(each_thread_has_its_own_reason),
        cmocka_unit_test(settling_keeps_this_calls_words_and_no_older_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
