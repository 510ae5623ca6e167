#include "test/unit/codec/judge.h"
#include "test/unit/codec/packet_equal.h"

static enum frame_state next(const struct wire *w, uint32_t max, struct frame *frame,
                             enum mqtt_reason *reason)
{
    *reason = MQTT_OK;
    return frame_next(wire_str(w), max, frame, reason);
}

Test(frame, states)
{
    static const struct {
        const char *bytes;
        enum frame_state state;
        uint32_t head_bytes, body_bytes;
    } rows[] = {
        {"", FRAME_MORE, 0, 0},
        {"30", FRAME_MORE, 0, 0},
        {"30 03", FRAME_MORE, 2, 3},
        {"30 03 0001", FRAME_MORE, 2, 3},
        {"30 80", FRAME_MORE, 0, 0},
        {"30 8001", FRAME_MORE, 3, 128},
        {"C0 00", FRAME_WHOLE, 2, 0},
        {"C0 00 C0", FRAME_WHOLE, 2, 0},
        {"40 02 0001", FRAME_WHOLE, 2, 2},
        {"30 FFFFFF7F", FRAME_MORE, 5, 268435455},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire w = wire_of(rows[i].bytes);
        enum mqtt_reason reason;
        struct frame frame;

        cr_expect_eq(next(&w, MQTT_PACKET_MAX, &frame, &reason), rows[i].state, "%s",
                     rows[i].bytes);
        cr_expect_eq(frame.head_bytes, rows[i].head_bytes, "%s", rows[i].bytes);
        cr_expect_eq(frame.body_bytes, rows[i].body_bytes, "%s", rows[i].bytes);
    }
}

/* A Remaining Length that is over-long or has a fifth byte. */
Test(frame, mqtt_1_5_5_1)
{
    static const struct {
        const char *bytes;
        bool bad;
    } rows[] = {{"30 8000", true},     {"30 808000", true},   {"30 80808000", true},
                {"30 FF00", true},     {"30 80808080", true}, {"30 FFFFFFFF", true},
                {"30 00", false},      {"30 8001", false},    {"30 808001", false},
                {"30 80808001", false}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire w = wire_of(rows[i].bytes);
        enum mqtt_reason reason;
        struct frame frame;
        enum frame_state state = next(&w, MQTT_PACKET_MAX, &frame, &reason);

        cr_expect_eq(state == FRAME_BAD, rows[i].bad, "%s", rows[i].bytes);
        cr_expect(!rows[i].bad || reason == MQTT_MALFORMED, "%s", rows[i].bytes);
    }
}

/* Every type with every low nibble, told from the first byte alone. The rules of the single types
 * are 3.6.1-1, 3.8.1-1, 3.10.1-1, 3.14.1-1 and 3.15.1-1. */
Test(frame, mqtt_2_1_3_1)
{
    static const int flags_of[MQTT_TYPE_COUNT] = {
        [MQTT_RESERVED] = -1, [MQTT_PUBREL] = 2, [MQTT_SUBSCRIBE] = 2, [MQTT_UNSUBSCRIBE] = 2};

    for (unsigned first = 0; first < 256; first++) {
        unsigned type = first >> 4, flags = first & 0x0F;
        bool good = type == MQTT_PUBLISH || flags_of[type] == (int)flags;
        uint8_t byte = (uint8_t)first;
        enum mqtt_reason reason = MQTT_OK;
        struct frame frame;

        cr_expect_eq(frame_next(str_of_bytes(&byte, 1), MQTT_PACKET_MAX, &frame, &reason),
                     good ? FRAME_MORE : FRAME_BAD, "first byte %02X", first);
        cr_expect(good || reason == MQTT_MALFORMED, "first byte %02X", first);
    }
}

