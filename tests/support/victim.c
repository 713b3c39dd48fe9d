/* victim.c - see victim.h. */
#include "victim.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void victim_start(victim *v, void (*work)(void *arg, int pipe), void *arg)
{
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    v->pid = fork();
    assert_true(v->pid >= 0);
    if (v->pid == 0) {
        close(fds[0]);
        work(arg, fds[1]);
        for (;;)
            pause();
    }
    close(fds[1]);
    v->pipe = fds[0];
}

void victim_say(int pipe, const void *message, size_t size)
{
    if (write(pipe, message, size) != (ssize_t)size)
        _exit(70);
}

bool victim_hear(victim *v, void *message, size_t size)
{
    size_t have = 0;

    while (have < size) {
        ssize_t n = read(v->pipe, (char *)message + have, size - have);
        if (n < 0 && errno == EINTR)
            continue;
        assert_true(n >= 0);
        if (n == 0) {
            assert_int_equal(have, 0); /* a message is there or not */
            return false;
        }
        have += (size_t)n;
    }
    return true;
}

void victim_kill(victim *v, test_rng *rng, uint64_t us_max)
{
    struct timespec delay = {.tv_nsec = (long)test_random_below(rng, us_max + 1) * 1000};

    nanosleep(&delay, NULL); /* when the kill comes is what varies; nothing waits for it */
    assert_int_equal(kill(v->pid, SIGKILL), 0);
}

void victim_bury(victim *v)
{
    int status;

    close(v->pipe);
    assert_int_equal(waitpid(v->pid, &status, 0), v->pid);
    if (WIFEXITED(status))
        fail_msg("the child ended with %d before it was killed", WEXITSTATUS(status));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
