#include "broker/payload/wire_priv.h"

const uint8_t *wire_varint_long(const uint8_t *at, const uint8_t *end, uint64_t *out)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < WIRE_VARINT_MAX; i++) {
        if (at == end)
            return NULL;
        if (i == WIRE_VARINT_MAX - 1 && *at > 1) /* bit 64 and beyond */
            return NULL;
        value |= (uint64_t)(*at & 0x7f) << (7 * i);
        if (*at++ < 0x80) {
            *out = value;
            return at;
        }
    }
    return NULL;
}

const uint8_t *wire_skip(const uint8_t *at, const uint8_t *end, uint32_t type)
{
    uint64_t value;
    size_t len;

    switch (type) {
    case WIRE_VARINT:
        return wire_varint(at, end, end, &value);
    case WIRE_I64:
        return end - at < 8 ? NULL : at + 8;
    case WIRE_LEN:
        at = wire_len(at, end, &len);
        return at ? at + len : NULL;
    case WIRE_I32:
        return end - at < 4 ? NULL : at + 4;
    default:
        return NULL;
    }
}

bool wire_next_piece(const uint8_t *at, const uint8_t *message_end, uint32_t field,
                     const uint8_t **piece, const uint8_t **piece_end)
{
    uint32_t number, type;
    size_t len;

    while (at < message_end) {
        at = wire_tag(at, message_end, &number, &type);
        if (!at)
            return false;
        if (number == field && type == WIRE_LEN) {
            at = wire_len(at, message_end, &len);
            if (!at)
                return false;
            *piece = at;
            *piece_end = at + len;
            return true;
        }
        *piece = at;
        at = wire_skip(at, message_end, type);
        if (!at)
            return false;
        if (number == field) {
            *piece_end = at;
            return true;
        }
    }
    return false;
}

/* Bytes of the sequence that starts with `lead`, 0 when none does; `*low` and `*high` bound the
 * second byte, which is where over-long forms, surrogates and > U+10FFFF show. */
static unsigned sequence_bytes(uint8_t lead, uint8_t *low, uint8_t *high)
{
    *low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    *high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

bool wire_utf8_valid(const uint8_t *at, const uint8_t *end)
{
    while (at < end) {
        uint8_t low, high;
        unsigned len = sequence_bytes(*at, &low, &high);

        if (len == 0 || (size_t)(end - at) < len)
            return false;
        if (len > 1 && (at[1] < low || at[1] > high))
            return false;
        for (unsigned i = 2; i < len; i++)
            if ((at[i] & 0xc0) != 0x80)
                return false;
        at += len;
    }
    return true;
}
