/* session.c - the stores of a run: buffer, base, content addresses, wrapper; opened in this order, closed in reverse.
 *
 *   sending   wrapper( hashcas( base ), buffer )
 *   reading   wrapper( hashcas( idle( base ) ), buffer )
 *   buffer    hashcas( buffer )
 *   looking   buffer */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

/* Where a store is: from the option, else from the environment. */
typedef struct session_name {
    const char *option, *variable;
    const char *plain; /* what kind of store a folder without a scheme is, if it is new */
} session_name;
static const session_name session_buffer_name = {"--buffer", "WBSTORE_BUFFER", "log:"};
static const session_name session_base_name = {"--base", "WBSTORE_BASE", "file:"};

static int session_place(cli *c, const session_name *name, const char *value, cli_place *out)
{
    if (value == NULL)
        value = getenv(name->variable);
    if (value == NULL || value[0] == '\0') {
        cli_say(c, "no %s named: give %s FOLDER, or set %s", name->option + 2, name->option, name->variable);
        return CLI_USAGE;
    }
    return cli_place_parse(c, name->option, value, name->plain, out);
}

static int session_failed(cli_session *s, const char *what, int status)
{
    cli_say_status(s->c, what, status, NULL);
    return CLI_FAILED;
}

static int session_wrap(cli_session *s, bool sending)
{
    wbstore_options options = wbstore_options_default();
    int rc;

    options.unified_view = 1;
    if (sending) {
        options.on_event = cli_on_event;
        options.event_arg = s->c;
    } else {
        options.no_verify = 1; /* the idle base refuses whatever comes: nothing need be hashed for it */
        options.writers_max = 1;
    }
    rc = wbstore_new(&s->w, s->c->ctx, s->cas, s->buffer, &options);
    return rc == 0 ? 0 : session_failed(s, "starting", rc);
}

static int session_two(const cli_session *s)
{
    if (!cli_place_same(s->base_place.dir, s->buffer_place.dir))
        return 0;
    cli_say(s->c, "--base and --buffer are the same folder: give two");
    return CLI_USAGE;
}

static bool session_has_base(cli_mode mode)
{
    return mode == CLI_READING || mode == CLI_SENDING;
}

static int session_places(cli_session *s, cli_mode mode)
{
    cli *c = s->c;
    const cli_options *o = &c->options;
    int rc;

    if ((rc = session_place(c, &session_buffer_name, o->buffer, &s->buffer_place)) != 0)
        return rc;
    if (!session_has_base(mode))
        return 0;
    if ((rc = session_place(c, &session_base_name, o->base, &s->base_place)) != 0)
        return rc;
    return session_two(s);
}

static int session_buffer(cli_session *s, cli_mode mode)
{
    const cli_place *place = &s->buffer_place;
    int rc;

    if (s->c->verb->needs_buffer && cli_place_missing(place)) {
        cli_say(s->c, "%s: no such folder, so nothing waits there: check --buffer", place->url);
        return CLI_FAILED;
    }
    rc = (mode == CLI_LOOKING ? place->scheme->open_reading : place->scheme->open)(&s->buffer, place->dir);
    return rc == 0 ? 0 : session_failed(s, place->url, rc);
}

int cli_session_open(cli_session *s, cli *c, cli_mode mode)
{
    int rc;

    memset(s, 0, sizeof *s);
    s->c = c;
    if ((rc = session_places(s, mode)) != 0)
        return rc;
    if ((rc = session_buffer(s, mode)) != 0 || mode == CLI_LOOKING)
        return rc;
    /* Two names of one folder may show only now that the folder is there. */
    if (session_has_base(mode) && (rc = session_two(s)) != 0)
        return rc;
    if (mode == CLI_SENDING)
        rc = s->base_place.scheme->open(&s->base, s->base_place.dir);
    else if (mode == CLI_READING)
        rc = cli_idle_new(&s->base, &s->base_place);
    if (rc != 0)
        return session_failed(s, s->base_place.url, rc);
    rc = blob_hashcas_new(&s->cas, s->base != NULL ? s->base : s->buffer, blob_hash_sha256());
    if (rc != 0)
        return session_failed(s, "starting", rc);
    return session_has_base(mode) ? session_wrap(s, mode == CLI_SENDING) : 0;
}

static void session_close_store(cli_session *s, blob_store **store, const char *what)
{
    int rc = *store != NULL ? blob_store_close(*store, NULL) : 0;

    *store = NULL;
    if (rc != 0)
        cli_worsen(s->c, session_failed(s, what, rc));
}

void cli_session_close(cli_session *s)
{
    wbstore_free(s->w);
    s->w = NULL;
    session_close_store(s, &s->cas, "content addresses");
    session_close_store(s, &s->base, s->base_place.url);
    session_close_store(s, &s->buffer, s->buffer_place.url);
}
