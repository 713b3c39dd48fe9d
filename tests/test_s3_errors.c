/* Errors in XML: their code, words, region, endpoint and time come out, whatever else is in them, and harmless; what is
 * no error document is none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testutil.h"
#include "s3store/s3store.h"

#define SIZE(array) (sizeof(array) / sizeof *(array))
#define ERROR(inside) "<Error>" inside "</Error>"

static bool read_error(const char *text, size_t size, s3_error *out)
{
    char *exact = malloc(size > 0 ? size : 1);
    bool is;

    assert_non_null(exact);
    memcpy(exact, text, size);
    memset(out, 0x5a, sizeof *out);
    is = s3_xml_error(blob_view_of(exact, size), out);
    free(exact);
    return is;
}

static s3_error good_error(const char *text)
{
    s3_error e;

    if (!read_error(text, strlen(text), &e))
        fail_msg("no error: %s", text);
    return e;
}

static void check_empty(const s3_error *e)
{
    assert_string_equal(e->code, "");
    assert_string_equal(e->message, "");
    assert_string_equal(e->region, "");
    assert_string_equal(e->endpoint, "");
    assert_int_equal(e->server_time_s, -1);
}

static const char full[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<Error><Code>PermanentRedirect</Code><Message>The bucket &quot;b&quot; is elsewhere</Message>"
    "<Endpoint>b.s3-eu-west-1.amazonaws.com</Endpoint><Bucket>b</Bucket><Region>eu-west-1</Region>"
    "<ServerTime>2013-05-24T00:00:00Z</ServerTime><RequestId>4442587FB7D0A2F9</RequestId>"
    "<Resource>/a&b;</Resource><HostId><Code>x</Code></HostId></Error>";

static void an_errors_words_come_out(void **state)
{
    s3_error e = good_error(full);

    (void)state;
    assert_string_equal(e.code, "PermanentRedirect");
    assert_string_equal(e.message, "The bucket \"b\" is elsewhere");
    assert_string_equal(e.region, "eu-west-1");
    assert_string_equal(e.endpoint, "b.s3-eu-west-1.amazonaws.com");
    assert_int_equal(e.server_time_s, 1369353600);
    e = good_error(ERROR("<Code>NoSuchKey</Code>"));
    assert_string_equal(e.code, "NoSuchKey");
    e.code[0] = '\0';
    check_empty(&e);
    e = good_error("<x:Error xmlns:x='y'><x:Code>NoSuchKey</x:Code></x:Error>\n");
    assert_string_equal(e.code, "NoSuchKey");
    e = good_error(ERROR(""));
    check_empty(&e);
    e = good_error("<Error/>");
    check_empty(&e);
    e = good_error(ERROR("<Details><Code>x</Code><Message>x</Message><Region>x</Region></Details><code>x</code>"));
    check_empty(&e);
}

static void what_is_no_error_is_none(void **state)
{
    static const char *const cases[] = {
        "",
        "Service Unavailable",
        "<html><body>503</body></html>",
        "<Errors><Code>x</Code></Errors>",
        "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
        ERROR("<Code>x</Code>") "x",
        ERROR("<Code>x</Code><Code>x</Code>"),
        ERROR("<Code>x<y/></Code>"),
        ERROR("<Code>&x;</Code>"),
        "<!DOCTYPE Error>" ERROR("<Code>x</Code>"),
    };
    s3_error e;

    (void)state;
    for (size_t i = 0; i < SIZE(cases); i++) {
        if (read_error(cases[i], strlen(cases[i]), &e))
            fail_msg("an error: %s", cases[i]);
        check_empty(&e);
    }
    for (size_t size = 0; size < sizeof full - 1; size++) {
        assert_false(read_error(full, size, &e));
        check_empty(&e);
    }
    assert_false(s3_xml_error(blob_view_of(NULL, 0), &e));
    check_empty(&e);
}

static void a_message_is_harmless(void **state)
{
    static const struct {
        const char *raw, *shown;
    } cases[] = {
        {"plain", "plain"},
        {"a\tb\r\nc&#10;d", "a b  c d"},
        {"\x01\x1b[31m\x7f&#27;]", "??[31m??]"},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x92\xa9&#xe9;", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x92\xa9\xc3\xa9"},
        {"\xff\x80 \xc3 \xc3(", "?? ? ?("},
        {"\xe2\x82", "??"},
        {"\xf0\x9f\x92 ", "??? "},
        {"\xe2\x82)", "?\?)"},
        {"\xc0\xaf\xc1\xbf", "????"},                                    /* longer than need be */
        {"\xe0\x9f\xbf\xf0\x8f\xbf\xbf", "???????"},                     /* likewise */
        {"\xed\xa0\x80\xf4\x90\x80\x80\xf5\x80\x80\x80", "???????????"}, /* surrogates, beyond the last */
        {"\xed\x9f\xbf\xf4\x8f\xbf\xbf\xee\x80\x80", "\xed\x9f\xbf\xf4\x8f\xbf\xbf\xee\x80\x80"},
        {"\xc2\x80\xc2\x9f\xc2\xa0", "????\xc2\xa0"}, /* controls */
        {"&#x202a;&#x202e;&#x2028;", "?????????"},    /* that turn text around, or end lines */
        {"&#x2066;&#x2069;&#x2027;&#x202f;", "??????\xe2\x80\xa7\xe2\x80\xaf"},
        {"&#x2065;&#x206a;&#x2165;", "\xe2\x81\xa5\xe2\x81\xaa\xe2\x85\xa5"},
    };

    (void)state;
    for (size_t i = 0; i < SIZE(cases); i++) {
        char text[400];
        s3_error e;

        snprintf(text, sizeof text, ERROR("<Message>%s</Message><Code>%s</Code>"), cases[i].raw, cases[i].raw);
        e = good_error(text);
        assert_string_equal(e.message, cases[i].shown);
        assert_string_equal(e.code, cases[i].shown);
    }
}

