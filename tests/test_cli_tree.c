/* test_cli_tree.c - put -r: every file of a tree, in order; what is skipped and why is said; a tree that others work on
 * meanwhile is told as such, and loses no other file. */
#include "command.h"
#include "testutil.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wbstore/stores.h>

static void folder_make(const char *name)
{
    assert_int_equal(mkdir(name, 0777), 0);
}

/* The line of a blob that is this text. */
static const char *line_of(const char *text, const char *name)
{
    static char line[512];

    snprintf(line, sizeof line, "%s  %s\n", address_of(text), name);
    return line;
}

/* Splits the line off *at. */
static void expect_line(char **at, const char *text, const char *name)
{
    const char *want = line_of(text, name);

    if (strncmp(*at, want, strlen(want)) != 0)
        print_error("not %s-- but:\n%s\n", want, *at);
    assert_int_equal(strncmp(*at, want, strlen(want)), 0);
    *at += strlen(want);
}

static void every_file_of_a_tree_is_put_in_order(void **state)
{
    command_end end = {0};
    char *at;

    (void)state;
    folder_make("t");
    folder_make("t/b");
    folder_make("t/b/deep");
    folder_make("t/empty");
    file_text("t/c", "ccc");
    file_text("t/a", "aaa");
    file_text("t/b/deep/x", "xxx");
    file_text("t/b/new\nline", "nnn");
    file_text("t/b/.hidden", "");
    file_text("other", "ooo");
    RUN(&end, "put", "-r", "t", "other");
    EXPECT(&end, 0);
    assert_string_equal(end.err, "");
    at = end.out;
    expect_line(&at, "aaa", "t/a");
    expect_line(&at, "", "t/b/.hidden");
    expect_line(&at, "xxx", "t/b/deep/x");
    assert_int_equal(*at, '\\'); /* as sha256sum marks an escaped name */
    at++;
    expect_line(&at, "nnn", "t/b/new\\nline");
    expect_line(&at, "ccc", "t/c");
    expect_line(&at, "ooo", "other");
    assert_string_equal(at, "");
    assert_int_equal(blobs_in("base"), 6);
    RUN(&end, "put", "--recursive", "--no-sync", "t/b/");
    EXPECT(&end, 0);
    at = end.out;
    expect_line(&at, "", "t/b/.hidden"); /* no second slash */
    RUN(&end, "put", "-r", "t/empty");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "");
    command_end_free(&end);
}

static void without_r_a_folder_is_an_error_that_names_r(void **state)
{
    command_end end = {0};

    (void)state;
    folder_make("t");
    file_text("t/a", "aaa");
    RUN(&end, "put", "t");
    EXPECT(&end, 3);
    SAYS(&end, "wbstore: put: t: Is a directory: put -r puts all files in it");
    assert_int_equal(blobs_in("base"), 0);
    command_end_free(&end);
}

static void make_socket(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", name);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    close(fd);
}

static void links_and_special_files_are_skipped_and_named(void **state)
{
    command_end end = {0};

    (void)state;
    folder_make("t");
    folder_make("elsewhere");
    file_text("elsewhere/e", "eee");
    file_text("t/a", "aaa");
    assert_int_equal(symlink("a", "t/link"), 0);
    assert_int_equal(symlink("../elsewhere", "t/folder"), 0);
    assert_int_equal(symlink(".", "t/circle"), 0);
    assert_int_equal(symlink("nowhere", "t/dangling"), 0);
    assert_int_equal(mkfifo("t/fifo", 0666), 0); /* opened, it would be waited for without end */
    make_socket("t/socket");
    RUN(&end, "put", "-r", "t");
    EXPECT(&end, 0);
    assert_string_equal(end.out, line_of("aaa", "t/a"));
    SAYS(&end, "wbstore: put: t/link: skipped: a symbolic link\n");
    SAYS(&end, "wbstore: put: t/folder: skipped: a symbolic link\n");
    SAYS(&end, "wbstore: put: t/circle: skipped: a symbolic link\n");
    SAYS(&end, "wbstore: put: t/dangling: skipped: a symbolic link\n");
    SAYS(&end, "wbstore: put: t/fifo: skipped: a FIFO\n");
    SAYS(&end, "wbstore: put: t/socket: skipped: a socket\n");
    /* What the user named himself he means. */
    RUN(&end, "put", "-r", "t/folder", "t/link");
    EXPECT(&end, 0);
    assert_int_equal(strncmp(end.out, line_of("eee", "t/folder/e"), 64), 0);
    assert_non_null(strstr(end.out, line_of("aaa", "t/link")));
    command_end_free(&end);
}

