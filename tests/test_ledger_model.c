/* test_ledger_model.c - step by step the ledger keeps the order, the counts and every key as a naive model does: tens
 * of thousands of random steps, such as the wrapper makes them, on few keys that meet often and on many. */
#include "testutil.h"
#include "wbstore/ledger.h"
#include "blob/ctx.h"

#include <stdlib.h>
#include <string.h>

/* ---- the model: an array of keys, looked through from end to end for every question ---------------------------- */

#define KEYS 300

typedef struct model_key {
    unsigned char bytes[BLOB_KEY_MAX];
    size_t key_size;
    wb_entry *e; /* the ledger's, or NULL */
    int state;
    uint64_t order, size;
    int64_t due_ns;
    unsigned putters, removers;
    int hand;
} model_key;

typedef struct model {
    wb_ledger ledger;
    test_rng rng;
    model_key keys[KEYS];
    uint64_t last_ticket, resumed;
    int64_t now_ns;
} model;

static blob_key key_of(const model_key *k)
{
    return blob_key_of(k->bytes, k->key_size);
}

static uint64_t pick(model *m, uint64_t bound)
{
    return test_random_below(&m->rng, bound);
}

/* All lengths, and among them many that differ in their length only. */
static void model_make_keys(model *m)
{
    for (unsigned i = 0; i < KEYS; i++) {
        model_key *k = &m->keys[i];
        k->key_size = i <= BLOB_KEY_MAX ? i : 32;
        if (i > BLOB_KEY_MAX)
            test_fill(i, k->bytes, k->key_size);
    }
}

static bool model_active(const model_key *k)
{
    return k->state == WBSTORE_QUEUED || k->state == WBSTORE_SENDING || k->state == WBSTORE_WAITING;
}

static bool model_sendable(const model_key *k)
{
    return k->state == WBSTORE_QUEUED && k->hand == WB_HAND_NONE && k->removers == 0;
}

/* The key in that state with the lowest order, above `above`. */
static const model_key *model_oldest(const model *m, bool (*fits)(const model_key *k), uint64_t above)
{
    const model_key *oldest = NULL;

    for (unsigned i = 0; i < KEYS; i++) {
        const model_key *k = &m->keys[i];
        if (fits(k) && k->order > above && (oldest == NULL || k->order < oldest->order))
            oldest = k;
    }
    return oldest;
}

static bool model_parked(const model_key *k)
{
    return k->state == WBSTORE_PARKED;
}

static bool model_pending(const model_key *k)
{
    return k->state != WB_ABSENT;
}

static int64_t model_due_ns(const model *m)
{
    int64_t due_ns = WB_NEVER;

    for (unsigned i = 0; i < KEYS; i++)
        if (m->keys[i].state == WBSTORE_WAITING && m->keys[i].due_ns < due_ns)
            due_ns = m->keys[i].due_ns;
    return due_ns;
}

static uint64_t model_safe_ticket(const model *m)
{
    const model_key *k = model_oldest(m, model_pending, 0);

    if (k == NULL)
        return m->last_ticket;
    return k->order <= WB_ORDER_TICKETS ? 0 : k->order - WB_ORDER_TICKETS - 1;
}

/* ---- the ledger against it ------------------------------------------------------------------------------------- */

static void check_list(const model *m, const wb_list *list, bool (*fits)(const model_key *k), uint64_t count)
{
    const wb_entry *before = NULL;
    uint64_t seen = 0;

    for (const wb_entry *e = list->head; e != NULL; before = e, e = e->next, seen++) {
        const model_key *k = model_oldest(m, fits, before != NULL ? before->order : 0);
        assert_non_null(k);
        assert_ptr_equal(e, k->e);
        assert_ptr_equal(e->prev, before);
        assert_int_equal(e->order, k->order);
        assert_int_equal(e->state, k->state);
        assert_int_equal(e->size, k->size);
    }
    assert_ptr_equal(list->tail, before);
    assert_null(model_oldest(m, fits, before != NULL ? before->order : 0));
    assert_int_equal(seen, count);
}

