/* export.c - export: the buffer's blobs as files, with neither base nor wrapper; beside the buffer's host, if the buffer
 * can be read beside it. For whoever must get at the bytes when all else has failed: so what is damaged is saved too, as
 * far as it goes, under a name that says so.
 *
 *   FOLDER/<digits>              the blob of that address or other key; FOLDER/empty-key that of the empty one
 *   FOLDER/<digits>.damaged      what is left of one that is damaged
 *   FOLDER/<224 digits>+/<digits>    of a key of more than 112 bytes, for a file name holds 255: 112 bytes, then the rest
 *
 * A file is written whole or not at all, and one that is there is never touched: the same bytes are fine, so that an
 * export can be repeated, others are an error. */
#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT_DIGITS ((size_t)224)

typedef struct export_run {
    cli *c;
    const cli_place *place;
    blob_store *store;
    uint64_t saved, damaged, unreadable;
} export_run;

/* The file of a key; *path is the caller's to free. Makes the folders that a long key has. */
static int export_path(const export_run *r, blob_key key, const char *suffix, char **path)
{
    char text[CLI_KEY_TEXT], name[CLI_KEY_TEXT + 16];
    const char *rest = cli_key_text(key, text);
    char *end = name;
    int rc = 0;

    for (size_t left = strlen(rest); left > EXPORT_DIGITS; left -= EXPORT_DIGITS) {
        end += snprintf(end, sizeof name - (size_t)(end - name), "%.*s+/", (int)EXPORT_DIGITS, rest);
        rest += EXPORT_DIGITS;
    }
    *end = '\0';
    if (asprintf(path, "%s/%s", r->c->options.output, name) < 0) {
        *path = NULL;
        return -ENOMEM;
    }
    if (end != name)
        rc = cli_make_folder(*path);
    free(*path);
    if (asprintf(path, "%s/%s%s%s", r->c->options.output, name, rest, suffix) < 0)
        *path = NULL;
    return *path == NULL ? -ENOMEM : rc;
}

/* 0, or said and noted. */
static int export_save(export_run *r, blob_key key, const blob *b, const char *suffix)
{
    char *path;
    int rc = export_path(r, key, suffix, &path);

    if (rc == 0)
        rc = cli_write_new(path, b->data, b->size);
    if (rc == -EEXIST)
        cli_say(r->c, "%s: something else is there, and stays: move it away, or export into another folder", path);
    else if (rc != 0)
        cli_say(r->c, "%s: %s: %s", path != NULL ? path : r->c->options.output, blob_strerror(rc), cli_advice(rc));
    free(path);
    if (rc != 0)
        cli_worsen(r->c, CLI_FAILED);
    return rc;
}

/* After a save: what went wrong for this file's own reason says nothing of the next. */
static bool export_goes_on(int status)
{
    return status == 0 || status == -EEXIST;
}

/* A blob whose get failed so. *b: its bytes nevertheless, or NULL; then whoever knows where they lie is asked. */
static bool export_damaged(export_run *r, blob_key key, int status, blob **b)
{
    char text[CLI_KEY_TEXT], reason[sizeof((blob_error *)NULL)->text];
    blob_error error;
    int rc;

    blob_last_error(&error);
    snprintf(reason, sizeof reason, "%s",
             error.status == status && error.text[0] != '\0' ? error.text : blob_strerror(status));
    cli_worsen(r->c, CLI_NO);
    cli_key_text(key, text);
    if (*b == NULL && r->place->scheme->salvage != NULL)
        (void)r->place->scheme->salvage(r->store, r->c->ctx, key, b);
    if (*b == NULL) {
        r->unreadable++;
        cli_say(r->c, "%s: %s: nothing of it could be saved", text, reason);
        return true;
    }
    r->damaged++;
    if ((rc = export_save(r, key, *b, ".damaged")) == 0)
        cli_say(r->c, "%s: %s: what is left of it is saved as %s.damaged", text, reason, text);
    return export_goes_on(rc);
}

