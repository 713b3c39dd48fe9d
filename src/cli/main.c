/* main.c - the wbstore command: puts, gets, lists, removes, sends and counts blobs in a buffer and a base.
 *
 * A thin host program over the public headers. This file sets the process up, dispatches to a verb, and turns what was
 * noted on the way into an exit code. Signals end the run's context; SIGPIPE is ignored, so that a reader that went
 * away is a failed write and said as such. */
#include "cli/cli.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <wbstore/tls.h>

/* A standard stream that is closed would give its number to the next file opened, and what is printed would go into
 * a store. Opened the wrong way round, it fails as a closed one does. */
static bool main_hold_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            return false;
    return true;
}

static void main_run(cli *c)
{
    if ((c->options.given & CLI_OPT_VERSION) != 0) {
        printf("wbstore %s\n", wbstore_version());
    } else if ((c->options.given & CLI_OPT_HELP) != 0) {
        cli_help(c);
    } else if (c->verb != NULL) {
        c->verb->run(c);
    } else {
        cli_say(c, "which command? `wbstore help` lists them");
        cli_worsen(c, CLI_USAGE);
    }
    (void)cli_flush(c);
}

int main(int argc, char **argv)
{
    cli c;
    cli_interrupt *interrupt = NULL;
    int code;

    memset(&c, 0, sizeof c);
    if (!main_hold_streams() || pthread_mutex_init(&c.console, NULL) != 0)
        return CLI_FAILED;
    signal(SIGPIPE, SIG_IGN);
    code = cli_options_parse(&c, argc, argv);
    if (code != 0)
        goto out;
    if (blob_ctx_new(&c.ctx, NULL) != 0 || cli_interrupt_new(&interrupt, c.ctx) != 0) {
        cli_say(&c, "the system has no memory or threads left: try again");
        code = CLI_FAILED;
        goto out;
    }
    main_run(&c);
    code = c.stopped ? CLI_SIGNAL + cli_interrupt_signal(interrupt) : c.worst;
    if (c.base_left)
        _exit(code); /* what was printed is flushed */
out:
    cli_interrupt_free(interrupt);
    blob_ctx_free(c.ctx);
    blob_tls_close(c.tls);
    cli_options_free(&c.options);
    pthread_mutex_destroy(&c.console);
    return code;
}
