/* test/fuzz/fuzz_topic.c -- three texts, parted by U+0000: two filters and a name. Validity against
 * its definition, matching against the plain matcher, covering against names made to fit. */
#include "broker/codec/topic.h"
#include "broker/codec/utf8.h"
#include "test/unit/codec/topic_naive.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first text of `*rest`, in a block of its own for AddressSanitizer. */
static struct str take(struct str *rest)
{
    const char *end = rest->len ? memchr(rest->at, '\0', rest->len) : NULL;
    size_t len = end ? (size_t)(end - rest->at) : rest->len;
    char *copy = malloc(len ? len : 1);

    if (len)
        memcpy(copy, rest->at, len);
    rest->at += len + (end != NULL);
    rest->len -= len + (end != NULL);
    return str_of_bytes(copy, len);
}

static void check_name(struct str name)
{
    enum mqtt_reason expected = MQTT_OK;
    size_t levels = 1;

    for (size_t i = 0; i < name.len; i++) {
        uint8_t byte = (uint8_t)name.at[i];
        bool c1 = byte == 0xC2 && i + 1 < name.len && (uint8_t)name.at[i + 1] < 0xA0;

        levels += byte == '/';
        if (byte < 0x20 || byte == 0x7F || c1)
            expected = MQTT_TOPIC_NAME_INVALID;
    }
    if (name.len > MQTT_TOPIC_MAX || levels > MQTT_TOPIC_LEVELS_MAX)
        expected = MQTT_TOPIC_NAME_INVALID;
    for (size_t i = 0; i < name.len; i++)
        if (name.at[i] == '+' || name.at[i] == '#')
            expected = MQTT_MALFORMED;
    if (name.len == 0 || !utf8_valid_dfa((const uint8_t *)name.at, name.len))
        expected = MQTT_MALFORMED;
    ASSERT(topic_name_check(name) == expected);
    if (expected == MQTT_OK) /* a name is a filter that matches itself */
        ASSERT(topic_filter_valid(name) && topic_matches(name, name) &&
               topic_filter_covers(name, name));
}

/* A name that `filter` matches: each wildcard filled by what `fill` says, levels of `other` among
 * it. Returns false where that makes no valid name. */
static bool name_from(struct str filter, struct str other, uint32_t fill, char *to, struct str *out)
{
    static const char *const levels[] = {"", "x", "$", "a"};
    bool more = true, more_other = true, first = true;
    struct str level, given = {NULL, 0};
    size_t len = 0;

    while (topic_level_next(&filter, &more, &level)) {
        bool plus = level.len == 1 && level.at[0] == '+';
        bool hash = level.len == 1 && level.at[0] == '#';
        unsigned count = hash ? fill % 3 : 1;

        if (!topic_level_next(&other, &more_other, &given))
            given = (struct str){NULL, 0};
        for (unsigned i = 0; i < count; i++) {
            struct str put = level;

            if (plus || hash) {
                put = fill & 4 ? given : str_from(levels[fill >> 3 & 3]);
                fill = fill >> 5 | fill << 27;
            }
            if (!first)
                to[len++] = '/';
            first = false;
            if (put.len)
                memcpy(to + len, put.at, put.len);
            len += put.len;
        }
    }
    *out = str_of_bytes(to, len);
    return topic_name_valid(*out);
}

static void check_covers(struct str outer, struct str inner, uint32_t seed)
{
    char *text = malloc(2 * (outer.len + inner.len) + 16);
    bool covers = topic_filter_covers(outer, inner);
    struct str name;

    for (int i = 0; i < 16; i++) {
        seed = seed * 1664525 + 1013904223;
        if (!name_from(inner, outer, seed, text, &name) || !topic_matches(inner, name))
            continue;
        ASSERT(!covers || topic_matches(outer, name));
    }
    free(text);
}

static void check_filters(struct str a, struct str b, struct str name)
{
    bool is_share;
    struct str group, rest;

    if (topic_share_split(a, &is_share, &group, &rest))
        ASSERT(is_share && group.len + rest.len + 8 == a.len && rest.len > 0);
    if (!topic_filter_valid(a))
        return;
    ASSERT(topic_filter_covers(a, a));
    if (topic_name_valid(name)) {
        ASSERT(topic_matches(a, name) == naive_matches(a, name));
        ASSERT(topic_matches(a, name) == topic_filter_covers(a, name));
    }
    if (topic_filter_valid(b))
        check_covers(a, b, (uint32_t)(a.len * 31 + b.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_of_bytes(data, size);
    struct str a = take(&rest), b = take(&rest), name = take(&rest);

    check_name(name);
    check_filters(a, b, name);
    check_filters(b, a, name);
    free((void *)(uintptr_t)a.at);
    free((void *)(uintptr_t)b.at);
    free((void *)(uintptr_t)name.at);
    return 0;
}
