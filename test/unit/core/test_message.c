#include "broker/core/message.h"

#include "broker/codec/packet.h"

#include <criterion/criterion.h>

#include "test/unit/failing.h"

/* Message Expiry 60, Topic Alias 5, User Property a=b, as a PUBLISH of MQTT 5 brings them. */
static const char body[] = "\x00\x03t/1\x00\x07"
                           "\x0f\x02\x00\x00\x00\x3c\x23\x00\x05\x26\x00\x01"
                           "a\x00\x01"
                           "b"
                           "payload";

static struct message *make(void)
{
    struct mqtt_publish publish;
    struct message *m = NULL;
    enum mqtt_reason reason =
        publish_decode(MQTT_V5, 2, str_of_bytes(body, sizeof body - 1), &publish);
    int rc;

    cr_assert_eq(reason, MQTT_OK);
    rc = message_new(&m, &publish, 17, 1000);
    cr_assert_eq(rc, 0);
    return m;
}

static struct mqtt_publish decoded(enum mqtt_version version, const uint8_t *bytes, size_t len)
{
    struct mqtt_publish publish;
    enum mqtt_reason reason;
    struct frame frame;

    cr_assert_eq(frame_next(str_of_bytes(bytes, len), MQTT_PACKET_MAX, &frame, &reason),
                 FRAME_WHOLE);
    cr_assert_eq(frame.head_bytes + frame.body_bytes, len);
    reason = publish_decode(version, frame.flags,
                            str_of_bytes(bytes + frame.head_bytes, frame.body_bytes), &publish);
    cr_assert_eq(reason, MQTT_OK);
    return publish;
}

Test(message, holds_a_copy_of_what_was_published)
{
    struct message *m = make();

    cr_assert(str_equal(m->topic, STR_LITERAL("t/1")));
    cr_assert(str_equal(m->payload, STR_LITERAL("payload")));
    cr_assert_eq(m->qos, 1);
    cr_assert_not(m->retain);
    cr_assert_eq(m->publisher, 17);
    cr_assert_eq(m->properties.len, 12, "the Topic Alias stays on its hop");
    cr_assert_eq(message_bytes(m), sizeof *m + 3 + 7 + 12);
    message_unref(m);
}

Test(message, an_empty_payload_is_a_payload)
{
    struct mqtt_publish publish = {.topic = STR_LITERAL("t"), .retain = true};
    struct message *m = NULL;
    const struct message_wire *wire;

    cr_assert_eq(message_new(&m, &publish, 0, 0), 0);
    cr_assert(m->retain);
    cr_assert_eq(m->payload.len, 0);
    cr_assert_not(message_is_expired(m, UINT64_MAX));
    wire = message_wire(m, MQTT_V311, 0);
    cr_assert_eq(wire->len, 5);
    cr_assert_eq(memcmp(wire->bytes, "\x30\x03\x00\x01t", 5), 0);
    message_unref(m);
}

Test(message, each_wire_form_is_encoded_once)
{
    struct message *m = make();

    for (unsigned version = MQTT_V311; version <= MQTT_V5; version++) {
        const struct message_wire *loose = message_wire(m, version, 0);
        const struct message_wire *acked = message_wire(m, version, 1);

        cr_assert_not_null(loose);
        cr_assert_eq(message_wire(m, version, 0), loose);
        cr_assert_eq(message_wire(m, version, 1), acked);
        cr_assert_eq(message_wire(m, version, 2), acked);
        cr_assert_eq(loose->len + 2, acked->len);
        cr_assert_eq(loose->packet_id_at, 0);
        cr_assert_gt(acked->packet_id_at, 0);
        cr_assert_eq(acked->expiry_at > 0, version == MQTT_V5);
    }
    cr_assert_lt(message_wire(m, MQTT_V311, 0)->len, message_wire(m, MQTT_V5, 0)->len);
    message_unref(m);
}

Test(message, every_receiver_gets_its_own_bits)
{
    static const struct message_delivery rows[] = {
        {0, 0, false, false},    {0, 0, true, false},     {1, 1, false, false},
        {0xabcd, 1, true, true}, {65535, 2, false, true},
    };
    struct message *m = make();
    uint8_t bytes[64];

    for (unsigned version = MQTT_V311; version <= MQTT_V5; version++) {
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            const struct message_wire *wire = message_wire(m, version, rows[i].qos);
            struct mqtt_publish got;

            cr_assert_leq(wire->len, sizeof bytes);
            message_write(m, wire, rows[i], 1000, bytes);
            got = decoded(version, bytes, wire->len);
            cr_assert(str_equal(got.topic, m->topic));
            cr_assert(str_equal(got.payload, m->payload));
            cr_assert_eq(got.qos, rows[i].qos);
            cr_assert_eq(got.dup, rows[i].dup);
            cr_assert_eq(got.retain, rows[i].retain);
            cr_assert_eq(got.packet_id, rows[i].packet_id);
            cr_assert_eq(got.properties.user_count, version == MQTT_V5);
            cr_assert_not(mqtt_has(&got.properties, MQTT_PROP_TOPIC_ALIAS));
        }
    }
    message_unref(m);
}

/* "set to the received value minus the time that the Application Message has been waiting" */
Test(message, mqtt_3_3_2_6)
{
    static const struct {
        uint64_t at_ms;
        uint32_t left_s;
        bool expired;
    } rows[] = {{1000, 60, false}, {1999, 60, false}, {2000, 59, false},
                {60999, 1, false}, {61000, 1, true},  {9000000, 1, true}};
    struct message *m = make();
    const struct message_wire *wire = message_wire(m, MQTT_V5, 0);
    uint8_t bytes[64];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct mqtt_publish got;

        message_write(m, wire, (struct message_delivery){0}, rows[i].at_ms, bytes);
        got = decoded(MQTT_V5, bytes, wire->len);
        cr_expect(mqtt_has(&got.properties, MQTT_PROP_MESSAGE_EXPIRY));
        cr_expect_eq(got.properties.message_expiry_s, rows[i].left_s, "at %zu", i);
        cr_expect_eq(message_is_expired(m, rows[i].at_ms), rows[i].expired, "at %zu", i);
    }
    message_unref(m);
}

Test(message, the_last_reference_frees_it)
{
    struct message *m = make();

    cr_assert_eq(message_ref(m), m);
    message_unref(m);
    cr_assert(str_equal(m->topic, STR_LITERAL("t/1")));
    message_unref(m);
    message_unref(NULL);
}

Test(message, without_memory_there_is_no_message_and_no_wire_form)
{
    struct mqtt_publish publish = {.topic = STR_LITERAL("t")};
    struct message *m = NULL;
    int rc;

    failing_mem_at(0);
    rc = message_new(&m, &publish, 0, 0);
    cr_assert(failing_mem_hit());
    cr_assert_eq(rc, ERR_NOMEM);
    cr_assert_null(m);
    cr_assert_eq(message_new(&m, &publish, 0, 0), 0);
    failing_mem_at(0);
    cr_assert_null(message_wire(m, MQTT_V5, 1));
    cr_assert(failing_mem_hit());
    cr_assert_not_null(message_wire(m, MQTT_V5, 1));
    message_unref(m);
}

/* The interval of a will runs from its publication, not from the CONNECT that left it here. */
Test(message, expiry_runs_from_publication)
{
    struct message *m = make();

    message_publish_at(m, 500000);
    cr_expect(!message_is_expired(m, 559999));
    cr_expect(message_is_expired(m, 560000));
    message_unref(m);
}
