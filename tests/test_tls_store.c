/* test_tls_store.c - s3store over https: against a simulated server behind TLS, and against a real Ceph where S3_ENDPOINT
 * says where one is (see test_s3_ceph.c). */
#include "testkit/conform_int.h"
#include "s3sim.h"
#include "s3store/net.h"
#include "tls_test.h"

#include <sched.h>

#define MIB (1u << 20)

static s3sim *sim;
static tlsrig *front; /* speaks TLS, and passes on to the one that is to answer */
static unsigned behind;
static blob_s3store_transport *https;

static void pass_on(void *arg, tlsrig_peer *p)
{
    tlsrig_forward(p, *(const unsigned *)arg);
}

static int set_up(void **state)
{
    (void)state;
    test_watchdog(1200);
    sim = s3sim_start();
    behind = http_server_port(s3sim_http(sim));
    front = t_serve(pass_on, &behind, 0);
    https = t_open_on(NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    blob_tls_close(https);
    tlsrig_stop(front);
    s3sim_stop(sim);
    return 0;
}

static blob_s3store_options options(const tlsrig *server)
{
    static char endpoint[64];
    blob_s3store_options o = blob_s3store_options_default();

    snprintf(endpoint, sizeof endpoint, "https://localhost:%u", tlsrig_port(server));
    o.endpoint = endpoint;
    o.bucket = s3sim_get(sim).bucket;
    o.access_key = s3sim_get(sim).access_key;
    o.secret_key = "secret";
    o.transport = https;
    o.connect_timeout_ms = o.idle_timeout_ms = o.total_timeout_ms = T_LONG_MS; /* a machine may be loaded */
    return o;
}

static blob_store *open_at(const tlsrig *server)
{
    blob_s3store_options o = options(server);
    blob_store *s;

    test_ok(blob_s3store_open(&s, &o));
    return s;
}

static void print_broken(void *arg, const char *promise, const char *detail)
{
    print_error("%s: %s: %s\n", (const char *)arg, promise, detail);
}

static void it_keeps_the_contract(void **state)
{
    char name[] = "s3store over https";
    blob_store *s = open_at(front);

    (void)state;
    test_status(blob_conform(s, print_broken, name), 0);
    test_status(wb_cf_conform_deletes(s, print_broken, name), 0);
    test_ok(blob_store_close(s, NULL));
}

static void blobs_of_every_size_come_back(blob_store *s)
{
    static const size_t sizes[] = {0, 1, 4096, 65536, 5 * MIB + 1};
    char name[32];

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *bytes = test_payload(i, sizes[i]);
        blob *b;

        snprintf(name, sizeof name, "size %zu", sizes[i]);
        test_ok(blob_store_put(s, NULL, test_key(name), blob_view_of(bytes, sizes[i]), 0));
        test_status(blob_store_put(s, NULL, test_key(name), blob_view_of("x", 1), 0), BLOB_EXISTS);
        test_ok(blob_store_get(s, NULL, test_key(name), &b));
        assert_int_equal(b->size, sizes[i]);
        assert_memory_equal(b->data, bytes, sizes[i]);
        blob_unref(b);
        free(bytes);
    }
    assert_int_equal(test_len(s), sizeof sizes / sizeof sizes[0]);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        snprintf(name, sizeof name, "size %zu", sizes[i]);
        test_ok(blob_store_delete(s, NULL, test_key(name), 0));
        test_expect_missing(s, test_key(name));
    }
    assert_int_equal(test_len(s), 0);
}

static void one_handshake_serves_many_calls(void **state)
{
    blob_store *s = open_at(front);

    (void)state;
    blobs_of_every_size_come_back(s);
    assert_int_equal(tlsrig_shaken(front), 1);
    assert_true(s3sim_requests(sim, NULL) > 20);
    test_ok(blob_store_close(s, NULL));
}

static void a_connection_that_the_server_ended_is_replaced(void **state)
{
    blob_store *s = open_at(front);

    (void)state;
    test_put(s, test_key("k"), "one");
    while (http_server_hang_up_idle(s3sim_http(sim)) == 0) /* it may not know yet that the answer has gone */
        sched_yield();
    tlsrig_await(front, 1);
    test_expect(s, test_key("k"), "one");
    assert_int_equal(tlsrig_shaken(front), 2);
    test_ok(blob_store_close(s, NULL));
}

