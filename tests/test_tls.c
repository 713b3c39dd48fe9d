/* test_tls.c - wbstore-tls: opening it, whom it trusts, and whose certificate it refuses. The other
 * test_tls_*.c have versions of TLS, what may happen to a connection, a server that does not read, and s3store on it. */
#include "tls_test.h"

#include <dirent.h>
#include <dlfcn.h>
#include <sys/stat.h>

/* ---- Opening ---- */

static void without_openssl_it_says_what_to_install(void **state)
{
    static const wb_tls_base none = {.library = "libssl-that-is-nowhere.so"}, another = {.library = "libc.so.6"};
    blob_s3store_transport *t = (blob_s3store_transport *)(void *)&t;

    (void)state;
    test_status(wb_tls_open_on(&t, NULL, &none), BLOB_UNSUPPORTED);
    assert_null(t);
    t_says("libssl3");
    t_says("libssl-that-is-nowhere.so");
    test_status(wb_tls_open_on(&t, NULL, &another), BLOB_UNSUPPORTED);
    t_says("libc.so.6 has no OPENSSL_init_ssl");
}

static void options_that_cannot_be_are_refused(void **state)
{
    struct {
        blob_tls_options known;
        char unknown[8];
    } newer = {.known.struct_size = sizeof newer};
    blob_tls_options o = blob_tls_options_default();
    blob_s3store_transport *t;

    (void)state;
    test_status(blob_tls_open(NULL, NULL), -EINVAL);
    o.struct_size = 0;
    test_status(blob_tls_open(&t, &o), -EINVAL);
    assert_null(t);
    o.struct_size = SIZE_MAX;
    test_status(blob_tls_open(&t, &o), -EINVAL);
    t_says("struct_size");
    newer.known.ca_file = t_ca_path;
    test_ok(blob_tls_open(&t, &newer.known));
    blob_tls_close(t);
    newer.unknown[3] = 1;
    test_status(blob_tls_open(&t, &newer.known), -EINVAL);
    t_says("newer library");
    /* An older caller's, who knows no ca_dir: what lies behind is not looked at. */
    o.struct_size = offsetof(blob_tls_options, ca_dir);
    o.ca_file = t_ca_path;
    o.ca_dir = "/nowhere";
    test_ok(blob_tls_open(&t, &o));
    assert_string_equal(t->scheme, "https");
    assert_int_equal(t->struct_size, sizeof *t);
    blob_tls_close(t);
    blob_tls_close(NULL);
}

static int open_trusting(const char *ca_file, const char *ca_dir)
{
    blob_tls_options o = blob_tls_options_default();
    blob_s3store_transport *t;
    int rc;

    o.ca_file = ca_file;
    o.ca_dir = ca_dir;
    rc = blob_tls_open(&t, &o);
    assert_int_equal(rc == 0, t != NULL);
    blob_tls_close(t);
    return rc;
}

static void a_ca_file_that_is_none_is_refused(void **state)
{
    char path[600];
    FILE *f;

    (void)state;
    test_status(open_trusting(t_path("missing.pem"), NULL), -ENOENT);
    t_says("missing.pem");
    test_status(open_trusting(t_dir, NULL), -EISDIR);
    snprintf(path, sizeof path, "%s/below", t_ca_path);
    test_status(open_trusting(path, NULL), -ENOTDIR);
    test_status(open_trusting(NULL, t_ca_path), -ENOTDIR);
    test_status(open_trusting(t_ca_path, t_path("missing")), -ENOENT);
    snprintf(path, sizeof path, "%s", t_path("empty.pem"));
    assert_non_null(f = fopen(path, "w"));
    fclose(f);
    test_status(open_trusting(path, NULL), -EINVAL);
    assert_non_null(f = fopen(path, "w"));
    fputs("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n", f);
    fclose(f);
    test_status(open_trusting(path, NULL), -EINVAL);
    t_says("empty.pem");
    if (geteuid() != 0) {
        assert_int_equal(chmod(path, 0), 0);
        test_status(open_trusting(path, NULL), BLOB_DENIED);
    }
    test_ok(open_trusting(t_ca_path, t_dir));
}

static unsigned descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(d);
    while (readdir(d) != NULL)
        count++;
    closedir(d);
    return count;
}

