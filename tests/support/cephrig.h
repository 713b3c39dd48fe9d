/* cephrig.h - the real Ceph that tests/ceph.sh runs, for tests that break it. Asserts with cmocka: for the main thread of a
 * test.
 *
 * The environment says where it is (`ceph.sh env`): WBSTORE_CEPH, the script, and S3_ENDPOINT, S3_BUCKET, S3_REGION,
 * S3_ACCESS_KEY, S3_SECRET_KEY. Whoever uses it must be alone with it. */
#ifndef CEPHRIG_H
#define CEPHRIG_H

#include <stdbool.h>
#include <stddef.h>

#include <wbstore/stores.h>

/* For main: false where there is no cluster; then the test is skipped with CEPHRIG_SKIP. */
#define CEPHRIG_SKIP 77
bool cephrig_present(void);

/* Runs the script: "kill", "osd.0". name NULL: none. Must go well. "start" heals whatever was broken. */
void cephrig_run(const char *verb, const char *name);

/* A store there, for this prefix; limits short enough that what hangs is noticed within seconds. */
blob_store *cephrig_open(const char *prefix);

/* Is the object of that name exactly these bytes? Asked with curl, which signs by itself. */
bool cephrig_curl_has(const char *name, const void *bytes, size_t size);

#endif
