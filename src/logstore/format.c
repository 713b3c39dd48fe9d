/* format.c - bytes on the disk <-> structs; format.h has the picture. */
#include "logstore/format.h"

#include <stdlib.h>
#include <string.h>

#include "hash/crc32c.h"

static const unsigned char format_header_magic[8] = {'w', 'b', 's', 't', 'l', 'o', 'g', '\n'};
static const unsigned char format_record_magic[4] = {'w', 'b', 'r', '\n'};
static const unsigned char format_trailer_magic[8] = {'w', 'b', 's', 't', 'e', 'n', 'd', '\n'};

static void put_le(unsigned char *to, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = (unsigned char)(v >> 8 * i);
}

static uint64_t get_le(const unsigned char *from, size_t bytes)
{
    uint64_t v = 0;

    for (size_t i = 0; i < bytes; i++)
        v |= (uint64_t)from[i] << 8 * i;
    return v;
}

static uint32_t get_le32(const unsigned char *from)
{
    return (uint32_t)get_le(from, 4);
}

uint32_t wb_log_crc(const void *data, size_t size)
{
    return wb_crc32c(0, data, size);
}

/* ---- records ---- */

static uint32_t record_crc(const unsigned char *header, uint64_t log_id, uint64_t offset, size_t key_size)
{
    unsigned char salt[16];

    put_le(salt, log_id, 8);
    put_le(salt + 8, offset, 8);
    return wb_crc32c(wb_crc32c(0, salt, sizeof salt), header + 8, LOG_RECORD_HEADER - 8 + key_size);
}

void wb_log_record_encode(unsigned char *to, log_where where, const log_record *r)
{
    memcpy(to, format_record_magic, sizeof format_record_magic);
    put_le(to + 8, where.segment, 8);
    put_le(to + 16, r->lsn, 8);
    put_le(to + 24, r->durable, 8);
    put_le(to + 32, r->size, 8);
    put_le(to + 40, r->crc, 4);
    to[44] = r->type;
    to[45] = r->flags;
    to[46] = r->key_size;
    to[47] = 0;
    put_le(to + 48, (uint64_t)r->time_ms, 8);
    put_le(to + 56, where.log_id, 8);
    put_le(to + 4, record_crc(to, where.log_id, r->offset, r->key_size), 4);
}

uint64_t wb_log_record_log_id(const unsigned char *from)
{
    return get_le(from + 56, 8);
}

bool wb_log_record_decode(const unsigned char *from, size_t room, log_where where, uint64_t offset, log_record *r,
                          bool *like)
{
    if (like != NULL)
        *like = false;
    if (room < LOG_RECORD_HEADER || memcmp(from, format_record_magic, sizeof format_record_magic) != 0 ||
        get_le(from + 8, 8) != where.segment || wb_log_record_log_id(from) != where.log_id)
        return false;
    if (like != NULL)
        *like = true;
    *r = (log_record){
        .offset = offset,
        .lsn = get_le(from + 16, 8),
        .durable = get_le(from + 24, 8),
        .size = get_le(from + 32, 8),
        .crc = get_le32(from + 40),
        .type = from[44],
        .flags = from[45],
        .key_size = from[46],
        .time_ms = (int64_t)get_le(from + 48, 8),
        .key = from + LOG_RECORD_HEADER,
    };
    return room - LOG_RECORD_HEADER >= r->key_size &&
           get_le32(from + 4) == record_crc(from, where.log_id, offset, r->key_size);
}

/* ---- the header of a segment ---- */

void wb_log_header_encode(unsigned char block[LOG_BLOCK], const log_header *h)
{
    memset(block, 0, LOG_BLOCK);
    memcpy(block, format_header_magic, sizeof format_header_magic);
    put_le(block + 12, h->version, 4);
    put_le(block + 16, h->features, 8);
    put_le(block + 24, h->log_id, 8);
    put_le(block + 32, h->segment, 8);
    put_le(block + 40, h->first_lsn, 8);
    put_le(block + 48, (uint64_t)h->time_ms, 8);
    block[56] = h->recovery;
    block[57] = h->unsynced;
    put_le(block + 8, wb_crc32c(0, block + 12, LOG_HEADER_BYTES - 12), 4);
    memcpy(block + LOG_HEADER_COPY, block, LOG_HEADER_BYTES);
}

