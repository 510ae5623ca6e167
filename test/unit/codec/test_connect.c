#include "broker/codec/property.h"
#include "test/unit/codec/judge.h"

/* Protocol name and level of the two versions. */
#define V4 "<'MQTT'> 04 "
#define V5 "<'MQTT'> 05 "

Test(connect, fields)
{
    struct wire w = wire_of(V5 "EE 003C [11 FFFFFFFF 21 0014] <'bike'> [18 0000000A] <'will/t'> "
                               "<'gone'> <'user'> <'pass' 00>");
    struct mqtt_packet packet;
    const struct mqtt_connect *c = &packet.connect;

    cr_assert_eq(wire_decode(MQTT_V311, 0x10, &w, &packet), MQTT_OK);
    cr_expect_eq(c->version, MQTT_V5, "a CONNECT brings its own version");
    cr_expect(c->clean_start && c->has_will && c->has_user_name && c->has_password);
    cr_expect_eq(c->keep_alive_s, 60);
    cr_expect_eq(c->properties.session_expiry_s, UINT32_MAX);
    cr_expect_eq(c->properties.receive_max, 20);
    cr_expect(str_equal(c->client_id, STR_LITERAL("bike")));
    cr_expect_eq(c->will.qos, 1);
    cr_expect(c->will.retain);
    cr_expect_eq(c->will.properties.will_delay_s, 10);
    cr_expect(str_equal(c->will.topic, STR_LITERAL("will/t")));
    cr_expect(str_equal(c->will.payload, STR_LITERAL("gone")));
    cr_expect(str_equal(c->user_name, STR_LITERAL("user")));
    cr_expect_eq(c->password.len, 5, "a password is binary");
}

/* The fields of the payload in their order. */
Test(connect, mqtt_3_1_3_1)
{
    struct wire w = wire_of(V5 "C6 0000 00 <'c'> 00 <'w'> <'p'> <'u'> <'q'>");
    struct mqtt_packet packet;
    const struct mqtt_connect *c = &packet.connect;

    cr_assert_eq(wire_decode(MQTT_V5, 0x10, &w, &packet), MQTT_OK);
    cr_expect_eq(c->client_id.at[0], 'c');
    cr_expect_eq(c->will.topic.at[0], 'w');
    cr_expect_eq(c->will.payload.at[0], 'p');
    cr_expect_eq(c->user_name.at[0], 'u');
    cr_expect_eq(c->password.at[0], 'q');
}

/* The order of the will's User Properties. */
Test(connect, mqtt_3_1_3_10)
{
    struct wire w = wire_of(V5 "06 0000 00 <'c'> [26 <'b'> <'1'> 18 00000001 26 <'a'> <'2'>] "
                               "<'w'> <'p'>");
    struct wire forwarded = wire_of("26 <'b'> <'1'> 18 00000001 26 <'a'> <'2'>");
    struct mqtt_packet packet;
    uint8_t to[64];

    cr_assert_eq(wire_decode(MQTT_V5, 0x10, &w, &packet), MQTT_OK);
    cr_assert_eq(properties_forward(packet.connect.will.properties.raw, to), forwarded.len);
    cr_expect_eq(memcmp(to, forwarded.bytes, forwarded.len), 0);
}

Test(v311_connect, fields)
{
    struct wire w = wire_of(V4 "02 0000 <>");
    struct mqtt_packet packet;

    cr_assert_eq(wire_decode(MQTT_V5, 0x10, &w, &packet), MQTT_OK);
    cr_expect_eq(packet.connect.version, MQTT_V311);
    cr_expect(packet.connect.clean_start);
    cr_expect_not(packet.connect.has_will || packet.connect.has_user_name);
    cr_expect_eq(packet.connect.client_id.len, 0);
    cr_expect_eq(packet.connect.properties.present, 0);
}

/* Another protocol name. */
Test(connect, mqtt_3_1_2_1)
{
    JUDGE(MQTT_V5, {0x10, V5 "02 0000 00 <>", MQTT_OK},
          {0x10, "<'MQTX'> 05 02 0000 00 <>", MQTT_UNSUPPORTED_VERSION},
          {0x10, "<'mqtt'> 05 02 0000 00 <>", MQTT_UNSUPPORTED_VERSION},
          {0x10, "<'MQTTX'> 05 02 0000 00 <>", MQTT_UNSUPPORTED_VERSION},
          {0x10, "<> 05 02 0000 00 <>", MQTT_UNSUPPORTED_VERSION},
          {0x10, "<'MQT' FF> 05 02 0000 00 <>", MQTT_MALFORMED});
}

