/* test/fuzz/fuzz_stream.h -- a stream of packets, as one piece and in random segments: the outcome
 * must be the same, and whatever decodes must encode to a packet that says the same. */
#ifndef FREEHUB_TEST_FUZZ_FUZZ_STREAM_H
#define FREEHUB_TEST_FUZZ_FUZZ_STREAM_H

#include "broker/codec/topic.h"
#include "test/unit/codec/packet_equal.h"
#include "test/unit/codec/wire.h"

#include <stdlib.h>

/* Of libFuzzer. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t len, size_t max);

enum { FUZZ_PACKET_MAX = 65536, FUZZ_PACKETS_MAX = 64 };

/* What became of a stream: the end of each packet, and why it stopped. */
struct fuzz_outcome {
    size_t count;
    size_t ends[FUZZ_PACKETS_MAX];
    enum mqtt_type types[FUZZ_PACKETS_MAX];
    enum mqtt_reason reason;
};

static inline void fuzz_again(enum mqtt_version version, const struct mqtt_packet *packet)
{
    static uint8_t to[2 * FUZZ_PACKET_MAX];
    size_t len = packet_encode(version, packet, to, sizeof to);
    struct mqtt_packet again;
    enum mqtt_reason reason;
    struct frame frame;

    ASSERT(len > 0);
    ASSERT(frame_next(str_of_bytes(to, len), MQTT_PACKET_MAX, &frame, &reason) == FRAME_WHOLE);
    ASSERT(len == frame.head_bytes + frame.body_bytes);
    ASSERT(packet_decode(version, &frame, str_of_bytes(to + frame.head_bytes, frame.body_bytes),
                         &again) == MQTT_OK);
    ASSERT(packet_equal(packet, &again));
    ASSERT(packet_encode(version, packet, to, len) == len);
    ASSERT(packet_encode(version, packet, to, len - 1) == 0);
}

/* The form of the hot path says the same as the form from members. */
static inline void fuzz_raw(enum mqtt_version version, const struct mqtt_publish *publish)
{
    static uint8_t to[2 * FUZZ_PACKET_MAX];
    uint32_t packet_id_at, expiry_at;
    size_t len = publish_encode_raw(version, publish, to, sizeof to, &packet_id_at, &expiry_at);
    struct mqtt_publish again;
    enum mqtt_reason reason;
    struct frame frame;

    ASSERT(len > 0 && len == publish_encoded_bytes(version, publish));
    ASSERT(frame_next(str_of_bytes(to, len), MQTT_PACKET_MAX, &frame, &reason) == FRAME_WHOLE);
    ASSERT(publish_decode(version, frame.flags,
                          str_of_bytes(to + frame.head_bytes, frame.body_bytes),
                          &again) == MQTT_OK);
    ASSERT(publish_equal(publish, &again));
    ASSERT((packet_id_at > 0) == (publish->qos > 0));
    if (packet_id_at)
        ASSERT((to[packet_id_at] << 8 | to[packet_id_at + 1]) == publish->packet_id);
    ASSERT((expiry_at > 0) == mqtt_has(&again.properties, MQTT_PROP_MESSAGE_EXPIRY));
}

/* A body in a block of its own, so that AddressSanitizer sees every byte that is read too far. */
static inline enum mqtt_reason fuzz_decode(enum mqtt_version version, const struct frame *frame,
                                           const uint8_t *body)
{
    uint8_t *copy = malloc(frame->body_bytes ? frame->body_bytes : 1);
    enum mqtt_version spoken = version;
    struct mqtt_packet packet;
    enum mqtt_reason reason;

    memset(&packet, 0xA5, sizeof packet); /* what is not set must not be read */
    memcpy(copy, body, frame->body_bytes);
    reason = packet_decode(version, frame, str_of_bytes(copy, frame->body_bytes), &packet);
    if (reason == MQTT_OK) {
        if (packet.type == MQTT_CONNECT)
            spoken = packet.connect.version;
        fuzz_again(spoken, &packet);
        if (packet.type == MQTT_PUBLISH)
            fuzz_raw(version, &packet.publish);
    }
    free(copy);
    return reason;
}

/* Feed the stream in pieces of 1..`most` bytes, chosen by `seed`. */
static inline void fuzz_stream(enum mqtt_version version, const uint8_t *bytes, size_t len,
                               size_t most, uint32_t seed, struct fuzz_outcome *out)
{
    size_t have = 0, done = 0;

    memset(out, 0, sizeof *out); /* the padding too, for memcmp() */
    while (out->count < FUZZ_PACKETS_MAX) {
        struct frame frame;
        enum frame_state state = frame_next(str_of_bytes(bytes + done, have - done),
                                            FUZZ_PACKET_MAX, &frame, &out->reason);

        if (state == FRAME_BAD)
            return;
        if (state == FRAME_MORE) {
            if (have == len)
                return;
            seed = seed * 1664525 + 1013904223;
            have += 1 + (seed >> 8) % most;
            have = have < len ? have : len;
            continue;
        }
        ASSERT(frame.head_bytes + frame.body_bytes <= have - done);
        out->reason = fuzz_decode(version, &frame, bytes + done + frame.head_bytes);
        if (out->reason)
            return;
        done += frame.head_bytes + frame.body_bytes;
        out->types[out->count] = frame.type;
        out->ends[out->count++] = done;
    }
}

static inline void fuzz_segments(enum mqtt_version version, const uint8_t *bytes, size_t len)
{
    static struct fuzz_outcome whole, pieces;
    uint32_t seed = (uint32_t)len;

    for (size_t i = 0; i < len; i++)
        seed = seed * 31 + bytes[i];
    fuzz_stream(version, bytes, len, len + 1, seed, &whole);
    fuzz_stream(version, bytes, len, 1, seed, &pieces);
    ASSERT(memcmp(&whole, &pieces, sizeof whole) == 0);
    fuzz_stream(version, bytes, len, 7, seed, &pieces);
    ASSERT(memcmp(&whole, &pieces, sizeof whole) == 0);
}

/* What no mutation finds by itself: whole packets, put in front of or behind what is there. */
static inline size_t fuzz_mutate(const char *const *packets, size_t count, uint8_t *data,
                                 size_t len, size_t max, unsigned seed)
{
    struct wire w;
    bool front = seed & 1;

    if (seed % 16 >= 2)
        return LLVMFuzzerMutate(data, len, max);
    w = wire_of(packets[(seed >> 8) % count]);
    if (len + w.len > max)
        return LLVMFuzzerMutate(data, len, max);
    if (front)
        memmove(data + w.len, data, len);
    memcpy(data + (front ? 0 : len), w.bytes, w.len);
    return len + w.len;
}

#endif
