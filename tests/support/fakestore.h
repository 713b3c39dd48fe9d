/* fakestore.h - a store that keeps nothing: it records each call it gets, and answers as it is told. For the tests of
 * blob_store_... alone, which the fault store goes through itself: this one stands behind them with a table that lacks
 * what it likes, and gives answers that no store may give. */
#ifndef TESTS_FAKESTORE_H
#define TESTS_FAKESTORE_H

#include <stdbool.h>

#include <wbstore/blob_store.h>

typedef enum fake_op { GET, PUT, DEL, SIZE, LIST, LEN, CLOSE, CAS_KEY, CAS_PUT, OPS } fake_op;

typedef struct fake {
    blob_store store;
    /* what it shall answer */
    int status;
    const char *words; /* said on failure; NULL: nothing */
    bool fill;         /* leave something in the out, whatever the status */
    size_t address_size;
    /* what it was asked */
    unsigned calls;
    fake_op op;
    blob_ctx *ctx;
    blob_key key;
    blob_view data;
    unsigned flags;
    blob_list_fn *fn;
    void *arg;
    bool out_was_clear;
} fake;

extern const blob_store_ops fake_ops; /* with every operation */
extern char fake_junk;                /* what a get that fills its out gives */

/* A fake over ops: fake_ops, a copy that lacks some of it, or NULL. */
fake new_fake(const blob_store_ops *ops);

#endif
