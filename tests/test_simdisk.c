/* test_simdisk.c - the simulated disk keeps its rules: it can lose whatever was not synced, in every way that is
 * allowed, and never loses what was. */
#include "simdisk.h"
#include "testutil.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 4096

static const simdisk_fate kept = {SIMDISK_KEPT, SIMDISK_KEPT, false, 1, NULL};
static const simdisk_fate dropped = {SIMDISK_DROPPED, SIMDISK_DROPPED, false, 1, NULL};
static const simdisk_fate garbage = {SIMDISK_GARBAGE, SIMDISK_KEPT, false, 1, NULL};

static log_disk *mounted(simdisk *d)
{
    log_disk *m = simdisk_mount(d);

    assert_int_equal(m->ops->begin(m, true), 0);
    return m;
}

static int make(log_disk *m, const char *name, uint64_t size)
{
    int fd = -1;

    assert_int_equal(m->ops->create(m, name, size, &fd), 0);
    return fd;
}

/* A file whose blocks are all `fill`, lasting. */
static int made(log_disk *m, const char *name, uint64_t size, int fill)
{
    void *bytes = malloc((size_t)size);
    struct iovec all = {bytes, (size_t)size};
    int fd = make(m, name, size);

    assert_non_null(bytes);
    memset(bytes, fill, (size_t)size);
    assert_int_equal(m->ops->write(m, fd, &all, 1, 0), size);
    assert_int_equal(m->ops->sync(m, fd), 0);
    assert_int_equal(m->ops->sync_folder(m), 0);
    free(bytes);
    return fd;
}

static ssize_t fill(log_disk *m, int fd, int with, uint64_t offset, size_t size)
{
    unsigned char bytes[2 * BLOCK];
    struct iovec parts[2] = {{bytes, size / 2}, {bytes, size - size / 2}};

    memset(bytes, with, sizeof bytes);
    return m->ops->write(m, fd, parts, 2, offset);
}

/* The byte that all of this range is; -1: they differ. */
static int all_of(const simdisk *d, const char *name, uint64_t offset, size_t size)
{
    unsigned char bytes[2 * BLOCK];

    simdisk_peek(d, name, offset, bytes, size);
    for (size_t i = 1; i < size; i++)
        if (bytes[i] != bytes[0])
            return -1;
    return bytes[0];
}

