/* report.c - the state of a log in numbers, what is damaged in it, and errors in words. */
#include "logstore/logstore.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blob/folder.h"
#include "blob/status.h"
#include "blob/store.h"

/* ---- words ---- */

int wb_log_fail(logstore *l, int rc, const char *what, const char *name)
{
    if (rc == -ENODATA)
        return blob_fail(BLOB_CORRUPT, 0, "%.120s/%.40s is shorter than it was: somebody else writes to it", l->dir,
                         name);
    if (rc == -ENOTSUP) /* of an open, see disk.c */
        return blob_fail(rc, 0, "%.120s/%.40s is no plain file: move it away", l->dir, name);
    return blob_fail(wb_folder_status(-rc), 0, "cannot %s %.100s/%.40s: %s; %s", what, l->dir, name, blob_strerror(rc),
                     wb_folder_remedy(-rc));
}

int wb_log_fail_name(logstore *l, int rc, const char *what, uint64_t number)
{
    char name[LOG_NAME_MAX];

    wb_log_segment_name(name, number);
    return wb_log_fail(l, rc, what, name);
}

void wb_log_turn_read_only(logstore *l, const char *why)
{
    pthread_mutex_lock(&l->lock);
    if (!l->read_only)
        snprintf(l->read_only_text, sizeof l->read_only_text, "%s", why);
    l->read_only = true;
    pthread_mutex_unlock(&l->lock);
}

int wb_log_sync_folder(logstore *l, const char *name)
{
    int rc = l->sync_mode != BLOB_LOGSTORE_SYNC_NEVER ? l->disk->ops->sync_folder(l->disk) : 0;

    if (rc == 0)
        return 0;
    rc = wb_log_fail(l, rc, "sync the folder of", name);
    wb_log_turn_read_only(l, "the folder could not be synced");
    return rc == -ENOSPC ? -EIO : rc;
}

int wb_log_read_only_locked(logstore *l)
{
    if (l->opened_read_only)
        return blob_fail(BLOB_DENIED, 0, "%.150s was opened read only", l->dir);
    if (l->read_only)
        return blob_fail(BLOB_DENIED, 0,
                         "%.100s is read only since a failure: %.80s; see to the disk, then open it again", l->dir,
                         l->read_only_text);
    return 0;
}

/* ---- damage ---- */

static bool found_before_locked(const logstore *l, uint64_t segment, uint64_t offset)
{
    for (const log_finding *f = l->findings; f != NULL; f = f->next)
        if (f->segment == segment && f->offset == offset)
            return true;
    return false;
}

void wb_log_found_locked(logstore *l, log_segment *s, const log_finding *what, blob_key key, uint64_t records)
{
    uint64_t segment = s != NULL ? s->number : what->segment;
    log_finding *f;

    if (s != NULL)
        s->damaged = true;
    if (found_before_locked(l, segment, what->offset))
        return;
    l->damaged_records += records;
    if (l->found >= LOG_FINDINGS_MAX || (f = malloc(sizeof *f + key.size)) == NULL)
        return; /* counted all the same */
    *f = *what;
    f->next = NULL;
    f->segment = segment;
    f->has_key = key.data != NULL;
    f->key_size = (uint8_t)key.size;
    if (key.data != NULL)
        memcpy(f->key, key.data, key.size);
    *l->findings_end = f;
    l->findings_end = &f->next;
    l->found++;
}

/* One that cannot be read is a finding, too, and no reason to leave the others unread. */
static int verify_one(void *arg, blob_key key, uint64_t size)
{
    int rc = wb_log_verify(arg, key);

    (void)size;
    return rc == -ENOMEM ? rc : 0;
}

