/* s3sim_objects.c - the objects of s3sim: an array sorted by name, of counted objects. */
#include "s3sim_int.h"

#include "httpserver_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

sim_object *sim_object_new(const char *name, size_t name_size, const void *bytes, size_t size, int64_t changed_s)
{
    sim_object *o = hs_need(malloc(sizeof *o + name_size + 1));
    uint64_t sum = UINT64_C(0xcbf29ce484222325) ^ size; /* no MD5, but no two contents of a test share it */

    memset(o, 0, sizeof *o);
    atomic_init(&o->refs, 1);
    o->changed_s = changed_s;
    o->bytes = hs_need(malloc(size + 1));
    if (size > 0)
        memcpy(o->bytes, bytes, size);
    o->bytes[size] = '\0';
    o->size = size;
    o->name_size = name_size;
    memcpy(o->name, name, name_size);
    o->name[name_size] = '\0';
    for (size_t i = 0; i < size; i += 1 + size / 256)
        sum = (sum ^ (unsigned char)o->bytes[i]) * UINT64_C(0x100000001b3);
    snprintf(o->etag, sizeof o->etag, "\"%016llx%016llx\"", (unsigned long long)sum, (unsigned long long)size);
    return o;
}

void sim_object_unref(sim_object *o)
{
    if (o != NULL && atomic_fetch_sub(&o->refs, 1) == 1) {
        free(o->bytes);
        free(o);
    }
}

static int so_compare(const char *a, size_t a_size, const char *b, size_t b_size)
{
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);

    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

size_t sim_objects_find(const sim_objects *all, const char *name, size_t name_size, bool *found)
{
    size_t low = 0, high = all->count;

    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = so_compare(all->list[middle]->name, all->list[middle]->name_size, name, name_size);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool sim_objects_set(sim_objects *all, sim_object *o)
{
    bool found;
    size_t at = sim_objects_find(all, o->name, o->name_size, &found);

    all->bytes += o->size;
    if (found) {
        all->bytes -= all->list[at]->size;
        sim_object_unref(all->list[at]);
        all->list[at] = o;
        return true;
    }
    if (all->count == all->room) {
        all->room = all->room > 0 ? 2 * all->room : 64;
        all->list = hs_need(realloc(all->list, all->room * sizeof(sim_object *)));
    }
    memmove(all->list + at + 1, all->list + at, (all->count - at) * sizeof(sim_object *));
    all->list[at] = o;
    all->count++;
    return false;
}

void sim_objects_remove(sim_objects *all, size_t at)
{
    all->bytes -= all->list[at]->size;
    sim_object_unref(all->list[at]);
    all->count--;
    memmove(all->list + at, all->list + at + 1, (all->count - at) * sizeof(sim_object *));
}

void sim_objects_free(sim_objects *all)
{
    for (size_t i = 0; i < all->count; i++)
        sim_object_unref(all->list[i]);
    free(all->list);
}
