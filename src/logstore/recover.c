/* recover.c - what is in a log when it is opened. logstore.h has the rules.
 *
 *   1. Look: every segment's header and trailer; the bytes of those without a footer, for what they vouch for. That
 *      gives M, and for each segment the LSN at which a newer one cuts it off (rules 2 and 3).
 *   2. Replay: records in order. Up to M they count; those missing are damage. Those above M are the tail.
 *   3. Cut (after a crash): the tail's whole records again, in a new segment (rule 4).
 *
 * A log opened read only does the first two, takes the tail as it is, and looks at the end whether the writer has
 * retired one of the segments meanwhile: then it begins again. */
#include "logstore/recover.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

static bool rec_note(rec_numbers *n, uint64_t number)
{
    if (n->count == n->room) {
        size_t room = n->room > 0 ? 2 * n->room : 64;
        uint64_t *list = realloc(n->list, room * sizeof *list);
        if (list == NULL)
            return false;
        n->list = list;
        n->room = room;
    }
    n->list[n->count++] = number;
    return true;
}

static int rec_name(void *arg, const char *name)
{
    recovery *rec = arg;
    uint64_t number;
    bool ok = true;

    switch (wb_log_name_parse(name, &number)) {
    case LOG_NAME_SEGMENT:
        ok = rec_note(&rec->segments, number);
        break;
    case LOG_NAME_SPARE:
        ok = rec_note(&rec->spares, number);
        break;
    case LOG_NAME_DAMAGED:
        ok = rec_note(&rec->aside, number);
        break;
    default:
        break;
    }
    return ok ? 0 : -ENOMEM;
}

static int rec_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static int rec_names(recovery *rec)
{
    int rc = rec->l->disk->ops->list(rec->l->disk, rec_name, rec);

    if (rec->segments.count > 0)
        qsort(rec->segments.list, rec->segments.count, sizeof *rec->segments.list, rec_compare);
    return rc;
}

static int rec_list(recovery *rec)
{
    const log_disk_ops *ops = rec->l->disk->ops;
    int rc = 0;

    /* What a killed process did to names, and did not live to sync, must not be built upon before it lasts. */
    if (!rec->l->opened_read_only && rec->l->sync_mode != BLOB_LOGSTORE_SYNC_NEVER)
        rc = ops->sync_folder(rec->l->disk);
    if (rc != 0)
        return wb_log_fail(rec->l, rc, "sync", ".");
    if ((rc = rec_names(rec)) != 0)
        return wb_log_fail(rec->l, rc, "list", ".");
    rec->all = calloc(rec->segments.count + 1, sizeof *rec->all);
    return rec->all != NULL ? 0 : blob_fail(-ENOMEM, 0, "no memory to open %.150s", rec->l->dir);
}

/* ---- look ---- */

static int rec_two_logs(const logstore *l, const log_segment *s)
{
    return blob_fail(BLOB_CORRUPT, 0,
                     "%.120s/%016" PRIx64 ".log belongs to another log than the segments before it; move it away",
                     l->dir, s->number);
}

static int rec_id(logstore *l, const log_segment *s, uint64_t id)
{
    if (l->log_id != 0 && l->log_id != id)
        return rec_two_logs(l, s);
    l->log_id = id;
    return 0;
}

/* What was not read proves nothing: it may hold what was acknowledged, or what deleted something. So nothing may be
 * settled without it. */
int wb_log_unreadable(const logstore *l, const log_segment *s)
{
    return blob_fail(-EIO, 0,
                     "%.100s/%016" PRIx64 ".log cannot be read; see to the disk and open it again, or open it read "
                     "only to save what can be read",
                     l->dir, s->number);
}

static int rec_header_check(const logstore *l, const log_segment *s, const log_header *h)
{
    if (h->version != LOG_VERSION || (h->features & ~(uint64_t)LOG_FEATURES) != 0)
        return blob_fail(BLOB_UNSUPPORTED, 0,
                         "%.120s/%016" PRIx64 ".log is of format %u, features %#" PRIx64
                         ": a newer library made it, and must open it",
                         l->dir, s->number, (unsigned)h->version, h->features);
    if (h->segment != s->number)
        return blob_fail(BLOB_CORRUPT, 0,
                         "%.100s/%016" PRIx64 ".log is, by its header, segment %016" PRIx64
                         ": it was renamed; give it back its name",
                         l->dir, s->number, h->segment);
    return 0;
}

