/* put.c - put and sync: blobs into the buffer, the buffer into the base.
 *
 * A put with its base stores through a wrapper, which sends while later files are still read. With --no-sync, or when
 * the base cannot be opened, blobs go into the buffer alone: taking a blob needs no base. */
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

static void put_unreadable(cli *c, const char *name, int status)
{
    const char *next = status == -EISDIR ? "name the files in it"
                       : status == -EIO  ? "check the disk"
                                         : "it was not put; check the name and its permissions";

    if (status == -ENOMEM)
        next = "a blob is held in memory whole; split it";
    cli_say(c, "%s: %s: %s", name, blob_strerror(status), next);
    cli_worsen(c, CLI_FAILED);
}

/* false: go on with no other. */
static bool put_one(cli_session *s, const char *name)
{
    cli *c = s->c;
    blob_address address;
    unsigned char *data;
    size_t size;
    int rc = cli_read_file(c->ctx, name, &data, &size);

    if (rc != 0) {
        if (cli_ended(c))
            return false;
        put_unreadable(c, name, rc);
        return true;
    }
    rc = s->w != NULL ? wbstore_cas_put(s->w, c->ctx, data, size, &address)
                      : put_buffered(s, blob_view_of(data, size), &address);
    free(data);
    if (rc != 0 && cli_ended(c))
        return false;
    if (rc != 0) {
        cli_say_status(c, name, rc, NULL);
        cli_worsen(c, CLI_FAILED);
        return true;
    }
    put_print(&address, name);
    return cli_flush(c) == 0;
}

static void put_all(cli_session *s)
{
    static char standard_input[] = "-";
    char *only[] = {standard_input};
    cli_options *o = &s->c->options;
    char **names = o->count > 0 ? o->operands : only;
    size_t count = o->count > 0 ? o->count : 1;

    for (size_t i = 0; i < count; i++)
        if (cli_ended(s->c) || !put_one(s, names[i])) {
            i += s->c->out_failed; /* then this one was put, and only its line is lost */
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
            cli_drain(&s);
    }
    cli_session_close(&s);
}

void cli_sync(cli *c)
{
    cli_session s;
    int rc = cli_session_open(&s, c, CLI_SENDING);

    cli_worsen(c, rc);
    if (rc == 0)
        cli_drain(&s);
    cli_session_close(&s);
}
