#include "test/unit/codec/judge.h"

Test(publish, fields)
{
    struct wire w = wire_of("<'a/b'> 1234 [02 0000003C 26 <'k'> <'v'>] 'hello'");
    struct mqtt_packet packet;
    const struct mqtt_publish *p = &packet.publish;

    cr_assert_eq(wire_decode(MQTT_V5, 0x3B, &w, &packet), MQTT_OK);
    cr_expect_eq(packet.type, MQTT_PUBLISH);
    cr_expect(str_equal(p->topic, STR_LITERAL("a/b")));
    cr_expect(str_equal(p->payload, STR_LITERAL("hello")));
    cr_expect_eq(p->packet_id, 0x1234);
    cr_expect_eq(p->qos, 1);
    cr_expect(p->dup && p->retain);
    cr_expect_eq(p->properties.present, (1u << MQTT_PROP_MESSAGE_EXPIRY | 1u << MQTT_PROP_USER));
    cr_expect_eq(p->properties.message_expiry_s, 60);
    cr_expect_eq(p->properties.user_count, 1);
    cr_expect_eq(p->properties.raw.len, 12);
}

/* A list without entries leaves nothing behind from the packet before. */
Test(publish, empty_list_is_cleared)
{
    struct wire full = wire_of("<'a'> [26 <'k'> <'v'>]"), empty = wire_of("<'a'> 00");
    struct mqtt_packet packet;

    cr_assert_eq(wire_decode(MQTT_V5, 0x30, &full, &packet), MQTT_OK);
    cr_assert_eq(wire_decode(MQTT_V5, 0x30, &empty, &packet), MQTT_OK);
    cr_expect_eq(packet.publish.properties.present, 0);
    cr_expect_eq(packet.publish.properties.user_count, 0);
    cr_expect_eq(packet.publish.properties.raw.len, 0);
}

Test(v311_publish, fields)
{
    struct wire w = wire_of("<'a/b'> 1234 00 'x'");
    struct mqtt_packet packet;

    cr_assert_eq(wire_decode(MQTT_V311, 0x34, &w, &packet), MQTT_OK);
    cr_expect_eq(packet.publish.qos, 2);
    cr_expect_eq(packet.publish.properties.present, 0);
    cr_expect_eq(packet.publish.payload.len, 2, "no property list before MQTT 5");
}

/* A QoS 0 PUBLISH carries no packet identifier. */
Test(publish, mqtt_2_2_1_2)
{
    struct wire w = wire_of("<'a'> 00 0001");
    struct mqtt_packet packet;

    cr_assert_eq(wire_decode(MQTT_V5, 0x30, &w, &packet), MQTT_OK);
    cr_expect_eq(packet.publish.packet_id, 0);
    cr_expect_eq(packet.publish.payload.len, 2);
}

/* Packet identifier 0 with QoS 1 or 2. */
Test(publish, mqtt_2_2_1_3)
{
    JUDGE(MQTT_V5, {0x32, "<'a'> 0001 00", MQTT_OK}, {0x32, "<'a'> FFFF 00", MQTT_OK},
          {0x32, "<'a'> 0000 00", MQTT_PROTOCOL_ERROR},
          {0x34, "<'a'> 0000 00", MQTT_PROTOCOL_ERROR}, {0x32, "<'a'> 00", MQTT_MALFORMED});
}

Test(v311_publish, mqtt_2_3_1_1)
{
    JUDGE(MQTT_V311, {0x32, "<'a'> 0001", MQTT_OK}, {0x32, "<'a'> 0000", MQTT_PROTOCOL_ERROR},
          {0x32, "<'a'>", MQTT_MALFORMED}, {0x34, "<'a'> 00", MQTT_MALFORMED});
}

/* DUP with QoS 0. */
Test(publish, mqtt_3_3_1_2)
{
    JUDGE(MQTT_V5, {0x38, "<'a'> 00", MQTT_MALFORMED}, {0x39, "<'a'> 00", MQTT_MALFORMED},
          {0x3A, "<'a'> 0001 00", MQTT_OK}, {0x3C, "<'a'> 0001 00", MQTT_OK});
    JUDGE(MQTT_V311, {0x38, "<'a'>", MQTT_MALFORMED}, {0x3A, "<'a'> 0001", MQTT_OK});
}

