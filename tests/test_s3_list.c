/* test_s3_list.c - listings of s3store: pages, where they begin and end, foreign names, and servers that answer nonsense. */
#include "s3_test.h"

#include <stdarg.h>

/* What a listing saw: keys in hex, one after the other. */
typedef struct seen {
    char text[70000];
    size_t size, count;
    size_t stop_after; /* 0: never */
    int verdict;
    blob_store *also; /* asked from within */
} seen;

static int see(void *arg, blob_key key, uint64_t size)
{
    seen *v = arg;
    uint64_t asked = 0;

    assert_true(v->size + 2 * key.size + 30 < sizeof v->text);
    v->size += (size_t)snprintf(v->text + v->size, sizeof v->text - v->size, "%s:%llu ", test_hex_of(key).text,
                                (unsigned long long)size);
    v->count++;
    if (v->also != NULL) {
        test_ok(blob_store_size(v->also, NULL, key, &asked));
        assert_int_equal(asked, size);
        test_ok(blob_store_len(v->also, NULL, &asked));
        test_ok(t_get(v->also, key));
    }
    return v->count == v->stop_after ? v->verdict : 0;
}

static int list(blob_store *s, blob_key start, seen *v)
{
    v->size = v->count = 0;
    v->text[0] = '\0';
    return blob_store_list(s, NULL, start, see, v);
}

static void every_start_shows_what_is_not_below_it(void **state)
{
    static const unsigned pages[] = {1, 2, 3, 1000};
    static const unsigned char bytes[] = {0x00, 0x0e, 0x0f, 0x10, 0x9f, 0xa0, 0xa1, 0xff}; /* neighbours, too */
    enum { BYTES = sizeof bytes, KEYS = 1 + BYTES + BYTES * BYTES };
    static char wanted[70000];
    unsigned char keys[KEYS][2];
    size_t sizes[KEYS] = {0}, count = 1;
    blob_s3store_options o = t_options();
    static seen v;
    blob_store *s;

    (void)state;
    o.prefix = "p+ /";
    s = t_open_as(&o);
    for (size_t i = 0; i < BYTES; i++) {
        keys[count][0] = bytes[i];
        sizes[count++] = 1;
        for (size_t j = 0; j < BYTES; j++) {
            keys[count][0] = bytes[i];
            keys[count][1] = bytes[j];
            sizes[count++] = 2;
        }
    }
    assert_int_equal(count, KEYS);         /* in order, as it happens */
    for (size_t i = 0; i < KEYS; i += 2) { /* every other is there */
        char name[16] = "p+ /-";
        if (sizes[i] > 0)
            blob_key_hex(blob_key_of(keys[i], sizes[i]), name + 4);
        s3sim_put(t_sim, name, "12345", i % 6);
    }
    for (size_t page = 0; page < sizeof pages / sizeof *pages; page++) {
        T_SET(page, pages[page]);
        for (size_t start = 0; start < KEYS; start++) {
            size_t size = 0;
            wanted[0] = '\0';
            for (size_t i = (start + 1) / 2 * 2; i < KEYS; i += 2)
                size += (size_t)snprintf(wanted + size, sizeof wanted - size, "%s:%zu ",
                                         test_hex_of(blob_key_of(keys[i], sizes[i])).text, i % 6);
            test_ok(list(s, blob_key_of(keys[start], sizes[start]), &v));
            assert_string_equal(v.text, wanted);
        }
        assert_int_equal(test_len(s), (KEYS + 1) / 2);
    }
    t_close(s);
}

