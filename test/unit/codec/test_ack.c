#include "test/unit/codec/judge.h"

Test(ack, fields)
{
    struct wire w = wire_of("1234 97 [1F <'full'>]");
    struct mqtt_packet packet;

    cr_assert_eq(wire_decode(MQTT_V5, 0x40, &w, &packet), MQTT_OK);
    cr_expect_eq(packet.ack.packet_id, 0x1234);
    cr_expect_eq(packet.ack.reason, MQTT_QUOTA_EXCEEDED);
    cr_expect(str_equal(packet.ack.properties.reason_string, STR_LITERAL("full")));
}

/* Reason code and property length may be left out. */
Test(ack, short_forms)
{
    static const struct {
        const char *body;
        enum mqtt_reason reason;
    } rows[] = {{"0001", MQTT_OK},
                {"0001 00", MQTT_OK},
                {"0001 10", MQTT_NO_MATCHING_SUBSCRIBERS},
                {"0001 10 00", MQTT_NO_MATCHING_SUBSCRIBERS}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire w = wire_of(rows[i].body);
        struct mqtt_packet packet;

        cr_assert_eq(wire_decode(MQTT_V5, 0x40, &w, &packet), MQTT_OK, "%s", rows[i].body);
        cr_expect_eq(packet.ack.reason, rows[i].reason, "%s", rows[i].body);
        cr_expect_eq(packet.ack.properties.present, 0);
    }
}

/* The packet identifier is there and is not 0; 3.1.1 has nothing else. */
Test(ack, mqtt_2_2_1_5)
{
    static const uint8_t firsts[] = {0x40, 0x50, 0x62, 0x70};

    for (size_t i = 0; i < ARRAY_LEN(firsts); i++) {
        cr_expect_eq(wire_judge(MQTT_V5, firsts[i], "FFFF"), MQTT_OK);
        cr_expect_eq(wire_judge(MQTT_V5, firsts[i], "0000"), MQTT_PROTOCOL_ERROR);
        cr_expect_eq(wire_judge(MQTT_V5, firsts[i], "01"), MQTT_MALFORMED);
        cr_expect_eq(wire_judge(MQTT_V5, firsts[i], ""), MQTT_MALFORMED);
        cr_expect_eq(wire_judge(MQTT_V5, firsts[i], "0001 00 00 00"), MQTT_MALFORMED);
        cr_expect_eq(wire_judge(MQTT_V5, firsts[i], "0001 00 01"), MQTT_MALFORMED);
    }
}

Test(v311_ack, no_trailing_bytes)
{
    static const uint8_t firsts[] = {0x40, 0x50, 0x62, 0x70, 0xB0};

    for (size_t i = 0; i < ARRAY_LEN(firsts); i++) {
        cr_expect_eq(wire_judge(MQTT_V311, firsts[i], "FFFF"), MQTT_OK);
        cr_expect_eq(wire_judge(MQTT_V311, firsts[i], "0000"), MQTT_PROTOCOL_ERROR);
        cr_expect_eq(wire_judge(MQTT_V311, firsts[i], "0001 00"), MQTT_MALFORMED);
        cr_expect_eq(wire_judge(MQTT_V311, firsts[i], "00"), MQTT_MALFORMED);
    }
}

/* All 256 codes of one type: exactly the listed ones decode; the others are malformed when nobody
 * has them, a protocol error when another packet does. */
static void judge_codes(uint8_t first, const char *head, const uint8_t *listed, size_t count)
{
    static const uint8_t defined[] = {
        0x00, 0x01, 0x02, 0x04, 0x10, 0x11, 0x18, 0x19, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86,
        0x87, 0x88, 0x89, 0x8A, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x91, 0x92, 0x93, 0x94, 0x95,
        0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2};

    for (unsigned code = 0; code < 256; code++) {
        struct wire w = wire_of(head);
        struct mqtt_packet packet;
        enum mqtt_reason expected = MQTT_MALFORMED;

        w.bytes[w.len++] = (uint8_t)code;
        if (first == 0xF0) /* AUTH says its method */
            wire_add(&w, "[15 <'m'>]");
        if (memchr(defined, (int)code, sizeof defined))
            expected = MQTT_PROTOCOL_ERROR;
        if (memchr(listed, (int)code, count))
            expected = MQTT_OK;
        cr_expect_eq(wire_decode(MQTT_V5, first, &w, &packet), expected,
                     "first byte %02X, code %02X", first, code);
        if (expected == MQTT_OK && first != 0x90 && first != 0xB0)
            cr_expect_eq(packet.ack.reason, code);
    }
}

#define JUDGE_CODES(first, head, ...)                                                              \
    do {                                                                                           \
        static const uint8_t listed[] = {__VA_ARGS__};                                             \
        judge_codes((first), (head), listed, sizeof listed);                                       \
    } while (0)

Test(puback, mqtt_3_4_2_1)
{
    JUDGE_CODES(0x40, "0001", 0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99);
}

