/* broker/codec/packet.h -- bytes to packets and back: what the server and the clients call. The
 * files of the packet families (connect.h, publish.h, ack.h, subscribe.h ...) stand behind it. */
#ifndef FREEHUB_BROKER_CODEC_PACKET_H
#define FREEHUB_BROKER_CODEC_PACKET_H

#include "broker/base/base.h"
#include "broker/codec/mqtt.h"

enum frame_state { FRAME_MORE, FRAME_WHOLE, FRAME_BAD };

/* One packet's place in a buffer. */
struct frame {
    enum mqtt_type type;
    uint8_t flags;       /* the low nibble of the first byte */
    uint32_t head_bytes; /* 2..5: first byte and Remaining Length */
    uint32_t body_bytes; /* Remaining Length */
};

/* Look at the start of `bytes`. FRAME_MORE: not all there yet, but `*out` is set as soon as the
 * header is whole (head_bytes > 0), so that the caller can judge type and size early. FRAME_BAD:
 * `*reason` says why: a Remaining Length over four bytes or over-long, reserved flag bits
 * [MQTT-2.1.3-1], the reserved type, or more than `max_packet_bytes` in all (MQTT_PACKET_TOO_LARGE;
 * found from the header alone). The flags of a PUBLISH are judged by its decoder. Any thread. */
enum frame_state frame_next(struct str bytes, uint32_t max_packet_bytes, struct frame *out,
                            enum mqtt_reason *reason);

/* Decode the body of a whole frame; `body` spans exactly body_bytes. `version` is ignored for
 * CONNECT, which brings its own. MQTT_OK, or the reason to close with and then `*out` is not to be
 * used; it borrows from `body`. Every packet type of both versions, also those only a server sends,
 * and what only a server may put into one (a Subscription Identifier in a PUBLISH): who sent it is
 * for the caller to judge. Of a refused CONNECT, connect.version is set, see connect.h. Any
 * thread. */
enum mqtt_reason packet_decode(enum mqtt_version version, const struct frame *frame,
                               struct str body, struct mqtt_packet *out);

/* The PUBLISH decoder alone, for the hot path: no union to clear. As packet_decode(). */
enum mqtt_reason publish_decode(enum mqtt_version version, uint8_t flags, struct str body,
                                struct mqtt_publish *out);

/* Encode a packet. Returns its length, or 0 when it does not fit in `room` bytes or is none that
 * the standard allows (packet id 0, a reason code or a property of another packet). Property lists
 * are encoded from the members named in `present` (in the order of property.def) and then the User
 * Properties and further Subscription Identifiers of `raw`, if any. 3.1.1 leaves out what it does
 * not have. Any thread. */
size_t packet_encode(enum mqtt_version version, const struct mqtt_packet *packet, uint8_t *to,
                     size_t room);

/* Encode a PUBLISH whose property list is `raw` as it stands (no topic alias, no subscription
 * identifier in it). `*packet_id_at` is the offset of the packet id, 0 with QoS 0, so that one
 * encoding serves every receiver and only the id is patched; `*expiry_at` that of the value of the
 * Message Expiry Interval, 0 without one. 3.1.1 drops the properties. Returns the length, or 0 when
 * `room` is too small; publish_encoded_bytes() gives the exact size. Any thread. */
size_t publish_encode_raw(enum mqtt_version version, const struct mqtt_publish *publish,
                          uint8_t *to, size_t room, uint32_t *packet_id_at, uint32_t *expiry_at);
size_t publish_encoded_bytes(enum mqtt_version version, const struct mqtt_publish *publish);

/* PUBACK with success, the packet of the hot path: 4 bytes in both versions. */
static inline size_t puback_encode_ok(uint8_t to[4], uint16_t packet_id)
{
    to[0] = MQTT_PUBACK << 4;
    to[1] = 2;
    to[2] = (uint8_t)(packet_id >> 8);
    to[3] = (uint8_t)packet_id;
    return 4;
}

/* The CONNACK return code of 3.1.1 for a reason, 0..5, or -1 where none fits and the connection is
 * closed without a CONNACK [v3.1.1 MQTT-3.2.2-6]. Any thread. */
int connack_code_v311(enum mqtt_reason reason);

#endif
