#include "broker/codec/topic.h"

#include "broker/codec/utf8.h"

#define DELETE 0x7F
#define SPACE  0x20

/* Eight bytes at once. A high bit in each byte that is below `limit` (1..127), that is `byte`; both
 * are exact as long as no byte of `word` is above 0x7F. */
static inline uint64_t below(uint64_t word, uint8_t limit)
{
    return ~(word + UTF8_ONES * (0x80U - limit)) & UTF8_HIGHS;
}

static inline uint64_t equals(uint64_t word, uint8_t byte)
{
    return below(word ^ UTF8_ONES * byte, 1);
}

/* What needs a closer look: not ASCII, control characters, wildcards. */
static inline uint64_t suspects(uint64_t word)
{
    return (word & UTF8_HIGHS) | below(word, SPACE) | equals(word, DELETE) | equals(word, '+') |
           equals(word, '#');
}

/* The last `len` bytes, 1..7, of a text of eight or more, with spaces behind them. */
static inline uint64_t load_tail(struct str text, size_t len)
{
    uint64_t word = load_u64(text.at + text.len - sizeof word);

    return word >> 8 * (sizeof word - len) | (UTF8_ONES * SPACE) << 8 * len;
}

/* The sum of eight counters of a byte each. */
static inline unsigned sum_bytes(uint64_t counters)
{
    const uint64_t evens = UINT64_C(0x00FF00FF00FF00FF);
    uint64_t pairs = (counters & evens) + (counters >> 8 & evens);

    return (unsigned)(pairs * UINT64_C(0x0001000100010001) >> 48);
}

static bool has_control(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = (uint8_t)text.at[i];

        if (byte < SPACE || byte == DELETE)
            return true;
        if (byte == 0xC2 && i + 1 < text.len && (uint8_t)text.at[i + 1] < 0xA0) /* U+0080..9F */
            return true;
    }
    return false;
}

static unsigned level_count(struct str text)
{
    unsigned count = 1;

    for (size_t i = 0; i < text.len; i++)
        count += text.at[i] == '/';
    return count;
}

/* What names and filters have in common, once the standard is met. */
static enum mqtt_reason check_limits(struct str text, enum mqtt_reason beyond)
{
    if (text.len > MQTT_TOPIC_MAX || level_count(text) > MQTT_TOPIC_LEVELS_MAX || has_control(text))
        return beyond;
    return MQTT_OK;
}

/* Names that are short, long or not all plain ASCII. */
static enum mqtt_reason check_odd_name(struct str name)
{
    if (name.len == 0 || !utf8_valid(name))
        return MQTT_MALFORMED;
    if (memchr(name.at, '+', name.len) || memchr(name.at, '#', name.len))
        return MQTT_MALFORMED;
    return check_limits(name, MQTT_TOPIC_NAME_INVALID);
}

_Static_assert(MQTT_TOPIC_MAX / 8 < UINT8_MAX, "a counter of slashes is one byte");

/* One pass for the names that all fleets use; whatever is odd about one is told by the second. */
enum mqtt_reason topic_name_check(struct str name)
{
    const char *at = name.at;
    size_t left = name.len;
    uint64_t slashes = 0; /* eight counters; MQTT_TOPIC_MAX / 8 fits in each */
    uint64_t odd = 0;

    if (UNLIKELY(left < 8 || left > MQTT_TOPIC_MAX))
        return check_odd_name(name);
    for (; left >= 8; at += 8, left -= 8) {
        uint64_t word = load_u64(at);

        odd |= suspects(word);
        slashes += equals(word, '/') >> 7;
    }
    if (left > 0) {
        uint64_t word = load_tail(name, left);

        odd |= suspects(word);
        slashes += equals(word, '/') >> 7;
    }
    if (UNLIKELY(odd || sum_bytes(slashes) >= MQTT_TOPIC_LEVELS_MAX))
        return check_odd_name(name);
    return MQTT_OK;
}

