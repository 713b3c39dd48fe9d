/* test_world_command.c - the command and the world outside, as a user sees it: full disks, folders that may not be written
 * to, things of others, a killed command. It says what and where and what to do; what it accepted is not lost; and it goes
 * on by itself when the cause is gone. */
#include "command.h"
#include "testutil.h"
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Everybody may write to the test's folder; and the command is nobody, for whom permissions bind. */
static void as_nobody(void)
{
    assert_int_equal(chmod(".", 0777), 0);
    umask(0);
    command_user = WORLD_NOBODY;
}

static int tear_down(void **state)
{
    umask(022);
    command_user = 0;
    return command_teardown(state);
}

static void make_big_file(const char *name)
{
    static char bytes[100000];

    test_fill(7, bytes, sizeof bytes);
    file_make(name, bytes, sizeof bytes);
}

static void a_full_buffer_is_3_and_names_the_folder_until_it_is_emptied(void **state)
{
    command_end end = {0};

    (void)state;
    if (!world_disk("disk", 1 << 20))
        skip();
    make_big_file("big");
    file_text("small", "abc");
    RUN(&end, "put", "--no-sync", "--buffer=file:disk/buffer", "small");
    EXPECT(&end, 0);
    world_fill("disk");
    RUN(&end, "put", "--no-sync", "--buffer=file:disk/buffer", "big");
    EXPECT(&end, 3);
    assert_string_equal(end.out, "");
    SAYS(&end, "wbstore: put: big: No space left on device");
    SAYS(&end, "disk/buffer");
    SAYS(&end, "make room there");
    RUN(&end, "put", "--no-sync", "--buffer=log:disk/log", "big"); /* of a log, too */
    EXPECT(&end, 3);
    SAYS(&end, "wbstore: put: big: No space left on device");
    SAYS(&end, "disk/log");
    RUN(&end, "sync", "--buffer=file:disk/buffer"); /* it can be emptied all the same */
    EXPECT(&end, 0);
    assert_int_equal(blobs_in("base"), 1);
    world_empty("disk");
    RUN(&end, "put", "--no-sync", "--buffer=file:disk/buffer", "big");
    EXPECT(&end, 0);
    world_disk_end("disk");
    command_end_free(&end);
}

static void a_full_base_is_named_and_a_put_goes_on_by_itself_once_it_is_emptied(void **state)
{
    char seen[4096] = "";
    command_end end = {0};
    command c;

    (void)state;
    if (!world_disk("disk", 1 << 20))
        skip();
    world_fill("disk");
    make_big_file("big");
    START(&c, "put", "--base=file:disk/base", "big");
    command_read_until(c.err, "still trying; Ctrl-C stops", seen, sizeof seen);
    assert_non_null(strstr(seen, "disk/base"));
    assert_non_null(strstr(seen, "No space left on device"));
    assert_non_null(strstr(seen, "free space"));
    world_empty("disk");
    command_finish(&c, &end);
    EXPECT(&end, 0);
    SAYS(&end, "wbstore: put: the base is back");
    assert_int_equal(blobs_in("buffer"), 0);
    world_disk_end("disk");
    command_end_free(&end);
}

#define BIG_FILES 12

/* A buffer on a small disk, a base on a full one, and more files than the buffer has room for: names after a verb. */
static void small_buffer_full_base(const char **args)
{
    static char names[BIG_FILES][8];
    static char bytes[100000];

    if (!world_disk("disk", 1 << 20) || !world_disk("full", 4 << 20))
        skip();
    world_fill("full");
    args[0] = "put";
    args[1] = "--buffer=file:disk/buffer";
    args[2] = "--base=file:full/base";
    for (unsigned i = 0; i < BIG_FILES; i++) {
        snprintf(names[i], sizeof names[i], "big%u", i);
        test_fill(i, bytes, sizeof bytes);
        file_make(names[i], bytes, sizeof bytes);
        args[3 + i] = names[i];
    }
}

static size_t count_lines(const char *text)
{
    size_t lines = 0;

    for (; *text != '\0'; text++)
        lines += *text == '\n';
    return lines;
}

