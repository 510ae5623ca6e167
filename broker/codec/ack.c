#include "broker/codec/ack.h"

#include "broker/codec/property.h"
#include "broker/codec/reason.h"

static bool has_packet_id(enum mqtt_type type)
{
    return type != MQTT_DISCONNECT && type != MQTT_AUTH;
}

enum mqtt_reason ack_decode(struct reader in, enum mqtt_type type, struct mqtt_ack *out)
{
    out->packet_id = has_packet_id(type) ? read_packet_id(&in) : 0;
    out->reason = MQTT_OK;
    properties_clear(&out->properties);
    if (in.version != MQTT_V5)
        return type == MQTT_AUTH ? MQTT_MALFORMED : reader_done(&in);

    if (reader_left(&in) > 0) {
        enum mqtt_reason why;

        out->reason = (enum mqtt_reason)read_u8(&in);
        why = reason_check(type, (uint8_t)out->reason); /* [MQTT-3.4.2-1] [MQTT-3.14.2-1] ... */
        if (why)
            return why;
    }
    if (reader_left(&in) > 0) {
        properties_read(&in, type, &out->properties);
        if (!in.fault && type == MQTT_AUTH && !mqtt_has(&out->properties, MQTT_PROP_AUTH_METHOD))
            return MQTT_PROTOCOL_ERROR; /* section 3.15.2.2.2 */
    } else if (type == MQTT_AUTH && out->reason && !in.fault) {
        return MQTT_PROTOCOL_ERROR;
    }
    return reader_done(&in);
}

void ack_emit(struct emit *e, enum mqtt_type type, const struct mqtt_ack *packet)
{
    bool empty = properties_empty(&packet->properties);

    if (has_packet_id(type)) {
        if (packet->packet_id == 0)
            e->fault = true;
        emit_u16(e, packet->packet_id);
    }
    if (e->version != MQTT_V5) {
        if (type == MQTT_AUTH)
            e->fault = true;
        return;
    }
    if (reason_check(type, (uint8_t)packet->reason))
        e->fault = true;
    if (packet->reason || !empty)
        emit_u8(e, packet->reason);
    if (!empty)
        properties_emit(e, type, &packet->properties);
}
