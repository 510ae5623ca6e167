/* Phases, each entered once and in this order:
 *
 * 1. GATHERING: every peer connects, and subscribers subscribe.
 * 2. WARMING and MEASURING: publishers send. Only what is acknowledged (QoS 0: sent) or delivered
 *    while MEASURING goes into the figures; the broker's use is read at both ends of it.
 * 3. DRAINING: nothing new is sent; each publisher sends a PINGREQ, so that with QoS 0 too the
 *    broker has read everything when the answers are there.
 * 4. TRAILING: the last deliveries, when they are to be verified.
 *
 * With QoS 0 a closed loop is closed by a PINGREQ after each window of messages: they count when it
 * is answered, and two windows may wait for that. Message k of an open loop belongs to publisher k
 * modulo their number and is due at k / rate. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "broker/base/chance.h"
#include "broker/base/chrono.h"
#include "broker/base/mem.h"
#include "broker/cli/load_peer.h"
#include "broker/cli/load_priv.h"
#include "broker/codec/topic.h"

enum phase { GATHERING, WARMING, MEASURING, DRAINING, TRAILING, DONE };

enum {
    EVENTS_MAX = 1024,
    CONNECTING_MAX = 128, /* under way at a time, well below a listener's backlog */
    SINCE_ROOM = 2048,    /* send times kept a publisher; a power of two */
    BURST_BYTES = 256 * 1024,
    ACKS_ROOM = 256 * 1024,
    GATHER_S = 30,
    DRAIN_S = 30,
    QUIET_S = 2, /* deliveries that pause this long are over */
};

static const uint8_t pingreq[] = {MQTT_PINGREQ << 4, 0};

/* When a message was sent, kept until its delivery. */
struct since {
    uint64_t ns;
    uint32_t number;
};

/* What a subscriber has seen of a publisher. */
struct trail {
    uint32_t next;
    uint32_t missing; /* gaps before `next` */
    bool expected;
};

struct traffic {
    const struct load_options *o;
    struct load_result *out;
    struct err_detail *detail;
    int err;
    int epoll_fd;
    enum phase phase;
    struct load_peer *peers; /* publishers, then subscribers */
    uint32_t count, opened, ready, connecting;
    uint64_t pings, pongs;
    uint64_t start_ns, phase_until_ns, measured_from_ns, last_delivery_ns;
    uint64_t issued; /* messages sent or due, of all publishers */
    uint64_t deliveries_expected;
    double gap_ns; /* open loop */
    struct load_proc_use use_before;
    uint64_t own_before_ns;
    struct since *since;  /* [publisher][SINCE_ROOM], with subscribers */
    struct trail *trails; /* [subscriber][publisher], to verify */
    uint8_t *burst, *acks;
    size_t acks_len;
};

static int fail(struct traffic *t, int code, const char *what)
{
    if (t->err == 0)
        t->err = err_set(t->detail, code, "%s", what);
    return t->err;
}

static uint64_t own_cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- sending ---- */

static bool is_publishing(const struct traffic *t)
{
    return t->phase == WARMING || t->phase == MEASURING;
}

static uint64_t intended_ns(const struct traffic *t, const struct load_peer *p)
{
    double k = (double)p->next_number * t->o->publishers + p->index;

    return t->start_ns + (uint64_t)(k * t->gap_ns);
}

/* Whether the publisher may send another one now. */
static bool has_turn(const struct traffic *t, const struct load_peer *p)
{
    if (t->o->qos > 0 ? p->in_flight >= p->window : p->burst_count == LOAD_BURSTS_MAX)
        return false;
    if (t->gap_ns > 0)
        return p->next_number < p->due;
    return t->o->messages == 0 || t->issued < t->o->messages;
}

/* A packet id whose slot is free: there are four times as many slots as messages under way. */
static struct load_slot *slot_take(struct load_peer *p)
{
    struct load_slot *slot;

    do {
        p->last_id = p->last_id == UINT16_MAX ? 1 : (uint16_t)(p->last_id + 1);
        slot = &p->slots[p->last_id & p->slot_mask];
    } while (slot->id);
    slot->id = p->last_id;
    p->in_flight++;
    return slot;
}

/* Append one message to the burst; returns its length. */
static size_t feed_one(struct traffic *t, struct load_peer *p, uint8_t *to, uint64_t now_ns,
                       int64_t wall_ms)
{
    uint64_t since_ns = t->gap_ns > 0 ? intended_ns(t, p) : now_ns;
    uint16_t id = 0;

    if (t->o->qos > 0) {
        struct load_slot *slot = slot_take(p);

        slot->since_ns = since_ns;
        id = slot->id;
    }
    if (t->since)
        t->since[(size_t)p->index * SINCE_ROOM + p->next_number % SINCE_ROOM] =
            (struct since){since_ns, p->next_number};
    load_feed_write(&p->feed, to, id, p->next_number, wall_ms);
    p->next_number++;
    if (t->gap_ns == 0)
        t->issued++;
    return p->feed.len;
}

