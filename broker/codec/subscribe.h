/* broker/codec/subscribe.h -- SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK. */
#ifndef FREEHUB_BROKER_CODEC_SUBSCRIBE_H
#define FREEHUB_BROKER_CODEC_SUBSCRIBE_H

#include "broker/codec/emit.h"
#include "broker/codec/mqtt.h"
#include "broker/codec/reader.h"

/* A filter that breaks the standard fails the packet; one that only reaches our limits does not:
 * topic_filter_check() tells it, and its own code in SUBACK answers it. More than MQTT_FILTERS_MAX
 * filters: MQTT_QUOTA_EXCEEDED. Any thread. */
enum mqtt_reason subscribe_decode(struct reader in, struct mqtt_subscribe *out);
enum mqtt_reason unsubscribe_decode(struct reader in, struct mqtt_unsubscribe *out);

/* `type`: MQTT_SUBACK or MQTT_UNSUBACK. Any thread. */
enum mqtt_reason suback_decode(struct reader in, enum mqtt_type type, struct mqtt_suback *out);

void subscribe_emit(struct emit *e, const struct mqtt_subscribe *packet);
void unsubscribe_emit(struct emit *e, const struct mqtt_unsubscribe *packet);

/* In 3.1.1 every failure is 0x80, and an UNSUBACK has no codes. Any thread. */
void suback_emit(struct emit *e, enum mqtt_type type, const struct mqtt_suback *packet);

#endif
