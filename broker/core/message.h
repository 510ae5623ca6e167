/* broker/core/message.h -- one published message, kept once for all who will receive it. Immutable
 * and counted; topic, properties and payload lie in the same allocation. Each of its wire forms is
 * encoded when first asked for and shared by every receiver. May be handed between threads. */
#ifndef FREEHUB_BROKER_CORE_MESSAGE_H
#define FREEHUB_BROKER_CORE_MESSAGE_H

#include "broker/base/base.h"
#include "broker/base/err.h"
#include "broker/codec/mqtt.h"

#include <stdatomic.h>

enum { MESSAGE_WIRES = 4 }; /* 3.1.1 and 5, each with QoS 0 and above */

/* A whole PUBLISH of QoS 0 or 1; message_write() makes it one receiver's. */
struct message_wire {
    uint32_t len;
    uint32_t packet_id_at; /* 0: QoS 0 */
    uint32_t expiry_at;    /* 0: it does not expire, or 3.1.1 */
    uint8_t bytes[];
};

/* Read-only for all but message.c. The `str` borrow from `bytes`. */
struct message {
    _Atomic uint32_t refs;
    uint8_t qos; /* as published */
    bool retain;
    bool expires;
    uint32_t expiry_s;     /* as published; when `expires` */
    uint64_t published_ms; /* monotonic */
    uint64_t publisher;    /* id of the session it came from, for No Local; 0: the broker's own */
    struct str topic, properties, payload;
    _Atomic(struct message_wire *) wires[MESSAGE_WIRES];
    uint8_t bytes[];
};

/* Copy what was published, without the properties that concern one hop. The caller owns the one
 * reference of `*out`. `now_ms`: chrono_mono_ms(). ERR_NOMEM. Any thread. */
CHECKED int message_new(struct message **out, const struct mqtt_publish *publish,
                        uint64_t publisher, uint64_t now_ms);

/* A will is made long before it is published: `m`, which nobody else holds yet, is published at
 * `now_ms`, and its Message Expiry Interval runs from there. Its owner's thread. */
void message_publish_at(struct message *m, uint64_t now_ms);

/* Returns `m`. Any thread. */
struct message *message_ref(struct message *m);

/* The last one frees it. NULL is allowed. Any thread. */
void message_unref(struct message *m);

/* What it counts for in a queue: its memory, wire forms left out. Any thread. */
static inline size_t message_bytes(const struct message *m)
{
    return sizeof *m + m->topic.len + m->properties.len + m->payload.len;
}

/* Whether its Message Expiry Interval has passed [MQTT-3.3.2-5]. Any thread. */
bool message_is_expired(const struct message *m, uint64_t now_ms);

/* The wire form for a receiver of `version` at `qos`; lives as long as `m`. NULL: no memory.
 * Any thread. */
const struct message_wire *message_wire(struct message *m, enum mqtt_version version, uint8_t qos);

/* How one receiver gets it. */
struct message_delivery {
    uint16_t packet_id; /* 0 with QoS 0 */
    uint8_t qos;        /* as the wire form was asked for; 2 goes with the one for 1 */
    bool retain;
    bool dup;
};

/* Copy `wire` to `to`, which has room for wire->len, and set the receiver's own bits: flags, packet
 * id, and what is left of the expiry [MQTT-3.3.2-6]. Any thread. */
void message_write(const struct message *m, const struct message_wire *wire,
                   struct message_delivery delivery, uint64_t now_ms, uint8_t *to);

#endif
