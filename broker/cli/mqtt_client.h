/* broker/cli/mqtt_client.h -- one MQTT connection that publishes at QoS 1: CONNECT, a window of
 * messages under way, keep alive. It neither reconnects nor repeats: its owner keeps what was not
 * acknowledged. Everything runs on the loop's thread. */
#ifndef FREEHUB_BROKER_CLI_MQTT_CLIENT_H
#define FREEHUB_BROKER_CLI_MQTT_CLIENT_H

#include <uv.h>

#include "broker/base/base.h"
#include "broker/base/buf.h"
#include "broker/base/err.h"
#include "broker/codec/mqtt.h"
#include "broker/net/transport.h"

struct tls_client;
struct mqtt_client;

struct mqtt_client_events {
    /* The server has accepted; mqtt_client_publish() works from here on. */
    void (*on_connected)(struct mqtt_client *c);
    /* A PUBACK. `text` is its Reason String, empty without one, and valid only now. */
    void (*on_ack)(struct mqtt_client *c, uint16_t packet_id, enum mqtt_reason reason,
                   struct str text);
    /* It is over, though the owner did not ask: refused, lost, silent. Once; `why` is valid only
     * now. The owner calls mqtt_client_close(). */
    void (*on_down)(struct mqtt_client *c, const char *why);
    /* The last call ever, after mqtt_client_close(): the memory may go. */
    void (*on_closed)(struct mqtt_client *c);
};

struct mqtt_client_options {
    const char *host;
    uint16_t port;
    struct tls_client *tls; /* NULL: plain TCP; outlives the connection */
    enum mqtt_version version;
    const char *client_id; /* borrowed until on_closed */
    uint16_t keep_alive_s; /* > 0 */
    uint32_t answer_s;     /* longest wait for CONNACK, PUBACK or PINGRESP */
};

enum { MQTT_CLIENT_WINDOW_MAX = 64, MQTT_CLIENT_PACKET_MAX = 16 * 1024 };

/* Embedded in its owner; fields belong to mqtt_client.c. */
struct mqtt_client {
    struct transport transport;
    uv_timer_t timer;
    const struct mqtt_client_events *events;
    struct net_loop *net;
    struct mqtt_client_options options;
    struct buf in;              /* the packet that is not whole yet */
    uint64_t sent_ms, asked_ms; /* last packet out; since when an answer is due, 0 = none is */
    uint32_t window;
    uint32_t in_flight;
    uint16_t ids[MQTT_CLIENT_WINDOW_MAX]; /* of messages under way, 0 = free */
    uint16_t last_id;
    uint8_t state;
    uint8_t handles; /* transport and timer, while they are open */
};

/* Start to connect; clean session. On failure nothing was opened and no callback comes. */
CHECKED int mqtt_client_open(struct mqtt_client *c, uv_loop_t *loop, struct net_loop *net,
                             const struct mqtt_client_options *options,
                             const struct mqtt_client_events *events, struct err_detail *detail);

/* Publish at QoS 1; `dup` says that it was sent before. ERR_AGAIN: the window is full, or the
 * socket; try again after the next on_ack. ERR_CLOSED before on_connected and after on_down.
 * ERR_TOO_LARGE. */
CHECKED int mqtt_client_publish(struct mqtt_client *c, struct str topic, struct str payload,
                                bool dup, uint16_t *out_packet_id);

/* DISCONNECT where there is a connection, and close. on_closed follows from a later loop turn.
 * Idempotent. */
void mqtt_client_close(struct mqtt_client *c);

#endif
