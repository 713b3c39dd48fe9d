/* s3store.c - a bucket of an object store as a blob_store: opening, closing, credentials, the table.
 *
 *     read.c put.c list.c    the operations: which requests they are made of
 *     answer.c               what an answer means
 *     call.c                 one request of S3: signed, sent, corrected once
 *     exchange.c pool.c ...  HTTP and connections (net.h)
 *
 * Nothing is kept here but connections: no index, no cache, no thread but that of a name's lookup. So whatever the store
 * answers the server has said, and any number of stores, on any number of machines, can share a bucket. */
#include "s3store/s3store.h"
#include "blob/store.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static const blob_store_ops s3_ops;

s3store *s3_of(blob_store *store)
{
    assert(store->ops == &s3_ops);
    return (s3store *)(void *)store;
}

static unsigned s3_traits(blob_store *store)
{
    return s3_of(store)->keys_are_sha256 ? BLOB_TRAIT_CHECKS_KEYS : 0;
}

static int64_t s3_in_doubt_ms(blob_store *store)
{
    return s3_of(store)->in_doubt_ms;
}

static void s3_free(s3store *s)
{
    s3_credentials_unref(s->credentials);
    s3_options_free(s);
    free(s);
}

static int s3_close(blob_store *store, blob_ctx *ctx)
{
    s3store *s = s3_of(store);

    (void)ctx; /* nothing to flush */
    s3_net_close(&s->net);
    pthread_cond_destroy(&s->hands_cond);
    pthread_mutex_destroy(&s->mutex);
    s3_free(s);
    return 0;
}

static const blob_store_ops s3_ops = {
    .struct_size = sizeof(blob_store_ops),
    .name = "s3store",
    .get = s3_get,
    .put = s3_put,
    .del = s3_del,
    .size = s3_size,
    .list = s3_list,
    .len = s3_len,
    .close = s3_close,
    .cas_key = s3_cas_key,
    .cas_put = s3_cas_put,
    .traits = s3_traits,
    .in_doubt_ms = s3_in_doubt_ms,
};

static int s3_make_locks(s3store *s)
{
    int rc = -pthread_mutex_init(&s->mutex, NULL);

    if (rc != 0)
        return blob_fail(rc, 0, "blob_s3store_open: cannot make its locks");
    if ((rc = blob_cond_init(&s->hands_cond)) != 0) {
        pthread_mutex_destroy(&s->mutex);
        return blob_fail(rc, 0, "blob_s3store_open: cannot make its locks");
    }
    return 0;
}

int blob_s3store_open(blob_store **out, const blob_s3store_options *options)
{
    blob_s3store_options known;
    s3_endpoint endpoint;
    s3_limits limits;
    s3store *s;
    int rc;

    if (out == NULL)
        return blob_fail(-EINVAL, 0, "blob_s3store_open needs an out");
    *out = NULL;
    if ((s = calloc(1, sizeof *s)) == NULL)
        return blob_fail(-ENOMEM, 0, "blob_s3store_open: no memory");
    s->store.ops = &s3_ops;
    if ((rc = s3_options_read(s, options, &known, &endpoint)) != 0 ||
        (rc = s3_credentials_new(&s->credentials, known.access_key, known.secret_key, known.session_token)) != 0 ||
        (rc = s3_make_locks(s)) != 0) {
        s3_free(s);
        return rc;
    }
    limits = (s3_limits){
        .connect_ms = known.connect_timeout_ms,
        .idle_ms = known.idle_timeout_ms,
        .total_ms = known.total_timeout_ms,
        .bytes_per_s_min = known.bytes_per_s_min,
    };
    rc = s3_net_open(&s->net, known.transport, endpoint.host, endpoint.port, &limits, known.connections_kept);
    if (rc != 0) {
        pthread_cond_destroy(&s->hands_cond);
        pthread_mutex_destroy(&s->mutex);
        s3_free(s);
        return rc;
    }
    *out = &s->store;
    return 0;
}

int blob_s3store_set_credentials(blob_store *store, const char *access_key, const char *secret_key,
                                 const char *session_token)
{
    s3_credentials *fresh, *old;
    s3store *s;
    int rc;

    if (store == NULL || store->ops != &s3_ops)
        return blob_fail(-EINVAL, 0, "blob_s3store_set_credentials: this is no s3store");
    if ((rc = s3_credentials_new(&fresh, access_key, secret_key, session_token)) != 0)
        return rc;
    s = s3_of(store);
    pthread_mutex_lock(&s->mutex);
    old = s->credentials;
    s->credentials = fresh;
    pthread_mutex_unlock(&s->mutex);
    s3_credentials_unref(old);
    return 0;
}