Test(pubrec, mqtt_3_5_2_1)
{
    JUDGE_CODES(0x50, "0001", 0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99);
}

Test(pubrel, mqtt_3_6_2_1)
{
    JUDGE_CODES(0x62, "0001", 0x00, 0x92);
}

Test(pubcomp, mqtt_3_7_2_1)
{
    JUDGE_CODES(0x70, "0001", 0x00, 0x92);
}

Test(suback, mqtt_3_9_3_2)
{
    JUDGE_CODES(0x90, "0001 00", 0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1,
                0xA2);
}

Test(unsuback, mqtt_3_11_3_2)
{
    JUDGE_CODES(0xB0, "0001 00", 0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91);
}

Test(disconnect, mqtt_3_14_2_1)
{
    JUDGE_CODES(0xE0, "", 0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E,
                0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E,
                0x9F, 0xA0, 0xA1, 0xA2);
}

Test(auth, mqtt_3_15_2_1)
{
    JUDGE_CODES(0xF0, "", 0x00, 0x18, 0x19);
}

/* The encoder keeps the same lists. */
Test(ack, encodes_listed_codes_only)
{
    struct mqtt_packet packet = {.type = MQTT_PUBACK, .ack.packet_id = 1};
    uint8_t to[8];

    packet.ack.reason = MQTT_PACKET_ID_NOT_FOUND;
    cr_expect_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), 0);
    packet.ack.reason = MQTT_QUOTA_EXCEEDED;
    cr_expect_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), 5);
    packet.ack.packet_id = 0;
    cr_expect_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), 0);
}

/* No properties is said by leaving out the length where that is allowed, else by 0. */
Test(ack, mqtt_2_2_2_1)
{
    struct mqtt_packet connack = {.type = MQTT_CONNACK}, ack = {.type = MQTT_DISCONNECT};
    uint8_t to[8];

    cr_assert_eq(packet_encode(MQTT_V5, &connack, to, sizeof to), 5);
    cr_expect_eq(to[4], 0);
    cr_assert_eq(packet_encode(MQTT_V5, &ack, to, sizeof to), 2);
    ack.ack.reason = MQTT_SERVER_SHUTTING_DOWN;
    cr_assert_eq(packet_encode(MQTT_V5, &ack, to, sizeof to), 3);
    cr_expect_eq(memcmp(to, "\xE0\x01\x8B", 3), 0);
}

/* PINGREQ and PINGRESP have no body. */
Test(ping, mqtt_3_12_4_1)
{
    JUDGE(MQTT_V5, {0xC0, "", MQTT_OK}, {0xC0, "00", MQTT_MALFORMED}, {0xD0, "", MQTT_OK},
          {0xD0, "00", MQTT_MALFORMED});
    JUDGE(MQTT_V311, {0xC0, "", MQTT_OK}, {0xC0, "00", MQTT_MALFORMED}, {0xD0, "", MQTT_OK},
          {0xD0, "00", MQTT_MALFORMED});
}

/* The flags of PUBREL are 0010. */
Test(pubrel, mqtt_3_6_1_1)
{
    JUDGE(MQTT_V5, {0x62, "0001", MQTT_OK}, {0x60, "0001", MQTT_MALFORMED},
          {0x63, "0001", MQTT_MALFORMED}, {0x66, "0001", MQTT_MALFORMED});
}

Test(disconnect, mqtt_3_14_1_1)
{
    JUDGE(MQTT_V5, {0xE0, "", MQTT_OK}, {0xE1, "", MQTT_MALFORMED}, {0xE8, "", MQTT_MALFORMED},
          {0xE0, "00 [11 00000001]", MQTT_OK}, {0xE0, "00 00 00", MQTT_MALFORMED},
          {0xE0, "00 05", MQTT_MALFORMED});
    JUDGE(MQTT_V311, {0xE0, "", MQTT_OK}, {0xE0, "00", MQTT_MALFORMED}, {0xE2, "", MQTT_MALFORMED});
}

Test(auth, mqtt_3_15_1_1)
{
    JUDGE(MQTT_V5, {0xF0, "18 [15 <'m'>]", MQTT_OK}, {0xF1, "18 [15 <'m'>]", MQTT_MALFORMED});
    JUDGE(MQTT_V311, {0xF0, "", MQTT_MALFORMED}, {0xF0, "18 [15 <'m'>]", MQTT_MALFORMED});
}

/* AUTH names its method, unless all of it is left out (section 3.15.2.2.2). */
Test(auth, method)
{
    JUDGE(MQTT_V5, {0xF0, "", MQTT_OK}, {0xF0, "00 00", MQTT_PROTOCOL_ERROR},
          {0xF0, "18", MQTT_PROTOCOL_ERROR}, {0xF0, "18 [1F <'r'>]", MQTT_PROTOCOL_ERROR},
          {0xF0, "18 [16 <'d'>]", MQTT_PROTOCOL_ERROR}, {0xF0, "18 [15 <'m'> 16 <'d'>]", MQTT_OK});
}
