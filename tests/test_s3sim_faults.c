/* test_s3sim_faults.c - s3sim goes wrong exactly as it is told to, and on nobody else's request. */
#include "s3sim_test.h"

static void a_fault_strikes_whom_it_is_meant_for(void **state)
{
    unsigned slow, late;

    (void)state;
    slow = s3sim_fail(
        sim, &(s3sim_fault){.method = "PUT", .contains = "/x", .skip = 1, .count = 2, .fields = "Retry-After: 3\r\n"});
    late = s3sim_fail(sim, &(s3sim_fault){.method = "DELETE", .status = 500, .code = ""});
    assert_int_equal(ask_put("/bucket/a", "1"), 200);
    assert_int_equal(ask_put("/bucket/x", "1"), 200);
    assert_int_equal(ask_put("/bucket/x", "2"), 503);
    expect_code("SlowDown");
    assert_non_null(strstr(got.head, "\r\nRetry-After: 3\r\n"));
    assert_int_equal(ask_put("/bucket/x", "3"), 503);
    assert_int_equal(ASK(.method = "PUT", .target = "/bucket/x", .body = "4", .condition = "*"), 412);
    assert_int_equal(ask_delete("/bucket/x"), 500);
    assert_string_equal(got.body, "");
    assert_int_equal(s3sim_hits(sim, slow), 2);
    assert_int_equal(s3sim_hits(sim, late), 1);
    s3sim_clear(sim);
    assert_int_equal(ask_get("/bucket/x"), 200);
    assert_string_equal(got.body, "1");
    assert_int_equal(ask_delete("/bucket/x"), 204);
    assert_int_equal(http_server_counts(s3sim_http(sim)).accepted, 1);
}

/* With this fault, a PUT of "new" over "old" hears status (0: nothing, error: by a reset or not) and leaves object. */
static void put_with(s3sim_fault fault, unsigned status, int error, const char *object)
{
    char *copy;

    hang_up();
    s3sim_put(sim, "a", "old", SIZE_MAX);
    s3sim_fail(sim, &fault);
    assert_int_equal(ask_put("/bucket/a", "new"), status);
    assert_int_equal(got.error, error);
    s3sim_clear(sim);
    assert_non_null(copy = s3sim_copy(sim, "a", NULL));
    assert_string_equal(copy, object);
    free(copy);
}

static void work_is_done_or_not_as_the_fault_says(void **state)
{
    (void)state;
    put_with((s3sim_fault){.act = S3SIM_ANSWER}, 503, 0, "old");
    put_with((s3sim_fault){.act = S3SIM_RAW, .raw = "HTTP/1.1 299 \r\n\r\n"}, 299, 0, "old");
    put_with((s3sim_fault){.act = S3SIM_HANG_UP}, 0, 0, "old");
    put_with((s3sim_fault){.act = S3SIM_RESET}, 0, ECONNRESET, "old");
    put_with((s3sim_fault){.act = S3SIM_ANSWER_EARLY, .status = 400}, 400, 0, "old");
    put_with((s3sim_fault){.act = S3SIM_LATE}, 0, ECONNRESET, "old");
    assert_int_equal(s3sim_carry_out(sim), 1);
    assert_int_equal(s3sim_bytes(sim), 3);
    assert_int_equal(s3sim_writes(sim), 1);
    assert_int_equal(s3sim_carry_out(sim), 0);
    put_with((s3sim_fault){.act = S3SIM_DONE_HANG_UP}, 0, 0, "new");
    put_with((s3sim_fault){.act = S3SIM_DONE_RESET}, 0, ECONNRESET, "new");
    put_with((s3sim_fault){.act = S3SIM_DONE_ANSWER, .status = 500}, 500, 0, "new");
    put_with((s3sim_fault){.act = S3SIM_DONE_TWICE}, 200, 0, "new");
    s3sim_put(sim, "a", "other", SIZE_MAX);
    assert_int_equal(s3sim_carry_out(sim), 1);
    assert_int_equal(s3sim_bytes(sim), 3);
    put_with((s3sim_fault){.act = S3SIM_DONE_CLOSE}, 200, 0, "new");
    assert_false(got.closed); /* so it was not said, but ... */
    assert_int_equal(hear(false), 0);
    s3sim_fail(sim, &(s3sim_fault){.act = S3SIM_DONE_CUT, .cut_at = 2});
    assert_int_equal(ask_get("/bucket/a"), 200);
    assert_string_equal(got.body, "ne");
    assert_int_equal(link_fd, -1);
}

