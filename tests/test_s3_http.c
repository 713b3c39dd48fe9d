/* An answer's head: what a server may send is understood in whatever pieces it comes, what two readers could take
 * differently is refused, and nothing is read that is not there (each piece lies at the end of memory of its own, so a
 * sanitizer or valgrind sees that). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testutil.h"
#include "s3store/net.h"

#define SIZE(array) (sizeof(array) / sizeof *(array))
#define NOV_6_1994 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT, RFC 9110's example */
#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"
#define DAY_MS 86400000

static int read_head(const char *bytes, size_t size, bool to_head, s3_head *out, size_t *used)
{
    char *exact = malloc(size > 0 ? size : 1);
    int rc;

    assert_non_null(exact);
    memcpy(exact, bytes, size);
    memset(out, 0x5a, sizeof *out);
    *used = 77;
    rc = s3_http_head(size > 0 ? exact : exact + 1, size, to_head, out, used);
    free(exact);
    if (rc != 0) {
        assert_int_equal(*used, 0);
        assert_int_equal(out->status, 0);
        assert_int_equal(out->date_s, -1);
        assert_false(out->keep || out->bodiless || out->chunked || out->has_length);
        assert_string_equal(out->region, "");
        assert_string_equal(out->location, "");
    }
    return rc;
}

/* Each prefix is too little, the whole is enough, and what follows is left alone. */
static s3_head good_head(const char *text, bool to_head)
{
    const size_t size = strlen(text);
    char *more = malloc(size + 8);
    s3_head head;
    size_t used;

    assert_non_null(more);
    for (size_t i = 0; i < size; i++)
        if (read_head(text, i, to_head, &head, &used) != -EAGAIN)
            fail_msg("%zu bytes of\n%s\nare taken for something", i, text);
    snprintf(more, size + 8, "%sHTTP/1.", text);
    if (read_head(more, size + 7, to_head, &head, &used) != 0 || used != size)
        fail_msg("refused, or cut at %zu:\n%s", used, text);
    assert_int_equal(read_head(text, size, to_head, &head, &used), 0);
    assert_int_equal(used, size);
    free(more);
    return head;
}

/* The whole is refused, with what follows too; and what was refused once stays so. */
static void bad_head(const char *bytes, size_t size)
{
    bool refused = false;
    s3_head head;
    size_t used;
    int rc;

    for (size_t i = 0; i <= size; i++) {
        rc = read_head(bytes, i, false, &head, &used);
        if (rc != (refused ? -EBADMSG : -EAGAIN) && (refused || rc != -EBADMSG))
            fail_msg("%d for %zu bytes of\n%s", rc, i, bytes);
        refused = rc == -EBADMSG;
    }
    if (!refused)
        fail_msg("not refused:\n%s", bytes);
}

typedef struct framing {
    const char *text;
    bool to_head;
    unsigned status;
    bool keep, bodiless, chunked, has_length;
    uint64_t length;
} framing;

