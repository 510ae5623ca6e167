/* The rules of MQTT 3.1.1 under their own numbers. */
#include "test/unit/codec/judge.h"

#define V4 "<'MQTT'> 04 "

/* Well-formed UTF-8, no surrogates. */
Test(v311_string, mqtt_1_5_3_1)
{
    JUDGE(MQTT_V311, {0x10, V4 "02 0000 <'b' C3A9>", MQTT_OK},
          {0x10, V4 "02 0000 <'b' EDA080>", MQTT_MALFORMED},
          {0x10, V4 "02 0000 <'b' C0AF>", MQTT_MALFORMED},
          {0x10, V4 "02 0000 <'b' F4908080>", MQTT_MALFORMED});
}

/* No U+0000. */
Test(v311_string, mqtt_1_5_3_2)
{
    JUDGE(MQTT_V311, {0x10, V4 "02 0000 <'b' 00>", MQTT_MALFORMED},
          {0x10, V4 "02 0000 <'b' 01>", MQTT_OK}, {0x82, "0001 <'a' 00> 00", MQTT_MALFORMED});
}

/* U+FEFF stays. */
Test(v311_string, mqtt_1_5_3_3)
{
    struct wire w = wire_of("<EFBBBF 'a'>");
    struct mqtt_packet packet;

    cr_assert_eq(wire_decode(MQTT_V311, 0x30, &w, &packet), MQTT_OK);
    cr_expect_eq(packet.publish.topic.len, 4);
}

/* Reserved flags have the listed values; the receiver closes otherwise. */
Test(v311_flags, mqtt_2_2_2_1)
{
    JUDGE(MQTT_V311, {0x20, "00 00", MQTT_OK}, {0x40, "0001", MQTT_OK}, {0x50, "0001", MQTT_OK},
          {0x62, "0001", MQTT_OK}, {0x70, "0001", MQTT_OK}, {0xC0, "", MQTT_OK},
          {0xD0, "", MQTT_OK}, {0xE0, "", MQTT_OK});
}

Test(v311_flags, mqtt_2_2_2_2)
{
    JUDGE(MQTT_V311, {0x21, "00 00", MQTT_MALFORMED}, {0x42, "0001", MQTT_MALFORMED},
          {0x51, "0001", MQTT_MALFORMED}, {0x78, "0001", MQTT_MALFORMED},
          {0xC1, "", MQTT_MALFORMED}, {0xD4, "", MQTT_MALFORMED},
          {0x11, V4 "02 0000 <>", MQTT_MALFORMED}, {0x00, "", MQTT_MALFORMED},
          {0xF0, "", MQTT_MALFORMED});
}

/* A QoS 0 PUBLISH has no packet identifier. */
Test(v311_publish, mqtt_2_3_1_5)
{
    struct wire w = wire_of("<'a'> 0001");
    struct mqtt_packet packet;

    cr_assert_eq(wire_decode(MQTT_V311, 0x30, &w, &packet), MQTT_OK);
    cr_expect_eq(packet.publish.packet_id, 0);
    cr_expect_eq(packet.publish.payload.len, 2);
}

Test(v311_connect, mqtt_3_1_2_1)
{
    JUDGE(MQTT_V311, {0x10, V4 "02 0000 <>", MQTT_OK},
          {0x10, "<'MQTX'> 04 02 0000 <>", MQTT_UNSUPPORTED_VERSION});
}

Test(v311_connect, mqtt_3_1_2_2)
{
    JUDGE(MQTT_V311, {0x10, "<'MQTT'> 03 02 0000 <>", MQTT_UNSUPPORTED_VERSION},
          {0x10, "<'MQIsdp'> 03 02 0000 <>", MQTT_UNSUPPORTED_VERSION});
    cr_expect_eq(connack_code_v311(MQTT_UNSUPPORTED_VERSION), 1);
}

Test(v311_connect, mqtt_3_1_2_3)
{
    JUDGE(MQTT_V311, {0x10, V4 "03 0000 <>", MQTT_MALFORMED}, {0x10, V4 "02 0000 <>", MQTT_OK});
}

/* Will Flag 1: topic and message are there. */
Test(v311_connect, mqtt_3_1_2_9)
{
    JUDGE(MQTT_V311, {0x10, V4 "06 0000 <'c'> <'w'> <'p'>", MQTT_OK},
          {0x10, V4 "06 0000 <'c'> <'w'>", MQTT_MALFORMED},
          {0x10, V4 "06 0000 <'c'>", MQTT_MALFORMED});
}

