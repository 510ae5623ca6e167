#include "broker/core/router.h"

#include "broker/base/mem.h"

struct router {
    struct router_target *targets;
    size_t count, room;
    uint64_t mark; /* of this matching; a session that carries it is in `targets` already */
    uint64_t publisher;
};

struct router *router_new(void)
{
    return MEM_NEW(struct router);
}

void router_free(struct router *r)
{
    mem_free(r->targets);
    mem_free(r);
}

static void on_match(void *ctx, struct session *who, struct sub_options options)
{
    struct router *r = ctx;
    struct router_target *target;

    if (options.no_local && who->id == r->publisher)
        return;
    if (who->route_mark == r->mark) {
        target = &r->targets[who->route_index];
        if (options.qos > target->qos)
            target->qos = options.qos;
        target->retain_as_published |= options.retain_as_published;
        return;
    }
    if (r->count == r->room) { /* bounded by the number of sessions */
        size_t room = r->room ? 2 * r->room : 64;
        struct router_target *grown = mem_try_resize(r->targets, room * sizeof *grown);

        if (!grown)
            return; /* a live copy is lost, never a stored one */
        r->targets = grown;
        r->room = room;
    }
    who->route_mark = r->mark;
    who->route_index = (uint32_t)r->count;
    r->targets[r->count++] = (struct router_target){
        .session = who, .qos = options.qos, .retain_as_published = options.retain_as_published};
}

size_t router_match(struct router *r, const struct subs *tree, struct str topic, uint64_t publisher,
                    const struct router_target **out)
{
    r->count = 0;
    r->mark++;
    r->publisher = publisher;
    subs_match(tree, topic, on_match, r);
    *out = r->targets;
    return r->count;
}
