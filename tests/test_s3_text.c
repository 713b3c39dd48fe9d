/* The text that requests are put together in keeps what it was given, says when it could not, and leaves no secret
 * behind in memory; nor does signing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testutil.h"
#include "s3store/s3store.h"

/* ---- Memory that is refused, and looked through when it is given back ---- */

#define BLOCKS_MAX 64
#define SECRET "the secret words"

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void __real_free(void *p);
void __wrap_free(void *p);

static int refuse_at = -1; /* the how manieth from now, once */
static bool watching;
static struct {
    void *at;
    size_t size;
} blocks[BLOCKS_MAX];
static unsigned blocks_count, given_back, secrets_left;

void *__wrap_malloc(size_t size)
{
    void *p = refuse_at >= 0 && refuse_at-- == 0 ? NULL : __real_malloc(size);

    if (p != NULL && watching) {
        assert_true(blocks_count < BLOCKS_MAX);
        memset(p, 0x5a, size);
        blocks[blocks_count].at = p;
        blocks[blocks_count++].size = size;
    }
    return p;
}

void __wrap_free(void *p)
{
    for (unsigned i = 0; p != NULL && i < blocks_count; i++) {
        if (blocks[i].at == p) {
            given_back++;
            secrets_left += memmem(p, blocks[i].size, SECRET, strlen(SECRET)) != NULL;
            blocks[i] = blocks[--blocks_count];
            break;
        }
    }
    __real_free(p);
}

static void watch(void)
{
    watching = true;
    blocks_count = given_back = secrets_left = 0;
}

static s3_credentials example = {
    .access_key = (char[]){"AKID"}, .secret_key = (char[]){SECRET}, .session_token = (char[]){SECRET}};
static const s3_field fields[] = {
    {"host", "h"}, {"x-amz-content-sha256", S3_EMPTY_HASH}, {"x-amz-security-token", SECRET}};
static const s3_request request = {"GET", "/", "", fields, 3, S3_EMPTY_HASH};

static void what_a_text_held_is_wiped(void **state)
{
    s3_text t = {0};

    (void)state;
    watch();
    for (int i = 0; i < 300; i++) /* grows on the way */
        s3_text_add(&t, SECRET);
    assert_true(given_back > 2);
    s3_text_free(&t);
    watching = false;
    assert_int_equal(blocks_count, 0);
    assert_int_equal(secrets_left, 0);
}

static void signing_leaves_no_secret_behind(void **state)
{
    s3_text out = {0};

    (void)state;
    watch();
    s3_sign(&out, &request, &example, "us-east-1", 0);
    watching = false;
    assert_false(out.failed);
    assert_null(strstr(out.data, SECRET));
    assert_true(given_back >= 3);
    assert_int_equal(secrets_left, 0);
    s3_text_free(&out);
    assert_int_equal(blocks_count, 0);
}

/* Each allocation in turn: never a signature of something else. */
static void without_memory_there_is_no_signature(void **state)
{
    s3_text whole = {0};
    bool refused = true;
    int count = 0;

    (void)state;
    s3_sign(&whole, &request, &example, "us-east-1", 0);
    assert_false(whole.failed);
    for (; refused; count++) {
        s3_text out = {0};

        refuse_at = count;
        s3_sign(&out, &request, &example, "us-east-1", 0);
        refused = refuse_at < 0;
        refuse_at = -1;
        assert_int_equal(out.failed, refused);
        if (!refused)
            assert_string_equal(out.data, whole.data);
        s3_text_free(&out);
    }
    assert_true(count > 3); /* it was refused at all */
    s3_text_free(&whole);
}