/* Both QoS bits. */
Test(publish, mqtt_3_3_1_4)
{
    JUDGE(MQTT_V5, {0x36, "<'a'> 0001 00", MQTT_MALFORMED}, {0x3F, "<'a'> 0001 00", MQTT_MALFORMED},
          {0x34, "<'a'> 0001 00", MQTT_OK});
    JUDGE(MQTT_V311, {0x36, "<'a'> 0001", MQTT_MALFORMED}, {0x34, "<'a'> 0001", MQTT_OK});
}

/* The topic name comes first and is a valid string. */
Test(publish, mqtt_3_3_2_1)
{
    JUDGE(MQTT_V5, {0x30, "<'caf' C3A9> 00", MQTT_OK}, {0x30, "<'a' C3> 00", MQTT_MALFORMED},
          {0x30, "<'a' 00> 00", MQTT_MALFORMED}, {0x30, "0003 'ab'", MQTT_MALFORMED},
          {0x30, "00", MQTT_MALFORMED}, {0x30, "", MQTT_MALFORMED},
          {0x30, "<'a'>", MQTT_MALFORMED} /* without a property length */);
}

/* Wildcards in a topic name. */
Test(publish, mqtt_3_3_2_2)
{
    JUDGE(MQTT_V5, {0x30, "<'a/+'> 00", MQTT_MALFORMED}, {0x30, "<'#'> 00", MQTT_MALFORMED},
          {0x30, "<'a+'> 00", MQTT_MALFORMED}, {0x30, "<'a'> 00", MQTT_OK});
    JUDGE(MQTT_V311, {0x30, "<'a/+'>", MQTT_MALFORMED}, {0x30, "<'a/#'>", MQTT_MALFORMED},
          {0x30, "<'a/b'>", MQTT_OK});
}

/* Topic Alias 0. */
Test(publish, mqtt_3_3_2_8)
{
    JUDGE(MQTT_V5, {0x30, "<'a'> [23 0000]", MQTT_TOPIC_ALIAS_INVALID},
          {0x30, "<'a'> [23 0001]", MQTT_OK}, {0x30, "<'a'> [23 FFFF]", MQTT_OK});
}

/* An empty topic name stands for an alias. */
Test(publish, mqtt_4_7_3_1)
{
    JUDGE(MQTT_V5, {0x30, "<> [23 0001]", MQTT_OK}, {0x30, "<> 00", MQTT_PROTOCOL_ERROR});
    JUDGE(MQTT_V311, {0x30, "<>", MQTT_MALFORMED});
}

/* Response Topic: a valid string without wildcards. */
Test(publish, mqtt_3_3_2_13)
{
    JUDGE(MQTT_V5, {0x30, "<'a'> [08 <'r' C3A9>]", MQTT_OK},
          {0x30, "<'a'> [08 <'r' C3>]", MQTT_MALFORMED},
          {0x30, "<'a'> [08 <'r' 00>]", MQTT_MALFORMED});
}

Test(publish, mqtt_3_3_2_14)
{
    JUDGE(MQTT_V5, {0x30, "<'a'> [08 <'r/s'>]", MQTT_OK},
          {0x30, "<'a'> [08 <'r/+'>]", MQTT_MALFORMED}, {0x30, "<'a'> [08 <'#'>]", MQTT_MALFORMED},
          {0x30, "<'a'> [08 <>]", MQTT_MALFORMED});
}

/* Content Type is a valid string. */
Test(publish, mqtt_3_3_2_19)
{
    JUDGE(MQTT_V5, {0x30, "<'a'> [03 <'text/plain'>]", MQTT_OK}, {0x30, "<'a'> [03 <>]", MQTT_OK},
          {0x30, "<'a'> [03 <EDA080>]", MQTT_MALFORMED});
}

