/* simdisk.c - the operations of the simulated disk; see simdisk.h for its rules.
 *
 * Each operation runs between call_begin, which lets the watcher look, counts, and finds out whether there is power and
 * whether a fault was asked for, and call_end, which writes the trace; both under the disk's mutex. */
#include "simdisk_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SIM_FD_FIRST 100 /* no number that the system would give out in a test */

typedef struct call {
    sim_mount *mount;
    simdisk *sim;
    simdisk_op op;
    char name[LOG_NAME_MAX];
    uint64_t offset, size;
    const simdisk_fault *fault; /* it acts on this call */
    bool cut_within;
} call;

static const simdisk_fault *call_fault(simdisk *d, simdisk_op op)
{
    for (size_t i = 0; i < d->fault_count; i++) {
        simdisk_fault *f = &d->faults[i];
        if ((f->ops & SIMDISK_BIT(op)) == 0)
            continue;
        if (f->skip > 0) {
            f->skip--;
            continue;
        }
        if (f->count == UINT64_MAX)
            continue; /* used up */
        if (f->count > 0 && --f->count == 0)
            f->count = UINT64_MAX;
        d->failed++;
        return f;
    }
    return NULL;
}

static const char *call_file_name(const simdisk *d, int fd)
{
    size_t at = (size_t)(fd - SIM_FD_FIRST);

    if (fd < SIM_FD_FIRST || at >= d->fd_count || d->fds[at].mount == NULL)
        return "?";
    return d->files[d->fds[at].file].name;
}

/* The mutex is held when it returns. Not 0: that is the answer, the operation does nothing. */
static int call_begin(call *c, log_disk *base, simdisk_op op, const char *name, int fd, uint64_t offset, uint64_t size)
{
    sim_mount *m = (sim_mount *)base;
    simdisk *d = m->sim;

    *c = (call){.mount = m, .sim = d, .op = op, .offset = offset, .size = size};
    pthread_mutex_lock(&d->mutex);
    if (name == NULL)
        name = call_file_name(d, fd);
    snprintf(c->name, sizeof c->name, "%s", name);
    d->ops++;
    d->calls[op]++;
    if (d->watch != NULL && !m->dead && !d->off) {
        simdisk_call seen = {.op = op, .name = c->name, .offset = offset, .size = size, .number = d->ops};
        pthread_mutex_unlock(&d->mutex);
        d->watch(d->watch_arg, &seen);
        pthread_mutex_lock(&d->mutex);
    }
    if (d->off_at == d->ops && !d->off) {
        c->cut_within = d->off_within && op == SIMDISK_WRITE;
        d->off = !c->cut_within;
    }
    if (m->dead || d->off)
        return -EIO;
    c->fault = call_fault(d, op);
    return c->fault != NULL && !c->fault->after ? c->fault->status : 0;
}

static int64_t call_end(call *c, int64_t result)
{
    simdisk *d = c->sim;
    sim_trace *t;

    if (c->fault != NULL && c->fault->after && result >= 0)
        result = c->fault->status;
    if (c->cut_within) {
        d->off = true;
        result = -EIO;
    }
    d->trace = sim_grow(d->trace, d->trace_count, &d->trace_room, sizeof *d->trace);
    t = &d->trace[d->trace_count++];
    *t = (sim_trace){.op = (int)c->op, .number = d->ops, .offset = c->offset, .size = c->size, .result = result};
    snprintf(t->text, sizeof t->text, "%.*s", (int)sizeof t->text - 1, c->name);
    pthread_mutex_unlock(&d->mutex);
    return result;
}

/* ---- the folder --------------------------------------------------------------------------------------------- */

static int sd_begin(log_disk *base, bool make)
{
    call c;
    int rc = call_begin(&c, base, SIMDISK_BEGIN, "", 0, make, 0);

    if (rc == 0 && !make && !c.sim->folder)
        rc = -ENOENT;
    for (const sim_mount *m = c.sim->mounts; rc == 0 && make && m != NULL; m = m->next)
        rc = m->holds_lock ? -EBUSY : 0;
    if (rc == 0 && make)
        c.sim->folder = c.mount->holds_lock = true;
    return (int)call_end(&c, rc);
}