static bool header_decode_one(const unsigned char *from, log_header *h)
{
    if (memcmp(from, format_header_magic, sizeof format_header_magic) != 0 ||
        get_le32(from + 8) != wb_crc32c(0, from + 12, LOG_HEADER_BYTES - 12))
        return false;
    *h = (log_header){
        .version = get_le32(from + 12),
        .features = get_le(from + 16, 8),
        .log_id = get_le(from + 24, 8),
        .segment = get_le(from + 32, 8),
        .first_lsn = get_le(from + 40, 8),
        .time_ms = (int64_t)get_le(from + 48, 8),
        .recovery = from[56] != 0,
        .unsynced = from[57] != 0,
    };
    return true;
}

bool wb_log_header_decode(const unsigned char block[LOG_BLOCK], log_header *h)
{
    return header_decode_one(block, h) || header_decode_one(block + LOG_HEADER_COPY, h);
}

/* ---- the end of a sealed segment ---- */

void wb_log_trailer_encode(unsigned char to[LOG_TRAILER_BYTES], const log_trailer *t)
{
    memcpy(to, format_trailer_magic, sizeof format_trailer_magic);
    put_le(to + 12, t->footer_crc, 4);
    put_le(to + 16, t->log_id, 8);
    put_le(to + 24, t->segment, 8);
    put_le(to + 32, t->first_lsn, 8);
    put_le(to + 40, t->records, 8);
    put_le(to + 48, t->durable, 8);
    put_le(to + 56, t->footer_offset, 8);
    put_le(to + 64, t->footer_bytes, 8);
    put_le(to + 72, t->continued, 8);
    put_le(to + 8, wb_crc32c(0, to + 12, LOG_TRAILER_BYTES - 12), 4);
}

bool wb_log_trailer_decode(const unsigned char from[LOG_TRAILER_BYTES], log_trailer *t)
{
    if (memcmp(from, format_trailer_magic, sizeof format_trailer_magic) != 0 ||
        get_le32(from + 8) != wb_crc32c(0, from + 12, LOG_TRAILER_BYTES - 12))
        return false;
    *t = (log_trailer){
        .footer_crc = get_le32(from + 12),
        .log_id = get_le(from + 16, 8),
        .segment = get_le(from + 24, 8),
        .first_lsn = get_le(from + 32, 8),
        .records = get_le(from + 40, 8),
        .durable = get_le(from + 48, 8),
        .footer_offset = get_le(from + 56, 8),
        .footer_bytes = get_le(from + 64, 8),
        .continued = from[72] != 0,
    };
    return true;
}

/* ---- the footer ---- */

bool wb_log_bytes_reserve(log_bytes *b, size_t more)
{
    size_t room = b->room > 0 ? b->room : 4096;
    unsigned char *data;

    if (more <= b->room - b->size)
        return true;
    while (room - b->size < more) {
        if (room > SIZE_MAX / 2)
            return false;
        room *= 2;
    }
    if ((data = realloc(b->data, room)) == NULL)
        return false;
    b->data = data;
    b->room = room;
    return true;
}

void wb_log_footer_add(log_bytes *footer, const log_record *r)
{
    unsigned char *to = footer->data + footer->size;

    put_le(to, r->offset / 8, 4);
    to[4] = r->type;
    to[5] = r->key_size;
    put_le(to + 6, r->padding, 2);
    put_le(to + 8, r->size, 8);
    put_le(to + 16, r->crc, 4);
    put_le(to + 20, (uint64_t)r->time_ms, 8);
    if (r->key_size > 0)
        memcpy(to + LOG_FOOTER_ENTRY, r->key, r->key_size);
    footer->size += LOG_FOOTER_ENTRY + r->key_size;
}

void wb_log_footer_pad(log_bytes *footer, size_t key_size, uint16_t padding)
{
    put_le(footer->data + footer->size - LOG_FOOTER_ENTRY - key_size + 6, padding, 2);
}

bool wb_log_footer_next(const unsigned char *footer, size_t size, size_t *at, log_record *r)
{
    const unsigned char *from = footer + *at;

    if (size - *at < LOG_FOOTER_ENTRY || size - *at - LOG_FOOTER_ENTRY < from[5])
        return false;
    *r = (log_record){
        .offset = get_le(from, 4) * 8,
        .type = from[4],
        .key_size = from[5],
        .padding = (uint16_t)get_le(from + 6, 2),
        .size = get_le(from + 8, 8),
        .crc = get_le32(from + 16),
        .time_ms = (int64_t)get_le(from + 20, 8),
        .key = from + LOG_FOOTER_ENTRY,
    };
    *at += LOG_FOOTER_ENTRY + r->key_size;
    return true;
}
