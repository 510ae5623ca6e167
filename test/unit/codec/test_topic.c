#include "broker/codec/topic.h"
#include "test/unit/codec/topic_naive.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct str repeat(char *to, const char *unit, size_t count)
{
    size_t len = strlen(unit);

    for (size_t i = 0; i < count; i++)
        memcpy(to + i * len, unit, len);
    return str_of_bytes(to, count * len);
}

static enum mqtt_reason name_check(const char *name)
{
    return topic_name_check(str_from(name));
}

/* No wildcards in names, whatever stands around them. */
Test(topic, mqtt_4_7_0_1)
{
    char text[24];

    for (size_t len = 1; len <= sizeof text; len++) {
        for (size_t at = 0; at < len; at++) {
            memset(text, 'a', len);
            cr_expect_eq(topic_name_check(str_of_bytes(text, len)), MQTT_OK);
            text[at] = '+';
            cr_expect_eq(topic_name_check(str_of_bytes(text, len)), MQTT_MALFORMED);
            text[at] = '#';
            cr_expect_eq(topic_name_check(str_of_bytes(text, len)), MQTT_MALFORMED);
        }
    }
}

/* Every byte at every place of a word and behind it. */
Test(topic, bytes_of_a_name)
{
    char text[24];

    for (unsigned byte = 0; byte < 256; byte++) {
        enum mqtt_reason expected = MQTT_OK;

        if (byte == 0 || byte >= 0x80 || byte == '+' || byte == '#')
            expected = MQTT_MALFORMED;
        else if (byte < 0x20 || byte == 0x7F)
            expected = MQTT_TOPIC_NAME_INVALID;
        for (size_t at = 0; at < sizeof text; at++) {
            for (size_t len = at + 1; len <= sizeof text; len++) {
                memset(text, 'a', len);
                text[at] = (char)byte;
                cr_assert_eq(topic_name_check(str_of_bytes(text, len)), expected,
                             "byte %02X at %zu of %zu", byte, at, len);
            }
        }
    }
}

