/* test/unit/codec/packet_equal.h -- whether two packets say the same. What a decoder leaves unset
 * is not looked at; User Properties and Subscription Identifiers are compared in their order. */
#ifndef FREEHUB_TEST_UNIT_CODEC_PACKET_EQUAL_H
#define FREEHUB_TEST_UNIT_CODEC_PACKET_EQUAL_H

#include "broker/codec/packet.h"
#include "broker/codec/property.h"

/* The next entry of a kind that repeats. */
static inline bool next_repeated(struct str *rest, enum mqtt_property which, struct property *out)
{
    while (property_next(rest, out))
        if (out->which == which)
            return true;
    return false;
}

static inline bool repeated_equal(const struct mqtt_properties *a, const struct mqtt_properties *b,
                                  enum mqtt_property which)
{
    struct str rest_a = a->raw, rest_b = b->raw;
    struct property x, y;

    while (next_repeated(&rest_a, which, &x)) {
        if (!next_repeated(&rest_b, which, &y) || x.number != y.number ||
            !str_equal(x.name, y.name) || !str_equal(x.value, y.value))
            return false;
    }
    return !next_repeated(&rest_b, which, &y);
}

/* One comparison a member, by the type of the member. */
static inline bool member_equal_str(const void *a, const void *b)
{
    return str_equal(*(const struct str *)a, *(const struct str *)b);
}

static inline bool member_equal_u32(const void *a, const void *b)
{
    return memcmp(a, b, 4) == 0;
}

static inline bool member_equal_u16(const void *a, const void *b)
{
    return memcmp(a, b, 2) == 0;
}

static inline bool member_equal_u8(const void *a, const void *b)
{
    return memcmp(a, b, 1) == 0;
}

#define MEMBER_EQUAL(a, b)                                                                         \
    _Generic((a), struct str                                                                       \
             : member_equal_str, uint32_t                                                          \
             : member_equal_u32, uint16_t                                                          \
             : member_equal_u16, uint8_t                                                           \
             : member_equal_u8)(&(a), &(b))

static inline bool properties_equal(const struct mqtt_properties *a,
                                    const struct mqtt_properties *b)
{
    if (a->present != b->present || a->user_count != b->user_count)
        return false;
#define MQTT_PROPERTY(name, member, id, kind, packets, text)                                       \
    if (MQTT_PROP_##name != MQTT_PROP_USER && mqtt_has(a, MQTT_PROP_##name) &&                     \
        !MEMBER_EQUAL(a->member, b->member))                                                       \
        return false;
#include "broker/codec/property.def"
#undef MQTT_PROPERTY
    return repeated_equal(a, b, MQTT_PROP_USER) && repeated_equal(a, b, MQTT_PROP_SUBSCRIPTION_ID);
}

static inline bool connect_equal(const struct mqtt_connect *a, const struct mqtt_connect *b)
{
    if (a->version != b->version || a->clean_start != b->clean_start ||
        a->has_will != b->has_will || a->has_user_name != b->has_user_name ||
        a->has_password != b->has_password || a->keep_alive_s != b->keep_alive_s ||
        !str_equal(a->client_id, b->client_id) || !properties_equal(&a->properties, &b->properties))
        return false;
    if (a->has_will &&
        (a->will.qos != b->will.qos || a->will.retain != b->will.retain ||
         !str_equal(a->will.topic, b->will.topic) || !str_equal(a->will.payload, b->will.payload) ||
         !properties_equal(&a->will.properties, &b->will.properties)))
        return false;
    return (!a->has_user_name || str_equal(a->user_name, b->user_name)) &&
           (!a->has_password || str_equal(a->password, b->password));
}

static inline bool publish_equal(const struct mqtt_publish *a, const struct mqtt_publish *b)
{
    return str_equal(a->topic, b->topic) && a->packet_id == b->packet_id && a->qos == b->qos &&
           a->dup == b->dup && a->retain == b->retain && str_equal(a->payload, b->payload) &&
           properties_equal(&a->properties, &b->properties);
}

static inline bool subscribe_equal(const struct mqtt_subscribe *a, const struct mqtt_subscribe *b)
{
    if (a->packet_id != b->packet_id || a->filter_count != b->filter_count ||
        !properties_equal(&a->properties, &b->properties))
        return false;
    for (unsigned i = 0; i < a->filter_count; i++) {
        const struct mqtt_filter *x = &a->filters[i], *y = &b->filters[i];

        if (!str_equal(x->topic, y->topic) || x->qos != y->qos || x->no_local != y->no_local ||
            x->retain_as_published != y->retain_as_published ||
            x->retain_handling != y->retain_handling)
            return false;
    }
    return true;
}

static inline bool unsubscribe_equal(const struct mqtt_unsubscribe *a,
                                     const struct mqtt_unsubscribe *b)
{
    if (a->packet_id != b->packet_id || a->filter_count != b->filter_count ||
        !properties_equal(&a->properties, &b->properties))
        return false;
    for (unsigned i = 0; i < a->filter_count; i++)
        if (!str_equal(a->filters[i], b->filters[i]))
            return false;
    return true;
}

static inline bool packet_equal(const struct mqtt_packet *a, const struct mqtt_packet *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case MQTT_CONNECT:
        return connect_equal(&a->connect, &b->connect);
    case MQTT_CONNACK:
        return a->connack.session_present == b->connack.session_present &&
               a->connack.reason == b->connack.reason &&
               properties_equal(&a->connack.properties, &b->connack.properties);
    case MQTT_PUBLISH:
        return publish_equal(&a->publish, &b->publish);
    case MQTT_SUBSCRIBE:
        return subscribe_equal(&a->subscribe, &b->subscribe);
    case MQTT_UNSUBSCRIBE:
        return unsubscribe_equal(&a->unsubscribe, &b->unsubscribe);
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        return a->suback.packet_id == b->suback.packet_id &&
               a->suback.code_count == b->suback.code_count &&
               memcmp(a->suback.codes, b->suback.codes, a->suback.code_count) == 0 &&
               properties_equal(&a->suback.properties, &b->suback.properties);
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
        return true;
    default:
        return a->ack.packet_id == b->ack.packet_id && a->ack.reason == b->ack.reason &&
               properties_equal(&a->ack.properties, &b->ack.properties);
    }
}

#endif
