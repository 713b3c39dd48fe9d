/* cut.c - after a crash: the tail's whole records again, in a new segment that cuts off the old ones (rule 4). */
#include "logstore/recover.h"

#include <errno.h>
#include <stdlib.h>

static int rec_commit(logstore *l, log_kind kind, log_entry *entry, log_entry *old, log_image *image)
{
    log_item *i = wb_log_item_new(kind);

    if (i == NULL) {
        wb_log_image_drop(image);
        if (old != NULL)
            free(entry); /* a new one is in the index */
        return blob_fail(-ENOMEM, 0, "no memory to open %.150s", l->dir);
    }
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
        rc = wb_log_unreadable(l, redo->segment);
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

bool wb_log_must_cut(const recovery *rec)
{
    if (rec->redo != NULL)
        return true;
    for (size_t i = 0; i < rec->segments.count; i++)
        if (!rec->all[i].x.sealed && rec->all[i].limit == UINT64_MAX)
            return true;
    return false;
}

int wb_log_cut(recovery *rec)
{
    logstore *l = rec->l;
    int rc;

    /* Nothing may vouch for the new segment before all of the tail is in it. */
    l->recovering = true;
    l->cut_lsn = l->next_lsn;
    do
        rc = wb_log_rotate(l, rec->redo_bytes + 4 * LOG_BLOCK, rec->redo_footer + 2 * LOG_FOOTER_ENTRY, true);
    while (rc == -ENOSPC && wb_log_reclaim(l));
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
