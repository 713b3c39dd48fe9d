/* test_cli_s3.c - the command with object storage as its base: what a name and the environment say, and that every verb
 * does its work there or says why not. The server is in this process, the command a child. */
#include "command.h"
#include "s3sim.h"
#include "testutil.h"
#include "tlsrig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const variables[] = {
    "AWS_ACCESS_KEY_ID",  "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION",
    "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3",   "AWS_ENDPOINT_URL",  "AWS_CA_BUNDLE",
};

static s3sim *sim;

static void set(const char *name, const char *value)
{
    assert_int_equal(setenv(name, value, 1), 0);
}

static int setup(void **state)
{
    if (command_setup(state) != 0 || (sim = s3sim_start()) == NULL)
        return -1;
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        unsetenv(variables[i]);
    set("WBSTORE_BASE", "s3://bucket/some/where");
    set("AWS_ACCESS_KEY_ID", "SIMACCESSKEY");
    set("AWS_SECRET_ACCESS_KEY", "a secret");
    set("AWS_ENDPOINT_URL", s3sim_url(sim));
    return 0;
}

static int teardown(void **state)
{
    s3sim_stop(sim);
    sim = NULL;
    return command_teardown(state);
}

/* The object of the blob that is this text; in a room that the next call uses again. */
static const char *object_of(const char *prefix, const char *text)
{
    static char name[512];

    snprintf(name, sizeof name, "%s%s", prefix, address_of(text));
    return name;
}

static bool holds(const char *prefix, const char *text)
{
    size_t size = 0;
    char *bytes = s3sim_copy(sim, object_of(prefix, text), &size);
    bool same = bytes != NULL && size == strlen(text) && memcmp(bytes, text, size) == 0;

    free(bytes);
    return same;
}

static void every_verb_does_its_work(void **state)
{
    command_end end = {0};
    char line[128];

    (void)state;
    file_text("f", "abc");
    file_text("g", "");
    RUN(&end, "put", "f", "g");
    EXPECT(&end, 0);
    assert_true(holds("some/where/", "abc") && holds("some/where/", ""));
    assert_int_equal(s3sim_count(sim), 2);
    assert_int_equal(blobs_in("buffer"), 0);

    RUN(&end, "ls");
    EXPECT(&end, 0);
    snprintf(line, sizeof line, "%s  3\n", address_of("abc"));
    assert_non_null(strstr(end.out, line));
    snprintf(line, sizeof line, "%s  0\n", address_of(""));
    assert_non_null(strstr(end.out, line));
    assert_int_equal(end.out_size, 2 * strlen(line));

    RUN(&end, "get", address_of("abc"));
    EXPECT(&end, 0);
    assert_string_equal(end.out, "abc");

    RUN(&end, "put", "--no-sync", "f");
    EXPECT(&end, 0);
    assert_int_equal(blobs_in("buffer"), 1);
    RUN(&end, "sync");
    EXPECT(&end, 0);
    assert_int_equal(blobs_in("buffer"), 0);
    assert_int_equal(s3sim_overwrites(sim), 0);

    RUN(&end, "rm", address_of("abc"));
    EXPECT(&end, 0);
    assert_int_equal(s3sim_count(sim), 1);
    RUN(&end, "rm", address_of("abc"));
    EXPECT(&end, 1);
    RUN(&end, "get", address_of("abc"));
    EXPECT(&end, 1);
    SAYS(&end, "not found in buffer or s3://bucket/some/where");
    command_end_free(&end);
}

static void a_prefix_gets_the_slash_that_it_lacks(void **state)
{
    static const struct {
        const char *base, *prefix;
    } names[] = {{"s3://bucket", ""},
                 {"s3://bucket/", ""},
                 {"s3://bucket/a", "a/"},
                 {"s3://bucket/a/", "a/"},
                 {"s3://bucket/a/b c", "a/b c/"},
                 {"s3://bucket//", "/"},
                 {"s3://bucket/a//", "a//"}};
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        RUN(&end, "put", "f", "--base", names[i].base);
        EXPECT(&end, 0);
        assert_true(holds(names[i].prefix, "abc"));
        RUN(&end, "rm", address_of("abc"), "--base", names[i].base);
        EXPECT(&end, 0);
        assert_int_equal(s3sim_count(sim), 0);
    }
    command_end_free(&end);
}

