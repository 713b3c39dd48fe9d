/* simdisk_cut.c - what a power cut, or a sync that failed, leaves of what was not synced. */
#include "simdisk_int.h"

#include <stdlib.h>
#include <string.h>

/* ---- choices ------------------------------------------------------------------------------------------------ */

unsigned simdisk_choose(simdisk_choices *c, unsigned bound)
{
    if (c->used == sizeof c->pick || bound == 0 || bound > UINT8_MAX)
        sim_abort("more choices than simdisk_choices can hold");
    if (c->used == c->known) {
        c->pick[c->known] = 0;
        c->bound[c->known++] = (unsigned char)bound;
    }
    return c->pick[c->used++];
}

bool simdisk_choices_next(simdisk_choices *c)
{
    while (c->known > 0 && ++c->pick[c->known - 1] == c->bound[c->known - 1])
        c->known--;
    c->used = 0;
    return c->known > 0;
}

/* ---- bytes -------------------------------------------------------------------------------------------------- */

typedef struct cut_dice {
    const simdisk_fate *fate;
    test_rng rng;
} cut_dice;

static unsigned cut_pick(cut_dice *dice, unsigned bound)
{
    if (dice->fate->choices != NULL)
        return simdisk_choose(dice->fate->choices, bound);
    return (unsigned)test_random_below(&dice->rng, bound);
}

/* Mostly noise, but also what disks like to leave, and what is right but for one bit. */
static void cut_garbage(cut_dice *dice, sim_image *disk, uint64_t sector, const unsigned char *right)
{
    unsigned char bytes[SIMDISK_SECTOR];
    uint64_t chance = test_random(&dice->rng);

    switch (chance & 7) {
    case 0:
        memset(bytes, 0, sizeof bytes);
        break;
    case 1:
        memset(bytes, 0xff, sizeof bytes);
        break;
    case 2:
        memcpy(bytes, right, sizeof bytes);
        bytes[(chance >> 8) % sizeof bytes] ^= (unsigned char)(1u << ((chance >> 32) & 7));
        break;
    default:
        test_fill(chance, bytes, sizeof bytes);
    }
    sim_image_set_sector(disk, sector, bytes);
    if (!dice->fate->whole_blocks)
        return;
    test_fill(chance, bytes, sizeof bytes);
    for (uint64_t other = sector / SIM_SECTORS * SIM_SECTORS; other < sector / SIM_SECTORS * SIM_SECTORS + SIM_SECTORS;
         other++)
        if (other != sector)
            sim_image_set_sector(disk, other, bytes);
}

typedef enum cut_style {
    CUT_KEPT,
    CUT_DROPPED,
    CUT_TORN,         /* the first sectors are kept */
    CUT_TORN_GARBAGE, /* and the rest garbage */
    CUT_TAIL,         /* only the last sectors are kept */
    CUT_HOLE,         /* one sector is dropped */
    CUT_SPOT,         /* one sector is garbage */
    CUT_ANYHOW,
    CUT_STYLES
} cut_style;

static simdisk_lot cut_lot(cut_dice *dice, cut_style style, uint64_t index, uint64_t edge)
{
    switch (style) {
    case CUT_TORN:
        return index < edge ? SIMDISK_KEPT : SIMDISK_DROPPED;
    case CUT_TORN_GARBAGE:
        return index < edge ? SIMDISK_KEPT : SIMDISK_GARBAGE;
    case CUT_TAIL:
        return index < edge ? SIMDISK_DROPPED : SIMDISK_KEPT;
    case CUT_HOLE:
        return index == edge ? SIMDISK_DROPPED : SIMDISK_KEPT;
    case CUT_SPOT:
        return index == edge ? SIMDISK_GARBAGE : SIMDISK_KEPT;
    case CUT_ANYHOW:
        return (simdisk_lot)cut_pick(dice, 3);
    case CUT_DROPPED:
        return SIMDISK_DROPPED;
    default:
        return SIMDISK_KEPT;
    }
}

