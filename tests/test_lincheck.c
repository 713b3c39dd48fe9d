/* test_lincheck.c - the checker says right of histories that are, and wrong of those that are not: of each kind by name, of
 * random ones made right and then spoilt, and of small ones for which trying every order is no trouble. */
#include "lincheck.h"
#include "testutil.h"

#include <stdlib.h>
#include <string.h>

/* Calls for tables: thread, begun, ended. */
#define PUT(t, b, e, v)                                                                                                \
    {                                                                                                                  \
        .kind = LIN_PUT, .thread = (t), .begun = (b), .ended = (e), .value = (v)                                       \
    }
#define GET(t, b, e, v)                                                                                                \
    {                                                                                                                  \
        .kind = LIN_GET, .thread = (t), .begun = (b), .ended = (e), .value = (v)                                       \
    }
#define SIZE(t, b, e, v)                                                                                               \
    {                                                                                                                  \
        .kind = LIN_SIZE, .thread = (t), .begun = (b), .ended = (e), .value = (v)                                      \
    }
#define DELETE(t, b, e, found)                                                                                         \
    {                                                                                                                  \
        .kind = LIN_DELETE, .thread = (t), .begun = (b), .ended = (e), .value = (found)                                \
    }
#define DELETE_BLIND(t, b, e)                                                                                          \
    {                                                                                                                  \
        .kind = LIN_DELETE, .thread = (t), .begun = (b), .ended = (e), .blind = true                                   \
    }
#define LOOK(t, b, e)                                                                                                  \
    {                                                                                                                  \
        .kind = LIN_LOOK, .thread = (t), .begun = (b), .ended = (e)                                                    \
    }
#define PUT_PERHAPS(t, b, e, v, u)                                                                                     \
    {                                                                                                                  \
        .kind = LIN_PUT, .thread = (t), .begun = (b), .ended = (e), .value = (v), .unsure = true, .until = (u)         \
    }
#define DELETE_PERHAPS(t, b, e, u)                                                                                     \
    {                                                                                                                  \
        .kind = LIN_DELETE, .thread = (t), .begun = (b), .ended = (e), .value = 1, .unsure = true, .until = (u)        \
    }
#define NF LIN_ABSENT

enum { NAMED_CALLS = 8 };

typedef struct named {
    const char *name;
    lin_op ops[NAMED_CALLS]; /* ended 0: no call */
} named;

static size_t count_calls(const named *n)
{
    size_t count = 0;

    while (count < NAMED_CALLS && n->ops[count].ended > 0)
        count++;
    return count;
}

/* ---- by name ------------------------------------------------------------------------------------------------- */

