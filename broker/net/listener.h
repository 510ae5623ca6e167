/* broker/net/listener.h -- a bound, listening TCP socket on a loop. */
#ifndef FREEHUB_BROKER_NET_LISTENER_H
#define FREEHUB_BROKER_NET_LISTENER_H

#include "broker/base/base.h"
#include "broker/base/err.h"

#include <uv.h>

struct listener;

struct listener_address {
    char host[64]; /* "127.0.0.1", "::1", "0.0.0.0" */
    uint16_t port; /* 0: the kernel picks one, see listener_port() */
    bool tls;      /* mqtts:// */
};

/* Parse "mqtt://HOST[:PORT]" or "mqtts://HOST[:PORT]" (1883, 8883 by default; IPv6 in brackets).
 * ERR_INVALID with the reason. Any thread. */
CHECKED int listener_address_parse(struct str url, struct listener_address *out,
                                   struct err_detail *detail);

/* Whether nobody off this machine can reach it. Any thread. */
bool listener_address_is_loopback(const struct listener_address *address);

/* Bind and listen (SO_REUSEADDR; TCP_NODELAY is set on what is accepted). `on_connection` is called
 * on the loop for each connection that waits and must accept it from `tcp`. When the process is out
 * of descriptors the listener pauses for a second instead of spinning. Loop's thread. */
CHECKED int listener_open(struct listener **out, uv_loop_t *loop,
                          const struct listener_address *address,
                          void (*on_connection)(void *ctx, uv_tcp_t *tcp), void *ctx,
                          struct err_detail *detail);
uint16_t listener_port(const struct listener *l);

/* Stop accepting at once; frees itself in a later loop turn. Loop's thread. */
void listener_close(struct listener *l);

#endif
