/* broker/base/map.h -- a hash map from bytes to a pointer, keyed by hash_bytes(). Keys are copied;
 * what the values point to stays the caller's. Not shared between threads.
 *
 *     MAP_FOR (entry, &sessions)
 *         session_free(entry->value);
 */
#ifndef FREEHUB_BROKER_BASE_MAP_H
#define FREEHUB_BROKER_BASE_MAP_H

#include "broker/base/base.h"
#include "broker/base/err.h"

enum { MAP_KEY_MAX_BYTES = 65535 };

struct map_entry {
    struct map_entry *next; /* in its bucket */
    uint64_t hash;
    void *value; /* may be replaced in place, not by NULL */
    uint32_t key_len;
    char key[]; /* not terminated; see map_key() */
};

/* Embedded in its owner. Holds no memory while it is empty and was never filled. */
struct map {
    struct map_entry **buckets;
    size_t bucket_count; /* 0 or a power of two */
    size_t count;
    size_t count_max;
};

/* `count_max`: how many entries it may hold. */
void map_init(struct map *m, size_t count_max);

/* Removes every entry; the values are not touched. */
void map_fini(struct map *m);

/* `value` is not NULL. ERR_EXISTS and nothing changed when the key is there; ERR_FULL at
 * `count_max`; ERR_TOO_LARGE for a key over MAP_KEY_MAX_BYTES; ERR_NOMEM. */
CHECKED int map_insert(struct map *m, struct str key, void *value);

/* The value, or NULL. */
void *map_find(const struct map *m, struct str key);

/* Takes the entry out and returns its value, or NULL when there was none. */
void *map_remove(struct map *m, struct str key);

/* Borrowed from the entry. */
static inline struct str map_key(const struct map_entry *entry)
{
    return str_of_bytes(entry->key, entry->key_len);
}

/* In no particular order; NULL at the end, also when `entry` is NULL. For MAP_FOR. */
struct map_entry *map_first(const struct map *m);
struct map_entry *map_after(const struct map *m, const struct map_entry *entry);

/* The body may remove the entry it is at, and must not insert or remove others.
 * NOLINTBEGIN(bugprone-macro-parentheses): a declaration takes no parentheses. */
#define MAP_FOR(entry, map)                                                                        \
    for (struct map_entry *entry = map_first(map), *entry##_next = map_after((map), entry); entry; \
         (entry) = entry##_next, entry##_next = map_after((map), entry))
/* NOLINTEND(bugprone-macro-parentheses) */

#endif
