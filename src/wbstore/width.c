/* width.c - finds the limit by comparing how long attempts take at two limits.
 *
 *     rest --(now and then, or when attempts take longer than they did)--> try fewer --> rest at what is enough
 *     rest --(now and then, or when they take less long)--> try more --> more yet, while it helps --> rest
 *
 * With N in flight, attempts that take L(N) end at a rate of N / L(N). If n < N of them do not wait for each other, the
 * base needs L(n) for one, and N * L(n) / L(N) says how many it has at work at a time: its places. All N of them if
 * L(N) is no longer than L(n); and just n, or less, if they wait for each other even so: then n is halved again. The
 * limit is 1.25 places and one, so that a place never waits for us. More is tried with a third more, then, while it
 * helps, with twice as many; it costs nothing but a longer queue. Trying fewer costs throughput, so it is done at the
 * start, when attempts take longer, and seldom else.
 *
 * It starts at the ceiling: what is put is to leave as fast as it can, and too many in flight for a second do no harm.
 *
 * A window measures the mean of what attempts took, once those that began before are through. Machines pause and
 * attempts stall, so it has five slices: those far off the middle one are left out, and slices that disagree are made
 * twice as long, up to a bound. No minimum is kept of anything: one lucky attempt would be believed for ever.
 *
 * What is measured while there is not always work, or while something else than the limit holds attempts back, is
 * thrown away. */
#include "wbstore/width.h"

#include <string.h>

#define WIDTH_MS INT64_C(1000000)
#define WIDTH_S INT64_C(1000000000)
#define WIDTH_FLOOR 2
#define WIDTH_WINDOW_NS (10 * WIDTH_MS) /* a window's least length, */
#define WIDTH_ENDS 60                   /* and ends, unless they are rare; at least three for each in flight */
#define WIDTH_AGREE_LOWER 12            /* slices agree if they differ by less than that part of the mean, */
#define WIDTH_AGREE_HIGHER 25
#define WIDTH_LONGEST_LOWER_NS (600 * WIDTH_MS) /* or must do, if longer than that or four latencies */
#define WIDTH_LONGEST_HIGHER_NS (2 * WIDTH_S)
#define WIDTH_WINDOWS 16 /* that the latency at rest is the mean of */
#define WIDTH_INTERVAL_NS (1 * WIDTH_S)
#define WIDTH_INTERVAL_MAX_NS (3 * WIDTH_S)          /* between trials of more */
#define WIDTH_INTERVAL_CEILING_MAX_NS (60 * WIDTH_S) /* at the ceiling, where all trials are of fewer */
#define WIDTH_INTERVAL_LATENCIES 20
#define WIDTH_MORES 3    /* trials of more that are believed together */
#define WIDTH_HIGHERS 10 /* trials of more for one of fewer */

