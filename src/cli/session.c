/* session.c - the stores of a run: buffer, base, content addresses, wrapper; opened in this order, closed in reverse.
 *
 *   sending   wrapper( hashcas( base ), buffer )
 *   reading   wrapper( hashcas( idle( base ) ), buffer )
 *   buffer    hashcas( buffer )
 *   looking   buffer, or buffer and base */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

/* Where a store is: from the option, else from the environment. */
typedef struct session_name {
    const char *option, *variable;
    const char *plain; /* what kind of store a folder without a scheme is, if it is new */
    bool folder;       /* it must lie in one */
} session_name;
static const session_name session_buffer_name = {"--buffer", "WBSTORE_BUFFER", "log:", true};
static const session_name session_base_name = {"--base", "WBSTORE_BASE", "file:", false};

/* NULL: it is not named. */
static const char *session_url(const session_name *name, const char *value)
{
    if (value == NULL)
        value = getenv(name->variable);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static int session_place(cli *c, const session_name *name, const char *value, cli_place *out)
{
    int rc;

    if ((value = session_url(name, value)) == NULL) {
        cli_say(c, "no %s named: give %s FOLDER, or set %s", name->option + 2, name->option, name->variable);
        return CLI_USAGE;
    }
    if ((rc = cli_place_parse(c, name->option, value, name->plain, out)) != 0)
        return rc;
    if (name->folder && out->dir == NULL) {
        cli_say(c, "%s %s: %s can only be the base: a %s is durable and near, a folder", name->option, value,
                out->scheme->kind, name->option + 2);
        return CLI_USAGE;
    }
    return out->scheme->check != NULL ? out->scheme->check(c, name->option, out) : 0;
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
        options.when_full = WBSTORE_FULL_FAIL; /* put does the waiting */
    } else {
        options.no_verify = 1; /* the idle base refuses whatever comes: nothing need be hashed for it */
        options.writers_max = 1;
    }
    rc = wbstore_new(&s->w, s->c->ctx, s->cas, s->buffer, &options);
    return rc == 0 ? 0 : session_failed(s, "starting", rc);
}

static int session_two(const cli_session *s)
{
    if (s->base_place.dir == NULL || !cli_place_same(s->base_place.dir, s->buffer_place.dir))
        return 0;
    cli_say(s->c, "--base and --buffer are the same folder: give two");
    return CLI_USAGE;
}

static bool session_has_base(cli_mode mode)
{
    return mode == CLI_READING || mode == CLI_SENDING || mode == CLI_LOOKING_TWO;
}

static int session_places(cli_session *s, cli_mode mode)
{
    cli *c = s->c;
    const cli_options *o = &c->options;
    int rc;

    if ((rc = session_place(c, &session_buffer_name, o->buffer, &s->buffer_place)) != 0)
        return rc;
    if (!session_has_base(mode)) { /* but a put of folders must not walk into it */
        const char *base = session_url(&session_base_name, o->base);

        s->base_place.dir = base != NULL ? cli_place_folder(base) : NULL;
        return 0;
    }
    if ((rc = session_place(c, &session_base_name, o->base, &s->base_place)) != 0)
        return rc;
    return session_two(s);
}

static bool session_is_looking(cli_mode mode)
{
    return mode == CLI_LOOKING || mode == CLI_LOOKING_TWO;
}

/* To open a store makes it, LOCK at least. In a folder that has none, for its name may be a mistake, an empty store of no
 * folder stands in. */
int cli_open_existing(cli *c, blob_store **out, const cli_place *place, bool beside)
{
    if (beside && place->scheme->open_beside != NULL)
        return place->scheme->open_beside(c, out, place->name);
    return cli_place_bare(place) ? blob_memstore_new(out) : place->scheme->open(c, out, place->name);
}

static int session_buffer(cli_session *s, cli_mode mode)
{
    bool existing = session_is_looking(mode) || mode == CLI_READING;
    const cli_place *place = &s->buffer_place;
    int rc;

    if (s->c->verb->needs_buffer && cli_place_missing(place)) {
        cli_say(s->c, "%s: no such folder, so nothing waits there: check --buffer", place->url);
        return CLI_FAILED;
    }
    rc = existing ? cli_open_existing(s->c, &s->buffer, place, session_is_looking(mode))
                  : place->scheme->open(s->c, &s->buffer, place->name);
    return rc == 0 ? 0 : session_failed(s, place->url, rc);
}

int cli_session_open(cli_session *s, cli *c, cli_mode mode)
{
    int rc;

    memset(s, 0, sizeof *s);
    s->c = c;
    if ((rc = session_places(s, mode)) != 0)
        return rc;
    if ((rc = session_buffer(s, mode)) != 0 || session_is_looking(mode))
        return rc;
    /* Two names of one folder may show only now that the folder is there. */
    if (session_has_base(mode) && (rc = session_two(s)) != 0)
        return rc;
    if (mode == CLI_SENDING)
        rc = s->base_place.scheme->open(c, &s->base, s->base_place.name);
    else if (mode == CLI_READING)
        rc = cli_idle_new(c, &s->base, &s->base_place);
    if (rc != 0)
        return session_failed(s, s->base_place.url, rc);
    rc = blob_hashcas_new(&s->cas, s->base != NULL ? s->base : s->buffer, blob_hash_sha256());
    if (rc != 0)
        return session_failed(s, "starting", rc);
    return session_has_base(mode) ? session_wrap(s, mode == CLI_SENDING) : 0;
}

int cli_session_look_base(cli_session *s)
{
    const cli_place *place = &s->base_place;
    int rc;

    if (cli_place_missing(place)) {
        cli_say(s->c, "%s: no such folder: check --base", place->url);
        return CLI_FAILED;
    }
    rc = cli_open_existing(s->c, &s->base, place, true);
    return rc == 0 ? 0 : session_failed(s, place->url, rc);
}

static void session_close_store(cli_session *s, blob_store **store, const char *what)
{
    int rc = *store != NULL ? blob_store_close(*store, NULL) : 0;

    *store = NULL;
    if (rc != 0)
        cli_worsen(s->c, session_failed(s, what, rc));
}

/* Closing object storage waits for a lookup of its server's name that is under way, and nothing ends one. A run that did
 * not end well may have left one behind, and has waited enough: the end of the process will do, for there is nothing to
 * flush. */
static bool session_leaves_base(const cli_session *s)
{
    return s->base != NULL && s->base_place.dir == NULL && (s->c->worst != CLI_OK || blob_ctx_status(s->c->ctx) != 0);
}

void cli_session_close(cli_session *s)
{
    if (s->c->base_left)
        return;
    wbstore_free(s->w);
    s->w = NULL;
    session_close_store(s, &s->cas, "content addresses");
    if (session_leaves_base(s)) {
        s->c->base_left = true;
        s->base = NULL;
    }
    session_close_store(s, &s->base, s->base_place.url);
    session_close_store(s, &s->buffer, s->buffer_place.url);
}
