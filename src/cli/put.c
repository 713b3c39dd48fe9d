/* put.c - put: blobs into the buffer, and the buffer into the base; sync: the latter alone.
 *
 * A put with its base stores through a wrapper, which sends while later files are still read. With --no-sync, or when
 * the base cannot be opened, blobs go into the buffer alone: taking a blob needs no base.
 *
 * Where the buffer's disk is full, a blob waits for the base to take another; that too is a wait that --timeout bounds.
 * So it is waited for here and not in the wrapper's put, whose context bounds the writing as well. */
#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PUT_ROOM_ASK_MS 1000

/* Stores in the buffer without a wrapper. What is there under the address counts only if it is the same bytes: a
 * damaged copy is replaced, for this is how one gets well again. */
static int put_buffered(cli_session *s, blob_view data, blob_address *address)
{
    blob_ctx *ctx = s->c->ctx;
    blob *there;
    blob_key key;
    bool same;
    int rc;

    if ((rc = blob_store_cas_key(s->cas, ctx, data, address)) != 0)
        return rc;
    key = blob_address_key(address);
    if ((rc = blob_store_put(s->buffer, ctx, key, data, 0)) != BLOB_EXISTS)
        return rc;
    rc = blob_store_get(s->buffer, ctx, key, &there);
    if (rc != 0 && rc != BLOB_CORRUPT)
        return rc;
    same = rc == 0 && there->size == data.size && (data.size == 0 || memcmp(there->data, data.data, data.size) == 0);
    blob_unref(there);
    return same ? 0 : blob_store_put(s->buffer, ctx, key, data, BLOB_REPLACE);
}

