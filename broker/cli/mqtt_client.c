#include "broker/cli/mqtt_client.h"

#include <stdio.h>

#include "broker/base/chrono.h"
#include "broker/codec/packet.h"
#include "broker/net/tlsctx.h"

enum { CLIENT_CONNECTING, CLIENT_GREETING, CLIENT_READY, CLIENT_DOWN, CLIENT_CLOSING };
enum { TICK_MS = 500, LINGER_MS = 2000, IN_MAX = 64 * 1024, WHY_MAX = 256 };

static struct mqtt_client *client_of(struct transport *t)
{
    return CONTAINER_OF(t, struct mqtt_client, transport);
}

/* Say once that it is over. */
static void client_down(struct mqtt_client *c, const char *why)
{
    if (c->state >= CLIENT_DOWN)
        return;
    c->state = CLIENT_DOWN;
    c->events->on_down(c, why);
}

static int client_send(struct mqtt_client *c, const uint8_t *bytes, size_t len)
{
    c->sent_ms = chrono_mono_ms();
    return transport_send(&c->transport, str_of_bytes(bytes, len));
}

static void client_send_packet(struct mqtt_client *c, const struct mqtt_packet *packet)
{
    uint8_t bytes[512];
    size_t len = packet_encode(c->options.version, packet, bytes, sizeof bytes);
    int rc = len == 0 ? ERR_TOO_LARGE : client_send(c, bytes, len);

    if (rc)
        client_down(c, err_text(rc));
}

/* ---- packets ---- */

static void on_connack(struct mqtt_client *c, const struct mqtt_connack *connack)
{
    char why[WHY_MAX];

    if (c->state != CLIENT_GREETING) {
        client_down(c, "the server sent a second CONNACK");
        return;
    }
    if (connack->reason != MQTT_OK) {
        snprintf(why, sizeof why, "the server refused the connection: %s",
                 mqtt_reason_text(connack->reason));
        client_down(c, why);
        return;
    }
    if (mqtt_has(&connack->properties, MQTT_PROP_RECEIVE_MAX) &&
        connack->properties.receive_max < c->window)
        c->window = connack->properties.receive_max;
    c->asked_ms = 0;
    c->state = CLIENT_READY;
    c->events->on_connected(c);
}

static void on_puback(struct mqtt_client *c, const struct mqtt_ack *ack)
{
    struct str text = {NULL, 0};

    for (size_t i = 0; i < MQTT_CLIENT_WINDOW_MAX; i++) {
        if (c->ids[i] != ack->packet_id)
            continue;
        c->ids[i] = 0;
        c->in_flight--;
        c->asked_ms = c->in_flight > 0 ? chrono_mono_ms() : 0;
        if (mqtt_has(&ack->properties, MQTT_PROP_REASON_STRING))
            text = ack->properties.reason_string;
        c->events->on_ack(c, ack->packet_id, ack->reason, text);
        return;
    }
    client_down(c, "the server acknowledged what was not sent");
}

static void on_disconnect(struct mqtt_client *c, const struct mqtt_ack *ack)
{
    char why[WHY_MAX];

    snprintf(why, sizeof why, "the server disconnected: %s", mqtt_reason_text(ack->reason));
    client_down(c, why);
}

static void on_packet(struct mqtt_client *c, const struct mqtt_packet *packet)
{
    switch (packet->type) {
    case MQTT_CONNACK:
        on_connack(c, &packet->connack);
        break;
    case MQTT_PUBACK:
        on_puback(c, &packet->ack);
        break;
    case MQTT_PINGRESP:
        if (c->in_flight == 0)
            c->asked_ms = 0;
        break;
    case MQTT_DISCONNECT:
        on_disconnect(c, &packet->ack);
        break;
    default:
        client_down(c, "the server sent a packet that nobody asked for");
    }
}

/* Take the whole packets off the front of `bytes`; returns how many bytes that was. */
static size_t packets_take(struct mqtt_client *c, struct str bytes)
{
    size_t taken = 0;

    while (c->state < CLIENT_DOWN) {
        struct str rest = {bytes.at + taken, bytes.len - taken};
        enum mqtt_reason reason = MQTT_OK;
        struct mqtt_packet packet;
        struct frame frame;
        enum frame_state state = frame_next(rest, IN_MAX, &frame, &reason);

        if (state == FRAME_MORE)
            break;
        if (state == FRAME_WHOLE)
            reason =
                packet_decode(c->options.version, &frame,
                              (struct str){rest.at + frame.head_bytes, frame.body_bytes}, &packet);
        if (reason != MQTT_OK) {
            client_down(c, "the server sent a malformed packet");
            break;
        }
        taken += frame.head_bytes + frame.body_bytes;
        on_packet(c, &packet);
    }
    return taken;
}

/* ---- the transport ---- */

static struct net_room on_room(struct transport *t)
{
    struct mqtt_client *c = client_of(t);
    uint8_t *room = net_loop_room(c->net);

    if (c->in.len > 0)
        memcpy(room, c->in.at, c->in.len); /* what is left of the last turn goes in front */
    return (struct net_room){room + c->in.len, NET_ROOM_BYTES - c->in.len};
}

static void on_bytes(struct transport *t, size_t len)
{
    struct mqtt_client *c = client_of(t);
    struct str bytes = {(const char *)net_loop_room(c->net), c->in.len + len};
    size_t taken = packets_take(c, bytes);

    buf_clear(&c->in);
    if (c->state >= CLIENT_DOWN)
        return;
    buf_add(&c->in, bytes.at + taken, bytes.len - taken);
    if (buf_err(&c->in))
        client_down(c, err_text(buf_err(&c->in)));
}

