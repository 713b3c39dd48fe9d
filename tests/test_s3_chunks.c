/* Chunks: the payload is found in whatever pieces it comes, what are no chunks is refused, and what is passed over is
 * bounded. Each piece lies in memory of its own, so a sanitizer or valgrind sees what is read beyond. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testutil.h"
#include "s3store/net.h"

#define SIZE(array) (sizeof(array) / sizeof *(array))
#define BAD(text)                                                                                                      \
    {                                                                                                                  \
        (text), sizeof(text) - 1                                                                                       \
    }

typedef struct chunked {
    char payload[256];
    size_t size, used; /* bytes of payload, bytes taken in all */
    int rc;            /* 1: ended, 0: goes on */
} chunked;

/* Feeds what lies between two places, in as many calls as it takes. */
static void feed(s3_chunks *c, chunked *out, const char *bytes, size_t size)
{
    char *exact = malloc(size > 0 ? size : 1);
    size_t at = 0, skip = 0, payload = 0;

    assert_non_null(exact);
    memcpy(exact, bytes, size);
    while (out->rc == 0) {
        out->rc = s3_chunks_next(c, exact + at, size - at, &skip, &payload);
        assert_true(skip <= size - at && payload <= size - at - skip);
        if (out->rc == 0 && skip + payload == 0)
            break;
        assert_true(out->rc == 0 || payload == 0);
        assert_true(out->size + payload <= sizeof out->payload);
        memcpy(out->payload + out->size, exact + at + skip, payload);
        out->size += payload;
        out->used += skip + payload;
        at += skip + payload;
    }
    assert_true(out->rc != 0 || at == size); /* while it goes on all is taken */
    free(exact);
}

static chunked feed_in_pieces(const char *bytes, size_t size, size_t first, size_t piece)
{
    s3_chunks c = {0};
    chunked out = {0};

    feed(&c, &out, bytes, first);
    for (size_t at = first; at < size && out.rc == 0; at += piece)
        feed(&c, &out, bytes + at, size - at < piece ? size - at : piece);
    return out;
}

static void chunks_are_taken_apart_in_whatever_pieces_they_come(void **state)
{
    static const struct {
        const char *text, *payload;
    } cases[] = {
        {"0\r\n\r\n", ""},
        {"5\r\nhello\r\n0\r\n\r\n", "hello"},
        {"5\r\nhello\r\n1\r\n \r\n00A\r\nwide world\r\n0\r\n\r\n", "hello wide world"},
        {"000000000000005\r\nhello\r\n000\r\n\r\n", "hello"},
        {"9\r\n\r\n0\r\n\r\n01\r\n0\r\n\r\n", "\r\n0\r\n\r\n01"}, /* payload that looks like framing */
        {"5;x=y;z=\"\t;\"\r\nhello\r\n0;last\r\n\r\n", "hello"},
        {"5 \t\r\nhello\r\n5 ;x\r\nthere\r\n0\r\n\r\n", "hellothere"},
        {"5\r\nhello\r\n0\r\nX: y\r\nx-amz-checksum-crc32: AAAA==\r\n\r\n", "hello"},
        {"5\r\nhello\r\n0\r\n : folded, whatever\r\n\r\n", "hello"},
        {"C\r\nhello\r\nthere\r\nc\r\n hello again\r\n0\r\n\r\n", "hello\r\nthere hello again"},
    };

    (void)state;
    for (size_t i = 0; i < SIZE(cases); i++) {
        const size_t size = strlen(cases[i].text), payload = strlen(cases[i].payload);
        char more[200];

        snprintf(more, sizeof more, "%sHTTP/1.1 200 OK", cases[i].text);
        for (size_t piece = 1; piece <= 7; piece++) {
            for (size_t first = 0; first <= strlen(more); first++) {
                chunked got = feed_in_pieces(more, strlen(more), first, piece);

                if (got.rc != 1 || got.used != size || got.size != payload ||
                    memcmp(got.payload, cases[i].payload, payload) != 0)
                    fail_msg("%zu bytes, then pieces of %zu: %d after %zu, %.*s of\n%s", first, piece, got.rc, got.used,
                             (int)got.size, got.payload, cases[i].text);
            }
        }
        for (size_t part = 0; part < size; part++)
            assert_int_equal(feed_in_pieces(cases[i].text, part, part, 1).rc, 0);
    }
}

static void what_follows_the_end_is_left_alone(void **state)
{
    s3_chunks c = {0};
    size_t skip, payload;

    (void)state;
    assert_int_equal(s3_chunks_next(&c, "0\r\n\r\n5\r\n", 8, &skip, &payload), 1);
    assert_int_equal(skip, 5);
    assert_int_equal(s3_chunks_next(&c, "5\r\n", 3, &skip, &payload), 1);
    assert_int_equal(skip, 0);
    assert_int_equal(payload, 0);
}

