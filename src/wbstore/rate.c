/* rate.c - how many attempts a second a base takes that throttles: a little less than what it was seen to take, and now
 * and then a little more, to see whether it takes that too.
 *
 *     off --refused--> cut --> hold --> raise --> raise ... --refused--> cut
 *                                       (not the bound for seconds) --> off
 *
 * Cut: by a twentieth, or to what was delivered of late if that is less; as soon as something that began after the last
 * cut is refused, but a tenth of a second and two latencies apart. If all of it is, by half: the base is out, or what it
 * grants for this second is used up. That must not cost more than this second, so the goal, what the base is believed to
 * bear, is only ever set to what was measured; below it the rate doubles step by step. Of late is in the last second;
 * but what a base grants for two seconds may have been had in one, so soon after a cut it is since that.
 *
 * Hold: until what was refused is a small part of what was sent since, within bounds. Raise: a quarter of the way to
 * where it refused, if that is not far off, at least a hundredth; once a tenth beyond that, 2, 4 ... up to 50 hundredths,
 * so that ten times the capacity is found in seconds. A step lasts for two latencies, a fifth of a second, and a few
 * answers.
 *
 * Strays: some bases refuse one in so many whatever the rate. A cut for each would wear the rate down to nothing, so a
 * few are let pass: each that is delivered pays for a small part of one. How many a base has is learnt while the rate is
 * held: against a share below a twentieth the cut by a twentieth should have helped, so if it did not, no further one
 * will. More than two that follow each other with nothing delivered between are no strays.
 *
 * At first little is known: what a burst of attempts got through within an instant says nothing of a second. So it
 * begins with what was delivered in the last second, or one a second, and doubles with each step; or goes on from what
 * was delivered in the last second by then, if that is more. */
#include "wbstore/rate.h"

#define RATE_MS INT64_C(1000000)
#define RATE_S INT64_C(1000000000)
#define RATE_LATE_NS (10 * RATE_MS)
#define RATE_MIN 200    /* one in five seconds */
#define RATE_START 1000 /* one a second */
#define RATE_CUT_NS (100 * RATE_MS)
#define RATE_EPISODE_NS (1 * RATE_S)
#define RATE_SOON_NS (2500 * RATE_MS)
#define RATE_HOLD_NS (2 * RATE_S)
#define RATE_HOLD_MAX_NS (5 * RATE_S)
#define RATE_HOLD_SENT 30 /* for each that was refused */
#define RATE_STEP_NS (200 * RATE_MS)
#define RATE_STEP_ANSWERS 3
#define RATE_GAIN_PERCENT_MAX 50
#define RATE_UNBOUND_NS (5 * RATE_S)
#define RATE_MEASURE_NS (1 * RATE_S) /* what was delivered in that time, */
#define RATE_MEASURE_BLOBS 20        /* or, if that is less than so many, */
#define RATE_MEASURE_MAX_NS (4 * RATE_S)
#define STRAY_SHARE 10    /* of 1,000 */
#define STRAY_HELD_MAX 40 /* a cut by a twentieth would have helped against so many */
#define STRAY_DOUBT 100   /* attempts without one that were never seen: a few say little */
#define STRAY_ANSWERS_MAX 1000
#define STRAY_ROW_MAX 2
#define STRAY_PAID_MIN 2000

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* ---- spacing ---- */

void wb_spacing_take(wb_spacing *s, int64_t cost_ns, int64_t now_ns)
{
    s->next_ns = max_i64(s->next_ns, now_ns - RATE_LATE_NS) + cost_ns;
}

static int64_t rate_interval_ns(uint64_t milli_per_s)
{
    return (int64_t)(1000 * (uint64_t)RATE_S / milli_per_s);
}

/* ---- strays ---- */

/* Of a thousand that began since the cut. */
static uint64_t stray_share(const wb_rate *r)
{
    return r->cut_strays == 0 ? 0 : 1000 * r->cut_strays / (r->cut_strays + r->cut_delivered);
}