static void a_body_stays_unread_if_it_is_to(void **state)
{
    int kept;

    (void)state;
    s3sim_fail(sim, &(s3sim_fault){.act = S3SIM_HANG_UP_EARLY, .count = 1});
    s3sim_fail(sim, &(s3sim_fault){.act = S3SIM_READ_NOTHING, .count = 1});
    (void)ASK(.method = "PUT", .target = "/bucket/a", .body = "a body", .keep = 5);
    assert_int_equal(got.status, 0);
    say(&(ask){.method = "PUT", .target = "/bucket/a", .body = "a body", .keep = 5});
    s3sim_requests_await(sim, "PUT", 2);
    kept = link_fd;
    link_fd = -1;
    assert_int_equal(ask_head("/bucket"), 200); /* time for it to do what it should not */
    assert_int_equal(http_server_counts(s3sim_http(sim)).connections, 2);
    assert_int_equal(recv(kept, got.body, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    close(kept);
    hang_up();
    http_server_connections_await(s3sim_http(sim), 0); /* it sees that */
    assert_false(s3sim_has(sim, "a"));
}

static void a_stalled_request_goes_on_when_it_is_released(void **state)
{
    (void)state;
    s3sim_fail(sim, &(s3sim_fault){.act = S3SIM_STALL, .count = 1});
    s3sim_fail(sim, &(s3sim_fault){.act = S3SIM_DONE_STALL});
    for (int done = 0; done < 2; done++) {
        say(&(ask){.method = "PUT", .target = done == 0 ? "/bucket/a" : "/bucket/b", .body = "one"});
        s3sim_stalled_await(sim, 1);
        assert_int_equal(s3sim_count(sim), 2 * done); /* a; then both */
        assert_int_equal(recv(link_fd, got.body, 1, MSG_DONTWAIT), -1);
        s3sim_release(sim);
        assert_int_equal(hear(false), 200);
        assert_int_equal(s3sim_count(sim), 1 + done);
    }
    say(&(ask){.method = "GET", .target = "/bucket/a"}); /* and the end of the sim ends it too */
    s3sim_stalled_await(sim, 1);
}

static void latency_is_at_least_what_was_asked_and_stop_ends_it(void **state)
{
    s3sim_settings set = s3sim_get(sim);
    struct timespec before, after;

    (void)state;
    set.latency_us = 20000;
    s3sim_set(sim, &set);
    clock_gettime(CLOCK_MONOTONIC, &before);
    assert_int_equal(ask_head("/bucket"), 200);
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true((after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000 >= 20000);
    set.latency_us = UINT64_C(3600000000);
    s3sim_set(sim, &set);
    say(&(ask){.method = "PUT", .target = "/bucket/a", .body = "one"});
    s3sim_writes_await(sim, 1);
}

static void a_server_goes_down_and_comes_back(void **state)
{
    http_server *http = s3sim_http(sim);

    (void)state;
    assert_int_equal(ask_put("/bucket/a", "one"), 200);
    assert_int_equal(http_server_counts(http).connections, 1);
    http_server_idle_await(http, 1);
    assert_int_equal(http_server_hang_up_idle(http), 1);
    assert_int_equal(hear(false), 0);
    assert_int_equal(ask_get("/bucket/a"), 200);
    http_server_down(http);
    (void)hear(false);
    assert_int_equal(c_connect(http_server_port(http)), -ECONNREFUSED);
    http_server_up(http);
    assert_int_equal(ask_get("/bucket/a"), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_fault_strikes_whom_it_is_meant_for),
        TEST(work_is_done_or_not_as_the_fault_says),
        TEST(a_body_stays_unread_if_it_is_to),
        TEST(a_stalled_request_goes_on_when_it_is_released),
        TEST(latency_is_at_least_what_was_asked_and_stop_ends_it),
        TEST(a_server_goes_down_and_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