static void text_grows_and_keeps_what_was_added(void **state)
{
    s3_text t = {0};
    size_t size = 0;

    (void)state;
    for (uint64_t i = 0; i < 5000; i++) {
        char digits[24];

        s3_text_add_number(&t, i);
        size += (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)i);
        assert_int_equal(t.size, size);
        assert_true(t.room > size);
        assert_string_equal(t.data + size - strlen(digits), digits);
    }
    assert_memory_equal(t.data, "0123456789101112", 16);
    s3_text_free(&t);
    assert_null(t.data);
    assert_int_equal(t.size, 0);
    s3_text_add(&t, "");
    assert_string_equal(t.data, "");
    s3_text_add_bytes(&t, NULL, 0);
    s3_text_add_number(&t, UINT64_MAX);
    s3_text_add_hex(&t, "\0\xff\x1a", 3);
    s3_text_add_bytes(&t, "\0x", 2);
    assert_int_equal(t.size, 28);
    assert_memory_equal(t.data, "1844674407370955161500ff1a\0x\0", 29);
    s3_text_free(&t);
    s3_text_free(&t);
}

/* At every size, so that each way to grow is met: under a sanitizer one byte too many is seen. */
static void every_piece_fits_at_every_size(void **state)
{
    (void)state;
    for (size_t before = 0; before < 600; before++) {
        s3_text t = {0};

        for (size_t i = 0; i < before; i++)
            s3_text_add(&t, "x");
        s3_text_add_hex(&t, "\x12\x34", 2);
        s3_text_add_encoded(&t, "/ a", 3, before % 2 == 0);
        s3_text_add_number(&t, 77);
        assert_string_equal(t.data + before, before % 2 == 0 ? "1234/%20a77" : "1234%2F%20a77");
        assert_int_equal(strlen(t.data), t.size);
        s3_text_free(&t);
    }
}

static void every_byte_is_encoded_or_stays(void **state)
{
    static const char stay[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

    (void)state;
    for (int keep = 0; keep < 2; keep++) {
        for (int byte = 0; byte < 256; byte++) {
            unsigned char c = (unsigned char)byte;
            bool stays = (c != 0 && strchr(stay, byte) != NULL) || (c == '/' && keep);
            char expected[4];
            s3_text t = {0};

            snprintf(expected, sizeof expected, stays ? "%c" : "%%%02X", byte);
            s3_text_add_encoded(&t, &c, 1, keep);
            assert_string_equal(t.data, expected);
            s3_text_free(&t);
        }
    }
}

static void a_text_that_failed_stays_as_it_was(void **state)
{
    s3_text t = {0};

    (void)state;
    s3_text_add(&t, "kept");
    s3_text_add_bytes(&t, "?", SIZE_MAX / 2); /* no such memory: it must not be asked for */
    assert_true(t.failed);
    s3_text_add(&t, "more");
    s3_text_add_number(&t, 1);
    s3_text_add_hex(&t, "a", 1);
    s3_text_add_encoded(&t, "b", 1, true);
    assert_true(t.failed);
    assert_string_equal(t.data, "kept");
    s3_text_free(&t);
    assert_false(t.failed);
    for (size_t size = SIZE_MAX / 2; size <= SIZE_MAX / 2 + 1; size++) { /* twice that is next to nothing */
        s3_text_add_hex(&t, "a", size);
        assert_true(t.failed);
        s3_text_free(&t);
    }
    s3_text_add_encoded(&t, "a", SIZE_MAX / 2, true);
    assert_true(t.failed);
    s3_text_free(&t);
}

static void wiping_leaves_zeros(void **state)
{
    char secret[] = "secret";

    (void)state;
    s3_wipe(NULL, 0);
    s3_wipe(secret, 3);
    assert_memory_equal(secret, "\0\0\0ret", 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_text_held_is_wiped),
        cmocka_unit_test(signing_leaves_no_secret_behind),
        cmocka_unit_test(without_memory_there_is_no_signature),
        cmocka_unit_test(text_grows_and_keeps_what_was_added),
        cmocka_unit_test(every_piece_fits_at_every_size),
        cmocka_unit_test(every_byte_is_encoded_or_stays),
        cmocka_unit_test(a_text_that_failed_stays_as_it_was),
        cmocka_unit_test(wiping_leaves_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
