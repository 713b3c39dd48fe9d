/* conform.h - the contract of blob_store.h as a script that any store must pass.
 *
 * It uses the public headers and threads only, prints nothing and never exits. What the contract leaves open it does
 * not ask: operations that overlap a delete need not be linearizable (conform_run_deletes asks for that too), sizes in
 * a listing may be unknown, cas_key and cas_put may be missing. Whether anything survives a restart is not asked. */
#ifndef CONFORM_H
#define CONFORM_H

#include <wbstore/blob_store.h>

/* One broken promise: its short stable name ("list-order", "put-exists", "get-during-list" ...) and one line of
 * detail. */
typedef void conform_report(void *arg, const char *promise, const char *detail);

/* Runs the whole contract against an empty store, many threads included. Returns how many promises it broke, 0 for
 * none, or a negative status if the suite itself could not run: -EINVAL (no store), -ENOTEMPTY, -ENOMEM, -EAGAIN (no
 * threads), BLOB_UNSUPPORTED (a store that checks keys takes none of ours). report may be NULL; it is called on the
 * calling thread. The store is left empty (with lazy deletes); when it cannot be emptied, that is the broken promise
 * "delete-empties", and the rest is not asked. A store that deadlocks hangs the suite. Takes a fraction of a second for
 * a store in memory, and a few seconds for one that syncs to a disk. */
int conform_run(blob_store *store, conform_report *report, void *arg);

/* The same for what the stores of this library promise beyond the contract: that they are linearizable with deletes. */
int conform_run_deletes(blob_store *store, conform_report *report, void *arg);

#endif