static void pages_are_asked_for_by_the_last_name(void **state)
{
    blob_s3store_options o = t_options();
    static seen v;
    s3sim_entry entry;
    blob_store *s;

    (void)state;
    o.prefix = "a b/";
    s = t_open_as(&o);
    for (int i = 0; i < 5; i++)
        test_ok(t_put(s, blob_key_of(&(char){(char)('a' + i)}, 1), "x", BLOB_REPLACE));
    T_SET(page, 2);
    s3sim_forget(t_sim);
    test_ok(list(s, test_key(""), &v));
    assert_string_equal(v.text, "61:1 62:1 63:1 64:1 65:1 ");
    assert_int_equal(s3sim_log_size(t_sim), 3);
    assert_true(s3sim_log(t_sim, 0, &entry));
    assert_string_equal(entry.query, "encoding-type=url&list-type=2&max-keys=1000&prefix=a%20b%2F");
    assert_true(s3sim_log(t_sim, 2, &entry));
    assert_string_equal(entry.query,
                        "encoding-type=url&list-type=2&max-keys=1000&prefix=a%20b%2F&start-after=a%20b%2F64");
    /* One that is stopped asks for no more of them. */
    s3sim_forget(t_sim);
    v = (seen){.stop_after = 2, .verdict = BLOB_LIST_STOP};
    test_ok(list(s, test_key(""), &v));
    assert_int_equal(s3sim_log_size(t_sim), 1);
    assert_string_equal(v.text, "61:1 62:1 ");
    t_close(s);
}

static void foreign_names_are_passed_over(void **state)
{
    static const char *const foreign[] = {"d/",       "d/a",        "d/abc", "d/AB",   "d/aB",    "d/--",
                                          "d/ab.txt", "d/zz",       "d/-a",  "d/ab/c", "d/ab/cd", "d/0xab",
                                          "d/a~",     "d/\x01\x02", "d/ ",   "d/``",   "d/::",    "d/%61"};
    char longer[3 + 2 * BLOB_KEY_MAX + 2 + 1] = "d/";
    blob_s3store_options o = t_options();
    static seen v;
    blob_store *s;

    (void)state;
    o.prefix = "d/";
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        s3sim_put(t_sim, foreign[i], "foreign", SIZE_MAX);
    memset(longer + 2, 'a', 2 * BLOB_KEY_MAX + 2);
    s3sim_put(t_sim, longer, "foreign", SIZE_MAX);
    s3sim_put(t_sim, "ab", "beside it", SIZE_MAX);
    s3sim_put(t_sim, "d", "beside it", SIZE_MAX);
    s3sim_put(t_sim, "e/ab", "beside it", SIZE_MAX);
    s3sim_put(t_sim, "d/ab", "own", SIZE_MAX);
    s3sim_put(t_sim, "d/-", "own", SIZE_MAX);
    s = t_open_as(&o);
    for (unsigned page = 1; page < 4; page++) {
        T_SET(page, page);
        test_ok(list(s, test_key(""), &v));
        assert_string_equal(v.text, ":3 ab:3 ");
        assert_int_equal(test_len(s), 2);
    }
    test_ok(list(s, blob_key_of("\xaa", 1), &v));
    assert_string_equal(v.text, "ab:3 ");
    t_close(s);
}

static void a_callback_may_ask_the_store_and_ends_the_listing(void **state)
{
    static seen v;
    blob_store *s = t_open();

    (void)state;
    for (int i = 0; i < 7; i++)
        test_ok(t_put(s, blob_key_of(&(char){(char)('a' + i)}, 1), "x", BLOB_REPLACE));
    T_SET(page, 3);
    v = (seen){.also = s};
    test_ok(list(s, test_key(""), &v));
    assert_int_equal(v.count, 7);
    v = (seen){.stop_after = 4, .verdict = -EXDEV};
    test_status(list(s, test_key(""), &v), -EXDEV);
    assert_int_equal(v.count, 4);
    v = (seen){.stop_after = 3, .verdict = BLOB_LIST_STOP};
    test_ok(list(s, test_key("b"), &v));
    assert_string_equal(v.text, "62:1 63:1 64:1 ");
    t_close(s);
}

static int cancel_it(void *arg, blob_key key, uint64_t size)
{
    (void)key;
    (void)size;
    blob_ctx_cancel(arg);
    return 0;
}

