#include "broker/codec/reason.h"

#include "broker/codec/packet.h"

#define IN(type) (1u << MQTT_##type)

static const struct {
    const char *text;
    uint32_t packets;
} reasons[256] = {
#define MQTT_REASON(name, value, packets, text) [value] = {(text), (packets)},
#include "broker/codec/reason.def"
#undef MQTT_REASON
};

enum mqtt_reason reason_check(enum mqtt_type type, uint8_t code)
{
    if (!reasons[code].text)
        return MQTT_MALFORMED;
    return reasons[code].packets >> type & 1 ? MQTT_OK : MQTT_PROTOCOL_ERROR;
}

const char *mqtt_reason_text(enum mqtt_reason reason)
{
    const char *text = (unsigned)reason < ARRAY_LEN(reasons) ? reasons[reason].text : NULL;

    return text ? text : "Unknown reason";
}

const char *mqtt_type_text(enum mqtt_type type)
{
    static const char *const texts[MQTT_TYPE_COUNT] = {
        [MQTT_RESERVED] = "reserved",       [MQTT_CONNECT] = "CONNECT",
        [MQTT_CONNACK] = "CONNACK",         [MQTT_PUBLISH] = "PUBLISH",
        [MQTT_PUBACK] = "PUBACK",           [MQTT_PUBREC] = "PUBREC",
        [MQTT_PUBREL] = "PUBREL",           [MQTT_PUBCOMP] = "PUBCOMP",
        [MQTT_SUBSCRIBE] = "SUBSCRIBE",     [MQTT_SUBACK] = "SUBACK",
        [MQTT_UNSUBSCRIBE] = "UNSUBSCRIBE", [MQTT_UNSUBACK] = "UNSUBACK",
        [MQTT_PINGREQ] = "PINGREQ",         [MQTT_PINGRESP] = "PINGRESP",
        [MQTT_DISCONNECT] = "DISCONNECT",   [MQTT_AUTH] = "AUTH",
    };

    return (unsigned)type < MQTT_TYPE_COUNT ? texts[type] : "unknown";
}

int connack_code_v311(enum mqtt_reason reason)
{
    switch (reason) {
    case MQTT_OK:
        return 0;
    case MQTT_UNSUPPORTED_VERSION:
        return 1;
    case MQTT_CLIENT_ID_INVALID:
        return 2;
    case MQTT_SERVER_UNAVAILABLE:
    case MQTT_SERVER_BUSY:
    case MQTT_SERVER_SHUTTING_DOWN:
    case MQTT_USE_ANOTHER_SERVER:
    case MQTT_SERVER_MOVED:
    case MQTT_CONNECTION_RATE:
    case MQTT_QUOTA_EXCEEDED:
        return 3;
    case MQTT_BAD_CREDENTIALS:
        return 4;
    case MQTT_NOT_AUTHORIZED:
    case MQTT_BANNED:
        return 5;
    default:
        return -1;
    }
}
