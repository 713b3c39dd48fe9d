/* conform_lists.c - checks: a listing reports every key from its start on, once, in order, and ends when told to. */
#include "testkit/conform_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CL_FEW 8
#define CL_MANY 1100
#define CL_MANY_LEAST 64

static const blob_key cl_first = {NULL, 0};

static bool cl_empty(wb_cf *c)
{
    const blob_key one = wb_cf_key("a"), last = wb_cf_key("\377\377");

    return wb_cf_lists_exactly(c, cl_first, NULL, 0) && wb_cf_lists_exactly(c, one, NULL, 0) &&
           wb_cf_lists_exactly(c, last, NULL, 0) && wb_cf_put(c, one, blob_view_of("x", 1), 0, 0) &&
           wb_cf_lists_exactly(c, cl_first, &one, 1) && wb_cf_lists_exactly(c, last, NULL, 0) &&
           wb_cf_delete(c, one, 0, 0) && wb_cf_lists_exactly(c, cl_first, NULL, 0);
}

static bool cl_order(wb_cf *c)
{
    blob_key keys[WB_CF_ODD];

    return wb_cf_put_odd(c, keys) && wb_cf_lists_exactly(c, cl_first, keys, WB_CF_ODD);
}

static bool cl_from(wb_cf *c, const blob_key *keys, size_t count, blob_key start)
{
    size_t at = 0;

    while (at < count && blob_key_compare(keys[at], start) < 0)
        at++;
    return wb_cf_lists_exactly(c, start, keys + at, count - at);
}

/* From each key, and from its neighbours: one more byte, one byte less, the last byte up and down by one. */
static bool cl_start(wb_cf *c)
{
    blob_key keys[WB_CF_ODD];
    unsigned char near[BLOB_KEY_MAX];

    if (!wb_cf_put_odd(c, keys))
        return false;
    for (size_t i = 0; i < WB_CF_ODD; i++) {
        size_t size = keys[i].size;
        if (!cl_from(c, keys, WB_CF_ODD, keys[i]))
            return false;
        if (size > 0)
            memcpy(near, keys[i].data, size);
        if (size < BLOB_KEY_MAX) {
            near[size] = 0;
            if (!cl_from(c, keys, WB_CF_ODD, blob_key_of(near, size + 1)))
                return false;
        }
        if (size == 0)
            continue;
        if (!cl_from(c, keys, WB_CF_ODD, blob_key_of(near, size - 1)))
            return false;
        near[size - 1]++;
        if (!cl_from(c, keys, WB_CF_ODD, blob_key_of(near, size)))
            return false;
        near[size - 1] = (unsigned char)(near[size - 1] - 2);
        if (!cl_from(c, keys, WB_CF_ODD, blob_key_of(near, size)))
            return false;
    }
    return true;
}

/* A start is where a listing begins, not what its keys begin with. */
static bool cl_start_is_no_prefix(wb_cf *c)
{
    blob_key keys[CL_FEW];

    return wb_cf_put_few(c, keys, CL_FEW) && wb_cf_lists_exactly(c, wb_cf_key("a\001"), keys + 1, CL_FEW - 1) &&
           wb_cf_lists_exactly(c, keys[2], keys + 2, CL_FEW - 2);
}

/* Puts keys into a set, until it is full or a second is over: half of them scattered, half alike in their first byte, for
 * a store may keep those together. */
typedef struct cl_set {
    size_t count;
    unsigned char names[CL_MANY][5];
    blob_key keys[CL_MANY];
} cl_set;

static int cl_compare(const void *a, const void *b)
{
    return blob_key_compare(*(const blob_key *)a, *(const blob_key *)b);
}

static bool cl_put_set(wb_cf *c, cl_set *set)
{
    const int64_t until_ms = wb_cf_now_ms() + 1000;

    while (set->count < CL_MANY && (set->count < CL_MANY_LEAST || wb_cf_now_ms() < until_ms)) {
        unsigned char *name = set->names[set->count];
        /* Odd, so no number comes twice. */
        uint32_t number = (uint32_t)set->count * 2654435761u;
        name[0] = set->count % 2 == 0 ? 'm' : (unsigned char)(number >> 24);
        for (size_t i = 1; i < sizeof set->names[0]; i++)
            name[i] = (unsigned char)(number >> (8 * (i - 1)));
        set->keys[set->count] = blob_key_of(name, sizeof set->names[0]);
        if (!wb_cf_put(c, set->keys[set->count], blob_view_of(name, sizeof set->names[0]), 0, 0))
            return false;
        set->count++;
    }
    qsort(set->keys, set->count, sizeof set->keys[0], cl_compare);
    return true;
}

