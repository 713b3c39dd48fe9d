/* simdisk_look.c - the simulated disk's faults, counts and trace, and hands on its files. */
#include "simdisk_int.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void sim_abort(const char *what)
{
    fprintf(stderr, "simdisk: %s\n", what);
    abort();
}

void *sim_grow(void *array, size_t count, size_t *room, size_t item)
{
    if (count < *room)
        return array;
    *room = *room > 0 ? 2 * *room : 8;
    array = realloc(array, *room * item);
    if (array == NULL)
        sim_abort("no memory");
    return array;
}

/* ---- faults and bounds -------------------------------------------------------------------------------------- */

void simdisk_fail(simdisk *d, const simdisk_fault *fault)
{
    if (d->fault_count == SIM_FAULTS)
        sim_abort("too many faults at a time");
    d->faults[d->fault_count++] = *fault;
}

uint64_t simdisk_failed(const simdisk *d)
{
    return d->failed;
}

void simdisk_mend(simdisk *d)
{
    d->fault_count = 0;
    d->failed = 0;
}

void simdisk_capacity(simdisk *d, uint64_t bytes)
{
    d->capacity = bytes;
}

uint64_t simdisk_used(const simdisk *d)
{
    uint64_t used = 0;

    for (size_t i = 0; i < d->file_count; i++) {
        const sim_file *file = &d->files[i];
        bool held = false;
        for (size_t k = 0; k < d->now.count && !held; k++)
            held = d->now.list[k].file == i;
        for (size_t k = 0; k < d->fd_count && !held; k++)
            held = d->fds[k].mount != NULL && d->fds[k].file == i;
        if (file->used && held)
            used += d->thin ? sim_image_taken(&file->cache) : (file->cache.size + SIM_PAGE - 1) / SIM_PAGE * SIM_PAGE;
    }
    return used;
}

void simdisk_thin(simdisk *d, bool thin)
{
    d->thin = thin;
}

void simdisk_no_direct(simdisk *d, bool no)
{
    d->no_direct = no;
}

void simdisk_set_time(simdisk *d, int64_t time_ms)
{
    d->time_ms = time_ms;
}

/* ---- counts ------------------------------------------------------------------------------------------------- */

void simdisk_watch(simdisk *d, void (*fn)(void *arg, const simdisk_call *call), void *arg)
{
    d->watch = fn;
    d->watch_arg = arg;
}

uint64_t simdisk_ops(const simdisk *d)
{
    return d->ops;
}

uint64_t simdisk_calls(const simdisk *d, simdisk_op op)
{
    return d->calls[op];
}

uint64_t simdisk_changes(const simdisk *d)
{
    return d->version;
}

uint64_t simdisk_unsynced(const simdisk *d)
{
    uint64_t count = d->change_count;

    for (size_t i = 0; i < d->file_count; i++)
        count += d->files[i].event_count;
    return count;
}

uint64_t simdisk_open_files(const simdisk *d)
{
    uint64_t count = 0;

    for (size_t i = 0; i < d->fd_count; i++)
        count += d->fds[i].mount != NULL;
    return count;
}

uint64_t simdisk_writes_to_failed(const simdisk *d)
{
    return d->writes_to_failed;
}

uint64_t simdisk_hash(const simdisk *d)
{
    uint64_t hash = 0;

    for (size_t i = 0; i < d->lasting.count; i++) {
        const sim_file *file = &d->files[d->lasting.list[i].file];
        uint64_t one = sim_image_hash(&file->disk) ^ file->disk_written;
        for (const char *c = d->lasting.list[i].name; *c != '\0'; c++)
            one = (one ^ (unsigned char)*c) * UINT64_C(0x9e3779b97f4a7c15) + (one >> 32);
        hash += one; /* names are in no order */
    }
    return hash;
}

/* ---- the trace ---------------------------------------------------------------------------------------------- */

void simdisk_note(simdisk *d, const char *format, ...)
{
    sim_trace *t;
    va_list args;

    d->trace = sim_grow(d->trace, d->trace_count, &d->trace_room, sizeof *d->trace);
    t = &d->trace[d->trace_count++];
    *t = (sim_trace){.op = -1};
    va_start(args, format);
    vsnprintf(t->text, sizeof t->text, format, args);
    va_end(args);
}

