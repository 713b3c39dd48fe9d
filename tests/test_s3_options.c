/* test_s3_options.c - what s3store takes for an endpoint, a bucket, credentials; what it refuses and in which words; and what
 * is sent as the host in either style. */
#include "s3_test.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* An option that cannot be, and a word of the reason. */
static void expect_refused(const blob_s3store_options *o, int status, const char *words)
{
    blob_store *s = (blob_store *)(void *)&s;

    test_status(blob_s3store_open(&s, o), status);
    assert_null(s);
    t_expect_words(status, words);
}

static void an_endpoint_that_cannot_be_is_refused(void **state)
{
    static const struct {
        const char *endpoint, *words;
    } bad[] = {
        {NULL, "endpoint"},
        {"", "endpoint"},
        {"127.0.0.1", "http://"},
        {"ftp://127.0.0.1", "http://"},
        {"http:/127.0.0.1", "http://"},
        {"http://", "no host"},
        {"http:///", "no host"},
        {"http://:80", "no host"},
        {"http://host:", "port"},
        {"http://host:0", "port"},
        {"http://host:65536", "port"},
        {"http://host:184467440737095516160", "port"},
        {"http://host:80x", "port"},
        {"http://host:-1", "port"},
        {"http://host: 80", "port"},
        {"http://host/path", "behind the host"},
        {"http://host//", "behind the host"},
        {"http://host?query", "behind the host"},
        {"http://host#part", "behind the host"},
        {"http://me:word@host", "password"},
        {"http://me@host", "password"},
        {"http://ho st", "characters"},
        {"http://ho\nst", "characters"},
        {"http://h\xc3\xb6st", "characters"},
        {"http://::1", "host"},
        {"http://[::1", "]"},
        {"http://[::1]x", "]"},
        {"http://[]", "IPv6"},
        {"http://[::1::]", "IPv6"},
        {"http://[127.0.0.1]", "IPv6"},
        {"http://[fe80::1%eth0]", "IPv6"},
    };
    blob_s3store_options o = t_options();
    char host[300] = "http://";

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        o.endpoint = bad[i].endpoint;
        expect_refused(&o, -EINVAL, bad[i].words);
    }
    memset(host + 7, 'h', 254);
    o.endpoint = host;
    expect_refused(&o, -EINVAL, "253");
    o.endpoint = "https://host";
    expect_refused(&o, BLOB_UNSUPPORTED, "wbstore-tls");
}

static void an_endpoint_that_can_be_is_taken_apart(void **state)
{
    static const struct {
        const char *endpoint, *authority, *host, *port, *where;
    } good[] = {
        {"http://host", "host", "host", "80", "http://host/bucket"},
        {"http://host/", "host", "host", "80", "http://host/bucket"},
        {"http://host:80", "host", "host", "80", "http://host/bucket"},
        {"http://host:0080", "host", "host", "80", "http://host/bucket"},
        {"http://host:1", "host:1", "host", "1", "http://host:1/bucket"},
        {"http://host:443/", "host:443", "host", "443", "http://host:443/bucket"},
        {"http://host:65535", "host:65535", "host", "65535", "http://host:65535/bucket"},
        {"http://s3.Some_where-9.example.", "s3.Some_where-9.example.", "s3.Some_where-9.example.", "80",
         "http://s3.Some_where-9.example./bucket"},
        {"http://10.1.2.3:7480", "10.1.2.3:7480", "10.1.2.3", "7480", "http://10.1.2.3:7480/bucket"},
        {"http://[::1]", "[::1]", "::1", "80", "http://[::1]/bucket"},
        {"http://[2001:DB8::1]:8080/", "[2001:DB8::1]:8080", "2001:DB8::1", "8080", "http://[2001:DB8::1]:8080/bucket"},
    };
    blob_s3store_options o = t_options();

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        blob_store *store;
        s3store *s;

        o.endpoint = good[i].endpoint;
        store = t_open_as(&o);
        s = s3_of(store);
        assert_string_equal(s->authority, good[i].authority);
        assert_string_equal(s->net.host, good[i].host);
        assert_string_equal(s->net.port, good[i].port);
        assert_string_equal(s->where, good[i].where);
        assert_string_equal(s->bucket_path, "/bucket");
        assert_string_equal(s->base, "/bucket/");
        t_close(store);
    }
}

