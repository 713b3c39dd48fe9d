/* Signatures: those of Amazon's own examples, of awkward names and of long secrets come out as others compute them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "testutil.h"
#include "s3store/s3store.h"

#define MAY_24_2013 1369353600
#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

static s3_credentials example = {.access_key = (char[]){"AKIAIOSFODNN7EXAMPLE"}, .secret_key = (char[]){SECRET}};

static void check_hex(const void *bytes, size_t size, const char *expected)
{
    assert_string_equal(test_hex_of(blob_key_of(bytes, size)).text, expected);
}

/* ---- HMAC ---- */

static void hmac_is_that_of_rfc_4231(void **state)
{
    unsigned char repeated[131], count[25], fifty[50], out[32];
    const struct {
        const void *key;
        size_t key_size;
        const void *data;
        size_t size;
        const char *hmac;
    } cases[] = {
        {repeated, 20, "Hi There", 8, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {"Jefe", 4, "what do ya want for nothing?", 28,
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {repeated, 20, fifty, 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
        {count, 25, fifty, 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
        {repeated, 131, "Test Using Larger Than Block-Size Key - Hash Key First", 54,
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
        {repeated, 131,
         "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be "
         "hashed before being used by the HMAC algorithm.",
         152, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
    };
    static const int key_bytes[] = {0x0b, 0, 0xaa, 0, 0xaa, 0xaa}, data_bytes[] = {0, 0, 0xdd, 0xcd, 0, 0};

    (void)state;
    for (size_t i = 0; i < sizeof count; i++)
        count[i] = (unsigned char)(i + 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memset(repeated, key_bytes[i], sizeof repeated);
        memset(fifty, data_bytes[i], sizeof fifty);
        assert_true(s3_hmac_sha256(cases[i].key, cases[i].key_size, cases[i].data, cases[i].size, out));
        check_hex(out, sizeof out, cases[i].hmac);
    }
}

/* What any other HMAC says of so many bytes of 0xaa, as the key. */
static void a_key_longer_than_a_block_is_hashed_first_and_no_shorter_one(void **state)
{
    static const struct {
        size_t key_size;
        const char *hmac;
    } cases[] = {
        {64, "38b6f57298ee2818485936748634828fb9ea09da56eea51da399b702f6e51fe1"},
        {65, "d2dba0c9541929fbcd1c78561b86820a03d8e56411d3c7e9de15f1ed51beea7d"},
        {96, "d2e61cb6a3a62d28cf8b47a829bc51cf62968a1cae7c0558126a59c3bdf18fa4"},
    };
    unsigned char key[96], out[32];

    (void)state;
    memset(key, 0xaa, sizeof key);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(s3_hmac_sha256(key, cases[i].key_size, "just longer than a block", 24, out));
        check_hex(out, sizeof out, cases[i].hmac);
    }
}

static void hmac_takes_no_key_no_data_and_a_key_in_its_own_place(void **state)
{
    unsigned char out[32], long_data[S3_HMAC_DATA_MAX + 1] = {0};

    (void)state;
    assert_true(s3_hmac_sha256(NULL, 0, NULL, 0, out));
    check_hex(out, 32, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
    assert_true(s3_hmac_sha256(out, 32, "x", 1, out));
    check_hex(out, 32, "b3a286e71ee827600407e6744b296a3d85245606297d04df95d33020ee85c37c");
    assert_true(s3_hmac_sha256("k", 1, long_data, S3_HMAC_DATA_MAX, out));
    check_hex(out, 32, "2c2bf91f682cf51fa147c15fd2aa591daed77989aa1875b14b7ab2f6a00fb5c8");
    assert_false(s3_hmac_sha256("k", 1, long_data, S3_HMAC_DATA_MAX + 1, out));
    check_hex(out, 32, "0000000000000000000000000000000000000000000000000000000000000000");
}

/* ---- Amazon's examples ---- */

static void check_signature(const s3_request *r, const s3_credentials *credentials, const char *region, int64_t now_s,
                            const char *names, const char *signature)
{
    char expected[512], stamp[17];
    s3_text out = {0};

    s3_sign_time(now_s, stamp);
    snprintf(expected, sizeof expected,
             "AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/s3/aws4_request, SignedHeaders=%s, Signature=%s",
             credentials->access_key, stamp, region, names, signature);
    s3_sign(&out, r, credentials, region, now_s);
    assert_false(out.failed);
    assert_string_equal(out.data, expected);
    assert_int_equal(out.size, strlen(expected));
    s3_text_free(&out);
}

static void amazons_examples_are_signed_as_amazon_says(void **state)
{
    static const char put_hash[] = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    static const s3_field get[] = {{"host", "examplebucket.s3.amazonaws.com"},
                                   {"range", "bytes=0-9"},
                                   {"x-amz-content-sha256", S3_EMPTY_HASH},
                                   {"x-amz-date", "20130524T000000Z"}};
    static const s3_field put[] = {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                                   {"host", "examplebucket.s3.amazonaws.com"},
                                   {"x-amz-content-sha256", put_hash},
                                   {"x-amz-date", "20130524T000000Z"},
                                   {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
    static const s3_field list[] = {{"host", "examplebucket.s3.amazonaws.com"},
                                    {"x-amz-content-sha256", S3_EMPTY_HASH},
                                    {"x-amz-date", "20130524T000000Z"}};
    const s3_request r[] = {{"GET", "/test.txt", "", get, 4, S3_EMPTY_HASH},
                            {"PUT", "/test%24file.text", "", put, 5, put_hash},
                            {"GET", "/", "lifecycle=", list, 3, S3_EMPTY_HASH},
                            {"GET", "/", "max-keys=2&prefix=J", list, 3, S3_EMPTY_HASH}};

    (void)state;
    check_signature(&r[0], &example, "us-east-1", MAY_24_2013, "host;range;x-amz-content-sha256;x-amz-date",
                    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    check_signature(&r[1], &example, "us-east-1", MAY_24_2013,
                    "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    check_signature(&r[2], &example, "us-east-1", MAY_24_2013, "host;x-amz-content-sha256;x-amz-date",
                    "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    check_signature(&r[3], &example, "us-east-1", MAY_24_2013, "host;x-amz-content-sha256;x-amz-date",
                    "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

/* ---- Awkward names, secrets, regions ---- */

typedef struct awkward {
    const char *name; /* of the object; raw */
    size_t size;
    const char *encoded;
    const char *secret, *token, *region;
    int64_t now_s;
    const char *signature; /* computed apart from this library, with another implementation of HMAC */
} awkward;

#define LONG_SECRET                                                                                                    \
    "a secret that is longer than a block of SHA-256, which has sixty-four bytes, so it is hashed before it is used"

static void awkward_names_are_encoded_and_signed_as_others_do(void **state)
{
#define NAME(raw) (raw), sizeof(raw) - 1
    static const awkward cases[] = {
        {NAME(""), "/bucket/", SECRET, NULL, "us-east-1", 1369353600,
         "d6016f40f541b01413fa032bf797ed0d6069f2637565e92da6fe3a5d481f9d3c"},
        {NAME("plain"), "/bucket/plain", SECRET, NULL, "us-east-1", 1369353600,
         "f0a8c8638d31caf004950d628ba9b8c2ea917b4bc382ae2b5d032af9bb7b4ebf"},
        {NAME("with space and+plus"), "/bucket/with%20space%20and%2Bplus", SECRET, NULL, "us-east-1", 1369353600,
         "0551ae95f10d45415deb5d5da7f6c60459ef344533a06c9ead2cf01625ff9791"},
        {NAME("folder/sub//double/"), "/bucket/folder/sub//double/", SECRET, NULL, "us-east-1", 1369353600,
         "d7e4465244ce9015ea4a2eed47637261385223c20969dcb7c92909052b204a7f"},
        {NAME("../dots/./x"), "/bucket/../dots/./x", SECRET, NULL, "us-east-1", 1369353600,
         "9e1dc8969155c5945eff650bf0a32f8c2eab61663096e29a58f5b65af5e9dce7"},
        {NAME("%41 already %2f"), "/bucket/%2541%20already%20%252f", SECRET, NULL, "us-east-1", 1369353600,
         "ee9c146049a55019ee7a04aecba54232a1ad1b3f92accfa99978dd103a11baa8"},
        {NAME("~tilde_under-minus.dot"), "/bucket/~tilde_under-minus.dot", SECRET, NULL, "us-east-1", 1369353600,
         "09e52edffeb8a957339ef74896e39741ce19c8dcf4f0087c17150d36e5faa5a3"},
        {NAME("!*'();:@&=$,?#[]\"<>\\^`{|}"),
         "/bucket/%21%2A%27%28%29%3B%3A%40%26%3D%24%2C%3F%23%5B%5D%22%3C%3E%5C%5E%60%7B%7C%7D", SECRET, NULL,
         "us-east-1", 1369353600, "f69f94adcc8eb541e5725d1b8d463950ef7c95766d985ad15035d0195c9a242b"},
        {NAME("\303\274\344\270\255\360\237\222\251"), "/bucket/%C3%BC%E4%B8%AD%F0%9F%92%A9", SECRET, NULL,
         "eu-central-1", 1369353600, "ec268266bc9b2a30c0df3365a541bd27709cf9711f982f91a140de36b20288a2"},
        {NAME("\000\001\177\200\377"), "/bucket/%00%01%7F%80%FF", SECRET, NULL, "us-east-1", 951868799,
         "3a056ae267a117ddf2a8c7e674fb2e6246500e06b41721ff7084334ac799f4cc"},
        {NAME("x"), "/bucket/x", LONG_SECRET, NULL, "us-east-1", 4107542399,
         "68783727d16e5dec8ee68754e9802353949e9e19fa213f3dfbf8173ebb28e3db"},
        {NAME("x"), "/bucket/x", "short", "FwoGZXIvYXdzE+/==", "default", 0,
         "c0d88e748fe769ed1ced6d0814607c3df9da8f6b831d852dc0a8211a8f63f67d"},
        {NAME("-"), "/bucket/-", SECRET, "t", "", 253402300799,
         "5668aa7a5ffd134e50aea498c98c8bafd0ac8440fb8c3f794936947bf238c39a"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const awkward *a = &cases[i];
        s3_credentials credentials = {.access_key = (char[]){"AKIDEXAMPLE"}, .secret_key = strdup(a->secret)};
        s3_text path = {0};
        char stamp[17];
        s3_field fields[4];
        size_t count = 0;

        s3_text_add(&path, "/bucket/");
        s3_text_add_encoded(&path, a->name, a->size, true);
        assert_string_equal(path.data, a->encoded);
        s3_sign_time(a->now_s, stamp);
        fields[count++] = (s3_field){"host", "[::1]:7480"};
        fields[count++] = (s3_field){"x-amz-content-sha256", "UNSIGNED-PAYLOAD"};
        fields[count++] = (s3_field){"x-amz-date", stamp};
        if (a->token != NULL)
            fields[count++] = (s3_field){"x-amz-security-token", a->token};
        check_signature(&(s3_request){"PUT", path.data, "", fields, count, "UNSIGNED-PAYLOAD"}, &credentials, a->region,
                        a->now_s,
                        a->token != NULL ? "host;x-amz-content-sha256;x-amz-date;x-amz-security-token"
                                         : "host;x-amz-content-sha256;x-amz-date",
                        a->signature);
        s3_text_free(&path);
        free(credentials.secret_key);
    }
}

static void times_are_sixteen_characters_whatever_the_clock_says(void **state)
{
    static const struct {
        int64_t now_s;
        const char *stamp;
    } cases[] = {
        {0, "19700101T000000Z"},          {MAY_24_2013, "20130524T000000Z"},  {951868799, "20000229T235959Z"},
        {4107542399, "21000228T235959Z"}, {253402300799, "99991231T235959Z"}, {INT64_MAX, "99991231T235959Z"},
        {-1, "19700101T000000Z"},         {INT64_MIN, "19700101T000000Z"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char stamp[17] = "";

        s3_sign_time(cases[i].now_s, stamp);
        assert_string_equal(stamp, cases[i].stamp);
    }
}

static void every_day_is_written_as_libc_writes_it(void **state)
{
    (void)state;
    for (int64_t second = 0; second < 253402300800; second += 86400 - 7 * (second % 3)) {
        time_t t = (time_t)second;
        char stamp[17], want[17];
        struct tm tm;

        assert_non_null(gmtime_r(&t, &tm));
        assert_int_equal(strftime(want, sizeof want, "%Y%m%dT%H%M%SZ", &tm), 16);
        s3_sign_time(second, stamp);
        if (strcmp(stamp, want) != 0)
            fail_msg("%lld: %s", (long long)second, stamp);
    }
}

static void what_cannot_be_signed_fails_the_text(void **state)
{
    char region[S3_HMAC_DATA_MAX + 2];
    static const s3_field field = {"host", "h"};
    const s3_request r = {"GET", "/", "", &field, 1, S3_EMPTY_HASH};
    s3_text out = {0};

    (void)state;
    memset(region, 'r', sizeof region - 1);
    region[sizeof region - 1] = '\0';
    s3_sign(&out, &r, &example, region, 0);
    assert_true(out.failed);
    assert_int_equal(out.size, 0);
    s3_sign(&out, &r, &example, "us-east-1", 0); /* a text that has failed stays so */
    assert_true(out.failed);
    assert_int_equal(out.size, 0);
    s3_text_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hmac_is_that_of_rfc_4231),
        cmocka_unit_test(a_key_longer_than_a_block_is_hashed_first_and_no_shorter_one),
        cmocka_unit_test(hmac_takes_no_key_no_data_and_a_key_in_its_own_place),
        cmocka_unit_test(amazons_examples_are_signed_as_amazon_says),
        cmocka_unit_test(awkward_names_are_encoded_and_signed_as_others_do),
        cmocka_unit_test(times_are_sixteen_characters_whatever_the_clock_says),
        cmocka_unit_test(every_day_is_written_as_libc_writes_it),
        cmocka_unit_test(what_cannot_be_signed_fails_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
