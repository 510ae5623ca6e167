/* One node a topic level of some filter. The edges of the whole tree are one table, keyed by
 * (parent, level); that of '+', which no Topic Name can look up, is a pointer of its parent as
 * well. '#' is a second list of its parent, so that "a/#" and "a" live on the same node.
 * Invariants:
 *
 * 1. Every node but the root has a subscription or a child: empty ones are freed at once, upwards.
 * 2. Levels come from strangers, so every hash starts from a level's keyed hash; the place of an
 * edge follows from it and from the parent's own hash.
 * 3. A walk keeps its open branches on a stack: each step takes one off and puts at most two deeper
 *    ones on, so one place a level is enough. */
#include "broker/core/subs.h"

#include "broker/base/chance.h"
#include "broker/base/hash.h"
#include "broker/base/mem.h"
#include "broker/codec/mqtt.h"

enum { TABLE_ROOM_MIN = 16, STACK_MAX = MQTT_TOPIC_LEVELS_MAX + 2 };

/* Open addressing with linear probing; an empty place has no item. */
struct place {
    uint64_t hash;
    void *item;
};

struct table {
    struct place *places;
    size_t room; /* a power of two, or 0 */
    size_t count;
};

struct sub {
    struct sub *next, *prev;
    struct sub **list; /* head of the list it is in */
    struct session *who;
    struct sub_options options;
};

struct node {
    struct node *parent;
    struct node *plus;
    struct sub *exact; /* filters that end here */
    struct sub *deep;  /* filters that end in "/#" below here */
    uint64_t hash;
    uint32_t child_count;
    uint16_t level_len;
    char level[];
};

struct subs {
    struct node *root;
    struct table edges; /* every node but the root */
    struct table each;  /* subscriptions, by list and subscriber */
    uint64_t generation;
    struct hash_key key;
};

/* ---- hashing ---- */

static inline uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t value = (a << 23 | a >> 41) ^ b;

    value = (value ^ value >> 33) * 0xff51afd7ed558ccdu;
    value = (value ^ value >> 33) * 0xc4ceb9fe1a85ec53u;
    return value ^ value >> 33;
}

/* ---- the table ---- */

static void table_put(struct table *t, uint64_t hash, void *item)
{
    size_t at = hash & (t->room - 1);

    while (t->places[at].item)
        at = (at + 1) & (t->room - 1);
    t->places[at] = (struct place){hash, item};
    t->count++;
}

static int table_resize(struct table *t, size_t room)
{
    struct table bigger = {mem_try(room * sizeof *bigger.places), room, 0};

    if (!bigger.places)
        return ERR_NOMEM;
    memset(bigger.places, 0, room * sizeof *bigger.places);
    for (size_t i = 0; i < t->room; i++) {
        if (t->places[i].item)
            table_put(&bigger, t->places[i].hash, t->places[i].item);
    }
    mem_free(t->places);
    *t = bigger;
    return 0;
}

/* At most three quarters of the places are taken. */
static int table_add(struct table *t, uint64_t hash, void *item)
{
    if (t->count >= t->room / 4 * 3) {
        int rc = table_resize(t, t->room ? t->room * 2 : TABLE_ROOM_MIN);

        if (rc)
            return rc;
    }
    table_put(t, hash, item);
    return 0;
}

/* Items that probed past the freed place move up, so that no tombstones are left. */
static void table_remove(struct table *t, uint64_t hash, const void *item)
{
    size_t mask = t->room - 1, hole = hash & mask;

    while (t->places[hole].item != item)
        hole = (hole + 1) & mask;
    for (size_t at = (hole + 1) & mask; t->places[at].item; at = (at + 1) & mask) {
        size_t home = t->places[at].hash & mask;

        if (((at - home) & mask) >= ((at - hole) & mask)) {
            t->places[hole] = t->places[at];
            hole = at;
        }
    }
    t->places[hole].item = NULL;
    t->count--;
    if (t->count == 0) {
        mem_free(t->places);
        *t = (struct table){NULL, 0, 0};
    } else if (t->room > TABLE_ROOM_MIN && t->count < t->room / 8) {
        int rc = table_resize(t, t->room / 2);

        (void)rc; /* no memory for a smaller one: the larger one stays */
    }
}

/* ---- nodes ---- */

static struct node *node_child(const struct subs *s, const struct node *parent, struct str level,
                               uint64_t level_hash)
{
    uint64_t hash = mix(parent->hash, level_hash);
    const struct table *t = &s->edges;

    if (t->count == 0)
        return NULL;
    for (size_t at = hash & (t->room - 1); t->places[at].item; at = (at + 1) & (t->room - 1)) {
        struct node *child;

        if (t->places[at].hash != hash)
            continue;
        child = t->places[at].item;
        if (child->parent == parent &&
            str_equal(str_of_bytes(child->level, child->level_len), level))
            return child;
    }
    return NULL;
}

