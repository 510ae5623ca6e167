/* broker/codec/reason.h -- which packet may carry which reason code. Texts are in mqtt.h. */
#ifndef FREEHUB_BROKER_CODEC_REASON_H
#define FREEHUB_BROKER_CODEC_REASON_H

#include "broker/codec/mqtt.h"

/* MQTT_OK when the standard lists `code` for packets of `type`; MQTT_MALFORMED for a code it does
 * not know at all, MQTT_PROTOCOL_ERROR for one of another packet [MQTT-3.4.2-1]. Any thread. */
enum mqtt_reason reason_check(enum mqtt_type type, uint8_t code);

#endif
