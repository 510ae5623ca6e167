#include "broker/base/map.h"

#include "broker/base/hash.h"
#include "broker/base/mem.h"

/* Chains, at most one entry a bucket on average: an entry never moves, so that a pointer to it and
 * an iteration survive a removal. */
enum { BUCKETS_MIN = 8 };

void map_init(struct map *m, size_t count_max)
{
    *m = (struct map){.count_max = count_max};
}

void map_fini(struct map *m)
{
    MAP_FOR (entry, m)
        mem_free(entry);
    mem_free(m->buckets);
    map_init(m, m->count_max);
}

static struct map_entry **bucket_of(const struct map *m, uint64_t hash)
{
    return &m->buckets[hash & (m->bucket_count - 1)];
}

/* The link that points to the entry, or to the end of its chain. The map has buckets. */
static struct map_entry **link_of(const struct map *m, struct str key, uint64_t hash)
{
    struct map_entry **link = bucket_of(m, hash);

    while (*link && ((*link)->hash != hash || !str_equal(map_key(*link), key)))
        link = &(*link)->next;
    return link;
}

static int resize(struct map *m, size_t bucket_count)
{
    struct map grown = {.bucket_count = bucket_count};

    grown.buckets = mem_try(bucket_count * sizeof(struct map_entry *));
    if (!grown.buckets)
        return ERR_NOMEM;
    memset(grown.buckets, 0, bucket_count * sizeof(struct map_entry *));
    MAP_FOR (entry, m) {
        struct map_entry **bucket = bucket_of(&grown, entry->hash);

        entry->next = *bucket;
        *bucket = entry;
    }
    mem_free(m->buckets);
    m->buckets = grown.buckets;
    m->bucket_count = bucket_count;
    return 0;
}

int map_insert(struct map *m, struct str key, void *value)
{
    uint64_t hash = hash_bytes(key);

    ASSERT(value);
    if (key.len > MAP_KEY_MAX_BYTES)
        return ERR_TOO_LARGE;
    if (m->bucket_count > 0 && *link_of(m, key, hash))
        return ERR_EXISTS;
    if (m->count >= m->count_max)
        return ERR_FULL;
    if (m->count >= m->bucket_count) {
        int rc = resize(m, m->bucket_count > 0 ? m->bucket_count * 2 : BUCKETS_MIN);

        if (rc)
            return rc;
    }

    struct map_entry *entry = mem_try(sizeof *entry + key.len);
    if (!entry)
        return ERR_NOMEM;
    struct map_entry **bucket = bucket_of(m, hash);
    *entry = (struct map_entry){
        .next = *bucket, .hash = hash, .value = value, .key_len = (uint32_t)key.len};
    if (key.len > 0)
        memcpy(entry->key, key.at, key.len);
    *bucket = entry;
    m->count++;
    return 0;
}

void *map_find(const struct map *m, struct str key)
{
    if (m->count == 0)
        return NULL;

    const struct map_entry *entry = *link_of(m, key, hash_bytes(key));
    return entry ? entry->value : NULL;
}

void *map_remove(struct map *m, struct str key)
{
    if (m->count == 0)
        return NULL;

    struct map_entry **link = link_of(m, key, hash_bytes(key));
    struct map_entry *entry = *link;
    if (!entry)
        return NULL;
    void *value = entry->value;
    *link = entry->next;
    mem_free(entry);
    m->count--;
    return value;
}

static struct map_entry *first_from(const struct map *m, size_t bucket)
{
    for (size_t i = bucket; i < m->bucket_count; i++)
        if (m->buckets[i])
            return m->buckets[i];
    return NULL;
}

struct map_entry *map_first(const struct map *m)
{
    return first_from(m, 0);
}

struct map_entry *map_after(const struct map *m, const struct map_entry *entry)
{
    if (!entry)
        return NULL;
    if (entry->next)
        return entry->next;
    return first_from(m, (entry->hash & (m->bucket_count - 1)) + 1);
}
