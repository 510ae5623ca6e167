/* CONNECT: who is it, may it, and what does the CONNACK say. What this server does not offer is
 * announced here and refused where it is used: QoS 2, retained messages, shared subscriptions,
 * subscription identifiers, topic aliases, sessions that outlive their connection. */
#include "broker/base/chance.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/codec/packet.h"
#include "broker/codec/topic.h"
#include "broker/server/conn.h"

enum { CLIENT_ID_MAX = 256, ASSIGNED_ID_BYTES = 12, RECEIVE_MAX_DEFAULT = 65535 };

static void log_refused(const struct conn *c, const struct mqtt_connect *connect,
                        enum mqtt_reason reason, const char *why)
{
    char address[80];

    LOG_WARN(
        "connect_refused", F_STR("client", connect->client_id),
        F_STR("address",
              str_of_bytes(address, transport_address(&c->transport, address, sizeof address))),
        F_UINT("reason", reason), F_TEXT("text", mqtt_reason_text(reason)), F_TEXT("why", why));
}

static uint8_t refuse(struct conn *c, const struct mqtt_connect *connect, enum mqtt_reason reason,
                      const char *why)
{
    struct mqtt_packet connack = {.type = MQTT_CONNACK};

    COUNT_ADD(c->worker, connects_refused, 1);
    log_refused(c, connect, reason, why);
    connack.connack.reason = reason;
    if (conn_is_v5(c)) {
        connack.connack.properties.present = 1u << MQTT_PROP_REASON_STRING;
        connack.connack.properties.reason_string = str_from(why);
        conn_send(c, &connack);
    } else if (connack_code_v311(reason) > 0) { /* else closed without one [v3.1.1 MQTT-3.2.2-6] */
        conn_send(c, &connack);
    }
    return conn_close(c); /* [MQTT-3.2.2-7] */
}

uint8_t conn_refuse_connect(struct conn *c, const struct mqtt_connect *connect,
                            enum mqtt_reason reason)
{
    struct mqtt_connect none = {.version = (enum mqtt_version)0};

    if (reason == MQTT_UNSUPPORTED_VERSION) { /* [MQTT-3.1.2-2] */
        c->version = connect->version >= MQTT_V5 ? MQTT_V5 : MQTT_V311;
        return refuse(c, &none, reason, "the server speaks MQTT 3.1.1 and 5");
    }
    COUNT_ADD(c->worker, connects_refused, 1);
    log_refused(c, &none, reason, "CONNECT cannot be read");
    return conn_close(c); /* [MQTT-3.1.4-1]; 3.1.1 has no code for it [v3.1.1 MQTT-3.1.4-1] */
}

/* What the server cannot do for this CONNECT, or MQTT_OK. */
static enum mqtt_reason check_offer(const struct mqtt_connect *connect, const char **why)
{
    if (mqtt_has(&connect->properties, MQTT_PROP_AUTH_METHOD)) {
        *why = "no authentication method is offered";
        return MQTT_BAD_AUTH_METHOD; /* [MQTT-4.12.0-1] */
    }
    if (connect->has_will && connect->will.qos > 1) {
        *why = "the Will asks for QoS 2; Maximum QoS is 1";
        return MQTT_QOS_NOT_SUPPORTED; /* [MQTT-3.2.2-12] */
    }
    if (connect->has_will && connect->will.retain) {
        *why = "the Will asks for RETAIN; retained messages are not offered";
        return MQTT_RETAIN_NOT_SUPPORTED; /* [MQTT-3.2.2-13] */
    }
    return MQTT_OK;
}

/* Settle the client id: a bike's is its certificate's CN, whatever else is asked for is refused.
 * `assigned` holds a made-up id. */