/* Our limits answer with a reason of their own. */
Test(publish, topic_limits)
{
    JUDGE(MQTT_V5, {0x30, "<'1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16'> 00", MQTT_OK},
          {0x30, "<'1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/'> 00", MQTT_TOPIC_NAME_INVALID},
          {0x30, "<'a' 0A> 00", MQTT_TOPIC_NAME_INVALID},
          {0x30, "<'a' 7F> 00", MQTT_TOPIC_NAME_INVALID},
          {0x30, "<'a' C285> 00", MQTT_TOPIC_NAME_INVALID});
}

Test(publish, encodes_what_it_decodes)
{
    struct wire w = wire_of("32 [<'a/b'> 1234 [02 0000003C] 'hello']");
    struct wire body = wire_of("<'a/b'> 1234 [02 0000003C] 'hello'");
    struct mqtt_packet packet;
    uint8_t to[64];

    cr_assert_eq(wire_decode(MQTT_V5, 0x32, &body, &packet), MQTT_OK);
    cr_assert_eq(packet_encode(MQTT_V5, &packet, to, w.len), w.len);
    cr_expect_eq(memcmp(to, w.bytes, w.len), 0);
    for (size_t room = 0; room < w.len; room++)
        cr_expect_eq(packet_encode(MQTT_V5, &packet, to, room), 0, "in %zu bytes", room);
}

Test(publish, refuses_to_encode_the_impossible)
{
    struct mqtt_packet packet = {.type = MQTT_PUBLISH, .publish = {.topic = STR_LITERAL("a")}};
    struct mqtt_publish *p = &packet.publish;
    static char long_topic[65536];
    uint8_t to[64];

    cr_expect_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), 6);
    p->dup = true; /* [MQTT-3.3.1-2] */
    cr_expect_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), 0);
    p->qos = 1; /* without a packet id [MQTT-2.2.1-4] */
    cr_expect_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), 0);
    p->packet_id = 1;
    cr_expect_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), 8);
    p->qos = 3;
    cr_expect_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), 0);
    p->qos = 2;
    p->topic = str_of_bytes(long_topic, sizeof long_topic);
    cr_expect_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), 0);
    p->topic = STR_LITERAL("a");
    p->properties.present = 1u << MQTT_PROP_SESSION_EXPIRY; /* of another packet */
    cr_expect_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), 0);
}

/* The raw form says where to patch. */
Test(publish, encode_raw)
{
    struct wire raw = wire_of("03 <'text'> 02 00000E10 26 <'k'> <'v'>");
    struct wire v5 = wire_of("3A [<'a/b'> 0007 [03 <'text'> 02 00000E10 26 <'k'> <'v'>] 'pay']");
    struct wire v311 = wire_of("3A [<'a/b'> 0007 'pay']");
    struct mqtt_publish p = {.topic = STR_LITERAL("a/b"),
                             .payload = STR_LITERAL("pay"),
                             .packet_id = 7,
                             .qos = 1,
                             .dup = true,
                             .properties.raw = wire_str(&raw)};
    uint32_t packet_id_at, expiry_at;
    uint8_t to[64];

    cr_assert_eq(publish_encoded_bytes(MQTT_V5, &p), v5.len);
    cr_assert_eq(publish_encode_raw(MQTT_V5, &p, to, v5.len, &packet_id_at, &expiry_at), v5.len);
    cr_expect_eq(memcmp(to, v5.bytes, v5.len), 0);
    cr_expect_eq(packet_id_at, 7);
    cr_expect_eq(expiry_at, 18);
    cr_expect_eq(memcmp(to + expiry_at, "\x00\x00\x0E\x10", 4), 0);
    cr_expect_eq(publish_encode_raw(MQTT_V5, &p, to, v5.len - 1, &packet_id_at, &expiry_at), 0);

    cr_assert_eq(publish_encoded_bytes(MQTT_V311, &p), v311.len);
    cr_assert_eq(publish_encode_raw(MQTT_V311, &p, to, sizeof to, &packet_id_at, &expiry_at),
                 v311.len);
    cr_expect_eq(memcmp(to, v311.bytes, v311.len), 0);
    cr_expect_eq(packet_id_at, 7);
    cr_expect_eq(expiry_at, 0);

    p.qos = 0;
    p.dup = false;
    p.properties.raw = (struct str){NULL, 0};
    cr_assert_eq(publish_encode_raw(MQTT_V5, &p, to, sizeof to, &packet_id_at, &expiry_at), 11);
    cr_expect_eq(packet_id_at, 0);
    cr_expect_eq(expiry_at, 0);
}