static void a_listing_ends_with_its_context(void **state)
{
    blob_store *s = t_open();
    blob_ctx *ctx;

    (void)state;
    test_ok(t_put(s, test_key("a"), "a", 0));
    test_ok(t_put(s, test_key("b"), "b", 0));
    test_ok(blob_ctx_new(&ctx, NULL));
    test_status(blob_store_list(s, ctx, test_key(""), cancel_it, ctx), -ECANCELED);
    blob_ctx_free(ctx);
    t_close(s);
}

static void sizes_that_are_not_given_are_unknown(void **state)
{
    static const char page[] = "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>61</Key></Contents>"
                               "</ListBucketResult>";
    static char raw[400];
    static seen v;
    blob_store *s = t_open();

    (void)state;
    snprintf(raw, sizeof raw, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", sizeof page - 1, page);
    T_FAIL(.act = S3SIM_RAW, .raw = raw);
    test_ok(list(s, test_key(""), &v));
    assert_string_equal(v.text, "61:18446744073709551615 ");
    t_close(s);
}

/* ---- answers that cannot be ---- */

#define PAGE "<ListBucketResult><IsTruncated>false</IsTruncated>"
#define CONTENTS(key) "<Contents><Key>" key "</Key><Size>1</Size></Contents>"

static void answers_that_cannot_be_are_no_listing(void **state)
{
    static const struct {
        const char *body, *seen, *words;
    } bad[] = {
        {"", "", "none, or not whole"},
        {"<html>welcome</html>", "", "none, or not whole"},
        {PAGE, "", "none, or not whole"},
        {PAGE CONTENTS("p61") CONTENTS("p62"), "", "none, or not whole"},
        {PAGE CONTENTS("p61") CONTENTS("p61") "</ListBucketResult>", "61:1 ", "order"},
        {PAGE CONTENTS("p62") CONTENTS("p61") "</ListBucketResult>", "62:1 ", "order"},
        {PAGE CONTENTS("p61") CONTENTS("q62") "</ListBucketResult>", "61:1 ", "not asked for"},
        {PAGE CONTENTS("p61") CONTENTS("") "</ListBucketResult>", "", "none, or not whole"},
        {"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>", "", "get on"},
        {"<Error><Code>SlowDown</Code></Error>", "", "none, or not whole"},
    };
    blob_s3store_options o = t_options();
    static char raws[sizeof bad / sizeof *bad][400]; /* one each: the server may still have the last one in hand */
    static seen v;
    blob_store *s;

    (void)state;
    o.prefix = "p";
    s = t_open_as(&o);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *raw = raws[i];

        snprintf(raw, sizeof raws[i], "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(bad[i].body),
                 bad[i].body);
        s3sim_clear(t_sim);
        T_FAIL(.act = S3SIM_RAW, .raw = raw);
        test_status(list(s, test_key(""), &v), -EIO);
        t_expect_words(-EIO, bad[i].words);
        assert_string_equal(v.text, bad[i].seen);
        test_status(t_len(s), -EIO);
    }
    t_close(s);
}

