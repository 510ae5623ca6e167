/* broker/base/chance.h -- random numbers of two kinds: from the system, for keys and tokens; and
 * from a seed, the same every time, for simulators and tests. */
#ifndef FREEHUB_BROKER_BASE_CHANCE_H
#define FREEHUB_BROKER_BASE_CHANCE_H

#include "broker/base/base.h"

/* Fill `out` with unpredictable bytes of the kernel. Stops the process when there are none: nothing
 * that asks for them would be safe without. Any thread. */
void chance_fill(void *out, size_t len);

/* A generator (xoshiro256**): fast, repeatable, and predictable, so never for a secret. One thread
 * each. */
struct chance {
    uint64_t state[4];
};

/* Equal seeds give equal sequences on every machine; any seed will do. */
void chance_seed(struct chance *c, uint64_t seed);

uint64_t chance_next(struct chance *c);

/* Even over 0 <= x < `bound`; `bound` > 0. */
uint64_t chance_below(struct chance *c, uint64_t bound);

/* Even over 0.0 <= x < 1.0. */
double chance_unit(struct chance *c);

#endif
