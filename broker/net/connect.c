/* The client's side of a connection: each address of a host in turn, as a libuv handle can be
 * connected only once. While CONNECTING, `connecting` belongs to whichever callback is under way:
 * that of the connect request, or that of the handle that is closed before the next try. */
#include "broker/base/mem.h"
#include "broker/net/net_priv.h"

#include <netdb.h>
#include <stdio.h>

struct connecting {
    uv_connect_t request;
    struct transport *t;
    struct tls_client *client;
    struct addrinfo *all, *next;
    int status; /* of the last try */
    char host[];
};

static void connecting_free(struct connecting *c)
{
    freeaddrinfo(c->all);
    mem_free(c);
}

static void on_try_closed(uv_handle_t *handle);

/* Go on with a fresh handle, at the next address or, when there is none, to say `status`. */
static void try_next(struct connecting *c, int status)
{
    c->status = status;
    c->t->tcp.data = c;
    uv_close((uv_handle_t *)&c->t->tcp, on_try_closed);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct connecting *c = CONTAINER_OF(request, struct connecting, request);
    struct transport *t = c->t;

    if (t->state == TRANSPORT_CLOSED) { /* the owner gave up */
        connecting_free(c);
        return;
    }
    if (status && c->next) {
        try_next(c, status);
        return;
    }
    if (status == 0 && c->client && tls_connect(t, c->client, c->host))
        status = UV_ENOMEM;
    connecting_free(c);
    if (status)
        transport_end(t, ERR_NETWORK, uv_strerror(status));
    else if (transport_begin(t) == 0 && t->tls)
        tls_client_start(t->tls);
}

static void start(struct connecting *c)
{
    struct addrinfo *at = c->next;
    int rc;

    c->next = at->ai_next;
    rc = uv_tcp_connect(&c->request, &c->t->tcp, at->ai_addr, on_connected);
    if (rc)
        try_next(c, rc);
}

static void on_try_closed(uv_handle_t *handle)
{
    struct transport *t = CONTAINER_OF(handle, struct transport, tcp);
    struct connecting *c = t->tcp.data;
    int status = c->status;

    if (t->state == TRANSPORT_CLOSED) { /* the owner gave up meanwhile */
        connecting_free(c);
        t->events->on_closed(t);
        return;
    }
    transport_init(t, t->loop, t->events);
    if (c->next) {
        start(c);
    } else {
        connecting_free(c);
        transport_end(t, ERR_NETWORK, uv_strerror(status));
    }
}

int transport_connect(struct transport *t, struct net_loop *l, const char *host, uint16_t port,
                      struct tls_client *client, const struct transport_events *events,
                      struct err_detail *detail)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *all = NULL;
    struct connecting *c;
    char service[8];
    size_t host_len = strlen(host);
    int rc;

    snprintf(service, sizeof service, "%u", port);
    rc = getaddrinfo(host, service, &hints, &all);
    if (rc)
        return err_set(detail, rc == EAI_MEMORY ? ERR_NOMEM : ERR_NOTFOUND,
                       "cannot find the address of \"%s\": %s", host, gai_strerror(rc));
    c = mem_new(sizeof *c + host_len + 1);
    c->t = t;
    c->client = client;
    c->all = c->next = all;
    memcpy(c->host, host, host_len + 1);
    transport_init(t, l, events);
    start(c);
    return 0;
}