/* From a copy, for fn may change the folder. */
static int sd_list(log_disk *base, log_name_fn *fn, void *arg)
{
    call c;
    int rc = call_begin(&c, base, SIMDISK_LIST, "", 0, 0, 0);
    sim_names names = {0};
    bool lock = c.sim->folder;

    if (rc == 0)
        sim_names_copy(&names, &c.sim->now);
    rc = (int)call_end(&c, rc);
    if (rc == 0 && lock)
        rc = fn(arg, "LOCK");
    for (size_t i = 0; rc == 0 && i < names.count; i++)
        rc = fn(arg, names.list[i].name);
    free(names.list);
    return rc;
}

static void folder_change(simdisk *d, const char *from, const char *to, size_t file)
{
    sim_change *change;

    d->changes = sim_grow(d->changes, d->change_count, &d->change_room, sizeof *d->changes);
    change = &d->changes[d->change_count++];
    *change = (sim_change){.file = file};
    snprintf(change->from, sizeof change->from, "%s", from);
    snprintf(change->to, sizeof change->to, "%s", to);
    sim_names_apply(&d->now, change);
    if (to[0] != '\0')
        memcpy(d->files[file].name, change->to, LOG_NAME_MAX);
    d->version++;
}

static size_t folder_new_file(simdisk *d)
{
    size_t at = 0;

    while (at < d->file_count && d->files[at].used)
        at++;
    if (at == d->file_count) {
        d->files = realloc(d->files, (at + 1) * sizeof *d->files);
        if (d->files == NULL)
            sim_abort("no memory");
        d->file_count++;
    }
    d->files[at] = (sim_file){.used = true};
    return at;
}

static int folder_open(call *c, size_t file, log_open how)
{
    simdisk *d = c->sim;
    size_t at = 0;

    while (at < d->fd_count && d->fds[at].mount != NULL)
        at++;
    if (at == d->fd_count) {
        d->fds = realloc(d->fds, (at + 1) * sizeof *d->fds);
        if (d->fds == NULL)
            sim_abort("no memory");
        d->fd_count++;
    }
    d->fds[at] = (sim_fd){.mount = c->mount, .file = file, .how = how};
    return (int)at + SIM_FD_FIRST;
}

static bool room_for(const simdisk *d, uint64_t bytes)
{
    uint64_t used = d->capacity > 0 ? simdisk_used(d) : 0;

    return d->capacity == 0 || (used <= d->capacity && bytes <= d->capacity - used);
}

static int sd_create(log_disk *base, const char *name, uint64_t size, int *fd)
{
    call c;
    int rc = call_begin(&c, base, SIMDISK_CREATE, name, 0, 0, size);

    if (rc == 0 && sim_names_find(&c.sim->now, name) != SIZE_MAX)
        rc = -EEXIST;
    if (rc == 0 && !room_for(c.sim, c.sim->thin ? 0 : size))
        rc = -ENOSPC;
    if (rc == 0) {
        size_t file = folder_new_file(c.sim);
        folder_change(c.sim, "", name, file);
        if (size > 0)
            sim_file_resize(&c.sim->files[file], size, true);
        *fd = folder_open(&c, file, LOG_OPEN_WRITE);
    }
    return (int)call_end(&c, rc);
}

static int sd_open(log_disk *base, const char *name, log_open how, int *fd)
{
    call c;
    int rc = call_begin(&c, base, SIMDISK_OPEN, name, 0, how, 0);
    size_t at = sim_names_find(&c.sim->now, name);

    if (rc == 0 && at == SIZE_MAX)
        rc = -ENOENT;
    if (rc == 0 && how == LOG_OPEN_DIRECT && c.sim->no_direct)
        rc = -EINVAL;
    if (rc == 0)
        *fd = folder_open(&c, c.sim->now.list[at].file, how);
    return (int)call_end(&c, rc);
}

static int sd_rename(log_disk *base, const char *from, const char *to)
{
    call c;
    int rc = call_begin(&c, base, SIMDISK_RENAME, from, 0, 0, 0);
    size_t at = sim_names_find(&c.sim->now, from);

    snprintf(c.name, sizeof c.name, "%.30s>%.30s", from, to);
    if (rc == 0 && at == SIZE_MAX)
        rc = -ENOENT;
    if (rc == 0)
        folder_change(c.sim, from, to, c.sim->now.list[at].file);
    return (int)call_end(&c, rc);
}

