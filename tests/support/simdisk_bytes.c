/* simdisk_bytes.c - files of the simulated disk: images made of shared pages, and what happened to them since a sync. */
#include "simdisk_int.h"

#include <stdlib.h>
#include <string.h>

static void *sb_alloc(size_t size)
{
    void *p = calloc(1, size > 0 ? size : 1);

    if (p == NULL)
        sim_abort("no memory");
    return p;
}

/* ---- pages -------------------------------------------------------------------------------------------------- */

static sim_page *sb_page_ref(sim_page *page)
{
    if (page != NULL)
        page->refs++;
    return page;
}

static void sb_page_unref(sim_page *page)
{
    if (page != NULL && --page->refs == 0)
        free(page);
}

static sim_page **sb_page_at(sim_image *image, size_t index)
{
    if (index >= image->count) {
        sim_page **pages = realloc(image->pages, (index + 1) * sizeof(sim_page *));
        if (pages == NULL)
            sim_abort("no memory");
        memset(&pages[image->count], 0, (index + 1 - image->count) * sizeof(sim_page *));
        image->pages = pages;
        image->count = index + 1;
    }
    return &image->pages[index];
}

/* A page of the image's own, to write to. */
static sim_page *sb_page_own(sim_image *image, size_t index)
{
    sim_page **at = sb_page_at(image, index), *old = *at;

    if (old != NULL && old->refs == 1) {
        old->hash = 0;
        return old;
    }
    *at = sb_alloc(sizeof(sim_page));
    if (old != NULL)
        memcpy((*at)->bytes, old->bytes, SIM_PAGE);
    (*at)->refs = 1;
    sb_page_unref(old);
    return *at;
}

/* ---- images ------------------------------------------------------------------------------------------------- */

void sim_image_copy(sim_image *to, const sim_image *from)
{
    to->size = from->size;
    to->count = from->count;
    to->pages = sb_alloc((from->count + 1) * sizeof(sim_page *));
    for (size_t i = 0; i < from->count; i++)
        to->pages[i] = sb_page_ref(from->pages[i]);
}

void sim_image_clear(sim_image *image)
{
    for (size_t i = 0; i < image->count; i++)
        sb_page_unref(image->pages[i]);
    free(image->pages);
    *image = (sim_image){0};
}

void sim_image_resize(sim_image *image, uint64_t size)
{
    size_t whole = (size_t)(size / SIM_PAGE), rest = (size_t)(size % SIM_PAGE);
    size_t keep = whole + (rest != 0);

    while (image->count > keep)
        sb_page_unref(image->pages[--image->count]);
    if (rest != 0 && whole < image->count && image->pages[whole] != NULL)
        memset(sb_page_own(image, whole)->bytes + rest, 0, SIM_PAGE - rest);
    image->size = size;
}

void sim_image_read(const sim_image *image, uint64_t offset, void *to, size_t size)
{
    unsigned char *at = to;

    while (size > 0) {
        size_t index = (size_t)(offset / SIM_PAGE), from = (size_t)(offset % SIM_PAGE);
        size_t step = SIM_PAGE - from < size ? SIM_PAGE - from : size;
        if (index < image->count && image->pages[index] != NULL)
            memcpy(at, image->pages[index]->bytes + from, step);
        else
            memset(at, 0, step);
        at += step;
        offset += step;
        size -= step;
    }
}

void sim_image_write(sim_image *image, uint64_t offset, const void *from, size_t size)
{
    const unsigned char *at = from;

    if (offset + size > image->size)
        image->size = offset + size;
    while (size > 0) {
        size_t to = (size_t)(offset % SIM_PAGE);
        size_t step = SIM_PAGE - to < size ? SIM_PAGE - to : size;
        memcpy(sb_page_own(image, (size_t)(offset / SIM_PAGE))->bytes + to, at, step);
        at += step;
        offset += step;
        size -= step;
    }
}

void sim_image_set_sector(sim_image *image, uint64_t sector, const unsigned char *bytes)
{
    sim_page *page = sb_page_own(image, (size_t)(sector / SIM_SECTORS));

    memcpy(page->bytes + sector % SIM_SECTORS * SIMDISK_SECTOR, bytes, SIMDISK_SECTOR);
}

uint64_t sim_image_taken(const sim_image *image)
{
    uint64_t taken = 0;

    for (size_t i = 0; i < image->count; i++)
        taken += image->pages[i] != NULL ? SIM_PAGE : 0;
    return taken;
}

