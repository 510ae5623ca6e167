/* One loop, one struct for each bike. A bike is in one of these states:
 *
 *   WAITING     for its turn to connect, or for the pause after a failure
 *   CONNECTING  until CONNACK
 *   RIDING      Hello is out; messages are made when they are due and the window has room
 *   ENDING      everything is acknowledged, the connection closes; or all is to end
 *   DONE        nothing is open any more
 *
 * Messages stand in a ring in the order in which they were first sent, until the first of them is
 * acknowledged. After a new CONNACK those without acknowledgement go out again, in that order and
 * before anything new. */
#include "broker/cli/sim.h"

#include <signal.h>
#include <stdio.h>

#include "broker/base/chance.h"
#include "broker/base/chrono.h"
#include "broker/base/mem.h"
#include "broker/cli/batch.h"
#include "broker/cli/bike_events.h"
#include "broker/cli/mqtt_client.h"
#include "broker/net/tlsctx.h"

enum {
    CONNECTING_MAX = 64, /* handshakes at a time */
    KEEP_ALIVE_S = 60,
    ANSWER_S = 30,
    PAUSE_MIN_MS = 100, /* after a failure; doubles up to pause_max_ms */
    TOPIC_MAX = 128,
    PATH_MAX_BYTES = 1024,
    RIDE_HALF_MAX_MS = 7 * 24 * 3600 * 1000,
};

enum bike_state { BIKE_WAITING, BIKE_CONNECTING, BIKE_RIDING, BIKE_ENDING, BIKE_DONE };
enum ride_phase { RIDE_BEGIN, RIDE_SAMPLES, RIDE_END };

struct message {
    uint8_t *payload; /* owned */
    size_t len;
    const char *kind; /* the end of the topic */
    uint32_t samples;
    uint16_t packet_id;
    uint8_t tries;
    bool done;
};

struct sim;

struct bike {
    struct mqtt_client client;
    uv_timer_t timer; /* until the next message is due, or the next connection */
    struct sim *sim;
    const char *id;
    struct tls_client *tls;
    enum bike_state state;
    bool waits_for_turn; /* WAITING without a timer */
    bool is_open;        /* the client's on_closed is still to come */
    uint32_t failures;   /* connections in a row that ended without any acknowledgement */
    uint16_t hello_id;   /* 0: acknowledged */

    struct message ring[SIM_WINDOW_MAX];
    size_t ring_at, ring_count;

    size_t ride; /* index in rides */
    size_t sample;
    enum ride_phase phase;
    struct batch_head head;
    uint64_t ride_began_ms; /* monotonic */
};

struct sim {
    const struct sim_options *o;
    struct sim_result *result;
    uv_loop_t loop;
    struct net_loop *net;
    uv_signal_t signals[2];
    struct bike *bikes;
    size_t next_turn; /* bikes before this one were started at least once */
    size_t connecting, done;
};

static void bike_pump(struct bike *b);
static void bike_end(struct bike *b);
static void turn_give(struct sim *sim);

/* ---- what came of it ---- */

static void reason_count(struct sim_result *result, enum mqtt_reason code, struct str text)
{
    struct sim_reason *reason;
    char line[SIM_TEXT_MAX];
    size_t i = 0;

    if (text.len > 0)
        snprintf(line, sizeof line, "%s: %.*s", mqtt_reason_text(code), (int)text.len, text.at);
    else
        snprintf(line, sizeof line, "%s", mqtt_reason_text(code));
    while (i < result->reason_count && strcmp(result->reasons[i].text, line) != 0)
        i++;
    if (i == SIM_REASONS_MAX)
        i--;
    reason = &result->reasons[i];
    if (i == result->reason_count) {
        result->reason_count++;
        memcpy(reason->text, line, sizeof line);
    }
    reason->count++;
}

/* ---- rides ---- */

static const struct ride *bike_ride(const struct bike *b)
{
    return &b->sim->o->rides->at[b->ride];
}