static void host_style_puts_the_bucket_into_the_name(void **state)
{
    blob_s3store_options o = t_options();
    char longer[260];
    blob_store *store;
    s3store *s;

    (void)state;
    o.host_style = 1;
    o.endpoint = "http://s3.example:81";
    o.bucket = "my.bucket";
    o.prefix = "a b/";
    store = t_open_as(&o);
    s = s3_of(store);
    assert_string_equal(s->authority, "my.bucket.s3.example:81");
    assert_string_equal(s->net.host, "my.bucket.s3.example");
    assert_string_equal(s->bucket_path, "/");
    assert_string_equal(s->base, "/a%20b/");
    assert_string_equal(s->where, "http://my.bucket.s3.example:81");
    t_close(store);
    o.endpoint = "http://127.0.0.1";
    expect_refused(&o, -EINVAL, "host_style");
    o.endpoint = "http://[::1]";
    expect_refused(&o, -EINVAL, "host_style");
    o.endpoint = "http://s3.example";
    memset(longer, 'b', sizeof longer);
    longer[253 - 11] = '\0';
    o.bucket = longer;
    t_close(t_open_as(&o));
    longer[253 - 11] = 'b';
    longer[253 - 10] = '\0';
    expect_refused(&o, -EINVAL, "253");
}

static void other_options_that_cannot_be_are_refused(void **state)
{
    static const blob_hash short_hash = {.name = "h", .size = 0, .digest = NULL};
    blob_s3store_transport t = *blob_s3store_tcp();
    blob_s3store_options o;
    char longer[600];
    blob_store *s;

#define REFUSED(field, value, words)                                                                                   \
    do {                                                                                                               \
        o = t_options();                                                                                               \
        o.field = (value);                                                                                             \
        expect_refused(&o, -EINVAL, words);                                                                            \
    } while (0)
    (void)state;
    memset(longer, 'a', sizeof longer);
    longer[513] = '\0';
    REFUSED(prefix, longer, "prefix");
    longer[256] = '\0';
    REFUSED(bucket, longer, "bucket");
    longer[64] = '\0';
    REFUSED(region, longer, "region");
    REFUSED(bucket, NULL, "bucket");
    REFUSED(bucket, "", "bucket");
    REFUSED(bucket, "a/b", "bucket");
    REFUSED(bucket, "a b", "bucket");
    REFUSED(bucket, "..", "bucket");
    REFUSED(bucket, ".", "bucket");
    REFUSED(region, "eu west", "region");
    REFUSED(region, "eu/west", "region");
    REFUSED(access_key, NULL, "access_key");
    REFUSED(access_key, "", "access_key");
    REFUSED(access_key, "with blank", "access_key");
    REFUSED(access_key, "line\n", "access_key");
    REFUSED(access_key, "\xc3\xbc", "access_key");
    REFUSED(secret_key, NULL, "secret_key");
    REFUSED(secret_key, "", "secret_key");
    REFUSED(secret_key, "line\r\n", "secret_key");
    REFUSED(session_token, "a b", "session_token");
    REFUSED(session_token, "line\n", "session_token");
    REFUSED(host_style, 2, "host_style");
    REFUSED(keys_are_sha256, 2, "keys_are_sha256");
    REFUSED(connect_timeout_ms, -1, "connect_timeout_ms");
    REFUSED(idle_timeout_ms, -1, "idle_timeout_ms");
    REFUSED(total_timeout_ms, -1, "total_timeout_ms");
    REFUSED(hash, &short_hash, "hash");
    REFUSED(struct_size, 3, "struct_size");
    REFUSED(struct_size, SIZE_MAX, "struct_size");
    t.scheme = "https";
    REFUSED(transport, &t, "not for an http:// endpoint");
    t = *blob_s3store_tcp();
    t.struct_size = 8;
    REFUSED(transport, &t, "transport");
    t = *blob_s3store_tcp();
    t.write = NULL;
    REFUSED(transport, &t, "transport");

    expect_refused(NULL, -EINVAL, "none");
    o = t_options();
    test_status(blob_s3store_open(NULL, &o), -EINVAL);
    /* An older host's struct is shorter, a newer one's longer: fine as long as it asks for nothing that we do not know. */
    o.struct_size = offsetof(blob_s3store_options, session_token);
    t_close(t_open_as(&o));
    struct {
        blob_s3store_options known;
        uint64_t more;
    } newer = {.known = t_options(), .more = 0};
    newer.known.struct_size = sizeof newer;
    t_close(t_open_as(&newer.known));
    newer.more = 1;
    test_status(blob_s3store_open(&s, &newer.known), -EINVAL);
}

static void sha256(const void *data, size_t size, unsigned char *out)
{
    blob_hash_sha256()->digest(data, size, out);
}

/* cas_put would store each blob under a key that the server checks with another hash. */
static void keys_that_are_sha256_go_with_no_other_hash_of_32_bytes(void **state)
{
    static const blob_hash another = {.name = "another", .size = 32, .digest = sha256};
    blob_s3store_options o = t_options();

    (void)state;
    o.hash = &another;
    t_close(t_open_as(&o));
    o.keys_are_sha256 = 1;
    expect_refused(&o, -EINVAL, "keys_are_sha256");
}