/* The id of the log, from the first record of a segment whose header is lost. */
static int rec_guess_id(logstore *l, const log_segment *s)
{
    unsigned char bytes[LOG_RECORD_HEADER + BLOB_KEY_MAX];
    uint64_t id;
    log_record r;

    if (s->size < LOG_BLOCK + sizeof bytes || wb_log_read(l, s, bytes, sizeof bytes, LOG_BLOCK) != 0)
        return 0;
    id = wb_log_record_log_id(bytes);
    if (wb_log_record_decode(bytes, sizeof bytes, (log_where){id, s->number}, LOG_BLOCK, &r, NULL))
        return rec_id(l, s, id);
    return 0;
}

static int rec_look_header(recovery *rec, rec_segment *g)
{
    logstore *l = rec->l;
    unsigned char block[LOG_BLOCK];
    log_finding what = {.offset = 0, .size = LOG_BLOCK, .what = "the segment's header is damaged"};
    log_segment *s = g->s;
    log_header h;
    int rc = 0;

    wb_log_extent_read(l, s, &g->x);
    if (s->size >= LOG_BLOCK)
        rc = wb_log_read(l, s, block, sizeof block, 0);
    if (rc != 0 && !l->opened_read_only)
        return wb_log_unreadable(l, s);
    if (s->size >= LOG_BLOCK && rc == 0 && wb_log_header_decode(block, &h)) {
        if ((rc = rec_header_check(l, s, &h)) != 0 || (rc = rec_id(l, s, h.log_id)) != 0)
            return rc;
        s->first_lsn = h.first_lsn;
        s->recovery = h.recovery;
        g->has_first = true;
        g->unsynced = h.unsynced;
        return 0;
    }
    g->unsynced = true; /* it cannot be told */
    wb_log_found_locked(l, s, &what, blob_key_of(NULL, 0), 0);
    if (g->x.sealed) {
        s->first_lsn = g->x.first_lsn;
        g->has_first = true;
        return rec_id(l, s, g->x.log_id);
    }
    return l->log_id == 0 ? rec_guess_id(l, s) : 0;
}

/* Only for what the records vouch for, and the first LSN if the header is lost. */
static int rec_look_record(void *arg, const log_record *r)
{
    rec_segment *g = arg;

    if (!g->has_first) {
        g->s->first_lsn = r->lsn;
        g->has_first = true;
    }
    return 0;
}

/* Where a log without syncs went before, one that syncs must not take anything for lasting. */
static int rec_make_last(logstore *l, const rec_segment *g)
{
    int rc;

    if (!g->unsynced || l->opened_read_only || l->sync_mode == BLOB_LOGSTORE_SYNC_NEVER)
        return 0;
    rc = l->disk->ops->sync(l->disk, g->s->fd);
    return rc == 0 ? 0 : wb_log_fail_name(l, rc, "sync", g->s->number);
}

static int rec_look_one(recovery *rec, rec_segment *g)
{
    logstore *l = rec->l;
    uint64_t durable;
    int rc;

    if ((rc = wb_log_pin_locked(l, g->s)) != 0)
        return rc;
    if ((rc = l->disk->ops->size(l->disk, g->s->fd, &g->s->size)) != 0)
        rc = wb_log_fail_name(l, rc, "look at", g->s->number);
    if (rc == 0)
        rc = rec_look_header(rec, g);
    if (rc == 0 && !g->x.sealed)
        rc = wb_log_scan_bytes(l, g->s, rec_look_record, g, &g->scan);
    if (rc == 0)
        rc = rec_make_last(l, g);
    wb_log_unpin_locked(l, g->s);
    durable = g->x.sealed ? g->x.durable : g->scan.durable;
    if (durable > rec->vouched)
        rec->vouched = durable;
    return rc;
}

static int rec_look(recovery *rec)
{
    logstore *l = rec->l;
    uint64_t limit = UINT64_MAX;
    int rc;

    for (size_t i = 0; i < rec->segments.count; i++) {
        rec_segment *g = &rec->all[i];
        if ((g->s = wb_log_segment_new(rec->segments.list[i])) == NULL)
            return blob_fail(-ENOMEM, 0, "no memory to open %.150s", l->dir);
        wb_log_segment_add_locked(l, g->s);
        if ((rc = rec_look_one(rec, g)) != 0)
            return rc;
        g->s->sealed = g->x.sealed;
        l->segment_total += g->s->size;
    }
    for (size_t i = rec->segments.count; i-- > 0;) {
        rec_segment *g = &rec->all[i];
        g->limit = limit;
        /* A recovery that did not come to its end: what it wrote again is where it was. */
        if (g->s->recovery && g->s->first_lsn > rec->vouched)
            g->limit = 0;
        if (g->has_first && g->s->first_lsn <= rec->vouched && g->s->first_lsn < limit)
            limit = g->s->first_lsn;
    }
    return 0;
}

/* ---- all of it ---- */