static const named wrong[] = {
    {"a get misses a put that has returned", {PUT(0, 1, 2, 1), GET(1, 3, 4, NF)}},
    {"a size misses a put that has returned", {PUT(0, 1, 2, 1), SIZE(1, 3, 4, NF)}},
    {"a get finds what a delete has removed", {PUT(0, 1, 2, 1), DELETE(0, 3, 4, 1), GET(1, 5, 6, 1)}},
    {"a size finds what a delete has removed", {PUT(0, 1, 2, 1), DELETE(0, 3, 4, 1), SIZE(1, 5, 6, 1)}},
    {"resurrected: seen to be gone, then back",
     {PUT(0, 1, 2, 1), DELETE(0, 3, 8, 1), GET(1, 4, 5, NF), GET(1, 6, 7, 1)}},
    {"resurrected after a delete that found nothing",
     {PUT_PERHAPS(0, 1, 2, 1, 2), DELETE(0, 3, 4, NF), GET(1, 5, 6, 1)}},
    {"a delete does not find what is there", {PUT(0, 1, 2, 1), DELETE(1, 3, 4, NF)}},
    {"two deletes of one put have both found it",
     {PUT(0, 1, 2, 1), DELETE(1, 3, 6, 1), DELETE(2, 4, 5, 1), GET(1, 7, 8, NF)}},
    {"a delete found what was never put", {DELETE(0, 1, 2, 1)}},
    {"a delete found what was put after it", {DELETE(0, 1, 2, 1), PUT(1, 3, 4, 1)}},
    {"a put that was acknowledged is lost", {PUT(0, 1, 2, 1), GET(1, 3, 4, 1), GET(1, 5, 6, NF)}},
    {"put again after a delete, and lost", {PUT(0, 1, 2, 1), DELETE(0, 3, 4, 1), PUT(0, 5, 6, 1), GET(1, 7, 8, NF)}},
    {"a read goes back in time", {PUT(0, 1, 2, 1), PUT(0, 3, 8, 2), GET(1, 4, 5, 2), GET(1, 6, 7, 1)}},
    {"a size of what was replaced", {PUT(0, 1, 2, 1), PUT(0, 3, 4, 2), SIZE(1, 5, 6, 1)}},
    {"bytes that nobody put", {PUT(0, 1, 2, 1), GET(1, 3, 4, 2)}},
    {"a get sees a put before it began", {GET(1, 1, 2, 1), PUT(0, 3, 4, 1)}},
    {"two readers do not agree which put came last",
     {PUT(0, 1, 9, 1), PUT(1, 1, 9, 2), GET(2, 2, 3, 1), GET(2, 4, 5, 2), GET(3, 2, 3, 2), GET(3, 4, 5, 1)}},
    {"one put that perhaps happened comes twice",
     {PUT_PERHAPS(0, 1, 2, 1, LIN_NEVER), GET(1, 3, 4, 1), DELETE(1, 5, 6, 1), GET(1, 7, 8, 1)}},
    {"a put comes after the time when it could", {PUT_PERHAPS(0, 1, 2, 1, 4), GET(1, 5, 6, NF), GET(1, 7, 8, 1)}},
    {"a delete comes after the time when it could",
     {PUT(0, 1, 2, 1), DELETE_PERHAPS(0, 3, 4, 6), GET(1, 7, 8, 1), GET(1, 9, 10, NF)}},
    {"a delete that perhaps happened took what was put later",
     {DELETE_PERHAPS(0, 1, 2, 4), PUT(1, 5, 6, 1), GET(1, 7, 8, NF)}},
    {"a delete of which only the deed counts has not done it",
     {PUT(0, 1, 2, 1), DELETE_BLIND(0, 3, 4), GET(0, 5, 6, 1)}},
    {"a sync is over and the base has not got the blob", {PUT(0, 1, 2, 1), LOOK(0, 3, 5)}},
    {"a sync has forgotten what was put again after a delete",
     {PUT(0, 1, 2, 1), DELETE(0, 3, 4, 1), PUT(0, 5, 6, 1), LOOK(0, 7, 9)}},
    {"a sync is over, the base has not got the blob, and the delete came later",
     {PUT(0, 1, 2, 1), LOOK(0, 3, 5), DELETE(0, 6, 7, 1)}},
};

