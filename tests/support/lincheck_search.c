/* lincheck_search.c - Wing and Gong's search, with what it has seen remembered.
 *
 * A configuration is the set of calls that have been given their moment, and what the key holds after them. From one the
 * search goes on with every call that may be next: one that began no later than the first end among those still left,
 * whose answer fits. A configuration that was seen before need not be looked at again, which is what makes the search
 * end in time. Four observations keep it small, and none loses a solution:
 *
 *   - A call that changes nothing and fits now can be taken at once, unless it began after an unsure call's `until`: a
 *     later moment for it would free nobody.
 *   - The calls are laid out in chains of calls that do not overlap, so few numbers tell which of them are done.
 *   - Unsure calls whose `until` is over tell no configurations apart.
 *   - Of unsure calls that do the same and may both be next, one that began no later and whose `until` comes no later
 *     than the other's can go first.
 * Unsure calls and looks stand in no chain; each has a bit of its own. */
#include "lincheck_int.h"

#include <stdlib.h>
#include <string.h>

/* ---- a configuration ---- */

static bool is_loose(const lin_op *op)
{
    return op->unsure || op->kind == LIN_LOOK;
}

static size_t chain_done(const uint64_t *c, size_t chain)
{
    return (size_t)(c[1 + chain / 4] >> (chain % 4 * 16) & 0xffff);
}

static void chain_advance(uint64_t *c, size_t chain)
{
    c[1 + chain / 4] += UINT64_C(1) << (chain % 4 * 16);
}

static bool loose_done(const lin_search *s, const uint64_t *c, size_t i)
{
    return (c[1 + (s->chains + 3) / 4 + i / 64] >> (i % 64) & 1) != 0;
}

static void loose_take(const lin_search *s, uint64_t *c, size_t i)
{
    c[1 + (s->chains + 3) / 4 + i / 64] |= UINT64_C(1) << (i % 64);
}

/* The next of a chain, or NULL. */
static const lin_op *chain_next(const lin_search *s, const uint64_t *c, size_t chain)
{
    size_t at = s->chain_starts[chain] + chain_done(c, chain);

    return at < s->chain_starts[chain + 1] ? s->chained[at] : NULL;
}

/* The first end among those that must be done and are not; what begins later must wait for it. */
uint64_t lin_first_end(const lin_search *s, const uint64_t *c)
{
    uint64_t end = LIN_NEVER;
    const lin_op *op;

    for (size_t i = 0; i < s->chains; i++)
        if ((op = chain_next(s, c, i)) != NULL && op->ended < end)
            end = op->ended;
    for (size_t i = s->unsure_count; i < s->loose_count; i++)
        if (!loose_done(s, c, i) && s->loose[i]->ended < end)
            end = s->loose[i]->ended;
    return end;
}

/* The latest beginning among those that are done: an unsure call whose `until` is earlier comes too late. */
static uint64_t last_begin(const lin_search *s, const uint64_t *c)
{
    uint64_t begin = 0;

    for (size_t i = 0; i < s->chains; i++) {
        const lin_op **first = &s->chained[s->chain_starts[i]], **next = first + chain_done(c, i);
        if (next > first && next[-1]->begun > begin)
            begin = next[-1]->begun;
    }
    for (size_t i = 0; i < s->unsure_count; i++)
        if (loose_done(s, c, i) && s->loose[i]->begun > begin)
            begin = s->loose[i]->begun;
    return begin;
}

/* Is every put done that returned before the look's sync began? */
static bool barrier_passed(const lin_search *s, const uint64_t *c, const lin_op *look)
{
    for (size_t i = 0; i < s->chains; i++)
        for (size_t at = s->chain_starts[i] + chain_done(c, i); at < s->chain_starts[i + 1]; at++) {
            if (s->chained[at]->ended >= look->begun)
                break;
            if (s->chained[at]->kind == LIN_PUT)
                return false;
        }
    return true;
}

static size_t calls_done(const lin_search *s, const uint64_t *c)
{
    size_t done = 0;

    for (size_t i = 0; i < s->chains; i++)
        done += chain_done(c, i);
    for (size_t i = s->unsure_count; i < s->loose_count; i++)
        done += loose_done(s, c, i);
    return done;
}

/* ---- what one store would say ---- */

static bool answer_fits(const lin_op *op, uint64_t value)
{
    switch (op->kind) {
    case LIN_PUT:
        return true;
    case LIN_DELETE:
        return op->unsure || op->blind || (op->value == LIN_ABSENT) == (value == LIN_ABSENT);
    default:
        return op->value == value;
    }
}

static uint64_t value_after(const lin_op *op, uint64_t value)
{
    if (op->kind == LIN_PUT)
        return op->value;
    return op->kind == LIN_DELETE ? LIN_ABSENT : value;
}

static bool changes_nothing(const lin_op *op)
{
    return op->kind != LIN_PUT && !(op->kind == LIN_DELETE && (op->blind || op->value != LIN_ABSENT));
}

