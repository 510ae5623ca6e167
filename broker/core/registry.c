#include "broker/core/registry.h"

#include "broker/base/map.h"
#include "broker/base/mem.h"

struct registry {
    struct map sessions;
};

struct registry *registry_new(void)
{
    struct registry *r = MEM_NEW(struct registry);

    map_init(&r->sessions, REGISTRY_SESSIONS_MAX);
    return r;
}

void registry_free(struct registry *r)
{
    if (!r)
        return;
    map_fini(&r->sessions);
    mem_free(r);
}

struct session *registry_find(const struct registry *r, struct str client_id)
{
    return map_find(&r->sessions, client_id);
}

int registry_add(struct registry *r, struct session *s)
{
    return map_insert(&r->sessions, session_client_id(s), s);
}

void registry_remove(struct registry *r, struct session *s)
{
    struct session *removed = map_remove(&r->sessions, session_client_id(s));

    ASSERT(removed == s);
}