static void framing_is_what_the_fields_say(void **state)
{
    static const framing cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, 200, true, false, false, true, 5},
        {"HTTP/1.1 200 OK\r\ncontent-LENGTH:5\r\n\r\n", false, 200, true, false, false, true, 5},
        {"HTTP/1.1 200 OK\r\nContent-Length: \t 0 \t\r\n\r\n", false, 200, true, false, false, true, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n", false, 200, true, false, false, true,
         UINT64_MAX},
        {"HTTP/1.1 200 OK\r\nContent-Length: 007\r\n\r\n", false, 200, true, false, false, true, 7},
        {"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n", false, 200, true, false, false, true, 7},
        {"HTTP/1.1 200 OK\r\nContent-Length: 7, 7 ,7\r\n\r\n", false, 200, true, false, false, true, 7},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, 200, true, false, true, false, 0},
        {"HTTP/1.1 200 OK\r\ntransfer-encoding:CHUNKED\r\n\r\n", false, 200, true, false, true, false, 0},
        {"HTTP/1.1 200 OK\r\n\r\n", false, 200, false, false, false, false, 0}, /* to the end */
        {"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n", false, 200, false, false, false, false, 0},
        /* no body, whatever else */
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, 200, true, true, false, true, 5},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true, 200, true, true, false, false, 0},
        {"HTTP/1.1 404 Not Found\r\n\r\n", true, 404, true, true, false, false, 0},
        {"HTTP/1.1 100 Continue\r\n\r\n", false, 100, true, true, false, false, 0},
        {"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", false, 103, true, true, false, false, 0},
        {"HTTP/1.1 204 No Content\r\n\r\n", false, 204, true, true, false, false, 0},
        {"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", false, 204, true, true, false, true, 0},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, 304, true, true, false, true, 5},
        /* a body announced where there is none: the connection is not trusted with another request */
        {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false, 204, false, true, false, true, 5},
        {"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", false, 204, false, true, false, false, 0},
        /* who closes, who keeps */
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", false, 200, false, false, false, true, 5},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCONNECTION: x , Close,y\r\n\r\n", false, 200, false, false, false,
         true, 5},
        {"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\nContent-Length: 5\r\n\r\n", false, 200,
         false, false, false, true, 5},
        {"HTTP/1.1 200 OK\r\nConnection: closed\r\nContent-Length: 5\r\n\r\n", false, 200, true, false, false, true, 5},
        {"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n", true, 404, false, true, false, false, 0},
        {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", false, 200, false, false, false, true, 5},
        {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\n\r\n", false, 200, true, false, false, true,
         5},
        {"HTTP/1.0 204 No Content\r\nConnection: keep-alive, x\r\n\r\n", false, 204, true, true, false, false, 0},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", false, 200, false, false, false, false, 0},
        {"HTTP/1.0 204 No Content\r\nConnection: close, keep-alive\r\n\r\n", false, 204, false, true, false, false, 0},
        {"HTTP/1.2 200 OK\r\nContent-Length: 5\r\n\r\n", false, 200, true, false, false, true, 5},
    };

    (void)state;
    for (size_t i = 0; i < SIZE(cases); i++) {
        const framing *want = &cases[i];
        s3_head got = good_head(want->text, want->to_head);

        if (got.status != want->status || got.keep != want->keep || got.bodiless != want->bodiless ||
            got.chunked != want->chunked || got.has_length != want->has_length || got.length != want->length)
            fail_msg("status %u keep %d bodiless %d chunked %d has_length %d length %llu of%s\n%s", got.status,
                     got.keep, got.bodiless, got.chunked, got.has_length, (unsigned long long)got.length,
                     want->to_head ? " an answer to HEAD" : "", want->text);
    }
}

static void what_matters_to_nobody_is_passed_over(void **state)
{
    static const char *const cases[] = {
        "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n",                            /* no reason */
        "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n",                           /* an empty one */
        "HTTP/1.1  200\tOK then: \x80\xff\r\nContent-Length: 5\r\n\r\n",        /* blanks, any reason */
        "HTTP/1.1 200 OK\nContent-Length: 5\n\n",                               /* no CR */
        "HTTP/1.1 200 OK\r\nX-Y_z.!#$%&'*+^`|~0:\r\nContent-Length: 5\r\n\r\n", /* nothing in it */
        "HTTP/1.1 200 OK\r\nX: : \x01\x7f\xff \"\\\t:,\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Lengths: 6\r\nContent-Lengt: 7\r\nX-Content-Length: 8\r\n\r\n",
        "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nServer: y\r\nContent-Length: 5\r\nContent-Encoding: gzip\r\nTE: z\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < SIZE(cases); i++) {
        s3_head head = good_head(cases[i], false);

        assert_int_equal(head.status, 200);
        assert_int_equal(head.length, 5);
        assert_true(head.keep && head.has_length);
        assert_false(head.bodiless || head.chunked);
        assert_int_equal(head.retry_after_ms, 0);
        assert_int_equal(head.date_s, -1);
    }
}

