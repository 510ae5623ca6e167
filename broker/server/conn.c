/* One MQTT connection.
 *
 *   1. States: OPENING -> NEW -> ACTIVE -> CLOSING; every state may go to CLOSING, none leaves it.
 *   2. Bytes are parsed where they were read: the loop's shared room, with the connection's
 * leftover copied in front. A leftover over HELD_COPY_MAX grows in the connection's own buffer
 * instead, so that no byte is copied more than twice however slowly a packet arrives.
 *   3. Handlers append to `out`; conn_flush() sends it once a turn. While the transport still keeps
 *      bytes nothing more is sent, and beyond OUT_PAUSE_BYTES nothing more is read.
 *   4. A connection without room in the ring is "stalled": it keeps its bytes, reads nothing and is
 *      parsed again after the next commit. */
#include "broker/server/conn.h"

#include "broker/base/chrono.h"
#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/codec/packet.h"

enum {
    HELD_COPY_MAX = 4096,
    OUT_PAUSE_BYTES = 256 * 1024,
    LINGER_MS = 2000,
    LINGER_STOPPING_MS = 500,
};

static uint8_t on_pingreq(struct conn *c, const struct mqtt_packet *packet)
{
    static const uint8_t pingresp[2] = {MQTT_PINGRESP << 4, 0};

    (void)packet;
    conn_put(c, pingresp, sizeof pingresp); /* [MQTT-3.12.4-1] */
    return c->state;
}

static uint8_t on_disconnect(struct conn *c, const struct mqtt_packet *packet)
{
    if (mqtt_has(&packet->ack.properties, MQTT_PROP_SESSION_EXPIRY) &&
        packet->ack.properties.session_expiry_s != 0 && !c->asked_expiry) /* [MQTT-3.14.2-2] */
        return conn_fail(c, MQTT_PROTOCOL_ERROR, "Session Expiry Interval was 0 in CONNECT");
    c->clean_end = packet->ack.reason == MQTT_OK; /* [MQTT-3.14.4-3] */
    return conn_close(c);
}

/* QoS 2 is not offered, so no PUBREL can belong to anything [MQTT-4.3.3-11]. */
static uint8_t on_pubrel(struct conn *c, const struct mqtt_packet *packet)
{
    struct mqtt_packet pubcomp = {.type = MQTT_PUBCOMP};

    pubcomp.ack.packet_id = packet->ack.packet_id;
    pubcomp.ack.reason = conn_is_v5(c) ? MQTT_PACKET_ID_NOT_FOUND : MQTT_OK;
    conn_send(c, &pubcomp);
    return c->state;
}

/* One row a state, one column a packet type. An empty cell is a protocol error, which is how
 * [MQTT-3.1.0-1], [MQTT-3.1.0-2] and [MQTT-4.12.0-7] are kept without an `if`. PUBLISH is not here:
 * it is decoded and handled apart, see parse_packet(). */
static conn_step_fn *const conn_steps[CONN_STATE_COUNT][MQTT_TYPE_COUNT] = {
    [CONN_NEW] = {[MQTT_CONNECT] = on_connect},
    [CONN_ACTIVE] = {[MQTT_PUBACK] = on_puback,
                     [MQTT_PUBREL] = on_pubrel,
                     [MQTT_SUBSCRIBE] = on_subscribe,
                     [MQTT_UNSUBSCRIBE] = on_unsubscribe,
                     [MQTT_PINGREQ] = on_pingreq,
                     [MQTT_DISCONNECT] = on_disconnect},
};

static bool type_is_welcome(const struct conn *c, enum mqtt_type type)
{
    return conn_steps[c->state][type] || (type == MQTT_PUBLISH && c->state == CONN_ACTIVE);
}