/* Another protocol level is told to the server, which answers in kind. */
Test(connect, mqtt_3_1_2_2)
{
    static const struct {
        const char *body;
        unsigned version;
    } rows[] = {{"<'MQIsdp'> 03 02 0000 <>", 3},
                {"<'MQTT'> 03 02 0000 <>", 3},
                {"<'MQTT'> 06 02 0000 00 <>", 6},
                {"<'MQTT'> 84 02 0000 <>", 0x84},
                {"<'MQTT'> 00", 0}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wire w = wire_of(rows[i].body);
        struct mqtt_packet packet;

        cr_expect_eq(wire_decode(MQTT_V5, 0x10, &w, &packet), MQTT_UNSUPPORTED_VERSION, "%s",
                     rows[i].body);
        cr_expect_eq((unsigned)packet.connect.version, rows[i].version, "%s", rows[i].body);
    }
}

/* The reserved connect flag. */
Test(connect, mqtt_3_1_2_3)
{
    JUDGE(MQTT_V5, {0x10, V5 "02 0000 00 <>", MQTT_OK}, {0x10, V5 "03 0000 00 <>", MQTT_MALFORMED},
          {0x10, V4 "02 0000 <>", MQTT_OK}, {0x10, V4 "03 0000 <>", MQTT_MALFORMED});
}

/* Will Flag 1: properties, topic and payload are there. */
Test(connect, mqtt_3_1_2_9)
{
    JUDGE(MQTT_V5, {0x10, V5 "06 0000 00 <'c'> 00 <'w'> <'p'>", MQTT_OK},
          {0x10, V5 "06 0000 00 <'c'> 00 <'w'> <>", MQTT_OK},
          {0x10, V5 "06 0000 00 <'c'> 00 <'w'>", MQTT_MALFORMED},
          {0x10, V5 "06 0000 00 <'c'>", MQTT_MALFORMED},
          {0x10, V5 "02 0000 00 <'c'> 00 <'w'> <'p'>", MQTT_MALFORMED},
          {0x10, V4 "06 0000 <'c'> <'w'> <'p'>", MQTT_OK},
          {0x10, V4 "06 0000 <'c'> <'w'>", MQTT_MALFORMED});
}

/* Will Flag 0: Will QoS 0. */
Test(connect, mqtt_3_1_2_11)
{
    JUDGE(MQTT_V5, {0x10, V5 "0A 0000 00 <>", MQTT_MALFORMED},
          {0x10, V5 "12 0000 00 <>", MQTT_MALFORMED}, {0x10, V4 "0A 0000 <>", MQTT_MALFORMED},
          {0x10, V5 "0E 0000 00 <> 00 <'w'> <>", MQTT_OK});
}

/* Will QoS 3. */
Test(connect, mqtt_3_1_2_12)
{
    JUDGE(MQTT_V5, {0x10, V5 "16 0000 00 <> 00 <'w'> <>", MQTT_OK},
          {0x10, V5 "1E 0000 00 <> 00 <'w'> <>", MQTT_MALFORMED},
          {0x10, V4 "1E 0000 <> <'w'> <>", MQTT_MALFORMED});
}

/* Will Flag 0: Will Retain 0. */
Test(connect, mqtt_3_1_2_13)
{
    JUDGE(MQTT_V5, {0x10, V5 "22 0000 00 <>", MQTT_MALFORMED},
          {0x10, V4 "22 0000 <>", MQTT_MALFORMED}, {0x10, V5 "26 0000 00 <> 00 <'w'> <>", MQTT_OK});
}

/* User name and password are there when their flags say so, and not else. */
Test(connect, mqtt_3_1_2_16)
{
    JUDGE(MQTT_V5, {0x10, V5 "02 0000 00 <'c'> <'u'>", MQTT_MALFORMED},
          {0x10, V4 "02 0000 <'c'> <'u'>", MQTT_MALFORMED}, {0x10, V5 "02 0000 00 <'c'>", MQTT_OK});
}

Test(connect, mqtt_3_1_2_17)
{
    JUDGE(MQTT_V5, {0x10, V5 "82 0000 00 <'c'> <'u'>", MQTT_OK},
          {0x10, V5 "82 0000 00 <'c'>", MQTT_MALFORMED}, {0x10, V4 "82 0000 <'c'> <'u'>", MQTT_OK},
          {0x10, V4 "82 0000 <'c'>", MQTT_MALFORMED});
}