static int rec_spares(recovery *rec)
{
    logstore *l = rec->l;
    char name[LOG_NAME_MAX];
    int rc = 0;

    for (size_t i = 0; i < rec->spares.count && rc == 0; i++) {
        rc = wb_log_spare_adopt(l, rec->spares.list[i]);
        if (rc != 0 && l->opened_read_only)
            rc = 0; /* taken into use meanwhile */
    }
    for (size_t i = 0; i < rec->aside.count; i++) {
        uint64_t size = 0;
        int fd;

        wb_log_segment_name_aside(name, rec->aside.list[i]);
        l->set_aside++;
        if (l->disk->ops->open(l->disk, name, LOG_OPEN_READ, &fd) != 0)
            continue;
        (void)l->disk->ops->size(l->disk, fd, &size);
        (void)l->disk->ops->close(l->disk, fd);
        l->set_aside_bytes += size;
    }
    return rc;
}

/* Read only: a name that a listing missed, since it came while the folder was being read. */
static bool rec_is_there(const logstore *l, uint64_t number)
{
    char name[LOG_NAME_MAX];
    int fd;

    wb_log_segment_name(name, number);
    if (l->disk->ops->open(l->disk, name, LOG_OPEN_READ, &fd) != 0)
        return false;
    (void)l->disk->ops->close(l->disk, fd);
    return true;
}

/* The writer takes segments away at one end and adds them at the other; in between there is no gap but where one is
 * lost. */
static int rec_same_segments(const recovery *rec, const recovery *now)
{
    const rec_numbers *was = &rec->segments, *is = &now->segments;

    if (is->count < was->count)
        return -EAGAIN;
    for (size_t i = 0; i < was->count; i++) {
        if (is->list[i] != was->list[i])
            return -EAGAIN;
        if (i > 0 && was->list[i] != was->list[i - 1] + 1 && rec_is_there(rec->l, was->list[i - 1] + 1))
            return -EAGAIN;
    }
    /* The last one says that another followed: it may have come after the listing. */
    if (was->count > 0 && rec->all[was->count - 1].x.continued && rec_is_there(rec->l, was->list[was->count - 1] + 1))
        return -EAGAIN;
    return 0;
}

/* Read only: is what was read still what the log is made of? */
static int rec_still_there(recovery *rec)
{
    recovery now = {.l = rec->l};
    int rc = rec_names(&now);

    if (rc == 0)
        rc = rec_same_segments(rec, &now);
    free(now.segments.list);
    free(now.spares.list);
    free(now.aside.list);
    return rc;
}

static void rec_free(recovery *rec)
{
    rec_redo *next;

    for (rec_redo *redo = rec->redo; redo != NULL; redo = next) {
        next = redo->next;
        free(redo);
    }
    free(rec->all);
    free(rec->segments.list);
    free(rec->spares.list);
    free(rec->aside.list);
}

/* Numbers above all that there are: none is given twice. */
static void rec_numbers_begin(recovery *rec)
{
    logstore *l = rec->l;

    l->next_number = l->next_spare = 1;
    for (size_t i = 0; i < rec->segments.count; i++)
        if (rec->segments.list[i] >= l->next_number)
            l->next_number = rec->segments.list[i] + 1;
    for (size_t i = 0; i < rec->aside.count; i++)
        if (rec->aside.list[i] >= l->next_number)
            l->next_number = rec->aside.list[i] + 1;
    for (size_t i = 0; i < rec->spares.count; i++)
        if (rec->spares.list[i] >= l->next_spare)
            l->next_spare = rec->spares.list[i] + 1;
}

int wb_log_recover(logstore *l)
{
    recovery rec = {.l = l, .expect = 1};
    int rc;

    rec.redo_end = &rec.redo;
    rc = rec_list(&rec);
    rec_numbers_begin(&rec);
    if (rc == 0)
        rc = rec_look(&rec);
    if (rc == 0)
        rc = rec_spares(&rec);
    if (rc == 0)
        rc = wb_log_replay(&rec);
    /* Whatever it seems to be, that the writer took a segment away comes first. Without the list nothing was read yet. */
    if (l->opened_read_only && rec.all != NULL) {
        int there = rec_still_there(&rec);
        rc = there != 0 ? there : rc;
    }
    if (rc == 0 && l->log_id == 0)
        l->log_id = l->disk->ops->random(l->disk) | 1;
    if (rc == 0) {
        l->next_lsn = rec.expect > rec.vouched + 1 ? rec.expect : rec.vouched + 1;
        l->durable = l->vouched = l->written_lsn = l->next_lsn - 1;
        /* Headers, footers and room that was left are no better than what died. */
        l->copy_credit = (int64_t)l->segment_total - (int64_t)l->live_bytes;
        if (!l->opened_read_only && wb_log_must_cut(&rec))
            rc = wb_log_cut(&rec);
    }
    rec_free(&rec);
    return rc;
}
