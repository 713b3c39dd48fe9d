/* put.c - put, cas_put and delete: what is more than one request where the server does not help.
 *
 * A put that must not replace is one request with If-None-Match: *, if the server honours it. Whether it does, nobody
 * says: so the first such put (the others meanwhile do as if it did not) sends its blob a second time. 412: it does; 200:
 * it wrote the same bytes over themselves, so it does not, or somebody had deleted them in between; and a 501 may be a
 * proxy's. So a no is believed when it has been heard for two keys. From then on, and for servers that do not, such a put looks
 * first, and everything that changes a key does so under the key's hand (hand.c), a replace too: between our look and our
 * put nobody of this store comes in. Where the server honours it only deletes need the hand, for of two at once one must
 * find nothing, and a DELETE does not say what it found.
 *
 * A request that got no answer may still be carried out: so may the first of two, for the connection it went out on broke
 * while something behind it may still work. No call that has sent one returns success or a refusal, the trial included. */
#include "s3store/s3store.h"

#include <errno.h>
#include <string.h>

#define PUT_TRIAL_MAX ((size_t)16 << 20) /* a larger blob is not sent twice to learn something */

/* A put under way. */
typedef struct put_run {
    s3store *s;
    blob_ctx *ctx;
    blob_key key;
    blob_view data;
    s3_name name;
    char hash[65];    /* what the server is to check the bytes against, in hex */
    bool hash_is_key; /* it was not computed from them */
    bool silent;      /* the last request may have reached the server, and no answer says what became of it */
} put_run;

/* The bytes arrived, and the server says that they do not hash to what we said. Were they those of the key? */
static int put_explain_mismatch(const put_run *p, const s3_call *c, int status)
{
    unsigned char digest[32];

    if (status != BLOB_UNAVAILABLE || !p->hash_is_key ||
        (strcmp(c->error.code, "XAmzContentSHA256Mismatch") != 0 && strcmp(c->error.code, "BadDigest") != 0))
        return status;
    blob_hash_sha256()->digest(p->data.data, p->data.size, digest);
    if (memcmp(digest, p->key.data, sizeof digest) == 0)
        return status;
    return blob_fail(BLOB_CORRUPT, 0, "%s: PUT %.64s: the bytes do not hash to their key", p->s->where, p->name.text);
}

/* One PUT. if_absent: BLOB_EXISTS and BLOB_UNSUPPORTED are the server's answers to that. */
static int put_send(put_run *p, bool if_absent)
{
    s3_call c = {
        .method = "PUT",
        .name = p->name.text,
        .body = p->data,
        .payload_hash = p->hash,
        .if_none_match = if_absent,
        .answer_max = S3_ERROR_MAX,
    };
    int rc = s3_call_run(p->s, p->ctx, &c);

    p->silent = c.open;
    if (rc == 0 && c.head.status != 200) {
        rc = put_explain_mismatch(p, &c, s3_answer(p->s, p->ctx, &c));
        p->silent |= rc == BLOB_UNAVAILABLE || rc == -EIO;
    }
    rc = s3_call_settle(p->s, &c, rc);
    s3_call_end(&c);
    return rc;
}

/* The server does not honour it, by what it answered for this key. The first to say so is not believed yet. */
static int put_hear_no(put_run *p)
{
    s3store *s = p->s;
    int honours = S3_HONOURS_NOT;

    pthread_mutex_lock(&s->mutex);
    if (s->said_no.text[0] == '\0' || strcmp(s->said_no.text, p->name.text) == 0) {
        s->said_no = p->name;
        honours = S3_HONOURS_UNKNOWN;
    }
    pthread_mutex_unlock(&s->mutex);
    return honours;
}

static int put_hear_yes(put_run *p)
{
    pthread_mutex_lock(&p->s->mutex);
    p->s->said_no.text[0] = '\0';
    pthread_mutex_unlock(&p->s->mutex);
    return S3_HONOURS;
}

/* Sends what was just stored once more. What it says is about the server; it concerns the blob only where it may still be
 * carried out: then a delete that follows would not be lasting. */
static int put_try_twice(put_run *p, int *honours)
{
    int rc = put_send(p, true);

    if (p->silent)
        return rc;
    if (rc == BLOB_EXISTS)
        *honours = put_hear_yes(p);
    else if (rc == 0 || rc == BLOB_UNSUPPORTED)
        *honours = put_hear_no(p);
    return 0;
}

/* The key was absent a moment ago, and its hand is ours. */
static int put_where_absent(put_run *p)
{
    int before = S3_HONOURS_UNKNOWN, honours = S3_HONOURS_UNKNOWN, rc;
    atomic_int *known = &p->s->conditional;
    bool asking = p->data.size <= PUT_TRIAL_MAX && atomic_compare_exchange_strong(known, &before, S3_HONOURS_ASKED);

    /* Asked for in any case: another call may have found out meanwhile that it need not take the hand. */
    if (atomic_load(known) == S3_HONOURS_NOT)
        return put_send(p, false);
    rc = put_send(p, true);
    if (rc == BLOB_UNSUPPORTED) {
        honours = put_hear_no(p);
        rc = put_send(p, false);
    } else if (rc == BLOB_EXISTS) {
        honours = put_hear_yes(p);
    } else if (rc == 0 && asking) {
        rc = put_try_twice(p, &honours);
    }
    before = S3_HONOURS_ASKED;
    if (honours != S3_HONOURS_UNKNOWN)
        atomic_store(known, honours);
    else if (asking)
        (void)atomic_compare_exchange_strong(known, &before, S3_HONOURS_UNKNOWN);
    return rc;
}

