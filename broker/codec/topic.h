/* broker/codec/topic.h -- topic names and filters: what is valid, what matches. A level is what
 * stands between two '/'; it may be empty, so "/" has two. */
#ifndef FREEHUB_BROKER_CODEC_TOPIC_H
#define FREEHUB_BROKER_CODEC_TOPIC_H

#include "broker/base/base.h"
#include "broker/codec/mqtt.h"

/* A Topic Name as a PUBLISH may carry it. MQTT_MALFORMED for what breaks the standard: no byte at
 * all [MQTT-4.7.3-1], not UTF-8, U+0000 [MQTT-4.7.3-2], a wildcard [MQTT-3.3.2-2].
 * MQTT_TOPIC_NAME_INVALID for what we do not accept: control characters, more than MQTT_TOPIC_MAX
 * bytes or MQTT_TOPIC_LEVELS_MAX levels. Any thread. */
enum mqtt_reason topic_name_check(struct str name);

/* A Topic Filter of a SUBSCRIBE, without "$share/...", which topic_share_split() takes off first.
 * MQTT_MALFORMED as above and for a misplaced wildcard [MQTT-4.7.1-1] [MQTT-4.7.1-2];
 * MQTT_TOPIC_FILTER_INVALID for what we do not accept, which is the same as in a name.
 * Any thread. */
enum mqtt_reason topic_filter_check(struct str filter);

/* The two as questions. Any thread. */
bool topic_name_valid(struct str name);
bool topic_filter_valid(struct str filter);

/* Whether `filter` matches `name`; both are valid. A filter that begins with a wildcard does not
 * match a name that begins with '$' [MQTT-4.7.2-1]. Any thread. */
bool topic_matches(struct str filter, struct str name);

/* Whether every name that `inner` matches is matched by `outer` too; both are valid filters. This
 * is what grants a subscription: the right `outer` covers it. Any thread. */
bool topic_filter_covers(struct str outer, struct str inner);

/* Split "$share/{group}/{filter}". `*is_share` tells whether `filter` begins with "$share/"; true
 * is returned when it does and has a group of at least one character without wildcards and at least
 * one byte behind it, which is for topic_filter_check() to judge [MQTT-4.8.2-1] [MQTT-4.8.2-2].
 * Group and rest borrow from `filter`. Any thread. */
bool topic_share_split(struct str filter, bool *is_share, struct str *group, struct str *rest);

/* Take the next level off the front of `*rest` (up to '/'). The caller sets `*more` to true before
 * the first call; it turns false with the last level, and then the call returns false. Any
 * thread. */
bool topic_level_next(struct str *rest, bool *more, struct str *level);

#endif
