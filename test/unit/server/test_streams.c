#include <criterion/criterion.h>

#include "broker/payload/schema.h"
#include "broker/server/streams.h"

static struct schema_set *schemas;

static void set_up(void)
{
    struct err_detail detail;

    cr_assert_eq(schema_set_load(&schemas, &detail), 0, "%s", detail.text);
}

static void tear_down(void)
{
    schema_set_free(schemas);
}

static struct streams *defaults(void)
{
    char *argv[] = {(char[]){"freehubd"}, (char[]){"--data"}, (char[]){"d"}, NULL};
    struct config *config;
    struct streams *streams;
    struct err_detail detail;

    cr_assert_eq(config_load(&config, NULL, 3, argv, &detail), 0, "%s", detail.text);
    cr_assert_eq(streams_new(&streams, config->streams, config->stream_count, schemas, &detail), 0,
                 "%s", detail.text);
    config_free(config);
    return streams;
}

/* The fleet's own scheme needs no configuration. */
Test(streams, default_scheme, .init = set_up, .fini = tear_down)
{
    static const struct {
        const char *topic;
        const char *type; /* NULL: not stored; "raw" */
        const char *bike;
    } rows[] = {
        {"v1/b/bike-1/hello", "freehub.v1.Hello", "bike-1"},
        {"v1/b/bike-1/tel", "freehub.v1.Batch", "bike-1"},
        {"v1/b/x/evt/trip_start", "freehub.v1.TripStart", "x"},
        {"v1/b/x/evt/trip_end", "freehub.v1.TripEnd", "x"},
        {"v1/b/x/evt/fall", "raw", "x"},
        {"v1/b/x/log", "raw", "x"},
        {"v1/b//tel", "freehub.v1.Batch", ""},
        {"v1/b/x/evt", NULL, NULL},
        {"v1/b/x/evt/a/b", NULL, NULL},
        {"v1/b/x/tel/y", NULL, NULL},
        {"v1/b/x/last", NULL, NULL},
        {"v1/c/x/tel", NULL, NULL},
        {"tel", NULL, NULL},
        {"$SYS/b/x/tel", NULL, NULL},
    };
    struct streams *streams = defaults();

    cr_expect_eq(streams_count(streams), 6);
    cr_expect_str_eq(streams_filter(streams, 1), "v1/b/+/tel");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct stream_hit hit;
        bool stored = streams_match(streams, str_from(rows[i].topic), &hit);

        cr_expect_eq(stored, rows[i].type != NULL, "%s", rows[i].topic);
        if (!stored || !rows[i].type)
            continue;
        cr_expect_str_eq(hit.schema ? schema_name(hit.schema) : "raw", rows[i].type);
        cr_expect_eq(hit.schema_id, hit.schema ? schema_id(hit.schema) : SCHEMA_RAW);
        cr_expect(str_equal(hit.bike, str_from(rows[i].bike)), "%s", rows[i].topic);
        cr_expect(hit.bike.at >= rows[i].topic && hit.bike.at <= rows[i].topic + 12);
    }
    streams_free(streams);
}

Test(streams, first_match_counts, .init = set_up, .fini = tear_down)
{
    struct config_stream rules[] = {
        {.topic = (char[]){"a/+/+"}, .type = (char[]){"raw"}, .key = 3, .place = "x"},
        {.topic = (char[]){"a/+/tel"}, .type = (char[]){"freehub.v1.Batch"}, .place = "x"},
        {.topic = (char[]){"b/+/#"}, .type = (char[]){"raw"}, .place = "x"},
    };
    struct streams *streams;
    struct stream_hit hit;
    struct err_detail detail;

    cr_assert_eq(streams_new(&streams, rules, ARRAY_LEN(rules), schemas, &detail), 0, "%s",
                 detail.text);
    cr_assert(streams_match(streams, STR_LITERAL("a/one/tel"), &hit));
    cr_expect_eq(hit.stream, 0);
    cr_expect(hit.schema == NULL);
    cr_expect(str_equal(hit.bike, STR_LITERAL("tel")));
    cr_assert(streams_match(streams, STR_LITERAL("b/two"), &hit));
    cr_expect_eq(hit.stream, 2);
    cr_expect(str_equal(hit.bike, STR_LITERAL("two")));
    cr_assert(streams_match(streams, STR_LITERAL("b/two/x/y"), &hit));
    cr_expect_not(streams_match(streams, STR_LITERAL("b"), &hit));
    streams_free(streams);
}

Test(streams, none_is_plain_mqtt, .init = set_up, .fini = tear_down)
{
    struct streams *streams;
    struct stream_hit hit;

    cr_assert_eq(streams_new(&streams, NULL, 0, schemas, NULL), 0);
    cr_expect_not(streams_match(streams, STR_LITERAL("v1/b/x/tel"), &hit));
    streams_free(streams);
}

Test(streams, unknown_types_are_refused, .init = set_up, .fini = tear_down)
{
    static const struct {
        const char *type, *says;
    } rows[] = {
        {"freehub.v1.Bach", "hub.yaml:3:5: unknown message type \"freehub.v1.Bach\": did you mean "
                            "\"freehub.v1.Batch\"?"},
        {"rw", "hub.yaml:3:5: unknown message type \"rw\": did you mean \"raw\"?"},
        {"json", "hub.yaml:3:5: unknown message type \"json\"; known are raw, freehub.v1."},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config_stream rule = {.topic = (char[]){"a/+"},
                                     .type = (char *)(uintptr_t)rows[i].type,
                                     .place = "hub.yaml:3:5"};
        struct streams *streams;
        struct err_detail detail;

        cr_expect_eq(streams_new(&streams, &rule, 1, schemas, &detail), ERR_INVALID);
        cr_expect(streams == NULL);
        cr_expect(strncmp(detail.text, rows[i].says, strlen(rows[i].says)) == 0, "%s", detail.text);
    }
}

Test(streams, count_is_bounded, .init = set_up, .fini = tear_down)
{
    static struct config_stream rules[CONFIG_STREAMS_MAX + 1];
    struct streams *streams;
    struct err_detail detail;

    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        rules[i] = (struct config_stream){.topic = (char[]){"a/+"}, .type = (char[]){"raw"}};
    cr_assert_eq(streams_new(&streams, rules, CONFIG_STREAMS_MAX, schemas, &detail), 0);
    streams_free(streams);
    cr_expect_eq(streams_new(&streams, rules, CONFIG_STREAMS_MAX + 1, schemas, &detail), ERR_FULL);
}
