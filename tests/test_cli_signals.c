/* test_cli_signals.c - Ctrl-C and SIGTERM: what was accepted stays, and it says so. And the progress bar on a
 * terminal. */
#include "command.h"
#include "testutil.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wbstore/wbstore.h>

/* The signal comes when one blob is accepted and standard input, held open, keeps the second from being one. */
static void interrupted_between_two_blobs(int signal, int want, bool sync)
{
    command_end end = {0};
    siginfo_t info;
    char line[256];
    command c;

    file_text("f", "abc");
    if (sync)
        START(&c, "put", "f", "-", "g");
    else
        START(&c, "put", "--no-sync", "f", "-", "g");
    command_read_line(&c, line, sizeof line);
    assert_memory_equal(line, address_of("abc"), 64);
    assert_int_equal(write(c.in, "half a blob", 11), 11);
    assert_int_equal(kill(c.pid, signal), 0);
    assert_int_equal(waitid(P_PID, (id_t)c.pid, &info, WEXITED | WNOWAIT), 0); /* with the input still open */
    command_finish(&c, &end);
    EXPECT(&end, want);
    assert_string_equal(end.out, ""); /* no line for the half blob */
    SAYS(&end, "wbstore: put: stopped: - and 1 more were not put");
    if (!sync)
        SAYS(&end, of_buffer("wbstore: put: interrupted: 1 blob waits in the buffer ", ": `wbstore sync` sends it"));
    else
        SAYS(&end, "wbstore: put: interrupted: ");
    RUN(&end, "get", address_of("abc"));
    EXPECT(&end, 0);
    assert_string_equal(end.out, "abc");
    RUN(&end, "sync");
    EXPECT(&end, 0);
    assert_true(file_exists(file_of("base", "abc")));
    assert_int_equal(blobs_in("base"), 1);
    command_end_free(&end);
}

static void an_interrupted_put_keeps_what_was_accepted(void **state)
{
    (void)state;
    interrupted_between_two_blobs(SIGINT, 130, false);
}

static void a_terminated_put_keeps_what_was_accepted(void **state)
{
    (void)state;
    interrupted_between_two_blobs(SIGTERM, 143, false);
}

static void an_interrupted_put_that_sends_keeps_what_was_accepted(void **state)
{
    (void)state;
    interrupted_between_two_blobs(SIGINT, 130, true);
}

/* The base refuses; the command says that it goes on trying; then the signal comes. */
static void an_interrupted_drain_says_what_waits(void **state)
{
    char seen[4096] = "";
    command_end end = {0};
    command c;

    (void)state;
    file_text("f", "abc");
    block_base("abc");
    START(&c, "put", "f");
    command_read_until(c.err, "still trying; Ctrl-C stops", seen, sizeof seen);
    assert_int_equal(kill(c.pid, SIGINT), 0);
    command_finish(&c, &end);
    EXPECT(&end, 130);
    SAYS(&end, of_buffer("interrupted: 1 blob waits in the buffer ", ": `wbstore sync` sends it"));

    START(&c, "sync");
    seen[0] = '\0';
    command_read_until(c.err, "still trying; Ctrl-C stops", seen, sizeof seen);
    assert_int_equal(kill(c.pid, SIGTERM), 0);
    command_finish(&c, &end);
    EXPECT(&end, 143);
    SAYS(&end, of_buffer("wbstore: sync: interrupted: 1 blob waits in the buffer ", ""));
    assert_int_equal(blobs_in("buffer"), 1);
    command_end_free(&end);
}

/* A job of a script that ignores Ctrl-C, as nohup and & make it, goes on. */
static void an_ignored_signal_stays_ignored(void **state)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    command_end end = {0};
    char line[256];
    command c;

    (void)state;
    file_text("f", "abc");
    assert_int_equal(sigaction(SIGINT, &ignore, &before), 0);
    START(&c, "put", "f", "-");
    assert_int_equal(sigaction(SIGINT, &before, NULL), 0);
    command_read_line(&c, line, sizeof line);
    assert_int_equal(kill(c.pid, SIGINT), 0);
    assert_int_equal(write(c.in, "xyz", 3), 3);
    command_finish(&c, &end);
    EXPECT(&end, 0);
    assert_true(file_exists(file_of("base", "xyz")));
    command_end_free(&end);
}

/* What the terminal got until the command ended. A terminal without a writer reads as an error. */
static void read_terminal(int fd, char *seen, size_t room)
{
    size_t used = strlen(seen);

    for (;;) {
        ssize_t got = read(fd, seen + used, room - used - 1);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        used += (size_t)got;
        assert_true(used + 1 < room);
    }
    seen[used] = '\0';
}

