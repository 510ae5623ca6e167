/* broker/net/transport.h -- one connected peer, TCP or TLS: bytes in, bytes out, no MQTT.
 *
 * Reading: when bytes are due, `on_room` says where they go (the loop's shared buffer with the
 * connection's leftover in front, or a buffer of the connection's own) and `on_bytes` that they are
 * there. An idle transport holds no buffer. Writing: the owner collects a turn's output and calls
 * transport_send() once; what the socket does not take is kept by the transport until it does.
 * Everything here runs on the loop's thread. */
#ifndef FREEHUB_BROKER_NET_TRANSPORT_H
#define FREEHUB_BROKER_NET_TRANSPORT_H

#include "broker/base/base.h"
#include "broker/base/err.h"

#include <uv.h>

struct transport;
struct tls; /* one TLS connection; tls.c */
struct tls_server;
struct net_loop;

struct net_room {
    uint8_t *at;
    size_t len; /* > 0 */
};

struct transport_events {
    /* Where to put up to `len` bytes read from the peer; valid until on_bytes. */
    struct net_room (*on_room)(struct transport *t);
    /* `len` > 0 bytes were put there. May call transport_close(). */
    void (*on_bytes)(struct transport *t, size_t len);
    /* The TLS handshake is done and transport_peer() is set; at once for plain TCP. */
    void (*on_ready)(struct transport *t);
    /* All that transport_send() kept has left. */
    void (*on_drained)(struct transport *t);
    /* The peer ended or the connection failed: 0 for an orderly end, else an ERR_ code. The owner
     * still calls transport_close(). Not called after transport_close(). */
    void (*on_end)(struct transport *t, int err);
    /* The last call ever, after transport_close(): the memory that embeds `t` may go. */
    void (*on_closed)(struct transport *t);
};

/* Who a verified client certificate names. Bytes are as in the certificate, checked for nothing but
 * their length; broker/auth/identity.h judges them. */
enum { PEER_NAME_MAX = 64 };
struct transport_peer {
    char common_name[PEER_NAME_MAX + 1];
    char unit[PEER_NAME_MAX + 1]; /* organizational unit: "bike" or "service" */
    uint8_t common_name_len, unit_len;
    bool present;
    uint8_t fingerprint[32]; /* SHA-256 of the certificate */
};

/* Embedded in the owner's struct; fields belong to broker/net. */
struct transport {
    uv_tcp_t tcp;
    const struct transport_events *events;
    struct net_loop *loop;
    struct tls *tls;       /* NULL: plain */
    struct send_pending *pending; /* what the socket has not taken yet; NULL mostly */
    uint8_t state;
    bool reading;
    uint8_t writes; /* uv_write requests under way */
};

/* What all transports of one loop share: read buffers, TLS scratch. `*out` is freed after the last
 * transport's on_closed. */
CHECKED int net_loop_new(struct net_loop **out, uv_loop_t *loop);
void net_loop_free(struct net_loop *l);

/* The loop's shared receive room, NET_ROOM_BYTES long, for on_room. */
enum { NET_ROOM_BYTES = 128 * 1024 };
uint8_t *net_loop_room(struct net_loop *l);

/* Accept the connection that waits on `listener`; `server` is NULL for plain TCP. Calls on_ready
 * when it can be read from. On failure nothing is left open and on_closed is not called... except
 * that the handle needs a loop turn to close: on_closed is then the sign that `t` may be freed. */
CHECKED int transport_accept(struct transport *t, struct net_loop *l, uv_tcp_t *listener,
                             struct tls_server *server, const struct transport_events *events);

/* Adopt a connected socket (tests, hand-over). As transport_accept(). */
CHECKED int transport_adopt(struct transport *t, struct net_loop *l, uv_os_sock_t socket,
                            struct tls_server *server, const struct transport_events *events);

/* Send, or keep a copy of, all of `bytes`: one write at most. ERR_NOMEM, ERR_NETWORK: the owner
 * closes. */
CHECKED int transport_send(struct transport *t, struct str bytes);

/* Bytes kept because the socket is full; the owner bounds them by not sending while > 0. */
size_t transport_pending(const struct transport *t);

/* Stop and go on reading: back-pressure. */
void transport_pause(struct transport *t);
void transport_resume(struct transport *t);

/* Who connected: the certificate's subject (not present on plain TCP), "127.0.0.1:54321". */
const struct transport_peer *transport_peer(const struct transport *t);
size_t transport_address(const struct transport *t, char *out, size_t room);

/* End it: try to send what is kept (and close_notify) for at most `linger_ms`, then close; 0 closes
 * now. on_closed follows from a later loop turn, never from inside this call. Idempotent. */
void transport_close(struct transport *t, uint32_t linger_ms);

#endif
