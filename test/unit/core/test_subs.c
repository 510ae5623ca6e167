#include "broker/core/subs.h"

#include "broker/codec/mqtt.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include "test/unit/failing.h"

/* Subscribers are opaque to the tree: any distinct addresses will do. */
static char people[64];

static struct session *person(size_t which)
{
    return (struct session *)(void *)&people[which];
}

static struct subs *subs;

static void set_up(void)
{
    int rc = subs_new(&subs);

    cr_assert_eq(rc, 0);
}

static void tear_down(void)
{
    subs_free(subs);
}

struct seen {
    unsigned count;
    unsigned by_person[ARRAY_LEN(people)];
    struct sub_options last;
};

static void on_match(void *ctx, struct session *who, struct sub_options options)
{
    struct seen *seen = ctx;

    seen->count++;
    seen->by_person[(char *)(void *)who - people]++;
    seen->last = options;
}

static struct seen match(const char *topic)
{
    struct seen seen = {0};

    subs_match(subs, str_from(topic), on_match, &seen);
    cr_assert_eq(subs_any(subs, str_from(topic)), seen.count > 0, "any \"%s\"", topic);
    return seen;
}

static bool add(const char *filter, size_t who, uint8_t qos)
{
    bool replaced = false;
    int rc =
        subs_add(subs, str_from(filter), person(who), (struct sub_options){.qos = qos}, &replaced);

    cr_assert_eq(rc, 0, "add \"%s\"", filter);
    return replaced;
}

static int drop(const char *filter, size_t who)
{
    return subs_remove(subs, str_from(filter), person(who));
}

/* What matches what; [MQTT-4.7.1-2], [MQTT-4.7.1-3], [MQTT-4.7.2-1], [MQTT-4.7.3-4]. */
static const struct {
    const char *filter, *topic;
    bool matches;
} rows[] = {
    {"a", "a", true},
    {"a", "b", false},
    {"a", "A", false},
    {"a", "a/b", false},
    {"a/b", "a", false},
    {"a/", "a", false},
    {"a/", "a/", true},
    {"/a", "a", false},
    {"/a", "/a", true},
    {"a//b", "a//b", true},
    {"a//b", "a/b", false},
    {"#", "a", true},
    {"#", "a/b/c", true},
    {"#", "/", true},
    {"#", "$SYS/a", false},
    {"+", "a", true},
    {"+", "/a", false},
    {"+", "a/b", false},
    {"+", "$SYS", false},
    {"+/+", "/a", true},
    {"/+", "/a", true},
    {"+/a", "$SYS/a", false},
    {"+/a/#", "$SYS/a/b", false},
    {"$SYS/#", "$SYS/a", true},
    {"$SYS/#", "$SYS", true},
    {"$SYS/+", "$SYS/a", true},
    {"$SYS/+", "$SYS/$a", true},
    {"a/+", "a/$b", true},
    {"a/#", "a", true},
    {"a/#", "a/", true},
    {"a/#", "a/b/c", true},
    {"a/#", "ab", false},
    {"a/+", "a", false},
    {"a/+", "a/", true},
    {"a/+/c", "a/b/c", true},
    {"a/+/c", "a/b/d", false},
    {"a/+/c", "a//c", true},
    {"a/+/#", "a", false},
    {"a/+/#", "a/b", true},
    {"+/b/#", "a/b", true},
    {"+/+/+", "a/b", false},
    {"a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p", "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p", true},
    {"+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+", "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p", true},
    {"+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/#", "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p", true},
    {"a/levels-longer-than-a-word-of-the-hash/c", "a/levels-longer-than-a-word-of-the-hash/c",
     true},
    {"a/levels-longer-than-a-word-of-the-hash/c", "a/levels-longer-than-a-word-of-the-hasH/c",
     false},
};

Test(subs, a_filter_matches_as_the_standard_says, .init = set_up, .fini = tear_down)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        add(rows[i].filter, 1, 0);
        cr_expect_eq(match(rows[i].topic).count, rows[i].matches, "\"%s\" on \"%s\"",
                     rows[i].filter, rows[i].topic);
        cr_assert_eq(drop(rows[i].filter, 1), 0);
        cr_expect_eq(match(rows[i].topic).count, 0, "\"%s\" is gone", rows[i].filter);
    }
}

Test(subs, an_overlapping_subscriber_is_visited_once_a_filter, .init = set_up, .fini = tear_down)
{
    static const char *const filters[] = {"a/b", "a/+", "+/b", "+/+", "a/#", "#", "a/b/#", "+/b/#"};
    struct seen seen;

    for (size_t i = 0; i < ARRAY_LEN(filters); i++)
        add(filters[i], 1, 0);
    add("a/c", 1, 0);
    add("a/+", 2, 0);
    seen = match("a/b");
    cr_assert_eq(seen.by_person[1], ARRAY_LEN(filters));
    cr_assert_eq(seen.by_person[2], 1);
    cr_assert_eq(seen.count, ARRAY_LEN(filters) + 1);
}