static bool exists(const simdisk *d, const char *name)
{
    char names[8][LOG_NAME_MAX];
    size_t count = simdisk_files(d, names, 8);

    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static void end(simdisk *d, log_disk *m)
{
    m->ops->end(m);
    simdisk_free(d);
}

static void what_was_synced_stays(void **state)
{
    simdisk *d = simdisk_new(1);
    log_disk *m = mounted(d);
    uint64_t hash = 0;

    (void)state;
    made(m, "a", BLOCK, 'x');
    assert_int_equal(simdisk_unsynced(d), 0);
    for (uint64_t seed = 0; seed < 100; seed++) {
        simdisk *after = simdisk_clone(d);
        simdisk_power_cut(after,
                          &(simdisk_fate){(simdisk_lot)(seed % 4), (simdisk_lot)(seed / 4 % 4), true, seed, NULL});
        assert_int_equal(all_of(after, "a", 0, BLOCK), 'x');
        assert_int_equal(simdisk_file_size(after, "a"), BLOCK);
        assert_true(hash == 0 || hash == simdisk_hash(after));
        hash = simdisk_hash(after);
        simdisk_free(after);
    }
    simdisk_kill(d);
    end(d, m);
}

/* Two sectors, one of them written twice: 3 * 3 * 3 ways to end, and each one that is allowed comes about. */
static void an_unsynced_sector_is_old_new_or_garbage(void **state)
{
    simdisk *d = simdisk_new(2);
    log_disk *m = mounted(d);
    int fd = made(m, "a", BLOCK, 'x');
    simdisk_choices choices = {0};
    unsigned cases = 0, seen[2][5] = {{0}};

    (void)state;
    assert_int_equal(fill(m, fd, 'y', 0, 1024), 1024);
    assert_int_equal(fill(m, fd, 'z', 512, 512), 512);
    do {
        simdisk *after = simdisk_clone(d);
        simdisk_power_cut(after, &(simdisk_fate){SIMDISK_MIXED, SIMDISK_KEPT, false, cases, &choices});
        for (unsigned i = 0; i < 2; i++) {
            int is = all_of(after, "a", i * UINT64_C(512), 512);
            assert_true(is != 'z' || i == 1);
            seen[i][is >= 'x' && is <= 'z' ? is - 'x' : 3]++;
        }
        assert_int_equal(all_of(after, "a", 1024, BLOCK - 1024), 'x');
        cases++;
        simdisk_free(after);
    } while (simdisk_choices_next(&choices));
    assert_int_equal(cases, 27);
    assert_int_equal(seen[0][0], 9); /* old */
    assert_int_equal(seen[0][1], 9); /* new */
    assert_int_equal(seen[0][3], 9); /* garbage */
    assert_int_equal(seen[1][0], 3);
    assert_int_equal(seen[1][1], 3);
    assert_int_equal(seen[1][2], 9);
    assert_int_equal(seen[1][3], 12);
    simdisk_kill(d);
    end(d, m);
}

static void seeds_tear_in_every_way_and_again_the_same(void **state)
{
    simdisk *d = simdisk_new(3);
    log_disk *m = mounted(d);
    int fd = made(m, "a", 2 * BLOCK, 'x');
    unsigned whole = 0, none = 0, torn = 0, rotten = 0;

    (void)state;
    assert_int_equal(fill(m, fd, 'y', 0, 2 * BLOCK), 2 * BLOCK);
    for (uint64_t seed = 0; seed < 200; seed++) {
        simdisk *after = simdisk_clone(d), *again = simdisk_clone(d);
        simdisk_fate fate = {SIMDISK_MIXED, SIMDISK_MIXED, false, seed, NULL};
        int first, last;
        simdisk_power_cut(after, &fate);
        simdisk_power_cut(again, &fate);
        assert_int_equal(simdisk_hash(after), simdisk_hash(again));
        first = all_of(after, "a", 0, 512);
        last = all_of(after, "a", 2 * BLOCK - 512, 512);
        whole += all_of(after, "a", 0, 2 * BLOCK) == 'y';
        none += all_of(after, "a", 0, 2 * BLOCK) == 'x';
        torn += first == 'y' && last == 'x';
        rotten += last != 'x' && last != 'y';
        simdisk_free(after);
        simdisk_free(again);
    }
    assert_true(whole > 5 && none > 5 && torn > 5 && rotten > 5);
    simdisk_kill(d);
    end(d, m);
}

static void garbage_can_take_its_whole_block(void **state)
{
    simdisk *d = simdisk_new(4);
    log_disk *m = mounted(d);
    int fd = made(m, "a", 2 * BLOCK, 'x');
    simdisk_fate fate = garbage;
    simdisk *after;

    (void)state;
    assert_int_equal(fill(m, fd, 'y', 512, 512), 512);
    after = simdisk_clone(d);
    simdisk_power_cut(after, &fate);
    assert_int_equal(all_of(after, "a", 0, 512), 'x');
    assert_int_equal(all_of(after, "a", 1024, BLOCK - 1024), 'x');
    simdisk_free(after);
    fate.whole_blocks = true;
    simdisk_power_cut(d, &fate);
    assert_int_equal(all_of(d, "a", 0, 512), -1);
    assert_int_equal(all_of(d, "a", BLOCK - 512, 512), -1);
    assert_int_equal(all_of(d, "a", BLOCK, BLOCK), 'x');
    end(d, m);
}

static void sizes_last_with_a_sync(void **state)
{
    simdisk *d = simdisk_new(5);
    log_disk *m = mounted(d);
    int fd = made(m, "a", BLOCK, 'x');
    unsigned seen[4] = {0};
    simdisk *after;

    (void)state;
    assert_int_equal(m->ops->truncate(m, fd, 512), 0);
    assert_int_equal(fill(m, fd, 'y', 1024, 512), 512);
    assert_int_equal(simdisk_file_size(d, "a"), 1536);
    assert_int_equal(all_of(d, "a", 512, 512), 0); /* a hole, not what was there before */
    for (uint64_t seed = 0; seed < 100; seed++) {
        after = simdisk_clone(d);
        simdisk_power_cut(after, &(simdisk_fate){SIMDISK_MIXED, SIMDISK_KEPT, false, seed, NULL});
        if (simdisk_file_size(after, "a") == BLOCK)
            seen[0]++;
        else if (simdisk_file_size(after, "a") == 512)
            seen[1]++;
        else if (all_of(after, "a", 1024, 512) == 'y')
            seen[2]++;
        else
            seen[3]++;
        assert_true(simdisk_file_size(after, "a") != 1536 || all_of(after, "a", 512, 512) == 0);
        simdisk_free(after);
    }
    assert_true(seen[0] > 5 && seen[1] > 5 && seen[2] > 5 && seen[3] > 5);
    assert_int_equal(m->ops->sync(m, fd), 0);
    simdisk_power_cut(d, &dropped);
    assert_int_equal(simdisk_file_size(d, "a"), 1536);
    assert_int_equal(all_of(d, "a", 0, 512), 'x');
    assert_int_equal(all_of(d, "a", 1024, 512), 'y');
    end(d, m);
}

static void a_file_made_may_vanish_until_the_folder_is_synced(void **state)
{
    simdisk *d = simdisk_new(6);
    log_disk *m = mounted(d);
    int fd = make(m, "a", BLOCK);
    simdisk *after;

    (void)state;
    assert_int_equal(fill(m, fd, 'y', 0, BLOCK), BLOCK);
    assert_int_equal(m->ops->sync(m, fd), 0);
    after = simdisk_clone(d);
    simdisk_power_cut(after, &dropped);
    assert_false(exists(after, "a"));
    simdisk_free(after);
    assert_int_equal(m->ops->sync_folder(m), 0);
    simdisk_power_cut(d, &dropped);
    assert_int_equal(all_of(d, "a", 0, BLOCK), 'y');
    m->ops->end(m);
    /* The other way round: the folder's sync makes the size last, not the bytes. */
    m = mounted(d);
    fd = make(m, "b", BLOCK);
    assert_int_equal(fill(m, fd, 'y', 0, BLOCK), BLOCK);
    assert_int_equal(m->ops->sync_folder(m), 0);
    simdisk_power_cut(d, &dropped);
    assert_int_equal(simdisk_file_size(d, "b"), BLOCK);
    assert_int_equal(all_of(d, "b", 0, BLOCK), 0);
    end(d, m);
}

/* a is renamed to c, b removed, d made: the three depend on each other in nothing, so all eight ways are seen. Then
 * that d is renamed to e, which it is not where it was never made. */
static void changes_of_names_vanish_in_any_subset_that_can_be(void **state)
{
    simdisk *d = simdisk_new(7);
    log_disk *m = mounted(d);
    simdisk_choices choices = {0};
    unsigned seen[16] = {0}, cases = 0;

    (void)state;
    made(m, "a", BLOCK, 'a');
    made(m, "b", BLOCK, 'b');
    assert_int_equal(m->ops->rename(m, "a", "c"), 0);
    assert_int_equal(m->ops->remove(m, "b"), 0);
    make(m, "d", 0);
    assert_int_equal(m->ops->rename(m, "d", "e"), 0);
    do {
        simdisk *after = simdisk_clone(d);
        unsigned is;
        simdisk_power_cut(after, &(simdisk_fate){SIMDISK_KEPT, SIMDISK_MIXED, false, 0, &choices});
        assert_int_equal(exists(after, "a") + exists(after, "c"), 1); /* whole */
        assert_false(exists(after, "d") && exists(after, "e"));
        assert_int_equal(all_of(after, exists(after, "a") ? "a" : "c", 0, BLOCK), 'a');
        assert_true(!exists(after, "b") || all_of(after, "b", 0, BLOCK) == 'b');
        is = exists(after, "a") | (unsigned)exists(after, "b") << 1 | (unsigned)exists(after, "d") << 2 |
             (unsigned)exists(after, "e") << 3;
        seen[is]++;
        cases++;
        simdisk_free(after);
    } while (simdisk_choices_next(&choices));
    assert_int_equal(cases, 16);
    for (unsigned i = 0; i < 12; i++)
        assert_true(seen[i] > 0);
    assert_int_equal(m->ops->sync_folder(m), 0);
    simdisk_power_cut(d, &dropped);
    assert_true(!exists(d, "a") && !exists(d, "b") && exists(d, "c") && !exists(d, "d") && exists(d, "e"));
    end(d, m);
}

static void a_kill_loses_nothing_and_makes_nothing_last(void **state)
{
    simdisk *d = simdisk_new(8);
    log_disk *m = mounted(d), *other = simdisk_mount(d);
    int fd = made(m, "a", BLOCK, 'x');

    (void)state;
    assert_int_equal(fill(m, fd, 'y', 0, 512), 512);
    make(m, "b", 0);
    assert_int_equal(other->ops->begin(other, true), -EBUSY);
    other->ops->end(other);
    simdisk_kill(d);
    assert_int_equal(m->ops->sync(m, fd), -EIO); /* a corpse */
    assert_int_equal(m->ops->close(m, fd), -EIO);
    m->ops->end(m);
    m = mounted(d);
    assert_int_equal(m->ops->open(m, "a", LOG_OPEN_READ, &fd), 0);
    assert_int_equal(all_of(d, "a", 0, 512), 'y');
    assert_true(exists(d, "b"));
    simdisk_power_cut(d, &dropped);
    assert_int_equal(all_of(d, "a", 0, 512), 'x');
    assert_false(exists(d, "b"));
    end(d, m);
}

static void a_failed_sync_loses_for_good_what_readers_still_see(void **state)
{
    unsigned olds = 0, news = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        simdisk *d = simdisk_new(seed);
        log_disk *m = mounted(d);
        int fd = made(m, "a", BLOCK, 'x'), left;
        simdisk_fail(
            d, &(simdisk_fault){
                   .ops = SIMDISK_BIT(SIMDISK_SYNC), .count = 1, .status = -EIO, .lost = (simdisk_lot)(seed % 4)});
        assert_int_equal(fill(m, fd, 'y', 0, 512), 512);
        assert_int_equal(m->ops->sync(m, fd), -EIO);
        assert_int_equal(simdisk_failed(d), 1);
        assert_int_equal(simdisk_unsynced(d), 0);
        assert_int_equal(m->ops->sync(m, fd), 0);
        assert_int_equal(all_of(d, "a", 0, 512), 'y');
        assert_int_equal(simdisk_writes_to_failed(d), 0);
        assert_int_equal(fill(m, fd, 'z', 512, 512), 512);
        assert_int_equal(simdisk_writes_to_failed(d), 1);
        simdisk_kill(d);
        m->ops->end(m);
        m = mounted(d);
        assert_int_equal(all_of(d, "a", 0, 512), 'y');
        assert_int_equal(m->ops->open(m, "a", LOG_OPEN_WRITE, &fd), 0);
        assert_int_equal(m->ops->sync(m, fd), 0);
        if (seed % 2 == 0)
            simdisk_power_cut(d, &kept);
        else
            simdisk_drop_cache(d);
        left = all_of(d, "a", 0, 512);
        assert_int_equal(all_of(d, "a", 512, 512), 'z');
        olds += left == 'x';
        news += left == 'y';
        assert_true(seed % 4 != SIMDISK_DROPPED || left == 'x');
        simdisk_kill(d);
        end(d, m);
    }
    assert_true(olds > 15 && news > 15);
}