static void a_full_buffer_is_waited_for_no_longer_than_the_timeout(void **state)
{
    const char *args[3 + BIG_FILES + 2] = {NULL};
    command_end end = {0};
    size_t lines;

    (void)state;
    small_buffer_full_base(args);
    args[3 + BIG_FILES] = "--timeout=0.1";
    command_run(&end, NULL, 0, args);
    EXPECT(&end, 3);
    SAYS(&end, "wbstore: put: big11: full (");
    SAYS(&end, "disk/buffer");
    SAYS(&end, "make room there");
    lines = count_lines(end.out);
    assert_true(lines > 0 && lines < BIG_FILES);
    assert_int_equal(blobs_in("disk/buffer"), lines); /* and no other was promised */
    SAYS(&end, "blobs wait in the buffer file:disk/buffer: `wbstore sync` sends them");

    world_empty("full"); /* from here on the base makes room */
    args[3 + BIG_FILES] = NULL;
    command_run(&end, NULL, 0, args);
    EXPECT(&end, 0);
    assert_int_equal(count_lines(end.out), BIG_FILES);
    assert_int_equal(blobs_in("disk/buffer"), 0);
    world_disk_end("disk");
    world_disk_end("full");
    command_end_free(&end);
}

static void a_put_that_waits_for_room_goes_on_once_somebody_else_has_made_some(void **state)
{
    const char *args[3 + BIG_FILES + 2] = {NULL};
    char line[256], seen[4096] = "";
    command_end end = {0};
    command c;

    (void)state;
    small_buffer_full_base(args);
    RUN(&end, "put", "--no-sync", args[1], "big0");
    EXPECT(&end, 0);
    world_fill("disk");
    START(&c, "put", args[1], args[2], "big1");
    command_read_until(c.err, "still trying; Ctrl-C stops", seen, sizeof seen);
    world_empty("disk");
    command_read_line(&c, line, sizeof line);
    assert_non_null(strstr(line, "  big1"));
    assert_int_equal(kill(c.pid, SIGINT), 0);
    command_finish(&c, &end);
    EXPECT(&end, 130);
    assert_int_equal(blobs_in("disk/buffer"), 2);
    world_disk_end("disk");
    world_disk_end("full");
    command_end_free(&end);
}

static void a_buffer_that_may_not_be_written_is_3_and_names_the_folder_until_it_may(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    as_nobody();
    RUN(&end, "put", "--no-sync", "f");
    EXPECT(&end, 0);
    assert_int_equal(chmod("buffer", 0), 0);
    RUN(&end, "put", "--no-sync", "f");
    EXPECT(&end, 3);
    SAYS(&end, of_buffer("wbstore: put: ", ": access refused by the store"));
    SAYS(&end, "right to");
    assert_int_equal(chmod("buffer", 0755), 0);
    RUN(&end, "put", "--no-sync", "f");
    EXPECT(&end, 0);
    command_end_free(&end);
}

static void a_disk_that_is_read_only_is_3_and_names_it_until_it_is_not(void **state)
{
    command_end end = {0};

    (void)state;
    if (!world_disk("disk", 8 << 20))
        skip();
    file_text("f", "abc");
    RUN(&end, "put", "--buffer=file:disk/files", "--no-sync", "f");
    EXPECT(&end, 0);
    world_disk_read_only("disk", true);
    RUN(&end, "put", "--buffer=file:disk/files", "--no-sync", "f");
    EXPECT(&end, 3);
    SAYS(&end, "wbstore: put: file:disk/files: access refused by the store");
    SAYS(&end, "make the file system writable");
    RUN(&end, "put", "--buffer=log:disk/log", "--no-sync", "f");
    EXPECT(&end, 3);
    SAYS(&end, "wbstore: put: log:disk/log: access refused by the store");
    world_disk_read_only("disk", false);
    RUN(&end, "sync", "--buffer=file:disk/files");
    EXPECT(&end, 0);
    assert_int_equal(blobs_in("base"), 1);
    world_disk_end("disk");
    command_end_free(&end);
}

/* For who looks only, reading is enough; of a store of files it is not, which has to keep others out. */
static void a_log_that_may_only_be_read_can_be_looked_at(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    RUN(&end, "put", "--no-sync", "f");
    EXPECT(&end, 0);
    assert_int_equal(system("chmod -R a+rX,go-w buffer"), 0);
    as_nobody();
    RUN(&end, "verify");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "1 blob checked, 0 damaged\n");
    RUN(&end, "status");
    EXPECT(&end, 0);
    RUN(&end, "export", "-o", "saved");
    EXPECT(&end, 0);
    if (geteuid() == 0) {
        RUN(&end, "sync");
        EXPECT(&end, 3);
        SAYS(&end, of_buffer("wbstore: sync: ", ": access refused by the store"));
    }
    command_end_free(&end);
}

