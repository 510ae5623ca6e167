#include "broker/cli/load_feed.h"

#include "broker/codec/packet.h"
#include "broker/payload/payload.h"

#include <criterion/criterion.h>

static const struct load_options batches = {
    .version = MQTT_V5, .qos = 1, .batch = true, .topic = "v1/b/bench-{i}/tel", .subscribers = 3};
static const struct load_options bytes = {
    .version = MQTT_V311, .qos = 0, .payload_bytes = 64, .topic = "t/{s}", .subscribers = 3};

static struct mqtt_publish decoded(const struct load_options *o, const struct load_feed *f,
                                   const uint8_t *at)
{
    struct mqtt_publish publish;
    enum mqtt_reason reason;
    struct frame frame;

    cr_assert_eq(frame_next(str_of_bytes(at, f->len), MQTT_PACKET_MAX, &frame, &reason),
                 FRAME_WHOLE);
    cr_assert_eq(frame.head_bytes + frame.body_bytes, f->len);
    reason = publish_decode(o->version, frame.flags,
                            str_of_bytes(at + frame.head_bytes, frame.body_bytes), &publish);
    cr_assert_eq(reason, MQTT_OK);
    return publish;
}

Test(load_feed, every_message_says_whose_it_is_and_which)
{
    static const struct load_options *const kinds[] = {&batches, &bytes};
    static const uint32_t numbers[] = {0, 1, 127, 128, 300000, (1u << 26) - 1};
    uint8_t packet[512];

    for (size_t kind = 0; kind < ARRAY_LEN(kinds); kind++) {
        struct load_feed f;
        int rc = load_feed_init(&f, kinds[kind], 41, 12345);

        cr_assert_eq(rc, 0);
        cr_assert_leq(f.len, sizeof packet);
        for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
            uint32_t publisher = 0, number = 0;
            struct mqtt_publish publish;

            load_feed_write(&f, packet, 77, numbers[i], INT64_C(1763953200000));
            publish = decoded(kinds[kind], &f, packet);
            cr_assert_eq(publish.packet_id, kinds[kind]->qos ? 77 : 0);
            cr_assert(str_equal(publish.topic, str_from(f.topic)));
            cr_assert(load_feed_read(kinds[kind], publish.payload, &publisher, &number));
            cr_assert_eq(publisher, 41);
            cr_assert_eq(number, numbers[i]);
        }
        load_feed_fini(&f);
    }
}

/* What freehubd stores must be what it would take from a bike. */
Test(load_feed, a_batch_is_valid_and_no_sample_comes_twice)
{
    struct schema_set *schemas = NULL;
    struct payload_facts facts;
    const char *why = "";
    uint8_t packet[512];
    struct load_feed f;

    cr_assert_eq(schema_set_load(&schemas, NULL), 0);
    cr_assert_eq(load_feed_init(&f, &batches, 7, 1), 0);
    for (uint32_t number = 0; number < 3; number++) {
        struct mqtt_publish publish;

        load_feed_write(&f, packet, 1, number, INT64_C(1763953200000) + number);
        publish = decoded(&batches, &f, packet);
        cr_assert(payload_validate(schema_by_name(schemas, STR_LITERAL("freehub.v1.Batch")),
                                   publish.payload, &facts, &why),
                  "%s", why);
        cr_assert_eq(facts.sample_count, 1);
        cr_assert_eq(facts.first_sample, (1u << 21) + number);
        cr_assert_eq(facts.first_ms, INT64_C(1763953200000) + number);
        cr_assert(facts.time_ok);
    }
    load_feed_fini(&f);
    schema_set_free(schemas);
}

Test(load_feed, what_is_not_of_a_feed_is_not_counted)
{
    static const char *const payloads[] = {"", "1234567", "\x08\x01\x10\x0c\x18\x01"};
    uint32_t publisher, number;

    for (size_t i = 0; i < ARRAY_LEN(payloads); i++) {
        cr_expect_not(load_feed_read(&batches, str_from(payloads[i]), &publisher, &number));
        cr_expect_not(load_feed_read(&bytes, str_from(payloads[i]), &publisher, &number));
    }
}

Test(load_feed, patterns_take_the_number)
{
    static const struct {
        const char *pattern, *expanded;
        size_t room;
        int rc;
    } rows[] = {
        {"v1/b/bench-{i}/tel", "v1/b/bench-17/tel", 64, 0},
        {"{j}", "17", 64, 0},
        {"g/{s}/{i}", "g/2/17", 64, 0},
        {"{}{x}{i", "{}{x}{i", 64, 0},
        {"abc", "abc", 4, 0},
        {"abcd", "", 4, ERR_TOO_LARGE},
        {"a{i}b", "", 4, ERR_TOO_LARGE},
        {"", "", 4, ERR_INVALID},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[64];
        int rc = load_expand(rows[i].pattern, 17, 3, out, rows[i].room);

        cr_expect_eq(rc, rows[i].rc, "\"%s\"", rows[i].pattern);
        if (rc == 0)
            cr_expect_str_eq(out, rows[i].expanded);
    }
}
