/* What S3 answers in XML: pages of a listing come out name by name, whole or not at all; an error's words come out
 * harmless; what is no such document is refused. Each document lies in memory of its own, so a sanitizer or valgrind sees
 * what is read beyond its end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "testutil.h"
#include "s3store/s3store.h"

#define SIZE(array) (sizeof(array) / sizeof *(array))

/* ---- Pages ---- */

typedef struct seen {
    char text[8192]; /* "name=size;name=size;", "?" where there is none */
    size_t size;
    unsigned entries;
    unsigned stop_at;
    int stop_with;
} seen;

static int see(void *arg, const char *name, size_t name_size, uint64_t size)
{
    seen *s = arg;
    char number[24] = "?";

    if (size != UINT64_MAX)
        snprintf(number, sizeof number, "%llu", (unsigned long long)size);
    assert_true(s->size + name_size + sizeof number < sizeof s->text);
    memcpy(s->text + s->size, name, name_size);
    s->size += name_size;
    s->size += (size_t)snprintf(s->text + s->size, sizeof s->text - s->size, "=%s;", number);
    return ++s->entries == s->stop_at ? s->stop_with : 0;
}

static int read_page(const char *text, size_t size, seen *s, bool *truncated)
{
    char *exact = malloc(size > 0 ? size : 1);
    s3_page page = {.truncated = true, .entry = see, .arg = s};
    int rc;

    assert_non_null(exact);
    memcpy(exact, text, size);
    rc = s3_xml_list(blob_view_of(exact, size), &page);
    free(exact);
    *truncated = page.truncated;
    return rc;
}

static void good_page(const char *text, const char *entries, size_t entries_size, bool truncated)
{
    seen s = {0};
    bool more;
    int rc = read_page(text, strlen(text), &s, &more);

    if (rc != 0 || s.size != entries_size || memcmp(s.text, entries, entries_size) != 0 || more != truncated)
        fail_msg("%d, \"%.*s\", %d of\n%s", rc, (int)s.size, s.text, more, text);
}

/* Nothing of it comes out. */
static void bad_page(const char *text, size_t size)
{
    seen s = {0};
    bool more;
    int rc = read_page(text, size, &s, &more);

    if (rc != -EBADMSG || s.entries != 0 || more)
        fail_msg("%d, \"%s\", %d of\n%.*s", rc, s.text, more, (int)size, text);
}

#define ENDS "<IsTruncated>false</IsTruncated></ListBucketResult>"
#define PAGE(inside) "<ListBucketResult>" inside ENDS
#define URL "<EncodingType>url</EncodingType>"
#define ONE(key) "<Contents><Key>" key "</Key><Size>1</Size></Contents>"