static int64_t put_now_ms(void)
{
    struct timespec now = {0, 0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static uint64_t put_gone(const cli_session *s)
{
    wbstore_stats stats = {.struct_size = sizeof stats};

    wbstore_get_stats(s->w, &stats);
    return stats.sent + stats.deleted;
}

/* After a put that found the buffer full, when `gone` blobs had left it. 0: try again, for one has left it since; or
 * somebody else may have made room on its disk. Else it is full for good, or for longer than may be waited. */
static int put_wait_room(cli_session *s, uint64_t gone)
{
    cli_options *o = &s->c->options;
    bool bounded = (o->given & CLI_OPT_TIMEOUT) != 0, waits;
    int64_t begun = put_now_ms();
    blob_ctx *ctx = NULL;
    blob_error full;
    int rc;

    blob_last_error(&full);
    rc = blob_ctx_new_timeout(&ctx, s->c->ctx,
                              bounded && o->timeout_ms < PUT_ROOM_ASK_MS ? o->timeout_ms : PUT_ROOM_ASK_MS);
    if (rc != 0)
        return rc;
    (void)wbstore_sync(s->w, ctx);
    waits = blob_ctx_status(ctx) != 0; /* else nothing is left that could leave the buffer */
    blob_ctx_free(ctx);
    if (bounded)
        o->timeout_ms -= put_now_ms() - begun;
    if (blob_ctx_status(s->c->ctx) != 0 || put_gone(s) != gone || (waits && (!bounded || o->timeout_ms > 0)))
        return 0;
    return blob_fail(BLOB_FULL, 0, "%s", full.text);
}

static int put_wrapped(cli_session *s, blob_view data, blob_address *address)
{
    uint64_t gone;
    int rc;

    do {
        gone = put_gone(s);
        rc = wbstore_cas_put(s->w, s->c->ctx, data.data, data.size, address);
    } while (rc == BLOB_FULL && (rc = put_wait_room(s, gone)) == 0);
    return rc;
}

/* One line as sha256sum prints it: a name with a backslash or an end of line is escaped, and the line says so. */
static void put_print(const blob_address *address, const char *name)
{
    char hex[2 * BLOB_ADDRESS_MAX + 1];

    blob_key_hex(blob_address_key(address), hex);
    if (strpbrk(name, "\\\n\r") != NULL)
        putchar('\\');
    printf("%s  ", hex);
    for (const char *c = name; *c != '\0'; c++) {
        if (*c == '\\')
            fputs("\\\\", stdout);
        else if (*c == '\n')
            fputs("\\n", stdout);
        else if (*c == '\r')
            fputs("\\r", stdout);
        else
            putchar(*c);
    }
    putchar('\n');
}

static void put_json(const blob_address *address, size_t size, const char *name)
{
    char hex[2 * BLOB_ADDRESS_MAX + 1];

    blob_key_hex(blob_address_key(address), hex);
    printf("{\"address\":\"%s\",\"size\":%zu,", hex, size);
    cli_json_name(stdout, "name", name);
    fputs("}\n", stdout);
}

static void put_unreadable(cli *c, const char *name, int status)
{
    const char *next = status == -EISDIR ? "put -r puts all files in it"
                       : status == -EIO  ? "check the disk"
                                         : "it was not put; check the name and its permissions";

    if (status == -ENOMEM)
        next = "a blob is held in memory whole; split it";
    cli_say(c, "%s: %s: %s", name, blob_strerror(status), next);
    cli_worsen(c, CLI_FAILED);
}

/* One blob into the buffer, and its line. false: go on with no other. */
static bool put_blob(cli_session *s, const char *name, const cli_input *in)
{
    cli *c = s->c;
    blob_address address;
    blob_view data = blob_view_of(in->data, in->size);
    int rc = s->w != NULL ? put_wrapped(s, data, &address) : put_buffered(s, data, &address);

    if (rc != 0 && cli_ended(c))
        return false;
    if (rc != 0) {
        cli_say_status(c, name, rc, NULL);
        cli_worsen(c, CLI_FAILED);
        return true;
    }
    if ((c->options.given & CLI_OPT_JSON) != 0)
        put_json(&address, in->size, name);
    else
        put_print(&address, name);
    if (in->changed) {
        cli_say(c, "%s: changed while it was read: what was put may be neither the old nor the new; put it again",
                name);
        cli_worsen(c, CLI_NO);
    }
    return cli_flush(c) == 0;
}

/* A file that was named, or that a walk found. false: go on with no other. */
static bool put_file(cli_session *s, const char *name, bool found)
{
    cli *c = s->c;
    cli_input in;
    bool go_on;
    int rc = cli_read_file(c->ctx, name, !found, &in);

    if (rc != 0 && cli_ended(c))
        return false;
    if (rc == -ENOENT && found) {
        cli_say_vanished(c, name);
        return true;
    }
    if (rc != 0) {
        put_unreadable(c, name, rc);
        return true;
    }
    go_on = put_blob(s, name, &in);
    free(in.data);
    return go_on;
}

static bool put_found(cli_session *s, const char *path)
{
    return put_file(s, path, true);
}

/* What of the operands was not put is said. */
static void put_all(cli_session *s)
{
    static char standard_input[] = "-";
    char *only[] = {standard_input};
    cli_options *o = &s->c->options;
    char **names = o->count > 0 ? o->operands : only;
    size_t count = o->count > 0 ? o->count : 1;

    for (size_t i = 0; i < count; i++) {
        bool whole = (o->given & CLI_OPT_RECURSIVE) != 0 && strcmp(names[i], "-") != 0 && cli_is_folder(names[i]);

        if (!cli_ended(s->c) && (whole ? cli_tree_walk(s, names[i], put_found) : put_file(s, names[i], false)))
            continue;
        if (whole)
            cli_say(s->c, "stopped: not all of %s was put", names[i]);
        i += whole || s->c->out_failed; /* in that case this one was put, and only its line is lost */
        cli_say_stopped(s->c, "put", names + i, count - i);
        return;
    }
}

static bool put_check(cli *c)
{
    size_t standard_inputs = 0;

    for (size_t i = 0; i < c->options.count; i++)
        standard_inputs += strcmp(c->options.operands[i], "-") == 0;
    if (standard_inputs <= 1)
        return true;
    cli_say(c, "standard input (-) is named %zu times: name it once", standard_inputs);
    cli_worsen(c, CLI_USAGE);
    return false;
}

void cli_put(cli *c)
{
    bool sync = (c->options.given & CLI_OPT_NO_SYNC) == 0, baseless = false;
    wbstore_stats end;
    cli_session s;
    int rc;

    if (!put_check(c))
        return;
    rc = cli_session_open(&s, c, sync ? CLI_SENDING : CLI_BUFFER_ONLY);
    if (rc == CLI_FAILED && sync && s.buffer != NULL) { /* the base it is that fails, and that was said */
        cli_session_close(&s);
        baseless = true;
        cli_worsen(c, CLI_WAITING);
        rc = cli_session_open(&s, c, CLI_BUFFER_ONLY);
    }
    cli_worsen(c, rc);
    if (rc == 0) {
        put_all(&s);
        if (cli_ended(c))
            cli_say_waiting(&s, "interrupted", "sends");
        else if (baseless)
            cli_say_waiting(&s, "put without the base", "sends");
        else if (sync)
            cli_drain(&s, &end);
    }
    cli_session_close(&s);
}

static void sync_print(cli *c, const wbstore_stats *end)
{
    if ((c->options.given & CLI_OPT_JSON) != 0) {
        putchar('{');
        cli_figures_json(end);
        printf(",\"pending_blobs\":%" PRIu64 ",\"pending_bytes\":%" PRIu64 ",\"parked\":%" PRIu64 "}\n",
               end->pending_blobs, end->pending_bytes, end->parked);
    } else {
        cli_figures(end);
        printf("waiting  %" PRIu64 " %s, %" PRIu64 " bytes; %" PRIu64 " parked\n", end->pending_blobs,
               end->pending_blobs == 1 ? "blob" : "blobs", end->pending_bytes, end->parked);
    }
    (void)cli_flush(c);
}

void cli_sync(cli *c)
{
    wbstore_stats end;
    cli_session s;
    int rc = cli_session_open(&s, c, CLI_SENDING);

    cli_worsen(c, rc);
    if (rc == 0) {
        cli_drain(&s, &end);
        sync_print(c, &end);
    }
    cli_session_close(&s);
}
