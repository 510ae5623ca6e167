/* test/unit/codec/wire.h -- packets as people write them: "00 04 'MQTT' 05 02 003C" is hexadecimal
 * with text in quotes; "<'abc'>" puts the two bytes of its length before what it encloses, and
 * "[...]" one byte. */
#ifndef FREEHUB_TEST_UNIT_CODEC_WIRE_H
#define FREEHUB_TEST_UNIT_CODEC_WIRE_H

#include "broker/codec/packet.h"

#include <stdlib.h>

enum { WIRE_MAX = 8192 };

struct wire {
    uint8_t bytes[WIRE_MAX];
    size_t len;
};

static inline int wire_nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static inline void wire_add(struct wire *w, const char *text)
{
    size_t open[8], depth = 0;

    for (const char *c = text; *c; c++) {
        ASSERT(w->len + 2 < WIRE_MAX);
        if (*c == '\'') {
            for (c++; *c != '\''; c++)
                w->bytes[w->len++] = (uint8_t)*c;
        } else if (*c == '<' || *c == '[') {
            open[depth++] = w->len;
            w->len += *c == '<' ? 2 : 1;
        } else if (*c == '>') {
            size_t at = open[--depth];

            w->bytes[at] = (uint8_t)((w->len - at - 2) >> 8);
            w->bytes[at + 1] = (uint8_t)(w->len - at - 2);
        } else if (*c == ']') {
            size_t at = open[--depth];

            ASSERT(w->len - at - 1 < 0x80);
            w->bytes[at] = (uint8_t)(w->len - at - 1);
        } else if (*c != ' ') {
            int high = wire_nibble(c[0]), low = wire_nibble(c[1]);

            ASSERT(high >= 0 && low >= 0);
            w->bytes[w->len++] = (uint8_t)(high << 4 | low);
            c++;
        }
    }
}

static inline struct wire wire_of(const char *text)
{
    struct wire w = {.len = 0};

    wire_add(&w, text);
    return w;
}

static inline struct str wire_str(const struct wire *w)
{
    return str_of_bytes(w->bytes, w->len);
}

/* Decode the body `w` behind `first`, the first byte of a packet. `*out` borrows from `w`. */
static inline enum mqtt_reason wire_decode(enum mqtt_version version, uint8_t first,
                                           const struct wire *w, struct mqtt_packet *out)
{
    struct frame frame = {(enum mqtt_type)(first >> 4), first & 0x0F, 2, (uint32_t)w->len};

    return packet_decode(version, &frame, wire_str(w), out);
}

/* Only whether it decodes and why not. The bytes are copied to the heap, so that AddressSanitizer
 * sees a read behind them. */
static inline enum mqtt_reason wire_judge(enum mqtt_version version, uint8_t first,
                                          const char *body)
{
    struct wire w = wire_of(body);
    uint8_t *copy = malloc(w.len ? w.len : 1);
    struct frame frame = {(enum mqtt_type)(first >> 4), first & 0x0F, 2, (uint32_t)w.len};
    struct mqtt_packet packet;
    enum mqtt_reason why;

    memcpy(copy, w.bytes, w.len);
    why = packet_decode(version, &frame, str_of_bytes(copy, w.len), &packet);
    free(copy);
    return why;
}

#endif
