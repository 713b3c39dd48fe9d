/* s3.c - s3://BUCKET/PREFIX: object storage as a base.
 *
 * A name on a command line ends up in histories and in the list of processes, so it holds no secret; what else it takes
 * comes from the environment, under the names that the tools of AWS use. A prefix names what looks like a folder: it gets
 * the slash that it lacks. The blobs are named by their SHA-256, so the server checks every one that it is sent. */
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <wbstore/tls.h>

/* Long enough that what the library refuses as too long still is. */
typedef struct s3_settings {
    char bucket[300], prefix[600], endpoint[300];
    blob_s3store_options options;
} s3_settings;

/* One variable or the other; NULL: neither is set to anything. */
static const char *s3_variable(const char *name, const char *other)
{
    const char *value = getenv(name);

    if (value != NULL && value[0] != '\0')
        return value;
    return other != NULL ? s3_variable(other, NULL) : NULL;
}

/* Amazon wants the bucket in the host's name. It has a certificate for one label there: not for a bucket with a dot. */
static bool s3_wants_host_style(const char *endpoint, const char *bucket)
{
    return strstr(endpoint, ".amazonaws.com") != NULL && strchr(bucket, '.') == NULL;
}

/* name: "//BUCKET/PREFIX". */
static void s3_read(s3_settings *s, const char *name)
{
    const char *bucket = name + strlen("//"), *prefix = bucket + strcspn(bucket, "/");
    const char *endpoint = s3_variable("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL");
    const char *region = s3_variable("AWS_REGION", "AWS_DEFAULT_REGION");

    s->options = blob_s3store_options_default();
    snprintf(s->bucket, sizeof s->bucket, "%.*s", (int)(prefix - bucket), bucket);
    prefix += prefix[0] == '/';
    snprintf(s->prefix, sizeof s->prefix, "%s%s", prefix,
             prefix[0] != '\0' && prefix[strlen(prefix) - 1] != '/' ? "/" : "");
    if (endpoint != NULL)
        snprintf(s->endpoint, sizeof s->endpoint, "%s", endpoint);
    else
        snprintf(s->endpoint, sizeof s->endpoint, "https://s3.%s.amazonaws.com", region != NULL ? region : "us-east-1");
    s->options.endpoint = s->endpoint;
    s->options.bucket = s->bucket;
    s->options.prefix = s->prefix;
    s->options.region = region;
    s->options.access_key = s3_variable("AWS_ACCESS_KEY_ID", NULL);
    s->options.secret_key = s3_variable("AWS_SECRET_ACCESS_KEY", NULL);
    s->options.session_token = s3_variable("AWS_SESSION_TOKEN", NULL);
    s->options.host_style = s3_wants_host_style(s->endpoint, s->bucket);
    s->options.keys_are_sha256 = 1;
}

/* Once for a run: the stores of a run follow one another. */
static int s3_open_tls(cli *c)
{
    blob_tls_options options = blob_tls_options_default();

    options.ca_file = s3_variable("AWS_CA_BUNDLE", NULL);
    return c->tls != NULL ? 0 : blob_tls_open(&c->tls, &options);
}

int cli_s3_open(cli *c, blob_store **out, const char *name)
{
    s3_settings s;
    int rc;

    s3_read(&s, name);
    if (strncasecmp(s.endpoint, "https://", strlen("https://")) == 0) {
        if ((rc = s3_open_tls(c)) != 0)
            return rc;
        s.options.transport = c->tls;
    }
    return blob_s3store_open(out, &s.options);
}

static bool s3_is_mistake(int status)
{
    return status == -EINVAL || status == -ENOENT || status == -ENOTDIR || status == -EISDIR;
}

/* An option that the libraries will not have, or a file that is not there, is a mistake of whoever typed it, and told
 * before anything is done; so it is opened once to see. What else opening fails with, whoever needs the base will say. */
int cli_s3_check(cli *c, const char *what, const cli_place *place)
{
    blob_store *s = NULL;
    blob_error error;
    int rc;

    if (strncmp(place->name, "//", 2) != 0 || place->name[2] == '/' || place->name[2] == '\0') {
        cli_say(c, "%s %s: no bucket named: write s3://BUCKET/PREFIX", what, place->url);
        return CLI_USAGE;
    }
    if (s3_variable("AWS_ACCESS_KEY_ID", NULL) == NULL || s3_variable("AWS_SECRET_ACCESS_KEY", NULL) == NULL) {
        cli_say(c, "%s %s: no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", what, place->url);
        return CLI_USAGE;
    }
    rc = cli_s3_open(c, &s, place->name);
    if (rc == 0)
        (void)blob_store_close(s, NULL);
    if (!s3_is_mistake(rc))
        return 0;
    blob_last_error(&error);
    cli_say(c, "%s %s: %s: check it, and the AWS_ variables: `wbstore help` tells which", what, place->url, error.text);
    return CLI_USAGE;
}
