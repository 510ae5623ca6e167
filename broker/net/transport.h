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

/* Embedded in the owner's struct; fields belong to broker/net. 48 bytes beside libuv's. */
struct transport {
    uv_tcp_t tcp;
    const struct transport_events *events;
    struct net_loop *loop;
    struct tls *tls;          /* NULL: plain */
    struct lingering *linger; /* while it closes with time to spare; else NULL */
    const char *why;          /* of the failure, in words; NULL: none */
    uint8_t state;
    bool reading;   /* the owner wants bytes */
    uint8_t writes; /* kept pieces that libuv still sends, at most TRANSPORT_WRITES_MAX */
};

enum { TRANSPORT_WRITES_MAX = 255 };

/* What all transports of one loop share: read buffers, TLS scratch, the handshakes under way. The
 * caller owns `*out` and frees it after the last transport's on_closed. Makes the process ignore
 * SIGPIPE. ERR_NOMEM. */
CHECKED int net_loop_new(struct net_loop **out, uv_loop_t *loop);
void net_loop_free(struct net_loop *l);

/* The loop's shared receive room, NET_ROOM_BYTES long, for on_room. Nothing in it outlives
 * on_bytes. */
enum { NET_ROOM_BYTES = 128 * 1024 };
uint8_t *net_loop_room(struct net_loop *l);

/* Accept the connection that waits on `listener` into `t` (uninitialised); `server` is NULL for
 * plain TCP, else `t` holds it. on_ready follows when the peer can talk: for plain TCP before this
 * returns. On failure the socket is closed, and on_closed still follows from a later loop turn as
 * the sign that `t` may be freed; no other callback does. ERR_NETWORK, ERR_NOMEM. */
CHECKED int transport_accept(struct transport *t, struct net_loop *l, uv_tcp_t *listener,
                             struct tls_server *server, const struct transport_events *events);

/* Adopt a connected socket (tests, hand-over). As transport_accept(); on failure the socket stays
 * the caller's. */
CHECKED int transport_adopt(struct transport *t, struct net_loop *l, uv_os_sock_t socket,
                            struct tls_server *server, const struct transport_events *events);

/* Send, or keep a copy of, all of `bytes`: one system call, and for TLS one each 64 KiB. ERR_CLOSED
 * (also before on_ready), ERR_NOMEM, ERR_NETWORK, ERR_TLS, ERR_FULL (TRANSPORT_WRITES_MAX pieces
 * are kept already): the owner closes. Calls nothing back. */
CHECKED int transport_send(struct transport *t, struct str bytes);

/* Bytes kept because the socket is full; the owner bounds them by not sending while > 0. */
size_t transport_pending(const struct transport *t);

/* Stop and go on reading: back-pressure. No callback from inside; after a pause inside on_bytes no
 * further byte is delivered. */
void transport_pause(struct transport *t);
void transport_resume(struct transport *t);

/* Who connected: the certificate's subject (not present on plain TCP). Lives as long as `t`. */
const struct transport_peer *transport_peer(const struct transport *t);

/* Write the peer's address, "127.0.0.1:54321" or "[::1]:54321", terminated and cut to `room`; empty
 * when the socket is gone. Returns its length. TRANSPORT_ADDRESS_MAX is always enough. */
enum { TRANSPORT_ADDRESS_MAX = 64 };
size_t transport_address(const struct transport *t, char *out, size_t room);

/* Why it ended, in words ("certificate has expired", "connection reset by peer"); "" when nothing
 * failed. A constant text. */
const char *transport_why(const struct transport *t);

/* End it. With `linger_ms` > 0 what is kept (and TLS's close_notify) is sent first, then the peer
 * is given the rest of that time to end its side, its bytes being discarded: an early close with
 * unread bytes would reset the connection and destroy what was just sent, such as the reason of a
 * refusal. 0 closes now. on_closed follows from a later loop turn, never from inside this call; no
 * other callback does. Idempotent; a second call with 0 cuts the first one's linger short. */
void transport_close(struct transport *t, uint32_t linger_ms);

#endif