static int findings_tell(logstore *l, blob_ctx *ctx, int (*fn)(void *arg, const blob_logstore_finding *finding),
                         void *arg)
{
    const log_finding *f;
    int rc = 0;

    pthread_mutex_lock(&l->lock);
    for (f = l->findings; f != NULL && rc == 0; f = f->next) {
        char name[LOG_NAME_MAX];
        blob_logstore_finding told = {.file = name, .offset = f->offset, .size = f->size, .text = f->what};

        wb_log_segment_name(name, f->segment);
        if (f->has_key)
            told.key = blob_key_of(f->key, f->key_size);
        /* None is ever taken out of the list, so this one is still there after the call. */
        pthread_mutex_unlock(&l->lock);
        if ((rc = blob_ctx_status(ctx)) == 0 && (rc = fn(arg, &told)) != 0)
            return wb_list_end(rc);
        pthread_mutex_lock(&l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}

int blob_logstore_findings(blob_store *s, blob_ctx *ctx, unsigned verify,
                           int (*fn)(void *arg, const blob_logstore_finding *finding), void *arg)
{
    uint64_t mark = wb_status_mark();
    int rc = 0;

    if (!wb_log_is(s) || fn == NULL || verify > 1)
        return blob_fail(-EINVAL, 0, "blob_logstore_findings needs a log and a function");
    if (verify == 1)
        rc = wb_log_list(s, ctx, blob_key_of(NULL, 0), verify_one, wb_log_of(s));
    if (rc == 0)
        rc = findings_tell(wb_log_of(s), ctx, fn, arg);
    return wb_status_settle(mark, rc);
}

/* ---- numbers ---- */

/* By lanes, so that nobody waits for long. 0: there is no blob. */
static int64_t info_oldest_s(logstore *l)
{
    int64_t oldest = 0;

    for (unsigned i = 0; i < LOG_LANES; i++) {
        wb_place place = {0, 0};
        void **at;

        pthread_mutex_lock(&l->lock);
        for (; (at = wb_index_at(&l->lanes[i], place)) != NULL; place = wb_index_next(&l->lanes[i], place)) {
            const log_entry *e = *at;
            if ((e->flags & LOG_PENDING) == 0 && (oldest == 0 || e->time_s < oldest))
                oldest = e->time_s;
        }
        pthread_mutex_unlock(&l->lock);
    }
    return oldest;
}

int blob_logstore_get_info(blob_store *s, blob_logstore_info *out)
{
    blob_logstore_info info = {.struct_size = sizeof info};
    size_t size = out != NULL ? out->struct_size : 0;
    int64_t oldest;
    logstore *l;

    if (size < sizeof size)
        return blob_fail(-EINVAL, 0, "blob_logstore_get_info needs an out with its struct_size");
    memset(out, 0, size);
    out->struct_size = size;
    if (!wb_log_is(s))
        return blob_fail(-EINVAL, 0, "blob_logstore_get_info needs a log");
    l = wb_log_of(s);
    oldest = info_oldest_s(l);
    info.oldest_age_ms = oldest != 0 ? l->disk->ops->time_ms(l->disk) - oldest * 1000 : 0;
    if (info.oldest_age_ms < 0)
        info.oldest_age_ms = 0;
    pthread_mutex_lock(&l->lock);
    info.blobs = l->blobs;
    info.payload_bytes = l->payload_bytes;
    info.live_bytes = l->live_bytes;
    info.segments = l->segments;
    info.spare_segments = l->spare_count;
    info.disk_bytes = l->segment_total + l->spare_count * l->segment_bytes;
    info.set_aside_segments = l->set_aside;
    info.set_aside_bytes = l->set_aside_bytes;
    info.damaged_records = l->damaged_records;
    info.torn_records = l->torn_records;
    info.rewritten = l->rewritten;
    info.unsynced_records = l->lost > 0 ? l->lost : l->written_lsn - l->durable;
    info.read_only = l->opened_read_only ? 1 : l->read_only ? 2 : 0;
    memcpy(info.text, l->read_only_text, sizeof l->read_only_text);
    pthread_mutex_unlock(&l->lock);
    memcpy(out, &info, size < sizeof info ? size : sizeof info);
    out->struct_size = size;
    return 0;
}
