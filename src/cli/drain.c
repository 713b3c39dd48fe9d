/* drain.c - sending what the buffer holds, for put and sync: waits, and says what is left and why.
 *
 * How long a base may stay away is the user's to decide: without --timeout a drain goes on until it is done, and says
 * on standard error that the base does not answer.
 *
 * Who does not wait any longer need not wait for an upload either that nothing stops, as there are in a folder on a
 * server that hangs: it gets some time to heed, and is left behind. Its blob is in the buffer still. */
#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define DRAIN_HEED_MS 5000

void cli_on_event(void *arg, const wbstore_event *event)
{
    cli *c = arg;

    if (event->kind == WBSTORE_EVENT_BASE_DOWN && blob_ctx_status(c->ctx) == 0) {
        const char *text = event->text != NULL && event->text[0] != '\0' ? event->text : blob_strerror(event->status);

        cli_say(c, "the base %s: %s: still trying; Ctrl-C stops, accepted blobs stay in the buffer",
                event->status == BLOB_DENIED ? "refuses" : "does not answer", text);
    } else if (event->kind == WBSTORE_EVENT_BASE_UP) {
        cli_say(c, "the base is back");
    }
}

static void drain_end_wrapper(cli_session *s)
{
    cli *c = s->c;
    blob_ctx *ctx = NULL;

    if (s->w != NULL && blob_ctx_new_timeout(&ctx, NULL, DRAIN_HEED_MS) == 0)
        c->base_left = wbstore_close(s->w, ctx) == -ETIMEDOUT;
    blob_ctx_free(ctx);
    if (c->base_left)
        cli_say(c, "the base %s: an upload does not stop: it is left behind", s->base_place.url);
    else
        wbstore_free(s->w);
    s->w = NULL;
}

void cli_say_waiting(cli_session *s, const char *why, const char *does)
{
    uint64_t blobs = 0;
    int rc;

    drain_end_wrapper(s);
    rc = blob_store_len(s->buffer, NULL, &blobs);
    if (rc != 0)
        cli_say_status(s->c, s->buffer_place.url, rc, "what was accepted is there; `wbstore status` counts it");
    else if (blobs == 0)
        cli_say(s->c, "%s: nothing waits in the buffer", why);
    else
        cli_say(s->c, "%s: %" PRIu64 " %s in the buffer %s: `wbstore sync` %s %s", why, blobs,
                blobs == 1 ? "blob waits" : "blobs wait", s->buffer_place.url, does, blobs == 1 ? "it" : "them");
}

static int drain_say_parked(void *arg, const wbstore_pending_info *info)
{
    cli *c = arg;
    char hex[2 * BLOB_KEY_MAX + 1];

    if (info->state != WBSTORE_PARKED)
        return 0;
    blob_key_hex(info->key, hex);
    cli_say(c, "%s: %s%s%s%s: %s", hex, blob_strerror(info->status), info->text[0] != '\0' ? " (" : "", info->text,
            info->text[0] != '\0' ? ")" : "",
            info->status == BLOB_CORRUPT ? "`wbstore put --no-sync` its file again, or give it up with `wbstore rm`"
                                         : "keep it with `wbstore get`, then give it up with `wbstore rm`");
    return 0;
}

/* Too late to see sync end is not too late: what left the buffer is in the base. */
static bool drain_is_done(cli_session *s)
{
    uint64_t blobs = 0;

    return blob_store_len(s->buffer, s->c->ctx, &blobs) == 0 && blobs == 0;
}

void cli_drain(cli_session *s, wbstore_stats *end)
{
    cli *c = s->c;
    cli_progress *progress;
    blob_ctx *ctx = NULL;
    blob_error error;
    char why[512];
    int rc = 0;

    if ((c->options.given & CLI_OPT_TIMEOUT) != 0)
        rc = blob_ctx_new_timeout(&ctx, c->ctx, c->options.timeout_ms);
    progress = cli_progress_start(c, s->w);
    if (rc == 0)
        rc = wbstore_sync(s->w, ctx != NULL ? ctx : c->ctx);
    blob_last_error(&error);
    if (rc != 0 && ctx != NULL && blob_ctx_status(ctx) != 0 && drain_is_done(s))
        rc = 0;
    cli_progress_stop(progress, rc == 0);
    memset(end, 0, sizeof *end);
    end->struct_size = sizeof *end;
    wbstore_get_stats(s->w, end);
    cli_record_write(s->buffer_place.dir, end);
    if (rc == 0)
        goto out;
    cli_worsen(c, CLI_WAITING);
    if (cli_ended(c)) {
        cli_say_waiting(s, "interrupted", "sends");
        goto out;
    }
    wbstore_pending(s->w, drain_say_parked, c);
    if (ctx != NULL && blob_ctx_status(ctx) != 0) {
        snprintf(why, sizeof why, "not done within the time%s%s", end->last_text[0] != '\0' ? ": " : "",
                 end->last_text);
        cli_say_waiting(s, why, "sends");
    } else {
        snprintf(why, sizeof why, "not everything was sent: %s",
                 error.status == rc && error.text[0] != '\0' ? error.text : blob_strerror(rc));
        cli_say_waiting(s, why, "tries again to send");
    }
out:
    blob_ctx_free(ctx);
}
