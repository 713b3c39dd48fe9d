/* status.c - status: what waits in the buffer, how long, and what of it could never be sent.
 *
 * Sends nothing and needs no base. Why a blob was parked is known only to the process that tried to send it, and gone
 * with it; what a fresh process can find out without the base is whether the bytes are still what their address says.
 * That reads the whole buffer. */
#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct status_parked {
    struct status_parked *next;
    uint64_t size;
    int status;
    char hex[2 * BLOB_KEY_MAX + 1];
    char reason[256];
} status_parked;

typedef struct status_report {
    cli_session *s;
    uint64_t blobs, bytes, parked_blobs;
    int64_t oldest_ms; /* -1: not known */
    bool is_log;       /* then: */
    blob_logstore_info log;
    bool was_sent; /* from here, by this command; then: */
    wbstore_stats sending;
    int64_t sending_age_ms;
    status_parked *parked, **end;
} status_report;

static int status_park(status_report *r, blob_key key, uint64_t size, int status)
{
    status_parked *p = calloc(1, sizeof *p);
    blob_error error;

    if (p == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for the report");
    blob_last_error(&error);
    p->size = size;
    p->status = status;
    blob_key_hex(key, p->hex);
    snprintf(p->reason, sizeof p->reason, "%s",
             error.status == status && error.text[0] != '\0' ? error.text : blob_strerror(status));
    *r->end = p;
    r->end = &p->next;
    r->parked_blobs++;
    return 0;
}

static int status_look(void *arg, blob_key key, uint64_t size)
{
    status_report *r = arg;
    cli *c = r->s->c;
    blob *b = NULL;
    int rc;

    rc = cli_get_checked(r->s->buffer, c->ctx, key, &b);
    blob_unref(b);
    if (blob_ctx_status(c->ctx) != 0)
        return BLOB_LIST_STOP;
    if (rc == BLOB_NOT_FOUND) /* its host has sent or removed it meanwhile */
        return 0;
    r->blobs++;
    if (size != UINT64_MAX)
        r->bytes += size;
    return rc == 0 ? 0 : status_park(r, key, size, rc);
}

/* What is on the disk and is no live record: dead ones, and room to write in. */
static uint64_t status_dead(const blob_logstore_info *log)
{
    return log->disk_bytes > log->live_bytes ? log->disk_bytes - log->live_bytes : 0;
}

/* That this command itself opened it read-only is not told: it says nothing of the log. */
static bool status_is_read_only(const blob_logstore_info *log)
{
    return log->read_only > 1;
}

static void status_log_json(const blob_logstore_info *log)
{
    printf("{\"segments\":%" PRIu64 ",\"spare_segments\":%" PRIu64 ",\"live_bytes\":%" PRIu64 ",\"dead_bytes\":%" PRIu64
           ",\"disk_bytes\":%" PRIu64,
           log->segments, log->spare_segments, log->live_bytes, status_dead(log), log->disk_bytes);
    printf(",\"damaged_records\":%" PRIu64 ",\"torn_records\":%" PRIu64 ",\"set_aside_segments\":%" PRIu64
           ",\"set_aside_bytes\":%" PRIu64 ",\"read_only\":%s,\"read_only_reason\":",
           log->damaged_records, log->torn_records, log->set_aside_segments, log->set_aside_bytes,
           status_is_read_only(log) ? "true" : "false");
    if (status_is_read_only(log))
        cli_json_string(stdout, log->text);
    else
        fputs("null", stdout);
    putchar('}');
}

static const char *status_s(uint64_t count)
{
    return count == 1 ? "" : "s";
}

static void status_log(const blob_logstore_info *log)
{
    printf("log      %" PRIu64 " segment%s, %" PRIu64 " spare; %" PRIu64 " bytes on disk: %" PRIu64 " live, %" PRIu64
           " dead or free\n",
           log->segments, status_s(log->segments), log->spare_segments, log->disk_bytes, log->live_bytes,
           status_dead(log));
    printf("damage   %" PRIu64 " record%s damaged, %" PRIu64 " torn; %" PRIu64 " segment%s set aside, %" PRIu64
           " bytes\n",
           log->damaged_records, status_s(log->damaged_records), log->torn_records, log->set_aside_segments,
           status_s(log->set_aside_segments), log->set_aside_bytes);
    if (status_is_read_only(log)) {
        fputs("the log is read-only: ", stdout);
        cli_escape(stdout, log->text);
        putchar('\n');
    }
}

static void status_print_json(const status_report *r)
{
    fputs("{\"buffer\":", stdout);
    cli_json_string(stdout, r->s->buffer_place.url);
    printf(",\"pending_blobs\":%" PRIu64 ",\"pending_bytes\":%" PRIu64 ",\"oldest_age_ms\":", r->blobs, r->bytes);
    if (r->oldest_ms >= 0)
        printf("%" PRId64, r->oldest_ms);
    else
        fputs("null", stdout);
    fputs(",\"parked\":[", stdout);
    for (const status_parked *p = r->parked; p != NULL; p = p->next) {
        printf("%s{\"address\":\"%s\",\"size\":", p == r->parked ? "" : ",", p->hex);
        if (p->size != UINT64_MAX)
            printf("%" PRIu64, p->size);
        else
            fputs("null", stdout);
        printf(",\"status\":%d,\"reason\":", p->status);
        cli_json_string(stdout, p->reason);
        putchar('}');
    }
    fputs("],\"log\":", stdout);
    if (r->is_log)
        status_log_json(&r->log);
    else
        fputs("null", stdout);
    if (r->was_sent) {
        printf(",\"last_sending\":{\"age_ms\":%" PRId64 ",", r->sending_age_ms);
        cli_figures_json(&r->sending);
        putchar('}');
    }
    fputs("}\n", stdout);
}

static void status_age(const char *before, int64_t age_ms, const char *behind)
{
    int64_t seconds = age_ms / 1000;

    printf("%s%" PRId64 ":%02d:%02d %s\n", before, seconds / 3600, (int)(seconds / 60 % 60), (int)(seconds % 60),
           behind);
}

static void status_print(const status_report *r)
{
    char text[CLI_KEY_TEXT];

    fputs("buffer   ", stdout);
    cli_escape(stdout, r->s->buffer_place.url);
    printf("\npending  %" PRIu64 " %s, %" PRIu64 " bytes\n", r->blobs, r->blobs == 1 ? "blob" : "blobs", r->bytes);
    if (r->oldest_ms >= 0)
        status_age("oldest   ", r->oldest_ms, "(hours, minutes, seconds)");
    else
        printf("oldest   -\n");
    if (r->is_log)
        status_log(&r->log);
    if (r->was_sent) {
        status_age("sending  ", r->sending_age_ms, "ago; it ended so:");
        cli_figures(&r->sending);
    }
    printf("parked   %" PRIu64 "\n", r->parked_blobs);
    for (const status_parked *p = r->parked; p != NULL; p = p->next) {
        printf("%s  ", p->hex[0] != '\0' ? p->hex : cli_key_text(blob_key_of(NULL, 0), text));
        if (p->size != UINT64_MAX)
            printf("%" PRIu64 "  ", p->size);
        else
            printf("-  ");
        cli_escape(stdout, p->reason);
        putchar('\n');
    }
}

static int status_gather(status_report *r)
{
    const cli_place *place = &r->s->buffer_place;
    blob_ctx *ctx = r->s->c->ctx;
    int rc = place->scheme->oldest_ms(r->s->buffer, place->dir, ctx, &r->oldest_ms);

    r->was_sent = cli_record_read(place->dir, &r->sending, &r->sending_age_ms);
    if (rc == 0)
        rc = blob_store_list(r->s->buffer, ctx, blob_key_of(NULL, 0), status_look, r);
    if (rc != 0 || place->scheme->info == NULL)
        return rc;
    r->is_log = true; /* asked last: it counts the damage that was found on the way */
    r->log.struct_size = sizeof r->log;
    return place->scheme->info(r->s->buffer, &r->log);
}

void cli_status(cli *c)
{
    cli_session s;
    status_report r = {.s = &s, .oldest_ms = -1};
    int rc;

    r.end = &r.parked;
    if ((rc = cli_session_open(&s, c, CLI_LOOKING)) != 0) {
        cli_worsen(c, rc);
        goto out;
    }
    rc = status_gather(&r);
    if (cli_ended(c))
        goto out;
    if (rc != 0) {
        cli_say_status(c, s.buffer_place.url, rc, NULL);
        cli_worsen(c, CLI_FAILED);
        goto out;
    }
    if ((c->options.given & CLI_OPT_JSON) != 0)
        status_print_json(&r);
    else
        status_print(&r);
    (void)cli_flush(c);
    if (r.parked_blobs > 0 || r.log.damaged_records > 0)
        cli_worsen(c, CLI_NO);
out:
    while (r.parked != NULL) {
        status_parked *next = r.parked->next;

        free(r.parked);
        r.parked = next;
    }
    cli_session_close(&s);
}