static void a_bad_certificate_concerns_the_store_and_nothing_is_sent(void **state)
{
    tlsrig_cert *expired =
        tlsrig_cert_new(&(tlsrig_ask){.name = "old", .alt = "DNS:localhost", .from_s = -7200, .to_s = -3600}, t_ca);
    tlsrig *r = tlsrig_start(&(tlsrig_service){.cert = expired, .serve = pass_on, .arg = &behind});
    blob_store *s = open_at(r);
    uint64_t size;
    blob *b;

    (void)state;
    test_status(blob_store_put(s, NULL, test_key("k"), blob_view_of("v", 1), 0), BLOB_DENIED);
    t_says("certificate has expired");
    test_status(blob_store_get(s, NULL, test_key("k"), &b), BLOB_DENIED);
    t_says("certificate has expired");
    test_status(blob_store_delete(s, NULL, test_key("k"), 0), BLOB_DENIED);
    test_status(blob_store_len(s, NULL, &size), BLOB_DENIED);
    assert_int_equal(s3sim_requests(sim, NULL), 0);
    assert_int_equal(s3sim_count(sim), 0);
    test_ok(blob_store_close(s, NULL));
    tlsrig_stop(r);
    tlsrig_cert_free(expired);
}

/* An answer whose body goes on to the end of the connection. */
static void answer_to_the_end(void *arg, tlsrig_peer *p)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nas much as there is";
    const bool *well = arg;
    char request[4096];

    if (tlsrig_read(p, request, sizeof request) > 0 && tlsrig_write(p, answer, sizeof answer - 1) && *well)
        tlsrig_farewell(p);
}

static int fetch(const tlsrig *r, blob **out)
{
    const s3_limits limits = {T_LONG_MS, T_LONG_MS, T_LONG_MS, 1};
    s3_exchange x = {.head = blob_view_of("GET / HTTP/1.1\r\n\r\n", 18), .answer_max = 100, .error_max = 100};
    char port[8];
    s3_net net;
    int rc;

    snprintf(port, sizeof port, "%u", tlsrig_port(r));
    test_ok(s3_net_open(&net, https, "localhost", port, &limits, 1));
    rc = s3_exchange_run(&net, NULL, &x);
    s3_net_close(&net);
    *out = x.answer;
    return rc;
}

static void a_body_that_was_cut_short_is_not_taken_for_whole(void **state)
{
    static const char body[] = "as much as there is";

    (void)state;
    for (int i = 0; i < 2; i++) {
        bool well = i == 0;
        tlsrig *r = t_serve(answer_to_the_end, &well, 0);
        blob *b;

        test_status(fetch(r, &b), well ? 0 : BLOB_UNAVAILABLE);
        if (well) {
            assert_int_equal(b->size, sizeof body - 1);
            assert_memory_equal(b->data, body, sizeof body - 1);
        } else {
            t_says("cut off");
        }
        blob_unref(b);
        tlsrig_stop(r);
    }
}

static void a_blob_that_was_cut_short_is_unavailable(void **state)
{
    blob_store *s = open_at(front);
    blob *b;

    (void)state;
    test_put(s, test_key("k"), "a blob of some bytes");
    s3sim_fail(sim, &(s3sim_fault){.act = S3SIM_DONE_CUT, .method = "GET", .cut_at = 7});
    test_status(blob_store_get(s, NULL, test_key("k"), &b), BLOB_UNAVAILABLE);
    assert_null(b);
    s3sim_clear(sim);
    test_expect(s, test_key("k"), "a blob of some bytes");
    test_ok(blob_store_close(s, NULL));
}

static void a_handshake_that_stalls_is_given_up(void **state)
{
    tlsrig *r = tlsrig_start(&(tlsrig_service){.bare = true, .serve = tlsrig_silent});
    blob_s3store_options o = options(r);
    blob_store *s;
    int rc;

    (void)state;
    o.connect_timeout_ms = 40;
    test_ok(blob_s3store_open(&s, &o));
    rc = blob_store_put(s, NULL, test_key("k"), blob_view_of("v", 1), 0);
    assert_true(rc == -ETIMEDOUT || rc == BLOB_UNAVAILABLE);
    test_ok(blob_store_close(s, NULL));
    tlsrig_stop(r);
}

