/* What the tests of broker/net share: two ends of a loopback connection as transports of one loop,
 * that collect what they get and act where a test asks them to. */
#ifndef FREEHUB_TEST_UNIT_NET_NET_FIXTURE_H
#define FREEHUB_TEST_UNIT_NET_NET_FIXTURE_H

#include "broker/base/mem.h"
#include "broker/net/transport.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum event { EVENT_NONE, EVENT_READY, EVENT_BYTES, EVENT_DRAINED, EVENT_END };

/* One end. `act` is called when the event `act_on` happens. */
struct end {
    struct transport t;
    struct net_loop *loop;
    uint8_t *got;
    size_t got_len, got_room;
    size_t room_len; /* how much on_room offers at once; 0: all of the loop's room */
    int ready_count, drained_count, end_count, closed_count, end_err;
    enum event act_on;
    void (*act)(struct end *e);
    struct end *other;
    bool echo;
};

static inline struct end *end_of(struct transport *t)
{
    return CONTAINER_OF(t, struct end, t);
}

static inline void end_act(struct end *e, enum event event)
{
    if (e->act && e->act_on == event)
        e->act(e);
}

static inline struct net_room end_on_room(struct transport *t)
{
    struct end *e = end_of(t);

    return (struct net_room){net_loop_room(e->loop), e->room_len ? e->room_len : NET_ROOM_BYTES};
}

static inline void end_on_bytes(struct transport *t, size_t len)
{
    struct end *e = end_of(t);

    cr_assert_eq(e->closed_count, 0, "bytes after on_closed");
    if (e->got_len + len > e->got_room) {
        e->got_room = (e->got_len + len) * 2;
        e->got = realloc(e->got, e->got_room);
    }
    memcpy(e->got + e->got_len, net_loop_room(e->loop), len);
    e->got_len += len;
    if (e->echo) {
        cr_assert_eq(transport_send(t, str_of_bytes(net_loop_room(e->loop), len)), 0);
        if (transport_pending(t) > 0)
            transport_pause(t);
    }
    end_act(e, EVENT_BYTES);
}

static inline void end_on_ready(struct transport *t)
{
    end_of(t)->ready_count++;
    end_act(end_of(t), EVENT_READY);
}

static inline void end_on_drained(struct transport *t)
{
    struct end *e = end_of(t);

    e->drained_count++;
    if (e->echo)
        transport_resume(t);
    end_act(e, EVENT_DRAINED);
}

static inline void end_on_end(struct transport *t, int err)
{
    struct end *e = end_of(t);

    e->end_count++;
    e->end_err = err;
    end_act(e, EVENT_END);
}

static inline void end_on_closed(struct transport *t)
{
    end_of(t)->closed_count++;
}

static const struct transport_events end_events = {
    .on_room = end_on_room,
    .on_bytes = end_on_bytes,
    .on_ready = end_on_ready,
    .on_drained = end_on_drained,
    .on_end = end_on_end,
    .on_closed = end_on_closed,
};

/* A connected loopback pair: ends[0] accepted, ends[1] connected. `buffer_bytes` > 0 makes the
 * sockets' buffers small. */
static inline void socket_pair(int fds[2], int buffer_bytes)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_geq(listener, 0);
    fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (buffer_bytes > 0) {
        setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
        setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
        setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
        setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
    }
    cr_assert_eq(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    cr_assert_eq(connect(fds[1], (struct sockaddr *)&at, sizeof at), 0);
    fds[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    cr_assert_geq(fds[0], 0);
    close(listener);
}

static inline void on_watchdog(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

static inline void on_watchdog_closed(uv_handle_t *handle)
{
    free(handle);
}

/* Run the loop until `done(ctx)`; fails the test when that takes longer than any machine needs. */
static inline void run_until(uv_loop_t *loop, bool (*done)(void *ctx), void *ctx)
{
    uv_timer_t *watchdog = malloc(sizeof *watchdog);
    bool over = false;

    uv_timer_init(loop, watchdog);
    watchdog->data = &over;
    uv_timer_start(watchdog, on_watchdog, 30000, 0);
    while (!done(ctx) && !over)
        uv_run(loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)watchdog, on_watchdog_closed);
    uv_run(loop, UV_RUN_NOWAIT);
    cr_assert(!over, "what the test waits for never happened");
}

static inline bool end_is_closed(void *ctx)
{
    return ((struct end *)ctx)->closed_count > 0;
}

static inline bool end_has_ended(void *ctx)
{
    return ((struct end *)ctx)->end_count > 0;
}

static inline bool end_is_ready(void *ctx)
{
    return ((struct end *)ctx)->ready_count > 0;
}

/* Close both and free what they collected; the loop has nothing left. */
static inline void ends_fini(uv_loop_t *loop, struct end *ends, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ends[i].t.events && ends[i].closed_count == 0)
            transport_close(&ends[i].t, 0);
    for (size_t i = 0; i < count; i++) {
        if (ends[i].t.events)
            run_until(loop, end_is_closed, &ends[i]);
        cr_assert_leq(ends[i].closed_count, 1);
        free(ends[i].got);
    }
}

static inline void loop_fini(uv_loop_t *loop, struct net_loop *l)
{
    int rc = UV_EBUSY;

    net_loop_free(l);
    for (int i = 0; i < 100 && rc == UV_EBUSY; i++) {
        uv_run(loop, UV_RUN_NOWAIT);
        rc = uv_loop_close(loop);
    }
    cr_assert_eq(rc, 0, "a handle is still open");
}

#endif
