/* test_tls_wire.c - what may happen to a TLS connection: bytes in any pieces, cuts at any byte, changed bytes, an end that
 * is none; and how few writes it takes. */
#include "tls_test.h"

#include <stdatomic.h>

/* ---- Bytes ---- */

static void bytes_come_back_whole(void **state)
{
    static const size_t sizes[] = {0, 1, 4096, 16384, 16385, 65536, 65537, 200000, 5 << 20};
    static const int versions[] = {0x0303, 0x0304};
    blob_s3store_transport *t = t_open_on(NULL);
    tlsrig *r;
    void *c;

    (void)state;
    for (size_t v = 0; v < sizeof versions / sizeof versions[0]; v++) {
        r = t_serve(tlsrig_echo, NULL, versions[v]);
        c = t_dial(t, r);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            test_ok(tlsrig_round_trip(t, c, i, sizes[i]));
        t->close(c);
        tlsrig_stop(r);
    }
    blob_tls_close(t);
}

static void bytes_may_come_and_go_one_at_a_time(void **state)
{
    tlsrig *r = t_serve(tlsrig_echo, NULL, 0);
    blob_s3store_transport *t;
    tlsrig_wire wire;
    void *c;

    (void)state;
    tlsrig_wire_init(&wire);
    wire.read_piece = wire.write_piece = 1;
    t = t_open_on(&wire);
    c = t_dial(t, r);
    test_ok(tlsrig_round_trip(t, c, 1, 3000));
    t->close(c);
    assert_int_equal(wire.open, 0);
    blob_tls_close(t);
    tlsrig_stop(r);
}

static void a_small_request_is_one_write(void **state)
{
    tlsrig *r = t_serve(tlsrig_silent, NULL, 0);
    blob_s3store_transport *t;
    unsigned char bytes[5000];
    tlsrig_wire wire;
    size_t done;
    void *c;

    (void)state;
    tlsrig_wire_init(&wire);
    t = t_open_on(&wire);
    c = t_dial(t, r);
    test_fill(1, bytes, sizeof bytes);
    wire.writes = 0;
    wire.wrote = 0;
    test_ok(t->write(c, NULL, 0, bytes, sizeof bytes, &done));
    assert_int_equal(done, sizeof bytes);
    assert_int_equal(wire.writes, 1);
    assert_in_range(wire.wrote, sizeof bytes + 1, sizeof bytes + 64);
    t->close(c);
    blob_tls_close(t);
    tlsrig_stop(r);
}

static void errors_that_others_left_are_not_its_own(void **state)
{
    blob_s3store_transport *t = t_open_on(NULL);
    tlsrig *r = t_serve(tlsrig_silent, NULL, 0);
    size_t done;
    char byte;
    void *c;

    (void)state;
    tlsrig_err();
    c = t_dial(t, r);
    tlsrig_err();
    test_ok(tlsrig_send(t, c, "one", 3));
    tlsrig_err();
    test_status(t->read(c, NULL, 0, &byte, 1, &done), -ETIMEDOUT);
    tlsrig_err();
    t->close(c);
    tlsrig_err();
    blob_tls_close(t);
    tlsrig_stop(r);
}

typedef struct crowd {
    blob_s3store_transport *t;
    const tlsrig *r;
    atomic_uint failed;
} crowd;

static void go_to_and_fro(void *arg, unsigned index)
{
    crowd *all = arg;
    void *c;

    for (unsigned i = 0; i < 12; i++) {
        if (tlsrig_dial(all->t, NULL, T_LONG_MS, "localhost", tlsrig_port(all->r), &c) != 0 ||
            tlsrig_round_trip(all->t, c, index, 1000 * i + index) != 0 ||
            tlsrig_round_trip(all->t, c, index + 1, 40000) != 0)
            atomic_fetch_add(&all->failed, 1);
        all->t->close(c);
    }
}

static void many_threads_share_a_transport(void **state)
{
    crowd all = {.t = t_open_on(NULL), .r = t_serve(tlsrig_echo, NULL, 0)};

    (void)state;
    test_threads_run(8, go_to_and_fro, &all);
    assert_int_equal(all.failed, 0);
    blob_tls_close(all.t);
    tlsrig_stop((tlsrig *)(uintptr_t)all.r);
}

/* ---- Ends ---- */

static void send_and_end(void *arg, tlsrig_peer *p)
{
    const bool *well = arg;

    tlsrig_write(p, "body", 4);
    if (*well)
        tlsrig_farewell(p);
}

