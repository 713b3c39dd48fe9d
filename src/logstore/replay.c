/* replay.c - the records of a log, in order, when it is opened. Those that something vouches for count, and those of them
 * that are missing are damage; the others are the tail, to be written again if they are whole (rules 2 to 4). */
#include "logstore/recover.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

static int rec_apply_put(recovery *rec, log_entry *e, const log_record *r)
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
    e->padding = r->padding;
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
        return rec_apply_put(rec, e, r);
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
            rc = wb_log_unreadable(l, rec->at->s); /* what cannot be read proves nothing */
        wb_log_image_drop(image);
        if (torn) {
            l->torn_records += rc == 0;
            return rc;
        }
    }
    if (l->opened_read_only) {
        /* The writer may be at it: what follows a record that was not there yet a moment ago is not of one moment. */
        if (r->lsn != rec->expect)
            return 0;
        rec->expect++;
        return rec_apply(rec, r);
    }
    if ((redo = malloc(sizeof *redo + r->key_size)) == NULL)
        return blob_fail(-ENOMEM, 0, "no memory to open %.150s", l->dir);
    *redo = (rec_redo){.segment = rec->at->s, .r = *r};
    if (r->key_size > 0)
        memcpy(redo->key, r->key, r->key_size);
    redo->r.key = redo->key;
    *rec->redo_end = redo;
    rec->redo_end = &redo->next;
    rec->redo_bytes += wb_log_record_bytes(r->key_size, r->size);
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

    /* One that is cut off whole says nothing of what came before it, even if it is the oldest that is left. */
    if (!g->has_first || g->limit <= g->s->first_lsn)
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
    if (l->opened_read_only && g->has_first && g->s->first_lsn > rec->vouched && g->s->first_lsn < rec->expect)
        rec->expect = g->s->first_lsn; /* a batch that began again here */
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
        rc = wb_log_unreadable(l, g->s);
    if (!g->x.sealed && g->scan.broken > rec->missing)
        l->torn_records += g->scan.broken - rec->missing;
    return rc;
}

int wb_log_replay(recovery *rec)
{
    log_finding what = {.what = "the segment is missing"};
    size_t count = rec->segments.count;
    rec_segment *all = rec->all;
    int rc = 0;

    assert(all != NULL);
    for (size_t i = 0; i < count && rc == 0; i++) {
        rec_segment *g = &all[i];

        rec_missing_before(rec, g, i > 0 ? g - 1 : NULL);
        rc = rec_replay_one(rec, g, i + 1 < count ? g + 1 : NULL);
    }
    if (rc == 0 && count > 0 && all[count - 1].x.continued) {
        what.segment = all[count - 1].s->number + 1;
        wb_log_found_locked(rec->l, NULL, &what, blob_key_of(NULL, 0), 1);
    }
    return rc;
}
