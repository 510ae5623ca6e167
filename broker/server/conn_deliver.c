/* The way to a subscriber: at once where its window and its socket have room, through its outbox
 * where not. A session's QoS 1 order is kept by never passing the outbox while it holds something.
 */
#include "broker/base/log.h"
#include "broker/codec/packet.h"
#include "broker/server/conn.h"

enum {
    OUT_BACKLOG_BYTES = 128 * 1024,
    OUT_EARLY_BYTES =
        1024 * 1024, /* sent before the turn ends, so that one turn's copies are bounded */
};

/* Whether the client reads too slowly to be sent more now. */
static bool has_backlog(const struct conn *c)
{
    return transport_pending(&c->transport) > 0 && c->out.len > OUT_BACKLOG_BYTES;
}

static void drop(struct worker *w, uint32_t count)
{
    COUNT_ADD(w, messages_dropped, count);
}

/* Put one copy into this turn's output. */
static void send_copy(struct conn *c, struct message *message, uint8_t qos)
{
    struct worker *w = c->worker;
    const struct message_wire *wire = message_wire(message, (enum mqtt_version)c->version, qos);
    struct message_delivery delivery = {.qos = qos};
    uint8_t *room;

    if (!wire || (c->max_packet_out > 0 && wire->len > c->max_packet_out) || /* [MQTT-3.1.2-25] */
        message_is_expired(message, w->mono_ms)) {                           /* [MQTT-3.3.2-5] */
        drop(w, 1);
        return;
    }
    room = conn_room(c, wire->len);
    if (!room)
        return;
    if (qos > 0 && inflight_take(&c->session->inflight, &delivery.packet_id)) {
        drop(w, 1);
        return;
    }
    message_write(message, wire, delivery, w->mono_ms, room);
    c->out.len += wire->len;
    COUNT_ADD(w, messages_sent, 1);
    if (UNLIKELY(c->out.len >= OUT_EARLY_BYTES))
        conn_flush(c); /* what the socket does not take makes a backlog */
}

static void deliver_one(struct worker *w, struct session *session, struct message *message,
                        uint8_t qos)
{
    struct conn *c = session->conn;
    uint32_t dropped = 0;
    bool waits = outbox_count(&session->outbox) > 0 || has_backlog(c) ||
                 (qos > 0 && inflight_is_full(&session->inflight)); /* [MQTT-3.3.4-9] */

    if (c->state != CONN_ACTIVE)
        return;
    if (!waits)
        send_copy(c, message, qos);
    else if (outbox_push(&session->outbox, message, qos, false, &dropped) || dropped > 0)
        drop(w, dropped);
}

void deliver_message(struct worker *w, struct message *message)
{
    const struct router_target *targets;
    size_t count = router_match(w->router, w->subs, message->topic, message->publisher, &targets);

    for (size_t i = 0; i < count; i++) { /* [MQTT-3.8.4-8] */
        uint8_t qos = targets[i].qos < message->qos ? targets[i].qos : message->qos;

        deliver_one(w, targets[i].session, message, qos);
    }
}

/* What waits is shared with others, what is in `out` is this connection's own copy: a piece at a
 * time. conn_flush() comes back for the rest, or on_drained() when the socket is full. */
void deliver_queued(struct conn *c)
{
    struct outbox *outbox = &c->session->outbox;

    while (c->state == CONN_ACTIVE && c->out.len <= OUT_BACKLOG_BYTES) {
        const struct outbox_entry *first =
            outbox_first(outbox, !inflight_is_full(&c->session->inflight));
        struct message *message;
        uint8_t qos;

        if (!first)
            return;
        message = message_ref(first->message);
        qos = first->qos;
        outbox_pop(outbox, first);
        send_copy(c, message, qos);
        message_unref(message);
    }
}

uint8_t on_puback(struct conn *c, const struct mqtt_packet *packet)
{
    if (inflight_release(&c->session->inflight, packet->ack.packet_id)) {
        LOG_DEBUG("puback_unknown", F_STR("client", conn_client_id(c)),
                  F_UINT("packet_id", packet->ack.packet_id));
        return c->state;
    }
    deliver_queued(c);
    return c->state;
}