static void cut_settle_write(cut_dice *dice, sim_image *disk, const sim_event *e)
{
    uint64_t count = e->sector_end - e->sector, edge = 0;
    cut_style style = CUT_ANYHOW;

    if (dice->fate->choices == NULL && dice->fate->bytes == SIMDISK_MIXED) {
        style = (cut_style)cut_pick(dice, CUT_STYLES);
        edge = test_random_below(&dice->rng, count);
    }
    for (uint64_t sector = e->sector; sector < e->sector_end; sector++) {
        simdisk_lot lot = dice->fate->bytes;
        if (lot == SIMDISK_MIXED)
            lot = cut_lot(dice, style, sector - e->sector, edge);
        if (lot == SIMDISK_KEPT)
            sim_image_set_sector(disk, sector, sim_event_sector(e, sector));
        else if (lot == SIMDISK_GARBAGE)
            cut_garbage(dice, disk, sector, sim_event_sector(e, sector));
    }
}

static size_t cut_sizes(cut_dice *dice, const sim_file *file)
{
    size_t count = 0;

    for (size_t i = 0; i < file->event_count; i++)
        count += file->events[i].resize;
    if (dice->fate->bytes == SIMDISK_DROPPED)
        return 0;
    if (dice->fate->bytes == SIMDISK_MIXED && count > 0)
        return cut_pick(dice, (unsigned)count + 1);
    return count;
}

void sim_settle_file(simdisk *d, sim_file *file, const simdisk_fate *fate)
{
    cut_dice dice = {fate, {fate->seed}};
    uint64_t size = file->disk.size;
    size_t sizes;

    if (file->event_count == 0)
        return;
    d->version++;
    sizes = cut_sizes(&dice, file);
    for (size_t i = 0; i < file->event_count; i++) {
        const sim_event *e = &file->events[i];
        if (!e->resize) {
            cut_settle_write(&dice, &file->disk, e);
        } else if (sizes > 0) {
            sizes--;
            if (e->size < size)
                sim_image_resize(&file->disk, e->size);
            size = e->size;
        }
    }
    sim_image_resize(&file->disk, size);
    if (fate->bytes == SIMDISK_KEPT)
        file->disk_written = file->cache_written;
    if (file->disk_written > size)
        file->disk_written = size;
    sim_file_forget(file);
}

void simdisk_drop_cache(simdisk *d)
{
    static const simdisk_fate kept = {0};

    for (size_t i = 0; i < d->file_count; i++) {
        sim_file *file = &d->files[i], seen;
        if (!file->used)
            continue;
        sim_file_copy(&seen, file);
        sim_settle_file(d, &seen, &kept);
        sim_image_clear(&file->cache);
        sim_image_copy(&file->cache, &seen.disk);
        sim_file_clear(&seen);
    }
}

/* ---- names -------------------------------------------------------------------------------------------------- */

size_t sim_names_find(const sim_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->list[i].name, name) == 0)
            return i;
    return SIZE_MAX;
}

void sim_names_copy(sim_names *to, const sim_names *from)
{
    sim_names copy = {0};

    for (size_t i = 0; i < from->count; i++) {
        copy.list = sim_grow(copy.list, copy.count, &copy.room, sizeof *copy.list);
        copy.list[copy.count++] = from->list[i];
    }
    free(to->list);
    *to = copy;
}

static void cut_names_remove(sim_names *names, const char *name)
{
    size_t at = sim_names_find(names, name);

    if (at != SIZE_MAX)
        names->list[at] = names->list[--names->count];
}

void sim_names_apply(sim_names *names, const sim_change *change)
{
    cut_names_remove(names, change->from);
    cut_names_remove(names, change->to);
    if (change->to[0] == '\0')
        return;
    names->list = sim_grow(names->list, names->count, &names->room, sizeof *names->list);
    names->list[names->count].file = change->file;
    memcpy(names->list[names->count++].name, change->to, LOG_NAME_MAX);
}

