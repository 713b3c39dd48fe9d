/* tls.h - https:// for blob_s3store_open: a library of its own, wbstore-tls, beside wbstore.
 *
 *     blob_s3store_transport *tls;
 *     blob_s3store_options o = blob_s3store_options_default();
 *
 *     if ((rc = blob_tls_open(&tls, NULL)) == 0) {
 *         o.endpoint = "https://s3.example.com";
 *         o.transport = tls;
 *         ...
 *         rc = blob_s3store_open(&store, &o);
 *
 * It speaks TLS over blob_s3store_tcp() with the system's OpenSSL 3, which it loads when it is opened: there is nothing
 * to link and nothing to build with. Link it as wbstore-tls (pkg-config), wbstore::wbstore_tls or
 * wbstore::wbstore_tls_static (CMake).
 *
 * What it insists on: TLS 1.2 or newer; a certificate of the server that is valid now, is for the endpoint's name (or
 * address, where the endpoint is one), and leads to a CA that is trusted. There is no way to turn that off: to talk to a
 * server with a certificate of its own making, name that certificate as ca_file. Names are looked for in the
 * certificate's subjectAltName alone, as HTTP wants it. What the system's openssl.cnf says holds too, and may ask for more.
 *
 * Threads: one transport serves any number of stores and threads. Each connection is used by one thread at a time, as
 * s3store does. A call waits in the TCP transport only, so ctx and timeouts bound the handshake like everything else.
 *
 * The end of a connection is an end only if the server says so within TLS: cut off without that, a read is
 * BLOB_UNAVAILABLE, lest somebody on the way shorten a body that ends with the connection.
 *
 * Errors of its connections, with OpenSSL's reason in blob_last_error:
 *   BLOB_DENIED       the server's certificate is refused: "certificate has expired", "hostname mismatch" ... No
 *                     request was sent. Concerns the whole store
 *   BLOB_UNAVAILABLE  cut off, in the handshake or later; or the server speaks no TLS that both can
 *   others            of the TCP transport
 *
 * Unloading: wbstore-tls can be unloaded once every transport is closed. OpenSSL cannot: it keeps things for each thread
 * until that ends, so once loaded it stays for the life of the process, however often transports are opened and closed.
 * It is started without its atexit handler (unless the host has started it before), so a process may exit while threads
 * are still inside. It may look at its own environment variables (OPENSSL_CONF, SSL_CERT_FILE, SSL_CERT_DIR). */
#ifndef WBSTORE_TLS_H
#define WBSTORE_TLS_H

#include <wbstore/stores.h>

#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

/* Whom to trust. With ca_file or ca_dir it is what they hold and nothing else, with neither what the system trusts
 * (Debian: package ca-certificates). Copied. */
typedef struct blob_tls_options {
    size_t struct_size;
    const char *ca_file; /* certificates in PEM, one or more: of CAs, or of a server itself. NULL: none */
    const char *ca_dir;  /* such files, named by their hash as `openssl rehash` does; looked into as need be. NULL: none */
} blob_tls_options;
static inline blob_tls_options blob_tls_options_default(void)
{
    blob_tls_options o;
    memset(&o, 0, sizeof o);
    o.struct_size = sizeof o;
    return o;
}

/* Loads OpenSSL and makes a transport for https:// endpoints. options: NULL means the defaults. Reads files, asks no
 * network.
 *   BLOB_UNSUPPORTED  no OpenSSL 3 on this system (Debian: package libssl3); or a program linked with -static, which can
 *                     load nothing
 *   -ENOENT, -ENOTDIR, -EISDIR   ca_file or ca_dir is not there, or is not what it should be
 *   BLOB_DENIED       no permission to read it
 *   -EINVAL           no out, a ca_file without a certificate, a ca_dir with a colon in its name, an option that this
 *                     library does not know
 *   -EIO              OpenSSL does not start: its configuration is broken, say */
int blob_tls_open(blob_s3store_transport **out, const blob_tls_options *options);

/* Frees it. Stores that use it are closed before. Never blocks. t is what blob_tls_open gave; NULL is fine. */
void blob_tls_close(blob_s3store_transport *t);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
