/* broker/codec/reader.h -- reads a packet's body straight down. Reads never pass the end: the first
 * that does not fit sets `fault` and the rest return zero, so a decoder checks once, at its end.
 * What is read borrows the bytes it was read from. */
#ifndef FREEHUB_BROKER_CODEC_READER_H
#define FREEHUB_BROKER_CODEC_READER_H

#include "broker/base/base.h"
#include "broker/codec/mqtt.h"
#include "broker/codec/utf8.h"

/* Owned by the decoder that runs. */
struct reader {
    const uint8_t *at;
    const uint8_t *end;
    enum mqtt_version version;
    enum mqtt_reason fault; /* the first one; MQTT_OK (0) as long as all is well */
};

static inline struct reader reader_of(enum mqtt_version version, struct str body)
{
    const uint8_t *at = (const uint8_t *)(body.at ? body.at : "");

    return (struct reader){at, at + body.len, version, MQTT_OK};
}

static inline size_t reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

/* Keep the first fault and let nothing more be read. */
static inline void reader_fail(struct reader *r, enum mqtt_reason why)
{
    if (!r->fault)
        r->fault = why;
    r->at = r->end;
}

static inline uint8_t read_u8(struct reader *r)
{
    if (UNLIKELY(reader_left(r) < 1)) {
        reader_fail(r, MQTT_MALFORMED);
        return 0;
    }
    return *r->at++;
}

static inline uint16_t read_u16(struct reader *r)
{
    if (UNLIKELY(reader_left(r) < 2)) {
        reader_fail(r, MQTT_MALFORMED);
        return 0;
    }
    r->at += 2;
    return (uint16_t)(r->at[-2] << 8 | r->at[-1]);
}

static inline uint32_t read_u32(struct reader *r)
{
    uint32_t high = read_u16(r);

    return high << 16 | read_u16(r);
}

/* A Variable Byte Integer in its shortest form [MQTT-1.5.5-1], 0..268,435,455. */
static inline uint32_t read_varint(struct reader *r)
{
    uint32_t value = 0;

    for (unsigned shift = 0; shift < 28; shift += 7) {
        uint8_t byte = read_u8(r);

        value |= (uint32_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            if (UNLIKELY(byte == 0 && shift > 0))
                break;
            return value;
        }
    }
    reader_fail(r, MQTT_MALFORMED);
    return 0;
}

static inline struct str read_bytes(struct reader *r, size_t len)
{
    const uint8_t *at = r->at;

    if (UNLIKELY(reader_left(r) < len)) {
        reader_fail(r, MQTT_MALFORMED);
        return (struct str){NULL, 0};
    }
    r->at += len;
    return str_of_bytes(at, len);
}

/* Everything to the end, which is never a fault. */
static inline struct str read_rest(struct reader *r)
{
    return read_bytes(r, reader_left(r));
}

/* Two bytes of length and as many bytes of anything. */
static inline struct str read_binary(struct reader *r)
{
    return read_bytes(r, read_u16(r));
}

/* A UTF-8 Encoded String, checked [MQTT-1.5.4-1] [MQTT-1.5.4-2]; empty is a value too. */
static inline struct str read_utf8(struct reader *r)
{
    struct str text = read_binary(r);

    if (UNLIKELY(!utf8_valid(text)))
        reader_fail(r, MQTT_MALFORMED);
    return text;
}

/* A Packet Identifier, which is never zero [MQTT-2.2.1-3]. */
static inline uint16_t read_packet_id(struct reader *r)
{
    uint16_t id = read_u16(r);

    if (UNLIKELY(id == 0))
        reader_fail(r, MQTT_PROTOCOL_ERROR);
    return id;
}

/* Where every decoder ends: the first fault, or MQTT_MALFORMED for bytes that nobody asked for. */
static inline enum mqtt_reason reader_done(const struct reader *r)
{
    if (r->fault)
        return r->fault;
    return reader_left(r) > 0 ? MQTT_MALFORMED : MQTT_OK;
}

#endif