static void a_base_that_may_not_be_written_is_named_and_a_put_goes_on_once_it_may(void **state)
{
    char seen[4096] = "";
    command_end end = {0};
    command c;

    (void)state;
    file_text("f", "abc");
    file_text("g", "xyz");
    as_nobody();
    RUN(&end, "put", "f");
    EXPECT(&end, 0);
    assert_int_equal(chmod("base", 0555), 0);
    START(&c, "put", "g");
    command_read_until(c.err, "still trying; Ctrl-C stops", seen, sizeof seen);
    assert_non_null(strstr(seen, "the base refuses"));
    assert_non_null(strstr(seen, "base/"));
    assert_non_null(strstr(seen, "right to"));
    assert_int_equal(chmod("base", 0755), 0);
    command_finish(&c, &end);
    EXPECT(&end, 0);
    assert_int_equal(blobs_in("base"), 2);
    command_end_free(&end);
}

static void a_base_that_is_away_leaves_blobs_in_the_buffer_until_it_is_back(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    file_text("g", "xyz");
    RUN(&end, "put", "f");
    EXPECT(&end, 0);
    assert_int_equal(rename("base", "elsewhere"), 0);
    file_text("base", "what is in its place"); /* as a link or a mount that leads nowhere */
    RUN(&end, "put", "g");
    EXPECT(&end, 4);
    SAYS(&end, "wbstore: put: base: Not a directory");
    SAYS(&end, of_buffer("1 blob waits in the buffer ", ": `wbstore sync` sends it"));
    RUN(&end, "sync");
    EXPECT(&end, 3);
    SAYS(&end, "wbstore: sync: base: Not a directory");
    assert_int_equal(blobs_in("buffer"), 1);
    assert_int_equal(unlink("base"), 0);
    assert_int_equal(rename("elsewhere", "base"), 0);
    RUN(&end, "sync");
    EXPECT(&end, 0);
    assert_int_equal(blobs_in("base"), 2);
    assert_int_equal(blobs_in("buffer"), 0);
    command_end_free(&end);
}

/* The upload of the second blob stands still in a folder, as in one of a server that does not answer, and heeds nothing. */
static void a_base_that_hangs_is_waited_for_no_longer_than_the_timeout(void **state)
{
    char fan[16], line[256];
    command_end end = {0};
    command c;
    int hang;

    (void)state;
    file_text("f", "abc");
    START(&c, "put", "f", "-", "--timeout=1");
    command_read_line(&c, line, sizeof line);
    while (!file_exists(file_of("base", "abc"))) /* and in a second it has left the buffer, too */
        usleep(1000);
    snprintf(fan, sizeof fan, "base/%.2s", address_of("xyz"));
    assert_int_equal(mkdir(fan, 0777), 0);
    hang = world_hang(fan);
    assert_int_equal(write(c.in, "xyz", 3), 3);
    command_finish(&c, &end);
    if (hang < 0) {
        command_end_free(&end);
        skip();
    }
    world_hang_end(fan, hang);
    EXPECT(&end, 4);
    assert_memory_equal(end.out, address_of("xyz"), 64);
    SAYS(&end, of_buffer("1 blob waits in the buffer ", ": `wbstore sync` sends it"));
    RUN(&end, "sync");
    EXPECT(&end, 0);
    assert_true(file_exists(file_of("base", "xyz")));
    command_end_free(&end);
}

static void a_put_that_needs_no_base_does_not_wait_for_one_that_hangs(void **state)
{
    command_end end = {0};
    int hang;

    (void)state;
    assert_int_equal(mkdir("base", 0777), 0);
    assert_int_equal(mkdir("t", 0777), 0);
    assert_int_equal(mkdir("t/below", 0777), 0);
    file_text("t/below/f", "abc");
    if ((hang = world_hang("base")) < 0)
        skip();
    RUN(&end, "put", "--no-sync", "-r", "t");
    world_hang_end("base", hang);
    EXPECT(&end, 0);
    assert_int_equal(blobs_in("buffer"), 1);
    command_end_free(&end);
}

static void things_of_others_in_the_buffer_are_in_nobodys_way(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    assert_int_equal(mkdir("buffer", 0777), 0);
    assert_int_equal(mkdir("buffer/lost+found", 0700), 0);
    file_text("buffer/notes.txt", "of somebody else");
    assert_int_equal(symlink("nowhere", "buffer/link"), 0);
    assert_int_equal(mkfifo("buffer/fifo", 0666), 0);
    RUN(&end, "put", "--no-sync", "f");
    EXPECT(&end, 0);
    RUN(&end, "verify");
    EXPECT(&end, 0);
    assert_string_equal(end.out, "1 blob checked, 0 damaged\n");
    RUN(&end, "status");
    EXPECT(&end, 0);
    RUN(&end, "sync");
    EXPECT(&end, 0);
    assert_int_equal(blobs_in("base"), 1);
    assert_true(file_exists("buffer/lost+found") && file_exists("buffer/notes.txt") && file_exists("buffer/link") &&
                file_exists("buffer/fifo"));
    command_end_free(&end);
}