/* Will Flag 0: no topic, no message. */
Test(v311_connect, mqtt_3_1_2_11)
{
    JUDGE(MQTT_V311, {0x10, V4 "02 0000 <'c'> <'w'> <'p'>", MQTT_MALFORMED},
          {0x10, V4 "02 0000 <'c'>", MQTT_OK});
}

Test(v311_connect, mqtt_3_1_2_13)
{
    JUDGE(MQTT_V311, {0x10, V4 "0A 0000 <>", MQTT_MALFORMED},
          {0x10, V4 "0E 0000 <> <'w'> <>", MQTT_OK});
}

Test(v311_connect, mqtt_3_1_2_14)
{
    JUDGE(MQTT_V311, {0x10, V4 "1E 0000 <> <'w'> <>", MQTT_MALFORMED},
          {0x10, V4 "16 0000 <> <'w'> <>", MQTT_OK});
}

Test(v311_connect, mqtt_3_1_2_15)
{
    JUDGE(MQTT_V311, {0x10, V4 "22 0000 <>", MQTT_MALFORMED},
          {0x10, V4 "26 0000 <> <'w'> <>", MQTT_OK});
}

/* User name and password are there when their flags say so, and not else. */
Test(v311_connect, mqtt_3_1_2_18)
{
    JUDGE(MQTT_V311, {0x10, V4 "02 0000 <'c'> <'u'>", MQTT_MALFORMED},
          {0x10, V4 "82 0000 <'c'> <'u'>", MQTT_OK});
}

Test(v311_connect, mqtt_3_1_2_19)
{
    JUDGE(MQTT_V311, {0x10, V4 "82 0000 <'c'>", MQTT_MALFORMED},
          {0x10, V4 "82 0000 <'c'> <>", MQTT_OK});
}

Test(v311_connect, mqtt_3_1_2_20)
{
    JUDGE(MQTT_V311, {0x10, V4 "82 0000 <'c'> <'u'> <'p'>", MQTT_MALFORMED},
          {0x10, V4 "C2 0000 <'c'> <'u'> <'p'>", MQTT_OK});
}

Test(v311_connect, mqtt_3_1_2_21)
{
    JUDGE(MQTT_V311, {0x10, V4 "C2 0000 <'c'> <'u'>", MQTT_MALFORMED},
          {0x10, V4 "C2 0000 <'c'> <'u'> <FF00>", MQTT_OK});
}

/* The fields in their order: the same bytes the other way round say something else. */
Test(v311_connect, mqtt_3_1_3_1)
{
    struct wire w = wire_of(V4 "C6 0000 <'c'> <'w'> <'p'> <'u'> <'q'>");
    struct mqtt_packet packet;
    const struct mqtt_connect *c = &packet.connect;

    cr_assert_eq(wire_decode(MQTT_V311, 0x10, &w, &packet), MQTT_OK);
    cr_expect_eq(c->client_id.at[0], 'c');
    cr_expect_eq(c->will.topic.at[0], 'w');
    cr_expect_eq(c->will.payload.at[0], 'p');
    cr_expect_eq(c->user_name.at[0], 'u');
    cr_expect_eq(c->password.at[0], 'q');
}

Test(v311_connect, mqtt_3_1_3_3)
{
    JUDGE(MQTT_V311, {0x10, V4 "02 0000", MQTT_MALFORMED}, {0x10, V4 "02 0000 <>", MQTT_OK});
}

Test(v311_connect, mqtt_3_1_3_4)
{
    JUDGE(MQTT_V311, {0x10, V4 "02 0000 <FF>", MQTT_MALFORMED},
          {0x10, V4 "02 0000 <E282AC>", MQTT_OK});
}

Test(v311_connect, mqtt_3_1_3_10)
{
    JUDGE(MQTT_V311, {0x10, V4 "06 0000 <> <'w' FF> <>", MQTT_MALFORMED},
          {0x10, V4 "06 0000 <> <'w' C3A9> <>", MQTT_OK},
          {0x10, V4 "06 0000 <> <'w/#'> <>", MQTT_MALFORMED});
}

