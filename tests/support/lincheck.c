/* lincheck.c - see lincheck.h: a history is taken apart by its keys, each is searched, and where one is wrong it is told
 * how far the search came. */
#include "lincheck_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIN_STEPS_MAX 4000000
#define LIN_CALLS_MAX 65535
#define LIN_TEXT_CALLS 24

/* ---- telling ---- */

void lin_describe(const lin_op *op, char *text, size_t size)
{
    static const char *const names[] = {"put", "get", "size", "delete", "look after a sync"};
    char end[48] = "never";

    if (op->ended != LIN_NEVER)
        snprintf(end, sizeof end, "%" PRIu64, op->ended);
    snprintf(text, size, "%" PRIu64 "..%s thread %u: %s of key %u: ", op->begun, end, op->thread, names[op->kind],
             op->key);
    size -= strlen(text);
    text += strlen(text);
    if (op->unsure && op->until != LIN_NEVER)
        snprintf(text, size, "perhaps, until %" PRIu64, op->until);
    else if (op->unsure)
        snprintf(text, size, "perhaps, at any time");
    else if (op->kind == LIN_LOOK || (op->kind != LIN_PUT && op->value == LIN_ABSENT))
        snprintf(text, size, "not found");
    else if (op->kind == LIN_DELETE)
        snprintf(text, size, "done");
    else
        snprintf(text, size, "value %" PRIu64, op->value);
}

static void tell_line(lin_result *out, const char *format, const char *line)
{
    size_t used = strlen(out->text);

    snprintf(out->text + used, sizeof out->text - used, format, line);
}

/* The furthest that the search came, and the first calls that are left: one of these is it, or stands before it. */
static void tell_where(const lin_search *s, lin_result *out)
{
    char line[200];
    unsigned told = 0;
    uint64_t end = lin_first_end(s, s->best);

    snprintf(line, sizeof line, "%zu of %zu calls in order; then the key holds value %" PRIu64 " and these are left:\n",
             s->best_done, s->count - s->unsure_count, s->best[0]);
    tell_line(out, "%s", line);
    for (size_t i = 0; i < s->count && told < LIN_TEXT_CALLS; i++) {
        if (lin_is_done(s, s->best, s->calls[i]) || (s->calls[i]->unsure && s->calls[i]->begun > end))
            continue; /* those that are over count as done */
        lin_describe(s->calls[i], line, sizeof line);
        tell_line(out, s->calls[i]->begun > end ? "    later: %s\n" : "    %s\n", line);
        told++;
    }
}

/* ---- key by key ---- */

static int by_begin(const void *a, const void *b)
{
    const lin_op *x = *(const lin_op *const *)a, *y = *(const lin_op *const *)b;

    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    if (x->begun != y->begun)
        return x->begun < y->begun ? -1 : 1;
    return (x->ended > y->ended) - (x->ended < y->ended);
}

static lin_verdict check_key(const lin_op **calls, size_t count, uint64_t steps_max, lin_result *out)
{
    lin_search s;
    lin_verdict verdict = LIN_TOO_HARD;

    if (count > LIN_CALLS_MAX)
        return LIN_TOO_HARD;
    if (lin_search_init(&s, calls, count, steps_max))
        verdict = lin_search_run(&s);
    if (s.seen_count > out->steps)
        out->steps = s.seen_count;
    if (verdict != LIN_RIGHT && out->verdict == LIN_RIGHT) {
        out->verdict = verdict;
        out->key = calls[0]->key;
        if (s.best != NULL)
            tell_where(&s, out);
    }
    lin_search_free(&s);
    return verdict;
}

lin_verdict lin_check(const lin_op *ops, size_t count, uint64_t steps_max, lin_result *out)
{
    const lin_op **calls = calloc(count + 1, sizeof *calls);

    *out = (lin_result){.verdict = LIN_RIGHT};
    if (calls == NULL)
        return out->verdict = LIN_TOO_HARD;
    for (size_t i = 0; i < count; i++)
        calls[i] = &ops[i];
    qsort(calls, count, sizeof *calls, by_begin);
    for (size_t i = 0, next; i < count && out->verdict == LIN_RIGHT; i = next) {
        for (next = i; next < count && calls[next]->key == calls[i]->key; next++)
            continue;
        check_key(calls + i, next - i, steps_max > 0 ? steps_max : LIN_STEPS_MAX, out);
    }
    free(calls);
    return out->verdict;
}
