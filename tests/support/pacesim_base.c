/* pacesim_base.c - the simulated base: chance, the order of events, places, the throttle, bad habits. */
#include "pacesim_int.h"

#define SIM_SOON_NS 20000 /* what an answer at once takes */

/* ---- chance ---- */

double pacesim_unit(pacesim *s)
{
    return (double)(test_random(&s->rng) >> 11) / 9007199254740992.0;
}

/* Von Neumann's way to an exponential distribution of mean 1: comparisons only. */
double pacesim_exponential(pacesim *s)
{
    for (double whole = 0;; whole += 1) {
        double first = pacesim_unit(s), last = first, next;
        unsigned count = 1;

        while ((next = pacesim_unit(s)) < last) {
            last = next;
            count++;
        }
        if (count % 2 == 1)
            return whole + first;
    }
}

static bool sim_one_in(pacesim *s, unsigned many)
{
    return many > 0 && test_random_below(&s->rng, many) == 0;
}

static int64_t sim_service(pacesim *s)
{
    double mean = (double)s->base.service_ns;

    if (s->base.spread == PACESIM_UNIFORM)
        return (int64_t)(mean * (0.5 + pacesim_unit(s)));
    return s->base.spread == PACESIM_EXPONENTIAL ? (int64_t)(mean * pacesim_exponential(s)) : s->base.service_ns;
}

/* ---- events ---- */

static bool event_before(const sim_event *a, const sim_event *b)
{
    return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order);
}

void pacesim_schedule(pacesim *s, sim_attempt *a, bool answer, int64_t at_ns)
{
    sim_event e = {.at_ns = at_ns, .order = s->order++, .attempt = a, .answer = answer};
    size_t i = s->event_count++;

    for (; i > 0 && event_before(&e, &s->events[(i - 1) / 2]); i = (i - 1) / 2)
        s->events[i] = s->events[(i - 1) / 2];
    s->events[i] = e;
}

sim_event pacesim_next_event(pacesim *s)
{
    sim_event first = s->events[0], last = s->events[--s->event_count];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;

        if (child + 1 < s->event_count && event_before(&s->events[child + 1], &s->events[child]))
            child++;
        if (child >= s->event_count || !event_before(&s->events[child], &last))
            break;
        s->events[i] = s->events[child];
        i = child;
    }
    s->events[i] = last;
    return first;
}

/* ---- the base ---- */

static bool base_throttles(pacesim *s)
{
    int64_t token_ns, full_ns;

    if (s->base.per_s == 0)
        return false;
    if (s->base.throttle == PACESIM_WINDOW) {
        if (s->now_ns / PACESIM_S != s->window)
            s->window_count = 0;
        s->window = s->now_ns / PACESIM_S;
        return ++s->window_count > s->base.per_s;
    }
    token_ns = PACESIM_S / (int64_t)s->base.per_s;
    full_ns = token_ns > PACESIM_S / 10 ? token_ns : PACESIM_S / 10;
    s->tokens_ns += s->now_ns - s->tokens_at_ns;
    s->tokens_at_ns = s->now_ns;
    if (s->tokens_ns > full_ns)
        s->tokens_ns = full_ns;
    if (s->tokens_ns < token_ns)
        return true;
    s->tokens_ns -= token_ns;
    return false;
}

static void base_serve(pacesim *s, sim_attempt *a)
{
    s->busy++;
    a->placed = true;
    pacesim_schedule(s, a, false, s->now_ns + a->service_ns);
}

void pacesim_takes(pacesim *s, sim_attempt *a)
{
    const pacesim_base *b = &s->base;

    a->verdict = WB_PACE_DONE;
    a->service_ns = sim_service(s);
    a->extra_ns = sim_one_in(s, b->noise_in) ? b->noise_ns : 0;
    a->placed = false;
    if (b->out || sim_one_in(s, b->refusing_in) || base_throttles(s)) {
        a->verdict = WB_PACE_REFUSED;
        pacesim_schedule(s, a, true, s->now_ns + (b->refuses_late ? a->service_ns : SIM_SOON_NS));
    } else if (sim_one_in(s, b->timing_out_in)) {
        a->verdict = WB_PACE_TIMED_OUT;
        pacesim_schedule(s, a, true, s->now_ns + b->timeout_ns);
    } else if (sim_one_in(s, b->straggler_in)) {
        pacesim_schedule(s, a, true, s->now_ns + b->straggler_ns);
    } else {
        if (test_random_below(&s->rng, 100) < b->failing_percent)
            a->verdict = WB_PACE_OTHER;
        if (a->verdict == WB_PACE_OTHER && b->fails_at_once) {
            pacesim_schedule(s, a, true, s->now_ns + SIM_SOON_NS);
        } else if (b->places == 0 || s->busy < b->places) {
            base_serve(s, a);
        } else {
            a->next = NULL;
            *s->queue_end = a;
            s->queue_end = &a->next;
        }
    }
}

void pacesim_served(pacesim *s, sim_attempt *a)
{
    s->busy--;
    while (s->queue != NULL && (s->base.places == 0 || s->busy < s->base.places)) {
        sim_attempt *next = s->queue;

        s->queue = next->next;
        if (s->queue == NULL)
            s->queue_end = &s->queue;
        base_serve(s, next);
    }
    pacesim_schedule(s, a, true, s->now_ns + a->extra_ns);
}
