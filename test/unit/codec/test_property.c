#include "broker/codec/property.h"
#include "test/unit/codec/judge.h"

#include <stdio.h>

/* A body of each packet up to its property list and what stands behind the list. MQTT_WILL is the
 * will of a CONNECT. */
static const struct {
    uint8_t first;
    const char *before;
    const char *behind;
} places[MQTT_TYPE_COUNT] = {
    [MQTT_WILL] = {0x10, "<'MQTT'> 05 06 0000 00 <>", "<'w'> <>"},
    [MQTT_CONNECT] = {0x10, "<'MQTT'> 05 02 0000", "<>"},
    [MQTT_CONNACK] = {0x20, "00 00", ""},
    [MQTT_PUBLISH] = {0x30, "<'t'>", ""},
    [MQTT_PUBACK] = {0x40, "0001 00", ""},
    [MQTT_PUBREC] = {0x50, "0001 00", ""},
    [MQTT_PUBREL] = {0x62, "0001 00", ""},
    [MQTT_PUBCOMP] = {0x70, "0001 00", ""},
    [MQTT_SUBSCRIBE] = {0x82, "0001", "<'a'> 00"},
    [MQTT_SUBACK] = {0x90, "0001", "00"},
    [MQTT_UNSUBSCRIBE] = {0xA2, "0001", "<'a'>"},
    [MQTT_UNSUBACK] = {0xB0, "0001", "00"},
    [MQTT_DISCONNECT] = {0xE0, "00", ""},
    [MQTT_AUTH] = {0xF0, "00", ""},
};

#define W  (1u << MQTT_WILL)
#define CN (1u << MQTT_CONNECT)
#define CA (1u << MQTT_CONNACK)
#define P  (1u << MQTT_PUBLISH)
#define S  (1u << MQTT_SUBSCRIBE)
#define D  (1u << MQTT_DISCONNECT)
#define AU (1u << MQTT_AUTH)
#define REPLIES                                                                                    \
    (CA | 1u << MQTT_PUBACK | 1u << MQTT_PUBREC | 1u << MQTT_PUBREL | 1u << MQTT_PUBCOMP |         \
     1u << MQTT_SUBACK | 1u << MQTT_UNSUBACK | D | AU)
#define ALL (REPLIES | W | CN | P | S | 1u << MQTT_UNSUBSCRIBE)

/* Table 2-4 of the standard, written a second time from the other side: the bytes of a good entry
 * and the packets that may carry it; then a bad value and what is said to it. */
