/* say.c - what the command says, and how grave it was.
 *
 * Names of files and the words of a store may hold any bytes; a message is one line and moves no cursor, so control
 * characters are written as escapes. A progress bar that is on the screen is wiped before a message. */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void cli_escape(FILE *to, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c == '\n')
            fputs("\\n", to);
        else if (*c == '\t')
            fputs("\\t", to);
        else if (*c < 0x20 || *c == 0x7f)
            fprintf(to, "\\%03o", *c);
        else if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) /* U+0080 to U+009F: of which one is an escape and a [ */
            fprintf(to, "\\302\\%03o", *++c);
        else
            putc(*c, to);
    }
}

void cli_say(cli *c, const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    pthread_mutex_lock(&c->console);
    if (c->bar_width > 0)
        fprintf(stderr, "\r%*s\r", (int)c->bar_width, "");
    c->bar_width = 0;
    fputs("wbstore: ", stderr);
    if (c->verb != NULL)
        fprintf(stderr, "%s: ", c->verb->name);
    cli_escape(stderr, text != NULL ? text : format);
    putc('\n', stderr);
    fflush(stderr);
    pthread_mutex_unlock(&c->console);
    free(text);
}

const char *cli_advice(int status)
{
    switch (status) {
    case -EBUSY:
        return "wait until that has ended, or stop it";
    case -ENOSPC:
    case -EDQUOT:
    case BLOB_FULL:
        return "make room there, then try again";
    case -EACCES:
    case -EPERM:
    case -EROFS:
        return "allow access to it, then try again";
    case BLOB_DENIED:
        return "check its name, and allow access to it, then try again";
    case -ENOTDIR:
        return "name a folder";
    case -ENOENT:
        return "check the name";
    case -ENOMEM:
        return "try again with more memory";
    case BLOB_CORRUPT:
        return "put its file again";
    case BLOB_REJECTED:
        return "this store will never take it";
    case BLOB_UNSUPPORTED:
        return "it takes more on this machine, or a newer wbstore";
    case -EIO:
        return "check the disk, or the server";
    default:
        return "try again";
    }
}

void cli_say_status(cli *c, const char *what, int status, const char *next)
{
    const char *reason = status == -EBUSY ? "in use by another process" : blob_strerror(status);
    blob_error error;

    blob_last_error(&error);
    if (next == NULL)
        next = cli_advice(status);
    if (status != -EBUSY && error.status == status && error.text[0] != '\0')
        cli_say(c, "%s: %s (%s): %s", what, reason, error.text, next);
    else
        cli_say(c, "%s: %s: %s", what, reason, next);
}

void cli_say_stopped(cli *c, const char *done, char **names, size_t count)
{
    if (count == 1)
        cli_say(c, "stopped: %s was not %s", names[0], done);
    else if (count > 1)
        cli_say(c, "stopped: %s and %zu more were not %s", names[0], count - 1, done);
}

void cli_worsen(cli *c, int code)
{
    /* An input that was not taken is graver than one that waits, and that than an answer that says no. */
    static const int gravity[] = {[CLI_OK] = 0, [CLI_NO] = 1, [CLI_WAITING] = 2, [CLI_FAILED] = 3, [CLI_USAGE] = 4};

    if (gravity[code] > gravity[c->worst])
        c->worst = code;
}

bool cli_ended(cli *c)
{
    if (blob_ctx_status(c->ctx) != 0)
        c->stopped = true;
    return c->stopped;
}

int cli_flush(cli *c)
{
    int error;

    if (c->out_failed)
        return CLI_FAILED;
    if (!ferror(stdout) && fflush(stdout) == 0)
        return 0;
    error = errno; /* of the flush, or of the print right before this call */
    c->out_failed = true;
    cli_say(c, "standard output: %s: what it was to show is incomplete", strerror(error));
    cli_worsen(c, CLI_FAILED);
    return CLI_FAILED;
}