static void a_long_message_is_cut_at_a_character(void **state)
{
    char text[3000];

    (void)state;
    for (size_t before = 150; before <= 160; before++) {
        s3_error e;

        snprintf(text, sizeof text, ERROR("<Message>%0*d&#x20ac;%02000d</Message>"), (int)before, 0, 0);
        e = good_error(text);
        /* three bytes of it end at 159, or it is left out with what follows */
        assert_int_equal(strlen(e.message), before <= 156 ? 159 : before < 159 ? before : 159);
        if (before <= 156)
            assert_memory_equal(e.message + before, "\xe2\x82\xac", 3);
    }
}

/* Its buffer ends where the value does. */
static void a_character_cut_short_at_the_end_is_none(void **state)
{
    char text[200], want[64];

    (void)state;
    snprintf(text, sizeof text, ERROR("<Code>%062d\xe2</Code>"), 0);
    snprintf(want, sizeof want, "%062d?", 0);
    assert_string_equal(good_error(text).code, want);
}

static void what_has_no_room_is_left_out(void **state)
{
    static const struct {
        const char *name;
        size_t room;
    } cases[] = {{"Code", 64}, {"Region", 64}, {"Endpoint", 128}};

    (void)state;
    for (size_t i = 0; i < SIZE(cases); i++) {
        for (size_t size = 1; size <= 200; size++) {
            char text[400], value[201];
            s3_error e;

            snprintf(value, sizeof value, "%0*d", (int)size, 7);
            snprintf(text, sizeof text, ERROR("<%s>%s</%s>"), cases[i].name, value, cases[i].name);
            e = good_error(text);
            assert_string_equal(i == 0 ? e.code : i == 1 ? e.region : e.endpoint, size < cases[i].room ? value : "");
        }
    }
}

static void a_region_brings_nothing_along(void **state)
{
    static const char *const cases[] = {"eu&#13;&#10;X: y", "eu west", "eu/s3", "e\xc3\xbc", " eu", "&#127;", "a,b"};

    (void)state;
    for (size_t i = 0; i < SIZE(cases); i++) {
        char text[200];

        snprintf(text, sizeof text, ERROR("<Region>%s</Region>"), cases[i]);
        assert_string_equal(good_error(text).region, "");
    }
    assert_string_equal(good_error(ERROR("<Region>default_1.x-Y</Region>")).region, "default_1.x-Y");
}

static void a_servers_time_is_read(void **state)
{
    (void)state;
    assert_int_equal(good_error(ERROR("<ServerTime>1994-11-06T08:49:37.000Z</ServerTime>")).server_time_s, 784111777);
    assert_int_equal(good_error(ERROR("<ServerTime>soon</ServerTime>")).server_time_s, -1);
    assert_int_equal(good_error(ERROR("<ServerTime/>")).server_time_s, -1);
    assert_int_equal(
        good_error(ERROR("<ServerTime>1994-11-06T08:49:37.0000000000000000000Zx</ServerTime>")).server_time_s, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_errors_words_come_out),
        cmocka_unit_test(what_is_no_error_is_none),
        cmocka_unit_test(a_message_is_harmless),
        cmocka_unit_test(a_long_message_is_cut_at_a_character),
        cmocka_unit_test(a_character_cut_short_at_the_end_is_none),
        cmocka_unit_test(what_has_no_room_is_left_out),
        cmocka_unit_test(a_region_brings_nothing_along),
        cmocka_unit_test(a_servers_time_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