/* The time of the last sample that is no nonsense: some recordings jump decades at the end. */
static int64_t ride_end_ms(const struct ride *ride)
{
    int64_t middle_ms = ride->samples[ride->count / 2].time_ms;
    size_t i = ride->count - 1;

    while (i > ride->count / 2 && (ride->samples[i].time_ms > middle_ms + RIDE_HALF_MAX_MS ||
                                   ride->samples[i].time_ms < middle_ms - RIDE_HALF_MAX_MS))
        i--;
    return ride->samples[i].time_ms;
}

static int64_t ride_lasts_ms(const struct ride *ride)
{
    return ride_end_ms(ride) - ride->samples[0].time_ms;
}

/* How the ride's times are told: moved so that the ride ends when its play ends, or as recorded. A
 * clock before 1970 cannot be told as a time: such a bike counts from its start. */
static void ride_set_times(struct bike *b)
{
    const struct sim_options *o = b->sim->o;
    const struct ride *ride = bike_ride(b);
    int64_t play_ms = 0, lasts_ms = ride_lasts_ms(ride), least_ms = INT64_MAX;

    for (size_t i = 0; i < ride->count; i++)
        if (ride->samples[i].time_ms < least_ms)
            least_ms = ride->samples[i].time_ms;
    if (o->speed > 0 && lasts_ms > 0)
        play_ms = o->speed > 1 ? (int64_t)((double)lasts_ms / o->speed) : lasts_ms;
    b->head.time_ok = true;
    b->head.shift_ms = 0;
    if (!o->keep_times)
        b->head.shift_ms = chrono_wall_ms() + play_ms - ride_end_ms(ride);
    if (least_ms + b->head.shift_ms < 0) {
        b->head.time_ok = false;
        b->head.shift_ms = -least_ms;
    }
}

static void ride_begin(struct bike *b)
{
    b->sample = 0;
    b->phase = RIDE_BEGIN;
    b->head.boot = b->sim->o->boot + (uint32_t)(b->ride / b->sim->o->bike_count);
    b->head.trip = 1 + (uint32_t)(b->ride / b->sim->o->bike_count);
    b->head.first_sample = 0;
    b->ride_began_ms = chrono_mono_ms();
    ride_set_times(b);
}

static bool has_ride(const struct bike *b)
{
    return b->ride < b->sim->o->rides->count;
}

/* Samples of the next batch, and how long until its last one is due. */
static size_t batch_next(const struct bike *b, uint64_t *out_wait_ms)
{
    const struct sim_options *o = b->sim->o;
    const struct ride *ride = bike_ride(b);
    size_t left = ride->count - b->sample, n = left < o->batch_samples ? left : o->batch_samples;
    uint64_t due_ms, now_ms = chrono_mono_ms();
    int64_t into_ms = ride->samples[b->sample + n - 1].time_ms - ride->samples[0].time_ms;

    *out_wait_ms = 0;
    if (o->speed <= 0 || into_ms <= 0 || into_ms > ride_lasts_ms(ride))
        return n; /* a clock that jumps about holds nothing up */
    due_ms = b->ride_began_ms + (uint64_t)((double)into_ms / o->speed);
    if (due_ms > now_ms)
        *out_wait_ms = due_ms - now_ms;
    return n;
}

/* ---- messages ---- */

static struct message *ring_nth(struct bike *b, size_t n)
{
    return &b->ring[(b->ring_at + n) % SIM_WINDOW_MAX];
}

static struct message *ring_add(struct bike *b, const char *kind, const uint8_t *payload,
                                size_t len, size_t samples)
{
    struct message *m = ring_nth(b, b->ring_count++);

    *m = (struct message){
        .payload = mem_new(len + 1), .len = len, .kind = kind, .samples = (uint32_t)samples};
    memcpy(m->payload, payload, len);
    return m;
}

/* Let go of what is done at the front. */
static void ring_trim(struct bike *b)
{
    while (b->ring_count > 0 && ring_nth(b, 0)->done) {
        mem_free(ring_nth(b, 0)->payload);
        b->ring_at = (b->ring_at + 1) % SIM_WINDOW_MAX;
        b->ring_count--;
    }
}

