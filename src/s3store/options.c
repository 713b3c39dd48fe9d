/* options.c - what a host asks for, checked and taken apart, before anything is made of it.
 *
 * Whatever is wrong is told here, in words that name the option; later it would be a server's 400 or a name that is not
 * found. An endpoint with a password in it is refused, for the endpoint stands in every message. */
#include "s3store/s3store.h"
#include "blob/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A key's name always fits into the 1,024 bytes that S3 has for one. */
_Static_assert(S3_PREFIX_MAX + 2 * BLOB_KEY_MAX <= 1024, "names fit");

static const char opt_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

static bool opt_is_name(const char *text, size_t size, const char *marks)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\0' || (strchr(opt_letters, text[i]) == NULL && strchr(marks, text[i]) == NULL))
            return false;
    return true;
}

static int opt_bad(const char *what)
{
    return blob_fail(-EINVAL, 0, "options of blob_s3store_open: %s", what);
}

/* What stands between "://" and the end. */
typedef struct opt_parts {
    bool https;
    const char *host; /* brackets included */
    size_t host_size;
    const char *port; /* NULL: the default */
    size_t port_size;
} opt_parts;

static int opt_split(const char *endpoint, opt_parts *out)
{
    const char *rest, *end, *colon;

    memset(out, 0, sizeof *out);
    if (endpoint == NULL || endpoint[0] == '\0')
        return opt_bad("no endpoint");
    out->https = strncmp(endpoint, "https://", 8) == 0;
    if (!out->https && strncmp(endpoint, "http://", 7) != 0)
        return opt_bad("endpoint begins neither with http:// nor with https://");
    rest = endpoint + (out->https ? 8 : 7);
    end = rest + strcspn(rest, "/?#");
    if (memchr(rest, '@', (size_t)(end - rest)) != NULL)
        return opt_bad("endpoint holds a user or a password; they belong into access_key and secret_key");
    if (end[0] != '\0' && strcmp(end, "/") != 0)
        return opt_bad("endpoint has something behind the host; bucket and prefix are options of their own");
    out->host = rest;
    colon = rest[0] == '[' ? memchr(rest, ']', (size_t)(end - rest)) : rest;
    if (colon == NULL)
        return opt_bad("endpoint has a [ without ]");
    colon = memchr(colon, ':', (size_t)(end - colon));
    out->host_size = (size_t)((colon != NULL ? colon : end) - rest);
    if (colon != NULL) {
        out->port = colon + 1;
        out->port_size = (size_t)(end - out->port);
    }
    return 0;
}

/* *digits: it is an address, not a name. host: without brackets. */
static int opt_host(const opt_parts *parts, char host[256], bool *digits)
{
    unsigned char address[sizeof(struct in6_addr)];
    size_t size = parts->host_size;
    bool six = size > 0 && parts->host[0] == '[';

    if (size == 0 || size > 253)
        return opt_bad(size == 0 ? "endpoint has no host" : "endpoint has a host of more than 253 characters");
    if (six && parts->host[size - 1] != ']')
        return opt_bad("endpoint has something between ] and the port");
    if (six)
        size -= 2;
    memcpy(host, parts->host + six, size);
    host[size] = '\0';
    *digits = inet_pton(six ? AF_INET6 : AF_INET, host, address) == 1;
    if (six && !*digits)
        return opt_bad("endpoint has no IPv6 address between its brackets");
    if (!six && !opt_is_name(host, size, "-._"))
        return opt_bad("endpoint has a host with characters that no host has; an IPv6 address goes into brackets");
    return 0;
}

static int opt_port(const opt_parts *parts, char port[6])
{
    unsigned long number = 0;

    (void)snprintf(port, 6, "%s", parts->https ? "443" : "80");
    if (parts->port == NULL)
        return 0;
    for (size_t i = 0; i < parts->port_size && number <= 65535; i++) {
        if (parts->port[i] < '0' || parts->port[i] > '9')
            return opt_bad("endpoint has a port that is no number");
        number = number * 10 + (unsigned long)(parts->port[i] - '0');
    }
    if (number < 1 || number > 65535)
        return opt_bad("endpoint has a port that is not 1 to 65535");
    (void)snprintf(port, 6, "%lu", number);
    return 0;
}

static int opt_check_transport(const blob_s3store_options *o, bool https)
{
    const blob_s3store_transport *t = o->transport;

    if (t->struct_size < sizeof *t || t->scheme == NULL || t->connect == NULL || t->read == NULL || t->write == NULL ||
        t->close == NULL)
        return opt_bad("transport lacks a function, its scheme or its struct_size");
    if (strcmp(t->scheme, https ? "https" : "http") == 0)
        return 0;
    if (https)
        return blob_fail(BLOB_UNSUPPORTED, 0,
                         "an https:// endpoint needs a transport that can do TLS, such as that of wbstore-tls");
    return opt_bad("transport is not for an http:// endpoint");
}

static int opt_check_names(const blob_s3store_options *o)
{
    size_t bucket_size = o->bucket != NULL ? strlen(o->bucket) : 0;

    if (bucket_size == 0)
        return opt_bad("no bucket");
    if (bucket_size > 255 || !opt_is_name(o->bucket, bucket_size, ".-_") || strcmp(o->bucket, ".") == 0 ||
        strcmp(o->bucket, "..") == 0)
        return opt_bad("bucket must be 1 to 255 of a-z A-Z 0-9 . - _");
    if (strlen(o->prefix) > S3_PREFIX_MAX)
        return opt_bad("prefix has more than 512 bytes");
    if (strlen(o->region) > 63 || !opt_is_name(o->region, strlen(o->region), "-_."))
        return opt_bad("region must be up to 63 of a-z A-Z 0-9 . - _");
    return 0;
}

