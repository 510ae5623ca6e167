#include "broker/server/streams.h"

#include <stdio.h>

#include "broker/base/mem.h"
#include "broker/base/nearest.h"
#include "broker/codec/topic.h"
#include "broker/payload/schema.h"

struct rule {
    char *filter;
    const struct schema *schema; /* NULL: raw */
    size_t bike_level;           /* from 0 */
};

struct streams {
    size_t count;
    struct rule rules[CONFIG_STREAMS_MAX];
};

static const char raw[] = "raw";

/* Level number `place`, from 0; false when there are fewer. */
static bool level_at(struct str topic, size_t place, struct str *out)
{
    const char *at = topic.at, *end = topic.at + topic.len;

    for (;;) {
        const char *slash = memchr(at, '/', (size_t)(end - at));

        if (place == 0) {
            *out = (struct str){at, (size_t)((slash ? slash : end) - at)};
            return true;
        }
        if (!slash)
            return false;
        at = slash + 1;
        place--;
    }
}

/* Where the bike's id stands, from 0; false when the rule does not say. */
static bool bike_level_find(const struct config_stream *rule, size_t *out)
{
    struct str filter = str_from(rule->topic), level;

    if (rule->key > 0) {
        *out = (size_t)rule->key - 1;
        return level_at(filter, *out, &level) && str_equal(level, STR_LITERAL("+"));
    }
    for (*out = 0; level_at(filter, *out, &level); (*out)++)
        if (str_equal(level, STR_LITERAL("+")))
            return true;
    return false;
}

static int refuse_type(const struct config_stream *rule, const struct schema_set *schemas,
                       struct err_detail *detail)
{
    struct nearest near;
    char known[256];
    size_t count, used = (size_t)snprintf(known, sizeof known, "raw");
    const struct schema *const *all = schema_all(schemas, &count);

    nearest_init(&near, str_from(rule->type));
    nearest_offer(&near, "raw");
    for (size_t i = 0; i < count; i++) {
        nearest_offer(&near, schema_name(all[i]));
        if (used < sizeof known)
            used +=
                (size_t)snprintf(known + used, sizeof known - used, ", %s", schema_name(all[i]));
    }
    if (near.name)
        return err_set(detail, ERR_INVALID, "%s: unknown message type \"%s\": did you mean \"%s\"?",
                       rule->place, rule->type, near.name);
    return err_set(detail, ERR_INVALID, "%s: unknown message type \"%s\"; known are %s",
                   rule->place, rule->type, known);
}

int streams_rule_check(const struct config_stream *rule, const struct schema_set *schemas,
                       struct err_detail *detail)
{
    size_t level;

    if (!rule->topic || !rule->type)
        return err_set(detail, ERR_INVALID, "%s: a stream needs a topic and a type; %s is missing",
                       rule->place, rule->topic ? "type" : "topic");
    if (!topic_filter_valid(str_from(rule->topic)))
        return err_set(detail, ERR_INVALID, "%s: \"%s\" is not a valid topic filter", rule->place,
                       rule->topic);
    if (!bike_level_find(rule, &level) && rule->key > 0)
        return err_set(detail, ERR_INVALID,
                       "%s: key is %llu, but level %llu of \"%s\" is not a +; the bike's id must "
                       "stand at a +",
                       rule->place, (unsigned long long)rule->key, (unsigned long long)rule->key,
                       rule->topic);
    if (!bike_level_find(rule, &level))
        return err_set(detail, ERR_INVALID,
                       "%s: \"%s\" has no + where the bike's id would stand, such as v1/b/+/tel",
                       rule->place, rule->topic);
    if (schemas && strcmp(rule->type, raw) != 0 && !schema_by_name(schemas, str_from(rule->type)))
        return refuse_type(rule, schemas, detail);
    return 0;
}

int streams_new(struct streams **out, const struct config_stream *rules, size_t count,
                const struct schema_set *schemas, struct err_detail *detail)
{
    struct streams *streams;
    int rc = 0;

    *out = NULL;
    if (count > CONFIG_STREAMS_MAX)
        return err_set(detail, ERR_FULL, "more than %d streams", CONFIG_STREAMS_MAX);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = streams_rule_check(&rules[i], schemas, detail);
    if (rc)
        return rc;

    streams = MEM_NEW(struct streams);
    for (size_t i = 0; i < count; i++) {
        struct rule *rule = &streams->rules[streams->count++];

        rule->filter = mem_copy_text(str_from(rules[i].topic));
        rule->schema = schema_by_name(schemas, str_from(rules[i].type)); /* NULL for raw */
        ASSERT(bike_level_find(&rules[i], &rule->bike_level));
    }
    *out = streams;
    return 0;
}

void streams_free(struct streams *streams)
{
    if (!streams)
        return;
    for (size_t i = 0; i < streams->count; i++)
        mem_free(streams->rules[i].filter);
    mem_free(streams);
}

bool streams_match(const struct streams *streams, struct str topic, struct stream_hit *out)
{
    for (size_t i = 0; i < streams->count; i++) {
        const struct rule *rule = &streams->rules[i];

        if (!topic_matches(str_from(rule->filter), topic))
            continue;
        out->stream = (uint16_t)i;
        out->schema = rule->schema;
        out->schema_id = rule->schema ? schema_id(rule->schema) : SCHEMA_RAW;
        return level_at(topic, rule->bike_level, &out->bike);
    }
    return false;
}

size_t streams_count(const struct streams *streams)
{
    return streams->count;
}

const char *streams_filter(const struct streams *streams, size_t place)
{
    ASSERT(place < streams->count);
    return streams->rules[place].filter;
}