static void what_are_no_chunks_is_refused(void **state)
{
    static const struct {
        const char *text;
        size_t size;
    } cases[] = {
        BAD("\r\n"),
        BAD("x\r\n"),
        BAD(" 5\r\nhello\r\n"),
        BAD(";x\r\n"),
        BAD("-5\r\n"),
        BAD("+5\r\n"),
        BAD("0x5\r\n"),
        BAD("5g\r\n"),
        BAD("5 5\r\n"),
        BAD("5,\r\n"),
        BAD("5\nhello\r\n"),
        BAD("5;x\nhello\r\n"),
        BAD("5 \nhello\r\n"),
        BAD("5\rhello"),
        BAD("5;x\ry\r\n"),
        BAD("5;\0\r\n"),
        BAD("5\0\r\n"),
        BAD("5\r\nhello0\r\n\r\n"),
        BAD("5\r\nhello\n0\r\n\r\n"),
        BAD("5\r\nhello\r0\r\n\r\n"),
        BAD("5\r\nhellox\n0\r\n\r\n"),
        BAD("5\r\nhello\rx0\r\n\r\n"),
        BAD("5\r\nhello!\r\n0\r\n\r\n"),
        BAD("5\r\nhello\r\n\r\n0\r\n\r\n"),
        BAD("0\r\n\n"),
        BAD("0\r\n\rX"),
        BAD("0\r\nX: y\n\r\n"),
        BAD("0\r\nX: y\rz\r\n\r\n"),
        BAD("0\r\nX: \0\r\n\r\n"),
        BAD("0\r\n\0"),
        BAD("0000000000000005\r\n"), /* too many digits */
        BAD("1000000000000000\r\n"),
        BAD("ffffffffffffffff\r\n"),
        BAD("10000000000000000\r\n"),
    };
    s3_chunks c = {0};
    size_t skip, payload;

    (void)state;
    for (size_t i = 0; i < SIZE(cases); i++) {
        for (size_t first = 0; first <= cases[i].size; first++) {
            chunked got = feed_in_pieces(cases[i].text, cases[i].size, first, 1);

            if (got.rc != -EBADMSG)
                fail_msg("%d after %zu bytes of\n%s", got.rc, got.used, cases[i].text);
        }
    }
    test_status(s3_chunks_next(&c, "x", 1, &skip, &payload), -EBADMSG);
    test_status(s3_chunks_next(&c, "0\r\n\r\n", 5, &skip, &payload), -EBADMSG); /* for good */
    assert_int_equal(payload, 0);
}

/* Taken whole, or refused before it has passed over more than `bound`. */
static void check_bounded(const char *begin, const char *line, const char *end, size_t bound)
{
    for (size_t count = 1; count <= 2 * bound; count *= 2) {
        s3_chunks c = {0};
        size_t skip, payload, passed = 0;
        int rc = s3_chunks_next(&c, begin, strlen(begin), &skip, &payload);

        assert_int_equal(payload, 0);
        for (size_t i = 0; i < count && rc == 0; i++) {
            rc = s3_chunks_next(&c, line, strlen(line), &skip, &payload);
            passed += skip;
        }
        if (rc == 0)
            rc = s3_chunks_next(&c, end, strlen(end), &skip, &payload);
        assert_int_equal(rc, passed < bound / 2 ? 1 : passed > bound ? -EBADMSG : rc);
        assert_true(passed <= bound + strlen(line));
    }
}

static void framing_is_bounded(void **state)
{
    (void)state;
    check_bounded("0", " ", "\r\n\r\n", 4096);
    check_bounded("0;", "x", "\r\n\r\n", 4096);
    check_bounded("0\r\nX: ", "y", "\r\n\r\n", 4096);
    check_bounded("0\r\n", "X: y\r\n", "\r\n", 16384);
}

/* The count of a line's bytes begins anew with each. */
static void many_long_lines_are_not_one_too_long(void **state)
{
    s3_chunks c = {0};
    char line[3000];
    size_t skip, payload;

    (void)state;
    memset(line, 'x', sizeof line);
    memcpy(line, "1;", 2);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(s3_chunks_next(&c, line, sizeof line, &skip, &payload), 0);
        assert_int_equal(skip, sizeof line);
        assert_int_equal(s3_chunks_next(&c, "p\r\n", 3, &skip, &payload), 0);
        assert_int_equal(payload, 1);
        assert_int_equal(s3_chunks_next(&c, "\r\n", 2, &skip, &payload), 0);
        assert_int_equal(skip, 2);
    }
    line[0] = '0';
    assert_int_equal(s3_chunks_next(&c, line, sizeof line, &skip, &payload), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(s3_chunks_next(&c, line, sizeof line, &skip, &payload), 0); /* a trailer now */
    assert_int_equal(s3_chunks_next(&c, "\r\n", 2, &skip, &payload), 1);
}

static void a_large_chunk_is_left_where_it_lies(void **state)
{
    s3_chunks c = {0};
    size_t skip, payload;

    (void)state;
    assert_int_equal(s3_chunks_next(&c, "fffffffffffffff\r\nxyz", 20, &skip, &payload), 0);
    assert_int_equal(skip, 17);
    assert_int_equal(payload, 3);
    assert_true(c.left == UINT64_C(0xfffffffffffffff) - 3);
    assert_int_equal(s3_chunks_next(&c, "0\r\n\r\n", 5, &skip, &payload), 0);
    assert_int_equal(skip, 0);
    assert_int_equal(payload, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_are_taken_apart_in_whatever_pieces_they_come),
        cmocka_unit_test(what_follows_the_end_is_left_alone),
        cmocka_unit_test(what_are_no_chunks_is_refused),
        cmocka_unit_test(framing_is_bounded),
        cmocka_unit_test(many_long_lines_are_not_one_too_long),
        cmocka_unit_test(a_large_chunk_is_left_where_it_lies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
