/* broker/codec/mqtt.h -- every MQTT 3.1.1 and 5 packet as a struct. Decoded structs borrow the
 * bytes they were decoded from; encoders read structs and write bytes. No I/O, no allocation, no
 * state: whether a packet is welcome now is for the server to say. */
#ifndef FREEHUB_BROKER_CODEC_MQTT_H
#define FREEHUB_BROKER_CODEC_MQTT_H

#include "broker/base/base.h"

enum mqtt_version { MQTT_V311 = 4, MQTT_V5 = 5 };

enum mqtt_type {
    MQTT_RESERVED = 0,
    MQTT_CONNECT = 1,
    MQTT_CONNACK,
    MQTT_PUBLISH,
    MQTT_PUBACK,
    MQTT_PUBREC,
    MQTT_PUBREL,
    MQTT_PUBCOMP,
    MQTT_SUBSCRIBE,
    MQTT_SUBACK,
    MQTT_UNSUBSCRIBE,
    MQTT_UNSUBACK,
    MQTT_PINGREQ,
    MQTT_PINGRESP,
    MQTT_DISCONNECT,
    MQTT_AUTH,
    MQTT_TYPE_COUNT
};

/* MQTT 5 reason codes, section 2.4, from reason.def; the names that share 0x00 follow it. Whatever
 * is >= 0x80 is a failure. The 3.1.1 return codes of CONNACK are made from these by
 * connack_code_v311(). */
enum mqtt_reason {
#define MQTT_REASON(name, value, packets, text) MQTT_##name = (value),
#include "broker/codec/reason.def"
#undef MQTT_REASON
    MQTT_NORMAL_DISCONNECTION = MQTT_OK,
    MQTT_GRANTED_QOS_0 = MQTT_OK,
};

/* Texts for people: "Packet too large", "PUBLISH"; never NULL. Static. Any thread. */
const char *mqtt_reason_text(enum mqtt_reason reason);
const char *mqtt_type_text(enum mqtt_type type);

enum {
    MQTT_PACKET_MAX = 268435460, /* 5 bytes of fixed header and 268,435,455 of Remaining Length */
    MQTT_FILTERS_MAX = 32,       /* of one SUBSCRIBE or UNSUBSCRIBE; our limit */
    MQTT_USER_PROPERTIES_MAX = 64,
    MQTT_TOPIC_MAX = 1024, /* bytes; our limit below the standard's 65,535 */
    MQTT_TOPIC_LEVELS_MAX = 16,
};

/* Properties by their row in property.def: MQTT_PROP_<NAME> is the index and also the bit in
 * `present`. */
enum mqtt_property {
#define MQTT_PROPERTY(name, member, id, kind, packets, text) MQTT_PROP_##name,
#include "broker/codec/property.def"
#undef MQTT_PROPERTY
    MQTT_PROP_COUNT
};

/* A property list as received. `present`, `user_count` and `raw` are always set, and of the other
 * members those whose bit is in `present`; the rest is not even cleared, so that a PUBLISH without
 * properties costs nothing. User Properties and Subscription Identifiers repeat: walk `raw` with
 * property_next() of property.h. */
struct mqtt_properties {
    uint32_t present;    /* 1u << enum mqtt_property */
    uint32_t user_count; /* User Properties in `raw` */
    struct str raw;      /* the whole list without its length; valid in its packet only */
    uint32_t session_expiry_s;
    uint32_t message_expiry_s;
    uint32_t will_delay_s;
    uint32_t max_packet_bytes;
    uint32_t subscription_id; /* the first one */
    uint16_t server_keep_alive_s;
    uint16_t receive_max;
    uint16_t topic_alias_max;
    uint16_t topic_alias;
    uint8_t payload_format;
    uint8_t request_problem;
    uint8_t request_response;
    uint8_t max_qos;
    uint8_t retain_available;
    uint8_t wildcard_available;
    uint8_t subscription_id_available;
    uint8_t shared_available;
    struct str content_type;
    struct str response_topic;
    struct str correlation_data;
    struct str assigned_client_id;
    struct str auth_method;
    struct str auth_data;
    struct str response_info;
    struct str server_reference;
    struct str reason_string;
};

static inline bool mqtt_has(const struct mqtt_properties *p, enum mqtt_property which)
{
    return (p->present >> which) & 1u;
}

struct mqtt_will {
    struct str topic;
    struct str payload;
    struct mqtt_properties properties; /* of MQTT 5 */
    uint8_t qos;
    bool retain;
};

struct mqtt_connect {
    enum mqtt_version version;
    bool clean_start; /* Clean Session in 3.1.1 */
    bool has_will;
    bool has_user_name;
    bool has_password;
    uint16_t keep_alive_s; /* 0: none */
    struct mqtt_properties properties;
    struct str client_id;
    struct mqtt_will will;
    struct str user_name;
    struct str password;
};

struct mqtt_connack {
    bool session_present;
    enum mqtt_reason reason;
    struct mqtt_properties properties;
};

struct mqtt_publish {
    struct str topic;
    uint16_t packet_id; /* 0 with QoS 0 */
    uint8_t qos;
    bool dup;
    bool retain;
    struct mqtt_properties properties;
    struct str payload;
};

/* PUBACK, PUBREC, PUBREL and PUBCOMP; also DISCONNECT and AUTH, without a packet_id. */
struct mqtt_ack {
    uint16_t packet_id;
    enum mqtt_reason reason;
    struct mqtt_properties properties;
};

struct mqtt_filter {
    struct str topic;
    uint8_t qos;
    bool no_local;
    bool retain_as_published;
    uint8_t retain_handling;
};

struct mqtt_subscribe {
    uint16_t packet_id;
    uint16_t filter_count;
    struct mqtt_properties properties;
    struct mqtt_filter filters[MQTT_FILTERS_MAX];
};

struct mqtt_unsubscribe {
    uint16_t packet_id;
    uint16_t filter_count;
    struct mqtt_properties properties;
    struct str filters[MQTT_FILTERS_MAX];
};

/* SUBACK and UNSUBACK; a 3.1.1 UNSUBACK has no codes. */
struct mqtt_suback {
    uint16_t packet_id;
    uint16_t code_count;
    struct mqtt_properties properties;
    uint8_t codes[MQTT_FILTERS_MAX];
};

struct mqtt_packet {
    enum mqtt_type type;
    union {
        struct mqtt_connect connect;
        struct mqtt_connack connack;
        struct mqtt_publish publish;
        struct mqtt_ack ack; /* PUBACK .. PUBCOMP, DISCONNECT, AUTH */
        struct mqtt_subscribe subscribe;
        struct mqtt_suback suback; /* SUBACK, UNSUBACK */
        struct mqtt_unsubscribe unsubscribe;
    };
};

#endif