static void a_failed_sync_of_the_folder_does_the_same_to_names(void **state)
{
    simdisk *d = simdisk_new(9);
    log_disk *m = mounted(d);

    (void)state;
    make(m, "a", BLOCK);
    simdisk_fail(d, &(simdisk_fault){
                        .ops = SIMDISK_BIT(SIMDISK_SYNC_FOLDER), .count = 1, .status = -EIO, .lost = SIMDISK_DROPPED});
    assert_int_equal(m->ops->sync_folder(m), -EIO);
    assert_int_equal(m->ops->sync_folder(m), 0);
    assert_true(exists(d, "a"));
    simdisk_power_cut(d, &kept);
    assert_false(exists(d, "a"));
    end(d, m);
}

static void power_goes_at_any_operation_and_within_a_write(void **state)
{
    unsigned whole = 0;

    (void)state;
    for (uint64_t at = 1; at <= 6; at++) {
        for (int within = 0; within < 2; within++) {
            simdisk *d = simdisk_new(at);
            log_disk *m = simdisk_mount(d);
            int fd = -1, rc;
            simdisk_off_at(d, at, within);
            rc = m->ops->begin(m, true); /* 1 */
            if (rc == 0)
                rc = m->ops->create(m, "a", BLOCK, &fd); /* 2 */
            if (rc == 0)
                rc = m->ops->sync_folder(m); /* 3 */
            if (rc == 0)
                rc = fill(m, fd, 'y', 0, 512) == 512 ? 0 : -EIO; /* 4 */
            if (rc == 0)
                rc = m->ops->sync(m, fd); /* 5 */
            assert_int_equal(rc, at > 5 ? 0 : -EIO);
            assert_int_equal(simdisk_is_off(d), at <= 5);
            assert_int_equal(m->ops->list(m, NULL, NULL), -EIO); /* and stays away */
            simdisk_power_cut(d, &kept);
            m->ops->end(m);
            assert_int_equal(exists(d, "a"), at > 2);
            if (at > 2 && all_of(d, "a", 0, 512) == 'y') {
                assert_true(at > 4 || (at == 4 && within));
                whole++;
            }
            m = mounted(d);
            end(d, m);
        }
    }
    assert_int_equal(whole, 5);
}

