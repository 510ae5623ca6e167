/* The simulator against a server that is written down here: plain TCP on loopback, an
 * acknowledgement for everything, and the mishaps that a test asks for. */
#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "broker/base/mem.h"
#include "broker/base/thread.h"
#include "broker/cli/ride_model.h"
#include "broker/cli/sim.h"
#include "broker/codec/packet.h"
#include "broker/payload/payload.h"

enum { ROOM = 256 * 1024, RIDE_S = 300, SEEN_MAX = 4096 };

struct server {
    int listener;
    uint16_t port;
    enum mqtt_version version;
    struct thread *thread;
    const struct schema_set *schemas;

    /* What it does. */
    unsigned drop_after;    /* close each connection after so many PUBLISH; 0: never */
    unsigned drop_count;    /* how often at most */
    bool drop_before_ack;   /* and leave the last one unacknowledged */
    enum mqtt_reason greet; /* the CONNACK's reason */
    unsigned refuse_nth;    /* answer this PUBLISH with 0x99; 0: none */
    struct str greeting;    /* sent in place of the CONNACK, if any */

    /* What it saw. */
    unsigned connections, publishes, hellos, starts, ends, dups, drops;
    bool topics_wrong, hello_late;
    uint8_t samples[SEEN_MAX]; /* how often each sample was acknowledged */
    int ended;                 /* connections that sent DISCONNECT */
};

static void batch_see(struct server *s, struct str payload)
{
    struct payload_facts facts;
    const char *why;

    if (!payload_validate(schema_by_id(s->schemas, 1), payload, &facts, &why)) {
        s->topics_wrong = true;
        return;
    }
    for (uint32_t i = 0; i < facts.sample_count; i++)
        if (facts.first_sample + i < SEEN_MAX)
            s->samples[facts.first_sample + i]++;
}

static void publish_see(struct server *s, const struct mqtt_publish *p, unsigned nth)
{
    s->dups += p->dup;
    if (str_equal(p->topic, STR_LITERAL("v1/b/bike-01/hello"))) {
        s->hellos++;
        s->hello_late |= nth != 1;
    } else if (str_equal(p->topic, STR_LITERAL("v1/b/bike-01/evt/trip_start"))) {
        s->starts++;
    } else if (str_equal(p->topic, STR_LITERAL("v1/b/bike-01/evt/trip_end"))) {
        s->ends++;
    } else if (!str_equal(p->topic, STR_LITERAL("v1/b/bike-01/tel"))) {
        s->topics_wrong = true;
    }
}

static bool answer(int fd, enum mqtt_version version, const struct mqtt_packet *packet)
{
    uint8_t bytes[256];
    size_t len = packet_encode(version, packet, bytes, sizeof bytes);

    return len > 0 && send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* One packet; false ends the connection. */
static bool packet_see(struct server *s, int fd, const struct mqtt_packet *packet, unsigned *nth)
{
    struct mqtt_packet reply = {.type = MQTT_PUBACK};
    bool last;

    if (packet->type == MQTT_CONNECT) {
        if (s->greeting.len > 0)
            return send(fd, s->greeting.at, s->greeting.len, MSG_NOSIGNAL) > 0;
        reply.type = MQTT_CONNACK;
        reply.connack.reason = s->greet;
        return answer(fd, s->version, &reply) && s->greet == MQTT_OK;
    }
    if (packet->type == MQTT_DISCONNECT) {
        s->ended++;
        return false;
    }
    if (packet->type != MQTT_PUBLISH)
        return true;
    ++*nth;
    s->publishes++;
    publish_see(s, &packet->publish, *nth);
    last = s->drop_after && *nth == s->drop_after && s->drops < s->drop_count;
    s->drops += last;
    if (last && s->drop_before_ack)
        return false;
    reply.ack.packet_id = packet->publish.packet_id;
    if (s->publishes == s->refuse_nth)
        reply.ack.reason = MQTT_PAYLOAD_FORMAT_INVALID;
    else if (str_has_prefix(packet->publish.topic, STR_LITERAL("v1/b/bike-01/tel")))
        batch_see(s, packet->publish.payload);
    return answer(fd, s->version, &reply) && !last;
}

static void connection_serve(struct server *s, int fd, uint8_t *room)
{
    size_t len = 0, taken;
    unsigned nth = 0;
    bool open = true;
    ssize_t got;

    while (open && (got = recv(fd, room + len, ROOM - len, 0)) > 0) {
        len += (size_t)got;
        for (taken = 0; open;) {
            struct str rest = str_of_bytes(room + taken, len - taken);
            enum mqtt_reason reason;
            struct mqtt_packet packet;
            struct frame frame;

            if (frame_next(rest, ROOM, &frame, &reason) != FRAME_WHOLE)
                break;
            if (packet_decode(s->version, &frame,
                              (struct str){rest.at + frame.head_bytes, frame.body_bytes},
                              &packet)) {
                s->topics_wrong = true;
                open = false;
                break;
            }
            taken += frame.head_bytes + frame.body_bytes;
            open = packet_see(s, fd, &packet, &nth);
        }
        memmove(room, room + taken, len - taken);
        len -= taken;
    }
    close(fd);
}

static void serve(void *ctx)
{
    struct server *s = ctx;
    uint8_t *room = mem_new(ROOM);
    int fd;

    while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
        s->connections++;
        connection_serve(s, fd, room);
    }
    mem_free(room);
}