static bool cut_touches(const sim_change *change, const char *name)
{
    return name[0] != '\0' && (strcmp(change->from, name) == 0 || strcmp(change->to, name) == 0);
}

/* A change is lost with those before it that were lost and are about one of its names. */
static bool cut_follows_from_lost(const simdisk *d, size_t at, const bool *lost)
{
    for (size_t i = 0; i < at; i++)
        if (lost[i] &&
            (cut_touches(&d->changes[i], d->changes[at].from) || cut_touches(&d->changes[i], d->changes[at].to)))
            return true;
    return false;
}

void sim_settle_names(simdisk *d, const simdisk_fate *fate)
{
    cut_dice dice = {fate, {fate->seed ^ UINT64_C(0x6e616d6573)}};
    bool *lost = calloc(d->change_count + 1, sizeof *lost);
    size_t first_lost = 0;

    if (lost == NULL)
        sim_abort("no memory");
    /* Half of the time the changes last in their order, as a journal has it. */
    if (fate->choices == NULL && fate->names == SIMDISK_MIXED && cut_pick(&dice, 2) == 0)
        first_lost = cut_pick(&dice, (unsigned)d->change_count + 1) + 1;
    for (size_t i = 0; i < d->change_count; i++) {
        if (fate->names == SIMDISK_MIXED)
            lost[i] = first_lost > 0 ? i + 1 >= first_lost : cut_pick(&dice, 2) != 0;
        else
            lost[i] = fate->names == SIMDISK_DROPPED;
        lost[i] = lost[i] || cut_follows_from_lost(d, i, lost);
        if (!lost[i])
            sim_names_apply(&d->lasting, &d->changes[i]);
        d->version++;
    }
    d->change_count = 0;
    free(lost);
}

static bool cut_is_named(const simdisk *d, size_t file)
{
    for (size_t i = 0; i < d->now.count; i++)
        if (d->now.list[i].file == file)
            return true;
    for (size_t i = 0; i < d->lasting.count; i++)
        if (d->lasting.list[i].file == file)
            return true;
    for (size_t i = 0; i < d->change_count; i++)
        if (d->changes[i].file == file)
            return true;
    for (size_t i = 0; i < d->fd_count; i++)
        if (d->fds[i].mount != NULL && d->fds[i].file == file)
            return true;
    return false;
}

void sim_sweep(simdisk *d)
{
    for (size_t i = 0; i < d->file_count; i++)
        if (d->files[i].used && !cut_is_named(d, i))
            sim_file_clear(&d->files[i]);
}

/* ---- the ends ----------------------------------------------------------------------------------------------- */

void simdisk_kill(simdisk *d)
{
    for (sim_mount *m = d->mounts; m != NULL; m = m->next) {
        m->dead = true;
        m->holds_lock = false;
    }
    for (size_t i = 0; i < d->fd_count; i++)
        d->fds[i].mount = NULL;
    for (size_t i = 0; i < d->file_count; i++)
        d->files[i].failed = false;
    d->off = false;
    d->off_at = 0;
    sim_sweep(d);
}

void simdisk_power_cut(simdisk *d, const simdisk_fate *fate)
{
    simdisk_fate each = *fate;

    simdisk_kill(d);
    for (size_t i = 0; i < d->file_count; i++) {
        sim_file *file = &d->files[i];
        if (!file->used)
            continue;
        each.seed = fate->seed * UINT64_C(0x9e3779b97f4a7c15) + i;
        sim_settle_file(d, file, &each);
        sim_image_clear(&file->cache);
        sim_image_copy(&file->cache, &file->disk);
        file->cache_written = file->disk_written;
    }
    sim_settle_names(d, fate);
    sim_names_copy(&d->now, &d->lasting);
    sim_sweep(d);
}

void simdisk_off_at(simdisk *d, uint64_t number, bool within)
{
    d->off_at = number;
    d->off_within = within;
}

bool simdisk_is_off(const simdisk *d)
{
    return d->off;
}
