#include "broker/codec/topic.h"
#include "test/unit/codec/judge.h"

Test(subscribe, fields)
{
    struct wire w = wire_of("1234 [0B 8001] <'a/+'> 2D <'$share/g/#'> 02");
    struct mqtt_packet packet;
    const struct mqtt_subscribe *s = &packet.subscribe;

    cr_assert_eq(wire_decode(MQTT_V5, 0x82, &w, &packet), MQTT_OK);
    cr_expect_eq(s->packet_id, 0x1234);
    cr_expect_eq(s->properties.subscription_id, 128);
    cr_assert_eq(s->filter_count, 2);
    cr_expect(str_equal(s->filters[0].topic, STR_LITERAL("a/+")));
    cr_expect_eq(s->filters[0].qos, 1);
    cr_expect(s->filters[0].no_local && s->filters[0].retain_as_published);
    cr_expect_eq(s->filters[0].retain_handling, 2);
    cr_expect(str_equal(s->filters[1].topic, STR_LITERAL("$share/g/#")));
    cr_expect_eq(s->filters[1].qos, 2);
    cr_expect_not(s->filters[1].no_local || s->filters[1].retain_as_published);
}

Test(subscribe, mqtt_2_2_1_3)
{
    JUDGE(MQTT_V5, {0x82, "0001 00 <'a'> 00", MQTT_OK},
          {0x82, "0000 00 <'a'> 00", MQTT_PROTOCOL_ERROR},
          {0xA2, "0000 00 <'a'>", MQTT_PROTOCOL_ERROR}, {0x90, "0000 00 00", MQTT_PROTOCOL_ERROR},
          {0xB0, "0000 00 00", MQTT_PROTOCOL_ERROR});
    JUDGE(MQTT_V311, {0x82, "0000 <'a'> 00", MQTT_PROTOCOL_ERROR},
          {0xA2, "0000 <'a'>", MQTT_PROTOCOL_ERROR}, {0xA2, "0001 <'a'>", MQTT_OK});
}

/* The identifier of the request comes back. */
Test(suback, mqtt_2_2_1_6)
{
    struct mqtt_packet packet = {.type = MQTT_SUBACK,
                                 .suback = {.packet_id = 0x1234, .code_count = 1}};
    uint8_t to[16];

    cr_assert_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), 6);
    cr_expect_eq(memcmp(to + 2, "\x12\x34", 2), 0);
    packet.type = MQTT_UNSUBACK;
    cr_assert_eq(packet_encode(MQTT_V311, &packet, to, sizeof to), 4);
    cr_expect_eq(memcmp(to, "\xB0\x02\x12\x34", 4), 0);
    packet.suback.packet_id = 0;
    cr_expect_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), 0);
}

/* The flags of SUBSCRIBE and UNSUBSCRIBE are 0010. */
Test(subscribe, mqtt_3_8_1_1)
{
    JUDGE(MQTT_V5, {0x82, "0001 00 <'a'> 00", MQTT_OK}, {0x80, "0001 00 <'a'> 00", MQTT_MALFORMED},
          {0x83, "0001 00 <'a'> 00", MQTT_MALFORMED});
}

Test(unsubscribe, mqtt_3_10_1_1)
{
    JUDGE(MQTT_V5, {0xA2, "0001 00 <'a'>", MQTT_OK}, {0xA0, "0001 00 <'a'>", MQTT_MALFORMED},
          {0xA6, "0001 00 <'a'>", MQTT_MALFORMED});
}

/* The codes in the order of the filters, both ways. */
static void keep_order(enum mqtt_type type, const char *body)
{
    struct wire w = wire_of(body);
    struct mqtt_packet packet;
    uint8_t to[32];

    cr_assert_eq(wire_decode(MQTT_V5, (uint8_t)(type << 4), &w, &packet), MQTT_OK);
    cr_assert_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), w.len + 2);
    cr_expect_eq(memcmp(to + 2, w.bytes, w.len), 0);
}

Test(suback, mqtt_3_9_3_1)
{
    keep_order(MQTT_SUBACK, "0001 00 02 87 00 01");
}

Test(unsuback, mqtt_3_11_3_1)
{
    keep_order(MQTT_UNSUBACK, "0001 00 11 00 87 11");
}

/* Filters are valid strings. */
Test(subscribe, mqtt_3_8_3_1)
{
    JUDGE(MQTT_V5, {0x82, "0001 00 <'a' C3A9> 00", MQTT_OK},
          {0x82, "0001 00 <'a' C3> 00", MQTT_MALFORMED},
          {0x82, "0001 00 <'a' 00> 00", MQTT_MALFORMED}, {0x82, "0001 00 <'a'>", MQTT_MALFORMED},
          {0x82, "0001 00 <'a'> 00 00", MQTT_MALFORMED});
    JUDGE(MQTT_V311, {0x82, "0001 <'a' FF> 00", MQTT_MALFORMED}, {0x82, "0001 <'a'> 00", MQTT_OK});
}

