/* url.c - stores by name: "file:DIR", or plainly DIR.
 *
 * A name with a scheme that is not in the table of scheme.c is refused: were it taken for a folder, a misspelt scheme
 * would make one and be called a success. A folder with a colon in its name is written ./a:b. */
#include "cli/cli.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Length of the scheme with its colon; 0: a plain path. */
static size_t url_scheme_length(const char *url)
{
    size_t length = strspn(url, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");

    return length > 0 && url[length] == ':' ? length + 1 : 0;
}

/* NULL: none of that name. */
static const cli_scheme *url_scheme(const char *prefix, size_t length)
{
    for (size_t i = 0; i < cli_schemes_count; i++)
        if (length == strlen(cli_schemes[i].prefix) && strncmp(prefix, cli_schemes[i].prefix, length) == 0)
            return &cli_schemes[i];
    return NULL;
}

/* "log:DIR and file:DIR" */
static void url_known(char *text, size_t room)
{
    text[0] = '\0';
    for (size_t i = 0; i < cli_schemes_count; i++) {
        size_t used = strlen(text);

        snprintf(text + used, room - used, "%s%s", i == 0 ? "" : " and ", cli_schemes[i].form);
    }
}

int cli_place_parse(cli *c, const char *what, const char *url, cli_place *out)
{
    size_t length = url_scheme_length(url);
    char known[128];

    url_known(known, sizeof known);
    out->url = url;
    out->dir = url + length;
    out->scheme = length > 0 ? url_scheme(url, length) : url_scheme("file:", 5);
    if (out->scheme == NULL) {
        cli_say(c, "%s %s: unknown scheme %.*s: known are a folder and %s; a folder of that name is ./%s", what, url,
                (int)length, url, known, url);
        return CLI_USAGE;
    }
    if (out->dir[0] == '\0') {
        cli_say(c, "%s %s: no folder named: give a folder or %s", what, url, out->scheme->form);
        return CLI_USAGE;
    }
    if (length > 0 && strncmp(out->dir, "//", 2) == 0 && out->dir[2] != '/') {
        cli_say(c, "%s %s: %s takes a folder, no host: write %s", what, url, out->scheme->prefix, out->scheme->form);
        return CLI_USAGE;
    }
    return 0;
}

bool cli_place_missing(const cli_place *place)
{
    struct stat st;

    return stat(place->dir, &st) != 0 && errno == ENOENT;
}

bool cli_place_same(const char *dir, const char *other)
{
    struct stat one, two;

    if (strcmp(dir, other) == 0)
        return true;
    return stat(dir, &one) == 0 && stat(other, &two) == 0 && one.st_dev == two.st_dev && one.st_ino == two.st_ino;
}
