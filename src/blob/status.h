/* status.h - for the inside of the library: keeping the thread's error detail true. */
#ifndef WB_STATUS_H
#define WB_STATUS_H

#include <wbstore/blob.h>

/* Taken before a call that may fail; wb_status_settle afterwards makes the detail fit what it returned: the words it
 * left are kept, older words are not. Returns status. */
uint64_t wb_status_mark(void);
int wb_status_settle(uint64_t mark, int status);

/* Puts back what blob_last_error gave, after a failure that is not the caller's. */
void wb_status_restore(const blob_error *error);

#endif
