/* thread.h - for the stores and the wrapper: threads of the library, to be joined by who started them. */
#ifndef WB_THREAD_H
#define WB_THREAD_H

#include <pthread.h>
#include <stddef.h>

/* Starts one with every signal blocked. stack_bytes 0: the system's. */
int wb_thread_start(pthread_t *thread, void *(*run)(void *), void *arg, size_t stack_bytes);

#endif