static void without_a_transport_https_is_unsupported(void **state)
{
    blob_s3store_options o = options(front);
    blob_store *s;

    (void)state;
    o.transport = NULL;
    test_status(blob_s3store_open(&s, &o), BLOB_UNSUPPORTED);
    assert_null(s);
}

static void put_and_get(void *arg, unsigned index)
{
    blob_store *s = arg;
    char name[32];
    blob *b;

    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "%u of %u", i, index);
        if (blob_store_put(s, NULL, test_key(name), blob_view_of(name, strlen(name)), 0) != 0 ||
            blob_store_get(s, NULL, test_key(name), &b) != 0)
            continue;
        if (b->size != strlen(name) || memcmp(b->data, name, b->size) != 0)
            (void)blob_store_delete(s, NULL, test_key(name), 0); /* will be missing */
        blob_unref(b);
    }
}

static void many_threads_at_once(void **state)
{
    blob_store *s = open_at(front);

    (void)state;
    test_threads_run(8, put_and_get, s);
    assert_int_equal(test_len(s), 160);
    assert_in_range(tlsrig_shaken(front), 1, 8);
    test_ok(blob_store_close(s, NULL));
}

/* ---- Ceph ---- */

static void a_real_server_behind_tls(void **state)
{
    const char *endpoint = getenv("S3_ENDPOINT"), *colon = endpoint != NULL ? strrchr(endpoint, ':') : NULL;
    tlsrig_cert *wrong = tlsrig_cert_new(&(tlsrig_ask){.name = "wrong", .alt = "DNS:elsewhere"}, t_ca);
    blob_s3store_options o;
    char prefix[64];
    blob_store *s;
    tlsrig *r;

    (void)state;
    if (colon == NULL) {
        tlsrig_cert_free(wrong);
        skip();
        return; /* it does not; but that is for a compiler to know */
    }
    behind = (unsigned)strtoul(colon + 1, NULL, 10);
    snprintf(prefix, sizeof prefix, "test-tls-%ld/", (long)getpid());
    o = options(front);
    o.bucket = getenv("S3_BUCKET");
    o.access_key = getenv("S3_ACCESS_KEY");
    o.secret_key = getenv("S3_SECRET_KEY");
    o.region = getenv("S3_REGION");
    o.prefix = prefix;
    test_ok(blob_s3store_open(&s, &o));
    blobs_of_every_size_come_back(s);
    assert_int_equal(tlsrig_shaken(front), 1);
    test_ok(blob_store_close(s, NULL));
    r = tlsrig_start(&(tlsrig_service){.cert = wrong, .serve = pass_on, .arg = &behind});
    o.endpoint = options(r).endpoint;
    test_ok(blob_s3store_open(&s, &o));
    test_status(blob_store_put(s, NULL, test_key("k"), blob_view_of("v", 1), 0), BLOB_DENIED);
    t_says("hostname mismatch");
    test_ok(blob_store_close(s, NULL));
    tlsrig_stop(r);
    tlsrig_cert_free(wrong);
}

#define PROMISE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE(it_keeps_the_contract),
        PROMISE(one_handshake_serves_many_calls),
        PROMISE(a_connection_that_the_server_ended_is_replaced),
        PROMISE(a_bad_certificate_concerns_the_store_and_nothing_is_sent),
        PROMISE(a_body_that_was_cut_short_is_not_taken_for_whole),
        PROMISE(a_blob_that_was_cut_short_is_unavailable),
        PROMISE(a_handshake_that_stalls_is_given_up),
        PROMISE(without_a_transport_https_is_unsupported),
        PROMISE(many_threads_at_once),
        PROMISE(a_real_server_behind_tls),
    };

    if (!tlsrig_load("TLSv1"))
        return TLSRIG_SKIP;
    return cmocka_run_group_tests(tests, t_setup, t_teardown);
}
