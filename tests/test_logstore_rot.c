/* test_logstore_rot.c - whatever bit of a log rots, the log opens, a blob that is not hit is intact, one that is hit is
 * corrupt or whole and never something else, the finding says where, and the damaged bytes are kept.
 *
 * Every bit of every byte of a small log that is not padding is flipped in turn, and a sample of the padding; then blocks
 * are zeroed, filled with noise and swapped, files cut, lost, and mixed up. Environment:
 *
 *   LOGSTORE_ROT_CASE   only this flip, as a failure prints it: log:file:bit */
#include "simlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 4096
#define FILES_MAX 16
#define FAILURES_MAX 20

/* The small blobs of several segments (each opening begins one), replaced, deleted and lazily deleted ones among them. */
static const struct {
    const char *ops;
    bool killed; /* after the put of g: the last segment has no end */
} logs[] = {{"absorhoBgos", false}, {"abhoxrsg", true}, {"hoHoaB", false}};
#define LOGS (sizeof logs / sizeof logs[0])

/* Where the payload of a key's newest version lies. */
typedef struct place {
    bool known;
    char file[LOG_NAME_MAX];
    uint64_t offset, size;
} place;

typedef struct rig {
    size_t log;
    simdisk *disk; /* the log, closed */
    simlog s;      /* its promises */
    unsigned versions[SIMLOG_KEYS];
    place places[SIMLOG_KEYS];
    char files[FILES_MAX][LOG_NAME_MAX];
    size_t file_count;
    size_t oldest, newest; /* of the files that are segments */
} rig;

static struct {
    uint64_t flips, noticed, corrupt, gone, refused, failures;
} totals;

static void report(const simlog *s, const char *name)
{
    totals.failures++;
    fprintf(stderr, "LOGSTORE_ROT_CASE='%s': %s\n", name, s->wrong);
    if (totals.failures <= 3)
        simdisk_print_trace(s->disk, stderr);
}

/* ---- the log ---------------------------------------------------------------------------------------------------- */

static void find_payload(rig *r, unsigned key)
{
    size_t size;
    const void *bytes = simlog_payload(1, key, r->versions[key], &size);
    place *p = &r->places[key];

    for (size_t i = 0; i < r->file_count; i++) {
        uint64_t whole = simdisk_file_size(r->disk, r->files[i]);
        unsigned char *all = malloc((size_t)whole + 1), *at;
        assert_non_null(all);
        simdisk_peek(r->disk, r->files[i], 0, all, (size_t)whole);
        at = memmem(all, (size_t)whole, bytes, size);
        if (at != NULL) { /* the last one found is that of the newest segment: its copy counts */
            p->known = true;
            memcpy(p->file, r->files[i], LOG_NAME_MAX);
            p->offset = (uint64_t)(at - all);
            p->size = size;
        }
        free(all);
    }
    assert_true(p->known);
}

static unsigned version_of(simlog_set set)
{
    unsigned version = 0;

    while (set > 1) {
        set >>= 1;
        version++;
    }
    return version;
}

static void rig_make(rig *r, size_t log)
{
    *r = (rig){.log = log, .disk = simdisk_new(log + 1)};
    simlog_init(&r->s, r->disk, BLOB_LOGSTORE_SYNC_EACH);
    r->s.sizes = 1;
    assert_true(simlog_run(&r->s, logs[log].ops));
    if (logs[log].killed) {
        simdisk_kill(r->disk);
        simlog_bury(&r->s);
    } else {
        assert_true(simlog_close(&r->s));
    }
    simdisk_power_cut(r->disk, &(simdisk_fate){SIMDISK_KEPT, SIMDISK_KEPT, false, 0, NULL});
    r->file_count = simdisk_files(r->disk, r->files, FILES_MAX);
    assert_in_range(r->file_count, 1, FILES_MAX);
    for (size_t f = r->file_count; f-- > 0;) {
        uint64_t number;
        if (wb_log_name_parse(r->files[f], &number) != LOG_NAME_SEGMENT)
            continue;
        r->oldest = f; /* names are in order */
        r->newest = r->newest == 0 ? f : r->newest;
    }
    for (unsigned i = 0; i < SIMLOG_KEYS; i++) {
        r->versions[i] = version_of(r->s.keys[i].now);
        if (r->versions[i] != 0)
            find_payload(r, i);
    }
}

/* ---- what must hold --------------------------------------------------------------------------------------------- */