static void faults_come_when_asked_for(void **state)
{
    simdisk *d = simdisk_new(10);
    log_disk *m = mounted(d);
    int fd = made(m, "a", BLOCK, 'x'), other;
    unsigned char bytes[BLOCK];

    (void)state;
    simdisk_fail(d, &(simdisk_fault){.ops = SIMDISK_BIT(SIMDISK_READ), .skip = 1, .count = 2, .status = -EIO});
    simdisk_fail(d, &(simdisk_fault){.ops = SIMDISK_BIT(SIMDISK_READ), .count = 1});
    assert_int_equal(m->ops->read(m, fd, bytes, 1000, 0), 500);
    assert_int_equal(m->ops->read(m, fd, bytes, 1000, 0), -EIO);
    assert_int_equal(m->ops->read(m, fd, bytes, 1000, 0), -EIO);
    assert_int_equal(m->ops->read(m, fd, bytes, 1000, BLOCK - 100), 100);
    assert_int_equal(m->ops->read(m, fd, bytes, 1000, BLOCK), 0);
    simdisk_mend(d);
    simdisk_fail(d, &(simdisk_fault){.ops = SIMDISK_BIT(SIMDISK_WRITE), .count = 1});
    simdisk_fail(d, &(simdisk_fault){.ops = SIMDISK_BIT(SIMDISK_CREATE), .status = -ENOSPC});
    simdisk_fail(d, &(simdisk_fault){.ops = SIMDISK_BIT(SIMDISK_REMOVE), .status = -EIO, .after = true});
    assert_int_equal(fill(m, fd, 'y', 0, 1000), 500);
    assert_int_equal(fill(m, fd, 'y', 0, 1000), 1000);
    for (int i = 0; i < 5; i++)
        assert_int_equal(m->ops->create(m, "b", 1, &other), -ENOSPC);
    assert_false(exists(d, "b"));
    assert_int_equal(m->ops->remove(m, "a"), -EIO);
    assert_false(exists(d, "a"));
    assert_int_equal(m->ops->close(m, fd), 0);
    assert_int_equal(simdisk_open_files(d), 0);
    end(d, m);
}