static int bike_publish(struct bike *b, const char *kind, struct str payload, bool dup,
                        uint16_t *out_packet_id)
{
    char topic[TOPIC_MAX];

    snprintf(topic, sizeof topic, "v1/b/%s/%s", b->id, kind);
    return mqtt_client_publish(&b->client, str_from(topic), payload, dup, out_packet_id);
}

/* Send it, again or for the first time. */
static int message_send(struct bike *b, struct message *m)
{
    int rc =
        bike_publish(b, m->kind, str_of_bytes(m->payload, m->len), m->tries > 0, &m->packet_id);

    if (rc)
        return rc;
    b->sim->result->messages += m->tries == 0;
    b->sim->result->resent += m->tries > 0;
    m->tries++;
    return 0;
}

/* What is in the ring and not on its way. False: the rest has to wait. */
static bool ring_send(struct bike *b)
{
    for (size_t i = 0; i < b->ring_count; i++) {
        struct message *m = ring_nth(b, i);

        if (m->done || m->packet_id != 0)
            continue;
        if (m->tries == SIM_TRIES_MAX) {
            b->sim->result->given_up++;
            m->done = true;
            continue;
        }
        if (message_send(b, m))
            return false;
    }
    ring_trim(b);
    return true;
}

/* Put the ride's next message into the ring; false when it is not due yet, with the time left. */
static bool message_make(struct bike *b, uint64_t *out_wait_ms)
{
    uint8_t bytes[BATCH_BYTES_MAX];
    const struct ride *ride = bike_ride(b);
    size_t n, taken;

    *out_wait_ms = 0;
    switch (b->phase) {
    case RIDE_BEGIN:
        ring_add(b, "evt/trip_start", bytes, trip_start_pack(&b->head, ride, bytes), 0);
        b->phase = RIDE_SAMPLES;
        return true;
    case RIDE_SAMPLES:
        n = batch_next(b, out_wait_ms);
        if (*out_wait_ms > 0)
            return false;
        b->head.first_sample = (uint32_t)b->sample;
        n = batch_pack(&b->head, ride->samples + b->sample, ride->count - b->sample, n, bytes,
                       &taken);
        ring_add(b, "tel", bytes, n, taken);
        b->sample += taken;
        if (b->sample == ride->count)
            b->phase = RIDE_END;
        return true;
    case RIDE_END:
        b->head.first_sample = 0;
        ring_add(b, "evt/trip_end", bytes, trip_end_pack(&b->head, ride, bytes), 0);
        b->ride += b->sim->o->bike_count;
        if (has_ride(b))
            ride_begin(b);
        return true;
    }
    return false;
}

static void on_due(uv_timer_t *timer)
{
    bike_pump(timer->data);
}

/* Send what can be sent now. */
static void bike_pump(struct bike *b)
{
    uint64_t wait_ms = 0;

    if (b->state != BIKE_RIDING || !ring_send(b))
        return; /* the next acknowledgement, or the next connection, goes on */
    while (has_ride(b) && b->ring_count < b->sim->o->window) {
        if (!message_make(b, &wait_ms)) {
            uv_timer_start(&b->timer, on_due, wait_ms, 0);
            return;
        }
        if (!ring_send(b))
            return;
    }
    if (!has_ride(b) && b->ring_count == 0 && b->hello_id == 0)
        bike_end(b);
}

/* ---- connections ---- */

static void on_pause_over(uv_timer_t *timer)
{
    struct bike *b = timer->data;

    b->waits_for_turn = true;
    turn_give(b->sim);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct bike *b = handle->data;

    b->state = BIKE_DONE;
    if (++b->sim->done == b->sim->o->bike_count)
        for (size_t i = 0; i < ARRAY_LEN(b->sim->signals); i++)
            uv_close((uv_handle_t *)&b->sim->signals[i], NULL);
}

/* Nothing is open but the timer: it goes last. */
static void bike_finish(struct bike *b, bool failed)
{
    for (size_t i = 0; i < b->ring_count; i++)
        b->sim->result->given_up += !ring_nth(b, i)->done;
    b->sim->result->bikes_failed += failed;
    b->sim->result->bikes_done += !failed;
    b->state = BIKE_ENDING;
    uv_close((uv_handle_t *)&b->timer, on_timer_closed);
}

