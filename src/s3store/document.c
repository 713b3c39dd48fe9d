/* document.c - what S3's documents say: errors, and the pages of a listing.
 *
 * A page is read twice. First as a whole: it tells how its names are encoded, perhaps behind the names, and only a whole
 * page is one. Then for its objects.
 *
 * An error's words come from the other side and end up in messages and, a region, in requests: they are made harmless. */
#include "s3store/s3store.h"
#include "s3store/xml.h"

#include <errno.h>
#include <string.h>

#define DOC_NAME_MAX 1024 /* of an object, decoded */

/* ---- Errors ---- */

/* How many bytes the character has that begins here; 0: that is no UTF-8, or nothing to show to people. */
static size_t doc_character(const unsigned char *b, size_t size)
{
    size_t count = b[0] < 0xc2 ? 1 : b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;

    if (b[0] < 0x80)
        return b[0] >= ' ' && b[0] != 0x7f;
    if (count == 1 || b[0] > 0xf4 || count > size)
        return 0;
    for (size_t i = 1; i < count; i++)
        if ((b[i] & 0xc0) != 0x80)
            return 0;
    if ((b[0] == 0xc2 && b[1] < 0xa0) ||                                  /* controls */
        (b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xf0 && b[1] < 0x90) || /* longer than need be */
        (b[0] == 0xed && b[1] >= 0xa0) || (b[0] == 0xf4 && b[1] >= 0x90)) /* surrogates, beyond the last */
        return 0;
    if (b[0] == 0xe2 && ((b[1] == 0x80 && b[2] >= 0xa8 && b[2] <= 0xae) || /* ends of lines, changes of direction */
                         (b[1] == 0x81 && b[2] >= 0xa6 && b[2] <= 0xa9)))
        return 0;
    return count;
}

/* Copies as many whole characters as fit; what is none becomes "?", a blank of any kind a space. */
static void doc_harmless(char *out, size_t room, const s3_xml_want *value)
{
    const unsigned char *from = (const unsigned char *)value->data;
    size_t used = 0, count;

    for (size_t at = 0; at<value->size; at += count> 0 ? count : 1) {
        count = doc_character(from + at, value->size - at);
        if (used + (count > 0 ? count : 1) >= room)
            break;
        if (count > 0)
            memcpy(out + used, from + at, count);
        else
            out[used] = from[at] == '\t' || from[at] == '\n' || from[at] == '\r' ? ' ' : '?';
        used += count > 0 ? count : 1;
    }
    out[used] = '\0';
}

bool s3_xml_error(blob_view document, s3_error *out)
{
    char code[sizeof out->code - 1], message[4 * sizeof out->message], region[sizeof out->region - 1];
    char endpoint[sizeof out->endpoint - 1], time[40];
    s3_xml_want wants[] = {
        {.name = "Code", .data = code, .room = sizeof code},
        {.name = "Message", .data = message, .room = sizeof message},
        {.name = "Region", .data = region, .room = sizeof region},
        {.name = "Endpoint", .data = endpoint, .room = sizeof endpoint},
        {.name = "ServerTime", .data = time, .room = sizeof time},
    };
    s3_xml_reader x;
    s3_xml_text child;
    int rc = -EBADMSG;

    *out = (s3_error){.server_time_s = -1};
    if (s3_xml_begin(&x, document))
        while ((rc = s3_xml_child(&x, "Error", wants, sizeof wants / sizeof *wants, &child)) == 1)
            ;
    if (rc != 0)
        return false;
    if (!wants[0].cut)
        doc_harmless(out->code, sizeof out->code, &wants[0]);
    doc_harmless(out->message, sizeof out->message, &wants[1]);
    if (!wants[2].cut)
        (void)s3_http_region(region, wants[2].size, out->region);
    if (!wants[3].cut)
        doc_harmless(out->endpoint, sizeof out->endpoint, &wants[3]);
    if (!wants[4].cut)
        out->server_time_s = s3_iso_date(time, wants[4].size);
    return true;
}

/* ---- Pages ---- */

enum { DOC_KEY, DOC_SIZE, DOC_TRUNCATED, DOC_ENCODING, DOC_TOKEN, DOC_WANTS };

typedef struct doc_page {
    s3_xml_reader x;
    s3_xml_want wants[DOC_WANTS];
    bool encoded;
    char key[3 * DOC_NAME_MAX], size[32], truncated[16], encoding[16], token[S3_TOKEN_MAX];
} doc_page;