typedef struct damage {
    simlog *s;
    const rig *r;
    const char *file; /* what was hit */
    uint64_t offset, size;
    bool hit[SIMLOG_KEYS], named[SIMLOG_KEYS];
    unsigned findings;
    bool covered;    /* a finding lies where the damage is */
    bool whole_file; /* what was hit is the file as such, or its end: a finding anywhere in it will do */
    bool at_the_end; /* of the log: nobody can know that there was more */
    bool foreign;    /* a file of another log: all may be refused, and must be as it was once that is gone */
} damage;

static int see_finding(void *arg, const blob_logstore_finding *f)
{
    damage *d = arg;
    bool there = strcmp(f->file, d->file) == 0 &&
                 (d->whole_file || (d->offset < f->offset + f->size && f->offset < d->offset + d->size));

    d->findings++;
    d->covered = d->covered || there;
    if (f->text == NULL || f->text[0] == '\0')
        simlog_wrong(d->s, "a finding without words");
    for (unsigned i = 0; i < SIMLOG_KEYS && f->key.data != NULL; i++)
        d->named[i] = d->named[i] || blob_key_compare(f->key, simlog_key_of(i)) == 0;
    return 0;
}

/* 0: the newest version, -1: corrupt, 1: not there. */
static bool get_one(damage *d, unsigned key, int *is)
{
    blob *b = NULL;
    size_t size = 0;
    const void *bytes = simlog_payload(1, key, d->r->versions[key], &size);
    int rc = blob_store_get(d->s->store, NULL, simlog_key_of(key), &b);
    bool right = true;

    *is = rc == BLOB_CORRUPT ? -1 : rc == BLOB_NOT_FOUND ? 1 : 0;
    if (rc != 0 && *is == 0)
        return simlog_wrong(d->s, "get of key %u: %d", key, rc);
    if (rc == 0) {
        right = d->r->versions[key] != 0 && size == b->size && memcmp(bytes, b->data, size) == 0;
        if (!right) /* an older version is back, or one deleted: the newer record is what was hit */
            for (unsigned v = 1; v <= d->s->keys[key].versions; v++) {
                bytes = simlog_payload(1, key, v, &size);
                *is = size == b->size && memcmp(bytes, b->data, size) == 0 ? 2 : *is;
            }
        blob_unref(b);
    } else if (*is == 1 && d->r->versions[key] == 0) {
        *is = 0;
    }
    return right || *is == 2 || simlog_wrong(d->s, "get of key %u: bytes that were never put", key);
}

/* Each blob not hit is what it was. Of those hit: whole, corrupt and named, or, if its header is what was hit, gone with
 * some finding. */
static bool check_damaged(damage *d)
{
    unsigned missing = 0;
    int rc, is;

    for (unsigned i = 0; i < SIMLOG_KEYS; i++)
        if (!get_one(d, i, &is))
            return false;
    rc = blob_logstore_findings(d->s->store, NULL, 1, see_finding, d);
    if (rc != 0)
        return simlog_wrong(d->s, "findings: %d", rc);
    for (unsigned i = 0; i < SIMLOG_KEYS; i++) {
        if (!get_one(d, i, &is))
            return false;
        if (is == 0)
            continue;
        if (!d->hit[i])
            return simlog_wrong(d->s, "key %u was not hit, and is %s", i,
                                is < 0    ? "corrupt"
                                : is == 1 ? "gone"
                                          : "an old one");
        totals.corrupt += is < 0;
        totals.gone += is > 0;
        missing++;
        if (is < 0 && !d->named[i])
            return simlog_wrong(d->s, "key %u is corrupt, and no finding says so", i);
    }
    if (missing > 0 && d->findings == 0 && !d->at_the_end)
        return simlog_wrong(d->s, "something is missing, and nothing was found");
    if (missing > 0 && !d->covered && !d->at_the_end)
        return simlog_wrong(d->s, "something is missing, and what was found is elsewhere");
    return d->s->wrong[0] == '\0';
}

