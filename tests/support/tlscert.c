/* tlscert.c - OpenSSL for tests: loading it, and making certificates; see tlsrig.h. */
#include "tlsrig_int.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TLS_NID_SUBJECT_ALT_NAME 85
#define TLS_NID_BASIC_CONSTRAINTS 87
#define TLS_MBSTRING_ASC 0x1001

struct tlsrig_cert {
    void *x509, *key;
};

tls_openssl tls;

void tls_die(const char *what)
{
    fprintf(stderr, "tlsrig: %s\n", what);
    abort();
}

/* OpenSSL reads its configuration once, when it starts. */
static void tls_configure(const char *min)
{
    char path[] = "/tmp/wbstore-test-XXXXXX";
    int fd = mkstemp(path);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;

    if (f == NULL)
        tls_die("no configuration file");
    fprintf(f, "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = system\n");
    fprintf(f, "[system]\nMinProtocol = %s\nCipherString = DEFAULT:@SECLEVEL=0\n", min);
    if (fclose(f) != 0 || setenv("OPENSSL_CONF", path, 1) != 0 || tls.OPENSSL_init_ssl(0, NULL) != 1)
        tls_die("OpenSSL does not start");
    unlink(path);
}

typedef struct tls_name {
    const char *name;
    size_t offset;
} tls_name;
#define TLS_NAME(function)                                                                                             \
    {                                                                                                                  \
#function, offsetof(tls_openssl, function)                                                                     \
    }
static const tls_name tls_names[] = {
    TLS_NAME(OPENSSL_init_ssl),
    TLS_NAME(TLS_server_method),
    TLS_NAME(SSL_CTX_new),
    TLS_NAME(SSL_CTX_free),
    TLS_NAME(SSL_CTX_use_certificate),
    TLS_NAME(SSL_CTX_use_PrivateKey),
    TLS_NAME(SSL_CTX_ctrl),
    TLS_NAME(SSL_new),
    TLS_NAME(SSL_free),
    TLS_NAME(SSL_set_fd),
    TLS_NAME(SSL_accept),
    TLS_NAME(SSL_read),
    TLS_NAME(SSL_write),
    TLS_NAME(SSL_pending),
    TLS_NAME(SSL_shutdown),
    TLS_NAME(SSL_get_error),
    TLS_NAME(SSL_get_servername),
    TLS_NAME(SSL_renegotiate),
    TLS_NAME(SSL_do_handshake),
    TLS_NAME(ERR_clear_error),
    TLS_NAME(EVP_PKEY_Q_keygen),
    TLS_NAME(EVP_PKEY_free),
    TLS_NAME(EVP_sha256),
    TLS_NAME(X509_new),
    TLS_NAME(X509_free),
    TLS_NAME(X509_set_version),
    TLS_NAME(X509_get_serialNumber),
    TLS_NAME(ASN1_INTEGER_set),
    TLS_NAME(X509_getm_notBefore),
    TLS_NAME(X509_getm_notAfter),
    TLS_NAME(X509_gmtime_adj),
    TLS_NAME(X509_get_subject_name),
    TLS_NAME(X509_set_issuer_name),
    TLS_NAME(X509_NAME_add_entry_by_txt),
    TLS_NAME(X509_set_pubkey),
    TLS_NAME(X509V3_EXT_conf_nid),
    TLS_NAME(X509_add_ext),
    TLS_NAME(X509_EXTENSION_free),
    TLS_NAME(X509_sign),
    TLS_NAME(X509_subject_name_hash),
    TLS_NAME(BIO_new_file),
    TLS_NAME(BIO_free),
    TLS_NAME(PEM_write_bio_X509),
};