static bool level_is(struct str level, char wildcard)
{
    return level.len == 1 && level.at[0] == wildcard;
}

static struct node *node_new(struct subs *s, struct node *parent, struct str level)
{
    struct node *n = mem_try(sizeof *n + level.len);

    if (!n)
        return NULL;
    *n = (struct node){.parent = parent,
                       .level_len = (uint16_t)level.len,
                       .hash = mix(parent->hash, hash_keyed(s->key, level))};
    if (level.len > 0)
        memcpy(n->level, level.at, level.len);
    if (table_add(&s->edges, n->hash, n)) {
        mem_free(n);
        return NULL;
    }
    if (level_is(level, '+'))
        parent->plus = n;
    parent->child_count++;
    return n;
}

/* Free `n` and what is above it, as far as they hold nothing. */
static void node_prune(struct subs *s, struct node *n)
{
    while (n != s->root && !n->exact && !n->deep && n->child_count == 0) {
        struct node *parent = n->parent;

        if (parent->plus == n)
            parent->plus = NULL;
        table_remove(&s->edges, n->hash, n);
        parent->child_count--;
        mem_free(n);
        n = parent;
    }
}

/* Take the next level off `*rest`; the last one leaves `rest->at` NULL. */
static struct str level_take(struct str *rest)
{
    const char *slash = rest->len > 0 ? memchr(rest->at, '/', rest->len) : NULL;
    struct str level = *rest;

    if (!slash) {
        *rest = (struct str){NULL, 0};
        return level;
    }
    level.len = (size_t)(slash - rest->at);
    *rest = str_of_bytes(slash + 1, rest->len - level.len - 1);
    return level;
}

/* The list of a filter: its last node, and which of the two. With `make`, missing nodes are made;
 * NULL when there is no memory, or without `make` no such filter. */
static struct sub **list_of(struct subs *s, struct str filter, bool make, struct node **out)
{
    struct node *n = s->root;
    unsigned depth = 0;

    while (filter.at) {
        struct str level = level_take(&filter);
        struct node *child;

        ASSERT(depth < MQTT_TOPIC_LEVELS_MAX); /* a valid filter has no more */
        depth++;
        if (!filter.at && level_is(level, '#')) {
            *out = n;
            return &n->deep;
        }
        child = node_child(s, n, level, hash_keyed(s->key, level));
        if (!child && make)
            child = node_new(s, n, level);
        if (!child) {
            if (make)
                node_prune(s, n);
            return NULL;
        }
        n = child;
    }
    *out = n;
    return &n->exact;
}

/* ---- subscriptions ---- */

static uint64_t hash_sub(const struct subs *s, struct sub *const *list, const struct session *who)
{
    return mix(s->key.k0 ^ (uintptr_t)list, (uintptr_t)who);
}

static struct sub *sub_find(const struct subs *s, struct sub *const *list,
                            const struct session *who)
{
    const struct table *t = &s->each;
    uint64_t hash = hash_sub(s, list, who);

    if (t->count == 0)
        return NULL;
    for (size_t at = hash & (t->room - 1); t->places[at].item; at = (at + 1) & (t->room - 1)) {
        struct sub *sub = t->places[at].item;

        if (t->places[at].hash == hash && sub->list == list && sub->who == who)
            return sub;
    }
    return NULL;
}

static int sub_new(struct subs *s, struct sub **list, struct session *who,
                   struct sub_options options)
{
    struct sub *sub = mem_try(sizeof *sub);
    int rc;

    if (!sub)
        return ERR_NOMEM;
    *sub = (struct sub){.next = *list, .list = list, .who = who, .options = options};
    rc = table_add(&s->each, hash_sub(s, list, who), sub);
    if (rc) {
        mem_free(sub);
        return rc;
    }
    if (*list)
        (*list)->prev = sub;
    *list = sub;
    return 0;
}

int subs_add(struct subs *s, struct str filter, struct session *who, struct sub_options options,
             bool *replaced)
{
    struct node *n = NULL;
    struct sub **list = list_of(s, filter, true, &n);
    struct sub *sub;
    int rc = 0;

    *replaced = false;
    if (!list)
        return ERR_NOMEM;
    sub = sub_find(s, list, who);
    if (sub) {
        sub->options = options;
        *replaced = true;
    } else {
        rc = sub_new(s, list, who, options);
        if (rc)
            node_prune(s, n);
    }
    if (rc == 0)
        s->generation++;
    return rc;
}

