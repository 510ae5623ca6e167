/* How a transport lives:
 *
 * 1. CONNECTING -> SHAKING -> OPEN -> ENDED or BROKEN -> LINGERING -> CLOSED; any of the middle
 * ones may be skipped, none is entered twice. on_end is called on the step to ENDED or BROKEN.
 * 2. libuv owns the bytes that the socket did not take (`struct kept`, one a uv_write); their sum
 * is the stream's write queue. uv_try_write() answers EAGAIN while it is not empty, so order holds.
 * 3. `tls` and `linger` are freed where the handle's close callback runs, hence never under a
 *    function that still uses them. */
#include "broker/net/transport.h"

#include "broker/base/mem.h"
#include "broker/net/net_priv.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

struct kept {
    uv_write_t request;
    char bytes[];
};

struct lingering {
    uv_timer_t timer;
    struct transport *transport;
    bool peer_ended;
};

static const struct transport_peer nobody;

int net_loop_new(struct net_loop **out, uv_loop_t *loop)
{
    struct net_loop *l = mem_try(sizeof *l);

    if (!l)
        return ERR_NOMEM;
    l->loop = loop;
    l->tls = NULL;
    signal(SIGPIPE,
           SIG_IGN); /* libuv writes with write(2): a peer that left must be an error code */
    *out = l;
    return 0;
}

void net_loop_free(struct net_loop *l)
{
    tls_loop_free(l->tls);
    mem_free(l);
}

uint8_t *net_loop_room(struct net_loop *l)
{
    return l->room;
}

static void on_linger_closed(uv_handle_t *handle)
{
    mem_free(CONTAINER_OF(handle, struct lingering, timer));
}

static void on_tcp_closed(uv_handle_t *handle)
{
    struct transport *t = CONTAINER_OF(handle, struct transport, tcp);

    tls_free(t->tls);
    t->tls = NULL;
    t->events->on_closed(t);
}

void transport_close_now(struct transport *t)
{
    if (t->linger) {
        uv_close((uv_handle_t *)&t->linger->timer, on_linger_closed);
        t->linger = NULL;
    }
    t->state = TRANSPORT_CLOSED;
    if (!uv_is_closing((uv_handle_t *)&t->tcp)) /* connect.c may be between two tries */
        uv_close((uv_handle_t *)&t->tcp, on_tcp_closed);
}

void transport_end(struct transport *t, int err, const char *why)
{
    if (t->state >= TRANSPORT_ENDED)
        return;
    t->state = err == ERR_NETWORK ? TRANSPORT_BROKEN : TRANSPORT_ENDED;
    t->why = why;
    transport_read_stop(t);
    t->events->on_end(t, err);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct transport *t = CONTAINER_OF(handle, struct transport, tcp);
    struct net_room room = {t->loop->room, NET_ROOM_BYTES};

    (void)suggested;
    if (t->state != TRANSPORT_LINGERING)
        room = t->tls ? tls_room(t->tls) : t->events->on_room(t);
    *out = uv_buf_init((char *)room.at, (unsigned)room.len);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct transport *t = CONTAINER_OF(stream, struct transport, tcp);

    (void)buf;
    if (got == 0) /* nothing was there after all */
        return;
    if (t->state == TRANSPORT_LINGERING) {
        if (got == UV_EOF && t->writes > 0)
            t->linger->peer_ended = true; /* it may still read what is kept */
        else if (got < 0)
            transport_close_now(t);
        return;
    }
    if (got < 0) {
        int err = got == UV_EOF ? 0 : ERR_NETWORK;
        const char *why = err ? uv_strerror((int)got) : NULL;

        if (t->tls)
            tls_on_end(t->tls, err, why);
        else
            transport_end(t, err, why);
    } else if (t->tls) {
        tls_on_bytes(t->tls, (size_t)got);
    } else {
        t->events->on_bytes(t, (size_t)got);
    }
}