/* Close a burst of QoS 0, see the top; returns the length of what was appended. */
static size_t burst_close(struct traffic *t, struct load_peer *p, uint32_t sent, uint8_t *to)
{
    if (t->gap_ns > 0) {
        if (t->phase == MEASURING)
            t->out->messages += sent;
        return 0;
    }
    p->bursts[p->burst_count++] = sent;
    t->pings++;
    memcpy(to, pingreq, sizeof pingreq);
    return sizeof pingreq;
}

static void on_pingresp(struct traffic *t, struct load_peer *p)
{
    t->pongs++;
    if (p->burst_count == 0)
        return;
    if (t->phase == MEASURING)
        t->out->messages += p->bursts[0];
    p->burst_count--;
    memmove(p->bursts, p->bursts + 1, p->burst_count * sizeof *p->bursts);
}

/* Send what is the publisher's turn, at most a window, in one call. */
static void feed(struct traffic *t, struct load_peer *p, uint64_t now_ns)
{
    int64_t wall_ms = chrono_wall_ms();

    while (is_publishing(t) && p->state == LOAD_PEER_READY && p->out.len == 0 && has_turn(t, p)) {
        uint32_t sent = 0;
        size_t len = 0;

        while (has_turn(t, p) && len + p->feed.len <= BURST_BYTES && sent < p->window) {
            len += feed_one(t, p, t->burst + len, now_ns, wall_ms);
            sent++;
        }
        t->out->sent += sent;
        if (t->o->qos == 0)
            len += burst_close(t, p, sent, t->burst + len);
        if (load_peer_send(p, t->epoll_fd, t->burst, len))
            fail(t, ERR_NETWORK, "a publisher's connection failed");
    }
}

/* Open loop: what has come due since the last turn. */
static void issue_due(struct traffic *t, uint64_t now_ns)
{
    uint64_t until = (uint64_t)((double)(now_ns - t->start_ns) / t->gap_ns) + 1, from = t->issued;

    ASSERT(t->o->publishers > 0);
    if (t->o->messages > 0 && until > t->o->messages)
        until = t->o->messages;
    for (; t->issued < until; t->issued++)
        t->peers[t->issued % t->o->publishers].due++;
    if (until - from > t->o->publishers)
        from = until - t->o->publishers;
    for (uint64_t k = from; k < until; k++)
        feed(t, &t->peers[k % t->o->publishers], now_ns);
}

/* ---- receiving ---- */

static void on_puback(void *ctx, struct load_peer *p, uint16_t packet_id, bool accepted,
                      uint64_t now_ns)
{
    struct traffic *t = ctx;
    struct load_slot *slot;

    if (p->subscriber || !p->slots || p->slots[packet_id & p->slot_mask].id != packet_id ||
        packet_id == 0) {
        fail(t, ERR_INVALID, "the broker acknowledged what was not sent");
        return;
    }
    slot = &p->slots[packet_id & p->slot_mask];
    slot->id = 0;
    p->in_flight--;
    t->out->acked++;
    t->out->refused += !accepted;
    if (t->phase == MEASURING) {
        t->out->messages++;
        load_hist_add(&t->out->puback, now_ns > slot->since_ns ? now_ns - slot->since_ns : 0);
    }
}

static void verify(struct traffic *t, const struct load_peer *p, uint32_t publisher,
                   uint32_t number)
{
    struct trail *trail = &t->trails[(size_t)p->index * t->o->publishers + publisher];

    if (number >= trail->next) {
        trail->missing += number - trail->next;
        trail->next = number + 1;
    } else if (trail->missing > 0) {
        trail->missing--;
        t->out->disordered++;
    } else {
        t->out->duplicates++;
    }
}

static void on_message(void *ctx, struct load_peer *p, const struct mqtt_publish *publish,
                       uint64_t now_ns)
{
    struct traffic *t = ctx;
    uint32_t publisher, number;
    const struct since *since;

    if (publish->qos > 0 && t->acks_len + 4 <= ACKS_ROOM)
        t->acks_len += puback_encode_ok(t->acks + t->acks_len, publish->packet_id);
    t->out->received++;
    t->last_delivery_ns = now_ns;
    if (t->phase == MEASURING)
        t->out->deliveries++;
    if (!load_feed_read(t->o, publish->payload, &publisher, &number) ||
        publisher >= t->o->publishers || !t->since)
        return;
    since = &t->since[(size_t)publisher * SINCE_ROOM + number % SINCE_ROOM];
    if (t->phase == MEASURING && since->number == number)
        load_hist_add(&t->out->delivery, now_ns > since->ns ? now_ns - since->ns : 0);
    if (t->trails)
        verify(t, p, publisher, number);
}

