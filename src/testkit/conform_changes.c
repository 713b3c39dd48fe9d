/* conform_changes.c - checks with sixteen threads at once: listings, len and content addresses while the store changes,
 * and deletes that race. */
#include "testkit/conform_int.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- listings while other threads put, replace and delete ------------------------------------------------------ */

#define CG_STABLE 12
#define CG_LISTERS 4

/* "sNN" is there throughout; "sNNvT" comes and goes behind it, by thread T's hand. */
typedef struct cg_name {
    char text[12];
} cg_name;

static cg_name cg_stable(unsigned number)
{
    cg_name name;

    snprintf(name.text, sizeof name.text, "s%02u", number % 100);
    return name;
}

static cg_name cg_volatile(unsigned number, unsigned thread)
{
    cg_name name;

    snprintf(name.text, sizeof name.text, "s%02uv%02u", number % 100, thread % 100);
    return name;
}

/* What the threads that list and those that change know of each other. */
typedef struct cg_churn {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t changes; /* lock */
    atomic_uint listing;
} cg_churn;

static void cg_changed(cg_churn *churn)
{
    pthread_mutex_lock(&churn->lock);
    churn->changes++;
    pthread_cond_broadcast(&churn->changed);
    pthread_mutex_unlock(&churn->lock);
}

/* Lets the others make some changes in the middle of a listing. Not for long: a store may keep writers out meanwhile.
 * */
static void cg_let_change(cg_churn *churn)
{
    struct timespec until;
    uint64_t enough;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 5000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&churn->lock);
    enough = churn->changes + 20;
    while (churn->changes < enough && pthread_cond_timedwait(&churn->changed, &churn->lock, &until) == 0)
        continue;
    pthread_mutex_unlock(&churn->lock);
}

typedef struct cg_listing {
    wb_cf_thread *t;
    unsigned next; /* stable key that is due */
    size_t size;   /* of the last key reported */
    unsigned char last[BLOB_KEY_MAX];
    blob_key start;
} cg_listing;

static int cg_listed(void *arg, blob_key key, uint64_t size)
{
    cg_listing *l = arg;
    cg_name due = cg_stable(l->next);

    (void)size;
    if (blob_key_compare(key, l->start) < 0)
        wb_cf_thread_broken(l->t, "a listing from %s reports %s", wb_cf_show(l->start).text, wb_cf_show(key).text);
    if (l->size > 0 && blob_key_compare(key, blob_key_of(l->last, l->size)) <= 0)
        wb_cf_thread_broken(l->t, "a listing beside changes reports %s after %s", wb_cf_show(key).text,
                            wb_cf_show(blob_key_of(l->last, l->size)).text);
    if (l->next < CG_STABLE && blob_key_compare(key, wb_cf_key(due.text)) == 0)
        l->next++;
    else if (l->next < CG_STABLE && blob_key_compare(key, wb_cf_key(due.text)) > 0)
        wb_cf_thread_broken(l->t, "a listing beside changes leaves out %s, which is there throughout", due.text);
    else if (key.size != 6)
        wb_cf_thread_broken(l->t, "a listing beside changes reports %s, which nobody put or twice",
                            wb_cf_show(key).text);
    l->size = key.size;
    if (key.size > 0)
        memcpy(l->last, key.data, key.size);
    if (key.size == 3 && l->next % 4 == 0)
        cg_let_change(l->t->arg);
    return l->t->broken ? BLOB_LIST_STOP : 0;
}

static void cg_list(wb_cf_thread *t, unsigned from)
{
    cg_name start = cg_stable(from);
    cg_listing l = {.t = t, .next = from, .start = from == 0 ? blob_key_of(NULL, 0) : wb_cf_key(start.text)};
    int rc = blob_store_list(t->c->store, NULL, l.start, cg_listed, &l);

    if (rc != 0)
        wb_cf_thread_broken(t, "a listing beside changes returned %d (%s)", rc, blob_strerror(rc));
    else if (!t->broken && l.next != CG_STABLE)
        wb_cf_thread_broken(t, "a listing beside changes ends before %s, which is there throughout",
                            cg_stable(l.next).text);
}

/* Replaces, or puts and then deletes; whatever comes of it: other checks ask about that. */
static void cg_change(wb_cf_thread *t, unsigned step)
{
    unsigned number = (step / 2 * 5 + t->index) % CG_STABLE;
    cg_name name = cg_volatile(number, t->index);
    blob_view data = {name.text, 6};

    if (t->index < 2)
        blob_store_put(t->c->store, NULL, wb_cf_key(cg_stable(number).text), data, BLOB_REPLACE);
    else if (step % 2 == 0)
        blob_store_put(t->c->store, NULL, wb_cf_key(name.text), data, 0);
    else
        blob_store_delete(t->c->store, NULL, wb_cf_key(name.text), step % 4 == 1 ? BLOB_LAZY : 0);
}