static void opening_a_thousand_times_leaves_nothing_behind(void **state)
{
    tlsrig *r = t_serve(tlsrig_echo, NULL, 0);
    blob_s3store_transport *t;
    unsigned before = 0;
    void *c;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        t = t_open_on(NULL);
        if (i % 50 == 0) {
            c = t_dial(t, r);
            test_ok(tlsrig_round_trip(t, c, 1, 100));
            t->close(c);
        }
        blob_tls_close(t);
        if (i == 0)
            before = descriptors();
    }
    tlsrig_await(r, 20);
    assert_true(descriptors() <= before);
    tlsrig_stop(r);
}

typedef int open_function(blob_s3store_transport **out, const blob_tls_options *options);
typedef void close_function(blob_s3store_transport *t);

static void *look_up(void *library, const char *name)
{
    void *found = dlsym(library, name);

    if (found == NULL)
        fprintf(stderr, "no %s\n", name);
    return found;
}

/* NULL: all went well. */
static void *use_and_unload(void *arg)
{
    void *library = dlopen(WBSTORE_TLS_LIBRARY, RTLD_NOW | RTLD_LOCAL), *found, *c;
    blob_tls_options o = blob_tls_options_default();
    blob_s3store_transport *t = NULL;
    close_function *close_it;
    open_function *open_it;

    if (library == NULL || (found = look_up(library, "blob_tls_open")) == NULL)
        return "not loaded";
    memcpy(&open_it, &found, sizeof open_it);
    if ((found = look_up(library, "blob_tls_close")) == NULL)
        return "half loaded";
    memcpy(&close_it, &found, sizeof close_it);
    o.ca_file = t_ca_path;
    if (open_it(&t, &o) != 0 || tlsrig_dial(t, NULL, T_LONG_MS, "localhost", tlsrig_port(arg), &c) != 0)
        return "not connected";
    if (tlsrig_round_trip(t, c, 1, 100) != 0)
        return "no echo";
    t->close(c);
    close_it(t);
    dlclose(library);
    if (dlopen(WBSTORE_TLS_LIBRARY, RTLD_NOW | RTLD_NOLOAD) != NULL)
        return "still there";
    return NULL;
}

static void it_can_be_unloaded(void **state)
{
    tlsrig *r = t_serve(tlsrig_echo, NULL, 0);
    const char *wrong;
    pthread_t thread;

    (void)state;
    for (int i = 0; i < 3; i++) {
        /* The thread's end is part of it: OpenSSL has something to free then. */
        test_thread_start(&thread, use_and_unload, r);
        if ((wrong = test_thread_join(thread)) != NULL)
            fail_msg("%s", wrong);
    }
    tlsrig_stop(r);
}

/* ---- Whom it trusts ---- */

typedef struct saw {
    char name[64]; /* SNI */
    size_t bytes;
} saw;

static void note_what_comes(void *arg, tlsrig_peer *p)
{
    const char *name = tlsrig_name(p);
    saw *s = arg;
    char bytes[256];
    size_t got;

    snprintf(s->name, sizeof s->name, "%s", name != NULL ? name : "");
    while ((got = tlsrig_read(p, bytes, sizeof bytes)) > 0) {
        s->bytes += got;
        tlsrig_write(p, bytes, got);
    }
}

/* Connects as host to a server with this certificate, and if it is let in, to and fro. */
static int meet(const blob_tls_options *o, const tlsrig_cert *cert, const tlsrig_cert *between, const char *host,
                saw *s)
{
    tlsrig *r = tlsrig_start(&(tlsrig_service){.cert = cert, .between = between, .serve = note_what_comes, .arg = s});
    blob_s3store_transport *t;
    char back[8] = "";
    size_t done = 0;
    void *c;
    int rc;

    memset(s, 0, sizeof *s);
    test_ok(blob_tls_open(&t, o));
    rc = tlsrig_dial(t, NULL, T_LONG_MS, host, tlsrig_port(r), &c);
    assert_int_equal(rc == 0, c != NULL);
    if (rc == 0) {
        test_ok(tlsrig_send(t, c, "request", 7));
        test_ok(tlsrig_take(t, c, back, 7, &done));
        assert_string_equal(back, "request");
        t->close(c);
    }
    tlsrig_await(r, 1);
    tlsrig_stop(r);
    blob_tls_close(t);
    return rc;
}

