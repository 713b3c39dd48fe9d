/* recover.c - what is in a log when it is opened. logstore.h has the rules.
 *
 *   1. Look: every segment's header and trailer; the bytes of those without a footer, for what they vouch for. That
 *      gives M, and for each segment the LSN at which a newer one cuts it off (rules 2 and 3).
 *   2. Replay: records in order. Up to M they count; those missing are damage. Those above M are the tail.
 *   3. Cut (after a crash): the tail's whole records again, in a new segment (rule 4).
 *
 * A log opened read only does the first two, takes the tail as it is, and looks at the end whether the writer has
 * retired one of the segments meanwhile: then it begins again. */
#include "logstore/logstore.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct rec_numbers {
    uint64_t *list;
    size_t count, room;
} rec_numbers;

/* A record of the tail. */
typedef struct rec_redo {
    struct rec_redo *next;
    log_segment *segment;
    log_record r; /* its key is here: */
    unsigned char key[];
} rec_redo;

typedef struct rec_segment {
    log_segment *s;
    log_extent x;
    log_scan scan;  /* of an unsealed one */
    uint64_t limit; /* records from this LSN on are no more */
    bool has_first; /* s->first_lsn is known */
} rec_segment;

typedef struct recovery {
    logstore *l;
    rec_numbers segments, spares, aside;
    rec_segment *all;
    uint64_t vouched; /* M */
    uint64_t expect;  /* the next LSN */
    bool expects;     /* is known */
    rec_redo *redo, **redo_end;
    uint64_t redo_bytes, redo_footer;
    /* of the segment at hand: */
    rec_segment *at;
    uint64_t end;     /* where its last record ends */
    uint64_t missing; /* records, so far */
    log_entry *last;  /* the entry of its last record, if it is one */
} recovery;

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

