#include "broker/net/transport.h"

#include "net_fixture.h"

#include <errno.h>
#include <poll.h>

static uv_loop_t loop;
static struct net_loop *net;
static struct end ends[2];

static void open_pair(int buffer_bytes)
{
    int fds[2];

    cr_assert_eq(uv_loop_init(&loop), 0);
    cr_assert_eq(net_loop_new(&net, &loop), 0);
    socket_pair(fds, buffer_bytes);
    for (int i = 0; i < 2; i++) {
        ends[i] = (struct end){.loop = net, .other = &ends[1 - i]};
        cr_assert_eq(transport_adopt(&ends[i].t, net, fds[i], NULL, &end_events), 0);
    }
}

static void close_pair(void)
{
    ends_fini(&loop, ends, 2);
    loop_fini(&loop, net);
}

/* Bytes whose value tells their place, so that a lost, doubled or moved one shows. */
static void fill(uint8_t *out, size_t len, size_t offset)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)((offset + i) * 2654435761u >> 13);
}

static void expect_filled(const uint8_t *got, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (got[i] != (uint8_t)(i * 2654435761u >> 13))
            cr_assert(false, "byte %zu of %zu is not the one sent", i, len);
}

static bool all_came_back(void *ctx)
{
    return ends[1].got_len >= *(size_t *)ctx;
}

Test(transport, is_at_most_64_bytes_more_than_libuvs_handle)
{
    cr_assert_leq(sizeof(struct transport), sizeof(uv_tcp_t) + 64);
}

Test(transport, plain_is_ready_at_once)
{
    open_pair(0);
    cr_assert_eq(ends[0].ready_count, 1);
    cr_assert_not(transport_peer(&ends[0].t)->present);
    cr_assert_str_eq(transport_why(&ends[0].t), "");
    close_pair();
}

Test(transport, echoes_segments_of_any_size)
{
    static uint8_t bytes[400 * 1000];
    size_t sent = 0, total = sizeof bytes;
    unsigned seed = 20261124;

    open_pair(0);
    ends[0].echo = true;
    fill(bytes, sizeof bytes, 0);
    while (sent < total) {
        size_t len = (size_t)rand_r(&seed) % 4000 + 1;

        if (len > total - sent)
            len = total - sent;
        ends[0].room_len = (size_t)rand_r(&seed) % 3000 + 1;
        cr_assert_eq(transport_send(&ends[1].t, str_of_bytes(bytes + sent, len)), 0);
        sent += len;
        if (sent % 3 == 0)
            uv_run(&loop, UV_RUN_NOWAIT);
    }
    run_until(&loop, all_came_back, &total);
    cr_assert_eq(ends[1].got_len, total);
    expect_filled(ends[1].got, total);
    close_pair();
}

/* Both sides send more than the sockets hold before either reads. */
Test(transport, keeps_what_the_socket_does_not_take)
{
    static uint8_t bytes[4 * 1000 * 1000];
    size_t total = sizeof bytes;

    open_pair(8192);
    fill(bytes, sizeof bytes, 0);
    for (int i = 0; i < 2; i++) {
        transport_pause(&ends[i].t);
        cr_assert_eq(transport_send(&ends[i].t, str_of_bytes(bytes, total)), 0);
        cr_assert_gt(transport_pending(&ends[i].t), 0);
    }
    memset(bytes, 0, sizeof bytes); /* the transport keeps a copy */
    for (int i = 0; i < 20; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    cr_assert_eq(ends[0].got_len + ends[1].got_len, 0, "a paused end is given nothing");

    transport_resume(&ends[0].t);
    transport_resume(&ends[1].t);
    run_until(&loop, all_came_back, &total);
    while (ends[0].got_len < total)
        uv_run(&loop, UV_RUN_ONCE);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(ends[i].got_len, total);
        expect_filled(ends[i].got, total);
        cr_assert_eq(ends[i].drained_count, 1);
        cr_assert_eq(transport_pending(&ends[i].t), 0);
    }
    close_pair();
}