Test(v311_connect, mqtt_3_1_3_11)
{
    JUDGE(MQTT_V311, {0x10, V4 "82 0000 <> <FE>", MQTT_MALFORMED},
          {0x10, V4 "82 0000 <> <C3A9>", MQTT_OK});
}

/* What does not fit the format is refused, whichever byte is missing. */
Test(v311_connect, mqtt_3_1_4_1)
{
    struct wire w = wire_of(V4 "C6 003C <'c'> <'w'> <'p'> <'u'> <'q'>");
    struct mqtt_packet packet;

    while (w.len > 0) {
        w.len--;
        cr_expect_eq(wire_decode(MQTT_V311, 0x10, &w, &packet), MQTT_MALFORMED, "%zu", w.len);
    }
}

/* A refusal has Session Present 0. */
Test(v311_connack, mqtt_3_2_2_4)
{
    JUDGE(MQTT_V311, {0x20, "01 02", MQTT_PROTOCOL_ERROR}, {0x20, "00 02", MQTT_OK},
          {0x20, "01 00", MQTT_OK});
}

Test(v311_publish, mqtt_3_3_1_2)
{
    JUDGE(MQTT_V311, {0x38, "<'a'>", MQTT_MALFORMED}, {0x3A, "<'a'> 0001", MQTT_OK});
}

Test(v311_publish, mqtt_3_3_1_4)
{
    JUDGE(MQTT_V311, {0x36, "<'a'> 0001", MQTT_MALFORMED}, {0x34, "<'a'> 0001", MQTT_OK});
}

Test(v311_publish, mqtt_3_3_2_1)
{
    JUDGE(MQTT_V311, {0x30, "<'a' C3>", MQTT_MALFORMED}, {0x30, "<C3A9>", MQTT_OK},
          {0x30, "0002 'a'", MQTT_MALFORMED});
}

Test(v311_publish, mqtt_3_3_2_2)
{
    JUDGE(MQTT_V311, {0x30, "<'a/+'>", MQTT_MALFORMED}, {0x30, "<'#'>", MQTT_MALFORMED},
          {0x30, "<'a/b'>", MQTT_OK});
}

Test(v311_pubrel, mqtt_3_6_1_1)
{
    JUDGE(MQTT_V311, {0x62, "0001", MQTT_OK}, {0x60, "0001", MQTT_MALFORMED},
          {0x63, "0001", MQTT_MALFORMED}, {0x6A, "0001", MQTT_MALFORMED});
}

Test(v311_subscribe, mqtt_3_8_1_1)
{
    JUDGE(MQTT_V311, {0x82, "0001 <'a'> 00", MQTT_OK}, {0x80, "0001 <'a'> 00", MQTT_MALFORMED},
          {0x8A, "0001 <'a'> 00", MQTT_MALFORMED});
}

Test(v311_subscribe, mqtt_3_8_3_1)
{
    JUDGE(MQTT_V311, {0x82, "0001 <'a' FF> 00", MQTT_MALFORMED}, {0x82, "0001 <C3A9> 00", MQTT_OK});
}

Test(v311_subscribe, mqtt_3_8_3_3)
{
    JUDGE(MQTT_V311, {0x82, "0001", MQTT_PROTOCOL_ERROR}, {0x82, "0001 <'a'> 01", MQTT_OK});
}

Test(v311_unsubscribe, mqtt_3_10_1_1)
{
    JUDGE(MQTT_V311, {0xA2, "0001 <'a'>", MQTT_OK}, {0xA0, "0001 <'a'>", MQTT_MALFORMED},
          {0xAF, "0001 <'a'>", MQTT_MALFORMED});
}

Test(v311_unsubscribe, mqtt_3_10_3_1)
{
    JUDGE(MQTT_V311, {0xA2, "0001 <'a' FF>", MQTT_MALFORMED}, {0xA2, "0001 <C3A9>", MQTT_OK});
}

Test(v311_unsubscribe, mqtt_3_10_3_2)
{
    JUDGE(MQTT_V311, {0xA2, "0001", MQTT_PROTOCOL_ERROR}, {0xA2, "0001 <'a'>", MQTT_OK});
}

Test(v311_disconnect, mqtt_3_14_1_1)
{
    JUDGE(MQTT_V311, {0xE0, "", MQTT_OK}, {0xE1, "", MQTT_MALFORMED}, {0xE0, "00", MQTT_MALFORMED});
}