static int opt_check_numbers(const blob_s3store_options *o)
{
    if (o->host_style > 1)
        return opt_bad("host_style must be 0 or 1");
    if (o->keys_are_sha256 > 1)
        return opt_bad("keys_are_sha256 must be 0 or 1");
    if (o->connect_timeout_ms < 0 || o->idle_timeout_ms < 0 || o->total_timeout_ms < 0)
        return opt_bad("connect_timeout_ms, idle_timeout_ms and total_timeout_ms cannot be below 0");
    if (o->hash->digest == NULL || o->hash->size < 1 || o->hash->size > BLOB_ADDRESS_MAX)
        return opt_bad("hash has no digest, or a size that is not 1 to 64");
    /* The server would refuse every blob that cas_put stores. */
    if (o->keys_are_sha256 && o->hash != blob_hash_sha256() && o->hash->size == 32)
        return opt_bad("keys_are_sha256 with a hash of 32 bytes that is not blob_hash_sha256()");
    return 0;
}

static void opt_fill(blob_s3store_options *o)
{
    o->prefix = o->prefix != NULL ? o->prefix : "";
    o->region = o->region != NULL && o->region[0] != '\0' ? o->region : "us-east-1";
    o->hash = o->hash != NULL ? o->hash : blob_hash_sha256();
    o->blob_bytes_max = o->blob_bytes_max != 0 ? o->blob_bytes_max : S3_PUT_MAX;
    o->connections_kept = o->connections_kept != 0 ? o->connections_kept : 64;
    o->connect_timeout_ms = o->connect_timeout_ms != 0 ? o->connect_timeout_ms : 10000;
    o->idle_timeout_ms = o->idle_timeout_ms != 0 ? o->idle_timeout_ms : 30000;
    o->total_timeout_ms = o->total_timeout_ms != 0 ? o->total_timeout_ms : 60000;
    o->bytes_per_s_min = o->bytes_per_s_min != 0 ? o->bytes_per_s_min : 65536;
    o->in_doubt_ms = o->in_doubt_ms != 0 ? o->in_doubt_ms : 60000;
    o->transport = o->transport != NULL ? o->transport : blob_s3store_tcp();
}

/* The texts that a request and a message are made of. */
static int opt_texts(s3store *s, const blob_s3store_options *o, const opt_parts *parts, const s3_endpoint *endpoint)
{
    bool standard = strcmp(endpoint->port, parts->https ? "443" : "80") == 0;
    s3_text authority = {0}, base = {0}, bucket_path = {0}, where = {0};

    if (o->host_style) {
        s3_text_add(&authority, o->bucket);
        s3_text_add(&authority, ".");
    }
    s3_text_add_bytes(&authority, parts->host, parts->host_size);
    if (!standard) {
        s3_text_add(&authority, ":");
        s3_text_add(&authority, endpoint->port);
    }
    s3_text_add(&bucket_path, "/");
    if (!o->host_style)
        s3_text_add(&bucket_path, o->bucket);
    s3_text_add(&base, o->host_style || bucket_path.failed ? "" : bucket_path.data);
    s3_text_add(&base, "/");
    s3_text_add_encoded(&base, o->prefix, strlen(o->prefix), true);
    s3_text_add(&where, parts->https ? "https://" : "http://");
    s3_text_add(&where, authority.failed ? "" : authority.data);
    s3_text_add(&where, o->host_style || bucket_path.failed ? "" : bucket_path.data);
    s->authority = authority.data;
    s->bucket_path = bucket_path.data;
    s->base = base.data;
    s->where = where.data;
    s->prefix = strdup(o->prefix);
    return authority.failed || base.failed || bucket_path.failed || where.failed || s->prefix == NULL
               ? blob_fail(-ENOMEM, 0, "blob_s3store_open: no memory")
               : 0;
}

int s3_options_read(s3store *s, const blob_s3store_options *from, blob_s3store_options *known, s3_endpoint *endpoint)
{
    opt_parts parts;
    char host[256];
    bool digits = false;
    int rc;

    *known = blob_s3store_options_default();
    if (from == NULL)
        return opt_bad("there are none");
    if ((rc = wb_options_copy(known, sizeof *known, from, from->struct_size)) != 0)
        return rc;
    opt_fill(known);
    if ((rc = opt_split(known->endpoint, &parts)) != 0 || (rc = opt_host(&parts, host, &digits)) != 0 ||
        (rc = opt_port(&parts, endpoint->port)) != 0 || (rc = opt_check_names(known)) != 0 ||
        (rc = opt_check_numbers(known)) != 0 || (rc = opt_check_transport(known, parts.https)) != 0)
        return rc;
    if (known->host_style && (digits || strlen(known->bucket) + 1 + strlen(host) > 253))
        return opt_bad(digits ? "host_style needs an endpoint with a name, not an address"
                              : "host_style: bucket and host make a name of more than 253 characters");
    (void)snprintf(endpoint->host, sizeof endpoint->host, "%s%s%s", known->host_style ? known->bucket : "",
                   known->host_style ? "." : "", host);
    s->hash = known->hash;
    s->keys_are_sha256 = known->keys_are_sha256 != 0;
    s->blob_bytes_max = known->blob_bytes_max;
    s->in_doubt_ms = known->in_doubt_ms > 0 ? known->in_doubt_ms : 0;
    (void)snprintf(s->region, sizeof s->region, "%s", known->region);
    return opt_texts(s, known, &parts, endpoint);
}

void s3_options_free(s3store *s)
{
    free(s->authority);
    free(s->base);
    free(s->bucket_path);
    free(s->where);
    free(s->prefix);
}
