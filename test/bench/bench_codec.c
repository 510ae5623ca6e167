/* How long framing, decoding and checking the topic of one PUBLISH takes, and answering it:
 * `bench_codec [ROUNDS]` prints one JSON object a line. The messages are a bike's one-sample
 * batches, one behind the other in a buffer as a socket gives them. */
#include "broker/codec/packet.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MESSAGES = 256, PAYLOAD_BYTES = 48, BUFFER_BYTES = 65536, ROUNDS = 20000 };

static uint8_t buffer[BUFFER_BYTES];

static size_t fill(enum mqtt_version version, struct str properties)
{
    static const char payload[PAYLOAD_BYTES];
    size_t len = 0;

    for (unsigned i = 0; i < MESSAGES; i++) {
        struct mqtt_packet packet = {.type = MQTT_PUBLISH};
        char topic[32];

        snprintf(topic, sizeof topic, "v1/b/bike-%05u/tel", i);
        packet.publish = (struct mqtt_publish){.topic = str_from(topic),
                                               .qos = 1,
                                               .packet_id = (uint16_t)(i + 1),
                                               .payload = str_of_bytes(payload, sizeof payload),
                                               .properties.raw = properties};
        len += packet_encode(version, &packet, buffer + len, sizeof buffer - len);
    }
    return len;
}

/* Time of this process alone, so that its neighbours do not count. */
static double cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Everything in the buffer once; the sum keeps the compiler from leaving something out. */
static uint64_t decode_all(enum mqtt_version version, size_t len)
{
    struct str rest = str_of_bytes(buffer, len);
    struct mqtt_publish publish;
    enum mqtt_reason reason;
    struct frame frame;
    uint64_t sum = 0;
    uint8_t ack[4];

    while (frame_next(rest, BUFFER_BYTES, &frame, &reason) == FRAME_WHOLE) {
        struct str body = str_of_bytes(rest.at + frame.head_bytes, frame.body_bytes);

        if (publish_decode(version, frame.flags, body, &publish))
            exit(1);
        sum += puback_encode_ok(ack, publish.packet_id) + ack[3] + publish.payload.len;
        rest.at += frame.head_bytes + frame.body_bytes;
        rest.len -= frame.head_bytes + frame.body_bytes;
    }
    return sum;
}

static void measure(const char *what, enum mqtt_version version, struct str properties,
                    unsigned rounds)
{
    size_t len = fill(version, properties);
    uint64_t sum = decode_all(version, len);
    double begin_ns = cpu_ns(), took_ns;

    for (unsigned round = 0; round < rounds; round++)
        sum += decode_all(version, len);
    took_ns = cpu_ns() - begin_ns;
    printf("{\"figure\":\"publish_decode\",\"version\":\"%s\",\"value\":%.1f,\"unit\":\"ns\","
           "\"clock\":\"cpu\",\"sum\":%llu}\n",
           what, took_ns / ((double)rounds * MESSAGES), (unsigned long long)sum);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : ROUNDS;

    if (rounds == 0) {
        fprintf(stderr, "usage: bench_codec [ROUNDS]\n");
        return 2;
    }
    measure("3.1.1", MQTT_V311, (struct str){NULL, 0}, rounds);
    measure("5", MQTT_V5, (struct str){NULL, 0}, rounds);
    measure("5 with a user property", MQTT_V5, STR_LITERAL("\x26\0\1k\0\1v"), rounds);
    return 0;
}
