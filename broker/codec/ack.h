/* broker/codec/ack.h -- what answers or ends: PUBACK, PUBREC, PUBREL, PUBCOMP with a Packet
 * Identifier; DISCONNECT and AUTH without one. All have a Reason Code and properties in MQTT 5
 * only, and leave out what is 0x00 or empty at their end. */
#ifndef FREEHUB_BROKER_CODEC_ACK_H
#define FREEHUB_BROKER_CODEC_ACK_H

#include "broker/codec/emit.h"
#include "broker/codec/mqtt.h"
#include "broker/codec/reader.h"

/* `type` is one of the six; `out->packet_id` is 0 for those without. Any thread. */
enum mqtt_reason ack_decode(struct reader in, enum mqtt_type type, struct mqtt_ack *out);

/* 3.1.1 has no AUTH and no words for a reason. Any thread. */
void ack_emit(struct emit *e, enum mqtt_type type, const struct mqtt_ack *packet);

#endif
