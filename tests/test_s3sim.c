/* test_s3sim.c - the object store that tests of s3store rely on does what it says, seen through plain sockets.
 * test_s3sim_faults.c has what it does on demand. */
#include "s3sim_test.h"

static void objects_are_put_read_and_deleted(void **state)
{
    char *copy;
    size_t size;

    (void)state;
    assert_int_equal(ask_head("/bucket"), 200);
    assert_non_null(strstr(got.head, "x-amz-bucket-region: us-east-1\r\n"));
    assert_non_null(strstr(got.head, "\r\nDate: "));
    assert_int_equal(ask_get("/bucket/a"), 404);
    expect_code("NoSuchKey");
    assert_int_equal(ask_head("/bucket/a"), 404);
    assert_int_equal(ask_put("/bucket/a", "one"), 200);
    assert_int_equal(ASK(.method = "PUT", .target = "/bucket/a", .body = "two", .condition = "*"), 412);
    expect_code("PreconditionFailed");
    assert_int_equal(ask_get("/bucket/a"), 200);
    assert_string_equal(got.body, "one");
    assert_int_equal(ask_head("/bucket/a"), 200);
    assert_non_null(strstr(got.head, "Content-Length: 3\r\n"));
    assert_int_equal(ASK(.method = "GET", .target = "/bucket/a", .range = "bytes=0-0"), 206);
    assert_string_equal(got.body, "o");
    assert_int_equal(ask_put("/bucket/a", "three"), 200);
    assert_int_equal(ASK(.method = "PUT", .target = "/bucket/b%20%2B/c", .body = "", .condition = "*"), 200);
    assert_non_null(copy = s3sim_copy(sim, "a", &size));
    assert_string_equal(copy, "three");
    assert_int_equal(size, 5);
    free(copy);
    assert_true(s3sim_has(sim, "b +/c"));
    assert_int_equal(s3sim_count(sim), 2);
    assert_int_equal(s3sim_bytes(sim), 5);
    assert_int_equal(s3sim_writes(sim), 3);
    assert_int_equal(s3sim_overwrites(sim), 1);
    assert_int_equal(ask_delete("/bucket/a"), 204);
    assert_int_equal(ask_delete("/bucket/a"), 204);
    assert_false(s3sim_has(sim, "a"));
    s3sim_put(sim, "x", "y", SIZE_MAX);
    assert_int_equal(ask_get("/bucket/x"), 200);
    assert_true(s3sim_remove(sim, "x"));
    assert_false(s3sim_remove(sim, "x"));
    assert_int_equal(http_server_counts(s3sim_http(sim)).accepted, 1); /* all of it on one connection */
}

static void requests_are_logged_and_counted(void **state)
{
    s3sim_entry e;

    (void)state;
    assert_int_equal(ASK(.method = "PUT", .target = "/bucket/a", .body = "one", .condition = "*"), 200);
    assert_int_equal(ask_get("/bucket?list-type=2"), 200);
    assert_int_equal(ASK(.method = "GET", .target = "/bucket/no", .range = "bytes=0-0"), 404);
    assert_int_equal(s3sim_requests(sim, NULL), 3);
    assert_int_equal(s3sim_requests(sim, "GET"), 2);
    assert_true(s3sim_log(sim, 0, &e));
    assert_string_equal(e.method, "PUT");
    assert_string_equal(e.path, "/bucket/a");
    assert_string_equal(e.host, "127.0.0.1");
    assert_int_equal(e.body_size, 3);
    assert_true(e.conditional && !e.first_byte);
    assert_int_equal(e.status, 200);
    assert_true(s3sim_log(sim, 1, &e));
    assert_string_equal(e.query, "list-type=2");
    assert_true(s3sim_log(sim, 2, &e));
    assert_true(e.first_byte && !e.conditional);
    assert_int_equal(e.status, 404);
    assert_string_equal(e.code, "NoSuchKey");
    assert_false(s3sim_log(sim, 3, &e));
    s3sim_forget(sim);
    assert_int_equal(s3sim_log_size(sim) + s3sim_requests(sim, NULL) + s3sim_writes(sim), 0);
}

