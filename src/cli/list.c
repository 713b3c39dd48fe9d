/* list.c - ls and rm: over buffer and base as one. */
#include "cli/cli.h"

#include <inttypes.h>

/* The empty key is what it is here: a string without digits. */
static void ls_json(blob_key key, uint64_t size)
{
    char hex[2 * BLOB_KEY_MAX + 1];

    blob_key_hex(key, hex);
    if (size == UINT64_MAX)
        printf("{\"address\":\"%s\",\"size\":null}\n", hex);
    else
        printf("{\"address\":\"%s\",\"size\":%" PRIu64 "}\n", hex, size);
}

static int ls_print(void *arg, blob_key key, uint64_t size)
{
    cli *c = arg;
    char text[CLI_KEY_TEXT];

    if ((c->options.given & CLI_OPT_JSON) != 0)
        ls_json(key, size);
    else if (size == UINT64_MAX)
        printf("%s  -\n", cli_key_text(key, text));
    else
        printf("%s  %" PRIu64 "\n", cli_key_text(key, text), size);
    if (ferror(stdout))
        (void)cli_flush(c);
    return !c->out_failed && blob_ctx_status(c->ctx) == 0 ? 0 : BLOB_LIST_STOP;
}

void cli_ls(cli *c)
{
    cli_session s;
    int rc;

    if ((rc = cli_session_open(&s, c, CLI_READING)) != 0) {
        cli_worsen(c, rc);
    } else {
        rc = wbstore_list(s.w, c->ctx, blob_key_of(NULL, 0), ls_print, c);
        (void)cli_flush(c);
        if (!cli_ended(c) && rc != 0) {
            cli_say_status(c, "the list is not complete", rc, NULL);
            cli_worsen(c, CLI_FAILED);
        }
    }
    cli_session_close(&s);
}

/* false: a signal came. */
static bool rm_one(cli_session *s, const char *text)
{
    unsigned char bytes[BLOB_KEY_MAX];
    cli *c = s->c;
    blob_key key;
    int rc;

    if (cli_key_parse(c, text, bytes, &key) != 0) /* said and checked before */
        return true;
    rc = wbstore_delete(s->w, c->ctx, key);
    if (rc == BLOB_NOT_FOUND) {
        cli_say_not_found(s, text, key);
        cli_worsen(c, CLI_NO);
    } else if (rc != 0 && cli_ended(c)) {
        return false;
    } else if (rc != 0) {
        cli_say_status(c, text, rc, NULL);
        cli_worsen(c, CLI_FAILED);
    }
    return true;
}

static void rm_all(cli_session *s, char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (cli_ended(s->c) || !rm_one(s, names[i])) {
            cli_say_stopped(s->c, "removed", names + i, count - i);
            return;
        }
}

void cli_rm(cli *c)
{
    char **names = c->options.operands;
    unsigned char bytes[BLOB_KEY_MAX];
    cli_session s;
    blob_key key;
    int rc = 0;

    /* A mistyped address stops the command before it removed anything. */
    for (size_t i = 0; i < c->options.count; i++)
        if (cli_key_parse(c, names[i], bytes, &key) != 0)
            rc = CLI_USAGE;
    if (rc == 0) {
        rc = cli_session_open(&s, c, CLI_READING);
        if (rc == 0)
            rm_all(&s, names, c->options.count);
        cli_session_close(&s);
    }
    cli_worsen(c, rc);
}