static void subscribe(struct traffic *t, struct load_peer *p)
{
    static struct mqtt_packet packet;
    char filter[256];

    if (load_expand(t->o->filter, p->index, t->o->subscribers, filter, sizeof filter)) {
        fail(t, ERR_TOO_LARGE, "the filter is too long");
        return;
    }
    packet.type = MQTT_SUBSCRIBE;
    packet.subscribe = (struct mqtt_subscribe){.packet_id = 1, .filter_count = 1};
    packet.subscribe.filters[0] = (struct mqtt_filter){.topic = str_from(filter), .qos = t->o->qos};
    p->state = LOAD_PEER_JOINING;
    if (load_peer_send_packet(p, t->o, t->epoll_fd, &packet))
        fail(t, ERR_NETWORK, "a subscriber's connection failed");
    for (uint32_t i = 0; t->trails && i < t->o->publishers; i++)
        t->trails[(size_t)p->index * t->o->publishers + i].expected =
            topic_matches(str_from(filter), str_from(t->peers[i].feed.topic));
}

static void on_connack(struct traffic *t, struct load_peer *p, const struct mqtt_connack *connack)
{
    if (connack->reason != MQTT_OK) {
        fail(t, ERR_DENIED, mqtt_reason_text(connack->reason));
        return;
    }
    t->connecting--;
    if (mqtt_has(&connack->properties, MQTT_PROP_RECEIVE_MAX) &&
        connack->properties.receive_max < p->window)
        p->window = connack->properties.receive_max;
    if (p->subscriber) {
        subscribe(t, p);
        return;
    }
    p->state = LOAD_PEER_READY;
    t->ready++;
}

static void on_packet(void *ctx, struct load_peer *p, const struct mqtt_packet *packet,
                      uint64_t now_ns)
{
    struct traffic *t = ctx;

    (void)now_ns;
    if (packet->type == MQTT_CONNACK && p->state == LOAD_PEER_GREETING) {
        on_connack(t, p, &packet->connack);
    } else if (packet->type == MQTT_SUBACK && p->state == LOAD_PEER_JOINING) {
        if (packet->suback.codes[0] >= 0x80)
            fail(t, ERR_DENIED, "the broker refused the subscription");
        p->state = LOAD_PEER_READY;
        t->ready++;
    } else if (packet->type == MQTT_PINGRESP) {
        on_pingresp(t, p);
    } else if (packet->type == MQTT_DISCONNECT) {
        fail(t, ERR_CLOSED, mqtt_reason_text(packet->ack.reason));
    } else {
        fail(t, ERR_INVALID, "the broker sent a packet that has no place here");
    }
}

static const struct load_peer_events peer_events = {on_packet, on_puback, on_message};

/* ---- the loop ---- */

static void greet(struct traffic *t, struct load_peer *p)
{
    static struct mqtt_packet packet;
    char client_id[64];

    snprintf(client_id, sizeof client_id, "bench-%d-%s-%u", (int)getpid(),
             p->subscriber ? "sub" : "pub", p->index);
    packet.type = MQTT_CONNECT;
    packet.connect = (struct mqtt_connect){
        .version = t->o->version, .clean_start = true, .client_id = str_from(client_id)};
    if (load_peer_connected(p, t->detail))
        t->err = ERR_NETWORK;
    else if (load_peer_send_packet(p, t->o, t->epoll_fd, &packet))
        fail(t, ERR_NETWORK, "a connection failed");
}

static void turn_peer(struct traffic *t, struct load_peer *p, uint32_t ready)
{
    int rc = 0;

    if (p->state == LOAD_PEER_CONNECTING) {
        greet(t, p);
        return;
    }
    if (ready & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        t->acks_len = 0;
        rc = load_peer_read(p, t->o, &peer_events, t);
        if (rc == 0 && t->acks_len > 0)
            rc = load_peer_send(p, t->epoll_fd, t->acks, t->acks_len);
    }
    if (rc == 0 && (ready & EPOLLOUT))
        rc = load_peer_flush(p, t->epoll_fd);
    if (rc)
        fail(t, rc, rc == ERR_CLOSED ? "the broker closed a connection" : "a connection failed");
    else if (!p->subscriber)
        feed(t, p, chrono_mono_ns());
}