/* The rate was held, and is about to be raised: what was refused meanwhile was not for the rate. */
static void stray_learn(wb_rate *r)
{
    if (r->raised || r->milli_per_s < r->goal || stray_share(r) > STRAY_HELD_MAX)
        return;
    r->held_strays += r->cut_strays;
    r->held_answers += r->cut_strays + r->cut_delivered;
    r->stray = min_u64(1000 * r->held_strays / (r->held_answers + STRAY_DOUBT), STRAY_HELD_MAX);
    while (r->held_answers > STRAY_ANSWERS_MAX) {
        r->held_answers /= 2;
        r->held_strays /= 2;
    }
}

/* Each that is delivered pays for a part of a stray; at most for a second's. */
static void stray_pay(wb_rate *r)
{
    uint64_t share = STRAY_SHARE + r->stray / 2 * 3;

    r->paid = min_u64(r->paid + share, max_u64(STRAY_PAID_MIN, share * r->milli_per_s / 1000));
}

/* What was just refused: need the rate not be cut? */
static bool stray_is_one(wb_rate *r)
{
    if (r->milli_per_s == 0 || r->refused_in_a_row > STRAY_ROW_MAX)
        return false;
    if (!r->raised && stray_share(r) <= STRAY_HELD_MAX)
        return true;
    if (r->paid < 1000)
        return false;
    r->paid -= 1000;
    return true;
}

/* ---- the rate ---- */

static void rate_step(wb_rate *r, int64_t now_ns)
{
    r->step_ns = now_ns;
    r->step_delivered = 0;
    r->bound = r->unbound = false;
}

static void rate_set(wb_rate *r, uint64_t milli_per_s, int64_t now_ns)
{
    int64_t ahead_ns = r->spacing.next_ns - now_ns;

    milli_per_s = max_u64(milli_per_s, RATE_MIN);
    if (r->milli_per_s == 0)
        r->spacing.next_ns = now_ns + rate_interval_ns(milli_per_s);
    else if (ahead_ns > 0) /* what is left of the interval becomes as much longer or shorter */
        r->spacing.next_ns = now_ns + (int64_t)((uint64_t)ahead_ns / 1000 * r->milli_per_s / milli_per_s * 1000);
    r->milli_per_s = milli_per_s;
    rate_step(r, now_ns);
}

static uint64_t rate_measured(const wb_rate *r, int64_t window_ns, int64_t now_ns)
{
    wb_flow_rate got;

    wb_flow_look(&r->delivered, window_ns, now_ns, &got);
    while (got.blobs < RATE_MEASURE_BLOBS && window_ns < RATE_MEASURE_MAX_NS) {
        window_ns += RATE_MEASURE_NS;
        wb_flow_look(&r->delivered, window_ns, now_ns, &got);
    }
    return got.milliblobs_per_s;
}

static uint64_t rate_engage(wb_rate *r, int64_t now_ns)
{
    r->known = now_ns - r->starved_ns > RATE_MEASURE_NS;
    r->goal = max_u64(rate_measured(r, RATE_MEASURE_NS, now_ns) / 20 * 19, RATE_START);
    r->refused_at = 0;
    return r->goal;
}

static uint64_t rate_after_cut(wb_rate *r, bool first, int64_t now_ns)
{
    int64_t since_ns = now_ns - r->cut_ns;
    bool soon = since_ns > RATE_MEASURE_NS && since_ns < RATE_SOON_NS;
    uint64_t got = rate_measured(r, soon ? since_ns : RATE_MEASURE_NS, now_ns), bears;

    if (r->cut_delivered == 0)
        return r->milli_per_s / 2; /* an outage looks like that, too: no measure of anything */
    bears = max_u64(min_u64(r->milli_per_s / 20 * 19, got), r->leapt_from / 20 * 19);
    r->goal = first ? bears : min_u64(r->goal, got);
    r->known = true;
    r->refused_at = min_u64(r->milli_per_s, 2 * bears);
    return bears;
}

