/* faultstore_calls.c - what a fault store remembers of its calls: counts by operation, and the history. */
#include "faultstore_int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int wb_fault_wrong(blob_faultstore *f, int status, const char *format, ...)
{
    char what[200];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    blob_fail(status, 0, "%s", what);
    if (f != NULL && f->wrong != NULL)
        f->wrong(f->wrong_arg, what);
    return status;
}

bool wb_fault_given(const blob_faultstore *f)
{
    if (f == NULL)
        blob_fail(-EINVAL, 0, "no controls of a fault store");
    return f != NULL;
}

static const char *const fs_names[WB_FAULT_OPS] = {"get", "put", "delete", "size", "list", "len", "cas_key", "cas_put"};

/* The row of counts; -1: op is not one operation, nor all. */
static int fs_index(unsigned op)
{
    int i = 0;

    if (op == BLOB_FAULT_ANY)
        return WB_FAULT_ALL;
    while (i < WB_FAULT_OPS && op != 1u << i)
        i++;
    return i < WB_FAULT_OPS ? i : -1;
}

int wb_fault_wait(blob_faultstore *f, const uint64_t *value, uint64_t count, const char *what)
{
    blob_ctx *patience = NULL;
    uint64_t seen;
    int rc;

    pthread_mutex_lock(&f->lock);
    rc = *value >= count ? 0 : blob_ctx_new_timeout(&patience, NULL, f->patience_ms);
    while (rc == 0 && *value < count)
        rc = blob_ctx_wait(patience, &f->changed, &f->lock);
    seen = *value;
    pthread_mutex_unlock(&f->lock);
    blob_ctx_free(patience);
    if (seen >= count)
        return 0;
    return wb_fault_wrong(f, rc, "waited in vain: %s %llu times, not %llu", what, (unsigned long long)seen,
                          (unsigned long long)count);
}

/* A rule by key must know the address that a cas_ call is about before it takes place. */
static void fs_ask_address(wb_fault_call *call)
{
    bool wanted;

    if ((call->op & (BLOB_FAULT_CAS_KEY | BLOB_FAULT_CAS_PUT)) == 0)
        return;
    pthread_mutex_lock(&call->store->lock);
    wanted = call->store->cas_keyed;
    pthread_mutex_unlock(&call->store->lock);
    if (wanted && blob_store_cas_key(call->store->inner, NULL, call->data, &call->address) == 0) {
        call->has_key = true;
        call->key = blob_address_key(&call->address);
    }
}

static void fs_count_begin_locked(blob_faultstore_counts *counts)
{
    counts->in_flight++;
    if (counts->in_flight > counts->in_flight_max)
        counts->in_flight_max = counts->in_flight;
}

static void fs_count_end_locked(blob_faultstore_counts *counts, const wb_fault_call *call, int status)
{
    counts->in_flight--;
    counts->calls++;
    counts->failed += status != 0;
    counts->reached += call->reached;
}

/* A place in the history for the call, so that its end cannot fail. */
static int fs_reserve_locked(blob_faultstore *f, wb_fault_call *call)
{
    size_t key_room =
        call->op == BLOB_FAULT_CAS_KEY || call->op == BLOB_FAULT_CAS_PUT ? BLOB_ADDRESS_MAX : call->key.size;

    if (f->forgetful)
        return 0;
    if (f->past_size + f->past_coming == f->past_room) {
        size_t room = f->past_room == 0 ? 256 : 2 * f->past_room;
        wb_fault_past **grown = realloc(f->past, room * sizeof *grown);
        if (grown == NULL)
            return -ENOMEM;
        f->past = grown;
        f->past_room = room;
    }
    call->past = calloc(1, sizeof *call->past + key_room);
    if (call->past == NULL)
        return -ENOMEM;
    f->past_coming++;
    return 0;
}

