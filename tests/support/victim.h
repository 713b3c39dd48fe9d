/* victim.h - a child process that works until it is killed, at a moment that nobody chose, and tells meanwhile what it
 * has done.
 *
 * What it tells are messages of one size, each written whole, whatever the thread: what a read of the pipe gives is the
 * order in which they were written. A child that ends by itself has failed, and says so with its exit status. The
 * functions are the parent's and assert, but for victim_say. */
#ifndef VICTIM_H
#define VICTIM_H

#include "testutil.h"

#include <sys/types.h>

typedef struct victim {
    pid_t pid;
    int pipe;
} victim;

/* work runs in the child, which has one thread so far. It tells through victim_say, and may return. */
void victim_start(victim *v, void (*work)(void *arg, int pipe), void *arg);
void victim_say(int pipe, const void *message, size_t size); /* size: at most 512 */
bool victim_hear(victim *v, void *message, size_t size);     /* blocks; false: it said no more */

/* Kills it, a while after now that is up to so long. What it had said can still be heard. */
void victim_kill(victim *v, test_rng *rng, uint64_t us_max);
void victim_bury(victim *v); /* after that, and sees that it was the kill that ended it */

#endif
