/* sign.c - AWS Signature Version 4, as S3 takes it in the Authorization field.
 *
 *     canonical request   what is sent, in one fixed form: method, path, query, fields, the names of the fields, payload's hash
 *     string to sign      when, for which day and region ("the scope"), and the hash of the canonical request
 *     signing key         the secret, hashed with the day, the region, the service: so a leaked one is worth a day
 *     signature           the one hashed with the other
 *
 * The key is made anew for each request: four short hashes are cheaper than a place to keep, guard and wipe it. Whatever
 * the secret went through is wiped. */
#include "s3store/s3store.h"

#include <string.h>

#define HMAC_BLOCK 64
#define SIGN_DAY 8                          /* "20130524" */
#define SIGN_TIME_MAX INT64_C(253402300799) /* the last second of the year 9999 */

bool s3_hmac_sha256(const void *key, size_t key_size, const void *data, size_t size, unsigned char out[32])
{
    const blob_hash *hash = blob_hash_sha256();
    unsigned char inner[HMAC_BLOCK + S3_HMAC_DATA_MAX] = {0}, outer[HMAC_BLOCK + 32] = {0};

    if (size > S3_HMAC_DATA_MAX) {
        memset(out, 0, 32);
        return false;
    }
    if (key_size > HMAC_BLOCK)
        hash->digest(key, key_size, outer);
    else if (key_size > 0)
        memcpy(outer, key, key_size);
    for (size_t i = 0; i < HMAC_BLOCK; i++) {
        inner[i] = outer[i] ^ 0x36;
        outer[i] ^= 0x5c;
    }
    if (size > 0)
        memcpy(inner + HMAC_BLOCK, data, size);
    hash->digest(inner, HMAC_BLOCK + size, outer + HMAC_BLOCK);
    hash->digest(outer, sizeof outer, out);
    s3_wipe(inner, sizeof inner);
    s3_wipe(outer, sizeof outer);
    return true;
}

static void sign_digits(char *to, unsigned count, int64_t number)
{
    for (; count > 0; number /= 10)
        to[--count] = (char)('0' + number % 10);
}

/* By the calendar of date.c: libc's gmtime_r looks for the time zone in the environment, and in a file. */
void s3_sign_time(int64_t now_s, char stamp[17])
{
    const int64_t now = now_s < 0 ? 0 : now_s > SIGN_TIME_MAX ? SIGN_TIME_MAX : now_s, day = 86400;
    unsigned year = 1970 + (unsigned)(now / (366 * day)), month = 1;

    while (year < 9999 && s3_utc(year + 1, 1, 1, 0, 0, 0) <= now)
        year++;
    while (month < 12 && s3_utc(year, month + 1, 1, 0, 0, 0) <= now)
        month++;
    memcpy(stamp, "yyyymmddThhmmssZ", 17);
    sign_digits(stamp, 4, year);
    sign_digits(stamp + 4, 2, month);
    sign_digits(stamp + 6, 2, (now - s3_utc(year, month, 1, 0, 0, 0)) / day + 1);
    sign_digits(stamp + 9, 2, now / 3600 % 24);
    sign_digits(stamp + 11, 2, now / 60 % 60);
    sign_digits(stamp + 13, 2, now % 60);
}

static void sign_canonical_request(s3_text *t, const s3_request *r)
{
    s3_text_add(t, r->method);
    s3_text_add(t, "\n");
    s3_text_add(t, r->path);
    s3_text_add(t, "\n");
    s3_text_add(t, r->query);
    s3_text_add(t, "\n");
    for (size_t i = 0; i < r->fields_count; i++) {
        s3_text_add(t, r->fields[i].name);
        s3_text_add(t, ":");
        s3_text_add(t, r->fields[i].value);
        s3_text_add(t, "\n");
    }
    s3_text_add(t, "\n");
}

static void sign_names(s3_text *t, const s3_request *r)
{
    for (size_t i = 0; i < r->fields_count; i++) {
        s3_text_add(t, i > 0 ? ";" : "");
        s3_text_add(t, r->fields[i].name);
    }
}

static void sign_scope(s3_text *t, const char *stamp, const char *region)
{
    s3_text_add_bytes(t, stamp, SIGN_DAY);
    s3_text_add(t, "/");
    s3_text_add(t, region);
    s3_text_add(t, "/s3/aws4_request");
}

static bool sign_key(const char *secret, const char *stamp, const char *region, unsigned char key[32])
{
    s3_text first = {0};
    bool ok;

    s3_text_add(&first, "AWS4");
    s3_text_add(&first, secret);
    ok = !first.failed && s3_hmac_sha256(first.data, first.size, stamp, SIGN_DAY, key) &&
         s3_hmac_sha256(key, 32, region, strlen(region), key) && s3_hmac_sha256(key, 32, "s3", 2, key) &&
         s3_hmac_sha256(key, 32, "aws4_request", 12, key);
    s3_text_free(&first);
    return ok;
}

void s3_sign(s3_text *out, const s3_request *request, const s3_credentials *credentials, const char *region,
             int64_t now_s)
{
    s3_text canonical = {0}, to_sign = {0};
    unsigned char digest[32] = {0}, key[32] = {0};
    char stamp[17];
    bool ok;

    s3_sign_time(now_s, stamp);
    sign_canonical_request(&canonical, request);
    sign_names(&canonical, request);
    s3_text_add(&canonical, "\n");
    s3_text_add(&canonical, request->payload_hash);
    if (!canonical.failed)
        blob_hash_sha256()->digest(canonical.data, canonical.size, digest);
    s3_text_add(&to_sign, "AWS4-HMAC-SHA256\n");
    s3_text_add(&to_sign, stamp);
    s3_text_add(&to_sign, "\n");
    sign_scope(&to_sign, stamp, region);
    s3_text_add(&to_sign, "\n");
    s3_text_add_hex(&to_sign, digest, sizeof digest);
    ok = !canonical.failed && !to_sign.failed && sign_key(credentials->secret_key, stamp, region, key) &&
         s3_hmac_sha256(key, sizeof key, to_sign.data, to_sign.size, digest);
    if (ok) {
        s3_text_add(out, "AWS4-HMAC-SHA256 Credential=");
        s3_text_add(out, credentials->access_key);
        s3_text_add(out, "/");
        sign_scope(out, stamp, region);
        s3_text_add(out, ", SignedHeaders=");
        sign_names(out, request);
        s3_text_add(out, ", Signature=");
        s3_text_add_hex(out, digest, sizeof digest);
    } else {
        out->failed = true;
    }
    s3_wipe(key, sizeof key);
    s3_text_free(&canonical); /* holds the session token */
    s3_text_free(&to_sign);
}