/* Handle one whole packet. False: it could not be handled for want of room and is to be kept. */
static bool parse_packet(struct conn *c, const struct frame *frame, struct str body)
{
    enum mqtt_version version = (enum mqtt_version)c->version;
    enum mqtt_reason reason;

    if (!type_is_welcome(c, frame->type)) {
        conn_fail(c, MQTT_PROTOCOL_ERROR, "this packet type is not allowed now");
        return true;
    }
    if (LIKELY(frame->type == MQTT_PUBLISH)) {
        struct mqtt_publish publish;
        bool stalled = false;

        reason = publish_decode(version, frame->flags, body, &publish);
        if (UNLIKELY(reason != MQTT_OK)) {
            conn_fail(c, reason, "PUBLISH cannot be read");
            return true;
        }
        c->state = on_publish(c, &publish, &stalled);
        return !stalled;
    }

    struct mqtt_packet packet;

    reason = packet_decode(version, frame, body, &packet);
    if (reason != MQTT_OK && frame->type == MQTT_CONNECT)
        c->state = conn_refuse_connect(c, &packet.connect, reason);
    else if (reason != MQTT_OK)
        conn_fail(c, reason, "the packet cannot be read");
    else
        c->state = conn_steps[c->state][frame->type](c, &packet);
    return true;
}

static uint32_t max_packet_in(const struct conn *c)
{
    const struct config *config = c->worker->server->config;

    return c->state == CONN_ACTIVE ? (uint32_t)config->limits.max_packet_bytes
                                   : (uint32_t)config->limits.max_packet_before_connect_bytes;
}

/* Parse all whole packets in `bytes`; returns how many bytes are done with. */
static size_t parse(struct conn *c, struct str bytes)
{
    size_t used = 0;

    while (c->state == CONN_NEW || c->state == CONN_ACTIVE) {
        struct str rest = {bytes.at + used, bytes.len - used};
        struct frame frame = {0};
        enum mqtt_reason reason = MQTT_OK;
        enum frame_state state = frame_next(rest, max_packet_in(c), &frame, &reason);

        if (state == FRAME_WHOLE) {
            if (!parse_packet(c, &frame,
                              (struct str){rest.at + frame.head_bytes, frame.body_bytes})) {
                conn_stall(c);
                break;
            }
            c->heard_ms = c->worker->mono_ms;
            used += frame.head_bytes + frame.body_bytes;
            continue;
        }
        if (state == FRAME_BAD)
            conn_fail(c, reason, "the fixed header is not one of MQTT's");
        else if (frame.head_bytes > 0 && !type_is_welcome(c, frame.type))
            conn_fail(c, MQTT_PROTOCOL_ERROR, "this packet type is not allowed now");
        break;
    }
    return used;
}

/* ---- bytes ---- */

/* Whether the leftover is read on in the connection's own buffer (2.). */
static bool reads_into_held(const struct conn *c)
{
    return c->held.len > HELD_COPY_MAX;
}

static struct net_room on_room(struct transport *t)
{
    struct conn *c = (struct conn *)t;
    uint8_t *shared = net_loop_room(c->worker->net);

    if (reads_into_held(c)) {
        if (!buffer_reserve(&c->worker->buffers, &c->held, c->held.len))
            return (struct net_room){shared, 0};
        return (struct net_room){c->held.at + c->held.len, c->held.room - c->held.len};
    }
    if (c->held.len > 0)
        memcpy(shared, c->held.at, c->held.len);
    return (struct net_room){shared + c->held.len, NET_ROOM_BYTES - c->held.len};
}

/* Keep what is left of `bytes` from the shared room. */
static void hold(struct conn *c, struct str bytes)
{
    c->held.len = 0;
    if (bytes.len == 0)
        buffer_release(&c->worker->buffers, &c->held);
    else if (!buffer_append(&c->worker->buffers, &c->held, bytes.at, bytes.len))
        conn_fail(c, MQTT_QUOTA_EXCEEDED, "no memory for a partial packet");
}

