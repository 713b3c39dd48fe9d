/* format.h - what a log looks like on the disk. Numbers are little-endian, checksums CRC32C.
 *
 *     segment   | header block | records ...   batch, batch, batch ... | (nothing) | footer | trailer |
 *               0            4096                                                                   end of file
 *
 *     header    two copies, at 0 and at 2048: 64 bytes each
 *         0  magic "wbstlog\n"    8  crc of 12..63    12  version    16  features that a reader must know
 *        24  id of the log        32  number of the segment          40  LSN of its first record
 *        48  time of its making   56  1: a recovery made it, to write the tail again; 0 else
 *        57  1: a log that never syncs made it; 0 else
 *     record    at a multiple of 8; the first one of a synced batch, and every large one, at a multiple of 4096
 *         0  magic "wbr\n"        4  crc of log id, offset, 8..63 and key    8  number of the segment
 *        16  LSN                  24  LSN up to which all was on the disk when this was written
 *        32  size of the payload  40  crc of the payload   44  type   45  flags   46  size of the key   47  zero
 *        48  time of the put      56  id of the log        64  key, then payload, then zeroes up to a multiple of 8
 *     footer    an entry a record, in order: 28 bytes and the key
 *         0  offset / 8            4  type    5  size of the key    6  padding behind the record
 *         8  size of the payload  16  crc of the payload           20  time of the put     28  key
 *     trailer   80 bytes, the last ones of the file; only a sealed segment has one
 *         0  magic "wbstend\n"    8  crc of 12..79    12  crc of the footer   16  id of the log
 *        24  number of the segment   32  LSN of its first record   40  how many records
 *        48  LSN up to which all was on the disk when this was written   56  offset of the footer   64  its bytes
 *        72  1: there was a next segment already; 0 else
 *
 * The number of the segment and the id of the log stand in each record, and its offset is in its checksum: so one that
 * an earlier life of the file left behind, one that lies in the wrong place, or one that is part of somebody's payload,
 * does not pass. The checksum of the payload is apart from that of the header, so that opening a log need not read
 * payloads. */
#ifndef WB_LOGSTORE_FORMAT_H
#define WB_LOGSTORE_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wbstore/blob.h>

#define LOG_BLOCK ((uint64_t)4096)
#define LOG_VERSION 1u
#define LOG_FEATURES 0u /* those that this code knows */
#define LOG_HEADER_BYTES 64
#define LOG_HEADER_COPY 2048 /* where the second one is */
#define LOG_RECORD_HEADER ((size_t)64)
#define LOG_FOOTER_ENTRY ((size_t)28)
#define LOG_TRAILER_BYTES ((size_t)80)

typedef enum log_type {
    LOG_PUT = 1,
    LOG_TOMBSTONE,
    LOG_NOTE, /* says nothing: what a segment begins with after a crash */
    LOG_VOUCH /* says nothing but up to where all is on the disk; has no LSN of its own but the last one given */
} log_type;
#define LOG_FLAG_DAMAGED 1u /* the payload is known not to match its crc, and kept for what it is */

/* Which segment of which log. */
typedef struct log_where {
    uint64_t log_id, segment;
} log_where;

typedef struct log_record {
    uint64_t offset, lsn, durable, size;
    int64_t time_ms;
    uint32_t crc;
    uint16_t padding; /* from a footer; 0 else */
    uint8_t type, flags, key_size;
    const unsigned char *key;
} log_record;

static inline uint64_t wb_log_round(uint64_t bytes, uint64_t to)
{
    return (bytes + to - 1) / to * to;
}
static inline uint64_t wb_log_record_bytes(size_t key_size, uint64_t size)
{
    return wb_log_round(LOG_RECORD_HEADER + key_size + size, 8);
}

/* Writes the 64 bytes at to; r->key must be what stands behind them. */
void wb_log_record_encode(unsigned char *to, log_where where, const log_record *r);
/* What stands at from, if it is a record of that place and its key lies within room: r->key points into it. `like` (may
 * be NULL) is set where all but the checksum says that it is one. */
bool wb_log_record_decode(const unsigned char *from, size_t room, log_where where, uint64_t offset, log_record *r,
                          bool *like);

/* The id of the log that a record's header states; it says nothing before the record is decoded with it. */
uint64_t wb_log_record_log_id(const unsigned char *from);

typedef struct log_header {
    uint64_t log_id, segment, first_lsn, features;
    int64_t time_ms;
    uint32_t version;
    bool recovery, unsynced;
} log_header;
void wb_log_header_encode(unsigned char block[LOG_BLOCK], const log_header *h); /* both copies */
bool wb_log_header_decode(const unsigned char block[LOG_BLOCK], log_header *h);

typedef struct log_trailer {
    uint64_t log_id, segment, first_lsn, records, durable, footer_offset, footer_bytes;
    uint32_t footer_crc;
    bool continued;
} log_trailer;
void wb_log_trailer_encode(unsigned char to[LOG_TRAILER_BYTES], const log_trailer *t);
bool wb_log_trailer_decode(const unsigned char from[LOG_TRAILER_BYTES], log_trailer *t);

uint32_t wb_log_crc(const void *data, size_t size);

/* Bytes that grow. */
typedef struct log_bytes {
    unsigned char *data;
    size_t size, room;
} log_bytes;
bool wb_log_bytes_reserve(log_bytes *b, size_t more); /* false: no memory */

void wb_log_footer_add(log_bytes *footer, const log_record *r);               /* where room was reserved */
void wb_log_footer_pad(log_bytes *footer, size_t key_size, uint16_t padding); /* of the entry added last */
/* The entry at *at, and moves *at behind it; false where there is none. lsn, durable and flags are not in a footer. */
bool wb_log_footer_next(const unsigned char *footer, size_t size, size_t *at, log_record *r);

#endif