static void a_disk_is_full_when_it_is(void **state)
{
    simdisk *d = simdisk_new(11);
    log_disk *m = mounted(d);
    int a = made(m, "a", 2 * BLOCK, 'x'), b;

    (void)state;
    simdisk_capacity(d, UINT64_C(3) * BLOCK);
    assert_int_equal(m->ops->create(m, "b", 2 * BLOCK, &b), -ENOSPC);
    assert_int_equal(fill(m, a, 'y', 0, 2 * BLOCK), 2 * BLOCK);     /* what it has is its own */
    assert_int_equal(fill(m, a, 'y', 2 * BLOCK, 2 * BLOCK), BLOCK); /* as far as it goes */
    assert_int_equal(fill(m, a, 'y', 3 * BLOCK, 1), -ENOSPC);
    assert_int_equal(m->ops->truncate(m, a, 0), 0);
    b = make(m, "b", 2 * BLOCK);
    simdisk_capacity(d, UINT64_C(4) * BLOCK);
    assert_int_equal(simdisk_used(d), 2 * BLOCK);
    simdisk_thin(d, true);
    assert_int_equal(simdisk_used(d), 0);
    assert_int_equal(fill(m, b, 'y', 0, 2 * BLOCK), 2 * BLOCK);
    simdisk_capacity(d, UINT64_C(2) * BLOCK);
    assert_int_equal(fill(m, b, 'z', 0, 2 * BLOCK), 2 * BLOCK);
    assert_int_equal(m->ops->truncate(m, a, BLOCK), 0);
    assert_int_equal(fill(m, a, 'y', 0, 1), -ENOSPC);
    simdisk_kill(d);
    end(d, m);
}