static const char amazon[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
    "<Name>bucket</Name><Prefix>p/</Prefix><StartAfter>p%2F0</StartAfter><KeyCount>2</KeyCount>"
    "<MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
    "<Contents><Key>p/0a</Key><LastModified>2009-10-12T17:50:30.000Z</LastModified>"
    "<ETag>&quot;fba9dede5f27731c9771645a39863328&quot;</ETag><Size>434234</Size><StorageClass>STANDARD</StorageClass>"
    "<Owner><ID>1</ID><DisplayName>x</DisplayName></Owner></Contents>\n"
    "<Contents><Key>p/0b</Key><Size>0</Size></Contents>"
    "<CommonPrefixes><Prefix>p/x/</Prefix></CommonPrefixes>"
    "</ListBucketResult>\n";

static void a_page_comes_out_name_by_name(void **state)
{
#define GOOD(text, entries, truncated) good_page((text), (entries), sizeof(entries) - 1, (truncated))
    (void)state;
    GOOD(amazon, "p/0a=434234;p/0b=0;", true);
    GOOD(PAGE(""), "", false);
    GOOD(PAGE(ONE("a") ONE("b") ONE("c")), "a=1;b=1;c=1;", false);
    GOOD("\xef\xbb\xbf<?xml version='1.0'?><!-- > & - --><?x?>\r\n" PAGE(ONE("a")) "<!----><?y ?> \n", "a=1;", false);
    GOOD(PAGE("<Contents><Size> \n18446744073709551614\t</Size><Key>a</Key></Contents>"), "a=18446744073709551614;",
         false);
    GOOD(PAGE("<Contents><Key>a</Key></Contents>"), "a=?;", false); /* no size given */
    GOOD("<ListBucketResult>" ONE("a") "<IsTruncated>\n true </IsTruncated></ListBucketResult>", "a=1;", true);
}

static void what_is_around_the_names_is_passed_over(void **state)
{
    (void)state;
    /* prefixes, attributes, tags that are their own end, blanks in tags */
    GOOD("<s3:ListBucketResult xmlns:s3 = 'x>y' a=\"'/&\" ><s3:Contents\n><s:Key b=''>a</s:Key\t></s3:Contents>"
         "<Empty/><Empty x='y'/><s3:IsTruncated>false</s3:IsTruncated></s3:ListBucketResult>",
         "a=?;", false);
    /* comments and instructions within, in values too */
    GOOD(PAGE("<!-- <Key>x</Key> --><Contents><?p <Key>?><Key>a<!--x-->b<?y?>c</Key></Contents>"), "abc=?;", false);
    /* names that are not where they belong */
    GOOD(
        PAGE("<Key>x</Key><Size>y</Size><Other><Key>x</Key><Contents><Key>x</Key></Contents></Other>"
             "<Contents><Owner><Key>x</Key><Size>z</Size><IsTruncated>true</IsTruncated></Owner><Key>a</Key></Contents>"
             "<CommonPrefixes><IsTruncated>true</IsTruncated><EncodingType>x</EncodingType></CommonPrefixes>"),
        "a=?;", false);
    /* names that only look like it, and text that is not asked for */
    GOOD(PAGE("<Content><Key>x</Key></Content><Contents><key>x</key><Keys>x</Keys><Key>a</Key></Contents>&nonsense;&"),
         "a=?;", false);
}

static void names_are_decoded(void **state)
{
    char longest[1025];

    (void)state;
    GOOD(PAGE(ONE("&lt;&gt;&amp;&quot;&apos;")), "<>&\"'=1;", false);
    GOOD(PAGE(ONE("&#65;&#x41;&#x7a;&#xE9;&#x20AC;&#128169;&#1;&#x10FFFF;")),
         "AAz\xc3\xa9\xe2\x82\xac\xf0\x9f\x92\xa9\x01\xf4\x8f\xbf\xbf=1;", false);
    GOOD(PAGE(ONE("&#000000000000065;&#x7ff;&#x800;&#xffff;&#x10000;&#x7f;&#x80;")),
         "A\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\x7f\xc2\x80=1;", false);
    GOOD(PAGE(ONE("a<![CDATA[<&amp;]]]]><![CDATA[>]]>b&#38;lt;")), "a<&amp;]]>b&lt;=1;", false);
    GOOD(PAGE(ONE(" a\n\xff ")), " a\n\xff =1;", false); /* a name is bytes, blanks included */
    /* url-encoded, wherever the page says so; not else */
    GOOD(PAGE(ONE("a%2Fb+c%2B%25%e2%82%AC%00%&#50;0")), "a%2Fb+c%2B%25%e2%82%AC%00%20=1;", false);
    GOOD(PAGE(URL ONE("a%2Fb+c%2B%25%e2%82%AC%00%&#50;0")), "a/b c+%\xe2\x82\xac\0 =1;", false);
    GOOD(PAGE(ONE("%2F") URL), "/=1;", false);
    GOOD(PAGE("<EncodingType/>" ONE("%2F")), "%2F=1;", false);
    /* as long as may be */
    memset(longest, 'n', sizeof longest);
    for (int encoded = 0; encoded < 2; encoded++) {
        for (size_t size = 1023; size <= 1025; size++) {
            char text[4096], want[1100];
            size_t at = (size_t)snprintf(text, sizeof text, "<ListBucketResult>%s<Contents><Key>", encoded ? URL : "");
            seen s = {0};
            bool more;

            for (size_t i = 0; i < size; i++)
                at += (size_t)snprintf(text + at, sizeof text - at, encoded ? "%%6E" : "n");
            snprintf(text + at, sizeof text - at, "</Key></Contents>" ENDS);
            test_status(read_page(text, strlen(text), &s, &more), size > 1024 ? -EBADMSG : 0);
            snprintf(want, sizeof want, "%.*s=?;", (int)size, longest);
            assert_string_equal(s.text, size > 1024 ? "" : want);
        }
    }
}

/* What stood in a longer name before does not complete a shorter one. */
static void a_name_that_makes_no_sense_ends_the_page(void **state)
{
    static const char text[] = PAGE(URL ONE("%41%41") ONE("%4") ONE("b"));
    seen s = {0};
    bool more;

    (void)state;
    test_status(read_page(text, strlen(text), &s, &more), -EBADMSG);
    assert_string_equal(s.text, "AA=1;");
}

static void an_entrys_answer_ends_the_page(void **state)
{
    static const int answers[] = {1, -EIO, -ECANCELED};
    bool more;

    (void)state;
    for (size_t i = 0; i < SIZE(answers); i++) {
        seen s = {.stop_at = 2, .stop_with = answers[i]};

        test_status(read_page(PAGE(ONE("a") ONE("b") ONE("c")), strlen(PAGE(ONE("a") ONE("b") ONE("c"))), &s, &more),
                    answers[i]);
        assert_string_equal(s.text, "a=1;b=1;");
    }
}

/* An unfinished page is none, though whole names stand in it. */
static void a_page_cut_short_anywhere_is_refused(void **state)
{
    static const char plain[] = PAGE(ONE("a") "<!--x--><![CDATA[y]]><?z?><E x='y'/>");
    const size_t amazon_size = strlen(amazon) - 1; /* a newline is no loss */

    (void)state;
    for (size_t size = 0; size < amazon_size; size++)
        bad_page(amazon, size);
    for (size_t size = 0; size < strlen(plain); size++)
        bad_page(plain, size);
    good_page(plain, "a=1;", 4, false);
}

#define BAD(text)                                                                                                      \
    {                                                                                                                  \
        (text), sizeof(text) - 1                                                                                       \
    }
typedef struct document {
    const char *text;
    size_t size;
} document;

static const document malformed[] = {
    BAD(" "),
    BAD("ok"),
    BAD("{}"),
    BAD("<?xml version='1.0'?>"),
    BAD("<html>" ONE("a") "<IsTruncated>false</IsTruncated></html>"),
    BAD("<Error><Code>x</Code></Error>"),
    BAD("<listbucketresult><IsTruncated>false</IsTruncated></listbucketresult>"),
    BAD("<ListBucketResult/>"),
    BAD("x" PAGE(ONE("a"))),
    BAD(PAGE(ONE("a")) "x"),
    BAD(PAGE(ONE("a")) "<x/>"),
    BAD(PAGE(ONE("a")) PAGE(ONE("a"))),
    BAD(PAGE(ONE("a")) "<ListBucketResult/>"),
    BAD(PAGE(ONE("a")) "</ListBucketResult>"),
    BAD(PAGE(ONE("a")) "<![CDATA[]]>"),
    BAD(PAGE(ONE("a")) "\0"),
    BAD("<![CDATA[]]>" PAGE(ONE("a"))),
    BAD("<!DOCTYPE x>" PAGE(ONE("a"))),
    BAD("<!DOCTYPE x [<!ENTITY y 'z'>]>" PAGE(ONE("a"))),
    BAD(PAGE("<!ELEMENT x>" ONE("a"))),
    /* tags */
    BAD(PAGE("<a></b>" ONE("a"))),
    BAD(PAGE("<ab></a>" ONE("a"))),
    BAD(PAGE("<a></ab>" ONE("a"))),
    BAD(PAGE("<a><b></a></b>" ONE("a"))),
    BAD(PAGE("<x:a></a>" ONE("a"))),
    BAD(PAGE("<a></a x='y'>" ONE("a"))),
    BAD(PAGE("</a>" ONE("a"))),
    BAD(PAGE("<>" ONE("a"))),
    BAD(PAGE("< a></a>" ONE("a"))),
    BAD(PAGE("<1></1>" ONE("a"))),
    BAD(PAGE("<-a></-a>" ONE("a"))),
    BAD(PAGE("<a/ >" ONE("a"))),
    BAD(PAGE("<a x></a>" ONE("a"))),
    BAD(PAGE("<a x=y></a>" ONE("a"))),
    BAD(PAGE("<a x=yzy></a>" ONE("a"))),
    BAD(PAGE("<a x='y></a>" ONE("a"))),
    BAD(PAGE("<a x='<'></a>" ONE("a"))),
    BAD(PAGE("<a x='y'z='w'></a>" ONE("a"))),
    BAD(PAGE("<a =''></a>" ONE("a"))),
    BAD(PAGE("<!-- -- -->" ONE("a"))),
    BAD(PAGE("<!-x-->" ONE("a"))),
    BAD(PAGE("a < b" ONE("a"))),
};

static const document senseless[] = {
    /* values */
    BAD("<ListBucketResult>" ONE("a") "</ListBucketResult>"),
    BAD("<ListBucketResult>" ONE("a") "<IsTruncated></IsTruncated></ListBucketResult>"),
    BAD("<ListBucketResult>" ONE("a") "<IsTruncated>yes</IsTruncated></ListBucketResult>"),
    BAD("<ListBucketResult>" ONE("a") "<IsTruncated>true                  </IsTruncated></ListBucketResult>"),
    BAD(PAGE(ONE("a") "<IsTruncated>true</IsTruncated>")),
    BAD(PAGE(ONE("a") "<EncodingType>base64</EncodingType>")),
    BAD(PAGE(ONE("a") "<EncodingType>url                  </EncodingType>")),
    BAD(PAGE(ONE("a") URL URL)),
    BAD(PAGE("<Contents></Contents>")),
    BAD(PAGE("<Contents/>")),
    BAD(PAGE("<Contents><Size>1</Size></Contents>")),
    BAD(PAGE("<Contents><Key></Key><Size>1</Size></Contents>")),
    BAD(PAGE("<Contents><Key/><Size>1</Size></Contents>")),
    BAD(PAGE("<Contents><Key>a</Key><Key>b</Key></Contents>")),
    BAD(PAGE("<Contents><Key>a</Key><Key/></Contents>")),
    BAD(PAGE("<Contents><Key>a<b/>c</Key></Contents>")),
    BAD(PAGE("<Contents><Key>a<b>b</b>c</Key></Contents>")),
    /* its name or size makes no sense: seen at the entry, and this is the first */
    BAD(PAGE("<Contents><Key>a</Key><Size></Size></Contents>")),
    BAD(PAGE("<Contents><Key>a</Key><Size>-1</Size></Contents>")),
    BAD(PAGE("<Contents><Key>a</Key><Size>1e3</Size></Contents>")),
    BAD(PAGE("<Contents><Key>a</Key><Size>1 2</Size></Contents>")),
    BAD(PAGE("<Contents><Key>a</Key><Size>18446744073709551616</Size></Contents>")),
    BAD(PAGE("<Contents><Key>a</Key><Size>000000000000000000000000000000000001</Size></Contents>")),
    BAD(PAGE(URL ONE("%"))),
    BAD(PAGE(URL ONE("%4"))),
    BAD(PAGE(URL ONE("%4g"))),
    BAD(PAGE(URL ONE("%g4"))),
    BAD(PAGE(URL ONE("a%%41"))),
    /* entities */
    BAD(PAGE(ONE("&"))),
    BAD(PAGE(ONE("&lt"))),
    BAD(PAGE(ONE("&;"))),
    BAD(PAGE(ONE("&LT;"))),
    BAD(PAGE(ONE("&nbsp;"))),
    BAD(PAGE(ONE("& lt;"))),
    BAD(PAGE(ONE("&#;"))),
    BAD(PAGE(ONE("&#x;"))),
    BAD(PAGE(ONE("&#0;"))),
    BAD(PAGE(ONE("&#a;"))),
    BAD(PAGE(ONE("&#xg;"))),
    BAD(PAGE(ONE("&#X41;"))),
    BAD(PAGE(ONE("&#-1;"))),
    BAD(PAGE(ONE("&#xd800;"))),
    BAD(PAGE(ONE("&#xdfff;"))),
    BAD(PAGE(ONE("&#x110000;"))),
    BAD(PAGE(ONE("&#4294967361;"))), /* 'A', if it went around */
    BAD(PAGE(ONE("a\0b"))),
    BAD(PAGE(ONE("a") "\0")),
};

static void what_is_no_page_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZE(malformed); i++)
        bad_page(malformed[i].text, malformed[i].size);
    for (size_t i = 0; i < SIZE(senseless); i++)
        bad_page(senseless[i].text, senseless[i].size);
}

static void depth_is_bounded(void **state)
{
    (void)state;
    for (size_t depth = 30; depth <= 33; depth++) {
        char text[1000];
        size_t at = (size_t)snprintf(text, sizeof text, "<ListBucketResult>");

        for (size_t i = 1; i < 2 * depth - 1; i++)
            at += (size_t)snprintf(text + at, sizeof text - at, i < depth ? "<x>" : "</x>");
        snprintf(text + at, sizeof text - at, ONE("a") ENDS);
        if (depth <= 32)
            good_page(text, "a=1;", 4, false);
        else
            bad_page(text, strlen(text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_comes_out_name_by_name),
        cmocka_unit_test(what_is_around_the_names_is_passed_over),
        cmocka_unit_test(names_are_decoded),
        cmocka_unit_test(a_name_that_makes_no_sense_ends_the_page),
        cmocka_unit_test(an_entrys_answer_ends_the_page),
        cmocka_unit_test(a_page_cut_short_anywhere_is_refused),
        cmocka_unit_test(what_is_no_page_is_refused),
        cmocka_unit_test(depth_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
