/* get.c - get: one blob to standard output or into a file, checked against its address before a byte of it goes out. */
#include "cli/cli.h"

#include <errno.h>
#include <string.h>

static void get_write(cli *c, const blob *b)
{
    const char *name = c->options.output;
    int rc;

    if (name == NULL || strcmp(name, "-") == 0) {
        if (b->size > 0)
            fwrite(b->data, 1, b->size, stdout);
        (void)cli_flush(c);
        return;
    }
    rc = cli_write_file(name, b->data, b->size);
    if (rc == 0)
        return;
    cli_say(c, "%s: %s: %s", name, blob_strerror(rc), rc == -EISDIR ? "name a file" : cli_advice(rc));
    cli_worsen(c, CLI_FAILED);
}

void cli_get(cli *c)
{
    const char *text = c->options.operands[0];
    unsigned char bytes[BLOB_KEY_MAX];
    blob_key key;
    blob *b = NULL;
    cli_session s;
    int rc;

    if ((rc = cli_key_parse(c, text, bytes, &key)) != 0) {
        cli_worsen(c, rc);
        return;
    }
    if ((rc = cli_session_open(&s, c, CLI_READING)) != 0) {
        cli_worsen(c, rc);
        goto out;
    }
    rc = wbstore_get(s.w, c->ctx, key, &b);
    if (rc == 0 && !cli_key_matches(key, b))
        rc = blob_fail(BLOB_CORRUPT, 0, "its bytes do not hash to this address");
    if (rc == 0) {
        get_write(c, b);
    } else if (cli_ended(c)) {
        goto out;
    } else if (rc == BLOB_NOT_FOUND) {
        cli_say_not_found(&s, text, key);
        cli_worsen(c, CLI_NO);
    } else {
        cli_say_status(c, text, rc, NULL);
        cli_worsen(c, rc == BLOB_CORRUPT ? CLI_NO : CLI_FAILED);
    }
out:
    blob_unref(b);
    cli_session_close(&s);
}
