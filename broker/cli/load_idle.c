#include <stdlib.h>
#include <sys/resource.h>

#include "broker/base/chrono.h"
#include "broker/base/mem.h"
#include "broker/cli/load_priv.h"
#include "broker/codec/packet.h"
#include "broker/net/tlsctx.h"
#include "broker/net/transport.h"

enum { CONNECTING_MAX = 64, CONNECT_S = 120, ROOM = 4096, PATH_ROOM = 512 };

struct idle {
    const struct load_options *o;
    struct err_detail *detail;
    int err;
    uv_loop_t loop;
    uv_timer_t timer;
    struct net_loop *net;
    struct tls_client *tls;
    struct idle_peer *peers;
    uint32_t opened, ready, closed;
    struct load_proc_use before, connected;
    uint64_t start_ns, took_ns;
    bool waiting; /* all are connected and hold still */
    bool closing;
};

struct idle_peer {
    struct transport transport;
    struct idle *idle;
    bool open;
};

static struct idle_peer *peer_of(struct transport *t)
{
    return CONTAINER_OF(t, struct idle_peer, transport);
}

static void close_all(struct idle *idle)
{
    idle->closing = true;
    if (!uv_is_closing((uv_handle_t *)&idle->timer))
        uv_close((uv_handle_t *)&idle->timer, NULL);
    for (uint32_t i = 0; i < idle->opened; i++) {
        if (idle->peers[i].open)
            transport_close(&idle->peers[i].transport, 0);
    }
}

static void idle_fail(struct idle *idle, int code, const char *what)
{
    if (idle->err == 0)
        idle->err = err_set(idle->detail, code, "%s", what);
    if (!idle->closing)
        close_all(idle);
}

/* ---- one connection ---- */

static void open_some(struct idle *idle);
static const struct transport_events idle_events;

static struct net_room on_room(struct transport *t)
{
    static uint8_t room[ROOM];

    (void)t;
    return (struct net_room){room, sizeof room};
}

static void on_ready(struct transport *t)
{
    struct idle_peer *p = peer_of(t);
    static struct mqtt_packet packet;
    char client_id[48];
    uint8_t bytes[128];
    size_t len;

    snprintf(client_id, sizeof client_id, "idle-%u", (unsigned)(p - p->idle->peers));
    packet.type = MQTT_CONNECT;
    packet.connect = (struct mqtt_connect){
        .version = p->idle->o->version, .clean_start = true, .client_id = str_from(client_id)};
    len = packet_encode(p->idle->o->version, &packet, bytes, sizeof bytes);
    if (transport_send(t, str_of_bytes(bytes, len)))
        idle_fail(p->idle, ERR_NETWORK, "a connection failed");
}

static void on_timer(uv_timer_t *timer);

/* A CONNACK is small and comes whole in practice; what does not is a failure of the run. */
static void on_bytes(struct transport *t, size_t len)
{
    struct idle *idle = peer_of(t)->idle;
    const uint8_t *at = on_room(t).at;

    if (len < 4 || at[0] >> 4 != MQTT_CONNACK || at[3] != 0) {
        idle_fail(idle, ERR_DENIED, "the broker did not accept a connection");
        return;
    }
    idle->ready++;
    if (idle->ready == idle->o->idle) {
        idle->took_ns = chrono_mono_ns() - idle->start_ns;
        idle->waiting = true;
        if (load_proc_read(idle->o->pid, &idle->connected))
            idle_fail(idle, ERR_NOTFOUND, "the broker is gone");
        else
            uv_timer_start(&idle->timer, on_timer, (uint64_t)idle->o->hold_s * 1000, 0);
        return;
    }
    open_some(idle);
}

static void on_drained(struct transport *t)
{
    (void)t;
}

static void on_end(struct transport *t, int err)
{
    struct idle_peer *p = peer_of(t);

    idle_fail(p->idle, err ? err : ERR_CLOSED, "the broker closed a connection");
}

static void on_closed(struct transport *t)
{
    peer_of(t)->open = false;
    peer_of(t)->idle->closed++;
}

static const struct transport_events idle_events = {on_room,    on_bytes, on_ready,
                                                    on_drained, on_end,   on_closed};

static void open_some(struct idle *idle)
{
    const struct load_options *o = idle->o;

    while (!idle->closing && idle->opened < o->idle &&
           idle->opened - idle->ready < CONNECTING_MAX) {
        struct idle_peer *p = &idle->peers[idle->opened++];
        int rc;

        p->idle = idle;
        p->open = true;
        rc = transport_connect(&p->transport, idle->net, o->host, o->port, idle->tls, &idle_events,
                               idle->detail);
        if (rc) {
            idle->err = rc;
            close_all(idle);
        }
    }
}

/* The time to connect is over, or that to hold still. */
static void on_timer(uv_timer_t *timer)
{
    struct idle *idle = timer->data;

    if (!idle->waiting)
        idle_fail(idle, ERR_TIMEOUT, "not all connections were accepted in time");
    else
        close_all(idle);
}

/* ---- the run ---- */

static int tls_init(struct idle *idle)
{
    const struct load_options *o = idle->o;
    char ca[PATH_ROOM], certificate[PATH_ROOM], key[PATH_ROOM];
    struct tls_client_options options = {.ca_file = ca};

    snprintf(ca, sizeof ca, "%s/ca-bundle.crt", o->pki);
    if (o->identity) {
        snprintf(certificate, sizeof certificate, "%s/%s.crt", o->pki, o->identity);
        snprintf(key, sizeof key, "%s/%s.key", o->pki, o->identity);
        options.certificate_file = certificate;
        options.key_file = key;
    }
    return tls_client_new(&idle->tls, &options, idle->detail);
}

static int idle_init(struct idle *idle)
{
    struct rlimit limit;
    int rc;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (uv_loop_init(&idle->loop))
        return ERR_NOMEM;
    uv_timer_init(&idle->loop, &idle->timer);
    idle->timer.data = idle;
    rc = net_loop_new(&idle->net, &idle->loop);
    if (rc == 0 && idle->o->tls)
        rc = tls_init(idle);
    if (rc == 0)
        rc = load_proc_read(idle->o->pid, &idle->before);
    if (rc)
        uv_close((uv_handle_t *)&idle->timer, NULL);
    return rc;
}

int load_idle(const struct load_options *o, struct load_idle_result *out, struct err_detail *detail)
{
    struct idle idle = {.o = o, .detail = detail};
    struct load_proc_use after = {0};
    int rc;

    idle.peers = mem_new(o->idle * sizeof *idle.peers);
    rc = idle_init(&idle);
    if (rc == 0) {
        idle.start_ns = chrono_mono_ns();
        uv_timer_start(&idle.timer, on_timer, (uint64_t)CONNECT_S * 1000, 0);
        open_some(&idle);
    }
    while (!idle.closing && rc == 0 && uv_run(&idle.loop, UV_RUN_ONCE))
        ;
    if (rc == 0 && idle.err == 0)
        rc = load_proc_read(o->pid, &after);
    while (uv_run(&idle.loop, UV_RUN_ONCE))
        ;
    if (rc == 0)
        rc = idle.err;
    *out = (struct load_idle_result){.connections = o->idle,
                                     .before_bytes = idle.before.rss_bytes,
                                     .after_bytes = after.rss_bytes,
                                     .took_ns = idle.took_ns,
                                     .cpu_ns = idle.connected.cpu_ns - idle.before.cpu_ns};
    net_loop_free(idle.net);
    tls_client_free(idle.tls);
    uv_loop_close(&idle.loop);
    mem_free(idle.peers);
    return rc;
}
