/* broker/core/outbox.h -- what a session still owes its client: messages that wait for the socket
 * or for the client's Receive Maximum. Bounded in messages and bytes. When it is full, the newest
 * QoS 0 message goes first, be it the one that comes or one that waits; when there is none to give
 * up, the message that comes is refused. Each is counted. No memory is held while nothing waits. */
#ifndef FREEHUB_BROKER_CORE_OUTBOX_H
#define FREEHUB_BROKER_CORE_OUTBOX_H

#include "broker/base/base.h"
#include "broker/base/err.h"
#include "broker/core/message.h"

struct outbox_limits {
    uint32_t messages;
    uint64_t bytes; /* message_bytes() of each, whoever else holds it */
};

/* The defaults: 100,000 messages, 64 MiB. */
enum { OUTBOX_MESSAGES_DEFAULT = 100000, OUTBOX_BYTES_DEFAULT = 64 * 1024 * 1024 };

/* One message as it is owed to this client. */
struct outbox_entry {
    struct message *message; /* one reference, the outbox's */
    uint64_t order;
    uint8_t qos;
    bool retain;
};

/* A queue of one kind; `order` grows from front to back. */
struct outbox_lane {
    struct outbox_entry *entries; /* a ring of `room` places, a power of two, or NULL */
    uint32_t room, first, count;
    uint64_t bytes;
};

/* Embedded in its session, whose owner worker alone touches it. */
struct outbox {
    const struct outbox_limits *limits; /* the caller's; outlives it */
    struct outbox_lane qos0, acked;
    uint64_t next_order;
    uint64_t dropped_qos0, dropped_acked; /* since outbox_init() */
};

void outbox_init(struct outbox *o, const struct outbox_limits *limits);

/* Gives up all that waits, uncounted. */
void outbox_fini(struct outbox *o);

/* Queue `m` at the back, with a reference of its own. `*dropped`: how many messages were given up,
 * `m` included. ERR_FULL, ERR_NOMEM: `m` was not queued. */
CHECKED int outbox_push(struct outbox *o, struct message *m, uint8_t qos, bool retain,
                        uint32_t *dropped);

/* The oldest that may be sent now, NULL when there is none. Without `credit`, that is with a full
 * window, QoS 0 overtakes what needs an acknowledgement; each QoS stays in its order
 * [MQTT-4.6.0-6]. Valid until the next change. */
const struct outbox_entry *outbox_first(const struct outbox *o, bool credit);

/* Take out what outbox_first() gave, and drop its reference. */
void outbox_pop(struct outbox *o, const struct outbox_entry *first);

static inline uint32_t outbox_count(const struct outbox *o)
{
    return o->qos0.count + o->acked.count;
}

static inline uint64_t outbox_bytes(const struct outbox *o)
{
    return o->qos0.bytes + o->acked.bytes;
}

#endif