int transport_read_start(struct transport *t)
{
    int rc = uv_read_start(transport_stream(t), on_room, on_read);

    return rc == 0 || rc == UV_EALREADY ? 0 : ERR_NETWORK;
}

void transport_read_stop(struct transport *t)
{
    uv_read_stop(transport_stream(t));
}

void transport_init(struct transport *t, struct net_loop *l, const struct transport_events *events)
{
    int rc = uv_tcp_init(l->loop, &t->tcp);

    ASSERT(rc == 0); /* it makes no socket and so cannot fail */
    t->events = events;
    t->loop = l;
    t->tls = NULL;
    t->linger = NULL;
    t->why = NULL;
    t->state = TRANSPORT_CONNECTING;
    t->reading = true;
    t->writes = 0;
}

int transport_begin(struct transport *t)
{
    int rc = transport_read_start(t);

    if (rc) {
        transport_close_now(t);
        return rc;
    }
    uv_tcp_nodelay(&t->tcp, 1); /* we send once a turn; waiting for more never helps */
    if (t->tls) {
        t->state = TRANSPORT_SHAKING;
    } else {
        t->state = TRANSPORT_OPEN;
        t->events->on_ready(t);
    }
    return 0;
}

/* What accepting and adopting have in common; `rc` is libuv's result of getting the socket. */
static int begin_serving(struct transport *t, int rc, struct tls_server *server)
{
    rc = rc ? ERR_NETWORK : server ? tls_serve(t, server) : 0;
    if (rc) {
        transport_close_now(t);
        return rc;
    }
    return transport_begin(t);
}

int transport_accept(struct transport *t, struct net_loop *l, uv_tcp_t *listener,
                     struct tls_server *server, const struct transport_events *events)
{
    transport_init(t, l, events);
    return begin_serving(t, uv_accept((uv_stream_t *)listener, transport_stream(t)), server);
}

int transport_adopt(struct transport *t, struct net_loop *l, uv_os_sock_t socket,
                    struct tls_server *server, const struct transport_events *events)
{
    transport_init(t, l, events);
    return begin_serving(t, uv_tcp_open(&t->tcp, socket), server);
}

/* Shut our half and wait for the peer's, so that what we sent arrives. */
static void linger_after_last_byte(struct transport *t)
{
    uv_os_fd_t fd;

    if (t->linger->peer_ended || uv_fileno((uv_handle_t *)&t->tcp, &fd) || shutdown(fd, SHUT_WR))
        transport_close_now(t); /* nobody to wait for */
}

static void on_written(uv_write_t *request, int status)
{
    struct transport *t = CONTAINER_OF(request->handle, struct transport, tcp);

    mem_free(CONTAINER_OF(request, struct kept, request));
    t->writes--;
    if (t->state == TRANSPORT_CLOSED)
        return;
    if (status < 0) {
        if (t->state == TRANSPORT_LINGERING)
            transport_close_now(t);
        else
            transport_end(t, ERR_NETWORK, uv_strerror(status));
    } else if (t->writes == 0) {
        if (t->state == TRANSPORT_LINGERING)
            linger_after_last_byte(t);
        else if (t->state == TRANSPORT_OPEN)
            t->events->on_drained(t);
    }
}

static int keep(struct transport *t, struct str rest)
{
    struct kept *kept;
    uv_buf_t buf;

    if (t->writes == TRANSPORT_WRITES_MAX)
        return ERR_FULL;
    kept = mem_try(sizeof *kept + rest.len);
    if (!kept)
        return ERR_NOMEM;
    memcpy(kept->bytes, rest.at, rest.len);
    buf = uv_buf_init(kept->bytes, (unsigned)rest.len);
    if (uv_write(&kept->request, transport_stream(t), &buf, 1, on_written)) {
        mem_free(kept);
        return ERR_NETWORK;
    }
    t->writes++;
    return 0;
}

