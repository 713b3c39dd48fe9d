/* log_foreign.c - a host of a log that does what its arguments say, and looks closely: built for this machine and for one
 * of the other byte order, it opens with the one what the other wrote (tests/test_log_foreign.sh).
 *
 *     log_foreign order                        prints byte order and width
 *     log_foreign HOW FOLDER WHAT...           HOW: each, later (synced at close only), look (read only)
 *
 *     put A B, replace A B, delete A B, lazy A B     blobs number A to B - 1
 *     old A B, new A B      these should be there, as put or as replaced
 *     check                 what should be there is, every byte, and nothing else; nothing is damaged
 *     recovered             opening it found records that nothing vouched for, and wrote them again
 *     die                   ends as a kill does, with the log open
 *
 * The key of a blob is the SHA-256 of what was put first under it, so the hashes must agree too. Exits with 1 and a
 * line that says why. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wbstore/stores.h>

enum { BLOBS_MAX = 400 };

typedef struct host {
    blob_store *log;
    unsigned char expected[BLOBS_MAX]; /* 0: not there, 1: as put, 2: as replaced */
    unsigned checked;
} host;

static void fail(const char *what, int status)
{
    blob_error error;

    blob_last_error(&error);
    fprintf(stderr, "log_foreign: %s: %s %s\n", what, blob_strerror(status), status != 0 ? error.text : "");
    exit(1);
}

/* ---- blobs by number ---- */

/* Small ones, some that fill a segment, a few that get one of their own, two that are written in several goes. */
static size_t blob_size(unsigned number)
{
    static const size_t odd[] = {0, 1, 7, 4095, 4096, 4097, 61000, 200000};

    if (number % 200 == 30)
        return (size_t)3 << 20;
    return number % 40 < sizeof odd / sizeof *odd ? odd[number % 40] : number * 37 % 5000;
}

/* To be freed. Bytes are made one by one, so their order is nobody's. */
static unsigned char *blob_bytes(unsigned number, int version, size_t *size)
{
    uint32_t x = number * 2654435761u + (uint32_t)version;
    unsigned char *bytes;

    *size = blob_size(number) + (version == 2 ? 3 : 0);
    bytes = malloc(*size + 8);
    if (bytes == NULL)
        fail("no memory", 0);
    for (size_t i = 0; i < *size; i++) {
        x = x * 1664525u + 1013904223u;
        bytes[i] = (unsigned char)(x >> 24);
    }
    for (unsigned i = 0; i < 4 && i < *size; i++)
        bytes[i] = (unsigned char)(number >> 8 * i); /* or two of one byte might be the same */
    return bytes;
}

static blob_address blob_address_of(unsigned number)
{
    blob_address address = {.size = blob_hash_sha256()->size};
    size_t size;
    unsigned char *bytes = blob_bytes(number, 1, &size);

    bytes[size] = (unsigned char)number; /* nor is the empty one alone */
    bytes[size + 1] = (unsigned char)(number >> 8);
    blob_hash_sha256()->digest(bytes, size + 2, address.bytes);
    free(bytes);
    return address;
}

/* ---- what can be asked for ---- */

static void do_put(host *h, unsigned number, int version)
{
    blob_address address = blob_address_of(number);
    size_t size;
    unsigned char *bytes = blob_bytes(number, version, &size);
    int rc = blob_store_put(h->log, NULL, blob_address_key(&address), blob_view_of(bytes, size),
                            version == 2 ? BLOB_REPLACE : 0);

    free(bytes);
    if (rc != 0)
        fail("put", rc);
}

static void do_delete(host *h, unsigned number, unsigned flags)
{
    blob_address address = blob_address_of(number);
    int rc = blob_store_delete(h->log, NULL, blob_address_key(&address), flags);

    if (rc != 0)
        fail("delete", rc);
}

static void check_one(host *h, unsigned number)
{
    blob_address address = blob_address_of(number);
    blob *b;
    int rc = blob_store_get(h->log, NULL, blob_address_key(&address), &b);
    unsigned char *bytes;
    size_t size;

    if (h->expected[number] == 0) {
        if (rc != BLOB_NOT_FOUND)
            fail("a blob is there that should not be", rc);
        return;
    }
    if (rc != 0)
        fail("get", rc);
    bytes = blob_bytes(number, h->expected[number], &size);
    if (b->size != size || memcmp(b->data, bytes, size) != 0)
        fail("a blob has other bytes than were put", 0);
    free(bytes);
    blob_unref(b);
    h->checked++;
}

