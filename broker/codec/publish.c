#include "broker/codec/publish.h"

#include "broker/codec/packet.h"
#include "broker/codec/property.h"
#include "broker/codec/reader.h"
#include "broker/codec/topic.h"

enum publish_flag { FLAG_RETAIN = 0x01, FLAG_QOS = 0x06, FLAG_DUP = 0x08 };
enum { QOS_SHIFT = 1 };

enum mqtt_reason publish_decode(enum mqtt_version version, uint8_t flags, struct str body,
                                struct mqtt_publish *out)
{
    struct reader in = reader_of(version, body);

    out->qos = (flags & FLAG_QOS) >> QOS_SHIFT;
    out->dup = flags & FLAG_DUP;
    out->retain = flags & FLAG_RETAIN;
    if (UNLIKELY(out->qos > 2 || (out->dup && out->qos == 0))) /* [MQTT-3.3.1-4] [MQTT-3.3.1-2] */
        return MQTT_MALFORMED;

    out->topic = read_binary(&in); /* [MQTT-3.3.2-1]; as UTF-8 by topic_name_check() */
    out->packet_id = out->qos ? read_packet_id(&in) : 0; /* [MQTT-2.2.1-2] [MQTT-2.2.1-3] */
    properties_read(&in, MQTT_PUBLISH, &out->properties);
    out->payload = read_rest(&in);
    if (UNLIKELY(in.fault))
        return in.fault;

    if (LIKELY(out->topic.len > 0))
        return topic_name_check(out->topic);
    if (version != MQTT_V5) /* [MQTT-4.7.3-1] */
        return MQTT_MALFORMED;
    return mqtt_has(&out->properties, MQTT_PROP_TOPIC_ALIAS) ? MQTT_OK : MQTT_PROTOCOL_ERROR;
}

uint8_t publish_flags(const struct mqtt_publish *packet)
{
    return (uint8_t)((packet->dup ? FLAG_DUP : 0U) | (unsigned)packet->qos << QOS_SHIFT |
                     (packet->retain ? FLAG_RETAIN : 0U));
}

static bool is_possible(const struct mqtt_publish *p)
{
    if (p->qos == 0)
        return !p->dup;
    return p->qos <= 2 && p->packet_id > 0;
}

static void emit_head(struct emit *e, const struct mqtt_publish *packet)
{
    if (!is_possible(packet))
        e->fault = true;
    emit_str(e, packet->topic);
    if (packet->qos)
        emit_u16(e, packet->packet_id);
}

void publish_emit(struct emit *e, const struct mqtt_publish *packet)
{
    emit_head(e, packet);
    properties_emit(e, MQTT_PUBLISH, &packet->properties);
    emit_bytes(e, packet->payload.at, packet->payload.len);
}

static size_t varint_bytes(size_t value)
{
    return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : 4;
}

/* Remaining Length of the raw form. */
static size_t body_bytes(enum mqtt_version version, const struct mqtt_publish *packet)
{
    size_t bytes = 2 + packet->topic.len + (packet->qos ? 2 : 0) + packet->payload.len;
    size_t raw_len = packet->properties.raw.len;

    return version == MQTT_V5 ? bytes + varint_bytes(raw_len) + raw_len : bytes;
}

size_t publish_encoded_bytes(enum mqtt_version version, const struct mqtt_publish *publish)
{
    size_t body = body_bytes(version, publish);

    return 1 + varint_bytes(body) + body;
}

/* Offset of the value of the Message Expiry Interval in a list, or SIZE_MAX. */
static size_t find_expiry(struct str raw)
{
    struct str rest = raw;
    struct property entry;

    while (property_next(&rest, &entry))
        if (entry.which == MQTT_PROP_MESSAGE_EXPIRY)
            return raw.len - rest.len - 4;
    return SIZE_MAX;
}

size_t publish_encode_raw(enum mqtt_version version, const struct mqtt_publish *publish,
                          uint8_t *to, size_t room, uint32_t *packet_id_at, uint32_t *expiry_at)
{
    struct emit e = emit_to(version, to, room);
    struct str raw = publish->properties.raw;

    *packet_id_at = 0;
    *expiry_at = 0;
    emit_u8(&e, (unsigned)MQTT_PUBLISH << 4 | publish_flags(publish));
    emit_varint(&e, body_bytes(version, publish));
    emit_head(&e, publish);
    if (publish->qos)
        *packet_id_at = (uint32_t)(e.len - 2);
    if (version == MQTT_V5) {
        emit_varint(&e, raw.len);
        if (raw.len > 0) {
            size_t found = find_expiry(raw);

            if (found != SIZE_MAX)
                *expiry_at = (uint32_t)(e.len + found);
            emit_bytes(&e, raw.at, raw.len);
        }
    }
    emit_bytes(&e, publish->payload.at, publish->payload.len);
    return emit_done(&e);
}