/* Properties that go on unaltered: what comes in goes out byte for byte, in its order. */
static void goes_on(const char *list)
{
    struct wire raw = wire_of(list), body = wire_of("<'t'>");
    struct mqtt_packet packet;
    struct mqtt_publish again;
    uint32_t packet_id_at, expiry_at;
    uint8_t to[128];
    size_t len;

    body.bytes[body.len++] = (uint8_t)raw.len;
    wire_add(&body, list);
    cr_assert_eq(wire_decode(MQTT_V5, 0x30, &body, &packet), MQTT_OK, "%s", list);
    len = publish_encode_raw(MQTT_V5, &packet.publish, to, sizeof to, &packet_id_at, &expiry_at);
    cr_assert_eq(len, body.len + 2);
    cr_assert_eq(publish_decode(MQTT_V5, 0, str_of_bytes(to + 2, len - 2), &again), MQTT_OK);
    cr_expect(str_equal(again.properties.raw, wire_str(&raw)), "%s", list);
}

Test(publish, mqtt_3_3_2_4)
{
    goes_on("01 01");
    goes_on("01 00");
}

Test(publish, mqtt_3_3_2_15)
{
    goes_on("08 <'reply/' C3A9>");
}

Test(publish, mqtt_3_3_2_16)
{
    goes_on("09 <00FF00>");
    goes_on("09 <>");
}

Test(publish, mqtt_3_3_2_17)
{
    goes_on("26 <'b'> <'1'> 26 <'a'> <'2'> 26 <'b'> <'1'>");
}

Test(publish, mqtt_3_3_2_20)
{
    goes_on("03 <'text/plain'> 26 <'a'> <'2'> 01 01");
}

/* A QoS 0 PUBLISH with DUP is not made. */
Test(publish, mqtt_4_3_1_1)
{
    struct mqtt_publish p = {.topic = STR_LITERAL("t"), .dup = true};
    uint32_t packet_id_at, expiry_at;
    uint8_t to[16];

    cr_expect_eq(publish_encode_raw(MQTT_V5, &p, to, sizeof to, &packet_id_at, &expiry_at), 0);
    p.dup = false;
    cr_expect_eq(publish_encode_raw(MQTT_V5, &p, to, sizeof to, &packet_id_at, &expiry_at), 6);
    cr_expect_eq(to[0], 0x30);
}

/* The exact size at each step of the Remaining Length. */
Test(publish, encoded_bytes)
{
    static const size_t payloads[] = {0, 122, 123, 16378, 16379, 2097146, 2097147};
    static char payload[2097152];
    static uint8_t to[2097152 + 16];
    uint32_t packet_id_at, expiry_at;

    for (size_t i = 0; i < ARRAY_LEN(payloads); i++) {
        struct mqtt_publish p = {.topic = STR_LITERAL("ab"),
                                 .payload = str_of_bytes(payload, payloads[i])};
        size_t bytes = publish_encoded_bytes(MQTT_V5, &p);

        cr_expect_eq(publish_encode_raw(MQTT_V5, &p, to, bytes, &packet_id_at, &expiry_at), bytes,
                     "payload of %zu", payloads[i]);
    }
}

Test(publish, puback_of_the_hot_path)
{
    uint8_t to[4];

    cr_assert_eq(puback_encode_ok(to, 0x1234), 4);
    cr_expect_eq(memcmp(to, "\x40\x02\x12\x34", 4), 0);
    cr_expect_eq(wire_judge(MQTT_V5, 0x40, "1234"), MQTT_OK);
    cr_expect_eq(wire_judge(MQTT_V311, 0x40, "1234"), MQTT_OK);
}
