/* scheme.c - the kinds of stores: how each is opened, and what the command can find out about it.
 *
 * A new kind is one row of the table. */
#include "cli/cli.h"

#include <sys/stat.h>
#include <time.h>

static int file_open(blob_store **out, const char *dir)
{
    return blob_filestore_open(out, dir, NULL);
}

typedef struct file_oldest {
    const char *dir;
    blob_ctx *ctx;
    struct timespec now;
    int64_t age_ms;
} file_oldest;

/* A filestore keeps the blob of a key of up to 64 bytes in DIR/ab/abcdef..., written once. */
static int file_look(void *arg, blob_key key, uint64_t size)
{
    file_oldest *oldest = arg;
    char hex[2 * BLOB_KEY_MAX + 1], path[4096];
    struct stat st;
    int64_t age;

    (void)size;
    if (blob_ctx_status(oldest->ctx) != 0)
        return BLOB_LIST_STOP;
    if (key.size == 0 || key.size > 64)
        return 0;
    blob_key_hex(key, hex);
    if (snprintf(path, sizeof path, "%s/%.2s/%s", oldest->dir, hex, hex) >= (int)sizeof path || stat(path, &st) != 0)
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

const cli_scheme cli_schemes[] = {
    {
        .prefix = "file:",
        .form = "file:DIR",
        .open = file_open,
        .open_reading = file_open,
        .oldest_ms = file_oldest_ms,
    },
};
const size_t cli_schemes_count = sizeof cli_schemes / sizeof cli_schemes[0];