bool tlsrig_load(const char *min)
{
    void *ssl = dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE), *found;

    if (ssl == NULL) {
        fprintf(stderr, "skipped: no OpenSSL 3 on this machine (Debian: libssl3): %s\n", dlerror());
        return false;
    }
    /* A search goes on in what a library needs: libcrypto. */
    for (size_t i = 0; i < sizeof tls_names / sizeof tls_names[0]; i++) {
        if ((found = dlsym(ssl, tls_names[i].name)) == NULL)
            tls_die(tls_names[i].name);
        memcpy((char *)&tls + tls_names[i].offset, &found, sizeof found);
    }
    tls_configure(min);
    return true;
}

void tlsrig_err(void)
{
    if (tls.BIO_new_file("/nowhere/at/all", "r") != NULL)
        tls_die("a file that cannot be");
}

static void tls_extend(void *x509, int nid, const char *value)
{
    void *extension = tls.X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    if (extension == NULL || tls.X509_add_ext(x509, extension, -1) != 1)
        tls_die(value);
    tls.X509_EXTENSION_free(extension);
}

tlsrig_cert *tlsrig_cert_new(const tlsrig_ask *ask, const tlsrig_cert *issuer)
{
    static long serial; /* tests make certificates on one thread */
    tlsrig_cert *c = calloc(1, sizeof *c);
    long from = ask->from_s, to = ask->to_s;

    if (c == NULL || (c->x509 = tls.X509_new()) == NULL ||
        (c->key = tls.EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256")) == NULL)
        tls_die("no certificate");
    if (from == 0 && to == 0) {
        from = -3600;
        to = 3600;
    }
    if (issuer == NULL)
        issuer = c;
    tls.X509_set_version(c->x509, 2);
    tls.ASN1_INTEGER_set(tls.X509_get_serialNumber(c->x509), ++serial);
    tls.X509_gmtime_adj(tls.X509_getm_notBefore(c->x509), from);
    tls.X509_gmtime_adj(tls.X509_getm_notAfter(c->x509), to);
    if (tls.X509_NAME_add_entry_by_txt(tls.X509_get_subject_name(c->x509), "CN", TLS_MBSTRING_ASC,
                                       (const unsigned char *)ask->name, -1, -1, 0) != 1 ||
        tls.X509_set_issuer_name(c->x509, tls.X509_get_subject_name(issuer->x509)) != 1 ||
        tls.X509_set_pubkey(c->x509, c->key) != 1)
        tls_die(ask->name);
    tls_extend(c->x509, TLS_NID_BASIC_CONSTRAINTS, ask->ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (ask->alt != NULL)
        tls_extend(c->x509, TLS_NID_SUBJECT_ALT_NAME, ask->alt);
    if (tls.X509_sign(c->x509, issuer->key, tls.EVP_sha256()) <= 0)
        tls_die(ask->name);
    return c;
}

void tlsrig_cert_free(tlsrig_cert *c)
{
    if (c == NULL)
        return;
    tls.X509_free(c->x509);
    tls.EVP_PKEY_free(c->key);
    free(c);
}

void tlsrig_cert_write(const tlsrig_cert *c, const char *path)
{
    void *bio = tls.BIO_new_file(path, "w");

    if (bio == NULL || tls.PEM_write_bio_X509(bio, c->x509) != 1 || tls.BIO_free(bio) != 1)
        tls_die(path);
}

unsigned long tlsrig_cert_hash(const tlsrig_cert *c)
{
    return tls.X509_subject_name_hash(c->x509);
}

void *tls_cert_context(const tlsrig_cert *c, const tlsrig_cert *between)
{
    void *ctx = tls.SSL_CTX_new(tls.TLS_server_method());

    if (ctx == NULL || tls.SSL_CTX_use_certificate(ctx, c->x509) != 1 || tls.SSL_CTX_use_PrivateKey(ctx, c->key) != 1 ||
        (between != NULL && tls.SSL_CTX_ctrl(ctx, TLS_CTRL_CHAIN_CERT, 1, between->x509) != 1))
        tls_die("no context for the server");
    return ctx;
}