static void server_start(struct server *s, const struct schema_set *schemas)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;

    s->schemas = schemas;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(s->listener, 0);
    cr_assert_eq(bind(s->listener, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(s->listener, 16), 0);
    cr_assert_eq(getsockname(s->listener, (struct sockaddr *)&address, &len), 0);
    s->port = ntohs(address.sin_port);
    cr_assert_eq(thread_start(&s->thread, "server", serve, s), 0);
}

static void server_stop(struct server *s)
{
    shutdown(s->listener, SHUT_RDWR);
    thread_join(s->thread);
    close(s->listener);
}

/* Play one generated ride as bike-01. */
static void play(struct server *s, struct sim_result *result, uint32_t window)
{
    static const char *const bikes[] = {"bike-01"};
    struct ride ride;
    const struct rides rides = {&ride, 1};
    const struct sim_options options = {.host = "127.0.0.1",
                                        .version = s->version,
                                        .bikes = bikes,
                                        .bike_count = 1,
                                        .rides = &rides,
                                        .batch_samples = 10,
                                        .window = window,
                                        .pause_max_ms = 5,
                                        .boot = 5};
    struct sim_options with_port = options;
    struct err_detail detail = {""};
    struct schema_set *schemas;

    cr_assert_eq(schema_set_load(&schemas, &detail), 0);
    ride_model_make(&ride, 1, RIDE_S, 1790000000000);
    server_start(s, schemas);
    with_port.port = s->port;
    cr_assert_eq(sim_run(&with_port, result, &detail), 0, "%s", detail.text);
    server_stop(s);
    ride_fini(&ride);
    schema_set_free(schemas);
    cr_expect(!s->topics_wrong);
    cr_expect(!s->hello_late, "Hello is the first PUBLISH of every connection");
}

static unsigned samples_at_least_once(const struct server *s)
{
    unsigned count = 0;

    for (size_t i = 0; i < RIDE_S; i++)
        count += s->samples[i] > 0;
    return count;
}

Test(sim, a_ride_is_played_once_and_in_full)
{
    static const enum mqtt_version versions[] = {MQTT_V311, MQTT_V5};

    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        struct server s = {.version = versions[i]};
        struct sim_result result;

        play(&s, &result, 4);
        cr_expect_eq(result.bikes_done, 1);
        cr_expect_eq(result.samples, RIDE_S);
        cr_expect_eq(result.messages, 1 + 1 + RIDE_S / 10 + 1);
        cr_expect_eq(result.acknowledged, result.messages);
        cr_expect_eq(result.resent, 0);
        cr_expect_eq(s.connections, 1);
        cr_expect_eq(s.hellos, 1);
        cr_expect_eq(s.starts, 1);
        cr_expect_eq(s.ends, 1);
        cr_expect_eq(s.dups, 0);
        cr_expect_eq(s.ended, 1, "it says DISCONNECT");
        for (size_t k = 0; k < RIDE_S; k++)
            cr_expect_eq(s.samples[k], 1, "sample %zu", k);
    }
}

Test(sim, what_a_broken_connection_leaves_unacknowledged_is_sent_again)
{
    static const unsigned windows[] = {1, 5, SIM_WINDOW_MAX};

    for (size_t i = 0; i < ARRAY_LEN(windows); i++) {
        struct server s = {
            .version = MQTT_V5, .drop_after = 7, .drop_count = 5, .drop_before_ack = true};
        struct sim_result result;

        play(&s, &result, windows[i]);
        cr_expect_eq(result.bikes_done, 1);
        cr_expect_eq(result.given_up, 0);
        cr_expect_eq(result.connections, 6);
        cr_expect_eq(s.drops, 5);
        cr_expect_eq(samples_at_least_once(&s), RIDE_S, "%u", samples_at_least_once(&s));
        cr_expect_geq(result.resent, 5, "window %u", windows[i]);
        cr_expect_geq(s.dups, 5, "a repetition says so");
        cr_expect_eq(result.samples, RIDE_S);
        cr_expect(result.failure[0] != '\0');
    }
}