static int rec_list(recovery *rec)
{
    const log_disk_ops *ops = rec->l->disk->ops;
    int rc = 0;

    /* What a killed process did to names, and did not live to sync, must not be built upon before it lasts. */
    if (!rec->l->opened_read_only && rec->l->sync_mode != BLOB_LOGSTORE_SYNC_NEVER)
        rc = ops->sync_folder(rec->l->disk);
    if (rc != 0)
        return wb_log_fail(rec->l, rc, "sync", ".");
    rc = ops->list(rec->l->disk, rec_name, rec);

    if (rc != 0)
        return wb_log_fail(rec->l, rc, "list", ".");
    if (rec->segments.count > 0)
        qsort(rec->segments.list, rec->segments.count, sizeof *rec->segments.list, rec_compare);
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
static int rec_unreadable(const logstore *l, const log_segment *s)
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
    uint64_t id = 0;
    log_record r;

    if (s->size < LOG_BLOCK + sizeof bytes || wb_log_read(l, s, bytes, sizeof bytes, LOG_BLOCK) != 0)
        return 0;
    for (size_t i = 8; i-- > 0;)
        id = id << 8 | bytes[56 + i];
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
        return rec_unreadable(l, s);
    if (s->size >= LOG_BLOCK && rc == 0 && wb_log_header_decode(block, &h)) {
        if ((rc = rec_header_check(l, s, &h)) != 0 || (rc = rec_id(l, s, h.log_id)) != 0)
            return rc;
        s->first_lsn = h.first_lsn;
        s->recovery = h.recovery;
        g->has_first = true;
        return 0;
    }
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

/* ---- replay ---- */

static void rec_missing(recovery *rec, uint64_t upto, uint64_t offset)
{
    log_finding what = {.offset = rec->end,
                        .size = offset > rec->end ? offset - rec->end : 0,
                        .what = "records are damaged or missing"};
    uint64_t records = upto - rec->expect;

    wb_log_found_locked(rec->l, rec->at->s, &what, blob_key_of(NULL, 0), records);
    rec->missing += records;
    rec->expect = upto;
}

static int rec_apply_put(recovery *rec, log_entry *e, const log_record *r, uint16_t padding)
{
    logstore *l = rec->l;
    blob_key key = blob_key_of(r->key, r->key_size);
    int rc = 0;

    if (e != NULL) {
        wb_log_count_out_locked(l, e);
    } else if ((e = wb_log_entry_new(key)) == NULL || (rc = wb_log_insert_locked(l, e)) != 0) {
        free(e);
        return blob_fail(-ENOMEM, 0, "no memory for the index of %.150s", l->dir);
    }
    e->segment = rec->at->s;
    e->offset8 = (uint32_t)(r->offset / 8);
    e->size = r->size;
    e->crc = r->crc;
    e->time_s = (uint32_t)(r->time_ms / 1000);
    e->padding = padding;
    e->flags = (r->flags & LOG_FLAG_DAMAGED) != 0 ? LOG_DAMAGED : 0;
    wb_log_count_in_locked(l, e);
    rec->last = e;
    return rc;
}

static int rec_apply(recovery *rec, const log_record *r)
{
    logstore *l = rec->l;
    log_entry *e;

    rec->last = NULL;
    if (r->type == LOG_NOTE)
        return 0;
    e = wb_log_find_locked(l, blob_key_of(r->key, r->key_size));
    if (r->type == LOG_PUT)
        return rec_apply_put(rec, e, r, r->padding);
    if (e != NULL) {
        wb_log_count_out_locked(l, e);
        wb_log_remove_locked(l, e);
        free(e);
    }
    return 0;
}

/* A record that nothing vouches for: whole or torn? */
static int rec_tail(recovery *rec, const log_record *r)
{
    logstore *l = rec->l;
    log_image *image;
    rec_redo *redo;
    bool torn;
    int rc;

    if (r->type == LOG_PUT && (r->flags & LOG_FLAG_DAMAGED) == 0) {
        rc = wb_log_image_load(l, rec->at->s, r->offset, blob_key_of(r->key, r->key_size), r->size, r->crc, &image);
        if (rc != 0)
            return rc;
        torn = image->damaged;
        if (image->error != 0 && image->error != -ENODATA && !l->opened_read_only)
            rc = rec_unreadable(l, rec->at->s); /* what cannot be read proves nothing */
        wb_log_image_drop(image);
        if (torn) {
            l->torn_records += rc == 0;
            return rc;
        }
    }
    if (l->opened_read_only)
        return rec_apply(rec, r);
    if ((redo = malloc(sizeof *redo + r->key_size)) == NULL)
        return blob_fail(-ENOMEM, 0, "no memory to open %.150s", l->dir);
    *redo = (rec_redo){.segment = rec->at->s, .r = *r};
    if (r->key_size > 0)
        memcpy(redo->key, r->key, r->key_size);
    redo->r.key = redo->key;
    *rec->redo_end = redo;
    rec->redo_end = &redo->next;
    rec->redo_bytes += wb_log_round(wb_log_record_bytes(r->key_size, r->size), 8) + LOG_BLOCK;
    rec->redo_footer += LOG_FOOTER_ENTRY + r->key_size;
    return 0;
}

static int rec_record(void *arg, const log_record *r)
{
    recovery *rec = arg;

    /* The padding in front of a batch belongs to the record before it. */
    if (rec->last != NULL && r->offset > rec->end && r->offset - rec->end < LOG_BLOCK && r->offset % LOG_BLOCK == 0) {
        wb_log_count_out_locked(rec->l, rec->last);
        rec->last->padding = (uint16_t)(r->offset - rec->end);
        wb_log_count_in_locked(rec->l, rec->last);
    }
    if (r->lsn >= rec->at->limit)
        return 0;
    if (r->lsn > rec->vouched) {
        if (rec->expects && rec->expect <= rec->vouched)
            rec_missing(rec, rec->vouched + 1, r->offset);
        rec->end = r->offset + wb_log_record_bytes(r->key_size, r->size);
        return rec_tail(rec, r);
    }
    if (rec->expects && r->lsn < rec->expect)
        return 0;
    if (rec->expects && r->lsn > rec->expect)
        rec_missing(rec, r->lsn, r->offset);
    rec->expect = r->lsn + 1;
    rec->expects = true;
    rec->end = r->offset + wb_log_record_bytes(r->key_size, r->size) + r->padding;
    return rec_apply(rec, r);
}

/* What the log should hold between the segment before and this one. */
static void rec_missing_before(recovery *rec, const rec_segment *g, const rec_segment *before)
{
    log_finding what = {.segment = before != NULL ? before->s->number + 1 : 0, .what = "the segment is missing"};

    if (!g->has_first)
        return;
    if (rec->expects && g->s->first_lsn > rec->expect && rec->expect <= rec->vouched && before != NULL &&
        before->s->number + 1 != g->s->number) {
        wb_log_found_locked(rec->l, NULL, &what, blob_key_of(NULL, 0), g->s->first_lsn - rec->expect);
        rec->expect = g->s->first_lsn;
    }
    if (!rec->expects) {
        rec->expect = g->s->first_lsn;
        rec->expects = true;
    }
}

static int rec_replay_one(recovery *rec, rec_segment *g, const rec_segment *next)
{
    logstore *l = rec->l;
    uint64_t upto = rec->vouched + 1;
    bool good = false;
    int rc;

    rec->at = g;
    rec->end = LOG_BLOCK;
    rec->missing = 0;
    rec->last = NULL;
    if ((rc = wb_log_pin_locked(l, g->s)) != 0)
        return rc;
    rc = wb_log_scan_footer(l, g->s, &g->x, rec_record, rec, &good);
    if (rc == 0 && !good) /* a footer may be torn by a crash; if it was damaged later, the records tell the same */
        rc = wb_log_scan_bytes(l, g->s, rec_record, rec, &g->scan);
    wb_log_unpin_locked(l, g->s);
    /* What should follow here and does not. */
    if (g->limit < upto)
        upto = g->limit;
    if (next != NULL && next->has_first && next->s->first_lsn < upto)
        upto = next->s->first_lsn;
    if (g->x.sealed && g->x.first_lsn + g->x.count < upto)
        upto = g->x.first_lsn + g->x.count;
    if (rc == 0 && rec->expects && rec->expect < upto)
        rec_missing(rec, upto, g->s->size);
    if (rc == 0 && g->scan.unreadable && !l->opened_read_only)
        rc = rec_unreadable(l, g->s);
    if (!g->x.sealed && g->scan.broken > rec->missing)
        l->torn_records += g->scan.broken - rec->missing;
    return rc;
}

static int rec_replay(recovery *rec)
{
    log_finding what = {.what = "the segment is missing"};
    size_t count = rec->segments.count;
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++) {
        rec_segment *g = &rec->all[i];

        rec_missing_before(rec, g, i > 0 ? g - 1 : NULL);
        rc = rec_replay_one(rec, g, i + 1 < count ? g + 1 : NULL);
    }
    if (rc == 0 && count > 0 && rec->all[count - 1].x.continued) {
        what.segment = rec->all[count - 1].s->number + 1;
        wb_log_found_locked(rec->l, NULL, &what, blob_key_of(NULL, 0), 1);
    }
    return rc;
}