static void open_some(struct traffic *t)
{
    while (t->err == 0 && t->opened < t->count && t->connecting < CONNECTING_MAX) {
        t->err = load_peer_open(&t->peers[t->opened], t->o, t->epoll_fd, t->detail);
        t->opened++;
        t->connecting++;
    }
}

static void read_use(struct traffic *t, struct load_proc_use *out)
{
    if (t->o->pid > 0 && load_proc_read(t->o->pid, out))
        fail(t, ERR_NOTFOUND, "there is no process with the given --pid");
}

static void begin_measuring(struct traffic *t)
{
    read_use(t, &t->use_before);
    t->own_before_ns = own_cpu_ns();
    t->phase = MEASURING;
    t->measured_from_ns = chrono_mono_ns();
    t->phase_until_ns =
        t->o->messages > 0 ? UINT64_MAX : t->measured_from_ns + (uint64_t)(t->o->seconds * 1e9);
    for (uint32_t i = 0; i < t->o->publishers; i++)
        feed(t, &t->peers[i], t->measured_from_ns);
}

static void begin_traffic(struct traffic *t, uint64_t now_ns)
{
    t->start_ns = now_ns;
    t->phase = WARMING;
    t->phase_until_ns = now_ns + (uint64_t)(t->o->warmup_s * 1e9);
    if (t->o->warmup_s <= 0)
        begin_measuring(t);
}

/* Whether the given number of messages has been reached. */
static bool is_complete(const struct traffic *t)
{
    bool answered = t->o->qos > 0 || t->gap_ns <= 0;

    return t->o->messages > 0 && (answered ? t->out->messages : t->out->sent) >= t->o->messages;
}

static void begin_draining(struct traffic *t)
{
    struct load_proc_use after = {0};

    t->out->took_ns = chrono_mono_ns() - t->measured_from_ns;
    read_use(t, &after);
    t->out->broker = load_proc_between(&t->use_before, &after);
    t->out->own_cpu_ns = own_cpu_ns() - t->own_before_ns;
    t->phase = DRAINING;
    t->phase_until_ns = chrono_mono_ns() + DRAIN_S * UINT64_C(1000000000);
    for (uint32_t i = 0; i < t->o->publishers; i++) {
        t->pings++;
        if (load_peer_send(&t->peers[i], t->epoll_fd, pingreq, sizeof pingreq))
            fail(t, ERR_NETWORK, "a publisher's connection failed");
    }
}

static bool has_drained(const struct traffic *t)
{
    return t->pongs == t->pings && (t->o->qos == 0 || t->out->acked == t->out->sent);
}

static void begin_trailing(struct traffic *t)
{
    t->phase = t->trails ? TRAILING : DONE;
    t->last_delivery_ns = chrono_mono_ns();
    for (size_t i = 0; t->trails && i < (size_t)t->o->subscribers * t->o->publishers; i++) {
        if (t->trails[i].expected)
            t->deliveries_expected += t->peers[i % t->o->publishers].next_number;
    }
}

/* Enter the next phase when it is time. */
static void turn(struct traffic *t, uint64_t now_ns)
{
    bool due = now_ns >= t->phase_until_ns;

    switch (t->phase) {
    case GATHERING:
        if (t->ready == t->count)
            begin_traffic(t, now_ns);
        else if (due)
            fail(t, ERR_TIMEOUT, "not all connections were accepted in time");
        else
            open_some(t);
        break;
    case WARMING:
        if (due)
            begin_measuring(t);
        break;
    case MEASURING:
        if (due || is_complete(t))
            begin_draining(t);
        break;
    case DRAINING:
        if (has_drained(t))
            begin_trailing(t);
        else if (due)
            fail(t, ERR_TIMEOUT, "the last acknowledgements did not come");
        break;
    case TRAILING:
        if (t->out->received >= t->deliveries_expected ||
            now_ns - t->last_delivery_ns > QUIET_S * UINT64_C(1000000000))
            t->phase = DONE;
        break;
    case DONE:
        break;
    }
    if (is_publishing(t) && t->gap_ns > 0)
        issue_due(t, chrono_mono_ns());
}

/* How long the loop may sleep: to the next message of an open loop, else a while. */
static struct timespec sleep_for(const struct traffic *t)
{
    uint64_t now_ns = chrono_mono_ns(), until_ns = now_ns + 50 * UINT64_C(1000000), next_ns;

