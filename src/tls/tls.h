/* tls.h - what the parts of wbstore-tls share. */
#ifndef WB_TLS_TLS_H
#define WB_TLS_TLS_H

#include <wbstore/tls.h>

#include "tls/libssl.h"

/* What blob_tls_open takes for granted, and tests replace. */
typedef struct wb_tls_base {
    const char *library;                /* OpenSSL's */
    const blob_s3store_transport *wire; /* what carries the encrypted bytes */
} wb_tls_base;
int wb_tls_open_on(blob_s3store_transport **out, const blob_tls_options *options, const wb_tls_base *base);

/* All of it is constant while it is open; SSL_CTX has its own locks. */
typedef struct wb_tls {
    blob_s3store_transport transport; /* its arg leads back here */
    const blob_s3store_transport *wire;
    wb_libssl lib;
    SSL_CTX *ctx;
    char trusted[160]; /* for messages: who is */
} wb_tls;

/* Connections (conn.c), as the transport's table has them. */
int wb_tls_connect(void *arg, blob_ctx *ctx, int64_t timeout_ms, const char *host, const struct sockaddr *address,
                   size_t address_size, void **connection);
int wb_tls_read(void *connection, blob_ctx *ctx, int64_t timeout_ms, void *data, size_t size, size_t *done);
int wb_tls_write(void *connection, blob_ctx *ctx, int64_t timeout_ms, const void *data, size_t size, size_t *done);
void wb_tls_close(void *connection);

#endif
