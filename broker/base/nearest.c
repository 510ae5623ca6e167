#include "broker/base/nearest.h"

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment, three rows at a time. */
size_t nearest_distance(struct str a, struct str b)
{
    size_t rows[3][NEAREST_WORD_MAX + 1];

    if (a.len > NEAREST_WORD_MAX || b.len > NEAREST_WORD_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= b.len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3];
        const size_t *twice_above = rows[(i + 1) % 3];

        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t change = above[j - 1] + (a.at[i - 1] != b.at[j - 1]);

            row[j] = least(change, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a.at[i - 1] == b.at[j - 2] && a.at[i - 2] == b.at[j - 1])
                row[j] = least(row[j], twice_above[j - 2] + 1);
        }
    }
    return rows[a.len % 3][b.len];
}

void nearest_init(struct nearest *n, struct str word)
{
    size_t third = (word.len + 2) / 3;

    *n = (struct nearest){.word = word, .distance = least(third, 3) + 1};
}

void nearest_offer(struct nearest *n, const char *name)
{
    size_t distance = nearest_distance(n->word, str_from(name));

    if (distance < n->distance) {
        n->distance = distance;
        n->name = name;
    }
}
