/* test_s3_proxy.c - something on the way that says yes to everything: a login page, a proxy. It is never taken for the
 * server, so that no buffer is emptied into it. */
#include "s3_test.h"

static const char page[] =
    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: 18\r\n\r\n<html>hello</html>";

static void expect_refused(int rc)
{
    blob_error e;

    test_status(rc, -EIO);
    blob_last_error(&e);
    assert_non_null(strstr(e.text, "login page"));
}

static void a_page_that_says_yes_to_everything_is_believed_nothing(void **state)
{
    static const unsigned checked[] = {0, 1};
    blob_key key = test_key("a");
    uint64_t size;
    blob *b;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        blob_s3store_options o = t_options();
        blob_store *s;

        o.keys_are_sha256 = checked[i];
        s = t_open_as(&o);
        s3sim_clear(t_sim);
        T_FAIL(.act = S3SIM_RAW, .raw = page);
        expect_refused(blob_store_get(s, NULL, key, &b));
        expect_refused(blob_store_size(s, NULL, key, &size));
        expect_refused(blob_store_put(s, NULL, key, blob_view_of("x", 1), 0));
        expect_refused(blob_store_put(s, NULL, key, blob_view_of("x", 1), BLOB_REPLACE));
        expect_refused(blob_store_delete(s, NULL, key, 0));
        t_close(s);
    }
}

/* Where only some answers come from it. */
static void a_page_in_the_place_of_one_answer_is_not_believed_either(void **state)
{
    static const char *const methods[] = {"PUT", "DELETE"};
    blob_key key = test_key("a");

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        blob_store *s = t_open();

        s3sim_clear(t_sim);
        s3sim_put(t_sim, "61", "there", SIZE_MAX);
        T_FAIL(.act = S3SIM_RAW, .raw = page, .method = methods[i], .count = 1);
        expect_refused(i == 0 ? blob_store_put(s, NULL, key, blob_view_of("x", 1), BLOB_REPLACE)
                              : blob_store_delete(s, NULL, key, 0));
        test_expect(s, key, "there");
        t_close(s);
    }
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, t_setup, t_teardown)
    const struct CMUnitTest tests[] = {
        T(a_page_that_says_yes_to_everything_is_believed_nothing),
        T(a_page_in_the_place_of_one_answer_is_not_believed_either),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