static enum mqtt_reason settle_client_id(struct conn *c, const struct mqtt_connect *connect,
                                         char assigned[IDENTITY_NAME_MAX + 1], struct str *out,
                                         const char **why)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t random[ASSIGNED_ID_BYTES];
    size_t len = 0;

    *out = connect->client_id;
    if (c->identity && c->identity->kind == IDENTITY_BIKE) {
        struct str name = {c->identity->name, c->identity->name_len};

        if (out->len > 0 && !str_equal(*out, name)) {
            *why = "the client id of a bike is the CN of its certificate";
            return MQTT_CLIENT_ID_INVALID;
        }
        *out = name;
        return MQTT_OK;
    }
    if (out->len > CLIENT_ID_MAX) {
        *why = "the client id is longer than 256 bytes";
        return MQTT_CLIENT_ID_INVALID;
    }
    for (size_t i = 0; i < out->len; i++) {
        if ((uint8_t)out->at[i] < 0x20 || out->at[i] == 0x7f) {
            *why = "the client id holds a control character";
            return MQTT_CLIENT_ID_INVALID;
        }
    }
    if (out->len > 0)
        return MQTT_OK;
    if (!conn_is_v5(c) && !connect->clean_start) {
        *why = "an empty client id needs Clean Session"; /* [v3.1.1 MQTT-3.1.3-8] */
        return MQTT_CLIENT_ID_INVALID;
    }
    chance_fill(random, sizeof random); /* [MQTT-3.1.3-6] */
    memcpy(assigned, "auto-", 5);
    len = 5;
    for (size_t i = 0; i < sizeof random; i++) {
        assigned[len++] = digits[random[i] >> 4];
        assigned[len++] = digits[random[i] & 15];
    }
    *out = (struct str){assigned, len};
    return MQTT_OK;
}

static bool same_identity(const struct conn *a, const struct conn *b)
{
    struct identity left = conn_identity(a), right = conn_identity(b);

    return left.kind == right.kind && left.name_len == right.name_len &&
           memcmp(left.name, right.name, left.name_len) == 0;
}

/* End an older connection of the same id [MQTT-3.1.4-3]. Only its own principal may do that, but a
 * bike always gets its id from whoever else squats on it. */
static bool take_over(struct conn *c, struct str client_id)
{
    struct session *old = registry_find(c->worker->registry, client_id);

    if (!old)
        return true;
    if (!same_identity(c, old->conn) && !(c->identity && c->identity->kind == IDENTITY_BIKE))
        return false;
    COUNT_ADD(c->worker, sessions_taken_over, 1);
    conn_fail(old->conn, MQTT_SESSION_TAKEN_OVER, "the same client connected again");
    return true;
}

/* 1.5 x Keep Alive, and in MQTT 5 the server's own value when the client's is too long. */
static uint16_t settle_keep_alive(struct conn *c, uint16_t asked_s, bool *announce)
{
    uint64_t max_s = (uint64_t)c->worker->server->config->limits.keep_alive_max_ms / 1000;

    *announce = conn_is_v5(c) && max_s > 0 && (asked_s == 0 || asked_s > max_s);
    if (*announce)
        asked_s = (uint16_t)(max_s < UINT16_MAX ? max_s : UINT16_MAX);
    c->keep_alive_ms = (uint32_t)asked_s * 1500;
    return asked_s;
}

static void accept_connect(struct conn *c, const struct mqtt_connect *connect, struct str client_id)
{
    const struct config *config = c->worker->server->config;
    struct mqtt_packet packet = {.type = MQTT_CONNACK};
    struct mqtt_properties *p = &packet.connack.properties;
    bool announce_keep_alive;
    uint16_t keep_alive_s = settle_keep_alive(c, connect->keep_alive_s, &announce_keep_alive);

    p->present = 1u << MQTT_PROP_RECEIVE_MAX | 1u << MQTT_PROP_MAX_QOS |
                 1u << MQTT_PROP_RETAIN_AVAILABLE | 1u << MQTT_PROP_MAX_PACKET |
                 1u << MQTT_PROP_SUBSCRIPTION_ID_AVAILABLE | 1u << MQTT_PROP_SHARED_AVAILABLE;
    p->receive_max = (uint16_t)config->limits.receive_maximum;
    p->max_qos = 1;
    p->max_packet_bytes = (uint32_t)config->limits.max_packet_bytes;
    if (mqtt_has(&connect->properties, MQTT_PROP_SESSION_EXPIRY) &&
        connect->properties.session_expiry_s > 0) {
        c->asked_expiry = true;
        p->present |= 1u << MQTT_PROP_SESSION_EXPIRY;
        p->session_expiry_s = 0;
    }
    if (connect->client_id.len == 0) { /* [MQTT-3.2.2-16] */
        p->present |= 1u << MQTT_PROP_ASSIGNED_CLIENT_ID;
        p->assigned_client_id = client_id;
    }
    if (announce_keep_alive) {
        p->present |= 1u << MQTT_PROP_SERVER_KEEP_ALIVE;
        p->server_keep_alive_s = keep_alive_s;
    }
    conn_send(c, &packet); /* Session Present is 0: sessions end with their connection */
}