/* "the existing Subscription is replaced with a new Subscription" */
Test(subs, mqtt_3_8_4_3, .init = set_up, .fini = tear_down)
{
    bool replaced;
    struct seen seen;

    cr_assert_not(add("a/+", 1, 0));
    cr_assert(add("a/+", 1, 2));
    cr_assert_eq(subs_count(subs), 1);
    cr_assert_eq(subs_add(subs, STR_LITERAL("a/+"), person(1), (struct sub_options){1, true, true},
                          &replaced),
                 0);
    cr_assert(replaced);
    seen = match("a/b");
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.last.qos, 1);
    cr_assert(seen.last.no_local && seen.last.retain_as_published);
    cr_assert_not(add("a/+", 2, 0));
    cr_assert_eq(match("a/b").count, 2);
}

Test(subs, removing_what_is_not_there_says_so, .init = set_up, .fini = tear_down)
{
    static const char *const absent[] = {"a", "a/b", "a/+/d", "a/+/c/d", "a/#", "#", "+", "a/b/c"};

    cr_assert_eq(drop("a", 1), ERR_NOTFOUND);
    add("a/+/c", 1, 0);
    for (size_t i = 0; i < ARRAY_LEN(absent); i++)
        cr_expect_eq(drop(absent[i], 1), ERR_NOTFOUND, "\"%s\"", absent[i]);
    cr_expect_eq(drop("a/+/c", 2), ERR_NOTFOUND);
    cr_assert_eq(subs_count(subs), 1);
    cr_assert_eq(drop("a/+/c", 1), 0);
    cr_assert_eq(drop("a/+/c", 1), ERR_NOTFOUND);
    cr_assert_eq(subs_count(subs), 0);
}

Test(subs, every_change_gets_a_generation, .init = set_up, .fini = tear_down)
{
    uint64_t before = subs_generation(subs), now;

    add("a", 1, 0);
    now = subs_generation(subs);
    cr_assert_gt(now, before);
    before = now;
    add("a", 1, 1);
    now = subs_generation(subs);
    cr_assert_gt(now, before);
    before = now;
    cr_assert_eq(drop("b", 1), ERR_NOTFOUND);
    cr_assert_eq(subs_generation(subs), before);
    cr_assert_eq(drop("a", 1), 0);
    cr_assert_gt(subs_generation(subs), before);
}

/* A tree that forgets to free a node, or to unlink one, does not survive this under the address
 * sanitizer; one that frees too much loses "x/y". */
Test(subs, a_node_goes_with_its_last_subscription, .init = set_up, .fini = tear_down)
{
    static const char *const chain[] = {"x/y/z", "x/y/#", "x/+/z", "x/y/z/+/+/w", "x/y", "x/+/+/#"};

    for (size_t round = 0; round < ARRAY_LEN(chain); round++) {
        for (size_t i = 0; i < ARRAY_LEN(chain); i++)
            add(chain[i], 1, 0);
        for (size_t i = 0; i < ARRAY_LEN(chain); i++) {
            cr_assert_eq(drop(chain[(i + round) % ARRAY_LEN(chain)], 1), 0);
            cr_assert_eq(subs_count(subs), ARRAY_LEN(chain) - 1 - i);
        }
        cr_assert_eq(match("x/y/z").count, 0);
    }
}

/* ---- against a naive matcher ---- */

static bool next_level(const char **at, char *level)
{
    size_t len = strcspn(*at, "/");
    bool more = (*at)[len] == '/';

    memcpy(level, *at, len);
    level[len] = '\0';
    *at += len + more;
    return more;
}

static bool naive(const char *filter, const char *topic)
{
    char f[32], t[32];
    bool more_f, more_t;

    if (topic[0] == '$' && (filter[0] == '+' || filter[0] == '#'))
        return false;
    for (;;) {
        more_f = next_level(&filter, f);
        if (strcmp(f, "#") == 0)
            return true;
        more_t = next_level(&topic, t);
        if (strcmp(f, "+") != 0 && strcmp(f, t) != 0)
            return false;
        if (!more_f || !more_t)
            break;
    }
    return more_f == more_t || (more_f && strcmp(filter, "#") == 0);
}

static uint32_t dice;

static uint32_t roll(uint32_t sides)
{
    dice = dice * 1664525u + 1013904223u;
    return (dice >> 16) % sides;
}

static void random_levels(char *to, bool wild)
{
    static const char *const words[] = {"a", "b", "cc", "", "$d", "a b"};
    uint32_t levels = 1 + roll(4);

    *to = '\0';
    for (uint32_t i = 0; i < levels; i++) {
        uint32_t what = roll(wild ? 9 : 6);

        if (i > 0)
            strcat(to, "/");
        if (what == 8) {
            strcat(to, "#");
            return;
        }
        strcat(to, what >= 6 ? "+" : words[what]);
    }
}

