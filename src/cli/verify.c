/* verify.c - verify: is every blob of the buffer what was put?
 *
 * Twice over, for the two say different things. A log knows where it lies and checks the checksum of every record, so
 * its findings name a place, and sometimes no blob at all. Then every blob is read, as a get would, and where its key
 * has an address's length its bytes are hashed: that also finds what was wrong before it came into the store. A blob
 * that a finding has named already gets no second line.
 *
 * With --base-too the same is done to the base: whoever has it open elsewhere keeps us out, unless it is a log.
 *
 * Changes nothing, sends nothing. */
#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct verify_key {
    unsigned char bytes[BLOB_KEY_MAX];
    unsigned char size;
    bool seen; /* as a blob that is damaged */
} verify_key;

/* A verification of one store. */
typedef struct verify_run {
    cli *c;
    const cli_place *place;
    blob_store *store;
    bool json, both;                /* both: lines must tell which store they are about */
    const char *name;               /* of the store: "buffer" or "base" */
    uint64_t blobs, damaged, other; /* other: findings that belong to no blob that is there and damaged */
    verify_key *keys;               /* of findings; in order from the second pass on */
    size_t count, room;
} verify_run;

static void verify_end_json(const verify_run *r)
{
    if (r->both)
        printf(",\"store\":\"%s\"", r->name);
    fputs("}\n", stdout);
}

/* A line of the report. key.data NULL: whose blob is hit is not known; file NULL: nor where. */
static void verify_print_json(const verify_run *r, blob_key key, const blob_logstore_finding *place, const char *reason)
{
    char hex[2 * BLOB_KEY_MAX + 1];

    fputs("{\"address\":", stdout);
    blob_key_hex(key, hex);
    if (key.data != NULL)
        printf("\"%s\",\"file\":", hex);
    else
        fputs("null,\"file\":", stdout);
    if (place->file != NULL)
        cli_json_string(stdout, place->file);
    else
        fputs("null", stdout);
    if (place->file != NULL && place->size > 0)
        printf(",\"offset\":%" PRIu64 ",\"size\":%" PRIu64 ",\"reason\":", place->offset, place->size);
    else
        fputs(",\"offset\":null,\"size\":null,\"reason\":", stdout);
    cli_json_string(stdout, reason);
    verify_end_json(r);
}

static int verify_print(verify_run *r, blob_key key, const blob_logstore_finding *place, const char *reason)
{
    char text[CLI_KEY_TEXT];

    if (r->json) {
        verify_print_json(r, key, place, reason);
    } else {
        printf("%s  %s%s", key.data != NULL ? cli_key_text(key, text) : "-", r->both ? r->name : "",
               r->both ? ":" : "");
        cli_escape(stdout, place->file != NULL ? place->file : "-");
        if (place->file != NULL && place->size > 0)
            printf(":%" PRIu64 "+%" PRIu64, place->offset, place->size);
        fputs("  ", stdout);
        cli_escape(stdout, reason);
        putchar('\n');
    }
    if (ferror(stdout))
        (void)cli_flush(r->c);
    return !r->c->out_failed && blob_ctx_status(r->c->ctx) == 0 ? 0 : BLOB_LIST_STOP;
}

static int verify_compare(const void *a, const void *b)
{
    const verify_key *one = a, *other = b;

    return blob_key_compare(blob_key_of(one->bytes, one->size), blob_key_of(other->bytes, other->size));
}

static int verify_remember(verify_run *r, blob_key key)
{
    if (r->count == r->room) {
        size_t room = r->room * 2 + 16;
        verify_key *keys = reallocarray(r->keys, room, sizeof *keys);

        if (keys == NULL)
            return blob_fail(-ENOMEM, 0, "no memory for the report");
        r->keys = keys;
        r->room = room;
    }
    if (key.size > 0)
        memcpy(r->keys[r->count].bytes, key.data, key.size);
    r->keys[r->count].size = (unsigned char)key.size;
    r->keys[r->count].seen = false;
    r->count++;
    return 0;
}

static int verify_finding(void *arg, const blob_logstore_finding *finding)
{
    verify_run *r = arg;
    int rc = 0;

    if (finding->key.data == NULL)
        r->other++;
    else
        rc = verify_remember(r, finding->key);
    return rc != 0 ? rc : verify_print(r, finding->key, finding, finding->text);
}

/* In order, and each once: a log may have found several things wrong with one blob. */
static void verify_sort(verify_run *r)
{
    size_t kept = 0;

    if (r->count > 1)
        qsort(r->keys, r->count, sizeof *r->keys, verify_compare);
    for (size_t i = 0; i < r->count; i++)
        if (kept == 0 || verify_compare(&r->keys[kept - 1], &r->keys[i]) != 0)
            r->keys[kept++] = r->keys[i];
    r->count = kept;
}