static void check_heap(const wb_ledger *l)
{
    for (size_t i = 0; i < l->waiting; i++) {
        assert_int_equal(l->heap[i]->heap_at, i);
        assert_int_equal(l->heap[i]->entry->state, WBSTORE_WAITING);
        assert_true(i == 0 || l->heap[(i - 1) / 2]->due_ns <= l->heap[i]->due_ns);
    }
}

static void check_all(const model *m)
{
    uint64_t bytes = 0, key_bytes = 0, entries = 0, sending = 0, waiting = 0, attempts = 0;
    const wb_ledger *l = &m->ledger;

    for (unsigned i = 0; i < KEYS; i++) {
        const model_key *k = &m->keys[i];
        assert_ptr_equal(wb_ledger_find(l, key_of(k)), k->e);
        entries += k->e != NULL;
        attempts += k->e != NULL && k->e->attempt != NULL;
        bytes += model_pending(k) ? k->size : 0;
        key_bytes += model_pending(k) ? k->key_size : 0;
        sending += k->state == WBSTORE_SENDING;
        waiting += k->state == WBSTORE_WAITING;
    }
    assert_int_equal(l->keys.count, entries);
    assert_int_equal(l->attempts, attempts);
    assert_int_equal(l->bytes, bytes);
    assert_int_equal(l->key_bytes, key_bytes);
    assert_int_equal(l->sending, sending);
    assert_int_equal(l->waiting, waiting);
    check_list(m, &l->active, model_active, l->active_blobs);
    check_list(m, &l->parked, model_parked, l->parked_blobs);
    check_heap(l);
}

/* What there is to send next, as the header has it. */
static void check_next(model *m, wb_turn turn)
{
    const model_key *queued = model_oldest(m, model_sendable, 0);
    int64_t due_ns = model_due_ns(m);
    const wb_entry *e = wb_ledger_next(&m->ledger, m->now_ns, turn);

    assert_int_equal(wb_ledger_due_ns(&m->ledger), due_ns);
    if (due_ns != WB_NEVER && (turn == WB_TURN_PROBE || due_ns <= m->now_ns) &&
        (turn == WB_TURN_RETRY || queued == NULL)) {
        assert_non_null(e);
        assert_int_equal(e->state, WBSTORE_WAITING);
        assert_int_equal(e->attempt->due_ns, due_ns); /* of those that are due alike, any */
    } else {
        assert_ptr_equal(e, queued != NULL ? queued->e : NULL);
    }
}

/* ---- steps, as the wrapper makes them --------------------------------------------------------------------------- */

static void settle(model *m, model_key *k)
{
    if (k->e == NULL)
        return;
    wb_ledger_settle(&m->ledger, k->e);
    if (k->state == WB_ABSENT && k->hand == WB_HAND_NONE && k->putters == 0 && k->removers == 0)
        k->e = NULL;
}

static void leave(model *m, model_key *k)
{
    wb_ledger_leave(&m->ledger, k->e);
    k->state = WB_ABSENT;
    assert_false(k->e->vouched);
}

static void move(model *m, model_key *k, wbstore_state state)
{
    if (state == WBSTORE_WAITING)
        k->e->attempt->due_ns = k->due_ns = m->now_ns + (int64_t)pick(m, 50) - 10;
    wb_ledger_move(&m->ledger, k->e, state);
    k->state = (int)state;
}

static void step_put(model *m, model_key *k)
{
    if (k->e == NULL) {
        k->e = pick(m, 2) == 0 ? wb_ledger_make(&m->ledger, key_of(k)) : wb_ledger_add(&m->ledger, key_of(k));
        assert_non_null(k->e);
        assert_int_equal(k->e->state, WB_ABSENT);
    }
    assert_ptr_equal(wb_ledger_make(&m->ledger, key_of(k)), k->e);
    if (k->state == WB_ABSENT && pick(m, 8) > 0) {
        bool resumed = pick(m, 4) == 0;
        k->order = resumed ? ++m->resumed : wb_order_of(++m->last_ticket);
        k->size = pick(m, 5000);
        k->state = WBSTORE_QUEUED;
        wb_ledger_join(&m->ledger, k->e, resumed ? 0 : m->last_ticket, k->size, 7);
        k->e->vouched = true;
        assert_int_equal(k->e->order, k->order);
    } else if (k->state != WB_ABSENT) {
        k->size = pick(m, 5000);
        wb_ledger_resize(&m->ledger, k->e, k->size);
        if (k->state == WBSTORE_PARKED)
            move(m, k, WBSTORE_QUEUED);
    }
    settle(m, k);
}

