/* broker/codec/connect.h -- CONNECT and CONNACK. */
#ifndef FREEHUB_BROKER_CODEC_CONNECT_H
#define FREEHUB_BROKER_CODEC_CONNECT_H

#include "broker/codec/emit.h"
#include "broker/codec/mqtt.h"
#include "broker/codec/reader.h"

/* `out->version` is what the client asked for as soon as it could be read, else 0: with
 * MQTT_UNSUPPORTED_VERSION, which also stands for another protocol name, it is the level that
 * nobody speaks here, for the server to answer in kind. Every other reason names a packet that
 * breaks [MQTT-3.1.4-1]. Any thread. */
enum mqtt_reason connect_decode(struct reader in, struct mqtt_connect *out);
void connect_emit(struct emit *e, const struct mqtt_connect *packet);

/* In 3.1.1 the reason is made from the return code 0..5. Any thread. */
enum mqtt_reason connack_decode(struct reader in, struct mqtt_connack *out);

/* A reason that 3.1.1 has no return code for makes no packet. Any thread. */
void connack_emit(struct emit *e, const struct mqtt_connack *packet);

#endif