static uint64_t sb_page_hash(sim_page *page)
{
    if (page->hash == 0) {
        uint64_t hash = UINT64_C(0x9e3779b97f4a7c15), word;
        for (size_t i = 0; i < SIM_PAGE; i += sizeof word) {
            memcpy(&word, page->bytes + i, sizeof word);
            hash = (hash ^ word) * UINT64_C(0xd6e8feb86659fd93);
            hash ^= hash >> 29;
        }
        page->hash = hash | 1;
    }
    return page->hash;
}

uint64_t sim_image_hash(const sim_image *image)
{
    uint64_t hash = image->size + 1;

    for (size_t i = 0; i < image->count; i++) {
        uint64_t page = image->pages[i] != NULL ? sb_page_hash(image->pages[i]) : 0;
        hash = ((hash ^ page) + i) * UINT64_C(0xd6e8feb86659fd93);
        hash ^= hash >> 31;
    }
    return hash;
}

/* ---- files -------------------------------------------------------------------------------------------------- */

static sim_event *sb_event(sim_file *file)
{
    file->events = sim_grow(file->events, file->event_count, &file->event_room, sizeof *file->events);
    file->events[file->event_count] = (sim_event){0};
    return &file->events[file->event_count++];
}

static size_t sb_event_pages(const sim_event *e)
{
    return e->resize ? 0 : (size_t)((e->sector_end - 1) / SIM_SECTORS - e->sector / SIM_SECTORS + 1);
}

void sim_file_write(sim_file *file, uint64_t offset, const void *from, size_t size)
{
    bool grows = offset + size > file->cache.size;
    sim_event *e;
    size_t count;

    if (size == 0)
        return;
    sim_image_write(&file->cache, offset, from, size);
    if (offset <= file->cache_written && offset + size > file->cache_written)
        file->cache_written = offset + size;
    if (grows) {
        e = sb_event(file);
        e->resize = true;
        e->size = offset + size;
    }
    e = sb_event(file);
    e->sector = offset / SIMDISK_SECTOR;
    e->sector_end = (offset + size + SIMDISK_SECTOR - 1) / SIMDISK_SECTOR;
    count = sb_event_pages(e);
    e->pages = sb_alloc(count * sizeof(sim_page *));
    for (size_t i = 0; i < count; i++)
        e->pages[i] = sb_page_ref(file->cache.pages[e->sector / SIM_SECTORS + i]);
}

const unsigned char *sim_event_sector(const sim_event *e, uint64_t sector)
{
    return e->pages[sector / SIM_SECTORS - e->sector / SIM_SECTORS]->bytes + sector % SIM_SECTORS * SIMDISK_SECTOR;
}

void sim_file_resize(sim_file *file, uint64_t size, bool create)
{
    sim_event *e = sb_event(file);

    sim_image_resize(&file->cache, size);
    if (file->cache_written > size)
        file->cache_written = size;
    e->resize = true;
    e->create = create;
    e->size = size;
}

static void sb_event_clear(sim_event *e)
{
    size_t count = sb_event_pages(e);

    for (size_t i = 0; i < count; i++)
        sb_page_unref(e->pages[i]);
    free(e->pages);
}

void sim_file_forget(sim_file *file)
{
    while (file->event_count > 0)
        sb_event_clear(&file->events[--file->event_count]);
}

void sim_file_copy(sim_file *to, const sim_file *from)
{
    *to = *from;
    sim_image_copy(&to->cache, &from->cache);
    sim_image_copy(&to->disk, &from->disk);
    to->event_room = from->event_count;
    to->events = sb_alloc((from->event_count + 1) * sizeof *to->events);
    for (size_t i = 0; i < from->event_count; i++) {
        size_t count = sb_event_pages(&from->events[i]);
        to->events[i] = from->events[i];
        to->events[i].pages = count > 0 ? sb_alloc(count * sizeof(sim_page *)) : NULL;
        for (size_t k = 0; k < count; k++)
            to->events[i].pages[k] = sb_page_ref(from->events[i].pages[k]);
    }
}

void sim_file_clear(sim_file *file)
{
    sim_file_forget(file);
    free(file->events);
    sim_image_clear(&file->cache);
    sim_image_clear(&file->disk);
    *file = (sim_file){0};
}