static const named right[] = {
    {"nothing", {GET(0, 1, 2, NF), SIZE(0, 3, 4, NF), DELETE(0, 5, 6, NF)}},
    {"one after the other",
     {PUT(0, 1, 2, 1), GET(0, 3, 4, 1), SIZE(0, 5, 6, 1), DELETE(0, 7, 8, 1), GET(0, 9, 10, NF), PUT(0, 11, 12, 2),
      GET(0, 13, 14, 2)}},
    {"a put and a get at once: it sees it", {PUT(0, 1, 4, 1), GET(1, 2, 3, 1), GET(1, 5, 6, 1)}},
    {"a put and a get at once: it does not", {PUT(0, 1, 4, 1), GET(1, 2, 3, NF), GET(1, 5, 6, 1)}},
    {"ends and begins at the same tick: no order", {PUT(0, 1, 2, 1), GET(1, 2, 3, NF)}},
    {"two deletes at once: one of them had it", {PUT(0, 1, 2, 1), DELETE(1, 3, 5, NF), DELETE(2, 4, 6, 1)}},
    {"two puts at once, in the other order",
     {PUT(0, 1, 9, 1), PUT(1, 2, 8, 2), GET(2, 3, 4, 2), GET(2, 5, 6, 1), GET(2, 10, 11, 1)}},
    {"a put that perhaps happened did, much later",
     {PUT_PERHAPS(0, 1, 2, 1, LIN_NEVER), GET(1, 3, 4, NF), GET(1, 5, 6, 1)}},
    {"a put that perhaps happened did not",
     {PUT_PERHAPS(0, 1, 2, 1, LIN_NEVER), GET(1, 3, 4, NF), DELETE(1, 5, 6, NF)}},
    {"a delete that perhaps happened took what was put later",
     {DELETE_PERHAPS(0, 1, 2, LIN_NEVER), PUT(1, 3, 4, 1), GET(1, 5, 6, NF)}},
    {"the later of two that perhaps happened is needed later",
     {PUT_PERHAPS(0, 1, 2, 1, 4), PUT_PERHAPS(1, 1, 2, 1, LIN_NEVER), GET(2, 3, 4, 1), DELETE(2, 5, 6, 1),
      GET(2, 7, 8, 1)}},
    {"a delete of which only the deed counts", {PUT(0, 1, 2, 1), DELETE_BLIND(0, 3, 4), GET(0, 5, 6, NF)}},
    {"a sync after a delete", {PUT(0, 1, 2, 1), DELETE(0, 3, 4, 1), LOOK(0, 5, 7)}},
    {"a sync, a delete, then the look", {PUT(0, 1, 2, 1), LOOK(0, 3, 8), DELETE(1, 5, 6, 1)}},
    {"a sync, a delete and another put before the look",
     {PUT(0, 1, 2, 1), LOOK(0, 3, 10), DELETE(1, 4, 5, 1), PUT(1, 6, 7, 1), GET(1, 8, 9, 1)}},
    {"a sync need not wait for a put that has been seen and has not returned",
     {PUT(0, 1, 6, 1), GET(1, 2, 3, 1), LOOK(1, 4, 5)}},
    {"a sync waits for no put that began after it", {LOOK(0, 1, 5), PUT(1, 2, 3, 1), GET(1, 6, 7, 1)}},
};

static void right_histories_pass(void **state)
{
    lin_result result;

    (void)state;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        if (lin_check(right[i].ops, count_calls(&right[i]), 0, &result) != LIN_RIGHT)
            fail_msg("%s: taken for wrong: %s", right[i].name, result.text);
        assert_string_equal(result.text, "");
    }
    assert_int_equal(lin_check(NULL, 0, 0, &result), LIN_RIGHT);
}

static void wrong_histories_are_caught(void **state)
{
    lin_result result;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (lin_check(wrong[i].ops, count_calls(&wrong[i]), 0, &result) != LIN_WRONG)
            fail_msg("%s: not caught", wrong[i].name);
        assert_string_not_equal(result.text, "");
    }
}

/* ---- keys, limits, words ------------------------------------------------------------------------------------- */

static void each_key_is_checked_alone_and_the_wrong_one_named(void **state)
{
    lin_op ops[] = {PUT(0, 1, 2, 1), GET(1, 3, 4, 1), PUT(0, 5, 6, 1), GET(1, 7, 8, NF)};
    lin_result result;

    (void)state;
    ops[2].key = ops[3].key = 7;
    assert_int_equal(lin_check(ops, 4, 0, &result), LIN_WRONG);
    assert_int_equal(result.key, 7);
    assert_non_null(strstr(result.text, "7..8 thread 1: get of key 7: not found"));
    ops[3].value = 1;
    assert_int_equal(lin_check(ops, 4, 0, &result), LIN_RIGHT);
}