static void links_are_followed_to_a_folder_and_else_named(void **state)
{
    command_end end = {0};

    (void)state;
    file_text("f", "abc");
    assert_int_equal(mkdir("real", 0777), 0);
    assert_int_equal(symlink("real", "buffer"), 0);
    RUN(&end, "put", "--no-sync", "f");
    EXPECT(&end, 0);
    assert_int_equal(blobs_in("real"), 1);
    RUN(&end, "put", "--no-sync", "--base=real", "f");
    EXPECT(&end, 0);
    RUN(&end, "put", "--base=real", "f"); /* one folder by two names */
    EXPECT(&end, 2);
    SAYS(&end, "--base and --buffer are the same folder");
    assert_int_equal(symlink("nowhere", "dangling"), 0);
    RUN(&end, "put", "--no-sync", "--buffer=log:dangling", "f");
    EXPECT(&end, 3);
    SAYS(&end, "dangling");
    assert_int_equal(unlink(buffer_is_log() ? "buffer/LOCK" : "buffer/tmp") == 0 || rmdir("buffer/tmp") == 0, 1);
    assert_int_equal(symlink("../f", buffer_is_log() ? "buffer/LOCK" : "buffer/tmp"), 0);
    RUN(&end, "put", "--no-sync", "f");
    EXPECT(&end, 3);
    SAYS(&end, buffer_is_log() ? "buffer/LOCK" : "buffer/tmp");
    SAYS(&end, "move away what is in its place");
    command_end_free(&end);
}

/* Killed outright, it says nothing more; but every line that it printed holds. */
static void a_killed_command_leaves_the_buffer_free_and_what_it_accepted_in_it(void **state)
{
    command_end end = {0};
    char line[256];
    command c;

    (void)state;
    file_text("f", "abc");
    START(&c, "put", "--no-sync", "f", "-");
    command_read_line(&c, line, sizeof line);
    RUN(&end, "sync");
    EXPECT(&end, 3);
    SAYS(&end, of_buffer("wbstore: sync: ", ": in use by another process: wait until that has ended, or stop it"));
    assert_int_equal(kill(c.pid, SIGKILL), 0);
    command_finish(&c, &end);
    EXPECT(&end, 1000 + SIGKILL);
    RUN(&end, "sync");
    EXPECT(&end, 0);
    assert_true(file_exists(file_of("base", "abc")));
    command_end_free(&end);
}

int main(void)
{
#define T(test)                                                                                                        \
    {                                                                                                                  \
#test, test, command_setup, tear_down, NULL                                                                    \
    }
#define T_FILES(test)                                                                                                  \
    {                                                                                                                  \
#test "_over_files", test, command_setup_files, tear_down, NULL                                                \
    }
    const struct CMUnitTest tests[] = {
        T(a_full_buffer_is_3_and_names_the_folder_until_it_is_emptied),
        T(a_full_base_is_named_and_a_put_goes_on_by_itself_once_it_is_emptied),
        T(a_full_buffer_is_waited_for_no_longer_than_the_timeout),
        T(a_put_that_waits_for_room_goes_on_once_somebody_else_has_made_some),
        T(a_buffer_that_may_not_be_written_is_3_and_names_the_folder_until_it_may),
        T_FILES(a_buffer_that_may_not_be_written_is_3_and_names_the_folder_until_it_may),
        T(a_disk_that_is_read_only_is_3_and_names_it_until_it_is_not),
        T(a_log_that_may_only_be_read_can_be_looked_at),
        T(a_base_that_may_not_be_written_is_named_and_a_put_goes_on_once_it_may),
        T(a_base_that_is_away_leaves_blobs_in_the_buffer_until_it_is_back),
        T_FILES(a_base_that_is_away_leaves_blobs_in_the_buffer_until_it_is_back),
        T(a_base_that_hangs_is_waited_for_no_longer_than_the_timeout),
        T_FILES(a_base_that_hangs_is_waited_for_no_longer_than_the_timeout),
        T(a_put_that_needs_no_base_does_not_wait_for_one_that_hangs),
        T(things_of_others_in_the_buffer_are_in_nobodys_way),
        T_FILES(things_of_others_in_the_buffer_are_in_nobodys_way),
        T(links_are_followed_to_a_folder_and_else_named),
        T_FILES(links_are_followed_to_a_folder_and_else_named),
        T(a_killed_command_leaves_the_buffer_free_and_what_it_accepted_in_it),
        T_FILES(a_killed_command_leaves_the_buffer_free_and_what_it_accepted_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