static const struct property_row {
    enum mqtt_property which;
    uint8_t id;
    const char *good;
    uint32_t packets;
    const char *bad;
    enum mqtt_reason why;
} rows[] = {
    {MQTT_PROP_PAYLOAD_FORMAT, 0x01, "01 01", W | P, "01 02", MQTT_PROTOCOL_ERROR},
    {MQTT_PROP_MESSAGE_EXPIRY, 0x02, "02 00000000", W | P, "02 000000", MQTT_MALFORMED},
    {MQTT_PROP_CONTENT_TYPE, 0x03, "03 <'t'>", W | P, "03 <FF>", MQTT_MALFORMED},
    {MQTT_PROP_RESPONSE_TOPIC, 0x08, "08 <'r'>", W | P, "08 <'#'>", MQTT_MALFORMED},
    {MQTT_PROP_CORRELATION_DATA, 0x09, "09 <FF00>", W | P, "09 0003 00", MQTT_MALFORMED},
    {MQTT_PROP_SUBSCRIPTION_ID, 0x0B, "0B FFFFFF7F", P | S, "0B 00", MQTT_PROTOCOL_ERROR},
    {MQTT_PROP_SESSION_EXPIRY, 0x11, "11 FFFFFFFF", CN | CA | D, "11 00", MQTT_MALFORMED},
    {MQTT_PROP_ASSIGNED_CLIENT_ID, 0x12, "12 <'c'>", CA, "12 <00>", MQTT_MALFORMED},
    {MQTT_PROP_SERVER_KEEP_ALIVE, 0x13, "13 0000", CA, "13 00", MQTT_MALFORMED},
    {MQTT_PROP_AUTH_METHOD, 0x15, "15 <'m'>", CN | CA | AU, "15 <C0>", MQTT_MALFORMED},
    {MQTT_PROP_AUTH_DATA, 0x16, "16 <00>", CN | CA | AU, "16 <00", MQTT_MALFORMED},
    {MQTT_PROP_REQUEST_PROBLEM, 0x17, "17 00", CN, "17 02", MQTT_PROTOCOL_ERROR},
    {MQTT_PROP_WILL_DELAY, 0x18, "18 00000000", W, "18", MQTT_MALFORMED},
    {MQTT_PROP_REQUEST_RESPONSE, 0x19, "19 01", CN, "19 FF", MQTT_PROTOCOL_ERROR},
    {MQTT_PROP_RESPONSE_INFO, 0x1A, "1A <'i'>", CA, "1A <80>", MQTT_MALFORMED},
    {MQTT_PROP_SERVER_REFERENCE, 0x1C, "1C <'s'>", CA | D, "1C <80>", MQTT_MALFORMED},
    {MQTT_PROP_REASON_STRING, 0x1F, "1F <'r'>", REPLIES, "1F <80>", MQTT_MALFORMED},
    {MQTT_PROP_RECEIVE_MAX, 0x21, "21 0001", CN | CA, "21 0000", MQTT_PROTOCOL_ERROR},
    {MQTT_PROP_TOPIC_ALIAS_MAX, 0x22, "22 0000", CN | CA, "22 00", MQTT_MALFORMED},
    {MQTT_PROP_TOPIC_ALIAS, 0x23, "23 0001", P, "23 0000", MQTT_TOPIC_ALIAS_INVALID},
    {MQTT_PROP_MAX_QOS, 0x24, "24 01", CA, "24 02", MQTT_PROTOCOL_ERROR},
    {MQTT_PROP_RETAIN_AVAILABLE, 0x25, "25 00", CA, "25 02", MQTT_PROTOCOL_ERROR},
    {MQTT_PROP_USER, 0x26, "26 <'k'> <>", ALL, "26 <'k'> <00>", MQTT_MALFORMED},
    {MQTT_PROP_MAX_PACKET, 0x27, "27 00000001", CN | CA, "27 00000000", MQTT_PROTOCOL_ERROR},
    {MQTT_PROP_WILDCARD_AVAILABLE, 0x28, "28 00", CA, "28 02", MQTT_PROTOCOL_ERROR},
    {MQTT_PROP_SUBSCRIPTION_ID_AVAILABLE, 0x29, "29 01", CA, "29 02", MQTT_PROTOCOL_ERROR},
    {MQTT_PROP_SHARED_AVAILABLE, 0x2A, "2A 01", CA, "2A 02", MQTT_PROTOCOL_ERROR},
};

static bool has_list(unsigned place)
{
    return places[place].before != NULL;
}

/* The verdict on `list` in the packet `place`; AUTH gets its method first. */
static enum mqtt_reason judge_list(unsigned place, const char *list)
{
    struct wire w = wire_of(places[place].before);
    struct wire entries = wire_of(list);
    struct mqtt_packet packet;

    w.bytes[w.len++] = (uint8_t)(entries.len + (place == MQTT_AUTH ? 4 : 0));
    if (place == MQTT_AUTH)
        wire_add(&w, "15 <'a'>");
    memcpy(w.bytes + w.len, entries.bytes, entries.len);
    w.len += entries.len;
    wire_add(&w, places[place].behind);
    return wire_decode(MQTT_V5, places[place].first, &w, &packet);
}

Test(property, table_is_whole)
{
    cr_assert_eq(ARRAY_LEN(rows), MQTT_PROP_COUNT);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        cr_expect_eq((size_t)rows[i].which, i);
}

/* Every property in every packet: welcome or malformed (section 2.2.2.2). */
Test(property, packets)
{
    for (unsigned place = 0; place < MQTT_TYPE_COUNT; place++) {
        for (size_t i = 0; i < ARRAY_LEN(rows) && has_list(place); i++) {
            enum mqtt_reason expected = rows[i].packets >> place & 1 ? MQTT_OK : MQTT_MALFORMED;
            char list[64];

            /* Authentication Data goes with its method, which AUTH has already. */
            strcpy(list, rows[i].good);
            if (rows[i].which == MQTT_PROP_AUTH_DATA && expected == MQTT_OK && place != MQTT_AUTH)
                strcat(list, " 15 <'m'>");
            if (rows[i].which == MQTT_PROP_AUTH_METHOD && place == MQTT_AUTH)
                expected = MQTT_PROTOCOL_ERROR; /* a second one */
            cr_expect_eq(judge_list(place, list), expected, "%s in %s",
                         property_text(rows[i].which), mqtt_type_text((enum mqtt_type)place));
        }
    }
}

static unsigned place_of(const struct property_row *row)
{
    unsigned place = 0;

    while (!(row->packets >> place & 1))
        place++;
    return place;
}

