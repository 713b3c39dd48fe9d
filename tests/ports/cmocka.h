/* cmocka.h - as much of cmocka as the tests use, for machines that no cmocka is packaged for: other C libraries, 32
 * bits, emulated processors. Used with -DWBSTORE_TEST_STANDIN=ON; elsewhere the tests use the real one. The names and
 * their meanings are cmocka's; the code is our own. Nothing here may be called but on the thread that runs the tests. */
#ifndef WB_PORTS_CMOCKA_H
#define WB_PORTS_CMOCKA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void (*CMUnitTestFunction)(void **state);
typedef int (*CMFixtureFunction)(void **state); /* not 0: it failed */

struct CMUnitTest {
    const char *name;
    CMUnitTestFunction test_func;
    CMFixtureFunction setup_func, teardown_func; /* NULL: none */
    void *initial_state;                         /* what *state is at first; NULL: what the group's setup left there */
};

/* clang-format off */
#define cmocka_unit_test(f) {#f, f, NULL, NULL, NULL}
#define cmocka_unit_test_setup(f, setup) {#f, f, setup, NULL, NULL}
#define cmocka_unit_test_teardown(f, teardown) {#f, f, NULL, teardown, NULL}
#define cmocka_unit_test_setup_teardown(f, setup, teardown) {#f, f, setup, teardown, NULL}
#define cmocka_unit_test_prestate(f, state) {#f, f, NULL, NULL, state}
#define cmocka_unit_test_prestate_setup_teardown(f, setup, teardown, state) {#f, f, setup, teardown, state}

#define cmocka_run_group_tests(tests, setup, teardown) \
    standin_run(#tests, tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)
#define cmocka_run_group_tests_name(name, tests, setup, teardown) \
    standin_run(name, tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)
/* clang-format on */

/* How many failed. */
int standin_run(const char *group, const struct CMUnitTest *tests, size_t count, CMFixtureFunction setup,
                CMFixtureFunction teardown);

#if defined(__GNUC__)
#define STANDIN_FORMAT(text, args) __attribute__((format(printf, text, args)))
#define STANDIN_NORETURN __attribute__((noreturn))
#else
#define STANDIN_FORMAT(text, args)
#define STANDIN_NORETURN
#endif

void print_message(const char *format, ...) STANDIN_FORMAT(1, 2);
void print_error(const char *format, ...) STANDIN_FORMAT(1, 2);

/* These end the test. */
void standin_skip(const char *file, int line) STANDIN_NORETURN;
void standin_fail(const char *file, int line, const char *format, ...) STANDIN_FORMAT(3, 4) STANDIN_NORETURN;

#define skip() standin_skip(__FILE__, __LINE__)
#define fail() standin_fail(__FILE__, __LINE__, "%s", "fail()")
#define _fail(file, line) standin_fail(file, line, "%s", "see above") /* cmocka's own: where a helper was called */
#define fail_msg(...) standin_fail(__FILE__, __LINE__, __VA_ARGS__)

/* These do so unless it holds. */
void standin_true(const char *file, int line, bool holds, const char *what);
void standin_integers(const char *file, int line, uintmax_t left, uintmax_t right, bool equal, const char *what);
void standin_range(const char *file, int line, uintmax_t value, uintmax_t least, uintmax_t most, const char *what);
void standin_strings(const char *file, int line, const char *left, const char *right, bool equal, const char *what);
void standin_memory(const char *file, int line, const void *left, const void *right, size_t size, bool equal,
                    const char *what);

#define assert_true(c) standin_true(__FILE__, __LINE__, (bool)(c), #c)
#define assert_false(c) standin_true(__FILE__, __LINE__, !(c), "!(" #c ")")
#define assert_null(p) standin_true(__FILE__, __LINE__, (p) == NULL, #p " == NULL")
#define assert_non_null(p) standin_true(__FILE__, __LINE__, (p) != NULL, #p " != NULL")
#define assert_ptr_equal(a, b) standin_integers(__FILE__, __LINE__, (uintptr_t)(a), (uintptr_t)(b), true, #a " == " #b)
#define assert_ptr_not_equal(a, b)                                                                                     \
    standin_integers(__FILE__, __LINE__, (uintptr_t)(a), (uintptr_t)(b), false, #a " != " #b)
#define assert_int_equal(a, b) standin_integers(__FILE__, __LINE__, (uintmax_t)(a), (uintmax_t)(b), true, #a " == " #b)
#define assert_int_not_equal(a, b)                                                                                     \
    standin_integers(__FILE__, __LINE__, (uintmax_t)(a), (uintmax_t)(b), false, #a " != " #b)
#define assert_in_range(value, least, most)                                                                            \
    standin_range(__FILE__, __LINE__, (uintmax_t)(value), (uintmax_t)(least), (uintmax_t)(most),                       \
                  #value " in " #least " to " #most)
#define assert_string_equal(a, b) standin_strings(__FILE__, __LINE__, a, b, true, #a " == " #b)
#define assert_string_not_equal(a, b) standin_strings(__FILE__, __LINE__, a, b, false, #a " != " #b)
#define assert_memory_equal(a, b, size) standin_memory(__FILE__, __LINE__, a, b, size, true, #a " == " #b)
#define assert_memory_not_equal(a, b, size) standin_memory(__FILE__, __LINE__, a, b, size, false, #a " != " #b)

#endif