static void on_bytes(struct transport *t, size_t len)
{
    struct conn *c = (struct conn *)t;
    struct str bytes;
    size_t used;

    worker_clock(c->worker);
    COUNT_ADD(c->worker, bytes_received, len);
    if (reads_into_held(c)) {
        c->held.len += (uint32_t)len;
        used = parse(c, str_of_bytes(c->held.at, c->held.len));
        if (c->state == CONN_CLOSING)
            return;
        buffer_consume(&c->held, used);
        if (c->held.len == 0)
            buffer_release(&c->worker->buffers, &c->held);
        return;
    }
    bytes = str_of_bytes(net_loop_room(c->worker->net), c->held.len + len);
    used = parse(c, bytes);
    if (c->state != CONN_CLOSING && (used < bytes.len || c->held.room > 0))
        hold(c, (struct str){bytes.at + used, bytes.len - used});
}

void conn_stall(struct conn *c)
{
    if (c->is_stalled || c->state == CONN_CLOSING)
        return;
    c->is_stalled = true;
    list_push_back(&c->worker->stalled, &c->stalled_link);
    transport_pause(&c->transport);
    COUNT_ADD(c->worker, ring_full, 1);
}

void conn_resume(struct conn *c)
{
    size_t used;

    ASSERT(c->is_stalled);
    list_remove(&c->stalled_link);
    c->is_stalled = false;
    used = parse(c, str_of_bytes(c->held.at, c->held.len));
    if (c->state == CONN_CLOSING)
        return;
    buffer_consume(&c->held, used);
    if (c->held.len == 0)
        buffer_release(&c->worker->buffers, &c->held);
    if (!c->is_stalled && !c->is_choked)
        transport_resume(&c->transport);
}

/* ---- output ---- */

static void mark_dirty(struct conn *c)
{
    if (c->is_dirty)
        return;
    c->is_dirty = true;
    list_push_back(&c->worker->dirty, &c->dirty_link);
}

bool conn_put(struct conn *c, const void *bytes, size_t len)
{
    uint8_t *room = conn_room(c, len);

    if (!room)
        return false;
    memcpy(room, bytes, len);
    c->out.len += (uint32_t)len;
    return true;
}

uint8_t *conn_room(struct conn *c, size_t len)
{
    if (c->state == CONN_CLOSING)
        return NULL;
    if (UNLIKELY(!buffer_reserve(&c->worker->buffers, &c->out, len))) {
        conn_close(c);
        return NULL;
    }
    mark_dirty(c);
    return c->out.at + c->out.len;
}

void conn_send(struct conn *c, const struct mqtt_packet *packet)
{
    uint8_t bytes[2048];
    size_t len = packet_encode((enum mqtt_version)c->version, packet, bytes, sizeof bytes);

    ASSERT(len > 0); /* what the server says of itself is small */
    if (c->max_packet_out > 0 && len > c->max_packet_out) {
        struct mqtt_packet bare = *packet; /* [MQTT-3.2.2-19] and its kin */

        if (bare.type == MQTT_CONNACK)
            bare.connack.properties.present &= ~(1u << MQTT_PROP_REASON_STRING);
        else if (bare.type == MQTT_SUBACK || bare.type == MQTT_UNSUBACK)
            bare.suback.properties.present &= ~(1u << MQTT_PROP_REASON_STRING);
        else
            bare.ack.properties.present &= ~(1u << MQTT_PROP_REASON_STRING);
        len = packet_encode((enum mqtt_version)c->version, &bare, bytes, sizeof bytes);
        if (len > c->max_packet_out) { /* [MQTT-3.1.2-24] */
            if (packet->type == MQTT_CONNACK)
                conn_close(c); /* it cannot be told that it is connected */
            return;
        }
    }
    conn_put(c, bytes, len);
}

