/* test_tls_version.c - what depends on how OpenSSL was started: TLS 1.2 and newer, what the system demands beyond that, no
 * handler at exit; and no new handshake in the midst. */
#include "tls_test.h"

#include <sys/wait.h>

static void tls_is_1_2_or_newer(void **state)
{
    static const int versions[] = {0x0303, 0x0304};
    blob_s3store_transport *t = t_open_on(NULL);
    tlsrig *r;
    void *c;

    (void)state;
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        r = t_serve(tlsrig_echo, NULL, versions[i]);
        c = t_dial(t, r);
        test_ok(tlsrig_round_trip(t, c, i, 5000));
        t->close(c);
        tlsrig_stop(r);
    }
    /* This test's configuration of OpenSSL would allow it. */
    r = t_serve(tlsrig_echo, NULL, 0x0302);
    test_status(tlsrig_dial(t, NULL, T_LONG_MS, "localhost", tlsrig_port(r), &c), BLOB_UNAVAILABLE);
    assert_null(c);
    t_says("TLS handshake");
    t_says("version");
    tlsrig_await(r, 1);
    assert_int_equal(tlsrig_shaken(r), 0);
    tlsrig_stop(r);
    blob_tls_close(t);
}

/* A system that wants TLS 1.3 gets it. OpenSSL reads its configuration once: so this is a process of its own. */
static int ask_of_a_strict_system(void)
{
    void *state = NULL, *c;
    blob_s3store_transport *t;
    tlsrig *r;
    int rc;

    if (!tlsrig_load("TLSv1.3"))
        return TLSRIG_SKIP;
    t_setup(&state);
    t = t_open_on(NULL);
    r = t_serve(tlsrig_echo, NULL, 0x0303);
    rc = tlsrig_dial(t, NULL, T_LONG_MS, "localhost", tlsrig_port(r), &c);
    t->close(c);
    tlsrig_stop(r);
    blob_tls_close(t);
    t_teardown(&state);
    return rc == BLOB_UNAVAILABLE ? 0 : 1;
}

/* Runs after all that OpenSSL might have registered, which would have made an end of it. */
static void open_at_exit(void)
{
    blob_s3store_transport *t;
    int rc = blob_tls_open(&t, NULL);

    blob_tls_close(t);
    _exit(rc == 0 || rc == BLOB_UNSUPPORTED ? 0 : 1);
}

static int leave_openssl_behind(void)
{
    blob_s3store_transport *t;

    if (atexit(open_at_exit) != 0)
        return 1;
    (void)blob_tls_open(&t, NULL);
    blob_tls_close(t);
    exit(2); /* which is not what it comes to */
}

/* Both are children, forked before OpenSSL was loaded here. */
static void expect_child_well(const pid_t *child)
{
    int status;

    assert_int_equal(waitpid(*child, &status, 0), *child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void what_the_system_demands_beyond_that_holds(void **state)
{
    expect_child_well(*state);
}

static void threads_may_be_in_it_while_the_process_ends(void **state)
{
    expect_child_well(*state);
}

static void ask_for_a_new_handshake(void *arg, tlsrig_peer *p)
{
    char byte;

    (void)arg;
    tlsrig_ask_again(p);
    (void)tlsrig_read(p, &byte, 1); /* ends with a refusal; after a handshake it would wait for the byte */
}

static void a_new_handshake_is_not_granted(void **state)
{
    blob_s3store_transport *t = t_open_on(NULL);
    tlsrig *r = t_serve(ask_for_a_new_handshake, NULL, 0x0303);
    void *c = t_dial(t, r);
    char bytes[8];
    size_t done;

    (void)state;
    test_status(tlsrig_take(t, c, bytes, sizeof bytes, &done), BLOB_UNAVAILABLE);
    t->close(c);
    blob_tls_close(t);
    tlsrig_stop(r);
}

int main(void)
{
    static pid_t strict, ending;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(what_the_system_demands_beyond_that_holds, &strict),
        cmocka_unit_test_prestate(threads_may_be_in_it_while_the_process_ends, &ending),
        cmocka_unit_test(tls_is_1_2_or_newer),
        cmocka_unit_test(a_new_handshake_is_not_granted),
    };

    strict = fork();
    if (strict == 0)
        _exit(ask_of_a_strict_system());
    ending = fork();
    if (ending == 0)
        _exit(leave_openssl_behind());
    if (!tlsrig_load("TLSv1"))
        return TLSRIG_SKIP;
    return cmocka_run_group_tests(tests, t_setup, t_teardown);
}
