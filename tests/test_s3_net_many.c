/* test_s3_net_many.c - s3store's connections in number: many threads on one net, and what is left of them all. */
#include "s3net_test.h"

#include <dirent.h>

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static const http_step ok_once[] = {HTTP_READ, HTTP_SEND(OK), HTTP_STALL, HTTP_END};
static const http_step resets_second[] = {HTTP_READ, HTTP_SEND(OK), HTTP_READ, HTTP_RESET, HTTP_END};
static const http_step resets_first[] = {HTTP_READ, HTTP_RESET, HTTP_END};

static void answer_echo(void *arg, const http_request *request, http_answer *answer)
{
    (void)arg;
    answer->status = 200;
    answer->body = request->body;
    answer->body_size = request->body_size;
    if (request->number % 5 == 4)
        answer->after = HTTP_AFTER_CLOSE;
    else if (request->number % 5 == 3)
        answer->chunk = 100;
}

static void ask_many(void *failed, unsigned index)
{
    char body[3000];
    t_call call;

    for (unsigned i = 0; i < 60; i++) {
        test_fill((uint64_t)index << 32 | i, body, sizeof body);
        if (t_put(&call, body, sizeof body) != 0 || call.x.answer == NULL || call.x.answer->size != sizeof body ||
            memcmp(call.x.answer->data, body, sizeof body) != 0)
            atomic_fetch_add((atomic_uint *)failed, 1);
        blob_unref(call.x.answer);
    }
}

static void many_threads_get_each_its_own_answer(void **state)
{
    atomic_uint failed = 0;

    (void)state;
    t_open(http_server_start(&(http_handler){.handle = answer_echo}, false));
    test_threads_run(12, ask_many, &failed);
    assert_int_equal(failed, 0);
    assert_int_equal(http_server_counts(t_server).requests, 12 * 60);
    assert_true(t_kept() <= T_KEPT);
}

static size_t count_fds(void)
{
    DIR *fds = opendir("/proc/self/fd");
    size_t count = 0;

    assert_non_null(fds);
    while (readdir(fds) != NULL)
        count++;
    closedir(fds);
    return count;
}

static void no_descriptor_is_left_behind(void **state)
{
    size_t before = count_fds();
    static const http_step *const scripts[] = {resets_first, resets_second, ok_once};

    (void)state;
    t_scripts(scripts, 3);
    t_expect_failure(BLOB_UNAVAILABLE);
    t_expect(200, "ok");
    {
        blob_ctx *ctx = new_ctx(NULL);
        t_call call;

        test_ok(t_get_by(ctx, &call));
        t_answered(&call, 200, "ok");
        blob_ctx_cancel(ctx);
        test_status(t_get_by(ctx, &call), -ECANCELED);
        blob_ctx_free(ctx);
    }
    s3_net_close(&t_net);
    http_server_stop(t_server);
    t_server = NULL;
    assert_int_equal(count_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(many_threads_get_each_its_own_answer, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(no_descriptor_is_left_behind, t_setup, t_teardown),
    };

    return cmocka_run_group_tests_name("s3_net_many", tests, NULL, NULL);
}