Test(sim, a_refused_message_is_counted_with_its_reason_and_not_repeated)
{
    struct server s = {.version = MQTT_V5, .refuse_nth = 4};
    struct sim_result result;

    play(&s, &result, 4);
    cr_expect_eq(result.refused, 1);
    cr_expect_eq(result.resent, 0);
    cr_expect_eq(result.samples, RIDE_S - 10);
    cr_expect_eq(result.acknowledged, result.messages - 1);
    cr_assert_eq(result.reason_count, 1);
    cr_expect_eq(result.reasons[0].count, 1);
    cr_expect_str_eq(result.reasons[0].text, mqtt_reason_text(MQTT_PAYLOAD_FORMAT_INVALID));
}

Test(sim, a_server_that_refuses_ends_it_in_bounded_time)
{
    struct server s = {.version = MQTT_V5, .greet = MQTT_NOT_AUTHORIZED};
    struct sim_result result;

    play(&s, &result, 4);
    cr_expect_eq(result.bikes_failed, 1);
    cr_expect_eq(result.bikes_done, 0);
    cr_expect_eq(result.connections, 0);
    cr_expect_eq(s.connections, SIM_TRIES_MAX);
    cr_expect(strstr(result.failure, "refused the connection"), "%s", result.failure);
}

Test(sim, a_server_that_does_not_keep_to_the_standard_is_left)
{
    static const struct {
        struct str greeting;
        const char *says;
    } rows[] = {
        {{"HTTP/1.1 400 Bad Request\r\n\r\n", 28}, "malformed"},
        {{"\x20\x03\x00\x00\x00\x40\x02\x00\x09", 9}, "acknowledged what was not sent"},
        {{"\x20\x03\x00\x00\x00\x20\x03\x00\x00\x00", 10}, "second CONNACK"},
        {{"\x20\x03\x00\x00\x00\xe0\x02\x8b\x00", 9}, "the server disconnected"},
        {{"\x20\x03\x00\x00\x00\x90\x04\x00\x01\x00\x00", 11}, "nobody asked for"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct server s = {.version = MQTT_V5, .greeting = rows[i].greeting};
        struct sim_result result;

        play(&s, &result, 4);
        cr_expect_eq(result.bikes_failed, 1, "row %zu", i);
        cr_expect_eq(result.samples, 0, "row %zu", i);
        cr_expect(strstr(result.failure, rows[i].says), "row %zu: %s", i, result.failure);
    }
}

Test(sim, equal_seeds_give_equal_rides)
{
    struct ride a, b, c;

    ride_model_make(&a, 7, RIDE_S, 0);
    ride_model_make(&b, 7, RIDE_S, 0);
    ride_model_make(&c, 8, RIDE_S, 0);
    cr_expect_eq(memcmp(a.samples, b.samples, RIDE_S * sizeof *a.samples), 0);
    cr_expect_neq(memcmp(a.samples, c.samples, RIDE_S * sizeof *a.samples), 0);
    ride_fini(&a);
    ride_fini(&b);
    ride_fini(&c);
}

Test(sim, generated_rides_keep_the_bounds_of_their_columns)
{
    struct err_detail detail = {""};
    struct schema_set *schemas;
    const struct schema_column *columns;
    size_t count;

    cr_assert_eq(schema_set_load(&schemas, &detail), 0);
    columns = schema_columns(schema_by_id(schemas, 1), &count);
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct ride ride;

        ride_model_make(&ride, seed, 3600, 0);
        for (size_t i = 0; i < ride.count; i++)
            for (unsigned c = 0; c < RIDE_COLUMNS; c++)
                cr_assert(!(ride.samples[i].present >> c & 1) ||
                              (ride.samples[i].values[c] >= columns[c].min &&
                               ride.samples[i].values[c] <= columns[c].max),
                          "seed %llu, second %zu: %s", (unsigned long long)seed, i,
                          columns[c].name);
        ride_fini(&ride);
    }
    schema_set_free(schemas);
}