static void bike_connected(struct mqtt_client *client)
{
    struct bike *b = CONTAINER_OF(client, struct bike, client);
    uint8_t bytes[BIKE_EVENT_BYTES_MAX];
    uint64_t nonce;
    size_t len;

    b->sim->connecting--;
    b->sim->result->connections++;
    b->state = BIKE_RIDING;
    for (size_t i = 0; i < b->ring_count; i++)
        ring_nth(b, i)->packet_id = 0;
    chance_fill(&nonce, sizeof nonce);
    len = hello_pack(b->id, b->sim->o->boot + (uint32_t)(b->ride / b->sim->o->bike_count),
                     chrono_wall_ms(), nonce, bytes);
    if (bike_publish(b, "hello", str_of_bytes(bytes, len), false, &b->hello_id) == 0)
        b->sim->result->messages++;
    bike_pump(b);
    turn_give(b->sim);
}

static void bike_acked(struct mqtt_client *client, uint16_t packet_id, enum mqtt_reason reason,
                       struct str text)
{
    struct bike *b = CONTAINER_OF(client, struct bike, client);
    struct sim_result *result = b->sim->result;
    bool taken = reason < MQTT_UNSPECIFIED_ERROR;

    b->failures = 0;
    result->acknowledged += taken;
    result->refused += !taken;
    if (!taken)
        reason_count(result, reason, text);
    if (packet_id == b->hello_id)
        b->hello_id = 0;
    for (size_t i = 0; i < b->ring_count; i++) {
        struct message *m = ring_nth(b, i);

        if (m->done || m->packet_id != packet_id)
            continue;
        m->done = true;
        result->samples += taken ? m->samples : 0;
        break;
    }
    ring_trim(b);
    bike_pump(b);
}

static void bike_down(struct mqtt_client *client, const char *why)
{
    struct bike *b = CONTAINER_OF(client, struct bike, client);

    snprintf(b->sim->result->failure, sizeof b->sim->result->failure, "%s: %s", b->id, why);
    b->sim->connecting -= b->state == BIKE_CONNECTING;
    b->failures++;
    b->state = BIKE_WAITING;
    uv_timer_stop(&b->timer);
    mqtt_client_close(client);
}

static void bike_client_closed(struct mqtt_client *client)
{
    struct bike *b = CONTAINER_OF(client, struct bike, client);
    uint64_t pause_ms = PAUSE_MIN_MS, most_ms = b->sim->o->pause_max_ms;

    b->is_open = false;
    if (b->state == BIKE_ENDING) {
        bike_finish(b, b->sim->result->interrupted);
    } else if (b->sim->result->interrupted || b->failures >= SIM_TRIES_MAX) {
        bike_finish(b, true);
    } else {
        for (uint32_t i = 1; i < b->failures && pause_ms < most_ms; i++)
            pause_ms *= 2;
        uv_timer_start(&b->timer, on_pause_over, pause_ms < most_ms ? pause_ms : most_ms, 0);
    }
    turn_give(b->sim);
}

static const struct mqtt_client_events client_events = {
    .on_connected = bike_connected,
    .on_ack = bike_acked,
    .on_down = bike_down,
    .on_closed = bike_client_closed,
};

static void bike_connect(struct bike *b)
{
    const struct sim_options *o = b->sim->o;
    const struct mqtt_client_options options = {
        .host = o->host,
        .port = o->port,
        .tls = b->tls,
        .version = o->version,
        .client_id = b->id,
        .keep_alive_s = KEEP_ALIVE_S,
        .answer_s = ANSWER_S,
    };
    struct err_detail detail = {""};

    b->waits_for_turn = false;
    b->hello_id = 0;
    if (mqtt_client_open(&b->client, &b->sim->loop, b->sim->net, &options, &client_events,
                         &detail)) {
        snprintf(b->sim->result->failure, sizeof b->sim->result->failure, "%s: %.*s", b->id,
                 SIM_TEXT_MAX / 2, detail.text);
        bike_finish(b, true);
        return;
    }
    b->is_open = true;
    b->state = BIKE_CONNECTING;
    b->sim->connecting++;
}

