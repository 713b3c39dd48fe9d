/* scheme.c - the kinds of stores: how each is opened, and what the command can find out about it.
 *
 * A new kind is one row of the table. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* Is this name in the folder a file or folder, as the type says? */
static bool scheme_is(int folder, const char *name, mode_t type)
{
    struct stat st;

    return fstatat(folder, name, &st, 0) == 0 && (st.st_mode & S_IFMT) == type;
}

static int file_open(cli *c, blob_store **out, const char *dir)
{
    (void)c;
    return blob_filestore_open(out, dir, NULL);
}

typedef struct file_oldest {
    const char *dir;
    blob_ctx *ctx;
    struct timespec now;
    int64_t age_ms;
} file_oldest;

/* A filestore keeps the blob of a key of up to 64 bytes in DIR/ab/abcdef..., written once. */
static bool file_place(blob_key key, char *name, size_t room)
{
    char hex[2 * BLOB_KEY_MAX + 1];

    if (key.size == 0)
        return snprintf(name, room, "empty-key") < (int)room;
    blob_key_hex(key, hex);
    return key.size <= 64 && snprintf(name, room, "%.2s/%s", hex, hex) < (int)room;
}

static int file_look(void *arg, blob_key key, uint64_t size)
{
    file_oldest *oldest = arg;
    char name[256], path[4096];
    struct stat st;
    int64_t age;

    (void)size;
    if (blob_ctx_status(oldest->ctx) != 0)
        return BLOB_LIST_STOP;
    if (!file_place(key, name, sizeof name) ||
        snprintf(path, sizeof path, "%s/%s", oldest->dir, name) >= (int)sizeof path || stat(path, &st) != 0)
        return 0;
    age = ((int64_t)oldest->now.tv_sec - (int64_t)st.st_mtim.tv_sec) * 1000 +
          (oldest->now.tv_nsec - st.st_mtim.tv_nsec) / 1000000;
    if (age < 0)
        age = 0;
    if (age > oldest->age_ms)
        oldest->age_ms = age;
    return 0;
}

static int file_oldest_ms(blob_store *s, const char *dir, blob_ctx *ctx, int64_t *out)
{
    file_oldest oldest = {.dir = dir, .ctx = ctx, .age_ms = -1};
    int rc = 0;

    if (clock_gettime(CLOCK_REALTIME, &oldest.now) == 0)
        rc = blob_store_list(s, ctx, blob_key_of(NULL, 0), file_look, &oldest);
    *out = oldest.age_ms;
    return rc;
}

/* What a filestore makes in its folder: fan-out folders, the empty key's file; in a new one a folder and LOCK alone. */
static bool file_owns(int folder, const char *name)
{
    struct stat st;

    if (strcmp(name, "empty-key") == 0)
        return scheme_is(folder, name, S_IFREG);
    if (strlen(name) == 2 && strspn(name, "0123456789abcdef") == 2)
        return scheme_is(folder, name, S_IFDIR);
    return strcmp(name, "tmp") == 0 && scheme_is(folder, name, S_IFDIR) && fstatat(folder, "LOCK", &st, 0) == 0;
}

static int log_open(cli *c, blob_store **out, const char *dir)
{
    (void)c;
    return blob_logstore_open(out, dir, NULL);
}

/* A host that writes a lot may outrun a reader; so it waits a little and begins again, up to half a second. */
static int log_open_beside(cli *c, blob_store **out, const char *dir)
{
    const struct timespec pause = {.tv_nsec = 25 * 1000 * 1000};
    blob_logstore_options options = blob_logstore_options_default();
    int rc;

    (void)c;
    options.read_only = 1;
    for (unsigned i = 0; (rc = blob_logstore_open(out, dir, &options)) == -EAGAIN && i < 20; i++)
        (void)nanosleep(&pause, NULL);
    return rc;
}

static int log_oldest_ms(blob_store *s, const char *dir, blob_ctx *ctx, int64_t *out)
{
    blob_logstore_info info = {.struct_size = sizeof info};
    int rc = blob_logstore_get_info(s, &info);

    (void)dir;
    (void)ctx;
    *out = rc == 0 && info.blobs > 0 ? info.oldest_age_ms : -1;
    return rc;
}

/* Segments: 16 digits and ".log"; those to be used again, and those set aside. */
static bool log_owns(int folder, const char *name)
{
    static const char *const prefixes[] = {"", "spare-", "damaged-"};

    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        size_t length = strlen(prefixes[i]);

        if (strncmp(name, prefixes[i], length) == 0 && strspn(name + length, "0123456789abcdef") == 16 &&
            strcmp(name + length + 16, length == 0 ? ".log" : "") == 0)
            return scheme_is(folder, name, S_IFREG);
    }
    return false;
}

const cli_scheme cli_schemes[] = {
    {
        .prefix = "log:",
        .rest = "DIR",
        .kind = "a log",
        .open = log_open,
        .open_beside = log_open_beside,
        .owns = log_owns,
        .oldest_ms = log_oldest_ms,
        .info = blob_logstore_get_info,
        .findings = blob_logstore_findings,
        .salvage = blob_logstore_salvage,
    },
    {
        .prefix = "file:",
        .rest = "DIR",
        .kind = "a file store",
        .open = file_open,
        .owns = file_owns,
        .oldest_ms = file_oldest_ms,
        .place = file_place,
    },
    {
        .prefix = "s3:",
        .rest = "//BUCKET/PREFIX",
        .kind = "object storage",
        .open = cli_s3_open,
        .check = cli_s3_check,
    },
};
const size_t cli_schemes_count = sizeof cli_schemes / sizeof cli_schemes[0];