static void cg_list_body(wb_cf_thread *t)
{
    cg_churn *churn = t->arg;
    const bool lists = t->index >= WB_CF_THREADS - CG_LISTERS;

    if (lists) {
        for (unsigned round = 0; wb_cf_goes_on(t, round, 3, 50); round++)
            cg_list(t, (unsigned)(round % 2 == 0 ? 0 : wb_cf_random(t, CG_STABLE)));
        atomic_fetch_sub(&churn->listing, 1);
        return;
    }
    for (unsigned step = 0; atomic_load(&churn->listing) > 0; step++) {
        cg_change(t, step);
        cg_changed(churn);
    }
}

static bool cg_lists(wb_cf *c)
{
    cg_churn churn = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    bool good;

    atomic_init(&churn.listing, CG_LISTERS);
    for (unsigned i = 0; i < CG_STABLE; i++) {
        cg_name name = cg_stable(i);
        if (!wb_cf_put(c, wb_cf_key(name.text), blob_view_of("stable", 6), 0, 0))
            return false;
        for (unsigned thread = 0; thread < WB_CF_THREADS; thread++) {
            name = cg_volatile(i, thread);
            if (!wb_cf_note(c, wb_cf_key(name.text)))
                return false;
        }
    }
    good = wb_cf_together(c, cg_list_body, &churn, 300);
    pthread_cond_destroy(&churn.changed);
    pthread_mutex_destroy(&churn.lock);
    return good;
}

/* ---- len while other threads put ------------------------------------------------------------------------------- */

#define CG_PUTS 20

typedef struct cg_puts {
    atomic_uint begun, done;
} cg_puts;

static blob_key cg_put_key(unsigned thread, unsigned number, unsigned char room[2])
{
    room[0] = (unsigned char)(number * 13);
    room[1] = (unsigned char)thread;
    return blob_key_of(room, 2);
}

static void cg_len_body(wb_cf_thread *t)
{
    cg_puts *puts = t->arg;
    unsigned char room[2];

    for (unsigned i = 0; wb_cf_goes_on(t, i, 5, CG_PUTS); i++) {
        uint64_t len = 0;
        unsigned least, most;
        int rc;
        atomic_fetch_add(&puts->begun, 1);
        rc = blob_store_put(t->c->store, NULL, cg_put_key(t->index, i, room), blob_view_of("x", 1), 0);
        if (rc != 0)
            wb_cf_thread_broken(t, "put of a new key beside others returned %d (%s)", rc, blob_strerror(rc));
        least = atomic_fetch_add(&puts->done, 1) + 1;
        rc = blob_store_len(t->c->store, NULL, &len);
        most = atomic_load(&puts->begun);
        if (rc != 0)
            wb_cf_thread_broken(t, "len beside puts returned %d (%s)", rc, blob_strerror(rc));
        else if (len < least || len > most)
            wb_cf_thread_broken(t, "len says %llu where %u keys were put and %u puts had begun",
                                (unsigned long long)len, least, most);
    }
}

static bool cg_len(wb_cf *c)
{
    unsigned char room[2];
    cg_puts puts;

    atomic_init(&puts.begun, 0);
    atomic_init(&puts.done, 0);
    for (unsigned i = 0; i < WB_CF_THREADS * CG_PUTS; i++) {
        if (!wb_cf_note(c, cg_put_key(i / CG_PUTS, i % CG_PUTS, room)))
            return false;
    }
    return wb_cf_together(c, cg_len_body, &puts, 200) && wb_cf_len(c, atomic_load(&puts.done));
}

/* ---- content addresses ----------------------------------------------------------------------------------------- */

#define CG_CAS 24 /* different blobs; each thread puts all of them, beginning elsewhere */

static void cg_cas_body(wb_cf_thread *t)
{
    const blob_address *want = t->arg;
    unsigned char bytes[WB_CF_TOLD_MAX];

    for (unsigned i = 0; wb_cf_goes_on(t, i, 8, 10 * CG_CAS); i++) {
        unsigned number = (i + t->index) % CG_CAS;
        blob_view data = wb_cf_tell(number, 0, number, bytes);
        blob_address got = {.size = 0};
        blob *b = NULL;
        int rc = blob_store_cas_put(t->c->store, NULL, data, &got);
        if (rc != 0)
            wb_cf_thread_broken(t, "cas_put beside others returned %d (%s)", rc, blob_strerror(rc));
        else if (blob_key_compare(blob_address_key(&got), blob_address_key(&want[number])) != 0)
            wb_cf_thread_broken(t, "cas_put beside others set another address");
        else if ((rc = wb_cf_get(t->c, NULL, blob_address_key(&got), true, &b)) != 0)
            wb_cf_thread_broken(t, "get after cas_put returned %d (%s)", rc, blob_strerror(rc));
        else if (b->size != data.size || memcmp(b->data, data.data, data.size) != 0)
            wb_cf_thread_broken(t, "get after cas_put returned other bytes");
        blob_unref(b);
    }
}