/* All is deleted, and the keeper has done what it can: the damage still lies somewhere. */
static bool check_kept(damage *d, const unsigned char *bytes)
{
    char files[2 * FILES_MAX][LOG_NAME_MAX];
    unsigned char there[64];
    size_t count;
    int rc;

    for (unsigned i = 0; i < SIMLOG_KEYS; i++) {
        rc = blob_store_delete(d->s->store, NULL, simlog_key_of(i), 0);
        if (rc != 0 && rc != BLOB_NOT_FOUND)
            return simlog_wrong(d->s, "delete of key %u: %d", i, rc);
    }
    for (unsigned i = 0; i < 4; i++)
        if ((rc = wb_log_keep(d->s->store)) != 0)
            return simlog_wrong(d->s, "keep: %d", rc);
    count = simdisk_files(d->s->disk, files, 2 * FILES_MAX);
    for (size_t i = 0; i < count; i++) {
        if (simdisk_file_size(d->s->disk, files[i]) < d->offset + d->size)
            continue;
        simdisk_peek(d->s->disk, files[i], d->offset, there, (size_t)d->size);
        if (memcmp(there, bytes, (size_t)d->size) == 0)
            return true;
    }
    return simlog_wrong(d->s, "the damaged bytes are gone");
}

/* The foreign file makes place for ours, if there was one. */
static void judge_without_foreign(damage *d, simlog *s)
{
    const rig *r = d->r;
    int rc;

    simlog_bury(s);
    simdisk_note(s->disk, "%s is put right", d->file);
    if (simdisk_has_file(s->disk, d->file))
        simdisk_remove_file(s->disk, d->file);
    if (simdisk_has_file(r->disk, d->file))
        simdisk_copy_file(s->disk, d->file, r->disk, d->file);
    rc = wb_log_open(&s->store, simdisk_mount(s->disk), "sim", &s->options, LOG_NO_KEEPER);
    if (rc != 0) {
        simlog_wrong(s, "open with the foreign file gone: %d", rc);
        return;
    }
    memset(d->hit, 0, sizeof d->hit);
    (void)check_damaged(d);
}

/* Opens the damaged disk, takes it. d->hit, d->file, d->offset and d->size are set. */
static void judge(damage *d, simdisk *disk, const char *name, bool kept)
{
    unsigned char bytes[64] = {0};
    simlog s;
    int rc;

    simlog_fork(&s, &d->r->s, disk);
    d->s = &s;
    if (kept)
        simdisk_peek(disk, d->file, d->offset, bytes, (size_t)d->size);
    rc = wb_log_open(&s.store, simdisk_mount(disk), "sim", &s.options, LOG_NO_KEEPER);
    if (rc == BLOB_UNSUPPORTED || (rc == BLOB_CORRUPT && d->foreign))
        totals.refused++;
    else if (rc != 0)
        simlog_wrong(&s, "open: %d (%s)", rc, blob_strerror(rc));
    else if (check_damaged(d) && kept && d->findings > 0)
        check_kept(d, bytes);
    totals.noticed += d->findings > 0;
    if (rc == 0 && s.wrong[0] == '\0') {
        simlog_bury(&s); /* and once more: what was damaged has not become worse */
        rc = wb_log_open(&s.store, simdisk_mount(disk), "sim", &s.options, LOG_NO_KEEPER);
        if (rc != 0)
            simlog_wrong(&s, "open again: %d", rc);
        else if (!kept || d->findings == 0)
            check_damaged(d);
    }
    if (d->foreign && rc == BLOB_CORRUPT && s.wrong[0] == '\0')
        judge_without_foreign(d, &s);
    if (s.wrong[0] != '\0')
        report(&s, name);
    d->s = NULL;
    simdisk_kill(disk);
    simlog_bury(&s);
    simdisk_free(disk);
}

/* ---- bits --------------------------------------------------------------------------------------------------------- */

/* Whose record a byte belongs to: its payload, the header and the key before that, and up to 7 bytes behind. Also the record that deletes or
 * replaces: as a key that is not there has no payload to be found by, any byte in its segments may be that. */
static void find_hit(const rig *r, damage *d)
{
    for (unsigned i = 0; i < SIMLOG_KEYS; i++) {
        const place *p = &r->places[i];
        uint64_t head = 64 + simlog_key_of(i).size;
        d->hit[i] = p->known && strcmp(p->file, d->file) == 0 && p->offset >= head &&
                    d->offset < p->offset + p->size + 7 && d->offset + d->size > p->offset - head;
        if (r->versions[i] == 0 && r->s.keys[i].versions > 0)
            d->hit[i] = true;
    }
    /* The last record of a log that was killed: nothing says that it was there. */
    d->at_the_end = logs[r->log].killed && d->hit[2];
}