/* A usage error: nothing was done, no buffer made, nobody asked. */
static void expect_refused(command_end *end, const char *says)
{
    EXPECT(end, 2);
    SAYS(end, says);
    assert_string_equal(end->out, "");
    assert_false(file_exists("buffer"));
    assert_int_equal(s3sim_requests(sim, NULL), 0);
}

static void without_credentials_the_variables_are_named(void **state)
{
    static const char *const missing[] = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"};
    static const char *const says = "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    for (size_t i = 0; i < 2; i++) {
        unsetenv(missing[i]);
        RUN(&end, "put", "f");
        expect_refused(&end, says);
        set(missing[i], "");
        RUN(&end, "get", address_of("abc"));
        expect_refused(&end, says);
        set(missing[i], "SIMACCESSKEY");
    }
    command_end_free(&end);
}

static void what_needs_no_base_needs_no_credentials(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    unsetenv("AWS_ACCESS_KEY_ID");
    RUN(&end, "put", "--no-sync", "f");
    EXPECT(&end, 0);
    RUN(&end, "status");
    EXPECT(&end, 0);
    RUN(&end, "verify");
    EXPECT(&end, 0);
    RUN(&end, "export", "-o", "out");
    EXPECT(&end, 0);
    assert_int_equal(s3sim_requests(sim, NULL), 0);
    command_end_free(&end);
}

static void it_is_no_buffer(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    unsetenv("AWS_ACCESS_KEY_ID"); /* giving them would not help */
    for (unsigned i = 0; i < 2; i++) {
        RUN(&end, i == 0 ? "put" : "status", "--buffer=s3://bucket/b", "--base=s3://bucket/b");
        expect_refused(&end, "--buffer s3://bucket/b: object storage can only be the base");
    }
    assert_false(file_exists("s3:"));
    command_end_free(&end);
}

static void names_that_cannot_be_are_refused(void **state)
{
    static const char *const names[] = {"s3:", "s3:bucket", "s3:/bucket", "s3://", "s3:///x"};
    char long_prefix[700] = "s3://bucket/", long_bucket[400] = "s3://";
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        RUN(&end, "put", "f", "--base", names[i]);
        expect_refused(&end, "no bucket named: write s3://BUCKET/PREFIX");
    }
    RUN(&end, "put", "f", "--base=s3://user@bucket/x");
    expect_refused(&end, "bucket");
    memset(long_prefix + strlen(long_prefix), 'p', 640);
    RUN(&end, "put", "f", "--base", long_prefix);
    expect_refused(&end, "prefix");
    memset(long_bucket + strlen(long_bucket), 'b', 310);
    RUN(&end, "put", "f", "--base", long_bucket);
    expect_refused(&end, "bucket");
    RUN(&end, "put", "f", "--base=s4://bucket");
    expect_refused(&end, "known are a folder and log:DIR and file:DIR and s3://BUCKET/PREFIX");
    command_end_free(&end);
}

static void an_endpoint_that_cannot_be_is_refused(void **state)
{
    static const char *const endpoints[] = {"ftp://127.0.0.1", "127.0.0.1:80", "http://", "http://127.0.0.1:99999"};
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    for (size_t i = 0; i < sizeof endpoints / sizeof endpoints[0]; i++) {
        set("AWS_ENDPOINT_URL", endpoints[i]);
        RUN(&end, "put", "f");
        expect_refused(&end, "endpoint");
    }
    command_end_free(&end);
}

/* The region is part of it: this one makes it one that cannot be. */
static void without_an_endpoint_it_is_amazons(void **state)
{
    command_end end = {0};

    (void)state;
    if (!tlsrig_load("TLSv1.2"))
        skip(); /* Amazon's is https */
    unsetenv("AWS_ENDPOINT_URL");
    set("AWS_REGION", "no region");
    RUN(&end, "get", address_of("abc"));
    expect_refused(&end, "endpoint has a host with characters that no host has");
    command_end_free(&end);
}