static void rate_cut(wb_rate *r, int64_t now_ns)
{
    bool first = r->milli_per_s == 0 || now_ns - r->cut_ns > RATE_EPISODE_NS;
    uint64_t next = r->milli_per_s == 0 ? rate_engage(r, now_ns) : rate_after_cut(r, first, now_ns);

    if (first) {
        r->refused = r->cut_refused;
        r->sent = 0;
    }
    r->gain_percent = 1;
    r->leapt_from = 0;
    r->cut_ns = now_ns;
    r->cut_delivered = r->cut_refused = r->cut_strays = 0;
    r->unbound_ns = 0;
    rate_set(r, next, now_ns);
    r->raised = false;
    r->paid = r->known ? 0 : STRAY_PAID_MIN; /* a guess is on the low side, and one stray must not end the search */
}

static bool rate_is_held(const wb_rate *r, int64_t now_ns)
{
    int64_t held_ns = now_ns - r->cut_ns;

    if (!r->known || r->milli_per_s < r->goal)
        return false;
    return held_ns < RATE_HOLD_NS || (held_ns < RATE_HOLD_MAX_NS && r->sent < r->refused * RATE_HOLD_SENT);
}

static void rate_raise(wb_rate *r, int64_t now_ns)
{
    uint64_t was = r->milli_per_s, next;

    stray_learn(r);
    r->raised = true;
    if (was < r->goal) {
        next = min_u64(2 * was, r->goal);
    } else if (!r->known) {
        next = max_u64(2 * was, rate_measured(r, RATE_MEASURE_NS, now_ns));
    } else {
        if (was > r->refused_at / 10 * 11)
            r->gain_percent = (unsigned)min_u64(2 * r->gain_percent, RATE_GAIN_PERCENT_MAX);
        next = was + was / 100 * r->gain_percent + 1;
        if (r->refused_at > was)
            next = max_u64(next, was + min_u64(r->refused_at - was, was) / 4);
    }
    r->leapt_from = r->known ? 0 : was;
    rate_set(r, next, now_ns);
}

/* ---- what the others call ---- */

void wb_rate_begin(wb_rate *r, int64_t now_ns)
{
    if (r->milli_per_s == 0)
        return;
    r->sent++;
    wb_spacing_take(&r->spacing, rate_interval_ns(r->milli_per_s), now_ns);
}

void wb_rate_delivered(wb_rate *r, int64_t begun_ns, int64_t latency_ns, int64_t now_ns)
{
    int64_t lasted_ns = now_ns - r->step_ns;

    wb_flow_add(&r->delivered, 0, now_ns);
    r->refused_in_a_row = 0;
    if (r->milli_per_s == 0)
        return;
    stray_pay(r);
    r->cut_delivered += begun_ns >= r->cut_ns;
    r->step_delivered += begun_ns >= r->step_ns;
    if (lasted_ns < max_i64(RATE_STEP_NS, 2 * latency_ns) || r->step_delivered < (r->known ? RATE_STEP_ANSWERS : 1))
        return;
    if (r->bound) {
        r->unbound_ns = 0;
        if (!rate_is_held(r, now_ns)) {
            rate_raise(r, now_ns);
            return;
        }
    } else if (r->unbound && (r->unbound_ns += lasted_ns) >= RATE_UNBOUND_NS) {
        r->milli_per_s = 0;
    }
    rate_step(r, now_ns);
}

void wb_rate_refused(wb_rate *r, int64_t begun_ns, int64_t latency_ns, int64_t now_ns)
{
    r->refused++;
    if (r->milli_per_s > 0 && begun_ns < r->cut_ns)
        return; /* of the rate before the cut */
    r->cut_refused++;
    r->cut_strays += ++r->refused_in_a_row <= STRAY_ROW_MAX;
    if (!stray_is_one(r) && (r->milli_per_s == 0 || now_ns - r->cut_ns >= max_i64(RATE_CUT_NS, 2 * latency_ns)))
        rate_cut(r, now_ns);
}

void wb_rate_restart(wb_rate *r, int64_t now_ns)
{
    if (r->milli_per_s == 0)
        return;
    r->cut_ns = now_ns;
    r->cut_delivered = r->cut_refused = r->cut_strays = r->sent = r->refused = 0;
    r->gain_percent = 1;
    r->leapt_from = r->paid = 0;
    r->raised = true;
    rate_set(r, max_u64(r->goal, r->milli_per_s), now_ns);
}