static void a_listing_comes_in_pages(void **state)
{
    s3sim_settings set = s3sim_get(sim);
    char token[64], target[256];

    (void)state;
    for (char name[] = "p/a"; name[2] <= 'e'; name[2]++)
        s3sim_put(sim, name, "12345", SIZE_MAX);
    s3sim_put(sim, "p/ <", "", SIZE_MAX);
    s3sim_put(sim, "q", "", SIZE_MAX);
    s3sim_put(sim, "o", "", SIZE_MAX);
    set.page = 4;
    s3sim_set(sim, &set);
    assert_int_equal(ask_get("/bucket/?encoding-type=url&list-type=2&prefix=p%2F"), 200);
    assert_non_null(strstr(got.body, "<KeyCount>4</KeyCount><MaxKeys>4</MaxKeys><IsTruncated>true</IsTruncated>"));
    assert_non_null(strstr(got.body, "<Contents><Key>p/%20%3C</Key>"));
    assert_non_null(strstr(got.body, "<Key>p/c</Key>"));
    assert_null(strstr(got.body, "<Key>p/d</Key>"));
    assert_non_null(strstr(got.body, "<Size>5</Size>"));
    assert_int_equal(sscanf(strstr(got.body, "<NextC"), "<NextContinuationToken>%60[^<]", token), 1);
    snprintf(target, sizeof target, "/bucket?list-type=2&prefix=p%%2F&continuation-token=%s", token);
    assert_int_equal(ask_get(target), 200);
    assert_non_null(strstr(got.body, "<KeyCount>2</KeyCount><MaxKeys>4</MaxKeys><IsTruncated>false</IsTruncated>"));
    assert_non_null(strstr(got.body, "<Key>p/d</Key>"));
    assert_non_null(strstr(got.body, "<Key>p/e</Key>"));
    assert_int_equal(ask_get("/bucket?list-type=2&start-after=p%2Fd&max-keys=1"), 200);
    assert_non_null(strstr(got.body, "<Key>p/e</Key>"));
    assert_non_null(strstr(got.body, "<KeyCount>1</KeyCount>"));
    assert_non_null(strstr(got.body, "<IsTruncated>true<"));
    assert_int_equal(ask_get("/bucket?list-type=2&prefix=p%2F%20"), 200);
    assert_non_null(strstr(got.body, "<Key>p/ &#60;</Key>"));
    assert_int_equal(ask_get("/bucket?list-type=2&prefix=o"), 200);
    assert_non_null(strstr(got.body, "<KeyCount>1</KeyCount>"));
    assert_int_equal(ask_get("/bucket?list-type=1"), 400);
    assert_int_equal(ask_get("/bucket?list-type=2&prefix=p/"), 400);
    set.not_encoded = true;
    s3sim_set(sim, &set);
    assert_int_equal(ask_get("/bucket?encoding-type=url&list-type=2&prefix=p%2F%20"), 200);
    assert_non_null(strstr(got.body, "<Key>p/ &#60;</Key>"));
    assert_null(strstr(got.body, "<EncodingType>"));
    set.not_encoded = false;
    set.plus = true;
    set.chunk = 7;
    s3sim_set(sim, &set);
    say(&(ask){.method = "GET", .target = "/bucket?encoding-type=url&list-type=2&prefix=p%2F%20"});
    c_expect(link_fd, "HTTP/1.1 200 OK\r\n");
    (void)hear(false);
    assert_non_null(strstr(got.head, "Transfer-Encoding: chunked\r\n"));
    c_expect(link_fd, "7\r\n<?xml v\r\n7\r\nersion=\r\n");
    hang_up();
}

