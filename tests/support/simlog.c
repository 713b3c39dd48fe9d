/* simlog.c - a log on a simulated disk beside a model of its promises; see simlog.h. */
#include "simlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

static const char *const sl_names[SIMLOG_KEYS] = {"a", "b", "big", "c", "h", "missing"};
static const size_t sl_sizes[2][SIMLOG_KEYS] = {
    {20000, 24000, 50000, 700, 70000, 100}, /* h has a segment of its own */
    {60, 90, 300, 0, 200, 100},
};

bool simlog_wrong(simlog *s, const char *format, ...)
{
    va_list args;

    if (s->wrong[0] != '\0')
        return false;
    va_start(args, format);
    vsnprintf(s->wrong, sizeof s->wrong, format, args);
    va_end(args);
    simdisk_note(s->disk, "WRONG: %s", s->wrong);
    return false;
}

static simlog_set sl_bit(unsigned version)
{
    return (simlog_set)1 << version;
}

void simlog_init(simlog *s, simdisk *disk, blob_logstore_sync sync)
{
#if defined(__GLIBC__)
    /* A log's buffers are large, and logs are opened by the hundred thousand: the heap must not go back and forth. */
    (void)mallopt(M_MMAP_THRESHOLD, 32 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
    *s = (simlog){.disk = disk, .options = blob_logstore_options_default()};
    s->options.segment_bytes = LOG_SEGMENT_MIN;
    s->options.cache_bytes = 1;
    s->options.sync = sync;
    for (unsigned i = 0; i < SIMLOG_KEYS; i++)
        s->keys[i] = (simlog_key){.now = 1, .kill = 1, .power = 1};
}

void simlog_fork(simlog *to, const simlog *s, simdisk *disk)
{
    *to = *s;
    to->disk = disk;
    to->store = NULL;
    to->faults = false;
}

uint64_t simlog_hash(const simlog *s)
{
    uint64_t hash = s->options.sync;

    for (unsigned i = 0; i < SIMLOG_KEYS; i++)
        hash = (hash * UINT64_C(0x9e3779b97f4a7c15) ^ s->keys[i].kill * 31 ^ s->keys[i].power) + (hash >> 29);
    return hash;
}

blob_key simlog_key_of(unsigned key)
{
    return test_key(sl_names[key]);
}

const void *simlog_payload(unsigned sizes, unsigned key, unsigned version, size_t *size)
{
    static void *payloads[2][SIMLOG_KEYS][SIMLOG_VERSIONS];

    /* The size tells the version, the bytes prove it. */
    *size = sl_sizes[sizes][key] + version * (size_t)9;
    if (payloads[sizes][key][version] == NULL)
        payloads[sizes][key][version] = test_payload(key * UINT64_C(1000) + version, *size);
    return payloads[sizes][key][version];
}

/* ---- looking ------------------------------------------------------------------------------------------------ */

static bool sl_version(simlog *s, unsigned key, unsigned *version)
{
    blob *b = NULL;
    int rc = blob_store_get(s->store, NULL, simlog_key_of(key), &b);
    const void *bytes;
    size_t size;
    bool right;

    *version = 0;
    if (rc == BLOB_NOT_FOUND)
        return true;
    if (rc != 0)
        return simlog_wrong(s, "get %s: %d (%s)", sl_names[key], rc, blob_strerror(rc));
    *version = (unsigned)((b->size - sl_sizes[s->sizes][key]) / 9);
    if (*version == 0 || *version > s->keys[key].versions) {
        blob_unref(b);
        return simlog_wrong(s, "get %s: bytes that were never put, %zu of them", sl_names[key], b->size);
    }
    bytes = simlog_payload(s->sizes, key, *version, &size);
    right = size == b->size && memcmp(bytes, b->data, size) == 0;
    blob_unref(b);
    return right || simlog_wrong(s, "get %s: not the bytes of version %u", sl_names[key], *version);
}

typedef struct sl_listed {
    simlog *s;
    unsigned seen[SIMLOG_KEYS];
    unsigned count;
} sl_listed;

static int sl_list_one(void *arg, blob_key key, uint64_t size)
{
    sl_listed *listed = arg;

    listed->count++;
    for (unsigned i = 0; i < SIMLOG_KEYS; i++) {
        if (blob_key_compare(key, simlog_key_of(i)) == 0) {
            listed->seen[i] = (unsigned)((size - sl_sizes[listed->s->sizes][i]) / 9);
            return 0;
        }
    }
    simlog_wrong(listed->s, "list: a key that was never put");
    return BLOB_LIST_STOP;
}

static simlog_set sl_set(const simlog_key *k, simlog_after after)
{
    return after == SIMLOG_NOW ? k->now : after == SIMLOG_KILLED ? k->kill : k->power;
}

/* What is there, in all ways of asking, which must agree; versions[i] of each key. */
static bool sl_look(simlog *s, unsigned *versions)
{
    sl_listed listed = {.s = s};
    unsigned count = 0;
    uint64_t len = 0;
    int rc = blob_store_list(s->store, NULL, blob_key_of(NULL, 0), sl_list_one, &listed);

    if (rc != 0)
        return simlog_wrong(s, "list: %d", rc);
    for (unsigned i = 0; i < SIMLOG_KEYS; i++) {
        if (!sl_version(s, i, &versions[i]))
            return false;
        count += versions[i] != 0;
        if (versions[i] != listed.seen[i])
            return simlog_wrong(s, "%s: version %u to get, %u to list", sl_names[i], versions[i], listed.seen[i]);
    }
    rc = blob_store_len(s->store, NULL, &len);
    if (rc != 0 || len != count)
        return simlog_wrong(s, "len: %d, %llu of %u", rc, (unsigned long long)len, count);
    return s->wrong[0] == '\0';
}

bool simlog_check(simlog *s, simlog_after after)
{
    static const char *const when[] = {"now", "after a kill", "after a power cut"};
    unsigned versions[SIMLOG_KEYS] = {0};

    if (!sl_look(s, versions))
        return false;
    for (unsigned i = 0; i < SIMLOG_KEYS; i++)
        if ((sl_set(&s->keys[i], after) & sl_bit(versions[i])) == 0)
            return simlog_wrong(s, "%s %s: version %u, none of set %llx", sl_names[i], when[after], versions[i],
                                (unsigned long long)sl_set(&s->keys[i], after));
    return true;
}

bool simlog_undamaged(simlog *s)
{
    blob_logstore_info info = {.struct_size = sizeof info};
    int rc = blob_logstore_get_info(s->store, &info);

    if (rc != 0)
        return simlog_wrong(s, "info: %d", rc);
    if (info.damaged_records != 0 || info.set_aside_segments != 0)
        return simlog_wrong(s, "%llu damaged records, %llu segments set aside",
                            (unsigned long long)info.damaged_records, (unsigned long long)info.set_aside_segments);
    return true;
}

/* ---- opening and closing ------------------------------------------------------------------------------------ */

/* What an open log shows is what the disk has. But for a log that never syncs: it promises nothing of power cuts. */
static bool sl_settle(simlog *s)
{
    unsigned versions[SIMLOG_KEYS] = {0};

    if (!sl_look(s, versions))
        return false;
    for (unsigned i = 0; i < SIMLOG_KEYS; i++) {
        simlog_key *k = &s->keys[i];
        k->now = k->kill = sl_bit(versions[i]);
        k->power = s->options.sync == BLOB_LOGSTORE_SYNC_NEVER ? k->power | k->now : k->now;
        k->lazy = 0;
    }
    return true;
}

bool simlog_open(simlog *s, simlog_after after)
{
    if (s->wrong[0] != '\0')
        return false;
    simdisk_note(s->disk, "open");
    s->status = wb_log_open(&s->store, simdisk_mount(s->disk), "sim", &s->options, LOG_NO_KEEPER);
    if (s->status != 0) {
        blob_error error;
        blob_last_error(&error);
        s->store = NULL;
        return s->faults || simlog_wrong(s, "open: %d (%s) %s", s->status, blob_strerror(s->status), error.text);
    }
    if (s->faults) { /* its reads may fail yet */
        for (unsigned i = 0; i < SIMLOG_KEYS; i++)
            s->keys[i].now = sl_set(&s->keys[i], after);
        return true;
    }
    return simlog_check(s, after) && simlog_undamaged(s) && sl_settle(s);
}

bool simlog_close(simlog *s)
{
    blob_logstore_info info = {.struct_size = sizeof info};

    if (s->store == NULL)
        return s->wrong[0] == '\0';
    (void)blob_logstore_get_info(s->store, &info);
    simdisk_note(s->disk, "close");
    s->status = blob_store_close(s->store, NULL);
    s->store = NULL;
    if (s->status != 0)
        return s->faults || simlog_wrong(s, "close: %d", s->status);
    for (unsigned i = 0; i < SIMLOG_KEYS; i++) {
        simlog_key *k = &s->keys[i];
        /* A close is no crash, so lazy deletes stay; but those of a log turned read-only are in memory alone. */
        k->kill = k->now | (info.read_only != 0 ? k->lazy : 0);
        if (s->options.sync != BLOB_LOGSTORE_SYNC_NEVER)
            k->power = k->now | k->lazy;
    }
    return s->wrong[0] == '\0';
}

void simlog_bury(simlog *s)
{
    if (s->store != NULL)
        blob_store_close(s->store, NULL);
    s->store = NULL;
}

/* ---- operations --------------------------------------------------------------------------------------------- */

/* All that returned is lasting. */
static void sl_synced(simlog *s)
{
    for (unsigned i = 0; i < SIMLOG_KEYS; i++) {
        simlog_key *k = &s->keys[i];
        if ((k->now & 1) == 0)
            k->lazy = 0;
        k->power = k->now | k->lazy;
    }
}

static bool sl_refused(int rc)
{
    return rc == BLOB_FULL || rc == BLOB_REJECTED || rc == BLOB_DENIED || rc == -ENOSPC || rc == -EINVAL ||
           rc == -ENOMEM;
}

static bool sl_put(simlog *s, unsigned key, unsigned flags)
{
    simlog_key *k = &s->keys[key], before = *k;
    unsigned version = k->versions + 1;
    const void *bytes;
    size_t size;
    int rc;

    if (version == SIMLOG_VERSIONS)
        return true;
    bytes = simlog_payload(s->sizes, key, version, &size);
    k->versions = version;
    k->now |= sl_bit(version);
    k->kill |= sl_bit(version);
    k->power |= sl_bit(version);
    simdisk_note(s->disk, "put %s version %u%s", sl_names[key], version, flags != 0 ? ", replace" : "");
    rc = s->status = blob_store_put(s->store, NULL, simlog_key_of(key), blob_view_of(bytes, size), flags);
    simdisk_note(s->disk, "put: %d", rc);
    if (rc == 0) {
        if (flags == 0 && (before.now & 1) == 0)
            return simlog_wrong(s, "put %s: 0, but it was there", sl_names[key]);
        k->now = k->kill = sl_bit(version);
        if (s->options.sync == BLOB_LOGSTORE_SYNC_EACH) {
            k->power = k->now;
            k->lazy = 0;
        }
    } else if (rc == BLOB_EXISTS) {
        *k = before;
        k->now &= ~(simlog_set)1;
        if (k->now == 0 || flags != 0)
            return simlog_wrong(s, "put %s: exists, but it was not there", sl_names[key]);
        k->kill &= ~(simlog_set)1;
        if (s->options.sync == BLOB_LOGSTORE_SYNC_EACH)
            k->power &= k->now;
    } else if (sl_refused(rc)) {
        *k = before;
    }
    if (rc != 0)
        k->versions = version; /* its bytes are known, should they come up */
    return rc == 0 || rc == BLOB_EXISTS || s->faults || simlog_wrong(s, "put %s: %d", sl_names[key], rc);
}

static bool sl_delete(simlog *s, unsigned key, unsigned flags)
{
    simlog_key *k = &s->keys[key], before = *k;
    int rc;

    k->now |= 1;
    k->kill |= 1;
    k->power |= 1;
    simdisk_note(s->disk, "delete %s%s", sl_names[key], flags != 0 ? " lazily" : "");
    rc = s->status = blob_store_delete(s->store, NULL, simlog_key_of(key), flags);
    simdisk_note(s->disk, "delete: %d", rc);
    if (rc == 0 || rc == BLOB_NOT_FOUND) {
        if ((rc == 0 && before.now == 1) || (rc != 0 && (before.now & 1) == 0))
            return simlog_wrong(s, "delete %s: %d, which it was not", sl_names[key], rc);
        k->now = 1;
        if (flags != 0) {
            k->lazy |= before.power & ~(simlog_set)1;
        } else {
            k->kill = 1;
            if (s->options.sync == BLOB_LOGSTORE_SYNC_EACH) {
                k->power = 1;
                k->lazy = 0;
            }
        }
    } else if (sl_refused(rc) && rc != -ENOSPC) {
        *k = before;
    }
    return rc == 0 || rc == BLOB_NOT_FOUND || s->faults || simlog_wrong(s, "delete %s: %d", sl_names[key], rc);
}

static bool sl_keep(simlog *s)
{
    simdisk_note(s->disk, "keep");
    s->status = wb_log_keep(s->store);
    simdisk_note(s->disk, "keep: %d", s->status);
    if (s->status != 0)
        return s->faults || simlog_wrong(s, "keep: %d", s->status);
    if (s->options.sync == BLOB_LOGSTORE_SYNC_INTERVAL)
        sl_synced(s);
    return true;
}

static bool sl_torn_put(simlog *s)
{
    bool faults = s->faults;
    simdisk_fate fate = {SIMDISK_MIXED, SIMDISK_MIXED, false, simdisk_ops(s->disk), NULL};

    simdisk_off_at(s->disk, simdisk_ops(s->disk) + 1, true);
    s->faults = true;
    if (!sl_put(s, (s->keys[1].now & 1) == 0 ? 4 : 1, 0))
        return false;
    s->faults = faults;
    simdisk_note(s->disk, "power cut");
    simdisk_power_cut(s->disk, &fate);
    simlog_bury(s);
    return simlog_open(s, SIMLOG_CUT);
}

bool simlog_do(simlog *s, char op)
{
    if (s->wrong[0] != '\0' || (s->store == NULL && !simlog_open(s, SIMLOG_KILLED)))
        return false;
    if (s->store == NULL)
        return true;
    switch (op) {
    case 'a':
    case 'r':
        return sl_put(s, 0, op == 'r' ? BLOB_REPLACE : 0);
    case 'b':
        return sl_put(s, 1, 0);
    case 'g':
        return sl_put(s, 2, 0);
    case 's':
        return sl_put(s, 3, 0);
    case 'h':
        return sl_put(s, 4, 0);
    case 'A':
    case 'l':
        return sl_delete(s, 0, op == 'l' ? BLOB_LAZY : 0);
    case 'B':
        return sl_delete(s, 1, 0);
    case 'G':
    case 'L':
        return sl_delete(s, 2, op == 'L' ? BLOB_LAZY : 0);
    case 'S':
        return sl_delete(s, 3, 0);
    case 'H':
        return sl_delete(s, 4, 0);
    case 'm':
        return sl_delete(s, 5, 0);
    case 'k':
        return sl_keep(s);
    case 'o':
        return simlog_close(s) && simlog_open(s, SIMLOG_KILLED);
    case 'x':
        simdisk_note(s->disk, "kill");
        simdisk_kill(s->disk);
        simlog_bury(s);
        return simlog_open(s, SIMLOG_KILLED);
    case 'p':
        return sl_torn_put(s);
    default:
        return simlog_wrong(s, "no such operation: %c", op);
    }
}

bool simlog_run(simlog *s, const char *ops)
{
    while (*ops != '\0')
        if (!simlog_do(s, *ops++))
            return false;
    return true;
}