static void expect_good(const char *alt, const char *host, const char *name)
{
    blob_tls_options o = blob_tls_options_default();
    tlsrig_cert *cert = tlsrig_cert_new(&(tlsrig_ask){.name = "anything", .alt = alt}, t_ca);
    saw s;

    o.ca_file = t_ca_path;
    test_ok(meet(&o, cert, NULL, host, &s));
    assert_int_equal(s.bytes, 7);
    assert_string_equal(s.name, name);
    tlsrig_cert_free(cert);
}

static void a_certificate_for_the_host_is_taken(void **state)
{
    (void)state;
    expect_good("DNS:localhost", "localhost", "localhost");
    expect_good("DNS:other,DNS:LocalHost", "localhost", "localhost");
    expect_good("DNS:localhost", "localhost.", "localhost");
    expect_good("DNS:*.example.com", "s3.example.com", "s3.example.com");
    /* No name is asked for where there is none. */
    expect_good("IP:127.0.0.1", "127.0.0.1", "");
    expect_good("DNS:localhost,IP:::1", "::1", "");
    expect_good("IP:fe80:0:0:0:0:0:0:1", "fe80::1%lo", "");
}

typedef struct bad {
    tlsrig_ask ask;
    const char *host, *why;
} bad;

static void a_bad_certificate_is_refused_and_its_reason_told(void **state)
{
    static const bad all[] = {
        {{.name = "c", .alt = "DNS:localhost", .from_s = -7200, .to_s = -3600}, "localhost", "certificate has expired"},
        {{.name = "c", .alt = "DNS:localhost", .from_s = 3600, .to_s = 7200},
         "localhost",
         "certificate is not yet valid"},
        {{.name = "c", .alt = "DNS:elsewhere"}, "localhost", "hostname mismatch"},
        {{.name = "localhost"}, "localhost", "hostname mismatch"}, /* its subject does not count */
        {{.name = "c", .alt = "DNS:local*.example.com"}, "localhost.example.com", "hostname mismatch"},
        {{.name = "c", .alt = "DNS:*.example.com"}, "a.b.example.com", "hostname mismatch"},
        {{.name = "c", .alt = "DNS:*"}, "localhost", "hostname mismatch"},
        {{.name = "c", .alt = "IP:127.0.0.1"}, "localhost", "hostname mismatch"},
        {{.name = "c", .alt = "IP:127.0.0.2"}, "127.0.0.1", "IP address mismatch"},
        {{.name = "c", .alt = "DNS:127.0.0.1"}, "127.0.0.1", "IP address mismatch"},
        {{.name = "127.0.0.1"}, "127.0.0.1", "IP address mismatch"},
        {{.name = "c", .alt = "IP:::2"}, "::1", "IP address mismatch"},
    };
    blob_tls_options o = blob_tls_options_default();
    tlsrig_cert *cert;
    saw s;

    (void)state;
    o.ca_file = t_ca_path;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        cert = tlsrig_cert_new(&all[i].ask, t_ca);
        test_status(meet(&o, cert, NULL, all[i].host, &s), BLOB_DENIED);
        t_says(all[i].why);
        t_says(all[i].host);
        assert_int_equal(s.bytes, 0);
        tlsrig_cert_free(cert);
    }
}

