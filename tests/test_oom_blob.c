/* test_oom_blob.c - blobs and contexts when memory, locks or descriptors cannot be had: a clean refusal, outs cleared,
 * nothing left behind, and the next call works. */
#include "scarce.h"
#include "testutil.h"

#include <errno.h>
#include <string.h>

static int set_up(void **state)
{
    (void)state;
    test_watchdog(60);
    scarce_reset();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scarce_end();
    return 0;
}

/* The first thing of that kind that a call asks for. */
static void refuse_first(unsigned kind)
{
    scarce_begin(&(scarce_plan){.kinds = kind});
}

static void refused_one(void)
{
    assert_int_equal(scarce_end(), 1);
}

static void never_released(void *data, void *arg)
{
    (void)data;
    *(bool *)arg = true;
}

static void a_blob_that_memory_lacks_for_is_refused(void **state)
{
    bool released = false;
    char bytes[] = "bytes";
    void *room = bytes;
    blob *b = (blob *)(void *)bytes;

    (void)state;
    refuse_first(SCARCE_MEMORY);
    test_status(SCARCE(blob_new_copy(&b, "bytes", 5)), -ENOMEM);
    assert_null(b);
    refused_one();
    refuse_first(SCARCE_MEMORY);
    test_status(SCARCE(blob_new_alloc(&b, 100000, &room)), -ENOMEM);
    assert_true(b == NULL && room == NULL);
    refused_one();
    refuse_first(SCARCE_MEMORY);
    test_status(SCARCE(blob_new_adopt(&b, bytes, 5, never_released, &released)), -ENOMEM);
    assert_true(b == NULL && !released);
    refused_one();
    assert_int_equal(scarce_blocks(), 0);
    test_ok(SCARCE(blob_new_adopt(&b, bytes, 5, never_released, &released)));
    assert_int_equal(scarce_blocks(), 1);
    blob_unref(b);
    assert_true(released);
    assert_int_equal(scarce_blocks(), 0);
}

/* A parent, a child and its child: what was made before the refusal works on and is given back. */
static int family(blob_ctx *ctxs[3])
{
    int rc = blob_ctx_new(&ctxs[0], NULL);

    if (rc == 0)
        rc = blob_ctx_new_timeout(&ctxs[1], ctxs[0], 100000);
    if (rc == 0)
        rc = blob_ctx_new(&ctxs[2], ctxs[1]);
    return rc;
}

static void each_context_of_a_family_may_be_refused(void **state)
{
    static const struct {
        unsigned kind;
        int status;
    } wants[] = {{SCARCE_MEMORY, -ENOMEM}, {SCARCE_LOCKS, -EAGAIN}};
    long nth = 0;

    (void)state;
    for (size_t i = 0; i < 2; i++, nth = 0) {
        for (long refused = 1; refused > 0; nth++) {
            blob_ctx *ctxs[3] = {NULL, NULL, NULL};
            int rc;

            scarce_begin(&(scarce_plan){.kinds = wants[i].kind, .nth = nth});
            rc = SCARCE(family(ctxs));
            refused = scarce_end();
            test_status(rc, refused > 0 ? wants[i].status : 0);
            assert_true((ctxs[2] != NULL) == (rc == 0));
            blob_ctx_cancel(ctxs[0]);
            if (ctxs[1] != NULL)
                test_status(blob_ctx_status(ctxs[1]), -ECANCELED);
            for (size_t k = 0; k < 3; k++)
                blob_ctx_free(ctxs[k]);
            assert_int_equal(scarce_blocks(), 0);
        }
        assert_true(nth >= 2);
    }
}

static void a_context_without_a_descriptor_gets_one_later(void **state)
{
    unsigned before = scarce_descriptors();
    blob_ctx *ctx;
    int fd;

    (void)state;
    test_ok(blob_ctx_new(&ctx, NULL));
    refuse_first(SCARCE_FILES);
    test_status(SCARCE(blob_ctx_fd(ctx)), -EMFILE);
    refused_one();
    assert_int_equal(scarce_descriptors(), before);
    fd = blob_ctx_fd(ctx);
    assert_true(fd >= 0);
    assert_int_equal(blob_ctx_fd(ctx), fd);
    blob_ctx_free(ctx);
    assert_int_equal(scarce_descriptors(), before);
}

static void a_condition_that_the_system_lacks_for_is_refused(void **state)
{
    pthread_cond_t cond;

    (void)state;
    refuse_first(SCARCE_LOCKS);
    test_status(SCARCE(blob_cond_init(&cond)), -EAGAIN);
    refused_one();
    test_ok(SCARCE(blob_cond_init(&cond)));
    pthread_cond_destroy(&cond);
}

/* What these need was there before, or is the caller's: they must not fail for want of anything. */
static void what_cannot_fail_needs_no_memory(void **state)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    unsigned char digest[BLOB_ADDRESS_MAX], bytes[8];
    pthread_cond_t cond;
    blob_error error;
    char hex[17];
    blob_ctx *ctx;
    size_t size;
    blob *b;

    (void)state;
    test_ok(blob_cond_init(&cond));
    test_ok(blob_ctx_new_timeout(&ctx, NULL, 1));
    test_ok(blob_new_copy(&b, "bytes", 5));
    scarce_begin(&(scarce_plan){.kinds = ~0u, .count = SCARCE_FOR_GOOD});
    scarce_enter();
    blob_hash_sha256()->digest("bytes", 5, digest);
    blob_key_hex(blob_key_of("12345678", 8), hex);
    test_ok(blob_key_from_hex(hex, bytes, sizeof bytes, &size));
    blob_unref(blob_ref(b));
    test_status(blob_fail(-EIO, 7, "%s: %s", "a reason", blob_strerror(BLOB_CORRUPT)), -EIO);
    blob_last_error(&error);
    pthread_mutex_lock(&mutex);
    while (blob_ctx_wait(ctx, &cond, &mutex) == 0)
        ;
    pthread_mutex_unlock(&mutex);
    test_status(blob_ctx_status(ctx), -ETIMEDOUT);
    blob_ctx_cancel(ctx);
    scarce_leave();
    assert_int_equal(scarce_end(), 0);
    assert_int_equal(error.retry_after_ms, 7);
    pthread_cond_destroy(&cond);
    blob_ctx_free(ctx);
    blob_unref(b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_blob_that_memory_lacks_for_is_refused),
        TEST(each_context_of_a_family_may_be_refused),
        TEST(a_context_without_a_descriptor_gets_one_later),
        TEST(a_condition_that_the_system_lacks_for_is_refused),
        TEST(what_cannot_fail_needs_no_memory),
    };

    return cmocka_run_group_tests_name("blobs and contexts, and nothing to make them of", tests, NULL, NULL);
}
