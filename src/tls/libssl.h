/* libssl.h - what of OpenSSL 3 is used, found at run time.
 *
 * Types and numbers are those of OpenSSL's documented interface, which it keeps stable within a major version; no layout
 * of a struct is known here. */
#ifndef WB_TLS_LIBSSL_H
#define WB_TLS_LIBSSL_H

#include <stddef.h>
#include <stdint.h>

typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_st SSL;
typedef struct ssl_method_st SSL_METHOD;
typedef struct bio_st BIO;
typedef struct bio_method_st BIO_METHOD;
typedef struct X509_VERIFY_PARAM_st X509_VERIFY_PARAM;

/* Numbers behind what are macros in OpenSSL's headers. */
#define OPENSSL_INIT_NO_ATEXIT 0x00080000u
#define SSL_CTRL_MODE 33                   /* SSL_CTX_set_mode */
#define SSL_CTRL_SET_TLSEXT_HOSTNAME 55    /* SSL_set_tlsext_host_name */
#define SSL_CTRL_SET_MIN_PROTO_VERSION 123 /* SSL_CTX_set_min_proto_version */
#define SSL_CTRL_GET_MIN_PROTO_VERSION 130 /* SSL_CTX_get_min_proto_version */
#define TLSEXT_NAMETYPE_host_name 0
#define TLS1_2_VERSION 0x0303
#define SSL_MODE_RELEASE_BUFFERS 0x10
#define SSL_OP_NO_COMPRESSION ((uint64_t)1 << 17)
#define SSL_OP_NO_RENEGOTIATION ((uint64_t)1 << 30)
#define SSL_VERIFY_PEER 1
#define SSL_ERROR_WANT_READ 2
#define SSL_ERROR_ZERO_RETURN 6
#define BIO_CTRL_RESET 1 /* BIO_reset */
#define BIO_CTRL_INFO 3  /* BIO_get_mem_data */
#define X509_V_OK 0
#define X509_V_FLAG_PARTIAL_CHAIN 0x80000
#define X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS 0x4
#define X509_CHECK_FLAG_NEVER_CHECK_SUBJECT 0x20

typedef struct wb_libssl {
    /* libssl */
    int (*OPENSSL_init_ssl)(uint64_t options, const void *settings);
    const SSL_METHOD *(*TLS_client_method)(void);
    SSL_CTX *(*SSL_CTX_new)(const SSL_METHOD *method);
    void (*SSL_CTX_free)(SSL_CTX *ctx);
    long (*SSL_CTX_ctrl)(SSL_CTX *ctx, int command, long number, void *pointer);
    uint64_t (*SSL_CTX_set_options)(SSL_CTX *ctx, uint64_t options);
    void (*SSL_CTX_set_verify)(SSL_CTX *ctx, int mode, int (*callback)(int ok, void *store_ctx));
    X509_VERIFY_PARAM *(*SSL_CTX_get0_param)(SSL_CTX *ctx);
    int (*SSL_CTX_load_verify_file)(SSL_CTX *ctx, const char *file);
    int (*SSL_CTX_load_verify_dir)(SSL_CTX *ctx, const char *dir);
    int (*SSL_CTX_set_default_verify_paths)(SSL_CTX *ctx);
    SSL *(*SSL_new)(SSL_CTX *ctx);
    void (*SSL_free)(SSL *ssl);
    long (*SSL_ctrl)(SSL *ssl, int command, long number, void *pointer);
    void (*SSL_set_bio)(SSL *ssl, BIO *in, BIO *out);
    X509_VERIFY_PARAM *(*SSL_get0_param)(SSL *ssl);
    int (*SSL_set1_host)(SSL *ssl, const char *host);
    int (*SSL_connect)(SSL *ssl);
    int (*SSL_read_ex)(SSL *ssl, void *data, size_t size, size_t *done);
    int (*SSL_write_ex)(SSL *ssl, const void *data, size_t size, size_t *done);
    int (*SSL_shutdown)(SSL *ssl);
    int (*SSL_get_error)(const SSL *ssl, int returned);
    long (*SSL_get_verify_result)(const SSL *ssl);
    /* libcrypto */
    BIO *(*BIO_new)(const BIO_METHOD *method);
    const BIO_METHOD *(*BIO_s_mem)(void);
    int (*BIO_free)(BIO *bio);
    int (*BIO_write)(BIO *bio, const void *data, int size);
    long (*BIO_ctrl)(BIO *bio, int command, long number, void *pointer);
    int (*X509_VERIFY_PARAM_set_flags)(X509_VERIFY_PARAM *param, unsigned long flags);
    void (*X509_VERIFY_PARAM_set_hostflags)(X509_VERIFY_PARAM *param, unsigned flags);
    int (*X509_VERIFY_PARAM_set1_ip_asc)(X509_VERIFY_PARAM *param, const char *ip);
    const char *(*X509_verify_cert_error_string)(long result);
    void (*ERR_clear_error)(void);
    unsigned long (*ERR_peek_error)(void);
    const char *(*ERR_reason_error_string)(unsigned long error);
    void *handle; /* of dlopen */
} wb_libssl;

/* Loads the library of that name, with the libcrypto that it needs, and finds all of the above. BLOB_UNSUPPORTED: it is
 * not there, or another. */
int wb_libssl_load(wb_libssl *lib, const char *name);
void wb_libssl_unload(wb_libssl *lib);

/* The oldest error of this thread in words, and the queue is empty again. Static text. */
const char *wb_libssl_reason(const wb_libssl *lib);

#endif