/* Twelve puts at once of as many values, then a value that none of them put: every subset must be looked at. */
static void what_takes_too_many_steps_is_neither_right_nor_wrong(void **state)
{
    lin_op ops[13];
    lin_result result;

    (void)state;
    for (unsigned i = 0; i < 12; i++)
        ops[i] = (lin_op)PUT(i, 1, 2, i + 1);
    ops[12] = (lin_op)GET(0, 3, 4, 13);
    assert_int_equal(lin_check(ops, 13, 1000, &result), LIN_TOO_HARD);
    assert_int_equal(lin_check(ops, 13, 0, &result), LIN_WRONG);
    ops[12].value = 5;
    assert_int_equal(lin_check(ops, 13, 0, &result), LIN_RIGHT);
}

static void calls_are_described(void **state)
{
    static const struct {
        lin_op op;
        const char *text;
    } cases[] = {
        {PUT(3, 1, 2, 9), "1..2 thread 3: put of key 0: value 9"},
        {SIZE(3, 1, 2, 9), "1..2 thread 3: size of key 0: value 9"},
        {DELETE(3, 1, 2, NF), "1..2 thread 3: delete of key 0: not found"},
        {DELETE(3, 1, 2, 1), "1..2 thread 3: delete of key 0: done"},
        {LOOK(3, 1, 2), "1..2 thread 3: look after a sync of key 0: not found"},
        {PUT_PERHAPS(3, 1, LIN_NEVER, 9, LIN_NEVER), "1..never thread 3: put of key 0: perhaps, at any time"},
        {DELETE_PERHAPS(3, 1, 2, 8), "1..2 thread 3: delete of key 0: perhaps, until 8"},
    };
    char text[200];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lin_describe(&cases[i].op, text, sizeof text);
        assert_string_equal(text, cases[i].text);
    }
}

/* ---- random histories ---------------------------------------------------------------------------------------- */

/* One store carries out calls one after the other, at moments; then each call is drawn out to both sides of its moment.
 * Its base is behind it until a sync, or chance, brings it up. */
typedef struct making {
    test_rng rng;
    unsigned threads, keys, values, width;
    unsigned unsure; /* of 100 puts and deletes */
    bool syncs;
} making;

enum {
    MOMENT = 16, /* ticks from one to the next */
    KEYS_MAX = 4
};

static void draw_out(making *m, lin_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t moment = (i + 1) * MOMENT, low = 1, high = LIN_NEVER;
        for (size_t j = 0; j < count; j++) /* a thread makes one call after the other */
            if (ops[j].thread == ops[i].thread && j < i)
                low = ops[j].ended + 1;
            else if (ops[j].thread == ops[i].thread && j > i && high == LIN_NEVER)
                high = (j + 1) * MOMENT - 1;
        ops[i].begun = moment - test_random_below(&m->rng, m->width + 1);
        ops[i].begun = ops[i].begun < low || ops[i].begun > moment ? low : ops[i].begun;
        ops[i].ended = moment + test_random_below(&m->rng, m->width + 1);
        ops[i].ended = ops[i].ended > high ? high : ops[i].ended;
    }
}

static void make_unsure(making *m, lin_op *op, bool happened)
{
    op->unsure = true;
    op->until = LIN_NEVER;
    if (happened && test_random_below(&m->rng, 2) == 0)
        op->until = 0; /* its end, which is not known yet */
}