/* "#" stands alone or after "/", and last. */
Test(topic, mqtt_4_7_1_1)
{
    static const struct {
        const char *filter;
        bool valid;
    } rows[] = {{"#", true},   {"a/#", true},   {"/#", true},     {"+/#", true},
                {"a#", false}, {"##", false},   {"a/#/b", false}, {"#/a", false},
                {"#a", false}, {"a/b#", false}, {"a/#b", false},  {"#/", false}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        cr_expect_eq(topic_filter_valid(str_from(rows[i].filter)), rows[i].valid, "filter \"%s\"",
                     rows[i].filter);
}

/* "+" fills a whole level. */
Test(topic, mqtt_4_7_1_2)
{
    static const struct {
        const char *filter;
        bool valid;
    } rows[] = {{"+", true},     {"+/a", true},     {"a/+", true}, {"a/+/b", true}, {"/+", true},
                {"+/", true},    {"+/+/+", true},   {"+a", false}, {"a+", false},   {"++", false},
                {"a/+b", false}, {"a/b+/c", false}, {"+#", false}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        cr_expect_eq(topic_filter_valid(str_from(rows[i].filter)), rows[i].valid, "filter \"%s\"",
                     rows[i].filter);
}

/* At least one character. */
Test(topic, mqtt_4_7_3_1)
{
    cr_expect_eq(name_check(""), MQTT_MALFORMED);
    cr_expect_eq(topic_name_check((struct str){NULL, 0}), MQTT_MALFORMED);
    cr_expect_eq(topic_filter_check((struct str){NULL, 0}), MQTT_MALFORMED);
    cr_expect_eq(name_check("/"), MQTT_OK);
    cr_expect_eq(name_check(" "), MQTT_OK);
    cr_expect_eq(topic_filter_check(STR_LITERAL("/")), MQTT_OK);
}

/* No U+0000. */
Test(topic, mqtt_4_7_3_2)
{
    cr_expect_eq(topic_name_check(STR_LITERAL("a\0b")), MQTT_MALFORMED);
    cr_expect_eq(topic_filter_check(STR_LITERAL("a\0b")), MQTT_MALFORMED);
}

/* Our limits are reached and passed. */
Test(topic, mqtt_4_7_3_3)
{
    static char text[70000];

    cr_expect_eq(topic_name_check(repeat(text, "a", MQTT_TOPIC_MAX)), MQTT_OK);
    cr_expect_eq(topic_name_check(repeat(text, "a", MQTT_TOPIC_MAX + 1)), MQTT_TOPIC_NAME_INVALID);
    cr_expect_eq(topic_name_check(repeat(text, "a", 65535)), MQTT_TOPIC_NAME_INVALID);
    cr_expect_eq(topic_filter_check(repeat(text, "a", MQTT_TOPIC_MAX)), MQTT_OK);
    cr_expect_eq(topic_filter_check(repeat(text, "a", MQTT_TOPIC_MAX + 1)),
                 MQTT_TOPIC_FILTER_INVALID);
    cr_expect_eq(topic_name_check(repeat(text, "/", MQTT_TOPIC_LEVELS_MAX - 1)), MQTT_OK);
    cr_expect_eq(topic_name_check(repeat(text, "/", MQTT_TOPIC_LEVELS_MAX)),
                 MQTT_TOPIC_NAME_INVALID);
    cr_expect_eq(topic_name_check(repeat(text, "/", MQTT_TOPIC_MAX)), MQTT_TOPIC_NAME_INVALID);
    cr_expect_eq(topic_name_check(repeat(text, "abcdefg/", MQTT_TOPIC_LEVELS_MAX - 1)), MQTT_OK);
    cr_expect_eq(topic_name_check(repeat(text, "abcdefg/", MQTT_TOPIC_LEVELS_MAX)),
                 MQTT_TOPIC_NAME_INVALID);
    cr_expect_eq(topic_name_check(repeat(text, "/.", MQTT_TOPIC_LEVELS_MAX - 1)), MQTT_OK);
    cr_expect_eq(topic_filter_check(repeat(text, "/", MQTT_TOPIC_LEVELS_MAX - 1)), MQTT_OK);
    cr_expect_eq(topic_filter_check(repeat(text, "/", MQTT_TOPIC_LEVELS_MAX)),
                 MQTT_TOPIC_FILTER_INVALID);
    cr_expect_eq(topic_filter_check(STR_LITERAL("a\n")), MQTT_TOPIC_FILTER_INVALID);
    cr_expect_eq(topic_filter_check(STR_LITERAL("a\x7F/#")), MQTT_TOPIC_FILTER_INVALID);
}

/* Characters beyond ASCII are welcome, C1 controls are not. */
Test(topic, utf8)
{
    cr_expect_eq(name_check("f\xC3\xBCr/\xF0\x9F\x9A\xB2"), MQTT_OK);
    cr_expect_eq(name_check("\xEF\xBB\xBFtopic"), MQTT_OK); /* U+FEFF */
    cr_expect_eq(name_check("a\xC2\x9F"), MQTT_TOPIC_NAME_INVALID);
    cr_expect_eq(name_check("a\xC2\xA0"), MQTT_OK);
    cr_expect_eq(name_check("\xC3\xBC/+"), MQTT_MALFORMED);
    cr_expect_eq(name_check("\xED\xA0\x80"), MQTT_MALFORMED);
    cr_expect_eq(topic_filter_check(STR_LITERAL("\xC3\xBC/+/#")), MQTT_OK);
    cr_expect_eq(topic_filter_check(STR_LITERAL("\xC3/+/#")), MQTT_MALFORMED);
}

static const struct match_row {
    const char *filter;
    const char *name;
    bool matches;
} matches[] = {
    {"a", "a", true},
    {"a", "b", false},
    {"a", "a/", false},
    {"a/", "a", false},
    {"a/b", "a/b", true},
    {"a/b", "a/b/c", false},
    {"sport/tennis/#", "sport/tennis", true},
    {"sport/tennis/#", "sport/tennis/", true},
    {"sport/tennis/#", "sport/tennis/a/b", true},
    {"sport/tennis/#", "sport/tenni", false},
    {"sport/#", "sport", true},
    {"#", "a/b/c", true},
    {"#", "/", true},
    {"+", "a", true},
    {"+", "/a", false},
    {"+", "a/b", false},
    {"+/+", "/finance", true},
    {"/+", "/finance", true},
    {"sport/+", "sport", false},
    {"sport/+", "sport/", true},
    {"sport/+/x", "sport//x", true},
    {"+/tennis/#", "sport/tennis", true},
    {"a/+/#", "a", false},
    {"a/+/#", "a/b", true},
};

Test(topic, mqtt_3_3_2_3)
{
    for (size_t i = 0; i < ARRAY_LEN(matches); i++) {
        struct str filter = str_from(matches[i].filter), name = str_from(matches[i].name);

        cr_expect_eq(topic_matches(filter, name), matches[i].matches, "\"%s\" and \"%s\"",
                     matches[i].filter, matches[i].name);
        cr_expect_eq(naive_matches(filter, name), matches[i].matches, "naively");
    }
}

/* Filters that begin with a wildcard do not match "$...". */
Test(topic, mqtt_4_7_2_1)
{
    static const struct match_row rows[] = {
        {"#", "$SYS/a", false},     {"+/a", "$SYS/a", false},   {"+", "$SYS", false},
        {"$SYS/#", "$SYS/a", true}, {"$SYS/+", "$SYS/a", true}, {"+/#", "$SYS", false},
        {"$SYS/#", "$SYS", true},   {"a/#", "a/$b", true},      {"+/+", "a/$b", true},
        {"/#", "/$SYS", true},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        cr_expect_eq(topic_matches(str_from(rows[i].filter), str_from(rows[i].name)),
                     rows[i].matches, "\"%s\" and \"%s\"", rows[i].filter, rows[i].name);
}

/* Byte for byte, without normalisation and without folding case. */
Test(topic, mqtt_4_7_3_4)
{
    cr_expect_not(topic_matches(STR_LITERAL("ACCOUNTS"), STR_LITERAL("Accounts")));
    cr_expect_not(topic_matches(STR_LITERAL("\xC3\xA9"), STR_LITERAL("e\xCC\x81")));
    cr_expect_not(topic_matches(STR_LITERAL("a"), STR_LITERAL("\xEF\xBB\xBF"
                                                              "a")));
    cr_expect_not(topic_matches(STR_LITERAL("a/b"), STR_LITERAL("/a/b")));
}

Test(topic, covers)
{
    static const struct {
        const char *outer;
        const char *inner;
        bool covers;
    } rows[] = {
        {"v1/b/X/#", "v1/b/X/#", true},
        {"v1/b/X/#", "v1/b/X/cfg/+", true},
        {"v1/b/X/#", "v1/b/X", true},
        {"v1/b/X/#", "v1/b/+/cfg", false},
        {"v1/b/X/#", "v1/b/#", false},
        {"v1/b/X/#", "#", false},
        {"v1/b/X/#", "v1/b/XY/a", false},
        {"#", "$SYS/#", false},
        {"$SYS/#", "$SYS/a", true},
        {"$SYS/#", "$SYS/#", true},
        {"+/#", "#", true},
        {"#", "+/#", true},
        {"a/+/#", "a/#", false},
        {"a/#", "a/+/#", true},
        {"+/+", "+/+", true},
        {"+/+", "a/+", true},
        {"a/+", "+/+", false},
        {"+", "#", false},
        {"+/a", "$s/a", false},
        {"+/+/#", "#", false},
        {"+", "a/#", false},
        {"a/b", "a/b", true},
        {"a/b", "a/+", false},
        {"/+/#", "/#", true},
        {"+/+/#", "/#", true},
        {"+/+/#", "+/#", false},
        {"//+/#", "//#", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        cr_expect_eq(topic_filter_covers(str_from(rows[i].outer), str_from(rows[i].inner)),
                     rows[i].covers, "\"%s\" over \"%s\"", rows[i].outer, rows[i].inner);
}

/* All names of up to four levels, all filters of up to three and "#": covering is exactly that
 * whatever the inner one matches is matched by the outer one. "c" is in no filter, so that a
 * wildcard differs from every literal. */
enum { NAMES_MAX = 400, FILTERS_MAX = 200, WORDS = (NAMES_MAX + 63) / 64, TEXT_MAX = 24 };

static char names[NAMES_MAX][TEXT_MAX], filters[FILTERS_MAX][TEXT_MAX];
static uint64_t matched[FILTERS_MAX][WORDS];

static size_t all_texts(char (*to)[TEXT_MAX], const char *const levels[4], unsigned depth,
                        const char *tail)
{
    size_t count = 0, combinations = 1;

    for (unsigned i = 0; i < depth; i++)
        combinations *= 4;
    for (size_t c = 0; c < combinations; c++) {
        size_t pick = c, at = 0;

        for (unsigned i = 0; i < depth; i++, pick /= 4)
            at += (size_t)snprintf(to[count] + at, TEXT_MAX - at, "%s%s", i ? "/" : "",
                                   levels[pick % 4]);
        if (tail)
            snprintf(to[count] + at, TEXT_MAX - at, "%s%s", depth ? "/" : "", tail);
        count += to[count][0] != '\0';
    }
    return count;
}

Test(topic, covers_exactly)
{
    static const char *const name_levels[4] = {"", "a", "c", "$s"};
    static const char *const filter_levels[4] = {"", "a", "+", "$s"};
    size_t name_count = 0, filter_count = 0, covered = 0;

    for (unsigned depth = 1; depth <= 4; depth++)
        name_count += all_texts(names + name_count, name_levels, depth, NULL);
    for (unsigned depth = 1; depth <= 3; depth++)
        filter_count += all_texts(filters + filter_count, filter_levels, depth, NULL);
    for (unsigned depth = 0; depth <= 3; depth++)
        filter_count += all_texts(filters + filter_count, filter_levels, depth, "#");
    cr_assert(name_count > 330 && name_count < NAMES_MAX);
    cr_assert(filter_count > 160 && filter_count < FILTERS_MAX);

    for (size_t f = 0; f < filter_count; f++) {
        for (size_t n = 0; n < name_count; n++) {
            bool match = topic_matches(str_from(filters[f]), str_from(names[n]));

            cr_assert_eq(match, naive_matches(str_from(filters[f]), str_from(names[n])),
                         "\"%s\" and \"%s\"", filters[f], names[n]);
            matched[f][n / 64] |= (uint64_t)match << n % 64;
        }
    }
    for (size_t outer = 0; outer < filter_count; outer++) {
        for (size_t inner = 0; inner < filter_count; inner++) {
            bool covers = true;

            for (size_t w = 0; w < WORDS; w++)
                covers = covers && !(matched[inner][w] & ~matched[outer][w]);
            cr_assert_eq(topic_filter_covers(str_from(filters[outer]), str_from(filters[inner])),
                         covers, "\"%s\" over \"%s\"", filters[outer], filters[inner]);
            covered += covers;
        }
    }
    cr_expect(covered > filter_count && covered < filter_count * filter_count / 2);
}

static const struct share_row {
    const char *filter;
    bool is_share;
    bool good;
    const char *group;
    const char *rest;
} shares[] = {
    {"$share/g/a/b", true, true, "g", "a/b"}, {"$share/g/#", true, true, "g", "#"},
    {"$share/g//", true, true, "g", "/"},     {"$share/g", true, false, "", ""},
    {"$share/g/", true, false, "", ""},       {"$share/", true, false, "", ""},
    {"$share//t", true, false, "", ""},       {"$share/+/t", true, false, "", ""},
    {"$share/#/t", true, false, "", ""},      {"$share/a+/t", true, false, "", ""},
    {"$share/a#b/t", true, false, "", ""},    {"$share", false, false, "", ""},
    {"$shared/g/t", false, false, "", ""},    {"a/b", false, false, "", ""},
};

static void judge_shares(bool want_good)
{
    for (size_t i = 0; i < ARRAY_LEN(shares); i++) {
        const struct share_row *row = &shares[i];
        struct str group, rest;
        bool is_share;

        if (row->good != want_good)
            continue;
        cr_expect_eq(topic_share_split(str_from(row->filter), &is_share, &group, &rest), row->good,
                     "\"%s\"", row->filter);
        cr_expect_eq(is_share, row->is_share, "\"%s\"", row->filter);
        if (row->good) {
            cr_expect(str_equal(group, str_from(row->group)), "\"%s\"", row->filter);
            cr_expect(str_equal(rest, str_from(row->rest)), "\"%s\"", row->filter);
        }
    }
}

/* "$share/", a name of at least one character, "/" and a filter. */
Test(topic, mqtt_4_8_2_1)
{
    judge_shares(true);
}

/* No "/", "+" or "#" in the name; a filter follows. */
Test(topic, mqtt_4_8_2_2)
{
    judge_shares(false);
}

Test(topic, level_next)
{
    static const char *const expected[] = {"", "a", "", "bc", ""};
    struct str rest = STR_LITERAL("/a//bc/"), level;
    bool more = true;

    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        cr_assert(topic_level_next(&rest, &more, &level), "level %zu", i);
        cr_expect(str_equal(level, str_from(expected[i])), "level %zu", i);
        cr_expect_eq(more, i + 1 < ARRAY_LEN(expected), "level %zu", i);
    }
    cr_expect_not(topic_level_next(&rest, &more, &level));
    cr_expect_not(topic_level_next(&rest, &more, &level));
}
