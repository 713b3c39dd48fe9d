/* s3sim_check.c - what s3sim asks of a request before it does anything: who signed what, when and for which region. Signatures
 * themselves are not computed; all that goes into one is looked at, as strictly as a server that computes it. */
#include "s3sim_int.h"

#include <wbstore/blob.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SC_SKEW_S (15 * 60)

/* The parts of an Authorization field, cut into strings. */
typedef struct sc_signed {
    char text[2048];
    char *key, *date, *region;
    char *fields; /* a;b;c */
} sc_signed;

static bool sc_refuse(sim_call *call, unsigned status, const char *code, const char *message)
{
    sim_error(call, status, code, message, "");
    return false;
}

/* ---- times and text ------------------------------------------------------------------------------------------ */

/* Days from 1970 to a date of the Gregorian calendar, years counted from March. */
static int64_t sc_days(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month > 2 ? year : year - 1, m = (month + 9) % 12;

    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

/* "20130524T000000Z"; -1: something else. */
static int64_t sc_time(const char *stamp)
{
    unsigned year, month, day, hour, minute, second;
    char again[32];

    if (strlen(stamp) != 16 || sscanf(stamp, "%4u%2u%2uT%2u%2u%2uZ", &year, &month, &day, &hour, &minute, &second) != 6)
        return -1;
    snprintf(again, sizeof again, "%04u%02u%02uT%02u%02u%02uZ", year, month, day, hour, minute, second);
    if (strcmp(stamp, again) != 0)
        return -1;
    return sc_days(year, month, day) * 86400 + hour * INT64_C(3600) + minute * INT64_C(60) + second;
}

static bool sc_is_hex(const char *text, size_t digits)
{
    return strlen(text) == digits && strspn(text, "0123456789abcdef") == digits;
}

static bool sc_unreserved(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~", c) != NULL);
}

bool sim_decode(const char *text, size_t size, bool slashes, char *out, size_t *out_size)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t done = 0;

    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '%') {
            const char *high = size - i > 2 ? strchr(digits, text[i + 1]) : NULL;
            const char *low = size - i > 2 ? strchr(digits, text[i + 2]) : NULL;
            if (high == NULL || low == NULL)
                return false;
            c = (unsigned char)((high - digits) * 16 + (low - digits));
            if (c == '\0' || sc_unreserved(c) || (slashes && c == '/'))
                return false;
            i += 2;
        } else if (!sc_unreserved(c) && !(slashes && c == '/')) {
            return false;
        }
        out[done++] = (char)c;
    }
    *out_size = done;
    return true;
}

/* ---- the signature's scope ----------------------------------------------------------------------------------- */

/* What lies behind name= in *rest, which then lies behind the separator; NULL: it does not begin so. */
static char *sc_part(char **rest, const char *name)
{
    size_t size = strlen(name);
    char *value, *end;

    if (*rest == NULL || strncmp(*rest, name, size) != 0)
        return NULL;
    value = *rest + size;
    end = strchr(value, ',');
    if (end != NULL)
        *end++ = '\0';
    *rest = end != NULL ? end + strspn(end, " ") : NULL;
    return value;
}

static bool sc_parse(const char *authorization, sc_signed *out)
{
    static const char scheme[] = "AWS4-HMAC-SHA256 ";
    char *rest = out->text, *scope, *signature, *end = NULL;
    const char *service, *last;

    if (strlen(authorization) >= sizeof out->text || strncmp(authorization, scheme, sizeof scheme - 1) != 0)
        return false;
    memcpy(out->text, authorization, strlen(authorization) + 1);
    rest += sizeof scheme - 1;
    scope = sc_part(&rest, "Credential=");
    out->fields = sc_part(&rest, "SignedHeaders=");
    signature = sc_part(&rest, "Signature=");
    if (scope == NULL || out->fields == NULL || signature == NULL || rest != NULL || !sc_is_hex(signature, 64))
        return false;
    out->key = strtok_r(scope, "/", &end);
    out->date = strtok_r(NULL, "/", &end);
    out->region = strtok_r(NULL, "/", &end);
    service = strtok_r(NULL, "/", &end);
    last = strtok_r(NULL, "/", &end);
    return service != NULL && last != NULL && strtok_r(NULL, "/", &end) == NULL && strcmp(service, "s3") == 0 &&
           strcmp(last, "aws4_request") == 0;
}

/* Is this field among the signed ones? */
static bool sc_is_signed(const sc_signed *given, const char *name)
{
    size_t size = strlen(name);

    for (const char *at = given->fields; *at != '\0'; at += strcspn(at, ";"), at += *at == ';')
        if (strcspn(at, ";") == size && strncasecmp(at, name, size) == 0)
            return true;
    return false;
}

/* The list of signed fields: sorted, each there once and in the request; and it has all that it must. */
static bool sc_check_fields(sim_call *call, const sc_signed *given)
{
    const http_request *r = call->request;
    char names[sizeof given->text], *end = NULL;
    const char *before = "";

    memcpy(names, given->fields, strlen(given->fields) + 1);
    for (char *name = strtok_r(names, ";", &end); name != NULL; name = strtok_r(NULL, ";", &end)) {
        if (strcmp(before, name) >= 0 || http_request_field(r, name) == NULL)
            return sc_refuse(call, 403, "SignatureDoesNotMatch", "SignedHeaders are not in order, or not there");
        before = name;
    }
    for (unsigned i = 0; i < r->fields_count; i++) {
        const char *name = r->fields[i].name;
        bool must = strcasecmp(name, "host") == 0 || strncasecmp(name, "x-amz-", 6) == 0;
        if (must && !sc_is_signed(given, name))
            return sc_refuse(call, 403, "AccessDenied",
                             "There were headers present in the request which were not signed");
    }
    return true;
}

