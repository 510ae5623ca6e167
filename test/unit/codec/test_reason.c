#include "broker/codec/packet.h"
#include "broker/codec/reason.h"

#include <criterion/criterion.h>

Test(reason, texts)
{
    cr_expect_str_eq(mqtt_reason_text(MQTT_PACKET_TOO_LARGE), "Packet too large");
    cr_expect_str_eq(mqtt_reason_text(MQTT_NORMAL_DISCONNECTION), "Success");
    cr_expect_str_eq(mqtt_reason_text((enum mqtt_reason)0x03), "Unknown reason");
    cr_expect_str_eq(mqtt_reason_text((enum mqtt_reason)0x1000), "Unknown reason");
    cr_expect_str_eq(mqtt_type_text(MQTT_PUBLISH), "PUBLISH");
    cr_expect_str_eq(mqtt_type_text(MQTT_TYPE_COUNT), "unknown");
}

/* Every code is in some packet, and success in every reply. */
Test(reason, every_code_has_a_packet)
{
    static const uint8_t codes[] = {
#define MQTT_REASON(name, value, packets, text) (value),
#include "broker/codec/reason.def"
#undef MQTT_REASON
    };

    cr_expect_eq(ARRAY_LEN(codes), 43);
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        unsigned packets = 0;

        for (int type = MQTT_CONNECT; type < MQTT_TYPE_COUNT; type++)
            packets += reason_check((enum mqtt_type)type, codes[i]) == MQTT_OK;
        cr_expect(packets > 0, "code %02X", codes[i]);
    }
}
