/* linear.c - see linear.h. */
#include "linear.h"
#include "wbrig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

unsigned linear_below(linear *l, unsigned bound)
{
    return (unsigned)test_random_below(&l->seeds, bound);
}

static history_what what_next(test_rng *rng)
{
    static const unsigned char weights[HISTORY_WHATS] = {
        [HISTORY_CAS_PUT] = 30, [HISTORY_PUT] = 2,     [HISTORY_REPLACE] = 4, [HISTORY_GET] = 24,
        [HISTORY_SIZE] = 12,    [HISTORY_DELETE] = 24, [HISTORY_SYNC] = 4,
    };
    uint64_t at = test_random_below(rng, 100);
    unsigned what = 0;

    while (at >= weights[what])
        at -= weights[what++];
    return (history_what)what;
}

void linear_one_call(const linear *l, unsigned thread, test_rng *rng)
{
    history_what what = what_next(rng);
    unsigned key = (unsigned)test_random_below(rng, l->keys);
    blob_ctx *ctx = NULL;

    if (l->patience_ms > 0 && test_random_below(rng, 10) == 0 && blob_ctx_new_timeout(&ctx, NULL, l->patience_ms) != 0)
        abort();
    history_call(l->h, thread, what, key, l->w, ctx, l->base);
    blob_ctx_free(ctx);
}

void linear_thread(void *arg, unsigned index)
{
    const linear *l = arg;
    test_rng rng = {.state = l->seed + index};

    for (unsigned i = 0; i < l->calls; i++) {
        linear_one_call(l, index, &rng);
        if (index == 0 && l->closes && i == l->calls / 2 && wbstore_close(l->w, NULL) != 0)
            abort();
    }
}

static void count_calls(linear *l)
{
    for (unsigned i = 0; i < HISTORY_WHATS; i++) {
        history_counts more = history_count(l->h, (history_what)i);
        l->counts[i].done += more.done;
        l->counts[i].missing += more.missing;
        l->counts[i].failed += more.failed;
    }
}

void linear_begin(linear *l, size_t room)
{
    l->threads = 2 + linear_below(l, LINEAR_THREADS_MAX - 1);
    l->keys = 1 + linear_below(l, LINEAR_KEYS_MAX);
    l->h = history_new(room, l->keys);
}

void linear_expect(linear *l, uint64_t doubt, const char *what, unsigned long round)
{
    lin_result result;

    if (history_check(l->h, doubt, getenv("LINEAR_STRICT") != NULL, &result) != LIN_RIGHT)
        fail_msg("%s, round %lu: %s\n%s", what, round,
                 result.verdict == LIN_WRONG ? "no store would have answered so" : "too hard to check", result.text);
    l->checked += history_size(l->h);
    if (result.steps > l->steps_max)
        l->steps_max = result.steps;
    count_calls(l);
    history_free(l->h);
}

unsigned long linear_rounds(unsigned long rounds)
{
    const char *asked = getenv("LINEAR_ROUNDS");

    if (asked != NULL)
        return strtoul(asked, NULL, 10);
    return WBRIG_SLOW ? rounds / 4 : rounds;
}

void linear_seed(linear *l)
{
    const char *asked = getenv("LINEAR_SEED");

    l->seeds.state = asked != NULL ? strtoull(asked, NULL, 10) : (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid();
    print_message("LINEAR_SEED=%llu\n", (unsigned long long)l->seeds.state);
}

void linear_tell(const linear *l)
{
    static const char *const names[HISTORY_WHATS] = {
        [HISTORY_CAS_PUT] = "cas_put", [HISTORY_PUT] = "put",   [HISTORY_REPLACE] = "replace",
        [HISTORY_GET] = "get",         [HISTORY_SIZE] = "size", [HISTORY_DELETE] = "delete",
        [HISTORY_SYNC] = "sync",
    };

    print_message("%lu calls, %llu steps at most; done, not found or there, failed:\n", l->checked,
                  (unsigned long long)l->steps_max);
    for (unsigned i = 0; i < HISTORY_WHATS; i++)
        print_message("    %-8s %6u %6u %6u\n", names[i], l->counts[i].done, l->counts[i].missing, l->counts[i].failed);
    assert_true(l->counts[HISTORY_CAS_PUT].done > 0); /* or nothing was tested */
    assert_true(l->counts[HISTORY_GET].done > 0 && l->counts[HISTORY_GET].missing > 0);
    assert_true(l->counts[HISTORY_DELETE].done > 0);
}

void linear_add_delays(linear *l, blob_faultstore *f)
{
    static const unsigned ops[] = {BLOB_FAULT_PUT, BLOB_FAULT_DELETE, BLOB_FAULT_GET | BLOB_FAULT_SIZE};

    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        for (unsigned after = 0; after < 2; after++)
            if (linear_below(l, 2) == 0)
                blob_faultstore_add(f,
                                    &(blob_faultstore_fault){.ops = ops[i],
                                                             .action = BLOB_FAULT_DELAY,
                                                             .when = after > 0 ? BLOB_FAULT_AFTER : BLOB_FAULT_BEFORE,
                                                             .every = 1 + linear_below(l, 4),
                                                             .delay_us = 20 + linear_below(l, 400)});
}