/* count calls; returns how many: a sync that has found all leaves none. */
static size_t make_right(making *m, lin_op *ops, size_t count)
{
    uint64_t there[KEYS_MAX] = {LIN_ABSENT}, base[KEYS_MAX] = {LIN_ABSENT};
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        unsigned key = (unsigned)test_random_below(&m->rng, m->keys);
        bool perhaps = test_random_below(&m->rng, 100) < m->unsure, happens = test_random_below(&m->rng, 2) == 0;
        lin_op *op = &ops[i];
        *op = (lin_op){.key = key, .thread = (unsigned)test_random_below(&m->rng, m->threads), .value = there[key]};
        op->kind = (lin_kind)test_random_below(&m->rng, m->syncs ? 5 : 4);
        if (op->kind == LIN_PUT)
            op->value = 1 + test_random_below(&m->rng, m->values);
        if ((op->kind == LIN_PUT || op->kind == LIN_DELETE) && perhaps)
            make_unsure(m, op, happens);
        if ((op->kind == LIN_PUT || op->kind == LIN_DELETE) && (!perhaps || happens)) {
            there[key] = op->kind == LIN_PUT ? op->value : LIN_ABSENT;
            base[key] = op->kind == LIN_DELETE ? LIN_ABSENT : base[key];
        }
        if (op->kind == LIN_LOOK || test_random_below(&m->rng, 8) == 0)
            base[key] = there[key];
    }
    draw_out(m, ops, count);
    for (size_t i = 0; i < count; i++) {
        if (ops[i].unsure && ops[i].until == 0)
            ops[i].until = ops[i].ended;
        if (ops[i].kind != LIN_LOOK || ops[i].value == LIN_ABSENT)
            ops[kept++] = ops[i];
    }
    return kept;
}

static void random_right_histories_pass(void **state)
{
    enum { CALLS = 300 };
    lin_op ops[CALLS];
    lin_result result;

    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        making m = {.rng.state = seed, .syncs = true};
        size_t count;
        m.threads = 1 + (unsigned)test_random_below(&m.rng, 16);
        m.keys = 1 + (unsigned)test_random_below(&m.rng, KEYS_MAX);
        m.values = 1 + (unsigned)test_random_below(&m.rng, 3);
        m.width = (unsigned)test_random_below(&m.rng, 20) * MOMENT;
        m.unsure = (unsigned)test_random_below(&m.rng, 10);
        count = make_right(&m, ops, CALLS);
        if (lin_check(ops, count, 0, &result) != LIN_RIGHT)
            fail_msg("seed %llu: %s: %s", (unsigned long long)seed,
                     result.verdict == LIN_WRONG ? "taken for wrong" : "too hard", result.text);
    }
}

/* Drawn out to nothing, so that there is one order only: a changed answer cannot be right. */
static void random_histories_with_one_answer_changed_are_caught(void **state)
{
    enum { CALLS = 200 };
    lin_op ops[CALLS];
    lin_result result;

    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        making m = {.rng.state = seed, .threads = 4, .keys = 3, .values = 2};
        size_t count = make_right(&m, ops, CALLS), at;
        do
            at = (size_t)test_random_below(&m.rng, count);
        while (ops[at].kind == LIN_PUT);
        ops[at].value = ops[at].value == LIN_ABSENT ? 1 : LIN_ABSENT;
        if (lin_check(ops, count, 0, &result) != LIN_WRONG)
            fail_msg("seed %llu: not caught", (unsigned long long)seed);
        assert_int_equal(result.key, ops[at].key);
    }
}

static void long_histories_of_many_threads_are_not_too_hard(void **state)
{
    enum { CALLS = 6000 };
    lin_op *ops = calloc(CALLS, sizeof *ops);
    lin_result result;

    (void)state;
    assert_non_null(ops);
    for (uint64_t seed = 1; seed <= 2; seed++) {
        making m = {.rng.state = seed, .threads = 16, .keys = 3, .values = 1, .unsure = 4, .syncs = true};
        size_t count;
        m.width = 16 * MOMENT;
        count = make_right(&m, ops, CALLS);
        if (lin_check(ops, count, 0, &result) != LIN_RIGHT)
            fail_msg("seed %llu: not right after %llu steps: %s", (unsigned long long)seed,
                     (unsigned long long)result.steps, result.text);
    }
    free(ops);
}

/* ---- against trying every order ------------------------------------------------------------------------------ */

