/* test_cli_input.c - a file that is read while somebody writes it: the reader is told. A file of the command is compiled
 * in here, and its reads are waited upon by the link (see CMakeLists.txt): no chance decides when the writer comes. */
#include "cli/cli.h"
#include "command.h"
#include "testutil.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void (*before_read)(void); /* once, before the next read */

ssize_t __real_read(int fd, void *bytes, size_t size);
ssize_t __wrap_read(int fd, void *bytes, size_t size);
ssize_t __wrap_read(int fd, void *bytes, size_t size)
{
    void (*hook)(void) = before_read;

    before_read = NULL;
    if (hook != NULL)
        hook();
    return __real_read(fd, bytes, size);
}

static void set_time(time_t seconds)
{
    const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};

    assert_int_equal(utimensat(AT_FDCWD, "f", times, 0), 0);
}

static void nobody(void) {}

static void grow(void)
{
    file_text("f", "abcdef");
    set_time(1000);
}

static void shrink(void)
{
    assert_int_equal(truncate("f", 1), 0);
    set_time(1000);
}

static void rewrite(void)
{
    file_text("f", "xyz");
    set_time(1001);
}

static void replace(void)
{
    file_text("g", "other");
    assert_int_equal(rename("g", "f"), 0);
}

static void read_while(void (*hook)(void), bool changed, const char *want)
{
    blob_ctx *ctx;
    cli_input in;

    test_ok(blob_ctx_new(&ctx, NULL));
    file_text("f", "abc");
    set_time(1000);
    before_read = hook;
    test_ok(cli_read_file(ctx, "f", true, &in));
    assert_true(before_read == NULL);
    assert_int_equal(in.size, strlen(want));
    assert_memory_equal(in.data, want, in.size);
    assert_int_equal(in.changed, changed);
    free(in.data);
    blob_ctx_free(ctx);
}

static void a_file_that_changes_while_it_is_read_is_told(void **state)
{
    (void)state;
    read_while(nobody, false, "abc");
    read_while(grow, true, "abcdef");
    read_while(shrink, true, "a");
    read_while(rewrite, true, "xyz");
    read_while(replace, false, "abc"); /* the one that was opened is still what it was */
}

static void a_link_is_followed_only_where_wanted(void **state)
{
    blob_ctx *ctx;
    cli_input in;

    (void)state;
    test_ok(blob_ctx_new(&ctx, NULL));
    file_text("f", "abc");
    assert_int_equal(symlink("f", "link"), 0);
    test_ok(cli_read_file(ctx, "link", true, &in));
    free(in.data);
    assert_int_equal(cli_read_file(ctx, "link", false, &in), -ELOOP);
    assert_null(in.data);
    blob_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE(a_file_that_changes_while_it_is_read_is_told),
        PROMISE(a_link_is_followed_only_where_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
