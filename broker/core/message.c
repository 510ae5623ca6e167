#include "broker/core/message.h"

#include "broker/base/mem.h"
#include "broker/codec/packet.h"
#include "broker/codec/property.h"

int message_new(struct message **out, const struct mqtt_publish *publish, uint64_t publisher,
                uint64_t now_ms)
{
    const struct mqtt_properties *properties = &publish->properties;
    struct str raw = properties->present ? properties->raw : (struct str){NULL, 0};
    size_t topic_len = publish->topic.len, payload_len = publish->payload.len, raw_len = 0;
    struct message *m = mem_try(sizeof *m + topic_len + payload_len + raw.len);

    if (!m)
        return ERR_NOMEM;
    *m = (struct message){.refs = 1,
                          .qos = publish->qos,
                          .retain = publish->retain,
                          .published_ms = now_ms,
                          .publisher = publisher};
    if (mqtt_has(properties, MQTT_PROP_MESSAGE_EXPIRY)) {
        m->expires = true;
        m->expiry_s = properties->message_expiry_s;
    }
    if (topic_len > 0)
        memcpy(m->bytes, publish->topic.at, topic_len);
    if (payload_len > 0)
        memcpy(m->bytes + topic_len, publish->payload.at, payload_len);
    if (raw.len > 0)
        raw_len = properties_forward(raw, m->bytes + topic_len + payload_len);
    m->topic = str_of_bytes(m->bytes, topic_len);
    m->payload = str_of_bytes(m->bytes + topic_len, payload_len);
    m->properties = str_of_bytes(m->bytes + topic_len + payload_len, raw_len);
    *out = m;
    return 0;
}

void message_publish_at(struct message *m, uint64_t now_ms)
{
    ASSERT(atomic_load_explicit(&m->refs, memory_order_relaxed) == 1);
    m->published_ms = now_ms;
}

struct message *message_ref(struct message *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void message_unref(struct message *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < MESSAGE_WIRES; i++)
        mem_free(atomic_load_explicit(&m->wires[i], memory_order_relaxed));
    mem_free(m);
}

bool message_is_expired(const struct message *m, uint64_t now_ms)
{
    return m->expires && now_ms - m->published_ms >= (uint64_t)m->expiry_s * 1000;
}

static struct message_wire *wire_new(const struct message *m, enum mqtt_version version,
                                     uint8_t qos)
{
    struct mqtt_publish publish = {
        .topic = m->topic, .payload = m->payload, .qos = qos, .packet_id = qos > 0};
    struct message_wire *wire;
    size_t len;

    publish.properties.raw = m->properties;
    len = publish_encoded_bytes(version, &publish);
    wire = mem_try(sizeof *wire + len);
    if (!wire)
        return NULL;
    *wire = (struct message_wire){.len = (uint32_t)len};
    len = publish_encode_raw(version, &publish, wire->bytes, len, &wire->packet_id_at,
                             &wire->expiry_at);
    ASSERT(len == wire->len);
    return wire;
}

const struct message_wire *message_wire(struct message *m, enum mqtt_version version, uint8_t qos)
{
    _Atomic(struct message_wire *) *place = &m->wires[(version == MQTT_V5) * 2 + (qos > 0)];
    struct message_wire *wire = atomic_load_explicit(place, memory_order_acquire);
    struct message_wire *other = NULL;

    if (wire)
        return wire;
    wire = wire_new(m, version, qos > 0);
    /* Two threads may encode the same form at once: the first one's stays. */
    if (wire && !atomic_compare_exchange_strong(place, &other, wire)) {
        mem_free(wire);
        wire = other;
    }
    return wire;
}

static void store_be(uint8_t *to, uint32_t value, unsigned bytes)
{
    while (bytes-- > 0) {
        to[bytes] = (uint8_t)value;
        value >>= 8;
    }
}

/* Never 0: what has expired is not sent, and the second it was judged in has not ended. */
static uint32_t expiry_left_s(const struct message *m, uint64_t now_ms)
{
    uint64_t waited_s = (now_ms - m->published_ms) / 1000;

    return waited_s < m->expiry_s ? m->expiry_s - (uint32_t)waited_s : 1;
}

void message_write(const struct message *m, const struct message_wire *wire,
                   struct message_delivery delivery, uint64_t now_ms, uint8_t *to)
{
    memcpy(to, wire->bytes, wire->len);
    to[0] = (uint8_t)(MQTT_PUBLISH << 4 | delivery.dup << 3 | delivery.qos << 1 | delivery.retain);
    ASSERT((delivery.qos > 0) == (wire->packet_id_at > 0));
    if (wire->packet_id_at)
        store_be(to + wire->packet_id_at, delivery.packet_id, 2);
    if (wire->expiry_at)
        store_be(to + wire->expiry_at, expiry_left_s(m, now_ms), 4);
}