/* At least one filter. */
Test(subscribe, mqtt_3_8_3_2)
{
    JUDGE(MQTT_V5, {0x82, "0001 00", MQTT_PROTOCOL_ERROR}, {0x82, "0001", MQTT_MALFORMED},
          {0x82, "0001 00 <'a'> 00", MQTT_OK});
    JUDGE(MQTT_V311, {0x82, "0001", MQTT_PROTOCOL_ERROR});
}

/* No Local on a shared subscription. */
Test(subscribe, mqtt_3_8_3_4)
{
    JUDGE(MQTT_V5, {0x82, "0001 00 <'$share/g/a'> 04", MQTT_PROTOCOL_ERROR},
          {0x82, "0001 00 <'$share/g/a'> 00", MQTT_OK}, {0x82, "0001 00 <'a'> 04", MQTT_OK},
          {0x82, "0001 00 <'$shared/g/a'> 04", MQTT_OK});
}

/* Reserved bits, QoS 3 and Retain Handling 3. */
Test(subscribe, mqtt_3_8_3_5)
{
    JUDGE(MQTT_V5, {0x82, "0001 00 <'a'> 2E", MQTT_OK}, {0x82, "0001 00 <'a'> 40", MQTT_MALFORMED},
          {0x82, "0001 00 <'a'> 80", MQTT_MALFORMED},
          {0x82, "0001 00 <'a'> 03", MQTT_PROTOCOL_ERROR},
          {0x82, "0001 00 <'a'> 30", MQTT_PROTOCOL_ERROR});
}

Test(v311_subscribe, mqtt_3_8_3_4)
{
    JUDGE(MQTT_V311, {0x82, "0001 <'a'> 02", MQTT_OK}, {0x82, "0001 <'a'> 03", MQTT_MALFORMED},
          {0x82, "0001 <'a'> 04", MQTT_MALFORMED}, {0x82, "0001 <'a'> 08", MQTT_MALFORMED},
          {0x82, "0001 <'a'> 10", MQTT_MALFORMED}, {0x82, "0001 <'a'> 80", MQTT_MALFORMED});
}

/* Filters that break the standard fail the packet. */
Test(subscribe, mqtt_4_7_1_1)
{
    JUDGE(MQTT_V5, {0x82, "0001 00 <'a/#'> 00", MQTT_OK},
          {0x82, "0001 00 <'a#'> 00", MQTT_MALFORMED},
          {0x82, "0001 00 <'a/#/b'> 00", MQTT_MALFORMED},
          {0x82, "0001 00 <'a'> 00 <'+a'> 00", MQTT_MALFORMED},
          {0x82, "0001 00 <> 00", MQTT_MALFORMED});
    JUDGE(MQTT_V311, {0x82, "0001 <'a+'> 00", MQTT_MALFORMED},
          {0x82, "0001 <> 00", MQTT_MALFORMED});
}

Test(subscribe, mqtt_4_8_2_1)
{
    JUDGE(MQTT_V5, {0x82, "0001 00 <'$share/g/a'> 00", MQTT_OK},
          {0x82, "0001 00 <'$share//a'> 00", MQTT_MALFORMED},
          {0x82, "0001 00 <'$share/g'> 00", MQTT_MALFORMED},
          {0x82, "0001 00 <'$share/g/'> 00", MQTT_MALFORMED},
          {0xA2, "0001 00 <'$share/g/a'>", MQTT_OK},
          {0xA2, "0001 00 <'$share/g'>", MQTT_MALFORMED});
}

Test(subscribe, mqtt_4_8_2_2)
{
    JUDGE(MQTT_V5, {0x82, "0001 00 <'$share/g+/a'> 00", MQTT_MALFORMED},
          {0x82, "0001 00 <'$share/#/a'> 00", MQTT_MALFORMED},
          {0x82, "0001 00 <'$share/g/a#'> 00", MQTT_MALFORMED},
          {0x82, "0001 00 <'$share/g/+'> 00", MQTT_OK});
}

/* A filter that only reaches our limits is for the server to answer. */
Test(subscribe, our_limits_pass_the_decoder)
{
    struct wire w = wire_of("0001 00 <'1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17'> 00");
    struct mqtt_packet packet;

    cr_assert_eq(wire_decode(MQTT_V5, 0x82, &w, &packet), MQTT_OK);
    cr_expect_eq(topic_filter_check(packet.subscribe.filters[0].topic), MQTT_TOPIC_FILTER_INVALID);
}

