/* broker/codec/property.h -- the property lists of MQTT 5, all from the one table property.def. */
#ifndef FREEHUB_BROKER_CODEC_PROPERTY_H
#define FREEHUB_BROKER_CODEC_PROPERTY_H

#include "broker/base/base.h"
#include "broker/codec/emit.h"
#include "broker/codec/mqtt.h"
#include "broker/codec/reader.h"

/* Where a list stands: an enum mqtt_type, or the will of a CONNECT, which takes the place of the
 * reserved type. */
enum { MQTT_WILL = MQTT_RESERVED };

/* How a value is written and which values there are. */
enum property_kind {
    PROPERTY_FLAG, /* one byte, 0 or 1 */
    PROPERTY_U16,
    PROPERTY_U16_MIN1, /* 0 is a protocol error */
    PROPERTY_ALIAS,    /* u16; 0 is MQTT_TOPIC_ALIAS_INVALID */
    PROPERTY_U32,
    PROPERTY_U32_MIN1,
    PROPERTY_VARINT_MIN1,
    PROPERTY_UTF8,
    PROPERTY_TOPIC, /* UTF-8 and a Topic Name [MQTT-3.3.2-14] */
    PROPERTY_BINARY,
    PROPERTY_PAIR, /* two strings */
};

/* One entry of a list. */
struct property {
    enum mqtt_property which;
    uint32_t number;  /* of the numeric kinds */
    struct str name;  /* of a User Property */
    struct str value; /* of a User Property and of the other strings and binaries */
};

/* Take the next entry off `*rest`, the `raw` of a list that was decoded or that property_put_user()
 * made. False at its end. The entry borrows from the list. Any thread. */
bool property_next(struct str *rest, struct property *out);

/* "User Property" and the like; the place in mqtt_properties. Any thread. */
const char *property_text(enum mqtt_property which);

/* properties_read() for a list that is there and is not empty. Any thread. */
void properties_read_list(struct reader *r, unsigned packet, struct mqtt_properties *out);

static inline void properties_clear(struct mqtt_properties *out)
{
    out->present = 0;
    out->user_count = 0;
    out->raw = (struct str){NULL, 0};
}

/* Read a list with its length; `packet` is an enum mqtt_type or MQTT_WILL. Empty before MQTT 5.
 * Faults: MQTT_MALFORMED for an unknown identifier, one of another packet or a broken value;
 * MQTT_PROTOCOL_ERROR for a second one of what may stand once, or for a value that is not allowed;
 * MQTT_QUOTA_EXCEEDED for more than MQTT_USER_PROPERTIES_MAX. Any thread. */
static inline void properties_read(struct reader *r, unsigned packet, struct mqtt_properties *out)
{
    properties_clear(out);
    if (r->version != MQTT_V5)
        return;
    if (LIKELY(reader_left(r) > 0 && *r->at == 0))
        r->at++;
    else
        properties_read_list(r, packet, out);
}

/* Write a list with its length, as packet_encode() says; nothing before MQTT 5. Any thread. */
void properties_emit(struct emit *e, unsigned packet, const struct mqtt_properties *p);

/* Whether the list would be empty, so that a short packet may leave out its length. Any thread. */
bool properties_empty(const struct mqtt_properties *p);

/* Append a User Property to a `raw` list that is being built. Any thread. */
void property_put_user(struct emit *e, struct str name, struct str value);

/* Copy the `raw` list of a received PUBLISH without what concerns one hop only (Topic Alias,
 * Subscription Identifier), the rest unaltered and in its order [MQTT-3.3.2-17] [MQTT-3.3.2-18].
 * Returns the length; never more than raw.len, which is the room that `to` must have. Any thread.
 */
size_t properties_forward(struct str raw, uint8_t *to);

#endif
