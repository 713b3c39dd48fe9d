/* conform_beside.c - checks: while the callback of a listing runs no lock is held, so another thread gets on with puts. */
#include "testkit/conform_int.h"

#define CW_FEW 8

/* A listing whose first callback stands still until another thread has put what it wants to put. */
typedef struct cw_pair {
    wb_cf *c;
    blob_key keys[CW_FEW], fresh;
    size_t at; /* of the keys, in the listing */
    bool fresh_listed, wrong;
    wb_cf_aside aside;
    int put, replaced, looked; /* of the other thread, until it has ended */
} cw_pair;

static void cw_put(void *arg)
{
    cw_pair *p = arg;
    blob_store *s = p->c->store;
    uint64_t size;

    p->put = blob_store_put(s, NULL, p->fresh, blob_view_of("x", 1), 0);
    p->replaced = blob_store_put(s, NULL, p->keys[2], blob_view_of("longer", 6), BLOB_REPLACE);
    p->looked = blob_store_size(s, NULL, p->keys[2], &size);
}

static int cw_key(void *arg, blob_key key, uint64_t size)
{
    cw_pair *p = arg;

    (void)size;
    if (!p->aside.begun && !wb_cf_aside_returns(&p->aside, p->c, "a put", cw_put, p)) {
        p->wrong = true;
    } else if (p->at < CW_FEW && blob_key_compare(key, p->keys[p->at]) == 0) {
        p->at++;
    } else if (p->at == CW_FEW && !p->fresh_listed && blob_key_compare(key, p->fresh) == 0) {
        p->fresh_listed = true;
    } else {
        p->wrong = true;
        wb_cf_broken(p->c, "a listing beside puts reports %s after %zu of %d keys", wb_cf_show(key).text, p->at,
                     CW_FEW);
    }
    return p->wrong ? BLOB_LIST_STOP : 0;
}

static bool cw_puts(wb_cf *c)
{
    cw_pair p = {.c = c, .fresh = wb_cf_key("z, behind all others")};
    int listed;

    if (!wb_cf_put_few(c, p.keys, CW_FEW) || !wb_cf_note(c, p.fresh))
        return false;
    listed = blob_store_list(c->store, NULL, p.keys[0], cw_key, &p);
    wb_cf_aside_end(&p.aside);
    return !p.wrong && wb_cf_status(c, "a listing beside puts", p.keys[0], listed, 0) &&
           wb_cf_status(c, "put beside a listing", p.fresh, p.put, 0) &&
           wb_cf_status(c, "put with replace beside a listing", p.keys[2], p.replaced, 0) &&
           wb_cf_status(c, "size beside a listing", p.keys[2], p.looked, 0) &&
           (p.at == CW_FEW || wb_cf_broken(c, "a listing beside puts ended after %zu of %d keys", p.at, CW_FEW)) &&
           wb_cf_holds(c, p.fresh, blob_view_of("x", 1)) && wb_cf_holds(c, p.keys[2], blob_view_of("longer", 6));
}

const wb_cf_check wb_cf_beside[] = {
    {"put-during-list", cw_puts},
    {NULL, NULL},
};