/* Every property with a value it must not have, and cut short. */
Test(property, values)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned place = place_of(&rows[i]);
        struct wire good = wire_of(rows[i].good);

        if (rows[i].which == MQTT_PROP_AUTH_DATA)
            continue; /* next test */
        cr_expect_eq(judge_list(place, rows[i].bad), rows[i].why, "%s %s",
                     property_text(rows[i].which), rows[i].bad);
        while (--good.len > 0) {
            struct reader in = reader_of(MQTT_V5, wire_str(&good));
            struct mqtt_properties out;
            struct wire list = {.len = 1};

            list.bytes[0] = (uint8_t)good.len;
            memcpy(list.bytes + 1, good.bytes, good.len);
            list.len += good.len;
            in = reader_of(MQTT_V5, wire_str(&list));
            properties_read(&in, place, &out);
            cr_expect_eq(in.fault, MQTT_MALFORMED, "%s after %zu bytes",
                         property_text(rows[i].which), good.len);
        }
    }
}

/* Only User Properties stand twice, and Subscription Identifiers in a PUBLISH. */
Test(property, duplicates)
{
    for (unsigned place = 0; place < MQTT_TYPE_COUNT; place++) {
        for (size_t i = 0; i < ARRAY_LEN(rows) && has_list(place); i++) {
            bool repeats = rows[i].which == MQTT_PROP_USER ||
                           (rows[i].which == MQTT_PROP_SUBSCRIPTION_ID && place == MQTT_PUBLISH);
            char list[64];

            if (!(rows[i].packets >> place & 1))
                continue;
            snprintf(list, sizeof list, "%s %s", rows[i].good, rows[i].good);
            cr_expect_eq(judge_list(place, list), repeats ? MQTT_OK : MQTT_PROTOCOL_ERROR,
                         "%s in %s", property_text(rows[i].which),
                         mqtt_type_text((enum mqtt_type)place));
        }
    }
}

/* Identifiers that nobody has. */
Test(property, unknown_identifiers)
{
    for (unsigned id = 0; id < 256; id++) {
        bool known = false;
        char list[16];

        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
            known = known || rows[i].id == id;
        snprintf(list, sizeof list, "%02X 00000001", id);
        if (!known)
            cr_expect_eq(judge_list(MQTT_CONNACK, list), MQTT_MALFORMED, "identifier %02X", id);
    }
    cr_expect_eq(judge_list(MQTT_PUBLISH, "8100 01"), MQTT_MALFORMED, "an over-long identifier");
}

/* Both halves of a pair are strings. */
Test(property, mqtt_1_5_7_1)
{
    JUDGE(MQTT_V5, {0x30, "<'t'> [26 <'k' C3A9> <'v' C3A9>]", MQTT_OK},
          {0x30, "<'t'> [26 <'k' C3> <'v'>]", MQTT_MALFORMED},
          {0x30, "<'t'> [26 <'k'> <'v' C3>]", MQTT_MALFORMED},
          {0x30, "<'t'> [26 <'k' 00> <'v'>]", MQTT_MALFORMED},
          {0x30, "<'t'> [26 <'k'>]", MQTT_MALFORMED});
}

/* Over-long lengths and identifiers. */
Test(property, mqtt_1_5_5_1)
{
    JUDGE(MQTT_V5, {0x30, "<'t'> 8000", MQTT_MALFORMED},
          {0x30, "<'t'> 8500 0B 01 0B 02 00", MQTT_MALFORMED},
          {0x30, "<'t'> [0B 8100]", MQTT_MALFORMED},
          {0x30, "<'t'> [0B 80808080 01]", MQTT_MALFORMED},
          {0x30, "<'t'> FFFFFFFF", MQTT_MALFORMED}, {0x30, "<'t'> [0B 8001]", MQTT_OK},
          {0x30, "<'t'> 05 0B 01", MQTT_MALFORMED});
}

/* As many User Properties as fit, and one more. */
Test(property, user_properties_max)
{
    for (size_t count = MQTT_USER_PROPERTIES_MAX; count <= MQTT_USER_PROPERTIES_MAX + 1; count++) {
        struct wire w = wire_of("<'t'>");
        struct mqtt_packet packet;
        size_t list_len = count * 7;

        w.bytes[w.len++] = (uint8_t)(0x80 | (list_len & 0x7F));
        w.bytes[w.len++] = (uint8_t)(list_len >> 7);
        for (size_t i = 0; i < count; i++)
            wire_add(&w, "26 <'k'> <'v'>");
        cr_expect_eq(wire_decode(MQTT_V5, 0x30, &w, &packet),
                     count <= MQTT_USER_PROPERTIES_MAX ? MQTT_OK : MQTT_QUOTA_EXCEEDED);
    }
}

