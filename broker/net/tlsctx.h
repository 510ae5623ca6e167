/* broker/net/tlsctx.h -- TLS configuration: TLS 1.2 and 1.3, ECDHE and AEAD only, no
 * renegotiation, no compression, no early data. */
#ifndef FREEHUB_BROKER_NET_TLSCTX_H
#define FREEHUB_BROKER_NET_TLSCTX_H

#include "broker/base/base.h"
#include "broker/base/err.h"

struct tls_server;
struct tls_client;

struct tls_server_options {
    const char *certificate_file; /* PEM: leaf, then intermediates */
    const char *key_file;         /* PEM; refused when others may read it */
    const char *client_ca_file;   /* PEM; NULL: no client certificates are asked for */
    bool require_client_certificate;
};

/* Counted: listeners and live connections hold it, so that a reload never drops anybody.
 * ERR_NOTFOUND, ERR_DENIED, ERR_INVALID ... with the file's name in `detail`. Main thread. */
CHECKED int tls_server_new(struct tls_server **out, const struct tls_server_options *options,
                           struct err_detail *detail);
void tls_server_ref(struct tls_server *server);
void tls_server_unref(struct tls_server *server);

struct tls_client_options {
    const char *ca_file;
    const char *certificate_file; /* NULL: none */
    const char *key_file;
};
/* For the CLI's own MQTT client; an OpenSSL SSL_CTX behind it, see tls_client_ctx(). */
CHECKED int tls_client_new(struct tls_client **out, const struct tls_client_options *options,
                           struct err_detail *detail);
void tls_client_free(struct tls_client *client);

/* Connect transport `t` (uninitialised) to host:port over TLS, or plain when `client` is NULL.
 * Declared here and not in transport.h because only the CLI connects. */
struct transport;
struct net_loop;
struct transport_events;
CHECKED int transport_connect(struct transport *t, struct net_loop *l, const char *host,
                              uint16_t port, struct tls_client *client,
                              const struct transport_events *events, struct err_detail *detail);

#endif