static void buffer_and_base_in_the_tree_are_skipped(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    RUN(&end, "put", "-r", "f", ".");
    EXPECT(&end, 0);
    SAYS(&end, "wbstore: put: ./base: skipped: it is the buffer or the base itself");
    SAYS(&end, "wbstore: put: ./buffer: skipped: it is the buffer or the base itself");
    assert_non_null(strstr(end.out, line_of("abc", "./f")));
    assert_int_equal(blobs_in("base"), 1);
    command_end_free(&end);
}

/* Its files would be put again under new names, with every run more of them. */
static void a_base_that_is_not_opened_is_skipped_too(void **state)
{
    blob_store *host = NULL;
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    RUN(&end, "put", "f");
    EXPECT(&end, 0);
    RUN(&end, "put", "-r", "--no-sync", ".");
    EXPECT(&end, 0);
    SAYS(&end, "wbstore: put: ./base: skipped: it is the buffer or the base itself");
    assert_string_equal(end.out, line_of("abc", "./f"));
    RUN(&end, "put", "-r", "--no-sync", "--base=file:./base/", ".");
    EXPECT(&end, 0);
    assert_string_equal(end.out, line_of("abc", "./f"));
    RUN(&end, "put", "-r", "--no-sync", "--base=s3://base", "buffer/../f"); /* no folder, nor asked for anything */
    EXPECT(&end, 0);
    test_ok(blob_filestore_open(&host, "base", NULL));
    RUN(&end, "put", "-r", ".");
    EXPECT(&end, 4);
    SAYS(&end, "wbstore: put: ./base: skipped: it is the buffer or the base itself");
    assert_string_equal(end.out, line_of("abc", "./f"));
    test_ok(blob_store_close(host, NULL));
    command_end_free(&end);
}

/* Deeper than a process may have files open, and wider than a page of names. */
static void a_big_tree_is_put_whole(void **state)
{
    struct rlimit few = {.rlim_cur = 64}, before;
    char path[2048] = "t";
    command_end end = {0};
    size_t lines = 0;
    command c;

    (void)state;
    folder_make(path);
    for (unsigned i = 0; i < 300; i++) {
        char name[64];

        snprintf(name, sizeof name, "t/wide%03u", i);
        file_text(name, name);
    }
    for (unsigned i = 0; i < 400; i++) {
        size_t used = strlen(path);

        snprintf(path + used, sizeof path - used, "/d");
        folder_make(path);
    }
    snprintf(path + strlen(path), sizeof path - strlen(path), "/f");
    file_text(path, "at the bottom");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    START(&c, "put", "--no-sync", "-r", "t");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    command_finish(&c, &end);
    EXPECT(&end, 0);
    assert_string_equal(end.err, "");
    for (const char *at = end.out; *at != '\0'; at++)
        lines += *at == '\n';
    assert_int_equal(lines, 301);
    assert_int_equal(blobs_in("buffer"), 301);
    assert_non_null(strstr(end.out, address_of("at the bottom")));
    command_end_free(&end);
}