/* As many filters as fit, and one more. */
Test(subscribe, filters_max)
{
    static const struct {
        uint8_t first;
        const char *one;
    } rows[] = {{0x82, "<'a'> 00"}, {0xA2, "<'a'>"}, {0x90, "00"}, {0xB0, "00"}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire w = wire_of("0001 00");
        struct mqtt_packet packet;

        for (int count = 0; count < MQTT_FILTERS_MAX; count++)
            wire_add(&w, rows[i].one);
        cr_expect_eq(wire_decode(MQTT_V5, rows[i].first, &w, &packet), MQTT_OK);
        wire_add(&w, rows[i].one);
        cr_expect_eq(wire_decode(MQTT_V5, rows[i].first, &w, &packet), MQTT_QUOTA_EXCEEDED,
                     "first byte %02X", rows[i].first);
    }
}

Test(unsubscribe, mqtt_3_10_3_1)
{
    JUDGE(MQTT_V5, {0xA2, "0001 00 <'a' C3A9>", MQTT_OK},
          {0xA2, "0001 00 <'a' C3>", MQTT_MALFORMED}, {0xA2, "0001 00 <'a'> 00", MQTT_MALFORMED},
          {0xA2, "0001 00 <'a#'>", MQTT_MALFORMED}, {0xA2, "0001 00 <>", MQTT_MALFORMED});
    JUDGE(MQTT_V311, {0xA2, "0001 <'a'> <'b'>", MQTT_OK}, {0xA2, "0001 <'a' 00>", MQTT_MALFORMED});
}

Test(unsubscribe, mqtt_3_10_3_2)
{
    JUDGE(MQTT_V5, {0xA2, "0001 00", MQTT_PROTOCOL_ERROR}, {0xA2, "0001 00 <'a'>", MQTT_OK});
    JUDGE(MQTT_V311, {0xA2, "0001", MQTT_PROTOCOL_ERROR}, {0xA2, "0001 <'a'>", MQTT_OK});
}

Test(suback, fields)
{
    struct wire w = wire_of("1234 00 00 02 87");
    struct mqtt_packet packet;

    cr_assert_eq(wire_decode(MQTT_V5, 0x90, &w, &packet), MQTT_OK);
    cr_expect_eq(packet.suback.packet_id, 0x1234);
    cr_assert_eq(packet.suback.code_count, 3);
    cr_expect_eq(memcmp(packet.suback.codes, "\x00\x02\x87", 3), 0);
}

Test(suback, at_least_one_code)
{
    JUDGE(MQTT_V5, {0x90, "0001 00", MQTT_PROTOCOL_ERROR}, {0xB0, "0001 00", MQTT_PROTOCOL_ERROR},
          {0x90, "0001 00 00", MQTT_OK}, {0xB0, "0001 00 11", MQTT_OK});
}

Test(v311_suback, mqtt_3_9_3_2)
{
    JUDGE(MQTT_V311, {0x90, "0001 00 01 02 80", MQTT_OK}, {0x90, "0001 03", MQTT_MALFORMED},
          {0x90, "0001 87", MQTT_MALFORMED}, {0x90, "0001", MQTT_PROTOCOL_ERROR},
          {0xB0, "0001", MQTT_OK}, {0xB0, "0001 00", MQTT_MALFORMED});
}

Test(subscribe, refuses_to_encode_the_impossible)
{
    struct mqtt_packet packet = {
        .type = MQTT_SUBSCRIBE,
        .subscribe = {.packet_id = 1, .filter_count = 1, .filters[0].topic = STR_LITERAL("a")}};
    struct mqtt_packet unsubscribe = {
        .type = MQTT_UNSUBSCRIBE,
        .unsubscribe = {.packet_id = 1, .filter_count = 1, .filters[0] = STR_LITERAL("a")}};
    struct mqtt_packet suback = {.type = MQTT_SUBACK, .suback = {.packet_id = 1, .code_count = 1}};
    uint8_t to[64];

    cr_expect_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), 9);
    packet.subscribe.filters[0].qos = 3;
    cr_expect_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), 0);
    packet.subscribe.filters[0].qos = 0;
    packet.subscribe.filter_count = 0;
    cr_expect_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), 0);
    packet.subscribe.filter_count = MQTT_FILTERS_MAX + 1;
    cr_expect_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), 0);

    cr_expect_eq(packet_encode(MQTT_V5, &unsubscribe, to, sizeof to), 8);
    unsubscribe.unsubscribe.packet_id = 0;
    cr_expect_eq(packet_encode(MQTT_V5, &unsubscribe, to, sizeof to), 0);

    cr_expect_eq(packet_encode(MQTT_V5, &suback, to, sizeof to), 6);
    suback.suback.codes[0] = 0x8E;
    cr_expect_eq(packet_encode(MQTT_V5, &suback, to, sizeof to), 0);
    suback.suback.codes[0] = 0;
    suback.suback.code_count = 0;
    cr_expect_eq(packet_encode(MQTT_V5, &suback, to, sizeof to), 0);
}