/* ---- cut ---- */

static int rec_commit(logstore *l, log_kind kind, log_entry *entry, log_entry *old, log_image *image)
{
    log_item *i = wb_log_item_new(kind);

    if (i == NULL)
        return blob_fail(-ENOMEM, 0, "no memory to open %.150s", l->dir);
    i->entry = entry;
    i->old = old;
    i->image = image;
    pthread_mutex_lock(&l->lock);
    return wb_log_commit_unlock(l, NULL, i);
}

static int rec_redo_put(logstore *l, const rec_redo *redo)
{
    blob_key key = blob_key_of(redo->key, redo->r.key_size);
    log_entry *old, *e = wb_log_entry_new(key);
    log_image *image = NULL;
    int rc;

    pthread_mutex_lock(&l->lock);
    rc = wb_log_pin_locked(l, redo->segment);
    if (rc == 0)
        rc = wb_log_image_load(l, redo->segment, redo->r.offset, key, redo->r.size, redo->r.crc, &image);
    if (rc == 0)
        wb_log_unpin_locked(l, redo->segment);
    if (rc == 0 && image->error != 0 && image->error != -ENODATA)
        rc = rec_unreadable(l, redo->segment);
    if (rc == 0 && image->damaged && (redo->r.flags & LOG_FLAG_DAMAGED) == 0)
        rc = blob_fail(-EIO, 0, "%.150s cannot be read twice the same; see to the disk and open it again", l->dir);
    old = wb_log_find_locked(l, key);
    if (rc == 0)
        image->time_ms = redo->r.time_ms;
    if (rc == 0 && e != NULL)
        rc = wb_log_put_begin_locked(l, e, old, image);
    pthread_mutex_unlock(&l->lock);
    if (rc != 0 || e == NULL) {
        wb_log_image_drop(image);
        free(e);
        return rc != 0 ? rc : blob_fail(-ENOMEM, 0, "no memory to open %.150s", l->dir);
    }
    return rec_commit(l, LOG_ITEM_PUT, e, old, image);
}

