/* broker/server/streams.h -- which topics are stored, and as which message type: the `streams` of
 * the configuration, compiled. The first rule whose filter matches counts; a topic that none
 * matches is plain MQTT. */
#ifndef FREEHUB_BROKER_SERVER_STREAMS_H
#define FREEHUB_BROKER_SERVER_STREAMS_H

#include "broker/base/base.h"
#include "broker/base/err.h"
#include "broker/server/config.h"

struct schema;
struct schema_set;
struct streams; /* immutable */

struct stream_hit {
    uint16_t stream;             /* place of the rule, from 0 */
    uint16_t schema_id;          /* SCHEMA_RAW for `type: raw` */
    const struct schema *schema; /* NULL for `type: raw` */
    struct str bike;             /* the level that names the bike, within `topic`. May be empty or
                                    no valid name: such a topic is to be refused, not stored */
};

/* Whether a rule is sound by itself: topic, key, and, unless `schemas` is NULL, the type.
 * ERR_INVALID with place and what is allowed. Any thread. */
CHECKED int streams_rule_check(const struct config_stream *rule, const struct schema_set *schemas,
                               struct err_detail *detail);

/* Compile. Nothing is borrowed from `rules`; `schemas` outlives it. The caller owns `*out`. Main
 * thread. */
CHECKED int streams_new(struct streams **out, const struct config_stream *rules, size_t count,
                        const struct schema_set *schemas, struct err_detail *detail);
void streams_free(struct streams *streams); /* NULL is allowed */

/* False when the valid Topic Name is not stored. `out->bike` borrows from `topic`. Allocates
 * nothing. Any thread. */
bool streams_match(const struct streams *streams, struct str topic, struct stream_hit *out);

size_t streams_count(const struct streams *streams);
/* The topic filter of a rule, for status and logs; lives as long as `streams`. */
const char *streams_filter(const struct streams *streams, size_t place);

#endif
