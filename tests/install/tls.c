/* tls.c - a program of somebody else's that wants object storage over https, to be built against the installed
 * libraries. Where there is no OpenSSL it must hear so. */
#include <stdio.h>
#include <wbstore/tls.h>
#include <wbstore/wbstore.h>

int main(void)
{
    blob_s3store_options o = blob_s3store_options_default();
    blob_s3store_transport *tls = NULL;
    blob_store *s = NULL;
    int rc = blob_tls_open(&tls, NULL), ok = rc == BLOB_UNSUPPORTED;

    if (rc == 0) {
        o.endpoint = "https://localhost";
        o.bucket = "bucket";
        o.access_key = o.secret_key = "key";
        o.transport = tls;
        ok = blob_s3store_open(&s, &o) == 0 && blob_store_close(s, NULL) == 0;
    }
    blob_tls_close(tls);
    puts(ok ? wbstore_version() : "failed");
    return !ok;
}