/* Everything of this bike is acknowledged, or it is to stop. */
static void bike_end(struct bike *b)
{
    enum bike_state was = b->state;

    if (was >= BIKE_ENDING)
        return;
    uv_timer_stop(&b->timer);
    if (was == BIKE_WAITING) {
        if (!b->is_open) /* else bike_client_closed() goes on */
            bike_finish(b, true);
        return;
    }
    b->sim->connecting -= was == BIKE_CONNECTING;
    b->state = BIKE_ENDING;
    mqtt_client_close(&b->client);
}

/* Let waiting bikes connect, as many as may at a time. */
static void turn_give(struct sim *sim)
{
    for (size_t i = 0; i < sim->o->bike_count && sim->connecting < CONNECTING_MAX; i++) {
        struct bike *b = &sim->bikes[(sim->next_turn + i) % sim->o->bike_count];

        if (b->state == BIKE_WAITING && b->waits_for_turn)
            bike_connect(b);
    }
}

/* ---- the whole ---- */

static void on_signal(uv_signal_t *handle, int number)
{
    struct sim *sim = handle->data;

    (void)number;
    sim->result->interrupted = true;
    for (size_t i = 0; i < sim->o->bike_count; i++)
        bike_end(&sim->bikes[i]);
}

static int bike_prepare(struct bike *b, struct sim *sim, size_t index, struct err_detail *detail)
{
    char ca[PATH_MAX_BYTES], certificate[PATH_MAX_BYTES], key[PATH_MAX_BYTES];
    const struct tls_client_options options = {ca, certificate, key};
    const char *pki = sim->o->pki;

    b->sim = sim;
    b->id = sim->o->bikes[index];
    b->ride = index;
    b->waits_for_turn = true;
    if (has_ride(b))
        ride_begin(b);
    if (!pki)
        return 0;
    snprintf(ca, sizeof ca, "%s/ca-bundle.crt", pki);
    snprintf(certificate, sizeof certificate, "%s/bikes/%s.crt", pki, b->id);
    snprintf(key, sizeof key, "%s/bikes/%s.key", pki, b->id);
    return tls_client_new(&b->tls, &options, detail);
}

static void signals_watch(struct sim *sim)
{
    static const int numbers[] = {SIGINT, SIGTERM};

    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        uv_signal_init(&sim->loop, &sim->signals[i]);
        sim->signals[i].data = sim;
        uv_signal_start(&sim->signals[i], on_signal, numbers[i]); /* else the default ends us */
    }
}

static void sim_play(struct sim *sim)
{
    uint64_t began_ms = chrono_mono_ms();

    for (size_t i = 0; i < sim->o->bike_count; i++) {
        uv_timer_init(&sim->loop, &sim->bikes[i].timer);
        sim->bikes[i].timer.data = &sim->bikes[i];
    }
    turn_give(sim);
    uv_run(&sim->loop, UV_RUN_DEFAULT);
    sim->result->took_s = (double)(chrono_mono_ms() - began_ms) / 1000;
}

int sim_run(const struct sim_options *options, struct sim_result *out, struct err_detail *detail)
{
    struct sim sim = {.o = options, .result = out};
    int rc = 0;

    *out = (struct sim_result){0};
    sim.bikes = mem_new(options->bike_count * sizeof *sim.bikes);
    for (size_t i = 0; i < options->bike_count && !rc; i++)
        rc = bike_prepare(&sim.bikes[i], &sim, i, detail);
    if (rc)
        goto out_bikes;
    if (uv_loop_init(&sim.loop)) {
        rc = ERR_NOMEM;
        goto out_bikes;
    }
    rc = net_loop_new(&sim.net, &sim.loop);
    if (rc)
        goto out_loop;
    signals_watch(&sim);
    sim_play(&sim);
    net_loop_free(sim.net);
out_loop:
    uv_loop_close(&sim.loop);
out_bikes:
    for (size_t i = 0; i < options->bike_count; i++) {
        struct bike *b = &sim.bikes[i];

        while (b->ring_count > 0) {
            ring_nth(b, 0)->done = true;
            ring_trim(b);
        }
        tls_client_free(b->tls);
    }
    mem_free(sim.bikes);
    return rc;
}