/* Deeper than a path reaches: there every user fails, root too. */
static void a_folder_that_cannot_be_read_is_named_and_the_others_are_put(void **state)
{
    int folders[21] = {-1};
    command_end end = {0};
    char name[251] = "";

    (void)state;
    memset(name, 'd', 250);
    folder_make("t");
    file_text("t/a", "aaa");
    file_text("t/z", "zzz");
    folder_make("t/long");
    folders[0] = open("t/long", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(mkdirat(folders[i], name, 0777), 0);
        folders[i + 1] = openat(folders[i], name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(folders[i + 1] >= 0);
    }
    RUN(&end, "put", "-r", "t");
    for (size_t i = 20; i > 0; i--) {
        assert_int_equal(unlinkat(folders[i - 1], name, AT_REMOVEDIR), 0);
        close(folders[i]);
    }
    close(folders[0]);
    EXPECT(&end, 3);
    SAYS(&end, ": File name too long: what is in it was not put");
    assert_non_null(strstr(end.out, line_of("aaa", "t/a")));
    assert_non_null(strstr(end.out, line_of("zzz", "t/z")));
    assert_int_equal(blobs_in("base"), 2);
    command_end_free(&end);
}

/* A put -r whose lines nobody reads stands in the midst of a tree: the list of names is made, and the last of them are
 * not yet looked at. Returns our end of its output, which holds a page. */
#define TREE_FILES 60
static int start_standing(command *c)
{
    const int line = 64 + 2 + 202 + 1;
    int ends[2], there = 0;
    char name[260];

    folder_make("t");
    for (int i = 0; i < TREE_FILES; i++) {
        snprintf(name, sizeof name, "t/%0200d", i);
        file_text(name, name + 190);
    }
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
    command_start(c, COMMAND_PIPE, ends[1], COMMAND_PIPE,
                  (const char *const[]){"put", "--no-sync", "-r", "t", "after", NULL});
    close(ends[1]);
    while (there + line <= 4096) {
        assert_true(poll(NULL, 0, 1) >= 0);
        assert_int_equal(ioctl(ends[0], FIONREAD, &there), 0);
    }
    return ends[0];
}

static size_t count_lines(int fd)
{
    char text[4096];
    size_t lines = 0;
    ssize_t got;

    while ((got = read(fd, text, sizeof text)) > 0 || (got < 0 && errno == EINTR))
        for (ssize_t i = 0; i < got; i++)
            lines += text[i] == '\n';
    close(fd);
    return lines;
}

static void what_vanishes_meanwhile_is_named_and_the_others_are_put(void **state)
{
    char name[260], want[512];
    command_end end = {0};
    command c;
    int out;

    (void)state;
    file_text("after", "after");
    out = start_standing(&c);
    snprintf(name, sizeof name, "t/%0200d", TREE_FILES - 1);
    assert_int_equal(unlink(name), 0);
    assert_int_equal(count_lines(out), TREE_FILES - 1 + 1);
    command_finish(&c, &end);
    EXPECT(&end, 1);
    snprintf(want, sizeof want, "wbstore: put: %s: vanished before it could be read: it was not put\n", name);
    SAYS(&end, want);
    assert_int_equal(blobs_in("buffer"), TREE_FILES);
    command_end_free(&end);
}

/* A link in its place would lead elsewhere: to what was never meant. */
static void a_file_that_becomes_a_link_is_not_followed(void **state)
{
    command_end end = {0};
    char name[260];
    command c;
    int out;

    (void)state;
    file_text("after", "after");
    file_text("secret", "never meant");
    out = start_standing(&c);
    snprintf(name, sizeof name, "t/%0200d", TREE_FILES - 1);
    assert_int_equal(unlink(name), 0);
    assert_int_equal(symlink("../secret", name), 0);
    assert_int_equal(count_lines(out), TREE_FILES - 1 + 1);
    command_finish(&c, &end);
    EXPECT(&end, 0);
    SAYS(&end, ": skipped: a symbolic link");
    command_end_free(&end);
}

static void ctrl_c_in_a_tree_keeps_what_was_accepted_and_says_so(void **state)
{
    command_end end = {0};
    siginfo_t info;
    size_t lines;
    command c;
    int out;

    (void)state;
    file_text("after", "after");
    out = start_standing(&c);
    assert_int_equal(kill(c.pid, SIGINT), 0);
    lines = count_lines(out);
    assert_int_equal(waitid(P_PID, (id_t)c.pid, &info, WEXITED | WNOWAIT), 0);
    command_finish(&c, &end);
    EXPECT(&end, 130);
    assert_true(lines > 0);
    assert_true(blobs_in("buffer") >= lines); /* what was under way may be there without a line */
    SAYS(&end, "wbstore: put: stopped: not all of t was put\n");
    SAYS(&end, "wbstore: put: stopped: after was not put\n");
    SAYS(&end, "wbstore: put: interrupted: ");
    SAYS(&end, of_buffer("in the buffer ", ": `wbstore sync` sends them"));
    command_end_free(&end);
}

static void a_reader_that_goes_away_ends_the_walk(void **state)
{
    command_end end = {0};
    command c;

    (void)state;
    file_text("after", "after");
    close(start_standing(&c));
    command_finish(&c, &end);
    EXPECT(&end, 3);
    SAYS(&end, "wbstore: put: standard output: Broken pipe");
    SAYS(&end, "wbstore: put: stopped: not all of t was put\n");
    SAYS(&end, "wbstore: put: stopped: after was not put\n");
    assert_true(blobs_in("buffer") > 0);
    command_end_free(&end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE_BOTH(every_file_of_a_tree_is_put_in_order),
        PROMISE(without_r_a_folder_is_an_error_that_names_r),
        PROMISE(links_and_special_files_are_skipped_and_named),
        PROMISE_BOTH(buffer_and_base_in_the_tree_are_skipped),
        PROMISE_BOTH(a_base_that_is_not_opened_is_skipped_too),
        PROMISE(a_big_tree_is_put_whole),
        PROMISE(a_folder_that_cannot_be_read_is_named_and_the_others_are_put),
        PROMISE(what_vanishes_meanwhile_is_named_and_the_others_are_put),
        PROMISE(a_file_that_becomes_a_link_is_not_followed),
        PROMISE_BOTH(ctrl_c_in_a_tree_keeps_what_was_accepted_and_says_so),
        PROMISE(a_reader_that_goes_away_ends_the_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