static int sd_remove(log_disk *base, const char *name)
{
    call c;
    int rc = call_begin(&c, base, SIMDISK_REMOVE, name, 0, 0, 0);
    size_t at = sim_names_find(&c.sim->now, name);

    if (rc == 0 && at == SIZE_MAX)
        rc = -ENOENT;
    if (rc == 0)
        folder_change(c.sim, name, "", c.sim->now.list[at].file);
    return (int)call_end(&c, rc);
}

/* The sizes that files were made with last with their names. */
static void folder_settle_sizes(simdisk *d, const simdisk_fate *fate)
{
    for (size_t i = 0; i < d->file_count; i++) {
        sim_file *file = &d->files[i];
        if (fate->names != SIMDISK_KEPT || !file->used || file->event_count == 0 || !file->events[0].create)
            continue;
        sim_image_resize(&file->disk, file->events[0].size);
        file->events[0] = (sim_event){.resize = true, .size = file->disk.size};
        d->version++;
    }
}

static int sd_sync_folder(log_disk *base)
{
    call c;
    int rc = call_begin(&c, base, SIMDISK_SYNC_FOLDER, "", 0, 0, 0);

    if (rc == 0 || c.fault != NULL) {
        simdisk_fate fate = {.names = rc != 0 ? c.fault->lost : SIMDISK_KEPT, .seed = test_random(&c.sim->rng)};
        folder_settle_sizes(c.sim, &fate);
        sim_settle_names(c.sim, &fate);
        sim_sweep(c.sim);
    }
    return (int)call_end(&c, rc);
}

/* ---- files -------------------------------------------------------------------------------------------------- */

/* The file of an fd that this mount has open; NULL: it has not, which is a mistake of whoever asks. */
static sim_file *file_of(const call *c, int fd, bool to_write)
{
    simdisk *d = c->sim;
    size_t at = (size_t)(fd - SIM_FD_FIRST);

    if (fd < SIM_FD_FIRST || at >= d->fd_count || d->fds[at].mount != c->mount)
        sim_abort("an operation on a file that is not open");
    if (to_write && d->fds[at].how == LOG_OPEN_READ)
        sim_abort("a write to a file open for reading");
    return &d->files[d->fds[at].file];
}

static int sd_close(log_disk *base, int fd)
{
    call c;
    int rc = call_begin(&c, base, SIMDISK_CLOSE, NULL, fd, 0, 0);

    /* As with the system's close: the file is closed, whatever it says. */
    if (!c.mount->dead) {
        file_of(&c, fd, false);
        c.sim->fds[fd - SIM_FD_FIRST].mount = NULL;
        sim_sweep(c.sim);
    }
    return (int)call_end(&c, rc);
}

static int sd_size(log_disk *base, int fd, uint64_t *out)
{
    call c;
    int rc = call_begin(&c, base, SIMDISK_SIZE, NULL, fd, 0, 0);

    if (rc == 0)
        *out = file_of(&c, fd, false)->cache.size;
    return (int)call_end(&c, rc);
}

static int sd_written(log_disk *base, int fd, uint64_t *out)
{
    call c;
    int rc = call_begin(&c, base, SIMDISK_WRITTEN, NULL, fd, 0, 0);

    if (rc == 0)
        *out = file_of(&c, fd, false)->cache_written;
    return (int)call_end(&c, rc);
}

static int sd_truncate(log_disk *base, int fd, uint64_t size)
{
    call c;
    int rc = call_begin(&c, base, SIMDISK_TRUNCATE, NULL, fd, 0, size);

    if (rc == 0) {
        sim_file *file = file_of(&c, fd, true);
        if (size > file->cache.size && !c.sim->thin && !room_for(c.sim, size - file->cache.size)) {
            rc = -ENOSPC;
        } else if (size != file->cache.size) {
            sim_file_resize(file, size, false);
            c.sim->version++;
        }
    }
    return (int)call_end(&c, rc);
}

static ssize_t sd_read(log_disk *base, int fd, void *to, size_t size, uint64_t offset)
{
    call c;
    int rc = call_begin(&c, base, SIMDISK_READ, NULL, fd, offset, size);
    const sim_file *file;

    if (rc != 0)
        return (ssize_t)call_end(&c, rc);
    file = file_of(&c, fd, false);
    if (offset >= file->cache.size)
        size = 0;
    else if (size > file->cache.size - offset)
        size = (size_t)(file->cache.size - offset);
    if (c.fault != NULL && c.fault->status == 0)
        size = (size + 1) / 2;
    sim_image_read(&file->cache, offset, to, size);
    return (ssize_t)call_end(&c, (int64_t)size);
}

