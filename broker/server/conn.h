/* broker/server/conn.h -- one MQTT connection: framing, state, and what each packet does. The files
 * conn_connect, conn_publish, conn_subscribe and conn_deliver hold the packets' handlers; their
 * steps meet in the table of conn.c. Owner worker. */
#ifndef FREEHUB_BROKER_SERVER_CONN_H
#define FREEHUB_BROKER_SERVER_CONN_H

#include "broker/auth/identity.h"
#include "broker/base/base.h"
#include "broker/base/list.h"
#include "broker/base/wheel.h"
#include "broker/codec/mqtt.h"
#include "broker/core/session.h"
#include "broker/net/transport.h"
#include "broker/server/bufpool.h"
#include "broker/server/ingest.h"
#include "broker/server/worker.h"

enum conn_state {
    CONN_OPENING, /* TLS handshake under way */
    CONN_NEW,     /* waits for CONNECT */
    CONN_ACTIVE,  /* CONNACK sent */
    CONN_CLOSING, /* reads nothing more; output leaves, then it goes */
    CONN_STATE_COUNT
};

/* What a connection found out about the topic it publishes to; the next PUBLISH to the same topic
 * costs one comparison. */
struct conn_route {
    struct stream_hit hit;
    uint64_t subs_generation; /* of `heard`; see subs_generation() */
    uint32_t acl_generation;  /* of the rights that `allowed` came from */
    uint32_t bike;            /* dense number; 0 until the first record */
    bool allowed, stored, heard;
    bool denial_logged; /* once, not a line a message */
    uint16_t topic_len;
    char topic[]; /* as received */
};

struct conn {
    struct transport transport; /* first: handlers cast back */
    struct worker *worker;
    struct session *session; /* NULL before CONNACK and after the end */
    struct conn_route *route;
    struct identity *identity; /* NULL: anonymous */
    const struct server_listener *listener;
    struct buffer held;                   /* the start of a packet that is not whole yet */
    struct buffer out;                    /* what this turn sends */
    struct list dirty_link, stalled_link; /* in the worker's lists */
    struct wheel_timer timer;             /* CONNECT deadline, then keep alive */
    uint32_t slot, generation;
    uint32_t open_entries;   /* of the ingest queue */
    uint32_t max_packet_out; /* the client's Maximum Packet Size; 0 = none */
    uint64_t heard_ms;       /* mono time of the last packet */
    uint32_t keep_alive_ms;  /* 1.5 x Keep Alive; 0 = none */
    uint8_t state;
    uint8_t version;
    bool is_dirty, is_stalled;
    bool is_choked;     /* reading is paused because the client does not read */
    bool problem_info;  /* Request Problem Information */
    bool clean_end;     /* no will */
    bool asked_expiry;  /* CONNECT named a Session Expiry Interval; CONNACK answered 0 */
    uint32_t open_acks; /* of these, those that owe a PUBACK: the client's send window */
};

typedef uint8_t conn_step_fn(struct conn *c, const struct mqtt_packet *packet);

/* Accept what waits on `tcp`. Owner worker. */
void conn_accept(struct worker *w, const struct server_listener *listener, uv_tcp_t *tcp);

/* Pause until there is room in the ring; parse what a stalled connection holds, after room came
 * free in the ring. */
void conn_stall(struct conn *c);
void conn_resume(struct conn *c);

/* (Re)arm the connection's one timer: CONNECT deadline or keep alive. */
void conn_arm(struct conn *c, uint64_t due_ms);

/* Send the turn's output; called once a turn for each dirty connection. */
void conn_flush(struct conn *c);

/* Room for `len` bytes of this turn's output; the caller adds what it wrote to `out.len`. NULL when
 * the connection is closing, or closed now for lack of memory. */
uint8_t *conn_room(struct conn *c, size_t len);
/* Append bytes to this turn's output; false as conn_room(). */
bool conn_put(struct conn *c, const void *bytes, size_t len);
/* Encode and append a packet in the connection's version. */
void conn_send(struct conn *c, const struct mqtt_packet *packet);

/* End the connection. With MQTT 5 and an established session the peer is told `reason` first
 * (DISCONNECT), or in a CONNACK before that. Returns CONN_CLOSING, so that a step can end with it.
 * The session ends with it and its will is sent unless `clean_end`. Idempotent. */
uint8_t conn_fail(struct conn *c, enum mqtt_reason reason, const char *why);
/* As above without a word to the peer. */
uint8_t conn_close(struct conn *c);

bool conn_is_v5(const struct conn *c);
struct str conn_client_id(const struct conn *c);
struct identity conn_identity(const struct conn *c);

/* conn_connect.c. A CONNECT that cannot be read or is refused gets its CONNACK where the version
 * has one for it. */
uint8_t on_connect(struct conn *c, const struct mqtt_packet *packet);
uint8_t conn_refuse_connect(struct conn *c, const struct mqtt_connect *connect,
                            enum mqtt_reason reason);
/* conn_publish.c. The PUBLISH path does not go through struct mqtt_packet: it is hot. Returns the
 * next state; `*stalled` says that nothing was done for want of room and the packet is to be kept.
 */
uint8_t on_publish(struct conn *c, const struct mqtt_publish *publish, bool *stalled);
void conn_complete(struct worker *w, const struct ingest_entry *entry);
/* Publish a will; false when there is no room in the ring now. */
bool publish_will(struct worker *w, struct message *will, const struct identity *who);
/* conn_subscribe.c */
uint8_t on_subscribe(struct conn *c, const struct mqtt_packet *packet);
uint8_t on_unsubscribe(struct conn *c, const struct mqtt_packet *packet);
/* conn_deliver.c */
void deliver_message(struct worker *w, struct message *message);
uint8_t on_puback(struct conn *c, const struct mqtt_packet *packet);
void deliver_queued(struct conn *c);

#endif
