/* pacesim.c - the simulated writer, and the clock: from event to event. */
#include "pacesim_int.h"

#include <stdlib.h>

/* ---- blobs to be tried again ---- */

/* Exponential, with full jitter: the wrapper's, by its defaults. */
static int64_t sim_backoff(pacesim *s, unsigned failures)
{
    int64_t cap_ns = 50 * PACESIM_MS;

    for (; failures > 1 && cap_ns < 20 * PACESIM_S; failures--)
        cap_ns *= 2;
    return (int64_t)(pacesim_unit(s) * (double)(cap_ns < 20 * PACESIM_S ? cap_ns : 20 * PACESIM_S));
}

static void sim_retry(pacesim *s, sim_blob b)
{
    size_t i = s->retry_count++;

    b.due_ns = s->now_ns + sim_backoff(s, b.failures);
    if (s->retry_count > s->retry_room) {
        s->retry_room = 2 * s->retry_count + 64;
        s->retries = realloc(s->retries, s->retry_room * sizeof *s->retries);
        assert_non_null(s->retries);
    }
    for (; i > 0 && b.due_ns < s->retries[(i - 1) / 2].due_ns; i = (i - 1) / 2)
        s->retries[i] = s->retries[(i - 1) / 2];
    s->retries[i] = b;
}

static sim_blob sim_take_retry(pacesim *s)
{
    sim_blob first = s->retries[0], last = s->retries[--s->retry_count];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;

        if (child + 1 < s->retry_count && s->retries[child + 1].due_ns < s->retries[child].due_ns)
            child++;
        if (child >= s->retry_count || s->retries[child].due_ns >= last.due_ns)
            break;
        s->retries[i] = s->retries[child];
        i = child;
    }
    s->retries[i] = last;
    return first;
}

/* ---- the writer ---- */

/* As the wrapper sees it: five failures in a row, and the base is down; then one attempt at a time, with backoff. */
static void sim_refused(pacesim *s, bool probe)
{
    if (!s->health)
        return;
    if (!s->down && ++s->in_a_row >= 5) {
        s->down = probe = true;
        s->probes = 0;
    }
    if (s->down && probe) {
        s->probes++;
        s->probe_due_ns = s->now_ns + sim_backoff(s, s->probes);
    }
}

static void sim_answered(pacesim *s, sim_attempt *a)
{
    bool own_fault = a->blob.failures >= 3 && s->pace.succeeded != a->blob.succeeded;

    wb_pace_end(&s->pace, &a->node, a->verdict, own_fault, s->now_ns);
    s->probing = s->probing && !a->probe;
    if (a->verdict == WB_PACE_DONE) {
        s->figures.done++;
    } else if (a->verdict == WB_PACE_OTHER) {
        s->figures.failed++;
    } else {
        s->figures.refused += a->verdict == WB_PACE_REFUSED;
        a->blob.failures++;
        a->blob.succeeded = s->pace.succeeded;
        sim_retry(s, a->blob);
        sim_refused(s, a->probe);
    }
    if (a->verdict == WB_PACE_DONE || a->verdict == WB_PACE_OTHER) {
        s->in_a_row = 0;
        if (s->down) {
            s->down = false;
            wb_pace_restart(&s->pace, s->now_ns);
        }
    }
    a->next = s->unused;
    s->unused = a;
}

static bool sim_take_blob(pacesim *s, sim_blob *b)
{
    if (s->retry_count > 0 && s->retries[0].due_ns <= s->now_ns) {
        *b = sim_take_retry(s);
        return true;
    }
    *b = (sim_blob){.failures = 0};
    if (s->work_per_s > 0) {
        if (s->work_ns > s->now_ns)
            return false;
        s->work_ns += PACESIM_S / (int64_t)s->work_per_s;
    }
    return true;
}

/* Begins what may begin; when to look again, if nothing ends before. */
static int64_t sim_begin(pacesim *s)
{
    int64_t until_ns;
    sim_blob b;

    if (s->down && s->probing)
        return INT64_MAX;
    if (s->down && s->now_ns < s->probe_due_ns)
        return s->probe_due_ns;
    while (s->down || wb_pace_may_begin(&s->pace, s->now_ns, &until_ns)) {
        sim_attempt *a = s->unused;

        if (!sim_take_blob(s, &b)) {
            wb_pace_no_work(&s->pace, s->now_ns);
            return s->retry_count > 0 && s->retries[0].due_ns < s->work_ns ? s->retries[0].due_ns : s->work_ns;
        }
        assert_non_null(a);
        s->unused = a->next;
        a->blob = b;
        a->probe = s->probing = s->down;
        wb_pace_begin(&s->pace, &a->node, s->size, s->now_ns);
        s->figures.begun++;
        pacesim_takes(s, a);
        if (s->down)
            return INT64_MAX;
    }
    return until_ns;
}