static int one_listed(void *arg, blob_key key, uint64_t size)
{
    uint64_t *listed = arg;

    (void)size;
    if (key.size != blob_hash_sha256()->size)
        fail("a key of another size is listed", 0);
    ++*listed;
    return 0;
}

static int one_finding(void *arg, const blob_logstore_finding *finding)
{
    (void)arg;
    fprintf(stderr, "log_foreign: %s at %" PRIu64 ": %s\n", finding->file, finding->offset, finding->text);
    return -1;
}

static blob_logstore_info info_of(host *h)
{
    blob_logstore_info info = {.struct_size = sizeof info};
    int rc = blob_logstore_get_info(h->log, &info);

    if (rc != 0)
        fail("info", rc);
    return info;
}

static void do_check(host *h)
{
    blob_logstore_info info;
    uint64_t listed = 0;
    int rc;

    h->checked = 0;
    for (unsigned number = 0; number < BLOBS_MAX; number++)
        check_one(h, number);
    if ((rc = blob_store_list(h->log, NULL, blob_key_of(NULL, 0), one_listed, &listed)) != 0)
        fail("list", rc);
    if (listed != h->checked)
        fail("another number of blobs is listed", 0);
    if ((rc = blob_logstore_findings(h->log, NULL, 1, one_finding, NULL)) != 0)
        fail("findings", rc);
    info = info_of(h);
    if (info.damaged_records != 0 || info.torn_records != 0 || info.set_aside_segments != 0)
        fail("something is damaged", 0);
    printf("%u blobs are right\n", h->checked);
}

static void do_range(host *h, const char *what, unsigned from, unsigned to)
{
    for (unsigned number = from; number < to && number < BLOBS_MAX; number++) {
        if (strcmp(what, "put") == 0)
            do_put(h, number, 1);
        else if (strcmp(what, "replace") == 0)
            do_put(h, number, 2);
        else if (strcmp(what, "delete") == 0)
            do_delete(h, number, 0);
        else if (strcmp(what, "lazy") == 0)
            do_delete(h, number, BLOB_LAZY);
        else if (strcmp(what, "old") == 0)
            h->expected[number] = 1;
        else if (strcmp(what, "new") == 0)
            h->expected[number] = 2;
        else
            fail(what, -1);
    }
}

/* Segments so small that there are many, read through footers; and no payload comes from memory. */
static void open_log(host *h, const char *how, const char *dir)
{
    blob_logstore_options options = blob_logstore_options_default();
    int rc;

    options.segment_bytes = (uint64_t)64 << 10;
    options.cache_bytes = 1;
    if (strcmp(how, "later") == 0) {
        options.sync = BLOB_LOGSTORE_SYNC_INTERVAL;
        options.sync_interval_ms = (int64_t)3600 * 1000;
    }
    options.read_only = strcmp(how, "look") == 0;
    if ((rc = blob_logstore_open(&h->log, dir, &options)) != 0)
        fail("open", rc);
}

static void print_order(void)
{
    const uint16_t one = 1;
    unsigned char first;

    memcpy(&first, &one, 1);
    printf("%s %u\n", first == 1 ? "little" : "big", (unsigned)(8 * sizeof(size_t)));
}

int main(int argc, char **argv)
{
    static host h;
    int rc;

    if (argc == 2 && strcmp(argv[1], "order") == 0) {
        print_order();
        return 0;
    }
    if (argc < 3)
        fail("see the source for its arguments", 0);
    open_log(&h, argv[1], argv[2]);
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "check") == 0) {
            do_check(&h);
        } else if (strcmp(argv[i], "recovered") == 0) {
            if (info_of(&h).rewritten == 0)
                fail("nothing was written again", 0);
        } else if (strcmp(argv[i], "die") == 0) {
            fflush(stdout);
            (void)kill(getpid(), SIGKILL);
        } else if (i + 2 < argc) {
            do_range(&h, argv[i], (unsigned)strtoul(argv[i + 1], NULL, 10), (unsigned)strtoul(argv[i + 2], NULL, 10));
            i += 2;
        } else {
            fail(argv[i], 0);
        }
    }
    if ((rc = blob_store_close(h.log, NULL)) != 0)
        fail("close", rc);
    return 0;
}