/* What began later would be too early for an unsure call that can still come. */
static uint64_t first_until(const lin_search *s, const uint64_t *c)
{
    uint64_t begin = last_begin(s, c);

    for (size_t i = 0; i < s->unsure_count; i++) /* by `until` */
        if (!loose_done(s, c, i) && s->loose[i]->until >= begin)
            return s->loose[i]->until;
    return LIN_NEVER;
}

/* Takes all that changes nothing and may be next. */
static void take_readers(const lin_search *s, uint64_t *c)
{
    uint64_t until = first_until(s, c);
    bool taken = true;

    while (taken) {
        uint64_t end = lin_first_end(s, c);
        end = end < until ? end : until;
        taken = false;
        for (size_t i = 0; i < s->chains; i++) {
            const lin_op *op;
            while ((op = chain_next(s, c, i)) != NULL && op->begun <= end && changes_nothing(op) &&
                   answer_fits(op, c[0])) {
                chain_advance(c, i);
                taken = true;
            }
        }
        for (size_t i = s->unsure_count; i < s->loose_count && c[0] == LIN_ABSENT; i++)
            if (!loose_done(s, c, i) && barrier_passed(s, c, s->loose[i])) {
                loose_take(s, c, i);
                taken = true;
            }
    }
}

/* Whether an unsure call was done makes no difference once it cannot be any more: it counts as done. */
static void forget_expired(const lin_search *s, uint64_t *c)
{
    uint64_t begin = last_begin(s, c);

    for (size_t i = 0; i < s->unsure_count && s->loose[i]->until < begin; i++) /* by `until` */
        loose_take(s, c, i);
}

/* ---- what was seen ---- */