void conn_flush(struct conn *c)
{
    int rc;

    list_remove(&c->dirty_link);
    c->is_dirty = false;
    if (c->out.len == 0 || c->state == CONN_CLOSING)
        return;
    if (transport_pending(&c->transport) > 0) { /* on_drained() comes back to it */
        if (c->out.len > OUT_PAUSE_BYTES && !c->is_choked) {
            c->is_choked = true;
            transport_pause(&c->transport);
        }
        return;
    }
    COUNT_ADD(c->worker, bytes_sent, c->out.len);
    rc = transport_send(&c->transport, str_of_bytes(c->out.at, c->out.len));
    buffer_release(&c->worker->buffers, &c->out);
    if (rc)
        conn_close(c);
    else if (transport_pending(&c->transport) == 0 && c->state == CONN_ACTIVE &&
             outbox_count(&c->session->outbox) > 0)
        deliver_queued(c);
}

static void on_drained(struct transport *t)
{
    struct conn *c = (struct conn *)t;

    if (c->state == CONN_CLOSING)
        return;
    worker_clock(c->worker);
    if (c->out.len > 0)
        mark_dirty(c);
    if (c->is_choked) {
        c->is_choked = false;
        if (!c->is_stalled)
            transport_resume(&c->transport);
    }
    if (c->state == CONN_ACTIVE)
        deliver_queued(c);
}

/* ---- life ---- */

static void on_timer(struct wheel_timer *timer)
{
    struct conn *c = CONTAINER_OF(timer, struct conn, timer);
    uint64_t due = c->heard_ms + c->keep_alive_ms;

    if (c->state == CONN_OPENING || c->state == CONN_NEW) {
        conn_fail(c, MQTT_MAXIMUM_CONNECT_TIME, "no CONNECT in time");
        return;
    }
    if (c->state != CONN_ACTIVE || c->keep_alive_ms == 0)
        return;
    if (c->is_stalled || c->is_choked) /* its bytes may wait unread: that is our doing */
        due = c->worker->mono_ms + c->keep_alive_ms;
    if (due <= c->worker->mono_ms)
        conn_fail(c, MQTT_KEEP_ALIVE_TIMEOUT, "nothing heard within 1.5 x Keep Alive");
    else
        conn_arm(c, due);
}

void conn_arm(struct conn *c, uint64_t due_ms)
{
    wheel_add(&c->worker->wheel, &c->timer, due_ms);
}

static void on_ready(struct transport *t)
{
    struct conn *c = (struct conn *)t;
    const struct transport_peer *peer = transport_peer(t);
    int rc;

    if (c->state != CONN_OPENING)
        return;
    worker_clock(c->worker);
    c->state = CONN_NEW;
    if (!peer->present)
        return;
    c->identity = MEM_NEW(struct identity);
    rc = identity_from_certificate(str_of_bytes(peer->common_name, peer->common_name_len),
                                   str_of_bytes(peer->unit, peer->unit_len), c->identity, NULL);
    ASSERT(rc == 0); /* accept_peer() in server.c has judged it */
}

static void on_end(struct transport *t, int err)
{
    struct conn *c = (struct conn *)t;

    if (c->state == CONN_CLOSING)
        return;
    worker_clock(c->worker);
    LOG_DEBUG("connection_ended", F_STR("client", conn_client_id(c)),
              F_TEXT("why", err ? err_text(err) : "closed by the peer"));
    conn_close(c);
}

static void on_closed(struct transport *t)
{
    struct conn *c = (struct conn *)t;

    COUNT_ADD(c->worker, connections, -1);
    mem_free(c->identity);
    mem_free(c);
}

static const struct transport_events conn_events = {
    .on_room = on_room,
    .on_bytes = on_bytes,
    .on_ready = on_ready,
    .on_drained = on_drained,
    .on_end = on_end,
    .on_closed = on_closed,
};