/* ---- the clock ---- */

static void sim_move(pacesim *s, int64_t to_ns)
{
    double seconds = (double)(to_ns - s->now_ns) / 1e9;

    s->figures.seconds += seconds;
    s->figures.in_flight += seconds * s->pace.in_flight;
    s->figures.stragglers += seconds * s->pace.stragglers;
    s->figures.busy += seconds * s->busy;
    if (s->pace.in_flight > s->figures.in_flight_max)
        s->figures.in_flight_max = s->pace.in_flight;
    s->now_ns = to_ns;
}

static void sim_event_happens(pacesim *s)
{
    sim_event e = pacesim_next_event(s);

    if (s->base.pause_ns > 0) {
        while (s->now_ns >= s->pause_until_ns) {
            s->pause_from_ns = s->pause_until_ns + (int64_t)(pacesim_exponential(s) * (double)s->base.pause_every_ns);
            s->pause_until_ns = s->pause_from_ns + s->base.pause_ns;
        }
        if (s->now_ns >= s->pause_from_ns) {
            pacesim_schedule(s, e.attempt, e.answer, s->pause_until_ns);
            return;
        }
    }
    if (e.answer)
        sim_answered(s, e.attempt);
    else
        pacesim_served(s, e.attempt);
}

pacesim_figures pacesim_run(pacesim *s, int64_t ns)
{
    int64_t end_ns = s->now_ns + ns;

    s->figures = (pacesim_figures){.begun = 0};
    while (s->now_ns < end_ns) {
        int64_t next_ns = sim_begin(s);

        if (s->event_count > 0 && s->events[0].at_ns <= next_ns)
            next_ns = s->events[0].at_ns;
        if (next_ns > end_ns)
            next_ns = end_ns;
        assert_true(next_ns >= s->now_ns);
        sim_move(s, next_ns);
        if (s->now_ns < end_ns && s->event_count > 0 && s->events[0].at_ns <= s->now_ns)
            sim_event_happens(s);
    }
    s->figures.in_flight /= s->figures.seconds;
    s->figures.stragglers /= s->figures.seconds;
    s->figures.busy /= s->figures.seconds;
    s->figures.done_per_s = (double)s->figures.done / s->figures.seconds;
    s->figures.refused_share = s->figures.begun > 0 ? (double)s->figures.refused / (double)s->figures.begun : 0;
    return s->figures;
}

/* ---- life ---- */

pacesim *pacesim_new_limited(uint64_t seed, unsigned ceiling, const pacesim_base *base, uint64_t puts_per_s,
                             uint64_t bytes_per_s, uint64_t size)
{
    pacesim *s = calloc(1, sizeof *s);

    assert_non_null(s);
    s->attempts = calloc(ceiling, sizeof *s->attempts);
    s->events = calloc(2 * (size_t)ceiling, sizeof *s->events);
    assert_true(s->attempts != NULL && s->events != NULL);
    for (unsigned i = 0; i < ceiling; i++) {
        s->attempts[i].next = s->unused;
        s->unused = &s->attempts[i];
    }
    s->queue_end = &s->queue;
    s->base = *base;
    s->rng.state = seed;
    s->ceiling = ceiling;
    s->size = size;
    s->now_ns = s->tokens_at_ns = 1000 * PACESIM_S + (int64_t)test_random_below(&s->rng, (uint64_t)PACESIM_S);
    s->pause_until_ns = s->now_ns;
    s->tokens_ns = PACESIM_S;
    wb_pace_init(&s->pace, ceiling, puts_per_s, bytes_per_s, s->now_ns);
    return s;
}

pacesim *pacesim_new(uint64_t seed, unsigned ceiling, const pacesim_base *base)
{
    return pacesim_new_limited(seed, ceiling, base, 0, 0, 1);
}

void pacesim_free(pacesim *s)
{
    if (s == NULL)
        return;
    free(s->attempts);
    free(s->events);
    free(s->retries);
    free(s);
}

pacesim_base *pacesim_base_of(pacesim *s)
{
    return &s->base;
}

wb_pace *pacesim_pace(pacesim *s)
{
    return &s->pace;
}

void pacesim_work(pacesim *s, uint64_t per_s)
{
    s->work_per_s = per_s;
    s->work_ns = s->now_ns;
}

void pacesim_health(pacesim *s)
{
    s->health = true;
}

bool pacesim_is_down(const pacesim *s)
{
    return s->down;
}