/* A writer takes what is next, or one that is being sent comes to its end. */
static void step_upload(model *m, model_key *k)
{
    static const wbstore_state ends[] = {WBSTORE_QUEUED, WBSTORE_WAITING, WBSTORE_WAITING, WBSTORE_PARKED};
    uint64_t end = pick(m, 6);

    if (k->state != WBSTORE_SENDING) {
        wb_entry *e = wb_ledger_next(&m->ledger, m->now_ns, (wb_turn)pick(m, 3));
        for (k = m->keys; e != NULL && k->e != e;)
            k++;
        if (e == NULL)
            return;
        if (e->attempt == NULL) {
            e->attempt = wb_attempt_new(&m->ledger);
            assert_non_null(e->attempt);
            e->attempt->entry = e;
        }
        move(m, k, WBSTORE_SENDING);
        e->hand = (uint8_t)(k->hand = WB_HAND_UPLOAD);
        return;
    }
    if (end < 4)
        move(m, k, ends[end]);
    else
        leave(m, k);
    k->e->hand = (uint8_t)(k->hand = WB_HAND_NONE);
    wb_ledger_free_to_send(&m->ledger, k->e);
    settle(m, k);
}

/* A delete comes, gets its turn, or ends, with success or without. */
static void step_delete(model *m, model_key *k)
{
    if (k->e == NULL)
        return;
    if (k->hand == WB_HAND_CALLER) {
        if (k->state != WB_ABSENT && pick(m, 2) == 0)
            leave(m, k);
        k->e->hand = (uint8_t)(k->hand = WB_HAND_NONE);
        k->e->removers = (uint16_t)--k->removers;
        wb_ledger_free_to_send(&m->ledger, k->e);
        settle(m, k);
    } else if (k->removers == 0) {
        k->e->removers = (uint16_t)++k->removers;
    } else if (k->hand == WB_HAND_NONE) {
        k->e->hand = (uint8_t)(k->hand = WB_HAND_CALLER);
        if (k->state == WBSTORE_WAITING)
            move(m, k, WBSTORE_QUEUED);
    } else if (pick(m, 2) == 0) { /* it gives up */
        k->e->removers = (uint16_t)--k->removers;
        wb_ledger_free_to_send(&m->ledger, k->e);
    }
}

static void step_other(model *m, model_key *k)
{
    switch (pick(m, 40)) {
    case 0:
        wb_ledger_all_queued(&m->ledger);
        for (unsigned i = 0; i < KEYS; i++)
            if (m->keys[i].state == WBSTORE_WAITING)
                m->keys[i].state = WBSTORE_QUEUED;
        break;
    case 1:
        for (unsigned i = 0; i < KEYS; i++) /* in no order at all */
            if (m->keys[i].state == WBSTORE_PARKED)
                move(m, &m->keys[i], WBSTORE_QUEUED);
        break;
    case 2:
        wb_ledger_all_unparked(&m->ledger);
        for (unsigned i = 0; i < KEYS; i++)
            if (m->keys[i].state == WBSTORE_PARKED)
                m->keys[i].state = WBSTORE_QUEUED;
        break;
    default:
        m->now_ns++;
        if (k->e != NULL && k->putters == 0) {
            k->e->putters = (uint16_t)++k->putters;
        } else if (k->e != NULL) {
            k->e->putters = (uint16_t)--k->putters;
            settle(m, k);
        }
    }
}