void simdisk_print_trace(const simdisk *d, FILE *to)
{
    static const char *const names[SIMDISK_OPS] = {"begin",    "list",   "create",      "open", "close",
                                                   "rename",   "remove", "sync_folder", "size", "written",
                                                   "truncate", "read",   "write",       "sync"};

    for (size_t i = 0; i < d->trace_count; i++) {
        const sim_trace *t = &d->trace[i];
        if (t->op < 0)
            fprintf(to, "  -- %s\n", t->text);
        else
            fprintf(to, "  %4llu %s %s %llu+%llu = %lld\n", (unsigned long long)t->number, names[t->op], t->text,
                    (unsigned long long)t->offset, (unsigned long long)t->size, (long long)t->result);
    }
}

/* ---- hands on the disk -------------------------------------------------------------------------------------- */

static int look_compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

size_t simdisk_files(const simdisk *d, char (*names)[LOG_NAME_MAX], size_t max)
{
    const char **sorted = calloc(d->now.count + 1, sizeof *sorted);

    if (sorted == NULL)
        sim_abort("no memory");
    for (size_t i = 0; i < d->now.count; i++)
        sorted[i] = d->now.list[i].name;
    qsort(sorted, d->now.count, sizeof *sorted, look_compare);
    for (size_t i = 0; i < d->now.count && i < max; i++)
        memcpy(names[i], sorted[i], LOG_NAME_MAX);
    free(sorted);
    return d->now.count;
}

bool simdisk_has_file(const simdisk *d, const char *name)
{
    return sim_names_find(&d->now, name) != SIZE_MAX;
}

static sim_file *look_file(const simdisk *d, const char *name)
{
    size_t at = sim_names_find(&d->now, name);

    if (at == SIZE_MAX)
        sim_abort("no such file");
    return &d->files[d->now.list[at].file];
}

uint64_t simdisk_file_size(const simdisk *d, const char *name)
{
    return look_file(d, name)->cache.size;
}

void simdisk_peek(const simdisk *d, const char *name, uint64_t offset, void *to, size_t size)
{
    sim_image_read(&look_file(d, name)->cache, offset, to, size);
}

void simdisk_poke(simdisk *d, const char *name, uint64_t offset, const void *from, size_t size)
{
    sim_file *file = look_file(d, name);

    sim_image_write(&file->cache, offset, from, size);
    sim_image_write(&file->disk, offset, from, size);
    d->version++;
}

void simdisk_flip(simdisk *d, const char *name, uint64_t bit)
{
    unsigned char byte;

    simdisk_peek(d, name, bit / 8, &byte, 1);
    byte ^= (unsigned char)(1u << (bit % 8));
    simdisk_poke(d, name, bit / 8, &byte, 1);
}

void simdisk_cut_file(simdisk *d, const char *name, uint64_t size)
{
    sim_file *file = look_file(d, name);

    sim_image_resize(&file->cache, size);
    sim_image_resize(&file->disk, size);
    d->version++;
}

void simdisk_remove_file(simdisk *d, const char *name)
{
    sim_change change = {.file = SIZE_MAX};

    snprintf(change.from, sizeof change.from, "%s", name);
    sim_names_apply(&d->now, &change);
    sim_names_apply(&d->lasting, &change);
    sim_sweep(d);
    d->version++;
}

void simdisk_copy_file(simdisk *to, const char *name, const simdisk *from, const char *from_name)
{
    const sim_file *source = look_file(from, from_name);
    sim_change change = {.file = to->file_count};
    sim_file copy = {.used = true};

    sim_image_copy(&copy.cache, &source->cache);
    sim_image_copy(&copy.disk, &source->cache);
    copy.cache_written = copy.disk_written = source->cache.size;
    snprintf(copy.name, sizeof copy.name, "%s", name);
    to->files = realloc(to->files, (to->file_count + 1) * sizeof *to->files);
    if (to->files == NULL)
        sim_abort("no memory");
    to->files[to->file_count++] = copy;
    snprintf(change.to, sizeof change.to, "%s", name);
    sim_names_apply(&to->now, &change);
    sim_names_apply(&to->lasting, &change);
    sim_sweep(to);
    to->version++;
}