static void flip_one(const rig *r, size_t file, uint64_t bit)
{
    uint64_t byte = bit / 8;
    damage d = {.r = r, .file = r->files[file], .offset = byte, .size = 1};
    simdisk *disk = simdisk_clone(r->disk);
    char name[64];
    bool kept = bit % 61 == 0;

    snprintf(name, sizeof name, "%zu:%zu:%llu", r->log, file, (unsigned long long)bit);
    find_hit(r, &d);
    if (kept) {
        d.offset = byte < 8 ? 0 : byte - 8;
        d.size = 16;
        if (d.offset + d.size > simdisk_file_size(disk, d.file))
            d.offset = simdisk_file_size(disk, d.file) - d.size;
    }
    simdisk_note(disk, "bit %u of byte %llu of %s flipped", (unsigned)(bit % 8), (unsigned long long)byte, d.file);
    simdisk_flip(disk, d.file, bit);
    judge(&d, disk, name, kept);
    totals.flips++;
}

static void flip_all(const rig *r, size_t file)
{
    uint64_t size = simdisk_file_size(r->disk, r->files[file]);
    unsigned char *bytes = malloc((size_t)size);

    assert_non_null(bytes);
    simdisk_peek(r->disk, r->files[file], 0, bytes, (size_t)size);
    for (uint64_t at = 0; at < size && totals.failures < FAILURES_MAX; at++) {
        bool padding = true;
        for (uint64_t near = at < 8 ? 0 : at - 8; near < at + 9 && near < size; near++)
            padding = padding && bytes[near] == 0;
        if (padding && at % 509 != 0)
            continue;
        for (unsigned bit = 0; bit < 8; bit++)
            if (!padding || bit == at % 8)
                flip_one(r, file, 8 * at + bit);
    }
    free(bytes);
}

static void print_totals(void)
{
    fprintf(stderr, "%llu cases: %llu noticed, %llu blobs corrupt, %llu gone, %llu logs refused\n",
            (unsigned long long)totals.flips, (unsigned long long)totals.noticed, (unsigned long long)totals.corrupt,
            (unsigned long long)totals.gone, (unsigned long long)totals.refused);
}

static void any_bit_may_rot(void **state)
{
    const char *only = getenv("LOGSTORE_ROT_CASE");
    unsigned long long log = 0, file = 0, bit = 0;

    (void)state;
    if (only != NULL) {
        char *rest;
        log = strtoull(only, &rest, 10);
        file = strtoull(rest + 1, &rest, 10);
        bit = strtoull(rest + 1, &rest, 10);
    }
    for (size_t i = 0; i < LOGS; i++) {
        rig r;
        rig_make(&r, i);
        for (size_t f = 0; f < r.file_count && only == NULL; f++)
            flip_all(&r, f);
        if (only != NULL && i == log)
            flip_one(&r, (size_t)file, bit);
        simdisk_free(r.disk);
    }
    print_totals();
    assert_int_equal(totals.failures, 0);
}

/* ---- blocks ------------------------------------------------------------------------------------------------------- */

typedef enum mangle { ZEROED, NOISE, SWAPPED, CUT, CUT_WITHIN, MANGLES } mangle;

/* Whose record lies in these blocks. */
static void find_hit_blocks(const rig *r, damage *d, bool to_the_end)
{
    find_hit(r, d);
    for (unsigned i = 0; i < SIMLOG_KEYS; i++) {
        const place *p = &r->places[i];
        if (p->known && strcmp(p->file, d->file) == 0 && to_the_end && p->offset + p->size > d->offset)
            d->hit[i] = true;
    }
}

static void mangle_one(const rig *r, size_t file, uint64_t offset, mangle how)
{
    unsigned char one[BLOCK], other[BLOCK];
    damage d = {.r = r, .file = r->files[file], .offset = offset, .size = BLOCK};
    simdisk *disk = simdisk_clone(r->disk);
    uint64_t size = simdisk_file_size(disk, d.file);
    char name[64];

    snprintf(name, sizeof name, "blocks %zu:%zu:%llu:%u", r->log, file, (unsigned long long)offset, how);
    simdisk_note(disk, "block %llu of %s mangled: %u", (unsigned long long)offset, d.file, how);
    memset(one, 0, sizeof one);
    if (how == NOISE)
        test_fill(offset, one, sizeof one);
    if (how == SWAPPED && offset + UINT64_C(2) * BLOCK <= size) {
        d.size = UINT64_C(2) * BLOCK;
        simdisk_peek(disk, d.file, offset, one, BLOCK);
        simdisk_peek(disk, d.file, offset + BLOCK, other, BLOCK);
        simdisk_poke(disk, d.file, offset, other, BLOCK);
        simdisk_poke(disk, d.file, offset + BLOCK, one, BLOCK);
    } else if (how == CUT || how == CUT_WITHIN) {
        d.offset = offset + (how == CUT_WITHIN ? 77 : 0);
        d.size = size - d.offset;
        simdisk_cut_file(disk, d.file, d.offset);
    } else {
        simdisk_poke(disk, d.file, offset, one, size - offset < BLOCK ? (size_t)(size - offset) : BLOCK);
    }
    find_hit_blocks(r, &d, how == CUT || how == CUT_WITHIN);
    d.whole_file = how == CUT || how == CUT_WITHIN;
    d.at_the_end = d.at_the_end || ((d.whole_file || how == SWAPPED) && file == r->newest);
    judge(&d, disk, name, false);
    totals.flips++;
}