Test(connect, mqtt_3_1_2_18)
{
    JUDGE(MQTT_V5, {0x10, V5 "82 0000 00 <'c'> <'u'> <'p'>", MQTT_MALFORMED},
          {0x10, V5 "C2 0000 00 <'c'> <'u'> <'p'>", MQTT_OK});
}

/* A password alone is legal in MQTT 5 ... */
Test(connect, mqtt_3_1_2_19)
{
    JUDGE(MQTT_V5, {0x10, V5 "42 0000 00 <'c'> <'p'>", MQTT_OK},
          {0x10, V5 "42 0000 00 <'c'>", MQTT_MALFORMED},
          {0x10, V5 "C2 0000 00 <'c'> <'u'>", MQTT_MALFORMED},
          {0x10, V5 "42 0000 00 <'c'> <FF00>", MQTT_OK});
}

/* ... and is not in 3.1.1. */
Test(v311_connect, mqtt_3_1_2_22)
{
    JUDGE(MQTT_V311, {0x10, V4 "42 0000 <'c'> <'p'>", MQTT_MALFORMED},
          {0x10, V4 "C2 0000 <'c'> <'u'> <'p'>", MQTT_OK});
}

/* The client identifier is always there, first, and a valid string. */
Test(connect, mqtt_3_1_3_3)
{
    JUDGE(MQTT_V5, {0x10, V5 "02 0000 00", MQTT_MALFORMED}, {0x10, V5 "02 0000 00 <>", MQTT_OK},
          {0x10, V4 "02 0000", MQTT_MALFORMED}, {0x10, V4 "02 0000 <>", MQTT_OK});
}

Test(connect, mqtt_3_1_3_4)
{
    JUDGE(MQTT_V5, {0x10, V5 "02 0000 00 <'b' C3A9>", MQTT_OK},
          {0x10, V5 "02 0000 00 <'b' C3>", MQTT_MALFORMED},
          {0x10, V5 "02 0000 00 <'b' 00>", MQTT_MALFORMED},
          {0x10, V4 "02 0000 <EDA080>", MQTT_MALFORMED});
}

/* The will topic is a valid string, and a topic name. */
Test(connect, mqtt_3_1_3_11)
{
    JUDGE(MQTT_V5, {0x10, V5 "06 0000 00 <'c'> 00 <'w' C3A9> <>", MQTT_OK},
          {0x10, V5 "06 0000 00 <'c'> 00 <'w' FF> <>", MQTT_MALFORMED},
          {0x10, V5 "06 0000 00 <'c'> 00 <'w/+'> <>", MQTT_MALFORMED},
          {0x10, V5 "06 0000 00 <'c'> 00 <> <>", MQTT_MALFORMED},
          {0x10, V5 "06 0000 00 <'c'> 00 <'w' 01> <>", MQTT_TOPIC_NAME_INVALID});
}

/* The user name is a valid string; so is 3.1.1's. */
Test(connect, mqtt_3_1_3_12)
{
    JUDGE(MQTT_V5, {0x10, V5 "82 0000 00 <'c'> <'u' E282AC>", MQTT_OK},
          {0x10, V5 "82 0000 00 <'c'> <'u' C080>", MQTT_MALFORMED},
          {0x10, V4 "82 0000 <'c'> <'u' 00>", MQTT_MALFORMED});
}

/* Cut anywhere or longer than announced, it does not decode. */
Test(connect, mqtt_3_1_4_1)
{
    static const char *const bodies[] = {
        V5 "C6 003C [11 00000001] <'c'> [18 00000001] <'w'> <'p'> <'u'> <'q'>",
        V4 "C6 003C <'c'> <'w'> <'p'> <'u'> <'q'>"};

    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct wire w = wire_of(bodies[i]);
        struct mqtt_packet packet;

        cr_assert_eq(wire_decode(MQTT_V5, 0x10, &w, &packet), MQTT_OK);
        for (size_t full = w.len; w.len > 0;) {
            w.len--;
            cr_expect_eq(wire_decode(MQTT_V5, 0x10, &w, &packet), MQTT_MALFORMED, "%zu of %zu",
                         w.len, full);
        }
        w = wire_of(bodies[i]);
        wire_add(&w, "00");
        cr_expect_eq(wire_decode(MQTT_V5, 0x10, &w, &packet), MQTT_MALFORMED);
    }
}