/* More keys than come in one piece from stores that list in pieces. */
static bool cl_many(wb_cf *c)
{
    cl_set *set = calloc(1, sizeof *set);
    size_t count, half;
    bool good;

    if (set == NULL)
        return wb_cf_fail(c, -ENOMEM);
    good = cl_put_set(c, set);
    count = set->count;
    half = count / 2;
    good = good && wb_cf_lists_exactly(c, cl_first, set->keys, count) && wb_cf_len(c, count) &&
           wb_cf_lists_exactly(c, set->keys[half], set->keys + half, count - half) &&
           wb_cf_lists_exactly(c, set->keys[count - 1], set->keys + count - 1, 1);
    free(set);
    return good;
}

/* ---- sizes ---------------------------------------------------------------------------------------------------- */

typedef struct cl_sizes {
    wb_cf *c;
    const blob_key *keys;
    size_t at;
    bool wrong;
} cl_sizes;

static int cl_check_size(void *arg, blob_key key, uint64_t size)
{
    cl_sizes *s = arg;

    if (s->at == WB_CF_ODD)
        return BLOB_LIST_STOP; /* too many: other checks ask about that */
    if (size != UINT64_MAX && size != s->at) {
        s->wrong = true;
        wb_cf_broken(s->c, "a listing says that %s has %llu bytes, not %zu", wb_cf_show(key).text,
                     (unsigned long long)size, s->at);
    }
    s->at++;
    return s->wrong ? BLOB_LIST_STOP : 0;
}

static bool cl_size(wb_cf *c)
{
    blob_key keys[WB_CF_ODD];
    cl_sizes s = {.c = c, .keys = keys};

    /* The i-th odd key has i bytes. */
    return wb_cf_put_odd(c, keys) &&
           wb_cf_status(c, "a listing", cl_first, blob_store_list(c->store, NULL, cl_first, cl_check_size, &s), 0) &&
           !s.wrong;
}

/* ---- ending a listing ------------------------------------------------------------------------------------------ */

typedef struct cl_ending {
    size_t calls, end_at; /* at the call of this number, from 1 */
    int status;
} cl_ending;

static int cl_end(void *arg, blob_key key, uint64_t size)
{
    cl_ending *e = arg;

    (void)key;
    (void)size;
    return ++e->calls >= e->end_at ? e->status : 0;
}

static bool cl_ends(wb_cf *c, blob_key start, size_t end_at, int status, int want)
{
    cl_ending e = {.end_at = end_at, .status = status};
    int rc = blob_store_list(c->store, NULL, start, cl_end, &e);

    if (e.calls != end_at)
        return wb_cf_broken(c, "a callback that ended its listing with %d at call %zu was called %zu times", status,
                            end_at, e.calls);
    return rc == want || wb_cf_broken(c, "a listing whose callback returned %d returned %d (%s), not %d", status, rc,
                                      blob_strerror(rc), want);
}

static bool cl_stop(wb_cf *c)
{
    blob_key keys[CL_FEW];

    if (!wb_cf_put_few(c, keys, CL_FEW))
        return false;
    for (size_t at = 1; at <= CL_FEW; at++) {
        if (!cl_ends(c, cl_first, at, BLOB_LIST_STOP, 0))
            return false;
    }
    return cl_ends(c, keys[3], 2, BLOB_LIST_STOP, 0) && wb_cf_lists_exactly(c, cl_first, keys, CL_FEW);
}

/* Also those that a store might take for its own. */
static bool cl_status(wb_cf *c)
{
    static const int statuses[] = {-1,          -EIO,          BLOB_NOT_FOUND, -ECANCELED, BLOB_CORRUPT,
                                   BLOB_EXISTS, -ETIMEDOUT,    BLOB_CLOSED,    -12345,     BLOB_UNAVAILABLE,
                                   -ENOENT,     -INT32_MAX - 1};
    blob_key keys[CL_FEW];

    if (!wb_cf_put_few(c, keys, CL_FEW))
        return false;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        if (!cl_ends(c, cl_first, 1 + i % CL_FEW, statuses[i], statuses[i]))
            return false;
    }
    return cl_ends(c, cl_first, CL_FEW, -EIO, -EIO) && wb_cf_lists_exactly(c, cl_first, keys, CL_FEW);
}

const wb_cf_check wb_cf_lists[] = {
    {"list-empty", cl_empty},
    {"list-order", cl_order},
    {"list-start", cl_start},
    {"list-start-is-no-prefix", cl_start_is_no_prefix},
    {"list-many", cl_many},
    {"list-size", cl_size},
    {"list-stop", cl_stop},
    {"list-status", cl_status},
    {NULL, NULL},
};

/* ---- calls inside of a listing --------------------------------------------------------------------------------- */

/* At every key the listing under way is joined by a call of the same store. At the first one another thread makes such a
 * call before: where a lock is held, that thread waits in vain, and this one, which would for ever, does not begin. */
typedef struct cl_outer {
    wb_cf *c;
    blob_key keys[CL_FEW];
    size_t at;
    const struct cl_join *join;
    wb_cf_aside aside;
    bool wrong;
} cl_outer;

