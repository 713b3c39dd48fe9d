/* scarce.c - see scarce.h. Linked only into programs that use it, for elsewhere there is no __real_malloc. */
#include "scarce.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* ---- who, and whether ---- */

static atomic_bool on; /* is there a plan? */
static pthread_mutex_t plan_lock = PTHREAD_MUTEX_INITIALIZER;
static scarce_plan plan;  /* plan_lock */
static unsigned plans;    /* plan_lock; how many there have been, so that a thread knows a new one */
static long seen, denied; /* plan_lock; under this plan */

static _Thread_local unsigned inside; /* calls of the library that this thread is in */
static _Thread_local bool theirs;     /* a thread of the library's */
static _Thread_local unsigned own_plan;
static _Thread_local long own_seen;

static long count_locked(void)
{
    if (!plan.each)
        return seen++;
    if (own_plan != plans)
        own_seen = 0;
    own_plan = plans;
    return own_seen++;
}

static bool refuses_locked(unsigned kind)
{
    long n;

    if ((plan.kinds & kind) == 0 || (plan.whose == SCARCE_CALLERS && theirs) ||
        (plan.whose == SCARCE_LIBRARYS && !theirs))
        return false;
    n = count_locked();
    if (n < plan.nth || n - plan.nth >= (plan.count > 0 ? plan.count : 1))
        return false;
    denied++;
    return true;
}

static bool granted(unsigned kind)
{
    bool refused;

    if ((!theirs && inside == 0) || !atomic_load(&on))
        return true;
    pthread_mutex_lock(&plan_lock);
    refused = atomic_load(&on) && refuses_locked(kind);
    pthread_mutex_unlock(&plan_lock);
    return !refused;
}

void scarce_begin(const scarce_plan *p)
{
    pthread_mutex_lock(&plan_lock);
    plan = *p;
    plans++;
    seen = denied = 0;
    atomic_store(&on, true);
    pthread_mutex_unlock(&plan_lock);
}

long scarce_refused(void)
{
    long count;

    pthread_mutex_lock(&plan_lock);
    count = denied;
    pthread_mutex_unlock(&plan_lock);
    return count;
}

long scarce_end(void)
{
    atomic_store(&on, false);
    return scarce_refused();
}

void scarce_enter(void)
{
    inside++;
}

void scarce_leave(void)
{
    inside--;
}

int scarce_left(int rc)
{
    inside--;
    return rc;
}

/* ---- the blocks: a table of those that are out ---- */

#define BLOCKS_ROOM (1u << 18) /* a power of two, more than twice what is ever out */

static pthread_mutex_t blocks_lock = PTHREAD_MUTEX_INITIALIZER;
static uintptr_t blocks[BLOCKS_ROOM]; /* blocks_lock; 0: free. Open addressing: a run has no gaps */
static size_t blocks_count;           /* blocks_lock */

static size_t block_home(uintptr_t block)
{
    return (size_t)((uint64_t)block * 0x9e3779b97f4a7c15u >> 46) % BLOCKS_ROOM;
}

static void *block_out(void *block)
{
    size_t at = block_home((uintptr_t)block);

    if (block == NULL || (!theirs && inside == 0))
        return block;
    pthread_mutex_lock(&blocks_lock);
    while (blocks[at] != 0)
        at = (at + 1) % BLOCKS_ROOM;
    blocks[at] = (uintptr_t)block;
    if (++blocks_count > BLOCKS_ROOM / 2)
        abort();
    pthread_mutex_unlock(&blocks_lock);
    return block;
}

/* Those behind it that the gap would cut off from their homes move up. */
static void blocks_close_gap(size_t gap)
{
    for (size_t at = (gap + 1) % BLOCKS_ROOM; blocks[at] != 0; at = (at + 1) % BLOCKS_ROOM) {
        size_t home = block_home(blocks[at]);
        if ((at - home) % BLOCKS_ROOM < (at - gap) % BLOCKS_ROOM)
            continue;
        blocks[gap] = blocks[at];
        blocks[at] = 0;
        gap = at;
    }
}

static bool block_back(uintptr_t block)
{
    size_t at = block_home(block);
    bool ours;

    if (block == 0)
        return false;
    pthread_mutex_lock(&blocks_lock);
    while (blocks[at] != 0 && blocks[at] != block)
        at = (at + 1) % BLOCKS_ROOM;
    ours = blocks[at] == block;
    if (ours) {
        blocks[at] = 0;
        blocks_count--;
        blocks_close_gap(at);
    }
    pthread_mutex_unlock(&blocks_lock);
    return ours;
}

size_t scarce_blocks(void)
{
    size_t count;

    pthread_mutex_lock(&blocks_lock);
    count = blocks_count;
    pthread_mutex_unlock(&blocks_lock);
    return count;
}

unsigned scarce_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

void scarce_reset(void)
{
    scarce_end();
    inside = 0;
    pthread_mutex_lock(&blocks_lock);
    memset(blocks, 0, sizeof blocks);
    blocks_count = 0;
    pthread_mutex_unlock(&blocks_lock);
}

/* ---- memory ---- */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **out, size_t alignment, size_t size);
int __wrap_posix_memalign(void **out, size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
void __real_free(void *block);
void __wrap_free(void *block);
void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *map, size_t size);
int __wrap_munmap(void *map, size_t size);
DIR *__real_fdopendir(int fd);
DIR *__wrap_fdopendir(int fd);
int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out);

static void *no_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

void *__wrap_malloc(size_t size)
{
    return granted(SCARCE_MEMORY) ? block_out(__real_malloc(size)) : no_memory();
}

void *__wrap_calloc(size_t count, size_t size)
{
    return granted(SCARCE_MEMORY) ? block_out(__real_calloc(count, size)) : no_memory();
}

