/* broker/core/registry.h -- the sessions of one worker by client id [MQTT-3.1.3-2]. */
#ifndef FREEHUB_BROKER_CORE_REGISTRY_H
#define FREEHUB_BROKER_CORE_REGISTRY_H

#include "broker/base/base.h"
#include "broker/core/session.h"

struct registry;

enum { REGISTRY_SESSIONS_MAX = 4 * 1000 * 1000 };

struct registry *registry_new(void);
/* The sessions are gone already. */
void registry_free(struct registry *r);

/* NULL when there is none. Owner worker. */
struct session *registry_find(const struct registry *r, struct str client_id);

/* The id is not in it. ERR_FULL, ERR_NOMEM. Owner worker. */
CHECKED int registry_add(struct registry *r, struct session *s);
void registry_remove(struct registry *r, struct session *s);

#endif