/* As the kernel has it: whole blocks from and to aligned places, or nothing. */
static bool write_is_aligned(const call *c, int fd, const struct iovec *from, int count)
{
    if (c->sim->fds[fd - SIM_FD_FIRST].how != LOG_OPEN_DIRECT)
        return true;
    for (int i = 0; i < count; i++)
        if ((uintptr_t)from[i].iov_base % SIM_PAGE != 0 || from[i].iov_len % SIM_PAGE != 0)
            return false;
    return c->offset % SIM_PAGE == 0;
}

/* How much of a write there is room for. */
static uint64_t write_room(const call *c, const sim_file *file)
{
    uint64_t end, fits;

    if (c->sim->capacity == 0)
        return c->size;
    for (fits = c->size; fits > 0; fits -= fits % SIM_PAGE != 0 ? fits % SIM_PAGE : SIM_PAGE) {
        uint64_t taken = 0;
        end = c->offset + fits;
        if (c->sim->thin) {
            for (uint64_t page = c->offset / SIM_PAGE; page * SIM_PAGE < end; page++)
                taken += page >= file->cache.count || file->cache.pages[page] == NULL ? SIM_PAGE : 0;
        } else if (end > file->cache.size) {
            taken =
                (end + SIM_PAGE - 1) / SIM_PAGE * SIM_PAGE - (file->cache.size + SIM_PAGE - 1) / SIM_PAGE * SIM_PAGE;
        }
        if (taken == 0 || room_for(c->sim, taken))
            break;
    }
    return fits;
}

static void write_bytes(sim_file *file, const struct iovec *from, int count, uint64_t offset, uint64_t size)
{
    unsigned char *all = malloc((size_t)size + 1);
    size_t at = 0;

    if (all == NULL)
        sim_abort("no memory");
    for (int i = 0; i < count && at < size; i++) {
        size_t step = from[i].iov_len < size - at ? from[i].iov_len : (size_t)size - at;
        memcpy(all + at, from[i].iov_base, step);
        at += step;
    }
    sim_file_write(file, offset, all, (size_t)size);
    free(all);
}

static ssize_t sd_write(log_disk *base, int fd, const struct iovec *from, int count, uint64_t offset)
{
    call c;
    uint64_t size = 0, fits;
    sim_file *file;
    int rc;

    for (int i = 0; i < count; i++)
        size += from[i].iov_len;
    rc = call_begin(&c, base, SIMDISK_WRITE, NULL, fd, offset, size);
    if (c.mount->dead)
        return (ssize_t)call_end(&c, rc);
    file = file_of(&c, fd, true);
    if (rc == 0 || c.fault != NULL)
        c.sim->writes_to_failed += file->failed;
    file->failed = file->failed || (c.fault != NULL && c.fault->status != 0);
    if (rc != 0)
        return (ssize_t)call_end(&c, rc);
    if (!write_is_aligned(&c, fd, from, count))
        return (ssize_t)call_end(&c, -EINVAL);
    fits = write_room(&c, file);
    if (c.fault != NULL && c.fault->status == 0 && fits > 1)
        fits = fits > SIM_PAGE ? fits / 2 / SIMDISK_SECTOR * SIMDISK_SECTOR : fits / 2;
    if (size > 0 && fits == 0)
        return (ssize_t)call_end(&c, -ENOSPC);
    write_bytes(file, from, count, offset, fits);
    c.sim->version++;
    return (ssize_t)call_end(&c, (int64_t)fits);
}

static int sd_sync(log_disk *base, int fd)
{
    call c;
    int rc = call_begin(&c, base, SIMDISK_SYNC, NULL, fd, 0, 0);

    if (rc == 0 || c.fault != NULL) {
        sim_file *file = file_of(&c, fd, false);
        simdisk_fate fate = {.bytes = rc != 0 ? c.fault->lost : SIMDISK_KEPT, .seed = test_random(&c.sim->rng)};
        file->failed = file->failed || c.fault != NULL;
        sim_settle_file(c.sim, file, &fate);
    }
    return (int)call_end(&c, rc);
}

