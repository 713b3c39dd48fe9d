/* cmocka.c - runs tests one after the other; what ends one jumps back here. Fixtures may end like tests do: a test
 * whose setup failed is not run, and its teardown is run all the same unless setup failed, as with cmocka. */
#include "cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum outcome { WENT_WELL, SKIPPED, FAILED } outcome;

static const char *const outcomes[] = {"[       OK ]", "[  SKIPPED ]", "[  FAILED  ]"};

static struct {
    jmp_buf back;
    bool inside; /* back is set */
} run;

void print_message(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stdout, format, args);
    va_end(args);
    fflush(stdout); /* a child that is forked next would say it again */
}

void print_error(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
}

static void end_with(outcome how)
{
    if (!run.inside)
        abort(); /* asserted outside of tests: whose failure is it? */
    longjmp(run.back, (int)how);
}

void standin_skip(const char *file, int line)
{
    print_message("%s:%d: skipped\n", file, line);
    end_with(SKIPPED);
    abort();
}

void standin_fail(const char *file, int line, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s:%d: error: ", file, line);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    end_with(FAILED);
    abort();
}

void standin_true(const char *file, int line, bool holds, const char *what)
{
    if (!holds)
        standin_fail(file, line, "%s", what);
}

void standin_integers(const char *file, int line, uintmax_t left, uintmax_t right, bool equal, const char *what)
{
    if ((left == right) != equal)
        standin_fail(file, line, "%s: %jd (%#jx) and %jd (%#jx)", what, (intmax_t)left, left, (intmax_t)right, right);
}

void standin_range(const char *file, int line, uintmax_t value, uintmax_t least, uintmax_t most, const char *what)
{
    if (value < least || value > most)
        standin_fail(file, line, "%s: %ju is not in %ju to %ju", what, value, least, most);
}

void standin_strings(const char *file, int line, const char *left, const char *right, bool equal, const char *what)
{
    if (left == NULL || right == NULL)
        standin_fail(file, line, "%s: NULL is no string", what);
    if ((strcmp(left, right) == 0) != equal)
        standin_fail(file, line, "%s:\n    \"%s\"\n    \"%s\"", what, left, right);
}

void standin_memory(const char *file, int line, const void *left, const void *right, size_t size, bool equal,
                    const char *what)
{
    const unsigned char *l = left, *r = right;
    size_t at = 0;

    if (size > 0 && (l == NULL || r == NULL))
        standin_fail(file, line, "%s: NULL is no memory", what);
    while (at < size && l[at] == r[at])
        at++;
    if ((at == size) == equal)
        return;
    if (!equal)
        standin_fail(file, line, "%s: %zu bytes are the same", what, size);
    standin_fail(file, line, "%s: %zu bytes, of which number %zu is %#x and %#x", what, size, at, l[at], r[at]);
}

/* One of the two is NULL. */
static outcome run_function(CMUnitTestFunction test, CMFixtureFunction fixture, void **state)
{
    volatile outcome how = WENT_WELL;
    int jumped;

    run.inside = true;
    if ((jumped = setjmp(run.back)) != 0)
        how = (outcome)jumped;
    else if (test != NULL)
        test(state);
    else if (fixture != NULL && fixture(state) != 0)
        how = FAILED;
    run.inside = false;
    return how;
}

static outcome run_fixture(CMFixtureFunction fixture, void **state, const char *name, const char *which)
{
    outcome how = fixture != NULL ? run_function(NULL, fixture, state) : WENT_WELL;

    if (how == FAILED)
        print_error("%s: %s failed\n", name, which);
    return how;
}

/* $STANDIN_SKIP: names of tests, with a space before and behind each. */
static bool is_left_out(const char *name)
{
    const char *names = getenv("STANDIN_SKIP");
    size_t size = strlen(name);

    for (; names != NULL && (names = strstr(names, name)) != NULL; names++)
        if (names[-1] == ' ' && names[size] == ' ')
            return true;
    return false;
}

static outcome run_test(const struct CMUnitTest *t, void *group_state)
{
    void *state = t->initial_state != NULL ? t->initial_state : group_state;
    outcome how = SKIPPED, after;

    print_message("[ RUN      ] %s\n", t->name);
    if (!is_left_out(t->name))
        how = run_fixture(t->setup_func, &state, t->name, "its setup");
    if (how == WENT_WELL) {
        how = run_function(t->test_func, NULL, &state);
        after = run_fixture(t->teardown_func, &state, t->name, "its teardown");
        how = after == FAILED ? FAILED : how;
    }
    print_message("%s %s\n", outcomes[how], t->name);
    return how;
}

int standin_run(const char *group, const struct CMUnitTest *tests, size_t count, CMFixtureFunction setup,
                CMFixtureFunction teardown)
{
    unsigned counts[FAILED + 1] = {0};
    void *state = NULL;

    print_message("[==========] %s: running %zu test(s)\n", group, count);
    if (run_fixture(setup, &state, group, "the group's setup") != WENT_WELL)
        return (int)count;
    for (size_t i = 0; i < count; i++)
        counts[run_test(&tests[i], state)]++;
    if (run_fixture(teardown, &state, group, "the group's teardown") == FAILED)
        counts[FAILED]++;
    print_message("[==========] %s: %u passed, %u skipped, %u failed\n", group, counts[WENT_WELL], counts[SKIPPED],
                  counts[FAILED]);
    return (int)counts[FAILED];
}
