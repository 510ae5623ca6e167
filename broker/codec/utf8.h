/* broker/codec/utf8.h -- UTF-8 as MQTT wants it: well-formed (no over-long forms, no surrogates,
 * nothing above U+10FFFF) and without U+0000 [MQTT-1.5.4-1] [MQTT-1.5.4-2]. U+FEFF is a character
 * like any other [MQTT-1.5.4-3]. */
#ifndef FREEHUB_BROKER_CODEC_UTF8_H
#define FREEHUB_BROKER_CODEC_UTF8_H

#include "broker/base/base.h"

#define UTF8_ONES  UINT64_C(0x0101010101010101) /* times a byte: that byte in all eight places */
#define UTF8_HIGHS UINT64_C(0x8080808080808080)

/* The judge for any bytes; utf8_valid() leaves it what is not plain ASCII. Any thread. */
bool utf8_valid_dfa(const uint8_t *at, size_t len);

/* Any thread. */
static inline bool utf8_valid(struct str text)
{
    const uint8_t *at = (const uint8_t *)text.at;
    size_t left = text.len;

    for (; left >= 8; at += 8, left -= 8) {
        uint64_t word = load_u64(at);

        if ((word | (word - UTF8_ONES)) & UTF8_HIGHS)
            return utf8_valid_dfa(at, left);
    }
    for (; left > 0; at++, left--)
        if (UNLIKELY((uint8_t)(*at - 1) >= 0x7F))
            return utf8_valid_dfa(at, left);
    return true;
}

#endif
