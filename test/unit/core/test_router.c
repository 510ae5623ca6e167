#include "broker/core/router.h"

#include "broker/base/err.h"
#include "broker/core/registry.h"

#include <criterion/criterion.h>

static const struct outbox_limits limits = {.messages = 10, .bytes = 10000};
static struct subs *tree;
static struct router *router;
static struct session *a, *b;

static void init(void)
{
    cr_assert_eq(subs_new(&tree), 0);
    router = router_new();
    a = session_new(STR_LITERAL("a"), 1, 10, &limits);
    b = session_new(STR_LITERAL("b"), 2, 10, &limits);
}

static void fini(void)
{
    session_free(a, tree);
    session_free(b, tree);
    router_free(router);
    subs_free(tree);
}

static void subscribe(struct session *who, const char *filter, struct sub_options options)
{
    cr_assert_eq(session_subscribe(who, tree, str_from(filter), options, 100), 0);
}

/* One copy with the highest QoS of all that match [MQTT-3.3.4-2]. */
Test(router, mqtt_3_3_4_2, .init = init, .fini = fini)
{
    const struct router_target *targets;

    subscribe(a, "x/#", (struct sub_options){.qos = 0});
    subscribe(a, "x/+", (struct sub_options){.qos = 1});
    subscribe(a, "x/y", (struct sub_options){.qos = 0, .retain_as_published = true});
    subscribe(b, "x/y", (struct sub_options){.qos = 0});

    cr_assert_eq(router_match(router, tree, STR_LITERAL("x/y"), 0, &targets), 2);
    for (size_t i = 0; i < 2; i++) {
        cr_expect_eq(targets[i].qos, targets[i].session == a ? 1 : 0);
        cr_expect_eq(targets[i].retain_as_published, targets[i].session == a);
    }
    cr_expect_eq(router_match(router, tree, STR_LITERAL("z"), 0, &targets), 0);
}

/* No Local keeps a message from its own publisher, and from nobody else [MQTT-3.8.3-3]. */
Test(router, mqtt_3_8_3_3, .init = init, .fini = fini)
{
    const struct router_target *targets;

    subscribe(a, "x", (struct sub_options){.no_local = true});
    cr_expect_eq(router_match(router, tree, STR_LITERAL("x"), a->id, &targets), 0);
    cr_expect_eq(router_match(router, tree, STR_LITERAL("x"), b->id, &targets), 1);
    subscribe(a, "#", (struct sub_options){.no_local = false}); /* the other one still matches */
    cr_expect_eq(router_match(router, tree, STR_LITERAL("x"), a->id, &targets), 1);
}

Test(session, it_leaves_the_tree_when_it_ends)
{
    struct session *s = session_new(STR_LITERAL("s"), 3, 10, &limits);
    struct subs *own;

    cr_assert_eq(subs_new(&own), 0);
    cr_assert_eq(session_subscribe(s, own, STR_LITERAL("a/+"), (struct sub_options){0}, 2), 0);
    cr_assert_eq(session_subscribe(s, own, STR_LITERAL("b"), (struct sub_options){0}, 2), 0);
    cr_expect_eq(session_subscribe(s, own, STR_LITERAL("c"), (struct sub_options){0}, 2), ERR_FULL);
    cr_expect_eq(session_subscribe(s, own, STR_LITERAL("b"), (struct sub_options){.qos = 1}, 2), 0,
                 "the same filter again replaces, also at the bound");
    cr_expect_eq(subs_count(own), 2);
    cr_expect_eq(session_unsubscribe(s, own, STR_LITERAL("b")), 0);
    cr_expect_eq(session_unsubscribe(s, own, STR_LITERAL("b")), ERR_NOTFOUND);
    session_free(s, own);
    cr_expect_eq(subs_count(own), 0);
    subs_free(own);
}

Test(registry, a_client_id_names_one_session, .init = init, .fini = fini)
{
    struct registry *r = registry_new();

    cr_expect_null(registry_find(r, STR_LITERAL("a")));
    cr_assert_eq(registry_add(r, a), 0);
    cr_assert_eq(registry_add(r, b), 0);
    cr_expect_eq(registry_find(r, STR_LITERAL("a")), a);
    registry_remove(r, a);
    cr_expect_null(registry_find(r, STR_LITERAL("a")));
    cr_expect_eq(registry_find(r, STR_LITERAL("b")), b);
    registry_remove(r, b);
    registry_free(r);
}
