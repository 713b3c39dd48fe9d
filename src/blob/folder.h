/* folder.h - for stores on a file system: a folder opened, made lastingly if it must be, and locked. */
#ifndef WB_FOLDER_H
#define WB_FOLDER_H

#include <stdbool.h>
#include <sys/types.h>

/* What failed, for a message: "cannot WHAT DIR/NAME". Both are static text. */
typedef struct wb_folder_trouble {
    const char *what, *name;
} wb_folder_trouble;

/* Opens dir. make: it and its parents are made if missing; sync: what was made is lasting, and what a crash may have left
 * half lasting. 0 or a negated errno; *fd is -1 then. */
int wb_folder_open(const char *dir, bool make, bool sync, int *fd, wb_folder_trouble *trouble);

/* Opens the file of that name in the folder, making it if missing, and locks it against everybody else, in this process
 * too, until its descriptor is closed everywhere. -EBUSY: somebody has it. On failure *fd may be open. */
int wb_folder_lock(int folder, const char *name, int *fd, wb_folder_trouble *trouble);

/* Closes that descriptor (-1 is fine). Only in the process that locked the file it frees the lock. */
void wb_folder_unlock(int fd, pid_t owner);

/* As openat, closed on exec, goes on after a signal. And fsync and fdatasync, likewise. */
int wb_folder_openat(int folder, const char *name, int flags, unsigned mode);
int wb_folder_fsync(int fd);
int wb_folder_fdatasync(int fd);

/* An errno of the file system as a store's status, and what a person can do about it. */
int wb_folder_status(int error);
const char *wb_folder_remedy(int error);

#endif