static bool sc_check_time(sim_call *call, const sc_signed *given)
{
    const char *stamp = http_request_field(call->request, "x-amz-date");
    int64_t time_s = stamp != NULL ? sc_time(stamp) : -1;
    char more[256], server[32];

    if (stamp == NULL || time_s < 0)
        return sc_refuse(call, 403, "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header");
    if (strlen(given->date) != 8 || strncmp(given->date, stamp, 8) != 0)
        return sc_refuse(call, 400, "AuthorizationHeaderMalformed", "Invalid credential date");
    if (time_s >= call->now_s - SC_SKEW_S && time_s <= call->now_s + SC_SKEW_S)
        return true;
    sim_time_text(call->now_s, server);
    memcpy(strchr(server, '.'), "Z", 2); /* this one comes without a fraction */
    snprintf(more, sizeof more, "<RequestTime>%s</RequestTime>%s%s%s", stamp,
             call->settings.server_time_unsaid ? "" : "<ServerTime>", call->settings.server_time_unsaid ? "" : server,
             call->settings.server_time_unsaid ? "" : "</ServerTime>");
    sim_error(call, 403, "RequestTimeTooSkewed",
              "The difference between the request time and the current time is too large.", more);
    return false;
}

static bool sc_check_region(sim_call *call, const sc_signed *given)
{
    const s3sim_settings *set = &call->settings;
    char message[256], more[128] = "";

    if (strcmp(given->region, set->region) == 0)
        return true;
    if (set->region_unsaid)
        return sc_refuse(call, 400, "AuthorizationHeaderMalformed", "The authorization header is malformed.");
    snprintf(message, sizeof message,
             "The authorization header is malformed; the region '%.60s' is wrong; expecting '%.60s'", given->region,
             set->region);
    snprintf(more, sizeof more, "<Region>%.60s</Region>", set->region);
    sim_fields(call, "x-amz-bucket-region: %s", set->region);
    sim_error(call, 400, "AuthorizationHeaderMalformed", message, more);
    return false;
}

static bool sc_check_signer(sim_call *call)
{
    const char *authorization = http_request_field(call->request, "authorization");
    const char *token = http_request_field(call->request, "x-amz-security-token");
    sc_signed given;

    if (authorization == NULL)
        return sc_refuse(call, 403, "AccessDenied", "Access Denied");
    if (!sc_parse(authorization, &given))
        return sc_refuse(call, 400, "AuthorizationHeaderMalformed", "The authorization header is malformed.");
    if (strcmp(given.key, call->settings.access_key) != 0)
        return sc_refuse(call, 403, "InvalidAccessKeyId",
                         "The AWS Access Key Id you provided does not exist in our records.");
    if (token != NULL && call->settings.expired_token != NULL && strcmp(token, call->settings.expired_token) == 0)
        return sc_refuse(call, 400, "ExpiredToken", "The provided token has expired.");
    return sc_check_region(call, &given) && sc_check_time(call, &given) && sc_check_fields(call, &given);
}

/* ---- the rest ------------------------------------------------------------------------------------------------ */

static bool sc_check_body(sim_call *call)
{
    const char *said = http_request_field(call->request, "x-amz-content-sha256");
    unsigned char digest[32];
    char hex[65];

    if (said == NULL)
        return sc_refuse(call, 400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256");
    if (strcmp(said, "UNSIGNED-PAYLOAD") == 0)
        return true;
    if (!sc_is_hex(said, 64))
        return sc_refuse(call, 400, "InvalidArgument",
                         "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, or a valid sha256");
    if (call->settings.unchecked)
        return true;
    blob_hash_sha256()->digest(call->request->body, call->request->body_size, digest);
    blob_key_hex(blob_key_of(digest, sizeof digest), hex);
    return strcmp(said, hex) == 0 ||
           sc_refuse(call, 400, "XAmzContentSHA256Mismatch",
                     "The provided 'x-amz-content-sha256' header does not match what was computed.");
}

/* Which object of which bucket is meant. */
static bool sc_check_place(sim_call *call)
{
    const char *bucket = call->settings.bucket, *host = http_request_field(call->request, "host");
    const char *path = call->request->path + 1;
    size_t size = strlen(bucket), named;
    char more[320];

    if (strncmp(host, bucket, size) != 0 || host[size] != '.') { /* path style */
        named = strcspn(path, "/");
        if (named == 0)
            return sc_refuse(call, 405, "MethodNotAllowed",
                             "The specified method is not allowed against this resource.");
        if (named != size || strncmp(path, bucket, size) != 0) {
            snprintf(more, sizeof more, "<BucketName>%.*s</BucketName>", (int)(named < 255 ? named : 255), path);
            sim_error(call, 404, "NoSuchBucket", "The specified bucket does not exist", more);
            return false;
        }
        path += size + (path[size] == '/');
    }
    size = strlen(path);
    if (size > 3 * SIM_NAME_MAX)
        return sc_refuse(call, 400, "KeyTooLongError", "Your key is too long");
    {
        char name[3 * SIM_NAME_MAX + 1];
        if (!sim_decode(path, size, true, name, &call->name_size))
            return sc_refuse(call, 403, "SignatureDoesNotMatch", "The path is not encoded as signatures have it");
        if (call->name_size > SIM_NAME_MAX)
            return sc_refuse(call, 400, "KeyTooLongError", "Your key is too long");
        memcpy(call->name, name, call->name_size);
        call->name[call->name_size] = '\0';
    }
    return true;
}

bool sim_check(sim_call *call)
{
    return sc_check_signer(call) && sc_check_place(call) && sc_check_body(call);
}