int subs_remove(struct subs *s, struct str filter, struct session *who)
{
    struct node *n = NULL;
    struct sub **list = list_of(s, filter, false, &n);
    struct sub *sub = list ? sub_find(s, list, who) : NULL;

    if (!sub)
        return ERR_NOTFOUND;
    table_remove(&s->each, hash_sub(s, list, who), sub);
    if (sub->next)
        sub->next->prev = sub->prev;
    if (sub->prev)
        sub->prev->next = sub->next;
    else
        *list = sub->next;
    mem_free(sub);
    node_prune(s, n);
    s->generation++;
    return 0;
}

/* ---- matching ---- */

struct step {
    const struct node *node;
    unsigned depth; /* levels of the topic that are behind it */
};

/* A topic cut into levels; each is hashed when first looked up. */
struct levels {
    unsigned count, hashed;
    struct str at[MQTT_TOPIC_LEVELS_MAX];
    uint64_t hash[MQTT_TOPIC_LEVELS_MAX];
};

static void levels_cut(struct levels *l, struct str topic)
{
    l->count = 0;
    l->hashed = 0;
    while (topic.at) {
        ASSERT(l->count < MQTT_TOPIC_LEVELS_MAX); /* a valid name has no more */
        l->at[l->count++] = level_take(&topic);
    }
}

static uint64_t levels_hash(struct levels *l, const struct subs *s, unsigned which)
{
    for (; l->hashed <= which; l->hashed++)
        l->hash[l->hashed] = hash_keyed(s->key, l->at[l->hashed]);
    return l->hash[which];
}

/* Show every list that matches until `on_list` returns false. */
typedef bool list_fn(void *ctx, const struct sub *first);

static void walk(const struct subs *s, struct str topic, list_fn *on_list, void *ctx)
{
    bool hidden = topic.len > 0 && topic.at[0] == '$'; /* [MQTT-4.7.2-1] */
    struct step stack[STACK_MAX] = {{s->root, 0}};
    unsigned open = 1;
    struct levels levels;

    if (s->each.count == 0)
        return;
    levels_cut(&levels, topic);
    while (open > 0) {
        struct step step = stack[--open];
        bool wild = step.depth > 0 || !hidden;
        const struct node *child;

        if (step.node->deep && wild && !on_list(ctx, step.node->deep))
            return;
        if (step.depth == levels.count) {
            if (step.node->exact && !on_list(ctx, step.node->exact))
                return;
            continue;
        }
        if (step.node->child_count == 0)
            continue;
        if (step.node->plus && wild)
            stack[open++] = (struct step){step.node->plus, step.depth + 1};
        child =
            node_child(s, step.node, levels.at[step.depth], levels_hash(&levels, s, step.depth));
        if (child)
            stack[open++] = (struct step){child, step.depth + 1};
    }
}

struct visit {
    subs_visit_fn *visit;
    void *ctx;
};

static bool visit_list(void *ctx, const struct sub *first)
{
    const struct visit *v = ctx;

    for (const struct sub *sub = first; sub; sub = sub->next)
        v->visit(v->ctx, sub->who, sub->options);
    return true;
}

void subs_match(const struct subs *s, struct str topic, subs_visit_fn *visit, void *ctx)
{
    struct visit v = {visit, ctx};

    walk(s, topic, visit_list, &v);
}

static bool stop_at_first(void *ctx, const struct sub *first)
{
    (void)first;
    *(bool *)ctx = true;
    return false;
}

bool subs_any(const struct subs *s, struct str topic)
{
    bool any = false;

    walk(s, topic, stop_at_first, &any);
    return any;
}

/* ---- life ---- */

int subs_new(struct subs **out)
{
    struct subs *s = MEM_NEW(struct subs);

    chance_fill(&s->key, sizeof s->key);
    s->root = MEM_NEW(struct node);
    s->root->hash = s->key.k0 ^ s->key.k1;
    *out = s;
    return 0;
}

void subs_free(struct subs *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->each.room; i++)
        mem_free(s->each.places[i].item);
    for (size_t i = 0; i < s->edges.room; i++)
        mem_free(s->edges.places[i].item);
    mem_free(s->each.places);
    mem_free(s->edges.places);
    mem_free(s->root);
    mem_free(s);
}

uint64_t subs_generation(const struct subs *s)
{
    return s->generation;
}

size_t subs_count(const struct subs *s)
{
    return s->each.count;
}
