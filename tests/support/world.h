/* world.h - the world outside of a store, as it goes wrong: disks that are full, folders that one may not write to. For
 * the main thread of a test. */
#ifndef WORLD_H
#define WORLD_H

#include <stdbool.h>
#include <stddef.h>

/* A small disk of its own at that folder, which is made. It is a tmpfs in a mount namespace of this process: it goes with
 * it, however it ends. false: this process may not (it takes root); that is said, for the test to leave itself out. */
bool world_disk(const char *dir, size_t bytes);
void world_disk_end(const char *dir);
void world_disk_read_only(const char *dir, bool read_only); /* nothing may be open there to write */

/* Somebody else's file takes all the space that is left there; and gives it back. */
void world_fill(const char *dir);
void world_empty(const char *dir);

/* A server that hangs is mounted at that folder: whoever looks into it waits until the end, or is killed. It is a FUSE of
 * which nobody answers. -1: as for world_disk. */
int world_hang(const char *dir);
void world_hang_end(const char *dir, int hang);

/* Runs body in a child that is nobody (or who we are, if that is not root) and whose umask is 022. A WANT that does not
 * hold ends it, and then world_as_nobody fails the test. */
void world_as_nobody(void (*body)(void *arg), void *arg);
#define WANT(holds) world_want((holds), #holds, __FILE__, __LINE__)
void world_want(bool holds, const char *what, const char *file, int line);
/* WANT of a status; and that the thread's error detail has these words: the path, and what to do. */
#define WANT_STATUS(got, want) world_want_status((got), (want), #got, __FILE__, __LINE__, "", "")
#define WANT_TELLS(got, want, path, remedy) world_want_status((got), (want), #got, __FILE__, __LINE__, (path), (remedy))
void world_want_status(int got, int want, const char *what, const char *file, int line, const char *path,
                       const char *remedy);

/* Likewise in the test itself: asserts. */
#define TELLS(got, want, path, remedy) world_tells((got), (want), #got, __FILE__, __LINE__, (path), (remedy))
void world_tells(int got, int want, const char *what, const char *file, int line, const char *path, const char *remedy);

/* Our uid is that of nobody, for whom permissions bind. */
#define WORLD_NOBODY 65534

#endif
