/* SUBSCRIBE and UNSUBSCRIBE: one code for each filter, in their order [MQTT-3.9.3-1]. */
#include "broker/codec/topic.h"
#include "broker/server/conn.h"

#include "broker/base/log.h"

/* A filter longer or deeper than we take is well formed but not accepted here. */
static bool filter_is_too_large(struct str filter)
{
    size_t levels = 1;

    for (size_t i = 0; i < filter.len; i++)
        levels += filter.at[i] == '/';
    return filter.len > MQTT_TOPIC_MAX || levels > MQTT_TOPIC_LEVELS_MAX;
}

/* The SUBACK code for one filter. MQTT_MALFORMED and MQTT_PROTOCOL_ERROR close the connection. */
static enum mqtt_reason subscribe_one(struct conn *c, const struct mqtt_filter *filter)
{
    const struct config *config = c->worker->server->config;
    struct identity who = conn_identity(c);
    struct sub_options options = {.qos = filter->qos > 1 ? 1 : filter->qos, /* [MQTT-3.2.2-10] */
                                  .no_local = filter->no_local,
                                  .retain_as_published = filter->retain_as_published};
    struct str group, rest;
    bool is_share = false;
    uint32_t before = c->session->filter_count;
    int rc;

    if (!topic_share_split(filter->topic, &is_share, &group, &rest) && is_share)
        return MQTT_MALFORMED; /* [MQTT-4.8.2-1] [MQTT-4.8.2-2] */
    if (is_share && filter->no_local)
        return MQTT_PROTOCOL_ERROR; /* [MQTT-3.8.3-4] */
    if (is_share && conn_is_v5(c))
        return MQTT_SHARED_NOT_SUPPORTED;
    if (filter_is_too_large(filter->topic))
        return MQTT_TOPIC_FILTER_INVALID;
    if (!topic_filter_valid(filter->topic))
        return MQTT_MALFORMED; /* [MQTT-4.7.1-1] */
    if (!acl_may_subscribe(c->worker->acl, &who, filter->topic))
        return MQTT_NOT_AUTHORIZED;
    rc = session_subscribe(c->session, c->worker->subs, filter->topic, options,
                           (uint32_t)config->limits.subscriptions_per_session);
    if (rc)
        return MQTT_QUOTA_EXCEEDED;
    COUNT_ADD(c->worker, subscriptions, c->session->filter_count - before);
    return (enum mqtt_reason)options.qos;
}

uint8_t on_subscribe(struct conn *c, const struct mqtt_packet *packet)
{
    const struct mqtt_subscribe *subscribe = &packet->subscribe;
    struct mqtt_packet suback = {.type = MQTT_SUBACK};

    if (mqtt_has(&subscribe->properties, MQTT_PROP_SUBSCRIPTION_ID))
        return conn_fail(c, MQTT_SUBSCRIPTION_IDS_NOT_SUPPORTED,
                         "subscription identifiers are not offered, see CONNACK");
    suback.suback.packet_id = subscribe->packet_id; /* [MQTT-3.8.4-2] */
    suback.suback.code_count = subscribe->filter_count;
    for (size_t i = 0; i < subscribe->filter_count; i++) {
        enum mqtt_reason code = subscribe_one(c, &subscribe->filters[i]);

        if (code == MQTT_MALFORMED || code == MQTT_PROTOCOL_ERROR)
            return conn_fail(c, code, "a topic filter is not one of MQTT's");
        if (code >= MQTT_UNSPECIFIED_ERROR) {
            LOG_WARN("subscribe_refused", F_STR("client", conn_client_id(c)),
                     F_STR("filter", subscribe->filters[i].topic), F_UINT("reason", code),
                     F_TEXT("text", mqtt_reason_text(code)));
            if (!conn_is_v5(c))
                code = MQTT_UNSPECIFIED_ERROR; /* [v3.1.1 MQTT-3.9.3-2] */
        }
        suback.suback.codes[i] = (uint8_t)code;
    }
    conn_send(c, &suback);
    return c->state;
}

uint8_t on_unsubscribe(struct conn *c, const struct mqtt_packet *packet)
{
    const struct mqtt_unsubscribe *unsubscribe = &packet->unsubscribe;
    struct mqtt_packet unsuback = {.type = MQTT_UNSUBACK};

    unsuback.suback.packet_id = unsubscribe->packet_id; /* [MQTT-3.10.4-5] */
    unsuback.suback.code_count = unsubscribe->filter_count;
    for (size_t i = 0; i < unsubscribe->filter_count; i++) {
        bool gone = session_unsubscribe(c->session, c->worker->subs, unsubscribe->filters[i]) == 0;

        if (gone)
            COUNT_ADD(c->worker, subscriptions, -1);
        unsuback.suback.codes[i] =
            (uint8_t)(gone ? MQTT_OK : MQTT_NO_SUBSCRIPTION_EXISTED); /* [MQTT-3.11.3-2] */
    }
    conn_send(c, &unsuback);
    return c->state;
}
