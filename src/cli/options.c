/* options.c - the command line: a verb, its operands, and options anywhere before "--".
 *
 * Not getopt: an environment variable would change where it looks for options, and its messages are not ours. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct option_row {
    const char *name;
    char letter;
    unsigned bit;
    const char *value; /* what to call it; NULL: takes none */
} option_row;

static const option_row option_rows[] = {
    {"base", 0, CLI_OPT_BASE, "FOLDER"},         {"buffer", 0, CLI_OPT_BUFFER, "FOLDER"},
    {"no-sync", 0, CLI_OPT_NO_SYNC, NULL},       {"timeout", 0, CLI_OPT_TIMEOUT, "SECONDS"},
    {"output", 'o', CLI_OPT_OUTPUT, "FILE"},     {"json", 0, CLI_OPT_JSON, NULL},
    {"help", 'h', CLI_OPT_HELP, NULL},           {"version", 0, CLI_OPT_VERSION, NULL},
    {"recursive", 'r', CLI_OPT_RECURSIVE, NULL}, {"base-too", 0, CLI_OPT_BASE_TOO, NULL},
};
#define OPTION_ROWS (sizeof option_rows / sizeof option_rows[0])

static int option_wrong(cli *c, const char *option, const char *what)
{
    cli_say(c, "%s: %s: `wbstore help%s%s` shows how", option, what, c->verb != NULL ? " " : "",
            c->verb != NULL ? c->verb->name : "");
    return CLI_USAGE;
}

/* Decimal, without a sign: strtod takes white space, hexadecimal and words too. */
static int option_seconds(cli *c, const char *text, int64_t *out_ms)
{
    bool decimal = strchr("0123456789.", text[0]) != NULL && strpbrk(text, "xX") == NULL;
    char *end;
    double seconds = strtod(text, &end);

    if (!decimal || end == text || *end != '\0' || !(seconds > 0 && seconds <= 1e9))
        return option_wrong(c, text, "not a number of seconds above 0");
    *out_ms = (int64_t)(seconds * 1000 + 0.999);
    return 0;
}

static int option_set(cli *c, const option_row *row, const char *value)
{
    cli_options *o = &c->options;

    o->given |= row->bit;
    switch (row->bit) {
    case CLI_OPT_BASE:
        o->base = value;
        return 0;
    case CLI_OPT_BUFFER:
        o->buffer = value;
        return 0;
    case CLI_OPT_OUTPUT:
        o->output = value;
        return 0;
    case CLI_OPT_TIMEOUT:
        return option_seconds(c, value, &o->timeout_ms);
    default:
        return 0;
    }
}

/* --name, --name=value, --name value. *next is the argument after this one, or NULL; taken, it becomes NULL. */
static int option_long(cli *c, const char *text, const char **next)
{
    size_t length = strcspn(text, "=");
    const char *value = text[length] == '=' ? text + length + 1 : NULL;
    char shown[64];

    for (size_t i = 0; i < OPTION_ROWS; i++) {
        const option_row *row = &option_rows[i];

        if (strlen(row->name) != length || strncmp(row->name, text, length) != 0)
            continue;
        snprintf(shown, sizeof shown, "--%s", row->name);
        if (row->value == NULL)
            return value == NULL ? option_set(c, row, "") : option_wrong(c, shown, "takes no value");
        if (value == NULL) {
            value = *next;
            *next = NULL;
        }
        snprintf(shown, sizeof shown, "--%s %s", row->name, row->value);
        return value != NULL ? option_set(c, row, value) : option_wrong(c, shown, "the value is missing");
    }
    snprintf(shown, sizeof shown, "--%.*s", length < 40 ? (int)length : 40, text);
    return option_wrong(c, shown, "no such option");
}

/* -h, -o FILE, -oFILE. */
static int option_letters(cli *c, const char *text, const char **next)
{
    for (; *text != '\0'; text++) {
        const option_row *row = NULL;
        char shown[16] = {'-', *text, '\0'};
        const char *value;
        int rc;

        for (size_t i = 0; i < OPTION_ROWS; i++)
            if (option_rows[i].letter == *text)
                row = &option_rows[i];
        if (row == NULL)
            return option_wrong(c, shown, "no such option");
        if (row->value == NULL) {
            if ((rc = option_set(c, row, "")) != 0)
                return rc;
            continue;
        }
        value = text[1] != '\0' ? text + 1 : *next;
        if (text[1] == '\0')
            *next = NULL;
        snprintf(shown, sizeof shown, "-%c %s", *text, row->value);
        return value != NULL ? option_set(c, row, value) : option_wrong(c, shown, "the value is missing");
    }
    return 0;
}

/* What of the options and operands does not go with the verb. Help is given in any case. */
static int option_check_verb(cli *c)
{
    const cli_options *o = &c->options;

    if ((o->given & (CLI_OPT_HELP | CLI_OPT_VERSION)) != 0)
        return 0;
    for (size_t i = 0; i < OPTION_ROWS; i++) {
        char shown[64];

        if ((o->given & option_rows[i].bit & ~(CLI_OPT_EVERYWHERE | c->verb->options)) == 0)
            continue;
        snprintf(shown, sizeof shown, "--%s", option_rows[i].name);
        return option_wrong(c, shown, "not an option of this command");
    }
    if ((o->given & CLI_OPT_NO_SYNC) != 0 && (o->given & CLI_OPT_TIMEOUT) != 0)
        return option_wrong(c, "--timeout", "has nothing to bound with --no-sync");
    if ((o->given & CLI_OPT_RECURSIVE) != 0 && o->count == 0)
        return option_wrong(c, "-r", "name a folder");
    if (o->count < c->verb->operands_min)
        return option_wrong(c, "address", "missing");
    if (o->count > c->verb->operands_max)
        return option_wrong(c, o->operands[c->verb->operands_max], "one argument too many");
    return 0;
}

int cli_options_parse(cli *c, int argc, char **argv)
{
    cli_options *o = &c->options;
    bool options_end = false;
    int rc;

    o->operands = calloc((size_t)argc + 1, sizeof *o->operands);
    if (o->operands == NULL) {
        cli_say(c, "no memory for the command line: try again");
        return CLI_FAILED;
    }
    for (char **at = argv + 1; argc > 0 && *at != NULL; at++) {
        char *arg = *at;
        const char *next = at[1];

        if (!options_end && strcmp(arg, "--") == 0) {
            options_end = true;
        } else if (!options_end && arg[0] == '-' && arg[1] != '\0') {
            rc = arg[1] == '-' ? option_long(c, arg + 2, &next) : option_letters(c, arg + 1, &next);
            if (rc != 0)
                return rc;
            at += at[1] != NULL && next == NULL;
        } else if (c->verb != NULL) {
            o->operands[o->count++] = arg;
        } else if ((c->verb = cli_verb_find(arg)) == NULL) {
            cli_say(c, "%s: no such command: `wbstore help` lists them", arg);
            return CLI_USAGE;
        }
    }
    return c->verb != NULL ? option_check_verb(c) : 0;
}

void cli_options_free(cli_options *options)
{
    free(options->operands);
    options->operands = NULL;
}
