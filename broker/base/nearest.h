/* broker/base/nearest.h -- "did you mean": the known name a mistyped one is closest to. */
#ifndef FREEHUB_BROKER_BASE_NEAREST_H
#define FREEHUB_BROKER_BASE_NEAREST_H

#include "broker/base/base.h"

enum { NEAREST_WORD_MAX = 64 }; /* longer words are near nothing */

/* Insertions, deletions, changes and swaps of neighbours that lead from `a` to `b`; SIZE_MAX when
 * either is longer than NEAREST_WORD_MAX. Any thread. */
size_t nearest_distance(struct str a, struct str b);

/* Feed every known name to one of these, then look at `name`: NULL when none is near enough (at
 * most a third of the word wrong, and never more than 3). Any thread. */
struct nearest {
    struct str word;
    const char *name; /* the caller's */
    size_t distance;
};

void nearest_init(struct nearest *n, struct str word);
void nearest_offer(struct nearest *n, const char *name);

#endif
