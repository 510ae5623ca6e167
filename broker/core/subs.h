/* broker/core/subs.h -- the subscription tree: filters with '+' and '#' to subscribers. One thread
 * today; the interface hands out matches by visit so that lock-free readers can come later. */
#ifndef FREEHUB_BROKER_CORE_SUBS_H
#define FREEHUB_BROKER_CORE_SUBS_H

#include "broker/base/base.h"
#include "broker/base/err.h"

struct subs;
struct session; /* core/session.h; an opaque subscriber here */

struct sub_options {
    uint8_t qos; /* granted maximum */
    bool no_local;
    bool retain_as_published;
};

CHECKED int subs_new(struct subs **out);
void subs_free(struct subs *s);

/* Subscribe `who` to a valid filter; the same filter again replaces the options [MQTT-3.8.4-3].
 * `*replaced` tells. ERR_NOMEM. Owner worker. */
CHECKED int subs_add(struct subs *s, struct str filter, struct session *who,
                     struct sub_options options, bool *replaced);

/* ERR_NOTFOUND when there was none. Owner worker. */
CHECKED int subs_remove(struct subs *s, struct str filter, struct session *who);

/* Every subscription whose filter matches the valid Topic Name. One that overlaps is visited once a
 * filter; the caller merges. Nothing may be added or removed inside `visit`. Owner worker. */
typedef void subs_visit_fn(void *ctx, struct session *who, struct sub_options options);
void subs_match(const struct subs *s, struct str topic, subs_visit_fn *visit, void *ctx);

/* Whether anything matches: what the publish path asks before it copies a message. Owner worker. */
bool subs_any(const struct subs *s, struct str topic);

/* Grows with each change: a cached "nothing matches" is good as long as it stands. Owner worker. */
uint64_t subs_generation(const struct subs *s);
size_t subs_count(const struct subs *s);

#endif
