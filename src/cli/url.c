/* url.c - stores by name: "file:DIR", or plainly DIR.
 *
 * A new store is one row of the table. A name with a scheme that is not in it is refused: were it taken for a folder,
 * a misspelt scheme would make one and be called a success. A folder with a colon in its name is written ./a:b. */
#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

typedef struct url_scheme {
    const char *prefix;
    const char *known; /* for the message that lists them */
} url_scheme;

static const url_scheme url_schemes[] = {{"file:", "file:DIR"}};
#define URL_SCHEMES (sizeof url_schemes / sizeof url_schemes[0])

/* Length of the scheme with its colon; 0: a plain path. */
static size_t url_scheme_length(const char *url)
{
    size_t length = strspn(url, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");

    return length > 0 && url[length] == ':' ? length + 1 : 0;
}

int cli_place_parse(cli *c, const char *what, const char *url, cli_place *out)
{
    size_t length = url_scheme_length(url);
    bool known = length == 0;

    out->url = url;
    out->dir = url + length;
    for (size_t i = 0; i < URL_SCHEMES; i++)
        if (length == strlen(url_schemes[i].prefix) && strncmp(url, url_schemes[i].prefix, length) == 0)
            known = true;
    if (!known) {
        cli_say(c, "%s %s: unknown scheme %.*s: known are a folder and %s; a folder of that name is ./%s", what, url,
                (int)length, url, url_schemes[0].known, url);
        return CLI_USAGE;
    }
    if (out->dir[0] == '\0') {
        cli_say(c, "%s %s: no folder named: give a folder or file:DIR", what, url);
        return CLI_USAGE;
    }
    if (length > 0 && strncmp(out->dir, "//", 2) == 0 && out->dir[2] != '/') {
        cli_say(c, "%s %s: file: takes a folder, no host: write file:DIR", what, url);
        return CLI_USAGE;
    }
    return 0;
}

int cli_place_open(const cli_place *place, blob_store **out)
{
    return blob_filestore_open(out, place->dir, NULL);
}

bool cli_place_missing(const cli_place *place)
{
    struct stat st;

    return stat(place->dir, &st) != 0 && errno == ENOENT;
}

bool cli_place_same(const cli_place *a, const cli_place *b)
{
    struct stat one, other;

    if (strcmp(a->dir, b->dir) == 0)
        return true;
    return stat(a->dir, &one) == 0 && stat(b->dir, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

/* filestore keeps the blob of a key of up to 64 bytes in DIR/ab/abcdef..., written once. */
int64_t cli_place_age_ms(const cli_place *place, blob_key key)
{
    char hex[2 * BLOB_KEY_MAX + 1], path[4096];
    struct timespec now;
    struct stat st;
    int64_t age;

    if (key.size == 0 || key.size > 64)
        return -1;
    blob_key_hex(key, hex);
    if (snprintf(path, sizeof path, "%s/%.2s/%s", place->dir, hex, hex) >= (int)sizeof path)
        return -1;
    if (stat(path, &st) != 0 || clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    age = ((int64_t)now.tv_sec - (int64_t)st.st_mtim.tv_sec) * 1000 + (now.tv_nsec - st.st_mtim.tv_nsec) / 1000000;
    return age > 0 ? age : 0;
}
