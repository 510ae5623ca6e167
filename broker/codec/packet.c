#include "broker/codec/packet.h"

#include "broker/codec/ack.h"
#include "broker/codec/connect.h"
#include "broker/codec/emit.h"
#include "broker/codec/publish.h"
#include "broker/codec/reader.h"
#include "broker/codec/subscribe.h"

enum { LENGTH_BYTES_MAX = 4 };

/* The low nibble that each type must have [MQTT-2.1.3-1] [MQTT-3.6.1-1] [MQTT-3.8.1-1]
 * [MQTT-3.10.1-1]; that of a PUBLISH says something. */
static uint8_t flags_of(enum mqtt_type type)
{
    return type == MQTT_PUBREL || type == MQTT_SUBSCRIBE || type == MQTT_UNSUBSCRIBE ? 2 : 0;
}

enum frame_state frame_next(struct str bytes, uint32_t max_packet_bytes, struct frame *out,
                            enum mqtt_reason *reason)
{
    const uint8_t *at = (const uint8_t *)bytes.at;
    uint32_t length = 0;

    *out = (struct frame){MQTT_RESERVED, 0, 0, 0};
    if (bytes.len == 0)
        return FRAME_MORE;
    out->type = (enum mqtt_type)(at[0] >> 4);
    out->flags = at[0] & 0x0F;
    *reason = MQTT_MALFORMED;
    if (UNLIKELY(out->type == MQTT_RESERVED))
        return FRAME_BAD;
    if (UNLIKELY(out->type != MQTT_PUBLISH && out->flags != flags_of(out->type)))
        return FRAME_BAD;

    for (uint32_t i = 1; i <= LENGTH_BYTES_MAX; i++) {
        if (i >= bytes.len)
            return FRAME_MORE;
        length |= (uint32_t)(at[i] & 0x7F) << 7 * (i - 1);
        if (at[i] >= 0x80)
            continue;
        if (UNLIKELY(at[i] == 0 && i > 1)) /* [MQTT-1.5.5-1] */
            return FRAME_BAD;
        out->head_bytes = i + 1;
        out->body_bytes = length;
        *reason = MQTT_PACKET_TOO_LARGE;
        if (UNLIKELY(length + i + 1 > max_packet_bytes))
            return FRAME_BAD;
        *reason = MQTT_OK;
        return bytes.len - out->head_bytes < length ? FRAME_MORE : FRAME_WHOLE;
    }
    return FRAME_BAD;
}

enum mqtt_reason packet_decode(enum mqtt_version version, const struct frame *frame,
                               struct str body, struct mqtt_packet *out)
{
    struct reader in = reader_of(version, body);

    ASSERT(body.len == frame->body_bytes);
    out->type = frame->type;
    if (frame->type != MQTT_PUBLISH && frame->flags != flags_of(frame->type))
        return MQTT_MALFORMED;
    switch (frame->type) {
    case MQTT_CONNECT:
        return connect_decode(in, &out->connect);
    case MQTT_CONNACK:
        return connack_decode(in, &out->connack);
    case MQTT_PUBLISH:
        return publish_decode(version, frame->flags, body, &out->publish);
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
    case MQTT_DISCONNECT:
    case MQTT_AUTH:
        return ack_decode(in, frame->type, &out->ack);
    case MQTT_SUBSCRIBE:
        return subscribe_decode(in, &out->subscribe);
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        return suback_decode(in, frame->type, &out->suback);
    case MQTT_UNSUBSCRIBE:
        return unsubscribe_decode(in, &out->unsubscribe);
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
        return reader_done(&in); /* no body */
    case MQTT_RESERVED:
    case MQTT_TYPE_COUNT:
        break;
    }
    return MQTT_MALFORMED;
}

static void emit_body(struct emit *e, const struct mqtt_packet *packet)
{
    switch (packet->type) {
    case MQTT_CONNECT:
        connect_emit(e, &packet->connect);
        return;
    case MQTT_CONNACK:
        connack_emit(e, &packet->connack);
        return;
    case MQTT_PUBLISH:
        publish_emit(e, &packet->publish);
        return;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
    case MQTT_DISCONNECT:
    case MQTT_AUTH:
        ack_emit(e, packet->type, &packet->ack);
        return;
    case MQTT_SUBSCRIBE:
        subscribe_emit(e, &packet->subscribe);
        return;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        suback_emit(e, packet->type, &packet->suback);
        return;
    case MQTT_UNSUBSCRIBE:
        unsubscribe_emit(e, &packet->unsubscribe);
        return;
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
        return;
    case MQTT_RESERVED:
    case MQTT_TYPE_COUNT:
        break;
    }
    e->fault = true;
}

size_t packet_encode(enum mqtt_version version, const struct mqtt_packet *packet, uint8_t *to,
                     size_t room)
{
    struct emit measure = emit_nowhere(version);
    struct emit e = emit_to(version, to, room);
    unsigned flags = packet->type == MQTT_PUBLISH ? publish_flags(&packet->publish)
                                                  : (unsigned)flags_of(packet->type);

    emit_body(&measure, packet);
    if (measure.fault)
        return 0;
    emit_u8(&e, (unsigned)packet->type << 4 | flags);
    emit_varint(&e, measure.len);
    emit_body(&e, packet);
    return emit_done(&e);
}
