#include "broker/codec/connect.h"

#include "broker/codec/packet.h"
#include "broker/codec/property.h"
#include "broker/codec/reason.h"
#include "broker/codec/topic.h"

enum connect_flag {
    FLAG_RESERVED = 0x01,
    FLAG_CLEAN_START = 0x02,
    FLAG_WILL = 0x04,
    FLAG_WILL_QOS = 0x18,
    FLAG_WILL_RETAIN = 0x20,
    FLAG_PASSWORD = 0x40,
    FLAG_USER_NAME = 0x80,
};

enum { WILL_QOS_SHIFT = 3, SESSION_PRESENT = 0x01 };

static const struct str protocol_name = {"MQTT", 4};

static void read_flags(struct reader *in, struct mqtt_connect *out)
{
    uint8_t flags = read_u8(in);

    out->clean_start = flags & FLAG_CLEAN_START;
    out->has_will = flags & FLAG_WILL;
    out->has_user_name = flags & FLAG_USER_NAME;
    out->has_password = flags & FLAG_PASSWORD;
    out->will.retain = flags & FLAG_WILL_RETAIN;
    out->will.qos = (flags & FLAG_WILL_QOS) >> WILL_QOS_SHIFT;

    if (flags & FLAG_RESERVED) /* [MQTT-3.1.2-3] */
        reader_fail(in, MQTT_MALFORMED);
    if (out->will.qos > 2) /* [MQTT-3.1.2-12] */
        reader_fail(in, MQTT_MALFORMED);
    if (!out->has_will && flags & (FLAG_WILL_QOS | FLAG_WILL_RETAIN)) /* 3.1.2-11, 3.1.2-13 */
        reader_fail(in, MQTT_MALFORMED);
    if (in->version == MQTT_V311 && out->has_password && !out->has_user_name)
        reader_fail(in, MQTT_MALFORMED); /* v3.1.1 [MQTT-3.1.2-22] */
}

static void read_will(struct reader *in, struct mqtt_will *out)
{
    enum mqtt_reason why;

    properties_read(in, MQTT_WILL, &out->properties);
    out->topic = read_utf8(in); /* [MQTT-3.1.3-11] */
    out->payload = read_binary(in);
    why = topic_name_check(out->topic);
    if (why)
        reader_fail(in, why);
}

enum mqtt_reason connect_decode(struct reader in, struct mqtt_connect *out)
{
    struct str name;
    uint8_t level;

    out->version = (enum mqtt_version)0;
    name = read_utf8(&in);
    level = read_u8(&in);
    if (in.fault)
        return in.fault;
    out->version = (enum mqtt_version)level;
    if (!str_equal(name, protocol_name)) /* [MQTT-3.1.2-1] */
        return MQTT_UNSUPPORTED_VERSION;
    if (level != MQTT_V311 && level != MQTT_V5) /* [MQTT-3.1.2-2] */
        return MQTT_UNSUPPORTED_VERSION;

    in.version = out->version;
    read_flags(&in, out);
    out->keep_alive_s = read_u16(&in);
    properties_read(&in, MQTT_CONNECT, &out->properties);

    out->client_id = read_utf8(&in); /* [MQTT-3.1.3-1] [MQTT-3.1.3-3] [MQTT-3.1.3-4] */
    if (out->has_will)
        read_will(&in, &out->will);
    out->user_name = out->has_user_name ? read_utf8(&in) : (struct str){NULL, 0};
    out->password = out->has_password ? read_binary(&in) : (struct str){NULL, 0};
    return reader_done(&in);
}

void connect_emit(struct emit *e, const struct mqtt_connect *packet)
{
    unsigned flags = 0;

    if (packet->has_password && !packet->has_user_name && e->version == MQTT_V311)
        e->fault = true;
    if (packet->clean_start)
        flags |= FLAG_CLEAN_START;
    if (packet->has_will)
        flags |= FLAG_WILL | (unsigned)packet->will.qos << WILL_QOS_SHIFT |
                 (packet->will.retain ? FLAG_WILL_RETAIN : 0U);
    if (packet->has_user_name)
        flags |= FLAG_USER_NAME;
    if (packet->has_password)
        flags |= FLAG_PASSWORD;

    emit_str(e, protocol_name);
    emit_u8(e, e->version);
    emit_u8(e, flags);
    emit_u16(e, packet->keep_alive_s);
    properties_emit(e, MQTT_CONNECT, &packet->properties);
    emit_str(e, packet->client_id);
    if (packet->has_will) {
        if (packet->will.qos > 2)
            e->fault = true;
        properties_emit(e, MQTT_WILL, &packet->will.properties);
        emit_str(e, packet->will.topic);
        emit_str(e, packet->will.payload);
    }
    if (packet->has_user_name)
        emit_str(e, packet->user_name);
    if (packet->has_password)
        emit_str(e, packet->password);
}

/* The return codes of 3.1.1, which are their own index. */
static const enum mqtt_reason reason_of_v311[] = {
    MQTT_OK,
    MQTT_UNSUPPORTED_VERSION,
    MQTT_CLIENT_ID_INVALID,
    MQTT_SERVER_UNAVAILABLE,
    MQTT_BAD_CREDENTIALS,
    MQTT_NOT_AUTHORIZED,
};

static enum mqtt_reason read_connack_code(struct reader *in)
{
    uint8_t code = read_u8(in);
    enum mqtt_reason why;

    if (in->version == MQTT_V311) {
        if (code < ARRAY_LEN(reason_of_v311))
            return reason_of_v311[code];
        reader_fail(in, MQTT_MALFORMED);
        return MQTT_OK;
    }
    why = reason_check(MQTT_CONNACK, code); /* [MQTT-3.2.2-8] */
    if (why)
        reader_fail(in, why);
    return (enum mqtt_reason)code;
}

enum mqtt_reason connack_decode(struct reader in, struct mqtt_connack *out)
{
    uint8_t flags = read_u8(&in);

    if (flags & ~SESSION_PRESENT) /* [MQTT-3.2.2-1] */
        return MQTT_MALFORMED;
    out->session_present = flags;
    out->reason = read_connack_code(&in);
    properties_read(&in, MQTT_CONNACK, &out->properties);
    if (!in.fault && out->reason && out->session_present) /* [MQTT-3.2.2-6] */
        return MQTT_PROTOCOL_ERROR;
    return reader_done(&in);
}

void connack_emit(struct emit *e, const struct mqtt_connack *packet)
{
    int code = (int)packet->reason;

    if (e->version == MQTT_V311)
        code = connack_code_v311(packet->reason);
    else if (reason_check(MQTT_CONNACK, (uint8_t)code))
        e->fault = true;
    if (code < 0 || (packet->reason && packet->session_present))
        e->fault = true;
    emit_u8(e, packet->session_present ? SESSION_PRESENT : 0U);
    emit_u8(e, (unsigned)code);
    properties_emit(e, MQTT_CONNACK, &packet->properties);
}
