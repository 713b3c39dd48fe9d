/* keytable.h - from a key to its entry in the ledger. Not locked: its owner does that. */
#ifndef WB_KEYTABLE_H
#define WB_KEYTABLE_H

#include <stddef.h>
#include <stdint.h>
#include <wbstore/blob.h>

struct wb_entry;
typedef struct wb_key_page wb_key_page;

typedef struct wb_key_table {
    wb_key_page **pages; /* 2^depth of them, by the top bits of the hash; a page may stand in several places */
    unsigned depth;
    size_t count;
    uint64_t seed;
} wb_key_table;

int wb_key_table_init(wb_key_table *t, uint64_t seed);
void wb_key_table_free(wb_key_table *t, void (*free_entry)(struct wb_entry *e)); /* and every entry in it */

struct wb_entry *wb_key_table_find(const wb_key_table *t, blob_key key);
int wb_key_table_add(wb_key_table *t, struct wb_entry *e); /* its key is not in it; -ENOMEM changes nothing */
void wb_key_table_remove(wb_key_table *t, struct wb_entry *e);

#endif
