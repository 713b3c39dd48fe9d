/* faultstore_late.c - calls of a fault store that are kept aside, to be carried out later, or once more. */
#include "faultstore_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool wb_fault_keep_locked(blob_faultstore *f, const wb_fault_call *call, int *status)
{
    wb_fault_late *late = calloc(1, sizeof *late + call->key.size + call->data.size);

    if (late == NULL) {
        *status = blob_fail(-ENOMEM, 0, "no memory to keep a call of the fault store for later");
        return true;
    }
    late->op = call->op;
    late->flags = call->flags;
    late->key = blob_key_of(late->bytes, call->op == BLOB_FAULT_CAS_PUT ? 0 : call->key.size);
    late->data = blob_view_of(late->bytes + late->key.size, call->data.size);
    if (late->key.size > 0)
        memcpy(late->bytes, call->key.data, late->key.size);
    if (call->data.size > 0)
        memcpy(late->bytes + late->key.size, call->data.data, call->data.size);
    *f->late_end = late;
    f->late_end = &late->next;
    pthread_cond_broadcast(&f->changed);
    return false;
}

void wb_fault_drop_late(blob_faultstore *f)
{
    wb_fault_late *late = f->late, *next;

    for (; late != NULL; late = next) {
        next = late->next;
        free(late);
    }
}

size_t blob_faultstore_late(blob_faultstore *f)
{
    size_t count = 0;

    if (!wb_fault_given(f))
        return 0;
    pthread_mutex_lock(&f->lock);
    for (const wb_fault_late *late = f->late; late != NULL; late = late->next)
        count++;
    pthread_mutex_unlock(&f->lock);
    return count;
}

int blob_faultstore_deliver(blob_faultstore *f, int *status)
{
    wb_fault_late *late;
    blob_address address;
    int rc = 0;

    if (!wb_fault_given(f)) {
        if (status != NULL)
            *status = -EINVAL;
        return -EINVAL;
    }
    pthread_mutex_lock(&f->lock);
    late = f->late;
    if (late != NULL) {
        f->late = late->next;
        if (f->late == NULL)
            f->late_end = &f->late;
    }
    pthread_mutex_unlock(&f->lock);
    if (late != NULL && late->op == BLOB_FAULT_PUT)
        rc = blob_store_put(f->inner, NULL, late->key, late->data, late->flags);
    else if (late != NULL && late->op == BLOB_FAULT_DELETE)
        rc = blob_store_delete(f->inner, NULL, late->key, late->flags);
    else if (late != NULL)
        rc = blob_store_cas_put(f->inner, NULL, late->data, &address);
    if (status != NULL)
        *status = rc;
    free(late);
    return late != NULL;
}
