/* interrupt.c - SIGINT and SIGTERM end a context, from a thread that waits for them: nothing runs in a handler.
 *
 * The first signal cancels, and the run ends in good order. From then on the signals have their usual effect, so that
 * a second Ctrl-C ends a run that hangs in the system. A signal that was ignored when the command started (nohup, a
 * background job of a shell) stays ignored.
 *
 * One of {a signal, cli_interrupt_free} wins the state; the loser does nothing. Only so is it safe to wake the thread
 * with a signal of its own set. */
#include "cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#define INTERRUPT_WAITING 0
#define INTERRUPT_ENDING (-1) /* above 0: the signal that came */

struct cli_interrupt {
    pthread_t thread;
    bool started;
    atomic_int state;
    sigset_t signals;
    int wake;       /* one of signals */
    blob_ctx *ctx;  /* cancelled by a signal */
    blob_ctx *done; /* cancelled by cli_interrupt_free */
};

static void *interrupt_thread(void *arg)
{
    cli_interrupt *i = arg;
    struct pollfd end = {.fd = blob_ctx_fd(i->done), .events = POLLIN};
    int got = 0, waiting = INTERRUPT_WAITING;

    if (sigwait(&i->signals, &got) != 0 || !atomic_compare_exchange_strong(&i->state, &waiting, got))
        return NULL;
    blob_ctx_cancel(i->ctx);
    pthread_sigmask(SIG_UNBLOCK, &i->signals, NULL);
    while (end.fd >= 0 && poll(&end, 1, -1) < 0 && errno == EINTR)
        ;
    return NULL;
}

int cli_interrupt_new(cli_interrupt **out, blob_ctx *ctx)
{
    static const int wanted[] = {SIGINT, SIGTERM};
    cli_interrupt *i = calloc(1, sizeof *i);
    struct sigaction now;
    int rc;

    *out = NULL;
    if (i == NULL)
        return -ENOMEM;
    i->ctx = ctx;
    sigemptyset(&i->signals);
    for (size_t k = 0; k < sizeof wanted / sizeof wanted[0]; k++)
        if (sigaction(wanted[k], NULL, &now) == 0 && now.sa_handler != SIG_IGN) {
            sigaddset(&i->signals, wanted[k]);
            i->wake = wanted[k];
        }
    if ((rc = blob_ctx_new(&i->done, NULL)) != 0)
        goto out;
    if (i->wake != 0) {
        pthread_sigmask(SIG_BLOCK, &i->signals, NULL);
        if ((rc = -pthread_create(&i->thread, NULL, interrupt_thread, i)) != 0)
            goto out;
        i->started = true;
    }
    *out = i;
    return 0;
out:
    cli_interrupt_free(i);
    return rc;
}

int cli_interrupt_signal(const cli_interrupt *i)
{
    int state = atomic_load(&i->state);

    return state > 0 ? state : 0;
}

void cli_interrupt_free(cli_interrupt *i)
{
    int waiting = INTERRUPT_WAITING;

    if (i == NULL)
        return;
    if (i->started) {
        blob_ctx_cancel(i->done);
        if (atomic_compare_exchange_strong(&i->state, &waiting, INTERRUPT_ENDING))
            pthread_kill(i->thread, i->wake);
        pthread_join(i->thread, NULL);
    }
    blob_ctx_free(i->done);
    free(i);
}