/* '+' fills a level, '#' fills the last one. */
static bool wildcards_placed(struct str filter)
{
    for (size_t i = 0; i < filter.len; i++) {
        bool first = i == 0 || filter.at[i - 1] == '/';
        bool last = i + 1 == filter.len;

        if (filter.at[i] == '#' && !(first && last)) /* [MQTT-4.7.1-1] */
            return false;
        if (filter.at[i] == '+' && !(first && (last || filter.at[i + 1] == '/'))) /* 4.7.1-2 */
            return false;
    }
    return true;
}

enum mqtt_reason topic_filter_check(struct str filter)
{
    if (filter.len == 0 || !utf8_valid(filter) || !wildcards_placed(filter))
        return MQTT_MALFORMED;
    return check_limits(filter, MQTT_TOPIC_FILTER_INVALID);
}

bool topic_name_valid(struct str name)
{
    return topic_name_check(name) == MQTT_OK;
}

bool topic_filter_valid(struct str filter)
{
    return topic_filter_check(filter) == MQTT_OK;
}

bool topic_level_next(struct str *rest, bool *more, struct str *level)
{
    const char *slash;

    if (!*more)
        return false;
    slash = rest->len > 0 ? memchr(rest->at, '/', rest->len) : NULL;
    *more = slash != NULL;
    *level = *rest;
    if (slash) {
        level->len = (size_t)(slash - rest->at);
        rest->at = slash + 1;
        rest->len -= level->len + 1;
    } else {
        *rest = (struct str){NULL, 0};
    }
    return true;
}

static bool is_wild(struct str level, char wildcard)
{
    return level.len == 1 && level.at[0] == wildcard;
}

static bool begins_with(struct str text, char byte)
{
    return text.len > 0 && text.at[0] == byte;
}

static bool begins_wild(struct str filter)
{
    return begins_with(filter, '#') || begins_with(filter, '+');
}

bool topic_matches(struct str filter, struct str name)
{
    bool more_filter = true, more_name = true;
    struct str want, have;

    if (begins_with(name, '$') && begins_wild(filter)) /* [MQTT-4.7.2-1] */
        return false;
    while (topic_level_next(&filter, &more_filter, &want)) {
        if (is_wild(want, '#'))
            return true; /* also the level above it */
        if (!topic_level_next(&name, &more_name, &have))
            return false;
        if (!is_wild(want, '+') && !str_equal(want, have))
            return false;
    }
    return !more_name;
}

/* Level by level. "#" also matches the name that ends right before it, which "+/#" does not, so
 * nothing but "#" covers "#" - except where no name can end there: at the very top, and behind an
 * empty first level, since a name has at least one character. */
bool topic_filter_covers(struct str outer, struct str inner)
{
    bool more_outer = true, more_inner = true;
    struct str wide, narrow;
    size_t before = 0; /* length of the name that would end in front of the level at hand */
    const char *start = inner.at;

    if (begins_with(inner, '$') && begins_wild(outer)) /* [MQTT-4.7.2-1] */
        return false;
    while (topic_level_next(&outer, &more_outer, &wide)) {
        if (is_wild(wide, '#'))
            return true;
        if (!topic_level_next(&inner, &more_inner, &narrow))
            return false;
        if (is_wild(narrow, '#'))
            return before == 0 && is_wild(wide, '+') && is_wild(outer, '#');
        if (!is_wild(wide, '+') && !str_equal(wide, narrow))
            return false;
        before += narrow.len + (narrow.at > start);
    }
    return !more_inner;
}

bool topic_share_split(struct str filter, bool *is_share, struct str *group, struct str *rest)
{
    static const char prefix[] = "$share/";
    bool more = true;

    *is_share = str_has_prefix(filter, STR_LITERAL(prefix));
    if (!*is_share)
        return false;
    rest->at = filter.at + sizeof prefix - 1;
    rest->len = filter.len - (sizeof prefix - 1);
    if (!topic_level_next(rest, &more, group) || !more)
        return false;
    return group->len > 0 && !memchr(group->at, '+', group->len) &&
           !memchr(group->at, '#', group->len) && rest->len > 0;
}
