/* scarce.h - memory, threads, descriptors and locks that cannot be had, when a test says so; and what was not given back.
 *
 * The functions by which the library gets them come through here (the linker's --wrap: a program that uses this names it in
 * CMakeLists.txt). Looked at is only what a call of the library asks for: on the test's thread between enter and leave, and
 * on the threads that were begun there, or by those. So the test, its servers and its other threads go on as ever.
 *
 *     for (long nth = 0, refused = 1; refused > 0; nth++) {
 *         scarce_begin(&(scarce_plan){.kinds = SCARCE_MEMORY, .nth = nth});
 *         rc = SCARCE(blob_memstore_new(&s));
 *         refused = scarce_end();
 *         ...
 *     }
 *
 * Where nothing was refused the nth was never reached: the loop is through. Syncs of the disk do nothing in such a program:
 * they would take most of its time, and it cuts no power. */
#ifndef SCARCE_H
#define SCARCE_H

#include <stdbool.h>
#include <stddef.h>

#define SCARCE_MEMORY 1u  /* malloc and its like; mmap; what getaddrinfo and fdopendir need: ENOMEM */
#define SCARCE_THREADS 2u /* pthread_create: EAGAIN */
#define SCARCE_FILES 4u   /* open, openat, socket, eventfd: EMFILE, or ENFILE */
#define SCARCE_LOCKS 8u   /* pthread_mutex_init, pthread_cond_init: EAGAIN */

typedef enum scarce_whose {
    SCARCE_CALLERS = 0, /* what threads of the test ask for, in calls */
    SCARCE_LIBRARYS,    /* what the library's own threads do */
    SCARCE_ALL
} scarce_whose;

typedef struct scarce_plan {
    unsigned kinds; /* or'ed: only these are counted, and refused */
    long nth;       /* the first that is refused, from 0 */
    long count;     /* how many are; 0: one */
    scarce_whose whose;
    bool each;        /* each thread counts for itself */
    bool system_wide; /* it is the system that has no descriptors: ENFILE */
} scarce_plan;
#define SCARCE_FOR_GOOD 1000000000l /* a count: all, until scarce_end */

void scarce_begin(const scarce_plan *plan);
long scarce_refused(void); /* since scarce_begin */
long scarce_end(void);     /* likewise; from here on everything is granted */

/* A call that is looked at; calls within one another count as one. */
void scarce_enter(void);
void scarce_leave(void);
int scarce_left(int rc); /* leaves and returns rc */
#define SCARCE(call) (scarce_enter(), scarce_left(call))

/* Blocks of memory that were got where we look and not given back; the library's threads that have not ended; and how many
 * descriptors are open in this process. */
size_t scarce_blocks(void);
unsigned scarce_threads(void);
unsigned scarce_descriptors(void);

/* Nothing is scarce, nobody is in a call, no block is remembered: before each test, whatever became of the last. */
void scarce_reset(void);

#endif
