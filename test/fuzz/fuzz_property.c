/* test/fuzz/fuzz_property.c -- a property list in each packet that has one, decoded, walked,
 * forwarded and encoded again. The first byte chooses the packet. */
#include "test/unit/codec/packet_equal.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every entry that property_next() shows is one that the decoder counted. */
static void walk(const struct mqtt_properties *p)
{
    uint32_t seen = 0, users = 0;
    struct str rest = p->raw;
    struct property entry;

    while (property_next(&rest, &entry)) {
        seen |= 1u << entry.which;
        users += entry.which == MQTT_PROP_USER;
    }
    ASSERT(rest.len == 0);
    ASSERT(seen == p->present && users == p->user_count);
    ASSERT(users <= MQTT_USER_PROPERTIES_MAX);
}

static void forward(const struct mqtt_properties *p, unsigned packet)
{
    const uint32_t one_hop = 1u << MQTT_PROP_TOPIC_ALIAS | 1u << MQTT_PROP_SUBSCRIPTION_ID;
    uint8_t *to = malloc(p->raw.len + 6);
    size_t len = properties_forward(p->raw, to + 5);
    struct emit head = emit_to(MQTT_V5, to, 5);
    struct mqtt_properties again;
    struct reader in;

    ASSERT(len <= p->raw.len);
    emit_varint(&head, len);
    memmove(to + head.len, to + 5, len);
    in = reader_of(MQTT_V5, str_of_bytes(to, head.len + len));
    properties_read(&in, packet, &again);
    ASSERT(!in.fault && again.present == (p->present & ~one_hop));
    ASSERT(repeated_equal(p, &again, MQTT_PROP_USER));
    free(to);
}

static void encode_again(const struct mqtt_properties *p, unsigned packet)
{
    struct emit measure = emit_nowhere(MQTT_V5), e;
    struct mqtt_properties again;
    struct reader in;
    uint8_t *to;

    properties_emit(&measure, packet, p);
    ASSERT(!measure.fault);
    to = malloc(measure.len);
    e = emit_to(MQTT_V5, to, measure.len);
    properties_emit(&e, packet, p);
    ASSERT(emit_done(&e) == measure.len);
    in = reader_of(MQTT_V5, str_of_bytes(to, e.len));
    properties_read(&in, packet, &again);
    ASSERT(reader_done(&in) == MQTT_OK && properties_equal(p, &again));
    free(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mqtt_properties p;
    struct reader in;
    unsigned packet;

    if (size < 1)
        return 0;
    packet = data[0] % MQTT_TYPE_COUNT;
    memset(&p, 0xA5, sizeof p);
    in = reader_of(MQTT_V5, str_of_bytes(data + 1, size - 1));
    properties_read(&in, packet, &p);
    if (in.fault)
        return 0;
    walk(&p);
    forward(&p, packet);
    encode_again(&p, packet);
    return 0;
}