/* The decoder keeps the same rule for a caller that frames by itself. */
Test(packet, mqtt_2_1_3_1)
{
    JUDGE(MQTT_V5, {0x62, "0001", MQTT_OK}, {0x60, "0001", MQTT_MALFORMED},
          {0x41, "0001", MQTT_MALFORMED}, {0xC1, "", MQTT_MALFORMED}, {0x00, "", MQTT_MALFORMED},
          {0x82, "0001 00 <'a'> 00", MQTT_OK}, {0x80, "0001 00 <'a'> 00", MQTT_MALFORMED},
          {0xA2, "0001 00 <'a'>", MQTT_OK}, {0xA3, "0001 00 <'a'>", MQTT_MALFORMED},
          {0xE1, "", MQTT_MALFORMED}, {0xF1, "", MQTT_MALFORMED});
    JUDGE(MQTT_V311, {0x52, "0001", MQTT_MALFORMED}, {0x72, "0001", MQTT_MALFORMED},
          {0xD8, "", MQTT_MALFORMED});
}

/* Too large is known from the header, before the body is there. */
Test(frame, packet_too_large)
{
    static const struct {
        const char *bytes;
        uint32_t max;
        enum frame_state state;
    } rows[] = {{"30 08", 10, FRAME_MORE},
                {"30 09", 10, FRAME_BAD},
                {"30 FFFFFF7F", 65536, FRAME_BAD},
                {"30 FFFFFF7F", MQTT_PACKET_MAX, FRAME_MORE},
                {"30 FFFFFF7F", MQTT_PACKET_MAX - 1, FRAME_BAD},
                {"C0 00", 2, FRAME_WHOLE},
                {"C0 00", 1, FRAME_BAD}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire w = wire_of(rows[i].bytes);
        enum mqtt_reason reason;
        struct frame frame;

        cr_expect_eq(next(&w, rows[i].max, &frame, &reason), rows[i].state, "%s within %u",
                     rows[i].bytes, rows[i].max);
        cr_expect(rows[i].state != FRAME_BAD || reason == MQTT_PACKET_TOO_LARGE, "%s",
                  rows[i].bytes);
    }
}

/* A stream of all types, cut anywhere, gives the same packets: those that decode from the whole. */
static const char *const stream_v5[] = {
    "30 [<'a/b'> [26 <'k'> <'v'> 23 0005] 'payload']",
    "32 [<'a/b/c'> 0001 00]",
    "40 [0001]",
    "40 [0001 10]",
    "50 [0002 00 [1F <'why'>]]",
    "62 [0002]",
    "70 [0002 92 00]",
    "82 [0003 [0B 8001] <'#'> 2C <'$share/g/a/+'> 01]",
    "90 [0003 00 00 01]",
    "A2 [0004 00 <'#'>]",
    "B0 [0004 00 11]",
    "C0 00",
    "D0 00",
    "E0 [04 [11 00000001]]",
    "F0 [18 [15 <'m'> 16 <00>]]",
    "10 [<'MQTT'> 05 C6 003C 00 <'c'> [03 <'t'>] <'w'> <'p'> <'u'> <'q'>]",
    "20 [01 00 [21 0005]]",
};

static uint32_t chance(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 16;
}

