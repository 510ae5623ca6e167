#include "broker/cli/load_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/base/chrono.h"
#include "broker/base/mem.h"

enum { ROOM = 512 * 1024, LEFT_MAX = 64 << 20, PACKET_ROOM = 4096 };

static uint8_t room[ROOM];

static int watch(struct load_peer *p, int epoll_fd, int how, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = p};

    if (how == EPOLL_CTL_MOD && p->events == events)
        return 0;
    p->events = events;
    return epoll_ctl(epoll_fd, how, p->fd, &event) ? err_from_errno(errno) : 0;
}

int load_peer_open(struct load_peer *p, const struct load_options *o, int epoll_fd,
                   struct err_detail *detail)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(o->port)};
    int on = 1;

    buf_init(&p->out, LEFT_MAX);
    buf_init(&p->in, LEFT_MAX);
    p->state = LOAD_PEER_CONNECTING;
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p->fd < 0)
        return err_set(detail, err_from_errno(errno), "no socket: %s", strerror(errno));
    if (inet_pton(AF_INET, o->host, &to.sin_addr) != 1)
        return err_set(detail, ERR_INVALID, "%s is not an IPv4 address", o->host);
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(p->fd, (const struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)
        return err_set(detail, ERR_NETWORK, "connect to %s:%u: %s", o->host, o->port,
                       strerror(errno));
    return watch(p, epoll_fd, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

void load_peer_close(struct load_peer *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    buf_fini(&p->out);
    buf_fini(&p->in);
    load_feed_fini(&p->feed);
    mem_free(p->slots);
    p->slots = NULL;
}

int load_peer_connected(struct load_peer *p, struct err_detail *detail)
{
    socklen_t len = sizeof(int);
    int error = 0;

    if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len))
        error = errno;
    if (error)
        return err_set(detail, ERR_NETWORK, "connect: %s", strerror(error));
    p->state = LOAD_PEER_GREETING;
    return 0;
}

int load_peer_send(struct load_peer *p, int epoll_fd, const uint8_t *bytes, size_t len)
{
    ssize_t sent = 0;

    if (p->out.len == 0) {
        sent = send(p->fd, bytes, len, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return ERR_NETWORK;
        if (sent < 0)
            sent = 0;
    }
    if ((size_t)sent == len)
        return 0;
    buf_add(&p->out, bytes + sent, len - (size_t)sent);
    if (buf_err(&p->out))
        return buf_err(&p->out);
    return watch(p, epoll_fd, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

int load_peer_send_packet(struct load_peer *p, const struct load_options *o, int epoll_fd,
                          const struct mqtt_packet *packet)
{
    uint8_t bytes[PACKET_ROOM];
    size_t len = packet_encode(o->version, packet, bytes, sizeof bytes);

    return len > 0 ? load_peer_send(p, epoll_fd, bytes, len) : ERR_TOO_LARGE;
}

int load_peer_flush(struct load_peer *p, int epoll_fd)
{
    ssize_t sent;

    if (p->out.len == 0)
        return watch(p, epoll_fd, EPOLL_CTL_MOD, EPOLLIN);
    sent = send(p->fd, p->out.at, p->out.len, MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : ERR_NETWORK;
    buf_drop_front(&p->out, (size_t)sent);
    return p->out.len > 0 ? 0 : watch(p, epoll_fd, EPOLL_CTL_MOD, EPOLLIN);
}

/* One whole packet. */
static int show(struct load_peer *p, const struct load_options *o, const struct frame *frame,
                struct str body, const struct load_peer_events *events, void *ctx, uint64_t now_ns)
{
    static struct mqtt_packet packet;
    const uint8_t *at = (const uint8_t *)body.at;

    if (frame->type == MQTT_PUBACK && body.len >= 2) {
        events->on_puback(ctx, p, (uint16_t)(at[0] << 8 | at[1]), body.len == 2 || at[2] < 0x80,
                          now_ns);
        return 0;
    }
    if (frame->type == MQTT_PUBLISH) {
        if (publish_decode(o->version, frame->flags, body, &packet.publish))
            return ERR_INVALID;
        events->on_message(ctx, p, &packet.publish, now_ns);
        return 0;
    }
    if (packet_decode(o->version, frame, body, &packet))
        return ERR_INVALID;
    packet.type = frame->type;
    events->on_packet(ctx, p, &packet, now_ns);
    return 0;
}

int load_peer_read(struct load_peer *p, const struct load_options *o,
                   const struct load_peer_events *events, void *ctx)
{
    size_t held = p->in.len, at = 0;
    enum mqtt_reason reason;
    struct frame frame;
    uint64_t now_ns;
    ssize_t got;
    int rc = 0;

    ASSERT(held < ROOM); /* a packet is smaller than half of it */
    if (held > 0)
        memcpy(room, p->in.at, held);
    got = recv(p->fd, room + held, ROOM - held, 0);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : ERR_CLOSED;
    if (got == 0)
        return ERR_CLOSED;
    now_ns = chrono_mono_ns();
    held += (size_t)got;
    for (;;) {
        struct str rest = str_of_bytes(room + at, held - at);
        enum frame_state state = frame_next(rest, ROOM / 2, &frame, &reason);

        if (state == FRAME_BAD)
            return ERR_INVALID;
        if (state == FRAME_MORE)
            break;
        rc = show(p, o, &frame, str_of_bytes(room + at + frame.head_bytes, frame.body_bytes),
                  events, ctx, now_ns);
        if (rc)
            return rc;
        at += frame.head_bytes + frame.body_bytes;
    }
    if (held == at) {
        if (p->in.len > 0)
            buf_fini(&p->in);
        return 0;
    }
    buf_clear(&p->in);
    buf_add(&p->in, room + at, held - at);
    return buf_err(&p->in);
}