static uint64_t hash_of(const uint64_t *c, size_t words)
{
    uint64_t hash = 0;

    for (size_t i = 0; i < words; i++) {
        hash = (hash ^ c[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    return hash;
}

static uint32_t *table_find(const lin_search *s, const uint64_t *c)
{
    size_t at = (size_t)hash_of(c, s->words) & (s->table_room - 1);

    while (s->table[at] != 0 && memcmp(&s->seen[(s->table[at] - 1) * s->words], c, s->words * sizeof *c) != 0)
        at = (at + 1) & (s->table_room - 1);
    return &s->table[at];
}

static bool seen_grow(lin_search *s)
{
    size_t room = s->seen_room > 0 ? 2 * s->seen_room : 1024;
    uint64_t *seen = realloc(s->seen, room * s->words * sizeof *seen);
    uint32_t *stack = realloc(s->stack, room * sizeof *stack), *table = calloc(2 * room, sizeof *table);

    s->seen = seen != NULL ? seen : s->seen;
    s->stack = stack != NULL ? stack : s->stack;
    if (seen == NULL || stack == NULL || table == NULL) {
        free(table);
        return false;
    }
    free(s->table);
    s->table = table;
    s->table_room = 2 * room;
    s->seen_room = room;
    for (size_t i = 0; i < s->seen_count; i++)
        *table_find(s, &s->seen[i * s->words]) = (uint32_t)i + 1;
    return true;
}

/* Keeps c to be looked at, unless it was already. */
static void keep(lin_search *s, uint64_t *c)
{
    uint32_t *place;
    size_t done;

    take_readers(s, c);
    forget_expired(s, c);
    if (s->seen_count == s->seen_room && !seen_grow(s)) {
        s->no_memory = true;
        return;
    }
    place = table_find(s, c);
    if (*place != 0)
        return;
    memcpy(&s->seen[s->seen_count * s->words], c, s->words * sizeof *c);
    s->stack[s->stack_count++] = (uint32_t)s->seen_count;
    *place = (uint32_t)++s->seen_count;
    done = calls_done(s, c);
    if (done >= s->best_done) {
        s->best_done = done;
        memcpy(s->best, c, s->words * sizeof *c);
    }
}

/* ---- the search ---- */

/* No other unsure call that does the same and may be next as well is the better choice. */
static bool goes_first(const lin_search *s, const uint64_t *c, size_t i, uint64_t begin)
{
    for (size_t j = 0; j < i; j++) /* by `until` */
        if (!loose_done(s, c, j) && s->loose[j]->kind == s->loose[i]->kind &&
            (s->loose[i]->kind == LIN_DELETE || s->loose[j]->value == s->loose[i]->value) &&
            s->loose[j]->begun <= s->loose[i]->begun && s->loose[j]->until >= begin)
            return false;
    return true;
}

/* next: room for a configuration. */
static void go_on(lin_search *s, size_t from, uint64_t *next)
{
    const size_t bytes = s->words * sizeof *next;
    uint64_t end, begin;

    memcpy(s->at, &s->seen[from * s->words], bytes);
    end = lin_first_end(s, s->at);
    begin = last_begin(s, s->at);
    for (size_t i = 0; i < s->unsure_count; i++) {
        const lin_op *op = s->loose[i];
        if (loose_done(s, s->at, i) || op->begun > end || op->until < begin || value_after(op, s->at[0]) == s->at[0] ||
            !goes_first(s, s->at, i, begin))
            continue;
        memcpy(next, s->at, bytes);
        loose_take(s, next, i);
        next[0] = value_after(op, s->at[0]);
        keep(s, next);
    }
    for (size_t i = 0; i < s->chains; i++) { /* last kept, first tried: the sure ones */
        const lin_op *op = chain_next(s, s->at, i);
        if (op == NULL || op->begun > end || !answer_fits(op, s->at[0]))
            continue;
        memcpy(next, s->at, bytes);
        chain_advance(next, i);
        next[0] = value_after(op, s->at[0]);
        keep(s, next);
    }
}

lin_verdict lin_search_run(lin_search *s)
{
    size_t all = s->count - s->unsure_count;
    uint64_t *next = calloc(s->words, sizeof *next);
    lin_verdict verdict = LIN_WRONG;

    s->at = calloc(s->words, sizeof *s->at);
    s->best = calloc(s->words, sizeof *s->best);
    if (next == NULL || s->at == NULL || s->best == NULL) {
        free(next);
        return LIN_TOO_HARD;
    }
    keep(s, next);
    while (s->stack_count > 0 && s->best_done < all && !s->no_memory && s->seen_count < s->steps_max)
        go_on(s, s->stack[--s->stack_count], next);
    if (s->best_done == all && !s->no_memory)
        verdict = LIN_RIGHT;
    else if (s->stack_count > 0 || s->no_memory)
        verdict = LIN_TOO_HARD;
    free(next);
    return verdict;
}

bool lin_is_done(const lin_search *s, const uint64_t *c, const lin_op *op)
{
    for (size_t i = 0; i < s->loose_count; i++)
        if (s->loose[i] == op)
            return loose_done(s, c, i);
    for (size_t chain = 0; chain < s->chains; chain++)
        for (size_t i = s->chain_starts[chain]; i < s->chain_starts[chain] + chain_done(c, chain); i++)
            if (s->chained[i] == op)
                return true;
    return false;
}

/* ---- making ready ---- */

static int by_until(const void *a, const void *b)
{
    const lin_op *x = *(const lin_op *const *)a, *y = *(const lin_op *const *)b;

    if (x->unsure != y->unsure)
        return x->unsure ? -1 : 1;
    if (x->until != y->until)
        return x->until < y->until ? -1 : 1;
    return (x->begun > y->begun) - (x->begun < y->begun);
}

/* Each call goes to the first chain whose last one ended before it began. chain_of: room for each call's chain. */
static void lay_out_chains(lin_search *s, size_t *chain_of, uint64_t *ends)
{
    size_t at = 0;

    for (size_t i = 0; i < s->count; i++) {
        size_t chain = 0;
        if (is_loose(s->calls[i]))
            continue;
        while (chain < s->chains && ends[chain] >= s->calls[i]->begun)
            chain++;
        ends[chain] = s->calls[i]->ended;
        chain_of[i] = chain;
        s->chains = chain == s->chains ? chain + 1 : s->chains;
    }
    for (size_t chain = 0; chain < s->chains; chain++) {
        s->chain_starts[chain] = at;
        for (size_t i = 0; i < s->count; i++)
            if (!is_loose(s->calls[i]) && chain_of[i] == chain)
                s->chained[at++] = s->calls[i];
    }
    s->chain_starts[s->chains] = at;
}

bool lin_search_init(lin_search *s, const lin_op **calls, size_t count, uint64_t steps_max)
{
    size_t *chain_of = calloc(count, sizeof *chain_of);
    uint64_t *ends = calloc(count, sizeof *ends);
    bool good;

    *s = (lin_search){.calls = calls, .count = count, .steps_max = steps_max};
    s->chained = calloc(count, sizeof *s->chained);
    s->loose = calloc(count, sizeof *s->loose);
    s->chain_starts = calloc(count + 1, sizeof *s->chain_starts);
    good = chain_of != NULL && ends != NULL && s->chained != NULL && s->loose != NULL && s->chain_starts != NULL;
    if (good) {
        lay_out_chains(s, chain_of, ends);
        for (size_t i = 0; i < count; i++) {
            if (is_loose(calls[i]))
                s->loose[s->loose_count++] = calls[i];
            s->unsure_count += calls[i]->unsure;
        }
        qsort(s->loose, s->loose_count, sizeof *s->loose, by_until);
        s->words = 1 + (s->chains + 3) / 4 + (s->loose_count + 63) / 64;
    }
    free(chain_of);
    free(ends);
    return good;
}

void lin_search_free(lin_search *s)
{
    free(s->chained);
    free(s->loose);
    free(s->chain_starts);
    free(s->seen);
    free(s->table);
    free(s->stack);
    free(s->at);
    free(s->best);
}
