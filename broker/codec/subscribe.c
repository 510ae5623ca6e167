#include "broker/codec/subscribe.h"

#include "broker/codec/property.h"
#include "broker/codec/reason.h"
#include "broker/codec/topic.h"

enum sub_option {
    OPTION_QOS = 0x03,
    OPTION_NO_LOCAL = 0x04,
    OPTION_RETAIN_AS_PUBLISHED = 0x08,
    OPTION_RETAIN_HANDLING = 0x30,
    OPTION_RESERVED = 0xC0,
    OPTION_RESERVED_V311 = 0xFC,
};

enum { RETAIN_HANDLING_SHIFT = 4, FAILURE_V311 = 0x80 };

/* Read a filter and judge it, with what stands behind "$share/{group}/" for itself. */
static struct str read_filter(struct reader *in, bool *is_share)
{
    struct str filter = read_utf8(in); /* [MQTT-3.8.3-1] [MQTT-3.10.3-1] */
    struct str group, rest = filter;

    *is_share = false;
    if (in->fault)
        return filter;
    if (!topic_share_split(filter, is_share, &group, &rest) && *is_share)
        reader_fail(in, MQTT_MALFORMED); /* [MQTT-4.8.2-1] [MQTT-4.8.2-2] */
    else if (topic_filter_check(rest) == MQTT_MALFORMED)
        reader_fail(in, MQTT_MALFORMED);
    return filter;
}

static void read_options(struct reader *in, bool is_share, struct mqtt_filter *out)
{
    uint8_t options = read_u8(in);

    out->qos = options & OPTION_QOS;
    out->no_local = options & OPTION_NO_LOCAL;
    out->retain_as_published = options & OPTION_RETAIN_AS_PUBLISHED;
    out->retain_handling = (options & OPTION_RETAIN_HANDLING) >> RETAIN_HANDLING_SHIFT;

    if (options & (in->version == MQTT_V5 ? OPTION_RESERVED : OPTION_RESERVED_V311))
        reader_fail(in, MQTT_MALFORMED); /* [MQTT-3.8.3-5], v3.1.1 [MQTT-3-8.3-4] */
    if (out->qos > 2 || out->retain_handling > 2)
        reader_fail(in, in->version == MQTT_V5 ? MQTT_PROTOCOL_ERROR : MQTT_MALFORMED);
    if (is_share && out->no_local) /* [MQTT-3.8.3-4] */
        reader_fail(in, MQTT_PROTOCOL_ERROR);
}

/* Where a packet with a list ends: `count` of it was read. */
static enum mqtt_reason list_done(const struct reader *in, size_t count)
{
    if (in->fault)
        return in->fault;
    if (reader_left(in) > 0) /* our limit, not the standard's */
        return MQTT_QUOTA_EXCEEDED;
    return count > 0 ? MQTT_OK : MQTT_PROTOCOL_ERROR;
}

enum mqtt_reason subscribe_decode(struct reader in, struct mqtt_subscribe *out)
{
    out->packet_id = read_packet_id(&in);
    properties_read(&in, MQTT_SUBSCRIBE, &out->properties);
    out->filter_count = 0;
    while (reader_left(&in) > 0 && out->filter_count < MQTT_FILTERS_MAX) {
        struct mqtt_filter *filter = &out->filters[out->filter_count++];
        bool is_share;

        filter->topic = read_filter(&in, &is_share);
        read_options(&in, is_share, filter);
    }
    return list_done(&in, out->filter_count); /* [MQTT-3.8.3-2] */
}

enum mqtt_reason unsubscribe_decode(struct reader in, struct mqtt_unsubscribe *out)
{
    out->packet_id = read_packet_id(&in);
    properties_read(&in, MQTT_UNSUBSCRIBE, &out->properties);
    out->filter_count = 0;
    while (reader_left(&in) > 0 && out->filter_count < MQTT_FILTERS_MAX) {
        bool is_share;

        out->filters[out->filter_count++] = read_filter(&in, &is_share);
    }
    return list_done(&in, out->filter_count); /* [MQTT-3.10.3-2] */
}

static enum mqtt_reason check_code(const struct reader *in, enum mqtt_type type, uint8_t code)
{
    if (in->version == MQTT_V5) /* [MQTT-3.9.3-2] [MQTT-3.11.3-2] */
        return reason_check(type, code);
    return code <= 2 || code == FAILURE_V311 ? MQTT_OK : MQTT_MALFORMED; /* v3.1.1 3.9.3-2 */
}

enum mqtt_reason suback_decode(struct reader in, enum mqtt_type type, struct mqtt_suback *out)
{
    out->packet_id = read_packet_id(&in);
    properties_read(&in, type, &out->properties);
    out->code_count = 0;
    if (in.version != MQTT_V5 && type == MQTT_UNSUBACK)
        return reader_done(&in);
    while (reader_left(&in) > 0 && out->code_count < MQTT_FILTERS_MAX) {
        uint8_t code = read_u8(&in);
        enum mqtt_reason why = check_code(&in, type, code);

        if (why)
            return why;
        out->codes[out->code_count++] = code;
    }
    return list_done(&in, out->code_count);
}

static unsigned options_of(const struct emit *e, const struct mqtt_filter *filter)
{
    if (e->version != MQTT_V5)
        return filter->qos;
    return filter->qos | (filter->no_local ? OPTION_NO_LOCAL : 0U) |
           (filter->retain_as_published ? OPTION_RETAIN_AS_PUBLISHED : 0U) |
           (unsigned)filter->retain_handling << RETAIN_HANDLING_SHIFT;
}

void subscribe_emit(struct emit *e, const struct mqtt_subscribe *packet)
{
    if (packet->packet_id == 0 || packet->filter_count == 0 ||
        packet->filter_count > MQTT_FILTERS_MAX) {
        e->fault = true;
        return;
    }
    emit_u16(e, packet->packet_id);
    properties_emit(e, MQTT_SUBSCRIBE, &packet->properties);
    for (unsigned i = 0; i < packet->filter_count; i++) {
        if (packet->filters[i].qos > 2 || packet->filters[i].retain_handling > 2)
            e->fault = true;
        emit_str(e, packet->filters[i].topic);
        emit_u8(e, options_of(e, &packet->filters[i]));
    }
}

void unsubscribe_emit(struct emit *e, const struct mqtt_unsubscribe *packet)
{
    if (packet->packet_id == 0 || packet->filter_count == 0 ||
        packet->filter_count > MQTT_FILTERS_MAX) {
        e->fault = true;
        return;
    }
    emit_u16(e, packet->packet_id);
    properties_emit(e, MQTT_UNSUBSCRIBE, &packet->properties);
    for (unsigned i = 0; i < packet->filter_count; i++)
        emit_str(e, packet->filters[i]);
}

void suback_emit(struct emit *e, enum mqtt_type type, const struct mqtt_suback *packet)
{
    bool bare = e->version != MQTT_V5 && type == MQTT_UNSUBACK;

    if (packet->packet_id == 0 || packet->code_count > MQTT_FILTERS_MAX ||
        (packet->code_count == 0 && !bare)) {
        e->fault = true;
        return;
    }
    emit_u16(e, packet->packet_id);
    properties_emit(e, type, &packet->properties);
    for (unsigned i = 0; i < packet->code_count && !bare; i++) {
        uint8_t code = packet->codes[i];

        if (reason_check(type, code))
            e->fault = true;
        emit_u8(e, e->version != MQTT_V5 && code >= 0x80 ? (unsigned)FAILURE_V311 : code);
    }
}
