/* broker/codec/emit.h -- writes a packet straight down. `len` always advances, bytes are written
 * only as long as they fit, so the same code measures (room 0) and writes. What cannot be said in
 * MQTT (a string over 65,535 bytes, a property its packet does not have) sets `fault`. */
#ifndef FREEHUB_BROKER_CODEC_EMIT_H
#define FREEHUB_BROKER_CODEC_EMIT_H

#include "broker/base/base.h"
#include "broker/codec/mqtt.h"

/* Owned by the encoder that runs. */
struct emit {
    uint8_t *to;
    size_t room;
    size_t len; /* what it takes; written in full if it is <= room */
    enum mqtt_version version;
    bool fault;
};

static inline struct emit emit_to(enum mqtt_version version, uint8_t *to, size_t room)
{
    return (struct emit){to, room, 0, version, false};
}

/* Measures only. */
static inline struct emit emit_nowhere(enum mqtt_version version)
{
    return emit_to(version, NULL, 0);
}

static inline void emit_bytes(struct emit *e, const void *bytes, size_t len)
{
    if (len > 0 && e->len <= e->room && len <= e->room - e->len)
        memcpy(e->to + e->len, bytes, len);
    e->len += len;
}

static inline void emit_u8(struct emit *e, unsigned value)
{
    if (e->len < e->room)
        e->to[e->len] = (uint8_t)value;
    e->len++;
}

static inline void emit_u16(struct emit *e, uint16_t value)
{
    emit_u8(e, value >> 8);
    emit_u8(e, value & 0xFF);
}

static inline void emit_u32(struct emit *e, uint32_t value)
{
    emit_u16(e, (uint16_t)(value >> 16));
    emit_u16(e, (uint16_t)value);
}

/* In the fewest bytes [MQTT-1.5.5-1]. */
static inline void emit_varint(struct emit *e, size_t value)
{
    if (value > 268435455)
        e->fault = true;
    for (; value >= 0x80; value >>= 7)
        emit_u8(e, (value & 0x7F) | 0x80);
    emit_u8(e, (unsigned)value);
}

/* Two bytes of length, then the bytes. */
static inline void emit_str(struct emit *e, struct str text)
{
    if (text.len > UINT16_MAX)
        e->fault = true;
    emit_u16(e, (uint16_t)text.len);
    emit_bytes(e, text.at, text.len);
}

/* Where every encoder ends: the bytes written, or 0 when they did not fit or make no packet. */
static inline size_t emit_done(const struct emit *e)
{
    return e->fault || e->len > e->room ? 0 : e->len;
}

#endif