static void what_cannot_be_trusted_is_refused(void **state)
{
#define BAD(text)                                                                                                      \
    {                                                                                                                  \
        (text), sizeof(text) - 1                                                                                       \
    }
    static const struct {
        const char *text;
        size_t size;
    } cases[] = {
        /* not HTTP/1.x */
        BAD("\r\nHTTP/1.1 200 OK\r\n\r\n"),
        BAD("http/1.1 200 OK\r\n\r\n"),
        BAD("HTTP/2 200 OK\r\n\r\n"),
        BAD("HTTP/2.0 200 OK\r\n\r\n"),
        BAD("HTTP/1. 200 OK\r\n\r\n"),
        BAD("HTTP/1.x 200 OK\r\n\r\n"),
        BAD("HTTP/1.10 200 OK\r\n\r\n"),
        BAD("HTTP/1.1\r\n\r\n"),
        BAD("HTTP/1.1200 OK\r\n\r\n"),
        BAD("HTTP/1.1 \r\n\r\n"),
        BAD("HTTP/1.1 20\r\n\r\n"),
        BAD("HTTP/1.1 20 OK\r\n\r\n"),
        BAD("HTTP/1.1 2000 OK\r\n\r\n"),
        BAD("HTTP/1.1 2x0 OK\r\n\r\n"),
        BAD("HTTP/1.1 -20 OK\r\n\r\n"),
        BAD("HTTP/1.1 200OK\r\n\r\n"),
        BAD("HTTP/1.1 099 OK\r\n\r\n"),
        BAD("HTTP/1.1 600 OK\r\n\r\n"),
        BAD("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
        BAD("\x15\x03\x01\x00\x02\x02\x46"), /* TLS: no line will end */
        BAD("SSH-2.0-x\r\n"),
        BAD("<html>\n"),
        /* lengths */
        BAD("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nContent-Length: 5,\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nContent-Length: 5 5\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nContent-Length: 5;\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nContent-Length\t: 5\r\n\r\n"),
        /* codings */
        BAD("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked;q=1\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n"),
        BAD("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        BAD("HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n"),
        BAD("HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n"),
        /* lines */
        BAD("HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\n\tX: y\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nX\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\n: y\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nX y: z\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nX(: z\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nX\x80: z\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nX: y\rContent-Length: 5\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nX: y\r\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nX: y\0z\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nX\0: y\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\0\r\n\r\n"),
        BAD("\0HTTP/1.1 200 OK\r\n\r\n"),
        BAD("HTTP/1.1 200 OK\r\nContent-Length: 5\0\r\n\r\n"),
    };

    (void)state;
    for (size_t i = 0; i < SIZE(cases); i++)
        bad_head(cases[i].text, cases[i].size);
}

/* Who speaks another protocol may send no line's end, and wait for us: it is seen by its first byte that differs. */
static void another_protocol_is_seen_at_once(void **state)
{
    static const char start[] = "HTTP/1.";
    s3_head head;
    size_t used;

    (void)state;
    for (size_t i = 0; i < sizeof start - 1; i++) {
        char bytes[sizeof start];

        memcpy(bytes, start, i);
        bytes[i] = '~';
        test_status(read_head(bytes, i, false, &head, &used), -EAGAIN);
        test_status(read_head(bytes, i + 1, false, &head, &used), -EBADMSG);
    }
}

static void a_head_is_bounded(void **state)
{
    static const char begin[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: ", end[] = "\r\n\r\n";
    const size_t room = S3_HEAD_MAX + 1000, begin_size = sizeof begin - 1, end_size = sizeof end - 1;
    char *bytes = malloc(room);
    s3_head head;
    size_t used;

    (void)state;
    assert_non_null(bytes);
    memset(bytes, 'x', room);
    memcpy(bytes, begin, begin_size);
    test_status(read_head(bytes, S3_HEAD_MAX - 1, false, &head, &used), -EAGAIN);
    test_status(read_head(bytes, S3_HEAD_MAX, false, &head, &used), -EMSGSIZE);
    test_status(read_head(bytes, room, false, &head, &used), -EMSGSIZE);
    memcpy(bytes + S3_HEAD_MAX - end_size, end, end_size); /* as long as may be, and a body behind it */
    test_status(read_head(bytes, room, false, &head, &used), 0);
    assert_int_equal(used, S3_HEAD_MAX);
    test_status(read_head(bytes, S3_HEAD_MAX, false, &head, &used), 0);
    test_status(read_head(bytes, S3_HEAD_MAX - 1, false, &head, &used), -EAGAIN);
    memset(bytes + begin_size, 'x', room - begin_size);
    memcpy(bytes + S3_HEAD_MAX - end_size + 1, end, end_size); /* one more */
    test_status(read_head(bytes, S3_HEAD_MAX - 1, false, &head, &used), -EAGAIN);
    test_status(read_head(bytes, S3_HEAD_MAX, false, &head, &used), -EMSGSIZE);
    test_status(read_head(bytes, S3_HEAD_MAX + 1, false, &head, &used), -EMSGSIZE);
    test_status(read_head(bytes, room, false, &head, &used), -EMSGSIZE);
    free(bytes);
}

static void retry_after_is_seconds_or_a_date(void **state)
{
    static const struct {
        const char *fields;
        int64_t retry_after_ms, date_s;
    } cases[] = {
        {"Retry-After: 7\r\n", 7000, -1},
        {"RETRY-after:0\r\n", 0, -1},
        {"Retry-After: 86400\r\n", DAY_MS, -1},
        {"Retry-After: 86401\r\n", DAY_MS, -1},
        {"Retry-After: 18446744073709551615\r\n", DAY_MS, -1},
        {"Retry-After: 99999999999999999999999\r\n", DAY_MS, -1},
        {"Retry-After: -7\r\n", 0, -1},
        {"Retry-After: soon\r\n", 0, -1},
        {"Retry-After:\r\n", 0, -1},
        {"Retry-After: 1.5\r\n", 0, -1},
        {"Date: " DATE "\r\nRetry-After: Sun, 06 Nov 1994 08:49:39 GMT\r\n", 2000, NOV_6_1994},
        {"Retry-After: Sun, 06 Nov 1994 08:49:39 GMT\r\nDate: " DATE "\r\n", 2000, NOV_6_1994},
        {"Date: " DATE "\r\nRetry-After: " DATE "\r\n", 0, NOV_6_1994},
        {"Date: " DATE "\r\nRetry-After: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 0, NOV_6_1994},
        {"Date: " DATE "\r\nRetry-After: Mon, 07 Nov 1994 08:49:37 GMT\r\n", DAY_MS, NOV_6_1994},
        {"Date: " DATE "\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n", DAY_MS, NOV_6_1994},
        {"Retry-After: Sun, 06 Nov 1994 08:49:39 GMT\r\n", 0, -1}, /* no Date to count from */
        {"Date: today\r\nRetry-After: Sun, 06 Nov 1994 08:49:39 GMT\r\n", 0, -1},
        {"date: \t" DATE " \r\n", 0, NOV_6_1994},
        {"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n", 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < SIZE(cases); i++) {
        char text[300];
        s3_head head;

        snprintf(text, sizeof text, "HTTP/1.1 503 Slow Down\r\n%sContent-Length: 0\r\n\r\n", cases[i].fields);
        head = good_head(text, false);
        if (head.retry_after_ms != cases[i].retry_after_ms || head.date_s != cases[i].date_s)
            fail_msg("%lld ms, date %lld of %s", (long long)head.retry_after_ms, (long long)head.date_s,
                     cases[i].fields);
    }
}

static void region_and_location_are_harmless(void **state)
{
    char text[600], place[301], region[65];
    s3_head head;

    (void)state;
    head = good_head("HTTP/1.1 301 Moved\r\nX-Amz-Bucket-Region: eu-west_1.X\r\nLocation:  http://h/ ~ \r\n\r\n", true);
    assert_string_equal(head.region, "eu-west_1.X");
    assert_string_equal(head.location, "http://h/ ~");
    head = good_head("HTTP/1.1 301 Moved\r\nx-amz-bucket-region: eu/x\r\nLocation: a\x1b[m\xff\x7f\tb\r\n\r\n", true);
    assert_string_equal(head.region, "");
    assert_string_equal(head.location, "a?[m?\?\?b");
    for (size_t size = 62; size <= 64; size++) {
        memset(region, 'r', sizeof region);
        region[size] = '\0';
        snprintf(text, sizeof text, "HTTP/1.1 301 Moved\r\nx-amz-bucket-region: %s\r\n\r\n", region);
        assert_string_equal(good_head(text, true).region, size < 64 ? region : "");
    }
    memset(place, 'l', sizeof place);
    for (size_t size = 254; size <= 300; size += size < 257 ? 1 : 43) {
        place[size] = '\0';
        snprintf(text, sizeof text, "HTTP/1.1 301 Moved\r\nLocation: %s\r\n\r\n", place);
        head = good_head(text, true);
        assert_int_equal(strlen(head.location), size < 255 ? size : 255);
        place[size] = 'l';
    }
}

static void only_some_characters_make_a_region(void **state)
{
    char out[64];

    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        bool good = byte != 0 && byte < 128 &&
                    strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", byte) != NULL;

        memset(out, 'x', sizeof out);
        assert_int_equal(s3_http_region(&c, 1, out), good);
        assert_int_equal(out[0], good ? c : '\0');
        assert_int_equal(out[1], good ? '\0' : 'x');
    }
    assert_false(s3_http_region("", 0, out));
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(framing_is_what_the_fields_say),
        cmocka_unit_test(what_matters_to_nobody_is_passed_over),
        cmocka_unit_test(what_cannot_be_trusted_is_refused),
        cmocka_unit_test(another_protocol_is_seen_at_once),
        cmocka_unit_test(a_head_is_bounded),
        cmocka_unit_test(retry_after_is_seconds_or_a_date),
        cmocka_unit_test(region_and_location_are_harmless),
        cmocka_unit_test(only_some_characters_make_a_region),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