static void a_cut_is_not_an_end(void **state)
{
    static const int versions[] = {0x0303, 0x0304};
    blob_s3store_transport *t = t_open_on(NULL);
    char bytes[16] = "";
    size_t done;
    bool well;
    tlsrig *r;
    void *c;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        well = i < 2;
        r = t_serve(send_and_end, &well, versions[i % 2]);
        c = t_dial(t, r);
        test_status(tlsrig_take(t, c, bytes, sizeof bytes, &done), well ? 0 : BLOB_UNAVAILABLE);
        assert_int_equal(done, 4);
        assert_memory_equal(bytes, "body", 4);
        if (!well)
            t_says("cut off");
        /* And it stays so. */
        done = 1;
        test_status(t->read(c, NULL, T_LONG_MS, bytes, sizeof bytes, &done), well ? 0 : BLOB_UNAVAILABLE);
        assert_int_equal(done, 0);
        t->close(c);
        tlsrig_stop(r);
    }
    blob_tls_close(t);
}

static void end_at_once(void *arg, tlsrig_peer *p)
{
    (void)arg;
    tlsrig_reset(p);
}

static void writing_to_one_who_is_gone_raises_no_signal(void **state)
{
    blob_s3store_transport *t = t_open_on(NULL);
    tlsrig *r = t_serve(end_at_once, NULL, 0);
    void *c = t_dial(t, r);
    char bytes[1000] = "";
    int rc = 0;

    (void)state;
    tlsrig_await(r, 1);
    for (int i = 0; rc == 0 && i < 100000; i++)
        rc = tlsrig_send(t, c, bytes, sizeof bytes);
    test_status(rc, BLOB_UNAVAILABLE);
    t->close(c);
    blob_tls_close(t);
    tlsrig_stop(r);
}

/* A whole conversation: what it came to, and how far it got. */
static int converse(blob_s3store_transport *t, const tlsrig *r, bool *connected)
{
    void *c;
    int rc = tlsrig_dial(t, NULL, T_LONG_MS, "localhost", tlsrig_port(r), &c);

    *connected = rc == 0;
    if (rc == 0) {
        rc = tlsrig_round_trip(t, c, 1, 600);
        t->close(c);
    }
    return rc;
}

static void a_cut_at_any_byte_is_unavailable(void **state)
{
    tlsrig *r = t_serve(tlsrig_echo, NULL, 0);
    uint64_t shaken, whole, n;
    blob_s3store_transport *t;
    tlsrig_wire wire;
    bool connected;
    void *c;
    int rc = 0;

    (void)state;
    for (int way = 0; way < 4; way++) {
        bool reading = way < 2;

        tlsrig_wire_init(&wire);
        t = t_open_on(&wire);
        c = t_dial(t, r);
        shaken = reading ? wire.read : wire.wrote;
        test_ok(tlsrig_round_trip(t, c, 1, 600));
        whole = reading ? wire.read : wire.wrote;
        t->close(c);
        wire.then = way % 2 == 0 ? TLSRIG_BREAKS : TLSRIG_ENDS;
        /* In the handshake not at each, for they take long. Certificates differ in size by some bytes each time. */
        for (n = 0; n < whole + 64; n += n + 80 < shaken ? 41 : 11) {
            *(reading ? &wire.read_left : &wire.write_left) = n;
            rc = converse(t, r, &connected);
            if (rc != 0)
                test_status(rc, BLOB_UNAVAILABLE);
            if (n + 80 < shaken)
                assert_false(connected);
            /* The answer is its last bytes. */
            if (n + 600 < whole)
                assert_int_not_equal(rc, 0);
            assert_int_equal(wire.open, 0);
        }
        assert_int_equal(rc, 0);
        blob_tls_close(t);
    }
    tlsrig_stop(r);
}

static void a_changed_byte_is_noticed(void **state)
{
    tlsrig *r = t_serve(tlsrig_echo, NULL, 0);
    blob_s3store_transport *t;
    tlsrig_wire wire;
    uint64_t whole;
    bool connected;

    (void)state;
    tlsrig_wire_init(&wire);
    t = t_open_on(&wire);
    test_ok(converse(t, r, &connected));
    whole = wire.read;
    wire.then = TLSRIG_ENDS;
    for (uint64_t n = 0; n + 40 < whole; n += 23) {
        wire.flip = n;
        wire.read_left = whole;  /* a record that claims to be longer would be waited for, */
        wire.patience_ms = 3000; /* and the server, which waits for us, has not sent as much yet */
        assert_int_not_equal(converse(t, r, &connected), 0);
    }
    blob_tls_close(t);
    tlsrig_stop(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_back_whole),
        cmocka_unit_test(bytes_may_come_and_go_one_at_a_time),
        cmocka_unit_test(a_small_request_is_one_write),
        cmocka_unit_test(errors_that_others_left_are_not_its_own),
        cmocka_unit_test(many_threads_share_a_transport),
        cmocka_unit_test(a_cut_is_not_an_end),
        cmocka_unit_test(writing_to_one_who_is_gone_raises_no_signal),
        cmocka_unit_test(a_cut_at_any_byte_is_unavailable),
        cmocka_unit_test(a_changed_byte_is_noticed),
    };

    if (!tlsrig_load("TLSv1"))
        return TLSRIG_SKIP;
    return cmocka_run_group_tests(tests, t_setup, t_teardown);
}