static int rec_redo_one(logstore *l, const rec_redo *redo)
{
    log_entry *e;

    if (redo->r.type == LOG_NOTE)
        return 0;
    l->rewritten++;
    if (redo->r.type == LOG_PUT)
        return rec_redo_put(l, redo);
    pthread_mutex_lock(&l->lock);
    e = wb_log_find_locked(l, blob_key_of(redo->key, redo->r.key_size));
    if (e != NULL)
        e->flags |= LOG_BUSY;
    pthread_mutex_unlock(&l->lock);
    return e != NULL ? rec_commit(l, LOG_ITEM_DELETE, e, NULL, NULL) : 0;
}

static bool rec_must_cut(const recovery *rec)
{
    if (rec->redo != NULL)
        return true;
    for (size_t i = 0; i < rec->segments.count; i++)
        if (!rec->all[i].x.sealed && rec->all[i].limit == UINT64_MAX)
            return true;
    return false;
}

static int rec_cut(recovery *rec)
{
    logstore *l = rec->l;
    int rc;

    /* Nothing may vouch for the new segment before all of the tail is in it. */
    l->recovering = true;
    l->cut_lsn = l->next_lsn;
    rc = wb_log_rotate(l, rec->redo_bytes + 4 * LOG_BLOCK, rec->redo_footer + 2 * LOG_FOOTER_ENTRY, true);
    if (rc == 0)
        rc = rec_commit(l, LOG_ITEM_NOTE, NULL, NULL, NULL);
    for (const rec_redo *redo = rec->redo; redo != NULL && rc == 0; redo = redo->next)
        rc = rec_redo_one(l, redo);
    if (rc == 0)
        rc = rec_commit(l, LOG_ITEM_SYNC, NULL, NULL, NULL);
    if (rc == 0)
        rc = rec_commit(l, LOG_ITEM_VOUCH, NULL, NULL, NULL);
    l->recovering = false;
    return rc;
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

/* Read only: is every segment that was read still one of the log's? */
static int rec_still_there(recovery *rec)
{
    recovery now = {.l = rec->l};
    int rc = rec->l->disk->ops->list(rec->l->disk, rec_name, &now);
    size_t at = 0;

    if (now.segments.count > 0)
        qsort(now.segments.list, now.segments.count, sizeof *now.segments.list, rec_compare);
    for (size_t i = 0; i < rec->segments.count && rc == 0; i++) {
        while (at < now.segments.count && now.segments.list[at] < rec->segments.list[i])
            at++;
        if (at == now.segments.count || now.segments.list[at] != rec->segments.list[i])
            rc = -EAGAIN;
    }
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

int wb_log_recover(logstore *l)
{
    recovery rec = {.l = l, .expect = 1};
    int rc;

    rec.redo_end = &rec.redo;
    rc = rec_list(&rec);
    if (rc == 0)
        rc = rec_look(&rec);
    if (rc == 0)
        rc = rec_spares(&rec);
    if (rc == 0)
        rc = rec_replay(&rec);
    if (l->opened_read_only) { /* whatever it seems to be, that the writer took a segment away comes first */
        int there = rec_still_there(&rec);
        rc = there != 0 ? there : rc;
    }
    if (rc == 0 && l->log_id == 0)
        l->log_id = l->disk->ops->random(l->disk) | 1;
    if (rc == 0) {
        l->next_lsn = rec.expect > rec.vouched + 1 ? rec.expect : rec.vouched + 1;
        l->durable = l->vouched = l->written_lsn = l->next_lsn - 1;
        if (!l->opened_read_only && rec_must_cut(&rec))
            rc = rec_cut(&rec);
    }
    rec_free(&rec);
    return rc;
}
