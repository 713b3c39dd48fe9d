/* fork.c - a child of fork has the wrapper's memory but none of its threads, and locks that nobody will release. It
 * must learn that before it touches a lock, in every call, so it must be cheap: a page that the kernel wipes in a
 * child tells with one load; where there is no such page, getpid does. */
#include "wbstore/fork.h"

#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

void wb_fork_guard_init(wb_fork_guard *g)
{
    *g = (wb_fork_guard){.page = NULL, .pid = getpid()};
#ifdef MADV_WIPEONFORK
    void *page = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return;
    if (madvise(page, (size_t)sysconf(_SC_PAGESIZE), MADV_WIPEONFORK) != 0) {
        munmap(page, 1);
        return;
    }
    g->page = page;
    *g->page = 1;
#endif
}

void wb_fork_guard_free(wb_fork_guard *g)
{
    if (g->page != NULL)
        munmap((void *)(unsigned char *)g->page, 1);
    g->page = NULL;
}

bool wb_fork_guard_is_child(const wb_fork_guard *g)
{
    return g->page != NULL ? *g->page == 0 : getpid() != g->pid;
}