static void see_call(void *arg, const simdisk_call *seen)
{
    unsigned *at = arg;

    assert_int_equal(seen->number, *at + 1);
    *at += 1;
    assert_true(*at != 2 || (seen->op == SIMDISK_CREATE && strcmp(seen->name, "a") == 0 && seen->size == BLOCK));
    assert_true(*at != 3 || (seen->op == SIMDISK_WRITE && strcmp(seen->name, "a") == 0 && seen->size == 512));
}

static void calls_are_seen_and_counted(void **state)
{
    simdisk *d = simdisk_new(12);
    log_disk *m = simdisk_mount(d);
    uint64_t out, changes;
    unsigned seen = 0;
    int fd;

    (void)state;
    simdisk_watch(d, see_call, &seen);
    assert_int_equal(m->ops->begin(m, true), 0);
    fd = make(m, "a", BLOCK);
    changes = simdisk_changes(d);
    assert_int_equal(fill(m, fd, 'y', 0, 512), 512);
    assert_true(simdisk_changes(d) > changes);
    changes = simdisk_changes(d);
    assert_int_equal(m->ops->size(m, fd, &out), 0);
    assert_int_equal(out, BLOCK);
    assert_int_equal(m->ops->written(m, fd, &out), 0);
    assert_int_equal(out, 512);
    assert_int_equal(simdisk_changes(d), changes);
    assert_int_equal(seen, 5);
    assert_int_equal(simdisk_ops(d), 5);
    assert_int_equal(simdisk_calls(d, SIMDISK_WRITE), 1);
    assert_int_equal(simdisk_open_files(d), 1);
    simdisk_watch(d, NULL, NULL);
    assert_int_equal(m->ops->close(m, fd), 0);
    end(d, m);
}

static void hands_on_the_disk_change_what_lies_there(void **state)
{
    simdisk *d = simdisk_new(13), *other = simdisk_new(14);
    log_disk *m = mounted(d);

    (void)state;
    assert_int_equal(m->ops->close(m, made(m, "a", BLOCK, 'x')), 0);
    simdisk_flip(d, "a", 8 * 7 + 1);
    simdisk_copy_file(other, "b", d, "a");
    simdisk_power_cut(d, &dropped);
    assert_int_equal(all_of(d, "a", 7, 1), 'x' ^ 2);
    assert_int_equal(all_of(d, "a", 8, BLOCK - 8), 'x');
    simdisk_cut_file(d, "a", 8);
    assert_int_equal(simdisk_file_size(d, "a"), 8);
    simdisk_remove_file(d, "a");
    assert_int_equal(simdisk_files(d, NULL, 0), 0);
    simdisk_power_cut(other, &dropped);
    assert_int_equal(all_of(other, "b", 7, 1), 'x' ^ 2);
    simdisk_free(other);
    end(d, m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_synced_stays),
        cmocka_unit_test(an_unsynced_sector_is_old_new_or_garbage),
        cmocka_unit_test(seeds_tear_in_every_way_and_again_the_same),
        cmocka_unit_test(garbage_can_take_its_whole_block),
        cmocka_unit_test(sizes_last_with_a_sync),
        cmocka_unit_test(a_file_made_may_vanish_until_the_folder_is_synced),
        cmocka_unit_test(changes_of_names_vanish_in_any_subset_that_can_be),
        cmocka_unit_test(a_kill_loses_nothing_and_makes_nothing_last),
        cmocka_unit_test(a_failed_sync_loses_for_good_what_readers_still_see),
        cmocka_unit_test(a_failed_sync_of_the_folder_does_the_same_to_names),
        cmocka_unit_test(power_goes_at_any_operation_and_within_a_write),
        cmocka_unit_test(faults_come_when_asked_for),
        cmocka_unit_test(a_disk_is_full_when_it_is),
        cmocka_unit_test(calls_are_seen_and_counted),
        cmocka_unit_test(hands_on_the_disk_change_what_lies_there),
    };

    test_watchdog(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
