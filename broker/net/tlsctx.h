/* broker/net/tlsctx.h -- TLS configuration: TLS 1.2 and 1.3, ECDHE and AEAD only, no
 * renegotiation, no compression, no early data. */
#ifndef FREEHUB_BROKER_NET_TLSCTX_H
#define FREEHUB_BROKER_NET_TLSCTX_H

#include "broker/base/base.h"
#include "broker/base/err.h"

struct tls_server;
struct tls_client;

struct transport_peer;

struct tls_server_options {
    const char *certificate_file; /* PEM: leaf, then intermediates */
    const char *key_file;         /* PEM, not encrypted; refused when others may read it */
    const char *client_ca_file;   /* PEM; NULL: no client certificates are asked for */
    bool require_client_certificate;

    /* NULL, or has the last word on a certificate that verified: 0, or an error with the reason in
     * `detail`, and then the handshake fails with an alert and one line `tls_refused`. On the
     * thread of the connection's loop. */
    int (*accept_peer)(void *ctx, const struct transport_peer *peer, struct err_detail *detail);
    void *accept_peer_ctx;
};

/* Counted: listeners and live connections hold it, so that a reload never drops anybody.
 * ERR_NOTFOUND, ERR_DENIED, ERR_INVALID ... with the file's name in `detail`. Main thread. */
CHECKED int tls_server_new(struct tls_server **out, const struct tls_server_options *options,
                           struct err_detail *detail);
/* Any thread. `server` of unref may be NULL. */
void tls_server_ref(struct tls_server *server);
void tls_server_unref(struct tls_server *server);

struct tls_client_options {
    const char *ca_file;
    const char *certificate_file; /* NULL: none */
    const char *key_file;
};
/* For the CLI's own MQTT client: it verifies the server's chain and name. The caller frees `*out`
 * after the last connection made with it. Errors as tls_server_new(). Main thread. */
CHECKED int tls_client_new(struct tls_client **out, const struct tls_client_options *options,
                           struct err_detail *detail);
void tls_client_free(struct tls_client *client);

/* Connect transport `t` (uninitialised) to host:port over TLS, or plain when `client` is NULL.
 * on_ready follows, or on_end with the reason in transport_why(). A host that has several addresses
 * is tried at each in turn; a name is looked up before this returns. On failure nothing was opened
 * and no callback comes: ERR_NOTFOUND, ERR_NOMEM, ERR_NETWORK. Declared here and not in transport.h
 * because only the CLI connects. Loop's thread. */
struct transport;
struct net_loop;
struct transport_events;
CHECKED int transport_connect(struct transport *t, struct net_loop *l, const char *host,
                              uint16_t port, struct tls_client *client,
                              const struct transport_events *events, struct err_detail *detail);

#endif
