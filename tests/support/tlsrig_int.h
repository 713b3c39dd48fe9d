/* tlsrig_int.h - OpenSSL as the parts of tlsrig use it. Its types are all void here. */
#ifndef TLSRIG_INT_H
#define TLSRIG_INT_H

#include <stdint.h>

#include "tlsrig.h"

#define TLS_CTRL_CHAIN_CERT 89
#define TLS_CTRL_SET_MIN_PROTO_VERSION 123
#define TLS_CTRL_SET_MAX_PROTO_VERSION 124
#define TLS_ERROR_ZERO_RETURN 6

typedef struct tls_openssl {
    int (*OPENSSL_init_ssl)(uint64_t options, const void *settings);
    const void *(*TLS_server_method)(void);
    void *(*SSL_CTX_new)(const void *method);
    void (*SSL_CTX_free)(void *ctx);
    int (*SSL_CTX_use_certificate)(void *ctx, void *x509);
    int (*SSL_CTX_use_PrivateKey)(void *ctx, void *key);
    long (*SSL_CTX_ctrl)(void *ctx, int command, long number, void *pointer);
    void *(*SSL_new)(void *ctx);
    void (*SSL_free)(void *ssl);
    int (*SSL_set_fd)(void *ssl, int fd);
    int (*SSL_accept)(void *ssl);
    int (*SSL_read)(void *ssl, void *data, int size);
    int (*SSL_write)(void *ssl, const void *data, int size);
    int (*SSL_pending)(const void *ssl);
    int (*SSL_shutdown)(void *ssl);
    int (*SSL_get_error)(const void *ssl, int returned);
    const char *(*SSL_get_servername)(const void *ssl, int type);
    int (*SSL_renegotiate)(void *ssl);
    int (*SSL_do_handshake)(void *ssl);
    void (*ERR_clear_error)(void);
    void *(*EVP_PKEY_Q_keygen)(void *libctx, const char *properties, const char *type, ...);
    void (*EVP_PKEY_free)(void *key);
    const void *(*EVP_sha256)(void);
    void *(*X509_new)(void);
    void (*X509_free)(void *x509);
    int (*X509_set_version)(void *x509, long version);
    void *(*X509_get_serialNumber)(void *x509);
    int (*ASN1_INTEGER_set)(void *integer, long value);
    void *(*X509_getm_notBefore)(const void *x509);
    void *(*X509_getm_notAfter)(const void *x509);
    void *(*X509_gmtime_adj)(void *time, long adjust);
    void *(*X509_get_subject_name)(const void *x509);
    int (*X509_set_issuer_name)(void *x509, const void *name);
    int (*X509_NAME_add_entry_by_txt)(void *name, const char *field, int type, const unsigned char *bytes, int size,
                                      int place, int set);
    int (*X509_set_pubkey)(void *x509, void *key);
    void *(*X509V3_EXT_conf_nid)(void *conf, void *ctx, int nid, const char *value);
    int (*X509_add_ext)(void *x509, const void *extension, int place);
    void (*X509_EXTENSION_free)(void *extension);
    int (*X509_sign)(void *x509, void *key, const void *digest);
    unsigned long (*X509_subject_name_hash)(void *x509);
    void *(*BIO_new_file)(const char *path, const char *mode);
    int (*BIO_free)(void *bio);
    int (*PEM_write_bio_X509)(void *bio, const void *x509);
} tls_openssl;
extern tls_openssl tls; /* filled by tlsrig_load */

_Noreturn void tls_die(const char *what);
void *tls_cert_context(const tlsrig_cert *c, const tlsrig_cert *between); /* an SSL_CTX */

#endif