static void open_terminal(int *master, int *slave)
{
    *master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(*master >= 0);
    assert_int_equal(grantpt(*master), 0);
    assert_int_equal(unlockpt(*master), 0);
    *slave = open(ptsname(*master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(*slave >= 0);
}

static void a_terminal_sees_a_bar_and_what_was_sent(void **state)
{
    char seen[65536] = "";
    command_end end = {0};
    int master, slave;
    command c;

    (void)state;
    file_text("f", "abc");
    file_text("g", "xyz");
    open_terminal(&master, &slave);
    command_start(&c, COMMAND_PIPE, COMMAND_PIPE, slave, (const char *const[]){"put", "f", "g", NULL});
    close(slave);
    command_finish(&c, &end);
    EXPECT(&end, 0);
    read_terminal(master, seen, sizeof seen);
    close(master);
    assert_non_null(strstr(seen, "\r["));
    assert_non_null(strstr(seen, " to go"));
    assert_non_null(strstr(seen, "\rsent 2 blobs"));
    assert_int_equal(seen[strlen(seen) - 1], '\n'); /* the prompt comes on a line of its own */
    assert_null(strchr(strstr(seen, "\rsent 2 blobs") + 1, '['));
    assert_int_equal(end.out_size, 2 * (strlen("  f\n") + 64)); /* and the bar is not in the output */
    command_end_free(&end);
}

/* A put of two blobs that the base refuses, with its errors on a terminal. The bar is on it when this returns. */
static void start_blocked(command *c, int *master, char *seen, size_t room)
{
    static const char message[] = "wbstore: put: the base does not answer";
    char *at;
    int slave;

    file_text("f", "abc");
    file_text("g", "xyz");
    block_base("abc");
    block_base("xyz");
    open_terminal(master, &slave);
    command_start(c, COMMAND_PIPE, COMMAND_PIPE, slave, (const char *const[]){"put", "f", "g", NULL});
    close(slave);
    command_read_until(*master, message, seen, room);
    at = strstr(seen, message);
    command_read_until(*master, "2 blobs, 6 bytes to go", at,
                       room - (size_t)(at - seen)); /* drawn again after the message */
}

static void a_bar_makes_way_for_messages(void **state)
{
    static const char message[] = "wbstore: put: the base is back";
    char seen[65536] = "", *at;
    command_end end = {0};
    int master;
    command c;

    (void)state;
    start_blocked(&c, &master, seen, sizeof seen);
    unblock_base("xyz"); /* the other keeps the bar on the screen */
    command_read_until(master, message, seen, sizeof seen);
    unblock_base("abc");
    command_finish(&c, &end);
    EXPECT(&end, 0);
    read_terminal(master, seen, sizeof seen);
    close(master);
    at = strstr(seen, message);
    assert_int_equal(at[-1], '\r');
    assert_non_null(strstr(at, "\rsent 2 blobs"));
    command_end_free(&end);
}

static void an_interrupted_bar_leaves_nothing_behind(void **state)
{
    char seen[65536] = "", *at;
    command_end end = {0};
    int master;
    command c;

    (void)state;
    start_blocked(&c, &master, seen, sizeof seen);
    assert_int_equal(kill(c.pid, SIGINT), 0);
    command_finish(&c, &end);
    EXPECT(&end, 130);
    read_terminal(master, seen, sizeof seen);
    close(master);
    at = strstr(seen, "wbstore: put: interrupted: 2 blobs wait");
    assert_non_null(at);
    assert_int_equal(at[-1], '\r');
    assert_null(strstr(seen, "sent "));
    assert_null(strstr(at, " to go"));
    command_end_free(&end);
}

static void what_is_no_terminal_sees_no_bar(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    RUN(&end, "put", "f");
    EXPECT(&end, 0);
    assert_string_equal(end.err, "");
    command_end_free(&end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE_BOTH(an_interrupted_put_keeps_what_was_accepted),
        PROMISE_BOTH(a_terminated_put_keeps_what_was_accepted),
        PROMISE_BOTH(an_interrupted_put_that_sends_keeps_what_was_accepted),
        PROMISE_BOTH(an_interrupted_drain_says_what_waits),
        PROMISE_BOTH(an_ignored_signal_stays_ignored),
        PROMISE(a_terminal_sees_a_bar_and_what_was_sent),
        PROMISE(a_bar_makes_way_for_messages),
        PROMISE(an_interrupted_bar_leaves_nothing_behind),
        PROMISE(what_is_no_terminal_sees_no_bar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