static void drop_all(model *m)
{
    for (unsigned i = 0; i < KEYS; i++) {
        model_key *k = &m->keys[i];
        if (k->e == NULL)
            continue;
        if (k->state != WB_ABSENT)
            leave(m, k);
        k->e->hand = (uint8_t)(k->hand = WB_HAND_NONE);
        k->e->removers = 0;
        k->e->putters = 0;
        k->removers = k->putters = 0;
        settle(m, k);
        assert_null(k->e);
    }
    assert_int_equal(m->ledger.keys.count, 0);
    assert_int_equal(m->ledger.attempts, 0);
    assert_null(m->ledger.cursor);
    assert_null(m->ledger.resumed_last);
}

static void random_steps_agree_with_a_naive_model(void **state)
{
    static const unsigned crowds[] = {4, 40, KEYS}; /* few keys meet often, many make long lists */

    (void)state;
    test_watchdog(120);
    for (uint64_t seed = 1; seed <= 6; seed++) {
        model *m = calloc(1, sizeof *m);
        uint64_t crowd = crowds[seed % 3];

        assert_non_null(m);
        m->rng.state = seed;
        m->now_ns = 1000;
        model_make_keys(m);
        test_ok(wb_ledger_init(&m->ledger, seed));
        for (unsigned i = 0; i < 20000; i++) {
            static void (*const steps[])(model * m, model_key * k) = {step_put, step_upload, step_upload, step_delete,
                                                                      step_other};
            steps[pick(m, 5)](m, &m->keys[pick(m, crowd)]);
            check_next(m, (wb_turn)(i % 3));
            assert_int_equal(wb_ledger_safe_ticket(&m->ledger, m->last_ticket), model_safe_ticket(m));
            if (i % 40 == 0)
                check_all(m);
        }
        check_all(m);
        if (seed > 3)
            drop_all(m); /* else the ledger is freed as it stands */
        wb_ledger_free(&m->ledger);
        free(m);
    }
}

/* ---- keys alone, enough of them for many pages ------------------------------------------------------------------ */

#define MANY 6000

static blob_key many_key(unsigned i, unsigned char *room)
{
    test_fill(i, room, BLOB_KEY_MAX);
    memcpy(room, &i, sizeof i); /* no two are alike */
    return blob_key_of(room, sizeof i + i % (BLOB_KEY_MAX - sizeof i));
}

/* Comes in waves, so that pages split, fill, empty and go back to one. */
static void keys_come_and_go_over_many_pages(void **state)
{
    wb_entry **entries = calloc(MANY, sizeof *entries);
    unsigned char room[BLOB_KEY_MAX];
    test_rng rng = {77};
    unsigned count = 0, deepest = 0;
    wb_ledger l;

    (void)state;
    test_watchdog(120);
    assert_non_null(entries);
    test_ok(wb_ledger_init(&l, 77));
    for (unsigned i = 0; i < 200000; i++) {
        unsigned wave = i / 20000, at = (unsigned)test_random_below(&rng, MANY);
        bool adds = test_random_below(&rng, 100) < (wave % 2 == 0 ? 80u : 10u);
        blob_key key = many_key(at, room);

        assert_ptr_equal(wb_ledger_find(&l, key), entries[at]);
        if (entries[at] == NULL && adds) {
            entries[at] = wb_ledger_add(&l, key);
            assert_int_equal(blob_key_compare(wb_entry_key(entries[at]), key), 0);
            count++;
        } else if (entries[at] != NULL && !adds) {
            wb_ledger_settle(&l, entries[at]);
            entries[at] = NULL;
            count--;
        }
        assert_int_equal(l.keys.count, count);
        deepest = l.keys.depth > deepest ? l.keys.depth : deepest;
    }
    assert_true(deepest >= 3);
    for (unsigned at = 0; at < MANY; at++) {
        assert_ptr_equal(wb_ledger_find(&l, many_key(at, room)), entries[at]);
        if (entries[at] != NULL && at % 3 != 0)
            wb_ledger_settle(&l, entries[at]);
    }
    for (unsigned at = 0; at < MANY; at += 3)
        assert_ptr_equal(wb_ledger_find(&l, many_key(at, room)), entries[at]);
    wb_ledger_free(&l);
    free(entries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_come_and_go_over_many_pages),
        cmocka_unit_test(random_steps_agree_with_a_naive_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
