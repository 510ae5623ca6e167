/* broker/net/net_priv.h -- what transport, tls, tlsctx and connect share inside this folder. */
#ifndef FREEHUB_BROKER_NET_NET_PRIV_H
#define FREEHUB_BROKER_NET_NET_PRIV_H

#include "broker/net/tlsctx.h"
#include "broker/net/transport.h"

#include <openssl/ssl.h>

enum transport_state {
    TRANSPORT_CONNECTING, /* the client's side, before TCP is there */
    TRANSPORT_SHAKING,    /* TLS, before on_ready */
    TRANSPORT_OPEN,
    TRANSPORT_ENDED,  /* on_end was called, the owner has not closed it yet */
    TRANSPORT_BROKEN, /* as ENDED, and the socket takes no more bytes */
    TRANSPORT_LINGERING,
    TRANSPORT_CLOSED, /* on_closed follows, or was called */
};

struct net_loop {
    uv_loop_t *loop;
    struct tls_loop *tls; /* NULL until the first TLS connection */
    uint8_t room[NET_ROOM_BYTES];
};

static inline uv_stream_t *transport_stream(struct transport *t)
{
    return (uv_stream_t *)&t->tcp;
}

/* libuv and OpenSSL have functions that take `char *` and only read. */
static inline char *without_const(const char *at)
{
    union {
        const char *from;
        char *to;
    } pointer = {at};

    return pointer.to;
}

/* ---- transport.c ---- */

/* Set the fields of a transport that has no socket yet. */
void transport_init(struct transport *t, struct net_loop *l, const struct transport_events *events);

/* The socket is there: no delay, start reading and, for plain TCP, on_ready. On failure `t` is
 * closing. */
CHECKED int transport_begin(struct transport *t);

/* Report the end to the owner, once; nothing when it is closing already. Never from inside a call
 * of the owner's. `why` is a constant text or NULL. */
void transport_end(struct transport *t, int err, const char *why);

/* Send or keep bytes as they are: what transport_send() is for plain TCP. */
CHECKED int transport_send_raw(struct transport *t, struct str bytes);

/* Start or stop reading the socket. */
CHECKED int transport_read_start(struct transport *t);
void transport_read_stop(struct transport *t);

/* Close the handle; on_closed follows. */
void transport_close_now(struct transport *t);

/* ---- tls.c: one TLS connection under a transport ---- */

/* Make `t` a TLS server's or client's side; before the socket reads. It takes a hold of `server`.
 * A server's side costs no OpenSSL object until its peer has sent a whole ClientHello. ERR_NOMEM.
 */
CHECKED int tls_serve(struct transport *t, struct tls_server *server);
CHECKED int tls_connect(struct transport *t, struct tls_client *client, const char *host);
void tls_free(struct tls *tls);

/* Send the client's first flight. Calls on_end when that fails. */
void tls_client_start(struct tls *tls);

/* Where ciphertext goes, and that it came; then the transport's callbacks are called. */
struct net_room tls_room(struct tls *tls);
void tls_on_bytes(struct tls *tls, size_t len);

/* The peer's TCP ended (`err` 0) or failed. */
void tls_on_end(struct tls *tls, int err, const char *why);

/* transport_send(), transport_resume(), transport_peer() and the close_notify of
 * transport_close(). */
CHECKED int tls_send(struct tls *tls, struct str bytes);
void tls_resume(struct tls *tls);
const struct transport_peer *tls_peer(const struct tls *tls);
void tls_goodbye(struct tls *tls);

void tls_loop_free(struct tls_loop *loop);

/* ---- tlsctx.c ---- */

/* A new SSL for a connection of this server or client; NULL when there is no memory. */
SSL *tls_server_ssl(const struct tls_server *server);
SSL *tls_client_ssl(const struct tls_client *client, const char *host);

/* An SSL_CTX without certificates for what `ssl` negotiated; NULL when there is no memory. The
 * caller frees it. */
SSL_CTX *tls_slim_ctx(const SSL *ssl);

/* Judge a client's certificate chain: verify it for client use, copy who it names to `*out` and ask
 * the owner's hook. Returns 1, or 0 with `*why` in words. Called by tls.c from OpenSSL's verify
 * callback. */
int tls_server_judge(const struct tls_server *server, X509_STORE_CTX *store,
                     struct transport_peer *out, struct err_detail *why);

/* tls.c's verify callback, for tlsctx.c to install. */
int tls_on_verify(X509_STORE_CTX *store, void *unused);

#endif