static bool comes_before(const lin_op *a, const lin_op *b)
{
    return b->kind == LIN_LOOK ? a->kind == LIN_PUT && a->ended < b->begun : a->ended < b->begun;
}

static bool could_be_next(const lin_op *ops, size_t count, unsigned done, size_t next, uint64_t value)
{
    const lin_op *op = &ops[next];

    for (size_t i = 0; i < count; i++) {
        bool is_done = (done >> i & 1) != 0;
        if (!is_done && !ops[i].unsure && comes_before(&ops[i], op))
            return false;
        if (is_done && op->unsure && ops[i].kind != LIN_LOOK && ops[i].begun > op->until)
            return false;
    }
    if (op->kind == LIN_PUT || op->unsure || op->blind)
        return true;
    if (op->kind == LIN_DELETE)
        return (op->value == LIN_ABSENT) == (value == LIN_ABSENT);
    return op->value == value;
}

/* No cleverness here: that is its use. */
static bool some_order_is_right(const lin_op *ops, size_t count, unsigned done, uint64_t value)
{
    bool all = true;

    for (size_t i = 0; i < count; i++) {
        uint64_t after = value;
        if ((done >> i & 1) != 0)
            continue;
        all = all && ops[i].unsure;
        if (!could_be_next(ops, count, done, i, value))
            continue;
        if (ops[i].kind == LIN_PUT)
            after = ops[i].value;
        else if (ops[i].kind == LIN_DELETE)
            after = LIN_ABSENT;
        if (some_order_is_right(ops, count, done | 1u << i, after))
            return true;
    }
    return all;
}

static void it_agrees_with_trying_every_order(void **state)
{
    enum { CALLS = 7 };
    unsigned verdicts[2] = {0, 0};
    lin_op ops[CALLS];
    lin_result result;

    (void)state;
    for (uint64_t seed = 1; seed <= 25000; seed++) {
        making m = {.rng.state = seed, .keys = 1, .syncs = true};
        size_t count;
        bool expected;
        m.threads = 2 + (unsigned)test_random_below(&m.rng, 5);
        m.values = 1 + (unsigned)test_random_below(&m.rng, 2);
        m.width = (unsigned)test_random_below(&m.rng, 5) * MOMENT;
        m.unsure = (unsigned)test_random_below(&m.rng, 60);
        count = make_right(&m, ops, CALLS);
        for (uint64_t changes = test_random_below(&m.rng, 3); count > 0 && changes > 0; changes--) {
            lin_op *op = &ops[test_random_below(&m.rng, count)];
            if (op->kind != LIN_PUT && op->kind != LIN_LOOK && test_random_below(&m.rng, 4) > 0)
                op->value = test_random_below(&m.rng, m.values + 1);
            else if (op->kind == LIN_DELETE)
                op->blind = true;
            else if (op->unsure)
                op->until = op->begun + test_random_below(&m.rng, 3 * MOMENT);
        }
        expected = some_order_is_right(ops, count, 0, LIN_ABSENT);
        verdicts[expected]++;
        if (lin_check(ops, count, 0, &result) != (expected ? LIN_RIGHT : LIN_WRONG))
            fail_msg("seed %llu: should be %s: %s", (unsigned long long)seed, expected ? "right" : "wrong",
                     result.text);
    }
    assert_true(verdicts[0] > 2000 && verdicts[1] > 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_histories_pass),
        cmocka_unit_test(wrong_histories_are_caught),
        cmocka_unit_test(each_key_is_checked_alone_and_the_wrong_one_named),
        cmocka_unit_test(what_takes_too_many_steps_is_neither_right_nor_wrong),
        cmocka_unit_test(calls_are_described),
        cmocka_unit_test(random_right_histories_pass),
        cmocka_unit_test(random_histories_with_one_answer_changed_are_caught),
        cmocka_unit_test(long_histories_of_many_threads_are_not_too_hard),
        cmocka_unit_test(it_agrees_with_trying_every_order),
    };

    test_watchdog(1000);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
