/* url.c - stores by name: "log:DIR", "file:DIR", or plainly DIR; and "s3://BUCKET/PREFIX", which is no folder.
 *
 * A name with a scheme that is not in the table of scheme.c is refused: were it taken for a folder, a misspelt scheme
 * would make one and be called a success. A folder with a colon in its name is written ./a:b.
 *
 * A plain folder is what is in it; only where there is no store yet does the caller say what it becomes. So a buffer
 * made when a plain folder was a file store goes on as one, and nothing in it is overlooked. A scheme that does not fit
 * what is there is refused for the same reason: the other store would look empty. Whoever has both in one folder must
 * say which. */
#include "cli/cli.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
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

/* "log:DIR and file:DIR": those of the kinds whose bits are set, with this folder; dir NULL: with what belongs there. */
static void url_list(char *text, size_t room, unsigned kinds, const char *between, const char *dir)
{
    text[0] = '\0';
    for (size_t i = 0; i < cli_schemes_count; i++) {
        size_t used = strlen(text);

        if ((kinds & 1u << i) != 0)
            snprintf(text + used, room - used, "%s%s%s", used == 0 ? "" : between, cli_schemes[i].prefix,
                     dir != NULL ? dir : cli_schemes[i].rest);
    }
}

/* The kinds of stores in dir, as bits; *locked: it has the LOCK that each of them makes before all else. false: it could
 * not be read to its end. */
static bool url_owners(const char *dir, unsigned *owners, bool *locked)
{
    const struct dirent *entry;
    DIR *names = opendir(dir);
    bool read;

    *owners = 0;
    *locked = false;
    if (names == NULL)
        return false;
    while (errno = 0, (entry = readdir(names)) != NULL) {
        *locked = *locked || strcmp(entry->d_name, "LOCK") == 0;
        for (size_t i = 0; i < cli_schemes_count; i++)
            if ((*owners & 1u << i) == 0 && cli_schemes[i].owns != NULL &&
                cli_schemes[i].owns(dirfd(names), entry->d_name))
                *owners |= 1u << i;
    }
    read = errno == 0;
    closedir(names);
    return read;
}

/* What is in the folder decides, or must agree. */
static int url_settle(cli *c, const char *what, bool plain, cli_place *place)
{
    const cli_scheme *owner = place->scheme;
    unsigned owners;
    char names[512];
    bool locked;

    (void)url_owners(place->dir, &owners, &locked); /* where that cannot be told, whoever opens it will see */
    if (owners == 0 || (!plain && (owners & 1u << (place->scheme - cli_schemes)) != 0))
        return 0;
    for (size_t i = 0; i < cli_schemes_count; i++)
        if ((owners & 1u << i) != 0)
            owner = &cli_schemes[i];
    url_list(names, sizeof names, owners, " or ", place->dir);
    if (plain && (owners & (owners - 1)) == 0) {
        place->scheme = owner;
        return 0;
    }
    if (plain)
        cli_say(c, "%s %s: more than one store is in that folder: write %s", what, place->url, names);
    else
        cli_say(c, "%s %s: %s is in that folder: write %s, or name another folder", what, place->url, owner->kind,
                names);
    return CLI_USAGE;
}

static int url_folder(cli *c, const char *what, bool plain, cli_place *place)
{
    const char *prefix = place->scheme->prefix;

    place->dir = place->name;
    if (place->dir[0] == '\0') {
        cli_say(c, "%s %s: no folder named: give a folder or %sDIR", what, place->url, prefix);
        return CLI_USAGE;
    }
    if (!plain && strncmp(place->dir, "//", 2) == 0 && place->dir[2] != '/') {
        cli_say(c, "%s %s: %s takes a folder, no host: write %sDIR", what, place->url, prefix, prefix);
        return CLI_USAGE;
    }
    return url_settle(c, what, plain, place);
}

int cli_place_parse(cli *c, const char *what, const char *url, const char *plain, cli_place *out)
{
    size_t length = url_scheme_length(url);
    char known[128];

    url_list(known, sizeof known, UINT_MAX, " and ", NULL);
    out->url = url;
    out->name = url + length;
    out->dir = NULL;
    out->scheme = length > 0 ? url_scheme(url, length) : url_scheme(plain, strlen(plain));
    if (out->scheme == NULL) {
        cli_say(c, "%s %s: unknown scheme %.*s known are a folder and %s; a folder of that name is ./%s", what, url,
                (int)length, url, known, url);
        return CLI_USAGE;
    }
    return out->scheme->owns != NULL ? url_folder(c, what, length == 0, out) : 0;
}

const char *cli_place_folder(const char *url)
{
    size_t length = url_scheme_length(url);
    const cli_scheme *scheme = url_scheme(url, length);

    return length == 0 || (scheme != NULL && scheme->owns != NULL) ? url + length : NULL;
}

bool cli_place_missing(const cli_place *place)
{
    struct stat st;

    return place->dir != NULL && stat(place->dir, &st) != 0 && errno == ENOENT;
}

bool cli_place_bare(const cli_place *place)
{
    unsigned owners;
    bool locked;

    return place->dir != NULL && url_owners(place->dir, &owners, &locked) && owners == 0 && !locked;
}

bool cli_place_same(const char *dir, const char *other)
{
    struct stat one, two;

    if (strcmp(dir, other) == 0)
        return true;
    return stat(dir, &one) == 0 && stat(other, &two) == 0 && one.st_dev == two.st_dev && one.st_ino == two.st_ino;
}