/* Repeated entries keep their order, and only the first identifier has a member. */
Test(property, next)
{
    struct wire w = wire_of("<'t'> [0B 05 26 <'a'> <'1'> 02 00000009 0B 8001 26 <'a'> <'2'>]");
    struct mqtt_packet packet;
    struct property entry;
    struct str rest;

    cr_assert_eq(wire_decode(MQTT_V5, 0x30, &w, &packet), MQTT_OK);
    cr_expect_eq(packet.publish.properties.subscription_id, 5);
    cr_expect_eq(packet.publish.properties.user_count, 2);
    rest = packet.publish.properties.raw;
    cr_assert(property_next(&rest, &entry));
    cr_expect(entry.which == MQTT_PROP_SUBSCRIPTION_ID && entry.number == 5);
    cr_assert(property_next(&rest, &entry));
    cr_expect(entry.which == MQTT_PROP_USER && str_equal(entry.name, STR_LITERAL("a")) &&
              str_equal(entry.value, STR_LITERAL("1")));
    cr_assert(property_next(&rest, &entry));
    cr_expect(entry.which == MQTT_PROP_MESSAGE_EXPIRY && entry.number == 9);
    cr_assert(property_next(&rest, &entry));
    cr_expect(entry.which == MQTT_PROP_SUBSCRIPTION_ID && entry.number == 128);
    cr_assert(property_next(&rest, &entry));
    cr_expect(str_equal(entry.value, STR_LITERAL("2")));
    cr_expect_not(property_next(&rest, &entry));
}

/* What goes to the next receiver: unaltered, in order, without what concerns one hop. */
Test(property, mqtt_3_3_2_18)
{
    struct wire from = wire_of("26 <'b'> <'1'> 23 0005 01 01 0B 07 26 <'a'> <'2'> 0B 08");
    struct wire expected = wire_of("26 <'b'> <'1'> 01 01 26 <'a'> <'2'>");
    uint8_t to[64];

    cr_assert_eq(properties_forward(wire_str(&from), to), expected.len);
    cr_expect_eq(memcmp(to, expected.bytes, expected.len), 0);
    cr_expect_eq(properties_forward((struct str){NULL, 0}, to), 0);
}

/* Members in the order of the table, then what repeats. */
Test(property, emit_order)
{
    struct wire raw = wire_of("26 <'b'> <'1'> 0B 01 0B 02 26 <'a'> <'2'>");
    struct wire expected =
        wire_of("30 [<'t'> [02 00000005 0B 01 26 <'b'> <'1'> 0B 02 26 <'a'> <'2'>]]");
    struct mqtt_packet packet = {
        .type = MQTT_PUBLISH,
        .publish = {.topic = STR_LITERAL("t"),
                    .properties = {.present = 1u << MQTT_PROP_SUBSCRIPTION_ID |
                                              1u << MQTT_PROP_MESSAGE_EXPIRY,
                                   .subscription_id = 1,
                                   .message_expiry_s = 5,
                                   .raw = wire_str(&raw)}}};
    uint8_t to[64];

    cr_assert_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), expected.len);
    cr_expect_eq(memcmp(to, expected.bytes, expected.len), 0);
}

/* User Properties that a caller makes. */
Test(property, put_user)
{
    uint8_t list[16];
    struct emit e = emit_to(MQTT_V5, list, sizeof list);
    struct mqtt_packet packet = {.type = MQTT_DISCONNECT};
    struct wire expected = wire_of("E0 [00 [26 <'k'> <'v'>]]");
    uint8_t to[32];

    property_put_user(&e, STR_LITERAL("k"), STR_LITERAL("v"));
    cr_assert_eq(emit_done(&e), 7);
    packet.ack.properties.raw = str_of_bytes(list, 7);
    cr_assert_eq(packet_encode(MQTT_V5, &packet, to, sizeof to), expected.len);
    cr_expect_eq(memcmp(to, expected.bytes, expected.len), 0);
    property_put_user(&e, STR_LITERAL("longer"), STR_LITERAL("than the room"));
    cr_expect_eq(emit_done(&e), 0);
}

Test(property, texts)
{
    cr_expect_str_eq(property_text(MQTT_PROP_USER), "User Property");
    cr_expect_str_eq(property_text(MQTT_PROP_COUNT), "unknown");
}