Test(packet, bytes_split_anywhere)
{
    struct wire stream = {.len = 0};
    uint32_t seed = 1;

    for (size_t i = 0; i < ARRAY_LEN(stream_v5); i++)
        wire_add(&stream, stream_v5[i]);

    for (int round = 0; round < 500; round++) {
        size_t have = 0, done = 0, count = 0;

        while (done < stream.len) {
            struct mqtt_packet packet, whole;
            enum mqtt_reason reason = MQTT_OK;
            struct frame frame, again;
            struct str body;

            switch (frame_next(str_of_bytes(stream.bytes + done, have - done), MQTT_PACKET_MAX,
                               &frame, &reason)) {
            case FRAME_BAD:
                cr_assert(false, "packet %zu: %s", count, mqtt_reason_text(reason));
                break;
            case FRAME_MORE:
                cr_assert(have < stream.len, "wants more than there is");
                have += 1 + chance(&seed) % 8;
                have = have < stream.len ? have : stream.len;
                continue;
            case FRAME_WHOLE:
                break;
            }
            frame_next(str_of_bytes(stream.bytes + done, stream.len - done), MQTT_PACKET_MAX,
                       &again, &reason);
            cr_assert_eq(again.head_bytes, frame.head_bytes);
            cr_assert_eq(again.body_bytes, frame.body_bytes);
            body = str_of_bytes(stream.bytes + done + frame.head_bytes, frame.body_bytes);
            cr_assert_eq(packet_decode(MQTT_V5, &frame, body, &packet), MQTT_OK, "packet %zu",
                         count);
            cr_assert_eq(packet_decode(MQTT_V5, &again, body, &whole), MQTT_OK);
            cr_assert(packet_equal(&packet, &whole));
            done += frame.head_bytes + frame.body_bytes;
            count++;
        }
        cr_assert_eq(count, ARRAY_LEN(stream_v5));
    }
}

/* What decodes encodes to the same bytes, or at least to a packet that says the same. */
static void round_trip(enum mqtt_version version, const char *text)
{
    struct wire w = wire_of(text);
    struct mqtt_packet packet, again;
    struct frame frame;
    enum mqtt_reason reason;
    uint8_t to[WIRE_MAX];
    size_t len;

    cr_assert_eq(next(&w, MQTT_PACKET_MAX, &frame, &reason), FRAME_WHOLE, "%s", text);
    cr_assert_eq(w.len, frame.head_bytes + frame.body_bytes, "%s", text);
    cr_assert_eq(packet_decode(version, &frame,
                               str_of_bytes(w.bytes + frame.head_bytes, frame.body_bytes), &packet),
                 MQTT_OK, "%s", text);
    len = packet_encode(version, &packet, to, sizeof to);
    cr_assert(len > 0, "%s", text);
    cr_expect_eq(packet_encode(version, &packet, to, len), len, "%s in exact room", text);
    cr_expect_eq(packet_encode(version, &packet, to, len - 1), 0, "%s one byte short", text);
    cr_assert_eq(frame_next(str_of_bytes(to, len), MQTT_PACKET_MAX, &frame, &reason), FRAME_WHOLE);
    cr_assert_eq(len, frame.head_bytes + frame.body_bytes);
    cr_assert_eq(packet_decode(version, &frame,
                               str_of_bytes(to + frame.head_bytes, frame.body_bytes), &again),
                 MQTT_OK, "%s", text);
    cr_expect(packet_equal(&packet, &again), "%s", text);
}

