/* credentials.c - a set of credentials, shared by the calls that use it.
 *
 * A call takes a hold on the set that is current when it begins, so that replacing it needs to wait for nobody; the
 * last hold wipes it. No message names a part of it. */
#include "s3store/s3store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void cred_free(char *secret)
{
    if (secret != NULL)
        s3_wipe(secret, strlen(secret));
    free(secret);
}

/* A field of a head can hold it, and nothing in the field is cut in two by it. A secret is not sent, so blanks in it do
 * no harm; but a line's end there comes from reading it carelessly. */
static bool cred_fits(const char *text, bool sent)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++)
        if (*c < ' ' || *c == 0x7f || (sent && (*c == ' ' || *c > 0x7f)))
            return false;
    return true;
}

static int cred_check(const char *text, const char *name, bool sent)
{
    if (text == NULL || text[0] == '\0')
        return blob_fail(-EINVAL, 0, "s3store: no %s", name);
    if (!cred_fits(text, sent))
        return blob_fail(-EINVAL, 0, "s3store: characters in the %s that cannot be in one; a line's end, perhaps",
                         name);
    return 0;
}

int s3_credentials_new(s3_credentials **out, const char *access_key, const char *secret_key, const char *session_token)
{
    bool has_token = session_token != NULL && session_token[0] != '\0';
    s3_credentials *c;
    int rc;

    *out = NULL;
    if ((rc = cred_check(access_key, "access_key", true)) != 0 ||
        (rc = cred_check(secret_key, "secret_key", false)) != 0 ||
        (has_token && (rc = cred_check(session_token, "session_token", true)) != 0))
        return rc;
    if ((c = calloc(1, sizeof *c)) == NULL)
        return blob_fail(-ENOMEM, 0, "s3store: no memory for credentials");
    atomic_init(&c->refs, 1);
    c->access_key = strdup(access_key);
    c->secret_key = strdup(secret_key);
    c->session_token = has_token ? strdup(session_token) : NULL;
    if (c->access_key == NULL || c->secret_key == NULL || (has_token && c->session_token == NULL)) {
        s3_credentials_unref(c);
        return blob_fail(-ENOMEM, 0, "s3store: no memory for credentials");
    }
    *out = c;
    return 0;
}

s3_credentials *s3_credentials_ref(s3_credentials *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void s3_credentials_unref(s3_credentials *c)
{
    if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    cred_free(c->access_key);
    cred_free(c->secret_key);
    cred_free(c->session_token);
    free(c);
}
