#include <criterion/criterion.h>

#include "broker/base/nearest.h"

Test(nearest, distance_counts_edits)
{
    static const struct {
        const char *a, *b;
        size_t distance;
    } rows[] = {
        {"", "", 0},
        {"", "abc", 3},
        {"limits", "limits", 0},
        {"limts", "limits", 1},
        {"lmiits", "limits", 1},
        {"limitss", "limits", 1},
        {"limots", "limits", 1},
        {"kitten", "sitting", 3},
        {"ab", "ba", 1},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        cr_expect_eq(nearest_distance(str_from(rows[i].a), str_from(rows[i].b)), rows[i].distance,
                     "%s, %s", rows[i].a, rows[i].b);
        cr_expect_eq(nearest_distance(str_from(rows[i].b), str_from(rows[i].a)), rows[i].distance,
                     "%s, %s", rows[i].b, rows[i].a);
    }
}

Test(nearest, words_past_the_limit_are_near_nothing)
{
    char word[NEAREST_WORD_MAX + 2];

    memset(word, 'a', sizeof word);
    cr_expect_eq(nearest_distance(str_of_bytes(word, NEAREST_WORD_MAX),
                                  str_of_bytes(word, NEAREST_WORD_MAX)),
                 0);
    cr_expect_eq(nearest_distance(str_of_bytes(word, NEAREST_WORD_MAX + 1), str_from("a")),
                 SIZE_MAX);
}

/* A third of the word may be wrong, and never more than three letters. */
Test(nearest, only_near_names_are_offered)
{
    static const struct {
        const char *word, *expected;
    } rows[] = {
        {"limts", "limits"},
        {"listners", "listeners"},
        {"storage", "store"},
        {"xyz", NULL},
        {"", NULL},
        {"li", NULL},
        {"completely_else", NULL},
    };
    static const char *const names[] = {"limits", "listeners", "store", "streams"};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct nearest near;

        nearest_init(&near, str_from(rows[i].word));
        for (size_t k = 0; k < ARRAY_LEN(names); k++)
            nearest_offer(&near, names[k]);
        if (rows[i].expected)
            cr_expect(near.name && strcmp(near.name, rows[i].expected) == 0, "%s: %s", rows[i].word,
                      near.name ? near.name : "nothing");
        else
            cr_expect(near.name == NULL, "%s: %s", rows[i].word, near.name ? near.name : "");
    }
}