/* The Will as the message it will be [MQTT-3.1.2-7]. ERR_NOMEM. */
static int keep_will(struct conn *c, const struct mqtt_will *will)
{
    struct mqtt_publish publish = {.topic = will->topic,
                                   .payload = will->payload,
                                   .properties = will->properties,
                                   .qos = will->qos};

    return message_new(&c->session->will, &publish, c->session->id, c->worker->mono_ms);
}

/* Undo what on_connect() began: nobody has seen this session. */
static void drop_session(struct conn *c)
{
    struct session *s = c->session;

    c->session = NULL;
    if (registry_find(c->worker->registry, session_client_id(s)) == s)
        registry_remove(c->worker->registry, s);
    session_free(s, c->worker->subs);
}

uint8_t on_connect(struct conn *c, const struct mqtt_packet *packet)
{
    const struct mqtt_connect *connect = &packet->connect;
    struct worker *w = c->worker;
    char assigned[IDENTITY_NAME_MAX + 1];
    struct identity who = conn_identity(c);
    struct str client_id;
    enum mqtt_reason reason;
    const char *why = NULL;
    uint16_t receive_max = RECEIVE_MAX_DEFAULT;

    c->version = (uint8_t)connect->version;
    if (mqtt_has(&connect->properties, MQTT_PROP_MAX_PACKET))
        c->max_packet_out = connect->properties.max_packet_bytes;
    if (mqtt_has(&connect->properties, MQTT_PROP_REQUEST_PROBLEM))
        c->problem_info = connect->properties.request_problem != 0;
    if (mqtt_has(&connect->properties, MQTT_PROP_RECEIVE_MAX))
        receive_max = connect->properties.receive_max;

    reason = check_offer(connect, &why);
    if (reason == MQTT_OK)
        reason = settle_client_id(c, connect, assigned, &client_id, &why);
    if (reason == MQTT_OK && connect->has_will &&
        !acl_may_publish(w->acl, &who, connect->will.topic)) {
        reason = MQTT_NOT_AUTHORIZED;
        why = "the Will Topic is outside this client's rights";
    }
    if (reason == MQTT_OK && !take_over(c, client_id)) {
        reason = MQTT_NOT_AUTHORIZED;
        why = "the client id belongs to another client";
    }
    if (reason != MQTT_OK)
        return refuse(c, connect, reason, why);

    c->session = session_new(client_id, w->next_session_id++, receive_max, &w->outbox_limits);
    c->session->conn = c;
    if (registry_add(w->registry, c->session) ||
        (connect->has_will && keep_will(c, &connect->will))) {
        drop_session(c);
        return refuse(c, connect, MQTT_QUOTA_EXCEEDED, "no memory for the session");
    }
    COUNT_ADD(w, sessions, 1);
    c->state = CONN_ACTIVE; /* [MQTT-3.1.4-5] */
    c->heard_ms = w->mono_ms;
    accept_connect(c, connect, client_id);
    if (c->state != CONN_ACTIVE)
        return c->state;
    wheel_remove(&c->timer);
    if (c->keep_alive_ms > 0)
        conn_arm(c, w->mono_ms + c->keep_alive_ms); /* [MQTT-3.1.2-22] */
    LOG_DEBUG("client_connected", F_STR("client", client_id), F_UINT("version", connect->version),
              F_UINT("keep_alive_s", connect->keep_alive_s));
    return c->state;
}