/* Looks first. */
static int put_in_steps(put_run *p)
{
    uint64_t size;
    s3_hand hand;
    int rc = s3_hand_take(p->s, p->ctx, &hand, p->key);

    if (rc != 0)
        return rc;
    rc = s3_size(&p->s->store, p->ctx, p->key, &size);
    if (rc == 0)
        rc = blob_fail(BLOB_EXISTS, 0, "%s: %.64s is there", p->s->where, p->name.text);
    else if (rc == BLOB_NOT_FOUND)
        rc = put_where_absent(p);
    s3_hand_drop(p->s, &hand);
    return rc;
}

static int put_if_absent(put_run *p)
{
    int rc;

    if (atomic_load(&p->s->conditional) == S3_HONOURS) {
        rc = put_send(p, true);
        if (rc != BLOB_UNSUPPORTED)
            return rc;
        /* Even if it is not believed yet: this put has no condition, so the others must take the hand. */
        atomic_store(&p->s->conditional, put_hear_no(p));
    }
    return put_in_steps(p);
}

static int put_replace(put_run *p)
{
    s3_hand hand;
    int rc;

    if (atomic_load(&p->s->conditional) == S3_HONOURS)
        return put_send(p, false);
    if ((rc = s3_hand_take(p->s, p->ctx, &hand, p->key)) != 0)
        return rc;
    rc = put_send(p, false);
    s3_hand_drop(p->s, &hand);
    return rc;
}

/* hash: SHA-256 of data, where that is known already or the key says so; NULL: not known. */
static int put_begin(put_run *p, s3store *s, blob_ctx *ctx, blob_key key, blob_view data, const unsigned char *hash)
{
    unsigned char digest[32];
    uint64_t size = data.size; /* where a size_t has 32 bits none is too large */

    *p = (put_run){.s = s, .ctx = ctx, .key = key, .data = data};
    s3_name_of(key, &p->name);
    if (size > S3_PUT_MAX)
        return blob_fail(BLOB_REJECTED, 0, "%s: PUT %.64s: %zu bytes; one request sends 5 GiB at most", s->where,
                         p->name.text, data.size);
    if (hash == NULL) {
        blob_hash_sha256()->digest(data.data, data.size, digest);
        hash = digest;
    }
    blob_key_hex(blob_key_of(hash, sizeof digest), p->hash);
    return 0;
}

int s3_put(blob_store *store, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags)
{
    s3store *s = s3_of(store);
    bool hash_is_key = s->keys_are_sha256 && key.size == 32;
    put_run p;
    int rc = put_begin(&p, s, ctx, key, data, hash_is_key ? key.data : NULL);

    if (rc != 0)
        return rc;
    p.hash_is_key = hash_is_key;
    return (flags & BLOB_REPLACE) != 0 ? put_replace(&p) : put_if_absent(&p);
}

int s3_cas_key(blob_store *store, blob_ctx *ctx, blob_view data, blob_address *out)
{
    const blob_hash *hash = s3_of(store)->hash;

    (void)ctx; /* a digest cannot be called off half-way */
    hash->digest(data.data, data.size, out->bytes);
    out->size = hash->size;
    return 0;
}

int s3_cas_put(blob_store *store, blob_ctx *ctx, blob_view data, blob_address *out)
{
    s3store *s = s3_of(store);
    bool is_sha256 = s->hash == blob_hash_sha256();
    uint64_t size = 0;
    put_run p;
    int rc;

    (void)s3_cas_key(store, ctx, data, out);
    rc = put_begin(&p, s, ctx, blob_address_key(out), data, is_sha256 ? out->bytes : NULL);
    if (rc != 0 || (rc = put_if_absent(&p)) != BLOB_EXISTS)
        return rc;
    /* It is what we came to store, unless somebody else's tool left half of it there. */
    rc = s3_size(store, ctx, p.key, &size);
    if (rc == BLOB_NOT_FOUND || (rc == 0 && size != data.size))
        rc = put_replace(&p);
    return rc;
}

int s3_del(blob_store *store, blob_ctx *ctx, blob_key key, unsigned flags)
{
    s3store *s = s3_of(store);
    s3_name name;
    s3_call c = {.method = "DELETE", .name = name.text, .answer_max = S3_ERROR_MAX};
    uint64_t size;
    s3_hand hand;
    int rc;

    (void)flags; /* lazy or not is the same one request */
    s3_name_of(key, &name);
    if ((rc = s3_hand_take(s, ctx, &hand, key)) != 0)
        return rc;
    rc = s3_size(store, ctx, key, &size);
    if (rc == 0) {
        rc = s3_call_run(s, ctx, &c);
        if (rc == 0 && c.head.status != 204 && c.head.status != 200)
            rc = s3_answer(s, ctx, &c);
        if (rc == BLOB_NOT_FOUND) /* somebody else was faster */
            rc = 0;
        rc = s3_call_settle(s, &c, rc);
    }
    s3_call_end(&c);
    s3_hand_drop(s, &hand);
    return rc;
}
