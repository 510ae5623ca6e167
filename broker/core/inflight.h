/* broker/core/inflight.h -- the packet ids under which one session's QoS 1 and 2 messages are on
 * their way to its client. Ids go round from 1 to 65,535; one that is still in use is passed over.
 * No memory is held while nothing is in flight. Pure: what was sent under an id is not known here.
 */
#ifndef FREEHUB_BROKER_CORE_INFLIGHT_H
#define FREEHUB_BROKER_CORE_INFLIGHT_H

#include "broker/base/base.h"
#include "broker/base/err.h"

/* Embedded in its session, whose owner worker alone touches it. */
struct inflight {
    uint16_t *ids; /* open addressing; 0: an empty place */
    uint32_t room; /* places: a power of two, or 0 */
    uint16_t count;
    uint16_t window; /* ids in use at once, at most */
    uint16_t last;   /* the id handed out last */
};

/* `peer`: the client's Receive Maximum (65,535 when it named none); `ours`: the configured limit.
 * Both > 0; the smaller one holds [MQTT-3.3.4-9]. */
void inflight_init(struct inflight *f, uint16_t peer, uint16_t ours);
void inflight_fini(struct inflight *f);

static inline uint16_t inflight_count(const struct inflight *f)
{
    return f->count;
}

static inline bool inflight_is_full(const struct inflight *f)
{
    return f->count >= f->window;
}

/* The next unused, non-zero id, which is in flight from now on [MQTT-2.2.1-4]. ERR_FULL: the window
 * is; wait for an acknowledgement. ERR_NOMEM. */
CHECKED int inflight_take(struct inflight *f, uint16_t *id);

bool inflight_has(const struct inflight *f, uint16_t id);

/* `id` was acknowledged and may be used again. ERR_NOTFOUND: it was not in flight. */
CHECKED int inflight_release(struct inflight *f, uint16_t id);

#endif
