/* chunks.c - a body that comes in chunks, taken apart byte by byte, so that it does not matter in what pieces it came.
 *
 *     SIZE in hex [; extension] CR LF, so many bytes, CR LF, and again; a SIZE of 0, [trailer CR LF]... CR LF
 *
 * No LF without its CR here, and no CR without its LF: where a chunk ends must be the same for every reader. Lines are
 * bounded, for they are passed over and count for nothing in what bounds the body. */
#include "s3store/net.h"

#include <errno.h>

enum {
    CHUNKS_SIZE,       /* before and in a size; digits says which */
    CHUNKS_BLANK,      /* behind a size, before an extension */
    CHUNKS_EXTENSION,  /* up to the line's end */
    CHUNKS_SIZE_LF,    /* the line's CR has come */
    CHUNKS_PAYLOAD,    /* and the CR LF behind it */
    CHUNKS_PAYLOAD_LF, /* its CR has come */
    CHUNKS_TRAILER,    /* at the start of a line behind the last chunk */
    CHUNKS_TRAILER_IN, /* in such a line */
    CHUNKS_TRAILER_LF, /* its CR has come */
    CHUNKS_LAST_LF,    /* the CR of the empty line has come */
    CHUNKS_END,
    CHUNKS_BAD
};
#define CHUNKS_DIGITS_MAX 15 /* nobody's sums overflow */
#define CHUNKS_LINE_MAX 4096
#define CHUNKS_TRAILER_MAX 16384

static int chunks_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* One byte of a size's line. */
static unsigned char chunks_size(s3_chunks *c, char byte)
{
    int digit = chunks_digit(byte);

    if (++c->line > CHUNKS_LINE_MAX || byte == '\0')
        return CHUNKS_BAD;
    if (c->state == CHUNKS_SIZE_LF) {
        if (byte != '\n')
            return CHUNKS_BAD;
        c->line = c->digits = 0;
        return c->left > 0 ? CHUNKS_PAYLOAD : CHUNKS_TRAILER;
    }
    if (c->state == CHUNKS_SIZE && digit >= 0) {
        if (++c->digits > CHUNKS_DIGITS_MAX)
            return CHUNKS_BAD;
        c->left = c->left * 16 + (unsigned)digit;
        return CHUNKS_SIZE;
    }
    if (c->digits == 0 || byte == '\n')
        return CHUNKS_BAD;
    if (byte == '\r')
        return CHUNKS_SIZE_LF;
    if (c->state == CHUNKS_EXTENSION || byte == ';')
        return CHUNKS_EXTENSION;
    return byte == ' ' || byte == '\t' ? CHUNKS_BLANK : CHUNKS_BAD;
}

/* One byte behind the last chunk. */
static unsigned char chunks_trailer(s3_chunks *c, char byte)
{
    if (++c->trailer > CHUNKS_TRAILER_MAX || byte == '\0')
        return CHUNKS_BAD;
    switch (c->state) {
    case CHUNKS_TRAILER:
        c->line = 0;
        if (byte == '\r')
            return CHUNKS_LAST_LF;
        return byte == '\n' ? CHUNKS_BAD : CHUNKS_TRAILER_IN;
    case CHUNKS_TRAILER_IN:
        if (++c->line > CHUNKS_LINE_MAX || byte == '\n')
            return CHUNKS_BAD;
        return byte == '\r' ? CHUNKS_TRAILER_LF : CHUNKS_TRAILER_IN;
    case CHUNKS_TRAILER_LF:
        return byte == '\n' ? CHUNKS_TRAILER : CHUNKS_BAD;
    default:
        return byte == '\n' ? CHUNKS_END : CHUNKS_BAD;
    }
}

int s3_chunks_next(s3_chunks *c, const char *bytes, size_t size, size_t *skip, size_t *payload)
{
    size_t at = 0;

    *payload = 0;
    while (c->state != CHUNKS_END && c->state != CHUNKS_BAD && at < size && *payload == 0) {
        if (c->state == CHUNKS_PAYLOAD && c->left > 0) {
            *payload = size - at < c->left ? size - at : (size_t)c->left;
            c->left -= *payload;
        } else if (c->state == CHUNKS_PAYLOAD) {
            c->state = bytes[at++] == '\r' ? CHUNKS_PAYLOAD_LF : CHUNKS_BAD;
        } else if (c->state == CHUNKS_PAYLOAD_LF) {
            c->state = bytes[at++] == '\n' ? CHUNKS_SIZE : CHUNKS_BAD;
        } else if (c->state < CHUNKS_PAYLOAD) {
            c->state = chunks_size(c, bytes[at++]);
        } else {
            c->state = chunks_trailer(c, bytes[at++]);
        }
    }
    *skip = at;
    if (c->state == CHUNKS_BAD)
        return -EBADMSG;
    return c->state == CHUNKS_END;
}