Test(packet, round_trip)
{
    static const char *const more[] = {
        "10 [<'MQTT'> 05 02 0000 00 <>]",
        "10 [<'MQTT'> 05 02 0000 [11 00000001 15 <'m'> 16 <'d'> 17 00 19 01 21 0001 22 0002 "
        "26 <'k'> <'v'> 26 <'k'> <> 27 00000100] <>]",
        "10 [<'MQTT'> 05 36 0000 00 <> [01 01 02 00000001 03 <'t'> 08 <'r'> 09 <'c'> "
        "18 00000001 26 <'k'> <'v'>] <'w'> <>]",
        "20 [00 00 [11 00000001 12 <'id'> 13 0001 15 <'m'> 16 <'d'> 1A <'i'> 1C <'s'> "
        "1F <'r'> 21 0001 22 0000 24 00 25 00 26 <> <> 27 00000001 28 00 29 00 2A 00]]",
        "20 [00 9F 00]",
        "30 [<'t'> [01 00 02 00000000 03 <> 08 <'r'> 09 <> 0B 01 0B 02 0B FFFFFF7F 23 0001 "
        "26 <'a'> <'1'> 26 <'a'> <'2'>] 00FF]",
        "3D [<'t'> FFFF 00]",
        "40 [0001 97 [1F <'full'> 26 <'a'> <'b'>]]",
        "40 [0001 00 [26 <'a'> <'b'>]]",
        "62 [0001 92 [1F <'r'> 26 <'a'> <'b'>]]",
        "70 [0001 00 [1F <'r'> 26 <'a'> <'b'>]]",
        "82 [0001 [0B FF7F 26 <'a'> <'b'>] <'a'> 00 <'b'> 01 <'c'> 02 <'d'> 2E]",
        "90 [0001 [1F <'r'> 26 <'a'> <'b'>] 00 01 02 80 83 87 8F 91 97 9E A1 A2]",
        "A2 [0001 [26 <'a'> <'b'>] <'a'> <'+/#'>]",
        "B0 [0001 [1F <'r'> 26 <'a'> <'b'>] 00 11 80 83 87 8F 91]",
        "E0 00",
        "E0 [8E]",
        "E0 [9C [11 00000000 1C <'s'> 1F <'r'> 26 <'a'> <'b'>]]",
        "F0 00",
        "F0 [19 [15 <'m'> 16 <'d'> 1F <'r'> 26 <'a'> <'b'>]]",
    };

    for (size_t i = 0; i < ARRAY_LEN(stream_v5); i++)
        round_trip(MQTT_V5, stream_v5[i]);
    for (size_t i = 0; i < ARRAY_LEN(more); i++)
        round_trip(MQTT_V5, more[i]);
}

Test(v311_packet, round_trip)
{
    static const char *const rows[] = {
        "10 [<'MQTT'> 04 02 0000 <>]",
        "10 [<'MQTT'> 04 F6 003C <'c'> <'w'> <'p'> <'u'> <'q'>]",
        "20 [01 00]",
        "20 [00 05]",
        "30 [<'t'>]",
        "3D [<'t'> FFFF 'p']",
        "40 [0001]",
        "50 [0001]",
        "62 [0001]",
        "70 [0001]",
        "82 [0001 <'a'> 00 <'#'> 02]",
        "90 [0001 00 01 02 80]",
        "A2 [0001 <'a'> <'+'>]",
        "B0 [0001]",
        "C0 00",
        "D0 00",
        "E0 00",
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        round_trip(MQTT_V311, rows[i]);
}

/* Without properties and reason codes, whatever the struct says. */
Test(v311_packet, encodes_only_what_it_has)
{
    struct mqtt_packet ack = {.type = MQTT_PUBACK,
                              .ack = {.packet_id = 1,
                                      .reason = MQTT_QUOTA_EXCEEDED,
                                      .properties = {.present = 1u << MQTT_PROP_REASON_STRING,
                                                     .reason_string = STR_LITERAL("r")}}};
    struct mqtt_packet auth = {.type = MQTT_AUTH};
    struct mqtt_packet suback = {.type = MQTT_SUBACK,
                                 .suback = {.packet_id = 1, .code_count = 1, .codes = {0x87}}};
    uint8_t to[64];

    cr_expect_eq(packet_encode(MQTT_V311, &ack, to, sizeof to), 4);
    cr_expect_eq(packet_encode(MQTT_V5, &ack, to, sizeof to), 10);
    cr_expect_eq(packet_encode(MQTT_V311, &auth, to, sizeof to), 0);
    cr_expect_eq(packet_encode(MQTT_V5, &auth, to, sizeof to), 2);
    cr_assert_eq(packet_encode(MQTT_V311, &suback, to, sizeof to), 5);
    cr_expect_eq(to[4], 0x80);
}

Test(packet, refuses_to_encode_no_type)
{
    struct mqtt_packet packet = {.type = MQTT_RESERVED};
    uint8_t to[8];

    cr_expect_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), 0);
    packet.type = MQTT_TYPE_COUNT;
    cr_expect_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), 0);
}
