#include <criterion/criterion.h>

#include <stdio.h>

#include "broker/base/map.h"
#include "test/unit/failing.h"

enum { MANY = 10000 };

static int values[MANY];

static struct str key_of(size_t i)
{
    static char key[32];

    return str_of_bytes(key, (size_t)snprintf(key, sizeof key, "bike-%zu", i));
}

static void fill(struct map *m, size_t count)
{
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(map_insert(m, key_of(i), &values[i]), 0);
}

Test(map, finds_what_was_inserted_and_nothing_else)
{
    struct map m;

    map_init(&m, MANY);
    cr_expect_null(map_find(&m, STR_LITERAL("bike-0")));
    fill(&m, MANY);
    cr_expect_eq(m.count, MANY);
    for (size_t i = 0; i < MANY; i++)
        cr_assert_eq(map_find(&m, key_of(i)), &values[i]);
    cr_expect_null(map_find(&m, STR_LITERAL("bike-")));
    cr_expect_null(map_find(&m, STR_LITERAL("bike-10000")));
    map_fini(&m);
    cr_expect_eq(m.count, 0);
}

Test(map, a_key_is_any_bytes_and_is_copied)
{
    static const struct {
        struct str key;
    } rows[] = {{{NULL, 0}}, {STR_LITERAL("\0")}, {STR_LITERAL("\0\0")}, {STR_LITERAL("a\0b")}};
    char key[3] = {'x', 'y', 'z'};
    struct map m;

    map_init(&m, 10);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        cr_expect_eq(map_insert(&m, rows[i].key, &values[i]), 0, "row %zu", i);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        cr_expect_eq(map_find(&m, rows[i].key), &values[i], "row %zu", i);
    cr_expect_eq(map_insert(&m, str_of_bytes(key, 3), &values[9]), 0);
    key[0] = 'n';
    cr_expect_eq(map_find(&m, STR_LITERAL("xyz")), &values[9]);
    map_fini(&m);
}

Test(map, a_key_exists_once)
{
    struct map m;

    map_init(&m, 10);
    cr_expect_eq(map_insert(&m, STR_LITERAL("a"), &values[0]), 0);
    cr_expect_eq(map_insert(&m, STR_LITERAL("a"), &values[1]), ERR_EXISTS);
    cr_expect_eq(map_find(&m, STR_LITERAL("a")), &values[0]);
    cr_expect_eq(m.count, 1);
    map_fini(&m);
}

Test(map, refuses_more_than_its_maximum)
{
    struct map m;

    map_init(&m, 3);
    fill(&m, 3);
    cr_expect_eq(map_insert(&m, STR_LITERAL("more"), &values[4]), ERR_FULL);
    cr_expect_eq(map_remove(&m, key_of(1)), &values[1]);
    cr_expect_eq(map_insert(&m, STR_LITERAL("more"), &values[4]), 0);
    map_fini(&m);
}

Test(map, refuses_a_key_over_its_maximum)
{
    static char key[MAP_KEY_MAX_BYTES + 1];
    struct map m;

    map_init(&m, 3);
    cr_expect_eq(map_insert(&m, str_of_bytes(key, sizeof key), &values[0]), ERR_TOO_LARGE);
    cr_expect_eq(map_insert(&m, str_of_bytes(key, sizeof key - 1), &values[0]), 0);
    cr_expect_eq(map_find(&m, str_of_bytes(key, sizeof key - 1)), &values[0]);
    map_fini(&m);
}

Test(map, a_removed_key_is_gone_and_the_others_stay)
{
    struct map m;

    map_init(&m, MANY);
    cr_expect_null(map_remove(&m, key_of(0)));
    fill(&m, MANY);
    for (size_t i = 0; i < MANY; i += 2)
        cr_assert_eq(map_remove(&m, key_of(i)), &values[i]);
    cr_expect_null(map_remove(&m, key_of(0)));
    for (size_t i = 0; i < MANY; i++)
        cr_assert_eq(map_find(&m, key_of(i)), i % 2 ? &values[i] : NULL);
    cr_expect_eq(m.count, MANY / 2);
    map_fini(&m);
}

Test(map, a_walk_sees_every_entry_once_and_may_remove_it)
{
    static bool seen[MANY];
    struct map m;
    size_t count = 0;

    map_init(&m, MANY);
    MAP_FOR (entry, &m)
        count++;
    cr_expect_eq(count, 0);

    fill(&m, MANY);
    MAP_FOR (entry, &m) {
        size_t i = (size_t)((int *)entry->value - values);
        char key[64];

        cr_assert_not(seen[i]);
        seen[i] = true;
        count++;
        if (i % 3 == 0) {
            struct str borrowed = map_key(entry);

            memcpy(key, borrowed.at, borrowed.len);
            cr_assert_eq(map_remove(&m, str_of_bytes(key, borrowed.len)), &values[i]);
        }
    }
    cr_expect_eq(count, MANY);
    for (size_t i = 0; i < MANY; i++)
        cr_assert_eq(map_find(&m, key_of(i)), i % 3 ? &values[i] : NULL);
    map_fini(&m);
}

Test(map, can_be_used_again_after_fini)
{
    struct map m;

    map_init(&m, 10);
    fill(&m, 10);
    map_fini(&m);
    cr_expect_null(map_find(&m, key_of(1)));
    fill(&m, 10);
    cr_expect_eq(map_find(&m, key_of(1)), &values[1]);
    map_fini(&m);
}

Test(map, no_memory_changes_nothing)
{
    struct map m;
    int failures = 0;

    map_init(&m, MANY);
    for (size_t i = 0; i < 100; i++) {
        for (int n = 0; n < 2; n++) { /* more buckets when it is time, then the entry */
            failing_mem_at(n);
            int rc = map_insert(&m, key_of(i), &values[i]);
            if (!failing_mem_hit())
                break;
            cr_assert_eq(rc, ERR_NOMEM);
            cr_assert_eq(m.count, i);
            cr_assert_null(map_find(&m, key_of(i)));
            failures++;
        }
        if (!map_find(&m, key_of(i)))
            cr_assert_eq(map_insert(&m, key_of(i), &values[i]), 0);
    }
    cr_expect_geq(failures, 100);
    for (size_t i = 0; i < 100; i++)
        cr_expect_eq(map_find(&m, key_of(i)), &values[i]);
    map_fini(&m);
}
