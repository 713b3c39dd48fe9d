/* tls.c - opening and closing a transport: OpenSSL, and whom it is to trust. */
#include "tls/tls.h"
#include "blob/options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int tls_options_take(blob_tls_options *to, const blob_tls_options *from)
{
    *to = blob_tls_options_default();
    return from == NULL ? 0 : wb_options_copy(to, sizeof *to, from, from->struct_size);
}

/* Can path be read, and is it what it should be? OpenSSL has no words for that. */
static int tls_look(const char *path, bool dir)
{
    int error = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0)
        error = errno;
    else if (dir != S_ISDIR(st.st_mode))
        error = dir ? ENOTDIR : EISDIR;
    if (fd >= 0)
        close(fd);
    if (error == 0)
        return 0;
    return blob_fail(error == EACCES || error == EPERM ? BLOB_DENIED : -error, 0, "%s %.160s: %s",
                     dir ? "ca_dir" : "ca_file", path, blob_strerror(-error));
}

static int tls_trust(wb_tls *t, const blob_tls_options *o)
{
    const wb_libssl *lib = &t->lib;
    const char *file = o->ca_file, *dir = o->ca_dir;
    int rc;

    if (file == NULL && dir == NULL) {
        snprintf(t->trusted, sizeof t->trusted, "the system's CAs");
        if (lib->SSL_CTX_set_default_verify_paths(t->ctx) != 1)
            return blob_fail(-EIO, 0, "OpenSSL cannot load the system's CAs: %s", wb_libssl_reason(lib));
        return 0;
    }
    snprintf(t->trusted, sizeof t->trusted, "%.70s%s%.70s", file != NULL ? file : "",
             file != NULL && dir != NULL ? " and " : "", dir != NULL ? dir : "");
    if (file != NULL) {
        if ((rc = tls_look(file, false)) != 0)
            return rc;
        if (lib->SSL_CTX_load_verify_file(t->ctx, file) != 1)
            return blob_fail(-EINVAL, 0, "ca_file %.160s is no file of certificates in PEM: %s", file,
                             wb_libssl_reason(lib));
    }
    if (dir != NULL) {
        if ((rc = tls_look(dir, true)) != 0)
            return rc;
        /* To OpenSSL that is a list: it would trust what lies in folders that nobody named. */
        if (strchr(dir, ':') != NULL)
            return blob_fail(-EINVAL, 0, "ca_dir %.160s: OpenSSL takes no name with a colon", dir);
        if (lib->SSL_CTX_load_verify_dir(t->ctx, dir) != 1)
            return blob_fail(-EINVAL, 0, "ca_dir %.160s: %s", dir, wb_libssl_reason(lib));
    }
    return 0;
}

static int tls_start(wb_tls *t, const blob_tls_options *o)
{
    const wb_libssl *lib = &t->lib;
    X509_VERIFY_PARAM *param;

    /* Before any other call, the clearing of errors too: that would start it with its handler at exit. */
    if (lib->OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL) != 1)
        return blob_fail(-EIO, 0, "OpenSSL does not start: %s", wb_libssl_reason(lib));
    lib->ERR_clear_error();
    if ((t->ctx = lib->SSL_CTX_new(lib->TLS_client_method())) == NULL)
        return blob_fail(-EIO, 0, "OpenSSL does not start: %s", wb_libssl_reason(lib));
    /* The system's configuration may have asked for more by now. */
    if (lib->SSL_CTX_ctrl(t->ctx, SSL_CTRL_GET_MIN_PROTO_VERSION, 0, NULL) < TLS1_2_VERSION &&
        lib->SSL_CTX_ctrl(t->ctx, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, NULL) != 1)
        return blob_fail(-EIO, 0, "OpenSSL does not know TLS 1.2: %s", wb_libssl_reason(lib));
    lib->SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* Connections that are kept idle need no buffers. */
    (void)lib->SSL_CTX_ctrl(t->ctx, SSL_CTRL_MODE, SSL_MODE_RELEASE_BUFFERS, NULL);
    lib->SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
    param = lib->SSL_CTX_get0_param(t->ctx);
    /* What the host names as trusted is, even if it is no root. */
    if (lib->X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN) != 1)
        return blob_fail(-EIO, 0, "OpenSSL does not start: %s", wb_libssl_reason(lib));
    return tls_trust(t, o);
}

int wb_tls_open_on(blob_s3store_transport **out, const blob_tls_options *options, const wb_tls_base *base)
{
    blob_tls_options o;
    wb_tls *t;
    int rc;

    if (out == NULL)
        return blob_fail(-EINVAL, 0, "blob_tls_open: no out");
    *out = NULL;
    if ((rc = tls_options_take(&o, options)) != 0)
        return rc;
    if ((t = calloc(1, sizeof *t)) == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for a transport");
    if ((rc = wb_libssl_load(&t->lib, base->library)) != 0) {
        free(t);
        return rc;
    }
    t->wire = base->wire;
    t->transport = (blob_s3store_transport){
        .struct_size = sizeof t->transport,
        .scheme = "https",
        .arg = t,
        .connect = wb_tls_connect,
        .read = wb_tls_read,
        .write = wb_tls_write,
        .close = wb_tls_close,
    };
    if ((rc = tls_start(t, &o)) == 0)
        *out = &t->transport;
    else
        blob_tls_close(&t->transport);
    return rc;
}

int blob_tls_open(blob_s3store_transport **out, const blob_tls_options *options)
{
    const wb_tls_base base = {.library = "libssl.so.3", .wire = blob_s3store_tcp()};

    return wb_tls_open_on(out, options, &base);
}

void blob_tls_close(blob_s3store_transport *t)
{
    wb_tls *tls;

    if (t == NULL)
        return;
    tls = t->arg;
    tls->lib.SSL_CTX_free(tls->ctx);
    wb_libssl_unload(&tls->lib);
    free(tls);
}