static void on_ready(struct transport *t)
{
    struct mqtt_client *c = client_of(t);
    struct mqtt_packet packet = {.type = MQTT_CONNECT};

    c->state = CLIENT_GREETING;
    packet.connect = (struct mqtt_connect){
        .version = c->options.version,
        .clean_start = true,
        .keep_alive_s = c->options.keep_alive_s,
        .client_id = str_from(c->options.client_id),
    };
    client_send_packet(c, &packet);
}

static void on_drained(struct transport *t)
{
    struct mqtt_client *c = client_of(t);

    if (c->state == CLIENT_READY && c->in_flight == 0)
        c->asked_ms = 0;
}

static void on_end(struct transport *t, int err)
{
    const char *why = transport_why(t);

    client_down(client_of(t), why[0] ? why : err ? err_text(err) : "the server closed");
}

static void handle_closed(struct mqtt_client *c)
{
    if (--c->handles > 0)
        return;
    buf_fini(&c->in);
    c->events->on_closed(c);
}

static void on_transport_closed(struct transport *t)
{
    handle_closed(client_of(t));
}

static void on_timer_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

static const struct transport_events transport_events = {
    .on_room = on_room,
    .on_bytes = on_bytes,
    .on_ready = on_ready,
    .on_drained = on_drained,
    .on_end = on_end,
    .on_closed = on_transport_closed,
};

static void on_tick(uv_timer_t *timer)
{
    struct mqtt_client *c = timer->data;
    uint64_t now = chrono_mono_ms();

    if (c->asked_ms > 0 && now - c->asked_ms > (uint64_t)c->options.answer_s * 1000) {
        client_down(c, "the server does not answer");
        return;
    }
    if (c->state == CLIENT_READY && now - c->sent_ms > (uint64_t)c->options.keep_alive_s * 500) {
        client_send_packet(c, &(struct mqtt_packet){.type = MQTT_PINGREQ});
        if (c->asked_ms == 0)
            c->asked_ms = now;
    }
}

/* ---- the owner's side ---- */

int mqtt_client_open(struct mqtt_client *c, uv_loop_t *loop, struct net_loop *net,
                     const struct mqtt_client_options *options,
                     const struct mqtt_client_events *events, struct err_detail *detail)
{
    int rc;

    memset(c, 0, sizeof *c);
    c->events = events;
    c->net = net;
    c->options = *options;
    c->window = MQTT_CLIENT_WINDOW_MAX;
    c->sent_ms = c->asked_ms = chrono_mono_ms();
    buf_init(&c->in, IN_MAX);
    rc = transport_connect(&c->transport, net, options->host, options->port, options->tls,
                           &transport_events, detail);
    if (rc)
        return rc;
    uv_timer_init(loop, &c->timer);
    c->timer.data = c;
    uv_timer_start(&c->timer, on_tick, TICK_MS, TICK_MS);
    c->handles = 2;
    return 0;
}

static uint16_t id_take(struct mqtt_client *c)
{
    size_t i = 0, free_at = MQTT_CLIENT_WINDOW_MAX;

    do {
        c->last_id = (uint16_t)(c->last_id == UINT16_MAX ? 1 : c->last_id + 1);
        for (i = 0; i < MQTT_CLIENT_WINDOW_MAX && c->ids[i] != c->last_id; i++)
            if (c->ids[i] == 0)
                free_at = i;
    } while (i < MQTT_CLIENT_WINDOW_MAX); /* that id is still under way */
    c->ids[free_at] = c->last_id;
    return c->last_id;
}

int mqtt_client_publish(struct mqtt_client *c, struct str topic, struct str payload, bool dup,
                        uint16_t *out_packet_id)
{
    struct mqtt_publish publish = {.topic = topic, .qos = 1, .dup = dup, .payload = payload};
    struct mqtt_packet packet = {.type = MQTT_PUBLISH};
    UNINITIALIZED uint8_t bytes[MQTT_CLIENT_PACKET_MAX];
    size_t len;
    int rc;

    if (c->state != CLIENT_READY)
        return ERR_CLOSED;
    if (publish_encoded_bytes(c->options.version, &publish) > sizeof bytes)
        return ERR_TOO_LARGE;
    if (c->in_flight >= c->window || transport_pending(&c->transport) > 0)
        return ERR_AGAIN;
    publish.packet_id = id_take(c);
    packet.publish = publish;
    len = packet_encode(c->options.version, &packet, bytes, sizeof bytes);
    ASSERT(len > 0);
    *out_packet_id = publish.packet_id;
    if (c->in_flight++ == 0)
        c->asked_ms = chrono_mono_ms();
    rc = client_send(c, bytes, len);
    if (rc) {
        client_down(c, err_text(rc));
        return ERR_CLOSED;
    }
    return 0;
}

void mqtt_client_close(struct mqtt_client *c)
{
    bool was_ready = c->state == CLIENT_READY;

    if (c->state == CLIENT_CLOSING)
        return;
    c->state = CLIENT_CLOSING;
    if (was_ready) {
        uint8_t bytes[8];
        struct mqtt_packet packet = {.type = MQTT_DISCONNECT};
        size_t len = packet_encode(c->options.version, &packet, bytes, sizeof bytes);

        was_ready = client_send(c, bytes, len) == 0;
    }
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
    transport_close(&c->transport, was_ready ? LINGER_MS : 0);
}