int wb_fault_begin(wb_fault_call *call)
{
    blob_faultstore *f = call->store;
    int rc;

    fs_ask_address(call);
    pthread_mutex_lock(&f->lock);
    call->begun = atomic_fetch_add(f->ticks, 1);
    fs_count_begin_locked(&f->counts[fs_index(call->op)]);
    fs_count_begin_locked(&f->counts[WB_FAULT_ALL]);
    rc = fs_reserve_locked(f, call);
    pthread_mutex_unlock(&f->lock);
    return rc == 0 ? 0 : blob_fail(rc, 0, "no memory for the history of a fault store");
}

static void fs_remember_locked(blob_faultstore *f, const wb_fault_call *call, int status)
{
    blob_key key = call->made != NULL ? blob_address_key(call->made) : call->key;
    wb_fault_past *past = call->past;

    past->op = call->op;
    past->flags = call->flags;
    past->begun = call->begun;
    past->ended = atomic_fetch_add(f->ticks, 1);
    past->status = status;
    past->reached = call->reached;
    past->key_size = key.size;
    if (key.size > 0)
        memcpy(past->key, key.data, key.size);
    f->past_coming--;
    f->past[f->past_size++] = past;
}

int wb_fault_end(wb_fault_call *call, int status)
{
    blob_faultstore *f = call->store;

    pthread_mutex_lock(&f->lock);
    fs_count_end_locked(&f->counts[fs_index(call->op)], call, status);
    fs_count_end_locked(&f->counts[WB_FAULT_ALL], call, status);
    if (call->past != NULL)
        fs_remember_locked(f, call, status);
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    return status;
}

void wb_fault_forget(blob_faultstore *f)
{
    for (size_t i = 0; i < f->past_size; i++)
        free(f->past[i]);
    free(f->past);
    f->past = NULL;
    f->past_size = f->past_room = 0;
}

blob_faultstore_counts blob_faultstore_count(blob_faultstore *f, unsigned op)
{
    blob_faultstore_counts counts = {0};
    int i = fs_index(op);

    if (!wb_fault_given(f))
        return counts;
    if (i < 0) {
        wb_fault_wrong(f, -EINVAL, "%#x is not one operation to count", op);
        return counts;
    }
    pthread_mutex_lock(&f->lock);
    counts = f->counts[i];
    pthread_mutex_unlock(&f->lock);
    return counts;
}

int blob_faultstore_wait_calls(blob_faultstore *f, unsigned op, uint64_t count)
{
    int i = fs_index(op);

    if (!wb_fault_given(f))
        return -EINVAL;
    if (i < 0)
        return wb_fault_wrong(f, -EINVAL, "%#x is not one operation to wait for", op);
    return wb_fault_wait(f, &f->counts[i].calls, count, i == WB_FAULT_ALL ? "any operation" : fs_names[i]);
}

size_t blob_faultstore_history_size(blob_faultstore *f)
{
    size_t size;

    if (!wb_fault_given(f))
        return 0;
    pthread_mutex_lock(&f->lock);
    size = f->past_size;
    pthread_mutex_unlock(&f->lock);
    return size;
}

int blob_faultstore_history(blob_faultstore *f, size_t index, blob_faultstore_call *out)
{
    bool there;

    if (out == NULL)
        return wb_fault_wrong(f, -EINVAL, "no place for a call of the history");
    *out = (blob_faultstore_call){0};
    if (!wb_fault_given(f))
        return -EINVAL;
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

uint64_t blob_faultstore_count_key(blob_faultstore *f, unsigned ops, blob_key key)
{
    uint64_t count = 0;

    if (!wb_fault_given(f))
        return 0;
    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->past_size; i++) {
        const wb_fault_past *past = f->past[i];
        if ((past->op & ops) != 0 && blob_key_compare(blob_key_of(past->key, past->key_size), key) == 0)
            count++;
    }
    pthread_mutex_unlock(&f->lock);
    return count;
}

void blob_faultstore_keep_history(blob_faultstore *f, int keep)
{
    if (!wb_fault_given(f))
        return;
    pthread_mutex_lock(&f->lock);
    f->forgetful = !keep;
    pthread_mutex_unlock(&f->lock);
}

void blob_faultstore_share_ticks(blob_faultstore *f, blob_faultstore *with)
{
    if (wb_fault_given(f) && wb_fault_given(with))
        f->ticks = with->ticks;
}