/* ---- the disk ----------------------------------------------------------------------------------------------- */

static int64_t sd_time_ms(log_disk *base)
{
    return ((sim_mount *)base)->sim->time_ms;
}

static uint64_t sd_random(log_disk *base)
{
    simdisk *d = ((sim_mount *)base)->sim;
    uint64_t random;

    pthread_mutex_lock(&d->mutex);
    random = test_random(&d->rng);
    pthread_mutex_unlock(&d->mutex);
    return random;
}

static void sd_end(log_disk *base)
{
    sim_mount *m = (sim_mount *)base, **at;
    simdisk *d = m->sim;

    pthread_mutex_lock(&d->mutex);
    for (at = &d->mounts; *at != m; at = &(*at)->next)
        ;
    *at = m->next;
    for (size_t i = 0; i < d->fd_count; i++)
        if (d->fds[i].mount == m)
            sim_abort("a disk was given back with a file open");
    for (size_t i = 0; i < d->file_count; i++)
        d->files[i].failed = d->files[i].failed && d->mounts != NULL;
    pthread_mutex_unlock(&d->mutex);
    free(m);
}

static const log_disk_ops sd_ops = {
    .begin = sd_begin,
    .list = sd_list,
    .create = sd_create,
    .open = sd_open,
    .close = sd_close,
    .rename = sd_rename,
    .remove = sd_remove,
    .sync_folder = sd_sync_folder,
    .size = sd_size,
    .written = sd_written,
    .truncate = sd_truncate,
    .read = sd_read,
    .write = sd_write,
    .sync = sd_sync,
    .time_ms = sd_time_ms,
    .random = sd_random,
    .end = sd_end,
};

log_disk *simdisk_mount(simdisk *d)
{
    sim_mount *m = calloc(1, sizeof *m);

    if (m == NULL)
        sim_abort("no memory");
    m->disk.ops = &sd_ops;
    m->sim = d;
    m->next = d->mounts;
    d->mounts = m;
    return &m->disk;
}

simdisk *simdisk_new(uint64_t seed)
{
    simdisk *d = calloc(1, sizeof *d);

    if (d == NULL || pthread_mutex_init(&d->mutex, NULL) != 0)
        sim_abort("no memory");
    d->rng.state = seed;
    d->time_ms = 1000000;
    return d;
}

simdisk *simdisk_clone(const simdisk *d)
{
    simdisk *copy = simdisk_new(d->rng.state);

    copy->folder = d->folder;
    copy->thin = d->thin;
    copy->no_direct = d->no_direct;
    copy->time_ms = d->time_ms;
    copy->capacity = d->capacity;
    copy->ops = d->ops;
    copy->file_count = d->file_count;
    copy->files = calloc(d->file_count + 1, sizeof *copy->files);
    copy->changes = calloc(d->change_count + 1, sizeof *copy->changes);
    copy->trace = calloc(d->trace_count + 1, sizeof *copy->trace);
    if (copy->files == NULL || copy->changes == NULL || copy->trace == NULL)
        sim_abort("no memory");
    for (size_t i = 0; i < d->file_count; i++)
        if (d->files[i].used)
            sim_file_copy(&copy->files[i], &d->files[i]);
    copy->change_count = d->change_count;
    copy->change_room = d->change_count + 1;
    if (d->change_count > 0)
        memcpy(copy->changes, d->changes, d->change_count * sizeof *d->changes);
    copy->trace_count = d->trace_count;
    copy->trace_room = d->trace_count + 1;
    if (d->trace_count > 0)
        memcpy(copy->trace, d->trace, d->trace_count * sizeof *d->trace);
    sim_names_copy(&copy->now, &d->now);
    sim_names_copy(&copy->lasting, &d->lasting);
    return copy;
}

void simdisk_free(simdisk *d)
{
    if (d == NULL)
        return;
    if (d->mounts != NULL)
        sim_abort("a disk was freed under those who use it");
    for (size_t i = 0; i < d->file_count; i++)
        if (d->files[i].used)
            sim_file_clear(&d->files[i]);
    free(d->files);
    free(d->now.list);
    free(d->lasting.list);
    free(d->changes);
    free(d->fds);
    free(d->trace);
    pthread_mutex_destroy(&d->mutex);
    free(d);
}
