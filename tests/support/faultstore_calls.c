/* faultstore_calls.c - what a fault store remembers of its calls: counts by operation, and the history. */
#include "faultstore_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FS_PATIENCE_MS 60000

void wb_fault_abort(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("faultstore: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

void *wb_fault_alloc(size_t size)
{
    void *made = calloc(1, size);

    if (made == NULL)
        wb_fault_abort("no memory for %zu bytes", size);
    return made;
}

static const char *const fs_names[WB_FAULT_OPS] = {"get", "put", "delete", "size", "list", "len", "cas_key", "cas_put"};

static unsigned fs_index(unsigned op)
{
    unsigned i = 0;

    if (op == FAULT_ANY)
        return WB_FAULT_ALL;
    while (i < WB_FAULT_OPS && op != 1u << i)
        i++;
    if (i == WB_FAULT_OPS)
        wb_fault_abort("%#x is not one operation", op);
    return i;
}

const char *wb_fault_op_name(unsigned op)
{
    unsigned i = fs_index(op);

    return i == WB_FAULT_ALL ? "any operation" : fs_names[i];
}

void wb_fault_wait_locked(faultstore *f, const uint64_t *value, uint64_t count, const char *what)
{
    blob_ctx *patience;

    if (*value >= count)
        return;
    if (blob_ctx_new_timeout(&patience, NULL, FS_PATIENCE_MS) != 0)
        wb_fault_abort("no memory to wait with");
    while (*value < count) {
        if (blob_ctx_wait(patience, &f->changed, &f->lock) != 0 && *value < count)
            wb_fault_abort("a minute has passed: %s %llu times, not %llu", what, (unsigned long long)*value,
                           (unsigned long long)count);
    }
    blob_ctx_free(patience);
}

/* A rule by key must know the address that a cas_ call is about before it takes place. */
static void fs_ask_address(wb_fault_call *call)
{
    bool wanted;

    if ((call->op & (FAULT_CAS_KEY | FAULT_CAS_PUT)) == 0)
        return;
    pthread_mutex_lock(&call->store->lock);
    wanted = call->store->cas_keyed;
    pthread_mutex_unlock(&call->store->lock);
    if (wanted && blob_store_cas_key(call->store->inner, NULL, call->data, &call->address) == 0) {
        call->has_key = true;
        call->key = blob_address_key(&call->address);
    }
}

static void fs_count_begin_locked(faultstore_counts *counts)
{
    counts->in_flight++;
    if (counts->in_flight > counts->in_flight_max)
        counts->in_flight_max = counts->in_flight;
}

static void fs_count_end_locked(faultstore_counts *counts, const wb_fault_call *call, int status)
{
    counts->in_flight--;
    counts->calls++;
    counts->failed += status != 0;
    counts->reached += call->reached;
}

void wb_fault_begin(wb_fault_call *call)
{
    faultstore *f = call->store;

    fs_ask_address(call);
    pthread_mutex_lock(&f->lock);
    call->begun = atomic_fetch_add(f->ticks, 1);
    fs_count_begin_locked(&f->counts[fs_index(call->op)]);
    fs_count_begin_locked(&f->counts[WB_FAULT_ALL]);
    pthread_mutex_unlock(&f->lock);
}

static void fs_remember_locked(faultstore *f, const wb_fault_call *call, int status)
{
    blob_key key = call->made != NULL ? blob_address_key(call->made) : call->key;
    wb_fault_past *past = wb_fault_alloc(sizeof *past + key.size);

    if (f->past_size == f->past_room) {
        size_t room = f->past_room == 0 ? 256 : 2 * f->past_room;
        wb_fault_past **grown = realloc(f->past, room * sizeof *grown);
        if (grown == NULL)
            wb_fault_abort("no memory for a history of %zu calls", room);
        f->past = grown;
        f->past_room = room;
    }
    past->op = call->op;
    past->flags = call->flags;
    past->begun = call->begun;
    past->ended = atomic_fetch_add(f->ticks, 1);
    past->status = status;
    past->reached = call->reached;
    past->key_size = key.size;
    if (key.size > 0)
        memcpy(past->key, key.data, key.size);
    f->past[f->past_size++] = past;
}

int wb_fault_end(wb_fault_call *call, int status)
{
    faultstore *f = call->store;

    pthread_mutex_lock(&f->lock);
    fs_count_end_locked(&f->counts[fs_index(call->op)], call, status);
    fs_count_end_locked(&f->counts[WB_FAULT_ALL], call, status);
    if (!f->forgetful)
        fs_remember_locked(f, call, status);
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    return status;
}

void wb_fault_forget(faultstore *f)
{
    for (size_t i = 0; i < f->past_size; i++)
        free(f->past[i]);
    free(f->past);
    f->past = NULL;
    f->past_size = f->past_room = 0;
}

faultstore_counts faultstore_count(faultstore *f, unsigned op)
{
    faultstore_counts counts;

    pthread_mutex_lock(&f->lock);
    counts = f->counts[fs_index(op)];
    pthread_mutex_unlock(&f->lock);
    return counts;
}

void faultstore_wait_calls(faultstore *f, unsigned op, uint64_t count)
{
    pthread_mutex_lock(&f->lock);
    wb_fault_wait_locked(f, &f->counts[fs_index(op)].calls, count, wb_fault_op_name(op));
    pthread_mutex_unlock(&f->lock);
}

size_t faultstore_history_size(faultstore *f)
{
    size_t size;

    pthread_mutex_lock(&f->lock);
    size = f->past_size;
    pthread_mutex_unlock(&f->lock);
    return size;
}

bool faultstore_history(faultstore *f, size_t index, faultstore_call *out)
{
    bool there;

    *out = (faultstore_call){0};
    pthread_mutex_lock(&f->lock);
    there = index < f->past_size;
    if (there) {
        const wb_fault_past *past = f->past[index];
        out->op = past->op;
        out->flags = past->flags;
        out->begun = past->begun;
        out->ended = past->ended;
        out->status = past->status;
        out->reached = past->reached;
        out->key_size = past->key_size;
        if (past->key_size > 0)
            memcpy(out->key, past->key, past->key_size);
    }
    pthread_mutex_unlock(&f->lock);
    return there;
}

uint64_t faultstore_count_key(faultstore *f, unsigned ops, blob_key key)
{
    uint64_t count = 0;

    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->past_size; i++) {
        const wb_fault_past *past = f->past[i];
        if ((past->op & ops) != 0 && blob_key_compare(blob_key_of(past->key, past->key_size), key) == 0)
            count++;
    }
    pthread_mutex_unlock(&f->lock);
    return count;
}

void faultstore_keep_history(faultstore *f, bool keep)
{
    pthread_mutex_lock(&f->lock);
    f->forgetful = !keep;
    pthread_mutex_unlock(&f->lock);
}

void faultstore_share_ticks(faultstore *f, faultstore *with)
{
    f->ticks = with->ticks;
}