    if (is_publishing(t) && t->phase_until_ns < until_ns)
        until_ns = t->phase_until_ns;
    if (is_publishing(t) && t->gap_ns > 0) {
        next_ns = t->start_ns + (uint64_t)((double)t->issued * t->gap_ns);
        if (next_ns < until_ns && (t->o->messages == 0 || t->issued < t->o->messages))
            until_ns = next_ns;
    }
    if (until_ns <= now_ns)
        return (struct timespec){0, 0};
    return (struct timespec){0, (long)(until_ns - now_ns)};
}

static void loop(struct traffic *t)
{
    static struct epoll_event ready[EVENTS_MAX];

    t->phase_until_ns = chrono_mono_ns() + GATHER_S * UINT64_C(1000000000);
    while (t->err == 0 && t->phase != DONE) {
        struct timespec wait = sleep_for(t);
        int n = epoll_pwait2(t->epoll_fd, ready, EVENTS_MAX, &wait, NULL);

        for (int i = 0; i < n && t->err == 0; i++)
            turn_peer(t, ready[i].data.ptr, ready[i].events);
        if (n < 0 && errno != EINTR)
            fail(t, err_from_errno(errno), "epoll_pwait2 failed");
        if (t->err == 0)
            turn(t, chrono_mono_ns());
    }
}

/* ---- life ---- */

/* A file a connection, and a few more. */
static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int publisher_init(struct traffic *t, struct load_peer *p, uint32_t run)
{
    uint32_t slots = 4;

    p->window = t->o->window;
    while (slots < 4 * p->window)
        slots *= 2;
    p->slots = mem_new(slots * sizeof *p->slots);
    p->slot_mask = slots - 1;
    return load_feed_init(&p->feed, t->o, p->index, run);
}

static int traffic_init(struct traffic *t)
{
    const struct load_options *o = t->o;
    uint32_t run;
    int rc = 0;

    chance_fill(&run, sizeof run);
    t->count = o->publishers + o->subscribers;
    t->gap_ns = o->rate > 0 ? 1e9 / o->rate : 0;
    t->peers = mem_new(t->count * sizeof *t->peers);
    t->burst = mem_new(BURST_BYTES + sizeof pingreq);
    t->acks = mem_new(ACKS_ROOM);
    if (o->subscribers > 0)
        t->since = mem_new((size_t)o->publishers * SINCE_ROOM * sizeof *t->since);
    if (o->subscribers > 0 && o->verify)
        t->trails = mem_new((size_t)o->publishers * o->subscribers * sizeof *t->trails);
    for (uint32_t i = 0; i < t->count; i++)
        t->peers[i].fd = -1;
    for (uint32_t i = 0; i < t->count && rc == 0; i++) {
        struct load_peer *p = &t->peers[i];

        p->subscriber = i >= o->publishers;
        p->index = p->subscriber ? i - o->publishers : i;
        if (!p->subscriber)
            rc = publisher_init(t, p, run);
    }
    if (rc)
        return err_set(t->detail, rc, "the topic is too long");
    t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return t->epoll_fd < 0 ? err_set(t->detail, err_from_errno(errno), "no epoll") : 0;
}

static void traffic_fini(struct traffic *t)
{
    struct mqtt_packet goodbye = {.type = MQTT_DISCONNECT};

    for (uint32_t i = 0; t->peers && i < t->count; i++) {
        if (t->peers[i].fd >= 0 && load_peer_send_packet(&t->peers[i], t->o, t->epoll_fd, &goodbye))
            fail(t, ERR_NETWORK, "a connection failed");
        load_peer_close(&t->peers[i]);
    }
    if (t->epoll_fd >= 0)
        close(t->epoll_fd);
    mem_free(t->peers);
    mem_free(t->burst);
    mem_free(t->acks);
    mem_free(t->since);
    mem_free(t->trails);
}

static void count_lost(struct traffic *t)
{
    for (size_t i = 0; t->trails && i < (size_t)t->o->subscribers * t->o->publishers; i++) {
        const struct trail *trail = &t->trails[i];
        uint32_t sent = t->peers[i % t->o->publishers].next_number;

        if (trail->expected)
            t->out->lost += trail->missing + (sent > trail->next ? sent - trail->next : 0);
    }
}

int load_traffic(const struct load_options *o, struct load_result *out, struct err_detail *detail)
{
    struct traffic t = {.o = o, .out = out, .detail = detail, .epoll_fd = -1};
    int rc;

    memset(out, 0, sizeof *out);
    raise_file_limit();
    prctl(PR_SET_TIMERSLACK, 1UL); /* else a sleep ends 50 us late */
    rc = traffic_init(&t);
    if (rc == 0) {
        loop(&t);
        rc = t.err;
        count_lost(&t);
    }
    traffic_fini(&t);
    return rc;
}
