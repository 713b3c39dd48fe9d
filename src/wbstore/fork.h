/* fork.h - knowing that we are in a forked child, at the price of one load. */
#ifndef WB_FORK_H
#define WB_FORK_H

#include <stdbool.h>
#include <sys/types.h>

typedef struct wb_fork_guard {
    volatile unsigned char *page; /* the kernel wipes it in a child; NULL where it cannot */
    pid_t pid;
} wb_fork_guard;

void wb_fork_guard_init(wb_fork_guard *g);
void wb_fork_guard_free(wb_fork_guard *g);
bool wb_fork_guard_is_child(const wb_fork_guard *g);

#endif