static int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static unsigned max_u(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

static unsigned min_u(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* ---- the window ---- */

static void window_begin(wb_width_window *v, int64_t now_ns)
{
    *v = (wb_width_window){.begun_ns = now_ns, .slice_begun_ns = now_ns};
}

static void window_settle(wb_width *w, unsigned ends, int64_t now_ns)
{
    window_begin(&w->window, now_ns);
    w->window.settling = ends;
    w->window.settled_by_ns = w->latency_ns > 0 ? now_ns + 2 * w->latency_ns : 0;
}

static bool window_settles(wb_width_window *v, int64_t now_ns)
{
    if (v->settling == 0)
        return false;
    v->settling = v->settled_by_ns > 0 && now_ns >= v->settled_by_ns ? 0 : v->settling - 1;
    v->begun_ns = v->slice_begun_ns = now_ns;
    return true;
}

static bool window_slice_is_full(const wb_width *w, int64_t now_ns)
{
    const wb_width_window *v = &w->window;
    int64_t window_ns = ((now_ns - v->slice_begun_ns) * WB_WIDTH_SLICES) >> v->doublings;
    int64_t mean_ns = v->sums_ns[v->slice] / v->counts[v->slice];
    unsigned ends = (v->counts[v->slice] * WB_WIDTH_SLICES) >> v->doublings;

    if (window_ns < WIDTH_WINDOW_NS || ends < 3 * w->limit)
        return false;
    return ends >= WIDTH_ENDS || window_ns >= max_i64(4 * mean_ns, WIDTH_S);
}

/* Two slices become one; the last one is filled further. */
static void window_double(wb_width_window *v, int64_t now_ns)
{
    wb_width_window was = *v;

    memset(v->counts, 0, sizeof v->counts);
    memset(v->sums_ns, 0, sizeof v->sums_ns);
    for (unsigned i = 0; i < WB_WIDTH_SLICES; i++) {
        v->counts[i / 2] += was.counts[i];
        v->sums_ns[i / 2] += was.sums_ns[i];
    }
    v->slice = WB_WIDTH_SLICES / 2;
    v->slice_begun_ns = now_ns - (now_ns - v->begun_ns) / WB_WIDTH_SLICES;
    v->doublings++;
}

static void window_sort(const wb_width_window *v, int64_t means_ns[WB_WIDTH_SLICES])
{
    for (unsigned i = 0; i < WB_WIDTH_SLICES; i++) {
        int64_t mean_ns = v->sums_ns[i] / v->counts[i];
        unsigned at = i;

        for (; at > 0 && means_ns[at - 1] > mean_ns; at--)
            means_ns[at] = means_ns[at - 1];
        means_ns[at] = mean_ns;
    }
}

/* What attempts take, by a window whose slices are full; 0: it goes on, for they do not agree. */
static int64_t window_latency(wb_width *w, int64_t now_ns)
{
    bool careful = w->phase == WB_WIDTH_HIGHER && !w->growing; /* time costs nothing there */
    int64_t means_ns[WB_WIDTH_SLICES] = {0}, sum_ns = 0, count = 0, middle_ns, longest_ns, spread_ns;
    const wb_width_window *v = &w->window;

    window_sort(v, means_ns);
    middle_ns = means_ns[WB_WIDTH_SLICES / 2];
    for (unsigned i = 0; i < WB_WIDTH_SLICES; i++) {
        int64_t mean_ns = v->sums_ns[i] / v->counts[i];

        if (mean_ns >= middle_ns / 3 * 2 && mean_ns <= middle_ns / 2 * 3) {
            count += v->counts[i];
            sum_ns += v->sums_ns[i];
        }
    }
    sum_ns = max_i64(count > 0 ? sum_ns / count : middle_ns, 1);
    longest_ns = max_i64(4 * sum_ns, careful ? WIDTH_LONGEST_HIGHER_NS : WIDTH_LONGEST_LOWER_NS);
    spread_ns = means_ns[WB_WIDTH_SLICES - 2] - means_ns[1];
    if (spread_ns * (careful ? WIDTH_AGREE_HIGHER : WIDTH_AGREE_LOWER) <= sum_ns ||
        2 * (now_ns - v->begun_ns) > longest_ns)
        return sum_ns;
    window_double(&w->window, now_ns);
    return 0;
}

/* ---- from phase to phase ---- */

static void width_phase(wb_width *w, wb_width_phase phase, unsigned limit, int64_t now_ns)
{
    unsigned was = w->limit;

    w->phase = phase;
    w->limit = limit;
    w->again_ns = 0;
    window_settle(w, max_u(was, limit), now_ns);
}

static void width_rest(wb_width *w, unsigned limit, bool as_it_was, int64_t now_ns)
{
    bool highest = limit == w->ceiling;
    int64_t max_ns = highest ? WIDTH_INTERVAL_CEILING_MAX_NS : WIDTH_INTERVAL_MAX_NS;

    w->interval_ns = as_it_was ? min_i64((highest ? 16 : 2) * w->interval_ns, max_ns) : WIDTH_INTERVAL_NS;
    w->due_ns = now_ns + max_i64(w->interval_ns, (as_it_was ? WIDTH_INTERVAL_LATENCIES : 4) * w->latency_ns);
    if (!as_it_was) {
        w->latency_ns = 0;
        w->windows = 0;
        w->highers = w->mores = 0;
    }
    w->rest = limit;
    w->growing = false;
    width_phase(w, WB_WIDTH_REST, limit, now_ns);
}

static void width_try_lower(wb_width *w, int64_t now_ns)
{
    if (w->phase == WB_WIDTH_REST) {
        w->stands = w->top = w->rest;
        w->highers = w->mores = 0;
    }
    width_phase(w, WB_WIDTH_LOWER, max_u(w->rest / 2, w->floor), now_ns);
}

static void width_try_higher(wb_width *w, int64_t now_ns)
{
    w->highers++;
    width_phase(w, WB_WIDTH_HIGHER, min_u(w->growing ? 2 * w->rest : w->rest + (w->rest + 2) / 3, w->ceiling), now_ns);
}

/* ---- comparing ---- */

static uint64_t width_places100(unsigned high, int64_t low_ns, int64_t high_ns)
{
    return 100 * (uint64_t)high * (uint64_t)low_ns / (uint64_t)high_ns;
}

static unsigned width_for(const wb_width *w, uint64_t places100)
{
    uint64_t limit = (places100 * 5 / 4 + 50) / 100 + 1;

    return max_u(limit < w->top ? (unsigned)limit : w->top, w->floor);
}

static void width_compare(wb_width *w, int64_t now_ns)
{
    bool lower = w->rest == w->ceiling || w->shifted > 0 || w->highers >= WIDTH_HIGHERS || !w->found;

    w->shifted = 0;
    if (lower && w->rest > w->floor)
        width_try_lower(w, now_ns);
    else if (w->rest < w->ceiling)
        width_try_higher(w, now_ns);
    else
        width_rest(w, w->rest, true, now_ns);
}

/* ---- what a window says ---- */

static void width_lower_seen(wb_width *w, int64_t latency_ns, int64_t now_ns)
{
    uint64_t places100 = width_places100(w->rest, latency_ns, w->latency_ns);
    unsigned limit;

    w->timed_out = false;
    if (places100 <= 125 * (uint64_t)w->limit && w->limit > w->floor) { /* they wait for each other here, too */
        w->top = w->rest;
        w->rest = w->limit;
        w->latency_ns = latency_ns;
        width_try_lower(w, now_ns);
        return;
    }
    limit = width_for(w, places100);
    if (limit * 20 >= w->stands * 19 && limit * 19 <= w->stands * 20)
        limit = w->stands;
    w->found = limit == w->stands;
    width_rest(w, limit, w->found, now_ns);
}

static void width_higher_seen(wb_width *w, int64_t latency_ns, int64_t now_ns)
{
    uint64_t places100, mean100, count;
    bool helps;

    if (w->again_ns > 0)
        latency_ns = (latency_ns + w->again_ns) / 2;
    places100 = width_places100(w->limit, w->latency_ns, latency_ns);
    count = min_u(w->mores, WIDTH_MORES - 1) + 1;
    mean100 = ((count - 1) * w->more100 + places100) / count;
    helps = places100 >= 120 * (uint64_t)w->rest || places100 >= 95 * (uint64_t)w->limit ||
            mean100 * count >= (108 * count + 12) * w->rest; /* the more trials, the less is enough */
    w->timed_out = false;
    if (w->again_ns == 0 && !w->growing && (helps || mean100 >= 106 * (uint64_t)w->rest)) {
        w->again_ns = latency_ns; /* perhaps: look twice */
        window_begin(&w->window, now_ns);
    } else if (!helps) {
        w->more100 = mean100;
        w->mores = (unsigned)count;
        width_rest(w, w->rest, !w->growing, now_ns);
    } else if (places100 >= 85 * (uint64_t)w->limit && w->limit < w->ceiling) {
        w->rest = w->limit;
        w->latency_ns = latency_ns;
        w->highers = w->mores = 0;
        w->growing = true;
        width_try_higher(w, now_ns);
    } else {
        w->top = w->limit;
        width_rest(w, width_for(w, mean100), false, now_ns);
    }
}

static void width_rest_seen(wb_width *w, int64_t latency_ns, int64_t now_ns)
{
    if (w->windows == 0)
        w->recent_ns = w->latency_ns = latency_ns;
    w->recent_ns = (w->recent_ns + latency_ns) / 2;
    if (w->recent_ns > w->latency_ns / 3 * 4 || w->recent_ns < w->latency_ns / 4 * 3) {
        /* Something has changed, and perhaps it is still changing: measure afresh, then compare. */
        w->shifted = w->recent_ns > w->latency_ns ? 1 : -1;
        w->windows = 0;
        w->highers = w->mores = 0;
        w->interval_ns = WIDTH_INTERVAL_NS / 2;
        w->due_ns = now_ns;
        window_settle(w, w->limit, now_ns);
        return;
    }
    if (w->windows < WIDTH_WINDOWS)
        w->windows++;
    w->latency_ns += (latency_ns - w->latency_ns) / (int64_t)w->windows;
    if (now_ns >= w->due_ns)
        width_compare(w, now_ns);
    else
        window_begin(&w->window, now_ns);
}

/* ---- what the others call ---- */

void wb_width_init(wb_width *w, unsigned ceiling, int64_t now_ns)
{
    *w = (wb_width){.ceiling = ceiling, .floor = min_u(ceiling, WIDTH_FLOOR), .limit = ceiling, .rest = ceiling};
    w->interval_ns = WIDTH_INTERVAL_NS / 2;
    w->due_ns = now_ns;
    w->halved_ns = INT64_MIN;
    window_settle(w, ceiling, now_ns);
}

void wb_width_ended(wb_width *w, int64_t took_ns, int64_t now_ns)
{
    wb_width_window *v = &w->window;
    int64_t latency_ns;

    if (window_settles(v, now_ns))
        return;
    v->counts[v->slice]++;
    v->sums_ns[v->slice] += max_i64(took_ns, 0);
    if (!window_slice_is_full(w, now_ns))
        return;
    v->slice++;
    v->slice_begun_ns = now_ns;
    if (v->slice < WB_WIDTH_SLICES || (latency_ns = window_latency(w, now_ns)) == 0)
        return;
    if (w->phase == WB_WIDTH_LOWER)
        width_lower_seen(w, latency_ns, now_ns);
    else if (w->phase == WB_WIDTH_HIGHER)
        width_higher_seen(w, latency_ns, now_ns);
    else
        width_rest_seen(w, latency_ns, now_ns);
}

void wb_width_spoil(wb_width *w, int64_t now_ns)
{
    if (w->phase == WB_WIDTH_REST) {
        window_settle(w, w->limit, now_ns);
        return;
    }
    /* A trial that came to nothing. */
    if (w->phase == WB_WIDTH_HIGHER)
        w->highers--;
    if (w->phase == WB_WIDTH_LOWER && w->rest != w->stands)
        w->found = false;
    w->interval_ns /= 2;
    width_rest(w, w->rest, true, now_ns);
}

void wb_width_timed_out(wb_width *w, int64_t begun_ns, int64_t now_ns)
{
    if (begun_ns < w->halved_ns)
        return; /* of the limit before */
    w->halved_ns = now_ns;
    width_rest(w, max_u(w->limit / 2, w->floor), false, now_ns);
    w->timed_out = true;
}

void wb_width_restart(wb_width *w, int64_t now_ns)
{
    width_rest(w, w->rest, false, now_ns);
}