void conn_accept(struct worker *w, const struct server_listener *listener, uv_tcp_t *tcp)
{
    struct conn *c = MEM_NEW(struct conn);
    uint64_t deadline = w->mono_ms + (uint64_t)w->server->config->limits.connect_timeout_ms;

    c->worker = w;
    c->listener = listener;
    c->version = MQTT_V5; /* until CONNECT says otherwise; nothing is sent before that */
    c->state = CONN_OPENING;
    c->problem_info = true;
    c->timer.on_due = on_timer;
    COUNT_ADD(w, connections, 1);
    COUNT_ADD(w, connections_total, 1);
    if (worker_slot_take(w, c, &c->slot, &c->generation)) {
        c->state = CONN_CLOSING;
        if (transport_accept(&c->transport, w->net, tcp, NULL, &conn_events) == 0)
            transport_close(&c->transport, 0); /* too many connections */
        return;
    }
    conn_arm(c, deadline);
    if (transport_accept(&c->transport, w->net, tcp, listener->tls, &conn_events))
        conn_close(c);
}

/* What ends with the connection: its session, after its will has been sent [MQTT-3.1.2-8]. */
static void end_session(struct conn *c)
{
    struct session *s = c->session;
    struct worker *w = c->worker;

    if (!s)
        return;
    c->session = NULL;
    registry_remove(w->registry, s);
    COUNT_ADD(w, sessions, -1);
    COUNT_ADD(w, subscriptions, -(int64_t)s->filter_count);
    if (s->will && !c->clean_end && w->stopping == 0) {
        message_publish_at(s->will, w->mono_ms);
        worker_will(w, s->will, c->identity);
    }
    session_free(s, w->subs);
}

uint8_t conn_close(struct conn *c)
{
    struct worker *w = c->worker;

    if (c->state == CONN_CLOSING)
        return CONN_CLOSING;
    if (c->out.len > 0 && transport_pending(&c->transport) == 0) {
        COUNT_ADD(w, bytes_sent, c->out.len);
        if (transport_send(&c->transport, str_of_bytes(c->out.at, c->out.len)))
            c->out.len = 0; /* closing anyway */
    }
    c->state = CONN_CLOSING;
    if (c->is_dirty)
        list_remove(&c->dirty_link);
    if (c->is_stalled)
        list_remove(&c->stalled_link);
    c->is_dirty = c->is_stalled = false;
    wheel_remove(&c->timer);
    buffer_release(&w->buffers, &c->out);
    buffer_release(&w->buffers, &c->held);
    mem_free(c->route);
    c->route = NULL;
    worker_slot_give(w, c->slot);
    end_session(c);
    transport_close(&c->transport, w->stopping ? LINGER_STOPPING_MS : LINGER_MS);
    return CONN_CLOSING;
}

uint8_t conn_fail(struct conn *c, enum mqtt_reason reason, const char *why)
{
    char address[80];

    if (c->state == CONN_CLOSING)
        return CONN_CLOSING;
    COUNT_ADD(c->worker, protocol_errors, 1);
    LOG_INFO(
        "connection_closed", F_STR("client", conn_client_id(c)),
        F_STR("address",
              str_of_bytes(address, transport_address(&c->transport, address, sizeof address))),
        F_UINT("reason", reason), F_TEXT("text", mqtt_reason_text(reason)), F_TEXT("why", why));
    if (conn_is_v5(c) && c->state == CONN_ACTIVE) { /* [MQTT-3.14.0-1] */
        struct mqtt_packet disconnect = {.type = MQTT_DISCONNECT};

        disconnect.ack.reason = reason;
        disconnect.ack.properties.present = 1u << MQTT_PROP_REASON_STRING;
        disconnect.ack.properties.reason_string = str_from(why);
        conn_send(c, &disconnect);
    }
    return conn_close(c); /* [MQTT-4.13.1-1] */
}

bool conn_is_v5(const struct conn *c)
{
    return c->version == MQTT_V5;
}

struct str conn_client_id(const struct conn *c)
{
    return c->session ? session_client_id(c->session) : (struct str){NULL, 0};
}

struct identity conn_identity(const struct conn *c)
{
    return c->identity ? *c->identity : (struct identity){.kind = IDENTITY_ANONYMOUS};
}