static void the_endpoint_for_s3_goes_before_the_one_for_all(void **state)
{
    http_server *nobody = http_server_start_unwilling(HTTP_REFUSES);
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    set("AWS_ENDPOINT_URL", http_server_url(nobody));
    set("AWS_ENDPOINT_URL_S3", s3sim_url(sim));
    RUN(&end, "put", "f", "--timeout=30");
    EXPECT(&end, 0);
    set("AWS_ENDPOINT_URL_S3", ""); /* as if it were not set */
    set("AWS_ENDPOINT_URL", s3sim_url(sim));
    RUN(&end, "get", address_of("abc"));
    EXPECT(&end, 0);
    http_server_stop(nobody);
    command_end_free(&end);
}

/* The server does not say which region is right: then only the right one will do. */
static void the_region_is_the_environments(void **state)
{
    static const struct {
        const char *own, *common, *region;
    } cases[] = {{"", "", "us-east-1"}, {"", "eu-x-1", "eu-x-1"}, {"eu-y-2", "eu-x-1", "eu-y-2"}};
    s3sim_settings settings = s3sim_get(sim);
    command_end end = {0};

    (void)state;
    settings.region_unsaid = true;
    assert_int_equal(mkdir("buffer", 0777), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        set("AWS_REGION", cases[i].own);
        set("AWS_DEFAULT_REGION", cases[i].common);
        settings.region = cases[i].region;
        s3sim_set(sim, &settings);
        RUN(&end, "ls");
        EXPECT(&end, 0);
        settings.region = "another";
        s3sim_set(sim, &settings);
        RUN(&end, "ls");
        EXPECT(&end, 3);
        SAYS(&end, "region");
    }
    command_end_free(&end);
}

static void the_session_token_is_sent(void **state)
{
    s3sim_settings settings = s3sim_get(sim);
    command_end end = {0};

    (void)state;
    settings.expired_token = "an-old-token";
    s3sim_set(sim, &settings);
    assert_int_equal(mkdir("buffer", 0777), 0);
    set("AWS_SESSION_TOKEN", "a-token");
    RUN(&end, "ls");
    EXPECT(&end, 0);
    set("AWS_SESSION_TOKEN", "an-old-token");
    RUN(&end, "ls");
    EXPECT(&end, 3);
    SAYS(&end, "ExpiredToken");
    assert_null(strstr(end.err, "an-old-token"));
    command_end_free(&end);
}

static void a_server_that_is_away_leaves_blobs_in_the_buffer(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    http_server_down(s3sim_http(sim));
    RUN(&end, "put", "f", "--timeout=1");
    EXPECT(&end, 4);
    SAYS(&end, "1 blob waits in the buffer");
    assert_int_equal(blobs_in("buffer"), 1);
    RUN(&end, "get", address_of("abc")); /* which needs no base */
    EXPECT(&end, 0);
    RUN(&end, "get", address_of("xyz"));
    EXPECT(&end, 3);
    http_server_up(s3sim_http(sim));
    RUN(&end, "sync");
    EXPECT(&end, 0);
    assert_true(holds("some/where/", "abc"));
    command_end_free(&end);
}

/* Enough blobs that the base as a whole looks down. */
static void a_server_that_refuses_is_told_of_as_such(void **state)
{
    const char *args[] = {"put", "--timeout=5", "f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", NULL};
    command_end end = {0};

    (void)state;
    for (unsigned i = 0; i < 8; i++)
        file_text(args[2 + i], args[2 + i]);
    set("AWS_ACCESS_KEY_ID", "SOMEBODYELSE");
    command_run(&end, NULL, 0, args);
    EXPECT(&end, 4);
    SAYS(&end, "the base refuses");
    SAYS(&end, "403");
    assert_null(strstr(end.err, "a secret"));
    assert_int_equal(blobs_in("buffer"), 8);
    RUN(&end, "ls");
    EXPECT(&end, 3);
    SAYS(&end, "InvalidAccessKeyId");
    command_end_free(&end);
}

