/* libssl.c - loads the system's OpenSSL.
 *
 * RTLD_NODELETE: libcrypto has a destructor for what it keeps of each thread. Were it unloaded, the next thread to end
 * would jump into nothing. So it is never unmapped; the handle is dropped all the same, and a later load finds it where it
 * is. RTLD_LOCAL: its names stay out of the way of whatever else the host has linked. */
#include "tls/libssl.h"

#include <dlfcn.h>
#include <string.h>
#include <wbstore/blob.h>

typedef struct libssl_name {
    const char *name;
    size_t offset; /* of its pointer in wb_libssl */
} libssl_name;
#define LIBSSL_NAME(function)                                                                                          \
    {                                                                                                                  \
#function, offsetof(wb_libssl, function)                                                                       \
    }

static const libssl_name libssl_names[] = {
    LIBSSL_NAME(OPENSSL_init_ssl),
    LIBSSL_NAME(TLS_client_method),
    LIBSSL_NAME(SSL_CTX_new),
    LIBSSL_NAME(SSL_CTX_free),
    LIBSSL_NAME(SSL_CTX_ctrl),
    LIBSSL_NAME(SSL_CTX_set_options),
    LIBSSL_NAME(SSL_CTX_set_verify),
    LIBSSL_NAME(SSL_CTX_get0_param),
    LIBSSL_NAME(SSL_CTX_load_verify_file),
    LIBSSL_NAME(SSL_CTX_load_verify_dir),
    LIBSSL_NAME(SSL_CTX_set_default_verify_paths),
    LIBSSL_NAME(SSL_new),
    LIBSSL_NAME(SSL_free),
    LIBSSL_NAME(SSL_ctrl),
    LIBSSL_NAME(SSL_set_bio),
    LIBSSL_NAME(SSL_get0_param),
    LIBSSL_NAME(SSL_set1_host),
    LIBSSL_NAME(SSL_connect),
    LIBSSL_NAME(SSL_read_ex),
    LIBSSL_NAME(SSL_write_ex),
    LIBSSL_NAME(SSL_shutdown),
    LIBSSL_NAME(SSL_get_error),
    LIBSSL_NAME(SSL_get_verify_result),
    /* libcrypto */
    LIBSSL_NAME(BIO_new),
    LIBSSL_NAME(BIO_s_mem),
    LIBSSL_NAME(BIO_free),
    LIBSSL_NAME(BIO_write),
    LIBSSL_NAME(BIO_ctrl),
    LIBSSL_NAME(X509_VERIFY_PARAM_set_flags),
    LIBSSL_NAME(X509_VERIFY_PARAM_set_hostflags),
    LIBSSL_NAME(X509_VERIFY_PARAM_set1_ip_asc),
    LIBSSL_NAME(X509_verify_cert_error_string),
    LIBSSL_NAME(ERR_clear_error),
    LIBSSL_NAME(ERR_peek_error),
    LIBSSL_NAME(ERR_reason_error_string),
};

#define LIBSSL_COUNT (sizeof libssl_names / sizeof libssl_names[0])
_Static_assert(LIBSSL_COUNT * sizeof(void (*)(void)) == offsetof(wb_libssl, handle), "every function has its name");
_Static_assert(sizeof(void *) == sizeof(void (*)(void)), "dlsym can tell where a function is");

/* A search goes on in what a library needs, so libcrypto need not be opened by its name: and should not, for where the
 * host has libssl open already, glibc then leaves some bytes behind. */
static int libssl_find(wb_libssl *lib, const char *library)
{
    void *found;

    for (size_t i = 0; i < LIBSSL_COUNT; i++) {
        found = dlsym(lib->handle, libssl_names[i].name);
        if (found == NULL)
            return blob_fail(BLOB_UNSUPPORTED, 0, "https needs OpenSSL 3: %.100s has no %s", library,
                             libssl_names[i].name);
        /* Neither a cast nor an assignment turns data pointers into those of functions in ISO C. */
        memcpy((char *)lib + libssl_names[i].offset, &found, sizeof found);
    }
    return 0;
}

int wb_libssl_load(wb_libssl *lib, const char *name)
{
    const char *why;
    int rc;

    memset(lib, 0, sizeof *lib);
    lib->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (lib->handle == NULL) {
        why = dlerror();
        return blob_fail(BLOB_UNSUPPORTED, 0,
                         "https needs OpenSSL 3: install it (Debian: libssl3; Fedora: openssl-libs). %s",
                         why != NULL ? why : name);
    }
    if ((rc = libssl_find(lib, name)) != 0)
        wb_libssl_unload(lib);
    return rc;
}

void wb_libssl_unload(wb_libssl *lib)
{
    dlclose(lib->handle);
}

const char *wb_libssl_reason(const wb_libssl *lib)
{
    unsigned long error = lib->ERR_peek_error();
    const char *reason = error != 0 ? lib->ERR_reason_error_string(error) : NULL;

    lib->ERR_clear_error();
    return reason != NULL ? reason : "OpenSSL gives no reason";
}