/* Authentication Data needs a method (section 3.1.2.11.10). */
Test(connect, auth_data_without_method)
{
    JUDGE(MQTT_V5, {0x10, V5 "02 0000 [15 <'m'> 16 <'d'>] <>", MQTT_OK},
          {0x10, V5 "02 0000 [15 <'m'>] <>", MQTT_OK},
          {0x10, V5 "02 0000 [16 <'d'>] <>", MQTT_PROTOCOL_ERROR});
}

Test(connack, fields)
{
    struct wire w = wire_of("01 00 [12 <'auto'> 24 01 25 00]");
    struct mqtt_packet packet;

    cr_assert_eq(wire_decode(MQTT_V5, 0x20, &w, &packet), MQTT_OK);
    cr_expect(packet.connack.session_present);
    cr_expect_eq(packet.connack.reason, MQTT_OK);
    cr_expect(str_equal(packet.connack.properties.assigned_client_id, STR_LITERAL("auto")));
    cr_expect_eq(packet.connack.properties.max_qos, 1);
    cr_expect_eq(packet.connack.properties.retain_available, 0);
}

/* Acknowledge flag bits 7..1. */
Test(connack, mqtt_3_2_2_1)
{
    JUDGE(MQTT_V5, {0x20, "01 00 00", MQTT_OK}, {0x20, "02 00 00", MQTT_MALFORMED},
          {0x20, "80 00 00", MQTT_MALFORMED});
    JUDGE(MQTT_V311, {0x20, "01 00", MQTT_OK}, {0x20, "02 00", MQTT_MALFORMED});
}

/* A refusal with Session Present. */
Test(connack, mqtt_3_2_2_6)
{
    JUDGE(MQTT_V5, {0x20, "00 87 00", MQTT_OK}, {0x20, "01 87 00", MQTT_PROTOCOL_ERROR});
    JUDGE(MQTT_V311, {0x20, "00 05", MQTT_OK}, {0x20, "01 05", MQTT_PROTOCOL_ERROR});
}

/* Only listed codes. */
Test(connack, mqtt_3_2_2_8)
{
    JUDGE(MQTT_V5, {0x20, "00 84 00", MQTT_OK}, {0x20, "00 9F 00", MQTT_OK},
          {0x20, "00 8E 00", MQTT_PROTOCOL_ERROR}, {0x20, "00 01 00", MQTT_PROTOCOL_ERROR},
          {0x20, "00 FF 00", MQTT_MALFORMED});
    JUDGE(MQTT_V311, {0x20, "00 05", MQTT_OK}, {0x20, "00 06", MQTT_MALFORMED},
          {0x20, "00 84", MQTT_MALFORMED});
}

/* The six return codes, or none. */
Test(v311_connack, mqtt_3_2_2_6)
{
    static const struct {
        enum mqtt_reason reason;
        int code;
    } rows[] = {{MQTT_OK, 0},
                {MQTT_UNSUPPORTED_VERSION, 1},
                {MQTT_CLIENT_ID_INVALID, 2},
                {MQTT_SERVER_UNAVAILABLE, 3},
                {MQTT_SERVER_BUSY, 3},
                {MQTT_BAD_CREDENTIALS, 4},
                {MQTT_NOT_AUTHORIZED, 5},
                {MQTT_BANNED, 5},
                {MQTT_MALFORMED, -1},
                {MQTT_PROTOCOL_ERROR, -1}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct mqtt_packet packet = {.type = MQTT_CONNACK, .connack.reason = rows[i].reason};
        uint8_t to[8];

        cr_expect_eq(connack_code_v311(rows[i].reason), rows[i].code, "%s",
                     mqtt_reason_text(rows[i].reason));
        if (rows[i].code < 0) {
            cr_expect_eq(packet_encode(MQTT_V311, &packet, to, sizeof to), 0);
            continue;
        }
        cr_expect_eq(packet_encode(MQTT_V311, &packet, to, sizeof to), 4);
        cr_expect_eq(to[3], rows[i].code);
    }
}

Test(connack, refuses_to_encode_the_impossible)
{
    struct mqtt_packet packet = {.type = MQTT_CONNACK};
    uint8_t to[8];

    cr_expect_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), 5);
    packet.connack.reason = MQTT_SESSION_TAKEN_OVER;
    cr_expect_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), 0);
    packet.connack.reason = MQTT_NOT_AUTHORIZED;
    packet.connack.session_present = true;
    cr_expect_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), 0);
}