static verify_key *verify_find(const verify_run *r, blob_key key)
{
    verify_key wanted;

    if (r->count == 0)
        return NULL;
    if (key.size > 0)
        memcpy(wanted.bytes, key.data, key.size);
    wanted.size = (unsigned char)key.size;
    return bsearch(&wanted, r->keys, r->count, sizeof *r->keys, verify_compare);
}

static int verify_damaged(verify_run *r, blob_key key, int status)
{
    verify_key *found = verify_find(r, key);
    blob_logstore_finding place = {0};
    char name[CLI_KEY_TEXT + 4];
    blob_error error;

    r->damaged++;
    if (found != NULL) {
        found->seen = true;
        return 0;
    }
    if (r->place->scheme->place != NULL && r->place->scheme->place(key, name, sizeof name))
        place.file = name;
    blob_last_error(&error);
    return verify_print(r, blob_key_of(key.data != NULL ? key.data : "", key.size), &place,
                        error.status == status && error.text[0] != '\0' ? error.text : blob_strerror(status));
}

static int verify_blob(void *arg, blob_key key, uint64_t size)
{
    verify_run *r = arg;
    char text[CLI_KEY_TEXT];
    blob *b = NULL;
    int rc;

    (void)size;
    rc = cli_get_checked(r->store, r->c->ctx, key, &b);
    blob_unref(b);
    if (blob_ctx_status(r->c->ctx) != 0)
        return BLOB_LIST_STOP;
    if (rc == BLOB_NOT_FOUND) /* its host has removed it meanwhile */
        return 0;
    if (rc != 0 && !cli_is_damage(r->place, rc)) {
        cli_say_status(r->c, cli_key_text(key, text), rc, NULL);
        cli_worsen(r->c, CLI_FAILED);
        return 0;
    }
    r->blobs++;
    return rc == 0 ? 0 : verify_damaged(r, key, rc);
}

static void verify_summary(verify_run *r)
{
    for (size_t i = 0; i < r->count; i++)
        r->other += !r->keys[i].seen;
    if (r->json) {
        printf("{\"blobs\":%" PRIu64 ",\"damaged\":%" PRIu64 ",\"other\":%" PRIu64, r->blobs, r->damaged, r->other);
        verify_end_json(r);
    } else {
        printf("%s%s%" PRIu64 " %s checked, %" PRIu64 " damaged", r->both ? r->name : "", r->both ? ": " : "", r->blobs,
               r->blobs == 1 ? "blob" : "blobs", r->damaged);
        if (r->other > 0)
            printf(", %" PRIu64 " more %s damaged", r->other, r->other == 1 ? "place" : "places");
        putchar('\n');
    }
    (void)cli_flush(r->c);
    if (r->damaged > 0 || r->other > 0)
        cli_worsen(r->c, CLI_NO);
}

static void verify_store(verify_run *r)
{
    cli *c = r->c;
    int rc = 0;

    if (r->place->scheme->findings != NULL)
        rc = r->place->scheme->findings(r->store, c->ctx, 1, verify_finding, r);
    verify_sort(r);
    if (rc == 0 && !c->out_failed && blob_ctx_status(c->ctx) == 0)
        rc = blob_store_list(r->store, c->ctx, blob_key_of(NULL, 0), verify_blob, r);
    if (cli_ended(c) || c->out_failed)
        return;
    if (rc != 0) {
        cli_say_status(c, r->place->url, rc, NULL);
        cli_worsen(c, CLI_FAILED);
        return;
    }
    verify_summary(r);
}

static void verify_one(cli *c, const char *name, const cli_place *place, blob_store *store)
{
    verify_run r = {.c = c, .name = name, .place = place, .store = store};

    r.json = (c->options.given & CLI_OPT_JSON) != 0;
    r.both = (c->options.given & CLI_OPT_BASE_TOO) != 0;
    verify_store(&r);
    free(r.keys);
}

void cli_verify(cli *c)
{
    bool both = (c->options.given & CLI_OPT_BASE_TOO) != 0;
    cli_session s;
    int rc = cli_session_open(&s, c, both ? CLI_LOOKING_TWO : CLI_LOOKING);

    if (rc == 0)
        verify_one(c, "buffer", &s.buffer_place, s.buffer);
    if (rc == 0 && both && !cli_ended(c) && !c->out_failed && (rc = cli_session_look_base(&s)) == 0)
        verify_one(c, "base", &s.base_place, s.base);
    cli_worsen(c, rc);
    cli_session_close(&s);
}