/* It is mistyped, as a rule; so the message must not lead to permissions alone. */
static void a_bucket_that_is_not_there_is_told_as_that(void **state)
{
    command_end end = {0};

    (void)state;
    assert_int_equal(mkdir("buffer", 0777), 0);
    RUN(&end, "get", address_of("abc"), "--base=s3://typo/some/where");
    EXPECT(&end, 3);
    SAYS(&end, "access refused by the store (");
    SAYS(&end, "no such bucket");
    SAYS(&end, "): check its name, and allow access to it");
    command_end_free(&end);
}

static void a_damaged_object_is_not_handed_out(void **state)
{
    command_end end = {0};

    (void)state;
    s3sim_put(sim, object_of("some/where/", "abc"), "abd", 3);
    assert_int_equal(mkdir("buffer", 0777), 0);
    RUN(&end, "get", address_of("abc"));
    EXPECT(&end, 1);
    assert_string_equal(end.out, "");
    command_end_free(&end);
}

static void tls_forward(void *arg, tlsrig_peer *p)
{
    tlsrig_forward(p, http_server_port(arg));
}

/* A login page in the way says 200 to all that it is asked: that is no damage. */
static void what_is_no_servers_answer_is_no_damage(void **state)
{
    static char address[2 * BLOB_ADDRESS_MAX + 1]; /* the simulator reads it until it is cleared */
    command_end end = {0};

    (void)state;
    snprintf(address, sizeof address, "%s", address_of("abc"));
    file_text("f", "abc");
    file_text("g", "xyz");
    RUN(&end, "put", "f", "g");
    EXPECT(&end, 0);
    s3sim_fail(sim, &(s3sim_fault){.act = S3SIM_RAW,
                                   .method = "GET",
                                   .contains = address,
                                   .raw = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nLogin"});
    RUN(&end, "verify", "--base-too");
    EXPECT(&end, 3);
    assert_string_equal(end.out, "buffer: 0 blobs checked, 0 damaged\nbase: 1 blob checked, 0 damaged\n");
    SAYS(&end, address_of("abc"));
    SAYS(&end, "is a proxy or a login page in the way?");
    command_end_free(&end);
}

static void https_trusts_the_bundle_alone(void **state)
{
    tlsrig_cert *ca, *cert;
    command_end end = {0};
    tlsrig *tls;
    char url[64];

    (void)state;
    if (!tlsrig_load("TLSv1.2"))
        skip();
    ca = tlsrig_cert_new(&(tlsrig_ask){.name = "a CA", .ca = true}, NULL);
    cert = tlsrig_cert_new(&(tlsrig_ask){.name = "good", .alt = "IP:127.0.0.1"}, ca);
    tlsrig_cert_write(ca, "ca.pem");
    tls = tlsrig_start(&(tlsrig_service){.cert = cert, .serve = tls_forward, .arg = s3sim_http(sim)});
    snprintf(url, sizeof url, "https://127.0.0.1:%u", tlsrig_port(tls));
    set("AWS_ENDPOINT_URL", url);
    file_text("f", "abc");

    set("AWS_CA_BUNDLE", "nowhere.pem");
    RUN(&end, "get", address_of("abc"));
    expect_refused(&end, "nowhere.pem");
    set("AWS_CA_BUNDLE", "f"); /* no certificate in it */
    RUN(&end, "get", address_of("abc"));
    expect_refused(&end, "certificate");
    assert_int_equal(mkdir("buffer", 0777), 0);
    set("AWS_CA_BUNDLE", ""); /* the system's, which do not know ours */
    RUN(&end, "get", address_of("abc"));
    EXPECT(&end, 3);
    SAYS(&end, "certificate");
    set("AWS_CA_BUNDLE", "ca.pem");
    RUN(&end, "put", "f", "--timeout=30");
    EXPECT(&end, 0);
    assert_true(holds("some/where/", "abc"));
    RUN(&end, "get", address_of("abc"));
    EXPECT(&end, 0);
    assert_string_equal(end.out, "abc");

    tlsrig_stop(tls);
    tlsrig_cert_free(cert);
    tlsrig_cert_free(ca);
    command_end_free(&end);
}

static bool was_answered(const char *method, const char *code)
{
    s3sim_entry entry;

    for (size_t i = 0; s3sim_log(sim, i, &entry); i++)
        if (strcmp(entry.method, method) == 0 && strcmp(entry.code, code) == 0)
            return true;
    return false;
}

/* The addresses are what a server that is told them checks, so nothing is hashed here before it is sent. */
static void the_server_checks_what_it_is_sent(void **state)
{
    command_end end = {0};

    (void)state;
    set("WBSTORE_BUFFER", "file:buffer");
    file_text("f", "abc");
    RUN(&end, "put", "--no-sync", "f");
    EXPECT(&end, 0);
    damage_in("buffer", "abc");
    RUN(&end, "sync");
    EXPECT(&end, 4);
    assert_true(was_answered("PUT", "XAmzContentSHA256Mismatch"));
    assert_int_equal(s3sim_count(sim), 0);
    assert_int_equal(blobs_in("buffer"), 1);
    command_end_free(&end);
}

/* Nothing in the system ends a lookup, but it holds up nobody who has waited enough. */
static void a_lookup_does_not_hold_up_the_end(void **state)
{
    static const int signals[] = {SIGINT, SIGTERM};
    command_end end = {0};
    command c;

    (void)state;
    command_program = WBSTORE_NAMELESS;
    set("AWS_ENDPOINT_URL", "http://some.name:80");
    file_text("f", "abc");
    RUN(&end, "put", "f", "--timeout=0.5");
    EXPECT(&end, 4);
    SAYS(&end, "not done within the time");
    assert_memory_equal(end.out, address_of("abc"), 64);
    for (size_t i = 0; i < 2; i++) {
        char seen[4096] = "";

        START(&c, "rm", address_of("abcd"));
        command_read_until(c.err, "looking it up", seen, sizeof seen);
        assert_int_equal(kill(c.pid, signals[i]), 0);
        command_finish(&c, &end);
        EXPECT(&end, 128 + signals[i]);
    }
    command_program = WBSTORE_COMMAND;
    assert_int_equal(blobs_in("buffer"), 1);
    command_end_free(&end);
}

static void the_manual_tells_of_it(void **state)
{
    command_end end = {0};

    (void)state;
    RUN(&end, "help");
    EXPECT(&end, 0);
    assert_non_null(strstr(end.out, "s3://BUCKET/PREFIX"));
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        assert_non_null(strstr(end.out, variables[i]));
    command_end_free(&end);
}

int main(void)
{
#define OVER_S3(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        OVER_S3(every_verb_does_its_work),
        OVER_S3(a_prefix_gets_the_slash_that_it_lacks),
        OVER_S3(without_credentials_the_variables_are_named),
        OVER_S3(what_needs_no_base_needs_no_credentials),
        OVER_S3(it_is_no_buffer),
        OVER_S3(names_that_cannot_be_are_refused),
        OVER_S3(an_endpoint_that_cannot_be_is_refused),
        OVER_S3(without_an_endpoint_it_is_amazons),
        OVER_S3(the_endpoint_for_s3_goes_before_the_one_for_all),
        OVER_S3(the_region_is_the_environments),
        OVER_S3(the_session_token_is_sent),
        OVER_S3(a_server_that_is_away_leaves_blobs_in_the_buffer),
        OVER_S3(a_server_that_refuses_is_told_of_as_such),
        OVER_S3(a_bucket_that_is_not_there_is_told_as_that),
        OVER_S3(a_damaged_object_is_not_handed_out),
        OVER_S3(what_is_no_servers_answer_is_no_damage),
        OVER_S3(https_trusts_the_bundle_alone),
        OVER_S3(the_server_checks_what_it_is_sent),
        OVER_S3(a_lookup_does_not_hold_up_the_end),
        OVER_S3(the_manual_tells_of_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