static bool doc_begin(doc_page *p, blob_view document)
{
    p->wants[DOC_KEY] = (s3_xml_want){.parent = "Contents", .name = "Key", .data = p->key, .room = sizeof p->key};
    p->wants[DOC_SIZE] = (s3_xml_want){.parent = "Contents", .name = "Size", .data = p->size, .room = sizeof p->size};
    p->wants[DOC_TRUNCATED] = (s3_xml_want){.name = "IsTruncated", .data = p->truncated, .room = sizeof p->truncated};
    p->wants[DOC_ENCODING] = (s3_xml_want){.name = "EncodingType", .data = p->encoding, .room = sizeof p->encoding};
    p->wants[DOC_TOKEN] = (s3_xml_want){.name = "NextContinuationToken", .data = p->token, .room = sizeof p->token};
    return s3_xml_begin(&p->x, document);
}

/* 1: another object, its values stand in wants; 0: the page has ended; -EBADMSG. */
static int doc_next(doc_page *p)
{
    s3_xml_text child = {0};
    int rc;

    for (unsigned i = DOC_KEY; i <= DOC_SIZE; i++) {
        p->wants[i].size = 0;
        p->wants[i].found = false;
    }
    do
        rc = s3_xml_child(&p->x, "ListBucketResult", p->wants, DOC_WANTS, &child);
    while (rc == 1 && !s3_xml_is_named(child, "Contents"));
    if (rc == 1 && (p->wants[DOC_KEY].size == 0 || p->wants[DOC_KEY].cut))
        return -EBADMSG;
    return rc;
}

/* Without the blanks around; nothing if it was cut. */
static s3_xml_text doc_value(const s3_xml_want *value)
{
    static const char blanks[] = " \t\r\n";
    s3_xml_text t = {value->data, value->cut ? 0 : value->size};

    while (t.size > 0 && memchr(blanks, t.data[0], 4) != NULL) {
        t.data++;
        t.size--;
    }
    while (t.size > 0 && memchr(blanks, t.data[t.size - 1], 4) != NULL)
        t.size--;
    return t;
}

static bool doc_is(const s3_xml_want *value, const char *word)
{
    s3_xml_text t = doc_value(value);

    return t.size == strlen(word) && memcmp(t.data, word, t.size) == 0;
}

static bool doc_number(const s3_xml_want *value, uint64_t *out)
{
    s3_xml_text t = doc_value(value);
    uint64_t n = 0;

    for (size_t i = 0; i < t.size; i++) {
        unsigned digit = (unsigned)(t.data[i] - '0');

        if (t.data[i] < '0' || t.data[i] > '9' || n > (UINT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *out = n;
    return t.size > 0;
}

static unsigned doc_digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    return c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10 : 16;
}

/* Decodes a name where it stands: percents, and a plus for a space, as Amazon writes it. */
static bool doc_decode(char *name, size_t *size)
{
    size_t used = 0;

    for (size_t at = 0; at < *size; at++) {
        if (name[at] == '%') {
            unsigned high = at + 2 < *size ? doc_digit(name[at + 1]) : 16;
            unsigned low = high < 16 ? doc_digit(name[at + 2]) : 16;

            if (low == 16)
                return false;
            name[used++] = (char)(high << 4 | low);
            at += 2;
        } else {
            name[used++] = (char)(name[at] == '+' ? ' ' : name[at]);
        }
    }
    *size = used;
    return true;
}

static int doc_entry(doc_page *p, s3_page *page)
{
    size_t key_size = p->wants[DOC_KEY].size;
    uint64_t size = UINT64_MAX;

    if (p->encoded && !doc_decode(p->key, &key_size))
        return -EBADMSG;
    if (key_size > DOC_NAME_MAX || (p->wants[DOC_SIZE].found && !doc_number(&p->wants[DOC_SIZE], &size)))
        return -EBADMSG;
    return page->entry(page->arg, p->key, key_size, size);
}

/* Reads it as a whole, for what stands anywhere in it, and leaves it at its start again. */
static int doc_survey(doc_page *p, blob_view document, s3_page *page)
{
    s3_xml_text token;
    bool more;
    int rc;

    if (!doc_begin(p, document))
        return -EBADMSG;
    while ((rc = doc_next(p)) == 1)
        ;
    more = doc_is(&p->wants[DOC_TRUNCATED], "true");
    p->encoded = doc_is(&p->wants[DOC_ENCODING], "url");
    if (rc != 0 || (!more && !doc_is(&p->wants[DOC_TRUNCATED], "false")) ||
        (!p->encoded && !doc_is(&p->wants[DOC_ENCODING], "")) || p->wants[DOC_ENCODING].cut)
        return -EBADMSG;
    page->truncated = more;
    token = doc_value(&p->wants[DOC_TOKEN]);
    memcpy(page->token, token.data, page->token_size = token.size);
    return doc_begin(p, document) ? 0 : -EBADMSG;
}

int s3_xml_list(blob_view document, s3_page *page)
{
    doc_page p;
    int rc;

    page->truncated = false;
    page->token_size = 0;
    rc = doc_survey(&p, document, page);
    while (rc == 0 && (rc = doc_next(&p)) == 1)
        rc = doc_entry(&p, page);
    return rc;
}
