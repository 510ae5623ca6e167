#include "broker/codec/utf8.h"
#include "test/unit/codec/judge.h"

static bool valid(const void *bytes, size_t len)
{
    return utf8_valid(str_of_bytes(bytes, len));
}

static size_t encode(uint32_t code, uint8_t to[4])
{
    if (code < 0x80) {
        to[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        to[0] = (uint8_t)(0xC0 | code >> 6);
        to[1] = (uint8_t)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        to[0] = (uint8_t)(0xE0 | code >> 12);
        to[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        to[2] = (uint8_t)(0x80 | (code & 0x3F));
        return 3;
    }
    to[0] = (uint8_t)(0xF0 | code >> 18);
    to[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
    to[2] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
    to[3] = (uint8_t)(0x80 | (code & 0x3F));
    return 4;
}

/* Decode by arithmetic, to hold the automaton against. */
static bool valid_by_arithmetic(const uint8_t *at, size_t len)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};

    while (len > 0) {
        size_t more = at[0] < 0x80 ? 0 : at[0] < 0xE0 ? 1 : at[0] < 0xF0 ? 2 : 3;
        uint32_t code = more == 0 ? at[0] : at[0] & (0x3Fu >> more);

        if ((at[0] >= 0x80 && at[0] < 0xC0) || at[0] >= 0xF8 || len < more + 1)
            return false;
        for (size_t i = 1; i <= more; i++) {
            if ((at[i] & 0xC0) != 0x80)
                return false;
            code = code << 6 | (at[i] & 0x3F);
        }
        if (code == 0 || code < least[more] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
            return false;
        at += more + 1;
        len -= more + 1;
    }
    return true;
}

/* Every code point is good but surrogates; nothing above U+10FFFF is. */
Test(utf8, mqtt_1_5_4_1)
{
    uint8_t bytes[4];

    for (uint32_t code = 1; code < 0x200000; code++) {
        bool good = code <= 0x10FFFF && !(code >= 0xD800 && code <= 0xDFFF);

        cr_assert_eq(valid(bytes, encode(code, bytes)), good, "U+%04X", code);
    }
}

/* The same on the wire: a bad string is malformed. */
Test(utf8, mqtt_1_5_4_1_on_the_wire)
{
    JUDGE(MQTT_V311, {0x30, "<'a' EDA080 'b'>", MQTT_MALFORMED},
          {0x30, "<'a' C080 'b'>", MQTT_MALFORMED}, {0x30, "<'a' F4908080>", MQTT_MALFORMED},
          {0x30, "<'a' ED9FBF EE8080 F48FBFBF>", MQTT_OK},
          {0x30, "<'abcdefgh' FF>", MQTT_MALFORMED}, {0x30, "<80>", MQTT_MALFORMED});
}

/* Over-long, cut and stray bytes: all pairs, and the second byte of every lead byte. */
Test(utf8, automaton)
{
    static const uint8_t ends[] = {0x00, 0x7F, 0x80, 0xBF, 0xC0};
    uint8_t b[4];

    for (unsigned pair = 0; pair < 65536; pair++) {
        b[0] = (uint8_t)(pair >> 8);
        b[1] = (uint8_t)pair;
        cr_assert_eq(valid(b, 2), valid_by_arithmetic(b, 2), "%04X", pair);
        for (size_t i = 0; i < ARRAY_LEN(ends) * ARRAY_LEN(ends); i++) {
            b[2] = ends[i / ARRAY_LEN(ends)];
            b[3] = ends[i % ARRAY_LEN(ends)];
            cr_assert_eq(valid(b, 3), valid_by_arithmetic(b, 3), "%04X %02X", pair, b[2]);
            cr_assert_eq(valid(b, 4), valid_by_arithmetic(b, 4), "%04X %02X %02X", pair, b[2],
                         b[3]);
        }
    }
}

/* U+0000, at every place of and behind the words of the fast path. */
Test(utf8, mqtt_1_5_4_2)
{
    uint8_t text[20];

    for (size_t len = 1; len <= sizeof text; len++) {
        for (size_t at = 0; at < len; at++) {
            memset(text, 'a', sizeof text);
            text[at] = 0x7F;
            cr_assert(valid(text, len));
            text[at] = 0x01;
            cr_assert(valid(text, len));
            text[at] = 0x00;
            cr_assert_not(valid(text, len), "at %zu of %zu", at, len);
            text[at] = 0x80;
            cr_assert_not(valid(text, len), "at %zu of %zu", at, len);
        }
    }
    cr_expect(valid(NULL, 0));
    JUDGE(MQTT_V5, {0x10, "<'MQTT'> 05 02 0000 00 <'a' 00>", MQTT_MALFORMED});
}

/* EF BB BF is a character and stays. */
Test(utf8, mqtt_1_5_4_3)
{
    struct wire w = wire_of("<EFBBBF 'a'> 00");
    struct mqtt_packet packet;

    cr_assert_eq(wire_decode(MQTT_V5, 0x30, &w, &packet), MQTT_OK);
    cr_expect(str_equal(packet.publish.topic, STR_LITERAL("\xEF\xBB\xBF"
                                                          "a")));
}