static void opening_asks_no_network(void **state)
{
    blob_s3store_options o = t_options();

    (void)state;
    t_close(t_open());
    o.endpoint = "http://no-such-host.invalid";
    t_close(t_open_as(&o));
    assert_int_equal(http_server_counts(s3sim_http(t_sim)).accepted, 0);
}

/* The options may go once it is open. */
static void options_are_copied(void **state)
{
    char endpoint[100], bucket[] = "bucket", prefix[] = "p/", region[] = "us-east-1", access_key[] = T_ACCESS_KEY,
                        secret_key[] = "secret", token[] = "token";
    blob_s3store_options o = t_options();
    blob_store *s;

    (void)state;
    snprintf(endpoint, sizeof endpoint, "%s", o.endpoint);
    o.endpoint = endpoint;
    o.bucket = bucket;
    o.prefix = prefix;
    o.region = region;
    o.access_key = access_key;
    o.secret_key = secret_key;
    o.session_token = token;
    s = t_open_as(&o);
    endpoint[0] = bucket[0] = prefix[0] = region[0] = access_key[0] = secret_key[0] = token[0] = '#';
    test_ok(t_put(s, test_key("k"), "text", 0));
    assert_true(s3sim_has(t_sim, "p/6b"));
    t_close(s);
}

/* ---- what is sent ---- */

static void the_host_is_that_of_the_endpoint(void **state)
{
    blob_store *s = t_open();
    s3sim_entry entry;

    (void)state;
    test_status(t_get(s, test_key("k")), BLOB_NOT_FOUND);
    assert_true(s3sim_log(t_sim, 0, &entry));
    assert_string_equal(entry.host, s3sim_url(t_sim) + strlen("http://"));
    assert_string_equal(entry.path, "/bucket/6b");
    t_close(s);
}

static int lookup_loopback(void *arg, const char *host, const char *port, s3_address *out, size_t *count)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};

    snprintf(arg, 100, "%s", host);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memcpy(&out[0].at, &at, sizeof at);
    out[0].size = sizeof at;
    *count = 1;
    return 0;
}

static void host_style_is_what_the_server_sees(void **state)
{
    blob_s3store_options o = t_options();
    char endpoint[100], host[100] = "";
    s3sim_entry entry;
    blob_store *s;

    (void)state;
    snprintf(endpoint, sizeof endpoint, "http://s3.example:%u", http_server_port(s3sim_http(t_sim)));
    o.endpoint = endpoint;
    o.host_style = 1;
    o.prefix = "a b/";
    s = t_open_as(&o);
    s3_of(s)->net.resolver->lookup = lookup_loopback;
    s3_of(s)->net.resolver->lookup_arg = host;
    test_ok(t_put(s, test_key("k"), "text", 0));
    test_expect(s, test_key("k"), "text");
    assert_int_equal(test_len(s), 1);
    assert_string_equal(host, "bucket.s3.example");
    assert_true(s3sim_has(t_sim, "a b/6b"));
    assert_true(s3sim_log(t_sim, 0, &entry));
    assert_string_equal(entry.path, "/a%20b/6b");
    snprintf(endpoint, sizeof endpoint, "bucket.s3.example:%u", http_server_port(s3sim_http(t_sim)));
    assert_string_equal(entry.host, endpoint);
    t_close(s);
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && bind(fd, (const struct sockaddr *)&at, sizeof at) == 0;

    if (fd >= 0)
        close(fd);
    return has;
}

static void ipv6_is_an_endpoint_like_others(void **state)
{
    s3sim *before = t_sim;
    blob_store *s;

    (void)state;
    if (!has_ipv6())
        skip();
    t_sim = s3sim_start_ipv6();
    s = t_open();
    test_ok(t_put(s, test_key("k"), "text", 0));
    test_expect(s, test_key("k"), "text");
    t_close(s);
    s3sim_stop(t_sim);
    t_sim = before;
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, t_setup, t_teardown)
    const struct CMUnitTest tests[] = {
        T(an_endpoint_that_cannot_be_is_refused),
        T(an_endpoint_that_can_be_is_taken_apart),
        T(host_style_puts_the_bucket_into_the_name),
        T(other_options_that_cannot_be_are_refused),
        T(keys_that_are_sha256_go_with_no_other_hash_of_32_bytes),
        T(opening_asks_no_network),
        T(options_are_copied),
        T(the_host_is_that_of_the_endpoint),
        T(host_style_is_what_the_server_sees),
        T(ipv6_is_an_endpoint_like_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