static void what_is_wrong_with_a_request_is_said(void **state)
{
    s3sim_settings set = s3sim_get(sim);

    (void)state;
    assert_int_equal(ask_get("/other/a"), 404);
    expect_code("NoSuchBucket");
    assert_int_equal(ASK(.method = "GET", .target = "/bucket/a", .authorization = ""), 403);
    expect_code("AccessDenied");
    assert_int_equal(ASK(.method = "GET", .target = "/bucket/a", .authorization = "AWS4-HMAC-SHA256 nonsense"), 400);
    expect_code("AuthorizationHeaderMalformed");
    assert_null(strstr(got.body, "<Region>"));
    assert_int_equal(ASK(.method = "GET", .target = "/bucket/a", .region = "eu-west-1"), 400);
    expect_code("AuthorizationHeaderMalformed");
    assert_non_null(strstr(got.body, "<Region>us-east-1</Region>"));
    assert_non_null(strstr(got.head, "x-amz-bucket-region: us-east-1\r\n"));
    assert_int_equal(ASK(.method = "GET", .target = "/bucket/a", .key = "OTHER"), 403);
    expect_code("InvalidAccessKeyId");
    assert_int_equal(ASK(.method = "GET", .target = "/bucket/a", .off_s = -1000), 403);
    expect_code("RequestTimeTooSkewed");
    assert_int_equal(ASK(.method = "GET", .target = "/bucket/a", .off_s = 1000), 403);
    expect_code("RequestTimeTooSkewed");
    assert_non_null(strstr(got.body, "<ServerTime>20"));
    assert_int_equal(ASK(.method = "PUT", .target = "/bucket/a", .body = "body", .hash = "UNSIGNED-PAYLOAD"), 200);
    assert_int_equal(ASK(.method = "PUT", .target = "/bucket/a", .body = "body", .hash = "no"), 400);
    expect_code("InvalidArgument");
    say(&(ask){.method = "PUT",
               .target = "/bucket/a",
               .body = "body",
               .hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"});
    assert_int_equal(hear(false), 400);
    expect_code("XAmzContentSHA256Mismatch");
    assert_int_equal(ask_get("/bucket/a+b"), 403);
    expect_code("SignatureDoesNotMatch");
    assert_int_equal(ask_get("/bucket/%61"), 403);
    set.clock_s = -1000;
    set.expired_token = "old";
    set.region = "eu-west-1";
    set.size_max = 10;
    set.quota = 8;
    s3sim_set(sim, &set);
    assert_int_equal(ASK(.method = "GET", .target = "/bucket/a", .off_s = -1000, .region = "eu-west-1"), 200);
    assert_int_equal(ASK(.method = "GET", .target = "/bucket/a", .off_s = -1000, .region = "eu-west-1", .token = "new"),
                     200);
    assert_int_equal(ASK(.method = "GET", .target = "/bucket/a", .off_s = -1000, .region = "eu-west-1", .token = "old"),
                     400);
    expect_code("ExpiredToken");
    assert_int_equal(
        ASK(.method = "PUT", .target = "/bucket/a", .body = "01234567890", .off_s = -1000, .region = "eu-west-1"), 400);
    expect_code("EntityTooLarge");
    assert_int_equal(
        ASK(.method = "PUT", .target = "/bucket/a", .body = "012345678", .off_s = -1000, .region = "eu-west-1"), 403);
    expect_code("QuotaExceeded");
    assert_int_equal(
        ASK(.method = "PUT", .target = "/bucket/a", .body = "01234567", .off_s = -1000, .region = "eu-west-1"), 200);
    set.size_early = true;
    s3sim_set(sim, &set);
    assert_int_equal(ASK(.method = "PUT", .target = "/bucket/a", .body = "01234567890", .keep = 10), 400);
    expect_code("EntityTooLarge");
    assert_true(got.closed);
}

static void what_must_be_signed_must_be(void **state)
{
    char text[512], stamp[20];
    time_t now = time(NULL);
    struct tm tm;

    (void)state;
    gmtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%Y%m%d", &tm);
    for (int i = 0; i < 3; i++) {
        static const char *const fields[] = {"host;x-amz-date", "x-amz-content-sha256;host;x-amz-date",
                                             "host;x-amz-content-sha256;x-amz-date;x-amz-none"};
        snprintf(text, sizeof text,
                 "AWS4-HMAC-SHA256 Credential=SIMACCESSKEY/%s/us-east-1/s3/aws4_request, SignedHeaders=%s, "
                 "Signature=%064d",
                 stamp, fields[i], 0);
        assert_int_equal(ASK(.method = "GET", .target = "/bucket/a", .authorization = text), 403);
        expect_code(i == 0 ? "AccessDenied" : "SignatureDoesNotMatch");
    }
    snprintf(text, sizeof text,
             "AWS4-HMAC-SHA256 Credential=SIMACCESSKEY/20130524/us-east-1/s3/aws4_request,"
             "SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature=%064d",
             0);
    assert_int_equal(ASK(.method = "GET", .target = "/bucket/a", .authorization = text), 400);
    expect_code("AuthorizationHeaderMalformed");
}

static void a_bucket_can_be_part_of_the_host(void **state)
{
    (void)state;
    assert_int_equal(ASK(.method = "PUT", .target = "/a", .body = "one", .host = "bucket.localhost:80"), 200);
    assert_true(s3sim_has(sim, "a"));
    assert_int_equal(ASK(.method = "GET", .target = "/?list-type=2", .host = "bucket.localhost:80"), 200);
    assert_non_null(strstr(got.body, "<Key>a</Key>"));
}

static void conditions_can_be_ignored_or_refused(void **state)
{
    s3sim_settings set = s3sim_get(sim);

    (void)state;
    s3sim_put(sim, "a", "old", SIZE_MAX);
    set.conditional = S3SIM_REFUSES;
    s3sim_set(sim, &set);
    assert_int_equal(ASK(.method = "PUT", .target = "/bucket/a", .body = "new", .condition = "*"), 501);
    expect_code("NotImplemented");
    set.conditional = S3SIM_IGNORES;
    s3sim_set(sim, &set);
    assert_int_equal(ASK(.method = "PUT", .target = "/bucket/a", .body = "new", .condition = "*"), 200);
    assert_int_equal(ask_get("/bucket/a"), 200);
    assert_string_equal(got.body, "new");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(objects_are_put_read_and_deleted),
        TEST(requests_are_logged_and_counted),
        TEST(a_listing_comes_in_pages),
        TEST(what_is_wrong_with_a_request_is_said),
        TEST(what_must_be_signed_must_be),
        TEST(a_bucket_can_be_part_of_the_host),
        TEST(conditions_can_be_ignored_or_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