static bool cg_cas(wb_cf *c)
{
    blob_address want[CG_CAS];
    unsigned char bytes[WB_CF_TOLD_MAX];

    for (unsigned i = 0; i < CG_CAS; i++) {
        int rc = blob_store_cas_key(c->store, NULL, wb_cf_tell(i, 0, i, bytes), &want[i]);
        if (rc == BLOB_UNSUPPORTED)
            return true;
        if (rc != 0)
            return wb_cf_broken(c, "cas_key returned %d (%s)", rc, blob_strerror(rc));
        if (!wb_cf_note(c, blob_address_key(&want[i])))
            return false;
    }
    if (blob_store_cas_put(c->store, NULL, blob_view_of(NULL, 1), &want[0]) == BLOB_UNSUPPORTED)
        return true;
    if (blob_store_cas_key(c->store, NULL, wb_cf_tell(0, 0, 0, bytes), &want[0]) != 0)
        return wb_cf_broken(c, "cas_key succeeded once and failed then");
    return wb_cf_together(c, cg_cas_body, want, 200);
}

const wb_cf_check wb_cf_changes[] = {
    {"threads-list", cg_lists},
    {"threads-len", cg_len},
    {"threads-cas", cg_cas},
    {NULL, NULL},
};

/* ---- deletes that race: beyond the contract -------------------------------------------------------------------- */

typedef struct cg_race {
    wb_cf_rounds rounds;
    blob_key key;
    atomic_int puts, deletes; /* that returned 0 */
} cg_race;

static void cg_put_or_delete(wb_cf_thread *t, cg_race *race, bool put, unsigned flags)
{
    int rc = put ? blob_store_put(t->c->store, NULL, race->key, blob_view_of("x", 1), 0)
                 : blob_store_delete(t->c->store, NULL, race->key, flags);

    if (rc == 0)
        atomic_fetch_add(put ? &race->puts : &race->deletes, 1);
    else if (rc != (put ? BLOB_EXISTS : BLOB_NOT_FOUND))
        wb_cf_thread_broken(t, "%s of a key in a race returned %d (%s)", put ? "put" : "delete", rc, blob_strerror(rc));
}

/* Puts and deletes that returned 0 alternate, so the key is there iff there was one put more. */
static void cg_judge(wb_cf_thread *t, cg_race *race)
{
    int puts = atomic_load(&race->puts), deletes = atomic_load(&race->deletes);
    uint64_t size;
    int rc = blob_store_size(t->c->store, NULL, race->key, &size);

    if (puts - deletes != (rc == 0))
        wb_cf_thread_broken(t, "%d puts and %d deletes of one key returned 0, and it is %s", puts, deletes,
                            rc == 0 ? "there" : "not there");
}

static void cg_delete_body(wb_cf_thread *t)
{
    cg_race *race = t->arg;

    for (unsigned round = 0; wb_cf_round(t, &race->rounds, round, 4, 200); round++) {
        if (t->index == 0)
            cg_put_or_delete(t, race, true, 0);
        pthread_barrier_wait(&race->rounds.barrier);
        cg_put_or_delete(t, race, false, round % 2 == 0 ? 0 : BLOB_LAZY);
        pthread_barrier_wait(&race->rounds.barrier);
        if (t->index == 0)
            cg_judge(t, race);
    }
}

static void cg_balance_body(wb_cf_thread *t)
{
    cg_race *race = t->arg;

    for (unsigned round = 0; wb_cf_round(t, &race->rounds, round, 4, 100); round++) {
        for (unsigned i = 0; i < 3; i++)
            cg_put_or_delete(t, race, wb_cf_random(t, 2) == 0, i == 0 ? BLOB_LAZY : 0);
        pthread_barrier_wait(&race->rounds.barrier);
        if (t->index == 0)
            cg_judge(t, race);
    }
}

static bool cg_race_run(wb_cf *c, wb_cf_body *body)
{
    cg_race race = {.key = wb_cf_key("one key")};
    bool good;

    atomic_init(&race.puts, 0);
    atomic_init(&race.deletes, 0);
    if (!wb_cf_note(c, race.key))
        return false;
    if (!wb_cf_rounds_init(&race.rounds))
        return wb_cf_fail(c, -ENOMEM);
    good = wb_cf_together(c, body, &race, 300);
    pthread_barrier_destroy(&race.rounds.barrier);
    return good;
}

static bool cg_delete_once(wb_cf *c)
{
    return cg_race_run(c, cg_delete_body);
}

static bool cg_balance(wb_cf *c)
{
    return cg_race_run(c, cg_balance_body);
}

const wb_cf_check wb_cf_deletes[] = {
    {"threads-delete-once", cg_delete_once},
    {"threads-put-delete", cg_balance},
    {NULL, NULL},
};
