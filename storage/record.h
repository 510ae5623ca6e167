/* storage/record.h -- one record of the log: what a worker appends and every reader walks.
 * Little-endian, unaligned, final from the first release:
 *
 *     u32 bytes      of the whole record, this header included
 *     u8  type       enum record_type
 *     u8  flags      enum record_flags
 *     u16 schema     message type of a telemetry payload (schema_id()); 0 = raw
 *     u32 bike       dense bike number; 0 = none
 *     u64 recv_ms    wall time of arrival, Unix ms
 *     [u16 topic_len, topic]   with RECORD_HAS_TOPIC
 *     payload        the rest, as received
 *
 * A record's sequence number is its position: the block's first sequence plus its index. */
#ifndef FREEHUB_STORAGE_RECORD_H
#define FREEHUB_STORAGE_RECORD_H

#include "broker/base/base.h"

/* Numbers are for ever. Readers skip what they do not know by its length. */
enum record_type {
    RECORD_TELEMETRY = 1,
    RECORD_BIKE_NEW = 2,   /* payload: the bike id; `bike`: the number it gets */
    RECORD_QUARANTINE = 3, /* with topic; payload: u8 reason length, reason, the refused bytes */
    RECORD_MESSAGE = 4,    /* numbers 4 to 8 are kept for the engine's and plugins' records */
    RECORD_QUEUED = 5,
    RECORD_SESSION = 6,
    RECORD_RETAINED = 7,
    RECORD_PLUGIN = 8,
};

enum record_flags { RECORD_HAS_TOPIC = 1 };

enum { RECORD_HEAD_BYTES = 20, RECORD_BYTES_MIN = RECORD_HEAD_BYTES };

struct record {
    uint8_t type;
    uint8_t flags;
    uint16_t schema;
    uint32_t bike;
    int64_t recv_ms;
    struct str topic; /* empty without RECORD_HAS_TOPIC */
    struct str payload;
};

/* The bytes record_write() will need. Any thread. */
static inline size_t record_bytes(const struct record *r)
{
    return RECORD_HEAD_BYTES + ((r->flags & RECORD_HAS_TOPIC) ? 2 + r->topic.len : 0) +
           r->payload.len;
}

/* Write `r` to `to`, which has room for record_bytes(). Any thread. */
static inline void record_write(uint8_t *to, const struct record *r)
{
    store_u32(to, (uint32_t)record_bytes(r));
    to[4] = r->type;
    to[5] = r->flags;
    store_u16(to + 6, r->schema);
    store_u32(to + 8, r->bike);
    store_u64(to + 12, (uint64_t)r->recv_ms);
    to += RECORD_HEAD_BYTES;
    if (r->flags & RECORD_HAS_TOPIC) {
        store_u16(to, (uint16_t)r->topic.len);
        if (r->topic.len > 0)
            memcpy(to + 2, r->topic.at, r->topic.len);
        to += 2 + r->topic.len;
    }
    if (r->payload.len > 0)
        memcpy(to, r->payload.at, r->payload.len);
}

/* Read the record at the start of `bytes`; `*out` borrows from it. Returns the record's length, or
 * 0 when the bytes are not a whole, sound record. Any thread. */
static inline size_t record_read(struct str bytes, struct record *out)
{
    const uint8_t *at = (const uint8_t *)bytes.at;
    size_t len, used = RECORD_HEAD_BYTES;

    if (bytes.len < RECORD_BYTES_MIN)
        return 0;
    len = load_u32(at);
    if (len < RECORD_BYTES_MIN || len > bytes.len)
        return 0;
    out->type = at[4];
    out->flags = at[5];
    out->schema = load_u16(at + 6);
    out->bike = load_u32(at + 8);
    out->recv_ms = (int64_t)load_u64(at + 12);
    out->topic = (struct str){NULL, 0};
    if (out->flags & RECORD_HAS_TOPIC) {
        if (len < used + 2 || len < used + 2 + load_u16(at + used))
            return 0;
        out->topic = str_of_bytes(at + used + 2, load_u16(at + used));
        used += 2 + out->topic.len;
    }
    out->payload = str_of_bytes(at + used, len - used);
    return len;
}

#endif
