/* broker/net/net_priv.h -- what transport, tls and connect share inside this folder. */
#ifndef FREEHUB_BROKER_NET_NET_PRIV_H
#define FREEHUB_BROKER_NET_NET_PRIV_H

#include "broker/net/transport.h"

enum transport_state {
    TRANSPORT_CONNECTING, /* the client's side, before TCP is there */
    TRANSPORT_SHAKING,    /* TLS, before on_ready */
    TRANSPORT_OPEN,
    TRANSPORT_ENDED,  /* on_end was called, the owner has not closed it yet */
    TRANSPORT_BROKEN, /* as ENDED, and the socket takes no more bytes */
    TRANSPORT_LINGERING,
    TRANSPORT_CLOSED, /* on_closed follows, or was called */
};

static inline uv_stream_t *transport_stream(struct transport *t)
{
    return (uv_stream_t *)&t->tcp;
}

/* Set the fields of a transport that has no socket yet. */
void transport_init(struct transport *t, struct net_loop *l, const struct transport_events *events);

/* The socket is there: no delay, start reading and, for plain TCP, on_ready. `t->tls` is set for
 * TLS. On failure `t` is closing. */
CHECKED int transport_begin(struct transport *t);

/* Report the end to the owner, once; nothing when it is closing already. Never from inside a call
 * of the owner's. `why` is a constant text or NULL. */
void transport_end(struct transport *t, int err, const char *why);

/* Send or keep bytes as they are: what transport_send() is for plain TCP. */
CHECKED int transport_send_raw(struct transport *t, struct str bytes);

/* Start or stop reading the socket. */
CHECKED int transport_read_start(struct transport *t);
void transport_read_stop(struct transport *t);

#endif
