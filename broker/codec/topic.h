/* broker/codec/topic.h -- topic names and filters: what is valid, what matches. */
#ifndef FREEHUB_BROKER_CODEC_TOPIC_H
#define FREEHUB_BROKER_CODEC_TOPIC_H

#include "broker/base/base.h"

/* A Topic Name as a PUBLISH may carry it: at least one byte, UTF-8 as MQTT wants it, no wildcard,
 * no control character (our stricter choice), at most MQTT_TOPIC_MAX bytes and
 * MQTT_TOPIC_LEVELS_MAX levels [MQTT-4.7.3-1] [MQTT-3.3.2-2]. Any thread. */
bool topic_name_valid(struct str name);

/* A Topic Filter of a SUBSCRIBE [MQTT-4.7.1-1] [MQTT-4.7.1-2]. "$share/..." is judged by
 * topic_share_split() first. Any thread. */
bool topic_filter_valid(struct str filter);

/* Whether `filter` matches `name`; both are valid. A filter that begins with a wildcard does not
 * match a name that begins with '$' [MQTT-4.7.2-1]. Any thread. */
bool topic_matches(struct str filter, struct str name);

/* Whether every name that `inner` matches is matched by `outer` too; both are valid filters. This
 * is what grants a subscription: the right `outer` covers it. Any thread. */
bool topic_filter_covers(struct str outer, struct str inner);

/* Split "$share/{group}/{filter}". Returns false when `filter` does not begin with "$share/" or
 * breaks [MQTT-4.8.2-1] [MQTT-4.8.2-2]; `*is_share` tells the two apart. Any thread. */
bool topic_share_split(struct str filter, bool *is_share, struct str *group, struct str *rest);

/* Take the next level off the front of `*rest` (up to '/'). False at the end. Any thread. */
bool topic_level_next(struct str *rest, bool *more, struct str *level);

#endif
