/* broker/codec/publish.h -- PUBLISH. Its decoder and the encoder of the hot path are declared in
 * packet.h. */
#ifndef FREEHUB_BROKER_CODEC_PUBLISH_H
#define FREEHUB_BROKER_CODEC_PUBLISH_H

#include "broker/codec/emit.h"
#include "broker/codec/mqtt.h"

/* The low nibble of the first byte. DUP with QoS 0 and QoS 3 do not exist. Any thread. */
uint8_t publish_flags(const struct mqtt_publish *packet);

/* Properties from their members. Any thread. */
void publish_emit(struct emit *e, const struct mqtt_publish *packet);

#endif