void *__wrap_realloc(void *old, size_t size)
{
    uintptr_t before = (uintptr_t)old;
    void *block = granted(SCARCE_MEMORY) ? __real_realloc(old, size) : no_memory();

    if (block != NULL) {
        block_back(before);
        block_out(block);
    }
    return block;
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return granted(SCARCE_MEMORY) ? block_out(__real_aligned_alloc(alignment, size)) : no_memory();
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t size)
{
    int rc = granted(SCARCE_MEMORY) ? __real_posix_memalign(out, alignment, size) : ENOMEM;

    if (rc == 0)
        block_out(*out);
    return rc;
}

char *__wrap_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = __wrap_malloc(size);

    return copy != NULL ? memcpy(copy, text, size) : NULL;
}

void __wrap_free(void *block)
{
    block_back((uintptr_t)block);
    __real_free(block);
}

static void *map_out(void *map)
{
    if (map != MAP_FAILED)
        block_out(map);
    return map;
}

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (granted(SCARCE_MEMORY))
        return map_out(__real_mmap(at, size, protection, flags, fd, offset));
    errno = ENOMEM;
    return MAP_FAILED;
}

int __wrap_munmap(void *map, size_t size)
{
    block_back((uintptr_t)map);
    return __real_munmap(map, size);
}

DIR *__wrap_fdopendir(int fd)
{
    return granted(SCARCE_MEMORY) ? __real_fdopendir(fd) : no_memory();
}

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out)
{
    return granted(SCARCE_MEMORY) ? __real_getaddrinfo(host, port, hints, out) : EAI_MEMORY;
}

/* ---- threads ---- */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);

static atomic_uint threads; /* born where we look, not ended yet */

typedef struct birth {
    void *(*run)(void *);
    void *arg;
} birth;

static void *run_theirs(void *arg)
{
    birth b = *(birth *)arg;
    void *result;

    __real_free(arg);
    theirs = true;
    result = b.run(b.arg);
    atomic_fetch_sub(&threads, 1);
    return result;
}

unsigned scarce_threads(void)
{
    return atomic_load(&threads);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
    birth *b;
    int rc;

    if (!theirs && inside == 0)
        return __real_pthread_create(thread, attr, run, arg);
    if (!granted(SCARCE_THREADS))
        return EAGAIN;
    if ((b = __real_malloc(sizeof *b)) == NULL)
        return EAGAIN;
    *b = (birth){.run = run, .arg = arg};
    atomic_fetch_add(&threads, 1);
    if ((rc = __real_pthread_create(thread, attr, run_theirs, b)) != 0) {
        __real_free(b);
        atomic_fetch_sub(&threads, 1);
    }
    return rc;
}

/* ---- descriptors ---- */

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_openat(int folder, const char *path, int flags, ...);
int __wrap_openat(int folder, const char *path, int flags, ...);
int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags);

static int no_descriptor(void)
{
    pthread_mutex_lock(&plan_lock);
    errno = plan.system_wide ? ENFILE : EMFILE;
    pthread_mutex_unlock(&plan_lock);
    return -1;
}

/* As the functions themselves do: the mode is there only with O_CREAT. */
#define OPEN_WRAPPED(name, ...)                                                                                        \
    do {                                                                                                               \
        va_list rest;                                                                                                  \
        mode_t mode = 0;                                                                                               \
        va_start(rest, flags);                                                                                         \
        if ((flags & O_CREAT) != 0)                                                                                    \
            mode = (mode_t)va_arg(rest, unsigned);                                                                     \
        va_end(rest);                                                                                                  \
        return granted(SCARCE_FILES) ? __real_##name(__VA_ARGS__, flags, mode) : no_descriptor();                      \
    } while (0)

int __wrap_open(const char *path, int flags, ...)
{
    OPEN_WRAPPED(open, path);
}

int __wrap_openat(int folder, const char *path, int flags, ...)
{
    OPEN_WRAPPED(openat, folder, path);
}

int __wrap_socket(int domain, int type, int protocol)
{
    return granted(SCARCE_FILES) ? __real_socket(domain, type, protocol) : no_descriptor();
}

int __wrap_eventfd(unsigned value, int flags)
{
    return granted(SCARCE_FILES) ? __real_eventfd(value, flags) : no_descriptor();
}

/* With 64-bit file offsets asked for, the C library's names are others. */
#ifdef __GLIBC__
int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __real_openat64(int folder, const char *path, int flags, ...);
int __wrap_openat64(int folder, const char *path, int flags, ...);
void *__real_mmap64(void *at, size_t size, int protection, int flags, int fd, int64_t offset);
void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int fd, int64_t offset);

int __wrap_open64(const char *path, int flags, ...)
{
    OPEN_WRAPPED(open64, path);
}

int __wrap_openat64(int folder, const char *path, int flags, ...)
{
    OPEN_WRAPPED(openat64, folder, path);
}

void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int fd, int64_t offset)
{
    if (granted(SCARCE_MEMORY))
        return map_out(__real_mmap64(at, size, protection, flags, fd, offset));
    errno = ENOMEM;
    return MAP_FAILED;
}
#endif

/* ---- the disk, which is slow: no power is cut here ---- */

int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);

int __wrap_fsync(int fd)
{
    (void)fd;
    return 0;
}

int __wrap_fdatasync(int fd)
{
    (void)fd;
    return 0;
}

/* ---- locks ---- */

int __real_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr);
int __real_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr);
int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr);

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
    return granted(SCARCE_LOCKS) ? __real_pthread_mutex_init(mutex, attr) : EAGAIN;
}

int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr)
{
    return granted(SCARCE_LOCKS) ? __real_pthread_cond_init(cond, attr) : EAGAIN;
}
