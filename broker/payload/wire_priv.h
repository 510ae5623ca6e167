/* broker/payload/wire_priv.h -- reading protobuf's wire bytes. Every read is told where the bytes
 * end and returns NULL instead of passing it. */
#ifndef FREEHUB_BROKER_PAYLOAD_WIRE_PRIV_H
#define FREEHUB_BROKER_PAYLOAD_WIRE_PRIV_H

#include "broker/base/base.h"

enum wire_type { WIRE_VARINT = 0, WIRE_I64 = 1, WIRE_LEN = 2, WIRE_I32 = 5 };

enum {
    WIRE_TAG_MAX = 5,               /* bytes */
    WIRE_VARINT_MAX = 10,           /* bytes */
    WIRE_FIELD_MAX = (1 << 29) - 1, /* field numbers */
};

/* The slow road of wire_varint(): byte by byte, to the tenth. */
const uint8_t *wire_varint_long(const uint8_t *at, const uint8_t *end, uint64_t *out);

/* The varint in the low bytes of `bytes`; `stops` has its lowest bit at the end of the varint: the
 * eighth bit of its last byte. The bytes behind are cut off, and the gaps of the eighth bits closed
 * pair by pair. */
static inline uint64_t wire_varint_value(uint64_t bytes, uint64_t stops)
{
    bytes &= stops ^ (stops - 1);
    bytes = (bytes & UINT64_C(0x007f007f007f007f)) | ((bytes & UINT64_C(0x7f007f007f007f00)) >> 1);
    bytes = (bytes & UINT64_C(0x00003fff00003fff)) | ((bytes & UINT64_C(0x3fff00003fff0000)) >> 2);
    bytes = (bytes & UINT64_C(0x000000000fffffff)) | ((bytes & UINT64_C(0x0fffffff00000000)) >> 4);
    return bytes;
}

/* A varint at `at`. Returns what follows it, or NULL when it does not end before `end` or has more
 * than ten bytes (or 64 bits). `readable_end` >= `end` is how far memory may be touched: eight
 * bytes at once are loaded where that is allowed. Any thread. */
static inline const uint8_t *wire_varint(const uint8_t *at, const uint8_t *end,
                                         const uint8_t *readable_end, uint64_t *out)
{
    uint64_t bytes, stops;
    unsigned len;

    if (LIKELY(at < end && *at < 0x80)) {
        *out = *at;
        return at + 1;
    }
    if (UNLIKELY(readable_end - at < 8))
        return wire_varint_long(at, end, out);
    bytes = load_u64(at);
    stops = ~bytes & UINT64_C(0x8080808080808080);
    if (UNLIKELY(stops == 0))
        return wire_varint_long(at, end, out);
    len = ((unsigned)__builtin_ctzll(stops) >> 3) + 1;
    if (UNLIKELY((size_t)(end - at) < len))
        return NULL;
    *out = wire_varint_value(bytes, stops);
    return at + len;
}

/* 0, -1, 1, -2 ... from 0, 1, 2, 3 ... */
static inline int64_t wire_zigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/* A tag: field number and wire type. NULL as wire_varint(), for number 0 and for more than five
 * bytes or 32 bits. */
static inline const uint8_t *wire_tag(const uint8_t *at, const uint8_t *end, uint32_t *field,
                                      uint32_t *type)
{
    uint64_t tag;

    if (LIKELY(at < end && *at < 0x80)) {
        tag = *at++;
    } else if (LIKELY(end - at >= 2 && at[1] < 0x80)) {
        tag = (uint64_t)(at[0] & 0x7f) | (uint64_t)at[1] << 7;
        at += 2;
    } else {
        const uint8_t *begin = at;

        at = wire_varint_long(at, end, &tag);
        if (!at || at - begin > WIRE_TAG_MAX || tag > UINT32_MAX)
            return NULL;
    }
    *field = (uint32_t)tag >> 3;
    *type = (uint32_t)tag & 7;
    return *field == 0 ? NULL : at;
}

/* The length of a length-delimited field, which must fit before `end`. NULL otherwise. */
static inline const uint8_t *wire_len(const uint8_t *at, const uint8_t *end, size_t *len)
{
    uint64_t value;

    at = wire_varint(at, end, end, &value);
    if (UNLIKELY(!at || value > (uint64_t)(end - at)))
        return NULL;
    *len = (size_t)value;
    return at;
}

/* What follows the value of a field of type `type`, or NULL: cut short, or a group, which proto3
 * does not have. */
const uint8_t *wire_skip(const uint8_t *at, const uint8_t *end, uint32_t type);

/* The next piece of repeated number field `field` at or behind `at` in a message that was
 * validated: the elements of a packed field, or one element that stands alone. False when there is
 * none. */
bool wire_next_piece(const uint8_t *at, const uint8_t *message_end, uint32_t field,
                     const uint8_t **piece, const uint8_t **piece_end);

/* Well-formed UTF-8 without surrogates and over-long forms. */
bool wire_utf8_valid(const uint8_t *at, const uint8_t *end);

#endif