typedef struct cl_join {
    const char *what;
    void (*aside)(void *outer);
    bool (*inside)(cl_outer *outer, size_t at);
} cl_join;

static int cl_joined(void *arg, blob_key key, uint64_t size)
{
    cl_outer *outer = arg;

    (void)size;
    if (!outer->aside.begun &&
        !wb_cf_aside_returns(&outer->aside, outer->c, outer->join->what, outer->join->aside, outer))
        outer->wrong = true;
    else if (outer->at >= CL_FEW || blob_key_compare(key, outer->keys[outer->at]) != 0)
        outer->wrong = !wb_cf_broken(outer->c, "the outer listing reports %s as its key number %zu",
                                     wb_cf_show(key).text, outer->at);
    else
        outer->wrong = !outer->join->inside(outer, outer->at++);
    return outer->wrong ? BLOB_LIST_STOP : 0;
}

static bool cl_inside(wb_cf *c, const cl_join *join)
{
    cl_outer outer = {.c = c, .join = join};
    int rc;

    if (c->lock_held)
        return true; /* that is reported */
    if (!wb_cf_put_few(c, outer.keys, CL_FEW))
        return false;
    rc = blob_store_list(c->store, NULL, cl_first, cl_joined, &outer);
    wb_cf_aside_end(&outer.aside);
    if (outer.wrong || !wb_cf_status(c, "the outer listing", cl_first, rc, 0))
        return false;
    return outer.at == CL_FEW || wb_cf_broken(c, "the outer listing ended after %zu of %d keys", outer.at, CL_FEW);
}

/* What these return is asked inside of the listing. */
static void cl_get_aside(void *arg)
{
    const cl_outer *outer = arg;
    blob *b = NULL;

    blob_store_get(outer->c->store, NULL, outer->keys[0], &b);
    blob_unref(b);
}

static void cl_size_aside(void *arg)
{
    const cl_outer *outer = arg;
    uint64_t size;

    blob_store_size(outer->c->store, NULL, outer->keys[0], &size);
}

static void cl_len_aside(void *arg)
{
    uint64_t len;

    blob_store_len(((const cl_outer *)arg)->c->store, NULL, &len);
}

static void cl_list_aside(void *arg)
{
    cl_ending e = {.end_at = 1, .status = BLOB_LIST_STOP};

    blob_store_list(((const cl_outer *)arg)->c->store, NULL, cl_first, cl_end, &e);
}

static bool cl_get_inside(cl_outer *outer, size_t at)
{
    size_t other = (at + 3) % CL_FEW;
    blob *b = NULL;
    bool good = wb_cf_status(outer->c, "get inside of a listing", outer->keys[other],
                             wb_cf_get(outer->c, NULL, outer->keys[other], true, &b), 0);

    if (good && (b->size != 1 || memcmp(b->data, outer->keys[other].data, 1) != 0))
        good = wb_cf_broken(outer->c, "get inside of a listing returned other bytes");
    blob_unref(b);
    return good && wb_cf_get_misses(outer->c, wb_cf_key("missing"));
}

static bool cl_size_inside(cl_outer *outer, size_t at)
{
    uint64_t size = 0;

    return wb_cf_status(outer->c, "size inside of a listing", outer->keys[at],
                        blob_store_size(outer->c->store, NULL, outer->keys[at], &size), 0) &&
           (size == 1 || wb_cf_broken(outer->c, "size inside of a listing is another")) &&
           wb_cf_size_misses(outer->c, wb_cf_key("missing"));
}

static bool cl_len_inside(cl_outer *outer, size_t at)
{
    (void)at;
    return wb_cf_len(outer->c, CL_FEW);
}

static bool cl_list_inside(cl_outer *outer, size_t at)
{
    return wb_cf_lists_exactly(outer->c, cl_first, outer->keys, CL_FEW) &&
           wb_cf_lists_exactly(outer->c, outer->keys[at], outer->keys + at, CL_FEW - at) &&
           cl_ends(outer->c, cl_first, 2, BLOB_LIST_STOP, 0);
}

static bool cl_gets(wb_cf *c)
{
    return cl_inside(c, &(cl_join){"a get", cl_get_aside, cl_get_inside});
}

static bool cl_asks_size(wb_cf *c)
{
    return cl_inside(c, &(cl_join){"size", cl_size_aside, cl_size_inside});
}

static bool cl_asks_len(wb_cf *c)
{
    return cl_inside(c, &(cl_join){"len", cl_len_aside, cl_len_inside});
}

static bool cl_lists(wb_cf *c)
{
    return cl_inside(c, &(cl_join){"a listing", cl_list_aside, cl_list_inside});
}

const wb_cf_check wb_cf_in_lists[] = {
    {"get-during-list", cl_gets},
    {"size-during-list", cl_asks_size},
    {"len-during-list", cl_asks_len},
    {"list-during-list", cl_lists},
    {NULL, NULL},
};