static void a_chain_must_lead_to_who_is_trusted(void **state)
{
    const tlsrig_ask ask = {.name = "c", .alt = "DNS:localhost"};
    tlsrig_cert *stranger = tlsrig_cert_new(&(tlsrig_ask){.name = "stranger", .ca = true}, NULL);
    tlsrig_cert *middle = tlsrig_cert_new(&(tlsrig_ask){.name = "middle", .ca = true}, t_ca);
    tlsrig_cert *no_ca = tlsrig_cert_new(&(tlsrig_ask){.name = "no CA"}, t_ca);
    tlsrig_cert *own = tlsrig_cert_new(&ask, NULL), *foreign = tlsrig_cert_new(&ask, stranger);
    tlsrig_cert *below = tlsrig_cert_new(&ask, middle), *forged = tlsrig_cert_new(&ask, no_ca);
    blob_tls_options o = blob_tls_options_default();
    char path[600];
    saw s;

    (void)state;
    o.ca_file = t_ca_path;
    test_ok(meet(&o, below, middle, "localhost", &s));
    test_status(meet(&o, below, NULL, "localhost", &s), BLOB_DENIED);
    t_says("unable to get local issuer certificate");
    test_status(meet(&o, own, NULL, "localhost", &s), BLOB_DENIED);
    t_says("self-signed certificate");
    t_says(t_ca_path);
    test_status(meet(&o, foreign, NULL, "localhost", &s), BLOB_DENIED);
    t_says("unable to get local issuer certificate");
    test_status(meet(&o, foreign, stranger, "localhost", &s), BLOB_DENIED);
    t_says("self-signed certificate in certificate chain");
    test_status(meet(&o, forged, no_ca, "localhost", &s), BLOB_DENIED);
    t_says("invalid CA certificate");
    /* A server's own certificate may be named, or a CA below the root. */
    snprintf(path, sizeof path, "%s", t_path("pinned.pem"));
    o.ca_file = path;
    tlsrig_cert_write(own, path);
    test_ok(meet(&o, own, NULL, "localhost", &s));
    test_status(meet(&o, t_good, NULL, "localhost", &s), BLOB_DENIED);
    tlsrig_cert_write(foreign, path);
    test_ok(meet(&o, foreign, NULL, "localhost", &s));
    tlsrig_cert_write(middle, path);
    test_ok(meet(&o, below, NULL, "localhost", &s));
    tlsrig_cert_free(forged);
    tlsrig_cert_free(below);
    tlsrig_cert_free(foreign);
    tlsrig_cert_free(own);
    tlsrig_cert_free(no_ca);
    tlsrig_cert_free(middle);
    tlsrig_cert_free(stranger);
}

static void the_system_a_file_or_a_folder_says_whom_to_trust(void **state)
{
    blob_tls_options o = blob_tls_options_default();
    char dir[512], path[600];
    saw s;

    (void)state;
    test_status(meet(NULL, t_good, NULL, "localhost", &s), BLOB_DENIED);
    t_says("the system's CAs");
    /* What the system trusts is where OpenSSL says it is; and where others are named it does not count. */
    assert_int_equal(setenv("SSL_CERT_FILE", t_ca_path, 1), 0);
    test_ok(meet(NULL, t_good, NULL, "localhost", &s));
    snprintf(dir, sizeof dir, "%s", t_path("cas"));
    assert_int_equal(mkdir(dir, 0700), 0);
    o.ca_dir = dir;
    test_status(meet(&o, t_good, NULL, "localhost", &s), BLOB_DENIED);
    t_says(dir);
    assert_int_equal(unsetenv("SSL_CERT_FILE"), 0);
    snprintf(path, sizeof path, "%s/%08lx.0", dir, tlsrig_cert_hash(t_ca));
    tlsrig_cert_write(t_ca, path);
    test_ok(meet(&o, t_good, NULL, "localhost", &s));
    assert_int_equal(unlink(path), 0);
    o.ca_file = t_ca_path;
    test_ok(meet(&o, t_good, NULL, "localhost", &s));
}

/* To OpenSSL they would be two folders. */
static void a_folder_with_a_colon_is_not_taken_for_another(void **state)
{
    char dir[512], path[600];

    (void)state;
    snprintf(dir, sizeof dir, "%s", t_path("one:two"));
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_equal(mkdir(t_path("one"), 0700), 0);
    snprintf(path, sizeof path, "%s/%08lx.0", t_path("one"), tlsrig_cert_hash(t_ca));
    tlsrig_cert_write(t_ca, path);
    test_status(open_trusting(NULL, dir), -EINVAL);
    t_says("one:two");
    t_says("colon");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_openssl_it_says_what_to_install),
        cmocka_unit_test(options_that_cannot_be_are_refused),
        cmocka_unit_test(a_ca_file_that_is_none_is_refused),
        cmocka_unit_test(opening_a_thousand_times_leaves_nothing_behind),
        cmocka_unit_test(it_can_be_unloaded),
        cmocka_unit_test(a_certificate_for_the_host_is_taken),
        cmocka_unit_test(a_bad_certificate_is_refused_and_its_reason_told),
        cmocka_unit_test(a_chain_must_lead_to_who_is_trusted),
        cmocka_unit_test(the_system_a_file_or_a_folder_says_whom_to_trust),
        cmocka_unit_test(a_folder_with_a_colon_is_not_taken_for_another),
    };

    if (!tlsrig_load("TLSv1"))
        return TLSRIG_SKIP;
    return cmocka_run_group_tests(tests, t_setup, t_teardown);
}
