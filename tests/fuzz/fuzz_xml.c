/* fuzz_xml.c - whatever a server sends as an error or a page of a listing: what comes out is what the header promises,
 * and if the first part of a page is taken for a page, it holds the same names as the whole. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "s3store/s3store.h"

#define ALL_CUTS_MAX 1024 /* longer pages are cut at some places only */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

typedef struct seen {
    unsigned entries, stop_at;
    uint64_t sum; /* of all names and sizes, by their order */
} seen;

static int see(void *arg, const char *name, size_t name_size, uint64_t size)
{
    seen *s = arg;

    check(name_size > 0 && name_size <= 1024);
    for (size_t i = 0; i < name_size; i++)
        s->sum = (s->sum ^ (unsigned char)name[i]) * UINT64_C(1099511628211);
    s->sum = (s->sum ^ size ^ name_size) * UINT64_C(1099511628211);
    return ++s->entries == s->stop_at ? -ECANCELED : 0;
}

static int read_page(const uint8_t *data, size_t size, seen *s, bool *truncated)
{
    char *exact = malloc(size > 0 ? size : 1); /* so that a byte too many is seen */
    s3_page page = {.entry = see, .arg = s};
    int rc;

    check(exact != NULL);
    if (size > 0)
        memcpy(exact, data, size);
    rc = s3_xml_list(blob_view_of(exact, size), &page);
    free(exact);
    *truncated = page.truncated;
    return rc;
}

/* The places to cut at: all, or about eight, others for each size. */
static size_t next_cut(size_t cut, size_t size)
{
    return cut + 1 + (size <= ALL_CUTS_MAX ? 0 : (size * 31 + cut * 17) % (size / 4));
}

static void fuzz_page(const uint8_t *data, size_t size)
{
    seen whole = {0};
    bool truncated, part_truncated;
    int rc = read_page(data, size, &whole, &truncated);

    check(rc == 0 || rc == -EBADMSG);
    if (whole.entries > 0) {
        seen first = {.stop_at = 1};

        check(read_page(data, size, &first, &part_truncated) == -ECANCELED && first.entries == 1);
    }
    for (size_t cut = 0; rc == 0 && cut < size; cut = next_cut(cut, size)) {
        seen part = {0};

        if (read_page(data, cut, &part, &part_truncated) == 0)
            check(part.entries == whole.entries && part.sum == whole.sum && part_truncated == truncated);
        else
            check(part.entries == 0);
    }
}

static void check_text(const char *text, size_t room)
{
    size_t size = strnlen(text, room);

    check(size < room);
    for (size_t i = 0; i < size; i++)
        check((unsigned char)text[i] >= ' ' && text[i] != 0x7f && (unsigned char)text[i] < 0xf5);
}

static void fuzz_error(const uint8_t *data, size_t size)
{
    s3_error e;
    char region[64];
    bool is;

    memset(&e, 0xa5, sizeof e);
    is = s3_xml_error(blob_view_of(data, size), &e);
    check_text(e.code, sizeof e.code);
    check_text(e.message, sizeof e.message);
    check_text(e.endpoint, sizeof e.endpoint);
    check_text(e.region, sizeof e.region);
    check(e.region[0] == '\0' || s3_http_region(e.region, strlen(e.region), region));
    check(e.server_time_s >= -1);
    check(is || (e.code[0] == '\0' && e.message[0] == '\0' && e.region[0] == '\0' && e.endpoint[0] == '\0' &&
                 e.server_time_s == -1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_page(data, size);
    fuzz_error(data, size);
    return 0;
}