Test(subs, agrees_with_a_naive_matcher, .init = set_up, .fini = tear_down)
{
    enum { HELD = 300, TURNS = 6000 };
    static struct {
        char filter[40];
        size_t who;
        bool held;
    } held[HELD];

    dice = 7;
    for (unsigned turn = 0; turn < TURNS; turn++) {
        size_t at = roll(HELD);
        char topic[40];
        unsigned expected[ARRAY_LEN(people)] = {0};
        struct seen seen;

        if (held[at].held) {
            cr_assert_eq(drop(held[at].filter, held[at].who), 0);
            held[at].held = false;
        } else {
            bool replaced, twin = false;

            random_levels(held[at].filter, true);
            held[at].who = roll(ARRAY_LEN(people));
            for (size_t i = 0; i < HELD; i++)
                twin |= held[i].held && held[i].who == held[at].who &&
                        strcmp(held[i].filter, held[at].filter) == 0;
            replaced = add(held[at].filter, held[at].who, 0);
            cr_assert_eq(replaced, twin);
            held[at].held = !twin; /* else the tree has it from another place */
        }

        random_levels(topic, false);
        for (size_t i = 0; i < HELD; i++) {
            if (held[i].held && naive(held[i].filter, topic))
                expected[held[i].who]++;
        }
        seen = match(topic);
        for (size_t i = 0; i < ARRAY_LEN(people); i++)
            cr_assert_eq(seen.by_person[i], expected[i], "turn %u, \"%s\", person %zu: %u, not %u",
                         turn, topic, i, seen.by_person[i], expected[i]);
    }
}

Test(subs, many_subscribers_of_many_filters_come_and_go, .init = set_up, .fini = tear_down)
{
    enum { BIKES = 5000 };
    char filter[40];

    for (unsigned i = 0; i < BIKES; i++) {
        snprintf(filter, sizeof filter, "v1/b/bike-%u/#", i);
        add(filter, i % ARRAY_LEN(people), 1);
    }
    for (size_t i = 0; i < ARRAY_LEN(people); i++)
        add("v1/b/+/tel", i, 0);
    cr_assert_eq(subs_count(subs), BIKES + ARRAY_LEN(people));
    cr_assert_eq(match("v1/b/bike-4711/tel").count, 1 + ARRAY_LEN(people));
    cr_assert_eq(match("v1/b/bike-4711/evt/fault").count, 1);
    for (unsigned i = 0; i < BIKES; i += 2) {
        snprintf(filter, sizeof filter, "v1/b/bike-%u/#", i);
        cr_assert_eq(drop(filter, i % ARRAY_LEN(people)), 0);
    }
    for (unsigned i = 0; i < BIKES; i++) {
        snprintf(filter, sizeof filter, "v1/b/bike-%u/x", i);
        cr_assert_eq(match(filter).count, i % 2);
    }
    for (unsigned i = 1; i < BIKES; i += 2) {
        snprintf(filter, sizeof filter, "v1/b/bike-%u/#", i);
        cr_assert_eq(drop(filter, i % ARRAY_LEN(people)), 0);
    }
    cr_assert_eq(match("v1/b/bike-1/tel").count, ARRAY_LEN(people));
}

/* Each allocation of an addition fails in turn: the tree is as it was, and nothing leaks. */
Test(subs, without_memory_nothing_is_added, .init = set_up, .fini = tear_down)
{
    unsigned failures = 0;
    char filter[40];

    for (unsigned i = 0; i < 100; i++) {
        snprintf(filter, sizeof filter, "a/%u/b/+/#", i);
        for (int n = 0;; n++) {
            bool replaced;
            uint64_t before = subs_generation(subs);
            int rc;

            failing_mem_at(n);
            rc = subs_add(subs, str_from(filter), person(0), (struct sub_options){0}, &replaced);
            if (!failing_mem_hit())
                break;
            failures++;
            if (rc == 0)
                continue;
            cr_assert_eq(rc, ERR_NOMEM);
            cr_assert_eq(subs_count(subs), i);
            cr_assert_eq(subs_generation(subs), before);
            cr_assert_eq(drop(filter, 0), ERR_NOTFOUND);
        }
        cr_assert_eq(subs_count(subs), i + 1);
    }
    cr_expect_geq(failures, 400); /* three nodes and a subscription each */
    for (unsigned i = 0; i < 100; i++) {
        snprintf(filter, sizeof filter, "a/%u/b/+/#", i);
        failing_mem_at(0); /* a table that cannot shrink stays large */
        cr_assert_eq(drop(filter, 0), 0);
        (void)failing_mem_hit();
    }
    cr_assert_eq(match("a/1/b/c").count, 0);
}