Test(transport, echoes_under_back_pressure)
{
    static uint8_t bytes[2 * 1000 * 1000];
    size_t total = sizeof bytes;

    open_pair(4096);
    ends[0].echo = true;
    fill(bytes, total, 0);
    cr_assert_eq(transport_send(&ends[1].t, str_of_bytes(bytes, total)), 0);
    transport_pause(&ends[1].t);
    for (int i = 0; i < 50; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    cr_assert_lt(ends[0].got_len, total, "the echo stops reading while it cannot write");
    transport_resume(&ends[1].t);
    run_until(&loop, all_came_back, &total);
    cr_assert_gt(ends[0].drained_count, 0);
    cr_assert_eq(ends[1].got_len, total);
    expect_filled(ends[1].got, total);
    close_pair();
}

Test(transport, refuses_more_kept_pieces_than_its_bound)
{
    static const uint8_t bytes[1 << 20];
    int rc = 0, pieces = 0;

    open_pair(4096);
    transport_pause(&ends[1].t);
    while (rc == 0 && pieces < 1000) {
        rc = transport_send(&ends[0].t, str_of_bytes(bytes, pieces == 0 ? sizeof bytes : 1));
        pieces++;
    }
    cr_assert_eq(rc, ERR_FULL);
    cr_assert_eq(pieces, TRANSPORT_WRITES_MAX + 1);
    close_pair();
}

Test(transport, an_orderly_end_is_0_and_comes_once)
{
    open_pair(0);
    cr_assert_eq(transport_send(&ends[1].t, STR_LITERAL("last words")), 0);
    transport_close(&ends[1].t, 0);
    run_until(&loop, end_has_ended, &ends[0]);
    cr_assert_eq(ends[0].end_err, 0);
    cr_assert_eq(ends[0].end_count, 1);
    cr_assert_eq(ends[0].got_len, 10);
    cr_assert_eq(transport_send(&ends[0].t, STR_LITERAL("too late")), ERR_CLOSED);
    close_pair();
    cr_assert_eq(ends[1].end_count, 0, "who closes is not told");
}

Test(transport, a_reset_is_a_network_failure)
{
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    uv_os_fd_t fd;

    open_pair(0);
    uv_fileno((uv_handle_t *)&ends[1].t.tcp, &fd);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    transport_close(&ends[1].t, 0);
    run_until(&loop, end_has_ended, &ends[0]);
    cr_assert_eq(ends[0].end_err, ERR_NETWORK);
    cr_assert_str_eq(transport_why(&ends[0].t), "connection reset by peer");
    transport_close(&ends[0].t, 1000); /* there is nobody to wait for */
    close_pair();
}

/* A peer that has shut its half still gets what it asked for. */
Test(transport, a_half_closed_peer_gets_what_is_kept)
{
    static uint8_t bytes[1000 * 1000];
    size_t total = sizeof bytes;
    uv_os_fd_t fd;

    open_pair(4096);
    fill(bytes, total, 0);
    uv_fileno((uv_handle_t *)&ends[1].t.tcp, &fd);
    transport_pause(&ends[1].t);
    cr_assert_eq(transport_send(&ends[0].t, str_of_bytes(bytes, total)), 0);
    cr_assert_eq(shutdown(fd, SHUT_WR), 0);
    run_until(&loop, end_has_ended, &ends[0]);
    cr_assert_eq(ends[0].end_err, 0);
    transport_close(&ends[0].t, 20000);
    transport_resume(&ends[1].t);
    run_until(&loop, all_came_back, &total);
    expect_filled(ends[1].got, total);
    run_until(&loop, end_is_closed, &ends[0]);
    close_pair();
}

/* Bytes that come in while we close would reset the connection under what was just sent. */
Test(transport, a_lingering_close_delivers_although_the_peer_still_sends)
{
    static uint8_t bytes[300 * 1000];
    size_t total = sizeof bytes;

    open_pair(4096);
    fill(bytes, total, 0);
    transport_pause(&ends[1].t);
    cr_assert_eq(transport_send(&ends[0].t, str_of_bytes(bytes, total)), 0);
    cr_assert_eq(transport_send(&ends[1].t, str_of_bytes(bytes, total)), 0);
    transport_close(&ends[0].t, 20000);
    transport_close(&ends[0].t, 20000); /* idempotent */
    transport_resume(&ends[1].t);
    run_until(&loop, end_has_ended, &ends[1]);
    cr_assert_eq(ends[1].end_err, 0);
    cr_assert_eq(ends[1].got_len, total, "%zu of %zu", ends[1].got_len, total);
    expect_filled(ends[1].got, total);
    cr_assert_eq(ends[0].got_len, 0, "nothing is delivered after transport_close()");
    transport_close(&ends[1].t, 0);
    run_until(&loop, end_is_closed, &ends[0]);
    close_pair();
}

Test(transport, a_linger_ends_in_time)
{
    static const uint8_t bytes[1 << 20];

    open_pair(4096);
    transport_pause(&ends[1].t);
    cr_assert_eq(transport_send(&ends[0].t, str_of_bytes(bytes, sizeof bytes)), 0);
    transport_close(&ends[0].t, 50);
    cr_assert_eq(ends[0].closed_count, 0, "never from inside transport_close()");
    run_until(&loop, end_is_closed, &ends[0]);
    close_pair();
}

Test(transport, a_linger_can_be_cut_short)
{
    open_pair(0);
    transport_close(&ends[0].t, 3600 * 1000);
    transport_close(&ends[0].t, 0);
    run_until(&loop, end_is_closed, &ends[0]);
    close_pair();
}

static void close_self(struct end *e)
{
    transport_close(&e->t, 0);
    cr_assert_eq(e->closed_count, 0, "never from inside transport_close()");
}

static void close_both(struct end *e)
{
    transport_close(&e->other->t, 0);
    transport_close(&e->t, 10);
}

/* The owner may close, itself and the other, wherever it is called. */
Test(transport, may_be_closed_inside_each_callback)
{
    static const enum event events[] = {EVENT_READY, EVENT_BYTES, EVENT_DRAINED, EVENT_END};
    static void (*const acts[])(struct end *) = {close_self, close_both};
    static const uint8_t bytes[100 * 1000];

    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        for (size_t act = 0; act < ARRAY_LEN(acts); act++) {
            int fds[2];

            cr_assert_eq(uv_loop_init(&loop), 0);
            cr_assert_eq(net_loop_new(&net, &loop), 0);
            socket_pair(fds, 4096);
            for (int n = 1; n >= 0; n--) {
                ends[n] = (struct end){.loop = net, .other = &ends[1 - n]};
                if (n == 0) {
                    ends[0].act_on = events[i];
                    ends[0].act = acts[act];
                }
                cr_assert_eq(transport_adopt(&ends[n].t, net, fds[n], NULL, &end_events), 0);
            }
            if (ends[0].t.state < 3 && ends[0].closed_count == 0)
                (void)!transport_send(&ends[0].t, str_of_bytes(bytes, sizeof bytes));
            (void)!transport_send(&ends[1].t, str_of_bytes(bytes, sizeof bytes));
            if (events[i] == EVENT_END)
                transport_close(&ends[1].t, 1000);
            run_until(&loop, end_is_closed, &ends[0]);
            close_pair();
        }
}

Test(transport, tells_the_peers_address)
{
    char text[TRANSPORT_ADDRESS_MAX], expected[TRANSPORT_ADDRESS_MAX];
    struct sockaddr_in at;
    socklen_t len = sizeof at;
    uv_os_fd_t fd;

    open_pair(0);
    uv_fileno((uv_handle_t *)&ends[1].t.tcp, &fd);
    getsockname(fd, (struct sockaddr *)&at, &len);
    snprintf(expected, sizeof expected, "127.0.0.1:%u", ntohs(at.sin_port));
    cr_assert_eq(transport_address(&ends[0].t, text, sizeof text), strlen(expected));
    cr_assert_str_eq(text, expected);
    cr_assert_eq(transport_address(&ends[0].t, text, 5), 4, "cut to the room");
    cr_assert_str_eq(text, "127.");
    close_pair();
}

Test(transport, a_failed_adoption_only_closes)
{
    struct end e = {0};

    cr_assert_eq(uv_loop_init(&loop), 0);
    cr_assert_eq(net_loop_new(&net, &loop), 0);
    cr_assert_eq(transport_adopt(&e.t, net, -1, NULL, &end_events), ERR_NETWORK);
    cr_assert_eq(e.closed_count, 0);
    run_until(&loop, end_is_closed, &e);
    cr_assert_eq(e.ready_count + e.end_count, 0);
    loop_fini(&loop, net);
}
