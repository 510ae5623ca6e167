/* broker/core/router.h -- who gets a message: the subscriptions that match, merged so that a client
 * with overlapping ones is one target with the highest QoS of them [MQTT-3.3.4-2]. */
#ifndef FREEHUB_BROKER_CORE_ROUTER_H
#define FREEHUB_BROKER_CORE_ROUTER_H

#include "broker/base/base.h"
#include "broker/core/session.h"
#include "broker/core/subs.h"

struct router_target {
    struct session *session;
    uint8_t qos;
    bool retain_as_published;
};

struct router; /* scratch of one worker, so that matching allocates nothing once warm */

struct router *router_new(void);
void router_free(struct router *r);

/* Targets of `topic`, good until the next call. The session whose id is `publisher` (0: none) is
 * left out where its subscription says No Local [MQTT-3.8.3-3]. Returns their count. Owner worker.
 */
size_t router_match(struct router *r, const struct subs *tree, struct str topic, uint64_t publisher,
                    const struct router_target **out);

#endif
