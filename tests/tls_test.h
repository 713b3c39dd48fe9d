/* tls_test.h - what the test_tls*.c share: a CA of the test's own, a certificate good for localhost, and shorthands. */
#ifndef TLS_TEST_H
#define TLS_TEST_H

#include "testutil.h"
#include "tls/tls.h"
#include "tlsrig.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define T_LONG_MS 300000 /* more than anything takes */

static char *t_dir;
static char t_ca_path[512];
static tlsrig_cert *t_ca, *t_good;

static inline const char *t_path(const char *name)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s", t_dir, name);
    return path;
}

static inline int t_setup(void **state)
{
    (void)state;
    test_watchdog(1200);
    t_dir = test_dir_make();
    t_ca = tlsrig_cert_new(&(tlsrig_ask){.name = "test CA", .ca = true}, NULL);
    t_good = tlsrig_cert_new(&(tlsrig_ask){.name = "good", .alt = "DNS:localhost,IP:127.0.0.1"}, t_ca);
    snprintf(t_ca_path, sizeof t_ca_path, "%s/ca.pem", t_dir);
    tlsrig_cert_write(t_ca, t_ca_path);
    return 0;
}

static inline int t_teardown(void **state)
{
    (void)state;
    tlsrig_cert_free(t_good);
    tlsrig_cert_free(t_ca);
    test_dir_remove(t_dir);
    return 0;
}

/* A transport that trusts the test's CA, on a wire (NULL: TCP). */
static inline blob_s3store_transport *t_open_on(tlsrig_wire *wire)
{
    blob_tls_options o = blob_tls_options_default();
    wb_tls_base base = {.library = "libssl.so.3", .wire = blob_s3store_tcp()};
    blob_s3store_transport *t;

    if (wire != NULL)
        base.wire = &wire->transport;
    o.ca_file = t_ca_path;
    test_ok(wb_tls_open_on(&t, &o, &base));
    return t;
}

static inline tlsrig *t_serve(void (*serve)(void *arg, tlsrig_peer *p), void *arg, int version)
{
    return tlsrig_start(&(tlsrig_service){.cert = t_good, .serve = serve, .arg = arg, .version = version});
}

static inline void *t_dial(const blob_s3store_transport *t, const tlsrig *r)
{
    void *connection;

    test_ok(tlsrig_dial(t, NULL, T_LONG_MS, "localhost", tlsrig_port(r), &connection));
    return connection;
}

/* The thread's last error says this. */
static inline void t_says(const char *words)
{
    blob_error error;

    blob_last_error(&error);
    if (strstr(error.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, words);
}

#endif