static void any_block_may_be_lost(void **state)
{
    (void)state;
    memset(&totals, 0, sizeof totals);
    for (size_t i = 0; i < LOGS; i++) {
        rig r;
        rig_make(&r, i);
        for (size_t f = 0; f < r.file_count; f++)
            for (uint64_t at = 0; at < simdisk_file_size(r.disk, r.files[f]); at += BLOCK)
                for (mangle how = ZEROED; how < MANGLES && totals.failures < FAILURES_MAX; how++)
                    if (how != CUT_WITHIN || at + 77 < simdisk_file_size(r.disk, r.files[f]))
                        mangle_one(&r, f, at, how);
        simdisk_free(r.disk);
    }
    print_totals();
    assert_int_equal(totals.failures, 0);
}

/* ---- files -------------------------------------------------------------------------------------------------------- */

static void a_lost_segment_takes_no_other_along(void **state)
{
    (void)state;
    memset(&totals, 0, sizeof totals);
    for (size_t i = 0; i < LOGS; i++) {
        rig r;
        rig_make(&r, i);
        for (size_t f = 0; f < r.file_count; f++) {
            damage d = {.r = &r, .file = r.files[f], .offset = 0, .size = UINT64_MAX / 2};
            simdisk *disk = simdisk_clone(r.disk);
            char name[64];
            snprintf(name, sizeof name, "lost %zu:%zu", i, f);
            simdisk_note(disk, "%s is lost", r.files[f]);
            find_hit_blocks(&r, &d, true);
            simdisk_remove_file(disk, r.files[f]);
            d.covered = true;                              /* there is no file to lie in */
            d.at_the_end = f == r.oldest || f == r.newest; /* the oldest goes at times, too */
            judge(&d, disk, name, false);
            totals.flips++;
        }
        simdisk_free(r.disk);
    }
    print_totals();
    assert_int_equal(totals.failures, 0);
}

/* A segment of another log: beside ours, with a number above and between, and in the place of ours. */
static void another_logs_segment_is_not_taken_for_ours(void **state)
{
    (void)state;
    memset(&totals, 0, sizeof totals);
    for (size_t i = 0; i < LOGS; i++) {
        rig r, other;
        rig_make(&r, i);
        rig_make(&other, (i + 1) % LOGS);
        for (size_t f = 0; f < other.file_count; f++) {
            for (size_t to = 0; to <= r.file_count; to++) {
                char to_name[LOG_NAME_MAX], name[64];
                damage d = {.r = &r, .file = to_name, .offset = 0, .size = UINT64_MAX / 2, .foreign = true};
                simdisk *disk = simdisk_clone(r.disk);
                wb_log_segment_name(to_name, 255);
                if (to < r.file_count)
                    memcpy(to_name, r.files[to], LOG_NAME_MAX);
                snprintf(name, sizeof name, "another %zu:%zu:%zu", i, f, to);
                simdisk_note(disk, "%s of another log as %s", other.files[f], to_name);
                find_hit_blocks(&r, &d, true);
                d.whole_file = d.at_the_end = true;
                simdisk_copy_file(disk, to_name, other.disk, other.files[f]);
                judge(&d, disk, name, false);
                totals.flips++;
            }
        }
        simdisk_free(r.disk);
        simdisk_free(other.disk);
    }
    print_totals();
    assert_int_equal(totals.failures, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_bit_may_rot),
        cmocka_unit_test(any_block_may_be_lost),
        cmocka_unit_test(a_lost_segment_takes_no_other_along),
        cmocka_unit_test(another_logs_segment_is_not_taken_for_ours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
