#include "broker/core/session.h"

#include "broker/base/err.h"
#include "broker/base/mem.h"

struct session *session_new(struct str client_id, uint64_t id, uint16_t receive_max,
                            const struct outbox_limits *limits)
{
    struct session *s = MEM_NEW(struct session);

    s->id = id;
    s->client_id = mem_copy_text(client_id);
    s->client_id_len = (uint32_t)client_id.len;
    outbox_init(&s->outbox, limits);
    inflight_init(&s->inflight, receive_max, SESSION_INFLIGHT_MAX);
    return s;
}

void session_free(struct session *s, struct subs *tree)
{
    for (uint32_t i = 0; i < s->filter_count; i++) {
        int rc = subs_remove(tree, str_from(s->filters[i]), s);

        ASSERT(rc == 0); /* the list and the tree change together */
        mem_free(s->filters[i]);
    }
    mem_free(s->filters);
    message_unref(s->will);
    inflight_fini(&s->inflight);
    outbox_fini(&s->outbox);
    mem_free(s->client_id);
    mem_free(s);
}

struct str session_client_id(const struct session *s)
{
    return (struct str){s->client_id, s->client_id_len};
}

int session_subscribe(struct session *s, struct subs *tree, struct str filter,
                      struct sub_options options, uint32_t filters_max)
{
    bool replaced = false;
    char **grown;
    int rc;

    for (uint32_t i = 0; i < s->filter_count; i++) {
        if (str_equal(str_from(s->filters[i]), filter))
            return subs_add(tree, filter, s, options, &replaced);
    }
    if (s->filter_count >= filters_max)
        return ERR_FULL;
    grown = mem_try_resize(s->filters, (s->filter_count + 1) * sizeof *grown);
    if (!grown)
        return ERR_NOMEM;
    s->filters = grown;

    rc = subs_add(tree, filter, s, options, &replaced);
    if (rc)
        return rc;
    s->filters[s->filter_count++] = mem_copy_text(filter);
    return 0;
}

int session_unsubscribe(struct session *s, struct subs *tree, struct str filter)
{
    for (uint32_t i = 0; i < s->filter_count; i++) {
        if (!str_equal(str_from(s->filters[i]), filter))
            continue;
        mem_free(s->filters[i]);
        s->filters[i] = s->filters[--s->filter_count];
        return subs_remove(tree, filter, s);
    }
    return ERR_NOTFOUND;
}