static bool export_one(export_run *r, blob_key key, bool named)
{
    char text[CLI_KEY_TEXT];
    blob *b = NULL;
    bool go_on = true;
    int rc = cli_get_checked(r->store, r->c->ctx, key, &b);

    if (rc == 0) {
        rc = export_save(r, key, b, "");
        r->saved += rc == 0;
        go_on = export_goes_on(rc);
    } else if (blob_ctx_status(r->c->ctx) != 0) {
        go_on = false;
    } else if (cli_is_damage(r->place, rc)) {
        go_on = export_damaged(r, key, rc, &b);
    } else if (rc != BLOB_NOT_FOUND) {
        r->unreadable++;
        cli_say_status(r->c, cli_key_text(key, text), rc, NULL);
        cli_worsen(r->c, CLI_FAILED);
    } else if (named) { /* else its host has removed it meanwhile */
        cli_say(r->c, "%s: not found in %s", cli_key_text(key, text), r->place->url);
        cli_worsen(r->c, CLI_NO);
    }
    blob_unref(b);
    return go_on;
}

static int export_listed(void *arg, blob_key key, uint64_t size)
{
    export_run *r = arg;

    (void)size;
    return blob_ctx_status(r->c->ctx) == 0 && export_one(r, key, false) ? 0 : BLOB_LIST_STOP;
}

static void export_named(export_run *r, char **names, size_t count)
{
    unsigned char bytes[BLOB_KEY_MAX];
    blob_key key;

    for (size_t i = 0; i < count; i++)
        if (cli_ended(r->c) || (cli_key_parse(r->c, names[i], bytes, &key) == 0 && !export_one(r, key, true))) {
            cli_say_stopped(r->c, "exported", names + i, count - i);
            return;
        }
}

static void export_all(export_run *r)
{
    cli *c = r->c;
    const cli_options *o = &c->options;
    int rc = 0;

    if (o->count > 0)
        export_named(r, o->operands, o->count);
    else
        rc = blob_store_list(r->store, c->ctx, blob_key_of(NULL, 0), export_listed, r);
    if (rc != 0 && !cli_ended(c)) {
        cli_say_status(c, r->place->url, rc, NULL);
        cli_worsen(c, CLI_FAILED);
    }
    if ((rc = cli_sync_folder(o->output)) != 0) {
        cli_say(c, "%s: %s: %s", o->output, blob_strerror(rc), cli_advice(rc));
        cli_worsen(c, CLI_FAILED);
    }
    printf("%" PRIu64 " %s saved in ", r->saved, r->saved == 1 ? "blob" : "blobs");
    cli_escape(stdout, o->output);
    printf(", %" PRIu64 " damaged, %" PRIu64 " unreadable\n", r->damaged, r->unreadable);
    (void)cli_flush(c);
}

/* A mistyped address stops the command before it did anything. */
static int export_check(cli *c)
{
    const cli_options *o = &c->options;
    unsigned char bytes[BLOB_KEY_MAX];
    blob_key key;
    int rc = 0;

    if (o->output == NULL || o->output[0] == '\0' || strcmp(o->output, "-") == 0) {
        cli_say(c, "where to? give -o FOLDER");
        return CLI_USAGE;
    }
    for (size_t i = 0; i < o->count; i++)
        if (cli_key_parse(c, o->operands[i], bytes, &key) != 0)
            rc = CLI_USAGE;
    return rc;
}

static int export_folder(const cli_session *s)
{
    cli *c = s->c;
    const char *name = c->options.output;
    int rc;

    if (cli_place_same(name, s->buffer_place.dir)) {
        cli_say(c, "%s is the buffer: export into another folder", name);
        return CLI_USAGE;
    }
    if ((rc = cli_make_folder(name)) == 0)
        return 0;
    cli_say(c, "%s: %s: %s", name, blob_strerror(rc), rc == -ENOTDIR ? "name a folder" : cli_advice(rc));
    return CLI_FAILED;
}

void cli_export(cli *c)
{
    export_run r = {.c = c};
    cli_session s;
    int rc;

    if ((rc = export_check(c)) != 0) {
        cli_worsen(c, rc);
        return;
    }
    rc = cli_session_open(&s, c, CLI_LOOKING);
    if (rc == 0)
        rc = export_folder(&s);
    cli_worsen(c, rc);
    if (rc == 0) {
        r.place = &s.buffer_place;
        r.store = s.buffer;
        export_all(&r);
    }
    cli_session_close(&s);
}