/* Start-after is what goes on: a server that does not know it would show the first page for ever. */
static void a_server_that_does_not_go_on_is_noticed(void **state)
{
    static const char body[] =
        "<ListBucketResult><IsTruncated>true</IsTruncated>" CONTENTS("61") CONTENTS("62") "</ListBucketResult>";
    static char raw[400];
    static seen v;
    blob_store *s = t_open();

    (void)state;
    snprintf(raw, sizeof raw, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", sizeof body - 1, body);
    T_FAIL(.act = S3SIM_RAW, .raw = raw);
    test_status(list(s, test_key(""), &v), -EIO);
    assert_string_equal(v.text, "61:1 62:1 ");
    test_status(list(s, test_key("b"), &v), -EIO); /* "a" is below it */
    assert_string_equal(v.text, "");
    t_close(s);
}

#define NO_NAMES(token)                                                                                                \
    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<ListBucketResult><IsTruncated>true</IsTruncated>"                    \
    "<NextContinuationToken>" token "</NextContinuationToken></ListBucketResult>"

/* Who has looked at much that is deleted may send it, and says where to go on: here, behind "62". */
static void a_page_without_names_is_not_the_end(void **state)
{
    blob_store *s = t_open();
    static seen v;

    (void)state;
    for (int i = 0; i < 4; i++)
        test_ok(t_put(s, blob_key_of(&(char){(char)('a' + i)}, 1), "x", 0));
    T_SET(page, 1);
    T_FAIL(.act = S3SIM_RAW, .contains = "start-after=61", .raw = NO_NAMES(" t0363&#49; "));
    T_FAIL(.act = S3SIM_RAW, .contains = "continuation-token=t03631&", .raw = NO_NAMES("t03632"));
    test_ok(list(s, test_key(""), &v));
    assert_string_equal(v.text, "61:1 63:1 64:1 ");
    s3sim_clear(t_sim);
    T_FAIL(.act = S3SIM_RAW, .contains = "start-after=61", .raw = NO_NAMES("a+b/c="));
    T_FAIL(.act = S3SIM_RAW, .contains = "continuation-token=a%2Bb%2Fc%3D&", .raw = NO_NAMES("a+b/c="));
    test_status(list(s, test_key(""), &v), -EIO);
    t_expect_words(-EIO, "get on");
    assert_string_equal(v.text, "61:1 ");
    t_close(s);
}

static void a_page_that_fails_ends_it_and_what_was_seen_stands(void **state)
{
    static seen v;
    blob_store *s = t_open();

    (void)state;
    for (int i = 0; i < 5; i++)
        test_ok(t_put(s, blob_key_of(&(char){(char)('a' + i)}, 1), "x", BLOB_REPLACE));
    T_SET(page, 2);
    T_FAIL(.act = S3SIM_ANSWER, .method = "GET", .skip = 1, .count = 1, .status = 503);
    test_status(list(s, test_key(""), &v), BLOB_UNAVAILABLE);
    assert_string_equal(v.text, "61:1 62:1 ");
    test_ok(list(s, test_key("c"), &v));
    assert_string_equal(v.text, "63:1 64:1 65:1 ");
    s3sim_clear(t_sim);
    T_FAIL(.act = S3SIM_DONE_CUT, .method = "GET", .count = 1, .cut_at = 100);
    test_status(list(s, test_key(""), &v), BLOB_UNAVAILABLE);
    assert_string_equal(v.text, "");
    t_close(s);
}

/* Blanks as "+", names that are not encoded at all, answers in chunks: all of it is about. */
static void every_way_to_write_a_name_is_read(void **state)
{
    blob_s3store_options o = t_options();
    static seen v;
    blob_store *s;

    (void)state;
    o.prefix = "a b+c&<>/";
    s = t_open_as(&o);
    test_ok(t_put(s, test_key("k"), "x", 0));
    for (unsigned i = 0; i < 8; i++) {
        T_SET(plus, (i & 1) != 0);
        T_SET(not_encoded, (i & 2) != 0);
        T_SET(chunk, (i & 4) != 0 ? 7 : 0);
        test_ok(list(s, test_key(""), &v));
        assert_string_equal(v.text, "6b:1 ");
    }
    t_close(s);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, t_setup, t_teardown)
    const struct CMUnitTest tests[] = {
        T(every_start_shows_what_is_not_below_it), T(pages_are_asked_for_by_the_last_name),
        T(foreign_names_are_passed_over),          T(a_callback_may_ask_the_store_and_ends_the_listing),
        T(a_listing_ends_with_its_context),        T(sizes_that_are_not_given_are_unknown),
        T(answers_that_cannot_be_are_no_listing),  T(a_server_that_does_not_go_on_is_noticed),
        T(a_page_without_names_is_not_the_end),    T(a_page_that_fails_ends_it_and_what_was_seen_stands),
        T(every_way_to_write_a_name_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