int transport_send_raw(struct transport *t, struct str bytes)
{
    uv_buf_t buf;
    int sent;

    ASSERT(bytes.len <= INT_MAX);
    buf = uv_buf_init(without_const(bytes.at), (unsigned)bytes.len);
    sent = uv_try_write(transport_stream(t), &buf, 1);
    if (sent == UV_EAGAIN)
        sent = 0;
    if (sent < 0) {
        t->why = uv_strerror(sent);
        return ERR_NETWORK;
    }
    if ((size_t)sent == bytes.len)
        return 0;
    return keep(t, str_of_bytes(bytes.at + sent, bytes.len - (size_t)sent));
}

int transport_send(struct transport *t, struct str bytes)
{
    if (t->state != TRANSPORT_OPEN)
        return ERR_CLOSED;
    if (bytes.len == 0)
        return 0;
    return t->tls ? tls_send(t->tls, bytes) : transport_send_raw(t, bytes);
}

size_t transport_pending(const struct transport *t)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)&t->tcp);
}

void transport_pause(struct transport *t)
{
    if (!t->reading || t->state >= TRANSPORT_ENDED)
        return;
    t->reading = false;
    transport_read_stop(t);
}

void transport_resume(struct transport *t)
{
    int rc;

    if (t->reading || t->state >= TRANSPORT_ENDED)
        return;
    t->reading = true;
    if (t->tls) {
        tls_resume(t->tls);
        return;
    }
    rc = transport_read_start(t);
    ASSERT(rc == 0); /* it fails only on a handle that is closing or was never connected */
}

const struct transport_peer *transport_peer(const struct transport *t)
{
    return t->tls ? tls_peer(t->tls) : &nobody;
}

size_t transport_address(const struct transport *t, char *out, size_t room)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage all;
    } peer;
    int len = sizeof peer;
    char host[INET6_ADDRSTRLEN] = "";
    int written;

    out[0] = '\0';
    if (uv_tcp_getpeername(&t->tcp, &peer.any, &len))
        return 0;
    if (peer.any.sa_family == AF_INET) {
        uv_inet_ntop(AF_INET, &peer.v4.sin_addr, host, sizeof host);
        written = snprintf(out, room, "%s:%u", host, (unsigned)ntohs(peer.v4.sin_port));
    } else if (peer.any.sa_family == AF_INET6) {
        const uint8_t *at = peer.v6.sin6_addr.s6_addr;
        bool is_v4 = memcmp(at, mapped, sizeof mapped) == 0; /* through a "::" listener */

        uv_inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? at + sizeof mapped : at, host,
                     sizeof host);
        written = snprintf(out, room, is_v4 ? "%s:%u" : "[%s]:%u", host,
                           (unsigned)ntohs(peer.v6.sin6_port));
    } else {
        written = snprintf(out, room, "local"); /* an adopted socket pair */
    }
    return written < 0 ? 0 : (size_t)written < room ? (size_t)written : room - 1;
}

const char *transport_why(const struct transport *t)
{
    return t->why ? t->why : "";
}

static void on_linger_over(uv_timer_t *timer)
{
    transport_close_now(CONTAINER_OF(timer, struct lingering, timer)->transport);
}

void transport_close(struct transport *t, uint32_t linger_ms)
{
    bool connected = t->state != TRANSPORT_CONNECTING && t->state != TRANSPORT_BROKEN;

    if (t->state == TRANSPORT_CLOSED || (t->state == TRANSPORT_LINGERING && linger_ms > 0))
        return;
    if (t->tls)
        tls_goodbye(t->tls);
    if (linger_ms == 0 || !connected) {
        transport_close_now(t);
        return;
    }
    t->state = TRANSPORT_LINGERING;
    t->linger = MEM_NEW(struct lingering);
    t->linger->transport = t;
    uv_timer_init(t->loop->loop, &t->linger->timer);
    uv_timer_start(&t->linger->timer, on_linger_over, linger_ms, 0);
    if (transport_read_start(t)) /* to discard it, and to see the peer's end */
        transport_close_now(t);
    else if (t->writes == 0)
        linger_after_last_byte(t);
}
